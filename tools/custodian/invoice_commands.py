# SPDX-License-Identifier: Apache-2.0
"""`oubli-custodian invoice`, and `recipient key|open`, for who gets what is sealed (L34-II-4, L34-IV-3)."""

import json
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from tools import clock
from tools.commands import Program, bounded, output
from tools.custodian import agents, handovers, invoices, recipients, register
from tools.custodian.own_keys import AgentError
from tools.custodian.request_commands import Ask, Folder, Json, Out, Own, Secret, enter, late, one_line
from tools.custodian.staged import Staged
from tools.custodian.store import Store

LONGEST = 366  # days


def recipient_app(program: Program, passphrase: Ask) -> typer.Typer:
    """Return the recipients' commands."""
    app = typer.Typer(
        cls=program.group,
        help="Who gets an answer or an invoice: a key of one's own, and opening what was sealed to it.",
    )

    @app.command("key")
    def key(name: str, out: Out, passphrase_file: Own = None) -> None:
        """Make a recipient's key: OUT behind a passphrase, OUT.pub for the custodian (--to, --to-key)."""
        with one_line(program):
            public = recipients.new_key(name, passphrase(passphrase_file, new=True), out)
        typer.echo(
            f"{public}: give it to the custodian, and tell him its digits by another way; "
            f"{out} never leaves this machine"
        )

    @app.command("open")
    def open_(
        sealed: Annotated[
            Path, typer.Argument(metavar="FILE", help="What the custodian sealed, such as answer.sealed.")
        ],
        key: Annotated[Path, typer.Option(help="The recipient's key.")],
        signed_by: Annotated[
            Path, typer.Option(help="The custodian's public key: what `oubli-custodian new` printed.")
        ],
        out: Out,
        passphrase_file: Own = None,
    ) -> None:
        """Open a sealed answer or invoice into a new folder, once signature and every file's sum fit."""
        with one_line(program):
            custodian = recipients.custodian("--signed-by", signed_by)
            names = recipients.open_sealed(
                sealed, recipients.load_key(key, passphrase(passphrase_file)), custodian, out
            )
        typer.echo(f"{out}: {', '.join(names)}; the custodian's signature fits")

    return app


def add(app: typer.Typer, program: Program, passphrase: Ask) -> None:
    """Add the commands to the custodian's program."""
    app.add_typer(recipient_app(program, passphrase), name="recipient")

    @app.command("invoice")
    def invoice(
        files: Annotated[
            list[Path],
            typer.Argument(metavar="SEGMENT", help="From the gateway's vault/billing; other days are left out."),
        ],
        store: Folder,
        gateway: Annotated[str, typer.Option(help="gateway.id of the one gateway they are of.")],
        begin: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")],
        end: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC, which is over.")],
        to_key: Annotated[
            Path,
            typer.Option(metavar="FILE", help="The biller's public key: a line HEX NAME, as `recipient key` writes it.")
        ],
        out: Annotated[Path, output("--out", "PATH", "Where the sealed file goes: PATH with .sealed.")],
        secret: Secret = None, json_file: Json = None,
    ) -> None:  # fmt: skip
        """Seal a period's sessions and each user's sums to the biller.

        Signed and entered in the register (L34-1 IV, 1st paragraph).
        """
        with one_line(program), ExitStack() as turn:
            biller, name = recipients.public("--to-key", to_key)
            if not name:
                raise AgentError(
                    f"--to-key: {to_key}: names nobody; accepted: a line of 64 hexadecimal digits and the biller's name"
                )
            first, last = _period(begin, end)
            chosen = invoices.chosen(((path.name, bounded(path, handovers.LARGEST)) for path in files), first, last)
            period = invoices.Period(agents.gateway("--gateway", gateway), first, last, name, biller, chosen)
            staged = Staged(out.with_name(f"{out.name}.sealed"), period)
            keeper = Store(store, None)
            if turn.enter_context(register.once(keeper, period, staged.beside)):
                late(program, keeper, period, staged, json_file)
                return
            turn.enter_context(register.refusals(keeper, invoices.KIND, period))
            staged.free()
            custodian = Store(store, passphrase(secret))
            made = invoices.make(period, custodian.key, register.entries(custodian))
            line = register.entry(custodian, invoices.KIND, period, made.result, len(made.rows))
            made.register = register.head(line)
            staged.write(made.files(custodian.signing), biller)
            enter(custodian, line, staged)
        if json_file:
            program.write(json.dumps({**made.manifest, "path": str(staged.place)}, indent=1) + "\n", json_file)
            return
        typer.echo(
            f"{staged.place}: {made.result}, {len(made.rows)} sessions of {len(made.users)} users, sealed to {name}"
        )
        for note in made.notes:
            typer.echo(f"  {note}")


def _period(begin: datetime, end: datetime) -> tuple[date, date]:
    first, last = begin.date(), end.date()
    if not first <= last or (last - first).days >= LONGEST:
        raise AgentError(f"--to: {last}: not within a year from {first} on; accepted: the first day or a later one")
    if last >= clock.now().astimezone(UTC).date():
        raise AgentError(f"--to: {last}: this day isn't over; accepted: a day before today (UTC)")
    return first, last
