# SPDX-License-Identifier: Apache-2.0
"""Which portal user a terminal is logged in as: in memory only, bounded, forgotten when nobody confirms it (L34-II-1).

The portal says so: by openNDS's list of clients (`agent.capture.opennds`) or by the call `session` of the control socket, which any
portal can make. Kept only while `attribution` or `billing` is on; written nowhere but inside a record of those two; never logged.
"""

from agent.runtime import memory

LIMIT = 512  # sessions; the one that was confirmed longest ago gives way
EXPIRY = 86400  # seconds without a word of the portal
USER_LIMIT = 64  # octets


class Sessions:
    """MAC (6 octets) -> portal user id (printable ASCII), the ids outside the collected heap. Times: s of a clock that doesn't go back."""

    def __init__(self) -> None:
        self._places: "dict[bytes, int]" = {}
        self._seen = [0] * LIMIT
        self._free = list(range(LIMIT))
        self._region = memory.scratch(LIMIT * (1 + USER_LIMIT))
        self.given_up = 0

    def begin(self, mac: bytes, user: "object", now: int) -> bool:
        """Take note that a terminal is logged in; False where that isn't a user id that can be kept."""
        if not isinstance(user, str) or not acceptable(user):
            return False
        place = self._places.get(mac, -1)
        if place < 0:
            if not self._free:
                self.given_up += 1
                self.end(min(self._places, key=lambda known: self._seen[self._places[known]]))
            place = self._places[mac] = self._free.pop()
        at = place * (1 + USER_LIMIT)
        self._region.view[at] = len(user)
        self._region.view[at + 1 : at + 1 + len(user)] = user.encode()
        self._seen[place] = now
        return True

    def end(self, mac: bytes) -> None:
        """Take note that a terminal is logged out."""
        place = self._places.pop(mac, -1)
        if place >= 0:
            at = place * (1 + USER_LIMIT)
            self._region.view[at : at + 1 + USER_LIMIT] = bytes(1 + USER_LIMIT)
            self._free.append(place)

    def user(self, mac: bytes) -> bytes:
        """Return who is logged in at a terminal, b"" where nobody is known to be."""
        place = self._places.get(mac, -1)
        if place < 0:
            return b""
        at = place * (1 + USER_LIMIT) + 1
        return bytes(self._region.view[at : at + self._region.view[at - 1]])

    def tick(self, now: int) -> None:
        """Forget sessions that nobody has confirmed for a day."""
        for mac in [mac for mac in self._places if now - self._seen[self._places[mac]] >= EXPIRY]:
            self.end(mac)

    def macs(self) -> "list[bytes]":
        """Return the terminals that somebody is logged in at."""
        return sorted(self._places)

    def close(self) -> None:
        """Overwrite and unmap."""
        self._region.wipe()
        self._region.close()


def acceptable(user: "object") -> bool:
    """Say whether this is a portal user id: 1 to 64 printable ASCII characters."""
    return isinstance(user, str) and 0 < len(user) <= USER_LIMIT and all(" " <= letter <= "~" for letter in user)


def mac_of(text: "object") -> bytes:
    """Return the 6 octets of a MAC written aa:bb:cc:dd:ee:ff, b"" for anything else."""
    if not isinstance(text, str) or len(text) != 17 or any(text[at] not in ":-" for at in range(2, 17, 3)):
        return b""
    digits = "".join([text[at : at + 2] for at in range(0, 17, 3)]).lower()
    if any(digit not in "0123456789abcdef" for digit in digits):
        return b""
    return bytes([int(digits[at : at + 2], 16) for at in range(0, 12, 2)])
