# SPDX-License-Identifier: Apache-2.0
"""Headers, frames and trailers of custodian segments, as the page in agent/vault/segment.py has them (EXP-3)."""

import binascii
import struct

from agent.runtime import sodium as crypto

CUSTODIAN = 1
VERSION = 1
SEALED_KEY = 80
HEADER = 160
FRAME = 8
TRAILER = 20
DONE, TORN = b"DONE", b"TORN"
CLOCK_STATES = ("unknown", "floor", "trusted")
_SEALED = ">4sBBBB16sIIqiQI24s80s"


class Sealed:
    """The clear header of a custodian segment, as fields; `pack` and `unpack` are each other's inverse."""

    def __init__(
        self,
        purpose: int,
        clock: int,
        boot: str,
        day: int,
        destroy: int,
        anchor: int,
        hours: int,
        wall: int,
        number: int,
    ) -> None:
        self.purpose = purpose
        self.clock = clock
        self.boot = boot
        self.day = day
        self.destroy = destroy
        self.anchor = anchor
        self.hours = hours
        self.wall = wall
        self.number = number

    def pack(self, stream: bytes, sealed_key: bytes) -> bytes:
        """Return the 160 octets, with the stream's public header and its sealed key."""
        return struct.pack(
            _SEALED,
            b"OUBL",
            VERSION,
            self.purpose,
            CUSTODIAN,
            self.clock,
            binascii.unhexlify(self.boot),
            self.day,
            self.destroy,
            self.anchor,
            self.hours,
            self.wall,
            self.number,
            stream,
            sealed_key,
        )


def unpack(data: bytes) -> "tuple[Sealed, bytes, bytes]":
    """Return (fields, stream header, sealed key) of a custodian segment's header; SealError for anything else.

    A later version's too: what stands in these 160 octets stays, so that its deadline
    is kept after a step back to this version.
    """
    if len(data) != HEADER:
        raise crypto.SealError
    magic, version, purpose, custody, clock, boot, day, destroy, anchor, hours, wall, number, stream, key = (
        struct.unpack(_SEALED, data)
    )
    if (magic, custody) != (b"OUBL", CUSTODIAN) or version < VERSION or clock >= len(CLOCK_STATES):
        raise crypto.SealError
    boot_id = binascii.hexlify(boot).decode()
    return Sealed(purpose, clock, boot_id, day, destroy, anchor, hours, wall, number), stream, key


def is_later(data: bytes) -> bool:
    """Return True if a header is of a version that this one can't write or mend."""
    return data[4] > VERSION


def frame(view: "bytearray | memoryview", size: int, records: int, check: int) -> None:
    """Fill in the 8 octets before a sealed chunk of `size` octets in `view`; `check`: the header's CRC-32."""
    struct.pack_into(">HH", view, 0, size, records)
    check = binascii.crc32(memoryview(view)[FRAME : FRAME + size], binascii.crc32(memoryview(view)[:4], check))
    struct.pack_into(">I", view, 4, check)


def whole(data: "bytes | memoryview", check: int) -> int:
    """Return how many octets the frame at the start of `data` has, with its chunk; 0 where it isn't whole."""
    if len(data) < FRAME:
        return 0
    size, _, said = struct.unpack_from(">HHI", data, 0)
    if size < crypto.OVERHEAD or len(data) < FRAME + size:
        return 0
    view = memoryview(data)
    return FRAME + size if binascii.crc32(view[FRAME : FRAME + size], binascii.crc32(view[:4], check)) == said else 0


def records_in(data: "bytes | memoryview") -> int:
    """Return how many records the frame at the start of `data` says it has."""
    return struct.unpack_from(">HH", data, 0)[1]


def trailer(kind: bytes, records: int, octets: int, last: int, check: int) -> bytes:
    """Return the 20 octets that end a file of `octets` octets before them, whose last frame begins at `last`."""
    said = struct.pack(">4sIII", kind, records, octets, last)
    return said + struct.pack(">I", binascii.crc32(said, check))


def ending(data: bytes, octets: int, check: int) -> "tuple[bytes, int, int] | None":
    """Return (kind, records, last) of the trailer of a file with `octets` before it; None for anything else."""
    if len(data) != TRAILER:
        return None
    kind, records, before, last, said = struct.unpack(">4sIIII", data)
    if kind not in (DONE, TORN) or before != octets or binascii.crc32(data[:16], check) != said:
        return None
    return kind, records, last
