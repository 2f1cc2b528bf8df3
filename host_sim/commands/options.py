# SPDX-License-Identifier: Apache-2.0
"""What several verbs of `oubli-sim` have: the program, its options, the console that figures are kept out of."""

from typing import Annotated

import typer
from rich.console import Console

from tools.commands import Program, output

WIDTH = 100  # columns, at most: what is printed is read in a page too
PROGRAM = Program("oubli-sim")
Interpreter = Annotated[
    str, typer.Option(help="cpython, micropython, or a command line such as 'qemu-mips -L DIR micropython'.")
]
Json = Annotated[str | None, output("--json", "FILE", "Write the figures as JSON; - is standard output.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same world.")]
Days = Annotated[int | None, typer.Option(min=1, max=400, help="Days with people; the scenario's own by default.")]
Record = Annotated[str | None, output("--record", "FILE.bin", "Keep the kernel's datagrams, for `replay`.")]
Report = Annotated[str | None, output("--report", "FILE.html", "Write a page with plots that needs no network.")]


def console(json_file: str | None) -> Console:
    """Return the console to print on: standard error where the figures go to standard output."""
    made = Console(stderr=json_file == "-")
    made.width = min(made.width, WIDTH) if made.is_terminal else WIDTH
    return made
