# SPDX-License-Identifier: Apache-2.0
"""Sums and means of published values, with bands that hold with 95 %: over gateways, days, hours of the week.

A published value is the truth plus discrete Laplace noise of a known scale. So the error of any weighted sum of values
has a distribution that can be computed: its characteristic function is the product of its terms', turned back on a
lattice that is fine enough for every weight. Where that lattice would be too large, the sum is blurred by a little
normal noise first. The band is wider by more than that. However many terms there are, nothing is taken for normal, and
what is rounded is rounded up. Inputs are the unsuppressed integers of the messages (ANON-3).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from agent.summary.metrics import METRICS

LEVEL = 0.95
_ROUNDING = 1e-9  # what the arithmetic may be off by: a band holds so much more
_LARGEST = 1 << 17  # points of a lattice
_BLUR, _BLURRED = 200, 6.5  # a band may be a 200th of a standard deviation wider: 6.5 of the blur's own, beyond which
# lies less than the rounding
_WHOLE = Fraction(1)
# Metrics in which each terminal of a day counts once, by the question that they
# answer; no gateway tells two answers to one.
QUESTIONS = {
    like: tuple(metric for metric in METRICS if metric.like == like) for like in ("presence", "volume", "arrivals")
}
TELLING = {metric.name: metric.slots for metrics in QUESTIONS.values() for metric in metrics}  # messages a day of each
HOURLY = tuple(metric.name for metric in QUESTIONS["arrivals"] if metric.slots == 24)


@dataclass(frozen=True)
class Estimate:
    """A value and the half-width of its 95 % band: the truth lies in value ± half_width."""

    value: float
    half_width: float

    def scaled(self, divisor: int) -> "Estimate":
        """Return it divided, as a mean is."""
        return Estimate(self.value / divisor, self.half_width / divisor)


def variance(b: Fraction) -> float:
    """Return the variance 2p / (1 - p)^2 of the noise, p = exp(-1/b) (Inusah, Kozubowski 2006)."""
    p = math.exp(-1 / b)
    return 2 * p / (1 - p) ** 2


def half_width(scales: Mapping[Fraction, int]) -> float:
    """Return the least half-width that holds the summed noise of so many terms of each scale with at least 95 %."""
    return half_width_of({(b, _WHOLE): count for b, count in scales.items()})


def half_width_of(terms: Mapping[tuple[Fraction, Fraction], int]) -> float:
    """Return the half-width of a weighted sum: (scale, weight above 0) -> how many such terms."""
    return _width(tuple(sorted((b, weight, count) for (b, weight), count in terms.items() if count)))


@lru_cache(maxsize=4096)
def _width(terms: tuple[tuple[Fraction, Fraction, int], ...]) -> float:
    if not terms:
        return 0.0
    deviation = math.sqrt(sum(count * variance(b) * weight**2 for b, weight, count in terms))
    # Beyond it lies less than the rounding
    reach = 12 * deviation + 40 * float(max(b * weight for b, weight, _ in terms)) + 2
    lattice = math.lcm(*(weight.denominator for _, weight, _ in terms))
    if 4 * reach * lattice > _LARGEST:
        return math.floor(_blurred(terms, deviation, reach) * lattice + _ROUNDING) / lattice
    size = 1 << math.ceil(math.log2(4 * reach * lattice))
    mass = np.fft.irfft(_characteristic(terms, np.arange(size // 2 + 1) * (2 * math.pi * lattice / size)), size)
    held = mass[0] + 2 * np.concatenate(([0.0], np.cumsum(mass[1 : size // 2])))
    return int(np.argmax(held >= LEVEL + _ROUNDING)) / lattice


def _characteristic(terms: tuple[tuple[Fraction, Fraction, int], ...], at: "np.ndarray[Any, Any]") -> Any:  # noqa: ANN401
    """Return the characteristic function of a weighted sum at some places."""
    logarithm = np.zeros(len(at))
    for b, weight, count in terms:
        p = math.exp(-1 / b)
        logarithm -= count * np.log1p(4 * p / (1 - p) ** 2 * np.sin(float(weight) / 2 * at) ** 2)
    return np.exp(logarithm)


def _blurred(terms: tuple[tuple[Fraction, Fraction, int], ...], deviation: float, reach: float) -> float:
    """Return a half-width that holds with normal noise added, and as much more as that noise may have taken away."""
    wider = deviation / _BLUR
    blur, step = wider / _BLURRED, math.pi / reach  # what lies outside comes in again, less than the rounding
    places = np.arange(1, math.ceil(8 / blur / step)) * step
    found = _characteristic(terms, places) * np.exp(-((blur * places) ** 2) / 2)
    there = found > _ROUNDING**2
    places, found = places[there], 2 * found[there] / places[there]
    low, high = 0.0, reach
    while high - low > wider / 100:
        middle = (low + high) / 2
        held = step / math.pi * (middle + float(found @ np.sin(middle * places)))
        low, high = (low, middle) if held >= LEVEL + 2 * _ROUNDING else (middle, high)
    return high + wider


Sum = tuple[int, Mapping[Fraction, int]]  # published values added up, and how many there were of each scale


def tenths(sums: Sequence[Sum]) -> list[int]:
    """Return how much each of several published sums of one number should count, in tenths that make one.

    By the inverse of its noise's variance, which gives the narrowest band of all
    weighted means; all of them are unbiased.
    """
    inverse = [1 / sum(count * variance(b) for b, count in scales.items()) for _, scales in sums]
    exact = [10 * one / sum(inverse) for one in inverse]
    found = [math.floor(one) for one in exact]
    for index in sorted(range(len(exact)), key=lambda index: found[index] - exact[index])[: 10 - sum(found)]:
        found[index] += 1
    return found


def weights(sums: Sequence[Sum]) -> list[Fraction]:
    """Return the same as parts of one."""
    return [Fraction(one, 10) for one in tenths(sums)]


def combined(sums: Sequence[Sum]) -> Estimate:
    """Return the best estimate of one number that was published in several ways; the noise of each is its own."""
    terms: Counter[tuple[Fraction, Fraction]] = Counter()
    value = Fraction(0)
    for weight, (published, scales) in zip(weights(sums), sums, strict=True):
        value += weight * published
        if weight:
            terms.update({(b, weight): count for b, count in scales.items()})
    return Estimate(float(value), half_width_of(terms))


def total(values: Iterable[tuple[int, Fraction]]) -> Estimate:
    """Return the sum of published values, each with its b."""
    pairs = list(values)
    return Estimate(sum(value for value, _ in pairs), half_width(Counter(b for _, b in pairs)))


def mean(values: Iterable[tuple[int, Fraction]]) -> Estimate:
    """Return the mean of published values, each with its b; ValueError where there are none."""
    pairs = list(values)
    if not pairs:
        raise ValueError("a mean of nothing")
    return total(pairs).scaled(len(pairs))


def _pairs(message: Mapping[str, Any]) -> list[tuple[int, Fraction]]:
    return [(value, Fraction(*message["b"])) for value in message["values"]]


def terminals_a_day(messages: Iterable[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Return how many terminals came on each agent-day, over all gateways.

    `presence` counts each of them in one of its cells, `volume` too, and `arrivals` in one of its slots. What all
    gateways of a day told of is combined. What some of them didn't tell of is left out, beside `presence`, without
    which there is no figure.
    """
    days: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for message in messages:
        _, metric, _ = message["schema"].split("/")
        if metric in TELLING:
            days.setdefault(message["day"], {}).setdefault(metric, []).append(message)
    found = {}
    for day, told in sorted(days.items()):
        whole = answered({metric: Counter(message["slot"] for message in each) for metric, each in told.items()})
        pairs = [
            [pair for metric in metrics for message in told.get(metric, ()) for pair in _pairs(message)]
            for metrics in whole
        ]
        if pairs:
            found[day] = combined([(sum(value for value, _ in one), Counter(b for _, b in one)) for one in pairs])
    return found


