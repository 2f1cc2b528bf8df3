# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench error`: how far published figures are from the truth, by metric and size of venue, beside theory and naive designs.

The truth is a simulated café day's (host_sim), scaled to the size of the venue; the figure is the mean of the busiest cell over
gateways and days. Its error is measured on noise that the agent's own sampler drew, and stands beside the 95 % band that
`tools.fleet.estimate` computes. The naive designs have the same epsilon:

randomised   every terminal tells of each cell itself, through randomised response (Warner 1965): no gateway to trust
by event     Laplace noise for every event that a terminal can cause in a day, because nothing holds it to one row
suppressed   no noise, cells below the display threshold left out: no privacy (one terminal at the threshold shows), and a bias
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from agent.summary.metrics import METRICS, Metric, display_threshold, scale
from agent.summary.noise import Sampler
from host_sim import scenario as scenarios
from host_sim.world import World
from tools.fleet import estimate

VENUES = (20, 200, 2000)  # terminals a day
SCALES = ((1, 1), (1, 7), (1, 28), (500, 1), (500, 28))  # gateways, days
DRAWS = 40_000  # of noise, a metric
SUMS = 400  # sums that are measured, of each size
# What one terminal can cause in a day where each event is counted: an arrival an hour, a quarter-hour, a slot, a class.
EVENTS = {"arrivals": 24, "presence": 96, "volume": 96, "active": 6, "classes": 9}


def cafe(seed: int) -> dict[str, list[float]]:
    """Return a simulated café day's cells, as shares of its terminals."""
    world = World(scenarios.load("cafe-day"), seed)
    for step in world.steps():
        if step.wall > world.people_end + world.scenario.timeouts["tcp_timeout_established"] * 10**9:
            break
    truth = world.truth
    truth.close_day()
    (cells, *_) = truth.daily.values()
    count = len(truth.terminals)
    shares = {metric: [most / count for _, most in counts] for metric, counts in cells.items()}
    return {"arrivals": [truth.learned[hour] / count for hour in sorted(truth.learned)], **shares}


def _percentile(noise: "np.ndarray[Any, Any]", terms: int, draw: np.random.Generator) -> float:
    """Return the error that 95 % of means of so many draws stay within."""
    sums = [abs(draw.choice(noise, terms).sum()) / terms for _ in range(SUMS)]
    return float(np.quantile(sums, 0.95))


def measure(seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return a row for each metric, venue and scale; errors in per cent of the truth, with 95 %."""
    tell("a café day")
    shares = cafe(seed)
    draw = np.random.default_rng(seed)
    sampler = Sampler(Random(seed).randbytes)
    rows = []
    for metric in METRICS:
        tell(metric.name)
        b = scale(metric.l1, metric.epsilon)
        drawn = np.array([sampler.laplace(b) for _ in range(DRAWS)])
        noise = np.concatenate((drawn, -drawn))  # else the mean of these draws would pass for a bias of large sums
        for gateways, days in SCALES:
            terms = gateways * days
            found = {"measured": _percentile(noise, terms, draw), "theory": estimate.half_width({Fraction(*b): terms}) / terms}
            rows += [_row(metric, shares[metric.name], venue, (gateways, days), found) for venue in VENUES]
    return {"rows": rows, "seed": seed, "draws": DRAWS, "sums": SUMS}


def _row(metric: Metric, shares: list[float], venue: int, size: tuple[int, int], found: dict[str, float]) -> dict[str, Any]:
    terms = size[0] * size[1]
    truth = max(shares) * venue
    odds = math.exp(metric.epsilon / 1000 / metric.l1)
    randomised = 1.96 * math.sqrt(venue * odds / terms) / (odds - 1)
    by_event = 1.96 * math.sqrt(estimate.variance(EVENTS[metric.name] / Fraction(metric.epsilon, 1000)) / terms)
    below = display_threshold(scale(metric.l1, metric.epsilon))
    lost = sum(share for share in shares if share * venue < below) / sum(shares)
    errors = {**found, "randomised": randomised, "by_event": by_event}
    return {
        "metric": metric.name,
        "terminals": venue,
        "gateways": size[0],
        "days": size[1],
        "truth": round(truth, 2),
        **{name: round(100 * error / truth, 2) for name, error in errors.items()},
        "suppressed": round(100 * lost, 2),
    }


def table(result: dict[str, Any]) -> Table:
    """Return the result for a person."""
    shown = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 0),
        collapse_padding=True,
        title="Error of the busiest cell's mean, % of the truth, with 95 %",
        title_justify="left",
    )
    for heading in ("metric", "people", "venues", "days", "truth", "measured", "theory", "randomised", "by event", "suppressed"):
        shown.add_column(heading, justify="left" if heading == "metric" else "right", no_wrap=True)
    for last, row in _marked(result["rows"]):
        values = [f"{row[name]:,.1f}" for name in ("truth", "measured", "theory", "randomised", "by_event", "suppressed")]
        shown.add_row(row["metric"], *(f"{row[name]:,}" for name in ("terminals", "gateways", "days")), *values, end_section=last)
    return shown


def _marked(rows: list[dict[str, Any]]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Yield each row, and whether it is the last of its metric."""
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        yield following is None or following["metric"] != row["metric"], row
