# SPDX-License-Identifier: Apache-2.0
"""What a cut of power left of a custodian segment: cut behind its last whole frame, ended as torn, never less than was synced (EXP-6).

Every step can be cut off itself: the next start then does it again and comes to the same end.
"""

from agent.runtime import files
from agent.runtime import sodium as crypto
from agent.vault import sealed, segment


class Mended:
    """A segment as it is now: `header` None where nothing of it is left; `torn`: it was found unfinished."""

    def __init__(self, header: "sealed.Sealed | None", octets: int, records: int, *, torn: bool) -> None:
        self.header = header
        self.octets = octets
        self.records = records
        self.torn = torn


def scan(path: str) -> "tuple[int, int]":
    """Return where the last whole frame of a file ends, and how many records there are up to there."""
    at, records = sealed.HEADER, 0
    while True:
        data = files.read_at(path, at, sealed.FRAME + crypto.OVERHEAD + segment.PAGE)
        size = sealed.whole(data)
        if not size:
            return at, records
        records += sealed.records_in(data)
        at += size


def cut(path: str, octets: int) -> None:
    """End a file as torn, behind a good chunk."""
    end = sealed.trailer(sealed.TORN, scan(path)[1], octets)
    descriptor = files.open_file(path, ("O_APPEND",))
    try:
        files.truncate(descriptor, octets)
        files.write_all(descriptor, end, len(end))
        files.sync(descriptor)
    finally:
        files.close(descriptor)


def mend(path: str, day: int, number: int, purpose: int) -> Mended:
    """Put a segment that nobody writes to in order; OSError where the file system refuses."""
    octets = files.size_of(path)
    try:
        header = sealed.unpack(files.read_at(path, 0, sealed.HEADER))[0]
        if (header.day, header.number, header.purpose) != (day, number, purpose):
            raise crypto.SealError
    except crypto.SealError:
        # Every chunk is bound to its header: nobody can open any of them.
        return _remove(path)
    body = octets - sealed.TRAILER
    end = sealed.ending(files.read_at(path, max(body, 0), sealed.TRAILER), body)
    if end is not None:
        return Mended(header, octets, end[1], torn=False)
    good, records = scan(path)
    if not records:
        return _remove(path)
    cut(path, good)
    return Mended(header, good + sealed.TRAILER, records, torn=True)


def _remove(path: str) -> Mended:
    files.remove(path)
    files.sync_folder(path.rsplit("/", 1)[0])
    return Mended(None, 0, 0, torn=True)
