# SPDX-License-Identifier: Apache-2.0
"""What a gateway of a newer version says beyond what is known here: kept apart and shown as it came.

Gateways are upgraded one by one, so a collector meets messages with a field, a finding or a kind that it has no schema
of. Whatever it does know must still hold its schema to the last bound. Only two things are more lenient: an object may
have further members, and a word of a closed list may be another word. Both are handed back apart, as JSON text in
ASCII: a store and a page take that whatever it says.
"""

import functools
import json
import re
from typing import Any

import jsonschema

from tools.fleet.schemas import VERSIONS, schema

WORD = re.compile(r"[a-z][a-z0-9-]{0,31}")
LONGEST = 1024  # characters of what is kept of one message
_STATES = {"online", "stopped", "lost"}
_VALIDATOR = jsonschema.Draft202012Validator


def parted(kind: str, content: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return what the newest schema knows of a message, the rest as text; None where that schema doesn't hold."""
    one = next((part for part in _objects(kind) if _lenient(json.dumps(part)).is_valid(content)), None)
    if one is None:
        return None
    known, rest = _split(one, content)
    return known, "" if rest is None else text(rest)


def whole(kind: str, content: dict[str, Any]) -> bool:
    """Return True if a message is of an unknown version, to be kept: by its schema's name, or its state's."""
    if kind == "state":
        return (
            isinstance(content.get("state"), str)
            and content["state"] not in _STATES
            and bool(WORD.fullmatch(content["state"]))
        )
    named = re.fullmatch(rf"oubli/{kind}/([1-9][0-9]{{0,3}})", str(content.get("schema")))
    return named is not None and int(named[1]) not in VERSIONS.get(kind, ())


def text(content: object) -> str:
    """Return JSON in ASCII, cut to what is kept."""
    found = json.dumps(content, separators=(",", ":"))
    return found if len(found) <= LONGEST else found[: LONGEST - 3] + "..."


def _objects(kind: str) -> list[dict[str, Any]]:
    newest = schema(kind)
    return newest.get("oneOf", [newest])


@functools.cache
def _lenient(part: str) -> jsonschema.Draft202012Validator:
    return _VALIDATOR(_loosened(json.loads(part)))


def _loosened(part: Any) -> Any:  # noqa: ANN401 (a schema, or a part of one)
    """Return a schema that lets further members and other words pass; states are told apart by theirs, which stay."""
    if isinstance(part, list):
        return [_loosened(one) for one in part]
    if not isinstance(part, dict):
        return part
    found = {
        name: _loosened(one) for name, one in part.items() if not (name == "additionalProperties" and one is False)
    }
    if "enum" in found and not set(found["enum"]) <= _STATES:
        return {
            "anyOf": [{"enum": found["enum"]}, {"type": "string", "pattern": rf"\A{WORD.pattern}\Z", "maxLength": 32}]
        }
    return found


def _split(part: dict[str, Any], content: Any) -> tuple[Any, Any]:  # noqa: ANN401 (JSON)
    """Return what a schema knows of a value and what it doesn't (None: nothing).

    A word that it doesn't know is in both.
    """
    if "enum" in part:
        return content, None if content in part["enum"] else content
    if isinstance(content, list):
        strange = [one for one in content if _split(part.get("items") or {}, one)[1] is not None]
        return content, strange or None
    if not isinstance(content, dict) or "properties" not in part:
        return content, None
    known, rest = {}, {}
    for name, value in content.items():
        own = part["properties"].get(name) or _alike(part, name, value)
        if own is None:
            rest[name] = value
            continue
        known[name], strange = _split(own, value)
        if strange is not None or name not in part["properties"]:
            rest[name] = value if strange is None else strange
    return known, rest or None


def _alike(part: dict[str, Any], name: str, value: Any) -> dict[str, Any] | None:  # noqa: ANN401 (JSON)
    """Return the schema of a further row where an object's rows are all alike and this one is, as a new purpose's."""
    rows = list(part["properties"].values())
    if (
        len(rows) > 1
        and all(row == rows[0] for row in rows)
        and WORD.fullmatch(name)
        and _VALIDATOR(rows[0]).is_valid(value)
    ):
        return rows[0]
    return None
