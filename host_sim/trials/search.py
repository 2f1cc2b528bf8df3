# SPDX-License-Identifier: Apache-2.0
"""Searches for scenarios in which something false becomes true: `oubli-sim search`.

Each run is a scenario drawn whole from one number: when, who, which network and gateway, which purposes, which
interpreter, and what happens. By swarm testing (Groce et al., "Swarm Testing", ISSTA 2012) a run has a random subset of
the kinds of events and of the settings: two that hide each other's faults aren't always there together. Moments lie
near each other, and near the edges of an hour, an agent-day, a date and a lifetime. That is where deadlines, slots and
clocks change. The auditor looks on, as in `oubli-sim run`.

A run that ends in a violation is shrunk (`host_sim.trials.shrinking`) to the shortest scenario that
still shows it, which is kept as a TOML file.
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from host_sim.driver.interpreters import NAMES
from host_sim.driver.scene import SimulationError
from host_sim.driver.scratch import scratch
from host_sim.driver.simulation import Simulation
from host_sim.trials.shrinking import shrink
from host_sim.venue import keys
from host_sim.venue import scenario as scenarios

SLOW = 0.25  # share of the runs on the second interpreter, which takes four times as long
SHRINK = 60  # runs that shrinking one violation may take
_DAY = datetime(2026, 11, 25, tzinfo=UTC)
_EDGES = (0, 3)  # hours of the day at which a date and an agent-day begin (UTC)
_SPREAD = (1 / 3600, 1 / 3)  # hours by which a moment lies beside what it is drawn to
_FEW, _MANY = 1, 3  # events of one kind
_LIFETIMES = {"10m": 1 / 6, "1h": 1.0, "6h": 6.0, "24h": 24.0}
_WORDS = 12  # by which two faults are told apart
_CHANCE = 0.4  # that a kind of event, or a setting, is in a run
# What `minutes`, `amount` and `seconds` of an event are drawn from, evenly by their logarithm.
_MINUTES, _AMOUNT, _SECONDS = (0.05, 100.0), (20.0, 2000.0), (1.0, 300_000.0)
_SOON = {"crash": 0.04, "standstill": 0.2}  # of these, so much of `_MINUTES`: procd starts what has ended again
_WIDE = {"custodian clock": 300}  # of `_SECONDS`, so many times as much: nobody confirms his time
# Of these, as many of `_AMOUNT`: each takes a place in several tables
_BRIEF = {"mac flood": 0.1, "address flood": 0.1}

# Kinds of events with dice of their own, so that numbers go on standing for what they stood for.
_LATER = (
    "look", "forged lease", "operator look", "erase", "erase terminal", "standstill", "factory reset",
    "restored ledger", "restored log", "restored consents", "restored backup", "reinstallation",
    "full ledger", "full log", "full consents", "full spool", "full stores", "full flash",
    "first boot cut", "custodian clock",
)  # fmt: skip

Data = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One run: a scenario as its file says it, its seed, its interpreter."""

    data: Data
    seed: int
    interpreter: str

    def text(self, heading: str = "") -> str:
        """Return the scenario as TOML."""
        lines = [f"# {line}" for line in heading.splitlines()]
        lines += [
            f"{name} = {_value(value)}" for name, value in self.data.items() if not isinstance(value, dict | list)
        ]
        for name, section in _tables(self.data):
            lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in section.items())]
        for event in self.data.get("event", ()):
            lines += ["", "[[event]]", *(f"{key} = {_value(value)}" for key, value in event.items())]
        return "\n".join(lines) + "\n"


def _tables(data: Data, above: str = "") -> Iterator[tuple[str, Data]]:
    """Yield each table's name and its own keys, those within it after it."""
    for name, section in data.items():
        if isinstance(section, dict):
            own = {key: value for key, value in section.items() if not isinstance(value, dict)}
            if own:
                yield above + name, own
            yield from _tables(section, f"{above}{name}.")


@dataclass(frozen=True)
class Found:
    """What a run showed: the auditor's check ("ended": a daemon did), what was wrong, and in which hour."""

    check: str
    wrong: str
    hours: float

    @property
    def kind(self) -> str:
        """What two runs have in common that show the same fault: the check, and the words of what was wrong."""
        return self.check + ": " + " ".join(word for word in self.wrong.split()[:_WORDS] if word.isalpha())


@dataclass
class Figures:
    """What a search did. `violations` are JSON objects."""

    seed: int
    runs: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    hours: float = 0
    connections: int = 0
    violations: list[Data] = field(default_factory=list)
    interrupted: bool = False


