# SPDX-License-Identifier: Apache-2.0
"""A store as a large fleet leaves it, made by PostgreSQL itself, and how long each page of the fleet takes over it.

One in twenty gateways has a health that tells of trouble, one in fifty was silent for days. One day in ninety of each
was not told of. All have a group, a tag, a name. Totals are there for each day of each group, days and weeks for each
gateway. Messages, of which a gateway's own page is made, are there for the newest `told` days.
"""

import base64
import statistics
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tools import clock
from tools.bench import machine
from tools.bench.rounds import Tell
from tools.bench.sheets import Sheet
from tools.fleet import site
from tools.fleet.postgres import Postgres

LIMIT, SCRAPE = 300, 1000  # ms that a page may take, and /metrics
LARGEST = 1_000_000  # octets of /metrics
GROUPS = 50
_DAY = 86_400
_FILLED = """
INSERT INTO fleet_gateway (ident, name, "group", tags, first_seen, seen, state, version, config, expected, boots,
                           returns, returned, health, health_at, retired, unknown, grade, rank, folded, due, zone)
SELECT 'y' || translate(lpad(g::text, 15, '0'), '0189', 'abcd'), 'Café ' || g, 'Group ' || g %% %(groups)s,
       'zone-' || g %% 20, 0,
       CASE WHEN g %% 50 = 7 THEN %(now)s - 200000 ELSE %(now)s - g %% 300 END, 'online', '0.1.0', 'c', 'c', '', 0, 0,
       CASE WHEN g %% 20 = 3 THEN %(trouble)s::jsonb ELSE %(health)s::jsonb END, %(now)s - g %% 300,
       0, '{}', 3, 0, '', 0, 'Europe/Paris'
FROM generate_series(1, %(gateways)s) g;
INSERT INTO fleet_day (gateway_id, day, tenths, noise, week_days, week_tenths, week_noise)
SELECT id, d, tenths, CASE WHEN tenths IS NULL THEN '' ELSE %(noise)s END, days, sum, (%(noises)s::text[])[days]
FROM (SELECT id, d, tenths, COUNT(tenths) OVER week AS days, SUM(tenths) OVER week AS sum
      FROM (SELECT id, d, CASE WHEN (id + d) %% 90 <> 0 THEN (900 + random() * 400)::int END AS tenths
            FROM fleet_gateway, generate_series(%(first)s, %(last)s) d
            WHERE id %% 20 <> 5 OR d >= %(first)s + id * 7 %% (%(last)s - %(first)s)) told
      WINDOW week AS (PARTITION BY id ORDER BY d RANGE BETWEEN 6 PRECEDING AND CURRENT ROW)) summed WHERE days > 0;
INSERT INTO fleet_spell (gateway_id, first, last)
SELECT gateway_id, MIN(day), MAX(day)
FROM (SELECT gateway_id, day, day - ROW_NUMBER() OVER (PARTITION BY gateway_id ORDER BY day) AS island
      FROM fleet_day) days GROUP BY gateway_id, island;
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
SELECT m.metric, told.day, s, told."group", m.over, m.under, told.count, 40 * told.count, 60, 40, 20, 10, 0, 0, 0, 0
FROM (SELECT "group", day, COUNT(*) AS count FROM fleet_day JOIN fleet_gateway ON fleet_gateway.id = gateway_id
      WHERE tenths IS NOT NULL GROUP BY "group", day) told,
     (VALUES (0, 4, 1, 23), (1, 5, 1, 0), (2, 5, 1, 0), (3, 40, 3, 0), (4, 10, 1, 0)) m (metric, over, under, slots),
     LATERAL generate_series(0, m.slots) s;
INSERT INTO fleet_grouped (scope, day, due, gateways, tenths, half_width, parts, weeks)
SELECT DISTINCT scope, day, true, 0, 0, 0, '', ''
FROM fleet_day JOIN fleet_gateway ON id = gateway_id, LATERAL (VALUES (''), ('=' || "group")) scopes (scope);
ANALYZE;
"""


