# SPDX-License-Identifier: Apache-2.0
"""A person's second factor: codes by time (RFC 6238), and ten recovery codes, each for once; all of it django-otp's.

It lets no code pass twice, and after wrong ones waits twice as long each time, whoever asks from where. Keys and
recovery codes stand in the store as they are, as a code by time can't be checked otherwise: whoever reads the store has
them.
"""

from typing import Any

import segno
from django.db import transaction
from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe
from django_otp import verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tools import clock

CODES = 10  # recovery codes
SHOWN = 600  # seconds for which a new key waits for its first code


def device(user: Any) -> Any:  # noqa: ANN401 (Django's user, django-otp's device)
    """Return what makes somebody's codes; None without a second factor."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def passed(user: Any, code: str) -> bool:  # noqa: ANN401 (Django's user)
    """Return True where somebody has no second factor, or this is its code or a recovery code.

    The log-in then keeps which it was.
    """
    own = device(user)
    if own is None:
        return True
    code = "".join(one for one in code.lower() if one.isascii() and one.isalnum())
    if not code:
        user.otp_device = None
        return False
    if not (len(code) == own.digits and code.isdigit()):
        own = StaticDevice.objects.filter(user=user).first()
    user.otp_device = own and verify_token(user, own.persistent_id, code)
    return user.otp_device is not None


def begin(request: HttpRequest) -> Any:  # noqa: ANN401 (as above)
    """Return a new key that counts once a code of it was shown; one that was begun before is forgotten."""
    TOTPDevice.objects.filter(user=request.user, confirmed=False).delete()
    own = TOTPDevice.objects.create(user=request.user, name="page", confirmed=False)
    request.session["begun"] = [own.pk, int(clock.seconds())]
    return own


def begun(request: HttpRequest) -> Any:  # noqa: ANN401 (as above)
    """Return the key that this session began a short while ago, or None: the password was asked for there."""
    number, at = request.session.get("begun", (0, 0))
    if not 0 <= clock.seconds() - at <= SHOWN:
        return None
    return TOTPDevice.objects.filter(user=request.user, confirmed=False, pk=number).first()


def confirm(own: Any, code: str) -> Any:  # noqa: ANN401 (as above)
    """Let a key that was begun count, where the code is one of its; return it, or None."""
    user = own.user
    with transaction.atomic():
        own = verify_token(user, own.persistent_id, "".join(code.split())[:16])
        if own is not None:
            TOTPDevice.objects.filter(user=user, confirmed=True).delete()
            own.confirmed = True
            own.save(update_fields=["confirmed"])
    return own


def renew(user: Any) -> list[str]:  # noqa: ANN401 (as above)
    """Return new recovery codes; former ones are worth nothing from now on."""
    with transaction.atomic():
        one, _ = StaticDevice.objects.get_or_create(user=user, defaults={"name": "recovery"})
        one.token_set.all().delete()
        codes = [StaticToken.random_token() for _ in range(CODES)]
        StaticToken.objects.bulk_create([StaticToken(device=one, token=code) for code in codes])
    return codes


def left(user: Any) -> int:  # noqa: ANN401 (as above)
    """Return how many recovery codes somebody has."""
    return int(StaticToken.objects.filter(device__user=user).count())


def remove(user: Any) -> None:  # noqa: ANN401 (as above)
    """Take the second factor away."""
    for kind in (TOTPDevice, StaticDevice):
        kind.objects.filter(user=user).delete()


def picture(own: Any) -> SafeString:  # noqa: ANN401 (as above)
    """Return the QR code of a key as SVG, dark on light whatever the page's colours are."""
    # Segno's own, of our text
    return mark_safe(segno.make_qr(own.config_url).svg_inline(scale=4, dark="#000", light="#fff"))  # noqa: S308


def key(own: Any) -> str:  # noqa: ANN401 (as above)
    """Return a key as a person types it: base32 in groups of four."""
    text = own.config_url.partition("secret=")[2].partition("&")[0]
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))
