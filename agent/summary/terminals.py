# SPDX-License-Identifier: Apache-2.0
"""The day's terminal table: one row a terminal, in one mapped 0600 tmpfs file (ANON-2, ANON-5, ANON-7, ANON-8).

A terminal is known by a keyed hash of its MAC. The key lives in this file for one agent-day and is overwritten at its
end. The marks of the cells already drawn stand beside, so that a restart of the process goes on with the same day at no
cost. The table is personal data until the day ends (L34-II-1).

Who objects to being counted has no row (L34-VI-5). A row that is there when it objects counts nothing from then on: it
is marked, its hash is replaced by a random one and the rest is overwritten. It stays taken until the day's end, so that
no other terminal's row moves and none is counted twice. What such a terminal adds to any message is still within the
bound of ANON-2. It is 1 at most to the arrivals of the hour in which it was first seen, where that was drawn before it
objected. To what is drawn later it adds nothing.

File, little-endian: a header of 128 octets, then rows of 32.

    header   0 magic 8   8 rows u32   12 agent-day u32 (days since the epoch, 0: none)   16 rows used u32
             20 1 where the table filled u8   21 first hour counted u8   24 boot id 32 ASCII   64 day key 16
             80 marks of drawn messages u32   88 end of the day i64 (ns since boot)
             96 number and noise of each metric u16 x 15
    row      0 hash 8 (60 of its bits, first word zero: free)   8 quarter-hours with traffic, 96 bits   20 KiB u32
             24 service classes as bits u16   26 sixth of an hour of the day in which it was first heard of u8
             27 1 where its terminal objected u8   28 octets below a KiB u32
"""

import struct

from agent.runtime import files, memory
from agent.runtime.libc import words

ROW, HEADER = 32, 128
TERMS = 15  # numbers that say what a day was opened for: three for each of five metrics
_MAGIC = b"OUBLIDY2"
_DAY, _USED, _FULL, _FIRST, _BOOT, _KEY, _MARKS, _END, _TERMS = 12, 16, 20, 21, 24, 64, 80, 88, 96
QUARTERS_AT, CLASSES_AT, _SIXTH, _GONE = 8, 24, 26, 27
KIB, OCTETS = 5, 7  # words of a row
MOST = (1 << 30) - 1  # KiB: where a terminal's volume stops counting, within a small integer of a 32-bit processor
_SMALL = (1 << 30) - 1024  # octets
_COUNTER = (1 << 64) - 1
_BITS = bytes([bin(octet).count("1") for octet in range(256)])
_PROBES = 64  # rows looked at before the table counts as full: four fifths of them are taken then, at the least


