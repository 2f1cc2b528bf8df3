# SPDX-License-Identifier: Apache-2.0
"""A segment file: clear header, then chunks sealed with libsodium's secretstream (EXP-1, EXP-2, EXP-3).

Volatile custody, on tmpfs. Header, 80 octets, network order:

    4       magic "OUBV"
    1 each  version (1), purpose, custody (0), clock state
    16      boot id
    4, 4    window start (s), lifetime (s)
    8, 8    wall time of opening (ns), monotonic time of opening (ns)
    4       segment number
    24      secretstream header
    4       zeros

Then chunks: u16 length, sealed octets (plaintext + 17). Every chunk is sealed with the whole header as associated data,
so a header can't be exchanged; the last chunk carries the tag "final". The plaintext is a chunk of records
(agent.vault.record) in raw deflate (RFC 1951, a window of 4 KiB): a block for each of its columns and one for the rest.
Where the writer had no libz it is one stored block. A chunk is sealed when its page of 4 KiB is full or the segment
closes. Of a version that this one doesn't know nothing is read, and it goes on time, for its deadline stands in the key
ring (agent.vault.keys).

Custodian custody, on flash, in PURPOSE/YYYY-MM-DD-NNNN (the day whose key it has; a hexadecimal number, from 0001).
Header, 160 octets, network order:

    4       magic "OUBL"
    1 each  version (1), purpose, custody (1), clock state (0 unknown, 1 floor, 2 trusted)
    16      boot id
    4       day (since 1970-01-01; deadlines run from its 00:00 UTC at the earliest)
    4       destroy day
    8       time since boot at which the day began (ns, signed)
    4       powered-on hours at which it began (signed)
    8       wall time of opening (ns)
    4       number
    24      secretstream header
    80      the stream's 32-octet key, sealed to the day's public key (crypto_box_seal)

Then frames:

    2, 2    octets of the chunk, records in it
    4       CRC-32 of header, these 4 octets and chunk
    ...     the chunk, plaintext + 17: the whole header is associated data; tag "rekey" (2), the last one's "final" (3)

The plaintext is a run of records, each behind one octet that says how long it is. At the end a trailer, 20 octets:

    4       "DONE" or "TORN"
    4, 4    records in all, octets before the trailer
    4       where the last frame begins
    4       CRC-32 of header and the 16 octets before

The header is in every sum, and the trailer says where the last frame is: flash may keep what was written last and lose
what was written just before. A later version's header keeps its 160 octets: a segment of a version that this one
doesn't know is left as it is, and goes on time. TORN: the recorder found it unfinished and cut it behind its last whole
frame; the audit log names it. No trailer: it is being written, or power was cut and no recorder has run since.
"""

import binascii
import struct

from agent.runtime import sodium as crypto

HEADER = 80
PAGE = 4096
# A little-endian word: octets used (of the rest, where there are columns) | generation it belongs to << 16
PAGE_HEADER = 4
VERSION = 1
VOLATILE = 0
LATEST = 1000000000 << 32  # ns since the epoch: a window has 32 bits of seconds
_MAGIC = b"OUBV"
_FORMAT = ">4sBBBB16sIIQQI24s4x"


class VersionError(crypto.SealError):
    """A segment of a version that this one doesn't know."""


def header(
    purpose: int,
    clock: int,
    boot: str,
    window: int,
    lifetime: int,
    wall: int,
    monotonic: int,
    number: int,
    stream: bytes,
) -> bytes:
    """Return a segment's 80 octets of header."""
    boot_id = binascii.unhexlify(boot)
    return struct.pack(
        _FORMAT, _MAGIC, VERSION, purpose, VOLATILE, clock, boot_id, window, lifetime, wall, monotonic, number, stream
    )


def parse(data: bytes) -> "tuple[int, bytes]":
    """Return (window, stream header); SealError for anything but a header, VersionError for one of another version."""
    if len(data) != HEADER:
        raise crypto.SealError
    magic, version, _, _, _, _, window, _, _, _, _, stream = struct.unpack(_FORMAT, data)
    if magic != _MAGIC:
        raise crypto.SealError
    if version != VERSION:
        raise VersionError
    return window, stream


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
