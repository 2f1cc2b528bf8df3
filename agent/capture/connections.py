# SPDX-License-Identifier: Apache-2.0
"""Connections that ended, read off the kernel's ctnetlink DESTROY messages (L34-I-2, L34-VI-1).

A DESTROY carries the whole connection: both tuples, counters, times, the state it died in. It is walked once into one
preallocated `Connection`, which the next message overwrites. The destination address stays in the kernel's buffer: of the
original tuple only the source is copied out, of the reply tuple only the port that translation chose. A malformed message
is counted and skipped; nothing raises past this room.
Source: linux/netfilter/nfnetlink_conntrack.h (attribute numbers), checked against recorded datagrams.
"""

import struct

from agent.capture.netlink import HEADER, Malformed, attribute
from agent.summary.services import service_of

INET, INET6 = 2, 10
ICMP, IGMP, TCP, UDP, GRE, ESP, ICMPV6 = 1, 2, 6, 17, 47, 50, 58

SEEN_REPLY, ASSURED = 2, 4  # bits of STATUS

_DESTROY = 0x102
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _TIMEOUT = 1, 2, 3, 4, 7
_COUNTERS_ORIG, _COUNTERS_REPLY, _TIMESTAMP = 9, 10, 20
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ICMP_ID, _ICMPV6_ID = 4, 7
_ADDRESSES = {INET: (1, 8), INET6: (3, 20)}  # family: (attribute number of the source, octets with its header)

_unpack_from = struct.unpack_from


class Connection:
    """One connection that ended; overwritten by the next one.

    family           2 (IPv4) or 10 (IPv6)
    protocol         IP protocol number
    source           original source address, 4 or 16 octets
    source_port      original source port (ICMP: query id; 0 where the protocol has none)
    translated_port  the same after source translation
    service          class number, see agent.summary.services
    packets_up/down, bytes_up/down   original and reply direction, as the kernel counts (with IP headers)
    start, stop      kernel wall clock, ns since the epoch; 0 where the entry has no timestamps
    state            TCP state number at the end, 0 for others
    status           IPS_* bits
    remaining        seconds its timeout still had to run when it was deleted early, else 0
    accounted        the entry has counters
    """

    __slots__ = (
        "accounted",
        "bytes_down",
        "bytes_up",
        "family",
        "packets_down",
        "packets_up",
        "protocol",
        "remaining",
        "service",
        "source",
        "source_port",
        "start",
        "state",
        "status",
        "stop",
        "translated_port",
    )

    def __init__(self) -> None:
        self.source = b""
        self.clear()

    def clear(self) -> None:
        """Forget the former connection."""
        self.family = self.protocol = self.source_port = self.translated_port = self.service = 0
        self.packets_up = self.packets_down = self.bytes_up = self.bytes_down = 0
        self.start = self.stop = self.state = self.status = self.remaining = 0
        self.accounted = False
        self.source = b""


def _wide(buffer: "bytearray | bytes", at: int) -> int:
    """Read 64 bits as two halves: on a 32-bit interpreter only a large value costs an allocation."""
    high, low = _unpack_from(">II", buffer, at)
    return high << 32 | low if high else low


