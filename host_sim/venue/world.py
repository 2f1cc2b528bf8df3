# SPDX-License-Identifier: Apache-2.0
"""The world around one gateway: people, the conntrack table, what happens to the gateway, and the whole truth.

Everything follows from a scenario and a seed. Events wait in one queue ordered by true time. A connection's life is its
talk (first packet to last), then STOP = last packet + the timeout of its last state. The DESTROY comes up to 50 s
later. That is because the kernel collects its garbage lazily (nf_conntrack_core.c, gc_worker). Memory stays flat:
people are drawn a day at a time, and the auditor takes from the truth what it has matched.
"""

from collections import deque
from collections.abc import Iterator
from random import Random

from host_sim.venue import kernel, tape
from host_sim.venue.days import Days
from host_sim.venue.device_clock import SECOND
from host_sim.venue.event_queue import EventQueue, Happens
from host_sim.venue.events import Events
from host_sim.venue.gateway import STEP, Gateway
from host_sim.venue.happenings import Happening, clock_text, happening
from host_sim.venue.people import HOUR, MINUTE
from host_sim.venue.portal import Portal
from host_sim.venue.portal_side import GatewaySide
from host_sim.venue.scenario import Scenario
from host_sim.venue.step import Step
from host_sim.venue.table import LAZINESS, ConnectionTable
from host_sim.venue.truth import DAY, Truth
from host_sim.venue.visits import Visits

STORY = 10  # lines of the gateway's history that a violation shows


class World:
    """One gateway's time, from the scenario's start; `steps` is the tape, `truth` and `days` fill while it is read.

    `byteorder` is that of the gateway's processor: its kernel's datagrams are written so. Whoever plays the tape says
    after each REPORT what the stage said that the kernel dropped (`Gateway.settle`); who doesn't, drops nothing.
    """

    def __init__(
        self, scenario: Scenario, seed: int, days: float | None = None, byteorder: kernel.ByteOrder = "little"
    ) -> None:
        self.scenario, self.byteorder = scenario, byteorder
        self.length = days or scenario.days
        self.people_end = scenario.start + int(self.length * DAY)
        # two hours more than a lifetime: whatever the kernel reported late has passed its deadline too
        self.end = (self.people_end + scenario.gateway.lifetime * SECOND + 2 * HOUR + STEP - 1) // STEP * STEP
        self.truth, self.days = Truth(scenario.gateway.rows), Days()
        self.told: deque[Happening] = deque(maxlen=4000)  # what happened, for the report and a violation's history
        self.random = Random(seed)
        self._queue = EventQueue()
        self.gateway = Gateway(self)
        self.table = ConnectionTable(self)
        self.visits = Visits(self)
        self.events = Events(self)
        slept = max((event.minutes for event in scenario.events if event.what == "suspend"), default=0)
        lingers = max(scenario.network.timeouts.values()) * SECOND + 2 * LAZINESS + 2 * int(slept * MINUTE)
        asked = scenario.purposes.portal or scenario.purposes.consent
        self.portal = Portal(scenario.purposes, GatewaySide(self), lingers) if asked else None

    @property
    def story(self) -> list[str]:
        """The gateway's newest history, in a few lines."""
        return [f"{clock_text(one.at)} {one.english}" for one in list(self.told)[-STORY:]]

    def at(self, time: int, event: Happens) -> None:
        """Let an event happen at a true time, in ns; of two at one time the one that was asked for first."""
        self._queue.put(time, event)

    def tell(self, now: int, kind: str, **figures: object) -> None:
        """Remember what happened, for a violation's history and the report."""
        self.told.append(happening(now, kind, **figures))

    def steps(self) -> Iterator[Step]:
        """Yield the tape in time order: boot, people, reports, until everything must be forgotten."""
        start = self.scenario.start
        self.at(start, self.gateway.boot)
        first = -(-(start + 1) // STEP) * STEP
        for one in self.scenario.events:
            self.at(start + int(one.at * HOUR), self.events.happens(one))
        self.at(first, self.gateway.report)
        self.at(start, self.visits.people)
        yield from self._queue.until(self.end)
        yield from self.gateway.look(self.end)
        yield Step(self.end, tape.STOP)
