# SPDX-License-Identifier: Apache-2.0
"""`oubli-image`: lays out what OpenWrt's image builder takes (packages, overlay, list) and calls it, or says what to call.

The package goes into the builder's own packages folder, where it finds local ones; the overlay `files/` is an operator's: her
configuration, her broker's CA. Bad input: exit 2, one line.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from agent import BUILT
from agent.config import ConfigError
from agent.config import load as load_config
from host_sim.commands import Program
from tools.package import apk, ipk
from tools.package.board import BoardError, load
from tools.package.contents import CONFIG, BuildError, check_size, control, files

_program = Program("oubli-image")

app = typer.Typer(
    cls=_program.group,
    help="Prepares an image with oubli for a board and builds it with OpenWrt's image builder.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
# The default packages stay; these are added. LuCI's own page comes with the package, LuCI itself is the operator's choice.
PACKAGES = ("oubli",)


def words(board_profile: str, overlay: Path) -> list[str]:
    """Return the words of make that build the image."""
    return ["make", "image", f"PROFILE={board_profile}", f"PACKAGES={' '.join(PACKAGES)}", f"FILES={overlay.resolve()}"]


def _form(builder: Path | None) -> str:
    """Return which format a builder takes: apk where it has apk (OpenWrt 25 and later), else ipk."""
    return "ipk" if builder is not None and not (builder / "staging_dir/host/bin/apk").exists() else "apk"


@app.callback(invoke_without_command=True)
def image(
    board: Annotated[str, typer.Option(metavar="BOARD", help="A board's name (see: oubli-package boards).")],
    builder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An unpacked image builder; without it, what to run is printed.")
    ] = None,
    configuration: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The operator's /etc/config/oubli, put into the image.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to lay out what the builder takes.")] = Path("image"),
) -> None:
    """Prepare files and packages for a board's image, and build it where a builder is given."""
    try:
        item = load(board)
        when = int(os.environ.get("SOURCE_DATE_EPOCH", BUILT))
        content = files(item, when)
        check_size(item, content)
    except (BoardError, BuildError) as failure:
        _program.refuse(str(failure))
    except ValueError:
        _program.refuse("SOURCE_DATE_EPOCH: isn't understood; accepted: seconds since the epoch")
    if builder is not None and not (builder / "Makefile").exists():
        _program.refuse(f"--builder: {builder}: no image builder there (no Makefile); accepted: an unpacked one")
    if configuration is not None:
        try:
            load_config(str(configuration))
        except ConfigError as failure:
            _program.refuse(f"--config: {failure}")
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
                (place / room.file_name(item)).write_bytes(room.build(item, content, when))
    except OSError as failure:
        _program.refuse(f"{failure.filename}: {failure.strerror}; accepted: a folder that can be written")
    command = words(target["profile"], overlay)
    if builder is None:
        about = control(item)
        typer.echo(f"# {item.data['name']}: an image builder for {target['target']}/{target['subtarget']}, then in its folder:")
        typer.echo(f"cp {shlex.quote(str((out / 'packages').resolve()))}/oubli* packages/")
        typer.echo(shlex.join(command))
        typer.echo(f"# from the feeds: {about['depends']}")
        return
    raise typer.Exit(subprocess.run(command, cwd=builder, check=False).returncode)


if __name__ == "__main__":
    app()
