# SPDX-License-Identifier: Apache-2.0
"""`oubli-fleet watch`: the list of gateways in a terminal, the worst first, renewed while one looks."""

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.fleet import verdicts
from tools.fleet.judgement import BREACH, WARNING, Standing

_LOOKS = {BREACH: ("◆", "bold red"), WARNING: ("▲", "yellow"), "good": ("●", "green")}


def data(now: int) -> list[dict[str, Any]]:
    """Return how every gateway stands, for `--json`."""
    verdicts.renew(now)
    return [
        {
            "gateway": one.gateway.ident,
            "name": one.gateway.name,
            "group": one.gateway.group,
            "grade": one.grade,
            "findings": [finding.kind for finding in one.findings],
            "seen": one.gateway.seen,
            "state": one.gateway.state,
            "version": one.gateway.version,
            "config": one.gateway.config,
            "health": one.gateway.health,
        }
        for one in verdicts.standings(verdicts.listed())
    ]


def shown(now: int, height: int) -> RenderableType:
    """Return the table, cut to so many lines."""
    verdicts.renew(now, verdicts.SOON)
    counts = verdicts.counts()
    head = Text(
        "  ".join(f"{_LOOKS[grade][0]} {counts[grade]} {grade}" for grade in _LOOKS)
        + f"   {time.strftime('%H:%M:%S', time.gmtime(now))} UTC"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "gateway", "seen", "state", "version", "clock", "capture", "keys", "finding"):
        table.add_column(name, no_wrap=name != "finding", overflow="ellipsis")
    room = max(1, height - 4)
    for one in verdicts.standings(verdicts.listed()[:room]):
        table.add_row(*_row(one, now))
    rest = Text(f"and {counts.total() - room} more" if counts.total() > room else "", style="dim")
    return Group(head, table, rest)


def _row(one: Standing, now: int) -> list[Text]:
    mark, style = _LOOKS[one.grade]
    health, days = one.gateway.health, one.days_of_keys
    texts = (
        mark,
        one.gateway.name or one.gateway.ident,
        _age(now - one.gateway.seen) if one.gateway.seen else "never",
        one.state,
        one.gateway.version,
        health.get("clock", ""),
        health.get("capture", ""),
        "" if days is None else f"{days} d",
        "; ".join(finding.text.format(**finding.words) for finding in one.findings),
    )
    return [
        Text("".join(letter if letter.isprintable() else "?" for letter in text), style=style if not place else "")
        for place, text in enumerate(texts)
    ]


def _age(seconds: int) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{max(seconds, 0)} s"
