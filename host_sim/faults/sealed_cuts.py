# SPDX-License-Identifier: Apache-2.0
"""Cuts of power, one at every operation on flash, of a store in custodian custody: what must hold (EXP-6).

    python|micropython -m host_sim.faults.sealed_cuts FOLDER SEED ROUNDS [VARIANT]

The story is the agent's own store over `host_sim.faults.flash`, its tmpfs below FOLDER: records come, pages fill, days
pass, segments rotate and expire, the process ends in order and starts again. Power is cut before each operation and in
the middle of each sync, then once more while the next boot recovers. What must hold whenever a boot has looked at what
is left:

- each record that was on flash by the store's own word is read once, octet for octet, until its day is over;
- nothing is read that wasn't written; what was said to be expired is not there any
  more, also before the boot has done anything;
- the store counts as many records as there are; every file is one of its segments.

The seal to the custodian's key is left out here (it has tests of its own): the stream's key stands in the header, so
that the story can read. Prints JSON: cuts, what was found false by kind. Runs on MicroPython too.
"""

import binascii
import sys

from agent.purposes.custodian import mending, sealed
from agent.purposes.custodian.custodian import Custodian
from agent.purposes.custodian.flash_folder import FlashFolder
from agent.purposes.custodian.segment_index import SegmentIndex
from agent.runtime import files, memory
from agent.runtime import sodium as crypto
from agent.vault import segment
from agent.vault.keys import KeyRing
from agent.vault.stores import parse_name
from host_sim.faults import cutter
from host_sim.faults.flash import PREFIX

VAULT = PREFIX + "/vault"
STORE = VAULT + "/attribution"
DAY, SECOND = 86400, 1000000000
BEGIN = 20775 * DAY + 80000
LIFETIME, SYNC, BUDGET = 2 * DAY, 900, 200000
STEPS = 14


class Open(crypto.Sodium):
    """libsodium without the seal: the key stands where it would be sealed."""

    def seal(self, out: bytearray, address: int, size: int, public: bytes) -> None:  # noqa: ARG002 (the real one's)
        """Put the key into the header."""
        out[:size] = bytes(memoryview(memory.buffer_at(address, size)))


class Keys:
    """A key for each day."""

    # The real one's
    def find(self, purpose: str, day: int, lifetime: int) -> "tuple[bytes, int] | None":  # noqa: ARG002
        """Return a day's key and destroy day."""
        return b"", day + lifetime // DAY

    def days_left(self, purpose: str, day: int, lifetime: int) -> int:  # noqa: ARG002 (the real one's)
        """Return as many as there may be."""
        return 35

    def refresh(self) -> None:
        """There is no other bundle."""


