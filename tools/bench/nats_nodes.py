# SPDX-License-Identifier: Apache-2.0
"""Three NATS servers."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast
from urllib.request import urlopen

from tools.bench.nodes import FLEET, NAMES, ROOT, Cluster, StuckError, replaced, running, until


class Server:
    """One NATS server of the three."""

    def __init__(self, words: list[str], configuration: Path, ports: dict[str, int], address: str) -> None:
        self._words, self._configuration, self._monitor = words, configuration, f"{address}:{ports['monitor']}"
        self.gateways = ports["gateways"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `ready` says when it takes part again."""
        with self._configuration.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._words, "nats-server", "-c", self._configuration],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ready(self) -> bool:
        """Return True if it has all that its peers have."""
        try:
            with urlopen(f"http://{self._monitor}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def leaders(self, stream: str) -> list[str]:
        """Return the name of the node that leads a stream, by this one's word; none where it knows of none."""
        with (
            contextlib.suppress(OSError),
            urlopen(f"http://{self._monitor}/jsz?streams=true", timeout=2) as one,
        ):
            streams = [each for account in json.load(one)["account_details"] for each in account["stream_detail"]]
            return [
                each["cluster"]["leader"] for each in streams if each["name"] == stream and "leader" in each["cluster"]
            ]
        return []

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Nats(Cluster):
    """Three of them, with their streams."""

    way, kind = "nats+tls", "NATS"

    def _enrolled(self, idents: Sequence[str]) -> None:
        head, row, tail = _rows((FLEET / "nats/users.conf").read_text())
        rows = "".join(row.replace("GATEWAY", ident) for ident in idents)
        (self.folder / "users.conf").write_text(head + rows + tail)

    def _node(self, name: str) -> Server:
        ports, folder, at = self._ports[name], self.folder, self.address(name)
        routes = ", ".join(f'"nats-route://{self.address(one)}:{self._ports[one]["peers"]}"' for one in NAMES)
        text = replaced(
            (FLEET / "nats/nats.conf").read_text(),
            ("server_name: a\n", f"server_name: {name}\n"),
            ('listen: "0.0.0.0:4222"', f'listen: "{at}:{ports["collectors"]}"'),
            ('listen: "0.0.0.0:8883"', f'listen: "{at}:{ports["gateways"]}"'),
            ('listen: "10.0.0.1:6222"', f'listen: "{at}:{ports["peers"]}"'),
            (
                '["nats-route://10.0.0.1:6222", "nats-route://10.0.0.2:6222", "nats-route://10.0.0.3:6222"]',
                f"[{routes}]",
            ),
            ('"/var/lib/nats"', f'"{folder}/{name}"'),
            ('http: "10.0.0.1:8222"', f'http: "{at}:{ports["monitor"]}"'),
            ("/etc/nats/oubli/", f"{self.ca}/"),
        )
        (folder / f"{name}.conf").write_text(text)
        return Server(self.words_of(name), folder / f"{name}.conf", ports, at)

    def streams(self, replicas: int) -> subprocess.CompletedProcess[str]:
        """Ask for them; return what came of it."""
        command = [sys.executable, "-m", "tools.fleet", "streams", f"--replicas={replicas}", *self.words()]
        return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def _open(self) -> None:
        said = ""

        def made() -> bool:
            nonlocal said
            done = self.streams(len(NAMES))
            said = done.stderr
            return done.returncode == 0

        try:
            until(made, "the streams")
        except StuckError as stuck:
            raise StuckError(f"{stuck}: {said}") from None

    def leader(self, stream: str) -> Server:
        """Return the node that takes what comes into a stream, once there is one."""
        found: list[str] = []

        def known() -> bool:
            for node in self.nodes:
                found.extend(cast("Server", node).leaders(stream))
            return bool(found)

        until(known, f"{stream} has a leader")
        return cast("Server", self.nodes[NAMES.index(found[0])])


def _rows(text: str) -> tuple[str, str, str]:
    """Return what stands before a gateway's row, the row, and what stands behind it."""
    place = text.index('user: "GATEWAY"')
    begin = text.rindex("  {\n", 0, place)
    end = text.rindex("]")
    return text[:begin], text[begin:end], text[end:]


@contextlib.contextmanager
def nodes(folder: Path, idents: Sequence[str]) -> Iterator[Nats]:
    """Give a running cluster for these gateways."""
    cluster = Nats(folder, idents)
    with running(cluster):
        yield cluster
