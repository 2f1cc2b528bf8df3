# SPDX-License-Identifier: Apache-2.0
"""Which side a connection comes from: only what begins inside the LAN is a terminal's (L34-I-2).

The interfaces come from the configuration (`gateway.lan`, as interface or as OpenWrt network), their prefixes and the
router's own addresses from the kernel, followed live. Destinations are looked at in place, octet by octet, and only to
tell what stays inside the venue (hairpin, broadcast) from what goes out. Nothing of them is copied (L34-VI-1).

The kernel makes a neighbour of whoever says on a link that he has an address, whatever that address is. It sends
answers by the link whose prefix holds it. So a neighbour on another link holds nothing. Else a guest could say there
that his address is somebody else's, who would be named for what he does. Nor does one that the kernel may answer
another way:

- a link-local address is on each link, that of the provider's router too, and no connection says on which
- of a LAN's IPv6 prefix that is shorter than 64 bits only the gateway's own 64 are the guests': out of the rest odhcpd
  delegates prefixes to guests' routers (RFC 8415), each of which has a route of its own

Where the WAN has the LAN's own prefix, the LAN goes first, as where such a gateway works: on a mobile uplink (RFC 7278,
netifd's `extendprefix`), or behind a provider's box whose network is called 192.168.1.0/24, too.
"""

from agent.capture.connections import INET, INET6
from agent.capture.neighbours import Listener

OWN, OUTSIDE, HAIRPIN, BROADCAST, TERMINAL = "own", "outside", "hairpin", "broadcast", ""
_GUESTS = 64  # bits of an IPv6 prefix, at least: what a router announces for addresses that terminals form (RFC 4862)
_FORMER = 16  # prefixes and own addresses remembered after they left: their connections may still be ending


