# SPDX-License-Identifier: Apache-2.0
"""Arrivals, from the terminal table to the message.

One terminal counts once, the noise is exact, nothing is spent twice.
"""

import inspect
import json
import math
import random
import re
import struct
import textwrap
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.dates import date
from agent.outbox import jitter
from agent.runtime.sodium import Sodium
from agent.summary import messages, metrics, services
from agent.summary.day import day_of
from agent.summary.ledger import OWED, TOKENS
from agent.summary.noise import Sampler
from agent.summary.published import Published
from agent.summary.terminals import HEADER, ROW, Terminals
from agent.summary.terminals import TERMS as MOST
from host_sim.driver import live_files
from host_sim.privacy import paired, terminal_signs
from host_sim.venue import kernel
from host_sim.venue.truth import Daily, Kept, Notice
from tests.support.remote import Tape

SECOND, HOUR, DAY = 10**9, 3600, 86400
TODAY = day_of(1795000000)
OPENS = TODAY * DAY + 3 * HOUR  # 03:00 UTC
BOOT, LATER_BOOT = "a1" * 16, "b2" * 16
GATEWAY = "abcdefghijklmnop"
ARRIVALS = metrics.METRICS[0]
TERMS = (0, 4, 1, 1, 5, 1)
MACS = [f"0a5bc90d{number:04x}" for number in range(200)]


# Service classes


def test_classes_are_few_and_fixed():
    """L34-VI-1: at most 12, and a class says less than the port did."""
    assert len(services.CLASSES) == len(set(services.CLASSES)) <= 12
    tables = (services._BOTH, services._TCP_ONLY, services._UDP_ONLY, services._PROTOCOLS)
    assert {number for table in tables for number in table.values()} == set(range(1, len(services.CLASSES)))
    assert not set(services._BOTH) & (set(services._TCP_ONLY) | set(services._UDP_ONLY))


CLASSES = {
    (6, 443): "web", (17, 443): "web", (6, 53): "dns", (17, 53): "dns", (6, 853): "dns", (6, 993): "mail",
    (17, 993): "other", (17, 3478): "calls", (17, 51820): "vpn", (6, 51820): "other", (47, 0): "vpn", (50, 0): "vpn",
    (6, 22): "remote", (17, 22): "other", (6, 445): "files", (17, 123): "time", (6, 5223): "push", (1, 0): "icmp",
    (58, 0): "icmp", (2, 0): "other", (6, 0): "other", (6, 31337): "other", (17, 65535): "other", (132, 443): "other",
}  # fmt: skip


def test_class_follows_from_protocol_and_port_alone(any_interpreter, remotes):
    answer = remotes(any_interpreter.name)("classes", [list(pair) for pair in CLASSES])
    assert [services.CLASSES[number] for number in answer] == list(CLASSES.values())


# The terminal table


@pytest.fixture
def table(tmp_path):
    """Give a table of 64 rows with a day open."""
    made = Terminals(str(tmp_path / "terminals"), 64, BOOT, Sodium())
    made.open_day(TODAY, 0, DAY * SECOND, TERMS)
    yield made
    made.close()


def cells(made: Terminals) -> list[int]:
    return [count for hour in range(24) for count in made.count(ARRIVALS, hour)]


def come(made: Terminals, mac: bytes, hour: int) -> None:
    """Count a terminal that shows itself in an hour."""
    made.see(mac, 6 * hour, 4 * hour, 4 * hour, services.WEB, 100)


def sighting(mac: str, hour: int) -> list:
    """Return the same as the remote takes it."""
    return [mac, 6 * hour, 4 * hour, 4 * hour, services.WEB, 100]


def test_a_terminal_counts_once_in_the_hour_it_is_first_seen(tmp_path, any_interpreter, remotes):
    """ANON-2: L1 = 1 a day, however often and under whatever addresses it comes."""
    ask = remotes(any_interpreter.name)
    ask("terminals_open", str(tmp_path / "terminals"), 256, BOOT)
    ask("terminals_day", TODAY, 0, DAY * SECOND)
    sightings = [(MACS[number % 50], number % 24) for number in range(400)]
    answer = ask("terminals_see", [sighting(*one) for one in sightings])
    first = dict(reversed(sightings))
    assert answer["cells"]["arrivals"] == [Counter(first.values())[hour] for hour in range(24)]
    assert (answer["used"], answer["filled"]) == (50, False)
    ask("terminals_close")


SIGHTINGS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), max_size=60)


@pytest.mark.parametrize("residents", [0, 54, 60])
@given(sightings=SIGHTINGS, key=st.binary(min_size=16, max_size=16), left_out=st.integers(0, 11))
def test_one_terminal_less_changes_the_cells_by_one_or_by_two_where_the_table_filled(
    tmp_path_factory, residents, sightings, key, left_out
):
    """ANON-2, ANON-8: over all cells together, for any order of comings; 64 rows, some or most of them taken before."""
    path = tmp_path_factory.getbasetemp() / f"l1-{residents}"
    results = []
    for without in (None, left_out):
        made = Terminals(str(path), 64, BOOT, Sodium())
        made.open_day(TODAY, 0, DAY * SECOND, TERMS)
        made._view[64:80] = key
        for number in range(residents):
            come(made, (1000 + number).to_bytes(6, "big"), 0)
        hour, drawn = 0, []
        for number, step in sightings:
            for _ in range(min(step, 23 - hour)):
                drawn += made.count(ARRIVALS, hour)  # as a slot is drawn: when it closes
                hour += 1
            if number != without:
                come(made, number.to_bytes(6, "big"), hour)
        results.append((drawn + cells(made)[hour:], made.filled()))
        made.close()
    (with_it, filled), (without_it, _) = results
    distance = sum(abs(one - other) for one, other in zip(with_it, without_it, strict=True))
    assert distance <= (2 if filled else 1)


def test_a_full_table_is_said_locally_and_nobody_arrives_twice(table):
    """ANON-8: two terminals that found no row can't take one from each other all day."""
    for number in range(64):
        come(table, number.to_bytes(6, "big"), 0)
    assert not table.filled()
    (drawn,) = table.count(ARRIVALS, 0)
    for hour in range(1, 24):
        for number in range(64, 70):
            come(table, number.to_bytes(6, "big"), hour)
        drawn += table.count(ARRIVALS, hour)[0]
    assert table.filled()
    assert table.used() == drawn == 64


def test_no_mac_stands_in_the_table_and_each_day_has_its_own_pseudonyms(tmp_path, table):
    """ANON-7: a keyed hash whose key is new each day."""
    path = tmp_path / "terminals"
    assert path.stat().st_mode & 0o777 == 0o600
    days = []
    for day in (TODAY, TODAY + 1):
        table.open_day(day, 0, DAY * SECOND, TERMS)
        for mac in MACS[:20]:
            come(table, bytes.fromhex(mac), 3)
        data = path.read_bytes()
        assert not [mac for mac in MACS if bytes.fromhex(mac) in data or mac.encode() in data]
        hashes = {data[at : at + 8] for at in range(HEADER, len(data), ROW)} - {bytes(8)}
        assert len(hashes) == 20
        days.append((data[64:80], hashes))
    assert days[0][0] != days[1][0]
    assert not days[0][1] & days[1][1]


def test_the_end_of_the_day_overwrites_key_rows_and_marks(tmp_path, any_interpreter, remotes):
    """ANON-7: nothing of the day is left in the mapped file but magic, rows and boot id."""
    ask = remotes(any_interpreter.name)
    path = tmp_path / "terminals"
    ask("terminals_open", str(path), 64, BOOT)
    ask("terminals_day", TODAY, 5, DAY * SECOND)
    ask("terminals_see", [sighting(mac, 7) for mac in MACS[:40]])
    ask("terminals_mark", [5, 6])
    assert any(path.read_bytes()[64:80])
    ask("terminals_erase")
    data = path.read_bytes()
    assert data[:12] == struct.pack("<8sI", b"OUBLIDY2", 64)
    assert not any(data[12:24] + data[56:])
    ask("terminals_close")


@pytest.mark.needs("micropython", "mips")
@pytest.mark.parametrize("second", ["cpython", "micropython", "mips"])
def test_a_restart_goes_on_with_the_day_whatever_interpreter_comes_next(tmp_path, interpreter, second, remotes):
    """ANON-5: same rows, same marks, no terminal counted again; the file has one byte order."""
    path = str(tmp_path / "terminals")
    ask, then = remotes(interpreter.name), remotes(second)
    ask("terminals_open", path, 64, BOOT)
    ask("terminals_day", TODAY, 2, DAY * SECOND)
    ask("terminals_see", [sighting(mac, 3) for mac in MACS[:10]])
    ask("terminals_mark", [9])
    ask("terminals_close")
    assert then("terminals_open", path, 64, BOOT) == TODAY
    answer = then("terminals_see", [sighting(mac, 4) for mac in MACS[5:12]])
    assert answer["cells"]["arrivals"][3:5] == [10, 2]
    assert [cell for cell, marked in enumerate(then("terminals_mark", [])) if marked] == [9]
    then("terminals_close")


@pytest.mark.parametrize(("rows", "boot"), [(64, LATER_BOOT), (128, BOOT), (32, BOOT)])
def test_another_boots_table_or_one_of_another_size_is_erased(tmp_path, interpreter, remotes, rows, boot):
    """ANON-5: a state that can't be read is a new start."""
    ask, path = remotes(interpreter.name), tmp_path / "terminals"
    ask("terminals_open", str(path), 64, BOOT)
    ask("terminals_day", TODAY, 0, DAY * SECOND)
    ask("terminals_see", [sighting(mac, 3) for mac in MACS[:10]])
    key = path.read_bytes()[64:80]
    ask("terminals_close")
    assert ask("terminals_open", str(path), rows, boot) == 0
    assert ask("terminals_see", [])["used"] == 0
    ask("terminals_close")
    assert key not in path.read_bytes()


