# SPDX-License-Identifier: Apache-2.0
"""Days of groups and of all gateways as rows: always what the messages themselves add up to, however they came."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent.summary.metrics import METRICS
from tests.fleet import says
from tests.fleet.says import DAY, NOW
from tests.fleet.test_collector import until
from tests.fleet.test_store import a_day
from tools import clock
from tools.fleet import daily, figures, grouped, inventory, retention, same_weeks, spells, views
from tools.fleet.consistent import together
from tools.fleet.estimate import HOURLY, TELLING, Estimate, answered, combined, half_width_of, weights
from tools.fleet.intake import Intake
from tools.fleet.models import VALUES, Day, Gateway, Grouped, Message, Spell
from tools.fleet.reading import KEPT_DAYS
from tools.fleet.serve import Upkeep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ONE, OTHER, THIRD = (says.name(number) for number in (1, 2, 3))
Parts = dict[tuple[str, int, int], tuple[int, Counter[Fraction]]]


class Raw:
    """What figures should be, from each message by itself: no total, no day and no row is read."""

    def __init__(self, group: str | None) -> None:
        rows = Message.objects.all() if group is None else Message.objects.filter(gateway__group=group)
        self.days: dict[int, tuple[Parts, dict[str, Counter[int]]]] = {}
        for number, day, slot, over, under, *values in rows.values_list(
            "metric", "day", "slot", "b_over", "b_under", *VALUES
        ):
            metric = METRICS[number]
            parts, slots = self.days.setdefault(day, ({}, {metric: Counter() for metric in TELLING}))
            slots.setdefault(metric.name, Counter())[slot] += 1
            told = values[: len(metric.cells)]
            hour = metric.name in HOURLY
            for cell, value in enumerate([sum(told)] if hour else told):
                former, scales = parts.get((metric.name, slot, cell), (0, Counter()))
                scales = scales + Counter({Fraction(over, under): len(told) if hour else 1})
                parts[metric.name, slot, cell] = former + value, scales
        self.weeks: dict[int, dict[int, tuple[Fraction, Counter[tuple[Fraction, Fraction]]]]] = {}
        gateways = Gateway.objects.all() if group is None else Gateway.objects.filter(group=group)
        for gateway in gateways:
            totals = {
                day: [one.sum for one in told.values()]
                for day, rows in views.told(gateway, 0, 1 << 30).items()
                if (told := views.answers(rows))
            }
            for end in {day + later for day in totals for later in range(7)}:
                week = [totals[day] for day in range(end - 6, end + 1) if day in totals]
                value, noise = Fraction(0), Counter[tuple[Fraction, Fraction]]()
                for sums in week:
                    for weight, (published, scales) in zip(weights(sums), sums, strict=True):
                        value += weight * published / len(week)
                        for b, count in scales.items() if weight else ():
                            noise[b, weight / len(week)] += count
                self.weeks.setdefault(end, {})[gateway.pk] = value, noise

    def told(self) -> dict[int, tuple[Estimate, int]]:
        """Return each day's terminals, and how many gateways told."""
        found = {}
        for day, (parts, slots) in sorted(self.days.items()):
            count = slots["presence"][0] + slots.get("stays", Counter())[0]
            if count:
                sums = []
                for metrics in answered(slots):
                    mine = [part for (metric, _, _), part in parts.items() if metric in metrics]
                    sums.append((sum(value for value, _ in mine), sum((one for _, one in mine), Counter())))
                found[day] = combined(sums), count
        return found

    def parts(self, day: int) -> dict[tuple[str, int, int], tuple[Fraction, Counter[tuple[Fraction, Fraction]]]]:
        """Return each hour and cell of a day; those of what all gateways told of have one total."""
        parts, slots = self.days[day]
        questions = [[place for place in sorted(parts) if place[0] in metrics] for metrics in answered(slots)]
        made = together([[parts[place] for place in places] for places in questions])
        found = {
            place: one
            for places, each in zip(questions, made, strict=True)
            for place, one in zip(places, each, strict=True)
        }
        whole = Fraction(1)
        alone = {
            place: (Fraction(value), Counter({(b, whole): count for b, count in scales.items()}))
            for place, (value, scales) in parts.items()
        }
        return alone | found

    def same(self, ends: Sequence[int], share: int) -> list[tuple[Estimate, int]]:
        """Return the mean days of weeks that end so, newest first, of the gateways that told in each of them."""
        newest, weeks = set(self.weeks.get(ends[0], {})), 1

        def in_all(count: int) -> set[int]:
            return newest.intersection(*(set(self.weeks.get(end, {})) for end in ends[:count]))

        while weeks < len(ends) and share * len(in_all(weeks + 1)) >= len(newest) > 0:
            weeks += 1
        return [_added([self.weeks[end][key] for key in in_all(weeks)]) for end in ends[:weeks] if newest]


