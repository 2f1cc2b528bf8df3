# SPDX-License-Identifier: Apache-2.0
"""The system suspends that a recorder knows of, and what it tells the next one of them."""

from host_sim.venue.device_clock import SECOND, DeviceClock

_SLEEPS = 4  # that a recorder tells apart


class KnownSleeps:
    """Each until when (wall clock, ns), and by how many seconds what began before is longer."""

    def __init__(self) -> None:
        self._known: list[tuple[int, int]] = []
        self._told: list[tuple[int, int]] = []  # what its file says, which the next one reads: two seconds later
        self._asleep = 0  # ns slept that no recorder has noticed yet

    def slept(self, clock: DeviceClock, begun: int, now: int, *, listening: bool) -> None:
        """Take note that the gateway was suspended from `begun` to `now`, true ns."""
        self._asleep += clock.monotonic(now) - clock.monotonic(begun)
        if listening:
            self._notice(clock, now)

    def heard(self, clock: DeviceClock, now: int, *, boot: bool) -> None:
        """Take note of a new recorder: it knows of former sleeps what it was told, and of none before a boot."""
        if boot:
            self._told, self._asleep = [], 0
        self._known = list(self._told)
        if self._asleep:
            self._notice(clock, now)

    def _notice(self, clock: DeviceClock, now: int) -> None:
        wall = clock.wall(now)
        offset = wall - clock.monotonic(now)
        self._known.append((wall, self._asleep // SECOND + 1))
        self._asleep = 0
        if len(self._known) > _SLEEPS:
            (_, oldest), (until, longer) = self._known[:2]
            self._known[:2] = [(until, oldest + longer)]
        self._told = [(((until - offset) // SECOND + 2) * SECOND + offset, longer) for until, longer in self._known]

    def since(self, start: int) -> int:
        """Return for how many seconds the gateway slept since a stamp of its clock, as far as the recorder knows."""
        return sum(longer for until, longer in self._known if until >= start)
