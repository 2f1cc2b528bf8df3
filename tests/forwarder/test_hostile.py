# SPDX-License-Identifier: Apache-2.0
"""A broker that means ill changes nothing on the device.

Not a file, not a byte of a message, no more memory (L34-VI-2).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from agent.forwarder.broker_connection import BACKOFF_FIRST, BACKOFF_LAST
from host_sim.driver import live_files
from tests.forwarder.test_delivery import delivery, once_each
from tests.forwarder.test_forwarder import GATEWAY, until
from tests.mqtt_trial.peers import ACCEPT, Connection, Peer
from tests.support.proxy import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

pytestmark = pytest.mark.needs("mosquitto")


def published(quality: int, topic: str = f"oubli/1/{GATEWAY}/state", payload: bytes = b'{"state":"lost"}') -> bytes:
    """Return a PUBLISH to the agent, which subscribed to nothing; QoS 3 is forbidden (MQTT-3.3.1-4)."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\0\7" * (quality > 0) + payload
    return bytes([0x30 | quality << 1, len(body)]) + body


GREETED = {  # what comes after CONNACK
    "garbage": bytes(range(256)) * 16,
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "QoS 0": published(0),
    "QoS 1": published(1),
    "QoS 2": published(2),
    "QoS 3": published(3),
    "a command": published(1, f"oubli/1/{GATEWAY}/set", b'{"erase":"all"}'),
    "SUBACK": b"\x90\x03\x00\x01\x00",
    "CONNECT": b"\x10\x00",
    "DISCONNECT": b"\xe0\x00",
    "endless length": b"\x40\xff\xff\xff\xff\xff\xff",
    "PUBACK of another": b"\x40\x02\x77\x77",
    "PUBACK too long": b"\x40\x03\x00\x01\x00",
    "256 MiB announced": b"\x30\xff\xff\xff\x7f" + bytes(1 << 20),
    "PINGRESP without end": b"\xd0\x00" * (1 << 16),
}
FIRST = {
    "no CONNACK but PUBACK": b"\x40\x02\x00\x01",
    "refused": b"\x20\x02\x00\x05",
    "CONNACK too long": b"\x20\x7f" + bytes(127),
    "zeros": bytes(4096),
}
ACTS = [*((b"", data) for data in FIRST.values()), *((ACCEPT, data) for data in GREETED.values())]


def fingerprints(root: Path) -> dict[str, str]:
    """Return what every file of a device is, but for what the forwarder says of itself."""
    own = {"forwarder.json", ".forwarder.json.new"}  # written beside and renamed, at any moment
    return {
        name: hashlib.sha256(data).hexdigest()
        for name, data in live_files.contents(root).items()
        if name.rpartition("/")[2] not in own
    }


def test_whatever_a_broker_sends_nothing_changes_on_the_device(interpreter: Interpreter, tmp_path: Path):
    """Garbage, packets larger than any memory, forbidden QoS, publishes to the agent.

    Then the same process delivers to an honest one.
    """
    played: list[bytes] = []

    def script(connection: Connection) -> None:
        before, after = ACTS[len(played) % len(ACTS)]
        connection.until(0x10)
        played.append(after)
        connection.stream.settimeout(0.5)  # some of it may be waited through, for as long as an acknowledgement takes
        connection.send(before + after)
        while True:
            connection.packet()

    with delivery(interpreter, tmp_path) as run:
        run.through(Plan())
        held, real = run.memory(), run.proxy.target
        with Peer(script) as peer:
            run.proxy.target = peer.port
            run.proxy.drop()
            until(lambda: played)
            path, device = run.spool(), fingerprints(run.gateway.root)
            until(lambda: len(played) > 2 * len(ACTS), 60)
            open_files = run.descriptors()
        assert fingerprints(run.gateway.root) == device
        assert run.memory() <= held + 2048
        assert open_files < 24
        run.proxy.target = real
        run.proxy.drop()
        until(lambda: not path.exists())
        once_each(run)


