# SPDX-License-Identifier: Apache-2.0
"""What the stage gives a recorder in a device's place: time, event socket, table of port blocks, randomness."""

import errno
import hashlib
import struct

from agent.capture.netlink import RECEIVE_BUFFER
from agent.runtime import memory
from agent.runtime.libc import buffer_at
from agent.runtime.sodium import Sodium

# Octets that the kernel counts for an event that waits (measured, see RECEIVE_BUFFER)
_TRUESIZE = RECEIVE_BUFFER // 9000
_HELD, _HEAD = 8 << 20, 3  # octets of what waits, and before each datagram


class VirtualTime:
    """The time source of a simulated device: set by the tape, read by the recorder.

    Times in ns; `now` is the true time.

    `set` is what CLOCK and BOOT say; from there both clocks run by the quartz, `drift` parts in a million fast.
    """

    def __init__(self) -> None:
        self.boot = ""
        self.now = self._from = self._wall = self._since = self._drift = self._passed = 0

    def set(self, true: int, wall: int, since: int, drift: int) -> None:
        """Let the clocks show `wall` and `since` at a true time."""
        self._from, self._wall, self._since, self._drift = true, wall, since, drift
        self.reach(true)

    def reach(self, true: int) -> None:
        """Let it be `true`."""
        self.now = true
        passed = true - self._from
        self._passed = passed + passed * self._drift // 1000000 if self._drift else passed

    def wall(self) -> int:
        """Return ns since the epoch."""
        return self._wall + self._passed

    def monotonic(self) -> int:
        """Return ns since boot."""
        return self._since + self._passed


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
    every one), first and last port (0: none).
    """

    def __init__(self, now: "Callable[[], int]") -> None:
        self.devices: "Sequence[str]" = ()
        self._now = now
        self._moves: "list[list[Any]]" = []

    def load(self, _rest: "tuple[int, int]") -> None:
        """Make it anew, without any block."""
        self._moves.append([self._now(), "", 0, 0])

    def stands(self) -> bool:
        """Say that nobody took it away."""
        return True

    def remove(self) -> None:
        """Take it away."""
        self.load((0, 0))

    def give(self, address: bytes, _block: int, first: int, last: int) -> None:
        """Let an address leave by these ports."""
        self._moves.append([self._now(), "".join(["%02x" % octet for octet in address]), first, last])

    def take(self, address: bytes, block: int) -> None:
        """Give an address no block any more."""
        self.give(address, block, 0, 0)

    def moves(self) -> "list[list[Any]]":
        """Return what has changed since the last time."""
        moves, self._moves = self._moves, []
        return moves


class SeededRandom:
    """Octets that follow from a seed, so that a run's noise can be had again: SHA-256 over the seed and a counter.

    For simulations only: a device takes `os.urandom`. Keys of the vault come from libsodium and are never seeded.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0
        self._left = b""

    def __call__(self, count: int) -> bytes:
        """Return the next `count` octets."""
        while len(self._left) < count:
            self._left += hashlib.sha256((self._seed + ":" + str(self._count)).encode()).digest()
            self._count += 1
        octets = self._left[:count]
        self._left = self._left[count:]
        return octets


class SeededSodium(Sodium):
    """libsodium with random octets by a seed, for the day's terminal table: its drawn classes can be had again.

    Keys of the vault come from the real one and are never seeded.
    """

    def __init__(self, draw: "Callable[[int], bytes]") -> None:
        super().__init__()
        self._draw = draw

    def random(self, address: int, size: int) -> None:
        """Write `size` octets at an address."""
        buffer_at(address, size)[:] = self._draw(size)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Sequence
