# SPDX-License-Identifier: Apache-2.0
"""People: what each role may do on the page, the own password, what is written down of what was done."""

from __future__ import annotations

import contextlib
import html
import re
import threading
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.urls import get_resolver

from agent.doctor.catalogue import CATALOGUE
from agent.purposes.checks import ROWS
from tests.fleet import says
from tools.fleet import people, remedies, retention, tokens, tries
from tools.fleet.intake import Intake
from tools.fleet.judgement import KINDS, Finding
from tools.fleet.models import Channel, Deed, Gateway, Token
from tools.fleet.options import ROLES
from tools.fleet.reading import KEPT_DAYS
from tools.package import lmo

PASSWORD = "correct horse battery"
ONE = says.name(1)
CHANNEL = {
    "act": "save", "name": "night", "form": "json", "target": "https://hook.example/s3cret",
    "delay": "10", "repeat": "24", "zone": "Europe/Paris", "language": "en",
}  # fmt: skip


@pytest.fixture
def browsers(sqlite) -> dict[str, Client]:
    """Give a browser for each role, logged in, of a fleet with one gateway."""
    tries.TRIED.__init__()  # type: ignore[misc]  # as it was at the start
    Intake().take([says.health(ONE)], says.NOW)
    found = {}
    for role in ROLES:
        user = get_user_model().objects.create_user(role, password=PASSWORD)
        people.set_role(user, role)
        found[role] = Client(HTTP_HOST="localhost")
        found[role].force_login(user)
    return found


@pytest.mark.long
def test_each_address_is_for_the_roles_that_it_should_be_for(browsers):
    """Every address of the page, read and sent to: a viewer changes nothing, people are an administrator's.

    A new address fails here.
    """
    own = {"password", "factor", "tokens"}
    everybody = {
        "",
        "gateway/<str:ident>",
        "fleet",
        "compliance",
        "compliance.csv",
        "alerts",
        "inventory",
        "inventory.csv",
    } | own
    files = {"fleet/figures.<str:form>", "gateway/<str:ident>/figures.<str:form>"}  # read by everybody: test_figures.py
    operators = {"gateway/<str:ident>/change", "alerts/change", "inventory/change", "fleet/share"}
    administrators = {"people", "people/change"}
    nobodys = {
        "login",
        "logout",
        "language",
        "metrics",
        "api/v1/",
        "picture/<str:key>.<str:form>",
    }  # anybody's, or no person's: test_api.py
    assert {
        str(one.pattern) for one in get_resolver().url_patterns
    } == everybody | files | operators | administrators | nobodys
    for role, browser in browsers.items():
        for path in files:
            place = "/" + path.replace("<str:ident>", ONE).replace("<str:form>", "csv")
            assert (browser.get(place).status_code, browser.post(place).status_code) == (
                404,
                403 if role == "viewer" else 405,
            )
        for path in everybody | operators | administrators:
            place = "/" + path.replace("<str:ident>", ONE)
            read, sent = browser.get(place).status_code, browser.post(place, {"act": "none"}).status_code
            if path in administrators and role != "administrator":
                assert (read, sent) == (403, 403), (role, path)
            elif path in own:
                assert (read, sent) == (200, 400 if path == "password" else 302), (role, path)
            elif path in everybody:
                assert (read, sent) == (200, 403 if role == "viewer" else 405), (role, path)
            elif path == "people":
                assert (read, sent) == (200, 405)
            else:
                assert (read, sent) == (405, 403 if role == "viewer" else 302), (role, path)


def test_a_viewer_sees_no_form_that_would_be_refused(browsers):
    for path in ("/", f"/gateway/{ONE}", "/alerts", "/inventory"):
        forms = {
            role: set(re.findall(r'method="post" action="([^"]+)"', browsers[role].get(path).content.decode()))
            for role in ROLES
        }
        assert forms["viewer"] <= {"/inventory/change"}, path  # around the list: its buttons aren't there
        assert "<button name" not in browsers["viewer"].get(path).content.decode().partition("<main")[2]
        assert forms["operator"] == forms["administrator"]


def test_a_viewer_isnt_told_what_a_webhooks_address_opens(browsers):
    assert browsers["operator"].post("/alerts/change", CHANNEL).status_code == 302
    assert "s3cret" in browsers["operator"].get("/alerts").content.decode()
    page = browsers["viewer"].get("/alerts").content.decode()
    assert "https://hook.example" in page
    assert "s3cret" not in page


