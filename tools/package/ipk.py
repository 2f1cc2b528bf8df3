# SPDX-License-Identifier: Apache-2.0
"""The ipk format of opkg: a gzipped tar of ./debian-binary, ./data.tar.gz, ./control.tar.gz, always the same.

Source: OpenWrt scripts/ipkg-build. Tar in GNU format, sorted by name, owner 0:0 without names, one time for all; gzip
without a name or time of its own.
"""

import gzip
import io
import tarfile

from tools.package.board import Board
from tools.package.contents import File
from tools.package.packages import LICENSE, OUBLI, RELEASE, Package


def _tar(entries: list[tuple[str, int, bytes]], when: int) -> bytes:
    """Return a gzipped tar of (./path, mode, octets) with the folders above each; a folder's path ends in /."""
    folders = {"./"}
    for path, _, _ in entries:
        parts = path.split("/")[1:-1]
        folders.update("./" + "/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))
    everything = [(path, 0o755, b"") for path in folders] + entries
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode, octets in sorted(everything):
            info = tarfile.TarInfo(path)
            info.mode, info.mtime, info.size = mode, when, len(octets)
            info.type = tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(octets))
    return gzip.compress(out.getvalue(), 9, mtime=0)


def fields(board: Board, package: Package, installed: int) -> str:
    """Return the text of ./control."""
    needs = [f"{name} (= {version})" if version else name for name, version in package.needs()]
    rows = {
        "Package": package.name,
        "Version": RELEASE,
        "Depends": ", ".join(needs),
        "License": LICENSE,
        "Section": "net",
        "Require-User": package.users,
        "Maintainer": OUBLI,
        "Architecture": board.architecture,
        "Installed-Size": str(installed),
        "Description": package.description,
    }
    return "".join(f"{name}: {value}\n" for name, value in rows.items() if value)


def build(board: Board, package: Package, content: list[File], when: int) -> bytes:
    """Return the package; `when` in seconds since the epoch is every file's time."""
    data = _tar([("." + file.path, file.mode, file.octets) for file in content], when)
    inside = [
        ("./control", 0o644, fields(board, package, sum(len(file.octets) for file in content)).encode()),
        ("./conffiles", 0o644, "".join(path + "\n" for path in package.conffiles).encode()),
        *((f"./{name}", 0o755, text.encode()) for name, text in package.scripts.items()),
    ]
    parts = {"./debian-binary": b"2.0\n", "./data.tar.gz": data, "./control.tar.gz": _tar(inside, when)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, octets in parts.items():
            info = tarfile.TarInfo(path)
            info.mode, info.mtime, info.size = 0o644, when, len(octets)
            tar.addfile(info, io.BytesIO(octets))
    return gzip.compress(out.getvalue(), 9, mtime=0)


def file_name(board: Board, package: Package) -> str:
    """Return the package's file name."""
    return f"{package.name}_{RELEASE}_{board.architecture}.ipk"
