# SPDX-License-Identifier: Apache-2.0
"""Consents on a device with old backups, stepped clocks and cuts of power, lived as random histories (L34-VI-5).

A history is drawn from its seed. Guests consent, suspend, resume, withdraw, one purpose or all, object and take that
back. Time passes, is stepped back and forward, isn't trusted for a while. Power is cut before any operation on flash or
in the midst of a sync. The process starts anew. All the while somebody copies what lies on flash, and puts an older
copy back, running or not: the folder of consents in the place of the present one or over it, a single file, the
device's key, the ledger, or everything. Now and then the key is lost. It is the agent's own code over
`host_sim.faults.flash`. After each step:

- no consent is active that was withdrawn, whole or for this purpose, or has ended, and none
  that was suspended and not resumed since;
- who objects, and hasn't taken it back, isn't counted, for as long as the device's key is the same;
- as long as nothing was put back and no key was lost, whoever consented is
  followed until the end: it isn't all refused.

What a cut of power left in doubt, because nobody had been told, may be either. Not tried: a flash that is put back
octet for octet, with what is there removed first. Nothing on it can tell that from the day of the copy (LIMITS.md).
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from agent.control.calls import Refused
from agent.purposes.consent.kept_consents import OBJECTION
from host_sim.faults.flash import PowerCut
from host_sim.trials.consents_device import FOLDER, KEY, LEDGER, ConsentsDevice, own_files
from host_sim.trials.held_records import HistoryError

COUNT = 10_000  # as many as are lived where there is time enough
STEPS = 80
MINUTE, HOUR, DAY = 60, 3600, 86400
BEGINS = 1_800_000_000
MACS = [bytes((2, 0, 0, 0, 0, number)) for number in range(3)]
CATEGORY = {"services": "connections", "location": "access-point"}


class Given:
    """One consent, and what its guest was told: `over` for which purposes, `paused` None where that is in doubt."""

    def __init__(self, mac: bytes, purposes: list[str], end: int) -> None:
        self.mac, self.purposes, self.end = mac, purposes, end
        self.over: set[str] = set()
        self.doubt = False  # of anything but what is over
        self.paused = False


class History:
    """One device's life on a flash that is mounted."""

    def __init__(self, seed: int, steps: int = STEPS) -> None:
        self.seed, self.steps, self.draw = seed, steps, random.Random(seed)
        self.device = ConsentsDevice(seed, self.draw)
        self.wall, self.trusted, self.latest = BEGINS, True, BEGINS
        self.given: list[Given] = []
        self.at: dict[int, int] = {}  # which consent stands at a place, as the running process has it
        self.objecting: dict[tuple[bytes, bytes], int] = {}  # (key, MAC): since when
        self.backups: list[dict[str, bytes]] = []
        self.touched = False  # something was put back, or the key is lost
        self.said: list[str] = []
        self.restores = self.followed = 0

    def now(self) -> int | None:
        """Return the present second as the recorder has it."""
        return self.wall if self.trusted and self.wall >= self.device.ledger["high_water"] else None

    def boot(self) -> None:
        """Start the process: which consents it knows is what it says."""
        self.device.boot()
        self.at = {
            one["number"]: int(one["text"], 16)
            for mac in MACS
            for one in self.device.consents.of_terminal(mac, None)
            if one["text"]
        }

    # Steps

    def run(self) -> None:
        """Live it; HistoryError where something is false."""
        try:
            self._run()
        except HistoryError as failure:
            raise HistoryError(f"history {self.seed}: {failure}; steps: {' '.join(self.said)}") from None
        finally:
            self.device.stop()

    def _run(self) -> None:
        acts: list[tuple[Callable[[], None], int]] = [
            (self.grant, 6), (self.withdraw, 4), (self.suspend, 3), (self.resume, 3), (self.object, 1),
            (self.accept, 1), (self.tick, 5), (self.hour, 3), (self.step, 6), (self.trust, 1), (self.start, 2),
            (self.copy, 4), (self.restore, 5), (self.lose_key, 1 if self.seed % 4 == 0 else 0),
        ]  # fmt: skip
        makers, weights = zip(*acts, strict=True)
        self.boot()
        for _ in range(self.steps):
            (act,) = self.draw.choices(makers, weights)
            self.said.append(act.__name__)
            flash = self.device.flash
            flash.cut_at = flash.operations + self.draw.randint(1, 9) if self.draw.random() < 0.15 else 0
            try:
                act()
            except (Refused, OSError):
                pass  # OSError: the file of a consent was taken away under the process
            except PowerCut:
                self.said.append("cut")
                self.device.cut()
                self.boot()
            self.look()

    def mine(self, mac: bytes) -> Iterator[Given]:
        """Yield the consents of a terminal that the running process knows."""
        return (self.given[number] for number in self.at.values() if self.given[number].mac == mac)

    def grant(self) -> None:
        """Consent to one purpose or both."""
        mac, now = self.draw.choice(MACS), self.now()
        purposes = self.draw.choice([["services"], ["location"], ["services", "location"]])
        end = (now or self.wall) + self.draw.choice([HOUR, DAY, 20 * DAY])
        number = len(self.given)
        one = Given(mac, purposes, end)
        one.doubt = True
        self.given.append(one)
        categories = [CATEGORY[name] for name in purposes]
        self.at[self.device.consents.grant(mac, purposes, categories, "none", end, number.to_bytes(32, "big"), now)] = (
            number
        )
        one.doubt = False

    def withdraw(self) -> None:
        """Withdraw one purpose or all of it."""
        mac, purpose = self.draw.choice(MACS), self.draw.choice([None, "services", "location"])
        places = self.device.consents.withdraw(mac, self.now(), purpose)
        mine = [self.given[self.at[place]] for place in places if place in self.at]
        for one in mine:
            one.doubt = True
        if self.device.consents.flush():
            for one in mine:
                one.over |= {purpose} if purpose else {*one.purposes}

    def suspend(self) -> None:
        """Suspend."""
        self._suspend(self.draw.choice(MACS))

    def _suspend(self, mac: bytes) -> None:
        mine = [
            self.given[self.at[place]] for place in self.device.consents.suspend(mac, self.now()) if place in self.at
        ]
        for one in mine:
            one.doubt = True
        if self.device.consents.flush():
            for one in mine:
                one.paused = True

    def resume(self) -> None:
        """Resume."""
        mac = self.draw.choice(MACS)
        for one in self.mine(mac):
            if one.paused:
                one.paused, one.doubt = False, True
        self.device.consents.resume(mac, self.now())

    def object(self) -> None:
        """Object to being counted; consents are suspended with it, as the recorder does."""
        mac = self.draw.choice(MACS)
        self.device.consents.object(mac, self.now())
        self._suspend(mac)
        if self.device.consents.flush():
            self.objecting.setdefault((self.device.sealed, mac), self.latest)

    def accept(self) -> None:
        """Take an objection back."""
        mac = self.draw.choice(MACS)
        if self.device.consents.objects(mac):
            since = self.objecting.pop((self.device.sealed, mac), None)
            try:
                self.device.consents.accept(mac, self.now())
            except Refused:
                if since is not None:
                    self.objecting[self.device.sealed, mac] = since
                raise

    def tick(self) -> None:
        """Look at the ends."""
        now = self.now()
        self.device.consents.tick(now)
        if now is not None and self.device.consents.flush():
            for number in self.at.values():
                if now >= self.given[number].end:
                    self.given[number].over |= {*CATEGORY}

    def hour(self) -> None:
        """Count a powered-on hour: the time that is reached is on flash.

        The recorder notes before that what has ended (Consented.tick).
        """
        now = self.now()
        if self.device.consents.due(now):
            self.device.consents.tick(now)
        self.device.ledger.hour(now or 0)
        for one in self.given:
            if now is not None and now >= one.end:
                one.over |= {*CATEGORY}

    def step(self) -> None:
        """Let time pass, or step the clock."""
        self.wall += self.draw.choice([MINUTE, HOUR, DAY, 40 * DAY, -HOUR, -3 * DAY])
        self.latest = max(self.latest, self.wall)

    def trust(self) -> None:
        """Trust the clock, or no more."""
        self.trusted = self.draw.random() < 0.7

    def start(self) -> None:
        """End the process and start it anew."""
        self.boot()

    # Backups

    def copy(self) -> None:
        """Copy all that lies on flash."""
        self.backups.append(self.device.copy())

    def restore(self) -> None:
        """Put an older copy back, or a part of it, and start anew, or go on."""
        if not self.backups:
            return
        self.touched = True
        self.restores += 1
        backup = self.draw.choice(self.backups)
        how = self.draw.choice(["whole", "over", "file", "file", "key", "ledger", "everything"])
        self.said.append(how)
        off = self.draw.random() < 0.7
        if off:
            self.device.stop()
        consents = [name for name in backup if name.startswith(FOLDER + "/")]
        chosen = {
            "whole": consents, "over": consents, "file": consents and [self.draw.choice(consents)],
            "key": [name for name in backup if name == KEY], "ledger": [name for name in backup if name == LEDGER],
            "everything": [*backup],
        }[how]  # fmt: skip
        if how == "whole":
            for name in [name for name in self.device.flash.names if name.startswith(FOLDER + "/")]:
                self.device.remove(name)
        for name in chosen:
            self.device.put(name, backup[name])
        if off:
            self.boot()

    def lose_key(self) -> None:
        """Remove the device's key while it is off: the next start makes another one."""
        self.touched = True
        self.device.stop()
        self.device.remove(KEY)
        self.boot()

    # What must hold

    def look(self) -> None:
        """Hold what the device would do now against what the guests were told."""
        consents, now = self.device.consents, self.now()
        for mac in MACS:
            for purpose in CATEGORY:
                place = consents.active(mac, purpose, now)
                if place < 0:
                    continue
                self.followed += 1
                one = self.given[self.at[place]] if place in self.at else None
                if one is None or one.mac != mac or purpose not in one.purposes:
                    raise HistoryError("somebody is followed who never consented to it")
                if purpose in one.over:
                    raise HistoryError("a consent is active that was withdrawn or has ended")
                if one.paused:
                    raise HistoryError("a consent is active that was suspended")
            since = self.objecting.get((self.device.sealed, mac))
            if since is not None and self.latest < since + OBJECTION - 60 * DAY and not consents.objects(mac):
                raise HistoryError("somebody is counted who objects")
        if self.touched or now is None:
            return
        for one in self.given:
            if not (one.over or one.doubt or one.paused or self.latest >= one.end):
                for purpose in one.purposes:
                    if consents.active(one.mac, purpose, now) < 0:
                        raise HistoryError("somebody isn't followed who consents")


def live(seed: int, steps: int = STEPS) -> History:
    """Live one history; returns it. HistoryError where something was false."""
    with own_files():
        history = History(seed, steps)
        history.run()
    return history


def soak(seed: int, seconds: float, count: int = COUNT) -> dict[str, Any]:
    """Live so many histories, or for so long, beginning with a seed; returns the figures, with what was found."""
    draw, end = random.Random(seed), time.monotonic() + seconds
    figures: dict[str, Any] = {"histories": 0, "cuts": 0, "restores": 0, "followed": 0, "findings": []}
    while figures["histories"] < count and time.monotonic() < end:
        try:
            history = live(draw.randrange(1 << 31))
        except HistoryError as failure:
            figures["findings"].append(str(failure))
        else:
            figures["cuts"] += history.device.cuts
            figures["restores"] += history.restores
            figures["followed"] += history.followed
        figures["histories"] += 1
    return figures
