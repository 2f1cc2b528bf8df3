# SPDX-License-Identifier: Apache-2.0
"""One interface for what was published and what is made of it.

The page, the exports and the sums ask it, and say which they show.
"""

import html
import io
import re
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from agent.summary.noise import Sampler
from tests.fleet import says
from tools.fleet import charts, figures, files, people, shown, simulated, tokens, views, weeks
from tools.fleet.estimate import Estimate
from tools.fleet.intake import Intake
from tools.fleet.models import Gateway

if TYPE_CHECKING:
    from tools.fleet.delivery import Arrival


def told(count: int, days: int = 1) -> list[Gateway]:
    """Store so many venues' days; return their gateways."""
    sampler = Sampler(Random(11).randbytes)
    first = says.DAY - days + 1
    sent = [
        one
        for venue in simulated.venues(count)
        for day in range(first, says.DAY + 1)
        for _, one in simulated.published(venue, day, sampler)
    ]
    Intake().take(sent, says.NOW)
    return list(Gateway.objects.order_by("ident"))


def one_day(gateway: Gateway) -> list[views.Told]:
    return views.told(gateway, says.DAY, says.DAY)[says.DAY]


def test_each_view_has_every_cell_and_the_published_one_is_what_came(sqlite):
    (gateway,) = told(1)
    day = one_day(gateway)
    published, combined = (views.cells(day, view) for view in views.VIEWS)
    came: dict[str, list[int]] = {}
    for row in day:
        came.setdefault(row.metric.name, []).extend(row.values)
    assert {metric: [one.estimate.value for one in cells] for metric, cells in published.items()} == came
    assert {metric: [one.number for one in cells] for metric, cells in published.items()} == {
        metric: [one.number for one in cells] for metric, cells in combined.items()
    }
    total = views.total(day)
    assert total is not None
    for metric in ("arrivals", "presence", "volume"):
        assert sum(one.estimate.value for one in combined[metric]) == pytest.approx(total.value)
        assert combined[metric][0].estimate.half_width <= published[metric][0].estimate.half_width
        assert min(one.estimate.value for one in views.cells(day, "combined", read=True)[metric]) >= 0
    for metric in ("active", "classes"):
        assert combined[metric] == published[metric]


def test_the_sum_over_gateways_is_the_sum_of_combined_days(sqlite):
    gateways = told(5, 2)
    for day, (fleet, count) in figures.fleet_days(says.DAY - 1, says.DAY).items():
        alone = [views.total(views.told(gateway, day, day)[day]) for gateway in gateways]
        assert count == 5
        assert fleet.value == pytest.approx(sum(one.value for one in alone if one))


def test_what_was_published_before_a_boot_stands_for_other_terminals(sqlite):
    """The day's table began at noon: arrivals of the morning stay as they came, the total is since noon."""
    (gateway,) = told(1)
    noon = says.DAY * 86_400 + 12 * 3600
    day = [replace(row, start=max(row.start, noon)) if row.metric.slots == 1 else row for row in one_day(gateway)]
    answers = views.answers(day)
    assert len(answers["arrivals"].values) == 15
    published, combined = (views.cells(day, view)["arrivals"] for view in views.VIEWS)
    assert combined[:9] == published[:9]
    total = views.total(day)
    assert total is not None
    assert sum(one.estimate.value for one in combined[9:]) == pytest.approx(total.value)


@pytest.mark.parametrize("lack", ["presence", "arrivals"])
def test_a_metric_of_which_a_message_is_missing_takes_no_part(sqlite, lack):
    (gateway,) = told(1)
    day = one_day(gateway)
    day.remove(next(row for row in day if row.metric.name == lack))
    assert lack not in views.answers(day)
    assert (views.total(day) is None) == (lack == "presence")
    published, combined = (views.cells(day, view)[lack] if lack == "arrivals" else None for view in views.VIEWS)
    assert published == combined


def test_a_metric_with_two_scales_takes_no_part(sqlite):
    """An epsilon that was changed within the day."""
    (gateway,) = told(1)
    day = one_day(gateway)
    day[3] = replace(day[3], b=2 * day[3].b)
    assert "arrivals" not in views.answers(day)


def test_the_page_says_which_view_it_shows(sqlite):
    (gateway,) = told(1)
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.create_user("operator"))
    for asked, view, text in (
        ("", "combined", "the best estimate from all that was published"),
        ("?view=published", "published", "A bar is what was published"),
        ("?view=nonsense", "combined", "the best estimate"),
        ("?view=smoothed", "smoothed", "An estimate needs figures of 28 days."),
    ):
        page = html.unescape(
            client.get(f"/gateway/{gateway.ident}{asked}", headers={"accept-language": "en"}).content.decode()
        )
        assert f'<b aria-current="true">{view}</b>' in page
        assert text in page