def answered(slots: Mapping[str, Counter[int]]) -> list[tuple[str, ...]]:
    """Return each question's metrics that all gateways of a day answered in each slot (`presence`: how many).

    `slots`: metric -> messages of each slot. [] where nobody told of a whole day.
    """
    counts = []
    for metrics in QUESTIONS.values():
        told = [slots.get(metric.name, Counter()) for metric in metrics]
        whole = [
            not any(one.values()) or list(one.values()) == [one[0]] * metric.slots
            for one, metric in zip(told, metrics, strict=True)
        ]
        counts.append(sum(one[0] for one in told) if all(whole) else -1)
    names = [tuple(metric.name for metric in metrics) for metrics in QUESTIONS.values()]
    return [each for each, count in zip(names, counts, strict=True) if count == counts[0] > 0]


def week_profile(messages: Iterable[Mapping[str, Any]], utc_offset: int = 0) -> list[Estimate | None]:
    """Return a gateway's mean arrivals in each of the week's 168 hours, Monday 00:00 local first; None: no message.

    `utc_offset` in hours. An hour in which a gateway began to count stands for a
    part of itself and is as if it were whole.
    """
    hours: list[list[tuple[int, Fraction]]] = [[] for _ in range(168)]
    told = [0] * 168
    for message in messages:
        if message["schema"] in {f"oubli/{name}/1" for name in HOURLY}:
            hour = (message["end"] // 3600 - 1 + utc_offset + 72) % 168  # the epoch began on a Thursday
            hours[hour].extend(_pairs(message))
            told[hour] += 1
    return [total(pairs).scaled(count) if count else None for pairs, count in zip(hours, told, strict=True)]
