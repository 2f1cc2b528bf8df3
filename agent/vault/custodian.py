# SPDX-License-Identifier: Apache-2.0
"""A store on flash that this device can't read back: custodian custody (EXP-1, EXP-3, EXP-4, EXP-6, L34-VI-2).

Records wait in a page of tmpfs, one for each day that deadlines run from. When the page is full, or the sync interval is over, it is
sealed, written and synced. A segment's key is random, sealed at once to the custodian's public key of that day and purpose, and
overwritten; what stays is the stream's state in the key ring, and after each chunk that is another one ("rekey"): not even
this device opens what it wrote a quarter of an hour ago. A restart of the process goes on where the former one ended.

Order on flash: a new file gets header and first chunk, then the file is synced, then its folder; later chunks are one write and one sync
of the file. What isn't synced counts as still waiting. A stream whose write or sync failed, or was cut off, is never pushed again:
its next chunk could be another one under the same nonce. The file is cut behind its last good chunk and ends as torn; the page
goes into a new segment under a new key. After a cut of power, files without a trailer are cut behind their last whole frame. An
expired file is unlinked and the folder synced, so that it doesn't come back.

Flash that refuses is counted by cause, said in `status`, and tried again each minute; capture goes on.
"""

import binascii

from agent import law
from agent.runtime import files, memory
from agent.runtime import sodium as crypto
from agent.vault import keys, mending, sealed, segment
from agent.vault.shelf import Shelf
from agent.vault.stores import PAGES, parse_name
from agent.vault.waiting import DAY, ROOM, Page

SEGMENT_LIMIT = 1 << 20  # octets of a file at which it closes
KEPT_OPEN = 2  # days after which a day's segment closes
RETRY = 60000000000  # ns between two tries at flash that refuses
LOOK = 10000000000  # ns between two looks for a new bundle
_SECOND = 1000000000
_ENOSPC, _ENODEV = 28, 19  # below 35 a number means the same on every processor, and MicroPython's errno lacks most names
_CAUSES = {
    _ENOSPC: "no room",
    122: "no room",
    1133: "no room",
    30: "read-only",
    _ENODEV: "not mounted",
    13: "read-only",
    1: "read-only",
}  # EDQUOT (MIPS), EROFS, EACCES, EPERM