# Noise

SCALES = [(4, 1), (5, 1), (10, 1), (40, 3), (1, 1), (1, 3), (1, 7), (7, 5), (2, 1)]
AWKWARD = [(640, 3), (1000, 251), (100000, 1)]


@pytest.mark.parametrize("bound", range(1, 257))
def test_below_is_uniform_on_every_octet(bound):
    """Each octet that isn't rejected gives a value, each value the same number of octets: no modulo bias."""
    counts: Counter[int] = Counter()
    for octet in range(256):
        tape = Tape(f"{octet:02x}" + "00" * 3)
        value = Sampler(tape).below(bound)
        if tape.at == 1:
            counts[value] += 1
    assert sorted(counts) == list(range(bound))
    assert set(counts.values()) == {256 // bound}


@pytest.mark.parametrize("bound", [257, 300, 1000, 65535, 65536])
def test_below_is_uniform_on_two_octets(bound):
    counts: Counter[int] = Counter()
    for octets in range(65536):
        tape = Tape(f"{octets:04x}" + "0000")
        value = Sampler(tape).below(bound)
        if tape.at == 2:
            counts[value] += 1
    assert sorted(counts) == list(range(bound))
    assert set(counts.values()) == {65536 // bound}


# A probability lies between; rounded outwards to 2^-128, or the numbers would grow for ever
Interval = tuple[Fraction, Fraction]
_GRAIN = 2**128


def narrowed(low: Fraction, high: Fraction) -> Interval:
    return Fraction(math.floor(low * _GRAIN), _GRAIN), Fraction(math.ceil(high * _GRAIN), _GRAIN)


class BranchError(Exception):
    """The tree goes on below here: what may come next, each with its probability."""

    def __init__(self, shares: list[tuple[int, Interval]]) -> None:
        super().__init__()
        self.shares = shares


class Trail(Sampler):
    """Follows one path of the sampler's choices; asks where it is at an end."""

    def __init__(self, path: tuple[int, ...]) -> None:
        super().__init__(Tape(""))
        self.path = list(path)

    def choose(self, *shares: tuple[int, Interval]) -> int:
        if not self.path:
            raise BranchError(list(shares))
        return self.path.pop(0)


class Coin(Trail):
    """Algorithm 1's real code.

    What `below` returns is uniform; values below, at and above the numerator are one branch each.
    """

    def __init__(self, path: tuple[int, ...], numerator: int) -> None:
        super().__init__(path)
        self.numerator = numerator

    def below(self, bound: int) -> int:
        n = min(self.numerator, bound)
        groups = ((n - 1, n), (n, int(n < bound)), (bound - 1, max(bound - n - 1, 0)))
        return self.choose(*[(value, (Fraction(count, bound),) * 2) for value, count in groups if count])


class Tree(Trail):
    """Algorithm 2's real code, with coins of the probability that their own tree gives.

    Stops where a rejection begins anew.
    """

    calls = 0
    over = False

    def below(self, bound: int) -> int:
        if self.over:
            raise StopIteration
        self.over = self.calls > 0  # the second integer is the sign: after it comes a result or a rejection
        self.calls += 1
        return self.choose(*[(value, (Fraction(1, bound),) * 2) for value in range(bound)])

    def _exp_minus(self, numerator: int, denominator: int) -> bool:
        low, high = coin(numerator, denominator)
        result = self.choose((1, (low, high)), (0, (1 - high, 1 - low))) == 1
        self.over = self.calls == 1 and not result  # the first coin rejects
        self.calls += 1
        return result


def explore(run: Callable[[tuple[int, ...]], int], depth: Fraction) -> tuple[dict[int, Interval], Fraction]:
    """Feed all prefixes whose probability is `depth` or more.

    The mass of each result, and the mass that was not followed, at most.
    """
    mass: dict[int, Interval] = defaultdict(lambda: (Fraction(0), Fraction(0)))
    unfollowed = Fraction(0)
    paths: list[tuple[tuple[int, ...], Interval]] = [((), (Fraction(1), Fraction(1)))]
    while paths:
        path, (low, high) = paths.pop()
        if high < depth:
            unfollowed += high
            continue
        try:
            result = run(path)
            mass[result] = (mass[result][0] + low, mass[result][1] + high)
        except StopIteration:
            pass
        except BranchError as branch:
            paths += [
                ((*path, value), narrowed(low * part[0], high * part[1])) for value, part in branch.shares if part[1]
            ]
    return mass, unfollowed


@cache
def coin(numerator: int, denominator: int) -> Interval:
    """Return what the real coin's probability of True lies between, by its own tree."""
    found, unfollowed = explore(
        lambda path: Coin(path, numerator)._exp_minus(numerator, denominator), Fraction(1, 2**100)
    )
    return found[True][0], found[True][1] + unfollowed


def exp_minus(x: Fraction) -> Interval:
    """Return fractions that exp(-x) lies between, for x up to 7: two partial sums of its alternating series."""
    total = term = Fraction(1)
    sums = [total]
    for number in range(1, 70):
        term *= -x / number
        total += term
        sums.append(total)
    return min(sums[-2:]), max(sums[-2:])


@pytest.mark.parametrize(
    ("numerator", "denominator"), [(0, 1), (1, 1), (1, 4), (3, 4), (1, 40), (39, 40), (2, 3), (639, 640)]
)
def test_exponential_coin_is_exact(numerator, denominator):
    """Algorithm 1 of Canonne, Kamath, Steinke: every path of its tosses, in fractions, beside exp(-n/d)."""
    (low, high), (least, most) = coin(numerator, denominator), exp_minus(Fraction(numerator, denominator))
    assert high - low < Fraction(1, 10**26)
    assert low <= most
    assert least <= high


@pytest.mark.long
@pytest.mark.parametrize("b", SCALES, ids=str)
def test_noise_has_exactly_the_discrete_laplace_distribution(b):
    """P(x) is proportional to exp(-|x|/b), by exact fractions over the sampler's whole tree, 32 bits deep (ANON-2)."""
    follow_every_path(b)


def follow_every_path(b: tuple[int, int]) -> None:
    mass, unfollowed = explore(lambda path: Tree(path).laplace(b), Fraction(1, 2**32))
    assert unfollowed < Fraction(1, 10**6)
    least, most = (sum(share[end] for share in mass.values()) for end in (0, 1))
    low, high = exp_minus(Fraction(b[1], b[0]))
    for value in {*mass, *range(-10 * b[0] // b[1], 10 * b[0] // b[1] + 1)}:
        smallest, largest = ((1 - far) / (1 + far) * near ** abs(value) for near, far in ((low, high), (high, low)))
        assert mass[value][0] / (most + unfollowed) <= largest, value
        assert smallest <= (mass[value][1] + unfollowed) / least, value


def biased_below(self: Sampler, bound: int) -> int:
    """Take the remainder of an octet or two."""
    return int.from_bytes(self._random(1 if bound < 256 else 2), "big") % bound


def with_line(old: str, new: str) -> Callable:
    """Return the sampler's `laplace` with a line changed."""
    text = textwrap.dedent(inspect.getsource(Sampler.laplace))
    assert text.count(old) == 1
    scope: dict[str, Callable] = {}
    exec(text.replace(old, new), scope)  # noqa: S102 (our own text)
    return scope["laplace"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if negative and magnitude == 0:", "if False:"),  # zero twice as often
        ("if negative and magnitude == 0:", "if magnitude == 0:"),  # never zero
        ("return -magnitude if negative", "return -magnitude - 1 if negative"),
        ("return -magnitude if negative", "return magnitude if negative"),
        ("(u + t * v) // s", "(u + t * v + s - 1) // s"),
        ("(u + t * v) // s", "u + t * v"),
        ("if not self._exp_minus(u, t):", "if self._exp_minus(u, t):"),
        ("v += 1", "v += 2"),
    ],
)
def test_a_sampler_that_is_wrong_in_one_place_is_caught(old, new, monkeypatch):
    """Double zero, no zero, off by one, sign, rounding, scale, rejection: drawn noise doesn't fit."""
    monkeypatch.setattr(Sampler, "laplace", with_line(old, new))
    with pytest.raises(AssertionError):
        fits(drawn((10, 3), 20000), (10, 3))


def test_a_zero_that_is_drawn_twice_as_often_is_caught_on_every_path(monkeypatch):
    monkeypatch.setattr(Sampler, "laplace", with_line("if negative and magnitude == 0:", "if False:"))
    with pytest.raises(AssertionError):
        follow_every_path((7, 5))


def test_a_modulo_bias_is_caught(monkeypatch):
    """Where an octet's remainder is taken, the test of uniformity fails, and the drawn noise doesn't fit."""
    monkeypatch.setattr(Sampler, "below", biased_below)
    with pytest.raises(AssertionError):
        test_below_is_uniform_on_every_octet(10)
    with pytest.raises(AssertionError):
        fits(drawn((150, 1), 60000), (150, 1))


def chi_square_limit(freedom: int, deviations: float) -> float:
    """Return the chi-square value that many normal deviations out (Wilson, Hilferty 1931)."""
    return freedom * (1 - 2 / (9 * freedom) + deviations * math.sqrt(2 / (9 * freedom))) ** 3


def drawn(b: tuple[int, int], draws: int) -> list[int]:
    sampler = Sampler(random.Random(20261125).randbytes)
    return [sampler.laplace(b) for _ in range(draws)]


def below_or_equal(value: int, b: tuple[int, int]) -> float:
    """Return P(X <= value) of the discrete Laplace (Inusah, Kozubowski 2006)."""
    p = math.exp(-b[1] / b[0])
    return p**-value / (1 + p) if value < 0 else 1 - p ** (value + 1) / (1 + p)


def fits(values: list[int], b: tuple[int, int]) -> None:
    """Kolmogorov at a chance of 10^-5; chi-square over bins of a quarter of b within four deviations.

    No lean to a sign.
    """
    draws, counts = len(values), Counter(values)
    seen, distance = 0, 0.0
    for value in sorted(counts):
        seen += counts[value]
        distance = max(distance, abs(seen / draws - below_or_equal(value, b)))
    assert distance < math.sqrt(math.log(2e5) / 2 / draws)
    width = max(b[0] // (4 * b[1]), 1)
    edges = [edge for edge in range(-5 * b[0] // b[1], 5 * b[0] // b[1] + 1, width) if edge]
    if len(edges) > 1:
        bounds = [-math.inf, *edges, math.inf]
        chi = 0.0
        for low, high in pairwise(bounds):
            share = (1.0 if high == math.inf else below_or_equal(int(high), b)) - (
                0.0 if low == -math.inf else below_or_equal(int(low), b)
            )
            inside = sum(count for value, count in counts.items() if low < value <= high)
            chi += (inside - draws * share) ** 2 / (draws * share)
        assert chi < chi_square_limit(len(edges), 4)
    positive, nonzero = sum(value > 0 for value in values), draws - counts[0]
    assert abs(2 * positive - nonzero) <= 4 * math.sqrt(nonzero)


@pytest.mark.parametrize("b", [*SCALES[:4], (1, 7), *AWKWARD], ids=str)
def test_drawn_noise_fits_its_distribution(b):
    """From octets to integers, for each b in use and awkward ones."""
    fits(drawn(b, 30000), b)


@pytest.mark.long
@pytest.mark.parametrize("b", SCALES[:4], ids=str)
def test_opendp_draws_the_same_distribution_and_says_the_same_of_its_privacy(b):
    """ANON-2: two samples of one distribution by chi-square.

    OpenDP's own privacy map gives each metric's epsilon for its L1.
    """
    from opendp import prelude as dp  # noqa: PLC0415 (it takes two seconds, and each worker collects this file)

    dp.enable_features("contrib")
    made = dp.m.make_laplace(dp.atom_domain(T=int), dp.absolute_distance(T=int), scale=b[0] / b[1])
    ours, theirs = Counter(drawn(b, 6000)), Counter(made(0) for _ in range(6000))
    edge = 3 * b[0] // b[1]
    chi, cells = 0.0, 0
    for value in range(-edge, edge + 1):
        one, other = ours.pop(value, 0), theirs.pop(value, 0)
        chi += (one - other) ** 2 / max(one + other, 1)
        cells += 1
    chi += (ours.total() - theirs.total()) ** 2 / (ours.total() + theirs.total())
    assert chi < chi_square_limit(cells, 4)
    for metric in metrics.METRICS:
        if metrics.scale(metric.l1, metric.epsilon) == b:
            assert made.map(metric.l1) == pytest.approx(metric.epsilon / 1000)


@pytest.mark.needs("micropython", "mips")
@pytest.mark.parametrize("b", [*SCALES, *AWKWARD, (1, 1000)], ids=str)
def test_the_same_octets_give_the_same_noise_on_every_interpreter(b, remotes):
    octets = random.Random(str(b)).randbytes(4000).hex()
    drawn = [remotes(name)("laplace", *b, octets) for name in ("cpython", "micropython", "mips")]
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(drawn[0]) > 50


def test_scale_is_a_fraction_in_lowest_terms():
    """ANON-2: each metric's scale b; ANON-3: its half-width."""
    table = {(1, 250): (4, 1), (1, 200): (5, 1), (2, 150): (40, 3), (2, 200): (10, 1)}
    assert {key: metrics.scale(*key) for key in table} == table
    assert [metrics.half_width(b) for b in table.values()] == [12, 15, 40, 30]


def test_the_metrics_are_the_requirements_table():
    """ANON-2: schedule, cells, L1, epsilon, b of each.

    A profile costs epsilon, and each message has a place of its own in it.
    """
    table = {
        metric.name: (
            metric.slots,
            len(metric.cells),
            metric.l1,
            metric.epsilon,
            metrics.scale(metric.l1, metric.epsilon),
        )
        for metric in metrics.METRICS
    }
    assert table == {
        "arrivals": (24, 1, 1, 250, (4, 1)),
        "presence": (1, 5, 1, 200, (5, 1)),
        "volume": (1, 5, 1, 200, (5, 1)),
        "active": (1, 6, 2, 150, (40, 3)),
        "classes": (1, len(services.CLASSES) - 2, 2, 200, (10, 1)),
        "dayparts": (6, 1, 1, 250, (4, 1)),
        "tenminutes": (24, 6, 1, 250, (4, 1)),
        "stays": (1, 9, 1, 200, (5, 1)),
        "traffic": (1, 9, 1, 200, (5, 1)),
    }
    assert all(metric.slots * metric.slot_seconds == DAY for metric in metrics.METRICS)
    for profile, names in metrics.PROFILES.items():
        chosen = [metric for metric in metrics.METRICS if metric.name in names]
        assert len(chosen) == len(names) <= MOST // 3
        places = [metric.place + slot for metric in chosen for slot in range(metric.slots)]
        assert len(set(places)) == len(places)
        assert set(places) <= set(range(metrics.MESSAGES))
        scales = metrics.scales(names, 1000, {})
        assert sum(Fraction(1000 * metric.l1) / Fraction(*scales[metric.name]) for metric in chosen) == 1000, profile


@given(
    st.sampled_from(sorted(metrics.PROFILES)), st.integers(1, 2000), st.sets(st.integers(0, 4), min_size=1),
    st.dictionaries(st.integers(0, 4), st.integers(1, 400), max_size=3),
)  # fmt: skip
def test_what_is_off_gives_its_epsilon_to_the_others_in_exact_fractions(profile, epsilon, on, own):
    """ANON-2: the shares sum to `epsilon` whatever is on, each in the metrics' proportion.

    A day's terms fit where they stand.
    """
    names = [name for number, name in enumerate(metrics.PROFILES[profile]) if number in on]
    given_own = {
        name: own[number] for number, name in enumerate(metrics.PROFILES[profile]) if number in own and name in names
    }
    left = epsilon - sum(given_own.values())
    if not names or left <= 0:
        return
    rows = {metric.name: metric for metric in metrics.METRICS}
    found = metrics.scales(names, epsilon, given_own)
    shares = {name: Fraction(1000 * rows[name].l1) / Fraction(*b) for name, b in found.items()}
    assert {name: shares[name] for name in given_own} == given_own
    others = [name for name in names if name not in given_own]
    assert not others or sum(shares.values()) == epsilon
    assert len({shares[name] / rows[name].epsilon for name in others}) <= 1
    assert all(math.gcd(*b) == 1 and max(b) < 1 << 16 for b in found.values())


# The ledger


def book(remotes, name: str, path: Path, *steps: list, new: bool = True) -> dict:
    """Open the ledger at a path and take steps; where there is none, root has said first that the device is new."""
    if new and not path.exists():
        assert remotes(name)("ledger", str(path), [["new"]])["results"] == [True]
    return remotes(name)("ledger", str(path), list(steps))


def test_ledger_of_a_new_device_spends_its_one_token_and_writes_the_same_octets(tmp_path, any_interpreter, remotes):
    """ANON-6: a new device has one token; ANON-5: what is spent is on flash when `start` says yes."""
    path = tmp_path / "ledger"
    answer = book(remotes, any_interpreter.name, path, ["start", TODAY, 1000, 2000])
    assert answer["results"] == [True]
    values = {"version": 1, "day": TODAY, "spent": 1000, "starts": 1, "tokens": 0, "hours": 0, "uncounted": 0}
    life = json.loads(path.read_text())["life"]
    values |= {"since_token": 0, "high_water": 0, "life": life, "number": 3}
    text = json.dumps(values, separators=(",", ":"))[:-1]
    assert path.read_text() == f'{text},"check":{zlib.crc32(text.encode())}}}\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(mark.name for mark in tmp_path.iterdir()) == ["ledger", f"ledger-2-{life}-0", f"ledger-3-{life}-0"]


def test_further_starts_of_a_day_spend_up_to_the_ceiling_then_it_is_silent(tmp_path, interpreter, remotes):
    """ANON-5; each in a new process."""
    path = tmp_path / "ledger"
    results = [book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000])["results"][0] for _ in range(4)]
    assert results == [True, True, False, False]
    assert book(remotes, interpreter.name, path)["values"]["spent"] == 2000
    assert book(remotes, interpreter.name, tmp_path / "low", ["start", TODAY, 1000, 999])["results"] == [True]


def test_days_open_in_order_once_and_for_a_token(tmp_path, interpreter, remotes):
    """ANON-6: a token every six powered-on hours, at most two held; an earlier day never opens."""
    path, hour = tmp_path / "ledger", ["hour", 0]
    ask = [["start", TODAY + day, 1000, 1000] for day in range(9)]
    answer = book(remotes, interpreter.name, path, ask[1], ask[2], *[hour] * 5, ask[2], hour, ask[2], ask[1], ask[0])
    starts = [result for result in answer["results"] if result is not None]
    assert starts == [True, False, False, True, False, False]
    answer = book(remotes, interpreter.name, path, *[hour] * 60, ask[3], ask[4], ask[5])
    assert answer["results"][60:] == [True, True, False]
    assert (answer["values"]["tokens"], answer["values"]["hours"]) == (0, 66)
    assert TOKENS == 2


def test_forged_time_and_forced_reboots_open_at_most_five_days_in_a_day(tmp_path, remotes):
    """ANON-6's own figure: whatever dates are claimed, one start an hour, two tokens held before."""
    path = tmp_path / "ledger"
    book(remotes, "cpython", path, *[["hour", 0]] * 30)
    steps = [step for hour in range(24) for step in (["start", TODAY + hour, 1000, 2000], ["hour", 0])]
    results = book(remotes, "cpython", path, *steps)["results"]
    opened = [result for result in results if result]
    assert len(opened) <= 5


def test_high_water_mark_never_falls(tmp_path, interpreter, remotes):
    """EXP-5: a step back moves nothing; untrusted time counts as none."""
    path = tmp_path / "ledger"
    values = [
        book(remotes, interpreter.name, path, ["hour", mark])["values"]["high_water"] for mark in (100, 0, 50, 200)
    ]
    assert values == [100, 100, 100, 200]


BROKEN = {
    "empty": b"",
    "cut": b'{"version":1,"day":20',
    "junk": bytes(range(256)),
    "other JSON": b"[1,2,3]",
    "missing field": b'{"version":1,"day":1}',
    "negative": b'{"version":1,"day":1,"spent":-1000,"starts":1,"tokens":2,"hours":1,"since_token":0,"high_water":0}',
    "text": b'{"version":1,"day":1,"spent":"0","starts":1,"tokens":2,"hours":1,"since_token":0,"high_water":0}',
    "fraction": b'{"version":1,"day":1,"spent":0.5,"starts":1,"tokens":2,"hours":1,"since_token":0,"high_water":0}',
    "version": b'{"version":2,"day":1,"spent":0,"starts":1,"tokens":2,"hours":1,"since_token":0,"high_water":0}',
    "nested": b"[" * 1024,
    "too large": b'{"version":1' + b" " * 2000 + b"}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_ledger_that_cannot_be_read_never_gives_a_free_start(tmp_path, interpreter, remotes, name):
    """What was spent on this agent-day is unknown: nothing is counted before 24 powered-on hours (ANON-5)."""
    path = tmp_path / "ledger"
    path.write_bytes(BROKEN[name])
    answer = book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000])
    assert answer["results"] == [False]
    assert answer["log"] == ["ledger can't be read: silent for 24 powered-on hours (ANON-5)"]
    assert json.loads(path.read_text())["tokens"] == OWED
    steps = [["hour", 0], ["start", TODAY + 1, 1000, 2000]] * 24
    assert book(remotes, interpreter.name, path, *steps)["results"] == [None, False] * 23 + [None, True]


def checked(text: str) -> str:
    """Return a ledger's text with its check at its end."""
    return f'{text[:-1]},"check":{zlib.crc32(text[:-1].encode())}}}\n'


NEWER = checked(
    '{"version":2,"day":9,"spent":0,"starts":1,"tokens":2,"hours":5000,"high_water":1790000000,"uncounted":7,"new":1}'
)


def test_a_ledger_of_another_version_still_says_how_long_the_device_ran(tmp_path, interpreter, remotes):
    """EXP-4, EXP-5: stores expire by powered-on hours and the high-water mark; the spending alone is unknown."""
    path = tmp_path / "ledger"
    for text, believed in (
        (NEWER, (5000, 1790000000, 7)),
        (NEWER.replace("17900", "37900"), (0, 0, 0)),  # a changed digit
        (NEWER.partition(',"check"')[0] + "}", (0, 0, 0)),
        (checked('{"version":2,"hours":"7","uncounted":-1,"high_water":99999999999}'), (0, 0, 0)),
    ):
        for file in tmp_path.iterdir():
            file.unlink()
        path.write_text(text)
        values = book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000])["values"]
        assert (values["hours"], values["high_water"], values["uncounted"]) == believed
        assert values["tokens"] == OWED


@pytest.mark.parametrize(
    "name",
    [
        "missing",
        "reset",
        "a backup put back",
        "a backup on a device that was reset",
        "the marks alone",
        "a former life's",
    ],
)
def test_a_ledger_that_is_not_the_newest_gives_no_free_start_and_no_slot_again(tmp_path, interpreter, remotes, name):
    """ANON-5, ANON-6, EXP-4: first boot, factory reset, restored backup.

    24 hours of silence, and no time or hour is forgotten.
    """
    path, slot = tmp_path / "ledger", TODAY * 86400 + 50000
    if name != "missing":
        book(remotes, interpreter.name, path, ["start", TODAY - 1, 1000, 2000], *[["hour", slot - 3600]] * 6)
        old = path.read_bytes()
        book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000], ["hour", slot], ["hour", slot])
    kept = {
        "a backup put back": (True, True),
        "the marks alone": (False, True),
        "a backup on a device that was reset": (True, False),
    }
    ledger, marks = kept.get(name, (False, False))
    for file in list(tmp_path.iterdir()):
        if not marks or file.name == "ledger":
            file.unlink()
    if name == "a former life's":  # the device was reset after the backup, and has lived on
        book(remotes, interpreter.name, path, ["hour", 0], new=False)
        ledger = True
    if ledger:
        path.write_bytes(old)
    answer = book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000], ["new"], new=False)
    new_to_it = name in ("missing", "reset")
    assert answer["results"] == [False, new_to_it]
    why, hint = (
        ("ledger was put back", "") if ledger else ("no ledger", "; if nobody was ever counted here: oubli new-device")
    )
    assert answer["log"] == [f"{why}: silent for 24 powered-on hours (ANON-5){hint}"]
    assert answer["values"]["tokens"] == (1 if new_to_it else OWED)
    assert answer["values"]["high_water"] == (slot if marks else slot - 3600 if ledger else 0)
    age = answer["values"]["hours"] + answer["values"]["uncounted"]
    assert age >= (8 if marks else 6 if ledger else 0)
    if not new_to_it:
        steps = [["hour", 0], ["start", TODAY + 1, 1000, 2000]] * 24
        assert book(remotes, interpreter.name, path, *steps)["results"] == [None, False] * 23 + [None, True]


