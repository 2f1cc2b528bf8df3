# SPDX-License-Identifier: Apache-2.0
"""The verbs of `oubli-fleet` that say who belongs to it: gateways' certificates, the expected ones, people."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from tools import clock
from tools.fleet import starting
from tools.fleet.options import HERE, OPERATOR, ROLES, Db

_program = starting.PROGRAM


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    for verb in (enrol, expect, password):
        app.command()(verb)


def enrol(
    gateway: Annotated[
        list[str] | None, typer.Argument(metavar="[GATEWAY]...", help="Ids of gateways that get a certificate.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where authority, certificates and keys are.")] = Path("oubli-ca"),
    broker: Annotated[
        str | None, typer.Option(metavar="HOST", help="Make the broker's certificate, for this name or address.")
    ] = None,
    collector: Annotated[bool, typer.Option("--collector", help="Make the collector's certificate.")] = False,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Gateways as CSV with a head: name, group, tags, gateway; without an id each gets one.",
        ),
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make certificates and keys anew that are there.")] = False,
) -> None:
    """Make small certificate authorities and what they vouch for: gateways, broker, collector; keys have mode 0600.

    Each gateway gets an archive for `oubli join`, once there is a certificate of the
    broker's. FOLDER/gateways.csv lists them.
    """
    from tools.fleet import enrol as enrolling
    from tools.fleet.listing import Listed

    if not gateway and broker is None and not collector and listed is None:
        _program.refuse("nothing to enrol; accepted: ids of gateways, --list FILE, --broker HOST, --collector")
    try:
        for ident in gateway or ():
            enrolling.check(ident)
        rows = [Listed(ident) for ident in gateway or ()] + (enrolling.read_list(listed) if listed is not None else [])
        enrolling.check_place(folder, [row.ident for row in rows], renew=renew)
        authority = enrolling.Authority(folder, clock.now(), renew=renew)
        made = [authority.broker(broker)] if broker is not None else []
        made += [authority.collector()] if collector else []
        made += [authority.gateway(row.ident) for row in rows]
        lists = [authority.note(rows)] if rows else []
        authorities = [authority.certificate, *([folder / f"{enrolling.COLLECTORS}.pem"] if collector else [])]
    except enrolling.EnrolError as failure:
        _program.refuse(str(failure))
    for path in authorities:
        typer.echo(f"authority    {path}")
    for one in made:
        typer.echo(
            f"certificate  {one.certificate}   key {one.key}" + (f"   archive {one.archive}" if one.archive else "")
        )
    for path in lists:
        typer.echo(f"list         {path}")


def expect(
    listed: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The list that enrol wrote, or CSV with a head: gateway, name, group, tags; - is standard input.",
        ),
    ],
    db: Db = HERE,
) -> None:
    """Tell the collector which gateways are to come, with names and groups: one that never speaks shows."""
    from tools.fleet import enrol as enrolling

    try:
        rows = enrolling.read_list(Path("/dev/stdin") if str(listed) == "-" else listed, made=False)
    except enrolling.EnrolError as failure:
        _program.refuse(f"FILE: {failure}")
    starting.open_store(db)
    from tools.fleet import inventory

    try:
        new = inventory.expect(rows, int(clock.seconds()))
    except inventory.FullError as failure:
        _program.refuse(f"FILE: {failure}")
    typer.echo(f"{len(rows)} gateways, {new} of them new")


def password(
    user: Annotated[str, typer.Argument(help="Who logs in.")] = OPERATOR,
    db: Db = HERE,
    role: Annotated[
        str | None, typer.Option(help=f"What the person is from now on: {', '.join(ROLES)}; without it, what it was.")
    ] = None,
    reset_factor: Annotated[
        bool, typer.Option("--reset-factor", help="Take the second factor away, which is lost.")
    ] = False,
) -> None:
    """Set who may log in and with which password, asked for or read from standard input."""
    if role not in {None, *ROLES}:
        _program.refuse(f"--role: {role}: no role; accepted: {', '.join(ROLES)}")
    if not 0 < len(user) <= 150 or not user.isprintable():
        _program.refuse("USER: accepted: 1 to 150 printable characters")
    text = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline(1025).rstrip("\n")
    if not 12 <= len(text) <= 1024:
        _program.refuse("the password: accepted: 12 to 1,024 characters")
    starting.open_store(db)
    starting.set_password(user, text, role, reset=reset_factor)
