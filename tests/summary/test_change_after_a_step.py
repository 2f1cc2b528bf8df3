# SPDX-License-Identifier: Apache-2.0
"""A change of hands that is read between a step of the wall clock and the look that notices it (L34-I-2)."""

from __future__ import annotations

import pytest

from agent.vault import reading
from host_sim.venue import kernel
from tests.summary.test_summary import BOOT, GATEWAY, OPENS, SECOND, address_of
from tests.support import remote

A, B = bytes.fromhex("0a5bc90d0001"), bytes.fromhex("0a5bc90d0002")
SINCE = 10**15


def take(name: str, data: bytes) -> None:
    getattr(remote._held["recorder"][0].streams, name)(data, len(data))


def end(start: int, stop: int, port: int) -> None:
    """Let a connection of the address that both have had end."""
    there = b"\xcb\0\x71\1"
    flow = kernel.Flow(
        2, 17, address_of(1), there, port, 443, there, b"\xc0\0\2\1", 443, port, kernel.SEEN_REPLY, start * SECOND,
        packets_up=3, packets_down=3, bytes_up=300, bytes_down=300, stop=stop * SECOND,
    )  # fmt: skip
    take("datagram", kernel.conntrack("destroy", flow))


def test_nobody_is_named_where_a_reading_is_of_when_word_was_missed(tmp_path):
    """The clock is set back twice: three times showed a stamp. By the second one B had A's address for a while."""
    config, shift = tmp_path / "config", 0
    config.write_text(f"config gateway\n option id '{GATEWAY}'\nconfig summary\n option rows '256'\n")
    remote.recorder_open(str(config), str(tmp_path), BOOT, OPENS * SECOND, SINCE, "")
    agent, source, _ = remote._held["recorder"]

    def at(*seconds: int) -> None:
        for second in seconds:
            source.now, source.since = (OPENS + second + shift) * SECOND, SINCE + second * SECOND
            agent.tick()

    def listed() -> None:
        take("neighbour", kernel.link("lan"))
        take("neighbour", kernel.address(address_of(0), 16))
        take("neighbour", kernel.neighbour(kernel.Neighbour(address_of(1), A)))
        remote.recorder([["listed"]])

    listed()
    at(0)
    assert agent.streams.live_request()
    agent.streams.live_table.datagram(kernel.done(), 20)
    at(1, 3000)
    shift = -2500
    at(3001, 4000)
    agent.streams.neighbour_overrun()  # A's, B's and A's again
    at(4100)
    listed()
    at(4200, 5000)
    shift = -5000
    at(5001, 7001)
    end(OPENS + 4050 - 2500, OPENS + 7000 - 5000, 1111)
    agent.kept.by_name["security"].stepped()
    [kept] = reading.read(str(tmp_path), "security", None, 0)
    remote.recorder_close()
    assert kept.mac == bytes(6)


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_change_of_hands_in_the_second_of_a_step_is_dated_by_one_clock(tmp_path, step):
    config = tmp_path / "config"
    config.write_text(f"config gateway\n option id '{GATEWAY}'\nconfig summary\n option rows '256'\n")
    remote.recorder_open(str(config), str(tmp_path), BOOT, OPENS * SECOND, SINCE, "")
    _, source, _ = remote._held["recorder"]

    def at(second: int, wall: int) -> None:
        source.now, source.since = wall * SECOND, SINCE + second * SECOND

    for told in (
        kernel.link("lan"),
        kernel.address(address_of(0), 16),
        kernel.neighbour(kernel.Neighbour(address_of(1), A)),
    ):
        take("neighbour", told)
    remote.recorder([["listed"], ["time", (OPENS + 4000) * SECOND, SINCE + 4000 * SECOND]])
    at(4001, OPENS + 4001 + step)  # nobody has looked yet
    take("neighbour", kernel.neighbour(kernel.Neighbour(address_of(1), B)))
    remote._held["recorder"][0].tick()
    now = OPENS + 4100 + step
    at(4100, now)
    end(now - 90, now, 1111)  # B's, which began 9 s after the change
    end(OPENS + 3900, now, 2222)  # A's, which began 101 s before it
    at(4300, now + 200)
    remote._held["recorder"][0].tick()
    found = {one.source_port: one.mac for one in reading.read(str(tmp_path), "security", None, 0)}
    remote.recorder_close()
    assert found[1111] != A
    assert found[2222] != B
