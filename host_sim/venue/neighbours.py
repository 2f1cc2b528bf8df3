# SPDX-License-Identifier: Apache-2.0
"""Who has which address on the gateway's network, as its kernel knows it, and whose a connection is by that."""

from collections import Counter
from typing import TYPE_CHECKING

from host_sim.venue.device_clock import SECOND

if TYPE_CHECKING:
    from host_sim.venue.table import Entry
    from host_sim.venue.world import World

ADDRESSES, HOLDERS = 32, 8  # of one MAC, and of one address: more need not be remembered (agent.capture.address_table)
# Before an address changes hands: what begins then may be the newcomer's, whose first packets may come before the word
_NOTICE = SECOND
_ASKED = 3 * SECOND  # the kernel asks three times for a MAC before it tells
_STOOD = 35 * SECOND  # as long as a recorder may stand still and go on, and more


class Neighbours:
    """The kernel's neighbours. `holders`: address to the MAC that has it now; all times true ns."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.holders: dict[bytes, bytes] = {}
        self._handed: dict[bytes, list[tuple[int, bytes]]] = {}  # address -> when it changed hands, and to whom
        # What an examiner holds answers against: the same since the beginning, over cuts of power
        self._ever: dict[bytes, list[tuple[int, bytes]]] = {}
        self._unread: dict[
            bytes, tuple[int, int]
        ] = {}  # address -> when it last changed hands unread, and when it was read
        self._associations = 0  # that the kernel has told of since the recorder knows nothing of before
        self._heard_since = 0

    def heard(self, now: int, *, anew: bool) -> None:
        """A recorder listens from now on; `anew`: it knows nothing of before."""
        self._heard_since = now
        if anew:  # the kernel tells it of all whom it has now
            self._associations = sum(min(count, ADDRESSES) for count in Counter(self.holders.values()).values())

    def forget(self) -> None:
        """A cut of power."""
        self.holders.clear()
        self._handed.clear()

    def tell(self, now: int, address: bytes, mac: bytes) -> None:
        """The kernel has a MAC as its neighbour at an address."""
        if self.holders.get(address) != mac or address not in self._handed:
            self._handed.setdefault(address, []).append((now, mac))
            if self._world.gateway.still:
                self._unread[address] = now - _STOOD, self._world.gateway.still
            self._associations += len(self._world.truth.terminals.get(mac, ())) <= ADDRESSES
        self.holders[address] = mac
        if self._world.scenario.purposes.attribution:
            ever = self._ever.setdefault(address, [])
            if not ever or ever[-1][1] != mac:
                ever.append((now, mac))

    def held(self, address: bytes, mac: bytes, first: int, last: int) -> bool:
        """Return True if a terminal was the kernel's neighbour at an address at some moment from `first` to `last`."""
        told = self._ever.get(address, [])
        ends = [since for since, _ in told[1:]] + [last]
        return any(
            who == mac and since <= last + _NOTICE and end >= first
            for (since, who), end in zip(told, ends, strict=False)
        )

    def ever_holder(self, entry: "Entry") -> bytes:
        """Return who held a connection's address when it began, by all that the kernel was ever told."""
        told = [who for since, who in self._ever.get(entry.source, ()) if since <= entry.first + _NOTICE]
        return told[-1] if told else entry.holder

    def holder(self, entry: "Entry") -> bytes:
        """Return who held a connection's address when it began."""
        for since, mac in reversed(self._handed.get(entry.source, ())):
            if since <= entry.first + _NOTICE:
                return mac
        return entry.holder

    def known(self, entry: "Entry", mac: bytes) -> tuple[bool, bool]:
        """Return whether the recorder may know whose a connection is, and whether it must.

        It has room for that at worst, and the address didn't change hands just then, or before its last packet.
        """
        handed, rows = self._handed.get(entry.source, ()), self._world.scenario.gateway.rows
        few = len(self._world.truth.terminals.get(mac, ())) <= ADDRESSES and len(handed) <= HOLDERS
        clear = not any(entry.first < since <= entry.last + 2 * _NOTICE + _ASKED for since, _ in handed[1:])
        begins, read = self._unread.get(entry.source, (0, 0))
        clear = clear and not begins <= entry.first < read
        return entry.first >= self._heard_since, few and clear and self._associations <= 4 * rows
