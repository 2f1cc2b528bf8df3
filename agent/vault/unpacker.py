# SPDX-License-Identifier: Apache-2.0
"""Packed records read back: format 3 of agent.vault.record, on values that format 2 has in another order."""

from agent.vault.record import CODES, ENDS, FEW, LEAST, MAC, MASK, OTHER, PROTOCOLS, UNITS, Record


class Reader:
    """Reads values off a chunk; a format is one that makes records of them."""

    def __init__(self) -> None:
        self._view: "bytes | bytearray | memoryview" = bytearray(0)
        self._at = 0

    def number(self) -> int:
        """Return a varint."""
        value = shift = 0
        while True:
            octet = self._view[self._at]
            self._at += 1
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

    def told(self) -> "tuple[bytes, bytes]":
        """Return who has a place from now on: MAC and address."""
        octets = self.octets(1)[0]
        mac = self.octets(MAC)
        return mac, self.octets(octets)

    def protocol(self, record: Record, first: int) -> None:
        """Read what `first` says of service class and protocol."""
        record.service, code = (first >> 2) // 5, (first >> 2) % 5
        record.protocol = self.octets(1)[0] if code == OTHER else PROTOCOLS[code]

    def ports(self, record: Record, first: int) -> None:
        """Read the ports."""
        record.source_port = record.translated_port = int.from_bytes(self.octets(2), "big")
        if first & 2:
            record.translated_port = int.from_bytes(self.octets(2), "big")

    def packets(self, record: Record) -> None:
        """Read the numbers of packets."""
        packets = self.octets(1)[0]
        up, down = packets >> 4, packets & 15
        record.packets_up = up if up < FEW else up + self.number()
        record.packets_down = down if down < FEW else down + self.number()

    def volumes(self, record: Record) -> None:
        """Read the numbers of octets."""
        least = LEAST[CODES.get(record.protocol, OTHER)]
        record.bytes_up = self.number() + record.packets_up * least & MASK
        record.bytes_down = self.number() + record.packets_down * least & MASK

    def records(self, view: "bytes | bytearray | memoryview", size: int) -> "Iterator[Record]":
        """Yield an empty record as long as octets of `view` are left."""
        self._view, self._at = view, 0
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

    def unpack(self, view: "bytes | bytearray | memoryview", size: int) -> "Iterator[Record]":
        """Yield the records of one chunk of `size` octets."""
        for record in self.records(view, size):
            place, first = self.octets(2)
            self.protocol(record, first)
            before = self._end & ENDS
            if first & 1:
                self._terminals[place] = self.told()
            else:
                before = self._ends[place]
            record.mac, record.address = self._terminals[place]
            self.packets(record)
            record.duration = self.number()
            self._end = before + self.signed()
            self._ends[place] = self._end & ENDS
            record.start = self._begin + self._end - record.duration
            self.ports(record, first)
            self.volumes(record)
            yield record


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
