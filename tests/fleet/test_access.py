# SPDX-License-Identifier: Apache-2.0
"""The broker that is shipped, with what `enrol` makes.

Who may connect, write and read, on a real Mosquitto over TLS.
"""

from __future__ import annotations

import datetime as dt
import errno
import gc
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt import client as paho

from agent.outbox import topics
from tests.fleet import says
from tests.fleet.test_collector import PATIENCE, consumed, until
from tools import listening
from tools.fleet import enrol, trouble
from tools.fleet.broker import address
from tools.fleet.consumer import TAKEN_OVER, Consumer
from tools.fleet.delivery import FIGURES, STATUS
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
    """A client with somebody's certificate, at the listener that is theirs.

    `got` grows by what comes on what it subscribed to.
    """

    def __init__(self, broker: Mosquitto, folder: Path, who: str, ca: Path | None = None) -> None:
        self.got: list[tuple[str, bytes]] = []
        port = broker.collectors if who == enrol.COLLECTOR else broker.port
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, f"test-{who}", protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        self.client.tls_set(
            str(ca or folder / "ca.pem"), *((str(folder / f"{who}.pem"), str(folder / f"{who}.key")) if who else ())
        )
        self.client.on_message = lambda _client, _data, message: self.got.append(
            (message.topic, bytes(message.payload))
        )
        self.codes: list[int] = []
        self.granted: list[bool] = []
        self.client.on_publish = lambda _client, _data, _number, code, _properties: self.codes.append(code.value)
        self.client.on_subscribe = lambda _client, _data, _number, codes, _properties: self.granted.append(
            not codes[0].is_failure
        )
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
        listening.end(self.client)


DENIED = 0x87


def test_a_gateway_writes_below_its_own_id_and_reads_nothing(broker, tmp_path):
    """Its own state, health and summaries; not another's, nothing else; no word of others, nor of its own."""
    folder = tmp_path / "ca"
    one, collector = Peer(broker, folder, ONE), Peer(broker, folder, enrol.COLLECTOR)
    try:
        collector.subscribe("oubli/1/#")
        for topic in (
            "#",
            "oubli/1/#",
            topics.summary(OTHER, "+"),
            topics.health(ONE),
            "$share/g/oubli/1/#",
            "oubli-fleet/#",
        ):
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
        refused += [topics.summary(ONE, "a/b"), "oubli-fleet/one", "elsewhere", f"oubli/2/{ONE}/health"]
        assert [one.publish(topic) for topic in refused] == [DENIED] * len(refused)
        assert collector.publish(topics.state(ONE)) == DENIED
        assert collector.publish("oubli-fleet/one") == DENIED
        until(lambda: len(collector.got) == 3, "the collector reads what a gateway may say")
        assert one.got == []
    finally:
        one.close()
        collector.close()


def test_nobody_connects_without_a_certificate_of_this_authority(broker, tmp_path):
    """None; another authority's with the same name; plain text.

    And no gateway takes a broker of another authority for its own.
    """
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
    end = time.monotonic() + PATIENCE
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
    end = time.monotonic() + PATIENCE
    try:
        while not client.is_connected():
            if client.loop(0.2):
                raise OSError
            assert time.monotonic() < end
    finally:
        client._sock_close()


def why(url: str, files: dict[str, Any], name: str = "test") -> str:
    """Return the one line that a consumer says when it can't connect."""
    said: list[str] = []
    end = time.monotonic() + PATIENCE
    consumer = Consumer(address(url, **files), name, FIGURES, said.append)
    consumer.run(lambda: any(line.startswith("not connected") for line in said) or time.monotonic() > end)
    return "\n".join(said)


