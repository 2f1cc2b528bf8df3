# SPDX-License-Identifier: Apache-2.0
"""Format 2 of a packed record: that of `services`, whose records are sealed one by one, and of segments of versions before 0.3.

The fields are those of format 4 (agent.vault.record), in this order; each end counts from the one before, whoever's it was:

    octet       service class and protocol, as there
    octet       the terminal's place in the dictionary; where it is told of: octet 4 or 16, MAC, address
    zigzag      end of the connection minus the previous record's end (first record: minus the window's start)
    varint      duration
    2 octets    source port; 2 more for the translated port where it differs
    octet       packets up * 16 + packets down, with varints for 15 and more
    varint x 2  bytes up, bytes down, as there
"""

from agent.vault.record import UNIT, UNITS, begin, packets, put, short, signed, tell, volumes
from agent.vault.unpacker import Reader


def pack(view: "bytearray | memoryview", connection: "Connection", terminal: "Holder", end: int) -> int:
    """Write a record that leans on none before it at the start of `view`; returns its octets. `end` in ns."""
    at = begin(view, 0, 1, connection, 1)
    view[at] = 0
    at = tell(view, at + 1, connection, terminal)
    at = signed(view, at, end // UNIT)
    at = put(view, at, end // UNIT - connection.start // UNIT)
    at = short(view, at, connection.source_port)
    if connection.translated_port != connection.source_port:
        at = short(view, at, connection.translated_port)
    return volumes(view, packets(view, at, at + 1, connection), connection)


class Unpacker(Reader):
    """Reads one segment's chunks back, in order."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._terminals: "dict[int, tuple[bytes, bytes]]" = {}
        self._end = window * UNITS

    def unpack(self, view: "bytes | bytearray | memoryview", size: int, column: int = 0) -> "Iterator[Record]":  # noqa: ARG002 (format 4 has columns)
        """Yield the records of one chunk of `size` octets; there are no columns."""
        for record in self.records(view, size):
            first = self.octet()
            self.protocol(record, first)
            place = self.octet()
            if first & 1:
                self._terminals[place] = self.told()
            record.mac, record.address = self._terminals[place]
            self._end += self.signed()
            record.duration = self.number()
            record.start = self._end - record.duration
            record.source_port = self.short()
            record.translated_port = self.short() if first & 2 else record.source_port
            self.packets(record, self.octet())
            self.volumes(record)
            yield record


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.capture.connections import Connection
    from agent.vault.record import Holder, Record
