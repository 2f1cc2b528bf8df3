# SPDX-License-Identifier: Apache-2.0
"""Three nodes in network namespaces of their own, so that one can be cut off from its peers: a real partition.

Each node has a wire to a hub, where whoever asks the nodes stands: proxy, collectors, gateways. What nodes say to each
other goes through it. `cut` lets nothing of that pass for one node: no end of a connection is told of, and clients
still reach it. Needs root.
"""

import contextlib
import ctypes
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from host_sim.lab.network import run

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_RULES = "table inet cut { chain through { type filter hook forward priority 0; }; }"


def _enter(path: str) -> None:
    """Let this thread, and whatever it starts, use a namespace; OSError."""
    with Path(path).open() as file:
        if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Apart:
    """The hub and a namespace a node; names carry this process's id and chance."""

    def __init__(self, names: Sequence[str]) -> None:
        self._name = f"oubli-{os.getpid()}-{secrets.token_hex(4)}"
        self._names = names

    def address(self, name: str) -> str:
        """Return a node's address."""
        return f"10.77.{self._names.index(name) + 1}.2"

    def words(self, name: str) -> list[str]:
        """Return the words before a command that is to run as a node."""
        return ["nsenter", f"--net=/run/netns/{self._name}-{name}", "--"]

    def make(self) -> None:
        """Make all of it."""
        hub = f"{self._name}-hub"
        run("ip", "netns", "add", hub)
        run("ip", "-n", hub, "link", "set", "lo", "up")
        for number, name in enumerate(self._names, 1):
            own = f"{self._name}-{name}"
            run("ip", "netns", "add", own)
            run("ip", "-n", hub, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "uplink", "netns", own)
            for namespace, device, place in ((hub, f"to-{name}", 1), (own, "uplink", 2)):
                run("ip", "-n", namespace, "addr", "add", f"10.77.{number}.{place}/24", "dev", device)
                for link in ("lo", device):
                    run("ip", "-n", namespace, "link", "set", link, "up")
            run("ip", "-n", own, "route", "add", "default", "via", f"10.77.{number}.1")
        inside = ["nsenter", f"--net=/run/netns/{hub}", "--"]
        run(*inside, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        run(*inside, "nft", "-f", "-", given=_RULES)

    def cut(self, name: str) -> None:
        """Let nothing pass between a node and its peers."""
        for way in ("iifname", "oifname"):
            self._rule("add", "rule", "inet", "cut", "through", way, f"to-{name}", "drop")

    def heal(self) -> None:
        """Let everything pass again."""
        self._rule("flush", "chain", "inet", "cut", "through")

    def _rule(self, *words: str) -> None:
        run("nsenter", f"--net=/run/netns/{self._name}-hub", "--", "nft", *words)

    def enter(self) -> None:
        """Stand in the hub from here on."""
        _enter(f"/run/netns/{self._name}-hub")

    def remove(self) -> None:
        """Remove what was made."""
        for name in ("hub", *self._names):
            if Path(f"/run/netns/{self._name}-{name}").exists():
                run("ip", "netns", "del", f"{self._name}-{name}")


@contextlib.contextmanager
def apart(names: Sequence[str]) -> Iterator[Apart]:
    """Give it; this thread stands in the hub meanwhile."""
    made = Apart(names)
    home = f"/proc/self/task/{os.getpid()}/ns/net"
    with Path(home).open() as file:
        try:
            made.make()
            made.enter()
            yield made
        finally:
            _libc.setns(file.fileno(), _CLONE_NEWNET)
            made.remove()
