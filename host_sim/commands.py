# SPDX-License-Identifier: Apache-2.0
"""What the host's commands share: every mistake is one line on standard error that begins with the command's name, exit 2."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup


class Program:
    """One command by its name, such as oubli-sim."""

    def __init__(self, name: str) -> None:
        self.name = name
        program = self

        class OneLine(TyperGroup):
            """The verbs, with every mistake of the command line told in one line (typer's own way is a box)."""

            def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (handed on as they are)
                """Run a verb and exit."""
                try:
                    status = super().main(*args, **{**kwargs, "prog_name": program.name, "standalone_mode": False})
                except typer.TyperException as failure:
                    command = getattr(getattr(failure, "ctx", None), "command_path", program.name)
                    program.tell(f"{failure.format_message().rstrip('.')}; accepted: what {command} --help says")
                    status = 2
                sys.exit(status)

        self.group = OneLine

    def tell(self, text: str) -> None:
        """Say one line on standard error."""
        typer.echo(text if text.startswith(f"{self.name}: ") else f"{self.name}: {text}", err=True)

    def refuse(self, text: str, status: int = 2) -> NoReturn:
        """Say why not, and end."""
        self.tell(text)
        raise typer.Exit(status)

    def reserve(self, option: str, target: str | None) -> None:
        """Say before a long run, not after it, that what an option asks for can't be written."""
        if target in {None, "-"} and (target is None or option == "--json"):
            return
        path = Path(str(target))
        try:
            new = not path.exists()
            path.open("ab").close()
            if new:
                path.unlink()  # nothing half-written where the run fails
        except OSError as failure:
            accepted = "a file, or -" if option == "--json" else "a file"
            self.refuse(f"{option}: {target}: can't be written ({failure.strerror}); accepted: {accepted}")

    def write(self, text: str, target: str) -> None:
        """Write what `--json` asks for; `-` is standard output."""
        if target == "-":
            typer.echo(text, nl=False)
            return
        try:
            Path(target).write_text(text)
        except OSError as failure:
            self.refuse(f"--json: {target}: can't be written ({failure.strerror}); accepted: a file, or -")
