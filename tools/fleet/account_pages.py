# SPDX-License-Identifier: Apache-2.0
"""Everybody's own second factor and API tokens. What makes either weaker, or lasts, asks for the password again."""

from typing import Any

import django_otp
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from tools.fleet import factor as second
from tools.fleet import people, words
from tools.fleet import tokens as programs
from tools.fleet.guard import whole
from tools.fleet.models import Token
from tools.fleet.tries import TRIED

_WRONG = {
    "label": "Accepted: a name of 1 to 64 printable characters.",
    "scope": "Choose what it is for.",
    "many": "There are {n} tokens, which is the most: end one first.",
}


def known(request: HttpRequest, code: str | None) -> str:
    """Return nothing where somebody knows the own password, and this code where one is asked for.

    Else what is to be said.
    """
    try:
        user = TRIED.user(request, request.user.get_username(), request.POST.get("password", ""), code)
    except PermissionError:
        return words.say("Too many attempts: wait five minutes.")
    return "" if user is not None else words.say("That isn't your password, or not the code.")


@require_http_methods(["GET", "POST"])
def factor(request: HttpRequest) -> HttpResponse:
    """Let somebody have a second factor, have other recovery codes, or have none any more."""
    user, act, code = request.user, request.POST.get("act", ""), request.POST.get("code", "")
    wrong, codes, begun = "", [], None
    on = second.device(user) is not None
    if act == "begin" and not on:
        wrong = known(request, None)
        begun = None if wrong else second.begin(request)
    elif act == "confirm" and not on and (begun := second.begun(request)) is not None:
        own = second.confirm(begun, code)
        if own is None:
            wrong = words.say("That isn't the code; a moment after a wrong one, even the right one isn't taken.")
        else:
            begun = None
            django_otp.login(request, own)
            request.session.cycle_key()
            codes, on = second.renew(user), True
    elif act in {"codes", "off"} and on:
        wrong = known(request, code)
        if not wrong and act == "codes":
            codes = second.renew(user)
        elif not wrong:
            second.remove(user)
            on = False
    elif request.method == "POST":
        people.nothing_done(request)
        return redirect("factor")
    context: dict[str, Any] = {"on": on, "wrong": wrong, "codes": codes, "left": second.left(user), "tab": "factor"}
    if begun is not None:
        context |= {"begun": True, "picture": second.picture(begun), "key": second.key(begun)}
    return render(request, "fleet/factor.html", context, status=400 if wrong else 200)


@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """Show, make and end tokens: the own ones; an administrator sees and ends everybody's."""
    chief = people.role(request.user) == "administrator"
    shown = Token.objects.select_related("owner").order_by("owner__username", "pk")
    rows = shown if chief else shown.filter(owner=request.user)
    wrong, made = "", ""
    if request.POST.get("act") == "end":
        number = request.POST.get("number", "")
        if not rows.filter(pk=whole(number) or 0).delete()[0]:
            people.nothing_done(request)
        return redirect("tokens")
    if request.POST.get("act") == "make":
        wrong = known(request, None)
        try:
            made = (
                ""
                if wrong
                else programs.create(request.user, request.POST.get("label", ""), request.POST.getlist("scope"))
            )
        except ValueError as refusal:
            wrong = words.say(_WRONG[str(refusal)], n=programs.MOST)
    elif request.method == "POST":
        people.nothing_done(request)
        return redirect("tokens")
    context = {
        "rows": rows,
        "chief": chief,
        "wrong": wrong,
        "made": made,
        "scopes": programs.scopes(request.user),
        "tab": "tokens",
    }
    return render(request, "fleet/tokens.html", context, status=400 if wrong else 200)
