# SPDX-License-Identifier: Apache-2.0
"""The gateway as its kernel and clock are: power, time, its neighbours, what it answers to the recorder."""

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from host_sim.venue import kernel, tape
from host_sim.venue.device_clock import SECOND, DeviceClock
from host_sim.venue.happenings import clock_text
from host_sim.venue.people import HOUR, MINUTE
from host_sim.venue.step import Step
from host_sim.venue.truth import Alive

if TYPE_CHECKING:
    from host_sim.venue.table import Entry
    from host_sim.venue.world import World

BOOTED = 41 * SECOND  # time since boot when the recorder starts: what a router needs to boot
STEP = 15 * MINUTE  # between two looks of the auditor
SECOND_CONFIRMATION = 11 * MINUTE  # after the first one: two that agree, at least ten minutes apart (EXP-5)
ADDRESSES, HOLDERS = 32, 8  # of one MAC, and of one address: more need not be remembered (agent.capture.address_table)
# Before an address changes hands: what begins then may be the newcomer's, whose first packets may come before the word
_NOTICE = SECOND
_RETRY = 5 * MINUTE  # of the time service, without an uplink
_LISTED = 301 * SECOND  # between two listings of the connection table: the recorder asks every 300 s by its own clock
_DATAGRAM = 15_000  # octets after which a listing goes on in another datagram

WAN, LAN = bytes((192, 0, 2, 77)), bytes((10, 20, 0, 1))
LAN6 = bytes.fromhex("20010db8ca4e0001")
_WAN_INDEX = 9


