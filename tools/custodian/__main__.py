# SPDX-License-Identifier: Apache-2.0
"""`oubli-custodian`: the key holder's command, off the device. Bad input: exit 2, one line."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from rich.console import Console
from rich.table import Table

from tools import disk
from tools.commands import Program, bounded, output
from tools.custodian import bundles, destruction, invoice_commands, register, request_commands, segments, signed_folder
from tools.custodian.handovers import HandoverError
from tools.custodian.keyfiles import PURPOSES
from tools.custodian.request_commands import Secret
from tools.custodian.store import AHEAD, Store, StoreError

LIMIT = 1 << 30  # octets of a segment
SECRET = 4096  # of a file with a passphrase

_program = Program("oubli-custodian")

app = typer.Typer(
    cls=_program.group,
    help="Holds the keys of stores that gateways can't read back: makes and signs bundles, destroys keys, "
    "answers requests.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Option("--store", metavar="DIR", help="The key store.", envvar="OUBLI_CUSTODIAN_STORE")]
Json = Annotated[str | None, output("--json", "FILE", "Write the result as JSON; - is standard output.")]


def passphrase(file: Path | None, *, new: bool = False) -> bytes:
    """Return the passphrase: from a file, else asked for."""
    if file is None:
        text = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
    else:
        try:
            if file.is_file() and file.stat().st_mode & 0o077:
                _program.refuse(f"--passphrase-file: {file}: open to others; accepted: a file of mode 0600")
            text = bounded(file, SECRET).decode().split("\n")[0]
        except OSError as failure:
            _program.refuse(f"--passphrase-file: {file}: can't be read ({failure.strerror}); accepted: a file")
        except UnicodeDecodeError as failure:
            _program.refuse(f"--passphrase-file: {file}: byte {failure.start}: not UTF-8; accepted: a file of text")
    if len(text) < 12:
        _program.refuse("passphrase: too short; accepted: 12 characters or more")
    return str(text).encode()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (StoreError, bundles.BundleError, segments.SegmentError) as failure:
        _program.refuse(str(failure))
    except OSError as failure:
        _program.refuse(f"{failure.filename}: {failure.strerror}; accepted: a file or folder that can be used")


def _open(store: Path, file: Path | None) -> Store:
    return Store(store, passphrase(file))


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        _program.refuse(f"{option}: {text!r}; accepted: a date such as 2026-11-25")


def _lifetimes(words: list[str]) -> dict[str, int]:
    found = {}
    for word in words:
        name, _, days = word.partition("=")
        if name not in PURPOSES or not days.isdecimal():
            _program.refuse(f"--lifetime: {word!r}; accepted: PURPOSE=DAYS, of {', '.join(PURPOSES)}")
        found[name] = int(days)
    return found


@app.callback()
def main() -> None:
    """Holds the keys of stores that gateways can't read back."""
    os.umask(0o077)


@app.command()
def new(store: Folder, secret: Secret = None) -> None:
    """Makes a key store with a signing key, and prints what belongs into /etc/oubli/custodian.pub of each gateway."""
    with _one_line():
        typer.echo(bytes(Store.make(store, passphrase(secret, new=True))).hex())


@app.command()
def bundle(
    store: Folder,
    out: Annotated[Path, output("--out", "FILE", "Where the bundle goes.")],
    lifetime: Annotated[
        list[str], typer.Option(help="PURPOSE=DAYS: how long that purpose's records are kept; once for each.")
    ],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First day (default: today, UTC).")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=AHEAD + 1, help="How many days.")] = AHEAD,
    secret: Secret = None,
) -> None:
    """Make a day's key for each purpose and day, and sign the public halves for `oubli bundle install`."""
    first, wanted = begin and _day("--from", begin), _lifetimes(lifetime)
    with _one_line():
        custodian = _open(store, secret)
        data = custodian.bundle(first or custodian.today, days, wanted)
        disk.write_by_rename(out, out.with_name(f".{out.name}.new"), data, 0o644)


@app.command("destroy-due")
def destroy_due(store: Folder, json_file: Json = None) -> None:
    """Destroys each private key whose date has come; what was sealed to it nobody opens any more.

    Run it daily; it needs no passphrase.
    """
    with _one_line():
        custodian = Store(store, None)
        done = destruction.destroy_due(custodian)
    said = [f"{purpose} {day}" for purpose, day in done.keys]
    if json_file:
        _program.write(json.dumps({"destroyed": said}) + "\n", json_file)
    else:
        typer.echo("\n".join([*said, f"{len(said)} keys destroyed"]))
    if wrong := [*done.wrong, *([custodian.behind] if custodian.behind else [])]:
        _program.refuse(" | ".join(wrong))


@app.command("confirm-date")
def confirm_date(
    store: Folder, today: Annotated[str, typer.Argument(metavar="DATE", help="Today's date, UTC, such as 2026-11-25.")]
) -> None:
    """Confirms the date after a large step of this machine's clock: until then no key is made, used or destroyed."""
    with _one_line():
        Store.confirm(store, _day("DATE", today))
    typer.echo(f"the date is {today}")


