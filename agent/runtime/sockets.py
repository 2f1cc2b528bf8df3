# SPDX-License-Identifier: Apache-2.0
"""Netlink and unix sockets as plain descriptors, and the loop's poll.

Both interpreters get them from libc: MicroPython's own sockets gather several datagrams in one read and bind to packed
addresses only. Peer credentials must come back whole (12 octets) from a buffer prefilled with ones: on MIPS the generic
option number means something else, succeeds, and would leave "uid 0".
"""

import errno
import os
import select
import socket
import struct

from agent.runtime import files, memory
from agent.runtime.libc import LIBC, int32, last_error, native

AF_UNIX, AF_NETLINK = 1, 16
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_SOCK_RAW = 3
_MSG_NOSIGNAL = 0x4000
QUEUE = 32  # who may wait to be accepted
_SOL_NETLINK, _BROADCAST_ERROR = 270, 4
_SO_PEERGROUPS, _GROUPS = 59, 64  # asm-generic/socket.h and MIPS's alike
_SO_MEMINFO = 55  # linux/sock_diag.h: nine words, of which the last counts drops

_FAMILY_4, _FAMILY_6 = 2, 10

ROOM = 8192  # octets of a datagram, at most
receive = native.receive  # of a stream
_inbox = memory.scratch(4096)  # outside the heap: a small one has no run of that size left after a while


class Inbox:
    """Where netlink sockets' datagrams arrive, one at a time, at the start of `view`; `more` is about one socket.

    What another process sent, unicast or to a group, is passed over: the kernel
    alone says who is connected (netlink(7)).
    """

    def __init__(self, descriptor: int, view: "Any") -> None:
        self.view = view
        self._descriptor = descriptor
        self.of = native.receiver(view)  # descriptor -> size of its next datagram, 0: passed over, or -errno

    def more(self) -> int:
        """Receive a datagram; returns its size, 0 where it was passed over, or -errno."""
        return self.of(self._descriptor)


class Handed:
    """An inbox for one datagram that somebody else received."""

    def __init__(self) -> None:
        self._region = memory.scratch(ROOM)
        self.view = self._region.view
        self._size = 0

    def take(self, buffer: "bytearray | bytes", length: int) -> bool:
        """Copy the datagram at the start of a buffer; False where it is too long."""
        if length > ROOM:
            return False
        self.view[:length] = memoryview(buffer)[:length]  # a slice would be a copy that stays in the heap (EXP-1)
        self._size = length
        return True

    def more(self) -> int:
        """Return its size."""
        return self._size


def netlink(protocol: int, groups: int, buffer_octets: int) -> int:
    """Open a non-blocking netlink socket bound to multicast group bits; returns its descriptor.

    The receive buffer is forced (needs CAP_NET_ADMIN) or, failing that, set as far as the system allows.
    """
    flags = _SOCK_RAW | LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"]
    descriptor = LIBC.call("socket", AF_NETLINK, flags, protocol)
    level, size = LIBC["SOL_SOCKET"], int32(buffer_octets)
    if LIBC.function("setsockopt")(descriptor, level, LIBC["SO_RCVBUFFORCE"], size, 4) != 0:
        LIBC.call("setsockopt", descriptor, level, LIBC["SO_RCVBUF"], size, 4)
    LIBC.call("bind", descriptor, struct.pack("HHII", AF_NETLINK, 0, 0, groups), 12)
    return descriptor


def loss_free(descriptor: int, on: bool) -> None:
    """Make the kernel keep an event that this netlink socket couldn't take, and try again (or stop that)."""
    LIBC.call("setsockopt", descriptor, _SOL_NETLINK, _BROADCAST_ERROR, int32(on), 4)


def drops(descriptor: int) -> int:
    """Return how many messages the kernel has dropped because this socket's buffer was full (32 bits, wraps)."""
    values, length = bytearray(36), bytearray(int32(36))
    LIBC.call("getsockopt", descriptor, LIBC["SOL_SOCKET"], _SO_MEMINFO, values, length)
    (dropped,) = struct.unpack_from("I", values, 32)
    return dropped


def request(descriptor: int, message: bytes) -> None:
    """Send one netlink request to the kernel."""
    kernel = struct.pack("HHII", AF_NETLINK, 0, 0, 0)
    LIBC.call("sendto", descriptor, message, len(message), 0, kernel, 12)


def _unix_address(path: str) -> bytes:
    address = struct.pack("H", AF_UNIX) + path.encode() + b"\0"
    if len(address) > 110:
        raise OSError(errno.EINVAL, "")
    return address


