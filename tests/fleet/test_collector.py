# SPDX-License-Identifier: Apache-2.0
"""`oubli-fleet serve` between a real Mosquitto and a real store.

What is killed, restarted or shared loses and doubles nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection, connections
from paho.mqtt import client as paho

from agent.outbox import topics
from tests.fleet import says
from tests.fleet.conftest import emptied
from tests.support.interpreters import PROJECT
from tools.fleet import load
from tools.fleet.broker import address
from tools.fleet.consumer import Consumer
from tools.fleet.delivery import FIGURES, Arrival
from tools.fleet.models import Gateway, Message, Tally
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.needs("mosquitto")
PATIENCE = 240  # seconds, at most, for what takes one; or ten, on a machine that does much else


def until(done: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextmanager
def collector(
    store: str, port: int, log: Path, *words: str, name: str = "one", code: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a collector for as long as the block lasts: a process for figures and one for status.

    It ends with this exit code.
    """
    command = [
        sys.executable,
        "-m",
        "tools.fleet",
        "serve",
        "--broker",
        f"mqtt://127.0.0.1:{port}",
        "--no-page",
        *words,
    ]
    command += ["--name", name]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=os.environ | {"OUBLI_FLEET_DB": store},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(240) == code, log.read_text()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the process ids of a collector's consumers."""
    found: list[int] = []
    with suppress(FileNotFoundError):  # one ends while we look
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            pids = [int(pid) for pid in (thread / "children").read_text().split()]
            found += [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return sorted(found)


def connected(log: Path, times: int) -> bool:
    """Return True if consumers have connected so many times."""
    return log.exists() and log.read_text().count("connected without TLS") >= times


def publish(port: int, *arrivals: Arrival) -> None:
    """Publish and wait for the broker's word; what is no summary is retained, as the agent does.

    ConnectionError: it went instead.
    """
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False)
    client.connect("127.0.0.1", port)
    send(client, arrivals)


def send(client: paho.Client, arrivals: tuple[Arrival, ...]) -> None:
    """Publish through a client, which ends then; as `publish`."""
    end = time.monotonic() + PATIENCE
    try:
        for one in arrivals:
            message = client.publish(one.topic, one.payload, qos=1, retain="/summary/" not in one.topic)
            while not message.is_published():
                if client.loop(0.1) or time.monotonic() > end:
                    raise ConnectionError
        client.disconnect()
    finally:
        held = client.socket()
        if held is not None:  # paho leaves it to the collector, which warns in whatever test runs then
            held.close()


def test_what_was_said_before_and_while_the_collector_was_away_is_taken(sqlite, tmp_path):
    """Retained state and health at the first connection; summaries from the session that the broker keeps.

    Each once.
    """
    log = tmp_path / "log"
    now = int(time.time())
    today = now // 86_400 - 2
    one = says.name(1)
    with Mosquitto(tmp_path) as broker:
        publish(broker.port, says.state(one), says.health(one, now - 60))
        with collector(sqlite, broker.port, log):
            until(lambda: Gateway.objects.filter(version="0.1.0", health__clock="trusted").exists(), "retained")
            until(lambda: connected(log, 2), "connected")
            publish(broker.port, says.summary(one, day=today))
            until(Message.objects.exists, "live")
        publish(broker.port, says.summary(one, day=today, slot=1), says.summary(one, day=today))
        with collector(sqlite, broker.port, log):
            until(lambda: Tally.objects.filter(fate="repeat").exists(), "kept by the broker")
            assert Message.objects.count() == 2


def test_a_large_packet_is_refused_by_the_shipped_broker_and_by_us(sqlite, tmp_path):
    """10 MB: the broker that we ship a configuration for ends the connection.

    One that lets it pass finds it counted as refused.
    """
    log = tmp_path / "log"
    with Mosquitto(tmp_path) as broker:
        with pytest.raises((ConnectionError, RuntimeError)):  # by the loop, or by paho's look at the message
            publish(broker.port, Arrival(topics.summary(says.name(1), "arrivals"), b"1" * 10_000_000))
        broker.stop()
        configuration = tmp_path / "mosquitto.conf"
        configuration.write_text(configuration.read_text().replace("max_packet_size 4096", ""))
        broker.start()
        with collector(sqlite, broker.port, log):
            until(lambda: connected(log, 2), "connected")
            publish(broker.port, Arrival(topics.summary(says.name(1), "arrivals"), b"1" * 10_000_000))
            until(lambda: Tally.objects.filter(fate="size", count__gte=1).exists(), "counted")


