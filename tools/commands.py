# SPDX-License-Identifier: Apache-2.0
"""What the host's commands share: a mistake is one line on standard error with the command's name, exit 2.

Ended from outside, by SIGINT, SIGTERM or SIGHUP, a command still ends what it
started, and removes what it made: exit 130.
"""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from agent import VERSION

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class OutputError(Exception):
    """What is asked for can't be written; `args[0]` is the one line to show."""


def output(option: str, metavar: str, text: str) -> Any:  # noqa: ANN401 (typer's own)
    """Return an option that names what is written, a FILE or a folder: refused before anything is done, not after it.

    `-` is standard output where it is --json.
    """

    def check(target: str | Path | None) -> str | Path | None:
        if target is None or (target == "-" and option == "--json"):
            return target
        if metavar != "DIR" and not Path(target).name:
            raise OutputError(f"{option}: {target!s}: names no file; accepted: a file that can be made")
        if str(target) == "-":
            raise OutputError(
                f"{option}: -: isn't standard output here; accepted: a {'folder' if metavar == 'DIR' else 'file'}"
            )
        if metavar.startswith("FILE"):
            _try(option, Path(target))
        return target

    return typer.Option(option, metavar=metavar, help=text, callback=check)


def _try(option: str, path: Path) -> None:
    if path.is_fifo():
        return  # who reads there would take this for the end
    try:
        new = not path.exists()
        path.open("ab").close()
        if new:
            path.unlink()  # nothing half-written where the run fails
    except OSError as failure:
        raise _unwritable(option, path, failure) from None


def _unwritable(option: str, target: str | Path, failure: OSError) -> OutputError:
    accepted = "a file, or -" if option == "--json" else "a file"
    return OutputError(f"{option}: {target}: can't be written ({failure.strerror}); accepted: {accepted}")


def bounded(path: Path, limit: int) -> bytes:
    """Return what a file or pipe holds; OSError for more than `limit` octets, of which one more is read at most."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


class Program:
    """One command by its name, such as oubli-sim: `group` for one that has verbs, `command` for one without."""

    def __init__(self, name: str) -> None:
        self.name = name
        program = self

        class Group(TyperGroup):
            """The verbs, with every mistake of the command line told in one line (typer's own way is a box)."""

            def __init__(self, **how: Any) -> None:  # noqa: ANN401 (typer's own)
                super().__init__(**how | {"epilog": "--version: which one this is."})

            def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (handed on as they are)
                """Run a verb and exit."""
                program.run(super().main, *args, **kwargs)

        class Command(TyperCommand):
            """The same for a command without verbs."""

            def __init__(self, *args: Any, **how: Any) -> None:  # noqa: ANN401 (typer's own)
                super().__init__(*args, **how | {"epilog": "--version: which one this is."})

            def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (handed on as they are)
                """Run it and exit."""
                program.run(super().main, *args, **kwargs)

        self.group, self.command = Group, Command

    # Handed on as they are
    def run(self, main: Callable[..., Any], *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401
        """Run what typer makes of the command line, and exit."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, signal.default_int_handler)
        words = kwargs.get("args") or next(iter(args), None) or sys.argv[1:]
        if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be any octets
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            if list(words) == ["--version"]:
                typer.echo(f"{self.name} {VERSION}")
                sys.exit(0)
            status = main(*args, **{**kwargs, "prog_name": self.name, "standalone_mode": False})
            if sys.stdout is not None:  # None: it was closed before we began
                sys.stdout.flush()
        except typer.TyperException as failure:
            command = getattr(getattr(failure, "ctx", None), "command_path", self.name)
            self.tell(f"{failure.format_message().rstrip('.')}; accepted: what {command} --help says")
            status = 2
        except typer.Abort:
            self.tell("nothing was typed; accepted: what was asked for")
            status = 2
        except OutputError as failure:
            self.tell(str(failure))
            status = 2
        except OSError as failure:
            self.tell(
                f"{failure.filename or 'standard output, or a file beside it'}: {failure.strerror}; accepted: "
                "one that can be used"
            )
            status = 2
            if failure.filename is None:
                # What waits goes there: Python tries again when it ends, in its own words
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(status)

    def tell(self, text: str) -> None:
        """Say one line on standard error."""
        typer.echo(text if text.startswith(f"{self.name}: ") else f"{self.name}: {text}", err=True)

    def refuse(self, text: str, status: int = 2) -> NoReturn:
        """Say why not, and end."""
        self.tell(text)
        raise typer.Exit(status)

    def write(self, text: str, target: str, option: str = "--json") -> None:
        """Write what an option asks for, all of it or nothing; `-` is standard output where it is --json."""
        if target == "-" and option == "--json":
            typer.echo(text, nl=False)
            return
        path = Path(target)
        try:
            with path.open("w", encoding="utf-8") as file:
                try:
                    file.write(text)
                    file.flush()
                except BaseException:
                    if path.is_file():
                        path.unlink()
                    raise
        except OSError as failure:
            raise _unwritable(option, target, failure) from None
