# SPDX-License-Identifier: Apache-2.0
"""A store filled as a collector would have over the past days, for demo, tests and the page's pictures."""

from collections.abc import Callable, Iterable
from random import Random

from agent.summary.noise import Sampler
from tools.fleet import simulated
from tools.fleet.delivery import Arrival
from tools.fleet.intake import Intake
from tools.fleet.models import Gateway

_DAY = 86_400
_BATCH = 500


def fill(
    venues: list[simulated.Venue],
    days: int,
    now: int,
    *,
    seed: int = 1,
    said: Callable[[str, int, int], None] = lambda *_: None,
) -> None:
    """Let gateways have published for days until `now`: some in trouble, one silent for two, two of one id."""
    intake = Intake()
    sampler = Sampler(Random(seed).randbytes)
    for group in range(0, len(venues), 25):
        some = venues[group : group + 25]
        intake.take([simulated.state(venue) for venue in some], now - days * _DAY)
        intake.take([simulated.health(venue.ident, now - days * _DAY) for venue in some], now - days * _DAY)
        for venue in some:
            Gateway.objects.filter(ident=venue.ident).update(name=venue.name, group=venue.group)
    today = (now - 3 * 3600) // _DAY
    for day in range(today - days, today + 1):
        done = day - today + days
        said(f"day {done + 1} of {days + 1}", done, days + 1)
        silent = len(venues) // 2 if day > today - 3 and len(venues) > 5 else None
        sent = [
            one
            for number, venue in enumerate(venues)
            if number != silent
            for one in simulated.published(venue, day, sampler, seed)
            if one[0] + 660 < now
        ]
        for arrived in sorted({end for end, _ in sent}):
            _take(intake, (message for end, message in sent if end == arrived), arrived + 300)
    health(venues, now, intake)
    twin = venues[min(5, len(venues) - 1)]
    for boot in (1, 0, 1, 0):
        intake.take([simulated.state(twin, boot)], now - 600 + boot)
    intake.take([simulated.state(venues[min(1, len(venues) - 1)], config="c0ffee" + "0" * 10)], now - 3600)


def _take(intake: Intake, arrivals: Iterable[Arrival], now: int) -> None:
    every = list(arrivals)
    for start in range(0, len(every), _BATCH):
        intake.take(every[start : start + _BATCH], now)


def health(venues: list[simulated.Venue], now: int, intake: Intake) -> None:
    """Let every gateway that isn't silent say how it is."""
    silent = len(venues) // 2 if len(venues) > 5 else None
    speaking = [(number, venue) for number, venue in enumerate(venues) if number != silent]
    said = [
        simulated.health(venue.ident, now - 60 - number % 240, **simulated.trouble(number))
        for number, venue in speaking
    ]
    _take(intake, said, now)
