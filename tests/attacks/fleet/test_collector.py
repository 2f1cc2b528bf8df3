# SPDX-License-Identifier: Apache-2.0
"""A gateway against the collector.

One message that stops everybody's, a flood that hides another's breach, tables without end.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.fleet import says
from tests.fleet.says import NOW
from tests.fleet.test_store import totals_agree
from tools.fleet import fuzz, intake, judgement, retention
from tools.fleet.consumer import BATCH
from tools.fleet.delivery import STATUS
from tools.fleet.intake import Allowance, Intake
from tools.fleet.models import Episode, Gateway, Head, Message, Tally
from tools.fleet.reading import Reading, read
from tools.fleet.schemas import VERSIONS, schema

ONE, OTHER = says.name(1), says.name(2)
GOOD = says.summary(OTHER)
POISON = {
    "a number of checkpoints beyond 64 bits": says.health(ONE, audit=(2**63, "a" * 64)),
    "a newline behind a hash": replace(
        says.health(ONE), payload=re.sub(rb'("head":"[0-9a-f]{64})', rb"\1\\n", says.health(ONE).payload)
    ),
    "a newline behind a boot id": replace(
        says.state(ONE), payload=says.state(ONE).payload.replace(b'","version', b'\\n","version')
    ),
    "a newline behind a configuration": says.state(ONE, config="0f" * 8 + "\n"),
    "a lone surrogate for a version": says.state(ONE, version="\ud800"),
    "a NUL in a version": says.state(ONE, version="1\0"),
    "a direction mark in a version": says.state(ONE, version="\u202e1"),
    "a value beyond 32 bits": says.summary(ONE, values=[2**31]),
}


@pytest.mark.parametrize("what", POISON)
def test_one_retained_message_stops_nobodys(store, what):
    """Gain: no summary of any gateway is stored again, since the broker hands the message out at each connection."""
    fates = Intake().take([POISON[what], GOOD], NOW)
    assert fates == {"schema": 1, "kept": 1}
    assert Message.objects.get().gateway.ident == OTHER


def test_what_a_schema_lets_through_and_the_store_cant_hold_is_set_aside_and_counted(store, monkeypatch):
    """The next hole of that kind: the culprit alone is left out, whatever stands beside it.

    Its gateway is named.
    """

    def holed(topic: str, payload: bytes, now: int) -> Reading:
        found = read(topic, payload, now)
        return (
            replace(found, content=found.content | {"values": [2**70]})
            if found.gateway == ONE and found.content["slot"] == 3
            else found
        )

    monkeypatch.setattr(intake, "read", holed)
    batch = [says.summary(gateway, slot=slot) for gateway in (ONE, OTHER) for slot in range(6)]
    batch += [says.health(OTHER), replace(GOOD, payload=b"{")]
    assert Intake().take(batch, NOW) == {"kept": 11, "store": 1, "health": 1, "json": 1}
    assert Message.objects.count() == 11
    assert Tally.objects.filter(fate="store").values_list("gateway", "count").get() == (
        Gateway.objects.get(ident=ONE).pk,
        1,
    )
    assert totals_agree()
    found = {
        one.gateway.ident: {finding.kind for finding in one.findings}
        for one in judgement.standings(Gateway.objects.all(), NOW)
    }
    assert "refused" in found[ONE] - found[OTHER]


def numbers(part: Any) -> list[dict[str, Any]]:
    """Return each part of a schema that takes a number or a text."""
    if isinstance(part, list):
        return [one for each in part for one in numbers(each)]
    if not isinstance(part, dict):
        return []
    types = part.get("type", [])
    own = [part] if {"integer", "number", "string"} & set(types if isinstance(types, list) else [types]) else []
    return own + [one for each in part.values() for one in numbers(each)]


def test_each_number_of_a_schema_is_bounded_and_each_text_is_printable():
    """What a database can hold is decided here.

    Bounds below 2^63, patterns of printable ASCII, a length since `$` lets a newline by.
    """
    for kind, versions in VERSIONS.items():
        for one in numbers([schema(kind, version) for version in versions]):
            if "string" in one["type"]:
                assert one["maxLength"] <= 64, one
                assert re.fullmatch(r"\^[ -~]+\$", one["pattern"]), one
                for character in ("\n", "\0", "\ud800", "\x7f", "\u202e"):
                    assert not re.fullmatch(one["pattern"], "0" * (one["maxLength"] - 1) + character)
            else:
                assert -(2**31) < one["minimum"] <= one["maximum"] < 2**32, one


def test_mutated_messages_stop_nothing_and_every_good_one_beside_them_is_stored_once(store):
    """The subset of `python -m tools.fleet.fuzz`, which plays 100,000."""
    found = fuzz.run(1500, 24)
    assert (found["missing"], found["twice"], found.get("store", 0)) == (0, 0, 0), found
    assert found["right"] > 180
    assert min(found[name] for name in ("schema", "json", "topic")) > 100, found
    assert totals_agree()


def flood(count: int) -> Counter[str]:
    """Let a gateway tell of trouble that comes and goes, with a checkpoint more each time.

    Another one is in breach beside it.
    """
    taker = Intake()
    taker.allowance = Allowance(lambda: 0.0)
    taker.take([says.health(OTHER, NOW, late=True)], NOW)
    taker.take([says.health(OTHER, NOW + 1)], NOW + 1)
    fates: Counter[str] = Counter()
    for start in range(0, count, 200):
        fates += taker.take(
            [says.health(ONE, NOW + n, late=n % 2 == 0, audit=(n + 1, f"{n:064x}")) for n in range(start, start + 200)],
            NOW + 2,
        )
    return fates


def test_a_flood_of_health_fills_no_table_and_hides_nobodys_breach(store):
    """A flood of healths pushes no other gateway's breach off the page of compliance.

    Gain: 2,400 healths in 8 s made 2,400 heads and 1,200 episodes.
    """
    assert flood(2400) == {"health": intake.WORDS[0], "flood": 2400 - intake.WORDS[0]}
    one = Gateway.objects.get(ident=ONE)
    assert Head.objects.filter(gateway=one).count() == intake.WORDS[0]
    assert Episode.objects.filter(gateway=one).count() == 1
    assert Tally.objects.get(fate="flood").gateway == one.pk
    assert Tally.objects.get(fate="flood").count == 2400 - intake.WORDS[0]


def test_trouble_that_comes_and_goes_is_one_episode(store):
    """The same in a batch each.

    Within an hour of its end an episode goes on, so that a gateway has at most 24 of a kind in a day.
    """
    taker = Intake()
    for n in range(10):
        taker.take([says.health(ONE, NOW + n, late=n % 2 == 0)], NOW + n)
    assert Episode.objects.count() == 1
    taker.take([says.health(ONE, NOW + 10 + Episode.APART, late=True)], NOW + 10 + Episode.APART)
    assert Episode.objects.count() == 2


def test_a_whole_batch_of_new_checkpoints_is_stored(store):
    """Another checkpoint of many gateways at once, as after a night without a collector.

    Gain: with 500 of them no batch is stored again.
    """
    taker = Intake()
    for number in (1, 2):
        batch = [
            says.health(says.name(one), NOW + 400 * number, audit=(number, f"{one + number:064x}"))
            for one in range(BATCH[STATUS])
        ]
        assert taker.take(batch, NOW + 400 * number) == {"health": BATCH[STATUS]}
    assert Head.objects.filter(number=2).count() == BATCH[STATUS]
    assert not Episode.objects.exists()


def test_what_a_gateway_says_for_weeks_is_thinned(store):
    """Gain: a gateway that shows another checkpoint as often as it is let, for 100 days, fills the table.

    72,000 rows.
    """
    Intake().take([says.health(ONE), says.health(OTHER)], NOW)
    one = Gateway.objects.get(ident=ONE)
    each = 4  # in the place of the 720 that a day's allowance lets by
    days = [NOW - back * 86_400 for back in range(100)]
    Head.objects.bulk_create(
        [
            Head(gateway=one, number=10_000 - each * back + n, hash=f"{n:064x}", received=day - n)
            for back, day in enumerate(days)
            for n in range(each)
        ]
    )
    retention.prune(NOW)
    assert (
        each * retention.HOURLY
        <= Head.objects.filter(gateway=one).count()
        <= each * (retention.HOURLY + 1) + 2 * (100 - retention.HOURLY)
    )


def test_nobody_pushes_anothers_breach_off_the_page(store):
    """A gateway that was in trouble a thousand times in the last month takes twenty rows of the history."""
    Intake().take([says.health(ONE), says.health(OTHER)], NOW)
    one, other = Gateway.objects.get(ident=ONE), Gateway.objects.get(ident=OTHER)
    Episode.objects.create(gateway=other, kind="late", began=NOW - 9000, ended=NOW - 8000)
    Episode.objects.bulk_create(
        [Episode(gateway=one, kind="stopped", began=NOW - 5000 + n, ended=NOW - 4999 + n) for n in range(1200)]
    )
    found = Counter(episode.gateway.ident for episode in judgement.history(NOW, 30))
    assert found == {ONE: judgement.PAST, OTHER: 1}
    assert [episode.kind for episode in judgement.history(NOW, 30, other)] == ["late"]


def test_a_flood_of_summaries_is_refused_before_it_is_read_and_a_year_of_backlog_is_not():
    """12,000 at once: 365 days of 28 summaries, which a spool may hold.

    Then one in thirty seconds, of this gateway alone.
    """
    now = [0.0]
    allowance = Allowance(lambda: now[0], limit=100)
    assert intake.SUMMARIES[0] > 365 * 28
    assert sum(allowance.grants(ONE, "arrivals") for _ in range(20_000)) == intake.SUMMARIES[0]
    assert allowance.grants(OTHER, "arrivals")
    assert allowance.grants(ONE, "health")
    now[0] += intake.SUMMARIES[1]
    assert [allowance.grants(ONE, "presence") for _ in range(2)] == [True, False]
    for number in range(300):
        allowance.grants(says.name(number), "arrivals")
    assert len(allowance._left) == 200
