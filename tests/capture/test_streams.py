# SPDX-License-Identifier: Apache-2.0
"""What the netlink streams say about themselves, and what the recorder makes of it: losses counted, lists repeated.

The recorder itself on every interpreter, with its time handed in; what it asks the
kernel and what it logs are its answers.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from host_sim.venue import kernel
from tests.capture.test_capture import ATTRIBUTES, byteorder_of, expected, for_processor, order_of, tell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

CONFIG = "config gateway\n option id 'abcdefghijklmnop'\n option duty 'none'\nconfig purpose 'security'\n"
DRIVER = """
import json, sys
from binascii import hexlify, unhexlify
from agent.config import config
from agent.recorder.recorder import Recorder

class Time:
    boot = "0123456789abcdef" * 2
    seconds = 1000
    def wall(self):
        return (1_800_000_000 + self.seconds) * 10**9
    def monotonic(self):
        return self.seconds * 10**9

root, time, said = ROOT, Time(), []
settings = {"count": 1, "max": FULL}
read = config.load(root + "/etc/config/oubli")
recorder = Recorder(read, root, time, log=said.append, sysctl=settings.get, network=dict)
recorder.tick()
while recorder.streams.neighbour_request() or not recorder.streams.introduced:
    recorder.streams.neighbour(unhexlify(DONE), 20)
