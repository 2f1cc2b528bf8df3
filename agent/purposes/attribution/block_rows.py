# SPDX-License-Identifier: Apache-2.0
"""When the row of a block in the store begins, is written again, and ends (L34-III-2).

It is written when the block is given, as each UTC day begins, and when its portal user or the public address changes.
Once more it is written with its end, when no connection is left in it. Where the terminal has gone, a
midnight, another public address and a handover end it as well.
"""

from agent.purposes.attribution.block_map import HELD
from agent.purposes.attribution.record import Record

_DAY = 86400


class BlockRows:
    """The rows of the blocks of a map.

    `keep(record)` marks a row as of a trusted clock or not, and returns True if the store took it. `user(mac, start)`
    answers who has been logged in since before then. Times: `wall` in s since the epoch, `now` in s since boot.
    """

    def __init__(
        self, kept: "BlockMap", keep: "Callable[[Record], bool]", user: "Callable[[bytes, int], bytes]"
    ) -> None:
        self._map = kept
        self._keep = keep
        self._user = user

    def record(self, block: int, end: "int | None") -> bool:
        """Write a block's row as it stands; with its end once that is known."""
        _, address, mac, _, part, _ = self._map.row(block)
        users = self._map.users
        if end is None:
            users.pop(block, b"")
            user = self._user(mac, part)
            if user:
                users[block] = user
        first, last = self._map.ports(block)
        user = users.get(block, b"")
        return self._keep(Record(None, self._map.public, first, last, address, mac, part, end, user, confirmed=False))

    def another(self, block: int, mac: bytes, wall: int) -> bool:
        """Return True if another portal user is at a terminal than its block's row says."""
        return self._user(mac, wall) != self._map.users.get(block, b"")

    def again(self, block: int, wall: int, *, ended: bool = True) -> None:
        """End a block's row and begin another, now."""
        state, address, mac, since, part, last = self._map.row(block)
        if ended and part:
            self.record(block, max(part, wall))
        self._map.put(block, state, address, mac, since, wall, last)
        self._begin(block)

    def midnight(self, block: int, wall: int) -> None:
        """Record a row again at the beginning of each day (L34-III-2)."""
        state, address, mac, since, part, last = self._map.row(block)
        begin = wall - wall % _DAY
        if part and part < begin:
            self.record(block, min(begin, part - part % _DAY + _DAY))
        self._map.put(block, state, address, mac, since, begin if part <= wall else wall, last)
        self._begin(block)

    def over(self, block: int, wall: int, now: int) -> None:
        """End a block's row with the last sign of its terminal."""
        _, _, _, _, part, last = self._map.row(block)
        sign = wall - (now - last)
        if 0 < part < sign - sign % _DAY:
            self.midnight(block, sign)
            part = self._map.row(block)[4]
        if part:
            self.record(block, max(part, sign))
        self._map.users.pop(block, b"")
        self._shut(block)

    def _begin(self, block: int) -> None:
        """Write that a row begins; where it is lost, nothing is covered by it."""
        if not self.record(block, None):
            self._shut(block)

    def _shut(self, block: int) -> None:
        """Let no row be open for a block: what leaves by it is recorded one by one."""
        state, address, mac, since, _, last = self._map.row(block)
        self._map.put(block, state, address, mac, since, 0, last)

    # All of them

    def resume(self, wall: int, now: int) -> None:
        """End each row of a former process with its last sign.

        Who held an address meanwhile isn't known: `restate` begins those again that are held
        when the kernel has listed its neighbours.
        """
        for block in range(self._map.count):
            state, address, mac, _, part, last = self._map.row(block)
            if part:
                self.over(block, wall, now)
                if state == HELD:
                    self._map.put(block, state, address, mac, wall, 0, last)

    def restate(self, wall: int, now: int, step: int = 0, *, ended: bool = True, every: bool = True) -> None:
        """Begin every row again: after a step of so many seconds, with a clock trusted by now, after an erasure.

        What is left in a block that rests is recorded one by one.
        `ended`: the rows before these are told to have ended, which they can't be where their times mean nothing any
        more. `every`: also that of a block that has one open.
        """
        for block in range(self._map.count):
            state, address, mac, since, part, last = self._map.row(block)
            if state == HELD and any(self._map.public):
                if every or not part:
                    self._map.put(block, state, address, mac, max(0, since + step), part, last)
                    self.again(block, wall, ended=ended)
            elif part:
                if ended:
                    self.over(block, wall, now)
                self._shut(block)

    def restate_public(self, address: bytes, wall: int, now: int, holder: "Callable[[bytes], bytes]") -> None:
        """Take note of the public address: where it is another one, rows of the former end and those of this one begin.

        While there is none, no row is open: nobody can be asked for by an address that the gateway hasn't got. The row
        of a block that rests ends with its last sign: what is left in it is recorded one by one.
        """
        if address == self._map.public:
            return
        held = []
        for block in range(self._map.count):
            state, _, _, _, part, _ = self._map.row(block)
            if state != HELD:
                self.over(block, wall, now)
                continue
            held.append(block)
            if part:
                self.record(block, max(part, wall))
        self._map.set_public(address)
        for block in held:
            _, known, mac, _, _, last = self._map.row(block)
            begins = any(address) and holder(known) == mac  # after a restart it may be another's by now
            # What began before is recorded by itself: the former address may come back while it lasts
            self._map.put(block, HELD, known, mac, wall, wall * begins, last)
            if begins:
                self._begin(block)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.purposes.attribution.block_map import BlockMap
