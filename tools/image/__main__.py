# SPDX-License-Identifier: Apache-2.0
"""`oubli-image`: lays out what OpenWrt's image builder takes (packages, overlay, list) and calls it, or says how.

The package goes into the builder's own packages folder, where it finds local ones; the overlay `files/` is an
operator's: her configuration, her broker's CA. Bad input: exit 2, one line.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from agent import BUILT
from agent.config.config import load as load_config
from agent.config.reader import ConfigError
from tools.commands import Program, output
from tools.package import apk, ipk
from tools.package.board import BoardError, load
from tools.package.contents import BuildError, check_size, cut, files
from tools.package.packages import CONFIG, PACKAGES, Package

_program = Program("oubli-image")

app = typer.Typer(
    cls=_program.group,
    help="Prepares an image with oubli for a board and builds it with OpenWrt's image builder.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
FURTHER = [package.name for package in PACKAGES[1:]]


def words(board_profile: str, packages: list[str], overlay: Path) -> list[str]:
    """Return the words of make that build the image; the default packages stay, these are added."""
    return ["make", "image", f"PROFILE={board_profile}", f"PACKAGES={' '.join(packages)}", f"FILES={overlay.resolve()}"]


def _form(builder: Path | None) -> str:
    """Return which format a builder takes: apk where it has apk (OpenWrt 25 and later), else ipk."""
    return "ipk" if builder is not None and not (builder / "staging_dir/host/bin/apk").exists() else "apk"


def _chosen(add: list[str], configuration: Path | None) -> list[Package]:
    """Return the packages of the image: those that were asked for, and what the configuration needs."""
    names = {PACKAGES[0].name, *add}
    for name in add:
        if name not in FURTHER:
            _program.refuse(f"--add: {name!r} unknown; accepted: {', '.join(FURTHER)}")
    if configuration is not None:
        try:
            if set(load_config(str(configuration)).purposes) - {"security"}:
                names.add(FURTHER[0])
        except ConfigError as failure:
            _program.refuse(f"--config: {failure}")
    return [package for package in PACKAGES if package.name in names]


@app.callback(invoke_without_command=True)
def image(
    board: Annotated[str, typer.Option(metavar="BOARD", help="A board's name (see: oubli-package boards).")],
    builder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An unpacked image builder; without it, what to run is printed.")
    ] = None,
    configuration: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The operator's /etc/config/oubli, put into the image."),
    ] = None,
    out: Annotated[Path, output("--out", "DIR", "Where to lay out what the builder takes.")] = Path("image"),
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"{' or '.join(FURTHER)}; the first comes by itself where --config turns such a purpose on.",
        ),
    ] = None,
) -> None:
    """Prepare files and packages for a board's image, and build it where a builder is given."""
    try:
        item = load(board)
        when = int(os.environ.get("SOURCE_DATE_EPOCH", BUILT))
        content = cut(files(item, when))
        for package, part in content.items():
            check_size(item, package, part)
    except (BoardError, BuildError) as failure:
        _program.refuse(str(failure))
    except ValueError:
        _program.refuse("SOURCE_DATE_EPOCH: isn't understood; accepted: seconds since the epoch")
    if builder is not None and not (builder / "Makefile").exists():
        _program.refuse(f"--builder: {builder}: no image builder there (no Makefile); accepted: an unpacked one")
    packages = _chosen(add or [], configuration)
    target = item.data["openwrt"]
    forms = {"apk": apk, "ipk": ipk} if builder is None else {_form(builder): {"apk": apk, "ipk": ipk}[_form(builder)]}
    overlay = out / "files"
    try:
        (overlay / "etc/config").mkdir(parents=True, exist_ok=True)
        if configuration is not None:
            shutil.copyfile(configuration, overlay / CONFIG.lstrip("/"))
        places = [out / "packages"] if builder is None else [builder / "packages"]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            for room in forms.values():
                for package in packages:
                    (place / room.file_name(item, package)).write_bytes(
                        room.build(item, package, content[package], when)
                    )
    except OSError as failure:
        _program.refuse(f"{failure.filename}: {failure.strerror}; accepted: a folder that can be written")
    command = words(target["profile"], [package.name for package in packages], overlay)
    if builder is None:
        typer.echo(
            f"# {item.data['name']}: an image builder for {target['target']}/{target['subtarget']}, then in its folder:"
        )
        typer.echo(f"cp {shlex.quote(str((out / 'packages').resolve()))}/* packages/")
        typer.echo(shlex.join(command))
        feeds = [name for package in packages for name, version in package.needs() if not version]
        typer.echo(f"# from the feeds: {' '.join(feeds)}")
        return
    raise typer.Exit(subprocess.run(command, cwd=builder, check=False).returncode)


if __name__ == "__main__":
    app()
