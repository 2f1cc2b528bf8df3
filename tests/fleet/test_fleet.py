# SPDX-License-Identifier: Apache-2.0
"""What an operator reads messages with: their schemas here; the estimates are at the end of this file."""

import json
import math
import random
from datetime import UTC, datetime
from fractions import Fraction

import jsonschema
import numpy as np
import pytest

from agent import law
from agent.forwarder.broker_connection import LOST, STOPPED
from agent.summary import messages, metrics
from agent.summary.noise import Sampler
from host_sim.privacy.paired import Device, crowd
from host_sim.venue import scenario as scenarios
from host_sim.venue.people import HOUR, MINUTE
from tools.fleet import estimate
from tools.fleet.schemas import KINDS, VERSIONS, schema

ONLINE = b'{"state":"online","boot":"' + b"a1" * 16 + b'","version":"0.1.0","config":"' + b"0f" * 8 + b'"}'


def valid(kind: str, text: bytes) -> bool:
    """Return True if a message has its kind's schema."""
    validator = jsonschema.Draft202012Validator(schema(kind))
    return validator.is_valid(json.loads(text))


def test_every_kind_has_a_schema_that_is_one():
    """One file a kind; the cells of a metric are named there in the order of its values."""
    assert set(KINDS) == {"health", "state", *(metric.name for metric in metrics.METRICS)}
    for kind in KINDS:
        read = schema(kind)
        jsonschema.Draft202012Validator.check_schema(read)
        assert read["$id"] == f"oubli/{kind}/{VERSIONS[kind][-1]}"
    for metric in metrics.METRICS:
        read = schema(metric.name)["properties"]
        assert [cell["title"] for cell in read["values"]["prefixItems"]] == list(metric.cells)
        assert read["unit"]["const"] == metric.unit
        assert read["slot"]["maximum"] == metric.slots - 1


def test_everything_that_leaves_has_its_kinds_schema_and_length(memory):
    """A day of a recorder, empty or not, with a boot: each message, each health, each state."""
    for number in (0, 100):
        device = Device(memory / "device", None)
        seen = device.play(crowd(1, number), boots=[9 * 3600])
        assert len(seen.spool) > 20
        for name, text in seen.spool.items():
            assert len(text) == messages.SUMMARY_OCTETS
            kind = name.split("-")[1]
            assert valid(kind, text), text
            assert list(json.loads(text)) == list(schema(kind)["properties"])
        assert len(seen.health) > 20
        for text in seen.health:
            assert len(text) == messages.HEALTH_OCTETS
            assert valid("health", text), text
    assert all(valid("state", text) for text in (LOST, STOPPED, ONLINE))


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_refuses_what_is_not_its_kind(kind):
    """A key more, a key less, another's message, a fraction, a figure too many."""
    metric = next((metric for metric in metrics.METRICS if metric.name == kind), metrics.METRICS[0])
    whole = messages.summary("a" * 16, metric, 20000, 0, 1, 2, [-3] * len(metric.cells), (40, 3))
    text = {"state": ONLINE, "health": HEALTH}.get(kind, whole)
    good = json.loads(text)
    assert valid(kind, text)
    broken = [good | {"terminals": 3}, *({key: good[key] for key in good if key != left_out} for left_out in good)]
    broken += [
        json.loads(other) for name, other in (("state", ONLINE), ("health", HEALTH), ("", whole)) if other != text
    ]
    if "values" in good:
        more = [*good["values"], 1]
        broken += [
            good | {"values": more},
            good | {"values": more[:-2]},
            good | {"values": [0.5] * len(metric.cells)},
            good | {"b": [4]},
        ]
    for one in broken:
        assert not valid(kind, json.dumps(one).encode()), one


# Estimates


@pytest.mark.parametrize("b", [(4, 1), (40, 3)], ids=str)
@pytest.mark.parametrize("terms", [1, 2, 5, 24])
def test_a_sums_band_is_the_least_that_holds(b, terms):
    """Against the sum's distribution worked out in another way.

    Its characteristic function, inverted on whole numbers.
    """
    width = int(estimate.half_width({Fraction(*b): terms}))
    assert held_by(b, terms, width - 1) < 0.95 <= held_by(b, terms, width)


def held_by(b: tuple[int, int], terms: int, width: int) -> float:
    """Return the chance that a sum's noise lies within a width: by convolution, term by term."""
    return held(summed({Fraction(*b): terms}), width)


