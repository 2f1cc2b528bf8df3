# SPDX-License-Identifier: Apache-2.0
"""What is taken from a gateway's flash, or put back there, by a scenario's events.

Factory reset, reinstallation, backups.

A backup has what `sysupgrade` keeps of oubli's small files: no mark of the ledger. Put back, it lies over what is
there: what was made since stays beside it, as with `tar`. Nobody says afterwards that the device is new, for people
have been counted on it.
"""

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from host_sim.venue import tape
from host_sim.venue.device_clock import SECOND
from host_sim.venue.people import MINUTE
from host_sim.venue.scenario import Event
from host_sim.venue.step import Step

if TYPE_CHECKING:
    from host_sim.venue.world import World

LEDGER, LOG, CONSENTS = "ledger", "audit", "consents"
BACKUPS = {
    "restored ledger": (LEDGER,),
    "restored log": (LOG,),
    "restored consents": (CONSENTS,),
    "restored backup": (LEDGER, LOG, CONSENTS, "published", "device.key"),
}

Maker = Callable[[int, Event], Iterator[Step]]


class Resets:
    """The makers of these events; `power_cut` is that of a cut of power."""

    def __init__(self, world: "World", power_cut: Maker) -> None:
        self._world, self._gateway, self._power_cut = world, world.gateway, power_cut
        self._copies = 0

    def makers(self) -> dict[str, Maker]:
        """Return what each kind of event does."""
        return {
            "factory reset": self._factory_reset,
            "first boot cut": self._first_boot,
            "reinstallation": self._reinstall,
            **dict.fromkeys(BACKUPS, self._copy),
        }

    def _factory_reset(self, now: int, event: Event) -> Iterator[Step]:
        """Flash is emptied."""
        yield from self._power_cut(now, event)
        self._gateway.reset()
        if self._world.portal:
            self._world.portal.reset()
        yield Step(now, tape.RESET)

    def _first_boot(self, now: int, event: Event) -> Iterator[Step]:
        """A factory reset, after which the power goes again while the first boot's script runs."""
        yield from self._factory_reset(now, event)
        yield Step(now, tape.FIRST_BOOT, struct.pack("<I", self._world.random.getrandbits(32)))

    def _reinstall(self, now: int, event: Event) -> Iterator[Step]:
        """The package is removed, which destroys all that is kept, and installed anew.

        The same boot, and nothing is known of before.
        """
        yield from self._gateway.look(now)
        if not self._gateway.listening:
            return
        self._world.tell(now, event.what, minutes=event.minutes)
        self._gateway.disturbed, self._gateway.listening = True, False
        self._world.table.give(now, b"", 0, 0)
        self._world.truth.lose_day(self._gateway.clock.wall(now))
        self._gateway.reset()
        if self._world.portal:
            self._world.portal.forget()
            self._world.portal.reset()
        yield Step(now, tape.UNINSTALL)
        boot = self._gateway.boots
        self._world.at(now + int(event.minutes * MINUTE), lambda later: self._gateway.installed(later, boot))

    def _copy(self, now: int, event: Event) -> Iterator[Step]:
        """Somebody copies files, and puts the copy back later, with the power off: what happened since isn't in it."""
        yield from self._gateway.look(now)
        if not self._gateway.listening:
            return
        names, number, log = BACKUPS[event.what], self._copies, self._gateway.log()
        if LOG in names and not any(log):  # no room for its first start: what else it has, if it is there, isn't known
            return
        self._copies += 1
        yield Step(now, tape.COPY, struct.pack("<H", number) + " ".join(names).encode())
        days, portal = self._world.days, self._world.portal
        hours, ledger, emptied = days.ledger.written, days.ledger.writes, self._gateway.flash.emptied
        # Else the copy has none, and leaves the one that is there then
        there = days.ledger.there
        states, acts = (portal.copy(), portal.acts.copy()) if portal else ({}, None)

        def restore(later: int) -> Iterator[Step]:
            if self._gateway.still:
                self._world.at(self._gateway.still + SECOND, restore)
            elif self._gateway.on and not self._gateway.suspended and later < self._world.people_end:
                yield from self._gateway.look(later)
                if emptied == self._gateway.flash.emptied and (LEDGER not in names or days.ledger.writes != ledger):
                    yield from self._put_back(later, event, number)
                    if LEDGER in names and there:
                        days.ledger.restored(hours)
                    if LOG in names:
                        self._gateway.log_restored(*log)
                    if portal and CONSENTS in names:
                        portal.restored(states)
                    if portal and acts is not None and LOG in names:
                        portal.acts = acts.copy()

        self._world.at(now + int(event.minutes * MINUTE), restore)

    def _put_back(self, now: int, event: Event, number: int) -> Iterator[Step]:
        yield from self._power_cut(now, event._replace(what="power cut", minutes=1))
        self._world.tell(now, event.what, minutes=event.minutes)
        yield Step(now, tape.RESTORE, struct.pack("<H", number))
