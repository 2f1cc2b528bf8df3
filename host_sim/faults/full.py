# SPDX-License-Identifier: Apache-2.0
"""A flash without a free block for some of what the agent keeps there (EXP-6).

No file is made there, or a file is, by turns, as file systems differ; of what is written half comes, then ENOSPC.
What is only read, renamed, cut or removed needs no block. `published` alone is written by other functions: it has its
room from its first day on. Runs on MicroPython too.
"""

from agent.runtime import files
from agent.runtime.libc import LIBC
from host_sim.venue.tape import PLACES

_ENOSPC = 28


class Full:
    """Stands before the C library of this process; `root` is the device's. Nothing is full until `fill`."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._places: list[str] = []
        self._open: set[int] = set()  # descriptors of files that have no room
        self._made = True
        self._call = LIBC.call
        LIBC.call = self._asked  # type: ignore[method-assign]

    def fill(self, names: "list[str]") -> None:
        """Let these be full, and nothing else."""
        self._made = not self._made
        self._places = [self._root + place for name in names for place in PLACES[name]]

    def _asked(self, name: str, *arguments: "Any") -> int:  # noqa: ANN401 (as LIBC.call)
        """Do what the C library would, or raise OSError."""
        if name == "open":
            path = bytes(arguments[0])[:-1].decode().replace("/.", "/")
            full = any(path.startswith(place) for place in self._places)
            new = arguments[1] & LIBC["O_CREAT"] and not files.exists(bytes(arguments[0])[:-1].decode())
            if full and new and not self._made:
                raise OSError(_ENOSPC, "")
            descriptor = self._call(name, *arguments)
            (self._open.add if full else self._open.discard)(descriptor)
            return descriptor
        if name == "write" and arguments[0] in self._open and self._places:
            if arguments[2] < 2:
                raise OSError(_ENOSPC, "")
            return self._call(name, arguments[0], arguments[1], arguments[2] >> 1)
        return self._call(name, *arguments)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
