# SPDX-License-Identifier: Apache-2.0
"""Who may do what on the page: a viewer looks, an operator changes gateways and alerts, an administrator the roles.

Whatever a person does there is written down with the name before it is done: `Deed`, the newest `DEEDS` of each person.
What turns out to be refused, or to change nothing, is struck out again.
What changed people goes by age alone (tools/fleet/retention.py), as the others do too: nobody flushes it out.
"""

import secrets
from collections.abc import Callable
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model, logout
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import resolve

from tools import clock
from tools.fleet import factor
from tools.fleet.models import Deed
from tools.fleet.tries import Busy, busy

DEEDS, PEOPLE = 10_000, 500  # that are kept: of one person; in all
_EVERYBODY = {"login", "logout", "language", "password", "factor", "tokens"}  # forms that are anybody's
_ADMINISTRATORS = {"people", "change_people"}
# Fields that are written down, what tells most first; no other, so that nobody hides these behind it
_FIELDS = (
    "act", "name", "role", "number", "label", "scope", "value", "every", "q", "tag", "group", "tags", "zone", "retire",
    "accept", "settle", "delete", "gateway", "kind", "hours", "known", "reason", "form", "kinds", "delay", "repeat",
    "resolved", "quiet_from", "quiet_until", "language",
)  # fmt: skip
_LATER, _DEED = {"login", "language"}, "oubli.deed"
_SAFE = {"GET", "HEAD", "OPTIONS"}


def role(user: Any) -> str:  # noqa: ANN401 (Django's user)
    """Return what somebody is."""
    if user.is_superuser:
        return "administrator"
    return "viewer" if user.groups.filter(name="viewer").exists() else "operator"


def set_role(user: Any, wanted: str) -> None:  # noqa: ANN401 (Django's user)
    """Make somebody what is wanted, of `options.ROLES`."""
    user.is_superuser = wanted == "administrator"
    user.save(update_fields=["is_superuser"])
    viewers, _ = Group.objects.get_or_create(name="viewer")
    (viewers.user_set.add if wanted == "viewer" else viewers.user_set.remove)(user)


def keeps_an_administrator() -> bool:
    """Return True where somebody is left who may say who is what."""
    return bool(get_user_model().objects.filter(is_superuser=True, is_active=True).exists())


def makes_an_administrator(act: str, name: str, wanted: str) -> bool:
    """Return True where a change gives somebody the right to say who is what."""
    name = get_user_model().normalize_username(name)
    chiefs = get_user_model().objects.filter(is_superuser=True)
    return act in {"add", "role"} and wanted == "administrator" and not chiefs.filter(username=name).exists()


def new_password() -> str:
    """Return a password for somebody who sets another one then."""
    return secrets.token_urlsafe(15)


def change(act: str, name: str, wanted: str, by: Any) -> str | None:  # noqa: ANN401 (Django's user)
    """Add, change or remove a person, or a second factor that is lost; returns a new person's password, or nothing.

    None: all was so already. ValueError says what isn't accepted.
    """
    people = get_user_model().objects
    name = get_user_model().normalize_username(name)
    with transaction.atomic():
        # All administrators too, in one order: two who change each other at once leave one
        rows = people.select_for_update().filter(Q(username=name) | Q(is_superuser=True)).order_by("pk")
        one = next((row for row in rows if row.username == name), None)
        if act == "add":
            if one is not None or not 0 < len(name) <= 150 or not name.isprintable() or name != name.strip():
                raise ValueError("name")
            if people.count() >= PEOPLE:
                raise ValueError("many")
            password = new_password()
            set_role(people.create_user(name, password=password), wanted)
            return password
        if one is None:
            raise ValueError("name")
        if act in {"remove", "reset"} and one.pk == by.pk:
            raise ValueError("self")
        if act == "remove":
            one.delete()
        elif act == "reset":
            factor.remove(one)
            _end_sessions(one)
        elif role(one) == wanted:
            return None
        else:
            set_role(one, wanted)
        if not keeps_an_administrator():
            raise ValueError("last")
    return ""


def _end_sessions(user: Any) -> None:  # noqa: ANN401 (Django's user)
    for one in Session.objects.iterator():
        if one.get_decoded().get(SESSION_KEY) == str(user.pk):
            one.delete()


def nothing_done(request: HttpRequest) -> None:
    """Strike out what a request asked for, since all was so already."""
    deed = request.META.pop(_DEED, None)
    if deed is not None:
        deed.delete()


class Guard:
    """Refuses what somebody's role isn't for, and writes down what was done; a middleware behind the log-in's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and strike out again what was refused; a log-in is written down once it is known whose it is."""
        response = self._get_response(request)
        deed, match = request.META.get(_DEED), request.resolver_match
        if deed is not None and response.status_code >= 400 and response.status_code != 500:
            deed.delete()
        elif request.method == "POST" and match and match.url_name == "login" and request.user.is_authenticated:
            _note(request)
        # A form's address, opened as a page: after a log-in, or by hand
        if response.status_code == 405 and not response.content:
            response.content = render(request, "405.html").content
        return response

    def process_exception(self, request: HttpRequest, failure: Exception) -> HttpResponse | None:
        """Answer a try that is one too many at once."""
        return busy(request) if isinstance(failure, Busy) else None

    def process_view(
        self, request: HttpRequest, _view: object, _arguments: object, _words: object
    ) -> HttpResponse | None:
        """Refuse before the view is called, or write down what is about to be done.

        A session without the second factor that its person has by now ends.
        """
        name = request.resolver_match.url_name if request.resolver_match else ""
        if name == "picture":
            return None  # without a look at who asks: the answer is kept for everybody
        if request.user.is_authenticated and not request.user.is_verified() and factor.device(request.user) is not None:
            logout(request)
            return redirect("login")
        if not request.user.is_authenticated:
            return None
        mine = role(request.user)
        if name not in _EVERYBODY and (
            (name in _ADMINISTRATORS and mine != "administrator") or (request.method not in _SAFE and mine == "viewer")
        ):
            raise PermissionDenied
        if request.method not in _SAFE and name not in _LATER:
            request.META[_DEED] = _note(request)  # a client that hangs up ends this, not the view's thread
        return None


def _note(request: HttpRequest) -> Deed:
    match = resolve(request.path)
    fields = [f"{name}={_shown(value)}" for name in _FIELDS for value in request.POST.getlist(name)[-3:] if value]
    about = " ".join([*map(_shown, match.kwargs.values()), *fields])[:512]
    by = request.user.get_username()
    with transaction.atomic():
        made = Deed.objects.create(at=int(clock.seconds()), by=by, act=(match.url_name or "")[:32], about=about)
        others = Deed.objects.filter(by=by).exclude(act="change_people").order_by("-pk")
        for last in others.values_list("pk", flat=True)[DEEDS : DEEDS + 1]:
            others.filter(pk__lte=last).delete()
    return made


def _shown(value: str) -> str:
    """Return a value as it is written down: cut, printable, and quoted where it could be read as another field."""
    value = value[:150]
    return value if value.isprintable() and not set(value) & set(" ='\"") else repr(value)
