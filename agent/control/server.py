# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX server: one JSON line in, one out (several where the answer takes long), then closed.

Bounded in clients, octets, time and rate.

An answer of several lines is made and sent by a child process. The records that it reads stay in no memory but
the child's, which ends with it (EXP-1). Nobody is held up.

The caller is known by the kernel's word (SO_PEERCRED), never by his own; what he may ask is in agent.control.calls.
Places are few: somebody who isn't root holds two at most, the portal's user four, for the guests' page asks by it. All
of them together hold six, so that root finds one. Where those are taken, who holds fewer than another takes that one's
oldest: two users can't keep out a third. The portal's calls are counted by the address that they name: no guest uses up
what the others may ask.
"""

from agent.base import canonical
from agent.control import calls
from agent.runtime import process, sockets

CLIENTS = 8
OTHERS = 6  # of these, for those who aren't root
EACH, PORTALS = 2, 4  # of these, for one user; for the portal's
LINE = 4096
PATIENCE = 5000000000  # ns a client may take for its line and for reading the answer
LONGEST = 120  # s that an answer of many lines may take, each of them within PATIENCE
RATE, GUESTS_RATE = 20, 6  # calls a second of a user who isn't root; that the portal's user makes for one address
GUESTS = 100  # calls a second that the portal's user makes for all of them
_PLACES = str(EACH) + " of a user, " + str(PORTALS) + " of the portal's, " + str(CLIENTS) + " in all"
TOO_MANY = "too many at once; accepted: " + _PLACES
NO_ROOM = "no memory for the answer; accepted: once more"
_SECOND = 1000000000
_ADDRESS = 45  # characters of the longest
_MODE = 0o666  # everybody may knock: a suspension of consent needs no account (L34-V-4)


class _Client:
    """Somebody who asks: his stream, uid, roles, and what came from him and is left to send.

    `deadline` is monotonic ns: until then he must have asked and read.
    """

    def __init__(self, descriptor: int, user: int, roles: "calls.Roles", deadline: int) -> None:
        self.descriptor = descriptor
        self.user = user
        self.roles = roles
        self.deadline = deadline
        self.inbox = b""
        self.outbox = b""


class Server:
    """Serves `answer(line, roles)`, a dict or a generator of them, on a socket at `path`, inside another's poll loop.

    Nobody is answered before `open`: who asks waits. `peers` gives the roles. `children` gets the ids of the processes
    that answer in several lines. Who answers reads there whether there may be another one.
    """

    def __init__(
        self,
        path: str,
        poll: sockets.Poll,
        peers: "calls.Peers",
        answer: "Callable[[bytes, calls.Roles], calls.Answer]",
        children: "list[int]",
    ) -> None:
        self.listener = sockets.unix_server(path, _MODE)
        self._poll = poll
        self._peers = peers
        self._answer = answer
        self._children = children
        self._opened = False
        self._clients: "dict[int, _Client]" = {}
        self._second = 0
        self._calls: "dict[tuple[int, bytes], int]" = {}  # user and whom he asks for -> calls in this second

    def open(self) -> None:
        """Answer from now on, those who wait first."""
        self._opened = True
        self._poll.add(self.listener)

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
        """Close clients that took too long, let go of child processes that have ended, and forget who has asked."""
        if self._calls and now - self._second >= _SECOND:
            self._calls = {}
        for child in list(self._children):
            if process.ended(child):
                self._children.remove(child)
        for client in list(self._clients.values()):
            if now >= client.deadline:
                if not client.outbox:
                    _refuse(client.descriptor, "too slow; accepted: a line within " + str(PATIENCE // _SECOND) + " s")
                self._drop(client)

    def _accept(self, now: int) -> bool:
        """Take the next one who waits, at `now` (monotonic ns); False where nobody does."""
        descriptor = sockets.accept(self.listener)
        if descriptor < 0:
            return False
        try:
            user, groups = sockets.peer(descriptor)
            roles = self._peers.roles(user, groups)
        except (OSError, MemoryError):
            sockets.close(descriptor)
            return True
        if not self._place(user, roles):
            _refuse(descriptor, TOO_MANY)
            sockets.close(descriptor)
            return True
        self._clients[descriptor] = _Client(descriptor, user, roles, now + PATIENCE)
        self._poll.add(descriptor)
        return True

    def _place(self, user: int, roles: "calls.Roles") -> bool:
        """Return True if there is a place for a caller; `user` is his uid.

        One is taken back where another caller holds more than this one would.
        """
        root, each = calls.ROOT in roles, PORTALS if calls.PORTAL in roles else EACH
        others = [client for client in self._clients.values() if calls.ROOT not in client.roles]
        if root or len(others) < OTHERS:
            return len(self._clients) < CLIENTS and (root or _held(others, user) < each)
        most = max([_held(others, client.user) for client in others])
        if _held(others, user) >= most:
            return False
        oldest = min([client.deadline for client in others if _held(others, client.user) == most])
        for client in others:
            if client.deadline == oldest and _held(others, client.user) == most:
                _refuse(client.descriptor, TOO_MANY)
                self._drop(client)
                break
        return len(self._clients) < CLIENTS

    def _serve(self, client: _Client, now: int) -> None:
        """Read more of a client's line, or send more of his answer; `now` is monotonic ns.

        OSError where he went away, MemoryError where the answer has no room.
        """
        if not client.outbox:
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
            if not isinstance(answer, dict):
                child = process.fork(LONGEST)
                if not child:
                    tell(client.descriptor, answer, [other for other in self._clients if other != client.descriptor])
                self._children.append(child)
                self._drop(client)
                return
            self._poll.remove(client.descriptor)
            self._poll.add(client.descriptor, writable=True)
            client.outbox = _line(answer)
        client.outbox = client.outbox[sockets.send_some(client.descriptor, client.outbox) :]
        if not client.outbox:
            self._drop(client)

    def _reply(self, client: _Client, now: int) -> "calls.Answer":
        """Return the answer to a client's whole line, or an error where he asks too often; `now` is monotonic ns."""
        if calls.ROOT not in client.roles:
            if now - self._second >= _SECOND:
                self._second, self._calls = now, {}
            portal = calls.PORTAL in client.roles
            guest = _address(client.inbox) if portal else b""
            whom = [(b"", GUESTS if portal else RATE)] + ([(guest, GUESTS_RATE)] if guest else [])
            for guest, most in whom:
                count = self._calls[client.user, guest] = self._calls.get((client.user, guest), 0) + 1
                if count > most:
                    whose = " of a terminal" if guest else ""
                    return {"error": f"too many calls; accepted: {most} a second{whose}"}
        return self._answer(client.inbox.split(b"\n")[0], client.roles)

    def _drop(self, client: _Client) -> None:
        """Close a client and forget him."""
        del self._clients[client.descriptor]
        self._poll.remove(client.descriptor)
        sockets.close(client.descriptor)

    def close(self) -> None:
        """Close every client and the listener."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._opened:
            self._poll.remove(self.listener)
        sockets.close(self.listener)


def tell(descriptor: int, lines: "Generator[dict[str, Any]]", others: "list[int]") -> None:
    """Make an answer's lines and send them, in a child process, which ends and holds no other's stream."""
    try:
        for other in others:
            sockets.close(other)
        poll = sockets.Poll()
        poll.add(descriptor, writable=True)
        try:
            for line in lines:
                _send(poll, descriptor, line)
        except calls.Refused as failure:
            _send(poll, descriptor, {"error": failure.args[0]})
        except MemoryError:
            _refuse(descriptor, NO_ROOM)
    finally:  # whatever happened: none of what the parent does may go on here
        process.leave()


def _send(poll: sockets.Poll, descriptor: int, line: "dict[str, Any]") -> None:
    """End this process where a line isn't taken within PATIENCE; OSError where the caller went away."""
    octets = _line(line)
    while octets:
        if not poll.wait(PATIENCE // 1000000):
            process.leave()
        octets = octets[sockets.send_some(descriptor, octets) :]


def _held(clients: "list[_Client]", user: int) -> int:
    """Return how many places a user (uid) holds."""
    return sum([client.user == user for client in clients])


def _line(answer: "dict[str, Any]") -> bytes:
    """Return an answer as a line of JSON, with the version in it."""
    answer["v"] = calls.VERSION
    return (canonical.dumps(answer) + "\n").encode()


def _address(line: bytes) -> bytes:
    """Return the address that a request names, as it is written there; b"" where it names none."""
    return line.partition(b'"address":"')[2].partition(b'"')[0][:_ADDRESS]


def _refuse(descriptor: int, why: str) -> None:
    """Say one line to somebody who is turned away, if he listens."""
    try:
        sockets.send_some(descriptor, ('{"error":"' + why + '","v":' + str(calls.VERSION) + "}\n").encode())
    except OSError:
        pass  # he went away by himself


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator
