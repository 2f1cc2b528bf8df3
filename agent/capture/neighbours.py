# SPDX-License-Identifier: Apache-2.0
"""Which terminal holds an address: the kernel's neighbour table over rtnetlink (L34-I-2).

Source: linux/neighbour.h (ndmsg: family u8, 3 pad, ifindex i32, state u16, flags u8, type u8; NDA_DST 1, NDA_LLADDR 2).
"""

from agent.capture.netlink import HEADER, Malformed, attribute, dump_request
from agent.capture.netlink import _unpack_from as unpack_from

GROUP = 4  # RTMGRP_NEIGH
NEW = 28  # RTM_NEWNEIGH
_GET = 30  # RTM_GETNEIGH
_NDMSG = 12
_DST, _LLADDR = 1, 2
_OCTETS = {2: 4, 10: 16}


def request() -> bytes:
    """Return the request that lists every neighbour."""
    return dump_request(_GET, bytes(_NDMSG))


class Decoder:
    """Calls a sink with (address, mac) for each neighbour that has both; counts what contradicts itself."""

    def __init__(self) -> None:
        self.malformed = 0

    def feed(self, buffer: "bytearray | bytes", length: int, sink: "Callable[[bytes, bytes], None]") -> None:
        """Read one datagram: `length` octets at the start of `buffer`. Addresses have 4 or 16 octets, MACs 6."""
        at = 0
        while at < length:
            if length - at < HEADER:
                self.malformed += 1
                return
            size, kind = unpack_from("IH", buffer, at)
            if size < HEADER or size > length - at:
                self.malformed += 1
                return
            if kind == NEW:
                try:
                    address, mac = self._message(buffer, at + HEADER, at + size)
                except Malformed:
                    self.malformed += 1
                else:
                    if address and mac and mac != b"\0\0\0\0\0\0" and not mac[0] & 1:
                        sink(address, mac)
            at += (size + 3) & ~3

    def _message(self, buffer: "bytearray | bytes", at: int, end: int) -> "tuple[bytes, bytes]":
        if end - at < _NDMSG:
            raise Malformed
        octets = _OCTETS.get(buffer[at], 0)
        address = mac = b""
        at += _NDMSG
        while at < end:
            size, kind = attribute(buffer, at, end)
            if kind == _DST and size == 4 + octets:
                address = bytes(buffer[at + 4 : at + size])
            elif kind == _LLADDR and size == 10:
                mac = bytes(buffer[at + 4 : at + size])
            at += (size + 3) & ~3
        return address, mac


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
