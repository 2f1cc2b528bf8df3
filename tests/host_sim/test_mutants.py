# SPDX-License-Identifier: Apache-2.0
"""Agents broken on purpose are found out, each by the check that is named for it.

The agent as it is passes in every small scenario.

The auditor's checks proved able to fail: each has a mutant that only it catches.
"""

import ast
from pathlib import Path

import pytest

from host_sim.checks.auditor import Auditor
from host_sim.checks.unmatched import Unmatched
from host_sim.trials.mutants import CUTS, MUTANTS, PINGS, SPENDING, Mutant, Verdict, judge
from host_sim.trials.patches import Patch, PatchError, apply
from host_sim.trials.small_scenarios import SMALL_SCENARIOS
from host_sim.venue.scenario import load
from host_sim.venue.world import World
from tests.support.interpreters import PROJECT

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_each_mutant_is_caught_by_its_check(mutant: Mutant) -> None:
    """By that one alone where its row says `only`."""
    verdict = judge(mutant, "cpython")
    assert isinstance(verdict, Verdict)
    assert verdict.caught, (verdict.caught_by, verdict.wrong)


# The guests' runs on both interpreters in test_simulation.py
@pytest.mark.parametrize("scenario", [name for name in SMALL_SCENARIOS if name != "guests"])
def test_the_agent_as_it_is_passes_in_every_small_scenario(scenario: str) -> None:
    """So that what a mutant is blamed for is its own."""
    assert judge(None, "cpython", scenario) == ()


def test_each_check_of_the_auditor_has_a_mutant_that_only_it_catches(tmp_path: Path) -> None:
    """And there are fifteen mutants at least."""
    checks = {finding.name for finding in Auditor(tmp_path, World(load("hotel-week"), 1)).report()}
    assert {mutant.check for mutant in MUTANTS if mutant.only} >= checks
    assert {mutant.check for mutant in MUTANTS} <= checks | {"cuts", "pings", "spending"}
    assert {mutant.scenario for mutant in MUTANTS} <= {*SMALL_SCENARIOS, CUTS, PINGS, SPENDING}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15


def test_of_many_records_that_nothing_is_like_a_hundred_are_compared() -> None:
    """Each costs as much as there are connections that wait."""
    waiting = Unmatched()
    said = [waiting.likeness((bytes(6),) * 11)[0] for _ in range(102)]
    assert said == ["nothing like it happened"] * 100 + ["not compared"] * 2


def test_every_patch_fits_the_agent_and_one_that_does_no_more_is_an_error():
    """Or a mutant would be caught that never lived. Layout and comments don't count, nor what the patch isn't about."""
    for mutant in MUTANTS:
        text = (PROJECT / "agent" / mutant.patch.file).read_text()
        assert apply(mutant.patch, text) != ast.unparse(ast.parse(text)) + "\n", mutant.name
    one = Patch("x.py", "Ring.due", "A + self.b(C, A)", "A - C")
    text = "class Ring:\n    def due(self, at):\n        return (at # here\n + self.b(7,\n at))\n"
    assert apply(one, text) == "class Ring:\n\n    def due(self, at):\n        return at - 7\n"
    for wrong in (
        one._replace(function="Ring.late"),
        one._replace(old="A + self.c(C, A)"),
        one._replace(old="A + self.b(A, C)"),
    ):
        with pytest.raises(PatchError, match=r"^agent/x\.py: [^\n]+; accepted: [^\n]+$"):
            apply(wrong, text)
