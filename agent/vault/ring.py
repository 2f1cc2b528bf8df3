# SPDX-License-Identifier: Apache-2.0
"""One purpose's store: a ring of segments, each a window of connection ends, each due as a whole (EXP-1, EXP-4).

A record goes to the segment of the window that holds its end; that segment stays open until 240 s after its window.
Later records share a second segment, open for three hours after the window; still later ones get one of their own. A
segment is due at its window's start plus the lifetime, by trusted wall clock or by time since boot, whichever comes
first: early by at most one window, or by a day of 90 in spring (windows.lasting), never late. Due means: key
overwritten, file overwritten, name removed. What no longer fits displaces the oldest segment, and its records are
counted as lost.

A segment is sealed anew without a terminal (L34-VI-5) as a copy of the same deadline. The copy is marked, and closed
with the number of the original's slot; from then on it counts, and the original goes. A process that is killed before
that leaves a copy that the next one destroys, and after it an original that the next one destroys.
"""

from agent.runtime import memory
from agent.runtime import sodium as crypto
from agent.vault import keys, segment
from agent.vault.open_segment import OpenSegment
from agent.vault.pages import Pages
from agent.vault.reading import read_segment
from agent.vault.segment_files import SegmentFiles, counts
from agent.vault.windows import GRACE, LATE, SECOND, SEGMENT_LIMIT, due, lasting, window_of

# A segment that goes earlier than this by the wall clock, quartz apart, was named by a clock that was stepped since
EARLY = 2 * SECOND
PPM = 100  # how wrong a quartz may be


