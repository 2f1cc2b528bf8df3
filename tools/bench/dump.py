# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench dump`: the cost of listing the live table, which the recorder does every 5 minutes.

And how long a turn of its loop then takes.

The recorder runs on the real kernel beside a table of stated fill, and its clock is moved to the next dump. Processor
time is its own, user and system, for all that is due after five minutes. The row without entries says how much of that
isn't an entry's: the kernel then walks every bucket of its table, the other namespaces' too, within one call. The
kernel lists the table within the recorder's own calls, so its part is in it. An event waits for at most the turn that
runs when it comes: the longest one, in processor time, is the most that a dump can delay it. Medians over the rounds;
of the turns the longest of all.
"""

import sys
import time
from pathlib import Path
from typing import Any

from agent.capture.live_table import PERIOD
from host_sim.lab import flows
from tools.bench import machine, needs
from tools.bench.capture import NEEDS as CAPTURE
from tools.bench.capture import limit, rest, wait
from tools.bench.gateway import Gateway
from tools.bench.peers import HEAP, Running, move, shifted
from tools.bench.rounds import Tell, interleaved, spread
from tools.bench.sheets import Sheet

NEEDS = (*CAPTURE, "micropython")
ENTRIES = (0, 16_384, 262_144)  # a small router's table, and the default of a large one
_SPARE = 64  # entries of the namespace's own
_TERMINALS = 1024
_LIFETIME = 86_400  # s
_SECOND = 1_000_000_000
INTERPRETERS = {"CPython": [sys.executable], "MicroPython": ["micropython", "-X", f"heapsize={HEAP}"]}


def sizes(*, quick: bool) -> list[int]:
    """Return the fills that are measured where nothing else is asked for: what this kernel's table can hold."""
    return [min(size, limit() - _SPARE) for size in ENTRIES[: 2 if quick else 3]]


def rounds(*, quick: bool) -> int:
    """Return how often where nothing else is asked for."""
    return 1 if quick else 3


def check(entries: list[int]) -> None:
    """UnableError where this machine can't measure these fills."""
    needs.need(NEEDS, root=True)
    if max(entries, default=0) > limit() - _SPARE:
        accepted = f"at most {limit() - _SPARE} (nf_conntrack_max)"
        raise needs.UnableError(f"--entries: {max(entries)} don't fit the kernel's table; accepted: {accepted}")


def measure(entries: list[int], rounds: int, tell: Tell) -> dict[str, Any]:
    """Measure each fill with each interpreter; LabError where something didn't happen."""
    check(entries)
    terminals = flows.terminals(_TERMINALS)
    tell("making flows")
    requests = {size: flows.requests(flows.make(size, terminals), _LIFETIME) for size in entries}
    samples: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with machine.memory_folder() as folder:
        for size, name in interleaved(rounds, entries, list(INTERPRETERS), tell):
            with Gateway(terminals) as gateway:
                gateway.fill(requests[size], [], size)
                taken = samples.setdefault((name, size), [])
                taken.append(_once(name, gateway, Path(folder, f"{name}-{size}-{len(taken)}")))
    rows = [
        {"name": name, "entries": size, **spread("cpu_s", cpus), **spread("longest_turn_ms", turns, 2)}
        for (name, size), taken in samples.items()
        for cpus, turns in [zip(*taken, strict=True)]
    ]
    return {"rows": rows, "rounds": rounds}


def _once(name: str, gateway: Gateway, folder: Path) -> tuple[float, float]:
    """Return the processor time of one dump in seconds, and the longest turn of the recorder's loop meanwhile in ms."""
    running = Running(shifted(name, INTERPRETERS[name], "--variant", "turns"), folder, gateway.command)
    try:
        wait(gateway.listening, running)
        wait((folder / "var/run/oubli/control/socket").exists, running)
        rest(gateway, running)
        before, begun = running.cpu(), time.monotonic_ns()
        move(folder, PERIOD // _SECOND + 1)
        time.sleep(1.5)  # its clock is looked at once a second
        rest(gateway, running)
        cpu = running.cpu() - before
    finally:
        running.kill()
    turns = [line.split() for line in (folder / "var/run/oubli/turns").read_text().splitlines()]
    return cpu, max((int(length) / 1e6 for at, length in turns if int(at) >= begun), default=0.0)


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    rows = [
        (row["name"], f"{row['entries']:,}", f"{row['cpu_s']:.3f}", f"{row['longest_turn_ms_most']:.1f}")
        for row in sorted(result["rows"], key=lambda row: (row["name"], row["entries"]))
    ]
    title = f"To list the live table once (rounds: {result['rounds']}; of the turns the longest of all)"
    return [Sheet(title, ("", "entries", "CPU s", "longest turn, ms"), rows)]
