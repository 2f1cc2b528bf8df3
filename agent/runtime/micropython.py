# SPDX-License-Identifier: Apache-2.0
"""Foreign functions and buffers on MicroPython's unix port, through ffi and uctypes.

The same few names as `agent.runtime.cpython`. A size_t travels as a pointer-wide integer ("p"): the port's own code "L"
for it aborts the process on MIPS.
"""

import gc
import io
import os
import struct
import sys

import ffi
import uctypes

NAME = "micropython"

# Garbage is collected early: left until the heap is full, it would scatter what stays all over the heap, and no piece
# of what is free be large enough for an answer (tried: 140 kB free, none of 3). 32 kB of 576, and more of a larger one.
_EARLY = (gc.mem_alloc() + gc.mem_free()) // 18
gc.threshold(_EARLY)


def place_of(failure: BaseException) -> str:
    """Return where a failure arose: file and line."""
    told: "Any" = io.StringIO()
    sys.print_exception(failure, told)
    places = [line.split(", in ")[0] for line in told.getvalue().split("\n") if line.startswith('  File "')]
    return places[-1][8:].replace('", line ', ":") if places else ""


def library(name: "str | None") -> "Any":
    """Open a shared library by file name, None for what the process already holds; OSError where it is absent."""
    return ffi.open(name)


def function(lib: "Any", result: str, name: str, arguments: str) -> "Callable[..., Any]":
    """Return the C function `name`; AttributeError where the library lacks it."""
    try:
        return lib.func(result, name, arguments.replace("z", "p").replace("a", "p"))
    except OSError:
        raise AttributeError(name)


def address(lib: "Any", name: str) -> int:
    """Return where a function of a library is, for C to call."""
    return lib.addr(name)


def callback(result: str, call: "Callable[..., Any]", arguments: str) -> "tuple[object, int]":
    """Return (what keeps it alive, address) of a C function that calls a method."""
    made = ffi.callback(result, call, arguments)
    return made, made.cfun()


def overwrite_freed() -> None:
    """Overwrite what objects that are gone left in the heap: a list takes one block, its only item another (EXP-1)."""
    gc.threshold(-1)
    gc.collect()
    chain: "Any" = None
    try:
        while True:
            chain = [chain]
    except MemoryError:
        pass
    # Link by link, for a pointer left on the stack would hold the whole chain
    while chain is not None:
        link, chain = chain, chain[0]
        link[0] = None
    gc.threshold(_EARLY)
    gc.collect()


def last_error() -> int:
    """Return errno as the last foreign call left it."""
    return os.errno()  # type: ignore[attr-defined]


def buffer_at(address: int, size: int) -> bytearray:
    """Return a writable view of `size` octets of memory at `address`."""
    return uctypes.bytearray_at(address, size)


def address_of(buffer: bytearray) -> int:
    """Return the address of a buffer's first octet; the caller keeps the buffer alive and its size fixed."""
    return uctypes.addressof(buffer)


def words(buffer: "bytearray | memoryview", size: int) -> "Any":
    """Return the first `size` octets (a multiple of 4) as unsigned 32-bit little-endian words, to read and to write."""
    return _numbers(buffer, uctypes.UINT32 | size >> 2)


def halves(buffer: "bytearray | memoryview", size: int) -> "Any":
    """Return the first `size` octets (even) as unsigned 16-bit little-endian numbers: small integers everywhere."""
    return _numbers(buffer, uctypes.UINT16 | size >> 1)


def _numbers(buffer: "bytearray | memoryview", kind: int) -> "Any":
    # An element of such an array is read without touching the heap; in the processor's
    # own order at once, not octet by octet.
    at = uctypes.addressof(buffer)
    order = uctypes.NATIVE if sys.byteorder == "little" and not at & 3 else uctypes.LITTLE_ENDIAN
    return uctypes.struct(at, {"numbers": (uctypes.ARRAY, kind)}, order).numbers


# By octets. Three are the upper ones of four.
_WIDTHS = {
    1: uctypes.UINT8,
    2: uctypes.UINT16,
    3: uctypes.BFUINT32 | 8 << uctypes.BF_POS | 24 << uctypes.BF_LEN,
    4: uctypes.UINT32,
    8: uctypes.UINT64,
}


