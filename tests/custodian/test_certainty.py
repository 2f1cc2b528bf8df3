# SPDX-License-Identifier: Apache-2.0
"""Answers against the truth (L34-II-4): gateways that lose power, restart and hand over, asked at random.

They write as a recorder writes.

Nobody is named for a moment at which he did not hold the port. `nothing held` is never said of a moment at which
somebody did.
"""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from agent.purposes.attribution.record import Record, pack, unpack
from tools.custodian import matching

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY, MIDNIGHT = 86400, 1_800_057_600
PUBLIC, FIRSTS = bytes([203, 0, 113, 2]), (16384, 16896, 17408)
SYNC = 900  # seconds after which what was written outlives a loss of power


class Held(NamedTuple):
    """What is true: a terminal held a block from `start` to `end`."""

    terminal: int
    first: int
    start: int
    end: int


def row(terminal: int, first: int, start: int, end: int | None, protocol: int | None = None) -> Record:
    last = first if protocol else first + 511
    return Record(
        protocol, PUBLIC, first, last, bytes([192, 168, 1, terminal]), bytes([2, 0, 0, 0, 0, terminal]), start, end
    )


class Gateway:
    """A day of one: its segments' `parts`, the `truth` of who held what, when it was `on`, when `made` (handed in)."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.truth: list[Held] = []
        self.parts: list[list[bytes]] = []
        self.on: list[tuple[int, int]] = []
        self.torn: list[tuple[int, int]] = []  # of which nothing was written: the answer says that the segment is torn
        self.made = MIDNIGHT + draw.randrange(3600, 2 * DAY)
        self.unbroken = self.made
        # Block -> terminal, since; a restart of the recorder leaves it as it is, a boot doesn't
        held: dict[int, tuple[int, int]] = {}
        killed = False
        at, power = MIDNIGHT, True
        while at < self.made:
            end = min(at + draw.randrange(600, DAY), self.made)
            if power:
                lost = draw.random() < 0.5 and end < self.made
                self.unbroken = at
                self._run(held, at, end, lost=lost, same=killed)
                self.on.append((at, end))
                power, killed = not lost, False
                at = end
                # What the process knew is lost, what it wrote isn't
                if power and at < self.made and draw.random() < 0.5:
                    killed = True
                    self.truth += [Held(who, first, since, at) for first, (who, since) in held.items()]
                    held.clear()
            else:
                at, power = min(at + draw.randrange(1, 7200), self.made), True
                self.unbroken = at  # it runs again: what hands over is on
        self.truth += [Held(who, first, since, self.made) for first, (who, since) in held.items()]

    def _run(self, held: dict[int, tuple[int, int]], begin: int, end: int, *, lost: bool, same: bool) -> None:
        """One process: it writes each begin and end, connections of others, and marks.

        Power is lost at the end, or it goes in order.

        `same`: it goes on in the segment of the former one, which was killed.
        """
        written: list[tuple[int, Record]] = []
        at, marked = begin, begin + 1
        while at < end:
            for first in list(held):  # each UTC day has its own row
                who, since = held[first]
                if since // DAY < at // DAY:
                    midnight = at - at % DAY
                    written.append((at, row(who, first, since, midnight)))
                    self.truth.append(Held(who, first, since, midnight))
                    held[first] = who, midnight
                    written.append((at, row(who, first, midnight, None)))
            first = self._draw.choice(FIRSTS)
            if first in held and self._draw.random() < 0.5:
                who, since = held.pop(first)
                written.append((at, row(who, first, since, at)))
                self.truth.append(Held(who, first, since, at))
            elif first not in held:
                held[first] = self._draw.randrange(1, 200), at
                written.append((at, row(held[first][0], first, at, None)))
            if self._draw.random() < 0.5:
                written.append((at, row(201, 60000, max(begin, at - self._draw.randrange(1, 60)), at, 17)))
            # A recorder misses no midnight
            at = min(at + self._draw.choice((30, 600, 3600, 20_000)), at - at % DAY + DAY)
            while marked < min(at, end):  # all that was before stands in the store
                over = min(marked + SYNC, at, end)
                written.append((over, Record(None, bytes(4), 0, 0, bytes(4), bytes(6), marked, over)))
                marked = over
        if lost:
            synced = end - self._draw.randrange(SYNC)
            self.torn.append((synced, end))
            self.truth += [Held(who, first, since, end) for first, (who, since) in held.items()]
            held.clear()
            written = [(when, record) for when, record in written if when < synced]
        self.parts[len(self.parts) - same :] = [
            [*(self.parts[-1] if same else ()), *(pack(record) for _, record in written)]
        ]

    def holder(self, port: int, moment: int) -> int:
        """Return who held a port, 0 for nobody."""
        return next(
            (
                one.terminal
                for one in self.truth
                if one.first <= port <= one.first + 511 and one.start <= moment < one.end
            ),
            0,
        )

    def ask(self, port: int, start: int, end: int) -> tuple[list[matching.Holding], Sequence[str]]:
        """Return what the custodian's tool finds, and what it says isn't known."""
        request = SimpleNamespace(
            store="attribution",
            purpose="attribution",
            scope=SimpleNamespace(public=PUBLIC, port=port, protocol=6),
            start=start,
            end=end,
        )
        parts = [[unpack(one) for one in part] for part in self.parts]
        # The scope alone is asked for
        found = matching.attributed(request, parts, self.made, self.unbroken)  # type: ignore[arg-type]
        _, unknown = matching.rows(request, self.parts, self.made, self.unbroken)  # type: ignore[arg-type]
        return [one for one in found if one.until >= start], unknown


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.long
def test_answers_name_nobody_falsely_and_never_say_nothing_of_what_is_kept(seed):
    """A thousand questions in all.

    What a loss of power took before it was synced is the gateway's torn segment, not an answer's.
    """
    draw = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(25):
        gateway = Gateway(draw)
        for _ in range(10):
            begin, finish = draw.choice(gateway.on)
            start = draw.randrange(begin - 600, finish)
            end = min(start + draw.choice((1, 60, 3600)), gateway.made)
            port = draw.choice(FIRSTS) + draw.randrange(512)
            found, unknown = gateway.ask(port, start, end)
            for one in found:
                for moment in range(max(one.record.start, start), min(one.until, end), 20):
                    assert gateway.holder(port, moment) == one.record.address[3], (seed, moment)
            told = [one for one in range(start, end, 20) if not any(since <= one < cut for since, cut in gateway.torn)]
            truth = {gateway.holder(port, moment) for moment in told} - {0}
            named = {one.record.address[3] for one in found}
            kept = {
                record.address[3]
                for part in gateway.parts
                for record in map(unpack, part)
                if record.first <= port <= record.last
            }
            assert truth & kept <= named or unknown, (seed, start, end)
            seen["held" if found else "not known" if unknown else "nothing held"] += 1
    assert min(seen[word] for word in ("held", "not known", "nothing held")) > 10, seen
