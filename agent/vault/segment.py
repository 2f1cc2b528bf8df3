# SPDX-License-Identifier: Apache-2.0
"""A segment file: clear header, then chunks sealed with libsodium's secretstream (EXP-1, EXP-2).

Header, 80 octets, network order: magic "OUBL", version u8 = 2, purpose u8, custody u8 (0 volatile), clock state u8, boot id 16,
window start u32 (s), lifetime u32 (s), wall time of opening u64 (ns), monotonic time of opening u64 (ns), segment number u32,
secretstream header 24, 4 zeros. Then chunks: u16 length, sealed octets (plaintext + 17). Every chunk is sealed with the whole
header as associated data, so a header can't be exchanged; the last chunk carries the tag "final". The plaintext is a run of
records (agent.vault.record). A chunk is sealed when its page of 4 KiB is full or the segment closes.
"""

import struct

from agent.runtime import sodium as crypto

HEADER = 80
PAGE = 4096
PAGE_HEADER = 4  # a little-endian word: octets used | generation it belongs to << 16
VERSION = 2
VOLATILE = 0
_FORMAT = ">4sBBBB16sIIQQI24s4x"


def header(purpose: int, clock: int, boot: str, window: int, lifetime: int, wall: int, monotonic: int, number: int, stream: bytes) -> bytes:
    """Return a segment's 80 octets of header."""
    boot_id = bytes(int(boot[at : at + 2], 16) for at in range(0, 32, 2))
    return struct.pack(_FORMAT, b"OUBL", VERSION, purpose, VOLATILE, clock, boot_id, window, lifetime, wall, monotonic, number, stream)


def parse(data: bytes) -> "tuple[int, int, int, int, bytes]":
    """Return (purpose, window, lifetime, number, stream header); SealError for anything but a header of this version."""
    if len(data) != HEADER:
        raise crypto.SealError
    magic, version, purpose, _, _, _, window, lifetime, _, _, number, stream = struct.unpack(_FORMAT, data)
    if magic != b"OUBL" or version != VERSION:
        raise crypto.SealError
    return purpose, window, lifetime, number, stream


def chunks(file: "BinaryIO", octets: int) -> "Iterator[bytes]":
    """Yield the sealed chunks in the next `octets` of an open file; SealError where the file ends before them."""
    while octets > 0:
        length = file.read(2)
        size = int.from_bytes(length, "big")
        chunk = file.read(size)
        if len(length) != 2 or len(chunk) != size:
            raise crypto.SealError
        yield chunk
        octets -= 2 + size


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterator
