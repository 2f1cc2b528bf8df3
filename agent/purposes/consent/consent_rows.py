# SPDX-License-Identifier: Apache-2.0
"""What is in memory of each consent and objection, and where a terminal's are found (agent.purposes.consent.consents).

A row is:

    state, purposes, categories (bits)
    whether flash waits for it
    since when it is in this state, its end, when it was given
    the keyed hash of its terminal's MAC
    when one purpose of it was withdrawn (0: none was, or it isn't known when)

Rows and index lie outside the heap, and are overwritten at the end.
"""

import struct

from agent.runtime import memory
from agent.runtime.libc import words
from agent.vault.stores import BY_CONSENT

ACTIVE, SUSPENDED, WITHDRAWN, ENDED, OBJECTED = 1, 2, 3, 4, 5
STATES = ("", "active", "suspended", "withdrawn", "ended", "objected")
PURPOSES = BY_CONSENT  # in the order of their bits
ALL = (1 << len(PURPOSES)) - 1
GONE = 4  # bits by which a purpose that was withdrawn is moved
UNDATED = 128  # among categories: `since` is when the time was confirmed, later than the act

_ROW = "<BBBBIII16sI"
_OCTETS = 36


class Rows:
    """`limit` places, found by a terminal's hash once they are indexed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows = memory.scratch(limit * _OCTETS)
        self._buckets = 2 * limit
        self._region = memory.scratch(self._buckets * 4)
        self._index = words(self._region.view, self._region.size)  # place + 1, 0 for none

    def get(self, place: int) -> "tuple[Any, ...]":
        """Return a row."""
        return struct.unpack_from(_ROW, self._rows.view, place * _OCTETS)

    def set(self, place: int, *row: "Any") -> None:
        """Change a row."""
        struct.pack_into(_ROW, self._rows.view, place * _OCTETS, *row)

    def clear(self, place: int) -> None:
        """Make a place free."""
        self.set(place, 0, 0, 0, 0, 0, 0, 0, bytes(16), 0)

    def taken(self, place: int) -> bool:
        """Return True if something stands at a place."""
        return self._rows.view[place * _OCTETS] > 0

    def used(self) -> "Iterator[int]":
        """Yield the places where something stands."""
        return (place for place in range(self._limit) if self.taken(place))

    def index(self) -> None:
        """Work out where each terminal's rows are found."""
        self._region.wipe()
        for place in self.used():
            bucket = self._bucket(self.get(place)[7])
            while self._index[bucket]:
                bucket = (bucket + 1) % self._buckets
            self._index[bucket] = place + 1

    def of(self, owner: bytes) -> "Iterator[int]":
        """Yield the places of a terminal, by its hash."""
        bucket = self._bucket(owner)
        while self._index[bucket]:
            place = self._index[bucket] - 1
            if self.get(place)[7] == owner:
                yield place
            bucket = (bucket + 1) % self._buckets

    def _bucket(self, owner: bytes) -> int:
        return (owner[0] << 8 | owner[1]) % self._buckets

    def close(self) -> None:
        """Overwrite what is in memory."""
        for region in (self._rows, self._region):
            region.wipe()
            region.close()


def state_of(row: "tuple[Any, ...]", now: "int | None") -> str:
    """Return a row's state in a word; what is over by itself is "ended"."""
    over = row[0] in (ACTIVE, SUSPENDED) and now is not None and now >= row[5]
    return "ended" if over else STATES[row[0]]


def withdraw(row: "list[Any]", bits: int, now: int) -> None:
    """Withdraw purposes in a row, and the consent where none is left; `now` 0: it isn't known when."""
    gone = row[1] & ALL & bits
    if gone == row[1] & ALL:
        row[0], row[2], row[4] = WITHDRAWN, row[2] & ALL, now
    else:
        row[1] = row[1] & ~gone | gone << GONE
        row[2] &= ~gone
        row[8] = now


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator
