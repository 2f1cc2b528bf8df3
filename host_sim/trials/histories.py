# SPDX-License-Identifier: Apache-2.0
"""Clock histories: clocks that lie, jump and die, and what must hold of the buffer (EXP-1, EXP-4, EXP-5).

A history is drawn from its seed: boots at the right time, at 1970, at 2099 or at a time of long ago, a quartz that is
wrong by up to 100 ppm, an honest time service and a forged one, steps back and forward by root, suspends, restarts of
the process in order and by SIGKILL, cuts of power. Connections end all the while; the kernel stamps them with the wall
clock of that moment and tells of them up to 50 s after their timeout, which is 30 s or two hours. The recorder is the
real one. After each step the vault is opened as a thief with the files would. Each record's *true* end is known,
whatever its stamps say:

- no record opens past its true end plus the lifetime, but for what the quartz is wrong by;
- none is gone before a window's width less than that, unless a counter says so; a stamp that several time lines can
  have made counts as the oldest of its readings within three minutes, and only such a record may go earlier, by no more
  than the difference;
- the clock is trusted only where two confirmations agreed, at least ten minutes of the same boot apart, and it was not
  stepped by more than a day since; a step of more than a day destroys nothing by itself;
- the ledger's high-water mark moves only while the clock is trusted; powered-on hours are never fewer than they were as
  expiry reads them, and never more as tokens read them.
"""

import json
import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

from agent.vault import reading
from host_sim.driver.scratch import scratch
from host_sim.trials.devices import Device, Here
from host_sim.venue import kernel

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
YEAR = 365 * DAY
BEGINS = 1_800_000_000 * SECOND
LAZINESS = 50 * SECOND  # of the kernel's garbage collection
# Protocol, state and timeout of an entry
UDP, TCP = (kernel.UDP, 0, 30 * SECOND), (kernel.TCP, kernel.ESTABLISHED, 7440 * SECOND)
PPM = 100  # how wrong a quartz may be
AHEAD = 2 * SECOND  # by which the recorder's timers run ahead
WOBBLE = 2 * SECOND  # by which the wall clock may be ahead of the time since boot, its quartz apart, without a word
AGREE, APART = 2 * SECOND, 600 * SECOND  # EXP-5
DELIVERY = 180 * SECOND  # within which the kernel tells of an end, as the recorder takes it
HELD_UP = 10 * SECOND  # more between two looks, and what was told meanwhile may be as much older
LINES = 16  # time lines that a device remembers
SLEWED = SECOND // 2  # less between two looks is no step
# Lifetime, window
LIFETIMES = {"20m": (20 * MINUTE, MINUTE), "2h": (2 * HOUR, MINUTE), "24h": (DAY, HOUR), "7d": (7 * DAY, HOUR)}
AMOUNTS = [10 * SECOND, 2 * MINUTE, HOUR, 23 * HOUR, 10 * DAY, 5 * YEAR]  # of steps, at most
STEPS = 20
COUNT = 20_000  # as many as are lived where there is time enough
_OWN = b"\xc0\xa8\x01\x01"
_ADDRESS, _SERVER, _WAN = b"\xc0\xa8\x01\x0a", b"\xc6\x12\x00\x01", b"\xcb\x00\x71\x01"


class HistoryError(Exception):
    """What must never be false was false; the text says what, with the seed of the history."""


