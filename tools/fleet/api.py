# SPDX-License-Identifier: Apache-2.0
"""The API: what the page shows, as JSON for programs, read-only, with a bearer token of tools/fleet/tokens.py.

The OpenAPI document is made of the types below, so it can't say anything else than what is
answered. A figure never goes without its band.
"""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import Field, NinjaAPI, Query, Schema
from ninja.errors import HttpError
from ninja.security import HttpBearer

from agent import VERSION
from agent.summary.metrics import METRICS
from tools import clock
from tools.fleet import figures, inventory, tags, tokens, verdicts, views
from tools.fleet import weeks as estimated
from tools.fleet.estimate import Estimate
from tools.fleet.judgement import GRADES, Standing, standings
from tools.fleet.models import Deed, Gateway, Token
from tools.fleet.reading import KEPT_DAYS

MOST = 500  # rows of an answer
_EPOCH = date(1970, 1, 1).toordinal()
Ident = Annotated[str, Field(description="A gateway's id.", examples=["abcdefgh23456777"])]
Day = Annotated[str, Field(description="An agent-day, 03:00 to 03:00 UTC.", examples=["2026-11-23"])]
Seconds = Annotated[int, Field(description="Seconds since the epoch; 0: never, or not known.")]


class Figure(Schema):
    """An estimate with its band: the truth lies in value ± half_width with 95 %.

    It is unbiased, and may be negative.
    """

    value: float
    half_width: float


class DayFigure(Figure):
    """Terminals of an agent-day, and how many gateways told of it."""

    day: Day
    gateways: int


class WeekFigure(Figure):
    """A week's mean day; every week is of the same gateways."""

    first: Day
    gateways: int


class CellFigure(Figure):
    """One cell of a metric of an agent-day.

    `number`: its place among the metric's cells of the day; `cell`: its range, if it has one.
    """

    day: Day
    metric: str
    number: int
    cell: str
    below: Annotated[int, Field(description="A page shows a smaller value as less than this.")]
    late: Annotated[bool, Field(description="It came after its time.")]


class FindingRow(Schema):
    """What is wrong with a gateway, and what to do."""

    kind: str
    grade: Annotated[str, Field(description="breach or warning")]
    text: str
    remedy: str
    since: Seconds


class GatewayRow(Schema):
    """How a gateway stands."""

    gateway: Ident
    name: str
    group: str
    tags: list[str]
    grade: Annotated[str, Field(description="breach, warning or good")]
    state: str
    seen: Seconds
    version: str
    findings: list[FindingRow]


class GatewayFacts(GatewayRow):
    """The same, with the newest health message as it came."""

    health: dict[str, Any]


class GatewayRows(Schema):
    """Some of the gateways that were asked for, the worst first, and how many there are in all."""

    count: int
    gateways: list[GatewayRow]


class DeedRow(Schema):
    """What a person did on the page."""

    at: Seconds
    by: str
    act: str
    about: str


class Span(Schema):
    """Agent-days from `first` to `last`; without them the last 28 that are there."""

    first: date | None = None
    last: date | None = None
    group: Annotated[str | None, Field(description="Only this group; empty: what is in none.")] = None


class _Bearer(HttpBearer):
    """A token that is for a scope, and whose person's role still is."""

    def __init__(self, scope: str) -> None:
        super().__init__()
        self._scope = scope

    def authenticate(self, _request: HttpRequest, token: str) -> Token | None:
        """Return the token; 401 where it is none, 403 where it is for other things."""
        one = tokens.known(token.strip())
        if one is not None and not tokens.allows(one, self._scope):
            raise HttpError(403, f"this token isn't for {self._scope}")
        return one


