# SPDX-License-Identifier: Apache-2.0
"""Makes a scenario that shows a violation as short as can be: fewer events, defaults, small numbers.

A run takes seconds, so what makes every later run shorter is tried first: less time, then fewer events (half of them, a
quarter, one), then fewer people. Hypothesis, which the project has, shrinks what it drew byte by byte in some hundred
runs and gives up after five minutes.
"""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

_MARGIN = 0.02  # hours that are left after the last event
# What every scenario says, and what belongs together.
_KEPT = {"time": ("start", "days"), "people": ("visitors",), "gateway": ("lifetime", "rows"), "purposes": ("sealed",)}

Data = dict[str, Any]


class Seen(Protocol):
    """What a run showed."""

    @property
    def hours(self) -> float:
        """Return when, in hours after the start."""
        ...


T = TypeVar("T", bound=Seen)


def shrink(data: Data, found: T, same: Callable[[Data], T | None], limit: int) -> tuple[Data, T, int]:
    """Return the simplest form of a scenario for which `same` still answers, its answer, and the runs it took.

    There are `limit` runs at most.
    """
    runs, tried, before = 0, {repr(data)}, None
    while data is not before:
        before = data
        for make in (_fewer, _shorter, _emptier, _plainer, _rounder):
            again = True
            while again:
                again = False
                for candidate in make(data, found.hours):
                    if repr(candidate) in tried:
                        continue
                    if runs == limit:
                        return data, found, runs
                    tried.add(repr(candidate))
                    runs += 1
                    answer = same(candidate)
                    if answer is not None:
                        data, found, again = candidate, answer, True
                        break
    return data, found, runs


def _fewer(data: Data, _hours: float) -> Iterator[Data]:
    """Leave out events: a half, a quarter, ..., one."""
    events = data.get("event", ())
    size = 2 * len(events)
    while size > 1:
        size = -(-size // 2)
        for at in range(0, len(events), size):
            yield {**copy.deepcopy(data), "event": list(events[:at]) + list(events[at + size :])}


def _shorter(data: Data, hours: float) -> Iterator[Data]:
    """End as soon as the last event has happened that can be to blame, or earlier."""
    last = max((event["at"] for event in data.get("event", ()) if event["at"] <= hours), default=0)
    for end in (last / 24 / 2, (last + _MARGIN) / 24, (last + hours) / 2 / 24, hours / 24):
        days = math.ceil(end * 1000) / 1000
        if 0.01 <= days < data["time"]["days"]:
            candidate = _with(data, "time", "days", days)
            candidate["event"] = [event for event in candidate.get("event", ()) if event["at"] <= days * 24]
            yield candidate


def _emptier(data: Data, _hours: float) -> Iterator[Data]:
    """Let fewer people come, or nobody."""
    visitors = data["people"]["visitors"]
    if visitors:
        yield from (_with(data, "people", "visitors", fewer) for fewer in (0, visitors // 4, visitors // 2))


def _plainer(data: Data, _hours: float) -> Iterator[Data]:
    """Leave out sections, then single settings."""
    for name, section in data.items():
        if isinstance(section, dict):
            left = {key: section[key] for key in _KEPT.get(name, ()) if key in section}
            if len(section) > len(left) + 1:
                others = {one: part for one, part in copy.deepcopy(data).items() if one != name}
                yield {**others, name: left} if left else others
    for name, section in data.items():
        if isinstance(section, dict):
            for key in [key for key in section if key not in _KEPT.get(name, ())]:
                fewer = {other: value for other, value in section.items() if other != key}
                others = {one: part for one, part in copy.deepcopy(data).items() if one != name}
                yield {**others, name: fewer} if fewer else others


def _rounder(data: Data, _hours: float) -> Iterator[Data]:
    """Let events come once, and give them rounder numbers."""
    for place, event in enumerate(data.get("event", ())):
        if "every" in event:
            yield _event(data, place, {key: value for key, value in event.items() if key != "every"})
        for name in ("minutes", "amount", "seconds"):
            if name in event:
                rounder = [value for value in (1, _rounded(event[name])) if abs(value) < abs(event[name])]
                yield from (_event(data, place, {**event, name: value}) for value in rounder)
        for digits in (0, 1, 2):
            if round(event["at"], digits) != event["at"]:
                yield _event(data, place, {**event, "at": round(event["at"], digits)})


def _with(data: Data, section: str, key: str, value: object) -> Data:
    candidate = copy.deepcopy(data)
    candidate[section][key] = value
    return candidate


def _event(data: Data, place: int, event: Data) -> Data:
    candidate = copy.deepcopy(data)
    candidate["event"][place] = event
    return candidate


def _rounded(number: float) -> float:
    """Return a number with one significant digit, whole where it was."""
    if not number:
        return 0
    digits = -math.floor(math.log10(abs(number)))
    rounded = round(number, digits)
    return int(rounded) if float(rounded).is_integer() else rounded
