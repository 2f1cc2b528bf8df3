# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench capture`: what it costs to take in connections that ended, beside the peers, on the real kernel.

Three cases (tools.bench.gateway) for each peer (tools.bench.peers), interleaved: each round runs every peer once in every case, in
another order, each time as a new process in its own namespace. Processor time is user and system time of the peer's process
from before the table is filled until it has read everything and rests; its start is left out. Lost is what the table held
and the peer doesn't know of in the end. Medians over the rounds, and the least and most.
"""

import os
import platform
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.table import Table

from host_sim.lab_network import LabError
from tools.bench import flows
from tools.bench.gateway import Gateway
from tools.bench.peers import Peer, Running, missing, versions

CASES = ("flush", "expiry", "steady")
RATE = 10_000  # connections a second, at a steady pace
_LIFETIMES = {"flush": 600, "expiry": 4, "steady": 4}  # s that an entry lives; longer than it takes to fill the table
_REST = 0.2  # s
_RESTING = 0.01  # of a processor
_PATIENCE = 180  # s without an end
_SPARE = 2000  # entries that others may have in the kernel's one table


class CaptureError(Exception):
    """This machine can't measure; the text is the one line to show."""


class Sample(NamedTuple):
    """One peer, one case, once."""

    connections: int
    lost: int
    cpu: float  # s for 100,000 connections that it knows of
    peak: float  # MiB
    pss: float  # MiB


class Load:
    """What the kernel is told: requests for each case and frames, made once for every peer and round."""

    def __init__(self, count: int, terminals: int, cases: tuple[str, ...]) -> None:
        self.terminals = flows.terminals(terminals)
        made = flows.make(count, self.terminals)
        self.count = count
        self.frames = [frame for flow in made for frame in flows.frames(flow)]
        self.requests = {case: flows.requests(made, _LIFETIMES[case], RATE if case == "steady" else None) for case in cases}

    @property
    def up(self) -> list[bytes]:
        """A frame of the original direction for each flow."""
        return self.frames[::2]


def check(count: int, peers: list[Peer]) -> dict[str, list[str]]:
    """Return what the peers lack that are not on this machine, by name; CaptureError where nothing can be measured."""
    if os.geteuid() != 0:
        raise CaptureError("capture: needs root: it makes network namespaces")
    lacking = {peer.name: lacks for peer in peers if (lacks := missing(peer))}
    lacks = missing()
    if len(lacking) == len(peers):
        lacks += [name for names in lacking.values() for name in names]
    if lacks:
        raise CaptureError(f"capture: not on this machine: {', '.join(lacks)}")
    limit = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    if count + _SPARE > limit:
        raise CaptureError(f"--flows: {count} don't fit the kernel's table; accepted: at most {limit - _SPARE} (nf_conntrack_max)")
    return lacking


def measure(load: Load, rounds: int, peers: list[Peer], progress: Callable[[str], None]) -> dict[str, Any]:
    """Run every round; `progress` is told of each step. LabError where something didn't happen."""
    samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    shm = Path("/dev/shm")  # noqa: S108 (a folder of its own is made there: both stores belong on tmpfs)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oubli-bench-", dir=shm if shm.is_dir() else None)))
        gateways = {peer.name: stack.enter_context(Gateway(load.terminals)) for peer in peers}
        for number in range(rounds):
            for case in load.requests:
                for peer in _turned(peers, number):
                    progress(f"round {number + 1} of {rounds}, {case}, {peer.name}")
                    samples[peer.name, case].append(_once(peer, gateways[peer.name], case, load, folder / "peer"))
    return {
        "rows": [_row(peer.name, case, samples[peer.name, case]) for peer in peers for case in load.requests],
        "flows": load.count,
        "terminals": len(load.terminals),
        "rounds": rounds,
        "machine": machine(),
    }


def _turned(peers: list[Peer], number: int) -> list[Peer]:
    at = number % len(peers)
    return peers[at:] + peers[:at]


