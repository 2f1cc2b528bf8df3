# SPDX-License-Identifier: Apache-2.0
"""Cuts of power, one at every operation on flash, while the audit log is written (L34-VI-3, EXP-6).

    python|micropython -m host_sim.audit_cuts SEED ROUNDS [VARIANT]

The story notes acts and checkpoints over months, so that files begin and go, on `host_sim.flash`. Power is cut before each operation in
turn and in the middle of each sync, again in the middle of the next boot's work. What must hold at every boot, once it has written a
line: the log holds together, and each line whose writing was acknowledged is in it, unless the log itself says that something was cut.

Prints JSON: cuts, what was found false by kind, how often the log said that it was cut, octets and syncs of the story. Runs on
MicroPython too.
"""

import json
import sys

from agent.control import audit, chain
from agent.runtime.sodium import Sodium
from host_sim.flash import PREFIX, Dice, Flash, PowerCut, mount

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


class Story:
    """What a gateway puts on its log, and what it was told. `wrong` counts what was false, by kind."""

    def __init__(self, sodium: Sodium) -> None:
        self.sodium = sodium
        self.time = Time()
        self.wrong: "dict[str, int]" = {}
        self.said = 0  # boots at which the log said that something was cut
        self.promised: "list[str]" = []  # hashes of the lines that were acknowledged

    def blame(self, kind: str) -> None:
        """Count a thing that isn't so."""
        self.wrong[kind] = self.wrong.get(kind, 0) + 1

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


def no_sync() -> None:
    """Leave out every sync of a file."""
    call = Flash.call

    def unsynced(self: Flash, name: str, *arguments: "Any") -> int:
        if name == "fsync" and not isinstance(self._open[arguments[0]], str):
            return 0
        return call(self, name, *arguments)

    Flash.call = unsynced  # type: ignore[method-assign]


def no_care() -> None:
    """Go on behind whatever a loss of power left."""
    walk = chain.walk

    def careless(path: str, sodium: Sodium, visit: "Callable[[chain.Entry], None]") -> "tuple[chain.Entry | None, int]":
        return walk(path, sodium, visit)[0], 0

    audit.chain.walk = careless  # type: ignore[attr-defined]


VARIANTS = {"no-sync": no_sync, "no-care": no_care}


def boot(story: Story, flash: Flash, cut_at: int) -> "tuple[Flash, bool]":
    """Live the story once, with a cut at an operation (0: none); returns the flash after it, and whether power was cut."""
    flash.operations, flash.cut_at = 0, cut_at
    flash.folders.add(FOLDER)
    mount(flash)
    try:
        story.live()
    except PowerCut:
        return flash.after_cut(), True
    return flash, False


def run(seed: int, rounds: int) -> "dict[str, Any]":
    """Cut at every operation, `rounds` times with other remains, twice in a row each time; returns the figures."""
    dice, sodium = Dice(seed), Sodium()
    whole = Flash(dice)
    boot(Story(sodium), whole, 0)
    figures: "dict[str, Any]" = {"operations": whole.operations, "cuts": 0, "said": 0, "wrong": {}}
    figures["programmed"], figures["syncs"] = whole.programmed, whole.syncs
    for _ in range(rounds):
        for cut_at in range(1, whole.operations + 1):
            story = Story(sodium)
            flash, cut = boot(story, Flash(dice), cut_at)
            figures["cuts"] += cut
            flash, cut = boot(story, flash, 1 + dice(whole.operations))
            figures["cuts"] += cut
            boot(story, flash, 0)
            figures["said"] += story.said
            for kind, count in story.wrong.items():
                figures["wrong"][kind] = figures["wrong"].get(kind, 0) + count
    return figures


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

if __name__ == "__main__":
    if len(sys.argv) > 3:
        VARIANTS[sys.argv[3]]()
    said = run(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps([[name, said[name]] for name in sorted(said) if name != "wrong"] + sorted(said["wrong"].items())))
