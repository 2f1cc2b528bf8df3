# SPDX-License-Identifier: Apache-2.0
"""The collector's store, on SQLite and on a real PostgreSQL.

Each message once, totals that agree, what is refused and why.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from agent.outbox import topics
from tests.fleet import says
from tests.fleet.says import DAY, NOW
from tests.support.consumers import consume_at_once
from tools.fleet import retention, site
from tools.fleet.intake import FullError, Intake
from tools.fleet.judgement import standings
from tools.fleet.models import CELLS, VALUES, Episode, Gateway, Head, Message, Setting, Tally, Total
from tools.fleet.reading import KEPT_DAYS, REASONS, Refused, read

if TYPE_CHECKING:
    from tools.fleet.delivery import Arrival

ONE, OTHER = says.name(1), says.name(2)


def a_day(gateway: str, day: int = DAY) -> list[Arrival]:
    """Return all that a gateway sends of one day."""
    hours = [says.summary(gateway, "arrivals", day, slot) for slot in range(24)]
    return hours + [says.summary(gateway, metric, day) for metric in ("presence", "volume", "active", "classes")]


def changed(arrival: Arrival, **content: object) -> Arrival:
    """Return a message with other content under its keys."""
    return replace(arrival, payload=json.dumps(json.loads(arrival.payload) | content).encode())


def totals_agree() -> bool:
    """Return True if the running totals are those that the messages add up to."""
    groups = dict(Gateway.objects.values_list("pk", "group"))
    sums: Counter[tuple] = Counter()
    for row in Message.objects.values_list("metric", "day", "slot", "gateway_id", "b_over", "b_under", *VALUES):
        key = (*row[:3], groups[row[3]], *row[4:6])
        sums[*key, "count"] += 1
        for value, number in zip(VALUES, row[6:], strict=True):
            sums[*key, value] += number or 0
    kept: Counter[tuple] = Counter()
    for row in Total.objects.values("metric", "day", "slot", "group", "b_over", "b_under", "count", *VALUES):
        key = tuple(row[part] for part in ("metric", "day", "slot", "group", "b_over", "b_under"))
        for value in ("count", *VALUES):
            kept[*key, value] += row[value]
    return sums == kept


def test_the_migrations_make_what_the_models_say(store):
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())
    assert len(Setting.objects.get(name="secret").value) > 40
    site.open_store()  # again, as each process does: nothing changes
    assert Setting.objects.count() == 1
    assert connection.vendor == store.split(":", maxsplit=1)[0]


def test_each_message_is_kept_once_whatever_comes_twice_and_in_which_order(store):
    intake = Intake()
    sent = [one for gateway in (ONE, OTHER) for day in (DAY - 1, DAY) for one in a_day(gateway, day)]
    again = sent * 3
    random.Random(5).shuffle(again)
    fates: Counter[str] = Counter()
    for start in range(0, len(again), 50):
        fates += intake.take(again[start : start + 50], NOW)
    assert fates == {"kept": len(sent), "repeat": 2 * len(sent)}
    assert Message.objects.count() == len(sent) == 112
    assert totals_agree()
    row = Message.objects.get(gateway__ident=ONE, metric=1, day=DAY, slot=0)
    assert [getattr(row, name) for name in VALUES] == [0, 1, 2, 3, 4, *[None] * 4]
    assert (row.b_over, row.b_under, row.received) == (5, 1, NOW)
    assert Total.objects.filter(metric=0, day=DAY, slot=7).values_list("count", "v0").get() == (2, 14)
    assert Tally.objects.aggregate(Sum("count"))["count__sum"] == len(again)
    assert intake.fates == fates


def test_two_consumers_at_once_keep_each_message_once(store):
    """Both are given everything, in batches of different cuts and orders; nothing waits for good, totals agree."""
    sent = [one for number in range(12) for one in a_day(says.name(number))]
    everything = [*sent, *(says.health(says.name(number)) for number in range(12))]
    consume_at_once([(list(everything), 37), (list(everything), 38)], NOW)
    assert Message.objects.count() == len(sent)
    assert Gateway.objects.count() == 12
    assert totals_agree()
    counts = dict(Tally.objects.values("fate").annotate(sum=Sum("count")).values_list("fate", "sum"))
    assert counts == {"kept": len(sent), "repeat": len(sent), "health": 24}


def test_a_batch_that_fails_leaves_nothing(store, monkeypatch):
    intake = Intake()
    monkeypatch.setattr("tools.fleet.intake._tally", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        intake.take(a_day(ONE), NOW)
    assert (Message.objects.count(), Total.objects.count(), Gateway.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize(("after", "late"), [(0, False), (900, False), (901, True), (86_400 * 7, True)])
def test_what_comes_more_than_a_quarter_of_an_hour_after_its_time_is_late(store, after, late):
    message = says.summary(ONE)
    Intake().take([message], json.loads(message.payload)["end"] + after)
    assert Message.objects.get().late is late


GOOD = says.summary(ONE)
END = json.loads(GOOD.payload)["end"]
HOSTILE = {
    "no JSON": ("json", replace(GOOD, payload=b"\xff\x00{")),
    "half a message": ("json", replace(GOOD, payload=GOOD.payload[:100])),
    "a key twice": ("json", replace(GOOD, payload=b'{"gateway":"x",' + GOOD.payload[1:])),
    "not a number": ("json", replace(GOOD, payload=GOOD.payload.replace(b"[0]", b"[NaN]"))),
    "a fraction": ("json", replace(GOOD, payload=GOOD.payload.replace(b"[0]", b"[1.0]"))),
    "nested without end": ("json", replace(GOOD, payload=b"[" * 4000)),
    "a list": ("schema", replace(GOOD, payload=b"[]")),
    "true for a number": ("schema", replace(GOOD, payload=GOOD.payload.replace(b"[0]", b"[true]"))),
    "another kind": ("schema", replace(GOOD, topic=topics.summary(ONE, "presence"))),
    "formula for a unit": ("schema", changed(GOOD, unit="=cmd|'/C calc'!A0")),
    "10 MB": ("size", replace(GOOD, payload=b" " * 10_000_000)),
    "padded beyond the limit": ("size", replace(GOOD, payload=GOOD.payload + b" " * 4096)),
    "another gateway": ("gateway", replace(GOOD, topic=topics.summary(OTHER, "arrivals"))),
    "health of another": ("gateway", replace(says.health(ONE), topic=topics.health(OTHER))),
    "an unknown metric, with another's schema": ("schema", replace(GOOD, topic=topics.summary(ONE, "names"))),
    "an unknown metric in capitals": ("topic", replace(GOOD, topic=topics.summary(ONE, "Names"))),
    "markup for a gateway": ("topic", replace(GOOD, topic=topics.summary("<script>alert(1)", "arrivals"))),
    "another tree": ("topic", replace(GOOD, topic="zigbee/1/x")),
    "a newline after the id": ("topic", replace(GOOD, topic=topics.state(ONE) + "\n")),
    "a number without end": ("schema", changed(GOOD, values=[10**30])),
    "no noise": ("schema", changed(GOOD, b=[1, 10**6], half_width=1)),
    "noise without end": ("schema", changed(GOOD, b=[10**9, 1], half_width=3 * 10**9)),
    "another half-width": ("range", changed(GOOD, half_width=1)),
    "a version without end": ("schema", says.state(ONE, version="9" * 33)),
    "from tomorrow": ("clock", says.summary(ONE, day=DAY + 3)),
    "too old": ("clock", says.summary(ONE, day=DAY - KEPT_DAYS - 3)),
    "no date": ("clock", changed(GOOD, day="2026-02-31")),
    "another day's hour": ("clock", changed(GOOD, day="2026-11-22")),
    "it ended before it began": ("clock", changed(GOOD, start=END)),
    "health from the year 2100": ("clock", says.health(ONE, time=4102444800)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_message_is_refused_for_its_reason(what):
    """Invalid JSON, schema violations, 10 MB, another's topic, nonsense of clocks."""
    reason, message = HOSTILE[what]
    with pytest.raises(Refused) as refused:
        read(message.topic, message.payload, NOW)
    assert refused.value.reason == reason
    assert reason in REASONS
    assert refused.value.gateway in {None, ONE, OTHER}


