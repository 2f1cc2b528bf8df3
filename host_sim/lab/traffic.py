# SPDX-License-Identifier: Apache-2.0
"""Real traffic between the lab's namespaces: what the internet answers, and what each terminal does.

Run inside a namespace (`python traffic.py internet` or `... terminal`, a plan as JSON on standard input). Beside plain
conversations it has the endings that connection tracking treats differently. They are closed by either side, reset,
refused, half-closed, or a SYN into silence. A phone walks away: its socket vanishes without a FIN, by TCP_REPAIR.
Datagrams have no answer, or are long enough apart to become a stream. Every byte sent starts with a canary, which must
never be found anywhere afterwards (L34-VI-1). A terminal prints, as JSON, when each connection truly began and ended: a
second witness beside the kernel's.
"""

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

TCP_PORTS = (80, 443, 8080)
UDP_PORTS = (53, 443, 5000)
SILENT_PORT, REFUSED_PORT = 9, 81
TCP_REPAIR = 19
FOREVER = 3600.0  # seconds: longer than any lab
PATIENCE = 60.0  # seconds a terminal waits for an answer
AGAIN = 2.0  # seconds after which it asks again: less than any timeout of the lab, so that both are one connection


async def _conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one TCP connection: a line `up down closer` a round, `up` bytes in, `down` bytes out."""
    try:
        while line := await reader.readline():
            up, down, closer = line.split()[:3]
            await reader.readexactly(int(up))
            writer.write(b"." * int(down))
            await writer.drain()
            if closer == b"server":
                break
            if closer == b"forget":
                await asyncio.sleep(FOREVER)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    """Answer a datagram with as many bytes as its first word says; 0 is no answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        """Answer, from the address that was asked."""
        size = int(data.split(b" ", 1)[0])
        if size:
            self.transport.sendto(b"." * size, addr)


async def _internet(addresses: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for address in addresses:
        for port in TCP_PORTS:
            await asyncio.start_server(_conversation, address, port, backlog=1024)
        for port in UDP_PORTS:
            await loop.create_datagram_endpoint(_Datagrams, local_addr=(address, port))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.sleep(FOREVER)


def _family(act: dict) -> int:
    return socket.AF_INET6 if ":" in act["target"] else socket.AF_INET


def _socket(act: dict, kind: int) -> socket.socket:
    made = socket.socket(_family(act), kind)
    made.settimeout(PATIENCE)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", act["source_port"]))
    return made


def _tcp(act: dict, canary: bytes) -> None:
    """Carry one TCP connection."""
    way, payload = act["way"], canary.ljust(act["up"], b"u")
    with _socket(act, socket.SOCK_STREAM) as made:
        if way == "silence":
            made.settimeout(0.3)
        try:
            made.connect((act["target"], act["port"]))
        except (ConnectionRefusedError, TimeoutError):
            if way not in ("refused", "silence"):
                raise
            return
        closer = {"server": "server", "vanish": "forget", "half": "forget"}.get(way, "client")
        for round_ in range(2 if way == "slow" else 1):
            if round_:
                time.sleep(act["pause"])
            made.sendall(f"{len(payload)} {act['down']} {closer}\n".encode() + payload)
            got = 0
            while got < act["down"]:
                got += len(made.recv(65536))
        if way in ("client", "slow"):
            made.shutdown(socket.SHUT_WR)
        if way in ("client", "slow", "server"):
            made.recv(1)  # the other side has closed: no packet comes later but the last acknowledgement
        elif way == "reset":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == "half":
            made.shutdown(socket.SHUT_WR)
            time.sleep(0.2)
        if way in ("vanish", "half"):
            made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)


def _ask(made: socket.socket, ask: Callable[[], object], answers: Callable[[bytes], bool]) -> None:
    """Ask, and again from time to time, until something comes that answers.

    Of two first packets that are given the same translated port at the same moment the kernel drops one
    (`insert_failed`). Only TCP sends its own again.
    """
    made.settimeout(AGAIN)
    until, again = time.monotonic() + PATIENCE, 0.0
    while time.monotonic() < until:
        if time.monotonic() >= again:
            ask()
            again = time.monotonic() + AGAIN
        try:
            if answers(made.recv(65536)):
                return
        except TimeoutError:
            continue
    raise TimeoutError("no answer")


def _udp(act: dict, canary: bytes) -> None:
    """Carry one exchange of datagrams."""
    down = 0 if act["way"] == "unanswered" else act["down"]
    with _socket(act, socket.SOCK_DGRAM) as made:
        made.connect((act["target"], act["port"]))
        for round_ in range(act["rounds"]):
            if round_:
                time.sleep(act["pause"])
            data = f"{down} ".encode() + canary.ljust(act["up"], b"u")
            if down:
                _ask(made, partial(made.send, data), bool)
            else:
                made.send(data)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _icmp(act: dict, canary: bytes) -> None:
    """Send echo requests under one identifier and wait for each reply."""
    four = _family(act) == socket.AF_INET
    request, reply = (8, 0) if four else (128, 129)
    identifier = act["source_port"]
    payload = canary.ljust(act["up"], b"u")
    payload += b"u" * (len(payload) % 2)
    kind = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
    with socket.socket(_family(act), socket.SOCK_RAW, kind) as made:
        for sequence in range(act["rounds"]):
            head = struct.pack("!BBHHH", request, 0, 0, identifier, sequence)
            if four:  # the kernel fills ICMPv6's in
                head = struct.pack("!BBHHH", request, 0, _checksum(head + payload), identifier, sequence)
            wanted = (identifier, sequence)

            def answers(data: bytes, wanted: tuple[int, int] = wanted) -> bool:
                data = data[20 if four else 0 :]
                return data[0] == reply and struct.unpack_from("!HH", data, 4) == wanted

            _ask(made, partial(made.sendto, head + payload, (act["target"], 0)), answers)


def _carry(act: dict, canary: bytes) -> dict:
    """Carry one act of the plan out, and say when it began and ended (ns since the epoch)."""
    begun = time.time_ns()
    {"tcp": _tcp, "udp": _udp, "icmp": _icmp}[act["protocol"]](act, canary)
    return act | {"begun": begun, "ended": time.time_ns()}


def main() -> int:
    """Play one part: `internet` serves until it is ended, `terminal` plays its plan and prints what it did."""
    part = json.load(sys.stdin)
    if sys.argv[1] == "internet":
        asyncio.run(_internet(part["addresses"]))
    canary = part["canary"].encode()
    slow = [act for act in part["acts"] if act["pause"]]
    quick = [act for act in part["acts"] if not act["pause"]]
    with ThreadPoolExecutor(24) as one_pool, ThreadPoolExecutor(4) as other_pool:
        lasting = [one_pool.submit(_carry, act, canary) for act in slow]
        brief = [other_pool.submit(_carry, act, canary) for act in quick]
        done = [future.result() for future in (*lasting, *brief)]
    json.dump(done, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
