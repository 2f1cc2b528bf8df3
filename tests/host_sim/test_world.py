# SPDX-License-Identifier: Apache-2.0
"""The simulated world: deterministic from its seed, in time order, and its truth agrees with what it sends."""

import hashlib
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent.capture import connections, neighbours
from agent.capture.timeouts import Timeouts
from host_sim.venue import keys, tape
from host_sim.venue import scenario as scenarios
from host_sim.venue.gateway import STEP
from host_sim.venue.kernel import INET, UDP, Flow
from host_sim.venue.people import HOUR, KINDS, MINUTE, SECOND
from host_sim.venue.scenario import ScenarioError
from host_sim.venue.table import LAZINESS, Entry
from host_sim.venue.truth import DAY, Alive, Kept, Notice, Truth
from host_sim.venue.world import World

CAFE = scenarios.load("cafe-day")
SMALL = replace(CAFE, crowd=replace(CAFE.crowd, visitors=12))


def digest(world: World) -> str:
    sha = hashlib.sha256()
    for step in world.steps():
        sha.update(step.encoded())
    return sha.hexdigest()


@pytest.mark.long
def test_same_seed_same_bytes_and_another_seed_another_day() -> None:
    """Every byte of the tape follows from scenario and seed."""
    assert digest(World(SMALL, 3)) == digest(World(SMALL, 3))
    assert digest(World(SMALL, 3)) != digest(World(SMALL, 4))


def test_time_never_goes_back_and_the_tape_ends_with_stop() -> None:
    """One clock, one queue; two days of people and a lifetime of silence after them."""
    world = World(SMALL, 5, days=2)
    last, operations = 0, Counter[int]()
    for step in world.steps():
        assert step.wall >= last
        last = step.wall
        operations[step.operation] += 1
    assert step.operation == tape.STOP
    assert last == world.scenario.start + 2 * DAY + CAFE.gateway.lifetime * SECOND + 2 * HOUR
    assert operations[tape.BOOT] == operations[tape.STOP] == 1
    unbelieved = 2  # confirmations before which a look shows what was done until then
    assert operations[tape.REPORT] == (last - world.scenario.start) // STEP + operations[tape.CONFIRM] + unbelieved
    assert operations[tape.CONFIRM] > 70


def test_the_truth_is_what_the_datagrams_say() -> None:
    """Read by the agent's decoders: each DESTROY has a known MAC, the record's ports, counters and end."""
    world = World(SMALL, 7)
    macs: dict[bytes, bytes] = {}
    seen: list[tuple[object, ...]] = []
    handed: list[Kept] = []

    class Macs(neighbours.Listener):
        def neighbour(self, index: int, address: bytes, mac: bytes, *, quiet: bool = False) -> None:  # noqa: ARG002 (the listener's signature)
            macs[address] = mac

    decoder, neighbour = connections.Decoder(), neighbours.Neighbours(Macs())
    timeouts = Timeouts(CAFE.network.timeouts.get)

    def connection(c: "connections.Connection") -> None:
        end = timeouts.end(c)
        counts = (c.bytes_up, c.bytes_down, c.packets_up, c.packets_down)
        source = connections.source_of(c)
        seen.append((macs[source], source, c.protocol, c.source_port, c.translated_port, *counts, c.start, end))

    world.truth.destroyed = handed.append  # type: ignore[method-assign,assignment]
    for step in world.steps():
        if step.operation == tape.NEIGHBOUR:
            neighbour.feed(step.payload, len(step.payload))
        elif step.operation == tape.DATAGRAM:
            decoder.feed(step.payload, len(step.payload), connection)
            kept = handed[-1]
            assert kept[:11] == seen[-1]
            assert kept.notice.arrived == step.wall
            (stop,) = struct.unpack(">Q", step.payload[-struct.calcsize(">4sQ") :][4:])
            assert kept.end < stop
    assert decoder.reader.malformed == neighbour.reader.malformed == 0
    assert len(seen) == len(handed) > 1000


