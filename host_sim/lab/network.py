# SPDX-License-Identifier: Apache-2.0
"""The lab's own small internet: terminals, a gateway and a world behind it, each a real kernel's network namespace.

One namespace a terminal (own MAC, 192.168.1.100.. and fd00:1::100..) hangs on the gateway's bridge `lan`. The gateway
translates on its way out of `wan` (nftables masquerade, both families). The internet answers on 203.0.113.1,
2001:db8:2::1 and on unusual *canary* addresses that nobody may keep (L34-VI-1). Names carry this process's pid and
chance, so that labs run side by side, and nothing outside these namespaces is touched. Connection tracking is set up
before the first packet: events 1, accounting, timestamps (see "Capture" in the design), and timeouts of a few seconds
so that a run is quick.
"""

import ipaddress
import os
import secrets
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

GATEWAY_4, GATEWAY_6 = "192.168.1.1", "fd00:1::1"
WAN_4, WAN_6 = "203.0.113.2", "2001:db8:2::2"
INTERNET_4, INTERNET_6 = "203.0.113.1", "2001:db8:2::1"

# Seconds. Different on purpose: a duration that took the wrong state's timeout off is then wrong by a second or more.
# `unacknowledged` and `max_retrans` shorten no state here, so that the witness can name the timeout from the state
# alone.
TIMEOUTS = {
    "tcp_timeout_syn_sent": 4,
    "tcp_timeout_syn_recv": 2,
    "tcp_timeout_established": 6,
    "tcp_timeout_fin_wait": 7,
    "tcp_timeout_close_wait": 8,
    "tcp_timeout_last_ack": 9,
    "tcp_timeout_time_wait": 5,
    "tcp_timeout_close": 3,
    "tcp_timeout_max_retrans": 9,
    "tcp_timeout_unacknowledged": 9,
    "udp_timeout": 4,
    "udp_timeout_stream": 6,
    "icmp_timeout": 3,
    "icmpv6_timeout": 5,
    "generic_timeout": 4,
}
TRACKING = {"events": 1, "acct": 1, "timestamp": 1}

RULES = """
table inet lab {
  chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
  # The gateway's own reports of groups end some seconds after it starts, before or after a slow recorder listens:
  # they are no part of the lab.
  chain reports { type filter hook output priority raw; ip protocol igmp notrack; }
}
"""
# A port that never answers (the SYN stays alone) and one that never answers a datagram.
SILENCE = """
table inet lab {
  chain in { type filter hook input priority filter; tcp dport 9 drop; }
}
"""


class LabError(Exception):
    """The lab could not be set up, or something in it did not happen in time."""


