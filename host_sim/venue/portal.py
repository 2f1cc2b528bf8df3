# SPDX-License-Identifier: Apache-2.0
"""What guests say at the portal, and where they are: log-ins, consents, withdrawals (L34-IV-1, L34-V).

What follows from that is the truth that the auditor holds the stores against: under which consent a connection may be
kept, at which access point a terminal was while that was allowed. Each device draws from dice of its own, so that a
scenario without a portal is the very same world as before.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, Protocol

from agent.config.reader import Section
from agent.purposes.consent import texts
from host_sim.venue import tape
from host_sim.venue.device_clock import SECOND
from host_sim.venue.people import HOUR, MINUTE, Device
from host_sim.venue.radios import NAMES
from host_sim.venue.scenario import Purposes

TEXT = "This gateway simulates guests. Whoever consents here lives in a file.\n"  # shown before a consent (L34-V-2)
TEXT_NAME = "consent-3.en.txt"
DAYS = 30  # a consent's
PURPOSES = ["services", "location"]
# Who asks for a consent, and what for: without these no purpose by consent is taken (L34-V-2).
ASKS = {
    "controller": "Example Ltd", "contact": "privacy@example.org", "page": "wifi.example.org",
    "services": "help with the line", "location": "a map of the rooms",
}  # fmt: skip
NOTICE = "config notice\n" + "".join(f"\toption {name} '{value}'\n" for name, value in ASKS.items())


def _shown() -> str:
    """Return the hash of the document that a guest is shown."""
    section = Section("notice")
    section.values.update(ASKS)
    return texts.rendered(TEXT, "3.en", PURPOSES, "none", DAYS, section)[1]


SHOWN = _shown()
YOUNG = 6 * SECOND  # after a log-in in which a connection may have begun before it, for all the recorder knows
_AGAIN = 8 * HOUR  # after which the portal says again who is logged in
_RETRY = 5 * MINUTE

ACTIVE, SUSPENDED, WITHDRAWN = "active", "suspended", "withdrawn"


class Stay(NamedTuple):
    """A terminal's time at an access point, s by the gateway's clock; `sure`: its record must be there."""

    consent: int
    mac: bytes
    access_point: str
    start: int
    end: int
    sure: bool


@dataclass
class Guest:
    """One device at the portal.

    `logged_in`: when the recorder that runs was told so, true ns. `consent` is a number over the whole run, 0 for none;
    `since` in seconds by the gateway's clock.
    """

    device: Device
    user: str
    access_point: int
    consent: int = 0
    state: str = ""
    since: int = 0
    there: int | None = None  # since when its stay at the access point is followed, None while it isn't
    left: int = 0  # when it went, true ns
    logged_in: int | None = None
    told: int | None = None  # when the first recorder of all was told so
    unwritten: bool = False  # that it is suspended or withdrawn waits for room on flash


class Side(Protocol):
    """What the portal knows of its gateway. Times are true ns."""

    def wall(self, now: int) -> int:
        """Return what its clock shows."""

    def trusted(self, now: int) -> bool:
        """Return True if what its clock shows is believed."""

    def hears(self) -> bool:
        """Return True if it can be told."""

    def keeps(self) -> bool:
        """Return True if flash has room for a consent."""

    def suspends(self) -> bool:
        """Return True if flash has room for what suspends one."""

    def at(self, time: int, event: Callable[[int], Iterator["Told"]]) -> None:
        """Let an event happen."""


@dataclass
class Portal:
    """The portal of one world.

    `alive` are the consents under which what is kept may be read, `stays` those that
    are over and not yet taken by the auditor.
    """

    purposes: Purposes
    gateway: "Side"
    lingers: int  # ns: how long connections of those who have left may still end
    guests: dict[bytes, Guest] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)
    stays: list[Stay] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)  # consents that were granted, withdrawn, suspended, resumed
    refused: Counter[str] = field(default_factory=Counter)
    _number: int = 0
    _unrefused: set[int] = field(
        default_factory=set
    )  # consents that ended while flash was full, and of which it has nothing
    _users: int = 0

    # Who is there

    def arrives(self, now: int, device: Device) -> Iterator["Told"]:
        """Let a newcomer take an access point, log in, and make up his mind."""
        draw = Random(int.from_bytes(device.mac, "big"))
        self._users += 1
        user = f"guest {self._users:05d}" if draw.random() < self.purposes.portal else ""
        guest = self.guests[device.mac] = Guest(device, user, draw.randrange(1, len(NAMES)))
        yield from self._station(guest, 0, guest.access_point)
        if user:
            yield from self._log_in(now, guest)
        if draw.random() < self.purposes.consent:
            stays = device.leaves - now
            moments = sorted(now + int(stays * draw.uniform(0.1, 0.9)) for _ in range(3))
            self._later(now + 30 * SECOND, guest, self.grant)
            if draw.random() < self.purposes.suspend:
                self._later(moments[0], guest, self.suspend)
                self._later(moments[1], guest, self.resume)
            if draw.random() < self.purposes.withdraw:
                self._later(moments[2], guest, self.withdraw)

    def leaves(self, now: int, device: Device) -> Iterator["Told"]:
        """Let a guest walk out."""
        guest = self.guests.get(device.mac)
        if guest is not None:
            self._over(now, guest)
            guest.left = now
            yield from self._station(guest, guest.access_point, 0)
        for mac in [mac for mac, one in self.guests.items() if one.left and now - one.left > self.lingers]:
            del self.guests[mac]

    def roams(self, now: int, device: Device) -> Iterator["Told"]:
        """Let a guest take another access point."""
        guest = self.guests[device.mac]
        former, guest.access_point = guest.access_point, guest.access_point % (len(NAMES) - 1) + 1
        self._over(now, guest, former)
        yield from self._station(guest, former, guest.access_point)
        self._begin(now, guest)

    def again(self, now: int) -> Iterator["Told"]:
        """The recorder has started again.

        The portal says who is logged in, the radios who is there, anew after a cut of power.
        """
        for guest in self.guests.values():
            if not guest.left:
                yield from self._station(guest, 0, guest.access_point)
            if guest.user:
                guest.logged_in = now
                guest.told = now if guest.told is None else guest.told
                yield Told(tape.CALL, _call("session", guest, user=guest.user))
            self._begin(now, guest)

    def lost(self) -> None:
        """The recorder was killed: nobody tells of stays that are under way, and what waited for room is no consent."""
        for guest in self.guests.values():
            guest.there = None
            if guest.unwritten:
                guest.state, guest.unwritten = WITHDRAWN, False
                self._unrefused.add(guest.consent)
                self.alive.discard(guest.consent)

    def written(self) -> None:
        """Flash has room again."""
        for guest in self.guests.values():
            guest.unwritten = False

    def stepped(self, step: int) -> None:
        """The clock was stepped by so many ns: a stay that is under way keeps its length."""
        for guest in self.guests.values():
            if guest.there is not None:
                guest.there = max(guest.there + (step + SECOND // 2) // SECOND, 0)

    def strayed(self) -> None:
        """The clock isn't trusted any more: of a stay that is under way nobody could tell the times (EXP-5)."""
        for guest in self.guests.values():
            guest.there = None

    def interrupted(self, now: int) -> None:
        """No stay is followed from now on."""
        for guest in self.guests.values():
            self._over(now, guest)

    def confirmed(self, now: int) -> None:
        """The clock is trusted: consents count from now on."""
        for guest in self.guests.values():
            self._begin(now, guest)

    def forget(self) -> None:
        """A cut of power: tmpfs is empty, consents are on flash."""
        self.lost()
        self.stays.clear()

    def reset(self) -> None:
        """Flash is emptied: nobody has consented to anything, and no act is noted."""
        self.alive.clear()
        self.acts.clear()
        for guest in self.guests.values():
            guest.state, guest.unwritten = WITHDRAWN if guest.state else "", False

    def copy(self) -> dict[bytes, tuple[int, str]]:
        """Return each guest's consent and its state, as a backup has them."""
        return {mac: (guest.consent, guest.state) for mac, guest in self.guests.items()}

    def restored(self, former: dict[bytes, tuple[int, str]]) -> None:
        """Consents lie there as in a copy: what was resumed since is suspended, a withdrawal stands (L34-VI-5)."""
        for mac, guest in self.guests.items():
            consent, state = former.get(mac, (0, ""))
            if consent in self._unrefused and state != WITHDRAWN:  # flash had no room for what stands against that
                guest.state = state
                self.alive.add(consent)
            elif guest.state == ACTIVE and (consent, state) == (guest.consent, SUSPENDED):
                guest.state = SUSPENDED

    def _station(self, guest: Guest, former: int, access_point: int) -> Iterator["Told"]:
        if self.purposes.consent:
            yield Told(tape.STATION, guest.device.mac + bytes((former, access_point)))

    def _log_in(self, now: int, guest: Guest) -> Iterator["Told"]:
        if guest.left:
            return
        self.gateway.at(now + _AGAIN, lambda later: self._log_in(later, guest))
        if self.gateway.hears():
            guest.logged_in = now if guest.logged_in is None else guest.logged_in
            guest.told = now if guest.told is None else guest.told
            yield Told(tape.CALL, _call("session", guest, user=guest.user))

    # What they say

    def _later(self, when: int, guest: Guest, act: Callable[[int, Guest], Iterator["Told"]]) -> None:
        def do(now: int) -> Iterator[Told]:
            if guest.left:
                return
            if self.gateway.hears() and self.gateway.trusted(now):
                yield from act(now, guest)
            else:
                self._later(now + _RETRY, guest, act)

        self.gateway.at(when, do)

    def grant(self, now: int, guest: Guest) -> Iterator["Told"]:
        """Consent to `services` and `location`; where flash has no room for it there is no consent (L34-V-4)."""
        words = {"purposes": PURPOSES, "categories": ["connections", "access-point"]}
        asked = _call("consent grant", guest, **words, third_parties="none", days=DAYS, text=SHOWN)
        if self.gateway.keeps():
            self._number += 1
            guest.consent, guest.state, guest.since = self._number, ACTIVE, self._second(now)
            self.alive.add(guest.consent)
            self.acts["grant"] += 1
        yield Told(tape.CALL, asked)
        self._begin(now, guest)

    def suspend(self, now: int, guest: Guest) -> Iterator["Told"]:
        """Suspend it; what was kept stays readable, nothing is added."""
        if guest.state == ACTIVE:
            self._over(now, guest)
            guest.state, guest.unwritten = SUSPENDED, not self.gateway.suspends()
            yield self._act("suspend", guest)

    def resume(self, now: int, guest: Guest) -> Iterator["Told"]:
        """Resume it: what happened meanwhile isn't made up for."""
        waits = any(one.unwritten for one in self.guests.values())  # whosever: it is written first
        if guest.state == SUSPENDED and not (self.gateway.suspends() if waits else self.gateway.keeps()):
            yield Told(tape.CALL, _call("consent resume", guest))
        elif guest.state == SUSPENDED:
            guest.state, guest.since, guest.unwritten = ACTIVE, self._second(now), False
            yield self._act("resume", guest)
            self._begin(now, guest)

    def withdraw(self, _now: int, guest: Guest) -> Iterator["Told"]:
        """Withdraw it: nothing that was kept under it may be read from now on."""
        if guest.state in (ACTIVE, SUSPENDED):
            guest.state, guest.there, guest.unwritten = WITHDRAWN, None, not self.gateway.suspends()
            self.alive.discard(guest.consent)
            self.stays = [stay for stay in self.stays if stay.consent != guest.consent]
            yield self._act("withdraw", guest)

    def erased(self, mac: bytes) -> None:
        """A terminal's consents end with its erasure: nothing that was kept under them may be read from now on."""
        guest = self.guests.get(mac)
        if guest is not None:
            list(self.withdraw(0, guest))  # nobody says it: it is a part of the erasure

    def _act(self, act: str, guest: Guest, **words: object) -> "Told":
        self.acts[act] += 1
        return Told(tape.CALL, _call(f"consent {act}", guest, **words))

    # What may be kept

    def _second(self, now: int) -> int:
        return self.gateway.wall(now) // SECOND

    def under(self, mac: bytes, start: int, now: int) -> int:
        """Return the consent that keeps a connection which began at `start` (ns, as stamped) and ends now, 0: none."""
        guest = self.guests.get(mac)
        if (
            guest is None
            or guest.state != ACTIVE
            or not self.gateway.trusted(now)
            or start <= (guest.since + 1) * SECOND
        ):
            return 0
        return guest.consent

    def user(self, mac: bytes, began: int) -> tuple[str, bool]:
        """Return who had logged in at a terminal when a connection began (true ns), and whether just then."""
        guest = self.guests.get(mac)
        if guest is None or guest.logged_in is None or began < guest.logged_in:
            return "", False
        return guest.user, began < guest.logged_in + YOUNG

    def once(self, mac: bytes, began: int) -> str:
        """Return the same of any recorder: what one wrote of a port block outlives it."""
        guest = self.guests.get(mac)
        return "" if guest is None or guest.told is None or began < guest.told else guest.user

    def _begin(self, now: int, guest: Guest) -> None:
        if (
            guest.state == ACTIVE
            and not guest.left
            and guest.there is None
            and self.gateway.trusted(now)
            and self.gateway.hears()
        ):
            guest.there = self._second(now)

    def _over(self, now: int, guest: Guest, access_point: int = 0) -> None:
        """A stay ends, its record is due; a short one may escape a radio that is asked each second."""
        if guest.there is not None and self.gateway.hears():
            name, end = NAMES[access_point or guest.access_point], self._second(now)
            self.stays.append(Stay(guest.consent, guest.device.mac, name, guest.there, end, end - guest.there > 2))
        guest.there = None


class Told(NamedTuple):
    """What the gateway is told now: an operation of the tape and its payload."""

    operation: int
    payload: bytes


def _call(name: str, guest: Guest, **words: object) -> bytes:
    mac = guest.device.mac.hex(":")
    return json.dumps({"v": 1, "call": name, "terminal": mac, **words}).encode()
