# SPDX-License-Identifier: Apache-2.0
"""The clocks of a device that lie, beside the true time, and how a device can read the stamps that they made."""

SECOND = 1_000_000_000
YEAR = 365 * 86400 * SECOND
DELIVERY = 180 * SECOND  # within which the kernel tells of an end, as the recorder takes it
HELD_UP = 10 * SECOND  # more between two looks, and what was told meanwhile may be as much older
LINES = 16  # time lines that a device remembers
SLEWED = SECOND // 2  # less between two looks is no step


class LyingClocks:
    """`t` is the true time in ns; the quartz is wrong by `ppm`. The wall clock shows what it is set to."""

    def __init__(self, t: int, ppm: int) -> None:
        self.t = self.booted = t
        self.ppm = ppm
        self.boot()

    def boot(self) -> None:
        """Boot now; nobody has set the wall clock yet."""
        self.booted, self.stepped = self.t, False
        self.listened = 0  # since when (true) the boot's first process has
        # From when (true), wall clock minus time since boot: the kernel's stamps
        self.lines: list[tuple[int, int]] = []
        # Time lines as a device can know them, from its looks: since boot from
        # and to, wall clock minus time since boot.
        self._known: list[list[int]] = []
        self._looked = 0  # since boot
        self._late = self._late_until = 0  # by how much older what is told before then may be

    def start(self) -> None:
        """A process looks for the first time."""
        self._late_until = 0
        self.listened = self.listened or self.t

    def since(self, at: int) -> int:
        """Return the time since boot at a true time."""
        return (at - self.booted) * (1_000_000 + self.ppm) // 1_000_000

    def wall(self, at: int) -> int:
        """Return what the wall clock showed at a true time of this boot."""
        offset = next(offset for begun, offset in reversed(self.lines) if begun <= at or begun == self.booted)
        return self.since(at) + offset

    def show(self, wall: int) -> None:
        """Set the wall clock."""
        if self.lines and abs(wall - self.shown) >= SECOND // 2:
            self.stepped = True
        self.lines.append((self.t, wall - self.up))

    @property
    def shown(self) -> int:
        """What the wall clock shows now."""
        return self.wall(self.t)

    @property
    def up(self) -> int:
        """The time since boot."""
        return self.since(self.t)

    @property
    def offset(self) -> int:
        """Wall clock minus time since boot, in ns."""
        return self.lines[-1][1]

    def stamp(self, at: int, told: int) -> int:
        """Return what the kernel writes of an end at a true time that it tells of later: by the clock of then."""
        return (self.wall(told) - self.since(told) + self.since(at)) % (1 << 64)  # of before 1970, too

    def older(self, at: int, told: int) -> int:
        """Return by how much longer ago a device may put an end at a true time that the kernel told of."""
        now, stamp = self.up, self.stamp(at, told)
        self.look()
        oldest = max(now - DELIVERY - (self._late if now < self._late_until else 0), 0)
        lines = self._known[-LINES:]
        readings = [
            stamp - offset for begun, over, offset in lines if begun - DELIVERY <= stamp - offset <= min(over, now)
        ]
        readings = [reading for reading in readings if reading >= oldest] or readings or [oldest]
        if len(self._known) > LINES and lines[0][0] > oldest:
            readings.append(oldest)
        return max(self.since(at) - min(readings), 0)

    def look(self) -> None:
        """Take note of the time line as a device does that looks now."""
        now, offset = self.up, self.shown - self.up
        if now - self._looked > HELD_UP:
            self._late, self._late_until = now - self._looked, now + DELIVERY
        if self._known and abs(offset - self._known[-1][2]) <= SLEWED:
            self._known[-1][2] = offset
        else:
            if self._known:
                self._known[-1][1] = now
            self._known.append([self._looked, YEAR * 1000, offset])
        self._looked = now
