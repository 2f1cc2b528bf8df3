# SPDX-License-Identifier: Apache-2.0
"""The ground truth of a simulated gateway, kept from the world's own events and never from the agent.

Of each connection that ends it knows what its record must say, when it must be gone, and what became of it: told to the
recorder, dropped by the kernel before it was read, ended while nobody listened, forgotten with a cut of power. Of each
agent-day it knows the defined truth, what each metric counts (ANON-2), and the real one beside.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from host_sim.venue.device_clock import SECOND
from host_sim.venue.kernel import ICMP, ICMPV6, TCP, UDP

HOUR = 3600 * SECOND
DAY = 24 * HOUR
AGENT_DAY_STARTS = 3 * HOUR  # after midnight UTC (ANON-6)
# of the ports that people use here, written down again so that a mistake in the agent's own table shows
_CLASSES = {
    53: "dns",
    80: "web",
    443: "web",
    123: "time",
    5223: "push",
    5228: "push",
    993: "mail",
    3478: "calls",
    19302: "calls",
}
_CLASSES |= dict.fromkeys((51820, 4500, 1194), "vpn")
_EVERYBODYS = ("web", "dns")  # not published (ANON-2)
_QUARTER = 15 * 60 * SECOND


class Notice(NamedTuple):
    """The kernel's notice of a connection's end, and how much it lets the recorder know.

    `arrived`: when the kernel told of it, ns since the epoch. `number` is its datagram's, as the stage counts them.
    """

    arrived: int
    exact: bool = True  # nothing stepped the gateway's clock since the boot
    number: int = 0
    known: bool = True  # the connection began since the recorder listens: whose it is can be known
    sure: bool = True  # and is known: there is room for that


class Subscriber(NamedTuple):
    """Who stands behind a connection, as other purposes than `security` know it."""

    public: bytes = b""  # the address that it had for the world
    user: str = ""  # who was logged in at its terminal when it began
    young: bool = False  # he had logged in just then
    consent: int = 0  # under which it may be kept
    once: str = ""  # who was logged in then, whichever recorder was told so


UNASKED = Subscriber()  # where `security` is the only purpose


class Kept(NamedTuple):
    """What a `security` record of a connection must say, and when. Times in ns since the epoch.

    `start` and `end` are as the gateway's own clock stamped them, `ended` when the last packet truly passed.
    """

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
    notice: Notice
    port: int = 0  # where the connection went to, for its class
    ended: int = 0
    subscriber: Subscriber = UNASKED


class Alive(NamedTuple):
    """A lasting connection in a listing of the table at `at`: whose, since when, its last packet (as stamped)."""

    mac: bytes
    start: int
    last: int
    protocol: int
    port: int
    at: int
    known: bool = True
    sure: bool = True


@dataclass
class Seen:
    """What one terminal did in an agent-day, as far as the recorder heard of it within the day."""

    quarters: set[int] = field(default_factory=set)
    octets: int = 0
    classes: set[str] = field(default_factory=set)


def _range(value: int, bounds: tuple[int, ...]) -> int:
    return sum(value >= bound for bound in bounds)


class Daily:
    """What each metric counts (ANON-2), over one agent-day's terminals: metric -> cell -> (least, most).

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
        """Count a record of the agent-day from `day`, that counts from `counted` on (ns); True for a first one."""
        volume = record.bytes_up + record.bytes_down
        return self.see(record.mac, record.start, record.end, (record.protocol, record.port), volume, counted, day)

    def see(
        self, mac: bytes, start: int, end: int, service: tuple[int, int], octets: int, counted: int, day: int
    ) -> bool:
        """Count what a terminal did from a connection's start to its last packet; `service` is protocol and port."""
        if end < counted:
            return False
        new = mac not in self.terminals
        seen = self.terminals.setdefault(mac, Seen())
        first, last = (max(start, counted) - day) // _QUARTER, (end - day) // _QUARTER
        seen.quarters.update(range(first, min(last, 95) + 1))
        seen.octets += octets
        seen.classes.add("icmp" if service[0] in (ICMP, ICMPV6) else _CLASSES.get(service[1], "other"))
        return new

    def cells(self) -> dict[str, list[tuple[int, int]]]:
        """Return the true counts, as (least, most) for each cell in its order."""
        counts = {metric: [[0, 0] for _ in names] for metric, names in self.CELLS.items()}
        for seen in self.terminals.values():
            parts = sorted({quarter // 16 for quarter in seen.quarters})[:2]
            classes = seen.classes.difference(_EVERYBODYS)
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
    """The ground truth of a gateway whose table of the day has room for so many terminals.

    arrived   start of an hour (ns) -> devices whose people came in that hour: the *real* truth
    learned   start of an hour (ns) -> terminals whose first DESTROY of the agent-day came in that hour: the *defined*
              truth; nothing counts before an agent-day opens (ANON-6), nor a connection that ended before the hour in
              which it did
    daily     start of an agent-day (ns) -> metric -> true cells, of the days that are over
    kept      what was told to the recorder since the auditor last took it, in order
    fates     how many connections: told, dropped, unheard (nobody listened), forgotten (with a cut of power)
    """

    def __init__(self, room: int = 1 << 16) -> None:
        self._room = room
        self.arrived: Counter[int] = Counter()
        self.learned: Counter[int] = Counter()
        self.kept: list[Kept] = []
        self.connections: Counter[str] = Counter()
        self.fates: Counter[str] = Counter()
        self.terminals: dict[bytes, set[bytes]] = {}  # mac -> its addresses
        self.places: set[bytes] = set()  # every destination
        self.daily: dict[int, dict[str, list[tuple[int, int]]]] = {}
        # agent-days in which somebody stepped the clock: what is true of them isn't defined
        self.muddled: set[int] = set()
        self.rows: dict[int, int] = {}  # start of an agent-day -> terminals in it
        self._day = self._counted = 0
        self._now = Daily()
        self._waiting: list[Kept | Alive] = []

    def open_day(self, day: int, counted: int) -> None:
        """An agent-day opens at `day`, and counts from `counted` on."""
        self._day, self._counted, self._now = day, counted, Daily()

    def close_day(self) -> None:
        """It is over."""
        if self._day:
            self.daily[self._day] = self._now.cells()
            self.rows[self._day] = len(self._now.terminals)
            if len(self._now.terminals) > self._room:
                self.muddle()
        self._day = 0

    def lose_day(self, wall: int) -> None:
        """Power is gone: whatever is counted and not yet drawn."""
        self._day = 0
        self.learned[wall // HOUR * HOUR] = 0

    def muddle(self) -> None:
        """Somebody has stepped the clock, or a table is full: what the open day counts is no longer defined."""
        if self._day:
            self.muddled.add(self._day)

    def destroyed(self, record: Kept) -> None:
        """A DESTROY was handed to the kernel's socket; `settle` says what became of it."""
        self._waiting.append(record)

    def listed(self, alive: Alive) -> None:
        """The recorder was shown a connection that lasts."""
        self._waiting.append(alive)

    def settle(self, dropped: Iterable[tuple[int, int]] = (), before: int | None = None) -> None:
        """Count what the recorder was told, before a moment (ns) where one is given; the rest waits.

        `dropped`: first and last number of the datagrams dropped before.
        """
        gone: set[int] = set()
        for first, last in dropped:
            gone.update(range(first, last + 1))
        told, self._waiting = self._waiting, []
        for record in told:
            if before is not None and _told(record) >= before:
                self._waiting.append(record)
                continue
            notice = record if isinstance(record, Alive) else record.notice
            if notice.known and not notice.sure:
                self.muddle()
            if isinstance(record, Alive):
                counts = self._day and record.known
                service = (record.protocol, record.port)
                if counts and self._now.see(
                    record.mac, record.start, record.last, service, 0, self._counted, self._day
                ):
                    self.learned[record.at // HOUR * HOUR] += 1
                continue
            self.connections[{TCP: "tcp", UDP: "udp"}.get(record.protocol, "icmp")] += 1
            if record.notice.number in gone:
                self.fates["dropped"] += 1
                continue
            self.fates["told"] += 1
            counts = self._day and record.notice.known and record.notice.arrived >= self._counted
            if counts and self._now.add(record, self._counted, self._day):
                self.learned[record.notice.arrived // HOUR * HOUR] += 1
            self.kept.append(record)

    def forget(self) -> None:
        """A cut of power."""
        self.fates["forgotten"] += len(self.kept)
        self.kept.clear()


def _told(record: Kept | Alive) -> int:
    """Return when the recorder was told of it, in true ns since the epoch."""
    return record.at if isinstance(record, Alive) else record.notice.arrived