def test_plain_text_and_what_doctor_found_are_findings(sqlite):
    """Names of the catalogue in the order in which they came; null and none are nothing."""
    for number, (tls, doctor) in enumerate([(True, None), (True, []), (False, None), (True, ["acct", "offload"])], 1):
        Intake().take([says.health(says.name(number), tls=tls, doctor=doctor)], says.NOW)
    told = {
        one.gateway.ident: {finding.kind: finding.words for finding in one.findings}
        for one in standings(Gateway.objects.all(), says.NOW)
    }
    assert [set(told[says.name(number)]) & {"plain", "doctor"} for number in range(1, 5)] == [
        set(),
        set(),
        {"plain"},
        {"doctor"},
    ]
    assert told[says.name(4)]["doctor"] == {"names": "acct, offload"}


def test_what_is_refused_is_counted_and_leaves_the_rest_alone(store):
    """All of them around a good message, which is kept; no gateway comes of a refusal."""
    good = says.summary(says.name(9))
    hostile = [message for _, message in HOSTILE.values()]
    wanted = Counter(reason for reason, _ in HOSTILE.values()) | {"kept": 1}
    assert Intake().take([*hostile[:9], good, *hostile[9:]], NOW) == wanted
    assert Message.objects.get().gateway == Gateway.objects.get()
    assert dict(Tally.objects.filter(gateway=0).values_list("fate", "count")) == wanted


