# SPDX-License-Identifier: Apache-2.0
"""The gateway as its kernel and clock are: power, time, its neighbours, what it answers to the recorder."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from host_sim.venue import kernel, tape
from host_sim.venue.device_clock import SECOND, DeviceClock
from host_sim.venue.happenings import clock_text
from host_sim.venue.neighbours import Neighbours
from host_sim.venue.people import HOUR, MINUTE
from host_sim.venue.step import Step
from host_sim.venue.truth import DAY, Alive

if TYPE_CHECKING:
    from host_sim.venue.world import World

BOOTED = 41 * SECOND  # time since boot when the recorder starts: what a router needs to boot
STEP = 15 * MINUTE  # between two looks of the auditor
SECOND_CONFIRMATION = 11 * MINUTE  # after the first one: two that agree, at least ten minutes apart (EXP-5)
_RETRY = 5 * MINUTE  # of the time service, without an uplink
_LISTED = 301 * SECOND  # between two listings of the connection table: the recorder asks every 300 s by its own clock
_DATAGRAM = 15_000  # octets after which a listing goes on in another datagram

WAN, LAN = bytes((192, 0, 2, 77)), bytes((10, 20, 0, 1))
LAN6 = bytes.fromhex("20010db8ca4e0001")
_WAN_INDEX = 9


@dataclass
class Flash:
    """What of flash has no room (host_sim.venue.tape.PLACES): now, and ever; how often it was emptied."""

    full: set[str] = field(default_factory=set)
    was_full: set[str] = field(default_factory=set)
    unwritten: int = 0  # until when what is told to a custodian's store may wait for room, true ns
    emptied: int = 0


@dataclass
class Heard:
    """What a recorder must have counted since it knows nothing of before: connections told and dropped, its crashes."""

    told: int = 0
    dropped: int = 0
    crashes: int = 0
    reached: int = 0  # the true ns of a look after which it isn't settled yet what was dropped, 0 for none


class Gateway:
    """One gateway, without its connection table and the people."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.on = self.listening = False  # it has power; its recorder runs
        self.uplink = True
        self.suspended = self.still = 0  # until when it sleeps, and until when the recorder is stopped, true ns
        self.disturbed = False  # the recorder was killed, or slept
        self.clock = DeviceClock(world.scenario.start, BOOTED, world.scenario.clock.drift, world.scenario.start)
        self.boots = 0
        self.starts = 0  # of the recorder, that the audit log must say
        self.flash = Flash()
        self.heard = Heard()
        self.neighbours = Neighbours(world)
        # What an examiner holds answers against: times without power; when power came or went, and the clock was
        # stepped.
        self.dark: list[tuple[int, int]] = []
        self.edges: list[int] = []

    def reset(self) -> None:
        """Flash is emptied: the ledger says nothing, the audit log begins anew."""
        self.starts = 0
        self.flash.emptied += 1
        self._world.days.reset()

    def log(self) -> tuple[int, int]:
        """Return how many starts and checkpoints the audit log has."""
        return self.starts, self._world.days.checkpoints

    def log_restored(self, starts: int, checkpoints: int) -> None:
        """The audit log is a copy that has so many."""
        self.starts, self._world.days.checkpoints = starts, checkpoints

    def boot(self, now: int) -> Iterator[Step]:
        """Power is there: the recorder starts, with a clock that shows what the scenario says."""
        scenario = self._world.scenario
        shown = now if scenario.clock.shows is None else scenario.clock.shows
        self.clock = DeviceClock(now, BOOTED, scenario.clock.drift, shown)
        self.boots += 1
        self.on = True
        self._listen(now, anew=True)
        self._world.table.heard(now, boot=True)
        self._world.days.boot(self.clock)
        self._world.tell(now, "boot", shown=clock_text(shown, date=True))
        boot = f"{self.boots:032x}".encode()
        yield Step(now, tape.TABLE, struct.pack("<II", 0, scenario.network.table))
        yield Step(now, tape.BOOT, self._clocks(now) + boot)
        yield from self.list(now)
        boots = self.boots
        self._world.at(now + SECOND, lambda at: self._list_table(at, boots))
        if scenario.clock.confirms:
            self._world.at(now + int(scenario.clock.first * MINUTE), lambda at: self._confirm(at, boots, first=True))
        self._world.at(self.clock.true(HOUR) + SECOND, lambda at: self._full_hour(at, boots, 1))

    def _listen(self, now: int, *, anew: bool) -> None:
        """A recorder starts, as its audit log says; `anew`: it knows nothing of before."""
        self.listening = True
        self.starts += "log" not in self.flash.full
        self.neighbours.heard(now, anew=anew)
        self.heard = Heard() if anew else self.heard

    def respawn(self, now: int, boot: int) -> Iterator[Step]:
        """Start a recorder that has ended, in the same boot."""
        if self.suspended:
            self._world.at(self.suspended, lambda later: self.respawn(later, boot))
        elif self.on and boot == self.boots:
            self._listen(now, anew=False)
            self._world.table.heard(now, boot=False)
            self.heard.crashes += 1
            self._world.days.ledger.read()
            self._world.days.resumed(now)
            self._world.tell(now, "restart")
            yield Step(now, tape.START)
            yield from self.list(now)
            self.pass_time(now)

    def installed(self, now: int, boot: int) -> Iterator[Step]:
        """Start a recorder that was removed and installed anew, in the same boot: it knows nothing of before."""
        if self.on and boot == self.boots:
            self._listen(now, anew=True)
            self._world.table.heard(now, boot=False)
            self._world.days.boot(self.clock, self.clock.monotonic(now))
            yield Step(now, tape.START)
            yield from self.list(now)
            self.pass_time(now)
            yield from self.look(now)

    def _full_hour(self, now: int, boot: int, count: int) -> Iterator[Step]:
        """A powered-on hour is full: where no day is open, one may open now."""
        if boot == self.boots and self.on:
            self._world.at(
                self.clock.true((count + 1) * HOUR) + SECOND, lambda at: self._full_hour(at, boot, count + 1)
            )
            if self.listening and not self.suspended and self._world.days.trusted and not self._world.days.day:
                yield from self.look(now)

    def list(self, now: int) -> Iterator[Step]:
        """What the kernel answers when the recorder asks who and what is there."""
        yield Step(now, tape.NEIGHBOUR, kernel.link("lan", self._world.byteorder))
        yield Step(now, tape.NEIGHBOUR, kernel.link("wan", self._world.byteorder, _WAN_INDEX))
        for own, prefix in ((LAN, 16), (LAN6 + b"\0\0\0\0\0\0\0\1", 64)):
            yield Step(now, tape.NEIGHBOUR, kernel.address(own, prefix, self._world.byteorder))
        yield Step(now, tape.NEIGHBOUR, kernel.address(WAN, 24, self._world.byteorder, _WAN_INDEX))
        for address, mac in self.neighbours.holders.items():
            yield from self.neighbour(now, address, mac)
        yield Step(now, tape.LISTED)
        if self._world.portal:
            for told in self._world.portal.again(now):
                yield Step(now, *told)

    def _list_table(self, now: int, boot: int) -> Iterator[Step]:
        """The recorder has asked for the table: what lasts, with what is left of its timeout."""
        if boot != self.boots or not self.on:
            return
        self._world.at(now + _LISTED, lambda at: self._list_table(at, boot))
        if not self.listening or self.suspended or self.still:
            return
        datagram = bytearray()
        for entry in self._world.table.live.values():
            flow = entry.flow
            if flow.start > self.clock.wall(now):
                continue  # it begins in a moment
            last = min(entry.last, now)
            left = max(last + entry.timeout + entry.slept - now, 0) // SECOND
            flow.timeout = left
            datagram += kernel.conntrack("entry", flow, self._world.byteorder)
            flow.timeout = None
            ran = self._world.table.ran(flow, entry.timeout // SECOND - left)
            stamp = max(self.clock.wall(now) - ran * SECOND, flow.start)
            mac = self.neighbours.holder(entry)
            known, sure = self.neighbours.known(entry, mac)
            self._world.truth.listed(Alive(mac, flow.start, stamp, flow.protocol, entry.port, now, known, sure))
            if len(datagram) > _DATAGRAM:
                yield Step(now, tape.LIVE, bytes(datagram))
                datagram.clear()
        yield Step(now, tape.LIVE, bytes(datagram) + kernel.done(self._world.byteorder))

    def neighbour(self, now: int, address: bytes, mac: bytes) -> Iterator[Step]:
        """The kernel has a MAC as its neighbour at an address, and says so to whoever listens."""
        self.neighbours.tell(now, address, mac)
        if self.listening:
            yield Step(now, tape.NEIGHBOUR, kernel.neighbour(kernel.Neighbour(address, mac), self._world.byteorder))

    def _clocks(self, now: int) -> bytes:
        return struct.pack(
            tape.CLOCKS, self.clock.wall(now), self.clock.monotonic(now), self._world.scenario.clock.drift
        )

    def set_clock(self, now: int, wall: int) -> Iterator[Step]:
        """Somebody sets the wall clock; half a second and more is a step."""
        step = self.clock.set(now, wall)
        if abs(step) > SECOND // 2:
            self._world.truth.muddle()
            trusted = self._world.days.trusted
            self._world.days.stepped(now)
            if self._world.portal:
                self._world.portal.stepped(step)
                if trusted and not self._world.days.trusted:
                    self._world.portal.strayed()
                self._overtake(now)
            self.edges.append(now)
            self._world.tell(now, "clock", step=step / SECOND, shown=clock_text(wall, date=True))
        yield Step(now, tape.CLOCK, self._clocks(now))

    def _overtake(self, now: int) -> None:
        """While the clock shows a time that is over no stay is followed (EXP-5).

        Those who are there are found again afterwards.
        """
        behind, portal = self._world.days.behind(now), self._world.portal
        if portal and behind:
            portal.interrupted(now)

        def current(later: int) -> Iterator[Step]:
            if portal:
                portal.confirmed(later)
            yield from ()

        self._world.at(now + behind, current)

    def _confirm(self, now: int, boot: int, *, first: bool = False, second: bool = False) -> Iterator[Step]:
        """The time service sets the clock right and says so; without an uplink it tries again soon."""
        if boot != self.boots or not self.on:
            return
        if not self.uplink or not self.listening or self.suspended or self.still:
            self._world.at(now + _RETRY, lambda at: self._confirm(at, boot, first=first, second=second))
            return
        trusted = self._world.days.trusted
        if not trusted or abs(now - self.clock.wall(now)) > SECOND // 2:
            yield from self.look(now)  # what was done by a clock that nobody believed, or that is stepped now
        yield from self.set_clock(now, now)
        yield Step(now, tape.CONFIRM)
        self._world.days.confirm(now)
        if self._world.days.trusted and not trusted:
            self._world.tell(now, "trusted")
            if self._world.portal:
                self._world.portal.confirmed(now)
        yield from self.look(now)
        wait = SECOND_CONFIRMATION if first else int(self._world.scenario.clock.confirms * MINUTE)
        self._world.at(now + wait, lambda at: self._confirm(at, boot, second=first))

    def report(self, now: int) -> Iterator[Step]:
        """Let the auditor look, and again a while later."""
        self._world.at(now + STEP, self.report)
        if self.on and not self.suspended:
            yield from self.look(now)

    def look(self, now: int) -> Iterator[Step]:
        """The auditor may look: everything has been told, the timers have run."""
        if self.listening and not self.still:
            self.heard.reached = now
            yield Step(now, tape.REPORT)
            self.settle()

    def settle(self, dropped: Iterable[tuple[int, int]] = ()) -> None:
        """After a REPORT: count what became of the connections that the kernel told of, let the agent-days pass.

        `dropped`: the first and last number of datagrams that the kernel dropped.
        """
        if self.heard.reached:
            now, self.heard.reached = self.heard.reached, 0
            truth, days = self._world.truth, self._world.days
            former = truth.fates["dropped"]
            over = self.clock.wall(now) - days.day - DAY
            if days.day and over > 0:
                truth.settle(dropped, now - over)  # what came after the open agent-day's end is the next one's
                self.pass_time(now)
            truth.settle(dropped)
            self.heard.dropped += truth.fates["dropped"] - former
            self.pass_time(now)

    def pass_time(self, now: int) -> None:
        """Let the agent-days that are over close in the truth as well."""
        closed, opened = self._world.days.pass_time(now)
        if closed:
            self._world.truth.close_day()
        if opened:
            days, boot = self._world.days, self.boots
            self._world.truth.open_day(days.day, days.counted)
            self._world.at(self.clock.true(days.late) + SECOND, lambda at: self._late(at, boot))

    def _late(self, now: int, boot: int) -> Iterator[Step]:
        """The day that was opened then is over, if the clock was set back since."""
        days = self._world.days
        if boot == self.boots and not self.suspended and days.day and self.clock.monotonic(now) >= days.late:
            yield from self.look(now)
