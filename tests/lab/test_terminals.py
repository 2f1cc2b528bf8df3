# SPDX-License-Identifier: Apache-2.0
"""Whose connection it is, on the real kernel.

Address hand-over, forged ARP, a LAN that is renumbered or goes, no connection tracking.

Three terminals; each connection is one exchange of datagrams from a source port
of its own, which names it in the vault.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from host_sim.lab.lab import Lab
from host_sim.lab.network import GATEWAY_4, GATEWAY_6, INTERNET_4, INTERNET_6, RULES, Terminal, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto"),
]
A, B, C = range(3)
# Seconds: what ended in the four before a change was read is nobody's, and in as many more as it was read late
DOUBT = 8
# An exchange: an address, where to, and a source port; nobody needs to answer.
EXCHANGE = """
import socket, sys
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.settimeout(float(sys.argv[4]))
    one.bind((source, port))
    one.sendto(b"9 hello", (target, 5000))
    try:
        one.recv(100)
    except TimeoutError:
        pass
"""
# Says, to everybody and unasked, that an address is this one's (RFC 826; an answer that nobody asked for).
CLAIM = """
import socket, sys
own, address = bytes.fromhex(sys.argv[1]), socket.inet_aton(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0x0806))
    head = b"\\xff" * 6 + own + b"\\x08\\x06" + b"\\0\\1\\x08\\0\\6\\4\\0\\2"
    wire.send(head + own + address + b"\\xff" * 6 + address)
"""


class Venue:
    """A lab with a recorder and its three terminals."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.terminals = lab.network.terminals
        self.gateway = lab.network.gateway

    def start(self) -> None:
        self.lab.device.start("recorder")
        self.lab.device.wait_for_recorder()
        self.lab.confirm_time()

    def ip(self, namespace: str, *lines: str) -> None:
        run("ip", "-n", namespace, "-batch", "-", given="\n".join(lines) + "\n")

    def python(self, terminal: Terminal, script: str, *words: str) -> None:
        command = self.lab.network.inside(terminal.namespace, sys.executable, "-c", script, *words)
        subprocess.run(command, check=True, capture_output=True, timeout=240)

    def exchange(self, number: int, source: str, port: int, patience: float = 2) -> None:
        """Let a terminal make one connection from an address that it has."""
        target = INTERNET_6 if ":" in source else INTERNET_4
        self.python(self.terminals[number], EXCHANGE, source, target, str(port), str(patience))

    def claim(self, number: int, address: str) -> None:
        """Let a terminal say that an address is its own."""
        self.python(self.terminals[number], CLAIM, self.terminals[number].mac.hex(), address)

    def counters(self) -> dict[str, int]:
        return {name: count for name, count in self.lab.device.call({"call": "status"})["counters"].items() if count}

    def handed_over(self, times: int) -> None:
        """Wait until the recorder has read of so many changes of hands: a busy machine lets it wait for its turn."""
        self.lab.wait(lambda: self.counters().get("addresses handed over") == times, "no change of hands is read", 120)

    def log(self) -> list[str]:
        return [
            line.removeprefix("oubli recorder: ") for line in self.lab.device.log("recorder").read_text().splitlines()
        ]

    def holders(self, *ports: int) -> list[int | None]:
        """Wait until the kernel has told of these connections; return whose each is by the vault (None: unknown)."""

        def told() -> dict[int, bytes]:
            run(*self.lab.network.inside(self.gateway, "cat", "/proc/net/nf_conntrack"))  # evicts what has timed out
            return {record.source_port: bytes(record.mac) for record in self.lab.records()}

        self.lab.wait(lambda: set(ports) <= set(told()), "connections are missing", 120)
        macs = {terminal.mac: number for number, terminal in enumerate(self.terminals)}
        found = told()
        return [macs.get(found[port]) for port in ports]


@contextmanager
def venue(interpreter: str) -> Iterator[Venue]:
    with Lab(interpreter, terminals=3) as lab:
        lab.network.set_timeout("udp_timeout", 3)
        lab.network.set_timeout("udp_timeout_stream", 3)
        yield Venue(lab)


BOTH = pytest.mark.parametrize("name", ["cpython", pytest.param("micropython", marks=pytest.mark.needs("micropython"))])


@BOTH
def test_connection_stays_with_who_held_the_address_when_it_began(name: str) -> None:
    """A's address goes to B between the end of A's connection and the kernel's word of it.

    What begins within four seconds before the kernel's word of B is nobody's who is known.
    B asks nobody for the gateway: the kernel hears of B only when it has an answer for B.
    """
    with venue(name) as place:
        for setting in ("udp_timeout", "udp_timeout_stream"):
            place.lab.network.set_timeout(setting, DOUBT + 4)
        place.start()
        a, b = place.terminals[A], place.terminals[B]
        [lan] = json.loads(run("ip", "-n", place.gateway, "-j", "link", "show", "lan"))
        known = (f"neigh add {ip} lladdr {lan['address']} nud permanent dev eth0" for ip in (GATEWAY_4, GATEWAY_6))
        place.ip(b.namespace, *known)
        place.exchange(A, a.address4, 21000)
        place.exchange(A, a.address6, 21001)
        time.sleep(DOUBT)
        place.ip(a.namespace, f"addr del {a.address4}/24 dev eth0", f"addr del {a.address6}/64 dev eth0")
        place.ip(place.gateway, "neigh flush dev lan")
        place.ip(b.namespace, f"addr add {a.address4}/24 dev eth0", f"addr add {a.address6}/64 dev eth0 nodad")
        place.exchange(B, a.address4, 21002)
        place.exchange(B, a.address6, 21003)
        place.handed_over(2)
        place.exchange(B, a.address4, 21004)
        place.exchange(B, a.address6, 21005)
        assert place.holders(*range(21000, 21006)) == [A, A, None, None, B, B]
        assert place.counters()["addresses handed over"] == 2
        assert place.counters()["unknown terminal"] == 2


