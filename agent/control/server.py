# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX server: one JSON line in, one out (several where the answer takes long), then closed. Bounded in clients, octets, time and rate.

The caller is known by the kernel's word (SO_PEERCRED), never by his own; what he may ask is in agent.control.calls. Places are
few: somebody who isn't root holds two at most, and all of them together half of them, so that root finds one.
"""

from agent import canonical
from agent.control import calls
from agent.runtime import sockets

CLIENTS = 8
OTHERS = 4  # of these, for those who aren't root
EACH = 2  # of these, for one user
LINE = 4096
PATIENCE = 5000000000  # ns a client may take for its line and for reading the answer
LONGEST = 120000000000  # ns that an answer of many lines may take, each of them within PATIENCE
RATE = 20  # calls a second of a user who isn't root
_SECOND = 1000000000
_MODE = 0o666  # everybody may knock: a suspension of consent needs no account (L34-V-4)


class _Client:
    def __init__(self, descriptor: int, user: int, roles: "calls.Roles", deadline: int) -> None:
        self.descriptor = descriptor
        self.user = user
        self.roles = roles
        self.deadline = deadline
        self.latest = deadline - PATIENCE + LONGEST
        self.inbox = b""
        self.outbox = b""
        self.rest: "Generator[dict[str, Any]] | None" = None  # lines of the answer that aren't made yet


class Server:
    """Serves `answer(line, roles)`, a dict or a generator of them, on a socket at `path`, inside another's poll loop.

    `peers` gives the roles.
    """

    def __init__(self, path: str, poll: sockets.Poll, peers: "calls.Peers", answer: "Callable[[bytes, calls.Roles], calls.Answer]") -> None:
        self.listener = sockets.unix_server(path, _MODE)
        self._poll = poll
        self._peers = peers
        self._answer = answer
        self._clients: "dict[int, _Client]" = {}
        self._second = 0
        self._calls: "dict[int, int]" = {}  # user -> calls in this second
        poll.add(self.listener)

    def ready(self, descriptor: int, now: int) -> bool:
        """Serve a descriptor that is ready; False where it isn't one of ours. `now` is monotonic ns."""
        if descriptor == self.listener:
            for _ in range(sockets.QUEUE):  # whoever fills the queue keeps nobody out of it for longer than a turn
                if not self._accept(now):
                    break
            return True
        client = self._clients.get(descriptor)
        if client is None:
            return False
        try:
            self._serve(client, now)
        except (OSError, MemoryError):
            # A peer that went away, or an answer that the heap has no room for: the caller asks again.
            self._drop(client)
        return True

    def tick(self, now: int) -> None:
        """Close clients that took too long."""
        for client in list(self._clients.values()):
            if now >= client.deadline:
                if not client.outbox:
                    _refuse(client.descriptor, "too slow; accepted: a line within " + str(PATIENCE // _SECOND) + " s")
                self._drop(client)

    def _accept(self, now: int) -> bool:
        """Take the next one who waits; False where nobody does."""
        descriptor = sockets.accept(self.listener)
        if descriptor < 0:
            return False
        try:
            user, groups = sockets.peer(descriptor)
            roles = self._peers.roles(user, groups)
        except (OSError, MemoryError):
            sockets.close(descriptor)
            return True
        others = [client.user for client in self._clients.values() if calls.ROOT not in client.roles]
        full = len(self._clients) >= CLIENTS
        if calls.ROOT not in roles:
            full = full or len(others) >= OTHERS or others.count(user) >= EACH
        if full:
            _refuse(descriptor, "too many at once; accepted: " + str(EACH) + " of a user, " + str(CLIENTS) + " in all")
            sockets.close(descriptor)
            return True
        self._clients[descriptor] = _Client(descriptor, user, roles, now + PATIENCE)
        self._poll.add(descriptor)
        return True

    def _serve(self, client: _Client, now: int) -> None:
        if client.rest is not None:
            self._next(client, now)
        elif not client.outbox:
            data = sockets.read_some(client.descriptor, LINE - len(client.inbox))
            if data is None:
                return
            client.inbox += data
            if b"\n" not in client.inbox:
                if data and len(client.inbox) < LINE:
                    return
                if data:
                    _refuse(client.descriptor, "too long; accepted: a line of at most " + str(LINE) + " octets")
                self._drop(client)
                return
            answer = self._reply(client, now)
            self._poll.remove(client.descriptor)
            self._poll.add(client.descriptor, writable=True)
            if isinstance(answer, dict):
                client.outbox = _line(answer)
            else:
                client.rest = answer
                self._next(client, now)
        client.outbox = client.outbox[sockets.send_some(client.descriptor, client.outbox) :]
        if not client.outbox and client.rest is None:
            self._drop(client)

    def _next(self, client: _Client, now: int) -> None:
        """Make the next line of an answer, one a turn, once the one before it has been taken."""
        if client.outbox or client.rest is None:
            return
        client.deadline = min(now + PATIENCE, client.latest)
        try:
            client.outbox = _line(next(client.rest))
        except StopIteration:
            client.rest = None
        except calls.Refused as failure:
            client.outbox, client.rest = _line({"error": failure.args[0]}), None

    def _reply(self, client: _Client, now: int) -> "calls.Answer":
        if calls.ROOT not in client.roles:
            if now - self._second >= _SECOND:
                self._second, self._calls = now, {}
            count = self._calls[client.user] = self._calls.get(client.user, 0) + 1
            if count > RATE:
                return {"error": "too many calls; accepted: " + str(RATE) + " a second"}
        return self._answer(client.inbox.split(b"\n")[0], client.roles)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.descriptor]
        if client.rest is not None:
            client.rest.close()
        self._poll.remove(client.descriptor)
        sockets.close(client.descriptor)

    def close(self) -> None:
        """Close every client and the listener."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._poll.remove(self.listener)
        sockets.close(self.listener)


def _line(answer: "dict[str, Any]") -> bytes:
    answer["v"] = calls.VERSION
    return (canonical.dumps(answer) + "\n").encode()


def _refuse(descriptor: int, why: str) -> None:
    """Say one line to somebody who is turned away, if he listens."""
    try:
        sockets.send_some(descriptor, ('{"error":"' + why + '","v":' + str(calls.VERSION) + "}\n").encode())
    except OSError:
        pass  # he went away by himself


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator
