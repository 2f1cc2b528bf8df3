# SPDX-License-Identifier: Apache-2.0
"""agent/capture/lan and neighbours: the side a connection comes from, whether it stays inside, alike everywhere.

A gateway of three sides: `lan` (link 8), `br-guest` (link 10), both of the LAN, and `wan` (link 9). rtnetlink bytes say
so, in the interpreter's own byte order; ctnetlink bytes bring the connections.
"""

from __future__ import annotations

import ipaddress
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_sim.venue import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.interpreters import Interpreter, Remote

OWN, OUTSIDE, HAIRPIN, BROADCAST, TERMINAL = "own", "outside", "hairpin", "broadcast", ""
LAN, WAN, GUEST = 8, 9, 10
NAMES = ["lan", "br-guest"]
MAC, OTHER = bytes.fromhex("02c400000001"), bytes.fromhex("02c400000002")
OWN_ADDRESSES = (
    (LAN, "192.168.1.1/24"), (LAN, "fd00:1::1/64"), (LAN, "fe80::1/64"),
    (GUEST, "10.0.6.1/23"), (WAN, "203.0.113.2/24"), (WAN, "2001:db8:2::2/64"), (1, "127.0.0.1/8"),
)  # fmt: skip
INTERNET, INTERNET_6 = "198.51.100.9", "2001:db8:9::9"


