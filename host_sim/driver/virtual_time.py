# SPDX-License-Identifier: Apache-2.0
"""The time of a simulated device, which passes as the tape says."""


class VirtualTime:
    """The time source of a simulated device: set by the tape, read by the recorder.

    Times in ns; `now` is the true time.

    `set` is what CLOCK and BOOT say; from there both clocks run by the quartz, `drift` parts in a million fast.
    """

    def __init__(self) -> None:
        self.boot = ""
        self.now = self._from = self._wall = self._since = self._drift = self._passed = 0
        self._slept = self._fell = 0

    def set(self, true: int, wall: int, since: int, drift: int) -> None:
        """Let the clocks show `wall` and `since` at a true time."""
        self._from, self._wall, self._since, self._drift = true, wall, since, drift
        self.reach(true)

    def reach(self, true: int) -> None:
        """Let it be `true`."""
        self.now = true
        passed = true - self._from
        self._passed = passed + passed * self._drift // 1000000 if self._drift else passed

    def sleep(self, *, boot: bool = False) -> None:
        """Fall asleep; or boot, which ends what was slept."""
        self._slept, self._fell = 0 if boot else self._slept, 0 if boot else self.monotonic()

    def wake(self) -> None:
        """Wake up, if it sleeps."""
        if self._fell:
            self._slept, self._fell = self._slept + self.monotonic() - self._fell, 0

    def slept(self) -> int:
        """Return for how many ns of this boot the device was suspended."""
        return self._slept

    def after(self, passed: int) -> int:
        """Return the true time from which on both clocks have gone on by `passed`."""
        if not self._drift:
            return self.now + passed
        return self.now - -passed * 1000000 // (1000000 + self._drift) + 2  # each reading is rounded down

    def wall(self) -> int:
        """Return ns since the epoch."""
        return self._wall + self._passed

    def monotonic(self) -> int:
        """Return ns since boot."""
        return self._since + self._passed
