# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ as it is shipped a configuration for.

Certificates, permissions by topic, quorum queues that several consumers share.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pika
import pytest
from paho.mqtt import client as paho
from pika.exceptions import ChannelClosedByBroker

from agent.outbox import topics
from host_sim.driver.ports import free_port
from tests.fleet import says
from tests.fleet.test_access import NOW
from tests.fleet.test_collector import children, collector, send, until
from tests.fleet.test_collector import publish as plain
from tests.fleet.test_commands import fleet
from tests.support.brokers import nats, rabbitmq
from tests.support.interpreters import PROJECT
from tools.fleet import enrol
from tools.fleet.amqp import Amqp
from tools.fleet.broker import Address, BrokerError, address
from tools.fleet.consumer import Consumer
from tools.fleet.delivery import FIGURES, Arrival
from tools.fleet.models import Gateway, Message, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHIPPED = PROJECT / "tools/fleet/rabbitmq"
ONE, OTHER = says.name(1), says.name(2)


@contextmanager
def shipped(folder: Path) -> Iterator[tuple[int, int]]:
    """Give the ports of a RabbitMQ with the shipped files, for gateways and collectors, two gateways enrolled.

    On other ports and paths.
    """
    authority = enrol.Authority(folder / "ca", NOW)
    authority.broker("localhost")
    authority.collector()
    definitions = json.loads((SHIPPED / "definitions.json").read_text())
    for ident in (ONE, OTHER):
        authority.gateway(ident)
        row = json.loads((SHIPPED / "gateway.json").read_text().replace("GATEWAY", ident))
        for kind, entries in row.items():
            definitions.setdefault(kind, []).extend(entries)
    (folder / "ca/definitions.json").write_text(json.dumps(definitions))
    (folder / "ca/authorities.pem").write_text(
        (folder / "ca/ca.pem").read_text() + (folder / "ca/collectors.pem").read_text()
    )
    gateways, collectors = free_port(), free_port()
    text = (SHIPPED / "rabbitmq.conf").read_text().replace("/etc/rabbitmq/oubli/", f"{folder}/ca/")
    text = "".join(
        line for line in text.splitlines(True) if not line.startswith(("cluster_formation", "prometheus"))
    )  # alone
    text = text.replace("mqtt.listeners.ssl.default = 8883", f"mqtt.listeners.ssl.1 = 127.0.0.1:{gateways}")
    text = text.replace("listeners.ssl.default = 5671", f"listeners.ssl.1 = 127.0.0.1:{collectors}")
    with rabbitmq(folder, gateways, text):
        yield gateways, collectors


def publish(folder: Path, port: int, who: str, *arrivals: Arrival, name: str = "") -> None:
    """Publish with a gateway's certificate, each acknowledged, as the client `name`.

    ConnectionError where the broker ends it.
    """
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, name or who, protocol=paho.MQTTv311, reconnect_on_failure=False
    )
    client.tls_set(str(folder / "ca/ca.pem"), str(folder / f"ca/{who}.pem"), str(folder / f"ca/{who}.key"))
    client.will_set(topics.state(who), b'{"state":"lost"}', 1, retain=True)
    client.connect_timeout = 60
    client.connect("localhost", port)
    send(client, arrivals)