def test_the_combined_export_sums_to_its_total_and_names_no_message(sqlite, tmp_path):
    """CSV and Parquet: a row a cell, one for the day's total; unbiased numbers, negative ones too."""
    told(2, 2)
    text = io.StringIO()
    count = files.write_csv(text, files.combined_rows(says.DAY - 1, says.DAY), files.COMBINED)
    lines = text.getvalue().splitlines()
    assert count == len(lines) - 1 == 2 * 2 * (1 + 24 + 5 + 5 + 6 + 9)
    assert lines[0] == "gateway,name,group,day,metric,slot,cell,value,half_width"
    sums: dict[tuple[str, str, str], float] = {}
    for gateway, _, _, day, metric, _, _, value, _ in (line.split(",") for line in lines[1:]):
        sums[gateway, day, metric] = sums.get((gateway, day, metric), 0) + float(value)
    for (gateway, day, metric), total in sums.items():
        if metric in {"arrivals", "presence", "volume"}:
            assert total == pytest.approx(sums[gateway, day, "terminals"])
    assert files.write_parquet(tmp_path / "combined.parquet", files.combined_rows(0, 99_999), files.COMBINED) == count


@pytest.mark.long
def test_the_smoothed_export_has_every_day_with_weeks_enough(sqlite):
    """A gateway's 40 days: each cell and the total, unbiased; no day whose weeks have too few."""
    (gateway,) = told(1, 40)
    week = weeks.of(gateway, says.DAY, says.DAY)
    cells, total = week.cells(says.DAY), week.total(says.DAY)
    assert total is not None
    assert {name: len(each) for name, each in cells.items()} == {
        name: len(each) for name, each in views.cells(one_day(gateway), "published").items()
    }
    for metric in ("arrivals", "presence", "volume"):
        assert sum(one.estimate.value for one in cells[metric]) == pytest.approx(total.value)
    rows = list(files.smoothed_rows(says.DAY - 60, says.DAY))
    last = [row for row in rows if row[3] == figures.as_date(says.DAY).strftime("%Y-%m-%d")]
    assert last[0][4:] == ("terminals", 0, "", total.value, total.half_width)
    assert [row[7] for row in last[1:]] == [one.estimate.value for each in cells.values() for one in each]
    days = range(says.DAY - 39, says.DAY + 1)
    assert {row[3] for row in rows} == {
        figures.as_date(day).strftime("%Y-%m-%d")
        for day in days
        if len(set(weeks.window(day, says.DAY)) & set(days)) >= 28
    }


@pytest.mark.long
def test_the_smoothed_page_has_what_was_published_beside_its_estimates(sqlite):
    """A gateway's 40 days: each cell, the days, an ordinary week; as a file an estimate is called one."""
    (gateway,) = told(1, 40)
    client = Client(HTTP_HOST="localhost", headers={"accept-language": "en"})
    client.force_login(get_user_model().objects.create_user("operator"))
    page = html.unescape(client.get(f"/gateway/{gateway.ident}?view=smoothed").content.decode())
    week = weeks.of(gateway, says.DAY, says.DAY)
    total, combined = week.total(says.DAY), views.total(one_day(gateway))
    assert total is not None
    assert combined is not None
    section = page.partition('id="m-arrivals"')[2].partition("</section>")[0]
    assert '<th scope="col">estimate, with 95 %</th><th scope="col">published</th>' in section
    raw = [figures.shown(one.estimate, one.below) for one in views.cells(one_day(gateway), "published")["arrivals"]]
    texts = [figures.shown(one.estimate, one.below) for one in week.cells(says.DAY, read=True)["arrivals"]]
    pairs = re.findall(r"<td>(.*?)</td><td>(.*?)</td>", section)
    assert [(text.removesuffix(" (too small to say)"), beside) for text, beside in pairs] == list(
        zip(texts, raw, strict=True)
    )
    assert page.partition('id="m-presence"')[2].partition("</section>")[0].count("<small>published ") == 5
    ordinary = page.partition('id="ordinary"')[2].partition("</section>")[0]
    assert ordinary.count('<th scope="row">') == 168
    days = page.partition('id="days"')[2].partition("</section>")[0]
    assert f"<td>{figures.shown(total)}</td><td>{figures.shown(combined)}</td>" in days
    file = client.get(f"/gateway/{gateway.ident}/figures.csv?view=smoothed&chart=ordinary")
    assert "oubli-ordinary-smoothed.csv" in file["Content-Disposition"]
    lines = file.content.decode().splitlines()
    assert len(lines) == 169
    assert lines[1].startswith("ordinary-smoothed,")
    reader = get_user_model().objects.create_user("reader")
    people.set_role(reader, "viewer")
    token = tokens.create(reader, "x", ["figures"])
    day = figures.as_date(says.DAY).strftime("%Y-%m-%d")
    answer = client.get(
        f"/api/v1/gateways/{gateway.ident}/cells?view=smoothed&first={day}&last={day}",
        headers={"authorization": f"Bearer {token}"},
    )
    assert [one["value"] for one in answer.json()] == [
        one.estimate.value for each in week.cells(says.DAY).values() for one in each
    ]


