# SPDX-License-Identifier: Apache-2.0
"""The device's own key: 32 random octets on flash, 0600, made at the first start; `consent` is sealed under it (L34-V).

It is read straight into locked memory. Three keys are derived from it (BLAKE2b, keyed): one seals, one hashes MACs, one
signs what is handed over for a request (L34-II-4). Whoever has the device has them too: a MAC under it is a pseudonym,
not anonymous, and is treated as personal data.
"""

from agent.runtime import files, memory
from agent.runtime.sodium import KEY, SECRET, SIGNATURE, SIGNING

_DERIVED = (b"oubli seal", b"oubli hash", b"oubli sign")


class DeviceKey:
    """`seal`, `hash` and `sign` are the addresses of the derived keys; `made` says that this start made a new key.

    OSError where it can't be read or written. A file of another length was never
    finished, or is none of ours: a new one is made.
    """

    def __init__(self, path: str, sodium: "Sodium") -> None:
        self._region = region = memory.scratch(KEY * (1 + len(_DERIVED)))
        region.lock()
        self.made = not files.exists(path) or files.size_of(path) != KEY
        key = memoryview(region.view)[:KEY]
        try:
            if self.made:
                sodium.random(region.address, KEY)
                files.write_atomic(path, key)
            else:
                files.read_into(path, key)
        except OSError:
            self.close()
            raise
        for number, word in enumerate(_DERIVED):
            sodium.keyed_digest(region.address + KEY * (1 + number), KEY, word, region.address)
        sodium.zero(region.address, KEY)
        self.seal, self.hash, self.sign = region.address + KEY, region.address + 2 * KEY, region.address + 3 * KEY

    def close(self) -> None:
        """Overwrite what is in memory."""
        self._region.wipe()
        self._region.close()


class Signer:
    """Signs one handover as it is written (Ed25519ph); `public` is the half that the custodian knows this gateway by.

    OSError as above.
    """

    def __init__(self, path: str, sodium: "Sodium") -> None:
        self._sodium = sodium
        key = DeviceKey(path, sodium)
        self._region = region = memory.scratch(SECRET + SIGNING)
        region.lock()
        self.public = sodium.signatures.keys(region.address, key.sign)
        key.close()
        sodium.signatures.begin(region.address + SECRET)

    def update(self, data: "bytes | int", size: int) -> None:
        """Take the next octets in."""
        self._sodium.signatures.update(self._region.address + SECRET, data, size)

    def signature(self) -> bytes:
        """Return the signature of all octets that were taken in."""
        out = bytearray(SIGNATURE)
        self._sodium.signatures.end(self._region.address + SECRET, out, self._region.address)
        return bytes(out)

    def close(self) -> None:
        """Overwrite the key."""
        self._region.wipe()
        self._region.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.runtime.sodium import Sodium
