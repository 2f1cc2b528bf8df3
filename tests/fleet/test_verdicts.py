# SPDX-License-Identifier: Apache-2.0
"""How gateways stand is kept in the store: at every second what judging each anew would say, whatever happened."""

from __future__ import annotations

from random import Random

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent.outbox import topics
from tests.fleet import says
from tools import clock
from tools.fleet import inventory, judgement, prometheus, simulated, verdicts
from tools.fleet.delivery import Arrival
from tools.fleet.intake import AGAIN, SILENT, Intake
from tools.fleet.judgement import looked_at
from tools.fleet.listing import Listed
from tools.fleet.models import Gateway, Wrong

NOW, DAY = says.NOW, 86_400


def kept() -> list[tuple[str, str, list[tuple[str, dict[str, object]]]]]:
    """Return what lists show: gateway, grade, findings with their words."""
    return [
        (one.gateway.ident, one.grade, [(finding.kind, finding.words) for finding in one.findings])
        for one in verdicts.standings(verdicts.listed())
    ]


def anew(now: int) -> list[tuple[str, str, list[tuple[str, dict[str, object]]]]]:
    """Return what judging every gateway anew says."""
    rows = [row for row in Gateway.objects.all() if looked_at(row)]
    return [
        (one.gateway.ident, one.grade, [(finding.kind, finding.words) for finding in one.findings])
        for one in judgement.standings(rows, now)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.long
def test_what_is_kept_is_what_judging_anew_says(store, seed):
    """Forty steps of everything that changes how a gateway stands.

    Messages, refusals, what people do, hours and weeks without a word.
    """
    draw, now, intake = Random(seed), NOW, Intake()
    names = [says.name(number) for number in range(6)]
    user, _ = get_user_model().objects.get_or_create(username="operator", is_superuser=True)
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    inventory.expect([Listed(names[0], "Never")], now)
    for _ in range(40):
        now += draw.choice((60, 60, AGAIN, SILENT // 2, SILENT + 1, 3 * DAY))
        some = draw.sample(names, 3)
        deed = draw.randrange(9)
        row = Gateway.objects.filter(ident=some[0]).first()
        if deed < 4:
            facts = draw.choice(
                ({}, {"late": True}, {"capture": "stopped"}, {"keys": draw.randrange(12)}, {"clock": "floor"})
            )
            intake.take([simulated.health(name, now, **facts) for name in some], now)
        elif deed == 4:
            intake.take([says.state(some[0], draw.randrange(2), config=draw.choice("ab") * 16)], now)
            intake.take([Arrival(topics.state(some[1]), b'{"state": "lost"}')], now)
        elif deed == 5:
            intake.take(
                [Arrival(topics.health(some[0]), b"{"), says.summary(some[1], values=[draw.randrange(50)])], now
            )
        elif row is not None:
            forms = (
                {"retire": str(draw.randrange(2))},
                {"accept": row.config},
                {"settle": "late"},
                {"name": f"Café {deed}"},
            )
            client.post(f"/gateway/{row.ident}/change", draw.choice(forms))
        verdicts.renew(now)
        assert sorted(kept()) == sorted(anew(now))
    assert not Gateway.objects.filter(due__lte=now).exists()
    assert Wrong.objects.exists()


def test_time_alone_changes_how_a_gateway_stands(store):
    """A day of silence, and a week after a message was refused: to the second, without a word."""
    intake = Intake()
    intake.take([says.health(says.name(1)), Arrival(topics.health(says.name(1)), b"{")], NOW)
    for now in (NOW, NOW + SILENT, NOW + SILENT + 1):
        verdicts.renew(now)
        assert kept() == anew(now)
    assert [kind for kind, _ in kept()[0][2]] == ["silent", "refused"]
    faded = (NOW // DAY + 7) * DAY
    for now in (faded - 1, faded):
        verdicts.renew(now)
        assert kept() == anew(now)
    assert [kind for kind, _ in kept()[0][2]] == ["silent"]
    assert verdicts.renew(faded + 100 * DAY) == 0  # nothing is due any more


def test_what_goes_on_began_when_it_was_first_found(sqlite):
    for minute in range(3):
        Intake().take([says.health(says.name(1), NOW + 60 * minute, keys=9 - minute)], NOW + 60 * minute)
        verdicts.renew(NOW + 60 * minute)
    assert list(Wrong.objects.values_list("kind", "since", "words")) == [("keys_soon", NOW, {"days": 7})]


def test_a_page_costs_as_many_queries_for_a_thousand_gateways_as_for_ten(sqlite):
    """Nothing of a page is done for each gateway but for the fifty that it shows.

    What is due in thousands doesn't hold it up.
    """
    user, _ = get_user_model().objects.get_or_create(username="operator", is_superuser=True)
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    asked: dict[str, set[int]] = {}
    for count in (10, 1000):
        now = int(clock.seconds())
        Intake().take([simulated.health(says.name(number), now, late=number % 9 == 0) for number in range(count)], now)
        verdicts.renew(now)
        client.get("/")
        for path in ("/", "/?q=a&tag=x", "/?show=breach", "/compliance", "/inventory", "/fleet"):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert client.get(path).status_code == 200
            asked.setdefault(path, set()).add(len(queries))
    assert all(len(counts) == 1 for counts in asked.values()), asked
    Gateway.objects.update(name="x")
    client.get("/")
    assert Gateway.objects.filter(due=0).count() == 1000 - verdicts.SOON


def test_metrics_name_the_worst_and_count_the_rest(sqlite, monkeypatch):
    """A scrape stays below a megabyte: what isn't named is counted, by kind and as a number of its own."""
    monkeypatch.setattr(prometheus, "NAMED", 5)
    now = int(clock.seconds())
    Intake().take(
        [simulated.health(says.name(number), now, late=number < 3, clock="floor") for number in range(9)], now
    )
    families = {one.name: one.samples for one in prometheus.Store().collect()}
    assert [len(families[f"oubli_gateway_{grade}"]) for grade in ("breach", "warning")] == [3, 2]
    assert sum(one.value for one in families["oubli_findings"]) == Wrong.objects.count()
    assert families["oubli_findings_unnamed"][0].value == Wrong.objects.count() - 5
    assert families["oubli_heard_seconds"][0].value == now
