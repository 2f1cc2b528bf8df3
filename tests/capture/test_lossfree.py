# SPDX-License-Identifier: Apache-2.0
"""agent/capture/lossfree and what goes with it: when the mode is held, what counts as lost, dumps, gaps, the watch.

Alike on both.

The lab (tests/lab/test_lossfree.py) shows the same on the real kernel; here each limit
is met exactly, and hours go by at once.
"""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from host_sim.driver import interpreters as host
from host_sim.lab import flows
from host_sim.venue import kernel
from tests.support.interpreters import PROJECT, Interpreter

LIMIT = 16_384  # entries of a small router's table
WATCH = PROJECT / "boards/common/usr/sbin/oubli-watch"

DECIDE = """
import json, sys
from agent.capture.lossfree import LossFree

table, said = {}, []
mode = LossFree(table.get, lambda on: said.append(on), lambda: table["drops"])
out = []
for second, ended, count, limit, drops in json.loads(sys.stdin.readline()):
    table.update({"count": count, "max": limit, "drops": drops})
    mode.tick(second * 1000000000, ended)
    out.append([mode.on, mode.fill, mode.lost])
print(json.dumps([out, said]))
"""


def decide(interpreter: Interpreter, *looks: tuple[int, int, int | None, int | None, int]) -> tuple[list, list[bool]]:
    """Look at the table: second, connections ended so far, entries, limit, drops so far.

    Return (on, fill, lost) and the switches.
    """
    out, said = json.loads(interpreter.run("-c", DECIDE, input=json.dumps(looks) + "\n").stdout)
    return out, said


def test_the_mode_is_held_below_three_quarters_and_taken_up_below_half_of_that(interpreter):
    out, said = decide(
        interpreter,
        *(
            (number, 100_000 - count, count, LIMIT, 0)
            for number, count in enumerate((6144, 6143, 12287, 12288, 6144, 6143))
        ),
    )
    assert [on for on, _, _ in out] == [False, True, True, False, False, True]
    assert [fill for _, fill, _ in out] == [37, 37, 74, 75, 37, 37]
    assert said == [True, False, True]


def test_the_mode_is_held_while_forty_seconds_of_the_peak_rate_are_free_and_taken_up_at_twice_that(interpreter):
    """300 connections in 10 s are 1,200 in 40 s; a burst counts as soon as it is seen."""
    free = 40 * 300 // 10
    rate = [(0, 0, 0, LIMIT, 0), (1, 300, 0, LIMIT, 0)]
    scale = 4 * free  # of a table in which three quarters are another matter
    for count, held in ((scale - free - 1, True), (scale - free, False)):
        out, _ = decide(interpreter, *rate, (2, 300 - count, count, scale, 0))
        assert [on for on, _, _ in out] == [True, True, held and 4 * count < 3 * scale]
    small = 2 * free + 500
    for limit, taken in ((2 * free, False), (2 * free + 1, True), (small, True)):
        out, _ = decide(interpreter, *rate, (2, 300, 0, 0, 0), (3, 300, 0, limit, 0))
        assert [on for on, _, _ in out] == [True, True, False, taken]
    out, _ = decide(interpreter, *rate, (2, 300, 0, free + 1, 0), (3, 300, 0, free, 0))
    assert [on for on, _, _ in out] == [True, True, True, False]


def test_the_rate_is_taken_over_ten_seconds(interpreter):
    """60 a second for a minute, seen each second, are 600 in a span, so 2,400 must be free.

    60 at once after that add nothing.
    """
    steady = [(second, 60 * second, 0, LIMIT, 0) for second in range(60)]
    for limit, held in ((2400, False), (2401, True)):
        out, _ = decide(interpreter, *steady, (60, 60 * 59, 0, limit, 0))
        assert out[-1][0] is held


def test_a_peak_counts_for_an_hour(interpreter):
    """Growth of the table counts as ends do.

    1,000 new entries want 4,000 free, and 8,000 once the mode has been left.
    """
    looks = [(0, 0, 0, LIMIT, 0), (1, 0, 1000, LIMIT, 0), (2, 1000, 0, 4000, 0), (10, 1000, 0, 4000, 0)]
    looks += [(second, 1000, 0, 4000, 0) for second in range(60, 3601, 60)]
    out, said = decide(interpreter, *looks)
    assert said == [True, False, True]
    assert [on for on, _, _ in out] == [True, True] + [False] * (len(out) - 3) + [True]


