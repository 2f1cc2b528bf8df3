# SPDX-License-Identifier: Apache-2.0
"""What is yet to happen, in order of true time."""

import heapq
from collections.abc import Callable, Iterator

from host_sim.venue.step import Step

Happens = Callable[[int], Iterator[Step]]  # an event, called with its time


class EventQueue:
    """Events by their true time, in ns; of two at one time the one that was put in first comes first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Happens]] = []
        self._number = 0

    def put(self, time: int, event: Happens) -> None:
        """Let an event happen at a time."""
        self._number += 1
        heapq.heappush(self._waiting, (time, self._number, event))

    def until(self, end: int) -> Iterator[Step]:
        """Yield the steps of what happens before a time, and of what is put in by it."""
        while self._waiting and self._waiting[0][0] < end:
            time, _, event = heapq.heappop(self._waiting)
            yield from event(time)
