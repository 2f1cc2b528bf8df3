# SPDX-License-Identifier: Apache-2.0
"""What bounds the store: everything older than `KEPT_DAYS` goes, once a day, in steps that hold no lock for long.

Heads of audit logs come once an hour: 84 million in 35 days of 100,000 gateways. Of an older day one of each gateway is
kept, its newest, and each that contradicts another.
"""

from datetime import UTC, datetime

from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import F, Sum

from tools.fleet import spells
from tools.fleet.models import Day, Deed, Episode, Grouped, Head, Message, Setting, Tally, Total
from tools.fleet.reading import KEPT_DAYS

HOURLY = 35  # days for which every head is kept
_DAY = 86_400
_THINNED = """
DELETE FROM fleet_head WHERE received >= %(first)s AND received < %(end)s AND other = '' AND EXISTS (
    SELECT 1 FROM fleet_head newer WHERE newer.gateway_id = fleet_head.gateway_id AND newer.number > fleet_head.number
        AND newer.received >= %(first)s AND newer.received < %(end)s)"""


def prune(now: int) -> int:
    """Delete what is too old at `now` (seconds since the epoch), a day a transaction; return how many rows went."""
    first = now // _DAY - KEPT_DAYS
    gone = 0
    while (
        oldest := Message.objects.filter(day__lt=first).order_by("day").values_list("day", flat=True).first()
    ) is not None:
        gone += Message.objects.filter(day=oldest).delete()[0]
    for rows in (
        Total.objects.filter(day__lt=first),
        Day.objects.filter(day__lt=first),
        Grouped.objects.filter(day__lt=first),
        Head.objects.filter(received__lt=first * _DAY),
        Episode.objects.filter(began__lt=first * _DAY, ended__isnull=False),
        Deed.objects.filter(at__lt=first * _DAY),
        Session.objects.filter(expire_date__lt=datetime.fromtimestamp(now, UTC)),
    ):
        gone += rows.delete()[0]
    spells.prune(first)
    return gone + _thin(now // _DAY - HOURLY) + _fold(first)


def _thin(end: int) -> int:
    """Keep one head a day of each gateway before `end`, a day a transaction; a thinned day is done for good."""
    done, _ = Setting.objects.get_or_create(name="heads thinned", defaults={"value": "0"})
    oldest = Head.objects.order_by("received").values_list("received", flat=True).first()
    gone = 0
    for day in range(max(int(done.value), (oldest or end * _DAY) // _DAY), end):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_THINNED, {"first": day * _DAY, "end": (day + 1) * _DAY})
            gone += cursor.rowcount
            Setting.objects.filter(name="heads thinned").update(value=str(day + 1))
    return gone


def _fold(first: int) -> int:
    """Keep the sums of old tallies in one row a fate: a counter that Prometheus reads never falls."""
    old = Tally.objects.filter(day__lt=first, day__gt=0)
    sums = old.values_list("fate").annotate(sum=Sum("count"))
    with transaction.atomic():
        for fate, count in sums:
            if not Tally.objects.filter(gateway=0, day=0, fate=fate).update(count=F("count") + count):
                Tally.objects.create(gateway=0, day=0, fate=fate, count=count)
        return int(old.delete()[0])
