# SPDX-License-Identifier: Apache-2.0
"""A list of gateways as CSV.

`oubli-fleet enrol` reads and writes it, `expect` and the page's inventory take it, the page hands it out.
"""

import csv
import io
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tools.fleet import sheet

IDENT = re.compile(r"[a-z2-7]{16}")
COLUMNS = ("gateway", "name", "group", "tags")
LARGEST = 4 << 20  # octets of a list
NAME, TAGS = 64, 256  # characters of a name or a group, and of all tags of one gateway
_TAG = 32


class ListError(Exception):
    """A list that can't be used; `args[0]` says which line, what was wrong, what is accepted."""


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
        raise ListError(f"no CSV ({failure}); accepted: a head with gateway, name, group, tags, and a line a gateway") from None


def _rows(text: str, *, made: bool) -> Iterator[Listed]:
    rows = csv.DictReader(io.StringIO(text), dialect=_dialect(text))
    if not set(rows.fieldnames or ()) & {"gateway", "name"}:
        raise ListError("line 1: no head; accepted: names of columns: gateway, name, group, tags")
    seen = set()
    for row in rows:
        ident, name, group, tags = (" ".join((row.get(column) or "").removeprefix("'").split()) for column in COLUMNS)
        if not (ident or name):
            continue
        ident = ident or (new_ident() if made else "")
        if not IDENT.fullmatch(ident) or ident in seen:
            wrong = "there twice" if ident in seen else "no id"
            raise ListError(f"line {rows.line_num}: {ident[:32]!r} is {wrong}; accepted: 16 characters of a-z2-7{', or nothing' * made}")
        if max(len(name), len(group)) > NAME or not (name + group).isprintable():
            raise ListError(f"line {rows.line_num}: a name or group; accepted: at most {NAME} printable characters")
        try:
            tags = words(tags)
        except ListError as failure:
            raise ListError(f"line {rows.line_num}: {failure}") from None
        seen.add(ident)
        yield Listed(ident, name, group, tags)


def words(text: str) -> str:
    """Return tags as they are kept: each once, in their order, in small letters, with a space between. ListError where one isn't a tag."""
    tags = sorted(set(text.casefold().replace(",", " ").split()))
    kept = " ".join(tags)
    if len(kept) > TAGS or not all(len(tag) <= _TAG and tag.isprintable() for tag in tags):
        raise ListError(f"tags; accepted: words of at most {_TAG} printable characters, at most {TAGS} together")
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
