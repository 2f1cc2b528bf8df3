# SPDX-License-Identifier: Apache-2.0
"""uvicorn's HTTP connection with bounds on a request's seconds and octets, and an address's connections.

uvicorn counts connections (`limit_concurrency`), and answers 503 beyond; it waits for ever for the rest of a request.
So a few hundred half-sent ones kept everybody out. Django puts a body into a file before it asks who sent it.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WHOLE = 10  # seconds from the connection, or the first octet of another request on it, to the last octet of the request
LARGEST = 5 << 20  # octets of a request; a list of gateways may have four million
EACH = 32  # connections of an address; a browser has six
OWN = {"127.0.0.1", "::1"}  # a proxy or a tunnel on this machine speaks for many


class Connection(H11Protocol):
    """One connection; what is too slow is closed without a word."""

    _timer: asyncio.TimerHandle | None = None
    _octets = 0  # of the request that comes

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (asyncio's)
        """Begin to wait for a request."""
        super().connection_made(transport)
        held = [one.client[0] for one in self.connections if isinstance(one, Connection) and one.client]
        if self.client and self.client[0] not in OWN and held.count(self.client[0]) > EACH:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came; the clock runs until the request is whole."""
        self._wait()
        self._octets += len(data)
        if self._octets > LARGEST:
            self.transport.abort()
            return
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._rest()

    def on_response_complete(self) -> None:
        """Go on; of a request that came with the one before, the rest is waited for too."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is None and self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._rest()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(WHOLE, self.transport.abort)

    def _rest(self) -> None:
        self._octets = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
