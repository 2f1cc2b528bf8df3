# SPDX-License-Identifier: Apache-2.0
"""Port blocks on the real kernel: many terminals behind one public address (L34-II-4, RFC 7422).

`oubli-sim lab --port-blocks` runs it.

One namespace stands for the whole venue, with an address a terminal. The gateway's neighbour table says which MAC each
one has, as it would for phones. Datagrams, connection attempts and echo requests leave through the kernel's own
translation. Then two stores are asked the same: what the recorder kept (rows of leases, and the connections that no
block covers) and what `conntrack -E` saw, one record a connection. For every connection the terminals behind (public
address, protocol, port, time) must be the same.
"""

import ipaddress
import json
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from agent.purposes.attribution import record as attribution
from host_sim.driver.interpreters import MORE, NoInterpreterError
from host_sim.lab import loop
from host_sim.lab.asking import ask, behind
from host_sim.lab.custodian import ATTRIBUTION, BILLING, Custodian
from host_sim.lab.device import usable
from host_sim.lab.lab import Lab
from host_sim.lab.network import INTERNET_4, WAN_4, LabError
from host_sim.lab.signals import take_signals
from host_sim.lab.witness import Seen
from tools.commands import Program
from tools.custodian import matching

NETWORK = ipaddress.ip_network("10.77.0.0/21")
PORTS = (5000, 53, 443)

# Sends, in its namespace: a line of JSON, [[source, kind, port], ...]; nobody needs to answer.
SENDER = """
import json, socket, struct, sys, time
target = sys.argv[1]
held = []
for number, (source, kind, port) in enumerate(json.load(sys.stdin)):
    if kind == "icmp":
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
            one.bind((source, 0))
            check = 0xFFFF - ((0x0800 + port) % 0xFFFF)
            one.sendto(struct.pack("!BBHHH", 8, 0, check, port, 0), (target, 0))
        continue
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    one.setblocking(False)
    one.bind((source, 0))
    try:
        one.connect((target, port))
        if kind == "udp":
            one.send(b"0 hello")
    except BlockingIOError:
        pass
    held.append(one)
    if len(held) > 500:
        held.pop(0).close()
    if number % 200 == 199:
        time.sleep(0.02)
"""


@dataclass
class Outcome:
    """What was asked and answered. `octets` of the store, and of one record a connection."""

    terminals: int
    connections: int
    asked: int
    equal: int
    exactly_one: int
    differences: list[str]
    leases: int
    by_themselves: int
    octets: int
    octets_by_connection: int
    counters: dict[str, int]
    loop: loop.Loop

    @property
    def right(self) -> bool:
        """Return True if each answer was as the witness would, and so were look-up, order and invoice."""
        return self.equal == self.asked and self.loop.right

    @property
    def share(self) -> float:
        """Return which part of the octets a record a connection takes the store has."""
        return self.octets / self.octets_by_connection

    def figures(self) -> dict:
        """Return what `--json` writes."""
        plain = {name: value for name, value in self.__dict__.items() if name not in ("counters", "loop")}
        return plain | {"share": round(self.share, 5), "loop": self.loop.__dict__}


