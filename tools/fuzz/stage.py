# SPDX-License-Identifier: Apache-2.0
"""Tells of netlink datagrams on standard input (u16 little-endian length, octets; repeated), a line for each.

Both interpreters.

Each datagram is read twice: by modules that have read all the former ones, and by fresh ones. It lies at the very end
of a mapped page, and the page behind it is closed: a read behind the datagram ends the process. With RECORDING and
FOLDER for two recorders (tools.fuzz.ways) they are told of it too, and a line begins with WAYS where they then differ.
"""

import gc
import struct
import sys
from binascii import hexlify

from agent.capture import connections, neighbours, timeouts
from agent.runtime import memory
from agent.runtime.libc import native
from agent.summary.services import service_of

# From here: further down its own imports lie deeper than the stack allows on MIPS
from agent.vault import ring  # noqa: F401
from tools.fuzz.ways import Ways

ROOM = 1 << 16  # octets of the longest datagram
NUMBERS = (
    "family", "protocol", "source_port", "translated_port", "packets_up", "bytes_up",
    "packets_down", "bytes_down", "start", "stop", "state", "status", "remaining", "accounted",
)  # fmt: skip
_PROT_NONE = 0
_LONG = 256  # octets whose answer needs a large piece of a small heap
_TIMES = timeouts.Timeouts(lambda _name: None)  # the kernel's defaults


class _Listener(neighbours.Listener):
    def __init__(self, said: "list[str]") -> None:
        self._said = said

    def _say(self, *words: object) -> None:
        self._said.append(" ".join([_text(word) for word in words]))

    def link(self, index: int, name: str) -> None:
        self._say("link", index, name)

    def no_link(self, index: int) -> None:
        self._say("no link", index)

    def address(self, index: int, address: bytes, prefix: int) -> None:
        self._say("address", index, address, prefix)

    def no_address(self, index: int, address: bytes, prefix: int) -> None:
        self._say("no address", index, address, prefix)

    def neighbour(self, index: int, address: bytes, mac: bytes, *, quiet: bool = False) -> None:
        self._say("neighbour", index, address, mac, quiet)

    def no_neighbour(self, index: int, address: bytes) -> None:
        self._say("no neighbour", index, address)


def _text(word: object) -> str:
    return hexlify(word).decode() if isinstance(word, bytes) else str(word)


class Reading:
    """The modules that read netlink, and what they say."""

    def __init__(self) -> None:
        self._said: "list[str]" = []
        self.events = connections.Decoder(connections.DESTROY)
        self._table = connections.Decoder(connections.NEW)
        self._neighbours = neighbours.Neighbours(_Listener(self._said))
        self._policies = timeouts.Policies()
        self._readers = (self.events.reader, self._table.reader, self._neighbours.reader, self._policies.reader)

    def tell(self, buffer: "bytearray | bytes", length: int) -> str:
        """Return what one datagram says, and how the streams judge it, as a line."""
        self._said[:] = []
        for reader in self._readers:
            reader.datagrams = reader.malformed = reader.overruns = reader.refused = 0
            reader.done = reader.interrupted = False
        self._policies.restart()
        self._policies.largest = {}
        self.events.feed(buffer, length, self._connection)
        self._table.feed(buffer, length, self._connection)
        self._neighbours.feed(buffer, length)
        self._policies.reader.read(buffer, length)
        self._policies.reader.done = True
        self._policies.finish()
        for reader in self._readers:
            self._said.append("%d %d %d %d" % (reader.malformed, reader.overruns, reader.refused, reader.done))
        self._said.append(str(sorted(self._policies.largest.items())))
        return "|".join(self._said)

    def _connection(self, connection: "connections.Connection") -> None:
        numbers = [str(int(getattr(connection, name))) for name in NUMBERS]
        numbers.append(str(service_of(connection.protocol, connection.destination_port)))
        self._said.append(" ".join(numbers + [_text(connections.source_of(connection)), str(_TIMES.end(connection))]))


class Guard:
    """Memory whose `end`, an address, is a closed page."""

    def __init__(self) -> None:
        self.end = memory.scratch(ROOM + 4096).address + ROOM
        protect = native.function(native.library(None), "i", "mprotect", "pzi")
        if protect(self.end, 4096, _PROT_NONE) != 0:
            raise OSError(native.last_error(), "")

    def room(self, length: int) -> "Any":
        """Return where a datagram of this length goes: at the end, in whole words, as the kernel aligns messages."""
        size = (length + 3) & ~3
        return native.buffer_at(self.end - size, size)


def main() -> None:
    """Answer until the input ends."""
    guards, warm = [Guard(), Guard()], Reading()
    ways = Ways(sys.argv[1], sys.argv[2]) if len(sys.argv) > 1 else None
    stdin: "Any" = sys.stdin.buffer
    while True:
        head = stdin.read(2)
        if not head:
            return
        (length,) = struct.unpack("<H", head)
        if length > _LONG:
            gc.collect()
        guards.reverse()  # the next buffer is another one, even of the same length
        view = guards[0].room(length)
        stdin.readinto(memoryview(view)[:length])
        answer, fresh = warm.tell(view, length), Reading().tell(view, length)
        differ = ways.tell(view, length) if ways else ""
        if differ:
            answer = "WAYS " + differ + " " + answer
        elif answer != fresh:
            answer = "WARM " + answer + " FRESH " + fresh
        print(answer)
        sys.stdout.flush()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    main()
