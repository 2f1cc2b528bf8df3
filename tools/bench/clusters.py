# SPDX-License-Identifier: Apache-2.0
"""Three NATS nodes behind a HAProxy, by the files that are shipped for them, on loopback.

What nodes that die do to forwarders' messages.

`nodes` gives the cluster; `outlive` lets real forwarders publish through it over TLS while one node after the other is
killed and one is stopped for a while, as one is that is cut off: its peers hear nothing of it and nothing ends its
connections.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from host_sim.driver.ports import free_port
from tools import clock
from tools.bench import machine
from tools.bench.rounds import Tell
from tools.bench.sheets import Sheet
from tools.fleet import enrol, load, site
from tools.fleet.postgres import Postgres

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "tools/fleet"
NAMES = ("a", "b", "c")
KINDS = ("nats",)
NEEDS = ("nats-server", "haproxy", "postgresql")
FORWARDERS, EACH, RATE = 300, 40, 120  # messages of each; messages a second, of all
AWAY = 15.0  # seconds for which one is stopped
GAP = 10.0  # seconds that may go without a message stored
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


def _whole(stored: "_Stored", wanted: int) -> None:
    """Wait until every message is stored; StuckError says how many are."""
    try:
        until(lambda: stored.look() >= wanted, "every message is stored")
    except StuckError as failure:
        raise StuckError(f"{failure}: {stored.look():,} of {wanted:,}") from None


class Node:
    """One NATS server of the three."""

    def __init__(self, folder: Path, configuration: Path, monitor: int) -> None:
        self._folder, self._configuration, self._monitor = folder, configuration, monitor
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `ready` says when it takes part again."""
        with (self._folder / f"{self._configuration.stem}.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["nats-server", "-c", self._configuration, "-m", str(self._monitor), "-a", "127.0.0.1"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ready(self) -> bool:
        """Return True if it has all that its peers have."""
        try:
            with urlopen(f"http://127.0.0.1:{self._monitor}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Cluster:
    """Three nodes and a proxy; `gateways` and `collectors` are the proxy's ports."""

    def __init__(self, folder: Path, idents: Sequence[str]) -> None:
        self.folder, self.ca = folder, folder / "ca"
        authority = enrol.Authority(self.ca, clock.now())
        authority.broker("localhost")
        authority.collector()
        for ident in idents:
            authority.gateway(ident)
        head, row, tail = _rows((FLEET / "nats/users.conf").read_text())
        (folder / "users.conf").write_text(head + "".join(row.replace("GATEWAY", ident) for ident in idents) + tail)
        self._ports = {
            name: {part: free_port() for part in ("gateways", "collectors", "peers", "monitor")} for name in NAMES
        }
        self.nodes = [self._node(name) for name in NAMES]
        self.gateways, self.collectors = free_port(), free_port()
        self._proxy: subprocess.Popen[bytes] | None = None

    def _node(self, name: str) -> Node:
        ports, folder = self._ports[name], self.folder
        routes = ", ".join(f'"nats-route://127.0.0.1:{self._ports[one]["peers"]}"' for one in NAMES)
        text = (FLEET / "nats/nats.conf").read_text()
        for shipped, ours in (
            ("server_name: a\n", f"server_name: {name}\n"),
            ('listen: "0.0.0.0:4222"', f'listen: "127.0.0.1:{ports["collectors"]}"'),
            ('listen: "0.0.0.0:8883"', f'listen: "127.0.0.1:{ports["gateways"]}"'),
            ('listen: "10.0.0.1:6222"', f'listen: "127.0.0.1:{ports["peers"]}"'),
            (
                '["nats-route://10.0.0.1:6222", "nats-route://10.0.0.2:6222", "nats-route://10.0.0.3:6222"]',
                f"[{routes}]",
            ),
            ('"/var/lib/nats"', f'"{folder}/{name}"'),
            ("/etc/nats/oubli/", f"{self.ca}/"),
        ):
            if shipped not in text:
                raise StuckError(f"nats.conf has no {shipped}")
            text = text.replace(shipped, ours)
        (folder / f"{name}.conf").write_text(text)
        return Node(folder, folder / f"{name}.conf", ports["monitor"])

    def start(self) -> None:
        """Start all of it, and make the streams."""
        for node in self.nodes:
            node.start()
        text = (FLEET / "haproxy/haproxy.cfg").read_text()
        text = text.replace("bind :8883", f"bind 127.0.0.1:{self.gateways}").replace(
            "bind :5671", f"bind 127.0.0.1:{self.collectors}"
        )
        for number, name in enumerate(NAMES, 1):
            text = text.replace(f"10.0.0.{number}:8883", f"127.0.0.1:{self._ports[name]['gateways']}")
            text = text.replace(f"10.0.0.{number}:5671", f"127.0.0.1:{self._ports[name]['collectors']}")
        (self.folder / "haproxy.cfg").write_text(text.replace("maxconn 200000", "maxconn 2000"))
        self._proxy = subprocess.Popen(
            ["haproxy", "-db", "-f", self.folder / "haproxy.cfg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: all(node.ready() for node in self.nodes), "the nodes have found each other")
        until(lambda: _listens(self.collectors), "the proxy")
        until(self._streams, "the streams")

    def words(self) -> list[str]:
        """Return the options by which a collector connects."""
        names = {"--ca": "ca.pem", "--certificate": "oubli-fleet.pem", "--key": "oubli-fleet.key"}
        return [
            f"--broker=nats+tls://localhost:{self.collectors}",
            *(f"{option}={self.ca / name}" for option, name in names.items()),
        ]

    def _streams(self) -> bool:
        command = [sys.executable, "-m", "tools.fleet", "streams", "--replicas=3", *self.words()]
        return (
            subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
            == 0
        )

    def options(self, ident: str) -> str:
        """Return the lines of a gateway's configuration by which it connects."""
        lines = {"host": "localhost", "port": self.gateways, "ca": self.ca / "ca.pem", "spread": 1}
        lines |= {"certificate": self.ca / f"{ident}.pem", "key": self.ca / f"{ident}.key"}
        return "".join(f" option {name} '{value}'\n" for name, value in lines.items())

    def close(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            node.kill()
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.wait()


def _rows(text: str) -> tuple[str, str, str]:
    """Return what stands before a gateway's row, the row, and what stands behind it."""
    place = text.index('user: "GATEWAY"')
    begin = text.rindex("  {\n", 0, place)
    end = text.rindex("]")
    return text[:begin], text[begin:end], text[end:]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def nodes(folder: Path, idents: Sequence[str]) -> Iterator[Cluster]:
    """Give a running cluster for these gateways."""
    cluster = Cluster(folder, idents)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def outlive(folder: Path, url: str, forwarders: int, each: int, rate: float) -> dict[str, Any]:
    """Let forwarders publish at `rate` a second while nodes die; return what came of it. The store at `url` is open."""
    from tools.fleet.models import Message, Tally

    wanted, idents = forwarders * each, [load.name(number) for number in range(forwarders)]
    with nodes(folder, idents) as cluster, (folder / "log").open("wb") as log:
        load.prepare(folder / "gateways", range(forwarders), each, int(clock.seconds()), cluster.options)
        serve = [
            sys.executable,
            "-m",
            "tools.fleet",
            "serve",
            "--no-page",
            "--consumers=2",
            "--name=cluster",
            *cluster.words(),
        ]
        collector = subprocess.Popen(
            serve, cwd=ROOT, env=os.environ | {"OUBLI_FLEET_DB": url}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        command = [sys.executable, "-m", "tools.fleet.load", str(folder / "gateways"), "0", str(forwarders), str(rate)]
        gateways: subprocess.Popen[bytes] | None = None
        stored = _Stored(wanted)
        try:
            gateways = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
            until(lambda: stored.look() > 0, "the first message")
            for place, node in enumerate(cluster.nodes):
                until(lambda place=place: stored.look() >= wanted * (place + 1) // 6, "under way")  # type: ignore[misc]
                node.kill()
                stored.look()
                _pass(stored, 5)
                node.start()
                until(lambda node=node: (stored.look(), node.ready())[1], "it is back")  # type: ignore[misc]
            cluster.nodes[0].signal(signal.SIGSTOP)
            _pass(stored, AWAY)
            cluster.nodes[0].signal(signal.SIGCONT)
            until(lambda: (stored.look(), gateways.poll() is not None)[1], "every spool is empty")
            _whole(stored, wanted)
        finally:
            for one in (gateways, collector):
                if one is not None:
                    one.terminate()
                    one.wait(60)
    expected = sum((number + place) % 90 - 5 for number in range(forwarders) for place in range(each))
    kept = sum(Tally.objects.filter(fate="kept").values_list("count", flat=True))
    return {
        "forwarders": forwarders,
        "messages": wanted,
        "stored": Message.objects.count(),
        "right": sum(Message.objects.values_list("v0", flat=True)) == expected and kept == wanted,
        "seconds": round(stored.seconds, 1),
        "gap_seconds": round(stored.gap, 1),
    }


def measure(forwarders: int, each: int, tell: Tell) -> dict[str, Any]:
    """Kill nodes under forwarders, with PostgreSQL; `findings` are what must not be."""
    machine.need(NEEDS, root=False)
    with tempfile.TemporaryDirectory(prefix="oubli-cluster-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        (folder / "postgres").mkdir()
        with Postgres(folder / "postgres", durable=True) as database:
            url = database.create("fleet")
            site.configure(url)
            site.open_store()
            from django.db import connections

            tell(f"{forwarders} forwarders, three nodes")
            found = outlive(folder, url, forwarders, each, RATE)
            connections.close_all()
    findings = (
        [] if found["right"] and found["stored"] == found["messages"] else ["a message was lost, doubled or changed"]
    )
    findings += [f"nothing was stored for {found['gap_seconds']} s"] if found["gap_seconds"] >= GAP else []
    return {"cluster": found, "findings": findings}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the figures for a person."""
    one = result["cluster"]
    lost = "every message once" if one["right"] else "NOT every message once"
    rows = [
        (
            "killed in turn",
            f"{one['forwarders']:,} forwarders, {one['messages']:,} messages in {one['seconds']} s: {lost}",
        ),
        ("", f"longest time without one stored: {one['gap_seconds']} s"),
    ]
    return [Sheet("Three NATS nodes behind HAProxy: each killed, one stopped for a while", ("", ""), rows, (0, 1))]


class _Stored:
    """How many messages are stored, and the longest time in which none came."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._count, self._since = wanted, 0, time.monotonic()
        self._begun = self._since
        self.gap = 0.0

    @property
    def seconds(self) -> float:
        return self._since - self._begun

    def look(self) -> int:
        from tools.fleet.models import Message

        now, count = time.monotonic(), Message.objects.count()
        if self._count and self._count < self._wanted:
            self.gap = max(self.gap, now - self._since)
        if count > self._count:
            self._begun = self._begun if self._count else now
            self._since = now
        self._count = count
        return count


def _pass(stored: _Stored, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stored.look()
        time.sleep(0.1)
