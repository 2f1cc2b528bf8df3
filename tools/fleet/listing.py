# SPDX-License-Identifier: Apache-2.0
"""A list of gateways as CSV.

`oubli-fleet enrol` reads and writes it, `expect` and the page's inventory take it, the page hands it out.
"""

import csv
import functools
import io
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zoneinfo import available_timezones

from tools.fleet import sheet

IDENT = re.compile(r"[a-z2-7]{16}")
COLUMNS = ("gateway", "name", "group", "tags")
LARGEST = 4 << 20  # octets of a list
NAME, TAGS = 64, 256  # characters of a name or a group, and of all tags of one gateway
_TAG, _COLUMNS, _ROWS = 32, 16, 200_000  # empty lines count too
_TWICE = "{ident} is there twice; accepted: 16 characters of a-z2-7"
_NO_ID = "{ident} is no id; accepted: 16 characters of a-z2-7"
_NO_ID_MADE = "{ident} is no id; accepted: 16 characters of a-z2-7, or nothing"


class ListError(Exception):
    """A list that can't be used: which line, what was wrong, what is accepted.

    `args[0]` is English, `said` what the page translates.
    """

    def __init__(self, text: str, line: int = 0, **values: object) -> None:
        self.said: tuple[str, int, dict[str, object]] = (text, line, values)
        super().__init__((f"line {line}: " if line else "") + text.format(**values))


class Listed(NamedTuple):
    """One gateway of a list; what is empty stays as it was. Tags are words with a space between, in their order."""

    ident: str
    name: str = ""
    group: str = ""
    tags: str = ""


def parse(octets: bytes, *, made: bool) -> list[Listed]:
    """Return a list's gateways: CSV with a head that names `gateway`, `name`, `group`, `tags` in any order.

    Where ids are `made`, a gateway without one gets one. ListError names the line that is wrong.
    """
    try:
        text = octets.decode("utf-8-sig")
    except ValueError:
        raise ListError("no UTF-8; accepted: CSV in UTF-8, with a head: gateway, name, group, tags") from None
    try:
        return list(_rows(text, made=made))
    except csv.Error as failure:
        raise ListError(
            "no CSV ({why}); accepted: a head with gateway, name, group, tags, and a line a gateway", why=failure
        ) from None


def _rows(text: str, *, made: bool) -> Iterator[Listed]:
    rows = csv.DictReader(io.StringIO(text), dialect=_dialect(text))
    if not set(rows.fieldnames or ()) & {"gateway", "name"}:
        raise ListError("no head; accepted: names of columns: gateway, name, group, tags", 1)
    seen, count = set(), 0
    for row in rows:
        if len(rows.fieldnames or ()) > _COLUMNS or (count := count + 1) > _ROWS:
            raise ListError("too large; accepted: {n} columns, {m} lines", rows.line_num, n=_COLUMNS, m=_ROWS)
        ident, name, group, tags = (" ".join(sheet.plain(row.get(column) or "").split()) for column in COLUMNS)
        if not (ident or name):
            continue
        ident = ident or (new_ident() if made else "")
        if not IDENT.fullmatch(ident) or ident in seen:
            wrong = _TWICE if ident in seen else _NO_ID_MADE if made else _NO_ID
            raise ListError(wrong, rows.line_num, ident=repr(ident[:32]))
        if not (named(name) and named(group)):
            raise ListError("a name or group; accepted: at most {n} printable characters", rows.line_num, n=NAME)
        try:
            tags = words(tags)
        except ListError as failure:
            text, _, values = failure.said
            raise ListError(text, rows.line_num, **values) from None
        seen.add(ident)
        yield Listed(ident, name, group, tags)


@functools.cache
def zones() -> frozenset[str]:
    """Return the names of all time zones; they are read from the disk once."""
    return frozenset(available_timezones())


def named(text: str) -> bool:
    """Return True where something may be a gateway's name or group."""
    return len(text) <= NAME and text.isprintable()


def words(text: str) -> str:
    """Return tags as they are kept: each once, in their order, in small letters, with a space between.

    ListError where one isn't a tag.
    """
    tags = sorted(set(text.casefold().replace(",", " ").split()))
    kept = " ".join(tags)
    if len(kept) > TAGS or not all(len(tag) <= _TAG and tag.isprintable() for tag in tags):
        raise ListError(
            "tags; accepted: words of at most {n} printable characters, at most {m} together", n=_TAG, m=TAGS
        )
    return kept


def text(rows: Iterable[Listed]) -> str:
    """Return a list as CSV, which `parse` reads back."""
    return sheet.text(COLUMNS, rows)


def _dialect(text: str) -> type[csv.Dialect]:
    """Return how the head separates its columns: by comma, or by semicolon as spreadsheets in France do."""

    class Separated(csv.excel):
        delimiter = ";" if ";" in text.partition("\n")[0] else ","

    return Separated


def new_ident() -> str:
    """Return a new gateway's id."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(16))
