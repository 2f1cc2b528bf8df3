# SPDX-License-Identifier: Apache-2.0
"""Which portal user a terminal is logged in as: in memory only, bounded, forgotten when nobody confirms it (L34-II-1).

The portal says so: by openNDS's list of clients (`agent.purposes.portal.opennds`) or by the call `session` of the
control socket, which any portal can make. Kept only while `attribution` or `billing` is on; written nowhere but inside
a record of those two; never logged.
"""

import struct

from agent.base import canonical
from agent.purposes.sharded_dict import ShardedDict
from agent.runtime import memory

LIMIT = 512  # sessions; the one that was confirmed longest ago gives way
EXPIRY = 86400  # seconds without a word of a portal that tells by itself
USER_LIMIT = 64  # octets
_ROW = 76
_LENGTH, _ID = 8, 9  # octets of a row
_EVER = 0xFFFFFFFF


class Sessions:
    """MAC (6 octets) -> portal user id (UTF-8). Times: s of a clock that doesn't go back.

    Outside the collected heap: rows of 76 octets, little-endian: the time of the portal's last word u32, of the first
    one that named this user u32, octets of the id u8 (0: free), id, spare.
    """

    def __init__(self) -> None:
        self._places = ShardedDict()  # MAC -> where its row is
        self._region = memory.scratch(LIMIT * _ROW)
        self.given_up = 0
        self.expiry = EXPIRY
        self.changed = False  # since somebody looked

    def _seen(self, mac: bytes) -> int:
        return struct.unpack_from("<I", self._region.view, self._places[mac])[0]

    def begin(self, mac: bytes, user: "object", now: int) -> bool:
        """Take note that a terminal is logged in; False where that isn't a user id that can be kept."""
        if not isinstance(user, str) or not acceptable(user):
            return False
        at, text, since = self._places.get(mac, -1), user.encode(), now
        if at < 0:
            if len(self._places) == LIMIT:
                self.given_up += 1
                self.end(min(self._places.known(), key=self._seen))
            at = 0
            while self._region.view[at + _LENGTH]:
                at += _ROW
            self._places[mac] = at
        if self.user(mac) != text:
            self.changed = True
        else:
            since = struct.unpack_from("<I", self._region.view, at + 4)[0]
        memory.store("<IIB64s", self._region.view, at, now, since, len(text), text)
        return True

    def end(self, mac: bytes) -> None:
        """Take note that a terminal is logged out."""
        at = self._places.pop(mac, -1)
        if at >= 0:
            self.changed = True
            self._region.view[at : at + _ROW] = bytes(_ROW)

    def user(self, mac: bytes, start: int = _EVER) -> bytes:
        """Return who has been logged in at a terminal since before `start`, b"" where nobody is known to have been."""
        view, at = self._region.view, self._places.get(mac, -1)
        if at < 0 or struct.unpack_from("<I", view, at + 4)[0] >= start:
            return b""
        return bytes(view[at + _ID : at + _ID + view[at + _LENGTH]])

    def times(self, mac: bytes) -> "tuple[int, int]":
        """Return when the portal first and last said who is logged in at a terminal; KeyError: nobody is."""
        last, since = struct.unpack_from("<II", self._region.view, self._places[mac])
        return since, last

    def tick(self, now: int, expiry: int = 0) -> None:
        """Forget sessions that nobody has confirmed for so many s, for a day where the portal isn't asked."""
        for mac in [mac for mac in self._places.known() if now - self._seen(mac) >= (expiry or self.expiry)]:
            self.end(mac)

    def macs(self) -> "list[bytes]":
        """Return the terminals that somebody is logged in at."""
        return sorted(self._places.known())

    def close(self) -> None:
        """Overwrite and unmap."""
        self._region.wipe()
        self._region.close()


def acceptable(user: "object") -> bool:
    """Return True if this is a portal user id: 1 to 64 octets of UTF-8 without a control character."""
    return canonical.showable(user, USER_LIMIT)


def mac_of(text: "object") -> bytes:
    """Return the 6 octets of a MAC written aa:bb:cc:dd:ee:ff, b"" for anything else.

    Zeros are none: they stand for a terminal that isn't known, of which nobody is to be the user.
    """
    if not isinstance(text, str) or len(text) != 17 or any(text[at] not in ":-" for at in range(2, 17, 3)):
        return b""
    digits = "".join([text[at : at + 2] for at in range(0, 17, 3)]).lower()
    if any(digit not in "0123456789abcdef" for digit in digits):
        return b""
    octets = bytes([int(digits[at : at + 2], 16) for at in range(0, 12, 2)])
    return octets if any(octets) else b""
