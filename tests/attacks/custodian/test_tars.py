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


PLAIN = """
import resource, sys
from pathlib import Path
from tools.custodian import handovers
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    handovers.read(Path(sys.argv[1]), {}, {})
except handovers.HandoverError as failure:
    print(str(failure).removeprefix(sys.argv[1]))
"""
LARGE = b"%011o\0" % (3 << 29)
NO_TAR = ": not a tar file of plain members; accepted: what oubli request run wrote\n"
NO_WORD = ": no request or no word of the gateway in it; accepted: what oubli request run wrote\n"
HOLE = 3 << 29
HANDOVERS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "a large segment": (lambda: header("attribution/x", LARGE), HOLE, NO_WORD),
    "a large request": (lambda: header("request.toml", LARGE), HOLE, NO_WORD),
    "a large extended header": (lambda: header("x", LARGE, tarfile.XHDTYPE), HOLE, NO_TAR),
    "a large name": (lambda: header("x", LARGE, tarfile.GNUTYPE_LONGNAME), HOLE, NO_TAR),
    "a member behind the end": (lambda: header("request.toml", LARGE), 0, NO_TAR),
    "two of a name": (lambda: header("request.toml", EMPTY) * 2, 0, NO_TAR),
    "many members": (lambda: b"".join(header(f"attribution/{at}", EMPTY) for at in range(10001)), 0, NO_TAR),
    "a negative size": (lambda: header("request.toml", b"-0000000010\0"), 0, NO_TAR),
    "a link": (lambda: header("request.toml", EMPTY, tarfile.SYMTYPE), 0, NO_TAR),
}


@pytest.mark.parametrize("kind", HANDOVERS)
def test_a_handover_that_nobody_signed_costs_no_memory(kind: str, memory: Path) -> None:
    """Gibibytes of it were read, for minutes, before a signature was looked at."""
    begins, hole, said = HANDOVERS[kind]
    path = memory / "file.tar"
    with path.open("wb") as file:
        file.write(begins())
        file.seek(hole, 1)
        file.write(header("gateway.sig", EMPTY) + bytes(1024))
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, path], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == (said, 0), done.stderr[-400:]
