# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench scale`: what one costs as there are more of them, and by which power that grows.

That is the slope on logarithmic axes: 0 is flat.

terminals     instructions a connection by how many terminals the LAN has, two addresses each, few of which make most of
              the connections; both interpreters under valgrind, after each terminal's first one. What grows is how
              often a segment tells of a terminal anew: it remembers 256 addresses at once (agent.vault.record)
connections   CPU a connection by how many were played to one recorder, 20,000 a minute; both interpreters
segments      CPU to append a record, to begin a segment and to forget the oldest,
              by how many segments the ring holds; both
gateways      CPU a figure and a health of the fleet's intake and PostgreSQL, by how many gateways the store knows

A start, and the first messages, which teach a decoder its layouts, are left out.
"""

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from host_sim.driver.interpreters import MORE, environment
from host_sim.lab.network import LabError
from host_sim.report import plots
from tools.bench import deliver, instructions, intake, machine, needs
from tools.bench.peers import HEAP
from tools.bench.rounds import Tell, interleaved, slope
from tools.bench.sheets import Chart, Sheet

SIZES = {
    "terminals": (10, 100, 1000, 10_000),
    "connections": (1000, 10_000, 100_000, 1_000_000),
    "segments": (1, 10, 100, 1000, 10_000),
    "gateways": (1000, 10_000, 100_000),
}
NEEDS = ("valgrind", "micropython", *deliver.NEEDS)
_PLAYED, _MESSAGES = 2, 2000  # playings of so many messages, under valgrind
_STAGE = "tools.bench.scale_stage"
# A gateway with oubli-purposes has this heap: in the smaller one the stage's own messages had no room left
_ON = {name: [word.replace(HEAP, MORE) for word in words] for name, words in instructions.INTERPRETERS.items()}
_PARTS = {"append": "append a record", "begin": "begin and close a segment", "forget": "forget the oldest segment"}


def sizes(curves: Sequence[str], *, quick: bool) -> dict[str, tuple[int, ...]]:
    """Return how far each curve goes where nothing else is asked for; only of some, if those are named."""
    every = {name: values[:-1] if quick else values for name, values in SIZES.items()}
    return {name: values if not curves or name in curves else () for name, values in every.items()}


def rounds(*, quick: bool) -> int:
    """Return how often what is timed is measured where nothing else is asked for."""
    return 1 if quick else 3


def measure(chosen: dict[str, tuple[int, ...]], rounds: int, tell: Tell) -> dict[str, Any]:
    """Measure the curves; LabError where a run did something else than it was asked for."""
    needs.need(NEEDS, root=False)
    samples: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    with machine.memory_folder() as name:
        folder = Path(name)
        for size, on in interleaved(1, chosen["terminals"], list(instructions.INTERPRETERS), tell):
            samples["instructions a connection, by terminals", on, size].append(_counted(on, size))
        played = instructions.record(folder, 50)
        cases = [(curve, size) for curve in ("connections", "segments") for size in chosen[curve]]
        for (curve, size), on in interleaved(rounds, cases, list(instructions.INTERPRETERS), tell):
            for what, cost in _stage(curve, on, size, played).items():
                samples[what, on, size].append(cost)
        if chosen["gateways"]:
            tell("gateways")
        for kind, size, cost in intake.measure(folder, chosen["gateways"], rounds):
            samples[f"CPU µs a {kind}, by gateways", "PostgreSQL", size].append(cost)
    return {"curves": _curves(samples), "rounds": rounds}


def _counted(on: str, terminals: int) -> float:
    with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
        recording = instructions.record(Path(folder), terminals, _MESSAGES)
        return instructions.difference(instructions.INTERPRETERS[on], recording, _PLAYED, "whole")


def _stage(curve: str, on: str, size: int, played: Path) -> dict[str, float]:
    """Run the stage; returns the cost of each thing in µs."""
    with machine.memory_folder() as folder:
        words = [*_ON[on], "-m", _STAGE, curve, str(played), str(size), folder]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise LabError(f"{on}, {size} {curve}: {done.stderr.strip()[-400:]}")
    said = json.loads(done.stdout)
    if curve == "connections":
        if said["kept"] != said["asked"]:
            raise LabError(f"{on}: {said}")
        return {"CPU µs a connection, by connections": said["each"] / 1000}
    if said["lost"] or said["forgotten"] != said["asked"]:
        raise LabError(f"{on}, {size} segments: {said}")
    return {f"CPU µs to {what}, by segments": said[part] / 1000 for part, what in _PARTS.items()}


def _curves(samples: dict[tuple[str, str, int], list[float]]) -> list[dict[str, Any]]:
    curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for (what, on, size), values in samples.items():
        curves[what, on].append((size, median(values)))
    return [
        {
            "what": what,
            "on": on,
            "points": [{"size": size, "cost": round(cost, 3)} for size, cost in sorted(points)],
            "slope": round(slope(points), 3) if len(points) > 1 else 0.0,
        }
        for (what, on), points in curves.items()
    ]


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    rows = [
        (
            curve["what"],
            curve["on"],
            ", ".join(f"{point['size']:,}: {point['cost']:,.{0 if point['cost'] >= 100 else 1}f}"
                      for point in curve["points"]),
            f"{curve['slope']:+.2f}",
        )
        for curve in result["curves"]
    ]  # fmt: skip
    title = f"What one costs as there are more (rounds: {result['rounds']})"
    return [
        Sheet(
            title,
            ("", "on", "how many: cost", "slope"),
            rows,
            (0, 1, 2),
            "slope 0: one costs the same however many there are",
        )
    ]


def charts(result: dict[str, Any]) -> list[Chart]:
    """Draw every curve, each against its own first point."""
    figure, axes = plots.canvas(size=(9.0, 4.0))
    for curve in result["curves"]:
        first = curve["points"][0]["cost"]
        pairs = [(point["size"], point["cost"] / first) for point in curve["points"]]
        axes.plot(*zip(*pairs, strict=True), marker="o", markersize=3, label=f"{curve['what']}, {curve['on']}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(fontsize=6)
    title = "cost of one as there are more of them, against the smallest size"
    return [
        Chart(
            plots.svg(figure, title),
            f"The {title}; both axes are logarithmic, a flat line is a cost that doesn't grow.",
        )
    ]
