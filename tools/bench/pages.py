# SPDX-License-Identifier: Apache-2.0
"""A store as a large fleet leaves it, made by PostgreSQL itself, and how long each page of the fleet takes over it.

One in twenty gateways has a health that tells of trouble, one in fifty was silent for days, all have a group, a tag, a
name. Totals are there for each day of each group; messages, of which pages of one gateway and weekly means are made,
for the newest `told` days.
"""

import base64
import statistics
import time
from pathlib import Path

from tools import clock
from tools.bench import machine

LIMIT, SCRAPE = 300, 1000  # ms that a page may take, and /metrics
LARGEST = 1_000_000  # octets of /metrics
GROUPS = 50
_DAY = 86_400
_FILLED = """
INSERT INTO fleet_gateway (ident, name, "group", tags, first_seen, seen, state, version, config, expected, boots,
                           returns, returned, health, health_at, retired, unknown, grade, rank, folded, due)
SELECT 'y' || translate(lpad(g::text, 15, '0'), '0189', 'abcd'), 'Café ' || g, 'Group ' || g %% %(groups)s,
       'zone-' || g %% 20, 0,
       CASE WHEN g %% 50 = 7 THEN %(now)s - 200000 ELSE %(now)s - g %% 300 END, 'online', '0.1.0', 'c', 'c', '', 0, 0,
       CASE WHEN g %% 20 = 3 THEN %(trouble)s::jsonb ELSE %(health)s::jsonb END, %(now)s - g %% 300,
       0, '{}', 3, 0, '', 0
FROM generate_series(1, %(gateways)s) g;
INSERT INTO fleet_episode (gateway_id, kind, began, ended)
SELECT id, 'late', %(now)s - d * 86400 - 9000, %(now)s - d * 86400 - id %% 9000
FROM fleet_gateway, generate_series(1, 28) d
WHERE (id + d) %% 50 = 1;
INSERT INTO fleet_message (gateway_id, metric, day, slot, start, "end", b_over, b_under, received, late,
                           v0, v1, v2, v3, v4, v5, v6, v7, v8)
SELECT id, m.metric, d, s, d * 86400 + 10800 + s * 3600, d * 86400 + 14400 + s * 3600, m.over, m.under,
       d * 86400 + 15000 + s * 3600, false, random() * 90 - 5, x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]
FROM fleet_gateway, generate_series(%(last)s - %(told)s + 1, %(last)s) d,
     (VALUES (0, 4, 1, 23), (1, 5, 1, 0), (2, 5, 1, 0), (3, 40, 3, 0), (4, 10, 1, 0)) m (metric, over, under, slots),
     LATERAL generate_series(0, m.slots) s,
     LATERAL (SELECT CASE m.metric WHEN 0 THEN '{}' WHEN 3 THEN '{60,40,30,20,10}' WHEN 4 THEN '{60,40,30,20,10,9,8,7}'
                                   ELSE '{60,40,20,10}' END::int[] x) v;
INSERT INTO fleet_total (metric, day, slot, "group", b_over, b_under, count, v0, v1, v2, v3, v4, v5, v6, v7, v8)
SELECT m.metric, d, s, 'Group ' || g, m.over, m.under, %(gateways)s / %(groups)s,
       40 * %(gateways)s / %(groups)s, 60, 40, 20, 10, 0, 0, 0, 0
FROM generate_series(0, %(groups)s - 1) g, generate_series(%(first)s, %(last)s) d,
     (VALUES (0, 4, 1, 23), (1, 5, 1, 0), (2, 5, 1, 0), (3, 40, 3, 0), (4, 10, 1, 0)) m (metric, over, under, slots),
     LATERAL generate_series(0, m.slots) s;
ANALYZE;
"""


def fill(gateways: int, days: int, told: int) -> float:
    """Fill the open store with a year of totals and the newest `told` days of messages.

    Return the seconds that judging all took.
    """
    from django.db import connection

    from tools.fleet import simulated, verdicts

    now = int(clock.seconds())
    today = (now - 3 * 3600) // _DAY
    said = {
        "health": simulated.health("a" * 16, now),
        "trouble": simulated.health("a" * 16, now, late=True, keys=4, tls=False),
    }
    words = {name: one.payload.decode() for name, one in said.items()}
    with connection.cursor() as cursor:
        size = {"gateways": gateways, "groups": GROUPS, "first": today - days, "last": today - 1, "told": told}
        cursor.execute(_FILLED, words | size | {"now": now})
    begun = time.perf_counter()
    verdicts.renew(now)
    took = time.perf_counter() - begun
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return took


def findings(took: dict[str, dict[str, int]]) -> list[str]:
    """Return which pages took too long, and whether /metrics is too large."""
    slow = [
        f"{page} took {one['median']} ms"
        for page, one in took.items()
        if one["median"] >= (SCRAPE if page == "metrics" else LIMIT)
    ]
    large = [f"/metrics has {took['metrics']['octets']:,} octets"] if took["metrics"]["octets"] > LARGEST else []
    return slow + large


def ask(paths: dict[str, str], rounds: int) -> dict[str, dict[str, int]]:
    """Ask for each page so many times: ms, the median, the slowest, and processor time of page and database; octets."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client

    user, _ = get_user_model().objects.get_or_create(username="operator", is_superuser=True)
    user.set_password("a long password")
    user.save()
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    basic = {"authorization": "Basic " + base64.b64encode(b"operator:a long password").decode()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend: int = cursor.fetchone()[0]
    # Has waited for parallel workers
    parent = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
    took = {}
    for name, path in paths.items():
        waits = []
        client.get(path, headers=basic)  # compiles templates
        used = time.process_time() + machine.cpu([backend, parent])
        for _ in range(rounds):
            begun = time.perf_counter()
            answer = client.get(path, headers=basic)
            waits.append((time.perf_counter() - begun) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(path)
        used = time.process_time() + machine.cpu([backend, parent]) - used
        middle = statistics.median(waits)
        took[name] = {
            "median": round(middle),
            "slowest": round(max(waits)),
            "cpu": round(used * 1000 / rounds),
            "octets": len(answer.content),
        }
    return took
