# SPDX-License-Identifier: Apache-2.0
"""apk's database format, "adb" v3, as far as a package and an index need it: writing, signing, and a strict reader.

Source: apk-tools 3, doc/apk-v3.5.scd and src/adb.h. A file is `ADB.` and a schema, both u32 little-endian, then blocks:
a word of type (2 bits) and size with itself (30 bits), the octets, zeros up to a multiple of 8. The first block holds
one value tree, the second a signature, the rest the files' octets. A value is one word: 4 bits of type, 28 of the
number itself or of its offset in the block. Integers of 2**28 and more, texts, arrays and objects lie at offsets; an
array or object begins with the number of its words, itself included. Compressed as one raw deflate stream behind
`ADBd`.

A tree is written from Python: None (absent), int, bytes and str (a blob), `Object`
(slots by number, from 1), list (an array).
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PACKAGE, INDEX = 0x676B6370, 0x78646E69
SPECIAL, INT, INT32, INT64 = 0x0, 0x1, 0x2, 0x3
BLOB8, BLOB16, BLOB32, ARRAY, OBJECT = 0x8, 0x9, 0xA, 0xD, 0xE
BLOCK_ADB, BLOCK_SIGNATURE, BLOCK_DATA = 0, 1, 2
SHA512_NUMBER = 4
_HEAD = 8  # octets before the first value: two version octets, two zeros, the root's word


class Object(dict[int, "Value"]):
    """Slots by number, from 1; a slot that is absent or None is written as nothing."""


Value = None | int | bytes | str | Object | list["Value"]


class FormatError(Exception):
    """Not a file of this format; the text says what was wrong, at which octet."""


class Writer:
    """Builds one block of values; equal values are written once."""

    def __init__(self) -> None:
        self._octets = bytearray(_HEAD)
        self._known: dict[tuple[bytes, int], int] = {}

    def _put(self, data: bytes, alignment: int) -> int:
        at = self._known.get((data, alignment))
        if at is None:
            self._octets += bytes(-len(self._octets) % alignment)
            at = self._known[data, alignment] = len(self._octets)
            self._octets += data
        return at

    def value(self, tree: Value) -> int:
        """Write a tree; return its word."""
        if tree is None or tree in (b"", "", []) or tree == {}:
            return 0
        if isinstance(tree, int):
            if tree < 1 << 28:
                return INT << 28 | tree
            if tree < 1 << 32:
                return INT32 << 28 | self._put(struct.pack("<I", tree), 4)
            return INT64 << 28 | self._put(struct.pack("<Q", tree), 4)
        if isinstance(tree, str | bytes):
            data = tree.encode() if isinstance(tree, str) else tree
            for kind, size, form in ((BLOB8, 1, "<B"), (BLOB16, 2, "<H"), (BLOB32, 4, "<I")):
                if len(data) < 1 << 8 * size:
                    return kind << 28 | self._put(struct.pack(form, len(data)) + data, size)
        if isinstance(tree, list):
            words, kind = [self.value(item) for item in tree], ARRAY
        else:
            assert isinstance(tree, Object)  # noqa: S101 (for the type checker: nothing else is left)
            words, kind = [self.value(tree.get(slot)) for slot in range(1, max(tree) + 1)], OBJECT
        while words and not words[-1]:
            words.pop()
        return kind << 28 | self._put(struct.pack(f"<{len(words) + 1}I", len(words) + 1, *words), 4) if words else 0

    def block(self, root: Object) -> bytes:
        """Write the root; return the whole block's octets."""
        struct.pack_into("<I", self._octets, 4, self.value(root))
        return bytes(self._octets)


def _block(kind: int, payload: bytes) -> bytes:
    return struct.pack("<I", kind << 30 | len(payload) + 4) + payload + bytes(-(len(payload) + 4) % 8)


