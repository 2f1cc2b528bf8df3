# SPDX-License-Identifier: Apache-2.0
"""Files that survive a cut of power: written beside, synced, renamed, and the folder synced after them (EXP-6)."""

import os
import struct

from agent.runtime.libc import LIBC, native

_LOCK_EX, _LOCK_NB = 2, 4

names = native.names

_CHUNK = 4096


def _path(name: "str | bytes") -> bytes:
    return (name.encode() if isinstance(name, str) else name) + b"\0"


def open_file(path: str, flags: "tuple[str, ...]", mode: int = 0o600) -> int:
    """Open with O_RDWR and the named flags; never through a symbolic link. Returns a descriptor, raises OSError."""
    bits = 2 | LIBC["O_CLOEXEC"] | LIBC["O_NOFOLLOW"]
    for flag in flags:
        bits |= LIBC[flag]
    return LIBC.call("open", _path(path), bits, mode)


def write_all(descriptor: int, data: "bytes | bytearray | memoryview | int", size: int) -> None:
    """Write `size` octets from a buffer or an address; OSError where fewer could be written."""
    written = LIBC.call("write", descriptor, data, size)
    if written != size:
        raise OSError(28, "")  # ENOSPC: a regular file takes less than asked only when it is full


def write_to(path: str, flags: "tuple[str, ...]", data: "bytes | bytearray | memoryview | int", size: int) -> None:
    """Open a file as `open_file`, write `size` octets to it, close it; OSError where any of that is refused."""
    descriptor = open_file(path, flags)
    try:
        write_all(descriptor, data, size)
    finally:
        close(descriptor)


def open_reading(path: str) -> int:
    """Open a file to read it; never through a symbolic link. Returns a descriptor, raises OSError."""
    return LIBC.call("open", _path(path), LIBC["O_CLOEXEC"] | LIBC["O_NOFOLLOW"] | LIBC["O_NONBLOCK"], 0)


def read_some(descriptor: int, place: "bytearray | int", size: int) -> int:
    """Read up to `size` octets of a file into memory; returns how many, 0 at its end."""
    return LIBC.call("read", descriptor, place, size)


def sync(descriptor: int) -> None:
    """Make what was written to a file durable; its name takes `sync_folder` besides."""
    LIBC.call("fsync", descriptor)


def close(descriptor: int) -> None:
    """Close a file."""
    LIBC.call("close", descriptor)


def read_at(path: str, offset: int, size: int) -> bytes:
    """Return up to `size` octets of a file from an offset on, fewer at its end."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def sync_folder(path: str) -> None:
    """Make names created, renamed or removed in a folder durable."""
    descriptor = LIBC.call("open", _path(path), LIBC["O_DIRECTORY"] | LIBC["O_CLOEXEC"], 0)
    try:
        LIBC.call("fsync", descriptor)
    finally:
        LIBC.call("close", descriptor)


def read_into(path: str, buffer: "memoryview | bytearray") -> int:
    """Read a file's first octets straight into a buffer; returns how many. Never through a symbolic link."""
    descriptor = LIBC.call("open", _path(path), LIBC["O_CLOEXEC"] | LIBC["O_NOFOLLOW"], 0)
    try:
        return LIBC.call("read", descriptor, buffer, len(buffer))
    finally:
        LIBC.call("close", descriptor)


