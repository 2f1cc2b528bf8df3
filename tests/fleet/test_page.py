# SPDX-License-Identifier: Apache-2.0
"""The page without a browser: who may see it, what it says, what hostile strings come out as, its queries."""

from __future__ import annotations

import ast
import csv
import html
import io
import json
import re
import time
from dataclasses import replace
from datetime import UTC
from random import Random
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment, teardown_test_environment
from django.urls import reverse

from agent.summary.metrics import METRICS
from agent.summary.noise import Sampler
from tests.fleet import says
from tests.fleet.test_store import totals_agree
from tests.support.interpreters import PROJECT
from tools.fleet import charts, estimate, figures, grouped, guard, sheet, simulated, staging, tries, words
from tools.fleet.estimate import Estimate
from tools.fleet.intake import Intake
from tools.fleet.judgement import KINDS
from tools.fleet.models import VALUES, Episode, Gateway, Message, Total
from tools.fleet.reading import METRIC, REASONS
from tools.fleet.texts.english import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Iterator

FLEET = PROJECT / "tools" / "fleet"
PASSWORD = "correct horse battery"
ONE = says.name(1)
HOSTILE = [
    '"><script>alert(1)</script>',
    "=HYPERLINK(1)",
    "'; DROP TABLE x;--",
    "{{ 7 }}{% x %}",
    "+1+1",
    "@SUM(1)",
    "-2",
    "\u202eevil",
    "&lt;b&gt;",
]


@pytest.fixture(scope="module", autouse=True)
def _contexts() -> Iterator[None]:
    """Keep what templates were given."""
    setup_test_environment()
    yield
    teardown_test_environment()


@pytest.fixture
def client() -> Client:
    """Give a browser that isn't logged in; no name has been tried."""
    tries.TRIED.__init__()  # type: ignore[misc]  # as it was at the start
    get_user_model().objects.create_user("operator", password=PASSWORD)
    return Client(HTTP_HOST="localhost", enforce_csrf_checks=True)


@pytest.fixture
def inside(client) -> Client:
    """Give a browser that is logged in."""
    client.force_login(get_user_model().objects.get())
    return client


def post(client: Client, path: str, **data: str):
    """Send a form as a browser does: with the token of the page before."""
    token = client.get(reverse("login") if "sessionid" not in client.cookies else "/").context["csrf_token"]
    return client.post(path, data | {"csrfmiddlewaretoken": str(token)})


def test_nothing_is_shown_without_a_log_in(sqlite, client):
    """Every address leads to the log-in; the metrics ask for a user.

    No form is taken without its token, no other host name.
    """
    Intake().take([says.health(ONE)], says.NOW)
    for path in ("/", f"/gateway/{ONE}", "/fleet", "/compliance", "/compliance.csv", "/alerts"):
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/login")
    assert client.get("/metrics").status_code == 401
    assert client.post(f"/gateway/{ONE}/change", {"name": "x"}).status_code == 403
    assert client.post("/alerts/change", {"act": "delete", "number": "1"}).status_code == 403
    assert client.post("/login", {"username": "operator", "password": PASSWORD}).status_code == 403
    assert post(client, "/login", username="operator", password=PASSWORD).headers["Location"] == "/"
    assert client.get("/").status_code == 200
    assert Client(HTTP_HOST="evil.example").get("/login").status_code == 400  # a name that leads here isn't ours


def test_a_password_is_kept_as_argon2(sqlite, client):
    """How often it may be tried: tests/attacks/fleet/test_page.py."""
    assert get_user_model().objects.get().password.startswith("argon2$argon2id$")


def test_every_answer_lets_nothing_foreign_in(sqlite, inside):
    """Content security policy without any exception, no address outside the page, cookies out of scripts' reach."""
    staging.fill(simulated.venues(3), 2, says.NOW)
    pages = ["/", "/fleet", "/compliance", f"/gateway/{Gateway.objects.first().ident}"]
    for path in pages:
        answer = inside.get(path)
        assert answer.headers["Content-Security-Policy"] == guard.POLICY
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"
        text = answer.content.decode()
        assert re.findall(r"https?://|style=|onclick|javascript:|\{\{|\{%|SPDX", text) == []
    assert "unsafe" not in guard.POLICY
    session = client_session(inside)
    assert session["httponly"]
    assert session["samesite"] == "Strict"


