# SPDX-License-Identifier: Apache-2.0
"""The flash of the custodian's stores on the stage (`host_sim.faults.flash`), with its cuts of power (EXP-6).

What was synced when the power goes is there afterwards; what wasn't may be, in parts. A cut comes in the middle of what
the recorder would have written next. After each step what a thief would find is copied to the device's folder, where
the auditor looks. What was programmed in former times isn't remembered here: that is
`tests/purposes/test_custodian_flash.py`'s. Runs on MicroPython too.
"""

import gc
import os

from agent.runtime import libc, memory
from host_sim.faults import flash
from host_sim.faults.cells import Node, PlainCells

CAPACITY = 64 << 20  # octets
_ROOM = 4096  # octets that a file takes at least
# Octets between two collections of garbage on MicroPython, eight times the agent's: beside its own there is the model's
_GARBAGE = 262144
_WITHIN = 12  # operations within which a cut comes


class _Outside(Node):
    """A file whose octets lie outside the heap, where a device has them: a collection never goes through them.

    What was written stays where it is, for what is safe may lie there. Its room is never given back: a run ends soon.
    """

    def __init__(self, octets: bytes = b"") -> None:
        super().__init__()
        self._room = memory.scratch(_ROOM)
        self._end = 0  # of all that was ever written there
        self.append(octets)
        self.safe, self.same = self.seen, len(octets)

    def append(self, octets: bytes) -> None:
        """Write at the end, elsewhere where something was cut or there is no room left."""
        begins = len(self.seen)
        end = begins + len(octets)
        if end > self._room.size or begins < self._end:
            former = self._room
            self._room = memory.scratch((2 * end // _ROOM + 1) * _ROOM)
            memory.copy(self._room.address, former.address, begins)
        self._room.view[begins:end] = octets
        self._end = end
        self._see(end)

    def truncate(self, size: int) -> None:
        """Cut it, or let zeros follow."""
        self.same = min(self.same, size)
        if size > len(self.seen):
            self.append(bytes(size - len(self.seen)))
        else:
            self._see(size)

    def _see(self, size: int) -> None:
        octets: "Any" = libc.buffer_at(self._room.address, size) if size else b""
        self.seen = octets


class _Cells(PlainCells):
    """Cells whose files lie outside the heap."""

    file = _Outside


class Chip:
    """The chip of one device, mounted at `path`; `seed` decides what a cut leaves."""

    def __init__(self, path: str, seed: int) -> None:
        self._path = path
        self._shown: "dict[str, bytes]" = {}
        self._dice = flash.Dice(seed)
        if libc.NAME == "micropython":
            gc.threshold(_GARBAGE)  # type: ignore[attr-defined]
        _make(path)
        self._now = flash.Flash(self._dice, CAPACITY, path, _Cells(flash.PAGE))
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
        self._now = flash.Flash(self._dice, self._now.capacity, self._path, _Cells(flash.PAGE))
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
    from typing import Any, Callable
