# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench memory`: what the recorder holds on MicroPython at 20,000 connections a minute of 1,024 terminals.

It is the package's recorder, as a gateway runs it. A minute is a burst on the real kernel, harder than an even pace,
and the recorder's clock is moved by a minute after each. So dumps, windows and timers come as they would. A million
connections within an hour are more than the ring may hold: the oldest segments make room, as they should, and that is
no loss here. RSS at its highest (VmHWM), and RSS and PSS after each minute; flat means that RSS doesn't grow (PSS moves
with other processes too). `heap` is what a connection takes of MicroPython's heap from the kernel's octets to the
packed record, its collector off: nothing else grows it.
"""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from host_sim.driver.interpreters import environment
from host_sim.lab.network import LabError
from host_sim.report import plots
from tools.bench import capture, machine, needs
from tools.bench.gateway import Gateway
from tools.bench.instructions import INTERPRETERS, MESSAGES, record
from tools.bench.peers import Running, counters, flashed, move
from tools.bench.rounds import Tell
from tools.bench.sheets import Chart, Sheet

NEEDS = (*capture.NEEDS, "micropython")
MINUTE = 20_000  # connections
TERMINALS = 1024
RSS, PSS, HEAP = 5, 3.2, 64  # MiB, MiB, octets a connection: at most
_MAKES_ROOM = "lost: ring full"
_TIMES = 20  # recordings that are played for the heap
_LARGE = "heapsize=64M"  # with the collector off, all that is taken stays


def size(*, quick: bool) -> int:
    """Return how many connections go by where nothing else is asked for."""
    return 200_000 if quick else 1_000_000


def measure(connections: int, terminals: int, tell: Tell) -> dict[str, Any]:
    """Measure; LabError where a connection was lost."""
    needs.need(NEEDS, root=True)
    minutes = -(-connections // MINUTE)
    tell("making flows")
    load = capture.Load({"flush": MINUTE}, terminals)
    with machine.memory_folder() as name, Gateway(load.terminals) as gateway:
        heap = _heap(Path(name))
        folder = Path(name, "peer")
        peer = replace(flashed("oubli MicroPython"), count=_heard)
        running = Running(peer, folder, gateway.command)
        try:
            capture.wait(gateway.listening, running)
            capture.rest(gateway, running)
            points = [_point(running, 0)]
            for minute in range(1, minutes + 1):
                tell(f"minute {minute} of {minutes}", minute / (minutes + 1))
                load.fill(gateway, "flush")
                gateway.flush()
                capture.wait(lambda: gateway.tracked() == 0 and gateway.unread() == 0, running)
                points.append(_point(running, minute * MINUTE))
                move(folder, 60 * minute)
            capture.rest(gateway, running)
            points.append(_point(running, minutes * MINUTE))
            known = running.finish()
        finally:
            running.kill()
    if known != minutes * MINUTE:
        raise LabError(f"{peer.name} knows {known} of {minutes * MINUTE} connections")
    later = [point["rss_mib"] for point in points if point["connections"] >= 2 * MINUTE]
    return {
        "points": points,
        "terminals": terminals,
        "a_minute": MINUTE,
        "connections": known,
        "peak_mib": points[-1]["peak_mib"],
        "pss_mib": max(point["pss_mib"] for point in points),
        "grown_kib": round((points[-1]["rss_mib"] - later[0]) * 1024) if later else 0,
        "heap_a_connection": heap,
    }


def _heard(folder: Path) -> int:
    counted = counters(folder)
    return counted["connections"] - sum(
        count for name, count in counted.items() if name.startswith("lost: ") and name != _MAKES_ROOM
    )


def _point(running: Running, connections: int) -> dict[str, Any]:
    peak, pss, rss = running.memory()
    return {"connections": connections, "peak_mib": round(peak, 2), "pss_mib": round(pss, 2), "rss_mib": round(rss, 3)}


def _heap(folder: Path) -> float:
    words = [INTERPRETERS["MicroPython"][0], "-X", _LARGE, "-m", "tools.bench.way_stage", str(record(folder, 50))]
    taken = []
    for times in (_TIMES, 2 * _TIMES):
        more = str(times), "heap", str(folder / f"heap-{times}")
        done = subprocess.run([*words, *more], capture_output=True, text=True, check=False, env=environment())
        if done.returncode:
            raise LabError(f"micropython: {done.stderr.strip()[-400:]}")
        taken.append(int(done.stdout))
    return round((taken[1] - taken[0]) / (_TIMES * MESSAGES), 1)


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    rows = [
        ("peak RSS, MiB", f"{result['peak_mib']:.2f}", f"{RSS}"),
        ("PSS, MiB, the most", f"{result['pss_mib']:.2f}", f"{PSS}"),
        ("RSS grew after the second minute, KiB", f"{result['grown_kib']:,}", ""),
        ("heap a connection, octets", f"{result['heap_a_connection']:.1f}", f"{HEAP}"),
    ]
    title = (
        f"The recorder on MicroPython, as it is flashed: {result['connections']:,} connections of "
        f"{result['terminals']:,} terminals, "
    )
    return [Sheet(f"{title}{result['a_minute']:,} a minute", ("", "measured", "at most"), rows)]


def charts(result: dict[str, Any]) -> list[Chart]:
    """Draw both against the connections that went by."""
    figure, axes = plots.canvas()
    passed = [point["connections"] for point in result["points"]]
    for name, colour, bound in (("peak_mib", plots.BLUE, RSS), ("pss_mib", plots.ORANGE, PSS)):
        axes.plot(passed, [point[name] for point in result["points"]], color=colour, marker="o", markersize=3)
        axes.axhline(bound, color=colour, linewidth=0.8, linestyle="--")
    axes.set_ylim(bottom=0)
    title = "memory of the recorder on MicroPython, MiB, against connections"
    return [
        Chart(
            plots.svg(figure, title),
            "Peak RSS (blue) and PSS (orange), MiB, as connections go by; dashed: what each may be at most.",
        )
    ]
