# SPDX-License-Identifier: Apache-2.0
"""Format 2 of a packed record: that of `services`, whose records are sealed one by one, and of segments of versions before 0.3.

The fields are those of format 3 (agent.vault.record), in this order; each end counts from the one before, whoever's it was:

    octet       service class and protocol, as there
    octet       the terminal's place in the dictionary; where it is told of: octet 4 or 16, MAC, address
    zigzag      end of the connection minus the previous record's end (first record: minus the window's start)
    varint      duration
    2 octets    source port; 2 more for the translated port where it differs
    octet       packets up * 16 + packets down, with varints for 15 and more
    varint x 2  bytes up, bytes down, as there
"""

from agent.vault.record import UNIT, UNITS, begin, packets, ports, put, signed, tell, volumes
from agent.vault.unpacker import Reader


def pack(view: "bytearray | memoryview", connection: "Connection", terminal: "Holder", end: int) -> int:
    """Write a record that leans on none before it at the start of `view`; returns its octets. `end` in ns."""
    at = begin(view, 0, connection, 1)
    view[at] = 0
    at = tell(view, at + 1, connection, terminal)
    at = signed(view, at, end // UNIT)
    at = put(view, at, end // UNIT - connection.start // UNIT)
    at = ports(view, at, connection)
    return volumes(view, packets(view, at, connection), connection)


class Unpacker(Reader):
    """Reads one segment's chunks back, in order."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._terminals: "dict[int, tuple[bytes, bytes]]" = {}
        self._end = window * UNITS

    def unpack(self, view: "bytes | bytearray | memoryview", size: int) -> "Iterator[Record]":
        """Yield the records of one chunk of `size` octets."""
        for record in self.records(view, size):
            first = self.octets(1)[0]
            self.protocol(record, first)
            place = self.octets(1)[0]
            if first & 1:
                self._terminals[place] = self.told()
            record.mac, record.address = self._terminals[place]
            self._end += self.signed()
            record.duration = self.number()
            record.start = self._end - record.duration
            self.ports(record, first)
            self.packets(record)
            self.volumes(record)
            yield record


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.capture.connections import Connection
    from agent.vault.record import Holder, Record