class Lan(Listener):
    """Follows links, addresses and neighbours; tells the address table of the terminals.

    `wall` answers the present time in ns.
    """

    def __init__(
        self, names: "Sequence[str]", holders: "AddressTable", wall: "Callable[[], int]", ways_out: "Sequence[str]" = ()
    ) -> None:
        self.names = names
        self._ways_out = ways_out
        self._outs: "dict[int, str]" = {}
        self.holder_changed: "Callable[[bytes], None]" = (
            _nobody  # is told of each address that may have another holder now
        )
        self._holders = holders
        self._wall = wall
        self._links: "dict[int, str]" = {}  # of the LAN, and their names
        # Index, address, bits of its prefix: the router's own, everywhere
        self._own: "list[tuple[int, bytes, int]]" = []
        self.prefixes: "list[tuple[bytes, int]]" = []  # of the LAN
        self._former: "list[tuple[bytes, int]]" = []
        self._left: "list[tuple[int, bytes, int]]" = []  # former own addresses: what they began may still be ending
        # Links, addresses not yet listed again
        self._unseen: "tuple[list[int], list[tuple[int, bytes, int]]]" = ([], [])
        self._known = False  # all were listed
        # First octets of destinations that deserve a second look, for each family.
        self._local = {INET: bytearray(256), INET6: bytearray(256)}
        self._rebuild([])

    @property
    def missing(self) -> "list[str]":
        """Return the configured interfaces that don't exist: nothing of who is behind them is recorded."""
        there = self._links.values()
        return [name for name in self.names if name not in there]

    def follow(self, names: "Sequence[str]", ways_out: "Sequence[str]") -> bool:
        """Take other interfaces from now on; True where that changes anything, and everything is to be listed anew."""
        changed = (list(self.names), list(self._ways_out)) != (list(names), list(ways_out))
        self.names, self._ways_out = names, ways_out
        return changed

    @property
    def outs(self) -> "list[str]":
        """Return the interfaces that lead out.

        They are those named, and what netifd calls pppoe-wan, l2tp-wan, 464-wan6 for them.
        """
        return sorted(self._outs.values())

    @property
    def public(self) -> bytes:
        """Return the IPv4 address towards the world, zeros where there is none."""
        found = [address for index, address, _ in self._own if index in self._outs and len(address) == 4]
        return found[0] if found else bytes(4)

    @property
    def behind(self) -> bool:
        """Return True if that is an address which the internet can't see: a second NAT lies between (L34-II-4)."""
        return any(self.public) and is_private(self.public)

    def listing(self) -> None:
        """Hold everything in doubt that isn't listed again."""
        self._unseen = (list(self._links), list(self._own))
        self._holders.doubt()

    def missed(self, ago: int) -> None:
        """Take note that the kernel dropped word of changes, all of which came within so many ns."""
        self._holders.missed(self._wall() - ago)

    def heard(self) -> None:
        """Take note that all of them are known again."""
        self._holders.heard(self._wall())

    def listed(self) -> None:
        """Forget what has gone unnoticed."""
        links, addresses = self._unseen
        self._unseen = ([], [])
        for index in links:
            self.no_link(index)
        for entry in addresses:
            self.no_address(*entry)
        if not self._known:  # before the first listing an address may have changed hands
            self._known = True
            self._holders.begun = self._wall()
        self.heard()

    def link(self, index: int, name: str) -> bool:
        """Take note of an interface, or of its new name; True where that changes whose neighbours count."""
        if index in self._unseen[0]:
            self._unseen[0].remove(index)
        if any(name == one or name.endswith("-" + one) for one in self._ways_out):
            self._outs[index] = name
        else:
            self._outs.pop(index, None)
        if (name if name in self.names else None) == self._links.get(index):
            return False
        # Who had which address on it while it wasn't followed, or will have, isn't known
        self._holders.forget(lambda address: self._link_of(address, self._own) == index, self._wall())
        if name in self.names:
            self._links[index] = name
        else:
            self._links.pop(index, None)
        self._rebuild([entry for entry in self._own if entry[0] == index])
        return True

    def no_link(self, index: int) -> None:
        """Forget an interface and its addresses; connections through it may still be ending."""
        self._outs.pop(index, None)
        entries = [entry for entry in self._own if entry[0] == index]
        if self._links.pop(index, None) or entries:
            self._leave(entries)

    def address(self, index: int, address: bytes, prefix: int) -> bool:
        """Take note of an own address; True where it is new, and changes which neighbours count."""
        if (index, address, prefix) in self._unseen[1]:
            self._unseen[1].remove((index, address, prefix))
        if (index, address, prefix) in self._own:
            return False
        self._own.append((index, address, prefix))
        self._rebuild([(index, address, prefix)])
        return True

    def no_address(self, index: int, address: bytes, prefix: int) -> bool:
        """Forget an own address; True where it was one, and that changes which neighbours count."""
        if (index, address, prefix) not in self._own:
            return False
        self._leave([(index, address, prefix)])
        return True

    def _leave(self, entries: "list[tuple[int, bytes, int]]") -> None:
        self._own = [entry for entry in self._own if entry not in entries]
        self._left = (self._left + entries)[-_FORMER:]
        self._rebuild(entries)

    def _rebuild(self, changed: "list[tuple[int, bytes, int]]") -> None:
        """Work out the LAN's prefixes (link-local ones are on every side) and which first octets are near.

        Whoever has an address that is elsewhere now, by what has `changed` of the router's own, is forgotten.
        """
        before = self.prefixes
        self.prefixes = [entry[1:] for entry in self._own if entry[0] in self._links and not _link_local(entry[1])]
        left = [entry for entry in before if entry not in self.prefixes and entry not in self._former]
        self._former = (self._former + left)[-_FORMER:]
        if self._guests(changed, before + self.prefixes + self._former):
            self._holders.forget(self._elsewhere, self._wall())
        for family, first in ((INET, 224), (INET6, 255)):
            marks = self._local[family]
            for octet in range(256):
                marks[octet] = octet >= first
            for address, _ in self.prefixes:
                if len(address) == (4 if family == INET else 16):
                    marks[address[0]] = 1

    def _guests(self, changed: "list[tuple[int, bytes, int]]", prefixes: "list[tuple[bytes, int]]") -> bool:
        """Return True if a guest may have or have had an address of what has changed: that costs a look at them all."""
        if len(self._former) == _FORMER:  # of others nobody knows any more
            return True
        return any(
            _within(address, 0, len(address), one, min(bits, most))
            for _, address, bits in changed
            for one, most in prefixes
        )

    def neighbour(self, index: int, address: bytes, mac: bytes, *, quiet: bool = False) -> None:
        """Tell the address table of a terminal; a neighbour on another side is nobody's business."""
        link = self._answering(address) if index in self._links else -1
        if link == index:
            self._holders.learn(address, mac, self._wall(), quiet=quiet)
            self.holder_changed(address)
        elif link < 0 and index in self._links:  # of a prefix that was here, and may come back
            self._holders.another(address, mac, self._wall(), listing=bool(self._unseen[1]))
            self.holder_changed(address)

    def no_neighbour(self, index: int, address: bytes) -> None:
        """Tell `who` that a terminal left its address."""
        if index in self._links and self._answering(address) in (index, -1):
            self._holders.leave(address)

    def _answering(self, address: bytes) -> int:
        """Return the link by which the kernel sends answers to an address, 0 for several, -1 for none."""
        own = self._own
        if self._unseen[1]:  # addresses are listed before neighbours: the others may be gone
            own = [entry for entry in own if entry not in self._unseen[1]]
        return 0 if _link_local(address) else self._link_of(address, own)

    def _link_of(self, address: bytes, own: "list[tuple[int, bytes, int]]") -> int:
        """Return the link whose prefix holds an address, the longest one as in the kernel; -1 where none does.

        Of two links with the same prefix the LAN's. 0 for an own address, and where the LAN has it on several links. So
        is what lies beyond the 64 bits of an IPv6 prefix that are its guests'.
        """
        link = longest = -1
        for index, one, bits in own:
            if one == address:
                return 0
            if bits < longest or not _within(address, 0, len(address), one, bits):
                continue
            if not _within(address, 0, len(address), one, max(bits, _GUESTS) if len(one) == 16 else bits):
                link = 0 if bits > longest else link
            elif bits > longest or (link > 0 and link not in self._links):
                link = index
            elif index in self._links and index != link:
                link = 0
            longest = bits
        return link

    def _elsewhere(self, address: bytes) -> bool:
        """Return True if the kernel sends answers to an address by another link than the guests', or has it itself."""
        link = self._link_of(address, self._own)
        return link >= 0 and link not in self._links

    def side(self, source: bytes) -> str:
        """Say where an address lies that no terminal is known to hold: TERMINAL (inside the LAN), OWN or OUTSIDE."""
        if (
            any(entry[1] == source for entry in self._own)
            or any(entry[1] == source for entry in self._left)
            or (len(source) == 4 and source[0] == 127)
        ):
            return OWN
        for address, bits in self.prefixes + self._former:
            if _within(source, 0, len(source), address, bits):
                return TERMINAL
        return OUTSIDE

    @property
    def near(self) -> "tuple[bytearray, bytearray]":
        """Return the first octets of destinations that `stays` looks at twice (IPv4, IPv6); kept current in place."""
        return self._local[INET], self._local[INET6]

    def inside(self, buffer: "bytearray | bytes", layout: "Layout", at: int = 0) -> str:
        """Say the same as `stays` of the message at `at`, which deserves the second look."""
        return self._near(buffer, at + layout.original.destination, at + layout.reply.source, layout.octets)

    def stays(self, last: "Decoder") -> str:
        """Return how the last read connection stays inside: BROADCAST, HAIRPIN, or TERMINAL (out, or to the router)."""
        connection = last.connection
        marks = self._local[connection.family]
        if marks[connection.near] or marks[connection.answers]:
            return self.inside(last.buffer, last.layout, last.at)
        return TERMINAL

    def _near(self, buffer: "bytearray | bytes", destination: int, answers: int, octets: int) -> str:
        if buffer[destination] == 255 or (octets == 4 and buffer[destination] >= 224):
            return BROADCAST
        for address, bits in self.prefixes:
            if (
                octets == 4
                and bits < 31
                and _within(buffer, destination, 4, address, bits)
                and _last(buffer, destination, bits)
            ):
                return BROADCAST
            if _within(buffer, answers, octets, address, bits):
                for entry in self._own:
                    if _within(buffer, answers, octets, entry[1], octets * 8):
                        return TERMINAL
                return HAIRPIN
        return TERMINAL


