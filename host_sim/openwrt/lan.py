# SPDX-License-Identifier: Apache-2.0
"""The terminals: each a namespace with a card, a lease from the gateway's DHCP and addresses by its advertisements.

`generate` has them hold the lab's conversations: TCP, UDP and ICMP over both families, with all their endings.
"""

import json
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

from host_sim.lab import traffic
from host_sim.lab.network import LabError, Terminal
from host_sim.lab.plan import FIRST_PORT, Canary, plan, ports_used
from host_sim.openwrt.machine import BUILT, Machine
from host_sim.openwrt.network import CARD, GATEWAY, LINK_LOCAL, Wires

BEGUN_BY = re.compile(r"^.*? src=(\S+)", re.MULTILINE)  # a line's first source; the second one is of the answer
BOUND = """#!/bin/sh
[ "$1" != bound ] || { ip addr replace "$ip/$mask" dev "$interface" && ip route replace default via "$router"; }
"""


class Lan:
    """The terminals of one bridge; `first` numbers their namespaces."""

    def __init__(self, wires: Wires, folder: Path, bridge: str = "lan", first: int = 0) -> None:
        self.terminals: list[Terminal] = []
        self.canary = Canary()
        self._wires, self._folder, self._bridge, self._next = wires, folder, bridge, first
        self._first_port = FIRST_PORT
        self._script = folder / "bound"
        self._script.write_text(BOUND)
        self._script.chmod(0o755)
        self.canary4, self.canary6 = wires.canary4, wires.canary6  # what `plan` asks of a network

    def join(self, count: int = 1, seconds: float = 60) -> list[Terminal]:
        """Plug terminals in and wait until each has a lease and a global IPv6 address."""
        joined = []
        for _ in range(count):
            mac = bytes([0x06, 0xC4]) + secrets.token_bytes(4)
            joined.append(Terminal(self._wires.plug(self._next, mac, self._bridge), mac, "", ""))
            self._next += 1
        joined = self._leased(joined, seconds)
        self.terminals += joined
        return joined

    def rejoin(self, seconds: float = 60) -> None:
        """Take each terminal's link down and up, as its access point's start does; its addresses may change."""
        for terminal in self.terminals:
            for state in ("down", "up"):
                self._wires.batch(terminal.namespace, f"link set eth0 {state}")
        self.terminals = self._leased(self.terminals, seconds)

    def know_router(self) -> None:
        """Let no terminal ask which card the gateway has: it answers late while hundreds begin to talk at once."""
        for terminal in self.terminals:
            known = (f"neigh replace {router} lladdr {CARD} nud permanent dev eth0" for router in (GATEWAY, LINK_LOCAL))
            self._wires.batch(terminal.namespace, *known)

    def _leased(self, terminals: list[Terminal], seconds: float) -> list[Terminal]:
        """Let terminals ask for leases, all at once, and return them with their addresses.

        Whoever is given up on asks again, as a phone does: a server that was started anew forgot its offer.
        """
        tries = ["-n", "-q", "-t", str(int(seconds / 3)), "-T", "3"]
        words = [str(BUILT / "host/busybox"), "udhcpc", "-i", "eth0", "-s", str(self._script), *tries]
        waiting, deadline = terminals, time.monotonic() + seconds
        while waiting:
            asking = [
                subprocess.Popen(
                    self._wires.inside(one.namespace, *words),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for one in waiting
            ]
            said = [one.communicate()[1] for one in asking]
            waiting = [one for one, asked in zip(waiting, asking, strict=True) if asked.returncode != 0]
            if waiting and time.monotonic() > deadline:
                raise LabError(f"{len(waiting)} terminals get no lease: {said[-1].strip()[-300:]}")
        return [
            Terminal(
                one.namespace, one.mac, *(self._address(one.namespace, family, seconds) for family in ("inet", "inet6"))
            )
            for one in terminals
        ]

    def _address(self, namespace: str, family: str, seconds: float) -> str:
        """Return a terminal's address; of IPv6 the one under the prefix that the internet delegated."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            said = subprocess.run(
                ["ip", "-n", namespace, "-j", "addr", "show", "dev", "eth0"], capture_output=True, check=True
            ).stdout
            for address in json.loads(said)[0]["addr_info"]:
                if address["family"] == family and (family == "inet" or address["local"].startswith("2001:db8:2:1")):
                    return str(address["local"])
            time.sleep(0.3)
        raise LabError(f"a terminal got no {family} address")

    def run(self, terminal: Terminal, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs as a terminal."""
        command = self._wires.inside(terminal.namespace, *words)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)

    def generate(self, connections: int, among: list[Terminal] | None = None) -> int:
        """Hold so many conversations, dealt out among the terminals or some of them; returns when all are through."""
        # They ask for terminals and canaries alone
        here: Any = SimpleNamespace(
            terminals=self.terminals if among is None else among, canary4=self.canary4, canary6=self.canary6
        )
        parts = plan(here, connections, self._first_port)
        self._first_port += ports_used(here, connections)
        running = []
        for terminal in here.terminals:
            words = self._wires.inside(terminal.namespace, sys.executable, traffic.__file__, "terminal")
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
            )
            with cast("IO[bytes]", process.stdin) as given:
                given.write(json.dumps({"canary": self.canary.payload(), "acts": parts[terminal.namespace]}).encode())
            running.append(process)
        wrong = ""
        for process in running:
            with cast("IO[bytes]", process.stderr) as errors:
                said = errors.read().decode(errors="replace")
            wrong = said if process.wait() != 0 else wrong
        if wrong:
            raise LabError(f"a terminal failed: {wrong[-500:]}")
        return connections

    def ended(self, machine: Machine, seconds: float) -> None:
        """Wait until the gateway's kernel holds none of their conversations; a reading drops those timed out."""
        sources = {spelled for terminal in self.terminals for spelled in self._wires.spelled(terminal)}
        machine.wait(
            lambda: not sources & {*BEGUN_BY.findall(machine.run("cat /proc/net/nf_conntrack"))},
            "the terminals' conversations don't end", seconds, 0.5,
        )  # fmt: skip