def test_the_mode_is_off_where_the_table_cant_be_read(interpreter):
    looks = [
        (0, 0, 0, LIMIT, 0),
        (1, 0, None, LIMIT, 0),
        (2, 0, 0, LIMIT, 0),
        (3, 0, 0, None, 0),
        (4, 0, 0, LIMIT, 0),
        (5, 0, 9, 0, 0),
    ]
    out, _ = decide(interpreter, *looks)
    assert [(on, fill) for on, fill, _ in out] == [(True, 0), (False, 100)] * 3


def test_the_table_is_looked_at_once_a_second(interpreter):
    out, _ = decide(interpreter, (10, 0, 0, LIMIT, 0), (10, 0, LIMIT, LIMIT, 0), (11, 0, LIMIT, LIMIT, 0))
    assert [on for on, _, _ in out] == [True, True, False]


def test_what_is_dropped_outside_the_mode_is_lost_and_nothing_inside(interpreter):
    """Before the first look too; the counter has 32 bits. What is dropped while the mode is taken up counts as lost."""
    full, free, most = LIMIT, 0, 2**32
    looks = [(0, 0, full, LIMIT, 5), (1, 0, full, LIMIT, most - 10), (2, 0, full, LIMIT, 20), (3, 0, free, 1 << 60, 23)]
    looks += [(4, 0, free, 1 << 60, 500), (5, 0, full, LIMIT, 600), (6, 0, full, LIMIT, 601)]
    out, said = decide(interpreter, *looks)
    assert said == [True, False]
    assert [lost for _, _, lost in out] == [5, most - 10, most + 20, most + 23, most + 23, most + 23, most + 24]


def test_lost_connections_count_in_the_rate(interpreter):
    """What the kernel dropped was new once: 500 lost in a second want 2,000 free, twice that to take the mode up."""
    for limit, taken in ((4000, False), (4001, True)):
        out, _ = decide(interpreter, (0, 0, LIMIT, LIMIT, 0), (1, LIMIT, 0, 0, 500), (2, LIMIT, 0, limit, 500))
        assert out[-1][0] is taken


CONFIG = """
config gateway 'gateway'
	option id 'abcdefgh23456777'
	option duty 'none'
config mqtt 'mqtt'
	option host 'broker.example.org'
	option insecure '1'
"""

RECORD = """
import json, sys
from binascii import unhexlify
from agent.config import config
from agent.recorder.recorder import Recorder

class Time:
    boot = "ab" * 16
    now = 1000000000 * int(sys.argv[2])
    def wall(self): return 1790000000000000000 + self.now
    def monotonic(self): return self.now

table = {"events": 1, "acct": 1, "timestamp": 1, "count": 0, "max": 16384}
drops, said, source = [0], [], Time()
read = config.load(sys.argv[1] + "/config")
recorder = Recorder(read, sys.argv[1], source, log=said.append, sysctl=table.get, drops=lambda: drops[0])
done = unhexlify(sys.argv[3])
while recorder.streams.neighbour_request() is not None:
    recorder.streams.neighbour(done, len(done))
for step in json.loads(sys.stdin.readline()):
    word, value = step
    if word == "wait":
        source.now += int(value * 1000000000)
        recorder.tick()
    elif word in ("live", "neighbour", "datagram"):
        data = unhexlify(value)
        heard = recorder.streams
        (heard.live_table.datagram if word == "live" else getattr(heard, word))(data, len(data))
    elif word == "drop":
        drops[0] += value
    elif word == "count":
        table["count"] = value
    elif word == "asked":
        print(json.dumps(recorder.streams.live_request() is not None))
    elif word == "held":
        print(recorder.guests.holders.held())
    elif word == "forget":
        recorder.guests.holders.leave(unhexlify(value))
    elif word == "learn":
        recorder.guests.holders.learn(unhexlify(value), b"macmac", source.wall())
    elif word == "kill":
        break
    else:
        {
            "overrun": recorder.streams.overrun,
            "live_overrun": recorder.streams.live_table.overrun,
            "close": recorder.close,
        }[word]()
counters = {}
for name, value in recorder.counters.values.items():
    if value:
        counters[name] = value
print(json.dumps([counters, said]))
"""
DONE = struct.pack("IHHII", 20, 3, 2, 1, 0) + struct.pack("i", 0)
FAILED = struct.pack("IHHII", 20, 3, 2, 1, 0) + struct.pack("i", -105)
REFUSED = struct.pack("IHHII", 36, 2, 0, 1, 0) + struct.pack("i", -16) + struct.pack("IHHII", 20, 0x101, 0x301, 1, 0)
INTERRUPTED = 0x10  # NLM_F_DUMP_INTR


