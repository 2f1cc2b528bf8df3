# SPDX-License-Identifier: Apache-2.0
"""When a certificate is valid, read from its file: PEM or DER, without a TLS library.

MicroPython's `tls` verifies dates but doesn't tell them, so the six elements before them are walked over here.
Source: RFC 5280, 4.1 (TBSCertificate: [0] version, serialNumber, signature, issuer, validity) and 4.1.2.5; RFC 7468.
"""

import binascii

from agent.runtime.x509 import NotACertificate, element, enter

LIMIT = 16384  # octets of one certificate
_SEQUENCE, _VERSION, _UTC, _GENERALIZED = 0x30, 0xA0, 0x17, 0x18


def validities(path: str) -> "Iterator[tuple[str, str]]":
    """Yield (not before, not after) of a file's certificates, as YYYYMMDDHHMMSS in UTC; OSError, NotACertificate."""
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
    at, end = enter(data, 0, len(data))
    at, end = enter(data, at, end)
    tag, _, after = element(data, at, end)
    if tag == _VERSION:
        at = after
    for _ in ("serialNumber", "signature", "issuer"):
        at = element(data, at, end)[2]
    at, end = enter(data, at, end)
    not_before, at = _time(data, at, end)
    return not_before, _time(data, at, end)[0]


def _time(data: bytes, at: int, end: int) -> "tuple[str, int]":
    """Return (digits, where the next element begins); a year of two digits is 1950 to 2049."""
    tag, start, stop = element(data, at, end)
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
