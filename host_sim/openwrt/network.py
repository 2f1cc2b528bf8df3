# SPDX-License-Identifier: Apache-2.0
"""The wires: a namespace for QEMU with a bridge a network (lan, wan, guest).

Besides the internet, an administrator, and the terminals.

QEMU's three network cards end in taps of those bridges, in the order in which OpenWrt on x86-64 takes them: eth0 is the
LAN, eth1 the WAN; eth2 is free for a guest network. Nothing outside these namespaces is touched.
"""

from typing import TYPE_CHECKING

from host_sim.lab.network import INTERNET_4, INTERNET_6, SILENCE, Network, run

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY = "192.168.1.1"  # OpenWrt's own choice
CARD, LINK_LOCAL = "52:54:00:00:00:01", "fe80::5054:ff:fe00:1"  # of the gateway's LAN
ADMINISTRATOR = "192.168.1.10"
# Named servers have addresses that dnsmasq doesn't take for private ones: it would refuse them as a rebind attack.
SERVER = "198.18.0.10"
BRIDGES = ("lan", "wan", "guest")
PREFIX = "2001:db8:2:100::/56"  # what the internet delegates prefixes from


class Wires(Network):
    """The namespaces, from `with` to their removal; `terminals` grows by `plug`."""

    def __init__(self) -> None:
        super().__init__(0)
        self.switch, self.administrator = f"{self.name}-switch", f"{self.name}-admin"
        self._plugged: list[str] = []

    def __enter__(self) -> "Wires":
        super().__enter__()
        return self

    @property
    def namespaces(self) -> list[str]:
        """Every namespace that is there."""
        return [self.switch, self.internet, self.administrator, *self._plugged]

    def _make(self) -> None:
        for namespace in self.namespaces:
            self._add(namespace)
        self._sysctl(self.switch, {f"net/ipv6/conf/{which}/disable_ipv6": 1 for which in ("all", "default")})
        self._sysctl(self.internet, {f"net/ipv6/conf/{which}/forwarding": 1 for which in ("all", "default")})
        self.batch(
            self.switch,
            *(line for bridge in BRIDGES for line in self._bridge(bridge)),
            f"link add to-wan type veth peer name wan netns {self.internet}",
            "link set to-wan master wan up",
            f"link add to-admin type veth peer name eth0 netns {self.administrator}",
            "link set to-admin master lan up",
        )
        self.batch(
            self.internet,
            f"addr add {INTERNET_4}/24 dev wan",
            f"addr add {SERVER}/32 dev lo",
            f"addr add {INTERNET_6}/64 dev wan nodad",
            f"addr add {PREFIX.replace('::/', '::1/')} dev wan nodad noprefixroute",
            "link set wan up",
            *(f"addr add {address}/32 dev lo" for address in self.canary4),
            *(f"addr add {address}/128 dev lo nodad" for address in self.canary6),
        )
        run(*self.inside(self.internet, "nft", "-f", "-"), given=SILENCE)
        self.batch(self.administrator, f"addr add {ADMINISTRATOR}/24 dev eth0", "link set eth0 up")

    def _bridge(self, name: str) -> "Iterator[str]":
        yield f"link add {name} type bridge"
        yield f"link set {name} up"
        yield f"tuntap add tap-{name} mode tap"
        yield f"link set tap-{name} master {name} up"

    def _add(self, namespace: str) -> None:
        run("ip", "netns", "add", namespace)
        self._sysctl(namespace, {f"net/ipv6/conf/{which}/accept_dad": 0 for which in ("all", "default")})
        self.batch(namespace, "link set lo up")

    def plug(self, number: int, mac: bytes, bridge: str = "lan") -> str:
        """Connect a new namespace with a card `eth0` to a bridge; returns its name."""
        namespace = f"{self.name}-client{number}"
        self._plugged.append(namespace)
        self._add(namespace)
        self.batch(
            self.switch,
            f"link add port{number} type veth peer name eth0 address {mac.hex(':')} netns {namespace}",
            f"link set port{number} master {bridge} up",
        )
        self.batch(namespace, "link set eth0 up")
        return namespace
