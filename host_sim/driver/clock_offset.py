# SPDX-License-Identifier: Apache-2.0
"""By how much the forwarder's clocks differ from the machine's, in a file that it maps."""

import mmap
import struct
import time
from pathlib import Path


class ClockOffset:
    """The mapped file that shifts the forwarder's clocks (host_sim.driver.launch): two i64, little-endian, ns.

    The second one takes the first setting off the time since boot, so that a scenario
    of any year begins an hour after a boot.
    """

    def __init__(self, path: Path, begins: int) -> None:
        self._since = time.time_ns() - begins
        path.write_bytes(struct.pack("<qq", -self._since, self._since))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def set(self, virtual: int, shown: int | None = None) -> None:
        """Let it be `virtual`, ns since the epoch; the shifted wall clock shows that, or `shown`, and runs on."""
        wall = virtual if shown is None else shown
        self._map[:] = struct.pack("<qq", wall - time.time_ns(), self._since + virtual - wall)

    def close(self) -> None:
        """Unmap."""
        self._map.close()
