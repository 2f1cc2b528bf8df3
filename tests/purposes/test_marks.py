# SPDX-License-Identifier: Apache-2.0
"""When nobody may vouch that every connection was heard and kept.

Each of these made `nothing held` of what was there (L34-II-4).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.control import calls
from agent.purposes.attribution.attribution import Attribution
from agent.purposes.attribution.blocks import Blocks
from agent.purposes.attribution.holdings import Holdings
from agent.purposes.attribution.record import Record, unpack
from agent.purposes.believed_time import BelievedTime
from agent.purposes.custodian import custodian
from agent.purposes.deferred_purposes import DeferredPurposes
from agent.purposes.portal.sessions import Sessions
from agent.purposes.requests import requests
from agent.purposes.requests.executor import RunningRequest
from agent.recorder.pipeline import Pipeline
from agent.vault.stores import name_of
from tests.custodian.test_answers import MIDNIGHT, TEN, Gateway, connection, mark
from tools.custodian import answers, coverage, matching
from tools.custodian.coverage import is_mark

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
DAY = 86400
NOON = 20_000 * DAY + DAY // 2


class Records(list[Record]):
    """What was kept, in order."""

    def marks(self, *, confirmed: bool = True) -> list[list[int]]:
        """Return the times that were vouched for; those that were taken back where `confirmed` is False."""
        return [[one.start, one.end or 0] for one in self if is_mark(one) and one.confirmed == confirmed]


def purpose() -> tuple[Any, Records]:
    """Return a recorder's deferred purposes with attribution alone, at noon, and what it keeps."""
    kept = Records()

    def keep(_begins: int, data: bytes, **_: bool) -> str:
        kept.append(unpack(data))
        return "kept"

    made: Any = object.__new__(DeferredPurposes)
    made.requests = SimpleNamespace(executor=SimpleNamespace(tidied=True))
    made.attribution, made.billing = Attribution(keep, lambda _mac, _start: b""), None
    made._section = SimpleNamespace(upstream_nat="acknowledged")
    made._clock = SimpleNamespace(trusted=False, once=False, confirmed=NOON * SECOND, missed=0, refused=False, floor=0)
    made._lines = SimpleNamespace(stepped=False)
    made._lan = SimpleNamespace(behind=False, public=(), outs=())
    made._table, made._portal = SimpleNamespace(devices=()), SimpleNamespace(tick=lambda _now: None)
    made._stores = {"attribution": SimpleNamespace(key_days=lambda: 30, stepped=lambda: True)}
    made._holders, made._next, made.sessions = None, 1 << 60, Sessions()
    made._time = BelievedTime(made._clock, made.attribution, made._seal, 0)
    return made, kept


def tick(made: Any, second: int, boot: int = NOON) -> None:
    """Let it be so many seconds after noon; `boot`: when the clock says that the device booted."""
    made.tick((boot + second) * SECOND, second * SECOND, trusted=True)


def test_nobody_vouches_for_the_time_behind_a_second_nat() -> None:
    made, kept = purpose()
    tick(made, 1)
    made._lan.behind = True
    tick(made, 60)
    made._mark()
    made._lan.behind = False
    tick(made, 120)
    tick(made, 121)
    tick(made, 180)
    made._mark()
    assert kept.marks() == [[NOON + 121, NOON + 180]]


def test_a_list_that_was_begun_before_a_step_dates_nothing() -> None:
    """Nor does what it said stay: the clock that dated it isn't believed any more."""
    made, _ = purpose()
    tick(made, 1)
    made.list_ended(1 * SECOND)
    assert made.attribution.listed == NOON  # a second early: what the clocks' seconds leave out
    made.stepped(-30 * SECOND, (NOON - 20) * SECOND)
    assert (made.attribution.listed, made.attribution.lasting) == (0, 0)
    made._clock.confirmed = (NOON - 30) * SECOND
    tick(made, 10, NOON - 30)
    made.list_ended(9 * SECOND)
    assert made.attribution.listed == 0
    made.list_ended(10 * SECOND)
    assert made.attribution.listed == NOON - 21


