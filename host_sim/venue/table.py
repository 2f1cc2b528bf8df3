# SPDX-License-Identifier: Apache-2.0
"""The connection table of the gateway's kernel: how an entry is made, how it ends, and which port it leaves by."""

import struct
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from host_sim.venue import kernel, tape
from host_sim.venue.device_clock import SECOND
from host_sim.venue.gateway import LAN, WAN
from host_sim.venue.kernel import ICMP, ICMPV6, INET, INET6, TCP, UDP, Flow
from host_sim.venue.known_sleeps import KnownSleeps
from host_sim.venue.people import Device, Talk
from host_sim.venue.scenario import Purposes
from host_sim.venue.step import Step
from host_sim.venue.truth import UNASKED, Kept, Notice, Subscriber

if TYPE_CHECKING:
    from host_sim.venue.world import World

LAZINESS = 50 * SECOND  # the kernel's garbage collection, at most
_TABLE_EVERY = 64  # the recorder learns of the table's fill when it has changed by a part of it
_REST = 1024, 16383  # ports of who has no block (agent.purposes.attribution.blocks)
# Where people go, but for the last octet
_OUTSIDE, _OUTSIDE6 = bytes((203, 0, 113)), bytes.fromhex("20010db8") + bytes(11)
_NAT_STATUS = kernel.SRC_NAT | kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE
_ROUTED_STATUS = kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE
_STATES = {
    "closed": (kernel.TIME_WAIT, "tcp_timeout_time_wait"),
    "reset": (kernel.CLOSE, "tcp_timeout_close"),
    "silent": (kernel.ESTABLISHED, "tcp_timeout_established"),
    "unanswered": (kernel.SYN_SENT, "tcp_timeout_syn_sent"),
}


class Entry:
    """One entry of the connection table: flow, holder of its address at start, first and last packet, timeout (ns).

    `slept`: for how long, since its last packet, the gateway's timers stood still (ns).
    """

    __slots__ = ("first", "flow", "holder", "key", "last", "port", "slept", "source", "timeout")

    def __init__(
        self, flow: Flow, key: tuple[bytes, int, bytes, int, int], holder: bytes, packets: tuple[int, int], timeout: int
    ) -> None:
        self.flow, self.key, self.holder, self.timeout = flow, key, holder, timeout
        self.first, self.last = packets
        self.source, self.port = flow.source, flow.destination_port
        self.slept = 0

    @property
    def over(self) -> int:
        """Return when it times out: the kernel counts ticks, of which a suspended gateway has none."""
        return self.last + self.timeout + self.slept


