# SPDX-License-Identifier: Apache-2.0
"""The key ring: every key and stream state of the vault, in one mapped 0600 tmpfs file (EXP-2).

Keys are made straight into it, passed by address and zeroed in place; no `bytes` object ever holds one. A restart of
the process finds them again, power loss forgets them all, another boot's ring is not read but erased.

File, little-endian: header of 64 octets (magic 7, version u8 "1", slots u32, next segment number
u32, boot id 32 ASCII), then slots of 192:

    0 state u8 (0 free, 1 open, 2 closed, 3 closed torn)   1 purpose u8   2 late u8   3 generation u8
    4 chunk page u16   8 segment number u32   12 window start u32 (s)   16 records u32   20 lifetime u32 (s)
    24 anchor i64 (ns since boot)
    32 key 32   64 bank 0: octets written u32, pad, state 52   128 bank 1: the same

The bank in force is generation & 1. A chunk's new state and length are put into the other bank, and one octet makes
both valid at once. So a process killed at any instant leaves a segment that the next one can go on with.
"""

import struct

from agent.runtime import files, memory
from agent.runtime.libc import words

FREE, OPEN, CLOSED, TORN = 0, 1, 2, 3
SLOT, HEADER = 192, 64
_MAGIC = b"OUBLIKY1"
_FIELDS = "<BBBBHxxIIIIq"
COPY = 3  # `late` of a segment that is being copied, beside its original
_DEADLINE, _WINDOW = "<IIIq", 12  # window, records, lifetime, anchor; where they begin
_SECOND = 1000000000
_KEY, _BANK, _BANKS = 32, 64, 64  # offsets in a slot, octets between banks
_BANK_STATE = 8


class Slot:
    """One segment's place in the ring; attributes are read from and written to the mapped file."""

    def __init__(self, region: memory.Region, index: int) -> None:
        self.index = index
        self._view = region.view
        self._at = HEADER + index * SLOT
        self.address = region.address + self._at
        self.key = self.address + _KEY
        self.load()

    def load(self) -> None:
        """Read the fields."""
        (
            self.state,
            self.purpose,
            self.late,
            self.generation,
            self.page,
            self.number,
            self.window,
            self.records,
            self.lifetime,
            self.anchor,
        ) = struct.unpack_from(_FIELDS, self._view, self._at)

    def save(self) -> None:
        """Write the fields."""
        memory.store(
            _FIELDS,
            self._view,
            self._at,
            self.state,
            self.purpose,
            self.late,
            self.generation,
            self.page,
            self.number,
            self.window,
            self.records,
            self.lifetime,
            self.anchor,
        )

    def deadline(self) -> "tuple[int, int]":
        """Return when the segment is due, whichever comes first: by the wall clock (s), by time since boot (ns)."""
        return self.window + self.lifetime, self.anchor + self.lifetime * _SECOND

    def counter(self) -> "Any":
        """Return words of which the first is the number of records: it changes with each one."""
        return words(memoryview(self._view)[self._at + 16 : self._at + 20], 4)

    def bank(self, generation: int) -> int:
        """Return the address of the stream state that is in force at a generation."""
        return self.address + _BANK + (generation & 1) * _BANKS + _BANK_STATE

    def can_go_on(self) -> bool:
        """Return True if there is a stream's state in force: one that was given up is overwritten."""
        at = self._at + _BANK + (self.generation & 1) * _BANKS + _BANK_STATE
        return any(self._view[at : at + _BANKS - _BANK_STATE])

    def written(self) -> int:
        """Return how many octets of the segment's file are good."""
        (octets,) = struct.unpack_from("<I", self._view, self._at + _BANK + (self.generation & 1) * _BANKS)
        return octets

    def prepare(self, generation: int, octets: int) -> None:
        """Write a file length into the bank of a generation that is not yet in force."""
        struct.pack_into("<I", self._view, self._at + _BANK + (generation & 1) * _BANKS, octets)

    def commit(self, generation: int) -> None:
        """Make the other bank valid, by one octet."""
        self.generation = generation
        self._view[self._at + 3] = generation


class KeyRing:
    """At least `count` slots in the file at `path`, for one boot.

    A ring of this boot that has fewer (the configuration changed) grows, and one that has more
    stays as it is: no key is moved or lost.
    """

    def __init__(self, path: str, count: int, boot: str, sodium: "Sodium") -> None:
        if files.exists(path):
            octets = files.size_of(path)
            region = memory.map_file(path, max(octets, 1))  # not read as a file: a buffer of it would hold keys
            if known(region) and boot_of(region) == boot:
                count = max(count, (octets - HEADER) // SLOT)
            else:
                # Another boot's: its keys must not be readable a moment longer.
                sodium.zero(region.address, region.size)
                files.remove(path)
            region.close()
        self.count = count
        self._region = memory.map_file(path, HEADER + count * SLOT)
        self._region.lock()
        self._sodium = sodium
        self._region.view[0:12] = struct.pack("<8sI", _MAGIC, count)
        self._region.view[16:48] = boot.encode()
        self._following = 0  # where a free slot is looked for first: behind the newest
        newest = -1
        for slot in used(self._region):
            if slot.number > newest:
                newest, self._following = slot.number, (slot.index + 1) % count

    def take(self) -> "Slot | None":
        """Return a free slot with a new segment number and a new random key, None where all are taken."""
        for step in range(self.count):
            index = (self._following + step) % self.count
            if self._region.view[HEADER + index * SLOT] == FREE:
                self._following = (index + 1) % self.count
                slot = Slot(self._region, index)
                (slot.number,) = struct.unpack_from("<I", self._region.view, 12)
                memory.store("<I", self._region.view, 12, slot.number + 1)
                self._sodium.random(slot.key, 32)
                return slot
        return None

    def slot(self, index: int) -> Slot:
        """Return the slot with this index."""
        return Slot(self._region, index)

    def used(self) -> "Iterator[Slot]":
        """Yield the slots that hold a segment, oldest first but for few: each is made anew, to spare the heap."""
        return used(self._region, self._following)

    def deadline(self, index: int) -> "tuple[int, int]":
        """Return the deadline of a slot by its index, as `Slot.deadline`, without an object for it."""
        window, _, lifetime, anchor = struct.unpack_from(_DEADLINE, self._region.view, HEADER + index * SLOT + _WINDOW)
        return window + lifetime, anchor + lifetime * _SECOND

    def destroy(self, slot: Slot) -> None:
        """Overwrite a slot, its key and both its states."""
        self._sodium.zero(slot.address, SLOT)
        slot.load()

    def close(self) -> None:
        """Unmap; the keys stay in the file for the next process of this boot."""
        self._region.close()


def open_ring(path: str) -> memory.Region:
    """Map an existing ring for reading; the caller closes it."""
    return memory.map_file(path, files.size_of(path), create=False)


def known(region: memory.Region) -> bool:
    """Return True if a mapped ring is of the version that this module reads."""
    return bytes(region.view[:8]) == _MAGIC


def boot_of(region: memory.Region) -> str:
    """Return the boot that a mapped ring belongs to, as 32 hexadecimal digits; anything for a file that is none."""
    return "".join(chr(octet) for octet in region.view[16:48])


def used(region: memory.Region, first: int = 0) -> "Iterator[Slot]":
    """Yield the slots of a mapped ring that hold a segment, the slot `first` and those behind it before the others."""
    count = (region.size - HEADER) // SLOT
    for step in range(count):
        index = (first + step) % count
        if region.view[HEADER + index * SLOT] != FREE:
            yield Slot(region, index)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.runtime.sodium import Sodium
