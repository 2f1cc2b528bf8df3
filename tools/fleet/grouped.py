# SPDX-License-Identifier: Apache-2.0
"""A group's agent-days, and all gateways', as rows: pages of thousands of gateways read them, and add up no totals.

A row (`Grouped`) has the day's terminals with their band, and its hours and daily cells, which add up to them. It also
has what the gateways' weeks that end with it have in all. Who stores messages marks the rows that they belong to, in
the same transaction. A row that is marked is made anew by who reads it, or before that by `oubli-fleet serve`.
"""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum

from agent.summary.metrics import METRICS
from tools.fleet import daily, spells, views
from tools.fleet.consistent import Noise, together
from tools.fleet.estimate import HOURLY, QUESTIONS, TELLING, Estimate, answered, half_width_of, tenths
from tools.fleet.estimate import Sum as Published
from tools.fleet.models import VALUES, Day, Gateway, Grouped, Message, Total
from tools.fleet.reading import METRIC

EVERY = ""  # the scope of all gateways
_MARKED = 1000  # rows of one statement
_TOGETHER = 100  # rows of one transaction: a consumer waits for no longer
_SUMMED = tuple(dict.fromkeys((*TELLING, *(metric.name for metric in METRICS if metric.slots == 1))))
_WHOLE = Fraction(1)
_MADE = ("due", "gateways", "tenths", "half_width", "parts", "weeks")
_MARK = """
INSERT INTO fleet_grouped (scope, day, due, gateways, tenths, half_width, parts, weeks) VALUES {places}
ON CONFLICT (scope, day) DO UPDATE SET due = excluded.due WHERE fleet_grouped.due <> excluded.due"""


_WEEKS = """
SELECT {scope}, fleet_day.day, week_days, week_noise, fleet_spell.first / {block}, COUNT(*), SUM(week_tenths)
FROM fleet_day JOIN fleet_spell ON fleet_spell.gateway_id = fleet_day.gateway_id
    AND fleet_day.day BETWEEN fleet_spell.first AND fleet_spell.last
{grouped} WHERE fleet_day.day IN ({days}) AND week_days > 0 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 5, 3, 4"""


class Weeks(NamedTuple):
    """Gateways whose week has as many days with the same noise: how many they are, their terminals in tenths.

    `block`: that of the day from which on each of their weeks was told of.
    """

    days: int
    noise: str
    gateways: int
    tenths: int
    block: int


class Part(NamedTuple):
    """An hour of a day, or a cell of a daily metric (of an hour `cell` is 0), and its noise as text."""

    metric: str
    slot: int
    cell: int
    value: Fraction
    noise: str


def scope(group: str | None) -> str:
    """Return the scope of a group's rows; None: of all gateways'."""
    return EVERY if group is None else f"={group}"


def changed(days: Collection[tuple[str, int]]) -> None:
    """Mark days of some groups, (group, agent-day), and all gateways'.

    To be called in the transaction that changes them.
    """
    mark({(one, day) for group, day in days for one in (EVERY, scope(group))})


def all_changed(group: str) -> None:
    """Mark all days of a group; those that it has no more, too."""
    one = scope(group)
    days = {*Total.objects.filter(group=group).values_list("day", flat=True).distinct()}
    days |= {*Day.objects.filter(gateway__group=group).values_list("day", flat=True).distinct()}
    days |= {*Grouped.objects.filter(scope=one).values_list("day", flat=True)}
    mark({(one, day) for day in days})


def again(gateway: Gateway) -> None:
    """Make all rows of a gateway's days anew from its messages, and mark what they belong to."""
    gone(gateway)
    Day.objects.filter(gateway=gateway).delete()
    Day.objects.bulk_create(daily.made(gateway.pk, views.told(gateway, 0, 1 << 30)), batch_size=500)
    spells.make([gateway.pk])
    gone(gateway)
    all_changed(gateway.group)


def gone(gateway: Gateway) -> None:
    """Mark all days of all gateways of which one tells that is to be deleted."""
    days = {*Message.objects.filter(gateway=gateway).values_list("day", flat=True).distinct()}
    days |= {*Day.objects.filter(gateway=gateway).values_list("day", flat=True)}
    mark({(EVERY, day) for day in days})


