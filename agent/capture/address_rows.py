# SPDX-License-Identifier: Apache-2.0
"""The rows of the address table, found by a hash of the address or of the MAC.

The table lies outside the collected heap. A row has 56 octets:

    16      address (IPv4 mapped into IPv6)
    6       MAC; zeros: nobody's who is known
    1, 1    whether it is current, marks
    4       next row of the bucket
    8       since (ns)
    4       number of the association
    4       serial of the last dump that needed it
    4       link (`AddressRows.link`)
    4       next row of the MAC's bucket; nobody's are in none
    4       serial of the last dump that named its terminal

Buckets are chosen by a multilinear hash with random coefficients: a guest chooses its own IPv6 addresses and its MACs.
"""

import os
import struct

from agent.runtime import memory
from agent.runtime.libc import halves, words

ROW = 14  # words
MAC = 16  # octet of a row
MAC_WORD = 4  # which is a word's first
CURRENT, MARKS = 22, 23
PRECEDED, UNSURE = 1, 2  # marks: its former holder is forgotten; somebody without a row may have been there before
NEXT, SINCE, NUMBER, SEEN, LINK, NEXT_OF_MAC, NAMED = 6, 7, 9, 10, 11, 12, 13  # words of a row
LINKED, LINKED_4 = 1, 2  # bits of a link: there is one; of an IPv4 address
CACHED = 4096  # words of the cache
MAPPED = 0xFFFF  # third word of an IPv4 address
MAPPED_OCTETS = bytes(10) + b"\xff\xff"
_INET = 2


class Terminal:
    """What `agent.capture.address_table` answers; one object, overwritten by the next answer.

    key      number of the association: another terminal, or another address of it, has another one
    address  where its MAC's 6 octets stand in memory
    newest   no other terminal has had the address since
    sure     it was known to have it then, or just after
    until    before which nobody else is known to have had it, ns since the epoch
    """

    def __init__(self, holders: "AddressRows") -> None:
        self._holders = holders
        self.row = self.key = self.address = 0
        self.newest = self.sure = True
        self.until = 0

    def mac(self) -> bytes:
        """Return the MAC."""
        return self._holders.mac(self.row)

    def octet(self, number: int) -> int:
        """Return one of the MAC's 6 octets."""
        return self._holders.octet(self.row, number)


