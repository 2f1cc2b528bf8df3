# SPDX-License-Identifier: Apache-2.0
"""Whoever carries a handover, or knows a recipient's public key, makes up a tar file: what reading it may take."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Read as a handover, then as what was sealed to a recipient; a gibibyte of memory for either.
READS = """
import resource, sys
from pathlib import Path
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey
from tools.custodian import handovers, signed_folder
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
recipient = PrivateKey.generate()
sealed = SealedBox(recipient.public_key).encrypt(path.read_bytes())
key = SigningKey.generate().verify_key
for read in (lambda: handovers.read(path, {}, {}), lambda: signed_folder.unseal(sealed, recipient, key)):
    try:
        read()
    except (handovers.HandoverError, signed_folder.FolderError) as failure:
        print(type(failure).__name__)
"""


def header(name: str, size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a member's header, with these octets as its size."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size
    block[148:156] = b"%06o\0 " % (256 + sum(block[:148]) + sum(block[156:]))
    return bytes(block)


def pax(*records: str) -> bytes:
    """Return an extended header with these records, and its padding."""
    body = b"".join(b"%d %s\n" % (len(one) + 4, one.encode()) for one in records)
    return header("x", b"%011o\0" % len(body), tarfile.XHDTYPE) + body.ljust(512, b"\0")


EMPTY, NEGATIVE = b"%011o\0" % 0, b"\xff" * 10 + b"\xfe\0"  # -512: base 256, as for sizes beyond 8 GiB
LAYS: dict[str, Callable[[], bytes]] = {
    "a size that leads back": lambda: header("a", EMPTY) + header("b", NEGATIVE),
    "the same in an extended header": lambda: header("a", EMPTY) + pax("size=-1536") + header("b", EMPTY),
    "a sparse file without its map": lambda: (
        pax("GNU.sparse.major=1", "GNU.sparse.minor=0") + header("b", b"%011o\0" % 512) + b"x" * 512
    ),
}


@pytest.mark.parametrize("kind", LAYS)
def test_a_tar_file_that_leads_back_is_refused_at_once(kind: str, memory: Path) -> None:
    """Python's tarfile reads such a header again and again, or falls (CVE-2025-8194)."""
    path = memory / "file.tar"
    path.write_bytes(LAYS[kind]() + bytes(1024))
    done = subprocess.run(
        [sys.executable, "-c", READS, path], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.stdout, done.returncode) == ("HandoverError\nFolderError\n", 0), done.stderr[-400:]
