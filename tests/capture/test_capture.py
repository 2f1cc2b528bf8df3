# SPDX-License-Identifier: Apache-2.0
"""agent/capture: netlink bytes of real and broken kernels into connections and neighbours, alike everywhere.

A reader of this file's own, which only ever sees slices of what it may read, says what each datagram holds. The agent's
decoders must say the same of recorded datagrams, of mutated ones and of Hypothesis's inventions. They must not be moved
by a single octet that lies behind a datagram in the same buffer.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import struct
import subprocess
import time
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.summary.services import service_of
from host_sim.driver.interpreters import environment
from host_sim.venue import kernel
from tests.runtime.test_runtime import writable_memory
from tests.support.interpreters import PROJECT, Interpreter
from tools.fuzz.mutations import mutated

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parent.parent / "vectors"
MIXED = list(kernel.records((VECTORS / "ctnetlink" / "mixed-873.bin").read_bytes()))
VARIANTS = list(kernel.records((VECTORS / "ctnetlink" / "variants.bin").read_bytes()))
DUMP = list(kernel.records((VECTORS / "ctnetlink" / "dump.bin").read_bytes()))
ATTRIBUTES = list(kernel.records((VECTORS / "ctnetlink" / "attributes.bin").read_bytes()))
NEIGHBOURS = list(kernel.records((VECTORS / "rtnetlink" / "neighbours.bin").read_bytes()))
DESTROY = 0x102
SECOND = 1_000_000_000

DRIVER = """
import struct, sys
from binascii import hexlify
from agent.capture import connections, neighbours, timeouts
from agent.summary.services import service_of

NUMBERS = "family protocol source_port translated_port packets_up bytes_up packets_down bytes_down"
NUMBERS += " start stop state status"
times = timeouts.Timeouts({}.get)
tails = [b"", bytes(64), bytes((255,)) * 64, struct.pack("HHI", 8, 1, 9) * 8]
state = []

class Listener(neighbours.Listener):
    def neighbour(self, index, address, mac, quiet):
        state.append(hexlify(address).decode() + " " + hexlify(mac).decode() + (" quiet" if quiet else ""))

def connection(c):
    numbers = [str(getattr(c, name)) for name in NUMBERS.split() + ["remaining"]]
    numbers.insert(4, str(service_of(c.protocol, c.destination_port)))
    source = hexlify(connections.source_of(c)).decode()
    state.append(" ".join(numbers + [source, str(int(c.accounted)), str(times.end(c))]))

def told(buffer, length):
    del state[:]
    c, n = connections.Decoder(), neighbours.Neighbours(Listener())
    c.feed(buffer, length, connection)
    n.feed(buffer, length)
    counts = (c.reader.datagrams, c.connections, c.reader.malformed, n.reader.malformed)
    return "|".join(["%d %d %d %d" % counts] + state)

while True:
    head = sys.stdin.buffer.read(2)
    if not head:
        break
    length = head[0] | head[1] << 8
    datagram = sys.stdin.buffer.read(length)
    answers = set()
    for tail in tails:
        buffer = bytearray(datagram + tail)
        answers.add(told(buffer, length))
        if buffer != datagram + tail:
            answers.add("written to")
    answers.add(told(datagram, length))
    sys.stdout.write("\\n".join(answers) + "\\n")
"""


class BadError(Exception):
    """What this file's reader finds wrong."""


@dataclass
class Told:
    """What a DESTROY says, by this file's reader."""

    family: int
    protocol: int = 0
    source_port: int = 0
    translated_port: int = 0
    service: int = 0
    packets_up: int = 0
    bytes_up: int = 0
    packets_down: int = 0
    bytes_down: int = 0
    start: int = 0
    stop: int = 0
    state: int = 0
    status: int = 0
    remaining: int = 0
    source: bytes = b""
    accounted: bool = False
    destination_port: int = 0
    complete: bool = False

    def line(self) -> str:
        """Return it as the driver prints it."""
        numbers = list(vars(self).values())[:14]
        ran = max(seconds(self) - self.remaining, 0)
        end = max(self.stop - ran * SECOND, self.start)
        return " ".join(map(str, [*numbers, self.source.hex(), int(self.accounted), end]))


# The kernel's time-outs in seconds, nf_conntrack_proto_*.c.
TCP_SECONDS = {1: 120, 2: 60, 3: 432000, 4: 120, 5: 60, 6: 30, 7: 120, 8: 10, 9: 120}
SCTP_SECONDS = {1: 10, 2: 3, 3: 3, 4: 432000, 5: 3, 6: 3, 7: 3, 8: 30}
OTHER_SECONDS = {1: 30, 58: 30, 33: 43200}


