# SPDX-License-Identifier: Apache-2.0
"""Which terminal has which block of public source ports: a row a lease, not a connection (RFC 7422, L34-III-2).

A terminal gets a block when its address is learned, and keeps it as long as it holds that address and uses it. Its row
in the store is written when the block is given, again at the beginning of each UTC day, when its portal user or the
public address changes, and once more, with its end, when no connection is left in it. Where the terminal has gone, a
midnight, another public address and a handover end it as well. A block is given again only 24 h after its last
connection ended. Terminals without a block leave by the ports of `rest`, where each connection is
recorded by itself; so is every connection whose port isn't in its own terminal's block, whatever the reason.

The map lies in a tmpfs file, so that a restart of the process goes on with it. Over a boot only *which ports may have
been given* is remembered, on flash, as bits without a terminal: those rest for 24 h.

File, little-endian: a header, then a row of 32 octets a block.

    header   0 magic 8   8 block size u32   12 public address 4
    row      0 state u8 (0 free, 1 held, 2 resting)   4 address 4   8 MAC 6   16 since u32 (s since the epoch)
             20 part u32 (s since the epoch: where the row in the open store begins, 0: none)
             24 last u32 (s since boot: newest sign of a connection)
"""

import struct

from agent.purposes.attribution.nftables import Refused
from agent.purposes.attribution.record import UNKNOWN_MAC, Record
from agent.purposes.sharded_dict import ShardedDict
from agent.runtime import files, memory

# Ports that are dealt out; the kernel's own default range for a router's connections lies within
FIRST, LAST = 16384, 65535
REST = 1024, 16383
_GRANULE = 64  # ports a bit on flash stands for: the smallest block
_BITS = (LAST + 1 - FIRST) // _GRANULE
# The part of all blocks that is marked on flash at a time: fewer syncs; so many more rest after a boot than had to
_AHEAD = 12
FREE, HELD, RESTING = 0, 1, 2
_MAGIC = b"OUBLIBK1"
_HEADER, _ROW = 16, 32
_FIELDS = "<Bxxx4s6sxxIIIxxxx"
_DAY = 86400
AGAIN = 86400  # seconds after its last connection ended in which a block isn't given again
IDLE = 7200  # seconds without a connection after which a terminal's block is taken back
SLACK = 2  # seconds: a block's first connections may have begun as it was given
RETRY = 60  # seconds after flash, store or kernel has refused a block
WAITING = 1024  # addresses that are remembered to have got none


