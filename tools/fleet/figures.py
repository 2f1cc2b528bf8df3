# SPDX-License-Identifier: Apache-2.0
"""Sums of what was published, with bands: a gateway's days, and the fleet's and its groups' from the running totals.

Every figure is an `Estimate` of tools/fleet/estimate.py, made from the unsuppressed numbers and the known noise of each
(ANON-3); what a person is shown is cut to what the noise allows only in `shown`. A day's terminals stand in three
metrics (`estimate.TELLING`): those that all gateways of a day told of are combined, which takes a third off the band of
the best of them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import Max, Sum

from agent.summary.metrics import METRICS
from tools.fleet import daily
from tools.fleet.consistent import Noise, together
from tools.fleet.estimate import (
    HOURLY,
    QUESTIONS,
    TELLING,
    Estimate,
    answered,
    combined,
    half_width,
    half_width_of,
)
from tools.fleet.estimate import Sum as Published
from tools.fleet.models import VALUES, Gateway, Link, Message, Total
from tools.fleet.reading import METRIC

_DAY = 86_400
_Key = TypeVar("_Key", int, str)
_WHOLE = Fraction(1)
_NARROW = "\u202f"  # between thousands


def cells(metric: str) -> tuple[str, ...]:
    """Return the names of a metric's cells, in the order of its values."""
    return METRICS[METRIC[metric]].cells


def newest_day() -> int | None:
    """Return the newest agent-day of which a daily figure is there."""
    daily = [METRIC[metric.name] for metric in QUESTIONS["presence"]]
    newest: int | None = Total.objects.filter(metric__in=daily).aggregate(Max("day"))["day__max"]
    return newest


def as_date(day: int) -> datetime:
    """Return when an agent-day's date begins, UTC."""
    return datetime.fromtimestamp(day * _DAY, UTC)


def groups() -> list[str]:
    """Return the names of the groups that there are, the nameless one first."""
    return list(Gateway.objects.order_by("group").values_list("group", flat=True).distinct())


def _totals(metrics: Iterable[str], first: int, last: int, group: str | None, *keys: str) -> Iterator[tuple[Any, ...]]:
    """Yield (metric, *keys, b over, b under, messages, sum of each cell) of these days; the database adds up."""
    rows = Total.objects.filter(metric__in=[METRIC[metric] for metric in metrics], day__gte=first, day__lte=last)
    if group is not None:
        rows = rows.filter(group=group)
    sums = [Sum(name) for name in ("count", *VALUES)]
    for number, *row in rows.order_by("metric").values_list("metric", *keys, "b_over", "b_under").annotate(*sums):
        yield METRICS[number].name, *row[: len(keys) + 3 + len(METRICS[number].cells)]


class _Adding:
    """Adds up published numbers and counts their noise."""

    def __init__(self) -> None:
        self.value = 0
        self.scales: Counter[Fraction] = Counter()

    def add(self, value: int, over: int, under: int, count: int) -> None:
        self.value += value
        self.scales[Fraction(over, under)] += count

    @property
    def noise(self) -> Noise:
        return Counter({(b, _WHOLE): count for b, count in self.scales.items()})

    def estimate(self) -> Estimate:
        return Estimate(self.value, half_width(self.scales))


class _Mean:
    """Adds up parts of several days."""

    def __init__(self) -> None:
        self.value, self.noise, self.days = Fraction(0), Noise(), 0

    def add(self, value: Fraction, noise: Noise) -> None:
        self.value += value
        self.noise.update(noise)
        self.days += 1

    def estimate(self) -> Estimate:
        return Estimate(float(self.value), half_width_of(self.noise))


