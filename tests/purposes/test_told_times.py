# SPDX-License-Identifier: Apache-2.0
"""The times that a guest reads: each figure is read off the paper, and measured on the modules (L34-VI-4)."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.capture import neighbours
from agent.capture.address_table import AddressTable
from agent.capture.lan import Lan
from agent.config import config
from agent.purposes import words
from agent.purposes.attribution.attribution import Attribution
from agent.purposes.attribution.blocks import Blocks
from agent.purposes.attribution.holdings import OVER, Holdings
from agent.purposes.billing.billing import Billing
from agent.purposes.deferred_purposes import NoKernel
from agent.purposes.location.emergency import Emergency
from agent.purposes.portal.sessions import Sessions
from host_sim.venue import kernel
from tests.cli.test_law import EVERYTHING, GATEWAY, VENUE, noticed, registered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOON = 1795003200  # s since the epoch
STEP = 10  # seconds: how well it is measured
MAC, ADDRESS, OWN = bytes(5) + b"\2", bytes([192, 168, 1, 2]), bytes.fromhex("20010db8") + bytes(11) + b"\7"
UNITS = {"minutes": 60, "heures": 3600, "hours": 3600}
# What stands before a figure, in French and English.
BEFORE = {
    "session": ("une session finit au plus tard après", "a session ends at the latest after"),
    "block": ("ou d'une adresse IPv6 finit au plus tard après", "or of an IPv6 address ends at the latest after"),
    "ports": (
        "ports attribués\u202f: .* dernier signe\u202f; au plus",
        "ports given: .* last sign; at most",
    ),
    "portal": ("la déconnexion de l'appareil, au plus", "has logged out, at most"),
    "emergency": ("point d'accès Wi-Fi utilisé\u202f; au plus", "Wi-Fi access point used; at most"),
}


def until(over: Callable[[int], bool]) -> int:
    """Return after how many seconds something is over."""
    seconds = 0
    while not over(seconds):
        seconds += STEP
        assert seconds < 3 * 86400, "it isn't over"
    return seconds


def nobody(_mac: bytes, _start: int) -> bytes:
    return b""


def session(folder: Path) -> int:
    """Measure how long a session lasts without a connection."""
    kept: list[bytes] = []

    def append(_begins: int, octets: bytes) -> str:
        kept.append(octets)
        return "kept"

    bills = Billing(str(folder / "billing"), append, nobody)
    bills.connection(MAC, NOON, NOON, 1, 1)

    def over(seconds: int) -> bool:
        bills.tick(NOON + seconds)
        return bool(kept)

    return until(over)


def mapped(folder: Path) -> Blocks:
    blocks = Blocks(str(folder / "map"), str(folder / "marks"), 512, NoKernel(), lambda _record: True, nobody, 1000)
    blocks.rows.restate_public(bytes([203, 0, 113, 2]), NOON, 0, lambda _: b"")
    blocks.hold(ADDRESS, MAC, NOON, 1000)
    blocks.deal(NOON, 1000, lambda _address: MAC)
    return blocks


def block(folder: Path) -> int:
    """Measure how long a block, and an IPv6 address's row, stand without a connection."""
    blocks, own = mapped(folder), Attribution(lambda *_words, **_more: "kept", nobody)
    own.holdings = Holdings(blocks, own.keep_row, nobody, lambda: 0)
    started = SimpleNamespace(start=NOON * 10**9, translated_port=5, protocol=6)
    terminal: Any = SimpleNamespace(mac=lambda: MAC, newest=True)
    assert own.connection(started, OWN, OWN, terminal, NOON * 10**9, 1000) == "attribution: in a block"

    def over(seconds: int) -> bool:
        own.holdings.tick(NOON + seconds, 1000 + seconds, lambda _address: MAC)
        return not blocks.status()["held"]

    found = until(over)
    assert own.holdings.rows_of(MAC) == []
    return found


