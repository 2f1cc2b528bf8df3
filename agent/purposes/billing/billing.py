# SPDX-License-Identifier: Apache-2.0
"""The purpose `billing`: one record a terminal's session, with time and volume, for a bill (L34-1 IV, 1st par.).

A session is a portal user's, or a terminal's where no portal names one. It begins with the first connection and is
written when half an hour has brought no sign of one, when another user logs in at the terminal, and at 00:00 UTC, so
that no record is longer than a day. A connection that began earlier counts from the former session's end on, and from
midnight: no time is billed twice.

What is open lies in a tmpfs file, so that a restart of the process loses none: rows of 104 octets, little-endian: MAC
6, octets of the user id u8, spare, start u32 (0: nothing has come yet since the former session's end), newest sign u32
(s since the epoch; 0: the row is free), bytes up u64, bytes down u64, user id 64, the former session's end u32, 4
spare. A session that is written is followed by one that begins at its end, and that leaves unwritten if half an hour
brings nothing.
"""

import struct

from agent.purposes.billing.record import Record, pack
from agent.purposes.sharded_dict import ShardedDict
from agent.runtime import memory

_ROW = 104
_FIELDS = "<6sBxIIQQ64sI4x"
_LAST = 12  # octet of a row
_DAY = 86400
LIMIT = 512  # sessions open at a time; the one without a sign for longest is written early
IDLE = 1800  # seconds
_EVER = 0xFFFFFFFF


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

    def _row(self, place: int) -> "tuple[bytes, int, int, int, int, int, bytes, int]":
        return struct.unpack_from(_FIELDS, self._region.view, place * _ROW)

    def _put(self, place: int, mac: bytes, user: bytes, start: int, last: int, up: int, down: int, floor: int) -> None:
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
            floor,
        )

    def __len__(self) -> int:
        """Return how many sessions are open."""
        return sum(self._row(self._places[mac])[2] > 0 for mac in self._places.known())

    def connection(self, mac: bytes, start: int, end: int, up: int, down: int) -> str:
        """Add a terminal's connection to its session; times in s since the epoch.

        Returns "kept" or what the store said in its way.
        """
        return self._add(mac, start, end, up, down)

    def alive(self, mac: bytes, wall: int) -> None:
        """Take note of a connection that lasts, of a terminal that has a row."""
        if mac in self._places:
            self._add(mac, wall, wall, 0, 0)

    def _add(self, mac: bytes, start: int, end: int, up: int, down: int) -> str:
        user, place, floor, result = self._user(mac), self._places.get(mac, -1), 0, "kept"
        if place >= 0:
            _, size, begun, floor, former_up, former_down, former, before = self._row(place)
            if begun and begun // _DAY >= end // _DAY and (former[:size] == user or not size):
                # Who logs in during a session is whose it is.
                last = max(floor, end)
                start = max(min(begun, start), before, last - last % _DAY)
                self._put(place, mac, user, start, last, former_up + up, former_down + down, before)
                return result
            if begun:
                result = self._end(mac)
        else:
            if len(self._places) == LIMIT:
                result = self._make_room()
            place = 0
            while self._taken(place):
                place += 1
            self._places[mac] = place
        end = max(end, floor, 1)
        self._put(place, mac, user, max(start, floor, end - end % _DAY, 1), end, up, down, floor)
        return result

    def _make_room(self) -> str:
        """Free a row: of the sessions that are written, or else are open, the one without a sign for longest."""

        def rank(mac: bytes) -> "tuple[bool, int]":
            row = self._row(self._places[mac])
            return row[2] > 0, row[3]

        oldest, result = min(self._places.known(), key=rank), "kept"
        if rank(oldest)[0]:
            self.early += 1
            result = self._end(oldest)
        self._free(oldest)
        return result

    def _free(self, mac: bytes) -> None:
        self._put(self._places.pop(mac, -1), bytes(6), b"", 0, 0, 0, 0, 0)

    def _end(self, mac: bytes, latest: int = _EVER) -> str:
        """Write a session that is over; its deadline runs from its end (EXP-1). The next one begins then or later."""
        record = self.session(mac)
        assert record is not None
        self._put(self._places[mac], mac, b"", 0, max(min(record.end, latest), 1), 0, 0, 0)
        return self._append(record.end, pack(record))

    def session(self, mac: bytes) -> "Record | None":
        """Return a terminal's open session, up to its newest sign; None where it has none."""
        place = self._places.get(mac, -1)
        if place < 0:
            return None
        _, size, start, last, up, down, user, _ = self._row(place)
        return Record(user[:size], b"" if size else mac, start or last, last, up, down, confirmed=self.confirmed)

    def tick(self, wall: int) -> None:
        """Write what is over; `wall` in s since the epoch."""
        for mac in self._places.known():
            _, _, start, last, _, _, _, _ = self._row(self._places[mac])
            if start and (wall - last >= IDLE or last // _DAY < wall // _DAY):
                self._end(mac)
            if wall - last >= IDLE:
                self._free(mac)

    def finish(self, wall: int = _EVER) -> None:
        """Write every session as it stands: a request is being run, or the clock was stepped, to `wall` (s)."""
        for mac in self._places.known():
            _, _, start, last, _, _, _, _ = self._row(self._places[mac])
            if start:
                self._end(mac, wall)
            elif last > wall:
                self._put(self._places[mac], mac, b"", 0, max(wall, 1), 0, 0, 0)

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
