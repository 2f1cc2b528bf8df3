# SPDX-License-Identifier: Apache-2.0
"""How keys and signed files reach the disk: whole or not at all, synced, and overwritten where they lie.

A write may be short, or end with ENOSPC or EIO half-way. What isn't whole is taken back at once; what a loss of power
leaves is recognised by who reads it.
"""

import os
import stat
from pathlib import Path


def write(descriptor: int, data: bytes) -> None:
    """Write all octets, however many writes that takes, and sync them."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def append(descriptor: int, data: bytes) -> None:
    """Append octets to a file that nobody else writes; where that fails, the file ends where it did before."""
    size = os.fstat(descriptor).st_size
    try:
        write(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that isn't there yet (FileExistsError), with its name; none is left where that fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the mask
        write(descriptor, data)
    except BaseException as failure:
        path.unlink()
        if isinstance(failure, OSError):
            failure.filename = str(path)  # a write's own failure names no file
        raise
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def write_by_rename(path: Path, beside: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file under another name first: under its own it is whole, after a loss of power too.

    One writer at a time.
    """
    beside.unlink(missing_ok=True)
    write_new(beside, data, mode)
    beside.rename(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync a folder: the names in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_regular(path: Path, limit: int) -> bytes | None:
    """Return a regular file's octets, None for a folder, a link, a device, or more than `limit` octets."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    with path.open("rb") as file:
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def overwrite(path: Path) -> None:
    """Overwrite a file where it lies, which takes no free block; its name stays until the log is written.

    A file system that copies what is written may need a block and have none. Then the file
    is cut to nothing, and the failure raised.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        try:
            for filling in (b"\xff", b"\0"):
                os.lseek(descriptor, 0, os.SEEK_SET)
                write(descriptor, filling * size)
        except OSError:
            os.ftruncate(descriptor, 0)
            raise
    finally:
        os.close(descriptor)
