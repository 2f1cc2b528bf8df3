# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim advise`: what each profile will tell of a venue of known size, before figures are switched on.

The hours come from people drawn by a scenario; the errors are those of the noise (tools/fleet/accuracy.py). No gateway
is asked: what one has counted is nobody's to know, and advice that followed it would be one more figure that is
published.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.summary.metrics import METRICS, PROFILES
from host_sim.venue.people import DAY, HOUR
from host_sim.venue.scenario import Scenario
from tools.fleet import accuracy

_DRAWN = 28  # days
_PEOPLE = 2000  # a day: so many that the hours' shares are the scenario's


def hours(scenario: Scenario, seed: int) -> list[float]:
    """Return the shares of a venue's people who come in each hour of the agent-day, 03:00 UTC first."""
    crowd, draw, found = replace(scenario.crowd, visitors=_PEOPLE), Random(seed), [0] * 24
    for day in range(_DRAWN):
        for visit in crowd.day(draw, day * DAY, DAY):
            found[(visit[0] // HOUR - scenario.utc_offset - 3) % 24] += 1
    return accuracy.shares(found)


def _without(names: Sequence[str]) -> list[str]:
    """Return the questions that none of these metrics answers, by the name that the default has for each."""
    answered = {metric.like for metric in METRICS if metric.name in names}
    return [metric.name for metric in METRICS if metric.like == metric.name not in answered]


def advise(scenario: Scenario, visitors: int, seed: int) -> dict[str, Any]:
    """Return each profile's figures at so many terminals a day: true value, error over a day, a week, four weeks."""
    shares = hours(scenario, seed)
    profiles = []
    for profile, names in PROFILES.items():
        rows = [
            {
                "figure": figure.name,
                "truth": round(figure.truth, 1),
                "half_width": round(figure.half_width(), 1),
                **{span: round(100 * figure.error(1, days), 1) for span, days in accuracy.DAYS.items()},
            }
            for figure in accuracy.figures(profile, visitors, shares)
        ]
        profiles.append({"profile": profile, "metrics": list(names), "without": _without(names), "rows": rows})
    return {"visitors": visitors, "profile": accuracy.profile_for(visitors), "profiles": profiles}


def show(advice: dict[str, Any], console: Console) -> None:
    """Print it for a person."""
    table = Table("profile", "figure", "true value", "± (95 %)", *accuracy.DAYS, box=None)
    for name in table.columns[2:]:
        name.justify = "right"
    for one in advice["profiles"]:
        for number, row in enumerate(one["rows"]):
            figures = [f"{row[span]:.1f} %" for span in accuracy.DAYS]
            name = one["profile"] + (" *" if one["profile"] == advice["profile"] else "")
            table.add_row(
                "" if number else name, row["figure"], f"{row['truth']:.1f}", f"{row['half_width']:.1f}", *figures
            )
    console.print(
        f"A venue of {advice['visitors']:,} terminals a day: the error (1 sigma) of a day's figure, "
        "of a mean day of a week, of four weeks"
    )
    console.print(table)
    for one in advice["profiles"]:
        without = f"; not {', '.join(one['without'])}" if one["without"] else ""
        console.print(f"{one['profile']} publishes {', '.join(one['metrics'])}{without}")
    console.print(
        f"* meant for this size: option profile '{advice['profile']}' in section summary of /etc/config/oubli"
    )
