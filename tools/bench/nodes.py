# SPDX-License-Identifier: Apache-2.0
"""Three nodes of a broker behind a HAProxy, by the files that are shipped for them, on loopback."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from host_sim.driver.ports import free_port
from tools import clock
from tools.bench.apart import Apart
from tools.fleet import enrol

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "tools/fleet"
NAMES = ("a", "b", "c")
_PATIENCE = 240


class StuckError(RuntimeError):
    """What should have come to an end didn't."""


def until(done: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise StuckError(what)
        time.sleep(0.1)


class Node(Protocol):
    """One of the three."""

    gateways: int  # its port for them

    def start(self) -> None:
        """Start it; `ready` says when it takes part again."""

    def ready(self) -> bool:
        """Return True if it has all that its peers have."""

    def signal(self, number: int) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it at once."""


class Cluster:
    """Three nodes and a proxy; `gateways` and `collectors` are the proxy's ports."""

    way, kind = "", ""  # a collector's scheme, and what the proxy's file calls it

    def __init__(self, folder: Path, idents: Sequence[str], apart: Apart | None = None) -> None:
        self.folder, self.ca, self.apart = folder, folder / "ca", apart
        authority = enrol.Authority(self.ca, clock.now())
        authority.broker("localhost")
        authority.collector()
        for ident in idents:
            authority.gateway(ident)
        self._ports = {
            name: {part: free_port() for part in ("gateways", "collectors", "peers", "monitor")} for name in NAMES
        }
        self._enrolled(idents)
        self.nodes: Sequence[Node] = [self._node(name) for name in NAMES]
        self.gateways, self.collectors = free_port(), free_port()
        self._proxy: subprocess.Popen[bytes] | None = None

    def address(self, name: str) -> str:
        """Return where a node is."""
        return self.apart.address(name) if self.apart else "127.0.0.1"

    def words_of(self, name: str) -> list[str]:
        """Return what stands before a node's command line."""
        return self.apart.words(name) if self.apart else []

    def _enrolled(self, idents: Sequence[str]) -> None:
        """Write what the nodes know of the gateways."""
        raise NotImplementedError

    def _node(self, name: str) -> Node:
        raise NotImplementedError

    def _checked(self, text: str) -> str:
        """Return the proxy's configuration with the check that fits these nodes, and asks their own ports."""
        usual, asked = text.partition("    # A node that doesn't")[0], text.partition(f"    # {self.kind}: ")[2]
        rest = text[text.index("\nfrontend") :]
        text = usual + "".join(f"{line.replace('    #', '    ')}\n" for line in asked.splitlines()[1:3]) + rest
        for name in NAMES:
            for part in ("gateways", "collectors"):
                where = f"{self.address(name)}:{self._ports[name][part]}"
                text = text.replace(where, f"{where} port {self._ports[name]['monitor']}")
        return text

    def _open(self) -> None:
        """Wait until collectors may connect."""

    def start(self) -> None:
        """Start all of it."""
        for node in self.nodes:
            node.start()
        text = (FLEET / "haproxy/haproxy.cfg").read_text()
        for shipped, ours in (
            ("bind :8883", f"bind 127.0.0.1:{self.gateways}"),
            ("bind :5671", f"bind 127.0.0.1:{self.collectors}"),
            ("maxconn 200000", "maxconn 2000"),
        ):
            text = text.replace(shipped, ours)
        for number, name in enumerate(NAMES, 1):
            for port, part in ((8883, "gateways"), (5671, "collectors")):
                text = text.replace(
                    f"{name} 10.0.0.{number}:{port}", f"{name} {self.address(name)}:{self._ports[name][part]}"
                )
        (self.folder / "haproxy.cfg").write_text(self._checked(text))
        self._proxy = subprocess.Popen(
            ["haproxy", "-db", "-f", self.folder / "haproxy.cfg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: all(node.ready() for node in self.nodes), "the nodes have found each other")
        until(lambda: listens(self.collectors), "the proxy")
        self._open()

    def words(self) -> list[str]:
        """Return the options by which a collector connects."""
        names = {"--ca": "ca.pem", "--certificate": "oubli-fleet.pem", "--key": "oubli-fleet.key"}
        return [
            f"--broker={self.way}://localhost:{self.collectors}",
            *(f"{option}={self.ca / name}" for option, name in names.items()),
        ]

    def options(self, ident: str) -> str:
        """Return the lines of a gateway's configuration by which it connects."""
        lines = {"host": "localhost", "port": self.gateways, "ca": self.ca / "ca.pem", "spread": 1}
        lines |= {"certificate": self.ca / f"{ident}.pem", "key": self.ca / f"{ident}.key"}
        return "".join(f" option {name} '{value}'\n" for name, value in lines.items())

    def close(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.kill()
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.wait()


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return a shipped file with our ports and paths; StuckError where it lacks what is to be replaced."""
    for shipped, ours in pairs:
        if shipped not in text:
            raise StuckError(f"the configuration has no {shipped}")
        text = text.replace(shipped, ours)
    return text


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Return True if something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


@contextlib.contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Give it, started; end it."""
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
