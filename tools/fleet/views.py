# SPDX-License-Identifier: Apache-2.0
"""A gateway's figures of a day in one of the ways to look at them, for pages and exports, which say which one.

`published`  the noisy integers of the messages, unchanged (ANON-3)
`combined`   made consistent with one total of the day (tools/fleet/consistent.py), unbiased: what sums are made of

The third way, `smoothed`, needs other days as well: tools/fleet/weeks.py.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from agent.summary.metrics import METRICS, Metric, display_threshold
from tools.fleet.consistent import Answer, readable, reconciled
from tools.fleet.estimate import QUESTIONS, Estimate, half_width
from tools.fleet.models import VALUES, Gateway, Message

VIEWS = ("published", "combined")
COLUMNS = ("metric", "slot", "start", "end", "b_over", "b_under", "late", *VALUES)


@dataclass(frozen=True)
class Told:
    """A message of a gateway's day; `start` and `end` in seconds since the epoch."""

    metric: Metric
    slot: int
    start: int
    end: int
    b: Fraction
    late: bool
    values: tuple[int, ...]

    @classmethod
    def of(
        cls, number: int, slot: int, start: int, end: int, over: int, under: int, late: bool, *values: int
    ) -> "Told":
        """Return it from its columns."""
        metric = METRICS[number]
        return cls(metric, slot, start, end, Fraction(over, under), late, values[: len(metric.cells)])


@dataclass(frozen=True)
class Cell:
    """A figure: its number among the metric's cells of the day, value, band, "less than", whether it came late."""

    number: int
    estimate: Estimate
    below: int
    late: bool


Cells = dict[str, list[Cell]]  # metric -> its cells of a day, in their order


def told(gateway: Gateway, first: int, last: int) -> dict[int, list[Told]]:
    """Return what a gateway told of each of these agent-days, in the order of metrics and slots."""
    rows = Message.objects.filter(gateway=gateway, day__gte=first, day__lte=last).order_by("day", "metric", "slot")
    days: dict[int, list[Told]] = {}
    for day, *row in rows.values_list("day", *COLUMNS):
        days.setdefault(day, []).append(Told.of(*row))
    return days


def answers(rows: Iterable[Told]) -> dict[str, Answer]:
    """Return by metric a day's cells for the same terminals: those counted since its daily sums' table began.

    A table begins anew with a boot or another profile; what had been published before is of terminals that it doesn't
    know. A metric of which a message is missing, or that has two scales, is left out. The daily one comes first.
    """
    rows = list(rows)
    begins = [row.start for row in rows if row.metric.like == "presence"]
    found: dict[str, Answer] = {}
    for metric in [one for metrics in QUESTIONS.values() for one in metrics] if len(begins) == 1 else ():
        same = [row for row in rows if row.metric is metric and row.end > begins[0]]
        whole = same and [row.slot for row in same] == list(range(same[0].slot, metric.slots))
        if whole and same[0].end - metric.slot_seconds <= begins[0] and len({row.b for row in same}) == 1:
            found[metric.name] = Answer(tuple(value for row in same for value in row.values), same[0].b)
    return found


def total(rows: Iterable[Told]) -> Estimate | None:
    """Return how many terminals a day had, from all that tells it; None where no daily sum was told."""
    found = answers(rows)
    return reconciled(list(found.values()))[0] if found else None


def mean(days: Iterable[list[Told]]) -> dict[str, dict[int, Estimate]]:
    """Return combined cells' means over days, by metric and number; bands as of normal noise, for drawing."""
    found: dict[str, dict[int, list[Estimate]]] = {}
    for rows in days:
        for metric, each in cells(rows, "combined").items():
            for one in each:
                found.setdefault(metric, {}).setdefault(one.number, []).append(one.estimate)
    return {
        metric: {
            number: Estimate(
                sum(one.value for one in each) / len(each), math.hypot(*(one.half_width for one in each)) / len(each)
            )
            for number, each in numbers.items()
        }
        for metric, numbers in found.items()
    }


def cells(rows: list[Told], view: str, *, read: bool = False) -> Cells:
    """Return a day's figures in one of VIEWS; `read`: no cell of a total is negative, for the eye alone."""
    found: Cells = {}
    for row in rows:
        width, below = half_width({row.b: 1}), display_threshold((row.b.numerator, row.b.denominator))
        first = row.slot * len(row.values)
        found.setdefault(row.metric.name, []).extend(
            Cell(number, Estimate(value, width), below, row.late) for number, value in enumerate(row.values, first)
        )
    if view == "combined":
        same = answers(rows)
        made = reconciled(list(same.values()))[1] if same else []
        for metric, estimates in zip(same, made, strict=True):
            begin = len(found[metric]) - len(estimates)  # what had closed before the table began stays as it is
            for place, estimate in enumerate(readable(estimates) if read else estimates, begin):
                former = found[metric][place]
                below = math.ceil(former.below * estimate.half_width / former.estimate.half_width)
                found[metric][place] = Cell(former.number, estimate, below, former.late)
    return found
