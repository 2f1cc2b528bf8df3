# SPDX-License-Identifier: Apache-2.0
"""Foreign functions and buffers on CPython, through ctypes.

The same few names as `agent.runtime.micropython`; everything else in the agent is written once on top of them.
"""

import collections
import ctypes
import errno
import functools
import operator
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
    made = ctypes.CFUNCTYPE(_RESULTS[result], *[ctypes.c_void_p if code == "p" else _ARGUMENTS[code] for code in arguments])(call)
    return made, ctypes.cast(made, ctypes.c_void_p).value or 0


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


_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def values(heads: "list[tuple[int, bytes]]", places: "list[tuple[int, int]]", absent: int) -> "Callable[..., tuple[int, ...]]":
    """Return what gives the unsigned numbers in network order at (offset, octets) of a message, by buffer and where it starts there.

    All at once is the fastest here, and in their order: for one that is absent, at the offset `absent`, an octet of a head is read that is
    zero too and stands behind those before it, if there is one.
    """
    zeros = [offset + number for offset, octets in heads for number in range(len(octets)) if not octets[number]]
    at = 0
    for index, (place, octets) in enumerate(places):
        if place == absent:
            places[index] = min([zero for zero in zeros if zero >= at], default=absent), octets
        at = sum(places[index])
    return _values(places)


def _values(places: "list[tuple[int, int]]") -> "Callable[..., tuple[int, ...]]":
    order = sorted(set(places))
    form, at = ">", 0
    for offset, width in order:
        form += f"{offset - at}x{_CODES[width]}"
        at = offset + width
    take = struct.Struct(form).unpack_from
    if order == places:
        return take
    pick = operator.itemgetter(*[order.index(place) for place in places])
    return lambda buffer, start: pick(take(buffer, start))


class Pattern:
    """A message whose layout is known: `heads` are (offset, octets that must stand there), `fields` name: (offset, octets).

    Fields are unsigned numbers in network order. Offsets count from the message's start. `heads` gives `wanted` of such a message.
    """

    def __init__(self, heads: "list[tuple[int, bytes]]", fields: "dict[str, tuple[int, int]]") -> None:
        form, at = "=", 0
        for offset, octets in heads:
            # As numbers, which are made three times faster than octets are; but a long run is one object as octets.
            if len(octets) > 8:
                form += f"{offset - at}x{len(octets)}s"
            else:
                form += f"{offset - at}x{'Q' * (len(octets) >> 3)}{_CODES.get(len(octets) & 4, '')}{_CODES.get(len(octets) & 2, '')}"
            at = offset + len(octets)
        # What stands between the heads is passed over, and no octet of it becomes an object (L34-VI-1).
        self.heads = struct.Struct(form).unpack_from
        sample = bytearray(at)
        for offset, octets in heads:
            sample[offset : offset + len(octets)] = octets
        self.wanted = self.heads(sample, 0)
        # Ascending offsets, each once; several fields may name the same.
        order = sorted(set(fields.values()))
        self._values = _values(order)
        # A named tuple's own descriptors, under the names of the fields: the fastest attributes that a tuple can have.
        base: "Any" = collections.namedtuple("base", [f"at{offset}" for offset, _ in order])  # type: ignore[misc]  # noqa: PYI024 (no names)
        names = {name: vars(base)[f"at{offset}"] for name, (offset, _) in fields.items()}
        self._message = functools.partial(tuple.__new__, type("Message", (base,), {"__slots__": (), **names}))

    def read(self, buffer: "bytearray | bytes", at: int) -> "Any":
        """Return an object with the fields of the message at `at` as attributes; None where it has other heads.

        The caller knows that the message lies wholly within the buffer.
        """
        if self.heads(buffer, at) != self.wanted:
            return None
        return self._message(self._values(buffer, at))


def names(path: str) -> "Iterator[str]":
    """Yield the names in a folder, in no order, one at a time; OSError where it can't be read."""
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry.name


def clock(number: int) -> int:
    """Return a POSIX clock (1 MONOTONIC, 7 BOOTTIME) in nanoseconds."""
    return time.clock_gettime_ns(number)


def receive(descriptor: int, buffer: "bytearray | memoryview") -> int:
    """Read one datagram into `buffer`; -errno where there is none. Non-blocking descriptors only."""
    try:
        return os.readv(descriptor, (buffer,))
    except OSError as failure:
        return -(failure.errno or errno.EIO)


# An event is half as long at most, with everything that the kernel can put into one; a longer one would arrive cut, and count as malformed.
SLOT = 1024
_SLOTS = 64


class _Vector(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("octets", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """`struct msghdr` as the kernel has it."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_octets", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_octets", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """`struct mmsghdr`: recvmmsg(2)."""

    _fields_ = (("header", _Header), ("size", ctypes.c_uint32))


class Inbox:
    """Where a non-blocking descriptor's datagrams arrive, many in one call of the kernel: half of what one each costs.

    `address` has room for ROOM octets. As agent.straight describes an inbox.
    """

    ROOM = _SLOTS * SLOT

    def __init__(self, descriptor: int, address: int, view: "Any") -> None:
        self.view = view
        self.sizes: "list[int]" = []
        self.at = 0
        self._descriptor = descriptor
        self._vectors = (_Vector * _SLOTS)(*[_Vector(address + slot * SLOT, SLOT) for slot in range(_SLOTS)])
        self._messages = (_Message * _SLOTS)()
        for message, vector in zip(self._messages, self._vectors, strict=True):
            message.header.vectors, message.header.count = ctypes.pointer(vector), 1
        self._sizes = memoryview(self._messages).cast("B").cast("I")[_Message.size.offset >> 2 :: ctypes.sizeof(_Message) >> 2]
        self._receive = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._first = ctypes.addressof(self._messages)

    def more(self, limit: int) -> int:
        """Receive at most `limit` datagrams."""
        count = self._receive(self._descriptor, self._first, min(limit, _SLOTS), 0, None)
        if count <= 0:
            return -ctypes.get_errno()
        self.sizes.extend(self._sizes[count - 1 : 0 : -1])
        return self._sizes[0]

    def datagram(self) -> "Any":
        """Return what starts with the last one taken."""
        return self.view[self.at : self.at + SLOT]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator
