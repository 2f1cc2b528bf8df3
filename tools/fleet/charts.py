# SPDX-License-Identifier: Apache-2.0
"""The geometry of the page's charts: a value is a bar's end, its 95 % band is always drawn, nothing below zero is.

Why not a chart library: the page's content security policy forbids styles inside a document, and colours must follow
dark mode, a phone's width and high contrast. That leaves drawing by shapes with classes, which a template does in ten
lines: matplotlib's SVG carries a style on each shape, and JavaScript charts are one canvas that no screen reader
enters. Numbers here are parts of 1,000 across and of 100 down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tools.fleet.estimate import Estimate

WIDE, HIGH = 1000, 100


@dataclass(frozen=True)
class Bar:
    """One bar: where it stands, where its value ends, where its band lies.

    `weak`: too small to be told from nothing; `noise`: nothing but noise, so that no bar is drawn.
    """

    place: float
    size: float
    value: float
    low: float
    high: float
    weak: bool
    text: str
    label: str
    noise: bool = False

    @property
    def end(self) -> float:
        """Return where it ends to the right."""
        return round(self.place + self.size, 2)

    @property
    def rest(self) -> float:
        """Return how long an upright one is."""
        return round(HIGH - self.value, 2)

    @property
    def band(self) -> float:
        """Return how long its band is."""
        return round(abs(self.high - self.low), 2)


def scale(highest: float) -> tuple[float, list[float]]:
    """Return the top of a scale and its lines, at round numbers."""
    rough = max(highest, 1) / 5
    unit: float = 10 ** math.floor(math.log10(rough))
    step = max(1, next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough))
    count = math.ceil(highest / step)
    return step * count, [step * line for line in range(count + 1)]


def noise(one: Estimate, mean: Estimate) -> bool:
    """Return True if neither a figure nor its week's mean is larger than its own band: a bar of noise alone."""
    return one.half_width > one.value and mean.half_width > mean.value


def telling(means: Sequence[Estimate]) -> int:
    """Return over how many times the days or gateways the largest mean exceeds its band; 0: it isn't known."""
    largest = max(means, key=lambda mean: mean.value, default=None)
    return math.ceil((largest.half_width / largest.value) ** 2) if largest and largest.value > 0 else 0


def columns(
    estimates: Sequence[Estimate | None],
    texts: Sequence[str],
    labels: Sequence[str],
    hidden: Sequence[bool],
    top: float,
) -> list[Bar | None]:
    """Return upright bars side by side.

    `value` is a height's upper edge, `low` and `high` those of the band, 0 is the top.
    """
    pitch = WIDE / max(len(estimates), 1)
    bars: list[Bar | None] = []
    for number, one in enumerate(estimates):
        if one is None:
            bars.append(None)
            continue
        down = [
            HIGH * (1 - max(0.0, min(end, top)) / top)
            for end in (one.value, one.value - one.half_width, one.value + one.half_width)
        ]
        value, low, high = (round(end, 2) for end in down)
        place, size = round(number * pitch + pitch * 0.16, 2), round(pitch * 0.68, 2)
        bars.append(
            Bar(
                place,
                size,
                value,
                low,
                high,
                texts[number].startswith("<"),
                texts[number],
                labels[number],
                hidden[number],
            )
        )
    return bars


def rows(
    estimates: Sequence[Estimate], texts: Sequence[str], labels: Sequence[str], hidden: Sequence[bool], top: float
) -> list[Bar]:
    """Return bars that lie below each other.

    `value` is a length, `low` and `high` the ends of the band, 0 is the left.
    """
    bars = []
    for number, one in enumerate(estimates):
        across = [
            WIDE * max(0.0, min(end, top)) / top
            for end in (one.value, one.value - one.half_width, one.value + one.half_width)
        ]
        value, low, high = (round(end, 2) for end in across)
        bars.append(
            Bar(0, 100, value, low, high, texts[number].startswith("<"), texts[number], labels[number], hidden[number])
        )
    return bars
