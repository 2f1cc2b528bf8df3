# SPDX-License-Identifier: Apache-2.0
"""The gateway that is examined: its configuration, files, /proc, clock and netlink, all handed in."""

import errno
import struct

from agent.base.paths import Paths
from agent.capture.netlink import HEADER, Malformed, dump_request
from agent.runtime import files, sockets

_DATAGRAM = 32768
_PATIENCE = 5000  # milliseconds for each part of an answer
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE


def dump(protocol: int, kind: int, body: bytes, take: "Callable[[bytearray, int, int], None]") -> None:
    """Ask the kernel for a table, call `take(buffer, at, end)` with each entry's body; OSError, Malformed."""
    descriptor = sockets.netlink(protocol, 0, _DATAGRAM)
    try:
        sockets.request(descriptor, dump_request(kind, body))
        poll = sockets.Poll()
        poll.add(descriptor)
        inbox = sockets.Inbox(descriptor, bytearray(_DATAGRAM))
        while poll.wait(_PATIENCE):
            size = inbox.more()
            if size < 0:
                raise OSError(-size, "")
            if not entries(inbox.view, size, take):
                return
        raise OSError(errno.ETIMEDOUT, "")
    finally:
        sockets.close(descriptor)


def entries(buffer: bytearray, size: int, take: "Callable[[bytearray, int, int], None]") -> bool:
    """Hand on the entries of one datagram; False when the table ended with it; OSError, Malformed."""
    at = 0
    while at < size:
        length, kind = struct.unpack_from("IH", buffer, at) if size - at >= HEADER else (0, 0)
        if length < HEADER or length > size - at:
            raise Malformed
        if kind == _DONE:
            return False
        if kind == _ERROR:
            raise OSError(-struct.unpack_from("i", buffer, at + HEADER)[0], "")
        take(buffer, at + HEADER, at + length)
        at += (length + 3) & ~3
    return True


class Gateway:
    """One gateway below `root`, with what the examination reads there.

    `proc` is its /proc, `wall` its clock in ns, `receive_buffer` what the recorder asks for.
    """

    def __init__(
        self,
        config: "Config",
        root: str,
        wall: "Callable[[], int]",
        receive_buffer: int,
        *,
        proc: str = "/proc",
        dump: "Callable[..., None]" = dump,
    ) -> None:
        self.config = config
        self.paths = Paths(root)
        self.wall = wall
        self.receive_buffer = receive_buffer
        self.proc = proc
        self.dump = dump

    def lines(self, name: str) -> "list[str]":
        """Return the lines of a file below /proc, none where it is absent."""
        try:
            with open(self.proc + "/" + name) as file:
                return file.read().split("\n")
        except OSError:
            return []

    def number(self, name: str) -> "int | None":
        """Return the number that a file below /proc holds, None where it is absent."""
        lines = self.lines(name)
        return int(lines[0]) if lines else None

    def users(self) -> "dict[str, int]":
        """Return the numbers of this gateway's users."""
        try:
            with open(self.paths.root + "/etc/passwd") as file:
                rows = [line.split(":") for line in file.read().split("\n")]
        except OSError:
            return {}
        return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}

    def nearest(self, path: str) -> str:
        """Return the path itself, or the nearest folder above it that is there."""
        while not files.exists(path):
            path = path.rsplit("/", 1)[0] or "/"
        return path


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.config.config import Config