class Custodian:
    """The store of one purpose.

    folder    on flash; `pages`: on tmpfs; `mount`: a file system that must be mounted there before anything is written, "" for none
    bundle    the custodian's public keys
    lifetime  and `sync` in seconds, `budget` in octets
    hours     powered-on hours as expiry reads them; `floor`: what the time is at least (s)
    lose      is told cause and number of every loss; cause "hours" is none, but what powered-on hours make due before its day (EXP-4)
    """

    def __init__(
        self,
        purpose: str,
        folder: str,
        pages: str,
        ring: keys.KeyRing,
        sodium: crypto.Sodium,
        bundle: "Keys",
        lifetime: int,
        budget: int,
        sync: int,
        boot: str,
        hours: "Callable[[], int]",
        floor: "Callable[[], int]",
        lose: "Callable[[str, int], None]",
        mount: str = "",
    ) -> None:
        self.purpose = purpose
        self.lifetime = lifetime
        self.budget = budget
        self.trouble = ""  # why flash refused the last time, "" where it didn't
        self.torn: "list[str]" = []  # names of segments that were found unfinished, for the audit log
        self._number = law.number(purpose)
        self._ring = ring
        self._sodium = sodium
        self._bundle = bundle
        self._sync = sync * _SECOND
        self._boot = boot
        self._hours = hours
        self._floor = floor
        self._lose = lose
        self._mount = mount
        self._trusted = self._ready = False
        self._wall = self._monotonic = self._again = self._look = 0
        self._syncs = [0, 0]  # in this day since boot, in the one before
        self._syncs_day = 0
        files.make_folder(pages, 0o700)
        self._shelf = Shelf(folder)
        self._region = memory.map_file(pages + "/chunks", PAGES * segment.PAGE)
        self._scratch = memory.scratch(2 * segment.PAGE)
        self._free = list(range(PAGES))
        self._pages: "dict[int, Page]" = {}
        self._given_up: "list[tuple[int, int, int, int]]" = []  # day, number, good octets, CRC-32 of the header
        self._take_over()
        self._prepare()

    # Starting

    def _take_over(self) -> None:
        """Find again what a former process of this boot left waiting."""
        for slot in list(self._ring.used()):
            if slot.purpose != self._number:
                continue
            found = self._bundle.find(self.purpose, slot.window // DAY, self.lifetime)
            if found is None:
                self._lose("no key", slot.records)
                self._ring.destroy(slot)
                continue
            self._free.remove(slot.page)
            page = self._page(slot, found)
            page.find()
        for place in self._free:
            self._sodium.zero(self._region.address + place * segment.PAGE, segment.PAGE)

    def _prepare(self) -> None:
        """Make the folder, put in order what a former process or a cut of power left in it; again later where flash refuses."""
        shelf = self._shelf
        try:
            self._require_mount()
            if not files.exists(shelf.folder):
                files.make_folder(shelf.folder, 0o700)
                files.sync_folder(shelf.folder.rsplit("/", 1)[0])
            self._given_up.clear()  # they are mended with the rest
            for page in list(self._pages.values()):
                self._resume(page)
            for name in sorted(files.names(shelf.folder)):
                self._shelve(name)
        except OSError as failure:
            self._refused(failure)
            self._shelf = Shelf(shelf.folder)
            return
        self._ready, self.trouble = True, ""

    def _require_mount(self) -> None:
        """Refuse to touch a folder whose medium isn't there: what is written below would fill the router's own flash, unseen."""
        if self._mount and not files.is_mount(self._mount):
            self._ready = False
            self._shelf = Shelf(self._shelf.folder)
            raise OSError(_ENODEV, "")

    def _resume(self, page: Page) -> None:
        """Go on with a segment of a former process, unless a write of it was cut off."""
        slot = page.slot
        path = self._shelf.path(page.day, slot.number)
        size = files.size_of(path) if slot.number and files.exists(path) else 0
        check = binascii.crc32(files.read_at(path, 0, sealed.HEADER)) if size else 0
        if size > slot.written():
            if mending.finished(path, size, check) is not None:
                self._forget(page)  # it was closed: what waited is in it
                return
            if slot.written():
                mending.cut(path, slot.written(), check)
            else:
                files.remove(path)
        if size != slot.written() or not size:
            self._unopened(page)
            if not page.used:
                self._forget(page)
        else:
            self._sodium.zero(slot.bank(slot.generation + 1), crypto.STATE)
            page.header = files.read_at(path, 0, sealed.HEADER)
            page.sealed = mending.scan(path, check)[2]

    def _shelve(self, name: str) -> None:
        """Take a file of the folder in; one that isn't finished, and that nobody writes to, is mended first."""
        known = parse_name(name)
        if known is None:
            return
        path = self._shelf.path(known[0], known[1])
        page = self._pages.get(known[0])
        if page is not None and page.slot.number == known[1]:
            self._shelf.add(sealed.unpack(page.header)[0], self._boot, files.size_of(path), page.sealed)
            return
        found = mending.mend(path, known[0], known[1], self._number)
        if found.torn:
            self.torn.append(name)
        if found.header is not None:
            self._shelf.add(found.header, self._boot, found.octets, found.records)

    # Time

    def _now(self) -> int:
        """Return what the time is at least, in seconds: the trusted wall clock, else the floor."""
        return self._wall // _SECOND if self._trusted else self._floor()

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
        """Destroy what is due, write what has waited long enough; returns how many segments were destroyed. Times in ns."""
        if self._wall and trusted != self._trusted:
            self.stepped()  # the day began at another time since boot than the open segments say
        self._wall, self._monotonic, self._trusted = wall, monotonic, trusted
        today = monotonic // (DAY * _SECOND)
        if today > self._syncs_day:
            self._syncs = [0, self._syncs[0] if today == self._syncs_day + 1 else 0]
            self._syncs_day = today
        if self.trouble and monotonic >= self._again and not self._ready:
            self._prepare()
        if monotonic >= self._look:
            self._look = monotonic + LOOK
            self._bundle.refresh()
            self._look_at_mount()
        gone = self._expire()
        if self._willing():
            now = self._now()
            for page in list(self._pages.values()):
                if now >= (page.day + KEPT_OPEN) * DAY or page.slot.written() >= SEGMENT_LIMIT:
                    self._close(page)
                elif page.used and monotonic - page.since >= self._sync:
                    self._write(page, crypto.REKEY)
        return gone

    def _look_at_mount(self) -> None:
        """Notice that the medium was taken away, before anything is due: what it holds is sealed, and goes when it is back."""
        try:
            if self._ready:
                self._require_mount()
        except OSError as failure:
            self._refused(failure)

    def _willing(self) -> bool:
        """Say whether flash may be asked: it hasn't just refused."""
        return self._ready and (not self.trouble or self._monotonic >= self._again)

    def _due(self, wall: "int | None", monotonic: int) -> int:
        day = -1 if wall is None else wall // _SECOND // DAY
        return self._shelf.due(day, monotonic // _SECOND, self._hours())

    def _expire(self) -> int:
        gone = 0
        for page in list(self._pages.values()):
            # What waits for a segment that isn't there yet has a deadline too.
            slot = page.slot
            if self._now() >= slot.window + slot.lifetime or self._monotonic >= slot.anchor + slot.lifetime * _SECOND:
                self._forget(page)
        try:
            while True:
                index = self._due(self._wall if self._trusted else None, self._monotonic)
                if index < 0:
                    break
                cause = self._shelf.early(index, self._now()) if self._trusted else ""
                records = self._remove(index)
                gone += 1
                if cause:
                    self._lose(cause, records)
            if gone:
                self._sync_folder()
        except OSError as failure:
            self._refused(failure)
        return gone

    def _remove(self, index: int) -> int:
        """Unlink a segment, and forget the page that it is written from; returns how many records it had."""
        page = self._pages.get(self._shelf.days[index])
        if page is not None and page.slot.number == self._shelf.numbers[index]:
            self._forget(page)
        return self._shelf.drop(index)

    def late(self, wall: "int | None", monotonic: int) -> bool:
        """Say whether anything outlived its deadline: must never be true."""
        return self._due(wall, monotonic) >= 0

    # Keeping

    def append(self, begins: int, record: bytes) -> str:
        """Keep one record whose deadline runs from `begins` (s, present wall clock). Returns "kept", "due on arrival" or "lost".

        With the clock untrusted it is as old as the wall clock's difference says, counted from the floor: an earlier key, never late.
        """
        now = self._now()
        begins = min(begins, now) if self._trusted else now - max(self._wall // _SECOND - begins, 0)
        day = max(begins // DAY, 0)
        if day * DAY + self.lifetime <= now:
            return "due on arrival"
        page = self._pages.get(day) or self._begin(day, now)
        if page is None:
            return "lost"
        if page.used + 1 + len(record) > ROOM and not (self._willing() and self._write(page, crypto.REKEY)):
            self._lose(self.trouble, 1)
            return "lost"
        if not page.used:
            page.since = self._monotonic
        page.put(record)
        return "kept"

    def _begin(self, day: int, now: int) -> "Page | None":
        """Return a page for a day, None where there can't be one; that is counted."""
        found = self._bundle.find(self.purpose, day, self.lifetime)
        if found is None or found[1] * DAY <= now:
            self._lose("no key", 1)
            return None
        if not self._free and self._willing():
            self._close(self._pages[min(self._pages)])
        slot = self._ring.take() if self._free else None
        if slot is None:
            self._lose(self.trouble or "store", 1)
            return None
        self._sodium.zero(slot.key, 32)  # a key is made when its segment opens
        slot.state, slot.purpose, slot.late, slot.generation = keys.OPEN, self._number, 0, 0
        slot.number, slot.records, slot.window, slot.page = 0, 0, day * DAY, self._free.pop()
        slot.lifetime = (found[1] - day) * DAY
        slot.anchor = self._monotonic - (now - day * DAY) * _SECOND
        slot.prepare(0, 0)
        slot.save()
        return self._page(slot, found)

    def _page(self, slot: keys.Slot, key: "tuple[bytes, int]") -> Page:
        at = slot.page * segment.PAGE
        view = memoryview(self._region.view)[at : at + segment.PAGE]
        page = self._pages[slot.window // DAY] = Page(slot, view, self._region.address + at, key[0], key[1])
        return page

    def _open(self, page: Page) -> None:
        """Make the next segment of a page: a new key, sealed to the custodian's and overwritten."""
        slot = page.slot
        slot.number, slot.records = self._shelf.next_number(page.day), page.records
        slot.save()
        boxed, stream = bytearray(sealed.SEALED_KEY), bytearray(crypto.HEADER)
        self._sodium.random(slot.key, 32)
        self._sodium.seal(boxed, slot.key, 32, page.public)
        self._sodium.stream_open(slot.bank(slot.generation), stream, slot.key)
        self._sodium.zero(slot.key, 32)
        clock = 2 if self._trusted else 1 if self._floor() else 0
        position = (self._monotonic - slot.anchor) // _SECOND
        hours = self._hours() - 1 - -(-position // 3600)
        wall = max(self._wall, 0)
        fields = sealed.Sealed(self._number, clock, self._boot, page.day, page.destroy, slot.anchor, hours, wall, slot.number)
        page.header = fields.pack(bytes(stream), bytes(boxed))

    def _write(self, page: Page, tag: int) -> bool:
        """Seal what waits, write and sync it; False where flash refuses: then it waits on, for another segment."""
        slot, new = page.slot, not page.header
        former = slot.written()
        try:
            self._require_mount()
            self._tidy()
            self._make_room(page.used + 512)
            if new:
                self._open(page)
            total = self._chunk(page, former or sealed.HEADER, tag)
            descriptor = files.open_file(self._shelf.path(page.day, slot.number), ("O_CREAT", "O_EXCL") if new else ("O_APPEND",))
            try:
                if new:
                    files.write_all(descriptor, page.header, sealed.HEADER)
                files.write_all(descriptor, memoryview(self._scratch.view)[:total], total)
                files.sync(descriptor)
                self._syncs[0] += 1
            finally:
                files.close(descriptor)
            if new:
                self._sync_folder()
        except (OSError, crypto.SealError) as failure:  # SealError: a public key that is none
            self._refused(failure)
            self._abandon(page, former)
            return False
        self.trouble = ""
        if new:
            self._shelf.add(sealed.unpack(page.header)[0], self._boot, sealed.HEADER, 0)
        self._shelf.grow(self._shelf.find(page.day, slot.number), total, page.records)
        slot.prepare(slot.generation + 1 & 255, (former or sealed.HEADER) + total)
        slot.commit(slot.generation + 1 & 255)
        self._sodium.zero(slot.bank(slot.generation + 1), crypto.STATE)  # the former one opens what it sealed
        page.sealed += page.records
        self._empty(page)
        return True

    def _chunk(self, page: Page, octets: int, tag: int) -> int:
        """Put a frame with what waits into the scratch memory, a trailer behind the last one; returns how long that is."""
        slot, view = page.slot, memoryview(self._scratch.view)
        state = slot.bank(slot.generation + 1)
        memory.copy(state, slot.bank(slot.generation), crypto.STATE)
        message = page.address + segment.PAGE_HEADER
        size = self._sodium.stream_push(state, self._scratch.address + sealed.FRAME, message, page.used, page.header, tag)
        check = binascii.crc32(page.header)
        sealed.frame(view, size, page.records, check)
        size += sealed.FRAME
        if tag == crypto.FINAL:
            view[size : size + sealed.TRAILER] = sealed.trailer(sealed.DONE, page.sealed + page.records, octets + size, octets, check)
            size += sealed.TRAILER
        return size

    def _make_room(self, octets: int) -> None:
        """Displace the oldest segments where the budget is used up; their records are lost. OSError where none is left."""
        shelf = self._shelf
        while shelf.octets + octets > self.budget:
            open_ones = [(page.day, page.slot.number) for page in self._pages.values()]
            closed = [(day, number) for day, number in zip(shelf.days, shelf.numbers) if (day, number) not in open_ones]
            if not closed:
                raise OSError(_ENOSPC, "")
            day, number = min(closed)
            self._lose("ring full", self._remove(shelf.find(day, number)))
            self._sync_folder()

    def _close(self, page: Page) -> bool:
        """End a day's segment; False where flash refuses."""
        if (page.header or page.used) and not self._write(page, crypto.FINAL):
            return False
        self._forget(page)
        return True

    def _abandon(self, page: Page, former: int) -> None:
        """Give a segment up whose write failed; what waits goes into another one."""
        if page.header:
            self._given_up.append((page.day, page.slot.number, former, binascii.crc32(page.header)))
        self._unopened(page)
        try:
            self._tidy()
        except OSError:
            return  # before the next write, or at the next start

    def _tidy(self) -> None:
        """Cut what was given up behind its last good chunk; remove it where it has none."""
        if self._given_up:
            self._require_mount()
        while self._given_up:
            day, number, former, check = self._given_up[-1]
            path = self._shelf.path(day, number)
            if former and files.exists(path):
                octets = mending.cut(path, former, check)
                self._shelf.grow(self._shelf.find(day, number), octets - former, 0)
            else:
                files.remove(path)
            self._given_up.pop()

    def _unopened(self, page: Page) -> None:
        """Let a page's next chunk begin a segment."""
        slot = page.slot
        page.header, page.sealed, slot.number, slot.records = b"", 0, 0, page.records
        for generation in (0, 1):
            slot.prepare(generation, 0)
            self._sodium.zero(slot.bank(generation), crypto.STATE)
        slot.save()

    def _empty(self, page: Page) -> None:
        self._sodium.zero(page.address, segment.PAGE)
        page.used = page.records = page.counter[0] = 0

    def _forget(self, page: Page) -> None:
        """Overwrite a page, its slot and the stream's state."""
        self._empty(page)
        self._free.append(page.slot.page)
        del self._pages[page.day]
        self._ring.destroy(page.slot)

    def _sync_folder(self) -> None:
        files.sync_folder(self._shelf.folder)
        self._syncs[0] += 1

    def _refused(self, failure: "OSError | crypto.SealError") -> None:
        number = failure.errno if isinstance(failure, OSError) else None
        self.trouble = _CAUSES.get(number or 0, "store")
        self._again = self._monotonic + RETRY

    # For the person at the gateway

    def stepped(self) -> None:
        """Close what is open: after a step of the wall clock a day is another span of time than its segment's anchor says."""
        if self._willing():
            self.seal()

    def seal(self) -> bool:
        """Close every open segment, so that all that is kept lies in files; False where flash refuses."""
        closed = [self._close(page) for page in list(self._pages.values())]
        return all(closed)

    def held(self, first: int, last: int) -> "list[str]":
        """Return the paths of the segments whose days are from `first` to `last`, oldest first."""
        shelf = self._shelf
        return [shelf.path(day, number) for day, number in sorted(zip(shelf.days, shelf.numbers)) if first <= day <= last]

    def erase(self) -> int:
        """Destroy everything now, by order; returns how many records that were. OSError where flash refuses."""
        records = self._shelf.records
        for page in list(self._pages.values()):
            records += page.records
            self._forget(page)
        while len(self._shelf):
            self._shelf.drop(0)
        self._sync_folder()
        return records

    def key_days(self) -> int:
        """Return for how many days from today on there are keys."""
        return self._bundle.days_left(self.purpose, self._now() // DAY, self.lifetime)

    def status(self, monotonic: int) -> "dict[str, Any]":
        """Return what is kept, against its limits (local use only)."""
        now, days = self._now(), self._shelf.days + list(self._pages)
        waiting = sum([page.records for page in self._pages.values()])
        today = monotonic % (DAY * _SECOND)
        return {
            "segments": len(self._shelf),
            "records": self._shelf.records + waiting,
            "bytes": self._shelf.octets,
            "budget": self.budget,
            "oldest_seconds": max(now - min(days) * DAY, 0) if days else 0,
            "lifetime_seconds": self.lifetime,
            "syncs_a_day": max(self._syncs[1], self._syncs[0] * DAY * _SECOND // max(today, 3600 * _SECOND)),
            "key_days": self.key_days(),
            "trouble": self.trouble,
        }

    def pages(self) -> "list[Page]":
        """Return what waits, a page for each day that has one."""
        return list(self._pages.values())

    def close(self) -> None:
        """Close every segment; what flash refuses waits on for the next process of this boot."""
        self.seal()
        self.release()

    def release(self) -> None:
        """Unmap, and leave everything as it is."""
        self._region.close()
        self._scratch.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    class Keys(Protocol):
        """The custodian's public keys: agent.vault.bundle."""

        def find(self, purpose: str, day: int, lifetime: int) -> "tuple[bytes, int] | None":
            """Return (public key, destroy day) of a day."""
            ...

        def refresh(self) -> None:
            """Look for a bundle that was installed meanwhile."""
            ...

        def days_left(self, purpose: str, day: int, lifetime: int) -> int:
            """Return for how many days from a day on there are keys."""
            ...