@pytest.mark.long
def test_an_ordinary_week_is_of_hours_under_every_profile(sqlite):
    """Four hours each under `tiny`; of ten minutes, what the six of an hour have together."""
    sent: list[Arrival] = []
    for number, names in enumerate((["dayparts", "presence"], ["tenminutes", "stays"])):
        for day in range(says.DAY - 40, says.DAY + 1):
            for name in names:
                slots = {"dayparts": 6, "tenminutes": 24}.get(name, 1)
                sent += [says.summary(says.name(number), name, day=day, slot=slot) for slot in range(slots)]
    Intake().take(sent, says.NOW)
    expected = ((42, {"dayparts": 6, "presence": 5}), (168, {"tenminutes": 144, "stays": 9}))
    for number, (bars, counts) in enumerate(expected):
        gateway = Gateway.objects.get(ident=says.name(number))
        found = weeks.of(gateway, says.DAY, says.DAY)
        assert len(found.ordinary()) == bars
        assert all(found.ordinary())
        assert {name: len(cells) for name, cells in found.cells(says.DAY).items()} == counts


def test_an_ordinary_week_is_told_in_the_time_of_its_venue():
    """Its first figure is of Monday 03:00 UTC; a chart begins on Monday at midnight."""
    week = [Estimate(number, 1) for number in range(168)]
    one = shown.of_ordinary(week, says.DAY, "UTC")
    assert (one.labels[0], one.labels[3]) == ("Mon 00:00", "Mon 03:00")
    assert one.estimates[3] == week[0]
    paris = shown.of_ordinary(week, 20_650, "Europe/Paris")  # a day in July
    assert paris.estimates[paris.labels.index("Mon 05:00")] == week[0]
    assert sorted(one.value for one in paris.estimates if one) == list(range(168))
    assert shown.of_ordinary([Estimate(-3, 1)] * 42, says.DAY, "UTC").estimates == [Estimate(0, 1)] * 42


def test_every_profile_is_read_and_combined(sqlite):
    """Messages of `tiny` and `large`, made by the agent: the page draws them, and the total is of their own metrics."""
    sent: list[Arrival] = []
    for number, metrics in enumerate((["dayparts", "presence"], ["tenminutes", "stays", "traffic"])):
        for name in metrics:
            slots = {"dayparts": 6, "tenminutes": 24}.get(name, 1)
            sent += [says.summary(says.name(number), name, slot=slot) for slot in range(slots)]
    assert Intake().take(sent, says.NOW)["kept"] == len(sent)
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.create_user("operator"))
    for number, names in enumerate(({"dayparts", "presence"}, {"tenminutes", "stays", "traffic"})):
        gateway = Gateway.objects.get(ident=says.name(number))
        day = one_day(gateway)
        assert set(views.answers(day)) == names
        page = client.get(f"/gateway/{gateway.ident}", headers={"accept-language": "en"}).content.decode()
        assert all(f'id="m-{name}"' in page for name in names)
    assert figures.fleet_days(says.DAY, says.DAY)[says.DAY][1] == 2


def test_a_figure_that_is_nothing_but_noise_is_not_drawn_and_the_page_says_when_it_would_tell(sqlite):
    """A venue of 20 with `medium`: most hours are noise, the day's total over a week isn't.

    Every figure still stands in the table.
    """
    sampler = Sampler(Random(2).randbytes)
    venue = simulated.Venue(says.name(1), "Kiosk", "", 20)
    sent = [one for day in range(says.DAY - 6, says.DAY + 1) for _, one in simulated.published(venue, day, sampler)]
    Intake().take(sent, says.NOW)
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.create_user("operator"))
    page = html.unescape(client.get(f"/gateway/{says.name(1)}", headers={"accept-language": "en"}).content.decode())
    section = page.partition('id="m-arrivals"')[2].partition("</section>")[0]
    said = re.search(
        r"(\d+) figures are nothing but noise and not drawn; over (\d+) days, or at \d+ times as many gateways", section
    )
    assert said
    assert section.count('<rect class="value"') == 24 - int(said[1]) < 12
    assert section.count('<th scope="row">') == 24
    assert int(said[2]) > 7
    lead = page.partition('class="card lead"')[2].partition("</section>")[0]
    assert re.search(r'class="big">[^<]+ ± [^<]+</b> terminals on a mean day of the week', lead)
    fleet = html.unescape(client.get("/fleet", headers={"accept-language": "en"}).content.decode())
    assert "terminals on a mean day of the week to" in fleet


def test_what_is_larger_than_its_band_on_a_day_or_over_the_week_is_drawn():
    few, many = Estimate(3, 12), Estimate(13, 12)
    assert [charts.noise(few, few), charts.noise(few, Estimate(5, 4)), charts.noise(many, few)] == [True, False, False]
    assert charts.telling([Estimate(3, 12), Estimate(-1, 12)]) == 16
    assert charts.telling([Estimate(-3, 12)]) == charts.telling([]) == 0