def by_amqp(broker: Address, topic: str, payload: bytes) -> None:
    """Publish at the collectors' listener."""
    transport = Amqp(broker, FIGURES, lambda _: None)
    with pika.BlockingConnection(transport._parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", topic.replace("/", "."), payload)


@pytest.mark.needs("rabbitmq-server")
def test_a_cluster_broker_keeps_what_comes_before_any_consumer_and_shares_it_among_several(sqlite, tmp_path):
    """Over TLS with certificates.

    Consumers are killed meanwhile; each message is stored once. A gateway writes below its own id alone.
    """
    log, day = tmp_path / "log", int(time.time()) // 86_400 - 2
    sent = {
        who: [says.summary(who, day=day - back, slot=slot) for back in range(5) for slot in range(24)]
        for who in (ONE, OTHER)
    }
    with shipped(tmp_path) as (gateways, collectors):
        publish(tmp_path, gateways, ONE, says.state(ONE), *sent[ONE], says.health(ONE, int(time.time())))
        for topic in (topics.summary(OTHER, "arrivals"), topics.state(OTHER), "elsewhere/x"):
            with pytest.raises(ConnectionError):
                publish(tmp_path, gateways, ONE, Arrival(topic, sent[OTHER][0].payload))
        with pytest.raises(ConnectionError):  # as another gateway, which would be cut off
            publish(tmp_path, gateways, ONE, says.summary(ONE), name=OTHER)
        large = topics.summary(ONE, "arrivals"), b"x" * 5000
        with pytest.raises(ConnectionError):
            publish(tmp_path, gateways, ONE, Arrival(*large))
        names = {
            "ca": tmp_path / "ca/ca.pem",
            "certificate": tmp_path / f"ca/{ONE}.pem",
            "key": tmp_path / f"ca/{ONE}.key",
        }
        with pytest.raises(ChannelClosedByBroker, match="larger than configured max size 4096"):
            by_amqp(address(f"amqps://localhost:{collectors}", **names), *large)
        words = ["--ca", str(tmp_path / "ca/ca.pem"), "--certificate", str(tmp_path / "ca/oubli-fleet.pem")]
        words += [
            "--key",
            str(tmp_path / "ca/oubli-fleet.key"),
            "--consumers",
            "2",
            "--broker",
            f"amqps://localhost:{collectors}",
        ]
        with collector(sqlite, 0, log, *words) as running:
            until(lambda: Message.objects.filter(gateway__ident=ONE).count() == 120, "what waited")
            until(Gateway.objects.filter(ident=ONE, config__gt="", health_at__gt=0).exists, "state and health")
            os.kill(children(running)[0], 9)
            publish(tmp_path, gateways, OTHER, *sent[OTHER])
            until(lambda: Message.objects.count() == 240, "shared")
            time.sleep(2)  # for what would come twice
        assert sum(Tally.objects.filter(fate="kept").values_list("count", flat=True)) == 240
        assert not Message.objects.filter(late=False).exists()
        thief = Consumer(address(f"amqps://localhost:{collectors}", **names), "thief", FIGURES, lambda _: None)
        with pytest.raises(BrokerError, match="it gives no queue oubli-figures; accepted: "):
            thief.run(lambda: False)


@pytest.mark.needs("nats-server")
def test_streams_keep_what_comes_before_any_consumer_and_share_it_among_several(sqlite, tmp_path):
    """JetStream, its streams made by the command. Consumers are killed meanwhile; each message is stored once."""
    log, day, own = tmp_path / "log", int(time.time()) // 86_400 - 2, free_port()
    sent = [
        says.summary(who, day=day - back, slot=slot) for who in (ONE, OTHER) for back in range(5) for slot in range(24)
    ]
    url = f"nats://127.0.0.1:{own}"
    with nats(tmp_path, own) as port:
        with pytest.raises(BrokerError, match="it has no \\$MQTT_msgs with a consumer; accepted: "):
            Consumer(address(url), "early", FIGURES, lambda _: None).run(lambda: False)
        for _ in range(2):  # the second time it leaves them
            assert fleet(sqlite, "streams", "--broker", url).stdout == "stream  $MQTT_msgs\nstream  OUBLI-HEALTH\n"
        plain(port, says.state(ONE), *sent[:120], says.health(ONE, int(time.time())))
        with collector(sqlite, 0, log, "--consumers", "2", "--broker", url) as running:
            until(lambda: Message.objects.count() == 120, "what waited")
            until(Gateway.objects.filter(ident=ONE, config__gt="", health_at__gt=0).exists, "state and health")
            os.kill(children(running)[0], 9)
            plain(port, *sent[120:])
            until(lambda: Message.objects.count() == 240, "shared")
        assert sum(Tally.objects.filter(fate="kept").values_list("count", flat=True)) == 240
        assert (
            "mqtt:// has no streams"
            in fleet(sqlite, "streams", "--broker", f"mqtt://127.0.0.1:{port}", status=2).stderr
        )
