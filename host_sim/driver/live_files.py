# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a device whose daemons are running; one that goes away meanwhile is left out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def contents(folder: Path, depth: str = "**/*") -> dict[str, bytes]:
    """Return what each file below a folder holds, by its path from there, in order; `depth` is a pattern."""
    held: dict[str, bytes] = {}
    for path in sorted(folder.glob(depth)):
        with contextlib.suppress(FileNotFoundError):  # written beside and renamed, or trimmed
            if path.is_file():
                held[str(path.relative_to(folder))] = path.read_bytes()
    return held


def modes(folder: Path) -> dict[str, str]:
    """Return the mode of each file and folder below one, in octal, by its path from there."""
    held: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            held[str(path.relative_to(folder))] = oct(path.stat().st_mode & 0o7777)
    return held
