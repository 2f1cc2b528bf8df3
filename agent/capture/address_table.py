# SPDX-License-Identifier: Apache-2.0
"""Which terminal held an address, and when: in memory only, bounded, forgotten when nobody needs it (L34-II-1).

An association is (address, MAC, since when). The kernel's neighbour table is the only witness: it is what the gateway
sends answers to. A DHCP lease says to whom an address was promised, and not who uses it. So a forged neighbour entry is
answered as the kernel itself treats it: what starts while it lasts is the forger's.

A new holder of an address doesn't erase the former one. A connection belongs to the terminal that held the address when
the connection *started*, and the kernel reports its end up to minutes later. A former association is needed as long as
the live table shows connections from its address: `sweep`, after each dump, forgets those that no longer are. So it
does with one that no dump has needed for a day. A kernel with few neighbours forgets none, and tells again of one that
comes back. Nothing is written anywhere but inside a record under its purpose.

Who held an address before this process listened isn't known: the kernel lists who holds it now, and not since when. So
the terminal of a connection that began before is unknown, and is counted as such. Associations that were kept on tmpfs
wouldn't say it either: while nobody listens, an address may change hands and back.

The kernel may have somebody at an address who isn't to be known: who gave no sign for long when all was listed, who has
too many, or who says that his MAC is a group's, or none. Where another one was known there, NOBODY follows him.

The kernel asks for a newcomer's MAC up to three times, a second apart, before it tells of him. The recorder reads that
a moment later, or later still where it stood still. Whose a connection is that began meanwhile isn't known: it may
be the former holder's or his. Where the kernel dropped word of changes, an address may have gone
to another one and back: of what began from then until all was listed anew nobody is known either. What began before
is its holder's up to then (`until`). Where a link or a prefix becomes the guests', or ceases to be (`forget`), a
newcomer has nothing that began before he was told of.

What one terminal does takes no association from another one. A MAC has ADDRESSES at most: one more address
takes the place of its own oldest. Where a connection may still need that, or a former holder's
behind it, the new one isn't known. What is needed, or current, is never given up for somebody else's
sake: a full table leaves newcomers out, as the day's table does (ANON-8). An address that changes hands does so in any
case, for what begins there from now on isn't the former holder's. Where there is no room its oldest holder goes.
"""

import struct

from agent.capture.address_rows import (
    CURRENT,
    MAC,
    MAPPED_OCTETS,
    MARKS,
    NAMED,
    NEXT,
    NEXT_OF_MAC,
    NUMBER,
    PRECEDED,
    ROW,
    SEEN,
    SINCE,
    UNSURE,
    AddressRows,
    Terminal,
    four_words,
)

ADDRESSES = 32  # of one MAC: a phone keeps seven days' temporary ones at most, of each prefix (RFC 8981)
NOBODY = bytes(6)
UNUSED = 270  # dumps, each of 300 s: what no dump needs for so long goes within a day
_HOLDERS = 8  # of one address: who flips its MAC can't make a chain long
_NOTICE = 1000000000  # ns in which a change is read after the kernel made it: whose a packet of then is can't be told
_ASKED = 3000000000  # ns in which the kernel asks for a MAC (three times, retrans_time_ms 1000)
_EVER = 1 << 62
_LATE, _EVER_LATE = 4, 63  # of the marks, from which on they are whole seconds by which that was longer; 63: or more


