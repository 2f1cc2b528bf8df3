# SPDX-License-Identifier: Apache-2.0
"""Weeks smoothed: bands hold the simulated truth, the error is less than a day's alone, no odd day moves others."""

import importlib
import math
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from agent.summary.metrics import METRICS
from tools.fleet import accuracy, consistent, weeks
from tools.fleet.consistent import Answer, cells_noise, reconciled, total_noise, variance_of
from tools.fleet.estimate import Estimate

pytestmark = pytest.mark.xdist_group("smoothing")
DAYS = 56
ROWS = {metric.name: metric for metric in METRICS}
STORIES = ("weekends", "holidays", "closed week", "doubled Saturday", "MAC rotation")
WEEK = np.array([0.8, 0.85, 0.9, 0.95, 1.15, 1.35, 0.6])
_OPEN = (0.1, 0.6, 1.4, 2.2, 2.4, 2.0, 2.2, 3.0, 3.2, 2.2, 2.0, 2.2, 2.6, 3.0, 2.8, 2.2, 1.6, 1.0, 0.4)
HOURS = np.array([0.0] * 4 + list(_OPEN) + [0.0]) / sum(_OPEN)  # 03:00 first; closed for five
Smooth = tuple[np.ndarray, np.ndarray]  # values, half-widths


@cache
def smoothing() -> ModuleType:
    """Return the module. It brings statsmodels and pandas: three seconds, for the one worker that needs them."""
    return importlib.import_module("tools.fleet.smoothing")


