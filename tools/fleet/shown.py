# SPDX-License-Identifier: Apache-2.0
"""The charts that a page shows, as data: one for drawing, for the table below, and for CSV, Parquet, SVG and PNG.

`charts` has the geometry of the page's own drawing, tools/fleet/drawing.py makes pictures for elsewhere.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from agent.summary.metrics import METRICS
from tools.fleet import charts, figures, listing, views, words
from tools.fleet.estimate import Estimate
from tools.fleet.reading import KEPT_DAYS

SPAN = 28  # days of a chart, where no others are asked for
WEEKS = 8
_DAY, _EPOCH = 86_400, dt.date(1970, 1, 1).toordinal()
_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
COLUMNS = ("chart", "label", "value", "half_width")


@dataclass(frozen=True)
class Chart:
    """Figures with their labels; None: nobody told.

    `means`: the same over so many `days`, where noise hides one of them.

    `smoothed`: estimates from several weeks; `raw` is then what was published, as a person reads it.

    `upright`: columns side by side, of which every `every`-th has its label below, or `steps` stand there.
    """

    name: str
    title: str
    what: str
    labels: Sequence[str]
    estimates: Sequence[Estimate | None]
    upright: bool = True
    below: Sequence[float] = ()
    means: Sequence[Estimate | None] = ()
    days: int = 1
    every: int = 1
    steps: Sequence[str] = ()
    keys: Sequence[str] = ()  # what stands for labels where it is handed out
    late: bool = False
    smoothed: bool = False
    raw: Sequence[str] = ()
    forms = ("csv", "parquet", "svg", "png")  # in which it is handed out

    @property
    def handed(self) -> str:
        """Return its name where it is handed out: an estimate is called one."""
        return f"{self.name}-smoothed" if self.smoothed else self.name

    @property
    def noise(self) -> list[bool]:
        """Return which figures are nothing but noise: too small to say."""
        pairs = zip(self.estimates, self.means or self.estimates, strict=True)
        return [one is not None and charts.noise(one, mean or one) for one, mean in pairs]

    @property
    def mostly_noise(self) -> bool:
        """Return True where more than half of the figures are too small to say."""
        told = sum(one is not None for one in self.estimates)
        return 2 * sum(self.noise) > told > 0

    @property
    def said(self) -> list[str]:
        """Return each figure as a person reads it; an empty text where nobody told."""
        limits = self.below or [0.0] * len(self.estimates)
        return [figures.shown(one, limit) if one else "" for one, limit in zip(self.estimates, limits, strict=True)]

    @property
    def texts(self) -> list[str]:
        """Return the same, and which of them are too small to say."""
        small = words.say("too small to say")
        return [f"{text} ({small})" if noise else text for text, noise in zip(self.said, self.noise, strict=True)]

    def rows(self) -> list[tuple[str, str, float, float]]:
        """Return what is handed out, a row a figure that was told: unrounded, with its band."""
        pairs = zip(self.keys or self.labels, self.estimates, strict=True)
        return [
            (self.handed, words.say(label), float(one.value), float(one.half_width))
            for label, one in pairs
            if one is not None
        ]

    def drawn(self) -> dict[str, Any]:
        """Return what a template draws it from."""
        noise = self.noise
        means = [mean or one for one, mean in zip(self.estimates, self.means or self.estimates, strict=True)]
        times = charts.telling([mean for mean, hidden in zip(means, noise, strict=True) if hidden and mean is not None])
        found: dict[str, Any] = {"chart": self, "hidden": sum(noise), "times": times, "span": times * self.days}
        highest = figures.highest(self.estimates)
        published = self.raw or [""] * len(self.labels)
        if not self.upright:
            columns = zip(self.estimates, self.texts, self.labels, noise, published, strict=True)
            told = [(one, *others) for one, *others in columns if one]
            one, text, label, hidden, raw = (
                (list(column) for column in zip(*told, strict=True)) if told else ([], [], [], [], [])
            )
            return found | {"bars": list(zip(charts.rows(one, text, label, hidden, highest), raw, strict=True))}
        top, lines = charts.scale(highest)
        numbered = enumerate(self.labels)
        steps = [
            (label if number % self.every == 0 else "", self.every > 1 and number // self.every % 2 == 1)
            for number, label in numbered
        ]
        return found | {
            "bars": charts.columns(self.estimates, self.texts, self.labels, noise, top),
            "ticks": [(figures.thousands(line), round(charts.HIGH * (1 - line / top), 2)) for line in lines],
            "steps": [(step, False) for step in self.steps] or steps,
            "table": list(zip(self.labels, self.texts, published, strict=True)),
        }


@dataclass(frozen=True)
class Span:
    """The agent-days that are asked for, within what is kept."""

    first: int
    last: int

    @classmethod
    def asked(cls, query: Mapping[str, str], newest: int) -> "Span":
        """Return the days from `first` to `last` of a query, YYYY-MM-DD.

        Else the SPAN that ends with the newest whole day.
        """
        last = min(max(_number(query.get("last", ""), newest), newest - KEPT_DAYS + 1), newest)
        first = _number(query.get("first", ""), last - SPAN + 1)
        return cls(min(max(first, newest - KEPT_DAYS + 1), last), last)

    @property
    def days(self) -> list[int]:
        """Return them all."""
        return list(range(self.first, self.last + 1))

    @property
    def weeks(self) -> int:
        """Return how many weeks are shown beside them: as many as they are, at least WEEKS."""
        return max(WEEKS, -(-len(self.days) // 7))


def _number(text: str, default: int) -> int:
    try:
        return dt.date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        return default


def zone(name: str) -> ZoneInfo:
    """Return a time zone; UTC where there is none of that name."""
    return ZoneInfo(name if name in listing.zones() else "UTC")


def _estimated(one: Chart, raw: Sequence[str] = ()) -> Chart:
    """Return a chart of estimates, which says so; beside them what was published."""
    return replace(one, title=words.say("{title}: estimates", title=one.title), smoothed=True, raw=raw)


def of_days(
    found: dict[int, tuple[Estimate, int]], span: Span, likely: dict[int, tuple[Estimate, int]] | None = None
) -> Chart:
    """Return the chart of terminals a day; of what is `likely`, if that is given, beside what was found."""
    if likely:
        raw = [figures.shown(one) if one else "" for one in figures.sequence(found, span.days)]
        return _estimated(of_days(likely, span), raw)
    days = span.days
    form = "%d.%m." if len(days) <= 2 * SPAN else "%d.%m.%y"
    labels = [figures.as_date(one).strftime(form) for one in days]
    every = 7 if len(days) <= 2 * SPAN else -(-len(days) // 8)
    title = words.say("Terminals a day, each with the band that holds the truth with 95 %")
    keys = [figures.as_date(one).strftime("%Y-%m-%d") for one in days]
    return Chart("days", title, "day", labels, figures.sequence(found, days), every=every, keys=keys)


def of_weeks(means: Sequence[tuple[int, Estimate]]) -> Chart:
    """Return the chart of weeks' mean days: (first day, mean)."""
    labels = [figures.as_date(first).strftime("%Y-%m-%d") for first, _ in means]
    return Chart(
        "weeks",
        words.say("Mean day of each week"),
        "week from",
        labels,
        [mean for _, mean in means],
        upright=False,
        days=7,
    )


