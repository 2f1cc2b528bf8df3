# SPDX-License-Identifier: Apache-2.0
"""The lab's broker: a real Mosquitto in the internet namespace, and a subscriber that keeps all it publishes.

The forwarder reaches it over the simulated WAN; the subscriber through a unix socket of the same broker, which
namespaces don't separate. The broker keeps the subscriber's session on disk, so that a restart loses nothing that was
acknowledged.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt import client as mqtt

from host_sim.lab.network import INTERNET_4, LabError, Network
from tools import listening

PORT = 1883


@dataclass(frozen=True)
class Message:
    """One message as the subscriber got it."""

    topic: str
    payload: bytes
    retained: bool


class Broker:
    """Mosquitto and its subscriber, from `start` to `stop`; `messages` grows as they come."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.messages: list[Message] = []
        self.log = folder / "mosquitto.log"
        self._network, self._folder = network, folder
        self._socket = folder / "mosquitto.socket"
        self._process: subprocess.Popen | None = None
        self._subscriber: mqtt.Client | None = None
        (folder / "mosquitto").mkdir()
        (folder / "mosquitto.conf").write_text(
            f"listener {PORT} {INTERNET_4}\nlistener 0 {self._socket}\nallow_anonymous true\nuser root\n"
            f"persistence true\npersistence_location {folder}/mosquitto/\nlog_type all\nlog_dest stderr\n"
        )

    def _subscribe(self, name: str, keep: Callable[[Message], None]) -> mqtt.Client:
        """Connect a subscriber to everything of oubli's; the broker keeps its session under its name."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, clean_session=False, transport="unix")
        client.on_connect = lambda client, *_: client.subscribe("oubli/#", qos=1)
        client.on_message = lambda _client, _data, got: keep(Message(got.topic, bytes(got.payload), got.retain))
        client.connect(str(self._socket))
        return client

    def start(self) -> None:
        """Start Mosquitto, wait until it answers, and subscribe."""
        self.log.touch()
        started = self.log.read_bytes().count(b" running\n")
        command = ["mosquitto", "-c", str(self._folder / "mosquitto.conf")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._network.inside(self._network.internet, *command), stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while self.log.read_bytes().count(b" running\n") == started:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"Mosquitto did not start: {self.log.read_text()[-300:]}")
            time.sleep(0.02)
        self._subscriber = self._subscribe("oubli-lab", self.messages.append)
        self._subscriber.loop_start()

    def stop(self) -> None:
        """Take the subscriber away, stop Mosquitto; it sends the connected ones' wills and writes its state."""
        if self._subscriber is not None:
            listening.end(self._subscriber)
            self._subscriber = None  # paho's loop can't be started twice without a leak
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait(240)
            self._process = None

    def freeze(self) -> None:
        """Let Mosquitto take what it is sent and answer nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def on(self, topic_end: str) -> list[Message]:
        """Return the messages on topics that end so."""
        return [message for message in list(self.messages) if message.topic.endswith(topic_end)]

    def retained(self) -> dict[str, bytes]:
        """Ask a second time, as a newcomer: what does the broker hold for whoever connects?

        Half a second without news is all.
        """
        held: dict[str, bytes] = {}
        newcomer = self._subscribe(
            f"newcomer-{time.monotonic_ns()}", lambda message: held.update({message.topic: message.payload})
        )
        quiet = time.monotonic() + 0.5
        while time.monotonic() < quiet:
            before = len(held)
            newcomer.loop(0.1)
            if len(held) > before:
                quiet = time.monotonic() + 0.5
        newcomer.disconnect()
        return held
