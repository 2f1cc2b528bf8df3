# SPDX-License-Identifier: Apache-2.0
"""What the pages of figures show: any days, a venue's hours, weeks and years, files, a group's picture."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client

from tests.fleet import says
from tests.fleet.test_page import told_by
from tools import clock
from tools.fleet import figures, grouped, guard, people, shown
from tools.fleet.estimate import Estimate
from tools.fleet.intake import Intake
from tools.fleet.models import Gateway, Link, Message
from tools.fleet.reading import METRIC

LAST = says.DAY
NORTH, SOUTH = "a" * 16, "b" * 16


@pytest.fixture
def browser(sqlite, monkeypatch) -> Client:
    """Give an operator's browser of two gateways, 400 days long nearly without noise.

    100 a day until the last week, then 130; and 50.
    """
    monkeypatch.setattr(clock, "seconds", lambda: float(says.NOW))
    cache.clear()
    told_by((NORTH, "north", 100, range(LAST - 380, LAST - 6)), (NORTH, "north", 130, range(LAST - 6, LAST + 1)))
    told_by((SOUTH, "south", 50, range(LAST - 20, LAST + 1)))
    Message.objects.update(b_over=1, b_under=2)  # the least noise that is taken
    for gateway in Gateway.objects.all():
        grouped.again(gateway)
    for group in ("north", "south"):
        figures.regroup(group)
    found = Client(HTTP_HOST="localhost", headers={"accept-language": "en"})
    user = get_user_model().objects.create_user("operator")
    people.set_role(user, "operator")
    found.force_login(user)
    return found


def date(day: int) -> str:
    return figures.as_date(day).strftime("%Y-%m-%d")


def rows(browser: Client, path: str, chart: str, **query: str) -> list[dict[str, str]]:
    """Return a chart as its CSV has it."""
    answer = browser.get(f"{path}/figures.csv", query | {"chart": chart})
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def text(browser: Client, path: str, **query: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", browser.get(path, query).content.decode()))


def test_any_days_are_shown_up_to_what_is_stored(browser):
    """Without a word the last 28 that are whole; what is asked for beyond what is kept, or nonsense, is cut to it."""
    for path in ("/fleet", f"/gateway/{NORTH}"):
        assert [row["label"] for row in rows(browser, path, "days")] == [
            date(day) for day in range(LAST - 27, LAST + 1)
        ]
        asked = rows(browser, path, "days", first=date(LAST - 300), last=date(LAST - 290))
        assert [row["label"] for row in asked] == [date(day) for day in range(LAST - 300, LAST - 289)]
        assert [round(float(row["value"])) for row in asked] == [100] * 11
        assert len(rows(browser, path, "days", first="0001-01-01", last="9999-12-31")) == 381
        for first, last in (("x", "2026-13-01"), ("", ""), (date(LAST + 9), date(LAST - 9))):
            assert browser.get(path, {"first": first, "last": last}).status_code == 200
        page = browser.get(path, {"first": date(LAST - 300), "last": date(LAST - 290)}).content.decode()
        assert f'value="{date(LAST - 300)}"' in page


def test_the_last_whole_day_is_shown_first(browser):
    """A day of which only its first hours came isn't it."""
    now = (LAST + 1) * 86_400 + 6 * 3600
    Intake().take([says.summary(NORTH, day=LAST + 1, slot=slot) for slot in range(2)], now)
    page = text(browser, f"/gateway/{NORTH}")
    assert f"Published for {date(LAST)}" in page
    assert f"terminals on {date(LAST)}" in page
    assert "Day after" in page
    assert f"Published for {date(LAST + 1)}" in text(browser, f"/gateway/{NORTH}", day=str(LAST + 1))


def test_week_is_set_against_week_and_year_against_year(browser):
    """Over the gateways that told in both; what noise may be isn't called a difference."""
    for path in ("/fleet", f"/gateway/{NORTH}"):
        page = " ".join(text(browser, path).split())
        assert re.search(r"the week before \S+ ± \S+ \S+ ± \S+ 30\S* ± \S+ more", page), path
        assert re.search(r"the same week a year ago 100\S* ± \S+ 130\S* ± \S+ 30\S* ± \S+ more", page), path
    assert figures.against(LAST, 7) is not None
    assert [
        one and one[2]
        for one in (figures.against(LAST, 7), figures.against(LAST, 364), figures.against(LAST, 364, "south"))
    ] == [
        2,
        1,
        None,
    ]
    south = " ".join(text(browser, "/fleet", group="south").split())
    assert re.search(r"the week before 50\S* ± \S+ 50\S* ± \S+ too small to say", south)
    assert shown.compared(Estimate(30, 12), Estimate(20, 12)) == "too small to say"
    assert shown.compared(Estimate(130, 12), Estimate(200, 12)) == "70 ± 17 fewer"


