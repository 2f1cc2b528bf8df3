# SPDX-License-Identifier: Apache-2.0
"""Agent-days through a recorder in this process: what one terminal changes, and all that is seen outside.

The recorder, the forwarder, their files and the kernel's messages are the real ones. The clock is virtual, and the
day's key may be given, so that two days differ in nothing but the terminal. In the place of the MQTT client stands a
witness.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

from agent.config import config
from agent.forwarder import broker_connection, forwarder
from agent.outbox.spool import due
from agent.recorder.recorder import Recorder
from agent.summary.metrics import METRICS
from agent.summary.noise import Sampler
from host_sim.driver import first_boot
from host_sim.driver.draws import keys_from
from host_sim.privacy.terminal_signs import DAY, HOUR, OPENS, SECOND, Sign, mac_of
from host_sim.venue import kernel

TRUSTED = 602  # seconds after 03:00
PORTS = (443, 53, 123, 3478, 51820, 31337)  # UDP: web, DNS, time, calls, VPN, other
ACCOUNTING = {"events": 1, "acct": 1, "timestamp": 1}
GATEWAY = "abcdefghijklmnop"


class Silence(Sampler):
    """No noise."""

    def __init__(self) -> None:
        super().__init__(lambda _: b"")

    def laplace(self, b: tuple[int, int]) -> int:  # noqa: ARG002 (the sampler's signature)
        """Return nothing, whatever the scale."""
        return 0


class Time:
    """The time source of a virtual device."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.second = 0

    def wall(self) -> int:
        """Return ns since the epoch."""
        return (OPENS + self.second) * SECOND

    def monotonic(self) -> int:
        """Return ns since boot."""
        return (self.second + 10**6) * SECOND


@dataclass
class Seen:
    """Everything of a day that can be seen from outside the recorder."""

    spool: dict[str, bytes] = field(default_factory=dict)  # name -> octets, at the end
    sent: list[tuple[str, bytes]] = field(default_factory=list)  # every message that ever lay there, in order
    table: bytes = b""  # the day's table as it is left
    health: list[bytes] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    filled: bool = False
    # When each file of the spool was made, in seconds of the day
    made: list[tuple[int, str]] = field(default_factory=list)
    # What reached the broker: when, topic, payload, retained
    wire: list[tuple[int, str, bytes, bool]] = field(default_factory=list)


class Still:
    """The module `time` of a forwarder whose clock is the device's: it doesn't wait."""

    @staticmethod
    def sleep(_seconds: float) -> None:
        """Do nothing: the system call alone takes a millisecond of a busy processor."""


class Witness:
    """A client that sends nothing: the session's last will and each message are written down."""

    def __init__(self, wire: list[tuple[int, str, bytes, bool]], time: Time, will: tuple[str, bytes]) -> None:
        self._wire, self._time = wire, time
        self.publish(*will, retain=True)  # what the broker holds from the first moment on

    def connect(self) -> None:
        """Do nothing."""

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Write it down."""
        self._wire.append((self._time.second, topic, payload, retain))

    def idle(self, milliseconds: int) -> None:
        """Don't wait."""

    def close(self) -> None:
        """Do nothing."""


class Sender:
    """A device's forwarder: it turns once each second, and what it would send goes to `wire`."""

    def __init__(
        self, one: forwarder.Forwarder, spool: Path, time: Time, wire: list[tuple[int, str, bytes, bool]]
    ) -> None:
        self._forwarder, self._spool, self._time, self._wire = one, spool, time, wire
        self.due = 0  # when the next message is, in seconds of the day; one that is over: none waits

    def turn(self) -> None:
        """Let it turn once."""
        turn(self._forwarder, self._time, self._wire)
        waiting = [due(path.name) for path in self._spool.iterdir() if path.name[0] != "."]
        self.due = min(waiting, default=OPENS) - OPENS


