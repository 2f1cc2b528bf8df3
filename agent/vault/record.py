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

LARGEST = 96  # octets: a new IPv6 terminal and every varint at its longest
UNITS = 10  # a second
TERMINALS = 256  # places of a dictionary
_CODES = {6: 0, 17: 1, 1: 2, 58: 3}
_PROTOCOLS = (6, 17, 1, 58)
_OTHER = 4
_LEAST = (40, 28, 28, 48, 20)  # octets of the headers of a packet, by protocol code
_MASK = (1 << 64) - 1
_FEW = 15
UNKNOWN_MAC = b"\0\0\0\0\0\0"


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


def _tell(view: "bytearray | memoryview", at: int, address: bytes, mac: bytes) -> int:
    view[at] = len(address)
    view[at + 1 : at + 7] = mac
    view[at + 7 : at + 7 + len(address)] = address
    return at + 7 + len(address)


class Packer:
    """Packs one segment's records. `places` are TERMINALS words: the key of the terminal in each place, 0: none."""

    def __init__(self, window: int, places: "Any") -> None:
        self._places = places
        self._end = window * UNITS
        for place in range(TERMINALS):
            places[place] = 0

    def restart(self, window: int) -> None:
        """Take the next record as the first of a segment: a window's start stands for the end of the one before."""
        self._end = window * UNITS

    def pack(
        self, view: "bytearray | memoryview", at: int, connection: "Connection", terminal: "Holder | None", start: int, end: int
    ) -> int:
        """Write one record at `at` (LARGEST octets must be free); returns where it ends. start, end: units of 100 ms.

        `terminal` None: unknown.
        """
        code = _CODES.get(connection.protocol, _OTHER)
        differs = connection.translated_port != connection.source_port
        key = terminal.key if terminal is not None else 0
        place = key % TERMINALS
        new = key == 0 or self._places[place] != key
        view[at] = connection.service * 5 + code << 2 | differs << 1 | new
        at += 1
        if code == _OTHER:
            view[at] = connection.protocol
            at += 1
        view[at] = place
        at += 1
        if new:
            self._places[place] = key
            at = _tell(view, at, connection.source(), terminal.mac() if terminal is not None else UNKNOWN_MAC)
        delta = end - self._end
        self._end = end
        # One octet is the usual case, written without a call.
        delta = delta << 1 if delta >= 0 else (-delta << 1) - 1
        if delta < 128:
            view[at] = delta
            at += 1
        else:
            at = _put(view, at, delta)
        duration = end - start
        if duration < 128:
            view[at] = duration
            at += 1
        else:
            at = _put(view, at, duration)
        port = connection.source_port
        view[at] = port >> 8
        view[at + 1] = port & 255
        at += 2
        if differs:
            port = connection.translated_port
            view[at] = port >> 8
            view[at + 1] = port & 255
            at += 2
        return _volumes(view, at, connection, _LEAST[code])


def _volumes(view: "bytearray | memoryview", at: int, connection: "Connection", least: int) -> int:
    up, down = connection.packets_up, connection.packets_down
    view[at] = (up if up < _FEW else _FEW) << 4 | (down if down < _FEW else _FEW)
    at += 1
    if up >= _FEW:
        at = _put(view, at, up - _FEW)
    if down >= _FEW:
        at = _put(view, at, down - _FEW)
    at = _put(view, at, connection.bytes_up - up * least & _MASK)
    return _put(view, at, connection.bytes_down - down * least & _MASK)


class Unpacker:
    """Reads one segment's chunks back, in order."""

    def __init__(self, window: int) -> None:
        self._terminals: "dict[int, tuple[bytes, bytes]]" = {}
        self._end = window * UNITS
        self._view: "bytearray | memoryview" = bytearray(0)
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

    def unpack(self, view: "bytearray | memoryview", size: int) -> "Iterator[Record]":
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
