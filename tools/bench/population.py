# SPDX-License-Identifier: Apache-2.0
"""The connections that `oubli-bench store` packs: a simulated café's day, a thousand in one segment."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from agent.capture import connections, neighbours
from agent.capture.timeouts import Timeouts
from host_sim.venue import scenario, tape
from host_sim.venue.world import World

SECOND = 10**9


@dataclass(frozen=True)
class Row:
    """One connection of a terminal. Times in ns since the epoch; `heard`: when the kernel told of it."""

    protocol: int
    address: bytes
    mac: bytes
    source_port: int
    translated_port: int
    destination_port: int  # for its class only: no store keeps it
    packets_up: int
    packets_down: int
    bytes_up: int
    bytes_down: int
    start: int
    end: int
    heard: int


class Population:
    """Connections by a name; a context manager, for what one peer gets of them once lies in a folder meanwhile."""

    def __init__(self, name: str, rows: list[Row]) -> None:
        self.name = name
        self.rows = rows
        self._folder = TemporaryDirectory(prefix="oubli-bench-")
        self._made: dict[str, Path] = {}

    def __enter__(self) -> "Population":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def __str__(self) -> str:
        return self.name

    def once(self, name: str, make: Callable[[list[Row], Path], Path]) -> Path:
        """Return the file that a peer made of them; it is made once."""
        if name not in self._made:
            self._made[name] = make(self.rows, Path(self._folder.name))
        return self._made[name]


def cafe(seed: int = 1) -> list[Row]:
    """Return the day's connections in the order the recorder hears of them."""
    plan = scenario.load("cafe-day")
    decoder, timeouts = connections.Decoder(), Timeouts(plan.network.timeouts.get)
    macs: dict[bytes, bytes] = {}
    rows: list[Row] = []

    class Macs(neighbours.Listener):
        def neighbour(self, index: int, address: bytes, mac: bytes, *, quiet: bool = False) -> None:  # noqa: ARG002 (the listener's signature)
            macs[address] = mac

    neighbour = neighbours.Neighbours(Macs())

    def take(c: Any) -> None:  # noqa: ANN401 (one of the decoder's)
        address, end = connections.source_of(c), timeouts.end(c)
        row = Row(
            c.protocol, address, macs[address], c.source_port, c.translated_port, c.destination_port,
            c.packets_up, c.packets_down, c.bytes_up, c.bytes_down, c.start, end, max(c.stop, end),
        )  # fmt: skip
        rows.append(row)

    for step in World(plan, seed).steps():
        if step.operation == tape.NEIGHBOUR:
            neighbour.feed(step.payload, len(step.payload))
        elif step.operation == tape.DATAGRAM:
            decoder.feed(step.payload, len(step.payload), take)
    return rows


def thousand(rows: list[Row], seed: int = 1) -> list[Row]:
    """Return 1,000 of the busiest hour's, ending evenly over one hour, as one default segment holds them."""
    draw = Random(seed)
    hours = Counter(row.end // (3600 * SECOND) for row in rows)
    busiest = max(hours, key=lambda hour: hours[hour])
    chosen = draw.sample([row for row in rows if row.end // (3600 * SECOND) == busiest], 1000)
    hour = busiest * 3600 * SECOND
    ends = sorted(hour + draw.randrange(3600 * SECOND) for _ in chosen)
    return [
        replace(row, start=end - (row.end - row.start), end=end, heard=end)
        for row, end in zip(chosen, ends, strict=True)
    ]
