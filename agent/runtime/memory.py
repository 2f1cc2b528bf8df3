# SPDX-License-Identifier: Apache-2.0
"""Memory outside the collected heap: mapped tmpfs files and locked scratch space.

Keys, stream states and the terminal table live here, are passed by address and zeroed in place. So no `bytes` object
ever holds one, and a collection never walks them (EXP-2, ANON-5).
"""

import struct

from agent.runtime import files
from agent.runtime.libc import LIBC, buffer_at, native

overwrite_freed = native.overwrite_freed

_READ_WRITE = 3
_SHARED, _PRIVATE = 1, 2


def copy(target: int, source: int, size: int) -> None:
    """Copy `size` octets between addresses, without a heap object in between."""
    LIBC.function("memcpy")(target, source, size)


def move(target: int, source: int, size: int) -> None:
    """Copy as `copy` does, where the two may overlap."""
    LIBC.function("memmove")(target, source, size)


def store(form: str, view: "Any", at: int, *values: "int | bytes") -> None:
    """Write numbers as struct.pack_into does, but from old to new, never by way of zeros, for a kill (EXP-6)."""
    octets = struct.pack(form, *values)
    view[at : at + len(octets)] = octets


class Region:
    """`size` octets at a fixed `address`, with `view` as a writable buffer over them."""

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self.view = buffer_at(address, size)

    def lock(self) -> bool:
        """Keep it out of swap; False where the limit on locked memory forbids that."""
        return LIBC.function("mlock")(self.address, self.size) == 0

    def wipe(self) -> None:
        """Overwrite with zeros."""
        LIBC.function("memset")(self.address, 0, self.size)

    def wipe_part(self, at: int, size: int) -> None:
        """Overwrite `size` octets from an offset with zeros."""
        LIBC.function("memset")(self.address + at, 0, size)

    def close(self) -> None:
        """Unmap. The view must not be used afterwards."""
        self.view = bytearray(0)
        LIBC.call("munmap", self.address, self.size)


def map_file(path: str, size: int, *, create: bool = True) -> Region:
    """Map a file, shared and writable, made (0600, zeros) or brought to `size` octets first. OSError where it can't be.

    Its room is reserved at once: touching a page that a full tmpfs can't give ends the process (SIGBUS).
    """
    descriptor = files.open_file(path, ("O_CREAT",) if create else ())
    try:
        if create:
            files.truncate(descriptor, size)
            files.reserve(descriptor, size)
        address = LIBC.call("mmap", None, size, _READ_WRITE, _SHARED, descriptor, 0, 0, 0)
    finally:
        LIBC.call("close", descriptor)
    return Region(address, size)


def scratch(size: int) -> Region:
    """Return private zeroed memory, for plaintext and stream states that must leave no copy on the heap."""
    address = LIBC.call("mmap", None, size, _READ_WRITE, _PRIVATE | LIBC["MAP_ANONYMOUS"], -1, 0, 0, 0)
    return Region(address, size)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
