# SPDX-License-Identifier: Apache-2.0
"""What keeps the page to itself: headers that let nothing foreign in, and a bound on tries of a password."""

import base64
import binascii
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from django.contrib.auth import authenticate
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.defaults import bad_request

from tools.fleet import factor

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DRAWN = "default-src 'none'; style-src 'unsafe-inline'"  # of a picture opened by itself: its colours are inline
# Of a name from an address, and from an address; seconds until the next; kept counts
TRIES, PAUSE, REMEMBERED = (5, 20), 300, 4096
HASHES = 2  # at once: 100 MiB each


def headers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Add the content security policy to each answer, and keep what is behind the log-in out of caches."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        if request.path.startswith("/picture/") and response.status_code == 200:
            del response.headers["Vary"]  # it is the same for everybody, and says itself how long it may be kept
            response.cookies.clear()
            response.headers["Content-Security-Policy"] = DRAWN
        elif not request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    return middleware


def no_nul(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse a request with a NUL in what a view may ask the store for: PostgreSQL takes none in a text."""

    def middleware(request: HttpRequest) -> HttpResponse:
        fields = (part for query in (request.GET, request.POST) for one in query.lists() for part in (one[0], *one[1]))
        if any("\0" in text for text in (request.path, *request.COOKIES.values(), *fields)):
            if request.path.startswith("/api/"):
                return JsonResponse({"detail": "Bad Request"}, status=400)
            return bad_request(request, BadRequest())
        return get_response(request)

    return middleware


def whole(text: str) -> int | None:
    """Return a whole number of at most nine digits that a form or an address carries; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


class Busy(Exception):  # noqa: N818 (a state, no fault)
    """As many passwords are being hashed as may be: another try is answered with 503."""


class Tries:
    """What may be tried: so often by name and address, so often by address, and two at a time.

    A hash takes 100 MiB and a tenth of a second. So a try is counted before its hash, not after: forty at once are
    forty tries. What counts against a name is counted with the address it came from, so that nobody locks another out.
    Sessions aren't asked here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(HASHES)
        self._counts: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()

    # Django's user
    def user(self, request: HttpRequest, name: str, password: str, code: str | None) -> Any:  # noqa: ANN401
        """Return who has this name and password, or None.

        PermissionError after too many tries, Busy where another hash is one too many.

        Who has a second factor is asked for its `code` too; None: who asks is logged in, and has shown one.
        """
        name, password = name[:150], password[:1024]
        keys = (name, _network(request)), (_network(request),)
        self._begin(keys)
        try:
            user = authenticate(request, username=name, password=password)
        finally:
            self._hashing.release()
        if user is not None and code is not None and not factor.passed(user, code):
            user = None
        if user is not None:
            with self._lock:
                for key in keys:
                    self._counts.pop(key, None)
        return user

    def _begin(self, keys: tuple[tuple[str, ...], ...]) -> None:
        """Count a try and take one of the places where it is hashed."""
        now = time.monotonic()
        with self._lock:
            former = [self._counts.get(key, (0, now)) for key in keys]
            former = [(count, since) if now - since <= PAUSE else (0, now) for count, since in former]
            if any(count >= most for (count, _), most in zip(former, TRIES, strict=True)):
                raise PermissionError
            if not self._hashing.acquire(blocking=False):
                raise Busy
            for key, (count, since) in zip(keys, former, strict=True):
                self._counts[key] = (count + 1, since)
                self._counts.move_to_end(key)
            while len(self._counts) > REMEMBERED:
                self._counts.popitem(last=False)


TRIED = Tries()


def _network(request: HttpRequest) -> str:
    """Return the address that asks; of IPv6 the /64, which one machine may fill with addresses."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return ""
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def busy(request: HttpRequest) -> HttpResponse:
    """Answer a try that is one too many at once."""
    if request.path == "/metrics":
        return HttpResponse(
            "too many log in at once: try again\n", status=503, content_type="text/plain", headers={"Retry-After": "2"}
        )
    answer = render(request, "503.html", status=503)
    answer.headers["Retry-After"] = "2"
    return answer


def by_basic(request: HttpRequest) -> bool:
    """Return True if a request carries a user's name and password (RFC 7617), as Prometheus sends them.

    Busy as `Tries.user`.

    Who has a second factor makes a token for this.
    """
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    try:
        return (
            kind.lower() == "basic"
            and "\0" not in name + password
            and TRIED.user(request, name, password, "") is not None
        )
    except PermissionError:
        return False
