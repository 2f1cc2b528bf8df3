# SPDX-License-Identifier: Apache-2.0
"""A gateway's two clocks against the true time: a quartz that drifts, a wall clock that is set.

Time since boot runs by the quartz; the wall clock is time since boot plus an offset that whoever sets the clock
changes. Both sides of the simulator compute them with the same integers: the world here, the stage in `VirtualTime`.
"""

SECOND = 1_000_000_000


class DeviceClock:
    """The clocks of one boot. `booted`: true ns at which time since boot was `since`; `drift` in parts in a million.

    `slept` is how much of the time since boot it was suspended, in ns.
    """

    def __init__(self, booted: int, since: int, drift: int, wall: int) -> None:
        self.booted, self.drift, self._since = booted, drift, since
        self.lines = [(booted, wall - since)]  # from when (true), wall clock minus time since boot
        self.stepped = False
        self.slept = 0

    def monotonic(self, true: int) -> int:
        """Return the time since boot."""
        passed = true - self.booted
        return self._since + passed + (passed * self.drift // 1_000_000 if self.drift else 0)

    def awake(self, true: int) -> int:
        """Return the time since boot without what it was suspended: the kernel's CLOCK_MONOTONIC."""
        return self.monotonic(true) - self.slept

    def true(self, monotonic: int) -> int:
        """Return when the time since boot is so much, to the nanosecond that the drift allows."""
        return self.booted + (monotonic - self._since) * 1_000_000 // (1_000_000 + self.drift)

    def wall(self, true: int) -> int:
        """Return what the wall clock showed, by the settings up to then."""
        begun, offset = self.lines[-1]
        if begun > true:  # of before the newest setting
            offset = next((former for begun, former in reversed(self.lines) if begun <= true), self.lines[0][1])
        return self.monotonic(true) + offset

    def set(self, true: int, wall: int) -> int:
        """Set the wall clock; returns by how much it moved."""
        step = wall - self.wall(true)
        self.lines = [*self.lines[-31:], (true, wall - self.monotonic(true))]
        self.stepped = self.stepped or abs(step) > SECOND // 2
        return step
