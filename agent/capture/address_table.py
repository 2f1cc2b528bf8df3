# SPDX-License-Identifier: Apache-2.0
"""Which terminal held an address, and when: in memory only, bounded, forgotten when nobody needs it (L34-II-1).

An association is (address, MAC, since when). A new holder of an address doesn't erase the former one: a connection
belongs to the terminal that held the address when the connection *started*, and the kernel reports its end up to
minutes later. A former association is needed as long as the live table shows connections from its address: `sweep`,
after each dump, forgets those that no longer are. So it does with one that the neighbour table alone names and that no
dump has needed for a day: a kernel with few neighbours forgets none, and tells again of one that comes back. Nothing is
written anywhere but inside a record under its purpose.

Two witnesses: the kernel's neighbour table, which is what it sends answers to, and the DHCP server's leases. The
neighbour table goes first: a lease makes an association only for an address that no neighbour holds, and where the two
disagree (somebody took an address that was leased to another, or claims it by forged ARP) the neighbour is recorded and
the conflict is counted. So a forged neighbour entry is answered as the kernel itself treats it: what starts while it
lasts is the forger's.

Who held an address before this process listened isn't known: the kernel lists who holds it now, and not since when. So
the terminal of a connection that began before is unknown, and is counted as such. Associations that were kept on tmpfs
wouldn't say it either: while nobody listens, an address may change hands and back.

What one terminal does takes no association from another one. A MAC has ADDRESSES at most: of one more address that
nobody else holds its own oldest goes, unless a connection may still need that; then the new one isn't held. What is
needed, or current, is never given up for somebody else's sake: a full table leaves newcomers out, as the day's table
does (ANON-8). An address that changes hands does so in any case, for what begins there from now on isn't the former
holder's; where there is no room its oldest holder goes.

The table lies outside the collected heap. Rows of 52 octets: address 16 (IPv4 mapped into IPv6), MAC 6, who says that
it is current, marks; then words: next row of the bucket, since (ns, two words), number of the association, serial of
the last dump that needed it, link (`AddressTable.link`), next row of the MAC's bucket.
Buckets are chosen by a multilinear hash with random coefficients: a guest chooses its own IPv6 addresses and its MACs.
"""

import os
import struct

from agent.runtime import memory
from agent.runtime.libc import halves, words

ROW = 13  # words
MAC = 16  # octet of a row
MAC_WORD = 4  # which is a word's first
_CURRENT, _MARKS = 22, 23
NEIGHBOUR, LEASE = 1, 2  # who says that it is current
_PRECEDED, _DISPUTED = 1, 2  # marks: its former holder is forgotten; a lease says otherwise
NEXT, SINCE, NUMBER, _SEEN, LINK, _NEXT_OF_MAC = 6, 7, 9, 10, 11, 12  # words of a row
# Bits of a link: there is one; of an IPv4 address; somebody else held the address before
LINKED, LINKED_4, FORMER = 1, 2, 4
GUESSES = 4096  # places of the table of guesses
ADDRESSES = 32  # of one MAC: a phone keeps seven days' temporary ones at most, of each prefix (RFC 8981)
UNUSED = 270  # dumps, each of 300 s: what no lease names and no dump needs for so long goes within a day
_HOLDERS = 8  # of one address: who flips its MAC can't make a chain long
_NOTICE = 1000000000  # ns in which a change is read after the kernel made it: the newcomer's first packets are its own
MAPPED = 0xFFFF  # third word of an IPv4 address
_MAPPED_OCTETS = bytes(10) + b"\xff\xff"
_INET = 2


class Terminal:
    """What `AddressTable.find` answers; one object, overwritten by the next answer.

    key      number of the association: another terminal, or another address of it, has another one
    address  where its MAC's 6 octets stand in memory
    """

    def __init__(self, holders: "AddressTable") -> None:
        self._holders = holders
        self.row = self.key = self.address = 0

    def mac(self) -> bytes:
        """Return the MAC."""
        return self._holders.mac(self.row)

    def octet(self, number: int) -> int:
        """Return one of the MAC's 6 octets."""
        return self._holders.octet(self.row, number)


