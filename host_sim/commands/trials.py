# SPDX-License-Identifier: Apache-2.0
"""The verbs that try the checks themselves: `mutants` and `search`."""

import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host_sim.commands import options
from host_sim.commands.options import PROGRAM, Interpreter, Json
from host_sim.driver.interpreters import NoInterpreterError
from host_sim.trials.patches import PatchError


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    app.command()(mutants)
    app.command()(search)


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
            PROGRAM.refuse(f"--only: {name!r} isn't known; accepted: {', '.join(known)}")
    chosen = [one for one in breakages.MUTANTS if not only or one.name in only]
    console = options.console(json_file)
    try:
        with console.status("mutants on trial") as status:
            found = []
            for verdict in breakages.trial(chosen, interpreter, os.cpu_count() or 1):
                found.append(verdict)
                status.update(f"{len(found)} of {len(chosen)} judged")
    except (PatchError, NoInterpreterError) as failure:
        PROGRAM.refuse(str(failure))
    except KeyboardInterrupt:
        PROGRAM.refuse("interrupted; everything it made is removed", 130)
    console.print(verdicts(found))
    if json_file:
        rows = [
            {**one.mutant._asdict(), "caught_by": one.caught_by, "hours": round(one.hours, 2), "caught": one.caught}
            for one in found
        ]
        PROGRAM.write(json.dumps(rows, indent=1) + "\n", json_file)
    survivors = [one.mutant.name for one in found if not one.caught]
    if survivors:
        PROGRAM.refuse(f"not caught as they must be: {', '.join(survivors)}", 1)


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
        PROGRAM.refuse(f"--keep: {keep} isn't a folder; accepted: a folder, or a name that isn't there yet")
    console = Console(stderr=True, highlight=False)
    console.print(f"seed {first}")
    try:
        figures = searching.search(
            first, hours * 3600, runs, keep, lambda line: console.print(line, markup=False, soft_wrap=True)
        )
    except (NoInterpreterError, BrokerError) as failure:
        PROGRAM.refuse(str(failure))
    console.print(
        f"{sum(figures.runs.values())} runs, {figures.hours:,.0f} hours with people, "
        f"{figures.connections:,} connections"
    )
    for one in figures.violations:
        typer.echo(one["scenario"], err=json_file == "-")
    if json_file:
        PROGRAM.write(json.dumps(vars(figures), indent=1) + "\n", json_file)
    if figures.interrupted:
        PROGRAM.refuse("interrupted; everything it made is removed", 130)
    if figures.violations:
        PROGRAM.refuse(f"{len(figures.violations)} violations; the first: {figures.violations[0]['wrong']}", 1)
