# SPDX-License-Identifier: Apache-2.0
"""What the portal knows of its gateway."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from host_sim.venue.portal import Side, Told
from host_sim.venue.step import Step

if TYPE_CHECKING:
    from host_sim.venue.world import World


class GatewaySide(Side):
    """The gateway of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def wall(self, now: int) -> int:
        """Return what its clock shows: another one after each boot."""
        return self._world.gateway.clock.wall(now)

    def trusted(self, now: int) -> bool:
        """Return True if what its clock shows is believed."""
        return self._world.days.current(now)

    def hears(self) -> bool:
        """Return True if it can be told."""
        return self._world.gateway.listening and not self._world.gateway.suspended

    def keeps(self) -> bool:
        """Return True if flash has room for a consent."""
        return "consents" not in self._world.gateway.flash.full

    def suspends(self) -> bool:
        """Return True if flash has room for what suspends one: what is sealed notes it too."""
        sealed = self._world.scenario.purposes.custodian
        return self.keeps() and not (sealed and "stores" in self._world.gateway.flash.full)

    def at(self, time: int, event: Callable[[int], Iterator[Told]]) -> None:
        """Let an event happen."""
        self._world.at(time, lambda now: (Step(now, *told) for told in event(now)))
