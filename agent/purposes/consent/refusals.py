# SPDX-License-Identifier: Apache-2.0
"""What stays refused whatever is put back from a backup: an empty file a refusal, named after it (L34-VI-5).

An older file of a consent that is put back in the place of a newer one says "active" of what was withdrawn. So each
refusal has a name of its own here as well, which no older copy of anything takes away. It is made and synced before the
consent's file is written. A name says nothing of anybody: digits of a keyed hash, a sign for what is refused, and the
end until which an older copy could count. That stands in seconds since the epoch as 8 hexadecimal digits. The name goes
30 days after that. There is nothing to be read in the file: it can't be damaged.
"""

from agent import law
from agent.runtime import files

AFTER = 30 * law.DAY  # seconds
_END = 8  # digits


class Refusals:
    """The names in `folder`, which is made with the first of them; `count` says how many there are."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._due = 0  # when the next name goes, s since the epoch
        self.count = sum([1 for _ in self._names()])

    def _names(self) -> "Iterator[str]":
        return files.names(self._folder) if files.exists(self._folder) else iter(())

    def of(self, sign: str) -> "Iterator[tuple[str, int]]":
        """Yield digits and end of each refusal with a sign."""
        for name in self._names():
            if name[-_END - 1 : -_END] == sign and _end(name) >= 0:
                yield name[: -_END - 1], _end(name)

    def has(self, digits: str, sign: str, end: int) -> bool:
        """Return True if something is refused."""
        return files.exists(self._path(digits, sign, end))

    def add(self, digits: str, sign: str, end: int) -> None:
        """Refuse something, durably; OSError where flash refuses."""
        files.make_folder(self._folder, 0o700)
        path = self._path(digits, sign, end)
        new = not files.exists(path)
        files.close(files.open_file(path, ("O_CREAT",)))
        self.count += new
        files.sync_folder(self._folder)

    def take_back(self, digits: str, sign: str) -> None:
        """Refuse something no more, durably; OSError where flash refuses: either may hold until another try."""
        self._remove([name for name in self._names() if name.startswith(digits + sign)])

    def sweep(self, now: int) -> None:
        """Remove what no older copy could count against any more, and what is no refusal. OSError: in an hour."""
        if now >= self._due:
            self._due = now + 3600
            self._remove([name for name in self._names() if now >= _end(name) + AFTER])
            self._due = min([now + law.DAY] + [_end(name) + AFTER for name in self._names()])

    def _remove(self, names: "list[str]") -> None:
        for name in names:
            files.remove(self._folder + "/" + name)
            self.count -= 1
        if names:
            files.sync_folder(self._folder)

    def _path(self, digits: str, sign: str, end: int) -> str:
        return self._folder + "/" + digits + sign + "%08x" % end


def _end(name: str) -> int:
    """Return the end that a name says; far in the past where it is no refusal's."""
    digits = name[: -_END - 1] + name[-_END:]
    said = len(name) > _END and all(one in "0123456789abcdef" for one in digits)
    return int(name[-_END:], 16) if said else -AFTER


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
