# SPDX-License-Identifier: Apache-2.0
"""A gateway's weeks as `smoothing` estimates them: the third way to look at its figures, beside those of `views`.

A day's estimate is made from its block of four weeks, as far as it has come, and the four weeks before: an export
that begins elsewhere says the same, and so does the page.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from agent.summary.metrics import METRICS
from tools.fleet import consistent, views
from tools.fleet.consistent import cells_noise, total_noise, variance_of
from tools.fleet.estimate import QUESTIONS, Estimate, variance
from tools.fleet.models import Gateway, Message

BLOCK = 28  # days
VIEWS = (*views.VIEWS, "smoothed")
_HOURS = 24
_ROWS = {metric.name: metric for metric in METRICS}
_Told = tuple[float, float]  # a value, the variance of its noise

if TYPE_CHECKING:
    from tools.fleet.smoothing import Smoothed


def window(day: int, newest: int) -> range:
    """Return the agent-days from which a day's estimate is made."""
    block = day // BLOCK * BLOCK
    return range(block - BLOCK, min(block + BLOCK, newest + 1))


def _hourly(metric: str) -> str:
    return f"{metric} by hours"


@lru_cache(maxsize=4096)
def _day(messages: tuple[views.Told, ...]) -> dict[str, list[_Told | None]]:
    """Return by metric what a day told of each cell; under no name its total.

    Where cells are finer than hours, also of each hour.
    """
    rows = list(messages)
    same = views.answers(rows)
    every, found = list(same.values()), dict[str, list[_Told | None]]()
    scales = {(row.metric.name, row.slot): row.b for row in rows}
    for metric, cells in views.cells(rows, "combined").items():
        size = _ROWS[metric].slots * len(_ROWS[metric].cells)
        told: list[_Told | None] = [None] * size
        for cell in cells:
            told[cell.number] = cell.estimate.value, variance(scales[metric, cell.number * _ROWS[metric].slots // size])
        if metric in same:
            alike = variance_of(cells_noise(every, list(same).index(metric)))
            for number in range(size - len(same[metric].values), size):
                one = told[number]
                told[number] = (one[0], alike) if one else None
        found[metric] = told
        if size > _HOURS and metric in same and len(same[metric].values) == size:
            parts = size // _HOURS
            noise = variance_of(cells_noise(every, list(same).index(metric), parts))
            found[_hourly(metric)] = [
                (sum(one[0] for one in told[at : at + parts] if one), noise) for at in range(0, size, parts)
            ]
    total = views.total(rows)
    if total is not None:
        found[""] = [(total.value, variance_of(total_noise(every)))]
    return found


class Weeks:
    """The agent-days of a `window`; `days` are its messages, as `views.told` returns them."""

    def __init__(self, days: dict[int, list[views.Told]], span: range) -> None:
        self.span = span
        self._days = days
        self._told = [_day(tuple(days.get(day, []))) for day in span]
        self._found: dict[str, Smoothed] = {}

    def _smooth(self, name: str) -> "Smoothed":
        if name not in self._found:
            size = max((len(day[name]) for day in self._told if name in day), default=0)
            each = [[day.get(name, [None] * size)[cell] for day in self._told] for cell in range(size)]
            values = tuple(tuple(one[0] if one else None for one in days) for days in each)
            noise = tuple(tuple(one[1] if one else None for one in days) for days in each)
            from tools.fleet import smoothing  # brings pandas: seconds and memory, for who looks at weeks

            # The epoch began on a Thursday
            self._found[name] = smoothing.smooth(values, noise, (self.span.start + 3) % 7)
        return self._found[name]

    def _told_of(self, day: int) -> dict[str, list[_Told | None]]:
        return self._told[day - self.span.start] if day in self.span else {}

    def total(self, day: int) -> Estimate | None:
        """Return how many terminals a day likely had; None where nothing was told of it, or of too few days."""
        found = self._smooth("").days if "" in self._told_of(day) else []
        return found[0][day - self.span.start] if found and found[0] else None

    def cells(self, day: int, *, read: bool = False) -> views.Cells:
        """Return a day's figures: a whole day's cells add up to its total. Cells of too few days are left out.

        `read`: none is negative, for the eye alone.
        """
        found: views.Cells = {}
        rows = self._days.get(day, [])
        whole, total = {name: len(one.values) for name, one in views.answers(rows).items()}, self.total(day)
        for metric, cells in views.cells(rows, "combined").items():
            smooth = self._smooth(metric).days
            told = [cell for cell in cells if smooth[cell.number]]
            likely = [smooth[cell.number][day - self.span.start] for cell in told]
            if total is not None and whole.get(metric) == len(told) == len(smooth):
                likely = consistent.moved(likely, total.value)
                likely = consistent.readable(likely) if read else likely
            for cell, one in zip(told, likely, strict=True):
                below = math.ceil(cell.below * one.half_width / cell.estimate.half_width)
                shown = Estimate(max(one.value, 0.0), one.half_width) if read else one
                found.setdefault(metric, []).append(views.Cell(cell.number, shown, below, cell.late))
        return found

    def ordinary(self) -> list[Estimate | None]:
        """Return the arrivals of an ordinary week as it is at the last day, from Monday 03:00 UTC on.

        168 hours, or 42 times four hours; a day's add up to what an ordinary day has in all. None for those of too few
        days; [] where there is nothing else.
        """
        last = next((told for told in reversed(self._told) if told), {})
        for metric in QUESTIONS["arrivals"]:
            name = _hourly(metric.name) if len(metric.cells) > 1 else metric.name
            week = self._smooth(name).week if name in last else []
            if all(week) and week:
                totals = self._smooth("").week[0] if "" in last else []
                days = [[cell[weekday] for cell in week] for weekday in range(7)]
                if totals:
                    pairs = zip(days, totals, strict=True)
                    days = [consistent.moved(cells, total.value) for cells, total in pairs]
                return [one for cells in days for one in cells]
            if any(week):
                return [cell[weekday] if cell else None for weekday in range(7) for cell in week]
        return []


def of(gateway: Gateway, day: int, newest: int) -> Weeks:
    """Return the weeks from which a gateway's day is estimated."""
    span = window(day, newest)
    return Weeks(views.told(gateway, span.start, span[-1]), span)


def each(gateway: Gateway, first: int, last: int) -> Iterator[tuple[int, Weeks]]:
    """Yield each of these agent-days of which a gateway told, with its weeks."""
    told = Message.objects.filter(gateway=gateway).order_by("day").values_list("day", flat=True).distinct()
    newest, block, weeks = told.last() or last, -1, None
    for day in told.filter(day__gte=first, day__lte=last):
        if weeks is None or day // BLOCK != block:
            block, weeks = day // BLOCK, of(gateway, day, newest)
        yield day, weeks
