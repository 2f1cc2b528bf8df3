# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim fleet`: very many gateways' real forwarders at one broker.

With a ramp, an outage, and how long messages take.

Recorders are left out: each spool is filled with an agent-day's messages of the right shape. The forwarders are
`agent.forwarder.forwarder`'s, hundreds to a process (`host_sim.load.fleet_worker`), each with an MQTT connection of its
own. A subscriber takes the time of each message as it arrives and holds it against the time at which it was due.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from host_sim.driver.broker import Broker, BrokerError
from host_sim.driver.interpreters import ROOT, environment
from host_sim.driver.link import Link
from host_sim.load.fleet_worker import identity
from tools import listening

PATIENCE = 180  # real seconds that the last messages may take beyond the run
_SETTLE = 1.0  # seconds between the forwarders' making and the first connection


class FleetError(Exception):
    """What was asked for can't be done; the text is one line."""


@dataclass(frozen=True)
class Address:
    """A broker: mqtt://[user:password@]host[:port], or mqtts:// with the CA that vouches for it."""

    host: str
    port: int
    username: str | None
    password: str | None
    ca: str | None

    def options(self, folder: Path) -> str:
        """Return the lines of a forwarder's configuration; a password goes to a file of its owner's alone."""
        lines = [f"option ca '{self.ca}'"] if self.ca else ["option insecure '1'"]
        if self.username:
            path = folder / "password"
            path.touch(0o600)
            path.write_text(self.password or "")
            lines += [f"option username '{self.username}'", f"option password_file '{path}'"]
        return "".join(f"\t{line}\n" for line in lines)


def address(url: str, ca: str | None) -> Address:
    """Read a broker's URL; FleetError with what is accepted."""
    accepted = "accepted: mqtt://host:port, or mqtts://host:port with --ca FILE"
    try:
        parts = urlsplit(url)
        port = parts.port or {"mqtt": 1883, "mqtts": 8883}.get(parts.scheme, 0)
    except ValueError:
        raise FleetError(f"--broker: {url!r} isn't a URL; {accepted}") from None
    if (
        parts.scheme not in {"mqtt", "mqtts"}
        or not parts.hostname
        or parts.path.strip("/")
        or (parts.scheme == "mqtts") != bool(ca)
    ):
        raise FleetError(f"--broker: {url!r} isn't accepted; {accepted}")
    if ca and not Path(ca).is_file():
        raise FleetError(f"--ca: {ca}: can't be read; accepted: a file of certificates, PEM")
    return Address(parts.hostname, port, parts.username, parts.password, ca)