def test_hours_are_the_venues(browser):
    """Of a gateway in Réunion and one in Paris; on the days when a clock changes too.

    Of venues in several zones in UTC.
    """
    for slot in range(24):
        Intake().take([says.summary(NORTH, day=LAST, slot=slot)], says.NOW)
    assert [row["label"] for row in rows(browser, f"/gateway/{NORTH}", "arrivals")][:2] == ["04:00", "05:00"]
    browser.post(f"/gateway/{NORTH}/change", {"name": "n", "group": "north", "zone": "Indian/Reunion"})
    assert [row["label"] for row in rows(browser, f"/gateway/{NORTH}", "arrivals")][:2] == ["07:00", "08:00"]
    assert "Hours in Indian/Reunion" in text(browser, f"/gateway/{NORTH}")
    assert "hours in UTC" in text(browser, "/fleet")
    assert "hours in Indian/Reunion" in text(browser, "/fleet", group="north")
    nowhere = {"name": "n", "group": "north", "zone": "Nowhere/Else"}
    assert browser.post(f"/gateway/{NORTH}/change", nowhere).status_code == 400
    assert Gateway.objects.get(ident=NORTH).zone == "Indian/Reunion"
    assert (
        browser.post("/inventory/change", {"act": "zone", "every": "1", "value": "America/Martinique"}).status_code
        == 302
    )
    assert set(Gateway.objects.values_list("zone", flat=True)) == {"America/Martinique"}
    refused = browser.post(
        "/inventory/change", {"act": "zone", "every": "1", "value": "Mars"}, headers={"accept-language": "fr"}
    )
    assert "un fuseau horaire ; accepté : Europe/Paris" in html.unescape(refused.content.decode())


def test_a_weeks_hours_follow_the_clock_when_it_changes(sqlite):
    """Ten at 10:00 in Paris each day, over the night of 25 October 2026."""
    zone = ZoneInfo("Europe/Paris")
    Intake().take([says.health(NORTH)], says.NOW)
    for day in range(20_743, 20_757):
        begin = int(datetime.fromtimestamp(day * 86_400, UTC).replace(hour=10, tzinfo=zone).timestamp())
        slot = begin // 3600 - day * 24 - 3
        Message.objects.create(
            gateway=Gateway.objects.get(), metric=METRIC["arrivals"], day=day, slot=slot,
            start=begin, end=begin + 3600, b_over=1, b_under=9, received=0, late=False, v0=10,
        )  # fmt: skip
    figures.regroup("")
    grouped.again(Gateway.objects.get())
    profile = figures.Sums(20_743, 20_756).profile(0, zone)
    assert [hour for hour, one in enumerate(profile) if one] == [10 + 24 * day for day in range(7)]
    assert {round(one.value) for one in profile if one} == {10}


def test_what_noise_hides_is_said_and_weeks_come_first(browser):
    """A venue of three a day with a band of 32: no day tells anything."""
    Message.objects.filter(gateway__ident=SOUTH).update(v0=3, b_over=8, b_under=1)
    figures.regroup("south")
    grouped.again(Gateway.objects.get(ident=SOUTH))
    for path in (f"/gateway/{SOUTH}", "/fleet?group=south"):
        page = browser.get(path).content.decode()
        assert page.index('id="weeks"') < page.index('id="days"')
        assert "too small to say" in page
    page = browser.get("/fleet?group=north").content.decode()
    assert page.index('id="days"') < page.index('id="weeks"')
    assert "too small to say" not in page.partition('id="days"')[2].partition('id="weeks"')[0]


