# SPDX-License-Identifier: Apache-2.0
"""The store of a purpose that lives by consent.

It is one ring, in which each record is sealed under its consent's own key (L34-V-3).

A consent's key for a purpose is a slot of the key ring (agent.vault.keys), so whatever destroys keys there destroys it
too. That is its end, by trusted wall clock or by time since boot, an order, another boot, or a start that is refused
(EXP-1, EXP-4). A withdrawal overwrites it at once, and what lies in the ring under it is noise from then on; the
others' records aren't touched. The ring itself needs no windows and no expiry. The place of the consent stands in the
slot as `page`. `records` is the number of records sealed so far: it is the nonce, taken before it is used. The first
bank's length is how many are still in the ring.

File, little-endian, mapped: words size, head, tail, version (head to tail is what is held), then entries from octet 16:
sealed length u16, number of the key u32, nonce u32, sealed record. A length of 0, or no room for one, sends the reader
back to octet 16. An entry costs 10 octets beside the record and 16 of its seal. What no longer fits displaces the
oldest, counted as lost.
"""

import struct

from agent import law
from agent.runtime import memory
from agent.runtime import sodium as crypto
from agent.runtime.libc import words
from agent.vault import keys
from agent.vault.stores import CONSENTS
from agent.vault.windows import due

LARGEST = 128  # octets of a record before it is sealed
_START, _ENTRY = 16, 10
_ENTRY_FORMAT = "<HII"
_SIZE, _HEAD, _TAIL, _MARK = 0, 1, 2, 3  # words of the file
_VERSION = 0x4F554301  # "OUC", 1
_SECOND = 1000000000
_NEVER = 1 << 62


class ConsentRing:
    """One purpose's store in `folder`, `budget` octets; `lose(cause, records)` is told of every loss."""

    def __init__(
        self,
        folder: str,
        ring: keys.KeyRing,
        sodium: crypto.Sodium,
        purpose: int,
        budget: int,
        lose: "Callable[[str, int], None]",
    ) -> None:
        self.budget = budget
        self.lifetime = law.PURPOSES[purpose - 1].ceiling
        self._keys = ring
        self._sodium = sodium
        self._purpose = purpose
        self._lose = lose
        self._region = memory.map_file(folder + "/ring", budget)
        self._words = words(self._region.view, _START)
        self._plain = memory.scratch(LARGEST)
        self.plain = self._plain.view  # where a record is packed before `append`
        self._nonce = bytearray(crypto.NONCE)
        self._places: "dict[int, int]" = {}  # of consents, to the indexes of their slots
        self._numbers: "dict[int, int]" = {}  # of keys, to the same
        for slot in ring.used():
            if slot.purpose == purpose:
                self._places[slot.page] = self._numbers[slot.number] = slot.index
        if self._words[_SIZE] and self._words[_HEAD] <= self._words[_TAIL] <= budget:
            self._words[_SIZE] = budget  # of another size perhaps, and all of it lies where it lay
        if (self._words[_SIZE], self._words[_MARK]) != (budget, _VERSION):
            # New, of another version, or it went round another end: what it held can't be found any more.
            lose("ring resized", self.erase())
            self._region.wipe()
            self._words[_HEAD] = self._words[_TAIL] = _START
            self._words[_SIZE], self._words[_MARK] = budget, _VERSION
        self._soonest = 0, 0

    def append(self, place: int, size: int, end: int, wall: int, monotonic: int) -> str:
        """Seal the `size` octets in `plain` under the key of the consent at `place`, which ends at second `end`.

        `wall` and `monotonic` are now, in ns. Returns "kept" or "lost".
        """
        slot = self._key(place, end, wall, monotonic)
        need = _ENTRY + size + crypto.TAG
        if slot is None or need >= self.budget - _START:
            self._lose("ring full", 1)
            return "lost"
        at = self._room(need)
        slot.records += 1
        slot.counter()[0] = slot.records
        struct.pack_into("<I", self._nonce, 0, slot.records)
        address = self._region.address + at
        sealed = self._sodium.encrypt(address + _ENTRY, self._plain.address, size, b"", self._nonce, slot.key)
        self._plain.wipe()
        struct.pack_into(_ENTRY_FORMAT, self._region.view, at, sealed, slot.number, slot.records)
        slot.prepare(0, slot.written() + 1)
        self._words[_TAIL] = at + need  # valid from here on: a killed process leaves whole entries
        return "kept"

    def _key(self, place: int, end: int, wall: int, monotonic: int) -> "keys.Slot | None":
        """Return the consent's key, a new one where it has none; None where all are taken."""
        index = self._places.get(place)
        if index is not None:
            return self._keys.slot(index)
        slot = self._keys.take() if len(self._places) < CONSENTS else None
        if slot is not None:
            slot.state, slot.purpose, slot.late, slot.generation = keys.CLOSED, self._purpose, 0, 0
            slot.page, slot.window, slot.records = place, wall // _SECOND, 0
            slot.lifetime, slot.anchor = max(end - slot.window, 0), monotonic
            slot.prepare(0, 0)
            slot.save()
            self._places[place] = self._numbers[slot.number] = slot.index
            self._expect(slot)
        return slot

    def _room(self, need: int) -> int:
        """Return where `need` octets are free, after as many of the oldest entries have gone as it takes."""
        table = self._words
        while True:
            head, tail = table[_HEAD], table[_TAIL]
            if tail < head:
                if tail + need < head:
                    return tail
            elif tail + need <= self.budget:
                return tail
            elif _START + need < head:
                if tail + 2 <= self.budget:
                    struct.pack_into("<H", self._region.view, tail, 0)
                table[_TAIL] = _START
                return _START
            elif head == tail:
                table[_TAIL] = table[_HEAD] = _START
                continue
            self._displace(head)

    def _displace(self, head: int) -> None:
        """Give up the oldest entry; its record is lost where its key lives."""
        length, number, _ = _entry(self._region.view, head, self.budget)
        self._words[_HEAD] = head + _ENTRY + length if length else _START
        if length and number in self._numbers:
            slot = self._keys.slot(self._numbers[number])
            slot.prepare(0, max(slot.written() - 1, 0))
            self._lose("ring full", 1)

    def destroy(self, place: int) -> int:
        """Overwrite the key of the consent at `place`: nothing kept under it can be read again.

        Returns how many records that were.
        """
        index = self._places.pop(place, None)
        if index is None:
            return 0
        slot = self._keys.slot(index)
        records = slot.written()
        del self._numbers[slot.number]
        self._keys.destroy(slot)
        return records

    def stepped(self) -> None:
        """Take a step of the wall clock: nothing here is named by it, and keys go by whichever clock comes first."""

    def erase(self) -> int:
        """Destroy every key now, by order; returns how many records were kept under them."""
        return sum([self.destroy(place) for place in list(self._places)])

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> int:
        """Destroy the keys whose consent is over; returns how many. Times in ns."""
        gone = 0
        if (trusted and wall >= self._soonest[0]) or monotonic >= self._soonest[1]:
            self._soonest = _NEVER, _NEVER
            for place in list(self._places):
                slot = self._keys.slot(self._places[place])
                if due(slot, wall if trusted else None, monotonic):
                    self.destroy(place)
                    gone += 1
                else:
                    self._expect(slot)
        return gone

    def _expect(self, slot: keys.Slot) -> None:
        wall, monotonic = self._soonest
        lasts = slot.lifetime * _SECOND
        self._soonest = min(wall, slot.window * _SECOND + lasts), min(monotonic, slot.anchor + lasts)

    def late(self, wall: "int | None", monotonic: int) -> bool:
        """Return True if any key outlived its consent: must never be true."""
        return any(due(self._keys.slot(index), wall, monotonic) for index in self._places.values())

    def status(self, monotonic: int) -> "dict[str, int]":
        """Return consents that have records, records, octets of the ring in use, and its budget (local use only)."""
        records = oldest = 0
        for index in self._places.values():
            slot = self._keys.slot(index)
            records += slot.written()
            oldest = max(oldest, monotonic - slot.anchor)
        used = self._words[_TAIL] - self._words[_HEAD]
        return {
            "segments": len(self._places),
            "records": records,
            "bytes": used if used >= 0 else used + self.budget - _START,
            "budget": self.budget,
            "oldest_seconds": oldest // _SECOND,
            "lifetime_seconds": self.lifetime,
        }

    def places(self) -> "list[int]":
        """Return the places of the consents that have a key."""
        return list(self._places)

    def close(self) -> None:
        """Unmap; keys and ring stay for the next process of this boot."""
        self._plain.wipe()
        self._plain.close()
        self._region.close()


