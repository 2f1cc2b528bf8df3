# SPDX-License-Identifier: Apache-2.0
"""A network between a client and a broker that can be made as bad as wanted, to the byte.

`plan` says what happens to the next connection; without one, and after it, bytes pass as they are.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Plan:
    """After `after` bytes in one direction: "fin", "reset", "silence" (kept open) or "repeat" (the last bytes again).

    `pace`: seconds for each byte, both ways; 0 for none.
    """

    direction: Direction = "up"
    after: int = 1 << 40
    act: Literal["fin", "reset", "silence", "repeat"] = "fin"
    pace: float = 0.0


class Proxy:
    """Listens on `port` of the loopback and passes each connection on to another port there."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.plans: deque[Plan] = deque()
        self.connections = 0
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}  # bytes of the newest connection
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        self._accepting.join()
        for thread in self._threads:
            thread.join()

    def drop(self) -> None:
        """Reset every connection now."""
        for end in list(self._open):
            _reset(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            plan = self.plans.popleft() if self.plans else Plan()
            thread = threading.Thread(target=self._serve, args=(client, plan))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, plan: Plan) -> None:
        try:
            broker = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            _reset(client)
            return
        ends = {client: ("up", broker), broker: ("down", client)}
        self._open |= set(ends)
        passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.passed = passed
        silent = False
        try:
            while True:
                for end in select.select(list(ends), [], [], 10)[0]:
                    direction, other = ends[end]
                    data = end.recv(1 if plan.pace else 65536)
                    if not data:
                        return
                    if silent:
                        continue
                    time.sleep(plan.pace)
                    here: Direction = "up" if direction == "up" else "down"
                    room = plan.after - passed[here] if here == plan.direction else len(data)
                    other.sendall(data[:room])
                    passed[here] += min(len(data), room)
                    if len(data) >= room and here == plan.direction:
                        if plan.act == "repeat":
                            other.sendall(data[:room] + data)
                        elif plan.act == "silence":
                            silent = True
                        elif plan.act == "reset":
                            _reset(client)
                            return
                        else:
                            return
        except (OSError, ValueError):
            return
        finally:
            for end in ends:
                self._open.discard(end)
                end.close()


def _reset(end: socket.socket) -> None:
    """Close with RST: what wasn't delivered is thrown away."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
