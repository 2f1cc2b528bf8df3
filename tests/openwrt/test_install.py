# SPDX-License-Identifier: Apache-2.0
"""A new user's path on a real OpenWrt: the document's lines, the first record, all beside what `conntrack -E` saw."""

from __future__ import annotations

import json

from host_sim.lab.compare import compare
from host_sim.openwrt.lab import ENDS
from host_sim.openwrt.witness import Witness
from tests.openwrt.conftest import WAIT

CONNECTIONS = 120


def test_first_record_is_there_within_three_minutes_of_the_documents_lines(installed):
    assert installed.status()["counters"]["kept"] >= 1
    assert installed.seconds["first record"] < 180, installed.seconds
    assert "this device is new" in installed.said["status"]
    assert "silent for" not in installed.said["status"]


def test_every_record_equals_what_conntrack_saw_on_the_gateway(installed):
    """TCP, UDP and ICMP, over IPv4 with translation and over the delegated IPv6 prefix.

    Nothing missing, extra or unequal (EXP-1).
    """
    machine, lan = installed.machine, installed.lan
    # The clock is behind since the snapshot. Its step in the midst of a connection is in the
    # kernel's stamps, and not in our records.
    machine.run("/etc/init.d/sysntpd stop")
    lan.ended(machine, WAIT)
    witness = Witness(machine)
    kept = installed.recorded(CONNECTIONS)
    found = compare(witness.seen(), kept, lan.terminals, ENDS)
    assert found.terminals_connections >= CONNECTIONS
    assert set(found.by_protocol) == {"tcp", "udp", "icmp"}
    assert (found.missing, found.extra, found.unequal, found.equal) == (0, 0, 0, found.terminals_connections), found
    assert {4, 16} == {len(record.address) for record in kept}


def test_gateway_speaks_to_the_broker_over_tls_with_its_own_certificate(installed):
    ident = installed.machine.run("uci get oubli.gateway.id").strip()
    installed.until(lambda: f"u'{ident}'" in installed.internet.log("broker").read_text())
    assert {message.topic for message in installed.broker.messages("/state")} == {f"oubli/1/{ident}/state"}
    assert json.loads(installed.broker.messages("/health")[-1].payload)["gateway"] == ident


def test_first_figure_reaches_the_broker_when_its_hour_is_over(complete):
    """One message for the hour, drawn once, sent in its window by the client whose certificate is known (ANON-3)."""
    machine = complete.machine
    ident = machine.run("uci get oubli.gateway.id").strip()
    assert len(complete.recorded()) >= 4
    told = len(complete.broker.messages("/summary/arrivals"))
    # Its window to be made, agent.outbox.jitter.MADE, is over
    machine.run("date -s @$((($(date +%s) / 3600 + 1) * 3600 + 121))")
    complete.until(lambda: complete.status()["summary"]["published"])
    machine.run("date -s @$(($(date +%s) / 3600 * 3600 + 661))")  # and so is the one in which it is sent
    complete.until(lambda: len(complete.broker.messages("/summary/arrivals")) > told)
    messages = complete.broker.messages("/summary/arrivals")[told:]
    assert {message.topic for message in messages} == {f"oubli/1/{ident}/summary/arrivals"}
    slots = [json.loads(message.payload)["slot"] for message in messages]
    assert len(set(slots)) == len(slots)
