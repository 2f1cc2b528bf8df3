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
"""

import json
import os

from agent.base.time_lines import AGREE, STEP, TimeLines
from agent.runtime import files

_SECOND = 1000000000
APART = 600 * _SECOND
DAY = 86400 * _SECOND
HOUR = 3600 * _SECOND
AWAY = 92 * DAY  # for which a gateway may be off; a battery's clock that is further ahead of the floor is waited with
LIMIT = 4096
_TRIES = 10


class Clock:
    """Wall and monotonic time from a source, and the state of trust. Times in ns; `floor` in seconds.

    `path` is the state file, `lines` that of what the wall clock showed in this boot. `hardware`: the board declares a
    clock with a battery. It is believed from the boot on where it tells of a time within AWAY after the floor.
    `booted`: this is the first process of its boot, or the first since oubli was removed. `missed`: by how much it was
    stepped while no process ran, in ns. `confirmed`: wall clock minus time since boot, when the wall clock was last
    confirmed.
    """

    def __init__(self, source: "TimeSource", path: str, lines: str, floor: int, *, hardware: bool = False) -> None:
        self.source = source
        self.floor = floor
        self.trusted = self.once = False  # the latter: in this boot it was
        self.refused = False  # the last confirmation told of a time before the floor
        self._path = path
        self._unsaved = False  # tmpfs had no room for it
        self._first: "list[int] | None" = None  # wall, monotonic of a confirmation that waits for a second one
        wall, monotonic = self._now()
        self.confirmed = wall - monotonic
        self._hour = (monotonic // HOUR + 1) * HOUR  # when the next powered-on hour is full
        self.lines = TimeLines(source, self.confirmed, monotonic, lines)
        self.booted = not self._load()
        if self.booted:
            self.trusted = hardware and 0 <= wall - floor * _SECOND <= AWAY
        self.missed = self.tick()
        self.lines.nothing_waited()
        self._save()

    @property
    def state(self) -> str:
        """Return unknown, floor or trusted."""
        if self.trusted:
            return "trusted"
        return "floor" if self.floor else "unknown"

    def certain(self, begin: int, end: int) -> bool:
        """Return True if this boot's clock showed no time between two (ns) but as it was confirmed last."""
        return self.trusted and self.lines.certain(begin, end, self.confirmed)

    def _load(self) -> bool:
        try:
            read = json.loads(files.read_bounded(self._path, LIMIT))
            if read["boot"] != self.source.boot:
                return False
            numbers = [read["confirmed"], read["hour"]] + (read["first"] or [0, 0])
            if len(numbers) != 4 or not all(isinstance(n, int) for n in numbers):
                raise ValueError
            self.trusted, self._first = read["trusted"] is True, read["first"]
            self.once = read.get("once") is True
            self.confirmed, self._hour = numbers[:2]
        # RuntimeError: nested deeper than the parser goes
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return False
        return True

    def _save(self) -> None:
        """Write what is known on tmpfs; where that has no room for new files it is tried again at the next look."""
        self.once = self.once or self.trusted
        text = '{"boot":"%s","trusted":%s,"once":%s,"first":%s,"confirmed":%d,"hour":%d}\n' % (
            self.source.boot,
            "true" if self.trusted else "false",
            "true" if self.once else "false",
            json.dumps(self._first),
            self.confirmed,
            self._hour,
        )
        self._unsaved = True
        try:
            self.lines.save()
            files.write_over(self._path, text.encode())
            self._unsaved = False
        except OSError:
            pass

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
        step = self.lines.look(offset, monotonic)
        strayed = self.trusted and not -DAY <= offset - self.confirmed <= DAY
        if strayed:
            self.trusted = False
        if step or strayed or self._unsaved:
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
        if self.lines.seen < self._hour:
            return False
        self._hour += HOUR
        self._save()
        return True


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
