# SPDX-License-Identifier: Apache-2.0
"""Everybody's own second factor: set up, asked for, lost, taken away; what a stranger tries against it."""

from __future__ import annotations

import re
import time
from base64 import b32decode, b64encode
from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tools.fleet import factor, people, starting, tries
from tools.fleet.models import Deed, Silence

PASSWORD = "correct horse battery"
WRONG = "Name, password or code"


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Give the time that codes are made and checked by."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(timezone, "now", lambda: datetime.fromtimestamp(now[0], UTC))
    return now


@pytest.fixture
def browser(sqlite, clock) -> Client:
    """Give a browser of an operator who is logged in, beside an administrator."""
    tries.TRIED.__init__()  # type: ignore[misc]  # as it was at the start
    for name in ("operator", "administrator"):
        people.set_role(get_user_model().objects.create_user(name, password=PASSWORD), name)
    found = Client(HTTP_HOST="localhost")
    assert found.login(username="operator", password=PASSWORD)
    return found


def log_in(code: str = "", password: str = PASSWORD, name: str = "operator", source: str = "192.0.2.1") -> str:
    """Try the log-in; return what it says, or the place that it leads to."""
    client = Client(HTTP_HOST="localhost", REMOTE_ADDR=source)
    answer = client.post("/login", {"username": name, "password": password, "code": code})
    return answer.headers.get("Location", answer.content.decode())


def set_up(browser: Client) -> tuple[bytes, list[str]]:
    """Switch the second factor on as a person does; return its key and the recovery codes."""
    page = browser.post("/factor", {"act": "begin", "password": PASSWORD}).content.decode()
    shown = re.search(r"<p><code>([A-Z2-7 ]+)</code>", page)
    assert shown is not None
    assert "<svg" in page
    key = b32decode(shown[1].replace(" ", ""))
    page = browser.post("/factor", {"act": "confirm", "code": code_of(key)}).content.decode()
    return key, re.findall(r"<li><code>(\w+)</code>", page)


def code_of(key: bytes, steps: int = 0) -> str:
    """Return the code of a key, so many steps of 30 s from now."""
    made = TOTP(key)
    made.time = time.time() + 30 * steps
    return f"{made.token():06}"


def test_a_second_factor_is_set_up_asked_for_and_taken_away(browser, clock):
    elsewhere = Client(HTTP_HOST="localhost")
    assert elsewhere.login(username="operator", password=PASSWORD)
    key, codes = set_up(browser)
    assert len(set(codes)) == factor.CODES
    assert browser.get("/").status_code == 200  # the session that set it up goes on
    assert elsewhere.get("/").headers["Location"] == "/login"  # others end
    clock[0] += 60
    assert WRONG in log_in()
    assert log_in(code_of(key)) == "/"
    page = browser.get("/factor").content.decode()
    assert "It is on" in page
    assert "Recovery codes left: 10" in page
    clock[0] += 60
    assert "not the code" in browser.post("/factor", {"act": "off", "password": PASSWORD}).content.decode()
    assert (
        "not the code"
        in browser.post("/factor", {"act": "off", "password": "wrong", "code": codes[0]}).content.decode()
    )
    assert (
        "It is off" in browser.post("/factor", {"act": "off", "password": PASSWORD, "code": codes[0]}).content.decode()
    )
    assert log_in() == "/"
    assert not StaticToken.objects.exists()


def test_it_isnt_on_before_its_code_was_shown_and_needs_the_password(browser):
    assert browser.post("/factor", {"act": "begin", "password": "wrong"}).status_code == 400
    assert not TOTPDevice.objects.exists()
    assert "<svg" in browser.post("/factor", {"act": "begin", "password": PASSWORD}).content.decode()
    assert log_in() == "/"
    answer = browser.post("/factor", {"act": "confirm", "code": "000000"})
    assert answer.status_code == 400
    assert "<svg" in answer.content.decode()  # the same key: what was read needn't be read again
    assert factor.device(get_user_model().objects.get(username="operator")) is None
    for act in ("off", "codes", "nothing"):
        assert browser.post("/factor", {"act": act, "password": PASSWORD}).status_code == 302