def client_session(client: Client):
    """Return the session's cookie."""
    client.logout()
    post(client, "/login", username="operator", password=PASSWORD)
    return client.cookies["sessionid"]


def test_a_hostile_string_comes_out_as_text(sqlite, inside):
    """HTML, templates and formulas in a version, a name and a group.

    Escaped in every page, told to be text in the CSV.
    """
    now = int(time.time())
    for text in HOSTILE:
        version = text[:32] if text.isascii() else "1"  # no other is taken
        online = json.loads(says.state(ONE).payload) | {"version": version}
        Intake().take(
            [replace(says.state(ONE), payload=json.dumps(online).encode()), says.health(ONE, now, late=True)], now
        )
        answer = post(inside, f"/gateway/{ONE}/change", name=text, group=text)
        assert answer.status_code == (302 if text.isprintable() else 400)
        if not text.isprintable():  # it isn't taken, but may be in a store that an older version wrote
            assert text not in set(Gateway.objects.values_list("name", flat=True))
            Gateway.objects.update(name=text, group=text)
        gateway = Gateway.objects.get()
        assert (gateway.name, gateway.group, gateway.version) == (text, text, version)
        for path in ("/", f"/gateway/{ONE}", "/compliance"):
            page = inside.get(path).content.decode()
            assert "<script>alert" not in page
            assert path == "/compliance" or html.escape(text[:32]) in page
        (row,) = [row for row in csv.reader(io.StringIO(inside.get("/compliance.csv").content.decode())) if ONE in row]
        assert all(cell[:1] not in {"=", "+", "-", "@"} for cell in row)
        assert sheet.plain(row[1]) == text.removeprefix("'")


def test_cells_that_a_spreadsheet_would_run_are_text():
    for value in ("=1", "+1", "-1", "@x"):
        assert sheet.safe(value) == f"'{value}"
    for value in ("\t=1", "\r=1", "\n=1"):
        assert sheet.safe(value) == f"'{value[0]}'{value[1:]}"
    assert [sheet.safe(value) for value in (-1, "a=1", "", 2.5)] == [-1, "a=1", "", 2.5]
    assert sheet.safe("a;=1;'@x") == "a;'=1;''@x"  # where a semicolon begins a cell
    for value in ("a;=1;'@x", '"=1', "=1", "a;b"):
        assert sheet.plain(str(sheet.safe(value))) == value


def test_the_list_has_the_worst_first_and_says_why(sqlite, inside):
    venues = simulated.venues(20)
    staging.fill(venues, 3, int(time.time()))
    page = inside.get("/")
    rows = page.context["page"].object_list
    assert [row.grade for row in rows] == sorted((row.grade for row in rows), key=["breach", "warning", "good"].index)
    by_name = {row.gateway.ident: [finding.kind for finding in row.findings] for row in rows}
    assert by_name[venues[3].ident] == ["late"]
    assert by_name[venues[10].ident] == ["silent"]
    assert by_name[venues[5].ident] == ["duplicate"]
    assert by_name[venues[1].ident] == ["drift"]
    assert len(inside.get("/?show=breach").context["page"].object_list) == sum(row.grade == "breach" for row in rows)
    (found,) = inside.get("/", {"q": venues[7].name.upper()}).context["page"].object_list
    assert found.gateway.ident == venues[7].ident
    assert len(inside.get("/?group=Lyon").context["page"].object_list) == 2
    assert inside.get("/?page=99&show=x&group=none").status_code == 200


def test_what_a_person_settles_is_settled_and_nothing_else(sqlite, inside):
    """A second gateway with the id, a changed configuration: settled by a person.

    Late expiry ends when health says so.
    """
    now = int(time.time())
    intake = Intake()
    for boot in (1, 2, 1, 2):
        intake.take([says.state(ONE, boot)], now)
    intake.take([says.state(ONE, 2, config="ab" * 8), says.health(ONE, now, late=True)], now)
    assert {finding.kind for finding in inside.get("/").context["page"].object_list[0].findings} == {
        "late",
        "duplicate",
        "drift",
    }
    post(inside, f"/gateway/{ONE}/change", settle="duplicate")
    post(inside, f"/gateway/{ONE}/change", settle="late")
    post(inside, f"/gateway/{ONE}/change", accept="0" * 16)
    assert {finding.kind for finding in inside.get("/").context["page"].object_list[0].findings} == {"late", "drift"}
    post(inside, f"/gateway/{ONE}/change", accept="ab" * 8)
    assert {finding.kind for finding in inside.get("/").context["page"].object_list[0].findings} == {"late"}
    assert Episode.objects.get(kind="duplicate").ended is not None


