# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim`: the gateway's days without hardware.

`--json FILE` everywhere, `-` is standard output; bad input: exit 2, one line.

Each command imports its module when it runs: a replay needs no broker, and the lab's
needs (root, nftables) are the lab's alone.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from host_sim.driver.interpreters import NoInterpreterError
from host_sim.driver.replay import ReplayError, replay
from host_sim.driver.replay import show as show_replay
from host_sim.trials.patches import PatchError
from host_sim.venue import scenario as scenarios
from tools.commands import Program, output

if TYPE_CHECKING:
    from host_sim.driver.outcome import Outcome

WIDTH = 100  # columns, at most: what is printed is read in a page too


_program = Program("oubli-sim")

app = typer.Typer(
    cls=_program.group,
    help="Runs the agent without hardware: simulated days, recorded datagrams, a lab of network namespaces.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Interpreter = Annotated[
    str, typer.Option(help="cpython, micropython, or a command line such as 'qemu-mips -L DIR micropython'.")
]
Json = Annotated[str | None, output("--json", "FILE", "Write the figures as JSON; - is standard output.")]
# Of the seeds 1 to 9 the one whose hours' errors (root of the mean square) and whose day's error are nearest to what
# the noise says, both in standard deviations: 1.05 and 0.98. So the demo shows an ordinary day, not a lucky one.
_ORDINARY = 4
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same world.")]
Days = Annotated[int | None, typer.Option(min=1, max=400, help="Days with people; the scenario's own by default.")]


@app.command("list")
def list_scenarios() -> None:
    """The scenarios that `run` knows."""
    for name in scenarios.names():
        typer.echo(f"{name:19} {scenarios.load(name).description}")


@app.command("replay")
def replay_recording(recording: Path, json_file: Json = None, interpreter: Interpreter = "cpython") -> None:
    """Play a recording of ctnetlink datagrams to the agent's decoder.

    It is a u32 little-endian length and a datagram, repeated.
    """
    try:
        line = replay(recording, interpreter)
    except (ReplayError, NoInterpreterError) as failure:
        _program.refuse(str(failure))
    if json_file:
        _program.write(line, json_file)
    else:
        show_replay(line, Console())


@app.command()
def new(name: Annotated[str, typer.Argument(help="A name for the venue; NAME.toml is written.")]) -> None:
    """Write a commented scenario of one's own, NAME.toml, that `run NAME.toml` runs as it stands."""
    target = Path(name if name.endswith(".toml") else f"{name}.toml")
    if target.name != str(target) or not target.stem.replace("-", "").replace("_", "").isalnum():
        _program.refuse(f"{name}: isn't a name; accepted: letters, digits and -, in the present folder")
    if target.exists():
        _program.refuse(f"{target}: is there already; accepted: a name that isn't there yet")
    _program.write(scenarios.template(target.stem), str(target), "NAME")
    typer.echo(f"{target} is written; run it: oubli-sim run {target}")


