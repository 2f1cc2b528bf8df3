# SPDX-License-Identifier: Apache-2.0
"""What a share of a light fleet has done so far: counts, how long messages waited, and a list of the figures sent."""

import math
import time
from collections import Counter
from pathlib import Path
from typing import IO

from host_sim.load.light_gateway import Due

STEP = 1.05  # waits are counted by powers of it: each is known to 5 %


class Tally:
    """`counts` by what happened; each figure that was taken is a line of the file `sent`, where there is one."""

    def __init__(self, sent: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self.waits: dict[str, Counter[int]] = {"figures": Counter(), "healths": Counter()}
        self._sent: IO[str] | None = sent.open("w") if sent else None

    def taken(self, ident: str, one: Due) -> None:
        """A gateway's message was taken by the broker."""
        wait = max(time.monotonic() - one.moment, 0.0001)
        what = "figures" if one.end else "healths"
        self.counts[what] += 1
        self.waits[what][math.ceil(math.log(wait, STEP))] += 1
        if self._sent and one.end:
            self._sent.write(f"{ident} {one.kind} {one.end} {time.time() - wait:.3f}\n")

    def told(self) -> dict[str, object]:
        """Return how it goes."""
        if self._sent:
            self._sent.flush()
        waits = {what: {str(step): count for step, count in steps.items()} for what, steps in self.waits.items()}
        return {**self.counts, "cpu": time.process_time(), "waits": waits}
