# SPDX-License-Identifier: Apache-2.0
"""The page's views: the list of gateways, one gateway, the fleet's sums, compliance. Everything but the log-in is behind it."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET, require_POST

from agent.summary.metrics import METRICS
from tools import clock
from tools.fleet import charts, figures, inventory, listing, people, sheet, views, words
from tools.fleet.estimate import Estimate
from tools.fleet.guard import TRIED
from tools.fleet.judgement import BREACH, SETTLED, WARNING, history, standings
from tools.fleet.listing import ListError
from tools.fleet.models import Episode, Gateway, Tally
from tools.fleet.reading import REASONS

PER_PAGE = 50
SPAN = 28  # days of a chart
WEEKS = 8
HISTORY = 30  # days of compliance
_DAY = 86_400
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """Give every template what its frame needs."""
    place = request.resolver_match.url_name if request.resolver_match else ""
    user = getattr(request, "user", None)
    mine = people.role(user) if user is not None and user.is_authenticated else ""
    found = {"place": place, "language": words.language(), "languages": (("en", "English"), ("fr", "Français"))}
    return found | {"may": mine in {"operator", "administrator"}, "administers": mine == "administrator"}


class _Form(AuthenticationForm):
    """Name and password, each name a few times in a while from an address; `guard.Busy` passes through.

    The second factor's code is asked for beside them, and a refusal doesn't say which was wrong: nobody learns that a password is right.
    """

    code = forms.CharField(required=False, max_length=64)

    def clean(self) -> dict[str, Any]:
        """Check them."""
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name and password:
            try:
                self.user_cache = TRIED.user(self.request, name, password, self.cleaned_data.get("code", ""))
            except PermissionError:
                self.add_error(None, words.say("Too many attempts: wait five minutes."))
                return dict(self.cleaned_data)
            if self.user_cache is None:
                raise forms.ValidationError(
                    words.say("Name, password or code isn't right; the code is for those who have a second factor.")
                )
            self.confirm_login_allowed(self.user_cache)
        return dict(self.cleaned_data)


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    """The log-in."""

    template_name = "fleet/login.html"
    authentication_form = _Form
    redirect_authenticated_user = True


@require_GET
def gateways(request: HttpRequest) -> HttpResponse:
    """List gateways, the worst first."""
    now = int(clock.seconds())
    wanted = request.GET.get("q", "")[:64].strip()
    show, group, tag = request.GET.get("show", ""), request.GET.get("group", "")[:64], request.GET.get("tag", "")[:64]
    retired = Gateway.objects.filter(retired__gt=0)
    everyone = standings(retired if show == "retired" else inventory.current(), now)
    counts = Counter(standing.grade for standing in everyone)
    sought = {row.pk for row in inventory.sought([standing.gateway for standing in everyone], wanted, group, tag)}
    graded = show in {BREACH, WARNING, "good"}
    rows = [standing for standing in everyone if standing.gateway.pk in sought and (not graded or standing.grade == show)]
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    grades = [(name, counts[name], name == show) for name in (BREACH, WARNING, "good")]
    names = [name for name in figures.groups() if name]
    context = {
        "page": page,
        "grades": grades,
        "count": len(everyone),
        "retired": retired.count(),
        "q": wanted,
        "show": show,
        "group": group,
        "groups": names,
        "tag": tag,
        "tags": inventory.tags(),
        "now": now,
    }
    return render(request, "fleet/gateways.html", context)


def _hidden(estimates: Sequence[Estimate | None], means: Sequence[Estimate | None], days: int) -> dict[str, Any]:
    """Return which figures are noise alone, and over how many `days` or gateways the largest would tell."""
    pairs = [(one, mean or one) for one, mean in zip(estimates, means, strict=True)]
    noise = [one is not None and mean is not None and charts.noise(one, mean) for one, mean in pairs]
    times = charts.telling([mean for (_, mean), hidden in zip(pairs, noise, strict=True) if hidden and mean is not None])
    return {"noise": noise, "hidden": sum(noise), "times": times, "span": times * days}


def _columns(
    estimates: list[Estimate | None],
    labels: list[str],
    below: list[float] | None = None,
    every: int = 1,
    means: list[Estimate | None] | None = None,
    days: int = 1,
) -> dict[str, Any]:
    """Return what a template draws columns from: `every` so many labels are shown below, fewer without room.

    `means` are the same figures over a week, where there are some; of so many `days` each of them is.
    """
    hidden = _hidden(estimates, means or estimates, days)
    limits = below or [0.0] * len(estimates)
    texts = [figures.shown(one, limit) if one else "" for one, limit in zip(estimates, limits, strict=True)]
    top, lines = charts.scale(figures.highest(estimates))
    bars = charts.columns(estimates, texts, labels, hidden["noise"], top)
    ticks = [(figures.thousands(line), round(charts.HIGH * (1 - line / top), 2)) for line in lines]
    steps = [(label if number % every == 0 else "", every > 1 and number // every % 2 == 1) for number, label in enumerate(labels)]
    return {
        "bars": bars,
        "ticks": ticks,
        "labels": labels,
        "steps": steps,
        "table": list(zip(labels, texts, strict=True)),
        "count": len(labels),
        **hidden,
    }


def _rows(
    estimates: list[Estimate], labels: list[str], below: float = 0, means: list[Estimate | None] | None = None, days: int = 1
) -> dict[str, Any]:
    hidden = _hidden(estimates, means or estimates, days)
    texts = [figures.shown(one, below) for one in estimates]
    return hidden | {"bars": charts.rows(estimates, texts, labels, hidden["noise"], figures.highest(estimates))}


def _asked_day(request: HttpRequest, newest: int) -> int:
    try:
        return min(max(int(request.GET["day"]), newest - 400), newest)
    except (KeyError, ValueError):
        return newest


def _one(ident: str) -> Gateway:
    row = Gateway.objects.filter(ident=ident).first()
    if row is None:
        raise Http404
    return row


@require_GET
def gateway(request: HttpRequest, ident: str) -> HttpResponse:
    """Show one gateway: how it stands, and what it published with its bands."""
    row, now = _one(ident), int(clock.seconds())
    (standing,) = standings([row], now)
    newest = figures.gateway_newest(row)
    context: dict[str, Any] = {
        "standing": standing,
        "gateway": row,
        "settled": SETTLED,
        "groups": [name for name in figures.groups() if name],
    }
    tallies = Tally.objects.filter(gateway=row.pk, day__gt=now // _DAY - HISTORY).order_by("-day").values_list("day", "fate", "count")
    context["refused"] = [(day, REASONS.get(fate, fate), count) for day, fate, count in tallies[:20]]
    context["past"] = [finding for _, finding in history(now, HISTORY, row)]
    if newest is not None:
        day = _asked_day(request, newest)
        view = request.GET.get("view")
        view = view if view in views.VIEWS else "combined"
        week = views.told(row, day - 6, day)
        cells = views.cells(week.get(day, []), view, read=True)
        context |= {"day": day, "newest": newest, "view": view, "views": views.VIEWS}
        context["series"] = _series(cells, views.mean(week.values()), len(week))
        days = list(range(newest - SPAN + 1, newest + 1))
        by_day = figures.gateway_days(row, days[0], days[-1])
        context |= _lead(by_day, figures.mean_day([one for at, (one, _) in by_day.items() if at > max(by_day) - 7]))
        found = figures.sequence(by_day, days)
        context["days"] = _columns(found, [figures.as_date(one).strftime("%d.%m.") for one in days], every=7)
    return render(request, "fleet/gateway.html", context)


def _lead(days: dict[int, tuple[Estimate, int]], mean: Estimate | None) -> dict[str, Any]:
    """Return what is seen first: the mean day of the week that ends with the last whole day, and that day's total."""
    if not days or mean is None:
        return {}
    last = max(days)
    return {"whole": last, "last": figures.shown(days[last][0]), "mean": figures.shown(mean)}