class ConnectionTable:
    """The entries that are live; connections without one are refused, as the kernel refuses them."""

    def __init__(self, world: "World") -> None:
        self._world, self._scenario, self._gateway = world, world.scenario, world.gateway
        self.live: dict[tuple[bytes, int, bytes, int, int], Entry] = {}  # by reply tuple: NAT must keep them apart
        self.loose: deque[Entry] = deque()  # not ASSURED: what the kernel ends early when its table is full
        self.refused = self.early = 0  # connections that a full table didn't make; that it ended for another's sake
        self.sent = 0  # datagrams since the beginning
        # Address -> ports that its connections leave by, as the kernel was told
        self.blocks: dict[bytes, tuple[int, int]] = {}
        # What an examiner holds answers against: ports that were used, with the end; ports that the kernel gave.
        self.used: list[tuple[Entry, int]] = []
        # Address -> since when, first and last port, 0 for none
        self.given: dict[bytes, list[tuple[int, int, int]]] = {}
        self._keeps_more = world.scenario.purposes != Purposes()
        self._id = self._said = 0
        self._sleeps = KnownSleeps()

    def open(self, now: int, device: Device, talk: Talk) -> Iterator[Step]:
        """A connection begins: its entry's tuples are chosen now, its end is known to the world only."""
        if not self._gateway.on or self._gateway.suspended or not (self._gateway.uplink or talk.local):
            return
        if len(self.live) >= self._scenario.network.table:
            yield from self._make_room(now)
        if len(self.live) >= self._scenario.network.table:
            self.refused += 1
            return
        source, destination = self._route(device, talk)
        family = INET if len(source) == 4 else INET6
        protocol = ICMPV6 if family == INET6 and talk.protocol == ICMP else talk.protocol
        translated = family == INET and not talk.local
        outside = WAN if translated else source
        rest = outside, protocol, destination, talk.port
        port, seen_port = self._ports(device, source, rest, translated=translated)
        if not seen_port:
            self.refused += 1
            return
        self._id += 1
        status = kernel.CONFIRMED | kernel.DYING | (_NAT_STATUS if translated else _ROUTED_STATUS)
        if talk.packets_down:
            status |= kernel.SEEN_REPLY
        state, timeout, assured = self._ending(talk)
        flow = Flow(
            family, protocol, source, destination, port, talk.port, destination, outside, talk.port, seen_port,
            status=status | (kernel.ASSURED if assured else 0),
            start=self._gateway.clock.wall(talk.at),
            id=self._id * 2654435761 % (1 << 32),  # the kernel's ids look random
            packets_up=talk.packets_up, bytes_up=talk.bytes_up, packets_down=talk.packets_down,
            bytes_down=talk.bytes_down, state=state,
        )  # fmt: skip
        if protocol == ICMPV6:
            flow.icmp_type, flow.reply_icmp_type = 128, 129
        yield from self._ask(now, source, device.mac)
        # whom the kernel has as its neighbour is whose it is: a forger's, where there is one
        holder = self._gateway.neighbours.holders.get(source, device.mac)
        packets = talk.at, talk.at + talk.lasts
        entry = Entry(flow, (*rest, seen_port), holder, packets, timeout * SECOND)
        self._enter(entry, device.random, assured=assured)
        if talk.at > now:  # one of a flood's: the clock may be stepped until then
            self._world.at(talk.at, lambda begun: self._stamp(begun, entry))
        if abs(len(self.live) - self._said) * _TABLE_EVERY > self._scenario.network.table:
            yield self._fill(now)

    def _stamp(self, now: int, entry: Entry) -> Iterator[Step]:
        """The kernel stamps a connection when it begins."""
        if self.live.get(entry.key) is entry:
            entry.flow.start = self._gateway.clock.wall(now)
        yield from ()

    def _route(self, device: Device, talk: Talk) -> tuple[bytes, bytes]:
        """Return from which of a device's addresses a connection goes where."""
        # A few places have most of the visits, so that NAT must change some ports
        place = min(int(device.random.paretovariate(0.5)), 254)
        if device.temporary and not talk.local and device.random.random() < self._scenario.network.dual_stack:
            source, destination = device.temporary[-1], _OUTSIDE6 + bytes((place,))
        else:
            source, destination = device.address, LAN if talk.local else _OUTSIDE + bytes((place,))
        self._world.truth.places.add(destination)
        return source, destination

    def _ports(
        self, device: Device, source: bytes, rest: tuple[bytes, int, bytes, int], *, translated: bool
    ) -> tuple[int, int]:
        """Return a connection's source port, and the one that others see of it: 0 where its block is full."""
        port = device.next_port()
        while (*rest, port) in self.live and not translated:
            port = device.next_port()
        seen_port = port
        if translated and self._scenario.purposes.attribution:
            seen_port = self._port_in_block(source, port, device.random, rest)
        while (*rest, seen_port) in self.live:
            seen_port = device.random.randint(1024, 65535)  # masquerade keeps the port unless that tuple is taken
        return port, seen_port

    def _enter(self, entry: Entry, draw: Random, *, assured: bool) -> None:
        """Put an entry into the table, until its time is over."""
        self.live[entry.key] = entry
        if not assured:
            self.loose.append(entry)
            if len(self.loose) > 2 * len(self.live) + 1000:
                self.loose = deque(one for one in self.loose if self.live.get(one.key) is one)
        late = int(draw.random() * LAZINESS)
        self._world.at(entry.over + late, lambda now: self._collect(now, entry, late))

    def sleep(self, begun: int, now: int) -> None:
        """Take note that the gateway was suspended until now: no packet passed, and no timer ran."""
        for entry in self.live.values():
            if entry.last < now:
                entry.last = min(entry.last, max(begun, entry.first))
                entry.slept += now - begun
        self._sleeps.slept(self._gateway.clock, begun, now, listening=self._gateway.listening)

    def heard(self, now: int, *, boot: bool) -> None:
        """Take note of a new recorder."""
        self._sleeps.heard(self._gateway.clock, now, boot=boot)

    def ran(self, flow: Flow, seconds: int) -> int:
        """Return the same of a timeout as a recorder must take it that doesn't know when the last packet passed."""
        return seconds + self._sleeps.since(flow.start)

    def _ask(self, now: int, address: bytes, mac: bytes) -> Iterator[Step]:
        """The kernel asks who has an address that it has no neighbour for, such as one of before a boot."""
        if address not in self._gateway.neighbours.holders:
            yield from self._gateway.neighbour(now, address, mac)

    def _port_in_block(self, source: bytes, port: int, draw: Random, rest: tuple[bytes, int, bytes, int]) -> int:
        """Return the port that masquerade chooses within an address's block: its own where that is free, else any.

        0 where none is free: a block that is full drops what is new without a word (RFC 7422).
        """
        low, high = self.blocks.get(source, _REST)
        wanted = port if low <= port <= high else draw.randint(low, high)
        ports = (*range(wanted, high + 1), *range(low, wanted)) if (*rest, wanted) in self.live else (wanted,)
        return next((one for one in ports if (*rest, one) not in self.live), 0)

    def _fill(self, now: int) -> Step:
        self._said = len(self.live)
        return Step(now, tape.TABLE, struct.pack("<II", self._said, self._scenario.network.table))

    def _make_room(self, now: int) -> Iterator[Step]:
        """A full table ends an entry that isn't ASSURED, if it finds one (nf_conntrack's early drop)."""
        while self.loose:
            entry = self.loose.popleft()
            if self.live.get(entry.key) is entry:
                self.early += 1
                yield from self.end(now, entry)
                return

    def end(self, now: int, entry: Entry) -> Iterator[Step]:
        """The kernel ends an entry before its time: DESTROY carries what was left of its timeout, in whole seconds.

        One that has timed out and wasn't collected yet stopped when it timed out
        (nf_ct_delete takes off by how much it is overdue).
        """
        if entry.first > now:  # one of those that a flood puts in at once begins with its end
            entry.first, entry.flow.start = now, self._gateway.clock.wall(now)
        entry.last = min(entry.last, max(now, self._gateway.clock.booted))
        over = entry.over
        left = max(over - now, 0) // SECOND
        entry.flow.timeout = left
        yield from self._destroy(now, entry, min(now, over), entry.timeout // SECOND - left)

    def _collect(self, now: int, entry: Entry, late: int) -> Iterator[Step]:
        """Garbage collection comes by."""
        if self.live.get(entry.key) is not entry:
            return  # ended early
        if self._gateway.suspended:
            self._world.at(self._gateway.suspended + now % SECOND, lambda later: self._collect(later, entry, late))
        elif now < entry.over:
            self._world.at(entry.over + late, lambda later: self._collect(later, entry, late))
        else:
            yield from self._destroy(now, entry, entry.over, entry.timeout // SECOND)

    def _destroy(self, now: int, entry: Entry, stop: int, ran: int) -> Iterator[Step]:
        """Tell of an entry that timed out at `stop`, `ran` seconds after its last packet."""
        del self.live[entry.key]
        self.use(entry, stop)
        if abs(len(self.live) - self._said) * _TABLE_EVERY > self._scenario.network.table:
            yield self._fill(now)
        if not self._gateway.listening:
            self._world.truth.fates["unheard"] += 1
            return
        flow = entry.flow
        clock = self._gateway.clock
        flow.event = clock.wall(now)
        flow.stop = flow.event - clock.monotonic(now) + clock.monotonic(stop)  # by the clock of now
        end = max(flow.stop - self.ran(flow, ran) * SECOND, flow.start)
        self.sent += 1
        self._gateway.heard.told += 1
        mac = self._gateway.neighbours.holder(entry)
        self._world.truth.destroyed(Kept(
            mac, entry.source, flow.protocol, flow.source_port, flow.reply_destination_port, flow.bytes_up,
            flow.bytes_down, flow.packets_up, flow.packets_down, flow.start, end,
            Notice(now, not clock.stepped, self.sent, *self._gateway.neighbours.known(entry, mac)),
            entry.port, entry.last, self._subscriber(entry, mac, now) if self._keeps_more else UNASKED,
        ))  # fmt: skip
        yield Step(now, tape.DATAGRAM, kernel.conntrack("destroy", flow, self._world.byteorder))

    def use(self, entry: Entry, now: int) -> None:
        """Remember a port that was used for the world, until its last packet or now."""
        flow = entry.flow
        begun = now >= entry.first  # a flood's connections are made a little ahead of their time
        if (
            begun
            and self._scenario.purposes.attribution
            and (flow.reply_destination != flow.source or len(flow.source) == 16)
        ):
            self.used.append((entry, min(entry.last, now)))

    def give(self, now: int, address: bytes, first: int, last: int) -> None:
        """Note by which ports the kernel was told an address's connections leave, 0: none; no address: all."""
        for one in [address] if address else list(self.blocks):
            self.blocks.pop(one, None)
            if first:
                self.blocks[one] = first, last
            self.given.setdefault(one, []).append((now, first, last))

    def _subscriber(self, entry: Entry, mac: bytes, now: int) -> Subscriber:
        """Return who stands behind a connection, as other purposes than `security` know it."""
        public, portal = entry.flow.reply_destination, self._world.portal
        if not portal:
            return Subscriber(public)
        under, once = portal.under(mac, entry.flow.start, now), portal.once(mac, entry.first)
        return Subscriber(public, *portal.user(mac, entry.first), under, once)

    def _ending(self, talk: Talk) -> tuple[int, int, bool]:
        """Return (TCP state, seconds of its timeout, ASSURED), as net/netfilter/nf_conntrack_proto_*.c sets them."""
        timeouts = self._scenario.network.timeouts
        if talk.protocol == TCP:
            state, name = _STATES[talk.ending]
            return state, timeouts[name], talk.packets_down > 0
        if talk.protocol == UDP:
            stream = talk.packets_down > 0 and talk.lasts > 2 * SECOND
            return 0, timeouts["udp_timeout_stream" if stream else "udp_timeout"], stream
        return 0, timeouts["icmp_timeout"], False
