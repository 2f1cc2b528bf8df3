# SPDX-License-Identifier: Apache-2.0
"""What the lab's terminals are to do: a fixed mix, dealt out among them, and the canaries that go through.

All terminals use the same source ports (echo identifiers for ICMP), some of the time towards the same service: there
the gateway's translation must rewrite them, and the vault must hold both. No port is used twice, so that each
conversation is one tracked connection. The mix is counted off, not drawn: the same number of connections is the same
plan.
"""

import secrets
from dataclasses import dataclass, field

from host_sim.lab.network import INTERNET_4, INTERNET_6, Network
from host_sim.lab.traffic import REFUSED_PORT, SILENT_PORT, TCP_PORTS, UDP_PORTS

FIRST_PORT = 20000  # of the terminals; below and beyond the kernel's own range there is room for 40,000
LAST_PORT = 60000

# protocol, address family, way, share in 40: the usual mix, TCP first
MIX = (
    ("tcp", 4, "client", 9),
    ("tcp", 4, "server", 3),
    ("tcp", 4, "reset", 1),
    ("tcp", 6, "client", 6),
    ("tcp", 6, "server", 2),
    ("tcp", 6, "reset", 1),
    ("udp", 4, "answered", 7),
    ("udp", 6, "answered", 5),
    ("udp", 4, "unanswered", 1),
    ("udp", 6, "unanswered", 1),
    ("icmp", 4, "echo", 2),
    ("icmp", 6, "echo", 2),
)
# One of these in every forty, in turn: the endings that take long or end badly.
RARE = (
    ("tcp", 4, "vanish"),
    ("udp", 4, "stream"),
    ("tcp", 4, "slow"),
    ("tcp", 6, "half"),
    ("tcp", 4, "refused"),
    ("udp", 6, "stream"),
    ("tcp", 6, "silence"),
    ("tcp", 6, "slow"),
    ("tcp", 4, "half"),
    ("tcp", 6, "vanish"),
)


@dataclass(frozen=True)
class Canary:
    """Strings that go through the lab as payload and must be found nowhere: a body, a host name."""

    body: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}")
    host: str = field(default_factory=lambda: f"host-{secrets.token_hex(6)}.example")

    def payload(self) -> str:
        """Return what every packet starts with."""
        return f"GET /{self.body} HTTP/1.1 Host: {self.host} "


def _kinds(count: int) -> list[tuple[str, int, str]]:
    common = [(protocol, family, way) for protocol, family, way, share in MIX for _ in range(share)]
    # 7 and 40 have no common divisor: walking in steps of 7 mixes the protocols evenly.
    mixed = [common[(step * 7) % len(common)] for step in range(len(common))]
    kinds: list[tuple[str, int, str]] = []
    for forty in range(count // len(mixed) + 1):
        kinds += [*mixed, RARE[forty % len(RARE)]]
    return kinds[:count]


def plan(network: Network, connections: int, first_port: int = FIRST_PORT) -> dict[str, list[dict]]:
    """Return for each terminal's namespace the acts of its part; together exactly `connections` tracked connections.

    In one turn every terminal does the same thing from the same source port, in some turns towards the same service.
    """
    parts: dict[str, list[dict]] = {terminal.namespace: [] for terminal in network.terminals}
    targets = {4: [INTERNET_4, *network.canary4], 6: [INTERNET_6, *network.canary6]}
    kinds = _kinds(connections // len(parts) + 1)
    for number in range(connections):
        turn, index = divmod(number, len(parts))
        protocol, family, way = kinds[turn]
        shared = protocol == "icmp" or turn % 4 == 0
        ports = TCP_PORTS if protocol == "tcp" else UDP_PORTS
        parts[network.terminals[index].namespace].append(
            {
                "protocol": protocol,
                "way": way,
                "target": targets[family][0 if shared else number % len(targets[family])],
                "port": {"refused": REFUSED_PORT, "silence": SILENT_PORT}.get(way, ports[turn % 3]),
                "source_port": first_port + turn,
                "up": 160 + number % 700,
                "down": 100 + number % 1100,
                "rounds": 4 if way == "stream" else 1 + number % 3,
                "pause": {"slow": 1.5, "stream": 0.9}.get(way, 0),
            }
        )
    return parts


def ports_used(network: Network, connections: int) -> int:
    """Return how many source ports, from the first one on, such a plan takes on each terminal."""
    return connections // len(network.terminals) + 1
