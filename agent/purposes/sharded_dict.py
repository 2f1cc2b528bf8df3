# SPDX-License-Identifier: Apache-2.0
"""A dictionary in small pieces.

One that grows needs a long run of free heap, which a small heap hasn't got after a while.
"""

PIECES = 64


class ShardedDict:
    """Keys are octets (told apart by their last one first) or whole numbers; None is no value."""

    def __init__(self) -> None:
        self._pieces: "list[dict[Any, Any]]" = [{} for _ in range(PIECES)]
        self._count = 0

    def _piece(self, key: "bytes | int") -> "dict[Any, Any]":
        return self._pieces[(key if isinstance(key, int) else key[-1]) % PIECES]

    def __len__(self) -> int:
        """Return how many keys there are."""
        return self._count

    def __contains__(self, key: "bytes | int") -> bool:
        """Return True if a key has a value."""
        return key in self._piece(key)

    def __getitem__(self, key: "bytes | int") -> "Any":
        """Return a key's value; KeyError where it has none."""
        return self._piece(key)[key]

    def __setitem__(self, key: "bytes | int", value: "Any") -> None:
        """Give a key a value."""
        piece = self._piece(key)
        self._count += key not in piece
        piece[key] = value

    def get(self, key: "bytes | int", default: "Any") -> "Any":
        """Return a key's value, or the default."""
        return self._piece(key).get(key, default)

    def pop(self, key: "bytes | int", default: "Any") -> "Any":
        """Return a key's value, or the default, and forget it."""
        piece = self._piece(key)
        self._count -= key in piece
        return piece.pop(key, default)

    def known(self) -> "Iterator[Any]":
        """Yield the keys, piece by piece, each piece's in order; those of a piece may go meanwhile."""
        for piece in self._pieces if self._count else ():  # asked each second, and mostly empty
            if piece:
                yield from sorted(piece)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator
