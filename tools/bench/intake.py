# SPDX-License-Identifier: Apache-2.0
"""CPU of a message in the fleet's intake and its PostgreSQL.

Of figures and healths, and by how many gateways the store knows.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import clock
from tools.bench import machine
from tools.fleet import load, site
from tools.fleet.delivery import FIGURES, STATUS
from tools.fleet.postgres import Postgres

BATCH = 24  # messages of one transaction, a gateway's day
SPEAKING = 10  # gateways whose messages are measured, 1 where there is but one


def measure(folder: Path, counts: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Yield for each number of gateways µs a message."""
    cluster = folder / "postgres"
    cluster.mkdir()
    folder.chmod(0o755)  # PostgreSQL runs as another user
    with Postgres(cluster) as database:
        site.configure(database.create("fleet"))
        site.open_store()
        from django.db import connection, connections

        from agent.outbox import topics
        from tools.fleet.delivery import Arrival
        from tools.fleet.intake import Intake

        now, known, taken = int(clock.seconds()), 0, Intake()

        def arrivals(numbers: range, places: range) -> list[Arrival]:
            made = [(load.name(number), load.message(number, place, now)) for number in numbers for place in places]
            return [Arrival(topics.summary(name, metric), text) for name, (_, metric, text) in made]

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend: int = cursor.fetchone()[0]
        taken.take(arrivals(range(100_000, 100_001), range(BATCH)), now)  # compiles what is compiled once
        for count in sorted(counts):
            for first in range(known, count, 256):
                taken.take(arrivals(range(first, min(first + 256, count)), range(1)), now)
            speaking = range(known, min(known + SPEAKING, count))
            known = count
            batches = [arrivals(range(number, number + 1), range(1, BATCH + 1)) for number in speaking]
            before = time.process_time() + machine.cpu([backend])
            for batch in batches:
                taken.take(batch, now)
            used = time.process_time() + machine.cpu([backend]) - before
            yield count, used * 1e6 / (BATCH * len(batches))
        connections.close_all()
    if taken.fates.keys() - {"kept"}:
        raise RuntimeError(f"intake: {dict(taken.fates)}")


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

        from agent.outbox import topics
        from tools.fleet import simulated, verdicts
        from tools.fleet.consumer import BATCH as TOGETHER
        from tools.fleet.delivery import Arrival
        from tools.fleet.intake import Intake

        now, taken = int(clock.seconds()) // 3600 * 3600, Intake()
        names = [load.name(number) for number in range(gateways)]
        healths = [simulated.health(name, now - 1800 + 300 * turn) for turn in range(HOUR) for name in names]
        days = [(name, load.message(number, place, now)) for place in range(24) for number, name in enumerate(names)]
        figures = [Arrival(topics.summary(name, metric), text) for name, (_, metric, text) in days]
        taken.take([*(simulated.health(name, now - 7200) for name in names), figures[0]], now)
        verdicts.renew(now)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend: int = cursor.fetchone()[0]
        found = {}
        for kind, arrivals in ((STATUS, healths), (FIGURES, figures[1:])):
            ours, theirs = time.process_time(), machine.cpu([backend])
            for first in range(0, len(arrivals), TOGETHER[kind]):
                taken.take(arrivals[first : first + TOGETHER[kind]], now)
            verdicts.renew(now)
            ours, theirs = time.process_time() - ours, machine.cpu([backend]) - theirs
            found[kind] = {
                "python_ms": round(ours * 1000 / len(arrivals), 3),
                "postgresql_ms": round(theirs * 1000 / len(arrivals), 3),
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