class Gateway:
    """One gateway, without its connection table and the people."""

    def __init__(self, world: "World") -> None:
        self._world, self._scenario = world, world.scenario
        self.on = self.listening = False  # it has power; its recorder runs
        self.uplink = True
        self.suspended = self.still = 0  # until when it sleeps, and until when the recorder is stopped, true ns
        self.clock = DeviceClock(world.start, BOOTED, world.scenario.drift, world.start)
        self.boots = self.crashes = self.restarts = 0
        # Of the recorder, of which the audit log says nothing: before a factory reset, or since a copy of it
        self.starts_before = 0
        self.emptied = 0  # how often flash was
        self.full: set[str] = set()  # what of flash has no room now (host_sim.venue.tape.PLACES), and what ever hadn't
        self.was_full: set[str] = set()
        self.unwritten = 0  # until when what is told to a custodian's store may wait for room, true ns
        self.told_since_boot = self.dropped_since_boot = 0
        self.listens_since = self._reached = 0
        self.disturbed = False  # the recorder was killed, or slept
        self.holders: dict[bytes, bytes] = {}  # address -> MAC that the kernel has as its neighbour
        self.handed: dict[bytes, list[tuple[int, bytes]]] = {}  # address -> when it changed hands, and to whom
        self._associations = 0  # that the kernel has told of since the boot
        # What an examiner holds answers against: who had an address since when; times without power; when power came or
        # went, and the clock was stepped.
        self.neighbours: dict[bytes, list[tuple[int, bytes]]] = {}
        self.dark: list[tuple[int, int]] = []
        self.edges: list[int] = []

    def reset(self) -> None:
        """Flash is emptied: the ledger says nothing, the audit log begins anew."""
        self.starts_before = self.boots + self.restarts
        self.emptied += 1
        self._world.days.reset()

    def log(self) -> tuple[int, int]:
        """Return how many starts and checkpoints the audit log has."""
        return self.boots + self.restarts - self.starts_before, self._world.days.checkpoints

    def log_restored(self, starts: int, checkpoints: int) -> None:
        """The audit log is a copy that has so many."""
        self.starts_before = self.boots + self.restarts - starts
        self._world.days.checkpoints = checkpoints

    def boot(self, now: int) -> Iterator[Step]:
        """Power is there: the recorder starts, with a clock that shows what the scenario says."""
        shown = now if self._scenario.shows is None else self._scenario.shows
        self.clock = DeviceClock(now, BOOTED, self._scenario.drift, shown)
        self.boots += 1
        self.starts_before += "log" in self.full
        self.on = self.listening = True
        self.listens_since, self._associations = now, 0
        self.told_since_boot = self.dropped_since_boot = self.crashes = 0
        self._world.days.boot(self.clock)
        self._world.tell(now, "boot", shown=clock_text(shown, date=True))
        boot = f"{self.boots:032x}".encode()
        yield Step(now, tape.TABLE, struct.pack("<II", 0, self._scenario.table))
        yield Step(now, tape.BOOT, self._clocks(now) + boot)
        yield from self.list(now)
        boots = self.boots
        self._world.at(now + SECOND, lambda at: self._list_table(at, boots))
        if self._scenario.confirms:
            self._world.at(now + int(self._scenario.first * MINUTE), lambda at: self._confirm(at, boots, first=True))
        self._world.at(self.clock.true(HOUR) + SECOND, lambda at: self._full_hour(at, boots, 1))

    def respawn(self, now: int, boot: int) -> Iterator[Step]:
        """Start a recorder that has ended, in the same boot."""
        if self.on and boot == self.boots:
            self.listening, self.listens_since = True, now
            self.crashes += 1
            self.restarts += 1
            self.starts_before += "log" in self.full
            self._world.days.restart()
            self._world.tell(now, "restart")
            yield Step(now, tape.START)
            yield from self.list(now)
            self.pass_time(now)

    def installed(self, now: int, boot: int) -> Iterator[Step]:
        """Start a recorder that was removed and installed anew, in the same boot: it knows nothing of before."""
        if self.on and boot == self.boots:
            self.listening, self.listens_since, self._associations = True, now, 0
            self.told_since_boot = self.dropped_since_boot = self.crashes = 0
            self.restarts += 1
            self.starts_before += "log" in self.full
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
        for address, mac in self.holders.items():
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
            left = max(last + entry.timeout - now, 0) // SECOND
            flow.timeout = left
            datagram += kernel.conntrack("entry", flow, self._world.byteorder)
            flow.timeout = None
            stamp = max(self.clock.wall(now) - (entry.timeout - left * SECOND), flow.start)
            mac = self.holder_of(entry)
            known, sure = self.known(entry, mac)
            self._world.truth.listed(Alive(mac, flow.start, stamp, flow.protocol, entry.port, now, known, sure))
            if len(datagram) > _DATAGRAM:
                yield Step(now, tape.LIVE, bytes(datagram))
                datagram.clear()
        yield Step(now, tape.LIVE, bytes(datagram) + kernel.done(self._world.byteorder))

    def neighbour(self, now: int, address: bytes, mac: bytes) -> Iterator[Step]:
        """The kernel has a MAC as its neighbour at an address, and says so to whoever listens."""
        if self.holders.get(address) != mac:
            self.handed.setdefault(address, []).append((now, mac))
            self._associations += len(self._world.truth.terminals.get(mac, ())) <= ADDRESSES
        self.holders[address] = mac
        if self._scenario.purposes.attribution:
            told = self.neighbours.setdefault(address, [])
            if not told or told[-1][1] != mac:
                told.append((now, mac))
        if self.listening:
            yield Step(now, tape.NEIGHBOUR, kernel.neighbour(kernel.Neighbour(address, mac), self._world.byteorder))

    def _clocks(self, now: int) -> bytes:
        return struct.pack(tape.CLOCKS, self.clock.wall(now), self.clock.monotonic(now), self._scenario.drift)

    def set_clock(self, now: int, wall: int) -> Iterator[Step]:
        """Somebody sets the wall clock; half a second and more is a step."""
        step = self.clock.set(now, wall)
        if abs(step) > SECOND // 2:
            self._world.truth.muddle()
            self._world.days.stepped(now)
            if self._world.portal:
                self._world.portal.stepped(step)
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
        yield from self.set_clock(now, now)
        yield Step(now, tape.CONFIRM)
        trusted = self._world.days.trusted
        self._world.days.confirm(now)
        if self._world.days.trusted and not trusted:
            self._world.tell(now, "trusted")
            if self._world.portal:
                self._world.portal.confirmed(now)
        yield from self.look(now)
        wait = SECOND_CONFIRMATION if first else int(self._scenario.confirms * MINUTE)
        self._world.at(now + wait, lambda at: self._confirm(at, boot, second=first))

    def report(self, now: int) -> Iterator[Step]:
        """Let the auditor look, and again a while later."""
        self._world.at(now + STEP, self.report)
        if self.on and not self.suspended:
            yield from self.look(now)

    def look(self, now: int) -> Iterator[Step]:
        """The auditor may look: everything has been told, the timers have run."""
        if self.listening and not self.still:
            self._reached = now
            yield Step(now, tape.REPORT)
            self.settle()

    def settle(self, dropped: Iterable[tuple[int, int]] = ()) -> None:
        """After a REPORT: count what became of the connections that the kernel told of, let the agent-days pass."""
        if self._reached:
            now, self._reached = self._reached, 0
            before = self._world.truth.fates["dropped"]
            self._world.truth.settle(dropped)
            self.dropped_since_boot += self._world.truth.fates["dropped"] - before
            self.pass_time(now)

    def pass_time(self, now: int) -> None:
        """Let the agent-days that are over close in the truth as well."""
        closed, opened = self._world.days.pass_time(now)
        if closed:
            self._world.truth.close_day()
        if opened:
            self._world.truth.open_day(self._world.days.day, self._world.days.counted)

    def held_address(self, address: bytes, mac: bytes, now: int) -> bool:
        """Return True if a terminal was the kernel's neighbour at an address, by the last word before a true time."""
        told = [who for since, who in self.neighbours.get(address, ()) if since <= now + _NOTICE]
        return bool(told) and told[-1] == mac

    def whose(self, entry: "Entry") -> bytes:
        """Return who held a connection's address when it began, by all that the kernel was ever told."""
        told = [who for since, who in self.neighbours.get(entry.source, ()) if since <= entry.first + _NOTICE]
        return told[-1] if told else entry.holder

    def holder_of(self, entry: "Entry") -> bytes:
        """Return who held a connection's address when it began."""
        for since, mac in reversed(self.handed.get(entry.source, ())):
            if since <= entry.first + _NOTICE:
                return mac
        return entry.holder

    def known(self, entry: "Entry", mac: bytes) -> tuple[bool, bool]:
        """Return whether the recorder may know whose a connection is, and whether it must.

        It has room for that at worst, and the address didn't change hands just then.
        """
        handed = self.handed.get(entry.source, ())
        few = len(self._world.truth.terminals.get(mac, ())) <= ADDRESSES and len(handed) <= HOLDERS
        clear = not any(since - _NOTICE <= entry.first < since for since, _ in handed[1:])
        return entry.first >= self.listens_since, few and clear and self._associations <= 4 * self._scenario.rows