@pytest.mark.long
def test_every_chart_is_handed_out_in_every_form(browser):
    """With the figures of its table, unrounded; a picture has its title as text and nothing from elsewhere."""
    for path in ("/fleet", f"/gateway/{NORTH}"):
        page = browser.get(path).content.decode()
        links = re.findall(r'href="([^"]+/figures\.(\w+)\?[^"]*chart=(\w+))"', html.unescape(page))
        assert {form for _, form, _ in links} == {"csv", "parquet", "svg", "png"}
        assert {"days", "weeks"} <= {name for _, _, name in links}
        for link, form, name in links:
            answer = browser.get(link)
            assert answer.status_code == 200, link
            assert answer.headers["Content-Disposition"] == f'attachment; filename="oubli-{name}.{form}"'
            assert answer.headers["Cache-Control"] == "no-store"
            if form == "png":
                assert answer.content.startswith(b"\x89PNG")
            elif form == "svg":
                assert "<svg" in answer.content.decode()
                assert not re.search(r"href=\"http|<script|<image", answer.content.decode())
            elif form == "parquet":
                table = pq.read_table(io.BytesIO(answer.content)).to_pylist()
                assert [(row["label"], row["value"]) for row in table] == [
                    (row["label"], float(row["value"])) for row in rows(browser, path, name)
                ]
        for wrong in ("figures.exe?chart=days", "figures.csv?chart=x", "figures.csv"):
            assert browser.get(f"{path}/{wrong}").status_code == 404
    Gateway.objects.filter(ident=NORTH).update(name="<script>$x^2$ \u202e")
    assert "<script>" not in browser.get(f"/gateway/{NORTH}/figures.svg?chart=days").content.decode()


@pytest.mark.long
def test_a_groups_picture_is_seen_by_who_has_its_address_until_it_ends(browser):
    """Off until somebody makes the address; the same for everybody, kept for a while, without a cookie.

    Nothing else is behind it.
    """
    anybody = Client(HTTP_HOST="localhost")
    assert not Link.objects.exists()
    assert "There is none." in browser.get("/fleet?group=north").content.decode()
    assert browser.post("/fleet/share", {"group": "north", "act": "make"}).status_code == 302
    key = Link.objects.get().key
    page = browser.get("/fleet?group=north").content.decode()
    assert f"http://localhost/picture/{key}.svg" in page
    assert key not in browser.get("/fleet?group=south").content.decode()
    for form in ("svg", "png"):
        first = anybody.get(f"/picture/{key}.{form}", headers={"cookie": "csrftoken=!"})
        assert first.status_code == 200
        assert first.headers["Cache-Control"] == "public, max-age=3600"
        assert "Vary" not in first.headers
        assert not first.cookies
        assert first.headers["Content-Security-Policy"] == guard.DRAWN
        again = browser.get(
            f"/picture/{key}.{form}", {"group": "south", "first": "2026-01-01"}, headers={"accept-language": "fr"}
        )
        assert again.content == first.content  # whoever asks, and for what else
    assert "south" not in anybody.get(f"/picture/{key}.svg").content.decode()
    browser.post("/fleet/share", {"group": "north", "act": "make"})
    assert Link.objects.get().key == key
    for wrong in ("x", key[:-1], key.swapcase(), f"{key}%00"):
        answer = anybody.get(f"/picture/{wrong}.svg")
        assert answer.status_code == (400 if "%" in wrong else 404)
        assert answer.headers["Cache-Control"] == "no-store"
    assert anybody.get(f"/picture/{key}.csv").status_code == 404
    assert anybody.post("/fleet/share", {"group": "north", "act": "end"}).status_code == 302  # to the log-in
    assert browser.post("/fleet/share", {"group": "nowhere", "act": "make"}).status_code == 404
    browser.post(f"/gateway/{NORTH}/change", {"name": "n", "group": "east"})
    assert anybody.get(f"/picture/{key}.svg").status_code == 404  # of a group that is no more
    browser.post(f"/gateway/{NORTH}/change", {"name": "n", "group": "north"})
    browser.post("/fleet/share", {"group": "north", "act": "end"})
    assert anybody.get(f"/picture/{key}.svg").status_code == 404
    browser.post("/fleet/share", {"group": "north", "act": "make"})
    assert Link.objects.get().key != key


def test_a_viewer_makes_no_address(browser):
    people.set_role(get_user_model().objects.get(), "viewer")
    assert browser.post("/fleet/share", {"group": "north", "act": "make"}).status_code == 403
    assert "Make an address" not in browser.get("/fleet?group=north").content.decode()
    assert not Link.objects.exists()