def of_hours(span: Span, sums: figures.Sums, name: str) -> Chart:
    """Return the chart of a week's hours, in a time zone."""
    profile = sums.profile(max(span.first, span.last - SPAN + 1), zone(name))
    labels = [f"{words.say(_NAMES[hour // 24])} {hour % 24:02}:00" for hour in range(168)]
    steps = [words.say(one) for one in _NAMES]
    return Chart("hours", words.say("Arrivals in the hours of the week"), "hour", labels, profile, steps=steps)


def of_ordinary(week: Sequence[Estimate | None], day: int, name: str) -> Chart:
    """Return the chart of an ordinary week as `weeks` estimates it, in the time that a zone has on that day.

    No figure is negative, for the eye alone.
    """
    each = 168 // len(week)
    ahead = dt.datetime.fromtimestamp(day * _DAY, zone(name)).utcoffset() or dt.timedelta()
    monday = dt.datetime(2024, 1, 1, 3, tzinfo=dt.UTC) + ahead
    begins = [monday + dt.timedelta(hours=each * number) for number in range(len(week))]
    ordered = sorted(
        ((one.weekday(), one.strftime("%H:%M"), estimate) for one, estimate in zip(begins, week, strict=True)),
        key=itemgetter(0, 1),
    )
    labels = [f"{words.say(_NAMES[weekday])} {time}" for weekday, time, _ in ordered]
    read = [Estimate(max(one.value, 0.0), one.half_width) if one else None for *_, one in ordered]
    steps = [words.say(one) for one in _NAMES]
    title = words.say("An ordinary week, as it is now")
    return _estimated(Chart("ordinary", title, "hour", labels, read, steps=steps))


