# SPDX-License-Identifier: Apache-2.0
"""The README's section on speed: written by `oubli-bench all --readme` from the figures of that run, which are kept in figures.json."""

import json
from pathlib import Path
from typing import Any

from host_sim.interpreters import ROOT
from tools.bench import everything

README = ROOT / "README.md"
KEPT = Path(__file__).parent / "figures.json"
BEGIN = "<!-- oubli-bench all --readme writes from here on, out of tools/bench/figures.json -->"
END = "<!-- until here -->"
ROOMS = ("capture", "memory", "store", "instructions", "scale", "dump", "sim", "deliver")


def section(result: dict[str, Any]) -> str:
    """Return the section for these figures, both marks included."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {said}" for name, said in machine["versions"].items() if name in ("cpython", "micropython", "ulogd2"))
    about = f"`{result['command']} --readme` on {result['date']}: {machine['processor']}, {machine['cores']} cores"
    about += f", Linux {machine['kernel']}, load {machine['load'][0]} (a machine that does nothing else has none at the start); {versions}."
    parts = [about, *(sheet.markdown() for sheet in everything.sheets(result, ROOMS))]
    return f"{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}"


def rewritten(text: str, result: dict[str, Any]) -> str:
    """Return the README's text with these figures; RuntimeError where it has no place for them."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"README.md has no lines {BEGIN!r} and {END!r}")
    return head + section(result) + tail


def write(result: dict[str, Any]) -> None:
    """Keep the figures and write them into the README."""
    text = rewritten(README.read_text(), result)
    KEPT.write_text(json.dumps(result, indent=1) + "\n")
    README.write_text(text)
