# SPDX-License-Identifier: Apache-2.0
"""A fleet that isn't there: venues with weekdays and hours, their figures with real noise, and a few in trouble.

For the demo, the tests and the page's pictures. People are drawn from a venue's size and hours; from there on all is
the agent's own: its metrics' bounds, its exact sampler, its messages byte for byte.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from agent import law
from agent.outbox import topics
from agent.summary import messages
from agent.summary.metrics import METRICS, PROFILES, Metric, scale
from agent.summary.noise import Sampler
from tools.fleet.delivery import Arrival

_DAY = 86_400
_CITIES = ("Lyon", "Brest", "Lille", "Nantes", "Paris", "Metz", "Nice", "Dijon", "Rennes", "Tours")
_KINDS = (("Café", 190), ("Hôtel", 120), ("Place", 420), ("Gare", 800), ("Mairie", 70), ("Plage", 260))
_WEEK = (0.8, 0.85, 0.9, 0.95, 1.15, 1.35, 1.0)  # Monday first
_HOURS = (
    0.2,
    0.1,
    0.1,
    0.2,
    0.6,
    1.4,
    2.2,
    2.4,
    2.0,
    2.2,
    3.0,
    3.2,
    2.2,
    2.0,
    2.2,
    2.6,
    3.0,
    2.8,
    2.2,
    1.6,
    1.0,
    0.7,
    0.5,
    0.3,
)  # UTC, 0 first
_SHARES = {
    "presence": (0.05, 0.47, 0.26, 0.17, 0.05),
    "volume": (0.44, 0.4, 0.14, 0.015, 0.005),
    "active": (0.12, 0.34, 0.42, 0.4, 0.3, 0.05),
    "classes": (0.3, 0.22, 0.2, 0.08, 0.02, 0.04, 0.2, 0.5, 0.1),
}


@dataclass(frozen=True)
class Venue:
    """A gateway's place: its id, what its operator calls it, where it belongs, its terminals on a mean day."""

    ident: str
    name: str
    group: str
    size: int


def venues(count: int, seed: int = 1) -> list[Venue]:
    """Return so many venues."""
    chance = Random(seed)
    found = []
    for number in range(count):
        kind, size = chance.choice(_KINDS)
        city = _CITIES[number % len(_CITIES)]
        found.append(
            Venue(
                "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=16)),
                f"{kind} {city} {number // len(_CITIES) + 1}",
                city,
                max(20, round(size * chance.lognormvariate(0, 0.35))),
            )
        )
    return found


def truth(venue: Venue, day: int, seed: int = 1) -> dict[str, list[list[int]]]:
    """Return what a day's true counts are: metric -> slots -> cells."""
    chance = Random(f"{seed}/{venue.ident}/{day}")
    mean = venue.size * _WEEK[(day + 3) % 7] * chance.lognormvariate(0, 0.12)
    total = max(0, round(chance.gauss(mean, math.sqrt(mean))))
    weights = [_HOURS[(slot + 3) % 24] for slot in range(24)]
    arrivals = [0] * 24
    for slot in chance.choices(range(24), weights, k=total):
        arrivals[slot] += 1
    found = {"arrivals": [[count] for count in arrivals]}
    for metric in ("presence", "volume"):
        cells = [0] * len(_SHARES[metric])
        for cell in chance.choices(range(len(cells)), _SHARES[metric], k=total):
            cells[cell] += 1
        found[metric] = [cells]
    for metric in ("active", "classes"):
        found[metric] = [[round(total * share * chance.uniform(0.85, 1.15)) for share in _SHARES[metric]]]
    return found


def published(venue: Venue, day: int, sampler: Sampler, seed: int = 1) -> Iterator[tuple[int, Arrival]]:
    """Yield a day's messages as the gateway sends them, each with the end of its slot."""
    true = truth(venue, day, seed)
    for metric in METRICS:
        for slot in range(metric.slots) if metric.name in PROFILES["medium"] else ():
            yield _message(venue.ident, metric, day, slot, true[metric.name][slot], sampler)


def _message(
    ident: str, metric: Metric, day: int, slot: int, cells: list[int], sampler: Sampler
) -> tuple[int, Arrival]:
    b = scale(metric.l1, metric.epsilon)
    end = day * _DAY + 3 * 3600 + (slot + 1) * metric.slot_seconds
    values = [cell + sampler.laplace(b) for cell in cells]
    text = messages.summary(ident, metric, day, slot, end - metric.slot_seconds, end, values, b)
    return end, Arrival(topics.summary(ident, metric.name), text)


def state(venue: Venue, boot: int = 0, config: str = "") -> Arrival:
    """Return what a gateway says when it is online."""
    chance = Random(f"{venue.ident}/{boot}")
    content = {
        "state": "online",
        "boot": f"{chance.getrandbits(128):032x}",
        "version": "0.1.0",
        "config": config or f"{Random(venue.ident).getrandbits(64):016x}",
    }
    return Arrival(topics.state(venue.ident), json.dumps(content, separators=(",", ":")).encode())


def health(ident: str, time: int, *, late: bool = False, **facts: object) -> Arrival:
    """Return a health message, its checkpoint that of an hourly log; `late`: of `security`."""
    hour = time // 3600
    whole: dict[str, object] = {
        "purposes": [(name, name == "security", late and name == "security") for name in law.CONFIGURABLE],
        "capture": "ok",
        "clock": "trusted",
        "day": (time - 3 * 3600) // _DAY,
        "spent": 1000,
        "ceiling": 2000,
        "duty": "portal",
        "keys": None,
        "audit": (hour % 100_000, f"{Random(f'{ident}/{hour}').getrandbits(256):064x}"),
        "tls": True,
        "doctor": [],
    }
    return Arrival(topics.health(ident), messages.health(ident, time, whole | facts))


TROUBLES: tuple[dict[str, Any], ...] = (
    {"late": True},
    {"capture": "stopped"},
    {"capture": "no-lan"},
    {"clock": "floor"},
    {"duty": "undeclared"},
    {"keys": 4},
    {"tls": False, "doctor": ["offload"]},
)
_WHERE = (3, 8, 12, 15, 19, 17)  # each trouble's gateways, by the rest of their number


def trouble(number: int) -> dict[str, Any]:
    """Return what is wrong with the gateway of this number: six of the first twenty, then of every ninety."""
    if number % 30 in _WHERE and (number < 20 or number % 90 < 20):
        return TROUBLES[_WHERE.index(number % 30)]
    return {}
