# SPDX-License-Identifier: Apache-2.0
"""Which program runs the agent: CPython, MicroPython, or any command line that ends in one of them (an emulator's)."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, cast

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("cpython", "micropython")
HEAP = "576K"  # what a small router can give; MicroPython's own default is 1 MiB on 32 bits, 2 MiB on 64
MORE = "1M"  # the same, with the package oubli-purposes (/etc/init.d/oubli)
# Before a program's words: the kernel ends it when the thread that started it is gone
WITH_US = ("setpriv", "--pdeathsig", "KILL")


class NoInterpreterError(Exception):
    """The interpreter asked for isn't on this machine; the text is one line for the person who asked."""


def command(interpreter: str, heap: str = HEAP) -> list[str]:
    """Return the words that start an interpreter: a name of NAMES, or a line such as 'qemu-mips -L DIR micropython'."""
    if interpreter == "cpython":
        return [sys.executable]
    try:
        words = ["micropython", "-X", f"heapsize={heap}"] if interpreter == "micropython" else shlex.split(interpreter)
    except ValueError:  # a quote left open
        words = []
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise NoInterpreterError(
            f"--interpreter: {interpreter!r} isn't on this machine; accepted: {', '.join(NAMES)}, or a command line"
        )
    return [str(Path(found).absolute()), *words[1:]]


def byteorder(interpreter: str) -> Literal["little", "big"]:
    """Return the byte order of the processor, real or emulated, that an interpreter runs on."""
    words = [*command(interpreter), "-c", "import sys; print(sys.byteorder)"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    if said not in {"big", "little"}:
        raise NoInterpreterError(
            f"--interpreter: {interpreter!r} runs no Python; accepted: {', '.join(NAMES)}, or a command line"
        )
    return cast("Literal['big', 'little']", said)


def environment(root: Path = ROOT) -> dict[str, str]:
    """Return an environment in which both interpreters find `agent` and `host_sim` below `root`, without caches."""
    paths = {
        "PYTHONPATH": str(root),
        "MICROPYPATH": f"{root}:.frozen:/usr/lib/micropython",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**os.environ, **paths}
