# SPDX-License-Identifier: Apache-2.0
"""Comma-separated values that a spreadsheet only reads: what it takes for a formula is marked as text."""

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe(value: object) -> object:
    """Return a value for a cell; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return RFC 4180's CSV."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(head)
    writer.writerows([safe(value) for value in row] for row in rows)
    return file.getvalue()
