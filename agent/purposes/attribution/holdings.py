# SPDX-License-Identifier: Apache-2.0
"""What a terminal has for a while, so that one row a lease and day answers for all its connections (L34-III-2).

A block of ports (IPv4, `blocks`), or its own address (IPv6 without translation, `own_addresses`). In mode
`connections` there is neither.
"""

from agent.purposes.attribution.own_addresses import OwnAddresses
from agent.purposes.attribution.record import UNKNOWN_MAC

OVER = 900  # s after which the row of who has gone ends; a dump of the live table, each 300 s, would have shown one


class NoHoldings:
    """Stand in for them in mode `connections`."""

    def nothing(self, *_: "object", **_more: "object") -> bool:
        """Take note of nothing, and answer for nothing."""
        return False

    def none(self, *_: "object") -> "tuple[()]":
        """Return that there is none."""
        return ()

    covers = hold = leave_by = deal = tick = hour = resume = restate = close = nothing
    status = ports_of = rows_of = none


class Holdings:
    """Blocks and own addresses; times: `wall` in s since the epoch, `now` in s since boot.

    `keep(record) -> bool` hands a row to the store, `user(mac, start)` answers who has been logged in since before
    then. `known_since()`: since when nothing was missed of who has an address (ns since the epoch).
    """

    def __init__(
        self,
        blocks: "Blocks",
        keep: "Callable[[Record], bool]",
        user: "Callable[[bytes, int], bytes]",
        known_since: "Callable[[], int]",
    ) -> None:
        self.blocks = blocks
        self._own = OwnAddresses(keep, user, known_since)
        self.leave_by, self.deal, self.hour = blocks.leave_by, blocks.deal, blocks.hour
        self.status, self.ports_of, self.rows_of = blocks.status, blocks.map.of, self._own.of
        self.close = blocks.close

    def covers(
        self, source: bytes, public: bytes, port: int, mac: bytes, start: int, end: int, now: int, *, exact: bool = True
    ) -> bool:
        """Return True if a holding answers for a connection, which may last; it isn't idle then. Times in s.

        `exact`: it is sure when it began, and that its terminal has had the address since. A row of an IPv6 address is
        of all ports, all the time.
        """
        if len(source) == 4:
            return public == self.blocks.map.public and self.blocks.covers(source, port, mac, start, now)
        return exact and mac != UNKNOWN_MAC and public == source and self._own.leaves(source, mac, start, end)

    def hold(self, address: bytes, mac: bytes, wall: int, now: int) -> None:
        """Take note that a terminal holds an address."""
        if len(address) == 4:
            self.blocks.hold(address, mac, wall, now)
        else:
            self._own.hold(address, mac)

    def tick(self, wall: int, now: int, holder: "Callable[[bytes], bytes]", over: int = OVER) -> bool:
        """Do what is due. True: it is to be called in a second.

        `over`: s without a sign of a connection after which the row of who has gone ends, with the last one.
        """
        again = self.blocks.tick(wall, now, holder, over)
        self._own.tick(wall, holder, over)
        return again

    def resume(self, wall: int, now: int) -> None:
        """Go on with the blocks of a former process."""
        self.blocks.rows.resume(wall, now)

    def restate(self, wall: int, now: int, step: int = 0, *, ended: bool = True, every: bool = True) -> None:
        """Begin every row again: after a step of so many seconds, with a clock trusted by now, after an erasure."""
        self.blocks.rows.restate(wall, now, step, ended=ended, every=every)
        self._own.restate(wall, ended=ended)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.purposes.attribution.blocks import Blocks
    from agent.purposes.attribution.record import Record
