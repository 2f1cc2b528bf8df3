# SPDX-License-Identifier: Apache-2.0
"""How gateways stand, kept in the store: in each row its grade, in `Wrong` what is wrong, for lists and counts.

Whatever changes a gateway sets `due` to 0; where time alone changes how it stands, `due` is that time. `renew` judges
anew what is due: a page before it reads, a thread of `oubli-fleet serve` the rest. So a page is true as of its own
second, unless thousands became due at once, and a gateway of which nothing changes costs nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from django.db import connection, transaction
from django.db.models import Count, QuerySet

from tools.fleet.inventory import folded
from tools.fleet.judgement import GRADES, KINDS, ORDER, Evidence, Finding, Standing, grade, looked_at, rank
from tools.fleet.models import OUT, Gateway, Wrong

TOGETHER = 250  # gateways of one transaction: a consumer waits for no longer
SOON = 500  # gateways that a page judges itself
_FOLDED = 400  # characters
_PUT = """
WITH judged (id, grade, rank, folded, due) AS (VALUES {places})
UPDATE fleet_gateway SET grade = judged.grade, rank = judged.rank, folded = judged.folded,
                         due = CAST(judged.due AS bigint)
FROM judged WHERE fleet_gateway.id = judged.id"""


def renew(now: int, most: int | None = None) -> int:
    """Judge anew what is due at `now`, seconds since the epoch, at most so many gateways; return how many."""
    done = 0
    while most is None or done < most:
        if not Gateway.objects.filter(due__lte=now).exists():
            break
        count = _renew(now)
        done += count
        if not count:  # somebody else has them in hand
            break
    return done


def _renew(now: int) -> int:
    with transaction.atomic():
        due = Gateway.objects.select_for_update(skip_locked=True).filter(due__lte=now).order_by("due", "pk")
        rows = list(due[:TOGETHER])
        evidence = Evidence((row.pk for row in rows), now)
        judged = [evidence.standing(row) for row in rows]
        _note([one for one in judged if looked_at(one.gateway)], rows)
        values: list[int | str | None] = []
        for one in judged:
            row = one.gateway
            text = f"{folded(row.name)}\n {folded(row.tags)} \n{row.ident}"[:_FOLDED]
            values += [
                row.pk,
                grade(one.findings) if looked_at(row) else OUT,
                rank(one.findings),
                text,
                evidence.lasts(row),
            ]
        if rows:
            with connection.cursor() as cursor:
                cursor.execute(_PUT.format(places=",".join(["(%s, %s, %s, %s, %s)"] * len(rows))), values)
    return len(rows)


def _note(judged: Iterable[Standing], rows: Sequence[Gateway]) -> None:
    """Write what is wrong with these gateways, where that is something else now.

    What goes on began when it was first found.
    """
    former: dict[int, dict[str, Wrong]] = {}
    for old in Wrong.objects.filter(gateway__in=[row.pk for row in rows]):
        former.setdefault(old.gateway_id, {})[old.kind] = old
    gone, new = set(former), []
    for one in judged:
        known = former.get(one.gateway.pk, {})
        if {kind: old.words for kind, old in known.items()} == {
            finding.kind: finding.words for finding in one.findings
        }:
            gone.discard(one.gateway.pk)
            continue
        for finding in one.findings:
            since = known[finding.kind].since if finding.kind in known else finding.since
            new.append(
                Wrong(
                    gateway=one.gateway, kind=finding.kind, rank=ORDER[finding.kind], since=since, words=finding.words
                )
            )
    if gone:
        Wrong.objects.filter(gateway__in=gone).delete()
    Wrong.objects.bulk_create(new)


def listed() -> "QuerySet[Gateway]":
    """Return the gateways that are looked at, the worst first, then by name."""
    return Gateway.objects.filter(grade__lt=OUT).order_by("grade", "rank", "folded", "pk")


def counts() -> Counter[str]:
    """Return how many of them have each grade."""
    rows = Gateway.objects.filter(grade__lt=OUT).values_list("grade").annotate(count=Count("*")).order_by()
    return Counter({GRADES[number]: count for number, count in rows})


def standings(rows: Iterable[Gateway]) -> list[Standing]:
    """Return how these gateways stand, in their order, as it was judged."""
    gateways = list(rows)
    narrow = {"gateway__in": [row.pk for row in gateways]} if len(gateways) < SOON else {}
    wrong: dict[int, list[Finding]] = {}
    for one in Wrong.objects.filter(**narrow).order_by("rank"):
        wrong.setdefault(one.gateway_id, []).append(finding(one))
    return [Standing(row, tuple(wrong.get(row.pk, ()))) for row in gateways]


def finding(row: Wrong) -> Finding:
    """Return the finding that a row keeps."""
    return Finding(row.kind, row.since, row.words)


def findings() -> "QuerySet[Wrong]":
    """Return what is wrong with any gateway, the worst first."""
    return Wrong.objects.filter(kind__in=KINDS).order_by("rank", "gateway")