class _Day:
    """What was published of one agent-day's terminals, by metric: their sum, the noise in it, and messages by slot."""

    def __init__(self) -> None:
        self._sums: dict[str, _Adding] = {}
        self._slots: dict[str, Counter[int]] = {metric: Counter() for metric in TELLING}
        self._rows: list[tuple[str, int, int, int, int, Sequence[int]]] = []

    def add(self, metric: str, slot: int, over: int, under: int, count: int, values: Sequence[int]) -> None:
        self._sums.setdefault(metric, _Adding()).add(sum(values), over, under, count * len(cells(metric)))
        self._slots.setdefault(metric, Counter())[slot] += count
        self._rows.append((metric, slot, over, under, count, values))

    @cached_property
    def consistent(self) -> dict[tuple[str, int, int], tuple[Fraction, Noise]]:
        """Return each part, (metric, slot, cell), and its noise; what all gateways told of has one total.

        An hour is one part, whatever cells it has.
        """
        parts: dict[tuple[str, int, int], _Adding] = {}
        for metric, slot, over, under, count, values in self._rows:
            hour = metric in HOURLY
            for cell, value in enumerate([sum(values)] if hour else values):
                place = metric, slot, cell
                if place not in parts:
                    parts[place] = _Adding()
                parts[place].add(value, over, under, count * (len(values) if hour else 1))
        questions = [[place for place in parts if place[0] in metrics] for metrics in answered(self._slots)]
        made = together([[(parts[place].value, parts[place].scales) for place in each] for each in questions])
        found = {
            place: part
            for each, moved in zip(questions, made, strict=True)
            for place, part in zip(each, moved, strict=True)
        }
        return found | {place: (Fraction(one.value), one.noise) for place, one in parts.items() if place not in found}

    @property
    def gateways(self) -> int:
        return sum(self._slots[metric.name][0] for metric in QUESTIONS["presence"])

    def estimate(self) -> Estimate:
        """Combine what as many gateways told of in each slot; where few did, at a day's end, `presence` alone."""
        sums: list[Published] = []
        for metrics in answered(self._slots):
            scales: Counter[Fraction] = Counter()
            for metric in metrics:
                if metric in self._sums:
                    scales.update(self._sums[metric].scales)
            sums.append((sum(self._sums[metric].value for metric in metrics if metric in self._sums), scales))
        return combined(sums)


def fleet_days(first: int, last: int, group: str | None = None) -> dict[int, tuple[Estimate, int]]:
    """Return for each agent-day the terminals of all gateways, and how many gateways told."""
    return Sums(first, last, group).days()


def group_days(day: int) -> dict[str, tuple[Estimate, int]]:
    """Return the terminals of each group's gateways on an agent-day, and how many gateways told."""
    groups: dict[str, _Day] = {}
    for metric, group, slot, over, under, count, *values in _totals(TELLING, day, day, None, "group", "slot"):
        groups.setdefault(group, _Day()).add(metric, slot, over, under, count, values)
    return _told(groups)


def _told(days: dict[_Key, _Day]) -> dict[_Key, tuple[Estimate, int]]:
    return {key: (days[key].estimate(), days[key].gateways) for key in sorted(days) if days[key].gateways}


def weekly_means(last: int, weeks: int, group: str | None = None) -> list[tuple[int, Estimate, int]]:
    """Return the mean day of each week that ends with `last`, oldest first: (first day, terminals, gateways).

    Every week is of the same gateways, `daily.same_weeks`. A gateway's mean is over the days that it told of, and
    theirs are added up.
    """
    found = daily.same_weeks(last, daily.WEEK, weeks, group)
    means = [(last + 1 - daily.WEEK * (back + 1), *_mean_day(week)) for back, week in enumerate(found) if week]
    return means[::-1]


def group_means(last: int) -> dict[str, tuple[Estimate, int]]:
    """Return each group's mean day of the week that ends with `last`, and how many gateways told of a day of it."""
    return {group: _mean_day(week) for group, week in daily.groups(last).items()}


def _mean_day(week: Sequence[daily.Weeks]) -> tuple[Estimate, int]:
    """Add up gateways' mean days of a week; return how many they are, too."""
    told = daily.estimated((one.noise, one.gateways, one.tenths, one.days) for one in week)
    return told, sum(one.gateways for one in week)


class Sums:
    """What a group's gateways published of some agent-days, added up by the database and read once."""

    def __init__(self, first: int, last: int, group: str | None = None) -> None:
        metrics = dict.fromkeys((*TELLING, *(metric.name for metric in METRICS if metric.slots == 1)))
        self._days: dict[int, _Day] = {}
        for metric, day, slot, over, under, count, *values in _totals(metrics, first, last, group, "day", "slot"):
            self._days.setdefault(day, _Day()).add(metric, slot, over, under, count, values)

    def days(self) -> dict[int, tuple[Estimate, int]]:
        """Return for each agent-day the terminals of all gateways, and how many gateways told."""
        return _told(self._days)

    def cells(self, first: int) -> dict[str, list[Estimate]]:
        """Return the cells of each daily metric that anybody told of, summed over gateways and days from `first` on.

        Each day's cells of the same terminals have the day's total.
        """
        sums: dict[tuple[str, int], _Mean] = {}
        for day in (one for number, one in self._days.items() if number >= first):
            for (metric, _, cell), (value, noise) in day.consistent.items():
                sums.setdefault((metric, cell), _Mean()).add(value, noise)
        told = {metric for metric, _ in sums}
        return {
            metric.name: [sums[metric.name, cell].estimate() for cell in range(len(metric.cells))]
            for metric in METRICS
            if metric.slots == 1 and metric.name in told
        }

    def profile(self, first: int, zone: tzinfo) -> list[Estimate | None]:
        """Return the mean arrivals in each hour of the week, from day `first` on, Monday 00:00 in a time zone first.

        Each whole day's hours have the day's total. None: nobody told.
        """
        hours: list[dict[int, _Mean]] = [{} for _ in range(168)]
        for number, day in self._days.items():
            for (metric, slot, _), (value, noise) in day.consistent.items() if number >= first else ():
                if metric in HOURLY:
                    begin = number * 24 + 3 + slot
                    at = datetime.fromtimestamp(begin * 3600, zone)
                    hours[at.weekday() * 24 + at.hour].setdefault(begin, _Mean()).add(value, noise)
        return [_mean(list(told.values())) if told else None for told in hours]


