# SPDX-License-Identifier: Apache-2.0
"""Whoever gets an address later isn't named for the connection of one whom the table had to forget (L34-I-2)."""

from __future__ import annotations

import struct

import pytest

from agent.summary import metrics
from agent.vault import reading
from host_sim.privacy import attack, paired, terminal_signs
from host_sim.venue import kernel
from tests.summary.test_change_after_a_step import SINCE, take
from tests.summary.test_summary import BOOT, GATEWAY, OPENS, SECOND, address_of
from tests.support import remote

A, B, C = (bytes.fromhex(f"0a5bc90d000{number}") for number in (1, 2, 3))
ADDRESSES = 32


def lasts(start: float, stop: int = 0) -> kernel.Flow:
    """Return the connection of an address that several have, one after the other."""
    there = b"\xcb\0\x71\1"
    return kernel.Flow(
        2, 6, address_of(1), there, 1111, 443, there, b"\xc0\0\2\1", 443, 1111, kernel.SEEN_REPLY | 4,
        round((OPENS + start) * SECOND), packets_up=3, packets_down=3, bytes_up=300, bytes_down=300,
        stop=(OPENS + stop) * SECOND if stop else 0, state=3, timeout=None if stop else 7000,
    )  # fmt: skip


class Venue:
    """A recorder, and the time there in seconds since it began."""

    def __init__(self, folder) -> None:
        self._root, config, self.second = str(folder), folder / "config", 0
        self.step = 0  # s by which the clock was stepped
        config.write_text(f"config gateway\n option id '{GATEWAY}'\nconfig summary\n option rows '256'\n")
        remote.recorder_open(str(config), str(folder), BOOT, OPENS * SECOND, SINCE, "")
        self.agent, self._source, _ = remote._held["recorder"]
        take("neighbour", kernel.link("lan"))
        take("neighbour", kernel.address(address_of(0), 16))
        remote.recorder([["listed"]])

    def until(self, second: int, *flows: kernel.Flow) -> None:
        """Let time pass; the live table has these connections each time that it is listed."""
        while self.second < second:
            self.second += 50
            self._source.now = (OPENS + self.second + self.step) * SECOND
            self._source.since = SINCE + self.second * SECOND
            self.agent.tick()
            if self.agent.streams.live_request():
                for flow in flows:
                    data = kernel.conntrack("entry", flow)
                    self.agent.streams.live_table.datagram(data, len(data))
                self.agent.streams.live_table.datagram(kernel.done(), 20)
                self.agent.tick()

    def neighbour(self, number: int, mac: bytes) -> None:
        take("neighbour", kernel.neighbour(kernel.Neighbour(address_of(number), mac)))

    def named(self, ended: kernel.Flow) -> bytes:
        """Let a connection end, and the recorder; return whose the one record is, zeros for nobody who is known."""
        take("datagram", kernel.conntrack("destroy", ended))
        self.until(9100)
        self.agent.kept.by_name["security"].stepped()
        [kept] = reading.read(self._root, "security", None, 0)
        self.rows = self.agent.day.terminals.used()
        remote.recorder_close()
        return kept.mac

    def leaves(self, number: int) -> None:
        told = bytearray(kernel.neighbour(kernel.Neighbour(address_of(number), bytes(6))))
        told[4:6] = struct.pack("H", 29)  # RTM_DELNEIGH
        take("neighbour", bytes(told))


def test_of_a_connection_of_the_second_of_a_change_nobody_is_named_later_either(tmp_path):
    """C's or A's. Both are gone when B is given the address; then the connection ends."""
    made = Venue(tmp_path)
    made.neighbour(1, C)
    made.until(1000)
    made.neighbour(1, A)
    flow = lasts(999.5)
    made.until(1200, flow)
    made.leaves(1)
    made.until(4000, flow)
    made.neighbour(1, B)
    made.until(5000, flow)
    assert made.named(lasts(999.5, 9000)) == bytes(6)


