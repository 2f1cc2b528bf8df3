# SPDX-License-Identifier: Apache-2.0
"""agent/capture/address_table: whose terminal when, alike on both interpreters.

Hand-over, forgetting, bounds, and nothing left behind.

Times are seconds here and ns there. A change counts from a second before it was read; the kernel may have asked for
three seconds before that. A model of a few lines is asked the same as the table, on sequences that Hypothesis invents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.interpreters import Interpreter, Remote

SECOND = 1_000_000_000
A, B, C = "020000000001", "020000000002", "020000000003"  # MACs
X, Y = "c0a80105", "fd000001000000000000000000000005"  # addresses
HOLDERS, ADDRESSES = 8, 32
DAY_OF_DUMPS = 288  # of 300 s each
NOBODY = "000000000000"


class Table:
    """The agent's table on one interpreter."""

    def __init__(self, remote: Remote, limit: int, begun: float = 0) -> None:
        self._remote = remote
        remote("addresses_open", limit, round(begun * SECOND))

    def ask(self, *steps: tuple[Any, ...]) -> dict[str, Any]:
        """Take steps; a number is a time in seconds."""
        return self._remote("addresses", [[step[0], *map(self._ns, step[1:])] for step in steps])

    @staticmethod
    def _ns(word: object) -> object:
        return round(word * SECOND) if isinstance(word, int | float) else word

    def find(self, *questions: tuple[str, float]) -> list[str | None]:
        """Return who held each address at each time."""
        return self.ask(*(("find", *question) for question in questions))["answers"]

    def counts(self) -> dict[str, int]:
        return self.ask()["counts"]


@pytest.fixture
def table(remotes: Callable[[str], Remote], interpreter: Interpreter) -> Iterator[Callable[[int], Table]]:
    """Give a function that opens a table of so many associations."""
    remote = remotes(interpreter.name)
    opened = []

    def open_table(limit: int = 64, begun: float = 0) -> Table:
        opened.append(Table(remote, limit, begun))
        return opened[-1]

    yield open_table
    for _ in opened[-1:]:
        assert remote("addresses_close") == [True, True, True]  # every octet was overwritten before it was unmapped


@pytest.mark.parametrize("address", [X, Y])
def test_connection_belongs_to_who_held_the_address_when_it_began(table: Callable[..., Table], address: str) -> None:
    """L34-I-2: whoever holds it when the end is told of.

    Whose a packet is of the seconds in which the kernel may ask, and its word be on its way, isn't known.
    """
    who = table()
    who.ask(("learn", address, A, 100), ("learn", address, B, 200), ("leave", address), ("learn", address, C, 300))
    asked = [(address, start) for start in (150, 195.9, 196.1, 199.9, 200, 250, 295.9, 296.1, 300, 400)]
    assert who.find(*asked) == [A, A, None, None, B, B, B, None, C, C]
    assert who.counts() == {"handed_over": 2, "given_up": 0, "held": 3}


@pytest.mark.parametrize(("late", "unknown"), [(0.9, 4), (9.2, 14), (62, 66)])
def test_nobody_is_named_of_the_time_in_which_a_change_may_have_waited(
    table: Callable[..., Table], late: float, unknown: int
) -> None:
    """L34-I-2: of a recorder that stood still; what comes later is known to the second again."""
    who = table()
    who.ask(("learn", X, A, 100), ("late", late), ("learn", X, B, 200), ("late", 0), ("learn", X, C, 300))
    asked = [(X, start) for start in (200 - unknown - 0.1, 200 - unknown, 199.9, 200, 295.9, 296.1, 300)]
    assert who.find(*asked) == [A, None, None, B, B, None, C]


def test_who_may_have_come_at_any_time_leaves_nothing_of_before_to_anybody(table: Callable[..., Table]) -> None:
    """The gateway slept for more than a minute, or stood still: a row says by how many seconds, up to 62."""
    who = table()
    who.ask(("learn", X, A, 100), ("late", 62.1), ("learn", X, B, 2000), ("learn", Y, C, 2000), ("late", 0))
    assert who.ask(*[("named", *at) for at in ((X, 150), (X, 2000), (Y, 1999.9), (Y, 2000))])["answers"] == [
        None, B, None, C,
    ]  # fmt: skip


