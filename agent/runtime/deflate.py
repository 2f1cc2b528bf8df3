# SPDX-License-Identifier: Apache-2.0
"""Raw deflate (RFC 1951) by the system's libz: a chunk of packed records takes a fifth less, for a few calls of C.

libz works in memory of ours alone. It begins once; what that leaves there is kept. After each call all of that memory
is overwritten, for what libz has seen is personal data (EXP-2). What is kept is put back, so the next call has nothing
to allocate and to begin. Where there is no libz a chunk is one stored block, five octets longer, which every inflater
reads as well. Source: zlib.h of zlib 1.2 and 1.3, `z_stream` and `deflateInit2`.
"""

import struct

from agent.runtime import memory
from agent.runtime.libc import native
from agent.runtime.sodium import SealError

STORED = 5  # octets before what is stored
_NAMES = ("libz.so.1", "libz.so")
_VERSION = b"1\0"  # the interface's: libz compares the first character
_ROOM = 65536  # octets that libz takes at these settings: 52 KiB to deflate, 12 KiB to inflate
# Huffman codes alone: what would repeat stands in columns, and matches between them cost more
# than they save. A window of 4 KiB, raw.
_LEVEL, _DEFLATED, _WINDOW, _MEMORY, _HUFFMAN_ONLY = 1, 8, -12, 6, 2
_FINISH, _BLOCK, _END = 4, 5, 1
_PART = "PI"  # the stream's first fields: next_in, avail_in
_GIVEN = _PART + "LPI"  # total_in, next_out, avail_out, then total_out
_STREAM = _GIVEN + "LPPPPPiLL"  # msg, state, zalloc, zfree, opaque, ...
_MADE = struct.calcsize(_GIVEN + "L") - struct.calcsize("L")
_FIRST = 128  # octet of the memory that libz is given first: the stream stands before it
_PIECE = 1024
_ARGUMENTS = {
    "deflate": ("piiiiipi", (_LEVEL, _DEFLATED, _WINDOW, _MEMORY, _HUFFMAN_ONLY)),
    "inflate": ("pipi", (_WINDOW,)),
}


class _Way:
    """`deflate` or `inflate`: a stream that has begun, and all that libz has for it.

    The stream may not move, for libz points to it.
    """

    def __init__(self, lib: "Any", name: str) -> None:
        arguments, settings = _ARGUMENTS[name]
        self._work = native.function(lib, "i", name, "ai")
        self.region = memory.scratch(_ROOM)
        self._used = _FIRST
        self._take_, take = native.callback("p", self._take, "pII")
        self._give_, give = native.callback("v", self._give, "pp")
        struct.pack_into(_STREAM, self.region.view, 0, 0, 0, 0, 0, 0, 0, 0, 0, take, give, 0, 0, 0, 0)
        begin = native.function(lib, "i", name + "Init2_", arguments)
        self.begun = begin(self.region.address, *settings, _VERSION, struct.calcsize(_STREAM)) == 0
        self._begun = self._used
        # It leaves nothing but zeros behind its first few KiB.
        self._kept = _ROOM
        view, zeros = memoryview(self.region.view), bytes(_PIECE)
        while self._kept and view[self._kept - _PIECE : self._kept] == zeros:
            self._kept -= _PIECE
        self._copy = memory.scratch(self._kept)
        memory.copy(self._copy.address, self.region.address, self._kept)

    def _take(self, _opaque: "int | None", count: int, size: int) -> int:
        """Give libz a piece of our memory, 0 where there is no more."""
        at, end = self._used, self._used + (count * size + 15 & ~15)
        if end > _ROOM:
            return 0
        self._used = end
        return self.region.address + at

    def _give(self, _opaque: "int | None", _address: int) -> None:
        """Take it back: all of it is, after each call."""

    def run(self, out: int, room: int, *parts: "tuple[int, int]") -> int:
        """Let libz work through parts, by address and octets; returns octets made, -1 on failure or without room."""
        region, left, done = self.region, len(parts), 0
        struct.pack_into(_GIVEN, region.view, 0, 0, 0, 0, out, room)
        try:
            for part in parts:
                struct.pack_into(_PART, region.view, 0, *part)
                left -= 1
                done = self._work(region.address, _BLOCK if left else _FINISH)
            if done != _END:
                return -1
            return struct.unpack_from("L", region.view, _MADE)[0]
        finally:
            region.wipe_part(0, self._used)
            memory.copy(region.address, self._copy.address, self._kept)
            self._used = self._begun


def _begun(name: str) -> "_Way | None":
    for file in _NAMES:
        try:
            way = _Way(native.library(file), name)
        except OSError:
            continue
        return way if way.begun else None
    return None


class Deflate:
    """Deflates and inflates between addresses, each call by itself. libz is looked for by the first one."""

    def __init__(self) -> None:
        self._ways: "dict[str, _Way | None]" = {}

    def way(self, name: str) -> "_Way | None":
        """Return "deflate" or "inflate", None where libz isn't or can't."""
        if name not in self._ways:
            self._ways[name] = _begun(name)
        return self._ways[name]

    def pack(self, out: int, *parts: "tuple[int, int]") -> int:
        """Deflate parts, by address and octets (at most 65,535 in all), each in a block of its own.

        They go into `out`, which has room for 5 octets more than they have; returns how many it takes.
        """
        size = sum([part[1] for part in parts])
        way = self.way("deflate")
        made = way.run(out, size + STORED, *parts) if way is not None else -1
        if made < 0:
            struct.pack_into("<BHH", memory.buffer_at(out, STORED), 0, 1, size, size ^ 0xFFFF)
            made = STORED
            for data, octets in parts:
                memory.copy(out + made, data, octets)
                made += octets
        return made

    def unpack(self, out: int, room: int, data: int, size: int) -> int:
        """Inflate `size` octets into `out`; returns how many these are.

        SealError for what isn't raw deflate, or too much.
        """
        view = memory.buffer_at(data, size)
        if size >= STORED and view[0] == 1:
            _, stored, check = struct.unpack_from("<BHH", view, 0)
            if stored != size - STORED or check != stored ^ 0xFFFF or stored > room:
                raise SealError
            memory.copy(out, data + STORED, stored)
            return stored
        way = self.way("inflate")
        made = way.run(out, room, (data, size)) if way is not None else -1
        if made < 0:
            raise SealError
        return made


# One a process: a function that C calls is never given back.
DEFLATE = Deflate()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
