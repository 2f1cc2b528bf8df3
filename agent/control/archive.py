# SPDX-License-Identifier: Apache-2.0
"""A tar file, written member by member in small parts: what a request hands over to the custodian (POSIX.1-2024, pax: ustar)."""

import os

from agent.runtime import files

_BLOCK = 512
_PART = 4096


def header(name: str, size: int, mtime: int) -> bytes:
    """Return a member's header of 512 octets: a plain file, mode 0600, of nobody in particular."""
    fields = name.encode() + bytes(100 - len(name)) + b"0000600\0" + b"0000000\0" * 2
    fields += b"%011o\0" % size + b"%011o\0" % mtime
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    check = sum(fields) + 8 * 32 + sum(rest)
    return fields + b"%06o\0 " % check + rest


class Archive:
    """A new file at `path`, 0600, that is there under this name only once `close` was called. OSError where it can't be written."""

    def __init__(self, path: str, mtime: int) -> None:
        self._path = path
        folder, name = path.rsplit("/", 1)
        self._beside = folder + "/." + name + ".new"
        self._mtime = mtime
        files.remove(self._beside)
        self._descriptor = files.open_file(self._beside, ("O_CREAT", "O_EXCL"))
        self.octets = 0

    def _write(self, data: bytes) -> None:
        files.write_all(self._descriptor, data, len(data))
        self.octets += len(data)

    def add(self, name: str, data: bytes) -> None:
        """Add a member of these octets."""
        self._write(header(name, len(data), self._mtime))
        self._write(data + bytes(-len(data) % _BLOCK))

    def copy(self, name: str, path: str) -> None:
        """Add a file's content as it is now."""
        size = files.size_of(path)
        self._write(header(name, size, self._mtime))
        left = size
        with open(path, "rb") as file:
            while left > 0:
                part = file.read(min(left, _PART))
                if not part:
                    raise OSError(5, "")  # it became shorter meanwhile
                self._write(part)
                left -= len(part)
        self._write(bytes(-size % _BLOCK))

    def close(self) -> None:
        """End the archive, make it durable and visible."""
        self._write(bytes(2 * _BLOCK))
        files.sync(self._descriptor)
        files.close(self._descriptor)
        os.rename(self._beside, self._path)
        files.sync_folder(self._path.rsplit("/", 1)[0])

    def give_up(self) -> None:
        """Remove what was written."""
        files.close(self._descriptor)
        files.remove(self._beside)
