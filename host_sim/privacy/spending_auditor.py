# SPDX-License-Identifier: Apache-2.0
"""The auditor of `host_sim.privacy.spending`: a count of its own of what was drawn (ANON-5, ANON-6).

It believes no ledger. It notes each draw by the start that it belongs to (the day's key tells starts apart). It reads
every message that ever lay on flash, torn and removed ones too:

- the epsilons of what was drawn on an agent-day, over all starts of it, are never more than the ceiling;
- a cell (day, metric, slot) has at most one outcome, in the spool and in all remnants;
- agent-days that gave anything are at most one, and one more for each six hours that the device was truly on;
- after a reset or a restored backup nothing is drawn for 24 powered-on hours: what
  was spent on that agent-day isn't known.

A reset begins another life: nothing on the device remembers which cells the former
one drew, only the silence lies between.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction

from agent.summary.metrics import Metric
from agent.summary.releases import Releases
from host_sim.privacy.living_device import LivingDevice

HOUR = 3600 * 1_000_000_000  # ns
CEILING = 2000
TOKEN = 6 * HOUR
SILENCE = 24  # powered-on hours after which the device may count again that doesn't know what it spent
_MESSAGE = re.compile(rb'"schema":"oubli/([a-z]+)/1".*?"day":"([0-9-]+)","slot":([0-9]+),.*?"values":(\[[-0-9,]*\])')


class SpendingError(Exception):
    """What must never be false was false; the text says what."""


class SpendingAuditor:
    """What one device drew, over all its lives."""

    def __init__(self) -> None:
        # life, day -> start -> metric -> epsilon, thousandths
        self.drawn: dict[tuple[int, int], dict[str, dict[str, Fraction]]] = defaultdict(lambda: defaultdict(dict))
        self.cells: dict[tuple[bytes, ...], bytes] = {}
        self.unknown = 0  # ns that the device was on when it couldn't know what it spent any more
        self._seen = 0

    def beside(self, device: LivingDevice, releases: Releases) -> Callable[[Metric, int], None]:
        """Return the draw of a message, noted first."""
        publish, table = releases.publish, releases._terminals  # noqa: SLF001 (as above)

        def noted(metric: Metric, slot: int) -> None:
            if self.unknown and device.on() < self.unknown + SILENCE * HOUR:
                raise SpendingError(
                    f"drawn {(device.on() - self.unknown) / HOUR:.1f} powered-on hours after the ledger was lost"
                )
            over, under = device.config.metrics[metric.name]
            costs = self.drawn[device.life, table.day][bytes(table._view[64:80]).hex()]  # noqa: SLF001 (as above)
            costs[metric.name] = Fraction(1000 * metric.l1 * under, over)
            publish(metric, slot)

        return noted

    def look(self, device: LivingDevice) -> None:
        """Count what was drawn, and read everything that ever lay on flash."""
        for (_, day), starts in self.drawn.items():
            spent = sum(cost for costs in starts.values() for cost in costs.values())
            if spent > CEILING:
                raise SpendingError(f"{float(spent):.1f} thousandths of epsilon were drawn for on agent-day {day}")
        on = device.on()
        if len(self.drawn) > 1 + on // TOKEN:
            raise SpendingError(f"{len(self.drawn)} agent-days in {on / HOUR:.1f} powered-on hours")
        texts = device.flash.cells.remnants[self._seen :] + [node.seen for node in device.flash.names.values()]
        self._seen = len(device.flash.cells.remnants)
        for text in texts:
            for *cell, values in _MESSAGE.findall(text):
                if self.cells.setdefault((b"%d" % device.life, *cell), values) != values:
                    raise SpendingError(f"two outcomes of {b' '.join(cell).decode()}")
