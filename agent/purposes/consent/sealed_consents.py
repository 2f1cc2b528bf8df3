# SPDX-License-Identifier: Apache-2.0
"""The files of consents: each sealed under the device's key and bound to its name, which is a number and says nothing.

24 octets of nonce, then sealed, in octets:

    1 each  version, state, purposes, categories (bits)
    4 each  given, since (in this state), end
    16      keyed hash of the MAC
    32      hash of the text shown
    1, 63   third parties: length, UTF-8
    4       when one purpose was withdrawn

Flash may refuse. What can't be removed blocks its place until it can. What can't be changed may be taken away instead,
which takes no room: its fields wait in memory, and are written once there is some.
"""

import os
import struct

from agent.purposes.consent.consent_rows import OBJECTED
from agent.runtime import files, memory
from agent.runtime.sodium import NONCE, TAG, SealError

THIRD_PARTIES = 63  # octets
VERSION = 1
FORMAT = ">BBBBIII16s32sB63sI"
_SIZE = 132
_FILE = NONCE + _SIZE + TAG
AWAY = 32  # files whose fields wait in memory for room on flash


class SealedConsents:
    """Those in `folder`, by their places.

    `blocked` are places whose file can't be read now, or is a refused consent's that couldn't be removed.
    """

    def __init__(self, folder: str, key: "DeviceKey", sodium: "Sodium") -> None:
        self._folder = folder
        self._key = key
        self._sodium = sodium
        self._text = memory.scratch(_SIZE)
        self.blocked: "list[int]" = []
        self._refused: "list[int]" = []  # the latter of them
        self._away: "dict[int, list[Any]]" = {}  # fields of files that were taken away, by place

    def _path(self, place: int) -> str:
        return self._folder + "/" + ("%04d" % place)

    def _bound(self, place: int) -> bytes:
        return b"oubli consent %d" % place

    def there(self, place: int) -> bool:
        """Return True if there is a file."""
        return files.exists(self._path(place))

    def kept(self, place: int) -> bool:
        """Return True if there is a file, or there was until it was taken away."""
        return place in self._away or self.there(place)

    def fields(self, place: int) -> "list[Any]":
        """Return the fields of what is kept at a place; raises as `read`."""
        return self._away.get(place) or self.read(place)

    def read(self, place: int) -> "list[Any]":
        """Return a file's fields. SealError, ValueError: damaged, not ours, of another version; OSError: not now."""
        data = files.read_bounded(self._path(place), _FILE)
        size = len(data) - NONCE
        if size != _SIZE + TAG:
            raise SealError
        self._sodium.decrypt(self._text.address, data[NONCE:], size, self._bound(place), data[:NONCE], self._key.seal)
        fields = list(struct.unpack_from(FORMAT, self._text.view, 0))
        self._text.wipe()
        if fields[0] != VERSION or not 0 < fields[1] < OBJECTED:
            raise ValueError
        return fields

    def write(self, place: int, fields: "list[Any]") -> None:
        """Put a file in place, durable; OSError where flash refuses."""
        data = bytearray(_FILE)
        data[:NONCE] = nonce = os.urandom(NONCE)
        struct.pack_into(FORMAT, self._text.view, 0, *fields)
        sealed = memory.scratch(_SIZE + TAG)
        self._sodium.encrypt(sealed.address, self._text.address, _SIZE, self._bound(place), nonce, self._key.seal)
        data[NONCE:] = sealed.view
        sealed.close()
        self._text.wipe()
        files.write_atomic(self._path(place), bytes(data))
        self._away.pop(place, None)

    def take_away(self, place: int, fields: "list[Any]") -> None:
        """Remove a file durably, which takes no room; up to AWAY of them are written again. OSError: not now."""
        self.remove(place)
        if len(self._away) < AWAY:
            self._away[place] = fields
        self.sync()

    def refuse(self, place: int) -> None:
        """Let a file go that was refused by flash, and may be there all the same: now, or once flash lets it."""
        self._away.pop(place, None)
        self.blocked.append(place)
        self._refused.append(place)
        self.take_back()

    def take_back(self) -> None:
        """Remove the files of refused consents; what flash keeps waits for the next time."""
        for place in list(self._refused):
            try:
                self.remove(place)
                self.sync()
            except OSError:
                continue
            self._refused.remove(place)
            self.blocked.remove(place)

    def remove(self, place: int) -> None:
        """Remove a file; `sync` makes that durable."""
        files.remove(self._path(place))

    def sync(self) -> None:
        """Make durable what was removed."""
        files.sync_folder(self._folder)

    def close(self) -> None:
        """Overwrite what is in memory."""
        self._text.wipe()
        self._text.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.purposes.device_key import DeviceKey
    from agent.runtime.sodium import Sodium
