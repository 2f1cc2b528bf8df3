# SPDX-License-Identifier: Apache-2.0
"""What begins and ends being wrong with one batch's gateways: read by one query, written by two."""

from collections.abc import Collection

from django.db.models import Q

from tools.fleet.models import Episode


class Episodes:
    """Episodes of gateways, open or ended within `Episode.APART` before `now`; the transaction holds their rows."""

    def __init__(self, gateways: Collection[int], now: int) -> None:
        self._now = now
        recent = Q(ended=None) | Q(ended__gt=now - Episode.APART)
        rows = Episode.objects.filter(recent, gateway__in=gateways).order_by("began") if gateways else ()
        self._last = {(one.gateway_id, one.kind): one for one in rows}
        self._new: list[Episode] = []
        self._changed: dict[int, Episode] = {}

    def begin(self, gateway: int, kind: str) -> None:
        """Open one unless one of its kind is open, or has just ended: then that one goes on."""
        last = self._last.get((gateway, kind))
        if last is None:
            self._last[gateway, kind] = last = Episode(gateway_id=gateway, kind=kind, began=self._now)
            self._new.append(last)
        elif last.ended is not None:
            self._end(last, None)

    def end(self, gateway: int, kind: str) -> None:
        """Close the one of this kind, if it is open."""
        last = self._last.get((gateway, kind))
        if last is not None and last.ended is None:
            self._end(last, self._now)

    def over(self, gateway: int, kind: str, began: int) -> None:
        """Note one that is over as it is noted."""
        self._new.append(Episode(gateway_id=gateway, kind=kind, began=began, ended=self._now))

    def _end(self, one: Episode, ended: int | None) -> None:
        one.ended = ended
        if one.pk is not None:
            self._changed[one.pk] = one

    def save(self) -> None:
        """Write what has changed."""
        Episode.objects.bulk_create(self._new)
        Episode.objects.bulk_update(self._changed.values(), ["ended"])