def record(
    interpreter: Interpreter, folder: Path, *steps: tuple[str, object], boot: int = 100
) -> tuple[list, dict, list[str]]:
    """Take a recorder's steps from so many seconds after boot; return what was printed, the counters and the log."""
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(CONFIG)
    done = interpreter.run(
        "-c",
        RECORD,
        folder,
        str(boot),
        DONE.hex(),
        input=json.dumps([[w, v.hex() if isinstance(v, bytes) else v] for w, v in steps]) + "\n",
    )
    *printed, last = [json.loads(line) for line in done.stdout.splitlines()]
    return printed, last[0], last[1]


def flow() -> kernel.Flow:
    """Return a live connection of the first terminal."""
    (terminal,) = flows.terminals(1)
    (made,) = flows.make(1, [terminal])
    made.timeout, made.start = 600, 1_790_000_200_000_000_000
    return made


def entry(flags: int = 2) -> bytes:
    """Return one entry of a dump, with these flags."""
    event = bytearray(kernel.conntrack("entry", flow()))
    struct.pack_into("H", event, 6, flags)
    return bytes(event)


SEEN = [("asked", 0), ("live", entry()), ("live", DONE), ("wait", 1)]


@pytest.mark.parametrize(
    "cut",
    [
        [("live", entry(2 | INTERRUPTED)), ("live", DONE)],
        [("live", entry()), ("live", DONE[:6] + struct.pack("H", 2 | INTERRUPTED) + DONE[8:])],
        [("live", entry()), ("live", FAILED)],
        [("live", REFUSED)],
        [("live_overrun", 0), ("live", DONE)],
    ],
    ids=["interrupted", "interrupted at its end", "given up", "refused", "overrun"],
)
def test_a_dump_that_was_not_whole_is_repeated_and_nothing_is_forgotten_on_its_word(interpreter, tmp_path, cut):
    """Ten seconds later, any number of times; a whole one is not due before five minutes are over."""
    address = flow().source
    steps = [("learn", address), ("wait", 1), ("forget", address)]
    for _ in range(4):
        steps += [("asked", 0), *cut, ("wait", 1), ("asked", 0), ("wait", 10)]
    steps += [
        ("held", 0),
        ("asked", 0),
        ("live", DONE),
        ("wait", 1),
        ("asked", 0),
        ("wait", 298),
        ("asked", 0),
        ("wait", 1),
        ("asked", 0),
    ]
    printed, _, _ = record(interpreter, tmp_path / "root", *steps)
    assert printed == [True, False] * 4 + [1, True, False, False, True]


def test_an_association_lives_as_long_as_dumps_show_a_connection_of_its_address(interpreter, tmp_path):
    """Two dumps without one, and it is forgotten: its connection's end has been told by then (L34-II-1)."""
    address = flow().source
    steps = [("learn", address), ("wait", 1), ("forget", address)]
    for _ in range(5):
        steps += [*SEEN, ("wait", 300)]
    steps += [("held", 0)]
    for _ in range(2):
        steps += [("asked", 0), ("live", DONE), ("wait", 301), ("held", 0)]
    printed, _, _ = record(interpreter, tmp_path / "root", *steps)
    assert printed == [True] * 5 + [1, True, 1, True, 0]


def test_one_dump_at_a_time_and_another_once_it_is_given_up(interpreter, tmp_path):
    steps = [
        ("wait", 1),
        ("asked", 0),
        ("wait", 150),
        ("overrun", 0),
        ("asked", 0),
        ("wait", 149),
        ("asked", 0),
        ("wait", 1),
        ("asked", 0),
    ]
    assert record(interpreter, tmp_path / "root", *steps)[0] == [True, False, False, True]


