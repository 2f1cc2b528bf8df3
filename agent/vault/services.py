# SPDX-License-Identifier: Apache-2.0
"""How a `services` record is packed: as one of `security` (agent.vault.record), but by itself (L34-IV-1, L34-V-3).

Each record is sealed under its own consent's key, so none may lean on another: its terminal is told each time, and its end is in
units since the epoch. That costs 7 octets and the address, and 5 of the end, more than in a segment; and 26 of its seal.
"""

from agent.vault.record import Packer, Record, Unpacker


class _Untold:
    """A dictionary that has never heard of anybody."""

    def __getitem__(self, _place: int) -> int:
        return 0

    def __setitem__(self, _place: int, _key: int) -> None:
        pass


class Services:
    """Packs records, one at a time, at the start of `view`."""

    def __init__(self, view: "bytearray | memoryview") -> None:
        self._packer = Packer(0, _Untold(), view)

    def pack(self, connection: "Connection", terminal: "Holder", end: int) -> int:
        """Write a record; returns its octets. `end` in ns."""
        self._packer.restart(0)
        return self._packer.pack(0, connection, terminal, end)


def unpack(view: "bytes | bytearray | memoryview") -> Record:
    """Return a record read back."""
    return next(iter(Unpacker(0).unpack(view, len(view))))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.capture.connections import Connection
    from agent.vault.record import Holder
