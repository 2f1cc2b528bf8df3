# SPDX-License-Identifier: Apache-2.0
"""openNDS's word on who is logged in: the list of `ndsctl json` (L34-I-2).

/usr/sbin/oubli-sessions leaves it every half minute.

openNDS talks to root alone, and the recorder starts no program: the list comes as a file that only the recorder may
read, in a folder that only root may change. Of a client `mac`, `state` ("Authenticated") and `custom`, the portal's own
text for a session, are looked at and nothing else. Source: openNDS's documentation of ndsctl, of BinAuth and of the
"custom" string of FAS and ThemeSpec, and openNDS 10.2 on an OpenWrt. Where a portal has no user id there, `custom` is
"none", empty, or "na" in base64, and the session has none here either. openNDS's own pages hand their NAME=VALUE over
in base64: here it is what they say.

It is read twice (`client_list`): nothing is taken over before it is known that it is a whole one.
"""

import os
from binascii import a2b_base64, b2a_base64

from agent.purposes.portal import sessions
from agent.purposes.portal.client_list import ClientList
from agent.runtime import files

OUTPUT = 524288  # octets, some 800 clients
LATE = 120000000000  # ns without a new list after which that is a failure
_PART = 4096
_PARTS = 8  # of the list in one turn


class OpenNds:
    """Tells `who` (Sessions) what each new list at `path` says.

    `failures` counts lists that were none, or didn't come.
    """

    def __init__(self, who: "Sessions", path: str) -> None:
        self._who = who
        self._path = path
        self._list = -1  # descriptor of the one that is being read
        self._left = 0  # octets of it that may still be read
        self._seen: "tuple[int, int, float] | None" = None  # which one was read last
        self._late = 0  # when that it didn't come is a failure, monotonic ns
        self._now = self._began = 0  # the time, and when the list was begun to be taken over, monotonic s
        self.failures = 0
        self.text = ClientList(self._client)
        self.begin(applying=False)

    def begin(self, *, applying: bool) -> None:
        """Begin to read a list: to see whether it is one, then once more to take its clients over."""
        self._applying = applying
        self.text.begin()

    def tick(self, now: int) -> None:
        """Read a part of the list, or see whether there is a new one; never waits. `now` is monotonic ns."""
        self._now = now // 1000000000
        if self._list < 0:
            self._look(now)
            return
        for _ in range(_PARTS):
            if not self._read():
                self._over()
                break

    def _look(self, now: int) -> None:
        """Open the list where it is another one than the last."""
        try:
            found = self._which()
            if found != self._seen:
                self._list = files.open_reading(self._path)
                self._seen, self._late, self._left = found, now + LATE, OUTPUT
                self.begin(applying=False)
        except OSError:
            pass  # there is no portal, or it is late
        if self._seen is not None and now >= self._late:
            self._late = now + LATE
            self.failures += 1

    def _which(self) -> "tuple[int, int, float]":
        status = os.stat(self._path)
        return status[1], status[6], status[8]

    def _read(self) -> bool:
        """Take over the next part; False at the end."""
        part = bytearray(_PART)
        try:
            size = files.read_some(self._list, part, _PART)
        except OSError:
            size, self.text.broken = 0, True
        self._left -= size
        if self._left < 0:
            self.text.broken = True
        self.text.take(bytes(memoryview(part)[:size]))
        return size > 0 and not self.text.broken

    def _over(self) -> None:
        """Count a list that is none; read one that is once more, to take it over."""
        whole, taken = self.text.whole(), self._applying
        self.close()
        self.begin(applying=whole and not taken)
        if not whole:
            self.failures += 1
        elif taken:  # who has logged out isn't in it, and nobody is told of when no list comes
            self._who.expiry = LATE // 1000000000
            self._who.tick(self._now, self._now - self._began + 1)
        else:
            self._began = self._now
            try:
                self._list = files.open_reading(self._path)
                self._left = OUTPUT
                if self._which() != self._seen:  # there is another one by now: it is looked through first
                    self.close()
            except OSError:
                pass

    def _client(self, name: bytes, fields: "dict[bytes, bytes]", odd: bool) -> None:
        """Take over one client."""
        if not self._applying:
            return
        try:
            mac, user = sessions.mac_of(name.decode()), _user(fields.get(b"custom", b"")).decode()
        except ValueError:
            mac, user = sessions.mac_of("".join([chr(octet) for octet in name])), ""
        sure = fields.get(b"mac") == name and fields.get(b"state") == b"Authenticated" and user not in ("none", "bmE=")
        if mac and not (sure and not odd and self._who.begin(mac, user, self._now)):
            self._who.end(mac)

    def close(self) -> None:
        """Let go of a list that is being read."""
        if self._list >= 0:
            files.close(self._list)
            self._list = -1


def _user(custom: bytes) -> bytes:
    """Return whom a portal's text names."""
    try:
        plain = a2b_base64(custom)
        if b"=" in plain and b2a_base64(plain) == custom + b"\n":
            return plain
    except ValueError:
        pass  # a portal of one's own says it as it is
    return custom


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.purposes.portal.sessions import Sessions
