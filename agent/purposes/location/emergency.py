# SPDX-License-Identifier: Apache-2.0
"""Where one terminal is now, for a rescue (L34-V-5).

Opened by the operator for one terminal and one incident, never from traffic. Only then are this gateway's radios asked
who is there; nothing was kept before, and nobody else's presence is. The answer lies in mapped memory and is
overwritten at each new question, at `close`, and after four hours.
"""

from agent.control.calls import Refused
from agent.purposes.location.stations import NAME, RADIOS
from agent.runtime import memory

LASTS = 4 * 3600 * 1000000000  # ns
COVERS = "this gateway's radios only"


class Emergency:
    """At most one is open. `stations` asks the radios."""

    def __init__(self, stations: "Stations") -> None:
        self._stations = stations
        self._answer = memory.scratch((NAME + 1) * RADIOS)
        self._until = self._incident = self._count = 0

    @property
    def is_open(self) -> bool:
        """Return True if one is open."""
        return self._until > 0

    def open(self, mac: bytes, incident: int, monotonic: int) -> None:
        """Look for a terminal; Refused where an incident is open already."""
        if self.is_open:
            raise Refused("an emergency is open; accepted: emergency close, or after four hours")
        self._until, self._incident = monotonic + LASTS, incident
        self._stations.sought, self._stations.sighted = bytearray(mac), self._sighted
        self._stations.ask()

    def again(self) -> None:
        """Ask the radios once more; Refused where none is open."""
        if not self.is_open:
            raise Refused("no emergency is open; accepted: emergency open")
        self._forget()
        self._stations.ask()

    def _sighted(self, access_point: bytes) -> None:
        if access_point not in self._names() and self._count < RADIOS:
            at = self._count * (NAME + 1)
            self._answer.view[at] = len(access_point)
            self._answer.view[at + 1 : at + 1 + len(access_point)] = access_point
            self._count += 1

    def _names(self) -> "list[bytes]":
        view = self._answer.view
        starts = [index * (NAME + 1) for index in range(self._count)]
        return [bytes(view[at + 1 : at + 1 + view[at]]) for at in starts]

    def _forget(self) -> None:
        self._answer.wipe()
        self._count = 0

    def status(self, monotonic: int) -> "dict[str, Any]":
        """Return what is known now: access points, whether all radios have answered, for how long it stays open."""
        if not self.is_open:
            return {"open": False}
        return {
            "open": True,
            "incident": self._incident,
            "access_points": [name.decode() for name in self._names()],
            "radios": self._stations.radios,
            "answered": self._stations.answered,
            "covers": COVERS,
            "seconds_left": max(self._until - monotonic, 0) // 1000000000,
        }

    def close(self) -> int:
        """Overwrite whom it looked for and the answer; returns the incident's number, 0 where none was open."""
        sought = self._stations.sought
        if sought is not None:
            for index in range(len(sought)):
                sought[index] = 0
        self._stations.sought = None
        self._forget()
        incident, self._until, self._incident = self._incident, 0, 0
        return incident

    def tick(self, monotonic: int) -> int:
        """Close after four hours; returns the incident's number where that was now, else 0."""
        if not self.is_open or monotonic < self._until:
            return 0
        return self.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.purposes.location.stations import Stations
