# SPDX-License-Identifier: Apache-2.0
"""Seals what waits and writes it to flash for a custodian's store: pages, segments, order (EXP-3, EXP-6).

A segment's key is random, sealed at once to the custodian's public key of that day and purpose, and overwritten. What
stays is the stream's state in the key ring, which is another one after each chunk ("rekey"). So not even this device
opens what it wrote a quarter of an hour ago.

Order on flash: a new file gets header and first chunk, then the file is synced, then its folder. Later chunks are one
write and one sync of the file. What isn't synced counts as still waiting. A stream whose write or sync failed, or was
cut off, is never pushed again. Its next chunk could be another one under the same nonce. The file is cut behind its
last good chunk and ends as torn; the page goes into a new segment under a new key.
"""

import binascii

from agent.purposes.custodian import mending, sealed
from agent.purposes.custodian.flash_folder import ENOSPC
from agent.purposes.custodian.segment_index import DAY
from agent.purposes.custodian.waiting import Page
from agent.runtime import files, memory
from agent.runtime import sodium as crypto
from agent.vault import keys, segment
from agent.vault.stores import PAGES

_SECOND = 1000000000


class SegmentWriter:
    """The pages of one store, by day.

    number    of the purpose; `boot` id; `budget` in octets
    time      by which clocks something is written stands in it
    lose      is told cause and number of every loss
    """

    def __init__(
        self,
        number: int,
        path: str,
        flash: "FlashFolder",
        ring: keys.KeyRing,
        sodium: crypto.Sodium,
        budget: int,
        boot: str,
        time: "StoreTime",
        lose: "Callable[[str, int], None]",
    ) -> None:
        self.pages: "dict[int, Page]" = {}
        self.budget = budget
        self._number = number
        self._flash = flash
        self._ring = ring
        self._sodium = sodium
        self._boot = boot
        self._time = time
        self._lose = lose
        self._region = memory.map_file(path, PAGES * segment.PAGE)
        self._scratch = memory.scratch(2 * segment.PAGE)
        self._free = list(range(PAGES))
        self.given_up: "list[tuple[int, int, int, int]]" = []  # day, number, good octets, CRC-32 of the header

    # Pages

    def found(self, slot: keys.Slot, key: "tuple[bytes, int]") -> None:
        """Take over a page that a former process left."""
        self._free.remove(slot.page)
        self._page(slot, key).find()

    def wipe(self) -> None:
        """Overwrite every page that nobody has."""
        for place in self._free:
            self._sodium.zero(self._region.address + place * segment.PAGE, segment.PAGE)

    def full(self) -> bool:
        """Return True if there is no page for another day."""
        return not self._free

    def begin(self, day: int, now: int, key: "tuple[bytes, int]") -> "Page | None":
        """Return a page for a day, with the custodian's (public key, destroy day); None where there is none.

        `now` in s.
        """
        slot = self._ring.take() if self._free else None
        if slot is None:
            return None
        self._sodium.zero(slot.key, 32)  # a key is made when its segment opens
        slot.state, slot.purpose, slot.late, slot.generation = keys.OPEN, self._number, 0, 0
        slot.number, slot.records, slot.window, slot.page = 0, 0, day * DAY, self._free.pop()
        slot.lifetime = (key[1] - day) * DAY
        slot.anchor = self._time.monotonic - (now - day * DAY) * _SECOND
        slot.prepare(0, 0)
        slot.save()
        return self._page(slot, key)

    def _page(self, slot: keys.Slot, key: "tuple[bytes, int]") -> Page:
        at = slot.page * segment.PAGE
        view = memoryview(self._region.view)[at : at + segment.PAGE]
        page = self.pages[slot.window // DAY] = Page(slot, view, self._region.address + at, key[0], key[1])
        return page

    def forget(self, page: Page) -> None:
        """Overwrite a page, its slot and the stream's state."""
        self._empty(page)
        self._free.append(page.slot.page)
        del self.pages[page.day]
        self._ring.destroy(page.slot)

    def left(self, day: int, number: int) -> None:
        """Forget the page that a segment is written from, if one is."""
        page = self.pages.get(day)
        if page is not None and page.slot.number == number:
            self.forget(page)

    def _empty(self, page: Page) -> None:
        self._sodium.zero(page.address, segment.PAGE)
        page.used = page.records = page.counter[0] = 0

    def release(self) -> None:
        """Unmap, and leave everything as it is."""
        self._region.close()
        self._scratch.close()

    # Segments

    def write(self, page: Page, tag: int) -> bool:
        """Seal what waits, write and sync it; False where flash refuses: then it waits on, for another segment."""
        flash, slot, new = self._flash, page.slot, not page.header
        former = slot.written()
        try:
            flash.require()
            self._tidy()
            self._make_room(page.used + 512)
            if new:
                self._open(page)
            total = self._chunk(page, former or sealed.HEADER, tag)
            descriptor = files.open_file(
                flash.segments.path(page.day, slot.number), ("O_CREAT", "O_EXCL") if new else ("O_APPEND",)
            )
            try:
                if new:
                    files.write_all(descriptor, page.header, sealed.HEADER)
                files.write_all(descriptor, memoryview(self._scratch.view)[:total], total)
                flash.sync(descriptor)
            finally:
                files.close(descriptor)
            if new:
                flash.sync_folder()
        except (OSError, crypto.SealError) as failure:  # SealError: a public key that is none
            flash.refused(failure)
            self._abandon(page, former)
            return False
        flash.refusal = ""
        if new:
            flash.segments.add(sealed.unpack(page.header)[0], self._boot, sealed.HEADER, 0)
        flash.segments.grow(flash.segments.find(page.day, slot.number), total, page.records)
        slot.prepare(slot.generation + 1 & 255, (former or sealed.HEADER) + total)
        slot.commit(slot.generation + 1 & 255)
        self._sodium.zero(slot.bank(slot.generation + 1), crypto.STATE)  # the former one opens what it sealed
        page.sealed += page.records
        self._empty(page)
        return True

    def close(self, page: Page) -> bool:
        """End a day's segment; False where flash refuses."""
        if (page.header or page.used) and not self.write(page, crypto.FINAL):
            return False
        self.forget(page)
        return True

    def _open(self, page: Page) -> None:
        """Make the next segment of a page: a new key, sealed to the custodian's and overwritten."""
        slot = page.slot
        slot.number, slot.records = self._flash.segments.next_number(page.day), page.records
        slot.save()
        boxed, stream = bytearray(sealed.SEALED_KEY), bytearray(crypto.HEADER)
        self._sodium.random(slot.key, 32)
        self._sodium.seal(boxed, slot.key, 32, page.public)
        self._sodium.stream.open(slot.bank(slot.generation), stream, slot.key)
        self._sodium.zero(slot.key, 32)
        time = self._time
        clock = 2 if time.trusted else 1 if time.floor() else 0
        position = (time.monotonic - slot.anchor) // _SECOND
        hours = time.hours() - 1 - -(-position // 3600)
        wall = max(time.wall, 0)
        fields = sealed.Sealed(
            self._number, clock, self._boot, page.day, page.destroy, slot.anchor, hours, wall, slot.number
        )
        page.header = fields.pack(bytes(stream), bytes(boxed))

    def _chunk(self, page: Page, octets: int, tag: int) -> int:
        """Put a frame with what waits into the scratch memory, a trailer behind the last one; returns its length."""
        slot, view = page.slot, memoryview(self._scratch.view)
        state = slot.bank(slot.generation + 1)
        memory.copy(state, slot.bank(slot.generation), crypto.STATE)
        message = page.address + segment.PAGE_HEADER
        size = self._sodium.stream.push(
            state, self._scratch.address + sealed.FRAME, message, page.used, page.header, tag
        )
        check = binascii.crc32(page.header)
        sealed.frame(view, size, page.records, check)
        size += sealed.FRAME
        if tag == crypto.FINAL:
            view[size : size + sealed.TRAILER] = sealed.trailer(
                sealed.DONE, page.sealed + page.records, octets + size, octets, check
            )
            size += sealed.TRAILER
        return size

    def _make_room(self, octets: int) -> None:
        """Displace the oldest segments where the budget is used up; their records are lost.

        OSError where none is left.
        """
        segments = self._flash.segments
        while segments.octets + octets > self.budget:
            open_ones = [(page.day, page.slot.number) for page in self.pages.values()]
            closed = [
                (day, number) for day, number in zip(segments.days, segments.numbers) if (day, number) not in open_ones
            ]
            if not closed:
                raise OSError(ENOSPC, "")
            self._lose("ring full", segments.drop(segments.find(*min(closed))))
            self._flash.sync_folder()

    # What failed

    def _abandon(self, page: Page, former: int) -> None:
        """Give a segment up whose write failed; what waits goes into another one."""
        self._leave(page, former)
        try:
            self._tidy()
        except OSError:
            return  # before the next write, or at the next start

    def _leave(self, page: Page, octets: int) -> None:
        """Let a page's next chunk begin a segment; the former one, of so many good octets, is cut and ends as torn."""
        if page.header:
            self.given_up.append((page.day, page.slot.number, octets, binascii.crc32(page.header)))
        self.unopened(page)

    def date_back(self, page: Page, anchor: int) -> None:
        """Let a page's day have begun at an earlier time since boot (ns): all in it is due by that."""
        self._leave(page, page.slot.written())
        page.slot.anchor = anchor
        page.slot.save()

    def _tidy(self) -> None:
        """Cut what was given up behind its last good chunk; remove it where it has none."""
        segments = self._flash.segments
        if self.given_up:
            self._flash.require()
        while self.given_up:
            day, number, former, check = self.given_up[-1]
            path = segments.path(day, number)
            if former and files.exists(path):
                octets = mending.cut(path, former, check)
                segments.grow(segments.find(day, number), octets - former, 0)
            else:
                files.remove(path)
            self.given_up.pop()

    def unopened(self, page: Page) -> None:
        """Let a page's next chunk begin a segment; the slot says first that it has none."""
        slot = page.slot
        page.header, page.sealed, slot.number, slot.records = b"", 0, 0, page.records
        slot.save()
        for generation in (0, 1):
            slot.prepare(generation, 0)
            self._sodium.zero(slot.bank(generation), crypto.STATE)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.purposes.custodian.flash_folder import FlashFolder
    from agent.purposes.custodian.segment_index import StoreTime
