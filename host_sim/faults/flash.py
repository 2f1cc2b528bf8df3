# SPDX-License-Identifier: Apache-2.0
"""A flash that loses power, under the agent's file code (EXP-6): POSIX's file system at its worst.

`mount` puts it in the place of the C library and of `os` in `agent.runtime.files`, for every path below /flash. What is
written stays in a cache until it is synced. A cut of power may come before any write, sync, rename or unlink, and in
the middle of a sync. It keeps of what wasn't synced any part, in any order: each page of a file old, new or torn in the
middle, a file's length, each change of a name in a folder. A sync of a file says nothing about its name: that takes a
sync of its folder. Errors can be ordered: full, read-only, or EIO at the n-th operation.

Nothing that was ever programmed is gone: `cells.remnants` is what somebody finds who lifts the chip. `cells.programmed`
counts octets in pages, one more page for each sync's own metadata. Divided by the size of an erase block it is how many
of these a flash spends. Log-structured file systems program what is new and erase whole blocks.

Runs on MicroPython too.
"""

import errno
import os

from agent.runtime import files
from agent.runtime.libc import LIBC
from host_sim.faults.cells import Cells, Node

PREFIX = "/flash"
PAGE = 512  # octets that are programmed at once: a quarter of a NAND page
PAGES = (256, 512, 2048)  # SPI NOR, part of a NAND page, NAND
_NOTDIR, _NOSPC, _ROFS, _NOTEMPTY = 20, 28, 30, 39  # MicroPython's errno lacks these
_DIRECTORY, _FILE = 0o040000, 0o100000
_READ_AT = files.read_at


class PowerCut(Exception):
    """Power went away; nothing after this instant happened. Not an OSError, so that nothing handles it."""


class Dice:
    """Repeatable numbers that both interpreters agree on (a linear congruence of 48 bits, as drand48's)."""

    def __init__(self, seed: int) -> None:
        self._state = (seed << 16) + 0x330E

    def __call__(self, bound: int) -> int:
        """Return a number from 0 to bound - 1."""
        self._state = (self._state * 0x5DEECE66D + 11) & 0xFFFFFFFFFFFF
        return (self._state >> 17) % bound


class _Opened:
    """What a descriptor stands for: a file or a folder's path, and how far it was read (octets)."""

    def __init__(self, target: "str | Node") -> None:
        self.target = target
        self.at = 0


