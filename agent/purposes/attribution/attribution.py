# SPDX-License-Identifier: Apache-2.0
"""The purpose `attribution`: who stood behind a public address and port at a time (L34-1 III; in force II bis 3°).

A connection is recorded by itself, unless a holding covers it: its port lies in its own terminal's block (IPv4, mode
`blocks`), or it left by the terminal's own address (IPv6 without translation), which one row an address and day answers
for. What comes out goes to a custodian's store, which this device can't read back (EXP-3).
"""

from agent.purposes.attribution.record import UNKNOWN_MAC, Record, pack
from agent.purposes.sharded_dict import ShardedDict

_SECOND = 1000000000
_DAY = 86400
ADDRESSES = 2048  # of IPv6 that are followed at a time; what is beyond is recorded connection by connection
IDLE = 7200  # seconds without a connection after which an address's row ends
OVER = 900  # where its terminal has gone; a dump of the live table, each 300 s, would have shown one
COVERED = "attribution: in a block"


class _Own:
    """An IPv6 address that a terminal leaves by, in s since the epoch.

    `part` begins its open row, `since` the earliest one, `last` is its newest sign.
    """

    def __init__(self, mac: bytes, user: bytes, part: int) -> None:
        self.mac = mac
        self.user = user
        self.part = self.since = self.last = part