class AddressTable:
    """At most `limit` associations. Addresses have 4 or 16 octets, MACs 6, times are ns of the wall clock.

    `begun` is when this process began to listen: what began before belongs to nobody who is known.
    """

    def __init__(self, limit: int, begun: int = 0) -> None:
        self.begun = begun
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
        self._guesses = memory.scratch(GUESSES * 4)
        self._guess = words(self._guesses.view, self._guesses.size)
        self._halves = halves(self._rows.view, self._rows.size)
        self._factors = struct.unpack("8I", os.urandom(32))
        self._used = self._free = self._number = 0
        self.serial = 1
        self.handed_over = self.given_up = self.conflicts = 0
        self._terminal = Terminal(self)

    def bucket(self, a: int, b: int, c: int, d: int) -> int:
        """Return the bucket of an address of four words."""
        total = self._more(a, b, c) if a or b or c != MAPPED else 0
        total += (d >> 16) * self._factors[0] + (d & 0xFFFF) * self._factors[1]
        return total >> 16 & self._mask

    def _more(self, a: int, b: int, c: int) -> int:
        f = self._factors
        low = (c >> 16) * f[2] + (c & 0xFFFF) * f[3] + (b >> 16) * f[4] + (b & 0xFFFF) * f[5]
        return low + (a >> 16) * f[6] + (a & 0xFFFF) * f[7]

    def find(self, connection: "Source") -> "Terminal | None":
        """Return who held a connection's source address when it started; None where nobody is known to have had it.

        Where the first holder known came later than that, it is the answer as long as no former
        one was forgotten: nothing says otherwise.
        """
        if connection.start < self.begun:
            return None
        row = self._newest_in_bucket(connection)
        found, table = 0, self._words
        while row:
            at = row * ROW
            if table[at + 3] == connection.word3 and self._holds(at, connection):
                found = row
                if table[at + SINCE] << 32 | table[at + SINCE + 1] <= connection.start:
                    break
            row = table[at + NEXT]
        if not found or (not row and self._rows.view[found * ROW * 4 + _MARKS] & _PRECEDED):
            return None
        terminal = self._terminal
        terminal.row = found
        terminal.key = table[found * ROW + NUMBER]
        terminal.address = self._rows.address + found * ROW * 4 + MAC
        return terminal

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

    def _same(self, row: int, four: "tuple[int, ...]") -> bool:
        return tuple([self._words[row * ROW + index] for index in range(4)]) == four

    def _newest(self, four: "tuple[int, ...]") -> int:
        """Return the newest row of an address, 0 where there is none."""
        row = self._heads[self.bucket(*four)]
        while row and not self._same(row, four):
            row = self._words[row * ROW + NEXT]
        return row

    def search(self, source: "Source") -> int:
        """Return where the words of a source address's newest row begin, 0 for none; the next guess is that one."""
        four = (source.word0, source.word1, source.word2, source.word3)
        row = self._newest((0, 0, MAPPED, four[3]) if source.family == _INET else four) * ROW
        self._guess[four[3] & GUESSES - 1] = row
        return row

    def holder(self, address: bytes) -> "bytes | None":
        """Return the MAC of who holds an address now; None where nobody is known to."""
        row = self._newest(_four(address))
        return self.mac(row) if row and self._rows.view[row * ROW * 4 + _CURRENT] else None

    def user(self, address: bytes) -> "bytes | None":
        """Return the MAC of who uses an address.

        That is its holder, or else whose connections one of the last two dumps had (a lost lease).
        """
        row = self._newest(_four(address))
        used = row and (self._rows.view[row * ROW * 4 + _CURRENT] or self._words[row * ROW + _SEEN] + 1 >= self.serial)
        return self.mac(row) if used else None

    def of(self, mac: bytes) -> "Iterator[tuple[bytes, int]]":
        """Yield the addresses that are held of a MAC, 4 or 16 octets, each with since when (ns since the epoch)."""
        row = self._heads[self._bucket_of_mac(mac)]
        while row:
            if self.mac(row) == mac:
                octets = struct.pack(">4I", *[self._words[row * ROW + index] for index in range(4)])
                since = self._words[row * ROW + SINCE] << 32 | self._words[row * ROW + SINCE + 1]
                yield octets[12:] if octets[:12] == _MAPPED_OCTETS else octets, since
            row = self._words[row * ROW + _NEXT_OF_MAC]

    def learn(self, address: bytes, mac: bytes, now: int) -> None:
        """Take note that the kernel has a terminal as the neighbour that holds an address as of `now`."""
        self._hold(_four(address), mac, now, NEIGHBOUR)

    def lease(self, address: bytes, mac: bytes, now: int) -> None:
        """Take note that a terminal holds an address by a lease; what the neighbour table says goes first."""
        four = _four(address)
        row = self._newest(four)
        view, at = self._rows.view, row * ROW * 4
        if not row or self.mac(row) == mac or not view[at + _CURRENT] & NEIGHBOUR:
            self._hold(four, mac, now, LEASE)
        elif not view[at + _MARKS] & _DISPUTED:
            view[at + _MARKS] |= _DISPUTED
            self.conflicts += 1

    def _hold(self, four: "tuple[int, ...]", mac: bytes, now: int, witness: int) -> None:
        row = self._newest(four)
        if row and self.mac(row) == mac:
            self._rows.view[row * ROW * 4 + _CURRENT] |= witness
            return
        former, number = row * ROW + NUMBER, 0
        if row:
            self._rows.view[row * ROW * 4 + _CURRENT] = 0
            self.handed_over += 1
            number = self._words[former]
            self._bound(row, four)
        elif not self._may_have_another(mac):
            return
        row = self._take()
        if not row:
            self.given_up += 1
            if not number:
                return
            self._give_up(self._oldest(four))
            row = self._take()
        at = row * ROW
        bucket = self.bucket(*four)
        table = self._words
        for index in range(4):
            table[at + index] = four[index]
        octet = at * 4 + MAC
        # To make room, this very address's former holder may have been given up.
        marks = _PRECEDED if number and self._words[former] != number else 0
        self._rows.view[octet : octet + 8] = mac + bytes((witness, marks))
        self._number += 1
        since = max(0, now - _NOTICE)
        table[at + SINCE], table[at + SINCE + 1] = since >> 32, since & 0xFFFFFFFF
        table[at + NUMBER], table[at + _SEEN] = self._number, self.serial
        table[at + NEXT] = self._heads[bucket]
        self._heads[bucket] = row
        bucket = self._bucket_of_mac(mac)
        table[at + _NEXT_OF_MAC] = self._heads[bucket]
        self._heads[bucket] = row
        self._guess[four[3] & GUESSES - 1] = at

    def _bucket_of_mac(self, mac: bytes) -> int:
        f = self._factors
        total = (mac[0] << 8 | mac[1]) * f[0] + (mac[2] << 8 | mac[3]) * f[1] + (mac[4] << 8 | mac[5]) * f[2]
        return self._macs + (total >> 16 & self._mask)

    def _may_have_another(self, mac: bytes) -> bool:
        """Return True if a MAC may have one address more; its oldest that isn't needed goes where it must."""
        count = oldest = 0
        row = self._heads[self._bucket_of_mac(mac)]
        while row:
            if self.mac(row) == mac:
                count += 1
                if not self._is_needed(row):
                    oldest = row
            row = self._words[row * ROW + _NEXT_OF_MAC]
        if count < ADDRESSES:
            return True
        self.given_up += 1
        if oldest:
            self._give_up(oldest)
        return oldest > 0

    def _bound(self, row: int, four: "tuple[int, ...]") -> None:
        """Give the oldest holder of an address up where another one would be too many."""
        count = 0
        while row:
            count += self._same(row, four)
            row = self._words[row * ROW + NEXT]
        if count == _HOLDERS:
            self.given_up += 1
            self._give_up(self._oldest(four))

    def _oldest(self, four: "tuple[int, ...]") -> int:
        """Return the oldest row of an address."""
        row = oldest = self._newest(four)
        while row:
            if self._same(row, four):
                oldest = row
            row = self._words[row * ROW + NEXT]
        return oldest

    def _is_needed(self, row: int) -> bool:
        """Return True if an association may still be asked for: it is new, or was in one of the last two dumps."""
        return self._words[row * ROW + _SEEN] + 1 >= self.serial

    def leave(self, address: bytes) -> None:
        """Take note that the kernel no longer has anybody as the neighbour that holds an address."""
        row = self._newest(_four(address))
        if row:
            self._rows.view[row * ROW * 4 + _CURRENT] &= ~NEIGHBOUR

    def doubt(self, witness: int) -> None:
        """Take back what NEIGHBOUR or LEASE has said: it is about to say all of it again."""
        for row in range(1, self._used + 1):
            self._rows.view[row * ROW * 4 + _CURRENT] &= ~witness

    def needed(self, row: int) -> None:
        """Mark an association whose address a live connection has."""
        self._words[row * ROW + _SEEN] = self.serial

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
        if self._rows.view[at * 4 + _MARKS] & _PRECEDED or (table[at + NEXT] and self._follows(at)):
            link |= FORMER
        table[at + LINK] = link
        return link

    def _follows(self, at: int) -> bool:
        """Return True if another row of the address at a word stands behind it."""
        table = self._words
        four = tuple([table[at + index] for index in range(4)])
        row = table[at + NEXT]
        while row and not self._same(row, four):
            row = table[row * ROW + NEXT]
        return row > 0

    def unlink(self) -> None:
        """Forget where the day's table has any terminal."""
        for row in range(1, self._used + 1):
            self._words[row * ROW + LINK] = 0

    def parts(self) -> "tuple[Any, Any, Any]":
        """Return words of the rows, guesses (`search`), and halves of the words, lower first, to be read in place."""
        return self._words, self._guess, self._halves

    def shift(self, step: int) -> None:
        """Take note that the wall clock was stepped by so many ns: what was learned before is restated."""
        table = self._words
        for row in range(1, self._used + 1):
            at = row * ROW + SINCE
            since = max((table[at] << 32 | table[at + 1]) + step, 0)
            table[at], table[at + 1] = since >> 32, since & 0xFFFFFFFF
        self.begun = max(self.begun + step, 0)

    def sweep(self) -> None:
        """Forget what isn't current and was not needed by the last two dumps; call it after each dump.

        So is forgotten what only a neighbour is current by, and UNUSED dumps didn't need.
        """
        for row in range(1, self._used + 1):
            at = row * ROW
            if not self._words[at + NUMBER] or self._is_needed(row):
                continue
            witness = self._rows.view[at * 4 + _CURRENT]
            if not witness or (witness == NEIGHBOUR and self._words[at + _SEEN] + UNUSED <= self.serial):
                self._give_up(row)
        self.serial += 1

    def close(self) -> None:
        """Overwrite and unmap everything."""
        for region in (self._rows, self._buckets, self._guesses):
            region.wipe()
            region.close()

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
            self._rows.view[newer * ROW * 4 + _MARKS] |= _PRECEDED
        if before:
            table[before * ROW + NEXT] = table[at + NEXT]
        else:
            self._heads[bucket] = table[at + NEXT]
        bucket = self._bucket_of_mac(self.mac(row))
        before, place = 0, self._heads[bucket]
        while place != row:
            before, place = place, table[place * ROW + _NEXT_OF_MAC]
        if before:
            table[before * ROW + _NEXT_OF_MAC] = table[at + _NEXT_OF_MAC]
        else:
            self._heads[bucket] = table[at + _NEXT_OF_MAC]
        for index in range(ROW):
            table[at + index] = 0
        table[at + NEXT] = self._free
        self._free = row


def _four(address: bytes) -> "tuple[int, ...]":
    """Return an address of 4 or 16 octets as four words; IPv4 as IPv6 maps it."""
    if len(address) == 4:
        return (0, 0, MAPPED, struct.unpack(">I", address)[0])
    return struct.unpack(">4I", address)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.capture.connections import Connection as Source
