# SPDX-License-Identifier: Apache-2.0
"""`oubli-fleet`: where an operator watches the gateways.

Bad input: exit 2, one line; `--json FILE` where a verb answers with figures.
"""

import contextlib
import json
import os
import time
from typing import Annotated

import typer

from tools import clock
from tools.fleet import enrol_commands, file_commands, serve_commands, starting
from tools.fleet.options import HERE, Db, Json

_program = starting.PROGRAM
app = typer.Typer(
    cls=_program.group,
    help="Collects what gateways publish, and shows it: page, terminal, Prometheus, files.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def private() -> None:
    """Make what is written readable to its owner alone: store, exports, keys."""
    os.umask(0o077)


serve_commands.add(app)


@app.command()
def watch(
    db: Db = HERE,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2,
    json_file: Json = None,
) -> None:
    """Show in the terminal how the gateways stand, the worst first; with --json: once, as JSON."""
    starting.open_store(db, new=False)
    from rich.console import Console
    from rich.live import Live

    from tools.fleet import watch as watching

    if json_file is not None:
        _program.write(json.dumps(watching.data(int(clock.seconds())), indent=1) + "\n", json_file)
        return
    console = Console()
    if not console.is_terminal:
        console.print(watching.shown(int(clock.seconds()), 1 << 20))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(watching.shown(int(clock.seconds()), console.height), refresh=True)
            time.sleep(every)


file_commands.add(app)


@app.command()
def verify(
    gateway: Annotated[str | None, typer.Argument(metavar="[GATEWAY]", help="Only this one, by its id.")] = None,
    db: Db = HERE,
    json_file: Json = None,
) -> None:
    """Say of each gateway whether its audit log was cut, rewritten or forked, by all its heads; exit 1 if so."""
    starting.open_store(db, new=False)
    from tools.fleet import checkpoints

    found = checkpoints.verdicts(gateway)
    if gateway is not None and not found:
        _program.refuse(f"GATEWAY: {gateway[:32]!r}: not known here; accepted: the id of a gateway that has spoken")
    if json_file is not None:
        _program.write(json.dumps(found, indent=1) + "\n", json_file)
    else:
        for one in found:
            typer.echo(
                f"{one['gateway']}  {', '.join(one['wrong']) or 'whole' if one['head'] else 'nothing shown yet'}"
            )
            if one["head"]:
                typer.echo(f"                  on the gateway: oubli log --verify --head {one['head']}")
    if not found:
        _program.refuse("there is nothing to verify: no gateway has spoken yet", 1)
    raise typer.Exit(1 if any(one["wrong"] for one in found) else 0)


@app.command()
def discovery(
    prefix: Annotated[str, typer.Option(help="Home Assistant's discovery prefix.")] = "homeassistant",
    db: Db = HERE,
) -> None:
    """Print Home Assistant's entities of every gateway as lines of TOPIC PAYLOAD, to be published retained."""
    if not prefix or any(sign in prefix for sign in "#+ \n\0"):
        _program.refuse("--prefix: no topic; accepted: a topic without wildcards or blanks")
    starting.open_store(db, new=False)
    from tools.fleet.discovery import entities
    from tools.fleet.models import Gateway

    for row in Gateway.objects.order_by("ident"):
        for topic, payload in entities(row.ident, row.name, row.version, prefix):
            typer.echo(f"{topic} {payload}")


enrol_commands.add(app)

if __name__ == "__main__":
    app()
