# SPDX-License-Identifier: Apache-2.0
"""The world around one gateway: a virtual clock, the people, the conntrack table, and the truth about all of it.

Everything follows from a scenario and a seed. Events wait in one queue ordered by time; a connection's life is its talk (first
packet to last), then STOP = last packet + the timeout of its last state, then the DESTROY, up to 50 s later, because the
kernel collects its garbage lazily (DESIGN.md, "Capture"). Memory stays flat: people are drawn a day at a time, and what
the truth keeps of a connection is dropped when it can no longer be in the vault.
"""

import heapq
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import ClassVar, NamedTuple

from host_sim import kernel, tape
from host_sim.kernel import ICMP, ICMPV6, INET, INET6, TCP, UDP, Flow
from host_sim.people import HOUR, MINUTE, SECOND, Device, Kind, Talk
from host_sim.scenario import Scenario

DAY = 24 * HOUR
AGENT_DAY_STARTS = 3 * HOUR  # after midnight UTC (ANON-6)
LAZINESS = 50 * SECOND  # the kernel's garbage collection, at most
BOOTED = 41 * SECOND  # monotonic time at the start of a scenario: what a router needs to boot
_CONFIRMATIONS = (20 * SECOND, 11 * MINUTE)  # the time service, after the start; then every hour
TRUSTED = _CONFIRMATIONS[1]  # two that agree, at least ten minutes apart (EXP-5)

_WAN, _LAN = bytes((192, 0, 2, 77)), bytes((10, 20, 0, 1))
_LAN6 = bytes.fromhex("20010db8ca4e0001")
_OUTSIDE, _OUTSIDE6 = bytes((203, 0, 113)), bytes.fromhex("20010db8") + bytes(11)  # where people go, but for the last octet
_CLASSES = {53: "dns", 80: "web", 443: "web", 123: "time", 5223: "push", 5228: "push"}  # of the ports that people use here
_EVERYBODYS = {"web", "dns"}  # not published (ANON-2)
_QUARTER = 15 * MINUTE
_NAT_STATUS = kernel.SRC_NAT | kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE
_ROUTED_STATUS = kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE


class Kept(NamedTuple):
    """What a `security` record of a connection must say, and when. `end` and `arrived` in ns since the epoch."""

    mac: bytes
    address: bytes
    protocol: int
    source_port: int
    translated_port: int
    bytes_up: int
    bytes_down: int
    packets_up: int
    packets_down: int
    start: int
    end: int
    arrived: int
    port: int = 0  # where the connection went to, for its class


@dataclass
class Seen:
    """What one terminal did in an agent-day, as far as the recorder heard of it within the day."""

    quarters: set[int] = field(default_factory=set)
    octets: int = 0
    classes: set[str] = field(default_factory=set)


def _range(value: int, bounds: tuple[int, ...]) -> int:
    return sum(value >= bound for bound in bounds)


