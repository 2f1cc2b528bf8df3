# SPDX-License-Identifier: Apache-2.0
"""NATS on three nodes behind HAProxy, by the shipped files.

Certificates, permissions by topic, and a node that dies.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from agent.outbox import topics
from tests.fleet import says
from tests.fleet.test_collector import collector, until
from tests.fleet.test_queues import publish
from tools.bench.clusters import nodes
from tools.fleet.delivery import Arrival
from tools.fleet.models import Gateway, Message, Tally

if TYPE_CHECKING:
    from pathlib import Path

ONE, OTHER = says.name(1), says.name(2)


def taken(folder: Path, port: int, arrivals: list[Arrival]) -> bool:
    """Publish as OTHER; return False where the connection ends, as a forwarder's may while a node dies.

    It sends all of it again.
    """
    try:
        publish(folder, port, OTHER, *arrivals)
    except OSError:
        return False
    return True


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