def _entry(view: "bytearray | memoryview", at: int, size: int) -> "tuple[int, int, int]":
    """Return (sealed length, key's number, nonce) of the entry at an offset; length 0: back to the start."""
    if at + _ENTRY > size:
        return 0, 0, 0
    return struct.unpack_from(_ENTRY_FORMAT, view, at)


def _held(view: "bytearray | memoryview", at: int) -> bool:
    """Return True if an entry at an offset hasn't been displaced."""
    _, head, tail, _ = struct.unpack_from("<4I", view, 0)
    return head <= at < tail if head <= tail else at >= head or at < tail


def read(root: str, purpose: str, wall: "int | None", monotonic: int) -> "Generator[bytes]":
    """Yield a purpose's records that can be read, oldest first, packed.

    `root` is the folder above var/run/oubli; times of now in ns, `wall` None where it isn't trusted. SealError at a
    damaged entry, and where the recorder, at work in another process, has displaced what was to be read next.
    """
    base = root + "/var/run/oubli/"
    sodium = crypto.Sodium()
    region = keys.open_ring(base + "keys")
    ring = keys.open_ring(base + "vault/" + purpose + "/ring")
    plain = memory.scratch(LARGEST)
    try:
        number = law.number(purpose)
        found = {slot.number: slot.index for slot in keys.used(region) if slot.purpose == number}
        size, head, tail, _ = struct.unpack_from("<4I", ring.view, 0)
        nonce = bytearray(crypto.NONCE)
        while head != tail:
            length, owner, count = _entry(ring.view, head, size)
            if length > LARGEST + crypto.TAG or not _held(ring.view, head):
                raise crypto.SealError
            if owner in found and length and not due(keys.Slot(region, found[owner]), wall, monotonic):
                struct.pack_into("<I", nonce, 0, count)
                slot = keys.Slot(region, found[owner])
                octets = sodium.decrypt(plain.address, ring.address + head + _ENTRY, length, b"", nonce, slot.key)
                yield bytes(plain.view[:octets])
            head = head + _ENTRY + length if length else _START
    finally:
        plain.wipe()
        plain.close()
        ring.close()
        region.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Generator
