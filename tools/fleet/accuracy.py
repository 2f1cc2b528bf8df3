# SPDX-License-Identifier: Apache-2.0
"""How near a venue's figures are to the truth under each profile, by its size, its hours and the noise alone.

`oubli-sim advise` says it to who configures a gateway, `oubli-bench error` measures it on drawn noise. Nothing here
knows what a gateway has counted: sizes are what an operator says, hours are a simulated venue's.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from agent.summary.metrics import METRICS, PROFILES, scales
from tools.fleet.consistent import Answer, Noise, cells_noise, total_noise, variance_of
from tools.fleet.estimate import TELLING, half_width_of

UP_TO = (("tiny", 40), ("small", 150), ("medium", 3000))  # terminals a day; `large` above
DAYS = {"a day": 1, "a week": 7, "four weeks": 28}
_ROWS = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class Figure:
    """What an operator looks at: its true value at one gateway on a mean day, and the noise in what stands for it."""

    name: str
    truth: float
    noise: Noise

    def error(self, gateways: int = 1, days: int = 1) -> float:
        """Return one standard deviation of these gateways' mean day, in parts of the truth; infinite for 0."""
        deviation = math.sqrt(variance_of(self.noise))
        return deviation / math.sqrt(gateways * days) / self.truth if self.truth else math.inf

    def half_width(self, gateways: int = 1, days: int = 1) -> float:
        """Return the half-width of that mean's band, which holds with 95 %."""
        return half_width_of(
            Counter({(b, weight / days): count * gateways * days for (b, weight), count in self.noise.items()})
        )


def profile_for(terminals: float) -> str:
    """Return the profile that is meant for a venue of so many terminals a day."""
    return next((profile for profile, most in UP_TO if terminals < most), "large")


def answers(profile: str, names: Sequence[str] | None = None) -> dict[str, Answer]:
    """Return a day's answers under a profile with nothing in them: how many cells, and their noise."""
    bs = scales(PROFILES[profile], 1000, {})
    found = {}
    for name in names or [one for one in TELLING if one in PROFILES[profile]]:
        found[name] = Answer((0,) * (_ROWS[name].slots * len(_ROWS[name].cells)), Fraction(*bs[name]))
    return found


def figures(profile: str, terminals: float, hours: Sequence[float]) -> list[Figure]:
    """Return what a profile tells of a venue; `hours` are its terminals' shares in the agent-day's hours."""
    told = answers(profile)
    every = list(told.values())
    arrivals = next(name for name in told if _ROWS[name].like == "arrivals")
    cells = len(told[arrivals].values)
    number = list(told).index(arrivals)
    found = [Figure("terminals of the day", terminals, total_noise(every))]
    if cells < 24:
        parts = [sum(hours[at : at + 24 // cells]) for at in range(0, 24, 24 // cells)]
        return [*found, Figure(f"busiest {24 // cells} hours", terminals * max(parts), cells_noise(every, number))]
    found.append(Figure("busiest hour", terminals * max(hours), cells_noise(every, number, cells // 24)))
    if cells > 24:
        found.append(Figure("busiest 10 minutes", terminals * max(hours) / 6, cells_noise(every, number)))
    return found


def alone(profile: str, terminals: float, hours: Sequence[float]) -> list[Figure]:
    """Return the same of one metric each, as published: what there was before they were combined."""
    told = answers(profile, ("presence", "arrivals"))
    presence, arrivals = told["presence"], told["arrivals"]
    whole = Fraction(1)
    return [
        Figure("terminals of the day", terminals, Counter({(presence.b, whole): len(presence.values)})),
        Figure("busiest hour", terminals * max(hours), Counter({(arrivals.b, whole): 1})),
    ]


def shares(arrivals: Mapping[int, float] | Sequence[float]) -> list[float]:
    """Return 24 arrivals as shares of the day's."""
    values = [arrivals[hour] for hour in range(24)]
    return [value / sum(values) for value in values]