def of_metrics(
    told: views.Cells,
    means: dict[str, dict[int, Estimate]],
    days: int,
    day: int,
    name: str,
    raw: views.Cells | None = None,
) -> list[Chart]:
    """Return a chart for each metric of a gateway's day; `means` are of `days`, hours those of a time zone.

    `raw` is what was published, if `told` is estimated.
    """
    found = _of_metrics(told, means, days, day, name)
    if raw is None:
        return found
    published = _of_metrics(raw, {}, 1, day, name)
    texts = {one.name: one.said for one in published}
    return [_estimated(one, texts[one.name]) for one in found]


def _of_metrics(
    told: views.Cells, means: dict[str, dict[int, Estimate]], days: int, day: int, name: str
) -> list[Chart]:
    found = []
    for metric in METRICS:
        points = told.get(metric.name, [])
        if not points:
            continue
        title, late = words.say(metric.name), any(point.late for point in points)
        mean = means.get(metric.name, {})
        if metric.slots == 1:
            single = [point.estimate for point in points]
            week = [mean.get(point.number) for point in points]
            below = [float(points[0].below)] * len(points)
            found.append(
                Chart(
                    metric.name,
                    title,
                    "cell",
                    metric.cells,
                    single,
                    upright=False,
                    below=below,
                    means=week,
                    days=days,
                    late=late,
                )
            )
            continue
        by_slot = {point.number: point for point in points}
        slots = range(metric.slots * len(metric.cells))
        begins = [day * _DAY + 3 * 3600 + slot * _DAY // len(slots) for slot in slots]
        labels = [dt.datetime.fromtimestamp(one, zone(name)).strftime("%H:%M") for one in begins]
        values = [by_slot[slot].estimate if slot in by_slot else None for slot in slots]
        below = [float(by_slot[slot].below) if slot in by_slot else 0.0 for slot in slots]
        week = [mean.get(slot) for slot in slots]
        every = max(len(slots) // 8, 1)
        found.append(
            Chart(
                metric.name, title, "hour", labels, values, below=below, means=week, days=days, every=every, late=late
            )
        )
    return found


def of_cells(cells: dict[str, list[Estimate]]) -> list[Chart]:
    """Return a chart for each daily metric of several days together."""
    return [
        Chart(name, words.say(name), "cell", figures.cells(name), values, upright=False)
        for name, values in cells.items()
    ]


def weeks_of(days: dict[int, tuple[Estimate, int]], last: int, count: int) -> list[tuple[int, Estimate]]:
    """Return the mean days of a gateway's weeks that end with `last`, the oldest first; only where it told of a day."""
    found = []
    for first in range(last - 7 * count + 1, last + 1, 7):
        mean = figures.mean_day([one for day, (one, _) in days.items() if first <= day < first + 7])
        if mean is not None:
            found.append((first, mean))
    return found


def compared(now: Estimate, before: Estimate) -> str:
    """Return what a person reads of two means side by side.

    By how much the first is more or less, or that noise hides it.
    """
    difference = now.value - before.value
    width = (now.half_width**2 + before.half_width**2) ** 0.5  # as if sums of noise were normal, which they nearly are
    if abs(difference) <= width:
        return words.say("too small to say")
    text = figures.shown(Estimate(abs(difference), width))
    return words.say("{n} more", n=text) if difference > 0 else words.say("{n} fewer", n=text)
