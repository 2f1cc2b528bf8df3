# SPDX-License-Identifier: Apache-2.0
"""The recorder: sees terminals and holds no network socket, AF_NETLINK and AF_UNIX only (L34-VI-2).

`Recorder` does no I/O of its own beyond its files. Datagrams, time and randomness are handed in, so that the simulator
tests the code that is flashed. `run` supplies the real ones. A connection is handled once, in one order (terminal,
purposes, summary), and then forgotten by everything but the vault and the day's table.
"""

import os

from agent import BUILT
from agent.audit.counters import Counters
from agent.audit.log import Audit
from agent.base.clock import Clock, newest
from agent.base.paths import Paths, make_folders
from agent.capture import kernel_stats, timeouts
from agent.outbox.spool import Spool
from agent.recorder import snapshot
from agent.recorder.guest_network import GuestNetwork
from agent.recorder.health import Health
from agent.recorder.hourly import Hourly
from agent.recorder.kept import PurposeStores
from agent.recorder.orders import Orders
from agent.recorder.purpose_groups import PurposeGroups
from agent.recorder.streams import Streams
from agent.runtime import memory
from agent.runtime.sodium import Sodium
from agent.summary.day import AgentDay
from agent.summary.ledger import Ledger
from agent.summary.noise import Sampler
from agent.summary.published import Published
from agent.summary.releases import Releases
from agent.summary.terminals import Terminals
from agent.vault import stores

_SECOND = 1000000000
_TICK = _SECOND
# Expiry runs this much ahead, so that one turn of the loop is never late.
_AHEAD = 2 * _SECOND