class Attribution:
    """`append(begins, octets) -> str` is the store's; `blocks` None in mode `connections`.

    `user(mac, start)` answers who has been logged in since before then, and is still; a record names nobody else.
    """

    def __init__(self, append: "Callable[..., str]", user: "Callable[[bytes, int], bytes]") -> None:
        self.blocks: "Blocks | None" = None
        self.confirmed = False
        self.covered = 0
        self._append = append
        self._user = user
        self._own = ShardedDict()  # address -> _Own
        self._ended = (
            0  # when the newest of those rows that are over ended: none begins before that (s since the epoch)
        )
        self.since = 0  # s since the epoch: since then all was heard and kept, up to the last mark; 0: it isn't known
        self._whole = True  # nothing was lost since then
        self.torn = False  # a holding's row was not kept
        self._split = 0  # the day before which every connection that lasts is recorded, up to its midnight
        # When the newest whole list of what lasts was begun; how many of it no holding covers
        self.listed = self.lasting = 0
        self._counted = 0

    def keep(self, record: Record) -> str:
        """Hand a record to the store; its deadline runs from its start (L34-III-2)."""
        result = self._append(record.start, pack(record))
        self._whole = self._whole and result != "lost"
        self.torn = self.torn or (record.protocol is None and result != "kept")
        return result

    # Marks

    def vouch(self, since: int) -> None:
        """Vouch for what comes from then on (s since the epoch); 0: for nothing, as long as the clock isn't trusted."""
        self.since, self._whole = since, True
        if not since:  # a list was dated by a clock that isn't believed any more
            self._split = self.listed = self.lasting = self._counted = 0

    def lost(self) -> None:
        """Take note that a connection was lost: nobody vouches for the time since the last mark."""
        self._whole = False

    def mark(self, wall: int) -> None:
        """Keep a mark: from the former one until now every connection was heard and kept.

        Those that last were kept up to the last midnight.

        By marks a custodian tells `nothing held` from `not known` (L34-II-4). None is
        made before the midnight's split is done.
        """
        if not self.since or wall <= self.since or (self.since // _DAY != wall // _DAY and self._split != wall // _DAY):
            return
        if not self._whole or wall // _DAY - self.since // _DAY > 1:  # nobody was awake at a midnight between
            self.vouch(wall)
            return
        for end in wall - wall % _DAY, wall:  # where a day's last segment is missing, nobody vouches for its end
            if self.since < end:
                if self._put_mark(self.since, end, self.since, confirmed=True) == "lost":
                    break
                self.since = end

    def _put_mark(self, begin: int, end: int, day: int, first: int = 0, *, confirmed: bool = False) -> str:
        record = Record(None, bytes(4), first, first, bytes(4), UNKNOWN_MAC, begin, end, confirmed=confirmed)
        return self._append(day, pack(record), owed=not confirmed)

    def set_back(self, begin: int, end: int) -> bool:
        """Take back what marks say of a time that comes once more (s since the epoch); False where it isn't kept."""
        return self._put_mark(begin, end, end) != "lost"

    def deny(self, begin: int, end: int) -> int:
        """Let nobody be named for a time (s since the epoch), each day in its own segment.

        A handover has those of its window. Returns up to when it was kept.
        """
        while begin < end:
            over = min(end, begin - begin % _DAY + _DAY)
            if self._put_mark(begin, over, begin, 1) == "lost":
                break
            begin = over
        return begin

    def last(
        self,
        connection: "Connection",
        source: bytes,
        public: bytes,
        mac: bytes,
        wall: int,
        packet: int = 0,
        *,
        exact: bool = True,
    ) -> None:
        """Record a connection that lasts, and that no holding covers, up to the last midnight, daily (L34-III-2).

        `packet`: its last one, s since the epoch, 0 where that isn't known. The kernel keeps it for hours after that.
        """
        self._counted += 1
        midnight = wall - wall % _DAY
        start, over = connection.start // _SECOND, min(midnight, packet or midnight)
        begin = max(start, midnight - _DAY)
        if start < midnight and begin <= over and self._split != wall // _DAY:
            self._part(connection, source, public, mac, begin, over, exact=exact)

    def split(self, began: int) -> None:
        """Take note that a list of all that lasts, which was begun at `began` (s since the epoch), has ended."""
        self._split = max(self._split, began // _DAY)
        self.listed, self.lasting, self._counted = began, self._counted, 0

    def _part(
        self, connection: "Connection", source: bytes, public: bytes, mac: bytes, start: int, end: int, *, exact: bool
    ) -> str:
        port, user = connection.translated_port, self._user(mac, start)
        return self.keep(
            Record(
                connection.protocol,
                public,
                port,
                port,
                source,
                mac,
                start,
                end,
                user,
                confirmed=self.confirmed and exact,
            )
        )

    def connection(
        self,
        connection: "Connection",
        source: bytes,
        public: bytes,
        terminal: "Terminal | None",
        end: int,
        now: int,
        *,
        exact: bool = True,
    ) -> str:
        """Keep a connection that has ended, from `source` and for the world from `public` (4 or 16 octets).

        `end` in ns of the wall clock, `now` in s since boot; `exact`: the clock leaves no doubt when it began. Returns
        what the store says, or COVERED where a holding answers for it.
        """
        mac, newest = (terminal.mac(), terminal.newest) if terminal is not None else (UNKNOWN_MAC, False)
        start = connection.start // _SECOND
        end = -(-end // _SECOND)
        if self.covers(source, public, connection.translated_port, mac, start, end, now, exact=exact and newest):
            self.covered += 1
            return COVERED
        midnight = end - end % _DAY
        if start < midnight < end and self.confirmed:  # it stands under each day on which it was there
            if self._split != end // _DAY:
                self._part(connection, source, public, mac, max(start, midnight - _DAY), midnight, exact=exact)
            start = midnight
        return self._part(connection, source, public, mac, start, end, exact=exact)

    def covers(
        self, source: bytes, public: bytes, port: int, mac: bytes, start: int, end: int, now: int, *, exact: bool = True
    ) -> bool:
        """Return True if a holding answers for a connection, which may last; it isn't idle then. Times in s.

        `exact`: it is sure when it began, and that its terminal has had the address since. A row of an IPv6 address is
        of all ports, all the time.
        """
        if self.blocks is None:
            return False
        if len(source) == 4:
            return public == self.blocks.public and self.blocks.covers(source, port, mac, start, now)
        return exact and mac != UNKNOWN_MAC and public == source and self._leaves(source, mac, start, end)

    def _leaves(self, address: bytes, mac: bytes, start: int, end: int) -> bool:
        """Make sure that rows say that a terminal left by its own address from `start` to `end`, on each day of it."""
        user, known = self._user(mac, start), self._own.get(address, None)
        if known is not None and (known.mac != mac or known.user != user):
            if start <= known.part:
                # Rows of one terminal that begin at once are read as one; later connections begin another's
                return False
            self._over(address, known)
            known = None
        if known is None:
            if len(self._own) >= ADDRESSES or start < self._ended:
                return False
            known = _Own(mac, user, start)
            if not self._begin(address, known):
                return False
            self._own[address] = known
        elif start < known.since:  # it began before what the row says: another may have had the address between
            return False
        known.last = max(known.last, end)
        return self._days(address, known)

    def hold(self, address: bytes, mac: bytes) -> None:
        """Take note that a terminal holds an IPv6 address: the row of another ends with its newest sign."""
        known = self._own.get(address, None)
        if known is not None and known.mac != mac:
            self._over(address, known)

    def _over(self, address: bytes, known: _Own) -> None:
        self._own.pop(address, None)
        self._end(address, known, known.last)
        self._ended = max(self._ended, known.last)

    def _days(self, address: bytes, known: _Own) -> bool:
        while known.part // _DAY < known.last // _DAY:
            midnight = known.part - known.part % _DAY + _DAY
            self._end(address, known, midnight)
            known.part = midnight
            if not self._begin(address, known):
                self._own.pop(address, None)
                return False
        return True

    def _row(self, address: bytes, known: _Own, end: "int | None") -> Record:
        return Record(
            None, address, 0, 65535, address, known.mac, known.part, end, known.user, confirmed=self.confirmed
        )

    def leaving(self, mac: bytes) -> "list[Record]":
        """Return the rows of the IPv6 addresses that a terminal leaves by, which go on, up to its newest sign."""
        return [
            self._row(address, self._own[address], self._own[address].last)
            for address in self._own.known()
            if self._own[address].mac == mac
        ]

    def _begin(self, address: bytes, known: _Own) -> bool:
        return self.keep(self._row(address, known, None)) == "kept"

    def _end(self, address: bytes, known: _Own, end: int) -> None:
        self.keep(self._row(address, known, max(known.part, end)))

    def deal(self, wall: int, now: int, holder: "Callable[[bytes], bytes]") -> None:
        """Give who has none a block; call it every second."""
        if self.blocks is not None:
            self.blocks.deal(wall, now, holder)

    def tick(self, wall: int, now: int, holder: "Callable[[bytes], bytes]", over: int = OVER) -> bool:
        """Do what is due; `wall` in s since the epoch, `now` in s since boot. True: it is to be called in a second.

        `over`: s without a sign of a connection after which the row of who has gone ends, with the last one.
        """
        again = False
        if self.blocks is not None:
            again = self.blocks.tick(wall, now, holder, over)
        for address in self._own.known():
            known = self._own[address]
            idle = IDLE if holder(address) == known.mac else over
            if wall - known.last >= idle or (known.user and self._user(known.mac, wall) != known.user):
                self._over(address, known)
        return again

    def resume(self, wall: int, now: int, *, confirmed: bool) -> None:
        """Go on with the blocks of a former process."""
        self.confirmed = confirmed
        if self.blocks is not None:
            self.blocks.confirmed = confirmed
            self.blocks.resume(wall, now)

    def restate(self, wall: int, now: int, step: int = 0, *, ended: bool = True, every: bool = True) -> None:
        """Begin every row again: after a step of so many seconds, with a clock trusted by now, after an erasure."""
        if self.blocks is not None:
            self.blocks.confirmed = self.confirmed
            self.blocks.restate(wall, now, step, ended=ended, every=every)
        for address in self._own.known() if ended else ():
            self._over(address, self._own[address])
        self._own, self._ended = ShardedDict(), wall

    def close(self) -> None:
        """Let go; the blocks stay as they are for the next process."""
        if self.blocks is not None:
            self.blocks.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.capture.address_rows import Terminal
    from agent.capture.connections import Connection
    from agent.purposes.attribution.blocks import Blocks
