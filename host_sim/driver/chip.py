# SPDX-License-Identifier: Apache-2.0
"""The flash of the custodian's stores on the stage (`host_sim.faults.flash`), with its cuts of power (EXP-6).

What was synced when the power goes is there afterwards; what wasn't may be, in parts. A cut comes in the middle of what
the recorder would have written next. After each step what a thief would find is copied to the device's folder, where
the auditor looks. What was programmed in former times isn't remembered here: that is
`tests/purposes/test_custodian_flash.py`'s. Runs on MicroPython too.
"""

import gc
import os

from agent.runtime.libc import NAME
from host_sim.faults import flash
from host_sim.faults.cells import PlainCells

CAPACITY = 64 << 20  # octets
# Octets between two collections of garbage on MicroPython, eight times the agent's: each goes through all that lies on
# the chip, which no device has in its heap
_GARBAGE = 262144
_WITHIN = 12  # operations within which a cut comes


class Chip:
    """The chip of one device, mounted at `path`; `seed` decides what a cut leaves."""

    def __init__(self, path: str, seed: int) -> None:
        self._path = path
        self._shown: "dict[str, bytes]" = {}
        self._dice = flash.Dice(seed)
        if NAME == "micropython":
            gc.threshold(_GARBAGE)  # type: ignore[attr-defined]
        _make(path)
        self._now = flash.Flash(self._dice, CAPACITY, path, PlainCells(flash.PAGE))
        flash.mount(self._now)

    def cut(self, write: "Callable[[], object]") -> None:
        """Let the power go while the recorder does `write`, or after it if it does little; what is left is mounted."""
        self._now.cut_at = self._now.operations + 1 + self._dice(_WITHIN)
        try:
            write()
        except flash.PowerCut:
            pass
        self._now = self._now.after_cut()
        flash.mount(self._now)

    def empty(self) -> None:
        """Let nothing be left on it, as a factory reset does."""
        self._now = flash.Flash(self._dice, self._now.capacity, self._path, PlainCells(flash.PAGE))
        flash.mount(self._now)

    def fill(self, *, full: bool) -> None:
        """Let it have no free page, or room again."""
        self._now.capacity = 0 if full else CAPACITY

    def show(self) -> None:
        """Copy what the chip holds to where its path is on this machine."""
        names = self._now.names
        for name in [name for name in self._shown if name not in names]:
            os.remove(name)
            del self._shown[name]
        for name in names:
            seen = names[name].seen
            if self._shown.get(name) != seen:
                _make(name.rsplit("/", 1)[0])
                with open(name, "wb") as file:
                    file.write(seen)
                self._shown[name] = seen


def _make(path: str) -> None:
    """Make a folder and those above it, where they aren't there."""
    at = 1
    while at:
        at = path.find("/", at) + 1
        try:
            os.mkdir(path[: at - 1] if at else path)
        except OSError:
            pass


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