@dataclass
class Figures:
    """What the fleet did.

    Times in seconds, `latencies` of each message from when it was due to when the subscriber had it.
    """

    gateways: int
    messages: int
    latencies: list[float] = field(default_factory=list)
    repeated: int = 0
    all_connected_after: float = 0.0
    all_back_after: float = 0.0
    outage: float = 0.0
    failures: int = 0
    cpu: float = 0.0
    memory: int = 0
    seconds: float = 0.0

    def data(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        known = sorted(self.latencies) or [0.0]
        quantiles = {
            f"p{share}": round(known[min(len(known) * share // 100, len(known) - 1)], 3) for share in (50, 95, 99)
        }
        return {
            "gateways": self.gateways,
            "messages": self.messages,
            "arrived": len(self.latencies),
            "repeated": self.repeated,
            "latency_s": {**quantiles, "most": round(known[-1], 3)},
            "all_connected_after_s": round(self.all_connected_after, 1),
            "outage_s": self.outage,
            "all_back_after_s": round(self.all_back_after, 1),
            "failed_connections": self.failures,
            "cpu_s": round(self.cpu, 1),
            "memory_mib": round(self.memory / 2**20, 1),
            "seconds": round(self.seconds, 1),
            "whole": len(self.latencies) == self.messages,
        }


class _Subscriber:
    """Takes each summary's arrival; `seen` has one entry a (topic, payload)."""

    def __init__(self, at: Address) -> None:
        self.seen: dict[tuple[str, bytes], float] = {}
        self.repeated = 0
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"oubli-sim-fleet-{os.getpid()}")
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: self._ready.set()
        if at.ca:
            try:
                self._client.tls_set(at.ca)
            except OSError:
                raise FleetError(
                    f"--ca: {at.ca}: no certificate in it; accepted: a file of certificates, PEM"
                ) from None
        if at.username:
            self._client.username_pw_set(at.username, at.password)
        try:
            self._client.connect(at.host, at.port)
        except OSError as failure:
            raise FleetError(
                f"--broker: {at.host}:{at.port}: {failure.strerror or failure}; accepted: a broker that is there"
            ) from None
        self._client.subscribe("oubli/1/+/summary/+", qos=1)
        self._client.loop_start()
        if not self._ready.wait(240):
            self.close()
            raise FleetError("--broker: it doesn't answer a subscription; accepted: one that this may subscribe at")

    def _take(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            return
        key = (message.topic, bytes(message.payload))
        self.repeated += key in self.seen
        self.seen.setdefault(key, time.time())

    def close(self) -> None:
        listening.end(self._client)


@contextmanager
def worker(module: str, given: dict) -> Iterator["Worker"]:
    """Start a process of gateways; it ends with its standard input."""
    words = [sys.executable, "-m", module, json.dumps(given)]
    started = subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    process = Worker(started)
    try:
        yield process
    finally:
        with contextlib.suppress(BrokenPipeError):
            cast("IO[bytes]", started.stdin).close()
        try:
            started.wait(240)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        process.last()
        cast("IO[bytes]", started.stdout).close()


class Worker:
    """One of them, and its last word."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.said: dict[str, Any] = {}
        self.process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in cast("IO[bytes]", self.process.stdout):
            self.said = self.said | json.loads(line)

    def last(self) -> dict[str, Any]:
        """Return its last word, once it has ended."""
        self._thread.join(60)
        return self.said


def memory(pid: int) -> int:
    """Return a process's share of memory, pages that it shares counted by their share, in octets."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))


def run(
    gateways: int,
    broker: str | None,
    ca: str | None,
    seconds: float,
    messages: int,
    ramp: float,
    outage: float,
    tell: Callable[[str], None],
) -> Figures:
    """Let a fleet live for so many seconds; an outage of the way to the broker comes in the middle.

    FleetError, BrokerError.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oubli-sim-fleet-")))
        at = address(broker, ca) if broker else _own(stack, folder)
        subscriber = _Subscriber(at)
        stack.callback(subscriber.close)
        link = None
        host, port = at.host, at.port
        if outage:
            if at.ca:
                raise FleetError("--outage: the relay that is cut can't show mqtts' certificate; accepted: mqtt://")
            link = Link(at.port, host=at.host)
            stack.callback(link.close)
            host, port = "127.0.0.1", link.port
        workers = min(os.cpu_count() or 1, gateways)
        tell("filling spools")
        shares, first = [], 0
        start = int(time.time() + _SETTLE + gateways * messages / 3000 / workers) + 1
        for number in range(workers):
            count = (gateways - first) // (workers - number)
            given = {"folder": str(folder), "first": first, "count": count, "host": host, "port": port, "ramp": ramp,
                     "start": start, "seconds": seconds, "messages": messages, "tls": at.options(folder)}  # fmt: skip
            shares.append(stack.enter_context(worker("host_sim.load.fleet_worker", given)))
            first += count
        figures = Figures(gateways, gateways * messages, outage=outage)
        _watch(figures, shares, subscriber, link, start, seconds, tell)
        figures.repeated = subscriber.repeated
        figures.latencies = _latencies(subscriber, start, seconds, gateways, messages)
        figures.cpu, figures.failures = (
            sum(share.said["cpu"] for share in shares),
            int(sum(share.said["failures"] for share in shares)),
        )
        figures.memory = sum(memory(share.process.pid) for share in shares)
        figures.seconds = time.time() - start
    return figures


def _own(stack: ExitStack, folder: Path) -> Address:
    """Start a Mosquitto of our own."""
    own = Broker(folder)
    stack.callback(own.close)
    return Address("127.0.0.1", own.port, None, None, None)


def _watch(
    figures: Figures,
    shares: list[Worker],
    subscriber: _Subscriber,
    link: Link | None,
    start: int,
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Look on until everything has arrived, or patience ends; cut the link in the middle."""
    cut = start + seconds / 2
    while time.time() < start + seconds + PATIENCE:
        now = time.time()
        if dead := [share for share in shares if share.process.poll() is not None]:
            raise FleetError(
                f"a process of forwarders ended with status {dead[0].process.returncode}; accepted: one that goes on"
            )
        connected = int(sum(share.said.get("connected", 0) for share in shares))
        tell(
            f"{max(now - start, 0):5.0f} s  {connected:,} connected  {len(subscriber.seen):,} of "
            f"{figures.messages:,} messages"
        )
        if connected == figures.gateways and not figures.all_connected_after:
            figures.all_connected_after = now - start
        if link:
            link.set(up=not cut <= now < cut + figures.outage)
            if now > cut + figures.outage + 1 and connected == figures.gateways and not figures.all_back_after:
                figures.all_back_after = now - cut - figures.outage
        if len(subscriber.seen) >= figures.messages and (not link or figures.all_back_after):
            return
        time.sleep(0.2)


def _latencies(subscriber: _Subscriber, start: int, seconds: float, gateways: int, messages: int) -> list[float]:
    """Return how long after it was due each message arrived; made anew from the numbers that filled the spools."""
    from host_sim.load.fleet_worker import fill  # noqa: PLC0415 (kept beside its use)

    numbers = {identity(number): number for number in range(gateways)}
    arrived: dict[int, dict[bytes, float]] = {}
    for (topic, payload), when in subscriber.seen.items():
        number = numbers.get(topic.split("/")[2])
        if number is not None:
            arrived.setdefault(number, {})[payload] = when
    found = []
    with tempfile.TemporaryDirectory(prefix="oubli-sim-fleet-") as again:
        for number, times in arrived.items():
            folder = Path(again) / str(number)
            folder.mkdir()
            fill(folder, number, start, seconds, messages)
            due: Counter[bytes] = Counter()
            for path in folder.iterdir():
                due[path.read_bytes()] = int(path.name[:12])
            found += [when - due[payload] for payload, when in times.items() if payload in due]
    return found


__all__ = ["BrokerError", "Figures", "FleetError", "address", "run"]