def test_no_changed_digit_of_a_ledger_is_believed(tmp_path, interpreter, remotes):
    """EXP-5: a high-water mark of the year 2280 kept every later date out.

    Each octet changed in turn: what the mark says stays.
    """
    path = tmp_path / "ledger"
    book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000], ["hour", TODAY * 86400])
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    data = files["ledger"]
    for at in range(len(data) - 1) if interpreter.name == "cpython" else range(0, len(data) - 1, 17):
        for file in tmp_path.iterdir():
            file.unlink()
        for other, octets in files.items():
            (tmp_path / other).write_bytes(octets)
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        values = book(remotes, interpreter.name, path)["values"]
        assert (values["tokens"], values["high_water"]) == (OWED, TODAY * 86400), at
        assert values["hours"] + values["uncounted"] >= 1


def test_a_cut_or_a_full_flash_leaves_a_mark_that_holds(tmp_path, interpreter, remotes):
    """A mark that lags, one too many, none that could be made: the ledger is believed.

    Only a higher one says that it is old.
    """
    path = tmp_path / "ledger"
    book(remotes, interpreter.name, path, ["start", TODAY, 1000, 2000], ["hour", 5], ["hour", 6])
    newest = max(mark.name for mark in tmp_path.iterdir())
    (tmp_path / newest).unlink()
    life = newest.split("-")[2]
    (tmp_path / f"ledger-1-{life}-0").touch()
    (tmp_path / "ledger-1-0").touch()
    (tmp_path / "ledger-x-0-0").touch()
    assert book(remotes, interpreter.name, path)["log"] == []
    (tmp_path / f"ledger-99-{life}-7").touch()
    assert book(remotes, interpreter.name, path)["log"] == [
        "ledger was put back: silent for 24 powered-on hours (ANON-5)"
    ]


