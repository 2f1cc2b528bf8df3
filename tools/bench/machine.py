# SPDX-License-Identifier: Apache-2.0
"""The machine that figures are taken on: what it is, what it lacks, and what apt can bring it."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools import tables

_TICKS = os.sysconf("SC_CLK_TCK")
_LIBRARIES = {"pyroute2": "python3-pyroute2"}  # no command; the environment of tools/setup has it anyway
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


class UnableError(Exception):
    """This machine can't measure that; the text is the one line to show, without the command's name."""


def cpu(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes and of the children that they have waited for."""
    total = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, words[11:15]))
    return total / _TICKS


def plugins(name: str) -> list[Path]:
    """Return where a plugin of ulogd2 is."""
    return list(Path("/usr/lib").glob(f"*/ulogd/ulogd_{name}.so"))


def is_there(name: str) -> bool:
    """Return True if a command is here, or a library or plugin that goes by a name in the same table."""
    if name == "pyroute2":
        return importlib.util.find_spec(name) is not None
    if name == "postgresql":
        return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return bool(plugins("output_JSON")) if name == "ulogd2-json" else shutil.which(name) is not None


def _packages(name: str) -> tuple[str, ...]:
    """Return the Debian packages that bring a command, by tools/packages.txt, or that go by this name."""
    return next((row.names for row in tables.packages() if name in row.commands), (_LIBRARIES.get(name, name),))


def missing(names: Iterable[str]) -> list[str]:
    """Return which of these this machine lacks, each with the Debian package that brings it."""
    return [f"{name} (Debian package {' and '.join(_packages(name))})" for name in names if not is_there(name)]


def lacks(names: Iterable[str], *, root: bool) -> list[str]:
    """Return what is missing of these, root's hands included."""
    return (["root (it makes network namespaces)"] if root and os.geteuid() != 0 else []) + missing(names)


def need(names: Iterable[str], *, root: bool) -> None:
    """UnableError where this machine lacks one of them, or these aren't root's hands."""
    if root and os.geteuid() != 0:
        raise UnableError("needs root: it makes network namespaces")
    if lacking := missing(names):
        raise UnableError(f"not on this machine: {', '.join(lacking)}")


def install(names: Iterable[str]) -> None:
    """Install through apt what is missing of these; UnableError where that can't be.

    What apt doesn't offer stays missing.
    """
    wanted = sorted({word for name in names if not is_there(name) for word in _packages(name)})
    if not wanted:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnableError(f"--install: needs root and apt; wanted: {', '.join(wanted)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for package in wanted:  # one by one: what one archive doesn't have mustn't keep the others away
        words = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", package]
        subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)


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
