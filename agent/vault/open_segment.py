# SPDX-License-Identifier: Apache-2.0
"""A segment that takes records: its slot of the key ring, its page of the chunk file, its packer."""

from agent.runtime.libc import words
from agent.vault import keys, segment
from agent.vault.record import COLUMN, LARGEST, REST, Packer

FULL = segment.PAGE - segment.PAGE_HEADER - REST - LARGEST  # octets of records' rest: no room for one more


class OpenSegment:
    """What is written to its page is valid at once; the ring seals the page as a chunk, and closes the segment."""

    def __init__(
        self, slot: keys.Slot, page: "memoryview | bytearray", page_address: int, header: bytes, places: "Any"
    ) -> None:
        self.slot = slot
        self.page = page
        self.head = words(page, segment.PAGE_HEADER)
        self.counter = slot.counter()
        self.page_address = page_address
        self.header = header
        self.packer = Packer(slot.window, places, page[segment.PAGE_HEADER :])
        self.used = self.held = 0  # octets of records' rest in the page, and records
        self.full = False

    def room(self) -> bool:
        """Return True if the page has room for one more record."""
        return self.used <= FULL and self.held < COLUMN

    def append(self, connection: "Connection", terminal: "Holder | None", end: int) -> None:
        """Pack one record; there must be room."""
        self.used = self.packer.pack(REST + self.used, self.held, connection, terminal, end) - REST
        self._count(1)

    def resume(self, used: int, end: int, records: int) -> None:
        """Go on behind `records` that somebody else has packed: octets used, the last one's end in units."""
        self.used, self.packer.end = used, end
        self._count(records)

    def _count(self, records: int) -> None:
        # The page's first word makes a record valid: written last, so a killed process leaves whole records, and
        # columns as long at least: the upper octet of how many first, for what both say meanwhile is more, too.
        self.held += records
        self.page[segment.PAGE_HEADER] = self.held >> 8
        self.page[segment.PAGE_HEADER + 1] = self.held & 255
        self.head[0] = self.used | self.slot.generation << 16
        self.slot.records += records
        self.counter[0] = self.slot.records


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.capture.connections import Connection
    from agent.vault.record import Holder
