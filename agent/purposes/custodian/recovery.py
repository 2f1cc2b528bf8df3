# SPDX-License-Identifier: Apache-2.0
"""What a former process or a cut of power left of a custodian's store, put in order at a start (EXP-6).

A process of this boot left pages on tmpfs, and segments that can be gone on with unless a write was cut off. Of another
boot there are segments only: agent.purposes.custodian.mending cuts those without a trailer behind their last whole
frame.
"""

import binascii

from agent.purposes.custodian import mending, sealed
from agent.purposes.custodian.waiting import DAY
from agent.runtime import files
from agent.runtime import sodium as crypto
from agent.vault.stores import parse_name


def take_over(
    number: int, ring: "KeyRing", find: "Callable[[int], tuple[bytes, int] | None]", writer: "SegmentWriter"
) -> int:
    """Find again what waits on tmpfs for a purpose's number; returns how many records have no key by `find`."""
    lost = 0
    for slot in list(ring.used()):
        if slot.purpose == number:
            key = find(slot.window // DAY)
            if key is None:
                lost += slot.records
                ring.destroy(slot)
            else:
                writer.found(slot, key)
    writer.wipe()
    return lost


def put_in_order(
    number: int, boot: str, flash: "FlashFolder", writer: "SegmentWriter", sodium: crypto.Sodium
) -> "list[str]":
    """Look through a store's folder; returns the names of segments that were found unfinished.

    OSError where flash refuses.
    """
    flash.require()
    flash.make()
    writer.given_up.clear()  # they are mended with the rest
    for page in list(writer.pages.values()):
        _resume(page, flash, writer, sodium)
    return [name for name in sorted(files.names(flash.segments.folder)) if _shelve(name, number, boot, flash, writer)]


def _resume(page: "Page", flash: "FlashFolder", writer: "SegmentWriter", sodium: crypto.Sodium) -> None:
    """Go on with a segment of a former process, unless it was closed, or a write of it was cut off.

    A stream that was cut off is overwritten before its file is mended: where that is cut off too, the next start sees
    it, and nothing is pushed again.
    """
    slot = page.slot
    path = flash.segments.path(page.day, slot.number)
    size = files.size_of(path) if slot.number and files.exists(path) else 0
    check = binascii.crc32(files.read_at(path, 0, sealed.HEADER)) if size else 0
    end = mending.finished(path, size, check) if size else None
    if end is not None and end[0] == sealed.DONE:
        writer.forget(page)  # it was closed: what waited is in it
    elif size and size == slot.written() and slot.can_go_on():
        sodium.zero(slot.bank(slot.generation + 1), crypto.STATE)
        page.header = files.read_at(path, 0, sealed.HEADER)
        page.sealed = mending.scan(path, check)[2]
    else:
        if size and size >= slot.written():
            for generation in (0, 1):
                sodium.zero(slot.bank(generation), crypto.STATE)
            if slot.written():
                mending.cut(path, slot.written(), check)
            else:
                files.remove(path)
        writer.unopened(page)
        if not page.used:
            writer.forget(page)


def _shelve(name: str, number: int, boot: str, flash: "FlashFolder", writer: "SegmentWriter") -> bool:
    """Take a file of the folder in; one that is unfinished, and of no writer, is mended first and said to be torn."""
    known = parse_name(name)
    if known is None:
        return False
    path = flash.segments.path(known[0], known[1])
    page = writer.pages.get(known[0])
    if page is not None and page.slot.number == known[1]:
        flash.segments.add(sealed.unpack(page.header)[0], boot, files.size_of(path), page.sealed)
        return False
    found = mending.mend(path, known[0], known[1], number)
    if found.header is not None:
        flash.segments.add(found.header, boot, found.octets, found.records)
    return found.torn


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Protocol

    from agent.purposes.custodian.flash_folder import FlashFolder
    from agent.purposes.custodian.segment_writer import SegmentWriter
    from agent.purposes.custodian.waiting import Page
    from agent.vault.keys import KeyRing

    class Keys(Protocol):
        """The custodian's public keys: agent.purposes.custodian.bundle."""

        def find(self, purpose: str, day: int, lifetime: int) -> "tuple[bytes, int] | None":
            """Return (public key, destroy day) of a day."""
            ...

        def refresh(self) -> None:
            """Look for a bundle that was installed meanwhile."""
            ...

        def days_left(self, purpose: str, day: int, lifetime: int) -> int:
            """Return for how many days from a day on there are keys."""
            ...
