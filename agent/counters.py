# SPDX-License-Identifier: Apache-2.0
"""What was kept, left out and lost, by cause: nothing is lost silently.

In a mapped tmpfs file, so that a restart of the process goes on counting. Shown to the person at the gateway only: a guest can
cause losses, so none of these figures leaves the device (ANON-4).
"""

import struct

from agent.runtime import memory

# A cause that says "lost" counts connections that should have been kept.
NAMES = (
    "connections",
    "kept",
    "due on arrival",
    "no purpose",
    "unknown terminal",
    "lost: born before accounting",
    "lost: ring full",
    "lost: store",
    "lost: ring resized",
    "malformed",
    "overruns",
    "starts",
    "torn segments",
    "messages dropped",
    "messages lost",
)


class Counters:
    """Named 64-bit counts in the file at `path`."""

    def __init__(self, path: str) -> None:
        self._region = memory.map_file(path, 8 * len(NAMES))
        read = struct.unpack_from("<" + "Q" * len(NAMES), self._region.view, 0)
        self.values = {}
        for name, value in zip(NAMES, read):
            self.values[name] = value

    def add(self, name: str, count: int = 1) -> None:
        """Count; durable for the next process after `save`."""
        self.values[name] += count

    def save(self) -> None:
        """Write all into the mapped file."""
        for index, name in enumerate(NAMES):
            struct.pack_into("<Q", self._region.view, index * 8, self.values[name])

    def close(self) -> None:
        """Save and unmap."""
        self.save()
        self._region.close()
