# SPDX-License-Identifier: Apache-2.0
"""How a `services` record is packed: as one of `security`, but by itself (L34-IV-1, L34-V-3).

Each record is sealed under its own consent's key, so none may lean on another: its terminal is told each time, and its end is in
units since the epoch (format 2, agent.vault.record_2). That costs 7 octets and the address, and 5 of the end, more than in a segment; and
26 of its seal.
"""

from agent.vault.record_2 import Unpacker, pack


class Services:
    """Packs records, one at a time, at the start of `view`."""

    def __init__(self, view: "bytearray | memoryview") -> None:
        self._view = view

    def pack(self, connection: "Connection", terminal: "Holder", end: int) -> int:
        """Write a record; returns its octets. `end` in ns."""
        return pack(self._view, connection, terminal, end)


def unpack(view: "bytes | bytearray | memoryview") -> "Record":
    """Return a record read back."""
    return next(iter(Unpacker(0).unpack(view, len(view))))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.capture.connections import Connection
    from agent.vault.record import Holder, Record
