# SPDX-License-Identifier: Apache-2.0
"""The vault against the witness, record by record: nothing missing, nothing extra, nothing that differs (EXP-1).

Compared exactly: protocol, terminal's MAC and address, both ports, service class, octets and packets each way. Start
and duration are compared at the record's own resolution of 100 ms. The witness's duration is its stop - start -
T(state). A third word comes from the terminals: when their programs began and ended each conversation, which no kernel
clock is part of.
"""

import ipaddress
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from agent.summary.services import service_of
from agent.vault.record import Record
from host_sim.lab.network import TIMEOUTS, Terminal
from host_sim.lab.witness import ICMP, ICMPV6, TCP, UDP, Seen

UNIT = 100_000_000  # ns
PROTOCOLS = {"tcp": (TCP,), "udp": (UDP,), "icmp": (ICMP, ICMPV6)}
LATEST = 500_000_000  # ns that a last packet may come after the program noted that it was done


@dataclass
class Comparison:
    """What was found; `differences` holds a line each, at most `SHOWN` of a kind."""

    connections: int = 0
    terminals_connections: int = 0
    equal: int = 0
    missing: int = 0
    extra: int = 0
    unequal: int = 0
    unequal_in: dict[str, int] = field(default_factory=dict)
    rewritten_ports: int = 0
    by_protocol: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def fails(self) -> bool:
        """Return True if anything differs, or nothing was compared."""
        return bool(self.missing or self.extra or self.unequal or not self.equal)

    def note(self, kind: str, what: object) -> None:
        """Keep a line about a difference."""
        if sum(line.startswith(kind) for line in self.differences) < 5:
            self.differences.append(f"{kind}: {what}")


def _name(protocol: int) -> str:
    return next((name for name, numbers in PROTOCOLS.items() if protocol in numbers), "other")


def _expected(one: Seen, timeouts: dict[str, int]) -> dict[str, int]:
    """Return what a record of this connection must say, by the witness's word."""
    return {
        "translated_port": one.translated_port,
        "service": service_of(one.protocol, one.destination_port),
        "packets_up": one.packets_up,
        "bytes_up": one.bytes_up,
        "packets_down": one.packets_down,
        "bytes_down": one.bytes_down,
        "start": one.start // UNIT,
        "duration": one.end_after(timeouts[one.timeout]) // UNIT - one.start // UNIT,
    }


def compare(
    seen: list[Seen], records: list[Record], terminals: list[Terminal], timeouts: dict[str, int] = TIMEOUTS
) -> Comparison:
    """Match every connection that the witness saw with the vault's records, each at most once.

    `timeouts` are the kernel's (s).

    The gateway's own (its MQTT connection, IGMP) belong to no terminal: none of them may be in the vault.
    """
    macs = {
        ipaddress.ip_address(address).packed: terminal.mac
        for terminal in terminals
        for address in (terminal.address4, terminal.address6)
    }
    held = defaultdict(list)
    for record in records:
        held[bytes(record.mac), bytes(record.address), record.protocol, record.source_port].append(record)
    result = Comparison(connections=len(seen))
    ours = [one for one in seen if one.source in macs]
    for one in ours:
        candidates = held[macs[one.source], one.source, one.protocol, one.source_port]
        if not candidates:
            result.missing += 1
            result.note("missing", f"{_name(one.protocol)} {one.state} {one.source_port}")
            continue
        record = min(candidates, key=lambda candidate: abs(candidate.start - one.start // UNIT))
        candidates.remove(record)
        expected = _expected(one, timeouts)
        found = {name: getattr(record, name) for name in expected}
        if expected == found:
            result.equal += 1
        else:
            result.unequal += 1
            wrong = {name: (expected[name], found[name]) for name in expected if expected[name] != found[name]}
            result.unequal_in |= {name: result.unequal_in.get(name, 0) + 1 for name in wrong}
            result.note("unequal", f"{_name(one.protocol)} {one.state}: (expected, found) {wrong}")
    left = [record for group in held.values() for record in group]
    result.extra = len(left)
    for record in left:
        result.note("extra", f"protocol {record.protocol}, port {record.source_port}, start {record.start}")
    result.terminals_connections = len(ours)
    result.rewritten_ports = sum(one.source_port != one.translated_port for one in ours)
    result.by_protocol = dict(Counter(_name(one.protocol) for one in ours))
    return result


def beyond_the_truth(records: list[Record], acts: list[dict]) -> list[str]:
    """Return a line for each record of a terminal that begins before its conversation, or ends well after it.

    `acts` are what the terminals' programs noted: `address`, `protocol`, `source_port`, `begun`, `ended` (ns).
    """
    addresses = {act["address"] for act in acts}
    truth = {(act["address"], act["protocol"], act["source_port"]): act for act in acts}
    lines = []
    for record in records:
        address = str(ipaddress.ip_address(bytes(record.address)))
        if address not in addresses:
            continue
        act = truth.get((address, _name(record.protocol), record.source_port))
        if act is None:
            lines.append(
                f"a record of a conversation that no terminal held: {_name(record.protocol)} {record.source_port}"
            )
            continue
        end = (record.start + record.duration) * UNIT
        if record.start * UNIT < act["begun"] - 2 * UNIT or end > act["ended"] + LATEST:
            early, late = (act["begun"] - record.start * UNIT) / UNIT, (end - act["ended"]) / UNIT
            lines.append(
                f"{act['protocol']} {act['way']}: begins {early} units before the truth, ends {late} units after"
            )
    return lines
