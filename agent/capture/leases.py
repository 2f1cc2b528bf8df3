# SPDX-License-Identifier: Apache-2.0
"""DHCP leases: a second word on who holds an address, for terminals that the neighbour table doesn't have (L34-I-2).

The files of dnsmasq and odhcpd, told apart line by line. They are read when they have changed and when their first
lease runs out. A call of the control socket (`oubli leases`, from hotplug) reads them at once, and no address travels
with it. What a guest writes into them, names and identifiers, is neither kept nor logged. A line that says nothing
clear is passed over. Formats:

    EXPIRY MAC ADDRESS NAME CLIENT-ID                                     dnsmasq; EXPIRY 0: without end
    # INTERFACE MAC ipv4 NAME EXPIRY ASSIGNED LENGTH ADDRESS/LENGTH ...   odhcpd; EXPIRY -1: without end; plain hex

A lease of DHCPv6 is passed over. It names its client by a DUID, which the client chooses itself: one that is made of a
MAC may name another terminal's. RFC 8415, 11 lets nobody read it ("opaque").
"""

import os

from agent.runtime import files, sockets

LIMIT = 262144  # octets of a file that are read, some 2,500 leases
LINE = 1024  # octets; a longer one is passed over
_SECOND = 1000000000
_UNSETTLED = 2  # seconds after its last change in which a file may change again without a new time


class Leases:
    """The leases in the files at `paths`; each is told to `lease(address, mac)`, after `begin()`."""

    def __init__(
        self, paths: "Sequence[str]", begin: "Callable[[], None]", lease: "Callable[[bytes, bytes], object]"
    ) -> None:
        self.paths = paths
        self._begin = begin
        self._lease = lease
        self._seen: "object" = None
        self._next = 0

    def refresh(self, now: int, cause: "object" = None) -> bool:
        """Read the files where they or `cause` have changed, or a lease has run out; `now` is wall ns."""
        seconds = now // _SECOND
        stamps = [stamp(path) for path in self.paths]
        seen = (self.paths, stamps, cause)
        if seen == self._seen and (not self._next or seconds < self._next):
            return False
        settled = all(one is None or abs(seconds - one[0]) > _UNSETTLED for one in stamps)
        self._seen = seen if settled else None
        self._next = 0
        self._begin()
        for path in self.paths:
            for line in _lines(path):
                self._take(line, seconds)
        return True

    def _take(self, line: bytes, now: int) -> None:
        words = line.split()
        try:
            expiry, mac, addresses = (_odhcpd if words[:1] == [b"#"] else _dnsmasq)(words)
        except (ValueError, IndexError):
            return
        if expiry > 0:
            if expiry <= now:
                return
            self._next = min(self._next or expiry, expiry)
        for word in addresses:
            address = sockets.packed(word)
            if address:
                self._lease(address, mac)


def stamp(path: str) -> "tuple[int, int, int] | None":
    """Return a file's time of change, size and number; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return int(status[8]), status[6], status[1]


def _lines(path: str) -> "Iterator[bytes]":
    """Yield the lines among the first LIMIT octets; not the last where it has no end: it is still being written."""
    rest, passing = b"", False
    for part in files.read_chunks(path, LIMIT):
        parts = (rest + part).split(b"\n")
        rest = parts.pop()
        for line in parts:
            if not passing and len(line) <= LINE:
                yield line
            passing = False
        if len(rest) > LINE:
            rest, passing = b"", True


def _dnsmasq(words: "list[bytes]") -> "tuple[int, bytes, list[bytes]]":
    return _number(words[0]), _checked(_octets(words[1], b":")), [words[2]]


def _odhcpd(words: "list[bytes]") -> "tuple[int, bytes, list[bytes]]":
    # Read from the end: a name may hold anything, spaces too.
    at = len(words)
    while b"/" in words[at - 1]:
        at -= 1
    if at < 8 or words[3] != b"ipv4":
        raise ValueError
    addresses = [word[:-3] for word in words[at:] if word.endswith(b"/32")]
    expiry = words[at - 3]
    return 0 if expiry == b"-1" else _number(expiry) or 1, _checked(_octets(words[2], b"")), addresses


def _number(word: bytes) -> int:
    if not word.isdigit() or len(word) > 12:
        raise ValueError
    return int(word)


def _octets(word: bytes, between: bytes) -> bytes:
    """Return the octets of hexadecimal digits, two an octet."""
    parts = word.split(between) if between else [word[at : at + 2] for at in range(0, len(word), 2)]
    if any(len(part) != 2 or any(digit not in b"0123456789abcdefABCDEF" for digit in part) for part in parts):
        raise ValueError
    return bytes([int(part, 16) for part in parts])


def _checked(mac: bytes) -> bytes:
    if len(mac) != 6 or mac == bytes(6) or mac[0] & 1:
        raise ValueError
    return mac


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, Sequence