def test_a_start_that_flash_refuses_is_no_start(tmp_path, interpreter, remotes):
    """The folder can't be written: nothing is counted, and nothing is spent in memory either."""
    folder = tmp_path / "gone"
    folder.mkdir()
    book(remotes, interpreter.name, folder / "ledger", ["hour", 0])
    (folder / ".ledger.new").mkdir()  # in the way of the next writing
    answer = book(
        remotes, interpreter.name, folder / "ledger", ["start", TODAY, 1000, 2000], ["start", TODAY, 1000, 2000]
    )
    assert answer["results"] == [False, False]
    assert (answer["values"]["spent"], answer["values"]["tokens"]) == (0, 1)


# From the kernel's messages to the spool


IDLE = 30  # seconds from the last packet of UDP to the end of its entry: the kernel's default
# what terminals use: never more than two classes that are published
USES = ([(17, 443), (17, 53)], [(17, 123), (1, 0), (17, 53)], [(17, 31337), (17, 123), (17, 80)])
VOLUMES = [80, 1500, 9 << 20, 20 << 20, 120 << 20, 600 << 20, 3000 << 20]


def address_of(number: int) -> bytes:
    return bytes((192, 168, number >> 8, number & 255))


@dataclass
class Talk:
    """A connection of a terminal: how long before IDLE it began (`lasts`, seconds), its octets both ways."""

    number: int
    protocol: int = 17
    port: int = 443
    lasts: int = 60
    octets: int = 160

    def record(self, second: int) -> Kept:
        """Return the truth of one that ends when the clock shows a second."""
        last = (second - IDLE) * SECOND
        octets = (self.octets - self.octets // 3, self.octets // 3)
        return Kept(
            bytes.fromhex(MACS[self.number]), b"", self.protocol, 0, 0, *octets,
            1, 1, last - self.lasts * SECOND, last, Notice(second * SECOND), self.port,
        )  # fmt: skip


class Gateway:
    """A recorder in another interpreter, at a virtual time.

    Terminals come by real neighbour and connection messages.
    """

    def __init__(
        self,
        remotes,
        name: str,
        folder: Path,
        *,
        octets: str = "",
        boot: str = BOOT,
        second: int = OPENS,
        options: str = "",
    ) -> None:
        self.ask = remotes(name)
        self.root = folder
        self.order: kernel.ByteOrder = "big" if name == "mips" else "little"
        self.second = second
        config = folder / "config"
        config.write_text(f"config gateway\n option id '{GATEWAY}'\nconfig summary\n option rows '256'\n{options}")
        self.ask("recorder_open", str(config), str(folder), boot, second * SECOND, self.since(), octets)
        lan = kernel.link("lan", self.order), kernel.address(address_of(0xFFFE), 16, self.order)
        self.steps(*(["neighbour", told.hex()] for told in lan))

    def since(self) -> int:
        return (self.second - OPENS + 10**6) * SECOND

    def steps(self, *steps: list) -> dict:
        return self.ask("recorder", list(steps))

    def at(self, second: int) -> dict:
        """Let the clocks show a second, as waiting does."""
        self.second = second
        return self.steps(["time", second * SECOND, self.since()])

    def trust(self) -> list[str]:
        """Confirm the clock twice, ten minutes apart; returns what was logged."""
        self.steps(["confirm"])
        self.at(self.second + 600)
        return self.steps(["confirm"])["log"]

    def come(self, *numbers: int) -> dict:
        """Let terminals show themselves: a neighbour and an ended connection each."""
        return self.end(*map(Talk, numbers))

    def flow(self, talk: "Talk", stop: int) -> kernel.Flow:
        """Return the kernel's entry of a talk; `stop` in ns, 0 where it lasts."""
        there = b"\xcb\0\x71\1"
        return kernel.Flow(
            2, talk.protocol, address_of(talk.number), there, 40000, talk.port, there, b"\xc0\0\2\1", talk.port, 41000,
            kernel.SEEN_REPLY, max(self.second - IDLE - talk.lasts, 1) * SECOND, packets_up=1, packets_down=1,
            bytes_up=talk.octets - talk.octets // 3, bytes_down=talk.octets // 3, stop=stop,
        )  # fmt: skip

    def end(self, *talks: "Talk") -> dict:
        """Let terminals show themselves, and a connection of each end whose last packet was IDLE seconds ago."""
        steps = []
        for talk in talks:
            flow = self.flow(talk, self.second * SECOND)
            near = kernel.Neighbour(flow.source, bytes.fromhex(MACS[talk.number]))
            steps.append(["neighbour", kernel.neighbour(near, self.order).hex()])
            steps.append(["datagram", kernel.conntrack("destroy", flow, self.order).hex()])
        return self.steps(*steps)

    def spooled(self) -> dict[str, bytes]:
        return live_files.contents(self.root / "srv/oubli-spool", "*")

    def close(self) -> None:
        self.ask("recorder_close")


def test_a_day_gives_its_messages_of_one_shape_with_truth_plus_noise(tmp_path, any_interpreter, remotes):
    """ANON-2 to ANON-4: same keys in the same order, one length, whether or not anybody came.

    Same octets on every interpreter.
    """
    octets = random.Random(7).randbytes(4000).hex()
    gateway = Gateway(remotes, any_interpreter.name, tmp_path, octets=octets, second=OPENS - 6 * HOUR)
    gateway.at(OPENS)
    gateway.trust()
    arrived, truth = [0] * 24, Daily()
    chance = random.Random(3)
    for hour in range(24):
        gateway.at(max(OPENS + hour * HOUR + 10, gateway.second))
        talks = [
            Talk(
                guest,
                *chance.choice(USES[guest % 3]),
                lasts=chance.choice([0, 7, 900, 20000]),
                octets=chance.choice(VOLUMES),
            )
            for guest in chance.sample(range(200), chance.choice([0, 0, 3, 12]))
        ]
        gateway.end(*talks)
        arrived[hour] += sum(truth.add(talk.record(gateway.second), OPENS * SECOND, OPENS * SECOND) for talk in talks)
        assert len(gateway.spooled()) == hour
    gateway.at(OPENS + DAY + 1)
    spooled = gateway.spooled()
    gateway.close()
    sampler = Sampler(Tape(octets))
    expected = [("arrivals", slot, [count + sampler.laplace((4, 1))], [4, 1], 12) for slot, count in enumerate(arrived)]
    cells = truth.cells()
    for metric, b, half in (
        ("presence", [5, 1], 15),
        ("volume", [5, 1], 15),
        ("active", [40, 3], 40),
        ("classes", [10, 1], 30),
    ):
        assert all(least == most for least, most in cells[metric])
        assert sum(least for least, _ in cells[metric]) > 20
        values = [least + sampler.laplace((b[0], b[1])) for least, _ in cells[metric]]
        expected.append((metric, 0, values, b, half))
    units = {
        "arrivals": "terminals", "presence": "terminals by quarter-hours", "volume": "terminals by MiB up and down",
        "active": "terminals by hours UTC", "classes": "terminals by service class",
    }  # fmt: skip
    read = []
    for name, text in spooled.items():
        due, metric, slot = name.split("-")
        message = json.loads(text)
        times = (
            (OPENS + int(slot) * HOUR, OPENS + (int(slot) + 1) * HOUR) if metric == "arrivals" else (OPENS, OPENS + DAY)
        )
        assert int(due) - times[1] == jitter.SETTLE
        again = {
            "schema": f"oubli/{metric}/1", "gateway": GATEWAY, "day": date(TODAY), "slot": int(slot), "start": times[0],
            "end": times[1], "unit": units[metric], "values": message["values"], "b": message["b"],
            "half_width": message["half_width"],
        }  # fmt: skip
        assert text == json.dumps(again, separators=(",", ":")).ljust(messages.SUMMARY_OCTETS).encode()
        read.append((metric, int(slot), message["values"], message["b"], message["half_width"]))
    assert sorted(read) == sorted(expected)
    assert min(value for message in read for value in message[2]) < 0


@pytest.mark.parametrize("second", [0, 1, 951782400, 1709164800, 1795000000, 4102444799])
def test_date_is_the_calendars(second):
    assert date(second // DAY) == datetime.fromtimestamp(second, UTC).date().isoformat()


@pytest.mark.parametrize(("value", "slot"), [(-(10**6), 0), (10**6, 23)])
def test_message_length_is_the_same_for_the_largest_values(value, slot, interpreter, remotes):
    text = remotes(interpreter.name)("summary", 10**5, slot, 10**10, 10**10, value)
    assert len(text) == messages.SUMMARY_OCTETS


def test_untrusted_time_publishes_nothing_and_counts_nothing(tmp_path, interpreter, remotes):
    """ANON-6, EXP-5: no day opens, the ledger isn't touched, nothing is spooled, two days long."""
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.steps(["confirm"])
    for hour in range(48):
        gateway.at(OPENS + hour * HOUR + 10)
        answer = gateway.come(hour, hour + 60)
    gateway.close()
    assert answer["status"]["clock"] == "unknown"
    assert gateway.spooled() == {}
    assert answer["status"]["summary"]["spent"] == 0
    assert not any((tmp_path / "var/run/oubli/terminals").read_bytes()[56:])


def test_confirmations_that_disagree_do_not_make_the_time_trusted(tmp_path, interpreter, remotes):
    """EXP-5: ten minutes by the device's own clock, ten minutes and three seconds by NTP."""
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.steps(["confirm"])
    answer = gateway.steps(["time", (OPENS + 603) * SECOND, gateway.since() + 600 * SECOND], ["confirm"])
    assert answer["status"]["clock"] == "unknown"
    answer = gateway.steps(["time", (OPENS + 1203) * SECOND, gateway.since() + 1200 * SECOND], ["confirm"])
    assert answer["status"]["clock"] == "trusted"
    gateway.close()


def test_slots_before_the_start_stay_silent_and_the_next_are_drawn_when_they_close(tmp_path, interpreter, remotes):
    """A start at 12:30 counts from slot 9 on; what is learned after a slot closed counts nowhere (ANON-1)."""
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=OPENS + 9 * HOUR + 1200)
    gateway.trust()
    gateway.come(1, 2, 3)
    gateway.at(OPENS + 10 * HOUR - 1)
    assert gateway.spooled() == {}
    gateway.at(OPENS + 10 * HOUR)
    assert [name[-2:] for name in gateway.spooled()] == ["09"]
    gateway.close()


def test_the_days_key_is_destroyed_at_its_end_by_either_clock(tmp_path, interpreter, remotes):
    """ANON-7: by trusted wall time; and by time since boot after a restart that doesn't know the time."""
    table = tmp_path / "var/run/oubli/terminals"
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    gateway.come(*range(20))
    key = table.read_bytes()[64:80]
    assert any(key)
    gateway.close()
    (tmp_path / "var/run/oubli/clock").unlink()
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=OPENS + DAY - 5)
    assert table.read_bytes()[64:80] == key
    gateway.at(OPENS + DAY - 1)
    assert table.read_bytes()[64:80] == key
    gateway.at(OPENS + DAY)
    assert key not in table.read_bytes()
    assert not any(table.read_bytes()[56:])
    gateway.trust()
    next_key = table.read_bytes()[64:80]
    assert next_key == bytes(16)  # the device's one token is spent: silent until six powered-on hours have passed
    gateway.close()


