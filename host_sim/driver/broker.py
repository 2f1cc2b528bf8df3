# SPDX-License-Identifier: Apache-2.0
"""A real Mosquitto on a free loopback port, for simulated runs, and a subscriber that keeps whatever is published.

Why Mosquitto and not amqtt: the demo needs Debian's packages anyway (libsodium, MicroPython), so Mosquitto is one
package more, where amqtt is twelve more Python packages to pin.
"""

import shutil
import subprocess
import time
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from host_sim.driver.interpreters import WITH_US
from host_sim.driver.ports import free_port
from tools import listening


class BrokerError(Exception):
    """No broker could be started; the text is one line for the person who asked."""


class Broker:
    """Mosquitto and its subscriber; `messages` is a list of (topic, payload) that grows as they come."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("mosquitto") is None:
            raise BrokerError(
                "mosquitto isn't on this machine; accepted: Debian's package mosquitto, "
                "which tools/demo installs as root"
            )
        self.messages: list[tuple[str, bytes]] = []
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        configuration = folder / "mosquitto.conf"
        # as root, Mosquitto would become another user, who can't reach this folder
        configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence false\n"
        )
        with self._log.open("wb") as log:
            words = [*WITH_US, "mosquitto", "-c", str(configuration)]
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._subscriber = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="oubli-sim")
        self._subscribed = False
        self._subscriber.on_message = lambda _client, _data, m: self.messages.append((m.topic, bytes(m.payload)))
        self._subscriber.on_subscribe = self._ready
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _ready(self, *_: object) -> None:
        self._subscribed = True

    def _connect(self) -> None:
        deadline = time.monotonic() + 90
        while b" running\n" not in self._log.read_bytes():  # not before: the port could be somebody else's
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(
                    f"mosquitto didn't start: {' '.join(self._log.read_text(errors='replace').split())[-300:]}"
                )
            time.sleep(0.02)
        self._subscriber.connect("127.0.0.1", self.port)
        self._subscriber.subscribe("oubli/#", qos=1)
        self._subscriber.loop_start()
        while not self._subscribed:
            if time.monotonic() > deadline:
                raise BrokerError("mosquitto doesn't answer a subscription")
            time.sleep(0.01)

    def count(self, part: str) -> int:
        """Return how many messages came on topics with this part; the very same one again is none more."""
        return len({message for message in list(self.messages) if part in message[0]})

    def close(self) -> None:
        """End the subscriber and the broker."""
        listening.end(self._subscriber)
        self._process.terminate()
        try:
            self._process.wait(240)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
