# SPDX-License-Identifier: Apache-2.0
"""Foreign functions and buffers on CPython, through ctypes.

The same few names as `agent.runtime.micropython`; everything else in the agent is written once on top of them.
"""

import ctypes
import errno
import os
import struct
import sys
import time

NAME = "cpython"

_RESULTS = {"v": None, "i": ctypes.c_int, "I": ctypes.c_uint, "p": ctypes.c_void_p}
_ARGUMENTS = {
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "Q": ctypes.c_uint64,
    "B": ctypes.c_ubyte,
    "z": ctypes.c_size_t,
    "a": ctypes.c_void_p,
}


_BYTES = 33  # octets that an object of no bytes takes
_TWO_DIGITS = 1 << 32  # a number that takes all of the smallest place
_SPARE = 1 << 20  # octets of each size: the recorder's heap has fewer that are free


class _Pointer:
    """Argument code `p`: None, an address, bytes (read only) or a writable buffer."""

    @classmethod
    def from_param(cls, value: "int | bytes | bytearray | memoryview | None") -> object:
        if value is None or isinstance(value, int):
            return ctypes.c_void_p(value)
        if isinstance(value, bytes):
            return ctypes.c_char_p(value)
        return (ctypes.c_char * len(value)).from_buffer(value)


def place_of(failure: BaseException) -> str:
    """Return where a failure arose: file and line."""
    trace, place = failure.__traceback__, ""
    while trace is not None:
        place = trace.tb_frame.f_code.co_filename + ":" + str(trace.tb_lineno)
        trace = trace.tb_next
    return place


strerror = os.strerror


def library(name: str | None) -> ctypes.CDLL:
    """Open a shared library by file name, None for what the process already holds; OSError where it is absent."""
    return ctypes.CDLL(name, use_errno=True)


def function(lib: ctypes.CDLL, result: str, name: str, arguments: str) -> "Callable[..., Any]":
    """Return the C function `name`; AttributeError where the library lacks it."""
    found = getattr(lib, name)
    found.restype = _RESULTS[result]
    found.argtypes = [_Pointer if code == "p" else _ARGUMENTS[code] for code in arguments]
    return found


def address(lib: ctypes.CDLL, name: str) -> int:
    """Return where a function of a library is, for C to call."""
    return ctypes.cast(getattr(lib, name), ctypes.c_void_p).value or 0


def callback(result: str, call: "Callable[..., Any]", arguments: str) -> "tuple[object, int]":
    """Return (what keeps it alive, address) of a C function that calls a method."""
    made = ctypes.CFUNCTYPE(
        _RESULTS[result], *[ctypes.c_void_p if code == "p" else _ARGUMENTS[code] for code in arguments]
    )(call)
    return made, ctypes.cast(made, ctypes.c_void_p).value or 0


