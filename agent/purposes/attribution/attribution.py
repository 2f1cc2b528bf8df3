# SPDX-License-Identifier: Apache-2.0
"""The purpose `attribution`: who stood behind a public address and port at a time (L34-1 III; in force II bis 3°).

A connection is recorded by itself, unless a holding covers it (`holdings`): its port lies in its own terminal's block
(IPv4), or it left by the terminal's own address (IPv6 without translation). What comes out goes to a custodian's
store, which this device can't read back (EXP-3).
"""

from agent.purposes.attribution.holdings import NoHoldings
from agent.purposes.attribution.record import UNKNOWN_MAC, Record, pack

_SECOND = 1000000000
_DAY = 86400
COVERED = "attribution: in a block"


class Attribution:
    """`append(begins, octets) -> str` is the store's; `holdings` are what it has in mode `blocks`.

    `user(mac, start)` answers who has been logged in since before then, and is still; a record names nobody else.
    """

    def __init__(self, append: "Callable[..., str]", user: "Callable[[bytes, int], bytes]") -> None:
        self.holdings: "Holdings | NoHoldings" = NoHoldings()
        self.confirmed = False
        self.covered = 0
        self._append = append
        self._user = user
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

    def keep_row(self, record: Record) -> bool:
        """Hand a holding's row to the store; False where it isn't kept."""
        record.confirmed = self.confirmed
        return self.keep(record) == "kept"

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
        if self.holdings.covers(
            source, public, connection.translated_port, mac, start, end, now, exact=exact and newest
        ):
            self.covered += 1
            return COVERED
        midnight = end - end % _DAY
        if start < midnight < end and self.confirmed:  # it stands under each day on which it was there
            if self._split != end // _DAY:
                self._part(connection, source, public, mac, max(start, midnight - _DAY), midnight, exact=exact)
            start = midnight
        return self._part(connection, source, public, mac, start, end, exact=exact)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.capture.address_rows import Terminal
    from agent.capture.connections import Connection
    from agent.purposes.attribution.holdings import Holdings