def _nobody(_address: bytes) -> None:
    """Stand in for who is told."""


def is_private(address: bytes) -> bool:
    """Return True if an IPv4 address of 4 octets has another NAT between itself and the internet.

    Those are the ranges of RFC 1918, RFC 6598 and RFC 7335.
    """
    first, second = address[0], address[1]
    return (
        first == 10
        or (first == 172 and second & 0xF0 == 16)
        or (first == 192 and second == 168)
        or (first == 100 and second & 0xC0 == 64)
        or (address[:3] == b"\xc0\0\0" and address[3] < 8)
    )


def _link_local(address: bytes) -> bool:
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def _within(buffer: "bytearray | bytes", at: int, octets: int, address: bytes, bits: int) -> bool:
    """Return True if the address at `at` has the first `bits` bits of another; compared in place."""
    if octets != len(address):
        return False
    for index in range(bits >> 3):
        if buffer[at + index] != address[index]:
            return False
    left = bits & 7
    return not left or (buffer[at + (bits >> 3)] ^ address[bits >> 3]) >> 8 - left == 0


def _last(buffer: "bytearray | bytes", at: int, bits: int) -> bool:
    """Return True if the IPv4 address at `at` is its prefix's broadcast address."""
    for index in range(4):
        host = 255 >> min(8, max(0, bits - index * 8))
        if buffer[at + index] & host != host:
            return False
    return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.capture.address_table import AddressTable
    from agent.capture.connections import Decoder, Layout
