# SPDX-License-Identifier: Apache-2.0
"""The recorder: sees terminals and holds no network socket, AF_NETLINK and AF_UNIX only (L34-VI-2).

`Recorder` does no I/O of its own beyond its files: datagrams, time and randomness are handed in, so that the simulator
tests the code that is flashed. `run` supplies the real ones. A connection is handled once, in one order (terminal,
purposes, summary), and then forgotten by everything but the vault and the day's table.
"""

import os

from agent import BUILT
from agent.audit.counters import Counters
from agent.audit.log import Audit
from agent.base.clock import Clock, newest
from agent.base.paths import Paths, make_folders
from agent.capture import connections, kernel_stats, lossfree, timeouts
from agent.capture.live_table import LiveTable
from agent.config.config import PACKAGE
from agent.control import calls
from agent.outbox.spool import Spool
from agent.recorder import snapshot
from agent.recorder.fast_path import FastPath
from agent.recorder.guest_network import GuestNetwork
from agent.recorder.health import Health
from agent.recorder.hourly import Hourly
from agent.recorder.kept import PurposeStores
from agent.recorder.orders import Orders
from agent.recorder.pipeline import Pipeline
from agent.runtime import files
from agent.runtime.sodium import Sodium
from agent.summary.day import AgentDay
from agent.summary.ledger import Ledger
from agent.summary.noise import Sampler
from agent.summary.published import Published
from agent.summary.terminals import Terminals
from agent.vault import stores

_SECOND = 1000000000
_TICK = _SECOND
# Expiry runs this much ahead, so that one turn of the loop is never late.
_AHEAD = 2 * _SECOND


