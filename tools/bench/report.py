# SPDX-License-Identifier: Apache-2.0
"""`--report`: all figures as one page with plots that loads nothing: tables, SVG elements, each said in a sentence."""

from html import escape
from typing import Any

from tools.bench import aims, everything
from tools.bench.rounds import spread_sheets

_CSS = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:1rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "svg{width:100%;height:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}figcaption{color:#444}"
    "td,th{text-align:left;padding:.15rem .5rem;border-bottom:1px solid #ddd;vertical-align:top}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}h2{margin-top:2.5rem}"
)


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {said}" for name, said in machine["versions"].items())
    about = (
        f"<h1>oubli, measured on {escape(result['date'])}</h1><p>{escape(result['command'])} on {escape(machine['processor'])}, "
        f"{machine['cores']} cores, Linux {escape(machine['kernel'])}, load {machine['load'][0]}; {escape(versions)}</p>"
    )
    parts = [about]
    if aims.aims(result):
        parts.append(aims.sheet(result).html())
    for room in everything.ROOMS:
        why = result["failed"].get(room.name) or ", ".join(result["skipped"].get(room.name, ()))
        if why:
            parts.append(f"<h2>{room.name}</h2><p>not measured: {escape(why)}</p>")
        elif room.name in result["rooms"]:
            mine = result["rooms"][room.name]
            charts = "".join(f"<figure>{one.svg}<figcaption>{escape(one.sentence)}</figcaption></figure>" for one in room.charts(mine))
            tables = "".join(sheet.html() for sheet in (*room.sheets(mine), *spread_sheets(mine)))
            parts.append(f"<h2>{room.name}</h2>{charts}{tables}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>oubli, measured</title><link rel="icon" href="data:,"><style>{_CSS}</style></head><body>{"".join(parts)}</body></html>\n'
    )
