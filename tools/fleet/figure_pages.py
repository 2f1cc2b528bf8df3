# SPDX-License-Identifier: Apache-2.0
"""The pages of figures: the fleet's and its groups' sums, a gateway's.

What they show as a file, and a group's picture for elsewhere.
"""

import functools
import io
import secrets
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db.models import Max, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from tools import clock
from tools.fleet import figures, files, people, sheet, shown, views, weeks, words
from tools.fleet.estimate import Estimate
from tools.fleet.models import Gateway, Link
from tools.fleet.reading import KEPT_DAYS
from tools.fleet.shown import Chart, Span

_COLUMNS: files.Columns = tuple(zip(shown.COLUMNS, (pa.string(), pa.string(), pa.float64(), pa.float64()), strict=True))
_KEPT = 900  # seconds that a picture for elsewhere is kept here; browsers keep it an hour
_PICTURES = {"svg": "image/svg+xml", "png": "image/png"}
_YEAR = 364  # days: the same day of the week


def _group(request: HttpRequest, names: Sequence[str]) -> str | None:
    wanted = request.GET.get("group")
    return wanted if wanted in names else None


def _zone(group: str | None) -> str:
    """Return the time zone of a group's venues, or of all; UTC where they have several."""
    rows = Gateway.objects.all() if group is None else Gateway.objects.filter(group=group)
    first, last = rows.aggregate(first=Min("zone"), last=Max("zone")).values()
    return first if first and first == last else "UTC"


class Summed:
    """What a fleet's or a group's charts are drawn from."""

    def __init__(self, span: Span, group: str | None) -> None:
        self._span, self.zone = span, _zone(group)
        self._sums = figures.Sums(span.first, span.last, group)
        self.days = self._sums.days()
        self.means = figures.weekly_means(span.last, span.weeks, group)

    def charts(self) -> list[Chart]:
        """Return the charts of the fleet's page, weeks first where a day is mostly noise."""
        days = shown.of_days(self.days, self._span)
        weekly = shown.of_weeks([(first, mean) for first, mean, _ in self.means])
        hours = shown.of_hours(self._span, self._sums, self.zone)
        cells = shown.of_cells(self._sums.cells(self._span.last - 6))
        return [*([weekly, days] if days.mostly_noise else [days, weekly]), hours, *cells]


@require_GET
def fleet(request: HttpRequest) -> HttpResponse:
    """Show the fleet's sums."""
    newest = figures.newest_day()
    sizes = figures.group_sizes()
    names = list(sizes)
    group = _group(request, names)
    context: dict[str, Any] = {"groups": names, "group": group, "named": group is not None, "newest": newest}
    if newest is None:
        return render(request, "fleet/fleet.html", context)
    span = Span.asked(request.GET, newest)
    summed = Summed(span, group)
    first, second, hours, *cells = summed.charts()
    told, means = summed.days.get(span.last), summed.means
    context |= {
        "span": span,
        "lead": [first.drawn(), second.drawn()],
        "hours": hours.drawn(),
        "zone": summed.zone,
        "cells": [one.drawn() for one in cells],
        "last": figures.shown(told[0]) if told else "",
        "told": told[1] if told else 0,
        "same": means[-1][2] if means else 0,
        "mean": figures.shown(means[-1][1]) if means else "",
        "compared": _compared(figures.against(span.last, 7, group), figures.against(span.last, _YEAR, group)),
    }
    if group is None and len(names) > 1:
        of_groups = figures.group_means(span.last)
        context["of_groups"] = [
            (name, count, sizes[name], figures.shown(one)) for name, (one, count) in of_groups.items()
        ]
    if group is not None:
        link = Link.objects.filter(group=group).first()
        context["link"] = request.build_absolute_uri(reverse("picture", args=[link.key, "svg"])) if link else ""
    return render(request, "fleet/fleet.html", context)


# What figures.against returns
def _compared(week: Any, year: Any) -> list[tuple[str, str, str, str, int]]:  # noqa: ANN401
    """Return a comparison's rows: against what, the mean then and now, their difference, of how many gateways."""
    found = []
    for what, pair in (("the week before", week), ("the same week a year ago", year)):
        if pair is not None:
            now, before, count = pair
            found.append((what, figures.shown(before), figures.shown(now), shown.compared(now, before), count))
    return found


