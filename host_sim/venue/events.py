# SPDX-License-Identifier: Apache-2.0
"""What happens to a gateway, by a scenario's events: power, clock, uplink, and guests who mean harm."""

import ipaddress
import json
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING

from host_sim.venue import tape
from host_sim.venue.device_clock import SECOND
from host_sim.venue.fullness import Fullness
from host_sim.venue.gateway import LAN, LAN6
from host_sim.venue.interventions import Interventions
from host_sim.venue.kernel import TCP, UDP
from host_sim.venue.people import HOUR, KINDS, MINUTE, Device, Talk
from host_sim.venue.resets import Resets
from host_sim.venue.scenario import Event
from host_sim.venue.step import Step

if TYPE_CHECKING:
    from host_sim.venue.world import World


class Events:
    """The makers of a scenario's events."""

    def __init__(self, world: "World") -> None:
        self._world, self._scenario = world, world.scenario
        self._gateway, self._table, self._visits = world.gateway, world.table, world.visits
        self._interventions, self._resets = Interventions(world), Resets(world, self._power_cut)
        self._fullness = Fullness(world)
        self.looks = 0  # at what is held on a terminal; erasures too, which read what they keep
        self.outages: list[tuple[int, int]] = []  # of the way to the broker, true ns
        self.forged: dict[bytes, bytes] = {}  # address -> MAC that a lease is made out to, which a guest has made up

    def happens(self, event: Event) -> Callable[[int], Iterator[Step]]:
        """Return what an event of the scenario does when its time has come, and lets happen again."""
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
            **self._interventions.makers(),
            **self._resets.makers(),
            **self._fullness.makers(),
        }

        def happen(now: int) -> Iterator[Step]:
            if self._gateway.still:
                self._world.at(self._gateway.still + SECOND, happen)
                return
            if event.every and now + event.every * HOUR < self._world.people_end:
                self._world.at(now + int(event.every * HOUR), happen)
            if now < self._world.people_end and self._gateway.on and not self._gateway.suspended:
                yield from makers[event.what](now, event)

        return happen

    def _power_cut(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._gateway.look(now)
        self._world.tell(now, event.what, minutes=event.minutes)
        listened = self._gateway.listening
        self._gateway.on = self._gateway.listening = False
        self._table.give(now, b"", 0, 0)
        if self._world.portal:
            self._world.portal.forget()
        in_order = listened and event.what == "firmware update"
        yield Step(now, tape.KILL, bytes((tape.IN_ORDER if in_order else tape.POWER,)))
        self._world.truth.fates["forgotten"] += len(self._table.live)
        for entry in self._table.live.values():
            self._table.use(entry, now)
        self._gateway.dark.append((now, now + int(event.minutes * MINUTE)))
        self._gateway.edges += self._gateway.dark[-1]
        self._table.live.clear()
        self._table.loose.clear()
        self._gateway.neighbours.forget()
        self.forged.clear()
        self._world.truth.lose_day(self._gateway.clock.wall(now))
        self._world.truth.forget()
        self._world.at(now + int(event.minutes * MINUTE), self._boot_again)

    def _boot_again(self, now: int) -> Iterator[Step]:
        for mac, device in self._visits.present.items():
            for known in (device.address, *device.temporary[-1:]):
                self._gateway.neighbours.holders[known] = mac
        yield from self._gateway.boot(now)

    def _crash(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._gateway.look(now)
        if not self._gateway.listening:
            return
        self._world.tell(now, "crash", minutes=event.minutes)
        self._gateway.disturbed = True
        self._gateway.listening = False
        if self._world.portal:
            self._world.portal.lost()
        yield Step(now, tape.KILL)
        boot = self._gateway.boots
        self._world.at(now + int(event.minutes * MINUTE), lambda later: self._gateway.respawn(later, boot))

    def _suspend(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._gateway.look(now)
        self._world.tell(now, "suspend", minutes=event.minutes)
        self._gateway.disturbed = True
        self._gateway.suspended = now + int(event.minutes * MINUTE)
        yield Step(now, tape.SUSPEND)
        clock = self._gateway.clock

        def resume(later: int) -> Iterator[Step]:
            self._gateway.suspended = 0
            clock.slept += clock.monotonic(later) - clock.monotonic(now)
            self._table.sleep(now, later)
            self._world.days.resumed(later)
            yield Step(later, tape.WAKE)
            yield from self._gateway.look(later)

        self._world.at(self._gateway.suspended, resume)

    def _uplink_lost(self, now: int, event: Event) -> Iterator[Step]:
        """The WAN's address goes.

        The kernel ends at once whatever was translated to it (nf_nat_masquerade's device event).
        """
        self._world.tell(now, "uplink lost", minutes=event.minutes)
        self._gateway.uplink = False
        self.outages.append((now, now + int(event.minutes * MINUTE)))
        for entry in [
            entry for entry in self._table.live.values() if entry.flow.source != entry.flow.reply_destination
        ]:
            yield from self._table.end(now, entry)

        def back(later: int) -> Iterator[Step]:
            self._gateway.uplink = True
            self._world.tell(later, "uplink back")
            yield from ()

        self._world.at(now + int(event.minutes * MINUTE), back)

    def _broker_down(self, now: int, event: Event) -> Iterator[Step]:
        self._world.tell(now, "broker down", minutes=event.minutes)
        self.outages.append((now, now + int(event.minutes * MINUTE)))
        yield from ()

    def _clock_step(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._gateway.look(now)
        clock = self._gateway.clock
        # The kernel refuses a time since 1970 that is less than its CLOCK_MONOTONIC (clock_settime(2), EINVAL)
        earliest = max(clock.awake(now), SECOND)
        yield from self._gateway.set_clock(now, max(clock.wall(now) + int(event.seconds * SECOND), earliest))

    def _somebody_looks(self, now: int, _event: Event) -> Iterator[Step]:
        """A guest who is there asks what is held on the own terminal."""
        if self._gateway.listening and self._visits.present:
            device = self._visits.present[
                Random(self._world.random.getrandbits(64)).choice(sorted(self._visits.present))
            ]
            self._world.tell(now, "look")
            self.looks += 1
            address = str(ipaddress.ip_address(device.address))
            yield Step(now, tape.LOOK, json.dumps({"v": 1, "call": "access", "address": address}).encode())

    def _attacker(self, now: int) -> Device:
        """A guest who means harm: any present one's place, a laptop of its own."""
        draw = Random(self._world.random.getrandbits(64))
        mac = bytes((draw.getrandbits(8) & 0xFC | 2, *draw.randbytes(5)))
        device = Device(KINDS[2], mac, self._visits.lend() or LAN[:2] + b"\xff\xfe", [], now, now, draw)
        device.port = draw.randint(*device.kind.ports)
        return device

    def _flood(self, now: int, event: Event) -> Iterator[Step]:
        """One guest asks for very many connections that nobody answers: every port, or as many as the table takes."""
        self._world.tell(now, event.what, amount=event.amount, minutes=event.minutes)
        device = self._attacker(now)
        yield from self._visits.arrive(now, device)
        scan = event.what == "port scan"
        apart = int(event.minutes * MINUTE) // event.amount

        def some(at: int, done: int) -> Iterator[Step]:
            for place in range(done, min(done + 100, event.amount)):
                protocol, port = (TCP, 1 + place % 65535) if scan else (UDP, 1024 + place % 60000)
                talk = Talk(at + (place - done) * apart, 0, protocol, port, False, 1, 60, 0, 0, "unanswered")
                yield from self._table.open(at, device, talk)
            if done + 100 < event.amount:
                self._world.at(at + 100 * apart, lambda later: some(later, done + 100))

        yield from some(now, 0)

    def _mac_flood(self, now: int, event: Event) -> Iterator[Step]:
        """One guest shows another MAC each moment, with an address and a connection each: tables fill."""

        def guise(at: int) -> Iterator[Step]:
            device = self._attacker(at)
            yield from self._visits.arrive(at, device)
            yield from self._table.open(at, device, Talk(at, 0, UDP, 53, True, 1, 60, 1, 90, "silent"))

        yield from self._moment_by_moment(now, event, guise)

    def _address_flood(self, now: int, event: Event) -> Iterator[Step]:
        """One guest takes another IPv6 address each moment, with a connection each, under one MAC."""
        device = self._attacker(now)

        def guise(at: int) -> Iterator[Step]:
            device.temporary.append(LAN6 + device.random.randbytes(8))
            yield from self._visits.arrive(at, device)
            yield from self._table.open(at, device, Talk(at, 0, UDP, 53, False, 1, 60, 1, 90, "silent"))

        yield from self._moment_by_moment(now, event, guise)

    def _moment_by_moment(self, now: int, event: Event, act: Callable[[int], Iterator[Step]]) -> Iterator[Step]:
        """Let somebody act `amount` times within an event's minutes, as long as the gateway has power."""
        self._world.tell(now, event.what, amount=event.amount, minutes=event.minutes)
        apart = int(event.minutes * MINUTE) // event.amount

        def one(at: int, left: int) -> Iterator[Step]:
            if self._gateway.on:
                yield from act(at)
            if left > 1:
                self._world.at(at + apart, lambda later: one(later, left - 1))

        yield from one(now, event.amount)

    def _forge(self, now: int, event: Event) -> Iterator[Step]:
        """A guest claims a present terminal's address for a while: the kernel believes it, and so must the record."""
        if not self._visits.present:
            return
        device = list(self._visits.present.values())[self._world.random.randrange(len(self._visits.present))]
        attacker = self._attacker(now)
        self._world.tell(now, "forged neighbour", minutes=event.minutes)
        self._world.truth.terminals.setdefault(attacker.mac, set()).add(device.address)
        yield from self._gateway.neighbour(now, device.address, attacker.mac)

        def back(later: int) -> Iterator[Step]:
            if self._gateway.on and self._gateway.neighbours.holders.get(device.address) == attacker.mac:
                yield from self._gateway.neighbour(later, device.address, device.mac)

        self._world.at(now + int(event.minutes * MINUTE), back)

    def _forge_lease(self, now: int, event: Event) -> Iterator[Step]:
        """A guest asks for a lease in another's name (chaddr), for an address of somebody: nobody sends by it."""
        if not self._visits.present:
            return
        devices = list(self._visits.present.values())
        address = self._world.random.choice(devices).address
        if self._world.random.random() < 0.5:
            address = LAN[:2] + struct.pack(">H", 256 + self._world.random.randrange(self._scenario.network.addresses))
        self._world.tell(now, "forged lease", minutes=event.minutes)
        self.forged[address] = self._world.random.choice(devices).mac
        yield self._leases(now)

        def back(later: int) -> Iterator[Step]:
            if self.forged.pop(address, None) and self._gateway.on:
                yield self._leases(later)

        self._world.at(now + int(event.minutes * MINUTE), back)

    def _leases(self, now: int) -> Step:
        lines = [f"0 {mac.hex(':')} {ipaddress.ip_address(address)} * *\n" for address, mac in self.forged.items()]
        return Step(now, tape.LEASES, "".join(lines).encode())
