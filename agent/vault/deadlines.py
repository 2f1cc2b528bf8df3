# SPDX-License-Identifier: Apache-2.0
"""The order in which a store's segments are due, so that forgetting costs what is due and not what is held (EXP-4).

Each segment has two deadlines, by the wall clock and by time since boot; agent.vault.keys computes them. Windows follow
one another, and so do both; a step of the wall clock is what puts them at odds. Segments stand here by the second.
Where a new one's neighbours say otherwise by the first, all are looked at whenever the soonest deadline of either kind
comes. That goes on until the last of those that were there is gone.
"""

from array import array

_NEVER = 1 << 62


class Deadlines:
    """The segments of one purpose, as numbers of slots in `ring`; at most as many as it has."""

    def __init__(self, ring: "KeyRing") -> None:
        self._ring = ring
        self._order = array("I", bytes(4 * ring.count))  # a circle: the first stands at `_head`
        self._head = self._length = 0
        self._unordered_until = 0  # ns since boot: till then the wall clock may have another order
        self._soonest = _NEVER, _NEVER  # and no segment is due before these: wall (s), since boot (ns)

    def _at(self, place: int) -> int:
        return self._order[(self._head + place) % len(self._order)]

    def _put(self, place: int, index: int) -> None:
        self._order[(self._head + place) % len(self._order)] = index

    def add(self, slot: "Slot") -> None:
        """Take a segment in; nearly always the last to go."""
        wall, monotonic = self._ring.deadline(slot.index)
        place = self._length
        self._length += 1
        while place and self._ring.deadline(self._at(place - 1))[1] > monotonic:
            self._put(place, self._at(place - 1))
            place -= 1
        self._put(place, slot.index)
        before = place and self._ring.deadline(self._at(place - 1))[0] > wall
        behind = place + 1 < self._length and self._ring.deadline(self._at(place + 1))[0] < wall
        if before or behind:
            self._unordered_until = max(self._unordered_until, self._ring.deadline(self._at(self._length - 1))[1])
            self._soonest = 0, 0
        elif self._unordered_until:
            self._soonest = min(self._soonest[0], wall), min(self._soonest[1], monotonic)

    def remove(self, slot: "Slot") -> None:
        """Let a segment go, before its slot is overwritten; nothing where it isn't here."""
        place = 0
        while place < self._length and self._at(place) != slot.index:
            place += 1
        if place < self._length:
            for behind in range(place, 0, -1):
                self._put(behind, self._at(behind - 1))
            self._head = (self._head + 1) % len(self._order)
            self._length -= 1

    def first(self) -> int:
        """Return the segment that goes first, -1 where there is none."""
        return self._at(0) if self._length else -1

    def due(self, wall: int, monotonic: int) -> "Iterator[int]":
        """Yield what is due, each to be removed before the next; `wall` in s (-1: not trusted), `monotonic` in ns."""
        if monotonic < self._unordered_until:
            if wall >= self._soonest[0] or monotonic >= self._soonest[1]:
                yield from self._due_anywhere(wall, monotonic)
            return
        while self._length:
            soonest = self._ring.deadline(self._at(0))
            if wall < soonest[0] and monotonic < soonest[1]:
                break
            yield self._at(0)

    def _due_anywhere(self, wall: int, monotonic: int) -> "Iterator[int]":
        gone = []
        soonest, since = _NEVER, _NEVER
        for place in range(self._length):
            deadlines = self._ring.deadline(self._at(place))
            if wall >= deadlines[0] or monotonic >= deadlines[1]:
                gone.append(self._at(place))
            else:
                soonest, since = min(soonest, deadlines[0]), min(since, deadlines[1])
        self._soonest = soonest, since
        yield from gone


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.vault.keys import KeyRing, Slot