class Daily:
    """ANON-2's second column, counted over one agent-day's terminals: metric -> cell -> (least, most).

    Both are the same but for `classes`, where a secret of the device draws two of a terminal's classes.
    """

    CELLS: ClassVar = {
        "presence": ("1", "2-4", "5-8", "9-16", ">16"),
        "volume": ("<10", "<100", "<500", "<2000", ">=2000"),
        "active": ("03-07", "07-11", "11-15", "15-19", "19-23", "23-03"),
        "classes": ("other", "mail", "calls", "vpn", "remote", "files", "time", "push", "icmp"),
    }

    def __init__(self) -> None:
        self.terminals: dict[bytes, Seen] = {}

    def add(self, record: Kept, counted: int, day: int) -> bool:
        """Count a record of the agent-day that begins at `day` and counts from `counted` on, in ns; True for a terminal's first."""
        if record.end < counted:
            return False
        new = record.mac not in self.terminals
        seen = self.terminals.setdefault(record.mac, Seen())
        first, last = (max(record.start, counted) - day) // _QUARTER, (record.end - day) // _QUARTER
        seen.quarters.update(range(first, min(last, 95) + 1))
        seen.octets += record.bytes_up + record.bytes_down
        seen.classes.add("icmp" if record.protocol in (ICMP, ICMPV6) else _CLASSES.get(record.port, "other"))
        return new

    def cells(self) -> dict[str, list[tuple[int, int]]]:
        """Return the true counts, as (least, most) for each cell in its order."""
        counts = {metric: [[0, 0] for _ in names] for metric, names in self.CELLS.items()}
        for seen in self.terminals.values():
            parts = sorted({quarter // 16 for quarter in seen.quarters})[:2]
            classes = seen.classes - _EVERYBODYS
            sure = len(classes) <= 2
            hits = [("presence", _range(len(seen.quarters), (2, 5, 9, 17)), True)]
            hits.append(("volume", _range(seen.octets >> 20, (10, 100, 500, 2000)), True))
            hits += [("active", part, True) for part in parts]
            hits += [("classes", self.CELLS["classes"].index(name), sure) for name in classes]
            for metric, cell, certain in hits:
                counts[metric][cell][0] += certain
                counts[metric][cell][1] += 1
        return {metric: [(least, most) for least, most in cells] for metric, cells in counts.items()}


class Truth:
    """The ground truth, kept from the world's own events and never from the agent.

    arrived   start of an hour (ns) -> devices whose people came in that hour: the *real* truth
    learned   start of an hour (ns) -> terminals whose first DESTROY of the agent-day came in that hour: the *defined* truth;
              nothing counts before `trusted`, when the clock is believed and the first agent-day opens (ANON-6), nor a
              connection that ended before the hour in which its agent-day opened
    daily     start of an agent-day (ns) -> metric -> true cells, of the days that are over
    kept      connections whose record may still be within its lifetime, in order of arrival
    """

    def __init__(self, lifetime: int, trusted: int) -> None:
        self.lifetime, self.trusted = lifetime * SECOND, trusted
        self.arrived: Counter[int] = Counter()
        self.learned: Counter[int] = Counter()
        self.kept: deque[Kept] = deque()
        self.connections: Counter[str] = Counter()
        self.terminals: dict[bytes, set[bytes]] = {}  # mac -> its addresses
        self.places: set[bytes] = set()  # every destination
        self.daily: dict[int, dict[str, list[tuple[int, int]]]] = {}
        self._day = 0
        self._now = Daily()

    def reach(self, now: int) -> None:
        """Let the time come to `now`: agent-days that are over are counted."""
        day = (now - AGENT_DAY_STARTS) // DAY * DAY + AGENT_DAY_STARTS
        while self._day and self._day < day:
            self.daily[self._day] = self._now.cells()
            self._now = Daily()
            self._day += DAY
        self._day = day

    def destroyed(self, record: Kept) -> None:
        """A DESTROY was handed to the recorder."""
        self.reach(record.arrived)
        if record.arrived >= self.trusted and self._now.add(record, max(self._day, self.trusted // HOUR * HOUR), self._day):
            self.learned[record.arrived // HOUR * HOUR] += 1
        self.connections[{TCP: "tcp", UDP: "udp"}.get(record.protocol, "icmp")] += 1
        self.kept.append(record)
        while self.kept and self.kept[0].arrived + self.lifetime < record.arrived:
            self.kept.popleft()


class Step(NamedTuple):
    """One entry of the tape, with the world's name for it."""

    wall: int
    operation: int
    payload: bytes = b""

    def encoded(self) -> bytes:
        """Return the entry's bytes."""
        return tape.entry(self.operation, self.wall, self.payload)


class World:
    """One gateway's time, from the scenario's start; `steps` is the tape, `truth` fills while it is read.

    `byteorder` is that of the gateway's processor: its kernel's datagrams are written so.
    """

    def __init__(self, scenario: Scenario, seed: int, days: float | None = None, byteorder: kernel.ByteOrder = "little") -> None:
        self.scenario, self.byteorder = scenario, byteorder
        self.start = scenario.start
        self.days = days or scenario.days
        self.people_end = self.start + int(self.days * DAY)
        # two hours more than a lifetime: whatever the kernel reported late has passed its deadline too
        self.end = self.people_end + scenario.lifetime * SECOND + 2 * HOUR
        self.truth = Truth(scenario.lifetime, self.start + TRUSTED)
        self._random = Random(seed)
        self._queue: list[tuple[int, int, Callable[[int], Iterator[Step]]]] = []
        self._order = 0
        self._tuples: set[tuple[bytes, int, bytes, int, int]] = set()  # reply tuples in use: NAT must keep them apart
        self._lease = self._id = self._macs = 0

    def _at(self, time: int, event: Callable[[int], Iterator[Step]]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, event))

    def steps(self) -> Iterator[Step]:
        """Yield the tape in time order: boot, people, reports on the hour, until everything must be forgotten."""
        yield Step(self.start, tape.CLOCK, struct.pack("<Q", BOOTED))
        yield Step(self.start, tape.NEIGHBOUR, kernel.link("lan", self.byteorder))
        for own, prefix in ((_LAN, 16), (_LAN6 + b"\0\0\0\0\0\0\0\1", 64)):
            yield Step(self.start, tape.NEIGHBOUR, kernel.address(own, prefix, self.byteorder))
        for delay in _CONFIRMATIONS:
            self._at(self.start + delay, self._confirm)
        for hour in range(self.start + HOUR, self.end, HOUR):
            self._at(hour, self._report)
        self._at(self.start, self._people)
        while self._queue:
            time, _, event = heapq.heappop(self._queue)
            if time >= self.end:
                break
            yield from event(time)
        self.truth.reach(self.end)
        yield Step(self.end, tape.REPORT)
        yield Step(self.end, tape.STOP)

    def _confirm(self, now: int) -> Iterator[Step]:
        yield Step(now, tape.CONFIRM)

    def _report(self, now: int) -> Iterator[Step]:
        yield Step(now, tape.CONFIRM)
        yield Step(now, tape.REPORT)

    def _people(self, now: int) -> Iterator[Step]:
        """Draw one local day's visits; the next day's are drawn when it begins."""
        if now >= self.people_end:
            return
        offset = self.scenario.utc_offset * HOUR
        midnight = (now + offset) // DAY * DAY - offset
        closes = int(self.scenario.closes * HOUR)
        for arrives, leaves, kind, has_ipv6 in self.scenario.crowd.day(self._random, midnight, closes):
            if self.start <= arrives < self.people_end:
                self._at(arrives, self._arrival(arrives, min(leaves, self.people_end), kind, has_ipv6=has_ipv6))
        self._at(midnight + DAY, self._people)
        yield from ()

    def _arrival(self, arrives: int, leaves: int, kind: Kind, *, has_ipv6: bool) -> Callable[[int], Iterator[Step]]:
        draw = Random(self._random.getrandbits(64))
        mac = bytes((draw.getrandbits(8) & 0xFC | 2, *draw.randbytes(5)))

        def arrive(now: int) -> Iterator[Step]:
            address = _LAN[:2] + struct.pack(">H", 256 + self._lease % self.scenario.addresses)
            self._lease += 1
            temporary = [_LAN6 + draw.randbytes(8) for _ in range(has_ipv6)]
            device = Device(kind, mac, address, temporary, arrives, leaves, draw)
            self.truth.arrived[now // HOUR * HOUR] += 1
            self.truth.terminals.setdefault(mac, set()).update((address, *temporary))
            for known in (address, *temporary):
                yield Step(now, tape.NEIGHBOUR, kernel.neighbour(kernel.Neighbour(known, mac), self.byteorder))
            self._next_burst(device, device.bursts(self.scenario.activity))

        return arrive

    def _next_burst(self, device: Device, bursts: Iterator[tuple[int, list[Talk]]]) -> None:
        for time, talks in bursts:

            def burst(_: int, talks: list[Talk] = talks) -> Iterator[Step]:
                for talk in talks:
                    self._open(device, talk)
                self._next_burst(device, bursts)
                yield from ()

            self._at(time, burst)
            return

    def _open(self, device: Device, talk: Talk) -> None:
        """A connection begins: its entry's tuples are chosen now, its end is known to the world only."""
        draw = device.random
        place = min(int(draw.paretovariate(0.5)), 254)  # a few places have most of the visits, so that NAT must change some ports
        six = bool(device.temporary) and not talk.local and draw.random() < self.scenario.dual_stack
        if six:
            family, source = INET6, device.temporary[0]
            destination = _OUTSIDE6 + bytes((place,))
        else:
            family, source = INET, device.address
            destination = _LAN if talk.local else _OUTSIDE + bytes((place,))
        self.truth.places.add(destination)
        protocol = ICMPV6 if six and talk.protocol == ICMP else talk.protocol
        translated = family == INET and not talk.local
        outside = _WAN if translated else source
        port = device.next_port()
        while (outside, protocol, destination, talk.port, port) in self._tuples and not translated:
            port = device.next_port()
        seen_port = port
        while (outside, protocol, destination, talk.port, seen_port) in self._tuples:
            seen_port = draw.randint(1024, 65535)  # masquerade keeps the port unless another connection has that tuple
        key = (outside, protocol, destination, talk.port, seen_port)
        self._tuples.add(key)
        self._id += 1
        status = kernel.CONFIRMED | kernel.DYING | (_NAT_STATUS if translated else _ROUTED_STATUS)
        if talk.packets_down:
            status |= kernel.SEEN_REPLY
        state, timeout, assured = self._ending(talk)
        flow = Flow(
            family, protocol, source, destination, port, talk.port, destination, outside, talk.port, seen_port,
            status=status | (kernel.ASSURED if assured else 0),
            start=talk.at,
            id=self._id * 2654435761 % (1 << 32),  # the kernel's ids look random
            packets_up=talk.packets_up, bytes_up=talk.bytes_up, packets_down=talk.packets_down, bytes_down=talk.bytes_down,
            state=state,
        )  # fmt: skip
        if protocol == ICMPV6:
            flow.icmp_type, flow.reply_icmp_type = 128, 129
        last = talk.at + talk.lasts
        flow.stop = last + timeout * SECOND
        flow.event = flow.stop + int(draw.random() * LAZINESS)

        def destroy(now: int) -> Iterator[Step]:
            self._tuples.discard(key)
            volumes = (flow.bytes_up, flow.bytes_down, flow.packets_up, flow.packets_down)
            record = Kept(device.mac, source, protocol, port, seen_port, *volumes, flow.start, last, now, talk.port)
            self.truth.destroyed(record)
            yield Step(now, tape.DATAGRAM, kernel.conntrack("destroy", flow, self.byteorder))

        self._at(flow.event, destroy)

    def _ending(self, talk: Talk) -> tuple[int, int, bool]:
        """Return (TCP state, seconds of its timeout, ASSURED), as net/netfilter/nf_conntrack_proto_*.c sets them."""
        timeouts = self.scenario.timeouts
        if talk.protocol == TCP:
            state, name = {
                "closed": (kernel.TIME_WAIT, "tcp_timeout_time_wait"),
                "reset": (kernel.CLOSE, "tcp_timeout_close"),
                "silent": (kernel.ESTABLISHED, "tcp_timeout_established"),
                "unanswered": (kernel.SYN_SENT, "tcp_timeout_syn_sent"),
            }[talk.ending]
            return state, timeouts[name], talk.packets_down > 0
        if talk.protocol == UDP:
            stream = talk.packets_down > 0 and talk.lasts > 2 * SECOND
            return 0, timeouts["udp_timeout_stream" if stream else "udp_timeout"], stream
        return 0, timeouts["icmp_timeout"], False


def clock_text(wall: int) -> str:
    """Return a time in ns since the epoch as the demo shows it."""
    return datetime.fromtimestamp(wall // SECOND, UTC).strftime("%a %H:%M")
