# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is at the guests' page, and who gives a place up where all are taken.

Whoever was answered less often lately is answered first: he who asks again and again waits for the others, and they
never for him. Every other turn is his who has waited longest, once that is half a second: so a guest who asked
often himself isn't kept out by newcomers. Where all places are taken, the terminal that has most of them, and of these
who was answered most, gives one up.
"""

CLIENTS = 64  # connections at once
EACH = 4  # of these, of one address
ALLOWED = 60  # requests of an address that are worked at in a while, of which half is forgotten each minute
KNOWN = 1024  # addresses whose requests are counted
MINUTE = 60000  # ms
LATE = 500  # ms of waiting after which every other turn goes by that


class Turns:
    """How often each address was answered of late. Times in ms since boot."""

    def __init__(self) -> None:
        self._answered: "dict[bytes, int]" = {}
        self._minute = 0  # when answers were halved
        self._by_waiting = False  # whether the next turn is his who has waited longest

    def had(self, address: bytes) -> int:
        """Return how many answers an address has had of late, at most ALLOWED."""
        return self._answered.get(address, 0)

    def count(self, address: bytes) -> None:
        """Count an answer. What is beyond ALLOWED isn't: who stops is served again a minute later."""
        while len(self._answered) >= KNOWN and address not in self._answered:
            self._forget(1)
        self._answered[address] = min(self.had(address) + 1, ALLOWED)

    def _forget(self, minutes: int) -> None:
        """Forget, for each minute, half of the answers that each terminal has had."""
        self._answered = {address: had >> minutes for address, had in self._answered.items() if had >> minutes}

    def tick(self, now: int) -> None:
        """Forget what is due."""
        minutes = (now - self._minute) // MINUTE
        if minutes:
            self._minute = now
            self._forget(minutes)

    def taken(self) -> None:
        """Take note that a turn was taken: the next one goes the other way."""
        self._by_waiting = not self._by_waiting

    def next(self, clients: "Iterable[Connection]", now: int, *, looking: bool) -> "Connection | None":
        """Return whose turn it is; `looking`: records are being shown, and who wants some waits.

        Of those whose request is whole, it is who was answered least of late, and of these who came first. Every other
        turn it is, of those who have waited for LATE, who came first.
        """
        chosen, least = None, (0, 0)
        for client in clients:
            if (
                client.request is not None
                and client.whole
                and not client.outbox
                and not (looking and client.request.looks)
            ):
                late = self._by_waiting and now - client.came >= LATE
                had = (-1 if late else self.had(client.address)), client.number
                if chosen is None or had < least:
                    chosen, least = client, had
        return chosen

    def gives_up(self, clients: "Iterable[Connection]", address: bytes) -> "bytes | None":
        """Return which address gives a place up for a connection of another; b"": one is free, None: nobody does."""
        held: "dict[bytes, int]" = {}
        for client in clients:
            held[client.address] = held.get(client.address, 0) + 1
        if held.get(address, 0) >= EACH:
            return address
        if sum(held.values()) < CLIENTS:
            return b""
        had = {other: (places, self.had(other)) for other, places in held.items()}
        most = max(had, key=lambda other: had[other])
        return None if had[most] <= (held.get(address, 0) + 1, self.had(address)) else most


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from agent.purposes.consent.page_connection import Connection
