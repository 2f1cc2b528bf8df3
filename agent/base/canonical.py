# SPDX-License-Identifier: Apache-2.0
"""JSON with sorted keys, the same octets on both interpreters, and texts that may be shown.

MicroPython's dictionaries have no order.
"""

import json

# How JSON writes the characters that steer a terminal; `dumps` writes all others beyond ASCII as escapes, too.
_STEERING = (b"\\b", b"\\f", b"\\n", b"\\r", b"\\t", b"\\u000", b"\\u001", b"\\u007f", b"\\u008", b"\\u009")

# Code points that a text may not have: control characters, what has no width,
# breaks a line or turns it, halves of a pair.
_STEERERS = (
    (0, 31),
    (127, 159),
    (0x61C, 0x61C),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0xD800, 0xDFFF),
    (0xFEFF, 0xFEFF),
)


def dumps(value: "Any") -> str:
    """Return JSON text for dictionaries with text keys, lists, tuples, texts, numbers, booleans and None: in ASCII."""
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(key) + ":" + dumps(value[key]) for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    text = json.dumps(value)
    return text if len(text.encode()) == len(text) else "".join([_ascii(letter) for letter in text])


def loads(text: bytes) -> "Any":
    """Return what JSON of `dumps` says; ValueError where it isn't, or holds what would steer a person's terminal."""
    words = text.replace(b"\\\\", b"")
    if not text or min(text) < 32 or max(text) > 126 or any(word in words for word in _STEERING):
        raise ValueError
    try:
        return json.loads(text)
    except RuntimeError:  # nested deeper than the parser goes
        raise ValueError


def showable(text: "object", limit: int) -> bool:
    """Return True if this is a text of 1 to `limit` octets of UTF-8 that steers nothing where it is shown."""
    if not isinstance(text, str) or any(low <= ord(one) <= high for one in text for low, high in _STEERERS):
        return False
    return 0 < len(text.encode()) <= limit


def _ascii(letter: str) -> str:
    return letter if letter <= "\x7f" else "\\u%04x" % ord(letter)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
