# SPDX-License-Identifier: Apache-2.0
"""What was kept, left out and lost, by cause: nothing is lost silently.

In a mapped tmpfs file, so that a restart of the process goes on counting. Shown to the person at the gateway only: a
guest can cause losses, so none of these figures leaves the device (ANON-4).
"""

import binascii
import struct

from agent.runtime import memory
from agent.summary.metrics import METRICS

# A cause that says "lost" counts connections that should have been kept.
NAMES = (
    "connections",
    "kept",
    "attributed",
    "in a block",
    "no public address",
    "second NAT",
    "billed",
    "due on arrival",
    "due by powered-on hours",
    "no purpose",
    "unknown terminal",
    "excluded: own",
    "excluded: outside",
    "excluded: hairpin",
    "excluded: broadcast",
    "services kept",
    "services without consent",
    "location kept",
    "withdrawn",
    "erased",
    "lost: born before accounting",
    "lost: overrun",
    "lost: ring full",
    "lost: clock",
    "lost: store",
    "lost: no room",
    "lost: read-only",
    "lost: not mounted",
    "lost: no key",
    "lost: ring resized",
    "malformed",
    "overruns",
    "neighbour overruns",
    "starts",
    "gaps",
    "gap seconds",
    "addresses handed over",
    "associations given up",
    "torn segments",
    "messages dropped",
    "messages lost",
) + tuple(["messages dropped: " + metric.name for metric in METRICS])

_HEADER = 16  # CRC-32 of the names u64, monotonic ns of the last save u64
_CHECK = binascii.crc32(" ".join(NAMES).encode())
_COUNTS = "<" + "Q" * len(NAMES)


class Counters:
    """Named 64-bit counts in the file at `path`; `saved`: when a former process did last (monotonic ns, 0: none)."""

    def __init__(self, path: str) -> None:
        self._region = memory.map_file(path, _HEADER + 8 * len(NAMES))
        check, self.saved = struct.unpack_from("<QQ", self._region.view, 0)
        read = struct.unpack_from(_COUNTS, self._region.view, _HEADER)
        if check != _CHECK:
            # A new file, or another version's: its counts are of other names, but
            # when it saved last is where a gap begins.
            read = (0,) * len(NAMES)
        self.values = {}
        for name, value in zip(NAMES, read):
            self.values[name] = value

    def add(self, name: str, count: int = 1) -> None:
        """Count; durable for the next process after `save`."""
        self.values[name] += count

    def save(self, monotonic: int) -> None:
        """Write all into the mapped file."""
        memory.store("<QQ", self._region.view, 0, _CHECK, monotonic)
        values = self.values
        memory.store(_COUNTS, self._region.view, _HEADER, *[values[name] for name in NAMES])

    def close(self) -> None:
        """Unmap."""
        self._region.close()
