# SPDX-License-Identifier: Apache-2.0
"""A gateway's days and weeks as rows: always what its messages add up to, however they came."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.fleet import says
from tests.fleet.says import DAY, NOW
from tests.fleet.test_store import a_day
from tests.support.consumers import consume_at_once
from tools.fleet import daily, estimate, figures, inventory, retention, views
from tools.fleet.intake import Intake
from tools.fleet.models import Day, Gateway
from tools.fleet.progress import Progress
from tools.fleet.reading import KEPT_DAYS

ONE, OTHER = says.name(1), says.name(2)


def agree() -> int:
    """Hold every row against the messages; return how many days have a total."""
    told = {
        row.pk: {day: views.answers(rows) for day, rows in views.told(row, 0, 1 << 30).items()}
        for row in Gateway.objects.all()
    }
    wanted = {}
    for gateway, days in told.items():
        totals: dict[int, list[estimate.Sum]] = {
            day: [one.sum for one in answers.values()] for day, answers in days.items() if answers
        }
        for day in {day + later for day in totals for later in range(7)}:
            week = [totals[at] for at in range(day - 6, day + 1) if at in totals]
            wanted[gateway, day] = (
                _counted([totals[day]]) if day in totals else None, len(week), *_counted(week)
            )  # fmt: skip
    kept = {
        (row.gateway_id, row.day): (
            None if row.tenths is None else (row.tenths, daily.read(row.noise)),
            row.week_days, row.week_tenths, daily.read(row.week_noise),
        )
        for row in Day.objects.exclude(week_days=0)
    }  # fmt: skip
    assert kept == wanted
    return sum(one[0] is not None for one in wanted.values())


def _counted(days: list[list[estimate.Sum]]) -> tuple[int, Counter[tuple[Fraction, int]]]:
    tenths, noise = Fraction(0), Counter[tuple[Fraction, int]]()
    for sums in days:
        for weight, (published, scales) in zip(estimate.weights(sums), sums, strict=True):
            tenths += 10 * weight * published
            noise += Counter({(b, int(10 * weight)): count for b, count in scales.items() if weight})
    return int(tenths), noise


def test_rows_are_what_messages_add_up_to_in_whichever_order_they_come(store):
    """Twice, late, shuffled, days with gaps between, some without a daily sum, some cut short."""
    lot = random.Random(3)
    sent = [one for gateway in (ONE, OTHER) for day in (DAY - 30, DAY - 9, DAY - 4, DAY) for one in a_day(gateway, day)]
    sent += [says.summary(ONE, "arrivals", DAY - 2, slot) for slot in range(9)]  # a day without a daily sum
    sent += [says.summary(OTHER, "presence", DAY - 2)]  # and one with nothing else
    sent += [says.summary(OTHER, "stays", DAY - 9)]  # another profile on the same day: no total
    again = sent * 2
    lot.shuffle(again)
    while again:
        size = 1 + lot.randrange(60)
        Intake().take(again[:size], NOW)
        del again[:size]
        agree()
    Intake().take(sent, NOW)
    assert agree() == 8
    gateway = Gateway.objects.get(ident=ONE)
    assert daily.of(gateway, 0, DAY) == {
        day: total for day, rows in views.told(gateway, 0, DAY).items() if (total := views.total(rows))
    }


def test_a_day_that_is_told_of_again_under_another_profile_loses_its_total(store):
    Intake().take(a_day(ONE), NOW)
    assert agree() == 1
    Intake().take([says.summary(ONE, "stays")], NOW)
    assert agree() == 0
    assert figures.weekly_means(DAY, 8) == []


def test_two_consumers_at_once_write_the_same_rows(store):
    """Each has every second message of a week of five gateways."""
    sent = [one for number in range(5) for day in range(DAY - 6, DAY + 1) for one in a_day(says.name(number), day)]
    consume_at_once([(sent[::2], 41), (sent[1::2], 41)], NOW)
    assert agree() == 35


def test_rows_go_with_their_gateway_and_their_age(store):
    old = NOW - (KEPT_DAYS - 2) * 86_400
    Intake().take(a_day(ONE, old // 86_400 - 2), old)
    assert Day.objects.filter(tenths__isnull=False).exists()
    Intake().take(a_day(ONE) + a_day(OTHER), NOW)
    retention.prune(NOW + 5 * 86_400)
    assert set(Day.objects.filter(tenths__isnull=False).values_list("day", flat=True)) == {DAY}
    inventory.remove(Gateway.objects.get(ident=OTHER))
    assert set(Day.objects.values_list("gateway__ident", flat=True)) == {ONE}


def test_a_store_of_before_gets_its_rows_and_says_how_far_it_is(store, monkeypatch, capsys):
    """Made again from the messages by the migration, as the intake would have made them."""
    monkeypatch.setattr(Progress, "EVERY", 0.0)
    sent = [one for gateway in (ONE, OTHER) for day in range(DAY - 9, DAY + 1) for one in a_day(gateway, day)]
    Intake().take(sent, NOW)
    kept = set(Day.objects.values_list())
    call_command("migrate", "fleet", "0010", verbosity=0)
    with connection.cursor() as cursor:
        assert "fleet_day" not in connection.introspection.table_names(cursor)
    call_command("migrate", verbosity=0)
    assert "oubli-fleet: the store gets its days and weeks, once: 1 of 2 gateways, about " in capsys.readouterr().err
    assert set(Day.objects.values_list()) == kept
    assert agree() == 20


def test_pages_ask_as_often_however_many_groups_there_are(store):
    """Weeks of the fleet, of each group, the metrics' terminals: how much has changed, and the rows."""
    counts: tuple[set[int], set[int]] = (set(), set())
    for number in range(1, 9):
        Intake().take(a_day(says.name(number)), NOW)
        Gateway.objects.filter(ident=says.name(number)).update(group=f"group {number}")
        for group in ("", f"group {number}"):
            figures.regroup(group)
        for asked in counts:  # the first time what has changed is made anew
            with CaptureQueriesContext(connection) as queries:
                assert len(figures.group_means(DAY)) == len(figures.group_days(DAY)) == number
                assert len(figures.weekly_means(DAY, 8)) == 1
            asked.add(sum("fleet_" in one["sql"] for one in queries))
    assert [len(one) for one in counts] == [1, 1]
    assert counts[1] == {7}


@pytest.mark.parametrize("days", [7, 5])
def test_a_weeks_band_is_that_of_its_days(sqlite, days):
    for day in range(DAY - days + 1, DAY + 1):
        Intake().take(a_day(ONE, day), NOW)
    ((_, mean, told),) = figures.weekly_means(DAY, 8)
    each = list(daily.of(Gateway.objects.get(), 0, DAY).values())
    assert (told, len(each)) == (1, days)
    assert mean.value == pytest.approx(sum(one.value for one in each) / days)
    assert mean.half_width == pytest.approx((sum(one.half_width**2 for one in each)) ** 0.5 / days, rel=0.02)
