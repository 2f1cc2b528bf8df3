# SPDX-License-Identifier: Apache-2.0
"""A gateway whose power and time an attacker has, and an auditor who counts what was drawn (ANON-5, ANON-6).

A history is drawn from its seed: cuts of power at any write to flash, one more while the next boot recovers, forged NTP
before and after a boot, clocks back by a minute, an hour, a week, forward by as much, steps by root, restarts of the
process, forty boots a day, factory resets, backups put back: the ledger alone, or all that a sysupgrade keeps, on this
flash or on one that was reset. Terminals come all the while. The recorder is the real one; its flash is
`host_sim.faults.flash`, whose every remnant is kept. What the recorder draws comes from the seed too: the same seed is
the same history.

The auditor believes no ledger. It notes each draw by the start that it belongs to (the day's key tells starts apart),
and reads every message that ever lay on flash, torn and removed ones too:

- the epsilons of what was drawn on an agent-day, over all starts of it, are never more than the ceiling;
- a cell (day, metric, slot) has at most one outcome, in the spool and in all remnants;
- agent-days that gave anything are at most one, and one more for each six hours that the device was truly on;
- after a reset or a restored backup nothing is drawn for 24 powered-on hours: what
  was spent on that agent-day isn't known.

A reset begins another life: nothing on the device remembers which cells the former
one drew, only the silence lies between.
"""

import json
import os
import re
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from agent.config import config as configuration
from agent.recorder.recorder import Recorder
from agent.runtime import files
from agent.summary.day import AgentDay
from agent.summary.metrics import PROFILES, Metric
from agent.summary.noise import Sampler
from host_sim.driver import first_boot
from host_sim.driver.draws import keys_from
from host_sim.driver.killed import unmap
from host_sim.driver.scratch import scratch
from host_sim.faults.flash import Dice, Flash, PowerCut
from host_sim.privacy.device import FlashOs, Time
from host_sim.venue import kernel

SECOND = 1_000_000_000
MINUTE, HOUR, DAY, WEEK = 60 * SECOND, 3600 * SECOND, 86400 * SECOND, 7 * 86400 * SECOND
CEILING = 2000
STEPS = 14
BACK = (2 * MINUTE, HOUR, 3 * HOUR, DAY, WEEK)  # how far a clock is set back or forward, at most
TOKEN = 6 * HOUR
SILENCE = 24  # powered-on hours after which the device may count again that doesn't know what it spent
_MESSAGE = re.compile(rb'"schema":"oubli/([a-z]+)/1".*?"day":"([0-9-]+)","slot":([0-9]+),.*?"values":(\[[-0-9,]*\])')


class SpendingError(Exception):
    """What must never be false was false; the text says what, with the seed of the history."""


