# SPDX-License-Identifier: Apache-2.0
"""Holds the ledger on flash against an independent reading of ANON-5 and ANON-6 (`host_sim.venue.ledger`)."""

import json
from pathlib import Path

from host_sim.checks.findings import Finding
from host_sim.venue.ledger import Ledger
from host_sim.venue.truth import AGENT_DAY_STARTS, DAY


class LedgerAuditor:
    """The ledger at a path, beside what the book says."""

    def __init__(self, path: Path, book: Ledger) -> None:
        self._path, self._book = path, book
        self.finding = Finding(
            "ledger", "agent-days open and spend as ANON-5 and ANON-6 say, never more than the ceiling"
        )
        self._spent = 0, 0  # agent-day, and thousandths of it, at the last look

    def reset(self) -> None:
        """There is no ledger any more, or an old one, which says nothing of what was spent."""
        self._spent = 0, 0

    def look(self) -> None:
        """What the ledger says is what the agent-days that were opened cost."""
        book = self._book
        self.finding.seen += 1
        if book.stale and not self._path.exists():
            return
        values = json.loads(self._path.read_text())
        said = (values["day"], values["spent"], values["tokens"], values["hours"])
        due = (
            (book.day - AGENT_DAY_STARTS) // DAY if book.day else 0,
            book.spent,
            book.tokens,
            book.hours,
        )
        if said != due and not book.stale:
            self.finding.wrong.append(
                f"the ledger says (day, spent, tokens, hours) {said}, by ANON-5 and ANON-6 it is {due}"
            )
        if values["spent"] > 2000 or (not book.stale and said[:2] < self._spent):
            self.finding.wrong.append("more is spent than the ceiling, or something is given back")
        if not book.stale:  # else it is what flash can't be rid of yet, perhaps a restored one's
            self._spent = said[:2]
