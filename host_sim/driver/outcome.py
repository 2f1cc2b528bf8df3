# SPDX-License-Identifier: Apache-2.0
"""What a simulation came to: figures, violations, what the auditor saw of the vault."""

from dataclasses import dataclass

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
class Run:
    """How it ran: `days` are simulated, `seconds` real ones, `steps` the auditor's."""

    seed: int
    interpreter: str
    days: float
    seconds: float
    steps: int
    sizes: tuple[int, int]  # resident octets of the recorder: after its first hours, at most
    cpu: dict[str, float]  # seconds of the processor, by process


@dataclass(frozen=True)
class Traffic:
    """What the people did, and what became of it: counts."""

    terminals: int
    connections: int
    by_protocol: dict[str, int]
    fates: dict[str, int]  # of the connections, as the world knows
    losses: dict[str, int]  # as the agent counts


@dataclass(frozen=True)
class Published:
    """What came out: hourly and daily figures beside the truth; `newest` is the last one's topic and text."""

    slots: list[Slot]
    daily: list[Figures]
    newest: tuple[str, str]


@dataclass(frozen=True)
class Outcome:
    """What a run showed.

    `looks` into the vault are in order of time, the last one after every deadline; `series` are the same of each hour.
    `digests` are equal for the same seed on each interpreter: of the messages as spooled, of the records as opened, of
    the events.
    """

    scenario: Scenario
    run: Run
    traffic: Traffic
    published: Published
    looks: list[Vault]
    series: list[Vault]
    findings: list[Finding]
    digests: dict[str, str]
    events: list[Happening]
    answers: dict[str, int]  # to an authority's questions at the end, by result
    violation: Violation | None

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
            "seed": self.run.seed,
            "interpreter": self.run.interpreter,
            "days": self.run.days,
            "seconds": round(self.run.seconds, 1),
            "steps": self.run.steps,
            "terminals": self.traffic.terminals,
            "connections": self.traffic.connections,
            "by_protocol": self.traffic.by_protocol,
            "fates": self.traffic.fates,
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
                for slot in self.published.slots
            ],
            "daily": [
                {
                    "metric": one.metric,
                    "day": one.day // SECOND,
                    "values": one.values,
                    "half_width": one.half_width,
                    "defined": one.truth,
                }
                for one in self.published.daily
            ],
            "vault": [
                {"at": look.wall // SECOND, "records": look.records, "bytes": look.octets} for look in self.looks
            ],
            "losses": self.traffic.losses,
            "answers": self.answers,
            "events": [{"at": at // SECOND, "what": what} for at, what, _ in self.events],
            "findings": [
                {"what": f.what, "seen": f.seen, "holds": f.holds, "wrong": f.wrong[:10]} for f in self.findings
            ],
            "violation": self.violation and {**vars(self.violation), "wall": self.violation.wall // SECOND},
            "passed": self.passed,
        }
