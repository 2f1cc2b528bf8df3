# SPDX-License-Identifier: Apache-2.0
"""What lies between two rows, two days' segments or two public addresses.

There nobody is named who has gone, and `nothing held` isn't said of what was (L34-II-4).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.purposes.attribution.attribution import Attribution
from agent.purposes.attribution.blocks import Blocks
from agent.purposes.attribution.holdings import Holdings
from agent.purposes.attribution.record import Record, unpack
from agent.purposes.believed_time import BelievedTime
from tests.purposes.test_marks import DAY, MAC, NOON, PUBLIC, SECOND, A, purpose, tick, with_blocks
from tools.custodian import coverage, matching

if TYPE_CHECKING:
    from pathlib import Path

MIDNIGHT = NOON + DAY // 2
SIX = bytes([32, 1, 13, 184, *[0] * 11, 7])
OTHER = bytes([198, 51, 100, 7])
B, OTHER_MAC = bytes([192, 168, 1, 11]), bytes([2, 0, 0, 0, 0, 11])


def over_midnight(say: list[str]) -> dict[int, list[Record]]:
    """Return what is kept of each day by a recorder that vouches a minute before a midnight and ten after.

    `say`: what the store says to each record after that midnight, in order; then that it keeps it.
    """
    made, _ = purpose()
    kept: dict[int, list[Record]] = {}

    def keep(begins: int, data: bytes, **_: bool) -> str:
        said = say.pop(0) if made._time.wall > MIDNIGHT and say else "kept"
        if said == "kept":
            kept.setdefault(begins // DAY, []).append(unpack(data))
        return said

    made.attribution = Attribution(keep, lambda _mac, _start: b"")
    made._time = BelievedTime(made._clock, made.attribution, made._seal, 0)
    for second in (1, 2, DAY // 2 - 60):
        tick(made, second)
    made._mark()
    for second in (600, 900, 1200):
        tick(made, DAY // 2 + second)
        made.list_ended((DAY // 2 + second - 2) * SECOND)
        made._mark()
    return kept


def test_who_vouches_for_a_day_s_end_stands_in_that_day_s_segments() -> None:
    """Where its last one is missing, the next day's first mark told of minutes whose records were gone."""
    kept = over_midnight([])
    before, after = ([(one.start - MIDNIGHT, (one.end or 0) - MIDNIGHT) for one in kept[day]] for day in sorted(kept))
    assert before == [(2 - DAY // 2, -60), (-60, 0)]
    assert after == [(0, 600), (600, 900), (900, 1200)]
    assert coverage.vouched(kept.values()) == [(NOON + 2, MIDNIGHT + 1200)]
    (first, _), second = kept.values()
    assert coverage.gaps(coverage.vouched([[first], second]), NOON + 2, MIDNIGHT) == [(MIDNIGHT - 60, MIDNIGHT)]


@pytest.mark.parametrize("said", ["lost", "due on arrival"])
def test_a_day_s_end_that_is_not_kept_stands_in_no_other_day(said: str) -> None:
    """It is tried again where it was lost; a day of which all is destroyed doesn't hold the next one up."""
    kept = over_midnight([said])
    ends = [(day, one.start - MIDNIGHT, (one.end or 0) - MIDNIGHT) for day in sorted(kept) for one in kept[day]]
    day = MIDNIGHT // DAY
    again = (day - 1, -60, 0), (day, 0, 900), (day, 900, 1200)
    assert ends[1:] == [*(again if said == "lost" else ((day, 0, 600), (day, 600, 900), (day, 900, 1200)))]


def test_what_lasts_while_the_public_address_changes_and_comes_back_is_recorded(tmp_path: Path) -> None:
    """The row of its block ends with the address: between the two, `nothing held` was said of its port."""
    made, _, _ = with_blocks(tmp_path)
    assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 5, NOON + 10, 10)
    for second, public in ((100, OTHER), (900, PUBLIC), (910, PUBLIC)):
        made._lan.public = public
        tick(made, second)
        for start in (5, 99, 150):
            assert not made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + start, NOON + second, second)
    assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 905, NOON + 910, 910)
    made.attribution.holdings.close()


def handed_over(made: Any, second: int) -> None:
    """Let what was kept be handed over, so many seconds after noon."""
    tick(made, second)
    store = SimpleNamespace(seal=lambda: True, held=lambda *_: [], key_days=lambda: 30, stepped=lambda: True)
    made._stores, made._gateway = {"attribution": store}, ""
    made._closed(SimpleNamespace(store="attribution", start=NOON, end=NOON + second))