def seconds(told: Told) -> int:
    """Return the time-out of the state that a connection ended in."""
    match told.protocol:
        case 6:
            return TCP_SECONDS.get(told.state, 432000)
        case 132:
            return SCTP_SECONDS.get(told.state, 432000)
        case 17 | 136:
            return 120 if told.status & 4 else 30
        case 47:
            return 180 if told.status & 2 else 30
        case other:
            return OTHER_SECONDS.get(other, 600)


def attributes(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number, value); BadError where a length contradicts what is there."""
    while data:
        if len(data) < 4:
            raise BadError
        size, number = struct.unpack_from(order + "HH", data)
        if not 4 <= size <= len(data):
            raise BadError
        yield number & 0x3FFF, data[4:size]
        data = data[-(-size // 4) * 4 :]


def exact(value: bytes, size: int) -> int:
    """Return a number in network order that must have this size."""
    if len(value) != size:
        raise BadError
    return int.from_bytes(value, "big")


def read_tuple(told: Told, value: bytes, order: str) -> None:
    """Read the original tuple; of an attribute that comes twice the last one counts."""
    for number, part in attributes(value, order):
        if number == 1:
            source, destination, width = {2: (1, 2, 4), 10: (3, 4, 16)}[told.family]
            for kind, address in attributes(part, order):
                if kind in (source, destination):
                    exact(address, width)
                if kind == source:
                    told.source = address
        elif number == 2:
            for kind, leaf in attributes(part, order):
                if kind == 1:
                    told.protocol = exact(leaf, 1)
                    told.complete = True
                elif kind == 3:
                    told.destination_port = exact(leaf, 2)
                elif kind in (2, 4, 7):
                    told.source_port = exact(leaf, 2)


def read_reply(told: Told, value: bytes, order: str) -> None:
    """Read the reply tuple's port; its addresses must be whole."""
    for kind, part in attributes(value, order):
        for leaf, octets in attributes(part, order) if kind in (1, 2) else ():
            if kind == 2 and leaf in (3, 4, 7):
                told.translated_port = exact(octets, 2)


COUNTERS = {9: ("packets_up", "bytes_up"), 10: ("packets_down", "bytes_down")}


def read_destroy(data: bytes, order: str) -> Told:
    """Read one DESTROY behind its message header: whole words, as the kernel pads it.

    Counters count where all four are there.
    """
    if len(data) < 4 or len(data) % 4 or data[0] not in (2, 10):
        raise BadError
    told = Told(data[0])
    counters: dict[int, dict[int, int]] = {}
    for number, value in attributes(data[4:], order):
        if number == 1:
            read_tuple(told, value, order)
        elif number == 2:
            read_reply(told, value, order)
        elif number in COUNTERS:
            counters[number] = read_pair(value, order)
        elif number == 20:
            pair = read_pair(value, order)
            told.start, told.stop = pair.get(1, 0), pair.get(2, 0)
        elif number == 4:
            read_state(told, value, order)
        elif number == 3:
            told.status = exact(value, 4)
        elif number == 7:
            told.remaining = exact(value, 4)
    if not told.complete or not told.source:
        raise BadError
    if sum(map(len, counters.values())) == 4:
        told.accounted = True
        for number, pair in counters.items():
            for kind, name in enumerate(COUNTERS[number], 1):
                setattr(told, name, pair[kind])
    told.service = service_of(told.protocol, told.destination_port)
    return told


def read_pair(value: bytes, order: str) -> dict[int, int]:
    """Read the 64-bit attributes 1 and 2."""
    return {kind: exact(octets, 8) for kind, octets in attributes(value, order) if kind in (1, 2)}


def read_state(told: Told, value: bytes, order: str) -> None:
    """Read the TCP (1) or SCTP (3) state of PROTOINFO."""
    for kind, part in attributes(value, order):
        for leaf, octets in attributes(part, order) if kind in (1, 3) else ():
            if leaf == 1:
                told.state = exact(octets, 1)


def read_network(kind: int, data: bytes, order: str) -> None:
    """Read a link (16, 17), an own address (20, 21) or a neighbour that left (29)."""
    if len(data) < {16: 16, 17: 16, 20: 8, 21: 8, 29: 12}[kind]:
        raise BadError
    if kind == 16:
        for number, name in attributes(data[16:], order):
            if number == 3 and not 1 < len(name) <= 16:
                raise BadError
    elif kind in (20, 21, 29):
        list(attributes(data[8 if kind < 29 else 12 :], order))


def read_neighbour(data: bytes, order: str) -> str | None:
    """Read one RTM_NEWNEIGH behind its message header."""
    if len(data) < 12:
        raise BadError
    width = {2: 4, 10: 16}.get(data[0], 0)
    address = mac = b""
    for number, value in attributes(data[12:], order):
        if number == 1 and len(value) == width:
            address = value
        elif number == 2 and len(value) == 6:
            mac = value
    return f"{address.hex()} {mac.hex()}" if address and any(mac) and not mac[0] & 1 else None