def run(*command: str, given: str | None = None) -> str:
    """Run one command of the host and return what it printed; raises LabError with what it complained of."""
    done = subprocess.run(command, input=given, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise LabError(message)
    return done.stdout


@dataclass(frozen=True)
class Terminal:
    """One client of the hotspot: its namespace and what identifies it on the LAN."""

    namespace: str
    mac: bytes
    address4: str
    address6: str


class Network:
    """The namespaces; a context manager that removes all it made, processes inside included."""

    def __init__(self, terminals: int = 5) -> None:
        """Choose names and addresses; nothing is made yet."""
        self.name = f"oubli-{os.getpid()}-{secrets.token_hex(4)}"
        self.gateway, self.internet = f"{self.name}-gateway", f"{self.name}-internet"
        self.terminals = [
            Terminal(
                f"{self.name}-client{index}",
                bytes([0x06, 0xC4]) + secrets.token_bytes(4),
                f"192.168.1.{100 + index}",
                f"fd00:1::{100 + index}",
            )
            for index in range(terminals)
        ]
        low = secrets.randbelow(200) + 20
        self.canary4 = [f"198.18.{low}.{secrets.randbelow(200) + 20}", f"198.51.100.{low}"]
        self.canary6 = [f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::{secrets.randbelow(60000) + 4096:x}"]

    @property
    def namespaces(self) -> list[str]:
        """Every namespace of this lab."""
        return [self.gateway, self.internet, *(terminal.namespace for terminal in self.terminals)]

    def inside(self, namespace: str, *command: str) -> list[str]:
        """Return the command line that runs `command` in one of the namespaces, keeping the caller's pid."""
        return ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]

    def __enter__(self) -> "Network":
        """Make everything; on failure remove what was made so far."""
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove everything."""
        self.close()

    def _make(self) -> None:
        for namespace in self.namespaces:
            run("ip", "netns", "add", namespace)
            self._sysctl(namespace, {"net/ipv6/conf/all/accept_dad": 0, "net/ipv6/conf/default/accept_dad": 0})
        self._sysctl(
            self.gateway,
            {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1}
            | {f"net/netfilter/nf_conntrack_{key}": value for key, value in (TRACKING | TIMEOUTS).items()},
        )
        # The rules load connection tracking's hooks: before any address, so that every packet is seen.
        run(*self.inside(self.gateway, "nft", "-f", "-"), given=RULES)
        run(*self.inside(self.internet, "nft", "-f", "-"), given=SILENCE)
        self.batch(
            self.gateway,
            "link set lo up",
            "link add lan type bridge",
            f"link add wan type veth peer name wan netns {self.internet}",
            f"addr add {GATEWAY_4}/24 dev lan",
            f"addr add {GATEWAY_6}/64 dev lan nodad",
            f"addr add {WAN_4}/24 dev wan",
            f"addr add {WAN_6}/64 dev wan nodad",
            "link set lan up",
            "link set wan up",
            f"route add default via {INTERNET_4}",
            f"route add default via {INTERNET_6}",
        )
        self.batch(
            self.internet,
            "link set lo up",
            f"addr add {INTERNET_4}/24 dev wan",
            f"addr add {INTERNET_6}/64 dev wan nodad",
            "link set wan up",
            *(f"addr add {address}/32 dev lo" for address in self.canary4),
            *(f"addr add {address}/128 dev lo nodad" for address in self.canary6),
        )
        for index, terminal in enumerate(self.terminals):
            self.batch(
                self.gateway,
                f"link add lan{index} type veth peer name eth0 address {terminal.mac.hex(':')} netns "
                f"{terminal.namespace}",
                f"link set lan{index} master lan up",
            )
            self.batch(
                terminal.namespace,
                "link set lo up",
                f"addr add {terminal.address4}/24 dev eth0",
                f"addr add {terminal.address6}/64 dev eth0 nodad",
                "link set eth0 up",
                f"route add default via {GATEWAY_4}",
                f"route add default via {GATEWAY_6}",
            )

    def batch(self, namespace: str, *lines: str) -> None:
        """Run lines of ip(8) in a namespace."""
        run("ip", "-n", namespace, "-batch", "-", given="\n".join(lines) + "\n")

    def _sysctl(self, namespace: str, values: dict[str, int]) -> None:
        script = "".join(f"echo {value} > /proc/sys/{key}\n" for key, value in values.items())
        run(*self.inside(namespace, "sh", "-e"), given=script)

    def settle(self, neighbours: dict[str, bytes]) -> None:
        """Tell the gateway who else is on its LAN: addresses and their MACs."""
        self.batch(
            self.gateway,
            *(f"neigh add {ip} lladdr {mac.hex(':')} nud permanent dev lan" for ip, mac in neighbours.items()),
        )

    def leave(self, neighbours: Iterable[str]) -> None:
        """Tell the gateway who isn't on its LAN any more: addresses."""
        self.batch(self.gateway, *(f"neigh del {ip} dev lan" for ip in neighbours))

    def set_timeout(self, name: str, seconds: int) -> None:
        """Change one of the gateway's connection tracking timeouts while it runs."""
        self._sysctl(self.gateway, {f"net/netfilter/nf_conntrack_{name}": seconds})

    def tracked(self) -> int:
        """Poke the gateway's table and return how many of the terminals' entries are left.

        Reading it through /proc evicts what has timed out, in the kernel's own name. `conntrack -L` would do the same
        in its own, and each listener would then search all of /proc for the process behind every event.
        """
        table = run(*self.inside(self.gateway, "cat", "/proc/net/nf_conntrack"))
        sources = {f" src={address} " for terminal in self.terminals for address in self.spelled(terminal)}
        return sum(any(source in line for source in sources) for line in table.splitlines())

    def entries(self) -> int:
        """Poke the gateway's table and return how many entries are left that aren't the gateway's own."""
        table = run(*self.inside(self.gateway, "cat", "/proc/net/nf_conntrack"))
        own = (
            f" src={GATEWAY_4} ",
            f" src={WAN_4} ",
            f" src={INTERNET_4} ",
            f" src={ipaddress.ip_address(WAN_6).exploded} ",
        )
        return sum(
            not any(f"{one}" in line.split("dst=")[0] + " " for one in own)
            for line in table.splitlines()
            if " src=fe80" not in line
        )

    def spelled(self, terminal: Terminal) -> tuple[str, str]:
        """Return a terminal's addresses as /proc/net/nf_conntrack spells them."""
        return terminal.address4, ipaddress.ip_address(terminal.address6).exploded

    def close(self) -> None:
        """End what still runs inside, remove the namespaces; links and rules go with them."""
        for namespace in self.namespaces:
            if not Path("/run/netns", namespace).exists():
                continue
            pids = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
            for pid in pids.stdout.split():
                subprocess.run(["kill", "-KILL", pid], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)
