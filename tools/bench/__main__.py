# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench`: measures. `--json FILE` everywhere, `-` is standard output; bad input: exit 2, one line."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from host_sim.driver.interpreters import NAMES
from host_sim.lab.network import LabError
from tools.bench import capture as captures
from tools.bench import clusters, everything, figures, machine, needs, report
from tools.bench import deliver as deliveries
from tools.bench import dump as dumps
from tools.bench import error as errors
from tools.bench import instructions as instruction_counts
from tools.bench import light as lights
from tools.bench import memory as memories
from tools.bench import scale as scales
from tools.bench import sim as simulations
from tools.bench import store as stores
from tools.bench import wear as wears
from tools.bench.peers import PEERS
from tools.bench.rounds import Tell, repeated
from tools.commands import Program, output

WIDTH = 100  # columns, at most: what is printed is read in a page too


_program = Program("oubli-bench")

app = typer.Typer(
    cls=_program.group,
    help="Measures the agent beside its peers, here and now.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[str | None, output("--json", "FILE", "Write the figures as JSON; - is standard output.")]
Page = Annotated[str | None, output("--report", "FILE.html", "Write a page with plots; it loads nothing.")]
Rounds = Annotated[int | None, typer.Option(min=1, help="How often everything is measured.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer rounds and smaller sizes.")]
Install = Annotated[
    bool, typer.Option("--install", help="First install the peers that are missing, through apt (root).")
]


def _console(json_file: str | None) -> Console:
    """Return where the tables go: not between the JSON on standard output."""
    console = Console(stderr=json_file == "-", highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


@contextmanager
def _bar(console: Console) -> Iterator[Tell]:
    """Give a progress bar to be told of each step."""
    columns = BarColumn(30), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def tell(text: str, share: float | None = None) -> None:
            progress.update(task, description=text, total=None if share is None else 1, completed=share)

        yield tell


def _interrupted() -> NoReturn:
    _program.refuse("interrupted; everything it made is removed", 130)


class Output(NamedTuple):
    """Where the figures go beside the terminal."""

    json_file: str | None
    page: str | None


def _run(name: str, output: Output, measure: Callable[[Tell], dict[str, Any]]) -> dict[str, Any]:
    """Measure, print the tables, write JSON and page; a failure is one line, and so is a loss found (exit 1)."""
    console = _console(output.json_file)
    described = machine.describe()  # its load, before it is ours
    try:
        with _bar(console) as tell:
            result = measure(tell)
    except needs.UnableError as failure:
        _program.refuse(f"{failure}" if f"{failure}".startswith("--") else f"{name}: {failure}")
    except (LabError, RuntimeError) as failure:
        _program.refuse(f"{name}: {failure}", 1)
    except KeyboardInterrupt:
        _interrupted()
    result = {**result, "machine": described}
    whole = result if name == "all" else everything.alone(name, result)
    for sheet in everything.sheets(whole):
        console.print(sheet.terminal())
    if output.json_file:
        _program.write(json.dumps(result, indent=1) + "\n", output.json_file)
    if output.page:
        _program.write(report.page(whole), output.page, "--report")
    if name != "all" and (lost := everything.losses(whole["benchmarks"])):
        _program.refuse("; ".join(lost), 1)
    return result


def _known(*choices: tuple[str, list[str] | None, Iterable[str]]) -> None:
    """Refuse a word that an option doesn't know."""
    for option, given, known in choices:
        for word in given or ():
            if word not in known:
                _program.refuse(f"{option}: {word!r} isn't known; accepted: {', '.join(known)}")


def _install(names: Iterable[str], *, wanted: bool) -> None:
    if wanted:
        try:
            needs.install(names)
        except needs.UnableError as failure:
            _program.refuse(str(failure))


@app.callback()
def main() -> None:
    """Measures the agent beside its peers, here and now."""


@app.command()
def capture(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    install: Install = False,
    flows: Annotated[int | None, typer.Option(min=100, help="Connections in the table, in each case.")] = None,
    terminals: Annotated[
        int, typer.Option(min=1, max=10_000, help="Clients of the hotspot, each with an IPv4 and an IPv6 address.")
    ] = captures.TERMINALS,
    case: Annotated[
        list[str] | None, typer.Option(help=f"Only this case; may be given again: {', '.join(captures.CASES)}.")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help=f"Only this peer; may be given again: {', '.join(p.name for p in PEERS)}.")
    ] = None,
) -> None:
    """CPU and memory for connections that ended, on the real kernel, beside ulogd2, conntrack and pyroute2.

    Needs root.
    """
    _known(("--case", case, captures.CASES), ("--peer", peer, [one.name for one in PEERS]))
    peers = [one for one in PEERS if not peer or one.name in peer]
    _install({*captures.NEEDS, *(name for one in peers for name in one.needs)}, wanted=install)
    size = captures.size(quick=quick)
    counts = {name: flows or count for name, count in size.counts.items() if not case or name in case}
    _run(
        "capture",
        Output(json_file, page),
        lambda tell: captures.measure(counts, terminals, rounds or size.rounds, peers, tell),
    )


@app.command()
def dump(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    entries: Annotated[
        list[int] | None, typer.Option(min=0, help="A fill of the table; may be given again: 0, 16384, 262144.")
    ] = None,
) -> None:
    """CPU for one listing of the live table, and the longest that an event may have to wait for it. Needs root."""
    times = rounds or dumps.rounds(quick=quick)
    _run("dump", Output(json_file, page), lambda tell: dumps.measure(entries or dumps.sizes(quick=quick), times, tell))


@app.command()
def instructions(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    times: Annotated[int | None, typer.Option(min=1, help="How often the 200 messages are played.")] = None,
) -> None:
    """Machine instructions that a connection takes, on CPython and MicroPython, counted by valgrind."""
    count = times or instruction_counts.times(quick=quick)
    _run(
        "instructions",
        Output(json_file, page),
        _repeated(rounds, lambda _, tell: instruction_counts.measure(count, tell, quick=quick)),
    )


@app.command()
def error(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the people and of the noise; each round takes the next one.")
    ] = 1,
    days: Annotated[int | None, typer.Option(min=1, help="Café days that are sampled: 7, with --quick 1.")] = None,
    weeks: Annotated[
        int | None, typer.Option(min=0, help="Weeks of a hotel that are sampled: 1, with --quick none.")
    ] = None,
) -> None:
    """How far published figures are from the truth: noise, bias by metric and venue, beside theory and naive ones."""
    usual = errors.size(quick=quick)
    size = days or usual[0], usual[1] if weeks is None else weeks
    _run(
        "error",
        Output(json_file, page),
        _repeated(rounds, lambda number, tell: errors.measure(seed + number, *size, tell)),
    )


