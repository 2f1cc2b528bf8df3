# SPDX-License-Identifier: Apache-2.0
"""A feed's index: Packages, Packages.gz and Packages.sig for opkg, packages.adb for apk.

Source: OpenWrt scripts/ipkg-make-index.sh; the fields Filename, Size, SHA256sum stand before Description.
"""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from tools.package import adb, apk, signing


class FeedError(Exception):
    """A folder that can't be indexed; its text is the one line to show."""


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        found = tar.extractfile(name)
        return found.read() if found else b""


def packages(folder: Path) -> str:
    """Return the text of Packages for the ipk files of a folder."""
    out = []
    for path in sorted(folder.glob("*.ipk")):
        data = path.read_bytes()
        try:
            fields = _member(_member(data, "./control.tar.gz"), "./control").decode()
        except (tarfile.TarError, KeyError, OSError, UnicodeDecodeError):
            raise FeedError(f"{path}: not an ipk; accepted: what `oubli-package build --format ipk` makes") from None
        where = f"Filename: {path.name}\nSize: {len(data)}\nSHA256sum: {hashlib.sha256(data).hexdigest()}\n"
        out.append(fields.replace("Description: ", where + "Description: ", 1))
    return "\n".join(out)


def write(folder: Path, keys: Path | None) -> list[Path]:
    """Write the index of whatever packages a folder holds, signed where there are keys; returns the files written."""
    made = {}
    text = packages(folder)
    if text:
        made["Packages"] = text.encode()
        made["Packages.gz"] = gzip.compress(text.encode(), 9, mtime=0)
        if keys is not None:
            made["Packages.sig"] = signing.sign(keys, text.encode())
    found = sorted(folder.glob("*.apk"))
    if found:
        key = signing.apk_key(keys) if keys else None
        try:
            made["packages.adb"] = apk.index([path.read_bytes() for path in found], key)
        except adb.FormatError as failure:
            raise FeedError(f"{folder}: an .apk there: {failure}; accepted: packages") from None
    if not made:
        raise FeedError(f"{folder}: no package there; accepted: a folder with *.ipk or *.apk")
    for name, data in made.items():
        part = folder / (name + ".part")
        part.write_bytes(data)
        part.replace(folder / name)
    return [folder / name for name in made]
