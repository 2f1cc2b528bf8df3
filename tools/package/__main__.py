# SPDX-License-Identifier: Apache-2.0
"""`oubli-package`: boards, packages, feeds.

Bad input: exit 2, one line; a package over its budget: the five largest files too.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agent import BUILT
from tools.commands import Program, output
from tools.package import apk, feed, ipk, signing
from tools.package.board import Board, BoardError, load, names
from tools.package.contents import BuildError, above, agent_sizes, by_folder, check_size, cut, files, measured

_program = Program("oubli-package")

app = typer.Typer(
    cls=_program.group,
    help="Builds what is flashed: packages for OpenWrt's opkg and apk, and their feed.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
FORMATS = {"ipk": ipk, "apk": apk}
Json = Annotated[str | None, output("--json", "FILE", "Write it as JSON; - is standard output.")]
Keys = Annotated[Path | None, typer.Option("--keys", metavar="DIR", help="Folder with the feed's keys (see: keys).")]


@app.callback()
def main() -> None:
    """Builds what is flashed: packages for OpenWrt's opkg and apk, and their feed."""


def _when() -> int:
    """Return the time that every file of a package bears: SOURCE_DATE_EPOCH, else the version's own."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit()):
        _program.refuse(f"SOURCE_DATE_EPOCH: {text!r} isn't understood; accepted: seconds since the epoch")
    return int(text) if text else BUILT


def _board(name: str) -> Board:
    try:
        return load(name)
    except BoardError as failure:
        _program.refuse(str(failure))


@app.command()
def boards(json_file: Json = None) -> None:
    """List the boards and what they have."""
    rows = {name: _board(name).data for name in names()}
    if json_file:
        _program.write(json.dumps(rows, indent=1) + "\n", json_file)
        return
    table = Table("board", "device", "architecture", "order", "RAM MiB", "flash", "clock", box=None, pad_edge=False)
    for name, row in rows.items():
        flash = f"{row['flash']['size_mib']} MiB {row['flash']['kind']}"
        clock = "hardware" if row["clock"]["hardware"] else "network"
        order = row["processor"]["endianness"]
        table.add_row(
            name, row["name"], row["openwrt"]["architecture"], order, str(row["memory"]["ram_mib"]), flash, clock
        )
    console = Console()
    console.width = max(console.width, 130)
    console.print(table)


@app.command()
def build(
    board: Annotated[list[str], typer.Option(metavar="BOARD", help="A board's name, or all; may be given again.")],
    form: Annotated[list[str], typer.Option("--format", metavar="ipk|apk", help="What to build; may be given again.")],
    out: Annotated[Path, output("--out", "DIR", "Where to; a folder a board.")] = Path("packages"),
    keys: Keys = None,
    json_file: Json = None,
) -> None:
    """Build packages; without keys the same octets each time (an apk's own signature differs)."""
    for name in form:
        if name not in FORMATS:
            _program.refuse(f"--format: {name!r} unknown; accepted: {', '.join(FORMATS)}")
    chosen = [_board(name) for name in (names() if board == ["all"] else board)]
    when, rows = _when(), []
    try:
        key = signing.apk_key(keys) if keys else None
        for item in chosen:
            for package, content in cut(files(item, when)).items():
                sizes = check_size(item, package, content) | {"agent": agent_sizes(content)}
                for name in form:
                    made = (
                        ipk.build(item, package, content, when)
                        if name == "ipk"
                        else apk.build(item, package, content, when, key)
                    )
                    about = {"board": item.key, "package": package.name, "format": name}
                    rows.append(about | _keep(out / item.key / FORMATS[name].file_name(item, package), made) | sizes)
    except (BuildError, signing.KeyFileError) as failure:
        _program.refuse(str(failure))
    _show(rows, json_file)


def _keep(path: Path, data: bytes) -> dict[str, Any]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(data)
        part.replace(path)
    except OSError as failure:
        _program.refuse(f"--out: {path}: can't be written ({failure.strerror}); accepted: a folder")
    return {"file": str(path), "bytes": len(data)}


def _show(rows: list[dict[str, Any]], json_file: str | None) -> None:
    if json_file:
        _program.write(json.dumps({"rows": rows}, indent=1) + "\n", json_file)
    if json_file != "-":
        table = Table(
            "board", "file", "bytes", "installed", "of at most", "in an image", "of at most", box=None, pad_edge=False
        )
        for row in rows:
            figures = ("bytes", "installed", "budget", "in_image", "image_budget")
            table.add_row(row["board"], row["file"], *(f"{row[name]:,}" for name in figures))
        console = Console()
        console.width = max(console.width, 130)
        console.print(table)
        for name, source, packaged in sorted(
            {(row["package"], row["agent"]["source"], row["agent"]["packaged"]) for row in rows}
        ):
            if source:
                console.print(
                    f"the agent in {name}: {source:,} bytes of source, {packaged:,} packaged", highlight=False
                )


@app.command()
def sizes(
    board: Annotated[str, typer.Option(metavar="BOARD", help="A board's name.")] = "gl-mt300n-v2",
    json_file: Json = None,
) -> None:
    """Show what each package takes, folder by folder of the agent, as files and in an image; scripts and the rest.

    What is above a board's budget is said after the table, with exit code 2.
    """
    item, rows, refused = _board(board), [], []
    try:
        for package, content in cut(files(item, _when())).items():
            most = measured(item, package, content)
            refused += [said] if (said := above(item, package, content, most)) else []
            whole = {
                "folder": "in all",
                "files": len(content),
                "source": agent_sizes(content)["source"],
                "packaged": most["installed"],
                **most,
            }
            rows += [{"package": package.name, **row} for row in (*by_folder(content), whole)]
    except BuildError as failure:
        _program.refuse(str(failure))
    if json_file:
        _program.write(json.dumps({"board": board, "rows": rows}, indent=1) + "\n", json_file)
    if json_file != "-":
        _show_sizes(rows)
    if refused:
        _program.refuse("\n".join(refused))


def _show_sizes(rows: list[dict[str, Any]]) -> None:
    columns = ("files", "source", "packaged", "budget", "in_image", "image_budget")
    heads = ("files", "source", "packaged", "at most", "in an image", "at most")
    table = Table("package", "folder", *heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row["package"], row["folder"], *("" if not row.get(name) else f"{row[name]:,}" for name in columns)
        )
    console = Console()
    console.width = max(console.width, 130)
    console.print(table)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with packages.")],
    keys: Keys = None,
) -> None:
    """Write the index of a folder's packages: Packages, Packages.gz, Packages.sig; packages.adb."""
    try:
        for path in feed.write(folder, keys):
            typer.echo(path)
    except (feed.FeedError, signing.KeyFileError) as failure:
        _program.refuse(str(failure))
    except OSError as failure:
        _program.refuse(f"{failure.filename}: {failure.strerror}; accepted: a folder that can be written")


@app.command("keys")
def make_keys(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the keys.")]) -> None:
    """Make the keys of a feed, secrets 0600: usign's for opkg, apk's for apk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        signing.make(folder)
    except signing.KeyFileError as failure:
        _program.refuse(str(failure))
    except OSError as failure:
        _program.refuse(f"{folder}: {failure.strerror}; accepted: a folder that can be written")
    typer.echo(
        f"/etc/opkg/keys takes {folder / signing.FEED_PUBLIC}, /etc/apk/keys takes {folder / signing.APK_PUBLIC}"
    )


if __name__ == "__main__":
    app()