def test_a_role_is_asked_for_at_each_request(browsers):
    viewer = get_user_model().objects.get(username="viewer")
    rename = lambda: browsers["viewer"].post(f"/gateway/{ONE}/change", {"name": "Mine"}).status_code  # noqa: E731
    assert rename() == 403
    people.set_role(viewer, "operator")
    assert rename() == 302
    people.set_role(viewer, "viewer")
    assert rename() == 403
    viewer.delete()
    assert rename() == 302  # to the log-in
    assert Gateway.objects.get().name == "Mine"


def test_an_administrator_adds_changes_and_removes_people(browsers):
    chief = browsers["administrator"]
    page = chief.post("/people/change", {"act": "add", "name": "Zoé", "role": "viewer"}).content.decode()
    given = re.search(r"shown once: <code>([\w-]+)</code>", page)
    assert given is not None
    new = Client(HTTP_HOST="localhost")
    assert new.login(username="Zoé", password=given[1])
    assert new.post(f"/gateway/{ONE}/change", {"name": "x"}).status_code == 403
    assert given[1] not in "".join(one.about for one in Deed.objects.all())
    chief.post("/people/change", {"act": "role", "name": "Zoé", "role": "operator"})
    assert new.post(f"/gateway/{ONE}/change", {"name": "x"}).status_code == 302
    chief.post("/people/change", {"act": "remove", "name": "Zoé"})
    assert new.get("/").status_code == 302
    before = [(one.username, people.role(one)) for one in get_user_model().objects.order_by("pk")]
    for form, said in (
        ({"act": "add", "name": "viewer", "role": "viewer"}, "There is somebody of that name"),
        ({"act": "add", "name": " x", "role": "viewer"}, "accepted: 1 to 150"),
        ({"act": "role", "name": "nobody", "role": "viewer"}, "or nobody"),
        ({"act": "remove", "name": "administrator"}, "Nobody removes"),
        ({"act": "role", "name": "administrator", "role": "viewer"}, "has to be administrator"),
    ):
        answer = chief.post("/people/change", form)
        assert answer.status_code == 400
        assert said in answer.content.decode()
    assert chief.post("/people/change", {"act": "add", "name": "x", "role": "king"}).status_code == 302
    assert [(one.username, people.role(one)) for one in get_user_model().objects.order_by("pk")] == before


@pytest.mark.long
def test_the_own_password_is_changed_by_who_knows_it(browsers):
    """A try counts as one at the log-in; other sessions of that person end, the one that changed it goes on."""
    browser = browsers["viewer"]
    elsewhere = Client(HTTP_HOST="localhost")
    assert elsewhere.login(username="viewer", password=PASSWORD)

    def change(former: str, new: str, again: str | None = None) -> str:
        form = {"password": former, "new_password": new, "again_password": new if again is None else again}
        return browser.post("/password", form).content.decode()

    assert "isn&#x27;t your password" in change("wrong", "x" * 12)
    assert "twice the same" in change(PASSWORD, "x" * 11)
    assert "twice the same" in change(PASSWORD, "x" * 12, "y" * 12)
    assert elsewhere.get("/").status_code == 200
    assert "It is changed" in change(PASSWORD, "another one now")
    assert browser.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302
    assert Client(HTTP_HOST="localhost").login(username="viewer", password="another one now")
    said = [change("wrong", "x" * 12) for _ in range(tries.TRIES[0] + 1)]
    assert "Too many attempts" in said[-1]