def _once(peer: Peer, gateway: Gateway, case: str, load: Load, folder: Path) -> Sample:
    if case == "flush":
        # Before anybody listens: a table that fills in half a second is a rate at which no recorder may hold loss-free mode.
        gateway.fill(load.requests[case], load.frames, load.count)
    running = Running(peer, folder, gateway.command)
    try:
        wait(gateway.listening, running)
        rest(gateway, running)
        before = running.cpu()
        if case != "flush":
            gateway.fill(load.requests[case], load.frames, load.count)
        if case == "flush":
            gateway.flush()
        else:
            time.sleep(_LIFETIMES[case] + 0.1)
            if case == "steady":
                gateway.pace(load.up, RATE)
            gateway.evict()
        wait(lambda: gateway.tracked() == 0 and gateway.unread() == 0, running)
        rest(gateway, running)
        cpu = running.cpu() - before
        memory = running.memory()
        known = running.finish()
    finally:
        running.kill()
        shutil.rmtree(folder)
    return Sample(known, load.count - known, cpu * 100_000 / max(known, 1), *memory)


def wait(happened: Callable[[], bool], running: Running) -> None:
    """Wait until something happens, while the peer lives."""
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        running.cpu()  # which also says that it lives
        if time.monotonic() > deadline:
            raise LabError(f"{running.peer.name}: not done after {_PATIENCE} s")
        time.sleep(0.02)


def rest(gateway: Gateway, running: Running) -> None:
    """Wait until the peer has nothing to do."""

    def rests() -> bool:
        before = running.cpu()
        time.sleep(_REST)
        return gateway.unread() == 0 and running.cpu() - before < _RESTING * _REST

    wait(rests, running)


def _row(name: str, case: str, samples: list[Sample]) -> dict[str, Any]:
    cpus = [sample.cpu for sample in samples]
    return {
        "name": name,
        "case": case,
        "connections": median(sample.connections for sample in samples),
        "lost": median(sample.lost for sample in samples),
        "cpu_s_per_100k": round(median(cpus), 4),
        "cpu_s_per_100k_least": round(min(cpus), 4),
        "cpu_s_per_100k_most": round(max(cpus), 4),
        "peak_mib": round(max(sample.peak for sample in samples), 2),
        "pss_mib": round(max(sample.pss for sample in samples), 2),
    }


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    models = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": versions(),
    }


def table(result: dict[str, Any]) -> Table:
    """Return the result for a person: a line a peer and case."""
    load = f"{result['flows']} flows of {result['terminals']} terminals, {result['rounds']} rounds, {result['machine']['cores']} cores"
    title = f"CPU s for 100,000 connections that ended\n{load}"
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for name in ("case", "known", "lost", "CPU s", "least - most", "peak MiB", "PSS MiB"):
        shown.add_column(name, justify="left" if name == "case" else "right")
    for cells in _cells(result["rows"]):
        shown.add_row(*cells)
    return shown


def _cells(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    best: dict[tuple[str, bool], float] = {}
    for row in rows:
        burst = row["name"], row["case"] != "steady"
        best[burst] = min(best.get(burst, row["cpu_s_per_100k"]), row["cpu_s_per_100k"])
    former = None
    for row in rows:
        cpu = row["cpu_s_per_100k"]
        # of the two bursts each peer is quoted by its better one
        style = "bold" if cpu == best[row["name"], row["case"] != "steady"] else "dim"
        yield (
            "" if row["name"] == former else row["name"],
            row["case"],
            f"{row['connections']:.0f}",
            f"{row['lost']:.0f}",
            f"[{style}]{cpu:.2f}[/]",
            f"{row['cpu_s_per_100k_least']:.2f} - {row['cpu_s_per_100k_most']:.2f}",
            f"{row['peak_mib']:.1f}",
            f"{row['pss_mib']:.1f}",
        )
        former = row["name"]
