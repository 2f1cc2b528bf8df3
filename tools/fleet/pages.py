# SPDX-License-Identifier: Apache-2.0
"""The page's views: the list of gateways, one gateway, compliance. Everything but the log-in is behind it."""

import time
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

from tools import clock
from tools.fleet import figure_pages, figures, inventory, listing, people, sheet, verdicts, words
from tools.fleet.judgement import BREACH, GRADES, SETTLED, history, past, standings
from tools.fleet.listing import ListError
from tools.fleet.models import Episode, Gateway, Tally
from tools.fleet.reading import REASONS
from tools.fleet.tries import TRIED

PER_PAGE = 50
HEADS = (  # of the list: a column, and what it says
    ("Gateway", ""),
    ("Stands", "In breach of what the law or oubli promises, worth a look, or in order; the worst findings below."),
    ("Last seen", "When its last message came, and the state that it told."),
    ("Version, configuration", "The oubli that runs there, and the first signs of its configuration's fingerprint."),
    ("Clock", "Whether its time is confirmed: deadlines are kept by it."),
    ("Expiry", "Whether every record was destroyed at its deadline."),
    ("Capture", "Whether connections are recorded."),
    ("Keys", "Days until a custodian's bundle of keys runs out, where there is one."),
    ("Ledger", "Privacy budget that was spent of the day's ceiling (epsilon)."),
    ("Audit log", "Whether its log of deeds goes on unbroken, as compared with the checkpoints that came here."),
    ("Duty", "Who answers the authorities' requests at this place."),
)
HISTORY = 30  # days of compliance
FINDINGS = 100  # of a page of compliance
_DAY = 86_400


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """Give every template what its frame needs."""
    place = request.resolver_match.url_name if request.resolver_match else ""
    user = getattr(request, "user", None)
    mine = people.role(user) if user is not None and user.is_authenticated else ""
    found = {"place": place, "language": words.language(), "languages": (("en", "English"), ("fr", "Français"))}
    return found | {"may": mine in {"operator", "administrator"}, "administers": mine == "administrator"}


