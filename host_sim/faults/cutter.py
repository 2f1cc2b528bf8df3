# SPDX-License-Identifier: Apache-2.0
"""Power that is cut at every operation on flash of a story (EXP-6): what the stories of host_sim's `..._cuts` share.

A story is the agent's own code over `host_sim.faults.flash`. It is lived once whole, to count its operations; then with
a cut before each operation in turn and in the middle of each sync. That is done `rounds` times with other remains, on
pages of a NOR's or a NAND's size. The next boot is cut too, early, while it recovers, and the one after it is not. Runs
on MicroPython too.
"""

import json

from host_sim.faults.flash import PAGES, Dice, Flash, PowerCut, mount


class Story:
    """What is lived, and what was told. `wrong` counts what was false, by kind."""

    def __init__(self) -> None:
        self.wrong: dict[str, int] = {}

    def blame(self, kind: str) -> None:
        """Count a thing that isn't so."""
        self.wrong[kind] = self.wrong.get(kind, 0) + 1

    def live(self) -> None:
        """Boot, look at what is there, and work; PowerCut may come at any operation."""
        raise NotImplementedError

    def end(self, figures: "dict[str, Any]") -> None:
        """Let go of what it holds, and add what it has counted."""
        for kind, count in self.wrong.items():
            figures["wrong"][kind] = figures["wrong"].get(kind, 0) + count


def boot(story: Story, flash: Flash, cut_at: int) -> "tuple[Flash, bool]":
    """Live the story once, with a cut at an operation (0: none); returns the flash, and whether power was cut."""
    flash.operations, flash.cut_at = 0, cut_at
    mount(flash)
    try:
        story.live()
    except PowerCut:
        return flash.after_cut(), True
    return flash, False


def fresh(dice: Dice, *folders: str) -> Flash:
    """Return an empty flash with these folders, and pages of a size that there is."""
    flash = Flash(dice)
    flash.cells.page = PAGES[dice(len(PAGES))]
    flash.folders |= set(folders)
    return flash


def run(
    make: "Callable[[], Story]", folders: "tuple[str, ...]", seed: int, rounds: int, early: int
) -> "dict[str, Any]":
    """Cut the stories that `make` makes; returns the figures.

    The second cut is within `early` operations, 0: anywhere.
    """
    dice = Dice(seed)
    whole, story = fresh(dice, *folders), make()
    boot(story, whole, 0)
    figures: dict[str, Any] = {"operations": whole.operations, "cuts": 0, "wrong": {}}
    figures["programmed"], figures["syncs"] = whole.cells.programmed, whole.syncs
    story.end({"wrong": {}})
    for _ in range(rounds):
        for cut_at in range(1, whole.operations + 1):
            story = make()
            flash, cut = boot(story, fresh(dice, *folders), cut_at)
            figures["cuts"] += cut
            flash, cut = boot(story, flash, 1 + dice(early or whole.operations))
            figures["cuts"] += cut
            boot(story, flash, 0)
            story.end(figures)
    return figures


def tell(figures: "dict[str, Any]") -> None:
    """Print the figures as JSON: pairs of name and number, what was found false last."""
    print(
        json.dumps(
            [[name, figures[name]] for name in sorted(figures) if name != "wrong"] + sorted(figures["wrong"].items())
        )
    )


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
