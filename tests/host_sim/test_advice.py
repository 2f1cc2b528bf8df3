# SPDX-License-Identifier: Apache-2.0
"""What is said to who configures a gateway, before anything is published.

How exact each profile is for a venue of that size.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from agent.summary.metrics import PROFILES
from host_sim.report import advice
from host_sim.venue import scenario as scenarios
from tools.bench import venues
from tools.fleet import accuracy


def told(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "host_sim", "advise", *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.long
def test_advice_names_every_profile_and_the_one_that_is_meant():
    """A hotel of 110 guests, by its own hours: `small`, whose busiest hour is twice as exact as `medium`'s."""
    found = json.loads(told("--visitors", "110", "--venue", "hotel-week", "--json", "-").stdout)
    assert found["profile"] == "small"
    assert {one["profile"]: one["metrics"] for one in found["profiles"]} == {
        name: list(names) for name, names in PROFILES.items()
    }
    assert {one["profile"]: one["without"] for one in found["profiles"]} == {
        "tiny": ["volume", "active", "classes"], "small": ["volume", "active", "classes"], "medium": [], "large": [],
    }  # fmt: skip
    rows = {(one["profile"], row["figure"]): row for one in found["profiles"] for row in one["rows"]}
    assert rows["small", "busiest hour"]["a day"] < rows["medium", "busiest hour"]["a day"] / 2
    for row in rows.values():
        assert row["a day"] > row["a week"] > row["four weeks"]
    text = told("--visitors", "110", "--venue", "hotel-week").stdout
    assert "option profile 'small'" in text
    assert "small publishes arrivals, presence; not volume, active, classes\n" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("words", "accepted"), [
    (("--visitors", "0"), "--visitors"),
    (("--visitors", "9", "--venue", "nowhere"), "cafe-day"),
])  # fmt: skip
def test_a_size_that_is_none_is_refused_in_one_line(words, accepted):
    done = told(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert accepted in done.stderr


SIZES = 1, 39, 40, 149, 150, 2999, 3000  # at each bound of the table in agent/summary/README.md


def test_the_profile_meant_for_a_size_is_the_one_that_the_readme_names():
    assert [accuracy.profile_for(size) for size in SIZES] == [
        "tiny", "tiny", "small", "small", "medium", "medium", "large",
    ]  # fmt: skip


def test_what_is_meant_for_smaller_venues_is_more_exact_and_what_is_meant_for_larger_ones_is_more_than_noise():
    """In a café's hours: a day and its busiest hours are nearer than under any profile meant for more people.

    And the finest that a profile tells deviates by less than itself from the first size on that it is meant for.
    """
    hours = advice.hours(scenarios.load("cafe-day"), 1)
    order = [name for name, _ in accuracy.UP_TO] + ["large"]
    for size in SIZES:
        meant = accuracy.profile_for(size)
        own = accuracy.figures(meant, size, hours)
        for larger in order[order.index(meant) + 1 :]:
            for mine, other in zip(own[:2], accuracy.figures(larger, size, hours)[:2], strict=True):
                assert mine.half_width() < other.half_width(), (size, meant, larger, mine.name)
        if size >= 40:
            assert own[-1].error() < 1, (size, meant, own[-1].name)


def test_hours_are_the_scenarios_own():
    """Of a café in Paris nobody comes at night; the shares make one."""
    shares = advice.hours(scenarios.load("cafe-day"), 1)
    assert sum(shares) == pytest.approx(1)
    assert max(shares) > 0.05
    assert shares[22] < 0.01  # 01:00 UTC


def test_what_is_foretold_is_what_noise_does():
    """Drawn term by term, the errors have the deviation and the bands the coverage that were said."""
    draw = np.random.default_rng(4)
    for profile in PROFILES:
        for figure in accuracy.figures(profile, 100, [1 / 24] * 24):
            errors = venues.drawn(figure, 1, 7, draw)
            assert errors.std() == pytest.approx(figure.error(1, 7) * figure.truth, rel=0.08)
            assert 0.935 < (abs(errors) <= figure.half_width(1, 7) + 1e-9).mean() < 0.97
