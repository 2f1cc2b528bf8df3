# SPDX-License-Identifier: Apache-2.0
"""Links, addresses and neighbours: what the kernel says over rtnetlink about who is on which side (L34-I-2).

Source: linux/if_link.h (ifinfomsg: 16 octets, family u8, index i32 at 4; IFLA_IFNAME 3), linux/if_addr.h (ifaddrmsg:
family u8, prefix u8, 2 more, index u32; IFA_ADDRESS 1, IFA_LOCAL 2), linux/neighbour.h (ndmsg: family u8, 3 pad, index
i32, state u16, flags u8, type u8; NDA_DST 1, NDA_LLADDR 2, NDA_CACHEINFO 3: ticks since confirmed, used and updated,
u32; NUD_STALE 4, NUD_NOARP 0x40: the kernel's own, of a group).

A kernel with few neighbours never forgets one. Of a stale one that gave no sign for LONG it is told that he is quiet: a
list that is read anew would else make somebody present who left days ago. Whoever comes back is told of by the kernel,
some seconds later: until then it sends answers to who is quiet.

The kernel believes whoever says by ARP that an address is at a group's MAC, or at zeros, and sends answers there.
"""

from agent.capture.netlink import HEADER, Malformed, Reader, attributes, dump_request, unpack_from

GROUPS = 0x1 | 0x4 | 0x10 | 0x100  # RTMGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV6_IFADDR
_NEW_LINK, _DELETE_LINK, _NEW_ADDRESS, _DELETE_ADDRESS, _NEW_NEIGHBOUR, _DELETE_NEIGHBOUR = 16, 17, 20, 21, 28, 29
_OCTETS = {2: 4, 10: 16}
_STALE, _NOARP = 4, 0x40
_NEIGHBOURS = dump_request(_NEW_NEIGHBOUR + 2, bytes(12))
LONG = 360000  # ticks of 10 ms: an hour


class Listener:
    """What `Neighbours` tells of; addresses have 4 or 16 octets, MACs 6."""

    def listing(self) -> None:
        """Tell that everything is about to be listed, anew where messages were dropped."""

    def listed(self) -> None:
        """Tell that everything was: what wasn't told again since `listing` is gone."""

    def link(self, index: int, name: str) -> "bool | None":
        """Tell of an interface, or of its new name; True where other neighbours than before are asked for."""

    def no_link(self, index: int) -> None:
        """Tell that an interface is gone."""

    def address(self, index: int, address: bytes, prefix: int) -> "bool | None":
        """Tell of an address of this device and the length of its prefix; True as for `link`."""

    def no_address(self, index: int, address: bytes, prefix: int) -> "bool | None":
        """Tell that this device no longer has an address; True as for `link`."""

    def neighbour(self, index: int, address: bytes, mac: bytes, *, quiet: bool = False) -> None:
        """Tell who answers for an address on an interface, zeros for a MAC that is no terminal's."""

    def no_neighbour(self, index: int, address: bytes) -> None:
        """Tell that nobody does any more."""


class Neighbours:
    """Reads rtnetlink datagrams; keeps its lists in order: links, then addresses, then neighbours.

    The kernel refuses a list while it still sends another one: nothing is asked before that has ended. Neighbours are
    listed twice: where the kernel's table grows amid a list (neigh_hash_grow, net/core/neighbour.c), that list leaves
    out up to an eighth of them, and no mark says so.
    """

    def __init__(self, listener: Listener) -> None:
        self.reader = Reader(self._take)
        self.reader.done = True
        self._listener = listener
        self._dumps: "list[bytes]" = []
        self._listing = False

    def restart(self) -> None:
        """List everything, again where the kernel has dropped messages."""
        self._dumps = [
            dump_request(_NEW_LINK + 2, bytes(16)), dump_request(_NEW_ADDRESS + 2, bytes(8)), _NEIGHBOURS, _NEIGHBOURS
        ]  # fmt: skip
        self._listing = True
        self._listener.listing()

    def _again(self) -> None:
        """List the neighbours once more where they aren't about to be: some were told of that weren't asked for."""
        self._dumps = self._dumps or [_NEIGHBOURS]

    @property
    def complete(self) -> bool:
        """Return True if the last listing is over."""
        return not self._listing

    def request(self) -> "bytes | None":
        """Return the next request to send, None while one runs or none is left: a socket lists one table at a time."""
        if not self.reader.done or not self._dumps:
            return None
        self.reader.done = False
        return self._dumps.pop(0)

    def feed(self, buffer: "bytearray | bytes", length: int) -> None:
        """Read one datagram: `length` octets at the start of `buffer`."""
        self.reader.read(buffer, length)
        if self.reader.interrupted and self.reader.done:
            self.reader.interrupted = False
            self.restart()
        elif self._listing and self.reader.done and not self._dumps:
            self._listing = False
            self._listener.listed()

    def _take(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        at += HEADER
        if kind in (_NEW_LINK, _DELETE_LINK):
            self._link(kind, buffer, at, end)
        elif kind in (_NEW_ADDRESS, _DELETE_ADDRESS):
            self._address(kind, buffer, at, end)
        elif kind in (_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR):
            self._neighbour(kind, buffer, at, end)

    def _link(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if end - at < 16:
            raise Malformed
        (index,) = unpack_from("i", buffer, at + 4)
        if kind == _DELETE_LINK:
            # A port that leaves a bridge is told of as a link of the bridge's
            # family that is deleted: it is still there.
            if not buffer[at]:
                self._listener.no_link(index)
            return
        for number, value, stop in attributes(buffer, at + 16, end):
            if number == 3:
                if not 1 < stop - value <= 16:
                    raise Malformed
                octets = bytes(buffer[value : stop - 1])
                if min(octets) > 32 and max(octets) < 127 and self._listener.link(index, octets.decode()):
                    self._again()

    def _address(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if end - at < 8:
            raise Malformed
        octets, prefix = _OCTETS.get(buffer[at], 0), buffer[at + 1]
        (index,) = unpack_from("I", buffer, at + 4)
        address = local = b""
        for number, value, stop in attributes(buffer, at + 8, end):
            if number in (1, 2) and stop - value == octets:
                if number == 1:
                    address = bytes(buffer[value:stop])
                else:
                    local = bytes(buffer[value:stop])
        # On a point-to-point link ADDRESS is the peer's; LOCAL, where there is one, is always our own.
        address = local or address
        if address and prefix <= octets * 8:
            tell = self._listener.address if kind == _NEW_ADDRESS else self._listener.no_address
            if tell(index, address, prefix):
                self._again()

    def _neighbour(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if end - at < 12:
            raise Malformed
        octets = _OCTETS.get(buffer[at], 0)
        index, state = unpack_from("iH", buffer, at + 4)
        address = mac = b""
        quiet = 0
        for number, value, stop in attributes(buffer, at + 12, end):
            if number == 1 and stop - value == octets:
                address = bytes(buffer[value:stop])
            elif number == 2 and stop - value == 6:
                mac = bytes(buffer[value:stop])
            elif number == 3 and stop - value >= 12 and state == _STALE:
                quiet = min(unpack_from("III", buffer, value))
        if not address:
            return
        if kind == _DELETE_NEIGHBOUR:
            self._listener.no_neighbour(index, address)
        elif mac and not state & _NOARP:
            self._listener.neighbour(index, address, bytes(6) if mac[0] & 1 else mac, quiet=quiet >= LONG)
