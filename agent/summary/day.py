# SPDX-License-Identifier: Apache-2.0
"""The agent-day: opens it, counts, and draws each cell once (ANON-3 to ANON-6).

An agent-day is a UTC date shifted to 03:00. While it is open every slot that has closed is marked, drawn and spooled, whether or
not anybody came. What is learned after a slot or day has closed counts nowhere.
"""

from agent.forward import messages
from agent.summary.metrics import METRICS, scale

SHIFT, DAY = 10800, 86400
SETTLE = 60  # seconds after a slot's end
JITTER = 601  # 0..600 s, fixed by the gateway's id


def day_of(second: int) -> int:
    """Return the agent-day (days since the epoch) that a second since the epoch belongs to."""
    return (second - SHIFT) // DAY


class AgentDay:
    """Wires table, ledger, sampler and spool; `epsilons` holds the enabled metrics in thousandths."""

    def __init__(
        self,
        config: "Config",
        terminals: "Terminals",
        ledger: "Ledger",
        sampler: "Sampler",
        spool: "Spool",
        jitter: int,
        log: "Callable[[str], None]",
    ) -> None:
        self._config = config
        self._terminals = terminals
        self._ledger = ledger
        self._sampler = sampler
        self._spool = spool
        self._jitter = jitter
        self._log = log
        self._refused = 0
        self.last: "tuple[int, int] | None" = None
        self.lost = 0
        self._hour = -1  # not known before the first trusted tick

    def see(self, mac: "int | bytes") -> None:
        """Count a terminal in the hour that the last `tick` was in; nothing where no day is open."""
        if self._terminals.day and self._hour >= 0:
            self._terminals.see(mac, self._hour)

    def tick(self, second: int, monotonic: int, *, trusted: bool) -> None:
        """Draw what has closed, close and open days; `second` is the wall clock, `monotonic` ns since boot."""
        terminals = self._terminals
        if not trusted or not self._config.metrics:
            # Nothing is published; the day's key is destroyed at its end all the same (ANON-7).
            if terminals.over(monotonic):
                terminals.erase()
            return
        today = day_of(second)
        if terminals.day:
            closed = 24 if today > terminals.day else (second - SHIFT) % DAY // 3600
            if today >= terminals.day:
                self._draw(closed)
            if today > terminals.day:
                terminals.erase()
        self._hour = (second - SHIFT) % DAY // 3600
        if not terminals.day and today != self._refused:
            summary = self._config.summary
            if self._ledger.start(today, summary.epsilon, summary.epsilon_ceiling):
                left = DAY - (second - SHIFT) % DAY
                terminals.open_day(today, self._hour, monotonic + left * 1000000000)
            elif today == self._ledger["day"]:
                self._refused = today
                self._log("summary: silent until the next agent-day, its epsilon is spent (ANON-5)")

    def _draw(self, closed: int) -> None:
        terminals = self._terminals
        for metric in METRICS:
            epsilon = self._config.metrics.get(metric.name)
            if epsilon is None:
                continue
            b = scale(metric.l1, epsilon)
            for slot in range(min(closed, metric.slots)):
                if terminals.drawn(slot):
                    continue
                terminals.mark(slot)
                value = terminals.arrived(slot) + self._sampler.laplace(b)
                start = terminals.day * DAY + SHIFT + slot * metric.slot_seconds
                end = start + metric.slot_seconds
                text = messages.summary(self._config.gateway.id, metric, terminals.day, slot, start, end, value, b)
                try:
                    self._spool.put(end + SETTLE + self._jitter, metric.name, slot, text)
                except OSError:
                    # Marked and not spooled: lost for ever, never drawn again.
                    self.lost += 1
                    self._log("summary: a message could not be spooled and is lost")
                else:
                    self.last = (terminals.day, slot)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.config import Config
    from agent.forward.spool import Spool
    from agent.summary.ledger import Ledger
    from agent.summary.noise import Sampler
    from agent.summary.terminals import Terminals
