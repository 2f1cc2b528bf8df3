# SPDX-License-Identifier: Apache-2.0
"""How an `attribution` record is packed: who stood behind a public address and port, and when (L34-1 III, L34-III-2).

Two kinds. A *holding* says that a terminal had a block of ports (or a whole IPv6 address) from `start` on, whatever it
did with them: one row a lease and day instead of one a connection (RFC 7422). It is written when it begins, without an
end, and once more when it is over, with the same start. A *connection* is recorded where no block covers it. A *mark*
is a holding of no address and no port: from its start to its end the recorder heard and kept every connection. One
whose clock wasn't confirmed takes back what others say of its time: the clock was set back, and showed it twice. With
the port 1 it denies all that the store has of its time: the time service has told since that the clock was wrong then,
or is now. Each record stands alone, so that a request is answered from any part of a store. Fields are those of
`agent.law.ATTRIBUTION_FIELDS`: no destination, no volume.

    octet 0     1: a holding   2: its end isn't known   4: IPv6   8: portal user id   16: the clock wasn't confirmed
                32: the public address is the terminal's own (IPv6 without translation)
    octet       IP protocol (a connection)
    4 octets    start, seconds since the epoch, network order (floor; 0 where a clock was set back to sooner after it)
    varint      seconds to the end (ceiling); absent where it isn't known
    4 or 16     public address; absent where it is the terminal's own
    2 octets    public port, or the block's first one; 2 more: how many less one (a holding)
    4 or 16     the terminal's own address
    6 octets    MAC (zeros: unknown)
    octet, n    length and text of the portal user id
"""

import struct

from agent.purposes.custodian.varint import Cut, Octets, varint

_HOLDING, _OPEN, _IPV6, _USER, _UNCONFIRMED, _OWN = 1, 2, 4, 8, 16, 32
USER_LIMIT = 64  # octets of a portal user id
UNKNOWN_MAC = b"\0\0\0\0\0\0"
_PORTS = 65536


class Record:
    """One record; `end` None: not known when it was written. `first`..`last` are ports, or identifiers of ICMP.

    protocol   IP protocol number, None for a holding: every protocol that has ports or identifiers
    """

    __slots__ = (
        "address",
        "confirmed",
        "end",
        "first",
        "last",
        "mac",
        "portal_user",
        "protocol",
        "public_address",
        "start",
    )

    def __init__(
        self,
        protocol: "int | None",
        public_address: bytes,
        first: int,
        last: int,
        address: bytes,
        mac: bytes,
        start: int,
        end: "int | None",
        portal_user: bytes = b"",
        *,
        confirmed: bool = True,
    ) -> None:
        self.protocol = protocol
        self.public_address = public_address
        self.first = first
        self.last = last
        self.address = address
        self.mac = mac
        self.start = start
        self.end = end
        self.portal_user = portal_user
        self.confirmed = confirmed


def pack(record: Record) -> bytes:
    """Return one record's octets."""
    holding = record.protocol is None
    own = record.public_address == record.address
    flags = (
        _HOLDING * holding
        | _OPEN * (record.end is None)
        | _IPV6 * (len(record.address) == 16)
        | _USER * bool(record.portal_user)
    )
    flags |= _UNCONFIRMED * (not record.confirmed) | _OWN * own
    out = bytes((flags,)) if record.protocol is None else bytes((flags, record.protocol))
    start = max(0, record.start)
    out += struct.pack(">I", start)
    if record.end is not None:
        out += varint(max(0, record.end - start))
    if not own:
        out += record.public_address
    out += struct.pack(">H", record.first)
    if holding:
        out += struct.pack(">H", record.last - record.first)
    out += record.address + record.mac
    if record.portal_user:
        user = record.portal_user[:USER_LIMIT]
        out += bytes((len(user),)) + user
    return out


def unpack(data: bytes) -> Record:
    """Return the record that these octets hold; Cut for anything but one."""
    octets = Octets(data)
    flags = octets.number(1)
    if flags >= 64 or (flags & _OPEN and not flags & _HOLDING):
        raise Cut
    protocol = None if flags & _HOLDING else octets.number(1)
    start = octets.number(4)
    end = None if flags & _OPEN else start + octets.varint()
    size = 16 if flags & _IPV6 else 4
    public = b"" if flags & _OWN else octets.take(size)
    first = octets.number(2)
    last = first + (octets.number(2) if flags & _HOLDING else 0)
    if last >= _PORTS:
        raise Cut
    address, mac = octets.take(size), octets.take(6)
    user = octets.take(octets.number(1)) if flags & _USER else b""
    octets.end()
    return Record(
        protocol, public or address, first, last, address, mac, start, end, user, confirmed=not flags & _UNCONFIRMED
    )  # fmt: skip