class AddressRows:
    """At most `limit` rows, each of one association."""

    def __init__(self, limit: int) -> None:
        buckets = 64
        while buckets < limit >> 2:  # hashed addresses touch every page of it
            buckets <<= 1
        self._limit = limit
        self._mask = buckets - 1
        self._buckets = memory.scratch(2 * buckets * 4)  # of addresses, then of MACs
        self._macs = buckets
        self._rows = memory.scratch((limit + 1) * ROW * 4)  # row 0 stands for "none"
        self._heads = words(self._buckets.view, self._buckets.size)
        self._words = words(self._rows.view, self._rows.size)
        # By an address's last bits: where the words of a row begin that may be its newest one. Who makes addresses
        # alike gains nothing but a search by the hash.
        self._cache_region = memory.scratch(CACHED * 4)
        self._cache = words(self._cache_region.view, self._cache_region.size)
        self._halves = halves(self._rows.view, self._rows.size)
        self._factors = struct.unpack("8I", os.urandom(32))
        self._used = self._free = 0

    def bucket(self, a: int, b: int, c: int, d: int) -> int:
        """Return the bucket of an address of four words."""
        total = self._more(a, b, c) if a or b or c != MAPPED else 0
        total += (d >> 16) * self._factors[0] + (d & 0xFFFF) * self._factors[1]
        return total >> 16 & self._mask

    def _more(self, a: int, b: int, c: int) -> int:
        f = self._factors
        low = (c >> 16) * f[2] + (c & 0xFFFF) * f[3] + (b >> 16) * f[4] + (b & 0xFFFF) * f[5]
        return low + (a >> 16) * f[6] + (a & 0xFFFF) * f[7]

    def _newest_in_bucket(self, connection: "Source") -> int:
        word = connection.word3
        if connection.family == _INET:
            return self._heads[(word >> 16) * self._factors[0] + (word & 0xFFFF) * self._factors[1] >> 16 & self._mask]
        return self._heads[self.bucket(connection.word0, connection.word1, connection.word2, word)]

    def _holds(self, at: int, connection: "Source") -> bool:
        """Return True if the row at a word has this source but for its last word."""
        table = self._words
        if connection.family == _INET:
            return table[at + 2] == MAPPED and not table[at + 1] and not table[at]
        return table[at + 2] == connection.word2 and table[at + 1] == connection.word1 and table[at] == connection.word0

    def mac(self, row: int) -> bytes:
        """Return a row's MAC."""
        at = row * ROW * 4 + MAC
        return bytes(self._rows.view[at : at + 6])

    def octet(self, row: int, number: int) -> int:
        """Return an octet of a row's MAC."""
        return self._rows.view[row * ROW * 4 + MAC + number]

    def is_nobodys(self, row: int) -> bool:
        """Return True of row 0, and of one without MAC."""
        at = row * ROW * 4 + MAC
        return not (self._words[row * ROW + MAC_WORD] or self._rows.view[at + 4] or self._rows.view[at + 5])

    def _same(self, row: int, four: "tuple[int, ...]") -> bool:
        return tuple([self._words[row * ROW + index] for index in range(4)]) == four

    def _newest(self, four: "tuple[int, ...]") -> int:
        """Return the newest row of an address, 0 where there is none."""
        row = self._heads[self.bucket(*four)]
        while row and not self._same(row, four):
            row = self._words[row * ROW + NEXT]
        return row

    def _oldest(self, four: "tuple[int, ...]") -> int:
        """Return the oldest row of an address."""
        row = oldest = self._newest(four)
        while row:
            if self._same(row, four):
                oldest = row
            row = self._words[row * ROW + NEXT]
        return oldest

    def _follows(self, at: int) -> bool:
        """Return True if another row of the address at a word stands behind it."""
        table = self._words
        four = tuple([table[at + index] for index in range(4)])
        row = table[at + NEXT]
        while row and not self._same(row, four):
            row = table[row * ROW + NEXT]
        return row > 0

    def search(self, source: "Source") -> int:
        """Return where the words of a source address's newest row begin, 0 for none; the cache has that one next."""
        four = (source.word0, source.word1, source.word2, source.word3)
        row = self._newest((0, 0, MAPPED, four[3]) if source.family == _INET else four) * ROW
        self._cache[four[3] & CACHED - 1] = row
        return row

    def _bucket_of_mac(self, mac: bytes) -> int:
        f = self._factors
        total = (mac[0] << 8 | mac[1]) * f[0] + (mac[2] << 8 | mac[3]) * f[1] + (mac[4] << 8 | mac[5]) * f[2]
        return self._macs + (total >> 16 & self._mask)

    def _chain(self, row: int, four: "tuple[int, ...]") -> None:
        """Put a row first in the bucket of its address and in that of its MAC."""
        table, at, bucket = self._words, row * ROW, self.bucket(*four)
        table[at + NEXT] = self._heads[bucket]
        self._heads[bucket] = row
        if not self.is_nobodys(row):
            bucket = self._bucket_of_mac(self.mac(row))
            table[at + NEXT_OF_MAC] = self._heads[bucket]
            self._heads[bucket] = row
        self._cache[four[3] & CACHED - 1] = at

    def address(self, row: int) -> int:
        """Return where in memory a row's MAC stands."""
        return self._rows.address + row * ROW * 4 + MAC

    def link(self, row: int, place: int) -> int:
        """Note where the day's table has the terminal of an association: an octet's place, a multiple of 32, or 0.

        Returns the link.
        """
        table, at = self._words, row * ROW
        link = place >> 2 | LINKED
        if table[at + 2] == MAPPED and not table[at + 1] and not table[at]:
            link |= LINKED_4
        table[at + LINK] = link
        return link

    def unlink(self) -> None:
        """Forget where the day's table has any terminal."""
        for row in range(1, self._used + 1):
            self._words[row * ROW + LINK] = 0

    def in_place(self) -> "tuple[Any, Any, Any]":
        """Return words of the rows, cache (`search`), and halves of the words, lower first, to be read in place."""
        return self._words, self._cache, self._halves

    def held(self) -> int:
        """Return how many associations are held (local use only)."""
        count, row = self._used, self._free
        while row:
            count -= 1
            row = self._words[row * ROW + NEXT]
        return count

    def _take(self) -> int:
        """Return a free row, 0 where there is none."""
        row = self._free
        if row:
            self._free = self._words[row * ROW + NEXT]
        elif self._used < self._limit:
            self._used += 1
            row = self._used
        return row

    def _give_up(self, row: int) -> None:
        """Unlink a row from its bucket, overwrite it, put it on the free list."""
        table = self._words
        at = row * ROW
        four = (table[at], table[at + 1], table[at + 2], table[at + 3])
        bucket = self.bucket(*four)
        before, newer, place = 0, 0, self._heads[bucket]
        while place != row:
            if self._same(place, four):
                # It comes after the one that is given up.
                newer = place
            before, place = place, table[place * ROW + NEXT]
        if newer:
            self._rows.view[newer * ROW * 4 + MARKS] |= PRECEDED
        if before:
            table[before * ROW + NEXT] = table[at + NEXT]
        else:
            self._heads[bucket] = table[at + NEXT]
        self._unchain_mac(row)
        for index in range(ROW):
            table[at + index] = 0
        table[at + NEXT] = self._free
        self._free = row

    def _unchain_mac(self, row: int) -> None:
        """Unlink a row from the bucket of its MAC, if it has one."""
        if self.is_nobodys(row):
            return
        table, bucket = self._words, self._bucket_of_mac(self.mac(row))
        before, place = 0, self._heads[bucket]
        while place != row:
            before, place = place, table[place * ROW + NEXT_OF_MAC]
        if before:
            table[before * ROW + NEXT_OF_MAC] = table[row * ROW + NEXT_OF_MAC]
        else:
            self._heads[bucket] = table[row * ROW + NEXT_OF_MAC]

    def _unname(self, row: int) -> None:
        """Overwrite a row's MAC: it is nobody's who is known from then on."""
        self._unchain_mac(row)
        at = row * ROW * 4 + MAC
        self._rows.view[at : at + 6] = bytes(6)
        self._words[row * ROW + LINK] = 0

    def close(self) -> None:
        """Overwrite and unmap everything."""
        for region in (self._rows, self._buckets, self._cache_region):
            region.wipe()
            region.close()


def four_words(address: bytes) -> "tuple[int, ...]":
    """Return an address of 4 or 16 octets as four words; IPv4 as IPv6 maps it."""
    if len(address) == 4:
        return (0, 0, MAPPED, struct.unpack(">I", address)[0])
    return struct.unpack(">4I", address)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.capture.connections import Connection as Source
