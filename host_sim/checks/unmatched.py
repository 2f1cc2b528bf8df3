# SPDX-License-Identifier: Apache-2.0
"""The connections of which the recorder was told and whose records weren't read yet, by what a record says."""

from collections.abc import Callable, Iterable
from itertools import chain
from operator import ne
from typing import Any

from host_sim.venue.device_clock import SECOND
from host_sim.venue.truth import Kept

UNIT = SECOND // 10  # a record's times are in tenths of a second
_STAMPS = 11  # fields of a record with its times, of which the last two are they
_MOST = 100  # records that are compared with what waits, in a life
_NOBODY = bytes(6)  # the MAC of a record whose terminal isn't known

Key = tuple[Any, ...]


def known(one: Kept) -> bool:
    """Return True if the recorder must know whose a connection is."""
    return one.notice.known and one.notice.sure and one.notice.exact


class Unmatched:
    """Connections by the fields of their records: with its times where these are known exactly, else without."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Kept]] = {}
        self._whosever: dict[Key, list[Key]] = {}  # the keys that are alike but for whose they are; made when asked
        self._compared = 0

    def tell(self, records: Iterable[Kept]) -> None:
        """The recorder was told of these."""
        self._whosever.clear()
        for record in records:
            key: Key = record[:9]
            if record.notice.exact:
                key = (*record[:9], record.start // UNIT, record.end // UNIT)
            self._waiting.setdefault(key, []).append(record)

    def take(self) -> list[Kept]:
        """Return all of them, which are forgotten."""
        every = list(chain.from_iterable(self._waiting.values()))
        self._waiting.clear()
        return every

    def claim(self, key: Key) -> Kept | None:
        """Take the connection that a record says, of several the one that began nearest to it; None for none."""
        for wanted in (key, key[:-2]):
            if wanted in self._waiting:
                return self._nearest(key, [(wanted, at) for at in range(len(self._waiting[wanted]))])
        # Whose it is isn't known: that of one that began before anybody listened, or where associations had no room
        for rest in (key[1:], key[1:-2]) if key[0] == _NOBODY else ():
            places = [
                (wanted, at)
                for wanted in self._alike(rest)
                for at, one in enumerate(self._waiting.get(wanted, ()))
                if not known(one)
            ]
            if places:
                return self._nearest(key, places)
        return None

    def _alike(self, rest: Key) -> list[Key]:
        """Return the keys that go on like this after whose they are; some may have been claimed meanwhile."""
        if not self._whosever:
            for key in self._waiting:
                self._whosever.setdefault(key[1:], []).append(key)
        return self._whosever.get(rest, [])

    def _nearest(self, key: Key, places: list[tuple[Key, int]]) -> Kept:
        *_, start, _ = key
        wanted, at = min(places, key=lambda place: abs(self._waiting[place[0]][place[1]].start // UNIT - start))
        claimed = self._waiting[wanted].pop(at)
        if not self._waiting[wanted]:
            del self._waiting[wanted]
        return claimed

    def likeness(self, key: Key) -> tuple[str, Kept | None]:
        """Return in which fields a record differs from the connection that is most like it, and that connection.

        Each is compared with all that wait; of many that nothing is like, the first ones say enough.
        """
        if self._compared == _MOST:
            return "not compared", None
        self._compared += 1
        names = Kept._fields[:_STAMPS]
        best = min(self._waiting, key=lambda other: sum(map(ne, key, other)), default=None)
        if best is None:
            return "nothing like it happened", None
        unlike = ", ".join(name for name, a, b in zip(names, key, best, strict=False) if a != b)
        return f"unlike in {unlike}", self._waiting[best][-1]

    def missing(self, due: Callable[[Kept], bool]) -> list[Kept]:
        """Forget those whose records are `due` to be gone; returns those that are left."""
        for key, held in list(self._waiting.items()):
            self._waiting[key] = [one for one in held if not due(one)]
            if not self._waiting[key]:
                del self._waiting[key]
        return list(chain.from_iterable(self._waiting.values()))
