# SPDX-License-Identifier: Apache-2.0
"""Clock histories: clocks that lie, jump and die, and what must hold of the buffer (EXP-1, EXP-4, EXP-5).

A history is drawn from its seed. It boots at the right time, at 1970, at 2099 or at a time of long ago. Its quartz is
wrong by up to 100 ppm, and beside the honest time service there is a forged one. Root steps the clock back and forward;
the device is suspended, and loses power. The process is restarted in order and by SIGKILL. Connections end all the
while; the kernel tells of them up to 50 s after their timeout, which is 30 s or two hours. It stamps that by the wall
clock of when it tells. The recorder is the real one. After each step the vault is opened as a thief with the files
would. Each record's *true* end is known, whatever its stamps say:

- no record opens past its true end plus the lifetime, but for what the quartz is wrong by;
- none is gone before a window's width less than that, unless a counter says so; a stamp that several time lines can
  have made counts as the oldest of its readings within three minutes; only such a record may go earlier, by no more
  than the difference;
- the clock is trusted only where two confirmations agreed, at least ten minutes of the same boot apart; it was not
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

from host_sim.driver.scratch import scratch
from host_sim.trials.devices import Device, Here
from host_sim.trials.held_records import LIFETIMES, PPM, HeldRecords, HistoryError
from host_sim.trials.lying_clocks import SECOND, YEAR, LyingClocks
from host_sim.venue import kernel

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
BEGINS = 1_800_000_000 * SECOND
LAZINESS = 50 * SECOND  # of the kernel's garbage collection
# Protocol, state and timeout of an entry
UDP, TCP = (kernel.UDP, 0, 30 * SECOND), (kernel.TCP, kernel.ESTABLISHED, 7440 * SECOND)
AGREE, APART = 2 * SECOND, 600 * SECOND  # EXP-5
AMOUNTS = [10 * SECOND, 2 * MINUTE, HOUR, 23 * HOUR, 10 * DAY, 5 * YEAR]  # of steps, at most
STEPS = 20
COUNT = 20_000  # as many as are lived where there is time enough
_OWN = b"\xc0\xa8\x01\x01"
_ADDRESS, _SERVER, _WAN = b"\xc0\xa8\x01\x0a", b"\xc6\x12\x00\x01", b"\xcb\x00\x71\x01"


class History:
    """One device's life."""

    def __init__(self, seed: int, root: Path, device: Device) -> None:
        self.draw = draw = Random(seed)
        self.seed, self.root, self.device = seed, root, device
        self.begun = BEGINS + draw.randrange(YEAR)
        self.text = draw.choice(list(LIFETIMES))
        self.clocks = LyingClocks(self.begun, draw.randint(-PPM, PPM))
        self.records = HeldRecords(root, self.text, self.clocks)
        self.boot = 0
        self.confirmed: list[tuple[int, int]] = []  # time since boot, offset: what the time service said in this boot
        self.trusted = False
        self.powered = 0  # ns by the device's own clock, over all former boots
        self.high = 0  # the ledger's high-water mark
        self.said: list[str] = []  # the steps taken, for whoever looks into a failure
        self.looks = 0

    # Steps

    def run(self, steps: int = STEPS) -> None:
        """Live the history; HistoryError where something is false."""
        try:
            self._run(steps)
        except HistoryError as failure:
            message = f"history {self.seed} ({self.text}): {failure}; steps: {' '.join(self.said)}"
            raise HistoryError(message) from None

    def _run(self, steps: int) -> None:
        self.power_on(first=True)
        choices = [
            (self.traffic, 30), (self.wait, 22), (self.sleep, 6), (self.honest, 8), (self.trust, 10), (self.forged, 4),
            (self.step, 12), (self.restart, 6), (self.reboot, 5),
        ]  # fmt: skip
        makers, weights = zip(*choices, strict=True)
        for _ in range(steps):
            (make,) = self.draw.choices(makers, weights)
            self.said.append(make.__name__)
            make()
        self.wait_for_deadlines()
        self.device.close()

    def power_on(self, *, first: bool = False) -> None:
        """Boot: tmpfs is empty, the wall clock shows what it can."""
        self.boot += 1
        self.confirmed = []
        self.clocks.boot()
        self.records.boot()
        shutil.rmtree(self.root / "var", ignore_errors=True)
        shown = [
            self.clocks.t,
            self.draw.randrange(100) * SECOND,
            self.begun - self.draw.randrange(YEAR),
            4_070_908_800 * SECOND,
        ]
        self.clocks.show(self.draw.choices(shown, (3, 3, 3, 1))[0])
        self.clocks.t += self.draw.randint(1, 60) * SECOND
        self.start()
        if first:
            self.honest()

    def start(self) -> None:
        """Start the process."""
        config = self.root / "config"
        config.write_text(
            "config gateway\n option id 'aaaaaaaaaaaaaaaa'\nconfig summary\n option rows '64'\n"
            f"config purpose 'security'\n option lifetime '{self.text}'\n option budget '1048576'\n"
        )
        self.device.open(config, self.root, f"{self.boot:032x}", self.clocks.shown, self.clocks.up)
        neighbour = kernel.neighbour(kernel.Neighbour(_ADDRESS, b"\2\0\0\0\0\1"))
        self.look(*(["neighbour", told.hex()] for told in (kernel.link("lan"), kernel.address(_OWN, 24), neighbour)))
        self.clocks.start()

    def pass_time(self, span: int) -> None:
        """Let true time pass with the timers running."""
        self.clocks.t += span
        self.look()

    def wait(self) -> None:
        """Nothing happens for seconds, minutes, hours or days; the timers run now and then."""
        longest = self.draw.choice([MINUTE, 20 * MINUTE, 3 * HOUR, 2 * DAY])
        end = self.clocks.t + self.draw.randrange(SECOND, longest)
        while self.clocks.t < end:
            self.pass_time(min(end - self.clocks.t, max(longest // 3, SECOND)))

    def wait_for_deadlines(self) -> None:
        """Be there when each record that is left must have gone."""
        for deadline in self.records.deadlines():
            if deadline > self.clocks.t:
                self.pass_time(deadline - self.clocks.t)

    def sleep(self) -> None:
        """Suspended: no timer runs, both clocks go on."""
        self.pass_time(self.draw.randrange(MINUTE, DAY))

    def traffic(self) -> None:
        """Some connections end, and the kernel tells of them."""
        for _ in range(self.draw.randint(1, 4)):
            kind = self.draw.choices((UDP, TCP), (2, 1))[0]
            end = self.clocks.t - kind[2] - self.draw.randrange(LAZINESS)
            self.end(end - self.draw.choice([0, SECOND, 5 * MINUTE, 4 * HOUR]), end, kind)
        self.clocks.t += SECOND

    def end(self, start: int, end: int, kind: tuple[int, int, int] = UDP, told: int | None = None) -> None:
        """Let the kernel tell of a connection, from first packet to last; of none that began before the boot.

        `told` is when it does: what is read now may have waited.
        """
        if start < self.clocks.booted:
            return
        protocol, state, timeout = kind
        told = told or self.draw.choice((end + timeout, self.clocks.t))
        number = self.records.add(end, end + timeout, told)
        if kind is TCP and start <= self.clocks.listened + 2 * SECOND:
            # What began before (steps that aren't noticed apart) may have lived under the kernel's longer default
            self.records.doubt[number] += end - start
        flow = kernel.Flow(
            kernel.INET, protocol, _ADDRESS, _SERVER, 40000, 443, _SERVER, _WAN, 443, 40000, kernel.SEEN_REPLY,
            self.clocks.wall(start), packets_up=1, packets_down=1, bytes_up=number, bytes_down=1,
            stop=self.clocks.stamp(end + timeout, told), state=state,
        )  # fmt: skip
        self.look(["datagram", kernel.conntrack("destroy", flow).hex()])

    def confirm(self) -> None:
        """Let the time service say that the wall clock is right."""
        self.look()
        if self.clocks.shown // SECOND >= self.high:  # a time that is over is refused
            self.confirmed.append((self.clocks.up, self.clocks.offset))
        self.look(["confirm"])

    def honest(self) -> None:
        """The time service sets the clock right and says so."""
        self.move(self.clocks.t + self.draw.randint(-20, 20) * SECOND // 1000)
        self.confirm()

    def trust(self) -> None:
        """The time service sets the clock right and says so twice."""
        self.honest()
        self.pass_time(self.draw.randrange(590, 900) * SECOND)
        self.confirm()

    def forged(self) -> None:
        """Somebody forges the time service."""
        self.move(max(self.clocks.shown + self.amount(), 0))
        for _ in range(self.draw.randint(1, 2)):
            self.confirm()
            self.pass_time(self.draw.randrange(300, 900) * SECOND)

    def step(self) -> None:
        """Root steps the clock, now and then while the kernel has something to tell."""
        self.move(
            max(
                self.draw.choice([self.clocks.shown + self.amount(), SECOND, 4_070_908_800 * SECOND, self.clocks.t]),
                0,
            )
        )
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
        before = self.records.readable()
        trusted = self.trusted
        self.clocks.show(wall)
        self.look()
        if trusted and abs(self.clocks.offset - self.confirmed[-1][1]) > DAY:
            if self.trusted:
                raise HistoryError("trusted after a step of more than a day")
            gone = [number for number in before - self.records.readable() if self.records.early(number)]
            if gone:
                raise HistoryError(f"a step of more than a day destroyed {len(gone)} records")

    def restart(self) -> None:
        """The process ends, in order or by SIGKILL, and starts again."""
        if self.draw.random() < 0.5:
            self.device.close()
        else:
            self.device.kill()
        trusted = self.trusted
        self.clocks.t += self.draw.randrange(5 * MINUTE)
        if self.draw.random() < 0.3:
            self.clocks.show(max(self.clocks.shown + self.amount(), 0))
            trusted = trusted and abs(self.clocks.offset - self.confirmed[-1][1]) <= DAY
        self.start()
        if trusted != self.trusted:
            raise HistoryError(f"trust before a restart of the process was {trusted}, after it {self.trusted}")

    def reboot(self) -> None:
        """A cut of power, now and then after every deadline; it comes back after a while."""
        if self.draw.random() < 0.5:
            self.wait_for_deadlines()
        self.device.kill()
        self.powered += self.clocks.up
        self.clocks.t += self.draw.randrange(self.draw.choice([MINUTE, DAY, 30 * DAY]))
        self.power_on()

    # What must hold

    def look(self, *steps: list[Any]) -> None:
        """Take steps at the present time, then compare the device with the truth."""
        self.clocks.look()
        status = self.device.steps(["time", self.clocks.shown, self.clocks.up], *steps)
        self.trusted = status["clock"] == "trusted"
        self.looks += 1
        if self.trusted and not self.may_trust():
            raise HistoryError("trusted without two confirmations that agree")
        lost = status["counters"]
        self.records.compare(lost["lost: clock"] + lost["due on arrival"])
        unkept = lost["connections"] - lost["kept"] - lost["due on arrival"]
        if not 0 <= unkept <= lost["lost: clock"] or lost["lost: store"] or lost["malformed"]:
            raise HistoryError("the counters don't add up")
        self.ledger()

    def may_trust(self) -> bool:
        """Return True if two confirmations of this boot agree, and no step of over a day came since the last."""
        pairs = [
            (one, other)
            for place, one in enumerate(self.confirmed)
            for other in self.confirmed[place + 1 :]
            if other[0] - one[0] >= APART and abs(other[1] - one[1]) <= AGREE
        ]
        return bool(pairs) and abs(self.clocks.offset - self.confirmed[-1][1]) <= DAY

    def ledger(self) -> None:
        """Hold the ledger against the hours that the device was on, and its high-water mark against trust."""
        values = json.loads((self.root / "srv/oubli/ledger").read_text())
        on = self.powered + self.clocks.up
        if (values["hours"] + values["uncounted"]) * HOUR < on:
            raise HistoryError("fewer powered-on hours than there were, as expiry reads them")
        if values["hours"] * HOUR > on:
            raise HistoryError("more powered-on hours than there were, as tokens read them")
        if values["high_water"] < self.high or (values["high_water"] > self.high and not self.trusted):
            raise HistoryError("the high-water mark fell, or moved without trust")
        self.high = values["high_water"]


def live(seed: int, device: Device, folder: Path, steps: int = STEPS) -> History:
    """Live one history in a folder that is emptied first; returns it. HistoryError where something was false."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    history = History(seed, folder, device)
    history.run(steps)
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
                figures["latest_s"] = max(figures["latest_s"], history.records.latest / SECOND)
            figures["histories"] += 1
    return figures
