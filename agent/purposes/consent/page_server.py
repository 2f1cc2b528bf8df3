# SPDX-License-Identifier: Apache-2.0
"""`oubli page`: the guests' page over HTTP (RFC 9112).

One process lives beside the recorder and asks it over the control socket.

A web server that starts a program for each request lets who asks most often decide what the processor does. Here a
request costs some milliseconds, and nothing at all before its turn (`page_turns`). Connections are few. A request that
isn't whole, or hasn't had its turn, within three seconds is given up. It counts as answered, as does a connection that
its own end gives up, or that has to give up its place.

An answer that shows records may take long: a child process sends it, one at a time, and ends with it. Nobody
waits for that but who wants records too.
"""

import time

from agent.config.reader import ConfigError
from agent.control import client as recorder
from agent.purposes.consent.guest_page import Page
from agent.purposes.consent.page_connection import Connection, Request, listen
from agent.purposes.consent.page_html import Html
from agent.purposes.consent.page_turns import ALLOWED, CLIENTS, MINUTE, Turns
from agent.runtime import process, sockets
from agent.runtime.clocks import BOOTTIME
from agent.runtime.libc import native

PORT = 8450
PATIENCE = 3000  # ms for a request to come and to be answered
LONG = 30000  # ms, where it must wait for another one's records
SENDING = 5000  # ms for an answer to be taken
LONGEST = 120  # s that an answer with records may take
# ms between two requests that are worked at: three calls each are below what the
# recorder takes of all guests in a second
SPACING = 40
_TURN = 250  # ms between two looks at the clock
_PAUSE = 0.05  # s between two tries where others ask the recorder


