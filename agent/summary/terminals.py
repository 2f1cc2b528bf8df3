# SPDX-License-Identifier: Apache-2.0
"""The day's terminal table: one row a terminal, in one mapped 0600 tmpfs file (ANON-2, ANON-5, ANON-7, ANON-8).

A terminal is told apart by a keyed hash of its MAC; the key lives in this file for one agent-day and is overwritten at its end.
The marks of the cells already drawn stand beside, so that a restart of the process goes on with the same day at no cost. The
table is personal data until the day ends (L34-II-1).

File, little-endian: header of 128 octets: magic 8, rows u32, agent-day u32 (days since the epoch, 0: none), rows used u32,
1 where the table filled u8, first slot counted u8, pad 2, boot id 32 ASCII at 24, day key 16 at 64, marks of drawn cells u32 at 80,
end of the day i64 at 88 (ns since boot).
Rows of 32 octets: hash 8 (first word zero: free), first hour u8 at 26; the other octets are kept for the metrics to come.
"""

import struct

from agent.runtime import files, memory
from agent.runtime.libc import words

ROW, HEADER = 32, 128
_MAGIC = b"OUBLIDY1"
_DAY, _USED, _FULL, _FIRST, _BOOT, _KEY, _MARKS, _END = 12, 16, 20, 21, 24, 64, 80, 88
_HOUR = 26
_PROBES = 64  # rows looked at before the table counts as full


class Terminals:
    """The table at `path` with `rows` rows; another boot's, or one of another size, is erased."""

    def __init__(self, path: str, rows: int, boot: str, sodium: "Sodium") -> None:
        self._rows = rows
        self._boot = boot
        self._sodium = sodium
        self._hash = bytearray(8)
        self._hashed = words(self._hash, 8)
        size = HEADER + rows * ROW
        fits = files.exists(path) and files.size_of(path) == size
        self._region = memory.map_file(path, size)
        self._region.lock()
        self._view = self._region.view
        self._words = words(self._view, size)
        start = bytes(self._view[0:12]) + bytes(self._view[_BOOT : _BOOT + 32])
        if not fits or start != struct.pack("<8sI", _MAGIC, rows) + boot.encode():
            self.erase()
        (self.day,) = struct.unpack_from("<I", self._view, _DAY)

    def erase(self) -> None:
        """Overwrite key, marks and every row; no day is open then."""
        self._sodium.zero(self._region.address, self._region.size)
        struct.pack_into("<8sI", self._view, 0, _MAGIC, self._rows)
        self._view[_BOOT : _BOOT + 32] = self._boot.encode()
        self.day = 0

    def open_day(self, day: int, first_slot: int, end: int) -> None:
        """Begin an agent-day with a new random key; slots before `first_slot` were not counted and stay silent; `end` in ns since boot."""
        self.erase()
        self._sodium.random(self._region.address + _KEY, 16)
        marks = (1 << first_slot) - 1
        struct.pack_into("<I", self._view, _MARKS, marks)
        self._view[_FIRST] = first_slot
        struct.pack_into("<q", self._view, _END, end)
        struct.pack_into("<I", self._view, _DAY, day)
        self.day = day

    def over(self, monotonic: int) -> bool:
        """Say whether the open day's time has run out by the clock since boot, in ns: true whatever the wall clock says."""
        (end,) = struct.unpack_from("<q", self._view, _END)
        return self.day != 0 and monotonic >= end

    def used(self) -> int:
        """Return how many rows hold a terminal (local use only)."""
        return struct.unpack_from("<I", self._view, _USED)[0]

    def filled(self) -> bool:
        """Say whether the table filled today, which doubles the day's bound (ANON-8; local use only)."""
        return self._view[_FULL] == 1

    def see(self, mac: "int | bytes", hour: int) -> None:
        """Count a terminal's sign of life in an hour of the day (0..23): the row keeps the first one.

        `mac` is 6 octets or where they stand in memory.
        """
        self._sodium.short_hash(self._hash, mac, 6, self._region.address + _KEY)
        table = self._words
        low, high = self._hashed[0] or 1, self._hashed[1]  # zero means "free"
        row = low % self._rows
        for _ in range(_PROBES):
            at = HEADER + row * ROW
            there = table[at >> 2]
            if there == low and table[(at >> 2) + 1] == high:
                return
            if there == 0:
                struct.pack_into("<I", self._view, _USED, self.used() + 1)
                break
            row = (row + 1) % self._rows
        else:
            # Full: whoever comes now is not counted today. Were a row given away, two terminals could take it from each other all
            # day and arrive again each time; so one terminal more leaves at most one other out (ANON-8).
            self._view[_FULL] = 1
            return
        self._view[at + _HOUR] = hour
        table[(at >> 2) + 1] = high
        table[at >> 2] = low

    def arrived(self, hour: int) -> int:
        """Return how many rows were first seen in an hour of the day."""
        count = 0
        for row in range(self._rows):
            at = HEADER + row * ROW
            if self._view[at + _HOUR] == hour and self._words[at >> 2]:
                count += 1
        return count

    def drawn(self, cell: int) -> bool:
        """Say whether a cell's noise was drawn, or is about to be."""
        (marks,) = struct.unpack_from("<I", self._view, _MARKS)
        return marks >> cell & 1 == 1

    def mark(self, cell: int) -> None:
        """Mark a cell before its draw: whatever happens then, it is never drawn again."""
        (marks,) = struct.unpack_from("<I", self._view, _MARKS)
        struct.pack_into("<I", self._view, _MARKS, marks | 1 << cell)

    def close(self) -> None:
        """Unmap; the day stays in the file for the next process of this boot."""
        self._words = self._view = bytearray(0)
        self._region.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.runtime.sodium import Sodium
