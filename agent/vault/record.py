# SPDX-License-Identifier: Apache-2.0
"""How a `security` record is packed, format 2; lossless on its fields at the stated resolution.

A chunk is a run of records; a record never straddles chunks. Numbers are LEB128 varints unless said otherwise; `zigzag`
maps 0, -1, 1, -2 to 0, 1, 2, 3. Times are in units of 100 ms. Dictionary and previous end live for one segment; the dictionary
has 256 places, so that made-up addresses can't fill the memory.

    octet 0     (service class * 5 + protocol code) * 4, + 2 where the translated port differs, + 1 where a terminal is told of
                protocol codes: 0 TCP, 1 UDP, 2 ICMP, 3 ICMPv6, 4 any other (its IP number follows as one octet)
    octet       the terminal's place in the dictionary; where it is told of, it takes that place from whoever had it:
                octet 4 or 16, MAC 6 octets (zeros: unknown), address
    zigzag      end of the connection minus the previous record's end (first record: minus the window's start)
    varint      duration
    2 octets    source port, network order (ICMP: query id); 2 more for the translated port where it differs
    octet       packets up * 16 + packets down, 15 for 15 and more: a varint with the rest over 15 follows, up first
    varint x 2  bytes up, bytes down, each less what its packets' headers have at least: 40 a packet for TCP, 28 for UDP and ICMP,
                48 for ICMPv6, 20 for others (modulo 2**64, so that a wrong counter survives too)

There is no place for a destination (L34-VI-1).
"""

from agent.capture.connections import INET
from agent.summary.services import service_of

LARGEST = 96  # octets: a new IPv6 terminal and every varint at its longest
UNITS = 10  # a second
_UNIT = 100000000  # ns
TERMINALS = 256  # places of a dictionary
_CODES = {6: 0, 17: 1, 1: 2, 58: 3}
_PROTOCOLS = (6, 17, 1, 58)
_OTHER = 4
_LEAST = (40, 28, 28, 48, 20)  # octets of the headers of a packet, by protocol code
_MASK = (1 << 64) - 1
_FEW = 15
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


def _put(view: "bytearray | memoryview", at: int, value: int) -> int:
    while value > 127:
        view[at] = value & 127 | 128
        value >>= 7
        at += 1
    view[at] = value
    return at + 1


