# SPDX-License-Identifier: Apache-2.0
"""The kept figures: `oubli-bench all --keep` writes figures.json and, out of it, figures.md, which README leads to.

`python -m tools.bench.figures` writes figures.md anew from figures.json, where an aim or a table's form has changed.
"""

import json
from pathlib import Path
from typing import Any

from tools.bench import everything

KEPT = Path(__file__).parent / "figures.json"
PAGE = Path(__file__).parent / "figures.md"
BENCHMARKS = ("capture", "memory", "store", "instructions", "scale", "dump", "sim", "deliver")


def page(result: dict[str, Any]) -> str:
    """Return figures.md for these figures."""
    machine = result["machine"]
    versions = ", ".join(
        f"{name} {said}" for name, said in machine["versions"].items() if name in ("cpython", "micropython", "ulogd2")
    )
    head = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n<!-- Made by tools/bench/figures.py out of figures.json. -->"
    about = f"`{result['command']} --keep` on {result['date']}: {machine['processor']}, {machine['cores']} cores"
    about += (
        f", Linux {machine['kernel']}, load {machine['load'][0]} (a machine that does nothing else has none at "
        f"the start); {versions}."
    )
    return (
        "\n\n".join(
            [
                head,
                "# Figures of one run",
                about,
                *(sheet.markdown() for sheet in everything.sheets(result, BENCHMARKS)),
            ]
        )
        + "\n"
    )


def kept() -> dict[str, Any]:
    """Return the figures that are kept."""
    result: dict[str, Any] = json.loads(KEPT.read_text())
    return result


def write(result: dict[str, Any]) -> None:
    """Keep the figures, the modules' a line each, and write the page."""
    benchmarks = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(figures)}" for name, figures in result["benchmarks"].items()
    )
    others = "".join(
        f",\n {json.dumps(name)}: {json.dumps(value)}" for name, value in result.items() if name != "benchmarks"
    )
    KEPT.write_text(f'{{\n "benchmarks": {{\n{benchmarks}\n }}{others}\n}}\n')
    PAGE.write_text(page(result))


if __name__ == "__main__":
    write(kept())
