# SPDX-License-Identifier: Apache-2.0
"""Which terminal has which block of public source ports: a row a lease, not a connection (RFC 7422, L34-III-2).

A terminal gets a block when its address is learned, and keeps it as long as it holds that address and uses it. A block
is given again only 24 h after its last connection ended. Terminals without a block leave by the ports of `rest`, where
each connection is recorded by itself. So is every connection whose port isn't in its own terminal's block, whatever the
reason. `block_map` is where this is kept, `block_marks` what of it over a boot. `block_rows` is when it is written in
the store.
"""

from agent.purposes.attribution.block_map import FIRST, FREE, HELD, RESTING, BlockMap
from agent.purposes.attribution.block_marks import BlockMarks
from agent.purposes.attribution.block_rows import BlockRows
from agent.purposes.attribution.nftables import Refused
from agent.purposes.attribution.record import UNKNOWN_MAC
from agent.purposes.sharded_dict import ShardedDict

REST = 1024, 16383
_DAY = 86400
AGAIN = 86400  # seconds after its last connection ended in which a block isn't given again
IDLE = 7200  # seconds without a connection after which a terminal's block is taken back
SLACK = 2  # seconds: a block's first connections may have begun as it was given
RETRY = 60  # seconds after flash, store or kernel has refused a block
WAITING = 1024  # addresses that are remembered to have got none
AT_ONCE = 32  # blocks that the kernel is told of in one turn: hundreds at a start would hold a slow processor up