def overwrite_freed() -> None:
    """Overwrite what objects that are gone left in the heap: numbers, texts, up to 512 octets each (EXP-1).

    The allocator keeps places of one size together and gives those out first that were in use before.
    """
    for size in range(32, 513, 16):
        spare = [bytes(size - _BYTES) if size > _BYTES else _TWO_DIGITS + number for number in range(_SPARE // size)]
        spare.clear()


def last_error() -> int:
    """Return errno as the last foreign call left it."""
    return ctypes.get_errno()


def buffer_at(address: int, size: int) -> memoryview:
    """Return a writable view of `size` octets of memory at `address`."""
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def address_of(buffer: bytearray) -> int:
    """Return the address of a buffer's first octet; the caller keeps the buffer alive and its size fixed."""
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


def words(buffer: "bytearray | memoryview", size: int) -> "Any":
    """Return the first `size` octets (a multiple of 4) as unsigned 32-bit little-endian words, to read and to write."""
    if sys.byteorder == "little":
        return memoryview(buffer)[:size].cast("I")
    return (ctypes.c_uint32.__ctype_le__ * (size >> 2)).from_buffer(buffer)


def halves(buffer: "bytearray | memoryview", size: int) -> "Any":
    """Return the first `size` octets (a multiple of 2) as unsigned 16-bit little-endian numbers."""
    if sys.byteorder == "little":
        return memoryview(buffer)[:size].cast("H")
    return (ctypes.c_uint16.__ctype_le__ * (size >> 1)).from_buffer(buffer)


_NUMBERS: "Any" = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}


class _Message:
    """A message's fields, each read where it stands when it is asked for; a pattern adds them."""

    __slots__ = ("at", "buffer")

    def __init__(self, buffer: "bytearray | bytes", at: int) -> None:
        self.buffer = buffer
        self.at = at


def _field(offset: int, octets: int) -> property:
    end = offset + octets
    return property(lambda message: int.from_bytes(message.buffer[message.at + offset : message.at + end], "big"))


class Pattern:
    """A message whose layout is known.

    `heads` are (offset, octets that must stand there), `fields` name: (offset, octets).

    Fields are unsigned numbers in network order. Offsets count from the message's start.
    """

    def __init__(self, heads: "list[tuple[int, bytes]]", fields: "dict[str, tuple[int, int]]") -> None:
        form, at = "", 0
        for offset, octets in heads:
            form += f"{offset - at}x{len(octets)}s"
            at = offset + len(octets)
        # What stands between the heads is passed over, and no octet of it becomes an object (L34-VI-1).
        self._take = struct.Struct(form).unpack_from
        self.wanted = tuple([octets for _, octets in heads])
        self._fields = fields
        self._message: Any = type(
            "Message", (_Message,), {"__slots__": ()} | {name: _field(*place) for name, place in fields.items()}
        )
        self.buffer: Any = None
        self.at = 0
        self.there: Any = None
        self.message: Any = None

    def read(self, buffer: "bytearray | bytes", at: int) -> "Any":
        """Return an object with the fields of the message at `at` as attributes; None where it has other heads.

        The caller knows that the message lies wholly within the buffer. Fields
        are read in place, when they are asked for.
        """
        if buffer is not self.buffer or at != self.at:
            self.buffer, self.at = buffer, at
            self.there, self.message = _There(self._take, buffer, at), self._message(buffer, at)
        return self.message if self.there == self.wanted else None

    def numbers(self, name: str, octets: int = 0, count: int = 1) -> "Any":
        """Return an array whose first element is a field of the message that was read last, in a writable buffer.

        `octets` says how long a number is, where it isn't as long as the field.
        """
        offset, width = self._fields[name]
        kind = _NUMBERS[octets or width].__ctype_be__
        return (kind * count).from_buffer(self.buffer, self.at + offset)


class _There:
    """The octets of a message that are its layout's heads, as they stand there when they are compared."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, take: "Callable[..., tuple[bytes, ...]]", buffer: "bytearray | bytes", at: int) -> None:
        self._take = take
        self._buffer = buffer
        self._at = at

    def __eq__(self, wanted: object) -> bool:
        return self._take(self._buffer, self._at) == wanted


def names(path: "AnyStr") -> "Iterator[AnyStr]":
    """Yield the names in a folder, in no order, one at a time; OSError where it can't be read."""
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry.name


def clock(number: int) -> int:
    """Return a POSIX clock (1 MONOTONIC, 7 BOOTTIME) in nanoseconds."""
    return time.clock_gettime_ns(number)


def receive(descriptor: int, buffer: "bytearray | memoryview") -> int:
    """Read what is there into `buffer`; -errno where there is nothing. Non-blocking descriptors only."""
    try:
        return os.readv(descriptor, (buffer,))
    except OSError as failure:
        return -(failure.errno or errno.EIO)


def receiver(buffer: "bytearray | memoryview") -> "Callable[[int], int]":
    """Return what reads a netlink socket's next datagram into `buffer`: its size, 0: not the kernel's, or -errno."""
    sender, length, size = (ctypes.c_uint32 * 3)(), ctypes.c_int(12), len(buffer)
    place = (ctypes.c_char * size).from_buffer(buffer)
    where, who, long = ctypes.addressof(place), ctypes.addressof(sender), ctypes.addressof(length)
    take = function(library(None), "i", "recvfrom", "iaziaa")
    last_error = ctypes.get_errno

    def receive_one(descriptor: int, _held: object = (place, length)) -> int:
        found: int = take(descriptor, where, size, 0, who, long)
        if found < 0:
            return -last_error()
        return 0 if sender[1] else found  # sockaddr_nl: nl_pid, 0 for the kernel

    return receive_one


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AnyStr, Callable, Iterator
