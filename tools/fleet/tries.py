# SPDX-License-Identifier: Apache-2.0
"""A bound on tries of a password: so many from an address, so many of a name, two hashed at once."""

import ipaddress
import threading
import time
from collections import OrderedDict
from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from tools.fleet import factor

# Of a name from an address, and from an address; seconds until the next; kept counts
TRIES, PAUSE, REMEMBERED = (5, 20), 300, 4096
HASHES = 2  # at once: 100 MiB each


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