class Blocks:
    """The blocks of one public address.

    `table` is agent.purposes.attribution.nftables.Table; `keep(record) -> bool` hands a row to the store;
    `user(mac, start)` answers who has been logged in since before then. Times: `wall` in s since the epoch, `now` in s
    since boot.
    """

    def __init__(
        self,
        path: str,
        flash: str,
        size: int,
        table: "Table | NoKernel",
        keep: "Callable[[Record], bool]",
        user: "Callable[[bytes, int], bytes]",
        now: int,
    ) -> None:
        self._marks = BlockMarks(flash, size)
        self.map = BlockMap(path, size, self._marks.marked, now)
        self.rows = BlockRows(self.map, keep, user)
        self.conflicts = 0
        self._table = table
        self._hand = 0
        self._loaded = False
        self._loading: "list[bytes] | None" = None  # addresses that the table is still to be told of
        self._given = ShardedDict()  # address -> block
        self._without = ShardedDict()  # address -> MAC
        self._short = False  # no block is free
        self._retry = 0
        for block in range(self.map.count):
            row = self.map.row(block)
            if row[0] == HELD:
                self._given[row[1]] = block

    # What the kernel is told.

    def load(self) -> None:
        """Make the table in the kernel anew, with every block that is held, some of them at each call. Raises Refused.

        Until then a terminal leaves by the ports of `rest`, where each connection is recorded by itself.
        """
        loading, self._loading = self._loading, None
        if loading is None:
            self._table.load(REST)
            loading = list(self._given.known())
        for address in loading[:AT_ONCE]:
            block = self._given.get(address, -1)
            if block >= 0:
                self._table.give(address, block, *self.map.ports(block))
        self._loading = loading[AT_ONCE:] or None
        self._loaded = self._loading is None

    def leave_by(
        self, devices: "Sequence[str]", public: bytes, wall: int, now: int, holder: "Callable[[bytes], bytes]"
    ) -> None:
        """Take note by which interfaces and which public address packets leave; the table is made anew at `deal`."""
        if devices != self._table.devices:
            self._table.devices = devices
            self._loaded, self._loading = False, None
        self.rows.restate_public(public, wall, now, holder)

    # Leases.

    def hold(self, address: bytes, mac: bytes, wall: int, now: int) -> None:
        """Take note that a terminal holds an IPv4 address: it gets a block where it has none and one is left.

        Not one that isn't known; the former holder's rests all the same.
        """
        block = self._given.get(address, -1)
        if block >= 0:
            if self.map.row(block)[2] == mac:
                return
            self._take_back(block)
            self.rows.over(block, wall, now)  # its row in the store ends now; later ends are recorded one by one
        if mac == UNKNOWN_MAC:
            return
        block = -1 if self._short or now < self._retry or not any(self.map.public) else self._find()
        if self._loaded and block >= 0 and self._give(block, address, mac, wall, now):
            return
        if address in self._without or len(self._without) < WAITING:
            self._without[address] = mac

    def _find(self) -> int:
        """Return a free block, the one that has been free for longest as far as that is known; -1 for none."""
        for step in range(self.map.count):
            block = (self._hand + step) % self.map.count
            if self.map.row(block)[0] == FREE:
                return block
        self._short = True
        return -1

    def _give(self, block: int, address: bytes, mac: bytes, wall: int, now: int) -> bool:
        self._retry = now + RETRY  # unless all goes well: whatever refuses isn't asked for each terminal, each second
        if block not in self._marks.marked and not self._marks.put(self._marks.marked | self._marks.ahead(block)):
            return False
        # The store first: a block that nobody will find in it is worse than none. Not held
        # yet, for a process may end at any instant.
        self.map.put(block, RESTING, address, mac, wall, wall, now)
        if self.rows.record(block, None):
            try:
                self._table.give(address, block, *self.map.ports(block))
                self._retry = 0
                self._hand = block + 1
                self.map.put(block, HELD, address, mac, wall, wall, now)
                self._given[address] = block
                self._without.pop(address, b"")
                return True
            except Refused:
                self.rows.record(block, wall)
        self.map.free(block)
        return False

    def _take_back(self, block: int) -> None:
        """Let a block rest: its terminal has gone, or another one holds the address."""
        _, address, mac, since, part, last = self.map.row(block)
        try:
            self._table.take(address, block)
        except Refused:
            self._loaded = False  # it wasn't there, or somebody has flushed the ruleset: all of it is made anew
        self._given.pop(address, -1)
        self.map.put(block, RESTING, address, mac, since, part, last)

    # Connections.

    def covers(self, source: bytes, port: int, mac: bytes, start: int, now: int) -> bool:
        """Return True if a terminal's IPv4 connection that began at `start` (wall) left by a port of its own block.

        The kernel gives an address the ports of its former holder's block until it is told otherwise.
        """
        block = (port - FIRST) // self.map.size
        if not 0 <= block < self.map.count:
            return False
        state, address, known, since, part, _ = self.map.row(block)
        if state == RESTING and not part:  # whose it was is forgotten; who leaves by it has had it since
            self.map.put(block, state, address, known, since, part, now)
            return False
        if state == FREE or address != source or known != mac or start + SLACK < since:
            self.conflicts += state == HELD and address != source
            return False
        self.map.put(block, state, address, mac, since, part, now)
        return part > 0  # else there is no public address

    # Time.

    def tick(self, wall: int, now: int, holder: "Callable[[bytes], bytes]", over: int) -> bool:
        """Do what is due; call it every few seconds, and in a second where it returns True.

        `holder(address)` answers the MAC that holds an address now, b"" for none.
        `over`: s without a sign of a connection after which the row of a block that rests ends.
        """
        again = False
        for waiting in self._without.known():
            if holder(waiting) != self._without.get(waiting, b""):  # its terminal has gone
                self._without.pop(waiting, b"")
        # Without the table others' connections would get the ports of a block,
        # and its terminal would be named for them.
        self._loaded = self._loaded and self._table.stands()
        for block in range(self.map.count):
            state, address, mac, _, part, last = self.map.row(block)
            if state == HELD and (holder(address) != mac or now - last >= IDLE):
                self._take_back(block)
                state = RESTING
            if state == FREE:
                continue
            another = self.rows.another(block, mac, wall)
            if state == RESTING:
                self._rest(block, wall, now, 0 if another else over)
            elif not part:
                continue  # there is no public address
            elif part // _DAY != wall // _DAY:
                self.rows.midnight(block, wall)
                # Who has logged in since is named from the next second on, not by the day's first row
                again = again or self.rows.another(block, mac, wall)
            elif another:
                if part == wall:
                    again = True  # rows that begin at once are read as one
                else:
                    self.rows.again(block, wall)
        return again

    def deal(self, wall: int, now: int, holder: "Callable[[bytes], bytes]") -> None:
        """Load the table where it is due, give who has none a block where one is free; call it every second.

        It goes on at the next call where there are more than AT_ONCE.
        """
        if not self._loaded:
            try:
                self.load()
            except Refused:
                return
        left = AT_ONCE if self._loaded else 0
        for address in [] if self._short or now < self._retry or not any(self.map.public) else self._without.known():
            if not left:
                break
            left -= 1
            mac = self._without.pop(address, b"")
            if holder(address) == mac:
                self.hold(address, mac, wall, now)

    def _rest(self, block: int, wall: int, now: int, over: int) -> None:
        _, _, _, _, part, last = self.map.row(block)
        quiet = now - last
        if part and (quiet >= over or part // _DAY != wall // _DAY):
            self.rows.over(block, wall, now)
        elif not part and quiet >= AGAIN:
            self.map.free(block)
            self._short = False

    def hour(self) -> None:
        """Take back the marks of blocks that are free again."""
        used = {block for block in range(self.map.count) if self.map.row(block)[0] != FREE}
        ahead = self._marks.ahead(self._hand)
        if self._marks.marked - used - ahead:
            self._marks.put(used | ahead)

    def status(self) -> "dict[str, int]":
        """Return how many blocks there are, in use and free, and how many terminals have none (local use only)."""
        states = [self.map.row(block)[0] for block in range(self.map.count)]
        return {
            "blocks": self.map.count,
            "held": states.count(HELD),
            "resting": states.count(RESTING),
            "free": states.count(FREE),
            "without": len(self._without),
            "conflicts": self.conflicts,
        }

    def close(self) -> None:
        """Unmap; the map and the table stay for the next process."""
        self.map.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.purposes.attribution.nftables import Table
    from agent.purposes.attribution.record import Record
    from agent.purposes.deferred_purposes import NoKernel