def write_atomic(path: str, data: "bytes | memoryview", mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace a file by rename: readers see the former content or the new one, whole.

    `durable` syncs file and folder (flash); files on tmpfs need neither.
    """
    folder, name = path.rsplit("/", 1)
    # A leading dot keeps an unfinished file out of everybody's listing.
    beside = folder + "/." + name + ".new"
    remove(beside)
    descriptor = open_file(beside, ("O_CREAT", "O_EXCL"), mode)
    try:
        write_all(descriptor, data, len(data))
        LIBC.call("fchmod", descriptor, mode)
        if durable:
            LIBC.call("fsync", descriptor)
        os.rename(beside, path)
    except OSError:
        remove(beside)
        raise
    finally:
        LIBC.call("close", descriptor)
    if durable:
        sync_folder(folder)


def write_over(path: str, data: bytes) -> None:
    """Replace a text on tmpfs by rename or, where there is no room for another file, in its own place.

    In one call, of less than a page, spaces behind it: a process that is killed leaves no half of it. OSError where
    there is no such file.
    """
    try:
        write_atomic(path, data, durable=False)
    except OSError:
        size = max(os.stat(path)[6], len(data))
        write_to(path, (), data + b" " * (size - len(data)), size)


def remove(path: "str | bytes") -> bool:
    """Remove a file if it is there; returns if it was."""
    try:
        os.remove(path)
    except OSError as failure:
        if failure.errno != 2:  # ENOENT
            raise
        return False
    return True


def entries(path: "str | bytes") -> "Iterator[str | bytes]":
    """Yield the paths of what lies in a folder; as octets where a name is no text."""
    if isinstance(path, str):
        for name in names(path):
            if _is_text(name):
                yield path + "/" + name
        path = path.encode()
        try:
            for octets in native.names(path):
                if not _is_text(octets):
                    yield path + b"/" + octets
        except OSError:
            pass
    else:
        for octets in names(path):
            yield path + b"/" + octets


def _is_text(name: "str | bytes") -> bool:
    try:
        name.encode() if isinstance(name, str) else name.decode()
    except ValueError:
        return False
    return True


def clear(path: "str | bytes", depth: int = 8, budget: "list[int] | None" = None) -> None:
    """Remove a file, or all that a folder holds and itself where its own folder lets it; no link is followed.

    What lies deeper than `depth` folders stays, and what is left after as many entries
    as `budget` has, which are taken off it. Whatever can't be removed stops nothing else; OSError then, at the end.
    """
    refused: "OSError | None" = None
    try:
        descriptor = LIBC.call("open", _path(path), LIBC["O_DIRECTORY"] | LIBC["O_NOFOLLOW"] | LIBC["O_CLOEXEC"], 0)
    except OSError:
        try:
            remove(path)  # absent, a file, or a link
        except OSError:
            os.rmdir(path)  # another user's folder, where it is empty
        return
    LIBC.call("close", descriptor)
    for entry in entries(path) if depth else ():
        if budget is not None:
            if budget[0] <= 0:
                break
            budget[0] -= 1
        try:
            clear(entry, depth - 1, budget)
        except OSError as failure:
            refused = failure
    try:
        os.rmdir(path)
    except OSError:
        pass  # its folder is another user's, who removes it
    if refused is not None:
        raise refused


def exists(path: "str | bytes") -> bool:
    """Return True if something by this name is there."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def stamp(path: str) -> "tuple[int, int, int] | None":
    """Return a file's time of change, size and number; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return int(status[8]), status[6], status[1]


def is_file(path: "str | bytes") -> bool:
    """Return True if something is a regular file, or a link to one; OSError where it is absent."""
    return os.stat(path)[0] & 0o170000 == 0o100000


def size_of(path: "str | bytes") -> int:
    """Return a file's size in octets; OSError where it is absent."""
    return os.stat(path)[6]


def is_mount(path: str) -> bool:
    """Return True if a file system is mounted at a folder: it lies on another device than the folder above."""
    return exists(path) and os.stat(path)[2] != os.stat(path + "/..")[2]


def in_memory(path: str) -> bool:
    """Return True if a folder lies in memory that a loss of power clears (tmpfs, ramfs)."""
    statfs = bytearray(256)
    LIBC.call("statfs", _path(path), statfs)
    # statfs's f_type, the first long on every processor
    return struct.unpack_from("l", statfs, 0)[0] & 0xFFFFFFFF in (0x01021994, 0x858458F6)


def make_folder(path: str, mode: int) -> None:
    """Make a folder with this mode, whatever the umask is, and those above it (0755).

    One of this process's own that was there gets the mode too: what restored it may have left it open to all.
    """
    at = 0
    while at >= 0:
        at = path.find("/", at + 1)
        part = path if at < 0 else path[:at]
        if not exists(part):
            os.mkdir(part)
            LIBC.call("chmod", _path(part), mode if at < 0 else 0o755)
    status = os.stat(path)
    if status[0] & 0o7777 != mode and status[4] == LIBC.call("geteuid"):
        LIBC.call("chmod", _path(path), mode)


def hold_folder(path: str) -> bool:
    """Hold a folder as long as this process lives; False where another one does. What forks inherits the hold."""
    descriptor = LIBC.call("open", _path(path), LIBC["O_DIRECTORY"] | LIBC["O_CLOEXEC"], 0)
    return LIBC.function("flock")(descriptor, _LOCK_EX | _LOCK_NB) == 0


def is_held(path: str) -> bool:
    """Return True if a process holds a folder; OSError where it isn't there."""
    descriptor = LIBC.call("open", _path(path), LIBC["O_DIRECTORY"] | LIBC["O_CLOEXEC"] | LIBC["O_NOFOLLOW"], 0)
    try:
        held: bool = LIBC.function("flock")(descriptor, _LOCK_EX | _LOCK_NB) != 0
        return held
    finally:
        LIBC.call("close", descriptor)


def truncate(descriptor: int, size: int) -> None:
    """Cut a file to `size` octets, or extend it with zeros."""
    LIBC.call("ftruncate", descriptor, size)


def reserve(descriptor: int, size: int) -> None:
    """Give a file all the room of its `size` octets now; OSError (ENOSPC) where there isn't so much."""
    number = LIBC.function("posix_fallocate")(descriptor, 0, size)
    if number:
        raise OSError(number, "posix_fallocate")


def read_bounded(path: str, limit: int) -> bytes:
    """Read a file of at most `limit` octets; OSError (EFBIG) where it is larger.

    Never waits, not even at a named pipe.
    """
    status = os.stat(path)
    if status[0] & 0o170000 == 0o100000 and status[6] > limit:
        raise OSError(27, "")  # before room is made for it
    descriptor = LIBC.call("open", _path(path), LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"], 0)
    try:
        data = bytearray(min(limit, status[6]) + 1)
        size = LIBC.call("read", descriptor, data, len(data))
    finally:
        LIBC.call("close", descriptor)
    if size > limit:
        raise OSError(27, "")
    return bytes(memoryview(data)[:size])


def read_chunks(path: str, limit: int) -> "Iterator[bytes]":
    """Yield a file's first `limit` octets in parts, nothing where unreadable; follows no link, never waits.

    Take all of them: MicroPython doesn't end a generator that is given up.
    """
    flags = LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"] | LIBC["O_NOFOLLOW"]
    descriptor = LIBC.function("open")(_path(path), flags, 0)
    if descriptor < 0:
        return
    data, size = bytearray(min(limit, _CHUNK)), 1
    try:
        while size > 0 and limit > 0:
            size = LIBC.function("read")(descriptor, data, min(limit, len(data)))
            limit -= size
            if size > 0:
                yield bytes(memoryview(data)[:size])
    finally:
        LIBC.call("close", descriptor)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
