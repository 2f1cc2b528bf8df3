# SPDX-License-Identifier: Apache-2.0
"""openNDS's word on who is logged in: the list of `ndsctl json`, which /usr/sbin/oubli-sessions leaves every half minute (L34-I-2).

openNDS talks to root alone, and the recorder starts no program: the list comes as a file that only the recorder may read, in a folder that
only root may change. It is an object `clients` with a flat object a MAC, every value a text; of it `mac`, `state` ("Authenticated") and
`custom`, the portal's own text for a session, are looked at and nothing else. It is read client by client, a part at a turn: a small heap
has no room for the list of a square. Source: openNDS's documentation of ndsctl, of BinAuth and of the "custom" string of FAS and
ThemeSpec; where a portal has no user id there, `custom` is "none" or empty, and the session has none here either.
"""

import json
import os

from agent.purposes.portal import sessions
from agent.runtime import files

OUTPUT = 524288  # octets, some 800 clients
CLIENT = 4096  # octets of one client; a longer one is passed over
LATE = 120000000000  # ns without a new list after which that is a failure
_PART = 4096
_PARTS = 8  # of the list in one turn
_QUOTE, _OPEN, _BACKSLASH = b'"{\\'


class OpenNds:
    """Tells `who` (Sessions) what each new list at `path` says. `failures` counts lists that were none, or didn't come."""

    def __init__(self, who: "Sessions", path: str) -> None:
        self._who = who
        self._path = path
        self._list = -1  # descriptor of the one that is being read
        self._left = 0  # octets of it that may still be read
        self._seen: "tuple[int, int, float] | None" = None  # which one was read last
        self._late = 0  # when that it didn't come is a failure, monotonic ns
        self._now = 0
        self.failures = 0
        self._again()

    def _again(self) -> None:
        """Begin to read a list: `_rest` is what isn't read of it, `_at` how far it was looked at, `_begin` where an object began."""
        self._rest = b""
        self._at, self._begin = 0, -1
        self._quoted = self._broken = False

    def tick(self, now: int) -> None:
        """Read a part of the list, or see whether there is a new one; never waits. `now` is monotonic ns."""
        self._now = now // 1000000000
        if self._list < 0:
            self._look(now)
        else:
            for _ in range(_PARTS):
                if not self._read():
                    self._over()
                    break

    def _look(self, now: int) -> None:
        """Open the list where it is another one than the last."""
        try:
            status = os.stat(self._path)
            found = status[1], status[6], status[8]
            if found != self._seen:
                self._list = files.open_reading(self._path)
                self._seen, self._late, self._left = found, now + LATE, OUTPUT
                self._again()
        except OSError:
            pass  # there is no portal, or it is late
        if self._seen is not None and now >= self._late:
            self._late = now + LATE
            self.failures += 1

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
        self.failures += self._broken or self._left == OUTPUT or bool(self._rest.strip())
        self.close()
        self._again()

    def take(self, part: bytes) -> None:
        """Take over the clients in a part of the list; what is left of it waits for the next one."""
        if self._broken:
            return
        self._rest += part
        rest, done = self._rest, 0
        while True:
            end = self._next_sign(rest)
            if end < 0:
                break
            sign = rest[end]
            if self._quoted or sign == _QUOTE:
                self._quoted = not self._quoted
            elif sign == _OPEN:
                self._begin = end
            else:
                if self._begin >= 0:
                    self._broken = self._broken or not self._client(rest[self._begin : end + 1])
                self._begin = -1
                done = end + 1
            self._at = end + 1
        if self._begin < 0:
            done = self._at
        self._rest = rest[done:]
        self._at -= done
        self._begin = self._begin - done if self._begin >= 0 else -1
        self._broken = self._broken or len(self._rest) > CLIENT

    def _next_sign(self, rest: bytes) -> int:
        """Return where the text that is open ends, or the next text or object begins or ends; -1: not in this part."""
        at = self._at
        while self._quoted:
            end = rest.find(b'"', at)
            before = end - 1
            while before >= self._at and rest[before] == _BACKSLASH:
                before -= 1
            if end < 0 or (end - before) & 1:
                return end
            at = end + 1
        found = [rest.find(sign, at) for sign in (b'"', b"{", b"}")]
        return min([place for place in found if place >= 0] or [-1])

    def _client(self, text: bytes) -> bool:
        """Take over one client; False where the octets are no object."""
        try:
            row = json.loads(text)
            mac, state, user = sessions.mac_of(row["mac"]), row["state"], row["custom"]
        except (KeyError, TypeError):  # some other object
            return True
        except (ValueError, RuntimeError, MemoryError):  # the last two: nested deeper than the parser goes
            return False
        if mac and not (state == "Authenticated" and user != "none" and self._who.begin(mac, user, self._now)):
            self._who.end(mac)
        return True

    def close(self) -> None:
        """Let go of a list that is being read."""
        if self._list >= 0:
            files.close(self._list)
            self._list = -1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.purposes.portal.sessions import Sessions
