# SPDX-License-Identifier: Apache-2.0
"""Which terminal is behind an address: in memory only, bounded, the oldest association forgotten first (L34-II-1).

Never written anywhere but inside a record under its purpose. An unknown address stays unknown and is counted by the caller.
"""


class Who:
    """At most `limit` associations of an address (4 or 16 octets) with a MAC (6 octets)."""

    def __init__(self, limit: int) -> None:
        self._macs: "dict[bytes, bytes]" = {}
        self._order: "list[bytes]" = []
        self._limit = limit
        self._oldest = 0

    def learn(self, address: bytes, mac: bytes) -> None:
        """Take note of a neighbour; a new holder of an address replaces the former one."""
        if address not in self._macs:
            if len(self._order) < self._limit:
                self._order.append(address)
            else:
                del self._macs[self._order[self._oldest]]
                self._order[self._oldest] = address
                self._oldest = (self._oldest + 1) % self._limit
        self._macs[address] = mac

    def find(self, address: bytes) -> "bytes | None":
        """Return the MAC behind an address, None where it isn't known."""
        return self._macs.get(address)