def test_a_clock_that_is_set_back_makes_no_day_longer(tmp_path, interpreter, remotes):
    """ANON-7, L34-VI-4: guests read "a day"; a trusted clock that is set back by 20 h isn't past its end for 44."""
    table = tmp_path / "var/run/oubli/terminals"
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    gateway.come(*range(20))
    key = table.read_bytes()[64:80]
    opened = gateway.since() - (gateway.second - OPENS) * SECOND
    back = [(opened + after * SECOND, after - 20 * HOUR) for after in (21 * HOUR, DAY + HOUR - 1, DAY + HOUR)]
    held = []
    for since, second in back:
        answer = gateway.steps(["time", (OPENS + second) * SECOND, since])
        held.append(table.read_bytes()[64:80] == key)
        assert answer["status"]["clock"] == "trusted"
    assert held == [True, True, False]
    gateway.close()


def test_the_days_key_is_destroyed_where_the_summary_was_switched_off(tmp_path, interpreter, remotes):
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    gateway.come(*range(20))
    gateway.close()
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=OPENS + HOUR, options=" option enabled '0'\n")
    gateway.trust()
    gateway.at(OPENS + DAY)
    assert not any((tmp_path / "var/run/oubli/terminals").read_bytes()[56:])
    assert gateway.spooled() == {}
    gateway.close()


