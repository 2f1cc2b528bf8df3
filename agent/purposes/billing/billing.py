# SPDX-License-Identifier: Apache-2.0
"""The purpose `billing`: one record a terminal's session, with time and volume, for a bill (L34-1 IV, 1st par.).

A session is a portal user's, or a terminal's where no portal names one. It begins with the first connection and is
written when half an hour has brought no sign of one, when another user logs in at the terminal, and at 00:00 UTC, so
that no record is longer than a day.

What is open lies in a tmpfs file, so that a restart of the process loses none: rows of 104 octets, little-endian: MAC
6, octets of the user id u8, spare, start u32, newest sign u32 (s since the epoch; 0: the row is free), bytes up u64,
bytes down u64, user id 64, 8 spare.
"""

import struct

from agent.purposes.billing.record import Record, pack
from agent.purposes.sharded_dict import ShardedDict
from agent.runtime import memory

_ROW = 104
_FIELDS = "<6sBxIIQQ64s8x"
_LAST = 12  # octet of a row
_DAY = 86400
LIMIT = 512  # sessions open at a time; the one without a sign for longest is written early
IDLE = 1800  # seconds


class Billing:
    """The open sessions, in a file; `append(begins, octets) -> str` is the custodian's, `user(mac)` the portal's."""

    def __init__(self, path: str, append: "Callable[[int, bytes], str]", user: "Callable[[bytes], bytes]") -> None:
        self.confirmed = False
        self.early = 0
        self._append = append
        self._user = user
        self._region = memory.map_file(path, LIMIT * _ROW)
        self._places = ShardedDict()  # MAC -> row
        for place in range(LIMIT):
            if self._taken(place):
                self._places[self._row(place)[0]] = place

    def _taken(self, place: int) -> bool:
        return any(self._region.view[place * _ROW + _LAST : place * _ROW + _LAST + 4])

    def _row(self, place: int) -> "tuple[bytes, int, int, int, int, int, bytes]":
        return struct.unpack_from(_FIELDS, self._region.view, place * _ROW)

    def _put(self, place: int, mac: bytes, user: bytes, start: int, last: int, up: int, down: int) -> None:
        memory.store(
            _FIELDS,
            self._region.view,
            place * _ROW,
            mac,
            len(user),
            start,
            last,
            up,
            down,
            user + bytes(64 - len(user)),
        )

    def __len__(self) -> int:
        """Return how many sessions are open."""
        return len(self._places)

    def connection(self, mac: bytes, start: int, end: int, up: int, down: int) -> str:
        """Add a terminal's connection to its session; times in s since the epoch.

        Returns "kept" or what the store said in its way.
        """
        return self._add(mac, start, end, up, down)

    def alive(self, mac: bytes, wall: int) -> None:
        """Take note of a connection that lasts."""
        if mac in self._places:
            self._add(mac, wall, wall, 0, 0)

    def _add(self, mac: bytes, start: int, end: int, up: int, down: int) -> str:
        user = self._user(mac)
        place = self._places.get(mac, -1)
        if place >= 0:
            _, size, begun, last, former_up, former_down, former = self._row(place)
            if former[:size] == user or not size:
                # Who logs in during a session is whose it is.
                self._put(place, mac, user, min(begun, start), max(last, end), former_up + up, former_down + down)
                return "kept"
            self._end(mac)
        result = "kept"
        if len(self._places) == LIMIT:
            oldest = min(self._places.known(), key=lambda known: self._row(self._places[known])[3])
            self.early += 1
            result = self._end(oldest)
        place = 0
        while self._taken(place):
            place += 1
        self._places[mac] = place
        self._put(place, mac, user, start, max(end, 1), up, down)
        return result

    def _end(self, mac: bytes) -> str:
        """Write a session that is over; its deadline runs from its end (EXP-1)."""
        record = self.session(mac)
        assert record is not None
        self._put(self._places.pop(mac, -1), bytes(6), b"", 0, 0, 0, 0)
        return self._append(record.end, pack(record))

    def session(self, mac: bytes) -> "Record | None":
        """Return a terminal's open session, up to its newest sign; None where it has none."""
        place = self._places.get(mac, -1)
        if place < 0:
            return None
        _, size, start, last, up, down, user = self._row(place)
        return Record(user[:size], b"" if size else mac, start, last, up, down, confirmed=self.confirmed)

    def tick(self, wall: int) -> None:
        """Write what is over; `wall` in s since the epoch."""
        for mac in self._places.known():
            last = self._row(self._places[mac])[3]
            if wall - last >= IDLE or last // _DAY < wall // _DAY:
                self._end(mac)

    def finish(self) -> None:
        """Write every session as it stands: a request is being run, or the clock was stepped."""
        for mac in self._places.known():
            self._end(mac)

    def erase(self) -> None:
        """Forget every open session."""
        self._region.wipe()
        self._places = ShardedDict()

    def close(self) -> None:
        """Unmap; the sessions stay for the next process."""
        self._region.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
