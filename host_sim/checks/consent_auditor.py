# SPDX-License-Identifier: Apache-2.0
"""Holds what is kept by consent, `services` and `location`, against what guests said at the portal (L34-IV-1, L34-V).

It reads as a thief with the files would: no deadline stops it. What can be read must be a connection or a stay of a
terminal whose consent was active then, and isn't withdrawn now. What must be there is.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agent.purposes.consent import consent_ring
from agent.purposes.location import record as location
from agent.purposes.services import record as services
from agent.runtime.sodium import SealError
from host_sim.checks.unmatched import UNIT
from host_sim.venue.portal import Portal, Stay
from host_sim.venue.truth import Kept

SLACK = 2  # seconds: the recorder asks the radios each second
_UNSTAMPED = 9  # fields of a record before its times
_STORES = ("services", "location")


class ConsentAuditor:
    """The two stores of one gateway below `root`; each look fills `wrong` by finding: consents, stays."""

    def __init__(self, root: Path, portal: Portal) -> None:
        self._root, self._portal = root, portal
        self._kept: list[Kept] = []  # told of, under a consent
        self._stays: list[Stay] = []
        self.seen: Counter[str] = Counter()
        self.wrong: list[tuple[str, str]] = []
        # Somebody stepped the clock: stamps are told otherwise. And the process was
        # killed, or slept: something may not be there.
        self.stepped = self.disturbed = False

    def tell(self, records: list[Kept]) -> None:
        """The recorder was told of these."""
        self._kept += [one for one in records if one.subscriber.consent]
        self.stepped = self.stepped or not all(one.notice.exact for one in records)

    def forget(self) -> None:
        """Tmpfs is empty."""
        self._kept.clear()
        self._stays.clear()

    def count(self, states: dict[str, int] | None) -> str:
        """Hold the recorder's own count of consents by state against the portal's.

        Returns what is wrong, "" for nothing.
        """
        alive, said = len(self._portal.alive), sum((states or {}).get(state, 0) for state in ("active", "suspended"))
        return f"{said} consents are in force, of which {alive} were given and not withdrawn" if said > alive else ""

    def look(self) -> None:
        """Read both stores and compare."""
        self.wrong = []
        alive = self._portal.alive
        self._kept = [one for one in self._kept if one.subscriber.consent in alive]
        self._stays = [one for one in self._stays + self._portal.stays if one.consent in alive]
        self._portal.stays = []
        self._look_at_services(Counter(_record(octets) for octets in self._read("services")))
        self._look_at_stays([location.unpack(memoryview(octets)) for octets in self._read("location")])

    def _read(self, store: str) -> Iterator[bytes]:
        if not (self._root / "var/run/oubli/vault" / store / "ring").exists():
            return
        try:
            for octets in consent_ring.read(str(self._root), store, None, 0):
                yield bytes(octets)
        except SealError:
            self.wrong.append(("consents", f"a record of {store} doesn't open"))

    def _look_at_services(self, found: Counter[tuple[object, ...]]) -> None:
        allowed = Counter(_truth(one) for one in self._kept)
        wanted = Counter(_truth(one) for one in self._kept if one.notice.known and one.notice.sure)
        if self.stepped:
            found, allowed = (Counter(one[:_UNSTAMPED] for one in each.elements()) for each in (found, allowed))
        self.seen["consents"] += found.total()
        if more := (found - allowed).total():
            self.wrong.append(("consents", f"{more} connections can be read that no consent allows"))
        if (never := (wanted - found).total()) and not (self.disturbed or self.stepped):
            self.wrong.append(("consents", f"{never} connections under a consent have no record"))

    def _look_at_stays(self, found: list[tuple[bytes, int, int, bytes]]) -> None:
        wanted: dict[tuple[bytes, str], list[Stay]] = {}
        for one in self._stays:
            wanted.setdefault((one.mac, one.access_point), []).append(one)
        allowed = {one.mac for one in self._stays}
        for mac, start, end, name in found:
            self.seen["stays"] += 1
            same = wanted.get((mac, name.decode()), [])
            match = next((one for one in same if abs(one.start - start) <= SLACK and abs(one.end - end) <= SLACK), None)
            if match is not None:
                same.remove(match)
            elif mac not in allowed and not self._consents(mac):
                self.wrong.append(("consents", "a stay can be read of a terminal that has no consent"))
            else:
                self.wrong.append(("stays", "a stay that nobody made under a consent"))
        if (never := sum(one.sure for left in wanted.values() for one in left)) and not (
            self.disturbed or self.stepped
        ):
            self.wrong.append(("stays", f"{never} stays under a consent have no record"))

    def _consents(self, mac: bytes) -> bool:
        guest = self._portal.guests.get(mac)
        return guest is not None and guest.consent in self._portal.alive


def _record(octets: bytes) -> tuple[object, ...]:
    one = services.unpack(octets)
    return (
        bytes(one.mac), bytes(one.address), one.protocol, one.source_port, one.translated_port,
        one.bytes_up, one.bytes_down, one.packets_up, one.packets_down, one.start, one.start + one.duration,
    )  # fmt: skip


def _truth(one: Kept) -> tuple[object, ...]:
    return (*one[:9], one.start // UNIT, one.end // UNIT)
