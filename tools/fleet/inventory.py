# SPDX-License-Identifier: Apache-2.0
"""The operator's gateways, spoken or not: those expected, what they are called, those that are no more."""

import unicodedata
from collections.abc import Sequence

from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Concat

from tools.fleet import figures, grouped, listing
from tools.fleet.delivery import GATEWAYS
from tools.fleet.listing import Listed, ListError
from tools.fleet.models import Gateway, Setting

ACTS = ("group", "tag", "untag", "zone", "retire", "restore")  # what may be done with many gateways at once


class FullError(ListError):
    """More gateways than the store takes."""


def room() -> int:
    """Return how many gateways there may be: what `serve --gateways` last said."""
    said = Setting.objects.filter(name="gateways").first()
    return int(said.value) if said else GATEWAYS


def expect(rows: Sequence[Listed], now: int) -> int:
    """Take gateways as expected since `now` (seconds since the epoch); return how many weren't known.

    A name, group or tags that are given take the place of former ones; all gateways or none are taken.
    """
    with transaction.atomic():
        idents = [row.ident for row in rows]
        Gateway.objects.filter(ident__in=idents).exclude(retired=0).update(retired=0)
        known = {one.ident: one for one in Gateway.objects.select_for_update().filter(ident__in=idents)}
        new = [row for row in rows if row.ident not in known]
        if Gateway.objects.count() + len(new) > (most := room()):
            raise FullError("{n} more would be beyond the limit; accepted: {m} gateways in all", n=len(new), m=most)
        Gateway.objects.bulk_create([Gateway(**row._asdict(), first_seen=now, seen=0) for row in new])
        moved: set[str] = set()
        for row in rows:
            if former := known.get(row.ident):
                former.tags = row.tags or former.tags
                moved |= rename(former, row.name or former.name, row.group or former.group)
        for group in sorted(moved):
            figures.regroup(group)
    return len(new)


def rename(row: Gateway, name: str, group: str) -> set[str]:
    """Name and group a locked gateway, keep its tags and zone; return the groups to be summed anew."""
    former, row.name, row.group = row.group, name, group
    row.save(update_fields=["name", "group", "tags", "zone"])
    return {former, group} if former != group else set()


def tags() -> list[str]:
    """Return every tag that a gateway has, in their order."""
    return sorted(
        {
            tag
            for kept in Gateway.objects.exclude(tags="").values_list("tags", flat=True).distinct()
            for tag in kept.split()
        }
    )


def sought(rows: "QuerySet[Gateway]", text: str, group: str, tag: str) -> "QuerySet[Gateway]":
    """Return the gateways whose name, id or tags hold a text, and that have a group and a tag.

    What is empty asks for nothing.
    """
    if wanted := folded(text):
        rows = rows.filter(folded__contains=wanted)
    if group:
        rows = rows.filter(group=group)
    if tag:
        rows = rows.annotate(words=Concat(Value(" "), "tags", Value(" "))).filter(
            folded__contains=f" {folded(tag)} ", words__contains=f" {tag} "
        )
    return rows


def page(rows: "QuerySet[Gateway]", number: str | None, size: int) -> "Page[Gateway]":
    """Return a page of gateways: their keys are looked up by an index alone, and only those of the page are read."""
    found = Paginator(rows.values_list("pk", flat=True), size).get_page(number)
    keys = list(found.object_list)
    known = Gateway.objects.in_bulk(keys)
    found.object_list = [known[key] for key in keys if key in known]
    return found


def put(idents: Sequence[str], act: str, value: str, now: int) -> int:
    """Do one of ACTS with many gateways; returns how many are another way now.

    ListError where the value isn't accepted; all or none are changed.
    """
    value = listing.words(value) if act in {"tag", "untag"} else " ".join(value.split())
    if act == "group" and not listing.named(value):
        raise ListError("a group; accepted: at most {n} printable characters", n=listing.NAME)
    if act == "zone" and value not in listing.zones():
        raise ListError("a time zone; accepted: Europe/Paris")
    with transaction.atomic():
        rows = list(Gateway.objects.select_for_update().filter(ident__in=idents))
        former = {row.pk: (row.group, row.tags, row.zone, row.retired) for row in rows}
        for row in rows:
            if act == "group":
                row.group = value
            elif act == "zone":
                row.zone = value
            elif act == "tag":
                row.tags = listing.words(f"{row.tags} {value}")
            elif act == "untag":
                row.tags = " ".join(tag for tag in row.tags.split() if tag not in value.split())
            else:
                row.retired = now if act == "retire" else 0
        changed = [row for row in rows if former[row.pk] != (row.group, row.tags, row.zone, row.retired)]
        Gateway.objects.bulk_update(changed, ["group", "tags", "zone", "retired"], batch_size=200)
        for group in sorted({former[row.pk][0] for row in changed} | {value}) if act == "group" and changed else ():
            figures.regroup(group)
    return len(changed)


def remove(row: Gateway) -> None:
    """Delete a gateway with all that it published; the sums of its group are made anew."""
    with transaction.atomic():
        group = row.group
        grouped.gone(row)
        row.delete()
        figures.regroup(group)


def folded(text: str) -> str:
    """Return a text as a search compares it: without accents and capitals."""
    return "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
