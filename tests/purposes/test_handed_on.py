# SPDX-License-Identifier: Apache-2.0
"""An address that is handed on while connections go on, through the recorder's own way: whose each of them is.

Nobody is named for another's connection (L34-II-4), or pays for it (L34-IV-2).
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.capture.address_table import AddressTable
from agent.purposes.attribution.record import UNKNOWN_MAC
from agent.purposes.billing import record as billing_record
from agent.purposes.billing.billing import Billing
from agent.recorder.pipeline import Pipeline
from tests.purposes.test_marks import DAY, NOON, SECOND, tick, with_blocks
from tools.custodian import matching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
SIX = bytes([0x20, 1, 0x0D, 0xB8, *[0] * 11, 7])


class Venue:
    """A recorder whose guests leave by their own IPv6 addresses; times in s after noon, where a connection's are."""

    def __init__(self, folder: Path) -> None:
        self.made, self.kept, _ = with_blocks(folder)
        self.bills: list[billing_record.Record] = []
        self.holders = self.made._holders = AddressTable(16, NOON * SECOND)
        del self.made._holder  # it asks the table again
        self.made._count = lambda _name: None
        self.made.billing = Billing(str(folder / "billing"), self._bill, self.made._user)
        decoder: Any = SimpleNamespace(public=lambda: SIX)
        parts: Any = [
            SimpleNamespace(stepped=False),
            Counter(),
            SimpleNamespace(holders=self.holders, lan=SimpleNamespace(stays=lambda _: "", side=lambda _: "")),
            SimpleNamespace(end=lambda one: one.over, last=lambda one, _wall: one.over),
            (decoder, decoder),
            SimpleNamespace(see=lambda *_: None),
            SimpleNamespace(day=0),
            None,
        ]
        self.pipeline = Pipeline(*parts)
        self.pipeline.purposes = [self.made]

    def _bill(self, _begins: int, octets: bytes) -> str:
        self.bills.append(billing_record.unpack(octets))
        return "kept"

    def connection(self, start: float, over: float) -> Any:
        """Return a connection whose last packet came at `over`."""
        words = {f"word{at}": int.from_bytes(SIX[4 * at : 4 * at + 4], "big") for at in range(4)}
        octets = {"bytes_up": 3, "bytes_down": 4}
        start, over = int((NOON + start) * SECOND), int((NOON + over) * SECOND)
        more = {"start": start, "stop": over, "over": over, "protocol": 6, "translated_port": 2000, "family": 10}
        return SimpleNamespace(destination_port=443, **words, **octets, **more)

    def go_on(self, second: int) -> None:
        """Let it be a second."""
        tick(self.made, second)
        self.pipeline.wall = (NOON + second) * SECOND

    def take(self, mac: bytes, second: float) -> None:
        """Let the kernel tell that a terminal has the address."""
        self.holders.learn(SIX, mac, int((NOON + second) * SECOND))
        self.made.holder_changed(SIX)

    def rows(self) -> list[tuple[int | None, bytes, int, int | None]]:
        """Return protocol, MAC, start and end of what is kept of the address."""
        kept = [one for one in self.kept if one.address == SIX]
        return [(one.protocol, one.mac, one.start - NOON, one.end and one.end - NOON) for one in kept]

    def close(self) -> None:
        """Let go."""
        for part in (self.made.attribution.holdings, self.made.billing, self.holders):
            part.close()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    """Give one that has just been started."""
    made = Venue(tmp_path)
    yield made
    made.close()


def test_what_the_former_left_open_makes_no_row_of_all_ports(venue: Venue) -> None:
    """Neither when it is listed, nor when he has the address again, nor when it ends."""
    venue.take(A, 10)
    old = venue.connection(12, 20)
    venue.go_on(15)
    venue.take(B, 30)
    for second in (40, 340):
        venue.go_on(second)
        venue.pipeline.alive(old)
    assert venue.rows() == []
    venue.take(A, 350)
    venue.go_on(360)
    venue.pipeline.alive(old)
    venue.pipeline.connection(old)
    assert venue.rows() == [(6, A, 12, 20)]
    venue.pipeline.alive(venue.connection(355, 360))
    assert venue.rows()[1:] == [(None, A, 355, None)]


def test_whose_a_connection_is_that_began_as_the_address_was_handed_on_is_not_known(venue: Venue) -> None:
    """The newcomer had it on his name, and on his bill; nor whose one is that goes on afterwards."""
    venue.take(A, 10)
    venue.take(B, 30.2)
    venue.go_on(40)
    for start, over, mac in ((25, 26, A), (25, 35, UNKNOWN_MAC), (27, 28, UNKNOWN_MAC), (30.3, 35, B)):
        venue.pipeline.connection(venue.connection(start, over))
        assert [one[1] for one in venue.rows() if one[0] is not None or one[3] is None][-1] == mac
    venue.made.billing.finish(NOON + 40)
    assert [(one.mac, one.bytes_up) for one in venue.bills] == [(A, 3), (B, 3)]


