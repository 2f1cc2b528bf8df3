# SPDX-License-Identifier: Apache-2.0
"""A new user's path on a real OpenWrt: the document's lines, the first record, and every record beside what `conntrack -E` saw."""

from __future__ import annotations

import json
import time

from host_sim.lab_compare import compare
from host_sim.openwrt.lan import Witness, records

CONNECTIONS = 120
SETTLED = 900  # seconds within which the kernel has collected what has ended


def test_first_record_is_there_within_three_minutes_of_the_documents_lines(installed):
    assert installed.machine.status()["counters"]["kept"] >= 1
    assert installed.seconds["first record"] < 180, installed.seconds


def test_every_record_equals_what_conntrack_saw_on_the_gateway(installed):
    """TCP, UDP and ICMP, over IPv4 with translation and over the delegated IPv6 prefix: nothing missing, extra or unequal (EXP-1)."""
    machine, lan = installed.machine, installed.lan
    # The clock is behind since the snapshot. Its step in the midst of a connection is in the kernel's stamps, and not in our records.
    machine.run("/etc/init.d/sysntpd stop")
    before = records(machine)
    witness = Witness(machine)
    lan.generate(CONNECTIONS)
    terminals = {address for terminal in lan.terminals for address in (terminal.address4, terminal.address6)}

    def left() -> bool:
        table = machine.run("cat /proc/net/nf_conntrack")
        return any(f" src={address} " in table for address in terminals)

    deadline = time.monotonic() + SETTLED
    while left() and time.monotonic() < deadline:
        time.sleep(2)
    time.sleep(5)
    kept = records(machine)[len(before) :]
    found = compare(witness.seen(), kept, lan.terminals)
    assert found.terminals_connections >= CONNECTIONS
    assert set(found.by_protocol) == {"tcp", "udp", "icmp"}
    assert (found.missing, found.unequal, found.equal) == (0, 0, found.terminals_connections), found
    assert {4, 16} == {len(record.address) for record in kept}


def test_gateway_speaks_to_the_broker_over_tls_with_its_own_certificate(installed):
    ident = installed.machine.run("uci get oubli.gateway.id").strip()
    deadline = time.monotonic() + 120
    while not installed.broker.messages("/health") and time.monotonic() < deadline:
        time.sleep(1)
    states = installed.broker.messages("/state")
    assert {message.topic for message in states} == {f"oubli/1/{ident}/state"}
    assert json.loads(installed.broker.messages("/health")[-1].payload)["gateway"] == ident
    log = installed.internet.log("broker").read_text()
    assert f"u'{ident}'" in log
    assert "TLSv1" in log or "8883" in log
