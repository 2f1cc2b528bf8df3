# SPDX-License-Identifier: Apache-2.0
"""A signed tar file, written in small parts, which a request hands over to the custodian (L34-II-4).

The format is POSIX.1-2024, pax: ustar.

Its last member, `gateway.sig`, is the gateway's Ed25519ph signature (RFC 8032) of every octet before that member. By it
the custodian knows which gateway it comes from, and that nothing was put in, left out or changed.
"""

import os

from agent.runtime import files, memory

SIGNATURE = "gateway.sig"
PART = 16384  # octets written at a time
_BLOCK = 512
_SYNC = 16  # parts after which what was written is made durable: one sync of all at the end would take long


def header(name: str, size: int, mtime: int) -> bytes:
    """Return a member's header of 512 octets: a plain file, mode 0600, of nobody in particular."""
    fields = name.encode() + bytes(100 - len(name)) + b"0000600\0" + b"0000000\0" * 2
    fields += b"%011o\0" % size + b"%011o\0" % mtime
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    check = sum(fields) + 8 * 32 + sum(rest)
    return fields + b"%06o\0 " % check + rest


def room(size: int) -> int:
    """Return what a member of so many octets takes."""
    return _BLOCK + size + -size % _BLOCK


class Archive:
    """A new file at `path`, 0600, that is there under this name only once `close` was called.

    OSError where it can't be written.

    `signer` is agent.purposes.device_key.Signer.
    """

    def __init__(self, path: str, mtime: int, signer: "Signer") -> None:
        self._path = path
        folder, name = path.rsplit("/", 1)
        self._beside = folder + "/." + name + ".new"
        self._mtime = mtime
        self._signer = signer
        self._parts = 0
        files.remove(self._beside)
        self._descriptor = files.open_file(self._beside, ("O_CREAT", "O_EXCL"))
        self._part = memory.scratch(PART)  # outside the heap: a small one has no run of that size left after a while
        self.octets = 0

    def _put(self, data: "bytes | int", size: int) -> None:
        self._signer.update(data, size)
        files.write_all(self._descriptor, data, size)
        self.octets += size

    def add(self, name: str, data: bytes) -> None:
        """Add a member of these octets."""
        self._put(header(name, len(data), self._mtime), _BLOCK)
        self._put(data + bytes(-len(data) % _BLOCK), len(data) + -len(data) % _BLOCK)

    def copy(self, name: str, path: str) -> "Iterator[None]":
        """Add a file's content as it is now, in parts: each step writes one. Take all of them."""
        left = size = files.size_of(path)
        self._put(header(name, size, self._mtime), _BLOCK)
        source = files.open_file(path, ())
        try:
            while left > 0:
                got = files.read_some(source, self._part.address, min(left, PART))
                if not got:
                    raise OSError(5, "")  # it became shorter meanwhile
                self._put(self._part.address, got)
                left -= got
                self._parts += 1
                if self._parts % _SYNC == 0:
                    files.sync(self._descriptor)
                yield
        finally:
            files.close(source)
        self._put(bytes(-size % _BLOCK), -size % _BLOCK)

    def sign(self) -> None:
        """Add the signature of all that was written, and end; durable, not yet visible."""
        self.add(SIGNATURE, self._signer.signature())
        self._put(bytes(2 * _BLOCK), 2 * _BLOCK)
        files.sync(self._descriptor)

    def close(self) -> None:
        """Make it visible."""
        self._end()
        os.rename(self._beside, self._path)
        files.sync_folder(self._path.rsplit("/", 1)[0])

    def give_up(self) -> None:
        """Remove what was written."""
        self._end()
        files.remove(self._beside)

    def _end(self) -> None:
        files.close(self._descriptor)
        self._part.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.purposes.device_key import Signer