def truth(size: int, story: str, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return arrivals by day and hour; the days that were unlike others; what an ordinary week has, by hour and day."""
    level = size * np.exp(np.cumsum(draw.normal(0, 0.01, DAYS)))
    rates = (level * draw.lognormal(0, 0.08, DAYS) * WEEK[np.arange(DAYS) % 7])[:, None] * HOURS
    odd = {"holidays": [24, 45], "closed week": list(range(28, 35)), "doubled Saturday": [47]}.get(story, [])
    rates[odd] *= {"holidays": 0.25, "closed week": 0, "doubled Saturday": 2}.get(story, 1)
    hours = HOURS
    if story == "MAC rotation":  # each hour a part of those who stay comes anew
        rates, hours = rates + 0.7 * np.roll(rates, 1, axis=1), hours + 0.7 * np.roll(hours, 1)
    return draw.poisson(rates), np.array(odd, int), level[-1] * math.exp(0.08**2 / 2) * hours[:, None] * WEEK


def published(counts: np.ndarray, size: int, draw: np.random.Generator) -> tuple[Smooth, Smooth]:
    """Return (values, variances of noise) of days' totals and arrivals' cells, under the size's own profile."""
    answers = accuracy.answers(accuracy.profile_for(size))
    number = next(number for number, name in enumerate(answers) if ROWS[name].like == "arrivals")
    totals, cells = [], []
    for hours in counts:
        told = []
        for name, answer in answers.items():
            true = np.zeros(len(answer.values), int)
            if ROWS[name].like == "arrivals" and len(true) <= 24:
                true = hours.reshape(len(true), -1).sum(axis=1)
            else:
                true[0] = hours.sum()  # where the noise lies is all that matters
            p = 1 - math.exp(-1 / answer.b)
            noise = draw.geometric(p, len(true)) - draw.geometric(p, len(true))
            told.append(Answer(tuple((true + noise).tolist()), answer.b))
        total, found = reconciled(told)
        totals.append([total.value])
        cells.append([one.value for one in found[number]])
    every = list(answers.values())
    return tuple(
        (np.array(values).T, np.full((len(values[0]), DAYS), variance_of(noise)))
        for values, noise in ((totals, total_noise(every)), (cells, cells_noise(every, number)))
    )  # type: ignore[return-value]


def smooth(told: Smooth, first: int = 0) -> tuple[Smooth, Smooth]:
    """Return values and half-widths of each day, and of an ordinary week."""
    values, variances = (tuple(tuple(row) for row in one[:, first:].tolist()) for one in told)
    found = smoothing().smooth(values, variances, first % 7)
    return tuple(
        (
            np.array([[one.value for one in row] for row in rows]),
            np.array([[one.half_width for one in row] for row in rows]),
        )
        for rows in (found.days, found.week)
    )  # type: ignore[return-value]


def moved(cells: Smooth, totals: Smooth) -> Smooth:
    """Return cells as pages show them: they add up to the totals."""
    days = []
    for values, widths, total in zip(*(one.T for one in cells), totals[0][0], strict=True):
        days.append(consistent.moved([Estimate(*one) for one in zip(values, widths, strict=True)], total))
        assert sum(one.value for one in days[-1]) == pytest.approx(total)
    return np.array([[one.value for one in day] for day in days]).T, cells[1]


def held(one: Smooth, true: np.ndarray) -> np.ndarray:
    return np.abs(one[0] - true) <= one[1]


@cache
def totals(size: int) -> tuple[float, float, float, float]:
    """Return of six venues in each story: how often bands of days, odd days, weeks held.

    The error against one day's.
    """
    days, odd_days, week, squares = [], [], [], []
    for seed, story in enumerate(STORIES * 6):
        draw = np.random.default_rng(seed)
        counts, odd, ordinary = truth(size, story, draw)
        told, _ = published(counts, size, draw)
        of_days, of_week = smooth(told)
        good = held(of_days, counts.sum(axis=1)[None, :])[0]
        days += list(good)
        odd_days += list(good[odd])
        week += list(held(of_week, ordinary.sum(axis=0)[None, :])[0])
        squares.append([((one - counts.sum(axis=1)) ** 2).mean() for one in (of_days[0][0], told[0][0])])
    error = np.sqrt(np.mean(squares, axis=0))
    return float(np.mean(days)), float(np.mean(odd_days)), float(np.mean(week)), float(error[0] / error[1])


@pytest.mark.long
@pytest.mark.parametrize(("size", "most"), [(20, 0.85), (100, 1.0), (500, 1.03), (5000, 1.03)])
def test_bands_of_a_days_total_hold_the_truth_and_the_error_is_no_larger(size, most):
    """1,680 days of 30 venues: weekends, holidays, a closed week, a doubled Saturday, MAC rotation.

    Small ones gain most.
    """
    days, odd, _, error = totals(size)
    assert 0.93 < days < 0.97
    assert odd > (0.7 if size == 20 else 0.85)  # what the page says of an odd day of a small venue
    assert error < most


@pytest.mark.long
def test_bands_of_an_ordinary_weeks_days_hold_what_is_ordinary():
    assert 0.93 < np.mean([totals(size)[2] for size in (20, 100, 500, 5000)]) < 0.97


@pytest.mark.long
@pytest.mark.parametrize("size", [20, 100, 500])
def test_bands_of_hours_hold_the_truth_and_closed_hours_are_learned(size):
    """Arrivals by hour (of 20 terminals: by four hours) in a plain month, and with a closed week."""
    days, week, errors = [], [], []
    for seed, story in enumerate(("weekends", "closed week")):
        draw = np.random.default_rng(10 + seed)
        counts, _, ordinary = truth(size, story, draw)
        totals, told = published(counts, size, draw)
        parts = len(told[0])
        true, usual = (one.reshape(parts, 24 // parts, -1).sum(axis=1) for one in (counts.T, ordinary))
        of_days, of_week = (moved(*both) for both in zip(smooth(told), smooth(totals), strict=True))
        days += list(held(of_days, true).ravel())
        week += list(held(of_week, usual).ravel())
        errors.append(np.sqrt(((of_days[0] - true) ** 2).mean() / told[1].mean()))
        closed = usual.max(axis=1) == 0
        assert np.abs(of_week[0][closed]).max(initial=0) < 1.5
    assert 0.93 < np.mean(days) < 0.97
    assert np.mean(week) > 0.92
    assert np.mean(errors) < 0.8


@pytest.mark.long
def test_an_odd_day_moves_no_other_day_and_stands_for_itself():
    """Ten times as many on one Saturday of a venue of 500."""
    draw = np.random.default_rng(4)
    counts, _, _ = truth(500, "weekends", draw)
    told, _ = published(counts, 500, draw)
    odd = (told[0] + 6000 * (np.arange(DAYS) == 40), told[1])
    (plain, plain_week), (moved, moved_week) = smooth(told), smooth(odd)
    others = np.arange(DAYS) != 40
    assert np.abs(moved[0] - plain[0])[0, others].max() < plain[1][0].mean()
    assert abs(moved[0][0, 40] - odd[0][0, 40]) < plain[1][0].mean()
    assert np.abs(moved_week[0] - plain_week[0]).max() < plain_week[1].mean()


def test_a_day_of_which_nothing_was_told_is_estimated_from_the_others():
    draw = np.random.default_rng(5)
    counts, _, _ = truth(500, "weekends", draw)
    told, _ = published(counts, 500, draw)
    values = [float(one) for one in told[0][0]]
    found = smoothing().smooth(
        (tuple(None if day == 30 else one for day, one in enumerate(values)),), (tuple(told[1][0]),), 0
    )
    one = found.days[0][30]
    assert one.half_width > 2 * found.days[0][29].half_width
    assert abs(one.value - counts[30].sum()) < 1.5 * one.half_width


def test_nothing_is_said_of_a_cell_with_figures_of_fewer_than_four_weeks():
    many, few = tuple([5.0] * 40), tuple([5.0] * 27 + [None] * 13)
    found = smoothing().smooth((many, few), ((1.0,) * 40,) * 2, 3)
    assert [len(one) for one in found.days] == [40, 0]
    assert [len(one) for one in found.week] == [7, 0]
    assert smoothing().smooth((few,), ((1.0,) * 40,), 3).days == [[]]
    assert smoothing().smooth((), (), 3).days == []


def test_the_filter_is_the_model_that_is_written_down():
    """Level, day of the week, day's own and noise as one normal distribution, without a filter: the same moments."""
    draw = np.random.default_rng(6)
    days, weekday, point = 35, 2, (0.03, 0.2, 0.1)
    seen, noise = draw.normal(50, 10, (1, days)), draw.uniform(20, 40, (1, days))
    model = smoothing()._Model(seen, noise, weekday)
    mean, own = model._means[0], model._own(0, point)
    at = np.arange(days)
    common = (3 * mean) ** 2 + (point[0] * mean) ** 2 * np.minimum(at[:, None], at)
    ordinary = common + (point[1] * mean) ** 2 * ((at[:, None] - at) % 7 == 0)
    true = ordinary + np.diag(own)
    gain = true @ np.linalg.inv(true + np.diag(noise[0]))
    value, square, *_ = model._one(0, point)
    assert value == pytest.approx(mean + gain @ (seen[0] - mean), rel=1e-6)
    assert square - value**2 == pytest.approx(np.diag(true - gain @ true), rel=1e-4)


def test_a_days_weeks_are_its_block_and_the_one_before():
    assert weeks.window(20_790, 20_795) == range(20_748, 20_796)
    assert weeks.window(20_700, 20_795) == range(20_664, 20_720)
    assert all(day in weeks.window(day, 20_795) for day in range(20_700, 20_796))
    assert all(len(weeks.window(day, day)) > smoothing().LEAST for day in range(20_700, 20_796))
