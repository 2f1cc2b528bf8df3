# SPDX-License-Identifier: Apache-2.0
"""LuCI's catalogues of words: boards/po/LANGUAGE/oubli.po as its po2lmo compiles them, to the octet.

`python3 -m tools.package.lmo` is for an OpenWrt tree (boards/openwrt/Makefile):
nothing but the standard library is needed.
"""

import re
import struct
import sys
from pathlib import Path

PO = Path(__file__).resolve().parent.parent.parent / "boards/po"
FOLDER = "/usr/lib/lua/luci/i18n"  # where LuCI looks
_LINE = re.compile(r'(?:(msgid|msgid_plural|msgstr)(?:\[([0-9])\])? )?"((?:[^"\\]|\\["\\n])*)"')
_PLURAL = "Plural-Forms: "
_ENTRY = ">IIII"  # what is looked for, plural forms, place, octets


class CatalogueError(Exception):
    """A line that isn't understood; its text says which."""


def messages(text: str) -> "list[dict[str, str]]":
    """Return each message's fields (msgid, msgid_plural, msgstr, msgstr0 ...); CatalogueError names a bad line."""
    found: list[dict[str, str]] = []
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or not (match[1] or name):
            raise CatalogueError(f'{number}: not understood; accepted: msgid, msgid_plural, msgstr, \\n, \\", \\\\')
        if match[1]:
            name = match[1] + (match[2] or "")
            if name == "msgid":
                found.append({})
        # As LuCI's po2lmo has it: a new line stays two letters
        found[-1][name] = found[-1].get(name, "") + re.sub(r'\\(["\\])', r"\1", match[3])
    return found


def hashed(octets: bytes) -> int:
    """Return LuCI's hash of a text, Paul Hsieh's of 32 bits."""

    def two(at: int) -> int:
        return octets[at] | octets[at + 1] << 8

    def signed(at: int) -> int:
        return octets[at] - 256 if octets[at] > 127 else octets[at]

    length = len(octets)
    value, rest = length, length & ~3
    for at in range(0, rest, 4):
        value += two(at)
        value = ((value << 16) ^ (two(at + 2) << 11) ^ value) & 0xFFFFFFFF
        value = (value + (value >> 11)) & 0xFFFFFFFF
    left = length & 3
    if left == 3:
        value += two(rest)
        value = (value ^ value << 16 ^ signed(rest + 2) << 18) & 0xFFFFFFFF
        value += value >> 11
    elif left == 2:
        value = (value + two(rest)) & 0xFFFFFFFF
        value = (value ^ value << 11) & 0xFFFFFFFF
        value += value >> 17
    elif left == 1:
        value = (value + signed(rest)) & 0xFFFFFFFF
        value = (value ^ value << 10) & 0xFFFFFFFF
        value += value >> 1
    for by, there in ((3, 5), (4, 17), (25, 6)):
        value &= 0xFFFFFFFF
        value = (value ^ value << by) & 0xFFFFFFFF
        value += value >> there
    return value & 0xFFFFFFFF


def compiled(text: str) -> bytes:
    """Return the catalogue of a .po file's text: the words, then a row each by its hash, then where the rows begin."""
    words, rows = b"", []

    def put(key: int, forms: int, word: bytes) -> None:
        nonlocal words
        rows.append((key, forms, len(words), len(word)))
        words += word + bytes(-len(word) % 4)

    for message in messages(text):
        name = message["msgid"]
        if not name:
            for line in message["msgstr"].split("\\n"):
                if line.startswith(_PLURAL):
                    put(0, 0, line.removeprefix(_PLURAL).encode())
            continue
        forms = [message[field] for field in sorted(message) if field.startswith("msgstr")]
        for number, said in enumerate(forms):
            key = name.encode() + (b"\2%d" % number if "msgid_plural" in message else b"")
            if said and hashed(key) != hashed(said.encode()):  # as po2lmo: what is said alike needs no row
                put(hashed(key), len(forms), said.encode())
    return words + b"".join(struct.pack(_ENTRY, *row) for row in sorted(rows)) + struct.pack(">I", len(words))


def files() -> "dict[str, bytes]":
    """Return each language's catalogue by its path on the gateway; CatalogueError with file and line."""
    made = {}
    for path in sorted(PO.glob("*/oubli.po")):
        try:
            made[f"{FOLDER}/oubli.{path.parent.name}.lmo"] = compiled(path.read_text(encoding="utf-8"))
        except CatalogueError as failure:
            raise CatalogueError(f"{path}:{failure}") from None
    return made


def main() -> None:
    """Write the files of `files` below a folder."""
    try:
        for name, octets in files().items():
            path = Path(sys.argv[1] + name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
    except (CatalogueError, OSError) as failure:
        sys.exit(f"tools.package.lmo: {failure}")


if __name__ == "__main__":
    main()
