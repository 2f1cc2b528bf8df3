# SPDX-License-Identifier: Apache-2.0
"""The auditor: after every step, what must never be false; at the end, what was published beside the truth.

It looks at the device as a thief, an operator and a broker would: the files, the logs, the messages, and the agent's
own counters, and holds them against the world's truth. Each thing that must hold is a row with how much was looked at;
one that looked at nothing fails. What is looked at stands in files beside this one: EXP-1, EXP-2 (readable until, not
after: `vault_auditor`), ANON-2 to ANON-6 (sums, shape, one message for each cell: `published`; `ledger_auditor`),
L34-II-5 (no terminal data outside the sealed store: `people_search`), L34-VI-2 (none at the forwarder: `processes`),
counts (`counts_auditor`), what is off by default (`purposes_auditor`).
"""

import json
import struct
from collections.abc import Iterable
from pathlib import Path

from host_sim.checks import log_auditor
from host_sim.checks.counts_auditor import CountsAuditor
from host_sim.checks.findings import Finding
from host_sim.checks.ledger_auditor import LedgerAuditor
from host_sim.checks.people_search import PeopleSearch
from host_sim.checks.processes import Processes
from host_sim.checks.published import Published
from host_sim.checks.purposes_auditor import PurposesAuditor
from host_sim.checks.vault_auditor import Vault, keys_left
from host_sim.venue import tape
from host_sim.venue.happenings import clock_text
from host_sim.venue.step import Step
from host_sim.venue.world import World

TMPFS, FLASH = "var/run/oubli", "srv/oubli"
SPOOL, LIVE = "srv/oubli-spool", "var/run/oubli-live"
PURPOSE = "security"


