# SPDX-License-Identifier: Apache-2.0
"""The page of people: who may do what, what was done; and everybody's own password."""

from typing import Any

from django.contrib.auth import get_user_model, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_otp.plugins.otp_totp.models import TOTPDevice

from tools.fleet import people as persons
from tools.fleet import words
from tools.fleet.account_pages import known
from tools.fleet.models import Deed
from tools.fleet.options import ROLES
from tools.fleet.tries import TRIED

SHOWN = 200  # deeds
SHORTEST, LONGEST = 12, 1024  # characters of a password
_WRONG = {
    "name": "There is somebody of that name, or nobody; accepted: 1 to 150 printable characters.",
    "many": "There are as many people as there may be.",
    "self": "Nobody removes the own account, or resets the own second factor here.",
    "last": "Somebody has to be administrator.",
}


def _page(request: HttpRequest, wrong: str = "", **more: object) -> HttpResponse:
    second = set(TOTPDevice.objects.filter(confirmed=True).values_list("user", flat=True))
    rows = [(one, persons.role(one), one.pk in second) for one in get_user_model().objects.order_by("username")]
    context: dict[str, Any] = {
        "rows": rows,
        "roles": ROLES,
        "wrong": wrong,
        "deeds": Deed.objects.order_by("-pk")[:SHOWN],
        **more,
    }
    return render(request, "fleet/people.html", context, status=400 if wrong else 200)


@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """Show who may log in, and what was done."""
    return _page(request)


@require_POST
def change_people(request: HttpRequest) -> HttpResponse:
    """Add or remove somebody, give another role, or take a second factor away that is lost.

    Whoever makes somebody administrator is asked for the own password: what a session that was left open could
    otherwise make for good.
    """
    act, name, wanted = (request.POST.get(field, "") for field in ("act", "name", "role"))
    if act not in {"add", "role", "remove", "reset"} or (act in {"add", "role"} and wanted not in ROLES):
        persons.nothing_done(request)
        return redirect("people")
    if persons.makes_an_administrator(act, name, wanted):
        asked = {"act": act, "name": name, "role": wanted}
        if "password" not in request.POST:
            persons.nothing_done(request)
            return _page(request, asked=asked)
        if wrong := known(request, None):
            return _page(request, wrong, asked=asked)
    try:
        password = persons.change(act, name, wanted, request.user)
    except ValueError as refusal:
        return _page(request, words.say(_WRONG[str(refusal)]))
    if password is None:
        persons.nothing_done(request)
    return _page(request, name=name, password=password) if password else redirect("people")


@require_http_methods(["GET", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Let somebody set another password; the former one counts as a try, as at the log-in."""
    wrong, done = "", False
    if request.method == "POST":
        former, new, again = (request.POST.get(field, "") for field in ("password", "new_password", "again_password"))
        try:
            known = TRIED.user(request, request.user.get_username(), former, None)
        except PermissionError:
            known, wrong = None, words.say("Too many attempts: wait five minutes.")
        if wrong:
            pass
        elif known is None:
            wrong = words.say("That isn't your password.")
        elif new != again or not SHORTEST <= len(new) <= LONGEST:
            wrong = words.say("Accepted: {n} characters or more, twice the same.", n=SHORTEST)
        else:
            known.set_password(new)
            known.save(update_fields=["password"])
            update_session_auth_hash(request, known)  # all other sessions of this person end
            done = True
    return render(request, "fleet/password.html", {"wrong": wrong, "done": done}, status=400 if wrong else 200)
