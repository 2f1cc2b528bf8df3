# SPDX-License-Identifier: Apache-2.0
"""openNDS's word on who is logged in: the list of `ndsctl json` (L34-I-2).

/usr/sbin/oubli-sessions leaves it every half minute.

openNDS talks to root alone, and the recorder starts no program: the list comes as a file that only the recorder may
read, in a folder that only root may change. Of a client `mac`, `state` ("Authenticated") and `custom`, the portal's own
text for a session, are looked at and nothing else. Source: openNDS's documentation of ndsctl, of BinAuth and of the
"custom" string of FAS and ThemeSpec, and openNDS 10.2 on an OpenWrt. Where a portal has no user id there, `custom` is
"none", empty, or "na" in base64, and the session has none here either. openNDS's own pages hand their NAME=VALUE over
in base64: here it is what they say.

The list is almost JSON: openNDS prints a field a line, and the text of `custom` as it is, quotes and line ends
included, which a guest may have had a word in. So it is read line by line, not by a JSON parser, and twice: nothing is
taken over before it is known that there are as many clients as the list announces, each with one `mac`, which is its
name, one `state` and one `custom`. A text that makes up a client is one too many, and the list is none; one that makes
up a field leaves its own client without a user. A small heap holds a line at a time.
"""

import os
from binascii import a2b_base64, b2a_base64

from agent.purposes.portal import sessions
from agent.runtime import files

OUTPUT = 524288  # octets, some 800 clients
LINE = 4096  # octets; a list with a longer one is none
LATE = 120000000000  # ns without a new list after which that is a failure
_PART = 4096
_PARTS = 8  # of the list in one turn
_READ = (b"mac", b"state", b"custom")
_LENGTH, _CLIENTS = b'"client_list_length":"', b'"clients":{'


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
        self.begin(applying=False)

    def begin(self, *, applying: bool) -> None:
        """Begin to read a list: to see whether it is one, then once more to take its clients over."""
        self._applying = applying
        self._rest = b""
        self._announced, self._clients = -1, 0
        self._inside = self._closed = self._broken = False  # of the object of clients
        self._name = b""  # of the client whose lines are being read
        self._fields: "dict[bytes, bytes]" = {}
        self._odd = False  # one of its lines is no field, or comes twice

    def whole(self) -> bool:
        """Return True if what was read is a list with as many clients as it announced."""
        return self._closed and not self._broken and self._clients == self._announced

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
            size, self._broken = 0, True
        self._left -= size
        if self._left < 0:
            self._broken = True
        self.take(bytes(memoryview(part)[:size]))
        return size > 0 and not self._broken

    def _over(self) -> None:
        """Count a list that is none; read one that is once more, to take it over."""
        whole, taken = self.whole(), self._applying
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

    def take(self, part: bytes) -> None:
        """Take over the lines in a part of the list; what is left of it waits for the next one."""
        lines = (self._rest + part).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line.strip())
        self._broken = self._broken or len(self._rest) > LINE

    def _line(self, line: bytes) -> None:
        end = line in (b"}", b"},")
        if self._closed:
            return  # the list of trusted MACs follows
        if self._name:
            if end:
                self._client()
            else:
                self._field(line)
        elif self._inside:
            if end:
                self._closed = True
            elif len(line) > 4 and line[:1] == b'"' and line.endswith(b'":{'):
                self._name, self._fields, self._odd = line[1:-3], {}, False
            else:
                self._broken = True
        elif line.startswith(_LENGTH):
            digits = line[len(_LENGTH) :].rstrip(b'",')
            self._announced = int(digits) if digits.isdigit() and len(digits) < 6 else -1
        else:
            self._inside = line == _CLIENTS

    def _field(self, line: bytes) -> None:
        """Take note of one line of a client: a name and a text, each in quotes, the text as it is."""
        text = line[:-1] if line.endswith(b",") else line
        middle = text.find(b'":"')
        if text[:1] != b'"' or middle < 0 or len(text) < middle + 4 or not text.endswith(b'"'):
            self._odd = True
            return
        name = text[1:middle]
        if name in _READ:
            self._odd = self._odd or name in self._fields
            self._fields[name] = text[middle + 3 : -1]

    def _client(self) -> None:
        """Take over one client."""
        fields, name = self._fields, self._name
        self._clients += 1
        self._name, self._fields = b"", {}
        if not self._applying:
            return
        try:
            mac, user = sessions.mac_of(name.decode()), _user(fields.get(b"custom", b"")).decode()
        except ValueError:
            mac, user = sessions.mac_of("".join([chr(octet) for octet in name])), ""
        sure = fields.get(b"mac") == name and fields.get(b"state") == b"Authenticated" and user not in ("none", "bmE=")
        if mac and not (sure and not self._odd and self._who.begin(mac, user, self._now)):
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
