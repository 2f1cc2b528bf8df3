# SPDX-License-Identifier: Apache-2.0
"""What a simulation came to: figures, violations, what the auditor saw of the vault."""

from dataclasses import dataclass, field

from host_sim.checks.findings import Finding
from host_sim.checks.noise_bounds import Figures, Slot
from host_sim.venue.happenings import Happening
from host_sim.venue.people import SECOND
from host_sim.venue.scenario import Scenario


@dataclass(frozen=True)
class Vault:
    """What the vault held at one look. `wall` in ns since the epoch."""

    wall: int
    records: int
    octets: int
    fill: int = 0  # of the connection table, in per cent
    people: int = 0  # devices present
    connections: int = 0  # that had ended by then
    oldest: int = 0  # age of the oldest record, in seconds, as the agent says it


@dataclass(frozen=True)
class Violation:
    """The first thing that must never be and was; `step` counts looks, `story` is its history, ten lines at most."""

    step: int
    wall: int
    check: str
    wrong: str
    story: list[str]


@dataclass(frozen=True)
class Outcome:
    """What a run showed. `newest` is a summary's topic and text, `seconds` are real ones.

    `looks` into the vault are in order of time, the last one after every deadline; `series` are the same of each hour.
    `digests` are equal for the same seed on each interpreter: of the messages as spooled, of the records as opened, of
    the events.
    """

    scenario: Scenario
    seed: int
    interpreter: str
    days: float
    seconds: float
    connections: int
    by_protocol: dict[str, int]
    terminals: int
    slots: list[Slot]
    daily: list[Figures]
    newest: tuple[str, str]
    looks: list[Vault]
    losses: dict[str, int]
    findings: list[Finding]
    fates: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    events: list[Happening] = field(default_factory=list)
    series: list[Vault] = field(default_factory=list)
    steps: int = 0
    sizes: tuple[int, int] = (0, 0)  # resident octets of the recorder: after its first hours, at most
    cpu: dict[str, float] = field(default_factory=dict)  # seconds of the processor, by process
    answers: dict[str, int] = field(default_factory=dict)  # to an authority's questions at the end, by result
    violation: Violation | None = None

    @property
    def passed(self) -> bool:
        """Whether the auditor is content."""
        return all(finding.holds for finding in self.findings)

    @property
    def fullest(self) -> Vault:
        """The look that found most in the vault."""
        return max(self.looks, key=lambda look: (look.records, look.octets))

    def figures(self) -> dict[str, object]:
        """Return the JSON of `--json`."""
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "interpreter": self.interpreter,
            "days": self.days,
            "seconds": round(self.seconds, 1),
            "steps": self.steps,
            "terminals": self.terminals,
            "connections": self.connections,
            "by_protocol": self.by_protocol,
            "fates": self.fates,
            "digests": self.digests,
            "slots": [
                {
                    "start": slot.start // SECOND,
                    "value": slot.value,
                    "half_width": slot.half_width,
                    "defined": slot.defined,
                    "real": slot.real,
                    "inside": slot.inside,
                }
                for slot in self.slots
            ],
            "daily": [
                {
                    "metric": one.metric,
                    "day": one.day // SECOND,
                    "values": one.values,
                    "half_width": one.half_width,
                    "defined": one.truth,
                }
                for one in self.daily
            ],
            "vault": [
                {"at": look.wall // SECOND, "records": look.records, "bytes": look.octets} for look in self.looks
            ],
            "losses": self.losses,
            "answers": self.answers,
            "events": [{"at": at // SECOND, "what": what} for at, what, _ in self.events],
            "findings": [
                {"what": f.what, "seen": f.seen, "holds": f.holds, "wrong": f.wrong[:10]} for f in self.findings
            ],
            "violation": self.violation and {**vars(self.violation), "wall": self.violation.wall // SECOND},
            "passed": self.passed,
        }
