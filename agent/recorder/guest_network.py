# SPDX-License-Identifier: Apache-2.0
"""Who is on the guests' network, and by which interfaces: the kernel's lists and the DHCP leases (L34-I-2)."""

from agent.capture import lan, leases, neighbours
from agent.capture.address_table import LEASE, AddressTable
from agent.config.uci import devices, lease_files

_SECOND = 1000000000
REFRESH = 10 * _SECOND
ADDRESSES_A_ROW = 4  # a terminal has one IPv4 address and a few of IPv6


class GuestNetwork:
    """The address table, and what fills it in.

    `wall()` is ns since the epoch by the present time line, `values` are the recorder's counters, `monotonic` is ns
    since boot.
    """

    def __init__(
        self, config: "Config", paths: "Paths", wall: "Callable[[], int]", values: "dict[str, int]", monotonic: int
    ) -> None:
        self.holders = AddressTable(ADDRESSES_A_ROW * config.summary.rows, wall())
        self.lan = lan.Lan((), self.holders, wall)
        self.neighbours = neighbours.Neighbours(self.lan)
        self.missing: "list[str]" = []  # interfaces of the LAN, when last looked at
        self._gateway = config.gateway
        self._paths = paths
        self._values = values
        self._leases = leases.Leases((), lambda: self.holders.doubt(LEASE), self.lan.lease)
        self._patience = monotonic + REFRESH
        self._next = monotonic
        self._handed: "object" = ()  # the networks' file, as it was when it was read
        self._follow()

    def introduced(self, monotonic: int) -> bool:
        """Return True if its terminals are listed, or given up on: a connection that ends has its terminal then."""
        return self.neighbours.complete or monotonic >= self._patience

    def _follow(self) -> None:
        """Learn by which interfaces the guests come and packets leave, and where leases lie, where that has changed."""
        stamp = leases.stamp(self._paths.networks)
        if stamp == self._handed:
            return
        self._handed = stamp
        network, dhcp = self._paths.network_files()
        ways_out = list(self._gateway.wan) + devices(self._gateway.wan, network)
        self._leases.paths = [self._paths.root + path for path in lease_files(dhcp)]
        if self.lan.follow(devices(self._gateway.lan, network), ways_out):
            self.neighbours.restart()

    def tick(self, wall: int, monotonic: int) -> None:
        """Read the leases where that is due; times in ns."""
        if monotonic >= self._next and self.read_leases(wall):
            self._next = monotonic + REFRESH

    def read_leases(self, wall: int) -> bool:
        """Read the leases where anything has changed; False as long as the kernel hasn't said which side is the LAN."""
        self._follow()
        if self.neighbours.complete:
            # Where an address changed hands, a lease may say otherwise.
            self._leases.refresh(wall, (self.holders.changes, self.lan.prefixes, self._handed))
        return self.neighbours.complete

    def count(self) -> bool:
        """Add to the counters what became of associations; True where other interfaces of the LAN are missing now."""
        holders, values = self.holders, self._values
        values["addresses handed over"] += holders.handed_over
        values["associations given up"] += holders.given_up
        values["address conflicts"] += holders.conflicts
        holders.handed_over = holders.given_up = holders.conflicts = 0
        if not self.neighbours.complete or self.lan.missing == self.missing:
            return False
        self.missing = self.lan.missing
        return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.base.paths import Paths
    from agent.config.config import Config
