# SPDX-License-Identifier: Apache-2.0
"""How few octets the same fields could take: two estimates of the entropy of a population's connections, times to 100 ms.

`independent` sums each field's entropy, as if no field told anything of another. A packer that knows what depends on what can do better, so
it is no bound; it is what a packer can be held to that writes field by field.

`joint` takes as known what a packer could know: who was here in that hour, the connection's service for its duration, service and duration
for its packets, service and packets for its volumes. Ports stay independent: the simulated people's count upwards, as Windows' do; Linux
and Apple draw them.

Counted frequencies make an entropy too small (a value that came once could have been another one), hence Miller and Madow's correction
(1955). Contexts with few rows are counted as one, so that they don't explain themselves.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise

from agent.summary.services import service_of
from tools.bench.population import SECOND, Row

_TICK = SECOND // 10  # to which a record keeps times
_FEW = 200  # rows of a context that isn't one by itself


def bits(column: Sequence[Hashable]) -> float:
    """Return the entropy of a value."""
    counts, total = Counter(column), len(column)
    counted = -sum(count / total * math.log2(count / total) for count in counts.values())
    return counted + (len(counts) - 1) / (2 * total) * math.log2(math.e)


def given(column: Sequence[Hashable], contexts: Sequence[Hashable]) -> float:
    """Return the entropy of a value where its context is known."""
    groups: dict[Hashable, list[Hashable]] = defaultdict(list)
    sizes = Counter(contexts)
    for value, context in zip(column, contexts, strict=True):
        groups[context if sizes[context] >= _FEW else _FEW].append(value)
    return sum(len(group) / len(column) * bits(group) for group in groups.values())


def _gaps(rows: Sequence[Row]) -> list[int]:
    """Return the time from each end to the next."""
    return [after - before for before, after in pairwise(sorted(row.end // _TICK for row in rows))]


def independent(rows: Sequence[Row]) -> float:
    """Return octets a connection with every field by itself."""
    columns: list[list[Hashable]] = [
        [(row.address, row.mac) for row in rows],
        [(row.protocol, service_of(row.protocol, row.destination_port)) for row in rows],
        [row.source_port for row in rows],
        [row.translated_port != row.source_port for row in rows],
        [(row.end - row.start) // _TICK for row in rows],
        [(row.packets_up, row.packets_down) for row in rows],
        [row.bytes_up for row in rows],
        [row.bytes_down for row in rows],
        [*_gaps(rows)],
    ]
    return sum(map(bits, columns)) / 8


def joint(rows: Sequence[Row]) -> float:
    """Return octets a connection with what is known of a field from others."""
    services = [(row.protocol, service_of(row.protocol, row.destination_port)) for row in rows]
    lasted = [(row.end - row.start) // _TICK for row in rows]
    every = (
        given([(row.address, row.mac) for row in rows], [row.end // (3600 * SECOND) for row in rows]),
        bits(services),
        bits([row.source_port for row in rows]),
        bits([row.translated_port != row.source_port for row in rows]),
        given(lasted, services),
        given(
            [(row.packets_up, row.packets_down) for row in rows], [(of, min(ticks, 3)) for of, ticks in zip(services, lasted, strict=True)]
        ),
        given([row.bytes_up for row in rows], [(of, row.packets_up) for of, row in zip(services, rows, strict=True)]),
        given([row.bytes_down for row in rows], [(of, row.packets_down) for of, row in zip(services, rows, strict=True)]),
        bits(_gaps(rows)),
    )
    return sum(every) / 8
