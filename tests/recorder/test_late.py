# SPDX-License-Identifier: Apache-2.0
"""A change of hands that waited while somebody was answered is as late as it was (L34-I-2), on the real kernel."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from agent.control import client
from agent.vault import reading
from host_sim.privacy import paired
from host_sim.privacy.terminal_signs import SECOND, Sign, mac_of
from host_sim.venue import kernel as venue_kernel
from tests.vault.test_nothing_left import NEEDS, gateway

if TYPE_CHECKING:
    from pathlib import Path

# Flash that takes so long for what it has to sync; the recorder looks at its clocks before it answers
ERASE = """
import time
from agent.recorder.orders import Orders
erase = Orders.erase
def slow(self, *words):
    time.sleep(3)
    return erase(self, *words)
Orders.erase = slow
"""
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def kernel(made, script: str) -> None:
    subprocess.run(["nsenter", "-t", str(made.process.pid), "-n", "sh", "-ec", script], check=True, capture_output=True)


def held_up(made) -> threading.Thread:
    """Let A have 192.168.7.9 for a while, then the recorder be busy with an erasure; returns who waits for that."""
    made.status()
    kernel(made, f"ip neigh replace 192.168.7.9 lladdr {A} dev lan nud permanent")
    time.sleep(3)
    place = str(made.root / "var/run/oubli/control/socket")
    asks = threading.Thread(target=lambda: client.ask(place, "erase", purpose="all"))
    asks.start()
    time.sleep(0.3)
    return asks


@NEEDS
def test_a_change_of_hands_that_waited_for_an_erasure_is_as_late_as_it_was(interpreter):
    """B begins a connection as soon as it has A's address: A isn't named for it."""
    with gateway(interpreter, ERASE) as made:
        asks = held_up(made)
        kernel(
            made,
            f"ip neigh replace 192.168.7.9 lladdr {B} dev lan nud permanent\nsleep 0.1\n"
            "conntrack -I -p udp --src 192.168.7.9 --dst 203.0.113.199 --sport 4444 --dport 443 --timeout 60",
        )
        asks.join()
        time.sleep(0.5)
        kernel(made, "conntrack -D -p udp --src 192.168.7.9")
        made.wait(lambda status: status["counters"]["connections"])
        [kept] = [one for one in reading.read(str(made.root), "security", None, 0) if one.source_port == 4444]
        assert kept.mac == bytes(6)  # an unknown terminal


@pytest.mark.parametrize(("late", "whose"), [(60, mac_of(1)), (120, bytes(6))])
def test_a_change_of_hands_that_is_read_over_a_minute_late_names_nobody_of_the_time_between(
    tmp_path: Path, late: int, whose: bytes
) -> None:
    """The gateway slept: the address may have been another one's for two minutes."""
    device = paired.Device(tmp_path / "device", None, security="option enabled '1'")
    streams = device.recorder.streams
    near, event, _ = Sign(1430, 1, lasts=5).messages()  # from 1395 to 1400
    device.pass_to(1300)
    streams.neighbour(near, len(near))
    device.pass_to(1500)
    streams._late = lambda: late * SECOND  # type: ignore[method-assign]
    other = venue_kernel.neighbour(venue_kernel.Neighbour(b"\x0a\x14\x00\x03", mac_of(2)))
    streams.neighbour(other, len(other))
    streams.datagram(event, len(event))
    device.pass_to(1900)
    device.recorder.close()
    [kept] = reading.read(str(device.root), "security", None, 0)
    assert kept.mac == whose


SLEPT = """
import os
from agent.recorder import loop
run = loop.run
def wakes(settings, root, source):
    def slept():
        return os.stat(root + "/clock")[6] // 100 * 10**9
    loop.slept = slept
    return run(settings, root, source)
loop.run = wakes
"""


@NEEDS
def test_what_ends_as_the_gateway_wakes_is_read_by_what_was_slept(interpreter):
    """EXP-1: its time-out stood still. It began before the sleep, so its last packet may have come as early as that."""
    with gateway(interpreter, SLEPT) as made:
        made.status()
        kernel(
            made,
            "conntrack -I -p udp --src 192.168.7.9 --dst 203.0.113.199 --sport 4444 --dport 443 --timeout 60",
        )
        time.sleep(3)
        (made.root / "clock").write_bytes(bytes(360_000))  # by its size: an hour
        kernel(made, "conntrack -D -p udp --src 192.168.7.9")
        made.wait(lambda status: status["counters"]["connections"])
        [kept] = [one for one in reading.read(str(made.root), "security", None, 0) if one.source_port == 4444]
        assert kept.duration == 0
