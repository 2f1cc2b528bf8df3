# SPDX-License-Identifier: Apache-2.0
"""For `oubli-bench scale`: CPU of a message in the fleet's intake and PostgreSQL, by the number of gateways."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import clock
from tools.bench import deliver
from tools.fleet import load, site
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
        from tools.fleet.intake import Arrival, Intake

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
            before = time.process_time() + deliver.cpu([backend])
            for batch in batches:
                taken.take(batch, now)
            used = time.process_time() + deliver.cpu([backend]) - before
            yield count, used * 1e6 / (BATCH * len(batches))
        connections.close_all()
    if taken.fates.keys() - {"kept"}:
        raise RuntimeError(f"intake: {dict(taken.fates)}")
