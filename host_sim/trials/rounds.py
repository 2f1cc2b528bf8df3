# SPDX-License-Identifier: Apache-2.0
"""Every scenario, seed after seed, as long as there is time: what `tools/soak --trial sim` does.

A round is all scenarios on CPython, the longest last, with the round's seed. One of them, the next in turn, runs on
MicroPython too, which takes four times as long. Twenty rounds are the goal, and the end: each scenario has been lived
twenty times, and twice on MicroPython.
"""

import time
from typing import Any

from host_sim.driver.interpreters import NAMES
from host_sim.driver.scene import SimulationError
from host_sim.driver.simulation import Simulation
from host_sim.venue import scenario as scenarios

ROUNDS = 20


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Run for so many real seconds, the run that has begun to its end; returns the figures, with what was found."""
    end = time.monotonic() + seconds
    names = sorted(scenarios.names(), key=lambda name: scenarios.load(name).days)
    figures: dict[str, Any] = {"rounds": 0, "runs": {}, "connections": 0, "simulated_days": 0.0, "findings": []}
    while time.monotonic() < end and figures["rounds"] < ROUNDS:
        number = figures["rounds"]
        for name, interpreter in [(name, NAMES[0]) for name in names] + [(names[number % len(names)], NAMES[1])]:
            if time.monotonic() >= end:
                return figures
            _one(name, seed + number, interpreter, figures)
        figures["rounds"] += 1
    return figures


def _one(name: str, seed: int, interpreter: str, figures: dict[str, Any]) -> None:
    again = f"oubli-sim run {name} --seed {seed} --interpreter {interpreter}"
    try:
        outcome = Simulation(scenarios.load(name), seed, interpreter, None).run()
    except SimulationError as failure:
        figures["findings"].append(f"{failure}; again with: {again}")
        return
    key = f"{name} on {interpreter}"
    figures["runs"][key] = figures["runs"].get(key, 0) + 1
    figures["connections"] += outcome.traffic.connections
    figures["simulated_days"] = round(figures["simulated_days"] + outcome.run.days, 2)
    if outcome.violation:
        figures["findings"].append(
            f"{outcome.violation.check}: {outcome.violation.wrong}; again with: "
            f"{again} --until {outcome.violation.step}"
        )
    elif not outcome.passed:
        figures["findings"].append(f"nothing to look at; again with: {again}")