def unix_server(path: str, mode: int = 0o600) -> int:
    """Listen on a unix socket at `path` (a former one goes) with this mode; returns a non-blocking descriptor.

    It gets its name when it listens: who sees it is let in.
    """
    beside = path + ".new"
    address = _unix_address(beside)
    files.remove(beside)
    flags = LIBC["SOCK_STREAM"] | LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"]
    descriptor = LIBC.call("socket", AF_UNIX, flags, 0)
    LIBC.call("bind", descriptor, address, len(address))
    LIBC.call("chmod", beside.encode() + b"\0", mode)
    LIBC.call("listen", descriptor, QUEUE)
    os.rename(beside, path)
    return descriptor


def unix_client(path: str) -> int:
    """Connect to a unix socket; returns a non-blocking descriptor.

    OSError where nobody listens or the queue is full.
    """
    address = _unix_address(path)
    descriptor = LIBC.call("socket", AF_UNIX, LIBC["SOCK_STREAM"] | LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"], 0)
    try:
        LIBC.call("connect", descriptor, address, len(address))
    except OSError:
        close(descriptor)
        raise
    return descriptor


def accept(descriptor: int) -> int:
    """Return a waiting peer's non-blocking descriptor, or -1 where none waits."""
    return LIBC.function("accept4")(descriptor, None, None, LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"])


def peer(descriptor: int) -> "tuple[int, tuple[int, ...]]":
    """Return the uid at the other end of a unix socket, and its gids; OSError where the kernel doesn't say.

    A caller of more than 64 groups, or a kernel that doesn't tell of them, has the first one only.
    """
    credentials = bytearray(b"\xff" * 12)
    length = bytearray(int32(12))
    LIBC.call("getsockopt", descriptor, LIBC["SOL_SOCKET"], LIBC["SO_PEERCRED"], credentials, length)
    process, user, group = struct.unpack("iII", credentials)
    # Process 0: one that our jail's numbers don't reach, as every caller is under ujail.
    if bytes(length) != int32(12) or process < 0 or 0xFFFFFFFF in (user, group):
        raise OSError(errno.EINVAL, "")
    others, length = bytearray(4 * _GROUPS), bytearray(int32(4 * _GROUPS))
    count = 0
    if LIBC.function("getsockopt")(descriptor, LIBC["SOL_SOCKET"], _SO_PEERGROUPS, others, length) == 0:
        count = min(struct.unpack("i", length)[0], len(others)) // 4
    return user, (group,) + struct.unpack_from("I" * count, others)


def read_some(descriptor: int, limit: int) -> "bytes | None":
    """Read what is there, at most `limit` octets (4,096): b"" at the stream's end, None where nothing is there."""
    size = LIBC.function("recv")(descriptor, _inbox.address, min(limit, _inbox.size), 0)
    if size < 0:
        number = last_error()
        if number == errno.EAGAIN:
            return None
        raise OSError(number, "")
    taken = bytes(_inbox.view[:size])
    _inbox.wipe_part(0, size)  # who asks may have named a terminal
    return taken


def send_some(descriptor: int, data: bytes) -> int:
    """Send what fits, returns the number of octets taken (0: nothing now); OSError where the peer is gone."""
    size = LIBC.function("send")(descriptor, data, len(data), _MSG_NOSIGNAL)
    if size < 0:
        number = last_error()
        if number == errno.EAGAIN:
            return 0
        raise OSError(number, "")
    return size


def close(descriptor: int) -> None:
    """Close a descriptor."""
    LIBC.call("close", descriptor)


def packed(text: bytes) -> bytes:
    """Return the 4 or 16 octets of an address that is written out, b"" where it isn't one."""
    if not text or len(text) > 45 or any(letter not in b"0123456789abcdefABCDEF:." for letter in text):
        return b""
    try:
        return socket.inet_pton(_FAMILY_6 if b":" in text else _FAMILY_4, text.decode())
    except OSError:
        return b""


class Poll:
    """Wait for descriptors to become readable (or writable), for a bounded time."""

    def __init__(self) -> None:
        self._poll = select.poll()

    def add(self, descriptor: int, *, writable: bool = False) -> None:
        """Watch a descriptor."""
        self._poll.register(descriptor, select.POLLOUT if writable else select.POLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        self._poll.unregister(descriptor)

    def wait(self, milliseconds: int) -> "list[int]":
        """Return the descriptors that are ready or broken, after at most `milliseconds`."""
        return [entry[0] for entry in self._poll.poll(milliseconds)]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
