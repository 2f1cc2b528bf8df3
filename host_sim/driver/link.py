# SPDX-License-Identifier: Apache-2.0
"""The way from the gateway to the broker, as a relay on loopback that can be cut and that can be slow.

The broker and whoever listens to it stay up. The forwarder meets a connection that is refused or ends in the middle, as
on a device whose uplink is gone. What is under way arrives so long after it was sent, in its order; a way that is cut
loses it.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque

_READ = 65536
_LOOK = 0.2  # seconds between two looks whether it has been closed


class Link:
    """A relay to `port` of `host`; `port` of the relay is `self.port`. `latency` in real seconds, each way."""

    def __init__(self, port: int, latency: float = 0.0, host: str = "127.0.0.1") -> None:
        self._target, self._latency = (host, port), latency
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._up = True
        self._pairs: dict[socket.socket, socket.socket] = {}
        # When it arrives, from whom; nothing: the end
        self._under_way: deque[tuple[float, socket.socket, bytes]] = deque()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="link", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def set(self, *, up: bool) -> None:
        """Cut it, or let it carry again."""
        with self._lock:
            if self._up and not up:
                for one in list(self._pairs):
                    self._drop(one)
            self._up = up

    def _serve(self) -> None:
        while not self._closed:
            wait = self._under_way[0][0] - time.monotonic() if self._under_way else _LOOK
            for key, _ in self._selector.select(max(0.0, min(wait, _LOOK))):
                with self._lock, contextlib.suppress(OSError):  # one connection's end is not the relay's
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs:
                        self._read(key.fileobj)
            with self._lock:
                while self._under_way and self._under_way[0][0] <= time.monotonic():
                    self._deliver(*self._under_way.popleft()[1:])

    def _accept(self) -> None:
        one, _ = self._listener.accept()
        if not self._up:
            one.close()
            return
        try:
            other = socket.create_connection(self._target, 5)
        except OSError:
            one.close()
            return
        for this, that in ((one, other), (other, one)):
            this.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[this] = that
            self._selector.register(this, selectors.EVENT_READ)

    def _read(self, one: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = one.recv(_READ)
        if not data:
            self._selector.unregister(one)  # it would be readable for ever
        self._under_way.append((time.monotonic() + self._latency, one, data))

    def _deliver(self, one: socket.socket, data: bytes) -> None:
        other = self._pairs.get(one)
        if other is None:
            return  # cut meanwhile
        with contextlib.suppress(OSError):
            if data:
                other.sendall(data)
                return
        self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        for end in (one, other):
            if end is not None:
                self._pairs.pop(end, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._thread.join()
        for one in list(self._pairs):
            self._drop(one)
        self._selector.close()
        self._listener.close()
