# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows of itself on the agent-day of a comparison, as the kernel's messages."""

from dataclasses import dataclass

from agent.summary.day import day_of
from host_sim.venue import kernel

SECOND, HOUR, DAY = 10**9, 3600, 86400
TODAY = day_of(1795000000)
OPENS = TODAY * DAY + 3 * HOUR  # 03:00 UTC


@dataclass(order=True)
class Sign:
    """A sign of life of a terminal: a connection that ends, or one that `lives` and is listed.

    Times in seconds after 03:00.
    """

    at: int
    terminal: int
    lasts: int = 60
    octets: int = 1000
    port: int = 443
    lives: bool = False
    six: bool = False  # by its second address

    def messages(self) -> tuple[bytes, bytes, bool]:
        """Return the neighbour's message, the connection's, and True if that is from the list of what lasts."""
        mac = mac_of(self.terminal)
        low = (self.terminal % 65_000 + 2).to_bytes(2, "big")  # the same address may be another MAC's next
        source = bytes.fromhex("20010db8ca4e0001") + bytes(6) + low if self.six else b"\x0a\x14" + low
        family, there = (kernel.INET6, bytes(15) + b"\x01") if self.six else (kernel.INET, b"\xcb\0\x71\1")
        now = (OPENS + self.at) * SECOND
        flow = kernel.Flow(
            family, kernel.UDP, source, there, 40000, self.port, there, source, self.port, 40000, kernel.SEEN_REPLY,
            now - (30 + self.lasts) * SECOND, packets_up=1, packets_down=1, bytes_up=self.octets, bytes_down=0,
            stop=now,
        )  # fmt: skip
        if self.lives:
            flow.timeout = 30
        event = kernel.conntrack("entry" if self.lives else "destroy", flow)
        return kernel.neighbour(kernel.Neighbour(source, mac)), event, self.lives


def mac_of(terminal: int) -> bytes:
    """Return a terminal's MAC."""
    return b"\x02\x11" + terminal.to_bytes(4, "big")


class Address(Sign):
    """A guest takes one more IPv6 address, and a connection ends by it; `octets` numbers it."""

    def messages(self) -> tuple[bytes, bytes, bool]:
        """Return the neighbour's message and the connection's."""
        source, there = bytes.fromhex("20010db8ca4e0001") + self.octets.to_bytes(8, "big"), bytes(15) + b"\x01"
        now = (OPENS + self.at) * SECOND
        flow = kernel.Flow(
            kernel.INET6, kernel.UDP, source, there, 40000, 443, there, source, 443, 40000, kernel.SEEN_REPLY,
            now - 31 * SECOND, packets_up=1, packets_down=1, bytes_up=100, bytes_down=0, stop=now,
        )  # fmt: skip
        return (
            kernel.neighbour(kernel.Neighbour(source, mac_of(self.terminal))),
            kernel.conntrack("destroy", flow),
            False,
        )


class Claim(Sign):
    """A guest forges a neighbour: one more IPv4 address that nobody has, and a connection ends by it.

    `octets` numbers it.
    """

    def messages(self) -> tuple[bytes, bytes, bool]:
        """Return the neighbour's message and the connection's."""
        number = 40_000 + self.octets
        source = b"\x0a\x14" + number.to_bytes(2, "big")
        _, event, lives = Sign(self.at, number - 2, 1, 100).messages()
        return kernel.neighbour(kernel.Neighbour(source, mac_of(self.terminal))), event, lives
