# SPDX-License-Identifier: Apache-2.0
"""The recorder: sees terminals and holds no network socket, AF_NETLINK and AF_UNIX only (L34-VI-2).

`Recorder` does no I/O of its own beyond its files: datagrams, time and randomness are handed in, so that the simulator tests the
code that is flashed. `run` supplies the real ones. A connection is handled once, in one order (terminal, purposes, summary), and
then forgotten by everything but the vault and the day's table.
"""

import os

from agent import BUILT, law
from agent.audit.counters import Counters
from agent.audit.log import Audit
from agent.base.clock import HOUR, Clock, newest
from agent.base.paths import Paths, make_folders
from agent.capture import connections, kernel_stats, lossfree, timeouts
from agent.capture.live_table import LiveTable
from agent.control import calls
from agent.outbox.spool import Spool
from agent.recorder import snapshot
from agent.recorder.fast_path import FastPath
from agent.recorder.guest_network import GuestNetwork
from agent.recorder.health import Health
from agent.recorder.pipeline import Pipeline
from agent.runtime import files
from agent.runtime.libc import reason
from agent.runtime.sodium import Sodium
from agent.summary.day import AgentDay
from agent.summary.ledger import Ledger
from agent.summary.metrics import METRICS
from agent.summary.noise import Sampler
from agent.summary.published import Published
from agent.summary.terminals import Terminals
from agent.vault import stores
from agent.vault.keys import KeyRing
from agent.vault.ring import Ring
from agent.vault.windows import slots_for

_SECOND = 1000000000
_TICK = _SECOND
# Expiry runs this much ahead, so that one turn of the loop is never late.
_AHEAD = 2 * _SECOND
# What a store says that isn't "lost: " and the cause.
_COUNTED = {"unlink": "lost: store", "hours": "due by powered-on hours"}


