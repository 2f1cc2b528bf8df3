# SPDX-License-Identifier: Apache-2.0
"""Weeks of the same gateways, side by side: what grew or fell is no gateway that came or went.

A row of `grouped` has what all gateways told of in a week, those apart that began in another block of days. So whoever
began after the oldest week's block is left out with its block. Gateways that began within it, or were silent for a week
since, are looked up one by one and taken off, or added: they are few, however many a fleet has, and however it grew.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Count, Q

from tools.fleet import grouped, spells
from tools.fleet.grouped import Weeks
from tools.fleet.models import Grouped

_TRIES = 5  # where messages come all the time, the last try's figures may lack one
_APART = """
SELECT day, week_days, week_noise, SUM(column4), SUM(column4 * week_tenths)
FROM (VALUES {spells}) apart JOIN fleet_day ON gateway_id = column1 AND day IN ({days})
    AND day BETWEEN column2 AND column3 WHERE week_days > 0 GROUP BY day, week_days, week_noise"""
Apart = dict[tuple[int, str], tuple[int, int]]  # (days, noise) -> gateways and tenths that are to be added


def of(last: int, step: int, count: int, group: str | None, share: int = 2) -> list[list[Weeks]]:
    """Return what the same gateways told of in the weeks that end with `last` and each `step` days before it.

    The newest comes first. They are those that told of a day at least in each. Of `count` weeks, so many are returned
    as one in `share` of the newest one's gateways told in.
    """
    ends = [last - step * back for back in range(count)]
    with _snapshot(Q(scope=grouped.scope(group), day__in=ends)) as found:
        began, silent = _parts(ends[-1], last, group)
        masks = {key: spells.told(each, ends, step) for key, each in silent.items()}
        runs = Counter(_run(mask) for mask in masks.values() if mask & 1)
        for first, number in began.items():
            runs[(last - first) // step + 1] += number
        told = sum(week.gateways for week in found.get(last, []))
        weeks, left = 1, told - runs[1]
        while weeks < count and share * left >= told > 0:
            weeks += 1
            left -= runs[weeks]
        ends = ends[:weeks]
        oldest, full, block = ends[-1], (1 << weeks) - 1, ends[-1] // spells.BLOCK
        some = []
        for key, each in silent.items():
            inside = masks[key] & full == full
            some += [(key, *one, 1 if inside else -1) for one in each if inside != (one[0] // spells.BLOCK <= block)]
        if any(oldest < first and first // spells.BLOCK == block for first in began):
            late = spells.part(oldest, last, group).filter(first__lt=(block + 1) * spells.BLOCK, last__gte=last)
            some += [(*one, -1) for one in late.values_list("gateway", "first", "last") if one[0] not in silent]
        apart = _apart(ends, some)
    return [_same(found.get(day, []), block, apart.get(day, {})) for day in ends]


def _parts(oldest: int, newest: int, group: str | None) -> tuple[Counter[int], dict[int, list[spells.Pair]]]:
    """Return how many gateways began on each day and went on to the newest, and those that were silent, with spells."""
    began, ended = Counter[int](), False
    rows = spells.part(oldest, newest, group).values_list("first", "last").annotate(number=Count("*"))
    for first, last, number in rows:
        if last < newest:
            ended = True
        else:
            began[first] += number
    silent = spells.ended(oldest, newest, group) if ended else {}
    for each in silent.values():
        began.subtract(first for first, last in each if last >= newest)
    return began, silent


@contextmanager
def _snapshot(wanted: Q) -> "Iterator[dict[int, list[Weeks]]]":
    """Give the weeks of some rows, which nothing changes meanwhile: what is read of gateways is of the same moment."""
    outer = not connection.in_atomic_block
    for again in range(_TRIES):
        grouped.renew(wanted)
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    if outer:
                        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    # A gateway's rows lie together: by the key, not by walking through all gateways' weeks
                    cursor.execute("SET LOCAL random_page_cost = 1.1")
            rows = list(Grouped.objects.filter(wanted).values_list("day", "weeks", "due"))
            if again < _TRIES - 1 and any(due for _, _, due in rows):
                continue
            yield {day: grouped.weeks(text) for day, text, _ in rows}
            return


def _run(mask: int) -> int:
    """Return how many bits in a row are set, from the lowest one on."""
    return (~mask & (mask + 1)).bit_length() - 1


def _apart(ends: Sequence[int], some: Sequence[tuple[int, int, int, int]]) -> dict[int, Apart]:
    """Return what some gateways told of in these weeks: (gateway, first and last day of a spell, 1 or -1)."""
    found: dict[int, Apart] = {}
    if some:
        text = _APART.format(days=",".join(map(str, ends)), spells=",".join(map(str, some)))
        with connection.cursor() as cursor:
            cursor.execute(text)
            for day, week_days, noise, count, total in cursor.fetchall():
                found.setdefault(day, {})[week_days, noise] = int(count), int(total)
    return found


def _same(week: Sequence[Weeks], block: int, apart: Apart) -> list[Weeks]:
    """Return a week of the gateways that began up to a block of days, and of what stands apart."""
    sums: dict[tuple[int, str], tuple[int, int]] = dict(apart)
    for one in week:
        if one.block <= block:
            count, total = sums.get((one.days, one.noise), (0, 0))
            sums[one.days, one.noise] = count + one.gateways, total + one.tenths
    return [Weeks(days, noise, count, total, block) for (days, noise), (count, total) in sums.items() if count]
