# SPDX-License-Identifier: Apache-2.0
"""Agent-days in a row, each of which ends a week in which a gateway told of a day, as rows that follow from `Day`.

A gateway that was never silent for a week has one, however old it is. So who told in each of many weeks is read off a
row or two of a gateway.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from django.db import connection

from tools.fleet.models import Day, Spell

_MADE = """
INSERT INTO fleet_spell (gateway_id, first, last) SELECT gateway_id, MIN(day), MAX(day)
FROM (SELECT gateway_id, day, day - ROW_NUMBER() OVER (PARTITION BY gateway_id ORDER BY day) AS island
      FROM fleet_day WHERE week_days > 0{some}) days GROUP BY gateway_id, island"""
Pair = tuple[int, int]


def note(rows: Iterable[Day]) -> None:
    """Take note of days whose week has a day that was told of now, or no more.

    To be called in the transaction that has locked their gateways.
    """
    told: dict[int, list[Pair]] = {}
    again = set()
    for row in rows:
        told.setdefault(row.gateway_id, []).append((row.day, row.day))
        if not row.week_days:
            again.add(row.gateway_id)
    former: dict[int, list[Pair]] = {}
    for key, first, last in Spell.objects.filter(gateway__in=told).values_list("gateway", "first", "last"):
        former.setdefault(key, []).append((first, last))
    found = {key: _joined([*former.get(key, []), *days]) for key, days in told.items() if key not in again}
    new = {key: spells for key, spells in found.items() if spells != sorted(former.get(key, []))}
    if new:
        Spell.objects.filter(gateway__in=new).delete()
        Spell.objects.bulk_create(
            Spell(gateway_id=key, first=first, last=last) for key, spells in new.items() for first, last in spells
        )
    if again:
        make(again)


def _joined(spells: Sequence[Pair]) -> list[Pair]:
    """Return spells of which none touches another, in their order."""
    found: list[Pair] = []
    for first, last in sorted(spells):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def make(gateways: Collection[int]) -> None:
    """Make all spells of some gateways anew from their days."""
    Spell.objects.filter(gateway__in=gateways).delete()
    with connection.cursor() as cursor:
        cursor.execute(_MADE.format(some=f" AND gateway_id IN ({','.join(map(str, gateways))})"))


def missing(ends: Sequence[int], step: int, group: str | None) -> dict[int, int]:
    """Return the gateways that told in some of these weeks and not in all: key -> a bit for each in which they did.

    `ends`: the weeks' last days, the newest first, each `step` before the former.
    """
    newest, oldest = ends[0], ends[-1]
    rows = Spell.objects.filter(first__lte=newest, last__gte=oldest).exclude(first__lte=oldest, last__gte=newest)
    if group is not None:
        rows = rows.filter(gateway__group=group)
    found: dict[int, int] = {}
    for key, each in groupby(rows.order_by("gateway").values_list("gateway", "first", "last"), lambda row: row[0]):
        mask = 0
        for _, first, last in each:
            low, high = max(-((last - newest) // step), 0), min((newest - first) // step, len(ends) - 1)
            mask |= max((2 << high) - (1 << low), 0)
        if 0 < mask < (1 << len(ends)) - 1:
            found[key] = mask
    return found


def prune(first: int) -> None:
    """Forget what was before an agent-day."""
    Spell.objects.filter(last__lt=first).delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE fleet_spell SET first = %s WHERE first < %s", [first, first])
