# SPDX-License-Identifier: Apache-2.0
"""A gateway's days and weeks as rows: pages of thousands of gateways read no message.

A row (`Day`) has what `views.total` says of the day, and the same of the seven days that end with it, added up. It is
written with the messages that it is made of, in one transaction, and goes with its gateway. Totals are in tenths of a
terminal, as `estimate.weights` counts, so all are whole numbers; noise is kept as text, term by term: nothing is
rounded.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache

from tools.fleet import spells, views
from tools.fleet.estimate import QUESTIONS, TELLING, Estimate, half_width_of
from tools.fleet.estimate import tenths as weights
from tools.fleet.models import Day, Gateway, Message
from tools.fleet.reading import METRIC

WEEK = 7
Noise = Counter[tuple[Fraction, int]]  # (scale, weight in tenths) -> how many such terms
TOLD = [METRIC[metric] for metric in TELLING]
_DAILY = [METRIC[metric.name] for metric in QUESTIONS["presence"]]
KEPT = ("tenths", "noise", "week_days", "week_tenths", "week_noise")


def written(noise: Noise) -> str:
    """Return noise as text."""
    return " ".join(f"{b.numerator}/{b.denominator}*{tenths}*{count}" for (b, tenths), count in sorted(noise.items()))


@lru_cache(maxsize=4096)
def read(text: str) -> Noise:
    """Return the noise that `written` made a text of."""
    terms = (term.split("*") for term in text.split())
    return Counter({(Fraction(b), int(tenths)): int(count) for b, tenths, count in terms})


def estimated(rows: Iterable[tuple[str, int, int, int]]) -> Estimate:
    """Return a sum of means: of rows (noise, how many such, their sum in tenths, days that each is a mean of)."""
    value, terms = Fraction(0), Counter[tuple[Fraction, Fraction]]()
    for noise, number, tenths, days in rows:
        value += Fraction(tenths, 10 * days)
        for (b, weight), count in read(noise).items():
            terms[b, Fraction(weight, 10 * days)] += count * number
    return Estimate(float(value), half_width_of(terms))


def of(gateway: Gateway, first: int, last: int) -> dict[int, Estimate]:
    """Return a gateway's terminals on each of these agent-days of which it told."""
    rows = Day.objects.filter(gateway=gateway, day__gte=first, day__lte=last, tenths__isnull=False).order_by("day")
    return {
        day: estimated([(noise, 1, tenths, 1)]) for day, tenths, noise in rows.values_list("day", "tenths", "noise")
    }


def note(touched: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Make the rows of some days of some gateways anew, (gateway's key, agent-day), of which messages were stored.

    To be called in a transaction that has locked the gateways. Return those of which a week tells something else now,
    or whose spell begins in another block. A day that isn't over yet has no total, and a metric of which a message is
    missing tells of none.
    """
    at = {"gateway__in": {gateway for gateway, _ in touched}, "day__in": {day for _, day in touched}}
    over = Message.objects.filter(**at, metric__in=_DAILY).values_list("gateway_id", "day")
    wanted = set(touched) & set(over) if touched else set()
    if not wanted:
        return set()
    at = {"gateway__in": {gateway for gateway, _ in wanted}, "day__in": {day for _, day in wanted}}
    told: dict[tuple[int, int], list[views.Told]] = {}
    found = Message.objects.filter(**at, metric__in=TOLD).order_by("metric", "slot")
    for gateway, day, *row in found.values_list("gateway_id", "day", *views.COLUMNS):
        told.setdefault((gateway, day), []).append(views.Told.of(*row))
    own = {(row.gateway_id, row.day): row for row in _near(wanted)}
    week_days = {place: row.week_days for place, row in own.items()}
    changed = set()
    for place in wanted:
        row = own.setdefault(place, Day(gateway_id=place[0], day=place[1]))
        former, (row.tenths, row.noise) = (row.tenths, row.noise), _total(told[place])
        if (row.tenths, row.noise) != former:
            changed.add(place)
    weeks = {(gateway, day + later) for gateway, day in changed for later in range(WEEK)}
    rows = summed(own, weeks)
    Day.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["gateway", "day"],
        update_fields=KEPT,
        batch_size=500,
    )
    told_now = [row for row in rows if bool(row.week_days) != bool(week_days.get((row.gateway_id, row.day)))]
    return weeks | spells.note(told_now)


def made(gateway: int, days: Mapping[int, list[views.Told]]) -> list[Day]:
    """Return all rows of a gateway, from all that it told."""
    own = {}
    for day, told in days.items():
        tenths, noise = _total(told)
        if tenths is not None:
            own[gateway, day] = Day(gateway_id=gateway, day=day, tenths=tenths, noise=noise)
    return summed(own, {(gateway, day + later) for _, day in own for later in range(WEEK)})


def summed(own: Mapping[tuple[int, int], Day], places: Collection[tuple[int, int]]) -> list[Day]:
    """Return the rows of some places with their weeks added up, from the days themselves."""
    found = []
    for gateway, day in sorted(places):
        row = own.get((gateway, day)) or Day(gateway_id=gateway, day=day)
        week = [own.get((gateway, day - back)) for back in range(WEEK)]
        told = [one for one in week if one is not None and one.tenths is not None]
        row.week_days, row.week_noise = len(told), _added(tuple(sorted(one.noise for one in told)))
        row.week_tenths = sum(one.tenths or 0 for one in told)
        found.append(row)
    return found


@lru_cache(maxsize=4096)
def _added(texts: tuple[str, ...]) -> str:
    noise: Noise = Counter()
    for text in texts:
        noise.update(read(text))
    return written(noise)


def _near(places: Collection[tuple[int, int]]) -> Iterable[Day]:
    """Return the rows that some days' weeks are made of, and others'."""
    near = {day + apart for _, day in places for apart in range(1 - WEEK, WEEK)}
    return Day.objects.filter(gateway__in={gateway for gateway, _ in places}, day__in=near)


def _total(told: list[views.Told]) -> tuple[int | None, str]:
    """Return a day's total in tenths and its noise; None where no daily sum was told."""
    sums = [answer.sum for answer in views.answers(told).values()]
    if not sums:
        return None, ""
    tenths, noise = 0, Noise()
    for weight, (published, scales) in zip(weights(sums), sums, strict=True):
        tenths += weight * published
        if weight:
            noise.update({(b, weight): count for b, count in scales.items()})
    return tenths, written(noise)
