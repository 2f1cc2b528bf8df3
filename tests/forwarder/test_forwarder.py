# SPDX-License-Identifier: Apache-2.0
"""The forwarder as it is started on a device, on both interpreters, before the real Mosquitto (L34-VI-2, L34-II-5)."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.forwarder.forwarder import MESSAGE_LIMIT, PACE
from host_sim.driver.interpreters import environment
from host_sim.driver.ports import free_port
from tests.mqtt_trial import certificates
from tests.mqtt_trial.broker import Subscriber, broker
from tests.mqtt_trial.peers import Connection, Peer
from tests.support.interpreters import Interpreter

GATEWAY = "abcdefghijklmnop"
STATE, HEALTH = f"oubli/1/{GATEWAY}/state", f"oubli/1/{GATEWAY}/health"
ARRIVALS = f"oubli/1/{GATEWAY}/summary/arrivals"

pytestmark = pytest.mark.needs("mosquitto")


class Gateway:
    """A device's root folder, with a configuration, a spool and whatever the forwarder says."""

    def __init__(self, folder: Path, port: int, **options: object) -> None:
        self.root = folder / "root"
        self.spool, self.live = self.root / "srv/oubli-spool", self.root / "var/run/oubli-live"
        for path in (self.spool, self.live, self.root / "etc/config"):
            path.mkdir(parents=True)
        lines = [f"config gateway\n option id '{GATEWAY}'\nconfig mqtt"]
        lines += [
            f" option {name} '{value}'"
            for name, value in ({"host": "localhost", "port": port, "insecure": 1} | options).items()
        ]
        (self.root / "etc/config/oubli").write_text("\n".join(lines) + "\n")
        self._log = folder / "log"

    def put(self, seconds: int, text: bytes, slot: int = 0) -> Path:
        """Spool a message that was due so many seconds ago."""
        path = self.spool / f"{int(time.time()) - seconds:012}-arrivals-{slot:02}"
        beside = path.with_name("." + path.name)
        beside.write_bytes(text)
        beside.rename(path)  # as the recorder does: one that is only begun would be set aside
        return path

    @contextmanager
    def forwarder(self, interpreter: Interpreter) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon, for as long as the block lasts."""
        words = interpreter.command("-m", "agent", "forwarder", "--root", self.root)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                words, cwd=interpreter.root, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="backslashreplace")

    def until(self, said: str) -> None:
        """Wait for a line of the log."""
        until(lambda: said in self.log)


def until(condition: Callable[[], object], within: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(text: bytes) -> str:
    """The one word of a state message."""
    word: str = json.loads(text)["state"]
    return word


def retained(port: int) -> dict[str, object]:
    """What the broker keeps: the state's word, and whether health says late."""
    with Subscriber(port) as late:
        texts = {message.topic: json.loads(message.payload) for message in (late.next(), late.next()) if message}
    return {topic: text["state"] if topic == STATE else text["late"] for topic, text in texts.items()}


def test_spool_is_delivered_in_order_and_a_stop_is_told(interpreter: Interpreter, tmp_path: Path):
    """Octet for octet, oldest first; what is not due waits, and what is no message of ours holds nothing back."""
    with broker(tmp_path) as real, Subscriber(real.port) as subscriber:
        gateway = Gateway(tmp_path, real.port)
        texts = [b'{"slot":%d}   ' % slot for slot in range(40)]
        for slot, text in reversed(list(enumerate(texts))):
            gateway.put(4000 - slot, text, slot)
        large, early = gateway.put(5000, bytes(MESSAGE_LIMIT + 1)), gateway.put(-3600, b"early")
        stay = {large.with_name(f".unsendable-{large.name}"), early}
        (gateway.live / "health").write_bytes(b'{"late":false}')
        with gateway.forwarder(interpreter) as process:
            online = subscriber.next()
            assert online is not None
            assert (online.topic, state(online.payload), online.qos) == (STATE, "online", 1)
            assert set(json.loads(online.payload)) == {"state", "boot", "version", "config"}
            seen = [subscriber.next() for _ in range(41)]
            assert [m.payload for m in seen if m and m.topic == ARRIVALS] == texts
            assert [(at, m.payload) for at, m in enumerate(seen) if m and m.topic == HEALTH] == [
                (PACE, b'{"late":false}')
            ]
            until(lambda: set(gateway.spool.iterdir()) == stay)
            assert subscriber.next(0.3) is None, "health is sent when it changes"
            assert retained(real.port) == {STATE: "online", HEALTH: False}
            process.send_signal(signal.SIGTERM)
            assert process.wait(240) == 0
        assert retained(real.port) == {STATE: "stopped", HEALTH: False}
        report = json.loads((gateway.live / "forwarder.json").read_text())
        assert report == {"connected": False, "failures": 0, "published": 40, "waiting": 1, "unsendable": 1}


