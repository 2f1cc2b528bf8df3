# SPDX-License-Identifier: Apache-2.0
"""Netlink framing: messages in a datagram, attributes in a message, dump requests.

Headers are in the host's byte order, values of ctnetlink in network order. Every length is checked against its enclosing
one before a byte behind it is read. Source: linux/netlink.h, linux/netfilter/nfnetlink.h, RFC 3549.
"""

import struct

HEADER = 16
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_unpack_from = struct.unpack_from


class Malformed(Exception):
    """A message whose lengths contradict each other. Never carries a byte of it (L34-II-5)."""


def attribute(buffer: "bytearray | bytes", at: int, end: int) -> "tuple[int, int]":
    """Return (octets, type) of the attribute at `at`; the flag bits of the type are cut off."""
    if end - at < 4:
        raise Malformed
    size, kind = _unpack_from("HH", buffer, at)
    if size < 4 or size > end - at:
        raise Malformed
    return size, kind & 0x3FFF


def dump_request(kind: int, body: bytes) -> bytes:
    """Return a request that makes the kernel list a whole table."""
    return struct.pack("IHHII", HEADER + len(body), kind, _REQUEST_DUMP, 1, 0) + body
