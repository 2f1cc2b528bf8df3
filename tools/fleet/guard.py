# SPDX-License-Identifier: Apache-2.0
"""What keeps the page to itself: headers that let nothing foreign in, and a bound on how often a password may be tried."""

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TRIES, PAUSE, REMEMBERED = 5, 300, 1000  # wrong passwords for a name, seconds until the next five, names


def headers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Add the content security policy to each answer, and keep what is behind the log-in out of caches."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        if not request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    return middleware


class Tries:
    """How often each name was given with a wrong password of late; the oldest names are forgotten first."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def allowed(self, name: str) -> bool:
        """Say whether this name may be tried now."""
        count, since = self._wrong.get(name, (0, 0.0))
        if time.monotonic() - since > PAUSE:
            self._wrong.pop(name, None)
            return True
        return count < TRIES

    def wrong(self, name: str) -> None:
        """Note a wrong password."""
        count, since = self._wrong.pop(name, (0, time.monotonic()))
        self._wrong[name] = (count + 1, since)
        while len(self._wrong) > REMEMBERED:
            self._wrong.popitem(last=False)

    def right(self, name: str) -> None:
        """Forget the wrong ones."""
        self._wrong.pop(name, None)


TRIED = Tries()


def by_basic(request: HttpRequest) -> bool:
    """Say whether a request carries a user's name and password (RFC 7617), as Prometheus sends them."""
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    name = name[:150]
    if kind.lower() != "basic" or not TRIED.allowed(name):
        return False
    if authenticate(request, username=name, password=password[:1024]) is None:
        TRIED.wrong(name)
        return False
    TRIED.right(name)
    return True
