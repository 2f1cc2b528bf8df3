# SPDX-License-Identifier: Apache-2.0
"""The API and its tokens: what each may read, that its document says what it answers, what a stranger tries."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import get_resolver

from tests.fleet import says
from tools.fleet import figures, people, simulated, staging, tokens, tries
from tools.fleet.intake import Intake
from tools.fleet.models import Deed, Gateway, Token
from tools.fleet.options import ROLES

PASSWORD = "correct horse battery"
VENUES = simulated.venues(6)
ONE = VENUES[0].ident
ASKED = {
    "gateways": "gateways",
    "gateways/{ident}": "gateways",
    "groups": "gateways",
    "gateways/{ident}/days": "figures",
    "gateways/{ident}/cells": "figures",
    "figures/days": "figures",
    "figures/weeks": "figures",
    "deeds": "deeds",
}


@pytest.fixture
def owners(sqlite) -> dict[str, Any]:
    """Give a person of each role, of a fleet of one gateway."""
    tries.TRIED.__init__()  # type: ignore[misc]  # as it was at the start
    Intake().take([says.health(ONE)], says.NOW)
    found = {}
    for role in ROLES:
        found[role] = get_user_model().objects.create_user(role, password=PASSWORD)
        people.set_role(found[role], role)
    return found


@pytest.fixture
def filled(owners) -> dict[str, Any]:
    """Give the same, with the figures of six gateways and some in trouble."""
    staging.fill(VENUES, 3, says.NOW)
    return owners


LONG = {"first": "2026-10-25", "last": "2026-11-22"}  # a day more than the smoothed view takes


def ask(token: str, path: str, method: str = "get", **query: str):
    """Ask as a program does."""
    client = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)
    return getattr(client, method)(
        f"/api/v1/{path.replace('{ident}', ONE)}", query, headers={"authorization": f"Bearer {token}"}
    )


def document(token: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return ask(token, "openapi.json").json()


def test_each_address_is_for_the_scope_and_role_that_it_should_be_for(owners):
    """Every address of the API, each role, each scope; nothing but reading. A new address fails here."""
    (found,) = [one for one in get_resolver().url_patterns if str(one.pattern) == "api/v1/"]
    paths = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(one.pattern)) for one in found.url_patterns}
    assert paths == {*ASKED, "openapi.json", ""}  # "": the root, which answers nothing
    for role, owner in owners.items():
        for scope in tokens.SCOPES:
            if scope == "deeds" and role != "administrator":
                with pytest.raises(ValueError, match="scope"):
                    tokens.create(owner, "x", [scope])
                continue
            token = tokens.create(owner, scope, [scope])
            for path, needed in ASKED.items():
                assert ask(token, path).status_code == (200 if scope == needed else 403), (role, scope, path)
            assert ask(token, "openapi.json").status_code == 200
            metrics = Client(HTTP_HOST="localhost").get("/metrics", headers={"authorization": f"Bearer {token}"})
            assert metrics.status_code == (200 if scope == "metrics" else 401)
    token = tokens.create(owners["administrator"], "all", list(tokens.SCOPES))
    for path in ASKED:
        for method in ("post", "put", "patch", "delete"):
            assert ask(token, path, method).status_code == 405


def test_a_token_opens_the_api_alone(owners):
    """An administrator's token is nobody at the page's addresses, and a session without one nobody at the API."""
    token = tokens.create(owners["administrator"], "all", list(tokens.SCOPES))
    bearer = {"authorization": f"Bearer {token}"}
    client = Client(HTTP_HOST="localhost")
    for path in ("/", "/people", "/tokens", f"/gateway/{ONE}", "/compliance.csv"):
        assert client.get(path, headers=bearer).headers["Location"].startswith("/login")
    assert client.post("/people/change", {"act": "remove", "name": "viewer"}, headers=bearer).status_code == 302
    assert get_user_model().objects.filter(username="viewer").exists()
    client.force_login(owners["administrator"])
    for path in ASKED:
        assert client.get(f"/api/v1/{path.replace('{ident}', ONE)}").status_code == 401
    assert client.get("/api/v1/openapi.json").status_code == 200
    assert Client(HTTP_HOST="localhost").get("/api/v1/openapi.json").status_code == 401


def test_what_is_no_token_is_nobody(owners):
    for token in ("", "x", "oubli_", "\0", "\u00e9" * 100, "oubli_" + "A" * 100_000, "' OR 1=1 --"):
        answer = ask(token, "groups")
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Unauthorized"}


def test_a_person_makes_and_ends_tokens_with_the_password(owners):
    """Shown once, kept as a hash, named in no list of deeds; another's is out of reach, but an administrator's.

    So many and no more.
    """
    browsers = {}
    for role, owner in owners.items():
        browsers[role] = Client(HTTP_HOST="localhost")
        browsers[role].force_login(owner)
    form = {"act": "make", "label": "Scraper", "scope": ["metrics", "figures"], "password": PASSWORD}
    page = browsers["viewer"].post("/tokens", form).content.decode()
    shown = re.search(rf"{tokens.PREFIX}[\w-]{{43}}", page)
    assert shown is not None
    assert shown[0] not in browsers["viewer"].get("/tokens").content.decode()
    kept = Token.objects.get()
    assert shown[0] not in str(kept.__dict__)
    assert (kept.scopes, kept.used) == ("figures metrics", 0)
    assert ask(shown[0], "figures/days").status_code == 200
    used = Token.objects.get().used
    assert used > 0
    assert Deed.objects.get().about == "act=make label=Scraper scope=metrics scope=figures"
    for changed, said in (
        ({"password": "wrong"}, "your password"), ({"label": " "}, "1 to 64"), ({"scope": []}, "what it is for"),
        ({"scope": ["deeds"]}, "what it is for"), ({"scope": ["metrics", "all"]}, "what it is for"),
    ):  # fmt: skip
        answer = browsers["viewer"].post("/tokens", form | changed)
        assert answer.status_code == 400
        assert said in answer.content.decode().replace("&#x27;", "'")
    assert Token.objects.count() == 1
    for number in ("", "x", "9" * 30, str(kept.pk)):
        assert browsers["operator"].post("/tokens", {"act": "end", "number": number}).status_code == 302
    assert ask(shown[0], "figures/days").status_code == 200
    assert "Scraper" not in browsers["operator"].get("/tokens").content.decode()
    assert "Scraper" in browsers["administrator"].get("/tokens").content.decode()
    browsers["administrator"].post("/tokens", {"act": "end", "number": str(kept.pk)})
    assert ask(shown[0], "figures/days").status_code == 401
    for _ in range(tokens.MOST):
        tokens.create(owners["viewer"], "x", ["figures"])
    assert "20 tokens" in browsers["viewer"].post("/tokens", form).content.decode()


def resolved(schema: Any, parts: dict[str, Any]) -> Any:
    """Return a schema with its references filled in."""
    if isinstance(schema, list):
        return [resolved(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolved(parts[schema["$ref"].rpartition("/")[2]], parts)
    found = {name: resolved(one, parts) for name, one in schema.items()}
    return found | {"additionalProperties": False} if "properties" in found else found


def test_answers_are_what_the_document_says(filled):
    """Each answer holds its schema, with no member more.

    Each address is in it, with its bearer token and without any other method.
    """
    token = tokens.create(filled["administrator"], "all", list(tokens.SCOPES))
    content = document(token)
    assert content["openapi"].startswith("3.")
    assert {path.removeprefix("/api/v1/") for path in content["paths"]} == set(ASKED)
    Deed.objects.create(at=1, by="x", act="y", about="z")
    for path in ASKED:
        ((method, operation),) = content["paths"][f"/api/v1/{path}"].items()
        assert method == "get"
        assert operation["security"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer = ask(token, path).json()
        assert answer
        jsonschema.Draft202012Validator(resolved(schema, content["components"]["schemas"])).validate(answer)


def test_figures_are_the_pages_with_their_bands(filled):
    token = tokens.create(filled["viewer"], "x", ["figures", "gateways"])
    newest = figures.newest_day()
    assert newest is not None
    days = ask(token, "figures/days").json()
    assert [(one["value"], one["half_width"], one["gateways"]) for one in days] == [
        (one.value, one.half_width, told) for one, told in figures.fleet_days(newest - 27, newest).values()
    ]
    (week,) = ask(token, "figures/weeks", count="1").json()
    ((_, mean, told),) = figures.weekly_means(newest, 1)
    assert (week["value"], week["half_width"], week["gateways"]) == (mean.value, mean.half_width, told)
    day = days[-1]["day"]
    cells = ask(token, "gateways/{ident}/cells", first=day, last=day).json()
    assert {one["day"] for one in cells} == {day}
    assert {one["metric"] for one in cells} >= {"arrivals", "presence", "volume"}
    assert all(one["half_width"] > 0 for one in cells)
    assert ask(token, "gateways/{ident}/cells", first=day, last=day, view="smoothed").json() == []  # of three days
    group = VENUES[0].group
    assert ask(token, "figures/days", group=group).json() != days
    assert ask(token, "figures/days", group="nowhere").json() == []


def test_gateways_are_found_as_on_the_page(filled):
    token = tokens.create(filled["viewer"], "x", ["gateways"])
    whole = ask(token, "gateways").json()
    assert whole["count"] == 6
    grades = [one["grade"] for one in whole["gateways"]]
    assert grades == sorted(grades, key=["breach", "warning", "good"].index)
    assert ask(token, "gateways", limit="1", offset="1").json() == {"count": 6, "gateways": whole["gateways"][1:2]}
    Gateway.objects.filter(ident=ONE).update(name="Café de la Gare")
    (found,) = ask(token, "gateways", q="CAFE DE").json()["gateways"]
    assert found["gateway"] == ONE
    assert {one["grade"] for one in ask(token, "gateways", grade="breach").json()["gateways"]} == {"breach"}
    assert ask(token, "gateways/{ident}").json()["health"]["clock"]


def test_what_isnt_accepted_is_refused_in_json(owners):
    token = tokens.create(owners["administrator"], "all", list(tokens.SCOPES))
    for path, query, status in (
        ("gateways", {"limit": "501"}, 422), ("gateways", {"limit": "0"}, 422), ("gateways", {"offset": "-1"}, 422),
        ("gateways", {"offset": "9" * 30}, 422), ("gateways", {"grade": "x"}, 422), ("gateways", {"q": "x" * 65}, 422),
        ("gateways/aaaaaaaaaaaaaaaa", {}, 404), ("gateways/%00", {}, 400), ("gateways/x/days", {}, 404),
        ("figures/days", {"first": "2026-13-01"}, 422),
        ("figures/days", {"first": "2020-01-01", "last": "2026-01-01"}, 422),
        ("figures/days", {"first": "2026-11-23", "last": "2026-11-22"}, 422), ("figures/weeks", {"count": "400"}, 422),
        ("figures/days", {"first": "0001-01-01", "last": "0001-01-02"}, 200),
        ("gateways/{ident}/cells", {"view": "smoothed", **LONG}, 422),
        ("figures/days", {"last": "9999-12-31"}, 200), ("gateways/{ident}/cells", {"view": "raw"}, 422),
        ("gateways/{ident}/cells", {"view": "combined", **LONG}, 200),
    ):  # fmt: skip
        answer = ask(token, path, **query)
        assert answer.status_code == status, (path, query)
        json.loads(answer.content)
    assert ask(token, "nothing").status_code == 404
