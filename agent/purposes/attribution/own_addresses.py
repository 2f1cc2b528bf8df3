# SPDX-License-Identifier: Apache-2.0
"""Which terminal left by which IPv6 address of its own: a row an address and day in the store, of all its ports."""

from agent.purposes.attribution.record import Record
from agent.purposes.sharded_dict import ShardedDict

_DAY, _SECOND = 86400, 1000000000
# That are followed at a time: each takes 275 octets of the heap on 64 bits. What is beyond is recorded connection by
# connection.
ADDRESSES = 1024
IDLE = 7200  # seconds without a connection after which an address's row ends


class _Own:
    """An IPv6 address that a terminal leaves by, in s since the epoch.

    `part` begins its open row, `since` the earliest one, `last` is its newest sign.
    """

    def __init__(self, mac: bytes, user: bytes, part: int) -> None:
        self.mac = mac
        self.user = user
        self.part = self.since = self.last = part


class OwnAddresses:
    """`keep(record)` marks a row as of a trusted clock or not, and returns True if the store took it.

    `user(mac, start)` answers who has been logged in since before then. `known_since()`: since when nothing was missed
    of who has an address (ns). Times in s since the epoch.
    """

    def __init__(
        self,
        keep: "Callable[[Record], bool]",
        user: "Callable[[bytes, int], bytes]",
        known_since: "Callable[[], int]",
    ) -> None:
        self._keep = keep
        self._user = user
        self._known_since = known_since
        self._own = ShardedDict()  # address -> _Own
        self._ended = 0  # when the newest of those rows that are over ended: none begins before that

    def leaves(self, address: bytes, mac: bytes, start: int, end: int) -> bool:
        """Make sure that rows say that a terminal left by its own address from `start` to `end`, on each day of it."""
        since = self._known_since() // _SECOND
        if start <= since:  # another one may have had the address meanwhile, unheard
            return False
        user, known = self._user(mac, start), self._own.get(address, None)
        unheard = known is not None and known.last <= since
        if known is not None and (unheard or known.mac != mac or known.user != user):
            if start <= known.part:
                # Rows of one terminal that begin at once are read as one; later connections begin another's
                return False
            self._over(address, known)
            known = None
        if known is None:
            if len(self._own) >= ADDRESSES or start < self._ended:
                return False
            known = _Own(mac, user, start)
            if not self._keep(self._row(address, known, None)):
                return False
            self._own[address] = known
        elif start < known.since:  # it began before what the row says: another may have had the address between
            return False
        known.last = max(known.last, end)
        return self._days(address, known)

    def hold(self, address: bytes, mac: bytes) -> None:
        """Take note that a terminal holds an address: the row of another ends with its newest sign."""
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
            if not self._keep(self._row(address, known, None)):
                self._own.pop(address, None)
                return False
        return True

    def _row(self, address: bytes, known: _Own, end: "int | None") -> Record:
        return Record(None, address, 0, 65535, address, known.mac, known.part, end, known.user, confirmed=False)

    def of(self, mac: bytes) -> "list[Record]":
        """Return the rows of the addresses that a terminal leaves by, which go on, up to its newest sign."""
        return [
            self._row(address, self._own[address], self._own[address].last)
            for address in self._own.known()
            if self._own[address].mac == mac
        ]

    def _end(self, address: bytes, known: _Own, end: int) -> None:
        self._keep(self._row(address, known, max(known.part, end)))

    def tick(self, wall: int, holder: "Callable[[bytes], bytes]", over: int) -> None:
        """End rows of what is idle, and after `over` s without a sign of who has gone, with the last one."""
        for address in self._own.known():
            known = self._own[address]
            idle = IDLE if holder(address) == known.mac else over
            if wall - known.last >= idle or (known.user and self._user(known.mac, wall) != known.user):
                self._over(address, known)

    def restate(self, wall: int, *, ended: bool) -> None:
        """Begin every row again; `ended`: those before are told to have ended."""
        for address in self._own.known() if ended else ():
            self._over(address, self._own[address])
        self._own, self._ended = ShardedDict(), wall


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