class Device:
    """One device in a folder. `boot` and `restart` begin a recorder; `play` lets a day pass.

    `draws` gives the octets that keys, and noise without a `sampler`, are made of: the system's where it is None.
    `install` puts on its flash what an operator does. `salted`: checkpoints of the audit log have 16 random octets,
    else zeros, so that days can be compared.
    """

    def __init__(
        self,
        root: Path,
        sampler: Callable[[], Sampler] | None,
        key: bytes | None = None,
        rows: int = 64,
        options: str = "",
        security: str = "option enabled '0'",
        *,
        forwards: bool = False,
        draws: Callable[[int], bytes] | None = None,
        install: Callable[[Path], None] = lambda _root: None,
        salted: bool = False,
    ) -> None:
        self.root, self.sampler, self.key, self._forwards, self._draws = root, sampler, key, forwards, draws
        self._salted = salted
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        install(root)
        self._text = (
            f"config gateway\n option id '{GATEWAY}'\n option duty 'portal'\n"
            f"config mqtt\n option host '127.0.0.1'\n"
            f"config purpose 'security'\n {security}\nconfig summary\n option rows '{rows}'\n"
        )
        self.configure(options)
        self.seen = Seen()
        self._boots = 0
        self.boot(0)

    def configure(self, options: str) -> None:
        """Take another configuration of the figures, in force from the next start of the process on."""
        path = self.root / "config"
        path.write_text(self._text + options)
        self.config = config.load(str(path))

    def boot(self, second: int) -> None:
        """Begin with another boot id and an empty tmpfs."""
        shutil.rmtree(self.root / "var", ignore_errors=True)
        self._boots += 1
        self.time, log = Time(f"{self._boots:032x}"), self.seen.log.append
        self._sender = None
        if self._forwards:
            one = forwarder.Forwarder(self.config, str(self.root), self.time, log, bytes)
            self._sender = Sender(one, self.root / "srv/oubli-spool", self.time, self.seen.wire)
        self.restart(second)

    def restart(self, second: int) -> None:
        """Begin a process of the same boot; its clock is trusted ten minutes later."""
        self.time.second = second
        log = self.seen.log.append
        sampler = self.sampler() if self.sampler else Sampler(self._draws or os.urandom)
        first_boot.new_device(str(self.root))
        self.recorder = Recorder(
            self.config, str(self.root), self.time, sampler=sampler, log=log, sysctl=ACCOUNTING.get, random=bytes
        )
        if self._draws:
            keys_from(self.recorder, self._draws)
        if self._salted:
            self.recorder.audit._random = self._draws or os.urandom  # noqa: SLF001 (a device has no such door)
        for message in (
            kernel.link("lan"),
            kernel.address(b"\x0a\x14\0\1", 16),
            kernel.address(bytes.fromhex("20010db8ca4e0001") + bytes(7) + b"\1", 64),
        ):
            self.recorder.streams.neighbour(message, len(message))
        self.recorder.confirm_time()
        self._trust = second + TRUSTED
        self._keyed = False

    def pass_to(self, second: int) -> None:
        """Let the timers run until a second of the day."""
        self._pass(second)
        if self.time.second < second:
            self.time.second = second
            self.recorder.tick()

    def _pass(self, second: int) -> None:
        """Stop on each hour, when the clock is trusted and when a message is due; then only the clock goes on.

        Where figures are finer than an hour it stops on each of their cells: a real recorder ticks every ten seconds.
        """
        while self.time.second < second:
            cell = HOUR // 6 if "tenminutes" in self.config.metrics else HOUR
            hour = self.time.second // cell * cell + cell
            sends = self._sender.due if self._sender else 0
            mark = min(mark for mark in (hour, self._trust, sends) if mark > self.time.second)
            if mark > second:
                return
            self.time.second = mark
            if self.time.second == self._trust:
                self.recorder.confirm_time()
            elif mark == hour:
                self.recorder.tick()
                if mark % HOUR:
                    continue
            else:
                self._send()
                continue
            table = self.recorder.day.terminals
            if table.day and self.key and not self._keyed:
                table._view[64:80] = self.key  # noqa: SLF001 (as above)
            self._keyed = bool(table.day)
            self.seen.filled |= table.filled()
            self._look()
            self._send()

    def _send(self) -> None:
        if self._sender:
            self._sender.turn()

    def _look(self) -> None:
        """Take what leaves: the health message, and each message of the spool that wasn't there before."""
        health = (self.root / "var/run/oubli-live/health").read_bytes()
        if self.seen.health[-1:] != [health]:
            self.seen.health.append(health)
        folder = self.root / "srv/oubli-spool"
        for path in sorted(folder.iterdir()):
            name, text = path.name, path.read_bytes()
            if self.seen.spool.get(name) != text:
                self.seen.spool[name] = text
                self.seen.sent.append((name, text))
                self.seen.made.append((self.time.second, name))

    def play(
        self,
        signs: Iterable[Sign],
        restarts: Iterable[int] = (),
        boots: Iterable[int] = (),
        end: int = DAY,
        objections: Iterable[tuple[int, int]] = (),
        profiles: Iterable[tuple[int, str]] = (),
    ) -> Seen:
        """Let the signs come, then the day end; return what was seen.

        `objections`: second and terminal of each; `profiles`: at which second the
        process starts again under which profile.
        """
        events: list[tuple[int, int, Sign | int | str | None]] = [(sign.at, 2, sign) for sign in signs]
        events += [(at, 0, None) for at in restarts] + [(at, 1, None) for at in boots]
        events += [(at, 3, terminal) for at, terminal in objections]
        events += [(at, 0, profile) for at, profile in profiles]
        for at, kind, sign in sorted(events, key=lambda event: event[:2]):
            if not isinstance(sign, Sign) or sign.lives:
                self.pass_to(at)
            else:
                self._pass(at)
            if isinstance(sign, int):
                self.recorder.orders.object({"terminal": mac_of(sign), "address": None}, "root")
                continue
            if not isinstance(sign, Sign):
                self.recorder.close()
                if sign is not None:
                    self.configure(f" option profile '{sign}'\n")
                (self.boot if kind else self.restart)(at)
                continue
            near, event, lives = sign.messages()
            streams = self.recorder.streams
            streams.neighbour(near, len(near))
            (streams.live_table if lives else streams).datagram(event, len(event))
        self.pass_to(end + 1)
        self.recorder.close()
        while self._sender and self._sender.due > self.time.second:
            self.time.second = self._sender.due
            self._sender.turn()
        self.seen.spool = dict(sorted(self.seen.spool.items()))
        self.seen.table = (self.root / "var/run/oubli/terminals").read_bytes()
        return self.seen


