# SPDX-License-Identifier: Apache-2.0
"""Holds what purposes that are off by default keep against the world: a custodian's stores, and those by consent."""

from collections import Counter
from pathlib import Path

from host_sim.checks.consent_auditor import ConsentAuditor
from host_sim.checks.examiner import EACH_DAY, LEAST, MOST, Examiner
from host_sim.checks.findings import Finding
from host_sim.checks.sealed_auditor import FLASH, SealedAuditor
from host_sim.venue import portal
from host_sim.venue.world import World

_WHAT = {
    "attribution": "who stood behind a public port is answered by its own terminal, and by no other",
    "billing": "each session is billed once, with its volumes, to a user or a MAC",
    "answers": "an authority's question is answered by who held the port then, or `not known`, by nobody else",
    "custody": "what only the custodian may read opens with his key, and the device holds none",
    "consents": "what is kept by consent is what was consented to, and nothing of who has withdrawn",
    "keys": "the custodian's keys go on their date, and none before, whatever his clock says",
    "stays": "each stay at an access point is one that its terminal made under a consent",
}


class PurposesAuditor:
    """The stores below `root`, where the scenario has them. `expired` is the finding of what is past its deadline.

    `answers` counts the questions that were asked at the end, by what came of them. Times are true ns.
    """

    def __init__(self, root: Path, world: World, expired: Finding) -> None:
        self._root, self._world = root, world
        purposes = world.scenario.purposes
        visited = any(event.what == "custodian clock" for event in world.scenario.events)
        self.sealed = (
            SealedAuditor(root, purposes, world.scenario.start, world.end, visited=visited)
            if purposes.custodian
            else None
        )
        self.consented = ConsentAuditor(root, world.portal) if purposes.consent and world.portal else None
        names = [*purposes.custodian, "custody"] if self.sealed else []
        names += ["answers"] if purposes.attribution else []
        names += ["keys"] if self.sealed and visited else []
        names += ["consents", "stays"] if self.consented else []
        self.findings = {name: Finding(name, _WHAT[name]) for name in names}
        self._rows = {**self.findings, "expired": expired}
        self.answers: Counter[str] = Counter()
        self._by_hours = 0  # records that the agent has counted so, in the boot that it was asked in last

    def prepare(self) -> None:
        """Put on the device what an operator installs: the custodian's bundle, the text shown before a consent."""
        if self.sealed:
            self.sealed.custodian.install(self._root)
        if self.consented:
            texts = self._root / "usr/share/oubli"
            texts.mkdir(parents=True)
            (texts / portal.TEXT_NAME).write_text(portal.TEXT)

    def forget(self, now: int) -> None:
        """A cut of power."""
        if self.sealed:
            self.sealed.forget(now)
        if self.consented:
            self.consented.forget()

    def erase(self, now: int, *, flash: bool = False) -> None:
        """Everything was erased, but for the consents, which go on; `flash`: only what lies there."""
        if self.sealed:
            self.sealed.erase(self._world.gateway.clock.wall(now))
        if self.consented and not flash:
            self.consented.forget()

    def custodian_comes(self, now: int, wrong: float = 0) -> None:
        """The custodian destroys what is due, by a clock that is wrong by so many seconds."""
        if self.sealed and self.sealed.custodian.holder:
            self.findings["keys"].seen += 1
            self.findings["keys"].wrong += self.sealed.custodian.holder.visit(now, wrong)

    def tell(self, now: int, counters: dict[str, int], *, trusted: bool) -> None:
        """What the recorder was told of since the last look; `trusted`: the time was believed then."""
        kept = self._world.truth.kept
        if self.sealed:
            self.sealed.waits = now <= self._world.gateway.flash.unwritten
            if counters["lost: no room"] + counters["lost: store"]:
                self.sealed.forget(now)
            if counters["due by powered-on hours"] != self._by_hours:
                self._by_hours = counters["due by powered-on hours"]
                self.sealed.hours()
            self.sealed.tell(kept, trusted=trusted)
        if self.consented:
            self.consented.tell(kept)

    def count(self, consents: dict[str, int] | None) -> None:
        """Hold the recorder's own count of consents, by state, against the portal's."""
        if self.consented and (wrong := self.consented.count(consents)):
            self.findings["consents"].wrong.append(wrong)

    def look(self, now: int, *, ended: bool = False) -> None:
        """Look into the stores; `ended`: the recorder has closed them."""
        self.custodian_comes(now)
        gateway = self._world.gateway
        if self.sealed:
            self.sealed.disturbed = self.sealed.disturbed or gateway.disturbed
            # A row ends where the clock is set back: nobody is named for times that it showed twice, or that it skipped
            self.sealed.stepped = self.sealed.stepped or gateway.clock.stepped
            self.sealed.look(now, gateway.clock.wall(now), trusted=self._world.days.trusted, ended=ended)
            self._found(self.sealed)
            if ended and self._world.scenario.purposes.attribution:
                self._examine(self.sealed)
        if self.consented and not ended:
            self.consented.disturbed = self.consented.disturbed or gateway.disturbed
            self.consented.stepped = self.consented.stepped or gateway.clock.stepped
            self.consented.look()
            self._found(self.consented)

    def _examine(self, sealed: SealedAuditor) -> None:
        """Ask the custodian what is still kept, as an authority would, but for records that are wrong already."""
        if self.findings["attribution"].wrong or self.findings["custody"].wrong:
            self.findings["answers"].seen += 1
            return
        kept = self._world.scenario.purposes.sealed
        examiner = Examiner(
            self._world, self._root / FLASH / "vault/attribution", lambda *key: sealed.custodian.key(*key[:2]), kept
        )
        examiner.ask(max(LEAST, min(MOST, int(EACH_DAY * self._world.length))))
        self.findings["answers"].seen += examiner.seen.total()
        self.findings["answers"].wrong += examiner.wrong
        self.answers = examiner.seen

    def _found(self, store: SealedAuditor | ConsentAuditor) -> None:
        for name, count in store.seen.items():
            self.findings[name].seen += count
        store.seen.clear()
        for name, what in store.wrong:
            self._rows[name].wrong.append(what)
