# SPDX-License-Identifier: Apache-2.0
"""The heads of the gateways' audit logs, outside their reach (L34-VI-3): cut, rewritten or forked logs show.

tools/fleet/heads.py says when two heads contradict each other. Here all that a gateway ever showed are kept, in the
order in which they came (its own clock may be wrong). One number with two hashes is a log that was *rewritten*; where
that goes on for another number, the log goes on in two ways: *forked*, two devices or two disks with one name.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import OuterRef, Q, Subquery

from tools.fleet import heads
from tools.fleet.episodes import Episodes
from tools.fleet.models import Episode, Gateway, Head

BROKEN = ("cut", "rewritten", "forked")
TOGETHER = 200  # heads that one query looks for: SQLite refuses an expression of more than a thousand
Told = tuple[int, int, str]  # a gateway's key, the number of its newest checkpoint, its hash


def note(told: Sequence[Told], episodes: Episodes, now: int) -> None:
    """Hold the heads of one batch of healths against those that are kept, in their order, and keep them."""
    if not told:
        return
    newest = _newest({gateway for gateway, _, _ in told})
    wanted = {(gateway, number) for gateway, number, _ in told} | {
        (gateway, number) for gateway, number in newest.items() if number
    }
    kept = {(one.gateway_id, one.number): one for one in _among(sorted(wanted))}
    new: list[Head] = []
    for gateway, number, text in told:
        known = [kept[place] for place in {(gateway, number), (gateway, newest[gateway])} if place in kept]
        seen = [heads.Head(min(one.received, now - 1), one.number, one.hash) for one in known]
        wrong = heads.finding(seen, heads.Head(now, number, text))
        if wrong == "cut":
            episodes.begin(gateway, "cut")
        if wrong == "forked":
            Head.objects.bulk_create(new)
            new = []
            rows = Head.objects.filter(gateway=gateway)
            rows.filter(number=number).update(other=text)
            episodes.begin(gateway, "rewritten" if rows.exclude(other="").count() == 1 else "forked")
        if (gateway, number) not in kept:
            kept[gateway, number] = Head(gateway_id=gateway, number=number, hash=text, received=now)
            new.append(kept[gateway, number])
        newest[gateway] = max(number, newest[gateway] or 0)
    Head.objects.bulk_create(new)


def _among(wanted: Sequence[tuple[int, int]]) -> Iterator[Head]:
    for start in range(0, len(wanted), TOGETHER):
        yield from Head.objects.filter(
            reduce(or_, (Q(gateway=one, number=number) for one, number in wanted[start : start + TOGETHER]))
        )


def _newest(gateways: Collection[int]) -> dict[int, int | None]:
    """Return the number of each gateway's newest checkpoint that is kept."""
    one = Head.objects.filter(gateway=OuterRef("pk")).order_by("-number").values("number")[:1]
    return dict(Gateway.objects.filter(pk__in=gateways).values_list("pk", Subquery(one)))


def verdicts(ident: str | None) -> list[dict[str, Any]]:
    """Return each (or one) gateway's newest head as NUMBER:HASH ("": none yet) and what is wrong with its log."""
    found = []
    for gateway in Gateway.objects.filter(**({"ident": ident} if ident else {})).order_by("ident"):
        head = Head.objects.filter(gateway=gateway, number__gt=0).order_by("-number").first()
        kinds = (
            Episode.objects.filter(gateway=gateway, kind__in=BROKEN, ended=None)
            .order_by("began")
            .values_list("kind", flat=True)
        )
        found.append(
            {
                "gateway": gateway.ident,
                "head": f"{head.number}:{head.hash}" if head else "",
                "wrong": list(dict.fromkeys(kinds)),
            }
        )
    return found
