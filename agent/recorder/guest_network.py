# SPDX-License-Identifier: Apache-2.0
"""Who is on the guests' network, and by which interfaces (L34-I-2)."""

from agent.capture import lan, neighbours
from agent.capture.address_table import AddressTable
from agent.config.uci import devices
from agent.runtime import files

_SECOND = 1000000000
REFRESH = 10 * _SECOND
SWEEP = 290 * _SECOND  # between two sweeps at least: where events are lost a dump may follow each second
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
        self._patience = monotonic + REFRESH
        self._sweep = 0  # ns since boot: not before
        self._handed: "object" = ()  # the networks' file, as it was when it was read
        self.follow()

    def introduced(self, monotonic: int) -> bool:
        """Return True if its terminals are listed, or given up on: a connection that ends has its terminal then."""
        return self.neighbours.complete or monotonic >= self._patience

    def follow(self) -> None:
        """Learn by which interfaces the guests come and packets leave, where that has changed."""
        stamp = files.stamp(self._paths.networks)
        if stamp == self._handed:
            return
        self._handed = stamp
        network = self._paths.network_file()
        ways_out = list(self._gateway.wan) + devices(self._gateway.wan, network)
        if self.lan.follow(devices(self._gateway.lan, network), ways_out):
            self.neighbours.restart()

    def sweep(self, monotonic: int) -> None:
        """Forget associations that nobody needs; call it after each dump of the live table."""
        if monotonic >= self._sweep:
            self._sweep = max(self._sweep, monotonic - SWEEP) + SWEEP  # some may come late
            self.holders.sweep(whole=self.neighbours.complete)

    def count(self) -> bool:
        """Add to the counters what became of associations; True where other interfaces of the LAN are missing now."""
        holders, values = self.holders, self._values
        values["addresses handed over"] += holders.handed_over
        values["associations given up"] += holders.given_up
        holders.handed_over = holders.given_up = 0
        if not self.neighbours.complete or self.lan.missing == self.missing:
            return False
        self.missing = self.lan.missing
        return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.base.paths import Paths
    from agent.config.config import Config
