# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench all`: every room of this bench one after the other; what this machine can't measure is named, and the rest is measured."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from host_sim.interpreters import NAMES
from host_sim.lab_network import LabError
from tools.bench import capture, deliver, dump, error, instructions, machine, memory, scale, sim, store, wear
from tools.bench.peers import PEERS
from tools.bench.rounds import Tell
from tools.bench.sheets import Chart, Sheet


def _none(_result: dict[str, Any]) -> list[Chart]:
    return []


@dataclass(frozen=True)
class Room:
    """One of the subcommands. `measure(quick, rounds, tell)`; rounds None: as many as the room thinks right."""

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
    return dump.measure(dump.sizes()[: 2 if quick else 3], rounds or (1 if quick else 3), tell)


def _memory(quick: bool, _rounds: int | None, tell: Tell) -> dict[str, Any]:
    return memory.measure(memory.size(quick=quick), memory.TERMINALS, tell)


def _store(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return store.measure(rounds or store.rounds(quick=quick), tell)


def _instructions(quick: bool, _rounds: int | None, tell: Tell) -> dict[str, Any]:
    return instructions.measure(3 if quick else 20, tell, quick=quick)


def _scale(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return scale.measure(scale.sizes(quick=quick), rounds or (1 if quick else 3), tell)


def _error(quick: bool, _rounds: int | None, tell: Tell) -> dict[str, Any]:
    return error.measure(1, *((1, 0) if quick else (7, 1)), tell)


def _sim(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    return sim.measure(sim.cases(None, list(NAMES[:1]) if quick else None, growth=not quick), 1, rounds or 1, tell)


def _deliver(quick: bool, _rounds: int | None, tell: Tell) -> dict[str, Any]:
    return deliver.measure(*((100, 24, 50, 30) if quick else (1000, 24, 500, 365)), tell)


def _wear(quick: bool, _rounds: int | None, tell: Tell) -> dict[str, Any]:
    return wear.measure(20 if quick else 200, 512, 15, 1, tell)


ROOMS = (
    Room("capture", _capture, capture.sheets, capture.charts, capture.NEEDS, root=True),
    Room("dump", _dump, dump.sheets, needs=dump.NEEDS, root=True),
    Room("memory", _memory, memory.sheets, memory.charts, memory.NEEDS, root=True),
    Room("store", _store, store.sheets, store.charts),
    Room("instructions", _instructions, instructions.sheets, needs=instructions.NEEDS),
    Room("scale", _scale, scale.sheets, scale.charts, scale.NEEDS),
    Room("error", _error, error.sheets, error.charts),
    Room("sim", _sim, sim.sheets, needs=("mosquitto",)),
    Room("deliver", _deliver, deliver.sheets, needs=deliver.NEEDS),
    Room("wear", _wear, wear.sheets),
)


def lacking() -> dict[str, list[str]]:
    """Return what the rooms lack that can't be measured here, by name."""
    return {room.name: lacks for room in ROOMS if (lacks := machine.lacks(room.needs, root=room.root))}


def measure(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    """Measure all that can be measured here; `skipped` and `failed` say of each other room why not."""
    skipped, failed, results, seconds = lacking(), {}, {}, {}
    described = machine.describe()  # its load, before it is ours
    for number, room in enumerate(ROOMS):
        if room.name in skipped:
            continue

        def told(text: str, share: float | None = None, /, number: int = number, name: str = room.name) -> None:
            tell(f"{name}: {text}", (number + (share or 0)) / len(ROOMS))

        began = time.monotonic()
        try:
            results[room.name] = room.measure(quick, rounds, told)
        except (machine.UnableError, LabError, RuntimeError, OSError) as failure:
            failed[room.name] = str(failure)
        seconds[room.name] = round(time.monotonic() - began)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": f"oubli-bench all{' --quick' * quick}{f' --rounds {rounds}' if rounds else ''}",
        "machine": described,
        "seconds": seconds,
        "rooms": results,
        "skipped": skipped,
        "failed": failed,
    }


def sheets(result: dict[str, Any], names: Sequence[str] = ()) -> list[Sheet]:
    """Return the tables of the rooms that were measured, the aims first; only those of `names` where there are any."""
    from tools.bench import aims  # noqa: PLC0415 (aims reads the rooms' figures, and is read here)

    made = [aims.sheet(result)]
    for room in ROOMS:
        if room.name in result["rooms"] and (not names or room.name in names):
            made += room.sheets(result["rooms"][room.name])
    return made