heard = recorder.streams
feeds = {"event": heard.datagram, "live": heard.live_table.datagram, "neighbour": heard.neighbour}
for row in sys.stdin:
    call, *words = json.loads(row)
    if call in feeds:
        feeds[call](unhexlify(words[0]), len(words[0]) // 2)
        recorder.tick()
    elif call == "later":
        time.seconds += words[0]
        recorder.tick()
    elif call == "asks":
        print(hexlify(recorder.streams.live_request() or b"").decode())
    elif call == "counts":
        counts = sorted(recorder.counters.values.items())
        print(json.dumps([name + " " + str(count) for name, count in counts if count]))
    elif call == "read":
        heard.neighbours_read(time.monotonic(), whole=words[0])
    elif call == "deaf":
        times = recorder.guests.holders.deaf_from, recorder.guests.holders.deaf_until
        print(json.dumps([one and one // 10**9 - 1_800_000_000 if one < 1 << 61 else None for one in times]))
    elif call == "restart":
        recorder.guests.neighbours.restart()
    elif call == "neighbours":
        while recorder.streams.neighbour_request():
            recorder.streams.neighbour(unhexlify(DONE), 20)
    elif call == "held":
        print(recorder.guests.holders.held())
    else:
        getattr(heard.live_table if call == "live_overrun" else heard, call.replace("live_", ""))()
        recorder.tick()
print(json.dumps([line for line in said if "lost" in line]))
"""
DONE, ERROR, OVERRUN, INTERRUPTED = 3, 2, 4, 0x10


def word(order: str, kind: int, number: int = 0, flags: int = 2) -> bytes:
    """Return one of netlink's own messages."""
    return struct.pack(order + "IHHIIi", 20, kind, flags, 1, 0, number)


class Streams:
    """A recorder's root, and what the kernel of its interpreter's processor would say."""

    def __init__(self, root: Path, interpreter: Interpreter) -> None:
        self._root, self.interpreter = root, interpreter
        self.order = order_of(interpreter)
        self.request = struct.pack(self.order + "IHHII4x", 20, 0x101, 0x301, 1, 0).hex()
        (root / "etc/config").mkdir(parents=True)
        (root / "etc/config/oubli").write_text(CONFIG)

    def word(self, kind: int, number: int = 0, flags: int = 2) -> bytes:
        return word(self.order, kind, number, flags)

    def run(self, *steps: tuple, table: int = 2) -> list:
        """Take steps; the connection table has room for `table` entries. Returns the answers."""
        text = (
            DRIVER.replace("ROOT", repr(str(self._root)))
            .replace("FULL", str(table))
            .replace("DONE", repr(self.word(DONE).hex()))
        )
        rows = [[step[0], *(part.hex() if isinstance(part, bytes) else part for part in step[1:])] for step in steps]
        done = self.interpreter.run("-c", text, input="".join(json.dumps(row) + "\n" for row in rows))
        return [json.loads(line) if line.startswith("[") else line for line in done.stdout.decode().splitlines()]


@pytest.fixture
def streams(tmp_path: Path, any_interpreter: Interpreter) -> Streams:
    return Streams(tmp_path, any_interpreter)


ASKS, COUNTS, HELD = ("asks",), ("counts",), ("held",)


def test_the_live_table_is_listed_every_five_minutes_one_list_at_a_time(streams: Streams) -> None:
    done = ("live", streams.word(DONE))
    steps = [ASKS, ASKS, ("later", 299), ASKS, done, ASKS, ("later", 1), ASKS, ASKS, ("later", 1000), ASKS]
    asked = streams.request
    # One without an end is given up after as long
    assert streams.run(*steps) == [asked, "", "", "", asked, "", asked, []]


@pytest.mark.parametrize("how", ["in an entry", "at the end", "dropped"])
def test_a_list_of_a_table_that_changed_meanwhile_is_repeated(streams: Streams, how: str) -> None:
    """NLM_F_DUMP_INTR, or ENOBUFS: the same request ten seconds later, and no loss."""
    changed: dict[str, list[tuple]] = {
        "in an entry": [("live", streams.word(0x100, flags=2 | INTERRUPTED)), ("live", streams.word(DONE))],
        "at the end": [("live", streams.word(DONE, flags=2 | INTERRUPTED))],
        "dropped": [("live_overrun",), ("live", streams.word(DONE))],
    }
    steps = [
        ASKS,
        *changed[how],
        ("later", 9),
        ASKS,
        ("later", 1),
        ASKS,
        ("live", streams.word(DONE)),
        ASKS,
        ("later", 300),
        ASKS,
    ]
    assert streams.run(*steps) == [streams.request, "", streams.request, "", streams.request, []]


def test_a_refused_list_is_asked_for_again_in_its_time_and_forgets_nobody(streams: Streams) -> None:
    """EBUSY: three lists in order forget an address that left and that no connection needs; refused ones don't."""
    order = byteorder_of(streams.interpreter)
    entry = kernel.neighbour(kernel.Neighbour(bytes((192, 168, 7, 9)), bytes.fromhex("5ea64e218f39")), order)
    gone = bytearray(entry)
    struct.pack_into(streams.order + "H", gone, 4, 29)
    heard = [kernel.link("lan", order), kernel.address(bytes((192, 168, 7, 1)), 24, order), entry, bytes(gone)]
    known: list[tuple] = [*(("neighbour", datagram) for datagram in heard), HELD]
    for ending, held in ((streams.word(ERROR, -16), "1"), (streams.word(DONE), "0")):
        lists: list[tuple] = [ASKS, ("live", ending), ("later", 300)]
        assert streams.run(*known, *lists * 4, HELD) == ["1", *[streams.request] * 4, held, []]


def test_what_the_kernel_dropped_is_counted_and_the_table_listed_anew(streams: Streams) -> None:
    """NLMSG_OVERRUN in the stream of events, beside what can be read; ENOBUFS.

    A list that runs is heard to its end first.

    Nothing of it is said on the log, which may leave the gateway (ANON-4).
    """
    done, overrun = ("live", streams.word(DONE)), ("event", streams.word(OVERRUN) * 2 + streams.word(DONE))
    answers = streams.run(ASKS, done, ASKS, overrun, COUNTS, ASKS, ("overrun",), COUNTS, ASKS, done, ASKS, table=1)
    asked = streams.request
    assert answers == [asked, "", ["overruns 2", "starts 1"], asked, ["overruns 3", "starts 1"], "", asked, []]


def test_nobody_is_known_until_all_is_read_that_the_kernel_told_of_neighbours(streams: Streams) -> None:
    """More waits than a turn reads: of what begins from 4 s before the last whole reading until the next one."""
    whole, part, deaf = ("read", True), ("read", False), ("deaf",)
    steps = ("later", 100), whole, ("later", 3), ("later", 1), part, deaf, ("later", 1), part, ("later", 1), whole, deaf
    assert streams.run(*steps)[:-1] == [[1096, None], [1096, 1106]]


def test_where_a_list_does_not_end_nobody_is_known_until_it_has(streams: Streams) -> None:
    """At the start the recorder waits for it for ten seconds, and begins then."""
    begin, deaf, done = ("begin_anyway",), ("deaf",), [("neighbours",)]
    steps = begin, deaf, ("restart",), ("later", 20), begin, deaf, ("later", 5), *done, deaf
    assert streams.run(*steps)[:-1] == [[0, 0], [-4, None], [-4, 1025]]


def test_in_loss_free_mode_enobufs_is_no_loss(streams: Streams) -> None:
    """What the kernel couldn't deliver it keeps. NLMSG_OVERRUN would still be one."""
    answers = streams.run(("overrun",), COUNTS, ("event", streams.word(OVERRUN)), COUNTS, table=1000)
    assert answers == [["starts 1"], ["overruns 1", "starts 1"], []]


def test_every_entry_of_a_recorded_list_is_read(any_interpreter: Interpreter) -> None:
    """Fourteen messages in a datagram, in the order of a dump, with zones, labels, helpers and SYNPROXY."""
    listed = [datagram for datagram in ATTRIBUTES if datagram[6:8] == b"\x02\x00" and datagram[4:6] == b"\x00\x01"]
    assert [len(datagram) for datagram in listed] == [3580, 876]
    answers = []
    for datagram in listed:
        ended = bytearray(datagram)
        at = 0
        while at < len(ended):  # as the decoder of events would have them
            struct.pack_into("<H", ended, at + 4, 0x102)
            at += struct.unpack_from("<I", ended, at)[0]
        answers.append(bytes(ended))
    lines = tell(any_interpreter, [for_processor(datagram, any_interpreter) for datagram in answers])
    assert lines == [expected(datagram) for datagram in answers]
    assert [line.split("|")[0] for line in lines] == ["1 14 0 0", "1 3 0 0"]
