# SPDX-License-Identifier: Apache-2.0
"""The machine that figures are taken on: what it is, and what processes on it take."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_VERSIONS = {
    "micropython": ["micropython", "-c", "import sys; print(sys.version)"],
    "ulogd2": ["ulogd", "--version"],
    "conntrack": ["conntrack", "--version"],
    "pyroute2": [sys.executable, "-c", "import importlib.metadata as m; print(m.version('pyroute2'))"],
    "cc": ["cc", "--version"],
    "nfdump": ["nfdump", "-V"],
    "valgrind": ["valgrind", "--version"],
    "mosquitto": ["mosquitto", "-h"],
}


def cpu(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes and of the children that they have waited for."""
    total = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, words[11:15]))
    return total / _TICKS


def memory_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder of its own on tmpfs, as a device's var/run is, where there is a tmpfs."""
    shm = Path("/dev/shm")  # noqa: S108 (a folder of its own is made there)
    return tempfile.TemporaryDirectory(prefix="oubli-bench-", dir=shm if shm.is_dir() else None)


def versions() -> dict[str, str]:
    """Return what the programs say of themselves; those that are not here say nothing."""
    said = {}
    for name, words in _VERSIONS.items():
        if shutil.which(words[0]):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            said[name] = (done.stdout.strip().splitlines() or [""])[0]
    return {"cpython": sys.version.split()[0], **said}


def describe() -> dict[str, Any]:
    """Return what the figures were taken on."""
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": versions(),
    }
