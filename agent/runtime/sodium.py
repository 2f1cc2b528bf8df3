# SPDX-License-Identifier: Apache-2.0
"""libsodium, from one table of signatures. There is no cryptography of our own.

Buffers are addresses wherever a key or a stream state is meant (agent.runtime.memory); message buffers may be anything.
Sizes in octets:

    32, 24, 64  key, nonce, signature
    52, 24, 17  stream's state, its header, added by each of its messages
    8, 16       short hash, its key
    48          added by a sealed box
    16          added by a message sealed by itself

Source: libsodium's documentation of secretstream_xchacha20poly1305, aead_xchacha20poly1305_ietf, box_seal,
sign_detached, sign_init, generichash, shorthash, randombytes, memzero.
"""

import struct

from agent.runtime.libc import native

STATE, HEADER, OVERHEAD = 52, 24, 17
MESSAGE, REKEY, FINAL = 0, 2, 3
BOX, SIGNATURE = 48, 64
# A secret signing key; the state of a signature of many parts (208 octets in libsodium 1.0.18 to 1.0.20)
SECRET, SIGNING = 64, 256
KEY, NONCE, TAG = 32, 24, 16

LIBRARY = "libsodium"
_NAMES = ("libsodium.so.23", "libsodium.so.26", "libsodium.so")
_SIGNATURES = {
    "sodium_init": ("i", ""),
    "sodium_memzero": ("v", "az"),
    "randombytes_buf": ("v", "pz"),
    "crypto_box_seal": ("i", "ppQp"),
    "crypto_aead_xchacha20poly1305_ietf_encrypt": ("i", "pppQpQppp"),
    "crypto_aead_xchacha20poly1305_ietf_decrypt": ("i", "ppppQpQpp"),
    "crypto_generichash": ("i", "pzpQpz"),
    "crypto_shorthash": ("i", "paQa"),
    "crypto_sign_verify_detached": ("i", "ppQp"),
    "crypto_sign_seed_keypair": ("i", "ppp"),
    "crypto_sign_init": ("i", "p"),
    "crypto_sign_update": ("i", "ppQ"),
    "crypto_sign_final_create": ("i", "pppp"),
    "crypto_secretstream_xchacha20poly1305_init_push": ("i", "ppp"),
    "crypto_secretstream_xchacha20poly1305_push": ("i", "aaaaQaQB"),
    "crypto_secretstream_xchacha20poly1305_init_pull": ("i", "ppp"),
    "crypto_secretstream_xchacha20poly1305_pull": ("i", "pppppQpQ"),
}


class SealError(Exception):
    """A sealed chunk that doesn't open: damaged, out of order, or under another key."""


def _library() -> "Any":
    for name in _NAMES:
        try:
            return native.library(name)
        except OSError:
            continue
    raise OSError(2, LIBRARY)


class Stream:
    """Chunks sealed one after the other (secretstream); each opens only behind those before it."""

    def __init__(self, bound: "dict[str, Any]") -> None:
        name = "crypto_secretstream_xchacha20poly1305_"
        self._init_push = bound[name + "init_push"]
        self._push = bound[name + "push"]
        self._init_pull = bound[name + "init_pull"]
        self._pull = bound[name + "pull"]
        self._length = bytearray(8)
        self._tag = bytearray(1)

    def open(self, state: int, header: "bytearray | int", key: int) -> None:
        """Begin a stream for writing: fills the 52-octet state and the 24-octet public header."""
        self._init_push(state, header, key)

    def push(self, state: int, out: int, message: "int | bytes", size: int, data: bytes, tag: int) -> int:
        """Seal `size` octets with associated `data` into memory at `out`; returns the octets written (size + 17)."""
        self._push(state, out, None, message, size, data, len(data), tag)
        return size + OVERHEAD

    def read(self, state: int, header: bytes, key: int) -> None:
        """Begin a stream for reading; SealError for a header that can't be one."""
        if self._init_pull(state, header, key) != 0:
            raise SealError

    def pull(self, state: int, out: int, sealed: bytes, data: bytes) -> "tuple[int, int]":
        """Open one chunk into memory at `out`; returns (octets, tag). SealError where it doesn't verify."""
        if len(sealed) < OVERHEAD:
            raise SealError
        if self._pull(state, out, self._length, self._tag, sealed, len(sealed), data, len(data)) != 0:
            raise SealError
        return struct.unpack("Q", self._length)[0], self._tag[0]