class _Form(AuthenticationForm):
    """Name and password, each name a few times in a while from an address; `tries.Busy` passes through.

    The second factor's code is asked for beside them, and a refusal doesn't say which was
    wrong: nobody learns that a password is right.
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
    verdicts.renew(now, verdicts.SOON)
    counts = verdicts.counts()
    rows = retired.order_by("folded") if show == "retired" else verdicts.listed()
    if show in GRADES:
        rows = rows.filter(grade=GRADES.index(show))
    page = inventory.page(inventory.sought(rows, wanted, group, tag), request.GET.get("page"), PER_PAGE)
    page.object_list = standings(page.object_list, now) if show == "retired" else verdicts.standings(page.object_list)
    grades = [(name, counts[name], name == show) for name in GRADES]
    names = [name for name in figures.groups() if name]
    context = {
        "page": page,
        "heads": HEADS,
        "grades": grades,
        "count": counts.total(),
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


def _one(ident: str) -> Gateway:
    row = Gateway.objects.filter(ident=ident).first()
    if row is None:
        raise Http404
    return row


def _shown(request: HttpRequest, row: Gateway, refusal: ListError | None = None) -> HttpResponse:
    """Show a gateway; after a refusal with what was typed, and why it isn't taken."""
    now = int(clock.seconds())
    (standing,) = standings([row], now)
    context: dict[str, Any] = {
        "standing": standing,
        "gateway": row,
        "settled": SETTLED,
        "groups": [name for name in figures.groups() if name],
        "zones": sorted(listing.zones()),
        "typed": {name: request.POST.get(name, getattr(row, name)) for name in ("name", "group", "tags", "zone")},
    }
    if refusal:
        text, _, values = refusal.said
        context["wrong"] = words.say(text, **values)
    tallies = (
        Tally.objects.filter(gateway=row.pk, day__gt=now // _DAY - HISTORY)
        .order_by("-day")
        .values_list("day", "fate", "count")
    )
    context["refused"] = [(day, REASONS.get(fate, fate), count) for day, fate, count in tallies[:20]]
    context["past"] = [past(one) for one in history(now, HISTORY, row)[:FINDINGS]]
    context |= figure_pages.gateway_context(request, row)
    return render(request, "fleet/gateway.html", context, status=400 if refusal else 200)


@require_GET
def gateway(request: HttpRequest, ident: str) -> HttpResponse:
    """Show one gateway: how it stands, and what it published with its bands."""
    return _shown(request, _one(ident))


def _said(row: Gateway) -> tuple[str | int, ...]:
    """Return what people say of a gateway."""
    return row.name, row.group, row.tags, row.zone, row.retired, row.expected


@require_POST
def change(request: HttpRequest, ident: str) -> HttpResponse:
    """Name a gateway, put it into a group, take its configuration as right, or say that something is settled.

    One refusal, and nothing is changed.
    """
    row = _one(ident)
    try:
        with transaction.atomic():
            done = _changed(request, Gateway.objects.select_for_update().get(pk=row.pk))
    except ListError as refusal:
        return _shown(request, row, refusal)
    if not done:
        people.nothing_done(request)
    return redirect("gateway", ident=ident) if Gateway.objects.filter(pk=row.pk).exists() else redirect("gateways")


def _changed(request: HttpRequest, row: Gateway) -> bool:
    """Change a gateway as a form asks; return whether something changed. ListError where it can't be."""
    former, settled = _said(row), 0
    if "name" in request.POST:
        row.tags = listing.words(request.POST.get("tags", row.tags))
        zone, row.zone = row.zone, request.POST.get("zone", row.zone)
        if row.zone not in {zone, *listing.zones()}:
            raise ListError("a time zone; accepted: Europe/Paris")
        name, group = (" ".join(request.POST.get(one, "").split()) for one in ("name", "group"))
        if not (listing.named(name) and listing.named(group)):
            raise ListError("a name or group; accepted: at most {n} printable characters", n=listing.NAME)
        for moved in sorted(inventory.rename(row, name, group)):
            figures.regroup(moved)
    if "delete" in request.POST:
        if request.POST["delete"].strip() != row.ident:
            raise ListError("another id; accepted: {ident}", ident=row.ident)
        inventory.remove(row)
        return True
    if request.POST.get("retire") in {"0", "1"}:
        row.retired = int(clock.seconds()) * int(request.POST["retire"])
        row.save(update_fields=["retired"])
    if request.POST.get("accept") == row.config:
        row.expected = row.config
        row.save(update_fields=["expected"])
    if request.POST.get("settle") in SETTLED:
        settled = Episode.objects.filter(gateway=row, kind=request.POST["settle"], ended=None).update(
            ended=int(clock.seconds())
        )
        row.save(update_fields=["due"])
    return _said(row) != former or settled > 0


@require_GET
def compliance(request: HttpRequest) -> HttpResponse:
    """Show what is wrong, and what was of late, a page at a time."""
    now = int(clock.seconds())
    verdicts.renew(now, verdicts.SOON)
    counts = verdicts.counts()
    page = Paginator(verdicts.findings().select_related("gateway"), FINDINGS).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(row.gateway, verdicts.finding(row)) for row in page.object_list],
        "past": [(one.gateway, past(one)) for one in history(now, HISTORY)[:FINDINGS]],
        "count": counts.total(),
        "clean": counts["good"],
        "breached": counts[BREACH],
        "now": now,
        "history": HISTORY,
        "most": FINDINGS,
    }
    return render(request, "fleet/compliance.html", context)


@require_GET
def compliance_csv(_request: HttpRequest) -> HttpResponse:
    """Hand it out for a spreadsheet."""
    now = int(clock.seconds())
    verdicts.renew(now)
    found = [(row.gateway, verdicts.finding(row)) for row in verdicts.findings().select_related("gateway").iterator()]
    found += [(one.gateway, past(one)) for one in history(now, HISTORY).iterator()]
    head = [words.say(name) for name in ("gateway", "name", "group", "grade", "finding", "since (UTC)", "until (UTC)")]
    stamp = "%Y-%m-%d %H:%M"
    rows = [
        (
            one.ident, one.name, one.group, words.say(finding.grade), words.say(finding.text, **finding.words),
            time.strftime(stamp, time.gmtime(finding.since)) if finding.since else "",
            time.strftime(stamp, time.gmtime(finding.until)) if finding.until else "",
        )
        for one, finding in found
    ]  # fmt: skip
    response = HttpResponse(sheet.text(head, rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = (
        f'attachment; filename="oubli-compliance-{time.strftime("%Y-%m-%d", time.gmtime(now))}.csv"'
    )
    return response
