# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench all`: every module of this bench; what this machine can't measure is named."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from host_sim.lab.network import LabError
from tools import clock
from tools.bench import capture, deliver, dump, error, instructions, memory, needs, scale, sim, store, wear
from tools.bench.peers import PEERS
from tools.bench.rounds import Tell, repeated, spread_sheets
from tools.bench.sheets import Chart, Sheet


def _none(_result: dict[str, Any]) -> list[Chart]:
    return []


@dataclass(frozen=True)
class Benchmark:
    """One of the subcommands. `measure(quick, rounds, tell)`; rounds None: as many as the benchmark thinks right."""

    name: str
    measure: Callable[[bool, int | None, Tell], dict[str, Any]]
    sheets: Callable[[dict[str, Any]], Sequence[Sheet]]
    charts: Callable[[dict[str, Any]], Sequence[Chart]] = _none
    needs: tuple[str, ...] = ()
    root: bool = False


def _capture(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    size = capture.size(quick=quick)
    return capture.measure(size.counts, capture.TERMINALS, rounds or size.rounds, list(PEERS), tell)


def _dump(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return dump.measure(dump.sizes(quick=quick), rounds or dump.rounds(quick=quick), tell)


def _memory(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return repeated(rounds or 1, lambda _: memory.measure(memory.size(quick=quick), memory.TERMINALS, tell))


def _store(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return store.measure(rounds or store.rounds(quick=quick), tell)


def _instructions(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return repeated(rounds or 1, lambda _: instructions.measure(instructions.times(quick=quick), tell, quick=quick))


def _scale(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return scale.measure(scale.sizes((), quick=quick), rounds or scale.rounds(quick=quick), tell)


def _error(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return repeated(rounds or 1, lambda number: error.measure(1 + number, *error.size(quick=quick), tell))


def _sim(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return sim.measure(sim.cases(None, None, growth=not quick, quick=quick), 1, rounds or 1, tell)


def _deliver(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return repeated(rounds or 1, lambda _: deliver.measure(*deliver.size(quick=quick), tell))


def _wear(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return repeated(
        rounds or 1, lambda number: wear.measure(wear.size(quick=quick), wear.BLOCK, wear.SYNC, 1 + number, tell)
    )


BENCHMARKS = (
    Benchmark("capture", _capture, capture.sheets, capture.charts, capture.NEEDS, root=True),
    Benchmark("dump", _dump, dump.sheets, needs=dump.NEEDS, root=True),
    Benchmark("memory", _memory, memory.sheets, memory.charts, memory.NEEDS, root=True),
    Benchmark("store", _store, store.sheets, store.charts),
    Benchmark("instructions", _instructions, instructions.sheets, needs=instructions.NEEDS),
    Benchmark("scale", _scale, scale.sheets, scale.charts, scale.NEEDS),
    Benchmark("error", _error, error.sheets, error.charts),
    Benchmark("sim", _sim, sim.sheets, needs=("mosquitto",)),
    Benchmark("deliver", _deliver, deliver.sheets, needs=deliver.NEEDS),
    Benchmark("wear", _wear, wear.sheets),
)


def lacking() -> dict[str, list[str]]:
    """Return what the modules lack that can't be measured here, by name."""
    return {
        benchmark.name: lacks
        for benchmark in BENCHMARKS
        if (lacks := needs.lacks(benchmark.needs, root=benchmark.root))
    }


def losses(benchmarks: dict[str, Any]) -> list[str]:
    """Return what must not be, a sentence each.

    A connection lost by a recorder, a message not there once, a life found fault with.
    """
    found = [f"capture: {loss}" for loss in capture.losses(benchmarks["capture"])] if "capture" in benchmarks else []
    found += [
        f"sim: the auditor finds fault with {row['scenario']}"
        for row in benchmarks.get("sim", {}).get("rows", ())
        if not row["passed"]
    ]
    return found + [f"deliver: {finding}" for finding in benchmarks.get("deliver", {}).get("findings", ())]


def alone(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return one module's figures, machine included, in the shape of all of them."""
    about = {"date": str(clock.today()), "command": f"oubli-bench {name}", "machine": result["machine"]}
    return {**about, "benchmarks": {name: result}, "skipped": {}, "failed": {}}


def measure(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    """Measure all that can be measured here; `skipped` and `failed` say of each other module why not."""
    skipped, failed, results, seconds = lacking(), {}, {}, {}
    for number, benchmark in enumerate(BENCHMARKS):
        if benchmark.name in skipped:
            continue

        def told(text: str, share: float | None = None, /, number: int = number, name: str = benchmark.name) -> None:
            tell(f"{name}: {text}", (number + (share or 0)) / len(BENCHMARKS))

        began = time.monotonic()
        try:
            results[benchmark.name] = benchmark.measure(quick, rounds, told)
        except (needs.UnableError, LabError, RuntimeError, OSError) as failure:
            failed[benchmark.name] = str(failure)
        seconds[benchmark.name] = round(time.monotonic() - began)
    return {
        "date": str(clock.today()),
        "command": f"oubli-bench all{' --quick' * quick}{f' --rounds {rounds}' if rounds else ''}",
        "seconds": seconds,
        "benchmarks": results,
        "skipped": skipped,
        "failed": failed,
    }


def sheets(result: dict[str, Any], names: Sequence[str] = ()) -> list[Sheet]:
    """Return the tables of the modules that were measured, the aims first; only those of `names`, if any."""
    from tools.bench import aims  # noqa: PLC0415 (aims reads the modules' figures, and is read here)

    made = [aims.sheet(result)] if aims.aims(result) else []
    for benchmark in BENCHMARKS:
        if benchmark.name in result["benchmarks"] and (not names or benchmark.name in names):
            mine = result["benchmarks"][benchmark.name]
            made += [*benchmark.sheets(mine), *spread_sheets(mine)]
    return made
