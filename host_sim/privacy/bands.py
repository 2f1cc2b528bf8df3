# SPDX-License-Identifier: Apache-2.0
"""How often the defined truth lies in the printed 95 % band: a recorder's own days, with its own noise, from a seed (ANON-3).

The truth is the world's count (`host_sim.venue.truth.Daily`: ANON-2's second column at the moment the recorder learns of a terminal), made
without the agent; a cell whose truth hangs on the day's lot of classes is left out.
"""

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from agent.summary.metrics import METRICS
from host_sim.driver.scratch import scratch
from host_sim.privacy.paired import HOUR, OPENS, SECOND, Device, crowd
from host_sim.venue.truth import Daily, Kept

PEOPLE = 40  # of a small café
MOST = 443  # ports whose classes the world knows


def day(seed: int, folder: Path) -> "Counter[tuple[str, bool]]":
    """Play a café day in a folder; return how many cells of each metric lay within their band (True) and without."""
    signs = [replace(sign, port=min(sign.port, MOST)) for sign in crowd(seed, PEOPLE)]
    truth, arrivals = Daily(), [0] * 24
    for sign in sorted(signs):
        last = (OPENS + sign.at - 30) * SECOND
        octets = (sign.octets, 0, 1, 0)
        record = Kept(bytes([sign.terminal]), b"", 17, 0, 0, *octets, last - sign.lasts * SECOND, last, 0, sign.port)
        arrivals[sign.at // HOUR] += truth.add(record, OPENS * SECOND, OPENS * SECOND)
    expected = {"arrivals": [(count, count) for count in arrivals], **truth.cells()}
    held: Counter[tuple[str, bool]] = Counter()
    for name, text in Device(folder, None, rows=256, draws=Random(f"octets {seed}").randbytes).play(signs).spool.items():
        message, metric = json.loads(text), name.split("-")[1]
        pairs = expected[metric][message["slot"] :] if metric == "arrivals" else expected[metric]
        for value, (least, most) in zip(message["values"], pairs, strict=False):
            if least == most:
                held[metric, abs(value - least) <= message["half_width"]] += 1
    return held


def shares(held: "Counter[tuple[str, bool]]") -> dict[str, float]:
    """Return the share of each metric's cells that lay within."""
    return {metric.name: held[metric.name, True] / (held[metric.name, True] + held[metric.name, False]) for metric in METRICS}


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Play café days for so long, at least a thousand; a finding where a metric's share isn't 93 to 97 %."""
    held: Counter[tuple[str, bool]] = Counter()
    end, days = time.monotonic() + seconds, 0
    with scratch("oubli-sim-") as folder:
        while days < 1000 or time.monotonic() < end:
            held += day(seed + days, Path(folder) / "day")
            days += 1
    found = shares(held)
    findings = [f"{name}: {share:.4f} of the cells lie in the band" for name, share in found.items() if not 0.93 < share < 0.97]
    return {"days": days, "held": {name: round(share, 4) for name, share in found.items()}, "findings": findings}
