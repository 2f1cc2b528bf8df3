# SPDX-License-Identifier: Apache-2.0
"""The page of the inventory: gateways' names, groups, tags; many changed at once, a list in and out."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from tools import clock
from tools.fleet import figures, listing, people, verdicts, words
from tools.fleet import inventory as stock
from tools.fleet.guard import whole
from tools.fleet.listing import Listed, ListError
from tools.fleet.models import Gateway

if TYPE_CHECKING:
    from django.db.models import QuerySet

PER_PAGE = 200


def _asked(query: QueryDict) -> dict[str, str]:
    return {name: query.get(name, "")[:64].strip() for name in ("q", "group", "tag")}


def _sought(asked: dict[str, str], most: int | None = None) -> "QuerySet[Gateway]":
    """Return what a question is for, retired ones too, by group and name.

    `most`: as it was, where more than so many have changed.
    """
    if asked["q"] or asked["tag"]:
        verdicts.renew(int(clock.seconds()), most)
    rows = Gateway.objects.order_by("group", "name", "ident").only("ident", "name", "group", "tags", "seen", "retired")
    return stock.sought(rows, asked["q"], asked["group"], asked["tag"])


def _page(request: HttpRequest, query: QueryDict, wrong: Sequence[str] = ()) -> HttpResponse:
    asked = _asked(query)
    page = stock.page(_sought(asked, verdicts.SOON), query.get("page"), PER_PAGE)
    context: dict[str, Any] = {
        **asked,
        "page": page,
        "count": page.paginator.count,
        "groups": [name for name in figures.groups() if name],
        "tags": stock.tags(),
        "wrong": wrong,
        "done": query.get("done", "") if whole(query.get("done", "")) is not None else "",
    }
    return render(request, "fleet/inventory.html", context, status=400 if wrong else 200)


@require_GET
def inventory(request: HttpRequest) -> HttpResponse:
    """Show the gateways that an operator has, spoken or not."""
    return _page(request, request.GET)


@require_GET
def inventory_csv(request: HttpRequest) -> HttpResponse:
    """Hand out the gateways that are asked for, as the list that can be taken in again."""
    rows = (Listed(row.ident, row.name, row.group, row.tags) for row in _sought(_asked(request.GET)).iterator())
    response = HttpResponse(listing.text(rows), content_type="text/csv; charset=utf-8")
    day = time.strftime("%Y-%m-%d", time.gmtime(clock.seconds()))
    response.headers["Content-Disposition"] = f'attachment; filename="oubli-gateways-{day}.csv"'
    return response


@require_POST
def change_inventory(request: HttpRequest) -> HttpResponse:
    """Change the marked gateways, or all that the question is for; or take a list in.

    One refusal, and nothing is changed.
    """
    now, query = int(clock.seconds()), request.POST
    try:
        if query.get("act") == "import":
            done = _taken(request, now)
        elif query.get("act") in stock.ACTS:
            idents = (
                list(_sought(_asked(query)).values_list("ident", flat=True))
                if query.get("every")
                else query.getlist("gateway")
            )
            done = stock.put(idents, query["act"], query.get("value", "")[:512], now)
        else:
            done = 0
        if not done:
            people.nothing_done(request)
    except ListError as refusal:
        text, line, values = refusal.said
        said = words.say(text, **values)
        return _page(request, query, [words.say("line {n}: {said}", n=line, said=said) if line else said])
    asked = QueryDict(mutable=True)
    asked.update({**{name: value for name, value in _asked(query).items() if value}, "done": str(done)})
    return redirect(f"{reverse('inventory')}?{asked.urlencode()}")


def _taken(request: HttpRequest, now: int) -> int:
    """Take an uploaded list in; returns how many gateways it names."""
    upload = request.FILES.get("list")
    if upload is None or not upload.size or upload.size > listing.LARGEST:
        raise ListError("a file; accepted: CSV of at most {n} MiB", n=listing.LARGEST >> 20)
    rows = listing.parse(upload.read(), made=False)
    stock.expect(rows, now)
    return len(rows)
