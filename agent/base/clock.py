# SPDX-License-Identifier: Apache-2.0
"""What the device may believe about the time (EXP-5).

unknown   since boot, nothing said so, and nothing is known that it must be later than
floor     nothing said so yet; it is at least the latest of the build's date, the newest file of the configuration, and
          the high-water mark that the ledger keeps of trusted times
trusted   two confirmations at least ten minutes apart agreed with the device's own
          running, or the board declares a hardware clock, which shows a time soon after the floor

The wall clock is held against the time since boot at each tick. A difference from the last confirmed time of more than
a day, forward or back, takes the trust away until two confirmations agree anew. So a step of that size expires nothing
by itself. A confirmation below the floor is refused: that time is over. What is known holds for the boot, in a file on
tmpfs, so that a restart of the process keeps it.

The kernel stamps a connection with the wall clock as it was then. After a step those stamps are of another time line:
`restate` brings them to the present one by way of the time since boot. Several lines can have made the same stamp. A
deadline runs from the oldest reading, so that it is never later than the connection's true end plus the lifetime
(EXP-1):

- A line is remembered from the look before the step that made it to the look that noticed the next one. So the true
  reading is among those of the lines. What is no longer remembered counts as a line that can have made any stamp.
- The kernel tells of an end within DELIVERY of it, and of what it told while this process was held up, by so much
  later. A reading that is older is none, as long as there is a younger one.
- The end's oldest reading isn't after the true end. The last packet is that less a timeout, or the start where the
  start is later (agent.capture.timeouts). So the start is read as old as it can be too: a younger reading would move
  the deadline past the true one.
- Whose a connection is must not follow from a reading that may be wrong: `doubt` says how much younger the start may
  be.

A clock that is stepped there and back between two looks, a second apart, leaves no
line: its stamps can't be told from others.
"""

import json
import os

from agent.runtime import files

_SECOND = 1000000000
APART = 600 * _SECOND
AGREE = 2 * _SECOND  # a quartz drifts 0.06 s in ten minutes; NTP steps smaller than this are slewed
DAY = 86400 * _SECOND
HOUR = 3600 * _SECOND
STEP = _SECOND // 2  # less between two ticks is slewing
LINES = 16  # time lines remembered
# Within which the kernel's word of an end arrives: 50 s of its lazy garbage collection, 40 s that may wait in its
# table, 30 s in which a recorder that hangs lives on, and as much again in reserve.
DELIVERY = 180 * _SECOND
AWAY = 92 * DAY  # for which a gateway may be off; a battery's clock that is further ahead of the floor is waited with
LIMIT = 4096
_HELD_UP = 10 * _SECOND  # longer between two looks, and what the kernel told of has waited
_EVER = 1 << 62
_TRIES = 10


