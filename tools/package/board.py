# SPDX-License-Identifier: Apache-2.0
"""A board: what a package or an image for it must know.

One file each, boards/NAME/board.toml, checked by boards/board.schema.json.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

BOARDS = Path(__file__).resolve().parent.parent.parent / "boards"


class BoardError(Exception):
    """A board that can't be used; its text is the one line to show: file, key, what was wrong, what is accepted."""


@dataclass(frozen=True)
class Board:
    """One board. `data` is the whole file; sizes as their keys say."""

    key: str
    data: dict[str, Any]

    @property
    def architecture(self) -> str:
        """Return the package architecture."""
        return str(self.data["openwrt"]["architecture"])

    @property
    def budget(self) -> dict[str, int]:
        """Return the budgets: memory_kib, flash_bytes_day, security_bytes, rows."""
        return {name: value for name, value in self.data["budget"].items() if name != "packages"}


def _accepted(failure: jsonschema.ValidationError) -> str:
    """Say what a key of the schema accepts."""
    rule, value = failure.validator, failure.validator_value
    if rule == "enum":
        return ", ".join(map(str, value))
    if rule == "additionalProperties":
        return "keys " + ", ".join(failure.schema["properties"])
    if rule == "required":
        return "every one of " + ", ".join(value)
    return f"{rule} {value}"


def names(boards: Path = BOARDS) -> list[str]:
    """Return the names of all boards."""
    return sorted(path.parent.name for path in boards.glob("*/board.toml"))


def load(key: str, boards: Path = BOARDS) -> Board:
    """Return a board; BoardError where there is none of this name, or its file isn't right."""
    path = boards / key / "board.toml"
    if key not in names(boards):
        raise BoardError(f"--board: {key!r} unknown; accepted: {', '.join(names(boards))}")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise BoardError(f"{path}: {failure}; accepted: TOML") from None
    schema = json.loads((BOARDS / "board.schema.json").read_text(encoding="utf-8"))
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(data))
    if wrong is not None:
        where = ".".join(map(str, wrong.absolute_path)) or "the file"
        raise BoardError(f"{path}: {where}: {wrong.message}; accepted: {_accepted(wrong)}")
    return Board(key, data)
