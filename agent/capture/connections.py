# SPDX-License-Identifier: Apache-2.0
"""Connections, read off the kernel's ctnetlink messages: DESTROY events and entries of a dump (L34-I-2, L34-VI-1).

A DESTROY carries the whole connection: both tuples, counters, times, the state it died in. The kernel writes the same few
layouts over and over, so a message is walked, with every length checked, only when its layout is new; what the walk learned
(which words are attribute headers, where the values stand) is kept as a `Pattern`, and the next message of that size is the
same layout if all its headers are the same words. Values go into one preallocated `Connection`, which the next message
overwrites. The destination address stays in the kernel's buffer: `Connection` knows where it stands, so that its first octets
can be compared in place, and copies nothing of it. A malformed message is counted and skipped; nothing raises past this room.
Source: linux/netfilter/nfnetlink_conntrack.h (attribute numbers), checked against recorded datagrams.
"""

from agent.capture.netlink import HEADER, Malformed, Reader, attributes, dump_request, exactly, unpack_from
from agent.runtime.libc import native
from agent.summary.services import service_of

INET, INET6 = 2, 10
ICMP, IGMP, TCP, UDP, GRE, ESP, ICMPV6, SCTP, UDPLITE = 1, 2, 6, 17, 47, 50, 58, 132, 136

SEEN_REPLY, ASSURED = 2, 4  # bits of STATUS

DESTROY, NEW = 0x102, 0x100
GET = 0x101  # lists the table; its sibling 0x103 zeroes the counters, which other tools on the router use: never sent
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _TIMEOUT = 1, 2, 3, 4, 7
_COUNTERS_ORIG, _COUNTERS_REPLY, _TIMESTAMP = 9, 10, 20
_IP, _PROTO = 1, 2  # in a tuple
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ICMP_ID, _ICMPV6_ID = 4, 7
# family: attribute numbers of source and destination, octets of an address
_ADDRESSES = {INET: (1, 2, 4), INET6: (3, 4, 16)}
_LAYOUTS = 24  # remembered at most
REQUEST = dump_request(GET, bytes(4))  # both families
_MAPPED = 0xFFFF  # third word of an IPv4 address as IPv6 writes it


