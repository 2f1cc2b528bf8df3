# SPDX-License-Identifier: Apache-2.0
"""Attribution and billing, room by module, alike on both interpreters.

Records, port blocks, sessions, the portal (L34-III, L34-IV).
"""

from __future__ import annotations

import base64
import json
import pwd
import re
import secrets
import stat
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from host_sim.driver.interpreters import environment
from tests.support.interpreters import INTERPRETERS, PROJECT, Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = 86400
MIDNIGHT = 1_800_057_600  # 00:00 UTC
NOON = MIDNIGHT + DAY // 2
VECTORS = PROJECT / "tests/vectors/attribution/records-1.json"
TEN, ELEVEN, TWELVE = "c0a8010a", "c0a8010b", "c0a8010c"
MAC_A, MAC_B, MAC_C = "020000000001", "020000000002", "020000000003"
PUBLIC, OTHER_PUBLIC, NO_PUBLIC = "cb007102", "cb007103", "00000000"
REST = [1024, 16383]
SIX, SEVEN = "fd000001" + 22 * "0" + "10", "fd000001" + 22 * "0" + "11"
MAPPED = "20010db8" + 22 * "0" + "02"


@pytest.fixture(scope="module")
def stages() -> Iterator[Callable[[str], Remote]]:
    """Give the stage on an interpreter by name, kept for the file's tests."""
    running: dict[str, Remote] = {}

    def stage(name: str) -> Remote:
        if name in running and running[name].process.poll() is not None:
            running.pop(name).close()
        if name not in running:
            running[name] = Remote(INTERPRETERS[name], "tests.support.attribution_stage")
        return running[name]

    yield stage
    for one in running.values():
        one.close()


@pytest.fixture
def stage(stages, interpreter):
    return stages(interpreter.name)


@pytest.fixture
def any_stage(stages, any_interpreter):
    return stages(any_interpreter.name)


# Records


def test_records_are_the_vectors_to_the_octet_everywhere(any_stage):
    """L34-III-3: the fields of the law's table and no others, packed and read back alike, on MIPS too."""
    vectors = json.loads(VECTORS.read_text())
    assert len(vectors["attribution"]) == 8
    assert len(vectors["billing"]) == 4
    for kind in ("attribution", "billing"):
        for row, octets in vectors[kind]:
            assert any_stage(f"pack_{kind}", row) == octets
            assert any_stage(f"unpack_{kind}", octets) == row


def test_record_of_before_1970_begins_with_it(any_stage):
    """A clock of 1970 that is set back by more than the gateway was awake puts what began sooner there."""
    row = [6, PUBLIC, 20012, 20012, TEN, MAC_A, "", -9000, 60, True]
    assert any_stage("unpack_attribution", any_stage("pack_attribution", row)) == [*row[:7], 0, *row[8:]]