def test_terminal_learned_after_its_connection_began_is_its_terminal(table: Callable[..., Table]) -> None:
    """A slow answer: nothing says otherwise. An address nobody was seen to hold is unknown."""
    who = table()
    who.ask(("learn", X, A, 100))
    assert who.find((X, 5), (Y, 100), ("c0a80106", 100)) == [A, None, None]
    who.ask(("leave", X))
    assert who.find((X, 5), (X, 200)) == [A, A]
    who.ask(("learn", X, A, 300))
    assert who.counts() == {"handed_over": 0, "given_up": 0, "held": 1}


def test_former_holder_is_kept_as_long_as_a_dump_shows_its_connections(table: Callable[..., Table]) -> None:
    """L34-II-1: then it is forgotten, and what began in its time is unknown, not the newcomer's."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", X, B, 200))
    for _ in range(4):
        who.ask(("needed", X, 150), ("sweep",))
    assert who.find((X, 150), (X, 250)) == [A, B]
    who.ask(("sweep",))
    assert who.find((X, 150)) == [A]
    who.ask(("sweep",), ("sweep",))
    assert who.find((X, 150), (X, 250)) == [None, B]
    assert who.counts()["held"] == 1


def test_who_came_after_one_that_is_needed_is_kept_as_long_as_that_one(table: Callable[..., Table]) -> None:
    """L34-II-4: else the former, whose connection lasts, would be the newest known holder once more."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", X, B, 200), ("leave", X), *[("needed", X, 150), ("sweep",)] * 6)
    assert who.find((X, 150), (X, 250)) == [A, B]
    who.ask(*[("sweep",)] * 4)
    assert who.find((X, 150), (X, 250)) == [None, None]


def test_who_came_after_one_whose_connection_lasts_is_forgotten_within_a_day_too(table: Callable[..., Table]) -> None:
    """L34-VI-4: of him it stays that the former one hasn't had the address since, and not who he is."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", X, B, 200), ("leave", X), *[("needed", X, 150), ("sweep",)] * DAY_OF_DUMPS)
    assert who.find((X, 150), (X, 250)) == [A, None]
    who.ask(("learn", X, B, 300))
    assert who.find((X, 150), (X, 250), (X, 300)) == [A, None, B]


def test_whoever_isnt_named_for_a_day_is_forgotten_though_another_ones_connection_needs_his_row(
    table: Callable[..., Table],
) -> None:
    """L34-VI-4: what began as X changed hands lasts, and nobody is named for it: that X did is what shows it."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", X, B, 200), ("leave", X), *[("needed", X, 198), ("sweep",)] * DAY_OF_DUMPS)
    assert who.find((X, 198), (X, 250)) == [None, None]
    assert who.counts()["held"] == 1