def ports(folder: Path) -> int:
    """Measure how long it is in memory whose a block was, from the last sign of its terminal on.

    It may be given by a list of neighbours, an hour after that sign. A restart amid it makes it no longer.
    """
    blocks = mapped(folder)

    def over(seconds: int) -> bool:
        blocks.tick(NOON + seconds, 1000 + seconds, lambda _address: MAC, OVER)
        return not [*blocks.map.of(MAC)]

    for seconds in range(0, 7190, STEP):
        assert not over(seconds)
    blocks.close()
    blocks = Blocks(str(folder / "map"), str(folder / "marks"), 512, NoKernel(), lambda _record: True, nobody, 8190)
    blocks.rows.resume(NOON + 7190, 8190)
    blocks.deal(NOON + 7190, 8190, lambda _address: MAC)
    blocks.rows.restate(NOON + 7190, 8190, every=False)
    assert [*blocks.map.of(MAC)]
    return neighbours.LONG // 100 + until(lambda seconds: over(7190 + seconds)) + 7190


class Gateway:
    """Who is on the LAN, by what the kernel tells; `wall` is the present second."""

    def __init__(self) -> None:
        self.wall, self.table = NOON, AddressTable(64)
        self.lan = Lan(("lan",), self.table, lambda: self.wall * 10**9)
        self.heard = neighbours.Neighbours(self.lan)
        self._sides()

    def _sides(self) -> None:
        for message in (kernel.link("lan", sys.byteorder), kernel.address(ADDRESS[:3] + b"\1", 24, sys.byteorder)):
            self.heard.feed(message, len(message))

    def lists(self, quiet: int) -> None:
        """List a stale neighbour that gave no sign for so many seconds, anew."""
        entry = kernel.Neighbour(ADDRESS, MAC, cache=(quiet * 100 + 500, quiet * 100, quiet * 100 + 7, 0))
        self.heard.restart()
        self._sides()
        self.heard.feed(message := kernel.neighbour(entry, sys.byteorder, state=4), len(message))


def portal(_folder: Path) -> int:
    """Measure how long a user is named from the portal's last word on."""
    known = Sessions()
    known.begin(MAC, "Zoé", 1000)

    def over(seconds: int) -> bool:
        known.tick(1000 + seconds)
        return not known.user(MAC)

    return until(over)


def emergency(_folder: Path) -> int:
    """Measure how long an emergency that nobody closes looks for a terminal."""
    radios: Any = SimpleNamespace(sought=None, sighted=None, ask=lambda: None, radios=0, answered=True)
    one = Emergency(radios)
    one.open(MAC, 1, 0)

    def over(seconds: int) -> bool:
        one.tick(seconds * 10**9)
        return radios.sought is None

    return until(over)


MEASURED: dict[str, Callable[[Path], int]] = {
    "session": session, "block": block, "ports": ports, "portal": portal, "emergency": emergency,
}  # fmt: skip


@pytest.mark.parametrize("restarts", [False, True])
def test_who_has_left_is_known_for_a_day_whatever_the_kernel_lists(restarts: bool) -> None:
    """L34-II-1: a kernel with few neighbours never forgets one; a list that is read anew makes nobody present."""
    gateway, known = Gateway(), []
    gateway.lists(0)
    for seconds in range(0, 9 * 86400, 300):
        gateway.wall = NOON + seconds
        if restarts and seconds % 3000 == 0:
            gateway.table = AddressTable(64)
            gateway.lan._holders = gateway.table
            gateway.lists(seconds)
        gateway.table.sweep()
        known += [seconds] if [*gateway.table.of(MAC)] else []
    assert 3000 - 300 <= known[-1] < 86400
    assert "et au plus 24 heures après" in words.KEPT["addresses"][0]


def test_a_neighbour_that_is_quiet_and_not_stale_is_told_of() -> None:
    """What an operator has fixed by hand, or what answers, is no matter of the time since its last sign."""
    for state, there in ((0x80, True), (0x02, True), (0x04, False)):
        gateway = Gateway()
        entry = kernel.Neighbour(ADDRESS, MAC, cache=(neighbours.LONG,) * 3 + (0,))
        gateway.heard.feed(message := kernel.neighbour(entry, sys.byteorder, state=state), len(message))
        assert ([*gateway.table.of(MAC)] != []) == there
        entry = kernel.Neighbour(ADDRESS, MAC, cache=(10**9, neighbours.LONG - 1, 10**9, 0))
        gateway.heard.feed(message := kernel.neighbour(entry, sys.byteorder, state=state), len(message))
        assert [*gateway.table.of(MAC)]