class Ring:
    """The store of one purpose on tmpfs.

    `folder` holds the segment files and the mapped chunk pages. `lose(cause, records)` is told of every loss.
    """

    def __init__(
        self,
        folder: str,
        ring: keys.KeyRing,
        sodium: crypto.Sodium,
        purpose: int,
        lifetime: int,
        budget: int,
        boot: str,
        lose: "Callable[[str, int], None]",
    ) -> None:
        self.lifetime = lifetime
        self.width = window_of(lifetime)
        self.budget = budget
        self._keys = ring
        self._sodium = sodium
        self._purpose = purpose
        self._boot = boot
        self._lose = lose
        self._open: "dict[int, OpenSegment]" = {}
        self._wall = self._monotonic = self._on_time = 0
        # For the windows that can be open at once, one for a record on its own, one spare.
        count = (self.width + GRACE) // self.width + (self.width + LATE) // self.width + 4
        self._pages = Pages(folder + "/chunks", count)
        self._files = SegmentFiles(folder, ring, sodium, purpose, lose)
        # Numbers of segments that were found open, for the audit log
        self.torn = self._files.recover(self._pages, lifetime)
        self._pages.wipe(sodium)

    def now(self, wall: int, monotonic: int) -> None:
        """Take note of the present time in ns, for the records that `append` is given next."""
        self._wall, self._monotonic = wall, monotonic
        # Windows after it are neither late nor due.
        self._on_time = wall // SECOND - min(self.width + GRACE, self.lifetime)

    def append(self, connection: "Connection", terminal: "Holder | None", end: int) -> str:
        """Keep one record; `end` is when it ended, in ns. Returns "kept", "due on arrival" or "lost"."""
        entry = self.segment_for(end)
        if entry is None or not entry.room():
            return self._append(connection, terminal, end)
        entry.append(connection, terminal, end)
        return "kept"

    def segment_for(self, end: int) -> "OpenSegment | None":
        """Return the open segment that takes a record of a window that isn't late; None where it is to be opened."""
        window = end // SECOND
        window -= window % self.width
        return self._open.get(window * 4) if window > self._on_time else None

    def _append(self, connection: "Connection", terminal: "Holder | None", end: int) -> str:
        """Keep a record that is late, or the first one of its segment or page."""
        window, now = end // SECOND, self._wall // SECOND
        window -= window % self.width
        if window + lasting(window, self.lifetime) <= now:
            return "due on arrival"
        late = 0
        if now >= window + self.width + GRACE:
            late = 1 if now < window + self.width + LATE else 2
        while self._files.octets + segment.PAGE > self.budget and self._displace():
            pass
        name = window * 4 + late
        entry = self._open.get(name)
        unwritten = 1
        try:
            if entry is None:
                entry = self._begin(window, late)
                if entry is None:
                    self._lose("ring full", 1)
                    return "lost"
                self._open[name] = entry
            if not entry.room():
                self._flush(entry, crypto.MESSAGE)
            entry.append(connection, terminal, end)
            unwritten = 0
            if late == 2 or entry.full:
                self._close(name)
        except OSError:
            self._give_up(entry, unwritten)
            return "lost"
        return "kept"

    def _begin(self, window: int, late: int, like: "keys.Slot | None" = None) -> "OpenSegment | None":
        """Open a segment of a window, with the deadline of another whose copy it is; None without slot or page."""
        wall, monotonic = self._wall, self._monotonic
        slot = self._keys.take()
        if slot is None:
            if not self._displace():
                return None
            slot = self._keys.take()
        if slot is None or not self._pages.free:
            return None
        page = self._pages.free.pop()
        slot.state, slot.purpose, slot.late, slot.generation = keys.OPEN, self._purpose, late, 0
        slot.page, slot.window, slot.records = page, window, 0
        slot.lifetime = lasting(window, self.lifetime)
        # A window that lies in the future was named by a clock that has stepped
        # back since: what arrives has ended by now.
        slot.anchor = monotonic - max(wall - window * SECOND, 0)
        if like is not None:
            slot.lifetime, slot.anchor = like.lifetime, like.anchor
        stream = bytearray(crypto.HEADER)
        self._sodium.stream.open(slot.bank(0), stream, slot.key)
        header = segment.header(
            self._purpose, 0, self._boot, window, slot.lifetime, wall, monotonic, slot.number, bytes(stream)
        )
        slot.prepare(0, len(header))
        try:
            self._files.begin(slot, header)
        except OSError:
            self._pages.free.append(page)
            self._forget(slot)
            raise
        return OpenSegment(slot, self._pages.view(page), self._pages.address(page), header, self._pages.places(page))

    def _flush(self, entry: OpenSegment, tag: int) -> None:
        page = entry.page_address
        self._files.seal(entry.slot, page, entry.held, entry.used, entry.header, tag)
        self._sodium.zero(page, segment.PAGE)
        entry.used = entry.held = 0
        entry.full = entry.slot.written() >= SEGMENT_LIMIT

    def _close(self, name: int, original: int = 0) -> None:
        """Close a segment; of a copy, `original` is the slot that it counts for from then on."""
        entry = self._open[name]
        self._flush(entry, crypto.FINAL)
        del self._open[name]
        slot = entry.slot
        self._pages.free.append(slot.page)
        if slot.late == keys.COPY:
            slot.page = original
            slot.save()
        slot.state = keys.CLOSED
        slot.save()
        # Nothing is written any more: both states go, the key stays for reading until the deadline.
        self._sodium.zero(slot.bank(0), crypto.STATE)
        self._sodium.zero(slot.bank(1), crypto.STATE)

    def _end(self, name: int) -> None:
        entry = self._open[name]
        try:
            self._close(name)
        except OSError:
            self._give_up(entry, 0)

    def stepped(self) -> None:
        """Close every open segment.

        After a step of the wall clock its window is another span of time than its anchor says.
        """
        for name in list(self._open):
            self._end(name)

    def _give_up(self, entry: "OpenSegment | None", unwritten: int) -> None:
        """The file system refused: the segment can't be continued.

        What it held, and what was to be added, is counted as lost.
        """
        if entry is None:
            self._lose("store", unwritten)
            return
        self._lose("store", entry.slot.records + unwritten)
        self._forget(entry.slot)

    def _forget(self, slot: keys.Slot) -> None:
        """Destroy a segment, and what waits for it."""
        for name in list(self._open):
            if self._open[name].slot.index == slot.index:
                entry = self._open.pop(name)
                self._sodium.zero(entry.page_address, segment.PAGE)
                self._pages.free.append(slot.page)
        self._files.destroy(slot)

    def _displace(self) -> bool:
        """Destroy the oldest segment to make room; its records are lost. False where there is none."""
        first = self._files.deadlines.first()
        if first < 0:
            return False
        slot = self._keys.slot(first)
        self._lose("ring full", slot.records)
        self._forget(slot)
        return True

    def erase(self) -> int:
        """Destroy every segment now, by order; returns how many records they held."""
        records = 0
        for slot in self._files.slots():
            records += slot.records
            self._forget(slot)
        return records

    def segments(self) -> "Generator[keys.Slot]":
        """Close what is open; yield every segment that there is now."""
        self.stepped()
        newest = max([slot.number for slot in self._files.slots()] or [0])
        for slot in self._files.slots():
            if slot.number <= newest:
                yield slot

    def records(self, slot: keys.Slot, scratch: memory.Region) -> "Iterator[Record]":
        """Return what reads a segment's records, as `read_segment`."""
        return read_segment(self._files.folder, slot, self._sodium, scratch)

    def exchange(self, slot: keys.Slot, rows: "Iterator[tuple[Any, Holder | None, int]]", left: int) -> None:
        """Seal a closed segment anew with `left` rows: connection, terminal, end in ns.

        Where that can't be it goes, and they are lost.
        """
        copy: "OpenSegment | None" = None
        name = slot.window * 4 + keys.COPY
        try:
            copy = self._begin(slot.window, keys.COPY, slot) if left else None
            if copy is not None:
                self._open[name] = copy
                for connection, terminal, end in rows:
                    if not copy.room():
                        self._flush(copy, crypto.MESSAGE)
                    copy.append(connection, terminal, end)
                self._close(name, slot.index)
        except (OSError, crypto.SealError):
            if copy is not None:
                self._forget(copy.slot)
            copy = None
        slot.load()
        if slot.state != keys.FREE:  # free: it was displaced to make room for its own copy, and is counted
            if copy is None:
                self._lose("store", left)
            self._forget(slot)
        if copy is not None:
            counts(copy.slot)

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
        """Close what is over, destroy what is due; returns how many segments were destroyed. Times in ns."""
        now = wall // SECOND
        for name in list(self._open):
            slot = self._open[name].slot
            if now >= slot.window + self.width + (LATE if slot.late else GRACE):
                self._end(name)
        gone = 0
        for index in self._files.deadlines.due(now if trusted else -1, monotonic):
            slot = self._keys.slot(index)
            if slot.anchor + slot.lifetime * (SECOND - PPM * 1000) - monotonic > EARLY:
                self._lose("clock", slot.records)
            self._forget(slot)
            gone += 1
        return gone

    def late(self, wall: "int | None", monotonic: int) -> bool:
        """Return True if any key outlived its deadline: must never be true."""
        return any(due(slot, wall, monotonic) for slot in self._files.slots())

    def status(self, monotonic: int) -> "dict[str, int]":
        """Return segments, records, octets, the oldest window's age and a window's length in s (local use only)."""
        segments = records = oldest = 0
        for slot in self._files.slots():
            segments += 1
            records += slot.records
            oldest = max(oldest, monotonic - slot.anchor)
        return {
            "segments": segments,
            "records": records,
            "bytes": self._files.octets,
            "budget": self.budget,
            "oldest_seconds": oldest // SECOND,
            "window_seconds": self.width,
            "lifetime_seconds": self.lifetime,
        }

    def close(self) -> None:
        """Close every open segment in order; the keys stay for the next process of this boot."""
        for name in list(self._open):
            self._close(name)
        self._pages.close()
        self._files.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Iterator

    from agent.capture.connections import Connection
    from agent.vault.record import Holder, Record
