# SPDX-License-Identifier: Apache-2.0
"""What keeps the page to itself: headers that let nothing foreign in, and requests that the store could not take."""

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import bad_request

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DRAWN = "default-src 'none'; style-src 'unsafe-inline'"  # of a picture opened by itself: its colours are inline


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