def test_one_who_has_too_many_addresses_changes_nobody_elses_figures(tmp_path):
    """ANON-8: whoever comes after is counted from the same connection on, though it isn't named for that one."""
    he = [terminal_signs.Address(paired.TRUSTED + 1 + number, 0, 1, 40_000 + number) for number in range(ADDRESSES + 8)]
    days = [paired.Device(tmp_path, paired.Silence, b"k" * 16).play([*attack.MANY, *signs]) for signs in ([], he)]
    moved = paired.distances(*days)
    assert moved["presence"] == 1  # he is counted himself
    assert all(moved[metric.name] <= metric.l1 for metric in metrics.METRICS)


def test_what_stays_inside_the_lan_is_not_kept_of_one_who_is_unknown_either(tmp_path):
    """L34-I-2: it is counted by its kind; while it lasts nobody is told of it."""
    made = Venue(tmp_path)
    here, there = address_of(7), address_of(8)
    flow = kernel.Flow(
        2, 17, here, there, 1111, 53, there, here, 53, 1111, kernel.SEEN_REPLY, (OPENS + 1) * SECOND,
        packets_up=1, packets_down=1, bytes_up=80, bytes_down=90, stop=(OPENS + 40) * SECOND,
    )  # fmt: skip
    made.until(50)
    take("datagram", kernel.conntrack("destroy", flow))
    counted = dict(made.agent.counters.values)
    remote.recorder_close()
    assert (counted["excluded: hairpin"], counted["unknown terminal"], counted["kept"]) == (1, 0, 0)


def test_whoever_gets_an_address_is_not_named_for_one_who_sent_by_it_and_never_answered(tmp_path):
    """A guest sends by an address that nobody has, to who doesn't answer: the kernel tells of no neighbour."""
    made = Venue(tmp_path)
    flow = lasts(60)
    made.until(100)
    made.until(1000, flow)
    made.neighbour(1, B)
    made.until(2000, flow)
    assert made.named(lasts(60, 9000)) == bytes(6)


@pytest.mark.parametrize(("start", "mac"), [(98.5, bytes(6)), (99.5, B)])
def test_who_comes_first_is_named_for_what_began_within_a_second_before(tmp_path, start, mac):
    """Another one may have had it, for whom there was no room; the kernel's word is read within a second."""
    made = Venue(tmp_path)
    made.until(100)
    made.neighbour(1, B)
    assert made.named(lasts(start, 9000)) == mac


@pytest.mark.parametrize(("stop", "mac"), [(7530, A), (7545, bytes(6))], ids=["before", "after"])
def test_who_takes_an_address_over_is_not_named_by_its_former_holder(tmp_path, stop, mac):
    """B sends by A's address, who is away, and says that he has it now: the connection comes about with B.

    Its last packet is 7,440 s before its end.
    """
    made = Venue(tmp_path)
    made.neighbour(1, A)
    made.until(100)
    made.neighbour(1, B)
    assert made.named(lasts(50, stop)) == mac


@pytest.mark.parametrize(("stop", "mac"), [(610, A), (970, bytes(6))], ids=["before", "after"])
def test_who_takes_an_address_over_is_not_named_by_its_former_holder_after_a_step(tmp_path, stop, mac):
    """The clock goes back by 100 s at 1000, B takes the address at 1050, and the last packet is of 1060.

    The stamp of its end, by TCP's 10 s after a reset, may be of 970 or of 1070 s after the beginning.
    """
    made = Venue(tmp_path)
    made.neighbour(1, A)
    made.until(1000)
    made.step = -100
    made.until(1050)
    made.neighbour(1, B)
    made.until(1100)
    ended = lasts(50, stop)
    ended.state = 8  # closed
    assert made.named(ended) == mac


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize(("stop", "mac"), [(990, A), (1030, bytes(6))], ids=["before", "meanwhile"])
def test_nobody_is_named_for_what_lasted_into_a_time_of_which_word_was_missed(tmp_path, stop, mac, heard):
    """A guest floods; whoever has A's address then, and goes on with what A began, isn't told of. TCP's 10 s."""
    made = Venue(tmp_path)
    made.neighbour(1, A)
    made.until(1000)
    made.agent.streams.neighbour_overrun()
    made.until(1050)
    if heard:
        made.neighbour(1, B)
        take("neighbour", kernel.address(address_of(0), 16))
        remote.recorder([["listed"]])
    ended = lasts(50, stop)
    ended.state = 8  # closed
    assert made.named(ended) == mac
