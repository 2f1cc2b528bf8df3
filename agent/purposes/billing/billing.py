# SPDX-License-Identifier: Apache-2.0
"""The purpose `billing`: one record a terminal's session, with time and volume, for a bill (L34-1 IV, 1st par.).

A session is a portal user's, or a terminal's where no portal names one. It begins with the first connection, and goes
on with each that lasts, up to its last packet. It is written when half an hour has brought no sign of one, and when
another user's begins. It is also written at the first sign of the next day (UTC), up to its midnight: no record is
longer than a day. What the kernel tells half an hour late was in its lists: its octets count, its time has been
counted. A connection that began earlier counts from the former session's end on: no time is billed twice. Of one that
began before its terminal's user had logged in he gets no octets: they are the terminal's, in a record without a
duration.

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
_DAY = 86400
LIMIT = 512  # sessions open at a time; the one without a sign for longest is written early
IDLE = 1800  # seconds


class Billing:
    """The open sessions, in a file; `append(begins, octets) -> str` is the custodian's.

    `user(mac, start)` answers who has been logged in at a terminal since before `start`, and is still.
    """

    def __init__(self, path: str, append: "Callable[[int, bytes], str]", user: "Callable[[bytes, int], bytes]") -> None:
        self.confirmed = False
        self.early = 0
        self._written = 0  # when the newest session ended whose row had to make room, s since the epoch
        self._append = append
        self._user = user
        self._region = memory.map_file(path, LIMIT * _ROW)
        self._places = ShardedDict()  # MAC -> row
        for place in range(LIMIT):
            if self._row(place)[3]:
                self._places[self._row(place)[0]] = place

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

    def connection(self, mac: bytes, start: int, end: int, up: int, down: int, wall: int = 0) -> str:
        """Add a terminal's connection to its session, told at `wall`; times in s since the epoch.

        Returns "kept" or what the store said in its way.
        """
        user, late = self._user(mac, end), wall - end >= IDLE
        own = self._user(mac, start) == user
        if own and not late:
            return self._add(mac, user, start, end, up, down)
        return self._append(end, pack(Record(user if own else b"", mac, end, end, up, down, confirmed=self.confirmed)))

    def alive(self, mac: bytes, start: int, last: int, wall: int) -> None:
        """Take note of a connection that lasts, where its terminal has a row or one is left.

        `last`: its last packet. The kernel keeps one for hours that nobody uses any more.
        """
        place = self._places.get(mac, -1)
        news = last > self._row(place)[3] if place >= 0 else len(self._places) < LIMIT
        if news and wall - last < IDLE:
            user = self._user(mac, last)
            self._add(mac, user, start if self._user(mac, start) == user else last, last, 0, 0)

    def _add(self, mac: bytes, user: bytes, start: int, end: int, up: int, down: int) -> str:
        midnight = end - end % _DAY
        if start < midnight < end:  # the former day's session goes on until then
            self._add(mac, user, start, midnight, 0, 0)
            start = midnight
        place, result = self._places.get(mac, -1), "kept"
        if place >= 0:
            _, size, begun, floor, former_up, former_down, former, before = self._row(place)
            # Nobody else was logged in since its newest sign
            same = former[:size] == user == self._user(mac, floor)
            if begun and begun // _DAY >= (end - 1) // _DAY and same:
                last = max(floor, end)
                start = max(min(begun, start), before, _day_of(last))
                self._put(place, mac, user, start, last, former_up + up, former_down + down, before)
                return "kept"
            result = self._end(mac)
        else:
            if len(self._places) == LIMIT:
                result = self._make_room()
            place, floor = 0, self._written
            while self._row(place)[3]:
                place += 1
            self._places[mac] = place
        end = max(end, floor, 1)
        self._put(place, mac, user, max(start, floor, _day_of(end), 1), end, up, down, floor)
        return result

    def _make_room(self) -> str:
        """Free a row: of the sessions that are written, or else are open, the one without a sign for longest."""

        def rank(mac: bytes) -> "tuple[bool, int]":
            row = self._row(self._places[mac])
            return row[2] > 0, row[3]

        oldest = min(self._places.known(), key=rank)
        early, last = rank(oldest)
        self.early += early
        self._written = max(self._written, last)
        result = self._end(oldest)
        self._free(oldest)
        return result

    def _free(self, mac: bytes) -> None:
        self._region.wipe_part(self._places.pop(mac, -1) * _ROW, _ROW)

    def _end(self, mac: bytes, floor: int = 0) -> str:
        """Write a terminal's session, if one is open; its deadline runs from its end (EXP-1).

        The next one begins then, or at `floor`, or later.
        """
        record, place = self.session(mac), self._places[mac]
        _, _, begun, last, _, _, _, _ = self._row(place)
        self._put(place, mac, b"", 0, floor or last, 0, 0, 0)
        return self._append(last, pack(record)) if begun and record is not None else "kept"

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
            if wall - self._row(self._places[mac])[3] >= IDLE:
                self._end(mac)
                self._free(mac)

    def finish(self, wall: int = 0) -> None:
        """Write every session as it stands: a request is being run, or the clock was stepped, to `wall` (s)."""
        self._written = wall or self._written
        for mac in self._places.known():
            self._end(mac, wall)

    def erase(self) -> None:
        """Forget every open session."""
        self._region.wipe()
        self._places = ShardedDict()

    def close(self) -> None:
        """Unmap; the sessions stay for the next process."""
        self._region.close()


def _day_of(end: int) -> int:
    """Return the midnight (UTC) before `end`, in s since the epoch: the former day's at a midnight."""
    return (end - 1) // _DAY * _DAY


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