@app.command()
def sim(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    scenario: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(simulations.SCENARIOS)}; may be given again.")
    ] = None,
    interpreter: Annotated[list[str] | None, typer.Option(help="cpython or micropython; may be given again.")] = None,
    growth: Annotated[bool, typer.Option(help="Also a café of 8, 80 and 800 visitors a day.")] = False,
    profile: Annotated[
        bool, typer.Option(help="Also what the world and the auditor spend their time in, in a café's day.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the world.")] = 1,
) -> None:
    """How fast the simulator lives through scenarios, what takes time, what a connection costs as they grow."""
    _known(("--scenario", scenario, simulations.SCENARIOS), ("--interpreter", interpreter, NAMES))
    cases = simulations.cases(scenario, interpreter, growth=growth, quick=quick)
    _run(
        "sim",
        Output(json_file, page),
        lambda tell: simulations.measure(cases, seed, rounds or 1, tell, profiled=profile),
    )


@app.command()
def deliver(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    forwarders: Annotated[
        int | None, typer.Option(min=5, max=10_000, help="Real forwarders, a connection each: 1,000.")
    ] = None,
    each: Annotated[int | None, typer.Option(min=1, max=200, help="Messages of each: 24.")] = None,
    gateways: Annotated[
        int | None, typer.Option(min=10, max=1_000_000, help="Gateways that the page is asked about: 500.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=8, max=400, help="Days of the fleet's totals: 365.")] = None,
    told: Annotated[int | None, typer.Option(min=1, max=400, help="Days of each gateway's messages: 365.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="nats, rabbitmq: instead, three nodes behind HAProxy, killed in turn; 300 forwarders, 40 messages. "
            "mosquitto: light gateways (--gateways, 100,000) at several."
        ),
    ] = None,
    pages: Annotated[
        bool, typer.Option("--pages", help="Instead, pages alone: of 0, 1, 30 and --gateways (5,000) gateways.")
    ] = False,
) -> None:
    """Forwarders through Mosquitto into oubli-fleet on PostgreSQL, with kills and a restart.

    Then its pages over a year.
    """
    if cluster is not None:
        _known(("--cluster", [cluster], (*clusters.KINDS, "mosquitto")))
        if cluster == "mosquitto":
            crowd = gateways or lights.GATEWAYS
            _run("deliver", Output(json_file, page), _repeated(rounds, lambda _, tell: lights.measure(crowd, tell)))
            return
        many = forwarders or clusters.FORWARDERS, each or clusters.EACH
        _run(
            "deliver",
            Output(json_file, page),
            _repeated(rounds, lambda _, tell: clusters.measure(cluster, *many, tell)),
        )
        return
    if pages:
        year = gateways or 5000, days or 365, told or days or 365
        _run("deliver", Output(json_file, page), _repeated(rounds, lambda _, tell: deliveries.of_pages(*year, tell)))
        return
    asked = forwarders, each, gateways, days, told
    size = deliveries.Size(*(given or usual for given, usual in zip(asked, deliveries.size(quick=quick), strict=True)))
    _run("deliver", Output(json_file, page), _repeated(rounds, lambda _, tell: deliveries.measure(*size, tell)))


@app.command()
def store(
    json_file: Json = None, page: Page = None, rounds: Rounds = None, quick: Quick = False, install: Install = False
) -> None:
    """What a connection takes in oubli's stores, beside nfdump, ulogd2, SQLite, Parquet and xz on the same."""
    _install({name for one in stores.STORES for name in one.needs}, wanted=install)
    _run("store", Output(json_file, page), lambda tell: stores.measure(rounds or stores.rounds(quick=quick), tell))


@app.command()
def wear(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    visitors: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Terminals a day: 200, with --quick 20.")
    ] = None,
    block_size: Annotated[
        int, typer.Option(min=64, max=4096, help="Ports a terminal, as in /etc/config/oubli.")
    ] = wears.BLOCK,
    sync_minutes: Annotated[int, typer.Option(min=1, max=1440, help="As in /etc/config/oubli.")] = wears.SYNC,
    seed: Annotated[int, typer.Option(min=0, help="Of the people; each round takes the next one.")] = 1,
) -> None:
    """What a café's day writes to flash with attribution on, and for how many years each board's flash bears it."""
    count = visitors or wears.size(quick=quick)
    # One expression
    once = lambda number, tell: wears.measure(count, block_size, sync_minutes, seed + number, tell)  # noqa: E731
    _run("wear", Output(json_file, page), _repeated(rounds, once))


@app.command()
def memory(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    connections: Annotated[int | None, typer.Option(min=1, help="How many go by, 20,000 a minute.")] = None,
    terminals: Annotated[int, typer.Option(min=1, max=10_000, help="Clients of the hotspot.")] = memories.TERMINALS,
) -> None:
    """What the recorder holds on MicroPython while a million connections go by. Needs root."""
    count = connections or memories.size(quick=quick)
    _run("memory", Output(json_file, page), _repeated(rounds, lambda _, tell: memories.measure(count, terminals, tell)))


@app.command()
def scale(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    curve: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(scales.SIZES)}; may be given again.")] = None,
) -> None:
    """What a connection, a segment, a message costs as there are more terminals, connections, segments, gateways."""
    _known(("--curve", curve, scales.SIZES))
    times, sizes = rounds or scales.rounds(quick=quick), scales.sizes(curve or (), quick=quick)
    _run("scale", Output(json_file, page), lambda tell: scales.measure(sizes, times, tell))