def mark(rows: Collection[tuple[str, int]]) -> None:
    """Mark rows, (scope, agent-day); all transactions lock them in one order."""
    every = sorted(rows)
    for start in range(0, len(every), _MARKED):
        some = every[start : start + _MARKED]
        text = _MARK.format(places=",".join(["(%s, %s, %s, 0, 0, 0, '', '')"] * len(some)))
        with connection.cursor() as cursor:
            cursor.execute(text, [value for one, day in some for value in (one, day, True)])


def renew(rows: Q, seconds: float | None = None) -> None:
    """Make anew what is marked of some rows; `seconds`: for how long, at most, and a hundred rows more.

    What is marked again meanwhile isn't waited for.
    """
    marked = Grouped.objects.filter(rows, due=True)
    end = time.monotonic() + (seconds or 0)
    for _ in range(-(-marked.count() // _TOGETHER)):
        with transaction.atomic():
            keys = marked.select_for_update().order_by("scope", "day").values_list("scope", "day")[:_TOGETHER]
            _make(list(keys))
        if seconds is not None and time.monotonic() > end:
            break


def _make(keys: Sequence[tuple[str, int]]) -> None:
    """Make rows that are locked; those of which nothing is left go."""
    days, weeks = _days(keys), _weeks(keys)
    rows, gone = [], Q()
    for one, at in keys:
        if (one, at) not in days and (one, at) not in weeks:
            gone |= Q(scope=one, day=at)
            continue
        row = Grouped(scope=one, day=at, due=False, weeks=json.dumps(weeks.get((one, at), [])))
        if day := days.get((one, at)):
            row.gateways, row.parts = day.gateways, day.written()
            if day.gateways:
                row.tenths, row.half_width = day.combined()
        rows.append(row)
    if gone:
        Grouped.objects.filter(gone).delete()
    Grouped.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["scope", "day"], update_fields=_MADE, batch_size=100
    )


def _split(keys: Sequence[tuple[str, int]]) -> Iterator[tuple[dict[str, str] | None, list[int]]]:
    """Yield what is to be read at once: {group: scope}, None for all gateways, and the days."""
    every = [day for one, day in keys if one == EVERY]
    if every:
        yield None, every
    if len(every) < len(keys):
        yield {one[1:]: one for one, _ in keys if one != EVERY}, list({day for one, day in keys if one != EVERY})


def _days(keys: Sequence[tuple[str, int]]) -> "dict[tuple[str, int], _Day]":
    """Return what was published of these days; the database adds up."""
    found: dict[tuple[str, int], _Day] = {}
    sums = [Sum(name) for name in ("count", *VALUES)]
    for groups, days in _split(keys):
        rows = Total.objects.filter(metric__in=[METRIC[metric] for metric in _SUMMED], day__in=days)
        names = ["metric", "day", "slot", "b_over", "b_under"]
        if groups is not None:
            rows, names = rows.filter(group__in=groups), ["group", *names]
        for row in rows.order_by("metric", "slot").values_list(*names).annotate(*sums):
            one, (number, day, slot, over, under, count, *values) = (
                (EVERY, row) if groups is None else (groups[row[0]], row[1:])
            )
            metric = METRICS[number]
            found.setdefault((one, day), _Day()).add(
                metric.name, slot, Fraction(over, under), count, values[: len(metric.cells)]
            )
    return found


def _weeks(keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], list[Weeks]]:
    """Return what gateways' weeks that end with these days have in all."""
    found: dict[tuple[str, int], list[Weeks]] = {}
    for groups, days in _split(keys):
        words = {"scope": "''", "grouped": "", "block": spells.BLOCK, "days": ",".join(map(str, days))}
        if groups is not None:
            places = ",".join(["%s"] * len(groups))
            words["scope"] = '"group"'
            words["grouped"] = (
                f'JOIN fleet_gateway ON fleet_gateway.id = fleet_day.gateway_id AND "group" IN ({places})'
            )
        with connection.cursor() as cursor:
            cursor.execute(_WEEKS.format(**words), list(groups or ()))
            rows = cursor.fetchall()
        for group, day, week_days, noise, block, count, total in rows:
            place = EVERY if groups is None else groups[group], day
            found.setdefault(place, []).append(Weeks(week_days, noise, count, int(total), block))
    return found