class Story(cutter.Story):
    """What a gateway keeps, and what its store said. `wrong` counts what was false, by kind."""

    def __init__(self, folder: str, sodium: Open) -> None:
        super().__init__()
        self.folder = folder
        self.sodium = sodium
        self.scratch = memory.scratch(2 * segment.PAGE)
        self.boots = 0
        self.now = BEGIN
        self.since = 0
        self.number = 0
        self.written: "dict[int, int]" = {}  # record -> its day
        self.kept: "set[int]" = set()  # on flash by the store's word
        self.expired: "set[str]" = set()  # names that were said to be gone

    def open(self, boot: str) -> "tuple[Custodian, KeyRing]":
        """Start a process."""
        ring = KeyRing(self.folder + "/keys", 4, boot, self.sodium)
        store = Custodian(
            "attribution", STORE, self.folder + "/pages", ring, self.sodium, Keys(), LIFETIME, BUDGET, SYNC, boot,
            lambda: 0, lambda: BEGIN - DAY, lambda cause, _records: self.blame("lost: " + cause),
        )  # fmt: skip
        return store, ring

    def live(self) -> None:
        """Boot, look at what is there, and work; PowerCut may come at any operation."""
        for name in ("/keys", "/pages/chunks"):
            files.remove(self.folder + name)  # tmpfs forgets
        self.boots += 1
        self.since = 60
        for name in self.names():
            if name in self.expired:
                self.blame("what was expired came back")
        boot = "%032x" % self.boots
        store, ring = self.open(boot)
        try:
            self.reconcile()
            self.tick(store, 0)
            self.look(store)
            for step in range(STEPS):
                self.work(store, step)
                if step == STEPS // 2:
                    store.close()
                    ring.close()
                    store, ring = self.open(boot)
                    self.tick(store, 0)
            self.tick(store, SYNC)
            self.look(store)
        finally:
            store.release()
            ring.close()

    def end(self, figures: "dict[str, Any]") -> None:
        """Unmap."""
        super().end(figures)
        self.scratch.close()

    def work(self, store: Custodian, step: int) -> None:
        """Keep some records; now and then a page full, a record of yesterday, a night, or two days that pass."""
        for _ in range(40 if step == 5 else 2):
            self.append(store, self.now)
        if step % 5 == 2:
            self.append(store, self.now - DAY)
        self.tick(store, (SYNC, 300, 8 * 3600)[step % 3])
        if step == 10:
            self.tick(store, LIFETIME)

    def append(self, store: Custodian, begins: int) -> None:
        """Keep one record."""
        self.number += 1
        self.written[self.number] = begins // DAY
        if store.append(begins, b"%6d" % self.number + b"." * 120) != "kept":
            self.blame("a record isn't kept")
        self.settle(store)

    def tick(self, store: Custodian, seconds: int) -> None:
        """Let time pass, and take the store at its word."""
        self.now += seconds
        self.since += seconds
        before = set(self.names())
        store.tick(self.now * SECOND, self.since * SECOND, trusted=True)
        self.expired |= {name for name in before if not files.exists(STORE + "/" + name)}
        self.settle(store)

    def settle(self, store: Custodian) -> None:
        """Note what is on flash now: of each day all, or all but what waits in its page."""
        waiting = {}
        for page in store.pages():
            waiting[page.day] = page.records
        for day in set(self.written.values()):
            mine = sorted([number for number in self.written if self.written[number] == day])
            self.kept |= set(mine[: len(mine) - waiting.get(day, 0)])

    def look(self, store: Custodian) -> None:
        """Hold what is there against what was said."""
        found: "list[int]" = []
        for name in self.names():
            if parse_name(name) is None:
                self.blame("a file that nobody owns")
            else:
                found += self.read(STORE + "/" + name)
        today = self.now // DAY
        for number in found:
            if number not in self.written:
                self.blame("a record that nobody wrote")
            elif self.written[number] + LIFETIME // DAY <= today:
                self.blame("an expired record is there")
        if len(set(found)) != len(found):
            self.blame("a record came twice")
        due = {number for number in self.kept if self.written[number] + LIFETIME // DAY > today}
        if due - set(found):
            self.blame("a record is lost")
        waiting = sum([page.records for page in store.pages()])
        if store.status(self.since * SECOND)["records"] != len(found) + waiting:
            self.blame("the store miscounts")

    def reconcile(self) -> None:
        """After a cut: of what wasn't on flash by the store's word, some may be there; the rest was never kept."""
        found = {number for name in self.names() if parse_name(name) for number in self.read(STORE + "/" + name)}
        for number in set(self.written) - self.kept - found:
            del self.written[number]

    def names(self) -> "list[str]":
        """Return the names of the store's files."""
        return list(files.names(STORE)) if files.exists(STORE) else []

    def read(self, path: str) -> "list[int]":
        """Return the numbers of a segment's records."""
        data, numbers = files.read_at(path, 0, 1 << 20), []
        try:
            _, stream, key = sealed.unpack(data[: sealed.HEADER])
            view = self.scratch.view
            view[:32] = key[:32]
            self.sodium.stream.read(self.scratch.address + 64, stream, self.scratch.address)
            at, check = sealed.HEADER, binascii.crc32(data[: sealed.HEADER])
            while sealed.whole(data[at:], check):
                end = at + sealed.whole(data[at:], check)
                size, _ = self.sodium.stream.pull(
                    self.scratch.address + 64,
                    self.scratch.address + 256,
                    data[at + sealed.FRAME : end],
                    data[: sealed.HEADER],
                )
                place = 256
                while place < 256 + size:
                    numbers.append(int(bytes(view[place + 1 : place + 7])))
                    place += 1 + view[place]
                at = end
            if at != len(data) and not sealed.ending(data[at:], at, check):
                self.blame("a segment ends in nothing")
        except crypto.SealError:
            self.blame("a segment doesn't open")
        return numbers


def no_folder_sync() -> None:
    """Leave out the sync that makes a name last."""
    files.sync_folder = lambda path: None  # noqa: ARG005 (the real one's parameter)


def no_file_sync() -> None:
    """Leave out the sync of what was written."""
    files.sync = lambda descriptor: None  # noqa: ARG005 (the real one's parameter)


def key_a_day_longer() -> None:
    """Keep each segment one day too long."""
    add = SegmentIndex.add

    def late(self: SegmentIndex, header: sealed.Sealed, boot: str, octets: int, records: int) -> None:
        header.destroy += 1
        self.most = header.destroy - header.day
        add(self, header, boot, octets, records)

    SegmentIndex.add = late  # type: ignore[method-assign]


def torn_is_removed() -> None:
    """Take a file without a trailer for rubbish."""

    def removed(path: str, octets: int, check: int) -> int:  # noqa: ARG001 (the real one's)
        files.remove(path)
        return 0

    mending.cut = removed


def frames_unchecked() -> None:
    """Take a frame for whole by its length alone."""

    def whole(data: "bytes | memoryview", check: int) -> int:  # noqa: ARG001 (the real one's)
        size = data[0] << 8 | data[1] if len(data) > sealed.FRAME else 0
        return sealed.FRAME + size if crypto.OVERHEAD <= size <= len(data) - sealed.FRAME else 0

    sealed.whole = whole


def unlink_unsynced() -> None:
    """Say that a segment is gone before its name surely is."""
    FlashFolder.sync_folder = lambda self: None  # type: ignore[method-assign] # noqa: ARG005 (what is broken)


VARIANTS = {
    "no-folder-sync": no_folder_sync,
    "no-file-sync": no_file_sync,
    "key-a-day-longer": key_a_day_longer,
    "torn-is-removed": torn_is_removed,
    "frames-unchecked": frames_unchecked,
    "unlink-unsynced": unlink_unsynced,
}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    if len(sys.argv) > 4:
        VARIANTS[sys.argv[4]]()
    libsodium = Open()
    cutter.tell(cutter.run(lambda: Story(sys.argv[1], libsodium), (VAULT,), int(sys.argv[2]), int(sys.argv[3]), 12))
