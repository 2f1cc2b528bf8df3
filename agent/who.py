# SPDX-License-Identifier: Apache-2.0
"""Which terminal held an address, and when: in memory only, bounded, forgotten when nobody needs it (L34-II-1).

An association is (address, MAC, since when). A new holder of an address doesn't erase the former one: a connection belongs to
the terminal that held the address when the connection *started*, and the kernel reports its end up to minutes later. A former
association is needed as long as the live table shows connections from its address: `sweep`, after each dump, forgets those
that no longer are. Nothing is written anywhere but inside a record under its purpose.

The table lies outside the collected heap. Rows of 48 octets: address 16 (IPv4 mapped into IPv6), MAC 6, 1 where it is current,
pad; then words: next row of the bucket, since (ns, two words), number of the association, serial of the last dump
that needed it. Buckets are chosen by a multilinear hash with random coefficients: a guest chooses its own IPv6 addresses.
"""

import os
import struct

from agent.runtime import memory
from agent.runtime.libc import words

_ROW = 12  # words
_MAC = 16  # octet of a row
_CURRENT = 22
_NEXT, _SINCE, _NUMBER, _SEEN = 6, 7, 9, 10  # words of a row
_PROBES = 64  # rows looked at for one that may be given up
_MAPPED = 0xFFFF


class Terminal:
    """What `Who.find` answers; one object, overwritten by the next answer.

    key      number of the association: another terminal, or another address of it, has another one
    address  where its MAC's 6 octets stand in memory
    """

    def __init__(self, who: "Who") -> None:
        self._who = who
        self.row = self.key = self.address = 0

    def mac(self) -> bytes:
        """Return the MAC."""
        return self._who.mac(self.row)


