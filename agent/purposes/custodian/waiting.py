# SPDX-License-Identifier: Apache-2.0
"""What waits to be sealed for a store on flash: a page of tmpfs for each day that deadlines run from (EXP-6).

A record stands behind one octet that says how long it is. The page's first word, written last, says how many octets are
valid and to which state of the stream they belong. So a process killed at any instant leaves whole records for the next
one.
"""

from agent.runtime.libc import words
from agent.vault import keys, segment

DAY = 86400
ROOM = segment.PAGE - segment.PAGE_HEADER
LARGEST = 255  # octets of a record


class Page:
    """Records of one day that wait, and the segment that they go to. `number` 0: none is open yet."""

    def __init__(
        self, slot: keys.Slot, view: "memoryview | bytearray", address: int, public: bytes, destroy: int
    ) -> None:
        self.slot = slot
        self.view = view
        self.head = words(view, segment.PAGE_HEADER)
        self.address = address
        self.public = public
        self.destroy = destroy
        self.counter = slot.counter()
        self.header = b""
        self.sealed = 0  # records of the segment that are on flash
        self.used = 0
        self.records = 0  # that wait
        self.since = 0  # time since boot at which the first one came, ns

    @property
    def day(self) -> int:
        """Return the day that deadlines run from."""
        return self.slot.window // DAY

    def put(self, record: bytes) -> None:
        """Add a record; there must be room. The page's first word makes it valid."""
        at = segment.PAGE_HEADER + self.used
        self.view[at] = len(record)
        self.view[at + 1 : at + 1 + len(record)] = record
        self.used += 1 + len(record)
        self.records += 1
        self.head[0] = self.used | self.slot.generation << 16
        self.counter[0] = self.records

    def waiting(self) -> "Iterator[bytes]":
        """Yield the records that wait: in a child process of the recorder's, what it has sealed meanwhile doesn't."""
        octets = bytes(self.view[segment.PAGE_HEADER : segment.PAGE_HEADER + self._valid()])
        end = min(len(octets), self._valid())
        at = 0
        while at < end:
            yield octets[at + 1 : at + 1 + octets[at]]
            at += 1 + octets[at]

    def find(self) -> None:
        """Count what a former process left waiting."""
        self.used = self._valid()
        at = 0
        while at < self.used:
            self.records += 1
            at += 1 + self.view[segment.PAGE_HEADER + at]

    def _valid(self) -> int:
        """Return how many octets of the page hold records that aren't sealed yet."""
        head = self.head[0]
        return head & 0xFFFF if head >> 16 == self.slot.generation else 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
