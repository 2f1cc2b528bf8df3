# SPDX-License-Identifier: Apache-2.0
"""A folder for a simulated device's files: in memory, as a device's own var/run is, where there is room for that.

A disk would make each of the agent's syncs wait, minutes in a month, and show nothing: whether what is synced outlives
a cut of power is judged on the model of a flash (`host_sim.faults.flash`), never on the machine's own disk. Whoever
sets TMPDIR decides himself.
"""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 (folders of random names are made there)
ROOM = 256 << 20  # octets that must be free there: a device's files may be 64 MiB, and some run at once


def scratch(prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """Return a folder of its own, removed at the end of the `with` that it stands in."""
    roomy = (
        "TMPDIR" not in os.environ and MEMORY.is_dir() and (disk := os.statvfs(MEMORY)).f_bavail * disk.f_frsize >= ROOM
    )
    return tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY if roomy else None)
