# SPDX-License-Identifier: Apache-2.0
"""Who may do what on the page: a viewer looks, an operator changes gateways and alerts, an administrator the roles.

Whatever a person does there is written down with the name: `Deed`, the newest `DEEDS` of them.
"""

import secrets
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model, logout
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import resolve

from tools import clock
from tools.fleet import factor
from tools.fleet.guard import Busy, busy
from tools.fleet.models import Deed

DEEDS, PEOPLE = 10_000, 500  # that are kept
_EVERYBODY = {"login", "logout", "language", "password", "factor", "tokens"}  # forms that are anybody's
_ADMINISTRATORS = {"people", "change_people"}
_SECRET = ("password", "csrf", "next", "target", "code")  # of fields that aren't written down: parts of their names
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


def new_password() -> str:
    """Return a password for somebody who sets another one then."""
    return secrets.token_urlsafe(15)


def change(act: str, name: str, wanted: str, by: Any) -> str:  # noqa: ANN401 (Django's user)
    """Add, change or remove a person, or a second factor that is lost; returns a new person's password, or nothing.

    ValueError says what isn't accepted.
    """
    people = get_user_model().objects
    with transaction.atomic():
        one = people.select_for_update().filter(username=name).first()
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
        if act == "remove":
            if one.pk == by.pk:
                raise ValueError("self")
            one.delete()
        elif act == "reset":
            factor.remove(one)
        else:
            set_role(one, wanted)
        if not keeps_an_administrator():
            raise ValueError("last")
    return ""


class Guard:
    """Refuses what somebody's role isn't for, and writes down what was done; a middleware behind the log-in's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and write down a form that was taken."""
        response = self._get_response(request)
        if request.method not in _SAFE and request.user.is_authenticated and response.status_code < 400:
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
        """Refuse before the view is called; a session without the second factor that its person has by now ends."""
        name = request.resolver_match.url_name if request.resolver_match else ""
        if name == "picture":
            return None  # without a look at who asks: the answer is kept for everybody
        if request.user.is_authenticated and not request.user.is_verified() and factor.device(request.user) is not None:
            logout(request)
            return redirect("login")
        if not request.user.is_authenticated or name in _EVERYBODY:
            return None
        mine = role(request.user)
        if (name in _ADMINISTRATORS and mine != "administrator") or (request.method not in _SAFE and mine == "viewer"):
            raise PermissionDenied
        return None


def _note(request: HttpRequest) -> None:
    match = resolve(request.path)
    fields = [
        f"{name}={value[:64]}"
        for name, values in request.POST.lists()
        for value in values[:3]
        if value and not any(part in name for part in _SECRET)
    ]
    about = " ".join([*map(str, match.kwargs.values()), *fields])[:512]
    with transaction.atomic():
        newest = Deed.objects.create(
            at=int(clock.seconds()), by=request.user.get_username(), act=match.url_name or "", about=about
        )
        Deed.objects.filter(pk__lte=newest.pk - DEEDS).delete()