@app.command("all")
def every(
    json_file: Json = None,
    page: Page = None,
    rounds: Rounds = None,
    quick: Quick = False,
    install: Install = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the figures in tools/bench/figures.json and figures.md.")
    ] = False,
) -> None:
    """All of these. What this machine can't measure is named, and the rest is measured. Most of it needs root."""
    _install(
        {name for one in everything.BENCHMARKS for name in one.needs} | {name for one in PEERS for name in one.needs},
        wanted=install,
    )
    if keep and (lacking := everything.lacking()):
        _program.refuse(f"--keep: wants every figure; {_reasons(lacking)}")
    result = _run("all", Output(json_file, page), lambda tell: everything.measure(quick, rounds, tell))
    if result["failed"]:
        _program.refuse("; ".join(f"{name}: {why}" for name, why in result["failed"].items()), 1)
    if keep:
        figures.write(result)
    if lost := everything.losses(result["benchmarks"]):
        _program.refuse("; ".join(lost), 1)
    if result["skipped"]:
        _program.refuse(f"all: not measured: {_reasons(result['skipped'])}; the rest was")


def _repeated(rounds: int | None, once: Callable[[int, Tell], dict[str, Any]]) -> Callable[[Tell], dict[str, Any]]:
    """Return what measures round after round what has no peers."""
    return lambda tell: repeated(rounds or 1, lambda number: once(number, tell))


def _reasons(lacking: dict[str, list[str]]) -> str:
    """Return why not, what lacks the same together."""
    names: dict[str, list[str]] = {}
    for name, lacks in lacking.items():
        names.setdefault(", ".join(lacks), []).append(name)
    return "; ".join(f"{', '.join(mine)} for want of {lacks}" for lacks, mine in names.items())


if __name__ == "__main__":
    app()