def gateway_charts(
    row: Gateway, span: Span, day: int, view: str, by_day: dict[int, tuple[Estimate, int]]
) -> list[Chart]:
    """Return the charts of a gateway's page: days and weeks, weeks first where a day is mostly noise.

    Then a day's metrics; of what is smoothed, an ordinary week as well.
    """
    weekly = shown.of_weeks(shown.weeks_of(by_day, span.last, span.weeks))
    week = views.told(row, day - 6, day)
    raw = likely = None
    ordinary = []
    if view == "smoothed":
        newest = figures.gateway_newest(row) or day

        @functools.cache
        def block(number: int) -> weeks.Weeks:
            return weeks.of(row, number * weeks.BLOCK, newest)

        totals = {one: block(one // weeks.BLOCK).total(one) for one in by_day if one >= span.first}
        likely = {one: (total, 1) for one, total in totals.items() if total is not None}
        told = block(day // weeks.BLOCK).cells(day, read=True)
        raw = views.cells(week.get(day, []), "published")
        ordinary = block(newest // weeks.BLOCK).ordinary()
    else:
        told = views.cells(week.get(day, []), view, read=True)
    days = shown.of_days(by_day, span, likely)
    metrics = shown.of_metrics(told, views.mean(week.values()), len(week), day, row.zone, raw)
    if ordinary:
        metrics.append(shown.of_ordinary(ordinary, newest, row.zone))
    return [*([weekly, days] if days.mostly_noise else [days, weekly]), *metrics]


def _by_day(row: Gateway, span: Span) -> dict[int, tuple[Estimate, int]]:
    return figures.gateway_days(row, span.last - 7 * span.weeks + 1, span.last)


def gateway_context(request: HttpRequest, row: Gateway) -> dict[str, Any]:
    """Return what a gateway's page shows of its figures; nothing where there is none."""
    newest = figures.gateway_newest(row)
    if newest is None:
        return {}
    span, day, view = gateway_asked(request, row, newest)
    by_day = _by_day(row, span)
    first, second, *metrics = gateway_charts(row, span, day, view, by_day)
    year = figures.gateway_days(row, span.last - _YEAR - 6, span.last - _YEAR)
    means = dict(shown.weeks_of(by_day, span.last, 2) + shown.weeks_of(year, span.last - _YEAR, 1))
    now, before, then = (means.get(span.last - 6 - back) for back in (0, 7, _YEAR))
    pairs = [(now, one, 1) if now and one else None for one in (before, then)]
    return {
        "day": day, "newest": newest, "view": view, "views": weeks.VIEWS, "span": span, "zone": row.zone,
        "lead": [first.drawn(), second.drawn()],
        "series": [one.drawn() for one in metrics if one.name != "ordinary"],
        "ordinary": next((one.drawn() for one in metrics if one.name == "ordinary"), None),
        "whole": span.last if now else None, "last": figures.shown(by_day[span.last][0]) if span.last in by_day else "",
        "mean": figures.shown(now) if now else "", "compared": _compared(*pairs),
    }  # fmt: skip


def gateway_asked(request: HttpRequest, row: Gateway, newest: int) -> tuple[Span, int, str]:
    """Return the days, the one day and the view that are asked for.

    Without a word, the last whole day and the days before it.
    """
    whole = max(figures.gateway_days(row, newest - 7, newest), default=newest)
    try:
        day = min(max(int(request.GET["day"]), newest - KEPT_DAYS), newest)
    except (KeyError, ValueError):
        day = whole
    view = request.GET.get("view")
    return Span.asked(request.GET, whole), day, view if view in weeks.VIEWS else "combined"


@require_GET
def fleet_file(request: HttpRequest, form: str) -> HttpResponse:
    """Hand out one chart of the fleet's page."""
    newest = figures.newest_day()
    group = _group(request, figures.groups())
    span = Span.asked(request.GET, newest) if newest is not None else None
    charts = Summed(span, group).charts() if span is not None else []
    return _file(request, charts, form, group if group is not None else words.say("Fleet"))


@require_GET
def gateway_file(request: HttpRequest, ident: str, form: str) -> HttpResponse:
    """Hand out one chart of a gateway's page."""
    row = Gateway.objects.filter(ident=ident).first()
    newest = figures.gateway_newest(row) if row else None
    if row is None or newest is None:
        raise Http404
    span, day, view = gateway_asked(request, row, newest)
    return _file(request, gateway_charts(row, span, day, view, _by_day(row, span)), form, row.name or row.ident)


def _file(request: HttpRequest, charts: Sequence[Chart], form: str, title: str) -> HttpResponse:
    """Return the chart that is asked for in a form; 404 where there is none."""
    one = next((chart for chart in charts if chart.name == request.GET.get("chart")), None)
    if one is None:
        raise Http404
    if form in _PICTURES:
        answer = HttpResponse(_drawn(one, form, title), content_type=_PICTURES[form])
    elif form == "csv":
        answer = HttpResponse(sheet.text(shown.COLUMNS, one.rows()), content_type="text/csv; charset=utf-8")
    elif form == "parquet":
        file = io.BytesIO()
        files.write_parquet(file, one.rows(), _COLUMNS)
        answer = HttpResponse(file.getvalue(), content_type="application/vnd.apache.parquet")
    else:
        raise Http404
    answer.headers["Content-Disposition"] = f'attachment; filename="oubli-{one.handed}.{form}"'
    return answer


def _drawn(one: Chart, form: str, title: str) -> bytes:
    from tools.fleet import drawing  # 40 MiB, for those who ask for a picture

    return drawing.picture(one, form, title)


@require_POST
def share(request: HttpRequest) -> HttpResponse:
    """Make the address of a group's picture, or end it."""
    group = request.POST.get("group", "")
    done = False
    if request.POST.get("act") == "make":
        if group not in figures.groups():
            raise Http404
        made = {"key": secrets.token_urlsafe(16), "language": words.language(), "by": request.user.get_username()}
        _, done = Link.objects.get_or_create(group=group, defaults={**made, "created": int(clock.seconds())})
    elif request.POST.get("act") == "end":
        done = Link.objects.filter(group=group).delete()[0] > 0
    if not done:
        people.nothing_done(request)
    return redirect(f"{reverse('fleet')}?{urlencode({'group': group})}")


@require_GET
@login_not_required
def picture(_request: HttpRequest, key: str, form: str) -> HttpResponse:
    """Show a group's picture to who has its address, no newer than a quarter of an hour.

    Nothing else, and nobody else's.
    """
    link = Link.objects.filter(key=key).first() if key.isascii() and key.isprintable() else None
    newest = figures.newest_day()
    if link is None or newest is None or form not in _PICTURES or link.group not in figures.groups():
        raise Http404
    place = f"{link.pk}.{form}"
    kept = cache.get(place)
    if kept is None:
        with translation.override(link.language):
            span = Span.asked({}, newest)
            first, *_ = Summed(span, link.group).charts()
            kept = _drawn(first, form, link.group)
        cache.set(place, kept, _KEPT)
    answer = HttpResponse(kept, content_type=_PICTURES[form])
    answer.headers["Cache-Control"] = "public, max-age=3600"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer
