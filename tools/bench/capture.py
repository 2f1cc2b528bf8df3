# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench capture`: what it costs to take in connections that ended, beside the peers, on the real kernel.

Three cases (tools.bench.gateway) for each peer (tools.bench.peers), interleaved: each round runs every peer once in
every case, in another order, each time as a new process in its own namespace. Before the first round each is run once
with few connections, and that isn't counted. Processor time is user and system time of the peer's process, all threads.
It is counted from when it listens and rests until it has read everything and rests again. Its start is left out, and so
is what it does while a table for a flush is filled. Lost is what the table held and the peer doesn't know of in the
end. Medians over the rounds, and the least and most.

A recorder takes up its loss-free mode where less than 37.5 % of the kernel's table are used. It holds it up to 75 %, as
long as 40 s of the last hour's peak rate are free. So a flush fills the table in two parts: `_FIRST` of it before
anybody listens, the rest, for recorders, as fast as that rule allows (`_pace`). Other peers have no such rule, and are
not kept waiting.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from agent.capture.lossfree import RESERVE
from host_sim.lab import flows
from host_sim.lab.network import LabError
from host_sim.report import plots
from tools.bench import machine, needs
from tools.bench.gateway import Gateway
from tools.bench.peers import Peer, Running
from tools.bench.rounds import Tell, interleaved, spread
from tools.bench.sheets import Chart, Sheet

CASES = ("flush", "expiry", "steady")
TERMINALS = 1024
WARM = 1000  # connections of the run that isn't counted
RATE = 10_000  # connections a second, at a steady pace
NEEDS = ("ip", "nft", "nsenter", "conntrack")
_FIRST = 0.34  # of the kernel's table, before anybody listens
_PACE = 0.8  # of the rate at which the mode would just be left; the ten seconds over which it is taken may be eleven
_LIFETIMES = {"flush": 600, "expiry": 4, "steady": 4}  # s that an entry lives; longer than it takes to fill the table
_REST = 0.2  # s
_RESTING = 0.01  # of a processor
_PATIENCE = 180  # s without an end
_SPARE = 2000  # entries that others may have in the kernel's one table
_LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")


class Sample(NamedTuple):
    """One peer, one case, once."""

    connections: int
    lost: int
    cpu: float  # s for 100,000 connections that it knows of
    peak: float  # MiB
    pss: float  # MiB


class Size(NamedTuple):
    """How much is measured: connections by case, rounds."""

    counts: dict[str, int]
    rounds: int


def size(*, quick: bool) -> Size:
    """Return what is measured where nothing else is asked for. A flush of 150,000 is 57 % of the default table."""
    # 5 s at a steady pace; more of them change no median, and pyroute2 takes 17 s for 100,000
    beside = 20_000 if quick else 50_000
    return Size({"flush": 150_000, "expiry": beside, "steady": beside}, 1 if quick else 5)


