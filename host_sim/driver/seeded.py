# SPDX-License-Identifier: Apache-2.0
"""Randomness that follows from a seed, in place of a device's own."""

import hashlib

from agent.runtime.libc import buffer_at
from agent.runtime.sodium import Sodium


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
    from collections.abc import Callable
