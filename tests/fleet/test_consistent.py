# SPDX-License-Identifier: Apache-2.0
"""A day's total and its cells from all that was published of it: unbiased, consistent, with bands that hold."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from pydp.algorithms.laplacian import Count

from agent.summary.metrics import METRICS, PROFILES, scales
from tools.fleet import consistent, estimate
from tools.fleet.consistent import Answer, readable, reconciled
from tools.fleet.estimate import Estimate, half_width_of

ROWS = {metric.name: metric for metric in METRICS}


def truths(profile: str, terminals: int, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the true cells of a day at which so many came."""
    found = {}
    for name in PROFILES[profile]:
        if name in estimate.TELLING:
            size = ROWS[name].slots * len(ROWS[name].cells)
            shape = np.sin(np.linspace(0.05, math.pi, size)) ** 4
            found[name] = draw.multinomial(terminals, shape / shape.sum())
    return found


def noisy(profile: str, true: dict[str, np.ndarray], draw: np.random.Generator) -> list[Answer]:
    """Return what is published of it: discrete Laplace noise is the difference of two geometric draws."""
    bs = scales(PROFILES[profile], 1000, {})
    found = []
    for name, cells in true.items():
        p = 1 - math.exp(-bs[name][1] / bs[name][0])
        noise = draw.geometric(p, len(cells)) - draw.geometric(p, len(cells))
        found.append(Answer(tuple(int(one) for one in cells + noise), Fraction(*bs[name])))
    return found


@pytest.mark.long
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_cells_sum_to_the_total_and_their_bands_hold_the_truth(profile):
    """93 to 97 % over 1,000 days of 60 terminals; the error of the cells is smaller than as published."""
    draw = np.random.default_rng(5)
    held: dict[str, list[bool]] = {"total": [], "cell": [], "read": []}
    errors, raw = [], []
    for _ in range(1000):
        true = truths(profile, 60, draw)
        answers = noisy(profile, true, draw)
        total, cells = reconciled(answers)
        held["total"].append(abs(total.value - 60) <= total.half_width)
        errors.append(total.value - 60)
        for answer, row, counts in zip(answers, cells, true.values(), strict=True):
            assert sum(one.value for one in row) == pytest.approx(total.value)
            shown = readable(row)
            assert min(one.value for one in shown) >= 0
            assert sum(one.value for one in shown) == pytest.approx(max(total.value, 0))
            held["cell"] += [abs(one.value - count) <= one.half_width for one, count in zip(row, counts, strict=True)]
            held["read"] += [abs(one.value - count) <= one.half_width for one, count in zip(shown, counts, strict=True)]
            raw.append(
                [sum((np.array(values) - counts) ** 2) for values in (answer.values, [one.value for one in row])]
            )
    shares = {name: sum(one) / len(one) for name, one in held.items()}
    assert 0.93 < shares["total"] < 0.97, shares
    assert 0.94 < shares["cell"] < 0.97, shares
    assert shares["read"] >= 0.95, shares
    assert abs(np.mean(errors)) < 4 * np.std(errors) / math.sqrt(len(errors))
    published, constrained = np.mean(raw, axis=0)
    assert constrained < published


def test_the_closed_form_is_the_constrained_least_squares_of_the_paper():
    """The same numbers as weighted least squares under the constraint, solved as a system.

    Weights in tenths cost next to nothing.
    """
    answers = noisy("medium", truths("medium", 100, np.random.default_rng(1)), np.random.default_rng(2))
    total, cells = reconciled(answers)
    values = np.concatenate([answer.values for answer in answers]).astype(float)
    inverse = np.concatenate([[1 / estimate.variance(answer.b)] * len(answer.values) for answer in answers])
    equal = np.zeros((len(answers) - 1, len(values)))
    at = 0
    for number, answer in enumerate(answers):
        for row in ([number - 1] if number else []) + ([number] if number < len(answers) - 1 else []):
            equal[row, at : at + len(answer.values)] = 1 if row == number else -1
        at += len(answer.values)
    system = np.block([[np.diag(2 * inverse), equal.T], [equal, np.zeros((len(equal), len(equal)))]])
    solved = np.linalg.solve(system, np.concatenate([2 * inverse * values, np.zeros(len(equal))]))[: len(values)]
    ours = np.concatenate([[one.value for one in row] for row in cells])
    assert np.abs(ours - solved).max() < 0.02 * total.half_width


def test_one_metric_alone_is_what_was_published():
    answer = Answer((3, -2, 9), Fraction(2))
    total, (cells,) = reconciled([answer])
    assert total == estimate.total([(value, answer.b) for value in answer.values])
    assert cells == [Estimate(value, estimate.half_width({answer.b: 1})) for value in answer.values]


