# SPDX-License-Identifier: Apache-2.0
"""A collector at the broker beyond the WAN, through a doorway: all that gateways publish."""

import ssl
from pathlib import Path

from paho.mqtt import client as mqtt

from host_sim.lab.broker import Message
from host_sim.openwrt.doorway import Doorway
from host_sim.openwrt.internet import COLLECTORS
from host_sim.openwrt.network import Wires
from tools import listening


class Subscriber:
    """A collector that keeps all that gateways publish."""

    def __init__(self, wires: Wires, folder: Path) -> None:
        self._messages: list[Message] = []
        self._door = Doorway(wires.internet, "127.0.0.1", COLLECTORS)
        self._context = ssl.create_default_context(cafile=str(folder / "ca/ca.pem"))
        self._context.load_cert_chain(folder / "ca/oubli-fleet.pem", folder / "ca/oubli-fleet.key")
        self.connect()

    def connect(self) -> None:
        """Connect and ask for everything; what is retained comes again."""
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "oubli-sim")
        self._client.tls_set_context(self._context)
        self._client.on_connect = lambda client, *_: client.subscribe("oubli/1/#", qos=1)
        self._client.on_message = lambda _client, _data, got: self._messages.append(
            Message(got.topic, bytes(got.payload), got.retain)
        )
        self._client.connect("127.0.0.1", self._door.port)
        self._client.loop_start()

    def disconnect(self) -> None:
        """End the connection, before the broker does."""
        listening.end(self._client)

    def messages(self, topic_end: str = "") -> list[Message]:
        """Return the messages so far whose topic ends so."""
        return [message for message in list(self._messages) if message.topic.endswith(topic_end)]

    def close(self) -> None:
        """Take the collector away."""
        self.disconnect()
        self._door.close()
