# SPDX-License-Identifier: Apache-2.0
"""What a measurement needs of this machine, what of it is lacking, and what apt can bring."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tools import tables

_LIBRARIES = {"pyroute2": "python3-pyroute2"}  # no command; the environment of tools/setup has it anyway


class UnableError(Exception):
    """This machine can't measure that; the text is the one line to show, without the command's name."""


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
