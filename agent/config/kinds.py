# SPDX-License-Identifier: Apache-2.0
"""What an option's value may be: each takes the file's text and returns the value; ValueError with what is accepted."""

from agent import law
from agent.base import canonical

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_HOST = "abcdefghijklmnopqrstuvwxyz0123456789-."
_PERSON = 120  # characters of a name
NOBODY = (law.NOBODY, "nobody", "aucun", "personne")  # whoever reads such a name is told of nobody
SIGNS = ("-", "?")  # what stands for a name in root's notes (agent.vault.stores), and is none
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": law.DAY}


def text(value: str) -> str:
    """Accept anything but nothing."""
    if not value:
        raise ValueError("a text that isn't empty")
    return value


def path(value: str) -> str:
    """Accept the absolute path of a folder or file."""
    if value.startswith("/") and not value.endswith("/") and "//" not in value:
        return value
    raise ValueError("an absolute path without a slash at its end")


def flag(value: str) -> bool:
    """Accept what uci takes for true and false."""
    if value in ("1", "yes", "on", "true"):
        return True
    if value in ("0", "no", "off", "false"):
        return False
    raise ValueError("0 or 1")


def between(low: int, high: int) -> "Callable[[str], int]":
    """Accept a whole number between two, both included."""

    def parse(value: str) -> int:
        if value.isdigit() and len(value) < 10 and low <= int(value) <= high:
            return int(value)
        raise ValueError("a whole number from " + str(low) + " to " + str(high))

    return parse


def choice(*words: str) -> "Callable[[str], str]":
    """Accept one of these words."""

    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(", ".join(words))
        return value

    return parse


def lifetime(value: str) -> int:
    """Accept a time such as 24h; returns seconds."""
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > 9 or unit not in _UNITS:
        raise ValueError("a number and s, m, h or d, such as 24h")
    return int(digits) * _UNITS[unit]


def identity(value: str) -> str:
    """Accept a gateway's id, which first boot draws."""
    if len(value) != 16 or any(letter not in _BASE32 for letter in value):
        raise ValueError("16 characters of a-z and 2-7")
    return value


def ground(value: str) -> str:
    """Accept a ground of `attribution` (L34-III-1)."""
    accepted = law.refuse_ground(law.purpose("attribution"), value)
    if accepted:
        raise ValueError(accepted)
    return value


def person(value: str) -> str:
    """Accept a name or a document's, in UTF-8; each character of `value` is one octet."""
    try:
        text = bytes([ord(letter) for letter in value]).decode()
    except (ValueError, UnicodeError):
        text = ""
    if (
        len(text) > _PERSON
        or not canonical.showable(text, 4 * _PERSON)
        or text != text.strip()
        or text.lower() in SIGNS + NOBODY
    ):
        raise ValueError(
            f"UTF-8, at most {_PERSON} characters, no control character, no blank at an end, no lone ?, - or none"
        )
    return text


def officer(value: str) -> str:
    """Accept a data protection officer's name, or none."""
    return value if value == law.NOBODY else person(value)


PERSONS = person, officer  # what has a name, which no error repeats


def host(value: str) -> str:
    """Accept a host's name or address."""
    name = value.lower()
    labels = (name[:-1] if name.endswith(".") else name).split(".")  # one dot may end it
    if (
        len(name) > 63
        or name in NOBODY
        or any(letter not in _HOST for letter in name)
        or any(one.strip("-") != one or not one for one in labels)
    ):
        raise ValueError("a host name or address without a port, such as 192.168.1.1 or wifi.example.org")
    return name


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
