# SPDX-License-Identifier: Apache-2.0
"""By how much the forwarder's clocks differ from the machine's, in a file that it maps."""

import mmap
import struct
import time
from pathlib import Path


class ClockOffset:
    """The mapped file that shifts the forwarder's clocks (host_sim.driver.launch): two i64, little-endian, ns.

    The second one takes the first setting off the time since boot, so that a scenario of any year begins an hour after a boot.
    """

    def __init__(self, path: Path, begins: int) -> None:
        path.write_bytes(struct.pack("<qq", begins - time.time_ns(), time.time_ns() - begins))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def set(self, virtual: int) -> None:
        """Make the shifted wall clock show `virtual`, ns since the epoch, and run on."""
        self._map[:8] = struct.pack("<q", virtual - time.time_ns())

    def close(self) -> None:
        """Unmap."""
        self._map.close()
