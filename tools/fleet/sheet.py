# SPDX-License-Identifier: Apache-2.0
"""Comma-separated values that a spreadsheet only reads: what it takes for a formula is marked as text.

A spreadsheet that separates by semicolons or tabs begins a cell after each of them, or after a quote.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_INSIDE, _MARKED = re.compile(r"""([;\t\r\n"])('*)(?=[=+\-@])"""), re.compile(r"""([;\t\r\n"])'('*)(?=[=+\-@])""")


def safe(value: object) -> object:
    """Return a value for a cell; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_FORMULA) else "") + _INSIDE.sub(r"\1'\2", value)


def plain(text: str) -> str:
    """Return a cell without those marks."""
    return _MARKED.sub(r"\1\2", text.removeprefix("'"))


def text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return RFC 4180's CSV."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(head)
    writer.writerows([safe(value) for value in row] for row in rows)
    return file.getvalue()
