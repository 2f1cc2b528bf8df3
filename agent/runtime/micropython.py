# SPDX-License-Identifier: Apache-2.0
"""Foreign functions and buffers on MicroPython's unix port, through ffi and uctypes.

The same few names as `agent.runtime.cpython`. A size_t travels as a pointer-wide integer ("p"): the port's own code "L" for
it aborts the process on MIPS.
"""

import os
import struct

import ffi
import uctypes

NAME = "micropython"


def library(name: "str | None") -> "Any":
    """Open a shared library by file name, None for what the process already holds; OSError where it is absent."""
    return ffi.open(name)


def function(lib: "Any", result: str, name: str, arguments: str) -> "Callable[..., Any]":
    """Return the C function `name`; AttributeError where the library lacks it."""
    try:
        return lib.func(result, name, arguments.replace("z", "p"))
    except OSError:
        raise AttributeError(name)


def last_error() -> int:
    """Return errno as the last foreign call left it."""
    return os.errno()  # pyright: ignore[reportAttributeAccessIssue]


def buffer_at(address: int, size: int) -> bytearray:
    """Return a writable view of `size` octets of memory at `address`."""
    return uctypes.bytearray_at(address, size)


def address_of(buffer: bytearray) -> int:
    """Return the address of a buffer's first octet; the caller keeps the buffer alive and its size fixed."""
    return uctypes.addressof(buffer)


def words(buffer: "bytearray | memoryview", size: int) -> "Any":
    """Return the first `size` octets (a multiple of 4) as unsigned 32-bit little-endian words, to read and to write."""
    return _array(buffer, size, uctypes.LITTLE_ENDIAN)


def _array(buffer: "bytearray | memoryview | bytes", size: int, order: int) -> "Any":
    # An element of such an array is read without touching the heap.
    description = {"words": (uctypes.ARRAY, uctypes.UINT32 | size >> 2)}
    return uctypes.struct(uctypes.addressof(buffer), description, order).words


class Pattern:
    """A message whose layout is known: `checks` are (offset, word in host order), `fields` offsets of words in network order.

    Offsets count octets from the message's start and are multiples of 4.
    """

    _buffer = b""
    _host: "Any" = None
    _network: "Any" = None

    def __init__(self, checks: "list[tuple[int, int]]", fields: "list[int]") -> None:
        self._offsets = tuple([check[0] >> 2 for check in checks])
        self._wanted = tuple([check[1] for check in checks])
        self._fields = tuple([offset >> 2 for offset in fields])
        self._checks = range(len(checks))
        self._range = range(len(fields))
        self._values = [0] * len(fields)

    def read(self, buffer: "bytearray | bytes", at: int) -> "list[int] | None":
        """Return the fields' words, in the order they were given, of the message at `at`; None where a check fails.

        The caller knows that the message lies wholly within the buffer. The list is the same one each time.
        """
        if buffer is not Pattern._buffer:
            size = len(buffer) & ~3
            Pattern._buffer = buffer
            Pattern._host = _array(buffer, size, uctypes.NATIVE)
            Pattern._network = _array(buffer, size, uctypes.BIG_ENDIAN)
        at >>= 2
        host, offsets, wanted = Pattern._host, self._offsets, self._wanted
        for index in self._checks:
            if host[at + offsets[index]] != wanted[index]:
                return None
        network, values, fields = Pattern._network, self._values, self._fields
        for index in self._range:
            values[index] = network[at + fields[index]]
        return values


_libc = library(None)
try:
    _gettime, _fields = function(_libc, "i", "__clock_gettime64", "ip"), "qq"
except AttributeError:
    _gettime, _fields = function(_libc, "i", "clock_gettime", "ip"), "ll"
_timespec = bytearray(16)
_recv = function(_libc, "i", "recv", "ipzi")


def names(path: str) -> "Iterator[str]":
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
    """Read one datagram into `buffer`; -errno where there is none. Non-blocking descriptors only."""
    size = _recv(descriptor, buffer, len(buffer), 0)
    return size if size >= 0 else -os.errno()  # pyright: ignore[reportAttributeAccessIssue]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator
