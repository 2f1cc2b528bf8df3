# SPDX-License-Identifier: Apache-2.0
"""The recorder: sees terminals and holds no network socket, AF_NETLINK and AF_UNIX only (L34-VI-2).

`Recorder` does no I/O of its own beyond its files: datagrams, time and randomness are handed in, so that the simulator tests the
code that is flashed. `run` supplies the real ones. A connection is handled once, in one order (terminal, purposes, summary), and
then forgotten by everything but the vault and the day's table.
"""

import errno
import json
import os

from agent import law
from agent.capture import connections, neighbours, timeouts
from agent.clock import Clock
from agent.control.server import Server
from agent.counters import Counters
from agent.forward import messages
from agent.forward.spool import Spool
from agent.paths import Paths
from agent.runtime import files, process, sockets
from agent.runtime.libc import LIBC
from agent.runtime.sodium import Sodium
from agent.summary.day import JITTER, AgentDay
from agent.summary.ledger import Ledger
from agent.summary.noise import Sampler
from agent.summary.terminals import Terminals
from agent.vault.keys import KeyRing
from agent.vault.record import UNKNOWN_MAC
from agent.vault.ring import Ring, slots_for
from agent.who import Who

_SECOND = 1000000000
_TICK = _SECOND
# Expiry runs this much ahead, so that one turn of the loop is never late.
_AHEAD = 2 * _SECOND
HEALTH = 300 * _SECOND
REFRESH = 10 * _SECOND
HOUR = 3600 * _SECOND
ADDRESSES_A_ROW = 4  # a terminal has one IPv4 address and a few of IPv6
FORWARDER_LIMIT = 1024

BATCH = 64
DATAGRAM = 32768
RECEIVE_BUFFER = 4 << 20  # octets asked for; holds some 9,000 events of a burst
GROUP_DESTROY = 4


class Recorder:
    """One gateway's recorder below `root`; `source` as in agent.clock, `random(n)` gives n octets, `log(text)` takes a line."""

    def __init__(
        self,
        config: "Config",
        root: str,
        source: "TimeSource",
        *,
        random: "Callable[[int], bytes]" = os.urandom,
        log: "Callable[[str], None]" = print,
        sysctl: "Callable[[str], int | None]" = timeouts.read_sysctl,
    ) -> None:
        self.config = config
        self.paths = paths = Paths(root)
        self._log = log
        self._sysctl = sysctl
        for folder, mode in (
            (root + "/srv/oubli", 0o755),
            (paths.spool, 0o2770),
            (paths.live, 0o2770),
            (paths.control, 0o700),
            (paths.vault + "/security", 0o700),
        ):
            files.make_folder(folder, mode)
        sodium = Sodium()
        self.counters = Counters(paths.counters)
        self.counters.add("starts")
        self._ledger = Ledger(paths.ledger, log)
        self.clock = Clock(source, self._ledger["high_water"])
        self._decoder = connections.Decoder()
        self._neighbours = neighbours.Decoder()
        self._timeouts = timeouts.Timeouts(sysctl)
        self._terminals = Terminals(paths.terminals, config.summary.rows, source.boot, sodium)
        self._who = Who(ADDRESSES_A_ROW * config.summary.rows)
        security = config.purposes.get("security")
        lifetime, budget = (security.lifetime, security.budget) if security else (law.DAY, 0)
        self._keys = KeyRing(paths.keys, slots_for(lifetime, budget), source.boot, sodium)
        self.counters.add("lost: ring resized", self._keys.dropped)
        number = law.number("security")
        self._ring = Ring(paths.vault + "/security", self._keys, sodium, number, lifetime, budget, source.boot, self._lose)
        self._keeps = security is not None
        self.counters.add("torn segments", self._ring.torn)
        self._spool = Spool(paths.spool, config.mqtt.spool_bytes, config.mqtt.spool_days)
        gateway = sodium.digest(config.gateway.id.encode(), 8)
        jitter = int.from_bytes(gateway, "big") % JITTER
        self._day = AgentDay(config, self._terminals, self._ledger, Sampler(random), self._spool, jitter, log)
        self._wall = source.wall()
        self._monotonic = source.monotonic()
        self._next_tick = self._monotonic
        self._next_refresh = self._monotonic + REFRESH
        self._next_health = self._monotonic
        self._next_hour = self._monotonic + HOUR
        log("started, clock " + self.clock.state + ", purposes: " + (", ".join(sorted(config.purposes)) or "none"))
        if self._ring.torn:
            log("closed " + str(self._ring.torn) + " segments that a former process left open")
        if config.gateway.duty == "undeclared":
            log("gateway.duty is undeclared: say who answers authority requests (L34-II-3)")

    def _lose(self, cause: str, records: int) -> None:
        self.counters.add("lost: store" if cause == "unlink" else "lost: " + cause, records)
        self._log("lost " + str(records) + " records: " + cause)

    def datagram(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one ctnetlink datagram: `length` octets at the start of `buffer`."""
        if self.clock.source.monotonic() >= self._next_tick:
            self.tick()
        self._decoder.feed(buffer, length, self._connection)

    def neighbour(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one rtnetlink datagram."""
        self._neighbours.feed(buffer, length, self._who.learn)

    def overrun(self) -> None:
        """Count that the kernel dropped messages before they were read."""
        self.counters.add("overruns")

    def _connection(self, connection: "connections.Connection") -> None:
        counters = self.counters.values
        counters["connections"] += 1
        mac = self._who.find(connection.source)
        if mac is None:
            counters["unknown terminal"] += 1
        if not self._keeps:
            counters["no purpose"] += 1
        elif not connection.stop:
            counters["lost: born before accounting"] += 1
        else:
            end = self._timeouts.end(connection)
            result = self._ring.append(connection, mac or UNKNOWN_MAC, connection.start, end, self._wall + _AHEAD, self._monotonic)
            if result != "lost":
                counters[result] += 1
        if mac is not None:
            self._day.see(mac)

    def tick(self) -> int:
        """Do what is due now; returns the ns until it wants to be called again."""
        source = self.clock.source
        self._wall, self._monotonic = wall, monotonic = source.wall(), source.monotonic()
        trusted = self.clock.trusted
        self._ring.tick(wall + _AHEAD, monotonic + _AHEAD, trusted=trusted)
        self._day.tick(wall // _SECOND, monotonic, trusted=trusted)
        if monotonic >= self._next_refresh:
            self._timeouts.refresh(wall)
            self._next_refresh = monotonic + REFRESH
        while monotonic >= self._next_hour:
            self._hour()
        if monotonic >= self._next_health:
            self._health()
            self._next_health = monotonic + HEALTH
        self.counters.values["malformed"] += self._decoder.malformed + self._neighbours.malformed
        self._decoder.malformed = self._neighbours.malformed = 0
        self.counters.values["messages lost"] += self._day.lost
        self._day.lost = 0
        self.counters.save()
        self._next_tick = monotonic + _TICK
        return _TICK

    def _hour(self) -> None:
        """Count a powered-on hour on flash; drop what the spool can't hold."""
        self._next_hour += HOUR
        trusted = self.clock.trusted
        try:
            self._ledger.hour(self._wall // _SECOND if trusted else 0)
            self._spool.trim(self._wall // _SECOND if trusted else 0)
        except OSError as failure:
            self._log("flash refused the hourly write (errno " + str(failure.errno) + ")")
        self.counters.add("messages dropped", self._spool.dropped)
        self._spool.dropped = 0

    def _capture(self) -> str:
        for name in ("events", "acct", "timestamp"):
            if self._sysctl(name) != 1:
                return "misconfigured"
        return "ok"

    def _health(self) -> None:
        facts = {
            "security": self._keeps,
            "late": self._ring.late(self._wall if self.clock.trusted else None, self._monotonic),
            "capture": self._capture(),
            "clock": self.clock.state,
            "day": self._ledger["day"],
            "spent": self._ledger["spent"],
            "ceiling": self.config.summary.epsilon_ceiling,
            "duty": self.config.gateway.duty,
        }
        text = messages.health(self.config.gateway.id, self._wall // _SECOND, facts)
        try:
            files.write_atomic(self.paths.health, text, 0o640, durable=False)
        except OSError as failure:
            self._log("health can't be written (errno " + str(failure.errno) + ")")

    def confirm_time(self) -> bool:
        """Take one NTP confirmation; True once the clock is trusted (EXP-5)."""
        before = self.clock.state
        trusted = self.clock.confirm()
        if self.clock.state != before:
            self._log("clock " + self.clock.state)
        self.tick()
        return trusted

    def call(self, request: "dict[str, Any]") -> "dict[str, Any]":
        """Answer one call of the control socket whose role was checked before."""
        if request["call"] == "ntp":
            self.confirm_time()
            return {"clock": self.clock.state}
        return self.status()

    def _forwarder(self) -> "dict[str, Any]":
        """Read the forwarder's word about itself as hostile input."""
        known = {"connected": False, "published": 0, "failures": 0, "waiting": 0}
        try:
            said = json.loads(files.read_bounded(self.paths.forwarder, FORWARDER_LIMIT))
            for name in known:
                if type(said[name]) is not type(known[name]):
                    raise ValueError
                known[name] = said[name]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # RuntimeError: nested deeper than the parser goes
            return {"connected": False, "unknown": True}
        return known

    def status(self) -> "dict[str, Any]":
        """Return what `oubli status` shows; for the person at the gateway, never for the wire."""
        self.tick()
        purposes = {}
        for name in sorted(self.config.purposes):
            entry: "dict[str, Any]" = self._ring.status(self._monotonic)
            entry["paragraph"] = law.purpose(name).paragraph
            purposes[name] = entry
        last = self._day.last
        return {
            "gateway": self.config.gateway.id,
            "duty": self.config.gateway.duty,
            "clock": self.clock.state,
            "capture": self._capture(),
            "purposes": purposes,
            "counters": dict(self.counters.values),
            "summary": {
                "metrics": sorted(self.config.metrics),
                "day": messages.date(self._terminals.day) if self._terminals.day else None,
                "filled": self._terminals.filled(),
                "spent": self._ledger["spent"],
                "ceiling": self.config.summary.epsilon_ceiling,
                "tokens": self._ledger["tokens"],
                "last_slot": [messages.date(last[0]), last[1]] if last else None,
                "spooled": len(self._spool.names()),
            },
            "forwarder": self._forwarder(),
        }

    def close(self) -> None:
        """Close segments in order and save; the keys stay for the next process of this boot."""
        self.tick()
        self._ring.close()
        self._keys.close()
        self._terminals.close()
        self.counters.close()


def run(config: "Config", root: str, source: "TimeSource") -> int:
    """Run the daemon until SIGTERM; returns the exit code."""
    process.harden()

    def log(text: str) -> None:
        process.log("oubli recorder: " + text)

    stop = process.stop_descriptor()
    events = sockets.netlink(sockets.NETLINK_NETFILTER, GROUP_DESTROY, RECEIVE_BUFFER)
    routes = sockets.netlink(sockets.NETLINK_ROUTE, neighbours.GROUP, RECEIVE_BUFFER >> 2)
    recorder = Recorder(config, root, source, log=log)
    poll = sockets.Poll()
    for descriptor in (stop, events, routes):
        poll.add(descriptor)
    server = Server(recorder.paths.socket, poll, LIBC.call("geteuid"), recorder.call)
    sockets.request(routes, neighbours.request())
    buffer = bytearray(DATAGRAM)
    wait = 0
    while True:
        ready = poll.wait(wait)
        # Neighbours first: a terminal is learned before its connections end.
        for descriptor, take in ((routes, recorder.neighbour), (events, recorder.datagram)):
            if descriptor in ready and not _drain(descriptor, buffer, take):
                recorder.overrun()
                log("the kernel dropped messages before they were read")
                if descriptor == routes:
                    sockets.request(routes, neighbours.request())
        now = source.monotonic()
        for descriptor in ready:
            if descriptor == stop:
                recorder.close()
                server.close()
                files.remove(recorder.paths.socket)
                log("stopped")
                return 0
            server.ready(descriptor, now)
        server.tick(now)
        wait = recorder.tick() // 1000000


def _drain(descriptor: int, buffer: bytearray, take: "Callable[[bytearray, int], None]") -> bool:
    """Hand on at most BATCH datagrams; False where the kernel reports that it dropped some."""
    for _ in range(BATCH):
        size = sockets.receive(descriptor, buffer)
        if size > 0:
            take(buffer, size)
        elif size == -errno.EAGAIN:
            break
        elif size == -errno.ENOBUFS:
            return False
        else:
            raise OSError(-size, "")
    return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.clock import TimeSource
    from agent.config import Config
