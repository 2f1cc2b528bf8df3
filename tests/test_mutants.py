# SPDX-License-Identifier: Apache-2.0
"""Agents broken on purpose are found out, each by the check that is named for it; the agent as it is passes every court.

The auditor's checks proved able to fail: each has a mutant that only it catches.
"""

from pathlib import Path

import pytest

from host_sim.auditor import Auditor
from host_sim.mutants import COURTS, CUTS, MUTANTS, Mutant, MutantError, Verdict, judge, patch
from host_sim.scenario import load
from host_sim.world import World

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_each_mutant_is_caught_by_its_check(mutant: Mutant) -> None:
    """By that one alone where its row says `only`."""
    verdict = judge(mutant, "cpython")
    assert isinstance(verdict, Verdict)
    assert verdict.caught, (verdict.caught_by, verdict.wrong)


@pytest.mark.parametrize("court", COURTS)
def test_the_agent_as_it_is_passes_every_court(court: str) -> None:
    """So that what a mutant is blamed for is its own."""
    assert judge(None, "cpython", court) == ()


def test_each_check_of_the_auditor_has_a_mutant_that_only_it_catches(tmp_path: Path) -> None:
    """And there are fifteen mutants at least."""
    checks = {finding.name for finding in Auditor(tmp_path, World(load("hotel-week"), 1)).report()}
    assert {mutant.check for mutant in MUTANTS if mutant.only} >= checks
    assert {mutant.check for mutant in MUTANTS} <= checks | {"cuts"}
    assert {mutant.court for mutant in MUTANTS} <= {*COURTS, CUTS}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15


def test_a_patch_that_fits_the_agent_no_more_is_an_error_and_not_a_mutant(tmp_path: Path) -> None:
    """Or a mutant would be caught that never lived."""
    stale = MUTANTS[0]._replace(old="words that the agent never had")
    with pytest.raises(MutantError, match="0 times in agent/"):
        patch(stale, tmp_path)
