# SPDX-License-Identifier: Apache-2.0
"""How far noise may be off (ANON-2, ANON-3).

Bounds that hold but for a chance, and a published figure beside what it may be.
"""

import math
from dataclasses import dataclass

CHANCE = 1e-5  # that a correct agent fails one of the checks of the noise
CERTAIN = 1e-10  # the same, of one figure, so that a run may stop at the first that is far off


@dataclass(frozen=True)
class Slot:
    """One published sum beside both truths. `start` in ns since the epoch."""

    start: int
    value: int
    half_width: int
    defined: int
    real: int

    @property
    def inside(self) -> bool:
        """Whether the defined truth lies in the published band."""
        return abs(self.value - self.defined) <= self.half_width


@dataclass(frozen=True)
class Figures:
    """A published message of one agent-day beside the defined truth of each cell, (least, most).

    `day` is its start, ns.
    """

    metric: str
    day: int
    values: list[int]
    half_width: int
    truth: list[tuple[int, int]]

    def errors(self) -> list[int]:
        """Return how far each value is from what it may be, 0 where the noise could be any."""
        return [
            value - most if value > most else value - least if value < least else 0
            for value, (least, most) in zip(self.values, self.truth, strict=True)
        ]


def noise_bound(count: int, numerator: int, denominator: int, chance: float = CHANCE) -> int:
    """Return the least n for which `count` draws of a discrete Laplace with scale b all stay within n but for `chance`.

    P(|X| > n) = 2 p^(n+1) / (1 + p) with p = exp(-1/b) (Inusah and Kozubowski
    2006); the union bound over `count` draws.
    """
    p = math.exp(-denominator / numerator)
    return max(0, math.ceil(math.log(chance * (1 + p) / (2 * max(count, 1))) / math.log(p)) - 1)


def spread_chance(total: int, count: int, numerator: int, denominator: int) -> float:
    """Return a bound on the chance that `count` draws' |X| add up to `total` or to something further from the mean.

    By Chernoff P(S >= s) <= E[exp(t |X|)]^count exp(-t s) for each t > 0. The same bounds P(S <= s) for each t < 0. It
    is the best of a row of t.
    """
    p = math.exp(-denominator / numerator)
    zero = (1 - p) / (1 + p)

    def log_bound(t: float) -> float:
        moment = zero + (1 - zero) * (1 - p) * math.exp(t) / (1 - p * math.exp(t))
        return count * math.log(moment) - t * total

    mean = count * 2 * p / (1 - p * p)
    largest = -math.log(p)
    row = (
        (place / 100 * largest for place in range(1, 100))
        if total >= mean
        else (-place / 20 for place in range(1, 200))
    )
    return math.exp(min(0, *map(log_bound, row)))
