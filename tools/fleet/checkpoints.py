# SPDX-License-Identifier: Apache-2.0
"""The heads of the gateways' audit logs, kept outside their reach (L34-VI-3): what was cut off, rewritten or forked shows.

tools/fleet/heads.py says when two heads contradict each other; here all that a gateway ever showed are kept, in the order in which they
came (its own clock may be wrong). One number with two hashes is a log that was *rewritten*; where that goes on for another number, the
log goes on in two ways: *forked*, two devices or two disks with one name.
"""

from typing import Any

from django.db.models import Q

from tools.fleet import heads
from tools.fleet.models import Episode, Gateway, Head

HEADS = 20_000  # of one gateway: it makes one an hour, and they are kept for 400 days
BROKEN = ("cut", "rewritten", "forked")


def note(gateway: Gateway, health: dict[str, Any], now: int) -> None:
    """Hold a health's head against those that are kept, and keep it."""
    number, text = health["audit"]["checkpoints"], health["audit"]["head"]
    rows = Head.objects.filter(gateway=gateway)
    newest = rows.order_by("-number").values_list("number", flat=True).first()
    known = list(rows.filter(Q(number=number) | Q(number=newest)))
    seen = [heads.Head(min(row.received, now - 1), row.number, row.hash) for row in known]
    wrong = heads.finding(seen, heads.Head(now, number, text))
    if wrong == "cut":
        Episode.begin(gateway, "cut", now)
    if wrong == "forked":
        rows.filter(number=number).update(other=text)
        Episode.begin(gateway, "rewritten" if rows.exclude(other="").count() == 1 else "forked", now)
    if all(row.number != number for row in known) and rows.count() < HEADS:
        Head.objects.create(gateway=gateway, number=number, hash=text, received=now)


def verdicts(ident: str | None) -> list[dict[str, Any]]:
    """Return for each gateway, or one, its newest head as NUMBER:HASH ("" before the first) and what is wrong with its log."""
    found = []
    for gateway in Gateway.objects.filter(**({"ident": ident} if ident else {})).order_by("ident"):
        head = Head.objects.filter(gateway=gateway, number__gt=0).order_by("-number").first()
        kinds = Episode.objects.filter(gateway=gateway, kind__in=BROKEN, ended=None).order_by("began").values_list("kind", flat=True)
        found.append({"gateway": gateway.ident, "head": f"{head.number}:{head.hash}" if head else "", "wrong": list(dict.fromkeys(kinds))})
    return found