# paho leaves those to Python
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_collector_that_cant_connect_says_in_one_line_why_and_what_to_do(sqlite, broker, tmp_path):
    """Wrong authority, wrong name, a gateway's certificate, none, plain text, the gateways' port, nobody there."""
    folder = tmp_path / "ca"
    enrol.Authority(tmp_path / "foreign", NOW)
    ours = {"ca": folder / "ca.pem", "certificate": folder / "oubli-fleet.pem", "key": folder / "oubli-fleet.key"}
    gateways = {"ca": folder / "ca.pem", "certificate": folder / f"{ONE}.pem", "key": folder / f"{ONE}.key"}
    here, plain = f"mqtts://localhost:{broker.collectors}", f"mqtt://localhost:{broker.collectors}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    told = {
        "isn't vouched for by --ca": why(here, ours | {"ca": tmp_path / "foreign" / "ca.pem"}),
        "is for another address": why(f"mqtts://127.0.0.1:{broker.collectors}", ours),
        "the broker doesn't know who signed --certificate": why(here, gateways),
        "the broker asks for a certificate": why(here, {"ca": folder / "ca.pem"}),
        "nobody listens there": why(f"mqtts://localhost:{nobody}", ours),
        "the connection was cut; if that port speaks TLS": why(plain, {}),
        "no such host": why(f"mqtts://{'a' * 64}.example", ours),
    }
    gc.collect()
    for wanted, line in told.items():
        assert line.startswith("not connected: "), line
        assert wanted in line
        assert "\n" not in line


def test_two_collectors_of_one_name_say_so_and_stop_taking_the_session_from_each_other(sqlite, broker, tmp_path):
    folder = tmp_path / "ca"
    files = {"ca": folder / "ca.pem", "certificate": folder / "oubli-fleet.pem", "key": folder / "oubli-fleet.key"}
    where = f"mqtts://localhost:{broker.collectors}"
    said: list[str] = []
    first = Consumer(address(where, **files), "twin", FIGURES, said.append)
    stop = threading.Event()
    thread = threading.Thread(target=consumed, args=(first, stop))
    thread.start()
    try:
        until(lambda: said == ["connected"], "connected")
        other: list[str] = []
        second = Consumer(address(where, **files), "twin", FIGURES, other.append)
        second.run(lambda: len(said) > 1)
        assert (
            said[1] == "not connected: another collector is connected as 'oubli-fleet-twin': "
            "give each its own --name; trying again"
        )
        assert first._pause == TAKEN_OVER
    finally:
        stop.set()
        thread.join(PATIENCE)


TOLD = {
    socket.gaierror(-2, "Name or service not known"): "broker.example: no such host",
    TimeoutError(): "broker.example:8884: no answer",
    OSError(errno.ENETUNREACH, "x"): "broker.example:8884: Network is unreachable",
    ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version"): "the broker speaks no TLS 1.2",
    ValueError("x"): "the store can't be used (ValueError)",
}


@pytest.mark.parametrize("failure", TOLD, ids=lambda failure: type(failure).__name__)
def test_each_failure_has_its_line(failure):
    assert trouble.of_failure(failure, "broker.example", 8884).startswith(TOLD[failure])


def test_a_night_without_a_broker_is_a_few_lines(sqlite):
    said: list[str] = []
    consumer = Consumer(address("mqtt://localhost:1"), "test", FIGURES, said.append)
    for _ in range(1000):
        consumer._lose("x")
    assert len(said) < 12
    consumer._lose("y")
    assert said[-1] == "not connected: y; trying again"


def test_the_collector_takes_over_tls_what_enrolled_gateways_publish(sqlite, broker, tmp_path):
    """The consumers themselves with the collector's certificate: state, health, a summary."""
    folder = tmp_path / "ca"
    names = {"ca": folder / "ca.pem", "certificate": folder / "oubli-fleet.pem", "key": folder / "oubli-fleet.key"}
    at = address(f"mqtts://localhost:{broker.collectors}", **names)
    said: list[str] = []
    one = Peer(broker, folder, ONE)
    day = int(time.time()) // 86_400 - 2
    try:
        for arrival in (says.state(ONE), says.health(ONE, int(time.time())), says.summary(ONE, day=day)):
            one.client.publish(arrival.topic, arrival.payload, qos=1, retain=True).wait_for_publish(PATIENCE)
        end = time.monotonic() + PATIENCE
        Consumer(at, "figures", FIGURES, said.append).run(lambda: time.monotonic() > end or Message.objects.exists())
        status = Gateway.objects.filter(config__gt="", health_at__gt=0)
        Consumer(at, "status", STATUS, said.append).run(lambda: time.monotonic() > end or status.exists())
    finally:
        one.close()
    assert {line for line in said if line.startswith("connected")} == {"connected"}
    assert Message.objects.count() == status.count() == 1