def test_a_replay_with_other_figures_is_refused_and_counted_for_its_gateway(store):
    intake = Intake()
    assert intake.take([GOOD, changed(GOOD, values=[7])], NOW) == {"kept": 1, "conflict": 1}
    assert intake.take([changed(GOOD, values=[8]), GOOD], NOW) == {"conflict": 2}
    assert Message.objects.get().v0 == 0
    assert Tally.objects.filter(fate="conflict").values_list("gateway", "count").get() == (Gateway.objects.get().pk, 3)
    assert totals_agree()


def test_a_gateway_beyond_the_limit_is_refused_loudly_with_all_that_came_beside_it(store):
    """Nothing of such a batch is stored, so that nothing of it is acknowledged.

    What known gateways say goes on being taken.
    """
    intake = Intake(limit=3)
    assert intake.take([says.summary(says.name(number)) for number in range(3)], NOW) == {"kept": 3}
    with pytest.raises(FullError, match="--gateways: 3 are known and another one speaks"):
        intake.take([says.summary(says.name(number), slot=1) for number in range(4)], NOW)
    assert (Gateway.objects.count(), Message.objects.count()) == (3, 3)
    assert intake.take([says.summary(says.name(number), slot=1) for number in range(3)], NOW) == {"kept": 3}
    assert totals_agree()


@pytest.mark.long
def test_twelve_thousand_gateways_are_a_fleet_like_another(sqlite):
    """10,000 was the silent end of it once: what came from later ones was acknowledged and dropped."""
    intake = Intake()
    for start in range(0, 12_000, 500):
        assert intake.take([says.summary(says.name(number)) for number in range(start, start + 500)], NOW) == {
            "kept": 500
        }
    assert Gateway.objects.count() == Message.objects.count() == 12_000


def play(boots: str, **how: Any) -> Gateway:
    """Let a gateway say that it is online with one boot id after the other."""
    for letter in boots:
        Intake().take([replace(says.state(ONE, boot=ord(letter)), **how)], NOW)
    return Gateway.objects.get()