class Terminals:
    """The table at `path` with `rows` rows; another boot's, or one of another size, is erased.

    `objects(mac)` says whether a terminal, 6 octets or where they stand in memory, is
    not to be counted; None: nobody objects.
    """

    objects: "Callable[[int | bytes], bool] | None" = None

    def __init__(self, path: str, rows: int, boot: str, sodium: "Sodium") -> None:
        self._rows = rows
        self._boot = boot
        self._sodium = sodium
        self.erased = 0  # how often: rows found before are nobody's
        self._hash = bytearray(8)
        self._hashed = words(self._hash, 8)
        size = HEADER + rows * ROW
        fits = files.exists(path) and files.size_of(path) == size
        self._region = memory.map_file(path, size)
        self._region.lock()
        self._key = self._region.address + _KEY  # once: where pointers don't fit a small integer it takes heap
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
        self.erased += 1
        self.day = 0

    def open_day(self, day: int, first_hour: int, end: int, terms: "tuple[int, ...]") -> None:
        """Begin an agent-day with a new random key.

        `first_hour` is the first that is counted; `end` in ns since boot; `terms` say what the day's start was spent
        for: number and b of each metric.
        """
        self.erase()
        self._sodium.random(self._key, 16)
        self._view[_FIRST] = first_hour
        struct.pack_into("<q", self._view, _END, end)
        struct.pack_into("<" + "H" * len(terms), self._view, _TERMS, *terms)
        struct.pack_into("<I", self._view, _DAY, day)
        self.day = day

    def over(self, monotonic: int) -> bool:
        """Return True if the open day is over by the clock since boot, in ns, whatever the wall clock says."""
        (end,) = struct.unpack_from("<q", self._view, _END)
        return self.day != 0 and monotonic >= end

    def used(self) -> int:
        """Return how many rows hold a terminal (local use only)."""
        return struct.unpack_from("<I", self._view, _USED)[0]

    def filled(self) -> bool:
        """Return True if the table filled today, which doubles the day's bound (ANON-8; local use only)."""
        return self._view[_FULL] == 1

    def first_hour(self) -> int:
        """Return the first hour of the day that is counted."""
        return self._view[_FIRST]

    def terms(self) -> "tuple[int, ...]":
        """Return what the day was opened for, TERMS numbers."""
        return struct.unpack_from("<" + "H" * TERMS, self._view, _TERMS)

    def see(self, mac: "int | bytes", sixth: int, first: int, last: int, service: int, octets: int) -> None:
        """Count a connection of a terminal, first heard of in this sixth of an hour of the day (0..143).

        `mac` is 6 octets or where they stand in memory. `first` to `last` are the quarter-hours of the day (0..95) that
        the connection touched, `octets` what it carried both ways.
        """
        at = self.row_of(mac, sixth)
        if not at:
            return
        view = self._view
        for quarter in range(first, last + 1):
            view[at + QUARTERS_AT + (quarter >> 3)] |= 1 << (quarter & 7)
        view[at + CLASSES_AT + (service >> 3)] |= 1 << (service & 7)
        if octets:
            table, word = self._words, at >> 2
            kib = 0
            if octets >= _SMALL:
                kib, octets = self._parts(octets)
            octets += table[word + OCTETS]
            table[word + OCTETS] = octets & 1023
            table[word + KIB] += min(kib + (octets >> 10), MOST - table[word + KIB])

    def _parts(self, octets: int) -> "tuple[int, int]":
        """Return KiB (MOST at most) and the octets below one, off its octets: sums of large integers take heap."""
        octet = self._hash
        wrong = octets > _COUNTER  # counters that were told wrong add up to more than one holds
        struct.pack_into("<Q", octet, 0, octets & _COUNTER if wrong else octets)
        kib = octet[1] >> 2 | octet[2] << 6 | octet[3] << 14 | octet[4] << 22
        return MOST if wrong or octet[5] | octet[6] | octet[7] else kib, octet[0] | (octet[1] & 3) << 8

    def in_place(self) -> "tuple[Any, Any]":
        """Return the table's octets and words, for who updates rows in place as `see` does."""
        return self._view, self._words

    def row_of(self, mac: "int | bytes", sixth: int) -> int:
        """Return where a terminal's row stands, made at first sight; a multiple of 32, 0: the table is full."""
        hashed = self._hash
        self._sodium.short_hash(hashed, mac, 6, self._key)
        hashed[3] &= 63  # a word of 30 bits takes no heap on a 32-bit processor
        hashed[7] &= 63
        table = self._words
        low, high = self._hashed[0] or 1, self._hashed[1]  # zero means "free"
        row = low % self._rows
        for further in range(1, _PROBES + 1):
            at = HEADER + row * ROW
            there = table[at >> 2]
            if there == low and table[(at >> 2) + 1] == high:
                return at
            if there == 0:
                if self.objects is not None and self.objects(mac):
                    return 0
                table[_USED >> 2] += 1
                break
            row = (row + further) % self._rows  # 1, 3, 6, 10 ... away: no row is in the way of a whole run of others
        else:
            # Full: whoever comes now is not counted today. Were a row given away, two terminals could take it from each
            # other all day and arrive again each time; so one terminal more leaves at most one other out (ANON-8).
            self._view[_FULL] = 1
            return 0
        self._view[at + _SIXTH] = sixth
        table[(at >> 2) + 1] = high
        table[at >> 2] = low
        return at

    def forget(self, mac: bytes) -> None:
        """Let the row of a terminal that objects, if it has one, count nothing from now on, and be nobody's."""
        at = self.row_of(mac, 0)
        if at:
            self._view[at + _GONE] = 1  # first: a process that is killed here leaves a row that counts nothing
            self._sodium.random(self._region.address + at, 8)
            self._view[at] |= 1  # taken
            self._view[at + 3] &= 63
            self._view[at + 7] &= 63
            self._view[at + 8 : at + ROW] = bytes(_GONE - 8) + b"\1" + bytes(ROW - _GONE - 1)
            self.erased += 1

    def count(self, metric: "Metric", slot: int) -> "list[int]":
        """Read a message's cells off the rows; a row adds 1 to at most L1 of them (ANON-2)."""
        counts = [0] * len(metric.cells)
        row = Row(self._view, self._words, self.rank)
        for number in range(self._rows):
            row.at = HEADER + number * ROW
            if self._words[row.at >> 2] and not self._view[row.at + _GONE]:
                for cell in metric.cells_of(row, slot)[: metric.l1]:
                    counts[cell] += 1
        return counts

    def rank(self, at: int, cell: int) -> int:
        """Return a number that only the day's key knows before, for the row at a place and a cell."""
        self._sodium.short_hash(self._hash, bytes(self._view[at : at + 8]) + bytes([cell]), 9, self._key)
        return self._hashed[0]

    def drawn(self, place: int) -> bool:
        """Return True if a message's noise was drawn, or is about to be; `place` among the day's messages."""
        (marks,) = struct.unpack_from("<I", self._view, _MARKS)
        return marks >> place & 1 == 1

    def mark(self, place: int) -> None:
        """Mark a message's cells before their draw: whatever happens then, they are never drawn again."""
        self._words[_MARKS >> 2] |= 1 << place  # a word at once: nothing is unmarked meanwhile

    def close(self) -> None:
        """Unmap; the day stays in the file for the next process of this boot."""
        self._words = self._view = bytearray(0)
        self._region.close()


class Row:
    """A terminal's row, read where it stands; `at` moves it."""

    def __init__(self, view: "bytearray | memoryview", table: "Any", rank: "Callable[[int, int], int]") -> None:
        self._view = view
        self._words = table
        self._rank = rank
        self.at = 0

    def sixth(self) -> int:
        """Return when the recorder first heard of it, in sixths of an hour of the day."""
        return self._view[self.at + _SIXTH]

    def quarters(self, first: int, count: int) -> int:
        """Return in how many of `count` quarter-hours it had traffic; both are multiples of 8."""
        at = self.at + QUARTERS_AT + (first >> 3)
        return sum([_BITS[octet] for octet in self._view[at : at + (count >> 3)]])

    def kib(self) -> int:
        """Return its volume, up and down, in KiB."""
        return self._words[(self.at >> 2) + KIB]

    def uses(self, service: int) -> bool:
        """Return True if it used a service class."""
        return self._view[self.at + CLASSES_AT + (service >> 3)] >> (service & 7) & 1 == 1

    def rank(self, cell: int) -> int:
        """Return the place of a cell in this terminal's secret order of the day."""
        return self._rank(self.at, cell)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.runtime.sodium import Sodium
    from agent.summary.metrics import Metric
