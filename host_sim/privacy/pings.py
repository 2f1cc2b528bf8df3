# SPDX-License-Identifier: Apache-2.0
"""PINGREQ of both clients in virtual time, and who learns from its moments whether the processor was busy (ANON-4).

The clients are the real ones; clock, poll and socket are not. A poll that waits wakes late, as a processor does that
has other work: by `IDLE` on average, or by `BUSY` while terminals keep it so. The broker answers at once and notes each
ping's moment, to the nanosecond. The attacker gets blocks of moments, as an operator of a broker has them.
"""

import itertools
import json
import os
import select
import socket
import sys
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, Literal
from unittest import mock

from paho.mqtt import client as paho

from agent.forwarder import mqtt_paho, mqtt_small
from host_sim.privacy import attack

IDLE, BUSY = 50_000, 350_000  # ns by which a wait ends late, on average
KEEPALIVE = 8  # seconds: short, so that a block takes few turns
BLOCK = 15  # pings
BEGINS = 10**15  # ns since boot
_MS, _SECOND = 1_000_000, 1_000_000_000
Kind = Literal["paho", "small"]


class Line:
    """The clock, the poll and the socket of one connection; `pings` are the moments at which a ping went out, ns."""

    def __init__(self, late: int, chance: Random) -> None:
        self.time = BEGINS
        self.pings: list[int] = []
        self.inbox = bytearray()
        self.events = 0
        self._late, self._chance = late, chance

    def late(self) -> int:
        """Return by how many ns a wait ends late."""
        return int(self._chance.expovariate(1 / self._late))

    def monotonic(self) -> int:
        """Return ns since boot."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time pass, and a little more."""
        if seconds > 0:
            self.time += int(seconds * _SECOND) + self.late()

    # The poll

    def register(self, _stream: object, events: int) -> None:
        """Watch for these."""
        self.events = events

    def poll(self, milliseconds: float) -> list[tuple[object, int]]:
        """Return at once where there is something to do, else after so long."""
        found = select.POLLIN * bool(self.inbox) | self.events & select.POLLOUT
        if not found and milliseconds > 0:
            self.time += -int(-milliseconds // 1) * _MS + self.late()
        return [(self, found)] if found else []

    # The socket, and the broker behind it

    def send(self, packet: "bytes | memoryview") -> int:
        """Take a packet, and answer it."""
        first = bytes(packet)[0]
        self.time += self.late() // 10  # what the client does takes time too
        if first == 0xC0:
            self.pings.append(self.time)
        self.inbox += {0xC0: b"\xd0\0", 0x10: b"\x20\2\0\0"}.get(first, b"")
        return len(packet)

    def recv(self, size: int) -> bytes:
        """Return what the broker has said."""
        if not self.inbox:
            raise BlockingIOError(11, "")
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data

    def connect(self, _address: object) -> None:
        """Be connected."""

    def setblocking(self, _on: bool) -> None:
        """Never block."""

    def fileno(self) -> int:
        """Have no descriptor."""
        return -1

    def close(self) -> None:
        """Do nothing."""


def play(kind: Kind, late: int, count: int, random: Callable[[int], bytes], chance: Random) -> list[int]:
    """Return the moments of `count` pings of a client that does nothing else, on a processor that is so late."""
    line: Any = Line(late, chance)
    module = mqtt_paho if kind == "paho" else mqtt_small
    clock = SimpleNamespace(monotonic=lambda: line.time / _SECOND, monotonic_ns=line.monotonic, sleep=line.sleep)
    polls = SimpleNamespace(poll=lambda: line, POLLIN=select.POLLIN, POLLOUT=select.POLLOUT)
    address = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 1883))]
    sockets = SimpleNamespace(getaddrinfo=lambda *_: address, socket=lambda *_: line, SOCK_STREAM=socket.SOCK_STREAM)
    with (
        mock.patch.object(module, "time", clock),
        mock.patch.object(module, "select", polls),
        mock.patch.object(module, "socket", sockets),
        mock.patch.object(paho, "time_func", clock.monotonic),
        mock.patch.object(paho.Client, "_create_socket", return_value=line),
    ):
        client = module.Client("broker", 1883, "gateway", "topic", b"lost", keepalive=KEEPALIVE, random=random)
        if isinstance(client, mqtt_small.Client):
            client._clock = line  # noqa: SLF001 (its one clock)
        client.connect()
        while len(line.pings) < count:
            client.idle(1000)
            line.time += 10 * line.late()  # the forwarder looks into its folder
    return list(line.pings[:count])


def blocks(kind: Kind, count: int, random: Callable[[int], bytes], seed: int) -> attack.Advantage:
    """Return how well boosted trees tell busy blocks from idle ones."""
    rows: list[list[float]] = []
    there: list[bool] = []
    for number in range(count):
        for busy in (False, True):
            moments = play(kind, BUSY if busy else IDLE, BLOCK + 1, random, Random(f"{seed} {number} {busy}"))
            spaces = [after - before for before, after in itertools.pairwise(moments)]
            parts = [[space % unit for space in spaces] for unit in (1 << 62, _SECOND, _MS)]
            rows.append([figure for part in parts for figure in (*part, float(sum(part)), min(part), max(part))])
            there.append(busy)
    return attack.learned(rows, there)


def main(seed: int, count: int) -> None:
    """Print as JSON which client's pings tell busy blocks from idle ones, with the advantage."""
    found = {}
    kinds: tuple[Kind, ...] = ("small", "paho")
    for kind in kinds:
        reached = blocks(kind, count, os.urandom, seed)
        if reached.value - reached.band > attack.bound(1):
            found[kind] = round(reached.value, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
