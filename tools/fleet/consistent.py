# SPDX-License-Identifier: Apache-2.0
"""What is known of a gateway's agent-day from all that it published: one total, and cells that add up to it.

The day's terminals stand in several metrics (`estimate.QUESTIONS`), each with noise of its own. Whatever is computed from published numbers
costs no privacy. The best linear unbiased estimate under the constraint that all of them have one total is that of Hay, Rastogi, Miklau and
Suciu, "Boosting the accuracy of differentially private histograms through consistency" (2010), section 4. Where a metric's cells have the
same noise it has a closed form: the total is the mean of the sums by the inverse of their variances, and what a sum is off by is shared
equally by its cells.

Values so made are unbiased and may be negative: sums are made of them. What a person reads is the nearest point with no negative cell
(`readable`), which isn't unbiased and is never added up.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tools.fleet.estimate import Estimate, combined, half_width_of, weights


@dataclass(frozen=True)
class Answer:
    """The cells of one metric over a whole counted day, all with noise of the scale `b`."""

    values: tuple[int, ...]
    b: Fraction

    @property
    def sum(self) -> tuple[int, Counter[Fraction]]:
        """Return the published total and the noise in it."""
        return sum(self.values), Counter({self.b: len(self.values)})


def reconciled(answers: Sequence[Answer]) -> tuple[Estimate, list[list[Estimate]]]:
    """Return the day's total and each answer's cells, unbiased, with their bands; every answer's cells sum to the total."""
    sums = [answer.sum for answer in answers]
    shares = weights(sums)
    total = combined(sums)
    value = sum((share * published for share, (published, _) in zip(shares, sums, strict=True)), Fraction(0))
    cells = []
    for number, answer in enumerate(answers):
        size = len(answer.values)
        moved = (value - sums[number][0]) / size
        terms: Counter[tuple[Fraction, Fraction]] = Counter()
        terms[answer.b, 1 - (1 - shares[number]) / size] += 1
        terms[answer.b, (1 - shares[number]) / size] += size - 1
        for other, (one, share) in enumerate(zip(answers, shares, strict=True)):
            if other != number:
                terms[one.b, share / size] += len(one.values)
        width = half_width_of({(b, weight): count for (b, weight), count in terms.items() if weight})
        cells.append([Estimate(float(one + moved), width) for one in answer.values])
    return total, cells


def readable(cells: Sequence[Estimate]) -> list[Estimate]:
    """Return the nearest cells that aren't negative and have the same total (0 where that is negative): only to be read.

    The Euclidean projection onto a simplex (Duchi, Shalev-Shwartz, Singer, Chandra 2008): all cells go down alike, and stop at 0.
    """
    values = np.array([one.value for one in cells])
    total = max(float(values.sum()), 0.0)
    falling = np.sort(values)[::-1]
    over = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    down = over[int(np.flatnonzero(falling >= over)[-1])]
    return [Estimate(max(one.value - float(down), 0.0), one.half_width) for one in cells]