class Server:
    """Answers what comes in at `listener`; `ask(until)` gives what asks the recorder, `look` what asks for records."""

    def __init__(
        self,
        listener: int,
        poll: sockets.Poll,
        ask: "Callable[[int], Callable[..., dict[str, Any]]]",
        look: "Callable[[str], Iterator[Any]]",
        notice: "Section | None",
    ) -> None:
        self._listener = listener
        self._poll = poll
        self._ask = ask
        self._look = look
        self._notice = notice
        self._clients: "dict[int, Connection]" = {}
        self._came = 0
        self._turns = Turns()
        self._free = 0  # ms since boot: when the next request may be worked at
        self._children: "list[int]" = []
        self._short: "dict[tuple[str, str], bytes]" = {}  # answers that need no work
        poll.add(listener)

    # What comes in

    def turn(self, ready: "list[int]", now: int) -> int:
        """Take who comes, read what is there, answer one request; returns for how long there is nothing to do.

        Times in ms, since boot.
        """
        for child in list(self._children):
            if process.ended(child):
                self._children.remove(child)
        self._turns.tick(now)
        for descriptor in ready:
            if descriptor in self._clients:
                self._serve(self._clients[descriptor], now)
        if self._listener in ready:
            for _ in range(CLIENTS):  # whoever fills the queue keeps nobody out of it for longer than a turn
                if not self._accept(now):
                    break
        for client in list(self._clients.values()):
            if now >= client.deadline:
                self._give_up(client, now)
        chosen = self._next(now)
        if chosen is not None and now >= self._free:
            self._free = now + SPACING
            self._turns.taken()
            self._answer(chosen, now)
            chosen = self._next(now)
        if chosen is not None:
            return max(0, self._free - now)
        return _TURN if self._clients or self._children else MINUTE

    def _next(self, now: int) -> "Connection | None":
        return self._turns.next(self._clients.values(), now, looking=bool(self._children))

    def _accept(self, now: int) -> bool:
        """Take the next one who waits; False where nobody does."""
        descriptor = sockets.accept(self._listener)
        if descriptor < 0:
            return False
        self._came += 1
        try:
            client = Connection(descriptor, self._came, now, now + PATIENCE)
            if self._has_place(client.address):
                self._clients[descriptor] = client
                self._poll.add(descriptor)
                self._serve(client, now)
                return True
        except (OSError, MemoryError):  # he is gone
            pass
        sockets.close(descriptor)
        return True

    def _has_place(self, address: bytes) -> bool:
        """Return True if there is a place for a connection; the newest of who gives one up ends for it."""
        most = self._turns.gives_up(self._clients.values(), address)
        if most:
            theirs = [client for client in self._clients.values() if client.address == most]
            self._end(max(theirs, key=lambda client: client.number))
        return most is not None

    def _serve(self, client: Connection, now: int) -> None:
        """Read from a connection, or send to it."""
        try:
            if client.outbox:
                self._send(client)
            elif not client.take():
                self._end(client)
            elif client.whole and client.request is not None:
                self._poll.remove(client.descriptor)
                if client.request.looks:
                    client.deadline = now + LONG
        except ValueError:
            self._poll.remove(client.descriptor)
            client.whole = True
            self._refuse(client, "400 Bad Request", "bad", now)
        except (OSError, MemoryError):
            self._end(client)

    def _give_up(self, client: Connection, now: int) -> None:
        """End a connection whose time is over; a request that came whole is told so."""
        if client.whole and not client.outbox:
            self._refuse(client, "503 Service Unavailable", "busy", now)
        else:
            self._end(client)

    # What goes out

    def _answer(self, client: Connection, now: int) -> None:
        """Answer a request, or let a child process do it."""
        request = client.request
        if request is None or self._turns.had(client.address) >= ALLOWED:
            self._refuse(client, "429 Too Many Requests", "busy", now)
            return
        self._turns.count(client.address)
        try:
            answer = Page(
                request, self._ask(client.deadline), self._look, self._notice, self._turns.had(client.address)
            ).answer()
            if isinstance(answer, str):
                self._begin(client, answer.encode(), now)
                return
            child = process.fork(LONGEST)
            if not child:
                tell(
                    client.descriptor,
                    answer,
                    [self._listener] + [other for other in self._clients if other != client.descriptor],
                )
            self._children.append(child)
        except (OSError, MemoryError):
            pass
        except Exception as failure:  # noqa: BLE001 (whatever a request brings about, the next one is answered)
            process.log(
                "oubli page: a fault of the program, " + type(failure).__name__ + " at " + native.place_of(failure)
            )
        self._drop(client)

    def _refuse(self, client: Connection, status: str, word: str, now: int) -> None:
        """Answer by a page that is made once."""
        language = client.request.language if client.request is not None else "fr"
        made = self._short.get((status, language))
        if made is None:
            page = Html(Request("", b"", False, "lang=" + language, {}), None)
            made = self._short[status, language] = page.page(status, page.paragraph(word) + page.back()).encode()
        self._turns.count(client.address)
        self._begin(client, made, now)

    def _begin(self, client: Connection, answer: bytes, now: int) -> None:
        if client.request is not None and client.request.bare:
            answer = answer[: answer.find(b"\r\n\r\n") + 4]
        client.outbox, client.deadline = answer, now + SENDING
        self._poll.add(client.descriptor, writable=True)
        try:
            self._send(client)
        except OSError:
            self._drop(client)

    def _send(self, client: Connection) -> None:
        rest = client.outbox[sockets.send_some(client.descriptor, client.outbox) :]
        if rest:
            client.outbox = rest
        else:
            self._drop(client)

    def _end(self, client: Connection) -> None:
        """End a connection that got no answer: it had its place, so it counts as answered, whoever ended it."""
        self._turns.count(client.address)
        self._drop(client)

    def _drop(self, client: Connection) -> None:
        del self._clients[client.descriptor]
        if client.outbox or not client.whole:  # else it isn't looked at: it waits for its turn
            self._poll.remove(client.descriptor)
        sockets.close(client.descriptor)

    def close(self) -> None:
        """Close everything."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._poll.remove(self._listener)
        sockets.close(self._listener)


def tell(descriptor: int, parts: "Iterator[str]", others: "list[int]") -> None:
    """Send an answer in parts, in a child process, which ends and holds no other's connection."""
    try:
        for other in others:
            sockets.close(other)
        poll = sockets.Poll()
        poll.add(descriptor, writable=True)
        for part in parts:
            octets = part.encode()
            while octets and poll.wait(SENDING):
                octets = octets[sockets.send_some(descriptor, octets) :]
            if octets:
                break
    finally:  # whatever happened: nothing of what the parent does may go on here
        process.leave()


def run(start: "Start") -> int:
    """Serve the page at its port until the process is told to end."""
    process.harden()
    return serve(start, listen(PORT))


def serve(start: "Start", listener: int) -> int:
    """Serve the page at a listener until the process is told to end."""
    path = start.paths.run.socket

    def asking(until: int) -> "Callable[..., dict[str, Any]]":
        def ask(call: str, **fields: "object") -> "dict[str, Any]":
            answer: "dict[str, Any]" = {"error": ""}
            while _now() < until:
                try:
                    answer = recorder.ask(path, call, max(1, until - _now()), **fields)
                except (OSError, ValueError):
                    return {"error": ""}
                if not answer.get("error", "").startswith("too many at once"):
                    break
                time.sleep(_PAUSE)
            return answer

        return ask

    def look(address: str) -> "Iterator[dict[str, Any]]":
        try:
            for answer in recorder.ask_for(path, "access", address=address):
                yield answer
        except (OSError, ValueError):
            yield {"error": ""}

    try:
        notice = start.settings().notice
    except ConfigError:
        notice = None
    stop, poll = process.stop_descriptor(), sockets.Poll()
    poll.add(stop)
    server, wait = Server(listener, poll, asking, look, notice), 0
    while True:
        ready = poll.wait(wait)
        if stop in ready:
            break
        wait = server.turn(ready, _now())
    server.close()
    return 0


def _now() -> int:
    return native.clock(BOOTTIME) // 1000000


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from agent.cli.daemons import Start
    from agent.config.reader import Section
