# SPDX-License-Identifier: Apache-2.0
"""What a .mpy is made of: the names that a room uses, its texts, its bytecode.

Source: docs/reference/mpyfiles.rst of MicroPython, version 6: `M`, version, flags, bits of a small integer; how many names and how many
objects; the names (length and whether the interpreter has it already; octets, a zero); the objects (type, length, octets); the code.
Numbers are 7 bits an octet, the highest first.
"""

_TEXT, _BYTES, _TUPLE = 5, 6, 10
_BARE = (0, 1, 2, 3, 4)  # objects of a type and nothing else


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 4

    def number(self) -> int:
        value = 0
        while True:
            octet = self.octets[self.at]
            self.at += 1
            value = value << 7 | octet & 0x7F
            if not octet & 0x80:
                return value

    def name(self) -> None:
        length = self.number()
        if not length & 1:
            self.at += (length >> 1) + 1

    def object(self) -> None:
        kind = self.octets[self.at]
        self.at += 1
        if kind in _BARE:
            return
        length = self.number()
        if kind == _TUPLE:
            for _ in range(length):
                self.object()
        else:
            self.at += length + (kind in (_TEXT, _BYTES))  # these end in a zero


def parts(octets: bytes) -> dict[str, int]:
    """Return the octets of `names`, `texts` and `code` of a .mpy; ValueError where it is none of version 6."""
    if octets[:2] != b"M\x06":
        raise ValueError("not a .mpy of version 6")
    reader = _Reader(octets)
    names, objects = reader.number(), reader.number()
    began = reader.at
    for _ in range(names):
        reader.name()
    texts = reader.at
    for _ in range(objects):
        reader.object()
    return {"names": texts - began, "texts": reader.at - texts, "code": len(octets) - reader.at}
