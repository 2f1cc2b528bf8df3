# SPDX-License-Identifier: Apache-2.0
"""openNDS's word on who is logged in: `ndsctl json`, a child process that is bounded in time and output (L34-I-2).

The list is an object `clients` with a flat object a MAC, every value a text; of it `mac`, `state` ("Authenticated") and `custom`, the
portal's own text for a session, are looked at and nothing else. It is read client by client as it comes: a small heap has no room
for the list of a square. Source: openNDS's documentation of ndsctl, of BinAuth and of the "custom" string of FAS and ThemeSpec; where a
portal has no user id there, `custom` is "none" or empty, and the session has none here either.
"""

import json

from agent import sessions
from agent.runtime.child import Child
from agent.runtime.files import exists

COMMAND = "/usr/bin/ndsctl"
OUTPUT = 524288  # octets, some 800 clients
CLIENT = 4096  # octets of one client; a longer one is passed over
PATIENCE = 10000000000  # ns
PERIOD = 30000000000  # ns between two questions
_QUOTE, _OPEN, _BACKSLASH = b'"{\\'


class OpenNds:
    """Asks `ndsctl` every half minute and tells `who` (agent.sessions.Sessions). `failures` counts answers that were none."""

    def __init__(self, who: "Sessions", command: str = COMMAND, patience: int = PATIENCE) -> None:
        self._who = who
        self._command = command
        self._patience = patience
        self._child: "Child | None" = None
        self._next = 0
        self._now = 0
        self.failures = 0
        self._again()

    def _again(self) -> None:
        """Begin to read a list: `_rest` is what isn't read of it, `_at` how far it was looked at, `_begin` where an object began."""
        self._rest = b""
        self._at, self._begin = 0, -1
        self._quoted = self._broken = False

    def tick(self, now: int) -> None:
        """Ask where that is due and a portal is there, read what has come; never waits. `now` is monotonic ns."""
        self._now = now // 1000000000
        if self._child is None:
            if now < self._next or not exists(self._command):
                return
            self._next = now + PERIOD
            self._again()
            self._child = Child((self._command, "json"), self.take, OUTPUT, now + self._patience)
        elif self._child.tick(now):
            self.failures += self._broken or not self._child.well
            self._child = None
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
        """End a child that still runs."""
        if self._child is not None:
            self._child.kill()
            self._child = None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.sessions import Sessions