def _added(some: Sequence[tuple[Fraction, Counter]]) -> tuple[Estimate, int]:
    noise: Counter[tuple[Fraction, Fraction]] = Counter()
    for _, one in some:
        noise.update(one)
    return Estimate(float(sum(value for value, _ in some)), half_width_of(noise)), len(some)


def agree() -> int:
    """Hold all that pages show of all gateways and of each group against the messages; return how many days."""
    checked = 0
    groups = figures.groups()
    newest = figures.newest_day() or DAY
    for group in (None, *groups):
        raw = Raw(group)
        sums = figures.Sums(0, 1 << 30, group)
        told = sums.days()
        assert told == raw.told()
        checked += len(told)
        cells: dict[str, list[list]] = {}
        hours: dict[int, list] = {}
        for day in raw.days:
            for (metric, slot, cell), part in raw.parts(day).items():
                if metric in HOURLY:
                    hours.setdefault(day * 24 + 3 + slot, []).append(part)
                else:
                    places = cells.setdefault(metric, [[] for _ in figures.cells(metric)])
                    if METRICS[[one.name for one in METRICS].index(metric)].slots == 1:
                        places[cell].append(part)
        wanted = {metric: [_added(one)[0] for one in each] for metric, each in cells.items() if metric != "dayparts"}
        assert sums.cells(0) == wanted
        week: list[list] = [[] for _ in range(168)]
        for begin, parts in hours.items():
            at = datetime.fromtimestamp(begin * 3600, UTC)
            week[at.weekday() * 24 + at.hour].append(parts)
        profile = [
            _added([part for parts in each for part in parts])[0].scaled(len(each)) if each else None for each in week
        ]
        assert sums.profile(0, UTC) == profile
        for last in {newest, newest - 3}:
            means = [(one, count) for _, one, count in figures.weekly_means(last, 5, group)][::-1]
            assert means == raw.same([last - 7 * back for back in range(5)], 2)
            for back in (7, 364):
                pair = raw.same([last, last - back], 1 << 31)
                both = (pair[0][0], pair[1][0], pair[0][1]) if len(pair) == 2 else None
                assert figures.against(last, back, group) == both
        if group is not None:
            assert figures.group_days(newest).get(group) == raw.told().get(newest)
            alone = raw.same([newest], 2)
            assert figures.group_means(newest).get(group) == (alone[0] if alone else None)
    return checked


def sent(*gateways: str, days: Sequence[int]) -> list:
    return [one for gateway in gateways for day in days for one in a_day(gateway, day)]


@pytest.mark.long
def test_rows_are_what_the_messages_add_up_to_in_whichever_order_they_come(store):
    """Twice, late, shuffled, two groups, profiles mixed, days cut short, a week that one gateway lacks."""
    lot = random.Random(4)
    all_sent = sent(ONE, OTHER, days=(DAY - 29, DAY - 9, DAY - 4, DAY))
    all_sent += sent(THIRD, days=(DAY - 370, DAY - 15, DAY - 4, DAY))
    all_sent += [says.summary(ONE, "arrivals", DAY - 2, slot) for slot in range(9)]
    all_sent += [says.summary(OTHER, "presence", DAY - 2)]
    all_sent += [says.summary(OTHER, "stays", DAY - 9)]  # two profiles on one day
    all_sent += [says.summary(says.name(4), "tenminutes", DAY, slot) for slot in range(24)]
    all_sent += [says.summary(says.name(4), "stays", DAY), says.summary(says.name(4), "dayparts", DAY - 1, 3)]
    Intake().take([says.health(says.name(number)) for number in range(1, 5)], NOW)
    Gateway.objects.filter(ident__in=[OTHER, says.name(4)]).update(group="south")
    again = all_sent * 2
    lot.shuffle(again)
    looks = 0
    while again:
        size = 1 + lot.randrange(120)
        Intake().take(again[:size], NOW)
        del again[:size]
        looks += 1
        if looks % 3 == 0:
            agree()
    assert agree() == 18
    assert not Grouped.objects.filter(due=True, day__lte=DAY).exists()
    Intake().take(all_sent, NOW)
    assert not Grouped.objects.filter(due=True, day__lte=DAY).exists()  # what came before changes nothing


