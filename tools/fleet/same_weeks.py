# SPDX-License-Identifier: Apache-2.0
"""Weeks of the same gateways, side by side: what grew or fell is no gateway that came or went.

A row of `grouped` has what all gateways told of in a week. Those that told in some of the weeks and not in all are
looked up and taken off: in a fleet at rest they are few, however many it has.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Q

from tools.fleet import grouped, spells
from tools.fleet.grouped import Weeks
from tools.fleet.models import Grouped

_TRIES = 5  # where messages come all the time, the last try's figures may lack one
_OUT = """
SELECT day, week_days, week_noise, COUNT(*), SUM(week_tenths)
FROM (VALUES {gateways}) gone JOIN fleet_day ON gateway_id = gone.column1 AND day IN ({days})
WHERE week_days > 0 GROUP BY day, week_days, week_noise"""


def of(last: int, step: int, count: int, group: str | None, share: int = 2) -> list[list[Weeks]]:
    """Return what the same gateways told of in the weeks that end with `last` and each `step` days before it.

    The newest comes first. They are those that told of a day at least in each; so many weeks, of `count`, are returned
    as one in `share` of the newest one's gateways told in.
    """
    ends = [last - step * back for back in range(count)]
    with _snapshot(Q(scope=grouped.scope(group), day__in=ends)) as found:
        missing = spells.missing(ends, step, group)
        told = sum(week.gateways for week in found.get(last, []))
        runs = Counter(_run(mask) for mask in missing.values())
        runs[count] += told - sum(mask & 1 for mask in missing.values())
        weeks, left = 1, told - runs[1]
        while weeks < count and share * left >= told > 0:
            weeks += 1
            left -= runs[weeks]
        full = (1 << weeks) - 1
        out = [key for key, mask in missing.items() if 0 < mask & full < full]
        apart = _apart(ends[:weeks], out) if out else {}
    return [_without(found.get(day, []), apart.get(day, {})) for day in ends[:weeks]]


@contextmanager
def _snapshot(wanted: Q) -> "Iterator[dict[int, list[Weeks]]]":
    """Give the weeks of some rows, which nothing changes meanwhile: what is read of gateways is of the same moment."""
    outer = not connection.in_atomic_block
    for again in range(_TRIES):
        grouped.renew(wanted)
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    if outer:
                        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    # A gateway's rows lie together: by the key, not by walking through all gateways' weeks
                    cursor.execute("SET LOCAL random_page_cost = 1.1")
            rows = list(Grouped.objects.filter(wanted).values_list("day", "weeks", "due"))
            if again < _TRIES - 1 and any(due for _, _, due in rows):
                continue
            yield {day: grouped.weeks(text) for day, text, _ in rows}
            return


def _run(mask: int) -> int:
    """Return how many bits in a row are set, from the lowest one on."""
    return (~mask & (mask + 1)).bit_length() - 1


def _apart(ends: Sequence[int], gateways: Sequence[int]) -> dict[int, dict[tuple[int, str], tuple[int, int]]]:
    """Return what some gateways have in these weeks."""
    text = _OUT.format(days=",".join(map(str, ends)), gateways=",".join(f"({one})" for one in gateways))
    found: dict[int, dict[tuple[int, str], tuple[int, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(text)
        for day, week_days, noise, count, total in cursor.fetchall():
            found.setdefault(day, {})[week_days, noise] = count, int(total)
    return found


def _without(week: Sequence[Weeks], apart: dict[tuple[int, str], tuple[int, int]]) -> list[Weeks]:
    """Return a week without what some of its gateways have."""
    left = []
    for one in week:
        count, total = apart.get((one.days, one.noise), (0, 0))
        if one.gateways > count:
            left.append(Weeks(one.days, one.noise, one.gateways - count, one.tenths - total))
    return left