@pytest.mark.parametrize("what", MEASURED)
def test_a_time_that_is_told_is_the_one_that_is_measured(tmp_path: Path, what: str) -> None:
    (tmp_path / "oubli").write_text(GATEWAY + EVERYTHING[len(GATEWAY) :].format("IIbis-3") + VENUE)
    read = config.load(str(tmp_path / "oubli"))
    measured = MEASURED[what](tmp_path)
    for at, language in enumerate(words.LANGUAGES):
        papers = [noticed(read, language)] + [registered(read, language)] * (what == "portal")
        for paper in papers:
            (told,) = re.findall(BEFORE[what][at] + r" (\d+) (\w+)", "\n".join(paper))
            assert int(told[0]) * UNITS[told[1]] == measured, (what, told)


def test_who_has_left_holds_no_block(tmp_path: Path) -> None:
    """L34-II-1: no row is sealed of who isn't there; whoever comes to his address has a block of his own."""
    rows: list[Any] = []

    def keep(record: Any) -> bool:
        rows.append(record)
        return True

    table, wall = AddressTable(64), [NOON]
    lan, blocks = (
        Lan(("lan",), table, lambda: wall[0] * 10**9),
        Blocks(str(tmp_path / "map"), str(tmp_path / "marks"), 512, NoKernel(), keep, nobody, 0),
    )
    blocks.rows.restate_public(bytes([203, 0, 113, 2]), NOON, 0, lambda _: b"")
    blocks.deal(NOON, 0, lambda _address: MAC)
    lan.link(1, "lan")
    lan.address(1, ADDRESS[:3] + b"\1", 24)

    def told(address: bytes) -> None:
        blocks.hold(address, table.user(address) or b"", wall[0], wall[0] - NOON)

    lan.holder_changed = told
    lan.neighbour(1, ADDRESS, MAC)
    lan.no_neighbour(1, ADDRESS)
    held = []
    for minutes in range(0, 24 * 60, 5):
        wall[0] = NOON + 60 * minutes
        blocks.tick(wall[0], wall[0] - NOON, lambda address: table.user(address) or b"", OVER)
        table.sweep()
        held += [minutes] if [*blocks.map.of(MAC)] else []
    assert 0 < held[-1] <= 10
    assert [(row.start, row.end) for row in rows] == [(NOON, None), (NOON, NOON)]
    other = MAC[:5] + b"\3"
    lan.neighbour(1, ADDRESS, other)
    assert [*blocks.map.of(other)]


def test_nothing_is_told_of_blocks_where_each_connection_is_recorded_by_itself(tmp_path: Path) -> None:
    """L34-VI-4: in mode `connections` no row answers for a block, or for an IPv6 address; nor is a bill told of."""
    duty = (
        f"{GATEWAY}config purpose 'attribution'\n option enabled '1'\n option ground 'IIbis-3'\n option reference 'x'\n"
        " option budget '900000000'\n option mode '{}'\n option storage '/mnt'\nconfig summary\n option rows '64'\n"
    )
    for mode, told in (("blocks", True), ("connections", False)):
        (tmp_path / "oubli").write_text(duty.format(mode))
        read = config.load(str(tmp_path / "oubli"))
        french, english = ("\n".join(noticed(read, language)) for language in words.LANGUAGES)
        assert ("bloc de ports" in french, "block of ports" in english) == (told, told)
        assert "- scellement (autorités)\u202f: " in french
        assert "appris la fin de la connexion\u202f; " in french
        assert "learned of the end of the connection; " in english
        assert "facturation\u202f: ce" not in french
        assert "session" not in french
    (tmp_path / "oubli").write_text(
        GATEWAY + "config purpose 'billing'\n option enabled '1'\n option lifetime '30d'\n option budget '90000000'\n"
    )
    text = "\n".join(noticed(config.load(str(tmp_path / "oubli")), "fr"))
    assert "- scellement (facturation)\u202f: " in text
    assert "appris la fin de la session\u202f; une session finit" in text