def test_a_loss_is_counted_and_followed_by_a_dump(interpreter, tmp_path):
    """ENOBUFS and the kernel's count, outside the mode only; what a full buffer hides from ENOBUFS is counted as well.

    Nothing of it is said on the log, which may leave the gateway (ANON-4).
    """
    quiet = [("wait", 1), ("asked", 0), ("live", DONE), ("wait", 1), ("asked", 0)]
    lossy = [
        ("count", LIMIT),
        ("wait", 1),
        ("overrun", 0),
        ("drop", 7),
        ("wait", 1),
        ("asked", 0),
        ("live", DONE),
        ("wait", 1),
        ("drop", 3),
        ("wait", 1),
    ]
    printed, counters, said = record(
        interpreter,
        tmp_path / "root",
        *quiet,
        ("overrun", 0),
        ("drop", 1),
        ("wait", 1),
        ("asked", 0),
        *lossy,
        ("asked", 0),
    )
    assert printed == [True, False, False, True, True]
    assert counters == {"starts": 1, "overruns": 1, "lost: overrun": 10}
    assert not [line for line in said if "lost" in line]


def test_a_restart_is_one_gap_with_its_seconds(interpreter, tmp_path):
    """From the last second the former process saw.

    Never less than it was, and none after a boot or at the first start.
    """
    folder = tmp_path / "root"
    assert record(interpreter, folder, ("wait", 5), ("kill", 0))[1] == {"starts": 1}
    _, counters, said = record(interpreter, folder, ("wait", 1.5), ("close", 0), boot=112)
    assert counters == {"starts": 2, "gaps": 1, "gap seconds": 7}
    assert "gap of 7 s since the former process" in said
    _, counters, said = record(interpreter, folder, ("wait", 1), boot=114)
    assert counters == {"starts": 3, "gaps": 2, "gap seconds": 8}
    assert "gap of 1 s since the former process" in said
    assert record(interpreter, folder, boot=50)[1] == {"starts": 4, "gaps": 2, "gap seconds": 8}


TURNS = """
import struct
from agent.recorder import loop
from agent.runtime import memory, sockets
from agent.runtime.libc import LIBC, native

pair = native.function(native.library(None), "i", "socketpair", "iiip")
ends, taken = [], [0, 0, 0]
for name in range(4):
    both = bytearray(8)
    pair(1, 2 | LIBC["O_NONBLOCK"], 0, both)
    ends.append(struct.unpack("ii", both))

class FastPath:
    def run(self, inbox, limit):
        self.left = limit - 1
        return inbox.more()

class Counting:
    introduced = False
    fast_path = FastPath()

    def neighbour(self, buffer, length): taken[0] += 1
    def event(self, buffer, length): taken[1] += 1

class Lists:
    overrun = print
    def datagram(self, buffer, length): taken[2] += 1

counting = Counting()
counting.overrun = counting.neighbour_overrun = print
counting.live_table = counting.policies = Lists()
counting.timeouts = counting
streams = loop._streams(counting, lambda buffer, length: None, *[end[0] for end in ends])
for index in (1, 2):
    for _ in range((0, 2 * loop.BATCH + 1, 2 * loop.DUMP_BATCH + 1)[index]):
        LIBC.call("send", ends[index][1], b"x", 1, 0)
inbox = sockets.Inbox(ends[1][0], memory.scratch(sockets.ROOM).view)
print(loop.DUMP_BATCH)
for turn in range(6):
    loop._read(streams, [end[0] for end in ends], inbox)
    print(*taken)
    counting.introduced = True

class Clock:
    now = 0
    def monotonic(self):
        self.now += loop.CHANGING // 2
        return self.now

for _ in range(4 * loop.CHANGES):
    LIBC.call("send", ends[0][1], b"x", 1, 0)
for turn in range(3):
    left = loop._hear(streams[:1], [end[0] for end in ends], inbox, Clock(), 0)
    print(taken[0] // loop.CHANGES, len(left))
"""


def test_a_dump_is_read_only_in_a_turn_that_leaves_no_event_waiting(interpreter):
    """And events only once the LAN has been listed. A guest's changes hold no turn up for long (EXP-1)."""
    batch, *said = interpreter.run("-c", TURNS).stdout.decode().splitlines()
    once, twice = int(batch), 2 * int(batch)
    whole = f"0 257 {twice + 1}"
    turns, changes = said[:6], said[6:]
    assert turns == [f"0 0 {once}", f"0 128 {once}", f"0 256 {once}", f"0 257 {twice}", whole, whole]
    assert changes == ["2 1", "4 1", "4 0"]  # of a flood of changes only what a turn has time for, or all