def _next(monotonic: int) -> int:
    """Return the next whole second since boot: counted from the last turn, delays would add up."""
    return (monotonic // _TICK + 1) * _TICK


class Turn:
    """When the recorder last looked at its clocks, in ns; `due`: when `tick` wants to be called again, monotonic."""

    def __init__(self, source: "TimeSource") -> None:
        self.wall, self.monotonic = source.wall(), source.monotonic()
        self.due = self.monotonic


class Recorder:
    """One gateway's recorder below `root`.

    source     its clocks, as in agent.base.clock
    sampler    draws the noise (None: from os.urandom)
    log        takes a line
    sysctl     (name) -> a setting of conntrack
    slept      () -> ns since boot in which the device was suspended
    switch     (on): sets the loss-free mode of the event socket
    network    () -> what the network suffered, by name
    drops      () -> how many events the kernel dropped for the socket
    random     (count) -> octets, for salts
    bus        (stations, wanted) -> the connection to the radios
    nat        the kernel's table of port blocks (None: there is no kernel)
    """

    def __init__(
        self,
        config: "Config",
        root: str,
        source: "TimeSource",
        *,
        sampler: "Sampler | None" = None,
        log: "Callable[[str], None]" = print,
        sysctl: "Callable[[str], int | None]" = timeouts.read_sysctl,
        slept: "Callable[[], int]" = lambda: 0,
        switch: "Callable[[bool], None]" = lambda _on: None,
        network: "Callable[[], dict[str, int] | None]" = kernel_stats.read,
        drops: "Callable[[], int]" = lambda: 0,
        random: "Callable[[int], bytes]" = os.urandom,
        bus: "Callable[[Stations, Callable[[], bool]], Bus | None]" = lambda _stations, _wanted: None,
        nat: "Any" = None,
    ) -> None:
        self.config = config
        self.paths = paths = Paths(root)
        self.log = log
        make_folders(paths)
        sodium = Sodium()
        self.counters = Counters(paths.run.counters)
        self.counters.add("starts")
        self.hourly = Hourly(self)
        of_ledger: "list[str]" = []
        ledger = Ledger(paths.flash.ledger, of_ledger.append, random)
        terminals = Terminals(paths.run.terminals, config.summary.rows, source.boot, sodium)
        spool = Spool(paths.flash.spool, config.mqtt.spool_bytes, config.mqtt.spool_days)
        published, sampler = Published(paths.flash.published), sampler or Sampler(os.urandom)
        releases = Releases(config, terminals, ledger, sampler, spool, published, log)
        self.day = day = AgentDay(config, terminals, ledger, releases, random, log)
        floor = max(BUILT, newest(paths.etc.config.rsplit("/", 1)[0]), ledger["high_water"])
        lines, time_outs = paths.run.stays
        self.clock = Clock(source, paths.run.clock, lines, floor, hardware=config.gateway.hardware_clock)
        self.audit = Audit(paths.flash.audit, sodium, self.clock, log, random)
        self.audit.begin(booted=self.clock.booted, config=sodium.digest(config.canonical.encode(), 8))
        self.turn = Turn(source)
        wall, monotonic = self.turn.wall, self.turn.monotonic
        self.guests = GuestNetwork(config, paths, self.clock.lines.wall, self.counters.values, monotonic)
        self.groups = PurposeGroups(self, sodium, self._second, bus)
        self.kept = PurposeStores(config, paths, sodium, source.boot, self.counters, self.audit.note)
        self.kept.open_sealed(lambda: ledger.age, lambda: self.clock.floor)
        if stores.by_consent(config) or stores.remembered(paths):
            self.groups.by_consent()
        self.kept.destroy_strays()
        self.orders = Orders(self)
        security = "security" in config.purposes
        taken = (day, terminals, self.kept.ring, security, sysctl, slept, switch, drops, monotonic)
        self.streams = Streams(self.clock.lines, self.counters.values, self.guests, *taken)
        self.streams.timeouts.outlast(time_outs, source.boot, self.clock.lines)
        self.kept.ring.now(wall + _AHEAD, monotonic + _AHEAD)
        self.health = Health(self, sysctl, network, random, monotonic)
        self._note_gap()
        self.groups.defer(nat)
        self.groups.tell(self.streams.pipeline)
        self.guests.neighbours.restart()
        self._introduce(of_ledger)

    def _note_gap(self) -> None:
        """Count the time since a former process of this boot: what ended in between can't be known.

        Never shorter than it was.
        """
        if self.counters.saved and self.counters.saved < self.turn.monotonic:
            gap = -((self.counters.saved - self.turn.monotonic) // _SECOND)
            self.counters.add("gaps")
            self.counters.add("gap seconds", gap)
            self.log("gap of " + str(gap) + " s since the former process")

    def _introduce(self, of_ledger: "list[str]") -> None:
        """Say what runs and what was found, and count the boot."""
        config, log = self.config, self.log
        log("started, clock " + self.clock.state + ", purposes: " + (", ".join(sorted(config.purposes)) or "none"))
        for line in of_ledger:
            log(line)
        if self.clock.booted:
            self.hourly.boot()
        if config.gateway.duty == "undeclared":
            log("gateway.duty is undeclared: say who answers authority requests (L34-II-3)")

    def _second(self) -> "int | None":
        """Return the present second, None while the clock isn't trusted or shows a time that is over (EXP-5)."""
        second = self.clock.source.wall() // _SECOND
        return second if self.clock.trusted and second >= self.clock.floor else None

    def ready(self, descriptor: int) -> bool:
        """Read from the radios where this descriptor is theirs."""
        consented = self.groups.consented
        return consented is not None and consented.ready(descriptor, self.clock.source.wall())

    def rules(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one datagram of the list of the ruleset's objects: what it says counts for the next event."""
        self.streams.timeouts.policies.reader.read(buffer, length)
        self.turn.due = 0

    def tick(self) -> int:
        """Do what is due now; returns the ns until it wants to be called again."""
        source = self.clock.source
        self._watch_clock()
        turn, day = self.turn, self.day
        turn.wall, turn.monotonic = wall, monotonic = source.wall(), source.monotonic()
        trusted = self.clock.trusted
        self.kept.ring.now(wall + _AHEAD, monotonic + _AHEAD)
        gone = 0
        for store in self.kept.by_name.values():
            gone += store.tick(wall + _AHEAD, monotonic + _AHEAD, trusted=trusted)
        for group in self.groups.all:
            group.tick(wall, monotonic, trusted=trusted)
        day.tick(wall, monotonic, trusted=trusted)
        self.clock.floor = max(self.clock.floor, self.day.ledger["high_water"])
        self.streams.begin(wall, monotonic)
        self.guests.follow()
        while self.clock.hour():
            self.hourly.run()
        self.health.tick(monotonic)
        self._hear()
        self.counters.values["messages lost"] += day.releases.lost
        day.releases.lost = 0
        self.counters.save(monotonic)
        if gone:
            memory.overwrite_freed()
        turn.due = min(_next(monotonic), self.health.next)
        if wall < day.due:
            turn.due = min(turn.due, monotonic + day.due - wall)
        return turn.due - monotonic

    def _hear(self) -> None:
        """Gather what the netlink streams said about themselves; sweep associations once a dump is over."""
        guests, streams = self.guests, self.streams
        if streams.lost():
            for group in self.groups.all:
                group.lost()
        if streams.listed():
            for group in self.groups.all:
                group.list_ended(streams.live_table.began)
            guests.sweep(self.turn.monotonic)
        if guests.count():
            missing = ", ".join(guests.missing)
            self.log(
                "no interface of gateway.lan is called " + missing
                if missing
                else "every interface of gateway.lan is there again"
            )
            self.health.write(self.health.capture(), self.turn.monotonic)
        self.health.hear(self.counters.values["connections"], self.turn.monotonic)

    def _watch_clock(self) -> None:
        """Follow a step of the wall clock: what was stamped before it is restated, and trust may go (EXP-5)."""
        before = self.clock.trusted
        step = self.clock.tick()
        if step:
            self.log("the wall clock was stepped by " + str(step // _SECOND) + " s")
            self.audit.note("clock", "forward" if step > 0 else "back", abs(step) // _SECOND)
            self.guests.holders.shift(step)
            self.streams.timeouts.shift(step)
            for group in self.groups.all:
                group.stepped(step, self.clock.source.wall())
            for store in self.kept.by_name.values():
                store.stepped()
        if before and not self.clock.trusted:
            self.log("clock " + self.clock.state + ": more than a day from what was confirmed")
            self.audit.note("clock", "strayed", 0)

    @property
    def refusing(self) -> bool:
        """Return True if flash refused the last write of the ledger, of a message or of the audit log."""
        return self.hourly.refusing or self.day.releases.failing or self.audit.failing

    def confirm_time(self) -> "dict[str, Any]":
        """Take one NTP confirmation; returns what the clock is then (EXP-5)."""
        self._watch_clock()
        before = self.clock.state
        self.clock.confirm()
        if self.clock.state != before:
            self.log("clock " + self.clock.state)
            self.audit.note("clock", "trusted", 0)
        if self.clock.refused:
            self.audit.note("clock", "refused", 0)
            self.log("the time service tells a time that is over: not believed (EXP-5)")
        self.tick()
        return {"clock": self.clock.state}

    def refused(self) -> bool:
        """Return True if this may not go on where it is: a second NAT that nobody has acknowledged (L34-II-4).

        It is closed then.
        """
        deferred = self.groups.deferred
        wrong = deferred.refusal() if deferred is not None else ""
        if wrong:
            self.log(wrong)
            self.close()
        return bool(wrong)

    def work(self) -> bool:
        """Do a small part of what may wait: an erasure, a handover that is being written (L34-II-4).

        True where there is more of it.
        """
        return any(group.work(self.turn.monotonic) for group in self.groups.all)

    def status(self) -> "dict[str, Any]":
        """Return what `oubli status` shows; for the person at the gateway, never for the wire."""
        self.tick()
        return snapshot.snapshot(self, self.turn.monotonic)

    def close(self) -> None:
        """Close segments in order and save; the keys stay for the next process of this boot.

        Health says that capture has stopped.
        """
        self.tick()
        for group in self.groups.all:
            group.close(self.turn.wall)
        self.hourly.note_losses()
        self.audit.note("stop")
        self.health.write("stopped", self.turn.monotonic)
        self.guests.holders.close()
        self.kept.close()
        self.day.terminals.close()
        self.counters.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.base.clock import TimeSource
    from agent.config.config import Config
    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
