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
from agent.capture import connections, kernel_stats, lan, leases, lossfree, neighbours, timeouts
from agent.capture.address_table import LEASE, AddressTable
from agent.config.config import devices, lease_files
from agent.control import calls
from agent.doctor import verdict
from agent.outbox import jitter
from agent.outbox.spool import Spool
from agent.recorder import snapshot
from agent.recorder.fast_path import FastPath
from agent.runtime import files
from agent.runtime.libc import reason
from agent.runtime.sodium import Sodium
from agent.summary import messages
from agent.summary.day import AgentDay
from agent.summary.ledger import Ledger
from agent.summary.metrics import METRICS
from agent.summary.noise import Sampler
from agent.summary.published import Published
from agent.summary.services import service_of
from agent.summary.terminals import Terminals
from agent.vault import stores
from agent.vault.keys import KeyRing
from agent.vault.ring import Ring, slots_for

_SECOND = 1000000000
_TICK = _SECOND
# Expiry runs this much ahead, so that one turn of the loop is never late.
_AHEAD = 2 * _SECOND
# What a store says that isn't "lost: " and the cause.
_COUNTED = {"unlink": "lost: store", "hours": "due by powered-on hours"}
_LATEST = _SECOND << 32  # a segment's window has 32 bits of seconds since the epoch
REFRESH = 10 * _SECOND
ADDRESSES_A_ROW = 4  # a terminal has one IPv4 address and a few of IPv6