class Signatures:
    """Ed25519; what is signed here is in parts (Ed25519ph)."""

    def __init__(self, bound: "dict[str, Any]") -> None:
        self._verify = bound["crypto_sign_verify_detached"]
        self._keys = bound["crypto_sign_seed_keypair"]
        self._begin = bound["crypto_sign_init"]
        self._update = bound["crypto_sign_update"]
        self._end = bound["crypto_sign_final_create"]
        self._length = bytearray(8)

    def valid(self, signature: bytes, data: bytes, public: bytes) -> bool:
        """Return True if a signature of `data` (Ed25519) is by the holder of a public signing key."""
        return self._verify(signature, data, len(data), public) == 0

    def keys(self, secret: int, seed: int) -> bytes:
        """Put the secret signing key of a 32-octet seed at an address; returns its public half."""
        public = bytearray(KEY)
        self._keys(public, secret, seed)
        return bytes(public)

    def begin(self, state: int) -> None:
        """Begin a signature of many parts: fills the state at an address (SIGNING octets)."""
        self._begin(state)

    def update(self, state: int, data: "bytes | int", size: int) -> None:
        """Take the next octets into it."""
        self._update(state, data, size)

    def end(self, state: int, out: bytearray, secret: int) -> None:
        """Put the signature by the secret key at an address into `out` (64 octets)."""
        self._end(state, out, self._length, secret)


class Sodium:
    """The few functions oubli uses, bound when this object is made; OSError where libsodium is absent.

    What belongs together has an object of its own: `stream`, `signatures`.
    """

    def __init__(self) -> None:
        lib = _library()
        bound = {}
        for name in _SIGNATURES:
            result, arguments = _SIGNATURES[name]
            bound[name] = native.function(lib, result, name, arguments)
        if bound["sodium_init"]() < 0:
            raise OSError(5, LIBRARY)
        self.stream = Stream(bound)
        self.signatures = Signatures(bound)
        self._zero = bound["sodium_memzero"]
        self._random = bound["randombytes_buf"]
        self._generichash = bound["crypto_generichash"]
        self._shorthash = bound["crypto_shorthash"]
        self._seal = bound["crypto_box_seal"]
        self._encrypt = bound["crypto_aead_xchacha20poly1305_ietf_encrypt"]
        self._decrypt = bound["crypto_aead_xchacha20poly1305_ietf_decrypt"]
        self._length = bytearray(8)

    def zero(self, address: int, size: int) -> None:
        """Overwrite memory with zeros in a way no compiler drops."""
        self._zero(address, size)

    def random(self, address: int, size: int) -> None:
        """Fill memory with random octets, straight into place."""
        self._random(address, size)

    def digest(self, data: bytes, size: int = 32) -> bytes:
        """Return the BLAKE2b hash of public data."""
        out = bytearray(size)
        self._generichash(out, size, data, len(data), None, 0)
        return bytes(out)

    def keyed_digest(
        self, out: "bytearray | int", size: int, data: "int | bytes | bytearray", key: int, length: int = 0
    ) -> None:
        """Put `size` octets of the BLAKE2b hash of `data` under the 32-octet key at an address into `out`.

        `length` says how many octets stand at `data` where that is an address.
        """
        self._generichash(out, size, data, len(data) if not isinstance(data, int) else length, key, KEY)

    def encrypt(self, out: int, message: int, size: int, data: bytes, nonce: "bytes | bytearray", key: int) -> int:
        """Seal `size` octets by themselves, with associated `data`; returns the octets written (size + 16).

        A nonce may serve once in the life of a key.
        """
        self._encrypt(out, self._length, message, size, data, len(data), None, nonce, key)
        return size + TAG

    def decrypt(
        self, out: int, sealed: "int | bytes", size: int, data: bytes, nonce: "bytes | bytearray", key: int
    ) -> int:
        """Open what `encrypt` made, into memory at `out`; returns the octets. SealError where it doesn't verify."""
        if size < TAG or self._decrypt(out, self._length, None, sealed, size, data, len(data), nonce, key) != 0:
            raise SealError
        return size - TAG

    def short_hash(self, out: "bytearray", data: "int | bytes", size: int, key: "int | bytes") -> None:
        """Put the 8-octet SipHash-2-4 of `size` octets under a 16-octet key into `out`."""
        self._shorthash(out, data, size, key)

    def seal(self, out: "bytearray", address: int, size: int, public: bytes) -> None:
        """Seal `size` octets at an address to a public key; `out` (size + 48 octets) opens by its private half."""
        if self._seal(out, address, size, public) != 0:
            raise SealError  # not a point of the curve, or one of small order


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