class History:
    """One device's life. `t` is the true time in ns; everything else is what the device makes of it."""

    def __init__(self, seed: int, root: Path, device: Device, steps: int = STEPS) -> None:
        self.draw = draw = Random(seed)
        self.seed, self.root, self.device, self.count = seed, root, device, steps
        self.t = self.booted = self.begun = BEGINS + draw.randrange(YEAR)
        self.text = draw.choice(list(LIFETIMES))
        self.lifetime, self.width = LIFETIMES[self.text]
        self.ppm = draw.randint(-PPM, PPM)
        self.config = root / "config"
        self.config.write_text(
            "config gateway\n option id 'aaaaaaaaaaaaaaaa'\nconfig summary\n option rows '64'\n"
            f"config purpose 'security'\n option lifetime '{self.text}'\n option budget '1048576'\n"
        )
        self.boot = 0
        # From when (true), wall clock minus time since boot: the kernel's stamps
        self.lines: list[tuple[int, int]] = []
        self.ended: dict[int, int] = {}  # connections of this boot by number: when they truly ended
        self.doubt: dict[int, int] = {}  # by how much longer ago another reading of its stamp puts that
        # Time lines as a device can know them, from its looks: since boot from
        # and to, wall clock minus time since boot.
        self.known: list[list[int]] = []
        self.looked = 0  # since boot
        self.late = self.late_until = 0  # by how much older what is told before then may be
        self.confirmed: list[tuple[int, int]] = []  # time since boot, offset: what the time service said in this boot
        self.stepped = False  # in this boot
        self.powered = 0  # ns by the device's own clock, over all former boots
        self.high = self.clock_losses = 0
        self.said: list[str] = []  # the steps taken, for whoever looks into a failure
        self.looks = self.late = 0

    # Clocks

    def since(self, at: int) -> int:
        """Return the time since boot at a true time."""
        return (at - self.booted) * (1_000_000 + self.ppm) // 1_000_000

    def wall(self, at: int) -> int:
        """Return what the wall clock showed at a true time of this boot."""
        offset = next(offset for begun, offset in reversed(self.lines) if begun <= at or begun == self.booted)
        return self.since(at) + offset

    def show(self, wall: int) -> None:
        """Set the wall clock."""
        if self.lines and abs(wall - self.wall(self.t)) >= SECOND // 2:
            self.stepped = True
        self.lines.append((self.t, wall - self.since(self.t)))

    # Steps

    def run(self) -> None:
        """Live the history; HistoryError where something is false."""
        self.power_on(first=True)
        choices = [
            (self.traffic, 30), (self.wait, 22), (self.sleep, 6), (self.honest, 8), (self.trust, 10), (self.forged, 4),
            (self.step, 12), (self.restart, 6), (self.reboot, 5),
        ]  # fmt: skip
        makers, weights = zip(*choices, strict=True)
        for _ in range(self.count):
            (make,) = self.draw.choices(makers, weights)
            self.said.append(make.__name__)
            make()
        self.wait_for_deadlines()
        self.device.close()

    def power_on(self, *, first: bool = False) -> None:
        """Boot: tmpfs is empty, the wall clock shows what it can."""
        self.boot += 1
        self.booted, self.lines, self.confirmed, self.stepped = self.t, [], [], False
        shutil.rmtree(self.root / "var", ignore_errors=True)
        self.ended.clear()
        self.doubt.clear()
        self.known, self.looked = [], 0
        self.late = self.late_until = 0
        self.clock_losses = 0
        shown = [
            self.t,
            self.draw.randrange(100) * SECOND,
            self.begun - self.draw.randrange(YEAR),
            4_070_908_800 * SECOND,
        ]
        self.show(self.draw.choices(shown, (3, 3, 3, 1))[0])
        self.t += self.draw.randint(1, 60) * SECOND
        self.start()
        if first:
            self.honest()

    def start(self) -> None:
        """Start the process."""
        self.device.open(self.config, self.root, f"{self.boot:032x}", self.wall(self.t), self.since(self.t))
        neighbour = kernel.neighbour(kernel.Neighbour(_ADDRESS, b"\2\0\0\0\0\1"))
        self.look(*(["neighbour", told.hex()] for told in (kernel.link("lan"), kernel.address(_OWN, 24), neighbour)))
        self.late_until = 0

    def pass_time(self, span: int) -> None:
        """Let true time pass with the timers running."""
        self.t += span
        self.look()

    def wait(self) -> None:
        """Nothing happens for seconds, minutes, hours or days; the timers run now and then."""
        longest = self.draw.choice([MINUTE, 20 * MINUTE, 3 * HOUR, 2 * DAY])
        end = self.t + self.draw.randrange(SECOND, longest)
        while self.t < end:
            self.pass_time(min(end - self.t, max(longest // 3, SECOND)))

    def wait_for_deadlines(self) -> None:
        """Be there when each record that is left must have gone."""
        for end in sorted(self.ended.values()):
            deadline = end + self.lifetime + self.lifetime * PPM // 1_000_000 + SECOND
            if deadline > self.t:
                self.pass_time(deadline - self.t)

    def sleep(self) -> None:
        """Suspended: no timer runs, both clocks go on."""
        self.pass_time(self.draw.randrange(MINUTE, DAY))

    def traffic(self) -> None:
        """Some connections end, and the kernel tells of them."""
        for _ in range(self.draw.randint(1, 4)):
            kind = self.draw.choices((UDP, TCP), (2, 1))[0]
            end = self.t - kind[2] - self.draw.randrange(LAZINESS)
            self.end(end - self.draw.choice([0, SECOND, 5 * MINUTE, 4 * HOUR]), end, kind)
        self.t += SECOND

    def end(self, start: int, end: int, kind: tuple[int, int, int] = UDP) -> None:
        """Let the kernel tell of a connection, from first packet to last; of none that began before the boot."""
        if start < self.booted:
            return
        protocol, state, timeout = kind
        number = len(self.ended) + 1
        self.ended[number] = end
        self.doubt[number] = self.older(end + timeout)
        flow = kernel.Flow(
            kernel.INET, protocol, _ADDRESS, _SERVER, 40000, 443, _SERVER, _WAN, 443, 40000, kernel.SEEN_REPLY,
            self.wall(start), packets_up=1, packets_down=1, bytes_up=number, bytes_down=1,
            stop=self.wall(end + timeout), state=state,
        )  # fmt: skip
        self.look(["datagram", kernel.conntrack("destroy", flow).hex()])

    def older(self, at: int) -> int:
        """Return by how much longer ago a device may put what the kernel stamps at a true time and tells of now."""
        now, stamp = self.since(self.t), self.wall(at)
        self.note_line()
        told = max(now - DELIVERY - (self.late if now < self.late_until else 0), 0)
        lines = self.known[-LINES:]
        readings = [stamp - offset for begun, over, offset in lines if begun <= stamp - offset <= min(over, now)]
        readings = [reading for reading in readings if reading >= told] or readings or [told]
        if len(self.known) > LINES and lines[0][0] > told:
            readings.append(told)
        return max(self.since(at) - min(readings), 0)

    def note_line(self) -> None:
        """Take note of the time line as a device does that looks now."""
        now, offset = self.since(self.t), self.wall(self.t) - self.since(self.t)
        if now - self.looked > HELD_UP:
            self.late, self.late_until = now - self.looked, now + DELIVERY
        if self.known and abs(offset - self.known[-1][2]) <= SLEWED:
            self.known[-1][2] = offset
        else:
            if self.known:
                self.known[-1][1] = now
            self.known.append([self.looked, YEAR * 1000, offset])
        self.looked = now

    def confirm(self) -> None:
        """Let the time service say that the wall clock is right."""
        self.look()
        if self.wall(self.t) // SECOND >= self.high:  # a time that is over is refused
            self.confirmed.append((self.since(self.t), self.lines[-1][1]))
        self.look(["confirm"])

    def honest(self) -> None:
        """The time service sets the clock right and says so."""
        self.move(self.t + self.draw.randint(-20, 20) * SECOND // 1000)
        self.confirm()

    def trust(self) -> None:
        """The time service sets the clock right and says so twice."""
        self.honest()
        self.pass_time(self.draw.randrange(590, 900) * SECOND)
        self.confirm()

    def forged(self) -> None:
        """Somebody forges the time service."""
        self.move(max(self.wall(self.t) + self.amount(), 0))
        for _ in range(self.draw.randint(1, 2)):
            self.confirm()
            self.pass_time(self.draw.randrange(300, 900) * SECOND)

    def step(self) -> None:
        """Root steps the clock, now and then while the kernel has something to tell."""
        self.move(max(self.draw.choice([self.wall(self.t) + self.amount(), SECOND, 4_070_908_800 * SECOND, self.t]), 0))
        if self.draw.random() < 0.5:
            self.traffic()

    def amount(self) -> int:
        """Return a step, forward or back."""
        return self.draw.choice([-1, 1]) * self.draw.randrange(self.draw.choice(AMOUNTS))

    def move(self, wall: int) -> None:
        """Step the clock.

        Where that is by more than a day since the last confirmation it destroys nothing by itself.
        """
        self.look()
        before = self.readable()
        trusted = self.trusted
        self.show(wall)
        self.look()
        if trusted and abs(self.lines[-1][1] - self.confirmed[-1][1]) > DAY:
            if self.trusted:
                self.fail("trusted after a step of more than a day")
            gone = [number for number in before - self.readable() if self.early(number)]
            if gone:
                self.fail(f"a step of more than a day destroyed {len(gone)} records")

    def restart(self) -> None:
        """The process ends, in order or by SIGKILL, and starts again."""
        if self.draw.random() < 0.5:
            self.device.close()
        else:
            self.device.kill()
        trusted = self.trusted
        self.t += self.draw.randrange(5 * MINUTE)
        if self.draw.random() < 0.3:
            self.show(max(self.wall(self.t) + self.amount(), 0))
            trusted = trusted and abs(self.lines[-1][1] - self.confirmed[-1][1]) <= DAY
        self.start()
        if trusted != self.trusted:
            self.fail(f"trust before a restart of the process was {trusted}, after it {self.trusted}")

    def reboot(self) -> None:
        """A cut of power, now and then after every deadline; it comes back after a while."""
        if self.draw.random() < 0.5:
            self.wait_for_deadlines()
        self.device.kill()
        self.powered += self.since(self.t)
        self.t += self.draw.randrange(self.draw.choice([MINUTE, DAY, 30 * DAY]))
        self.power_on()

    # What must hold

    def look(self, *steps: list[Any]) -> None:
        """Take steps at the present time, then compare the device with the truth."""
        self.note_line()
        status = self.device.steps(["time", self.wall(self.t), self.since(self.t)], *steps)
        self.trusted = status["clock"] == "trusted"
        self.looks += 1
        if self.trusted and not self.may_trust():
            self.fail("trusted without two confirmations that agree")
        lost = status["counters"]
        self.compare(lost["lost: clock"] + lost["due on arrival"])
        unkept = lost["connections"] - lost["kept"] - lost["due on arrival"]
        if not 0 <= unkept <= lost["lost: clock"] or lost["lost: store"] or lost["malformed"]:
            self.fail("the counters don't add up")
        self.ledger()

    def may_trust(self) -> bool:
        """Return True if two confirmations of this boot agree, and no step of over a day came since the last."""
        pairs = [
            (one, other)
            for place, one in enumerate(self.confirmed)
            for other in self.confirmed[place + 1 :]
            if other[0] - one[0] >= APART and abs(other[1] - one[1]) <= AGREE
        ]
        return bool(pairs) and abs(self.lines[-1][1] - self.confirmed[-1][1]) <= DAY

    def readable(self) -> set[int]:
        """Return the records that a thief opens whose clocks show what he likes."""
        return {record.bytes_up for record in reading.read(str(self.root), "security", 0, 0)}

    def early(self, number: int) -> bool:
        """Return True if a record is gone too early: by over a window, quartz, wobble and doubt about its stamp."""
        slack = self.width + AHEAD + WOBBLE + 2 * self.lifetime * PPM // 1_000_000 + self.doubt[number]
        return self.t - self.ended[number] < self.lifetime - slack

    def compare(self, explained: int) -> None:
        """Hold what opens against the true ages; `explained`: how many records the device says it lost."""
        found = self.readable()
        for number in found:
            over = self.t - self.ended[number] - self.lifetime
            if over >= 0:
                self.late = max(self.late, over)
            if over > self.lifetime * PPM // 1_000_000:
                self.fail(f"a record opens {over / SECOND:.1f} s past its deadline")
        missing = [number for number in self.ended if number not in found and self.early(number)]
        if missing and not self.stepped:
            self.fail(f"{len(missing)} records are gone before their time, with a clock that was never stepped")
        if len(missing) > explained:
            self.fail(f"{len(missing)} records are gone before their time, {explained} are said to be")

    def ledger(self) -> None:
        """Hold the ledger against the hours that the device was on, and its high-water mark against trust."""
        values = json.loads((self.root / "srv/oubli/ledger").read_text())
        on = self.powered + self.since(self.t)
        if (values["hours"] + values["uncounted"]) * HOUR < on:
            self.fail("fewer powered-on hours than there were, as expiry reads them")
        if values["hours"] * HOUR > on:
            self.fail("more powered-on hours than there were, as tokens read them")
        if values["high_water"] < self.high or (values["high_water"] > self.high and not self.trusted):
            self.fail("the high-water mark fell, or moved without trust")
        self.high = values["high_water"]

    def fail(self, what: str) -> None:
        """Raise it."""
        message = f"history {self.seed} ({self.text}): {what}; steps: {' '.join(self.said)}"
        raise HistoryError(message)


def live(seed: int, device: Device, folder: Path, steps: int = STEPS) -> History:
    """Live one history in a folder that is emptied first; returns it. HistoryError where something was false."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    history = History(seed, folder, device, steps)
    history.run()
    return history


def soak(seed: int, seconds: float, count: int = COUNT) -> dict[str, Any]:
    """Live so many histories, or for so long, beginning with a seed; returns the figures, with what was found."""
    draw, end = Random(seed), time.monotonic() + seconds
    figures: dict[str, Any] = {"histories": 0, "looks": 0, "latest_s": 0.0, "findings": []}
    with scratch("oubli-sim-") as folder:
        while figures["histories"] < count and time.monotonic() < end:
            try:
                history = live(draw.randrange(1 << 48), Here(), Path(folder) / "device")
            except HistoryError as failure:
                figures["findings"].append(str(failure))
            else:
                figures["looks"] += history.looks
                figures["latest_s"] = max(figures["latest_s"], history.late / SECOND)
            figures["histories"] += 1
    return figures