def test_a_restart_of_the_process_costs_nothing_and_a_boot_costs_epsilon(tmp_path, interpreter, remotes):
    """ANON-5: same boot: same day, nobody counted again; third boot of a day: silence."""
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    gateway.come(*range(10))
    gateway.close()
    spent = []
    for boot in (BOOT, LATER_BOOT, "c3" * 16):
        gateway = Gateway(remotes, interpreter.name, tmp_path, second=gateway.second + 60, boot=boot)
        log = gateway.trust()
        answer = gateway.come(*range(12))
        spent.append((answer["status"]["summary"]["spent"], answer["status"]["summary"]["day"] is not None))
        gateway.close()
    assert spent == [(1000, True), (2000, True), (2000, False)]
    assert any("its epsilon is spent (ANON-5)" in line for line in log)


@pytest.mark.parametrize("way", ["boot", "step"])
def test_a_slot_that_was_drawn_is_never_drawn_again_whatever_a_clock_that_is_set_back_says(
    tmp_path, interpreter, remotes, way
):
    """ANON-5: over a boot, when the marks are gone, with a forged time service.

    After the day's end, with a step of the clock.
    """
    end = OPENS + (HOUR if way == "boot" else DAY)
    # Of a day's end before another token has come
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=end - HOUR)
    gateway.trust()
    gateway.come(*range(10))
    gateway.at(end - HOUR + 1000)  # a powered-on hour is full: the last mark before the slot's end
    gateway.at(end)
    former = gateway.spooled()
    assert len(former) == (1 if way == "boot" else 5)
    if way == "boot":
        gateway.close()
        gateway = Gateway(remotes, interpreter.name, tmp_path, second=end - 1500, boot=LATER_BOOT)
        gateway.trust()
        gateway.at(end + 5)
    else:
        since = gateway.since()
        for passed in (-1800, 5):
            gateway.steps(["time", (end + passed) * SECOND, since + 1800 * SECOND + passed * SECOND])
    status = gateway.steps()["status"]
    gateway.close()
    assert gateway.spooled() == former
    assert (status["summary"]["spent"], status["summary"]["day"]) == (1000, None)


def test_a_terminal_seen_while_a_restarted_recorder_waits_for_the_time_counts_when_the_time_is_known(
    tmp_path, interpreter, remotes
):
    """It counts in the hour it is first seen at a known time.

    It must not be taken for somebody of an hour that is over.
    """
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    gateway.at(OPENS + HOUR + 60)
    gateway.close()
    (tmp_path / "var/run/oubli/clock").unlink()
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=OPENS + HOUR + 120)
    gateway.come(5)
    assert not any((tmp_path / "var/run/oubli/terminals").read_bytes()[HEADER:])
    gateway.trust()
    gateway.come(5)
    table = (tmp_path / "var/run/oubli/terminals").read_bytes()
    hours = [table[at + 26] for at in range(HEADER, len(table), ROW) if any(table[at : at + 8])]
    assert [sixth // 6 for sixth in hours] == [1]
    gateway.close()


@pytest.mark.needs("micropython")
@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.long
def test_a_kill_at_any_instant_never_counts_before_it_is_spent_and_never_draws_twice(
    first, tmp_path, remotes, micropython
):
    """SIGKILL before or after each step while a day opens and its first slot is drawn.

    Then the recorder starts again.
    """
    instant = first
    while killed(instant, tmp_path / str(instant), remotes, micropython):
        instant += 2
    assert instant > 40


def killed(instant: int, folder: Path, remotes, micropython) -> bool:
    """Kill a recorder at an instant and look at what it left and at what its successor makes of it.

    False where it lived.
    """
    folder.mkdir()
    gateway = Gateway(remotes, "cpython", folder)
    gateway.steps(["confirm"])
    gateway.close()
    lines = [
        ["recorder_open", str(folder / "config"), str(folder), BOOT, OPENS * SECOND, gateway.since(), ""],
        ["recorder", [["confirm"], ["time", (OPENS + 600) * SECOND, gateway.since() + 600 * SECOND]]],
        ["die", instant],
        ["recorder", [["confirm"], ["time", (OPENS + HOUR) * SECOND, gateway.since() + HOUR * SECOND]]],
    ]
    done = micropython.run("-m", "tests.support.remote", input="\n".join(map(json.dumps, lines)) + "\n", check=False)
    if done.returncode == 0:
        return False
    assert done.returncode == -9
    ledger, table = folder / "srv/oubli/ledger", folder / "var/run/oubli/terminals"
    (day,) = struct.unpack_from("<I", table.read_bytes(), 12)
    if day:
        assert json.loads(ledger.read_text())["spent"] >= 1000
    former = {name: text for name, text in gateway.spooled().items() if name[0] != "."}
    drawn = table.read_bytes()[80] & 1 if day else 0
    gateway = Gateway(remotes, "cpython", folder, second=OPENS + HOUR + 5)
    gateway.trust()
    answer = gateway.at(OPENS + 2 * HOUR)
    assert answer["status"]["summary"]["spent"] in {1000, 2000}
    spooled = {name: text for name, text in gateway.spooled().items() if name[0] != "."}
    gateway.close()
    assert {name: spooled[name] for name in former} == former
    slots = [name for name in spooled if name.endswith("-00")]
    assert len(slots) <= 1
    if drawn:
        assert slots == list(former)
    return True


def test_a_slot_that_could_not_be_spooled_is_lost_counted_and_never_drawn_again(tmp_path, interpreter, remotes):
    """ANON-5: marked before its draw; the randomness after it is the next slot's."""
    octets = random.Random(11).randbytes(3000).hex()
    gateway = Gateway(remotes, interpreter.name, tmp_path, octets=octets)
    gateway.trust()
    gateway.at(OPENS + HOUR)
    (name,) = gateway.spooled()
    (tmp_path / "srv/oubli-spool" / f"{int(name[:12]) + HOUR:012d}-arrivals-01" / "in the way").mkdir(parents=True)
    answer = gateway.at(OPENS + 2 * HOUR)
    assert (answer["status"]["counters"]["messages lost"], answer["status"]["refusing"]) == (1, True)
    assert gateway.at(OPENS + 3 * HOUR - 1)["status"]["counters"]["messages lost"] == 1
    health = json.loads((tmp_path / "var/run/oubli-live/health").read_bytes())
    assert health["doctor"] == ["flash-refuses"]
    assert not gateway.at(OPENS + 3 * HOUR)["status"]["refusing"]
    gateway.close()
    sampler = Sampler(Tape(octets))
    values = [sampler.laplace((4, 1)) for _ in range(3)]
    sent = {
        path.name[-2:]: json.loads(path.read_bytes())["values"][0]
        for path in (tmp_path / "srv/oubli-spool").glob("0*")
        if path.is_file()
    }
    assert sent == {"00": values[0], "02": values[2]}


def test_a_ledger_that_flash_refuses_is_said_whatever_else_it_takes(tmp_path, interpreter, remotes):
    """EXP-6: the spool beside it is written as before; nothing is drawn that can't be noted as spent (ANON-5)."""
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    assert not gateway.at(OPENS + HOUR)["status"]["refusing"]
    in_the_way = tmp_path / "srv/oubli/.ledger.new/x"
    in_the_way.mkdir(parents=True)
    assert gateway.at(OPENS + 2 * HOUR - 1)["status"]["refusing"]
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    assert not gateway.at(OPENS + 3 * HOUR)["status"]["refusing"]
    gateway.close()


def test_a_connection_that_lasts_sets_the_quarter_hours_it_touches_and_one_that_is_idle_does_not(
    tmp_path, interpreter, remotes
):
    """ANON-8: off the live table every five minutes, up to its last packet.

    Its end sets the rest and brings its volume once.
    """
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=OPENS + HOUR)
    gateway.trust()
    gateway.come(1, 2)  # known from here on: one quarter-hour each
    for second in range(OPENS + 2 * HOUR, OPENS + 4 * HOUR, 300):
        gateway.at(second)
        steps = []
        for number, left in ((1, IDLE), (2, 0)):
            flow = gateway.flow(Talk(number), 0)
            flow.timeout = left  # of 30 s: a packet just now, and one 30 s ago at the earliest start of the table
            steps.append(["live", kernel.conntrack("entry", flow, gateway.order).hex()])
        gateway.steps(*steps[: 1 if second > OPENS + 2 * HOUR else 2])
    rows = quarters(tmp_path)
    talk = Talk(1, lasts=3 * HOUR, octets=11 << 20)
    gateway.at(OPENS + 5 * HOUR + 60)
    gateway.end(talk)
    ended = quarters(tmp_path)
    gateway.close()
    assert rows == [[4, 7], [4, *range(7, 16)]]
    assert ended == [[4, 7], [4, *range(7, 21)]]


def quarters(root: Path) -> list[list[int]]:
    """Return the quarter-hours of each row of the day's table."""
    data = (root / "var/run/oubli/terminals").read_bytes()
    rows = [data[at + 8 : at + 20] for at in range(HEADER, len(data), ROW) if any(data[at : at + 8])]
    return sorted([bit for bit in range(96) if row[bit >> 3] >> (bit & 7) & 1] for row in rows)