STAGED = (
    "import json\nfrom agent.config.config import load\nfrom agent.forwarder import broker_connection, forwarder\n"
    "from agent.forwarder.errors import MqttError\nfrom agent.runtime.clocks import DeviceTime\n"
    "hosts = []\n"
    "class Client:\n"
    "    def __init__(self, host, *rest, **more): hosts.append(host)\n"
    "    def connect(self):\n"
    "        if hosts[-1] == 'dead': raise MqttError('dead')\n"
    "    def publish(self, topic, payload, retain=False): pass\n"
    "broker_connection.Client = Client\n"
    "said = []\n"
    "one = forwarder.Forwarder(load({path!r}), {root!r}, DeviceTime(), said.append, lambda count: "
    "bytes([{first}]) * count)\n"
)


def staged(interpreter: Interpreter, folder: Path, hosts: str, first: int, script: str) -> Any:
    """Run a forwarder whose client connects to every host but `dead`; return what the script prints, as JSON."""
    path = folder / "c"
    lines = "".join(f" list host {host}\n" for host in hosts.split())
    path.write_text(
        f"config gateway\n option id '{GATEWAY}'\nconfig mqtt\n option insecure 1\n option spread 40\n{lines}"
    )
    return json.loads(
        interpreter.run("-c", STAGED.format(path=str(path), root=str(folder), first=first) + script).stdout
    )


@pytest.mark.parametrize(
    ("first", "tried"), [(0, ["dead", "alive", "alive"]), (1, ["alive"] * 3), (2, ["dead", "dead", "alive"])]
)
def test_the_nodes_of_a_cluster_are_tried_in_turn(interpreter: Interpreter, tmp_path: Path, first, tried):
    """Each gateway begins at one that is drawn; the next try, whatever failed, goes to the next.

    One that answers is kept.
    """
    script = (
        "for _ in range(3):\n    try:\n        one.broker._connect()\n"
        "    except MqttError:\n        one.broker.failed('x')\n"
        "print(json.dumps(hosts))\n"
    )
    assert staged(interpreter, tmp_path, "dead alive dead", first, script) == tried


@pytest.mark.parametrize(("host", "window"), [("elsewhere.example", 40), ("127.0.0.1", 1)])
def test_a_fleet_whose_broker_went_comes_back_within_a_window(interpreter: Interpreter, tmp_path: Path, host, window):
    """The first retry after a connection that stood is spread over `mqtt.spread`, not over the first second.

    To this machine at once.
    """
    script = "for _ in range(300):\n    one.broker._connect()\n    one.broker.failed('x')\n"
    script += "print(json.dumps([int(text.split()[-2]) for text in said if 'next' in text]))\n"
    waits = staged(interpreter, tmp_path, host, 0, script)
    assert len(waits) == 300
    assert max(waits) < window * 1000 + 100
    assert max(waits) > window * 800  # missed once in 10^29
    assert sum(wait < window * 500 for wait in waits) > 90  # of 300 evenly spread ones: missed once in 10^12


def test_waits_between_two_tries_are_random_up_to_a_ceiling_that_doubles(interpreter: Interpreter, tmp_path: Path):
    """Full jitter: from 0.1 s to the ceiling, which grows from 1 s to 300 s and stays there.

    Whoever waits, waits alone.
    """
    script = (
        "from agent.config.config import load\nfrom agent.forwarder.forwarder import Forwarder\n"
        "from agent.runtime.clocks import DeviceTime\n"
        f"open({str(tmp_path / 'c')!r}, 'w').write(\"config gateway\\n option id '{GATEWAY}'\\nconfig mqtt\\n option "
        'host localhost\\n")\n'
        f"said = []\none = Forwarder(load({str(tmp_path / 'c')!r}), {str(tmp_path)!r}, DeviceTime(), said.append)\n"
        "for _ in range(600): one.broker.failed('x')\n"
        "print(' '.join([text.split()[-2] for text in said]), one.broker._backoff)\n"
    )
    *waits, last = map(int, interpreter.run("-c", script).stdout.split())
    ceilings = [min(BACKOFF_FIRST * 2**tried, BACKOFF_LAST) * 1000 for tried in range(len(waits))]
    assert all(100 <= wait < 100 + ceiling for wait, ceiling in zip(waits, ceilings, strict=True))
    assert last == BACKOFF_LAST == 300
    spread = sorted(waits[20:])
    assert spread[0] < 15_000  # of 580 evenly spread ones: missed once in 10^13
    assert spread[-1] > 285_000
    assert 130_000 < sum(spread) / len(spread) < 170_000