def test_midnight_that_a_clock_ahead_has_seen_is_no_midnight() -> None:
    made, kept = purpose()
    tick(made, 1)
    made.attribution.split(NOON + DAY)
    made.stepped(-3600 * SECOND, NOON * SECOND)
    tick(made, 2)
    tick(made, DAY // 2 + 9)
    made._mark()
    assert kept.marks() == []


def test_a_time_that_comes_twice_is_taken_back() -> None:
    """What was vouched for before the clock was set back may have happened under the other reading, or not at all."""
    made, kept = purpose()
    tick(made, 1)
    tick(made, 2)
    tick(made, 600)
    made.stepped(-3600 * SECOND - 1, (NOON - 3000) * SECOND - 1)
    assert (kept.marks(), kept.marks(confirmed=False)) == ([[NOON + 2, NOON + 600]], [[NOON - 3001, NOON + 601]])
    assert coverage.vouched([kept]) == []
    # Forward, and back to a time that nobody has vouched for: none comes twice
    made.stepped(7200 * SECOND, (NOON + 4200) * SECOND)
    made.stepped(-3000 * SECOND, (NOON + 1200) * SECOND)
    assert len(kept) == 2


def test_a_time_that_comes_twice_is_taken_back_where_no_process_saw_it() -> None:
    made, kept = purpose()
    made._clock.missed = -3600 * SECOND
    tick(made, 1)
    assert kept.marks(confirmed=False) == [[NOON + 1, NOON + 3601]]
    tick(made, 2)
    assert len(kept) == 1


@pytest.mark.parametrize("trusted", [True, False])
def test_a_restart_ends_a_former_process_s_rows_as_sure_as_its_clock_is(trusted: bool, tmp_path: Path) -> None:
    """Rows begin again within the new process' marks, when whose an address is is known.

    A later cut leaves them certain until the last.
    """

    def keep(record: Record) -> bool:
        record.confirmed = made.attribution.confirmed
        kept.append(record)
        return True

    for process in (1, 2):
        made, kept = purpose()
        nobody = lambda _mac, _start: b""  # noqa: E731 (a word)
        blocks = Blocks(str(tmp_path / "blocks"), str(tmp_path / "ports"), 512, made._table, keep, nobody, 0)
        made.attribution.holdings = Holdings(blocks, keep, nobody, lambda: 0)
        made._table.give = made._table.load = lambda *_words: None
        made._table.stands = lambda: True
        made._section = SimpleNamespace(upstream_nat="")
        made._lan.public = bytes([203, 0, 113, 2])
        made._holder = lambda _address: bytes([2, 0, 0, 0, 0, 10])
        second = 100 * process
        made.tick((NOON + second) * SECOND, second * SECOND, trusted=trusted or process == 1)
        if process == 1:
            tick(made, 101)
            blocks.hold(bytes([192, 168, 1, 10]), bytes([2, 0, 0, 0, 0, 10]), NOON + 110, 110)
            tick(made, 150)
            made._mark()
        else:
            for second in (201, 260):
                made.tick((NOON + second) * SECOND, second * SECOND, trusted=trusted)
            made._mark()
        blocks.close()
    ended, *again = [one for one in kept if not is_mark(one)]
    assert (ended.start, ended.end, ended.confirmed) == (NOON + 110, NOON + 110, trusted)
    assert [(one.start, one.end, one.confirmed) for one in again] == [(NOON + 201, None, trusted)]
    assert not trusted or matching.holdings([kept])[1].until == NOON + 260


def test_connection_without_time_stamps_is_one_that_was_lost() -> None:
    told: list[str] = []
    one = SimpleNamespace(lost=lambda: told.append("lost"), connection=lambda *_: told.append("kept"))
    fake: Any = SimpleNamespace(
        _values={"no purpose": 0, "unknown terminal": 0}, purposes=[one], _ring=None, by_consent=False, _decoder=None
    )
    for stop in (0, 1):
        connection: Any = SimpleNamespace(stop=stop)
        Pipeline._record(fake, connection, None, 0, 0)
    assert told == ["lost", "kept"]


def test_missing_segments_are_counted_by_their_hexadecimal_numbers() -> None:
    """Nine are missing where 10 is there alone, none where 1 to 16 are."""
    request = SimpleNamespace(start=NOON, end=NOON + 3600)

    def notes(numbers: range) -> list[str]:
        names = [
            name_of(NOON // DAY + day, number) for day, some in ((-1, range(1, 2)), (0, numbers)) for number in some
        ]
        handover: Any = SimpleNamespace(request=request, segments=dict.fromkeys(names, b""))
        return [str(note) for note in answers.absent(handover)]

    assert notes(range(1, 17)) == []
    assert [text.split(": ")[1][:10] for text in notes(range(10, 11))] == ["9 segments"]


@pytest.mark.parametrize("ago", [1, 3600])
def test_rows_begin_anew_and_confirmed_once_a_clock_that_was_set_is_believed_again(ago: int) -> None:
    """A small step is believed at the next look already.

    What was begun between is of no confirmed time, whatever follows.
    """
    made, _ = purpose()
    told: list[tuple[int, bool]] = []
    made.attribution.holdings.restate = lambda wall, _now, _step=0, *, ended=True, every=True: told.append(
        (wall - NOON, ended and every and made.attribution.confirmed)
    )
    tick(made, 1)
    tick(made, 2)
    made.stepped(-ago * SECOND, (NOON + 2 - ago) * SECOND)
    made._clock.confirmed -= ago * SECOND
    tick(made, 3, NOON - ago)
    tick(made, 4, NOON - ago)
    tick(made, 5, NOON - ago)
    assert told == [(2, True), (2 - ago, False), (4 - ago, True)]


@pytest.mark.parametrize("by", ["page", "segment"])
def test_a_mark_is_on_flash_no_sooner_than_what_it_vouches_for(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L34-II-4: what began the day before waits in an older page.

    Power may go between two writes, where a page or a segment is full.
    """
    gateway = Gateway(tmp_path)
    store, folder = gateway.stores["attribution"], tmp_path / "flash/attribution"

    def fill() -> None:
        for port in range(1024, 1224):
            gateway.keep(connection(port, TEN, TEN + 1))

    fill()
    gateway.keep(connection(20012, MIDNIGHT - 3600, MIDNIGHT + 60), mark(MIDNIGHT, TEN + 7200))
    assert [path.name[:10] for path in folder.glob("20*")] == ["2027-01-16"]
    if by == "page":
        fill()
    else:
        monkeypatch.setattr(custodian, "SEGMENT_LIMIT", 1)
        store.tick((TEN + 7201) * SECOND, (2 * DAY + 1) * SECOND, trusted=True)
        assert list(store._writer.pages) == [MIDNIGHT // DAY - 1]
    assert sorted(path.name[:10] for path in folder.glob("20*")) == ["2027-01-15", "2027-01-16"]
    gateway.close()


A, MAC, PUBLIC = bytes([192, 168, 1, 10]), bytes([2, 0, 0, 0, 0, 10]), bytes([203, 0, 113, 2])


def with_blocks(folder: Path, *, trusted: bool = True) -> tuple[Any, list[Record], list[bool]]:
    """Return deferred purposes with blocks, what they keep, and whether the store refuses now."""
    made, _ = purpose()
    kept: list[Record] = []
    refusing = [False]

    def keep(_begins: int, data: bytes, **_: bool) -> str:
        if refusing[0]:
            return "lost"
        kept.append(unpack(data))
        return "kept"

    made.attribution = Attribution(keep, lambda _mac, _start: b"")
    made._time = BelievedTime(made._clock, made.attribution, made._seal, 0)
    made._section, made._lan.public = SimpleNamespace(upstream_nat=""), PUBLIC
    made._table.give = made._table.load = made._table.take = lambda *_words: None
    made._table.stands = lambda: True
    made.holder = {A: MAC}
    made._holder = lambda address: made.holder.get(address, b"")
    blocks = Blocks(str(folder / "blocks"), str(folder / "ports"), 512, made._table, made._row_kept, made._user, 0)
    made.attribution.holdings = Holdings(blocks, made.attribution.keep_row, made._user, lambda: 0)
    made._next = 0
    for second in (1, 2, 3) if trusted else (1,):
        made.tick((NOON + second) * SECOND, second * SECOND, trusted=trusted)
    made.attribution.holdings.hold(A, MAC, made._time.wall, made._time.now)
    return made, kept, refusing


def test_a_lease_has_three_rows_at_a_start_begun_and_ended_and_begun_once_the_time_is_confirmed(tmp_path: Path) -> None:
    """And none of them is written again a second after the start, when nothing is confirmed by then."""
    made, kept, _ = with_blocks(tmp_path, trusted=False)
    made._clock.confirmed = 0
    for second in (4, 5, 600):
        made.tick((NOON + second) * SECOND, second * SECOND, trusted=False)
    made._clock.confirmed = NOON * SECOND
    for second in (700, 701, 702):
        tick(made, second)
    rows = [(one.start - NOON, one.end and one.end - NOON, one.confirmed) for one in kept if not is_mark(one)]
    assert rows == [(1, None, False), (1, 701, True), (701, None, True)]
    made.attribution.holdings.close()


def test_block_answers_for_no_connection_that_left_by_another_public_address(tmp_path: Path) -> None:
    """A second uplink, or an address that was changed a moment ago.

    `nothing held` was said of what the block had covered.
    """
    made, _, _ = with_blocks(tmp_path)
    for public in (PUBLIC, bytes([198, 51, 100, 7])):
        assert made.attribution.holdings.covers(A, public, 16387, MAC, NOON + 5, NOON + 6, 6) == (public == PUBLIC)
    made.attribution.holdings.close()


def test_holding_whose_end_was_lost_is_not_said_to_go_on(tmp_path: Path) -> None:
    """Flash refuses as a terminal leaves, and is well again.

    An hour later another's connection was said to be that terminal's.
    """
    made, kept, refusing = with_blocks(tmp_path)
    tick(made, 600)
    made._mark()
    made.holder.clear()
    refusing[0] = True
    for second in range(610, 2000, 10):
        tick(made, second)
    refusing[0] = False
    for second in range(2000, 5000, 10):
        tick(made, second)
    made._mark()
    found = [
        one.until - NOON
        for one in matching.holdings([kept], made._time.wall, made._time.unbroken)
        if one.record.confirmed
    ]
    assert found == [600]
    made.attribution.holdings.close()


def test_a_block_s_row_names_its_user_until_the_second_of_another_s_log_in(tmp_path: Path) -> None:
    """L34-II-4: the row of the former one ends at the next look, not at the next of each ten seconds."""
    made, kept, _ = with_blocks(tmp_path)
    at = 3
    told: list[tuple[int, str | None]] = [(10, "room12"), (44, "room13"), (76, None)]
    for second, user in told:
        while at < second:
            at += 1
            made.tick((NOON + at) * SECOND, at * SECOND, trusted=True)
        made.session(MAC, user)
        at += 1
        made.tick((NOON + at) * SECOND, at * SECOND, trusted=True)
    rows = [(one.portal_user.decode(), one.start - NOON, one.end and one.end - NOON) for one in kept if one.first]
    ended = {user: end for user, _, end in rows if end}
    assert (ended["room12"], ended["room13"]) == (45, 77)
    assert all(since > second for user, since, _ in rows for second, name in told if user == name)


def test_a_row_that_begins_in_the_second_of_another_s_log_in_ends_in_the_next(tmp_path: Path) -> None:
    """L34-II-4: two rows may not begin in one second, so a look comes in the next; it came ten seconds later."""
    made, kept, _ = with_blocks(tmp_path)
    other, there = bytes((2, 0, 0, 0, 0, 9)), bytes((192, 168, 1, 99))
    made.holder[there] = other
    made.session(other, "room12")
    for second in range(4, 61):
        made.tick((NOON + second) * SECOND, second * SECOND, trusted=True)
    made.attribution.holdings.hold(there, other, NOON + 60, 60)
    made.session(other, "room13")
    made.tick((NOON + 60) * SECOND, 60 * SECOND + 1, trusted=True)
    for second in range(61, 75):
        made.tick((NOON + second) * SECOND, second * SECOND, trusted=True)
    rows = [(one.portal_user, one.start - NOON, one.end and one.end - NOON) for one in kept if one.mac == other]
    assert rows[0] == (b"room12", 60, None)
    assert rows[1][:2] == (b"room12", 60)
    assert rows[1][2] in {60, 61}
    assert rows[-1][0] == b"room13"


def test_nobody_vouches_for_the_time_before_rows_begin_anew(tmp_path: Path) -> None:
    """L34-II-4: a look that came late: a row began seconds after the mark that said that all was kept.

    A connection of before that, which the block answers for, was `nothing held`.
    """
    made, kept, _ = with_blocks(tmp_path)
    made.attribution.holdings.close()
    made, kept, _ = with_blocks(tmp_path, trusted=False)  # the next process
    for second in (4, 9, 60):
        tick(made, second)
    made._mark()
    (begun,) = [one.start - NOON for one in kept if one.first and one.end is None and one.start > NOON + 3]
    assert begun == 9
    assert Records(kept).marks() == [[NOON + 9, NOON + 60]]
    made.attribution.holdings.close()


def test_a_block_that_was_taken_back_names_its_user_no_longer_than_he_is_logged_in(tmp_path: Path) -> None:
    """L34-II-4: its last connections went on, and the row of his with them, until a quarter of an hour was over."""
    made, kept, _ = with_blocks(tmp_path)
    made.session(MAC, "room12")
    for second in range(4, 60):
        tick(made, second)
    made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 50, NOON + 59, 59)
    made.holder.clear()  # he has left his address
    for second in range(60, 80):
        tick(made, second)
    assert [one.end for one in kept if one.portal_user] == [None]
    made.session(MAC, "room13")
    tick(made, 80)
    assert [(one.portal_user, one.end) for one in kept if one.portal_user] == [
        (b"room12", None), (b"room12", NOON + 59)
    ]  # fmt: skip
    assert matching.holdings([kept], NOON + 80, made._time.unbroken)[-1].until == NOON + 59
    made.attribution.holdings.close()


def test_who_takes_an_ipv6_address_ends_the_former_s_row(tmp_path: Path) -> None:
    """L34-II-4: as soon as the kernel tells; a handover named the former until a connection of his did."""
    made, kept, _ = with_blocks(tmp_path)
    address, other = bytes([32, 1, 13, 184, *[0] * 11, 7]), bytes([2, 0, 0, 0, 0, 11])
    made.holder[address] = MAC
    made.holder_changed(address)
    assert made.attribution.holdings.covers(address, address, 2000, MAC, NOON + 2, NOON + 3, 3)
    made.holder_changed(address)
    assert [one.end for one in kept if one.address == address] == [None]
    made.holder[address] = other
    made.holder_changed(address)
    assert [one.end for one in kept if one.address == address] == [None, NOON + 3]
    made.attribution.holdings.close()


def test_holding_whose_begin_was_lost_covers_nothing_and_begins_anew(tmp_path: Path) -> None:
    """At midnight, when flash refuses: until the next one its connections had no row of any kind."""
    made, kept, refusing = with_blocks(tmp_path)
    refusing[0] = True
    made.attribution.holdings.restate(NOON + 20, 20)
    assert not made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 21, NOON + 22, 22)
    refusing[0] = False
    for second in (30, 89, 90):
        tick(made, second)
    assert [one.start - NOON for one in kept if not is_mark(one)] == [3, 90]
    assert made.attribution.holdings.covers(A, PUBLIC, 16387, MAC, NOON + 91, NOON + 92, 92)
    assert matching.holdings([kept], NOON + 200, made._time.unbroken)[-1].until == NOON + 200
    made.attribution.holdings.close()


def test_rows_of_two_users_that_begin_in_one_second_name_the_later_one() -> None:
    """L34-II-4: a store that was written before the recorder waited for the next second."""
    said = ((None, b""), (NOON, b""), (None, b"bob"))
    kept = [Record(None, PUBLIC, 16384, 16895, A, MAC, NOON, end, user, confirmed=True) for end, user in said]
    (one,) = matching.holdings([kept], NOON + 600, NOON)
    assert (one.record.portal_user, one.until, one.recorded) == (b"bob", NOON + 600, False)


def test_request_that_expired_is_not_run_by_a_clock_that_was_set_back() -> None:
    """L34-II-4: by less than an hour: the latest time that flash knows moves each hour only."""
    made, _ = purpose()
    told: list[int] = []
    tick(made, 3000)

    def check(_text: str, _now: int, latest: int, *, trusted: bool) -> None:
        told.append(latest)
        raise requests.Refused("expired", "request: expired" + " now" * trusted)

    executor, sodium = SimpleNamespace(check=check), SimpleNamespace(digest=lambda *_: b"")
    made.requests = RunningRequest(executor, "", sodium, "", lambda *_: True)  # type: ignore[arg-type]
    made.stepped(-1200 * SECOND, (NOON + 1800) * SECOND)
    for latest in (NOON, NOON + 3600):
        with pytest.raises(calls.Refused):
            made.request("", latest)
    assert told == [NOON + 3000, NOON + 3600]