def test_a_second_collector_that_goes_for_good_takes_nothing_with_it(sqlite, tmp_path):
    """Each has a session of its own and gets everything.

    What the one is given twice is harmless, what the other leaves is nobody's loss.

    With shared subscriptions Mosquitto queues half of the messages for the member that is away.
    """
    day = int(time.time()) // 86_400 - 2
    sent = [says.summary(says.name(number), day=day, slot=slot) for number in range(10) for slot in range(10)]
    said: list[str] = []
    with Mosquitto(tmp_path) as broker:
        at = address(f"mqtt://127.0.0.1:{broker.port}")
        stays, goes = (Consumer(at, name, FIGURES, said.append) for name in ("stays", "goes"))
        for one in (stays, goes):
            one.run(subscribed(said, 1 + (one is goes)))
        publish(broker.port, *sent)
        stays.run(lambda: Message.objects.count() == len(sent))
        assert stays.intake.fates == {"kept": len(sent)}
        goes.run(lambda: goes.intake.fates.total() == len(sent))  # had it come back
    assert goes.intake.fates == {"repeat": len(sent)}


def consumed(consumer: Consumer, stop: threading.Event) -> None:
    """Run a consumer in a thread, with a connection of its own to the store."""
    try:
        consumer.run(stop.is_set)
    finally:
        connections.close_all()


def subscribed(said: list[str], times: int) -> Callable[[], bool]:
    """Return what says whether consumers have connected so many times: they have subscribed once they look again."""
    end = time.monotonic() + PATIENCE
    return lambda: len(said) >= times or time.monotonic() > end


FORWARDERS, EACH = 60, 24


def gone(running: subprocess.Popen[bytes], pid: int) -> bool:
    """Return True if a consumer has ended."""
    return pid not in children(running)


def under_way(running: subprocess.Popen[bytes], wanted: int) -> bool:
    """Return True if both consumers run and more than so many messages are there."""
    return len(children(running)) == 2 and Message.objects.count() > wanted


@pytest.mark.needs("pg_ctlcluster")
def test_sixty_forwarders_killed_consumers_and_a_restarted_broker_lose_and_double_nothing(database, tmp_path, memory):
    """The subset of `oubli-bench deliver`: real forwarders, Mosquitto, PostgreSQL, both consumers killed."""
    emptied(database)
    log = tmp_path / "log"
    with Mosquitto(tmp_path) as broker, collector(database, broker.port, log) as running:
        until(lambda: connected(log, 2), "two consumers")
        load.prepare(memory / "fleet", range(FORWARDERS), EACH, int(time.time()), load.plain(broker.port))
        words = [sys.executable, "-m", "tools.fleet.load", str(memory / "fleet"), "0", str(FORWARDERS), "400"]
        gateways = subprocess.Popen(words, cwd=PROJECT, stdin=subprocess.DEVNULL)
        try:
            for part in (1, 2):
                wanted = part * FORWARDERS * EACH // 5
                until(partial(under_way, running, wanted), "under way")
                victim = children(running)[part - 1]
                os.kill(victim, 9)
                if part == 1:
                    broker.stop()
                    broker.start()
                until(partial(gone, running, victim), "ended")
            assert gateways.wait(PATIENCE) == 0
        finally:
            gateways.kill()
            gateways.wait()
        until(lambda: Message.objects.count() == FORWARDERS * EACH, "all there")
        kept = Tally.objects.filter(fate="kept").values_list("count", flat=True)
        assert sum(kept) == FORWARDERS * EACH
        # A backlog of days: told by the collector, unknown to the forwarder
        assert not Message.objects.filter(late=False).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(v0), count(*) FROM fleet_message")
        numbers = [(number + place) % 90 - 5 for number in range(FORWARDERS) for place in range(EACH)]
        assert cursor.fetchone() == (sum(numbers), len(numbers))
    assert set(Tally.objects.values_list("fate", flat=True)) <= {"kept", "repeat", "state"}
