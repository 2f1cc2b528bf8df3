# SPDX-License-Identifier: Apache-2.0
"""What the State owes for answered requests, by kind and period, from the register (L34-1 III, last paragraph).

The article has the State bear "les surcoûts identifiables et spécifiques" of what it asks for. So a request that was
refused isn't in it, and neither is one of a party to a bill. Tariffs are the ministry's: no sum of money is worked out
here.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

from rich.table import Table

from tools.custodian.register import REFUSED

STATE = ("judicial", "administrative", "arcom", "anssi")
_BY = ("authority_kind", "basis", "kind", "purpose")


def statement(entries: Iterable[dict[str, Any]], first: date, last: date) -> dict[str, Any]:
    """Return the State's answered requests from `first` to `last` included: how many of each kind, and numbers."""
    mine = [
        one
        for one in entries
        if str(first) <= one["day"] <= str(last) and one["authority_kind"] in STATE and one["result"] != REFUSED
    ]
    counts = Counter(tuple(one[name] for name in _BY) for one in mine)
    told = ("day", *_BY, "authority", "reference", "number")
    return {
        "from": str(first),
        "to": str(last),
        "answered": len(mine),
        "kinds": [dict(zip(_BY, kind, strict=True)) | {"count": count} for kind, count in sorted(counts.items())],
        "requests": [{name: one[name] for name in told} for one in mine],
    }


def table(said: dict[str, Any]) -> Table:
    """Return the statement as it is printed."""
    made = Table(
        title=f"Answered requests of the State, {said['from']} to {said['to']}: {said['answered']}",
        title_justify="left",
    )
    for name in (*_BY, "count"):
        made.add_column(name)
    for row in said["kinds"]:
        made.add_row(*(str(row[name]) for name in (*_BY, "count")))
    return made