def summed(scales: dict[Fraction, int]) -> np.ndarray:
    """Return the distribution of a sum of noise, middle in the middle."""
    whole = np.ones(1)
    for b, count in scales.items():
        p = math.exp(-1 / b)
        one = (1 - p) / (1 + p) * p ** np.abs(np.arange(-int(30 * b) - 1, int(30 * b) + 2))
        power, square, left = np.ones(1), one, count
        while left:
            power = convolved(power, square) if left & 1 else power
            square, left = convolved(square, square) if left > 1 else square, left >> 1
        whole = convolved(whole, power)
    return whole


def convolved(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    size = len(one) + len(other) - 1
    return np.fft.irfft(np.fft.rfft(one, size) * np.fft.rfft(other, size), size)


def held(mass: np.ndarray, width: int) -> float:
    middle = len(mass) // 2
    return float(mass[middle - width : middle + width + 1].sum())


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
def test_the_bands_of_fleets_and_weeks_hold_93_to_97_percent_computed_to_the_end(metric):
    """A day, a week, four weeks of one venue and of 500, as sums of one cell; a sum over a whole message's cells."""
    b = metrics.scale(metric.l1, metric.epsilon)
    for terms in (1, 7, 28, len(metric.cells), 65, 250):
        assert 0.93 < held_by(b, terms, int(estimate.half_width({Fraction(*b): terms}))) < 0.97


@pytest.mark.parametrize(
    "scales",
    [{Fraction(4): 64, Fraction(400): 1}, {Fraction(4): 150, Fraction(40, 3): 3}, {Fraction(200): 2, Fraction(1): 300}],
)
def test_a_band_of_many_terms_of_which_one_scale_dominates_is_the_least_that_holds(scales):
    """Beyond 64 terms the sum was taken for normal: 93.7 % where one gateway's noise is a hundred times the others'."""
    width, mass = int(estimate.half_width(scales)), summed(scales)
    assert held(mass, width - 1) < 0.95 <= held(mass, width)
    normal = 1.96 * math.sqrt(sum(count * estimate.variance(b) for b, count in scales.items()))
    assert held(mass, int(normal)) < 0.95 or normal > width


def test_a_band_of_means_over_different_numbers_of_days_holds():
    """On the lattice of all their weights."""
    chance = np.random.default_rng(5)
    terms = {(Fraction(4), Fraction(1, 7)): 35, (Fraction(4), Fraction(2, 5)): 10, (Fraction(40, 3), Fraction(1, 3)): 5}
    width = estimate.half_width_of(terms)
    total = np.zeros(200_000)
    for (b, weight), count in terms.items():
        p = math.exp(-1 / b)
        for _ in range(count):
            total += (chance.geometric(1 - p, len(total)) - chance.geometric(1 - p, len(total))) * float(weight)
    assert 0.948 < float((abs(total) <= width + 1e-9).mean()) < 0.953


def test_a_band_of_a_hundred_thousand_gateways_is_made_in_moments_and_rounded_up():
    """700,000 terms, and means over 1 to 7 days of them.

    Never below the normal's half-width, which such sums come to.
    """
    b = Fraction(4)
    for terms in ({(b, Fraction(1)): 700_000}, {(b, Fraction(1, parts)): 100_000 for parts in range(1, 8)}):
        normal = 1.959963984540054 * math.sqrt(
            sum(count * estimate.variance(b) * weight**2 for (_, weight), count in terms.items())
        )
        assert normal * 0.9999 < estimate.half_width_of(terms) < normal * 1.03 + 1


def test_a_day_of_three_metrics_has_two_thirds_of_the_best_ones_band():
    """At the default epsilons: presence and volume count two fifths each, arrivals a fifth.

    The mean is unbiased, whatever the weights.
    """
    sums = []
    for name, value in (("presence", 100), ("volume", 90), ("arrivals", 110)):
        metric = next(one for one in metrics.METRICS if one.name == name)
        sums.append((value, {Fraction(*metrics.scale(metric.l1, metric.epsilon)): len(metric.cells) * metric.slots}))
    assert estimate.weights(sums) == [Fraction(2, 5), Fraction(2, 5), Fraction(1, 5)]
    one, best = estimate.combined(sums), estimate.half_width(sums[0][1])
    assert one.value == 98
    assert (round(one.half_width), best) == (21, 32)
    assert estimate.combined(sums[:1]) == estimate.Estimate(100, best)
    assert sum(estimate.weights([*sums, (3, {Fraction(500): 24})])) == 1


def test_a_metric_that_some_gateways_did_not_tell_is_left_out_of_a_day():
    """A sum of other gateways than `presence` has is another number."""
    sent, _ = published(2, 1, 3)
    whole = estimate.terminals_a_day(sent)
    only = [one for one in sent if one["schema"] == "oubli/presence/1"]
    assert whole != estimate.terminals_a_day(only)
    late = next(index for index, one in enumerate(sent) if one["schema"] == "oubli/arrivals/1")
    assert estimate.terminals_a_day(sent[:late] + sent[late + 1 :]) == estimate.terminals_a_day(only)
    assert estimate.terminals_a_day(one for one in sent if one not in only) == {}


def cafe(days: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return so many café days: arrivals by hour of the agent-day, and terminals by quarter-hours of their stay."""
    chance, people = random.Random(seed), scenarios.load("cafe-day").crowd
    found = []
    for _ in range(days):
        arrivals, presence = [0] * 24, [0] * 5
        for arrives, leaves, *_ in people.day(chance, 0, 23 * HOUR):
            arrivals[(arrives // HOUR - 3) % 24] += 1
            stay = 1 + (leaves - arrives) // (15 * MINUTE)
            presence[sum(stay >= bound for bound in (2, 5, 9, 17))] += 1
        found.append((arrivals, presence))
    return found


def published(gateways: int, days: int, seed: int) -> tuple[list[dict], list[list[tuple[list[int], list[int]]]]]:
    """Return what so many gateways publish of so many days, and the truth of each day and gateway."""
    sampler, sent, truth = Sampler(random.Random(seed).randbytes), [], []
    for day in range(days):
        venues = cafe(gateways, seed * 1000 + day)
        truth.append(venues)
        for arrivals, presence in venues:
            for metric, counts in zip(metrics.METRICS[:2], ([[count] for count in arrivals], [presence]), strict=True):
                b = metrics.scale(metric.l1, metric.epsilon)
                for slot, cells in enumerate(counts):
                    end = (20000 + day) * 86400 + 3 * 3600 + (slot + 1) * metric.slot_seconds
                    values = [cell + sampler.laplace(b) for cell in cells]
                    text = messages.summary(
                        "a" * 16, metric, 20000 + day, slot, end - metric.slot_seconds, end, values, b
                    )
                    sent.append(json.loads(text))
    return sent, truth


@pytest.mark.long
def test_bands_of_days_and_weeks_hold_as_often_as_they_say():
    """Over 1,200 café days at two gateways 93 to 97 % of the truths lie within.

    For terminals a day and the week's hours.
    """
    inside: dict[str, list[bool]] = {"day": [], "hour": []}
    for seed in range(30):
        sent, truth = published(2, 20, seed)
        days = estimate.terminals_a_day(sent)
        for one, venues in zip(days.values(), truth, strict=True):
            came = sum(sum(presence) for _, presence in venues)
            inside["day"].append(abs(one.value - came) <= one.half_width)
        profile = estimate.week_profile(sent)
        true: dict[int, list[int]] = {}
        for day, venues in enumerate(truth):
            for slot in range(24):
                hour = ((20000 + day) * 24 + 3 + slot + 72) % 168
                true.setdefault(hour, []).extend(arrivals[slot] for arrivals, _ in venues)
        assert {hour for hour, one in enumerate(profile) if one} == set(true)
        for hour, counts in true.items():
            of_week = profile[hour]
            assert of_week is not None
            inside["hour"].append(abs(of_week.value - sum(counts) / len(counts)) <= of_week.half_width)
    shares = {name: sum(held) / len(held) for name, held in inside.items()}
    assert 0.93 < shares["day"] < 0.97, shares
    assert 0.93 < shares["hour"] < 0.97, shares


def test_the_hours_of_a_week_are_the_calendars():
    """A message of Monday 2026-11-23 08:00 to 09:00 UTC is the 9th hour of the week, the 10th in Paris in winter."""
    end = int(datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp())
    message = {"schema": "oubli/arrivals/1", "end": end, "values": [7], "b": [4, 1]}
    assert [hour for hour, one in enumerate(estimate.week_profile([message])) if one] == [8]
    assert [hour for hour, one in enumerate(estimate.week_profile([message], 1)) if one] == [9]
    assert estimate.week_profile([message])[8] == estimate.Estimate(7, 12)
    assert estimate.total([]) == estimate.Estimate(0, 0)
    with pytest.raises(ValueError, match="nothing"):
        estimate.mean([])


HEALTH = messages.health(
    "a" * 16,
    1,
    {
        "purposes": [(name, name == "security", False) for name in law.CONFIGURABLE],
        "keys": None,
        "capture": "ok",
        "clock": "floor",
        "day": 1,
        "spent": 0,
        "ceiling": 9,
        "duty": "none",
        "audit": (7, "0f" * 32),
        "tls": False,
        "doctor": None,
    },
)
