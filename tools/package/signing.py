# SPDX-License-Identifier: Apache-2.0
"""Keys of a feed: usign's (Ed25519, for opkg's Packages) and apk's (ECDSA on P-256, for packages.adb).

usign's files are signify's: a comment line, then base64 of, in octets:

    2       "Ed"
    30      of the secret half alone: "BK", rounds 0 (no passphrase), salt 16, first 8 octets of SHA-512 of the key
    8       by which the key is known
    ...     the key or the signature
"""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from nacl.signing import SigningKey

from tools import disk

FEED_SECRET, FEED_PUBLIC = "oubli-feed.sec", "oubli-feed.pub"
APK_SECRET, APK_PUBLIC = "oubli-feed-apk.pem", "oubli-feed-apk.pub.pem"


class KeyFileError(Exception):
    """A key that can't be used; its text is the one line to show."""


def _lines(comment: str, data: bytes) -> bytes:
    return f"untrusted comment: {comment}\n".encode() + base64.b64encode(data) + b"\n"


def make(folder: Path) -> None:
    """Make both key pairs in a folder, secrets 0600; KeyFileError where one of the files exists."""
    names = (FEED_SECRET, FEED_PUBLIC, APK_SECRET, APK_PUBLIC)
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise KeyFileError(f"{folder / there[0]}: exists already; accepted: a folder without it")
    known = os.urandom(8)
    key = SigningKey.generate()
    pair = bytes(key) + bytes(key.verify_key)
    secret = b"EdBK" + bytes(4) + os.urandom(16) + hashlib.sha512(pair).digest()[:8] + known + pair
    disk.write_new(folder / FEED_SECRET, _lines(f"oubli feed, secret {known.hex()}", secret), 0o600)
    disk.write_new(
        folder / FEED_PUBLIC, _lines(f"oubli feed {known.hex()}", b"Ed" + known + bytes(key.verify_key)), 0o644
    )
    curve = ec.generate_private_key(ec.SECP256R1())
    disk.write_new(
        folder / APK_SECRET, curve.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()), 0o600
    )
    disk.write_new(
        folder / APK_PUBLIC, curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644
    )


def sign(folder: Path, data: bytes) -> bytes:
    """Return usign's signature file of some octets."""
    path = folder / FEED_SECRET
    try:
        raw = base64.b64decode(path.read_text(encoding="ascii").splitlines()[1], validate=True)
    except (OSError, ValueError, IndexError):
        raise KeyFileError(f"{path}: not a usign secret key; accepted: what `oubli-package keys` makes") from None
    if len(raw) != 104 or raw[:8] != b"EdBK" + bytes(4) or hashlib.sha512(raw[40:]).digest()[:8] != raw[24:32]:
        raise KeyFileError(f"{path}: damaged, or protected by a passphrase; accepted: what `oubli-package keys` makes")
    signature = SigningKey(raw[40:72]).sign(data).signature
    return _lines(f"signed by key {raw[32:40].hex()}", b"Ed" + raw[32:40] + signature)


def apk_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key for packages.adb."""
    path = folder / APK_SECRET
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError(f"{path}: not a private key on a curve in PEM; accepted: what `oubli-package keys` makes")
    return key
