# SPDX-License-Identifier: Apache-2.0
"""The device that a recorder is started on, on the stage: its configuration, clocks, event socket, radios, files."""

import os

from agent.base.paths import Paths
from agent.recorder.recorder import Recorder
from agent.runtime import files
from agent.summary.noise import Sampler
from host_sim.driver import first_boot
from host_sim.driver.seeded import SeededSodium
from host_sim.driver.stage_parts import Socket, Table
from host_sim.driver.trees import copy, empty
from host_sim.driver.virtual_time import VirtualTime
from host_sim.faults import full
from host_sim.venue import tape


class Device:
    """A device with its files below `root`.

    random  (count) -> octets, for noise; table alike, for the day's terminal table
    sysctl  the settings of conntrack, by name
    rate    events that its recorder reads in a second
    chip    the flash of the custodian's stores, None where there are none
    log     takes a line of the recorder's log
    """

    def __init__(
        self,
        config: "Config",
        root: str,
        sysctl: "dict[str, int]",
        random: "Callable[[int], bytes]",
        table: "Callable[[int], bytes]",
        rate: int,
        log: "Callable[[str], None]",
        chip: "Any" = None,
    ) -> None:
        self.config, self.root, self.sysctl, self.log, self.chip = config, root, sysctl, log, chip
        self._sampler, self._sodium = Sampler(random), SeededSodium(table)
        self.time = VirtualTime()
        self.socket = Socket(rate)
        self.nat: "Any" = None  # the kernel's table of port blocks, where there is one
        self.radios: "Any" = None
        self._installed = False
        self._full = full.Full(root)

    def boot(self, boot: str, true: int, clocks: "tuple[int, int, int]") -> None:
        """Power: tmpfs is empty, the clocks show what they can."""
        self.time.boot = boot
        self.time.set(true, *clocks)
        self.time.sleep(boot=True)
        for folder in ("/var", "/tmp"):  # noqa: S108 (below the device's root)
            empty(self.root + folder)
        self.nat = self.blocks()
        if "location" in self.config.purposes:
            from host_sim.venue.radios import Radios

            self.radios = Radios()

    def blocks(self) -> "Any":
        """Return the kernel's table of port blocks, empty; None where no purpose needs one."""
        attribution = self.config.purposes.get("attribution")
        return Table(lambda: self.time.now) if attribution is not None and attribution.mode == "blocks" else None

    def start(self, true: int) -> "Recorder":
        """Start the process at a true time; the first one is told that the device is new."""
        self.time.reach(true)
        self.socket.open()
        if not self._installed:
            first_boot.new_device(self.root)
            self._installed = True
        recorder = Recorder(
            self.config,
            self.root,
            self.time,
            sampler=self._sampler,
            log=self.log,
            sysctl=self.sysctl.get,
            slept=self.time.slept,
            network=dict,
            switch=self.socket.switch,
            drops=lambda: self.socket.drops & 0xFFFFFFFF,
            nat=self.nat,
            bus=self.radios.bus if self.radios is not None else _no_bus,
            random=bytes,  # zeros: what has closed is drawn at once, and a day's truth is that of its hours
        )
        # A device has no such door: its key is never told
        recorder.day.terminals._sodium = self._sodium  # noqa: SLF001
        return recorder

    def cut(self, recorder: "Recorder") -> None:
        """Let the power go while the recorder seals what waits."""
        if self.chip is not None:
            self.chip.cut(lambda: [store.seal() for store in recorder.kept.by_name.values() if hasattr(store, "seal")])

    def show(self) -> None:
        """Copy what the chip holds to where its path is on this machine."""
        if self.chip is not None:
            self.chip.show()

    def leases(self, text: bytes) -> None:
        """The DHCP server writes its file."""
        files.make_folder(self.root + "/tmp", 0o755)  # noqa: S108 (as above)
        files.write_atomic(self.root + "/tmp/dhcp.leases", text, durable=False)  # noqa: S108 (as above)

    def copy(self, number: int, names: "list[str]") -> None:
        """Copy folders and files of flash to the backup of this number."""
        for name in names:
            copy(Paths(self.root).flash.folder + "/" + name, self._backup(number) + "/" + name)

    def restore(self, number: int) -> None:
        """Put a backup back, over what is there."""
        for name in os.listdir(self._backup(number)):
            copy(self._backup(number) + "/" + name, Paths(self.root).flash.folder + "/" + name)

    def _backup(self, number: int) -> str:
        """Return where the backup of a number lies: beside the device, with a folder of its own."""
        path = self.root + "." + str(number)
        files.make_folder(path, 0o700)
        return path

    def fill(self, names: "list[str]") -> None:
        """Let there be no room for these, and for nothing else."""
        self._full.fill(names)
        if self.chip is not None:
            self.chip.fill(full=tape.STORES in names)

    def reset(self) -> None:
        """Flash is emptied, and nobody says that the device is new; messages that wait go on waiting."""
        if self.chip is not None:
            self.chip.empty()
        empty(self.root + "/srv/oubli", ("bundles", "vault"))


def _no_bus(_stations: "Any", _wanted: "Any") -> None:
    """Stand in for the radios of a gateway that listens to none."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.config.config import Config
