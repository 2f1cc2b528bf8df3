# SPDX-License-Identifier: Apache-2.0
"""For how long the gateway slept (system suspend): meanwhile the kernel's ticks stand still."""

_SECOND = 1000000000
_NAP = _SECOND // 20  # a shorter sleep counts with the next one
_KEPT = 4  # sleeps remembered apart


class Sleeps:
    """The last sleeps, each until when (wall clock, ns) and for how many seconds; `slept` answers ns of this boot."""

    def __init__(self, slept: "Callable[[], int]") -> None:
        self._slept = slept
        self.counted = 0  # of these
        self.rows: "list[tuple[int, int]]" = []

    def woke(self) -> bool:
        """Return True if the gateway has slept since `note`."""
        return self._slept() - self.counted > _NAP

    def note(self, now: int) -> None:
        """Take note that it woke by now."""
        slept = self._slept()
        self.rows.append((now, (slept - self.counted) // _SECOND + 1))
        self.counted = slept
        if len(self.rows) > _KEPT:  # too many to tell apart: the two oldest count for the longer of their times
            (_, oldest), (until, longer) = self.rows[:2]
            self.rows[:2] = [(until, oldest + longer)]

    def since(self, start: int) -> int:
        """Return for how many seconds it slept since then, at most."""
        seconds = 0
        for until, longer in self.rows:
            if until >= start:
                seconds += longer
        return seconds

    def shift(self, step: int) -> None:
        """Take note that the wall clock was stepped by so many ns."""
        self.rows = [(until + step, longer) for until, longer in self.rows]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
