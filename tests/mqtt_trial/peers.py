# SPDX-License-Identifier: Apache-2.0
"""A broker's misbehaviour, byte by byte: a peer on a free loopback port plays one script on each connection."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

ACCEPT = b"\x20\x02\x00\x00"  # CONNACK: session present no, return code 0
PINGRESP = b"\xd0\x00"


class Gone(Exception):  # noqa: N818 - an event, not an error
    """The client closed the connection."""


class Connection:
    """One accepted connection, with everything the client has sent on it."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.packets: list[bytes] = []

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            if not more:
                raise Gone
            data += more
        return data

    def packet(self) -> bytes:
        """The client's next packet: its first byte and what follows the remaining length."""
        first = self._exactly(1)
        size = shift = 0
        while True:
            digit = self._exactly(1)[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                break
        packet = first + self._exactly(size)
        self.packets.append(packet)
        return packet

    def until(self, kind: int) -> bytes:
        """Answer pings, until a packet of this kind comes."""
        while True:
            packet = self.packet()
            if packet[0] & 0xF0 == kind:
                return packet
            if packet[0] & 0xF0 == 0xC0:
                self.send(PINGRESP)

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        self.stream.sendall(data)

    def greet(self) -> None:
        """CONNECT and CONNACK."""
        self.until(0x10)
        self.send(ACCEPT)

    def message(self) -> tuple[int, bytes]:
        """The next PUBLISH: its packet id and payload."""
        packet = self.until(0x30)
        topic = struct.unpack_from("!H", packet, 1)[0]
        return struct.unpack_from("!H", packet, 3 + topic)[0], packet[5 + topic :]

    def acknowledge(self, identifier: int) -> None:
        """PUBACK."""
        self.send(struct.pack("!BBH", 0x40, 2, identifier))

    def reset(self) -> None:
        """End with RST instead of FIN."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()

    def stay(self) -> None:
        """Read nothing, say nothing, keep the connection, until the peer is closed."""
        while self.stream.fileno() >= 0:
            time.sleep(0.02)


class Peer:
    """Listens and plays; `connections` keeps what came. A context manager that ends all its threads."""

    def __init__(
        self, script: Callable[[Connection], None], context: ssl.SSLContext | None = None, small: bool = False
    ) -> None:
        self._script = script
        self._context = context
        self.connections: list[Connection] = []
        self.errors: list[str] = []
        self._streams: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        if small:  # a receive window that a large message overflows
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "Peer":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()
        for connection in self.connections:
            connection.stream.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            self._streams.append(stream)
            self._start(self._play, stream)

    def _play(self, stream: socket.socket) -> None:
        try:
            if self._context:
                stream = self._context.wrap_socket(stream, server_side=True)
            connection = Connection(stream)
            self.connections.append(connection)
            self._script(connection)
        except (Gone, OSError) as error:
            self.errors.append(type(error).__name__)
        finally:
            stream.close()