@BOTH
def test_forged_neighbour_entry_is_recorded_as_the_kernel_treats_it_and_shows(name: str) -> None:
    """The kernel sends the answers to the forger: what begins meanwhile is the forger's.

    What began before, and after, is not.
    """
    with venue(name) as place:
        a = place.terminals[A]
        place.start()
        place.exchange(A, a.address4, 22000)
        time.sleep(DOUBT)
        place.claim(C, a.address4)
        place.handed_over(1)
        place.exchange(A, a.address4, 22001, patience=0.2)
        time.sleep(DOUBT)
        place.claim(A, a.address4)
        place.handed_over(2)
        place.exchange(A, a.address4, 22002)
        assert place.holders(22000, 22001, 22002) == [A, C, A]
        assert place.counters()["addresses handed over"] == 2


@BOTH
def test_lan_that_is_renumbered_or_goes_and_comes_again_is_followed(name: str) -> None:
    """The recorder runs on, says what is missing, and knows the terminals again."""
    with venue(name) as place:
        place.start()
        a, gateway = place.terminals[A], place.gateway
        place.exchange(A, a.address4, 24000)
        place.ip(gateway, "addr add 192.168.77.1/24 dev lan", f"addr del {GATEWAY_4}/24 dev lan")
        place.ip(
            a.namespace,
            f"addr del {a.address4}/24 dev eth0",
            "addr add 192.168.77.9/24 dev eth0",
            "route add default via 192.168.77.1",
        )
        time.sleep(2)  # just after such a change a newcomer has nothing that began before he was told of
        place.exchange(A, "192.168.77.9", 24001)
        assert place.holders(24000, 24001) == [A, A]
        place.exchange(A, "192.168.77.9", 24002)
        place.ip(gateway, "link del lan")
        place.lab.wait(
            lambda: "no interface of gateway.lan is called lan" in place.log(), "the recorder doesn't miss its LAN", 120
        )
        place.ip(
            gateway,
            "link add lan type bridge",
            "addr add 192.168.77.1/24 dev lan",
            f"addr add {GATEWAY_6}/64 dev lan nodad",
            "link set lan up",
            *(f"link set lan{number} master lan" for number in range(3)),
        )
        place.lab.wait(
            lambda: "every interface of gateway.lan is there again" in place.log(),
            "the recorder doesn't see its LAN",
            120,
        )
        time.sleep(2)
        place.exchange(A, "192.168.77.9", 24003, patience=4)
        assert place.holders(24002, 24003) == [A, A]
        assert "excluded: outside" not in place.counters()


@BOTH
def test_recorder_waits_where_there_is_no_connection_tracking(name: str) -> None:
    """Its hooks are gone when it starts, come, go and come again.

    No crash, nothing counted meanwhile, and it goes on.
    """
    with venue(name) as place:
        inside = place.lab.network.inside(place.gateway)
        run(*inside, "nft", "delete", "table", "inet", "lab")
        place.start()
        place.exchange(A, place.terminals[A].address4, 25000, patience=0.3)
        for port in (25001, 25002):
            run(*inside, "nft", "-f", "-", given=RULES)
            place.exchange(A, place.terminals[A].address4, port)
            assert place.holders(port) == [A]
            run(*inside, "nft", "delete", "table", "inet", "lab")
        assert place.counters()["kept"] == 2
        assert place.lab.device.stop("recorder") == 0
        assert place.log()[-1] == "stopped"


@BOTH
def test_changes_of_neighbours_that_the_kernel_drops_make_nobody_somebody_else(name: str) -> None:
    """A's address goes to B and back while the recorder stands still, among more changes than its socket holds.

    What began meanwhile is nobody's who is known (L34-I-2).
    """
    with venue(name) as place:
        place.start()
        a, b = place.terminals[A], place.terminals[B]
        place.exchange(A, a.address4, 26000)
        time.sleep(5.5)  # longer than a change may take to be told of and read, and than the loop's last turn is ago
        recorder = place.lab.device.pid("recorder")
        os.kill(recorder, signal.SIGSTOP)
        for turn in range(20):
            others = (f"192.168.77.{host} lladdr 02:00:00:00:{turn:02x}:{host:02x}" for host in range(1, 251))
            place.ip(place.gateway, *(f"neigh replace {other} dev lan nud reachable" for other in others))
        mine = f"neigh replace {a.address4} dev lan nud reachable lladdr "
        place.ip(place.gateway, mine + b.mac.hex(":"))
        place.exchange(A, a.address4, 26001, patience=0.2)
        place.ip(place.gateway, mine + a.mac.hex(":"))
        os.kill(recorder, signal.SIGCONT)
        place.lab.wait(lambda: place.counters().get("neighbour overruns"), "no change was dropped", 120)
        time.sleep(2.5)
        place.exchange(A, a.address4, 26002)
        assert place.holders(26000, 26001, 26002) == [A, None, A]