def test_a_connection_is_whose_the_address_was_when_it_began_and_a_hand_overs_last_second_the_newcomers() -> None:
    """Whatever it was when the kernel made the entry, or when it ended: the truth of a forged neighbour."""
    world, address, owner, forger = World(SMALL, 7), bytes((10, 20, 1, 9)), b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
    flow = Flow(INET, UDP, address, bytes(4), 1, 53, bytes(4), bytes(4), 53, 1, status=0, start=0)
    forged = world.scenario.start + HOUR
    ends = forged + 5 * MINUTE
    for when, mac in ((world.scenario.start, owner), (forged, forger), (ends, owner)):
        list(world.gateway.neighbour(when, address, mac))
    for first, mac in (
        (world.scenario.start + MINUTE, owner), (forged - SECOND - 1, owner), (forged - SECOND, forger),
        (forged + MINUTE, forger), (ends - SECOND - 1, forger), (ends - SECOND, owner), (ends + HOUR, owner),
    ):  # fmt: skip
        assert world.gateway.neighbours.holder(Entry(flow, (b"", UDP, b"", 53, 1), b"?", (first, first), SECOND)) == mac
    unknown = Entry(flow, (b"", UDP, b"", 53, 1), b"?", (world.scenario.start - MINUTE, world.scenario.start), SECOND)
    assert world.gateway.neighbours.holder(unknown) == b"?"  # nobody was known to hold it


def test_destroy_comes_after_the_timeout_and_at_most_fifty_seconds_late() -> None:
    """Lazy garbage collection, as measured on Linux 6.18."""
    world = World(SMALL, 7)
    delays: list[int] = []
    stops: list[int] = []
    decoder = connections.Decoder()
    for step in world.steps():
        if step.operation == tape.DATAGRAM:
            decoder.feed(step.payload, len(step.payload), lambda c: stops.append(c.stop))
            delays.append(step.wall - stops[-1])
    assert min(delays) >= 0
    assert LAZINESS * 0.9 < max(delays) <= LAZINESS


@pytest.mark.long
def test_both_truths_count_every_terminal_once_a_day() -> None:
    """Real: who walked in; defined: the hour of the first DESTROY, which is never before.

    One café day ends before 03:00 UTC.
    """
    world = World(CAFE, 1)
    for step in world.steps():
        if step.wall > world.people_end:
            break
    truth = world.truth
    assert truth.arrived.total() == truth.learned.total() == len(truth.terminals)
    assert truth.arrived != truth.learned
    earlier = 0
    for hour in range(world.scenario.start, world.people_end, HOUR):
        earlier += truth.arrived[hour] - truth.learned[hour]
        assert earlier >= 0
    (cells,) = truth.daily.values()
    assert sum(least for least, _ in cells["presence"]) == len(truth.terminals)


def test_everybody_has_left_when_the_days_are_over() -> None:
    """So that a lifetime later everything must be forgotten: no connection of the last guests goes on longer."""
    world = World(replace(SMALL, crowd=replace(CAFE.crowd, visitors=60)), 7, days=0.4)
    for _ in world.steps():
        pass
    assert world.people_end - MINUTE < max(kept.end for kept in world.truth.kept) <= world.people_end


def test_a_terminal_counts_from_when_the_day_opens_once_a_day() -> None:
    """ANON-6: what is heard before counts nowhere, nor what ended before.

    The next agent-day begins anew, and what is over is summed.
    """
    truth, opens = Truth(), CAFE.start + 11 * MINUTE
    early = Kept(b"\2\0\0\0\0\1", b"", 6, 1, 1, 0, 0, 0, 0, CAFE.start, CAFE.start, Notice(opens - 1))
    truth.destroyed(early)
    truth.settle()
    truth.open_day(CAFE.start, CAFE.start)
    assert truth.learned.total() == 0
    for later in (opens, CAFE.start + 5 * HOUR, CAFE.start + DAY - 1):
        truth.destroyed(early._replace(end=later, notice=Notice(later), bytes_up=6 << 20))
    truth.settle()
    truth.close_day()
    truth.open_day(CAFE.start + DAY, CAFE.start + DAY)
    for later in (CAFE.start + DAY, CAFE.start + DAY + HOUR):
        truth.destroyed(early._replace(end=later, notice=Notice(later), bytes_up=6 << 20))
    truth.destroyed(
        early._replace(mac=b"\2\0\0\0\0\2", end=CAFE.start + DAY - 1, notice=Notice(CAFE.start + DAY + HOUR))
    )
    truth.settle()
    assert truth.learned == {CAFE.start: 1, CAFE.start + DAY: 1}
    (cells,) = truth.daily.values()
    assert cells["presence"] == [(0, 0)] * 4 + [(1, 1)]
    assert cells["volume"] == [(0, 0), (1, 1), *[(0, 0)] * 3]
    assert cells["active"] == [(1, 1), (1, 1), *[(0, 0)] * 4]
    assert cells["classes"] == [(1, 1), *[(0, 0)] * 8]


