# SPDX-License-Identifier: Apache-2.0
"""The inventory: gateways that are no more, one that was silent for two days, an empty fleet, a search that ignores accents."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from tests.fleet import says
from tests.fleet.test_store import totals_agree
from tools.fleet import figures, inventory, simulated, staging
from tools.fleet.intake import Intake
from tools.fleet.models import Gateway, Head, Message

ONE, OTHER = says.name(1), says.name(2)


def logged_in() -> Client:
    """Return a browser that is logged in."""
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.create_user("operator"))
    return client


def shown(client: Client, **query: str) -> list[str]:
    """Return the names or ids that the list shows."""
    page = client.get("/", query).content.decode()
    return [one.ident for one in Gateway.objects.order_by("ident") if f'id="g-{one.ident}"' in page]


def test_a_retired_gateway_leaves_the_list_and_its_figures_stay(store):
    """Nothing is wrong with it any more; it can be looked at and taken back; where it speaks again, it is back with a finding."""
    venues = simulated.venues(3)
    staging.fill(venues, 3, says.NOW)
    client, one = logged_in(), venues[0].ident
    sums = figures.fleet_days(0, 99_999)
    client.post(f"/gateway/{one}/change", {"retire": "1"})
    assert one not in shown(client)
    assert len(shown(client)) == 2
    assert shown(client, show="retired") == [one]
    assert figures.fleet_days(0, 99_999) == sums
    assert one not in client.get("/compliance.csv").content.decode()
    assert client.get(f"/gateway/{one}").status_code == 200
    client.post(f"/gateway/{one}/change", {"retire": "0"})
    assert one in shown(client)
    client.post(f"/gateway/{one}/change", {"retire": "1"})
    now = int(time.time()) + 2 * inventory.AGAIN
    Intake().take([says.health(one, now)], now)
    assert one in shown(client)
    assert "Retired, and speaks" in client.get(f"/gateway/{one}").content.decode()


def test_a_deleted_gateway_takes_its_figures_along(store):
    """Only where its id was typed; totals agree afterwards; where it speaks again, it is new."""
    venues = simulated.venues(3)
    staging.fill(venues, 3, says.NOW)
    client, one = logged_in(), venues[0].ident
    client.post(f"/gateway/{one}/change", {"delete": venues[1].ident})
    assert Gateway.objects.count() == 3
    assert client.post(f"/gateway/{one}/change", {"delete": one}).headers["Location"] == "/"
    assert not Gateway.objects.filter(ident=one).exists()
    assert not Message.objects.exclude(gateway__in=Gateway.objects.all()).exists()
    assert not Head.objects.exclude(gateway__in=Gateway.objects.all()).exists()
    assert totals_agree()
    assert client.get(f"/gateway/{one}").status_code == 404
    Intake().take([says.health(one)], says.NOW)
    assert Gateway.objects.get(ident=one).name == ""


def test_a_gateway_that_was_silent_for_two_days_isnt_online(sqlite):
    now = int(time.time())
    Intake().take([says.state(ONE), says.health(ONE, now - 2 * 86_400 - 60)], now - 2 * 86_400 - 60)
    Intake().take([says.state(OTHER), says.health(OTHER, now)], now)
    inventory.expect([(says.name(3), "New", "")], now)
    client = logged_in()
    page = client.get("/").content.decode()
    rows = {ident: page.partition(f'id="g-{ident}"')[2].partition("</tr>")[0] for ident in (ONE, OTHER, says.name(3))}
    assert [word in rows[ident] for ident, word in ((ONE, "<small>silent"), (OTHER, "<small>online"), (says.name(3), "<small>never"))] == [
        True
    ] * 3
    assert "<small>online" not in rows[ONE]
    assert "silent" in client.get(f"/gateway/{ONE}").content.decode()


@pytest.mark.parametrize(
    ("language", "next_step", "looked"), [("en", "Enrol the first", "nothing was looked at"), ("fr", "Inscrire la première", "rien n'a")]
)
def test_an_empty_fleet_says_what_to_do_next_and_not_that_nothing_is_wrong(sqlite, language, next_step, looked):
    client = logged_in()
    assert next_step in client.get("/", headers={"accept-language": language}).content.decode()
    page = client.get("/compliance", headers={"accept-language": language}).content.decode()
    assert looked in page.replace("&#x27;", "'")
    assert "Nothing is wrong" not in page
    assert "Rien à signaler" not in page


def test_a_search_ignores_accents_and_capitals(sqlite):
    Intake().take([says.health(ONE), says.health(OTHER)], says.NOW)
    Gateway.objects.filter(ident=ONE).update(name="Café de l'Œuvre, Orléans")
    client = logged_in()
    for wanted in ("cafe", "CAFÉ", "orleans", "ORLÉANS", ONE[:8].upper()):
        assert ONE in shown(client, q=wanted), wanted
    assert shown(client, q="cafes") == []
