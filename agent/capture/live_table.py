# SPDX-License-Identifier: Apache-2.0
"""The kernel's table of connections that last: listed each five minutes, and where events were lost (ANON-8)."""

from agent.capture import connections

_SECOND = 1000000000
PERIOD = 300 * _SECOND
AGAIN = 10 * _SECOND  # after a list that wasn't whole


class LiveTable:
    """Asks for the list, and hands each connection that `decoder` finds in it to `take`. Times in ns since boot."""

    def __init__(
        self, decoder: connections.Decoder, take: "Callable[[connections.Connection], None]", monotonic: int
    ) -> None:
        self.decoder = decoder
        self._take = take
        self._next = monotonic
        self._until = 0  # one list at a time: its end, or when it is given up
        self.began = monotonic  # the newest list

    def request(self, monotonic: int) -> "bytes | None":
        """Return the request where the list is due, None otherwise."""
        if monotonic < self._next or monotonic < self._until:
            return None
        self._next = self._until = monotonic + PERIOD
        self.began = monotonic
        self.decoder.reader.interrupted = False
        self.decoder.reader.refused = 0
        return connections.REQUEST

    def datagram(self, buffer: "bytearray | bytes", length: int) -> None:
        """Read a part of the list: `length` octets at the start of `buffer`."""
        self.decoder.feed(buffer, length, self._take)

    def overrun(self) -> None:
        """Note that a part of the list was dropped: it is repeated."""
        self.decoder.reader.interrupted = True

    def due(self, monotonic: int) -> None:
        """Have the list made at this time."""
        self._next = monotonic

    def finish(self, monotonic: int) -> bool:
        """Return True where a whole list has ended since the last call. One that isn't whole is made again soon."""
        reader = self.decoder.reader
        if not reader.done:
            return False
        reader.done = False
        self._until = 0
        whole = not reader.interrupted and not reader.refused
        reader.refused = 0
        if not whole:
            self._next = monotonic + AGAIN
        return whole


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