def test_rows_follow_gateways_that_move_and_go(store):
    Intake().take(sent(ONE, OTHER, THIRD, days=range(DAY - 8, DAY + 1)), NOW)
    assert agree() == 18
    inventory.put([ONE, THIRD], "group", "north", NOW)
    assert agree() == 27
    inventory.put([ONE], "group", "Café *", NOW)
    assert agree() == 36
    inventory.remove(Gateway.objects.get(ident=ONE))
    assert agree() == 27
    grouped.renew(Q())
    assert not Grouped.objects.filter(scope="=Café *").exists()
    inventory.remove(Gateway.objects.get(ident=OTHER))
    inventory.remove(Gateway.objects.get(ident=THIRD))
    grouped.renew(Q())
    assert (Grouped.objects.count(), Spell.objects.count()) == (0, 0)


def test_a_day_that_loses_its_total_loses_it_everywhere(store):
    """Told of again under another profile: the weeks that had nothing else end."""
    Intake().take(sent(ONE, days=(DAY - 9, DAY)), NOW)
    Intake().take(sent(OTHER, days=(DAY,)), NOW)
    agree()
    assert Spell.objects.filter(gateway__ident=ONE).values_list("first", "last").order_by("first").count() == 2
    Intake().take([says.summary(ONE, "stays", DAY - 9)], NOW)
    agree()
    assert set(Spell.objects.filter(gateway__ident=ONE).values_list("first", "last")) == {(DAY, DAY + 6)}


def test_consumers_and_readers_at_once_leave_the_same_rows(store):
    """Two consumers have every second message each, two readers look all the time; nothing is left unmarked."""
    every = sent(*(says.name(number) for number in range(4)), days=range(DAY - 6, DAY + 1))
    failures: list[BaseException] = []
    done = threading.Event()

    def guarded(work, *words: int) -> None:
        try:
            work(*words)
        except BaseException as failure:  # noqa: BLE001 (handed to the test)
            failures.append(failure)
        finally:
            connections.close_all()

    def consume(seed: int) -> None:
        mine = every[seed::2]
        random.Random(seed).shuffle(mine)
        for start in range(0, len(mine), 41):
            Intake().take(mine[start : start + 41], NOW)

    def look() -> None:
        while not done.is_set():
            figures.Sums(DAY - 6, DAY).days()
            figures.weekly_means(DAY, 2)
            figures.group_days(DAY)

    consumers = [threading.Thread(target=guarded, args=(consume, seed)) for seed in range(2)]
    readers = [threading.Thread(target=guarded, args=(look,)) for _ in range(2)]
    for thread in (*consumers, *readers):
        thread.start()
    for thread in consumers:
        thread.join(120)
    done.set()
    for thread in readers:
        thread.join(120)
    assert failures == []
    assert agree() == 14


