# SPDX-License-Identifier: Apache-2.0
"""The auditor: after every step, what must never be false; at the end, what was published beside the truth.

It looks at the device as a thief, an operator and a broker would: the files, the logs, the messages, and the agent's
own counters, and holds them against the world's truth. Each thing that must hold is a row with how much was looked at;
one that looked at nothing fails. What stands in files beside this one: EXP-1, EXP-2 (readable until, not after:
`vault_auditor`), ANON-2 to ANON-6 (sums, shape, one message for each cell: `published`), L34-II-5 (no terminal data
outside the sealed store: `people_search`), L34-VI-2 (none at the forwarder: `processes`). Counts and the ledger are
here.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from host_sim.checks import log_auditor
from host_sim.checks.consent_auditor import ConsentAuditor
from host_sim.checks.examiner import EACH_DAY, LEAST, MOST, Examiner
from host_sim.checks.findings import Finding
from host_sim.checks.people_search import PeopleSearch
from host_sim.checks.processes import Processes
from host_sim.checks.published import Published
from host_sim.checks.sealed_auditor import SealedAuditor
from host_sim.checks.vault_auditor import Vault, keys_left
from host_sim.venue import portal, tape
from host_sim.venue.happenings import clock_text
from host_sim.venue.step import Step
from host_sim.venue.truth import AGENT_DAY_STARTS, DAY
from host_sim.venue.world import World

TMPFS, FLASH = "var/run/oubli", "srv/oubli"
SPOOL, LIVE = "srv/oubli-spool", "var/run/oubli-live"
PURPOSE = "security"


class Auditor:
    """Collects findings along a run. `root` is the device's file system, all times true ns since the epoch."""

    def __init__(self, root: Path, world: World) -> None:
        self.root, self.world, self.truth = root, world, world.truth
        happens = {event.what for event in world.scenario.events}
        erases = "erase terminal" in happens
        self.vault = Vault(root, world.scenario.lifetime, world.scenario.drift, erases=erases)
        self._erased = 0  # records that went by an order, of this boot
        self.spool = root / SPOOL
        self.published = Published(self.spool, world)
        self.people = PeopleSearch(root, FLASH, (SPOOL, LIVE), self.truth)
        self.processes = Processes(root, TMPFS, self.spool, world)
        self.records = Finding("records", "every record in the vault equals a connection, and every connection has one")
        self.expired = Finding("expired", "past its deadline nothing opens, whatever the clock is set to")
        self.counted = Finding(
            "counted", "every connection that the kernel told of is kept, excluded or counted as lost"
        )
        self.losses = Finding("losses", "nothing is lost but what the kernel dropped, and that is counted")
        self.ledger = Finding(
            "ledger", "agent-days open and spend as ANON-5 and ANON-6 say, never more than the ceiling"
        )
        self.refused = Finding("refused", "what the law doesn't allow is refused by the configuration")
        self.acts = Finding("acts", "the audit log's chain is whole, and it says what was done")
        self.more = {
            "attribution": Finding(
                "attribution", "who stood behind a public port is answered by its own terminal, and by no other"
            ),
            "billing": Finding("billing", "each session is billed once, with its volumes, to a user or a MAC"),
            "answers": Finding(
                "answers",
                "an authority's question is answered by who held the port then, or `not known`, by nobody else",
            ),
            "custody": Finding(
                "custody", "what only the custodian may read opens with his key, and the device holds none"
            ),
            "consents": Finding(
                "consents", "what is kept by consent is what was consented to, and nothing of who has withdrawn"
            ),
            "keys": Finding("keys", "the custodian's keys go on their date, and none before, whatever his clock says"),
            "first boot": Finding(
                "first boot", "whenever power goes in the first boot, a whole configuration with one id comes of it"
            ),
            "stays": Finding("stays", "each stay at an access point is one that its terminal made under a consent"),
        }
        purposes, kinds = world.scenario.purposes, []
        visited = "custodian clock" in happens
        self.sealed = (
            SealedAuditor(root, purposes, world.start, world.end, visited=visited) if purposes.custodian else None
        )
        self.consented = ConsentAuditor(root, world.portal) if purposes.consent and world.portal else None
        kinds += [*purposes.custodian, "custody"] if self.sealed else []
        kinds += ["answers"] if purposes.attribution else []
        kinds += ["keys"] if self.sealed and visited else []
        kinds += ["first boot"] if "first boot cut" in happens else []
        kinds += ["consents", "stays"] if self.consented else []
        self.more = {name: self.more[name] for name in kinds}
        self.answers: Counter[str] = Counter()  # of the questions that were asked at the end, what came of them
        self.full = False  # the ring has come near its budget: what no longer fits displaces the oldest
        self._spent = (0, 0)
        self._trusted = False  # at the last look
        self._no_key = 0  # records that were lost before the time was known

    # After every step

    def step(
        self, now: int, status: dict, daemons: dict[str, int], logs: Iterable[Path], *, full: bool, search: bool
    ) -> bool:
        """Look at everything at a true time; False where something is wrong. `daemons`: name to process id."""
        held = status["purposes"][PURPOSE]
        self.full = self.full or held["bytes"] > 0.9 * held["budget"]
        if status["summary"]["filled"]:
            self.truth.muddle()  # whoever comes to a full table counts nowhere (ANON-8)
        self._look_into_vault(now, status["counters"], full=full)
        self.look_at_counters(status["counters"])
        self.look_at_ledger()
        self.published.look_into_spool()
        self.processes.look_into_memory(now, daemons["recorder"])
        if self.consented:
            self.more["consents"].wrong += [wrong] if (wrong := self.consented.count(status["consents"])) else []
        if full:
            self.processes.look(now, daemons)
        if search:
            self.people.look_into_logs(logs)
            self.processes.look_into_forwarder(daemons["forwarder"])
            self.look_at_log()
            self.look_at_purposes(now)
        return not any(finding.wrong for finding in self.report())

    def prepare(self) -> None:
        """Put on the device what an operator installs: the custodian's bundle, the text shown before a consent."""
        if self.sealed:
            self.sealed.custodian.install(self.root)
        if self.consented:
            texts = self.root / "usr/share/oubli"
            texts.mkdir(parents=True)
            (texts / portal.TEXT_NAME).write_text(portal.TEXT)

    def forget(self, now: int) -> None:
        """A cut of power."""
        self.vault.forget()
        self._trusted, self._no_key, self._erased = False, 0, 0
        if self.sealed:
            self.sealed.forget(now)
        if self.consented:
            self.consented.forget()

    def happened(self, step: Step) -> None:
        """Take note of what happened to what is looked at.

        A factory reset empties flash; an old ledger that is put back says nothing of what was spent either.
        """
        if step.operation in (tape.RESTORE, tape.UNINSTALL, tape.RESET):
            self._spent = 0, 0
        if step.operation in (tape.UNINSTALL, tape.RESET) and self.sealed:
            self.sealed.erase(self.world.gateway.clock.wall(step.wall))
        if step.operation == tape.ORDER:
            self._ordered(step.wall, json.loads(step.payload))
        if step.operation == tape.CUSTODIAN:
            self._custodian_comes(step.wall, *struct.unpack("<d", step.payload))

    def _ordered(self, now: int, order: dict[str, str]) -> None:
        """Root has ordered something at a true time, of which nothing has been looked at yet."""
        if order["call"] == "erase":
            self._erased += self.vault.erase()
            self.processes.erase(now)
            if self.sealed:
                self.sealed.erase(self.world.gateway.clock.wall(now))
            if self.consented:
                self.consented.forget()  # consents go on
        elif order["call"] == "erase terminal":
            self._erased += self.vault.erase(bytes.fromhex(order["terminal"].replace(":", "")))

    def installed(self, wrong: str) -> None:
        """A first boot is over, with what is wrong about it, or ""."""
        self.more["first boot"].seen += 1
        self.more["first boot"].wrong += [wrong] if wrong else []

    def _custodian_comes(self, now: int, wrong: float = 0) -> None:
        """The custodian destroys what is due at a true time, by a clock that is wrong by so many seconds."""
        if self.sealed and self.sealed.custodian.holder:
            self.more["keys"].seen += 1
            self.more["keys"].wrong += self.sealed.custodian.holder.visit(now, wrong)

    def look_at_purposes(self, now: int, *, ended: bool = False) -> None:
        """Look into the stores of the purposes that are off by default; `ended`: the recorder has closed them."""
        self._custodian_comes(now)
        if self.sealed:
            self.sealed.disturbed = self.sealed.disturbed or self.world.gateway.disturbed
            # A row ends where the clock is set back: nobody is named for times
            # that it showed twice, or that it skipped.
            self.sealed.stepped = self.sealed.stepped or self.world.gateway.clock.stepped
            self.sealed.look(now, self.world.gateway.clock.wall(now), trusted=self.world.days.trusted, ended=ended)
            self._found(self.sealed)
            if ended and self.world.scenario.purposes.attribution:
                self._examine(self.sealed)
        if self.consented and not ended:
            self.consented.disturbed = self.consented.disturbed or self.world.gateway.disturbed
            self.consented.stepped = self.consented.stepped or self.world.gateway.clock.stepped
            self.consented.look()
            self._found(self.consented)

    def _examine(self, sealed: SealedAuditor) -> None:
        """Ask the custodian what is still kept, as an authority would, but for records that are wrong already."""
        if self.more["attribution"].wrong or self.more["custody"].wrong:
            self.more["answers"].seen += 1
            return
        kept = self.world.scenario.purposes.sealed
        examiner = Examiner(
            self.world, self.root / FLASH / "vault/attribution", lambda *key: sealed.custodian.key(*key[:2]), kept
        )
        examiner.ask(max(LEAST, min(MOST, int(EACH_DAY * self.world.length))))
        self.more["answers"].seen += examiner.seen.total()
        self.more["answers"].wrong += examiner.wrong
        self.answers = examiner.seen

    def _found(self, room: SealedAuditor | ConsentAuditor) -> None:
        for name, count in room.seen.items():
            self.more[name].seen += count
        room.seen.clear()
        for name, what in room.wrong:
            (self.expired if name == "expired" else self.more[name]).wrong.append(what)

    def look_at_log(self) -> None:
        """Hold the audit log together."""
        self.acts.seen += 1
        self.acts.wrong += log_auditor.look(self.root / FLASH / "audit", self.world, self.world.days.checkpoints)

    def _look_into_vault(self, now: int, counters: dict[str, int], *, full: bool) -> None:
        self.vault.tell(self.truth.kept)
        self.processes.tell(self.truth.kept)
        if self.sealed:
            self.sealed.waits = now <= self.world.gateway.unwritten
            if counters["lost: no room"] + counters["lost: store"]:
                self.sealed.forget(now)
            self.sealed.tell(self.truth.kept, trusted=self._trusted)
        if self.consented:
            self.consented.tell(self.truth.kept)
        self.truth.kept.clear()
        lost = sum(count for name, count in counters.items() if name.startswith("lost: ") and name != "lost: overrun")
        lost += max(counters["erased"] - self._erased, 0) + counters["due on arrival"] + counters["no purpose"]
        lost += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        before = self.vault.seen
        self.vault.look(now, full=full, stepped=self.world.gateway.clock.stepped, lost=lost)
        nobody = not self.world.scenario.crowd.visitors and not self.world.truth.connections
        self.records.seen += self.vault.seen - before + nobody  # that nothing is there is something too
        self.records.wrong += self.vault.wrong
        self.expired.seen += 1
        self.expired.wrong += self.vault.expired

    def look_at_counters(self, counters: dict[str, int]) -> None:
        """Every connection has one fate, and no loss goes uncounted or is made up."""
        told, heard = (
            self.world.gateway.told_since_boot - self.world.gateway.dropped_since_boot,
            counters["connections"],
        )
        self.counted.seen += 1
        if told != heard:
            self.counted.wrong.append(f"the kernel told of {told} connections, the agent counts {heard}")
        kept = counters["kept"] + counters["due on arrival"] + counters["no purpose"]
        kept += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        lost = {name: count for name, count in counters.items() if name.startswith("lost: ") and count}
        of_these = sum(count for name, count in lost.items() if name != "lost: overrun")
        # what a custodian's store finds due on arrival counts there too: exact is then what `records` says of the vault
        if not (0 if self.sealed is None else -counters["due on arrival"]) <= heard - kept <= of_these:
            self.counted.wrong.append(f"of {heard} connections {kept} are kept or excluded, {of_these} lost")
        self.losses.seen += 1
        dropped = self.world.gateway.dropped_since_boot
        if counters["lost: overrun"] != dropped:
            self.losses.wrong.append(f"the kernel dropped {dropped}, the agent counts {counters['lost: overrun']}")
        allowed = {"lost: overrun"} | ({"lost: clock"} if self.world.gateway.clock.stepped else set())
        allowed |= {"lost: ring full"} if self.full else set()
        if self.sealed and (self.world.gateway.clock.stepped or not self._trusted):
            # Of a day that isn't known, or isn't the right one, it need not have a key
            self._no_key = counters["lost: no key"]
        self._trusted = self.world.days.trusted
        allowed |= {"lost: no key"} if counters["lost: no key"] == self._no_key else set()
        allowed |= {"lost: no room", "lost: store"} if "stores" in self.world.gateway.was_full else set()
        if counters["messages lost"] != self.world.days.lost:
            self.losses.wrong.append(
                f"flash had no room for {self.world.days.lost} messages, the agent counts {counters['messages lost']}"
            )
        others = ("malformed", "neighbour overruns")
        self.losses.wrong += [f"{name}: {count}" for name, count in lost.items() if name not in allowed]
        self.losses.wrong += [f"{name}: {counters[name]}" for name in others if counters[name]]
        if counters["gaps"] != self.world.gateway.crashes:
            self.losses.wrong.append(
                f"nobody listened {self.world.gateway.crashes} times, the agent counts {counters['gaps']} gaps"
            )
        if counters["messages dropped"] and not self.world.events.outages:
            self.losses.wrong.append(f"messages dropped: {counters['messages dropped']}")

    def look_at_ledger(self) -> None:
        """What the ledger says is what the agent-days that were opened cost."""
        days, path = self.world.days, self.root / FLASH / "ledger"
        self.ledger.seen += 1
        if days.stale and not path.exists():
            return
        values = json.loads(path.read_text())
        said = (values["day"], values["spent"], values["tokens"], values["hours"])
        due = (
            (days.ledger_day - AGENT_DAY_STARTS) // DAY if days.ledger_day else 0,
            days.spent,
            days.tokens,
            days.hours,
        )
        if said != due and not days.stale:
            self.ledger.wrong.append(
                f"the ledger says (day, spent, tokens, hours) {said}, by ANON-5 and ANON-6 it is {due}"
            )
        if values["spent"] > 2000 or (values["day"], values["spent"]) < self._spent:
            self.ledger.wrong.append("more is spent than the ceiling, or something is given back")
        self._spent = (values["day"], values["spent"])

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
            (one.arrived, f"the kernel tells the recorder of its end; datagram {one.number}"),
            (one.ended + self.vault.lifetime, "its record must be gone"),
            (now, "this step"),
        ]
        return list(self.world.story)[-5:] + [f"{clock_text(at)} {what}" for at, what in sorted(lines)]

    def look_at_refusals(self, accepted: dict[str, str]) -> None:
        """What the law forbids, and whether the agent took it all the same."""
        self.refused.seen += len(accepted)
        self.refused.wrong += [f"{what} is accepted" for what, said in accepted.items() if said == "accepted"]

    def report(self) -> list[Finding]:
        """Return every finding."""
        published, processes = self.published, self.processes
        return [
            self.records, self.expired, self.counted, self.losses, self.ledger, published.cells,
            published.delivered, published.shape, published.sums, published.spread, self.people.private,
            processes.separation, processes.forgotten, processes.bounded, self.refused, self.acts, *self.more.values(),
        ]  # fmt: skip
