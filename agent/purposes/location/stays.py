# SPDX-License-Identifier: Apache-2.0
"""Where consenting terminals are now: a row for each consent, in mapped memory, overwritten when its stay ends."""

import struct

from agent.runtime import memory

STAYS = 1024
_ROW = "<B6sB15sI"  # 1 for there, MAC, length of the access point's name, name, since (s)
_OCTETS = 32


class Stays:
    """The stays by their consent's place; `keep(place, mac, start, end, access_point)` takes one that has ended.

    Times in seconds since the epoch.
    """

    def __init__(self, keep: "Callable[[int, bytes, int, int, bytes], None]") -> None:
        self._keep = keep
        self._rows = memory.scratch(STAYS * _OCTETS)

    def _row(self, place: int) -> "tuple[Any, ...]":
        return struct.unpack_from(_ROW, self._rows.view, place * _OCTETS)

    def places(self) -> "list[int]":
        """Return the places of the consents under which a terminal is somewhere now."""
        return [place for place in range(STAYS) if self._rows.view[place * _OCTETS]]

    def of(self, mac: bytes) -> "tuple[int, bytes] | None":
        """Return since when a terminal is at an access point, and at which; None where none is known."""
        for place in self.places():
            _, whose, length, name, since = self._row(place)
            if whose == mac:
                return since, name[:length]
        return None

    def move(self, place: int, mac: bytearray, name: bytes, arrives: bool, now: int) -> None:
        """Note that a terminal came to the access point of this name, or left it; nothing where it has no place."""
        if not 0 <= place < STAYS:
            return
        there, _, length, known, _ = self._row(place)
        if there and arrives and known[:length] == name:
            return
        if there and (arrives or known[:length] == name):
            self.finish(place, now)
        if arrives:
            struct.pack_into(_ROW, self._rows.view, place * _OCTETS, 1, mac, len(name), name, now)

    def finish(self, place: int, now: int) -> None:
        """End the stay under a consent, and keep it: its terminal left, or its consent is suspended."""
        there, mac, length, name, since = self._row(place)
        if there:
            self.drop(place)
            self._keep(place, mac, since, now, name[:length])

    def finish_at(self, name: bytes, now: int) -> None:
        """End every stay at an access point, and keep them."""
        for place in self.places():
            row = self._row(place)
            if row[3][: row[2]] == name:
                self.finish(place, now)

    def finish_all(self, now: int) -> None:
        """End every stay, and keep them."""
        for place in self.places():
            self.finish(place, now)

    def drop(self, place: int) -> None:
        """End the stay under a consent, and keep nothing: it is withdrawn or over."""
        struct.pack_into(_ROW, self._rows.view, place * _OCTETS, 0, bytes(6), 0, b"", 0)

    def shift(self, step: int) -> None:
        """Take note that the clock was stepped by so many seconds."""
        for place in self.places():
            there, mac, length, name, since = self._row(place)
            struct.pack_into(
                _ROW, self._rows.view, place * _OCTETS, there, mac, length, name, max(since + step, 0) & 0xFFFFFFFF
            )

    def close(self) -> None:
        """Overwrite and unmap."""
        self._rows.wipe()
        self._rows.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
