# SPDX-License-Identifier: Apache-2.0
"""NATS acknowledges what its own stream has: a collector reads there what gateways took from their spools."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
from nats.js.errors import ServiceUnavailableError

from host_sim.driver.ports import free_port
from tests.fleet import says
from tests.fleet.test_collector import collector, publish, until
from tests.fleet.test_commands import fleet
from tests.support.brokers import nats as server
from tools.fleet.broker import address
from tools.fleet.delivery import FIGURES
from tools.fleet.jetstream import JetStream
from tools.fleet.models import Message

if TYPE_CHECKING:
    from tools.fleet.delivery import Arrival


def taken(port: int, arrivals: list[Arrival]) -> int:
    """Publish one after the other; return how many were acknowledged before the broker ended the connection."""
    for count, one in enumerate(arrivals):
        try:
            publish(port, one)
        except ConnectionError:
            return count
    return len(arrivals)


@pytest.mark.needs("nats-server")
def test_what_finds_no_room_isnt_acknowledged_and_nothing_that_was_is_lost(sqlite, tmp_path):
    """A store of 48 KiB, and nobody reads: the broker refuses, and takes on once a collector has made room."""
    day, own = int(time.time()) // 86_400 - 2, free_port()
    sent = [says.summary(says.name(1), day=day - back, slot=slot) for back in range(10) for slot in range(24)]
    url = f"nats://127.0.0.1:{own}"
    with server(tmp_path, own, "max_file_store: 48KB") as port:
        fleet(sqlite, "streams", "--broker", url)
        count = taken(port, sent)
        assert 0 < count < len(sent)
        with collector(sqlite, 0, tmp_path / "log", "--broker", url):
            until(lambda: Message.objects.count() >= count, "what was acknowledged")
            left = sent[count:]

            def gone() -> bool:
                """Publish again what was refused, as a forwarder does: room comes a moment after the commit."""
                del left[: taken(port, left)]
                return not left

            until(gone, "the broker takes on")
            until(lambda: Message.objects.count() == len(sent), "the rest")


@pytest.mark.parametrize(
    "failure", [nats.errors.TimeoutError, asyncio.TimeoutError, lambda: ServiceUnavailableError(code=503)]
)
def test_a_stream_that_has_nothing_or_chooses_a_leader_costs_no_connection(failure):
    """What was handed over and not yet stored would come again only after seconds."""

    class Nothing:
        async def fetch(self, *_: Any, **__: Any) -> None:
            raise failure()

    class Connected:
        is_connected = True

        async def close(self) -> None:
            """As the library's."""

    transport: Any = JetStream(address("nats://127.0.0.1:1"), FIGURES, lambda _: None)
    transport._runner, transport._client, transport._subscription = asyncio.Runner(), Connected(), Nothing()
    begun = time.monotonic()
    assert [transport.receive(0.1), transport.receive(0.1)] == [[], []]
    assert failure is nats.errors.TimeoutError or failure is asyncio.TimeoutError or time.monotonic() - begun >= 0.2
    transport.drop()
