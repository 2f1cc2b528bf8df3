# SPDX-License-Identifier: Apache-2.0
"""What tools/setup brings, by its tables: packages.txt (Debian packages), parts.txt (built for some tests)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Package:
    """A row of packages.txt: who needs it, the Debian packages, what shows them, all commands that are started."""

    who: frozenset[str]
    names: tuple[str, ...]
    probe: str
    commands: frozenset[str]


def _rows(table: str) -> Iterator[list[str]]:
    """Yield the fields of each row of a table."""
    for line in (_HERE / table).read_text().splitlines():
        if line and not line.startswith("#"):
            yield [field.strip() for field in line.split("|")]


def packages() -> list[Package]:
    """Return the Debian packages, in the table's order."""
    found = []
    for who, names, probe, more, _ in _rows("packages.txt"):
        commands = more.split() if probe.startswith("/") else [probe, *more.split()]
        found.append(Package(frozenset(who.split()), tuple(names.split()), probe, frozenset(commands)))
    return found


def parts() -> dict[str, str]:
    """Return the recipe of each part by its name."""
    return {name: recipe for name, recipe, _ in _rows("parts.txt")}
