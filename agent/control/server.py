# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX server: one JSON line in, one out, then closed. Bounded in clients, octets and time.

Who may call what is in CALLS; the caller is known by the kernel's word (SO_PEERCRED), never by his own.
"""

import json

from agent import canonical
from agent.runtime import sockets

CLIENTS = 8
LINE = 4096
PATIENCE = 5000000000  # ns a client may take for its line and for reading the answer

OPERATOR = "operator"
CALLS = {"status": OPERATOR, "ntp": OPERATOR, "leases": OPERATOR, "erase": OPERATOR}


class _Client:
    def __init__(self, descriptor: int, user: int, deadline: int) -> None:
        self.descriptor = descriptor
        self.user = user
        self.deadline = deadline
        self.inbox = b""
        self.outbox = b""


class Server:
    """Serves `answer(request) -> dict` on a socket at `path`, inside somebody else's poll loop."""

    def __init__(self, path: str, poll: sockets.Poll, own_user: int, answer: "Callable[[dict[str, Any]], dict[str, Any]]") -> None:
        self.listener = sockets.unix_server(path)
        self._poll = poll
        self._operators = (0, own_user)
        self._answer = answer
        self._clients: "dict[int, _Client]" = {}
        poll.add(self.listener)

    def ready(self, descriptor: int, now: int) -> bool:
        """Serve a descriptor that is ready; False where it isn't one of ours. `now` is monotonic ns."""
        if descriptor == self.listener:
            self._accept(now)
            return True
        client = self._clients.get(descriptor)
        if client is None:
            return False
        try:
            self._serve(client)
        except (OSError, MemoryError):
            # A peer that went away, or an answer that the heap has no room for: the caller asks again.
            self._drop(client)
        return True

    def tick(self, now: int) -> None:
        """Close clients that took too long."""
        for client in list(self._clients.values()):
            if now >= client.deadline:
                self._drop(client)

    def _accept(self, now: int) -> None:
        descriptor = sockets.accept(self.listener)
        if descriptor < 0:
            return
        try:
            user = sockets.peer_user(descriptor)
        except OSError:
            user = -1
        if user < 0 or len(self._clients) >= CLIENTS:
            sockets.close(descriptor)
            return
        self._clients[descriptor] = _Client(descriptor, user, now + PATIENCE)
        self._poll.add(descriptor)

    def _serve(self, client: _Client) -> None:
        if not client.outbox:
            data = sockets.read_some(client.descriptor, LINE - len(client.inbox))
            if data is None:
                return
            client.inbox += data
            if b"\n" not in client.inbox:
                if not data or len(client.inbox) >= LINE:
                    self._drop(client)
                return
            client.outbox = (canonical.dumps(self._reply(client)) + "\n").encode()
            self._poll.remove(client.descriptor)
            self._poll.add(client.descriptor, writable=True)
        client.outbox = client.outbox[sockets.send_some(client.descriptor, client.outbox) :]
        if not client.outbox:
            self._drop(client)

    def _reply(self, client: _Client) -> "dict[str, Any]":
        try:
            request = json.loads(client.inbox.split(b"\n")[0])
            call = request["call"]
            role = CALLS[call]
        except (ValueError, KeyError, TypeError, RuntimeError, MemoryError):  # the last two: nested deeper than the parser goes
            return {"error": "unknown call; accepted: " + ", ".join(sorted(CALLS))}
        if role == OPERATOR and client.user not in self._operators:
            return {"error": "not permitted for this user"}
        return self._answer(request)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.descriptor]
        self._poll.remove(client.descriptor)
        sockets.close(client.descriptor)

    def close(self) -> None:
        """Close every client and the listener."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._poll.remove(self.listener)
        sockets.close(self.listener)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
