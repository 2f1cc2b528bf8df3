# SPDX-License-Identifier: Apache-2.0
"""When a certificate is valid, read from its file: PEM or DER, without a TLS library.

MicroPython's `tls` verifies dates but doesn't tell them, so the six elements before them are walked over here.
Source: RFC 5280, 4.1 (TBSCertificate: [0] version, serialNumber, signature, issuer, validity) and 4.1.2.5; RFC 7468; X.690, 8.1.
"""

import binascii

LIMIT = 16384  # octets of one certificate
_SEQUENCE, _VERSION, _UTC, _GENERALIZED = 0x30, 0xA0, 0x17, 0x18


class NotACertificate(Exception):
    """A file or a piece of one that isn't a certificate."""


def validities(path: str) -> "Iterator[tuple[str, str]]":
    """Yield (not before, not after) of each certificate of a file, as YYYYMMDDHHMMSS in UTC; OSError, NotACertificate."""
    with open(path, "rb") as file:
        first = file.read(1)
        if first and first[0] == _SEQUENCE:
            yield validity(first + file.read(LIMIT))
            return
        text = None
        for octets in file:
            line = octets.strip()
            # One dash of the file's first line is already read.
            if line.endswith(b"BEGIN CERTIFICATE-----"):
                text = b""
            elif text is not None and line == b"-----END CERTIFICATE-----":
                try:
                    data = binascii.a2b_base64(text)
                except ValueError:
                    raise NotACertificate
                yield validity(data)
                text = None
            elif text is not None:
                text += line
                if len(text) > 2 * LIMIT:
                    raise NotACertificate


def validity(data: bytes) -> "tuple[str, str]":
    """Return (not before, not after) of one certificate in DER."""
    at, end = _enter(data, 0, len(data))
    at, end = _enter(data, at, end)
    tag, _, after = _element(data, at, end)
    if tag == _VERSION:
        at = after
    for _ in ("serialNumber", "signature", "issuer"):
        at = _element(data, at, end)[2]
    at, end = _enter(data, at, end)
    not_before, at = _time(data, at, end)
    return not_before, _time(data, at, end)[0]


def _element(data: bytes, at: int, end: int) -> "tuple[int, int, int]":
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


def _enter(data: bytes, at: int, end: int) -> "tuple[int, int]":
    tag, start, stop = _element(data, at, end)
    if tag != _SEQUENCE:
        raise NotACertificate
    return start, stop


def _time(data: bytes, at: int, end: int) -> "tuple[str, int]":
    """Return (digits, where the next element begins); a year of two digits is 1950 to 2049."""
    tag, start, stop = _element(data, at, end)
    size = {_UTC: 13, _GENERALIZED: 15}.get(tag)
    digits = data[start : stop - 1]
    if stop - start != size or not digits.isdigit() or data[stop - 1] != 0x5A:  # Z
        raise NotACertificate
    text = digits.decode()
    if tag == _UTC:
        text = ("20" if text < "50" else "19") + text
    return text, stop


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
