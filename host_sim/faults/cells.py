# SPDX-License-Identifier: Apache-2.0
"""The cells of a flash chip: octets are programmed into them in pages, and stay to be found (EXP-6).

Runs on MicroPython too.
"""


class Node:
    """A file: what the process sees, what a cut of power would leave, and how many octets both begin with."""

    def __init__(self, octets: bytes = b"") -> None:
        self.seen = self.safe = octets
        self.same = len(octets)
        self.mode = 0o600

    def append(self, octets: bytes) -> None:
        """Write at the end."""
        self.seen += octets

    def truncate(self, size: int) -> None:
        """Cut it, or let zeros follow."""
        self.seen = self.seen[:size] + bytes(max(size - len(self.seen), 0))
        self.same = min(self.same, size)


class Cells:
    """What was ever programmed into a chip, over all of its boots.

    `page` octets are programmed at once; `programmed` counts octets, in whole pages; `remnants` are these octets.
    `file` makes a file of octets.
    """

    file = Node

    def __init__(self, page: int) -> None:
        self.page = page
        self.programmed = 0
        self.remnants: list[bytes] = []

    def program(self, octets: bytes) -> None:
        """Count what is programmed, and never forget it."""
        self.remnants.append(octets)
        self.count(len(octets))

    def count(self, octets: int) -> None:
        """Count so many octets, in whole pages."""
        self.programmed += -(-octets // self.page) * self.page

    def part(self, old: bytes, new: bytes, dice: "Callable[[int], int]") -> bytes:
        """Return what a cut leaves of an unsynced file: any pages, torn or not, at the old length or the new.

        `dice` returns a number below the one that it is given.
        """
        size = len(new) if dice(2) else len(old)
        result = bytearray(size)
        for at in range(0, size, self.page):
            chosen, other = (new, old) if dice(2) else (old, new)
            page = chosen[at : at + self.page]
            # A page that nobody wrote to isn't programmed again
            if page != other[at : at + self.page] and dice(3) == 0:
                tear = common(old[at : at + self.page], new[at : at + self.page])
                tear += dice(self.page - tear)
                page = page[:tear] + other[at + tear : at + self.page] if dice(2) else page[:tear]
            end = min(at + self.page, size, at + len(page))
            result[at:end] = page[: end - at]
        return bytes(result)


class PlainCells(Cells):
    """Cells that forget what they were programmed with."""

    def program(self, octets: bytes) -> None:
        """Count what is programmed."""
        self.count(len(octets))


def common(one: bytes, other: bytes) -> int:
    """Return how many octets at the start of both are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) >> 1
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