class History:
    """One device's life in `folder`, with `flash` for what lasts."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder, self.draw = seed, folder, Random(seed)
        # The agent's own draws: none of them moves what comes later.
        self.octets = Random(f"octets {seed}").randbytes
        self.profiles = Random(f"profiles {seed}")
        self.flash = Flash(Dice(seed), prefix=f"{folder}/srv")
        self.time = Time()
        self.time.t += self.draw.randrange(DAY)
        self.recorder: Any = None
        self.boots = self.cuts = self.powered = self.seen = self.terminal = self.life = self.unknown = 0
        self.backup: dict[str, bytes] = {}
        # life, day -> start -> metric -> epsilon, thousandths
        self.drawn: dict[tuple[int, int], dict[str, dict[str, Fraction]]] = defaultdict(lambda: defaultdict(dict))
        self.cells: dict[tuple[bytes, ...], bytes] = {}
        self.said: list[str] = []

    def run(self) -> None:
        """Live it; SpendingError where something was false."""
        former = files.LIBC, files.os, files.names
        acts = (
            *[self.wait, self.honest] * 3,
            self.forge,
            self.dates,
            self.step,
            self.restart,
            self.reboot,
            self.reboot,
            self.cut,
            self.cut,
            self.storm,
            self.save,
            self.save,
            self.restore_ledger,
            self.restore,
            self.reset,
        )
        try:
            self.power_on()
            for _ in range(STEPS):
                act = self.draw.choice(acts)
                self.said.append(act.__name__)
                self.do(act)
                self.audit()
        finally:
            self.kill()
            files.LIBC, files.os, files.names = former

    def do(self, act: Callable[[], None]) -> None:
        """Do something; where power is cut meanwhile, boot."""
        try:
            act()
        except PowerCut:
            self.cuts += 1
            self.power_on()

    # What the device lives through

    def mount(self) -> None:
        """Let the agent's files below srv lie on the flash."""

        def names(path: str) -> list[str]:
            # Names
            return self.flash.listdir(path) if path.startswith(self.flash.prefix) else os.listdir(path)  # noqa: PTH208

        for name, value in (("LIBC", self.flash), ("os", FlashOs(self.flash)), ("names", names)):
            setattr(files, name, value)

    def power_on(self) -> None:
        """Boot with what the flash kept and an empty tmpfs; now and then power goes again while it starts."""
        self.kill()
        shutil.rmtree(self.folder / "var", ignore_errors=True)
        self.powered += self.time.monotonic()
        self.flash = self.flash.after_cut()
        self.boots += 1
        self.time.t += self.draw.randrange(20 * SECOND, 3 * MINUTE)
        self.time.booted, self.time.boot = self.time.t, f"{self.boots:032x}"
        self.time.offset = self.draw.choice([0, 0, -WEEK, -self.time.t + DAY, 30 * DAY])
        if self.draw.random() < 0.2:
            self.flash.cut_at = 1 + self.draw.randrange(12)
        self.do(self.start)

    def start(self) -> None:
        """Start the process, now and then under another profile; root has said that the first life's device is new."""
        self.mount()
        profile = self.profiles.choice(["medium", "medium", *PROFILES])
        text = (
            "config gateway\n option id 'aaaaaaaaaaaaaaaa'\nconfig summary\n option rows '64'\n"
            f" option profile '{profile}'\n"
        )
        (self.folder / "config").write_text(text)
        self.config = configuration.load(str(self.folder / "config"))
        if not self.life:
            first_boot.new_device(str(self.folder), self.octets)
        self.recorder = Recorder.__new__(Recorder)
        Recorder.__init__(
            self.recorder, self.config, str(self.folder), self.time, sampler=Sampler(self.octets), log=lambda _: None,
            sysctl={"events": 1, "acct": 1, "timestamp": 1}.get, random=self.octets,
        )  # fmt: skip
        keys_from(self.recorder, self.octets)
        # The auditor stands beside each draw
        self.recorder._day._publish = self.noting(self.recorder._day)  # noqa: SLF001
        message = kernel.link("lan")
        self.recorder.neighbour(message, len(message))

    def noting(self, day: AgentDay) -> Callable[[Metric, int], None]:
        """Return the draw of a message, noted first."""
        publish, table = day._publish, day._terminals  # noqa: SLF001 (as above)

        def noted(metric: Metric, slot: int) -> None:
            if self.unknown and self.on() < self.unknown + SILENCE * HOUR:
                self.fail(f"drawn {(self.on() - self.unknown) / HOUR:.1f} powered-on hours after the ledger was lost")
            over, under = self.config.metrics[metric.name]
            costs = self.drawn[self.life, table.day][bytes(table._view[64:80]).hex()]  # noqa: SLF001 (as above)
            costs[metric.name] = Fraction(1000 * metric.l1 * under, over)
            publish(metric, slot)

        return noted

    def kill(self) -> None:
        """Unmap what the process mapped: it is gone, its files are as they are."""
        if self.recorder:
            unmap(self.recorder)
        self.recorder = None

    def pass_time(self, span: int) -> None:
        """Let time pass: the timers run at each quarter of an hour, a terminal comes now and then."""
        end = self.time.t + span
        while self.time.t < end:
            self.time.t = min(end, self.time.t + 15 * MINUTE)
            self.recorder.tick()
            if self.draw.random() < 0.3:
                self.come()

    def come(self) -> None:
        """Let a terminal's connection end."""
        self.terminal = (self.terminal + 1) % 50
        source, there, now = bytes((192, 168, 1, 2 + self.terminal)), b"\xcb\0\x71\1", self.time.wall()
        flow = kernel.Flow(
            2, 17, source, there, 40000, 443, there, source, 443, 40000, kernel.SEEN_REPLY, max(now - MINUTE, 0),
            packets_up=1, packets_down=1, bytes_up=1, bytes_down=1, stop=max(now, 1),
        )  # fmt: skip
        for take, message in (
            (self.recorder.neighbour, kernel.neighbour(kernel.Neighbour(source, b"\2\0\0\0\0" + source[3:]))),
            (self.recorder.datagram, kernel.conntrack("destroy", flow)),
        ):
            take(message, len(message))

    def wait(self) -> None:
        """Nothing but time."""
        self.pass_time(self.draw.randrange(MINUTE, self.draw.choice([HOUR, 6 * HOUR, 30 * HOUR])))

    def honest(self) -> None:
        """The time service sets the clock right, twice."""
        self.time.offset = 0
        self.confirm()

    def confirm(self) -> None:
        """The time service says twice that the clock is right."""
        self.recorder.confirm_time()
        self.pass_time(self.draw.randrange(600, 700) * SECOND)
        self.recorder.confirm_time()
        self.pass_time(self.draw.randrange(MINUTE, 2 * HOUR))

    def move(self) -> None:
        """Set the wall clock back or forward."""
        self.time.offset += self.draw.choice([-1, -1, 1]) * self.draw.randrange(self.draw.choice(BACK))

    def forge(self) -> None:
        """Somebody forges the time service, twice in agreement."""
        self.move()
        self.confirm()

    def step(self) -> None:
        """Root steps the clock, and time passes."""
        self.move()
        self.recorder.tick()
        self.pass_time(self.draw.randrange(MINUTE, 2 * HOUR))

    def restart(self) -> None:
        """The process ends by SIGKILL and starts again."""
        self.kill()
        self.start()

    def reboot(self) -> None:
        """Power is cut between two writes; after the boot the time is confirmed, honestly or not."""
        self.power_on()
        self.do(self.draw.choice([self.honest, self.forge]))

    def cut(self) -> None:
        """Power will be cut at a write to come."""
        self.flash.operations, self.flash.cut_at = 0, 1 + self.draw.randrange(40)
        self.draw.choice([self.honest, self.forge, self.wait])()

    def storm(self) -> None:
        """Forty boots, half an hour each, as in a day."""
        for _ in range(40):
            self.power_on()
            self.do(self.brief)

    def brief(self) -> None:
        """Confirm the time as early as can be, and count for a while."""
        self.time.offset = self.draw.choice([0, self.time.offset - self.draw.randrange(HOUR)])
        self.recorder.confirm_time()
        self.pass_time(601 * SECOND)
        self.recorder.confirm_time()
        self.pass_time(self.draw.randrange(25 * MINUTE))

    def dates(self) -> None:
        """Boot again and again, the time service a day further each time."""
        for _ in range(8):
            former = self.time.offset
            self.power_on()
            self.time.offset = former + DAY
            self.do(self.confirm)

    def save(self) -> None:
        """Make a backup: what lib/upgrade/keep.d names."""
        self.backup = {
            name: node.seen
            for name, node in self.flash.names.items()
            if not name.rsplit("/", 1)[1].startswith("ledger-")
        }

    def restore_ledger(self) -> None:
        """Put the ledger of the backup back, alone."""
        self.put_back({name: octets for name, octets in self.backup.items() if name.endswith("/ledger")})

    def restore(self) -> None:
        """Put all of the backup back: what isn't in it stays."""
        self.put_back(self.backup)

    def put_back(self, octets: dict[str, bytes]) -> None:
        """Lay files over what is there, and boot; the time service is honest, or not."""
        ledger = f"{self.flash.prefix}/oubli/ledger"
        if ledger not in octets or octets[ledger] == self.flash.names[ledger].seen:
            return
        flash = self.kept()
        for name, text in octets.items():
            flash.lay(name, text)
        self.lose()
        self.do(self.draw.choice([self.honest, self.forge, self.forge]))

    def reset(self) -> None:
        """Reset the device: its flash is empty; now and then a backup is put back on it before the first boot."""
        self.kill()
        self.flash, remnants = Flash(Dice(self.seed + self.boots), prefix=self.flash.prefix), self.flash.remnants
        self.flash.remnants = remnants
        if self.draw.random() < 0.5:
            for name, text in self.backup.items():
                self.flash.lay(name, text)
        self.life += 1
        self.lose()
        self.do(self.honest)

    def kept(self) -> Flash:
        """End the process in order of files: all that it wrote is on flash."""
        self.kill()
        for node in self.flash.names.values():
            node.safe = node.seen
        self.flash.safe, self.flash.pending = dict(self.flash.names), []
        return self.flash

    def lose(self) -> None:
        """Boot a device that can't know what it spent."""
        self.powered += self.time.monotonic()
        self.time.booted = self.time.t
        self.unknown = self.powered
        self.power_on()

    # What must hold

    def on(self) -> int:
        """Return how long the device was truly on (ns)."""
        return self.powered + self.time.monotonic()

    def audit(self) -> None:
        """Count what was drawn, and read everything that ever lay on flash."""
        for (_, day), starts in self.drawn.items():
            spent = sum(cost for costs in starts.values() for cost in costs.values())
            if spent > CEILING:
                self.fail(f"{float(spent):.1f} thousandths of epsilon were drawn for on agent-day {day}")
        on = self.on()
        if len(self.drawn) > 1 + on // TOKEN:
            self.fail(f"{len(self.drawn)} agent-days in {on / HOUR:.1f} powered-on hours")
        texts = self.flash.remnants[self.seen :] + [node.seen for node in self.flash.names.values()]
        self.seen = len(self.flash.remnants)
        for text in texts:
            for *cell, values in _MESSAGE.findall(text):
                if self.cells.setdefault((b"%d" % self.life, *cell), values) != values:
                    self.fail(f"two outcomes of {b' '.join(cell).decode()}")

    def fail(self, what: str) -> None:
        """Raise it."""
        message = f"history {self.seed}: {what}; steps: {' '.join(self.said)}"
        raise SpendingError(message)


def live(seed: int, folder: Path) -> History:
    """Live one history in a folder that is emptied first; returns it. SpendingError where something was false."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    history = History(seed, folder)
    history.run()
    return history


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Live histories for so long, beginning with a seed; returns the figures, with what was found."""
    draw, end = Random(seed), time.monotonic() + seconds
    figures: dict[str, Any] = {"histories": 0, "boots": 0, "cuts": 0, "days": 0, "cells": 0, "findings": []}
    with scratch("oubli-sim-") as folder:
        while time.monotonic() < end:
            figures["histories"] += 1
            try:
                history = live(draw.randrange(1 << 48), Path(folder) / "device")
            except SpendingError as failure:
                figures["findings"].append(str(failure))
                continue
            figures["boots"] += history.boots
            figures["cuts"] += history.cuts
            figures["days"] += len(history.drawn)
            figures["cells"] += len(history.cells)
    return figures


def main(seed: int, count: int) -> None:
    """Print as JSON what a few histories found: empty where all held."""
    found: list[str] = []
    with scratch("oubli-sim-") as folder:
        for number in range(count):
            try:
                live(seed + number, Path(folder) / "device")
            except SpendingError as failure:
                found.append(str(failure))
                break
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
