# SPDX-License-Identifier: Apache-2.0
"""The interpreters that the agent runs on: CPython, MicroPython, and MicroPython on big-endian MIPS under qemu-user.

A test that takes the fixture `interpreter` (the first two) or `any_interpreter` (all three) runs once on each. The heap
of MicroPython is stated, because a small router has one of about this size. A small heap is also the faster one.

MicroPython is 1.28, as OpenWrt packages it: what a gateway runs. Debian's 1.25 ("debian"), with which the simulator
runs where no test is, passes the smoke set of test_architectures.py and the tests of TLS: one more run of everything
would take minutes and find nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from host_sim.driver import interpreters as host
from tests.support import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROJECT = host.ROOT
OPENWRT = "micropython-1.28"  # a part of tools/parts.txt, and its folder in .cache, which comes first in PATH
FOREIGN = ("mips", "mipsel", "armhf", "arm64")  # under qemu-user; tools/setup lays them into .cache
# Commands of `oubli` one after the other, each one's output ended by a zero octet
_EACH = """
from agent.__main__ import main
for words in {}:
    assert main(words) == 0
    print("\\0", end="")
"""
HEAP = "576K"
_LARGER = "1M"  # a recorder's with oubli-purposes (/etc/init.d/oubli), and a stage's, which holds every module


@dataclass(frozen=True)
class Interpreter:
    """One interpreter: its name and the words that start it."""

    name: str
    words: tuple[str, ...]

    @property
    def root(self) -> Path:
        """Where it runs: the project, for MicroPython with its agent compiled."""
        return PROJECT if self.name == "cpython" else compiled.project()

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the words that run this interpreter with these arguments."""
        return [*self.words, *map(str, arguments)]

    def larger(self) -> Interpreter:
        """Return it with a larger heap, where its heap is stated."""
        return Interpreter(self.name, tuple(word.replace(HEAP, _LARGER) for word in self.words))

    def run(
        self,
        *arguments: str | Path,
        input: bytes | str | None = None,  # noqa: A002 (the name that subprocess gives it)
        timeout: float = 240,
        check: bool = True,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end in the project and return the output as bytes.

        `run("-m", "agent", "status")` runs a module, `run("-c", text)` a text, `run(path)` a file. `timeout` in
        seconds. With `check`, an exit status other than 0 raises AssertionError with what was written to standard
        error.
        """
        done = subprocess.run(
            self.command(*arguments),
            input=input.encode() if isinstance(input, str) else input if input is not None else b"",
            capture_output=True,
            timeout=timeout,
            check=False,
            cwd=self.root,
            env=host.environment() | (env or {}),
        )
        if check and done.returncode:
            text = (done.stdout[-2000:] + done.stderr[-4000:]).decode(errors="replace")
            message = f"{self.name} {' '.join(map(str, arguments))[:200]}: exit {done.returncode}\n{text}"
            raise AssertionError(message)
        return done

    def oubli(self, *commands: Sequence[object]) -> list[str]:
        """Run commands of `oubli` in one process, whose start is most of what one takes; returns what each printed."""
        done = self.run("-c", _EACH.format([[*map(str, words)] for words in commands]))
        *texts, _ = done.stdout.decode().split("\0")
        return texts


class Remote:
    """An interpreter that goes on running and answers the calls of a stage: one JSON line each way."""

    def __init__(self, interpreter: Interpreter, stage: str = "tests.support.remote") -> None:
        self.name = interpreter.name
        self.process = subprocess.Popen(
            interpreter.larger().command("-m", stage),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=interpreter.root,
            env=host.environment(),
        )

    def __call__(self, call: str, *arguments: object) -> Any:
        """Make one call and return its answer; EOFError where the interpreter ended instead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([call, *arguments]).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError
        return json.loads(answer)

    def close(self) -> int:
        """End the interpreter; returns its exit status (negative: the signal that ended it)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        with suppress(BrokenPipeError):  # it may have ended before
            self.process.stdin.close()
        return self.process.wait(timeout=240)


INTERPRETERS = {
    "cpython": Interpreter("cpython", (sys.executable,)),
    "micropython": Interpreter("micropython", ("micropython", "-X", f"heapsize={HEAP}")),
    "debian": Interpreter("debian", ("/usr/bin/micropython", "-X", f"heapsize={HEAP}")),
    **{
        name: Interpreter(name, (str(PROJECT / ".cache" / name / "micropython"), "-X", f"heapsize={HEAP}"))
        for name in FOREIGN
    },
}
