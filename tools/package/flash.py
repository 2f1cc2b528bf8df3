# SPDX-License-Identifier: Apache-2.0
"""The agent as it is flashed for MicroPython: each module compiled by mpy-cross, keeping its name and line numbers.

`python3 -m tools.package.flash` is for an OpenWrt tree (boards/openwrt/Makefile):
nothing but the standard library is needed.
"""

import argparse
import io
import itertools
import re
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from pathlib import Path

AGENT = Path(__file__).resolve().parent.parent.parent / "agent"
# What only CPython imports.
LEFT_OUT = ("runtime/cpython.py", "forwarder/mqtt_paho.py")
# Small integers of 31 bits load on 32-bit and 64-bit processors alike; -O2 leaves
# out assertions and keeps line numbers.
MPY_CROSS = ("-O2", "-msmall-int-bits=31")
# What only type checkers read, at the end of a module.
TYPES = re.compile(r"(?m)^TYPE_CHECKING = False\nif TYPE_CHECKING:\n(?:(?: .*)?\n)*")

# Numbers of a module: one name, or some in a line. Those whose names begin with an underscore are its own.
_NUMBER = "(?:0x[0-9A-F]+|[0-9]+)"
_VALUE = f"-?{_NUMBER}(?: (?:<<|[*]) {_NUMBER})?"
NUMBERS = re.compile(rf"(?m)^([A-Z0-9_]+(?:, [A-Z0-9_]+)*) = ({_VALUE}(?:, {_VALUE})*)(?=$|  #)")
NAMES = re.compile(r"\b[A-Z][A-Z0-9_]*\b")


class CompileError(Exception):
    """What mpy-cross refused; its text says which module, and why."""


def sources(built: int) -> "dict[str, str]":
    """Return the text of each module that a device has, by its path below the library's folder: agent/runtime/libc.py.

    `built`, in seconds since the epoch, is the date that a device without a clock knows to be over (EXP-5).
    """
    found: dict[str, str] = {}
    for path in sorted(AGENT.rglob("*.py")):
        name = path.relative_to(AGENT).as_posix()
        if name not in LEFT_OUT:
            found["agent/" + name] = TYPES.sub("", path.read_text(encoding="utf-8"))
    names = Counter(name for text in found.values() for name in set(NAMES.findall(text)))
    shared = {name for name, modules in names.items() if modules > 1}
    found = {name: numbers_in_place(named_as_own(text, shared)) for name, text in found.items()}
    found["agent/__init__.py"] = re.sub(r"(?m)^BUILT = 0 .*$", f"BUILT = {built}", found["agent/__init__.py"])
    return found


def named_as_own(text: str, shared: "set[str]") -> str:
    """Return a module's text, in which numbers that no other module names are its own; `shared` are the others' names.

    But for one that is named in a string, or that something else is called like.
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    strings = set(NAMES.findall(" ".join(token.string for token in tokens if token.type == tokenize.STRING)))
    attributes = {after.string for before, after in itertools.pairwise(tokens) if before.string == "."}
    given = {name for found in NUMBERS.finditer(text) for name in found[1].split(", ") if name[0] != "_"}
    own = {name for name in given - shared - strings - attributes if "_" + name not in text}
    lines = text.splitlines(keepends=True)
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string in own:
            (row, begin), (_, end) = token.start, token.end
            lines[row - 1] = lines[row - 1][:begin] + "_" + lines[row - 1][begin:end] + lines[row - 1][end:]
    return "".join(lines)


def numbers_in_place(text: str) -> str:
    """Return a module's text, of whose own numbers the compiler puts each where it is used: no name of them is left.

    But for one that is used above the line that gives it: the compiler reads once, and would look for its name.
    """

    def put(found: "re.Match[str]") -> str:
        names, numbers = (part.split(", ") for part in found.groups())
        used = any(re.search(rf"\b{name}\b", text[: found.start()]) for name in names)
        if used or len(names) != len(numbers):
            return found[0]
        each = zip(names, numbers, strict=True)
        return "; ".join(
            f"{name} = const({number})" if name[0] == "_" else f"{name} = {number}" for name, number in each
        )

    return NUMBERS.sub(put, text)


def compiled(mpy_cross: str, name: str, text: str) -> bytes:
    """Return a module's .mpy, which calls it `name` in a traceback; CompileError with the compiler's last line."""
    with tempfile.TemporaryDirectory() as folder:
        written, out = Path(folder, "source.py"), Path(folder, "out.mpy")
        written.write_text(text, encoding="utf-8")
        words = [mpy_cross, *MPY_CROSS, "-s", name, "-o", str(out), str(written)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompileError(f"{name}: mpy-cross: {done.stderr.strip().splitlines()[-1]}")
        return out.read_bytes()


def files(built: int, mpy_cross: str, others: "dict[str, str] | None" = None) -> "dict[str, bytes]":
    """Return the files below the library's folder, by path there; `others` are texts for modules' own."""
    texts = sources(built) | (others or {})
    return {name.removesuffix(".py") + ".mpy": compiled(mpy_cross, name, text) for name, text in texts.items()}


def main() -> None:
    """Write the files of `files` to a folder."""
    parser = argparse.ArgumentParser(prog="tools.package.flash", description=main.__doc__)
    parser.add_argument("--mpy-cross", required=True, metavar="FILE")
    parser.add_argument("--built", type=int, default=0, metavar="SECONDS", help="since the epoch")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    try:
        made = files(given.built, given.mpy_cross)
        for name, octets in made.items():
            path = given.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
    except (CompileError, OSError) as failure:
        sys.exit(f"{parser.prog}: {failure}")


if __name__ == "__main__":
    main()