def test_rows_go_with_their_age(store):
    old = NOW - (KEPT_DAYS - 2) * 86_400
    Intake().take(sent(ONE, days=(old // 86_400 - 2,)), old)
    Intake().take(sent(ONE, days=(DAY,)), NOW)
    agree()
    later = NOW + 5 * 86_400
    retention.prune(later)
    first = later // 86_400 - KEPT_DAYS
    assert min(Grouped.objects.values_list("day", flat=True)) >= first
    assert set(Spell.objects.values_list("first", "last")) == {(first, first + 1), (DAY, DAY + 6)}


def test_a_store_of_before_gets_its_rows_and_the_collector_makes_them(store, monkeypatch):
    Intake().take(sent(ONE, OTHER, days=range(DAY - 9, DAY + 1)), NOW)
    inventory.put([OTHER], "group", "south", NOW)
    assert agree() == 30
    kept = set(Grouped.objects.filter(day__lte=DAY).values_list())
    kept_spells = set(Spell.objects.values_list())
    call_command("migrate", "fleet", "0011", verbosity=0)
    with connection.cursor() as cursor:
        assert not {"fleet_grouped", "fleet_spell"} & {*connection.introspection.table_names(cursor)}
    call_command("migrate", verbosity=0)
    assert set(Spell.objects.values_list()) == kept_spells
    assert Grouped.objects.filter(day__lte=DAY, due=True).count() == len(kept)
    monkeypatch.setattr(clock, "seconds", lambda: float(NOW))
    monkeypatch.setattr(Upkeep, "EVERY", 0.01)
    upkeep = Upkeep()
    try:
        marked = Grouped.objects.filter(day__lte=DAY, due=True)
        until(lambda: not marked.exists(), "all are made")
    finally:
        upkeep.close()
    assert set(Grouped.objects.filter(day__lte=DAY).values_list()) == kept
    assert agree() == 30


def test_a_store_whose_rows_hadnt_their_weeks_by_blocks_has_them_made_anew(store):
    Intake().take(sent(ONE, days=(DAY - 30, DAY - 1, DAY)) + sent(OTHER, days=range(DAY - 9, DAY + 1)), NOW)
    assert agree() == 22
    call_command("migrate", "fleet", "0012", verbosity=0)
    for row in Grouped.objects.all():
        row.weeks = json.dumps([week[:4] for week in json.loads(row.weeks)])
        row.save(update_fields=["weeks"])
    call_command("migrate", verbosity=0)
    assert agree() == 22


def told_in(gateways: dict[str, list[int]]) -> None:
    """Let gateways tell of days by their daily rows alone, each of another number of terminals."""
    Intake().take([says.health(name) for name in gateways], NOW)
    for row in Gateway.objects.order_by("ident"):
        own = {
            (row.pk, day): Day(gateway=row, day=day, tenths=10 + row.pk * 400 + day % 400, noise="4/1*10*24")
            for day in gateways[row.ident]
        }
        rows = daily.summed(own, {(row.pk, day + later) for _, day in own for later in range(7)})
        Day.objects.bulk_create(rows)
        spells.note(rows)


@pytest.mark.parametrize("step", [7, 364, 1])
@pytest.mark.long
def test_spells_tell_who_missed_a_week_and_who_began(sqlite, step):
    """Against every week of ten gateways, each of which is silent by lot for days and weeks."""
    lot = random.Random(step)
    gateways = {}
    for number in range(10):
        days, day = [], DAY - 380 + lot.randrange(300)
        while day <= DAY:
            days.append(day)
            day += lot.choice([1, 1, 1, 1, 2, 3, 7, 8, 20])
        gateways[says.name(number)] = days
    told_in(gateways)
    spans = set(Spell.objects.values_list("gateway", "first", "last"))
    spells.make(list(Gateway.objects.values_list("pk", flat=True)))
    assert set(Spell.objects.values_list("gateway", "first", "last")) == spans
    keys = dict(Gateway.objects.values_list("ident", "pk"))
    for newest in (DAY, DAY - 5, DAY + 3):
        for count in (1, 2, 9, 53):
            ends = [newest - step * back for back in range(count)]
            wanted, since = {}, set()
            for name, days in gateways.items():
                weeks = [any(at - 6 <= day <= at for day in days) for at in range(ends[-1], newest + 1)]
                if "10" in "".join("01"[week] for week in weeks):
                    wanted[keys[name]] = sum(1 << back for back, end in enumerate(ends) if weeks[end - ends[-1]])
                elif weeks[-1] and not weeks[0]:
                    since.add((keys[name], ends[-1] + weeks.index(True)))
            found = spells.ended(ends[-1], newest, None)
            assert {key: spells.told(each, ends, step) for key, each in found.items()} == wanted
            began = spells.part(ends[-1], newest, None).filter(last__gte=newest).exclude(gateway__in=list(found))
            assert set(began.values_list("gateway", "first")) == since
    assert spells.ended(DAY - 100, DAY, "elsewhere") == {}


def alike(last: int, step: int, count: int, share: int) -> list[Counter[str]]:
    """Return what `same_weeks.of` should, from the gateways' own weeks; gateways of a count, and their tenths."""
    ends = [last - step * back for back in range(count)]
    told: dict[int, dict[int, Day]] = {end: {} for end in ends}
    for row in Day.objects.filter(day__in=ends, week_days__gt=0):
        told[row.day][row.gateway_id] = row
    in_all, found = set(told[last]), []
    for end in ends:
        if share * len(in_all & set(told[end])) < len(told[last]):
            break
        in_all &= set(told[end])
        found.append(end)
    sums: list[Counter[str]] = [Counter() for _ in found]
    for one, end in zip(sums, found, strict=True):
        for key in in_all:
            row = told[end][key]
            one[f"{row.week_days} days: gateways"] += 1
            one[f"{row.week_days} days: tenths"] += row.week_tenths
    return sums


@pytest.mark.long
def test_weeks_of_a_fleet_that_grew_look_few_gateways_up(store):
    """Seventy of which most came within 400 days; one in seven went again, two were silent for a week or more.

    What the page hands out of a year's weeks is what the gateways' own say.
    """
    lot = random.Random(7)
    gateways = {}
    for number in range(70):
        first = DAY - (lot.randrange(380) if number % 3 else 390)
        days = range(first, DAY + 1 if number % 7 else DAY - lot.randrange(20, 60))
        quiet, last = DAY - lot.randrange(30, 300), lot.choice((9, 25)) if number % 7 < 3 else 0
        gateways[says.name(number)] = [
            day for day in days if not quiet <= day < quiet + last and (lot.random() > 0.1 or day == first)
        ]
    told_in(gateways)
    ends = {*Day.objects.values_list("day", flat=True)}
    grouped.mark({(grouped.EVERY, day) for day in ends})
    looked_up = set()
    for last, step, count, share in itertools.product((DAY, DAY - 5), (7, 364, 1), (1, 2, 8, 53), (2, 5, 1 << 31)):
        wanted = alike(last, step, count, share)
        with CaptureQueriesContext(connection) as queries:
            found = same_weeks.of(last, step, count, None, share)
        sums: list[Counter[str]] = [Counter() for _ in found]
        for one, week in zip(sums, found, strict=True):
            for part in week:
                one[f"{part.days} days: gateways"] += part.gateways
                one[f"{part.days} days: tenths"] += part.tenths
        assert sums == wanted
        looked_up |= {one["sql"].count("),(") + 1 for one in queries if "column4" in one["sql"]}
    assert max(looked_up) < 30
    Intake().take(a_day(ONE, DAY), NOW)
    get_user_model().objects.create_user("chief", password="a long password")
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.get())
    handed = client.get("/fleet/figures.csv?chart=weeks&first=2000-01-01").content.decode().splitlines()[1:]
    wanted = alike(DAY, 7, 58, 2)
    assert len(handed) == len(wanted) > 20
    for line, each in zip(handed[::-1], wanted, strict=True):
        mean = sum(each[f"{days} days: tenths"] / days / 10 for days in range(1, 8))
        assert float(line.split(",")[2]) == pytest.approx(mean)


def marks() -> Iterator[str]:
    """Yield the scopes of rows that are marked, up to the newest day."""
    yield from Grouped.objects.filter(due=True, day__lte=DAY).values_list("scope", flat=True)


def test_a_message_marks_its_own_group_and_day_alone(store):
    """What nothing has changed isn't made again: a page of thousands of groups waits for none of them."""
    Intake().take(sent(ONE, OTHER, days=(DAY - 9, DAY - 1, DAY)), NOW)
    inventory.put([OTHER], "group", "south", NOW)
    grouped.renew(Q())
    assert not [*marks()]
    Intake().take([says.summary(ONE, "arrivals", DAY - 2, 5)], NOW)
    assert set(Grouped.objects.filter(due=True).values_list("scope", "day")) == {("", DAY - 2), ("=", DAY - 2)}
    # The day is over: weeks have it, and all to DAY + 6 go on from those of DAY - 9
    Intake().take([says.summary(ONE, "presence", DAY - 2)], NOW)
    assert set(Grouped.objects.filter(due=True).values_list("scope", "day")) == {
        (scope, day) for scope in ("", "=") for day in range(DAY - 2, DAY + 7)
    }
    same_weeks.of(DAY, 7, 2, "south")
    assert {*marks()} == {"", "="}
    same_weeks.of(DAY, 1, 3, None)
    figures.Sums(DAY - 2, DAY, "")
    assert not [*marks()]