def test_who_makes_an_administrator_is_asked_for_the_own_password(browsers):
    """Whoever is added or raised; without it, or with a wrong one, nobody is, and nothing is written down."""
    chief, users = browsers["administrator"], get_user_model().objects
    for form in (
        {"act": "role", "name": "viewer", "role": "administrator"},
        {"act": "add", "name": "new", "role": "administrator"},
    ):
        asked = chief.post("/people/change", form)
        assert asked.status_code == 200
        page = html.unescape(asked.content.decode())
        assert f"Make {form['name']} administrator" in page
        assert 'type="password"' in page
        wrong = chief.post("/people/change", form | {"password": "wrong"})
        assert wrong.status_code == 400
        assert "isn\u0027t your password" in html.unescape(wrong.content.decode())
        assert users.filter(is_superuser=True).count() == 1
        assert not Deed.objects.filter(act="change_people").exists()
    chief.post("/people/change", {"act": "role", "name": "viewer", "role": "administrator", "password": PASSWORD})
    page = chief.post("/people/change", form | {"password": PASSWORD}).content.decode()
    assert "shown once: <code>" in page
    assert set(users.filter(is_superuser=True).values_list("username", flat=True)) == {"administrator", "viewer", "new"}
    assert [one.about for one in Deed.objects.filter(act="change_people").order_by("pk")] == [
        "act=role name=viewer role=administrator", "act=add name=new role=administrator",
    ]  # fmt: skip


def test_two_administrators_at_once_leave_one(store):
    """Each takes the role from the other, from the own self, or removes the other, many times over."""
    users = get_user_model().objects
    for number in range(12):
        users.all().delete()
        pair = [users.create_user(name) for name in ("one", "two")]
        for user in pair:
            people.set_role(user, "administrator")
        act = ("role", "remove", "own")[number % 3]
        ready = threading.Barrier(2)

        def run(place: int, pair: list[Any] = pair, act: str = act, ready: threading.Barrier = ready) -> None:
            by, target = pair[place], pair[place if act == "own" else 1 - place]
            ready.wait(120)
            with contextlib.suppress(ValueError):  # refused, or gone meanwhile
                people.change("role" if act == "own" else act, target.username, "viewer", by)
            connections.close_all()

        threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        assert users.filter(is_superuser=True).count() == 1, act


def test_an_act_that_changed_nothing_isnt_written_down_as_done(browsers):
    """The same name, role, group, tag, picture again; an end of what isn't there; a word that nobody knows."""
    chief = browsers["administrator"]
    acts = [
        (f"/gateway/{ONE}/change", {"name": "Café", "group": "Lyon", "zone": "Europe/Paris"}),
        ("/inventory/change", {"act": "tag", "value": "bar", "gateway": ONE}),
        ("/inventory/change", {"act": "group", "value": "*", "gateway": ONE}),
        ("/fleet/share", {"act": "make", "group": "*"}),
        ("/people/change", {"act": "role", "name": "viewer", "role": "operator"}),
    ]
    for path, form in acts:
        assert chief.post(path, form).status_code == 302
    assert Deed.objects.count() == len(acts)
    chief.post("/alerts/change", CHANNEL)
    number = str(Channel.objects.get().pk)
    nothing = [
        *acts[1:],
        (f"/gateway/{ONE}/change", {"name": "Café", "group": "*"}),
        (f"/gateway/{ONE}/change", {"settle": "duplicate"}),
        (f"/gateway/{ONE}/change", {}),
        ("/inventory/change", {"act": "tag", "value": "x", "gateway": "q" * 16}),
        ("/inventory/change", {"act": "dance"}),
        ("/people/change", {"act": "dance"}),
        ("/alerts/change", CHANNEL | {"number": number}),
        ("/alerts/change", {"act": "end", "number": "77"}),
        ("/tokens", {"act": "end", "number": "77"}),
        ("/factor", {"act": "dance"}),
    ]
    for path, form in nothing:
        assert chief.post(path, form).status_code == 302, (path, form)
    assert [(one.act, one.about) for one in Deed.objects.order_by("pk")[len(acts) + 1 :]] == []


def test_a_group_may_be_called_as_anything_is(browsers):
    """Whoever asks for all gets all, also where a group is called `*`."""
    chief = browsers["administrator"]
    Intake().take([says.summary(ONE, "presence")], says.NOW)
    for name in ("*", "?"):
        chief.post("/inventory/change", {"act": "group", "value": name, "gateway": ONE})
        Intake().take([says.health(says.name(2))], says.NOW)
        page = chief.get("/fleet").content.decode()
        (every,) = re.findall(r'<option value="([^"]*)">all</option>', page)
        assert '<option value="*" selected>' not in chief.get("/fleet", {"group": every}).content.decode()
        assert f'<option value="{name}" selected>' in chief.get("/fleet", {"group": name}).content.decode()


