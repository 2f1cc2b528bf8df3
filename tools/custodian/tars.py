# SPDX-License-Identifier: Apache-2.0
"""The members of a tar file that somebody else made: a handover, or what was sealed to a recipient.

Of a handover, which may have gigabytes, the headers alone are read, and none but those of plain members (`plain`). What
is sealed goes through Python's tarfile. There a header may claim a negative size, and so lead back to itself: it is
read again and again, for ever (CVE-2025-8194, in versions that are still in use). Other headers of its extensions make
it raise what isn't a TarError.
"""

import tarfile
from typing import BinaryIO

BLOCK = 512
MOST = 10000  # members of a handover: three days of segments are some hundreds
BROKEN = (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError)  # what reading one may raise


def members(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the members, each behind the one before it; ReadError where a header leads back, or others of BROKEN."""
    found: list[tarfile.TarInfo] = []
    for member in tar:
        if member.size < 0 or (found and member.offset <= found[-1].offset):
            raise tarfile.ReadError
        found.append(member)
    return found


def plain(file: BinaryIO, octets: int) -> list[tuple[str, int, int]]:
    """Return of each member of a file of so many octets its name, where its content begins, and how long that is.

    ReadError, or others of BROKEN, for a member that is no plain file, or two of a name, or too many.
    """
    found: dict[str, tuple[int, int]] = {}
    at = 0
    while any(block := _block(file, at)):
        name, digits = block[:100].rstrip(b"\0").decode("ascii"), block[124:135]
        begin, size = at + BLOCK, int(digits, 8)
        if not digits.isdigit() or block[156:157] != tarfile.REGTYPE or begin + size > octets:
            raise tarfile.ReadError
        if name in found or len(found) == MOST:
            raise tarfile.ReadError
        found[name] = begin, size
        at = begin + size + -size % BLOCK
    return [(name, *place) for name, place in found.items()]


def _block(file: BinaryIO, at: int) -> bytes:
    """Return the header at a place; none where the file ends before its own end."""
    file.seek(at)
    block = file.read(BLOCK)
    return block if len(block) == BLOCK else b""