def test_a_key_that_was_begun_is_shown_to_its_session_alone_and_for_ten_minutes(browser, monkeypatch):
    """Who sits at another open session of that person has given no password."""
    thief = Client(HTTP_HOST="localhost")
    assert thief.login(username="operator", password=PASSWORD)
    browser.post("/factor", {"act": "begin", "password": PASSWORD})
    assert thief.post("/factor", {"act": "confirm", "code": "000000"}).status_code == 302
    assert browser.post("/factor", {"act": "confirm", "code": "000000"}).status_code == 400
    later = time.time() + factor.SHOWN + 600
    monkeypatch.setattr("tools.clock.seconds", lambda: later)
    assert browser.post("/factor", {"act": "confirm", "code": "000000"}).status_code == 302


def test_numbers_are_whole_and_few_and_no_nul_comes_in(browser):
    """What int() would take, or fail at; what PostgreSQL fails at, wherever it stands."""
    silence = {"act": "silence", "reason": "x", "kind": ""}
    for hours in ("\u00b2", "-1", "0", "00000000100000000", "000000001" + "0" * 20, "721"):
        answer = browser.post("/alerts/change", silence | {"hours": hours})
        assert answer.status_code == 422
        assert 'id="e-hours"' in answer.content.decode()
    assert not Silence.objects.exists()
    assert browser.get("/alerts?edit=\u00b2").status_code == 200
    assert browser.post("/tokens", {"act": "end", "number": "\u00b2"}).status_code == 302
    Silence.objects.create(reason="x", by="x", began=0, until=1 << 60)
    assert "9999-12-31" in browser.get("/alerts").content.decode()
    for path in ("/gateway/%00", "/?q=%00", "/?%00=1"):
        assert browser.get(path).status_code == 400
    for form in ({"act": "a\0"}, {"\0": "x"}):
        assert browser.post("/alerts/change", form).status_code == 400
    basic = {"authorization": "Basic " + b64encode(b"a\0:b").decode()}
    assert Client(HTTP_HOST="localhost").get("/metrics", headers=basic).status_code == 401
    stranger = Client(HTTP_HOST="localhost", headers={"cookie": 'sessionid="aaaaaaaaa\\000"'})
    assert stranger.get("/").status_code == 400


def test_an_ipv4_address_written_as_ipv6_is_its_own(browser):
    found = [tries._network(RequestFactory().get("/", REMOTE_ADDR=f"::ffff:192.0.2.{n}")) for n in (1, 9)]
    assert found == ["192.0.2.1", "192.0.2.9"]


def test_no_code_passes_twice_and_a_recovery_code_once(browser, clock):
    """Who looks over a shoulder has nothing; nor has who saw the code of the set-up."""
    key, codes = set_up(browser)
    assert WRONG in log_in(code_of(key))
    clock[0] += 60
    assert log_in(code_of(key)) == "/"
    assert WRONG in log_in(code_of(key), source="192.0.2.2")
    clock[0] += 60
    assert WRONG in log_in(code_of(key, -3), source="192.0.2.3")  # too old
    assert log_in(codes[0].upper(), source="192.0.2.4") == "/"
    assert WRONG in log_in(codes[0], source="192.0.2.5")
    assert StaticToken.objects.count() == factor.CODES - 1
    clock[0] += 60
    others = browser.post("/factor", {"act": "codes", "password": PASSWORD, "code": code_of(key)}).content.decode()
    clock[0] += 3600
    assert WRONG in log_in(codes[1], source="192.0.2.6")
    clock[0] += 3600
    assert log_in(re.findall(r"<li><code>(\w+)</code>", others)[0], source="192.0.2.7") == "/"


def test_a_refusal_says_neither_which_name_there_is_nor_that_a_password_is_right(browser, clock):
    set_up(browser)
    clock[0] += 60
    tried = (
        ("", PASSWORD, "operator"),
        ("", "wrong", "operator"),
        ("000000", PASSWORD, "operator"),
        ("", "x", "nobody"),
    )
    said = [log_in(*words, source=f"192.0.2.{20 + number}") for number, words in enumerate(tried)]
    pages = {re.sub(r'value="[^"]*"', "", page) for page in said}
    assert len(pages) == 1


