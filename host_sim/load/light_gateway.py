# SPDX-License-Identifier: Apache-2.0
"""A light gateway: one MQTT connection in the hands of a loop, with the packets of the agent's own client.

It differs from the agent's forwarder by having no spool on disk and by never waiting. The octets are the same: the
packets are put together by `agent.forwarder.mqtt_small`. A paho client would take 3.6 kB a gateway, one of these 1 kB.
"""

import contextlib
import socket
import ssl
import struct
from collections import deque
from typing import NamedTuple

from agent.forwarder import mqtt_small as mqtt
from agent.forwarder.broker_connection import LOST
from agent.outbox import jitter, topics

AWAY, REACHING, SHAKING, GREETING, ANNOUNCING, UP, LEAVING = range(7)
WAITING = 200  # messages that one keeps while it is away, a week's; the oldest go first
_NO_PORT_YET = 24  # Linux: IP_BIND_ADDRESS_NO_PORT, a port is taken for one address of the broker's, not for all
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER


class Due(NamedTuple):
    """A message to be sent: what it is (`rhythm`), its slot's end, when it was due (monotonic)."""

    kind: int
    end: int
    moment: float


class Place(NamedTuple):
    """Where a broker is, from which address it is reached (None: any), and by whom."""

    family: int
    address: tuple[str, int]
    source: str | None
    name: str
    username: str | None
    password: str | None


class GoneError(Exception):
    """The connection is over."""


class Gateway:
    """One of them; `phase` says how far its connection is, `sent` what waits for its PUBACK."""

    __slots__ = (
        "asked",
        "backoff",
        "ident",
        "identifier",
        "number",
        "out",
        "phase",
        "place",
        "rest",
        "sent",
        "session",
        "stream",
        "waiting",
    )

    def __init__(self, number: int, ident: str, place: Place, backoff: float) -> None:
        self.number, self.ident, self.place, self.backoff = number, ident, place, backoff
        self.phase, self.identifier, self.session = AWAY, 0, 0
        self.stream: socket.socket | None = None
        self.sent: Due | None = None
        self.waiting: deque[Due] | None = None  # made where there is something: most have none
        self.out = self.rest = b""
        self.asked = False  # a ping is unanswered

    def reach(self) -> socket.socket:
        """Begin to connect; OSError where there is no way to."""
        stream = self.stream = socket.socket(self.place.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.phase, self.session = REACHING, self.session + 1
        if self.place.source:
            stream.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
            stream.bind((self.place.source, 0))
        with contextlib.suppress(BlockingIOError):
            stream.connect(self.place.address)
        return stream

    def reached(self, context: ssl.SSLContext | None) -> None:
        """Go on where TCP stands: by TLS, or with the first packet; GoneError."""
        if self.stream is None or self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise GoneError
        if context is None:
            self._greet()
            return
        self.phase = SHAKING
        self.stream = context.wrap_socket(self.stream, server_hostname=self.place.name, do_handshake_on_connect=False)

    def shake(self) -> bool:
        """Go on with the TLS handshake; return True while it wants to write. OSError, GoneError."""
        try:
            if isinstance(self.stream, ssl.SSLSocket):
                self.stream.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            return True
        self._greet()
        return False

    def _greet(self) -> None:
        flags = mqtt.CLEAN_SESSION | mqtt.WILL_RETAINED_AT_QOS_1
        fields = mqtt.field(self.ident) + mqtt.field(topics.state(self.ident)) + mqtt.field(LOST)
        username, password = self.place.username, self.place.password
        for flag, value in ((mqtt.USERNAME, username), (mqtt.PASSWORD, username and password)):
            if value:
                flags |= flag
                fields += mqtt.field(value)
        head = mqtt.MQTT_3_1_1 + struct.pack("!BH", flags, jitter.KEEPALIVE)
        self.phase = GREETING
        self.write(mqtt.framed(0x10, head + fields))

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send one message; `answers` says when it is acknowledged."""
        self.identifier = self.identifier % 0xFFFF + 1
        body = mqtt.field(topic) + struct.pack("!H", self.identifier) + payload
        self.write(mqtt.framed(0x33 if retain else 0x32, body))

    def write(self, packet: bytes = b"") -> None:
        """Send what there is to send, as much as goes: `out` is the rest. GoneError, OSError."""
        self.out += packet
        if self.stream is None:
            raise GoneError
        with contextlib.suppress(*_LATER):
            self.out = self.out[self.stream.send(self.out) :]

    def answers(self) -> list[int]:
        """Return the kinds of the packets that have come; GoneError at the end and for what no broker says."""
        if self.stream is None:
            raise GoneError
        try:
            data = self.stream.recv(4096)
        except _LATER:
            return []
        if not data:
            raise GoneError
        data, kinds = self.rest + data, []
        while len(data) > 1:
            size = mqtt.SIZES.get(data[0], 0)
            if size != data[1] + 2 or (data[0] == mqtt.CONNACK and data[3:4] not in {b"", b"\0"}):
                raise GoneError
            if len(data) < size:
                break
            if data[0] == mqtt.PUBACK and data[2:4] != struct.pack("!H", self.identifier):
                raise GoneError
            kinds.append(data[0])
            data = data[size:]
        self.rest = data
        return kinds

    def keep(self, due: Due, *, first: bool = False) -> bool:
        """Let a message wait; of health only the newest. Return False where the oldest is given up for it."""
        waiting = self.waiting = self.waiting or deque()
        if not due.end:
            for one in [one for one in waiting if not one.end]:
                waiting.remove(one)
        (waiting.appendleft if first else waiting.append)(due)
        if len(waiting) > WAITING:
            waiting.popleft()
            return False
        return True

    def cut(self) -> None:
        """Let the connection end as where a link goes down: nothing is said, and no port is held."""
        if self.stream is not None:
            with contextlib.suppress(OSError):  # it never stood
                self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.stream.close()
        self.stream, self.phase, self.out, self.rest, self.asked = None, AWAY, b"", b"", False