def test_a_gateway_takes_its_history_to_another_group(store):
    venues = simulated.venues(4)
    staging.fill(venues, 3, says.NOW)
    get_user_model().objects.create_user("operator", password=PASSWORD)
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.get())
    before = figures.fleet_days(0, 99_999)
    client.post(f"/gateway/{venues[0].ident}/change", {"name": "n", "group": "Elsewhere"})
    assert totals_agree()
    assert figures.fleet_days(0, 99_999) == before
    assert set(Total.objects.filter(group="Elsewhere").values_list("count", flat=True)) == {1}
    assert not Total.objects.filter(group=venues[0].group).exists()


def test_sums_are_the_estimates_of_the_messages(store):
    """What the page adds up in the database is what tools/fleet/estimate.py makes of the messages one by one."""
    venues = simulated.venues(9)
    sampler = Sampler(Random(3).randbytes)
    sent = [
        one
        for venue in venues
        for day in range(says.DAY - 9, says.DAY + 1)
        for _, one in simulated.published(venue, day, sampler)
    ]
    Intake().take(sent, says.NOW)
    contents = [json.loads(one.payload) for one in sent]
    days = {
        f"{figures.as_date(day):%Y-%m-%d}": one
        for day, (one, told) in figures.fleet_days(0, 99_999).items()
        if told == 9
    }
    assert days == estimate.terminals_a_day(contents)
    first, totals = says.DAY - 6, [one.value for one in list(days.values())[-7:]]
    alone = estimate.week_profile(one for one in contents if one["day"] >= f"{figures.as_date(first):%Y-%m-%d}")
    hours = figures.Sums(first, says.DAY).profile(first, UTC)
    assert all(one is not None for one in (*hours, *alone))
    begin = (first + 3) % 7 * 24 + 3  # the first agent-day's first hour of the week
    for number, total in enumerate(totals):  # each hour of a day is moved alike, so that they add up to its total
        places = [(begin + 24 * number + hour) % 168 for hour in range(24)]
        told = [hours[at].value for at in places]  # type: ignore[union-attr]
        assert sum(told) == pytest.approx(total)
        apart = [one - 9 * alone[at].value for one, at in zip(told, places, strict=True)]  # type: ignore[union-attr]
        assert apart == pytest.approx([apart[0]] * 24)
    for metric, found in figures.Sums(first, says.DAY).cells(first).items():
        if metric in estimate.TELLING:
            assert sum(one.value for one in found) == pytest.approx(sum(totals))
    (_, mean, same), *_ = figures.weekly_means(says.DAY, 1)
    assert same == 9
    assert mean.value == pytest.approx(sum(one.value for one in list(days.values())[-7:]) / 7)
    gateway = Gateway.objects.get(ident=venues[0].ident)
    one = figures.gateway_days(gateway, says.DAY, says.DAY)[says.DAY][0]
    assert one == estimate.terminals_a_day(c for c in contents if c["gateway"] == venues[0].ident)[max(days)]


def told_by(*gateways: tuple[str, str, int, range]) -> None:
    """Store the days of gateways, each (id, group, terminals a day, days), nearly without noise."""
    intake = Intake()
    intake.take([says.health(name) for name, *_ in gateways], says.NOW)
    for name, group, terminals, days in gateways:
        Gateway.objects.filter(ident=name).update(group=group)
        rows = [
            dict.fromkeys(VALUES, None) | {f"v{cell}": terminals if cell == 0 else 0 for cell in range(5)} for _ in days
        ]
        for day, values in zip(days, rows, strict=True):
            Message.objects.create(
                gateway=Gateway.objects.get(ident=name), metric=METRIC["presence"], day=day,
                slot=0, start=0, end=1, b_over=1, b_under=9, received=0, late=False, **values,
            )  # fmt: skip
        grouped.again(Gateway.objects.get(ident=name))


