# SPDX-License-Identifier: Apache-2.0
"""How a `billing` record is packed: one session of a terminal, its time and volume (L34-1 IV, 1st par., L34-IV-2).

Fields are those of `agent.law.BILLING_FIELDS`. The portal user id stands in for the MAC where there is one; never both.

    octet 0     1: portal user id (else MAC)   2: the clock wasn't confirmed
    4 octets    start, seconds since the epoch, network order
    varint x 3  seconds to the end; bytes up, bytes down
    6 octets    MAC, or octet and text of the portal user id
"""

import struct

from agent.purposes.custodian.varint import Cut, Octets, varint

_USER, _UNCONFIRMED = 1, 2


class Record:
    """One session; `portal_user` b"" where the MAC says who, `mac` b"" where the portal user id does."""

    __slots__ = ("bytes_down", "bytes_up", "confirmed", "end", "mac", "portal_user", "start")

    def __init__(
        self,
        portal_user: bytes,
        mac: bytes,
        start: int,
        end: int,
        bytes_up: int,
        bytes_down: int,
        *,
        confirmed: bool = True,
    ) -> None:
        self.portal_user = portal_user
        self.mac = mac
        self.start = start
        self.end = end
        self.bytes_up = bytes_up
        self.bytes_down = bytes_down
        self.confirmed = confirmed


def pack(record: Record) -> bytes:
    """Return one record's octets."""
    flags = _USER * bool(record.portal_user) | _UNCONFIRMED * (not record.confirmed)
    out = bytes((flags,)) + struct.pack(">I", record.start) + varint(max(0, record.end - record.start))
    out += varint(record.bytes_up) + varint(record.bytes_down)
    if record.portal_user:
        return out + bytes((len(record.portal_user),)) + record.portal_user
    return out + record.mac


def unpack(data: bytes) -> Record:
    """Return the record that these octets hold; Cut for anything but one."""
    octets = Octets(data)
    flags = octets.number(1)
    if flags >= 4:
        raise Cut
    start = octets.number(4)
    end = start + octets.varint()
    up, down = octets.varint(), octets.varint()
    user = octets.take(octets.number(1)) if flags & _USER else b""
    mac = b"" if flags & _USER else octets.take(6)
    octets.end()
    return Record(user, mac, start, end, up, down, confirmed=not flags & _UNCONFIRMED)