def octets(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


class Gateway:
    """What rtnetlink tells of a gateway, in one byte order."""

    def __init__(self, order: kernel.ByteOrder) -> None:
        self.order = order
        self.told = [""]  # a listing begins
        self.link(LAN, "lan").link(WAN, "wan").link(GUEST, "br-guest").link(1, "lo")
        for index, address in OWN_ADDRESSES:
            self.address(index, address)

    def link(self, index: int, name: str, *, gone: bool = False, family: int = 0) -> Gateway:
        datagram = bytearray(kernel.link(name, self.order, index, gone=gone))
        datagram[16] = family
        self.told.append(datagram.hex())
        return self

    def address(self, index: int, address: str, *, gone: bool = False) -> Gateway:
        own = ipaddress.ip_interface(address)
        self.told.append(kernel.address(own.packed, own.network.prefixlen, self.order, index, gone=gone).hex())
        return self

    def neighbour(self, index: int, address: str, mac: bytes = MAC) -> Gateway:
        self.told.append(kernel.neighbour(kernel.Neighbour(octets(address), mac), self.order, index).hex())
        return self

    def listed(self) -> Gateway:
        """End a listing: links, addresses, and neighbours twice, each with NLMSG_DONE."""
        return self.ended(4)

    def ended(self, lists: int) -> Gateway:
        """End so many lists."""
        self.told += [(20).to_bytes(4, self.order).hex() + (3).to_bytes(2, self.order).hex() + bytes(14).hex()] * lists
        return self


@pytest.fixture
def order(any_interpreter: Interpreter) -> kernel.ByteOrder:
    return "big" if any_interpreter.name == "mips" else sys.byteorder


@pytest.fixture
def ask(remotes: Callable[[str], Remote], any_interpreter: Interpreter) -> Callable[..., Any]:
    """Give a function that asks an interpreter where connections (source, destination, who answers) lie."""
    remote = remotes(any_interpreter.name)

    def told(gateway: Gateway, *connections: tuple[str, ...], names: Sequence[str] = NAMES) -> dict[str, Any]:
        events = []
        for source, destination, *answers in connections:
            family, answered = kernel.INET6 if ":" in source else kernel.INET, octets((*answers, destination)[0])
            public = octets("2001:db8:2::2" if ":" in source else "203.0.113.2")
            flow = kernel.Flow(
                family, kernel.UDP, octets(source), octets(destination), 4000, 53, answered, public, 53, 4000, 6, 9
            )
            events.append(kernel.conntrack("destroy", flow, gateway.order).hex())
        return remote("lan", names, gateway.told, events)

    return told


def held(
    ask: Callable[..., Any], gateway: Gateway, *neighbours: tuple[int, str], names: Sequence[str] = NAMES
) -> list[bool]:
    """Tell of neighbours; return of each whether anybody holds its address then."""
    for index, address in neighbours:
        gateway.neighbour(index, address)
    connections = ((address, INTERNET_6 if ":" in address else INTERNET) for _, address in neighbours)
    return [row[3] for row in ask(gateway, *connections, names=names)["told"]]


def sides(answer: dict[str, Any]) -> list[str]:
    return [row[0] for row in answer["told"]]


def stays(answer: dict[str, Any]) -> list[str]:
    return [row[1] for row in answer["told"]]


def test_only_what_begins_inside_the_lan_is_a_terminals(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """L34-I-2: the router's own, on whatever side, and what is forwarded from outside are told apart."""
    asked = {
        ("192.168.1.7", INTERNET): TERMINAL,
        ("10.0.6.7", INTERNET): TERMINAL,
        ("10.0.7.7", INTERNET): TERMINAL,
        ("fd00:1::7", INTERNET_6): TERMINAL,
        ("192.168.1.1", INTERNET): OWN,
        ("203.0.113.2", INTERNET): OWN,
        ("127.0.0.1", "127.0.0.1"): OWN,
        ("127.9.9.9", "127.0.0.1"): OWN,
        ("fe80::1", "ff02::1"): OWN,
        ("2001:db8:2::2", INTERNET_6): OWN,
        (INTERNET, "203.0.113.2", "192.168.1.50"): OUTSIDE,
        ("203.0.113.1", "203.0.113.2"): OUTSIDE,
        ("192.168.2.7", INTERNET): OUTSIDE,
        ("10.0.8.7", INTERNET): OUTSIDE,
        ("fd00:1:0:1::7", "fd00:1::7"): OUTSIDE,
        ("fe80::7", "ff02::1"): OUTSIDE,  # on every side, the provider's router's too
    }
    assert sides(ask(Gateway(order), *asked)) == list(asked.values())


def test_neighbours_of_the_lan_are_terminals_and_others_are_not(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    terminals = (LAN, "192.168.1.7"), (GUEST, "10.0.6.7"), (LAN, "fd00:1::7")
    others = (WAN, "203.0.113.1"), (77, "192.168.1.8")
    assert held(ask, Gateway(order), *terminals, *others) == [True] * 3 + [False] * 2


def test_who_says_that_he_has_an_address_holds_it_where_the_kernel_answers_it(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """L34-I-2: not on the guests' other link, not an outsider's or the router's own; the longest prefix decides.

    A prefix that both of the guests' links have is on neither.
    """
    gateway = Gateway(order).address(GUEST, "192.168.1.65/26").address(GUEST, "172.20.0.1/24")
    gateway.address(LAN, "172.20.0.2/24").address(LAN, "172.21.0.1/32")
    forged = [(GUEST, "192.168.1.7"), (LAN, "10.0.6.7"), (GUEST, "fd00:1::7"), (LAN, "198.51.100.9")]
    forged += [(LAN, "192.168.1.1"), (LAN, "203.0.113.2"), (LAN, "192.168.1.70"), (LAN, "172.20.0.7")]
    forged += [(LAN, "172.21.0.1"), (LAN, "172.21.0.2"), (LAN, "2001:db8:2::7")]
    assert held(ask, gateway, *forged) == [False] * len(forged)
    assert held(ask, gateway, (GUEST, "192.168.1.70"), (LAN, "192.168.1.7")) == [True, True]
    left = bytearray(kernel.neighbour(kernel.Neighbour(octets("192.168.1.7"), OTHER), order, GUEST))
    gateway.told.append(left.hex())
    left[4:6] = (29).to_bytes(2, order)  # RTM_DELNEIGH
    gateway.told.append(left.hex())
    assert ask(gateway, ("192.168.1.7", INTERNET))["told"][0][2:] == [MAC.hex(), True]


@pytest.mark.parametrize("names", [NAMES, ["lan"]], ids=len)
def test_a_link_local_address_is_nobodys(
    ask: Callable[..., Any], order: kernel.ByteOrder, names: Sequence[str]
) -> None:
    """L34-I-2: the provider's router on the WAN has one, too, which a guest may say is at somebody else's MAC."""
    assert held(ask, Gateway(order), (LAN, "fe80::7"), (LAN, "fe80::1"), names=names) == [False, False]


def test_what_a_guests_router_was_delegated_is_not_his_who_says_so(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """L34-I-2: OpenWrt's LAN has 60 bits, of which odhcpd delegates 64 to whoever asks; the kernel answers him."""
    gateway = Gateway(order).address(LAN, "2001:db8:7:8::1/64").address(LAN, "2001:db8:7:8::1/64", gone=True)
    gateway.address(LAN, "2001:db8:7::1/60")
    here = (LAN, "2001:db8:7::7"), (LAN, "2001:db8:7:1::7"), (LAN, "2001:db8:7:8::7")
    assert held(ask, gateway, *here) == [True, False, False]
    assert held(ask, gateway.address(WAN, "2001:db8:7::2/64"), (LAN, "2001:db8:7::8")) == [False]  # the longer one's


def test_whoever_had_an_address_that_is_another_links_now_is_forgotten(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """L34-I-2: the WAN gets a prefix within the LAN's, or the gateway the address itself."""
    gateway = Gateway(order).address(LAN, "172.16.0.1/12")
    for address in ("172.16.0.7", "172.17.0.50", "172.18.0.9"):
        gateway.neighbour(LAN, address)
    gateway.address(WAN, "172.17.0.2/24").address(LAN, "172.18.0.9/32")
    told = ask(gateway, ("172.16.0.7", INTERNET), ("172.17.0.50", INTERNET), ("172.18.0.9", INTERNET))["told"]
    assert [row[3] for row in told] == [True, False, False]


def test_an_address_that_was_never_among_the_guests_comes_and_goes_without_a_look_at_anybody(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """A table of thousands takes seconds on a slow device: bridges of containers, or a new WAN, ended the recorder."""
    gateway = Gateway(order)
    looks = ask(gateway)["forgets"]
    gateway.link(20, "veth0").address(20, "fe80::9/64").link(20, "veth0", gone=True)
    gateway.link(21, "wan2").address(21, "198.51.100.7/24").address(21, "2001:db8:9::1/56").link(21, "wan2", gone=True)
    gateway.address(WAN, "203.0.113.9/24").address(WAN, "203.0.113.2/24", gone=True)
    assert ask(gateway)["forgets"] == looks
    for number, (link, address) in enumerate(((WAN, "192.168.1.77/32"), (WAN, "fd00::1/16"), (LAN, "10.9.9.1/24")), 1):
        assert ask(gateway.address(link, address))["forgets"] == looks + number
    gateway.address(LAN, "192.168.1.1/24", gone=True)  # whose prefix was the guests' may still have one of it
    assert ask(gateway.address(WAN, "192.168.1.2/24"))["forgets"] == looks + 5


@pytest.mark.parametrize("listing", [False, True])
def test_word_of_a_newcomer_while_addresses_are_listed_anew_is_remembered(
    ask: Callable[..., Any], order: kernel.ByteOrder, *, listing: bool
) -> None:
    """L34-I-2: whether he is a terminal isn't known then; who takes his address over came later."""
    gateway = Gateway(order).listed()
    if listing:
        gateway.told.append("")
        gateway.neighbour(LAN, "192.168.1.50", OTHER).link(LAN, "lan").address(LAN, "192.168.1.1/24")
    told = ask(gateway.neighbour(LAN, "192.168.1.50"), ("192.168.1.50", INTERNET))
    assert (told["told"][0][2], told["rowless"]) == (MAC.hex(), listing)


def test_where_more_prefixes_have_left_than_are_remembered_each_change_has_a_look(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """L34-I-2: somebody may have an address of any of them."""
    gateway = Gateway(order)
    for number in range(20):
        gateway.address(LAN, f"10.9.{number}.1/24").address(LAN, f"10.9.{number}.1/24", gone=True)
    looks = ask(gateway)["forgets"]
    assert ask(gateway.address(WAN, "203.0.113.9/24"))["forgets"] == looks + 1


@pytest.mark.parametrize("what", ["address", "link", "name"])
def test_whoever_had_an_address_is_forgotten_where_another_link_goes_on_with_its_prefix(
    ask: Callable[..., Any], order: kernel.ByteOrder, what: str
) -> None:
    """L34-I-2: the WAN has the LAN's own prefix, or so has a link that isn't the guests'; the LAN loses it."""
    gateway = Gateway(order).address(WAN, "192.168.1.2/24").neighbour(LAN, "192.168.1.7").neighbour(GUEST, "10.0.6.7")
    assert held(ask, gateway, (LAN, "192.168.1.7")) == [True]
    if what == "address":
        gateway.address(LAN, "192.168.1.1/24", gone=True)
    else:
        gateway.link(LAN, "other", gone=what == "link")
    told = ask(gateway, ("192.168.1.7", INTERNET), ("10.0.6.7", INTERNET))["told"]
    assert [row[3] for row in told] == [False, True]


def test_while_no_interface_has_a_prefix_its_addresses_change_hands_all_the_same(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """L34-II-4: the ISP takes the prefix back and gives it once more; to whom it went meanwhile isn't followed."""
    gateway = Gateway(order).neighbour(LAN, "fd00:1::7").neighbour(LAN, "fd00:1::8")
    gateway.address(LAN, "fd00:1::1/64", gone=True)
    gateway.neighbour(LAN, "fd00:1::7", OTHER).neighbour(LAN, "fd00:1::8").neighbour(LAN, "fd00:1::9")
    told = ask(gateway.address(LAN, "fd00:1::1/64"), *((f"fd00:1::{number}", INTERNET_6) for number in (7, 8, 9)))
    assert [row[2] for row in told["told"]] == [None, MAC.hex(), None]
    assert told["held"] == 3
    gateway.address(LAN, "fd00:1::1/64", gone=True)
    gone = bytearray(kernel.neighbour(kernel.Neighbour(octets("fd00:1::8"), MAC), order, LAN))
    gone[4:6] = (29).to_bytes(2, order)  # RTM_DELNEIGH
    gateway.told.append(gone.hex())
    assert [row[3] for row in ask(gateway, ("fd00:1::8", INTERNET_6))["told"]] == [False]


def test_a_prefix_that_the_wan_has_too_is_the_lans(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """A mobile uplink has the LAN's own (RFC 7278), and a provider's box calls its network as OpenWrt does.

    Whichever is told of first.
    """
    gateway = Gateway(order).address(WAN, "172.22.0.33/24").address(WAN, "fd00:1::5/64").address(LAN, "172.22.0.1/24")
    here = (LAN, "172.22.0.7"), (LAN, "172.22.0.33"), (LAN, "fd00:1::7"), (LAN, "fd00:1::5"), (GUEST, "fd00:1::9")
    assert held(ask, gateway, *here) == [True, False, True, False, False]
    gateway.address(GUEST, "172.22.0.2/24").address(77, "172.22.0.4/24")
    assert held(ask, gateway, (LAN, "172.22.0.8"), (GUEST, "172.22.0.8")) == [False, False]


def test_neighbours_that_were_told_of_before_their_prefix_are_listed_once_more(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """The ISP delegates a prefix later; a link is named later. What changes nothing has nothing listed."""
    assert ask(Gateway(order).listed().address(LAN, "192.168.1.1/24").link(LAN, "lan"))["asked"] == 4
    assert ask(Gateway(order).listed().address(LAN, "2001:db8:7::1/64"))["asked"] == 5
    assert ask(Gateway(order).listed().address(GUEST, "10.0.6.1/23", gone=True))["asked"] == 5
    assert ask(Gateway(order).listed().link(WAN, "br-guest"))["asked"] == 5


def test_a_prefix_that_the_isp_took_back_is_nobodys(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """The kernel answers by the WAN; another customer may have it by now."""
    gateway = Gateway(order).address(LAN, "fd00:1::1/64", gone=True)
    assert held(ask, gateway, (LAN, "fd00:1::7"), (GUEST, "fd00:1::8")) == [False, False]
    gateway.address(GUEST, "fd00:1::1/64")
    assert held(ask, gateway, (LAN, "fd00:1::9"), (GUEST, "fd00:1::a")) == [False, True]


def test_an_address_that_is_not_listed_again_holds_up_no_neighbour(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """Word that a prefix went to another link was lost."""
    gateway = Gateway(order).listed()
    gateway.told.append("")
    gateway.link(LAN, "lan").link(GUEST, "br-guest").address(GUEST, "192.168.1.1/24")
    assert held(ask, gateway, (GUEST, "192.168.1.7"), (LAN, "192.168.1.8")) == [True, False]


def test_what_stays_inside_the_venue_is_told_from_what_goes_out(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """Hairpin by who answers: through the WAN address, or from one LAN to another.

    To the router itself (DNS, portal) isn't hairpin.
    """
    asked = {
        ("192.168.1.7", INTERNET): TERMINAL,
        ("192.168.1.7", "192.168.2.9"): TERMINAL,
        ("192.168.1.7", "203.0.113.2", "192.168.1.50"): HAIRPIN,
        ("192.168.1.7", "10.0.7.9"): HAIRPIN,
        ("10.0.6.7", "192.168.1.50"): HAIRPIN,
        ("fd00:1::7", "fd00:1::9"): HAIRPIN,
        ("fd00:1::7", "2001:db8:2::2", "fd00:1::9"): HAIRPIN,
        ("192.168.1.7", "192.168.1.1"): TERMINAL,
        ("10.0.6.7", "192.168.1.1"): TERMINAL,
        ("192.168.1.7", "203.0.113.2"): TERMINAL,
        ("192.168.1.7", INTERNET, "192.168.1.1"): TERMINAL,
        ("fd00:1::7", "fd00:1::1"): TERMINAL,
        ("192.168.1.7", "255.255.255.255"): BROADCAST,
        ("192.168.1.7", "192.168.1.255"): BROADCAST,
        ("10.0.6.7", "10.0.7.255"): BROADCAST,
        ("10.0.6.7", "10.0.6.255"): HAIRPIN,  # an address like any other of a /23
        ("192.168.1.7", "198.51.100.255"): TERMINAL,
        ("192.168.1.7", "239.255.255.250"): BROADCAST,
        ("192.168.1.7", "224.0.0.251"): BROADCAST,
        ("192.168.1.7", "223.255.255.255"): TERMINAL,
        ("fd00:1::7", "ff02::fb"): BROADCAST,
        ("fe80::7", "ff02::fb"): BROADCAST,
        ("fd00:1::7", INTERNET_6): TERMINAL,
    }
    asked |= {("192.168.1.7", "172.20.0.1"): HAIRPIN}  # a /31 has no broadcast address
    assert stays(ask(Gateway(order).address(LAN, "172.20.0.0/31"), *asked)) == list(asked.values())


def test_renumbered_lan_keeps_its_former_prefixes(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """What began under the former numbers is still ending: a terminal's, or the router's own."""
    gateway = Gateway(order).address(LAN, "192.168.9.1/24").address(LAN, "192.168.1.1/24", gone=True)
    gateway.address(LAN, "fd00:1::1/64", gone=True).address(WAN, "203.0.113.2/24", gone=True).address(
        WAN, "203.0.113.77/24"
    )
    asked = {
        ("192.168.9.7", INTERNET): TERMINAL,
        ("192.168.1.7", INTERNET): TERMINAL,
        ("fd00:1::7", INTERNET_6): TERMINAL,
        ("192.168.9.1", INTERNET): OWN,
        ("192.168.1.1", INTERNET): OWN,
        ("203.0.113.2", INTERNET): OWN,
        ("203.0.113.77", INTERNET): OWN,
        ("203.0.113.78", INTERNET): OUTSIDE,
    }
    assert sides(ask(gateway, *asked)) == list(asked.values())


def test_no_more_than_sixteen_former_prefixes_are_remembered(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    gateway = Gateway(order)
    for number in range(100, 120):
        gateway.address(LAN, f"10.{number}.0.1/16").address(LAN, f"10.{number}.0.1/16", gone=True)
    answer = ask(gateway, *((f"10.{number}.0.9", INTERNET) for number in range(100, 120)))
    assert sides(answer) == [OUTSIDE] * 4 + [TERMINAL] * 16


def test_interface_that_goes_and_comes_again_is_the_lan_again(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """With another number and without its neighbours; while none is there, the recorder can say so."""
    gateway = Gateway(order).link(LAN, "lan", gone=True)
    assert sides(ask(gateway, ("192.168.1.7", INTERNET), ("10.0.6.7", INTERNET))) == [TERMINAL, TERMINAL]
    gateway.link(GUEST, "br-guest", gone=True)
    assert ask(gateway)["present"] is False
    gateway.link(21, "lan").address(21, "192.168.3.1/24").neighbour(21, "192.168.3.7").neighbour(LAN, "192.168.3.8")
    answer = ask(gateway, ("192.168.3.7", INTERNET), ("192.168.3.8", INTERNET))
    assert (answer["present"], answer["held"], sides(answer)) == (True, 1, [TERMINAL, TERMINAL])


def test_interface_that_takes_another_name_changes_sides(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    gateway = Gateway(order).link(LAN, "old-lan").link(WAN, "lan")
    assert sides(ask(gateway, ("203.0.113.7", INTERNET), ("192.168.1.7", INTERNET))) == [TERMINAL, TERMINAL]
    assert ask(gateway.link(WAN, "wan").link(GUEST, "x"))["present"] is False


def test_port_that_leaves_a_bridge_is_still_an_interface(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """The bridge tells of it as of a link of its own family that is deleted (AF_BRIDGE 7)."""
    gateway = (
        Gateway(order)
        .link(WAN, "wan", gone=True, family=7)
        .link(LAN, "lan", gone=True, family=7)
        .neighbour(LAN, "192.168.1.7")
    )
    answer = ask(gateway, ("203.0.113.2", INTERNET), ("192.168.1.7", INTERNET))
    assert (answer["present"], answer["held"], sides(answer)) == (True, 1, [OWN, TERMINAL])


def test_a_neighbour_that_one_list_left_out_is_known_before_all_counts_as_listed(
    ask: Callable[..., Any], order: kernel.ByteOrder
) -> None:
    """Where the kernel's table grows amid a list, that leaves out up to an eighth: the second has them (L34-I-2)."""
    gateway = Gateway(order).address(LAN, "192.168.5.1/24").listed()
    gateway.told.append("")
    gateway.link(LAN, "lan").address(LAN, "192.168.1.1/24").ended(2).neighbour(LAN, "192.168.1.7").ended(1)
    elsewhere = ("192.168.1.7", "192.168.5.9")
    assert stays(ask(gateway, elsewhere)) == [HAIRPIN]  # what was known goes on
    gateway.neighbour(LAN, "192.168.1.8").ended(1)
    answer = ask(gateway, elsewhere)
    assert (stays(answer), answer["held"]) == ([TERMINAL], 2)


def test_what_a_new_listing_does_not_name_is_gone(ask: Callable[..., Any], order: kernel.ByteOrder) -> None:
    """After lost messages everything is listed again; until that is over what was known goes on."""
    gateway = Gateway(order).address(LAN, "192.168.5.1/24").listed()
    gateway.told.append("")
    gateway.link(LAN, "lan").address(LAN, "192.168.1.1/24")
    asked = [("192.168.1.7", destination) for destination in ("10.0.6.9", "192.168.5.9", "192.168.1.9")]
    assert stays(ask(gateway, *asked)) == [HAIRPIN] * 3
    gateway.listed().neighbour(GUEST, "10.0.6.7")
    answer = ask(gateway, *asked)
    assert (stays(answer), answer["present"], answer["held"]) == ([TERMINAL, TERMINAL, HAIRPIN], True, 0)
    assert sides(ask(gateway, ("10.0.6.1", INTERNET), ("203.0.113.2", INTERNET))) == [OWN, OWN]  # formerly


@pytest.fixture
def network(tmp_path: Path) -> Callable[[str], str]:
    """Give a function that writes a UCI file and returns its path."""

    def write(text: str) -> str:
        (tmp_path / "file").write_text(text)
        return str(tmp_path / "file")

    return write


def test_lan_is_named_as_openwrt_network_or_as_interface(
    remotes: Callable[[str], Remote], interpreter: Interpreter, network: Callable[[str], str]
) -> None:
    """`gateway.lan` is not typed twice: /etc/config/network says which interface a network has."""
    path = network(
        "config interface 'lan'\n\toption device 'br-lan'\n\toption proto 'static'\n"
        "config interface 'guest'\n option ifname 'eth0.3 wlan1'\n"
        "config device\n\toption name 'br-lan'\n\toption device 'nothing'\nconfig interface\n"
        " option device 'unnamed'\n junk 'left open\n"
    )
    asked = ["lan", "guest", "eth7"]
    assert remotes(interpreter.name)("devices", asked, path) == ["br-lan", "eth0.3", "wlan1", "eth7"]
    assert remotes(interpreter.name)("devices", asked, path + ".absent") == asked


def test_prefix_holds_exactly_its_addresses(remotes: Callable[[str], Remote], any_interpreter: Interpreter) -> None:
    """Against Python's own ipaddress, for any prefix, the octets before and behind being others."""
    remote = remotes(any_interpreter.name)
    four, six = st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)

    @settings(max_examples=25)
    @given(
        st.lists(
            st.one_of(st.tuples(four, st.integers(0, 32), four), st.tuples(six, st.integers(0, 128), six)), max_size=20
        ),
        st.data(),
    )
    def check(rows: list[tuple[bytes, int, bytes]], data: st.DataObject) -> None:
        pairs, expected = [], []
        for prefix, bits, other in rows:
            near = data.draw(st.integers(0, len(prefix) * 8 - 1))  # one bit apart: the edge of the prefix, at times
            apart = (int.from_bytes(prefix, "big") ^ (1 << (len(prefix) * 8 - 1 - near))).to_bytes(len(prefix), "big")
            network = ipaddress.ip_network((prefix, bits), strict=False)
            for one in (prefix, apart, other):
                pairs.append([one.hex(), prefix.hex(), bits])
                expected.append(ipaddress.ip_address(one) in network)
        assert remote("within", pairs) == expected

    check()
    assert remote("within", [["c0a80101", "c0a80101c0a80101c0a80101c0a80101", 8]]) == [False]  # another family


def test_recorder_follows_what_root_hands_over_and_says_what_is_missing(
    remotes: Callable[[str], Remote], interpreter: Interpreter, tmp_path: Path
) -> None:
    """L34-I-2: OpenWrt's own files may be root's alone.

    Another word of root's is followed without a restart, within ten seconds.
    """
    ask, config, handed = remotes(interpreter.name), tmp_path / "config", tmp_path / "var/run/oubli-root/networks"
    config.write_text(
        "config gateway\n option id 'abcdefghijklmnop'\n option lan 'guest'\nconfig summary\n option rows '64'\n"
    )
    handed.parent.mkdir(parents=True)
    second = 1000000000

    def steps(at: int, *links: str) -> list[list[Any]]:
        told = [["neighbour", kernel.link(name, sys.byteorder, index).hex()] for index, name in enumerate(links, LAN)]
        return [*told, ["listed"], ["time", (1795003200 + at) * second, (1000 + at) * second]]

    def hand(device: str) -> None:
        (tmp_path / "beside").write_text(f"config interface 'guest'\n\toption device '{device}'\n")
        (tmp_path / "beside").replace(handed)

    def health() -> str:
        return json.loads((tmp_path / "var/run/oubli-live/health").read_bytes())["capture"]

    hand("br-guest")
    ask("recorder_open", str(config), str(tmp_path), "f" * 32, 1795003200 * second, 1000 * second, "")
    answer = ask("recorder", steps(1, "br-lan"))
    assert (answer["status"]["missing"], answer["status"]["capture"], health()) == (["br-guest"], "no-lan", "no-lan")
    assert "no interface of gateway.lan is called br-guest" in answer["log"]
    answer = ask("recorder", steps(2, "br-lan", "br-guest"))
    assert (answer["status"]["missing"], answer["status"]["capture"], health()) == ([], "ok", "ok")
    hand("br-guests")
    ask("recorder", steps(13))
    answer = ask("recorder", steps(14, "br-lan", "br-guest"))
    assert (answer["status"]["missing"], health()) == (["br-guests"], "no-lan")
    ask("recorder_close")
