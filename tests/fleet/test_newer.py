# SPDX-License-Identifier: Apache-2.0
"""Gateways and collectors of different versions.

What a newer gateway adds is kept and shown raw, what an older one says is taken.
"""

from __future__ import annotations

import html
import json
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from agent import VERSION
from agent.outbox import topics
from tests.fleet import says
from tests.fleet.test_store import totals_agree
from tests.support.interpreters import PROJECT
from tools.fleet import newer
from tools.fleet.delivery import Arrival
from tools.fleet.intake import UNKNOWN, Intake
from tools.fleet.judgement import standings
from tools.fleet.models import Gateway, Message
from tools.fleet.reading import Refused, read
from tools.fleet.schemas import KINDS

ONE, NOW = says.name(1), says.NOW
RELEASES = sorted((PROJECT / "tests" / "vectors" / "fleet").glob("*.json"))


def changed(arrival: Arrival, **members: Any) -> Arrival:
    """Return a message with members more, or others."""
    return replace(arrival, payload=json.dumps(json.loads(arrival.payload) | members).encode())


def health(**members: Any) -> Arrival:
    """Return a health message with members more, or others."""
    return changed(says.health(ONE), **members)


PURPOSES = json.loads(says.health(ONE).payload)["purposes"]
ADDED = {
    "a field": (health(battery={"volts": 12, "low": False}), '{"battery":{"volts":12,"low":false}}'),
    "a finding of doctor's": (health(doctor=["offload", "moon-phase"]), '{"doctor":["moon-phase"]}'),
    "a state of the capture": (health(capture="paused"), '{"capture":"paused"}'),
    "a purpose": (
        health(purposes=PURPOSES | {"guests": {"on": True, "late": False}}),
        '{"purposes":{"guests":{"on":true,"late":false}}}',
    ),
    "a member of the ledger": (
        health(ledger={"day": "2026-11-23", "spent": 0, "ceiling": 9, "left": 9}),
        '{"ledger":{"left":9}}',
    ),
    "a field of a state": (changed(says.state(ONE), uptime=7), '{"uptime":7}'),
    "a field of a summary": (changed(says.summary(ONE), rounded=True), '{"rounded":true}'),
    "another version of health": (health(schema="oubli/health/2", note="\ud800\0<b>"), ""),
    "hostile text": (health(note="\ud800\0<b>"), '{"note":"\\ud800\\u0000<b>"}'),
}


@pytest.mark.parametrize("what", ADDED)
def test_what_a_newer_gateway_adds_is_kept_apart_and_the_rest_counts(store, what):
    """On both databases: what is known of the message is stored as ever.

    A message of the known version ends the finding.
    """
    arrival, kept = ADDED[what]
    kind = read(arrival.topic, arrival.payload, NOW).kind
    fate = "raw" if not kept else kind if kind in {"state", "health"} else "kept"
    assert Intake().take([arrival], NOW) == {fate: 1}
    gateway = Gateway.objects.get()
    assert gateway.seen == NOW
    text, since = gateway.unknown[kind]
    assert (text, since) == (kept or newer.text(json.loads(arrival.payload)), NOW)
    (standing,) = standings([gateway], NOW)
    assert "newer" in {finding.kind for finding in standing.findings}
    if kind == "health" and kept:
        assert gateway.health["clock"] == "trusted"
        assert "battery" not in gateway.health
    if kind == "arrivals":
        assert Message.objects.count() == 1
        assert totals_agree()
    known = {"health": says.health(ONE, NOW + 1), "state": says.state(ONE), "arrivals": says.summary(ONE, slot=1)}[kind]
    Intake().take([known], NOW + 2)
    assert Gateway.objects.get().unknown == {}


def test_a_record_that_outlived_its_deadline_is_a_breach_in_a_purpose_that_nobody_here_knows(sqlite):
    Intake().take([health(purposes=PURPOSES | {"guests": {"on": True, "late": True}})], NOW)
    (standing,) = standings(Gateway.objects.all(), NOW)
    assert [finding.kind for finding in standing.findings] == ["late", "newer"]


def test_a_kind_that_nobody_here_knows_is_kept_raw_and_forgotten_after_a_week(sqlite):
    """A metric of a newer gateway; so many of one gateway at most, so that names that are made up fill nothing."""
    for number in range(2 * UNKNOWN):
        content = {"schema": f"oubli/dwell-{number}/1", "gateway": ONE, "values": [1]}
        taken = Intake().take([Arrival(topics.summary(ONE, f"dwell-{number}"), json.dumps(content).encode())], NOW)
        assert taken == {"raw": 1}
    gateway = Gateway.objects.get()
    assert len(gateway.unknown) == UNKNOWN
    kinds = [{finding.kind for finding in standings([gateway], now)[0].findings} for now in (NOW, NOW + 8 * 86_400)]
    assert ["newer" in found for found in kinds] == [True, False]


WRONG = {
    "a known field of another type": health(schema="oubli/health/1", battery=1, keys="many"),
    "a word that is none": health(capture="Paused <b>"),
    "a word with a newline": health(capture="paused\n"),
    "a doctor's finding that is none": health(doctor=["offload", 7]),
    "a field that is missing": replace(says.health(ONE), payload=says.health(ONE).payload.replace(b'"tls":true,', b"")),
    "more cells than the version has": changed(says.summary(ONE), values=[1, 2]),
    "a version that is none": health(schema="oubli/health/02"),
    "another kind's schema": health(schema="oubli/arrivals/2"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_known_must_still_hold_its_schema(what):
    with pytest.raises(Refused) as refused:
        read(WRONG[what].topic, WRONG[what].payload, NOW)
    assert refused.value.reason == "schema"


def test_a_newer_message_names_its_own_gateway():
    with pytest.raises(Refused) as refused:
        read(topics.health(says.name(2)), health(schema="oubli/health/2").payload, NOW)
    assert refused.value.reason == "gateway"


def test_what_is_kept_raw_is_shown_as_text_and_has_an_end(sqlite):
    """Escaped, cut at its bound, with a word on what to do; in both languages."""
    now = NOW + 400 * 86_400
    Intake().take([changed(says.health(ONE, now), note="<script>alert(1)</script>" + "x" * 1500)], now)
    assert len(Gateway.objects.get().unknown["health"][0]) == newer.LONGEST
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.create_user("operator"))
    for language, title in (("en", "What this collector doesn't know"), ("fr", "Ce que ce collecteur ne connaît pas")):
        page = client.get(f"/gateway/{ONE}", headers={"accept-language": language}).content.decode()
        assert title in html.unescape(page)
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_what_each_release_says_is_taken_whole(path):
    """Recorded when the release was made; nothing of it is unknown to a later collector, nothing is refused."""
    messages = json.loads(path.read_text())
    kinds = {read(topic, payload.encode(), NOW).kind for topic, payload in messages}
    assert kinds == set(KINDS)
    assert [topic for topic, payload in messages if read(topic, payload.encode(), NOW).unknown] == []


def test_this_release_is_among_them():
    assert VERSION in {path.stem for path in RELEASES}
