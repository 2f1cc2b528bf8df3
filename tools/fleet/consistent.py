# SPDX-License-Identifier: Apache-2.0
"""What is known of a gateway's agent-day from all that it published: one total, and cells that add up to it.

The day's terminals stand in several metrics (`estimate.QUESTIONS`), each with noise of its own. Whatever is computed
from published numbers costs no privacy. All of them must have one total. The best linear unbiased estimate under
that constraint is by Hay, Rastogi, Miklau and Suciu. They wrote "Boosting the accuracy of differentially private
histograms through consistency" (2010; section 4). Where a metric's cells have the same noise it has a closed form: the
total is the mean of the sums by the inverse of their variances. What a sum is off by is shared equally by its cells.

Values so made are unbiased and may be negative: sums are made of them. What a person reads is the nearest point with no
negative cell (`readable`), which isn't unbiased and is never added up.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from tools.fleet.estimate import Estimate, combined, half_width_of, variance, weights


@dataclass(frozen=True)
class Answer:
    """The cells of one metric over a whole counted day, all with noise of the scale `b`."""

    values: tuple[int, ...]
    b: Fraction

    @property
    def sum(self) -> tuple[int, Counter[Fraction]]:
        """Return the published total and the noise in it."""
        return sum(self.values), Counter({self.b: len(self.values)})


Noise = Counter[tuple[Fraction, Fraction]]  # (scale, weight) -> how many such terms


def variance_of(noise: Noise) -> float:
    """Return the variance of a weighted sum of noise."""
    return sum(count * variance(b) * float(weight) ** 2 for (b, weight), count in noise.items())


def total_noise(answers: Sequence[Answer]) -> Noise:
    """Return the noise that the total of these answers has."""
    found: Noise = Counter()
    for answer, share in zip(answers, weights([one.sum for one in answers]), strict=True):
        if share:
            found[answer.b, share] += len(answer.values)
    return found


def cells_noise(answers: Sequence[Answer], number: int, count: int = 1) -> Noise:
    """Return the noise of the sum of `count` cells of one of these answers, once they have a common total."""
    shares, size = weights([one.sum for one in answers]), len(answers[number].values)
    moved = Fraction(count, size)
    found: Noise = Counter()
    found[answers[number].b, 1 - (1 - shares[number]) * moved] += count
    found[answers[number].b, (1 - shares[number]) * moved] += size - count
    for other, (one, share) in enumerate(zip(answers, shares, strict=True)):
        if other != number:
            found[one.b, share * moved] += len(one.values)
    return Counter({(b, weight): terms for (b, weight), terms in found.items() if weight})


def reconciled(answers: Sequence[Answer]) -> tuple[Estimate, list[list[Estimate]]]:
    """Return the day's total and each answer's cells, unbiased, with bands; each answer's sum is the total."""
    sums = [answer.sum for answer in answers]
    value = sum((share * published for share, (published, _) in zip(weights(sums), sums, strict=True)), Fraction(0))
    cells = []
    for number, answer in enumerate(answers):
        moved = (value - sums[number][0]) / len(answer.values)
        width = half_width_of(cells_noise(answers, number))
        cells.append([Estimate(float(one + moved), width) for one in answer.values])
    return combined(sums), cells


Part = tuple[int, Counter[Fraction]]  # published values added up, and the noise in them


def together(questions: Sequence[Sequence[Part]]) -> list[list[tuple[Fraction, Noise]]]:
    """Return the parts of several published sums of one number, moved so that all have one total; with their noise.

    As `reconciled` does, where parts may have different noise: what a sum is off by is shared by their variances.
    """
    sums = [(sum(value for value, _ in parts), _added(scales for _, scales in parts)) for parts in questions]
    shares = weights(sums)
    total = sum((share * value for share, (value, _) in zip(shares, sums, strict=True)), Fraction(0))
    found = []
    for number, parts in enumerate(questions):
        value, scales = sums[number]
        moved_parts, scales_of, share, noise = [], None, Fraction(0), Noise()
        for own, mine in parts:
            if mine != scales_of:
                scales_of, share = mine, _ratio(_variance(mine) / _variance(scales))
                noise = _noise(mine, share, sums, shares, number)
            moved_parts.append((own + share * (total - value), noise))
        found.append(moved_parts)
    return found


def _noise(
    mine: Counter[Fraction], share: Fraction, sums: Sequence[Part], shares: Sequence[Fraction], number: int
) -> Noise:
    """Return the noise of a part that has a share of what the sum of this number is off by."""
    away = share * (1 - shares[number])
    noise: Noise = Counter()
    for b, count in sums[number][1].items():
        noise[b, away] += count - mine[b]
        noise[b, 1 - away] += mine[b]
    for other, (_, theirs) in enumerate(sums):
        for b, count in theirs.items() if other != number else ():
            noise[b, share * shares[other]] += count
    return Counter({term: count for term, count in noise.items() if term[1] and count})


def _variance(scales: Counter[Fraction]) -> float:
    return sum(count * variance(b) for b, count in scales.items())


@lru_cache(maxsize=4096)
def _ratio(share: float) -> Fraction:
    return Fraction(share).limit_denominator(1000)


def _added(scales: Iterable[Counter[Fraction]]) -> Counter[Fraction]:
    found: Counter[Fraction] = Counter()
    for one in scales:
        found.update(one)
    return found


def moved(cells: Sequence[Estimate], total: float) -> list[Estimate]:
    """Return cells that add up to a total: what they lack is shared by their variances (least squares).

    Their bands stay as they are.
    """
    variances = [one.half_width**2 for one in cells]
    lack = total - sum(one.value for one in cells)
    return [
        Estimate(one.value + lack * part / sum(variances), one.half_width)
        for one, part in zip(cells, variances, strict=True)
    ]


def readable(cells: Sequence[Estimate]) -> list[Estimate]:
    """Return the nearest cells that aren't negative and have the same total (0 for a negative one), to be read.

    The Euclidean projection onto a simplex (Duchi, Shalev-Shwartz, Singer, Chandra
    2008): all cells go down alike, and stop at 0.
    """
    values = np.array([one.value for one in cells])
    total = max(float(values.sum()), 0.0)
    falling = np.sort(values)[::-1]
    over = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    down = over[int(np.flatnonzero(falling >= over)[-1])]
    return [Estimate(max(one.value - float(down), 0.0), one.half_width) for one in cells]
