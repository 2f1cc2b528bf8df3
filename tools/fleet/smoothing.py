# SPDX-License-Identifier: Apache-2.0
"""Weeks of figures whose noise is known, by a state-space model: what each day was, what an ordinary week is.

Each cell is a series of days. Its truth is a level that wanders, plus what the day of the week adds, plus what is that
day's own. What was published is the truth and noise of a known variance. See Harvey, "Forecasting, structural time
series models and the Kalman filter" (1989). statsmodels filters and smooths. How much level, week and day vary isn't
known: results are averaged over `_GRID` by its likelihood, which the cells of a metric have in common. So hours and
days on which a venue is closed are learned: nothing comes, and nothing varies.

A day out of the ordinary (a holiday, a market, a closed week) shows by its auxiliary residual. See Harvey and Koopman,
"Diagnostic checking of unobserved-components time series models" (1992). It then speaks for itself alone and moves no
other day. One that might be such a day counts as one by the odds of its figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from statsmodels.tsa.statespace.kalman_smoother import SMOOTHER_STATE, SMOOTHER_STATE_COV, KalmanSmoother

from tools.fleet.estimate import Estimate

LEAST = 28  # days with a figure: with fewer the bands hold less often than they say
_LEVEL = (0.005, 0.03, 0.1)  # standard deviation of the level's step from day to day, in parts of the mean
_WEEK = (0.03, 0.2, 0.6)  # of what a day of the week adds
_OWN = (0.0, 0.1, 0.25, 0.6)  # of what is a day's own, beyond what counting people at random has
_GRID = tuple(product(_LEVEL, _WEEK, _OWN))
_TRIED = 6  # cells by which the grid is narrowed: those with the most in them
_KEPT = 4  # points of the grid: the likeliest
_ODD = 3.0  # standard deviations of the auxiliary residual beyond which a day is out of the ordinary
_CHANCE, _APART = 0.05, 0.7  # of a day to be so, and by how much, in parts of the mean
_ALONE = 10  # variance of what is an odd day's own, in squares of how far it is from what was expected
_ROUNDS = 4
_BAND = 1.96
_STATES, _OWN_STATE = 9, 8  # level, seven days of the week, the day's own
Array = np.ndarray[Any, Any]
Series = tuple[float | None, ...]
_Spread = tuple[Array, Array]
_Point = tuple[float, float, float]


@dataclass(frozen=True)
class Smoothed:
    """Estimates with 95 % bands of each cell: on each of its days, and on each day of an ordinary week, Monday first.

    [] for a cell of too few days.
    """

    days: list[list[Estimate]]
    week: list[list[Estimate]]


@lru_cache(maxsize=256)
def smooth(values: tuple[Series, ...], variances: tuple[Series, ...], weekday: int) -> Smoothed:
    """Return what is likely of a metric's cells; nothing of a cell with figures of fewer than LEAST days.

    `values`, `variances`  cell -> day -> what was published (None: nothing), and the variance of its noise
    `weekday`              of the first day, 0 is Monday
    """
    many = [sum(one is not None for one in cell) >= LEAST for cell in values]
    found = Smoothed([[] for _ in values], [[] for _ in values])
    if any(many):
        seen = np.array(values, float)[many]
        days, week = _Model(seen, np.nan_to_num(np.array(variances, float)[many], nan=1.0), weekday).smoothed()
        for number, cell in enumerate(np.flatnonzero(many)):
            found.days[cell], found.week[cell] = (
                _estimates(*(one[number] for one in days)),
                _estimates(*(one[number] for one in week)),
            )
    return found


class _Model:
    """The series of one metric; what has a value for each (cell, day) is an array of that shape."""

    def __init__(self, seen: Array, noise: Array, weekday: int) -> None:
        self._seen, self._noise = seen, noise
        days = seen.shape[1]
        self._weekdays = (weekday + np.arange(days)) % 7
        self._least = np.maximum(0.25, np.sqrt(noise.mean(axis=1) / days))
        self._means = np.maximum(np.nanmean(seen, axis=1), self._least)
        self._expected = np.repeat(self._means[:, None], days, axis=1)
        # How far a day that is out of the ordinary is from what was expected, squared
        self._apart = np.zeros_like(seen)
        self._design = np.zeros((1, _STATES, days))
        self._design[0, 0] = self._design[0, _OWN_STATE] = 1
        self._design[0, 1 + self._weekdays, np.arange(days)] = 1
        self._filters = [self._made(cell) for cell in range(len(seen))]

    def smoothed(self) -> tuple[_Spread, _Spread]:
        """Return (mean, variance) of each day and of an ordinary week.

        In each round the model learns what was to be expected, and which days were out of the ordinary.
        """
        tried = np.argsort(-self._means)[:_TRIED]
        for number in range(_ROUNDS):
            if number in {0, 1}:  # what is likely is another thing once odd days are known
                points = self._likely(
                    _GRID, [sum(self._filter(cell, point).loglike() for cell in tried) for point in _GRID]
                )
            day, week, expected, residual = self._round(list(points))
            self._expected = np.maximum(expected, 0.05 * self._means[:, None])
            odd = (np.abs(residual) > _ODD) & (self._apart == 0) & np.isfinite(self._seen)
            if number and not odd.any():
                break
            self._apart = np.where(odd, _ALONE * (np.nan_to_num(self._seen) - expected) ** 2, self._apart)
            usual = np.where(self._apart > 0, np.nan, self._seen)
            self._means = np.maximum(np.nanmean(usual, axis=1), self._least)
        return self._perhaps_odd(*day), week

    def _own(self, cell: int, point: _Point) -> Array:
        """Return the variance of what is each day's own: that of people who come at random, and what the grid adds."""
        expected = self._expected[cell]
        return np.asarray(expected + (point[2] * expected) ** 2 + self._apart[cell])

    def _filter(self, cell: int, point: _Point) -> Any:  # noqa: ANN401 (statsmodels has no types)
        """Return a cell's filter at a point of the grid."""
        own, mean = self._own(cell, point), self._means[cell]
        found = self._filters[cell]
        steps = np.zeros((2, 2, len(own)))
        steps[0, 0], steps[1, 1] = (point[0] * mean) ** 2, np.append(own[1:], own[-1])
        found["state_cov"] = steps
        first = np.zeros(_STATES)
        first[0] = mean
        found.initialize_known(first, np.diag([(3 * mean) ** 2] + [(point[1] * mean) ** 2] * 7 + [own[0]]))
        return found

    def _made(self, cell: int) -> Any:  # noqa: ANN401 (statsmodels has no types)
        """Return a cell's filter, but for what depends on the grid's point."""
        found: Any = KalmanSmoother(1, _STATES, 2, smoother_output=SMOOTHER_STATE | SMOOTHER_STATE_COV)
        found.bind(np.asfortranarray(self._seen[cell][None, :]))
        found["design"], found["obs_cov"] = self._design, self._noise[cell][None, None, :]
        found["transition"] = np.diag([1.0] * _OWN_STATE + [0.0])
        found["selection"] = np.eye(_STATES)[:, [0, _OWN_STATE]]
        return found

    def _likely(self, points: Sequence[_Point], logs: Sequence[float]) -> dict[_Point, float]:
        """Return the points that aren't unlikely, with their weights, which sum to one."""
        odds = np.exp(np.array(logs) - max(logs))
        kept = {points[number]: float(odds[number]) for number in np.argsort(-odds)[:_KEPT]}
        return {point: one / sum(kept.values()) for point, one in kept.items()}

    def _round(self, points: list[_Point]) -> tuple[_Spread, _Spread, Array, Array]:
        """Return (mean, variance) of each day and of an ordinary week, what was expected, auxiliary residuals."""
        found = {point: [self._one(cell, point) for cell in range(len(self._seen))] for point in points}
        weights = self._likely(points, [sum(one[-1] for one in found[point]) for point in points])

        def mixed(number: int) -> Array:
            return np.asarray(
                sum(share * np.array([one[number] for one in found[point]]) for point, share in weights.items())
            )

        (day, squares), (week, week_squares) = (mixed(0), mixed(1)), (mixed(2), mixed(3))
        return (day, squares - day**2), (week, week_squares - week**2), mixed(4), mixed(5)

    def _one(self, cell: int, point: _Point) -> tuple[Any, ...]:
        """Smooth one cell: mean and mean square of days and week, expectations, residuals, log-likelihood."""
        found = self._filter(cell, point).smooth()
        state, spread, days = found.smoothed_state, found.smoothed_state_cov, np.arange(self._seen.shape[1])
        of_day = 1 + self._weekdays
        expected = state[0] + state[of_day, days]
        day = expected + state[_OWN_STATE]
        variance = np.einsum("it,ijt,jt->t", self._design[0], spread, self._design[0])
        own = self._own(cell, point)
        residual = state[_OWN_STATE] / np.sqrt(np.maximum(own - spread[_OWN_STATE, _OWN_STATE], 1e-9 * own))
        each = np.arange(1, _OWN_STATE)
        week = state[0, -1] + state[each, -1]
        wide = spread[0, 0, -1] + spread[each, each, -1] + 2 * spread[0, each, -1]
        return day, variance + day**2, week, wide + week**2, expected, residual, found.llf

    def _perhaps_odd(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Return what is likely of each day, if it is out of the ordinary with a small chance.

        What the other days say of a day is what all say of it, with its own figure taken out again.
        """
        noise = self._noise
        without = 1 / np.maximum(1 / np.maximum(variance, 1e-9) - 1 / noise, 1e-9 / noise)
        others = without * (mean / np.maximum(variance, 1e-9) - self._seen / noise)
        wide = without + (_APART * np.maximum(self._expected, self._means[:, None])) ** 2
        logs, parts = [], []
        for chance, spread in ((1 - _CHANCE, without), (_CHANCE, wide)):
            both = spread + noise
            logs.append(np.log(chance) - 0.5 * np.log(both) - 0.5 * (self._seen - others) ** 2 / both)
            parts.append(((others * noise + self._seen * spread) / both, spread * noise / both))
        odd = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -50, 50)))
        (usual, usual_spread), (unusual, unusual_spread) = parts
        value = (1 - odd) * usual + odd * unusual
        spread = (1 - odd) * (usual_spread + usual**2) + odd * (unusual_spread + unusual**2) - value**2
        there = np.isfinite(self._seen)
        return np.where(there, value, mean), np.where(there, spread, variance)


def _estimates(means: Array, variances: Array) -> list[Estimate]:
    return [
        Estimate(float(value), float(_BAND * np.sqrt(max(spread, 0.0))))
        for value, spread in zip(means, variances, strict=True)
    ]
