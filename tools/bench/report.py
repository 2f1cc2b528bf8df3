# SPDX-License-Identifier: Apache-2.0
"""`--report`: all figures as one page with plots that loads nothing: tables, SVG elements, each said in a sentence."""

from pathlib import Path
from typing import Any

from tools import pages
from tools.bench import aims, everything
from tools.bench.rounds import spread_sheets


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    return pages.render(
        Path(__file__).parent,
        "measured.html",
        title="oubli, measured",
        date=result["date"],
        command=result["command"],
        machine=result["machine"],
        aims=aims.sheet(result) if aims.aims(result) else None,
        modules=[one for module in everything.BENCHMARKS if (one := _module(module, result))],
    )


def _module(module: everything.Benchmark, result: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the page shows of one module: its figures, or why it has none; None where it wasn't asked for."""
    if why := result["failed"].get(module.name) or ", ".join(result["skipped"].get(module.name, ())):
        return {"name": module.name, "why": why, "charts": [], "sheets": []}
    if module.name not in result["benchmarks"]:
        return None
    mine = result["benchmarks"][module.name]
    return {
        "name": module.name,
        "why": "",
        "charts": module.charts(mine),
        "sheets": [*module.sheets(mine), *spread_sheets(mine)],
    }