def test_the_password_alone_opens_no_other_door(browser, clock):
    """/metrics by basic authentication; a session from before; a session that says it has shown another's factor."""
    basic = {"authorization": "Basic " + b64encode(f"operator:{PASSWORD}".encode()).decode()}
    stranger = Client(HTTP_HOST="localhost")
    assert stranger.get("/metrics", headers=basic).status_code == 200
    stranger.login(username="operator", password=PASSWORD)
    set_up(browser)
    assert Client(HTTP_HOST="localhost").get("/metrics", headers=basic).status_code == 401
    chief = get_user_model().objects.get(username="administrator")
    foreign = TOTPDevice.objects.create(user=chief, name="x")
    session = stranger.session
    session["otp_device_id"] = foreign.persistent_id
    session.save()
    assert stranger.get("/fleet").headers["Location"] == "/login"


def test_an_administrator_or_the_servers_own_resets_what_is_lost(browser, capsys):
    set_up(browser)
    chief = Client(HTTP_HOST="localhost")
    assert chief.login(username="administrator", password=PASSWORD)
    assert browser.post("/people/change", {"act": "reset", "name": "operator"}).status_code == 403
    assert "Take the second factor away" in chief.get("/people").content.decode()
    assert chief.post("/people/change", {"act": "reset", "name": "operator"}).status_code == 302
    assert log_in() == "/"
    assert "act=reset name=operator" in [one.about for one in Deed.objects.all()]
    assert browser.login(username="operator", password=PASSWORD)
    set_up(browser)
    starting.set_password("operator", "another one now", reset=True)
    assert log_in(password="another one now") == "/"


def test_a_reset_ends_sessions_and_nobody_resets_himself(browser):
    """The phone may be in other hands, and so may be the session that it opened."""
    set_up(browser)
    chief = Client(HTTP_HOST="localhost")
    assert chief.login(username="administrator", password=PASSWORD)
    assert browser.get("/fleet").status_code == 200
    assert chief.post("/people/change", {"act": "reset", "name": "operator"}).status_code == 302
    assert browser.get("/fleet").headers["Location"].startswith("/login")
    assert chief.get("/fleet").status_code == 200
    set_up(chief)
    assert chief.post("/people/change", {"act": "reset", "name": "administrator"}).status_code == 400
    assert log_in(name="administrator") != "/"


def test_a_name_in_wide_letters_is_the_name(browser):
    chief = Client(HTTP_HOST="localhost")
    assert chief.login(username="administrator", password=PASSWORD)
    wide = {
        "act": "add",
        "name": "operator".translate({ord(one): ord(one) + 0xFEE0 for one in "operat"}),
        "role": "viewer",
    }
    assert chief.post("/people/change", wide).status_code == 400


def test_neither_codes_nor_keys_are_written_down(browser, clock):
    key, codes = set_up(browser)
    clock[0] += 60
    browser.post("/factor", {"act": "codes", "password": PASSWORD, "code": code_of(key)})
    told = [(one.act, one.about) for one in Deed.objects.all()]
    assert told == [("factor", "act=begin"), ("factor", "act=confirm"), ("factor", "act=codes")]
    assert all(one not in str(told) for one in (*codes, code_of(key)))


def test_what_is_no_code_is_refused(browser, clock):
    set_up(browser)
    for number, code in enumerate(("\0", "\u00e9" * 64, "\uff11" * 6, "-1", "9" * 64, "'; --", " ")):
        clock[0] += 3600
        tries.TRIED.__init__()  # type: ignore[misc]
        said = log_in(code, source=f"192.0.2.{number}")
        assert WRONG in said or (code == "\0" and "<h1>" in said)
        assert browser.post("/factor", {"act": "off", "password": PASSWORD, "code": code}).status_code == 400
