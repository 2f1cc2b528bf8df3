# SPDX-License-Identifier: Apache-2.0
"""The world around one gateway: people, the conntrack table, what happens to the gateway, and the truth about all of it.

Everything follows from a scenario and a seed. Events wait in one queue ordered by true time; a connection's life is its talk (first
packet to last), then STOP = last packet + the timeout of its last state, then the DESTROY, up to 50 s later, because the
kernel collects its garbage lazily (DESIGN.md, "Capture"). Memory stays flat: people are drawn a day at a time, and the auditor
takes from the truth what it has matched.
"""

import heapq
import ipaddress
import json
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from host_sim.venue import kernel, tape
from host_sim.venue.days import Days
from host_sim.venue.device_clock import SECOND, DeviceClock
from host_sim.venue.happenings import Happening, happening
from host_sim.venue.kernel import ICMP, ICMPV6, INET, INET6, TCP, UDP, Flow
from host_sim.venue.people import HOUR, KINDS, MINUTE, Device, Talk, Visit
from host_sim.venue.portal import Portal, Told
from host_sim.venue.scenario import Event, Purposes, Scenario
from host_sim.venue.truth import DAY, Alive, Kept, Truth

LAZINESS = 50 * SECOND  # the kernel's garbage collection, at most
BOOTED = 41 * SECOND  # time since boot when the recorder starts: what a router needs to boot
STEP = 15 * MINUTE  # between two looks of the auditor
SECOND_CONFIRMATION = 11 * MINUTE  # after the first one: two that agree, at least ten minutes apart (EXP-5)
ADDRESSES, HOLDERS = 32, 8  # of one MAC, and of one address: more need not be remembered (agent.capture.address_table)
STORY = 10  # lines of the gateway's history that a violation shows
_NOTICE = SECOND  # before an address changes hands: what begins then counts for the newcomer, whose first packets may come before the word
_TEMPORARY = DAY  # how long a temporary IPv6 address is used (RFC 8981)
_RETRY = 5 * MINUTE  # of the time service, without an uplink
_LISTED = 301 * SECOND  # between two listings of the connection table: the recorder asks every 300 s by its own clock
_DATAGRAM = 15_000  # octets after which a listing goes on in another datagram
_TABLE_EVERY = 64  # the recorder learns of the table's fill when it has changed by a part of it

WAN, _LAN = bytes((192, 0, 2, 77)), bytes((10, 20, 0, 1))
_WAN_INDEX = 9
_REST = 1024, 16383  # ports of who has no block (agent.purposes.attribution.blocks)
_LAN6 = bytes.fromhex("20010db8ca4e0001")
_OUTSIDE, _OUTSIDE6 = bytes((203, 0, 113)), bytes.fromhex("20010db8") + bytes(11)  # where people go, but for the last octet
_NAT_STATUS = kernel.SRC_NAT | kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE
_ROUTED_STATUS = kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE
_STATES = {
    "closed": (kernel.TIME_WAIT, "tcp_timeout_time_wait"),
    "reset": (kernel.CLOSE, "tcp_timeout_close"),
    "silent": (kernel.ESTABLISHED, "tcp_timeout_established"),
    "unanswered": (kernel.SYN_SENT, "tcp_timeout_syn_sent"),
}


class Step(NamedTuple):
    """One entry of the tape, with the world's name for it; `wall` is the true time."""

    wall: int
    operation: int
    payload: bytes = b""

    def encoded(self) -> bytes:
        """Return the entry's bytes."""
        return tape.entry(self.operation, self.wall, self.payload)


class Entry:
    """One entry of the connection table: its flow, who held its address when it was made, first and last packet, timeout (ns)."""

    __slots__ = ("first", "flow", "holder", "key", "last", "port", "source", "timeout")

    def __init__(self, flow: Flow, key: tuple[bytes, int, bytes, int, int], holder: bytes, packets: tuple[int, int], timeout: int) -> None:
        self.flow, self.key, self.holder, self.timeout = flow, key, holder, timeout
        self.first, self.last = packets
        self.source, self.port = flow.source, flow.destination_port


