# SPDX-License-Identifier: Apache-2.0
"""Custodian segments, read off the device: the page in agent/vault/segment.py, decoded without the agent's code.

A chunk that doesn't open ends a segment, and says why; what was read before it is good. No record is ever guessed.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

# In the order of their numbers
PURPOSES = ("security", "attribution", "billing", "services", "location", "consent", "freeze")
HEADER, FRAME, TRAILER = 160, 8, 20
EPOCH = date(1970, 1, 1)
_HEADER = struct.Struct(">4sBBBB16sIIqiQI24s80s")
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class SegmentError(Exception):
    """A file that isn't a custodian segment, or that another key sealed; the text says which."""


@dataclass
class Segment:
    """One file. `damage` says, after `records` has come to its end, why that wasn't a proper one; "" where it was."""

    purpose: str
    day: date
    destroy: date
    number: int
    opened: datetime
    clock: str
    torn: bool
    data: bytes = field(repr=False)
    said: int | None = None  # records, as the trailer says
    damage: str = ""

    def records(self, key: PrivateKey) -> Iterator[bytes]:
        """Yield each record's octets; SegmentError where the key isn't this segment's."""
        header = self.data[:HEADER]
        *_, stream, sealed = _HEADER.unpack(header)
        try:
            secret = SealedBox(key).decrypt(sealed)
        except CryptoError:
            raise SegmentError("the day's key doesn't open it: damaged, or sealed to another custodian") from None
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, stream, secret)
        at, end, found, tag = HEADER, len(self.data) - (TRAILER if self.said is not None else 0), 0, 0
        while at < end:
            size = sealed_size(self.data, at)
            if size is None:
                self.damage = f"byte {at}: a frame that isn't whole"
                return
            (count,) = struct.unpack_from(">H", self.data, at + 2)
            try:
                plain, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                    state, self.data[at + FRAME : at + FRAME + size], header
                )
            except (CryptoError, RuntimeError):
                self.damage = f"byte {at}: a chunk that doesn't open"
                return
            records = list(split(plain))
            if len(records) != count:
                self.damage = f"byte {at}: {count} records are said, {len(records)} are there"
                return
            yield from records
            found += count
            at += FRAME + size
            if tag == _FINAL and at < end:
                self.damage = f"byte {at}: more after the last chunk"
                return
        if self.said is not None and self.said != found:
            self.damage = f"{self.said} records are said, {found} are there"
        elif tag != _FINAL and not self.torn:
            self.damage = "it ends without a final chunk"


def sealed_size(data: bytes, at: int) -> int | None:
    """Return how many octets the chunk of a frame has, None where no whole frame is."""
    size, _, check = struct.unpack_from(">HHI", data, at) if len(data) - at >= FRAME else (0, 0, 0)
    whole = size and len(data) >= at + FRAME + size
    return (
        size
        if whole and zlib.crc32(data[:HEADER] + data[at : at + 4] + data[at + FRAME : at + FRAME + size]) == check
        else None
    )


def split(plain: bytes) -> Iterator[bytes]:
    """Yield the records of a chunk, each behind its length."""
    at = 0
    while at < len(plain):
        size = plain[at]
        yield plain[at + 1 : at + 1 + size]
        at += 1 + size


def read(data: bytes) -> Segment:
    """Return a segment by its clear header; SegmentError for anything else."""
    if len(data) < HEADER:
        raise SegmentError("too short for a segment")
    magic, version, purpose, custody, clock, _, day, destroy, _, _, wall, number, _, _ = _HEADER.unpack_from(data)
    if (magic, version, custody) != (b"OUBL", 1, 1) or not 0 < purpose <= len(PURPOSES) or clock > 2:
        raise SegmentError("not a segment of custodian custody, version 1")
    kind, said = b"", None
    if len(data) >= HEADER + TRAILER:
        kind, records, before, _, check = struct.unpack_from(">4sIIII", data, len(data) - TRAILER)
        if (
            kind in (b"DONE", b"TORN")
            and before == len(data) - TRAILER
            and zlib.crc32(data[:HEADER] + data[-TRAILER:-4]) == check
        ):
            said = records
    try:
        days = EPOCH + timedelta(days=day), EPOCH + timedelta(days=destroy)
        opened = datetime.fromtimestamp(wall / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        raise SegmentError("a segment of a day that no calendar has") from None
    return Segment(
        PURPOSES[purpose - 1],
        *days,
        number,
        opened,
        ("unknown", "floor", "trusted")[clock],
        kind == b"TORN" and said is not None,
        data,
        said,
    )
