# SPDX-License-Identifier: Apache-2.0
"""What a cut of power left of a segment: cut behind its last whole frame, ended as torn, all synced kept (EXP-6).

Every step can be cut off itself: the next start then does it again and comes to the same end.
"""

import binascii

from agent.purposes.custodian import sealed
from agent.runtime import files
from agent.runtime import sodium as crypto
from agent.vault import segment


class Mended:
    """A segment as it is now: `header` None where nothing of it is left; `torn`: it was found unfinished."""

    def __init__(self, header: "sealed.Sealed | None", octets: int, records: int, *, torn: bool) -> None:
        self.header = header
        self.octets = octets
        self.records = records
        self.torn = torn


_FRAME = sealed.FRAME + crypto.OVERHEAD + segment.PAGE  # octets of the largest


def scan(path: str, check: int) -> "tuple[int, int, int]":
    """Return where the last whole frame of a file ends and begins, and how many records there are up to its end."""
    at, last, records = sealed.HEADER, 0, 0
    while True:
        data = files.read_at(path, at, _FRAME)
        size = sealed.whole(data, check)
        if not size:
            return at, last, records
        records += sealed.records_in(data)
        at, last = at + size, at


def finished(path: str, octets: int, check: int) -> "tuple[bytes, int] | None":
    """Return (kind, records) of a file that ends with its trailer and whose last frame is whole, else None."""
    body = octets - sealed.TRAILER
    end = sealed.ending(files.read_at(path, max(body, 0), sealed.TRAILER), body, check)
    if end is None or end[2] + sealed.whole(files.read_at(path, end[2], min(_FRAME, body - end[2])), check) != body:
        return None
    return end[0], end[1]


def cut(path: str, octets: int, check: int) -> int:
    """End a file as torn behind its last whole frame within `octets`; returns how long it is then."""
    descriptor = files.open_file(path, ("O_APPEND",))
    try:
        files.truncate(descriptor, octets)
        good, last, records = scan(path, check)
        files.truncate(descriptor, good)
        end = sealed.trailer(sealed.TORN, records, good, last, check)
        files.write_all(descriptor, end, len(end))
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    return good + len(end)


def mend(path: str, day: int, number: int, purpose: int) -> Mended:
    """Put a segment that nobody writes to in order; OSError where the file system refuses."""
    if not files.is_file(path):
        return _remove(path)
    octets = files.size_of(path)
    data = files.read_at(path, 0, sealed.HEADER)
    check = binascii.crc32(data)
    try:
        header = sealed.unpack(data)[0]
        if (header.day, header.number, header.purpose) != (day, number, purpose):
            raise crypto.SealError
    except crypto.SealError:
        # Every chunk is bound to its header: nobody can open any of them.
        return _remove(path)
    if sealed.is_later(data):
        return Mended(header, octets, 0, torn=False)  # how many records it has, it doesn't say to us
    end = finished(path, octets, check)
    if end is not None:
        return Mended(header, octets, end[1], torn=False)
    records = scan(path, check)[2]
    if not records:
        return _remove(path)
    return Mended(header, cut(path, octets, check), records, torn=True)


def _remove(path: str) -> Mended:
    files.clear(path)
    files.sync_folder(path.rsplit("/", 1)[0])
    return Mended(None, 0, 0, torn=True)
