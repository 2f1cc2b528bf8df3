# SPDX-License-Identifier: Apache-2.0
"""An auditor that can't fail proves nothing: each of its checks of messages is shown a violation here.

Its checks of the vault's records are shown theirs in test_demo.py, on a vault that a broken recorder wrote.
"""

import json
import math
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from agent.audit.counters import NAMES
from agent.purposes.attribution import record as attribution
from host_sim.checks.auditor import Auditor
from host_sim.checks.noise_bounds import noise_bound, spread_chance
from host_sim.checks.sealed_auditor import Sealed, SealedAuditor
from host_sim.venue import scenario as scenarios
from host_sim.venue.gateway import WAN
from host_sim.venue.people import HOUR, SECOND
from host_sim.venue.scenario import Purposes
from host_sim.venue.truth import Truth
from host_sim.venue.world import World

START = 1_800_000_000 // 3600 * HOUR
EXPECTED = range(START, START + 4 * HOUR, HOUR)
MAC, ADDRESS, ADDRESS6 = (
    bytes.fromhex("ae41f2c0ffee"),
    bytes((10, 20, 1, 7)),
    bytes.fromhex("20010db8ca4e00018899aabbccddeeff"),
)
PLACE = bytes((203, 0, 113, 9))


Message = tuple[str, bytes]


