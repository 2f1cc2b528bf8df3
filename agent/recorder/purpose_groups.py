# SPDX-License-Identifier: Apache-2.0
"""The purposes beside `security`, by what they have in common; each group is made where it is on, or first asked for.

Their modules cost heap, so they are imported no sooner, and not every gateway has them.
"""

from agent import law
from agent.control import calls


class PurposeGroups:
    """The groups of one recorder: `all` of them, and by name those that something asks for by itself.

    `second` returns the present second, None where no clock is trusted. `bus` is as in agent.recorder.recorder.
    """

    consented: "Consented | None" = None
    deferred: "DeferredPurposes | None" = None
    _erasure: "Erasure | None" = None

    def __init__(
        self,
        recorder: "Recorder",
        sodium: "Sodium",
        second: "Callable[[], int | None]",
        bus: "Callable[[Stations, Callable[[], bool]], Bus | None]",
    ) -> None:
        self._recorder, self._sodium, self._second, self._bus = recorder, sodium, second, bus
        self.all: "list[Purposes]" = []

    def by_consent(self) -> "Consented":
        """Return what is done by consent or in an emergency."""
        if self.consented is None:
            try:
                from agent.purposes.consent.consented import Consented
            except ImportError:
                raise calls.Refused(law.PACKAGE + " isn't installed; accepted: on a gateway that has it")
            one = self._recorder
            self.consented = made = Consented(one, self._sodium, self._second, self._bus)
            for name in made.stores:
                one.kept.by_name[name] = made.stores[name]
            self.all.insert(0, made)
            one.day.terminals.objects = made.objects
        return self.consented

    def defer(self, nat: "Any") -> None:
        """Make ready what `attribution` and `billing` have beside their stores; nothing without one."""
        one = self._recorder
        if "attribution" not in one.kept.by_name and "billing" not in one.kept.by_name:
            return
        from agent.purposes import deferred_purposes

        self.deferred = deferred_purposes.DeferredPurposes(
            one.config,
            one.paths,
            one.kept.by_name,
            one.guests.lan,
            one.guests.holders,
            self._sodium,
            nat or deferred_purposes.NoKernel(),
            one.counters.add,
            one.audit.note,
            one.clock,
            one.turn.monotonic,
        )
        self.all.append(self.deferred)

    def require_deferred(self, *, on: bool = False) -> "DeferredPurposes":
        """Return what `attribution` and `billing` have beside their stores; Refused without one (`on`: that is on)."""
        if self.deferred is None or (on and not self.deferred.on):
            raise calls.Refused("neither attribution nor billing is on; accepted: on a gateway that keeps one of them")
        return self.deferred

    def tell(self, pipeline: "Pipeline") -> None:
        """Let those be told of each connection whom that concerns."""
        pipeline.by_consent = self.consented is not None and "services" in self._recorder.kept.by_name
        told = [
            self.consented if pipeline.by_consent else None,
            self.deferred if self.deferred and self.deferred.on else None,
        ]
        pipeline.purposes = [group for group in told if group is not None]

    def erasure(self) -> "Erasure":
        """Return what erases a terminal's records."""
        if self._erasure is None:
            self.by_consent()  # of the same package
            from agent.purposes.erasure.rounds import Erasure

            one = self._recorder
            self._erasure = Erasure(one, one.kept.ring, one.guests.holders.holder)
            self.all.append(self._erasure)
        return self._erasure


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.purposes.consent.consented import Consented
    from agent.purposes.deferred_purposes import DeferredPurposes
    from agent.purposes.erasure.rounds import Erasure
    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
    from agent.purposes.purposes import Purposes
    from agent.recorder.pipeline import Pipeline
    from agent.recorder.recorder import Recorder
    from agent.runtime.sodium import Sodium
