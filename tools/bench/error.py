# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench error`: how far published figures are from the truth, by metric and size of venue.

Beside theory and naive designs.

The truth is that of simulated café days (host_sim), scaled to the size of the venue. The figure is the mean of the
busiest cell over gateways and days. Its error is measured on noise that the agent's own sampler drew, and stands beside
the 95 % band that `tools.fleet.estimate` computes. The naive designs have the same epsilon:

randomised   every terminal tells of each cell itself, through randomised response (Warner 1965): no gateway to trust
by event     Laplace noise for every event that a terminal can cause in a day, because nothing holds it to one row
suppressed   no noise, cells below the display threshold left out: no privacy (one
             terminal at the threshold shows), and a bias

Beside it stand the noise in a café of 200 as REQUIREMENTS.md states it, and what no noise explains: the bias of the
defined truth against the real one (`host_sim.venue.reality`). That comes from the two slots and classes that count,
from connections whose end the kernel tells late, and from phones that change their MAC.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from agent.summary.metrics import METRICS as ALL
from agent.summary.metrics import PROFILES, Metric, display_threshold, scale
from agent.summary.noise import Sampler
from host_sim.report import plots
from host_sim.venue import reality
from host_sim.venue import scenario as scenarios
from tools.bench import venues
from tools.bench.rounds import Tell
from tools.bench.sheets import Chart, Sheet
from tools.fleet import accuracy, estimate

METRICS = [metric for metric in ALL if metric.name in PROFILES["medium"]]
VENUES = (20, 200, 2000)  # terminals a day
SCALES = ((1, 1), (1, 7), (1, 28), (500, 1), (500, 7), (500, 28))  # gateways, days
DRAWS = 40_000  # of noise, a metric
SUMS = 400  # sums that are measured, of each size
# What one terminal can cause in a day where each event is counted: an arrival an hour, a quarter-hour, a slot, a class.
EVENTS = {"arrivals": 24, "presence": 96, "volume": 96, "active": 6, "classes": 9}


# One standard deviation of the noise, per cent of a busy cell of a café of 200 terminals a
# day, at most (REQUIREMENTS.md, ANON-2).
STATED = {"arrivals": 31, "presence": 10, "volume": 10, "active": 30, "classes": 30}
STATED_FOR = 200
# What is sampled for the bias: scenario, hours between two MACs of a phone (None: as the scenario has it).
VENUES_SAMPLED: tuple[tuple[str, str, float | None], ...] = (
    ("café", "cafe-day", None),
    ("café, another MAC each hour", "cafe-day", 1.0),
)
HOTEL = ("hotel, another MAC each day", "hotel-week", None)


def sample(scenario: str, rotate: float | None, seeds: Iterable[int]) -> reality.Days:
    """Return the mean day of a scenario over seeds."""
    made = scenarios.load(scenario)
    if rotate is not None:
        made = replace(made, crowd=replace(made.crowd, rotate=rotate))
    lives = [reality.live(made, seed) for seed in seeds]
    devices = sum(one.devices for one in lives) / len(lives)
    return reality.Days(_mean([one.real for one in lives]), _mean([one.defined for one in lives]), devices)


def _mean(days: list[reality.Cells]) -> reality.Cells:
    return {metric: np.mean([cells[metric] for cells in days], axis=0).tolist() for metric in days[0]}


def noise(metric: Metric) -> float:
    """Return one standard deviation of a metric's noise."""
    return math.sqrt(estimate.variance(Fraction(*scale(metric.l1, metric.epsilon))))


