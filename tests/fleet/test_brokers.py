# SPDX-License-Identifier: Apache-2.0
"""What a broker can do is read from its answers.

Each message is stored once, or the collector ends with one line that says why.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.fleet import says
from tests.fleet.test_collector import children, collector, publish, until
from tests.support.brokers import BROKERS
from tools.fleet.broker import BrokerError, address
from tools.fleet.consumer import Consumer
from tools.fleet.delivery import FIGURES, STATUS
from tools.fleet.models import Gateway, Message, Tally
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tools.fleet.delivery import Arrival

SAID = {"nats": "connected without TLS by MQTT 3.1.1", "rabbitmq": "keeps 24 h for a collector that is away, not 168"}


def both_connected(log: Path) -> bool:
    """Return True if each of a collector's two consumers has subscribed: what comes before is for nobody."""
    text = log.read_text() if log.exists() else ""
    return all(f"{kind} 1: connected without TLS" in text for kind in (FIGURES, STATUS))


def handed(port: int, *arrivals: Arrival) -> None:
    """Publish as a forwarder does: all again, where the broker ends the connection.

    NATS does where its own store takes longer than four seconds, as on a machine that does much else.
    """

    def taken() -> bool:
        try:
            publish(port, *arrivals)
        except ConnectionError:
            return False
        return True

    until(taken, "the broker takes it")


@pytest.mark.needs("nats-server", "rabbitmq-server")
@pytest.mark.parametrize("maker", BROKERS)
def test_a_broker_without_shared_subscriptions_or_mqtt_5_loses_nothing(sqlite, tmp_path, maker):
    """RabbitMQ grants $share as a literal topic, NATS speaks MQTT 3.1.1 alone.

    1,200 messages were acknowledged and none stored once.
    """
    log, day = tmp_path / "log", int(time.time()) // 86_400 - 2
    sent = [says.summary(says.name(number), day=day, slot=slot) for number in range(10) for slot in range(20)]
    with BROKERS[maker](tmp_path) as port:
        with collector(sqlite, port, log) as running:
            until(lambda: both_connected(log), "connected")
            handed(port, says.state(says.name(1)), says.health(says.name(1), int(time.time())), *sent[:100])
            until(lambda: Message.objects.count() > 10, "under way")
            if maker != "nats":  # 2.10.27 may lose one then, by MQTT (README of the fleet)
                os.kill(children(running)[0], 9)
            handed(port, *sent[90:150])
            until(lambda: Message.objects.count() == 150, "stored")
            until(Gateway.objects.filter(config__gt="", health_at__gt=0).exists, "state and health")
        handed(port, *sent[150:])  # nobody is there
        with collector(sqlite, port, log):
            until(lambda: Message.objects.count() == 200, "what waited")
    assert sum(Tally.objects.filter(fate="kept").values_list("count", flat=True)) == 200
    assert SAID[maker] in log.read_text()


CONNACK = {  # its properties, as octets (MQTT 5, 3.2.2.3)
    "takes no message at QoS 1": b"\x24\x00",
    "retains no message": b"\x25\x00",
    "has no wildcard subscriptions": b"\x28\x00",
    "takes packets below 1400 octets": b"\x27\x00\x00\x04\x00",
    "keeps no session": b"\x11\x00\x00\x00\x00",
}
SUBACK = {
    "doesn't let this user read": 0x87,
    "takes no such topic filter": 0x8F,
    "has no wildcards": 0xA2,
    "grants QoS 0": 0,
}


@contextmanager
def answering(properties: bytes, code: int) -> Iterator[int]:
    """Be a broker that answers CONNECT with these properties and SUBSCRIBE with this reason code; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            with stream:
                stream.recv(4096)
                body = b"\x00\x00" + bytes([len(properties)]) + properties
                stream.sendall(b"\x20" + bytes([len(body)]) + body)
                asked = stream.recv(4096)
                if asked[:1] == b"\x82":
                    stream.sendall(b"\x90\x04" + asked[2:4] + b"\x00" + bytes([code]))
                while asked:
                    asked = stream.recv(4096)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


@pytest.mark.parametrize("what", [*CONNACK, *SUBACK])
def test_what_nothing_replaces_ends_the_consumer_in_one_line(what):
    """By a peer that answers as the standard's octets say: no other try is made, and the line says what is accepted."""
    said: list[str] = []
    with answering(CONNACK.get(what, b""), SUBACK.get(what, 1)) as port:
        consumer = Consumer(address(f"mqtt://127.0.0.1:{port}"), "one", FIGURES, said.append)
        with pytest.raises(BrokerError, match=f"^--broker: .*{what}.*; accepted: ") as refused:
            consumer.run(lambda: False)
    assert "\n" not in str(refused.value)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(("line", "what"), [("max_qos 0", "QoS 1"), ("retain_available false", "retains no message")])
def test_a_real_broker_that_says_so_ends_the_collector(sqlite, tmp_path, line, what):
    """Mosquitto with these lines for the collectors' listener.

    Exit code 1, and a line of each of the two processes at most.
    """
    log = tmp_path / "log"
    with Mosquitto(tmp_path) as broker:
        broker.stop()
        configuration = tmp_path / "mosquitto.conf"
        configuration.write_text(configuration.read_text() + f"\n{line}\n")
        broker.start()
        with collector(sqlite, broker.collectors, log, code=1) as running:
            running.wait(120)
    assert what in log.read_text()
    assert log.read_text().count("--broker: ") <= 2


@pytest.mark.needs("mosquitto")
def test_a_gateway_beyond_the_limit_ends_the_collector_and_nothing_of_it_is_lost(sqlite, tmp_path):
    """Its messages wait at the broker, unacknowledged, for a collector that was told of more gateways."""
    log, day = tmp_path / "log", int(time.time()) // 86_400 - 2
    with Mosquitto(tmp_path) as broker:
        with collector(sqlite, broker.port, log, "--gateways", "2", code=1) as running:
            until(lambda: both_connected(log), "connected")
            publish(broker.port, *(says.summary(says.name(number), day=day) for number in range(2)))
            until(lambda: Message.objects.count() == 2, "two")
            publish(broker.port, *(says.summary(says.name(number), day=day) for number in range(2, 12)))
            running.wait(120)
        assert (
            "--gateways: 2 are known and another one speaks: nothing of it was taken or acknowledged" in log.read_text()
        )
        with collector(sqlite, broker.port, log, "--gateways", "12"):
            until(lambda: Message.objects.count() == 12, "all of them")


@pytest.mark.needs("mosquitto")
def test_retained_messages_are_asked_for_once_an_hour_at_most(sqlite, tmp_path):
    """A fleet of 100,000 has 200,000 of them.

    A connection that is lost again and again doesn't bring them each time.
    """
    said: list[str] = []
    with Mosquitto(tmp_path) as broker:
        publish(broker.port, says.state(says.name(1)), says.health(says.name(1), int(time.time())))
        consumer = Consumer(address(f"mqtt://127.0.0.1:{broker.port}"), "one", STATUS, said.append)
        for _ in range(3):
            end = len(said) + 1
            consumer.run(lambda end=end: len(said) >= end and consumer.intake.fates.total() >= 2)  # type: ignore[misc]
            consumer.run(waited(1.5))
        assert consumer.intake.fates == {"state": 1, "health": 1}
        publish(broker.port, says.state(says.name(1), boot=2))  # what comes meanwhile does
        consumer.run(lambda: consumer.intake.fates["state"] == 2)


def waited(seconds: float) -> Callable[[], bool]:
    """Return what says whether so much time has passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
