# SPDX-License-Identifier: Apache-2.0
"""The broker that is shipped, with what `enrol` makes: who may connect, write and read, on a real Mosquitto over TLS."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from paho.mqtt import client as paho

from agent.forward import topics
from tests.fleet import says
from tests.fleet.test_collector import until
from tools.fleet import enrol
from tools.fleet.broker import address
from tools.fleet.consumer import Consumer
from tools.fleet.models import Gateway, Message
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("mosquitto")
ONE, OTHER = says.name(1), says.name(2)
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def broker(tmp_path) -> Iterator[Mosquitto]:
    """Give the shipped broker with an authority's certificates."""
    authority = enrol.Authority(tmp_path / "ca", NOW)
    authority.broker("localhost")
    authority.collector()
    for ident in (ONE, OTHER):
        authority.gateway(ident)
    with Mosquitto(tmp_path, tmp_path / "ca") as running:
        yield running


class Peer:
    """A client with somebody's certificate, at the listener that is theirs; `got` grows by what comes on what it subscribed to."""

    def __init__(self, broker: Mosquitto, folder: Path, who: str, ca: Path | None = None) -> None:
        self.got: list[tuple[str, bytes]] = []
        port = broker.collectors if who == enrol.COLLECTOR else broker.port
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, f"test-{who}", protocol=paho.MQTTv5, reconnect_on_failure=False)
        self.client.tls_set(str(ca or folder / "ca.pem"), *((str(folder / f"{who}.pem"), str(folder / f"{who}.key")) if who else ()))
        self.client.on_message = lambda _client, _data, message: self.got.append((message.topic, bytes(message.payload)))
        self.codes: list[int] = []
        self.granted: list[bool] = []
        self.client.on_publish = lambda _client, _data, _number, code, _properties: self.codes.append(code.value)
        self.client.on_subscribe = lambda _client, _data, _number, codes, _properties: self.granted.append(not codes[0].is_failure)
        self.client.connect("localhost", port)
        self.client.loop_start()
        until(self.client.is_connected, "connected")

    def publish(self, topic: str, payload: bytes = b"x") -> int:
        """Publish at QoS 1 and return the broker's reason code."""
        count = len(self.codes)
        self.client.publish(topic, payload, qos=1)
        until(lambda: len(self.codes) > count, "answered")
        return self.codes[-1]

    def subscribe(self, topic: str) -> None:
        """Subscribe and wait for the answer."""
        count = len(self.granted)
        self.client.subscribe(topic, qos=1)
        until(lambda: len(self.granted) > count, "answered")

    def close(self) -> None:
        """End the connection."""
        self.client.disconnect()
        self.client.loop_stop()


DENIED = 0x87


def test_a_gateway_writes_below_its_own_id_and_reads_nothing(broker, tmp_path):
    """Its own state, health and summaries; not another's, not the collector's marks, nothing else; no word of others, nor of its own."""
    folder = tmp_path / "ca"
    one, collector = Peer(broker, folder, ONE), Peer(broker, folder, enrol.COLLECTOR)
    try:
        collector.subscribe("oubli/1/#")
        for topic in ("#", "oubli/1/#", topics.summary(OTHER, "+"), topics.health(ONE), "$share/g/oubli/1/#", "oubli-fleet/#"):
            one.subscribe(topic)
        assert one.publish(topics.summary(ONE, "arrivals")) == 0
        assert one.publish(topics.health(ONE)) == 0
        assert one.publish(topics.state(ONE)) == 0
        refused = [
            topics.summary(OTHER, "arrivals"),
            topics.health(OTHER),
            topics.state(OTHER),
            "oubli/1/" + ONE,
            topics.health(ONE) + "/x",
        ]
        refused += [topics.summary(ONE, "a/b"), "oubli-fleet/mark/one", "elsewhere", f"oubli/2/{ONE}/health"]
        assert [one.publish(topic) for topic in refused] == [DENIED] * len(refused)
        assert collector.publish(topics.state(ONE)) == DENIED
        assert collector.publish("oubli-fleet/mark/one") == 0
        until(lambda: len(collector.got) == 3, "the collector reads what a gateway may say")
        assert one.got == []
    finally:
        one.close()
        collector.close()


def test_nobody_connects_without_a_certificate_of_this_authority(broker, tmp_path):
    """None; another authority's with the same name; plain text; and no gateway takes a broker of another authority for its own."""
    foreign = enrol.Authority(tmp_path / "foreign", NOW)
    foreign.gateway(ONE)
    for folder, who in ((tmp_path / "ca", ""), (tmp_path / "foreign", ONE)):
        with pytest.raises(OSError):
            refused(broker, folder, who, tmp_path / "ca" / "ca.pem")
    context = ssl.create_default_context(cafile=tmp_path / "foreign" / "ca.pem")
    with socket.create_connection(("localhost", broker.port)) as stream, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(stream, server_hostname="localhost")
    plain = paho.Client(paho.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    plain.connect("localhost", broker.port)
    end = time.monotonic() + 90
    while not plain.loop(0.2):
        assert time.monotonic() < end
    assert not plain.is_connected()
    plain._sock_close()


def refused(broker: Mosquitto, folder: Path, who: str, ca: Path) -> None:
    """Connect; OSError where the broker ends it in the handshake or after (TLS 1.3)."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.tls_set(str(ca), *((str(folder / f"{who}.pem"), str(folder / f"{who}.key")) if who else ()))
    try:
        client.connect("localhost", broker.port)
    except OSError:
        client._sock_close()
        raise
    end = time.monotonic() + 90
    try:
        while not client.is_connected():
            if client.loop(0.2):
                raise OSError
            assert time.monotonic() < end
    finally:
        client._sock_close()


def test_the_collector_takes_over_tls_what_enrolled_gateways_publish(sqlite, broker, tmp_path):
    """The consumer itself with the collector's certificate: state, health, a summary, and the mark it sends itself."""
    folder = tmp_path / "ca"
    names = {"ca": folder / "ca.pem", "certificate": folder / "oubli-fleet.pem", "key": folder / "oubli-fleet.key"}
    said: list[str] = []
    consumer = Consumer(address(f"mqtts://localhost:{broker.collectors}", **names), "test", said.append, keeper=True)
    one = Peer(broker, folder, ONE)
    day = int(time.time()) // 86_400 - 2
    try:
        for arrival in (says.state(ONE), says.health(ONE, int(time.time())), says.summary(ONE, day=day)):
            one.client.publish(arrival.topic, arrival.payload, qos=1, retain=True).wait_for_publish(60)
        end = time.monotonic() + 90
        consumer.run(
            lambda: (
                time.monotonic() > end
                or (consumer._certain and Message.objects.exists() and Gateway.objects.filter(config__gt="").exists())
            )
        )
    finally:
        one.close()
    assert said == ["connected"]
    assert consumer._certain
    assert Message.objects.count() == 1
