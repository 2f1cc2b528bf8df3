# SPDX-License-Identifier: Apache-2.0
"""Three RabbitMQ nodes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from host_sim.driver.ports import free_port
from tools.bench.nodes import FLEET, NAMES, Cluster, listens, replaced, until

SERVER, CONTROL = "/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmqctl"


class Server:
    """One of them, a process group of its own."""

    def __init__(self, folder: Path, name: str, ports: dict[str, int], environment: dict[str, str]) -> None:
        self._folder, self._name, self._environment = folder, name, environment
        self.gateways = ports["gateways"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `ready` says when it takes part again."""
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [SERVER],
                env=os.environ | self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Return True if it takes connections, which it does once it is in the cluster."""
        return listens(self.gateways)

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

    way = "amqps"

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
        (self.folder / "enabled").write_text("[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].\n")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(os.urandom(20).hex())
        cookie.chmod(0o400)
        self._names = free_port()

    def _node(self, name: str) -> Server:
        ports, folder = self._ports[name], self.folder / name
        folder.mkdir()
        text = replaced(
            (FLEET / "rabbitmq/rabbitmq.conf").read_text(),
            ("/etc/rabbitmq/oubli/", f"{self.ca}/"),
            ("mqtt.listeners.ssl.default = 8883", f"mqtt.listeners.ssl.1 = 127.0.0.1:{ports['gateways']}"),
            ("\nlisteners.ssl.default = 5671", f"\nlisteners.ssl.1 = 127.0.0.1:{ports['collectors']}"),
            *((f"rabbit@{one}", f"{one}@localhost") for one in NAMES),
        )
        (folder / "rabbitmq.conf").write_text(text + "log.file = false\nlog.console = true\n")
        environment = self._names_there() | {
            "RABBITMQ_NODENAME": f"{name}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "db"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(ports["peers"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }
        return Server(self.folder, name, ports, environment)

    def _open(self) -> None:
        until(lambda: self.members() == {"oubli-figures": 3, "oubli-health": 3}, "each queue is on three nodes")

    def members(self) -> dict[str, int]:
        """Return on how many nodes each queue is, and can hand out from there."""
        done = subprocess.run(
            [CONTROL, "-q", "-n", "a@localhost", "list_queues", "name", "online", "--formatter", "json"],
            env=os.environ | self._names_there(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return {one["name"]: len(one["online"]) for one in json.loads(done.stdout)} if done.returncode == 0 else {}

    def _names_there(self) -> dict[str, str]:
        return {"ERL_EPMD_PORT": str(self._names), "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": str(self.folder)}

    def close(self) -> None:
        """End all of it."""
        super().close()
        subprocess.run(
            [shutil.which("epmd") or "epmd", "-kill"],
            env=os.environ | self._names_there(),
            check=False,
            capture_output=True,
        )
