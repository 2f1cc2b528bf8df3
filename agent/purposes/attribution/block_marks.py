# SPDX-License-Identifier: Apache-2.0
"""Which ports may have been given, over a boot: marks on flash, a bit for so many ports, without a terminal."""

from agent.purposes.attribution.block_map import FIRST, LAST
from agent.runtime import files

_GRANULE = 64  # ports a bit stands for: the smallest block
_BITS = (LAST + 1 - FIRST) // _GRANULE
# The part of all blocks that is marked at a time: fewer syncs; so many more rest after a boot than had to
_AHEAD = 12


class BlockMarks:
    """The marks in the file `flash`, for blocks of so many ports; `marked`: the blocks of which one is set."""

    def __init__(self, flash: str, size: int) -> None:
        self._flash = flash
        self._size = size
        self._count = (LAST + 1 - FIRST) // size
        self.marked = self._bits(self._read())

    def _read(self) -> bytes:
        try:
            marks = files.read_bounded(self._flash, _BITS // 8)
        except OSError:
            return bytes(_BITS // 8)
        return marks if len(marks) == _BITS // 8 else b"\xff" * (_BITS // 8)

    def _bits(self, marks: bytes) -> "set[int]":
        """Return the blocks of which a mark is set."""
        found: "set[int]" = set()
        for bit in range(_BITS):
            if marks[bit >> 3] & 1 << (bit & 7):
                found.update(
                    range(bit * _GRANULE // self._size, min(self._count, ((bit + 1) * _GRANULE - 1) // self._size + 1))
                )
        return found

    def ahead(self, block: int) -> "set[int]":
        """Return the blocks that are dealt out next, from one on, as many as are marked at a time."""
        return {(block + step) % self._count for step in range(-(-self._count // _AHEAD))}

    def put(self, blocks: "set[int]") -> bool:
        """Write on flash which blocks may have been given; False where it can't be."""
        marks = bytearray(_BITS // 8)
        for block in blocks:
            for bit in range(block * self._size // _GRANULE, ((block + 1) * self._size - 1) // _GRANULE + 1):
                marks[bit >> 3] |= 1 << (bit & 7)
        try:
            files.write_atomic(self._flash, bytes(marks))
        except OSError:
            return False
        self.marked = blocks
        return True
