# SPDX-License-Identifier: Apache-2.0
"""What must hold on the real kernel, with 2,000 real connections, on both interpreters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from host_sim.lab.device import GATEWAY_ID
from tests.lab.conftest import CONNECTIONS

if TYPE_CHECKING:
    from tests.lab.conftest import Story

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto", "strace", "gdb")]


def test_vault_and_witness_agree_on_every_connection(story: Story) -> None:
    """EXP-1: ports before and after translation, counters, start, and duration = stop - start - T(state); none lost."""
    found = story.comparison
    assert found.differences == []
    assert (found.missing, found.extra, found.unequal) == (0, 0, 0)
    # On a slow machine a packet that is sent again comes after its connection's end, and begins another
    assert found.terminals_connections >= CONNECTIONS
    assert found.equal == found.terminals_connections
    assert set(found.by_protocol) == {"tcp", "udp", "icmp"}
    assert found.rewritten_ports > CONNECTIONS // 4  # the hard case was there


def test_no_record_goes_beyond_what_the_terminals_did(story: Story) -> None:
    """EXP-1: by the terminals' own clocks no record begins before its conversation or ends after its last packet."""
    assert story.beyond == []


def test_recorder_holds_and_asks_for_netlink_and_unix_sockets_only(story: Story) -> None:
    """L34-I-2, L34-VI-2: from /proc at three moments, and from strace over the whole life."""
    assert story.held["recorder"] == {"AF_NETLINK", "AF_UNIX"}
    assert story.asked["recorder"] == {"AF_NETLINK", "AF_UNIX"}


def test_forwarder_never_asks_the_kernel_about_connections(story: Story) -> None:
    """L34-VI-2: the process with the network socket has no netlink socket, now or ever."""
    assert story.held["forwarder"] == {"AF_INET"}
    assert story.asked["forwarder"] == {"AF_INET"}


def test_canaries_are_found_nowhere_but_in_the_sealed_store(story: Story) -> None:
    """L34-II-5, L34-VI-1: destinations, payload and host names nowhere.

    MACs and client addresses only where they are sealed.
    """
    assert story.found == {}
    assert story.core_is_whole  # what the forwarder does know is found there
    assert story.comparison.equal  # the store, opened by its own keys, did give the MACs and addresses out


def test_messages_survive_a_killed_forwarder_and_a_broker_that_is_away(story: Story) -> None:
    """ANON-5: every spooled message arrives, octet for octet, and nothing is drawn a second time."""
    assert story.in_flight
    assert story.away.items() >= story.in_flight.items()
    delivered = {message.payload for message in story.delivered}
    assert delivered >= set(story.in_flight.values())
    slots = {(json.loads(payload)["day"], json.loads(payload)["slot"]) for payload in delivered}
    assert len(slots) == len(delivered)  # a slot has one payload, however often it was sent


def test_arrivals_has_its_fixed_shape(story: Story) -> None:
    """ANON-3, ANON-4: same keys, same length, the noisy integer with its b and half-width."""
    payloads = [message.payload for message in story.delivered]
    assert len({len(payload) for payload in payloads}) == 1
    for payload in payloads:
        message = json.loads(payload)
        assert list(message) == list(json.loads(payloads[0]))
        assert (message["schema"], message["gateway"]) == ("oubli/arrivals/1", GATEWAY_ID)
        assert (message["b"], message["half_width"], message["unit"]) == ([4, 1], 12, "terminals")


def test_arrivals_counts_the_terminals_within_its_noise(story: Story) -> None:
    """ANON-2: beyond 80 = 20 b the noise is rarer than once in 10^8 messages."""
    values = [json.loads(message.payload)["values"][0] for message in story.delivered]
    assert any(abs(value - story.terminals) <= 80 for value in values)


def test_broker_keeps_state_and_health_for_newcomers(story: Story) -> None:
    """After its own restart too."""
    kinds = {topic.rsplit("/", 1)[1]: json.loads(payload) for topic, payload in story.retained.items()}
    assert set(kinds) == {"state", "health"}
    assert kinds["state"]["state"] == "online"


def test_nothing_is_left_after_the_lifetime(story: Story) -> None:
    """EXP-2, EXP-4: no file, no key, no record, and kept copies of the files are noise."""
    left = dict(story.forgotten)
    assert left.pop("segments_before") > 0
    assert left.pop("records_before") >= story.comparison.terminals_connections
    assert set(left.values()) == {0}


def test_daemons_end_cleanly_and_their_logs_are_free_of_errors(story: Story) -> None:
    """SIGTERM is exit 0; every line is `oubli NAME: text`, and the recorder had nothing to complain of."""
    assert story.ends == {"recorder": 0, "forwarder": 0}
    for daemon, log in story.logs.items():
        assert all(line.startswith(f"oubli {daemon}: ") for line in log.splitlines()), log
    said = {line for line in story.logs["recorder"].splitlines() if not line.startswith("oubli recorder: started")}
    assert said == {"oubli recorder: clock trusted", "oubli recorder: stopped"}


def test_nothing_is_lost_and_status_says_so(story: Story) -> None:
    """The recorder's own counters agree with the witness.

    Each kept or the gateway's own, none lost, malformed or overrun.
    """
    counters = story.status["counters"]
    assert counters["connections"] == story.comparison.connections
    assert (
        counters["kept"] == story.comparison.connections - counters["excluded: own"] - counters["excluded: broadcast"]
    )
    assert {
        name: value
        for name, value in counters.items()
        if value and name.startswith(("lost", "malformed", "overruns", "torn"))
    } == {}
    assert (story.status["clock"], story.status["capture"]) == ("trusted", "ok")


def test_lab_leaves_nothing_on_the_machine(story: Story) -> None:
    """No namespace, process or folder of its name."""
    assert story.left == []