class Load:
    """What the kernel is told: requests for each case and frames, made once for every peer and round."""

    def __init__(self, counts: dict[str, int], terminals: int) -> None:
        self.terminals = flows.terminals(terminals)
        self.counts = counts
        made = flows.make(max(counts.values()), self.terminals)
        self._frames = [frame for flow in made for frame in flows.frames(flow)]
        self._requests = {
            case: flows.requests(made[:count], _LIFETIMES[case], RATE if case == "steady" else None)
            for case, count in counts.items()
        }

    def fill(self, gateway: Gateway, case: str, first: int = 0, last: int | None = None) -> None:
        """Make the case's entries from the `first` to before the `last`, both of flows.BATCH or the end."""
        last = self.counts[case] if last is None else last
        requests = self._requests[case][first // flows.BATCH : -(-last // flows.BATCH)]
        gateway.fill(requests, self._frames[2 * first : 2 * last], last)

    def up(self, case: str) -> list[bytes]:
        """A frame of the original direction for each flow."""
        return self._frames[: 2 * self.counts[case] : 2]


def limit() -> int:
    """Return how many entries the kernel's table holds at most."""
    return int(_LIMIT.read_text())


def check(counts: dict[str, int], peers: list[Peer]) -> dict[str, list[str]]:
    """Return what the peers lack that are not on this machine, by name; UnableError where nothing can be measured."""
    needs.need(NEEDS, root=True)
    lacking = {peer.name: lacks for peer in peers if (lacks := needs.missing(peer.needs))}
    if len(lacking) == len(peers):
        raise needs.UnableError(
            f"not on this machine: {', '.join(name for names in lacking.values() for name in names)}"
        )
    most = limit() - _SPARE
    for case, count in counts.items():
        if count > (most * 3 // 4 if case == "flush" else most):
            accepted = f"at most {most * 3 // 4}, three quarters of" if case == "flush" else f"at most {most}"
            raise needs.UnableError(
                f"--flows: {count} don't fit the kernel's table; accepted: {accepted} (nf_conntrack_max)"
            )
    return lacking


def measure(counts: dict[str, int], terminals: int, rounds: int, peers: list[Peer], tell: Tell) -> dict[str, Any]:
    """Run every round, `counts` connections by case; UnableError: can't be measured, LabError: didn't happen."""
    lacking = check(counts, peers)
    peers = [one for one in peers if one.name not in lacking]
    samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    tell("making flows")
    load, warm = Load(counts, terminals), Load({"flush": WARM}, terminals)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(machine.memory_folder()))
        gateways = {peer.name: stack.enter_context(Gateway(load.terminals)) for peer in peers}
        for _, peer in interleaved(1, ("a run that isn't counted",), peers, tell):
            _once(peer, gateways[peer.name], "flush", warm, folder / "peer")
        for case, peer in interleaved(rounds, tuple(counts), peers, tell):
            samples[peer.name, case].append(_once(peer, gateways[peer.name], case, load, folder / "peer"))
    rows = [_row(peer.name, case, samples[peer.name, case]) for peer in peers for case in counts]
    said = {"flows": counts, "terminals": terminals, "rounds": rounds, "missing": lacking}
    return {"rows": rows, **said}


def _once(peer: Peer, gateway: Gateway, case: str, load: Load, folder: Path) -> Sample:
    count = load.counts[case]
    first = min(count, int(limit() * _FIRST) // flows.BATCH * flows.BATCH) if case == "flush" else 0
    if first:
        load.fill(gateway, case, 0, first)
    running = Running(peer, folder, gateway.command)
    try:
        wait(gateway.listening, running)
        rest(gateway, running)
        before = running.cpu()
        if case == "flush":
            if first < count:
                _fill_up(load, gateway, first, reserved=peer.asked)
                rest(gateway, running)
                before = running.cpu()
            gateway.flush()
        else:
            load.fill(gateway, case)
            time.sleep(_LIFETIMES[case] + 0.1)
            if case == "steady":
                gateway.pace(load.up(case), RATE)
            gateway.evict()
        wait(lambda: gateway.tracked() == 0 and gateway.unread() == 0, running)
        rest(gateway, running)
        cpu = running.cpu() - before
        peak, pss, _ = running.memory()
        known = running.finish()
    finally:
        running.kill()
        shutil.rmtree(folder)
    return Sample(known, count - known, cpu * 100_000 / max(known, 1), peak, pss)


def _fill_up(load: Load, gateway: Gateway, first: int, *, reserved: bool) -> None:
    """Make the rest of a flush's entries; at a rate that leaves a recorder's reserve 40 s free if it is to be kept."""
    count = load.counts["flush"]
    rate = _PACE * (limit() - count) / RESERVE
    start = time.monotonic()
    for at in range(first, count, flows.BATCH):
        wanted = start + (at - first) / rate - time.monotonic()
        if reserved and wanted > 0:
            time.sleep(wanted)
        load.fill(gateway, "flush", at, min(at + flows.BATCH, count))


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
    return {
        "name": name,
        "case": case,
        **spread("connections", [sample.connections for sample in samples], 0),
        **spread("lost", [sample.lost for sample in samples], 0),
        **spread("cpu_s_per_100k", [sample.cpu for sample in samples]),
        "peak_mib": round(max(sample.peak for sample in samples), 2),
        "pss_mib": round(max(sample.pss for sample in samples), 2),
    }


def quoted(result: dict[str, Any]) -> dict[str, float]:
    """Return the CPU s of each peer's burst, flush or expiry, of the better one (some look a process up for each)."""
    best: dict[str, float] = {}
    for row in result["rows"]:
        if row["case"] != "steady":
            best[row["name"]] = min(best.get(row["name"], row["cpu_s_per_100k"]), row["cpu_s_per_100k"])
    return best


def losses(result: dict[str, Any]) -> list[str]:
    """Return what recorders lost, a sentence each: nothing, if all is well."""
    return [
        f"{row['name']} lost {row['lost_most']:,.0f} of {result['flows'][row['case']]:,} ({row['case']})"
        for row in result["rows"]
        if row["name"].startswith("oubli") and row["lost_most"] > 0
    ]


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person: a line a peer and case."""
    best, rows = quoted(result), []
    for row in result["rows"]:
        cpu = row["cpu_s_per_100k"]
        rows.append(
            (
                row["name"],
                row["case"],
                f"{row['connections']:,.0f}",
                f"{row['lost_most']:,.0f}",
                f"{cpu:.2f}" + (" †" if row["case"] != "steady" and cpu == best[row["name"]] else ""),
                f"{row['cpu_s_per_100k_least']:.2f} - {row['cpu_s_per_100k_most']:.2f}",
                f"{row['peak_mib']:.1f}",
                f"{row['pss_mib']:.1f}",
            )
        )
    flushed = ", ".join(f"{case} {count:,}" for case, count in result["flows"].items())
    note = "† the better of a peer's two bursts, by which it is quoted; lost: the most of a round"
    lacking = "".join(
        f"; not measured: {name}, for want of {', '.join(lacks)}" for name, lacks in result["missing"].items()
    )
    headings = ("", "case", "known", "lost", "CPU s", "least - most", "peak MiB", "PSS MiB")
    title = (
        f"CPU s for 100,000 ended connections ({flushed}; {result['terminals']:,} terminals, "
        f"rounds: {result['rounds']})"
    )
    return [Sheet(title, headings, rows, (0, 1), note + lacking)]


def charts(result: dict[str, Any]) -> list[Chart]:
    """Draw the CPU seconds of each peer by case, with their spread."""
    cases = list(result["flows"])
    figure, panels = plots.canvas(1, len(cases), (9.0, 3.0))
    for case, panel in zip(cases, [panels] if len(cases) == 1 else list(panels), strict=True):
        rows = [row for row in result["rows"] if row["case"] == case]
        middle = [row["cpu_s_per_100k"] for row in rows]
        beside = [[row["cpu_s_per_100k"] - row["cpu_s_per_100k_least"] for row in rows]]
        beside += [[row["cpu_s_per_100k_most"] - row["cpu_s_per_100k"] for row in rows]]
        colours = [plots.BLUE if row["name"].startswith("oubli") else plots.GREY for row in rows]
        panel.barh([row["name"] for row in rows], middle, xerr=beside, color=colours, alpha=0.6)
        panel.set_xscale("log")
        panel.invert_yaxis()
        panel.set_title(case, fontsize=9)
    title = "CPU seconds for 100,000 connections"
    return [
        Chart(
            plots.svg(figure, title), f"{title}, logarithmic; bars are medians, lines the least and most of the rounds."
        )
    ]
