# SPDX-License-Identifier: Apache-2.0
"""The verbs about a venue before anything runs in it: `list`, `new`, `people`, `advise`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host_sim.commands import options
from host_sim.commands.options import PROGRAM, WIDTH, Json, Seed
from host_sim.venue import scenario as scenarios


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    app.command("list")(list_scenarios)
    app.command()(new)
    app.command()(people)
    app.command()(advise)


def list_scenarios() -> None:
    """The scenarios that `run` knows."""
    for name in scenarios.names():
        typer.echo(f"{name:19} {scenarios.load(name).description}")


def new(name: Annotated[str, typer.Argument(help="A name for the venue; NAME.toml is written.")]) -> None:
    """Write a commented scenario of one's own, NAME.toml, that `run NAME.toml` runs as it stands."""
    target = Path(name if name.endswith(".toml") else f"{name}.toml")
    if target.name != str(target) or not target.stem.replace("-", "").replace("_", "").isalnum():
        PROGRAM.refuse(f"{name}: isn't a name; accepted: letters, digits and -, in the present folder")
    if target.exists():
        PROGRAM.refuse(f"{target}: is there already; accepted: a name that isn't there yet")
    PROGRAM.write(scenarios.template(target.stem), str(target), "NAME")
    typer.echo(f"{target} is written; run it: oubli-sim run {target}")


def people(
    name: Annotated[str, typer.Argument(help="A name of `list`, or a TOML file.")] = "cafe-day",
    seed: Seed = 1,
    report: options.Report = None,
    json_file: Json = None,
) -> None:
    """Who comes, how long they stay, what they do: as drawn, beside what published studies measured."""
    from host_sim.report.people_report import page  # noqa: PLC0415 (matplotlib takes a second)

    try:
        text, rows = page(scenarios.load(name), seed)
    except scenarios.ScenarioError as failure:
        PROGRAM.refuse(str(failure))
    console = Console(stderr=json_file == "-", highlight=False)
    for row in rows:
        console.print(
            f"{row.what}: {row.ours}" + (f"; {row.source}: {row.says}" if row.says else f" ({row.source})"),
            soft_wrap=True,
        )
    if report:
        PROGRAM.write(text, report, "--report")
    if json_file:
        PROGRAM.write(json.dumps([vars(row) for row in rows], indent=1) + "\n", json_file)


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
        PROGRAM.refuse(f"--venue: {failure}")
    if json_file:
        PROGRAM.write(json.dumps(found, indent=1) + "\n", json_file)
    else:
        advice.show(found, Console(width=WIDTH, highlight=False))
