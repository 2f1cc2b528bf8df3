# SPDX-License-Identifier: Apache-2.0
"""JSON with sorted keys, the same octets on both interpreters (MicroPython's dictionaries have no order)."""

import json


def dumps(value: "Any") -> str:
    """Return JSON text for dictionaries with text keys, lists, tuples, texts, numbers, booleans and None: in ASCII."""
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(key) + ":" + dumps(value[key]) for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    text = json.dumps(value)
    return text if len(text.encode()) == len(text) else "".join([_ascii(letter) for letter in text])


def _ascii(letter: str) -> str:
    return letter if letter <= "\x7f" else "\\u%04x" % ord(letter)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
