# SPDX-License-Identifier: Apache-2.0
"""A device that lives through a history of `host_sim.privacy.spending`: flash that lasts, clocks, and its recorder."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from agent.config import config as configuration
from agent.recorder.recorder import Recorder
from agent.runtime import files
from agent.summary.metrics import PROFILES, Metric
from agent.summary.noise import Sampler
from agent.summary.releases import Releases
from host_sim.driver import first_boot
from host_sim.driver.draws import keys_from
from host_sim.driver.killed import unmap
from host_sim.faults.flash import Dice, Flash
from host_sim.privacy.device import FlashOs, Time
from host_sim.venue import kernel


class LivingDevice:
    """One device in `folder`, with `flash` for what lasts.

    `beside` takes a day's table and returns what draws a message in the place of its own.
    """

    def __init__(
        self, seed: int, folder: Path, beside: Callable[["LivingDevice", Releases], Callable[[Metric, int], None]]
    ) -> None:
        self.seed, self.folder, self._beside = seed, folder, beside
        # The agent's own draws: none of them moves what comes later.
        self.octets = Random(f"octets {seed}").randbytes
        self.profiles = Random(f"profiles {seed}")
        self.flash = Flash(Dice(seed), prefix=f"{folder}/srv")
        self.time = Time()
        self.recorder: Any = None
        self.boots = self.powered = self.life = 0

    def mount(self) -> None:
        """Let the agent's files below srv lie on the flash."""

        def names(path: str) -> list[str]:
            # Names
            return self.flash.listdir(path) if path.startswith(self.flash.prefix) else os.listdir(path)  # noqa: PTH208

        for name, value in (("LIBC", self.flash), ("os", FlashOs(self.flash)), ("names", names)):
            setattr(files, name, value)

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
        releases = self.recorder.day.releases
        releases.publish = self._beside(self, releases)
        for message in (kernel.link("lan"), kernel.address(bytes((192, 168, 1, 1)), 24)):
            self.recorder.streams.neighbour(message, len(message))

    def kill(self) -> None:
        """Unmap what the process mapped: it is gone, its files are as they are."""
        if self.recorder:
            unmap(self.recorder)
        self.recorder = None

    def rest(self) -> None:
        """End the process in order of files: all that it wrote is on flash."""
        self.kill()
        for node in self.flash.names.values():
            node.safe = node.seen
        self.flash.safe, self.flash.pending = dict(self.flash.names), []

    def reset(self, backup: dict[str, bytes]) -> None:
        """Empty the flash, whose remnants an attacker still has, and lay a backup on it; another life begins."""
        self.kill()
        self.flash = Flash(Dice(self.seed + self.boots), prefix=self.flash.prefix, cells=self.flash.cells)
        for name, text in backup.items():
            self.flash.lay(name, text)
        self.life += 1

    def on(self) -> int:
        """Return how long the device was truly on (ns)."""
        return self.powered + self.time.monotonic()
