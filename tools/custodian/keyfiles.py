# SPDX-License-Identifier: Apache-2.0
"""The files of private keys in a key store, strictly named keys/PURPOSE/DAY.json, and what else is there (EXP-3)."""

import json
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from agent import law
from tools import disk

PURPOSES = tuple(name for name in law.CONFIGURABLE if law.purpose(name).custody == law.CUSTODIAN)
KEPT = (*PURPOSES, "freeze")  # the folders of keys
LARGEST = 1 << 16  # octets of a key's file
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.json", re.ASCII)
_UNFINISHED = re.compile(r"\.\d{4}-\d\d-\d\d\.json\.new", re.ASCII)


@dataclass
class Key:
    """What a file holds: the public half, the date on which it is destroyed, the private half in a secret box."""

    public: bytes
    destroy: date
    sealed: bytes = field(repr=False)


@dataclass(order=True)
class KeyFile:
    """A file among the keys: its purpose's folder, its day where it is named as a key is."""

    path: Path
    purpose: str
    day: date | None

    @property
    def unfinished(self) -> bool:
        """Return True if it is a key that power was lost before: nobody has its public half."""
        return _UNFINISHED.fullmatch(self.path.name) is not None

    def read(self) -> Key | None:
        """Return the key, None where the file isn't one: damaged, overwritten, a folder.

        OSError where it can't be read.
        """
        data = self.octets()
        return None if data is None else parse(data)

    def octets(self) -> bytes | None:
        """Return the file's octets, None where it is no regular file, or too large."""
        return disk.read_regular(self.path, LARGEST)


def listed(keys: Path) -> tuple[list[KeyFile], list[str]]:
    """Return the files among the keys, and a line for each folder that isn't one of keys, or can't be read."""
    found: list[KeyFile] = []
    wrong: list[str] = []
    for folder in sorted(_entries(keys, wrong)):
        if folder.name not in KEPT:
            wrong.append(f"{folder}: not of a key store; accepted: {', '.join(KEPT)}")
            continue
        found += [KeyFile(path, folder.name, _day(path.name)) for path in sorted(_entries(folder, wrong))]
    return found, wrong


def _day(name: str) -> date | None:
    found = _NAME.fullmatch(name)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _entries(folder: Path, wrong: list[str]) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as failure:
        wrong.append(line(folder, failure))
        return []


def line(path: Path, failure: Exception) -> str:
    """Return what is said of a file that was in the way."""
    text = f"{failure.strerror}; accepted: a file that can be used" if isinstance(failure, OSError) else str(failure)
    return text if text.startswith(str(path)) else f"{path}: {text}"


def parse(data: bytes) -> Key | None:
    """Return a key's file as it was written, None where it isn't one: damaged, or overwritten already."""
    try:
        said = json.loads(data)
        return Key(bytes.fromhex(said["public"]), date.fromisoformat(said["destroy"]), bytes.fromhex(said["sealed"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
