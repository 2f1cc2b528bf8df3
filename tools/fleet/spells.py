# SPDX-License-Identifier: Apache-2.0
"""Agent-days in a row, each of which ends a week in which a gateway told of a day, as rows that follow from `Day`.

A gateway that was never silent for a week has one, however old it is. So who told in each of many weeks is read off a
row or two of a gateway. Rows of `grouped` have a block of `BLOCK` days apart in which such a row of gateways began.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from django.db import connection

from tools.fleet.models import Day, Spell

if TYPE_CHECKING:
    from django.db.models import QuerySet

_MADE = """
INSERT INTO fleet_spell (gateway_id, first, last) SELECT gateway_id, MIN(day), MAX(day)
FROM (SELECT gateway_id, day, day - ROW_NUMBER() OVER (PARTITION BY gateway_id ORDER BY day) AS island
      FROM fleet_day WHERE week_days > 0{some}) days GROUP BY gateway_id, island"""
BLOCK = 28  # days
Pair = tuple[int, int]


def note(rows: Iterable[Day]) -> set[Pair]:
    """Take note of days whose week has a day that was told of now, or no more.

    To be called in the transaction that has locked their gateways. Return the days, (gateway, agent-day), whose spell
    begins in another block than it did.
    """
    told: dict[int, list[Pair]] = {}
    again = set()
    for row in rows:
        told.setdefault(row.gateway_id, []).append((row.day, row.day))
        if not row.week_days:
            again.add(row.gateway_id)
    former = _of(told)
    found = {key: _joined([*former.get(key, []), *days]) for key, days in told.items() if key not in again}
    new = {key: spells for key, spells in found.items() if spells != sorted(former.get(key, []))}
    if new:
        Spell.objects.filter(gateway__in=new).delete()
        Spell.objects.bulk_create(
            Spell(gateway_id=key, first=first, last=last) for key, spells in new.items() for first, last in spells
        )
    if again:
        make(again)
        new |= _of(again)
    return {(key, day) for key, spells in new.items() for day in _moved(former.get(key, []), spells)}


def _of(gateways: Collection[int]) -> dict[int, list[Pair]]:
    found: dict[int, list[Pair]] = {}
    for key, first, last in Spell.objects.filter(gateway__in=gateways).values_list("gateway", "first", "last"):
        found.setdefault(key, []).append((first, last))
    return found


def _moved(former: Sequence[Pair], new: Sequence[Pair]) -> set[int]:
    """Return the days of some spells that were in one that began in another block."""
    return {
        day
        for begun, ended in former
        for first, last in new
        if begun // BLOCK != first // BLOCK
        for day in range(max(begun, first), min(ended, last) + 1)
    }


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


def part(oldest: int, newest: int, group: str | None) -> "QuerySet[Spell]":
    """Return the spells of a part of the time between two days."""
    rows = Spell.objects.filter(first__lte=newest, last__gte=oldest).exclude(first__lte=oldest, last__gte=newest)
    return rows if group is None else rows.filter(gateway__group=group)


def ended(oldest: int, newest: int, group: str | None) -> dict[int, list[Pair]]:
    """Return the spells between two days of each gateway of which one ended there, before the newest."""
    some = part(oldest, newest, group).filter(last__lt=newest)
    rows = part(oldest, newest, group).filter(gateway__in=some.values("gateway"))
    found: dict[int, list[Pair]] = {}
    for key, first, last in rows.values_list("gateway", "first", "last"):
        found.setdefault(key, []).append((first, last))
    return found


def told(spells: Iterable[Pair], ends: Sequence[int], step: int) -> int:
    """Return in which weeks a gateway with these spells told of a day: a bit for each.

    `ends`: the weeks' last days, the newest first, each `step` before the former.
    """
    newest, mask = ends[0], 0
    for first, last in spells:
        low, high = max(-((last - newest) // step), 0), min((newest - first) // step, len(ends) - 1)
        mask |= max((2 << high) - (1 << low), 0)
    return mask


def prune(first: int) -> None:
    """Forget what was before an agent-day."""
    Spell.objects.filter(last__lt=first).delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE fleet_spell SET first = %s WHERE first < %s", [first, first])
