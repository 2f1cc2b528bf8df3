# SPDX-License-Identifier: Apache-2.0
"""How a `services` record is packed: the fields of one of `security`, but by itself (L34-IV-1, L34-V-3).

Each record is sealed under its own consent's key, so none may lean on another. It costs 7 octets and the address, and 5
of the end, more than in a segment; and 26 of its seal. The fields, each as in agent.vault.record:

    octet       service class and protocol, as there; the IP number of another protocol
    octet       0
    octets      4 or 16, MAC, address
    zigzag      end of the connection, in units since the epoch
    varint      duration
    2 octets    source port; 2 more for the translated port where it differs
    octet       packets up * 16 + packets down, with varints for 15 and more
    varint x 2  bytes up, bytes down, as there
"""

from agent.vault.record import UNIT, Record, begin, packets, put, short, signed, tell, volumes
from agent.vault.unpacker import Reader


class Services:
    """Packs records, one at a time, at the start of `view`."""

    def __init__(self, view: "bytearray | memoryview") -> None:
        self._view = view

    def pack(self, connection: "Connection", terminal: "Holder", end: int) -> int:
        """Write a record; returns its octets. `end` in ns."""
        view = self._view
        at = begin(view, 0, 1, connection, 1)
        view[at] = 0
        at = tell(view, at + 1, connection, terminal)
        at = signed(view, at, end // UNIT)
        at = put(view, at, end // UNIT - connection.start // UNIT)
        at = short(view, at, connection.source_port)
        if connection.translated_port != connection.source_port:
            at = short(view, at, connection.translated_port)
        return volumes(view, packets(view, at, at + 1, connection), connection)


def unpack(view: "bytes | bytearray | memoryview") -> Record:
    """Return a record read back."""
    reader, record = Reader(view), Record()
    first = reader.octet()
    reader.protocol(record, first)
    reader.octet()
    record.mac, record.address = reader.identity()
    end = reader.signed()
    record.duration = reader.number()
    record.start = end - record.duration
    record.source_port = reader.short()
    record.translated_port = reader.short() if first & 2 else record.source_port
    reader.packets(record, reader.octet())
    reader.volumes(record)
    return record


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.capture.connections import Connection
    from agent.vault.record import Holder
