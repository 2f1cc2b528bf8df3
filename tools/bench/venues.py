# SPDX-License-Identifier: Apache-2.0
"""What an operator looks at, before and now: one metric of `medium` alone, and the venue's profile, all combined.

For venues of 20 to 2,000 terminals: a day's total, its busiest hour, the mean day of a week. Besides, a weekday's
busiest hour over four weeks, and the day of a group of 30 gateways. Errors are one standard deviation in per cent of
the truth, measured on drawn noise. Beside them stands how often the truth lay in the 95 % band. The truth is a day of
the simulated café's hours, so that nothing but noise is measured.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.bench.sheets import Sheet
from tools.fleet import accuracy

TERMINALS = (20, 100, 200, 500, 2000)
WEEKDAYS = 20  # of four weeks
GROUP = 30
DRAWS = 4000
FIGURES = (  # name, which of accuracy's figures, gateways, days
    ("day", 0, 1, 1),
    ("busiest hour", 1, 1, 1),
    ("week's mean day", 0, 1, 7),
    ("busiest hour, 20 weekdays", 1, 1, WEEKDAYS),
    (f"day of {GROUP} gateways", 0, GROUP, 1),
)
WANTED = {(100, "day"): 8.0, (100, "busiest hour, 20 weekdays"): 12.0}  # per cent, at most


def drawn(figure: accuracy.Figure, gateways: int, days: int, draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return the error of a figure, DRAWS times: its noise drawn term by term, as differences of geometric numbers."""
    total = np.zeros(DRAWS)
    for (b, weight), count in figure.noise.items():
        p = 1 - math.exp(-1 / b)
        terms = count * gateways * days
        # A sum of geometric draws is a negative binomial one.
        noise = draw.negative_binomial(terms, p, DRAWS) - draw.negative_binomial(terms, p, DRAWS)
        total += float(weight) / days * noise
    return total


def measure(hours: Sequence[float], seed: int) -> list[dict[str, Any]]:
    """Return a row for each size and figure; `hours`: the shares of the day's terminals that come in each hour."""
    draw = np.random.default_rng(seed)
    rows = []
    for terminals in TERMINALS:
        profile = accuracy.profile_for(terminals)
        before, now = accuracy.alone("medium", terminals, hours), accuracy.figures(profile, terminals, hours)
        for name, number, gateways, days in FIGURES:
            row: dict[str, Any] = {"terminals": terminals, "profile": profile, "figure": name}
            for when, figure in (("before", before[number]), ("now", now[number])):
                errors, width = drawn(figure, gateways, days, draw), figure.half_width(gateways, days)
                row[when] = round(100 * float(errors.std()) / (figure.truth * gateways), 1)
                row[f"{when}_held"] = round(100 * float((np.abs(errors) <= width + 1e-9).mean()), 1)
                row[f"{when}_is"] = figure.name
            wanted = WANTED.get((terminals, name))
            rows.append(row | {"wanted": wanted, "met": wanted is None or row["now"] <= wanted})
    return rows


def sheet(rows: list[dict[str, Any]]) -> Sheet:
    """Return the rows for a person."""
    columns = ("terminals", "profile", "figure", "before", "held", "now", "held", "wanted", "met")
    shown = [
        (
            f"{row['terminals']:,}",
            row["profile"],
            row["figure"] if "hours" not in row["now_is"] else row["figure"].replace("hour", "hours (four)", 1),
            f"{row['before']:.1f}",
            f"{row['before_held']:.1f}",
            f"{row['now']:.1f}",
            f"{row['now_held']:.1f}",
            "" if row["wanted"] is None else f"{row['wanted']:.0f} at most",
            "yes" if row["met"] else "no",
        )
        for row in rows
    ]
    return Sheet(
        "Error (1 sigma, %) and how often the 95 % band held: one metric, and combined", columns, shown, (1, 2)
    )