class World:
    """One gateway's time, from the scenario's start; `steps` is the tape, `truth` and `days` fill while it is read.

    `byteorder` is that of the gateway's processor: its kernel's datagrams are written so. Whoever plays the tape says after each
    REPORT what the stage said that the kernel dropped (`settle`); who doesn't, drops nothing.
    """

    def __init__(self, scenario: Scenario, seed: int, days: float | None = None, byteorder: kernel.ByteOrder = "little") -> None:
        self.scenario, self.byteorder = scenario, byteorder
        self.start = scenario.start
        self.length = days or scenario.days
        self.people_end = self.start + int(self.length * DAY)
        # two hours more than a lifetime: whatever the kernel reported late has passed its deadline too
        self.end = (self.people_end + scenario.lifetime * SECOND + 2 * HOUR + STEP - 1) // STEP * STEP
        self.truth, self.days = Truth(), Days()
        self.on = self.listening = False  # the gateway has power; its recorder runs
        self.boots = self.sent = 0  # sent: datagrams since the beginning
        self.told_since_boot = self.dropped_since_boot = self.crashes = self.restarts = 0
        self._reached = self.listens_since = 0
        self._associations = 0  # that the kernel has told of since the boot
        self.disturbed = False  # the recorder was killed, or slept
        self.looks = 0  # of guests, at what is held on the own terminal
        self.outages: list[tuple[int, int]] = []  # of the way to the broker, true ns
        self.story: deque[str] = deque(maxlen=STORY)
        self.busy: deque[Happening] = deque()  # for the report
        self._random = Random(seed)
        self._queue: list[tuple[int, int, Callable[[int], Iterator[Step]]]] = []
        self._order = 0
        self._live: dict[tuple[bytes, int, bytes, int, int], Entry] = {}  # by reply tuple: NAT must keep them apart
        self._loose: deque[Entry] = deque()  # not ASSURED: what the kernel ends early when its table is full
        self.refused = self.early = 0  # connections that a full table didn't make; that it ended for another's sake
        self._present: dict[bytes, Device] = {}
        self._holders: dict[bytes, bytes] = {}  # address -> MAC that the kernel has as its neighbour
        self._handed: dict[bytes, list[tuple[int, bytes]]] = {}  # address -> when it changed hands, and to whom
        self._forged: dict[bytes, bytes] = {}  # address -> MAC that a lease is made out to, which a guest has made up
        self._lease = self._id = self._said = 0
        self._uplink = True
        self._suspended = 0
        self.clock = DeviceClock(self.start, BOOTED, scenario.drift, self.start)
        self.blocks: dict[bytes, tuple[int, int]] = {}  # address -> ports that its connections leave by, as the kernel was told
        self._keeps_more = scenario.purposes != Purposes()
        # What an examiner holds answers against: ports that were used, with the end; who had an address since when; ports that the kernel
        # gave; times without power; when power came or went, and the clock was stepped.
        self.used: list[tuple[Entry, int]] = []
        self.neighbours: dict[bytes, list[tuple[int, bytes]]] = {}
        self.given: list[tuple[int, dict[bytes, tuple[int, int]]]] = []  # at each look at which they had changed
        self.dark: list[tuple[int, int]] = []
        self.edges: list[int] = []
        self.portal = self._portal() if any((scenario.purposes.portal, scenario.purposes.consent)) else None

    @property
    def present(self) -> int:
        """How many devices are there."""
        return len(self._present)

    def _portal(self) -> Portal:
        def at(time: int, event: Callable[[int], Iterator[Told]]) -> None:
            self._at(time, lambda now: (Step(now, *told) for told in event(now)))

        def wall(now: int) -> int:
            return self.clock.wall(now)  # another clock after each boot

        lingers = max(self.scenario.timeouts.values()) * SECOND + 2 * LAZINESS
        return Portal(self.scenario.purposes, wall, at, lambda: self.listening, lambda: self.days.trusted, lingers)

    def _at(self, time: int, event: Callable[[int], Iterator[Step]]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, event))

    def tell(self, now: int, kind: str, **figures: object) -> None:
        """Remember what happened, for a violation's history and the report."""
        one = happening(now, kind, **figures)
        self.story.append(f"{clock_text(now)} {one.english}")
        self.busy.append(one)
        if len(self.busy) > 4000:
            self.busy.popleft()

    def steps(self) -> Iterator[Step]:
        """Yield the tape in time order: boot, people, reports, until everything must be forgotten."""
        self._at(self.start, self._boot)
        first = -(-(self.start + 1) // STEP) * STEP
        for one in self.scenario.events:
            self._at(self.start + int(one.at * HOUR), self._happens(one))
        self._at(first, self._report)
        self._at(self.start, self._people)
        while self._queue:
            time, _, event = heapq.heappop(self._queue)
            if time >= self.end:
                break
            yield from event(time)
        yield from self._look(self.end)
        yield Step(self.end, tape.STOP)

    # The gateway

    def _boot(self, now: int) -> Iterator[Step]:
        shown = now if self.scenario.shows is None else self.scenario.shows
        self.clock = DeviceClock(now, BOOTED, self.scenario.drift, shown)
        self.boots += 1
        self.on = self.listening = True
        self.listens_since, self._associations = now, 0
        self.told_since_boot = self.dropped_since_boot = self.crashes = 0
        self.days.boot(self.clock)
        self.tell(now, "boot", shown=clock_text(shown, date=True))
        boot = f"{self.boots:032x}".encode()
        yield Step(now, tape.TABLE, struct.pack("<II", 0, self.scenario.table))
        yield Step(now, tape.BOOT, self._clocks(now) + boot)
        yield from self._list(now)
        boots = self.boots
        self._at(now + SECOND, lambda at: self._list_table(at, boots))
        if self.scenario.confirms:
            self._at(now + int(self.scenario.first * MINUTE), lambda at: self._confirm(at, boots, first=True))
        self._at(self.clock.true(HOUR) + SECOND, lambda at: self._full_hour(at, boots, 1))

    def _full_hour(self, now: int, boot: int, count: int) -> Iterator[Step]:
        """A powered-on hour is full: where no day is open, one may open now."""
        if boot == self.boots and self.on:
            self._at(self.clock.true((count + 1) * HOUR) + SECOND, lambda at: self._full_hour(at, boot, count + 1))
            if self.listening and not self._suspended and self.days.trusted and not self.days.day:
                yield from self._look(now)

    def _list(self, now: int) -> Iterator[Step]:
        """What the kernel answers when the recorder asks who and what is there."""
        yield Step(now, tape.NEIGHBOUR, kernel.link("lan", self.byteorder))
        yield Step(now, tape.NEIGHBOUR, kernel.link("wan", self.byteorder, _WAN_INDEX))
        for own, prefix in ((_LAN, 16), (_LAN6 + b"\0\0\0\0\0\0\0\1", 64)):
            yield Step(now, tape.NEIGHBOUR, kernel.address(own, prefix, self.byteorder))
        yield Step(now, tape.NEIGHBOUR, kernel.address(WAN, 24, self.byteorder, _WAN_INDEX))
        for address, mac in self._holders.items():
            yield from self._neighbour(now, address, mac)
        yield Step(now, tape.LISTED)
        if self.portal:
            for told in self.portal.again(now):
                yield Step(now, *told)

    def _list_table(self, now: int, boot: int) -> Iterator[Step]:
        """The recorder has asked for the table: what lasts, with what is left of its timeout."""
        if boot != self.boots or not self.on:
            return
        self._at(now + _LISTED, lambda at: self._list_table(at, boot))
        if not self.listening or self._suspended:
            return
        datagram = bytearray()
        for entry in self._live.values():
            flow = entry.flow
            if flow.start > self.clock.wall(now):
                continue  # it begins in a moment
            last = min(entry.last, now)
            left = max(last + entry.timeout - now, 0) // SECOND
            flow.timeout = left
            datagram += kernel.conntrack("entry", flow, self.byteorder)
            flow.timeout = None
            stamp = max(self.clock.wall(now) - (entry.timeout - left * SECOND), flow.start)
            mac = self._whose(entry)
            known, sure = self._known(entry, mac)
            self.truth.listed(Alive(mac, flow.start, stamp, flow.protocol, entry.port, now, known, sure))
            if len(datagram) > _DATAGRAM:
                yield Step(now, tape.LIVE, bytes(datagram))
                datagram.clear()
        yield Step(now, tape.LIVE, bytes(datagram) + kernel.done(self.byteorder))

    def _neighbour(self, now: int, address: bytes, mac: bytes) -> Iterator[Step]:
        """The kernel has a MAC as its neighbour at an address, and says so to whoever listens."""
        if self._holders.get(address) != mac:
            self._handed.setdefault(address, []).append((now, mac))
            self._associations += len(self.truth.terminals.get(mac, ())) <= ADDRESSES
        self._holders[address] = mac
        if self.scenario.purposes.attribution:
            told = self.neighbours.setdefault(address, [])
            if not told or told[-1][1] != mac:
                told.append((now, mac))
        if self.listening:
            yield Step(now, tape.NEIGHBOUR, kernel.neighbour(kernel.Neighbour(address, mac), self.byteorder))

    def _clocks(self, now: int) -> bytes:
        return struct.pack(tape.CLOCKS, self.clock.wall(now), self.clock.monotonic(now), self.scenario.drift)

    def _set_clock(self, now: int, wall: int) -> Iterator[Step]:
        step = self.clock.set(now, wall)
        if abs(step) > SECOND // 2:
            self.truth.muddle()
            self.days.stepped(now)
            if self.portal:
                self.portal.stepped(step)
            self.edges.append(now)
            self.tell(now, "clock", step=step / SECOND, shown=clock_text(wall, date=True))
        yield Step(now, tape.CLOCK, self._clocks(now))

    def _confirm(self, now: int, boot: int, *, first: bool = False, second: bool = False) -> Iterator[Step]:
        """The time service sets the clock right and says so; without an uplink it tries again soon."""
        if boot != self.boots or not self.on:
            return
        if not self._uplink or not self.listening or self._suspended:
            self._at(now + _RETRY, lambda at: self._confirm(at, boot, first=first, second=second))
            return
        yield from self._set_clock(now, now)
        yield Step(now, tape.CONFIRM)
        trusted = self.days.trusted
        self.days.confirm(now)
        if self.days.trusted and not trusted:
            self.tell(now, "trusted")
            if self.portal:
                self.portal.confirmed(now)
        yield from self._look(now)
        wait = SECOND_CONFIRMATION if first else int(self.scenario.confirms * MINUTE)
        self._at(now + wait, lambda at: self._confirm(at, boot, second=first))

    def _report(self, now: int) -> Iterator[Step]:
        self._at(now + STEP, self._report)
        if self.on and not self._suspended:
            yield from self._look(now)

    def _look(self, now: int) -> Iterator[Step]:
        """The auditor may look: everything has been told, the timers have run."""
        if self.listening:
            self._reached = now
            yield Step(now, tape.REPORT)
            self.settle()

    def settle(self, dropped: Iterable[tuple[int, int]] = ()) -> None:
        """After a REPORT: count what became of the connections that the kernel has told of, and let the agent-days pass."""
        if self._reached:
            now, self._reached = self._reached, 0
            before = self.truth.fates["dropped"]
            self.truth.settle(dropped)
            self.dropped_since_boot += self.truth.fates["dropped"] - before
            self._pass_time(now)

    def _pass_time(self, now: int) -> None:
        closed, opened = self.days.pass_time(now)
        if closed:
            self.truth.close_day()
        if opened:
            self.truth.open_day(self.days.day, self.days.counted)

    # What happens to it

    def _happens(self, event: Event) -> Callable[[int], Iterator[Step]]:
        makers: dict[str, Callable[[int, Event], Iterator[Step]]] = {
            "power cut": self._power_cut,
            "firmware update": self._power_cut,
            "crash": self._crash,
            "suspend": self._suspend,
            "uplink lost": self._uplink_lost,
            "broker down": self._broker_down,
            "clock step": self._clock_step,
            "look": self._somebody_looks,
            "port scan": self._flood,
            "connection flood": self._flood,
            "mac flood": self._mac_flood,
            "address flood": self._address_flood,
            "forged neighbour": self._forge,
            "forged lease": self._forge_lease,
        }

        def happen(now: int) -> Iterator[Step]:
            if event.every and now + event.every * HOUR < self.people_end:
                self._at(now + int(event.every * HOUR), happen)
            if now < self.people_end and self.on and not self._suspended:
                yield from makers[event.what](now, event)

        return happen

    def _power_cut(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._look(now)
        self.tell(now, event.what, minutes=event.minutes)
        listened = self.listening
        self.on = self.listening = False
        self.give(now, {})
        if self.portal:
            self.portal.forget()
        in_order = listened and event.what == "firmware update"
        yield Step(now, tape.KILL, bytes((tape.IN_ORDER if in_order else tape.POWER,)))
        self.truth.fates["forgotten"] += len(self._live)
        for entry in self._live.values():
            self._use(entry, now)
        self.dark.append((now, now + int(event.minutes * MINUTE)))
        self.edges += self.dark[-1]
        self._live.clear()
        self._loose.clear()
        self._holders.clear()
        self._handed.clear()
        self._forged.clear()
        self.truth.lose_day(self.clock.wall(now))
        self.truth.forget()
        self._at(now + int(event.minutes * MINUTE), self._boot_again)

    def _boot_again(self, now: int) -> Iterator[Step]:
        for mac, device in self._present.items():
            for known in (device.address, *device.temporary[-1:]):
                self._holders[known] = mac
        yield from self._boot(now)

    def _crash(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._look(now)
        if not self.listening:
            return
        self.tell(now, "crash", minutes=event.minutes)
        self.disturbed = True
        self.listening = False
        if self.portal:
            self.portal.lost()
        yield Step(now, tape.KILL)
        boot = self.boots

        def again(later: int) -> Iterator[Step]:
            if self.on and boot == self.boots:
                self.listening, self.listens_since = True, later
                self.crashes += 1
                self.restarts += 1
                self.tell(later, "restart")
                yield Step(later, tape.START)
                yield from self._list(later)
                self._pass_time(later)

        self._at(now + int(event.minutes * MINUTE), again)

    def _suspend(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._look(now)
        self.tell(now, "suspend", minutes=event.minutes)
        self.disturbed = True
        self._suspended = now + int(event.minutes * MINUTE)
        yield Step(now, tape.SUSPEND)

        def resume(later: int) -> Iterator[Step]:
            self._suspended = 0
            yield from self._look(later)

        self._at(self._suspended, resume)

    def _uplink_lost(self, now: int, event: Event) -> Iterator[Step]:
        """The WAN's address goes: the kernel ends at once whatever was translated to it (nf_nat_masquerade's device event)."""
        self.tell(now, "uplink lost", minutes=event.minutes)
        self._uplink = False
        self.outages.append((now, now + int(event.minutes * MINUTE)))
        for entry in [entry for entry in self._live.values() if entry.flow.source != entry.flow.reply_destination]:
            yield from self._end(now, entry)

        def back(later: int) -> Iterator[Step]:
            self._uplink = True
            self.tell(later, "uplink back")
            yield from ()

        self._at(now + int(event.minutes * MINUTE), back)

    def _broker_down(self, now: int, event: Event) -> Iterator[Step]:
        self.tell(now, "broker down", minutes=event.minutes)
        self.outages.append((now, now + int(event.minutes * MINUTE)))
        yield from ()

    def _clock_step(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._look(now)
        yield from self._set_clock(now, max(self.clock.wall(now) + int(event.seconds * SECOND), SECOND))

    def _somebody_looks(self, now: int, _event: Event) -> Iterator[Step]:
        """A guest who is there asks what is held on the own terminal."""
        if self.listening and self._present:
            device = self._present[Random(self._random.getrandbits(64)).choice(sorted(self._present))]
            self.tell(now, "look")
            self.looks += 1
            address = str(ipaddress.ip_address(device.address))
            yield Step(now, tape.LOOK, json.dumps({"v": 1, "call": "access", "address": address}).encode())

    def _attacker(self, now: int) -> Device:
        """A guest who means harm: any present one's place, a laptop of its own."""
        draw = Random(self._random.getrandbits(64))
        mac = bytes((draw.getrandbits(8) & 0xFC | 2, *draw.randbytes(5)))
        device = Device(KINDS[2], mac, self._lend() or _LAN[:2] + b"\xff\xfe", [], now, now, draw)
        device.port = draw.randint(*device.kind.ports)
        return device

    def _lend(self) -> bytes | None:
        """Lend the next address that nobody present has; None where the pool is exhausted."""
        taken = {device.address for device in self._present.values()}
        for _ in range(self.scenario.addresses):
            address = _LAN[:2] + struct.pack(">H", 256 + self._lease % self.scenario.addresses)
            self._lease += 1
            if address not in taken:
                return address
        return None

    def _flood(self, now: int, event: Event) -> Iterator[Step]:
        """One guest asks for very many connections that nobody answers: every port of a host, or as many as the table takes."""
        self.tell(now, event.what, amount=event.amount, minutes=event.minutes)
        device = self._attacker(now)
        yield from self._arrive(now, device)
        scan = event.what == "port scan"
        apart = int(event.minutes * MINUTE) // event.amount

        def some(at: int, done: int) -> Iterator[Step]:
            for place in range(done, min(done + 100, event.amount)):
                protocol, port = (TCP, 1 + place % 65535) if scan else (UDP, 1024 + place % 60000)
                talk = Talk(at + (place - done) * apart, 0, protocol, port, False, 1, 60, 0, 0, "unanswered")
                yield from self._open(at, device, talk)
            if done + 100 < event.amount:
                self._at(at + 100 * apart, lambda later: some(later, done + 100))

        yield from some(now, 0)

    def _mac_flood(self, now: int, event: Event) -> Iterator[Step]:
        """One guest shows another MAC each moment, with an address and a connection each: tables fill."""
        self.tell(now, "mac flood", amount=event.amount, minutes=event.minutes)
        apart = int(event.minutes * MINUTE) // event.amount

        def one(at: int, left: int) -> Iterator[Step]:
            if self.on:
                device = self._attacker(at)
                yield from self._arrive(at, device)
                yield from self._open(at, device, Talk(at, 0, UDP, 53, True, 1, 60, 1, 90, "silent"))
            if left > 1:
                self._at(at + apart, lambda later: one(later, left - 1))

        yield from one(now, event.amount)

    def _address_flood(self, now: int, event: Event) -> Iterator[Step]:
        """One guest takes another IPv6 address each moment, with a connection each, under one MAC."""
        self.tell(now, "address flood", amount=event.amount, minutes=event.minutes)
        apart = int(event.minutes * MINUTE) // event.amount
        device = self._attacker(now)

        def one(at: int, left: int) -> Iterator[Step]:
            if self.on:
                device.temporary.append(_LAN6 + device.random.randbytes(8))
                yield from self._arrive(at, device)
                yield from self._open(at, device, Talk(at, 0, UDP, 53, False, 1, 60, 1, 90, "silent"))
            if left > 1:
                self._at(at + apart, lambda later: one(later, left - 1))

        yield from one(now, event.amount)

    def _forge(self, now: int, event: Event) -> Iterator[Step]:
        """A guest claims a present terminal's address for a while: the kernel believes it, and so must the record."""
        if not self._present:
            return
        device = list(self._present.values())[self._random.randrange(len(self._present))]
        attacker = self._attacker(now)
        self.tell(now, "forged neighbour", minutes=event.minutes)
        self.truth.terminals.setdefault(attacker.mac, set()).add(device.address)
        yield from self._neighbour(now, device.address, attacker.mac)

        def back(later: int) -> Iterator[Step]:
            if self.on and self._holders.get(device.address) == attacker.mac:
                yield from self._neighbour(later, device.address, device.mac)

        self._at(now + int(event.minutes * MINUTE), back)

    def _forge_lease(self, now: int, event: Event) -> Iterator[Step]:
        """A guest asks for a lease in another's name (chaddr), for an address that somebody has or will have: nobody sends by it."""
        if not self._present:
            return
        devices = list(self._present.values())
        address = self._random.choice(devices).address
        if self._random.random() < 0.5:
            address = _LAN[:2] + struct.pack(">H", 256 + self._random.randrange(self.scenario.addresses))
        self.tell(now, "forged lease", minutes=event.minutes)
        self._forged[address] = self._random.choice(devices).mac
        yield self._leases(now)

        def back(later: int) -> Iterator[Step]:
            if self._forged.pop(address, None) and self.on:
                yield self._leases(later)

        self._at(now + int(event.minutes * MINUTE), back)

    def _leases(self, now: int) -> Step:
        lines = [f"0 {mac.hex(':')} {ipaddress.ip_address(address)} * *\n" for address, mac in self._forged.items()]
        return Step(now, tape.LEASES, "".join(lines).encode())

    # People

    def _people(self, now: int) -> Iterator[Step]:
        """Draw one local day's visits; the next day's are drawn when it begins."""
        if now >= self.people_end:
            return
        offset = self.scenario.utc_offset * HOUR
        midnight = (now + offset) // DAY * DAY - offset
        closes = int(self.scenario.closes * HOUR)
        for visit in self.scenario.crowd.day(self._random, midnight, closes):
            if self.start <= visit.arrives < self.people_end:
                self._at(visit.arrives, self._arrival(visit._replace(leaves=min(visit.leaves, self.people_end))))
        self._at(midnight + DAY, self._people)
        yield from ()

    def _arrival(self, visit: Visit) -> Callable[[int], Iterator[Step]]:
        draw = Random(self._random.getrandbits(64))
        mac = bytes((draw.getrandbits(8) & 0xFC | 2, *draw.randbytes(5)))

        def arrive(now: int) -> Iterator[Step]:
            temporary = [_LAN6 + draw.randbytes(8) for _ in range(visit.has_ipv6)]
            if visit.new:
                self.truth.arrived[now // HOUR * HOUR] += 1
            lent = self._lend()
            if lent is None:
                self.tell(now, "no address")
                return
            device = Device(visit.kind, mac, lent, temporary, visit.arrives, visit.leaves, draw, sleep=self.scenario.crowd.sleep)
            self._present[mac] = device
            self._at(visit.leaves, lambda later: self._leave(later, device))
            yield from self._arrive(now, device)
            if self.portal:
                for told in self.portal.arrives(now, device):
                    yield Step(now, *told)
            if temporary and visit.leaves - now > _TEMPORARY:
                self._at(now + _TEMPORARY, lambda later: self._renew(later, device))
            if self.scenario.crowd.roams:
                self._at(now + int(draw.expovariate(self.scenario.crowd.roams / HOUR)), lambda later: self._roam(later, device))
            self._next_burst(device, device.bursts(self.scenario.activity))

        return arrive

    def _arrive(self, now: int, device: Device) -> Iterator[Step]:
        """The kernel learns of a terminal's addresses."""
        known = (device.address, *device.temporary[-1:])
        self.truth.terminals.setdefault(device.mac, set()).update(known)
        if self.on:
            for address in known:
                yield from self._neighbour(now, address, device.mac)

    def _leave(self, now: int, device: Device) -> Iterator[Step]:
        """It is gone; the kernel forgets its neighbours when somebody else takes the address."""
        self._present.pop(device.mac, None)
        if self.portal:
            for told in self.portal.leaves(now, device):
                yield Step(now, *told)

    def _renew(self, now: int, device: Device) -> Iterator[Step]:
        """Another temporary IPv6 address [v6]."""
        if now < device.leaves:
            device.temporary.append(_LAN6 + device.random.randbytes(8))
            yield from self._arrive(now, device)
            self._at(now + _TEMPORARY, lambda later: self._renew(later, device))

    def _roam(self, now: int, device: Device) -> Iterator[Step]:
        """It takes another access point of this gateway: all that the kernel shows is that its neighbour was confirmed again."""
        if now < device.leaves:
            if self.on and self._holders.get(device.address) == device.mac:
                yield from self._neighbour(now, device.address, device.mac)
            if self.portal:
                for told in self.portal.roams(now, device):
                    yield Step(now, *told)
            wait = int(device.random.expovariate(self.scenario.crowd.roams / HOUR))
            self._at(now + wait, lambda later: self._roam(later, device))

    def _next_burst(self, device: Device, bursts: Iterator[tuple[int, list[Talk]]]) -> None:
        for time, talks in bursts:

            def burst(now: int, talks: list[Talk] = talks) -> Iterator[Step]:
                for talk in talks:
                    yield from self._open(now, device, talk)
                self._next_burst(device, bursts)

            self._at(time, burst)
            return

    # The connection table

    def _open(self, now: int, device: Device, talk: Talk) -> Iterator[Step]:
        """A connection begins: its entry's tuples are chosen now, its end is known to the world only."""
        if not self.on or self._suspended or not (self._uplink or talk.local):
            return
        if len(self._live) >= self.scenario.table:
            yield from self._make_room(now)
        if len(self._live) >= self.scenario.table:
            self.refused += 1
            return
        draw = device.random
        place = min(int(draw.paretovariate(0.5)), 254)  # a few places have most of the visits, so that NAT must change some ports
        six = bool(device.temporary) and not talk.local and draw.random() < self.scenario.dual_stack
        if six:
            family, source = INET6, device.temporary[-1]
            destination = _OUTSIDE6 + bytes((place,))
        else:
            family, source = INET, device.address
            destination = _LAN if talk.local else _OUTSIDE + bytes((place,))
        self.truth.places.add(destination)
        protocol = ICMPV6 if six and talk.protocol == ICMP else talk.protocol
        translated = family == INET and not talk.local
        outside = WAN if translated else source
        port = device.next_port()
        while (outside, protocol, destination, talk.port, port) in self._live and not translated:
            port = device.next_port()
        seen_port = port
        if translated and self.scenario.purposes.attribution:
            seen_port = self._port_in_block(source, port, draw, (outside, protocol, destination, talk.port))
            if not seen_port:
                self.refused += 1
                return
        while (outside, protocol, destination, talk.port, seen_port) in self._live:
            seen_port = draw.randint(1024, 65535)  # masquerade keeps the port unless another connection has that tuple
        key = (outside, protocol, destination, talk.port, seen_port)
        self._id += 1
        status = kernel.CONFIRMED | kernel.DYING | (_NAT_STATUS if translated else _ROUTED_STATUS)
        if talk.packets_down:
            status |= kernel.SEEN_REPLY
        state, timeout, assured = self._ending(talk)
        flow = Flow(
            family, protocol, source, destination, port, talk.port, destination, outside, talk.port, seen_port,
            status=status | (kernel.ASSURED if assured else 0),
            start=self.clock.wall(talk.at),
            id=self._id * 2654435761 % (1 << 32),  # the kernel's ids look random
            packets_up=talk.packets_up, bytes_up=talk.bytes_up, packets_down=talk.packets_down, bytes_down=talk.bytes_down,
            state=state,
        )  # fmt: skip
        if protocol == ICMPV6:
            flow.icmp_type, flow.reply_icmp_type = 128, 129
        yield from self._ask(now, source, device.mac)
        # whom the kernel has as its neighbour is whose it is: a forger's, where there is one
        entry = Entry(flow, key, self._holders.get(source, device.mac), (talk.at, talk.at + talk.lasts), timeout * SECOND)
        self._live[key] = entry
        if not assured:
            self._loose.append(entry)
            if len(self._loose) > 2 * len(self._live) + 1000:
                self._loose = deque(one for one in self._loose if self._live.get(one.key) is one)
        stop = entry.last + entry.timeout
        self._at(stop + int(draw.random() * LAZINESS), lambda now: self._collect(now, entry, stop))
        if abs(len(self._live) - self._said) * _TABLE_EVERY > self.scenario.table:
            yield self._fill(now)

    def _ask(self, now: int, address: bytes, mac: bytes) -> Iterator[Step]:
        """The kernel asks who has an address that it has no neighbour for, such as one of before a boot."""
        if address not in self._holders:
            yield from self._neighbour(now, address, mac)

    def _port_in_block(self, source: bytes, port: int, draw: Random, rest: tuple[bytes, int, bytes, int]) -> int:
        """Return the port that masquerade chooses within an address's block: its own where that is one of these and free, else any.

        0 where none is free: a block that is full drops what is new without a word (RFC 7422).
        """
        low, high = self.blocks.get(source, _REST)
        wanted = port if low <= port <= high else draw.randint(low, high)
        ports = (*range(wanted, high + 1), *range(low, wanted)) if (*rest, wanted) in self._live else (wanted,)
        return next((one for one in ports if (*rest, one) not in self._live), 0)

    def _fill(self, now: int) -> Step:
        self._said = len(self._live)
        return Step(now, tape.TABLE, struct.pack("<II", self._said, self.scenario.table))

    def _make_room(self, now: int) -> Iterator[Step]:
        """A full table ends an entry that isn't ASSURED, if it finds one (nf_conntrack's early drop)."""
        while self._loose:
            entry = self._loose.popleft()
            if self._live.get(entry.key) is entry:
                self.early += 1
                yield from self._end(now, entry)
                return

    def _end(self, now: int, entry: Entry) -> Iterator[Step]:
        """The kernel ends an entry before its time: DESTROY carries what was left of its timeout, in whole seconds.

        One that has timed out and wasn't collected yet stopped when it timed out (nf_ct_delete takes off by how much it is overdue).
        """
        entry.last = min(entry.last, max(now, self.clock.booted))
        over = entry.last + entry.timeout
        left = max(over - now, 0) // SECOND
        entry.flow.timeout = left
        yield from self._destroy(now, entry, min(now, over), entry.timeout // SECOND - left)

    def _collect(self, now: int, entry: Entry, stop: int) -> Iterator[Step]:
        """Garbage collection comes by."""
        if self._live.get(entry.key) is not entry:
            return  # ended early
        if self._suspended:
            self._at(self._suspended + now % SECOND, lambda later: self._collect(later, entry, stop))
            return
        yield from self._destroy(now, entry, stop, entry.timeout // SECOND)

    def _destroy(self, now: int, entry: Entry, stop: int, ran: int) -> Iterator[Step]:
        """Tell of an entry that timed out at `stop`, `ran` seconds after its last packet."""
        del self._live[entry.key]
        self._use(entry, stop)
        if abs(len(self._live) - self._said) * _TABLE_EVERY > self.scenario.table:
            yield self._fill(now)
        if not self.listening:
            self.truth.fates["unheard"] += 1
            return
        flow = entry.flow
        flow.stop, flow.event = self.clock.wall(stop), self.clock.wall(now)
        end = max(flow.stop - ran * SECOND, flow.start)
        self.sent += 1
        self.told_since_boot += 1
        mac = self._whose(entry)
        self.truth.destroyed(Kept(
            mac, entry.source, flow.protocol, flow.source_port, flow.reply_destination_port, flow.bytes_up, flow.bytes_down,
            flow.packets_up, flow.packets_down, flow.start, end, now, entry.port, entry.last, not self.clock.stepped, self.sent,
            *(self._said_of(entry, mac) if self._keeps_more else (b"", "", 0)), *self._known(entry, mac),
        ))  # fmt: skip
        yield Step(now, tape.DATAGRAM, kernel.conntrack("destroy", flow, self.byteorder))

    def _use(self, entry: Entry, now: int) -> None:
        """Remember a port that was used for the world, until its last packet or now."""
        flow = entry.flow
        if self.scenario.purposes.attribution and (flow.reply_destination != flow.source or len(flow.source) == 16):
            self.used.append((entry, min(entry.last, now)))

    def give(self, now: int, blocks: dict[bytes, tuple[int, int]]) -> None:
        """The kernel was told which ports an address's connections leave by."""
        self.blocks = blocks
        self.given.append((now, blocks))

    def held_address(self, address: bytes, mac: bytes, now: int) -> bool:
        """Return True if a terminal was the kernel's neighbour at an address, by what it was told last before a true time."""
        told = [who for since, who in self.neighbours.get(address, ()) if since <= now + _NOTICE]
        return bool(told) and told[-1] == mac

    def whose(self, entry: Entry) -> bytes:
        """Return who held a connection's address when it began, by all that the kernel was ever told."""
        told = [who for since, who in self.neighbours.get(entry.source, ()) if since <= entry.first + _NOTICE]
        return told[-1] if told else entry.holder

    def _whose(self, entry: Entry) -> bytes:
        """Return who held a connection's address when it began."""
        for since, mac in reversed(self._handed.get(entry.source, ())):
            if since <= entry.first + _NOTICE:
                return mac
        return entry.holder

    def _known(self, entry: Entry, mac: bytes) -> tuple[bool, bool]:
        """Return whether the recorder may know whose a connection is, and whether it has room for that, whatever it may leave out."""
        few = len(self.truth.terminals.get(mac, ())) <= ADDRESSES and len(self._handed.get(entry.source, ())) <= HOLDERS
        return entry.first >= self.listens_since, few and self._associations <= 4 * self.scenario.rows

    def _said_of(self, entry: Entry, mac: bytes) -> tuple[bytes, str, int]:
        """Return what other purposes than `security` know of a connection: public address, portal user, consent."""
        portal = self.portal
        user, consent = (portal.user(mac), portal.under(mac, entry.flow.start)) if portal else ("", 0)
        return entry.flow.reply_destination, user, consent

    def _ending(self, talk: Talk) -> tuple[int, int, bool]:
        """Return (TCP state, seconds of its timeout, ASSURED), as net/netfilter/nf_conntrack_proto_*.c sets them."""
        timeouts = self.scenario.timeouts
        if talk.protocol == TCP:
            state, name = _STATES[talk.ending]
            return state, timeouts[name], talk.packets_down > 0
        if talk.protocol == UDP:
            stream = talk.packets_down > 0 and talk.lasts > 2 * SECOND
            return 0, timeouts["udp_timeout_stream" if stream else "udp_timeout"], stream
        return 0, timeouts["icmp_timeout"], False


def clock_text(wall: int, *, date: bool = False) -> str:
    """Return a time in ns since the epoch as the demo shows it."""
    return datetime.fromtimestamp(wall // SECOND, UTC).strftime("%Y-%m-%d %H:%M" if date else "%a %H:%M")