def test_a_former_recorders_last_word_is_not_sent_by_a_forwarder_that_was_started_with_the_next(
    interpreter: Interpreter, tmp_path: Path
):
    """`stopped` would stand at the broker until the next health message, though the next recorder runs (ANON-4)."""
    with broker(tmp_path) as real, Subscriber(real.port) as subscriber:
        gateway = Gateway(tmp_path, real.port)
        (gateway.live / "health").write_bytes(b'{"late":false,"capture":"stopped"}')
        with gateway.forwarder(interpreter):
            online = subscriber.next()
            assert online is not None
            assert online.topic == STATE
            assert subscriber.next(3) is None
            beside = gateway.live / ".health.new"
            beside.write_bytes(b'{"late":false,"capture":"ok"}')
            beside.rename(gateway.live / "health")
            told = subscriber.next()
            assert told is not None
            assert (told.topic, told.payload) == (HEALTH, b'{"late":false,"capture":"ok"}')


def test_killed_before_the_acknowledgement_it_sends_the_same_octets_again(interpreter: Interpreter, tmp_path: Path):
    """The file goes after PUBACK only; the broker publishes the last will for the one that was killed."""
    received = []

    def keeps_silent(connection: Connection) -> None:
        connection.greet()
        connection.acknowledge(connection.message()[0])
        received.append(connection.message()[1])
        connection.stay()

    with broker(tmp_path) as real, Subscriber(real.port) as subscriber, Peer(keeps_silent) as peer:
        gateway = Gateway(tmp_path, peer.port)
        path = gateway.put(60, b'{"value":7}    ')
        with gateway.forwarder(interpreter):
            until(lambda: received)
        assert path.exists()
        configuration = gateway.root / "etc/config/oubli"
        configuration.write_text(configuration.read_text().replace(str(peer.port), str(real.port)))
        with gateway.forwarder(interpreter):
            seen = [subscriber.next(), subscriber.next()]
            until(lambda: not path.exists())
        seen.append(subscriber.next())
        words = [
            message.payload if message.topic == ARRIVALS else state(message.payload) for message in seen if message
        ]
        assert words == ["online", received[0], "lost"]


def test_what_one_that_was_killed_said_is_not_taken_for_the_next_ones_word(interpreter: Interpreter, tmp_path: Path):
    """A connection that hangs in its first second isn't one that stands."""

    def hangs(connection: Connection) -> None:
        connection.stay()

    with Peer(hangs) as peer:
        gateway = Gateway(tmp_path, peer.port)
        said = gateway.live / "forwarder.json"
        said.write_text('{"connected":true}')
        with gateway.forwarder(interpreter):
            gateway.until("started")
            assert not said.exists() or json.loads(said.read_text())["connected"] is False


def test_absent_broker_is_tried_again_after_random_waits(interpreter: Interpreter, tmp_path: Path):
    """Full jitter below a ceiling that doubles.

    What was spooled meanwhile is counted, and delivered when the broker comes: its file goes only after the PUBACK.
    """
    port = free_port()
    gateway = Gateway(tmp_path, port)
    spooled = gateway.put(60, b"text")
    with gateway.forwarder(interpreter):
        until((gateway.live / "forwarder.json").exists)
        assert json.loads((gateway.live / "forwarder.json").read_text())["waiting"] == 1
        time.sleep(1)
        with broker(tmp_path, port=port):  # a subscriber might come after the forwarder, and get only what is retained
            until(lambda: not spooled.exists())
    waits = [int(wait) for wait in re.findall(r"next try in (\d+) ms", gateway.log)]
    assert all(100 <= wait < 100 + 1000 * 2**tried for tried, wait in enumerate(waits)), waits


