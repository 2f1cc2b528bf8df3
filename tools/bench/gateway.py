# SPDX-License-Identifier: Apache-2.0
"""A network namespace with connection tracking of its own, where one peer listens: a gateway without a network.

Its interface `lan` has the terminals as neighbours. Frames come in by the other end of the link and are dropped once
connection tracking has seen them. So filling the table costs little. Ends of connections are made in three ways:

flush    `conntrack -F`: the events carry the flusher's port id
expiry   everything has timed out, and a reader of /proc/net/nf_conntrack makes the kernel evict it, in its own name
steady   each entry times out in its turn, and a frame for it at an even pace makes the kernel evict it, in its own name
"""

import contextlib
import ctypes
import ipaddress
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from host_sim.lab import flows
from host_sim.lab.network import TRACKING, LabError, run

RULES = """
table inet bench {
  chain seen { type filter hook prerouting priority filter; ct state new,established,invalid drop; }
}
"""
_SYSCTL = {
    **TRACKING, "tcp_be_liberal": 1, "checksum": 0, "udp_timeout": 1, "udp_timeout_stream": 1, "icmp_timeout": 1,
    "icmpv6_timeout": 1, "tcp_timeout_time_wait": 1, "tcp_timeout_close": 1, "tcp_timeout_established": 1,
}  # fmt: skip
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE, _SOL_PACKET, _PACKET_QDISC_BYPASS = 33, 32, 263, 20
_NETLINK_NETFILTER = 12
DESTROY = 4  # multicast group bit
_STEP = 10  # frames sent at once at a steady pace

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Gateway:
    """The namespace; a context manager that removes it and ends what still runs inside."""

    def __init__(self, terminals: list[flows.Terminal]) -> None:
        self._terminals = terminals
        self.name = f"oubli-bench-{os.getpid()}-{secrets.token_hex(4)}"
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Gateway":
        """Make it; on failure remove what was made so far."""
        self._outside = self._opened("/proc/self/ns/net")
        self._open.callback(self._remove)
        try:
            self._make()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._open.close()

    def _make(self) -> None:
        run("ip", "netns", "add", self.name)
        self._inside = self._opened(f"/run/netns/{self.name}")
        settings = "".join(
            f"echo {value} > /proc/sys/net/netfilter/nf_conntrack_{name}\n" for name, value in _SYSCTL.items()
        )
        run(*self.command("nft", "-f", "-"), given=RULES)
        run(*self.command("sh", "-e"), given=settings)
        neighbours = [
            f"neigh add {ipaddress.ip_address(address)} lladdr {terminal.mac.hex(':')} nud permanent dev lan"
            for terminal in self._terminals
            for address in (terminal.address4, terminal.address6)
        ]
        links = [
            f"link add lan address {flows.GATEWAY_MAC.hex(':')} type veth peer name terminals",
            f"addr add {flows.GATEWAY_4}/16 dev lan",
            f"addr add {flows.GATEWAY_6}/64 dev lan nodad",
            "link set lan up",
            "link set terminals up",
        ]
        run("ip", "-n", self.name, "-batch", "-", given="\n".join(links + neighbours) + "\n")
        with self.inside():
            self._kernel = self._open.enter_context(
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
            )
            self._wire = self._open.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            self._wire.bind(("terminals", 0))
        self._wire.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            self._kernel.setsockopt(socket.SOL_SOCKET, option, 4 << 20)

    def _opened(self, name: str) -> int:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        self._open.callback(os.close, descriptor)
        return descriptor

    def _remove(self) -> None:
        _enter(self._outside)  # an interruption between two steps leaves this process inside: it would end itself
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        for pid in pids.stdout.split():
            subprocess.run(["kill", "-KILL", pid], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the namespace for a while."""
        try:
            _enter(self._inside)
            yield
        finally:
            _enter(self._outside)

    def command(self, *words: str) -> list[str]:
        """Return the words that run a command in the namespace under the pid it is started with."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *words]

    def tracked(self) -> int:
        """Return how many entries the table holds, those whose last event isn't delivered yet included."""
        with self.inside():
            return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())

    def listening(self) -> bool:
        """Return True if somebody listens to connections that end."""
        return any(int(row[3], 16) & DESTROY for row in self._sockets())

    def unread(self) -> int:
        """Return how many octets of events wait in the listener's socket."""
        return sum(int(row[4]) for row in self._sockets())

    def _sockets(self) -> list[list[str]]:
        with self.inside():
            rows = [line.split() for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]]
        return [row for row in rows if int(row[1]) == _NETLINK_NETFILTER]

    def fill(self, requests: Iterable[bytes], frames: Iterable[bytes], expected: int) -> None:
        """Create entries and let frames count in them; LabError where the kernel refused any."""
        for request in requests:
            self._kernel.send(request)
        made = self.tracked()
        if made != expected:
            raise LabError(f"the kernel made {made} of {expected} entries")
        for frame in frames:
            self._wire.send(frame)

    def flush(self) -> None:
        """End every connection at once."""
        run(*self.command("conntrack", "-F"))

    def evict(self) -> None:
        """Make the kernel evict what has timed out."""
        subprocess.run(self.command("cat", "/proc/net/nf_conntrack"), check=True, stdout=subprocess.DEVNULL)

    def pace(self, frames: list[bytes], rate: int) -> None:
        """Send frames at an even pace, `rate` a second."""
        start = time.monotonic()
        for at in range(0, len(frames), _STEP):
            wait = start + at / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            for frame in frames[at : at + _STEP]:
                self._wire.send(frame)