class Clock:
    """Wall and monotonic time from a source, and the state of trust. Times in ns; `floor` in seconds.

    `path` is the state file. `hardware`: the board declares a clock with a battery. It is believed from the boot on
    where it tells of a time within AWAY after the floor. `booted`: this is the first process of its boot. `stepped`:
    the wall clock was stepped in this boot. `missed`: by how much it was while no process ran, in ns. `confirmed`: wall
    clock minus time since boot, when the wall clock was last confirmed.
    """

    def __init__(self, source: "TimeSource", path: str, floor: int, *, hardware: bool = False) -> None:
        self.source = source
        self.floor = floor
        self.trusted = self.once = False  # the latter: in this boot it was
        self.refused = False  # the last confirmation told of a time before the floor
        self._path = path
        self._first: "list[int] | None" = None  # wall, monotonic of a confirmation that waits for a second one
        wall, self._seen = self._now()
        self.confirmed = wall - self._seen
        self._hour = (self._seen // HOUR + 1) * HOUR  # when the next powered-on hour is full
        # Time lines, oldest first: since boot from, since boot to, wall clock minus time since boot.
        self._lines = [[0, _EVER, self.confirmed]]
        self._forgotten = False  # there were more of them
        self._late = self._late_until = 0  # ns by which what is read before then can have waited
        self.doubt = 0  # of the last `restate`
        self.booted = not self._load()
        if self.booted:
            self.trusted = hardware and 0 <= wall - floor * _SECOND <= AWAY
        self.missed = self.tick()
        self._late_until = 0  # nobody listened meanwhile: nothing has waited
        self._save()

    @property
    def state(self) -> str:
        """Return unknown, floor or trusted."""
        if self.trusted:
            return "trusted"
        return "floor" if self.floor else "unknown"

    @property
    def stepped(self) -> bool:
        """Return True if stamps may be of another time line than the present one."""
        return len(self._lines) > 1 or self._forgotten

    def certain(self, begin: int, end: int) -> bool:
        """Return True if this boot's clock showed no time between two (ns) but as it was confirmed last."""
        now = self.source.monotonic()
        others = [line for line in self._lines if not -AGREE <= line[2] - self.confirmed <= AGREE]
        seen = [line for line in others if line[0] + line[2] <= end and min(line[1], now) + line[2] >= begin]
        return self.trusted and not self._forgotten and not seen

    def _load(self) -> bool:
        try:
            read = json.loads(files.read_bounded(self._path, LIMIT))
            if read["boot"] != self.source.boot:
                return False
            numbers = [read["confirmed"], read["hour"], read["seen"]] + (read["first"] or [0, 0])
            for line in read["lines"]:
                numbers += line
            if (
                len(numbers) != 5 + 3 * len(read["lines"])
                or not read["lines"]
                or not all(isinstance(n, int) for n in numbers)
            ):
                raise ValueError
            self.trusted, self._first = read["trusted"] is True, read["first"]
            self.once = read.get("once") is True
            self.confirmed, self._hour, self._seen = numbers[:3]
            self._lines, self._forgotten = read["lines"], read["forgotten"] is not False
        # RuntimeError: nested deeper than the parser goes
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            self._forgotten = files.exists(self._path)
            return False
        return True

    def _save(self) -> None:
        self.once = self.once or self.trusted
        text = (
            '{"boot":"%s","trusted":%s,"once":%s,"first":%s,"confirmed":%d,"hour":%d,"seen":%d,"forgotten":%s,"lines":%s}\n'
            % (
                self.source.boot,
                "true" if self.trusted else "false",
                "true" if self.once else "false",
                json.dumps(self._first),
                self.confirmed,
                self._hour,
                self._seen,
                "true" if self._forgotten else "false",
                json.dumps(self._lines),
            )
        )
        files.write_atomic(self._path, text.encode(), durable=False)

    def _now(self) -> "tuple[int, int]":
        """Read both clocks at one moment: a process that had to wait between the two would take that for a step."""
        source = self.source
        wall = monotonic = 0
        for _ in range(_TRIES):
            monotonic = source.monotonic()
            wall = source.wall()
            if source.monotonic() - monotonic < STEP // 4:
                break
        return wall, monotonic

    def tick(self) -> int:
        """Look at the clocks; returns by how much the wall clock was stepped since the last look, 0 where it wasn't."""
        wall, monotonic = self._now()
        offset = wall - monotonic
        line = self._lines[-1]
        step = offset - line[2]
        if -STEP <= step <= STEP:
            step, line[2] = 0, offset
        else:
            # It happened some time between two looks: both lines hold for that while.
            line[1] = monotonic
            self._forgotten = self._forgotten or len(self._lines) == LINES
            self._lines = self._lines[1 - LINES :] + [[self._seen, _EVER, offset]]
        if monotonic - self._seen > _HELD_UP:
            # What the kernel told of meanwhile is read within DELIVERY from now on.
            self._late, self._late_until = monotonic - self._seen, monotonic + DELIVERY
        self._seen = monotonic
        strayed = self.trusted and not -DAY <= offset - self.confirmed <= DAY
        if strayed:
            self.trusted = False
        if step or strayed:
            self._save()
        return step

    def confirm(self) -> bool:
        """Take one NTP confirmation of the present wall clock; True once the clock is trusted. Call `tick` before."""
        wall, monotonic = self._now()
        self.refused = wall < self.floor * _SECOND
        if self.refused:
            return self.trusted
        if self.trusted:
            self.confirmed = wall - monotonic
        elif self._first is None:
            self._first = [wall, monotonic]
        elif monotonic - self._first[1] >= APART:
            drift = (wall - self._first[0]) - (monotonic - self._first[1])
            self.trusted = -AGREE <= drift <= AGREE
            believed = wall - monotonic if self.trusted or not self.once else self.confirmed
            self._first, self.confirmed = (None if self.trusted else [wall, monotonic]), believed
        self._save()
        return self.trusted

    def hour(self) -> bool:
        """Return True if another powered-on hour of this boot is full; each is told once, whatever process asks."""
        if self._seen < self._hour:
            return False
        self._hour += HOUR
        self._save()
        return True

    def restate(self, start: int, stop: int) -> "tuple[int, int]":
        """Return the kernel's two stamps of an ended connection as the present clock would have made them, at oldest.

        `doubt` is then by how many ns the start may be younger.
        """
        now = self.source.monotonic()
        present = self._lines[-1][2]
        held_up = max(now - self._seen, self._late if now < self._late_until else 0)
        told = max(now - DELIVERY - held_up, 0)  # it ended since then
        ends = self._readings(stop, now)
        ends = [at for at in ends if at >= told] or ends or [told, now]
        if self._forgotten and self._lines[0][0] > told:
            ends.append(told)
        oldest, youngest = min(*ends, now), min(max(ends), now)
        begins = self._readings(start, youngest)
        if self._forgotten or not begins:
            begins += [0, youngest]  # as old as the boot: in doubt longer, never later
        begun = min(*begins, oldest)
        self.doubt = min(max(begins), youngest) - begun
        return begun + present, oldest + present

    def _readings(self, stamp: int, latest: int) -> "list[int]":
        """Return the times since boot at which the clock can have shown a stamp, up to `latest`."""
        # A clock that is slewed back leaves stamps that are ahead of it.
        return [
            stamp - offset
            for begin, over, offset in self._lines
            if begin <= stamp - offset <= min(over, latest + AGREE)
        ]


def newest(folder: str) -> int:
    """Return when the youngest file below a folder was written, in seconds since the epoch; 0 where there is none."""
    latest = 0
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    for name in names:
        try:
            status = os.stat(folder + "/" + name)
        except OSError:
            continue
        latest = max(latest, newest(folder + "/" + name) if status[0] & 0o170000 == 0o040000 else int(status[8]))
    return latest


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class TimeSource(Protocol):
        """What hands in the time: a device's clocks, a lab's, a simulator's."""

        boot: str

        def wall(self) -> int:
            """Return ns since the epoch."""
            ...

        def monotonic(self) -> int:
            """Return ns since boot, suspended time included."""
            ...
