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


_libc = library(None)
try:
    _gettime, _fields = function(_libc, "i", "__clock_gettime64", "ip"), "qq"
except AttributeError:
    _gettime, _fields = function(_libc, "i", "clock_gettime", "ip"), "ll"
_timespec = bytearray(16)
_recv = function(_libc, "i", "recv", "ipzi")


def clock(number: int) -> int:
    """Return a POSIX clock (1 MONOTONIC, 7 BOOTTIME) in nanoseconds."""
    _gettime(number, _timespec)
    seconds, nanoseconds = struct.unpack(_fields, _timespec)
    return seconds * 1000000000 + nanoseconds


def receive(descriptor: int, buffer: bytearray) -> int:
    """Read one datagram into `buffer`; -errno where there is none. Non-blocking descriptors only."""
    size = _recv(descriptor, buffer, len(buffer), 0)
    return size if size >= 0 else -os.errno()  # pyright: ignore[reportAttributeAccessIssue]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
