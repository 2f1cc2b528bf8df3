# SPDX-License-Identifier: Apache-2.0
"""What bounds the store: everything older than `KEPT_DAYS` goes, once a day, in steps that hold no lock for long."""

from django.db import transaction
from django.db.models import F, Sum

from tools.fleet.models import Episode, Head, Message, Tally, Total
from tools.fleet.reading import KEPT_DAYS

_DAY = 86_400


def prune(now: int) -> int:
    """Delete what is too old at `now` (seconds since the epoch), a day a transaction; return how many rows went."""
    first = now // _DAY - KEPT_DAYS
    gone = 0
    while (oldest := Message.objects.filter(day__lt=first).order_by("day").values_list("day", flat=True).first()) is not None:
        gone += Message.objects.filter(day=oldest).delete()[0]
    for rows in (
        Total.objects.filter(day__lt=first),
        Head.objects.filter(received__lt=first * _DAY),
        Episode.objects.filter(began__lt=first * _DAY, ended__isnull=False),
    ):
        gone += rows.delete()[0]
    return gone + _fold(first)


def _fold(first: int) -> int:
    """Keep the sums of old tallies in one row a fate: a counter that Prometheus reads never falls."""
    old = Tally.objects.filter(day__lt=first, day__gt=0)
    sums = old.values_list("fate").annotate(sum=Sum("count"))
    with transaction.atomic():
        for fate, count in sums:
            if not Tally.objects.filter(gateway=0, day=0, fate=fate).update(count=F("count") + count):
                Tally.objects.create(gateway=0, day=0, fate=fate, count=count)
        return int(old.delete()[0])