@pytest.mark.parametrize("gone", [True, False])
def test_a_handover_names_who_has_gone_up_to_his_last_connection(gone: bool, tmp_path: Path) -> None:
    """He was named up to the handover, by a block that he had no more, or an IPv6 address; and who stays still is."""
    made, kept, _ = with_blocks(tmp_path)
    made.holder[SIX] = MAC
    for source, public, port in ((A, PUBLIC, 16387), (SIX, SIX, 2000)):
        assert made.attribution.holdings.covers(source, public, port, MAC, NOON + 3, NOON + 40, 40)
    tick(made, 50)
    if gone:
        made.holder.clear()
    handed_over(made, 600)
    rows = matching.holdings([kept], NOON + 600, made._time.unbroken)
    assert [one.until - NOON for one in rows] == [40 if gone else 600] * 2
    for source, public, port in ((A, PUBLIC, 16387), (SIX, SIX, 2000)):  # what lasts after that is recorded by itself
        assert made.attribution.holdings.covers(source, public, port, MAC, NOON + 30, NOON + 601, 601) != gone
    made.attribution.holdings.close()


@pytest.mark.parametrize("what", ["midnight", "another address"])
def test_who_has_gone_has_no_row_of_a_new_day_or_address(what: str, tmp_path: Path) -> None:
    """His block rests, and its row was said to go on: to midnight, or under an address that he never had."""
    made, kept, _ = with_blocks(tmp_path)
    last = DAY // 2 - 300 if what == "midnight" else 40
    made.holder[A] = MAC
    for second in range(50, last, 3600):
        assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 3, NOON + second, second)
        tick(made, second)
    assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 3, NOON + last, last)
    made.holder.clear()
    tick(made, last + 60)
    made._lan.public = PUBLIC if what == "midnight" else OTHER
    tick(made, last + 310)
    rows = {(one.public_address, one.start - NOON, one.end and one.end - NOON) for one in kept if one.first}
    assert rows == {(PUBLIC, 3, None), (PUBLIC, 3, last)}
    made.attribution.holdings.close()


def test_a_block_rests_for_a_day_after_its_last_connection_whose_row_a_handover_has_ended(tmp_path: Path) -> None:
    """It was given again while a connection that had outlived the handover by a day went on."""
    made, kept, _ = with_blocks(tmp_path)
    made.holder.clear()
    handed_over(made, 600)
    for second in range(900, 30 * 3600, 300):
        assert not made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 3, NOON + second, second)
        tick(made, second)
    made.attribution.holdings.blocks._hand = 0
    made.holder[B] = OTHER_MAC
    made.attribution.holdings.hold(B, OTHER_MAC, made._time.wall, made._time.now)
    assert {one.first for one in kept if one.mac == OTHER_MAC} == {16896}
    made.attribution.holdings.close()


def test_who_was_there_after_midnight_has_a_row_of_that_day(tmp_path: Path) -> None:
    """A day's segment is destroyed before the next one's: seconds that stood in it alone were `nothing held` then."""
    made, kept, _ = with_blocks(tmp_path)
    for second in range(50, DAY // 2, 3600):
        assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 3, NOON + second, second)
        tick(made, second)
    tick(made, DAY // 2 - 4)
    assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 3, MIDNIGHT + 3, DAY // 2 + 3)
    made.attribution.holdings.hold(A, OTHER_MAC, MIDNIGHT + 4, DAY // 2 + 4)
    rows = [(one.start - NOON, one.end and one.end - NOON) for one in kept if one.first and one.mac == MAC]
    assert rows == [(3, None), (3, DAY // 2), (DAY // 2, None), (DAY // 2, DAY // 2 + 3)]
    made.attribution.holdings.close()


@pytest.mark.parametrize("former", [PUBLIC, bytes(4)])
def test_a_restart_by_another_address_names_nobody_before_it_is_known_who_is_there(
    former: bytes, tmp_path: Path
) -> None:
    """The former process' map has a holder; another had the address by now, and he was named for a second."""
    made, _, _ = with_blocks(tmp_path)
    made._lan.public = former
    tick(made, 4)
    made.attribution.holdings.close()
    made, kept, _ = with_blocks(tmp_path, trusted=False)
    kept.clear()
    made.attribution.holdings.close()
    blocks = Blocks(str(tmp_path / "blocks"), str(tmp_path / "ports"), 512, made._table, made._row_kept, made._user, 0)
    made.attribution.holdings = Holdings(blocks, made.attribution.keep_row, made._user, lambda: 0)
    made.holder, made._lan.public, made._next = {A: OTHER_MAC}, OTHER, 0
    made._time = BelievedTime(made._clock, made.attribution, made._seal, 0)
    for second in (10, 11, 12):
        tick(made, second)
    assert [one.mac for one in kept if one.public_address == OTHER and one.first] == []
    made.attribution.holdings.close()