def test_a_mean_day_is_over_the_days_that_were_told(store):
    """A group whose gateway told of two days of the last week: 200 a day, not 57.

    One of two that missed five days counts as ever.
    """
    last = says.DAY
    told_by(
        ("a" * 16, "north", 200, range(last - 1, last + 1)),
        ("b" * 16, "south", 1000, range(last - 6, last + 1)),
        ("c" * 16, "south", 300, range(last - 1, last + 1)),
    )
    found = figures.group_means(last)
    assert {name: (round(one.value), count) for name, (one, count) in found.items()} == {
        "north": (200, 1),
        "south": (1300, 2),
    }
    assert all(one.half_width < 3 for one, _ in found.values())


def test_weeks_are_compared_over_the_same_gateways(store):
    """Two that came in the last week, and one that went: they make no week larger or smaller.

    A week that half of them lack isn't shown.
    """
    last = says.DAY
    told_by(
        ("a" * 16, "", 100, range(last - 27, last + 1)),
        ("b" * 16, "", 50, range(last - 27, last + 1)),
        ("c" * 16, "", 999, range(last - 27, last - 6)),
        ("d" * 16, "", 888, range(last - 6, last + 1)),
    )
    weeks = figures.weekly_means(last, 8)
    assert [(first, round(mean.value), same) for first, mean, same in weeks] == [
        (last - 27 + 7 * week, 150, 2) for week in range(4)
    ]
    told_by(("e" * 16, "", 7, range(last - 6, last + 1)), ("f" * 16, "", 7, range(last - 6, last + 1)))
    assert [(round(mean.value), same) for _, mean, same in figures.weekly_means(last, 8)] == [(1052, 5)]


@pytest.mark.long
def test_bands_of_fleets_hold_as_often_as_they_say(sqlite):
    """Over 1,050 days of simulated fleets, through store and sums.

    The truth lies in the 95 % band 93 to 97 % of the time.
    """
    venues = simulated.venues(6)
    sampler = Sampler(Random(11).randbytes)
    intake, inside = Intake(), []
    days = range(says.DAY - 349, says.DAY + 1)
    intake.take([says.health(venue.ident) for venue in venues], says.NOW)
    for number, venue in enumerate(venues):
        Gateway.objects.filter(ident=venue.ident).update(group=str(number % 3))
        told = simulated.published
        messages = [
            one
            for day in days
            for _, one in told(venue, day, sampler)
            if one.topic.rsplit("/", 1)[1] in ("presence", "volume")
        ]
        for start in range(0, len(messages), 200):
            intake.take(messages[start : start + 200], says.NOW)
    true = {(str(number % 3), day): 0 for number in range(3) for day in days}
    for number, venue in enumerate(venues):
        for day in days:
            true[str(number % 3), day] += sum(simulated.truth(venue, day)["presence"][0])
    for group in "012":
        for day, (one, _) in figures.fleet_days(days[0], days[-1], group).items():
            inside.append(abs(one.value - true[group, day]) <= one.half_width)
    assert len(inside) == 1050
    assert 0.93 < sum(inside) / len(inside) < 0.97


@pytest.mark.parametrize(
    ("one", "below", "text"),
    [
        (Estimate(7, 12), 8, "< 8"),
        (Estimate(-3, 12), 8, "< 8"),
        (Estimate(20, 12), 8, "20 ± 12"),
        (Estimate(12_345, 234), 0, "12 340 ± 240"),
        (Estimate(12_345, 34.2), 0, "12 345 ± 35"),
        (Estimate(100, 150), 0, "< 150"),
        (Estimate(1234.56, 3.21), 0, "1 234.6 ± 3.3"),
        (Estimate(1_234_567, 12_000), 0, "1 235 000 ± 12 000"),
        (Estimate(5, 0), 0, "5"),
    ],
)
def test_a_figure_claims_no_more_than_the_noise_allows(one, below, text):
    """ANON-3: below its threshold only "< n".

    A sum and its ± end at the half-width's second digit, the ± rounded up.
    """
    assert figures.shown(one, below).replace("\u202f", " ") == text


