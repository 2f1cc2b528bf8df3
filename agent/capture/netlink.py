# SPDX-License-Identifier: Apache-2.0
"""Netlink framing: messages in a datagram, attributes in a message, dump requests.

Headers are in the host's byte order, values of ctnetlink in network order. Every length is checked against its
enclosing one before a byte behind it is read. Source: linux/netlink.h, linux/netfilter/nfnetlink.h, RFC 3549.
"""

import struct

from agent.runtime.libc import BIG_ENDIAN

RECEIVE_BUFFER = 4 << 20  # octets asked for by the recorder; holds some 9,000 events of a burst
HEADER = 16
_ERROR, _DONE, _OVERRUN = 2, 3, 4
_DUMP_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the table changed while it was listed
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_FLAGS = 7 if BIG_ENDIAN else 6  # where the low octet of a message's flags stands
unpack_from = struct.unpack_from


class Malformed(Exception):
    """A message whose lengths contradict each other. Never carries a byte of it (L34-II-5)."""


def attributes(buffer: "bytearray | bytes", at: int, end: int) -> "Iterator[tuple[int, int, int]]":
    """Yield (type, where its value begins, where it ends) of each attribute; the flag bits of the type are cut off."""
    while at < end:
        if end - at < 4:
            raise Malformed
        size, kind = unpack_from("HH", buffer, at)
        if size < 4 or size > end - at:
            raise Malformed
        yield kind & 0x3FFF, at + 4, at + size
        at += (size + 3) & ~3


def exactly(octets: int, at: int, end: int) -> int:
    """Return `at` where the value there has just this many octets."""
    if end - at != octets:
        raise Malformed
    return at


class Reader:
    """Walks the messages of datagrams and hands each that isn't netlink's own to `take(kind, buffer, at, end)`.

    `datagrams` read, `malformed` messages that contradict themselves, `overruns` that the kernel reported inside the
    stream and requests it `refused`, or gave up, are counts. `done` is set where a dump has ended, `interrupted` where
    it must be repeated.
    """

    def __init__(self, take: "Callable[[int, bytearray | bytes, int, int], None]") -> None:
        self._take = take
        self.datagrams = self.malformed = self.overruns = self.refused = 0
        self.done = self.interrupted = False

    def read(self, buffer: "bytearray | bytes", length: int) -> None:
        """Read one datagram: `length` octets at the start of `buffer`. Nothing raises past this call."""
        self.datagrams += 1
        at = 0
        while at < length:
            if length - at < HEADER:
                self.malformed += 1
                return
            size, kind = unpack_from("IH", buffer, at)
            if size < HEADER or size > length - at:
                self.malformed += 1
                return
            if buffer[at + _FLAGS] & _DUMP_INTERRUPTED:
                self.interrupted = True
            try:
                if kind > _OVERRUN:
                    self._take(kind, buffer, at, at + size)
                else:
                    self._control(kind, buffer, at + HEADER, at + size)
            except Malformed:
                self.malformed += 1
            at += (size + 3) & ~3

    def _control(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if kind == _OVERRUN:
            self.overruns += 1
        elif kind == _DONE:
            self.done = True
            # What a dump ended with: 0, or an error number below.
            self.refused += end - at >= 4 and unpack_from("i", buffer, at)[0] < 0
        elif kind == _ERROR:
            if end - at < 4:
                raise Malformed
            (number,) = unpack_from("i", buffer, at)
            self.refused += number != 0
            # An error ends a dump as well: nothing follows it.
            self.done = True


def dump_request(kind: int, body: bytes) -> bytes:
    """Return a request that makes the kernel list a whole table."""
    return struct.pack("IHHII", HEADER + len(body), kind, _REQUEST_DUMP, 1, 0) + body


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator
