# SPDX-License-Identifier: Apache-2.0
"""CPU of a message in the fleet's intake and its PostgreSQL.

Of figures and healths, and by how many gateways the store knows.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from agent.outbox import topics
from agent.summary.noise import Sampler
from tools import clock
from tools.bench import machine
from tools.fleet import load, simulated, site
from tools.fleet.delivery import FIGURES, STATUS, Arrival
from tools.fleet.postgres import Postgres

if TYPE_CHECKING:
    from tools.fleet.intake import Intake

SPEAKING = 250  # gateways whose messages are measured, at most; a batch has one of each
_DAY = 86_400
KINDS = {FIGURES: "figure", STATUS: "health"}


def measure(folder: Path, counts: Sequence[int], rounds: int) -> Iterator[tuple[str, int, float]]:
    """Yield for each number of known gateways, in each round, µs a figure, then a health: (kind, gateways, µs).

    All have said a health and a figure. Then some of them, far apart, say a day's figures and an hour's healths. What
    follows from these in rows of days and in how a gateway stands counts, too.
    """
    cluster = folder / "postgres"
    cluster.mkdir()
    folder.chmod(0o755)  # PostgreSQL runs as another user
    with Postgres(cluster) as database:
        site.configure(database.create("fleet"))
        site.open_store()
        from django.db import connection, connections

        from tools.fleet.consumer import BATCH
        from tools.fleet.intake import Intake

        now, taken = int(clock.seconds()) // 3600 * 3600, Intake()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend: int = cursor.fetchone()[0]
        known, sampler = 0, Sampler(Random(1).randbytes)
        hours = rounds * len(counts)
        for count in sorted(counts):
            for first in range(known, count, BATCH[FIGURES]):
                numbers = range(first, min(first + BATCH[FIGURES], count))
                taken.take([simulated.health(load.name(one), now - 3600 * (hours + 1)) for one in numbers], now)
                taken.take([_hour(one, 0, now) for one in numbers], now)
            known = count
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")  # as PostgreSQL does by itself
            speaking = min(count, SPEAKING)
            names = [load.name(number * count // speaking) for number in range(speaking)]
            for _ in range(rounds):
                began = now - 3600 * hours
                days = zip(*(_days(name, now, hours, sampler) for name in names), strict=True)
                said: dict[str, list[Sequence[Arrival]]] = {
                    FIGURES: list(days),
                    STATUS: [[simulated.health(name, began + 300 * part) for name in names] for part in range(HOUR)],
                }
                hours -= 1
                _judged(now)
                for kind, batches in said.items():
                    used = sum(_spent(taken, batches, now, backend))
                    yield KINDS[kind], count, used * 1e6 / (len(batches) * speaking)
        connections.close_all()
    if taken.fates.keys() - {"kept", "health"}:
        raise RuntimeError(f"intake: {dict(taken.fates)}")


def _hour(number: int, place: int, now: int) -> Arrival:
    _, metric, text = load.message(number, place, now)
    return Arrival(topics.summary(load.name(number), metric), text)


def _days(name: str, now: int, back: int, sampler: Sampler) -> list[Arrival]:
    """Return a day's figures of a gateway, `back` days before the last whole one."""
    venue = simulated.Venue(name, name, "", 100)
    return [one for _, one in simulated.published(venue, now // _DAY - 2 - back, sampler)]


def _judged(now: int) -> None:
    from tools.fleet import verdicts

    verdicts.renew(now)


def _spent(taken: "Intake", batches: Iterable[Sequence[Arrival]], now: int, backend: int) -> tuple[float, float]:
    """Take batches of messages and judge their gateways; return CPU seconds, ours and the database's."""
    ours, theirs = time.process_time(), machine.cpu([backend])
    for batch in batches:
        taken.take(batch, now)
    _judged(now)
    return time.process_time() - ours, machine.cpu([backend]) - theirs


ALLOWED = {STATUS: 0.8, FIGURES: 0.3}  # ms of CPU a message, with PostgreSQL
HOUR = 12  # healths of a gateway in an hour; one of them has a new head of its audit log


def costs(folder: Path, gateways: int) -> dict[str, dict[str, float]]:
    """Take an hour's healths of each gateway, then a day's figures, in the consumers' batches.

    Return ms a message of each process.
    """
    cluster = folder / "costs"
    cluster.mkdir()
    with Postgres(cluster) as database:
        site.configure(database.create("fleet"))
        site.open_store()
        from django.db import connection, connections

        from tools.fleet.consumer import BATCH
        from tools.fleet.intake import Intake

        now, taken = int(clock.seconds()) // 3600 * 3600, Intake()
        names = [load.name(number) for number in range(gateways)]
        healths = [simulated.health(name, now - 1800 + 300 * turn) for turn in range(HOUR) for name in names]
        figures = [_hour(number, place, now) for place in range(24) for number in range(gateways)]
        taken.take([*(simulated.health(name, now - 7200) for name in names), figures[0]], now)
        _judged(now)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend: int = cursor.fetchone()[0]
        found = {}
        for kind, arrivals in ((STATUS, healths), (FIGURES, figures[1:])):
            batches = (arrivals[first : first + BATCH[kind]] for first in range(0, len(arrivals), BATCH[kind]))
            spent = _spent(taken, batches, now, backend)
            found[kind] = {
                f"{name}_ms": round(seconds * 1000 / len(arrivals), 3)
                for name, seconds in zip(("python", "postgresql"), spent, strict=True)
            }
        connections.close_all()
    return found


def dear(found: dict[str, dict[str, float]]) -> list[str]:
    """Return which kinds of messages cost more than they may."""
    return [
        f"one of {kind} costs {sum(cost.values()):.2f} ms"
        for kind, cost in found.items()
        if sum(cost.values()) > ALLOWED[kind]
    ]