def test_what_is_told_after_an_agent_day_s_end_is_the_next_one_s_whenever_it_is_settled() -> None:
    """ANON-6: a clock that drifts ends a day between two looks of the auditor."""
    truth, end = Truth(), CAFE.start + DAY
    one = Kept(b"\2\0\0\0\0\1", b"", 6, 1, 1, 0, 0, 0, 0, end - 2, end - 2, Notice(end - 1))
    truth.open_day(CAFE.start, CAFE.start)
    truth.destroyed(one)
    truth.destroyed(one._replace(mac=b"\2\0\0\0\0\2", end=end, notice=Notice(end)))
    truth.listed(Alive(b"\2\0\0\0\0\3", end, end, 6, 1, end))
    truth.settle(before=end)
    assert (list(truth.learned.values()), truth.fates["told"]) == ([1], 1)
    truth.close_day()
    truth.open_day(end, end)
    truth.settle()
    assert (list(truth.learned.values()), truth.fates["told"]) == ([1, 2], 2)


@pytest.mark.long
def test_a_cafe_day_has_the_size_that_the_scenario_promises() -> None:
    """Over two seeds: about 200 terminals, 100,000 connections; both families, and a port that NAT had to change."""
    terminals, total, six, changed = [], [], 0, 0
    for seed in range(2):
        world = World(CAFE, seed)
        for step in world.steps():
            six += step.operation == tape.DATAGRAM and step.payload[16] == 10
        terminals.append(len(world.truth.terminals))
        total.append(world.truth.connections.total())
        changed += sum(kept.source_port != kept.translated_port for kept in world.truth.kept)
    assert 180 < sum(terminals) / 2 < 220
    assert 85_000 < sum(total) / 2 < 115_000
    assert changed > 0
    assert 0.1 < six / sum(total) < 0.5
    assert sum(kind.share for kind in KINDS) == pytest.approx(1)


