# SPDX-License-Identifier: Apache-2.0
"""What whoever runs a gateway does to it in a scenario: looks at records, erases, stops the recorder."""

import json
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING

from host_sim.venue import tape
from host_sim.venue.device_clock import SECOND
from host_sim.venue.people import MINUTE
from host_sim.venue.scenario import Event
from host_sim.venue.step import Step

if TYPE_CHECKING:
    from host_sim.venue.world import World

ALARM = 35 * SECOND  # a turn of the recorder's loop that takes longer is its last (`alarm`), whoever continues it
WATCHED = 40 * SECOND  # after which the watch has ended it, and destroyed what was due
_RESPAWN = 5 * SECOND  # procd starts what has ended
_ROUND = 61 * SECOND  # between two erasures of single terminals


class Interventions:
    """The makers of these events."""

    def __init__(self, world: "World") -> None:
        self._world, self._gateway = world, world.gateway
        self._erased_at = 0

    def makers(self) -> dict[str, Callable[[int, Event], Iterator[Step]]]:
        """Return what each kind of event does."""
        return {
            "operator look": self._look,
            "erase": self._erase,
            "erase terminal": self._erase_terminal,
            "standstill": self._stand_still,
            "custodian clock": self._custodian,
        }

    def _order(self, now: int, call: str, **fields: object) -> Step:
        return Step(now, tape.ORDER, json.dumps({"v": 1, "call": call, **fields}).encode())

    def _somebody(self) -> str:
        """Return the MAC of a terminal that is there, as text."""
        return Random(self._world.random.getrandbits(64)).choice(sorted(self._world.visits.present)).hex(":")

    def _look(self, now: int, _event: Event) -> Iterator[Step]:
        """`oubli who`, at a terminal whose owner has agreed."""
        if self._gateway.listening and self._world.visits.present:
            self._world.tell(now, "operator look")
            self._world.events.looks += 1
            yield self._order(now, "access", agreed=1, terminal=self._somebody())
            yield from self._gateway.look(now)

    def _custodian(self, now: int, event: Event) -> Iterator[Step]:
        """The custodian destroys keys that are due, by a clock that is wrong."""
        self._world.tell(now, "custodian clock", seconds=event.seconds)
        yield Step(now, tape.CUSTODIAN, struct.pack("<d", event.seconds))

    def _erase(self, now: int, _event: Event) -> Iterator[Step]:
        """`oubli erase --all`: nothing of before can be read any more."""
        yield from self._gateway.look(now)
        if self._gateway.listening:
            self._world.tell(now, "erase")
            if self._world.portal:
                self._world.portal.stays.clear()
            self._world.events.looks += 1
            yield self._order(now, "erase", purpose="all")
            yield from self._gateway.look(now)

    def _erase_terminal(self, now: int, _event: Event) -> Iterator[Step]:
        """`oubli erase --mac`: nothing that is kept of a terminal's connections of before can be read any more."""
        yield from self._gateway.look(now)
        if self._gateway.listening and self._world.visits.present and now > self._erased_at + _ROUND:
            self._erased_at = now
            self._world.tell(now, "erase terminal")
            mac = self._somebody()
            if self._world.portal:
                self._world.portal.erased(bytes.fromhex(mac.replace(":", "")))
            self._world.events.looks += 1
            yield self._order(now, "erase terminal", terminal=mac)
            yield from self._gateway.look(now)

    def _stand_still(self, now: int, event: Event) -> Iterator[Step]:
        """The process is stopped (SIGSTOP): its timers don't run, what the kernel tells waits in the sockets' buffers.

        A short one goes on. A longer one ends when it is continued, by `alarm`, or
        by the watch, if that isn't stopped too.
        """
        yield from self._gateway.look(now)
        if not self._gateway.listening:
            return
        lasts, portal = int(event.minutes * MINUTE), self._world.portal
        self._gateway.disturbed = True
        self._world.truth.muddle()
        yield Step(now, tape.STILL)
        if lasts < ALARM and portal is None:  # a portal whose calls wait gives them up
            self._world.tell(now, "standstill", minutes=round(lasts / MINUTE, 2))
            self._gateway.still = now + lasts
            self._world.at(now + lasts, self._go_on)
            return
        watched = Random(self._world.random.getrandbits(64)).random() < 0.5
        lasts = WATCHED if watched else max(lasts, ALARM)
        self._world.tell(now, "standstill", minutes=round(lasts / MINUTE, 2))
        self._gateway.listening = False
        if portal:
            portal.lost()
        boot = self._gateway.boots

        def end(later: int) -> Iterator[Step]:
            if self._gateway.on and boot == self._gateway.boots:
                yield Step(later, tape.KILL, bytes((tape.STOOD,)) if watched else b"")
                self._world.at(later + _RESPAWN, again)

        def again(later: int) -> Iterator[Step]:
            yield from self._gateway.respawn(later, boot)
            yield from self._gateway.look(later)

        self._world.at(now + lasts, end)

    def _go_on(self, now: int) -> Iterator[Step]:
        self._gateway.still = 0
        self._world.days.resumed(now)
        yield Step(now, tape.GO_ON)
        yield from self._gateway.look(now)
