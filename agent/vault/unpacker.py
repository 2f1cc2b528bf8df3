# SPDX-License-Identifier: Apache-2.0
"""Packed records read back: runs of agent.vault.record, and their values alone (agent.purposes.services.record)."""

from agent.vault.record import CODES, COLUMNS, COUNT, ENDS, FEW, LEAST, MAC, MASK, OTHER, PROTOCOLS, UNITS, Record


class Reader:
    """Reads values off octets."""

    def __init__(self, view: "bytes | bytearray | memoryview" = b"") -> None:
        self._view = view
        self._at = 0

    def octet(self) -> int:
        """Return the next octet."""
        self._at += 1
        return self._view[self._at - 1]

    def short(self) -> int:
        """Return a number of two octets."""
        return self.octet() << 8 | self.octet()

    def number(self) -> int:
        """Return a varint."""
        value = shift = 0
        while True:
            octet = self.octet()
            value |= (octet & 127) << shift
            if octet < 128:
                return value
            shift += 7

    def signed(self) -> int:
        """Return a number that may be negative."""
        value = self.number()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def octets(self, count: int) -> bytes:
        """Return the next octets."""
        self._at += count
        return bytes(self._view[self._at - count : self._at])

    def identity(self) -> "tuple[bytes, bytes]":
        """Return who has a place from now on: MAC and address."""
        octets = self.octet()
        mac = self.octets(MAC)
        return mac, self.octets(octets)

    def protocol(self, record: Record, first: int) -> None:
        """Read what `first` says of service class and protocol."""
        record.service, code = (first >> 2) // 5, (first >> 2) % 5
        record.protocol = self.octet() if code == OTHER else PROTOCOLS[code]

    def packets(self, record: Record, both: int) -> None:
        """Read the numbers of packets, of which an octet says how many both are."""
        up, down = both >> 4, both & 15
        record.packets_up = up if up < FEW else up + self.number()
        record.packets_down = down if down < FEW else down + self.number()

    def volumes(self, record: Record) -> None:
        """Read the numbers of octets."""
        least = LEAST[CODES.get(record.protocol, OTHER)]
        record.bytes_up = self.number() + record.packets_up * least & MASK
        record.bytes_down = self.number() + record.packets_down * least & MASK

    def records(self, view: "bytes | bytearray | memoryview", size: int, at: int = 0) -> "Iterator[Record]":
        """Yield an empty record as long as octets of `view` are left, from `at` on."""
        self._view, self._at = view, at
        while self._at < size:
            yield Record()


class Unpacker(Reader):
    """Reads one segment's chunks back, in order."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._terminals: "dict[int, tuple[bytes, bytes]]" = {}
        self._ends: "dict[int, int]" = {}
        self._begin = window * UNITS
        self._end = 0
        self._before = 0  # what the next end counts from

    def holder(self, record: Record, place: int, first: int) -> None:
        """Read whose it is: of who has a place, where `first` doesn't say that somebody is told of."""
        if first & 1:
            self._terminals[place] = self.identity()
            self._before = self._end & ENDS
        else:
            self._before = self._ends[place]
        record.mac, record.address = self._terminals[place]

    def times(self, record: Record, place: int) -> None:
        """Read duration and end."""
        record.duration = self.number()
        self._end = self._before + self.signed()
        self._ends[place] = self._end & ENDS
        record.start = self._begin + self._end - record.duration

    def unpack(self, view: "bytes | bytearray | memoryview", size: int, column: int = 0) -> "Iterator[Record]":
        """Yield the records of one chunk of `size` octets.

        Only a column of as many octets as there are records where `column` says so.
        """
        at, column = COUNT, column or view[0] << 8 | view[1]
        for record in self.records(view, size, at + COLUMNS * column):
            place, first = view[at], view[at + column]
            self.protocol(record, first)
            self.holder(record, place, first)
            port = self.short() if first & 2 else -1
            self.packets(record, view[at + 2 * column])
            self.times(record, place)
            record.source_port = view[at + 3 * column] << 8 | self.octet()
            record.translated_port = port if port >= 0 else record.source_port
            self.volumes(record)
            at += 1
            yield record


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
