# SPDX-License-Identifier: Apache-2.0
"""The time lines of one boot: what the wall clock can have shown when, so that the kernel's stamps can be read (EXP-1).

The kernel stamps a connection with the wall clock as it was then. After a step those stamps are of another time line:
`restate` brings them to the present one by way of the time since boot. Several lines can have made the same stamp. A
deadline runs from the oldest reading, so that it is never later than the connection's true end plus the lifetime:

- A line is remembered from the look before the step that made it to the look that noticed the next one. So the true
  reading is among those of the lines. What is no longer remembered counts as a line that can have made any stamp.
- The kernel tells of an end within DELIVERY of it. What it told while this process was held up is read by so much
  later. A reading that is older is none, as long as there is a younger one.
- It writes of an end how long ago that was by the clock of when it tells. So a line can have made the stamp of an end
  that came up to DELIVERY before it (net/netfilter/nf_conntrack_core.c, nf_ct_delete).
- The end's oldest reading isn't after the true end. The last packet is that less a timeout, or the start where the
  start is later (agent.capture.timeouts). So the start is read as old as it can be too: a younger reading would move
  the deadline past the true one.
- Whose a connection is must not follow from a reading that may be wrong: `doubt` and `doubt_of_end` say how much
  younger start and end may be.

The lines lie on tmpfs and stay there when oubli is removed: who installs it anew within the boot reads stamps by them.
Those of before the first installation aren't known. What began then, by a clock that was ahead, may seem to begin after
its end: it is read as of a line that is forgotten (agent.recorder.pipeline).

A clock that is stepped there and back between two looks, a second apart, leaves no
line: its stamps can't be told from others.
"""

import json

from agent.runtime import files

_SECOND = 1000000000
AGREE = 2 * _SECOND  # a quartz drifts 0.06 s in ten minutes; NTP steps smaller than this are slewed
STEP = _SECOND // 2  # less between two looks is slewing
LINES = 16  # time lines remembered
# Within which the kernel's word of an end arrives: 50 s of its lazy garbage collection, 40 s that may wait in its
# table, 30 s in which a recorder that hangs lives on, and as much again in reserve.
DELIVERY = 180 * _SECOND
_HELD_UP = 10 * _SECOND  # longer between two looks, and what the kernel told of has waited
_EVER = 1 << 62
_LIMIT = 4096  # octets of the file


class TimeLines:
    """What the wall clock has shown in this boot. An offset is wall clock minus time since boot; all times in ns.

    lines      oldest first: since boot from, since boot to, offset; `forgotten`: there were more of them
    seen       when the clocks were looked at last, since boot
    doubt, doubt_of_end    of the last `restate`

    `path` is the file in which the lines of a boot outlast a process. One that can't be read is a line forgotten.
    """

    def __init__(self, source: "TimeSource", offset: int, monotonic: int, path: str) -> None:
        self.lines = [[0, _EVER, offset]]
        self.forgotten = False
        self.seen = monotonic
        self.doubt = self.doubt_of_end = 0
        self._source = source
        self._path = path
        self._load()
        self._late = self._late_until = 0  # by which what is read before then can have waited

    def _load(self) -> None:
        try:
            read = json.loads(files.read_bounded(self._path, _LIMIT))
            if read["boot"] != self._source.boot:
                return
            numbers = [read["seen"]]
            for line in read["lines"]:
                numbers += line
            if len(numbers) < 4 or len(numbers) % 3 != 1 or not all(isinstance(n, int) for n in numbers):
                raise ValueError
            self.seen, self.lines, self.forgotten = read["seen"], read["lines"], read["forgotten"] is not False
        # RuntimeError: nested deeper than the parser goes
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            self.forgotten = files.exists(self._path)

    def save(self) -> None:
        """Write the lines."""
        forgotten = "true" if self.forgotten else "false"
        text = '{"boot":"%s","seen":%d,"forgotten":%s,"lines":%s}\n' % (
            self._source.boot, self.seen, forgotten, json.dumps(self.lines)
        )  # fmt: skip
        files.write_over(self._path, text.encode())

    @property
    def stepped(self) -> bool:
        """Return True if stamps may be of another time line than the present one."""
        return len(self.lines) > 1 or self.forgotten

    def look(self, offset: int, monotonic: int) -> int:
        """Take note of the clocks; returns by how much the wall clock was stepped since the last look, 0: it wasn't."""
        line = self.lines[-1]
        step = offset - line[2]
        if -STEP <= step <= STEP:
            step, line[2] = 0, offset
        else:
            # It happened some time between two looks: both lines hold for that while.
            line[1] = monotonic
            self.forgotten = self.forgotten or len(self.lines) == LINES
            self.lines = self.lines[1 - LINES :] + [[self.seen, _EVER, offset]]
        if monotonic - self.seen > _HELD_UP:
            # What the kernel told of meanwhile is read within DELIVERY from now on.
            self._late, self._late_until = monotonic - self.seen, monotonic + DELIVERY
        self.seen = monotonic
        return step

    def ago(self) -> int:
        """Return how many ns ago somebody last looked."""
        return self._source.monotonic() - self.seen

    def wall(self) -> int:
        """Return ns since the epoch by the present line: a step that nobody has noticed yet moves it later."""
        return self._source.monotonic() + self.lines[-1][2]

    def moved(self) -> bool:
        """Return True if the wall clock was stepped since somebody looked."""
        return not -STEP <= self._source.wall() - self.wall() <= STEP

    def nothing_waited(self) -> None:
        """Take note that nobody listened before the last look."""
        self._late_until = 0

    def certain(self, begin: int, end: int, offset: int) -> bool:
        """Return True if no line but those of an offset showed a time between two."""
        now = self._source.monotonic()
        others = [line for line in self.lines if not -AGREE <= line[2] - offset <= AGREE]
        seen = [line for line in others if line[0] + line[2] <= end and min(line[1], now) + line[2] >= begin]
        return not self.forgotten and not seen

    def restate(self, start: int, stop: int) -> "tuple[int, int]":
        """Return the kernel's two stamps of an ended connection as the present clock would have made them, at oldest.

        `doubt` is then by how many ns the start may be younger, `doubt_of_end` the end.
        """
        now = self._source.monotonic()
        present = self.lines[-1][2]
        held_up = max(now - self.seen, self._late if now < self._late_until else 0)
        told = max(now - DELIVERY - held_up, 0)  # it ended since then
        ends = self._readings(stop, now, DELIVERY)
        ends = [at for at in ends if at >= told] or ends or [told, now]
        if self.forgotten and self.lines[0][0] > told:
            ends.append(told)
        oldest, youngest = min(*ends, now), min(max(ends), now)
        begins = self._readings(start, youngest)
        if self.forgotten or not begins:
            begins += [0, youngest]  # as old as the boot: in doubt longer, never later
        begun = min(*begins, oldest)
        self.doubt, self.doubt_of_end = min(max(begins), youngest) - begun, youngest - oldest
        return begun + present, oldest + present

    def _readings(self, stamp: int, latest: int, lazy: int = 0) -> "list[int]":
        """Return the times since boot that a stamp can be of, up to `latest`, if it was made by `lazy` ns later."""
        # A clock that is slewed back leaves stamps that are ahead of it.
        return [
            stamp - offset
            for begin, over, offset in self.lines
            if begin - lazy <= stamp - offset <= min(over, latest + AGREE)
        ]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.base.clock import TimeSource
