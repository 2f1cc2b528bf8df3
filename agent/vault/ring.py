# SPDX-License-Identifier: Apache-2.0
"""One purpose's store: a ring of segments, each a window of connection ends, each due as a whole (EXP-1, EXP-4).

A record goes to the segment of the window that holds its end; that segment stays open until 240 s after its window. Later
records share a second segment, open for three hours after the window; still later ones get one of their own. A segment
is due at its window's start plus the lifetime, by trusted wall clock or by time since boot, whichever comes first: early by
at most one window, never late. Due means: key overwritten, file overwritten, name removed. What no longer fits displaces
the oldest segment, and its records are counted as lost.

A segment is sealed anew without a terminal (L34-VI-5) as a copy of the same deadline. The copy is marked, and closed with the number of
the original's slot; from then on it counts, and the original goes. A process that is killed before that leaves a copy that the next one
destroys, and after it an original that the next one destroys.
"""

import os
import struct

from agent import law
from agent.runtime import files, memory
from agent.runtime import sodium as crypto
from agent.runtime.deflate import DEFLATE
from agent.runtime.libc import LIBC, words
from agent.vault import keys, segment
from agent.vault.deadlines import Deadlines
from agent.vault.record import COLUMN, COLUMNS, COUNT, LARGEST, REST, TERMINALS, Packer
from agent.vault.unpacker import Unpacker

_SECOND = 1000000000
GRACE = 240  # seconds a segment stays open after its window
COPY = 3  # `late` of a segment that is being copied
LATE = 10800  # seconds after its window at which the second segment closes: a phone that walked away is told of 7,490 s late
EARLY = 2 * _SECOND  # a segment that goes earlier than this by the wall clock, quartz apart, was named by a clock that was stepped since
PPM = 100  # how wrong a quartz may be
SEGMENT_LIMIT = 65536  # octets of a file at which a segment closes
FULL = segment.PAGE - segment.PAGE_HEADER - REST - LARGEST  # octets of records' rest: no room for one more
_PLACES = 8 * TERMINALS  # octets of a dictionary


def window_of(lifetime: int) -> int:
    """Return the width of a window in seconds for a lifetime in seconds."""
    return 60 if lifetime < 86400 else 3600


