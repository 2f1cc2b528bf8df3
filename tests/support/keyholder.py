# SPDX-License-Identifier: Apache-2.0
"""A custodian for tests: keys for any days, and bundles that say what a test wants."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from tools.custodian import bundles
from tools.custodian.segments import EPOCH

TODAY = 20780  # days since the epoch: 2026-11-23
LIFETIME = 30  # days


def at(day: int) -> date:
    """Return the date of a day since the epoch."""
    return EPOCH + timedelta(days=day)


@dataclass
class Custodian:
    """A key holder with a key for each day, and what he signs."""

    signing: SigningKey = field(default_factory=SigningKey.generate)
    keys: dict[int, PrivateKey] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        """Return what /etc/oubli/custodian.pub holds."""
        return bytes(self.signing.verify_key).hex() + "\n"

    def rows(self, first: int, days: int, lifetime: int = LIFETIME, purpose: str = "attribution") -> list[bundles.Row]:
        """Return a row a day."""
        keys = {day: self.keys.setdefault(day, PrivateKey.generate()) for day in range(first, first + days)}
        return [bundles.Row(purpose, at(day), bytes(key.public_key), at(day + lifetime)) for day, key in keys.items()]

    def sign(self, made: int, rows: list[bundles.Row]) -> bytes:
        """Return a bundle of these rows."""
        return bundles.write(at(made), rows, self.signing)

    def bundle(self, first: int, days: int, lifetime: int = LIFETIME, purpose: str = "attribution") -> bytes:
        """Return a bundle made on its first day."""
        return self.sign(first, self.rows(first, days, lifetime, purpose))
