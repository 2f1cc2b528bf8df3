# SPDX-License-Identifier: Apache-2.0
"""NATS, and RabbitMQ, on three nodes behind HAProxy, by the shipped files.

Certificates, permissions by topic, and a node that dies.
"""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

import pytest

from agent.forwarder.errors import MqttError
from agent.forwarder.mqtt_paho import Client
from agent.outbox import jitter, topics
from tests.fleet import says
from tests.fleet.test_collector import collector, until
from tests.fleet.test_queues import publish
from tools.bench.nats_nodes import Nats, nodes
from tools.bench.nodes import running
from tools.bench.rabbits import Rabbit
from tools.fleet.delivery import FIGURES, Arrival
from tools.fleet.jetstream import STREAMS
from tools.fleet.models import Gateway, Message, Tally

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho's, where a handshake is cut
ONE, OTHER = says.name(1), says.name(2)
CROWD = [says.name(number) for number in range(3, 9)]


def client(folder: Path, port: int, who: str, keepalive: int = jitter.KEEPALIVE) -> Client:
    """Return a gateway's connection."""
    names = {"ca": "ca.pem", "certificate": f"{who}.pem", "key": f"{who}.key"}
    tls = {name: str(folder / "ca" / file) for name, file in names.items()}
    one = Client("localhost", port, who, topics.state(who), b'{"state":"lost"}', tls=tls, keepalive=keepalive)
    one.connect()
    return one


def taken(folder: Path, port: int, arrivals: list[Arrival], who: str = OTHER) -> bool:
    """Publish as a gateway; return False where the connection ends, as a forwarder's may while a node dies.

    It sends all of it again.
    """
    try:
        one = client(folder, port, who)
        for each in arrivals:
            one.publish(each.topic, each.payload)
        one.close()
    except MqttError:
        return False
    return True


def crowd(folder: Path, port: int) -> list[Client]:
    """Return six connections, which the proxy spreads over the nodes; for an hour nobody says or awaits a word."""
    return [client(folder, port, who, keepalive=3600) for who in CROWD]


def cut(clients: list[Client]) -> bool:
    """Return True if the proxy has ended a connection: a broker that hangs can't, and no client waits for a word."""
    for one in clients:
        try:
            one.idle(1)
        except MqttError:
            return True
    return False


class Asked(Nats):
    """Before its streams are made, it was asked for more copies than it has nodes."""

    refused: CompletedProcess[str]

    def _open(self) -> None:
        self.refused = self.streams(5)
        super()._open()


@pytest.mark.needs("nats-server", "haproxy")
def test_streams_of_more_copies_than_nodes_are_refused_in_one_line(tmp_path: Path) -> None:
    """A cluster that counts a node too few says so too, until that node is started again; over TLS."""
    cluster = Asked(tmp_path, [ONE])
    with running(cluster):
        refused, made = cluster.refused, cluster.streams(3)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "oubli-fleet: --broker: it makes no stream: no suitable peers for placement; accepted: 5 nodes that it counts "
        "as its own (restart the one that /jsz doesn't name)\n"
    )
    assert (made.returncode, made.stdout, made.stderr) == (0, "stream  $MQTT_msgs\nstream  OUBLI-HEALTH\n", "")