def slots_for(lifetime: int, budget: int) -> int:
    """Return how many segments may exist at once: two a window, those that filled up, and some for the very late."""
    return 2 * (lifetime // window_of(lifetime) + 2) + budget // SEGMENT_LIMIT + 16


def due(slot: keys.Slot, wall: "int | None", monotonic: int) -> bool:
    """Return True if a segment's deadline has come; `wall` in ns, None while the clock isn't trusted."""
    if wall is not None and wall >= (slot.window + slot.lifetime) * _SECOND:
        return True
    return monotonic >= slot.anchor + slot.lifetime * _SECOND


def _waiting(buffer: "bytes | bytearray | memoryview", at: int, slot: keys.Slot) -> int:
    """Return how many octets a page holds for the chunk that follows a slot's last sealed one."""
    (head,) = struct.unpack_from("<I", buffer, at)
    return head & 0xFFFF if head >> 16 == slot.generation else 0


class _Open:
    """A segment that takes records: its slot, its page of the chunk file, its packer."""

    def __init__(self, slot: keys.Slot, page: "memoryview | bytearray", page_address: int, header: bytes, places: "Any") -> None:
        self.slot = slot
        self.page = page
        self.head = words(page, segment.PAGE_HEADER)
        self.counter = slot.counter()
        self.page_address = page_address
        self.header = header
        self.packer = Packer(slot.window, places, page[segment.PAGE_HEADER :])
        self.used = self.held = 0  # octets of records' rest in the page, and records
        self.full = False

    def room(self) -> bool:
        """Return True if the page has room for one more record."""
        return self.used <= FULL and self.held < COLUMN

    def append(self, connection: "Connection", terminal: "Holder | None", end: int) -> None:
        """Pack one record; there must be room."""
        self.used = self.packer.pack(REST + self.used, self.held, connection, terminal, end) - REST
        self._count(1)

    def go_on(self, used: int, end: int, records: int) -> None:
        """Go on behind `records` that somebody else has packed: octets used, the last one's end in units."""
        self.used, self.packer.end = used, end
        self._count(records)

    def _count(self, records: int) -> None:
        # The page's first word makes a record valid: written last, so a killed process leaves whole records, and columns as long at least:
        # the upper octet of how many first, for what both say meanwhile is more, too.
        self.held += records
        self.page[segment.PAGE_HEADER] = self.held >> 8
        self.page[segment.PAGE_HEADER + 1] = self.held & 255
        self.head[0] = self.used | self.slot.generation << 16
        self.slot.records += records
        self.counter[0] = self.slot.records


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
        self.octets = 0
        self._folder = folder
        self._keys = ring
        self._sodium = sodium
        self._purpose = purpose
        self._boot = boot
        self._lose = lose
        self._open: "dict[int, _Open]" = {}
        self._wall = self._monotonic = self._on_time = 0
        self._deadlines = Deadlines(ring)
        # Pages for the windows that can be open at once, one for a record on its own, one spare.
        count = (self.width + GRACE) // self.width + (self.width + LATE) // self.width + 4
        former = files.exists(folder + "/chunks")
        if former:  # of another lifetime there may have been more; what was left open lies in one of them
            count = max(count, files.size_of(folder + "/chunks") // segment.PAGE)
        self._pages = memory.map_file(folder + "/chunks", count * segment.PAGE)
        self._free = list(range(count))
        self._scratch = memory.scratch(4 * segment.PAGE)  # a chunk is sealed in the first half, deflated in the second
        self._deflated = self._scratch.address + 2 * segment.PAGE
        self._places = memory.scratch(count * _PLACES)  # a packer's dictionary for each page
        self.torn: "list[int]" = []  # numbers of segments that were found open, for the audit log
        self._recover()
        if former:  # a new one has zeros, and no page is this process's before it is needed
            self._sodium.zero(self._pages.address, self._pages.size)

    def _path(self, slot: keys.Slot) -> str:
        return self._folder + "/" + ("%08x" % slot.number)

    def _mine(self) -> "Iterator[keys.Slot]":
        return (slot for slot in self._keys.used() if slot.purpose == self._purpose)

    def _recover(self) -> None:
        """Close what a former process left open; remove files that no key belongs to."""
        owned = {"chunks"}
        for slot in [slot for slot in self._mine() if slot.late == COPY]:
            self._keys.destroy(slot if slot.state == keys.OPEN else self._keys.slot(slot.page))
            if slot.state != keys.FREE:
                self._counts(slot)
        for slot in self._mine():
            try:
                if slot.lifetime > self.lifetime:  # a shorter one holds for what there is, too; a longer one doesn't
                    slot.lifetime = self.lifetime
                    slot.save()
                if slot.state == keys.OPEN:
                    before = self.octets
                    self._close_torn(slot)
                    self.octets = before  # its last chunk is in the file's size
                    self.torn.append(slot.number)
                self.octets += files.size_of(self._path(slot))
                owned.add(self._path(slot).rsplit("/", 1)[1])
                self._deadlines.add(slot)
            except (OSError, crypto.SealError):  # of another version too: what waits in its page is in a form of its own
                self._lose("store", slot.records)
                self._keys.destroy(slot)
        for name in os.listdir(self._folder):
            if name not in owned:
                files.remove(self._folder + "/" + name)

    def _close_torn(self, slot: keys.Slot) -> None:
        path = self._path(slot)
        descriptor = files.open_file(path, ())
        try:
            files.truncate(descriptor, slot.written())
        finally:
            LIBC.call("close", descriptor)
        with open(path, "rb") as file:
            header = file.read(segment.HEADER)
        at = slot.page * segment.PAGE
        left = _waiting(self._pages.view, at, slot)
        segment.parse(header)
        held = struct.unpack_from(">H", self._pages.view, at + segment.PAGE_HEADER)[0] if left else 0
        left = self._deflate(self._pages.address + at + segment.PAGE_HEADER, min(held, COLUMN), left)
        self._seal(slot, self._deflated, left, header, crypto.FINAL)
        self._sodium.zero(self._deflated, 2 * segment.PAGE)
        slot.state = keys.TORN
        slot.save()

    def now(self, wall: int, monotonic: int) -> None:
        """Take note of the present time in ns, for the records that `append` is given next."""
        self._wall, self._monotonic = wall, monotonic
        # Windows after it are neither late nor due.
        self._on_time = wall // _SECOND - min(self.width + GRACE, self.lifetime)

    def append(self, connection: "Connection", terminal: "Holder | None", end: int) -> str:
        """Keep one record; `end` is when it ended, in ns. Returns "kept", "due on arrival" or "lost"."""
        entry = self.taking(end)
        if entry is None or not entry.room():
            return self._append(connection, terminal, end)
        entry.append(connection, terminal, end)
        return "kept"

    def taking(self, end: int) -> "_Open | None":
        """Return the open segment that takes a record which ended in a window that isn't late; None where it is to be opened first."""
        window = end // _SECOND
        window -= window % self.width
        return self._open.get(window * 4) if window > self._on_time else None

    def _append(self, connection: "Connection", terminal: "Holder | None", end: int) -> str:
        """Keep a record that is late, or the first one of its segment or page."""
        window, now = end // _SECOND, self._wall // _SECOND
        window -= window % self.width
        if window + self.lifetime <= now:
            return "due on arrival"
        late = 0
        if now >= window + self.width + GRACE:
            late = 1 if now < window + self.width + LATE else 2
        while self.octets + segment.PAGE > self.budget and self._displace():
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

    def _begin(self, window: int, late: int, like: "keys.Slot | None" = None) -> "_Open | None":
        """Open a segment of a window, with the deadline of another one where it is its copy; None where there is no slot or page."""
        wall, monotonic = self._wall, self._monotonic
        slot = self._keys.take()
        if slot is None:
            if not self._displace():
                return None
            slot = self._keys.take()
        if slot is None or not self._free:
            return None
        page = self._free.pop()
        slot.state, slot.purpose, slot.late, slot.generation = keys.OPEN, self._purpose, late, 0
        slot.page, slot.window, slot.records, slot.lifetime = page, window, 0, self.lifetime
        # A window that lies in the future was named by a clock that has stepped back since: what arrives has ended by now.
        slot.anchor = monotonic - max(wall - window * _SECOND, 0)
        if like is not None:
            slot.lifetime, slot.anchor = like.lifetime, like.anchor
        stream = bytearray(crypto.HEADER)
        self._sodium.stream_open(slot.bank(0), stream, slot.key)
        header = segment.header(self._purpose, 0, self._boot, window, slot.lifetime, wall, monotonic, slot.number, bytes(stream))
        slot.prepare(0, len(header))
        self.octets += len(header)
        try:
            descriptor = files.open_file(self._path(slot), ("O_CREAT", "O_EXCL"))
            try:
                files.write_all(descriptor, header, len(header))
            finally:
                LIBC.call("close", descriptor)
        except OSError:
            self._free.append(page)
            self._forget(slot)
            raise
        slot.save()
        self._deadlines.add(slot)
        at = page * segment.PAGE
        view = memoryview(self._pages.view)[at : at + segment.PAGE]
        places = memoryview(self._places.view)[page * _PLACES : (page + 1) * _PLACES]
        return _Open(slot, view, self._pages.address + at, header, words(places, _PLACES))

    def _seal(self, slot: keys.Slot, address: int, size: int, header: bytes, tag: int) -> None:
        """Append one chunk to the file, then make it valid by one octet of the key ring."""
        following = slot.generation + 1 & 255
        state = slot.bank(following)
        memory.copy(state, slot.bank(slot.generation), crypto.STATE)
        sealed = self._sodium.stream_push(state, self._scratch.address + 2, address, size, header, tag)
        struct.pack_into(">H", self._scratch.view, 0, sealed)
        descriptor = files.open_file(self._path(slot), ("O_APPEND",))
        try:
            files.write_all(descriptor, self._scratch.address, sealed + 2)
        finally:
            LIBC.call("close", descriptor)
        slot.prepare(following, slot.written() + sealed + 2)
        slot.commit(following)
        self.octets += sealed + 2

    def _deflate(self, address: int, held: int, used: int) -> int:
        """Deflate a page: a block for each column, the first with the number of records, and one for the rest; returns its octets."""
        parts = [(address + COUNT + column * COLUMN, held) for column in range(COLUMNS)]
        parts[0] = address, COUNT + held
        return DEFLATE.pack(self._deflated, *parts, (address + REST, used))

    def _flush(self, entry: _Open, tag: int) -> None:
        size = self._deflate(entry.page_address + segment.PAGE_HEADER, entry.held, entry.used)
        self._seal(entry.slot, self._deflated, size, entry.header, tag)
        self._sodium.zero(self._deflated, size)
        self._sodium.zero(entry.page_address, segment.PAGE)
        entry.used = entry.held = 0
        entry.full = entry.slot.written() >= SEGMENT_LIMIT

    def _close(self, name: int, original: int = 0) -> None:
        """Close a segment; of a copy, `original` is the slot that it counts for from then on."""
        entry = self._open[name]
        self._flush(entry, crypto.FINAL)
        del self._open[name]
        slot = entry.slot
        self._free.append(slot.page)
        if slot.late == COPY:
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
        """Close every open segment: after a step of the wall clock its window is another span of time than its anchor says."""
        for name in list(self._open):
            self._end(name)

    def _give_up(self, entry: "_Open | None", unwritten: int) -> None:
        """The file system refused: the segment can't be continued. What it held, and what was to be added, is counted as lost."""
        if entry is None:
            self._lose("store", unwritten)
            return
        self._lose("store", entry.slot.records + unwritten)
        self._forget(entry.slot)

    def _forget(self, slot: keys.Slot) -> None:
        """Destroy the key, then overwrite and remove the file."""
        path = self._path(slot)
        for name in list(self._open):
            if self._open[name].slot.index == slot.index:
                entry = self._open.pop(name)
                self._sodium.zero(entry.page_address, segment.PAGE)
                self._free.append(slot.page)
        self.octets -= slot.written()
        self._deadlines.remove(slot)
        self._keys.destroy(slot)
        try:
            size = files.size_of(path)
            descriptor = files.open_file(path, ())
            try:
                self._sodium.zero(self._scratch.address, self._scratch.size)
                while size > 0:
                    part = min(size, self._scratch.size)
                    files.write_all(descriptor, self._scratch.address, part)
                    size -= part
            finally:
                LIBC.call("close", descriptor)
            files.remove(path)
        except OSError:
            self._lose("unlink", 0)

    def _displace(self) -> bool:
        """Destroy the oldest segment to make room; its records are lost. False where there is none."""
        first = self._deadlines.first()
        if first < 0:
            return False
        slot = self._keys.slot(first)
        self._lose("ring full", slot.records)
        self._forget(slot)
        return True

    def erase(self) -> int:
        """Destroy every segment now, by order; returns how many records they held."""
        records = 0
        for slot in self._mine():
            records += slot.records
            self._forget(slot)
        return records

    def segments(self) -> "Generator[keys.Slot]":
        """Close what is open; yield every segment that there is now."""
        self.stepped()
        newest = max([slot.number for slot in self._mine()] or [0])
        for slot in self._mine():
            if slot.number <= newest:
                yield slot

    def records(self, slot: keys.Slot, scratch: memory.Region) -> "Iterator[Record]":
        """Return what reads a segment's records, as `read_segment`."""
        return read_segment(self._folder, slot, self._sodium, scratch)

    def exchange(self, slot: keys.Slot, rows: "Iterator[tuple[Any, Holder | None, int]]", left: int) -> None:
        """Seal a closed segment anew with `left` rows: connection, terminal, end in ns. Where that can't be it goes, and they are lost."""
        copy: "_Open | None" = None
        name = slot.window * 4 + COPY
        try:
            copy = self._begin(slot.window, COPY, slot) if left else None
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
        if slot.state != keys.FREE:  # else it made room for its own copy, and is counted
            if copy is None:
                self._lose("store", left)
            self._forget(slot)
        if copy is not None:
            self._counts(copy.slot)

    def _counts(self, copy: keys.Slot) -> None:
        """Let a copy be a segment as any other, once its original is gone."""
        copy.late = 2
        copy.save()

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
        """Close what is over, destroy what is due; returns how many segments were destroyed. Times in ns."""
        now = wall // _SECOND
        for name in list(self._open):
            slot = self._open[name].slot
            if now >= slot.window + self.width + (LATE if slot.late else GRACE):
                self._end(name)
        gone = 0
        for index in self._deadlines.due(now if trusted else -1, monotonic):
            slot = self._keys.slot(index)
            if slot.anchor + slot.lifetime * (_SECOND - PPM * 1000) - monotonic > EARLY:
                self._lose("clock", slot.records)
            self._forget(slot)
            gone += 1
        return gone

    def late(self, wall: "int | None", monotonic: int) -> bool:
        """Return True if any key outlived its deadline: must never be true."""
        return any(due(slot, wall, monotonic) for slot in self._mine())

    def status(self, monotonic: int) -> "dict[str, int]":
        """Return segments, records, octets, how long ago the oldest window began and how long one is, in seconds (local use only)."""
        segments = records = oldest = 0
        for slot in self._mine():
            segments += 1
            records += slot.records
            oldest = max(oldest, monotonic - slot.anchor)
        return {
            "segments": segments,
            "records": records,
            "bytes": self.octets,
            "budget": self.budget,
            "oldest_seconds": oldest // _SECOND,
            "window_seconds": self.width,
            "lifetime_seconds": self.lifetime,
        }

    def close(self) -> None:
        """Close every open segment in order; the keys stay for the next process of this boot."""
        for name in list(self._open):
            self._close(name)
        self._pages.close()
        self._scratch.close()
        self._places.close()


def read(root: str, purpose: str, wall: "int | None", monotonic: int) -> "Generator[Record]":
    """Yield a purpose's readable records, oldest segment first; nothing that is past its deadline (EXP-1).

    `root` is the folder above var/run/oubli; `wall` (None: not trusted) and `monotonic` are now, in ns. SealError at a segment that was
    damaged or cut.
    """
    sodium = crypto.Sodium()
    base = root + "/var/run/oubli/"
    folder = base + "vault/" + purpose
    region = keys.open_ring(base + "keys")
    scratch = memory.scratch(segment.PAGE * 4)
    try:
        found = [(slot.window, slot.number, slot.index) for slot in keys.used(region) if slot.purpose == law.number(purpose)]
        for _, _, index in sorted(found):
            slot = keys.Slot(region, index)
            if due(slot, wall, monotonic):
                continue
            yield from read_segment(folder, slot, sodium, scratch)
    finally:
        sodium.zero(scratch.address, scratch.size)
        scratch.close()
        region.close()


def read_segment(folder: str, slot: keys.Slot, sodium: crypto.Sodium, scratch: memory.Region) -> "Iterator[Record]":
    """Yield one segment's records, whatever its age; SealError where it was damaged or cut. `scratch` has four pages."""
    plain = 2 * segment.PAGE  # where in it a chunk is inflated
    written = slot.written()
    with open(folder + "/" + ("%08x" % slot.number), "rb") as file:
        header = file.read(segment.HEADER)
        window, stream = segment.parse(header)
        unpacker = Unpacker(window)
        sodium.stream_read(scratch.address, stream, slot.key)
        ended = False
        for chunk in segment.chunks(file, written - segment.HEADER):
            size, tag = sodium.stream_pull(scratch.address, scratch.address + 64, chunk, header)
            size = DEFLATE.unpack(scratch.address + plain, segment.PAGE, scratch.address + 64, size)
            yield from unpacker.unpack(memoryview(scratch.view)[plain:], size)
            ended = tag == crypto.FINAL
    if slot.state == keys.OPEN and slot.written() != written:
        raise crypto.SealError  # what waited was sealed meanwhile
    if slot.state == keys.OPEN:
        with open(folder + "/chunks", "rb") as file:
            file.seek(slot.page * segment.PAGE)
            page = file.read(segment.PAGE)
        left = _waiting(page, 0, slot)
        yield from unpacker.unpack(memoryview(page)[segment.PAGE_HEADER :], left + REST if left else 0, COLUMN)
    elif not ended:
        raise crypto.SealError


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Iterator

    from agent.capture.connections import Connection
    from agent.vault.record import Holder, Record
