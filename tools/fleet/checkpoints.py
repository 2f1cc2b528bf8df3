# SPDX-License-Identifier: Apache-2.0
"""The heads of the gateways' audit logs, kept outside their reach (L34-VI-3): what was cut off, rewritten or forked shows.

A gateway appends a checkpoint every hour whatever happened; health carries the newest one and its number. Numbers only grow, and a number
has one digest for ever. So a smaller number than one that came before is a log that was *cut*, another digest for a known number is one
that was *rewritten*, and if afterwards both lines go on by turns it is *forked*: two devices, or two disks, with one name.
"""

from typing import Any

from tools.fleet.models import Episode, Gateway, Head

BROKEN = ("cut", "rewritten", "forked")


def note(gateway: Gateway, health: dict[str, Any], now: int) -> None:
    """Compare a health's checkpoint with those that are kept, and keep it."""
    audit = health.get("audit")
    if not audit or not audit["number"]:
        return
    number, digest = audit["number"], audit["checkpoint"]
    newest = Head.objects.filter(gateway=gateway).order_by("-number").first()
    if newest is not None and number < newest.number:
        Episode.begin(gateway, "cut", now)
    kept = Head.objects.filter(gateway=gateway, number=number).first()
    if kept is None:
        Head.objects.create(gateway=gateway, number=number, digest=digest, received=now)
    elif kept.digest != digest:
        Episode.begin(gateway, "rewritten", now)