REQUESTS = """
from binascii import hexlify
from agent.capture import connections, neighbours

print(hexlify(connections.REQUEST).decode())
listing = neighbours.Neighbours(neighbours.Listener())
listing.restart()
while True:
    request = listing.request()
    if request is None:
        break
    print(hexlify(request).decode())
    listing.reader.done = True
"""


def test_nothing_but_lists_is_ever_asked_of_the_kernel(any_interpreter):
    """0x103 would list the table and zero the counters that other tools on the router use."""
    order = ">" if any_interpreter.name == "mips" else "<"
    asked = [
        struct.unpack(order + "IHH", bytes.fromhex(line.decode())[:8])
        for line in any_interpreter.run("-c", REQUESTS).stdout.split()
    ]
    assert asked == [(20, 0x101, 0x301), (32, 18, 0x301), (24, 22, 0x301), *[(28, 30, 0x301)] * 2]


BEAT = """
import sys
from agent.runtime.process import Heartbeat, identity

heart = Heartbeat(sys.argv[1])
for now in (0, 1, 4999999999, 5000000000, 9999999999, 10000000000):
    heart.beat(now)
    with open(sys.argv[1]) as file:
        print(file.read(), end="")
print(identity())
"""


def test_the_heartbeat_says_who_beats_and_moves_every_five_seconds(any_interpreter, tmp_path):
    """Over a former process's file too."""
    (tmp_path / "heartbeat").write_text("9" * 99)
    *beats, who = any_interpreter.run("-c", BEAT, tmp_path / "heartbeat").stdout.decode().splitlines()
    assert beats == [f"{who} {count:010}" for count in (1, 1, 1, 2, 2, 3)]


SPAN = 0.05  # s


