# SPDX-License-Identifier: Apache-2.0
"""The records of a history's boot, when each connection truly ended, and which may still be read (EXP-1)."""

from pathlib import Path

from agent import law
from agent.runtime import memory
from agent.runtime.sodium import Sodium
from agent.vault import keys, reading, segment
from host_sim.trials.lying_clocks import SECOND, LyingClocks

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
PPM = 100  # how wrong a quartz may be
AHEAD = 2 * SECOND  # by which the recorder's timers run ahead
WOBBLE = 2 * SECOND  # by which the wall clock may be ahead of the time since boot, its quartz apart, without a word
# Lifetime, window
LIFETIMES = {
    "20m": (20 * MINUTE, MINUTE), "2h": (2 * HOUR, MINUTE), "24h": (24 * HOUR, HOUR), "7d": (7 * 24 * HOUR, HOUR)
}  # fmt: skip


class HistoryError(Exception):
    """What must never be false was false; the text says what, with the seed of the history."""


class HeldRecords:
    """Records below `root` of a lifetime of LIFETIMES. `latest` is by how many ns one opened past its deadline."""

    def __init__(self, root: Path, lifetime: str, clocks: LyingClocks) -> None:
        self._root, self._clocks = root, clocks
        self._sodium = Sodium()
        self.lifetime, self.width = LIFETIMES[lifetime]
        self.ended: dict[int, int] = {}  # connections of this boot by number: when they truly ended
        self.doubt: dict[int, int] = {}  # by how much longer ago another reading of its stamp puts that
        self.latest = 0

    def boot(self) -> None:
        """Tmpfs is empty."""
        self.ended.clear()
        self.doubt.clear()

    def add(self, end: int, timed_out: int, told: int) -> int:
        """A connection truly ended, timed out, and the kernel told of it (true ns); returns its number."""
        number = len(self.ended) + 1
        self.ended[number] = end
        self.doubt[number] = self._clocks.older(timed_out, told)
        return number

    def deadlines(self) -> list[int]:
        """Return the true times at which each record must have gone, in their order."""
        over = self.lifetime + self.lifetime * PPM // 1_000_000 + SECOND
        return sorted(end + over for end in self.ended.values())

    def readable(self) -> set[int]:
        """Return the records that a thief opens whose clocks show what he likes."""
        place, found = self._root / "var/run/oubli", set()
        region, scratch = keys.open_ring(str(place / "keys")), memory.scratch(4 * segment.PAGE)
        try:
            for slot in keys.used(region):
                if slot.purpose == law.number("security"):
                    segments = str(place / "vault/security")
                    found |= {one.bytes_up for one in reading.read_segment(segments, slot, self._sodium, scratch)}
        finally:
            scratch.wipe()
            scratch.close()
            region.close()
        return found

    def early(self, number: int) -> bool:
        """Return True if a record is gone too early: by over a window, quartz, wobble and doubt about its stamp."""
        slack = self.width + AHEAD + WOBBLE + 2 * self.lifetime * PPM // 1_000_000 + self.doubt[number]
        return self._clocks.t - self.ended[number] < self.lifetime - slack

    def compare(self, explained: int) -> None:
        """Hold what opens against the true ages; `explained`: how many records the device says it lost."""
        found = self.readable()
        for number in found:
            over = self._clocks.t - self.ended[number] - self.lifetime
            if over >= 0:
                self.latest = max(self.latest, over)
            if over > self.lifetime * PPM // 1_000_000:
                raise HistoryError(f"a record opens {over / SECOND:.1f} s past its deadline")
        missing = [number for number in self.ended if number not in found and self.early(number)]
        if missing and not self._clocks.stepped:
            raise HistoryError(
                f"{len(missing)} records are gone before their time, with a clock that was never stepped"
            )
        if len(missing) > explained:
            raise HistoryError(f"{len(missing)} records are gone before their time, {explained} are said to be")
