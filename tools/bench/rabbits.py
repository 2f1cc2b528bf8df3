# SPDX-License-Identifier: Apache-2.0
"""Three RabbitMQ nodes."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

from host_sim.driver.ports import free_port
from tools.bench.nodes import FLEET, NAMES, Cluster, listens, replaced, until

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Server:
    """One of them, a process group of its own."""

    def __init__(
        self, folder: Path, name: str, words: list[str], at: tuple[str, int], environment: dict[str, str]
    ) -> None:
        self._folder, self._name, self._words, self._environment = folder, name, words, environment
        self._address, self.gateways = at
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `ready` says when it takes part again."""
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._words, SERVER],
                env=os.environ | self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Return True if it takes connections, which it does once it is in the cluster.

        One that gave up, as where its name service took too long to start, is started again.
        """
        if self.process is not None and self.process.poll() is not None:
            self.start()
        return listens(self.gateways, self._address)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


class Rabbit(Cluster):
    """Three of them, with their queues; their name service (epmd) has a port of its own, and ends with them."""

    way, kind = "amqps", "RabbitMQ"

    def _enrolled(self, idents: Sequence[str]) -> None:
        definitions = json.loads((FLEET / "rabbitmq/definitions.json").read_text())
        for ident in idents:
            row = json.loads((FLEET / "rabbitmq/gateway.json").read_text().replace("GATEWAY", ident))
            for kind, entries in row.items():
                definitions.setdefault(kind, []).extend(entries)
        (self.ca / "definitions.json").write_text(json.dumps(definitions))
        (self.ca / "authorities.pem").write_text(
            (self.ca / "ca.pem").read_text() + (self.ca / "collectors.pem").read_text()
        )
        (self.folder / "enabled").write_text("[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl,rabbitmq_prometheus].\n")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(os.urandom(20).hex())
        cookie.chmod(0o400)
        self._names = free_port()
        rows = [f'{{host, {_tuple(self.address(name))}, ["{name}"]}}.\n' for name in NAMES]
        (self.folder / "hosts").write_text("".join(rows) + "{lookup, [file]}.\n")  # no name server answers there

    def _node(self, name: str) -> Server:
        ports, folder, at = self._ports[name], self.folder / name, self.address(name)
        folder.mkdir()
        text = replaced(
            (FLEET / "rabbitmq/rabbitmq.conf").read_text(),
            ("/etc/rabbitmq/oubli/", f"{self.ca}/"),
            ("mqtt.listeners.ssl.default = 8883", f"mqtt.listeners.ssl.1 = {at}:{ports['gateways']}"),
            ("\nlisteners.ssl.default = 5671", f"\nlisteners.ssl.1 = {at}:{ports['collectors']}"),
            ("prometheus.tcp.ip = 10.0.0.1", f"prometheus.tcp.ip = {at}\nprometheus.tcp.port = {ports['monitor']}"),
            *((f"rabbit@{one}", f"{one}@{self._host(one)}") for one in NAMES),
        )
        (folder / "rabbitmq.conf").write_text(text + "log.file = false\nlog.console = true\n")
        environment = self._names_there(name) | {
            "RABBITMQ_NODENAME": f"{name}@{self._host(name)}",
            "RABBITMQ_MNESIA_BASE": str(folder / "db"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(ports["peers"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {_tuple(at)} +sbwt none",
        }
        return Server(self.folder, name, self.words_of(name), (at, ports["gateways"]), environment)

    def _host(self, name: str) -> str:
        return name if self.apart else "localhost"

    def _open(self) -> None:
        until(lambda: self.members() == {"oubli-figures": 3, "oubli-health": 3}, "each queue is on three nodes")

    def members(self) -> dict[str, int]:
        """Return on how many nodes each queue is, as each node says of itself where the proxy asks it."""
        found: Counter[str] = Counter()
        for name in NAMES:
            where = f"http://{self.address(name)}:{self._ports[name]['monitor']}/metrics/detailed?family=ra_metrics"
            with contextlib.suppress(OSError), urlopen(where, timeout=10) as answer:
                found.update(set(re.findall(r'queue="([a-z-]+)"', answer.read().decode())))
        return dict(found)

    def _names_there(self, name: str) -> dict[str, str]:
        here = {"ERL_EPMD_PORT": str(self._names), "HOME": str(self.folder), "ERL_EPMD_ADDRESS": self.address(name)}
        return here | ({"ERL_INETRC": str(self.folder / "hosts")} if self.apart else {})

    def close(self) -> None:
        """End all of it."""
        super().close()
        for name in NAMES if self.apart else NAMES[:1]:
            until(lambda name=name: self._names_end(name), "the name service ends")  # type: ignore[misc]

    def _names_end(self, name: str) -> bool:
        """End a name service; return False where it still knows of a node that has just been killed."""
        command = [*self.words_of(name), shutil.which("epmd") or "epmd", "-kill"]
        done = subprocess.run(
            command, env=os.environ | self._names_there(name), check=False, capture_output=True, text=True
        )
        return "not allowed" not in done.stdout + done.stderr


def _tuple(address: str) -> str:
    return "{" + address.replace(".", ",") + "}"
