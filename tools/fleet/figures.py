# SPDX-License-Identifier: Apache-2.0
"""Sums of what was published, with bands: a gateway's days, and the fleet's and its groups' from the running totals.

Every figure is an `Estimate` of tools/fleet/estimate.py, made from the unsuppressed numbers and the known noise of each
(ANON-3). What a person is shown is cut to what the noise allows only in `shown`. A day's terminals stand in three
metrics (`estimate.TELLING`): those that all gateways of a day told of are combined, which takes a third off the band of
the best of them.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from django.db.models import Count, Max, Sum

from agent.summary.metrics import METRICS
from tools.fleet import daily, grouped, same_weeks
from tools.fleet.estimate import HOURLY, QUESTIONS, Estimate
from tools.fleet.models import VALUES, Gateway, Link, Message, Total
from tools.fleet.reading import METRIC

_DAY = 86_400
_DAILY = tuple(metric.name for metric in METRICS if metric.slots == 1)
_DAY_OF = ("tenths", "half_width", "gateways")
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


def group_sizes() -> dict[str, int]:
    """Return how many gateways each group has, in the same order."""
    return dict(Gateway.objects.order_by("group").values_list("group").annotate(count=Count("*")))


def fleet_days(first: int, last: int, group: str | None = None) -> dict[int, tuple[Estimate, int]]:
    """Return for each agent-day the terminals of all gateways, and how many gateways told."""
    return Sums(first, last, group).days()


def group_days(day: int) -> dict[str, tuple[Estimate, int]]:
    """Return the terminals of each group's gateways on an agent-day, and how many gateways told."""
    rows = grouped.by_group(day).filter(gateways__gt=0).values_list("scope", *_DAY_OF)
    return {scope[1:]: (grouped.terminals(tenths, width), told) for scope, tenths, width, told in rows}


def weekly_means(last: int, weeks: int, group: str | None = None) -> list[tuple[int, Estimate, int]]:
    """Return the mean day of each week that ends with `last`, oldest first: (first day, terminals, gateways).

    Every week is of the same gateways, `same_weeks`. A gateway's mean is over the days that it told of, and
    theirs are added up.
    """
    found = same_weeks.of(last, daily.WEEK, weeks, group)
    means = [(last + 1 - daily.WEEK * (back + 1), *_mean_day(week)) for back, week in enumerate(found) if week]
    return means[::-1]


def group_means(last: int) -> dict[str, tuple[Estimate, int]]:
    """Return each group's mean day of the week that ends with `last`, and how many gateways told of a day of it."""
    rows = grouped.by_group(last).values_list("scope", "weeks")
    return {scope[1:]: _mean_day(week) for scope, text in rows if (week := grouped.weeks(text))}


def _mean_day(week: Sequence[grouped.Weeks]) -> tuple[Estimate, int]:
    """Add up gateways' mean days of a week; return how many they are, too."""
    told = daily.estimated((one.noise, one.gateways, one.tenths, one.days) for one in week)
    return told, sum(one.gateways for one in week)


class Sums:
    """What a group's gateways published of some agent-days, or all gateways, from the rows of `grouped`."""

    def __init__(self, first: int, last: int, group: str | None = None) -> None:
        self._rows = grouped.days(first, last, group)

    def days(self) -> dict[int, tuple[Estimate, int]]:
        """Return for each agent-day the terminals of all gateways, and how many gateways told."""
        rows = self._rows.filter(gateways__gt=0).values_list("day", *_DAY_OF)
        return {day: (grouped.terminals(tenths, width), told) for day, tenths, width, told in rows}

    def _parts(self, first: int) -> Iterator[tuple[int, list[grouped.Part]]]:
        for day, text in self._rows.filter(day__gte=first).values_list("day", "parts"):
            yield day, grouped.parts(text)

    def cells(self, first: int) -> dict[str, list[Estimate]]:
        """Return the cells of each daily metric that anybody told of, summed over gateways and days from `first` on.

        Each day's cells of the same terminals have the day's total.
        """
        found: dict[str, list[list[grouped.Part]]] = {}
        for _, parts in self._parts(first):
            for part in parts:
                if part.metric in _DAILY:
                    found.setdefault(part.metric, [[] for _ in cells(part.metric)])[part.cell].append(part)
        return {metric: [grouped.added(one) for one in found[metric]] for metric in _DAILY if metric in found}

    def profile(self, first: int, zone: tzinfo) -> list[Estimate | None]:
        """Return the mean arrivals in each hour of the week, from day `first` on, Monday 00:00 in a time zone first.

        Each whole day's hours have the day's total. None: nobody told.
        """
        hours: list[dict[int, list[grouped.Part]]] = [{} for _ in range(168)]
        for number, parts in self._parts(first):
            for part in parts:
                if part.metric in HOURLY:
                    begin = number * 24 + 3 + part.slot
                    at = datetime.fromtimestamp(begin * 3600, zone)
                    hours[at.weekday() * 24 + at.hour].setdefault(begin, []).append(part)
        return [
            grouped.added([part for parts in told.values() for part in parts], len(told)) if told else None
            for told in hours
        ]


def against(last: int, back: int, group: str | None = None) -> tuple[Estimate, Estimate, int] | None:
    """Return the mean day of the week to `last`, that of the week so many days before, and how many gateways told.

    They are those that told of a day at least in each; None where there is none.
    """
    found = same_weeks.of(last, back, 2, group, share=1 << 31)
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
    grouped.all_changed(group)


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
