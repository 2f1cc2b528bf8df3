# SPDX-License-Identifier: Apache-2.0
"""Flash that has no room for some of what the agent keeps there, for a while, by a scenario's events."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from host_sim.venue import tape
from host_sim.venue.device_clock import SECOND
from host_sim.venue.gateway import STEP
from host_sim.venue.people import HOUR, MINUTE
from host_sim.venue.scenario import Event
from host_sim.venue.step import Step
from host_sim.venue.tape import PLACES, STORES

if TYPE_CHECKING:
    from host_sim.venue.world import World

ALL = "full flash"
_WRITTEN = 20 * MINUTE + STEP  # after which a look finds on flash what has waited for room


class Fullness:
    """The makers of these events."""

    def __init__(self, world: "World") -> None:
        self._world, self._gateway = world, world.gateway
        self._until: dict[str, int] = {}  # true ns, by what is full

    def makers(self) -> dict[str, Callable[[int, Event], Iterator[Step]]]:
        """Return what each kind of event does."""
        return dict.fromkeys([ALL, *(f"full {name}" for name in PLACES if name != "key")], self._fill)

    def _fill(self, now: int, event: Event) -> Iterator[Step]:
        yield from self._gateway.look(now)
        self._world.tell(now, event.what, minutes=event.minutes)
        until = now + int(event.minutes * MINUTE)
        for name in PLACES if event.what == ALL else (event.what.split()[1],):
            self._until[name] = max(self._until.get(name, 0), until)
        yield self._change(now)
        self._world.at(until, self._free)

    def _free(self, now: int) -> Iterator[Step]:
        waits = max(self._gateway.still, self._gateway.suspended)
        if waits:
            self._world.at(waits + SECOND, self._free)
            return
        yield from self._gateway.look(now)
        yield self._change(now)
        yield from self._gateway.look(now)  # a day that waited for room opens in the hour that it is

    def _change(self, now: int) -> Step:
        full = {name for name, until in self._until.items() if until > now}
        gateway, portal = self._gateway, self._world.portal
        if STORES in gateway.flash.full | full:
            gateway.flash.unwritten = now + (1000 * HOUR if STORES in full else _WRITTEN)
        gateway.flash.full, gateway.flash.was_full = full, gateway.flash.was_full | full
        self._world.days.fill(full)
        if portal and portal.gateway.suspends():
            portal.written()
        return Step(now, tape.FULL, " ".join(sorted(full)).encode())
