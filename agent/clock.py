# SPDX-License-Identifier: Apache-2.0
"""What the device may believe about the time (EXP-5).

unknown   since boot, nothing said so yet
floor     nothing said so in this boot, but a former one trusted a time: it is at least the ledger's high-water mark
trusted   two confirmations at least ten minutes apart agreed with the device's own running
"""

_SECOND = 1000000000
APART = 600 * _SECOND
AGREE = 2 * _SECOND  # a quartz drifts 0.06 s in ten minutes; NTP steps smaller than this are slewed


class Clock:
    """Wall and monotonic time from a source, and the state of trust. Times in ns."""

    def __init__(self, source: "TimeSource", high_water: int) -> None:
        self.source = source
        self._floor = high_water
        self._first: "tuple[int, int] | None" = None
        self.trusted = False

    @property
    def state(self) -> str:
        """Return unknown, floor or trusted."""
        if self.trusted:
            return "trusted"
        return "floor" if self._floor else "unknown"

    def confirm(self) -> bool:
        """Take one NTP confirmation of the present wall clock; True once the clock is trusted."""
        wall, monotonic = self.source.wall(), self.source.monotonic()
        if self.trusted or wall < self._floor * _SECOND:
            return self.trusted
        if self._first is not None and monotonic - self._first[1] >= APART:
            drift = (wall - self._first[0]) - (monotonic - self._first[1])
            self.trusted = -AGREE <= drift <= AGREE
        elif self._first is not None:
            return False
        self._first = (wall, monotonic)
        return self.trusted


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