def test_connection_takes_25_octets_and_a_lease_fewer_than_thirty(stage):
    """A block's row replaces all connections of its terminal: 100 of them are 2,400 octets, its two rows 51."""
    connection = stage("pack_attribution", [6, PUBLIC, 20012, 20012, TEN, MAC_A, "", NOON, NOON + 60, True])
    begun = stage("pack_attribution", [None, PUBLIC, 20480, 20991, TEN, MAC_A, "", NOON, None, True])
    over = stage("pack_attribution", [None, PUBLIC, 20480, 20991, TEN, MAC_A, "", NOON, NOON + 3600, True])
    assert [len(octets) // 2 for octets in (connection, begun, over)] == [23, 23, 25]


@pytest.mark.long
def test_octets_that_are_no_record_are_refused_alike(stages):
    """Every cut, every octet more, and flags that contradict themselves."""
    whole = [octets for kind in ("attribution", "billing") for _, octets in json.loads(VECTORS.read_text())[kind]]
    for kind, octets in zip(["attribution"] * 8 + ["billing"] * 4, whole, strict=True):
        for at in range(0, len(octets), 2):
            assert stages("cpython")(f"unpack_{kind}", octets[:at]) is None
        assert stages("cpython")(f"unpack_{kind}", octets + "00") is None
    assert stages("cpython")("unpack_attribution", "02" + whole[0][2:]) is None
    for _ in range(300):
        octets = bytearray.fromhex(whole[secrets.randbelow(8)])
        octets[secrets.randbelow(len(octets))] = secrets.randbelow(256)
        answers = [stages(name)("unpack_attribution", octets.hex()) for name in ("cpython", "micropython")]
        assert answers[0] == answers[1]


# Port blocks


class Map:
    """A map of blocks on a stage, whose steps go with a wall clock and the time since boot."""

    def __init__(self, stage: Remote, folder: Path, size: int = 512, *, boot: int = 1000) -> None:
        self.stage, self.folder, self.size = stage, folder, size
        self.wall, self.now = NOON, boot
        self.holders: dict[str, str] = {}
        self.newest: dict[str, str] = {}
        self.open()

    def open(self) -> None:
        self.stage("blocks_open", str(self.folder), self.size, self.now, {})
        self.do(["public", PUBLIC, self.wall, self.now])
        self.tick()

    def do(self, *steps: list) -> list:
        return self.stage("blocks_do", list(steps))

    def ask(self, *step: Any) -> Any:
        return self.do(list(step))[0]

    def hold(self, address: str, mac: str) -> None:
        self.holders[address] = self.newest[address] = mac
        self.do(["hold", address, mac, self.wall, self.now])

    def tick(self, seconds: int = 0) -> None:
        self.wall, self.now = self.wall + seconds, self.now + seconds
        self.do(["tick", self.wall, self.now, self.holders])

    def covers(self, address: str, port: int, start: int | None = None, mac: str = "") -> bool:
        """Return True if a connection of whoever held an address last, or of another MAC, is covered."""
        return self.ask(
            "covers", address, port, mac or self.newest[address], self.wall if start is None else start, self.now
        )

    def first(self, address: str) -> int:
        """Return the first port of the block that the kernel was last told that an address has."""
        return [call[3] for call in self.ask("kernel") if call[:2] == ["give", address]][-1]


@pytest.fixture
def map_(stage, tmp_path):
    return Map(stage, tmp_path)


def test_lease_gets_a_block_of_its_own_and_one_row(map_):
    """L34-II-4, RFC 7422: the kernel's map and the store's row say the same.

    Its ports cover its connections and nobody else's.
    """
    map_.hold(TEN, MAC_A)
    map_.hold(TEN, MAC_A)
    map_.hold(ELEVEN, MAC_B)
    calls = map_.ask("kernel")
    assert calls == [["load", *REST], ["give", TEN, 0, 16384, 16895], ["give", ELEVEN, 1, 16896, 17407]]
    assert map_.ask("rows") == [
        [None, PUBLIC, 16384, 16895, TEN, MAC_A, "", NOON, None, False],
        [None, PUBLIC, 16896, 17407, ELEVEN, MAC_B, "", NOON, None, False],
    ]
    assert [map_.covers(TEN, port) for port in (1024, 16383, 16384, 16895, 16896, 65535)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert map_.covers(ELEVEN, 16896)
    assert not map_.covers(ELEVEN, 16896, NOON - 10)  # it began before the block was given: recorded by itself
    assert map_.ask("status")["conflicts"] == 1


def test_hundreds_of_blocks_are_given_and_told_to_the_kernel_32_in_a_turn(map_):
    """Hundreds of terminals at one start: a turn that gave each its block would hold a slow processor up.

    The table of a former process is made anew likewise, from its beginning where a ruleset is flushed meanwhile. Who
    isn't in it yet leaves by the ports of nobody.
    """

    def turn() -> list[str]:
        map_.do(["deal", map_.wall, map_.now, map_.holders])
        return [call[1] for call in map_.ask("kernel") if call[0] == "give"]

    map_.do(["public", NO_PUBLIC, map_.wall, map_.now])
    for number in range(90):
        map_.hold(f"c0a802{number:02x}", f"0200000002{number:02x}")
    map_.do(["public", PUBLIC, map_.wall, map_.now])
    dealt = [turn() for _ in range(4)]
    assert [len(given) for given in dealt] == [32, 32, 26, 0]
    assert {address for given in dealt for address in given} == {*map_.holders}
    map_.stage("blocks_open", str(map_.folder), map_.size, map_.now, {})
    assert len(turn()) == 32
    map_.do(["refuses", True])
    assert turn() == []
    map_.do(["refuses", False])
    loaded = [turn() for _ in range(4)]
    assert [len(given) for given in loaded] == [32, 32, 26, 0]
    assert {address for given in loaded for address in given} == {*map_.holders}


def test_block_is_given_again_only_24_hours_after_its_last_connection_ended(map_):
    """L34-II-4: the terminal has gone, a connection lasts on for an hour.

    Each of the 96 blocks rests a day from its end.
    """
    for number in range(96):
        map_.hold(f"c0a802{number:02x}", f"0200000002{number:02x}")
    first = map_.ask("kernel")[-1][3]
    assert first + 511 == 65535
    map_.hold(TEN, MAC_A)
    assert map_.ask("status") == {"blocks": 96, "held": 96, "resting": 0, "free": 0, "without": 1, "conflicts": 0}
    map_.holders = {TEN: MAC_A}
    map_.tick(60)
    assert map_.ask("status")["resting"] == 96
    for _ in range(12):
        map_.tick(300)
        assert map_.covers("c0a80200", 16384, NOON)
    map_.ask("rows")
    ended = map_.now
    while map_.now < ended + DAY - 1:
        map_.tick(min(3600, ended + DAY - 1 - map_.now))
        map_.ask("kernel")
        if map_.now < DAY + 1000 - 3600:
            assert map_.ask("status")["held"] == 0
    held = [row for row in map_.ask("rows") if row[4] == TEN]
    assert held
    assert held[0][2] == 16896  # the second block, which nobody had used since
    assert map_.ask("status")["free"] == 94  # a second early: the first one still rests
    map_.tick(1)
    assert map_.ask("status")["free"] == 95
    assert not map_.covers(TEN, 16384)


def test_whose_a_block_was_goes_with_its_row_and_the_block_rests_on(map_):
    """L34-II-1: 15 minutes after its last sign.

    What left by it before a restart isn't known: it rests from there on.
    """
    map_.hold(TEN, MAC_A)
    map_.hold(ELEVEN, MAC_B)
    assert map_.covers(TEN, 16400)
    map_.holders = {}
    map_.tick(890)
    octets = bytes.fromhex(TEN + MAC_A), bytes.fromhex(ELEVEN + MAC_B)
    assert all(octet in (map_.folder / "map").read_bytes() for octet in octets)
    assert map_.covers(ELEVEN, 16900, NOON)  # one that goes on
    map_.tick(10)
    assert [octet in (map_.folder / "map").read_bytes() for octet in octets] == [False, True]
    for restarted in (NOON + 1000, NOON + 3 * 3600):
        map_.tick(restarted - map_.wall)
        map_.stage("blocks_open", str(map_.folder), map_.size, map_.now, {})
        map_.do(["resume", map_.wall, map_.now])
        assert not any(octet in (map_.folder / "map").read_bytes() for octet in octets)
    map_.tick(NOON + DAY - map_.wall)  # the first was used last at noon, and gone before either restart
    assert map_.ask("status")["resting"] == 1
    map_.tick(999)
    assert map_.ask("status")["resting"] == 1
    map_.tick(1)
    assert map_.ask("status")["resting"] == 0


def test_row_ends_when_no_connection_is_left_in_the_block(map_):
    """The end that is written is the newest sign of a connection, from a dump of the live table or from ends."""
    map_.hold(TEN, MAC_A)
    map_.ask("rows")
    map_.tick(600)
    assert map_.covers(TEN, 16400)
    map_.holders = {}
    map_.tick(10)
    for _ in range(5):
        map_.tick(200)
    assert map_.ask("rows") == [[None, PUBLIC, 16384, 16895, TEN, MAC_A, "", NOON, NOON + 600, False]]
    assert not map_.covers(TEN, 16400)  # a row that has ended covers nothing
    assert ["take", TEN, 0] in map_.ask("kernel")


def test_lease_longer_than_a_day_is_recorded_again_each_day(map_):
    """L34-III-2: each UTC day has a row of its own, whose deadline runs from that day."""
    map_.hold(TEN, MAC_A)
    for _ in range(3 * DAY // 3600):
        map_.tick(3600)
        assert map_.covers(TEN, 16384)
    rows = map_.ask("rows")
    begun = [row[7] for row in rows if row[8] is None]
    assert begun == [NOON, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY, MIDNIGHT + 3 * DAY]
    assert [row[7:9] for row in rows if row[8]] == [
        [start, MIDNIGHT + day * DAY] for day, start in enumerate(begun[:3], 1)
    ]
    assert map_.ask("status")["held"] == 1


def test_block_that_nobody_uses_is_taken_back(map_):
    """A phone that sleeps keeps its address for days.

    Its block goes after two hours, and it gets one again when it is heard of.
    """
    map_.hold(TEN, MAC_A)
    map_.tick(7199)
    assert map_.ask("status")["held"] == 1
    map_.tick(1)
    assert map_.ask("status")["held"] == 0
    map_.hold(TEN, MAC_A)
    assert map_.first(TEN) == 16896


@pytest.mark.parametrize("alive", [False, True])
def test_terminal_that_the_kernel_forgot_gets_a_block_when_a_connection_is_heard_of(map_, alive):
    """It tells of a neighbour only once. Its connections speak for it."""
    assert map_.stage("blocks_heard", alive, 1) == [0, 1]
    assert map_.ask("status")["without"] == 0


def test_address_that_changes_hands_takes_no_block_with_it(map_):
    """The newcomer has another block.

    The former one's row ends with its last sign: what either still ends there is recorded by itself.
    """
    map_.hold(TEN, MAC_A)
    map_.tick(60)
    assert map_.covers(TEN, 16400, NOON + 30)
    assert not map_.covers(TEN, 16401, NOON + 50, MAC_B)  # it came before the kernel was told of another block
    map_.tick(60)
    map_.hold(TEN, MAC_B)
    assert map_.first(TEN) == 16896
    assert not any(map_.covers(TEN, 16400, NOON + 100, mac) for mac in (MAC_A, MAC_B))
    assert [[row[5], *row[7:9]] for row in map_.ask("rows")] == [
        [MAC_A, NOON, None],
        [MAC_A, NOON, NOON + 60],
        [MAC_B, NOON + 120, None],
    ]


def test_rows_of_a_former_process_end_with_their_last_sign(map_):
    """L34-I-2: while nobody listens an address may change hands and back.

    The kernel gives whoever has it the ports of the same block.
    """
    map_.hold(TEN, MAC_A)
    map_.hold(ELEVEN, MAC_B)
    map_.tick(60)
    assert map_.covers(TEN, 16400)
    map_.holders.pop(ELEVEN)
    map_.tick(60)  # it rests
    map_.ask("rows")
    map_.now, map_.wall = map_.now + 40, map_.wall + 40
    map_.stage("blocks_open", str(map_.folder), map_.size, map_.now, {})
    map_.do(["resume", map_.wall, map_.now])
    assert [[row[5], *(row[7] - NOON, row[8] and row[8] - NOON)] for row in map_.ask("rows")] == [
        [MAC_A, 0, 60], [MAC_B, 0, 0],
    ]  # fmt: skip
    assert not map_.covers(TEN, 16400)  # whose block it is now isn't known: recorded by itself
    map_.do(["restate", map_.wall + 1, map_.now, 0, True])
    map_.tick(60)
    assert [[row[5], row[7] - NOON, row[8]] for row in map_.ask("rows")] == [[MAC_A, 161, None]]
    assert not map_.covers(TEN, 16400, NOON + 150)  # begun while nobody listened
    assert map_.covers(TEN, 16400)
    assert not map_.covers(ELEVEN, 16900, NOON + 10)


def test_restart_names_no_former_holder_of_an_address_that_changed_hands_meanwhile(map_):
    """L34-II-4: the kernel lists its neighbours in the first second.

    No row says that the former holder is there still.
    """
    map_.hold(TEN, MAC_A)
    map_.tick(60)
    map_.ask("rows")
    map_.now, map_.wall = map_.now + 40, map_.wall + 40
    map_.stage("blocks_open", str(map_.folder), map_.size, map_.now, {})
    map_.do(["resume", map_.wall, map_.now])
    map_.hold(TEN, MAC_B)
    map_.do(["restate", map_.wall + 1, map_.now, 0, True])
    assert all(row[5] == MAC_B or row[8] <= NOON + 60 for row in map_.ask("rows"))


def test_portal_user_and_public_address_begin_a_new_row(map_):
    """A login, a logout and another WAN address each end a row and begin one, so that each row says one thing only."""
    map_.hold(TEN, MAC_A)
    map_.do(["users", {MAC_A: ["room12", 0]}])
    map_.tick(60)
    map_.do(["public", OTHER_PUBLIC, map_.wall + 5, map_.now + 5])
    map_.do(["users", {}])
    map_.tick(60)
    user = b"room12".hex()
    said = [[row[1], row[6], row[7] - NOON, row[8] and row[8] - NOON] for row in map_.ask("rows")]
    assert said == [
        [PUBLIC, "", 0, None], [PUBLIC, "", 0, 60], [PUBLIC, user, 60, None], [PUBLIC, user, 60, 65],
        [OTHER_PUBLIC, user, 65, None], [OTHER_PUBLIC, user, 65, 120], [OTHER_PUBLIC, "", 120, None],
    ]  # fmt: skip


def test_user_who_logs_in_in_a_row_s_first_second_begins_a_row_in_the_next(map_):
    """Rows of one terminal and block that begin in one second are read as one (L34-II-4).

    The first one's end is taken as both's.
    """
    map_.hold(TEN, MAC_A)
    map_.do(["users", {MAC_A: ["room12", 0]}])
    map_.tick()
    map_.tick(1)
    rows = [[row[6], row[7] - NOON, row[8] and row[8] - NOON] for row in map_.ask("rows")]
    assert rows == [["", 0, None], ["", 0, 1], [b"room12".hex(), 1, None]]


def test_user_who_logs_in_just_before_midnight_is_named_a_second_after_the_day_s_first_look(map_):
    """The day's first row names who was there at midnight; the look that writes it asks for the next at once."""
    midnight = MIDNIGHT + DAY
    map_.wall = midnight - 3600
    map_.hold(TEN, MAC_A)
    map_.tick(3600 - 8)
    map_.do(["users", {MAC_A: ["room12", midnight]}])
    map_.wall, map_.now = map_.wall + 10, map_.now + 10
    assert map_.ask("look", map_.wall, map_.now) is True
    map_.tick(1)
    assert map_.ask("look", map_.wall, map_.now) is False
    rows = [[row[6], row[7] - midnight, row[8] and row[8] - midnight] for row in map_.ask("rows")]
    assert rows == [["", -3600, None], ["", -3600, 0], ["", 0, None], ["", 0, 3], [b"room12".hex(), 3, None]]


def test_without_a_public_address_no_block_is_dealt_and_no_row_is_open(map_):
    """A gateway whose WAN isn't up, goes down and comes back: no row names an address that it hasn't got (L34-II-4)."""
    map_.do(["public", NO_PUBLIC, map_.wall, map_.now])
    map_.hold(TEN, MAC_A)
    assert map_.ask("rows") == []
    assert map_.ask("status")["without"] == 1
    map_.do(["public", PUBLIC, map_.wall + 30, map_.now + 30])
    map_.tick(60)
    assert map_.covers(TEN, 16384)
    map_.do(["public", NO_PUBLIC, map_.wall + 10, map_.now + 10])
    map_.tick(DAY)  # over midnight, and long enough for a row to be recorded again
    assert not map_.covers(TEN, 16384)
    map_.hold(TEN, MAC_A)
    assert [[row[1], row[7] - NOON, row[8] and row[8] - NOON] for row in map_.ask("rows")] == [
        [PUBLIC, 60, None],
        [PUBLIC, 60, 70],
    ]


def test_an_address_that_waits_for_a_block_is_forgotten_with_its_terminal(map_):
    """L34-VI-4: without a public address nothing is dealt for as long as that lasts; who has left isn't remembered."""
    map_.do(["public", NO_PUBLIC, map_.wall, map_.now])
    map_.hold(TEN, MAC_A)
    map_.hold(ELEVEN, MAC_B)
    map_.tick(60)
    assert map_.ask("status")["without"] == 2
    del map_.holders[TEN]
    map_.tick(60)
    assert map_.ask("status")["without"] == 1
    map_.holders[ELEVEN] = MAC_A  # somebody else has the address now: he is told of by himself
    map_.tick(60)
    assert map_.ask("status")["without"] == 0


def test_whose_a_block_was_at_the_portal_goes_with_its_row_though_there_is_no_public_address(map_):
    """L34-VI-4: guests are told of three hours; nor does a block that the kernel refuses leave a name behind."""
    map_.do(["users", {MAC_A: ["room12", 0], MAC_B: ["room14", 0]}])
    map_.hold(TEN, MAC_A)
    map_.do(["public", NO_PUBLIC, map_.wall, map_.now])
    assert map_.ask("remembered") == ["room12"]
    map_.holders = {}
    map_.do(["users", {MAC_B: ["room14", 0]}])
    map_.tick(10)
    assert map_.ask("remembered") == []
    map_.do(["public", PUBLIC, map_.wall, map_.now], ["refuses", True])
    map_.hold(ELEVEN, MAC_B)
    assert [row[6] for row in map_.ask("rows")][-2:] == [b"room14".hex()] * 2  # begun and ended
    assert map_.ask("remembered") == []


def test_wan_that_is_away_for_a_moment_ends_rows_and_begins_them(map_):
    """Whoever had the address in between isn't taken for the terminal (L34-II-4)."""
    map_.hold(TEN, MAC_A)
    map_.tick(60)
    map_.do(["public", NO_PUBLIC, map_.wall, map_.now])
    map_.tick(60)
    map_.do(["public", OTHER_PUBLIC, map_.wall, map_.now])
    assert map_.covers(TEN, 16384)
    rows = [[row[1], row[7] - NOON, row[8] and row[8] - NOON] for row in map_.ask("rows")]
    assert rows == [[PUBLIC, 0, None], [PUBLIC, 0, 60], [OTHER_PUBLIC, 120, None]]


def test_map_survives_a_restart_and_a_boot_lets_what_was_given_rest(map_):
    """After a crash the same blocks are loaded again.

    After a boot only marks are left, without a terminal, and they rest a day.
    """
    map_.hold(TEN, MAC_A)
    map_.hold(ELEVEN, MAC_B)
    map_.ask("rows")
    map_.ask("kernel")
    map_.open()
    assert map_.ask("kernel") == [["load", *REST], ["give", TEN, 0, 16384, 16895], ["give", ELEVEN, 1, 16896, 17407]]
    assert map_.ask("rows") == []
    marks = (map_.folder / "marks").read_bytes()
    assert len(marks) == 96
    assert bytes.fromhex(MAC_A) not in marks
    (map_.folder / "map").unlink()
    map_.now, map_.wall = 20, NOON + 600
    map_.holders = {}
    map_.open()
    status = map_.ask("status")
    # A twelfth is marked at a time, so that not every lease writes to flash
    assert (status["held"], status["resting"]) == (0, 8)
    map_.hold(TWELVE, MAC_C)
    assert map_.first(TWELVE) == 16384 + 8 * 512
    map_.holders = {}
    map_.tick(DAY)
    map_.tick(DAY)
    assert map_.ask("status")["resting"] == 0
    map_.do(["hour"])
    assert (map_.folder / "marks").read_bytes() != marks


def test_store_or_kernel_or_flash_that_refuses_leaves_the_terminal_to_rest(map_, tmp_path):
    """A block that nobody will find in the store is worse than none: then connections are recorded one by one."""
    map_.do(["full", True])
    map_.hold(TEN, MAC_A)
    map_.hold(ELEVEN, MAC_B)
    for _ in range(200):  # no bundle of keys for a while
        map_.tick(1)
    assert [call for call in map_.ask("kernel") if call[0] == "give"] == []
    assert not map_.covers(TEN, 16384)
    map_.ask("rows")
    map_.do(["full", False], ["refuses", True])
    for _ in range(200):
        map_.tick(1)
    rows = map_.ask("rows")
    assert 2 <= len(rows) <= 10  # once a minute, not once a second for each of the two; each one begun and ended
    assert map_.ask("status") == {"blocks": 96, "held": 0, "resting": 0, "free": 96, "without": 2, "conflicts": 0}
    map_.do(["refuses", False])
    map_.tick(61)
    assert map_.ask("status")["held"] == 2
    (tmp_path / "marks").unlink()
    (tmp_path / "marks").mkdir()  # a name that can't be replaced
    for number in range(8):
        map_.hold(f"c0a802{number:02x}", f"0200000002{number:02x}")
    assert map_.ask("status")["without"] >= 1


@pytest.mark.needs("root", "ip", "nft")
def test_table_that_the_recorder_writes_is_what_nft_reads(interpreter):
    """The messages are the kernel's own: nft lists chains, ranges and elements.

    A second time is refused, absence isn't.
    """
    name = f"oubli-table-{secrets.token_hex(4)}"
    inside = ["ip", "netns", "exec", name]
    steps = [
        ["load", REST], ["give", TEN, 3, 20000, 20511], ["give", ELEVEN, 4, 20512, 21023],
        ["take", TEN, 3], ["take", TEN, 3], ["give", ELEVEN, 5, 21024, 21535],
    ]  # fmt: skip
    script = f"from tests.support.attribution_stage import kernel_table; print(kernel_table(['wan', 'wan2'], {steps}))"
    words = interpreter.command("-c", script)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        done = subprocess.run(
            [*inside, *words], cwd=PROJECT, env=environment(), capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == [0, 0, 0, 0, 2, 17]
        listed = subprocess.run(
            [*inside, "nft", "list", "ruleset"], capture_output=True, text=True, check=True
        ).stdout.split()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    text = " ".join(listed)
    assert "elements = { 192.168.1.11 : jump b4 }" in text
    assert "chain b4 { masquerade to :20512-21023 }" in text
    assert "chain rest { masquerade to :1024-16383 }" in text
    assert "type nat hook postrouting priority srcnat - 1" in text
    assert 'oifname "wan" ip saddr vmap @blocks oifname "wan" jump rest oifname "wan2" ip saddr vmap @blocks' in text
    assert "b3" not in text
    assert "b5" not in text


ROOM = """
import gc
from agent.purposes.attribution.own_addresses import OwnAddresses
own = OwnAddresses(lambda row: True, lambda mac, start: b"", lambda: 0)
gc.collect()
before = gc.mem_alloc()
taken = sum([own.leaves(number.to_bytes(16, "big"), b"\\2" * 6, 1000, 1001) for number in range(3000)])
gc.collect()
print(taken, gc.mem_alloc() - before)
"""


def test_own_addresses_leave_the_recorder_room_however_many_a_guest_makes():
    """L34-III-2: a guest with 2,200 of them ended the recorder of a 64-bit board, whose heap is 1 MiB."""
    taken, octets = map(int, INTERPRETERS["micropython"].run("-X", "heapsize=1M", "-c", ROOM).stdout.split())
    assert taken == 1024
    assert octets < 300000


def test_terminal_that_leaves_by_its_own_ipv6_address_has_a_row_a_day(stage):
    """L34-III-2: IPv6 isn't translated: one row an address and day. Where it is, each connection has its own."""
    steps = [
        [SIX, SIX, MAC_A, NOON, NOON + 5], [SIX, SIX, MAC_A, NOON + 10, NOON + 15],
        [SIX, SIX, MAC_B, NOON + 20, NOON + 25], [SIX, MAPPED, MAC_B, NOON + 30, NOON + 31],
        [SEVEN, SEVEN, MAC_A, NOON + 60, MIDNIGHT + DAY + 30],
        [SEVEN, SEVEN, "000000000000", NOON, NOON + 1], [None, None, None, MIDNIGHT + DAY + 7300, 0],
    ]  # fmt: skip
    answers = stage("own_addresses", steps)
    assert answers[:6] == ["attribution: in a block"] * 3 + ["kept", "attribution: in a block", "kept"]
    today, tomorrow = MIDNIGHT // DAY, MIDNIGHT // DAY + 1
    rows = [[row[0], row[1], row[5], row[6], row[8], row[9]] for row in answers[6:]]
    assert rows == [
        [today, None, SIX, MAC_A, NOON, None],
        [today, None, SIX, MAC_A, NOON, NOON + 15],
        [today, None, SIX, MAC_B, NOON + 20, None],
        [today, 6, SIX, MAC_B, NOON + 30, NOON + 31],
        [today, None, SEVEN, MAC_A, NOON + 60, None],
        [today, None, SEVEN, MAC_A, NOON + 60, MIDNIGHT + DAY],
        [tomorrow, None, SEVEN, MAC_A, MIDNIGHT + DAY, None],
        [today, 6, SEVEN, "000000000000", NOON, NOON + 1],
        [today, None, SIX, MAC_B, NOON + 20, NOON + 25],
        [tomorrow, None, SEVEN, MAC_A, MIDNIGHT + DAY, MIDNIGHT + DAY + 30],
    ]


def test_address_that_another_terminal_takes_was_the_former_s_until_its_last_sign(stage):
    """L34-II-4: of the next one's connections the shortest ends first.

    The former had left before the longer ones began.
    """
    steps = [
        [SIX, SIX, MAC_A, NOON, NOON + 5],
        [SIX, SIX, MAC_B, NOON + 300, NOON + 301],
        [SIX, SIX, MAC_B, NOON + 60, NOON + 400],
    ]
    rows = stage("own_addresses", steps)[3:]
    assert [[row[6], row[8], row[9]] for row in rows] == [
        [MAC_A, NOON, None], [MAC_A, NOON, NOON + 5], [MAC_B, NOON + 300, None], [MAC_B, NOON + 60, NOON + 400],
    ]  # fmt: skip


def test_a_row_never_covers_a_time_in_which_word_of_who_has_the_address_was_missed(stage):
    """L34-II-4: another terminal had it meanwhile, and was answered for by the former's row."""
    steps = [
        [SIX, SIX, MAC_A, NOON, NOON + 5],
        ["missed", None, None, NOON + 60, 0],
        [SIX, SIX, MAC_A, NOON + 2, NOON + 99],
        [SIX, SIX, MAC_A, NOON + 100, NOON + 105],
        [SIX, SIX, MAC_A, NOON + 110, NOON + 115],
        ["missed", None, None, NOON + 200, 0],
        [SEVEN, SEVEN, MAC_A, NOON + 2, NOON + 250],
    ]
    answers = stage("own_addresses", steps)
    assert answers[:5] == ["attribution: in a block", "kept", *["attribution: in a block"] * 2, "kept"]
    assert [[row[5], row[6], row[8], row[9]] for row in answers[5:]] == [
        [SIX, MAC_A, NOON, None],
        [SIX, MAC_A, NOON + 2, NOON + 99],
        [SIX, MAC_A, NOON, NOON + 5],
        [SIX, MAC_A, NOON + 100, None],
        [SEVEN, MAC_A, NOON + 2, NOON + 250],
    ]


def test_what_began_no_later_than_the_row_of_another_is_recorded_by_itself(stage):
    """L34-II-4: two rows of one address that begin in one second could not be told from each other.

    Nor could it be told how long one lasts that begins before a former one ended.
    """
    steps = [
        [SIX, SIX, MAC_A, NOON, NOON + 5],
        [SIX, SIX, MAC_B, NOON, NOON + 9],
        [SIX, SIX, MAC_B, NOON + 1, NOON + 9],
        [SIX, SIX, MAC_B, NOON + 5, NOON + 9],
    ]
    answers = stage("own_addresses", steps)
    assert answers[:4] == ["attribution: in a block", "kept", "kept", "attribution: in a block"]
    assert [[row[1], row[6], row[8], row[9]] for row in answers[4:]] == [
        [None, MAC_A, NOON, None], [6, MAC_B, NOON, NOON + 9], [None, MAC_A, NOON, NOON + 5],
        [6, MAC_B, NOON + 1, NOON + 9], [None, MAC_B, NOON + 5, None],
    ]  # fmt: skip


def test_address_that_is_handed_on_is_the_former_s_no_longer(stage):
    """L34-II-4: his row ends with his last sign, before the next one's connections are told of.

    What he left open is recorded by itself: a row is of all ports. It is when he has the address again, too.
    """
    steps = [
        [SIX, SIX, MAC_A, NOON, NOON + 5], [SIX, None, MAC_A, 0, 0], [SIX, None, MAC_B, 0, 0],
        [SIX, SIX, MAC_A, NOON + 6, NOON + 60, False],
    ]  # fmt: skip
    first = [[None, MAC_A, NOON, None], [None, MAC_A, NOON, NOON + 5], [6, MAC_A, NOON + 6, NOON + 60]]
    assert [[row[1], row[6], row[8], row[9]] for row in stage("own_addresses", steps)[2:]] == first
    later = [[SIX, None, MAC_A, 0, 0], [SIX, SIX, MAC_A, NOON + 7, NOON + 90, False]]
    rows = stage("own_addresses", steps + later)[3:]
    assert [[row[1], row[6], row[8], row[9]] for row in rows] == [*first, [6, MAC_A, NOON + 7, NOON + 90]]


def test_what_began_before_another_had_the_address_makes_no_row_of_all_its_ports(stage):
    """L34-II-4: the first terminal has the address again; its connection from before is kept by itself."""
    steps = [
        [SIX, SIX, MAC_A, NOON + 100, NOON + 105],
        [SIX, SIX, MAC_B, NOON + 300, NOON + 301],
        [SIX, SIX, MAC_A, NOON + 600, NOON + 605],
        [SIX, SIX, MAC_A, NOON + 50, NOON + 700],
    ]
    answers = stage("own_addresses", steps)
    assert answers[:4] == ["attribution: in a block"] * 3 + ["kept"]
    assert [[row[1], row[6], row[8]] for row in answers[4:]] == [
        [None, MAC_A, NOON + 100], [None, MAC_A, NOON + 100], [None, MAC_B, NOON + 300], [None, MAC_B, NOON + 300],
        [None, MAC_A, NOON + 600], [6, MAC_A, NOON + 50],
    ]  # fmt: skip


# Who is logged in


def logged_in(stage: Remote, memory: Path, *steps: list) -> tuple[list[list], list[list]]:
    """Return user, from and until (s after NOON) of attribution's rows; user, MAC, from, until, octets of billing's."""
    folder = memory / secrets.token_hex(4)
    folder.mkdir()
    attributed, billed = stage("logged_in", str(folder), [*steps])
    return (
        [[bytes.fromhex(row[6]).decode(), row[7] - NOON, row[8] and row[8] - NOON] for row in attributed],
        [[bytes.fromhex(row[0]).decode(), row[1], row[2] - NOON, row[3] - NOON, row[5]] for row in billed],
    )


def at(second: int, step: int = 0) -> list:
    """Return the step to so many s after NOON, by a clock that was stepped meanwhile by so many s."""
    return ["at", NOON + second + step, 1000 + second]


FOUR, SIX_ = 2, 10  # families
ROOM12, ROOM13 = ["session", "room12"], ["session", "room13"]


@pytest.mark.parametrize(("family", "own"), [(FOUR, []), (SIX_, [["", 100, None]])])
@pytest.mark.parametrize("former", [[], [at(50), ROOM13]])
def test_who_logs_in_during_a_connection_is_not_named_for_it(stage, memory, family, own, former):
    """L34-II-4, L34-IV-2: nor does he pay for it, whether nobody or another one was logged in when it began."""
    attributed, billed = logged_in(
        stage, memory, *former, at(600), ROOM12, at(700), ["connection", family, NOON + 100, NOON + 690]
    )
    assert attributed == ([] if family == SIX_ else [["", 100, 690]]) + own
    assert billed == [["", MAC_A, 690, 690, 10]]
    # Of what he begins then he is named, however often the portal says so again
    attributed, billed = logged_in(
        stage, memory, at(600), ROOM12, at(1200), ROOM12, ["connection", family, NOON + 700, NOON + 1190]
    )
    assert attributed == [["room12", 700, 1190 if family == FOUR else None]]
    assert billed == [["room12", "", 700, 1190, 10]]


def test_a_log_in_is_told_from_a_start_wherever_the_clock_was_stepped(stage, memory):
    """The start's stamp is of the present clock, the log-in of one that doesn't go back; seconds are rounded."""
    for begun, step, name in ((599, 0, ""), (601, 0, ""), (603, 0, "room12"), (599, 7200, ""), (603, -7200, "room12")):
        start, end = NOON + step + begun, NOON + step + 700
        attributed, _ = logged_in(stage, memory, at(600), ROOM12, at(700, step), ["connection", FOUR, start, end])
        assert attributed[0][0] == name, (begun, step)
    for again in ([["session", None], ROOM12], [ROOM13, ROOM12]):  # he was away for a moment
        steps = [at(10), ROOM12, at(600), *again, at(700), ["connection", FOUR, NOON + 100, NOON + 690]]
        assert logged_in(stage, memory, *steps)[0] == [["", 100, 690]]


def test_a_connection_that_lasts_over_log_ins_and_midnights_names_only_whose_it_was(stage, memory):
    """Over IPv6 the rows of each user are his own connections', the others stand by themselves."""
    attributed, _ = logged_in(
        stage, memory, at(10), ROOM12, at(300), ["lasts", SIX_, NOON + 100], at(400), ROOM13,
        at(500), ["connection", SIX_, NOON + 450, NOON + 490], at(600), ["lasts", SIX_, NOON + 100],
        at(700), ["connection", SIX_, NOON + 100, NOON + 690],
    )  # fmt: skip
    assert attributed == [["room12", 100, None], ["room12", 100, 300], ["room13", 450, None], ["", 100, 690]]
    night = DAY // 2
    lasts = ["lasts", FOUR, NOON + 100]
    attributed, billed = logged_in(stage, memory, at(10), ROOM12, at(night + 60), lasts, at(night + 360), lasts)
    assert attributed[0] == ["room12", 100, night]
    assert billed == [["room12", "", 100, night, 0], ["room12", "", night, night + 360, 0]]
    assert logged_in(stage, memory, at(night - 60), ROOM12, at(night + 60), lasts)[0][0] == ["", 100, night]


def test_a_row_ends_with_its_user_s_session(stage, memory):
    """L34-II-4: what begins at that terminal later is no more his, whether or not another one comes."""
    attributed, _ = logged_in(
        stage, memory, at(10), ROOM12, at(300), ["lasts", SIX_, NOON + 100], at(400), ["session", None], ["tick"]
    )
    assert attributed == [["room12", 100, None], ["room12", 100, 300]]


def test_a_session_doesnt_go_on_over_another_user_s(stage, memory):
    """L34-IV-2: nobody pays for the time in which another one was logged in at the terminal."""
    steps = [at(10), ROOM12, at(100), ["connection", FOUR, NOON + 20, NOON + 90], at(120), ROOM13, at(220), ROOM12]
    _, billed = logged_in(stage, memory, *steps, at(300), ["connection", FOUR, NOON + 230, NOON + 290])
    assert [[user, begun, end] for user, _, begun, end, _ in billed] == [["room12", 20, 90], ["room12", 230, 290]]


def test_who_leaves_the_portal_s_list_is_logged_out(stage, tmp_path):
    """L34-II-4, L34-IV-2: openNDS doesn't tell of a client who has logged out; nobody goes on as him for a day.

    Nor where no list comes for two minutes.
    """
    path = tmp_path / "clients"
    whole = clients(**{MAC_A: ("Authenticated", "room12")})
    path.write_text(whole)
    here, other = [MAC_A, "room12"], {MAC_B: ["room13", 0]}
    assert stage("read_portal", str(path), 1, other)[0] == [[MAC_B, "room13"]]
    assert stage("read_portal", str(path), 10, other)[0] == [here]
    assert stage("read_portal", str(path), 10, {MAC_B: ["room13", 6]})[0] == [here, [MAC_B, "room13"]]
    assert [stage("read_portal", str(path), turns)[0] for turns in (119, 130)] == [[here], []]
    assert stage("read_portal", str(path), 130, {}, 60)[0] == [here]
    path.write_text(whole[:-300])  # a portal that tells by itself
    assert stage("read_portal", str(path), 130, other)[0] == [[MAC_B, "room13"]]


# Billing


def marks(rows: list) -> list[list[int]]:
    """Return begin and end of the marks among rows."""
    return [[row[8], row[9]] for row in rows if row[1] is None and row[2] == NO_PUBLIC]


def test_recorder_vouches_for_what_it_heard_and_kept_and_for_nothing_else(stage):
    """L34-II-4: a mark begins where the former one ends.

    A loss, a refusing store and an unknown time leave a gap between two.
    """
    steps = [["mark", NOON], ["vouch", NOON + 1], ["mark", NOON + 1], ["mark", NOON + 60], ["mark", NOON + 90]]
    assert marks(stage("vouched", steps)) == [[NOON + 1, NOON + 60], [NOON + 60, NOON + 90]]
    lost = [["lost"], ["mark", NOON + 120], ["mark", NOON + 150]]
    assert marks(stage("vouched", steps + lost))[2:] == [[NOON + 120, NOON + 150]]
    refused = [
        ["refuse", True],
        ["connection", NOON, NOON + 95],
        ["refuse", False],
        ["mark", NOON + 120],
        ["mark", NOON + 150],
    ]
    assert marks(stage("vouched", steps + refused))[2:] == [[NOON + 120, NOON + 150]]
    unmarked = [["refuse", True], ["mark", NOON + 120], ["refuse", False], ["mark", NOON + 150]]
    assert marks(stage("vouched", steps + unmarked))[2:] == [[NOON + 90, NOON + 150]]
    unknown = [["vouch", 0], ["mark", NOON + 120], ["vouch", NOON + 130], ["mark", NOON + 150]]
    assert marks(stage("vouched", steps + unknown))[2:] == [[NOON + 130, NOON + 150]]
    assert {row[0] for row in stage("vouched", steps)} == {NOON // DAY}


def test_connection_that_lasts_stands_under_each_day_and_no_mark_comes_before(stage):
    """L34-II-4, L34-III-2: whoever asks for a day two days after it began finds it there.

    A cut of power takes what is of that day only.
    """
    start, next_ = NOON - DAY, MIDNIGHT + DAY
    day = MIDNIGHT // DAY
    steps = [["vouch", NOON], ["last", start, NOON], ["split", NOON], ["last", start, NOON + 300], ["mark", NOON + 600]]
    before = [[day - 1, 6, PUBLIC, 50000, 50000, TEN, MAC_A, "", start, MIDNIGHT, True], [NOON, NOON + 600]]
    rows = stage("vouched", steps)
    assert [rows[0], *marks(rows)] == before
    assert len(rows) == 2
    night = [
        ["mark", next_ + 5],
        ["split", next_ - 5],
        ["mark", next_ + 9],
        ["last", start, next_ + 20],
        ["split", next_ + 15],
    ]
    rows = stage(
        "vouched",
        [*steps, *night, ["last", start, next_ + 320], ["mark", next_ + 400], ["connection", start, next_ + 500]],
    )
    assert marks(rows) == [[NOON, NOON + 600], [NOON + 600, next_], [next_, next_ + 400]]
    assert [[row[0], *row[8:10]] for row in rows if row[1] == 6] == [
        [day - 1, start, MIDNIGHT], [day, MIDNIGHT, next_], [day + 1, next_, next_ + 500]
    ]  # fmt: skip
    slept = [["vouch", NOON], ["split", next_ + DAY], ["mark", next_ + DAY], ["mark", next_ + DAY + 9]]
    assert marks(stage("vouched", slept)) == [[next_ + DAY, next_ + DAY + 9]]
    assert [[row[0], *row[8:10]] for row in stage("vouched", [["connection", NOON, next_ + 100]])] == [
        [day, NOON, next_], [day + 1, next_, next_ + 100]
    ]  # fmt: skip
    assert [row[8:10] for row in stage("vouched", [["connection", NOON, next_]])] == [[NOON, next_]]
    # As old as it can be, for nobody knows its start: the day of its end has it all the same
    assert [[row[0], *row[8:10]] for row in stage("vouched", [["connection", NOON - 2 * DAY, next_ + 100, False]])] == [
        [day, MIDNIGHT, next_], [day + 1, next_, next_ + 100]
    ]  # fmt: skip


def test_session_is_a_users_or_a_terminals_with_its_time_and_volume(stage, memory):
    """L34-IV-2, L34-III-3: the MAC is left out where a portal user says who.

    Half an hour of silence ends a session, midnight too.
    """
    folder = memory / secrets.token_hex(4)
    folder.mkdir()
    rows = stage(
        "bill", str(folder),
        [
            ["connection", MAC_A, NOON, NOON + 10, 100, 2000],
            ["users", {MAC_A: ["room12", NOON + 15]}],
            ["connection", MAC_A, NOON + 20, NOON + 60, 1, 2],
            ["connection", MAC_B, NOON, NOON + 1, 5, 6],
            ["alive", MAC_B, NOON, NOON + 1000],
            ["tick", NOON + 2000],
            ["users", {MAC_A: ["room13", NOON + 2050]}],
            ["connection", MAC_A, NOON + 2100, NOON + 2101, 7, 8],
            ["users", {}],
            ["connection", MAC_A, NOON + 2102, NOON + 2103, 9, 1],
            ["connection", MAC_C, MIDNIGHT + DAY - 5, MIDNIGHT + DAY - 1, 3, 4],
            ["tick", MIDNIGHT + DAY],
            ["connection", MAC_C, MIDNIGHT + DAY, MIDNIGHT + DAY + 1, 3, 4],
            ["tick", MIDNIGHT + DAY + 1799],
        ],
    )  # fmt: skip
    today = MIDNIGHT // DAY
    user, other = b"room12".hex(), b"room13".hex()
    assert rows == [
        [today, "", MAC_A, NOON, NOON + 10, 100, 2000, True],
        [today, user, "", NOON + 20, NOON + 60, 1, 2, True],
        [today, other, "", NOON + 2100, NOON + 2101, 7, 8, True],
        [today, "", MAC_A, NOON + 2102, NOON + 2103, 9, 1, True],
        [today, "", MAC_B, NOON, NOON + 1000, 5, 6, True],
        [today, "", MAC_C, MIDNIGHT + DAY - 5, MIDNIGHT + DAY - 1, 3, 4, True],
        1,
    ]
    assert stage("bill", str(folder), [["finish"]]) == [
        [today + 1, "", MAC_C, MIDNIGHT + DAY, MIDNIGHT + DAY + 1, 3, 4, True],
        0,
    ]


def test_no_time_is_billed_twice_and_no_session_is_longer_than_a_day(stage, memory):
    """L34-IV-2: a film over midnight, a request run meanwhile, another user, a clock that is set back.

    What lasts counts from the former session's end, and from midnight; its octets are billed all the same.
    """
    next_, day = MIDNIGHT + DAY, MIDNIGHT // DAY

    def times(*steps: list) -> list:
        folder = memory / secrets.token_hex(4)
        folder.mkdir()
        half = len(steps) // 2  # the process is restarted between
        rows = stage("bill", str(folder), [*steps[:half]])[:-1] + stage("bill", str(folder), [*steps[half:]])
        return [[row[0], *row[3:7]] for row in rows[:-1]] + rows[-1:]

    film = ["connection", MAC_A, next_ - 7200, next_ + 5400, 1, 900]
    lasts_at = [["alive", MAC_A, next_ - 7200, next_ + second] for second in (-180, 120, 5300)]
    over = [["connection", MAC_A, next_ - 7100, next_ - 7000, 1, 10], lasts_at[0]]
    second = [day + 1, next_, next_ + 5400, 1, 900]
    for asked in ([], [["finish"]]):  # a request between, too
        rows = times(*over, *asked, ["tick", next_], *lasts_at[1:], film, ["finish"])
        assert sum(row[2] - row[1] for row in rows[:-2]) == 7200
        assert [sum(row[at] for row in rows[:-2]) for at in (3, 4)] == [1, 10]
        assert rows[-2:] == [second, 0]
        assert all(one[2] <= other[1] for one, other in pairwise(rows[:-1]))
    # It ends at midnight, before the next look: cut there, not a day later
    early = ["connection", MAC_A, next_ - 7200, next_ + 1, 1, 900]
    first = [day + 1, next_ - 7200, next_, 1, 10]
    assert times(*over, early, ["tick", next_ + 2], ["finish"]) == [first, [day + 1, next_, next_ + 1, 1, 900], 0]
    # Of a terminal that has no other connection, too, each day; and what is told late lengthens nothing
    alone = [["alive", MAC_A, next_ - 7200, next_ + at] for at in range(-7000, 5400, 300)]
    lone = [[day + 1, next_ - 7200, next_, 0, 0], second, 0]
    assert times(*alone, film, ["finish"]) == times(film, ["finish"]) == lone
    late = ["connection", MAC_A, next_ - 7200, next_ - 1, 1, 900]
    assert times(*over, early, late, ["finish"]) == [first, [day + 1, next_, next_ + 1, 2, 1800], 0]
    # A request, and another user, whose own the connection isn't
    session = ["connection", MAC_A, NOON, NOON + 60, 1, 10]
    lasts = ["connection", MAC_A, NOON, NOON + 900, 1, 900]
    before, after = [day, NOON, NOON + 60, 1, 10], [day, NOON + 60, NOON + 900, 1, 900]
    assert times(session, ["finish"], lasts, ["finish"]) == [before, after, 0]
    assert times(session, ["finish"], ["alive", MAC_A, NOON, NOON + 400], lasts, ["finish"]) == [before, after, 0]
    login = ["users", {MAC_A: ["room13", NOON + 70]}]
    nobody_s, own = [day, NOON + 900, NOON + 900, 1, 900], ["connection", MAC_A, NOON + 80, NOON + 990, 1, 7]
    later: list[Any] = [login, lasts, ["alive", MAC_A, NOON, NOON + 400], own, ["finish"]]
    assert times(["users", {MAC_A: ["room12", 0]}], session, ["tick", NOON + 61], ["tick", NOON + 62], *later) == [
        nobody_s, before, [day, NOON + 80, NOON + 990, 1, 7], 0
    ]  # fmt: skip
    # Silence, then a connection of its own
    later, apart = ["connection", MAC_A, NOON + 3000, NOON + 3060, 1, 10], [day, NOON + 3000, NOON + 3060, 1, 10]
    assert times(session, ["tick", NOON + 1860], later, ["finish"]) == [before, apart, 0]
    # Set forward by an hour: what was billed isn't again
    forward = ["connection", MAC_A, NOON + 3600, NOON + 3900, 1, 900]
    assert times(session, ["finish", NOON + 3690], forward, ["finish"]) == [
        before, [day, NOON + 3690, NOON + 3900, 1, 900], 0
    ]  # fmt: skip
    # Set back by an hour: the present counts on
    again, told = ["connection", MAC_A, NOON - 3500, NOON - 3400, 1, 10], [day, NOON - 3500, NOON - 3400, 1, 10]
    assert times(session, ["finish", NOON - 3540], again, ["finish"]) == [before, told, 0]
    assert times(session, ["finish"], ["finish", NOON - 3540], again, ["finish"]) == [before, told, 0]


def test_nobody_pays_for_the_hours_in_which_the_kernel_keeps_what_he_left_open(stage, memory):
    """L34-IV-2: a connection's last packet is its last sign; the kernel tells of its end up to hours later."""

    def billed(*steps: list) -> list:
        folder = memory / secrets.token_hex(4)
        folder.mkdir()
        rows = stage("bill", str(folder), [["users", {MAC_A: ["room12", NOON - 60]}], *steps, ["finish"]])[:-1]
        return [[bytes.fromhex(row[1]).decode(), *row[3:7]] for row in rows]

    session = ["room12", NOON, NOON + 300, 0, 0]
    lists = [["alive", MAC_A, NOON, NOON + 300, NOON + at] for at in range(300, 7500, 300)]
    assert billed(*lists) == [session]
    told = ["connection", MAC_A, NOON, NOON + 300, 5, 700, NOON + 7740]
    rows = billed(*lists[:6], ["tick", NOON + 2100], *lists[6:], told)
    assert rows == [session, ["room12", NOON + 300, NOON + 300, 5, 700]]
    # Another user's meanwhile: neither his nor that one's
    rows = billed(*lists[:6], ["users", {MAC_A: ["room13", NOON + 2000]}], ["tick", NOON + 2100], told)
    assert rows == [session, ["", NOON + 300, NOON + 300, 5, 700]]
    # What was idle before he logged in ends no session of his
    idle = ["alive", MAC_A, NOON - 600, NOON - 100, NOON + 400]
    assert billed(lists[0], idle, ["alive", MAC_A, NOON, NOON + 500, NOON + 600]) == [
        ["room12", NOON, NOON + 500, 0, 0]
    ]


def test_a_session_that_is_written_is_soon_forgotten_and_makes_room_first(stage, memory):
    """L34-II-1: its row holds no user and no volume, and goes after half an hour."""
    folder = memory / secrets.token_hex(4)
    folder.mkdir()
    steps = [["users", {MAC_A: ["room12", 0]}], ["connection", MAC_A, NOON, NOON + 60, 77, 88], ["finish"]]
    assert stage("bill", str(folder), steps)[-1] == 0
    kept = (folder / "billing").read_bytes()
    assert bytes.fromhex(MAC_A) in kept
    assert b"room12" not in kept
    fresh = [["connection", f"02{number:010x}", NOON, NOON + 100, 1, 1] for number in range(512)]
    assert stage("bill", str(folder), fresh) == [512]
    assert stage("bill", str(folder), [["finish"], ["tick", NOON + 100 + 1800]])[-1] == 0
    assert not any((folder / "billing").read_bytes())


def test_billing_is_bounded_and_writes_the_stalest_session_early(stage, memory):
    """Made-up MACs fill 512 rows; the next one pushes the stalest out, which is written and not lost."""
    folder = memory / secrets.token_hex(4)
    folder.mkdir()
    steps = [["connection", f"02{number:010x}", NOON + number, NOON + number, 1, 1] for number in range(520)]
    rows = stage("bill", str(folder), steps)
    assert [row[2] for row in rows[:-1]] == [f"02{number:010x}" for number in range(8)]
    assert rows[-1] == 512
    # What had to make room isn't billed again
    again = [["connection", "020000000007", NOON, NOON + 600, 1, 1], ["finish"]]
    rows = stage("bill", str(folder), again)
    assert [row[3:5] for row in rows[:-1] if row[2] == "020000000007"] == [[NOON + 8, NOON + 600]]


# The portal's word


def clients(**sessions: tuple[str, str]) -> str:
    """Write openNDS's list as it prints it: a field a line, and `custom` as it is."""
    lines = ["{", f'  "client_list_length":"{len(sessions)}",', '  "clients":{']
    for number, (mac, (state, custom)) in enumerate(sessions.items(), 1):
        named = ":".join(mac[at : at + 2] for at in range(0, 12, 2))
        fields = {
            "gatewayname": "Venue%20Node%3aaabbccddeeff", "gatewayaddress": "192.168.1.1:2050",
            "gatewayfqdn": "status.client", "version": "10.1.3", "client_type": "cpd_can", "mac": named,
            "ip": "192.168.1.10", "clientif": "wlan0", "session_start": "0", "session_end": "null",
            "last_active": "0", "token": "0f0f", "state": state, "custom": custom,
            "download_this_session": "0", "upload_this_session": "0", "upload_session_avg": "0.00",
        }  # fmt: skip
        rows = [f'      "{name}":"{text}"' for name, text in fields.items()]
        lines += [f'    "{named}":{{', ",\n".join(rows), "    }" + "," * (number < len(sessions))]
    return "\n".join(
        [*lines, "  },", '  "trusted_list_length":"1",', '  "trusted":[', '    "02:00:00:00:00:ff"', "  ]", "}", ""]
    )


@pytest.mark.long
def test_portal_list_tells_who_is_logged_in(stage):
    """L34-I-2: an authenticated client with a user id has one.

    "none", another state, or a list that is none, has none.
    """
    told = clients(
        **{MAC_A: ("Authenticated", "room12"), MAC_B: ("Preauthenticated", "room13"), MAC_C: ("Authenticated", "none")}
    )
    out = clients(**{MAC_A: ("Preauthenticated", "room12")})
    steps = [
        ["read", told, 100],
        ["user", MAC_A],
        ["user", MAC_B],
        ["user", MAC_C],
        ["read", out, 100],
        ["user", MAC_A],
    ]
    assert stage("portal", steps) == [True, "room12", "", "", True, ""]


@pytest.mark.long
def test_a_user_at_a_mac_of_zeros_is_nobodys_who_is_known(stage):
    """L34-II: zeros stand for whoever isn't known, of whom none is a user."""
    nobody = "0" * 12
    told = clients(**{nobody: ("Authenticated", "room12"), MAC_A: ("Authenticated", "room13")})
    assert stage("portal", [["read", told, 100], ["user", nobody], ["user", MAC_A]]) == [True, "", "room13"]


def test_portal_that_names_nobody_and_the_pages_of_opennds_itself(stage):
    """L34-II-1: openNDS 10 writes "bmE=" for a client of whom nothing was said: no user has that name.

    What its own pages say comes in base64, and is what they said; a text that only looks like it is left alone.
    """
    page = base64.b64encode(b"username=anna emailaddress=anna@example.org").decode()
    texts = {"bmE=": "", "none": "", page: "username=anna emailaddress=anna@example.org"}
    texts |= {"room12==": "room12==", "cm9vbTEy": "cm9vbTEy", page[:-1]: page[:-1], "anna": "anna", "=": "="}
    texts |= {base64.b64encode(b"username=" + b"a" * 56).decode(): "", base64.b64encode(b"a=\xff").decode(): ""}
    told = clients(**{f"0200000001{number:02}": ("Authenticated", text) for number, text in enumerate(texts)})
    steps = [["read", told, 100]] + [["user", f"0200000001{number:02}"] for number in range(len(texts))]
    assert stage("portal", steps) == [True, *texts.values()]


@pytest.mark.parametrize("part", [1, 7, 4096])
def test_portal_list_is_read_alike_however_it_is_cut(stage, part):
    """Braces, quotes and backslashes in a user's own text are text.

    Nothing of the list is held but the client that is being read.
    """
    odd = ['a}b{"c', "back\\slash\\\\", '"', "}}{{", '","mac":"']
    told = clients(**{f"02000000010{number}": ("Authenticated", text) for number, text in enumerate(odd)})
    steps = [["read", told, part]] + [["user", f"02000000010{number}"] for number in range(len(odd))]
    assert stage("portal", steps) == [True, *odd]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"clients":[]}', '{"clients":{"a":1}}', '{"clients":{"a":{"mac":"x"}}}', "[" * 500]
)
def test_list_that_is_none_is_refused_and_nothing_is_kept(stage, text):
    """Hostile output of a child: counted as a failure, no crash, on both interpreters."""
    assert stage("portal", [["read", text, 100], ["count"]]) == [False, [0, 0]]


def test_client_that_is_too_long_ends_the_reading(stage):
    """Bounded memory: a list with a line of more than 4,096 octets is none."""
    long = clients(**{MAC_A: ("Authenticated", "x" * 5000), MAC_B: ("Authenticated", "room13")})
    assert stage("portal", [["read", long, 1000], ["count"]]) == [False, [0, 0]]


def test_sessions_are_bounded_and_expire(stage):
    """L34-II-1: 512 at most, a day without a word at most.

    A user id is 1 to 64 octets of UTF-8 without a control character.
    """
    steps = [
        ["flood", 514],
        ["count"],
        ["tick", DAY + 100],
        ["count"],
        ["begin", MAC_A, "x" * 65, 0],
        ["begin", MAC_A, "é" * 33, 0],
        ["begin", MAC_A, "", 0],
        ["begin", MAC_A, "chambre\u202e12", 0],
        ["begin", MAC_A, "chambre\x8512", 0],
        ["begin", MAC_A, "Zoé Lefèvre", 0],
        ["user", MAC_A],
    ]
    assert stage("portal", steps) == [[512, 2], [413, 2], False, False, False, False, False, True, "Zoé Lefèvre"]


# What a fake ndsctl does, by the way it is called; it is a program of its own, with a test of its own below.
FAKE = """#!/bin/sh
# ndsctl as this project's tests know it: `json` prints a list, everything else is refused.
[ "$1" = json ] && [ $# = 1 ] || { echo "unknown command" >&2; exit 1; }
case "$(cat "$0.mode")" in
  list) cat "$0.json" ;;
  hang) exec sleep 60 ;;
  flood) exec head -c 2000000 /dev/zero ;;
  fail) echo '{"clients":{}}'; exit 1 ;;
esac
"""


@pytest.fixture
def fake(tmp_path):
    """Give a fake ndsctl: a path, to be followed by `.mode` (list, hang, flood, fail) and `.json`."""
    path = tmp_path / "ndsctl"
    path.write_text(FAKE)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    Path(f"{path}.mode").write_text("list")
    Path(f"{path}.json").write_text(clients(**{MAC_A: ("Authenticated", "room12"), MAC_B: ("Authenticated", "none")}))
    return path


def test_fake_portal_speaks_as_the_real_one_does(fake):
    """The fake peer's own test: it prints openNDS's list, and refuses what ndsctl would be wrong to be asked."""
    done = subprocess.run([fake, "json"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["client_list_length"] == str(len(said["clients"])) == "2"
    assert all(isinstance(value, str) for client in said["clients"].values() for value in client.values())
    assert subprocess.run([fake, "auth", MAC_A], capture_output=True, check=False).returncode == 1


SESSIONS = PROJECT / "boards/common/usr/sbin/oubli-sessions"


@pytest.mark.needs("root", "busybox")
@pytest.mark.parametrize("mode", ["list", "hang", "flood", "fail"])
def test_portal_is_asked_by_root_and_read_by_the_recorder(stage, fake, tmp_path, mode):
    """L34-I-2: patience and 512 KiB end a question, each failure is counted; nobody but root changes the folder."""
    Path(f"{fake}.mode").write_text(mode)
    folder = tmp_path / "portal"
    with subprocess.Popen(
        ["busybox", "ash", SESSIONS, folder, fake, "nobody", "60", "1"], stderr=subprocess.PIPE, text=True
    ) as asking:
        try:
            limit = time.monotonic() + 90
            while not (folder / "clients").exists():
                assert asking.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.05)
            status = (folder / "clients").stat()
            assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (pwd.getpwnam("nobody").pw_uid, 0o400)
            assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (0, 0o711)
            left = set(re.findall(r'"([a-z_]+)":"', (folder / "clients").read_text()))  # of what openNDS tells
            assert left == ({"client_list_length", "mac", "state", "custom"} if mode == "list" else set())
            told, failures, slowest = stage("read_portal", str(folder / "clients"), 60)
            assert told == ([[MAC_A, "room12"]] if mode == "list" else [])
            assert failures == (mode != "list")
            assert slowest < 1_000_000_000
        finally:
            asking.terminate()
        assert asking.wait(240) == 0
        assert list(folder.iterdir()) == []
    assert stage("read_portal", str(folder / "clients"), 600)[:2] == [[], 0]  # no portal is no failure


@pytest.mark.long
def test_list_that_is_cut_or_does_not_come_any_more_is_a_failure(stage, tmp_path):
    """Each is counted once a list, or once in two minutes; a list is read once."""
    path = tmp_path / "clients"
    whole = clients(**{MAC_A: ("Authenticated", "room12"), MAC_B: ("Authenticated", "room13")})
    for text, turns, failures in (
        (whole, 100, 0),
        (whole, 130, 1),
        (whole, 250, 2),
        (whole[:-300], 100, 1),
        (" " * 600000, 100, 1),
    ):
        path.write_text(text)
        assert stage("read_portal", str(path), turns)[1] == failures
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert stage("read_portal", str(path), 50)[:2] == [[], 0]