class Who:
    """At most `limit` associations. Addresses have 4 or 16 octets, MACs 6, times are ns of the wall clock."""

    def __init__(self, limit: int) -> None:
        buckets = 64
        while buckets < limit:
            buckets <<= 1
        self._limit = limit
        self._mask = buckets - 1
        self._buckets = memory.scratch(buckets * 4)
        self._rows = memory.scratch((limit + 1) * _ROW * 4)  # row 0 stands for "none"
        self._heads = words(self._buckets.view, self._buckets.size)
        self._words = words(self._rows.view, self._rows.size)
        self._factors = struct.unpack("8I", os.urandom(32))
        self._used = self._free = self._number = self._hand = 0
        self.serial = 1
        self.handed_over = self.given_up = 0
        self._terminal = Terminal(self)

    def _bucket(self, a: int, b: int, c: int, d: int) -> int:
        f = self._factors
        total = (d >> 16) * f[0] + (d & 0xFFFF) * f[1]
        if a:
            total += (c >> 16) * f[2] + (c & 0xFFFF) * f[3] + (b >> 16) * f[4] + (b & 0xFFFF) * f[5]
            total += (a >> 16) * f[6] + (a & 0xFFFF) * f[7]
        return total >> 16 & self._mask

    def find(self, a: int, b: int, c: int, d: int, start: int) -> "Terminal | None":
        """Return who held the address of these four words at `start`; None where nobody is known to have had it.

        Where the first holder known came later than `start`, it is the answer: nothing says otherwise.
        """
        table = self._words
        row = self._heads[self._bucket(a, b, c, d)]
        found = 0
        while row:
            at = row * _ROW
            if table[at + 3] == d and table[at + 2] == c and table[at + 1] == b and table[at] == a:
                found = row
                if table[at + _SINCE] << 32 | table[at + _SINCE + 1] <= start:
                    break
            row = table[at + _NEXT]
        if not found:
            return None
        terminal = self._terminal
        terminal.row = found
        terminal.key = table[found * _ROW + _NUMBER]
        terminal.address = self._rows.address + found * _ROW * 4 + _MAC
        return terminal

    def mac(self, row: int) -> bytes:
        """Return a row's MAC."""
        at = row * _ROW * 4 + _MAC
        return bytes(self._rows.view[at : at + 6])

    def _newest(self, four: "tuple[int, ...]") -> int:
        """Return the newest row of an address, 0 where there is none."""
        row = self._heads[self._bucket(*four)]
        while row:
            at = row * _ROW
            if tuple([self._words[at + index] for index in range(4)]) == four:
                break
            row = self._words[at + _NEXT]
        return row

    def learn(self, address: bytes, mac: bytes, now: int) -> None:
        """Take note that a terminal holds an address as of `now`."""
        four = _four(address)
        row = self._newest(four)
        if row and self.mac(row) == mac:
            self._rows.view[row * _ROW * 4 + _CURRENT] = 1
            return
        if row:
            self._rows.view[row * _ROW * 4 + _CURRENT] = 0
            self.handed_over += 1
        row = self._take()
        at = row * _ROW
        bucket = self._bucket(*four)
        table = self._words
        for index in range(4):
            table[at + index] = four[index]
        octet = at * 4 + _MAC
        self._rows.view[octet : octet + 7] = mac + b"\1"
        self._number += 1
        table[at + _SINCE], table[at + _SINCE + 1] = now >> 32, now & 0xFFFFFFFF
        table[at + _NUMBER], table[at + _SEEN] = self._number, self.serial
        table[at + _NEXT] = self._heads[bucket]
        self._heads[bucket] = row

    def leave(self, address: bytes) -> None:
        """Take note that nobody holds an address any more."""
        row = self._newest(_four(address))
        if row:
            self._rows.view[row * _ROW * 4 + _CURRENT] = 0

    def needed(self, row: int) -> None:
        """Mark an association whose address a live connection has."""
        self._words[row * _ROW + _SEEN] = self.serial

    def shift(self, step: int) -> None:
        """Take note that the wall clock was stepped by so many ns: what was learned before is restated."""
        table = self._words
        for row in range(1, self._used + 1):
            at = row * _ROW + _SINCE
            since = max((table[at] << 32 | table[at + 1]) + step, 0)
            table[at], table[at + 1] = since >> 32, since & 0xFFFFFFFF

    def sweep(self) -> None:
        """Forget what isn't current and was not needed by the last two dumps; call it after each dump."""
        for row in range(1, self._used + 1):
            at = row * _ROW
            used = self._words[at + _NUMBER] and not self._rows.view[at * 4 + _CURRENT]
            if used and self._words[at + _SEEN] + 1 < self.serial:
                self._give_up(row)
        self.serial += 1

    def close(self) -> None:
        """Overwrite and unmap everything."""
        for region in (self._rows, self._buckets):
            region.wipe()
            region.close()

    def held(self) -> int:
        """Return how many associations are held (local use only)."""
        count, row = self._used, self._free
        while row:
            count -= 1
            row = self._words[row * _ROW + _NEXT]
        return count

    def _take(self) -> int:
        if not self._free:
            if self._used < self._limit:
                self._used += 1
                return self._used
            # Full: one that isn't current, among the next few, goes first.
            chosen = self._hand % self._limit + 1
            for _ in range(_PROBES):
                self._hand = self._hand % self._limit + 1
                if not self._rows.view[self._hand * _ROW * 4 + _CURRENT]:
                    chosen = self._hand
                    break
            self.given_up += 1
            self._give_up(chosen)
        row = self._free
        self._free = self._words[row * _ROW + _NEXT]
        return row

    def _give_up(self, row: int) -> None:
        """Unlink a row from its bucket, overwrite it, put it on the free list."""
        table = self._words
        at = row * _ROW
        bucket = self._bucket(table[at], table[at + 1], table[at + 2], table[at + 3])
        before = self._heads[bucket]
        if before == row:
            self._heads[bucket] = table[at + _NEXT]
        else:
            while table[before * _ROW + _NEXT] != row:
                before = table[before * _ROW + _NEXT]
            table[before * _ROW + _NEXT] = table[at + _NEXT]
        for index in range(_ROW):
            table[at + index] = 0
        table[at + _NEXT] = self._free
        self._free = row


def _four(address: bytes) -> "tuple[int, ...]":
    """Return an address of 4 or 16 octets as four words; IPv4 as IPv6 maps it."""
    if len(address) == 4:
        return (0, 0, _MAPPED, struct.unpack(">I", address)[0])
    return struct.unpack(">4I", address)