@pytest.mark.parametrize(("boots", "found"), [("AAAA", 0), ("ABCDEFG", 0), ("ABA", 0), ("ABAB", 1), ("ABABABAB", 1)])
def test_two_gateways_with_one_id_are_found(store, boots, found):
    """Two boot ids that alternate; a gateway that reboots again and again isn't two."""
    gateway = play(boots)
    assert Episode.objects.filter(gateway=gateway, kind="duplicate").count() == found
    assert gateway.boots.split()[0] == f"{ord(boots[-1]):032x}"


@pytest.mark.parametrize("how", ["again", "retained"])
def test_what_the_broker_says_again_doesnt_make_two_gateways_of_one(store, how):
    play("ABABAB", **{how: True})
    assert not Episode.objects.exists()


def test_health_opens_and_closes_what_is_wrong(store):
    """Late expiry and a stopped capture begin and end when a health says so.

    An older one that is replayed changes nothing.
    """
    intake = Intake()
    intake.take([says.health(ONE, NOW)], NOW)
    intake.take([says.health(ONE, NOW + 300, late=True, capture="stopped")], NOW + 301)
    intake.take([says.health(ONE, NOW + 300, late=True, capture="stopped")], NOW + 302)
    assert set(Episode.objects.values_list("kind", "began", "ended")) == {
        ("late", NOW + 301, None),
        ("stopped", NOW + 301, None),
    }
    intake.take([says.health(ONE, NOW + 100)], NOW + 400)
    assert Episode.objects.filter(ended=None).count() == 2
    intake.take([says.health(ONE, NOW + 600, capture="stopped")], NOW + 601)
    assert set(Episode.objects.values_list("kind", "ended")) == {("late", NOW + 601), ("stopped", None)}
    gateway = Gateway.objects.get()
    assert gateway.health["time"] == NOW + 600
    assert gateway.seen == gateway.health_at == NOW + 601


def heads(*told: tuple[int, str]) -> set[str]:
    """Let a gateway tell heads of its audit log, one every five minutes; return what is found."""
    for place, (number, letter) in enumerate(told):
        Intake().take([says.health(ONE, NOW + 300 * place, audit=(number, letter * 64))], NOW + 300 * place)
    return set(Episode.objects.values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([(1, "a"), (1, "a"), (2, "b"), (3, "c"), (9, "d")], set()),
        ([(0, "0"), (0, "0"), (1, "a")], set()),
        ([(5, "a"), (6, "b"), (4, "c")], {"cut"}),
        ([(5, "a"), (6, "b"), (6, "c"), (7, "d")], {"rewritten"}),
        ([(5, "a"), (6, "b"), (6, "c"), (7, "d"), (7, "e")], {"rewritten", "forked"}),
        ([(5, "a"), (6, "b"), (5, "c")], {"rewritten"}),
    ],
)
def test_an_audit_log_that_was_cut_rewritten_or_forked_shows(store, told, found):
    """L34-VI-3: by the heads that health told, kept where the gateway can't reach them.

    A gateway that was off misses some.
    """
    assert heads(*told) == found


def test_a_gateways_clock_that_is_set_back_cuts_no_log(store):
    """What counts is the order in which heads came."""
    intake = Intake()
    intake.take([says.health(ONE, NOW, audit=(5, "a" * 64))], NOW)
    intake.take([says.health(ONE, 1000, clock="unknown", audit=(6, "b" * 64))], NOW + 600)
    assert not Episode.objects.exists()


def test_a_silence_is_noted_when_it_ends(store):
    intake = Intake()
    for time in (NOW, NOW + 86_400, NOW + 3 * 86_400):
        intake.take([says.health(ONE, time)], time)
    assert Episode.objects.values_list("kind", "began", "ended").get() == ("silent", NOW + 86_400, NOW + 3 * 86_400)


