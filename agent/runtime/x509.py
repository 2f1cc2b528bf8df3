# SPDX-License-Identifier: Apache-2.0
"""The elements of a certificate in DER, and for whom it vouches: what no TLS library of MicroPython tells.

Mbed TLS has verified the certificate when it is asked here. But it takes an address that is written as a name, and a
URI that is the name. Where no subjectAltName is, it takes the subject's common name; RFC 9525, 2 and 6.3 let none of
them pass. Source: X.690, 8.1; RFC 5280, 4.1 (TBSCertificate) and 4.2.1.6 (GeneralName: [2] dNSName, [7] iPAddress).
"""

from agent.runtime.sockets import packed

_SEQUENCE, _EXTENSIONS, _DNS, _ADDRESS = 0x30, 0xA3, 0x82, 0x87
_SUBJECT_ALT_NAME = b"\x55\x1d\x11"


class NotACertificate(Exception):
    """Octets that aren't a certificate, or the part of one that they should be."""


def element(data: bytes, at: int, end: int) -> "tuple[int, int, int]":
    """Return (tag, beginning of the value, end of it)."""
    if end - at < 2:
        raise NotACertificate
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count < 4 or end - at < count:
            raise NotACertificate
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if size > end - at:
        raise NotACertificate
    return tag, at, at + size


def enter(data: bytes, at: int, end: int) -> "tuple[int, int]":
    """Return where the elements of a SEQUENCE begin and end."""
    tag, start, stop = element(data, at, end)
    if tag != _SEQUENCE:
        raise NotACertificate
    return start, stop


def vouches(data: bytes, host: str) -> bool:
    """Return True if a certificate's subjectAltName has this host: an address as iPAddress, a name as dNSName."""
    address = packed(host.encode())
    try:
        for tag, value in _alternatives(data):
            if value == address if tag == _ADDRESS else tag == _DNS and not address and _matches(value, host):
                return True
    except NotACertificate:
        pass
    return False


def _alternatives(data: bytes) -> "Iterator[tuple[int, bytes]]":
    at, end = enter(data, 0, len(data))
    at, end = enter(data, at, end)
    while at < end:
        tag, start, at = element(data, at, end)
        if tag == _EXTENSIONS:
            place, stop = enter(data, start, at)
            while place < stop:
                inner, place = enter(data, place, stop)
                _, start, inner = element(data, inner, place)
                if data[start:inner] == _SUBJECT_ALT_NAME:
                    while inner < place:  # past `critical`, where it says that
                        _, start, inner = element(data, inner, place)
                    name, last = enter(data, start, inner)
                    while name < last:
                        kind, start, name = element(data, name, last)
                        yield kind, data[start:name]


def _matches(pattern: bytes, host: str) -> bool:
    """Return True if a dNSName is a host's, "*" standing for its whole first label (RFC 9525, 6.3)."""
    name, wanted = pattern.lower(), host.lower().encode()
    dot = wanted.find(b".")
    return name == wanted or (name[:2] == b"*." and dot > 0 and name[1:] == wanted[dot:])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
