# SPDX-License-Identifier: Apache-2.0
"""A store on flash that this device can't read back: custodian custody (EXP-1, EXP-3, EXP-4, EXP-6, L34-VI-2).

Records wait in a page of tmpfs, one for each day that deadlines run from. When the page is full, or the sync interval
is over, it is sealed and written (agent.purposes.custodian.segment_writer). A restart of the process goes on where the
former one ended. After a cut of power, files without a trailer are cut behind their last whole frame. An expired file
is unlinked and the folder synced, so that it doesn't come back. Flash that refuses is counted by cause, said in
`status`, and tried again each minute (agent.purposes.custodian.flash_folder).
"""

from agent import law
from agent.purposes.custodian import recovery
from agent.purposes.custodian.flash_folder import FlashFolder
from agent.purposes.custodian.segment_index import DAY, StoreTime
from agent.purposes.custodian.segment_writer import SegmentWriter
from agent.purposes.custodian.waiting import ROOM
from agent.runtime import files
from agent.runtime import sodium as crypto
from agent.vault import keys

SEGMENT_LIMIT = 1 << 20  # octets of a file at which it closes
KEPT_OPEN = 2  # days after which a day's segment closes
# Ns by which a day may begin earlier than its page says: what a quartz is wrong by in a day, and a second
WRONG = 10000000000
PERIOD = 10000000000  # ns between two checks for a new bundle
_SECOND = 1000000000


def _no_mark() -> None:
    """Vouch for nothing."""


