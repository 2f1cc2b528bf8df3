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
from typing import NamedTuple

from django.db import connection

from tools.fleet import views
from tools.fleet.estimate import QUESTIONS, TELLING, Estimate, half_width_of
from tools.fleet.estimate import tenths as weights
from tools.fleet.models import Day, Gateway, Message
from tools.fleet.reading import METRIC

WEEK = 7
Noise = Counter[tuple[Fraction, int]]  # (scale, weight in tenths) -> how many such terms
TOLD = [METRIC[metric] for metric in TELLING]
_DAILY = [METRIC[metric.name] for metric in QUESTIONS["presence"]]
KEPT = ("tenths", "noise", "week_days", "week_tenths", "week_noise")
_WEEKS = """
WITH told AS (
    SELECT gateway_id, (%(last)s - day) / %(step)s AS back, week_days, week_noise, week_tenths,
           ROW_NUMBER() OVER (PARTITION BY gateway_id ORDER BY day DESC) AS place
    FROM fleet_day WHERE day IN ({days}) AND week_days > 0{group}),
same AS (SELECT gateway_id, COUNT(*) AS run FROM told WHERE place = back + 1 GROUP BY gateway_id)
SELECT run, back, week_days, week_noise, COUNT(*), SUM(week_tenths)
FROM told JOIN same USING (gateway_id) WHERE back < run GROUP BY run, back, week_days, week_noise"""
_GROUP = ' AND gateway_id IN (SELECT id FROM fleet_gateway WHERE "group" = %(group)s)'
_GROUPS = """
SELECT fleet_gateway."group", week_days, week_noise, COUNT(*), SUM(week_tenths)
FROM fleet_day JOIN fleet_gateway ON fleet_gateway.id = gateway_id WHERE day = %s AND week_days > 0
GROUP BY fleet_gateway."group", week_days, week_noise ORDER BY fleet_gateway."group" """


class Weeks(NamedTuple):
    """Gateways whose week has as many days with the same noise: how many they are, their terminals in tenths."""

    days: int
    noise: str
    gateways: int
    tenths: int


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


def same_weeks(last: int, step: int, count: int, group: str | None, share: int = 2) -> list[list[Weeks]]:
    """Return what the same gateways told of in the weeks that end with `last` and each `step` days before it.

    The newest comes first. They are those that told of a day at least in each; so many weeks, of `count`, are returned
    as one in `share` of the newest one's gateways told in.
    """
    text = _WEEKS.format(
        days=",".join(str(last - step * back) for back in range(count)), group="" if group is None else _GROUP
    )
    with connection.cursor() as cursor:
        cursor.execute(text, {"last": last, "step": step, "group": group})
        rows = [
            (run, back, Weeks(days, noise, gateways, int(tenths)))
            for run, back, days, noise, gateways, tenths in cursor.fetchall()
        ]
    runs = Counter[int]()
    for run, back, week in rows:
        if back == 0:
            runs[run] += week.gateways
    at_least = [sum(found for run, found in runs.items() if run >= weeks) for weeks in range(count + 2)]
    weeks = 1
    while weeks < count and share * at_least[weeks + 1] >= at_least[1] > 0:
        weeks += 1
    return [[week for run, at, week in rows if at == back and run >= weeks] for back in range(weeks)]


def groups(last: int) -> dict[str, list[Weeks]]:
    """Return what each group's gateways told in the week that ends with `last`."""
    found: dict[str, list[Weeks]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, [last])
        for group, days, noise, gateways, tenths in cursor.fetchall():
            found.setdefault(group, []).append(Weeks(days, noise, gateways, int(tenths)))
    return found


def note(touched: Collection[tuple[int, int]]) -> None:
    """Make the rows of some days of some gateways anew, (gateway's key, agent-day), of which messages were stored.

    To be called in a transaction that has locked the gateways. A day that isn't over yet has nothing to be made of.
    """
    at = {"gateway__in": {gateway for gateway, _ in touched}, "day__in": {day for _, day in touched}}
    over = Message.objects.filter(**at, metric__in=_DAILY).values_list("gateway_id", "day")
    wanted = set(touched) & set(over) if touched else set()
    if not wanted:
        return
    at = {"gateway__in": {gateway for gateway, _ in wanted}, "day__in": {day for _, day in wanted}}
    told: dict[tuple[int, int], list[views.Told]] = {}
    found = Message.objects.filter(**at, metric__in=TOLD).order_by("metric", "slot")
    for gateway, day, *row in found.values_list("gateway_id", "day", *views.COLUMNS):
        told.setdefault((gateway, day), []).append(views.Told.of(*row))
    own = {(row.gateway_id, row.day): row for row in _near(wanted)}
    for place in wanted:
        row = own.setdefault(place, Day(gateway_id=place[0], day=place[1]))
        row.tenths, row.noise = _total(told[place])
    Day.objects.bulk_create(
        summed(own, {(gateway, day + later) for gateway, day in wanted for later in range(WEEK)}),
        update_conflicts=True,
        unique_fields=["gateway", "day"],
        update_fields=KEPT,
        batch_size=500,
    )


def made(gateway: int, days: Mapping[int, list[views.Told]]) -> list[Day]:
    """Return all rows of a gateway, from all that it told."""
    own = {}
    for day, told in days.items():
        tenths, noise = _total(told)
        if tenths is not None:
            own[gateway, day] = Day(gateway_id=gateway, day=day, tenths=tenths, noise=noise)
    return summed(own, {(gateway, day + later) for _, day in own for later in range(WEEK)})


def again(gateway: Gateway) -> None:
    """Make all rows of a gateway anew."""
    Day.objects.filter(gateway=gateway).delete()
    Day.objects.bulk_create(made(gateway.pk, views.told(gateway, 0, 1 << 30)), batch_size=500)


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
