# SPDX-License-Identifier: Apache-2.0
"""The published metrics as data (ANON-2): what one terminal may add in an agent-day bounds the noise.

b = L1 / epsilon, kept as an exact fraction. Every metric is read off the terminal rows, one row a terminal, and a row
adds to at most L1 cells whatever stands in it. So the bound holds by construction, before anything is counted.
"""

from agent.summary.services import CLASSES, DNS, WEB

HOUR, DAY = 3600, 86400
SHIFT = 10800  # s past 00:00 UTC at which an agent-day begins
QUARTERS = 96  # quarter-hours of an agent-day
_PART = 16  # quarter-hours of a slot of `active`
_SIXTHS = 144  # of an hour, in an agent-day
_SHOWN = [number for number in range(len(CLASSES)) if number not in (WEB, DNS)]  # what everybody uses says nothing


class Metric:
    """One metric: what is counted, and how (ANON-2; the table of agent/summary/README.md).

    cells      what the numbers of one message count, in their order
    slots      messages an agent-day, of `slot_seconds` each
    l1         how many cells one terminal adds 1 to, at most, over all messages of an agent-day
    epsilon    what it has of 1000 thousandths in `medium` and `large`; where metrics are
               off, the others share in this proportion
    cells_of   (row, slot) -> numbers of the cells that a row adds 1 to, those that count first come first
    place      number of its first message among all messages of an agent-day; metrics
               that no profile has both of may share it
    like       name of the metric that asks the same in coarser or finer cells; its own where there is none
    """

    def __init__(
        self,
        name: str,
        unit: str,
        cells: str,
        slots: int,
        l1: int,
        epsilon: int,
        cells_of: "CellsOf",
        place: int,
        like: str = "",
    ) -> None:
        self.name = name
        self.unit = unit
        self.cells = tuple(cells.split(","))
        self.slots = slots
        self.slot_seconds = DAY // slots
        self.l1 = l1
        self.epsilon = epsilon
        self.cells_of = cells_of
        self.place = place
        self.like = like or name


def _first(slots: int, cells: int) -> "CellsOf":
    """Return a function that puts a row where it was first heard of: one of `slots` messages of `cells` cells.

    `part` below counts the cells of all these messages in one row.
    """

    def cells_of(row: "Row", slot: int) -> "Sequence[int]":
        part = row.sixth() * slots * cells // _SIXTHS
        return (part % cells,) if part // cells == slot else ()

    return cells_of


def _ranges(value: "Callable[[Row], int]", *bounds: int) -> "CellsOf":
    """Return a function that puts a row into one of the ranges between rising bounds."""
    return lambda row, _slot: (sum([value(row) >= bound for bound in bounds]),)


def _quarters(row: "Row") -> int:
    return row.quarters(0, QUARTERS)


def _mib(row: "Row") -> int:
    return row.kib() >> 10


def _active(row: "Row", _slot: int) -> "Sequence[int]":
    return [part for part in range(QUARTERS // _PART) if row.quarters(part * _PART, _PART)]


def _classes(row: "Row", _slot: int) -> "Sequence[int]":
    """The order is by keyed hash of terminal and class: which two count doesn't depend on the classes' order of use."""
    used = [cell for cell in range(len(_SHOWN)) if row.uses(_SHOWN[cell])]
    return used if len(used) < 3 else sorted(used, key=row.rank)


_QUARTERS, _MIB = "terminals by quarter-hours", "terminals by MiB up and down"
METRICS = (
    Metric("arrivals", "terminals", "first seen", 24, 1, 250, _first(24, 1), 0),
    Metric("presence", _QUARTERS, "1,2-4,5-8,9-16,>16", 1, 1, 200, _ranges(_quarters, 2, 5, 9, 17), 24),
    Metric("volume", _MIB, "<10,<100,<500,<2000,>=2000", 1, 1, 200, _ranges(_mib, 10, 100, 500, 2000), 25),
    Metric("active", "terminals by hours UTC", "03-07,07-11,11-15,15-19,19-23,23-03", 1, 2, 150, _active, 26),
    Metric(
        "classes", "terminals by service class",
        ",".join([CLASSES[number] for number in _SHOWN]), 1, 2, 200, _classes, 27,
    ),
    Metric("dayparts", "terminals", "first seen", 6, 1, 250, _first(6, 1), 0, "arrivals"),
    Metric(
        "tenminutes", "terminals by minutes", "00-10,10-20,20-30,30-40,40-50,50-60",
        24, 1, 250, _first(24, 6), 0, "arrivals",
    ),
    Metric(
        "stays", _QUARTERS, "1,2,3-4,5-8,9-12,13-16,17-24,25-32,>32", 1, 1, 200,
        _ranges(_quarters, 2, 3, 5, 9, 13, 17, 25, 33), 24, "presence",
    ),
    Metric(
        "traffic", _MIB, "<3,3-10,10-30,30-100,100-200,200-500,500-1000,1000-2000,>=2000", 1, 1, 200,
        _ranges(_mib, 3, 10, 30, 100, 200, 500, 1000, 2000), 25, "volume",
    ),
)  # fmt: skip
MESSAGES = 28  # of an agent-day, at most
# What is published: for a venue of less than 40 terminals a day, of less than 150, of more, of thousands.
PROFILES = {
    "tiny": ("dayparts", "presence"),
    "small": ("arrivals", "presence"),
    "medium": ("arrivals", "presence", "volume", "active", "classes"),
    "large": ("tenminutes", "stays", "traffic", "active", "classes"),
}


def scale(l1: int, epsilon: int) -> "tuple[int, int]":
    """Return b = L1 / epsilon in lowest terms; epsilon in thousandths (a share of it: both times the whole)."""
    numerator, denominator = l1 * 1000, epsilon
    a, b = numerator, denominator
    while b:
        a, b = b, a % b
    return numerator // a, denominator // a


def scales(names: "Sequence[str]", epsilon: int, own: "dict[str, int]") -> "dict[str, tuple[int, int]]":
    """Return b of each named metric.

    It is of its `own` epsilon; the others share what is left of `epsilon`, in the metrics' proportion.
    """
    metrics = [metric for metric in METRICS if metric.name in names]
    parts = sum([metric.epsilon for metric in metrics if metric.name not in own])
    left, found = epsilon - sum(own.values()), {}
    for metric in metrics:
        given = own.get(metric.name)
        found[metric.name] = scale(metric.l1, given) if given else scale(metric.l1 * parts, metric.epsilon * left)
    return found


def half_width(b: "tuple[int, int]") -> int:
    """Return the 95 % half-width ceil(3b) (ANON-3).

    It covers 95.2 to 95.7 % at the defaults, more for a b of a few integers, never less.
    """
    return -(-3 * b[0] // b[1])


def display_threshold(b: "tuple[int, int]") -> int:
    """Return ceil(2b): what a person reads is "< this" below it (ANON-3)."""
    return -(-2 * b[0] // b[1])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.summary.terminals import Row

    CellsOf = Callable[[Row, int], Sequence[int]]
