# SPDX-License-Identifier: Apache-2.0
"""Whether a gateway's time is believed, by the book (EXP-5).

Two confirmations of one boot, at least ten minutes apart, that agree within two seconds; gone where the clock strays by
more than a day.
"""

from host_sim.venue.device_clock import SECOND
from host_sim.venue.truth import DAY


class Trust:
    """The belief of one boot. All times in ns: by the wall clock, and since the boot."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None
        self._confirmed: int | None = None  # wall clock minus time since boot, when it was last confirmed and believed

    @property
    def given(self) -> bool:
        """Whether the time is believed."""
        return self._confirmed is not None

    def confirm(self, wall: int, monotonic: int) -> None:
        """The time service says that the clock is right."""
        if self.given:
            self._confirmed = wall - monotonic
        elif self._first is None:
            self._first = wall, monotonic
        elif monotonic - self._first[1] >= 600 * SECOND:
            agree = abs((wall - self._first[0]) - (monotonic - self._first[1])) <= 2 * SECOND
            self._first = None if agree else (wall, monotonic)
            self._confirmed = wall - monotonic if agree else None

    def look(self, wall: int, monotonic: int) -> None:
        """The clock shows this: by more than a day from what was confirmed, and nobody believes it any more."""
        if self._confirmed is not None and abs(wall - monotonic - self._confirmed) > DAY:
            self._confirmed = None
