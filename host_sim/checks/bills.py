# SPDX-License-Identifier: Apache-2.0
"""Holds what sessions are billed against the volumes of the connections in them."""

from collections.abc import Iterator

from agent.purposes.billing import record as billing
from host_sim.venue.truth import Kept

STRANGER = "a session of nobody who was there, or one that says both user and MAC"

Who = tuple[str, bytes]  # portal user, or MAC


class Bills:
    """Octets up and down by whom they may be billed to: of the connections that were told, and as billed."""

    def __init__(self) -> None:
        self._volumes: dict[Who, list[int]] = {}
        self._billed: dict[Who, list[int]] = {}
        self._young: set[Who] = set()  # of which one connection or another may be billed to the other

    def tell(self, one: Kept) -> None:
        """The recorder was told of this connection."""
        user = one.subscriber.user
        may = {(user, b"") if user else ("", one.mac)}
        # It may have begun before the log-in, for all the recorder knows
        if one.subscriber.young or not one.notice.exact:
            may.add(("", one.mac))
            self._young |= may
        for who in may:
            _add(self._volumes, who, one.bytes_up, one.bytes_down)

    def read(self, record: billing.Record) -> bool:
        """A record was read; False where nobody who was there can have made it."""
        who = record.portal_user.decode(errors="replace"), record.mac
        _add(self._billed, who, record.bytes_up, record.bytes_down)
        return who in self._volumes or not (record.bytes_up or record.bytes_down)

    def wrong(self, *, whole: bool, disturbed: bool) -> Iterator[str]:
        """Yield what is wrong once every session is written.

        `disturbed`: something may be missing. `whole`: each must have its connections' volumes.
        """
        # One without octets may have been written before its first connection ended
        if self._billed.keys() - self._volumes.keys() and not disturbed:
            yield STRANGER
        for who, volumes in self._volumes.items():
            billed = self._billed.get(who, [0, 0])
            more = billed[0] > volumes[0] or billed[1] > volumes[1]
            if more or (billed != volumes and whole and who not in self._young):
                yield f"{billed} bytes are billed where {volumes} passed"


def _add(sums: dict[Who, list[int]], who: Who, up: int, down: int) -> None:
    both = sums.setdefault(who, [0, 0])
    both[0] += up
    both[1] += down
