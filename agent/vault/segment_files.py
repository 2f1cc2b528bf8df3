# SPDX-License-Identifier: Apache-2.0
"""What one purpose's segments lie in: a slot of the key ring and a file each, which come and go together (EXP-2)."""

import os

from agent.runtime import files
from agent.runtime import sodium as crypto
from agent.vault import keys, segment
from agent.vault.chunk_writer import ChunkWriter
from agent.vault.deadlines import Deadlines


class SegmentFiles:
    """The segments of a purpose's number, with files in `folder`; `octets` is what these hold.

    `deadlines` has their order. `lose(cause, records)` is told of every loss.
    """

    def __init__(
        self, folder: str, ring: keys.KeyRing, sodium: crypto.Sodium, purpose: int, lose: "Callable[[str, int], None]"
    ) -> None:
        self.folder = folder
        self.octets = 0
        self.deadlines = Deadlines(ring)
        self._keys = ring
        self._purpose = purpose
        self._chunks = ChunkWriter(sodium)
        self._lose = lose

    def slots(self) -> "Iterator[keys.Slot]":
        """Yield each segment's slot."""
        return (slot for slot in self._keys.used() if slot.purpose == self._purpose)

    def path(self, slot: keys.Slot) -> str:
        """Return where a segment's file lies."""
        return self.folder + "/" + ("%08x" % slot.number)

    def recover(self, pages: "Pages", lifetime: int) -> "list[int]":
        """Close what a former process left open; remove files that no key belongs to.

        None is kept for longer than `lifetime` s. Returns the numbers of segments that were open.
        """
        owned, torn = {"chunks"}, []
        for slot in [slot for slot in self.slots() if slot.late == keys.COPY]:
            self._keys.destroy(slot if slot.state == keys.OPEN else self._keys.slot(slot.page))
            if slot.state != keys.FREE:
                counts(slot)
        for slot in self.slots():
            try:
                if slot.lifetime > lifetime:  # a shorter one holds for what there is, too; a longer one doesn't
                    slot.lifetime = lifetime
                    slot.save()
                if slot.state == keys.OPEN:
                    before = self.octets
                    self._close_torn(slot, pages)
                    self.octets = before  # its last chunk is in the file's size
                    torn.append(slot.number)
                self.octets += files.size_of(self.path(slot))
                owned.add(self.path(slot).rsplit("/", 1)[1])
                self.deadlines.add(slot)
            # Of another version too: what waits in its page is in a form of its own
            except (OSError, crypto.SealError):
                self._lose("store", slot.records)
                self._keys.destroy(slot)
        for name in os.listdir(self.folder):
            if name not in owned:
                files.remove(self.folder + "/" + name)
        return torn

    def _close_torn(self, slot: keys.Slot, pages: "Pages") -> None:
        path = self.path(slot)
        descriptor = files.open_file(path, ())
        try:
            files.truncate(descriptor, slot.written())
        finally:
            files.close(descriptor)
        with open(path, "rb") as file:
            header = file.read(segment.HEADER)
        segment.parse(header)
        held, left = pages.left(slot)
        self.seal(slot, pages.address(slot.page), held, left, header, crypto.FINAL)
        slot.state = keys.TORN
        slot.save()

    def begin(self, slot: keys.Slot, header: bytes) -> None:
        """Make a segment's file. OSError where the file system refuses."""
        self.octets += len(header)
        files.write_to(self.path(slot), ("O_CREAT", "O_EXCL"), header, len(header))
        slot.save()
        self.deadlines.add(slot)

    def seal(self, slot: keys.Slot, page: int, held: int, used: int, header: bytes, tag: int) -> None:
        """Append the page at an address to a segment's file, as ChunkWriter does."""
        self.octets += self._chunks.seal(self.path(slot), slot, page, held, used, header, tag)

    def destroy(self, slot: keys.Slot) -> None:
        """Destroy a segment's key, then overwrite and remove its file."""
        path = self.path(slot)
        self.octets -= slot.written()
        self.deadlines.remove(slot)
        self._keys.destroy(slot)
        try:
            self._chunks.overwrite(path)
            files.remove(path)
        except OSError:
            self._lose("unlink", 0)

    def close(self) -> None:
        """Give the memory back; everything stays as it is."""
        self._chunks.close()


def counts(copy: keys.Slot) -> None:
    """Let a copy be a segment as any other, once its original is gone."""
    copy.late = 2
    copy.save()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

    from agent.vault.pages import Pages