def test_a_gateway_that_speaks_is_not_lost(store):
    intake = Intake()
    lost = replace(says.state(ONE), payload=b'{"state":"lost"}')
    intake.take([says.state(ONE), lost], NOW)
    assert Gateway.objects.get().state == "lost"
    intake.take([replace(says.health(ONE), retained=True)], NOW)
    assert Gateway.objects.get().state == "lost"
    intake.take([says.health(ONE, NOW + 300)], NOW + 300)
    assert Gateway.objects.get().state == "online"


def test_what_is_too_old_goes(store):
    intake = Intake()
    old = NOW - (KEPT_DAYS - 2) * 86_400
    intake.take(a_day(ONE, old // 86_400 - 1), old)
    intake.take(a_day(ONE), NOW)
    assert retention.prune(NOW) == 0
    assert retention.prune(NOW + 5 * 86_400) > 28
    assert (
        set(Message.objects.values_list("day", flat=True)) == {DAY} == set(Total.objects.values_list("day", flat=True))
    )
    assert totals_agree()


def test_heads_are_kept_hourly_for_35_days_and_daily_after(store):
    """The newest of a day stays, and each that another contradicts, whatever its age."""
    first = NOW - 40 * 86_400
    intake = Intake()
    for hour in range(48):
        intake.take([says.health(ONE, first + hour * 3600, audit=(hour + 1, f"{hour:064x}"))], first + hour * 3600)
    last = first + 48 * 3600
    intake.take([says.health(ONE, last - 1, audit=(20, "f" * 64))], last - 1)
    assert retention.prune(NOW - 5 * 86_400 - 1) == 0
    assert retention.prune(NOW) == 48 - 3
    assert list(Head.objects.order_by("number").values_list("number", flat=True)) == [20, 24, 48]
    assert retention.prune(NOW) == 0


def test_health_that_says_nothing_new_is_not_written(store):
    """Only that the gateway spoke is: the row keeps the message that said it first.

    What differs in anything but its time is new.
    """
    intake = Intake()
    intake.take([says.health(ONE, NOW, audit=(1, "a" * 64))], NOW)
    for minute in (5, 10, 15):
        intake.take([says.health(ONE, NOW + 60 * minute, audit=(1, "a" * 64))], NOW + 60 * minute)
    row = Gateway.objects.get()
    assert (row.seen, row.health_at, row.health["time"]) == (NOW + 900, NOW + 900, NOW)
    intake.take([says.health(ONE, NOW + 1200, audit=(1, "a" * 64), keys=9)], NOW + 1200)
    intake.take([says.health(ONE, NOW + 600, audit=(1, "a" * 64))], NOW + 1201)  # an older one, sent again
    row = Gateway.objects.get()
    assert (row.health_at, row.health["time"], row.health["keys"]) == (NOW + 1200, NOW + 1200, 9)


def test_a_batch_of_health_takes_as_many_queries_as_one_message(store):
    """What a health costs is a batch's share of them, not four of its own."""
    counts = []
    for size in (1, 40):  # SQLite takes no more than 999 values at once
        names = [says.name(number) for number in range(size)]
        Intake().take([says.health(name, NOW) for name in names], NOW)
        with CaptureQueriesContext(connection) as queries:
            Intake().take([says.health(name, NOW + 300, late=True, audit=(9, "b" * 64)) for name in names], NOW + 300)
        counts.append(len(queries))
        emptied_of_gateways()
    assert counts[0] == counts[1] < 20, counts


def emptied_of_gateways() -> None:
    """Take all rows that gateways made out of the store."""
    for model in (Head, Episode, Message, Tally, Gateway):
        model.objects.all().delete()


def test_no_metric_has_more_cells_than_there_are_columns():
    assert max(len(json.loads(one.payload)["values"]) for one in a_day(ONE)) == CELLS