class AddressTable(AddressRows):
    """At most `limit` associations. Addresses have 4 or 16 octets, MACs 6, times are ns of the wall clock.

    `begun` is when this process began to listen: what began before belongs to nobody who is known. Nor does what began
    from `deaf_from` to before `deaf_until`.
    """

    def __init__(self, limit: int, begun: int = 0) -> None:
        super().__init__(limit)
        self.begun = begun
        self.deaf_from = self.deaf_until = 0
        self._number = 0  # of the newest association
        self.serial = 1  # of the dump that is next to end
        self.late = 0  # ns by which what is told now may be read later than usual
        self.handed_over = self.given_up = 0
        self._rowless = False  # somebody has been at an address without a row, and may be still
        self._forgot = 0  # when somebody was last forgotten who may have had an address then
        self._terminal = Terminal(self)

    def find(self, connection: "Source") -> "Terminal | None":
        """Return who held a connection's source address when it started; None where nobody is known to have had it.

        Where the first holder known came later than that, it is the answer as long as no former one was forgotten:
        nothing says otherwise. It isn't `sure` but of what began just before, and not where somebody without a row may
        have had the address. Nor is it known of what began as an address changed hands. Then the association that shows
        it stays as long as a live connection needs it.
        """
        if connection.start < self.begun or self.deaf_from <= connection.start < self.deaf_until:
            return None
        row, start = self._newest_in_bucket(connection), connection.start
        # Of more than three at once MicroPython makes a tuple, which would stay in the heap (EXP-1).
        terminal, table = self._terminal, self._words
        found, since, terminal.until = 0, start, _EVER
        while row:
            at = row * ROW
            if table[at + 3] == connection.word3 and self._holds(at, connection):
                if found:
                    terminal.until = since - self._doubt(found) - _ASKED
                    if terminal.until <= start:
                        self.needed(found)
                        return None
                terminal.newest = not found
                found, since = row, table[at + SINCE] << 32 | table[at + SINCE + 1]
                if since <= start:
                    break
            row = table[at + NEXT]
        marks = self._rows.view[found * ROW * 4 + MARKS]
        if self.is_nobodys(found) or (not row and marks & PRECEDED):
            self.needed(found)
            return None
        if start < self.deaf_from < terminal.until:
            terminal.until = self.deaf_from
        terminal.sure = row > 0 or (not marks & UNSURE and since - start <= self._doubt(found))
        terminal.row = found
        terminal.key = table[found * ROW + NUMBER]
        terminal.address = self._rows.address + found * ROW * 4 + MAC
        return terminal

    def _doubt(self, row: int) -> int:
        """Return by how much earlier than it was read a holder may have come, in ns."""
        late = self._rows.view[row * ROW * 4 + MARKS] // _LATE
        return _NOTICE * (1 + late) if late < _EVER_LATE else _EVER

    def holder(self, address: bytes) -> "bytes | None":
        """Return the MAC of who holds an address now; None where nobody is known to, or word of changes is missed."""
        if self.deaf_until == _EVER:
            return None
        row = self._newest(four_words(address))
        return self.mac(row) if not self.is_nobodys(row) and self._rows.view[row * ROW * 4 + CURRENT] else None

    def user(self, address: bytes) -> "bytes | None":
        """Return the MAC of who uses an address: its holder, or whose connections one of the last two dumps had."""
        row = self._newest(four_words(address))
        used = self._rows.view[row * ROW * 4 + CURRENT] or self._words[row * ROW + SEEN] + 1 >= self.serial
        return self.mac(row) if used and not self.is_nobodys(row) else None

    def of(self, mac: bytes) -> "Iterator[tuple[bytes, int]]":
        """Yield the addresses that are held of a MAC, 4 or 16 octets, each with since when (ns since the epoch)."""
        row = self._heads[self._bucket_of_mac(mac)]
        while row:
            if self.mac(row) == mac:
                since = self._words[row * ROW + SINCE] << 32 | self._words[row * ROW + SINCE + 1]
                yield self._address_of(row), since
            row = self._words[row * ROW + NEXT_OF_MAC]

    def _address_of(self, row: int) -> bytes:
        octets = struct.pack(">4I", *[self._words[row * ROW + index] for index in range(4)])
        return octets[12:] if octets[:12] == MAPPED_OCTETS else octets

    def learn(self, address: bytes, mac: bytes, now: int, *, quiet: bool = False) -> None:
        """Take note that the kernel has a terminal as the neighbour that holds an address as of `now`.

        `quiet`: it gave no sign for long, and isn't known unless it is already.
        """
        four = four_words(address)
        row = self._newest(four)
        if row and self.mac(row) == mac:
            self._rows.view[row * ROW * 4 + CURRENT] = 1
        elif mac == NOBODY or quiet or not self._may_have_another(mac):
            self._rowless = True
            self._end(row, four, now)
        else:
            self._hold(row, four, mac, now)

    def another(self, address: bytes, mac: bytes, now: int, *, listing: bool = False) -> None:
        """Take note that somebody who isn't followed says as of `now` that he has an address, where another one did.

        `listing`: it may be a terminal's.
        """
        four = four_words(address)
        row = self._newest(four)
        self._rowless = self._rowless or (listing and not row)
        if self.mac(row) != mac:
            self._end(row, four, now)

    def _end(self, row: int, four: "tuple[int, ...]", now: int) -> None:
        """Let NOBODY follow the newest holder of an address, where there is one."""
        if not self.is_nobodys(row):
            self._hold(row, four, NOBODY, now)

    def _hold(self, row: int, four: "tuple[int, ...]", mac: bytes, now: int) -> None:
        """Let another one follow the newest holder of an address, which has a row or none."""
        former, number = row * ROW + NUMBER, 0
        if row:
            self._rows.view[row * ROW * 4 + CURRENT] = 0
            self.handed_over += not self.is_nobodys(row)
            number = self._words[former]
            self._bound(row, four)
        row = self._take()
        if not row:
            self.given_up += 1
            if not number:
                self._rowless = True
                return
            self._give_up(self._oldest(four))
            row = self._take()
        at = row * ROW
        table = self._words
        for index in range(4):
            table[at + index] = four[index]
        octet = at * 4 + MAC
        # To make room, this very address's former holder may have been given up.
        marks = PRECEDED if number and self._words[former] != number else 0
        late = min(-(-self.late // _NOTICE), _EVER_LATE)
        unsure = self._rowless or late == _EVER_LATE or now - _NOTICE - self.late <= self._forgot
        marks |= UNSURE if unsure and not number else 0
        if late > 1:  # else it is within that
            marks |= late * _LATE
        self._rows.view[octet : octet + 8] = mac + bytes((1, marks))
        self._number += 1
        since = max(now, 0)
        table[at + SINCE], table[at + SINCE + 1] = since >> 32, since & 0xFFFFFFFF
        table[at + NUMBER], table[at + SEEN], table[at + NAMED] = self._number, self.serial, self.serial
        self._chain(row, four)

    def _may_have_another(self, mac: bytes) -> bool:
        """Return True if a MAC may have one address more; its oldest that isn't needed goes where it must.

        Not who came after one that is kept, which would be taken for the address's holder again.
        """
        count = oldest = 0
        row = self._heads[self._bucket_of_mac(mac)]
        while row:
            if self.mac(row) == mac:
                count += 1
                if not (self._is_needed(row) or self._follows(row * ROW)):
                    oldest = row
            row = self._words[row * ROW + NEXT_OF_MAC]
        if count < ADDRESSES:
            return True
        self.given_up += 1
        if oldest:
            self._rowless = True  # the kernel may still have him there
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

    def _is_needed(self, row: int) -> bool:
        """Return True if an association may still be asked for: it is new, or was in one of the last two dumps."""
        return self._words[row * ROW + SEEN] + 1 >= self.serial

    def leave(self, address: bytes) -> None:
        """Take note that the kernel no longer has anybody as the neighbour that holds an address."""
        row = self._newest(four_words(address))
        if row:
            self._rows.view[row * ROW * 4 + CURRENT] = 0

    def doubt(self) -> None:
        """Take back what the kernel has said: it is about to say all of it again."""
        for row in range(1, self._used + 1):
            self._rows.view[row * ROW * 4 + CURRENT] = 0

    def missed(self, since: int) -> None:
        """Take note that changes were missed, all that came since then; `heard` tells when all is listed anew."""
        if self.deaf_until != _EVER:
            self.begun = max(self.begun, self.deaf_until)  # one such time is remembered
            self.deaf_from, self.deaf_until = since - _NOTICE - _ASKED, _EVER

    def heard(self, now: int) -> None:
        """Take note that all who hold addresses are listed as of `now`."""
        if self.deaf_until == _EVER:
            self.deaf_until = now

    def known_since(self) -> int:
        """Return since when all that was told of each address has been heard and kept, ns since the epoch."""
        return max(self.begun, self.deaf_until, self._forgot)

    def forget(self, gone: "Callable[[bytes], bool]", now: int) -> None:
        """Forget whoever has or had an address of which `gone` is true: what began before isn't known to be his."""
        self._forgot = now
        for row in range(1, self._used + 1):
            if self._words[row * ROW + NUMBER] and gone(self._address_of(row)):
                self._give_up(row)

    def needed(self, row: int, *, named: bool = False) -> None:
        """Mark an association whose address a live connection has; `named`: its terminal is named for it."""
        self._words[row * ROW + SEEN] = self.serial
        if named:
            self._words[row * ROW + NAMED] = self.serial

    def shift(self, step: int) -> None:
        """Take note that the wall clock was stepped by so many ns: what was learned before is restated."""
        table = self._words
        for row in range(1, self._used + 1):
            at = row * ROW + SINCE
            since = max((table[at] << 32 | table[at + 1]) + step, 0)
            table[at], table[at + 1] = since >> 32, since & 0xFFFFFFFF
        self.begun = max(self.begun + step, 0)
        self._forgot += step
        self.deaf_from += step
        if self.deaf_until != _EVER:
            self.deaf_until += step

    def sweep(self, *, whole: bool = True) -> None:
        """Forget what isn't current and was not needed by the last two dumps; call it after a dump.

        So is forgotten who wasn't named by UNUSED dumps. Where that is still needed, or came after one that is kept,
        its row stays as NOBODY's: it shows that the former one hasn't had the address since. Not `whole`: what isn't
        current may be, for not all are listed anew.
        """
        for row in range(1, self._used + 1):
            at = row * ROW
            if not self._words[at + NUMBER]:
                continue
            current, unused = self._rows.view[at * 4 + CURRENT], self._words[at + NAMED] + UNUSED <= self.serial
            gone = unused or (whole and not current)
            if gone and not self._is_needed(row) and not self._follows(at):
                self._rowless = self._rowless or current > 0 or not whole
                self._give_up(row)
            elif unused:
                self._unname(row)
        self.serial += 1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

    from agent.capture.connections import Connection as Source
