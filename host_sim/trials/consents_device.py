# SPDX-License-Identifier: Apache-2.0
"""A device of which only consents run, on a flash in memory that power is cut from: the agent's own code."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from agent.purposes.consent.consents import Consents
from agent.purposes.device_key import DeviceKey
from agent.runtime import files
from agent.runtime.sodium import Sodium
from agent.summary.ledger import Ledger
from host_sim.faults.flash import PAGES, PREFIX, Dice, Flash, PowerCut, mount

KEY, FOLDER, LEDGER = PREFIX + "/device.key", PREFIX + "/consents", PREFIX + "/ledger"
_SODIUM = Sodium()


class ConsentsDevice:
    """The device. `sealed` is what its key file holds since it started, `cuts` how often power was cut."""

    def __init__(self, seed: int, draw: random.Random) -> None:
        self.flash = Flash(Dice(seed))
        self.flash.cells.page = draw.choice(PAGES)
        self.flash.folders.add(FOLDER)
        self.cuts = 0
        self.sealed = b""
        self._running: tuple[Consents, DeviceKey] | None = None

    def boot(self) -> None:
        """Start the process; power may be cut meanwhile, and then it starts once more."""
        self.stop()
        while True:
            mount(self.flash)
            try:
                self.ledger = Ledger(LEDGER, lambda _: None, lambda count: bytes(range(count)))
                self.ledger.begin()
                key = DeviceKey(KEY, _SODIUM)
                self._running = Consents(FOLDER, key, _SODIUM), key
                self.consents.flush()
            except PowerCut:
                self.cut()
            else:
                break
        self.sealed = self.flash.names[KEY].seen

    def stop(self) -> None:
        """End the process."""
        if self._running:
            for part in self._running:
                part.close()
            self._running = None

    def cut(self) -> None:
        """Take what a cut of power left."""
        self.cuts += 1
        self.flash = self.flash.after_cut()

    @property
    def consents(self) -> Consents:
        """The running process's consents."""
        if self._running is None:
            raise PowerCut
        return self._running[0]

    def copy(self) -> dict[str, bytes]:
        """Return all that lies on flash, by its name."""
        return {name: node.seen for name, node in self.flash.names.items() if "/." not in name}

    def put(self, name: str, data: bytes) -> None:
        """Put a file there, synced."""
        self.flash.lay(name, data)
        self._settle(name)

    def remove(self, name: str) -> None:
        """Remove a file, synced."""
        for names in (self.flash.names, self.flash.safe):
            names.pop(name, None)
        self._settle(name)

    def _settle(self, name: str) -> None:
        self.flash.pending = [change for change in self.flash.pending if change[0] != name]


@contextmanager
def own_files() -> Iterator[None]:
    """Give the agent's file code back what it worked on before."""
    names = ("LIBC", "os", "names", "read_at")
    before = [getattr(files, name) for name in names]
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(files, name, value)
