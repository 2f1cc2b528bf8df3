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
    """Return what the modules lack that can't be measured here, by name."""
    return {room.name: lacks for room in ROOMS if (lacks := needs.lacks(room.needs, root=room.root))}


def losses(rooms: dict[str, Any]) -> list[str]:
    """Return what must not be, a sentence each.

    A connection lost by a recorder, a message not there once, a life found fault with.
    """
    found = [f"capture: {loss}" for loss in capture.losses(rooms["capture"])] if "capture" in rooms else []
    found += [
        f"sim: the auditor finds fault with {row['scenario']}"
        for row in rooms.get("sim", {}).get("rows", ())
        if not row["passed"]
    ]
    return found + [f"deliver: {finding}" for finding in rooms.get("deliver", {}).get("findings", ())]


def alone(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return one module's figures, machine included, in the shape of all of them."""
    about = {"date": str(clock.today()), "command": f"oubli-bench {name}", "machine": result["machine"]}
    return {**about, "rooms": {name: result}, "skipped": {}, "failed": {}}


def measure(quick: bool, rounds: int | None, tell: Tell) -> dict[str, Any]:
    """Measure all that can be measured here; `skipped` and `failed` say of each other module why not."""
    skipped, failed, results, seconds = lacking(), {}, {}, {}
    for number, room in enumerate(ROOMS):
        if room.name in skipped:
            continue

        def told(text: str, share: float | None = None, /, number: int = number, name: str = room.name) -> None:
            tell(f"{name}: {text}", (number + (share or 0)) / len(ROOMS))

        began = time.monotonic()
        try:
            results[room.name] = room.measure(quick, rounds, told)
        except (needs.UnableError, LabError, RuntimeError, OSError) as failure:
            failed[room.name] = str(failure)
        seconds[room.name] = round(time.monotonic() - began)
    return {
        "date": str(clock.today()),
        "command": f"oubli-bench all{' --quick' * quick}{f' --rounds {rounds}' if rounds else ''}",
        "seconds": seconds,
        "rooms": results,
        "skipped": skipped,
        "failed": failed,
    }


def sheets(result: dict[str, Any], names: Sequence[str] = ()) -> list[Sheet]:
    """Return the tables of the modules that were measured, the aims first; only those of `names`, if any."""
    from tools.bench import aims  # noqa: PLC0415 (aims reads the modules' figures, and is read here)

    made = [aims.sheet(result)] if aims.aims(result) else []
    for room in ROOMS:
        if room.name in result["rooms"] and (not names or room.name in names):
            mine = result["rooms"][room.name]
            made += [*room.sheets(mine), *spread_sheets(mine)]
    return made