class _Day:
    """What was published of one agent-day's terminals: by metric and slot, how many told, and the sums of cells."""

    def __init__(self) -> None:
        self._slots: dict[str, Counter[int]] = {metric: Counter() for metric in TELLING}
        self._parts: dict[tuple[str, int, int], tuple[int, Counter[Fraction]]] = {}

    def add(self, metric: str, slot: int, b: Fraction, count: int, values: Sequence[int]) -> None:
        """Add messages of one slot with one scale of noise; an hour is one part, whatever cells it has."""
        self._slots.setdefault(metric, Counter())[slot] += count
        hour = metric in HOURLY
        for cell, value in enumerate([sum(values)] if hour else values):
            former, scales = self._parts.setdefault((metric, slot, cell), (0, Counter()))
            scales[b] += count * (len(values) if hour else 1)
            self._parts[metric, slot, cell] = former + value, scales

    @property
    def gateways(self) -> int:
        """Return how many gateways told of the whole day."""
        return sum(self._slots[metric.name][0] for metric in QUESTIONS["presence"])

    @cached_property
    def _answered(self) -> list[list[tuple[str, int, int]]]:
        return [[place for place in self._parts if place[0] in metrics] for metrics in answered(self._slots)]

    def combined(self) -> tuple[int, float]:
        """Return the terminals in tenths and the half-width of their band.

        What as many gateways told of in each slot is combined; where few did, at a day's end, it is `presence` alone.
        """
        sums: list[Published] = []
        for places in self._answered:
            scales: Counter[Fraction] = Counter()
            for place in places:
                scales.update(self._parts[place][1])
            sums.append((sum(self._parts[place][0] for place in places), scales))
        total, terms = 0, Counter[tuple[Fraction, Fraction]]()
        for weight, (value, added_up) in zip(tenths(sums), sums, strict=True):
            total += weight * value
            if weight:
                terms.update({(b, Fraction(weight, 10)): count for b, count in added_up.items()})
        return total, half_width_of(terms)

    def written(self) -> str:
        """Return each part as text; those of what all gateways told of have one total."""
        made = together([[self._parts[place] for place in each] for each in self._answered])
        found = {
            place: part
            for each, moved in zip(self._answered, made, strict=True)
            for place, part in zip(each, moved, strict=True)
        }
        noises: dict[str, int] = {}
        rows = []
        for place, (value, scales) in self._parts.items():
            moved, noise = found.get(place) or (
                Fraction(value),
                Counter({(b, _WHOLE): count for b, count in scales.items()}),
            )
            number = noises.setdefault(_written(noise), len(noises))
            rows.append((METRIC[place[0]], place[1], place[2], moved.numerator, moved.denominator, number))
        return json.dumps([list(noises), rows], separators=(",", ":"))


def _written(noise: Noise) -> str:
    return " ".join(f"{b}*{weight}*{count}" for (b, weight), count in sorted(noise.items()))


def parts(text: str) -> list[Part]:
    """Return the parts that a row has as text."""
    noises, rows = json.loads(text) if text else ([], [])
    return [
        Part(METRICS[metric].name, slot, cell, Fraction(over, under), noises[noise])
        for metric, slot, cell, over, under, noise in rows
    ]


@lru_cache(maxsize=8192)
def _read(text: str) -> Noise:
    terms = (term.split("*") for term in text.split())
    return Counter({(Fraction(b), Fraction(weight)): int(count) for b, weight, count in terms})


@lru_cache(maxsize=8192)
def _half_width(noises: tuple[str, ...], divisor: int) -> float:
    every: Noise = Counter()
    for noise in noises:
        every.update(_read(noise))
    return half_width_of(every) / divisor


def added(some: Sequence[Part], divisor: int = 1) -> Estimate:
    """Return the sum of some parts with its band, divided as a mean is."""
    value = sum((one.value for one in some), Fraction(0))
    return Estimate(float(value) / divisor, _half_width(tuple(sorted(one.noise for one in some)), divisor))


def terminals(tenths: int, half_width: float) -> Estimate:
    """Return the terminals that a row tells of."""
    return Estimate(tenths / 10, half_width)


def days(first: int, last: int, group: str | None) -> "QuerySet[Grouped]":
    """Return a group's rows of these agent-days, or all gateways', made anew where they have to be."""
    wanted = Q(scope=scope(group), day__gte=first, day__lte=last)
    renew(wanted)
    return Grouped.objects.filter(wanted).order_by("day")


def by_group(day: int) -> "QuerySet[Grouped]":
    """Return each group's row of an agent-day, in the order of their names."""
    wanted = Q(day=day) & ~Q(scope=EVERY)
    renew(wanted)
    return Grouped.objects.filter(wanted).order_by("scope")


def weeks(text: str) -> list[Weeks]:
    """Return the weeks that a row has as text."""
    return [Weeks(*one) for one in json.loads(text)] if text else []