class Packer:
    """Packs one segment's records into `view`. `places` are TERMINALS words: the key of the terminal in each place, 0: none.

    Several short steps, because MicroPython takes the frame of a function with many names from the heap.
    """

    def __init__(self, window: int, places: "Any", view: "bytearray | memoryview") -> None:
        self._places = places
        self._view = view
        self._end = window * UNITS
        for place in range(TERMINALS):
            places[place] = 0

    def restart(self, window: int) -> None:
        """Take the next record as the first of a segment: a window's start stands for the end of the one before."""
        self._end = window * UNITS

    def pack(self, at: int, connection: "Connection", terminal: "Holder | None", end: int) -> int:
        """Write one record at `at` (LARGEST octets must be free); returns where it ends. `end` is when it ended, in ns.

        `terminal` None: unknown.
        """
        if terminal is not None and self._places[terminal.key % TERMINALS] == terminal.key:
            at = _begin(self._view, at, connection, 0)
            self._view[at] = terminal.key % TERMINALS
            at += 1
        else:
            at = self._tell(at, connection, terminal)
        at = self._rest(at, connection, end // _UNIT)
        return _volumes(self._view, at, connection, _least(connection.protocol))

    def _tell(self, at: int, connection: "Connection", terminal: "Holder | None") -> int:
        """Begin a record whose terminal has no place yet."""
        key = terminal.key if terminal is not None else 0
        self._places[key % TERMINALS] = key
        at = _begin(self._view, at, connection, 1)
        self._view[at] = key % TERMINALS
        self._view[at + 1] = 4 if connection.family == INET else 16
        at = _mac(self._view, at + 2, terminal)
        if connection.family != INET:
            at = _word(self._view, at, connection.word0)
            at = _word(self._view, at, connection.word1)
            at = _word(self._view, at, connection.word2)
        return _word(self._view, at, connection.word3)

    def _rest(self, at: int, connection: "Connection", end: int) -> int:
        """Write times and ports; `end` in units. One octet is the usual number, written without a call."""
        view = self._view
        value = end - self._end
        self._end = end
        value = value << 1 if value >= 0 else (-value << 1) - 1
        if value < 128:
            view[at] = value
            at += 1
        else:
            at = _put(view, at, value)
        value = end - connection.start // _UNIT
        at = _put(view, at, value)
        value = connection.source_port
        view[at] = value >> 8
        view[at + 1] = value & 255
        at += 2
        if connection.translated_port != value:
            at = _port(view, at, connection.translated_port)
        return at


def _least(protocol: int) -> int:
    """Return how many octets the headers of a packet have at least."""
    return _LEAST[_CODES.get(protocol, _OTHER)]


def _volumes(view: "bytearray | memoryview", at: int, connection: "Connection", least: int) -> int:
    up, down = connection.packets_up, connection.packets_down
    view[at] = (up if up < _FEW else _FEW) << 4 | (down if down < _FEW else _FEW)
    at += 1
    if up >= _FEW:
        at = _put(view, at, up - _FEW)
    if down >= _FEW:
        at = _put(view, at, down - _FEW)
    up = connection.bytes_up - up * least
    down = connection.bytes_down - down * least
    # A wrong counter survives too.
    at = _put(view, at, up if up >= 0 else up & _MASK)
    return _put(view, at, down if down >= 0 else down & _MASK)


def _begin(view: "bytearray | memoryview", at: int, connection: "Connection", head: int) -> int:
    """Write the first octet, of which `head` says whether a terminal is told of, and the protocol."""
    protocol = connection.protocol
    code = _CODES.get(protocol, _OTHER)
    head |= service_of(protocol, connection.destination_port) * 5 + code << 2
    view[at] = head if connection.translated_port == connection.source_port else head | 2
    if code != _OTHER:
        return at + 1
    view[at + 1] = protocol
    return at + 2


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


def _port(view: "bytearray | memoryview", at: int, port: int) -> int:
    view[at] = port >> 8
    view[at + 1] = port & 255
    return at + 2


class Unpacker:
    """Reads one segment's chunks back, in order."""

    def __init__(self, window: int) -> None:
        self._terminals: "dict[int, tuple[bytes, bytes]]" = {}
        self._end = window * UNITS
        self._view: "bytes | bytearray | memoryview" = bytearray(0)
        self._at = 0

    def _number(self) -> int:
        value = shift = 0
        while True:
            octet = self._view[self._at]
            self._at += 1
            value |= (octet & 127) << shift
            if octet < 128:
                return value
            shift += 7

    def _octets(self, count: int) -> bytes:
        self._at += count
        return bytes(self._view[self._at - count : self._at])

    def unpack(self, view: "bytes | bytearray | memoryview", size: int) -> "Iterator[Record]":
        """Yield the records of one chunk of `size` octets."""
        self._view, self._at = view, 0
        while self._at < size:
            record = Record()
            first = self._octets(1)[0]
            record.service, code = (first >> 2) // 5, (first >> 2) % 5
            record.protocol = self._octets(1)[0] if code == _OTHER else _PROTOCOLS[code]
            place = self._octets(1)[0]
            if first & 1:
                octets = self._octets(1)[0]
                mac = self._octets(6)
                self._terminals[place] = mac, self._octets(octets)
            record.mac, record.address = self._terminals[place]
            delta = self._number()
            self._end += -(delta + 1 >> 1) if delta & 1 else delta >> 1
            record.duration = self._number()
            record.start = self._end - record.duration
            high, low = self._octets(2)
            record.source_port = record.translated_port = high << 8 | low
            if first & 2:
                high, low = self._octets(2)
                record.translated_port = high << 8 | low
            self._volumes(record, _LEAST[code])
            yield record

    def _volumes(self, record: Record, least: int) -> None:
        packets = self._octets(1)[0]
        up, down = packets >> 4, packets & 15
        record.packets_up = up if up < _FEW else up + self._number()
        record.packets_down = down if down < _FEW else down + self._number()
        record.bytes_up = self._number() + record.packets_up * least & _MASK
        record.bytes_down = self._number() + record.packets_down * least & _MASK


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Protocol

    from agent.capture.connections import Connection

    class Holder(Protocol):
        """Who held an address, such as `agent.who.Terminal`; `key` tells associations of an address with a MAC apart."""

        key: int  # 1 to 2**32 - 1; another for another terminal, and for another address of it

        def mac(self) -> bytes:
            """Return the MAC, 6 octets."""
            ...

        def octet(self, number: int) -> int:
            """Return one of the MAC's 6 octets."""
            ...
