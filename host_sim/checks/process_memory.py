# SPDX-License-Identifier: Apache-2.0
"""Looks for octets in another process's memory: heap, stacks and mappings, as root's debugger sees them."""

import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_PART = 1 << 22  # octets that are read at a time
_UNREADABLE = ("[vvar", "[vsyscall]")
# Octets of a text that are searched for before it whole: many begin alike, and six take CPython three times as long
_BEGIN = 5
_EMPTY = bytes(4096)  # many a page that a process may write to


def found(pid: int, pattern: re.Pattern[bytes], longest: int) -> set[bytes]:
    """Return what of a process's writable memory matches, each match of at most `longest` octets."""
    hits: set[bytes] = set()
    for octets in _parts(pid, longest):
        hits.update(match[0] for match in pattern.finditer(octets))
    return hits


def holds(pid: int, needles: list[bytes]) -> bool:
    """Return True if a process's writable memory has one of these."""
    begins = _by_beginning(needles)
    parts = _parts(pid, max(map(len, needles)))
    return any(True for octets in parts for _ in _within(octets, begins))


def numbers(pid: int, wanted: list[int]) -> set[int]:
    """Return which of these 62-bit numbers a process's writable memory has.

    As the kernel tells them, as C, CPython or MicroPython do.
    """
    needles = {form: number for number in wanted for form in _forms(number)}
    begins = _by_beginning(needles)
    parts = (_without_empty_pages(octets) for octets in _parts(pid, 8))
    return {needles[form] for octets in parts for form in _within(octets, begins)}


def _without_empty_pages(octets: bytes) -> bytes:
    """Return a part of memory with each empty page shortened to a few zeros: what was beside it has zeros beside it."""
    pages = (octets[at : at + len(_EMPTY)] for at in range(0, len(octets), len(_EMPTY)))
    return b"".join(page if page != _EMPTY else _EMPTY[:8] for page in pages)


def _by_beginning(needles: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    begins: dict[bytes, list[bytes]] = {}
    for needle in needles:
        begins.setdefault(needle[:_BEGIN], []).append(needle)
    return begins


def _within(octets: bytes, begins: dict[bytes, list[bytes]]) -> Iterator[bytes]:
    """Yield what of these is in a part of memory."""
    for begin, needles in begins.items():
        if begin in octets:
            yield from (needle for needle in needles if needle in octets)


def _forms(number: int) -> tuple[bytes, ...]:
    digits = struct.pack("<II", number & 0x3FFFFFFF, number >> 30 & 0x3FFFFFFF)
    return struct.pack(">Q", number), struct.pack("<Q", number), struct.pack("<Q", number << 1 | 1), digits


def _parts(pid: int, longest: int) -> Iterator[bytes]:
    """Yield what a process may write to, in parts that overlap by what may match."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *rest = line.split()
            if "w" not in rights or rest[-1].startswith(_UNREADABLE):
                continue
            at, end = (int(part, 16) for part in span.split("-"))
            while at < end:
                memory.seek(at)
                try:
                    octets = memory.read(min(_PART, end - at))
                except OSError:  # a part of a device, or one that went away meanwhile
                    break
                if not octets:
                    break
                yield octets
                at += len(octets) if at + len(octets) >= end else max(len(octets) - longest, 1)