def _mean(hours: Sequence[_Mean]) -> Estimate:
    """Return the mean of some hours."""
    every = _Mean()
    for one in hours:
        every.add(one.value, one.noise)
    return every.estimate().scaled(len(hours))


def against(last: int, back: int, group: str | None = None) -> tuple[Estimate, Estimate, int] | None:
    """Return the mean day of the week to `last`, that of the week so many days before, and how many gateways told.

    They are those that told of a day at least in each; None where there is none.
    """
    found = daily.same_weeks(last, back, 2, group, share=1 << 31)
    if len(found) < 2:
        return None
    (now, count), (before, _) = map(_mean_day, found)
    return now, before, count


def gateway_days(gateway: Gateway, first: int, last: int) -> dict[int, tuple[Estimate, int]]:
    """Return for each agent-day a gateway's terminals, as `fleet_days` does."""
    return {day: (one, 1) for day, one in daily.of(gateway, first, last).items()}


def mean_day(days: Sequence[Estimate]) -> Estimate | None:
    """Return the mean of a gateway's days, its band as if noise were normal: within 1 % for dozens of draws."""
    if not days:
        return None
    return Estimate(
        sum(one.value for one in days) / len(days), math.hypot(*(one.half_width for one in days)) / len(days)
    )


def gateway_newest(gateway: Gateway) -> int | None:
    """Return the newest agent-day of which a gateway told."""
    newest: int | None = Message.objects.filter(gateway=gateway).aggregate(Max("day"))["day__max"]
    return newest


def regroup(group: str) -> None:
    """Make a group's totals anew from the messages of its gateways: after a gateway came or went.

    To be called in a transaction. The address of its picture goes with its last gateway.
    """
    if not Gateway.objects.filter(group=group).exists():
        Link.objects.filter(group=group).delete()
    Total.objects.filter(group=group).delete()
    sums = {name: Sum(name) for name in VALUES}
    keys = ("metric", "day", "slot", "b_over", "b_under")
    rows = Message.objects.filter(gateway__group=group).values(*keys).annotate(count=Sum(1), **sums).order_by()
    made = (
        Total(
            **{key: row[key] for key in keys},
            group=group,
            count=row["count"],
            **{name: row[name] or 0 for name in VALUES},
        )
        for row in rows
    )
    Total.objects.bulk_create(made, batch_size=500)


def thousands(value: float, decimals: int = 0) -> str:
    """Return a number as it is read: narrow spaces between thousands."""
    return f"{value:,.{decimals}f}".replace(",", _NARROW).replace("-", "\u2212")


def step_of(width: float) -> float:
    """Return the place to which a figure with such a half-width is rounded: that of the half-width's second digit."""
    return 10.0 ** (math.floor(math.log10(width)) - 1) if width > 0 else 1.0


def shown(one: Estimate, below: float = 0) -> str:
    """Return a figure as a person reads it: rounded to what noise lets one know, with its ±, or "< n".

    `below` is ANON-3's ceil(2b) for a single value; a sum is "< its half-width" below that.
    """
    width = one.half_width
    if width <= 0:
        return thousands(one.value)
    step = max(step_of(width), 0.1)
    if one.value == int(one.value):
        step = max(step, 1)
    decimals = 1 if step < 1 else 0
    wide = math.ceil(width / step - 1e-9) * step
    threshold = below or wide
    if one.value < threshold:
        return f"< {thousands(threshold, 0 if below else decimals)}"
    return f"{thousands(round(one.value / step) * step, decimals)} ± {thousands(wide, decimals)}"


def highest(estimates: Iterable[Estimate | None]) -> float:
    """Return the upper end of the highest band, at least 1."""
    return max([1.0, *(one.value + one.half_width for one in estimates if one is not None)])


def sequence(found: dict[int, tuple[Estimate, int]], days: Sequence[int]) -> list[Estimate | None]:
    """Return a value for each day; None where nobody told."""
    return [found[day][0] if day in found else None for day in days]