class Custodian:
    """The store of one purpose.

    folder    on flash; `pages`: on tmpfs; `mount`: a file system that must be mounted
              there before anything is written, "" for none
    bundle    the custodian's public keys
    lifetime  and `sync` in seconds, `budget` in octets
    hours     powered-on hours as expiry reads them; `floor`: what the time is at least (s)
    lose      is told cause and number of every loss; cause "hours" is none, but what
              powered-on hours make due before its day (EXP-4)
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
        self.torn: "list[str]" = []  # names of segments that were found unfinished, for the audit log
        # Called before all that waits is written: it may append what vouches for that
        self.mark: "Callable[[], None]" = _no_mark
        self._number = law.number(purpose)
        self._sodium = sodium
        self._bundle = bundle
        self._sync = sync * _SECOND
        self._boot = boot
        self._time = StoreTime(hours, floor)
        self._lose = lose
        self._next_check = 0
        files.make_folder(pages, 0o700)
        self._flash = FlashFolder(folder, mount, lifetime // DAY, self._time)
        self._writer = SegmentWriter(
            self._number, pages + "/chunks", self._flash, ring, sodium, budget, boot, self._time, lose
        )
        lost = recovery.take_over(self._number, ring, self._key, self._writer)
        if lost:
            lose("no key", lost)
        self._prepare()

    @property
    def refusal(self) -> str:
        """Return why flash refused the last time, "" where it didn't."""
        return self._flash.refusal

    def _prepare(self) -> None:
        """Put in order what lies on flash; again later where flash refuses."""
        flash = self._flash
        try:
            self.torn += recovery.put_in_order(self._number, self._boot, flash, self._writer, self._sodium)
        except OSError as failure:
            flash.refused(failure)
            flash.clear()
            return
        flash.ready, flash.refusal = True, ""

    def _key(self, day: int) -> "tuple[bytes, int] | None":
        """Return the custodian's (public key, destroy day) of a day."""
        return self._bundle.find(self.purpose, day, self.lifetime)

    # Time

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
        """Destroy what is due, write what has waited long enough; returns how many segments were destroyed.

        Times in ns.
        """
        time = self._time
        if time.wall and trusted != time.trusted:
            self.stepped()  # the day began at another time since boot than the open segments say
        time.wall, time.monotonic, time.trusted = wall, monotonic, trusted
        flash = self._flash
        flash.turn()
        if flash.refusal and not flash.ready and flash.rested():
            self._prepare()
        if monotonic >= self._next_check:
            self._next_check = monotonic + PERIOD
            self._bundle.refresh()
            self._look_at_mount()
        gone = self._expire()
        if flash.willing():
            now, waited = time.least(), False
            for page in self.pages():
                if now >= (page.day + KEPT_OPEN) * DAY or page.slot.written() >= SEGMENT_LIMIT:
                    if self._write_older(page.day):
                        self._writer.close(page)
                else:
                    waited = waited or (page.used > 0 and monotonic - page.since >= self._sync)
            if waited:
                self._write()
        return gone

    def _write(self) -> None:
        """Write all that waits; the mark stands in the newest page, so it is written last."""
        self.mark()
        for page in self.pages():
            if page.used and not self._writer.write(page, crypto.REKEY):
                return

    def _write_older(self, day: int) -> bool:
        """Write what waits for days before: a mark that waits for this one vouches for it.

        False where flash refuses.
        """
        return all(self._writer.write(page, crypto.REKEY) for page in self.pages() if page.used and page.day < day)

    def _look_at_mount(self) -> None:
        """Notice that the medium was taken away, before anything is due: what it holds is sealed, and goes later."""
        try:
            if self._flash.ready:
                self._flash.require()
        except OSError as failure:
            self._flash.refused(failure)

    def _due(self, wall: "int | None", monotonic: int) -> int:
        day = -1 if wall is None else wall // _SECOND // DAY
        return self._flash.segments.due(day, monotonic // _SECOND, self._time.hours())

    def _expire(self) -> int:
        gone, time, segments = 0, self._time, self._flash.segments
        for page in self.pages():
            # What waits for a segment that isn't there yet has a deadline too.
            slot = page.slot
            until, over = slot.deadline()
            if time.least() >= until or time.monotonic >= over:
                # It came before the clock was trusted, with the floor's day: too early
                if over - time.monotonic > DAY * _SECOND:
                    self._lose("clock", page.records)
                self._writer.forget(page)
        try:
            while True:
                index = self._due(time.wall if time.trusted else None, time.monotonic)
                if index < 0:
                    break
                cause = segments.early(index, time.least() if time.trusted else None, time.monotonic // _SECOND)
                self._writer.left(segments.days[index], segments.numbers[index])
                records = segments.drop(index)
                gone += 1
                if cause:
                    self._lose(cause, records)
            if gone:
                self._flash.sync_folder()
        except OSError as failure:
            self._flash.refused(failure)
        return gone

    def late(self, wall: "int | None", monotonic: int) -> bool:
        """Return True if anything outlived its deadline: must never be true."""
        return self._due(wall, monotonic) >= 0

    # Keeping

    def append(self, begins: int, record: bytes, *, owed: bool = False) -> str:
        """Keep one record whose deadline runs from `begins` (s, present wall clock).

        Returns "kept", "due on arrival" or "lost".

        With the clock untrusted it is as old as the wall clock's difference says, counted
        from the floor: an earlier key, never late. `owed`: it is of no terminal, stands in the day that it
        names, and is tried again where it is lost. A day without a key has nothing that it can speak of.
        """
        time = self._time
        now = time.least()
        begins = min(begins, now) if time.trusted or owed else now - max(time.wall // _SECOND - begins, 0)
        day = max(begins // DAY, 0)
        if day * DAY + self.lifetime <= now or (owed and self._valid_key(day, now) is None):
            return "due on arrival"
        page = self._writer.pages.get(day) or self._begin(day, now, owed=owed)
        if page is None:
            return "lost"
        full = page.used + 1 + len(record) > ROOM
        if full and not (self._flash.willing() and self._write_older(day) and self._writer.write(page, crypto.REKEY)):
            if not owed:
                self._lose(self.refusal, 1)
            return "lost"
        anchor = time.monotonic - (now - day * DAY) * _SECOND
        if anchor < page.slot.anchor - WRONG:
            # The clock says otherwise than when the page was begun, and flash has refused to close it since (EXP-1).
            self._writer.date_back(page, anchor)
        if not page.used:
            page.since = time.monotonic
        page.put(record)
        return "kept"

    def amend(self, begins: int, record: bytes, *, owed: bool = False) -> str:
        """Do as `append` where nothing is kept any more but what denies a time of what is here.

        It stands in its day or the one before, where there is something; it begins none. "lost": again later.
        """
        if not self._flash.ready or not self.seal():
            return "lost"
        for day in (begins // DAY, begins // DAY - 1):
            if day in self._flash.segments.days:
                return self.append(day * DAY, record, owed=owed)
        return "due on arrival"

    def _valid_key(self, day: int, now: int) -> "tuple[bytes, int] | None":
        found = self._key(day)
        return None if found is None or found[1] * DAY <= now else found

    def _begin(self, day: int, now: int, *, owed: bool) -> "Page | None":
        """Return a page for a day, None where there can't be one; that is counted, unless it is tried again."""
        found = self._valid_key(day, now)
        if found is None:
            self._lose("no key", 1)
            return None
        if self._writer.full() and self._flash.willing():
            self._writer.close(self._writer.pages[min(self._writer.pages)])
        page = self._writer.begin(day, now, found)
        if page is None and not owed:
            self._lose(self.refusal or "store", 1)
        return page

    # For the person at the gateway

    def stepped(self) -> None:
        """Close what is open.

        After a step of the wall clock a day is another span of time than its segment's anchor says.
        """
        if self._flash.willing():
            self.seal()

    def seal(self) -> bool:
        """Close every open segment, so that all that is kept lies in files; False where flash refuses."""
        self.mark()
        return all(self._writer.close(page) for page in self.pages())  # up to what flash refuses

    def held(self, first: int, last: int) -> "list[str]":
        """Return the paths of the segments whose days are from `first` to `last`, oldest first."""
        segments = self._flash.segments
        return [
            segments.path(day, number)
            for day, number in sorted(zip(segments.days, segments.numbers))
            if first <= day <= last
        ]

    def erase(self) -> int:
        """Destroy everything now, by order; returns how many records that were. OSError where flash refuses."""
        segments = self._flash.segments
        records = segments.records
        for page in self.pages():
            records += page.records
            self._writer.forget(page)
        while len(segments):
            segments.drop(0)
        self._flash.sync_folder()
        return records

    def key_days(self) -> int:
        """Return for how many days from today on there are keys."""
        return self._bundle.days_left(self.purpose, self._time.least() // DAY, self.lifetime)

    def status(self, monotonic: int) -> "dict[str, Any]":
        """Return what is kept, against its limits (local use only)."""
        now, segments, pages = self._time.least(), self._flash.segments, self._writer.pages
        days = segments.days + list(pages)
        waiting = sum([page.records for page in pages.values()])
        return {
            "segments": len(segments),
            "records": segments.records + waiting,
            "bytes": segments.octets,
            "budget": self._writer.budget,
            "oldest_seconds": max(now - min(days) * DAY, 0) if days else 0,
            "window_seconds": DAY,
            "lifetime_seconds": self.lifetime,
            "syncs_a_day": self._flash.syncs_a_day(monotonic),
            "key_days": self.key_days(),
            "trouble": self.refusal,
        }

    def pages(self) -> "list[Page]":
        """Return what waits, a page for each day that has one, oldest first."""
        return [self._writer.pages[day] for day in sorted(self._writer.pages)]

    def close(self) -> None:
        """Close every segment; what flash refuses waits on for the next process of this boot."""
        self.seal()
        self.release()

    def release(self) -> None:
        """Unmap, and leave everything as it is."""
        self._writer.release()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.purposes.custodian.recovery import Keys
    from agent.purposes.custodian.waiting import Page