def turn(one: forwarder.Forwarder, time: Time, wire: list[tuple[int, str, bytes, bool]]) -> None:
    """Let a forwarder turn once; what it would send goes to `wire`."""

    def client(_host: str, _port: int, _name: str, topic: str, will: bytes, **_: object) -> Witness:
        return Witness(wire, time, (topic, will))

    with mock.patch.object(broker_connection, "Client", client), mock.patch.object(forwarder, "time", Still):
        one.turn(0)


def crowd(seed: int, terminals: int) -> list[Sign]:
    """Return a day of other people's signs."""
    chance = Random(seed)
    signs = []
    for terminal in range(1, terminals + 1):
        arrives = chance.randrange(TRUSTED + 1, DAY - 1)
        for _ in range(chance.choice((1, 1, 3))):
            at = min(arrives + chance.randrange(3 * HOUR), DAY - 1)
            octets = int(10 ** chance.uniform(2, 9.5))
            signs.append(
                Sign(
                    at, terminal, chance.choice((1, 500, 9000)), octets, chance.choice(PORTS), six=chance.random() < 0.3
                )
            )
    return signs


def distances(one: Seen, other: Seen) -> dict[str, int]:
    """Return the L1 distance of each metric's cells over all messages of the day (noise off)."""
    return {
        metric.name: sum(abs(a - b) for a, b in zip(cells(one, metric.name), cells(other, metric.name), strict=True))
        for metric in METRICS
    }


def cells(seen: Seen, metric: str) -> list[int]:
    """Return a metric's published values over the day, in order."""
    return [value for name, text in seen.spool.items() if f"-{metric}-" in name for value in json.loads(text)["values"]]