class Blocks:
    """The blocks of one public address.

    `table` is agent.purposes.attribution.nftables.Table; `keep(record) -> bool` hands a row to the store;
    `user(mac, start)` answers who has been logged in since before then. Times: `wall` in s since the epoch, `now` in s
    since boot. `confirmed`: whether the clock is trusted.
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
        self.count = (LAST + 1 - FIRST) // size
        self.size = size
        self.confirmed = False
        self.conflicts = 0
        self._table = table
        self._keep = keep
        self._user = user
        self._begun = now  # what left by a block just before isn't known: one of then rests from here on
        self._flash = flash
        self._hand = 0
        self._loaded = False
        self._given = ShardedDict()  # address -> block
        self._users = ShardedDict()  # block -> what its open row says of a portal user
        self._without = ShardedDict()  # address -> MAC
        self._short = False  # no block is free
        self._retry = 0
        header = _MAGIC + struct.pack("<I", size)
        octets = _HEADER + _ROW * self.count
        fresh = not files.exists(path) or files.size_of(path) != octets
        self._region = memory.map_file(path, octets)
        if fresh or bytes(self._region.view[: len(header)]) != header:
            self._region.wipe()
            self._region.view[: len(header)] = header
            self._rest_again(now)
        for block in range(self.count):
            row = self._row(block)
            if row[0] == HELD:
                self._given[row[1]] = block
        self._marked = self._bits(self._read_marks())

    # The map.

    @property
    def public(self) -> bytes:
        """Return the public address, zeros as long as none is known."""
        return bytes(self._region.view[_HEADER - 4 : _HEADER])

    def _row(self, block: int) -> "tuple[int, bytes, bytes, int, int, int]":
        return struct.unpack_from(_FIELDS, self._region.view, _HEADER + block * _ROW)

    def _put(self, block: int, state: int, address: bytes, mac: bytes, since: int, part: int, last: int) -> None:
        if state != HELD and not part:  # nothing is recorded by it any more: nobody needs to know whose it was
            address, mac, since, last = bytes(4), UNKNOWN_MAC, 0, max(last, self._begun)
            self._users.pop(block, b"")
        memory.store(_FIELDS, self._region.view, _HEADER + block * _ROW, state, address, mac, since, part, last)

    def _rest_again(self, now: int) -> None:
        """Let rest what may have been given in a former boot, or in blocks of another size."""
        for block in self._bits(self._read_marks()):
            self._put(block, RESTING, bytes(4), UNKNOWN_MAC, 0, 0, now)

    def _read_marks(self) -> bytes:
        try:
            marks = files.read_bounded(self._flash, _BITS // 8)
        except OSError:
            return bytes(_BITS // 8)
        return marks if len(marks) == _BITS // 8 else b"\xff" * (_BITS // 8)

    def _bits(self, marks: bytes) -> "set[int]":
        """Return the blocks of which a mark is set."""
        found: "set[int]" = set()
        for bit in range(_BITS):
            if marks[bit >> 3] & 1 << (bit & 7):
                found.update(
                    range(bit * _GRANULE // self.size, min(self.count, ((bit + 1) * _GRANULE - 1) // self.size + 1))
                )
        return found

    def _next(self, block: int) -> "set[int]":
        """Return the blocks that are dealt out next, from one on, as many as are marked at a time."""
        return {(block + step) % self.count for step in range(-(-self.count // _AHEAD))}

    def _mark(self, blocks: "set[int]") -> bool:
        """Write on flash which blocks may have been given; False where it can't be."""
        marks = bytearray(_BITS // 8)
        for block in blocks:
            for bit in range(block * self.size // _GRANULE, ((block + 1) * self.size - 1) // _GRANULE + 1):
                marks[bit >> 3] |= 1 << (bit & 7)
        try:
            files.write_atomic(self._flash, bytes(marks))
        except OSError:
            return False
        self._marked = blocks
        return True

    def ports(self, block: int) -> "tuple[int, int]":
        """Return the first and last port of a block."""
        first = FIRST + block * self.size
        return first, first + self.size - 1

    def of(self, mac: bytes) -> "Iterator[tuple[str, bytes, bytes, bytes, int, int]]":
        """Yield the blocks that a terminal has, or whose row goes on.

        Ports, its address, the public one, whose they are at the portal, since when (s since the epoch), its last
        connection (s since boot).
        """
        for block in range(self.count):
            state, address, owner, since, _, last = self._row(block)
            if state != FREE and owner == mac:
                yield "%d-%d" % self.ports(block), address, self.public, self._users.get(block, b""), since, last

    # What the kernel is told.

    def load(self) -> None:
        """Make the table in the kernel anew, with every block that is held. Raises Refused."""
        self._loaded = False
        self._table.load(REST)
        for address in self._given.known():
            self._table.give(address, self._given[address], *self.ports(self._given[address]))
        self._loaded = True

    def resume(self, wall: int, now: int) -> None:
        """End each row of a former process with its last sign.

        Who held an address meanwhile isn't known: `restate` begins those again that are held
        when the kernel has listed its neighbours.
        """
        for block in range(self.count):
            state, address, mac, _, part, last = self._row(block)
            if part:
                self._over(block, wall, now)
                if state == HELD:
                    self._put(block, state, address, mac, wall, 0, last)

    def reload(self) -> None:
        """Make the table anew at the next tick: packets leave by other interfaces."""
        self._loaded = False

    # Leases.

    def hold(self, address: bytes, mac: bytes, wall: int, now: int) -> None:
        """Take note that a terminal holds an IPv4 address: it gets a block where it has none and one is left."""
        block = self._given.get(address, -1)
        if block >= 0:
            if self._row(block)[2] == mac:
                return
            self._take_back(block)
            self._over(block, wall, now)  # its row in the store ends now; later ends are recorded one by one
        block = -1 if self._short or now < self._retry or not any(self.public) else self._find()
        if self._loaded and block >= 0 and self._give(block, address, mac, wall, now):
            return
        if address in self._without or len(self._without) < WAITING:
            self._without[address] = mac

    def _find(self) -> int:
        """Return a free block, the one that has been free for longest as far as that is known; -1 for none."""
        for step in range(self.count):
            block = (self._hand + step) % self.count
            if self._row(block)[0] == FREE:
                return block
        self._short = True
        return -1

    def _give(self, block: int, address: bytes, mac: bytes, wall: int, now: int) -> bool:
        self._retry = now + RETRY  # unless all goes well: whatever refuses isn't asked for each terminal, each second
        if block not in self._marked and not self._mark(self._marked | self._next(block)):
            return False
        # The store first: a block that nobody will find in it is worse than none. Not held
        # yet, for a process may end at any instant.
        self._put(block, RESTING, address, mac, wall, wall, now)
        if self._record(block, None):
            try:
                self._table.give(address, block, *self.ports(block))
                self._retry = 0
                self._hand = block + 1
                self._put(block, HELD, address, mac, wall, wall, now)
                self._given[address] = block
                self._without.pop(address, b"")
                return True
            except Refused:
                self._record(block, wall)
        self._put(block, FREE, bytes(4), UNKNOWN_MAC, 0, 0, 0)
        return False

    def _take_back(self, block: int) -> None:
        """Let a block rest: its terminal has gone, or another one holds the address."""
        _, address, mac, since, part, last = self._row(block)
        try:
            self._table.take(address, block)
        except Refused:
            self._loaded = False  # it wasn't there, or somebody has flushed the ruleset: all of it is made anew
        self._given.pop(address, -1)
        self._put(block, RESTING, address, mac, since, part, last)

    def _record(self, block: int, end: "int | None") -> bool:
        """Write a block's row as it stands; with its end once that is known."""
        _, address, mac, _, part, _ = self._row(block)
        if end is None:
            self._users.pop(block, b"")
            user = self._user(mac, part)
            if user:
                self._users[block] = user
        first, last = self.ports(block)
        user = self._users.get(block, b"")
        return self._keep(
            Record(None, self.public, first, last, address, mac, part, end, user, confirmed=self.confirmed)
        )

    def _again(self, block: int, wall: int, *, ended: bool = True) -> None:
        """End a block's row and begin another, now."""
        state, address, mac, since, part, last = self._row(block)
        if ended and part:
            self._record(block, max(part, wall))
        self._put(block, state, address, mac, since, wall, last)
        self._begin(block)

    def _begin(self, block: int) -> None:
        """Write that a row begins; where it is lost, nothing is covered by it."""
        if not self._record(block, None):
            self._shut(block)

    def _shut(self, block: int) -> None:
        """Let no row be open for a block: what leaves by it is recorded one by one."""
        state, address, mac, since, _, last = self._row(block)
        self._put(block, state, address, mac, since, 0, last)

    # Connections.

    def covers(self, source: bytes, port: int, mac: bytes, start: int, now: int) -> bool:
        """Return True if a terminal's IPv4 connection that began at `start` (wall) left by a port of its own block.

        The kernel gives an address the ports of its former holder's block until it is told otherwise.
        """
        block = (port - FIRST) // self.size
        if not 0 <= block < self.count:
            return False
        state, address, known, since, part, _ = self._row(block)
        if state == RESTING and not part:  # whose it was is forgotten; who leaves by it has had it since
            self._put(block, state, address, known, since, part, now)
            return False
        if state == FREE or address != source or known != mac or start + SLACK < since:
            self.conflicts += state == HELD and address != source
            return False
        self._put(block, state, address, mac, since, part, now)
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
        for block in range(self.count):
            state, address, mac, _, part, last = self._row(block)
            if state == HELD and (holder(address) != mac or now - last >= IDLE):
                self._take_back(block)
                state = RESTING
            if state == FREE:
                continue
            another = self._user(mac, wall) != self._users.get(block, b"")
            if state == RESTING:
                self._rest(block, wall, now, 0 if another else over)
            elif not part:
                continue  # there is no public address
            elif part // _DAY != wall // _DAY:
                self._midnight(block, wall)
            elif another:
                if part == wall:
                    again = True  # rows that begin at once are read as one
                else:
                    self._again(block, wall)
        return again

    def deal(self, wall: int, now: int, holder: "Callable[[bytes], bytes]") -> None:
        """Load the table where it is due, give who has none a block where one is free; call it every second."""
        if not self._loaded:
            try:
                self.load()
            except Refused:
                return
        for address in [] if self._short or now < self._retry or not any(self.public) else self._without.known():
            mac = self._without.pop(address, b"")
            if holder(address) == mac:
                self.hold(address, mac, wall, now)

    def _midnight(self, block: int, wall: int) -> None:
        """Record a row again at the beginning of each day (L34-III-2)."""
        state, address, mac, since, part, last = self._row(block)
        begin = wall - wall % _DAY
        if part and part < begin:
            self._record(block, min(begin, part - part % _DAY + _DAY))
        self._put(block, state, address, mac, since, begin if part <= wall else wall, last)
        self._begin(block)

    def _rest(self, block: int, wall: int, now: int, over: int) -> None:
        _, _, _, _, part, last = self._row(block)
        quiet = now - last
        if part and (quiet >= over or part // _DAY != wall // _DAY):
            self._over(block, wall, now)
        elif not part and quiet >= AGAIN:
            self._put(block, FREE, bytes(4), UNKNOWN_MAC, 0, 0, 0)
            self._short = False

    def _over(self, block: int, wall: int, now: int) -> None:
        """End a block's row with the last sign of its terminal."""
        _, _, _, _, part, last = self._row(block)
        sign = wall - (now - last)
        if 0 < part < sign - sign % _DAY:
            self._midnight(block, sign)
            part = self._row(block)[4]
        if part:
            self._record(block, max(part, sign))
        self._users.pop(block, b"")
        self._shut(block)

    def hour(self) -> None:
        """Take back the marks of blocks that are free again."""
        used = {block for block in range(self.count) if self._row(block)[0] != FREE}
        ahead = self._next(self._hand)
        if self._marked - used - ahead:
            self._mark(used | ahead)

    def restate(self, wall: int, now: int, step: int = 0, *, ended: bool = True, every: bool = True) -> None:
        """Begin every row again: after a step of so many seconds, with a clock trusted by now, after an erasure.

        What is left in a block that rests is recorded one by one.
        `ended`: the rows before these are told to have ended, which they can't be where their times mean nothing any
        more. `every`: also that of a block that has one open.
        """
        for block in range(self.count):
            state, address, mac, since, part, last = self._row(block)
            if state == HELD and any(self.public):
                if every or not part:
                    self._put(block, state, address, mac, max(0, since + step), part, last)
                    self._again(block, wall, ended=ended)
            elif part:
                if ended:
                    self._over(block, wall, now)
                self._shut(block)

    def restate_public(self, address: bytes, wall: int, now: int, holder: "Callable[[bytes], bytes]") -> None:
        """Take note of the public address: where it is another one, rows of the former end and those of this one begin.

        While there is none, no row is open: nobody can be asked for by an address that the gateway hasn't got. The row
        of a block that rests ends with its last sign: what is left in it is recorded one by one.
        """
        if address == self.public:
            return
        held = []
        for block in range(self.count):
            state, _, _, _, part, _ = self._row(block)
            if state != HELD:
                self._over(block, wall, now)
                continue
            held.append(block)
            if part:
                self._record(block, max(part, wall))
        self._region.view[_HEADER - 4 : _HEADER] = address
        for block in held:
            _, known, mac, _, _, last = self._row(block)
            begins = any(address) and holder(known) == mac  # after a restart it may be another's by now
            # What began before is recorded by itself: the former address may come back while it lasts
            self._put(block, HELD, known, mac, wall, wall * begins, last)
            if begins:
                self._begin(block)

    def status(self) -> "dict[str, int]":
        """Return how many blocks there are, in use and free, and how many terminals have none (local use only)."""
        states = [self._row(block)[0] for block in range(self.count)]
        return {
            "blocks": self.count,
            "held": states.count(HELD),
            "resting": states.count(RESTING),
            "free": states.count(FREE),
            "without": len(self._without),
            "conflicts": self.conflicts,
        }

    def close(self) -> None:
        """Unmap; the map and the table stay for the next process."""
        self._region.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

    from agent.purposes.attribution.nftables import Table
    from agent.purposes.deferred_purposes import NoKernel
