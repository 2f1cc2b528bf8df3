# SPDX-License-Identifier: Apache-2.0
"""People at the venue: who comes when, which addresses a terminal takes, when it talks."""

import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING

from host_sim.venue.gateway import LAN, LAN6
from host_sim.venue.people import HOUR, Device, Talk, Visit
from host_sim.venue.step import Step
from host_sim.venue.truth import DAY

if TYPE_CHECKING:
    from host_sim.venue.world import World

_TEMPORARY = DAY  # how long a temporary IPv6 address is used (RFC 8981)


class Visits:
    """The devices that are there."""

    def __init__(self, world: "World") -> None:
        self._world, self._scenario, self._gateway, self._table = world, world.scenario, world.gateway, world.table
        self.present: dict[bytes, Device] = {}
        self._lease = 0

    def people(self, now: int) -> Iterator[Step]:
        """Draw one local day's visits; the next day's are drawn when it begins."""
        if now >= self._world.people_end:
            return
        offset = self._scenario.utc_offset * HOUR
        midnight = (now + offset) // DAY * DAY - offset
        closes = int(self._scenario.closes * HOUR)
        for visit in self._scenario.crowd.day(self._world.random, midnight, closes):
            if self._world.scenario.start <= visit.arrives < self._world.people_end:
                self._world.at(
                    visit.arrives, self.arrival(visit._replace(leaves=min(visit.leaves, self._world.people_end)))
                )
        self._world.at(midnight + DAY, self.people)
        yield from ()

    def arrival(self, visit: Visit) -> Callable[[int], Iterator[Step]]:
        """Return the event of a visit's beginning, under a MAC of its own."""
        draw = Random(self._world.random.getrandbits(64))
        mac = bytes((draw.getrandbits(8) & 0xFC | 2, *draw.randbytes(5)))

        def arrive(now: int) -> Iterator[Step]:
            if self._waits(arrive):
                return
            if now > visit.leaves:
                return  # it came and went while the gateway slept
            temporary = [LAN6 + draw.randbytes(8) for _ in range(visit.has_ipv6)]
            if visit.new:
                self._world.truth.arrived[now // HOUR * HOUR] += 1
            lent = self.lend()
            if lent is None:
                self._world.tell(now, "no address")
                return
            device = Device(visit.kind, mac, lent, temporary, now, visit.leaves, draw, sleep=self._scenario.crowd.sleep)
            self.present[mac] = device
            self._world.at(visit.leaves, lambda later: self._leave(later, device))
            yield from self.arrive(now, device)
            if self._world.portal:
                for told in self._world.portal.arrives(now, device):
                    yield Step(now, *told)
            if temporary and visit.leaves - now > _TEMPORARY:
                self._world.at(now + _TEMPORARY, lambda later: self._renew(later, device))
            if self._scenario.crowd.roams:
                self._world.at(
                    now + int(draw.expovariate(self._scenario.crowd.roams / HOUR)),
                    lambda later: self._roam(later, device),
                )
            self._next_burst(device, device.bursts(self._scenario.activity))

        return arrive

    def _waits(self, event: Callable[[int], Iterator[Step]]) -> bool:
        """Return True if the gateway sleeps: its radios are silent, and what this event does they notice later."""
        if self._gateway.suspended:
            self._world.at(self._gateway.suspended, event)
        return self._gateway.suspended > 0

    def arrive(self, now: int, device: Device) -> Iterator[Step]:
        """The kernel learns of a terminal's addresses."""
        known = (device.address, *device.temporary[-1:])
        self._world.truth.terminals.setdefault(device.mac, set()).update(known)
        if self._gateway.on:
            for address in known:
                yield from self._gateway.neighbour(now, address, device.mac)

    def _leave(self, now: int, device: Device) -> Iterator[Step]:
        """It is gone; the kernel forgets its neighbours when somebody else takes the address."""
        if self._waits(lambda later: self._leave(later, device)):
            return
        self.present.pop(device.mac, None)
        if self._world.portal:
            for told in self._world.portal.leaves(now, device):
                yield Step(now, *told)

    def _renew(self, now: int, device: Device) -> Iterator[Step]:
        """Another temporary IPv6 address [v6]."""
        if now < device.leaves:
            device.temporary.append(LAN6 + device.random.randbytes(8))
            yield from self.arrive(now, device)
            self._world.at(now + _TEMPORARY, lambda later: self._renew(later, device))

    def _roam(self, now: int, device: Device) -> Iterator[Step]:
        """It takes another access point: all the kernel shows is that its neighbour was confirmed again."""
        if now < device.leaves and not self._waits(lambda later: self._roam(later, device)):
            if self._gateway.on and self._gateway.neighbours.holders.get(device.address) == device.mac:
                yield from self._gateway.neighbour(now, device.address, device.mac)
            if self._world.portal:
                for told in self._world.portal.roams(now, device):
                    yield Step(now, *told)
            wait = int(device.random.expovariate(self._scenario.crowd.roams / HOUR))
            self._world.at(now + wait, lambda later: self._roam(later, device))

    def _next_burst(self, device: Device, bursts: Iterator[tuple[int, list[Talk]]]) -> None:
        for time, talks in bursts:

            def burst(now: int, talks: list[Talk] = talks) -> Iterator[Step]:
                for talk in talks:
                    yield from self._table.open(now, device, talk)
                self._next_burst(device, bursts)

            self._world.at(time, burst)
            return

    def lend(self) -> bytes | None:
        """Lend the next address that nobody present has; None where the pool is exhausted."""
        taken = {device.address for device in self.present.values()}
        for _ in range(self._scenario.network.addresses):
            address = LAN[:2] + struct.pack(">H", 256 + self._lease % self._scenario.network.addresses)
            self._lease += 1
            if address not in taken:
                return address
        return None
