# SPDX-License-Identifier: Apache-2.0
"""The agent-day: opens and closes it, counts, and says when what is drawn (ANON-3 to ANON-6).

An agent-day is a UTC date shifted to 03:00. While it is open every slot that has closed is drawn, whether or not
anybody came. That is at a moment of the next two minutes (`jitter`). What has one message a day follows at its close,
and the next day opens then. What is learned after a slot or day has closed counts nowhere, and so does a connection
that ended before the day's first counted hour.
"""

from agent.outbox import jitter
from agent.summary.metrics import DAY, METRICS, QUARTERS, SHIFT
from agent.summary.terminals import TERMS

_SECOND = 1000000000
QUARTER = 900 * _SECOND  # ns
LATE = 3600 * _SECOND  # ns past its end by the time since boot, after which a day is over whatever a trusted clock says


def day_of(second: int) -> int:
    """Return the agent-day (days since the epoch) that a second since the epoch belongs to."""
    return (second - SHIFT) // DAY


class AgentDay:
    """The day that is open in `terminals`, if one is; `releases` draw what is published of it.

    sixth    of an hour, since the day began; not known before the first trusted tick
    due      when the last slot that closed is drawn; `opened`: 03:00 of the present day, both ns since the epoch
    """

    def __init__(
        self,
        config: "Config",
        terminals: "Terminals",
        ledger: "Ledger",
        releases: "Releases",
        random: "Callable[[int], bytes]",
        log: "Callable[[str], None]",
    ) -> None:
        self.releases = releases
        self._config = config
        self.terminals = terminals
        self.ledger = ledger
        self._random = random
        self._log = log
        self._refused = 0
        self.sixth = -1
        self._turned = 0  # the hour whose beginning closed the last slot
        self._done = 0  # of the open day, by when what had closed is drawn, seconds since the epoch
        self.due = self.opened = 0
        terms: "list[int]" = []
        for number, metric in enumerate(METRICS):
            if metric.name in config.metrics:
                terms += (number,) + config.metrics[metric.name]
        self._terms = tuple(terms + [0] * (TERMS - len(terms)))
        if terminals.day and terminals.terms() != self._terms:
            # The day's start was spent for other metrics or another noise: these need a start of their own.
            terminals.erase()

    def counts(self) -> "tuple[bool, int, int]":
        """Return whether a connection counts now, the agent-day's begin (ns) and its first counted quarter-hour."""
        return self.terminals.day > 0 and self.sixth >= 0, self.opened, self.terminals.first_hour() << 2

    def see(self, mac: "int | bytes", start: int, end: int, service: int, octets: int) -> None:
        """Count a terminal's connection, from its first packet to its last (ns); nothing where no day is open."""
        terminals = self.terminals
        if terminals.day and self.sixth >= 0:
            first, last = self._touched(start, end)
            if first <= last:
                terminals.see(mac, self.sixth, first, last, service, octets)

    def enter(self, mac: int, start: int, end: int) -> int:
        """Return where the terminal's row stands, made where `see` would count a connection so; 0 for none."""
        first, last = self._touched(start, end)
        return self.terminals.row_of(mac, self.sixth) if first <= last else 0

    def _touched(self, start: int, end: int) -> "tuple[int, int]":
        """Return the first and the last quarter-hour that count of a connection."""
        first = max((start - self.opened) // QUARTER, self.terminals.first_hour() << 2)
        return first, min((end - self.opened) // QUARTER, QUARTERS - 1)

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> None:
        """Draw what has closed, close and open days; wall clock in ns since the epoch, `monotonic` in ns since boot."""
        terminals, second = self.terminals, wall // _SECOND
        if not trusted or not self._config.metrics:
            # Nothing is published; the day's key is destroyed at its end all the same (ANON-7).
            if terminals.over(monotonic):
                terminals.erase()
            return
        today, passed = day_of(second), (second - SHIFT) % DAY
        if second // 3600 != self._turned:
            self._turned = second // 3600
            self.due = self._turned * 3600 * _SECOND + jitter.drawn(self._random, jitter.MADE)
        if terminals.day:
            drawn = self._turned * 3600
            if wall < self.due:
                drawn -= 1  # this hour's isn't due yet: the one before
            if drawn != self._done and day_of(drawn) >= terminals.day:
                self.releases.draw(DAY if day_of(drawn) > terminals.day else (drawn - SHIFT) % DAY)
                self._done = drawn
            # A clock that was set back makes no day longer (ANON-7)
            if day_of(drawn) > terminals.day or terminals.over(monotonic - LATE):
                terminals.erase()
        # A day that has closed and isn't drawn yet counts nothing more
        self.sixth = -1 if 0 < terminals.day < today else passed // 600
        self.opened = (second - passed) * _SECOND
        if not terminals.day and today != self._refused and second >= self.ledger["high_water"]:
            summary = self._config.summary
            if self.ledger.start(today, summary.epsilon, summary.epsilon_ceiling):
                terminals.open_day(today, self.sixth // 6, monotonic + (DAY - passed) * _SECOND, self._terms)
            elif today == self.ledger["day"] and self.ledger["spent"] + summary.epsilon > summary.epsilon_ceiling:
                self._refused = today
                self._log("summary: silent until the next agent-day, its epsilon is spent (ANON-5)")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.config.config import Config
    from agent.summary.ledger import Ledger
    from agent.summary.releases import Releases
    from agent.summary.terminals import Terminals