def test_what_ended_before_the_day_or_the_hour_of_its_start_counts_nowhere(tmp_path, interpreter, remotes):
    """ANON-1, ANON-6: a phone that left in the night doesn't arrive when the kernel forgets its connection."""
    gateway = Gateway(remotes, interpreter.name, tmp_path, second=OPENS - 4 * HOUR)
    gateway.at(OPENS + 2 * HOUR + 60)
    gateway.trust()
    opened = gateway.second - gateway.second % HOUR
    gateway.at(opened + 1200)
    for number, stopped, began in ((1, 1300, 5 * HOUR), (2, 1100, 5 * HOUR), (3, 0, 0)):
        flow = gateway.flow(Talk(number), (gateway.second - stopped) * SECOND)
        flow.start = (gateway.second - began - stopped - IDLE) * SECOND
        near = kernel.Neighbour(flow.source, bytes.fromhex(MACS[number]))
        gateway.steps(
            ["neighbour", kernel.neighbour(near, gateway.order).hex()],
            ["datagram", kernel.conntrack("destroy", flow, gateway.order).hex()],
        )
    assert quarters(tmp_path) == [[8], [9]]
    gateway.close()


def test_what_began_before_the_first_listing_was_over_is_nobodys(tmp_path, any_interpreter, remotes):
    """L34-I-2: until the kernel has said who is there, an address may have changed hands.

    So may it where word of changes was missed: what lasted into that time is nobody's, nor what began in it.
    """
    gateway = Gateway(remotes, any_interpreter.name, tmp_path)
    lan = [
        ["neighbour", told.hex()]
        for told in (kernel.link("lan", gateway.order), kernel.address(address_of(0), 16, gateway.order))
    ]
    for talk in (Talk(1), Talk(2), Talk(3)):
        near = kernel.Neighbour(gateway.flow(talk, OPENS * SECOND).source, bytes.fromhex(MACS[talk.number]))
        lan.append(["neighbour", kernel.neighbour(near, gateway.order).hex()])
    gateway.at(OPENS + 20)
    gateway.steps(*lan, ["listed"])
    gateway.at(OPENS + 100)
    gateway.end(Talk(1, lasts=55), Talk(2, lasts=45))  # begun at 15 and at 25 s
    done = struct.pack(">IHHII" if gateway.order == "big" else "<IHHII", 20, 3, 2, 1, 0) + bytes(4)
    gateway.steps(["live", done.hex()])  # a dump is over
    gateway.at(OPENS + 500)
    gateway.steps(["neighbour_overrun"], *lan, ["listed"])
    gateway.at(OPENS + 600)
    ended = gateway.end(Talk(3, lasts=530))
    assert ended["status"]["counters"]["unknown terminal"] == 2
    assert ended["status"]["counters"]["kept"] == 3
    # Of those since the last look, until all is listed anew
    gateway.at(OPENS + 700)
    gateway.steps(["neighbour_overrun"])
    gateway.at(OPENS + 710)
    gateway.steps(*lan, ["listed"])
    gateway.at(OPENS + 800)
    ended = gateway.end(Talk(1, lasts=80), Talk(2, lasts=65), Talk(3, lasts=55))  # begun at 690, 705 and 715 s
    gateway.close()
    assert ended["status"]["counters"]["unknown terminal"] == 4
    assert ended["status"]["counters"]["kept"] == 6


def test_what_seems_to_begin_after_its_end_is_kept_no_longer_for_that(tmp_path, any_interpreter, remotes):
    """EXP-1: the clock was ahead when it began, before oubli was first installed; nobody is named for it."""
    options = "config purpose 'security'\n option lifetime '1h'\n"
    gateway = Gateway(remotes, any_interpreter.name, tmp_path, options=options)
    lan = [["neighbour", told.hex()] for told in (kernel.address(address_of(0), 16, gateway.order),)]
    gateway.at(OPENS + 20)
    gateway.steps(*lan, ["listed"])
    gateway.at(OPENS + 100)
    ended = gateway.end(Talk(1, lasts=-3 * HOUR))
    assert ended["status"]["purposes"]["security"]["records"] == 1
    assert ended["status"]["counters"]["unknown terminal"] == 1
    width = ended["status"]["purposes"]["security"]["window_seconds"]
    after = gateway.at(OPENS + 100 + HOUR + width)
    gateway.close()
    assert after["status"]["purposes"]["security"]["records"] == 0


def test_what_ends_between_a_days_close_and_its_draw_counts_in_neither_day(memory, monkeypatch):
    """ANON-1: the closed day's table takes nothing more, although it is drawn up to two minutes later.

    The new one isn't open yet.
    """
    monkeypatch.setattr(jitter, "drawn", lambda _random, _within: 100 * 10**9)
    device = paired.Device(memory / "between", None)
    device.pass_to(24 * HOUR - 60)
    terminals = device.recorder.day.terminals
    assert (terminals.day > 0, terminals.first_hour()) == (True, 0)

    def ends(second: int, terminal: int) -> bool:
        """Whether the table has changed by a connection that ended half a minute ago."""
        device.time.second = second
        device.recorder.tick()
        before, (neighbour, event, _) = bytes(terminals._view), terminal_signs.Sign(second, terminal, 20).messages()
        device.recorder.streams.neighbour(neighbour, len(neighbour))
        device.recorder.streams.datagram(event, len(event))
        return bytes(terminals._view) != before

    day = terminals.day
    assert ends(24 * HOUR - 40, 1)
    assert not ends(24 * HOUR + 90, 2)
    assert terminals.day == day
    assert ends(24 * HOUR + 200, 3)
    assert terminals.day == day + 1
    device.recorder.close()


def test_volume_adds_up_to_the_octet_and_stops_at_its_most(tmp_path, any_interpreter, remotes):
    """No connection is too small to count; the KiB counter saturates and doesn't wrap."""
    ask = remotes(any_interpreter.name)
    ask("terminals_open", str(tmp_path / "terminals"), 64, BOOT)
    ask("terminals_day", TODAY, 0, DAY * SECOND)
    small = [[MACS[0], 0, 0, 0, services.WEB, 700]] * 100
    ask("terminals_see", [[MACS[0], 0, 0, 0, services.WEB, (10 << 20) - 70000]])
    answer = ask("terminals_see", small[1:])
    assert answer["cells"]["volume"] == [1, 0, 0, 0, 0]
    assert ask("terminals_see", [small[0]])["cells"]["volume"] == [0, 1, 0, 0, 0]
    for _ in range(3):
        assert ask("terminals_see", [[MACS[0], 0, 0, 0, services.WEB, 3 << 40]])["cells"]["volume"] == [0, 0, 0, 0, 1]
    ask("terminals_close")
    (at,) = [
        at for at in range(HEADER, HEADER + 64 * ROW, ROW) if any((tmp_path / "terminals").read_bytes()[at : at + 8])
    ]
    assert (tmp_path / "terminals").read_bytes()[at + 20 : at + 24] == b"\xff\xff\xff\x3f"


LARGE = """
import gc, json, sys
from agent.runtime.sodium import Sodium
from agent.summary.terminals import HEADER, Terminals
table = Terminals(sys.argv[1], 1, "a1" * 16, Sodium())
table.open_day(1, 0, 1, (0,) * 5)
table.see(b"abcdef", 3, 14, 15, 1, 0)
said, before, heap, octets = [], 0, 0, 0  # globals that come later may make their dictionary grow
edges = ((1 << 30) - 1025, (1 << 30) - 1024, (1 << 30) - 1, 1 << 30, (1 << 31) + 1023)
for octets in (700,) + edges + (0x123456789A, (1 << 40) - 1, 1 << 40):
    gc.collect()
    gc.disable()
    before = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
    table.see(b"abcdef", 3, 14, 15, 1, octets)
    heap = gc.mem_alloc() - before if before else 0
    gc.enable()
    said.append([heap, (table._words[(HEADER >> 2) + 5] << 10) + table._words[(HEADER >> 2) + 7]])
print(json.dumps(said))
"""


def test_a_large_connection_counts_to_the_octet_and_takes_less_than_64_octets_of_heap(tmp_path, any_interpreter):
    """Above 2^30 a sum takes heap on a 32-bit processor; from a TiB on a row counts no further."""
    sizes = [700, 2**30 - 1025, 2**30 - 1024, 2**30 - 1, 2**30, 2**31 + 1023, 0x123456789A, 2**40 - 1, 2**40]
    said = json.loads(any_interpreter.run("-c", LARGE, tmp_path / "table").stdout)
    assert max(heap for heap, _ in said) < 64, said
    sums = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    assert [octets for _, octets in said[:7]] == sums[:7]
    assert all(octets >> 10 == 2**30 - 1 for _, octets in said[7:])


@pytest.mark.needs("micropython", "mips")
def test_which_two_classes_count_is_drawn_by_key_and_not_by_order(tmp_path, remotes):
    """ANON-2: the same on every interpreter, whatever order they came in; each class as often as any other."""
    used = [services.OTHER, services.MAIL, services.VPN, services.TIME, services.PUSH]
    chance, answers = random.Random(5), []
    for name in ("cpython", "micropython", "mips"):
        ask = remotes(name)
        ask("terminals_open", str(tmp_path / name), 512, BOOT)
        ask("terminals_day", TODAY, 0, DAY * SECOND, "5a" * 16)
        for first in range(0, 300, 100):
            rows = [[f"{number:012x}", 0, 0, 0, service, 1] for number in range(first, first + 100) for service in used]
            chance.shuffle(rows)
            answer = ask("terminals_see", rows)
        ask("terminals_close")
        answers.append(answer["cells"]["classes"])
    assert answers[0] == answers[1] == answers[2]
    assert sum(answers[0]) == 600
    counts = [count for count in answers[0] if count]
    assert len(counts) == len(used)
    assert sum((count - 120) ** 2 / 120 for count in counts) < chi_square_limit(4, 4)


