# SPDX-License-Identifier: Apache-2.0
"""From the spool to the broker over the worst network.

After healing each message has arrived, the same bytes, and is stored once.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from host_sim.driver.interpreters import environment
from tests.forwarder.test_forwarder import ARRIVALS, HEALTH, STATE, Gateway, state, until
from tests.mqtt_trial import certificates
from tests.mqtt_trial.broker import Subscriber, broker
from tests.support.brokers import BROKERS
from tests.support.interpreters import INTERPRETERS, PROJECT, Interpreter
from tests.support.proxy import Plan, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.needs("mosquitto")


class Delivery:
    """A gateway's forwarder before a proxy before Mosquitto, and whoever listens behind."""

    def __init__(
        self, gateway: Gateway, proxy: Proxy, subscriber: Subscriber, process: subprocess.Popen[bytes]
    ) -> None:
        self.gateway, self.proxy, self.subscriber, self.process = gateway, proxy, subscriber, process
        self.number = 0
        self.arrived: list[bytes] = []

    def spool(self) -> Path:
        """Put a message that is due; no two are equal."""
        self.number += 1
        text = json.dumps({"id": self.number, "values": [self.number * 7 % 97]}).encode().ljust(80)
        return self.gateway.put(10_000 - self.number, text)

    def gather(self, number: int) -> None:
        """Wait until a message has come to the subscriber, and remember all that came."""
        until(lambda: self._take() and any(json.loads(text)["id"] == number for text in self.arrived))

    def _take(self) -> bool:
        while (message := self.subscriber.next(0.01)) is not None:
            if "/summary/" in message.topic:
                self.arrived.append(message.payload)
        return True

    def through(self, plan: Plan) -> None:
        """Send one message by a connection of this plan, and then by whatever comes after it."""
        self.proxy.plans.append(plan)
        path = self.spool()
        self.proxy.drop()
        until(lambda: not path.exists())

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def cpu(self) -> float:
        """Return the seconds of processor time that the forwarder has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return its resident memory in KiB."""
        (size,) = re.findall(r"(?m)^VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(size)


@contextmanager
def delivery(interpreter: Interpreter, folder: Path, *, tls: bool = False) -> Iterator[Delivery]:
    files = certificates.make(folder) if tls else None
    with (
        broker(folder, files) as real,
        Subscriber(real.port) as subscriber,
        Proxy(real.tls_port if tls else real.port) as proxy,
    ):
        options: dict[str, object] = {}
        if files is not None:
            for path in files.glob("*.key"):
                path.chmod(0o600)
            names = certificates.tls(files, "crt", own=True)
            options = {"insecure": 0, "host": "localhost", **names}
        gateway = Gateway(folder, proxy.port, **options)
        with untiring(interpreter, gateway, folder / "said") as process:
            yield Delivery(gateway, proxy, subscriber, process)


@contextmanager
def untiring(interpreter: Interpreter, gateway: Gateway, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a forwarder that tries again at once; what it says goes to a file."""
    words = interpreter.command("tests/support/forwarder_stage.py", gateway.root, gateway.root / "etc/config/oubli")
    with log.open("wb") as said:
        process = subprocess.Popen(
            words, cwd=PROJECT, env=environment(interpreter.root), stdin=subprocess.PIPE, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        process.wait(timeout=240)


def once_each(run: Delivery) -> None:
    """Each message has arrived, and what came twice came in the same bytes: a store by id holds it once."""
    run.gather(run.number)
    stored: dict[int, bytes] = {}
    for text in run.arrived:
        assert stored.setdefault(json.loads(text)["id"], text) == text
    assert sorted(stored) == list(range(1, run.number + 1))


def test_a_connection_cut_after_any_byte_loses_and_changes_nothing(interpreter: Interpreter, tmp_path: Path):
    """After byte k of the exchange, each k, either way: by FIN, and every seventh by RST.

    No descriptor or memory is left behind.
    """
    with delivery(interpreter, tmp_path) as run:
        run.through(Plan())
        up, down = run.proxy.passed["up"], run.proxy.passed["down"]
        assert up > 200
        assert down >= 4 + 4 + 4  # CONNACK, and the acknowledgements of `state` and of the message
        held = None
        for direction, most in (("up", up), ("down", down)):
            for after in range(most):
                run.through(Plan("up" if direction == "up" else "down", after, "reset" if after % 7 == 3 else "fin"))
                if held is None and after == 20:
                    held = run.descriptors(), run.memory()
        assert held is not None
        until(lambda: run.descriptors() <= held[0])
        assert run.memory() <= held[1] + 2048
        once_each(run)


SLOW = (
    Plan("up", 150, "silence"),
    Plan("down", 6, "silence"),
    Plan(pace=1.0),
    Plan("up", 120, "repeat"),
    Plan("down", 5, "repeat"),
)


@pytest.mark.needs("micropython")
def test_a_silent_or_slow_network_costs_no_processor_and_heals(tmp_path: Path):
    """Half-open either way, a byte a second, bytes that come twice.

    All at once, on both interpreters: most of it is waiting.
    """
    kinds = [(name, plan) for name in ("cpython", "micropython") for plan in SLOW]
    with ThreadPoolExecutor(len(kinds)) as pool:
        trials = [
            pool.submit(heals, INTERPRETERS[name], plan, tmp_path / f"{at}") for at, (name, plan) in enumerate(kinds)
        ]
    for one in trials:
        one.result()


def heals(interpreter: Interpreter, plan: Plan, folder: Path) -> None:
    folder.mkdir()
    with delivery(interpreter, folder) as run:
        run.through(Plan())
        used, began = run.cpu(), time.monotonic()
        run.proxy.plans.append(plan)
        path = run.spool()
        run.proxy.drop()
        while path.exists():
            assert time.monotonic() < began + 240, plan
            time.sleep(0.05)
        assert run.cpu() - used < 1 + 0.1 * (time.monotonic() - began), plan
        run.through(Plan())
        once_each(run)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_handshake_of_tls_cut_anywhere_is_begun_anew(interpreter: Interpreter, tmp_path: Path, direction):
    with delivery(interpreter, tmp_path, tls=True) as run:
        run.through(Plan())
        most = run.proxy.passed[direction]
        assert most > 1000
        for after in range(0, most, most // 24):
            run.through(Plan(direction, after, "reset" if after % 2 else "fin"))
        once_each(run)
    assert "BEGIN" not in (tmp_path / "said").read_text()


def test_seven_days_without_a_broker_are_delivered_in_order_and_what_is_older_is_counted(
    interpreter: Interpreter, tmp_path: Path
):
    """Ten days of hourly messages, spooled and trimmed as the recorder does.

    What is left goes out in order, at a bounded pace.
    """
    from agent.outbox.spool import Spool  # noqa: PLC0415 (the recorder's side of the folder)

    with delivery(interpreter, tmp_path) as run:
        run.proxy.drop()
        spool = Spool(str(run.gateway.spool), 1 << 20, 7)
        now = int(time.time())
        run.process.send_signal(signal.SIGSTOP)  # so that it sends nothing meanwhile
        for hour in range(240):
            due = now - (240 - hour) * 3600
            spool.put(due, "arrivals", hour % 24, json.dumps({"id": hour + 1}).encode().ljust(80))
            spool.trim(due)
        lost = spool.dropped["arrivals"]
        assert lost == 240 - len(list(run.gateway.spool.iterdir())) == 240 - 7 * 24 - 1
        run.process.send_signal(signal.SIGCONT)
        until(lambda: not list(run.gateway.spool.iterdir()))
        run.number = 240
        run.gather(240)
        numbers = [json.loads(text)["id"] for text in run.arrived]
        assert numbers == list(range(lost + 1, 241))


def test_health_that_the_broker_has_is_not_sent_again_with_each_connection(interpreter: Interpreter, tmp_path: Path):
    """State is, since the last will has taken its place.

    33,000 gateways that come back are 33,000 messages, not twice as many.
    """
    with delivery(interpreter, tmp_path) as run:
        (run.gateway.live / "health").write_bytes(b'{"late":false}'.ljust(64))
        run.through(Plan())
        until(lambda: (message := run.subscriber.next()) is not None and message.topic == HEALTH)
        run.through(Plan())
        topics: list[str] = []
        while ARRIVALS not in topics:
            message = run.subscriber.next()
            assert message is not None
            topics.append(message.topic)
        assert run.subscriber.next(0.3) is None
    assert STATE in topics
    assert HEALTH not in topics


@pytest.mark.parametrize("broken", ["empty", "large", "folder"])
def test_a_spooled_file_that_is_no_message_is_set_aside_and_counted(interpreter: Interpreter, tmp_path: Path, broken):
    """Neither a crash loop nor a queue that stands still; the recorder's sweep removes what was set aside."""
    from agent.outbox.spool import Spool  # noqa: PLC0415 (the recorder's side of the folder)

    with delivery(interpreter, tmp_path) as run:
        bad = run.gateway.spool / f"{1:012}-arrivals-00"
        bad.mkdir() if broken == "folder" else bad.write_bytes(b"x" * (0 if broken == "empty" else 5000))
        run.through(Plan())
        until(lambda: not bad.exists())
        once_each(run)
        report = run.gateway.live / "forwarder.json"
        until(lambda: report.exists() and json.loads(report.read_text())["unsendable"] == 1)
    assert [path.name for path in run.gateway.spool.iterdir()] == [f".unsendable-{bad.name}"]
    if broken != "folder":
        Spool(str(run.gateway.spool), 1 << 20, 7).trim(0)
        assert not list(run.gateway.spool.iterdir())


def test_a_second_forwarder_below_one_root_is_refused(interpreter: Interpreter, tmp_path: Path):
    with broker(tmp_path) as real, Subscriber(real.port) as subscriber:
        gateway = Gateway(tmp_path, real.port)
        with gateway.forwarder(interpreter):
            assert subscriber.next()
            done = interpreter.run("-m", "agent", "forwarder", "--root", gateway.root, check=False)
            assert (done.returncode, done.stderr) == (1, b"oubli forwarder: another forwarder runs below this root\n")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], int]]:
    """Give a function that returns the port of a broker by its maker's name, started at its first use."""
    with ExitStack() as running:
        yield functools.cache(lambda maker: running.enter_context(BROKERS[maker](tmp_path_factory.mktemp(maker))))


