# SPDX-License-Identifier: Apache-2.0
"""Bundles as the custodian signs them; agent/purposes/custodian/bundle.py has the form and reads them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

FIRST = "oubli-bundle 1"


@dataclass(frozen=True, order=True)
class Row:
    """One public key: purpose, UTC day, key (X25519, 32 octets), date on which its private half is destroyed."""

    purpose: str
    day: date
    public: bytes
    destroy: date

    def __str__(self) -> str:
        """Return the line of a bundle."""
        return f"{self.purpose} {self.day} {self.public.hex()} {self.destroy}"


class BundleError(Exception):
    """A file that isn't a bundle of this custodian; the text says why."""


def write(made: date, rows: Iterable[Row], key: SigningKey) -> bytes:
    """Return a signed bundle."""
    text = "\n".join([FIRST, f"made {made}", *map(str, sorted(rows))]) + "\n"
    return text.encode() + f"signature {key.sign(text.encode()).signature.hex()}\n".encode()


def read(data: bytes, key: VerifyKey) -> tuple[date, list[Row]]:
    """Return the day a bundle was made and its rows; BundleError where the signature or the form is wrong."""
    body, mark, signature = data.rpartition(b"signature ")
    try:
        key.verify(body, bytes.fromhex(signature.decode().removesuffix("\n")))
    except (BadSignatureError, ValueError):
        raise BundleError("the signature isn't this custodian's") from None
    first, made, *lines = body.decode().splitlines()
    if first != FIRST or not mark:
        raise BundleError("not a bundle")
    rows = []
    for line in lines:
        purpose, day, public, destroy = line.split(" ")
        rows.append(Row(purpose, date.fromisoformat(day), bytes.fromhex(public), date.fromisoformat(destroy)))
    return date.fromisoformat(made.removeprefix("made ")), rows
