# SPDX-License-Identifier: Apache-2.0
"""A connection to the guests' page: its two ends, and the request that comes over it, in bounds (RFC 9112).

What isn't understood, whole and alone, is refused: a request has one line, one of each
header that matters, and at most one body.
"""

import struct

from agent.purposes import words
from agent.purposes.consent.guest_page import LOOKS
from agent.runtime import sockets
from agent.runtime.libc import LIBC, int32

QUEUE = 256  # who may wait to be taken; each turn takes as many as there are places
HEAD, BODY = 4096, 256  # octets of a request
READS = 32  # in how many pieces it may come
_HEADERS = ("host", "origin", "referer", "accept-language", "content-length", "transfer-encoding")
_INET, _INET6 = 2, 10
_IPV6, _V6ONLY = 41, 26  # IPPROTO_IPV6, IPV6_V6ONLY
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address within IPv6 (RFC 4291, 2.5.5.2)


class Request:
    """What is understood of a request; `address` is who asks, `here` the octets of the address that it came in by."""

    def __init__(self, address: str, here: bytes, posted: bool, query: str, headers: "dict[str, str]") -> None:
        self.address = address
        self.here = here
        self.posted = posted
        self.bare = False  # HEAD: an answer without its body (RFC 9110, 9.3.2)
        self.host = headers.get("host", "")
        self.source = headers.get("origin") or headers.get("referer", "")
        self.fields = fields_of(query)
        self.preferred = headers.get("accept-language", "fr")[:2]

    @property
    def looks(self) -> bool:
        """Return True if records are asked for, which may take long."""
        return self.posted and self.fields.get("act") in LOOKS

    @property
    def language(self) -> str:
        """Return the language of the answer."""
        language = self.fields.get("lang") or self.preferred
        return language if language in words.LANGUAGES else "fr"


def listen(port: int) -> int:
    """Listen at a port of every address; returns a non-blocking descriptor."""
    flags = LIBC["SOCK_STREAM"] | LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"]
    family = _INET6
    try:
        descriptor = LIBC.call("socket", family, flags, 0)
        LIBC.call("setsockopt", descriptor, _IPV6, _V6ONLY, int32(0), 4)
    except OSError:  # a kernel without IPv6
        family = _INET
        descriptor = LIBC.call("socket", family, flags, 0)
    LIBC.call("setsockopt", descriptor, LIBC["SOL_SOCKET"], LIBC["SO_REUSEADDR"], int32(1), 4)
    name = struct.pack("H", family) + struct.pack(">H", port) + bytes(24)
    LIBC.call("bind", descriptor, name, 28 if family == _INET6 else 16)
    LIBC.call("listen", descriptor, QUEUE)
    return descriptor


def end(which: str, descriptor: int) -> "tuple[bytes, int]":
    """Return address (4 or 16 octets) and port of an end of a connection: `getpeername`, `getsockname`."""
    name = bytearray(28)
    LIBC.call(which, descriptor, name, bytearray(int32(28)))
    (port,) = struct.unpack_from(">H", name, 2)
    if struct.unpack_from("H", name, 0)[0] == _INET:
        return bytes(name[4:8]), port
    address = bytes(name[8:24])
    return address[12:] if address.startswith(_MAPPED) else address, port


def spelled(octets: bytes) -> str:
    """Return an address written out."""
    if len(octets) == 4:
        return ".".join([str(octet) for octet in octets])
    return ":".join(["%02x%02x" % (octets[at], octets[at + 1]) for at in range(0, 16, 2)])


def fields_of(text: str) -> "dict[str, str]":
    """Return the fields of a form that are understood: letters only, no escapes."""
    found = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name in ("act", "lang", "token", "purpose") and value.isalpha():
            found[name] = value
    return found


def head(octets: bytes, address: str, here: bytes) -> "tuple[Request, int]":
    """Return the request that these first lines begin, and how many octets of a body follow; ValueError."""
    text = octets.decode()
    lines = text.split("\r\n")
    words = lines[0].split(" ")
    if (
        len(text) != len(octets)
        or len(words) != 3
        or words[0] not in ("GET", "HEAD", "POST")
        or not words[2].startswith("HTTP/1.")
    ):
        raise ValueError
    found: "dict[str, str]" = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name in _HEADERS:
            if name in found:  # which of the two would be meant?
                raise ValueError
            found[name] = value.strip()
    size = found.get("content-length", "0")
    path, _, query = words[1].partition("?")
    if path != "/" or "transfer-encoding" in found or not size.isdigit() or len(size) > 3 or int(size) > BODY:
        raise ValueError
    request = Request(address, here, words[0] == "POST", query, found)
    request.bare = words[0] == "HEAD"
    return request, int(size)


class Connection:
    """A connection; `request` is there once its head has come, `whole` with its body; `deadline` in ms since boot."""

    def __init__(self, descriptor: int, number: int, came: int, deadline: int) -> None:
        self.descriptor = descriptor
        self.number = number
        self.came = came
        self.deadline = deadline
        self.address, _ = end("getpeername", descriptor)
        self.here, _ = end("getsockname", descriptor)
        self.inbox = self.outbox = b""
        self.reads = self.size = 0
        self.request: "Request | None" = None
        self.whole = False

    def take(self) -> bool:
        """Read what has come; False where nothing more will.

        OSError: it is gone; ValueError: no request that is understood.
        """
        data = sockets.read_some(self.descriptor, HEAD - len(self.inbox))
        if data is None:
            return True
        self.reads += 1
        self.inbox += data
        if self.request is None:
            first, found, rest = self.inbox.partition(b"\r\n\r\n")
            if found:
                self.request, self.size = head(first, spelled(self.address), self.here)
                self.inbox = rest
        if self.request is not None and len(self.inbox) >= self.size:
            if self.request.posted:
                self.request.fields = fields_of(self.inbox[: self.size].decode())
            self.inbox, self.whole = b"", True
            return True
        if len(self.inbox) >= HEAD or self.reads >= READS:
            raise ValueError
        return len(data) > 0
