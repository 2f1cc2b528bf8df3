# SPDX-License-Identifier: Apache-2.0
"""The order of deadlines (agent/vault/deadlines.py).

Against a plain look at every segment, and what it costs (EXP-4).
"""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.vault.deadlines import Deadlines

SECOND = 1000000000
HOUR = 3600


class Ring:
    """Slots with deadlines: by the wall clock in s, since boot in ns; counts how often it is asked."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.slots: dict[int, tuple[int, int]] = {}
        self.asked = 0

    def deadline(self, index: int) -> tuple[int, int]:
        self.asked += 1
        return self.slots[index]

    def due(self, wall: int, monotonic: int) -> set[int]:
        return {index for index, (date, since) in self.slots.items() if wall >= date or monotonic >= since}


def slot(index: int) -> Any:
    return SimpleNamespace(index=index)


def forget(deadlines: Deadlines, ring: Ring, wall: int, monotonic: int) -> list[int]:
    gone = []
    for index in deadlines.due(wall, monotonic):
        deadlines.remove(slot(index))
        del ring.slots[index]
        gone.append(index)
    return gone


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["later", "open", "open", "open", "late", "step", "drop", "distrust"]),
        st.integers(-40 * HOUR, 40 * HOUR),
    ),
    min_size=20,
    max_size=60,
)


@pytest.mark.long
@settings(max_examples=500)
@given(steps=STEPS, lifetime=st.sampled_from([2 * HOUR, 24 * HOUR]))
def test_what_is_due_is_what_a_look_at_every_segment_finds(steps: list[tuple[str, int]], lifetime: int) -> None:
    """EXP-1, EXP-4: segments in time, late ones, steps of the wall clock both ways, times without trust.

    Never one late, none early.
    """
    ring = Ring(16)
    deadlines = Deadlines(ring)  # type: ignore[arg-type]
    monotonic, offset, trusted, following = 50 * HOUR, 1800000000, True, 0
    for what, amount in steps:
        now = monotonic + offset
        if what == "later":
            monotonic += abs(amount) // 8
        elif what == "step":
            offset += amount
        elif what == "distrust":
            trusted = not trusted
        elif what == "drop" and deadlines.first() >= 0:
            chosen = sorted(ring.slots)[amount % len(ring.slots)]
            deadlines.remove(slot(chosen))
            del ring.slots[chosen]
        elif what in ("open", "late") and len(ring.slots) < ring.count:
            window = now - now % HOUR - (abs(amount) % lifetime if what == "late" else 0)
            while following % ring.count in ring.slots:
                following += 1
            index = following % ring.count
            ring.slots[index] = window + lifetime, (monotonic - (now - window) + lifetime) * SECOND
            deadlines.add(slot(index))
        wall = monotonic + offset if trusted else -1
        expected = ring.due(wall, monotonic * SECOND)
        gone = forget(deadlines, ring, wall, monotonic * SECOND)
        assert (set(gone), len(gone)) == (expected, len(expected))


@pytest.mark.parametrize("held", [10, 1000])
def test_forgetting_costs_what_is_due_and_not_what_is_held(held: int) -> None:
    """EXP-4: three segments of ten or of a thousand are due: as many looks."""
    ring = Ring(held)
    deadlines = Deadlines(ring)  # type: ignore[arg-type]
    for index in range(held):
        ring.slots[index] = (index + 24) * HOUR, (index + 24) * HOUR * SECOND
        deadlines.add(slot(index))
    ring.asked = 0
    assert forget(deadlines, ring, 26 * HOUR, 26 * HOUR * SECOND) == [0, 1, 2]
    assert ring.asked == 4
    ring.asked = 0
    assert not forget(deadlines, ring, 26 * HOUR, 26 * HOUR * SECOND)
    assert ring.asked == 1


def test_the_first_to_go_is_the_oldest_also_where_a_late_one_came_last() -> None:
    ring = Ring(4)
    deadlines = Deadlines(ring)  # type: ignore[arg-type]
    assert deadlines.first() == -1
    for index, hour in ((0, 5), (1, 6), (2, 4)):
        ring.slots[index] = hour * HOUR, hour * HOUR * SECOND
        deadlines.add(slot(index))
    assert deadlines.first() == 2


def test_steps_back_are_minded_until_the_last_segment_from_before_is_gone() -> None:
    """EXP-5: three segments, the wall clock stepped back before each.

    The first goes by time since boot, the last by the date.
    """
    ring = Ring(4)
    deadlines = Deadlines(ring)  # type: ignore[arg-type]
    for index, date in enumerate((100, 50, 40)):
        ring.slots[index] = date * HOUR, (10 + index) * HOUR * SECOND
        deadlines.add(slot(index))
    assert forget(deadlines, ring, 30 * HOUR, 10 * HOUR * SECOND) == [0]
    assert forget(deadlines, ring, 45 * HOUR, 10 * HOUR * SECOND) == [2]
