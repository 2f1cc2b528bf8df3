# SPDX-License-Identifier: Apache-2.0
"""How a `location` record is packed: at which access point of this gateway a terminal was, from when to when (L34-V-1).

Octets: MAC 6; start u32 (s since the epoch, network order); duration u32 (s); name of the access point's interface, to
the end. There is no place for signal strength, a channel or an angle.
"""

import struct

NAME = 15  # octets of an interface's name, as the kernel has it
_FORMAT = ">6sII"
_HEADER = 14


def pack(view: "bytearray | memoryview", mac: bytes, start: int, end: int, access_point: bytes) -> int:
    """Write a record at the start of `view`; returns its octets. Times in seconds since the epoch."""
    name = access_point[:NAME]
    struct.pack_into(_FORMAT, view, 0, mac, start, max(end - start, 0))
    view[_HEADER : _HEADER + len(name)] = name
    return _HEADER + len(name)


def unpack(view: "bytes | bytearray | memoryview") -> "tuple[bytes, int, int, bytes]":
    """Return (MAC, start, end, access point) of a record; times in seconds since the epoch."""
    mac, start, duration = struct.unpack_from(_FORMAT, view, 0)
    return mac, start, start + duration, bytes(view[_HEADER:])