DUMP = 300 * _SECOND  # how often the live table is listed


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

    _key_days: "int | None" = None  # of the custodian's keys, when health was last told
    _access: "Access | None" = None
    _erasure: "Erasure | None" = None
    _refusing = False  # flash refused what each hour writes

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
        self._log = log
        self._sysctl = sysctl
        make_folders(paths)
        self.network = network
        self._bus = bus
        self.copies: "list[int]" = []  # of this process, that answer somebody who looks
        self.consented: "Consented | None" = None
        self._services: "Callable[..., None] | None" = None
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
        self._decoder, self._table = connections.Decoder(), connections.Decoder(connections.NEW)
        # Bound once: MicroPython makes an object each time a method is named.
        self._take_event, self._take_live = self._connection, self._alive
        self._timeouts = timeouts.Timeouts(sysctl)
        self.terminals = Terminals(paths.terminals, config.summary.rows, source.boot, sodium)
        self._holders = AddressTable(ADDRESSES_A_ROW * config.summary.rows, source.wall())
        self._lan = lan.Lan((), self._holders, source.wall)
        self._neighbours = neighbours.Neighbours(self._lan)
        self._leases = leases.Leases((), lambda: self._holders.doubt(LEASE), self._lan.lease)
        self._handed: "object" = ()  # the networks' file, as it was when it was read
        self._follow()
        self.loss_free = lossfree.LossFree(sysctl, switch, drops)
        self._dropped = 0  # of these, counted before
        self._open_stores(sodium, source.boot)
        self.spool = Spool(paths.spool, config.mqtt.spool_bytes, config.mqtt.spool_days)
        self.published = Published(paths.published)
        sampler = sampler or Sampler(os.urandom)
        self._day = AgentDay(config, self.terminals, self.ledger, sampler, self.spool, self.published, random, log)
        self._wall = source.wall()
        self._monotonic = source.monotonic()
        self._ring.now(self._wall + _AHEAD, self._monotonic + _AHEAD)
        self.fast_path = FastPath(
            self._decoder,
            (self._holders, self._lan, self._timeouts, self._day, self.terminals, self._ring),
            self.counters.values,
            self._plain,
        )
        self.due = self._monotonic  # when `tick` wants to be called again, monotonic ns
        self._next_refresh = self._patience = self._monotonic + REFRESH
        self._next_policies = self._monotonic
        self._next_leases = self._monotonic
        self._random = random
        self._next_health = self._monotonic
        self._next_dump = self._monotonic
        self._dumping_until = 0  # one dump at a time: its end, or when it is given up
        self._missing: "list[str]" = []  # interfaces of the LAN, when last looked at
        self._heard, self._heard_at = 0, self._monotonic  # connections, and when there was the newest
        self._note_gap()
        self.deferred = self._defer(sodium, nat)
        self._neighbours.restart()
        self._introduce(of_ledger)

    def _note_gap(self) -> None:
        """Count the time since a former process of this boot: what ended in between can't be known. Never shorter than it was."""
        if self.counters.saved and self.counters.saved < self._monotonic:
            gap = -((self.counters.saved - self._monotonic) // _SECOND)
            self.counters.add("gaps")
            self.counters.add("gap seconds", gap)
            self._log("gap of " + str(gap) + " s since the former process")

    def _introduce(self, of_ledger: "list[str]") -> None:
        """Say what runs and what was found, and count the boot."""
        config, log = self.config, self._log
        log("started, clock " + self.clock.state + ", purposes: " + (", ".join(sorted(config.purposes)) or "none"))
        for line in of_ledger:
            log(line)
        if self.clock.booted:
            self._refusing = self._count(self.ledger.boot, self._monotonic // HOUR)
        if config.gateway.duty == "undeclared":
            log("gateway.duty is undeclared: say who answers authority requests (L34-II-3)")

    def _defer(self, sodium: Sodium, nat: "Any") -> "DeferredPurposes | None":
        """Return what `attribution` and `billing` have beside their stores, None while both are off: its modules cost heap."""
        config = self.config
        if "attribution" not in config.purposes and "billing" not in config.purposes:
            return None
        from agent.purposes import deferred_purposes

        table, count, note = nat or deferred_purposes.NoKernel(), self.counters.add, self.audit.note
        return deferred_purposes.DeferredPurposes(
            config, self.paths, self.stores, self._lan, self._holders, sodium, table, count, note, self._monotonic
        )

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
        self._keeps = security is not None
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
            parts = (self.config, self.paths, self._keys, self._sodium, self._holders, self.counters, self._lose, self._log)
            self.consented = made = Consented(*parts, self._second, self.audit.note, self._bus)
            for name in made.stores:
                self.stores[name] = made.stores[name]
            self._services = made.connection if "services" in made.stores else None
            self.terminals.objects = made.objects
        return self.consented

    def _second(self) -> "int | None":
        """Return the present second, None while the clock isn't trusted."""
        return self.clock.source.wall() // _SECOND if self.clock.trusted else None

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
        self._decoder.feed(buffer, length, self._take_event)

    def _plain(self) -> bool:
        """Return True if that goes for every event."""
        return self.clock.stepped or self._services is not None or self.deferred is not None or not self._keeps

    def neighbour(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one rtnetlink datagram."""
        self._neighbours.feed(buffer, length)

    @property
    def introduced(self) -> bool:
        """Return True if the LAN's terminals have been listed, or are given up on: a connection that ends has its terminal then."""
        return self._neighbours.complete or self._monotonic >= self._patience

    def neighbour_request(self) -> "bytes | None":
        """Return what to ask rtnetlink next, None for nothing."""
        return self._neighbours.request()

    def live(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one datagram of a dump of the live table."""
        self._table.feed(buffer, length, self._take_live)

    def live_request(self) -> "bytes | None":
        """Return the request that lists the live table where that is due, None otherwise."""
        if self._monotonic < self._next_dump or self._monotonic < self._dumping_until:
            return None
        self._next_dump = self._dumping_until = self._monotonic + DUMP
        self._table.reader.interrupted = False
        self._table.reader.refused = 0
        return connections.REQUEST

    def policy(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one datagram of the list of the ruleset's objects."""
        self._timeouts.policies.reader.read(buffer, length)
        self.due = 0  # what the list says counts for the next event

    def policy_request(self) -> "bytes | None":
        """Return the request that lists the ruleset's objects where that is due, None otherwise."""
        if self._monotonic < self._next_policies:
            return None
        self._next_policies = self._monotonic + REFRESH
        self._timeouts.policies.restart()
        return timeouts.REQUEST

    def policy_overrun(self) -> None:
        """Note that a part of that list was dropped."""
        self._timeouts.policies.reader.interrupted = True

    def overrun(self) -> None:
        """Note ENOBUFS: the kernel dropped messages, for good unless the mode is loss-free; `tick` learns how many."""
        if not self.loss_free.on:
            self.counters.add("overruns")
            self._next_dump = self._monotonic

    def live_overrun(self) -> None:
        """Note that a part of a dump was dropped: it is repeated."""
        self._table.reader.interrupted = True

    def neighbour_overrun(self) -> None:
        """Note that rtnetlink messages were dropped: everything is listed again."""
        self.counters.add("neighbour overruns")
        self._neighbours.restart()

    # What happens to each connection, in short steps: MicroPython takes the frame of a function with many names from the heap.

    def _connection(self, connection: "connections.Connection") -> None:
        self.counters.values["connections"] += 1
        if self.clock.stepped and connection.stop:
            connection = self._restated(connection, connection.stop)
            terminal = self._surely(connection)
        else:
            terminal = self._holders.find(connection)
        kind = self._lan.stays(self._decoder) if terminal is not None else self._lan.side(connections.source_of(connection))
        if kind:
            self.counters.values["excluded: " + kind] += 1
        else:
            self._record(connection, terminal, self._timeouts.end(connection) if connection.stop else self._wall)

    def _restated(self, connection: "connections.Connection", stop: int) -> "connections.Connection":
        return connections.restated(connection, self.clock.restate(connection.start, stop))

    def _surely(self, connection: "connections.Connection") -> "Terminal | None":
        """Return whose a restated connection is; None where that depends on how its start's stamp is read."""
        younger = connections.restated(connection, (connection.start + self.clock.doubt, connection.stop))
        terminal = self._holders.find(younger)
        row = terminal.row if terminal is not None else 0
        terminal = self._holders.find(connection)
        return terminal if terminal is not None and terminal.row == row else None

    def _record(self, connection: "connections.Connection", terminal: "Terminal | None", end: int) -> None:
        if terminal is None:
            self.counters.values["unknown terminal"] += 1
        elif self.terminals.day:
            self._see(connection, terminal, end, connection.bytes_up + connection.bytes_down)
        if self._services is not None and connection.stop and connection.accounted:
            self._services(connection, terminal, end)
        if self.deferred is not None and connection.stop and 0 <= end < _LATEST:
            self.deferred.connection(self._decoder, connection, terminal, end)
        if not self._keeps:
            self.counters.values["no purpose"] += self._services is None
        elif not connection.stop or not connection.accounted:
            self.counters.values["lost: born before accounting"] += 1
        else:
            self._keep(connection, terminal, end)

    def _keep(self, connection: "connections.Connection", terminal: "Terminal | None", end: int) -> None:
        result = self._ring.append(connection, terminal, end) if 0 <= end < _LATEST else "lost: clock"
        if result != "lost":
            self.counters.values[result] += 1

    def _see(self, connection: "connections.Connection", terminal: "Terminal", end: int, volume: int) -> None:
        service = service_of(connection.protocol, connection.destination_port)
        self._day.see(terminal.address, connection.start or end, end, service, volume)

    def _alive(self, connection: "connections.Connection") -> None:
        """Count a connection that lasts up to its last packet, without its volume yet, and keep its association (ANON-8)."""
        if self.clock.stepped:
            connection = self._restated(connection, self._wall)
            terminal = self._surely(connection)
        else:
            terminal = self._holders.find(connection)
        if terminal is not None:
            self._holders.needed(terminal.row)
            if not self._lan.stays(self._table):
                self._see(connection, terminal, self._timeouts.last(connection, self._wall), 0)
                if self.deferred is not None:
                    self.deferred.alive(self._table, connection, terminal)

    def tick(self) -> int:
        """Do what is due now; returns the ns until it wants to be called again."""
        source = self.clock.source
        self._watch_clock()
        self._wall, self._monotonic = wall, monotonic = source.wall(), source.monotonic()
        trusted = self.clock.trusted
        self._ring.now(wall + _AHEAD, monotonic + _AHEAD)
        for store in self.stores.values():
            store.tick(wall + _AHEAD, monotonic + _AHEAD, trusted=trusted)
        if self.consented is not None:
            self.consented.tick(wall, monotonic, trusted=trusted)
        if self.deferred is not None:
            self.deferred.tick(wall, monotonic, trusted=trusted)
        self._day.tick(wall, monotonic, trusted=trusted)
        self.clock.floor = max(self.clock.floor, self.ledger["high_water"])
        if self._timeouts.policies.finish() or monotonic >= self._next_refresh:
            self._timeouts.refresh(wall)
            self._next_refresh = monotonic + REFRESH
        if monotonic >= self._next_leases and self._read_leases():
            self._next_leases = monotonic + REFRESH
        while self.clock.hour():
            self._hour()
        if monotonic >= self._next_health:
            self._health(self.capture(), max(self._next_health, monotonic - jitter.HANG * _SECOND))
            self._next_health = jitter.health_made(monotonic, self._random)
        self.loss_free.tick(monotonic, self._decoder.connections)
        self._streams()
        self.counters.values["messages lost"] += self._day.lost
        self._day.lost = 0
        self.counters.save(monotonic)
        self.due = min(_next(monotonic), self._next_health)
        if wall < self._day.due:
            self.due = min(self.due, monotonic + self._day.due - wall)
        return self.due - monotonic

    def _follow(self) -> None:
        """Learn by which interfaces the guests come and packets leave, and where leases lie, where that has changed."""
        config, paths = self.config.gateway, self.paths
        stamp = leases.stamp(paths.networks)
        if stamp == self._handed:
            return
        self._handed = stamp
        network, dhcp = paths.network_files()
        ways_out = list(config.wan) + devices(config.wan, network)
        self._leases.paths = [paths.root + path for path in lease_files(dhcp)]
        if self._lan.follow(devices(config.lan, network), ways_out):
            self._neighbours.restart()

    def _read_leases(self) -> bool:
        """Read the leases where anything has changed; False as long as the kernel hasn't said which side is the LAN."""
        self._follow()
        if self._neighbours.complete:
            # Where an address changed hands, a lease may say otherwise.
            cause = (self.counters.values["addresses handed over"], self._lan.prefixes)
            self._leases.refresh(self._wall, cause)
        return self._neighbours.complete

    def _streams(self) -> None:
        """Gather what the netlink streams said about themselves; sweep associations once a dump is over."""
        events, table = self._decoder.reader, self._table.reader
        dropped = self.loss_free.lost - self._dropped
        if dropped or events.overruns:
            self._dropped += dropped
            self.counters.values["lost: overrun"] += dropped
            self.counters.values["overruns"] += events.overruns
            events.overruns = 0
            self._next_dump = self._monotonic
        for reader in (events, table, self._neighbours.reader, self._timeouts.policies.reader):
            self.counters.values["malformed"] += reader.malformed
            reader.malformed = 0
        if table.done:
            table.done = False
            self._dumping_until = 0
            if table.interrupted or table.refused:
                # Not the whole table: it is listed again soon, nothing is swept.
                self._next_dump = self._monotonic + REFRESH
            elif self._neighbours.complete:
                self._holders.sweep()
            table.refused = 0
        self.counters.values["addresses handed over"] += self._holders.handed_over
        self.counters.values["associations given up"] += self._holders.given_up
        self.counters.values["address conflicts"] += self._holders.conflicts
        self._holders.handed_over = self._holders.given_up = self._holders.conflicts = 0
        if self._neighbours.complete and self._lan.missing != self._missing:
            self._missing = self._lan.missing
            missing = ", ".join(self._missing)
            self._log("no interface of gateway.lan is called " + missing if missing else "every interface of gateway.lan is there again")
            self._health(self.capture(), self._monotonic)
        if self.counters.values["connections"] != self._heard:
            self._heard, self._heard_at = self.counters.values["connections"], self._monotonic

    def _watch_clock(self) -> None:
        """Follow a step of the wall clock: what was stamped before it is restated, and trust may go (EXP-5)."""
        before = self.clock.trusted
        step = self.clock.tick()
        if step:
            self._log("the wall clock was stepped by " + str(step // _SECOND) + " s")
            self.audit.note("clock", "forward" if step > 0 else "back", abs(step) // _SECOND)
            self._holders.shift(step)
            self._timeouts.shift(step)
            if self.deferred is not None:
                self.deferred.shift(step, self.clock.source.wall())
            if self.consented is not None:
                self.consented.stepped(step, self.clock.source.wall())
            for store in self.stores.values():
                store.stepped()
        if before and not self.clock.trusted:
            self._log("clock " + self.clock.state + ": more than a day from what was confirmed")
            self.audit.note("clock", "strayed", 0)

    def _hour(self) -> None:
        """Count a powered-on hour on flash; drop what the spool can't hold."""
        now = self._wall // _SECOND if self.clock.trusted else 0
        self.clock.floor = max(self.clock.floor, now)
        refused = self._count(self.ledger.hour, now)
        self._refusing = self._count(self.spool.trim, now) or refused
        if self.spool.stuck:
            self._log("the spool holds " + str(self.spool.stuck) + " entries that are no messages and that only root can remove")
        self._note_losses()
        for name in self.stores:  # flash that refused at the start, or came later, is put in order later
            self._torn(name, getattr(self.stores[name], "torn", []))
        self.audit.hour()
        for metric in METRICS:  # whatever the spool was made to hold besides is nobody's loss
            count = self.spool.dropped.get(metric.name, 0)
            self.counters.add("messages dropped", count)
            self.counters.add("messages dropped: " + metric.name, count)
        self.spool.dropped = {}
        if self.deferred is not None:
            self.deferred.hour()

    def _note_bundle(self, days: "int | None") -> None:
        """Put on the audit log that the custodian's keys reach further than before, or no further than today."""
        former, self._key_days = self._key_days, days
        if days is not None and former is not None and (days > former or days == 0 < former):
            self.audit.note("bundle", "installed" if days else "over", days)

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
            self._log("flash refused a write" + reason(failure.errno))
            return True
        return False

    def capture(self) -> str:
        """Return `ok`, `misconfigured` (the kernel tells too little of connections) or `no-lan` (an interface of the guests is missing)."""
        for name in ("events", "acct", "timestamp"):
            if self._sysctl(name) != 1:
                return "misconfigured"
        return "no-lan" if self._missing else "ok"

    @property
    def missing(self) -> "list[str]":
        """Return the interfaces of gateway.lan that aren't there."""
        return self._missing

    @property
    def deaf(self) -> bool:
        """Return True if no connection has ended for a day although the kernel has some (told at the gateway alone, ANON-4)."""
        return self._monotonic - self._heard_at >= law.DAY * _SECOND and self.tracked() > 0

    @property
    def refusing(self) -> bool:
        """Return True if flash refused the last write of the ledger, of a message or of the audit log."""
        return self._refusing or self._day.failing or self.audit.failing

    def troubles(self) -> "list[str]":
        """Return what doctor calls that which is wrong with the gateway itself and known here at once: for health, from a closed list."""
        found = ["configuration"] if self.config.refused else []
        if any(store.status(self._monotonic).get("trouble") for store in self.stores.values()) or self.refusing:
            found.append("flash-refuses")
        return found

    def _health(self, capture: str, due: int) -> None:
        """Write the health message that was due at a time since boot: it tells that time, not when this loop came to it (ANON-4)."""
        wall = self._wall if self.clock.trusted else None
        late = [name for name in self.stores if self.stores[name].late(wall, self._monotonic)]
        days = stores.key_days(self.stores, self.config)
        self._note_bundle(days)
        facts = {
            "purposes": [(name, name in self.config.purposes, name in late) for name in law.CONFIGURABLE],
            "keys": days,
            "capture": capture,
            "clock": self.clock.state,
            "day": self.ledger["day"],
            "spent": self.ledger["spent"],
            "ceiling": self.config.summary.epsilon_ceiling,
            "duty": self.config.gateway.duty,
            "audit": self.audit.newest,
            "tls": not self.config.exposed,
            "doctor": verdict.with_own(verdict.newest(self.paths.verdict), self.troubles()),
        }
        second = (self._wall - self._monotonic + due) // _SECOND
        text = messages.health(self.config.gateway.id, second, facts)
        try:
            files.write_atomic(self.paths.health, text, 0o640, durable=False)
        except OSError as failure:
            self._log("health can't be written" + reason(failure.errno))

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
            self._log("clock " + self.clock.state)
            self.audit.note("clock", "trusted", 0)
        if self.clock.refused:
            self.audit.note("clock", "refused", 0)
            self._log("the time service tells a time that is over: not believed (EXP-5)")
        self.tick()
        return {"clock": self.clock.state}

    def read_leases(self) -> "dict[str, Any]":
        """Read the DHCP leases now."""
        self._wall = self.clock.source.wall()
        return {"read": self._read_leases()}

    def access(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Look at what is held on a terminal, for the person at it."""
        if self._access is None:
            from agent.recorder.access import Access

            self._access = Access(self, self._holders.holder)
        return self._access.look(fields, by)

    def lookup(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Look at what `security` has of a port or a terminal, for the security of the network (L34-II-6)."""
        try:
            from agent.purposes import lookup
            from agent.recorder.access import row_of
        except ImportError:
            raise calls.Refused(stores.PACKAGE + " isn't installed; accepted: on a gateway that has it")
        return lookup.begin(self, self._holders.holder, row_of, fields, by, second_nat=self._lan.behind)

    def erase(self, purpose: str, by: str) -> "dict[str, Any]":
        """Destroy what a purpose keeps, or "all" of them; `by` is the caller's role."""
        if purpose != "all" and purpose not in self.config.purposes:
            raise calls.Refused("purpose isn't on; accepted: " + ", ".join(["all"] + sorted(self.config.purposes)))
        records = 0
        refused = []  # one store's flash keeps no other store from being erased
        for name in self.stores if purpose == "all" else (purpose,):
            store = self.stores[name]
            before = store.status(self._monotonic)["records"]
            try:
                records += store.erase()
            except OSError:
                refused.append(name)
                records += before - store.status(self._monotonic)["records"]
            try:
                if self.deferred is not None:
                    self.deferred.erase(name)
            except OSError:
                refused.append(name)
        self.counters.add("erased", records)
        self.tick()
        self._log("erased by order")
        self.audit.note("erase", purpose, by)
        if refused:
            raise calls.Refused(", ".join(refused) + ": flash refuses, not everything is erased; accepted: once more when it is writable")
        return {"erased": records}

    def erasure(self) -> "Erasure":
        """Return what erases a terminal's records; read only where it is needed, and it isn't on every gateway."""
        if self._erasure is None:
            self.by_consent()  # of the same package
            from agent.purposes.erasure.rounds import Erasure

            self._erasure = Erasure(self, self._ring, self._holders.holder)
        return self._erasure

    def refused(self) -> bool:
        """Return True if this may not go on where it is: a second NAT that nobody has acknowledged (L34-II-4). It is closed then."""
        wrong = self.deferred.refusal() if self.deferred is not None else ""
        if wrong:
            self._log(wrong)
            self.close()
        return bool(wrong)

    def work(self) -> bool:
        """Do a small part of what may wait: an erasure, a handover that is being written (L34-II-4). True where there is more of it."""
        if self._erasure is not None and self._erasure.work(self._monotonic):
            return True
        return self.deferred is not None and self.deferred.work()

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

    def tracked(self) -> int:
        """Return how many connections the kernel's table has."""
        return self._sysctl("count") or 0

    def enrolled(self, digest: bytes) -> "dict[str, Any]":
        """Take note that root has enrolled an agent, by the digest of his key's line."""
        self.audit.note("request", "enrolled", digest)
        return {}

    def status(self) -> "dict[str, Any]":
        """Return what `oubli status` shows; for the person at the gateway, never for the wire."""
        self.tick()
        return snapshot.snapshot(self, self._monotonic)

    def close(self) -> None:
        """Close segments in order and save; the keys stay for the next process of this boot. Health says that capture has stopped."""
        self.tick()
        if self.consented is not None:
            self.consented.close(self._wall // _SECOND)
        self._note_losses()
        self.audit.note("stop")
        self._health("stopped", self._monotonic)
        if self.deferred is not None:
            self.deferred.close()
        if self._erasure is not None:
            self._erasure.close()
        self._holders.close()
        for store in self.stores.values():
            store.close()
        self._keys.close()
        self.terminals.close()
        self.counters.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Protocol

    from agent.base.clock import TimeSource
    from agent.capture.address_table import Terminal
    from agent.config.config import Config
    from agent.purposes.consent.consented import Consented
    from agent.purposes.deferred_purposes import DeferredPurposes
    from agent.purposes.erasure.rounds import Erasure
    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
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
