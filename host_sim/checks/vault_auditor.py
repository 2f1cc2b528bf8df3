# SPDX-License-Identifier: Apache-2.0
"""Holds the vault of `security` against the truth after each step: what opens, must open, must not (EXP-1, EXP-2).

It reads as a thief with the files would: no deadline stops it. A segment that is closed is read once, and remembered by
the youngest and oldest of its records: a month costs what its records cost; open ones are read again at each full look.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agent import law
from agent.runtime import memory
from agent.runtime.sodium import SealError, Sodium
from agent.vault import keys, reading, segment
from host_sim.checks.unmatched import Unmatched, known
from host_sim.venue.device_clock import SECOND
from host_sim.venue.truth import HOUR, Kept

AHEAD = 3 * SECOND  # by which the recorder's timers run ahead, and a turn
TMPFS, PURPOSE = "var/run/oubli", "security"
_INFLATING = threading.Lock()  # a process has one inflater, and several lives may run in one


class Segment:
    """What the auditor remembers of one: how many records, when their first and last connections truly ended."""

    def __init__(self, records: list[Kept], octets: int, *, final: bool, all_kept: bool = False) -> None:
        self.count, self.octets, self.final = len(records), octets, final
        self.first = min((record.ended for record in records), default=1 << 62)
        self.last = max((record.ended for record in records), default=0)
        self.claims = records if all_kept or not final else []


class Vault:
    """The store of one gateway below `root`; `lifetime` in seconds, `drift` of its quartz in ppm (EXP-4).

    `erases`: single terminals may be erased, whereby segments are sealed anew.
    """

    def __init__(self, root: Path, lifetime: int, drift: int = 0, *, erases: bool = False) -> None:
        self._root, self._erases = root, erases
        self.lifetime = lifetime * SECOND
        self._late = self.lifetime * abs(drift) // 1_000_000 + SECOND // 10
        self._window = HOUR if lifetime >= 86400 else 60 * SECOND  # W of EXP-1
        self._waiting = Unmatched()  # told to the recorder, not found in a closed segment yet
        self._segments: dict[int, Segment] = {}
        self._sodium = Sodium()
        self._sum = 0
        self.wrong: list[str] = []  # of this look
        self.expired: list[str] = []
        self.records = self.seen = 0  # that open now; that were compared
        self.gone_early = 0  # records that went before their time, since the boot
        self.suspect: Kept | None = None  # the connection that the first finding of this look is about

    @property
    def digest(self) -> str:
        """What every record that was read in a closed segment said, whatever their order, as a number in hex."""
        return f"{self._sum:064x}"

    @property
    def octets(self) -> int:
        """What its files take, in octets."""
        return sum(one.octets for one in self._segments.values())

    def forget(self) -> None:
        """Tmpfs is empty."""
        self._waiting.take()
        self._segments.clear()
        self.gone_early = 0

    def erase(self, mac: bytes | None = None) -> int:
        """Everything has been erased, or a terminal's named records; returns how many records that were at most."""
        held = self._waiting.take()
        before = len(held) + sum(one.count for one in self._segments.values())
        held += [one for segment in self._segments.values() for one in segment.claims]
        self._segments.clear()
        left = [] if mac is None else [one for one in held if one.mac != mac or not known(one)]
        self.tell(left)
        return before - len(left)

    def tell(self, records: list[Kept]) -> None:
        """The recorder was told of these."""
        self._waiting.tell(records)

    def look(self, now: int, *, full: bool, stepped: bool, slept: int = 0, lost: int = 0) -> None:
        """Compare at a true time; `full` reads open segments too.

        Of this boot: `slept` is for how many ns the gateway did, `lost` what the agent says it lost or erased.
        """
        self.wrong, self.expired, self.suspect = [], [], None
        slack = self._slack(stepped=stepped) + slept
        files = {path.name: path.stat().st_size for path in self._folder().glob("*") if path.name != "chunks"}
        region = keys.open_ring(str(self._root / TMPFS / "keys"))
        scratch = memory.scratch(segment.PAGE * 4)
        present: set[int] = set()
        try:
            for slot in _slots(region):
                present.add(slot.number)
                files.pop(f"{slot.number:08x}", None)
                former = self._segments.get(slot.number)
                if former is None or not former.final:
                    final = slot.state != keys.OPEN
                    if final or full:
                        # What was found in it while it was open is found again
                        self.tell(former.claims if former else [])
                        self._read(slot, scratch, final=final)
            if any(_left(region)):
                self.expired.append("octets of keys are left")
        finally:
            scratch.wipe()
            scratch.close()
            region.close()
        if files:
            self.expired.append(f"{len(files)} segment files are left that no key belongs to")
        self._deadlines(now, present, slack, lost)
        if full:
            self._complete(now, slack, lost)
        self.records = sum(self._segments[number].count for number in present if number in self._segments)

    def _folder(self) -> Path:
        return self._root / TMPFS / "vault" / PURPOSE

    def _read(self, slot: keys.Slot, scratch: memory.Region, *, final: bool) -> None:
        found: list[Kept] = []
        invented: Counter[str] = Counter()
        try:
            with _INFLATING:
                for record in reading.read_segment(str(self._folder()), slot, self._sodium, scratch):
                    key = (
                        bytes(record.mac), bytes(record.address), record.protocol, record.source_port,
                        record.translated_port, record.bytes_up, record.bytes_down, record.packets_up,
                        record.packets_down, record.start, record.start + record.duration,
                    )  # fmt: skip
                    claimed = self._waiting.claim(key)
                    if claimed is None:
                        unlike, suspect = self._waiting.likeness(key)
                        self.suspect = self.suspect or suspect
                        invented[unlike] += 1
                    else:
                        found.append(claimed)
                        if final:
                            said = hashlib.sha256(repr(key).encode()).digest()
                            self._sum = (self._sum + int.from_bytes(said, "big")) % (1 << 256)
        except SealError:
            self.wrong.append("a segment doesn't open to its end")
        self.seen += len(found)
        self.wrong += [f"{count} records that no connection made ({what})" for what, count in invented.items()]
        path = self._folder() / f"{slot.number:08x}"
        self._segments[slot.number] = Segment(
            found, path.stat().st_size if path.exists() else 0, final=final, all_kept=self._erases
        )

    def _deadlines(self, now: int, present: set[int], slack: int, lost: int) -> None:
        open_now = [self._segments[number] for number in present if number in self._segments]
        late = sum(one.count for one in open_now if one.first + self.lifetime + self._late <= now)
        if late:
            self.expired.append(f"{late} records open past their deadline")
        for number in list(self._segments):
            if number not in present:
                one = self._segments.pop(number)
                if one.last + self.lifetime - now > slack:
                    self.gone_early += one.count
        if self.gone_early > lost:
            self.wrong.append(f"{self.gone_early} records are gone before their time, {lost} are said to be")

    def _slack(self, *, stepped: bool) -> int:
        """Return by how much a record may go too early; after a step, by the older of two readings of a stamp."""
        return self._window + AHEAD + self._late + (660 * SECOND if stepped else 0)

    def _complete(self, now: int, slack: int, lost: int) -> None:
        """After a full look: whatever isn't due yet has been found."""
        ended = now - self.lifetime + slack
        missing = self._waiting.missing(lambda one: one.ended <= ended)
        self.suspect = self.suspect or next(iter(missing), None)
        if len(missing) + self.gone_early > lost:
            self.wrong.append(f"{len(missing)} connections without their record")


def _slots(region: memory.Region) -> Iterator[keys.Slot]:
    number = law.number(PURPOSE)
    return (slot for slot in keys.used(region) if slot.purpose == number)


def keys_left(path: str) -> bool:
    """Return True if the key ring at a path has a key of this purpose, or an octet in a free slot."""
    region = keys.open_ring(path)
    try:
        return any(_slots(region)) or any(_left(region))
    finally:
        region.close()


def _left(region: memory.Region) -> Iterator[bool]:
    """Yield True for each free slot in which an octet is left."""
    for at in range(keys.HEADER, region.size, keys.SLOT):
        if region.view[at] == keys.FREE:
            yield any(region.view[at : at + keys.SLOT])