def expected(datagram: bytes, order: str = "<") -> str:
    """Return what the driver must print about a datagram."""
    found: dict[int, list[str]] = {DESTROY: [], 28: []}
    bad = {DESTROY: 0, 28: 0}
    data = datagram
    while data:
        size, kind = struct.unpack_from(order + "IH", data) if len(data) >= 16 else (0, 0)
        if not 16 <= size <= len(data):
            bad = {number: count + 1 for number, count in bad.items()}
            break
        try:
            if kind == 2:
                bad_anywhere = size < 20
                bad = {number: count + bad_anywhere for number, count in bad.items()}
            elif kind == DESTROY:
                found[DESTROY].append(read_destroy(data[16:size], order).line())
            elif kind == 28:
                row = read_neighbour(data[16:size], order)
                found[28] += [row] if row else []
            elif kind in (16, 17, 20, 21, 29):
                read_network(kind, data[16:size], order)
        except BadError:
            bad[DESTROY if kind == DESTROY else 28] += 1
        data = data[-(-size // 4) * 4 :]
    counts = f"1 {len(found[DESTROY])} {bad[DESTROY]} {bad[28]}"
    return "|".join([counts, *found[DESTROY], *found[28]])


def framed(datagram: bytes) -> bytes:
    return struct.pack("<H", len(datagram)) + datagram


def order_of(interpreter: Interpreter) -> str:
    return ">" if interpreter.name == "mips" else "<"


def byteorder_of(interpreter: Interpreter) -> Literal["little", "big"]:
    return "big" if interpreter.name == "mips" else "little"


def for_processor(datagram: bytes, interpreter: Interpreter) -> bytes:
    """Return a recorded datagram as a kernel of the interpreter's processor would have written it."""
    return kernel.reencode(datagram) if interpreter.name == "mips" else datagram


def tell(interpreter: Interpreter, datagrams: list[bytes]) -> list[str]:
    """Return what an interpreter says of each datagram, one line each: more lines, more answers to the same octets."""
    done = interpreter.run("-c", DRIVER, input=b"".join(map(framed, datagrams)), timeout=240)
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(datagrams), "an answer depends on what lies behind the datagram"
    return lines


def is_destroy(datagram: bytes) -> bool:
    return struct.unpack_from("<H", datagram, 4)[0] == DESTROY


def test_every_recorded_datagram_is_read_as_this_files_reader_reads_it(any_interpreter: Interpreter) -> None:
    """Events, dump and neighbours: protocols, both families, translation, counters, times; only DESTROY counts."""
    recorded = MIXED + VARIANTS + DUMP + ATTRIBUTES + NEIGHBOURS
    lines = tell(any_interpreter, [for_processor(datagram, any_interpreter) for datagram in recorded])
    assert lines == [expected(datagram) for datagram in recorded]
    assert [line.split("|")[0] for line in lines] == [f"1 {int(is_destroy(datagram))} 0 0" for datagram in recorded]


def flow(**values) -> kernel.Flow:
    """Return a connection of a terminal behind translation, its last packet at 1,000 s, its entry's end at 1,600 s."""
    plain = kernel.Flow(
        family=2,
        protocol=6,
        source=bytes((192, 168, 1, 100)),
        destination=bytes((203, 0, 113, 1)),
        source_port=40000,
        destination_port=443,
        reply_source=bytes((203, 0, 113, 1)),
        reply_destination=bytes((198, 51, 100, 7)),
        reply_source_port=443,
        reply_destination_port=50123,
        status=0x18E,
        start=500 * SECOND,
        stop=500000 * SECOND,
        state=7,
        packets_up=3,
        bytes_up=2**40 + 5,
        packets_down=2**32,
        bytes_down=2**63 + 1,
    )
    return replace(plain, **values)


HERE, THERE = bytes(range(16)), bytes(16)
V6: dict = {"family": 10, "source": HERE, "destination": THERE, "reply_source": THERE, "reply_destination": HERE}
FLOWS: dict[str, tuple[dict, str]] = {
    "TCP": (
        {},
        (
            "2 6 40000 50123 1 3 1099511627781 4294967296 9223372036854775809 {start} {stop} 7 398 0 c0a80164 1 "
            "499880000000000"
        ),
    ),
    "UDP unanswered": (
        {"protocol": 17, "status": 8, "state": 0},
        "2 17 40000 50123 1 {c} {start} {stop} 0 8 0 c0a80164 1 499970000000000",
    ),
    "UDP both ways": (
        {"protocol": 17, "status": 14},
        "2 17 40000 50123 1 {c} {start} {stop} 0 14 0 c0a80164 1 499880000000000",
    ),
    "UDP not yet a stream": (
        {"protocol": 17, "status": 10},
        "2 17 40000 50123 1 {c} {start} {stop} 0 10 0 c0a80164 1 499970000000000",
    ),
    "ICMP": ({"protocol": 1}, "2 1 40000 50123 10 {c} {start} {stop} 0 398 0 c0a80164 1 499970000000000"),
    "ICMPv6": ({"protocol": 58, **V6}, "10 58 40000 50123 10 {c} {start} {stop} 0 398 0 {v6} 1 499970000000000"),
    "GRE": ({"protocol": 47, "status": 8}, "2 47 40000 50123 5 {c} {start} {stop} 0 8 0 c0a80164 1 499970000000000"),
    "GRE both ways": (
        {"protocol": 47, "status": 10},
        "2 47 40000 50123 5 {c} {start} {stop} 0 10 0 c0a80164 1 499820000000000",
    ),
    "ESP": ({"protocol": 50}, "2 50 0 0 5 {c} {start} {stop} 0 398 0 c0a80164 1 499400000000000"),
    "IGMP": ({"protocol": 2}, "2 2 0 0 0 {c} {start} {stop} 0 398 0 c0a80164 1 499400000000000"),
    "SCTP": ({"protocol": 132}, "2 132 0 0 0 {c} {start} {stop} 0 398 0 c0a80164 1 68000000000000"),
    "DCCP": ({"protocol": 33}, "2 33 0 0 0 {c} {start} {stop} 0 398 0 c0a80164 1 456800000000000"),
    "TCP over IPv6": (V6, "10 6 40000 50123 1 {c} {start} {stop} 7 398 0 {v6} 1 499880000000000"),
    "deleted early": ({"timeout": 100}, "2 6 40000 50123 1 {c} {start} {stop} 7 398 100 c0a80164 1 499980000000000"),
    "deleted with more left than the time-out": (
        {"timeout": 9999},
        "2 6 40000 50123 1 {c} {start} {stop} 7 398 9999 c0a80164 1 {stop}",
    ),
    "timed out before it began": (
        {"start": 499999 * SECOND},
        "2 6 40000 50123 1 {c} 499999000000000 {stop} 7 398 0 c0a80164 1 499999000000000",
    ),
} | {
    f"TCP in state {state}": (
        {"state": state},
        f"2 6 40000 50123 1 {{c}} {{start}} {{stop}} {state} 398 0 c0a80164 1 {end}000000000",
    )
    for state, end in {
        0: 68000,
        1: 499880,
        2: 499940,
        3: 68000,
        4: 499880,
        5: 499940,
        6: 499970,
        7: 499880,
        8: 499990,
        9: 499880,
        77: 68000,
    }.items()
}


def test_each_kind_of_connection_is_told_whole(any_interpreter: Interpreter) -> None:
    """EXP-1: `end` is STOP less the time-out of the last state, never before the start; 64-bit counters on 32 bits."""
    datagrams = [
        kernel.conntrack("destroy", flow(**values), byteorder_of(any_interpreter)) for values, _ in FLOWS.values()
    ]
    common = {
        "start": 500 * SECOND,
        "stop": 500000 * SECOND,
        "v6": bytes(range(16)).hex(),
        "c": "3 1099511627781 4294967296 9223372036854775809",
    }
    lines = tell(any_interpreter, datagrams)
    assert dict(zip(FLOWS, lines, strict=True)) == {
        name: "1 1 0 0|" + line.format(**common) for name, (_, line) in FLOWS.items()
    }


def without(datagram: bytes, *numbers: int, order: str = "<") -> bytes:
    """Return a ctnetlink datagram without some of its outermost attributes."""
    parts = [datagram[16:20]]
    at = 20
    while at < len(datagram):
        size, number = struct.unpack_from(order + "HH", datagram, at)
        step = (size + 3) & ~3
        if number & 0x3FFF not in numbers:
            parts.append(datagram[at : at + step])
        at += step
    body = b"".join(parts)
    return struct.pack(order + "I", 16 + len(body)) + datagram[4:16] + body


def test_an_entry_without_counters_or_times_says_so_and_one_without_a_tuple_is_malformed(
    any_interpreter: Interpreter,
) -> None:
    """A connection born before accounting was on has neither, for life; the recorder counts it by its missing times."""
    whole = kernel.conntrack("destroy", flow(), byteorder_of(any_interpreter))
    bare = without(whole, 9, 10, 20, order=order_of(any_interpreter))
    lines = tell(
        any_interpreter,
        [bare, without(whole, 2, order=order_of(any_interpreter)), without(whole, 1, order=order_of(any_interpreter))],
    )
    assert lines[0] == "1 1 0 0|2 6 40000 50123 1 0 0 0 0 0 0 7 398 0 c0a80164 0 0"
    assert lines[1].split()[6] == "0"  # no reply tuple: no translated port
    assert lines[2] == "1 0 1 0"


def test_a_datagram_may_hold_many_messages_and_a_broken_one_costs_only_itself(any_interpreter: Interpreter) -> None:
    """The message in the middle has an attribute that is too long; the framing still holds."""
    one = for_processor(next(d for d in MIXED if is_destroy(d)), any_interpreter)
    broken = bytearray(one)
    struct.pack_into(order_of(any_interpreter) + "H", broken, 20, 4000)
    (line,) = tell(any_interpreter, [one + bytes(broken) + one])
    single = expected(one, order_of(any_interpreter)).split("|")[1]
    assert line == f"1 2 1 0|{single}|{single}"


def test_neighbours_are_terminals_with_an_address_and_a_mac(any_interpreter: Interpreter) -> None:
    """A group's MAC is no terminal's; what the kernel made itself of a group, and an entry that goes, isn't told."""
    order = byteorder_of(any_interpreter)
    mac, address = bytes.fromhex("5ea64e218f39"), bytes((10, 0, 0, 9))
    group, rest = bytes((1, 0, 0x5E, 0, 0, 1)), (1, 2, 3, 4)
    made = [
        kernel.neighbour(kernel.Neighbour(address, octets, cache=cache), order, state=state)
        for octets, state, cache in (
            (mac, 2, rest),
            (bytes(6), 2, rest),
            (group, 4, rest),
            (group, 0x40, rest),
            (mac, 4, (360_000, 360_000, 360_000, 1)),
        )
    ]
    lines = tell(any_interpreter, [for_processor(datagram, any_interpreter) for datagram in NEIGHBOURS] + made)
    empty = "1 0 0 0"
    seen = ["0a634d02 5ea64e218f39", "fd000099000000000000000000000002 5ea64e218f39"]
    here = [f"{empty}|0a000009 {octets}" for octets in ("5ea64e218f39", "0" * 12, "0" * 12, "5ea64e218f39 quiet")]
    assert lines == [f"{empty}|{seen[0]}", f"{empty}|{seen[1]}", empty, *here[:3], empty, here[3]]


REQUESTS = """
import struct
from binascii import hexlify
from agent.capture.neighbours import Listener, Neighbours
done = struct.pack("IHHIIi", 20, 3, 2, 1, 0, 0)
interrupted = struct.pack("IHHIIi", 20, 3, 2 | 0x10, 1, 0, 0)
n = Neighbours(Listener())
n.restart()
for answer in (done, done, interrupted, done, done, done, done):
    print(hexlify(n.request()).decode(), n.request())
    n.feed(answer, len(answer))
print(n.request())
part = struct.pack("IHHII", 16, 16, 2 | 0x10, 1, 0)  # no link: a part of a list that the kernel goes on with
n.restart()
print(hexlify(n.request()).decode(), n.feed(part, 16), n.request(), n.restart(), n.request())
for answer in (interrupted, done, done, done, done):
    n.feed(answer, len(answer))
    print(hexlify(n.request() or b"").decode(), n.request())
"""


def test_links_addresses_and_neighbours_are_listed_in_turn_and_again_where_the_table_changed(
    any_interpreter: Interpreter,
) -> None:
    """One dump at a time, to its end: the kernel refuses a second one (EBUSY). NLM_F_DUMP_INTR begins anew."""
    order = order_of(any_interpreter)
    wanted = [
        struct.pack(order + "IHHII", 16 + size, kind, 0x301, 1, 0) + bytes(size)
        for kind, size in ((18, 16), (22, 8), (30, 12), (30, 12))
    ]
    assert any_interpreter.run("-c", REQUESTS).stdout.decode().split("\n") == [
        f"{one.hex()} None" for one in wanted[:3] + wanted
    ] + ["None", f"{wanted[0].hex()} None None None None", *(f"{one.hex()} None" for one in wanted), " None", ""]


INVENTED = 500
MUTATED = {"cpython": 5000, "micropython": 5000, "mips": 1000}  # an emulated processor is some twenty times slower


@pytest.mark.long
def test_mutated_datagrams_are_told_alike_and_stop_nothing(any_interpreter: Interpreter) -> None:
    """Equal to this file's reader on each, in five buffers with other octets behind; no exception, no loop."""
    draw, order, count = random.Random(361), order_of(any_interpreter), MUTATED[any_interpreter.name]
    seeds = [
        for_processor(datagram, any_interpreter)
        for datagram in [d for d in MIXED + VARIANTS + ATTRIBUTES if is_destroy(d)] + NEIGHBOURS
    ]
    corpus = [mutated(draw, seeds, order) for _ in range(count)]
    answers = tell(any_interpreter, corpus)
    assert answers == [expected(datagram, order) for datagram in corpus]
    totals = [sum(int(answer.split("|")[0].split()[column]) for answer in answers) for column in range(4)]
    assert totals[0] == count
    assert min(totals[1:3]) > count // 5  # the corpus holds enough of what is understood and of what isn't


REAL = next(d for d in MIXED if is_destroy(d))
PARTS = (1, 2, 3, 4, 9, 10, 12, 20)
PIECES = {
    order: [without(whole, *{27, *PARTS} - {number}, order=order)[20:] for number in PARTS]
    for order, whole in (("<", REAL), (">", kernel.reencode(REAL)))
}
LIES = (0,) * 10 + (1, -1, 4, -4, 100, -100)
WIDTHS = (1, 1, 2, 2, 4, 8, 16, 0)
KINDS = (DESTROY, DESTROY, DESTROY, DESTROY, DESTROY, 28, 28, 3)
HEADS = {DESTROY: 4, 28: 12, 3: 4}


def invented(plan: bytes, order: str) -> bytes:
    """Follow a plan, octet by octet: messages with attributes, nested or real or any, and lengths that lie at times."""
    steps = iter(plan)

    def parts(depth: int) -> bytes:
        data = b""
        for step in steps:
            if step < 0x20:
                break
            if step >= 0x80 and depth == 3:
                data += PIECES[order][step & 7 if step & 8 else 0]
                continue
            shape = next(steps, 0)
            width = WIDTHS[shape & 7]
            value = parts(depth - 1) if shape & 0x80 and depth else bytes((next(steps, 0),)).rjust(width, b"\1")[:width]
            size = (4 + len(value) + LIES[shape >> 3 & 15]) & 0xFFFF
            data += (
                struct.pack(order + "HH", size, (1, 2, 3, 4, 7, 9, 10, 20)[step & 7] | (step & 8) << 12)
                + value
                + bytes(-len(value) % 4)
            )
        return data

    datagram = b""
    for head in steps:
        kind = KINDS[head & 7]
        body = bytes(((2, 2, 10, 0)[head >> 3 & 3],)).ljust(HEADS[kind], b"\0") + parts(3)
        datagram += (
            struct.pack(
                order + "IHHII", (16 + len(body) + (0, 0, 0, 0, 0, 4, -4, 2**20)[head >> 5]) & 0xFFFFFFFF, kind, 0, 0, 0
            )
            + body
        )
    return datagram


@contextlib.contextmanager
def asking(interpreter: Interpreter):
    """Give a function that asks a running driver about one datagram; it fails after 20 s without an answer."""
    alive = environment() | {"PYTHONUNBUFFERED": "1"}
    words = interpreter.command("-c", DRIVER)
    with subprocess.Popen(
        words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=interpreter.root, env=alive
    ) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def ask(datagram: bytes) -> str:
            questions.write(framed(datagram))
            answer = b""
            while not answer.endswith(b"\n"):
                assert select.select([answers], [], [], 20)[0], "no answer: a loop without end"
                part = answers.read(65536)
                assert part, "the interpreter ended"
                answer += part
            return answer.decode()[:-1]

        yield ask
        process.kill()


@pytest.mark.long
def test_invented_datagrams_are_told_alike_and_stop_nothing(any_interpreter: Interpreter) -> None:
    """Hypothesis: attributes in attributes, lengths that lie, anything cut off."""
    order = order_of(any_interpreter)
    with asking(any_interpreter) as ask:

        @settings(max_examples=INVENTED)
        @given(st.binary(max_size=120), st.sampled_from((0, 0, 0, 1, 2, 3, 4, 9, 40)))
        def check(plan: bytes, cut: int) -> None:
            datagram = invented(plan, order)
            datagram = datagram[: len(datagram) - cut]
            assert ask(datagram) == expected(datagram, order)

        @settings(max_examples=INVENTED)
        @given(st.binary(max_size=80))
        def check_noise(octets: bytes) -> None:
            assert ask(octets) == expected(octets, order)

        check()
        check_noise()


DESTINATION = """
import sys
from binascii import hexlify
from agent.capture.connections import Decoder, source_of
from agent.runtime import memory
from agent.runtime.libc import LIBC
from agent.runtime.sodium import Sodium

sodium, region, decoder, kept = Sodium(), memory.scratch(4096), Decoder(), []
for _ in range(3):
    length = LIBC.call("read", 0, region.address, 4096)
    decoder.feed(region.view, length, kept.append)
    KEEP
    source = source_of(decoder.connection)
    sodium.zero(region.address, 4096)
    print(hexlify(source).decode())
"""


@pytest.mark.parametrize("keep", [False, True], ids=["decoder", "copying decoder"])
def test_no_destination_is_copied_out_of_the_kernels_buffer(any_interpreter: Interpreter, *, keep: bool) -> None:
    """L34-VI-1: with the buffer overwritten no octet string of a destination is in the process, though the source is.

    Another process looks through all of its memory. The same search finds it in a decoder that keeps a copy.
    """
    text = DESTINATION.replace("KEEP", "kept.append(bytes(region.view[:length]))" if keep else "pass")
    alive = environment() | {"PYTHONUNBUFFERED": "1"}
    words = any_interpreter.command("-c", text)
    draw = random.Random(6)
    with subprocess.Popen(
        words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, env=alive
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # The third wait finds the process after two whole turns, with nothing of the second yet overwritten by a third.
        for protocol in (6, 17):
            source, destination = draw.randbytes(16), draw.randbytes(16)
            addresses = {
                "source": source,
                "destination": destination,
                "reply_source": destination,
                "reply_destination": source,
            }
            told = flow(**V6 | addresses, protocol=protocol)
            process.stdin.write(kernel.conntrack("destroy", told, byteorder_of(any_interpreter)))
            assert select.select([process.stdout], [], [], 20)[0]
            assert process.stdout.readline().decode().strip() == source.hex()
            memory = writable_memory(process.pid)
            assert source in memory
            assert (destination in memory) == keep
        process.kill()


TIMEOUTS = """
import json, sys
from agent.capture.timeouts import Timeouts

class Connection:
    remaining = 0

class Lines:
    lines = [[0, 0, 0]]
    def wall(self):
        return self.now

lines = Lines()
for row in sys.stdin:
    told, connection, ends = None, Connection(), []
    for step in json.loads(row):
        if len(step) < 4:
            values = step[1]
            if told is None or len(step) == 3:
                told = Timeouts(lambda name: values.get(name))
                if len(step) == 3:
                    lines.now = step[0]
                    told.outlast(step[2], "a boot", lines)
            told.refresh(step[0])
        else:
            connection.protocol, connection.state, connection.status, connection.start, connection.stop = step
            ends.append(told.end(connection))
    print(json.dumps(ends))
"""


@dataclass
class History:
    """A gateway on which somebody changes a time-out, as steps for the agent and as the truth about its connections."""

    steps: list = field(default_factory=list)
    packets: list[int] = field(default_factory=list)  # when the last packet of each connection really passed
    ends: list[int] = field(default_factory=list)  # STOP less the largest value since its start


def history(draw: random.Random, changes: int) -> History:
    """Draw a history of UDP streams and changes of their time-out, all times in ns."""
    made, values, now = History(), [], 1_790_000_000 * SECOND
    alive: list[tuple[int, int, int]] = []
    for _ in range(changes):
        values.append((now, draw.randrange(1, 7200)))
        made.steps.append([now, {"udp_timeout_stream": values[-1][1]}])
        for _ in range(draw.randrange(4)):
            begun = now - draw.randrange(now - values[0][0] + 1)
            packet = now + draw.randrange(5 * SECOND)
            alive.append((begun, packet, packet + values[-1][1] * SECOND))
        until = now + draw.randrange(1, 4000) * SECOND
        for start, packet, stop in sorted(alive, key=lambda entry: entry[2]):
            if stop <= until:
                made.steps.append([17, 0, 14, start, stop])
                made.packets.append(packet)
                lived_under = [value for at, value in values if at >= start] + [
                    [value for at, value in values if at <= start][-1]
                ]
                # A value that was replaced in the very moment of the start counts too.
                lived_under += [value for (_, value), (at, _) in pairwise(values) if at == start]
                made.ends.append(max(start, stop - max(lived_under) * SECOND))
        alive = [entry for entry in alive if entry[2] > until]
        now = until
    return made


@pytest.mark.long
def test_end_is_never_after_the_last_packet_whatever_the_timeouts_were(any_interpreter: Interpreter) -> None:
    """EXP-1: exact where up to four former values are remembered, and early, never late, beyond that."""
    draw = random.Random(34)
    histories = [history(draw, draw.choice((1, 2, 5, 17, 60))) for _ in range(60)]
    done = any_interpreter.run("-c", TIMEOUTS, input="".join(json.dumps(made.steps) + "\n" for made in histories))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 60
    late = early = 0
    for made, ends in zip(histories, told, strict=True):
        if sum(len(step) == 2 for step in made.steps) <= 5:
            assert ends == made.ends
        for end, exact_end, packet in zip(ends, made.ends, made.packets, strict=True):
            late += end > packet
            early += end < exact_end
    assert late == 0
    assert early > 0  # the histories were long enough to make it forget


@pytest.mark.long
def test_end_is_never_after_the_last_packet_whatever_process_knew_the_timeouts(
    any_interpreter: Interpreter, tmp_path: Path
) -> None:
    """Half of the changes come with a restart, in a boot for each history."""
    draw = random.Random(35)
    histories = [history(draw, draw.choice((2, 5, 17, 60))) for _ in range(60)]
    for number, made in enumerate(histories):
        changes = [step for step in made.steps if len(step) == 2]
        for step in changes[:1] + [step for step in changes[1:] if draw.random() < 0.5]:
            step.append(str(tmp_path / str(number)))
    done = any_interpreter.run("-c", TIMEOUTS, input="".join(json.dumps(made.steps) + "\n" for made in histories))
    exact = total = 0
    for made, line in zip(histories, done.stdout.splitlines(), strict=True):
        ends = json.loads(line)
        assert all(end <= packet for end, packet in zip(ends, made.packets, strict=True))
        if sum(len(step) < 4 for step in made.steps) <= 5:
            exact, total = exact + sum(map(int.__eq__, ends, made.ends)), total + len(ends)
    assert exact > total * 0.95 > 50


def test_lowering_one_tcp_timeout_leaves_the_kernels_constant(any_interpreter: Interpreter) -> None:
    """SYN_SENT2 has 120 s for ever: nf_conntrack has no setting for it."""
    steps = [[0, {"tcp_timeout_syn_sent": 5}], [6, 1, 0, 0, 500 * SECOND], [6, 9, 0, 0, 500 * SECOND]]
    done = any_interpreter.run("-c", TIMEOUTS, input=json.dumps(steps))
    assert json.loads(done.stdout) == [495 * SECOND, 380 * SECOND]


def test_settings_are_read_from_this_kernel(interpreter: Interpreter) -> None:
    """A number where the kernel has one, None where it has none."""
    text = """
import json
from agent.capture import timeouts
print(json.dumps([timeouts.read_sysctl(name) for name in ("udp_timeout", "tcp_timeout_close", "no_such_setting")]))
"""
    values = [
        int(path.read_text()) if path.exists() else None
        for path in map(
            Path,
            (
                "/proc/sys/net/netfilter/nf_conntrack_udp_timeout",
                "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close",
                "/absent",
            ),
        )
    ]
    assert json.loads(interpreter.run("-c", text).stdout) == values


HEAP = """
import gc, sys
from agent.config import config
from agent.recorder.recorder import Recorder
from agent.runtime import memory
from agent.runtime.clocks import DeviceTime
from agent.runtime.libc import address_of

class Earlier(DeviceTime):
    # What ends here began while the recorder listened.
    def wall(self):
        return DeviceTime.wall(self) - 120000000000

def quiet(_text):
    pass

def octets(count):
    return sys.stdin.buffer.read(count)

path, root, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
recorder = Recorder(config.load(path), root, Earlier(), log=quiet, sysctl={}.get)
inbox = memory.scratch(4096)
known, sizes = [], []
while True:
    head = octets(2)
    if not head:
        break
    size, kind = head[0] | head[1] << 8, octets(1)
    data = octets(size)
    if kind == b"n":
        recorder.streams.neighbour(data, size)
    else:
        known.append(bytearray(data))

at = [0]

class Tape:
    view = inbox.view

    def more(self):
        data = known[at[0] % len(known)]
        at[0] += 1
        memory.copy(inbox.address, address_of(data), len(data))
        return len(data)

tape = Tape()

def play(count):
    # As the daemon reads: a run of datagrams at a time.
    left = count * len(known)
    while left:
        size = recorder.streams.fast_path.run(tape, min(left, 64))
        left -= min(left, 64) - recorder.streams.fast_path.left
        if size > 0:
            recorder.streams.event(inbox.view, size)

def heap(count):
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    play(count)
    after = gc.mem_alloc()
    gc.enable()
    return after - before

play(2)
kept = recorder.counters.values["kept"]
once, more = heap(times), heap(2 * times)
print(more - once, recorder.counters.values["kept"] - kept)
"""


def test_a_connection_takes_at_most_64_octets_of_heap(micropython: Interpreter, tmp_path: Path) -> None:
    """Kernel to packed record, both families, TCP, UDP and ICMP, known terminals: less garbage, fewer collections."""
    (tmp_path / "oubli").write_text(
        "config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\n\toption duty 'none'\n\tlist lan 'lan'\n"
    )
    mac, now = bytes.fromhex("5ea64e218f39"), time.time_ns()
    terminals = (bytes((192, 168, 1, 100)), HERE)
    told = [kernel.link("lan"), kernel.address(bytes((192, 168, 1, 1)), 24), kernel.address(HERE[:-1] + b"\0", 64)]
    told += [kernel.neighbour(kernel.Neighbour(address, mac)) for address in terminals]
    times = {"start": now - 60 * SECOND, "stop": now, "bytes_up": 5000, "bytes_down": 70000, "packets_down": 300}
    ended = [
        kernel.conntrack("destroy", flow(protocol=protocol, **family, **times))
        for family, protocol in (({}, 6), ({}, 17), ({}, 1), (V6, 6), (V6, 17), (V6, 58))
    ]
    framed = [
        struct.pack("<H", len(data)) + kind + data
        for kind, messages in ((b"n", told), (b"d", ended))
        for data in messages
    ]
    rounds = 10
    done = micropython.run(
        "-c", HEAP, tmp_path / "oubli", tmp_path / "root", str(rounds), input=b"".join(framed), timeout=240
    )
    taken, kept = map(int, done.stdout.split())
    assert kept == 3 * rounds * len(ended)
    assert taken <= 64 * rounds * len(ended)
