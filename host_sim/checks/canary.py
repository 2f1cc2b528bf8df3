# SPDX-License-Identifier: Apache-2.0
"""Looks for what must be nowhere: canaries in every file, log, message and process core (L34-II-5, L34-VI-1).

A canary is searched for in the forms that a program could write it in: raw octets, hex with and without separators,
decimal, text, in any case of the letters. A raw IPv4 address is only four octets: in a core of 17 MB its first two
stand about twenty times by chance, so one scan in two thousand would find all four. What counts is what was not there
before the traffic. In a file it is what is there more than once: the sealed store's 40 kB would show one of a lab's
addresses in one scan of 7,000.
"""

import ipaddress
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

BRIEF = 4  # octets that stand somewhere by chance
_ZEROS = re.compile(rb"\0{64,}")


@dataclass(frozen=True)
class Needle:
    """One form of one canary; `kind` says what it gives away. A `text` is in small letters and found in any."""

    kind: str
    data: bytes
    text: bool = False


def _forms(kind: str, raw: bytes, *others: str) -> list[Needle]:
    """Return raw octets, hex with and without separators, as a list and as Python writes them, and other texts."""
    texts = [raw.hex(), *(raw.hex(mark) for mark in ":-. "), str(list(raw)).strip("[]"), *others]
    written = repr(raw)[2:-1]
    texts += [written] if "\\" in written else []  # else it is a few letters, as any word
    return [Needle(kind, raw), *(Needle(kind, text.lower().encode(), text=True) for text in dict.fromkeys(texts))]


def address_forms(kind: str, text: str) -> list[Needle]:
    """Return the forms of an IPv4 or IPv6 address."""
    address = ipaddress.ip_address(text)
    backward = Needle(kind, address.packed[::-1])
    return [backward, *_forms(kind, address.packed, text, address.exploded, str(int(address)))]


def mac_forms(kind: str, mac: bytes) -> list[Needle]:
    """Return the forms of a MAC address."""
    return _forms(kind, mac, mac.hex(".", 2), str(int.from_bytes(mac, "big")))


def text_forms(kind: str, text: str) -> list[Needle]:
    """Return the forms of a string."""
    wide = Needle(kind, text.lower().encode("utf-16-le"), text=True)
    return [wide, *_forms(kind, text.encode(), text)]


def hits(data: bytes, needles: list[Needle]) -> list[Needle]:
    """Return the needles that are in these bytes."""
    small = data.lower()
    return [needle for needle in needles if needle.data in (small if needle.text else data)]


def in_files(folder: Path, needles: list[Needle]) -> dict[str, list[Needle]]:
    """Return what was found in each regular file below a folder, by its relative path, names included."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = str(path.relative_to(folder))
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        octets = relative.encode() + b"\0" + data
        got = hits(octets, needles)
        brief = [needle for needle in got if len(needle.data) == BRIEF and not needle.text]
        if sum(octets.count(needle.data) for needle in brief) == 1:
            got = [needle for needle in got if needle not in brief]
        if got:
            found[relative] = got
    return found


def core(pid: int, folder: Path) -> bytes:
    """Return a core of a live process, made by gdb, its longer runs of zeros left out.

    The process goes on; it can't be traced.
    """
    made = folder / f"core.{pid}"
    done = subprocess.run(["gcore", "-o", str(folder / "core"), str(pid)], capture_output=True, text=True, check=False)
    if not made.exists():
        raise RuntimeError(f"no core of the process: {done.stderr[-300:]}")
    try:
        return _ZEROS.sub(bytes(64), made.read_bytes())
    finally:
        made.unlink()
