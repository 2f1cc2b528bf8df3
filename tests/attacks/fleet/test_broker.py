# SPDX-License-Identifier: Apache-2.0
"""A gateway's certificate against the shipped broker.

Another's session taken over, its queue emptied, its connection cut.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from paho.mqtt import client as paho

from agent.outbox import topics
from tests.fleet import says
from tests.fleet.test_access import NOW, ONE, OTHER, broker
from tests.fleet.test_collector import PATIENCE, subscribed, until
from tests.support.interpreters import PROJECT
from tools import listening
from tools.fleet import enrol
from tools.fleet.broker import address
from tools.fleet.consumer import Consumer
from tools.fleet.delivery import FIGURES
from tools.fleet.models import Message

if TYPE_CHECKING:
    from pathlib import Path

    from tools.fleet.mosquitto import Mosquitto

__all__ = ["broker"]
pytestmark = pytest.mark.needs("mosquitto")


class Thief(paho.Client):
    """A client with the certificate of gateway ONE and whatever client id it likes; a clean start."""

    def __init__(self, folder: Path, port: int, client_id: str, who: str = ONE) -> None:
        super().__init__(paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False)
        self.tls_set(str(folder / "ca.pem"), str(folder / f"{who}.pem"), str(folder / f"{who}.key"))
        self.connect("localhost", port, clean_start=True)

    def settled(self) -> bool:
        """Return True if the broker let it in, once that is known."""
        end = time.monotonic() + PATIENCE
        while not self.is_connected():
            if self.loop(0.2):
                return False
            assert time.monotonic() < end
        return True


def tried(folder: Path, port: int, client_id: str, who: str = ONE) -> bool:
    """Return True if a thief gets in."""
    try:
        thief = Thief(folder, port, client_id, who)
    except OSError:
        return False
    let_in = thief.settled()
    thief.disconnect()
    thief._sock_close()
    return let_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder of certificates and keys."""
    return tmp_path / "ca"


def publish(folder: Path, port: int, *arrivals: tuple[str, bytes]) -> None:
    """Publish as gateway OTHER, each acknowledged."""
    gateway = Thief(folder, port, OTHER, OTHER)
    try:
        for topic, payload in arrivals:
            message = gateway.publish(topic, payload, qos=1)
            end = time.monotonic() + PATIENCE
            while not message.is_published():
                assert gateway.loop(0.2) == 0
                assert time.monotonic() < end
        gateway.disconnect()
    finally:
        gateway._sock_close()


def test_a_gateway_doesnt_empty_the_collectors_queue(sqlite, broker: Mosquitto, folder):
    """Gain: what the broker has acknowledged to all gateways, and they have deleted, never arrives."""
    names = {"ca": folder / "ca.pem", "certificate": folder / "oubli-fleet.pem", "key": folder / "oubli-fleet.key"}
    at = address(f"mqtts://localhost:{broker.collectors}", **names)
    said: list[str] = []
    collector = Consumer(at, "one-1", FIGURES, said.append)
    collector.run(subscribed(said, 1))
    assert said == ["connected"]
    day = int(time.time()) // 86_400 - 2
    publish(
        folder,
        broker.port,
        *((one.topic, one.payload) for one in (says.summary(OTHER, day=day, slot=slot) for slot in range(20))),
    )
    for name in ("oubli-fleet-one-1", "oubli-fleet"):
        tried(folder, broker.port, name)
        assert not tried(folder, broker.collectors, name)
    end = time.monotonic() + PATIENCE
    collector.run(lambda: Message.objects.count() == 20 or time.monotonic() > end)
    assert Message.objects.count() == 20


def test_a_gateway_doesnt_cut_another_off(broker: Mosquitto, folder):
    """Gain: another gateway is thrown out at each try, and says lost."""
    victim = Thief(folder, broker.port, OTHER, OTHER)
    codes: list[int] = []
    victim.on_publish = lambda _client, _data, _number, code, _properties: codes.append(code.value)
    victim.loop_start()
    try:
        until(victim.is_connected, "connected")
        for name in (OTHER, ""):
            assert tried(folder, broker.port, name)
        victim.publish(topics.summary(OTHER, "arrivals"), b"x", qos=1)
        until(lambda: codes, "acknowledged")
        assert victim.is_connected()
        assert codes[0] < 128  # taken; 16 where nobody reads
    finally:
        listening.end(victim)


def test_a_name_doesnt_make_a_collector(broker: Mosquitto, folder):
    """Not even a certificate that says oubli-fleet, if the gateways' authority signed it.

    And `enrol` signs none for a gateway.
    """
    authority = enrol.Authority(folder, NOW)
    authority._leaf("false", enrol.COLLECTOR, ExtendedKeyUsageOID.CLIENT_AUTH, None)
    assert not tried(folder, broker.collectors, "oubli-fleet-one-1", "false")
    assert tried(folder, broker.collectors, "oubli-fleet-one-1", enrol.COLLECTOR)
    with pytest.raises(enrol.EnrolError):
        authority.gateway(enrol.COLLECTOR)


MOST = 1_200_000  # octets in three seconds: a burst of one megabyte, then 16 kB a second
FLOOD = r"""
import socket, subprocess, sys, tempfile, time
from pathlib import Path
from tools.fleet import site
site.configure("sqlite:///:memory:")
from tests.fleet.test_collector import publish
from tools.fleet.delivery import Arrival
from tools.fleet.mosquitto import SHIPPED, Mosquitto

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
    rules = (SHIPPED / "limit.nft").read_text().replace("dport 8883", f"dport {broker.port}")
    if sys.argv[1] == "limited":
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)  # what is sent has arrived, but for that
    one.settimeout(5)
    one.bind(("127.0.0.2", 0))
    one.connect(("127.0.0.1", broker.port))
    one.sendall(bytes.fromhex("101000044d5154540402003c0004") + b"oubl")
    assert one.recv(4)[3] == 0
    packet = b"\x30\x09\x00\x06oubli/x"
    sent, end = 0, time.monotonic() + (3 if sys.argv[1] == "limited" else 180)
    one.settimeout(0.2)
    while time.monotonic() < end and sent < int(sys.argv[2]):
        try:
            sent += one.send((packet * 5000)[sent % len(packet) :])
        except TimeoutError:
            pass
    begun = time.monotonic()
    publish(broker.port, Arrival("oubli/x", b"y"))
    print(sent, time.monotonic() - begun < 5)
"""


@pytest.mark.needs("root", "nft", "unshare")
@pytest.mark.parametrize("how", ["limited", "without"])
def test_one_address_doesnt_fill_the_brokers_queue_in_minutes(how):
    """Gain: 400,000 messages in 95 s while the collector is away, and nobody else's are queued.

    By limit.nft, in a network of its own.
    """
    words = ["unshare", "--net", sys.executable, "-c", FLOOD, how, str(MOST)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    sent, others = done.stdout.split()
    assert others == "True"  # another address is answered meanwhile
    assert (int(sent) < MOST) == (how == "limited"), sent
