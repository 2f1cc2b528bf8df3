# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench sim`: how fast the simulator lives through its scenarios, and what takes the time.

And whether cost grows in a straight line.

Each row is one run through the real recorder, forwarder and broker with the auditor after every step. CPU is told apart
by process: the world with its auditor, the recorder on its stage, the forwarder. The growth rows are one day's café
with as many visitors: what one connection more costs must be the same from 1x to 10x as from 10x to 100x: each second
of a day has a price of its own.
"""

import cProfile
import pstats
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from host_sim.driver.interpreters import NAMES
from host_sim.driver.outcome import Outcome
from host_sim.driver.simulation import Simulation
from host_sim.venue import scenario as scenarios
from tools.bench.rounds import Tell, interleaved, spread
from tools.bench.sheets import Sheet

SCENARIOS = ("cafe-day", "hotel-week", "month")
GROWTH = (8, 80, 800)  # visitors a day: 1x, 10x, 100x
FUNCTIONS = 12  # of the profile


@dataclass(frozen=True)
class Case:
    """One run: a scenario, an interpreter, a number of visitors (0: the scenario's own)."""

    scenario: str
    interpreter: str
    visitors: int = 0

    @property
    def name(self) -> str:
        """What is being done."""
        return f"{self.scenario} on {self.interpreter}"


def cases(names: list[str] | None, interpreters: list[str] | None, *, growth: bool, quick: bool) -> list[Case]:
    """Return what is to be run; `quick`: on CPython alone, where nothing else is asked for."""
    chosen = [
        Case(name, which) for name in names or SCENARIOS[:1] for which in interpreters or NAMES[: 1 if quick else None]
    ]
    return chosen + [Case("cafe-day", NAMES[0], visitors) for visitors in GROWTH if growth]


def measure(chosen: list[Case], seed: int, rounds: int, tell: Tell, *, profiled: bool = False) -> dict[str, Any]:
    """Run the cases.

    Returns a row each, what one connection more costs where the café grew, what a profiler saw if wanted.
    """
    samples: dict[Case, list[dict[str, Any]]] = {case: [] for case in chosen}
    for _, case in interleaved(rounds, ("a life",), chosen, tell):
        samples[case].append(_once(case, seed))
    rows = [
        {
            **taken[0],
            **{name: spread(name, [row[name] for row in taken], 1)[name] for name in ("seconds", "us_a_connection")},
        }
        for taken in samples.values()
    ]
    grown = [(row["connections"], row["connections"] * row["us_a_connection"]) for row in rows if row["grown"]]
    return {
        "rows": rows,
        "seed": seed,
        "rounds": rounds,
        "one_more_us": one_more(grown),
        "functions": profile(seed) if profiled else [],
    }


def _once(case: Case, seed: int) -> dict[str, Any]:
    """Run a case; returns its row."""
    one = scenarios.load(case.scenario)
    if case.visitors:
        addresses = max(one.network.addresses, 2 * case.visitors)
        one = replace(
            one,
            crowd=replace(one.crowd, visitors=case.visitors),
            network=one.network._replace(addresses=addresses, table=262_144),
            gateway=one.gateway._replace(budget=1 << 28),
        )
    outcome = Simulation(one, seed, case.interpreter, None).run()
    return _row(case, outcome)


def profile(seed: int) -> list[dict[str, Any]]:
    """Live a café's day under the profiler; returns world's and auditor's functions by their own time's share."""
    profiler = cProfile.Profile()
    profiler.runcall(Simulation(scenarios.load("cafe-day"), seed, NAMES[0], None).run)
    told = pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined] # typeshed leaves it out
    own = [
        (row[2], f"{Path(place[0]).stem}.{place[2]}") for place, row in told if place[0] != "~"
    ]  # C's functions wait, or are its callers'
    total = sum(seconds for seconds, _ in own)
    return [
        {"function": name, "share": round(seconds / total, 3)}
        for seconds, name in sorted(own, reverse=True)[:FUNCTIONS]
    ]


def one_more(points: list[tuple[int, float]]) -> list[float]:
    """Return what one connection more costs in µs of CPU, from each (connections, µs in all) to the next."""
    return [round((high[1] - low[1]) / (high[0] - low[0]), 1) for low, high in pairwise(sorted(points))]


def _row(case: Case, outcome: Outcome) -> dict[str, Any]:
    cpu = {name: round(seconds, 2) for name, seconds in outcome.run.cpu.items()}
    return {
        "scenario": case.scenario,
        "visitors": outcome.scenario.crowd.visitors,
        "interpreter": case.interpreter,
        "connections": outcome.traffic.connections,
        "seconds": round(outcome.run.seconds, 1),
        "cpu_s": cpu,
        "us_a_connection": round(sum(cpu.values()) * 1e6 / max(outcome.traffic.connections, 1), 1),
        "recorder_mib": [size >> 20 for size in outcome.run.sizes],
        "passed": outcome.passed,
        "grown": bool(case.visitors),
    }


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the rows for a person."""
    rows = []
    for row in result["rows"]:
        cpu = [f"{row['cpu_s'][name]:.1f}" for name in ("world and auditor", "recorder", "forwarder")]
        memory = f"{row['recorder_mib'][0]} to {row['recorder_mib'][1]}"
        name = row["scenario"] + ("" if row["passed"] else " !")
        rows.append(
            (
                *(name, row["interpreter"], f"{row['visitors']:g}", f"{row['connections']:,}", f"{row['seconds']}"),
                *(*cpu, f"{row['us_a_connection']}", memory),
            )
        )
    headings = (
        "scenario",
        "agent on",
        "visitors",
        "connections",
        "s",
        "world + auditor",
        "recorder",
        "forwarder",
        "µs each",
        "MiB",
    )
    more = " µs, then ".join(f"{cost:g}" for cost in result.get("one_more_us", ()))
    note = f"one connection more costs {more} µs of CPU, as the café grows from 1x to 10x and to 100x" if more else ""
    made = [Sheet("The simulator: seconds, and CPU s by process", headings, rows, (0, 1), note)]
    functions = [(one["function"], f"{one['share']:.1%}") for one in result.get("functions", ())]
    return made + [
        Sheet("Where the world and the auditor spend their time", ("function", "share"), functions, (0,), "")
    ] * bool(functions)
