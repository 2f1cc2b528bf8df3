# SPDX-License-Identifier: Apache-2.0
"""Chunks: a page of records deflated, sealed with its segment's key and appended to its file.

One octet of the key ring makes a chunk valid.
"""

import struct

from agent.runtime import files, memory
from agent.runtime import sodium as crypto
from agent.runtime.deflate import DEFLATE
from agent.vault import keys, segment
from agent.vault.record import COLUMN, COLUMNS, COUNT, REST


class ChunkWriter:
    """What a ring's segments are written with, and overwritten; it holds nothing of a chunk once that is sealed."""

    def __init__(self, sodium: crypto.Sodium) -> None:
        self._sodium = sodium
        self._scratch = memory.scratch(4 * segment.PAGE)  # a chunk is sealed in the first half, deflated in the second
        self._deflated = self._scratch.address + 2 * segment.PAGE

    def seal(self, path: str, slot: keys.Slot, page: int, held: int, used: int, header: bytes, tag: int) -> int:
        """Append the page at an address to a segment's file as one chunk; returns the octets that the file gained.

        `held` records, `used` octets of their rest; `header` is the segment's. OSError where the file refuses.
        """
        size = self._deflate(page + segment.PAGE_HEADER, held, used)
        try:
            following = slot.generation + 1 & 255
            state = slot.bank(following)
            memory.copy(state, slot.bank(slot.generation), crypto.STATE)
            sealed = self._sodium.stream.push(state, self._scratch.address + 2, self._deflated, size, header, tag)
            struct.pack_into(">H", self._scratch.view, 0, sealed)
            files.write_to(path, ("O_APPEND",), self._scratch.address, sealed + 2)
            slot.prepare(following, slot.written() + sealed + 2)
            slot.commit(following)
        finally:
            self._sodium.zero(self._deflated, size)
        return sealed + 2

    def _deflate(self, address: int, held: int, used: int) -> int:
        """Deflate a page, a block for each column (the first has the number of records), one for the rest; octets."""
        parts = [(address + COUNT + column * COLUMN, held) for column in range(COLUMNS)]
        parts[0] = address, COUNT + held
        return DEFLATE.pack(self._deflated, *parts, (address + REST, used))

    def overwrite(self, path: str) -> None:
        """Write zeros over all that a file holds."""
        left = files.size_of(path)
        self._sodium.zero(self._scratch.address, self._scratch.size)
        descriptor = files.open_file(path, ())
        try:
            while left > 0:
                part = min(left, self._scratch.size)
                files.write_all(descriptor, self._scratch.address, part)
                left -= part
        finally:
            files.close(descriptor)

    def close(self) -> None:
        """Give the memory back."""
        self._scratch.close()
