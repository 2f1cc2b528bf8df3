# SPDX-License-Identifier: Apache-2.0
"""Connections for a conntrack table, made fast: a batch of requests creates entries, a frame counts in each.

The entries are those of a hotspot behind NAT44: terminals of which few make most of the connections, 65 % IPv4, mostly
TCP and UDP, some ICMP; every sixth port translated. An entry is created by the message that the kernel would have told
of it (host_sim.venue.kernel), made a request. It would have no counters, so one frame in each direction then passes
through it. Same seed, same flows.
"""

import itertools
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from host_sim.venue import kernel
from host_sim.venue.kernel import ICMP, ICMPV6, INET, INET6, TCP, UDP

GATEWAY_4, GATEWAY_6 = "192.168.1.1", "fd00:1::1"
GATEWAY_MAC = bytes.fromhex("06c4ffffffff")
WAN = bytes((203, 0, 113, 2))
_SERVERS_4, _SERVERS_6 = b"\xc6\x12", bytes.fromhex("20010db8000100000000000000")  # 198.18/16; 2001:db8:1::/104
_FIXED_TIMEOUT = 1024  # IPS_FIXED_TIMEOUT: a frame counts, but doesn't make the entry live longer
_CREATE = 0x601  # NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
_TOLD_ONLY = 12  # octets of the last attribute, the event's time, which the kernel tells and doesn't take
BATCH = 100  # requests in one message to the kernel
_PORTS = (443, 443, 443, 53, 53, 80, 123, 993, 3478, 5228)


@dataclass(frozen=True)
class Terminal:
    """One client of the hotspot."""

    mac: bytes
    address4: bytes
    address6: bytes


def terminals(count: int) -> list[Terminal]:
    """Return the terminals: 192.168.1.10 and up, fd00:1::10 and up."""
    return [
        Terminal(
            bytes.fromhex("06c40000") + struct.pack(">H", number),
            bytes((192, 168, 1 + number // 200, 10 + number % 200)),
            bytes.fromhex("fd000001") + bytes(10) + struct.pack(">H", 16 + number),
        )
        for number in range(count)
    ]


def make(count: int, everyone: list[Terminal], seed: int = 1) -> list[kernel.Flow]:
    """Return `count` flows of these terminals whose tuples differ in both directions."""
    draw = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(everyone) + 1)))
    tuples: set[tuple[int, bytes, int, bytes, int]] = set()
    flows: list[kernel.Flow] = []
    while len(flows) < count:
        (terminal,) = draw.choices(everyone, cum_weights=weights)
        flow = _flow(draw, terminal)
        up = (flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port)
        down = (
            flow.protocol,
            flow.reply_source,
            flow.reply_source_port,
            flow.reply_destination,
            flow.reply_destination_port,
        )
        if up not in tuples and down not in tuples:
            tuples |= {up, down}
            flows.append(flow)
    return flows


def _flow(draw: random.Random, terminal: Terminal) -> kernel.Flow:
    (protocol,) = draw.choices((TCP, UDP, ICMP), (60, 35, 5))
    port, status, state = draw.randrange(1024, 65536), kernel.SEEN_REPLY | kernel.CONFIRMED | _FIXED_TIMEOUT, 0
    far_port = draw.choice(_PORTS) if protocol != ICMP else 0
    translated = port
    if draw.random() < 0.65:
        family, source, wan = INET, terminal.address4, WAN
        far = _SERVERS_4 + struct.pack(">H", draw.randrange(1, 65535))
        if draw.random() < 1 / 6:
            translated = draw.randrange(1024, 65536)
    else:
        family, source, wan = INET6, terminal.address6, terminal.address6
        far = _SERVERS_6 + draw.randbytes(3)
        protocol = ICMPV6 if protocol == ICMP else protocol
    if protocol == TCP:
        status |= kernel.ASSURED
        (state,) = draw.choices((kernel.TIME_WAIT, kernel.CLOSE, kernel.ESTABLISHED), (8, 1, 1))
    elif protocol == UDP and draw.random() < 0.5:
        status |= kernel.ASSURED
    echo, answer = (128, 129) if protocol == ICMPV6 else (8, 0)
    return kernel.Flow(
        family=family, protocol=protocol, source=source, destination=far, source_port=port, destination_port=far_port,
        reply_source=far, reply_destination=wan, reply_source_port=far_port, reply_destination_port=translated,
        status=status, start=0, state=state, icmp_type=echo, reply_icmp_type=answer,
        bytes_up=draw.randrange(0, 400), bytes_down=draw.randrange(0, 900),
    )  # fmt: skip


def requests(flows: list[kernel.Flow], lifetime: int, rate: int | None = None) -> list[bytes]:
    """Return messages that create the flows, to time out after `lifetime` s; with `rate`, so many more each second."""
    messages = []
    for number, flow in enumerate(flows):
        flow.timeout = lifetime + (number // rate if rate else 0)
        event = kernel.conntrack("new", flow)
        head = struct.pack("IHH", len(event) - _TOLD_ONLY, 0x100, _CREATE)
        messages.append(head + event[len(head) : -_TOLD_ONLY])
    return [b"".join(messages[at : at + BATCH]) for at in range(0, len(messages), BATCH)]


def frames(flow: kernel.Flow) -> Iterator[bytes]:
    """Yield an Ethernet frame to the gateway in each direction, as the flow's tuples have it."""
    if flow.protocol in (ICMP, ICMPV6):
        up = struct.pack(">BBHHH", flow.icmp_type, 0, 0, flow.source_port, 1)
        down = struct.pack(">BBHHH", flow.reply_icmp_type, 0, 0, flow.reply_destination_port, 1)
    else:
        rest = struct.pack(">IIBBHHH", 1, 1, 0x50, 0x10, 8192, 0, 0) if flow.protocol == TCP else b""
        up = struct.pack(">HH", flow.source_port, flow.destination_port) + rest
        down = struct.pack(">HH", flow.reply_source_port, flow.reply_destination_port) + rest
        if flow.protocol == UDP:
            up += struct.pack(">HH", 8 + flow.bytes_up, 0)
            down += struct.pack(">HH", 8 + flow.bytes_down, 0)
    yield _frame(flow, flow.source, flow.destination, up + bytes(flow.bytes_up))
    yield _frame(flow, flow.reply_source, flow.reply_destination, down + bytes(flow.bytes_down))


def _frame(flow: kernel.Flow, source: bytes, destination: bytes, content: bytes) -> bytes:
    if flow.family == INET6:
        head = struct.pack(">IHBB", 6 << 28, len(content), flow.protocol, 64) + source + destination
        return GATEWAY_MAC + bytes(6) + b"\x86\xdd" + head + content
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0x4000, 64, flow.protocol, 0) + source + destination
    total = sum(struct.unpack(">10H", head))
    total = (total >> 16) + (total & 0xFFFF)
    total = (total >> 16) + (total & 0xFFFF)
    return GATEWAY_MAC + bytes(6) + b"\x08\x00" + head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + content
