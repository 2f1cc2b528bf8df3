# SPDX-License-Identifier: Apache-2.0
"""What the host's commands share: every mistake is one line on standard error that begins with the command's name, exit 2.

Ended from outside, by SIGINT, SIGTERM or SIGHUP, a command still ends what it started, and removes what it made: exit 130.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Program:
    """One command by its name, such as oubli-sim: `group` is for one that has verbs, `command` for one that has none."""

    def __init__(self, name: str) -> None:
        self.name = name
        program = self

        class Group(TyperGroup):
            """The verbs, with every mistake of the command line told in one line (typer's own way is a box)."""

            def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (handed on as they are)
                """Run a verb and exit."""
                program.run(super().main, *args, **kwargs)

        class Command(TyperCommand):
            """The same for a command without verbs."""

            def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (handed on as they are)
                """Run it and exit."""
                program.run(super().main, *args, **kwargs)

        self.group, self.command = Group, Command

    def run(self, main: Callable[..., Any], *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (handed on as they are)
        """Run what typer makes of the command line, and exit."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, signal.default_int_handler)
        try:
            status = main(*args, **{**kwargs, "prog_name": self.name, "standalone_mode": False})
            sys.stdout.flush()
        except typer.TyperException as failure:
            command = getattr(getattr(failure, "ctx", None), "command_path", self.name)
            self.tell(f"{failure.format_message().rstrip('.')}; accepted: what {command} --help says")
            status = 2
        except typer.Abort:
            self.tell("nothing was typed; accepted: what was asked for")
            status = 2
        except OSError as failure:
            self.tell(f"{failure.filename or 'standard output, or a file beside it'}: {failure.strerror}; accepted: one that can be used")
            status = 2
            if failure.filename is None:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what waits goes there: Python tries again when it ends, in its own words
        sys.exit(status)

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
            self._refuse(option, str(target), failure)

    def write(self, text: str, target: str, option: str = "--json") -> None:
        """Write what an option asks for, all of it or nothing; `-` is standard output where it is --json."""
        if target == "-" and option == "--json":
            typer.echo(text, nl=False)
            return
        path = Path(target)
        try:
            with path.open("w") as file:
                try:
                    file.write(text)
                    file.flush()
                except OSError:
                    if path.is_file():
                        path.unlink()
                    raise
        except OSError as failure:
            self._refuse(option, target, failure)

    def _refuse(self, option: str, target: str, failure: OSError) -> NoReturn:
        accepted = "a file, or -" if option == "--json" else "a file"
        self.refuse(f"{option}: {target}: can't be written ({failure.strerror}); accepted: {accepted}")