def message(start: int, value: int, **changed: object) -> Message:
    fields = {"schema": "oubli/arrivals/1", "gateway": "a" * 16, "day": "2027-01-15", "slot": (start // HOUR - 3) % 24}
    fields |= {"start": start // SECOND, "end": start // SECOND + 3600}
    fields |= {"unit": "terminals", "values": [value], "b": [4, 1], "half_width": 12}
    return "oubli/1/x/summary/arrivals", json.dumps(fields | changed).encode().ljust(240)


def truth() -> Truth:
    known = Truth()
    for place, start in enumerate(EXPECTED):
        known.learned[start] = 10 * place
        known.arrived[start] = 10 * place + 1
    known.terminals[MAC] = {ADDRESS, ADDRESS6}
    known.places.add(PLACE)
    return known


def good() -> list[Message]:
    return [message(start, 10 * place + 3) for place, start in enumerate(EXPECTED)]


def auditor_of(root: Path, known: Truth) -> Auditor:
    world = World(scenarios.load("cafe-day"), 1)
    world.truth = known
    return Auditor(root, world)


@pytest.fixture
def auditor(tmp_path: Path) -> Auditor:
    return auditor_of(tmp_path, truth())


def test_messages_within_the_noise_are_accepted(auditor: Auditor) -> None:
    """Four sums, each three away from the truth: both truths stand beside them."""
    slots = auditor.published.look_at_messages(good(), EXPECTED)
    assert auditor.published.cells.holds
    assert auditor.published.sums.holds
    assert auditor.published.spread.holds
    assert [(slot.value, slot.defined, slot.real, slot.inside) for slot in slots][1] == (13, 10, 11, True)


@pytest.mark.parametrize(
    ("messages", "finding"),
    [
        (good()[:3], "cells"),
        ([*good(), good()[2]], "cells"),
        ([*good(), message(START + 9 * HOUR, 1)], "cells"),
        ([*good()[:3], (good()[3][0], good()[3][1] + b" ")], "shape"),
        ([*good(), ("oubli/1/x/summary/visits", b"{}")], "shape"),
        ([*good(), ("oubli/1/x/health", b"{}"), ("oubli/1/x/health", b"{ }")], "shape"),
        ([*good()[:3], message(EXPECTED[3], 33, gateway="b" * 16)], "shape"),
        ([*good()[:3], message(EXPECTED[3], 30 + 90)], "sums"),
        ([message(start, 10 * place, half_width=11) for place, start in enumerate(EXPECTED)], "sums"),
        ([message(start, 10 * place, b=[2, 1], half_width=6) for place, start in enumerate(EXPECTED)], "sums"),
        ([*good()[:3], message(EXPECTED[3], 30, slot=23)], "shape"),
        ([*good()[:3], message(EXPECTED[3], 30, end=EXPECTED[3] // SECOND + 60)], "shape"),
        ([], "cells"),
        ([], "sums"),
        ([], "shape"),
        ([message(start, 10 * place + 50) for place, start in enumerate(EXPECTED)], "spread"),
        ([], "spread"),
    ],
)
def test_a_message_missing_doubled_misshapen_or_far_off_is_found(
    messages: list[Message], finding: str, auditor: Auditor
) -> None:
    """ANON-3, ANON-4; one that looked at nothing doesn't hold either."""
    auditor.published.look_at_messages(messages, EXPECTED)
    auditor.published.look_at_lengths(messages)
    assert not getattr(auditor.published, finding).holds


DAY_START = (START // HOUR - 3) // 24 * 24 * HOUR + 3 * HOUR
CELLS = {"presence": 5, "volume": 5, "active": 6, "classes": 9}
B = {"presence": [5, 1], "volume": [5, 1], "active": [40, 3], "classes": [10, 1]}


def daily(metric: str, **changed: object) -> Message:
    start = DAY_START // SECOND
    fields = {
        "schema": f"oubli/{metric}/1",
        "gateway": "a" * 16,
        "day": "2027-01-15",
        "slot": 0,
        "start": start,
        "end": start + 86400,
    }
    fields |= {"unit": "terminals", "values": [9, *[3] * (CELLS[metric] - 1)], "b": B[metric]}
    fields["half_width"] = math.ceil(3 * B[metric][0] / B[metric][1])
    return f"oubli/1/x/summary/{metric}", json.dumps(fields | changed).encode().ljust(320)


def days() -> list[Message]:
    return [daily(metric) for metric in CELLS]


@pytest.mark.parametrize(
    ("messages", "finding"),
    [
        (days(), ""),
        (days()[1:], "cells"),
        ([*days(), days()[0]], "cells"),
        ([*days()[1:], daily("presence", values=[9, 3, 3, 3])], "shape"),
        ([*days()[1:], daily("presence", slot=1)], "shape"),
        ([*days()[1:], daily("presence", end=DAY_START // SECOND + 3600)], "shape"),
        ([*days()[1:], daily("presence", b=[4, 1], half_width=12)], "sums"),
        ([*days()[1:], daily("presence", values=[9, 3, 3, 3, 120])], "sums"),
        ([*days()[:3], daily("classes", values=[9, *[300] * 8])], "sums"),
        ([*days()[1:], daily("presence", values=[50] * 5)], "spread"),
    ],
)
def test_a_daily_message_that_is_missing_misshapen_or_far_off_is_found(
    messages: list[Message], finding: str, auditor: Auditor
) -> None:
    """Cells of the truth are ranges; what lies within one is no error."""
    auditor.world.truth.daily[DAY_START] = {
        metric: [(4, 8), *[(0, 0)] * (cells - 1)] for metric, cells in CELLS.items()
    }
    figures = auditor.published.look_at_days(messages, [DAY_START])
    for name in ("cells", "shape", "sums", "spread"):
        assert bool(getattr(auditor.published, name).wrong) == (name == finding) or (name, finding) in {
            ("spread", "sums"),
            ("cells", "shape"),
        }
    if not finding:
        assert [one.errors()[0] for one in figures] == [1] * 4


@pytest.mark.parametrize(
    "form",
    [
        MAC,
        MAC.hex(":").upper().encode(),
        MAC.hex("-").encode(),
        MAC.hex().encode(),
        ADDRESS,
        b"10.20.1.7",
        b"0A140107",
        ADDRESS6,
        b"2001:db8:ca4e:1:8899:aabb:ccdd:eeff",
        b"203.0.113.9",
        b"CB007109",
        PLACE,
    ],
)
@pytest.mark.parametrize("place", ["spool", "live", "name", "payload", "log"])
def test_an_address_of_a_person_is_found_in_any_form_and_place(
    form: bytes, place: str, auditor: Auditor, tmp_path: Path
) -> None:
    """L34-II-5; the negative control of `look_for_people`."""
    (tmp_path / "srv/oubli-spool").mkdir(parents=True)
    (tmp_path / "var/run/oubli-live").mkdir(parents=True)
    auditor.people.look_for_people([b"started", b"oubli/1/x/health {}"])
    assert auditor.people.private.holds
    texts = [b"oubli/1/x {}"]
    match place:
        case "spool":
            (tmp_path / "srv/oubli-spool/000-arrivals-1").write_bytes(b"{" + form + b"}")
        case "live":
            (tmp_path / "var/run/oubli-live/health").write_bytes(form)
        case "name" if form.isascii():
            (tmp_path / ("var/run/oubli-live/" + form.decode())).write_bytes(b"")
        case "log":
            texts.append(b" " * 700 + b"who: " + form)  # over two of the pieces that are searched
        case _:
            texts.append(b"oubli/" + form)
    auditor.people.look_for_people(texts)
    assert not auditor.people.private.holds


def test_the_noise_bound_is_the_least_that_a_correct_agent_passes() -> None:
    """Against the distribution summed by hand: P(|X| > n) over all draws is just below the stated chance."""
    p = math.exp(-1 / 4)

    def beyond(n: int) -> float:
        return 1 - sum((1 - p) / (1 + p) * p ** abs(x) for x in range(-n, n + 1))

    bound = noise_bound(50, 4, 1)
    assert 50 * beyond(bound) < 1e-5 <= 50 * beyond(bound - 1)


def test_errors_that_are_too_small_or_too_wide_for_the_noise_are_found(tmp_path: Path) -> None:
    """Publishing the truth, or with a quarter or four times of the noise, isn't the stated noise (ANON-2)."""
    day = range(START, START + 24 * HOUR, HOUR)
    for scale, holds in ((0, False), (1, False), (4, True), (16, False)):
        draw = Random(scale)
        messages = [message(start, round((draw.expovariate(1) - draw.expovariate(1)) * scale)) for start in day]
        auditor = auditor_of(tmp_path, Truth())
        auditor.published.look_at_messages(messages, day)
        assert auditor.published.spread.holds is holds


def test_the_chance_of_a_spread_is_a_bound_on_the_exact_one() -> None:
    """Against the distribution of five draws' sum of |X|, added up by hand, at both ends; and not a careless bound."""
    p = math.exp(-1 / 4)
    one = [(1 - p) / (1 + p)] + [2 * (1 - p) / (1 + p) * p**x for x in range(1, 400)]
    five = [1.0]
    for _ in range(5):
        five = [sum(five[a] * one[s - a] for a in range(max(0, s - 399), min(s + 1, len(five)))) for s in range(400)]
    for total, exact in ((1, sum(five[:2])), (3, sum(five[:4])), (60, 1 - sum(five[:60])), (90, 1 - sum(five[:90]))):
        assert exact <= spread_chance(total, 5, 4, 1) < 20 * exact


@pytest.mark.parametrize("left", ["security/0000002a", "security/chunks", "../keys"])
def test_what_is_left_after_expiry_is_found(left: str, auditor: Auditor, tmp_path: Path) -> None:
    """EXP-2: a segment file, an octet in the pages, an octet of a key."""
    vault = tmp_path / "var/run/oubli/vault"
    (vault / "security").mkdir(parents=True)
    (vault / "security/chunks").write_bytes(bytes(4096))
    (vault / "../keys").write_bytes(b"OUBLIKY1" + bytes(300))
    auditor.look_after_expiry()
    assert auditor.expired.holds
    with (vault / left).open("ab") as file:
        file.write(b"\1")
    auditor.look_after_expiry()
    assert not auditor.expired.holds


COUNTERS = dict.fromkeys(NAMES, 0) | {"connections": 10, "kept": 9, "excluded: hairpin": 1}


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({}, ""),
        ({"connections": 11}, "counted"),
        ({"kept": 8}, "counted"),
        ({"kept": 10}, "counted"),
        ({"lost: store": 3}, "losses"),
        ({"lost: clock": 3}, "losses"),
        ({"lost: overrun": 1}, "losses"),
        ({"malformed": 1}, "losses"),
        ({"gaps": 1}, "losses"),
        ({"messages dropped": 1}, "losses"),
        ({"messages lost": 1}, "losses"),
    ],
)
def test_a_connection_without_a_fate_and_a_loss_without_a_cause_are_found(
    changed: dict[str, int], finding: str, auditor: Auditor
) -> None:
    """The kernel told of ten connections; what the agent counts must add up to them, cause by cause."""
    auditor.world.gateway.heard.told = 10
    auditor.counts.look(COUNTERS | changed)
    for name in ("counted", "losses"):
        assert getattr(auditor.counts, name).holds is (name != finding)


def test_connections_that_the_kernel_dropped_must_be_counted_as_just_that(auditor: Auditor) -> None:
    """Three dropped for good before they were read: `lost: overrun` says three, no fewer and no more."""
    auditor.world.gateway.heard.told, auditor.world.gateway.heard.dropped = 13, 3
    auditor.counts.look(COUNTERS | {"lost: overrun": 3, "overruns": 1})
    assert auditor.counts.losses.holds
    auditor.counts.look(COUNTERS | {"lost: overrun": 2, "overruns": 1})
    assert not auditor.counts.losses.holds


@pytest.mark.parametrize(
    ("said", "holds"), [({}, True), ({"spent": 2000}, False), ({"tokens": 2}, False), ({"day": 20783}, False)]
)
def test_a_ledger_that_differs_from_the_book_is_found(
    said: dict[str, int], holds: bool, auditor: Auditor, tmp_path: Path
) -> None:
    """ANON-5, ANON-6: day, spent, tokens and hours as an independent reading has them."""
    (tmp_path / "srv/oubli").mkdir(parents=True)
    (tmp_path / "srv/oubli/ledger").write_text(json.dumps({"day": 0, "spent": 0, "tokens": 1, "hours": 0} | said))
    auditor.ledger.look()
    assert auditor.ledger.finding.holds is holds


def test_a_message_that_is_drawn_again_is_found(auditor: Auditor, tmp_path: Path) -> None:
    """ANON-5: the same name, other figures; the same file seen twice is no message more."""
    spool = tmp_path / "srv/oubli-spool"
    spool.mkdir(parents=True)
    name = f"{EXPECTED[0] // SECOND + 3700:012d}-arrivals-05"
    (spool / name).write_bytes(good()[0][1])
    auditor.published.look_into_spool()
    auditor.published.look_into_spool()
    assert auditor.published.cells.holds
    assert auditor.published.cells.seen == 1
    (spool / name).write_bytes(message(EXPECTED[0], 4)[1])
    auditor.published.look_into_spool()
    assert not auditor.published.cells.holds


def test_a_figure_that_no_noise_explains_is_found_as_soon_as_it_is_there(auditor: Auditor, tmp_path: Path) -> None:
    """ANON-2: before the run is over."""
    spool = tmp_path / "srv/oubli-spool"
    spool.mkdir(parents=True)
    (spool / "001800000000-arrivals-05").write_bytes(message(EXPECTED[1], 10 + 300)[1])
    auditor.published.look_into_spool()
    assert auditor.published.sums.wrong


@pytest.mark.parametrize(
    ("arrived", "dropped", "cut", "holds"),
    [
        (["a", "b"], 0, False, True),
        (["a"], 0, False, False),
        (["a"], 1, False, True),
        (["a", "b", "c"], 0, False, False),
        (["a", "b", "b"], 0, False, False),
        (["a", "b", "b"], 0, True, True),
    ],
)
def test_a_message_that_never_came_came_twice_or_from_nowhere_is_found(
    arrived: list[str], dropped: int, cut: bool, holds: bool, auditor: Auditor
) -> None:
    """Twice, and the very same, is what QoS 1 may do where the way was cut."""
    auditor.published.spooled = {"1-arrivals-1": b"a", "2-arrivals-2": b"b"}
    auditor.published.dropped = dropped
    auditor.world.events.outages = [(0, 1)] if cut else []
    auditor.published.look_at_delivery([("oubli/1/x/summary/arrivals", payload.encode()) for payload in arrived])
    assert auditor.published.delivered.holds is holds


HOLDS = "import sys; kept = bytes.fromhex(sys.stdin.readline().strip()); print(len(kept), flush=True); sys.stdin.read()"


@pytest.mark.parametrize("form", ["mac", "text", "six", "none"])
def test_a_terminal_in_the_forwarders_memory_is_found(form: str, auditor: Auditor) -> None:
    """L34-VI-2: wherever it is in what a process may write to."""
    mac, six = bytes.fromhex("02a1b2c3d4e5"), bytes.fromhex("20010db8ca4e0001a1b2c3d4e5f60718")
    auditor.world.truth.terminals[mac] = {b"\x0a\x14\1\2", six}
    held = {"mac": mac, "text": mac.hex(":").encode(), "six": six, "none": b"\x02\xa1\xb2\xc3\xd4\xe6"}[form]
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(held.hex().encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"%d\n" % len(held)
        auditor.processes.look_into_forwarder(process.pid)
        process.stdin.close()
    assert auditor.processes.separation.seen > 0
    assert bool(auditor.processes.separation.wrong) is (form != "none")


def test_what_ends_a_holding_is_read_after_what_began_it(tmp_path: Path) -> None:
    """Segments are put together in their order, in whatever order they were found: else a holding went on for a day."""
    auditor = SealedAuditor(tmp_path, Purposes(attribution=True), 0, 3600 * SECOND)
    words = None, WAN, 1024, 1535, bytes((10, 20, 1, 0)), bytes(6), 100
    sealed = Sealed("attribution", {"1970-01-01-0002": [attribution.pack(attribution.Record(*words, 160))]})
    sealed.records["1970-01-01-0001"] = [attribution.pack(attribution.Record(*words, None))]
    _, holdings = auditor._index(sealed)
    assert [one.end for one in holdings[WAN]] == [160]