def scenario_with(tmp_path: Path, old: str, new: str) -> str:
    path = tmp_path / "venue.toml"
    text = (scenarios.FOLDER / "cafe-day.toml").read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "visitors = 200",
            "visitors = -1",
            ":{line}: people.visitors: -1 isn't accepted; accepted: a number from 0 to 100000",
        ),
        ("visitors = 200", "guests = 200", ":{line}: people.guests: unknown; accepted: visitors"),
        (
            "addresses = 1000",
            "addresses = 1.5e2",
            ":{line}: network.addresses: 150.0 isn't accepted; accepted: a whole number",
        ),
        ("days = 1", "days = 0", ":{line}: time.days: 0 isn't accepted; accepted: a number from 0.01 to 400"),
        ("days = 1", "days = true", ":{line}: time.days: True isn't accepted"),
        ("arrivals = [0,", "arrivals = [-1,", ":{line}: people.arrivals: ["),
        ("2026-11-25T03:00:00Z", "1826-11-25T03:00:00Z", ":{line}: time.start: "),
        ("2026-11-25T03:00:00Z", "2026-11-31T03:00:00Z", ": file: not TOML"),
        (
            "[gateway]",
            "[[event]]\nwhat = 'rain'\nat = 1\n[gateway]",
            ":{line}: event.what: 'rain' isn't accepted; accepted: power cut",
        ),
        ("[gateway]", "[[event]]\nat = 1\n[gateway]", ":{line}: event.what: missing"),
        ("[gateway]", "[[event]]\nwhat = 'crash'\nat = 1\n[gateway]", ":{line}: event.minutes: missing or 0"),
        ("2026-11-25T03:00:00Z", '"tomorrow"', ":{line}: time.start: 'tomorrow' isn't accepted; accepted: a date"),
        ('"24h"', '"forever"', ":{line}: gateway.lifetime: 'forever' isn't accepted"),
        ("udp_timeout = 60", "udp_timeout = 0", ":{line}: network.timeouts.udp_timeout: 0 isn't accepted"),
        ("[people]", "[people", ": file: not TOML"),
        ("[people]", "[crowd]", ":{line}: crowd: unknown"),
        (
            "[people]",
            "[purposes]\nbilling = 1\n[people]",
            ":{line}: purposes.billing: 1 isn't accepted; accepted: true or false",
        ),
        (
            "[people]",
            "[purposes]\nsealed = '36h'\n[people]",
            ":{line}: purposes.sealed: '36h' isn't accepted; accepted: whole days",
        ),
        (
            "[people]",
            "[purposes]\nconsent = -0.1\n[people]",
            ":{line}: purposes.consent: -0.1 isn't accepted; accepted: a number from 0",
        ),
    ],
)
def test_a_bad_scenario_is_refused_with_file_line_and_key(old: str, new: str, line: str, tmp_path: Path) -> None:
    """Never clamped, never half-read."""
    path = scenario_with(tmp_path, old, new)
    lines = Path(path).read_text().splitlines()
    number = next((n for n, text in enumerate(lines, 1) if text.startswith(new.splitlines()[0]) or new in text), 0)
    if "event.what: 'rain'" in line or "purposes." in line:
        number += 1
    with pytest.raises(ScenarioError) as refused:
        scenarios.load(path)
    assert path + line.format(line=number) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_second_event_of_a_file_is_told_by_its_own_line(tmp_path: Path) -> None:
    """Two sections of one name: the line is the wrong one's; what is right is read."""
    path = tmp_path / "venue.toml"
    event = "[[event]]\nwhat = 'crash'\nat = 3\nminutes = {}\n"
    path.write_text(event.format(2) + event.format(5))
    assert [(one.what, one.at, one.minutes) for one in scenarios.load(str(path)).events] == [
        ("crash", 3, 2),
        ("crash", 3, 5),
    ]
    path.write_text(event.format(2) + event.format(-5))
    with pytest.raises(ScenarioError, match=r":8: event\.minutes: -5 isn't accepted"):
        scenarios.load(str(path))
    path.write_text(event.format(2) + event.format(61) + "every = 1\n")
    with pytest.raises(ScenarioError, match=r":9: event\.every: it comes again before it is over"):
        scenarios.load(str(path))


def test_a_venue_of_ones_own_takes_few_lines_and_the_template_is_a_scenario(tmp_path: Path) -> None:
    """Every key has a default; what `new` writes loads, has every key in it, and says the same as the defaults."""
    few = tmp_path / "few.toml"
    few.write_text("[people]\nvisitors = 30\n")
    loaded = scenarios.load(str(few))
    assert (loaded.crowd.visitors, loaded.gateway.lifetime, loaded.days) == (30, 86400, 1)
    template = tmp_path / "venue.toml"
    template.write_text(scenarios.template("A bar"))
    ours = scenarios.load(str(template))
    assert ours.description == "A bar"
    for key in keys.KEYS:
        assert f"{key.name} = " in template.read_text()
    (tmp_path / "venue.toml").write_text("")
    assert replace(scenarios.load(str(template)), description="A bar") == ours


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_that_comes_along_loads_and_says_what_it_is(name: str) -> None:
    """Ten of them; a description each."""
    assert len(scenarios.names()) == 10
    assert scenarios.load(name).description


def test_a_scenario_that_does_not_exist_or_is_too_large_is_refused(tmp_path: Path) -> None:
    """The line says which there are."""
    with pytest.raises(ScenarioError, match="cafe-day"):
        scenarios.load("moon")
    large = tmp_path / "large.toml"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path, wrong in (
        (large, "at most 65536 bytes"),
        (binary, "not UTF-8"),
        (tmp_path, "no such scenario"),
        (tmp_path / "no.toml", "no such"),
    ):
        with pytest.raises(ScenarioError, match=wrong):
            scenarios.load(str(path))
