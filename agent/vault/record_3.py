# SPDX-License-Identifier: Apache-2.0
"""Format 3 of a packed record, of segments of versions between 0.2 and 0.3.

The fields are those of format 4 (agent.vault.record), each record a run of its own:

    octet       the terminal's place in the dictionary
    octet       service class and protocol, as there; the IP number of another protocol, and where a terminal is told of, who it is
    octet       packets up * 16 + packets down, with varints for 15 and more
    varint      duration
    zigzag      end of the connection, as there
    2 octets    source port; 2 more for the translated port where it differs
    varint x 2  bytes up, bytes down, as there
"""

from agent.vault import unpacker


class Unpacker(unpacker.Unpacker):
    """Reads one segment's chunks back, in order."""

    def unpack(self, view: "bytes | bytearray | memoryview", size: int, column: int = 0) -> "Iterator[Record]":  # noqa: ARG002 (format 4 has columns)
        """Yield the records of one chunk of `size` octets; there are no columns."""
        for record in self.records(view, size):
            place, first = self.octets(2)
            self.protocol(record, first)
            self.holder(record, place, first)
            self.packets(record, self.octet())
            self.times(record, place)
            record.source_port = self.short()
            record.translated_port = self.short() if first & 2 else record.source_port
            self.volumes(record)
            yield record


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.vault.record import Record
