# SPDX-License-Identifier: Apache-2.0
"""What was seen at each step of a simulation, and at which steps more is looked at."""

import hashlib
import os
from pathlib import Path

from host_sim.driver.outcome import Vault
from host_sim.venue.people import HOUR

_LOOK = HOUR  # between two full looks
_SHOWN = 3 * HOUR  # between two looks that the demo shows
_TROUBLE = ("unknown terminal", "malformed", "overruns", "gaps", "torn segments", "messages dropped", "messages lost")


class Looks:
    """The steps of one run. `series` are the full looks, `shown` those of them that the demo shows.

    `losses` are the agent's counters of them since its boot; `cpu` the seconds of each daemon up to the last full look.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.shown: list[Vault] = []
        self.series: list[Vault] = []
        self.losses: dict[str, int] = {}
        self.cpu: dict[str, float] = {}
        self._said = hashlib.sha256()

    def begin(self, now: int, status: dict, pids: dict[str, int], *, ended: bool) -> tuple[bool, bool]:
        """A step is over, at which the agent says `status`; returns if all is looked at now, and if it is shown."""
        self.steps += 1
        full = ended or now // _LOOK != _last(self.series) // _LOOK
        self.losses = {
            name: count for name, count in status["counters"].items() if name.startswith("lost: ") or name in _TROUBLE
        }
        if full:
            self.cpu = {name: _processor_time(pid) for name, pid in pids.items()}
        return full, full and (ended or now // _SHOWN != _last(self.shown) // _SHOWN)

    def end(self, now: int, status: dict, look: Vault | None, *, shown: bool) -> None:
        """It has been looked at; `look` is what a full look found in the vault."""
        if look:
            self.series.append(look)
            self.shown += [look] if shown else []
        said = (self.steps, now, sorted(status["counters"].items()), status["clock"], status["summary"]["spent"])
        self._said.update(f"{said}\n".encode())

    @property
    def digest(self) -> str:
        """The digest of what the agent said at each step."""
        return self._said.hexdigest()


def _last(looks: list[Vault]) -> int:
    return looks[-1].wall if looks else 0


def _processor_time(pid: int) -> float:
    """Return the seconds of the processor that a process has had (proc_pid_stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
