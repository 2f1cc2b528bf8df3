# SPDX-License-Identifier: Apache-2.0
"""The fast path leaves the same behind as the plain one.

Sealed and waiting records, the day's table, every count, to the octet.
"""

import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host_sim.driver.interpreters import environment
from host_sim.trials.patches import Patch, patched
from host_sim.venue import kernel
from tests.support.interpreters import PROJECT, Interpreter
from tools.bench.way_stage import START

SECOND = 1_000_000_000
STEPS = 24
ENDED = 40  # connections between two steps
_PORTS = (443, 53, 80, 22, 5228, 51820, 1701, 40000, 0)
_VOLUMES = (0, 1, 40, 127, 128, 999, 20_000, 3_000_000, 2**33, 2**42, 2**63 + 5)
_PACKETS = (0, 1, 2, 14, 15, 16, 141, 143, 20_000)


def _terminals(draw: random.Random, count: int) -> list[tuple[bytes, bytes, bytes]]:
    """Return (MAC, IPv4 address, IPv6 address) of each.

    Four at a time end alike, each of three differs from the first in one octet.
    """
    made = []
    for n in range(count):
        if n % 4 == 0:
            four, six = bytes((10, 1, 0, 2 + n // 4)), bytes.fromhex("20010db800010000") + draw.randbytes(8)
        places = (n % 4 - 1, n % 14) if n % 4 else (0, 0)
        alike = bytearray(four), bytearray(six)
        for address, place in zip(alike, places, strict=True):
            address[place] ^= 16 if n % 4 else 0
        made.append((b"\x06\xc4" + draw.randbytes(4), bytes(alike[0]), bytes(alike[1])))
    return made


# Size and number of an attribute, and of the one at or before it that is looked for first.
_HEADERS = {"little": "<HH", "big": ">HH"}
_STAMPS, _UP = (28, 0x8014), (28, 0x8009)
_WITHOUT = {6: (12, 1, _STAMPS), 7: (12, 2, _STAMPS), 8: (*_STAMPS, _STAMPS), 9: (12, 2, _UP)}


def _ended(
    draw: random.Random, now: int, terminals: list[tuple[bytes, bytes, bytes]], order: kernel.ByteOrder
) -> bytes:
    """Return a connection that ended: most are ordinary, each rarity comes up."""
    six, port = draw.random() < 0.4, draw.choice(_PORTS)
    protocol = draw.choice((6, 6, 6, 17, 17, 17, 58 if six else 1, 47))
    stop = now * SECOND - draw.randrange(20 * SECOND)
    lived = draw.choice((0, 5, 30, 60, 200, 400, 1600, 9000)) * SECOND + draw.randrange(SECOND)
    packets = [draw.choice(_PACKETS) for _ in "ud"]
    here = draw.choice(terminals)
    source, there = (
        (here[2], bytes.fromhex("20010db8ffff") + draw.randbytes(10))
        if six
        else (here[1], b"\xcb\x00\x71" + draw.randbytes(1))
    )
    own, translated = draw.randrange(1024, 65536), draw.randrange(1024, 65536)
    made = kernel.Flow(
        family=10 if six else 2, protocol=protocol, source=source, destination=there, source_port=own,
        destination_port=port, reply_source=there, reply_destination=source if six else b"\xc6\x33\x64\x07",
        reply_source_port=port, reply_destination_port=own if six else draw.choice((own, translated)),
        status=draw.choice((0x18E, 0x18A, 0x188)), start=stop - lived, stop=stop,
        state=draw.choice((7, 7, 7, 3, 8, 1, 0, 11)) if protocol == 6 else 0, packets_up=packets[0],
        bytes_up=packets[0] * 60 + draw.choice(_VOLUMES), packets_down=packets[1],
        bytes_down=packets[1] * draw.choice((60, 60, 60, 30)) + draw.choice(_VOLUMES),
        timeout=draw.choice((None, None, None, None, 3, 100)), mark=draw.choice((None, None, None, 7)),
    )  # fmt: skip
    rare = draw.randrange(31)
    if rare == 0:
        made = replace(made, stop=0)
    elif rare == 1:
        made = replace(made, destination=terminals[0][2 if six else 1], reply_source=terminals[0][2 if six else 1])
    elif rare == 2:
        made = replace(made, source=draw.randbytes(len(source)))
    elif rare == 3:
        made = replace(made, start=(START - 300) * SECOND)
    elif rare == 4:
        made = replace(made, source=source[:-1] + b"\xfe")
    elif rare == 5:
        made = replace(made, stop=made.stop + 7200 * SECOND)
    elif rare == 30:
        made = replace(made, start=made.stop + 30 * SECOND)
    message = kernel.conntrack("destroy", made, order)
    if rare in _WITHOUT:
        # By another number an attribute is one that nobody asks for: there is no start, no
        # stop, neither, or there are no octets up.
        size, number, behind = _WITHOUT[rare]
        former, other = (struct.pack(_HEADERS[order], size, kind) for kind in (number, 99))
        at = message.index(former, message.index(struct.pack(_HEADERS[order], *behind)))
        message = message[:at] + other + message[at + 4 :]
    return message


def _tape(draw: random.Random, order: kernel.ByteOrder) -> Iterator[tuple[bytes, bytes]]:
    """Yield (what, octets) of an agent-day's end and the next one's beginning."""
    terminals = _terminals(draw, 220)  # two addresses each: more than a segment's dictionary has places
    yield b"n", kernel.link("lan", order)
    for prefix in sorted({one[: len(one) // 2] for _, *addresses in terminals for one in addresses}):
        yield b"n", kernel.address(prefix + bytes(len(prefix) - 1) + b"\1", len(prefix) * 8, order)
    for mac, *addresses in terminals:
        for address in addresses:
            yield b"n", kernel.neighbour(kernel.Neighbour(address, mac), order)
    now = START
    for step in range(STEPS):
        common = [terminals[(step // 6 * 12 + n) % len(terminals)] for n in range(12)]
        one, other = draw.sample(common, 2)
        for number in range(ENDED):
            yield b"d", _ended(draw, now, common if draw.random() < 0.9 else terminals, order)
            if step % 3 == 0 and number == ENDED // 2:  # an address changes hands: who had it is still told of
                yield b"n", kernel.neighbour(kernel.Neighbour(one[1], other[0]), order)
        if step % 8 == 5:
            yield b"s", bytes((draw.choice((30, 60, 120)),))
        passed = draw.choice((1, 11, 400, 3600)) if step % 4 else 12000
        yield b"t", passed.to_bytes(2, "big")
        now += passed
    # A day begins: what ended before it counts nowhere, and isn't what its terminals were first heard of by either.
    day = (now - 10800) // 86400 * 86400 + 86400 + 10800
    yield b"t", (day - 40000 - now).to_bytes(2, "big")
    for passed in (40000 + 150, 3600):
        yield b"t", passed.to_bytes(2, "big")
        for _ in range(ENDED):
            yield b"d", _ended(draw, day, terminals[:20], order)
        day += 3600 + 150


def _played(interpreter: Interpreter, tape: Path, folder: Path, way: str) -> dict[str, Any]:
    done = interpreter.run("-m", "tests.support.fast_path_stage", tape, folder, way, timeout=240)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def tape(any_interpreter: Interpreter, tmp_path: Path) -> Path:
    """Give a recorded day in the interpreter's own byte order."""
    path, draw = tmp_path / "tape", random.Random(1)
    order: kernel.ByteOrder = "big" if any_interpreter.name == "mips" else "little"
    path.write_bytes(b"".join(struct.pack("<H", len(data)) + what + data for what, data in _tape(draw, order)))
    return path


@pytest.mark.long
@pytest.mark.xdist_group("fast")
def test_both_ways_leave_the_same_behind(any_interpreter: Interpreter, tape: Path, tmp_path: Path) -> None:
    """Hand-overs, late and odd ones, full pages and dictionaries, changed time-outs, the day's change.

    L34-I-2, L34-VI-1, EXP-1, ANON-2.
    """
    plain = _played(any_interpreter, tape, tmp_path / "plain", "plain")
    fast_path = _played(any_interpreter, tape, tmp_path / "fast", "fast")
    assert plain.pop("fast") == 0
    count = fast_path.pop("fast")
    assert fast_path == plain
    assert count > 0.25 * STEPS * ENDED


def _fast_path(rule: str, old: str, new: str) -> tuple[str, Patch]:
    return f"{rule}: fast", Patch("recorder/fast_path.py", "FastPath._run", old, new)


def _plain(rule: str, *where: str) -> tuple[str, Patch]:
    file, function, old, new = where
    return f"{rule}: plain", Patch(file, function, old, new)


# What the fast path asks before it takes a connection, and the rules that stand in it and
# in the plain way: each copy is broken.
BROKEN = (
    _fast_path("what stays in the venue", "(near_4[A] or near_4[B]) and inside(buffer, layout)", "False"),
    _fast_path("whose address it was when it began", "message.start < A", "False"),
    _fast_path("time-outs that were changed since", "begun <= changed_high and A", "False"),
    _fast_path("the rest of the time-out", "duration -= message.remaining", "pass"),
    _plain(
        "the rest of the time-out", "capture/timeouts.py", "Timeouts.last", "seconds -= connection.remaining", "pass"
    ),
    _fast_path("the time-out of what was answered", "seconds[1 if A else 0]", "seconds[0]"),
    _plain(
        "the time-out of what was answered", "capture/timeouts.py", "name_of", "connection.status & ASSURED", "False"
    ),
    _fast_path("no end before the beginning", "tick < begun", "False"),
    _plain("no end before the beginning", "capture/timeouts.py", "Timeouts.last", "now if A else B", "now"),
    _fast_path("a beginning after the end", "begun - tick > A", "False"),
    _fast_path("every quarter-hour", "range(first, last)", "range(first, first)"),
    _plain(
        "every quarter-hour", "summary/terminals.py", "Terminals.see", "range(first, last + 1)", "range(last, last + 1)"
    ),
    _fast_path("both volumes", "bytes_up + bytes_down + A", "bytes_up + A"),
    _plain(
        "both volumes",
        "recorder/pipeline.py",
        "Pipeline._record",
        "connection.bytes_up + connection.bytes_down",
        "connection.bytes_up",
    ),
    _fast_path("octets below a KiB", "volume & 1023", "volume & 511"),
    _plain("octets below a KiB", "summary/terminals.py", "Terminals.see", "octets & 1023", "octets & 511"),
    _fast_path("class and protocol in an octet", "service * 5 + code << 2", "service * 4 + code << 2"),
    _plain("class and protocol in an octet", "vault/record.py", "begin", "A * 5 + code << 2", "A * 4 + code << 2"),
    _fast_path("packets in an octet", "packets_up << 4 | packets_down", "packets_down << 4 | packets_up"),
    _plain("packets in an octet", "vault/record.py", "packets", "A << 4 | B", "B << 4 | A"),
    _fast_path("octets without headers", "bytes_up - packets_up * least", "bytes_up"),
    _plain("octets without headers", "vault/record.py", "volumes", "connection.bytes_up - A", "connection.bytes_up"),
    _fast_path("what an end counts from", "places[place + terminals] if known else before", "before"),
    _plain(
        "what an end counts from",
        "vault/record.py",
        "Packer.pack",
        "before = places[TERMINALS + place]",
        "before = self.end & ENDS",
    ),
    _fast_path("a place of the dictionary", "places[place] = key", "pass"),
    _plain("a place of the dictionary", "vault/record.py", "Packer.pack", "places[place] = key", "pass"),
    _fast_path("a translated port", "head |= 2", "pass"),
    _plain("a translated port", "vault/record.py", "begin", "named if A else B", "named"),
    _fast_path("a number of two octets", "duration & 127 | 128", "duration & 127"),
    _plain("a number of two octets", "vault/record.py", "put", "value & 127 | 128", "value & 127"),
    _fast_path("what is kept", 'self._values["kept"] += handled', "pass"),
    _plain("what is kept", "recorder/pipeline.py", "Pipeline._keep", "self._values[result] += 1", "pass"),
)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a day in a folder of its own."""
    path, draw = tmp_path_factory.mktemp("day") / "tape", random.Random(2)
    path.write_bytes(b"".join(struct.pack("<H", len(data)) + what + data for what, data in _tape(draw, "little")))
    return path


@pytest.fixture(scope="module")
def plain(day: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what the plain way leaves behind of that day, unpatched: the same as the fast path does."""
    left, fast = (_left(PROJECT, day, tmp_path_factory.mktemp(way), way) for way in ("plain", "fast"))
    assert left is not None
    assert left == fast
    return left


def _left(agent: Path, tape: Path, folder: Path, way: str) -> dict[str, Any] | None:
    """Return what a way of a patched agent leaves behind, None where it ends with a fault."""
    words = [sys.executable, "-m", "tests.support.fast_path_stage", str(tape), str(folder), way]
    env = environment() | {"PYTHONPATH": f"{agent}:{PROJECT}"}
    done = subprocess.run(words, cwd=agent, env=env, capture_output=True, text=True, check=False, timeout=240)
    return None if done.returncode else json.loads(done.stdout) | {"fast": 0}


@pytest.mark.long
@pytest.mark.parametrize("patch", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_rule_that_stands_twice_cant_change_in_one_place(
    day: Path, plain: dict[str, Any], tmp_path: Path, patch: Patch
) -> None:
    """The test above is what notices, whichever of the two copies is the wrong one."""
    agent = patched(patch, tmp_path / "agent")
    fast = _left(agent, day, tmp_path / "fast", "fast")
    way = plain if patch.file == "recorder/fast_path.py" else _left(agent, day, tmp_path / "plain", "plain")
    assert None in (way, fast) or way != fast