class Decoder:
    """Turns datagrams into connections and counts what it saw.

    `datagrams`, `connections`, `malformed` count datagrams read, DESTROY messages understood, messages that contradict
    themselves.
    """

    def __init__(self) -> None:
        self.connection = Connection()
        self.datagrams = self.connections = self.malformed = 0

    def feed(self, buffer: "bytearray | bytes", length: int, sink: "Callable[[Connection], None]") -> None:
        """Call `sink` with each connection that ended in this datagram: `length` octets at the start of `buffer`."""
        self.datagrams += 1
        at = 0
        while at < length:
            if length - at < HEADER:
                self.malformed += 1
                return
            size, kind = _unpack_from("IH", buffer, at)
            if size < HEADER or size > length - at:
                self.malformed += 1
                return
            if kind == _DESTROY:
                try:
                    self._message(buffer, at + HEADER, at + size)
                except Malformed:
                    self.malformed += 1
                else:
                    self.connections += 1
                    sink(self.connection)
            at += (size + 3) & ~3

    def _message(self, buffer: "bytearray | bytes", at: int, end: int) -> None:
        connection = self.connection
        connection.clear()
        if end - at < 4:
            raise Malformed
        connection.family = buffer[at]
        if connection.family not in _ADDRESSES:
            raise Malformed
        at += 4
        destination_port = -1
        while at < end:
            size, kind = attribute(buffer, at, end)
            inner = at + 4
            inner_end = at + size
            if kind == _TUPLE_ORIG:
                destination_port = self._original(buffer, inner, inner_end)
            elif kind == _TUPLE_REPLY:
                self._reply(buffer, inner, inner_end)
            elif kind == _COUNTERS_ORIG:
                connection.packets_up, connection.bytes_up = self._pair(buffer, inner, inner_end)
                connection.accounted = True
            elif kind == _COUNTERS_REPLY:
                connection.packets_down, connection.bytes_down = self._pair(buffer, inner, inner_end)
            elif kind == _TIMESTAMP:
                connection.start, connection.stop = self._pair(buffer, inner, inner_end)
            elif kind == _PROTOINFO:
                connection.state = self._state(buffer, inner, inner_end)
            elif kind in (_STATUS, _TIMEOUT):
                if size != 8:
                    raise Malformed
                (value,) = _unpack_from(">I", buffer, inner)
                if kind == _STATUS:
                    connection.status = value
                else:
                    connection.remaining = value
            at += (size + 3) & ~3
        if destination_port < 0:
            raise Malformed
        connection.service = service_of(connection.protocol, destination_port)

    def _original(self, buffer: "bytearray | bytes", at: int, end: int) -> int:
        """Fill in source and protocol; returns the destination port, which decides the class and is then dropped."""
        connection = self.connection
        port = -1
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind == 1:
                self._source(buffer, at + 4, at + size)
            elif kind == 2:
                port = self._ports(buffer, at + 4, at + size)
            at += (size + 3) & ~3
        return port if connection.source else -1

    def _source(self, buffer: "bytearray | bytes", at: int, end: int) -> None:
        wanted, octets = _ADDRESSES[self.connection.family]
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind == wanted:
                if size != octets:
                    raise Malformed
                self.connection.source = bytes(buffer[at + 4 : at + size])
            at += (size + 3) & ~3

    def _ports(self, buffer: "bytearray | bytes", at: int, end: int) -> int:
        """Fill in protocol and source port; returns the destination port (0 where there is none, -1: no protocol)."""
        connection = self.connection
        protocol, destination = -1, 0
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind == _NUMBER:
                if size != 5:
                    raise Malformed
                protocol = buffer[at + 4]
            elif kind in (_SOURCE_PORT, _DESTINATION_PORT, _ICMP_ID, _ICMPV6_ID):
                if size != 6:
                    raise Malformed
                value = buffer[at + 4] << 8 | buffer[at + 5]
                if kind == _DESTINATION_PORT:
                    destination = value
                else:
                    connection.source_port = value
            at += (size + 3) & ~3
        if protocol < 0:
            return -1
        connection.protocol = protocol
        return destination

    def _reply(self, buffer: "bytearray | bytes", at: int, end: int) -> None:
        """Fill in the port that translation chose: where the replies go to."""
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind == 2:
                inner, inner_end = at + 4, at + size
                while inner < inner_end:
                    width, number = attribute(buffer, inner, inner_end)
                    if number in (_DESTINATION_PORT, _ICMP_ID, _ICMPV6_ID):
                        if width != 6:
                            raise Malformed
                        self.connection.translated_port = buffer[inner + 4] << 8 | buffer[inner + 5]
                    inner += (width + 3) & ~3
            at += (size + 3) & ~3

    def _pair(self, buffer: "bytearray | bytes", at: int, end: int) -> "tuple[int, int]":
        """Read attributes 1 and 2 of 64 bits each (counters: packets, octets; timestamp: start, stop)."""
        first = second = 0
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind in (1, 2):
                if size != 12:
                    raise Malformed
                if kind == 1:
                    first = _wide(buffer, at + 4)
                else:
                    second = _wide(buffer, at + 4)
            at += (size + 3) & ~3
        return first, second

    def _state(self, buffer: "bytearray | bytes", at: int, end: int) -> int:
        """Return the TCP state of PROTOINFO, 0 where it is another protocol's."""
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind == 1:
                inner, inner_end = at + 4, at + size
                while inner < inner_end:
                    width, number = attribute(buffer, inner, inner_end)
                    if number == 1:
                        if width != 5:
                            raise Malformed
                        return buffer[inner + 4]
                    inner += (width + 3) & ~3
            at += (size + 3) & ~3
        return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