def test_a_row_ends_where_its_address_is_at_nobody_who_is_known(venue: Venue) -> None:
    """L34-II-4: a guest says by NDP that it is at a group's MAC, and leaves by it; then A has it once more."""
    venue.take(A, 10)
    venue.go_on(15)
    venue.pipeline.connection(venue.connection(12, 14))
    venue.go_on(30)
    venue.take(bytes(6), 30)
    venue.go_on(60)
    venue.pipeline.connection(venue.connection(40, 50))
    for second in range(70, 400, 10):
        venue.go_on(second)
    venue.take(A, 400)
    venue.go_on(410)
    venue.pipeline.connection(venue.connection(405, 408))
    venue.go_on(420)
    held = [
        (one.record.start - NOON, one.until - NOON)
        for one in matching.holdings([venue.kept], NOON + 900, venue.made._time.unbroken)
        if one.record.address == SIX and one.record.mac == A
    ]
    assert held == [(12, 14), (405, 900)]  # that one goes on


def test_a_block_rests_where_its_address_is_at_nobody_who_is_known(venue: Venue) -> None:
    """L34-II-4: at once, and its row ends; it is given to nobody whom nobody knows."""
    address, blocks = bytes((192, 168, 1, 50)), venue.made.attribution.holdings.blocks
    for second in range(1, 10):
        venue.go_on(second)
    for second, mac in ((10, A), (32, bytes(6)), (40, A)):
        for now in range(second - 8, second):
            venue.go_on(now) if now > 10 else None
        venue.holders.learn(address, mac, (NOON + second) * SECOND)
        venue.made.holder_changed(address)
        assert (address in blocks._given) == (mac == A)
    rows = [(one.mac, one.start - NOON, one.end and one.end - NOON) for one in venue.kept if one.address == address]
    assert rows[:3] == [(A, 9, None), (A, 9, 9), (A, 39, None)]


def test_rows_that_begin_anew_begin_with_what_begins_then(venue: Venue) -> None:
    """Else one that began before another's would be said to end with it, and `nothing held` of what it answers for."""
    venue.take(A, 10)
    old = venue.connection(12, 50)
    venue.go_on(20)
    venue.pipeline.alive(venue.connection(14, 20))
    venue.made.attribution.holdings.restate(NOON + 30, 30)
    venue.go_on(40)
    venue.pipeline.alive(old)
    assert venue.rows() == [(None, A, 14, None), (None, A, 14, 20)]
    venue.pipeline.connection(old)
    assert venue.rows()[2:] == [(6, A, 12, 50)]


def test_a_row_that_begins_before_all_begin_anew_has_an_end(venue: Venue) -> None:
    """A row was lost, and a minute later all begin anew; a former holder was said to hold the address ever since."""
    venue.take(A, 10)
    venue.made.attribution.torn = True
    for second in (20, 25):
        venue.go_on(second)
    venue.pipeline.alive(venue.connection(22, 25))
    for second in range(30, 90, 10):
        venue.go_on(second)
    venue.take(B, 90)
    (found,) = [
        one
        for one in matching.holdings([venue.kept], NOON + 900, venue.made._time.unbroken)
        if one.record.mac == A and one.record.address == SIX
    ]
    assert (found.record.start - NOON, found.until - NOON, found.recorded) == (22, 25, True)


def test_a_bill_has_the_time_up_to_the_last_packet(venue: Venue) -> None:
    """The kernel lists what he left open for hours, and tells of its end when they are over."""
    venue.take(A, 10)
    left = venue.connection(12, 200)
    for second in range(300, 7600, 300):
        venue.go_on(second)
        venue.pipeline.alive(left)
    venue.pipeline.connection(left)
    venue.made.billing.finish(NOON + 7600)
    sums = [(one.start - NOON, one.end - NOON, one.bytes_up) for one in venue.bills]
    assert sums == [(12, 200, 0), (200, 200, 3)]


def test_what_lasts_over_midnight_is_told_of_up_to_its_last_packet(venue: Venue) -> None:
    """The former holder was said to have its port until midnight, when he had no address any more."""
    venue.take(A, 10)
    left, brief, later = venue.connection(12, 200), venue.connection(14, 14), venue.connection(16, DAY // 2 + 20)
    venue.go_on(300)
    venue.take(B, 300)
    venue.go_on(DAY // 2 + 60)
    for one in (left, brief, later):
        venue.pipeline.alive(one)
    assert venue.rows() == [(6, A, 12, 200), (6, A, 14, 14), (6, UNKNOWN_MAC, 16, DAY // 2)]
    venue.made.list_ended((DAY // 2 + 50) * SECOND)
    venue.go_on(DAY // 2 * 3 + 60)
    for one in (left, brief):
        venue.pipeline.alive(one)
    assert len(venue.rows()) == 3


def test_what_lasts_of_nobody_who_is_known_is_told_of_up_to_its_last_packet(venue: Venue) -> None:
    """It began before this process listened; its address was said to have the port until midnight."""
    left = venue.connection(-20, 200)
    venue.go_on(DAY // 2 + 60)
    venue.pipeline.alive(left)
    assert venue.rows() == [(6, UNKNOWN_MAC, -20, 200)]
