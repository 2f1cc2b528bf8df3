# SPDX-License-Identifier: Apache-2.0
"""The gateways that an operator has, spoken or not: those that are expected, what they are called, and those that are no more."""

import unicodedata
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, Q, QuerySet

from tools.fleet import figures
from tools.fleet.delivery import GATEWAYS
from tools.fleet.models import Gateway

AGAIN = 3600  # seconds after which a retired gateway that speaks is in the list again


class FullError(Exception):
    """More gateways than the store takes; `args[0]` is the one line to show."""


def expect(rows: Sequence[tuple[str, str, str]], now: int) -> int:
    """Take gateways, (id, name, group) each, as expected since `now` (seconds since the epoch); return how many weren't known.

    A name or group that is given takes the place of a former one; all or none are taken.
    """
    with transaction.atomic():
        Gateway.objects.filter(ident__in=[ident for ident, _, _ in rows]).update(retired=0)
        known = {one.ident: one for one in Gateway.objects.select_for_update().filter(ident__in=[ident for ident, _, _ in rows])}
        new = [row for row in rows if row[0] not in known]
        if Gateway.objects.count() + len(new) > GATEWAYS:
            raise FullError(f"{len(new)} more would be beyond the limit; accepted: {GATEWAYS} gateways in all")
        Gateway.objects.bulk_create([Gateway(ident=ident, name=name, group=group, first_seen=now, seen=0) for ident, name, group in new])
        moved: set[str] = set()
        for ident, name, group in rows:
            if ident in known:
                moved |= rename(known[ident], name or known[ident].name, group or known[ident].group)
        for group in moved:
            figures.regroup(group)
    return len(new)


def rename(row: Gateway, name: str, group: str) -> set[str]:
    """Give a locked gateway a name and a group; return the groups whose totals are to be made anew (`figures.regroup`)."""
    former, row.name, row.group = row.group, name, group
    row.save(update_fields=["name", "group"])
    return {former, group} if former != group else set()


def current() -> "QuerySet[Gateway]":
    """Return the gateways that are looked at: all but the retired ones that are silent."""
    return Gateway.objects.filter(Q(retired=0) | Q(seen__gt=F("retired") + AGAIN))


def remove(row: Gateway) -> None:
    """Delete a gateway with all that it published; the sums of its group are made anew."""
    with transaction.atomic():
        group = row.group
        row.delete()
        figures.regroup(group)


def folded(text: str) -> str:
    """Return a text as a search compares it: without accents and capitals."""
    return "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
