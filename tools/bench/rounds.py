# SPDX-License-Identifier: Apache-2.0
"""How everything is measured: round after round, every peer once in each, in another order each time; medians and spread.

What else the machine does then falls on all alike, and the spread says how much that was. `Tell` is told what is being done, and which
share of all is over, where that is known.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
C = TypeVar("C")


class Tell(Protocol):
    """Whoever shows how far it is."""

    def __call__(self, text: str, share: float | None = None, /) -> None:
        """Show what is being done; `share` of all, 0 to 1, is over."""


def interleaved(rounds: int, cases: Sequence[C], peers: Sequence[T], tell: Tell) -> Iterator[tuple[C, T]]:
    """Yield what is to be measured next: in each round every case, in each case every peer, beginning with another one each round."""
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


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by which power the second grows with the first: the least-squares slope of their logarithms (1: a straight line)."""
    xs, ys = ([math.log(value) for value in values] for values in zip(*points, strict=True))
    middle, height = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - middle) * (y - height) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - middle) ** 2 for x in xs)


def untold(_text: str, _share: float | None = None, /) -> None:
    """Show nothing."""
