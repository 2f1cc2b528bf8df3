# SPDX-License-Identifier: Apache-2.0
"""Wrong datagrams made of right ones: what framing and attributes can get wrong, and values that only look alike."""

import random
import struct

_SIZES = (0, 1, 2, 3, 4, 5, 8, 0x7FFF, 0x8001, 0xFFFF)
_NUMBERS = (0, 1, 2, 3, 4, 7, 9, 10, 20, 0x4001, 0x8001, 0x8002, 0x8009, 0x800A, 0x8014, 0xFFFF)


def mutated(draw: random.Random, seeds: list[bytes], order: str) -> bytes:
    """Return a real datagram with one to three things wrong with it; `order` is "<" or ">", the processor's."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 3)):
        at, other = draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)
        word = min(at & ~3, max(len(data) - 4, 0))
        match draw.randrange(10):
            case 0:
                data[at : at + 1] = bytes((draw.randrange(256),))
            case 1:
                del data[at:]
            case 2:
                del data[min(at, other) : max(at, other)]
            case 3:
                data[at:at] = data[min(at, other) : max(at, other)][:64]
            case 4 if len(data) >= 16:
                struct.pack_into(
                    order + "I",
                    data,
                    0,
                    draw.choice((0, 15, 16, 17, 19, 20, len(data) - 1, len(data) + 1, 2**31, 2**32 - 1)),
                )
            case 5 if len(data) >= 4:
                struct.pack_into(
                    order + "H", data, word, draw.choice((*_SIZES, len(data) - word, len(data) - word + 1))
                )
            case 6 if len(data) >= 4:
                struct.pack_into(order + "H", data, word + 2, draw.choice(_NUMBERS))
            case 7 if len(data) >= 8:  # two words change places: attributes in another order, values of others
                place = min(other & ~3, (len(data) - 4) & ~3)
                word &= ~3
                data[word : word + 4], data[place : place + 4] = data[place : place + 4], data[word : word + 4]
            case 8 if len(data) >= 4:  # another value of the same width
                data[word : word + 4] = draw.randbytes(4)
            case _:
                data += draw.choice(seeds)[: draw.choice((1, 15, 16, 17, 300))]
    if len(data) >= 16 and draw.random() < 0.5:  # the framing agrees again with what is left: what is wrong lies deeper
        struct.pack_into(order + "I", data, 0, len(data))
    return bytes(data)
