# SPDX-License-Identifier: Apache-2.0
"""What the kernel says over netlink, byte for byte: ctnetlink events and rtnetlink neighbour messages.

A message's layout (which attributes, in which order, how wide) is data, compiled once into one `struct` for each kind
of message. So a simulated event costs one C call. The orders and widths are those of datagrams recorded on Linux 6.18
(tests/vectors); tests/host_sim/test_kernel.py compares attribute by attribute. Headers of messages and attributes are
in the host's byte order, values in network order (linux/netlink.h, linux/netfilter/nfnetlink_conntrack.h), hence the
parameter `byteorder`: many routers are big-endian MIPS. `reencode` turns a recording of one order into the other.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Literal, NamedTuple

ByteOrder = Literal["little", "big"]
Event = Literal["new", "update", "destroy", "entry"]

TCP, UDP, ICMP, ICMPV6, GRE = 6, 17, 1, 58, 47
INET, INET6 = 2, 10
NESTED = 0x8000

# nf_conntrack_tuple_common.h, nf_conntrack_common.h: bits of CTA_STATUS
SEEN_REPLY, ASSURED, CONFIRMED, SRC_NAT, SRC_NAT_DONE, DST_NAT_DONE, DYING = 2, 4, 8, 16, 128, 256, 512
# nf_conntrack_tcp.h: states of a TCP connection
SYN_SENT, ESTABLISHED, TIME_WAIT, CLOSE = 1, 3, 7, 8

# kind of message, flags, sequence number: "entry" is a line of a table that is listed (NLM_F_MULTI), for request 1
_EVENTS = {"new": (0x100, 0x600, 0), "update": (0x100, 0, 0), "destroy": (0x102, 0, 0), "entry": (0x100, 2, 1)}
_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _NEWNEIGH = 16, 17, 20, 21, 28
_REACHABLE, _UNICAST = 2, 1


class Leaf(NamedTuple):
    """An attribute that holds one value: its number, where the value is found, its `struct` format."""

    number: int
    name: str
    format: str


class Nest(NamedTuple):
    """An attribute that holds attributes."""

    number: int
    children: tuple["Leaf | Nest", ...]


@dataclass(slots=True)
class Flow:
    """One entry of the conntrack table, as ctnetlink tells of it.

    Addresses are network-order bytes, times ns since the epoch.

    For ICMP `source_port` is the echo id and `destination_port` is 0 on the wire's place of ports (there are none).
    """

    family: int
    protocol: int
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    reply_source: bytes
    reply_destination: bytes
    reply_source_port: int
    reply_destination_port: int
    status: int
    start: int
    id: int = 0
    packets_up: int = 0
    bytes_up: int = 0
    packets_down: int = 0
    bytes_down: int = 0
    stop: int = 0
    event: int = 0
    state: int = 0
    timeout: int | None = None
    mark: int | None = None
    icmp_type: int = 8
    icmp_code: int = 0
    reply_icmp_type: int = 0
    scale_up: int = 10
    scale_down: int = 10
    flags_up: bytes = b"\x23\x00"
    flags_down: bytes = b"\x23\x00"
    use: int = 1


def _tuple(number: int, family: int, protocol: int, side: str) -> Nest:
    address = (1, 2, "4s") if family == INET else (3, 4, "16s")
    ports: tuple[Leaf, ...] = ()
    if protocol in (TCP, UDP, GRE):
        ports = (Leaf(2, side + "source_port", "H"), Leaf(3, side + "destination_port", "H"))
    elif protocol in (ICMP, ICMPV6):
        first = 4 if protocol == ICMP else 7
        ports = (
            # a reply carries its own echo id, which is where a masqueraded one stands
            Leaf(first, "reply_destination_port" if side else "source_port", "H"),
            Leaf(first + 1, side + "icmp_type", "B"),
            Leaf(first + 2, "icmp_code", "B"),
        )
    addresses = Nest(
        1, (Leaf(address[0], side + "source", address[2]), Leaf(address[1], side + "destination", address[2]))
    )
    return Nest(number, (addresses, Nest(2, (Leaf(1, "protocol", "B"), *ports))))


def _counters(number: int, side: str) -> Nest:
    return Nest(number, (Leaf(1, "packets_" + side, "Q"), Leaf(2, "bytes_" + side, "Q")))


_STATE = Leaf(1, "state", "B")
_TCP_RUNNING = Nest(
    1,
    (
        _STATE,
        Leaf(2, "scale_up", "B"),
        Leaf(3, "scale_down", "B"),
        Leaf(4, "flags_up", "2s"),
        Leaf(5, "flags_down", "2s"),
    ),
)


def _conntrack_shape(event: Event, family: int, protocol: int, *, timeout: bool, mark: bool) -> list[Leaf | Nest]:
    shape: list[Leaf | Nest] = [_tuple(1, family, protocol, ""), _tuple(2, family, protocol, "reply_")]
    if event == "entry":
        marked = [Leaf(8, "mark", "I")] if mark else []
        shape += [Leaf(3, "status", "I"), *marked, Leaf(12, "id", "I"), Leaf(11, "use", "I"), Leaf(7, "timeout", "I")]
        shape += [Nest(4, (_TCP_RUNNING,))] if protocol == TCP else []
        return [*shape, _counters(9, "up"), _counters(10, "down"), Nest(20, (Leaf(1, "start", "Q"),))]
    shape += [Leaf(12, "id", "I"), Leaf(3, "status", "I")]
    if timeout:
        shape.append(Leaf(7, "timeout", "I"))
    if event == "destroy":
        shape += [_counters(9, "up"), _counters(10, "down"), Nest(20, (Leaf(1, "start", "Q"), Leaf(2, "stop", "Q")))]
    if protocol == TCP:
        shape.append(Nest(4, (Nest(1, (_STATE,)) if event == "destroy" else _TCP_RUNNING,)))
    if mark:
        shape.append(Leaf(8, "mark", "I"))
    shape.append(Leaf(27, "event", "Q"))
    return shape


class Layout:
    """A message kind compiled: `pack(thing)` reads the named attributes of `thing` and returns the datagram."""

    def __init__(
        self, kind: int, flags: int, prefix: bytes, shape: list[Leaf | Nest], byteorder: ByteOrder, sequence: int = 0
    ) -> None:
        self._order = "<" if byteorder == "little" else ">"
        self._fixed: list[bytes | None] = []
        self._names: list[str] = []
        form, size = self._compile(shape)
        size += 16 + len(prefix)
        self._fixed.insert(0, struct.pack(self._order + "IHHII", size, kind, flags, sequence, 0) + prefix)
        self._struct = struct.Struct(f">{16 + len(prefix)}s{form}")
        self._places = [place for place, part in enumerate(self._fixed) if part is None]
        self._values = attrgetter(*self._names)

    def _compile(self, shape: "list[Leaf | Nest] | tuple[Leaf | Nest, ...]") -> tuple[str, int]:
        form, size = "", 0
        for part in shape:
            place = len(self._fixed)
            self._fixed.append(b"")
            if isinstance(part, Nest):
                inner, width = self._compile(part.children)
                number = part.number | NESTED
            else:
                self._fixed.append(None)
                self._names.append(part.name)
                inner, width, number = part.format, struct.calcsize(">" + part.format), part.number
            self._fixed[place] = struct.pack(self._order + "HH", 4 + width, number)
            padding = -width % 4
            form += f"4s{inner}{padding}x"
            size += 4 + width + padding
        return form, size

    def pack(self, thing: object) -> bytes:
        """Returns the datagram that tells of `thing`."""
        parts: list[object] = self._fixed.copy()  # type: ignore[assignment]
        for place, value in zip(self._places, self._values(thing), strict=True):
            parts[place] = value
        return self._struct.pack(*parts)


@cache
def _conntrack_layout(
    event: Event, family: int, protocol: int, timeout: bool, mark: bool, byteorder: ByteOrder
) -> Layout:
    kind, flags, sequence = _EVENTS[event]
    shape = _conntrack_shape(event, family, protocol, timeout=timeout, mark=mark)
    return Layout(kind, flags, bytes((family, 0, 0, 0)), shape, byteorder, sequence)


def conntrack(event: Event, flow: Flow, byteorder: ByteOrder = "little") -> bytes:
    """Returns the ctnetlink datagram of an event of `flow`.

    A running flow (`new`, `update`, `entry`: a line of a listing) always carries TIMEOUT; a destroyed one only when it
    ended early (`flow.timeout` set).
    """
    timeout = flow.timeout is not None
    return _conntrack_layout(event, flow.family, flow.protocol, timeout, flow.mark is not None, byteorder).pack(flow)


def done(byteorder: ByteOrder = "little") -> bytes:
    """Returns what ends a listing: NLMSG_DONE with the result 0."""
    return struct.pack(("<" if byteorder == "little" else ">") + "IHHIIi", 20, 3, 2, 1, 0, 0)


@dataclass(slots=True)
class Neighbour:
    """An entry of the neighbour table: an address (network-order bytes) and the MAC that answers for it."""

    address: bytes
    mac: bytes
    probes: int = 0
    cache: tuple[int, int, int, int] = (0, 0, 0, 2)  # ticks since confirmed, used, updated; references


class _NeighbourWire(NamedTuple):
    address: bytes
    mac: bytes
    probes: bytes
    cache: bytes


@cache
def _neighbour_layout(width: int, interface: int, state: int, byteorder: ByteOrder) -> Layout:
    order = "<" if byteorder == "little" else ">"
    prefix = struct.pack(order + "BBHiHBB", INET if width == 4 else INET6, 0, 0, interface, state, 0, _UNICAST)
    shape: list[Leaf | Nest] = [
        Leaf(1, "address", f"{width}s"),
        Leaf(2, "mac", "6s"),
        Leaf(4, "probes", "4s"),
        Leaf(3, "cache", "16s"),
    ]
    return Layout(_NEWNEIGH, 0, prefix, shape, byteorder)


def neighbour(entry: Neighbour, byteorder: ByteOrder = "little", interface: int = 8, state: int = _REACHABLE) -> bytes:
    """Returns the RTM_NEWNEIGH datagram of a neighbour (linux/neighbour.h: ndmsg, NDA_DST 1, NDA_LLADDR 2)."""
    order = "<" if byteorder == "little" else ">"
    wire = _NeighbourWire(
        entry.address, entry.mac, struct.pack(order + "I", entry.probes), struct.pack(order + "4I", *entry.cache)
    )
    return _neighbour_layout(len(entry.address), interface, state, byteorder).pack(wire)


def link(name: str, byteorder: ByteOrder = "little", interface: int = 8, *, gone: bool = False) -> bytes:
    """Returns the RTM_NEWLINK (or RTM_DELLINK) datagram of an interface (linux/if_link.h: ifinfomsg, IFLA_IFNAME 3)."""
    order = "<" if byteorder == "little" else ">"
    value = name.encode() + b"\0"
    body = struct.pack(order + "BxHiII", 0, 1, interface, 0x1043, 0) + _plain(3, value, order)
    return struct.pack(order + "IHHII", 16 + len(body), _DELLINK if gone else _NEWLINK, 0, 0, 0) + body


def address(
    own: bytes, prefix: int, byteorder: ByteOrder = "little", interface: int = 8, *, gone: bool = False
) -> bytes:
    """Returns the RTM_NEWADDR (or RTM_DELADDR) datagram of an own address.

    linux/if_addr.h: ifaddrmsg, IFA_ADDRESS 1, IFA_LOCAL 2.
    """
    order = "<" if byteorder == "little" else ">"
    body = struct.pack(order + "BBBBI", INET if len(own) == 4 else INET6, prefix, 0x80, 0, interface)
    for number in (1, 2) if len(own) == 4 else (1,):
        body += _plain(number, own, order)
    return struct.pack(order + "IHHII", 16 + len(body), _DELADDR if gone else _NEWADDR, 0, 0, 0) + body


def _plain(number: int, value: bytes, order: str) -> bytes:
    return struct.pack(order + "HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def records(data: bytes) -> Iterator[bytes]:
    """Yields the datagrams of a recording: u32 little-endian length and datagram, repeated."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        yield data[place + 4 : place + 4 + length]
        place += 4 + length


