# SPDX-License-Identifier: Apache-2.0
"""The real Mosquitto on a free loopback port, and a subscriber that remembers what it was sent."""

import os
import queue
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt import client as paho

from host_sim.driver.ports import free_port
from tools import listening


def mosquitto() -> str:
    """Where the broker is installed; Debian puts it where only root looks."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found, "mosquitto is not installed"
    return found


class Broker:
    """A running Mosquitto: `port` for anybody, `tls_port` for clients with a certificate, when there are certificates.

    `ports`: one port for each server certificate that was asked for; `authority` vouches for clients.
    """

    def __init__(
        self,
        folder: Path,
        certificates: Path | None = None,
        password: str | None = None,
        port: int | None = None,
        tls_port: int | None = None,
        servers: tuple[str, ...] = ("server",),
        authority: str = "ca",
    ) -> None:
        self.port = port or free_port()
        self.ports = {name: tls_port or free_port() for name in servers}
        self.tls_port = self.ports[servers[0]]
        lines = ["per_listener_settings true", "persistence false", "log_dest none", f"listener {self.port} 127.0.0.1"]
        if password is None:
            lines.append("allow_anonymous true")
        else:
            accounts = folder / "passwords"
            subprocess.run(
                ["mosquitto_passwd", "-c", "-b", str(accounts), "gateway", password], check=True, capture_output=True
            )
            accounts.chmod(0o644)
            lines += ["allow_anonymous false", f"password_file {accounts}"]
        for name, one in self.ports.items() if certificates else ():
            lines += [
                f"listener {one} 127.0.0.1",
                "allow_anonymous true",
                f"cafile {certificates}/{authority}.crt",
                f"certfile {certificates}/{name}.crt",
                f"keyfile {certificates}/{name}.key",
                "require_certificate true",
                "use_identity_as_username true",
            ]
        configuration = folder / "mosquitto.conf"
        configuration.write_text("\n".join([*lines, "user root", ""]))
        self._process = subprocess.Popen(
            [mosquitto(), "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for listener in (self.port, *(self.ports.values() if certificates else ())):
            self._await(listener)

    def _await(self, port: int) -> None:
        for _ in range(1500):
            assert self._process.poll() is None, "mosquitto ended"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("mosquitto does not listen")

    def signal(self, number: signal.Signals) -> None:
        """Stop, continue or kill the broker."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End the broker."""
        self._process.kill()
        self._process.wait()


@contextmanager
def broker(folder: Path, certificates: Path | None = None, **settings: Any) -> Iterator[Broker]:
    """A broker that lives as long as the block."""
    running = Broker(folder, certificates, **settings)
    try:
        yield running
    finally:
        running.close()


class Message(NamedTuple):
    """What a subscriber was sent."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Subscriber:
    """Subscribed to everything at QoS 1; `next` gives the messages in order."""

    def __init__(self, port: int) -> None:
        self._messages: queue.Queue[Message] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self._client.on_message = lambda _client, _data, message: self._messages.put(
            Message(message.topic, bytes(message.payload), message.qos, bool(message.retain))
        )
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=240)

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, *_: object) -> None:
        listening.end(self._client)

    def next(self, within: float = 20.0) -> Message | None:
        """The next message, or None when none comes in time."""
        try:
            return self._messages.get(timeout=within)
        except queue.Empty:
            return None
