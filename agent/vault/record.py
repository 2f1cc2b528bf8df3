# SPDX-License-Identifier: Apache-2.0
"""How `security` records are packed; lossless on their fields at the stated resolution.

A chunk is a number of records; none straddles chunks. First stands how many they are, in 2 octets. Four columns follow,
in which each record has one octet, then the rest of each record. So like stands beside like: a chunk is deflated before
it is sealed, with a code of its own for each column (agent.vault.segment). While its page is filled, a column has
COLUMN octets; read back by agent.vault.unpacker.

Numbers are LEB128 varints unless said otherwise, in network order where they have 2 octets. `zigzag` maps 0, -1, 1, -2
to 0, 1, 2, 3. Times are in units of 100 ms, an end counts from the start of the segment's window. Dictionary and
previous ends live for one segment; the dictionary has 256 places, so that made-up addresses can't fill the memory.

Columns:

    the terminal's place in the dictionary
    (service class * 5 + protocol code) * 4, + 2 where the translated port differs, + 1 where a terminal is told of
                protocol codes: 0 TCP, 1 UDP, 2 ICMP, 3 ICMPv6, 4 any other
    packets up * 16 + packets down, 15 for 15 and more
    the upper octet of the source port (ICMP: query id)

The rest:

    octet       the IP number of another protocol
    octets      where a terminal is told of, which takes the place from whoever had it: octet 4 or
                16, MAC 6 octets (zeros: unknown), address
    2 octets    the translated port where it differs
    varints     of 15 packets and more how many over 15, up first
    varint      duration
    zigzag      end of the connection minus that of the record before it in the same place, modulo 2**16; where a
                terminal is told of, minus that of the record before it in the segment (0 for the first one)
    octet       the lower octet of the source port
    varint x 2  bytes up, bytes down, each less what its packets' headers have at least: 40 a packet for TCP, 28 for UDP
                and ICMP, 48 for ICMPv6, 20 for others (modulo 2**64, so that a wrong counter survives too)

There is no place for a destination (L34-VI-1).
"""

from agent.capture.connections import INET
from agent.summary.services import service_of

LARGEST = 80  # octets of a record's rest: a new IPv6 terminal and every varint at its longest
COUNT = 2  # octets before the columns: how many records
COLUMN = 320  # records of a page: a café's connections fill both columns and rest, larger ones leave columns free
COLUMNS = 4
REST = COUNT + COLUMNS * COLUMN  # where in a page the rest begins
UNITS = 10  # a second
UNIT = 100000000  # ns
TERMINALS = 256  # places of a dictionary
CODES = {6: 0, 17: 1, 1: 2, 58: 3}
PROTOCOLS = (6, 17, 1, 58)
OTHER = 4
LEAST = (40, 28, 28, 48, 20)  # octets of the headers of a packet, by protocol code
MASK = (1 << 64) - 1
FEW = 15
ENDS = 65535  # of an end, what is remembered: a window has fewer units
MAC = 6  # octets; zeros: unknown


class Record:
    """A record read back; fields as in `agent.law.SECURITY_FIELDS`, start and duration in units of 100 ms."""

    __slots__ = (
        "address",
        "bytes_down",
        "bytes_up",
        "duration",
        "mac",
        "packets_down",
        "packets_up",
        "protocol",
        "service",
        "source_port",
        "start",
        "translated_port",
    )

    address: bytes
    bytes_down: int
    bytes_up: int
    duration: int
    mac: bytes
    packets_down: int
    packets_up: int
    protocol: int
    service: int
    source_port: int
    start: int
    translated_port: int


def put(view: "bytearray | memoryview", at: int, value: int) -> int:
    """Write a varint."""
    while value > 127:
        view[at] = value & 127 | 128
        value >>= 7
        at += 1
    view[at] = value
    return at + 1