def _next(monotonic: int) -> int:
    """Return the next whole second since boot: counted from the last turn, delays would add up."""
    return (monotonic // _TICK + 1) * _TICK


class Recorder:
    """One gateway's recorder below `root`.

    source     its clocks, as in agent.base.clock
    sampler    draws the noise (None: from os.urandom)
    log        takes a line
    sysctl     (name) -> a setting of conntrack
    switch     (on): sets the loss-free mode of the event socket
    network    () -> what the network suffered, by name
    drops      () -> how many events the kernel dropped for the socket
    random     (count) -> octets, for salts
    bus        (stations, wanted) -> the connection to the radios
    nat        the kernel's table of port blocks (None: there is no kernel)
    """

    consented: "Consented | None" = None
    deferred: "DeferredPurposes | None" = None
    _erasure: "Erasure | None" = None
    _dropped = 0  # events that the kernel dropped, counted before

    def __init__(
        self,
        config: "Config",
        root: str,
        source: "TimeSource",
        *,
        sampler: "Sampler | None" = None,
        log: "Callable[[str], None]" = print,
        sysctl: "Callable[[str], int | None]" = timeouts.read_sysctl,
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
        self.network = network
        self._bus = bus
        self.copies: "list[int]" = []  # of this process, that answer somebody who looks
        self._sodium = sodium = Sodium()
        self.counters = Counters(paths.counters)
        self.counters.add("starts")
        self.hourly = Hourly(self)
        of_ledger: "list[str]" = []
        self.ledger = Ledger(paths.ledger, of_ledger.append, random)
        floor = max(BUILT, newest(paths.config.rsplit("/", 1)[0]), self.ledger["high_water"])
        self.clock = Clock(source, paths.clock, floor, hardware=config.gateway.hardware_clock)
        self.audit = Audit(paths.audit, sodium, self.clock, log, random)
        self.audit.begin(booted=self.clock.booted, config=sodium.digest(config.canonical.encode(), 8))
        self.terminals = Terminals(paths.terminals, config.summary.rows, source.boot, sodium)
        self.wall, self.monotonic = source.wall(), source.monotonic()  # ns, when last looked at
        self.due = self.monotonic  # when `tick` wants to be called again, monotonic ns
        self.guests = GuestNetwork(config, paths, source, self.counters.values, self.monotonic)
        self.parts: "list[Purposes]" = []  # the purposes beside `security`, by what they have in common
        self.kept = PurposeStores(config, paths, sodium, source.boot, self.counters, self.audit.note)
        self._ring, self.stores = self.kept.ring, self.kept.by_name
        self.kept.open_sealed(lambda: self.ledger.age, lambda: self.clock.floor)
        if stores.by_consent(config) or files.exists(paths.consents):
            self.by_consent()
        self.kept.destroy_strays()
        self.orders = Orders(self)
        self.spool = Spool(paths.spool, config.mqtt.spool_bytes, config.mqtt.spool_days)
        self.published = Published(paths.published)
        sampler = sampler or Sampler(os.urandom)
        self._day = AgentDay(config, self.terminals, self.ledger, sampler, self.spool, self.published, random, log)
        self._hear(sysctl, switch, drops)
        self._ring.now(self.wall + _AHEAD, self.monotonic + _AHEAD)
        self.health = Health(self, sysctl, random, self.monotonic)
        self._note_gap()
        self._defer(sodium, nat)
        self._tell_parts()
        self.guests.neighbours.restart()
        self._introduce(of_ledger)

    def _hear(
        self, sysctl: "Callable[[str], int | None]", switch: "Callable[[bool], None]", drops: "Callable[[], int]"
    ) -> None:
        """Make ready what the kernel's events and lists go through."""
        values, guests, day, terminals = self.counters.values, self.guests, self._day, self.terminals
        self._decoder, table = connections.Decoder(), connections.Decoder(connections.NEW)
        self.timeouts = timeouts.Timeouts(sysctl)
        self.loss_free = lossfree.LossFree(sysctl, switch, drops)
        security = self._ring if "security" in self.config.purposes else None
        self.pipeline = pipeline = Pipeline(
            self.clock, values, guests, self.timeouts, (self._decoder, table), day, terminals, security
        )
        self._take = pipeline.connection  # bound once: MicroPython makes an object each time a method is named
        self.live_table = LiveTable(table, pipeline.alive, self.monotonic)
        through = (guests.holders, guests.lan, self.timeouts, day, terminals, self._ring)
        self.fast_path = FastPath(self._decoder, through, values, pipeline.plain)

    def _note_gap(self) -> None:
        """Count the time since a former process of this boot: what ended in between can't be known.

        Never shorter than it was.
        """
        if self.counters.saved and self.counters.saved < self.monotonic:
            gap = -((self.counters.saved - self.monotonic) // _SECOND)
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

    def _defer(self, sodium: Sodium, nat: "Any") -> None:
        """Make ready what the two purposes have beside their stores; nothing while both are off: modules cost heap."""
        config = self.config
        if "attribution" not in config.purposes and "billing" not in config.purposes:
            return
        from agent.purposes import deferred_purposes

        table, count, note, guests = (
            nat or deferred_purposes.NoKernel(),
            self.counters.add,
            self.audit.note,
            self.guests,
        )
        self.deferred = deferred_purposes.DeferredPurposes(
            config,
            self.paths,
            self.stores,
            guests.lan,
            guests.holders,
            sodium,
            table,
            count,
            note,
            self.clock,
            self.monotonic,
        )
        self.parts.append(self.deferred)

    def by_consent(self) -> "Consented":
        """Return what is done by consent or in an emergency; read only where needed, for its modules cost heap."""
        if self.consented is None:
            try:
                from agent.purposes.consent.consented import Consented
            except ImportError:
                raise calls.Refused(PACKAGE + " isn't installed; accepted: on a gateway that has it")
            kept, holders = self.kept, self.guests.holders
            parts = (self.config, self.paths, kept.keys, self._sodium, holders, self.counters, kept.lose, self.log)
            self.consented = made = Consented(*parts, self._second, self.audit.note, self._bus)
            for name in made.stores:
                self.stores[name] = made.stores[name]
            self.parts.insert(0, made)
            made.table, self.terminals.objects = self.terminals, made.objects
        return self.consented

    def _tell_parts(self) -> None:
        """Tell of each connection whom that concerns."""
        self.pipeline.by_consent = self.consented is not None and "services" in self.stores
        told = [self.consented if self.pipeline.by_consent else None, self.deferred]
        self.pipeline.purposes = [part for part in told if part is not None]

    def _second(self) -> "int | None":
        """Return the present second, None while the clock isn't trusted or shows a time that is over (EXP-5)."""
        second = self.clock.source.wall() // _SECOND
        return second if self.clock.trusted and second >= self.clock.floor else None

    def ready(self, descriptor: int) -> bool:
        """Read from the radios where this descriptor is theirs."""
        return self.consented is not None and self.consented.ready(descriptor, self.clock.source.wall())

    def datagram(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one ctnetlink event: `length` octets at the start of `buffer`."""
        if self.fast_path.one(buffer, length):
            self.event(buffer, length)

    def event(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle a ctnetlink event that isn't for the fast path: through the modules, one after the other."""
        self._decoder.feed(buffer, length, self._take)

    def overrun(self) -> None:
        """Note ENOBUFS: the kernel dropped messages, for good unless the mode is loss-free; `tick` learns how many."""
        if not self.loss_free.on:
            self.counters.add("overruns")
            self.live_table.due(self.monotonic)

    def neighbour(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one rtnetlink datagram."""
        self.guests.neighbours.feed(buffer, length)

    def neighbour_request(self) -> "bytes | None":
        """Return what to ask rtnetlink next, None for nothing."""
        return self.guests.neighbours.request()

    def neighbour_overrun(self) -> None:
        """Note that rtnetlink messages were dropped: everything is listed again."""
        self.counters.add("neighbour overruns")
        self.guests.neighbours.restart()

    @property
    def introduced(self) -> bool:
        """Return True if the LAN's terminals have been listed, or are given up on."""
        return self.guests.introduced(self.monotonic)

    def live(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one datagram of a dump of the live table."""
        self.live_table.datagram(buffer, length)

    def live_request(self) -> "bytes | None":
        """Return the request that lists the live table where that is due, None otherwise."""
        return self.live_table.request(self.monotonic)

    def live_overrun(self) -> None:
        """Note that a part of a dump was dropped."""
        self.live_table.overrun()

    def policy(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one datagram of the list of the ruleset's objects."""
        self.timeouts.policies.reader.read(buffer, length)
        self.due = 0  # what the list says counts for the next event

    def policy_request(self) -> "bytes | None":
        """Return the request that lists the ruleset's objects where that is due, None otherwise."""
        return self.timeouts.policies.request(self.monotonic)

    def policy_overrun(self) -> None:
        """Note that a part of that list was dropped."""
        self.timeouts.policies.overrun()

    def tick(self) -> int:
        """Do what is due now; returns the ns until it wants to be called again."""
        source = self.clock.source
        self._watch_clock()
        self.wall, self.monotonic = wall, monotonic = source.wall(), source.monotonic()
        self.pipeline.wall = wall
        trusted = self.clock.trusted
        self._ring.now(wall + _AHEAD, monotonic + _AHEAD)
        for store in self.stores.values():
            store.tick(wall + _AHEAD, monotonic + _AHEAD, trusted=trusted)
        for part in self.parts:
            part.tick(wall, monotonic, trusted=trusted)
        self._day.tick(wall, monotonic, trusted=trusted)
        self.clock.floor = max(self.clock.floor, self.ledger["high_water"])
        self.timeouts.tick(wall, monotonic)
        self.guests.tick(wall, monotonic)
        while self.clock.hour():
            self.hourly.run()
        self.health.tick(monotonic)
        self.loss_free.tick(monotonic, self._decoder.connections)
        self._streams()
        self.counters.values["messages lost"] += self._day.lost
        self._day.lost = 0
        self.counters.save(monotonic)
        self.due = min(_next(monotonic), self.health.next)
        if wall < self._day.due:
            self.due = min(self.due, monotonic + self._day.due - wall)
        return self.due - monotonic

    def _streams(self) -> None:
        """Gather what the netlink streams said about themselves; sweep associations once a dump is over."""
        values, events, guests = self.counters.values, self._decoder.reader, self.guests
        dropped = self.loss_free.lost - self._dropped
        if dropped or events.overruns:
            self._dropped += dropped
            values["lost: overrun"] += dropped
            values["overruns"] += events.overruns
            events.overruns = 0
            self.live_table.due(self.monotonic)
            for part in self.parts:
                part.lost()
        for reader in (events, self.live_table.decoder.reader, guests.neighbours.reader, self.timeouts.policies.reader):
            values["malformed"] += reader.malformed
            reader.malformed = 0
        if self.live_table.finish(self.monotonic):
            for part in self.parts:
                part.list_ended(self.live_table.began)
            if guests.neighbours.complete:
                guests.holders.sweep()
        if guests.count():
            missing = ", ".join(guests.missing)
            self.log(
                "no interface of gateway.lan is called " + missing
                if missing
                else "every interface of gateway.lan is there again"
            )
            self.health.write(self.health.capture(), self.monotonic)
        self.health.hear(values["connections"], self.monotonic)

    def _watch_clock(self) -> None:
        """Follow a step of the wall clock: what was stamped before it is restated, and trust may go (EXP-5)."""
        before = self.clock.trusted
        step = self.clock.tick()
        if step:
            self.log("the wall clock was stepped by " + str(step // _SECOND) + " s")
            self.audit.note("clock", "forward" if step > 0 else "back", abs(step) // _SECOND)
            self.guests.holders.shift(step)
            self.timeouts.shift(step)
            for part in self.parts:
                part.stepped(step, self.clock.source.wall())
            for store in self.stores.values():
                store.stepped()
        if before and not self.clock.trusted:
            self.log("clock " + self.clock.state + ": more than a day from what was confirmed")
            self.audit.note("clock", "strayed", 0)

    @property
    def refusing(self) -> bool:
        """Return True if flash refused the last write of the ledger, of a message or of the audit log."""
        return self.hourly.refusing or self._day.failing or self.audit.failing

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

    def erasure(self) -> "Erasure":
        """Return what erases a terminal's records; read only where it is needed, and it isn't on every gateway."""
        if self._erasure is None:
            self.by_consent()  # of the same package
            from agent.purposes.erasure.rounds import Erasure

            self._erasure = Erasure(self, self._ring, self.guests.holders.holder)
            self.parts.append(self._erasure)
        return self._erasure

    def refused(self) -> bool:
        """Return True if this may not go on where it is: a second NAT that nobody has acknowledged (L34-II-4).

        It is closed then.
        """
        wrong = self.deferred.refusal() if self.deferred is not None else ""
        if wrong:
            self.log(wrong)
            self.close()
        return bool(wrong)

    def work(self) -> bool:
        """Do a small part of what may wait: an erasure, a handover that is being written (L34-II-4).

        True where there is more of it.
        """
        return any(part.work(self.monotonic) for part in self.parts)

    def require_deferred(self) -> "DeferredPurposes":
        """Return what `attribution` and `billing` have beside their stores; Refused while both are off."""
        if self.deferred is None:
            raise calls.Refused("neither attribution nor billing is on; accepted: on a gateway that keeps one of them")
        return self.deferred

    def status(self) -> "dict[str, Any]":
        """Return what `oubli status` shows; for the person at the gateway, never for the wire."""
        self.tick()
        return snapshot.snapshot(self, self.monotonic)

    def close(self) -> None:
        """Close segments in order and save; the keys stay for the next process of this boot.

        Health says that capture has stopped.
        """
        self.tick()
        for part in self.parts:
            part.close(self.wall)
        self.hourly.note_losses()
        self.audit.note("stop")
        self.health.write("stopped", self.monotonic)
        self.guests.holders.close()
        self.kept.close()
        self.terminals.close()
        self.counters.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.base.clock import TimeSource
    from agent.config.config import Config
    from agent.purposes.consent.consented import Consented
    from agent.purposes.deferred_purposes import DeferredPurposes
    from agent.purposes.erasure.rounds import Erasure
    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
    from agent.purposes.purposes import Purposes