class Venue:
    """Terminals behind one address in one namespace of a lab."""

    def __init__(self, lab: Lab, count: int) -> None:
        self.lab = lab
        hosts = NETWORK.hosts()
        self.gateway = str(next(hosts))
        self.macs = {str(next(hosts)): bytes([0x06, 0xC5]) + secrets.token_bytes(4) for _ in range(count)}
        self._client = lab.network.terminals[0].namespace

    def move_in(self) -> None:
        """Give the namespace the terminals' addresses, and tell the gateway whose each is."""
        network = self.lab.network
        network.batch(network.gateway, f"addr add {self.gateway}/{NETWORK.prefixlen} dev lan")
        network.batch(self._client, *(f"addr add {address}/{NETWORK.prefixlen} dev eth0" for address in self.macs))
        network.settle(self.macs)

    def send(self, plan: list[tuple[str, str, int]]) -> None:
        """Let the terminals make connections: source, kind, destination port or identifier."""
        command = self.lab.network.inside(self._client, sys.executable, "-c", SENDER, INTERNET_4)
        done = subprocess.run(command, input=json.dumps(plan).encode(), capture_output=True, timeout=300, check=False)
        if done.returncode:
            raise LabError(f"the terminals failed: {done.stderr.decode()[-500:]}")

    def plan(self, connections: int) -> list[tuple[str, str, int]]:
        """Return a plan of so many connections, dealt out among the terminals."""
        addresses = list(self.macs)
        kinds = ("udp", "udp", "tcp", "udp", "tcp", "icmp")
        made = []
        for number in range(connections):
            kind = kinds[number // len(addresses) % len(kinds)]
            port = 1 + number % 60000 if kind == "icmp" else PORTS[number % 3]
            made.append((addresses[number % len(addresses)], kind, port))
        return made


def write_purposes(lab: Lab, text: str) -> Custodian:
    """Add purposes to the lab's configuration, with a custodian who holds their keys; before the recorder starts."""
    lab.device.add_configuration(text)
    return Custodian(lab.device)


def held(lab: Lab) -> int:
    """Return how many blocks are held."""
    blocks: dict[str, int] = lab.device.call({"call": "status"})["purposes"]["attribution"]["blocks"]
    return blocks["held"]


def settle(lab: Lab) -> dict[str, int]:
    """Wait until every connection has ended and the recorder has handled it; returns its counters.

    A port that a terminal takes again before its connection has timed out goes on with
    it: how many there are the witness knows.
    """
    lab.wait(lambda: lab.network.entries() == 0, "connections do not time out", 120)
    before = -1
    while before != lab.witness.count():
        before = lab.witness.count()
        time.sleep(1)
    lab.wait(
        lambda: lab.device.call({"call": "status"})["counters"]["connections"] >= lab.witness.count(),
        "the recorder is behind",
        120,
    )
    return dict(lab.device.call({"call": "status"})["counters"])


def compare(
    custodian: Custodian, handover: Path, seen: list[Seen], macs: dict[str, bytes]
) -> tuple[int, int, int, list[str], list[bytes]]:
    """Ask both for every connection; returns asked, equal, answered by one alone, differences, the records' octets."""
    octets, _ = custodian.records(handover)
    every = [attribution.unpack(one) for one in octets]
    held = [one.record for one in matching.holdings([every])]
    by_port: dict[tuple[int | None, int], list[attribution.Record]] = defaultdict(list)
    for record in held:
        for port in range(record.first, record.last + 1):
            by_port[None, port].append(record)
    for record in every:
        if record.protocol is not None:
            by_port[record.protocol, record.first].append(record)
    ports: dict[tuple[int, int], list[Seen]] = defaultdict(list)
    owner = {ipaddress.ip_address(address).packed: mac for address, mac in macs.items()}
    for one in seen:
        ports[one.protocol, one.translated_port].append(one)
    asked = equal = single = 0
    differences: list[str] = []
    public = ipaddress.ip_address(WAN_4).packed
    for (protocol, port), connections in ports.items():
        for one in connections:
            moment = (one.start + one.end) // 2 // 10**9
            truth = {(source, owner[source]) for source in behind(connections, one, moment)}
            found = {
                (record.address, record.mac)
                for record in by_port[None, port] + by_port[protocol, port]
                if record.public_address == public and record.start <= moment <= (record.end or 0)
            }
            asked += 1
            equal += found == truth
            single += len(found) == 1
            if found != truth and len(differences) < 5:
                differences.append(
                    f"protocol {protocol} port {port}: {len(truth)} terminals in truth, {len(found)} answered"
                )
    return asked, equal, single, differences, octets


def play(interpreter: str, connections: int, terminals: int, block_size: int) -> Outcome:
    """Play it once."""
    with Lab(interpreter, terminals=1, heap=MORE) as lab:
        custodian = write_purposes(lab, ATTRIBUTION + f"\toption block_size '{block_size}'\n" + BILLING)
        venue = Venue(lab, terminals)
        venue.move_in()
        lab.device.start("recorder")
        lab.device.wait_for_recorder()
        lab.confirm_time()
        blocks = min(terminals, (65536 - 16384) // block_size)
        lab.wait(lambda: held(lab) >= blocks, "the terminals get no blocks", 120)
        lab.device.call({"call": "session", "terminal": next(iter(venue.macs.values())).hex(":"), "user": loop.USER})
        time.sleep(5)  # what begins sooner may have begun before the log-in, for all the recorder knows
        begun = int(time.time())
        venue.send(venue.plan(connections))
        counters = settle(lab)
        seen = [one for one in lab.witness.seen() if str(ipaddress.ip_address(one.source)) in venue.macs]
        text = custodian.request(
            "attribution", begun - 60, int(time.time()), public_address=WAN_4, port="20000", protocol="udp"
        )
        time.sleep(2)  # the recorder reads its clock once a second: a request of this very second is of its future
        asked, equal, single, differences, octets = compare(custodian, ask(lab, custodian, text), seen, venue.macs)
        after = loop.play(lab, custodian, seen, venue.macs)
        lab.device.stop("recorder")
    holdings = sum(attribution.unpack(one).protocol is None for one in octets)
    one_each = [
        attribution.Record(one.protocol, ipaddress.ip_address(WAN_4).packed, one.translated_port, one.translated_port,
                           one.source, bytes(6), one.start // 10**9, -(-one.end // 10**9))
        for one in seen
    ]  # fmt: skip
    return Outcome(
        terminals=terminals, connections=len(seen), asked=asked, equal=equal, exactly_one=single,
        differences=differences, leases=holdings, by_themselves=len(octets) - holdings, octets=sum(map(len, octets)),
        octets_by_connection=sum(len(attribution.pack(one)) for one in one_each), counters=counters, loop=after,
    )  # fmt: skip


def command(program: Program, interpreter: str, connections: int, terminals: int, json_file: str | None) -> int:
    """Play it for `oubli-sim lab --port-blocks`; returns the exit status."""
    if reason := usable():
        program.refuse(reason)
    take_signals()
    try:
        outcome = play(interpreter, connections, terminals, min(512, 49152 // terminals // 64 * 64))
    except NoInterpreterError as failure:
        program.refuse(str(failure))
    except LabError as failure:
        program.refuse(str(failure), 1)
    except KeyboardInterrupt:
        program.refuse("the lab was interrupted; everything it made is removed", 130)
    share = f"{outcome.octets} octets, {100 * outcome.share:.2f} % of a record a connection"
    told = (
        f"{outcome.terminals} terminals behind one address: {outcome.equal} of {outcome.asked} connections "
        "answered as the witness would"
    )
    program.tell(f"{told}, {outcome.exactly_one} with exactly one terminal; {share}")
    each = f"{outcome.connections / terminals:.0f} connections a terminal"
    program.tell(f"{outcome.leases} rows of leases, {outcome.by_themselves} of connections; {each}")
    after = outcome.loop
    said = f"{after.looked_up_right} of {after.looked_up} look-ups name whom the witness saw"
    said += (
        f"; an order preserved {after.preserved} rows, and {after.answered_from_it} answer once the day's keys are gone"
    )
    program.tell(f"{said}; {after.billed_right} of {after.users} users are billed for what the witness saw")
    if json_file:
        program.write(json.dumps(outcome.figures(), indent=1) + "\n", json_file)
    return 0 if outcome.right else 1
