# SPDX-License-Identifier: Apache-2.0
"""What each purpose keeps, in a store of its own (L34-III-3), and the key ring that all of them share."""

from agent import law
from agent.runtime.sodium import Sodium
from agent.vault import stores
from agent.vault.keys import KeyRing
from agent.vault.ring import Ring
from agent.vault.windows import slots_for

# What a store says that isn't "lost: " and the cause.
_COUNTED = {"unlink": "lost: store", "hours": "due by powered-on hours"}


class PurposeStores:
    """The stores by purpose.

    Where one is off, what it kept goes at once. Where it is sealed it goes in time, and answers requests until then
    (L34-II-4). `note` writes the audit log.
    """

    def __init__(
        self,
        config: "Config",
        paths: "Paths",
        sodium: Sodium,
        boot: str,
        counters: "Counters",
        note: "Callable[..., Any]",
    ) -> None:
        self._config, self._paths, self._sodium, self._boot = config, paths, sodium, boot
        self._counters, self._note = counters, note
        security = config.purposes.get("security")
        lifetime, budget = (security.lifetime, security.budget) if security else (law.DAY, 0)
        sealed, by_consent = len(stores.needed(config, paths)), len(stores.by_consent(config))
        slots = slots_for(lifetime, budget) + stores.PAGES * sealed + stores.CONSENTS * by_consent
        self.keys = KeyRing(paths.run.keys, slots, boot, sodium)
        number = law.number("security")
        self.ring = Ring(paths.run.vault + "/security", self.keys, sodium, number, lifetime, budget, boot, self.lose)
        if security is None:  # nothing says any more that it is kept (L34-II-1)
            counters.add("erased", self.ring.erase())
        if "billing" not in config.purposes:
            from agent.vault import expiry  # here, for MicroPython's stack on MIPS holds few imports within imports

            expiry.wipe(paths.run.billing, sodium)  # its open sessions
        self.by_name: "dict[str, Store]" = {"security": self.ring}
        self.note_torn("security")

    def open_sealed(self, hours: "Callable[[], int]", floor: "Callable[[], int]") -> None:
        """Open the custodian's stores.

        They get powered-on hours of this device, and the second before which no time is believed.
        """
        config, paths, keys, lose = self._config, self._paths, self.keys, self.lose
        for name, store in stores.custodians(config, paths, keys, self._sodium, self._boot, hours, floor, lose).items():
            self.by_name[name] = store
            self.note_torn(name)

    def destroy_strays(self) -> None:
        """Destroy the keys of what a purpose kept that has no store now, and what waited to be sealed for it."""
        for slot in self.keys.used():
            if law.PURPOSES[slot.purpose - 1].name not in self.by_name:
                self._counters.add("erased", slot.records)
                self.keys.destroy(slot)
        for name in stores.SEALED:
            if name not in self.by_name:  # it is off, and its medium away
                from agent.vault import expiry

                expiry.wipe(self._paths.run.vault + "/" + name + "/chunks", self._sodium)

    def note_torn(self, purpose: str) -> None:
        """Count and note a purpose's segments that were found open, by name, for who reads one that ends torn."""
        segments: "list[Any]" = getattr(self.by_name[purpose], "torn", [])
        self._counters.add("torn segments", len(segments))
        while segments:
            self._note("torn", purpose, segments.pop())

    def lose(self, cause: str, records: int) -> None:
        """Count what a store lost. Not on the log, which may leave the gateway: guests cause losses (ANON-4)."""
        self._counters.add(_COUNTED.get(cause) or "lost: " + cause, records)

    def close(self) -> None:
        """Close the stores in order; the keys stay for the next process of this boot."""
        for store in self.by_name.values():
            store.close()
        self.keys.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    from agent.audit.counters import Counters
    from agent.base.paths import Paths
    from agent.config.config import Config

    class Store(Protocol):
        """What keeps the records of one purpose.

        Times in ns; each has its own `append`, which says what became of a record.
        """

        def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
            """Do what is due; returns how many segments were destroyed."""
            ...

        def stepped(self) -> None:
            """Note that the wall clock was stepped."""
            ...

        def late(self, wall: "int | None", monotonic: int) -> bool:
            """Return True if anything outlived its deadline."""
            ...

        def erase(self) -> int:
            """Destroy everything; returns how many records that were."""
            ...

        def status(self, monotonic: int) -> "dict[str, Any]":
            """Return what is kept, against its limits."""
            ...

        def close(self) -> None:
            """Stop in order."""
            ...