def _next(monotonic: int) -> int:
    """Return the next whole second since boot: counted from the last turn, delays would add up."""
    return (monotonic // _TICK + 1) * _TICK


def _no_socket(_on: bool) -> None:
    """Stand in for the socket whose loss-free mode is switched."""


def _no_drops() -> int:
    """Stand in for the socket whose drops are counted."""
    return 0


def _no_bus(_stations: "Stations", _wanted: "Callable[[], bool]") -> "Bus | None":
    """Stand in for the connection to the radios."""
    return None


class Recorder:
    """One gateway's recorder below `root`.

    `source` as in agent.base.clock, `sampler` draws the noise (None: from os.urandom), `random(count)` gives salts, `log(text)` takes a
    line, `sysctl(name)` reads a
    setting of conntrack, `switch(on)` sets the loss-free mode of the event socket, `drops()` counts what the kernel dropped for
    it, `network()` says what the network suffered, `bus(stations, wanted)` connects to the radios, `nat` is the kernel's table of port
    blocks (None: there is no kernel).
    """

    consented: "Consented | None" = None
    deferred: "DeferredPurposes | None" = None
    _access: "Access | None" = None
    _erasure: "Erasure | None" = None
    _refusing = False  # flash refused what each hour writes
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
        switch: "Callable[[bool], None]" = _no_socket,
        network: "Callable[[], dict[str, int] | None]" = kernel_stats.read,
        drops: "Callable[[], int]" = _no_drops,
        random: "Callable[[int], bytes]" = os.urandom,
        bus: "Callable[[Stations, Callable[[], bool]], Bus | None]" = _no_bus,
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
        self._noted = dict(self.counters.values)  # what the audit log has of losses
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
        self._open_stores(sodium, source.boot)
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

    def _hear(self, sysctl: "Callable[[str], int | None]", switch: "Callable[[bool], None]", drops: "Callable[[], int]") -> None:
        """Make ready what the kernel's events and lists go through."""
        values, guests, day, terminals = self.counters.values, self.guests, self._day, self.terminals
        self._decoder, table = connections.Decoder(), connections.Decoder(connections.NEW)
        self.timeouts = timeouts.Timeouts(sysctl)
        self.loss_free = lossfree.LossFree(sysctl, switch, drops)
        security = self._ring if "security" in self.config.purposes else None
        self.pipeline = pipeline = Pipeline(self.clock, values, guests, self.timeouts, (self._decoder, table), day, terminals, security)
        self._take = pipeline.connection  # bound once: MicroPython makes an object each time a method is named
        self.live_table = LiveTable(table, pipeline.alive, self.monotonic)
        through = (guests.holders, guests.lan, self.timeouts, day, terminals, self._ring)
        self.fast_path = FastPath(self._decoder, through, values, pipeline.plain)

    def _note_gap(self) -> None:
        """Count the time since a former process of this boot: what ended in between can't be known. Never shorter than it was."""
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
            self._refusing = self._count(self.ledger.boot, self.monotonic // HOUR)
        if config.gateway.duty == "undeclared":
            log("gateway.duty is undeclared: say who answers authority requests (L34-II-3)")

    def _defer(self, sodium: Sodium, nat: "Any") -> None:
        """Make ready what `attribution` and `billing` have beside their stores; nothing while both are off: its modules cost heap."""
        config = self.config
        if "attribution" not in config.purposes and "billing" not in config.purposes:
            return
        from agent.purposes import deferred_purposes

        table, count, note, guests = nat or deferred_purposes.NoKernel(), self.counters.add, self.audit.note, self.guests
        self.deferred = deferred_purposes.DeferredPurposes(
            config, self.paths, self.stores, guests.lan, guests.holders, sodium, table, count, note, self.clock, self.monotonic
        )
        self.parts.append(self.deferred)

    def _open_stores(self, sodium: Sodium, boot: str) -> None:
        """Open each purpose's own store (L34-III-3), also where one is off now and what it kept must still go in time."""
        config, paths = self.config, self.paths
        security = config.purposes.get("security")
        lifetime, budget = (security.lifetime, security.budget) if security else (law.DAY, 0)
        by_consent = stores.by_consent(config)
        slots = slots_for(lifetime, budget) + stores.PAGES * len(stores.needed(config, paths)) + stores.CONSENTS * len(by_consent)
        self._keys = KeyRing(paths.keys, slots, boot, sodium)
        number = law.number("security")
        self._ring = Ring(paths.vault + "/security", self._keys, sodium, number, lifetime, budget, boot, self._lose)
        self._torn("security", self._ring.torn)
        self.stores: "dict[str, Store]" = {"security": self._ring}
        hours, floor = lambda: self.ledger.age, lambda: self.clock.floor
        for name, store in stores.custodians(config, paths, self._keys, sodium, boot, hours, floor, self._lose).items():
            self.stores[name] = store
            self._torn(name, store.torn)
        if by_consent or files.exists(paths.consents):
            self.by_consent()
        for slot in self._keys.used():  # of what is kept by consent, where that is off now
            if law.PURPOSES[slot.purpose - 1].name not in self.stores:
                self.counters.add("erased", slot.records)
                self._keys.destroy(slot)

    def _torn(self, purpose: str, segments: "list[Any]") -> None:
        """Count and note the segments of a purpose that were found open, by name: who reads one that ends torn looks here for it."""
        self.counters.add("torn segments", len(segments))
        while segments:
            self.audit.note("torn", purpose, segments.pop())

    def by_consent(self) -> "Consented":
        """Return what is done by consent or in an emergency; read only where it is needed, for its modules cost heap."""
        if self.consented is None:
            try:
                from agent.purposes.consent.consented import Consented
            except ImportError:
                raise calls.Refused(stores.PACKAGE + " isn't installed; accepted: on a gateway that has it")
            parts = (self.config, self.paths, self._keys, self._sodium, self.guests.holders, self.counters, self._lose, self.log)
            self.consented = made = Consented(*parts, self._second, self.audit.note, self._bus)
            for name in made.stores:
                self.stores[name] = made.stores[name]
            self.parts.insert(0, made)
            self.terminals.objects = made.objects
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

    def _lose(self, cause: str, records: int) -> None:
        # Not on the log, which may leave the gateway: guests cause losses (ANON-4). `oubli status` has them.
        self.counters.add(_COUNTED.get(cause) or "lost: " + cause, records)

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
            self._hour()
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
        for reader in (events, self.live_table.decoder.reader, guests.neighbours.reader, self.timeouts.policies.reader):
            values["malformed"] += reader.malformed
            reader.malformed = 0
        if self.live_table.finish(self.monotonic) and guests.neighbours.complete:
            guests.holders.sweep()
        if guests.count():
            missing = ", ".join(guests.missing)
            self.log("no interface of gateway.lan is called " + missing if missing else "every interface of gateway.lan is there again")
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

    def _hour(self) -> None:
        """Count a powered-on hour on flash; drop what the spool can't hold."""
        now = self.wall // _SECOND if self.clock.trusted else 0
        self.clock.floor = max(self.clock.floor, now)
        refused = self._count(self.ledger.hour, now)
        self._refusing = self._count(self.spool.trim, now) or refused
        if self.spool.stuck:
            self.log("the spool holds " + str(self.spool.stuck) + " entries that are no messages and that only root can remove")
        self._note_losses()
        for name in self.stores:  # flash that refused at the start, or came later, is put in order later
            self._torn(name, getattr(self.stores[name], "torn", []))
        self.audit.hour()
        for metric in METRICS:  # whatever the spool was made to hold besides is nobody's loss
            count = self.spool.dropped.get(metric.name, 0)
            self.counters.add("messages dropped", count)
            self.counters.add("messages dropped: " + metric.name, count)
        self.spool.dropped = {}
        for part in self.parts:
            part.hour()

    def _note_losses(self) -> None:
        """Put what was lost since the last time on the audit log, a line a cause."""
        for name in self.counters.values:
            lost = self.counters.values[name] - self._noted[name]
            if lost and name.startswith("lost: "):
                self.audit.note("loss", name[6:].replace(" ", "-"), lost)
        self._noted = dict(self.counters.values)

    def _count(self, write: "Callable[..., None]", *values: int) -> bool:
        """Write something on flash; True where that refuses."""
        try:
            write(*values)
        except OSError as failure:
            self.log("flash refused a write" + reason(failure.errno))
            return True
        return False

    @property
    def refusing(self) -> bool:
        """Return True if flash refused the last write of the ledger, of a message or of the audit log."""
        return self._refusing or self._day.failing or self.audit.failing

    def new_device(self) -> "dict[str, Any]":
        """Take root's word that nobody was ever counted here (ANON-6)."""
        try:
            new = self.ledger.begin()
        except OSError:
            raise calls.Refused("new-device: flash refuses; accepted: once it takes the ledger")
        if not new:
            raise calls.Refused("new-device: a ledger was here before; accepted: on a gateway that never counted anybody")
        self.audit.note("ledger", "new")
        return {"tokens": self.ledger["tokens"]}

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

    def read_leases(self) -> "dict[str, Any]":
        """Read the DHCP leases now."""
        self.wall = self.pipeline.wall = self.clock.source.wall()
        return {"read": self.guests.read_leases(self.wall)}

    def access(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Look at what is held on a terminal, for the person at it."""
        if self._access is None:
            from agent.recorder.access import Access

            self._access = Access(self, self.guests.holders.holder)
        return self._access.look(fields, by)

    def lookup(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Look at what `security` has of a port or a terminal, for the security of the network (L34-II-6)."""
        try:
            from agent.purposes import lookup
            from agent.recorder.access import row_of
        except ImportError:
            raise calls.Refused(stores.PACKAGE + " isn't installed; accepted: on a gateway that has it")
        return lookup.begin(self, self.guests.holders.holder, row_of, fields, by, second_nat=self.guests.lan.behind)

    def erase(self, purpose: str, by: str) -> "dict[str, Any]":
        """Destroy what a purpose keeps, or "all" of them; `by` is the caller's role."""
        if purpose != "all" and purpose not in self.config.purposes:
            raise calls.Refused("purpose isn't on; accepted: " + ", ".join(["all"] + sorted(self.config.purposes)))
        records = 0
        refused = []  # one store's flash keeps no other store from being erased
        for name in self.stores if purpose == "all" else (purpose,):
            store = self.stores[name]
            before = store.status(self.monotonic)["records"]
            try:
                records += store.erase()
            except OSError:
                refused.append(name)
                records += before - store.status(self.monotonic)["records"]
            try:
                for part in self.parts:
                    part.erase(name)
            except OSError:
                refused.append(name)
        self.counters.add("erased", records)
        self.tick()
        self.log("erased by order")
        self.audit.note("erase", purpose, by)
        if refused:
            raise calls.Refused(", ".join(refused) + ": flash refuses, not everything is erased; accepted: once more when it is writable")
        return {"erased": records}

    def erasure(self) -> "Erasure":
        """Return what erases a terminal's records; read only where it is needed, and it isn't on every gateway."""
        if self._erasure is None:
            self.by_consent()  # of the same package
            from agent.purposes.erasure.rounds import Erasure

            self._erasure = Erasure(self, self._ring, self.guests.holders.holder)
            self.parts.append(self._erasure)
        return self._erasure

    def refused(self) -> bool:
        """Return True if this may not go on where it is: a second NAT that nobody has acknowledged (L34-II-4). It is closed then."""
        wrong = self.deferred.refusal() if self.deferred is not None else ""
        if wrong:
            self.log(wrong)
            self.close()
        return bool(wrong)

    def work(self) -> bool:
        """Do a small part of what may wait: an erasure, a handover that is being written (L34-II-4). True where there is more of it."""
        return any(part.work(self.monotonic) for part in self.parts)

    def object(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take a terminal's objection: its row of the day's table counts nothing any more, and it gets no other one."""
        mac, answer = self.by_consent().object(fields, by)
        self.terminals.forget(mac)
        return answer

    def require_deferred(self) -> "DeferredPurposes":
        """Return what `attribution` and `billing` have beside their stores; Refused while both are off."""
        if self.deferred is None:
            raise calls.Refused("neither attribution nor billing is on; accepted: on a gateway that keeps one of them")
        return self.deferred

    def enrolled(self, digest: bytes) -> "dict[str, Any]":
        """Take note that root has enrolled an agent, by the digest of his key's line."""
        self.audit.note("request", "enrolled", digest)
        return {}

    def status(self) -> "dict[str, Any]":
        """Return what `oubli status` shows; for the person at the gateway, never for the wire."""
        self.tick()
        return snapshot.snapshot(self, self.monotonic)

    def close(self) -> None:
        """Close segments in order and save; the keys stay for the next process of this boot. Health says that capture has stopped."""
        self.tick()
        for part in self.parts:
            part.close(self.wall)
        self._note_losses()
        self.audit.note("stop")
        self.health.write("stopped", self.monotonic)
        self.guests.holders.close()
        for store in self.stores.values():
            store.close()
        self._keys.close()
        self.terminals.close()
        self.counters.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Protocol

    from agent.base.clock import TimeSource
    from agent.config.config import Config
    from agent.purposes.consent.consented import Consented
    from agent.purposes.deferred_purposes import DeferredPurposes
    from agent.purposes.erasure.rounds import Erasure
    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
    from agent.purposes.purposes import Purposes
    from agent.recorder.access import Access

    class Store(Protocol):
        """What keeps the records of one purpose. Times in ns; each has its own `append`, which says what became of a record."""

        def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
            """Do what is due; returns how many segments were destroyed."""
            ...

        def stepped(self) -> None:
            """Note that the wall clock was stepped."""
            ...

        def late(self, wall: "int | None", monotonic: int) -> bool:
            """Return True if anything outlived its deadline."""
            ...

        def erase(self) -> int:
            """Destroy everything; returns how many records that were."""
            ...

        def status(self, monotonic: int) -> "dict[str, Any]":
            """Return what is kept, against its limits."""
            ...

        def close(self) -> None:
            """Stop in order."""
            ...