def key_id(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the 16 octets by which apk knows a key."""
    return hashlib.sha512(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)).digest()[:16]


def _signed(schema: int, head: bytes, block: bytes) -> bytes:
    return struct.pack("<I", schema) + head + hashlib.sha512(block).digest()


def write(
    schema: int, block: bytes, key: ec.EllipticCurvePrivateKey | None, files: "list[tuple[int, int, bytes]]"
) -> bytes:
    """Return a whole file: values, signature (ECDSA, SHA-512) where a key is given, (path, file, octets) of each."""
    out = bytearray(struct.pack("<II", 0x2E424441, schema) + _block(BLOCK_ADB, block))
    if key is not None:
        head = bytes((0, SHA512_NUMBER)) + key_id(key.public_key())
        out += _block(BLOCK_SIGNATURE, head + key.sign(_signed(schema, head, block), ec.ECDSA(SHA512())))
    for path, file, octets in files:
        out += _block(BLOCK_DATA, struct.pack("<II", path, file) + octets)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"ADBd" + deflate.compress(bytes(out)) + deflate.flush()


@dataclass(frozen=True)
class Contents:
    """What a file holds: schema, the root's tree, (path, file, octets) of each file, signatures, the value block."""

    schema: int
    root: dict[int, Any]
    files: list[tuple[int, int, bytes]]
    signatures: list[bytes]
    block: bytes


def _need(octets: bytes, at: int, size: int) -> bytes:
    if at < 0 or at + size > len(octets):
        raise FormatError(f"offset {at}: {size} octets wanted, the block has {len(octets)}")
    return octets[at : at + size]


def _read(block: bytes, word: int, depth: int = 0) -> "Value":
    """Return the tree of a word; every length is checked, and no value refers to what contains it."""
    kind, at = word >> 28, word & 0x0FFFFFFF
    if depth > 8:
        raise FormatError(f"offset {at}: nested deeper than a package is")
    if word == 0:
        return None
    if kind == INT:
        return at
    if kind in (INT32, INT64):
        return int.from_bytes(_need(block, at, 4 if kind == INT32 else 8), "little")
    if kind in (BLOB8, BLOB16, BLOB32):
        size = {BLOB8: 1, BLOB16: 2, BLOB32: 4}[kind]
        return _need(block, at + size, int.from_bytes(_need(block, at, size), "little"))
    if kind in (ARRAY, OBJECT):
        (count,) = struct.unpack("<I", _need(block, at, 4))
        words = struct.unpack(f"<{count - 1}I", _need(block, at + 4, 4 * (count - 1))) if count else ()
        if at % 4 or not words:
            raise FormatError(f"offset {at}: an empty or unaligned array or object")
        values = [_read(block, item, depth + 1) for item in words]
        return (
            values
            if kind == ARRAY
            else Object({slot: value for slot, value in enumerate(values, 1) if value is not None})
        )
    raise FormatError(f"offset {at}: a value of unknown type {kind}")


def read(data: bytes) -> Contents:
    """Parse a file; FormatError at whatever isn't exactly of the format."""
    if data[:4] == b"ADBd":
        inflate = zlib.decompressobj(-15)
        try:
            data = inflate.decompress(data[4:]) + inflate.flush()
        except zlib.error as failure:
            raise FormatError(f"octet 4: not a deflate stream: {failure}") from None
        if not inflate.eof or inflate.unused_data:
            raise FormatError("the deflate stream is cut or followed by something")
    magic, schema = struct.unpack("<4sI", _need(data, 0, 8))
    if magic != b"ADB.":
        raise FormatError(f"octet 0: {magic!r} where 'ADB.' begins a file")
    at, blocks = 8, []
    while at < len(data):
        (word,) = struct.unpack("<I", _need(data, at, 4))
        kind, size = word >> 30, word & 0x3FFFFFFF
        if size < 4 or any(_need(data, at + size, -size % 8)):
            raise FormatError(f"octet {at}: a block of {size} octets, or padding that isn't zero")
        blocks.append((kind, _need(data, at + 4, size - 4)))
        at += size + -size % 8
    kinds = [kind for kind, _ in blocks]
    if kinds[:1] != [BLOCK_ADB] or kinds != sorted(kinds) or kinds.count(BLOCK_ADB) != 1 or max(kinds) > BLOCK_DATA:
        raise FormatError(f"blocks of types {kinds[:6]} where one of values, signatures, files are due, in this order")
    block = blocks[0][1]
    compatible, version, zeros, root = struct.unpack("<BBHI", _need(block, 0, _HEAD))
    tree = _read(block, root)
    if (compatible, version, zeros) != (0, 0, 0) or not isinstance(tree, Object):
        raise FormatError("octet 12: version or root of the values")
    files = [
        (*struct.unpack("<II", _need(payload, 0, 8)), payload[8:]) for kind, payload in blocks if kind == BLOCK_DATA
    ]
    return Contents(schema, tree, files, [payload for kind, payload in blocks if kind == BLOCK_SIGNATURE], block)


def signed_by(contents: Contents, key: ec.EllipticCurvePublicKey) -> bool:
    """Return True if one of the signatures is this key's and holds."""
    for signature in contents.signatures:
        head, octets = signature[:18], signature[18:]
        if head == bytes((0, SHA512_NUMBER)) + key_id(key):
            try:
                key.verify(octets, _signed(contents.schema, head, contents.block), ec.ECDSA(SHA512()))
            except InvalidSignature:
                return False
            return True
    return False
