# SPDX-License-Identifier: Apache-2.0
"""The published metrics as data (ANON-2): what one terminal may add in an agent-day bounds the noise.

b = L1 / epsilon, kept as an exact fraction. Every metric is read off the terminal rows, one row a terminal, and a row adds to at
most L1 cells whatever stands in it: so the bound holds by construction, before anything is counted.
"""

from agent.summary.services import CLASSES, DNS, WEB

HOUR, DAY = 3600, 86400
QUARTERS = 96  # quarter-hours of an agent-day
_PART = 16  # quarter-hours of a slot of `active`
_SHOWN = [number for number in range(len(CLASSES)) if number not in (WEB, DNS)]  # what everybody uses says nothing


class Metric:
    """One row of ANON-2's table.

    cells      what the numbers of one message count, in their order
    slots      messages an agent-day, of `slot_seconds` each
    l1         how many cells one terminal adds 1 to, at most, over all messages of an agent-day
    epsilon    default, in thousandths
    cells_of   (row, slot) -> numbers of the cells that a row adds 1 to, those that count first come first
    place      number of its first message among all messages of an agent-day
    """

    def __init__(
        self,
        name: str,
        unit: str,
        cells: "tuple[str, ...]",
        slots: int,
        l1: int,
        epsilon: int,
        cells_of: "Callable[[Row, int], Sequence[int]]",
        place: int,
    ) -> None:
        self.name = name
        self.unit = unit
        self.cells = cells
        self.slots = slots
        self.slot_seconds = DAY // slots
        self.l1 = l1
        self.epsilon = epsilon
        self.cells_of = cells_of
        self.place = place


def _step(value: int, bounds: "tuple[int, ...]") -> "tuple[int]":
    """Return which of the ranges between rising bounds a value falls into."""
    cell = 0
    for bound in bounds:
        if value >= bound:
            cell += 1
    return (cell,)


def _arrivals(row: "Row", slot: int) -> "Sequence[int]":
    return (0,) if row.hour() == slot else ()


def _presence(row: "Row", _slot: int) -> "Sequence[int]":
    return _step(row.quarters(0, QUARTERS), (2, 5, 9, 17))


def _volume(row: "Row", _slot: int) -> "Sequence[int]":
    return _step(row.kib() >> 10, (10, 100, 500, 2000))


def _active(row: "Row", _slot: int) -> "Sequence[int]":
    return [part for part in range(QUARTERS // _PART) if row.quarters(part * _PART, _PART)]


def _classes(row: "Row", _slot: int) -> "Sequence[int]":
    """The order is by keyed hash of terminal and class: which two count doesn't depend on the classes' order of use."""
    used = [cell for cell in range(len(_SHOWN)) if row.uses(_SHOWN[cell])]
    return used if len(used) < 3 else sorted(used, key=row.rank)


_PRESENCE = ("1", "2-4", "5-8", "9-16", ">16")
_VOLUME = ("<10", "<100", "<500", "<2000", ">=2000")
_ACTIVE = ("03-07", "07-11", "11-15", "15-19", "19-23", "23-03")
METRICS = (
    Metric("arrivals", "terminals", ("first seen",), 24, 1, 250, _arrivals, 0),
    Metric("presence", "terminals by quarter-hours", _PRESENCE, 1, 1, 200, _presence, 24),
    Metric("volume", "terminals by MiB up and down", _VOLUME, 1, 1, 200, _volume, 25),
    Metric("active", "terminals by hours UTC", _ACTIVE, 1, 2, 150, _active, 26),
    Metric("classes", "terminals by service class", tuple([CLASSES[number] for number in _SHOWN]), 1, 2, 200, _classes, 27),
)
MESSAGES = 28  # of an agent-day


def scale(l1: int, epsilon: int) -> "tuple[int, int]":
    """Return b = L1 / epsilon as a fraction in lowest terms; epsilon in thousandths."""
    numerator, denominator = l1 * 1000, epsilon
    a, b = numerator, denominator
    while b:
        a, b = b, a % b
    return numerator // a, denominator // a


def half_width(b: "tuple[int, int]") -> int:
    """Return the 95 % half-width ceil(3b) (ANON-3): 95.2 to 95.7 % at the defaults, more for a b of a few integers, never less."""
    return -(-3 * b[0] // b[1])


def display_threshold(b: "tuple[int, int]") -> int:
    """Return ceil(2b): what a person reads is "< this" below it (ANON-3)."""
    return -(-2 * b[0] // b[1])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.summary.terminals import Row