@app.command()
def run(
    name: str,
    seed: Seed = 1,
    days: Days = None,
    interpreter: Interpreter = "cpython",
    report: Annotated[
        str | None, output("--report", "FILE.html", "Write a page with plots that needs no network.")
    ] = None,
    record: Annotated[str | None, output("--record", "FILE.bin", "Keep the kernel's datagrams, for `replay`.")] = None,
    until: Annotated[
        int | None, typer.Option(min=1, metavar="STEP", help="End after so many of the auditor's steps.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Run a scenario (a name of `list`, or a TOML file) through the real recorder, forwarder and broker."""
    from host_sim.driver.broker import BrokerError  # noqa: PLC0415
    from host_sim.driver.simulation import SimulationError  # noqa: PLC0415
    from host_sim.report.show import show, violation  # noqa: PLC0415

    console = Console(stderr=json_file == "-")
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    try:
        outcome = _simulate(scenarios.load(name), seed, days, interpreter, console, until, record)
    except (scenarios.ScenarioError, NoInterpreterError, BrokerError) as failure:
        _program.refuse(str(failure))
    except SimulationError as failure:
        _program.refuse(str(failure), 1)
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    show(outcome, console)
    if json_file:
        _program.write(json.dumps(outcome.figures(), indent=1) + "\n", json_file)
    if report:
        from host_sim.report.report import page  # noqa: PLC0415 (matplotlib takes a second)

        _program.write(page(outcome), report, "--report")
    if outcome.violation:
        again = f"oubli-sim run {name} --seed {seed} --interpreter {interpreter}" + (f" --days {days}" if days else "")
        console.print(violation(outcome, again), highlight=False, markup=False)
        _program.refuse(
            f"the auditor isn't content: {outcome.violation.wrong}; again with: "
            f"{again} --until {outcome.violation.step}",
            1,
        )
    if not outcome.passed and not until:
        _program.refuse("the auditor isn't content: there was nothing to look at", 1)


@contextmanager
def _recording(path: Path) -> Iterator[IO[bytes]]:
    """Give the file of --record; nothing half-written is left where the run doesn't come to its end."""
    file = path.open("wb")
    try:
        yield file
        file.close()
    except BaseException:
        with suppress(OSError):
            file.close()
        if path.is_file():
            path.unlink()
        raise


def _simulate(
    scenario: scenarios.Scenario,
    seed: int,
    days: int | None,
    interpreter: str,
    console: Console,
    until: int | None,
    record: str | None,
) -> "Outcome":
    from host_sim.driver.simulation import Simulation  # noqa: PLC0415
    from host_sim.report.show import progress_bar  # noqa: PLC0415
    from host_sim.venue.happenings import clock_text  # noqa: PLC0415

    began = time.monotonic()

    def progress(wall: int, connections: int) -> None:
        rate = (wall - world.start) / 1e9 / max(time.monotonic() - began, 1e-3)
        found = int(simulation.violation is not None)
        bar.update(
            task,
            completed=wall - world.start,
            clock=clock_text(wall),
            connections=connections,
            rate=rate,
            violations=found,
        )

    with ExitStack() as stack:
        recording = stack.enter_context(_recording(Path(record))) if record else None
        simulation = Simulation(scenario, seed, interpreter, days, progress, until=until, recording=recording)
        world = simulation.world
        bar = stack.enter_context(progress_bar(console))
        task = bar.add_task(
            scenario.name,
            total=world.end - world.start,
            clock=clock_text(world.start),
            connections=0,
            rate=0.0,
            violations=0,
        )
        return simulation.run()


@app.command()
def demo(interpreter: Interpreter = "cpython", seed: Seed = _ORDINARY, json_file: Json = None) -> None:
    """A café's day, ended by what was published beside the truth and what was forgotten; what tools/demo shows."""
    run("cafe-day", seed, None, interpreter, json_file=json_file)


@app.command()
def mutants(
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be given again.")] = None,
    interpreter: Interpreter = "cpython",
    json_file: Json = None,
) -> None:
    """Agents broken on purpose: each must be found out, by the check that is named. Exit 1 where one isn't."""
    from host_sim.report.show import verdicts  # noqa: PLC0415
    from host_sim.trials import mutants as breakages  # noqa: PLC0415

    known = [one.name for one in breakages.MUTANTS]
    for name in only or ():
        if name not in known:
            _program.refuse(f"--only: {name!r} isn't known; accepted: {', '.join(known)}")
    chosen = [one for one in breakages.MUTANTS if not only or one.name in only]
    console = Console(stderr=json_file == "-")
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    try:
        with console.status("mutants in court") as status:
            found = []
            for verdict in breakages.trial(chosen, interpreter, os.cpu_count() or 1):
                found.append(verdict)
                status.update(f"{len(found)} of {len(chosen)} judged")
    except (PatchError, NoInterpreterError) as failure:
        _program.refuse(str(failure))
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    console.print(verdicts(found))
    if json_file:
        rows = [
            {**one.mutant._asdict(), "caught_by": one.caught_by, "hours": round(one.hours, 2), "caught": one.caught}
            for one in found
        ]
        _program.write(json.dumps(rows, indent=1) + "\n", json_file)
    survivors = [one.mutant.name for one in found if not one.caught]
    if survivors:
        _program.refuse(f"not caught as they must be: {', '.join(survivors)}", 1)


@app.command()
def search(
    hours: Annotated[float, typer.Option(min=0, help="How long; the run that has begun goes to its end.")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="The first run's number; another one each time.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where scenarios that show a violation are written.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Draw scenarios until one shows a violation, and shrink it to the shortest that still does.

    Exit 1 where something was found.
    """
    from host_sim.driver.broker import BrokerError  # noqa: PLC0415
    from host_sim.trials import search as searching  # noqa: PLC0415

    first = secrets.randbits(32) if seed is None else seed
    if keep and keep.exists() and not keep.is_dir():
        _program.refuse(f"--keep: {keep} isn't a folder; accepted: a folder, or a name that isn't there yet")
    console = Console(stderr=True, highlight=False)
    console.print(f"seed {first}")
    try:
        figures = searching.search(
            first, hours * 3600, runs, keep, lambda line: console.print(line, markup=False, soft_wrap=True)
        )
    except (NoInterpreterError, BrokerError) as failure:
        _program.refuse(str(failure))
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    console.print(
        f"{sum(figures.runs.values())} runs, {figures.hours:,.0f} hours with people, "
        f"{figures.connections:,} connections"
    )
    for one in figures.violations:
        typer.echo(one["scenario"], err=json_file == "-")
    if json_file:
        _program.write(json.dumps(vars(figures), indent=1) + "\n", json_file)
    if figures.violations:
        _program.refuse(f"{len(figures.violations)} violations; the first: {figures.violations[0]['wrong']}", 1)


@app.command()
def people(
    name: Annotated[str, typer.Argument(help="A name of `list`, or a TOML file.")] = "cafe-day",
    seed: Seed = 1,
    report: Annotated[
        str | None, output("--report", "FILE.html", "Write a page with plots that needs no network.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Who comes, how long they stay, what they do: as drawn, beside what published studies measured."""
    from host_sim.report.people_report import page  # noqa: PLC0415 (matplotlib takes a second)

    try:
        text, rows = page(scenarios.load(name), seed)
    except scenarios.ScenarioError as failure:
        _program.refuse(str(failure))
    console = Console(stderr=json_file == "-", highlight=False)
    for row in rows:
        console.print(
            f"{row.what}: {row.ours}" + (f"; {row.source}: {row.says}" if row.says else f" ({row.source})"),
            soft_wrap=True,
        )
    if report:
        _program.write(text, report, "--report")
    if json_file:
        _program.write(json.dumps([vars(row) for row in rows], indent=1) + "\n", json_file)


@app.command()
def advise(
    visitors: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Terminals that come on a mean day, as the operator knows it.")
    ],
    venue: Annotated[
        str, typer.Option(metavar="FILE", help="Whose hours: a TOML file of `new`, or a name of `list`.")
    ] = "cafe-day",
    seed: Seed = 1,
    json_file: Json = None,
) -> None:
    """What each profile of figures (summary.profile) tells of a venue of this size, before it is switched on."""
    from host_sim.report import advice  # noqa: PLC0415 (numpy takes a moment)

    try:
        found = advice.advise(scenarios.load(venue), visitors, seed)
    except scenarios.ScenarioError as failure:
        _program.refuse(f"--venue: {failure}")
    if json_file:
        _program.write(json.dumps(found, indent=1) + "\n", json_file)
    else:
        advice.show(found, Console(width=WIDTH, highlight=False))


@app.command()
def fleet(
    gateways: Annotated[int, typer.Option(min=1, max=20_000, help="How many.")] = 1000,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="mqtt://host:port or mqtts://host:port; one of its own without.")
    ] = None,
    ca: Annotated[str | None, typer.Option(metavar="FILE", help="Who vouches for an mqtts broker, PEM.")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Over which their messages come due.")] = 60,
    messages: Annotated[int, typer.Option(min=1, max=200, help="Of each gateway; 28 are an agent-day's.")] = 28,
    ramp: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds over which they connect.")] = 10,
    outage: Annotated[float, typer.Option(min=0, max=3600, help="Seconds without the broker, in the middle.")] = 0,
    json_file: Json = None,
) -> None:
    """Very many gateways: real forwarders, generated spools, MQTT connections for real; how long messages take."""
    from host_sim.load import fleet as gateways_of  # noqa: PLC0415
    from host_sim.report.show import fleet_table  # noqa: PLC0415

    if ca and not broker:
        _program.refuse("--ca: there is no --broker that it vouches for; accepted: with --broker mqtts://host:port")
    console = Console(stderr=json_file == "-")
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    try:
        with console.status("starting") as status:
            figures = gateways_of.run(gateways, broker, ca, seconds, messages, ramp, outage, status.update)
    except (gateways_of.FleetError, gateways_of.BrokerError) as failure:
        _program.refuse(str(failure))
    except KeyboardInterrupt:
        _program.refuse("interrupted; everything it made is removed", 130)
    data = figures.data()
    console.print(fleet_table(data))
    if json_file:
        _program.write(json.dumps(data, indent=1) + "\n", json_file)
    if not data["whole"]:
        _program.refuse(f"{data['arrived']} of {data['messages']} messages arrived", 1)


@app.command()
def lab(
    connections: Annotated[int, typer.Option(min=1, help="Connections that the client makes.")] = 2000,
    interpreter: Interpreter = "cpython",
    record: Annotated[str | None, output("--record", "FILE.bin", "Keep the kernel's datagrams, for `replay`.")] = None,
    port_blocks: Annotated[
        bool, typer.Option("--port-blocks", help="Terminals behind one address, told apart by leases' rows.")
    ] = False,
    terminals: Annotated[
        int | None, typer.Option(min=1, max=700, help="With --port-blocks: how many; 300 without.")
    ] = None,
    json_file: Json = None,
) -> None:
    """The real kernel: namespaces client, gateway, internet; real traffic; conntrack as an independent witness.

    Needs root.
    """
    if not port_blocks and terminals is not None:
        _program.refuse("--terminals: only --port-blocks has more than five; accepted: with --port-blocks")
    if port_blocks and record:
        _program.refuse("--record: nothing is recorded with --port-blocks; accepted: without --port-blocks")
    if port_blocks:
        from host_sim.lab.blocks import command  # noqa: PLC0415

        raise typer.Exit(command(_program, interpreter, connections, terminals or 300, json_file))
    from host_sim.lab import lab as laboratory  # noqa: PLC0415

    status, result = laboratory.lab(interpreter, connections, record)
    if json_file and result:
        _program.write(json.dumps(result, indent=1) + "\n", json_file)
    raise typer.Exit(status)


@app.command()
def gateway(
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="An OpenWrt disk image for x86-64 that you have downloaded, .img or .img.gz."
        ),
    ] = None,
    terminals: Annotated[int, typer.Option(min=1, max=100, help="How many, on its LAN.")] = 3,
) -> None:
    """A real OpenWrt in QEMU with oubli on it: LAN, WAN, broker, LuCI, fleet page, a shell; until Ctrl-C.

    Needs root.
    """
    from host_sim.openwrt.command import run as start  # noqa: PLC0415

    status, reason = start(image, terminals, Console())
    if reason:
        _program.refuse(reason, status)


if __name__ == "__main__":
    app()
