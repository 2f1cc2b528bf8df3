# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench`: measures. `--json FILE` everywhere, `-` is standard output; bad input: exit 2, one line."""

import json
import signal
from typing import Annotated, Any

import typer
from rich.console import Console

from host_sim.commands import Program
from host_sim.interpreters import NAMES
from host_sim.lab_network import LabError
from tools.bench import capture as captures
from tools.bench import deliver as deliveries
from tools.bench import dump as dumps
from tools.bench import error as errors
from tools.bench import instructions as instruction_counts
from tools.bench import sim as simulations
from tools.bench import store as stores
from tools.bench import wear as wears
from tools.bench.peers import PEERS

WIDTH = 100  # columns, at most: what is printed is read in a page too


_program = Program("oubli-bench")

app = typer.Typer(
    cls=_program.group,
    help="Measures the agent beside its peers, here and now.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the figures as JSON; - is standard output.")]


def _write(result: dict[str, Any], target: str) -> None:
    _program.write(json.dumps(result, indent=1) + "\n", target)


def _console(json_file: str | None) -> Console:
    """Return where the table goes: not between the JSON on standard output."""
    console = Console(stderr=json_file == "-", highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


@app.callback()
def main() -> None:
    """Measures the agent beside its peers, here and now."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # ended from outside, it still removes what it made
        signal.signal(number, signal.default_int_handler)


@app.command()
def capture(
    json_file: Json = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    flows: Annotated[int, typer.Option(min=100, help="Connections in the table.")] = 90_000,  # 34 % of the default table
    terminals: Annotated[
        int, typer.Option(min=1, max=10_000, help="Clients of the hotspot, each with an IPv4 and an IPv6 address.")
    ] = 1024,
    case: Annotated[list[str] | None, typer.Option(help=f"Only this case; may be given again: {', '.join(captures.CASES)}.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help=f"Only this peer; may be given again: {', '.join(p.name for p in PEERS)}.")] = None,
) -> None:
    """CPU and memory for connections that ended, on the real kernel, beside ulogd2, conntrack and pyroute2. Needs root."""
    names = [one.name for one in PEERS]
    for option, given, known in (("--case", case, captures.CASES), ("--peer", peer, names)):
        for word in given or ():
            if word not in known:
                _program.refuse(f"{option}: {word!r} isn't known; accepted: {', '.join(known)}")
    peers = [one for one in PEERS if not peer or one.name in peer]
    cases = tuple(one for one in captures.CASES if not case or one in case)
    console = _console(json_file)
    try:
        lacking = captures.check(flows, peers)
        with console.status("making flows") as status:
            load = captures.Load(flows, terminals, cases)
            result = captures.measure(load, rounds, [one for one in peers if one.name not in lacking], status.update)
        result["missing"] = lacking
    except captures.CaptureError as failure:
        _program.refuse(str(failure))
    except LabError as failure:
        _program.refuse(str(failure), 1)
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    console.print(captures.table(result))
    for name, lacks in lacking.items():
        console.print(f"not measured: {name}, for want of {', '.join(lacks)}")
    if json_file:
        _write(result, json_file)


@app.command()
def dump(
    json_file: Json = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    entries: Annotated[list[int] | None, typer.Option(min=0, help="A fill of the table; may be given again: 0, 16384, 262144.")] = None,
) -> None:
    """CPU for one listing of the live table, and the longest that an event may have to wait for it. Needs root."""
    console = _console(json_file)
    known = dumps.sizes()
    try:
        captures.check(max(entries or [0]), list(PEERS[:2]))
        with console.status("making flows") as status:
            result = dumps.measure(entries or known, rounds, status.update)
    except captures.CaptureError as failure:
        _program.refuse(str(failure).replace("capture", "dump", 1).replace("--flows", "--entries"))
    except LabError as failure:
        _program.refuse(str(failure), 1)
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    console.print(dumps.table(result))
    if json_file:
        _write(result, json_file)


@app.command()
def instructions(
    json_file: Json = None, times: Annotated[int, typer.Option(min=1, help="How often the 200 messages are played.")] = 20
) -> None:
    """Machine instructions that decoding one message takes, on CPython and MicroPython, counted by valgrind."""
    if lacks := instruction_counts.missing():
        _program.refuse(f"instructions: not on this machine: {', '.join(lacks)}")
    try:
        result = instruction_counts.measure(times)
    except LabError as failure:
        _program.refuse(str(failure), 1)
    _console(json_file).print(instruction_counts.table(result))
    if json_file:
        _write(result, json_file)


@app.command()
def error(
    json_file: Json = None,
    seed: Annotated[int, typer.Option(help="Of the people and of the noise.")] = 1,
    days: Annotated[int, typer.Option(min=1, help="Café days that are sampled.")] = 7,
    weeks: Annotated[int, typer.Option(min=0, help="Weeks of a hotel that are sampled.")] = 1,
) -> None:
    """How far published figures are from the truth: noise by metric and size of venue, beside theory and naive designs; bias."""
    console = _console(json_file)
    with console.status("drawing") as status:
        result = errors.measure(seed, days, weeks, status.update)
    for shown in errors.tables(result):
        console.print(shown)
    if json_file:
        _write(result, json_file)


@app.command()
def sim(
    json_file: Json = None,
    scenario: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(simulations.SCENARIOS)}; may be given again.")] = None,
    interpreter: Annotated[list[str] | None, typer.Option(help="cpython or micropython; may be given again.")] = None,
    growth: Annotated[bool, typer.Option(help="Also a café of 20, 200 and 2,000 visitors a day.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the world.")] = 1,
) -> None:
    """How fast the simulator lives through its scenarios, what takes the time, and what a connection costs as they grow."""
    for option, given, known in (("--scenario", scenario, simulations.SCENARIOS), ("--interpreter", interpreter, NAMES)):
        for word in given or ():
            if word not in known:
                _program.refuse(f"{option}: {word!r} isn't known; accepted: {', '.join(known)}")
    console = _console(json_file)
    rows = []
    try:
        with console.status("living") as status:
            for case in simulations.cases(scenario, interpreter, growth=growth):
                status.update(f"{case.scenario} on {case.interpreter}")
                rows.append(simulations.measure(case, seed))
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    console.print(simulations.table(rows))
    if json_file:
        _write({"rows": rows}, json_file)


@app.command()
def deliver(
    json_file: Json = None,
    forwarders: Annotated[int, typer.Option(min=5, max=10_000, help="Real forwarders, a connection each.")] = 1000,
    each: Annotated[int, typer.Option(min=1, max=200, help="Messages of each.")] = 24,
    gateways: Annotated[int, typer.Option(min=10, max=10_000, help="Gateways in the database that the page is asked about.")] = 500,
    days: Annotated[int, typer.Option(min=8, max=400, help="Days of each.")] = 365,
) -> None:
    """Forwarders through Mosquitto into oubli-fleet on PostgreSQL, with kills and a restart; then its pages over a year."""
    if lacks := deliveries.missing():
        _program.refuse(f"deliver: not on this machine: {', '.join(lacks)}")
    console = _console(json_file)
    try:
        with console.status("starting") as status:
            result = deliveries.measure(forwarders, each, gateways, days, status.update)
    except deliveries.StuckError as failure:
        _program.refuse(f"deliver: didn't come to its end: {failure}", 1)
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    console.print(deliveries.table(result))
    if json_file:
        _write(result, json_file)
    if result["findings"]:
        _program.refuse(f"deliver: {'; '.join(result['findings'])}", 1)


@app.command()
def store(json_file: Json = None) -> None:
    """What a connection takes in oubli's stores, beside nfdump, SQLite, Parquet and xz on the same connections."""
    console = _console(json_file)
    try:
        with console.status("measuring") as status:
            result = stores.measure(status.update)
    except RuntimeError as failure:
        _program.refuse(str(failure), 1)
    console.print(stores.table(result))
    if json_file:
        _write(result, json_file)


@app.command()
def wear(
    json_file: Json = None,
    visitors: Annotated[int, typer.Option(min=1, max=1000, help="Terminals a day.")] = 200,
    block_size: Annotated[int, typer.Option(min=64, max=4096, help="Ports a terminal, as in /etc/config/oubli.")] = 512,
    sync_minutes: Annotated[int, typer.Option(min=1, max=1440, help="As in /etc/config/oubli.")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="Of the people.")] = 1,
) -> None:
    """What a café's day writes to flash with attribution on, and for how many years each board's flash bears it."""
    console = _console(json_file)
    try:
        with console.status("living") as status:
            result = wears.measure(visitors, block_size, sync_minutes, seed, status.update)
    except RuntimeError as failure:
        _program.refuse(str(failure), 1)
    for shown in wears.tables(result):
        console.print(shown)
    if json_file:
        _write(result, json_file)


if __name__ == "__main__":
    app()
