# SPDX-License-Identifier: Apache-2.0
"""A record that was read back, as the packer takes it: a connection and its terminal (agent.vault.ring, L34-VI-5)."""

from agent.capture.connections import INET, INET6
from agent.summary import services
from agent.vault.record import MAC, UNIT


class Copied:
    """The connection of one record after the other, by `take`; one object serves for a whole segment. Times in ns."""

    def __init__(self) -> None:
        self.family = self.protocol = self.start = self.end = 0
        self.source_port = self.translated_port = self.destination_port = 0
        self.packets_up = self.packets_down = self.bytes_up = self.bytes_down = 0
        self.word0 = self.word1 = self.word2 = self.word3 = 0

    def take(self, record: "Record") -> None:
        """Take a record's values."""
        for name in (
            "protocol",
            "source_port",
            "translated_port",
            "packets_up",
            "packets_down",
            "bytes_up",
            "bytes_down",
        ):
            setattr(self, name, getattr(record, name))
        self.destination_port = _port_of(record.protocol, record.service)
        self.start = record.start * UNIT
        self.end = self.start + record.duration * UNIT
        address = record.address
        self.family = INET if len(address) == 4 else INET6
        octets = bytes(16 - len(address)) + address
        self.word0, self.word1, self.word2, self.word3 = [
            int.from_bytes(octets[at : at + 4], "big") for at in (0, 4, 8, 12)
        ]


class Owner:
    """The terminal of one record after the other, by `take`."""

    def __init__(self) -> None:
        self._keys: "dict[bytes, int]" = {}  # of MAC and address, for as long as the segment lasts
        self._mac = bytes(MAC)
        self.key = 0

    def take(self, record: "Record") -> "Owner | None":
        """Return this object as a record's terminal, None where that is unknown."""
        self._mac = record.mac
        whose = record.mac + record.address
        if whose not in self._keys:
            self._keys[whose] = len(self._keys) + 1
        self.key = self._keys[whose]
        return self if record.mac != bytes(MAC) else None

    def mac(self) -> bytes:
        """Return the MAC."""
        return self._mac

    def octet(self, number: int) -> int:
        """Return one of the MAC's 6 octets."""
        return self._mac[number]


def _port_of(protocol: int, service: int) -> int:
    """Return a destination port of a service class, 0 where it needs none: a record has the class alone (L34-VI-1)."""
    ports = services.PORTS.get(protocol, {})
    for port in ports:
        if ports[port] == service:
            return port
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.vault.record import Record
