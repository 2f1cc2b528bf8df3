# SPDX-License-Identifier: Apache-2.0
"""The gateway's access points on the stage: what ubusd and hostapd's object say to a recorder that listens (L34-V-1).

The octets are those that `host_sim.venue.hostapd` sends, and signal strength is among them; here they are handed over
without a socket, at virtual times. Runs on MicroPython too.
"""

import struct

from agent.purposes.location import ubus

NAMES = ("", "wlan0", "wlan1", "wlan2", "wlan3")  # by their numbers; 0 is none
_SIGNAL = 0xFFFFFFC4  # -60 dBm: what must never be read
_TABLE, _STRING, _INT32, _INT8 = 2, 3, 5, 7
_FIRST = 0x1000


def _named(name: str, kind: int, value: bytes) -> bytes:
    head = struct.pack(">H", len(name)) + name.encode() + b"\0"
    octets = head + bytes(-len(head) & 3) + value
    octets = struct.pack(">I", 1 << 31 | kind << 24 | 4 + len(octets)) + octets
    return octets + bytes(-len(octets) & 3)


def _text(name: str, value: str) -> bytes:
    return _named(name, _STRING, value.encode() + b"\0")


def _mac(octets: bytes) -> str:
    return ":".join(["%02x" % octet for octet in octets])


class Radios:
    """Where everybody is, consent or none; a recorder asks for it by `bus`, and is told who comes and goes."""

    def __init__(self) -> None:
        self._there: "dict[bytes, int]" = {}  # MAC -> access point
        self._stations: "Any" = None
        self._wanted: "Any" = None
        self._ears: "dict[int, int]" = {}  # access point -> the recorder's object that is told
        self._connected = False
        self._objects = 2 * _FIRST

    def bus(self, stations: "Any", wanted: "Any") -> "Radios":
        """Connect a recorder's `stations`, while `wanted()` says so; this is its `bus`."""
        self._stations, self._wanted, self._connected, self._ears = stations, wanted, False, {}
        return self

    def ready(self, _descriptor: int, _now: int) -> bool:
        """Say that no descriptor is this one's."""
        return False

    def tick(self, monotonic: int, now: int) -> None:
        """Connect or part; answer what was asked. `now` is the present second."""
        if not self._wanted():
            self.close(now)
        else:
            if not self._connected:
                self._connected = True
                self._say(ubus.HELLO, 0, 1, b"", now)
            self._stations.tick(monotonic)
            self._answer(now)

    def close(self, now: int) -> None:
        """Part."""
        if self._connected:
            self.killed()
            self._stations.stays.finish_all(now)
            self._stations.lost()

    def killed(self) -> None:
        """The recorder is gone without a word."""
        self._connected, self._ears = False, {}

    def move(self, mac: bytes, access_point: int) -> None:
        """Let a terminal be at an access point, 0: at none."""
        if access_point:
            self._there[mac] = access_point
        else:
            self._there.pop(mac, None)

    def tell(self, mac: bytes, former: int, access_point: int, now: int) -> None:
        """Say that it has left an access point for another, 0: none; the new one tells first, as on the air."""
        if access_point:
            heard = _text("address", _mac(mac)) + _named("signal", _INT32, struct.pack(">I", _SIGNAL))
            self._notify(access_point, b"assoc", heard, now)
        if former:
            self._notify(former, b"disassoc", _text("address", _mac(mac)), now)

    def _notify(self, access_point: int, kind: bytes, values: bytes, now: int) -> None:
        if self._connected and access_point in self._ears:
            what = ubus.attribute(ubus.A_NO_REPLY, b"\1") + ubus.word(ubus.A_OBJECT, self._ears[access_point])
            self._say(
                ubus.INVOKE, 7, 0x77, what + ubus.text(ubus.A_METHOD, kind) + ubus.attribute(ubus.A_DATA, values), now
            )

    def _say(self, kind: int, sequence: int, peer: int, attributes: bytes, now: int) -> None:
        octets = bytearray(ubus.message(kind, sequence, peer, attributes))
        self._stations.feed(memoryview(octets), len(octets), now)

    def _answer(self, now: int) -> None:
        """Answer everything that was asked, also what the answers ask."""
        while self._stations.out:
            asked = self._stations.out[:]
            self._stations.out.clear()
            for octets in asked:
                _, kind, sequence, peer, _ = struct.unpack_from(">BBHII", octets, 0)
                status = self._one(kind, sequence, peer, memoryview(octets), now)
                self._say(ubus.STATUS, sequence, peer, ubus.word(ubus.A_STATUS, status), now)

    def _one(self, kind: int, sequence: int, peer: int, octets: memoryview, now: int) -> int:
        def word(which: int) -> int:
            return ubus.number(octets, *ubus.find(octets, ubus.HEADER, len(octets), which))

        if kind == ubus.LOOKUP:
            for access_point in range(1, len(NAMES)):
                name = ubus.text(ubus.A_PATH, b"hostapd." + NAMES[access_point].encode())
                self._say(ubus.DATA, sequence, peer, name + ubus.word(ubus.A_OBJECT, _FIRST + access_point), now)
        elif kind == ubus.ADD_OBJECT:
            self._objects += 1
            self._say(ubus.DATA, sequence, peer, ubus.word(ubus.A_OBJECT, self._objects), now)
        elif kind == ubus.SUBSCRIBE:
            self._ears[word(ubus.A_TARGET) - _FIRST] = word(ubus.A_OBJECT)
        elif kind == ubus.INVOKE:
            self._clients(sequence, peer, now)
        return 0

    def _clients(self, sequence: int, radio: int, now: int) -> None:
        """Say who is at an access point."""
        macs = [mac for mac in sorted(self._there) if self._there[mac] + _FIRST == radio]
        flags = _named("assoc", _INT8, b"\1") + _named("signal", _INT32, struct.pack(">I", _SIGNAL))
        clients = b"".join([_named(_mac(mac), _TABLE, flags) for mac in macs])
        told = ubus.attribute(ubus.A_DATA, _named("clients", _TABLE, clients))
        self._say(ubus.DATA, sequence, radio, ubus.word(ubus.A_OBJECT, radio) + told, now)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
