# SPDX-License-Identifier: Apache-2.0
"""Cuts of power, one at every operation on flash, while the audit log is written (L34-VI-3, EXP-6).

    python|micropython -m host_sim.faults.audit_cuts SEED ROUNDS [VARIANT]

The story notes acts and checkpoints over months, so that files begin and go, on `host_sim.faults.flash`. Power is cut
before each operation in turn and in the middle of each sync, again in the middle of the next boot's work. What must
hold at every boot, once it has written a line: the log holds together, and each line whose writing was acknowledged is
in it, unless the log itself says that something was cut.

Prints JSON: cuts, what was found false by kind, how often the log said that it was cut, octets and
syncs of the story. Runs on MicroPython too.
"""

import sys

from agent.audit import chain
from agent.audit import log as audit
from agent.runtime.sodium import Sodium
from host_sim.faults import cutter
from host_sim.faults.flash import PREFIX, no_file_sync

FOLDER = PREFIX + "/audit"
WEEK = 7 * 86400
STEPS = 6


class Time:
    """A trusted clock whose weeks pass."""

    state = "trusted"

    def __init__(self) -> None:
        self.second = 20775 * 86400
        self.source = self

    def wall(self) -> int:
        """Return ns since the epoch."""
        return self.second * 1000000000


class Story(cutter.Story):
    """What a gateway puts on its log, and what it was told. `wrong` counts what was false, by kind."""

    def __init__(self, sodium: Sodium) -> None:
        self.sodium = sodium
        self.time = Time()
        super().__init__()
        self.said = 0  # boots at which the log said that something was cut
        self.promised: "list[str]" = []  # hashes of the lines that were acknowledged

    def live(self) -> None:
        """Boot, write a line, look at the whole log, and go on; PowerCut may come at any operation."""
        log = audit.Audit(FOLDER, self.sodium, self.time, lambda _text: None, bytes)  # type: ignore[arg-type]
        self.put(log, log.note("start", "boot"))
        self.look()
        for step in range(STEPS):
            self.put(log, log.note("erase", "security", "operator"))
            if step % 2:
                former = log.newest
                log.hour()
                self.put(log, log.newest != former)
                self.time.second += 3 * WEEK

    def end(self, figures: "dict[str, Any]") -> None:
        """Add how often the log said that it was cut."""
        super().end(figures)
        figures["said"] = figures.get("said", 0) + self.said

    def put(self, log: audit.Audit, written: bool) -> None:
        """Remember the newest line as promised."""
        if written:
            self.promised.append(log.head)

    def look(self) -> None:
        """Hold the log against what was promised."""
        found = []
        verdict = chain.verify(FOLDER, self.sodium, lambda entry: found.append(entry.head))
        if verdict.wrong:
            self.blame("the log doesn't hold")
        missing = [head for head in self.promised if head not in found]
        self.said += bool(verdict.cuts)
        if missing and not verdict.cuts:
            self.blame("a line is lost and nothing says so")
        self.promised = [head for head in self.promised if head in found]


def no_care() -> None:
    """Go on behind whatever a loss of power left."""
    walk = chain.walk

    def careless(path: str, sodium: Sodium, visit: "Callable[[chain.Entry], None]") -> "tuple[chain.Entry | None, int]":
        return walk(path, sodium, visit)[0], 0

    audit.chain.walk = careless  # type: ignore[attr-defined]


VARIANTS = {"no-sync": no_file_sync, "no-care": no_care}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

if __name__ == "__main__":
    if len(sys.argv) > 3:
        VARIANTS[sys.argv[3]]()
    libsodium = Sodium()
    cutter.tell(cutter.run(lambda: Story(libsodium), (FOLDER,), int(sys.argv[1]), int(sys.argv[2]), 0))