def recording(datagrams: "list[bytes]") -> bytes:
    """Returns datagrams as a recording, the inverse of `records`."""
    return b"".join(struct.pack("<I", len(datagram)) + datagram for datagram in datagrams)


def reencode(datagram: bytes, source: ByteOrder = "little") -> bytes:
    """Returns a datagram as a kernel of the other byte order would have written it; twice gives the original.

    Headers, the rtnetlink ndmsg and its u32 values are swapped; every ctnetlink value is in network order and stays.
    """
    order = "<" if source == "little" else ">"
    swapped = bytearray(datagram)
    place = 0
    while place + 16 <= len(datagram):
        length, kind = struct.unpack_from(order + "IH", datagram, place)
        _swap(swapped, place, (4, 2, 2, 4, 4))
        end = place + length
        if kind < 16:  # NLMSG_DONE and its like carry a plain integer
            _swap(swapped, place + 16, (4,))
        elif kind < 0x100:
            _swap(swapped, place + 16, (1, 1, 2, 4, 2, 1, 1))
            _swap_attributes(swapped, place + 28, end, order, words=(3, 4))
        else:
            _swap_attributes(swapped, place + 20, end, order, words=())
        place = end + (-length % 4)
    return bytes(swapped)


def _swap(data: bytearray, place: int, widths: "tuple[int, ...]") -> None:
    for width in widths:
        data[place : place + width] = data[place : place + width][::-1]
        place += width


def _swap_attributes(data: bytearray, place: int, end: int, order: str, words: "tuple[int, ...]") -> None:
    while place + 4 <= end:
        length, number = struct.unpack_from(order + "HH", data, place)
        _swap(data, place, (2, 2))
        if number & NESTED:
            _swap_attributes(data, place + 4, place + length, order, words)
        elif number in words:
            _swap(data, place + 4, (4,) * ((length - 4) // 4))
        place += length + (-length % 4)
