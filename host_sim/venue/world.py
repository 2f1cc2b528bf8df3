# SPDX-License-Identifier: Apache-2.0
"""The world around one gateway: people, the conntrack table, what happens to the gateway, and the whole truth.

Everything follows from a scenario and a seed. Events wait in one queue ordered by true time; a connection's life is its
talk (first packet to last), then STOP = last packet + the timeout of its last state, then the DESTROY, up to 50 s
later. That is because the kernel collects its garbage lazily (nf_conntrack_core.c, gc_worker). Memory stays flat:
people are drawn a day at a time, and the auditor takes from the truth what it has matched.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from random import Random

from host_sim.venue import kernel, tape
from host_sim.venue.days import Days
from host_sim.venue.device_clock import SECOND
from host_sim.venue.events import Events
from host_sim.venue.gateway import STEP, Gateway
from host_sim.venue.happenings import Happening, clock_text, happening
from host_sim.venue.people import HOUR
from host_sim.venue.portal import Portal, Told
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
        self.start = scenario.start
        self.length = days or scenario.days
        self.people_end = self.start + int(self.length * DAY)
        # two hours more than a lifetime: whatever the kernel reported late has passed its deadline too
        self.end = (self.people_end + scenario.lifetime * SECOND + 2 * HOUR + STEP - 1) // STEP * STEP
        self.truth, self.days = Truth(), Days()
        self.story: deque[str] = deque(maxlen=STORY)
        self.busy: deque[Happening] = deque()  # for the report
        self.random = Random(seed)
        self._queue: list[tuple[int, int, Callable[[int], Iterator[Step]]]] = []
        self._order = 0
        self.gateway = Gateway(self)
        self.table = ConnectionTable(self)
        self.visits = Visits(self)
        self.events = Events(self)
        self.portal = self._portal() if any((scenario.purposes.portal, scenario.purposes.consent)) else None

    def _portal(self) -> Portal:
        def at(time: int, event: Callable[[int], Iterator[Told]]) -> None:
            self.at(time, lambda now: (Step(now, *told) for told in event(now)))

        def wall(now: int) -> int:
            return self.gateway.clock.wall(now)  # another clock after each boot

        def keeps() -> bool:
            return "consents" not in self.gateway.full

        def suspends() -> bool:
            return keeps() and not (self.scenario.purposes.custodian and "stores" in self.gateway.full)

        lingers = max(self.scenario.timeouts.values()) * SECOND + 2 * LAZINESS
        return Portal(
            self.scenario.purposes,
            wall,
            at,
            lambda: self.gateway.listening,
            self.days.current,
            lingers,
            keeps,
            suspends,
        )

    def at(self, time: int, event: Callable[[int], Iterator[Step]]) -> None:
        """Let an event happen at a true time, in ns; of two at one time the one that was asked for first."""
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
        self.at(self.start, self.gateway.boot)
        first = -(-(self.start + 1) // STEP) * STEP
        for one in self.scenario.events:
            self.at(self.start + int(one.at * HOUR), self.events.happens(one))
        self.at(first, self.gateway.report)
        self.at(self.start, self.visits.people)
        while self._queue:
            time, _, event = heapq.heappop(self._queue)
            if time >= self.end:
                break
            yield from event(time)
        yield from self.gateway.look(self.end)
        yield Step(self.end, tape.STOP)