def test_broker_that_accepts_and_then_drops_is_not_stormed(interpreter: Interpreter, tmp_path: Path):
    """The ceiling of the waits goes back to its beginning only after the first acknowledgement."""

    def drops(connection: Connection) -> None:
        connection.greet()
        connection.message()

    with Peer(drops) as peer:
        gateway = Gateway(tmp_path, peer.port)
        script = (
            "import sys; from agent.config import config; from agent.forwarder import forwarder; from "
            "agent.runtime.clocks import DeviceTime; f = "
            f"forwarder.Forwarder(config.load({str(gateway.root / 'etc/config/oubli')!r}), {str(gateway.root)!r}, "
            "DeviceTime(), len); f.broker._backoff = 8; f.turn(0); print(f.broker.failures, f.broker._backoff)"
        )
        assert interpreter.run("-c", script).stdout.split() == [b"1", b"16"]


def test_spool_that_cannot_be_read_is_told_to_the_broker(interpreter: Interpreter, tmp_path: Path):
    with broker(tmp_path) as real, Subscriber(real.port) as subscriber:
        gateway = Gateway(tmp_path, real.port)
        with gateway.forwarder(interpreter):
            words = [subscriber.next()]
            gateway.spool.rename(tmp_path / "elsewhere")
            words.append(subscriber.next())
            (tmp_path / "elsewhere").rename(gateway.spool)
            words.append(subscriber.next())
        assert [state(message.payload) for message in words if message] == ["online", "stopped", "online"]


@pytest.mark.parametrize(
    ("host", "insecure", "said"), [("localhost", 0, "connected"), ("0.0.0.0", 1, "connected without TLS (insecure)")]
)
def test_plain_text_to_another_machine_is_said_at_each_connection(
    interpreter: Interpreter, tmp_path: Path, host, insecure, said
):
    """A broker on this machine needs no word for it (L34-VI-2); 0.0.0.0 leads here too, but doesn't say so."""
    with broker(tmp_path) as real, Subscriber(real.port) as subscriber:
        gateway = Gateway(tmp_path, real.port, host=host, insecure=insecure)
        with gateway.forwarder(interpreter):
            assert subscriber.next()
            gateway.until(f"oubli forwarder: {said}\n")


def test_verified_tls_with_a_key_that_nobody_else_can_read(interpreter: Interpreter, tmp_path: Path):
    """PEM files on both interpreters.

    What is wrong with a file is said by its option, and it is read again at each try.
    """
    files = certificates.make(tmp_path)
    names = {"ca": files / "ca.crt", "certificate": files / "gateway.crt", "key": files / "gateway.key"}
    with broker(tmp_path, files) as real, Subscriber(real.port) as subscriber:
        gateway = Gateway(tmp_path, real.tls_port, insecure=0, **names)
        names["key"].chmod(0o640)
        names["ca"].rename(tmp_path / "elsewhere")
        with gateway.forwarder(interpreter):
            gateway.until("mqtt.ca can't be read")
            (tmp_path / "elsewhere").rename(names["ca"])
            gateway.until("mqtt.key is open to others; accepted: mode 0600")
            names["key"].chmod(0o600)
            online = subscriber.next()
            assert online
            assert state(online.payload) == "online"


@pytest.mark.parametrize(
    ("secret", "mode", "reason"),
    [
        (b"rosebud\n", 0o644, "mqtt.password_file is open to others; accepted: mode 0600"),
        (b"rose\xffbud", 0o600, "mqtt.password_file isn't a short text"),
        (b"rosebud" * 200, 0o600, "mqtt.password_file isn't a short text"),
        (None, 0o600, "mqtt.password_file can't be read"),
        (b"sesame\n", 0o600, "the broker refused the connection"),
        (b"rosebud\n", 0o600, "forwarder: connected"),
    ],
    ids=["open", "binary", "long", "absent", "wrong", "right"],
)
def test_password_is_read_from_a_private_file_and_told_to_nobody(interpreter, tmp_path, secret, mode, reason):
    path = tmp_path / "password"
    with suppress(TypeError):
        path.write_bytes(secret)
        path.chmod(mode)
    with broker(tmp_path, password="rosebud") as real:
        gateway = Gateway(tmp_path, real.port, username="gateway", password_file=path)
        with gateway.forwarder(interpreter):
            gateway.until(reason)
    assert not any(
        word in gateway.log for word in ("rose", "bud", "sesame", "localhost", str(real.port), os.fspath(path))
    ), gateway.log