def test_address_that_nobody_holds_is_forgotten_and_one_that_is_held_is_not(table: Callable[..., Table]) -> None:
    """Without a connection: two dumps."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", Y, B, 100), ("leave", X), *[("sweep",)] * 3)
    assert who.find((X, 150), (Y, 150)) == [None, B]
    who.ask(("learn", X, A, 200))
    assert who.find((X, 250)) == [A]


def test_an_address_goes_within_a_day_of_its_last_connection(table: Callable[..., Table]) -> None:
    """L34-VI-4: a small venue's kernel forgets no neighbour; guests are told of a day after their connections.

    It may have somebody there: who comes back has what begins from then on.
    """
    who = table()
    who.ask(("learn", X, A, 100), ("learn", Y, B, 100))
    who.ask(*[("sweep",)] * 100, ("needed", X, 150), *[("sweep",)] * (DAY_OF_DUMPS - 124))
    assert who.find((X, 150), (Y, 150)) == [A, B]  # 13 hours: he may sleep, and be there in the morning
    who.ask(*[("sweep",)] * 124)
    assert who.find((X, 150), (Y, 150)) == [None, None]
    who.ask(("learn", X, A, 200))  # the kernel asks for him, and tells
    assert who.find((X, 200)) == [A]


def test_what_may_be_current_stays_for_a_day_however_long_a_listing_takes(table: Callable[..., Table]) -> None:
    """L34-VI-4: a flood of changes makes it begin anew again and again; A and B gave no sign, C left."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", Y, B, 100), ("doubt",), *[("sweep", Y)] * (DAY_OF_DUMPS // 2))
    assert who.find((X, 150), (Y, 150)) == [A, B]
    who.ask(*[("sweep", Y)] * (DAY_OF_DUMPS // 2))
    assert (who.find((X, 150), (Y, 150)), who.counts()["held"]) == ([None, None], 0)
    who.ask(("learn", X, C, 200))  # B may be there still
    assert who.ask(("named", X, 199.9), ("named", X, 200))["answers"] == [None, C]


@pytest.mark.parametrize("late", [0, 20])
def test_who_is_told_of_just_after_somebody_was_forgotten_is_not_named_for_what_began_before(
    table: Callable[..., Table], late: int
) -> None:
    """L34-I-2: B may have been there a moment ago, on a link that was followed no more, or wasn't yet."""
    who = table()
    who.ask(("learn", X, B, 100), ("forget", X, 200), ("late", late), ("learn", X, A, 200.9 + late), ("late", 0))
    assert who.ask(("named", X, 200.5 + late), ("named", X, 200.9 + late))["answers"] == [None, A]
    who.ask(("learn", Y, C, 202.1 + late), *[("sweep",)] * 2)
    assert who.ask(("named", Y, 201.9 + late))["answers"] == [C]


def test_who_had_an_address_while_addresses_were_listed_anew_is_not_taken_for_who_came_next(
    table: Callable[..., Table],
) -> None:
    """L34-I-2: of a newcomer then it isn't known if he is a terminal; whoever takes his address over came later."""
    who = table()
    who.ask(("learn", Y, C, 50), ("another", Y, B, 60), ("another", X, B, 100), ("learn", X, A, 100.5))
    assert who.ask(("named", X, 100.2))["answers"] == [A]  # his who may not be followed, of another prefix
    who = table()
    who.ask(("another", X, B, 100, 1), ("learn", X, A, 100.5))
    assert who.ask(("named", X, 100.2), ("named", X, 100.5))["answers"] == [None, A]


def test_what_a_new_list_no_longer_names_is_forgotten(table: Callable[..., Table]) -> None:
    """After lost rtnetlink messages silence is the news."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", Y, B, 100), ("doubt",), ("learn", Y, B, 200), *[("sweep",)] * 3)
    assert who.find((X, 150), (Y, 150)) == [None, B]


@pytest.mark.parametrize("quiet", [False, True])
def test_an_address_at_which_the_kernel_has_nobody_who_is_known_is_nobodys(
    table: Callable[..., Table], *, quiet: bool
) -> None:
    """L34-II-4: a guest says by ARP that A's address is at a group's MAC; one comes back who was quiet for an hour."""
    who = table()
    who.ask(("learn", X, A, 100), ("learn", X, *((B, 200, True) if quiet else (NOBODY, 200))), ("sweep",))
    assert who.ask(("holder", X), ("user", X))["answers"] == [None, None]
    assert who.find((X, 150), (X, 198), (X, 220)) == [A, None, None]
    assert who.counts() == {"handed_over": 1, "given_up": 0, "held": 2}
    who.ask(("learn", X, B, 300))
    assert who.find((X, 220), (X, 299.5), (X, 300)) == [None, None, B]
    assert who.counts()["handed_over"] == 1
    who.ask(("leave", X), *[("sweep",)] * 4)
    assert who.counts()["held"] == 0


UNKNOWN: dict[str, list[tuple[Any, ...]]] = {
    "a group's MAC": [("learn", X, NOBODY, 100)],
    "quiet": [("learn", X, A, 100, True)],
    "one address too many": [("learn", f"fd{number:030x}", A, 90 + number) for number in range(ADDRESSES + 1)],
    "a group's MAC, where another one's row still was": [
        ("learn", X, B, 50), ("learn", X, NOBODY, 60), ("leave", X), ("doubt",), ("learn", X, NOBODY, 70),
        *(("learn", f"fd{number:030x}", A, 90) for number in range(ADDRESSES)), ("leave", X), ("learn", X, A, 100),
    ],
    "a full table": [("learn", f"c0a8{number:04x}", f"0200000001{number:02x}", 90) for number in range(65)],
}  # fmt: skip


@pytest.mark.parametrize("why", UNKNOWN)
def test_who_comes_after_somebody_who_has_no_row_is_named_for_nothing_of_before(
    table: Callable[..., Table], why: str
) -> None:
    """L34-I-2: the kernel has somebody at an address who isn't known, and has no row."""
    who = table(64)
    who.ask(*UNKNOWN[why], ("leave", "c0a80007"), ("leave", f"fd{7:030x}"), *[("sweep",)] * 3, ("learn", X, B, 200))
    assert who.ask(("named", X, 199.9), ("named", X, 200))["answers"] == [None, B]


def test_whose_address_passes_to_nobody_keeps_what_began_before_in_a_full_table(table: Callable[..., Table]) -> None:
    """A guest says of a thousand addresses, and of A's, that they are at a group's MAC."""
    who = table(64)
    who.ask(
        ("learn", X, A, 100), *(("learn", f"c0a8{number:04x}", f"0200000001{number:02x}", 90) for number in range(60))
    )
    who.ask(*(("learn", f"fd{number:030x}", NOBODY, 100) for number in range(1000)), ("learn", X, NOBODY, 200))
    assert who.find((X, 150), (X, 198), (X, 220)) == [A, None, None]
    assert who.counts() == {"handed_over": 1, "given_up": 0, "held": 62}


def test_who_is_known_already_stays_so_though_he_is_quiet(table: Callable[..., Table]) -> None:
    """All is listed anew. Who isn't known holds no address that he may have left days ago."""
    who = table()
    other = "c0a80106"
    who.ask(("learn", X, A, 100), ("doubt",), ("learn", X, A, 200, True), ("learn", other, B, 200, True))
    assert who.find((X, 150), (X, 250), (other, 250)) == [A, A, None]
    assert who.ask(("holder", X), ("holder", other))["answers"] == [A, None]


def test_connection_from_before_the_process_listened_is_nobodys(table: Callable[..., Table]) -> None:
    """The kernel lists who holds an address now.

    Who held it before a crash, or while nobody listened, is unknown (L34-I-2).
    """
    who = table(begun=100)
    who.ask(("learn", X, A, 100.5), ("learn", Y, B, 300))
    assert who.find((X, 99.9), (X, 100), (X, 101), (Y, 99.9), (Y, 150)) == [None, A, A, None, B]
    who.ask(("shift", -60), ("learn", X, C, 300))
    assert who.find((X, 39.9), (X, 40), (X, 350)) == [None, A, C]


def test_nobody_is_named_of_what_began_while_word_of_changes_was_dropped(table: Callable[..., Table]) -> None:
    """An address may have gone to another one and back, of which nobody was told (L34-I-2).

    What began before a former such time is nobody's either: one is remembered.
    """
    who = table()
    who.ask(("learn", X, A, 100), ("missed", 200), ("missed", 202))
    assert who.find((X, 150), (X, 195.9), (X, 196), (X, 205)) == [A, A, None, None]
    who.ask(("learn", X, A, 210), ("heard", 210), ("heard", 220))
    assert who.find((X, 195.9), (X, 196), (X, 209.9), (X, 210)) == [A, None, None, A]
    who.ask(("shift", 1000))
    assert who.find((X, 1195.9), (X, 1196), (X, 1209.9), (X, 1210)) == [A, None, None, A]
    who.ask(("missed", 1300), ("shift", -50), ("heard", 1260))
    asked = (X, 1145.9), (X, 1159.9), (X, 1160), (X, 1245.9), (X, 1246), (X, 1260)
    assert who.find(*asked) == [None, None, A, A, None, A]


def test_who_asks_while_word_of_changes_is_dropped_is_nobody_who_is_known(table: Callable[..., Table]) -> None:
    """A guest who takes another's address in a flood, and opens the page, isn't shown what is held on the other."""
    who = table()
    steps = ("learn", X, A, 100), ("holder", X), ("missed", 200), ("holder", X), ("heard", 210), ("holder", X)
    assert who.ask(*steps)["answers"] == [A, None, A]


def test_full_table_leaves_newcomers_out(table: Callable[..., Table]) -> None:
    """ANON-8: what is held, or may still be asked for, is never given up for somebody else's sake.

    Each that was left out is counted.
    """
    who = table(64)
    addresses = [f"c0a8{number:04x}" for number in range(100)]
    macs = [f"0200000001{number:02x}" for number in range(100)]
    every = list(zip(addresses, macs, strict=True))
    who.ask(*(("learn", *one, 100) for one in every[:64]), *(("leave", address) for address in addresses[10:20]))
    who.ask(*(("learn", *one, 200) for one in every[64:]))
    assert who.find(*((address, 250) for address in addresses)) == macs[:64] + [None] * 36
    assert who.counts() == {"handed_over": 0, "given_up": 36, "held": 64}
    who.ask(*[("sweep",)] * 3, *(("learn", *one, 300) for one in every[64:]))
    assert who.find(*((address, 350) for address in addresses)) == macs[:10] + [None] * 10 + macs[20:74] + [None] * 26


def test_address_changes_hands_in_a_full_table_too(table: Callable[..., Table]) -> None:
    """What begins there from now on isn't the former holder's, and what began before isn't the newcomer's."""
    who = table(64)
    who.ask(*(("learn", f"c0a8{number:04x}", f"0200000001{number:02x}", 100) for number in range(64)))
    who.ask(("learn", "c0a80005", A, 200))
    assert who.find(("c0a80005", 150), ("c0a80005", 250), ("c0a80006", 250)) == [None, A, "020000000106"]


@pytest.mark.long
def test_one_terminal_takes_no_room_from_the_others(table: Callable[..., Table]) -> None:
    """18,000 IPv6 addresses of one MAC, 200 others that come, stay and leave meanwhile.

    Each of these is known, whenever asked for.
    """
    who = table(1024)
    others = [(f"c0a8{number:04x}", f"0200000001{number:02x}") for number in range(200)]
    for part in range(20):
        who.ask(*(("learn", f"fd{part * 900 + number:030x}", C, 100 + part) for number in range(900)))
        who.ask(
            *(("learn", *one, 100 + part) for one in others[10 * part : 10 * part + 10]),
            ("leave", others[10 * part][0]),
        )
    assert who.find(*((address, 200) for address, _ in others)) == [mac for _, mac in others]
    assert who.counts() == {
        "handed_over": 0,
        "given_up": 18_000 - ADDRESSES,
        "held": 200 + ADDRESSES,
    }


def test_terminal_that_stays_for_weeks_has_its_newest_addresses(table: Callable[..., Table]) -> None:
    """Its oldest goes, once no dump has shown a connection of it for a while.

    The bound doesn't keep it from taking another's address.
    """
    who = table(256)
    for day in range(60):
        who.ask(("learn", f"fd{day:030x}", A, 100 + day), *[("sweep",)] * 3)
    found = who.find(*((f"fd{day:030x}", 200) for day in range(60)))
    assert found == [None] * (60 - ADDRESSES) + [A] * ADDRESSES
    who.ask(("learn", X, B, 300), ("learn", X, A, 400))
    assert who.find((X, 350), (X, 450)) == [B, A]


def test_who_makes_room_for_its_own_addresses_gives_none_back_to_who_had_it_before(table: Callable[..., Table]) -> None:
    """L34-I-2: a connection of the former holder lasts, so that one is kept; what begins now is not the former's."""
    who = table(256)
    who.ask(("learn", X, B, 100), ("learn", X, A, 200))
    for number in range(2 * ADDRESSES):
        who.ask(("learn", f"fd{number:030x}", A, 201 + number), *[("needed", X, 150), ("sweep",)] * 3)
    assert who.find((X, 150), (X, 400)) == [B, A]


@pytest.mark.long
def test_guest_that_takes_hundreds_of_addresses_makes_no_long_chain(
    remotes: Callable[[str], Remote], interpreter: Interpreter
) -> None:
    """A guest chooses its IPv6 addresses, but doesn't know the hash's coefficients.

    New ones for each table, rarely bad ones.
    """
    remote = remotes(interpreter.name)
    for start in (0, 16, 32, 43, 64, 80, 96, 112):
        longest = []
        for _ in range(3):
            remote("addresses_open", 512)
            longest.append(remote("addresses_flood", 400, start))
            remote("addresses_close")
        assert min(longest) < 32


def test_nobodys_rows_make_no_chain(remotes: Callable[[str], Remote], interpreter: Interpreter) -> None:
    """Each that is given up would have to be looked for among all of them: seconds, of a table full of them."""
    remote = remotes(interpreter.name)
    remote("addresses_open", 512)
    assert remote("addresses_chained", 200) == 200
    remote("addresses_close")


def test_guest_that_flips_its_mac_makes_no_long_history(table: Callable[..., Table]) -> None:
    """Eight holders of an address; what began before the oldest of them is unknown."""
    who = table(1024)
    who.ask(*(("learn", X, (A, B)[number % 2], 100 + 10 * number) for number in range(200)))
    assert who.counts() == {"handed_over": 199, "given_up": 192, "held": HOLDERS}
    assert who.find((X, 105), (X, 2005), (X, 2025), (X, 2085)) == [None, None, A, A]


@dataclass
class Holder:
    """One association of the model; `row` is where the table has it."""

    row: int
    mac: str
    since: float
    seen: int
    current: bool = True
    preceded: bool = False


@dataclass
class Model:
    """What the table must answer, for as many associations as there is room for."""

    rows: dict[str, list[Holder]] = field(default_factory=dict)  # the newest last
    free: list[int] = field(default_factory=lambda: list(range(256, 0, -1)))  # the next one last
    serial: int = 1
    counts: dict[str, int] = field(default_factory=lambda: {"handed_over": 0, "given_up": 0})

    def _holder(self, address: str, start: float) -> Holder | None:
        rows = self.rows.get(address, [])
        for row in reversed(rows):
            if row.since <= start:
                return row
        return rows[0] if rows and not rows[0].preceded else None

    def _learn(self, address: str, mac: str, now: float) -> None:
        rows = self.rows.setdefault(address, [])
        if rows and rows[-1].mac == mac:
            rows[-1].current = True
            return
        if not rows and mac == NOBODY:
            return
        if rows:
            rows[-1].current = False
            self.counts["handed_over"] += rows[-1].mac != NOBODY
            if len(rows) == HOLDERS:
                self._give_up(rows)
                self.counts["given_up"] += 1
        rows.append(Holder(self.free.pop(), mac, now - 1, self.serial))

    def _give_up(self, rows: list[Holder]) -> None:
        self.free.append(rows.pop(0).row)
        for next_one in rows[:1]:
            next_one.preceded = True

    def take(self, call: str, *words: Any) -> None:
        """Take one step."""
        rows = self.rows.get(words[0], []) if words else []
        match call:
            case "learn":
                self._learn(words[0], words[1], words[2])
            case "leave" if rows:
                rows[-1].current = False
            case "doubt":
                for row in (row for rows in self.rows.values() for row in rows):
                    row.current = False
            case "needed" if rows:  # where nobody is known, who shows that is needed
                (self._holder(words[0], words[1]) or rows[0]).seen = self.serial
            case "sweep":
                self._sweep()

    def _sweep(self) -> None:
        """Forget the oldest ones, in the table's order: who comes after one that goes later in it stays once more."""
        places = [(one.row, rows) for rows in self.rows.values() for one in rows]
        for row, rows in sorted(places, key=itemgetter(0)):
            oldest = rows[0]
            if oldest.row == row and not oldest.current and oldest.seen + 1 < self.serial:
                self._give_up(rows)
        self.serial += 1

    def answer(self, address: str, start: float) -> str | None:
        """Return who held it."""
        holder = self._holder(address, start)
        return holder.mac if holder and holder.mac != NOBODY else None


_address = st.sampled_from([X, "c0a80106", Y])
_mac = st.sampled_from([A, B, C])
_step = st.one_of(
    st.tuples(st.just("learn"), _address, _mac),
    st.tuples(st.just("learn"), _address, st.just(NOBODY)),
    st.tuples(st.just("leave"), _address),
    st.just(("doubt",)),
    st.tuples(st.just("needed"), _address, st.integers(-5, 200)),
    st.just(("sweep",)),
)


@pytest.mark.long
def test_table_answers_as_its_model(table: Callable[..., Table]) -> None:
    """Any order of what the kernel and the dumps may say."""

    @settings(max_examples=150)
    @given(st.lists(_step, min_size=5, max_size=60))
    def check(steps: list[tuple[Any, ...]]) -> None:
        who, model = table(256), Model()
        timed = [(*step, 10 * (number + 1)) if step[0] == "learn" else step for number, step in enumerate(steps)]
        timed = [(step[0], step[1], max(0, step[2] * 10)) if step[0] == "needed" else step for step in timed]
        for step in timed:
            model.take(*step)
        who.ask(*timed)
        asked = [(address, start) for address in (X, "c0a80106", Y) for start in range(5, 10 * len(steps) + 20, 10)]
        assert who.find(*asked) == [model.answer(*question) for question in asked]
        assert who.counts() == {**model.counts, "held": sum(map(len, model.rows.values()))}

    check()


FIND = """
import gc
from agent.capture import address_table

class Connection:
    family, word0, word1, word2, word3, start = 2, 0, 0, 0xFFFF, 0xC0A80105, 150000000000

table = address_table.AddressTable(64)
table.learn(bytes((192, 168, 1, 5)), bytes((2, 0, 0, 0, 0, 1)), 100000000000)
connection = Connection()
found = table.find(connection) is not None

def heap(times):
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(times):
        table.find(connection)
    return gc.mem_alloc() - before

once = heap(100)
print(found, heap(200) - once)
"""


def test_a_question_leaves_nothing_of_its_connection_in_the_heap(micropython: Interpreter) -> None:
    """EXP-1: what MicroPython drops stays where it was until its place is taken."""
    assert micropython.run("-c", FIND).stdout.split() == [b"True", b"0"]
