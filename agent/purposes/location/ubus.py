# SPDX-License-Identifier: Apache-2.0
"""The messages of ubus, OpenWrt's bus on a unix socket, as far as hostapd needs them.

A message is a header of 8 octets (version 0, type u8, sequence u16, peer u32), then a blob: length u32 with itself,
then attributes, each padded to 4 octets: u32 of id << 24 | length with this word (bit 31: it has a name), then its
value. What an object says (attribute DATA) is made of named attributes: u16 length of the name, the name and a zero,
padded to 4 octets, then the value, which may be such attributes again. All numbers are big-endian. Source: ubusmsg.h of
ubus, blob.h and blobmsg.h of libubox.

Nothing here makes an object of what arrives: `find` walks over it in place and
stops at the attribute that was asked for.
"""

import struct

HELLO, STATUS, DATA, LOOKUP, INVOKE, ADD_OBJECT, SUBSCRIBE, UNSUBSCRIBE = 0, 1, 2, 4, 5, 6, 8, 9
# Attributes of a message.
A_STATUS, A_PATH, A_OBJECT, A_METHOD, A_DATA, A_TARGET, A_NO_REPLY = 1, 2, 3, 4, 7, 8, 10
HEADER = 12  # octets, the blob's length included
LARGEST = 262144  # octets of a message that are read: get_clients of 128 terminals has fewer
_NAMED = 1 << 31
_LENGTH = 0xFFFFFF


def attribute(number: int, value: bytes) -> bytes:
    """Return an attribute of a message."""
    octets = struct.pack(">I", number << 24 | 4 + len(value)) + value
    return octets + bytes(-len(octets) & 3)


def word(number: int, value: int) -> bytes:
    """Return an attribute that is a number of 32 bits."""
    return attribute(number, struct.pack(">I", value))


def text(number: int, value: bytes) -> bytes:
    """Return an attribute that is a text."""
    return attribute(number, value + b"\0")


def message(kind: int, sequence: int, peer: int, attributes: bytes) -> bytes:
    """Return a whole message."""
    return struct.pack(">BBHII", 0, kind, sequence & 0xFFFF, peer, 4 + len(attributes)) + attributes


def fields(view: "memoryview | bytearray", at: int, end: int) -> "Iterator[tuple[int, int, int]]":
    """Yield (id, start of the value, its end) of the attributes between two offsets; ends at what can't be one."""
    while at + 4 <= end:
        (first,) = struct.unpack_from(">I", view, at)
        size = first & _LENGTH
        if size < 4 or at + size > end:
            return
        start = at + 4
        if first & _NAMED:
            if size < 6:
                return
            start += 3 + (view[start] << 8 | view[start + 1])
            start = (start + 3) & ~3
            if start > at + size:
                return
        yield first >> 24 & 127, start, at + size
        at += (size + 3) & ~3


def find(view: "memoryview | bytearray", at: int, end: int, number: int) -> "tuple[int, int]":
    """Return where the value of a message's attribute starts and ends; (0, 0) where there is none."""
    for one, start, over in fields(view, at, end):
        if one == number:
            return start, over
    return 0, 0


def named(view: "memoryview | bytearray", at: int, end: int, name: bytes) -> "tuple[int, int]":
    """Return where the value of the attribute with this name starts and ends; (0, 0) where there is none."""
    for _, start, over in fields(view, at, end):
        if (view[at] & 128) and view[at + 4] << 8 | view[at + 5] == len(name) and same(view, at + 6, name):
            return start, over
        at += (over - at + 3) & ~3
    return 0, 0


def same(view: "memoryview | bytearray", at: int, octets: bytes) -> bool:
    """Return True if these octets stand at an offset; compared in place."""
    return all(view[at + index] == octets[index] for index in range(len(octets)))


def number(view: "memoryview | bytearray", at: int, end: int) -> int:
    """Return a value as a number of at most 32 bits; 0 where it isn't there, or isn't one."""
    value = 0
    if end - at > 4:
        return 0
    for index in range(at, end):
        value = value << 8 | view[index]
    return value


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