def test_what_is_read_is_the_nearest_point_without_a_negative_cell():
    """Against every choice of which cells are 0, for small cases; a negative total reads 0 everywhere."""
    draw = np.random.default_rng(3)
    for _ in range(50):
        values = draw.normal(2, 4, 4)
        shown = np.array([one.value for one in readable([Estimate(float(value), 1) for value in values])])
        total, best = max(values.sum(), 0), math.inf
        for mask in range(1, 16):
            on = np.array([mask >> cell & 1 for cell in range(4)], bool)
            point = np.where(on, values + (total - values[on].sum()) / on.sum(), 0)
            if point.min() >= -1e-9:
                best = min(best, float(((point - values) ** 2).sum()))
        assert ((shown - values) ** 2).sum() == pytest.approx(best)


def test_profiles_tell_as_much_of_a_cafe_as_the_fleets_readme_says():
    """A day's total within: the best metric alone 32; combined, `medium` 21, `small` 12, `tiny` 9.

    One cell of `small` 6 and 7.
    """
    widths = {}
    for profile in PROFILES:
        answers = noisy(profile, truths(profile, 100, np.random.default_rng(1)), np.random.default_rng(1))
        widths[profile] = round(reconciled(answers)[0].half_width)
    assert widths == {"tiny": 9, "small": 12, "medium": 21, "large": 30}


@pytest.mark.long
def test_opendp_finds_the_same_consistent_counts():
    """OpenDP's consistent tree (Hay et al.) on the same noisy counts, a total and 24 cells of one scale.

    The error is the same.
    """
    from opendp import prelude as dp  # noqa: PLC0415 (it takes two seconds, and each worker collects this file)

    dp.enable_features("contrib")
    theirs = dp.t.make_consistent_b_ary_tree(branching_factor=24)
    draw, b = np.random.default_rng(6), Fraction(4)
    p, apart, errors = 1 - math.exp(-1 / b), [], []
    for _ in range(200):
        truth = draw.multinomial(100, np.full(24, 1 / 24))
        root, *cells = (int(one) for one in draw.geometric(p, 25) - draw.geometric(p, 25) + [100, *truth])
        ours = [one.value for one in reconciled([Answer((root,), b), Answer(tuple(cells), b)])[1][1]]
        found = theirs([root, *cells])
        apart.append(np.abs(np.array(ours) - found).max())
        errors.append([((np.array(one) - truth) ** 2).mean() for one in (ours, found)])
    mean = np.sqrt(np.mean(errors, axis=0))
    assert max(apart) < 2.0
    assert mean[0] == pytest.approx(mean[1], rel=0.005)


def test_googles_counts_of_the_same_days_are_no_nearer_to_the_truth():
    """A venue of 100, profile `small`: Google's count of each cell at the metric's epsilon, its noise drawn anew.

    It has no constrained inference: its day is the sum of the hours, which ours beats by what presence tells besides.
    The bounds are five deviations of 400 days away from what is so.
    """
    draw, bs = np.random.default_rng(8), scales(PROFILES["small"], 1000, {})
    cells: list[list[float]] = []  # of a cell of arrivals: ours, theirs
    days: list[list[float]] = []
    for _ in range(400):
        true = truths("small", 100, draw)
        total, rows = reconciled(noisy("small", true, draw))
        p, q = bs["arrivals"]
        found = [Count(epsilon=q / p, dtype="int64").quick_result([1] * int(one)) for one in true["arrivals"]]
        own = [one.value for one in rows[list(true).index("arrivals")]]
        cells += [[mine - one, its - one] for mine, its, one in zip(own, found, true["arrivals"], strict=True)]
        days.append([total.value - 100, sum(found) - 100])
    cell, day = (np.sqrt((np.array(one) ** 2).mean(axis=0)) for one in (cells, days))
    assert cell[0] < cell[1] * 1.08
    assert day[0] < day[1] * 0.65
    assert day[1] == pytest.approx(math.sqrt(24 * 2) * p / q, rel=0.25)  # it did draw noise of this scale


def test_sums_over_gateways_of_several_profiles_are_moved_alike_and_their_bands_hold():
    """Hours of 30 gateways and of 10 with other noise, cells of all 40: one total, bands as often right as they say."""
    draw = np.random.default_rng(7)
    held, apart = [], []

    def told(value: int, *scales: tuple[int, int]) -> consistent.Part:
        for b, count in scales:
            p = 1 - math.exp(-1 / b)
            value += int((draw.geometric(p, count) - draw.geometric(p, count)).sum())
        return value, Counter({Fraction(b): count for b, count in scales})

    for _ in range(300):
        hours = [told(50, (4, 30), (9, 10)) for _ in range(24)]
        cells = [told(240, (5, 40)) for _ in range(5)]
        each = consistent.together([hours, cells])
        assert sum(value for value, _ in each[0]) == pytest.approx(float(sum(value for value, _ in each[1])))
        for parts, true in zip(each, (50, 240), strict=True):
            for value, noise in parts:
                held.append(abs(float(value) - true) <= half_width_of(noise))
                apart.append((float(value) - true) / math.sqrt(consistent.variance_of(noise)))
    assert 0.93 < np.mean(held) < 0.97
    assert abs(np.mean(apart)) < 0.1
    assert 0.95 < np.std(apart) < 1.05
