# SPDX-License-Identifier: Apache-2.0
"""Connections, read off the kernel's ctnetlink messages: DESTROY events and entries of a dump (L34-I-2, L34-VI-1).

A DESTROY carries the whole connection: both tuples, counters, times, the state it died in. The kernel writes the same
few layouts over and over, so a message is walked, with every length checked, only when its layout is new. What the walk
learned is kept as a `Pattern`: which octets are headers, and where the values stand. The next message of that size is
the same layout if all its headers are the same octets. The destination address stays in the kernel's buffer. The
decoder knows where it stands, so that it can be compared in place, and copies nothing of it. A malformed message is
counted and skipped; nothing raises past this module. Source: linux/netfilter/nfnetlink_conntrack.h (attribute numbers),
checked against recorded datagrams.
"""

from agent.capture.netlink import HEADER, Malformed, Reader, attributes, dump_request, exactly
from agent.runtime.libc import BIG_ENDIAN, native

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
_COMMON = (TCP, UDP, ICMP, ICMPV6)  # protocols
_LAYOUTS = 24  # remembered at most
_LARGEST = 4096  # octets of a message: ctnetlink's are a tenth of it
# Written out: MicroPython finds an attribute by a made text ten times slower
_WORDS = ("word0", "word1", "word2", "word3")
_PAIRS = {
    _COUNTERS_ORIG: ("packets_up", "bytes_up"),
    _COUNTERS_REPLY: ("packets_down", "bytes_down"),
    _TIMESTAMP: ("start", "stop"),
}
REQUEST = dump_request(GET, bytes(4))  # both families

# Two octets of a ctnetlink message's own header stand for what a layout lacks: the
# length's highest is 0, the subsystem is 1.
_ZERO, _ONE = (0, 4) if BIG_ENDIAN else (3, 5)
# What is read of a message, and its octets.
_FIELDS = {
    "protocol": 1,
    "source_port": 2,
    "destination_port": 2,
    "translated_port": 2,
    "status": 4,
    "remaining": 4,
    "state": 1,
    "packets_up": 8,
    "bytes_up": 8,
    "packets_down": 8,
    "bytes_down": 8,
    "start": 8,
    "stop": 8,
}


class Ends:
    """Where a message has the addresses of one direction: offsets, 0 for what it lacks."""

    source = destination = 0


class Walk:
    """What a walk of a message has found so far: offsets from its start."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.protocol = 0  # if it is a common one
        self.heads: "list[tuple[int, bytes]]" = []  # where, and octets to be found again
        self.places: "dict[str, int]" = {}
        self.original, self.reply = Ends(), Ends()


class Layout:
    """What a walk has learned of a message: its pattern, and where stands what the pattern doesn't read."""

    read: "Any"  # the pattern's

    def __init__(self, walk: Walk) -> None:
        """Make the pattern: each value as wide as it is, the header's zero for one that is absent."""
        self.octets = _ADDRESSES[walk.family][2]  # of an address
        self.protocol = walk.protocol
        self.original, self.reply = walk.original, walk.reply
        places = walk.places
        counters = [name for name in places if name.startswith(("packets_", "bytes_"))]
        self.accounted = len(counters) == 4
        if not self.accounted:
            for name in counters:
                del places[name]
        # Where the protocol's state stands, and the lowest octet of the status
        self.state = places.get("state", _ZERO)
        self.status = places["status"] + 3 if "status" in places else _ZERO
        self.stamped = "start" in places and "stop" in places  # whether it says when the connection began and ended
        self.timed = "remaining" in places  # whether it says how much of the time-out was left
        self.near, self.answers = walk.original.destination or _ZERO, walk.reply.source or _ZERO
        self.pattern: "Any" = native.Pattern(walk.heads, self._fields(places))
        self.read = self.pattern.read
        self.placed: "tuple[Any, ...]" = (None, None, None, None)  # agent.recorder.prepared's
        self.following: "Layout | None" = None  # another one of the same size

    def _fields(self, places: "dict[str, int]") -> "dict[str, tuple[int, int]]":
        """Return what the pattern reads: a place and octets by name."""
        fields = {"accounted": (_ONE if self.accounted else _ZERO, 1), "family": (HEADER, 1)}
        for name in _FIELDS:
            fields[name] = (places[name], _FIELDS[name]) if name in places else (_ZERO, 1)
        absent = 4 - self.octets // 4
        for word in range(4):
            fields[_WORDS[word]] = (_ZERO, 1) if word < absent else (self.original.source + 4 * (word - absent), 4)
        fields["near"], fields["answers"] = (self.near, 1), (self.answers, 1)
        # A number of more than 30 bits takes heap on a 32-bit processor: what comes after the upper
        # half of a time, without its last octet.
        for name, part in (("start", "start_low"), ("stop", "stop_low")):
            fields[part] = (places[name] + 4, 3) if name in places else (_ZERO, 1)
        return fields