def _read(path: Path) -> segments.Segment:
    try:
        return segments.read(bounded(path, LIMIT))
    except segments.SegmentError as failure:
        raise segments.SegmentError(f"{path}: {failure}; accepted: files of a gateway's store") from None


def opened(store: Store, path: Path, torn: set[str]) -> dict[str, Any]:
    """Open one segment; returns what is said of it, and how many records it has.

    `torn`: names that the gateway's audit log calls torn.
    """
    segment = _read(path)
    said: dict[str, Any] = {
        "file": path.name,
        "purpose": segment.purpose,
        "day": str(segment.day),
        "clock": segment.clock,
        "torn": segment.torn,
    }
    try:
        key = store.key(segment.purpose, segment.day, segment.destroy)
        if key is None:
            return {**said, "records": 0, "wrong": f"its key is destroyed, or due to be since {segment.destroy}"}
        count = sum(1 for _ in segment.records(key))
    except (segments.SegmentError, StoreError) as failure:
        return {**said, "records": 0, "wrong": str(failure)}
    wrong = segment.damage
    if segment.torn and path.name not in torn and not wrong:
        wrong = "it ends torn, and --torn doesn't name it: compare the gateway's audit log"
    return {**said, "records": count, "wrong": wrong}


Torn = Annotated[
    list[str] | None,
    typer.Option(help="Name of a segment that the gateway's audit log calls torn; may be given again."),
]


@app.command("open")
def open_segments(
    store: Folder,
    files: Annotated[list[Path], typer.Argument(help="Segments that a gateway handed over.")],
    torn: Torn = None,
    secret: Secret = None,
    json_file: Json = None,
) -> None:
    """Opens segments and counts their records, of which none is shown: those come out by `answer` alone (L34-II-4).

    The act goes into the log. Exit 1 where one doesn't open, or is damaged.
    """
    with _one_line():
        custodian = _open(store, secret)
        custodian.note("open", files=[path.name for path in files])
        result = [opened(custodian, path, set(torn or ())) for path in files]
    if json_file:
        _program.write(json.dumps({"segments": result}, indent=1) + "\n", json_file)
    else:
        for one in result:
            typer.echo(
                f"{one['file']}: {one['purpose']} of {one['day']}, {one['records']} "
                f"records{': ' * bool(one['wrong'])}{one['wrong']}"
            )
    raise typer.Exit(any(one["wrong"] for one in result))


@app.command()
def verify(
    store: Folder,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Bundles, segments and answers' manifest.json to check beside the store itself."),
    ] = None,
    torn: Torn = None,
    secret: Secret = None,
    json_file: Json = None,
) -> None:
    """Checks keys, dates, log, register, bundles, segments and answers, without showing a record.

    Exit 1 where something is wrong.
    """
    with _one_line():
        custodian = _open(store, secret)
        rows = [{"what": "store", "wrong": "; ".join([*custodian.verify(), *register.wrong(custodian)])}]
        for path in files or ():
            if bounded(path, LIMIT)[:4] == b"OUBL":
                said = opened(custodian, path, set(torn or ()))
                rows.append(
                    {
                        "what": f"{path.name}, {said['purpose']} of {said['day']}, {said['records']} records",
                        "wrong": said["wrong"],
                    }
                )
            elif path.name == signed_folder.MANIFEST:
                rows.append({"what": f"{path}", "wrong": _answer_wrong(path, custodian)})
            else:
                rows.append({"what": path.name, "wrong": _bundle_wrong(path, custodian.signing.verify_key)})
    if json_file:
        _program.write(json.dumps({"checked": rows}, indent=1) + "\n", json_file)
    else:
        table = Table("checked", "wrong", box=None)
        for row in rows:
            table.add_row(row["what"], row["wrong"] or "nothing")
        Console(highlight=False, markup=False).print(table)
    raise typer.Exit(any(row["wrong"] for row in rows))


def _answer_wrong(path: Path, custodian: Store) -> str:
    """Return what is wrong with an answer's or invoice's manifest: not signed, or not in the register."""
    try:
        data = bounded(path, SECRET * 64)
        custodian.signing.verify_key.verify(data, bytes.fromhex(path.with_suffix(".sig").read_text()))
        head = json.loads(data)["register"]
        found = register.has(custodian, head)
    except (BadSignatureError, ValueError, KeyError, TypeError):
        return "this store hasn't signed it, or it was changed since"
    except HandoverError as failure:
        return str(failure)
    return "" if found else "the register doesn't have its entry: register and log were cut, or made anew"


def _bundle_wrong(path: Path, key: VerifyKey) -> str:
    try:
        made, rows = bundles.read(bounded(path, LIMIT), key)
    except bundles.BundleError as failure:
        return str(failure)
    late = [row for row in rows if (row.day - made).days > AHEAD]
    return f"{len(late)} rows more than {AHEAD} days ahead" if late else ""


request_commands.add(app, _program, passphrase)
invoice_commands.add(app, _program, passphrase)

if __name__ == "__main__":
    app()
