# SPDX-License-Identifier: Apache-2.0
"""The guests come by another interface: whoever had an address on the former one isn't named for what he didn't do."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.recorder import guest_network
from agent.vault import reading
from host_sim.venue import kernel
from tests.summary.test_summary import BOOT, GATEWAY, OPENS, SECOND, address_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.interpreters import Interpreter, Remote

A, B = bytes.fromhex("0a5bc90d0001"), bytes.fromhex("0a5bc90d0002")
SINCE = 10**15
FORMER, OTHER = 8, 9
LINKS = {"br-lan": FORMER, "br-other": OTHER}


class Venue:
    """A recorder whose guests come by br-lan at first, where A has the address; seconds since it began."""

    def __init__(self, ask: Remote, folder: Path, radio: str = "") -> None:
        self.ask, self.folder, self.second = ask, folder, 0
        networks = " list lan 'lan'\n list lan 'guest'\n" if radio else ""
        text = f"config gateway\n option id '{GATEWAY}'\n{networks}config summary\n option rows '256'\n"
        (folder / "config").write_text(text)
        (folder / "var/run/oubli-root").mkdir(parents=True)
        self.hands("br-lan", radio)
        ask("recorder_open", str(folder / "config"), str(folder), BOOT, OPENS * SECOND, SINCE, "")
        self.lists(FORMER, A)
        self.until(900)
        self.ask("recorder", [["live", kernel.done(sys.byteorder).hex()]])  # the first listing is long over
        self.until(1001)

    def hands(self, device: str, radio: str = "") -> None:
        """Let root say by which device the guests come, and by which radio, if it is up."""
        text = f"config interface 'lan'\n option device '{device}'\n# {self.second}\n"
        text += f"config interface 'guest'\n option device '{radio}'\n" if radio else ""
        (self.folder / "var/run/oubli-root/networks").write_text(text)

    def until(self, second: int) -> None:
        while self.second < second:
            self.second = min(self.second + 5, second)
            self.ask("recorder", [["time", (OPENS + self.second) * SECOND, SINCE + self.second * SECOND]])

    def neighbour(self, link: int, mac: bytes) -> None:
        told = kernel.neighbour(kernel.Neighbour(address_of(1), mac), sys.byteorder, link)
        self.ask("recorder", [["neighbour", told.hex()]])

    def lists(self, link: int, mac: bytes | None = None) -> None:
        """Let the kernel list its links, the guests' own address and who has the one that matters."""
        told = [kernel.link(name, sys.byteorder, index) for name, index in LINKS.items()]
        told.append(kernel.address(address_of(0), 16, sys.byteorder, link))
        self.ask("recorder", [["neighbour", one.hex()] for one in told])
        if mac:
            self.neighbour(link, mac)
        self.ask("recorder", [["listed"]])

    def named(self, start: int, stop: int) -> bytes:
        """Return whose a connection of the address is, zeros for nobody who is known; that is the end."""
        there = b"\xcb\0\x71\1"
        flow = kernel.Flow(
            2, 17, address_of(1), there, 1111, 443, there, b"\xc0\0\2\1", 443, 1111, kernel.SEEN_REPLY | 4,
            (OPENS + start) * SECOND, packets_up=9, packets_down=9, bytes_up=3000, bytes_down=30000,
            stop=(OPENS + stop) * SECOND,
        )  # fmt: skip
        self.until(stop + 1)
        self.ask("recorder", [["datagram", kernel.conntrack("destroy", flow, sys.byteorder).hex()]])
        self.until(stop + 400)
        self.ask("recorder_close")
        [kept] = reading.read(str(self.folder), "security", None, 0)
        return kept.mac


@pytest.fixture
def venue(remotes: Callable[[str], Remote], interpreter: Interpreter, tmp_path: Path) -> Any:
    return Venue(remotes(interpreter.name), tmp_path)


def test_what_began_before_the_other_interface_was_followed_is_nobodys(venue: Venue) -> None:
    """L34-I-2: the prefix is on the other device, where B has A's address; the recorder looks each ten seconds."""
    venue.hands("br-other")
    venue.neighbour(OTHER, B)  # nobody's business yet
    venue.until(1012)
    venue.lists(OTHER, B)
    assert venue.named(1003, 1100) == bytes(6)


@pytest.mark.parametrize(("start", "whose"), [(1011, bytes(6)), (1014, B)])
def test_what_began_a_moment_before_the_other_interface_was_listed_is_nobodys(
    venue: Venue, start: int, whose: bytes
) -> None:
    """Somebody else may have had the address there until then."""
    venue.hands("br-other")
    venue.until(1012)
    venue.lists(OTHER, B)
    assert venue.named(start, 1100) == whose


@pytest.mark.long
def test_a_guest_who_gives_no_sign_is_known_though_a_list_of_connections_follows_each_second(venue: Venue) -> None:
    """ANON-8: the kernel drops events, and each time what lasts is listed; a day was 270 lists."""
    for second in range(1002, 1302):
        venue.until(second)
        venue.ask("recorder", [["live", kernel.done(sys.byteorder).hex()]])
    assert venue.named(1310, 1400) == A


@pytest.mark.parametrize("apart", [1, 280, 300])
def test_lists_out_of_turn_neither_hurry_the_forgetting_nor_put_it_off(apart: int) -> None:
    """L34-VI-4: by 270 sweeps whoever isn't named is forgotten, within a day."""
    swept: list[bool] = []
    holders = SimpleNamespace(sweep=lambda *, whole: swept.append(whole))
    guests: Any = SimpleNamespace(_sweep=0, holders=holders, neighbours=SimpleNamespace(complete=False))
    for second in range(0, 86400, apart):
        guest_network.GuestNetwork.sweep(guests, second * SECOND)
    assert 285 < len(swept) <= 300
    assert not any(swept)


@pytest.mark.long
def test_what_began_on_an_interface_that_is_not_followed_any_more_is_nobodys(venue: Venue) -> None:
    """The address goes to B on the former device, of which nothing is heard now."""
    venue.hands("br-other")
    venue.until(1012)
    venue.lists(FORMER)
    venue.until(1020)
    venue.neighbour(FORMER, B)
    assert venue.named(1024, 1090) == bytes(6)


@pytest.mark.long
def test_whoever_is_listed_once_more_is_named(venue: Venue) -> None:
    """A device gets another name: A is there, and has what begins after the list."""
    venue.hands("br-other")
    venue.until(1012)
    venue.lists(OTHER, A)
    assert venue.named(1016, 1090) == A


@pytest.mark.long
def test_a_radio_that_reloads_takes_nobodys_name_elsewhere(
    remotes: Callable[[str], Remote], interpreter: Interpreter, tmp_path: Path
) -> None:
    """Without a bridge a network has no device while its radio is down (netifd); nothing has happened on br-lan."""
    venue = Venue(remotes(interpreter.name), tmp_path, "phy0-ap1")
    for radio in ("", "phy0-ap1"):
        venue.hands("br-lan", radio)
        venue.until(venue.second + 12)
        venue.lists(FORMER, A)
        venue.until(venue.second + 40)
    assert venue.named(960, 1400) == A
