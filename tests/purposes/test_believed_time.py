# SPDX-License-Identifier: Apache-2.0
"""A clock that was confirmed while it was wrong.

Nobody is named by it once the time service has contradicted it (L34-II-4).
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.base.clock import Clock
from agent.purposes.attribution.attribution import Attribution
from agent.purposes.attribution.blocks import Blocks
from agent.purposes.attribution.holdings import Holdings
from agent.purposes.attribution.record import Record, unpack
from agent.purposes.believed_time import BelievedTime
from agent.purposes.deferred_purposes import DeferredPurposes
from agent.purposes.requests.requests import Refused
from tools.custodian import coverage, matching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.interpreters import Interpreter, Remote

SECOND, HOUR, DAY = 1_000_000_000, 3600, 86400
MORNING = 20_000 * DAY + 6 * HOUR
NOON = MORNING + 6 * HOUR
PUBLIC = bytes([203, 0, 113, 2])
LOOK = 60  # seconds between two looks of the recorder


class Venue:
    """A gateway with port blocks, whose guests each come at a full hour, and go an hour later.

    Its clock shows what a test says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.true = MORNING
        self.ahead = 0  # s by which the clock is wrong
        self.boots = 0
        self.floor = 0
        self.kept: dict[int, list[bytes]] = defaultdict(list)  # by the day of their segment
        self.truth: list[tuple[int, int, int]] = []  # first port, from, until
        self.guest: bytes | None = None
        self.lose = False
        self.boot()

    def boot(self) -> None:
        """Switch it on: nothing but flash is left."""
        self.boots += 1
        self.booted = self.true
        self.start()

    def start(self) -> None:
        """Start the recorder, in this boot."""
        source = SimpleNamespace(
            boot=str(self.boots), wall=lambda: self.shown * SECOND, monotonic=lambda: (self.true - self.booted) * SECOND
        )
        self.clock = Clock(source, str(self.folder / "clock"), str(self.folder / "lines"), self.floor)
        made: Any = object.__new__(DeferredPurposes)
        made.requests = SimpleNamespace(executor=SimpleNamespace(tidied=True))
        self.made = made
        made.billing, made._lines, made._section = None, self.clock.lines, SimpleNamespace(upstream_nat="")
        made._lan = SimpleNamespace(behind=False, public=PUBLIC, outs=())
        made._table = SimpleNamespace(devices=(), stands=lambda: True)
        made._table.give = made._table.load = made._table.take = lambda *_: None
        made._portal = made.sessions = SimpleNamespace(tick=lambda _now: None, changed=False)
        made._stores = {"attribution": SimpleNamespace(key_days=lambda: 30, stepped=lambda: True)}
        made._holder = lambda address: b"\2\0\0\0\0" + address[3:] if address == self.guest else b""
        made._next = 0
        made.attribution = Attribution(self.append, lambda _mac, _start: b"")
        path, flash = str(self.folder / f"blocks{self.boots}"), str(self.folder / f"ports{self.boots}")
        nobody = lambda _mac, _start: b""  # noqa: E731 (a word)
        blocks = Blocks(path, flash, 512, made._table, made._row_kept, nobody, 0)
        made.attribution.holdings = Holdings(blocks, made.attribution.keep_row, nobody, lambda: 0)
        made._time = BelievedTime(self.clock, made.attribution, made._seal, 0)

    @property
    def shown(self) -> int:
        """Return what the clock shows."""
        return self.true + self.ahead

    def append(self, begins: int, data: bytes, **_: bool) -> str:
        """Keep a record as a store does: nothing is of a day that hasn't come."""
        if self.lose:
            return "lost"
        self.kept[min(begins, self.shown) // DAY].append(data)
        return "kept"

    def confirm(self) -> None:
        """Let the time service say that the clock is right."""
        self.look()
        self.clock.confirm()
        self.look()

    def look(self) -> None:
        """Let the recorder look at its clocks, and do what is due."""
        step = self.clock.tick()
        if step:
            self.made.stepped(step, self.clock.source.wall())
        self.made.tick(self.clock.source.wall(), self.clock.source.monotonic(), trusted=self.clock.trusted)

    def run(self, hours: float, *, confirms: bool = True) -> None:
        """Let time pass; a guest uses his block all the time, but for his last minutes."""
        over = self.true + int(hours * HOUR)
        while self.true < over:
            self.true += LOOK
            now = self.true - self.booted
            if confirms and now % 900 == 0:
                self.confirm()
            self.look()
            if self.clock.trusted and now % HOUR == 0:
                self.floor = self.clock.floor = max(self.floor, self.shown)
            if now % 300 == 0:
                self.made.list_ended(self.clock.source.monotonic())
                self.made._mark()
            self._guest(now)

    def _guest(self, now: int) -> None:
        if self.true % HOUR == 60:
            number = self.true // HOUR % 200
            self.guest = bytes([192, 168, 1, number])
            self.made.attribution.holdings.hold(
                self.guest, self.made._holder(self.guest), self.made._time.wall, self.made._time.now
            )
            block = self.made.attribution.holdings.blocks._given.get(self.guest, -1)
            if block >= 0:
                self.truth.append(
                    (self.made.attribution.holdings.blocks.map.ports(block)[0], self.true, self.true + HOUR - 60)
                )
        if self.guest is not None:
            block = self.made.attribution.holdings.blocks._given.get(self.guest, -1)
            if block >= 0:
                port = self.made.attribution.holdings.blocks.map.ports(block)[0]
                self.made.attribution.holdings.covers(
                    self.guest, PUBLIC, port, self.made._holder(self.guest), self.shown, self.shown, now
                )

    def marks(self, days: range) -> list[list[Record]]:
        """Return the marks of some days."""
        return [[mark for one in self.kept[day] if coverage.is_mark(mark := unpack(one))] for day in days]

    def wrong(self) -> tuple[list[str], int]:
        """Ask of each block and quarter of an hour.

        Returns who is named falsely, or not and nothing said, and how often rightly.
        """
        found, right = [], 0
        made = self.shown
        for first, moment in (
            (first, at) for first, _, _ in self.truth for at in range(MORNING - HOUR, made - 60, 1500)
        ):
            asked: Any = SimpleNamespace(
                store="attribution",
                purpose="attribution",
                scope=SimpleNamespace(public=PUBLIC, port=first, protocol=6),
                start=moment,
                end=moment + 60,
            )
            days = range(moment // DAY - 1, (moment + 60) // DAY + 2)
            rows, unknown = matching.rows(asked, [self.kept[day] for day in days], made, self.made._time.unbroken)
            if not rows and not unknown:
                unknown += coverage.notes(asked, self.marks(days), made)
            held = any(
                port == first and begin - LOOK <= moment and moment + 60 <= over for port, begin, over in self.truth
            )
            if rows and not any(
                port == first and begin - LOOK <= moment + 60 and moment <= over for port, begin, over in self.truth
            ):
                found.append(f"named at {(moment - MORNING) / HOUR:+.2f} h")
            if held and not rows and not unknown:
                found.append(f"nothing held at {(moment - MORNING) / HOUR:+.2f} h")
            right += held and bool(rows)
        return found, right


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    """Give one whose clock is right and was confirmed."""
    made = Venue(tmp_path)
    made.run(1)
    yield made
    made.made.attribution.holdings.close()


def ahead_for_longer_than_it_is_wrong(venue: Venue) -> None:
    venue.ahead = 3000
    venue.run(4)
    venue.ahead = 0
    venue.run(2)


def behind(venue: Venue) -> None:
    venue.ahead = -3000
    venue.run(4)
    venue.ahead = 0
    venue.run(2)


def ahead_and_the_right_time_is_refused(venue: Venue) -> None:
    venue.ahead = 5 * HOUR
    venue.run(3)
    venue.ahead = 0
    venue.run(7)


def ahead_since_the_boot(venue: Venue) -> None:
    venue.ahead = 2 * HOUR
    venue.boot()
    venue.run(3)
    venue.ahead = 0
    venue.run(4)


def ahead_and_power_is_lost(venue: Venue) -> None:
    venue.ahead = 5 * HOUR
    venue.run(3)
    venue.ahead = 0
    venue.boot()
    venue.run(7)


def ahead_and_power_is_lost_twice(venue: Venue) -> None:
    """The second time when the right time is accepted again."""
    venue.ahead = 5 * HOUR
    venue.run(3)
    venue.ahead = 0
    venue.boot()
    venue.run(5)
    venue.boot()
    venue.run(1)


def ahead_by_degrees(venue: Venue) -> None:
    for _ in range(4):
        venue.ahead += 900
        venue.run(1)
    venue.ahead = 0
    venue.run(3)


def ahead_while_the_recorder_is_started_anew(venue: Venue) -> None:
    venue.ahead = 3000
    venue.run(2)
    venue.start()
    venue.run(2)
    venue.ahead = 0
    venue.start()
    venue.run(2)


def set_back_and_records_are_lost(venue: Venue) -> None:
    venue.ahead = 3000
    venue.run(1)
    for _ in range(8):
        venue.made.lost()
        venue.run(0.25)
    venue.ahead = 0
    venue.run(0.1)
    venue.made.lost()
    venue.run(3)


@pytest.mark.parametrize(
    "lie",
    [
        ahead_for_longer_than_it_is_wrong, behind, ahead_and_the_right_time_is_refused,
        ahead_since_the_boot, ahead_and_power_is_lost, ahead_and_power_is_lost_twice,
        ahead_by_degrees, ahead_while_the_recorder_is_started_anew, set_back_and_records_are_lost,
    ],
    ids=lambda lie: lie.__name__,
)  # fmt: skip
def test_a_clock_that_was_wrong_and_confirmed_names_nobody_falsely(lie: Callable[[Venue], None], venue: Venue) -> None:
    lie(venue)
    assert venue.wrong()[0] == []


def test_a_clock_that_was_set_and_never_confirmed_so_leaves_what_was_before(venue: Venue) -> None:
    venue.run(3)
    before = venue.wrong()[1]
    venue.ahead = 3000
    venue.run(0.5, confirms=False)
    venue.ahead = 0
    venue.run(2)
    found, right = venue.wrong()
    assert found == []
    assert right >= before >= 6


@pytest.mark.parametrize("ahead", [5 * HOUR, 30 * HOUR, -3000])
@pytest.mark.parametrize("begun", [120, -1200])
def test_what_began_before_a_false_time_was_believed_names_nobody(ahead: int, begun: int, venue: Venue) -> None:
    """It began that long after the false step, and was written when the false time was believed."""
    venue.floor = venue.clock.floor = 0
    begun += venue.true
    venue.ahead = ahead
    venue.look()
    venue.run(0.1, confirms=False)
    while not venue.made._time.trusted:
        venue.run(0.25)
    one: Any = SimpleNamespace(protocol=6, translated_port=2000, start=(begun + ahead) * SECOND)
    terminal: Any = SimpleNamespace(mac=lambda: bytes([2, 0, 0, 0, 0, 9]), newest=True)
    end = venue.shown * SECOND
    assert venue.made.attribution.connection(one, bytes([192, 168, 1, 9]), PUBLIC, terminal, end, venue.true) == "kept"
    asked: Any = SimpleNamespace(
        store="attribution",
        purpose="attribution",
        scope=SimpleNamespace(public=PUBLIC, port=2000, protocol=6),
        start=begun + ahead,
        end=begun + ahead + 60,
    )

    def named() -> bool:
        days = range(asked.start // DAY - 1, asked.end // DAY + 2)
        return bool(matching.rows(asked, [venue.kept[day] for day in days], venue.shown)[0])

    assert named() == (ahead > 0)  # one that lies before the former reading's latest is denied with that
    venue.run(1)
    venue.ahead = 0
    venue.run(1)
    assert not named()


@pytest.mark.parametrize("again", [True, False])
def test_a_reading_that_was_days_behind_is_denied_by_a_recorder_that_is_started_anew(again: bool, venue: Venue) -> None:
    """L34-II-4: between the step, by which trust is lost, and the second confirmation of the true time."""
    venue.floor, venue.ahead = 0, -30 * HOUR
    venue.boot()
    venue.run(3)
    first, begin, _ = venue.truth[-1]
    moment = begin - 30 * HOUR + 600
    asked: Any = SimpleNamespace(
        store="attribution",
        purpose="attribution",
        scope=SimpleNamespace(public=PUBLIC, port=first, protocol=6),
        start=moment,
        end=moment + 60,
    )

    def named() -> bool:
        days = range(moment // DAY - 1, moment // DAY + 2)
        return bool(matching.rows(asked, [venue.kept[day] for day in days], venue.shown)[0])

    assert named()
    venue.ahead = 0
    venue.look()
    assert not venue.clock.trusted
    if again:
        venue.confirm()
        venue.start()
    venue.run(2)
    assert venue.clock.trusted
    assert not named()


def test_a_denial_that_the_store_could_not_take_is_owed_and_nothing_is_handed_over_before(venue: Venue) -> None:
    ahead_for_longer_than_it_is_wrong(venue)
    venue.ahead = 3000
    venue.run(4)
    request: Any = SimpleNamespace(store="attribution", start=NOON, end=NOON)
    venue.made._stores["attribution"].seal = lambda: True
    venue.made._stores["attribution"].held = lambda *_: ["segment"]
    venue.made._gateway = "G"
    assert venue.made._closed(request)[0] == ["segment"]
    venue.lose = True
    venue.ahead = 0
    venue.look()
    for hours in (0, 0.5):  # what was set back can't be taken back; then what was confirmed can't be denied
        venue.run(hours)
        with pytest.raises(Refused, match="flash refuses"):
            venue.made._closed(request)
    venue.lose = False
    venue.run(3)
    assert venue.wrong()[0] == []
    assert venue.made._closed(request)[0] == ["segment"]


@pytest.fixture
def stage(interpreter: Interpreter, remotes: Callable[..., Remote]) -> Remote:
    """Give the modules of `attribution` on an interpreter."""
    return remotes(interpreter.name, "tests.support.attribution_stage")


def of_days(rows: list[list[Any]]) -> list[tuple[int, int, int]]:
    """Return what is denied: in which day's segment it stands, from when until when (s after NOON)."""
    return [(row[0] - NOON // DAY, row[8] - NOON, row[9] - NOON) for row in rows if row[3] == 1 and not row[10]]


def look(second: int, ahead: int = 0, **clock: int) -> list[Any]:
    """Return a step: the recorder looks at a clock that is so much ahead, `second` after a boot at NOON.

    What is confirmed is that.
    """
    return ["look", NOON + second + ahead, second, clock]


def by_day(begin: int, end: int) -> list[tuple[int, int, int]]:
    """Return the parts of a time (s after NOON) that each day has."""
    days = range((begin + DAY // 2) // DAY, (end - 1 + DAY // 2) // DAY + 1)
    return [(day, max(begin, day * DAY - DAY // 2), min(end, day * DAY + DAY // 2)) for day in days]


BELIEVED = {"trusted": 1, "confirmed": NOON * SECOND}
LATER = "a later one since it is believed"
STORIES: dict[str, tuple[list[list[Any]], list[tuple[int, int, int]]]] = {
    "the boot's first time is denied with the days before it, a segment for each, eight of them in all": (
        [look(1, **BELIEVED), look(99), look(100, -50, confirmed=(NOON - 50) * SECOND), look(101, -50)],
        by_day(100 - 8 * DAY, 100),
    ),
    LATER: (
        [
            look(1, **BELIEVED), look(99), look(100, 500, confirmed=(NOON + 500) * SECOND), look(200, 500),
            look(300, 100, confirmed=(NOON + 100) * SECOND), look(400, 100, confirmed=(NOON + 100) * SECOND),
        ],
        [(0, 99, 701)],
    ),
    "what a quartz strays in a week without a time service is denied for that week": (
        [
            look(1, **BELIEVED), look(600, confirmed=NOON * SECOND + 1),
            look(DAY * 7), look(DAY * 7 + 1, 20, confirmed=(NOON + 20) * SECOND),
        ],
        by_day(600, 7 * DAY + 1),
    ),
    "two seconds are none, nor is a step that nobody confirms": (
        [
            look(1, **BELIEVED), look(99), look(100, 2, confirmed=(NOON + 2) * SECOND),
            look(101, 2), look(200, 900), look(300, 2),
        ],
        [],
    ),
    ("a time before the latest that flash has, by a process that has believed no other, "
    "and again once one is believed"): (
        [look(1, refused=1, floor=NOON + 7200), look(2), look(3, refused=0), look(4, refused=1)],
        by_day(7200 + 3660 - 8 * DAY, 7200 + 3660),
    ),
    "what the store couldn't take is denied as soon as it can": (
        [
            look(1, **BELIEVED), look(99), ["refuse", *look(100, -50, confirmed=(NOON - 50) * SECOND)[1:]],
            ["refuse", *look(101, -50)[1:]], look(102, -50), look(103, -50),
        ],
        by_day(100 - 8 * DAY, 100),
    ),
    "a file of a later date denies nothing": (
        [look(1, **BELIEVED), look(2, refused=1, floor=NOON + 7200), look(3)], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_what_the_time_service_contradicts_is_denied_day_by_day(name: str, stage: Remote) -> None:
    """On both interpreters: bounded, so that one forged time can't withhold every name.

    And of the latest line of time alone.
    """
    steps, denied = STORIES[name]
    rows = stage("believed", steps)
    found = of_days(rows)
    assert found[len(found) - len(denied) :] == denied
    assert len(found) == (len(denied) if name != LATER else len(denied) + 9)


@pytest.mark.parametrize("once", [True, False])
def test_a_refused_time_denies_again_when_it_is_accepted_and_no_more(once: bool, stage: Remote) -> None:
    """Flips cost no more than one row each: who forges the time can't fill the flash."""
    steps = [look(1, **BELIEVED), look(99)]
    for second in range(100, 200 if once else 2000, 100):
        steps += [look(second, -7200, refused=1), look(second + 50, refused=0)]
    rows = of_days(stage("believed", steps))
    assert len(rows) == 9 + (0 if once else 18)
