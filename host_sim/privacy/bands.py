# SPDX-License-Identifier: Apache-2.0
"""How often the defined truth lies in the printed 95 % band, over a recorder's own days, from a seed (ANON-3).

The truth is the world's count, made without the agent. `host_sim.venue.truth.Daily` says what each metric counts
(ANON-2), at the moment the recorder learns of a terminal. A cell whose truth hangs on the day's lot of classes is left
out.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from agent.summary.metrics import PROFILES
from agent.summary.noise import Sampler
from host_sim.driver.scratch import scratch
from host_sim.privacy.paired import Device, crowd
from host_sim.privacy.terminal_signs import HOUR, OPENS, SECOND, Sign
from host_sim.venue.truth import Daily, Kept, Notice

PEOPLE = 40  # of a small café
MOST = 443  # ports whose classes the world knows


FINER = {  # like Daily.CELLS: where ranges begin
    "stays": (2, 3, 5, 9, 13, 17, 25, 33),
    "traffic": (3, 10, 30, 100, 200, 500, 1000, 2000),
}


def truths(signs: list[Sign]) -> dict[str, list[tuple[int, int]]]:
    """Return the defined truth of a day's signs: metric -> (least, most) of each cell, over all slots."""
    truth, sixths = Daily(), [0] * 144
    for sign in sorted(signs):
        if sign.at - 30 < sign.lasts:
            continue  # it began before the recorder listened: whose it is can't be known
        last = (OPENS + sign.at - 30) * SECOND
        octets = (sign.octets, 0, 1, 0)
        times = last - sign.lasts * SECOND, last
        record = Kept(bytes([sign.terminal]), b"", 17, 0, 0, *octets, *times, Notice(0), sign.port)
        sixths[sign.at // (HOUR // 6)] += truth.add(record, OPENS * SECOND, OPENS * SECOND)
    found = truth.cells()
    for name, per in (("tenminutes", 1), ("arrivals", 6), ("dayparts", 24)):
        found[name] = [(count, count) for count in (sum(sixths[at : at + per]) for at in range(0, 144, per))]
    for name, bounds in FINER.items():
        values = [len(seen.quarters) if name == "stays" else seen.octets >> 20 for seen in truth.terminals.values()]
        cells = Counter(sum(value >= bound for bound in bounds) for value in values)
        found[name] = [(cells[cell], cells[cell]) for cell in range(len(bounds) + 1)]
    return found


def day(
    seed: int, folder: Path, profile: str = "medium", noise: Callable[[], Sampler] | None = None
) -> "Counter[tuple[str, bool]]":
    """Play a café day in a folder; return how many cells of each metric lay within their band (True) and without.

    Without `noise` it is the recorder's own.
    """
    signs = [replace(sign, port=min(sign.port, MOST)) for sign in crowd(seed, PEOPLE)]
    expected, octets = truths(signs), Random(f"octets {seed}").randbytes
    held: Counter[tuple[str, bool]] = Counter()
    device = Device(folder, noise, rows=256, draws=octets, options=f" option profile '{profile}'\n")
    for name, text in device.play(signs).spool.items():
        message, metric = json.loads(text), name.split("-")[1]
        cells = message["values"]
        pairs = expected[metric][message["slot"] * len(cells) :][: len(cells)]
        for value, (least, most) in zip(cells, pairs, strict=True):
            if least == most:
                held[metric, abs(value - least) <= (message["half_width"] if noise is None else 0)] += 1
    return held


def shares(held: "Counter[tuple[str, bool]]") -> dict[str, float]:
    """Return the share of each metric's cells that lay within."""
    return {name: held[name, True] / (held[name, True] + held[name, False]) for name in {name for name, _ in held}}


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Play café days for so long, at least 1,000, under each profile; a finding for a share not of 93 to 97 %."""
    held: Counter[tuple[str, bool]] = Counter()
    end, days = time.monotonic() + seconds, 0
    with scratch("oubli-sim-") as folder:
        while days < 1000 or time.monotonic() < end:
            held += day(seed + days, Path(folder) / "day", sorted(PROFILES)[days % len(PROFILES)])
            days += 1
    found = shares(held)
    findings = [
        f"{name}: {share:.4f} of the cells lie in the band" for name, share in found.items() if not 0.93 < share < 0.97
    ]
    return {"days": days, "held": {name: round(share, 4) for name, share in found.items()}, "findings": findings}
