# SPDX-License-Identifier: Apache-2.0
"""How everything is measured: rounds of every peer once, in another order each; medians and spread.

What else the machine does then falls on all alike, and the spread says how much that was. `Tell` is told what is being
done, and which share of all is over, where that is known.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, Protocol, TypeVar

from tools.bench.sheets import Sheet

SHOWN = 12  # figures whose spread is shown
T = TypeVar("T")
C = TypeVar("C")


class Tell(Protocol):
    """Whoever shows how far it is."""

    def __call__(self, text: str, share: float | None = None, /) -> None:
        """Show what is being done; `share` of all, 0 to 1, is over."""


def interleaved(rounds: int, cases: Sequence[C], peers: Sequence[T], tell: Tell) -> Iterator[tuple[C, T]]:
    """Yield what is to be measured next: in each round every case, in each case every peer, first another each time."""
    total, done = rounds * len(cases) * len(peers), 0
    for number in range(rounds):
        for case in cases:
            first = number % max(len(peers), 1)
            for peer in (*peers[first:], *peers[:first]):
                tell(f"round {number + 1} of {rounds}, {case}, {getattr(peer, 'name', peer)}", done / total)
                yield case, peer
                done += 1


def spread(name: str, values: Sequence[float], digits: int = 4) -> dict[str, Any]:
    """Return a figure's median, least and most over the rounds, by its name."""
    return {
        name: round(median(values), digits),
        f"{name}_least": round(min(values), digits),
        f"{name}_most": round(max(values), digits),
    }


def repeated(rounds: int, once: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """Measure what has no peers, `once(number of the round)`, so many times; returns one result of the same shape.

    Figures are medians, what is said to be so was so each time, texts of lists are gathered. `spread` has [median,
    least, most] of each figure that was another one in another round, by its path.
    """
    varied: dict[str, list[float]] = {}
    taken = [once(number) for number in range(rounds)]
    merged: dict[str, Any] = _merged(taken, "", varied)
    return {**merged, "rounds": rounds, "spread": varied}


# Whatever JSON can hold
def _merged(values: Sequence[Any], path: str, varied: dict[str, list[float]]) -> Any:  # noqa: ANN401
    first = values[0]
    if isinstance(first, dict):
        return {key: _merged([value[key] for value in values], f"{path}.{key}".lstrip("."), varied) for key in first}
    if isinstance(first, list) and all(isinstance(one, str) for value in values for one in value):
        return list(dict.fromkeys(one for value in values for one in value))
    if isinstance(first, list):
        return [
            _merged(some, f"{path}.{_label(some[0], place)}", varied)
            for place, some in enumerate(zip(*values, strict=True))
        ]
    if isinstance(first, bool):
        return all(values)
    if isinstance(first, (int, float)) and min(values) != max(values):
        middle = median(values)
        varied[path] = [middle, min(values), max(values)]
        return round(middle) if isinstance(first, int) else middle
    return first


def _label(one: object, place: int) -> str:
    """Return what an item of a list goes by: its first text, or else its place."""
    texts = [text for text in one.values() if isinstance(text, str)] if isinstance(one, dict) else []
    return texts[0] if texts else str(place)


def spread_sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the spread that `repeated` found for a person, the widest first; nothing where there is none."""
    varied: dict[str, list[float]] = result.get("spread", {})
    wide = sorted(varied.items(), key=lambda one: (one[1][1] - one[1][2]) / (abs(one[1][0]) or 1))
    rows = [
        (path, *(f"{figure:,.4g}" if figure % 1 else f"{figure:,.0f}" for figure in figures))
        for path, figures in wide[:SHOWN]
    ]
    note = f"of {len(wide)} figures that weren't the same each time; --json has them all" if len(wide) > SHOWN else ""
    return [Sheet(f"Over {result['rounds']} rounds", ("", "median", "least", "most"), rows, note=note)] if rows else []


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by which power the second grows with the first: the slope of logarithms (1: a straight line)."""
    xs, ys = ([math.log(value) for value in values] for values in zip(*points, strict=True))
    middle, height = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - middle) * (y - height) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - middle) ** 2 for x in xs)


def untold(_text: str, _share: float | None = None, /) -> None:
    """Show nothing."""
