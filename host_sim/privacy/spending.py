# SPDX-License-Identifier: Apache-2.0
"""A gateway whose power and time an attacker has, and an auditor who counts what was drawn (ANON-5, ANON-6).

A history is drawn from its seed:

- cuts of power at any write to flash, one more while the next boot recovers, forty boots a day;
- forged NTP before and after a boot, clocks back by a minute, an hour, a week, forward by as much, steps by root;
- restarts of the process, factory resets;
- backups put back: the ledger alone, or all that a sysupgrade keeps, on this flash or on one that was reset.

Terminals come all the while. The recorder is the real one; its flash is `host_sim.faults.flash`, whose every remnant is
kept. What the recorder draws comes from the seed too: the same seed is the same history.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from agent.runtime import files
from host_sim.driver.scratch import scratch
from host_sim.faults.flash import PowerCut
from host_sim.privacy.living_device import LivingDevice
from host_sim.privacy.spending_auditor import HOUR, SpendingAuditor, SpendingError
from host_sim.venue import kernel

SECOND = 1_000_000_000
MINUTE, DAY, WEEK = 60 * SECOND, 86400 * SECOND, 7 * 86400 * SECOND
STEPS = 14
BACK = (2 * MINUTE, HOUR, 3 * HOUR, DAY, WEEK)  # how far a clock is set back or forward, at most


class History:
    """What an attacker does with one device whose files lie in `folder`, and when its guests come."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.draw = seed, Random(seed)
        self.auditor = SpendingAuditor()
        self.device = LivingDevice(seed, folder, self.auditor.beside)
        self.device.time.t += self.draw.randrange(DAY)
        self.cuts = self.terminal = 0
        self.backup: dict[str, bytes] = {}
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
                self.auditor.look(self.device)
        except SpendingError as failure:
            message = f"history {self.seed}: {failure}; steps: {' '.join(self.said)}"
            raise SpendingError(message) from failure
        finally:
            self.device.kill()
            files.LIBC, files.os, files.names = former

    def do(self, act: Callable[[], None]) -> None:
        """Do something; where power is cut meanwhile, boot."""
        try:
            act()
        except PowerCut:
            self.cuts += 1
            self.power_on()

    def power_on(self) -> None:
        """Boot with what the flash kept and an empty tmpfs; now and then power goes again while it starts."""
        device = self.device
        device.kill()
        shutil.rmtree(device.folder / "var", ignore_errors=True)
        device.powered += device.time.monotonic()
        device.flash = device.flash.after_cut()
        device.boots += 1
        device.time.t += self.draw.randrange(20 * SECOND, 3 * MINUTE)
        device.time.booted, device.time.boot = device.time.t, f"{device.boots:032x}"
        device.time.offset = self.draw.choice([0, 0, -WEEK, -device.time.t + DAY, 30 * DAY])
        if self.draw.random() < 0.2:
            device.flash.cut_at = 1 + self.draw.randrange(12)
        self.do(device.start)

    def pass_time(self, span: int) -> None:
        """Let time pass: the timers run at each quarter of an hour, a terminal comes now and then."""
        end = self.device.time.t + span
        while self.device.time.t < end:
            self.device.time.t = min(end, self.device.time.t + 15 * MINUTE)
            self.device.recorder.tick()
            if self.draw.random() < 0.3:
                self.come()

    def come(self) -> None:
        """Let a terminal's connection end."""
        self.terminal = (self.terminal + 1) % 50
        source, there, now = bytes((192, 168, 1, 2 + self.terminal)), b"\xcb\0\x71\1", self.device.time.wall()
        flow = kernel.Flow(
            2, 17, source, there, 40000, 443, there, source, 443, 40000, kernel.SEEN_REPLY, max(now - MINUTE, 0),
            packets_up=1, packets_down=1, bytes_up=1, bytes_down=1, stop=max(now, 1),
        )  # fmt: skip
        heard = self.device.recorder.streams
        near = kernel.neighbour(kernel.Neighbour(source, b"\2\0\0\0\0" + source[3:]))
        for take, message in ((heard.neighbour, near), (heard.datagram, kernel.conntrack("destroy", flow))):
            take(message, len(message))

    def wait(self) -> None:
        """Nothing but time."""
        self.pass_time(self.draw.randrange(MINUTE, self.draw.choice([HOUR, 6 * HOUR, 30 * HOUR])))

    def honest(self) -> None:
        """The time service sets the clock right, twice."""
        self.device.time.offset = 0
        self.confirm()

    def confirm(self) -> None:
        """The time service says twice that the clock is right."""
        self.device.recorder.confirm_time()
        self.pass_time(self.draw.randrange(600, 700) * SECOND)
        self.device.recorder.confirm_time()
        self.pass_time(self.draw.randrange(MINUTE, 2 * HOUR))

    def move(self) -> None:
        """Set the wall clock back or forward."""
        self.device.time.offset += self.draw.choice([-1, -1, 1]) * self.draw.randrange(self.draw.choice(BACK))

    def forge(self) -> None:
        """Somebody forges the time service, twice in agreement."""
        self.move()
        self.confirm()

    def step(self) -> None:
        """Root steps the clock, and time passes."""
        self.move()
        self.device.recorder.tick()
        self.pass_time(self.draw.randrange(MINUTE, 2 * HOUR))

    def restart(self) -> None:
        """The process ends by SIGKILL and starts again."""
        self.device.kill()
        self.device.start()

    def reboot(self) -> None:
        """Power is cut between two writes; after the boot the time is confirmed, honestly or not."""
        self.power_on()
        self.do(self.draw.choice([self.honest, self.forge]))

    def cut(self) -> None:
        """Power will be cut at a write to come."""
        self.device.flash.operations, self.device.flash.cut_at = 0, 1 + self.draw.randrange(40)
        self.draw.choice([self.honest, self.forge, self.wait])()

    def storm(self) -> None:
        """Forty boots, half an hour each, as in a day."""
        for _ in range(40):
            self.power_on()
            self.do(self.brief)

    def brief(self) -> None:
        """Confirm the time as early as can be, and count for a while."""
        self.device.time.offset = self.draw.choice([0, self.device.time.offset - self.draw.randrange(HOUR)])
        self.device.recorder.confirm_time()
        self.pass_time(601 * SECOND)
        self.device.recorder.confirm_time()
        self.pass_time(self.draw.randrange(25 * MINUTE))

    def dates(self) -> None:
        """Boot again and again, the time service a day further each time."""
        for _ in range(8):
            former = self.device.time.offset
            self.power_on()
            self.device.time.offset = former + DAY
            self.do(self.confirm)

    def save(self) -> None:
        """Make a backup: what lib/upgrade/keep.d names."""
        self.backup = {
            name: node.seen
            for name, node in self.device.flash.names.items()
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
        ledger = f"{self.device.flash.prefix}/oubli/ledger"
        if ledger not in octets or octets[ledger] == self.device.flash.names[ledger].seen:
            return
        self.device.rest()
        for name, text in octets.items():
            self.device.flash.lay(name, text)
        self.lose()
        self.do(self.draw.choice([self.honest, self.forge, self.forge]))

    def reset(self) -> None:
        """Reset the device: its flash is empty; now and then a backup is put back on it before the first boot."""
        self.device.reset(self.backup if self.draw.random() < 0.5 else {})
        self.lose()
        self.do(self.honest)

    def lose(self) -> None:
        """Boot a device that can't know what it spent."""
        self.device.powered += self.device.time.monotonic()
        self.device.time.booted = self.device.time.t
        self.auditor.unknown = self.device.powered
        self.power_on()


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
            figures["boots"] += history.device.boots
            figures["cuts"] += history.cuts
            figures["days"] += len(history.auditor.drawn)
            figures["cells"] += len(history.auditor.cells)
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
