# SPDX-License-Identifier: Apache-2.0
"""How few octets the same fields could take.

Two estimates of the entropy of a population's connections, times to 100 ms.

`independent` sums each field's entropy, as if no field told anything of another. A packer that knows what depends on
what can do better, so it is no bound. It is what a packer can be held to that writes field by field.

`joint` takes as known what a packer could know: who was here in that hour, the connection's service for its duration,
service and duration for its packets, service and packets for its volumes. Ports stay independent: the simulated
people's count upwards, as Windows' do; Linux and Apple draw them.

`apart` is a store that there could be: the octets of our records sorted by field, 320 at a time, each field with a
Huffman code of its own, all framing included. Ours has a code for each of four fields and one for what is left of a
record: what lies between the two is what that costs.

Counted frequencies make an entropy too small (a value that came once could have been another one), hence Miller and
Madow's correction (1955). Contexts with few rows are counted as one, so that they don't explain themselves.
"""

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise

from agent.purposes.custodian.varint import varint
from agent.summary.services import service_of
from agent.vault import keys, segment
from agent.vault.record import CODES, FEW, LEAST, MAC, OTHER
from tools.bench.population import SECOND, Row

_TICK = SECOND // 10  # to which a record keeps times
_PAGE = 320  # records whose fields are sorted: those of a page of 4 KiB
_CHUNK = 19  # octets of framing and tag of a page
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
            [(row.packets_up, row.packets_down) for row in rows],
            [(of, min(ticks, 3)) for of, ticks in zip(services, lasted, strict=True)],
        ),
        given([row.bytes_up for row in rows], [(of, row.packets_up) for of, row in zip(services, rows, strict=True)]),
        given(
            [row.bytes_down for row in rows], [(of, row.packets_down) for of, row in zip(services, rows, strict=True)]
        ),
        bits(_gaps(rows)),
    )
    return sum(every) / 8


def apart(rows: Sequence[Row]) -> float:
    """Return octets a connection where each field has a code of its own, in segments of an hour."""
    hours: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        hours[row.end // (3600 * SECOND)].append(row)
    octets = 0
    for hour, mine in hours.items():
        octets += segment.HEADER + keys.SLOT
        ends: dict[tuple[bytes, bytes], int] = {}
        for first in range(0, len(mine), _PAGE):
            octets += _CHUNK + _page(mine[first : first + _PAGE], hour * 36000, ends)
    return octets / len(rows)


def _page(rows: Sequence[Row], opened: int, ends: dict[tuple[bytes, bytes], int]) -> int:
    """Return the octets of a page's fields: nine columns, and a tail for terminals and longer numbers."""
    columns: list[bytearray] = [bytearray() for _ in range(10)]
    for row in rows:
        who, code = (row.address, row.mac), CODES.get(row.protocol, OTHER)
        end, up, down = row.end // _TICK - opened, row.packets_up, row.packets_down
        told = who not in ends
        if told:
            columns[-1] += row.mac.rjust(MAC) + bytes([len(row.address)]) + row.address
        apart = end - ends.get(who, 0)
        ends[who] = end
        head = (
            service_of(row.protocol, row.destination_port) * 5 + code << 2
            | (row.translated_port != row.source_port) << 1
            | told
        )
        numbers = [(row.end - row.start) // _TICK, apart << 1 if apart >= 0 else (-apart << 1) - 1]
        numbers += [row.bytes_up - up * LEAST[code], row.bytes_down - down * LEAST[code]]
        split = [varint(number) for number in numbers]
        firsts = [
            int.from_bytes(row.mac[-2:], "big") + row.address[-1] & 255,
            head,
            min(up, FEW) << 4 | min(down, FEW),
            row.source_port >> 8,
            row.source_port & 255,
        ]
        for column, octet in zip(columns, [*firsts, *(one[0] for one in split)], strict=False):
            column.append(octet)
        columns[-1] += b"".join(varint(count - FEW) for count in (up, down) if count >= FEW) + b"".join(
            one[1:] for one in split
        )
    deflate = zlib.compressobj(6, zlib.DEFLATED, -12, 6, zlib.Z_HUFFMAN_ONLY)
    return sum(len(deflate.compress(column) + deflate.flush(zlib.Z_BLOCK)) for column in columns) + len(deflate.flush())
