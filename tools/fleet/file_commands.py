# SPDX-License-Identifier: Apache-2.0
"""The verbs of `oubli-fleet` that write figures to a file, and read them from one."""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tools import clock
from tools.fleet import starting
from tools.fleet.delivery import GATEWAYS
from tools.fleet.options import HERE, Db, Gateways, Json


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    app.command()(export)
    app.command("import")(import_)


def _day(text: str | None, option: str, default: int) -> int:
    if text is None:
        return default
    try:
        return dt.date.fromisoformat(text).toordinal() - dt.date(1970, 1, 1).toordinal()
    except ValueError:
        starting.PROGRAM.refuse(f"{option}: {text}: no date; accepted: YYYY-MM-DD")


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - is standard output (CSV).")],
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    since: Annotated[str | None, typer.Option(metavar="DATE", help="First agent-day.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Last agent-day.")] = None,
    view: Annotated[
        str,
        typer.Option(
            help="published; combined: cells with one total a day, unbiased, with their bands; smoothed: an "
            "estimate from eight weeks."
        ),
    ] = "published",
    db: Db = HERE,
) -> None:
    """Write every published figure with its noise, a row a cell: what `import` reads, and any notebook."""
    if view not in {"published", "combined", "smoothed"}:
        starting.PROGRAM.refuse(f"--view: {view}: not known; accepted: published, combined, smoothed")
    if form not in {"csv", "parquet"}:
        starting.PROGRAM.refuse(f"--format: {form}: not known; accepted: csv, parquet")
    if str(target) == "-" and form != "csv":
        starting.PROGRAM.refuse("FILE: - with --format parquet; accepted: a file")
    first, last = _day(since, "--since", 0), _day(until, "--until", int(clock.seconds()) // 86_400 + 1)
    starting.open_store(db, new=False)
    from tools.fleet import files

    first = max(first, files.first_day(first))
    make, columns = {
        "published": (files.rows, files.COLUMNS),
        "combined": (files.combined_rows, files.COMBINED),
        "smoothed": (files.smoothed_rows, files.COMBINED),
    }[view]
    if str(target) == "-":
        files.write_csv(sys.stdout, make(first, last), columns)
        return
    try:
        with files.whole(target) as part:
            if form == "csv":
                with part.open("w", newline="") as file:
                    count = files.write_csv(file, make(first, last), columns)
            else:
                count = files.write_parquet(part, make(first, last), columns)
    except OSError as failure:
        starting.PROGRAM.refuse(f"FILE: {target}: {failure.strerror}; accepted: a file that can be written")
    typer.echo(f"{count} figures", err=True)


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="What export wrote, or lines of TOPIC PAYLOAD (mosquitto_sub -v).")
    ],
    db: Db = HERE,
    gateways: Gateways = GATEWAYS,
    json_file: Json = None,
) -> None:
    """Take messages from a file, through the same checks as the broker's; exit 1 if some were refused."""
    starting.configure(db)
    from tools.fleet import files
    from tools.fleet.intake import FullError
    from tools.fleet.reading import FATES

    try:
        if not (source.is_fifo() or source.is_char_device()):  # those are read once
            files.check(source)  # before a store is made for it, or half of it is there
        starting.open_store(db)
        fates = files.take(source, gateways)
    except files.FileError as failure:
        starting.PROGRAM.refuse(f"FILE: {failure}")
    except FullError as failure:
        starting.PROGRAM.refuse(str(failure))
    refused = sum(count for fate, count in fates.items() if fate not in FATES)
    if json_file is not None:
        starting.PROGRAM.write(json.dumps(fates, indent=1) + "\n", json_file)
    else:
        typer.echo(", ".join(f"{count} {fate}" for fate, count in sorted(fates.items())) or "no message")
    raise typer.Exit(1 if refused else 0)