def _value(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(value)


# Drawing


def draw(seed: int) -> Case:
    """Return the run that a number stands for."""
    dice = Random(seed)
    data: Data = {"description": f"Drawn from {seed}"}
    lifetime = dice.choices(list(_LIFETIMES), (6, 5, 2, 0.3))[0]
    days = round(_log(dice, 0.02, 0.3), 3)
    edge = _DAY + timedelta(hours=dice.choice(_EDGES))
    start = edge - timedelta(seconds=int(dice.random() * days * 86400))
    if dice.random() < 0.5:
        start = _DAY + timedelta(minutes=dice.randrange(1440))
    data["time"] = {"start": start, "utc_offset": 0, "days": days}
    data["people"] = {
        "visitors": int(_log(dice, 10, 600)),
        "arrivals": [1] * 24,
        "activity": round(_log(dice, 0.05, 0.8), 3),
    }
    data["gateway"] = {"lifetime": lifetime}
    _some(dice, data["people"], {
        "stay": lambda: round(_log(dice, 0.1, 5), 2), "ipv6": lambda: dice.choice((0, 1)),
        "rotate": lambda: round(_log(dice, 0.2, 4), 2), "roams": lambda: dice.choice((1, 6)), "sleep": lambda: 0.5,
    })  # fmt: skip
    data["network"] = _some(dice, {}, {
        "addresses": lambda: int(_log(dice, 3, 300)), "dual_stack": lambda: dice.choice((0, 1)),
        "table": lambda: int(_log(dice, 100, 16384)),
    })  # fmt: skip
    if dice.random() < _CHANCE:
        data["network.timeouts"] = {"tcp_timeout_established": int(_log(dice, 60, 7440))}
    wrong = (
        datetime(1970, 1, 1, tzinfo=UTC),
        start - timedelta(hours=_log(dice, 0.1, 1000)),
        start + timedelta(days=9000),
    )
    data["clock"] = _some(dice, {}, {
        "shows": lambda: dice.choice(wrong),
        "drift": lambda: dice.choice((-100, -20, 20, 100)), "first": lambda: round(_log(dice, 0.2, 60), 2),
        "confirms": lambda: dice.choice((0, 15, 240)),
    })  # fmt: skip
    _some(dice, data["gateway"], {
        "rows": lambda: dice.choice((64, 512)), "rate": lambda: int(_log(dice, 20, 5000)),
        "budget": lambda: dice.choice((1 << 18, 1 << 20)), "spool_days": lambda: 1,
    })  # fmt: skip
    data["purposes"] = _purposes(dice)
    if "sealed" in data["purposes"]:
        data["gateway"]["rows"] = 512  # what a custodian's store may take is derived from it
    data["event"] = _events(dice, seed, days * 24, (start - _DAY) / timedelta(hours=1), _LIFETIMES[lifetime])
    return Case(
        {name: part for name, part in data.items() if part}, dice.randrange(1 << 32), NAMES[dice.random() < SLOW]
    )


def _log(dice: Random, low: float, high: float) -> float:
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def _some(dice: Random, into: Data, makers: dict[str, Callable[[], Any]]) -> Data:
    """Draw a subset of settings."""
    into.update({name: make() for name, make in makers.items() if dice.random() < _CHANCE})
    return into


def _purposes(dice: Random) -> Data:
    out = _some(dice, {}, {"attribution": lambda: True, "billing": lambda: True})
    if out:
        out["sealed"] = dice.choice(("1d", "2d", "7d"))
    if dice.random() < _CHANCE:
        out["consent"] = 0.6
        _some(dice, out, {"suspend": lambda: 0.5, "withdraw": lambda: 0.5})
    if out and dice.random() < _CHANCE:
        out["portal"] = 0.5
    return out


def _events(main: Random, number: int, hours: float, begins: float, lifetime: float) -> list[Data]:
    """Draw what happens within so many hours from an hour of the day on, each moment near an edge or another one."""
    edges = [edge - begins + day * 24 for edge in _EDGES for day in (0, 1)]
    edges += [math.ceil(begins) - begins + hour for hour in range(int(hours) + 1)]
    near = [edge for edge in edges if 0 <= edge < hours]
    out: list[Data] = []
    for what, needed in keys.EVENTS.items():
        dice = main if what not in _LATER else Random(f"{number} {what}")
        if dice.random() >= _CHANCE:
            continue
        for _ in range(dice.randint(_FEW, _MANY)):
            at = dice.uniform(0, hours)
            if near and dice.random() < 0.7:
                at = dice.choice(near) + dice.choice((-1, 0, 1)) * _log(dice, *_SPREAD)
            event: Data = {"what": what, "at": round(min(max(at, 0), hours), 4)}
            for name, (low, high) in (("minutes", _MINUTES), ("amount", _AMOUNT), ("seconds", _SECONDS)):
                if name in needed:
                    event[name] = round(_log(dice, low, high) * (_SOON.get(what, 1) if name == "minutes" else 1), 3)
            if "amount" in event:
                event["amount"] = max(int(event["amount"] * _BRIEF.get(what, 1)), 1)
            if "seconds" in event:
                event["seconds"] *= dice.choice((-1, 1)) * _WIDE.get(what, 1)
            if dice.random() < 0.2:
                event["every"] = round(event.get("minutes", 0) / 60 + _log(dice, 0.2, 4), 3)
            out.append(event)
            near += [
                one
                for one in (event["at"], event["at"] + event.get("minutes", 0) / 60, event["at"] + lifetime)
                if one < hours
            ]
    return out


# Trying


def attempt(case: Case, agent: Path | None = None) -> tuple[Found | None, int]:
    """Run one case up to its first violation, None where there is none; and how many connections it had.

    `agent` is a folder with another `agent` package, as a mutant's.
    """
    with scratch("oubli-search-") as folder:
        path = Path(folder) / "drawn.toml"
        path.write_text(case.text())
        simulation = Simulation(scenarios.load(str(path)), case.seed, case.interpreter, None, agent=agent)
        try:
            outcome = simulation.run()
        except SimulationError as failure:
            return Found("ended", str(failure), 0), simulation.world.truth.connections.total()
        first = outcome.violation
        if first is None:
            return None, outcome.traffic.connections
        return Found(
            first.check, first.wrong, round((first.wall - outcome.scenario.start) / 3.6e12, 2)
        ), outcome.traffic.connections


def search(
    seed: int,
    seconds: float,
    most: int | None = None,
    keep: Path | None = None,
    told: Callable[[str], None] = lambda _line: None,
) -> Figures:
    """Try runs drawn from `seed`, `seed` + 1, ... for so long, or so many; shrink and keep what is found.

    Ctrl-C ends it early: the figures are of the runs that came to their end.
    """
    figures, end = Figures(seed), time.monotonic() + seconds
    try:
        for number in itertools.count(seed):
            if time.monotonic() >= end or (most is not None and number >= seed + most):
                break
            _count(figures, number, keep, told)
    except KeyboardInterrupt:
        figures.interrupted = True
    return figures


def _count(figures: Figures, number: int, keep: Path | None, told: Callable[[str], None]) -> None:
    """Try the run of one number, and add it to the figures when it is over."""
    case = draw(number)
    found, connections = attempt(case)
    violation = None
    if found:
        told(f"{number}: {found.wrong}")
        violation = _shrunk(case, number, found, keep)
        told(f"{number}: shrunk by {violation['runs']} runs")
    figures.runs[case.interpreter] = figures.runs.get(case.interpreter, 0) + 1
    figures.connections += connections
    figures.hours = round(figures.hours + case.data["time"]["days"] * 24, 2)
    for what in {event["what"] for event in case.data.get("event", ())}:
        figures.events[what] = figures.events.get(what, 0) + 1
    if violation:
        figures.violations.append(violation)


def _shrunk(case: Case, number: int, found: Found, keep: Path | None) -> Data:
    """Shrink a violation; returns what there is to say of it."""

    def same(data: Data) -> Found | None:
        again, _ = attempt(Case(data, case.seed, case.interpreter))
        return again if again and again.kind == found.kind else None

    data, last, runs = shrink(case.data, found, same, SHRINK)
    small = Case({**data, "description": f"Search {number}: {found.check}"[:200]}, case.seed, case.interpreter)
    text = small.text(f"SPDX-License-Identifier: Apache-2.0\nseed {case.seed}, {case.interpreter}; found: {last.wrong}")
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"search-{number}.toml").write_text(text)
    return {"number": number, "check": found.check, "wrong": last.wrong, "hours": last.hours, "runs": runs,
            "seed": case.seed, "interpreter": case.interpreter, "scenario": text}  # fmt: skip


def soak(seed: int, seconds: float) -> Data:
    """Search as `tools/soak --trial search` does; returns the figures, with what was found."""
    figures = vars(search(seed, seconds))
    return {**figures, "findings": figures.pop("violations")}