def fill(gateways: int, days: int, told: int) -> float:
    """Fill the open store with a year of totals and the newest `told` days of messages.

    Return the seconds that judging all took.
    """
    from django.db import connection

    from tools.fleet import daily, simulated, verdicts

    now = int(clock.seconds())
    today = (now - 3 * 3600) // _DAY
    said = {
        "health": simulated.health("a" * 16, now),
        "trouble": simulated.health("a" * 16, now, late=True, keys=4, tls=False),
    }
    words = {name: one.payload.decode() for name, one in said.items()}
    with connection.cursor() as cursor:
        size = {"gateways": gateways, "groups": GROUPS, "first": today - days, "last": today - 1, "told": told}
        day = daily.Noise({(Fraction(4), 2): 24, (Fraction(5), 4): 10})
        weeks = [
            daily.written(daily.Noise({term: days * count for term, count in day.items()})) for days in range(1, 8)
        ]
        cursor.execute(_FILLED, words | size | {"now": now, "noise": daily.written(day), "noises": weeks})
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


def paths(gateways: int) -> dict[str, str]:
    """Return each page of a store with so many gateways, and what it is asked for; `metrics` is for Prometheus."""
    from tools.fleet.models import Gateway

    found = {
        "gateways": "/",
        "the last of them": f"/?page={max(gateways // 50, 1)}",
        "a search": "/?q=cafe 77",
        "a tag": "/?tag=zone-7",
        "fleet": "/fleet",
        "all days that are kept": "/fleet?first=2000-01-01",
        "compliance": "/compliance",
        "inventory": "/inventory",
        "a search there": "/inventory?q=cafe 77",
        "alerts": "/alerts",
        "people": "/people",
        "password": "/password",
        "factor": "/factor",
        "tokens": "/tokens",
        "metrics": "/metrics",
    }
    one = Gateway.objects.order_by("pk")[gateways // 2 : gateways // 2 + 1].first()
    if one is not None:
        found |= {
            "group": f"/fleet?group={one.group}",
            "weeks as CSV": "/fleet/figures.csv?chart=weeks",
            "gateway": f"/gateway/{one.ident}",
            "its days that are kept": f"/gateway/{one.ident}?first=2000-01-01",
            "smoothed": f"/gateway/{one.ident}?view=smoothed",
        }
    return found


def year(folder: Path, gateways: int, days: int, told: int, rounds: int = 10) -> dict[str, Any]:
    """Put a year of gateways into a database and ask for each page ten times."""
    cluster = folder / f"year-{gateways}"
    cluster.mkdir()
    with Postgres(cluster) as database:
        site.configure(database.create("fleet"))
        site.open_store()
        from django.db import connection, connections

        from tools.fleet.models import Message

        judged = fill(gateways, days, told)
        took = ask(paths(gateways), rounds)
        count = Message.objects.count()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, pg_total_relation_size(oid) / reltuples FROM pg_class WHERE reltuples > 0 "
                "AND relname IN ('fleet_message', 'fleet_day', 'fleet_total', 'fleet_gateway')"
            )
            octets = {name.removeprefix("fleet_"): round(one) for name, one in cursor.fetchall()}
        connections.close_all()
        sizes = {"gateways": gateways, "days": days, "messages": count, "octets_a_row": octets}
        return sizes | {"judged_seconds": round(judged, 1), "ms": took}


def measure(folder: Path, counts: Sequence[int], days: int, told: int, tell: Tell) -> dict[str, Any]:
    """Ask for each page of fleets of several sizes."""
    found = []
    for gateways in counts:
        tell(f"{days} days of {gateways} gateways")
        found.append(year(folder, gateways, days, told))
    slow = [f"{one['gateways']} gateways: {said}" for one in found for said in findings(one["ms"])]
    return {"pages": found, "findings": slow}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the figures for a person: of the largest fleet first, a row a page."""
    fleets = result["pages"][::-1]
    rows = []
    for page in fleets[0]["ms"]:
        asked = [one["ms"].get(page) for one in fleets]
        rows.append((page, *(f"{ms['median']} ({ms['slowest']}; {ms['cpu']})" if ms else "" for ms in asked)))
    heads = [f"{one['gateways']:,} gateways" for one in fleets]
    largest = fleets[0]
    note = (
        f"{largest['days']} days, {largest['messages']:,} messages of the largest; octets a row with its indexes: "
        + ", ".join(f"{name} {octets}" for name, octets in largest["octets_a_row"].items())
        + f"; /metrics: {largest['ms']['metrics']['octets']:,}"
    )
    return [Sheet("ms a page: median of ten (slowest; CPU of page and PostgreSQL)", ("", *heads), rows, (0,), note)]
