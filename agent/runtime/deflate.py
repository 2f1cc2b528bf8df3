# SPDX-License-Identifier: Apache-2.0
"""Raw deflate (RFC 1951) by the system's libz: a chunk of packed records takes a seventh less, for one call of C.

libz works in memory of ours alone, which is overwritten after each call: what it has seen is personal data (EXP-2). Where there is no libz
a chunk is one stored block, five octets longer, which every inflater reads as well.
Source: zlib.h of zlib 1.2 and 1.3, `z_stream` and `deflateInit2`.
"""

import struct

from agent.runtime import memory
from agent.runtime.libc import native
from agent.runtime.sodium import SealError

STORED = 5  # octets before what is stored
_NAMES = ("libz.so.1", "libz.so")
_VERSION = b"1\0"  # the interface's: libz compares the first character
_ROOM = 65536  # octets that libz takes at these settings: 52 KiB to deflate, 12 KiB to inflate
# Level 3: a fifth less time than 6 for 0.3 % more octets. A window of 4 KiB, raw.
_LEVEL, _DEFLATED, _WINDOW, _MEMORY, _DEFAULT = 3, 8, -12, 6, 0
_FINISH, _END = 4, 1
_STREAM = "PILPILPPPPPiLL"  # next_in, avail_in, total_in, next_out, avail_out, total_out, msg, state, zalloc, zfree, opaque, ...
_SIGNATURES = {
    "deflateInit2_": ("i", "piiiiipi"),
    "deflate": ("i", "pi"),
    "inflateInit2_": ("i", "pipi"),
    "inflate": ("i", "pi"),
}


class Deflate:
    """Deflates and inflates between addresses, each call by itself. libz is looked for by the first one."""

    def __init__(self) -> None:
        self.region: "memory.Region | None" = None  # that libz works in
        self._used = 0
        self._tried = False
        self._stream = bytearray(struct.calcsize(_STREAM))
        self._alloc: "tuple[object, int]" = (None, 0)
        self._free: "tuple[object, int]" = (None, 0)
        self._bound: "dict[str, Callable[..., int]]" = {}

    def there(self) -> bool:
        """Say whether libz is."""
        if not self._tried:
            self._tried = True
            self._open()
        return self.region is not None

    def _open(self) -> None:
        for name in _NAMES:
            try:
                lib = native.library(name)
            except OSError:
                continue
            for function in _SIGNATURES:
                result, arguments = _SIGNATURES[function]
                self._bound[function] = native.function(lib, result, function, arguments)
            self._alloc = native.callback("p", self._take, "pII")
            self._free = native.callback("v", self._give, "pp")
            self.region = memory.scratch(_ROOM)
            break

    def _take(self, _opaque: "int | None", count: int, size: int) -> int:
        """Give libz a piece of our memory, 0 where there is no more."""
        assert self.region is not None
        at, self._used = self._used, self._used + (count * size + 15 & ~15)
        return self.region.address + at if self._used <= self.region.size else 0

    def _give(self, _opaque: "int | None", _address: int) -> None:
        """Take it back: all of it is, after each call."""

    def _run(self, init: str, call: str, settings: "tuple[int, ...]", out: int, room: int, data: int, size: int) -> int:
        """Let libz work through `size` octets; returns how many it made, -1 where it failed or hadn't room enough."""
        stream = self._stream
        struct.pack_into(_STREAM, stream, 0, data, size, 0, out, room, 0, 0, 0, self._alloc[1], self._free[1], 0, 0, 0, 0)
        self._used = 0
        try:
            if self._bound[init](stream, *settings, _VERSION, len(stream)) != 0:
                return -1
            if self._bound[call](stream, _FINISH) != _END:
                return -1
            return struct.unpack_from(_STREAM, stream, 0)[5]
        finally:
            assert self.region is not None
            self.region.wipe()

    def pack(self, out: int, data: int, size: int) -> int:
        """Deflate `size` octets (at most 65,535) into `out`, which has room for 5 more; returns how many it takes."""
        made = -1
        if self.there():
            made = self._run("deflateInit2_", "deflate", (_LEVEL, _DEFLATED, _WINDOW, _MEMORY, _DEFAULT), out, size + STORED, data, size)
        if made < 0:
            struct.pack_into("<BHH", memory.buffer_at(out, STORED), 0, 1, size, size ^ 0xFFFF)
            memory.copy(out + STORED, data, size)
            made = size + STORED
        return made

    def unpack(self, out: int, room: int, data: int, size: int) -> int:
        """Inflate `size` octets into `out`; returns how many these are. SealError for what isn't raw deflate, or too much."""
        view = memory.buffer_at(data, size)
        if size >= STORED and view[0] == 1:
            _, stored, check = struct.unpack_from("<BHH", view, 0)
            if stored != size - STORED or check != stored ^ 0xFFFF or stored > room:
                raise SealError
            memory.copy(out, data + STORED, stored)
            return stored
        made = self._run("inflateInit2_", "inflate", (_WINDOW,), out, room, data, size) if self.there() else -1
        if made < 0:
            raise SealError
        return made


# One a process: a function that C calls is never given back.
DEFLATE = Deflate()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
