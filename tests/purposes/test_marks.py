# SPDX-License-Identifier: Apache-2.0
"""When nobody may vouch that every connection was heard and kept: each of these made `nothing held` of what was there (L34-II-4)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from agent.purposes.attribution.attribution import Attribution
from agent.purposes.attribution.record import unpack
from agent.purposes.deferred_purposes import DeferredPurposes
from agent.recorder.pipeline import Pipeline
from agent.vault.stores import name_of
from tools.custodian import answers

SECOND = 1_000_000_000
DAY = 86400
NOON = 20_000 * DAY + DAY // 2


def purpose() -> tuple[Any, list[list[int]]]:
    """Return a recorder's deferred purposes with attribution alone, at noon, and the marks that it keeps."""
    kept: list[list[int]] = []

    def keep(_begins: int, data: bytes) -> str:
        row = unpack(data)
        kept.append([row.start, row.end or 0])
        return "kept"

    made: Any = object.__new__(DeferredPurposes)
    made.attribution, made.billing, made._section = Attribution(keep, lambda _mac: b""), None, None
    made._clock = SimpleNamespace(confirmed=NOON * SECOND, stepped=False)
    made._lan = SimpleNamespace(behind=False, public=(), outs=())
    made._table, made._portal = SimpleNamespace(devices=()), SimpleNamespace(tick=lambda _now: None)
    made._stores = {"attribution": SimpleNamespace(key_days=lambda: 30)}
    made._holders, made._trusted, made._steady, made._unbroken, made._next = None, False, 0, 0, 1 << 60
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
    tick(made, 180)
    made._mark()
    assert kept == [[NOON + 121, NOON + 180]]


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
    assert kept == []


def test_connection_without_time_stamps_is_one_that_was_lost() -> None:
    told: list[str] = []
    one = SimpleNamespace(lost=lambda: told.append("lost"), connection=lambda *_: told.append("kept"))
    fake: Any = SimpleNamespace(
        _values={"no purpose": 0, "unknown terminal": 0}, purposes=[one], _ring=None, by_consent=False, _decoder=None
    )
    for stop in (0, 1):
        connection: Any = SimpleNamespace(stop=stop)
        Pipeline._record(fake, connection, None, 0)
    assert told == ["lost", "kept"]


def test_missing_segments_are_counted_by_their_hexadecimal_numbers() -> None:
    """Nine are missing where 10 is there alone, none where 1 to 16 are."""
    request = SimpleNamespace(start=NOON, end=NOON + 3600)

    def notes(numbers: range) -> list[str]:
        names = [name_of(NOON // DAY + day, number) for day, some in ((-1, range(1, 2)), (0, numbers)) for number in some]
        handover: Any = SimpleNamespace(request=request, segments=dict.fromkeys(names, b""))
        return [str(note) for note in answers.absent(handover)]

    assert notes(range(1, 17)) == []
    assert [text.split(": ")[1][:10] for text in notes(range(10, 11))] == ["9 segments"]
