# SPDX-License-Identifier: Apache-2.0
"""Sums and means of published values, with bands that hold with 95 %: over gateways, days, hours of the week.

A published value is the truth plus discrete Laplace noise of a known scale, so the error of any weighted sum of values has a
distribution that can be computed: the convolution of its terms, done here on integers in double precision (the weights of a mean are
equal, so it is a sum that is divided afterwards). Beyond `EXACT` terms the sum is as good as normal. Inputs
are the unsuppressed integers of the messages (ANON-3).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from numpy import concatenate
from numpy.fft import irfft, rfft

LEVEL = 0.95
EXACT = 64  # terms that are convolved
_NORMAL = 1.959963984540054  # P(|Z| <= this) = 0.95
_TAIL = 1e-12  # mass left out at the ends of a distribution


@dataclass(frozen=True)
class Estimate:
    """A value and the half-width of its 95 % band: the truth lies in value ± half_width."""

    value: float
    half_width: float

    def scaled(self, divisor: int) -> "Estimate":
        """Return it divided, as a mean is."""
        return Estimate(self.value / divisor, self.half_width / divisor)


def noise(b: Fraction) -> list[float]:
    """Return P(X = 0), P(X = ±1), ... of the discrete Laplace of scale b, up to where nothing is left."""
    p = math.exp(-1 / b)
    zero = (1 - p) / (1 + p)
    return [zero * p**x for x in range(1 + math.ceil(math.log(_TAIL) / math.log(p)))]


def variance(b: Fraction) -> float:
    """Return the variance 2p / (1 - p)^2 of the noise, p = exp(-1/b) (Inusah, Kozubowski 2006)."""
    p = math.exp(-1 / b)
    return 2 * p / (1 - p) ** 2


def half_width(scales: Mapping[Fraction, int]) -> float:
    """Return the least half-width that holds the summed noise of so many terms of each scale with at least 95 %."""
    if sum(scales.values()) > EXACT:
        return _NORMAL * math.sqrt(sum(count * variance(b) for b, count in scales.items()))
    return _exact(tuple(sorted(scales.items())))


@lru_cache(maxsize=4096)
def _exact(scales: tuple[tuple[Fraction, int], ...]) -> float:
    """Return the half-width by convolution."""
    summed = [1.0]  # symmetric: from 0 up
    for b, count in scales:
        summed = _convolve(summed, _power(noise(b), count))
    total, width = summed[0], 0
    while total < LEVEL and width + 1 < len(summed):
        width += 1
        total += 2 * summed[width]
    return width


def _power(one: list[float], count: int) -> list[float]:
    """Return the distribution of a sum of `count` such terms, by squaring."""
    result, square = [1.0], one
    while count:
        if count & 1:
            result = _convolve(result, square)
        count >>= 1
        if count:
            square = _convolve(square, square)
    return result


def _convolve(one: list[float], other: list[float]) -> list[float]:
    """Return the distribution of the sum of two symmetric integer variables, each given from 0 up."""
    left, right = concatenate((one[:0:-1], one)), concatenate((other[:0:-1], other))
    size = len(left) + len(right) - 1
    whole = irfft(rfft(left, size) * rfft(right, size), size)  # exact to 1e-16 of the whole, and fast where b is large
    half = whole[len(one) + len(other) - 2 :].tolist()
    while len(half) > 1 and half[-1] < _TAIL:
        half.pop()
    return half


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
    """Return how many terminals came on each agent-day, over all gateways: `presence` counts each of them in one of its cells."""
    days: dict[str, list[tuple[int, Fraction]]] = {}
    for message in messages:
        if message["schema"] == "oubli/presence/1":
            days.setdefault(message["day"], []).extend(_pairs(message))
    return {day: total(pairs) for day, pairs in sorted(days.items())}


def week_profile(messages: Iterable[Mapping[str, Any]], utc_offset: int = 0) -> list[Estimate | None]:
    """Return the mean arrivals of a gateway in each of the 168 hours of the week, Monday 00:00 local time first; None: no message.

    `utc_offset` in hours. An hour in which a gateway began to count stands for a part of itself and is as if it were whole.
    """
    hours: list[list[tuple[int, Fraction]]] = [[] for _ in range(168)]
    for message in messages:
        if message["schema"] == "oubli/arrivals/1":
            hour = message["end"] // 3600 - 1 + utc_offset
            hours[(hour + 72) % 168].extend(_pairs(message))  # the epoch began on a Thursday
    return [mean(pairs) if pairs else None for pairs in hours]
