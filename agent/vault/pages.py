# SPDX-License-Identifier: Apache-2.0
"""The pages that open segments are packed in: one mapped file, so that a killed process leaves what waited there."""

import struct

from agent.runtime import files, memory
from agent.runtime.libc import words
from agent.vault import segment
from agent.vault.reading import waiting
from agent.vault.record import COLUMN, TERMINALS

_PLACES = 8 * TERMINALS  # octets of a packer's dictionary


class Pages:
    """`count` pages in the file at `path`, or more where a former process had more; `free` are those without a segment.

    Of another lifetime there may have been more, and what was left open lies in one of them.
    """

    def __init__(self, path: str, count: int) -> None:
        self._former = files.exists(path)
        if self._former:
            count = max(count, files.size_of(path) // segment.PAGE)
        self._region = memory.map_file(path, count * segment.PAGE)
        self._dictionaries = memory.scratch(count * _PLACES)
        self.free = list(range(count))

    def wipe(self, sodium: "Sodium") -> None:
        """Overwrite what a former process left; new pages are zeros, and none is this process's before it is needed."""
        if self._former:
            sodium.zero(self._region.address, self._region.size)

    def view(self, page: int) -> memoryview:
        """Return a page's octets."""
        return memoryview(self._region.view)[page * segment.PAGE : (page + 1) * segment.PAGE]

    def address(self, page: int) -> int:
        """Return where in memory a page begins."""
        return self._region.address + page * segment.PAGE

    def places(self, page: int) -> "Any":
        """Return the words of the dictionary of a page's packer."""
        return words(memoryview(self._dictionaries.view)[page * _PLACES : (page + 1) * _PLACES], _PLACES)

    def left(self, slot: "Slot") -> "tuple[int, int]":
        """Return how many records, and octets of their rest, wait in a slot's page since it was sealed last."""
        at = slot.page * segment.PAGE
        left = waiting(self._region.view, at, slot)
        held = struct.unpack_from(">H", self._region.view, at + segment.PAGE_HEADER)[0] if left else 0
        return min(held, COLUMN), left

    def close(self) -> None:
        """Unmap them."""
        self._region.close()
        self._dictionaries.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.runtime.sodium import Sodium
    from agent.vault.keys import Slot
