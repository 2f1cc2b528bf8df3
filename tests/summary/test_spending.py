# SPDX-License-Identifier: Apache-2.0
"""Power and time in an attacker's hands: a count of our own of what was spent, one outcome a cell (ANON-5, ANON-6)."""

from __future__ import annotations

import pytest

from agent.runtime import files
from agent.summary import ledger
from agent.summary.day import AgentDay
from agent.summary.ledger import Ledger
from host_sim.privacy import spending
from host_sim.privacy.spending_auditor import SpendingError

HISTORIES = 20


def lives(folder, seeds) -> list[spending.History]:
    return [spending.live(seed, folder / "device") for seed in seeds]


@pytest.mark.long
def test_no_history_of_power_and_time_spends_more_than_the_ceiling_or_draws_a_cell_twice(memory):
    """Cuts at writes and while the next boot recovers, forged NTP over boots, clocks back a week, forty boots a day."""
    histories = lives(memory, range(HISTORIES))
    assert sum(history.cuts for history in histories) > HISTORIES
    assert sum(history.device.boots for history in histories) > 30 * HISTORIES
    assert sum(len(history.auditor.cells) for history in histories) > 2 * HISTORIES
    assert sum(len(starts) > 1 for history in histories for starts in history.auditor.drawn.values())


def test_the_same_seed_is_the_same_history(memory):
    """To the octet on flash: what the recorder draws comes from the seed too."""
    seen = [spending.live(4, memory / "device") for _ in range(2)]
    assert seen[0].auditor.cells
    assert seen[0].auditor.cells == seen[1].auditor.cells
    assert seen[0].auditor.drawn == seen[1].auditor.drawn
    assert seen[0].device.flash.cells.remnants == seen[1].device.flash.cells.remnants


def free_boots(patch):
    """Let a further start of a day cost nothing."""
    start = Ledger.start

    def started(self, *words):
        self.values["spent"] = 0
        return start(self, *words)

    patch.setattr(Ledger, "start", started)


def free_days(patch):
    """Open a day without a token."""
    start = Ledger.start

    def started(self, *words):
        self.values["tokens"] = 2
        return start(self, *words)

    patch.setattr(Ledger, "start", started)


def spent_in_memory(patch):
    """Say that it is spent, and leave the writing to the next hour."""
    start, save = Ledger.start, Ledger.save

    def started(self, *words):
        patch.setattr(Ledger, "save", lambda _self: None)
        done = start(self, *words)
        patch.setattr(Ledger, "save", save)
        return done

    patch.setattr(Ledger, "start", started)
    patch.setattr(Ledger, "reach", lambda _self, _second: None)


def slots_come_again(patch):
    patch.setattr(Ledger, "reach", lambda _self, _second: None)


def no_marks(patch):
    """Draw what has closed again in each process."""
    begin = AgentDay.__init__

    def begun(self, config, terminals, *rest):
        begin(self, config, terminals, *rest)
        if terminals.day:
            terminals._view[80:84] = bytes(4)

    patch.setattr(AgentDay, "__init__", begun)


def free_token(patch):
    """Take a device without a ledger for a new one: a factory reset gives a token."""
    begin = Ledger.__init__

    def begun(self, path, *rest):
        there = files.exists(path)
        begin(self, path, *rest)
        if not there:
            self.values["tokens"] = 1

    patch.setattr(Ledger, "__init__", begun)


def old_ledger_believed(patch):
    """Go on with a ledger from a backup."""
    read, marks = ledger._read, ledger._marks
    patch.setattr(ledger, "_marks", lambda path: [(0, read(path)[2], 0)] if files.exists(path) else marks(path))


BROKEN = {  # and a history near the first that shows it
    "boot for free": (free_boots, "thousandths of epsilon were drawn for", 30),
    "days without a token": (free_days, "agent-days in|powered-on hours after the ledger was lost", 0),
    "spent in memory": (spent_in_memory, "thousandths of epsilon were drawn for|two outcomes of", 2),
    "slots come again": (slots_come_again, "two outcomes of", 100),
    "free token": (free_token, "powered-on hours after the ledger was lost|agent-days in", 6),
    "old ledger believed": (old_ledger_believed, "powered-on hours after the ledger was lost|two outcomes of", 0),
    "no marks": (no_marks, "two outcomes of", 42),
}
# Histories in which even the rarest shows, with a chance of 1 in 10^6 that it
# doesn't, where a change makes others of them
MOST = 600


@pytest.mark.long
@pytest.mark.parametrize("name", BROKEN)
def test_an_agent_that_is_careless_with_its_budget_is_caught(memory, monkeypatch, name):
    """Negative controls."""
    broken, said, first = BROKEN[name]
    broken(monkeypatch)
    with pytest.raises(SpendingError, match=said):
        lives(memory, range(first, first + MOST))