class Layout:
    """What a walk learned of a message: offsets of values from its start, 0 where an attribute is absent; `checks` are its headers."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.octets = _ADDRESSES[family][2]
        self.checks: "list[tuple[int, int]]" = []
        self.pattern: "Any" = None
        self.source = self.destination = self.reply_source = 0
        self.number = self.source_port = self.destination_port = self.translated_port = 0
        self.status = self.remaining = self.state = 0
        self.up: "tuple[int, int]" = (0, 0)
        self.down: "tuple[int, int]" = (0, 0)
        self.times: "tuple[int, int]" = (0, 0)
        self.accounted = self.wide = False

    def seal(self) -> None:
        """Make the pattern of the values in the order in which `_fill` reads them; another word stands for one that is absent."""
        spare = self.number
        single = (self.source_port, self.destination_port, self.translated_port, self.status, self.remaining, self.state)
        fields = [self.number] + [at or spare for at in single]
        for at in self.up + self.down + self.times:
            fields.extend((at, at + 4) if at else (spare, spare))
        fields.extend([self.source + at for at in range(0, self.octets, 4)])
        self.pattern = native.Pattern(self.checks, fields)


_NO_LAYOUT = Layout(INET)


class Connection:
    """One connection; overwritten by the next message, valid until the buffer is.

    family           2 (IPv4) or 10 (IPv6)
    protocol         IP protocol number
    word0 .. word3   original source address as four words (IPv4: mapped into IPv6); `source()` has it as 4 or 16 octets
    source_port      original source port (ICMP: query id; 0 where the protocol has none)
    translated_port  the same after source translation
    service          class number, see agent.summary.services
    packets_up/down, bytes_up/down   original and reply direction, as the kernel counts (with IP headers)
    start, stop      kernel wall clock, ns since the epoch; 0 where the entry has no timestamps
    state            TCP or SCTP state number at the end, 0 for others
    status           IPS_* bits
    remaining        seconds its timeout still had to run (an entry deleted early, or alive), else 0
    accounted        the entry has counters
    """

    __slots__ = (
        "accounted",
        "at",
        "buffer",
        "bytes_down",
        "bytes_up",
        "family",
        "layout",
        "packets_down",
        "packets_up",
        "protocol",
        "remaining",
        "service",
        "source_port",
        "start",
        "state",
        "status",
        "stop",
        "translated_port",
        "word0",
        "word1",
        "word2",
        "word3",
    )

    def __init__(self) -> None:
        self.family = self.protocol = self.source_port = self.translated_port = self.service = 0
        self.packets_up = self.packets_down = self.bytes_up = self.bytes_down = 0
        self.start = self.stop = self.state = self.status = self.remaining = 0
        self.accounted = False
        self.word0 = self.word1 = self.word2 = self.word3 = 0
        self.buffer: "bytearray | bytes" = b""
        self.at = 0
        self.layout = _NO_LAYOUT

    def source(self) -> bytes:
        """Return the original source address."""
        octets = _ADDRESSES[self.family][2]
        return b"".join([word.to_bytes(4, "big") for word in (self.word0, self.word1, self.word2, self.word3)])[16 - octets :]


class Decoder:
    """Turns datagrams into connections; `kind` is DESTROY (events) or NEW (entries of a dump).

    `reader` has the counts of its stream, `connections` counts the messages that were understood.
    """

    def __init__(self, kind: int = DESTROY) -> None:
        self.connection = Connection()
        self.reader = Reader(self._take)
        self.connections = 0
        self._kind = kind
        self._sink: "Callable[[Connection], None]" = _nowhere
        self._layouts: "dict[int, list[Layout]]" = {}
        self._learned: "list[int]" = []

    def feed(self, buffer: "bytearray | bytes", length: int, sink: "Callable[[Connection], None]") -> None:
        """Call `sink` with each connection of this datagram: `length` octets at the start of `buffer`."""
        self._sink = sink
        self.reader.read(buffer, length)

    def _take(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if kind != self._kind:
            return
        values = None
        layout = _NO_LAYOUT
        for layout in self._layouts.get(end - at, ()):
            values = layout.pattern.read(buffer, at)
            if values is not None:
                break
        if values is None:
            layout = _walk(buffer, at, end)
            self._remember(end - at, layout)
            values = layout.pattern.read(buffer, at)
        self._fill(layout, values)
        self.connection.buffer, self.connection.at, self.connection.layout = buffer, at, layout
        self.connections += 1
        self._sink(self.connection)

    def _remember(self, size: int, layout: Layout) -> None:
        """Keep a layout; the oldest goes where there are too many."""
        if len(self._learned) == _LAYOUTS:
            del self._layouts[self._learned[0]][0]
            self._learned = self._learned[1:]
        self._learned.append(size)
        self._layouts.setdefault(size, []).append(layout)

    def _fill(self, layout: Layout, values: "Sequence[int]") -> None:
        connection = self.connection
        connection.family = layout.family
        connection.protocol = protocol = values[0] >> 24
        connection.source_port = values[1] >> 16 if layout.source_port else 0
        connection.service = service_of(protocol, values[2] >> 16 if layout.destination_port else 0)
        connection.translated_port = values[3] >> 16 if layout.translated_port else 0
        connection.status = values[4] if layout.status else 0
        connection.remaining = values[5] if layout.remaining else 0
        connection.state = values[6] >> 24 if layout.state else 0
        # A value of at most 32 bits is read without a long integer on a 32-bit interpreter.
        wide = layout.wide
        connection.accounted = layout.accounted
        if layout.accounted:
            connection.packets_up = values[7] << 32 | values[8] if wide else values[8]
            connection.bytes_up = values[9] << 32 | values[10] if wide else values[10]
            connection.packets_down = values[11] << 32 | values[12] if wide else values[12]
            connection.bytes_down = values[13] << 32 | values[14] if wide else values[14]
        else:
            connection.packets_up = connection.bytes_up = connection.packets_down = connection.bytes_down = 0
        start, stop = layout.times
        connection.start = values[15] << 32 | values[16] if start else 0
        connection.stop = values[17] << 32 | values[18] if stop else 0
        connection.word3 = values[-1]
        if layout.octets == 16:
            connection.word0, connection.word1, connection.word2 = values[19], values[20], values[21]
        else:
            connection.word0, connection.word1, connection.word2 = 0, 0, _MAPPED


def _nowhere(_connection: Connection) -> None:
    """Stand in for a sink before the first datagram."""


def _walk(buffer: "bytearray | bytes", at: int, end: int) -> Layout:
    """Read a message attribute by attribute; returns its layout, raises Malformed where it contradicts itself."""
    # The kernel pads each message to whole words.
    if end - at < HEADER + 4 or (end - at) & 3 or buffer[at + HEADER] not in _ADDRESSES:
        raise Malformed
    layout = Layout(buffer[at + HEADER])
    _check(layout, buffer, at, HEADER)
    for kind, value, stop in _each(layout, buffer, at, at + HEADER + 4, end):
        if kind == _TUPLE_ORIG:
            _original(layout, buffer, at, value, stop)
        elif kind == _TUPLE_REPLY:
            _reply(layout, buffer, at, value, stop)
        elif kind == _STATUS:
            layout.status = exactly(4, value, stop) - at
        elif kind == _TIMEOUT:
            layout.remaining = exactly(4, value, stop) - at
        elif kind == _PROTOINFO:
            _state(layout, buffer, at, value, stop)
        elif kind in (_COUNTERS_ORIG, _COUNTERS_REPLY, _TIMESTAMP):
            pair = _pair(layout, buffer, at, value, stop)
            if kind == _TIMESTAMP:
                layout.times = pair
            elif kind == _COUNTERS_ORIG:
                layout.up = pair
            else:
                layout.down = pair
    if not layout.source or not layout.number:
        raise Malformed
    _widths(layout, buffer, at)
    layout.seal()
    return layout


def _widths(layout: Layout, buffer: "bytearray | bytes", at: int) -> None:
    """Demand that counters stay below 32 bits where they do in this message: such a layout is read faster."""
    counters = layout.up + layout.down
    layout.accounted = 0 not in counters
    if layout.accounted:
        layout.wide = any(unpack_from("I", buffer, at + high)[0] for high in counters)
        if not layout.wide:
            for high in counters:
                _check(layout, buffer, at, high)


def _check(layout: Layout, buffer: "bytearray | bytes", at: int, offset: int) -> None:
    layout.checks.append((offset, unpack_from("I", buffer, at + offset)[0]))


def _each(layout: Layout, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> "Iterator[tuple[int, int, int]]":
    """Yield attributes as `attributes` does, noting each header as one that the layout demands."""
    for kind, inner, inner_stop in attributes(buffer, value, stop):
        _check(layout, buffer, at, inner - 4 - at)
        yield kind, inner, inner_stop


def _original(layout: Layout, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> None:
    source, destination, octets = _ADDRESSES[layout.family]
    for kind, inner, inner_stop in _each(layout, buffer, at, value, stop):
        if kind == _IP:
            for number, place, place_stop in _each(layout, buffer, at, inner, inner_stop):
                if number == source:
                    layout.source = exactly(octets, place, place_stop) - at
                elif number == destination:
                    layout.destination = exactly(octets, place, place_stop) - at
        elif kind == _PROTO:
            for number, place, place_stop in _each(layout, buffer, at, inner, inner_stop):
                if number == _NUMBER:
                    layout.number = exactly(1, place, place_stop) - at
                elif number == _DESTINATION_PORT:
                    layout.destination_port = exactly(2, place, place_stop) - at
                elif number in (_SOURCE_PORT, _ICMP_ID, _ICMPV6_ID):
                    layout.source_port = exactly(2, place, place_stop) - at


def _reply(layout: Layout, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> None:
    """Note where replies come from and the port they go to: the one that translation chose."""
    source, _, octets = _ADDRESSES[layout.family]
    for kind, inner, inner_stop in _each(layout, buffer, at, value, stop):
        if kind == _IP:
            for number, place, place_stop in _each(layout, buffer, at, inner, inner_stop):
                if number == source and place_stop - place == octets:
                    layout.reply_source = place - at
        elif kind == _PROTO:
            for number, place, place_stop in _each(layout, buffer, at, inner, inner_stop):
                if number in (_DESTINATION_PORT, _ICMP_ID, _ICMPV6_ID):
                    layout.translated_port = exactly(2, place, place_stop) - at


def _pair(layout: Layout, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> "tuple[int, int]":
    """Return where attributes 1 and 2 have their 64 bits (packets and octets; start and stop), 0 for one that is absent."""
    first = second = 0
    for kind, inner, inner_stop in _each(layout, buffer, at, value, stop):
        if kind == 1:
            first = exactly(8, inner, inner_stop) - at
        elif kind == 2:
            second = exactly(8, inner, inner_stop) - at
    return first, second


def _state(layout: Layout, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> None:
    """Note where PROTOINFO has the state: attribute 1 of TCP (1) or SCTP (3)."""
    for kind, inner, inner_stop in _each(layout, buffer, at, value, stop):
        if kind in (1, 3):
            for number, place, place_stop in _each(layout, buffer, at, inner, inner_stop):
                if number == 1:
                    layout.state = exactly(1, place, place_stop) - at


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Sequence
