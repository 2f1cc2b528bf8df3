# SPDX-License-Identifier: Apache-2.0
"""What a program asks with: a bearer token (RFC 6750) of a person, for some of what that person may read.

A token is 256 bits by lot, told once; the store has its SHA-256, which nobody turns back. It is worth what its person's
role is worth at the moment, and nothing once the person is gone.
"""

import hashlib
import secrets
from typing import Any

from django.http import HttpRequest

from tools import clock
from tools.fleet import people
from tools.fleet.models import Token

# scope: (what it lets a program read, whose it may be)
SCOPES = {
    "gateways": ("gateways: how each stands, its findings, its last health", "viewer"),
    "figures": ("figures: what gateways published, sums, means, each with its band", "viewer"),
    "metrics": ("metrics: /metrics, for Prometheus", "viewer"),
    "deeds": ("deeds: what people did on the page", "administrator"),
}
MOST = 20  # of one person
PREFIX = "oubli_"  # by which a scanner for secrets finds one that was left somewhere
_NOTED = 60  # seconds after which another use is written down


def scopes(user: Any) -> dict[str, str]:  # noqa: ANN401 (Django's user)
    """Return what somebody's tokens may be for."""
    chief = people.role(user) == "administrator"
    return {name: text for name, (text, whose) in SCOPES.items() if chief or whose == "viewer"}


def create(user: Any, label: str, wanted: list[str]) -> str:  # noqa: ANN401 (Django's user)
    """Make a token and return it, for the only time; ValueError says what isn't accepted."""
    label = " ".join(label.split())
    if not 0 < len(label) <= 64 or not label.isprintable():
        raise ValueError("label")
    if not wanted or not set(wanted) <= set(scopes(user)):
        raise ValueError("scope")
    if Token.objects.filter(owner=user).count() >= MOST:
        raise ValueError("many")
    token = PREFIX + secrets.token_urlsafe(32)
    kept = " ".join(name for name in SCOPES if name in wanted)
    Token.objects.create(owner=user, label=label, scopes=kept, hash=_hash(token), created=int(clock.seconds()))
    return token


def known(text: str) -> Token | None:
    """Return what is kept of a token whose person may still log in; that it was used is written down."""
    one: Token | None = Token.objects.select_related("owner").filter(hash=_hash(text), owner__is_active=True).first()
    if one is not None and (now := int(clock.seconds())) - one.used >= _NOTED:
        Token.objects.filter(pk=one.pk).update(used=now)
    return one


def allows(one: Token, scope: str) -> bool:
    """Return True where a token is for this, and its person's role still is."""
    return scope in one.scopes.split() and scope in scopes(one.owner)


def carried(request: HttpRequest) -> Token | None:
    """Return the token that a request carries, or None."""
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    return known(text.strip()) if kind.lower() == "bearer" else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
