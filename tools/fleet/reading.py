# SPDX-License-Identifier: Apache-2.0
"""One message as it came from the broker, read with suspicion: a checked `Reading`, or the reason why it is refused.

The broker's ACL says who may write where; this module trusts none of it. Everything is bounded before it is looked at.
Every kind has its JSON Schema: each number has both bounds there, each text its pattern and length (Python's `$` also
stands before a last newline). What a newer gateway says beyond the schema is set apart by `newer` and kept raw.
What a schema can't say is checked here: that the topic is the gateway's own, that a slot's times are the day's, that no
clock talks nonsense. Reasons are a closed list: they are counted, and never quote what was sent.
"""

import functools
import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, NoReturn

import jsonschema

from agent.outbox import topics
from agent.summary.metrics import METRICS, half_width
from tools.fleet import newer
from tools.fleet.schemas import VERSIONS, schema

LARGEST = 4096  # octets of a payload; the agent's longest is 512
PUNCTUAL = 900  # seconds after a slot's end; what comes later is late (the agent sends within 660)
AHEAD = 3600  # seconds that a gateway's clock may be ahead of ours
KEPT_DAYS = 400  # what is older is neither taken nor kept
_HOUR, _DAY = 3600, 86400
_EPOCH = date(1970, 1, 1).toordinal()
_NOISE = 2000  # b lies from 1/2 (epsilon 2, L1 1) to 2,000 (epsilon 0.001, L1 2)

REASONS = {
    "topic": "a topic that no gateway has",
    "size": "larger than 4,096 octets",
    "json": "no JSON",
    "schema": "not what the kind's schema says",
    "gateway": "a payload that names another gateway than its topic",
    "range": "a number or text outside its range",
    "clock": "times that can't be",
    "conflict": "another message with the key of one that is kept",
    "flood": "more than a gateway has to say",
    "store": "what the store can't hold",
}
METRIC = {metric.name: number for number, metric in enumerate(METRICS)}
_IDENT = "([a-z2-7]{16})"
FATES = ("kept", "repeat", "state", "health", "raw")  # what becomes of a message that isn't refused
_TOPICS = (
    (re.compile(topics.state(_IDENT)), "state"),
    (re.compile(topics.health(_IDENT)), "health"),
    *((re.compile(topics.summary(_IDENT, metric.name)), metric.name) for metric in METRICS),
)
_OTHER = re.compile(topics.summary(_IDENT, f"({newer.WORD.pattern})"))  # a metric that a newer gateway has


class Refused(Exception):  # noqa: N818 (a message is refused)
    """A message that isn't taken: `reason` of `REASONS`, and the gateway whose topic it came on, if it is one."""

    def __init__(self, reason: str, gateway: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.gateway = gateway


@dataclass(frozen=True)
class Reading:
    """A checked message: its kind, its gateway, its content.

    For a summary also day (since the epoch) and whether it is late.

    `unknown` is what we have no schema of, as text; `raw`: that is all of the message.
    """

    kind: str
    gateway: str
    content: dict[str, Any]
    day: int = 0
    late: bool = False
    unknown: str = ""
    raw: bool = False


@functools.cache
def _validators(kind: str) -> list[jsonschema.Draft202012Validator]:
    return [jsonschema.Draft202012Validator(schema(kind, version)) for version in reversed(VERSIONS[kind])]


def read(topic: str, payload: bytes, now: int) -> Reading:
    """Return the message; `now` in seconds since the epoch. Refused names one of `REASONS`."""
    kind, gateway = addressed(topic)
    try:
        return _read(kind, gateway, payload, now)
    except Refused as refused:
        refused.gateway = gateway
        raise


def addressed(topic: str) -> tuple[str, str]:
    """Return the kind and the gateway that a topic names; Refused where it is none of ours."""
    for pattern, kind in _TOPICS:
        match = pattern.fullmatch(topic)
        if match:
            return kind, match[1]
    match = _OTHER.fullmatch(topic)
    if match:
        return match[2], match[1]
    raise Refused("topic")


def _read(kind: str, gateway: str, payload: bytes, now: int) -> Reading:
    if len(payload) > LARGEST:
        raise Refused("size")
    content = _parse(payload)
    unknown, known = "", kind in VERSIONS
    if not known or not any(one.is_valid(content) for one in _validators(kind)):
        parts = newer.parted(kind, content) if known else None
        if parts is None and not newer.whole(kind, content):
            raise Refused("schema")
        if content.get("gateway", gateway) != gateway:
            raise Refused("gateway")
        if parts is None:
            return Reading(kind, gateway, {}, unknown=newer.text(content), raw=True)
        content, unknown = parts
    if content.get("gateway", gateway) != gateway:
        raise Refused("gateway")
    if kind == "health" and content["clock"] == "trusted" and content["time"] > now + AHEAD:
        raise Refused("clock")
    if kind in METRIC:
        return _summary(kind, gateway, content, unknown, now)
    return Reading(kind, gateway, content, unknown=unknown)


def _summary(kind: str, gateway: str, content: dict[str, Any], unknown: str, now: int) -> Reading:
    metric = METRICS[METRIC[kind]]
    over, under = content["b"]
    if not under <= 2 * over or not over <= _NOISE * under:
        raise Refused("range")
    if content["half_width"] != half_width((over, under)):
        raise Refused("range")
    try:
        day = date.fromisoformat(content["day"]).toordinal() - _EPOCH
    except ValueError:
        raise Refused("clock") from None
    begin = day * _DAY + 3 * _HOUR + content["slot"] * metric.slot_seconds
    if content["end"] != begin + metric.slot_seconds or not begin <= content["start"] < content["end"]:
        raise Refused("clock")
    if content["end"] > now + AHEAD or content["end"] < now - KEPT_DAYS * _DAY:
        raise Refused("clock")
    return Reading(kind, gateway, content, day, content["end"] + PUNCTUAL < now, unknown)


def _parse(payload: bytes) -> dict[str, Any]:
    """Return a JSON object of whole numbers, texts and no key twice: nothing else is ever sent."""
    try:
        content = json.loads(payload.decode(), parse_float=_no, parse_constant=_no, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Refused("json") from None
    if not isinstance(content, dict):
        raise Refused("schema")
    return content


def _no(_: str) -> NoReturn:
    raise ValueError


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError
    return content