@pytest.mark.needs("nats-server", "haproxy")
def test_three_nodes_take_from_a_gateway_what_is_its_own_and_outlive_one_of_them(sqlite: str, tmp_path: Path) -> None:
    """Over TLS, through the proxy.

    What a gateway says in another's name is dropped; a killed node loses and doubles nothing.
    """
    day = int(time.time()) // 86_400 - 2
    sent = {who: [says.summary(who, day=day, slot=slot) for slot in range(24)] for who in (ONE, OTHER)}
    with nodes(tmp_path, [ONE, OTHER]) as cluster:
        publish(tmp_path, cluster.gateways, ONE, says.state(ONE), *sent[ONE], says.health(ONE, int(time.time())))
        for topic in (topics.summary(OTHER, "arrivals"), topics.state(OTHER), "elsewhere/x"):
            stolen = Arrival(topic, sent[OTHER][0].payload)
            try:
                publish(tmp_path, cluster.gateways, ONE, stolen)
            except ConnectionError:
                continue
        with collector(sqlite, 0, tmp_path / "collector", *cluster.words()):
            until(lambda: Message.objects.filter(gateway__ident=ONE).count() == 24, "what waited")
            until(Gateway.objects.filter(ident=ONE, config__gt="", health_at__gt=0).exists, "state and health")
            assert not Gateway.objects.filter(ident=OTHER).exists()
            cluster.nodes[0].kill()
            until(lambda: taken(tmp_path, cluster.gateways, sent[OTHER]), "a node that is left takes it")
            until(lambda: Message.objects.count() == 48, "by the two that are left")
        assert sum(Tally.objects.filter(fate="kept").values_list("count", flat=True)) == 48
        assert not Tally.objects.filter(fate__in=["topic", "gateway", "conflict"]).exists()


@pytest.mark.needs("nats-server", "haproxy")
def test_what_is_acknowledged_while_nodes_die_waits_for_a_collector(sqlite: str, tmp_path: Path) -> None:
    """Of the stream that is read the leader is killed, three times, and then all nodes at once; nobody reads.

    Another node has the connection, and acknowledges meanwhile what it can. A node that hangs still accepts
    connections: the proxy ends those on it and sends it nobody.
    """
    day = int(time.time()) // 86_400 - 2
    sent = [[says.summary(ONE, day=day - back, slot=slot) for slot in range(24)] for back in range(4)]
    with nodes(tmp_path, [ONE, *CROWD]) as cluster:

        def through(*arrivals: Arrival) -> None:
            for each in arrivals:
                until(lambda each=each: taken(tmp_path, cluster.gateways, [each], ONE), "a node takes it")  # type: ignore[misc]

        through(sent[0][0])
        for arrivals in sent[1:]:
            leader = cluster.leader(STREAMS[FIGURES])
            other = next(node for node in cluster.nodes if node is not leader)
            one, left = client(tmp_path, other.gateways, ONE), list(arrivals)
            leader.kill()
            with contextlib.suppress(MqttError):
                while left:
                    one.publish(left[0].topic, left[0].payload)
                    left.pop(0)
                    time.sleep(0.1)
            one.close()
            through(*left)
            leader.start()
            until(lambda: all(node.ready() for node in cluster.nodes), "it is back")
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        through(sent[0][1])
        others = crowd(tmp_path, cluster.gateways)
        assert not cut(others)
        cluster.nodes[0].signal(signal.SIGSTOP)
        through(*sent[0][2:])
        until(lambda: cut(others), "the proxy ends the connections with the node that hangs")
        cluster.nodes[0].signal(signal.SIGCONT)
        with collector(sqlite, 0, tmp_path / "collector", *cluster.words()):
            until(lambda: Message.objects.count() == 96, "all that was acknowledged")


@pytest.mark.needs("rabbitmq-server", "haproxy")
def test_each_queue_is_on_three_nodes_and_outlives_one_of_them(sqlite: str, tmp_path: Path) -> None:
    """RabbitMQ by the shipped files: the first node makes the queues alone, and a queue of one node dies with it.

    Of a node that hangs the proxy ends the connections.
    """
    day = int(time.time()) // 86_400 - 2
    sent = [says.summary(OTHER, day=day, slot=slot) for slot in range(24)]
    with running(Rabbit(tmp_path, [OTHER, *CROWD])) as cluster:  # waits for three of each queue
        until(lambda: taken(tmp_path, cluster.gateways, sent[:12]), "they take it")
        others = crowd(tmp_path, cluster.gateways)
        assert not cut(others)
        cluster.nodes[1].signal(signal.SIGSTOP)
        until(lambda: cut(others), "the proxy ends the connections with the node that hangs")
        cluster.nodes[1].kill()
        until(lambda: taken(tmp_path, cluster.gateways, sent[12:]), "a node that is left takes it")
        with collector(sqlite, 0, tmp_path / "collector", *cluster.words()):
            until(lambda: Message.objects.count() == 24, "by the two that are left")
