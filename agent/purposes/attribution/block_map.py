# SPDX-License-Identifier: Apache-2.0
"""Where it is kept which terminal has which block: a row a block in memory.

The map lies in a tmpfs file, so that a restart of the process goes on with it. Over a boot `block_marks` tells only
which blocks may have been given: those rest for 24 h.

File, little-endian: a header, then a row of 32 octets a block.

    header   0 magic 8   8 block size u32   12 public address 4
    row      0 state u8 (0 free, 1 held, 2 resting)   4 address 4   8 MAC 6   16 since u32 (s since the epoch)
             20 part u32 (s since the epoch: where the row in the open store begins, 0: none)
             24 last u32 (s since boot: newest sign of a connection)
"""

import struct

from agent.purposes.attribution.record import UNKNOWN_MAC
from agent.purposes.sharded_dict import ShardedDict
from agent.runtime import files, memory

# Ports that are dealt out; the kernel's own default range for a router's connections lies within
FIRST, LAST = 16384, 65535
FREE, HELD, RESTING = 0, 1, 2
_MAGIC = b"OUBLIBK1"
_HEADER, _ROW = 16, 32
_FIELDS = "<Bxxx4s6sxxIIIxxxx"


class BlockMap:
    """The map at `path`, made anew where its blocks are of another size: those that may have been `given` rest then.

    `users`: what the open row of a block says of a portal user; the process alone knows it. `now` in s since boot.
    """

    def __init__(self, path: str, size: int, given: "set[int]", now: int) -> None:
        self.count = (LAST + 1 - FIRST) // size
        self.size = size
        self.users = ShardedDict()
        self._begun = now  # what left by a block just before isn't known: one of then rests from here on
        header = _MAGIC + struct.pack("<I", size)
        octets = _HEADER + _ROW * self.count
        fresh = not files.exists(path) or files.size_of(path) != octets
        self._region = memory.map_file(path, octets)
        if fresh or bytes(self._region.view[: len(header)]) != header:
            self._region.wipe()
            self._region.view[: len(header)] = header
            for block in given:  # what may have been given in a former boot, or in blocks of another size
                self.put(block, RESTING, bytes(4), UNKNOWN_MAC, 0, 0, now)

    @property
    def public(self) -> bytes:
        """Return the public address, zeros as long as none is known."""
        return bytes(self._region.view[_HEADER - 4 : _HEADER])

    def set_public(self, address: bytes) -> None:
        """Take note of the public address."""
        self._region.view[_HEADER - 4 : _HEADER] = address

    def row(self, block: int) -> "tuple[int, bytes, bytes, int, int, int]":
        """Return state, address, MAC, since, part and last of a block."""
        return struct.unpack_from(_FIELDS, self._region.view, _HEADER + block * _ROW)

    def put(self, block: int, state: int, address: bytes, mac: bytes, since: int, part: int, last: int) -> None:
        """Write the row of a block."""
        if state != HELD and not part:  # nothing is recorded by it any more: nobody needs to know whose it was
            address, mac, since, last = bytes(4), UNKNOWN_MAC, 0, max(last, self._begun)
            self.users.pop(block, b"")
        memory.store(_FIELDS, self._region.view, _HEADER + block * _ROW, state, address, mac, since, part, last)

    def free(self, block: int) -> None:
        """Let a block be given to anybody."""
        self.put(block, FREE, bytes(4), UNKNOWN_MAC, 0, 0, 0)

    def ports(self, block: int) -> "tuple[int, int]":
        """Return the first and last port of a block."""
        first = FIRST + block * self.size
        return first, first + self.size - 1

    def of(self, mac: bytes) -> "Iterator[tuple[str, bytes, bytes, bytes, int, int]]":
        """Yield the blocks that a terminal has, or whose row goes on.

        Ports, its address, the public one, whose they are at the portal, since when (s since the epoch), its last
        connection (s since boot).
        """
        for block in range(self.count):
            state, address, owner, since, _, last = self.row(block)
            if state != FREE and owner == mac:
                yield "%d-%d" % self.ports(block), address, self.public, self.users.get(block, b""), since, last

    def close(self) -> None:
        """Unmap; the map stays for the next process."""
        self._region.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