def stated(shares: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return the noise of each metric in a café of 200, in per cent of its busiest and its mean cell in use."""
    rows = []
    for metric in METRICS:
        cells = [STATED_FOR * share for share in shares[metric.name] if share]
        busiest, mean = (round(100 * noise(metric) / one, 1) for one in (max(cells), sum(cells) / len(cells)))
        most = STATED[metric.name]
        rows.append({"metric": metric.name, "busiest": busiest, "mean": mean, "stated": most, "met": busiest <= most})
    return rows


def bias(name: str, days: reality.Days) -> list[dict[str, Any]]:
    """Return how far the defined truth is from the real one, of the busiest cell and of all cells, in per cent."""
    rows = []
    for metric in METRICS:
        real, defined = days.real[metric.name], days.defined[metric.name]
        busiest = max(range(len(real)), key=lambda cell: real[cell])
        pairs = {"busiest": (defined[busiest], real[busiest]), "all": (sum(defined), sum(real))}
        shown = {key: round(100 * (one / other - 1), 1) for key, (one, other) in pairs.items()}
        rows.append({"venue": name, "metric": metric.name, "truth": round(real[busiest], 1), **shown})
    return rows


def _percentile(noise: "np.ndarray[Any, Any]", terms: int, draw: np.random.Generator) -> float:
    """Return the error that 95 % of means of so many draws stay within."""
    sums = [abs(draw.choice(noise, terms).sum()) / terms for _ in range(SUMS)]
    return float(np.quantile(sums, 0.95))


def size(*, quick: bool) -> tuple[int, int]:
    """Return how many café days and hotel weeks are sampled where nothing else is asked for."""
    return (1, 0) if quick else (7, 1)


def measure(seed: int, days: int, weeks: int, tell: Tell) -> dict[str, Any]:
    """Return a row for each metric, venue and scale: errors in per cent of the truth (95 %), noise and bias.

    `days` café days of each kind are sampled, and `weeks` of a hotel.
    """
    lives: dict[str, reality.Days] = {}
    for (name, scenario, rotate), count in (*((one, days) for one in VENUES_SAMPLED), (HOTEL, weeks)):
        if count:
            tell(name)
            lives[name] = sample(scenario, rotate, range(seed, seed + count))
    cafe = lives[VENUES_SAMPLED[0][0]]
    shares = {metric: [cell / cafe.devices for cell in cells] for metric, cells in cafe.defined.items()}
    draw = np.random.default_rng(seed)
    sampler = Sampler(Random(seed).randbytes)
    rows = []
    for metric in METRICS:
        tell(metric.name)
        b = scale(metric.l1, metric.epsilon)
        drawn = np.array([sampler.laplace(b) for _ in range(DRAWS)])
        both = np.concatenate((drawn, -drawn))  # else the mean of these draws would pass for a bias of large sums
        for size in SCALES:
            terms = size[0] * size[1]
            found = {
                "measured": _percentile(both, terms, draw),
                "theory": estimate.half_width({Fraction(*b): terms}) / terms,
            }
            rows += [_row(metric, shares[metric.name], venue, size, found) for venue in VENUES]
    biases = [row for name, one in lives.items() for row in bias(name, one)]
    tell("venues")
    sizes = venues.measure(accuracy.shares(cafe.defined["arrivals"]), seed)
    return {
        "venues": sizes,
        "rows": rows,
        "noise": stated(shares),
        "bias": biases,
        "seed": seed,
        "days": days,
        "weeks": weeks,
        "draws": DRAWS,
        "sums": SUMS,
    }


def _row(
    metric: Metric, shares: list[float], venue: int, size: tuple[int, int], found: dict[str, float]
) -> dict[str, Any]:
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


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    rows: list[tuple[str, ...]]
    columns = ("truth", "measured", "theory", "randomised", "by_event", "suppressed")
    rows = [
        (
            row["metric"],
            *(f"{row[name]:,}" for name in ("terminals", "gateways", "days")),
            *(f"{row[name]:,.1f}" for name in columns),
        )
        for row in result["rows"]
    ]
    headings: tuple[str, ...] = (
        "metric",
        "people",
        "venues",
        "days",
        "truth",
        "measured",
        "theory",
        "randomised",
        "by event",
        "suppressed",
    )
    errors = Sheet("Error of the busiest cell's mean, % of the truth, with 95 %", headings, rows)
    rows = [
        (
            row["metric"],
            f"{row['busiest']:.1f}",
            f"{row['mean']:.1f}",
            f"{row['stated']} at most",
            "yes" if row["met"] else "no",
        )
        for row in result["noise"]
    ]
    headings = ("metric", "busiest cell", "mean cell", "stated (ANON-2)", "met")
    noises = Sheet(f"Noise (1 sigma), café of {STATED_FOR}, % of a cell", headings, rows)
    rows = [
        (row["venue"], row["metric"], f"{row['truth']:.1f}", f"{row['busiest']:+.1f}", f"{row['all']:+.1f}")
        for row in result["bias"]
    ]
    title = f"Bias of what is counted against what people did, a mean day of {result['days']}, %"
    headings = ("venue", "metric", "busiest cell's truth", "busiest cell", "all cells")
    return [venues.sheet(result["venues"]), errors, noises, Sheet(title, headings, rows, (0, 1))]


def charts(result: dict[str, Any]) -> list[Chart]:
    """Draw the error against the number of gateway-days, a line a metric, in a venue of 200."""
    figure, axes = plots.canvas(size=(9.0, 3.2))
    for metric in METRICS:
        rows = sorted(
            (row["gateways"] * row["days"], row["measured"])
            for row in result["rows"]
            if (row["metric"], row["terminals"]) == (metric.name, STATED_FOR)
        )
        axes.plot(*zip(*rows, strict=True), marker="o", markersize=3, label=metric.name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(fontsize=7)
    title = "error with 95 %, in per cent of the busiest cell, by gateways x days"
    return [Chart(plots.svg(figure, title), f"Venues of {STATED_FOR}: {title}; both axes are logarithmic.")]