@pytest.mark.xdist_group("other brokers")
@pytest.mark.needs("nats-server", "rabbitmq-server")
@pytest.mark.parametrize("maker", BROKERS)
def test_brokers_of_other_makers_take_the_same_messages(
    interpreter: Interpreter, tmp_path: Path, others: Callable[[str], int], maker
):
    """State, summary and health at QoS 1; the last will, retained, when the process dies."""
    with Subscriber(others(maker)) as subscriber:
        gateway = Gateway(tmp_path, others(maker))
        path = gateway.put(60, b'{"id":1}'.ljust(80))
        (gateway.live / "health").write_bytes(b'{"late":false}'.ljust(64))
        with gateway.forwarder(interpreter) as process:
            until(lambda: not path.exists())
            came: dict[str, bytes] = {}
            while len(came) < 3:
                message = subscriber.next()
                assert message is not None
                if not message.retain:  # by the other interpreter's forwarder
                    came[message.topic] = message.payload
            assert came[ARRIVALS] == b'{"id":1}'.ljust(80)
            assert came[HEALTH] == b'{"late":false}'.ljust(64)
            assert state(came[STATE]) == "online"
            process.kill()
            will = subscriber.next()
        assert will is not None
        assert (will.topic, state(will.payload)) == (STATE, "lost")
