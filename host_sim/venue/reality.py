# SPDX-License-Identifier: Apache-2.0
"""What people really did in a simulated venue, beside what a gateway's figures are defined to say (ANON-1, ANON-2).

The real truth counts devices and not MACs, in the hour in which their people walked in. It has every slot and class of
theirs, from the first packet of a connection to its last. The defined truth (`host_sim.venue.truth`) is what the
recorder can know: a terminal is a MAC, it counts once its first connection has ended or was listed, in two slots and
two classes at most. The difference is the figures' bias.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from host_sim.venue.events import Events
from host_sim.venue.people import HOUR, Device, Talk, Visit
from host_sim.venue.scenario import Scenario
from host_sim.venue.step import Step
from host_sim.venue.table import ConnectionTable
from host_sim.venue.truth import AGENT_DAY_STARTS, DAY, Daily, Seen, Truth
from host_sim.venue.visits import Visits
from host_sim.venue.world import World

Cells = dict[str, list[float]]  # metric -> mean of each cell over the days


class Days(NamedTuple):
    """The cells of a mean day, as they really were and as they are defined; `devices` really came."""

    real: Cells
    defined: Cells
    devices: float


class _Truth(Truth):
    """Keeps what each terminal did on the days that are over."""

    def __init__(self) -> None:
        super().__init__()
        self.over: dict[int, dict[bytes, Seen]] = {}

    def close_day(self) -> None:
        if self._day:
            self.over[self._day] = self._now.terminals
        super().close_day()


class Venue(World):
    """A world that knows whose MAC is whose."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        super().__init__(scenario, seed)
        self.truth: _Truth = _Truth()
        # Start of an agent-day -> device -> what it did
        self.real: dict[int, dict[int, Seen]] = defaultdict(lambda: defaultdict(Seen))
        self.owners: dict[bytes, int] = {}
        self.table = _Table(self)
        self.visits = _Visits(self)
        self.events = Events(self)


class _Visits(Visits):
    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._owners, self._owner = venue.owners, 0

    def arrival(self, visit: Visit) -> Callable[[int], Iterator[Step]]:
        self._owner += visit.new  # a device's visits follow one another
        owner, arrive = self._owner, super().arrival(visit)

        def arrived(now: int) -> Iterator[Step]:
            before = len(self.present)
            yield from arrive(now)
            if len(self.present) > before:
                self._owners[next(reversed(self.present))] = owner

        return arrived


class _Table(ConnectionTable):
    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._venue = venue

    def open(self, now: int, device: Device, talk: Talk) -> Iterator[Step]:
        yield from super().open(now, device, talk)
        last = talk.at + talk.lasts
        owner = self._venue.owners.get(device.mac)
        begins = (talk.at - AGENT_DAY_STARTS) // DAY * DAY + AGENT_DAY_STARTS
        for day in range(begins, last + 1, DAY) if owner else ():
            part = min(last, day + DAY) - max(talk.at, day)
            octets = (
                (talk.bytes_up + talk.bytes_down) * part // talk.lasts
                if talk.lasts
                else talk.bytes_up + talk.bytes_down
            )
            seen = Daily()
            seen.terminals[b""] = self._venue.real[day][owner or 0]
            seen.see(b"", talk.at, min(last, day + DAY - 1), (talk.protocol, talk.port), octets, day, day)


def cells(terminals: list[Seen], most: int) -> Cells:
    """Return a day's cells in which a terminal counts in `most` slots and classes at most, as drawn on average."""
    found: Cells = {metric: [0.0] * len(names) for metric, names in Daily.CELLS.items()}
    for seen in terminals:
        classes = [Daily.CELLS["classes"].index(name) for name in seen.classes if name in Daily.CELLS["classes"]]
        for part in sorted({quarter // 16 for quarter in seen.quarters})[:most]:
            found["active"][part] += 1
        for place in classes:
            found["classes"][place] += min(1, most / len(classes))
        found["presence"][sum(len(seen.quarters) >= bound for bound in (2, 5, 9, 17))] += 1
        found["volume"][sum(seen.octets >> 20 >= bound for bound in (10, 100, 500, 2000))] += 1
    return found


def live(scenario: Scenario, seed: int) -> Days:
    """Let a scenario's people live; days that were not counted from their first hour to their end are left out."""
    world = Venue(scenario, seed)
    for step in world.steps():
        if step.wall > world.people_end + (scenario.network.timeouts["tcp_timeout_established"] + 3600) * 10**9:
            break
    truth = world.truth
    truth.close_day()
    whole = [day for day in truth.over if day + DAY <= world.people_end]
    real: dict[tuple[str, int], float] = defaultdict(float)
    defined: dict[tuple[str, int], float] = defaultdict(float)
    for day in whole:
        for sums, terminals, most in (
            (real, list(world.real[day].values()), 99),
            (defined, list(truth.over[day].values()), 2),
        ):
            for metric, values in cells(terminals, most).items():
                for cell, value in enumerate(values):
                    sums[metric, cell] += value
        for hour in range(24):
            real["arrivals", hour] += truth.arrived[day + hour * HOUR]
            defined["arrivals", hour] += truth.learned[day + hour * HOUR]
    names = {"arrivals": range(24), **{metric: range(len(found)) for metric, found in Daily.CELLS.items()}}
    means = [
        {metric: [sums[metric, cell] / len(whole) for cell in found] for metric, found in names.items()}
        for sums in (real, defined)
    ]
    return Days(means[0], means[1], sum(len(world.real[day]) for day in whole) / len(whole))
