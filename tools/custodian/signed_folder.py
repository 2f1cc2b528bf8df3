# SPDX-License-Identifier: Apache-2.0
"""What the custodian gives out: files, a manifest with SHA-256, his signature; sealed where there is a key.

`manifest.sig` is the custodian's Ed25519 signature of `manifest.json`, in hex. Sealed, the folder is a single file:
libsodium's sealed box (X25519) of a tar file. A sealed box doesn't say who made it. So whoever opens one has the
signature checked before anything is written.
"""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

from tools import disk
from tools.custodian import tars

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"


class FolderError(Exception):
    """A sealed file that isn't for this recipient, or not of this custodian; the text says which."""


def table(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV, in which a spreadsheet finds nothing to run: a portal user chooses his own name."""
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(row[name]) for name in names} for row in rows)
    return out.getvalue().encode()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value


def sign(content: Mapping[str, bytes], told: Mapping[str, Any], key: SigningKey) -> dict[str, bytes]:
    """Return the files with their signed manifest: what is `told`, and the SHA-256 of each."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    manifest = (json.dumps({**told, "sha256": sums}, indent=1) + "\n").encode()
    return {**content, MANIFEST: manifest, SIGNATURE: f"{key.sign(manifest).signature.hex()}\n".encode()}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder, for its owner alone; OSError where that can't be."""
    folder.mkdir(mode=0o700)
    for name, data in files.items():
        disk.write_new(folder / name, data, 0o600)
    disk.sync_folder(folder.parent)


def seal(files: Mapping[str, bytes], to: PublicKey) -> bytes:
    """Return files as one that the recipient alone opens."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    return SealedBox(to).encrypt(packed.getvalue())


def unseal(data: bytes, private: PrivateKey, custodian: VerifyKey) -> dict[str, bytes]:
    """Return the files of a sealed one by name, each as the custodian signed it; FolderError for anything else."""
    try:
        packed = SealedBox(private).decrypt(data)
    except CryptoError:
        raise FolderError("this key doesn't open it: sealed to another recipient, or changed since") from None
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
            files = {member.name: _content(tar, member, len(packed)) for member in tars.members(tar)}
        manifest, signature = files[MANIFEST], bytes.fromhex(files[SIGNATURE].decode())
        custodian.verify(manifest, signature)
        sums = json.loads(manifest)["sha256"]
    except BadSignatureError:
        raise FolderError("the signature isn't this custodian's") from None
    except (*tars.BROKEN, KeyError, TypeError):
        raise FolderError("not a signed folder of a custodian") from None
    if {
        name: hashlib.sha256(octets).hexdigest() for name, octets in files.items() if name not in (MANIFEST, SIGNATURE)
    } != sums:
        raise FolderError("a file isn't the one that the manifest names")
    return files


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    """Return a member's octets; ValueError for a link, a path, or one that is larger than the file it is in."""
    file = tar.extractfile(member) if member.isreg() and not member.issparse() and member.size <= most else None
    if file is None or Path(member.name).name != member.name or member.name.startswith("."):
        raise ValueError
    return file.read()