class Pattern:
    """A message whose layout is known.

    `heads` are (offset, octets that must stand there), `fields` name: (offset, octets).

    Fields are unsigned numbers in network order. Offsets count from the message's start.
    """

    def __init__(self, heads: "list[tuple[int, bytes]]", fields: "dict[str, tuple[int, int]]") -> None:
        self._places = [head[0] for head in heads]
        self.wanted = [head[1] for head in heads]
        self._description = {}
        for name in fields:
            offset, octets = fields[name]
            self._description[name] = _WIDTHS[octets] | offset
        self.buffer: "Any" = None
        self.at = 0
        self.there: "list[memoryview]" = []
        self.message: "Any" = None

    def read(self, buffer: "bytearray | bytes", at: int) -> "Any":
        """Return an object with the fields of the message at `at` as attributes; None where it has other heads.

        The caller knows that the message lies wholly within the buffer. Fields are read in place, when they are asked
        for. The daemon receives into the same buffer again and again: there nothing is allocated.
        """
        if buffer is not self.buffer or at != self.at:
            self.bind(buffer, at)
        # One comparison in C: each view with its octets.
        return self.message if self.there == self.wanted else None

    def numbers(self, name: str, octets: int = 0, count: int = 1) -> "Any":
        """Return an array whose first element is a field of the last message read: half the cost of an attribute.

        `octets` says how long a number is, where it isn't as long as the field.
        """
        offset = self._description[name] & 0xFFFF
        kind = _WIDTHS[octets] if octets else self._description[name] - offset
        at = uctypes.addressof(self.buffer) + self.at + offset
        return uctypes.struct(at, {"numbers": (uctypes.ARRAY, kind | count)}, uctypes.BIG_ENDIAN).numbers

    def bind(self, buffer: "bytearray | bytes", at: int) -> None:
        """Make `there` what `wanted` is to be compared with, and `message` what reads the fields in place."""
        self.buffer, self.at = buffer, at
        view = memoryview(buffer)
        self.there = [view[at + place : at + place + len(wanted)] for place, wanted in zip(self._places, self.wanted)]
        self.message = uctypes.struct(uctypes.addressof(buffer) + at, self._description, uctypes.BIG_ENDIAN)


_libc = library(None)
try:
    _gettime, _fields = function(_libc, "i", "__clock_gettime64", "ip"), "qq"
except AttributeError:
    _gettime, _fields = function(_libc, "i", "clock_gettime", "ip"), "ll"
_timespec = bytearray(16)
_recv = function(_libc, "i", "recv", "ipzi")
_recvfrom = function(_libc, "i", "recvfrom", "ipzipp")
strerror = function(_libc, "s", "strerror", "i")


def names(path: "AnyStr") -> "Iterator[AnyStr]":
    """Yield the names in a folder, in no order, one at a time; OSError where it can't be read."""
    entries = os.ilistdir(path)
    while True:
        try:
            yield next(entries)[0]
        except StopIteration:
            return
        except UnicodeError:  # a name that isn't text
            continue


def clock(number: int) -> int:
    """Return a POSIX clock (1 MONOTONIC, 7 BOOTTIME) in nanoseconds."""
    _gettime(number, _timespec)
    seconds, nanoseconds = struct.unpack(_fields, _timespec)
    return seconds * 1000000000 + nanoseconds


def receive(descriptor: int, buffer: "bytearray | memoryview") -> int:
    """Read what is there into `buffer`; -errno where there is nothing. Non-blocking descriptors only."""
    size = _recv(descriptor, buffer, len(buffer), 0)
    return size if size >= 0 else -os.errno()  # type: ignore[attr-defined]


def receiver(buffer: "bytearray | memoryview") -> "Callable[[int], int]":
    """Return what reads a netlink socket's next datagram into `buffer`: its size, 0: not the kernel's, or -errno."""
    take, sender, length, size = _recvfrom, bytearray(12), bytearray(struct.pack("i", 12)), len(buffer)
    port, kernel = memoryview(sender)[4:8], bytes(4)  # sockaddr_nl: nl_pid, 0 for the kernel

    def receive_one(descriptor: int) -> int:
        found = take(descriptor, buffer, size, 0, sender, length)
        if found > 0 and port != kernel:
            return 0
        return found if found >= 0 else -os.errno()  # type: ignore[attr-defined]

    return receive_one


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AnyStr, Callable, Iterator
