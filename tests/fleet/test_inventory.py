# SPDX-License-Identifier: Apache-2.0
"""The inventory: silent or former gateways, an empty fleet, a search, tags, many changed at once, a list in and out."""

from __future__ import annotations

import html
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.fleet import says
from tests.fleet.test_store import totals_agree
from tools.fleet import figures, inventory, simulated, staging, starting
from tools.fleet.intake import AGAIN, Intake
from tools.fleet.listing import Listed
from tools.fleet.models import Deed, Gateway, Head, Message

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
    """Nothing is wrong with it any more; it can be looked at and taken back.

    Where it speaks again, it is back with a finding.
    """
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
    now = int(time.time()) + 2 * AGAIN
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
    inventory.expect([Listed(says.name(3), "New")], now)
    client = logged_in()
    page = client.get("/").content.decode()
    rows = {ident: page.partition(f'id="g-{ident}"')[2].partition("</tr>")[0] for ident in (ONE, OTHER, says.name(3))}
    assert [
        word in rows[ident]
        for ident, word in ((ONE, "<small>silent"), (OTHER, "<small>online"), (says.name(3), "<small>never"))
    ] == [True] * 3
    assert "<small>online" not in rows[ONE]
    assert "silent" in client.get(f"/gateway/{ONE}").content.decode()


@pytest.mark.parametrize(
    ("language", "next_step", "looked"),
    [("en", "Enrol the first", "nothing was looked at"), ("fr", "Inscrire la première", "rien n'a")],
)
def test_an_empty_fleet_says_what_to_do_next_and_not_that_nothing_is_wrong(sqlite, language, next_step, looked):
    client = logged_in()
    for path in ("/", "/inventory"):
        assert next_step in client.get(path, headers={"accept-language": language}).content.decode()
    assert next_step not in client.get("/inventory", {"q": "x"}, headers={"accept-language": language}).content.decode()
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


def many(client: Client, **form: object) -> str:
    """Send the inventory's form; returns how many were changed, or the refusal."""
    answer = client.post("/inventory/change", form)
    if answer.status_code == 302:
        return parse_qs(urlsplit(answer.headers["Location"]).query)["done"][0]
    assert answer.status_code == 400
    return answer.content.decode().partition('role="alert">')[2].partition("<")[0]


def kept() -> list[tuple[str, str, str, bool]]:
    return [(one.name, one.group, one.tags, bool(one.retired)) for one in Gateway.objects.order_by("ident")]


def test_many_gateways_are_put_into_a_group_tagged_and_retired_at_once(store):
    """Those that are marked, or all that a search finds; totals of the groups go along; a tag is a word, once."""
    venues = simulated.venues(3)
    staging.fill(venues, 3, says.NOW)
    client, idents = logged_in(), sorted(venue.ident for venue in venues)
    former = {one.group for one in Gateway.objects.all()}
    Gateway.objects.update(group="", name="Café")
    for group in former | {""}:
        figures.regroup(group)
    assert many(client, act="group", value="  Lyon  Est ", gateway=idents[:2]) == "2"
    assert totals_agree()
    assert [group for _, group, _, _ in kept()] == ["Lyon Est", "Lyon Est", ""]
    assert many(client, act="tag", value="Terrasse, été terrasse", gateway=idents[1:]) == "2"
    assert [tags for _, _, tags, _ in kept()] == ["", "terrasse été", "terrasse été"]
    assert many(client, act="untag", value="été", every="1", group="Lyon Est") == "1"  # the other has none
    assert [tags for _, _, tags, _ in kept()] == ["", "terrasse", "terrasse été"]
    assert shown(client, tag="terrasse") == idents[1:]
    assert shown(client, q="ÉTÉ") == idents[2:]
    assert many(client, act="retire", every="1", q="cafe", tag="été") == "1"
    assert [retired for *_, retired in kept()] == [False, False, True]
    assert many(client, act="restore", gateway=idents) == "1"
    before = kept()
    assert "a group; accepted" in many(client, act="group", value="x" * 65, gateway=idents)
    assert "tags; accepted" in many(client, act="tag", value="x" * 33, gateway=idents)
    assert "tags; accepted" in many(client, act="tag", value=" ".join(map(str, range(300))), gateway=idents)
    assert client.post("/inventory/change", {"act": "drop", "gateway": idents}).status_code == 302
    assert client.get("/inventory/change").status_code == 405
    assert kept() == before
    assert totals_agree()


def test_a_list_goes_out_and_comes_in_again(sqlite):
    """As one writes it in a spreadsheet: with a byte order mark, semicolons, a name that looks like a formula, tags."""
    client = logged_in()
    rows = f"\ufeffgateway;name;group;tags\n{ONE};=Café;Lyon;b a\n{OTHER};;;\n"
    assert many(client, act="import", list=SimpleUploadedFile("l.csv", rows.encode())) == "2"
    assert kept() == [("=Café", "Lyon", "a b", False), ("", "", "", False)]
    out = client.get("/inventory.csv").content.decode()
    assert out.splitlines() == ["gateway,name,group,tags", f"{OTHER},,,", f"{ONE},'=Café,Lyon,a b"]
    assert client.get("/inventory.csv", {"tag": "a"}).content.decode().count("\n") == 2
    Gateway.objects.all().delete()
    assert many(client, act="import", list=SimpleUploadedFile("l.csv", out.encode())) == "2"
    assert kept() == [("=Café", "Lyon", "a b", False), ("", "", "", False)]
    before = kept()
    for wrong, said in (
        (b"", "a file; accepted"),
        (b"\xff", "no UTF-8"),
        (b"name,group\nA,B\n", "line 2"),
        (f"gateway,name\n{ONE},A\n{ONE},B\n".encode(), "line 3"),
        (b'gateway,name\n"' + b"x" * 200_000 + b'",\n', "no CSV"),
        (b"gateway,name" + b",a" * 20 + b"\n" + ONE.encode() + b",A\n", "too large"),
    ):
        assert said in many(client, act="import", list=SimpleUploadedFile("l.csv", wrong)), wrong[:40]
    assert "a file; accepted" in many(client, act="import")
    french = SimpleUploadedFile("l.csv", f"gateway,name\n{ONE},A\n{ONE},B\n".encode())
    refused = client.post("/inventory/change", {"act": "import", "list": french}, headers={"accept-language": "fr"})
    assert f"ligne 3 : '{ONE}' y est deux fois ; accepté" in html.unescape(refused.content.decode())
    assert kept() == before


def test_a_gateway_takes_no_name_that_cant_be_printed(sqlite):
    inventory.expect([Listed(ONE, "Café", "Lyon")], says.NOW)
    client = logged_in()
    for name, group in (("a\x1b[2J", "Lyon"), ("Café", "a\u202eb")):
        answer = client.post(f"/gateway/{ONE}/change", {"name": name, "group": group})
        assert answer.status_code == 400
        assert "a name or group; accepted: at most 64 printable characters" in answer.content.decode()
    row = Gateway.objects.get(ident=ONE)
    assert (row.name, row.group) == ("Café", "Lyon")
    client.post(f"/gateway/{ONE}/change", {"name": " Bar  du lac ", "group": "Paris"})
    assert [(row.name, row.group) for row in Gateway.objects.all()] == [("Bar du lac", "Paris")]


WRONG_OF_A_GATEWAY = {
    "name": ({"name": "n" * 65}, "un nom ou un groupe ; accepté : 64 caractères imprimables au plus"),
    "tags": ({"tags": "ok " + "t" * 33}, "des étiquettes ; accepté : "),
    "zone": ({"zone": "Mars"}, "un fuseau horaire ; accepté : Europe/Paris"),
    "id": ({"delete": "q" * 16}, f"un autre identifiant ; accepté : {ONE}"),
}


@pytest.mark.parametrize("what", WRONG_OF_A_GATEWAY)
def test_what_a_gateway_s_form_doesnt_understand_is_said_and_changes_nothing(sqlite, what):
    """Nor the rest of the form; what was typed stands there still."""
    wrong, said = WRONG_OF_A_GATEWAY[what]
    inventory.expect([Listed(ONE, "Café", "Lyon", "bar")], says.NOW)
    before, client = Gateway.objects.values().get(), logged_in()
    form = {"name": "Bar", "group": "Paris", "tags": "quay", "zone": "Indian/Reunion"} | wrong
    answer = client.post(f"/gateway/{ONE}/change", form, headers={"accept-language": "fr"})
    assert answer.status_code == 400
    page = html.unescape(answer.content.decode())
    assert said in page
    assert f'value="{form["name"]}"' in page
    assert f'value="{form["tags"]}"' in page
    assert Gateway.objects.values().get() == before
    assert not Deed.objects.exists()


def test_the_inventory_has_pages_and_is_behind_the_log_in(sqlite):
    inventory.expect([Listed(says.name(number), f"Café {number:03}") for number in range(1, 251)], says.NOW)
    client = logged_in()
    assert client.get("/inventory").content.decode().count('name="gateway"') == 200
    assert client.get("/inventory", {"page": 2}).content.decode().count('name="gateway"') == 50
    assert client.get("/inventory", {"q": "café 24"}).content.decode().count('name="gateway"') == 10
    stranger = Client(HTTP_HOST="localhost")
    for path in ("/inventory", "/inventory.csv"):
        assert stranger.get(path).status_code == 302
    assert stranger.post("/inventory/change", {"act": "retire", "every": "1"}).headers["Location"].startswith("/login")
    assert not Gateway.objects.exclude(retired=0).exists()


def test_a_list_is_taken_up_to_as_many_gateways_as_serve_was_told(sqlite):
    """Not up to a number of its own: the page, `expect` and `serve --gateways` have one limit."""
    rows = [Listed(says.name(number)) for number in range(4)]
    starting.check_room(3)
    inventory.expect(rows[:3], says.NOW)
    with pytest.raises(inventory.FullError, match="1 more would be beyond the limit; accepted: 3 gateways in all"):
        inventory.expect(rows, says.NOW)
    starting.check_room(4)
    assert inventory.expect(rows, says.NOW) == 1