def test_bars_and_bands_end_where_their_numbers_do():
    """Nothing is drawn below zero or above the scale.

    The band reaches as far to both sides of the value as it is wide.
    """
    top, lines = charts.scale(87)
    assert (top, lines) == (100, [0, 20, 40, 60, 80, 100])
    whole, low, missing = charts.columns(
        [Estimate(50, 10), Estimate(-5, 10), None], ["", "", ""], ["", "", ""], [False] * 3, top
    )
    assert whole is not None
    assert low is not None
    assert missing is None
    assert (whole.value, whole.high, whole.band, whole.rest) == (50, 40, 20, 50)
    assert (low.value, low.high, low.band, low.rest) == (100, 95, 5, 0)
    (row,) = charts.rows([Estimate(25, 50)], [""], [""], [True], top)
    assert (row.value, row.low, row.band) == (250, 0, 750)


PAGES = ("/", "/gateway/{gateway}?day={day}", "/fleet", "/fleet?group=Lyon", "/compliance")


def test_queries_use_indexes_and_are_few(store):
    """EXPLAIN of each query of each page: none walks through the messages or totals.

    Their number doesn't grow with the fleet.
    """
    staging.fill(simulated.venues(6), 4, says.NOW)
    get_user_model().objects.create_user("operator", password=PASSWORD)
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.get())
    gateway = Gateway.objects.first()
    explained = 0
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":
            # Small tables are walked through otherwise: what matters is that an index serves
            cursor.execute("SET enable_seqscan = off")
        for page in PAGES:
            queries = []
            for most in (60, 40):  # what had changed is made anew by the first look
                with CaptureQueriesContext(connection) as captured:
                    assert client.get(page.format(gateway=gateway.ident, day=says.DAY)).status_code == 200
                assert len(captured) < most
                queries += captured.captured_queries
            for text in [
                one["sql"]
                for one in queries
                if re.search(r"^\s*(SELECT|WITH).*fleet_(message|total|day|grouped)", one["sql"], re.DOTALL)
            ]:
                cursor.execute(
                    ("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ") + text.replace("%", "%%")
                )
                plan = "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())
                assert not re.search(
                    r"SCAN fleet_(message|total|day|grouped)(?! USING)|Seq Scan on fleet_(message|total|day|grouped)",
                    plan,
                ), f"{text}\n{plan}"
                explained += 1
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
    assert explained > 8


def spoken() -> set[str]:
    """Return every text that templates and modules say."""
    found = {text for _, text in KINDS.values()} | set(REASONS.values())
    for path in (FLEET / "templates").rglob("*.html"):
        found |= {text.strip("\"'") for text in re.findall(r"""\{% say ("[^"]*"|'[^']*')""", path.read_text())}
    for path in FLEET.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "words.say"
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return found


def test_every_word_has_its_french_and_none_is_left_over():
    said = spoken()
    assert said - set(words.FRENCH) == set()
    said |= {word for metric in METRICS for word in (metric.name, *metric.cells)}
    rooms = "".join(path.read_text() for path in [*FLEET.glob("*.py"), *(PROJECT / "agent").rglob("*.py")])
    rooms = re.sub(r'"\s*\n\s*"', "", rooms)  # a text on several lines
    assert {text for text in words.FRENCH if text not in said and f'"{text}"' not in rooms} == set()
    assert len(words.FRENCH) == sum(len(page.FRENCH) for page in words.PAGES)
    for english, french in words.FRENCH.items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", french))


def test_no_code_name_is_a_title_in_either_language():
    """A metric, its cells, and the words of health: what a person reads isn't what a message carries."""
    names = {metric.name for metric in METRICS} | {
        cell for metric in METRICS if metric.like in {"presence", "volume"} for cell in metric.cells
    }
    assert {name for name in names if ENGLISH.get(name, name) == name} == set()
    assert set(ENGLISH) <= set(words.FRENCH)
    assert {name for name in names if words.FRENCH.get(name, name) == name} == set()


def test_the_page_speaks_french(sqlite, inside):
    now = int(time.time())
    Intake().take([says.state(ONE), says.health(ONE, now, late=True)], now)
    post(inside, "/language", language="fr", next="/")
    page = inside.get("/").content.decode()
    assert '<html lang="fr">' in page
    assert "Un enregistrement a dépassé son terme" in page
    assert "manquement" in inside.get("/compliance.csv").content.decode()
    assert Message.objects.count() == 0
