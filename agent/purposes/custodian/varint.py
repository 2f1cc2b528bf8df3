# SPDX-License-Identifier: Apache-2.0
"""Numbers in as few octets as they need: LEB128, seven bits an octet, least significant first."""


class Cut(Exception):
    """Octets that end inside a value, or go on after the last one. Carries nothing of them (L34-II-5)."""


def varint(value: int) -> bytes:
    """Return a number that isn't negative."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Octets:
    """Reads values off octets, in order; Cut where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` octets."""
        if self._at + count > len(self._data):
            raise Cut
        self._at += count
        return bytes(self._data[self._at - count : self._at])

    def number(self, octets: int) -> int:
        """Return a number in network order."""
        return int.from_bytes(self.take(octets), "big")

    def varint(self) -> int:
        """Return a number as `varint` writes it, of at most 70 bits."""
        value = shift = 0
        while shift < 70:
            octet = self.take(1)[0]
            value |= (octet & 127) << shift
            if octet < 128:
                return value
            shift += 7
        raise Cut

    def end(self) -> None:
        """Demand that nothing is left."""
        if self._at != len(self._data):
            raise Cut