def test_what_people_do_is_written_down_with_their_name_and_without_secrets(browsers):
    browsers["operator"].post(f"/gateway/{ONE}/change", {"name": "Café", "group": "Lyon"})
    browsers["operator"].post("/alerts/change", CHANNEL)
    assert Channel.objects.count() == 1
    browsers["viewer"].post(f"/gateway/{ONE}/change", {"name": "no"})
    browsers["viewer"].post(
        "/password", {"password": PASSWORD, "new_password": "another one now", "again_password": "another one now"}
    )
    told = [(one.by, one.act, one.about) for one in Deed.objects.order_by("pk")]
    assert told[0] == ("operator", "change", f"{ONE} name=Café group=Lyon")
    assert told[1][:2] == ("operator", "change_alerts")
    assert "night" in told[1][2]
    assert told[2] == ("viewer", "password", "")
    assert not re.search(r"s3cret|horse|another", str(told))
    browsers["administrator"].post("/people/change", {"act": "role", "name": "viewer", "role": "operator"})
    page = browsers["administrator"].get("/people").content.decode()
    assert "change_people act=role name=viewer role=operator" in page


def test_a_deed_is_written_down_before_it_is_done_and_struck_out_where_it_was_refused(browsers, monkeypatch):
    """A client that hangs up ends the request, not the view's thread, which goes on."""
    seen = []

    def change(*_: object) -> str:
        seen.extend(Deed.objects.values_list("by", "about"))
        return ""

    monkeypatch.setattr(people, "change", change)
    form = {"act": "role", "name": "viewer", "role": "operator"}
    browsers["administrator"].post("/people/change", form)
    assert seen == [("administrator", "act=role name=viewer role=operator")]
    monkeypatch.undo()
    for name, path in (("administrator", "/people/change"), ("viewer", "/tokens")):
        assert (
            browsers[name].post(path, form | {"act": "make" if name == "viewer" else "role", "name": "x"}).status_code
            == 400
        )
    assert Deed.objects.count() == 1


def test_nobody_flushes_a_deed_out_or_hides_one_behind_others(browsers, monkeypatch):
    monkeypatch.setattr(people, "DEEDS", 3)
    chief = browsers["administrator"]
    form = {"z" * 600: "1", "name": ["x", "y", "z", "evil"], "role": "viewer", "act": "add", "tag": "a\u202eb"}
    chief.post("/people/change", form)
    evil = ("administrator", "change_people", "act=add name=y name=z name=evil role=viewer tag='a\\u202eb'")
    for number in range(5):
        browsers["viewer"].post("/language", {"language": "en"})
        for name in ("viewer", "administrator"):
            tokens.create(get_user_model().objects.get(username=name), "x", ["metrics"])
            browsers[name].post("/tokens", {"act": "end", "number": str(Token.objects.latest("pk").pk)})
        browsers["operator"].post(f"/gateway/{ONE}/change", {"name": f"a role={number}"})
    told = list(Deed.objects.order_by("pk").values_list("by", "act", "about"))
    assert told[0] == evil
    assert [(by, act) for by, act, _ in told[1:]] == 3 * [
        ("viewer", "tokens"), ("administrator", "tokens"), ("operator", "change")
    ]  # fmt: skip
    assert told[-1][2] == f"{ONE} name='a role=4'"
    now = Deed.objects.latest("pk").at
    retention.prune(now)  # the gateway's health is of a fixed day, and too old one day
    assert Deed.objects.count() == len(told)
    retention.prune(now + (KEPT_DAYS + 1) * 86_400)
    assert not Deed.objects.exists()
    assert not Session.objects.exists()  # they had ended too


@pytest.mark.parametrize(
    ("language", "absent", "refused"), [("en", "Not here", "Not for you"), ("fr", "Pas ici", "Pas pour vous")]
)
def test_what_isnt_there_and_what_isnt_allowed_is_said_in_the_pages_own_clothes(browsers, language, absent, refused):
    for path, status, said in (
        ("/gateway/aaaaaaaaaaaaaaaa", 404, absent),
        ("/nowhere", 404, absent),
        ("/people", 403, refused),
    ):
        answer = browsers["viewer"].get(path, headers={"accept-language": language})
        assert answer.status_code == status
        assert f"<h1>{said}</h1>" in answer.content.decode()
        assert "<nav" in answer.content.decode()
    stale = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)
    assert "<h1>" in stale.post("/login", {"username": "x"}).content.decode()


