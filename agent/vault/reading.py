# SPDX-License-Identifier: Apache-2.0
"""Reading a purpose's store: what its keys still open, in its segments' order, nothing past its deadline (EXP-1)."""

import struct

from agent import law
from agent.runtime import memory
from agent.runtime import sodium as crypto
from agent.runtime.deflate import DEFLATE
from agent.vault import keys, segment
from agent.vault.record import COLUMN, REST
from agent.vault.unpacker import Unpacker
from agent.vault.windows import due

_TRIES = 8  # a page lasts for hundreds of connections: whoever finds it sealed so often in a row is told to come again


def waiting(buffer: "bytes | bytearray | memoryview", at: int, slot: keys.Slot) -> int:
    """Return how many octets a page holds for the chunk that follows a slot's last sealed one."""
    (head,) = struct.unpack_from("<I", buffer, at)
    return head & 0xFFFF if head >> 16 == slot.generation else 0


def read(root: str, purpose: str, wall: "int | None", monotonic: int) -> "Generator[Record]":
    """Yield a purpose's readable records, oldest segment first; nothing that is past its deadline (EXP-1).

    `root` is the folder above var/run/oubli; `wall` (None: not trusted) and `monotonic` are now, in ns. SealError at a
    segment that was damaged or cut, or gave way to another meanwhile.
    """
    sodium = crypto.Sodium()
    base = root + "/var/run/oubli/"
    folder = base + "vault/" + purpose
    region = keys.open_ring(base + "keys")
    scratch = memory.scratch(segment.PAGE * 4)
    try:
        found = [slot for slot in keys.used(region) if slot.purpose == law.number(purpose)]
        copies = [slot for slot in found if slot.late == keys.COPY]
        # Of a segment and its copy the original counts until the copy is whole
        passed = [slot.index if slot.state == keys.OPEN else slot.page for slot in copies]
        for slot in sorted(found, key=_age):
            if slot.index not in passed and not due(slot, wall, monotonic):
                yield from read_segment(folder, slot, sodium, scratch)
    finally:
        sodium.zero(scratch.address, scratch.size)
        scratch.close()
        region.close()


def _age(slot: keys.Slot) -> "tuple[int, int]":
    return slot.window, slot.number


def _snapshot(folder: str, slot: keys.Slot) -> "tuple[int, bytes]":
    """Return how many octets of a segment's file are good, and its page (empty: closed), both of one moment.

    A recorder may be at work in another process. Had it sealed the page between the two, its records would be missed.
    Had another segment taken the page, they would be read as this one's. SealError where the segment is gone.
    """
    number = slot.number
    for _ in range(_TRIES):
        slot.load()
        seen, written, page = (slot.state, slot.generation, slot.number), slot.written(), b""
        if slot.state == keys.OPEN:
            with open(folder + "/chunks", "rb") as file:
                file.seek(slot.page * segment.PAGE)
                page = file.read(segment.PAGE)
        slot.load()
        if (slot.state, slot.generation, number) == seen and slot.state != keys.FREE:
            return written, page
    raise crypto.SealError


def read_segment(folder: str, slot: keys.Slot, sodium: crypto.Sodium, scratch: memory.Region) -> "Iterator[Record]":
    """Yield one segment's records, whatever its age; SealError where it was damaged, cut, or is gone meanwhile.

    `scratch` has four pages.
    """
    plain = 2 * segment.PAGE  # where in it a chunk is inflated
    written, page = _snapshot(folder, slot)
    with open(folder + "/" + ("%08x" % slot.number), "rb") as file:
        header = file.read(segment.HEADER)
        window, stream = segment.parse(header)
        unpacker = Unpacker(window)
        sodium.stream.read(scratch.address, stream, slot.key)
        ended = False
        for chunk in segment.chunks(file, written - segment.HEADER):
            size, tag = sodium.stream.pull(scratch.address, scratch.address + 64, chunk, header)
            size = DEFLATE.unpack(scratch.address + plain, segment.PAGE, scratch.address + 64, size)
            yield from unpacker.unpack(memoryview(scratch.view)[plain:], size)
            ended = tag == crypto.FINAL
    if page:
        left = waiting(page, 0, slot)
        yield from unpacker.unpack(memoryview(page)[segment.PAGE_HEADER :], left + REST if left else 0, COLUMN)
    elif not ended:
        raise crypto.SealError


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generator, Iterator

    from agent.vault.record import Record
