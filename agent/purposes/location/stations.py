# SPDX-License-Identifier: Apache-2.0
"""At which access point of this gateway a consenting terminal is, from hostapd's own words on ubus (L34-V-1).

Each radio is an object `hostapd.INTERFACE`. It is subscribed to only while somebody's consent to `location` is active,
or an emergency is open. Of what it then says about anybody, the address alone is looked at, in place. A terminal whose
consent isn't active is dropped there and then. Signal strength, channel and capabilities stand in the same message and
are never read. `get_clients` is asked when a radio is subscribed to, so that who is there already is there from then
on, never from before.

Does no I/O: `feed` takes a message, `out` holds the messages to send.
"""

import struct

from agent.purposes.location import ubus

ARRIVALS = (b"assoc", b"sta-authorized")
DEPARTURES = (b"disassoc", b"deauth", b"local-deauth", b"inactive-deauth")
PERIOD = 30000000000  # ns between two searches for radios
RADIOS = 16
NAME = 15
_PREFIX = b"hostapd."
_ASKED = 64


class Stations:
    """`allowed(mac) -> place` of the consent, -1: no; who is where stands in `stays`.

    `mac` is a buffer of 6 octets that is used again. Times in seconds since the epoch. `sought` is whom an emergency
    looks for, `sighted(access_point)` is told where that terminal is.
    """

    def __init__(self, allowed: "Callable[[bytearray], int]", stays: "Stays") -> None:
        self._allowed = allowed
        self.stays = stays
        self._mac = bytearray(6)
        self.sought: "bytearray | None" = None
        self.sighted: "Callable[[bytes], None]" = _nobody
        self.refused = self.malformed = 0
        self.lost()

    def lost(self) -> None:
        """Forget the bus: it went away, or isn't wanted any more."""
        self.out: "list[bytes]" = []
        self._radios: "dict[int, bytes]" = {}  # objects, to their access points' names
        self._ears: "dict[int, int]" = {}  # own objects, one for each radio: what is told says only to which of them
        self._adding: "dict[int, int]" = {}  # sequence numbers of requests for such an object, to the radio
        self._asked: "dict[int, int]" = {}  # sequence numbers of get_clients, to the radio
        self._greeted = False
        self._sequence = self._next = 0

    # What is said to the bus

    def _send(self, kind: int, peer: int, attributes: bytes) -> int:
        self._sequence = self._sequence % 0xFFFF + 1
        self.out.append(ubus.message(kind, self._sequence, peer, attributes))
        return self._sequence

    def tick(self, monotonic: int) -> None:
        """Look for radios from time to time."""
        if self._greeted and monotonic >= self._next:
            self._next = monotonic + PERIOD
            self._send(ubus.LOOKUP, 0, ubus.text(ubus.A_PATH, _PREFIX + b"*"))

    def ask(self) -> None:
        """Ask every radio who is there now."""
        for radio in self._radios:
            self._clients(radio)

    @property
    def answered(self) -> bool:
        """Return True if the radios are known and every one that was asked has answered."""
        return bool(self._radios) and not self._adding and not self._asked

    @property
    def radios(self) -> int:
        """Return how many access points of this gateway are known."""
        return len(self._radios)

    def _clients(self, radio: int) -> None:
        if len(self._asked) < _ASKED:
            what = (
                ubus.word(ubus.A_OBJECT, radio)
                + ubus.text(ubus.A_METHOD, b"get_clients")
                + ubus.attribute(ubus.A_DATA, b"")
            )
            self._asked[self._send(ubus.INVOKE, radio, what)] = radio

    # What the bus says

    def feed(self, view: "memoryview | bytearray", size: int, now: int) -> None:
        """Take one message of `size` octets at the start of a buffer; `now` is the present second."""
        _, kind, sequence, peer, _ = struct.unpack_from(">BBHII", view, 0)
        if kind == ubus.HELLO:
            self._greeted = True
        elif kind == ubus.DATA:
            self._data(view, size, sequence, now)
        elif kind == ubus.STATUS:
            if self._number(view, size, ubus.A_STATUS):
                self.refused += 1
            self._asked.pop(sequence, None)
            self._adding.pop(sequence, None)
        elif kind == ubus.INVOKE:
            self._told(view, size, sequence, peer, now)
        elif kind == ubus.UNSUBSCRIBE:
            self._lose(self._number(view, size, ubus.A_TARGET), now)

    def _number(self, view: "memoryview | bytearray", size: int, which: int) -> int:
        return ubus.number(view, *ubus.find(view, ubus.HEADER, size, which))

    def _data(self, view: "memoryview | bytearray", size: int, sequence: int, now: int) -> None:
        one = self._number(view, size, ubus.A_OBJECT)
        if sequence in self._adding:
            radio = self._adding.pop(sequence)
            self._ears[one] = radio
            self._send(ubus.SUBSCRIBE, 0, ubus.word(ubus.A_OBJECT, one) + ubus.word(ubus.A_TARGET, radio))
            self._clients(radio)
        elif sequence in self._asked:
            start, end = ubus.find(view, ubus.HEADER, size, ubus.A_DATA)
            self._there(
                view, *ubus.named(view, start, end, b"clients"), self._radios.get(self._asked[sequence], b""), now
            )
        else:
            start, end = ubus.find(view, ubus.HEADER, size, ubus.A_PATH)
            named = end - start > len(_PREFIX) + 1 and ubus.same(view, start, _PREFIX)
            if named and one not in self._radios and len(self._radios) < RADIOS:
                self._radios[one] = bytes(view[start + len(_PREFIX) : end - 1])[:NAME]
                self._adding[self._send(ubus.ADD_OBJECT, 0, b"")] = one

    def _lose(self, radio: int, now: int) -> None:
        """Take note that a radio's object is gone, its access point with it."""
        name = self._radios.pop(radio, b"")
        for table in (self._ears, self._asked, self._adding):
            for key in [key for key in table if table[key] == radio]:
                del table[key]
        self.stays.finish_at(name, now)
        self._next = 0

    def _told(self, view: "memoryview | bytearray", size: int, sequence: int, peer: int, now: int) -> None:
        """Take what a radio tells its subscribers, and answer where it waits for that with the terminal."""
        ear = self._number(view, size, ubus.A_OBJECT)
        if not self._number(view, size, ubus.A_NO_REPLY):
            answer = ubus.word(ubus.A_STATUS, 0) + ubus.word(ubus.A_OBJECT, ear)
            self.out.append(ubus.message(ubus.STATUS, sequence, peer, answer))
        start, end = ubus.find(view, ubus.HEADER, size, ubus.A_METHOD)
        arrives, departs = _among(view, start, end - 1, ARRIVALS), _among(view, start, end - 1, DEPARTURES)
        if not (arrives or departs) or ear not in self._ears:
            return
        at, end = ubus.find(view, ubus.HEADER, size, ubus.A_DATA)
        at, end = ubus.named(view, at, end, b"address")
        if self._address(view, at, end - 1):
            self._moved(self._radios[self._ears[ear]], arrives, now)

    def _there(self, view: "memoryview | bytearray", start: int, end: int, name: bytes, now: int) -> None:
        """Take a radio's list of who is there.

        Each terminal is a table by its address, and only `assoc` is looked at in it.
        """
        at = start
        for _, value, over in ubus.fields(view, start, end):
            size = view[at + 4] << 8 | view[at + 5] if view[at] & 128 else 0
            if self._address(view, at + 6, at + 6 + size) and ubus.number(
                view, *ubus.named(view, value, over, b"assoc")
            ):
                if self.sought is not None and self.sought == self._mac:
                    self.sighted(name)
                self._moved(name, True, now)
            at += (over - at + 3) & ~3

    def _address(self, view: "memoryview | bytearray", start: int, end: int) -> bool:
        """Read an address written as aa:bb:cc:dd:ee:ff into `_mac`; False where it isn't one."""
        if end - start != 17 or end > len(view):
            return False
        for index in range(6):
            high, low = _digit(view[start + index * 3]), _digit(view[start + index * 3 + 1])
            if high < 0 or low < 0:
                return False
            self._mac[index] = high << 4 | low
        return True

    def _moved(self, name: bytes, arrives: bool, now: int) -> None:
        """Follow the terminal of `_mac`, where its consent allows that."""
        self.stays.move(self._allowed(self._mac), self._mac, name, arrives, now)
        for index in range(6):
            self._mac[index] = 0


def _among(view: "memoryview | bytearray", start: int, end: int, names: "tuple[bytes, ...]") -> bool:
    return any(end - start == len(name) and ubus.same(view, start, name) for name in names)


def _digit(octet: int) -> int:
    """Return the value of a hexadecimal digit, -1 for anything else."""
    if 48 <= octet <= 57:
        return octet - 48
    octet |= 32
    return octet - 87 if 97 <= octet <= 102 else -1


def _nobody(_access_point: bytes) -> None:
    """Stand in for the emergency that isn't open."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.purposes.location.stays import Stays