@pytest.mark.parametrize(
    ("language", "said", "busy"), [("en", "Nothing to see here", "A moment"), ("fr", "Rien à voir ici", "Un instant")]
)
def test_a_forms_address_and_a_busy_log_in_are_pages_too(browsers, language, said, busy):
    """Where a log-in leads back to what was a form; where two passwords are hashed already."""
    answer = browsers["operator"].get("/inventory/change", headers={"accept-language": language})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert f"<h1>{said}</h1>" in answer.content.decode()
    for _ in range(tries.HASHES):
        assert tries.TRIED._hashing.acquire(blocking=False)
    form = {"username": "operator", "password": PASSWORD}
    answer = Client(HTTP_HOST="localhost", headers={"accept-language": language}).post("/login", form)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert f"<h1>{busy}" in answer.content.decode()
    tries.TRIED._hashing.release(tries.HASHES)


def test_nothing_that_a_stranger_asks_for_is_a_line_in_the_journal(browsers, caplog, capfd, monkeypatch):
    """He could write there what he likes, without end; a fault of the page is still told."""
    for path in ("/nowhere", "/api/v1/gateways", "/people", "/inventory/change", "/gateway/xyz"):
        assert browsers["viewer"].get(path).status_code > 400
    assert Client(HTTP_HOST="evil.example").get("/login").status_code == 400
    assert Client(HTTP_HOST="localhost", enforce_csrf_checks=True).post("/login", {"username": "x"}).status_code == 403
    assert (caplog.records, capfd.readouterr().err) == ([], "")
    monkeypatch.setattr("tools.fleet.inventory.tags", None)
    browsers["viewer"].raise_request_exception = False
    assert browsers["viewer"].get("/").status_code == 500
    assert [one.getMessage() for one in caplog.records] == ["Internal Server Error: /"]


def test_what_goes_wrong_inside_and_a_strange_host_are_said_in_both_languages(browsers, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("tools.fleet.inventory.tags", broken)
    browsers["viewer"].raise_request_exception = False
    for answer, status in ((browsers["viewer"].get("/"), 500), (Client(HTTP_HOST="evil.example").get("/login"), 400)):
        assert answer.status_code == status
        page = answer.content.decode()
        assert '<p lang="fr">' in page
        assert "oubli.css" in page
        assert "secret" not in page
        assert "RuntimeError" not in page


def test_doctors_remedies_have_the_french_of_lucis_pages():
    rows = CATALOGUE | ROWS
    found = Finding("doctor", 0, {"names": ", ".join([*rows, "of-a-newer-version"])})
    french = {one["msgid"]: one.get("msgstr") for one in lmo.messages((lmo.PO / "fr/oubli.po").read_text())}
    assert remedies.of_doctor(found, "en") == [
        *((name, row[2]) for name, row in rows.items()),
        ("of-a-newer-version", ""),
    ]
    assert remedies.of_doctor(found, "fr") == [
        *((name, french[row[2]]) for name, row in rows.items()),
        ("of-a-newer-version", ""),
    ]
    same = [name for name, row in rows.items() if french[row[2]] == row[2]]
    assert same == ["watch", "page-blocked"]  # commands alone, in both languages


def test_every_finding_has_its_remedy_beside_it(browsers):
    """Each kind in both languages; the doctor's own names with those of its catalogue."""
    assert set(remedies.REMEDIES) == set(KINDS) - {"doctor"}
    Intake().take([says.health(ONE, says.NOW + 1, doctor=["offload", "flash"], clock="floor")], says.NOW + 1)
    doctors = {"en": "or lower mqtt.spool_bytes", "fr": "ou baisser mqtt.spool_bytes"}
    for language, said in (("en", "Let ntpd reach a time server"), ("fr", "Laisser ntpd joindre un serveur de temps")):
        for path in (f"/gateway/{ONE}", "/compliance"):
            page = html.unescape(browsers["viewer"].get(path, headers={"accept-language": language}).content.decode())
            assert said in page
            assert [one for one, text in doctors.items() if text in page] == [language]
    columns = browsers["viewer"].get("/", headers={"accept-language": "fr"}).content.decode()
    assert columns.count('aria-describedby="h-') == columns.count('<dd id="h-') == 10