def test_epsilons_that_change_within_a_day_need_a_start_of_their_own(tmp_path, interpreter, remotes):
    """ANON-5: what was counted under other epsilons is erased, and the new ones are spent for, up to the ceiling."""
    gateway = Gateway(remotes, interpreter.name, tmp_path)
    gateway.trust()
    gateway.come(*range(10))
    gateway.close()
    spent = []
    for volume in (200, 100, 200, 100):
        options = f"config metric 'volume'\n option epsilon '{volume}'\n"
        gateway = Gateway(remotes, interpreter.name, tmp_path, second=gateway.second + 60, options=options)
        gateway.trust()
        spent.append(gateway.steps()["status"]["summary"]["spent"])
        gateway.close()
    assert spent == [1000, 2000, 2000, 2000]
    assert quarters(tmp_path) == []


def test_a_metric_that_is_off_is_not_published_and_the_others_have_its_epsilon(tmp_path, interpreter, remotes):
    """Each metric's b is its share of all of epsilon, a fifth less noise here.

    No message, no draw for one that is off.
    """
    octets = random.Random(9).randbytes(4000).hex()
    gateway = Gateway(
        remotes, interpreter.name, tmp_path, octets=octets, options="config metric 'presence'\n option enabled '0'\n"
    )
    gateway.trust()
    gateway.at(OPENS + DAY + 5)
    gateway.close()
    sampler = Sampler(Tape(octets))
    for _ in range(24):
        sampler.laplace((16, 5))
    daily = {message["schema"]: message["values"] for message in map(json.loads, gateway.spooled().values())}
    assert len(gateway.spooled()) == 27
    assert "oubli/presence/1" not in daily
    for name, b, cells in (("volume", (4, 1), 5), ("active", (32, 3), 6), ("classes", (8, 1), 9)):
        assert daily[f"oubli/{name}/1"] == [sampler.laplace(b) for _ in range(cells)]


# What a person reads


def said(interpreter, root: Path, *words: str, env: dict[str, str] | None = None) -> str:
    config = root / "config"
    return interpreter.run(
        "-m", "agent", *words, "--root", root, "--config", config, env={"LC_ALL": "C.UTF-8"} | (env or {})
    ).stdout.decode()


@pytest.mark.needs("micropython")
def test_summary_shows_what_was_published_and_no_more_than_there_is_to_know(tmp_path, cpython, micropython, remotes):
    """ANON-3: < ceil(2b) below that value, ± the half-width; `--json` has the noisy integers.

    Both interpreters say the same.
    """
    gateway = Gateway(remotes, "cpython", tmp_path)
    assert said(cpython, tmp_path, "summary") == said(micropython, tmp_path, "summary") == "nothing was published yet\n"
    gateway.trust()
    gateway.come(*range(100))
    gateway.at(OPENS + DAY + 5)
    status = gateway.steps()["status"]["summary"]["published"]
    gateway.close()
    sent = [json.loads(text) for text in gateway.spooled().values()]
    outputs = [
        (said(one, tmp_path, "summary"), said(one, tmp_path, "summary", "--json")) for one in (cpython, micropython)
    ]
    assert outputs[0] == outputs[1]
    text, data = outputs[0][0], json.loads(outputs[0][1])
    assert {(one["metric"], one["slot"]): one["values"] for one in data} == {
        (one["schema"].split("/")[1], one["slot"]): one["values"] for one in sent
    }
    assert [one["metric"] for one in status] == list(metrics.PROFILES["medium"])
    assert [one for one in data if one["metric"] != "arrivals" or one["slot"] == 23] == sorted(status, key=data.index)
    assert text.splitlines()[0] == f"{date(TODAY)}, as published"
    figures = {"arrivals": (12, 8), "presence": (15, 10), "volume": (15, 10), "active": (40, 27), "classes": (30, 20)}
    blocks = {block.split(",")[0]: block.splitlines() for block in re.split(r"\n(?=[a-z])", text)[1:]}
    assert list(blocks) == list(figures)
    for one in data:
        half, below = figures[one["metric"]]
        assert (one["half_width"], one["below"]) == (half, below)
        assert blocks[one["metric"]][0].endswith(f", each ± {half} with 95 %")
        for cell, value in enumerate(one["values"]):
            line = blocks[one["metric"]][1 + one["slot"] + cell]
            assert line.endswith(f"  {value}" if value >= below else f"  < {below}")
    assert "< 8" in text
    assert said(cpython, tmp_path, "summary", "--day", "2020-01-01") == "nothing was published on 2020-01-01\n"
    assert said(micropython, tmp_path, "summary", "--day", date(TODAY)) == text


def test_what_was_published_is_kept_for_eight_days_in_a_file_that_does_not_grow(tmp_path, interpreter):
    """Days of the broker's absence included; a part that a cut of power left is not shown."""
    folder = tmp_path / "srv/oubli"
    folder.mkdir(parents=True)
    published = Published(str(folder / "published"))
    sampler = Sampler(random.Random(2).randbytes)
    for day in range(TODAY, TODAY + 12):
        for metric in metrics.METRICS[:5]:
            for slot in range(metric.slots):
                values = [sampler.laplace((4, 1)) for _ in metric.cells]
                published.put(
                    day, metric.place + slot, messages.summary(GATEWAY, metric, day, slot, 1, 2, values, (4, 1))
                )
    path = folder / "published"
    assert path.stat().st_size == 8 * metrics.MESSAGES * messages.SUMMARY_OCTETS < 72000
    assert {figure.day for figure in published.each()} == {date(day) for day in range(TODAY + 4, TODAY + 12)}
    data = bytearray(path.read_bytes())
    place = (TODAY + 11) % 8 * metrics.MESSAGES * messages.SUMMARY_OCTETS
    data[place + 20 : place + 320] = bytes(300)
    path.write_bytes(data)
    shown = json.loads(said(interpreter, tmp_path, "summary", "--json"))
    assert {one["day"] for one in shown} == {date(TODAY + 11)}
    assert len(shown) == metrics.MESSAGES - 1


@pytest.mark.needs("micropython")
@pytest.mark.parametrize("language", ["C.UTF-8", "fr_FR.UTF-8"])
@pytest.mark.parametrize("name", [metric.name for metric in metrics.METRICS])
def test_explain_says_in_five_lines_what_a_figure_means_and_how_sure_it_is(
    tmp_path, cpython, micropython, name, language
):
    """With the epsilon that is set here; in French where LANG is."""
    epsilon = {"arrivals": 125}.get(name)
    option = f"config metric '{name}'\n option epsilon '{epsilon}'\n" if epsilon else ""
    profile = next(profile for profile in ("medium", "tiny", "large", "small") if name in metrics.PROFILES[profile])
    option += f"config summary\n option profile '{profile}'\n"
    (tmp_path / "config").write_text(f"config gateway\n option id '{GATEWAY}'\n{option}")
    texts = {said(one, tmp_path, "explain", name, env={"LC_ALL": language}) for one in (cpython, micropython)}
    (text,) = texts
    lines = text.splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) < 130
    french = language.startswith("fr")
    assert lines[0].startswith(name + (" : " if french else ": "))
    metric = next(metric for metric in metrics.METRICS if metric.name == name)
    b = metrics.scales(metrics.PROFILES[profile], 1000, {name: epsilon} if epsilon else {})[name]
    assert f"± {metrics.half_width(b)} " in lines[3]
    assert f"< {metrics.display_threshold(b)}" in lines[3]
    assert ("Un terminal ajoute" if french else "One terminal adds") in lines[1]
    number = f"{math.ceil(Fraction(1000 * metric.l1) / Fraction(*b)) / 1000:.3f}"
    assert ("e^" + (number.replace(".", ",") if french else number)) in lines[2]


@pytest.mark.parametrize("name", [metric.name for metric in metrics.METRICS])
def test_explain_says_how_sure_a_figure_is_where_it_is_published(tmp_path, interpreter, name):
    """Of the default profile, else of one that has it: without a configuration, and with one of another profile."""
    profile = next(profile for profile in ("medium", "tiny", "large", "small") if name in metrics.PROFILES[profile])
    b = metrics.scales(metrics.PROFILES[profile], 1000, {})[name]
    expected = f"± {metrics.half_width(b)} of", f'< {metrics.display_threshold(b)}"'
    lines = interpreter.run("-m", "agent", "explain", name, "--root", tmp_path).stdout.decode().splitlines()
    assert len(lines) == 5
    assert all(word in lines[3] for word in expected), lines[3]
    elsewhere = next((one for one in metrics.PROFILES if name not in metrics.PROFILES[one]), None)
    if elsewhere:
        option = f"config summary\n option profile '{elsewhere}'\n"
        (tmp_path / "config").write_text(f"config gateway\n option id '{GATEWAY}'\n{option}")
        lines = said(interpreter, tmp_path, "explain", name).splitlines()
        assert all(word in lines[3] for word in expected), lines[3]
        assert lines[5] == "Here there are only " + ", ".join(sorted(metrics.PROFILES[elsewhere])) + "."


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        (["explain"], "accepted: arrivals, presence, volume, active, classes, dayparts, tenminutes, stays, traffic"),
        (["explain", "visits"], "accepted: arrivals, presence"),
        (["explain", "volume", "volume"], "accepted: explain METRIC"),
        (["summary", "--day"], "a value is missing"),
        (["summary", "--day", "yesterday"], "accepted: a date such as"),
        (["summary", "volume"], "accepted: summary [--day D]"),
        (["status", "--day", "2026-11-25"], "accepted: summary --day D"),
    ],
)
@pytest.mark.long
def test_bad_words_are_refused_in_one_line(words, accepted, interpreter):
    done = interpreter.run("-m", "agent", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert accepted in done.stderr.decode()