def _series(told: views.Cells, means: dict[str, dict[int, Estimate]], days: int) -> list[dict[str, Any]]:
    """Return a day's metrics for a template: arrivals as columns, others as rows; `means` are a week's `days`."""
    found = []
    for metric in METRICS:
        points = told.get(metric.name, [])
        if not points:
            continue
        one: dict[str, Any] = {
            "name": metric.name,
            "late": any(point.late for point in points),
            "width": points[-1].estimate.half_width,
            "below": points[-1].below,
        }
        if metric.slots > 1:
            by_slot = {point.number: (point.estimate, point.below) for point in points}
            slots = list(range(metric.slots * len(metric.cells)))
            estimates = [by_slot[slot][0] if slot in by_slot else None for slot in slots]
            limits = [float(by_slot[slot][1]) if slot in by_slot else 0.0 for slot in slots]
            minutes = [(3 * 60 + slot * 1440 // len(slots)) % 1440 for slot in slots]
            labels = [f"{minute // 60:02}:{minute % 60:02}" for minute in minutes]
            mean = means.get(metric.name, {})
            one["columns"] = _columns(estimates, labels, limits, max(len(slots) // 8, 1), [mean.get(slot) for slot in slots], days)
        else:
            mean = means.get(metric.name, {})
            week = [mean.get(point.number) for point in points]
            one["rows"] = _rows([point.estimate for point in points], list(metric.cells), points[0].below, week, days)
        found.append(one)
    return found


@require_POST
def change(request: HttpRequest, ident: str) -> HttpResponse:
    """Name a gateway, put it into a group, take its configuration as right, or say that something is settled."""
    row = _one(ident)
    with transaction.atomic():
        row = Gateway.objects.select_for_update().get(pk=row.pk)
        if "name" in request.POST:
            with suppress(ListError):  # what the field's length lets through and is no tag leaves those that there were
                row.tags = listing.words(request.POST.get("tags", row.tags)[:256])
            for group in inventory.rename(row, request.POST["name"].strip()[:64], request.POST.get("group", "").strip()[:64]):
                figures.regroup(group)
        if request.POST.get("delete") == ident:
            inventory.remove(row)
            return redirect("gateways")
        if request.POST.get("retire") in {"0", "1"}:
            row.retired = int(clock.seconds()) * int(request.POST["retire"])
            row.save(update_fields=["retired"])
        if request.POST.get("accept") == row.config:
            row.expected = row.config
            row.save(update_fields=["expected"])
        if request.POST.get("settle") in SETTLED:
            Episode.objects.filter(gateway=row, kind=request.POST["settle"], ended=None).update(ended=int(clock.seconds()))
    return redirect("gateway", ident=ident)


@require_GET
def fleet(request: HttpRequest) -> HttpResponse:
    """Show the fleet's sums."""
    newest = figures.newest_day()
    names = figures.groups()
    group = request.GET.get("group")
    group = group if group in names else None
    context: dict[str, Any] = {"groups": names, "group": group, "named": group is not None, "span": SPAN, "weeks": WEEKS}
    if newest is not None:
        days = list(range(newest - SPAN + 1, newest + 1))
        found = figures.fleet_days(days[0], newest, group)
        last = found.get(newest)
        context |= {"newest": newest, "last": figures.shown(last[0]) if last else "", "told": last[1] if last else 0}
        context["days"] = _columns(figures.sequence(found, days), [figures.as_date(one).strftime("%d.%m.") for one in days], every=7)
        means = figures.weekly_means(newest, WEEKS, group)
        context |= {"same": means[-1][2] if means else 0, "mean": figures.shown(means[-1][1]) if means else ""}
        context["means"] = _rows([mean for _, mean, _ in means], [figures.as_date(first).strftime("%Y-%m-%d") for first, _, _ in means])
        if group is None and len(names) > 1:
            sizes = Counter(Gateway.objects.values_list("group", flat=True))
            of_groups = figures.group_means(newest)
            context["of_groups"] = [(name, count, sizes[name], figures.shown(one)) for name, (one, count) in of_groups.items()]
        profile = figures.week_profile(newest - SPAN + 1, newest, group)
        labels = [f"{words.say(_DAYS[hour // 24])} {hour % 24:02}:00" for hour in range(168)]
        context["profile"] = _columns(list(profile), labels) | {"steps": [(words.say(name), False) for name in _DAYS]}
        daily = figures.fleet_cells(newest - 6, newest, group)
        context["cells"] = [{"name": name, "rows": _rows(cells, list(figures.cells(name)))} for name, cells in daily.items()]
    return render(request, "fleet/fleet.html", context)


def _compliance(now: int) -> dict[str, Any]:
    everyone = standings(inventory.current(), now)
    rows = [(standing.gateway, finding) for standing in everyone for finding in standing.findings]
    rows.sort(key=lambda row: row[1].grade != BREACH)
    counts = Counter(standing.grade for standing in everyone)
    return {
        "rows": rows,
        "past": history(now, HISTORY),
        "count": len(everyone),
        "clean": counts["good"],
        "breached": counts[BREACH],
        "now": now,
    }


@require_GET
def compliance(request: HttpRequest) -> HttpResponse:
    """Show what is wrong, and what was of late."""
    return render(request, "fleet/compliance.html", _compliance(int(clock.seconds())) | {"history": HISTORY})


@require_GET
def compliance_csv(_request: HttpRequest) -> HttpResponse:
    """Hand it out for a spreadsheet."""
    now = int(clock.seconds())
    found = _compliance(now)
    head = [words.say(name) for name in ("gateway", "name", "group", "grade", "finding", "since (UTC)", "until (UTC)")]
    stamp = "%Y-%m-%d %H:%M"
    rows = [
        (
            one.ident, one.name, one.group, words.say(finding.grade), words.say(finding.text, **finding.words),
            time.strftime(stamp, time.gmtime(finding.since)) if finding.since else "",
            time.strftime(stamp, time.gmtime(finding.until)) if finding.until else "",
        )
        for one, finding in (*found["rows"], *found["past"])
    ]  # fmt: skip
    response = HttpResponse(sheet.text(head, rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="oubli-compliance-{time.strftime("%Y-%m-%d", time.gmtime(now))}.csv"'
    return response