class Flash:
    """One flash with one volume, mounted at `prefix`. Its cells outlive a cut of power: each boot has the same.

    `cut_at`: power goes before that operation, counted from 1; `fail_at`: EIO from that one on.
    """

    def __init__(self, dice: Dice, capacity: int = 1 << 20, prefix: str = PREFIX, cells: "Cells | None" = None) -> None:
        self.dice = dice
        self.prefix = prefix
        self.capacity = capacity
        self.cells = cells or Cells(PAGE)
        self.read_only = False
        self.cut_at = self.fail_at = 0
        self.operations = self.syncs = 0
        # Names: what the process sees, what is safe, and for each folder the changes that aren't: (name, node or None).
        self.names: "dict[str, Node]" = {}
        self.safe: "dict[str, Node]" = {}
        self.pending: "list[tuple[str, Node | None]]" = []
        self.folders = {prefix}
        self._open: "dict[int, _Opened]" = {}
        self._next = 1000000

    # What happens to the power

    def _step(self, writes: bool = True) -> None:
        self.operations += 1
        if self.operations == self.cut_at:
            raise PowerCut
        if self.fail_at and self.operations >= self.fail_at:
            raise OSError(errno.EIO, "")
        if writes and self.read_only:
            raise OSError(_ROFS, "")

    def after_cut(self) -> "Flash":
        """Return the flash as the next boot finds it."""
        following = Flash(self.dice, self.capacity, self.prefix, self.cells)
        following.folders, following.syncs = set(self.folders), self.syncs
        names = dict(self.safe)
        for name, node in self.pending:
            if self.dice(2):
                if node is None:
                    names.pop(name, None)
                else:
                    names[name] = node
        for name, node in names.items():
            unsynced = node.seen != node.safe
            left = self.cells.file(self._part(node) if unsynced else node.safe)
            left.mode = node.mode
            if left.seen != node.safe:
                self.cells.program(left.seen)
            following.names[name] = following.safe[name] = left
        return following

    def _part(self, node: Node) -> bytes:
        """Return what a cut leaves of a file that isn't synced."""
        return self.cells.part(bytes(node.safe), bytes(node.seen), self.dice)

    def lay(self, name: str, octets: bytes) -> None:
        """Put a file there, synced, as somebody else does who restores it from a backup."""
        self.names[name] = self.safe[name] = self.cells.file(octets)
        self.folders.add(name.rsplit("/", 1)[0])

    # What the C library is asked

    def __getitem__(self, name: str) -> int:
        """Return a constant of this processor."""
        return LIBC[name]

    def function(self, name: str) -> "Any":
        """Return a function that answers -1 on failure, as the bare ones do."""

        def bare(*arguments: "Any") -> int:
            try:
                return self.call(name, *arguments)
            except OSError:
                return -1

        return bare

    def call(self, name: str, *arguments: "Any") -> int:
        """Do what the C library would, for paths and descriptors of this flash."""
        first: "Any" = arguments[0] if arguments else None
        if name in ("open", "chmod"):
            path = bytes(first)[:-1].decode()
            if path.startswith(self.prefix):
                return self._open_path(path, arguments[1]) if name == "open" else 0
        elif first in self._open:
            return self._descriptor(name, self._open[first], arguments)
        return LIBC.call(name, *arguments)

    def _open_path(self, path: str, bits: int) -> int:
        if path in self.folders:
            target: "str | Node" = path
        elif path in self.names:
            if bits & LIBC["O_EXCL"]:
                raise OSError(errno.EEXIST, "")
            if bits & LIBC["O_DIRECTORY"]:
                raise OSError(_NOTDIR, "")
            target = self.names[path]
        elif bits & LIBC["O_CREAT"]:
            self._step()
            self._room(self.cells.page)
            target = self.cells.file()
            self._rename(path, target)
        else:
            raise OSError(errno.ENOENT, "")
        self._next += 1
        self._open[self._next] = _Opened(target)
        return self._next

    def _descriptor(self, name: str, opened: _Opened, arguments: "tuple[Any, ...]") -> int:
        target = opened.target
        if name == "close":
            del self._open[arguments[0]]
        elif name == "fsync":
            self._sync(target)
        elif isinstance(target, str):
            raise OSError(errno.EISDIR, "")
        elif name == "write":
            self._step()
            self._room(arguments[2])
            target.append(bytes(arguments[1][: arguments[2]]))
            return int(arguments[2])
        elif name == "read":
            part = target.seen[opened.at :][: arguments[2]]
            opened.at += len(part)
            arguments[1][: len(part)] = part
            return len(part)
        elif name == "fchmod":
            target.mode = arguments[1]
        elif name == "ftruncate":
            self._step()
            target.truncate(arguments[1])
        else:
            raise ValueError(name)
        return 0

    def _room(self, octets: int) -> None:
        if sum(max(len(node.seen), self.cells.page) for node in self.names.values()) + octets > self.capacity:
            raise OSError(_NOSPC, "")

    def _sync(self, target: "str | Node") -> None:
        self._step()
        self.operations += 1
        half = self.operations == self.cut_at
        self.syncs += 1
        self.cells.programmed += self.cells.page
        if isinstance(target, str):
            for change in list(self.pending):
                if change[0].rsplit("/", 1)[0] == target and not (half and self.dice(2)):
                    self.pending.remove(change)
                    if change[1] is None:
                        self.safe.pop(change[0], None)
                    else:
                        self.safe[change[0]] = change[1]
        elif half:
            target.safe, target.same = self._part(target), 0
        else:
            same = (
                target.same // self.cells.page * self.cells.page
            )  # pages that nobody wrote to aren't programmed again
            target.safe, target.same = target.seen, len(target.seen)
            if same < len(target.seen):
                self.cells.program(target.seen[same:])
        if half:
            raise PowerCut

    # What `os` is asked

    def _rename(self, name: str, node: "Node | None") -> None:
        if node is None:
            self.names.pop(name)
        else:
            self.names[name] = node
        self.pending.append((name, node))

    def rename(self, former: str, name: str) -> None:
        """Rename over whatever has the name."""
        if not former.startswith(self.prefix):
            os.rename(former, name)
            return
        self._step()
        node = self._node(former)
        self._rename(name, node)
        self._rename(former, None)

    def remove(self, name: str) -> None:
        """Unlink."""
        if name.startswith(self.prefix):
            self._node(name)
            self._step()
            self._rename(name, None)
        else:
            os.remove(name)

    def _node(self, name: str) -> Node:
        if name not in self.names:
            raise OSError(errno.ENOENT, "")
        return self.names[name]

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        """Return a part of a file."""
        if not name.startswith(self.prefix):
            return _READ_AT(name, offset, size)
        return bytes(self._node(name).seen[offset : offset + size])

    def stat(self, name: str) -> "tuple[int, ...]":
        """Return what os.stat does, times left out."""
        if not name.startswith(self.prefix):
            return tuple([int(value) for value in os.stat(name)[:10]])
        if name in self.folders:
            return (_DIRECTORY | 0o755, 0, 0, 2, 0, 0, 0, 0, 0, 0)
        node = self._node(name)
        return (_FILE | node.mode, 0, 0, 1, 0, 0, len(node.seen), 0, 0, 0)

    def mkdir(self, name: str) -> None:
        """Make a folder; at once safe: the agent makes its folders once, before anything lies in them."""
        if name.startswith(self.prefix):
            self.folders.add(name)
        else:
            os.mkdir(name)

    def rmdir(self, name: str) -> None:
        """Remove a folder that is empty; at once safe, as it was made."""
        if not name.startswith(self.prefix):
            os.rmdir(name)
        elif any(path.startswith(name + "/") for path in self.names):
            raise OSError(_NOTEMPTY, "")
        else:
            self.folders.discard(name)

    def listdir(self, name: str) -> "list[str]":
        """Return the names in a folder."""
        if not name.startswith(self.prefix):
            return os.listdir(name)
        return [path[len(name) + 1 :] for path in self.names if path.rsplit("/", 1)[0] == name]


def mount(flash: Flash) -> None:
    """Let the agent's file code work on this flash below PREFIX, instead of on the one before."""
    for name, value in (("LIBC", flash), ("os", flash), ("names", flash.listdir), ("read_at", flash.read_at)):
        setattr(files, name, value)


def no_file_sync() -> None:
    """Leave out every sync of a file: a variant that must be found out."""
    call = Flash.call

    def unsynced(self: Flash, name: str, *arguments: "Any") -> int:
        if name == "fsync" and not isinstance(self._open[arguments[0]].target, str):
            return 0
        return call(self, name, *arguments)

    Flash.call = unsynced  # type: ignore[method-assign]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
