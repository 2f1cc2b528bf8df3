# SPDX-License-Identifier: Apache-2.0
"""The members of a tar file that somebody else made: a handover, or what was sealed to a recipient.

A header may claim a negative size, and so lead back to itself: Python's tarfile reads it again and again, for ever
(CVE-2025-8194, in versions that are still in use). Other headers of its extensions make it raise what isn't a TarError.
"""

import tarfile

BROKEN = (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError)  # what reading one may raise


def members(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the members, each behind the one before it; ReadError where a header leads back, or others of BROKEN."""
    found: list[tarfile.TarInfo] = []
    for member in tar:
        if member.size < 0 or (found and member.offset <= found[-1].offset):
            raise tarfile.ReadError
        found.append(member)
    return found