class Watched:
    """A process with a heartbeat, and an `oubli-watch` that looks at it."""

    def __init__(self, folder: Path) -> None:
        self.heartbeat = folder / "heartbeat"
        self.process = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
        self.called, program = folder / "called", folder / "oubli"
        program.write_text(f'#!/bin/sh\necho "$@" >>{self.called}\n')
        program.chmod(0o755)
        self.watch = subprocess.Popen(
            ["sh", WATCH, self.heartbeat, str(SPAN), program],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def identity(self, pid: int) -> str:
        """Return a process's number and start."""
        return f"{pid} {(PROC / str(pid) / 'stat').read_text().rsplit(') ', 1)[1].split()[19]}"

    def close(self) -> str:
        """End both; return what the watch said."""
        self.process.kill()
        self.process.wait()
        assert self.watch.poll() is None, "the watch ended"
        self.watch.kill()
        return self.watch.communicate()[1]


PROC = WATCH.parents[len(WATCH.parents) - 1] / "proc"


@pytest.fixture
def watched(tmp_path):
    one = Watched(tmp_path)
    yield one
    for process in (one.process, one.watch):
        process.kill()
        process.wait()
    if one.watch.stderr:
        one.watch.stderr.close()


def test_the_watch_ends_a_process_whose_heart_stands_still_even_a_stopped_one(watched):
    """Not before six looks at the same count, and again and again."""
    watched.process.send_signal(signal.SIGSTOP)
    watched.heartbeat.write_text(watched.identity(watched.process.pid) + " 7\n")
    begun = time.monotonic()
    assert watched.process.wait(240) == -signal.SIGKILL
    assert time.monotonic() - begun > 6 * SPAN
    second = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    watched.heartbeat.write_text(watched.identity(second.pid) + " 7\n")
    assert second.wait(240) == -signal.SIGKILL
    until = time.monotonic() + 120
    while (not watched.called.exists() or watched.called.read_text() != "expire\n" * 2) and time.monotonic() < until:
        time.sleep(SPAN)
    # What became due while it stood still goes now, not at the next start (EXP-1)
    assert watched.called.read_text() == "expire\n" * 2
    assert watched.close() == "oubli watch: the recorder hung and was ended\n" * 2


@pytest.mark.needs("root", "unshare")
def test_the_watch_ends_a_process_in_a_jail_that_knows_itself_by_another_number(watched):
    """Ujail gives a daemon process numbers of its own, in which it is the first.

    Another one's first process is left alone.
    """
    inside = 'read -r stat </proc/self/stat; echo "$stat"; exec sleep 60'
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", inside]
    jails: list[subprocess.Popen[str]] = []
    try:
        for _ in range(2):
            jails.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            said = jails[-1].stdout
            assert said is not None
            words = said.readline().split()
            time.sleep(0.02)  # the clock that start times are told in ticks every 10 ms
        assert words[0] == "1"  # what `read` is: exec keeps it
        watched.heartbeat.write_text(f"1 {words[21]} 7\n")
        assert jails[1].wait(240) != 0
        assert jails[0].poll() is None
        assert watched.close() == "oubli watch: the recorder hung and was ended\n"
    finally:
        for jail in jails:
            jail.kill()
            jail.communicate()


def first_of(jail: subprocess.Popen[bytes]) -> int:
    """Return the first process of a jail."""
    children = PROC / f"{jail.pid}/task/{jail.pid}/children"
    while not children.read_text():
        time.sleep(0.001)
    return int(children.read_text())


@pytest.mark.needs("root", "unshare", "setpriv")
def test_a_jail_of_another_user_that_began_at_the_same_tick_keeps_no_recorder_alive():
    """Seen on OpenWrt: procd starts forwarder and recorder at once, each the first process of its jail.

    The forwarder is found first.
    """
    jail, nobody = ["unshare", "--pid", "--fork", "--kill-child"], ["setpriv", "--reuid", "65534"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        folder.chmod(0o755)
        script = shutil.copy(WATCH, folder / "watch")
        for _ in range(1000):
            jails = [subprocess.Popen([*jail, *user, "sleep", "60"]) for user in ([], nobody)]
            forwarder, recorder = [str(first_of(one)) for one in jails]
            starts = {(PROC / pid / "stat").read_text().rsplit(") ", 1)[1].split()[19] for pid in (forwarder, recorder)}
            if len(starts) == 1 and forwarder < recorder:  # as the shell sorts them
                break
            for one in jails:
                one.kill()
                one.wait()
        (folder / "heartbeat").write_text(f"1 {starts.pop()} 7\n")
        watch = subprocess.Popen(
            [*nobody, "sh", script, folder / "heartbeat", str(SPAN), "true"], stderr=subprocess.PIPE, text=True
        )
        try:
            assert jails[1].wait(240) != 0
            assert jails[0].poll() is None
        finally:
            watch.kill()
            said = watch.communicate()[1]
            for one in jails:
                one.kill()
                one.wait()
        # Once, or again where this test comes late: nobody writes a heartbeat anew here.
        assert set(said.splitlines()) == {"oubli watch: the recorder hung and was ended"}


ALARM = """
from agent.runtime import process
from agent.runtime.libc import LIBC

process.end_at_alarm()
LIBC.call("alarm", 1)
while True:
    pass
"""


@pytest.mark.needs("root", "unshare")
@pytest.mark.parametrize(
    "jail", [[], ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]], ids=["as it is", "in a jail"]
)
def test_an_alarm_ends_what_hangs_in_a_jail_too(interpreter, jail):
    """The first process of a namespace gets no signal without a handler: the default action would never come."""
    words = [*jail, *interpreter.command("-c", ALARM)]
    done = subprocess.run(words, check=False, timeout=240, cwd=PROJECT, env=host.environment())
    assert done.returncode == signal.SIGALRM


def test_the_watch_leaves_a_heart_that_beats(watched):
    who = watched.identity(watched.process.pid)
    for count in range(20):
        watched.heartbeat.write_text(f"{who} {count}\n")
        time.sleep(2 * SPAN)
    assert watched.process.poll() is None
    assert watched.close() == ""


@pytest.mark.parametrize(
    "text", ["{pid} 1 7\n", "{pid}\n", "", "\n", "x y z\n", "../self 1 1\n", "1 0 1\n", "* * *\n", None]
)
def test_the_watch_ends_nobody_else(watched, text):
    """Another process by that number, a number alone, an empty file, no file, nonsense.

    Where a heart stood still what is due goes all the same: its process may be gone, and none follow.
    """
    if text is not None:
        watched.heartbeat.write_text(text.format(pid=watched.process.pid))
    time.sleep(10 * SPAN)
    until, stood = time.monotonic() + 60, bool(text and text.strip())
    while stood and not watched.called.exists() and time.monotonic() < until:
        time.sleep(SPAN)
    assert watched.called.exists() == stood
    assert watched.process.poll() is None
    assert watched.close() == ""


def test_the_watch_refuses_what_is_no_number():
    done = subprocess.run(["sh", WATCH, "/nowhere", "often"], capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "oubli-watch: SECONDS: 'often' isn't understood; accepted: a number\n"