class Packer:
    """Packs one segment's records into `view`, a page's octets from the number of records on.

    `places` are 2 x TERMINALS words: of each place the terminal's key (0: none), then of each its last end. Ends are in
    units from `origin`, the window's start; `end` is the last record's.

    Several short steps, because MicroPython takes the frame of a function with many names from the heap.
    """

    def __init__(self, window: int, places: "Any", view: "bytearray | memoryview") -> None:
        self.places = places
        self._view = view
        self.origin = window * UNITS
        self.end = 0
        for place in range(TERMINALS):
            places[place] = 0

    def pack(self, at: int, number: int, connection: "Connection", terminal: "Holder | None", end: int) -> int:
        """Write the record of a number, its rest at `at` (LARGEST octets must be free); returns where that ends.

        `end` is in ns.

        `terminal` None: unknown.
        """
        view, places = self._view, self.places
        key = terminal.key if terminal is not None else 0
        place = key % TERMINALS
        column = COUNT + number
        view[column] = place
        view[column + 3 * COLUMN] = connection.source_port >> 8
        column += COLUMN
        if key and places[place] == key:
            at = begin(view, column, at, connection, 0)
            before = places[TERMINALS + place]
        else:
            places[place] = key
            at = tell(view, begin(view, column, at, connection, 1), connection, terminal)
            before = self.end & ENDS
        if connection.translated_port != connection.source_port:
            at = short(view, at, connection.translated_port)
        end = end // UNIT
        at = self._times(packets(view, column + COLUMN, at, connection), connection, end, before)
        places[TERMINALS + place] = self.end & ENDS
        view[at] = connection.source_port & 255
        return volumes(view, at + 1, connection)

    def _times(self, at: int, connection: "Connection", end: int, before: int) -> int:
        """Write times; `end` in units."""
        at = put(self._view, at, end - connection.start // UNIT)
        self.end = end - self.origin
        return signed(self._view, at, self.end - before)


def signed(view: "bytearray | memoryview", at: int, value: int) -> int:
    """Write a number that may be negative."""
    return put(view, at, value << 1 if value >= 0 else (-value << 1) - 1)


def short(view: "bytearray | memoryview", at: int, value: int) -> int:
    """Write a number of two octets."""
    view[at] = value >> 8
    view[at + 1] = value & 255
    return at + 2


def packets(view: "bytearray | memoryview", head: int, at: int, connection: "Connection") -> int:
    """Write both numbers of packets: the octet of both at `head`."""
    up, down = connection.packets_up, connection.packets_down
    view[head] = (up if up < FEW else FEW) << 4 | (down if down < FEW else FEW)
    if up >= FEW:
        at = put(view, at, up - FEW)
    if down >= FEW:
        at = put(view, at, down - FEW)
    return at


def volumes(view: "bytearray | memoryview", at: int, connection: "Connection") -> int:
    """Write both numbers of octets."""
    least = LEAST[CODES.get(connection.protocol, OTHER)]
    up = connection.bytes_up - connection.packets_up * least
    down = connection.bytes_down - connection.packets_down * least
    # A wrong counter survives too.
    at = put(view, at, up if up >= 0 else up & MASK)
    return put(view, at, down if down >= 0 else down & MASK)


def begin(view: "bytearray | memoryview", head: int, at: int, connection: "Connection", named: int) -> int:
    """Write the octet at `head`, where `named` says whether a terminal is told of, and another protocol's number."""
    protocol = connection.protocol
    code = CODES.get(protocol, OTHER)
    named |= service_of(protocol, connection.destination_port) * 5 + code << 2
    view[head] = named if connection.translated_port == connection.source_port else named | 2
    if code != OTHER:
        return at
    view[at] = protocol
    return at + 1


def tell(view: "bytearray | memoryview", at: int, connection: "Connection", terminal: "Holder | None") -> int:
    """Write who has the terminal's place from now on."""
    view[at] = 4 if connection.family == INET else 16
    at = _mac(view, at + 1, terminal)
    if connection.family != INET:
        at = _word(view, at, connection.word0)
        at = _word(view, at, connection.word1)
        at = _word(view, at, connection.word2)
    return _word(view, at, connection.word3)


def _mac(view: "bytearray | memoryview", at: int, terminal: "Holder | None") -> int:
    """Write the MAC octet by octet: none of it becomes an object."""
    number = 0
    while number < MAC:
        view[at + number] = terminal.octet(number) if terminal is not None else 0
        number += 1
    return at + MAC


def _word(view: "bytearray | memoryview", at: int, word: int) -> int:
    view[at] = word >> 24
    view[at + 1] = word >> 16 & 255
    view[at + 2] = word >> 8 & 255
    view[at + 3] = word & 255
    return at + 4


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from agent.capture.connections import Connection

    class Holder(Protocol):
        """Who held an address, as `agent.capture.address_rows.Terminal`; `key` tells its associations apart."""

        key: int  # 1 to 2**32 - 1; another for another terminal, and for another address of it

        def mac(self) -> bytes:
            """Return the MAC, 6 octets."""
            ...

        def octet(self, number: int) -> int:
            """Return one of the MAC's 6 octets."""
            ...