def source_of(connection: "Source") -> bytes:
    """Return a connection's original source address, 4 or 16 octets."""
    words = (connection.word0, connection.word1, connection.word2, connection.word3)
    return b"".join([word.to_bytes(4, "big") for word in words])[16 - _ADDRESSES[connection.family][2] :]


class Decoder:
    """Turns datagrams into connections; `kind` is DESTROY (events) or NEW (entries of a dump).

    `reader` has the counts of its stream, `connections` counts the messages that were understood. `connection` is the
    last one, which stands in `buffer` from `at` on as `layout` says; valid while the sink runs.
    """

    layout: Layout

    def __init__(self, kind: int = DESTROY) -> None:
        self.reader = Reader(self._take)
        self.connections = 0
        self.connection: "Any" = None
        self.buffer: "bytearray | bytes" = b""
        self.at = 0
        self._kind = kind
        self._sink: "Callable[[Connection], None]" = _nowhere
        # By octets of the message (whole words), + 1 for IPv6; each has those of its key in a row
        self.layouts: "dict[int, Layout]" = {}
        self._learned: "list[int]" = []  # their keys, oldest first

    def public(self) -> bytes:
        """Return the address that the last connection's source has for the world: where its replies go."""
        layout = self.layout
        if not layout.reply.destination:
            return source_of(self.connection)
        at = self.at + layout.reply.destination
        return bytes(self.buffer[at : at + layout.octets])

    def feed(self, buffer: "bytearray | bytes", length: int, sink: "Callable[[Connection], None]") -> None:
        """Call `sink` with each connection of this datagram: `length` octets at the start of `buffer`."""
        self._sink = sink
        # An event is a datagram of its own: where its layout is known, its length and kind are too.
        if self._kind == DESTROY and self._known(buffer, 0, length):
            self.reader.datagrams += 1
        else:
            self.reader.read(buffer, length)

    def _take(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if kind == self._kind and not self._known(buffer, at, end - at):
            layout = _walk(buffer, at, end)
            self._remember(end - at | buffer[at + HEADER] >> 3 & 1, layout)
            self._known(buffer, at, end - at)

    def _known(self, buffer: "bytearray | bytes", at: int, size: int) -> bool:
        """Hand on the message at `at` if a layout is known that it has."""
        layout = self.layouts.get(size | buffer[at + HEADER] >> 3 & 1) if size > HEADER and not size & 3 else None
        while layout is not None:
            connection = layout.read(buffer, at)
            # What has an uncommon protocol has no head that says which: messages of the
            # common ones have layouts of their own.
            if connection is not None and (layout.protocol or connection.protocol not in _COMMON):
                self.connection = connection
                self.buffer = buffer
                self.at = at
                self.layout = layout
                self.connections += 1
                self._sink(connection)
                return True
            layout = layout.following
        return False

    def first(self, key: int, buffer: "bytearray | bytes", at: int) -> "Layout | None":
        """Return the layout of a key that the message at `at` has; it goes first from now on.

        None where no known one is it.
        """
        before, layout = None, self.layouts.get(key)
        while layout is not None:
            connection = layout.read(buffer, at)
            if connection is not None and (layout.protocol or connection.protocol not in _COMMON):
                break
            before, layout = layout, layout.following
        if layout is not None and before is not None:
            before.following, layout.following = layout.following, self.layouts[key]
            self.layouts[key] = layout
        return layout

    def _remember(self, key: int, layout: Layout) -> None:
        """Keep a layout by a message's size and family; the oldest goes where there are too many."""
        if len(self._learned) == _LAYOUTS:
            self._forget(self._learned.pop(0))
        self._learned.append(key)
        layout.following = self.layouts.get(key)
        self.layouts[key] = layout

    def _forget(self, key: int) -> None:
        """Drop the last layout of a key's row: the one that was found, or learned, the longest ago."""
        layout = self.layouts.pop(key)
        following = layout.following
        if following is not None:
            self.layouts[key] = layout
            while following.following is not None:
                layout, following = following, following.following
            layout.following = None


def _nowhere(_connection: "Connection") -> None:
    """Stand in for a sink before the first datagram."""


def _walk(buffer: "bytearray | bytes", at: int, end: int) -> Layout:
    """Read a message attribute by attribute; returns its layout, raises Malformed where it contradicts itself."""
    # The kernel pads each message to whole words.
    if not HEADER + 4 <= end - at <= _LARGEST or (end - at) & 3 or buffer[at + HEADER] not in _ADDRESSES:
        raise Malformed
    walk = Walk(buffer[at + HEADER])
    _head(walk, buffer, at, 0, 8)  # length, kind and flags; the numbers behind them differ
    _head(walk, buffer, at, HEADER, 4)
    for kind, value, stop in _each(walk, buffer, at, at + HEADER + 4, end):
        if kind == _TUPLE_ORIG:
            _original(walk, buffer, at, value, stop)
        elif kind == _TUPLE_REPLY:
            _reply(walk, buffer, at, value, stop)
        elif kind == _STATUS:
            walk.places["status"] = exactly(4, value, stop) - at
        elif kind == _TIMEOUT:
            walk.places["remaining"] = exactly(4, value, stop) - at
        elif kind == _PROTOINFO:
            _state(walk, buffer, at, value, stop)
        elif kind in _PAIRS:
            _pair(walk, buffer, at, value, stop, _PAIRS[kind])
    if not walk.original.source or "protocol" not in walk.places:
        raise Malformed
    return Layout(walk)


def _head(walk: Walk, buffer: "bytearray | bytes", at: int, offset: int, octets: int) -> None:
    """Note octets that the layout demands, together with those they follow."""
    wanted = bytes(buffer[at + offset : at + offset + octets])
    if walk.heads:
        before, run = walk.heads[-1]
        if before + len(run) == offset:
            walk.heads[-1] = (before, run + wanted)
            return
    walk.heads.append((offset, wanted))


def _each(walk: Walk, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> "Iterator[tuple[int, int, int]]":
    """Yield attributes as `attributes` does, noting each header as one that the layout demands."""
    for kind, inner, inner_stop in attributes(buffer, value, stop):
        _head(walk, buffer, at, inner - 4 - at, 4)
        yield kind, inner, inner_stop


def _original(walk: Walk, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> None:
    source, destination, octets = _ADDRESSES[walk.family]
    for kind, inner, inner_stop in _each(walk, buffer, at, value, stop):
        if kind == _IP:
            for number, place, place_stop in _each(walk, buffer, at, inner, inner_stop):
                if number == source:
                    walk.original.source = exactly(octets, place, place_stop) - at
                elif number == destination:
                    walk.original.destination = exactly(octets, place, place_stop) - at
        elif kind == _PROTO:
            for number, place, place_stop in _each(walk, buffer, at, inner, inner_stop):
                if number == _NUMBER:
                    walk.places["protocol"] = exactly(1, place, place_stop) - at
                    walk.protocol = _common(walk, buffer, at, place, place_stop, inner_stop)
                elif number == _DESTINATION_PORT:
                    walk.places["destination_port"] = exactly(2, place, place_stop) - at
                elif number in (_SOURCE_PORT, _ICMP_ID, _ICMPV6_ID):
                    walk.places["source_port"] = exactly(2, place, place_stop) - at


def _common(walk: Walk, buffer: "bytearray | bytes", at: int, place: int, end: int, stop: int) -> int:
    """Return the protocol at a place if it is a common one, 0 else; it is demanded then, like headers."""
    # Whoever sends other protocols, one after the other, doesn't make a layout of each.
    if end - place != 1 or place + 4 > stop or buffer[place] not in _COMMON:
        return 0
    _head(walk, buffer, at, place - at, 4)
    return buffer[place]


def _reply(walk: Walk, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> None:
    """Note where replies come from, and the address and port they go to: those that translation chose."""
    source, destination, octets = _ADDRESSES[walk.family]
    for kind, inner, inner_stop in _each(walk, buffer, at, value, stop):
        if kind == _IP:
            for number, place, place_stop in _each(walk, buffer, at, inner, inner_stop):
                if number == source and place_stop - place == octets:
                    walk.reply.source = place - at
                elif number == destination and place_stop - place == octets:
                    walk.reply.destination = place - at
        elif kind == _PROTO:
            for number, place, place_stop in _each(walk, buffer, at, inner, inner_stop):
                if number == _NUMBER:
                    _common(walk, buffer, at, place, place_stop, inner_stop)
                elif number in (_DESTINATION_PORT, _ICMP_ID, _ICMPV6_ID):
                    walk.places["translated_port"] = exactly(2, place, place_stop) - at


def _pair(walk: Walk, buffer: "bytearray | bytes", at: int, value: int, stop: int, names: "tuple[str, str]") -> None:
    """Note where attributes 1 and 2 have their 64 bits; of a pair that comes twice the last one counts."""
    for name in names:
        walk.places.pop(name, None)
    for kind, inner, inner_stop in _each(walk, buffer, at, value, stop):
        if kind in (1, 2):
            walk.places[names[kind - 1]] = exactly(8, inner, inner_stop) - at


def _state(walk: Walk, buffer: "bytearray | bytes", at: int, value: int, stop: int) -> None:
    """Note where PROTOINFO has the state: attribute 1 of TCP (1) or SCTP (3)."""
    for kind, inner, inner_stop in _each(walk, buffer, at, value, stop):
        if kind in (1, 3):
            for number, place, place_stop in _each(walk, buffer, at, inner, inner_stop):
                if number == 1:
                    walk.places["state"] = exactly(1, place, place_stop) - at


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Protocol

    class Source(Protocol):
        """Who began a connection.

        family           2 (IPv4) or 10 (IPv6)
        word0 .. word3   original source address as four words; IPv4 has the last one,
                         zeros before; `source_of` has the octets
        """

        family: int
        word0: int
        word1: int
        word2: int
        word3: int

    class Counters(Protocol):
        """What it carried, as the kernel counts (with IP headers): up in the original direction, down in the reply's.

        accounted        1 where the entry has counters
        """

        packets_up: int
        packets_down: int
        bytes_up: int
        bytes_down: int
        accounted: int

    class Times(Protocol):
        """When it was.

        start, stop      kernel wall clock, ns since the epoch; 0 where the entry has no timestamps
        remaining        seconds its timeout still had to run (an entry deleted early, or alive), else 0
        """

        start: int
        stop: int
        remaining: int

    class Connection(Source, Counters, Times, Protocol):
        """One connection, read in place where that costs nothing; valid until the next message.

        protocol         IP protocol number
        source_port      original source port (ICMP: query id; 0 where the protocol has none)
        destination_port original destination port
        translated_port  source port after source translation
        state            TCP or SCTP state number at the end, 0 for others
        status           IPS_* bits
        near, answers    first octets of the original destination and of the address that answers
        """

        protocol: int
        source_port: int
        destination_port: int
        translated_port: int
        state: int
        status: int
        near: int
        answers: int