def _document(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Show the OpenAPI document to who is logged in, and to any token."""

    def shown(request: HttpRequest, *arguments: object, **named: object) -> HttpResponse:
        if not request.user.is_authenticated and tokens.carried(request) is None:
            return JsonResponse({"detail": "Unauthorized"}, status=401)
        return view(request, *arguments, **named)

    return shown


API = NinjaAPI(
    title="oubli-fleet",
    version="1",
    description=f"What oubli's fleet page shows, for programs; read-only. This is the collector of oubli {VERSION}. "
    "Send a token of the page's \u201cAPI tokens\u201d as `Authorization: Bearer TOKEN`.",
    docs_url=None,  # its assets would come from elsewhere
    docs_decorator=_document,
)


def urls() -> tuple[list[Any], str, str]:
    """Return the API's addresses: it asks for tokens, not for the page's log-in."""
    patterns, app, namespace = API.urls
    for one in patterns:
        one.callback = login_not_required(one.callback)
    return patterns, app, namespace


@API.get("/gateways", response=GatewayRows, auth=_Bearer("gateways"))
def gateways(
    request: HttpRequest,
    q: Annotated[str, Query(max_length=64, description="In the name, id or tags, whatever accents and capitals.")] = "",
    group: Annotated[str, Query(max_length=64)] = "",
    tag: Annotated[str, Query(max_length=64)] = "",
    grade: Annotated[str, Query(pattern="^(breach|warning|good)?$")] = "",
    offset: Annotated[int, Query(ge=0, lt=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> dict[str, Any]:
    """List gateways, the worst first."""
    verdicts.renew(int(clock.seconds()), verdicts.SOON)
    rows = inventory.sought(verdicts.listed(), q, group, tag)
    if grade:
        rows = rows.filter(grade=GRADES.index(grade))
    return {"count": rows.count(), "gateways": [_row(one) for one in verdicts.standings(rows[offset : offset + limit])]}


@API.get("/gateways/{ident}", response=GatewayFacts, auth=_Bearer("gateways"))
def gateway(request: HttpRequest, ident: str) -> dict[str, Any]:
    """Show one gateway."""
    (standing,) = standings([_one(ident)], int(clock.seconds()))
    return _row(standing) | {"health": standing.gateway.health}


@API.get("/gateways/{ident}/days", response=list[DayFigure], auth=_Bearer("figures"))
def gateway_days(request: HttpRequest, ident: str, span: Annotated[Span, Query()]) -> list[dict[str, Any]]:
    """Give the terminals of each agent-day of a gateway, from all that it told."""
    row = _one(ident)
    first, last = _days(span, figures.gateway_newest(row))
    return _told(figures.gateway_days(row, first, last))


@API.get("/gateways/{ident}/cells", response=list[CellFigure], auth=_Bearer("figures"))
def gateway_cells(
    request: HttpRequest,
    ident: str,
    span: Annotated[Span, Query()],
    view: Annotated[str, Query(pattern="^(published|combined|smoothed)$")] = "published",
) -> list[dict[str, Any]]:
    """Give every figure of a gateway: as published, or combined so that all cells of a day have one total.

    Or smoothed: an estimate from weeks, of at most 28 days at once; days with too few around them aren't there.
    """
    row = _one(ident)
    first, last = _days(span, figures.gateway_newest(row))
    if view != "smoothed":
        found = ((day, views.cells(told, view)) for day, told in views.told(row, first, last).items())
    elif last - first < estimated.BLOCK:
        found = ((day, one.cells(day)) for day, one in estimated.each(row, first, last))
    else:
        raise HttpError(422, f"smoothed: {estimated.BLOCK} days at most")
    names = {metric.name: metric.cells for metric in METRICS}
    return [
        _figure(cell.estimate)
        | {
            "day": _date(day),
            "metric": metric,
            "number": cell.number,
            "cell": names[metric][cell.number % len(names[metric])],
        }
        | {"below": cell.below, "late": cell.late}
        for day, told in found
        for metric, cells in told.items()
        for cell in cells
    ]


@API.get("/figures/days", response=list[DayFigure], auth=_Bearer("figures"))
def days(request: HttpRequest, span: Annotated[Span, Query()]) -> list[dict[str, Any]]:
    """Give the terminals of each agent-day of the fleet, or of a group."""
    first, last = _days(span, figures.newest_day())
    return _told(figures.fleet_days(first, last, span.group))


@API.get("/figures/weeks", response=list[WeekFigure], auth=_Bearer("figures"))
def weeks(
    request: HttpRequest, span: Annotated[Span, Query()], count: Annotated[int, Query(ge=1, le=KEPT_DAYS // 7)] = 8
) -> list[dict[str, Any]]:
    """Give the mean day of each of the weeks that end with `last`, of the same gateways in each."""
    _, last = _days(span, figures.newest_day())
    return [
        _figure(one) | {"first": _date(first), "gateways": told}
        for first, one, told in figures.weekly_means(last, count, span.group)
    ]


@API.get("/groups", response=list[str], auth=_Bearer("gateways"))
def groups(request: HttpRequest) -> list[str]:
    """List the groups; the empty one is of what is in none."""
    return figures.groups()


@API.get("/deeds", response=list[DeedRow], auth=_Bearer("deeds"))
def deeds(request: HttpRequest, limit: Annotated[int, Query(ge=1, le=MOST)] = 100) -> list[dict[str, Any]]:
    """List what people did on the page, the newest first; for administrators."""
    return list(Deed.objects.order_by("-pk").values("at", "by", "act", "about")[:limit])


def _one(ident: str) -> Gateway:
    row = Gateway.objects.filter(ident=ident).first() if ident.isascii() and ident.isalnum() else None
    if row is None:
        raise Http404
    return row


def _row(one: Standing) -> dict[str, Any]:
    row = one.gateway
    findings = [
        {
            "kind": item.kind,
            "grade": item.grade,
            "text": tags.finding(item),
            "remedy": tags.remedy(item),
            "since": item.since,
        }
        for item in one.findings
    ]
    return {
        "gateway": row.ident, "name": row.name, "group": row.group, "tags": row.tags.split(),
        "grade": one.grade, "state": one.state, "seen": row.seen, "version": row.version, "findings": findings,
    }  # fmt: skip


def _days(span: Span, newest: int | None) -> tuple[int, int]:
    """Return the agent-days that are asked for; HttpError where they are too many."""
    last = span.last.toordinal() - _EPOCH if span.last else newest or 0
    first = span.first.toordinal() - _EPOCH if span.first else last - 27
    if not 0 <= last - first < KEPT_DAYS:
        raise HttpError(422, f"first, last: accepted: at most {KEPT_DAYS} days, the last not before the first")
    return first, last


def _date(day: int) -> str:
    return figures.as_date(day).strftime("%Y-%m-%d")


def _figure(one: Estimate) -> dict[str, Any]:
    return {"value": float(one.value), "half_width": float(one.half_width)}


def _told(found: dict[int, tuple[Estimate, int]]) -> list[dict[str, Any]]:
    return [_figure(one) | {"day": _date(day), "gateways": told} for day, (one, told) in found.items()]
