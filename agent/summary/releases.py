# SPDX-License-Identifier: Apache-2.0
"""Noisy figures of the open agent-day: each cell is drawn once, with noise, and spooled (ANON-3 to ANON-5).

A slot is marked before it is drawn. So what is lost on the way to the spool is lost for ever, and never drawn again.
"""

from agent.outbox import jitter
from agent.runtime.libc import reason
from agent.summary import messages
from agent.summary.metrics import DAY, METRICS, SHIFT


class Releases:
    """What is published of a day's table, and with how much noise, is `config.metrics`.

    `lost` counts messages that weren't spooled; `failing`: flash refused the newest one.
    """

    def __init__(
        self,
        config: "Config",
        terminals: "Terminals",
        ledger: "Ledger",
        sampler: "Sampler",
        spool: "Spool",
        published: "Published",
        log: "Callable[[str], None]",
    ) -> None:
        self.lost = 0
        self.failing = False
        self._config = config
        self._terminals = terminals
        self._ledger = ledger
        self._sampler = sampler
        self.spool = spool
        self.published = published
        self._log = log

    def draw(self, passed: int) -> None:
        """Draw every message whose slot closed by `passed` seconds of the open day, if counted in and not marked."""
        counted = self._terminals.first_hour() * 3600
        for metric in METRICS:
            if metric.name in self._config.metrics:
                for slot in range(counted // metric.slot_seconds, passed // metric.slot_seconds):
                    if not self._terminals.drawn(metric.place + slot):
                        self.publish(metric, slot)

    def publish(self, metric: "Metric", slot: int) -> None:
        """Mark a metric's slot, draw its cells and spool the message."""
        terminals = self._terminals
        terminals.mark(metric.place + slot)
        opened = terminals.day * DAY + SHIFT
        end = opened + (slot + 1) * metric.slot_seconds
        b = self._config.metrics[metric.name]
        try:
            # After a boot the marks are gone: this keeps a clock that is set back from coming to the slot's end again.
            self._ledger.reach(end)
            values = [count + self._sampler.laplace(b) for count in terminals.count(metric, slot)]
            start = max(end - metric.slot_seconds, opened + terminals.first_hour() * 3600)
            text = messages.summary(self._config.gateway.id, metric, terminals.day, slot, start, end, values, b)
            self.spool.put(end + jitter.SETTLE, metric.name, slot, text)
            self.failing = False
        except OSError:
            # Marked and not spooled: lost for ever, never drawn again.
            self.lost += 1
            self.failing = True
            self._log("summary: a message could not be spooled and is lost")
            return
        try:
            self.published.put(terminals.day, metric.place + slot, text)
        except OSError as failure:
            self._log("summary: a message can't be shown here" + reason(failure.errno))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.config.config import Config
    from agent.outbox.spool import Spool
    from agent.summary.ledger import Ledger
    from agent.summary.metrics import Metric
    from agent.summary.noise import Sampler
    from agent.summary.published import Published
    from agent.summary.terminals import Terminals