class Auditor:
    """Collects findings along a run. `root` is the device's file system, all times true ns since the epoch."""

    def __init__(self, root: Path, world: World) -> None:
        self.root, self.world = root, world
        happens = {event.what for event in world.scenario.events}
        erases = "erase terminal" in happens
        self.vault = Vault(root, world.scenario.gateway.lifetime, world.scenario.clock.drift, erases=erases)
        self._erased = 0  # records that went by an order, of this boot
        self.published = Published(root / SPOOL, world)
        self.people = PeopleSearch(root, FLASH, (SPOOL, LIVE), world.truth)
        self.processes = Processes(root, TMPFS, root / SPOOL, world)
        self.records = Finding("records", "every record in the vault equals a connection, and every connection has one")
        self.expired = Finding("expired", "past its deadline nothing opens, whatever the clock is set to")
        self.refused = Finding("refused", "what the law doesn't allow is refused by the configuration")
        self.acts = Finding("acts", "the audit log's chain is whole, and it says what was done")
        self.first_boot = (
            Finding(
                "first boot", "whenever power goes in the first boot, a whole configuration with one id comes of it"
            )
            if "first boot cut" in happens
            else None
        )
        self.counts = CountsAuditor(world, sealed=bool(world.scenario.purposes.custodian))
        self.ledger = LedgerAuditor(root / FLASH / "ledger", world.days.ledger)
        self.purposes = PurposesAuditor(root, world, self.expired)

    # After every step

    def step(
        self, now: int, status: dict, daemons: dict[str, int], logs: Iterable[Path], *, full: bool, search: bool
    ) -> bool:
        """Look at everything at a true time; False where something is wrong. `daemons`: name to process id."""
        held = status["purposes"][PURPOSE]
        self.counts.full = self.counts.full or held["bytes"] > 0.9 * held["budget"]
        if status["summary"]["filled"]:
            self.world.truth.muddle()  # whoever comes to a full table counts nowhere (ANON-8)
        self._look_into_vault(now, status["counters"], full=full)
        self.counts.look(status["counters"])
        self.ledger.look()
        self.published.look_into_spool()
        self.processes.look_into_memory(now, daemons["recorder"])
        self.purposes.count(status["consents"])
        if full:
            self.processes.look(now, daemons)
        if search:
            self.people.look_into_logs(logs)
            self.processes.look_into_forwarder(daemons["forwarder"])
            self.look_at_log()
            self.purposes.look(now)
        return not any(finding.wrong for finding in self.report())

    def forget(self, now: int) -> None:
        """A cut of power."""
        self.vault.forget()
        self._erased = 0
        self.counts.forget()
        self.purposes.forget(now)

    def happened(self, step: Step) -> None:
        """Take note of what happened to what is looked at.

        A factory reset empties flash; an old ledger that is put back says nothing of what was spent either.
        """
        if step.operation in (tape.RESTORE, tape.UNINSTALL, tape.RESET):
            self.ledger.reset()
        if step.operation in (tape.UNINSTALL, tape.RESET):
            self.purposes.erase(step.wall, flash=True)
        if step.operation == tape.ORDER:
            self._ordered(step.wall, json.loads(step.payload))
        if step.operation == tape.CUSTODIAN:
            self.purposes.custodian_comes(step.wall, *struct.unpack("<d", step.payload))

    def _ordered(self, now: int, order: dict[str, str]) -> None:
        """Root has ordered something at a true time, of which nothing has been looked at yet."""
        if order["call"] == "erase":
            self._erased += self.vault.erase()
            self.processes.erase(now)
            self.purposes.erase(now)
        elif order["call"] == "erase terminal":
            self._erased += self.vault.erase(bytes.fromhex(order["terminal"].replace(":", "")))

    def installed(self, wrong: str) -> None:
        """A first boot is over, with what is wrong about it, or ""."""
        if self.first_boot:
            self.first_boot.seen += 1
            self.first_boot.wrong += [wrong] if wrong else []

    def look_at_log(self) -> None:
        """Hold the audit log together."""
        self.acts.seen += 1
        self.acts.wrong += log_auditor.look(self.root / FLASH / "audit", self.world, self.world.days.checkpoints)

    def _look_into_vault(self, now: int, counters: dict[str, int], *, full: bool) -> None:
        kept = self.world.truth.kept
        self.vault.tell(kept)
        self.processes.tell(kept)
        self.purposes.tell(now, counters, trusted=self.counts.trusted)
        kept.clear()
        lost = sum(count for name, count in counters.items() if name.startswith("lost: ") and name != "lost: overrun")
        lost += max(counters["erased"] - self._erased, 0) + counters["due on arrival"] + counters["no purpose"]
        lost += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        before = self.vault.seen
        clock = self.world.gateway.clock
        # What began before a sleep is taken to have been silent in it.
        self.vault.look(now, full=full, stepped=clock.stepped, slept=clock.slept, lost=lost)
        nobody = not self.world.scenario.crowd.visitors and not self.world.truth.connections
        self.records.seen += self.vault.seen - before + nobody  # that nothing is there is something too
        self.records.wrong += self.vault.wrong
        self.expired.seen += 1
        self.expired.wrong += self.vault.expired

    def vault_files(self) -> list[Path]:
        """Return the vault's segment files (the pages that wait to be sealed are a fixed area beside them)."""
        return list((self.root / TMPFS / "vault").glob("*/" + "[0-9a-f]" * 8))

    def look_after_expiry(self) -> None:
        """When every deadline has passed: no segment file is left, and no octet of a key or of a page that waited."""
        self.expired.seen += 1
        if files := self.vault_files():
            self.expired.wrong.append(f"{len(files)} segment files are left")
        if keys_left(str(self.root / TMPFS / "keys")):
            self.expired.wrong.append("octets of keys are left")
        if any((self.root / TMPFS / "vault" / PURPOSE / "chunks").read_bytes()):
            self.expired.wrong.append("octets of records are left in the pages")

    # At the end

    def history(self, now: int) -> list[str]:
        """Return the history of the connection that the vault's first finding is about, in a few lines, or none."""
        one = self.vault.suspect
        if one is None:
            return []
        lines = [
            (one.start, f"a connection of protocol {one.protocol} to port {one.port} begins, by the gateway's clock"),
            (one.ended, "its last packet"),
            (one.notice.arrived, f"the kernel tells the recorder of its end; datagram {one.notice.number}"),
            (one.ended + self.vault.lifetime, "its record must be gone"),
            (now, "this step"),
        ]
        return self.world.story[-5:] + [f"{clock_text(at)} {what}" for at, what in sorted(lines)]

    def look_at_refusals(self, accepted: dict[str, str]) -> None:
        """What the law forbids, and whether the agent took it all the same."""
        self.refused.seen += len(accepted)
        self.refused.wrong += [f"{what} is accepted" for what, said in accepted.items() if said == "accepted"]

    def report(self) -> list[Finding]:
        """Return every finding."""
        published, processes, counts = self.published, self.processes, self.counts
        return [
            self.records, self.expired, counts.counted, counts.losses, self.ledger.finding, published.cells,
            published.delivered, published.shape, published.sums, published.spread, self.people.private,
            processes.separation, processes.forgotten, processes.bounded, self.refused, self.acts,
            *self.purposes.findings.values(), *filter(None, [self.first_boot]),
        ]  # fmt: skip
