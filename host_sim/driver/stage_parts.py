# SPDX-License-Identifier: Apache-2.0
"""What the stage gives a recorder in a device's place: event socket, what waits there, port blocks, overwriting."""

import errno
import struct

from agent.capture.netlink import RECEIVE_BUFFER
from agent.runtime import memory

# Octets that the kernel counts for an event that waits (measured, see RECEIVE_BUFFER)
_TRUESIZE = RECEIVE_BUFFER // 9000
_HELD, _HEAD = 8 << 20, 3  # octets of what waits, and before each datagram


class Socket:
    """The kernel's side of the event socket: a buffer, a reader that takes so long for an event, loss-free or not.

    `numbers` counts the datagrams of the tape. `dropped` are first and last numbers of those that were dropped for good
    since it was last taken. `drops` is the kernel's own count of what found the buffer full (in loss-free mode it tells
    them again).
    """

    def __init__(self, rate: int) -> None:
        self._cost = 1000000000 // rate
        self._room = RECEIVE_BUFFER // _TRUESIZE
        self.numbers = 0
        self.dropped: "list[list[int]]" = []
        self.open()

    def open(self) -> None:
        """Open it anew: empty, not loss-free, nothing dropped."""
        self._free_at = self.drops = 0
        self.loss_free = self._told = False

    def wait(self, waiting: int) -> bool:
        """Return True if the kernel keeps this datagram for a reader that stands still, with so many before it."""
        self.numbers += 1
        if waiting < self._room:
            return True
        self.drops += 1
        self._drop()
        return self.loss_free

    def switch(self, on: bool) -> None:
        """Set NETLINK_BROADCAST_ERROR."""
        self.loss_free = on

    def offer(self, now: int, overrun: "Callable[[], None]") -> bool:
        """Return True if this datagram reaches the reader; ENOBUFS is told once until the buffer has been emptied."""
        self.numbers += 1
        if now >= self._free_at:
            self._told = False
            self._free_at = now
        elif self._free_at - now >= self._room * self._cost:
            self.drops += 1
            if not self._told:
                self._told = True
                overrun()
            if not self.loss_free:
                self._drop()
                return False
        self._free_at += self._cost
        return True

    def _drop(self) -> None:
        """Note that this datagram is dropped for good, unless the mode is loss-free."""
        if self.loss_free:
            return
        last = self.dropped[-1] if self.dropped else None
        if last is not None and last[1] + 1 == self.numbers:
            last[1] += 1
        else:
            self.dropped.append([self.numbers, self.numbers])


class Freed:
    """CPython's overwriting of what was freed (EXP-1), once for all at the next REPORT instead of with each key.

    Nobody looks sooner, no gateway runs CPython, and with each key that is destroyed it would be half of a run.
    """

    def __init__(self) -> None:
        self._asked = False
        self._overwrite = memory.overwrite_freed

    def ask(self) -> None:
        """Take what the recorder asks for."""
        self._asked = True

    def overwrite(self) -> None:
        """Do it, where it was asked for."""
        if self._asked:
            self._overwrite()
        self._asked = False


class Held:
    """Datagrams that wait in the kernel, outside the interpreter's heap; `count` of them."""

    def __init__(self) -> None:
        self._region = memory.scratch(_HELD)
        self._end = self.count = 0

    def add(self, operation: int, octets: "memoryview") -> None:
        """Let another one wait; OSError where that is more than a run ever has."""
        begins, self._end = self._end, self._end + _HEAD + len(octets)
        if self._end > _HELD:
            raise OSError(errno.ENOBUFS, "")
        struct.pack_into("<BH", self._region.view, begins, operation, len(octets))
        self._region.view[begins + _HEAD : self._end] = octets
        self.count += 1

    def taken(self, into: "memoryview") -> "Generator[tuple[int, int]]":
        """Yield operation and length of each, which stands at the start of `into` then; nothing waits afterwards."""
        at = 0
        while at < self._end:
            operation, length = struct.unpack_from("<BH", self._region.view, at)
            at += _HEAD + length
            into[:length] = self._region.view[at - length : at]
            yield operation, length
        self._region.wipe()
        self._region.close()


class Table:
    """The kernel's table of port blocks, as the agent's nftables.Table: who leaves by which ports, and since when.

    `moves` are what has changed since it was last told: true time in ns, address in hex ("":
    every one), first and last port (0: none). The time is a text: as a number it would lie in the
    heap beside the recorder's, which memory is searched for.
    """

    def __init__(self, now: "Callable[[], int]") -> None:
        self.devices: "Sequence[str]" = ()
        self._now = now
        self._moves: "list[list[Any]]" = []

    def load(self, _rest: "tuple[int, int]") -> None:
        """Make it anew, without any block."""
        self._moves.append([str(self._now()), "", 0, 0])

    def stands(self) -> bool:
        """Say that nobody took it away."""
        return True

    def remove(self) -> None:
        """Take it away."""
        self.load((0, 0))

    def give(self, address: bytes, _block: int, first: int, last: int) -> None:
        """Let an address leave by these ports."""
        self._moves.append([str(self._now()), "".join(["%02x" % octet for octet in address]), first, last])

    def take(self, address: bytes, block: int) -> None:
        """Give an address no block any more."""
        self.give(address, block, 0, 0)

    def moves(self) -> "list[list[Any]]":
        """Return what has changed since the last time."""
        moves, self._moves = self._moves, []
        return moves


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Sequence
