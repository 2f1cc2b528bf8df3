# SPDX-License-Identifier: Apache-2.0
"""`ct timeout` objects of the ruleset count for T, and so do helpers that set timeouts (EXP-1).

Read from recorded and made lists, and on the real kernel.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from agent.capture.timeouts import DEFAULTS
from agent.runtime.clocks import DeviceTime
from agent.vault import reading
from host_sim.lab import flows
from host_sim.venue import kernel
from tests.control.test_control import LIVE, device
from tests.support.interpreters import PROJECT, Interpreter

OBJECTS = (Path(__file__).parent.parent / "vectors" / "nftables" / "objects.bin").read_bytes()
SECOND = 1_000_000_000

# Each line of input: what to do. Answers the seconds that count for each of `names`, by connections that began at 50 s.
DRIVER = """
import json, struct, sys
from agent.capture import timeouts

class Connection:
    remaining = 0

settings = {"udp_timeout": 20, "tcp_timeout_close": 10, "sctp_timeout_shutdown_sent": 0}
told = timeouts.Timeouts(settings.get, lambda: settings.get("slept", 0))
connection = Connection()
connection.start, connection.stop = 50 * 10**9, 10**17
for row in sys.stdin:
    call, *words = json.loads(row)
    if call == "list":
        told.policies.restart()
        for datagram in words:
            data = bytes(int(datagram[at : at + 2], 16) for at in range(0, len(datagram), 2))
            told.policies.reader.read(data, len(data))
        policies = told.policies
        print(json.dumps([policies.finish(), policies.reader.malformed, sorted(policies.largest.items())]))
    elif call == "refresh":
        told.refresh(words[0] * 10**9)
    elif call == "tick":
        told.tick(words[0] * 10**9, words[0] * 10**9)
    elif call == "set":
        settings[words[0]] = words[1]
    else:
        connection.protocol, connection.state, connection.status = words
        print((connection.stop - told.end(connection)) // 10**9)
"""
DONE, ERROR, INTERRUPTED = 3, 2, 0x10


def order_of(interpreter: Interpreter) -> str:
    return ">" if interpreter.name == "mips" else "<"


def message(order: str, kind: int, body: bytes, flags: int = 2) -> bytes:
    return struct.pack(order + "IHHII", 16 + len(body), kind, flags, 1, 0) + body


def attribute(order: str, number: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def made(order: str, protocol: int, policy: dict[int, int], which: int = 7, flags: int = 2) -> bytes:
    """Return a `ct timeout` object as the kernel lists it, or another one like it."""
    states = b"".join(attribute(order, state, struct.pack(">I", seconds)) for state, seconds in policy.items())
    data = attribute(order, 2, bytes((protocol,))) + attribute(order, 1, b"\0\2") + attribute(order, 0x8003, states)
    return listed(order, which, data, flags)


def helper(order: str, name: str, protocol: int) -> bytes:
    """Return a `ct helper` object as the kernel lists it."""
    data = attribute(order, 1, name.encode() + b"\0") + attribute(order, 2, b"\0\2")
    return listed(order, 3, data + attribute(order, 3, bytes((protocol,))))


def listed(order: str, which: int, data: bytes, flags: int = 2) -> bytes:
    body = (
        bytes(4)
        + attribute(order, 1, b"t\0")
        + attribute(order, 2, b"dns\0")
        + attribute(order, 3, struct.pack(">I", which))
    )
    return message(order, 0xA12, body + attribute(order, 5, struct.pack(">I", 0)) + attribute(order, 4, data), flags)


def end(order: str, kind: int = DONE, number: int = 0, flags: int = 2) -> bytes:
    return message(order, kind, struct.pack(order + "i", number), flags)


def drive(interpreter: Interpreter, *steps: tuple) -> list:
    """Return what the driver answers."""
    rows = [[step[0], *(word.hex() if isinstance(word, bytes) else word for word in step[1:])] for step in steps]
    done = interpreter.run("-c", DRIVER, input="".join(json.dumps(row) + "\n" for row in rows))
    return [json.loads(line) for line in done.stdout.splitlines()]


RECORDED = {
    "tcp_timeout_syn_sent": 120, "tcp_timeout_syn_recv": 60, "tcp_timeout_established": 600000,
    "tcp_timeout_fin_wait": 120, "tcp_timeout_close_wait": 60, "tcp_timeout_last_ack": 30, "tcp_timeout_time_wait": 120,
    "tcp_timeout_close": 99, "tcp_timeout_syn_sent2": 120, "udp_timeout": 500, "udp_timeout_stream": 600,
}  # fmt: skip


def test_a_recorded_list_gives_the_largest_value_of_each_state(interpreter: Interpreter) -> None:
    """Counters and helpers of the ruleset are passed over. What this file makes is what the kernel wrote."""
    datagrams = list(kernel.records(OBJECTS))
    assert drive(interpreter, ("list", *datagrams)) == [[True, 0, [list(pair) for pair in sorted(RECORDED.items())]]]
    assert made("<", 17, {1: 500, 2: 600})[20:].split(b"dns\0")[1][20:] in b"".join(datagrams)


UDP, TCP, SCTP, UDPLITE, GRE, ESP = 17, 6, 132, 136, 47, 50


def test_the_larger_of_setting_and_objects_counts(any_interpreter: Interpreter) -> None:
    """By protocol and state; several objects, several messages in a datagram.

    States that no setting has are passed over.
    """
    order = order_of(any_interpreter)
    listed = (
        made(order, UDP, {1: 15, 2: 700}) + made(order, UDP, {1: 33, 2: 600}),
        made(order, TCP, {8: 9, 7: 500, 10: 9000, 11: 9000, 12: 9000})
        + made(order, SCTP, {5: 44})
        + made(order, GRE, {2: 999}),
        made(order, ESP, {1: 1234}) + made(order, UDP, {1: 9999}, which=3) + end(order),
    )
    asked = [
        ("end", *connection)
        for connection in (
            (UDP, 0, 8), (UDP, 0, 14), (UDPLITE, 0, 14), (TCP, 8, 14), (TCP, 7, 14), (TCP, 3, 14), (SCTP, 5, 14),
            (SCTP, 6, 14), (SCTP, 4, 14), (SCTP, 0, 14), (GRE, 0, 8), (GRE, 0, 14), (ESP, 0, 8), (99, 0, 8),
        )
    ]  # fmt: skip
    before = [20, 120, 120, 10, 120, 432000, 1, 3, 432000, 432000, 30, 180, 600, 600]
    after = [33, 700, 700, 10, 500, 432000, 44, 3, 432000, 432000, 30, 999, 1234, 1234]
    answers = drive(any_interpreter, *asked, ("list", *listed), ("refresh", 100), *asked)
    assert (answers[: len(asked)], answers[len(asked) + 1 :]) == (before, after)
    assert answers[len(asked)][:2] == [True, 0]


# State and status: what is asked of helpers, and what counts by the settings.
ASKED = [
    ("end", *connection)
    for connection in (
        (UDP, 0, 8), (UDP, 0, 14), (UDPLITE, 0, 8), (TCP, 7, 14), (TCP, 8, 14), (TCP, 3, 14), (GRE, 0, 8), (GRE, 0, 14),
        (1, 0, 8),
    )
]  # fmt: skip
SETTINGS = [20, 120, 20, 120, 10, 432000, 30, 180, 30]
SIP = [3600, 3600, 3600, 3600, 3600, 432000, 30, 180, 30]
ENDLESS = 2**31 // 100  # what no register of the kernel's clock can pass
HELPERS = {
    "sip": SIP,
    "sip-1": SIP,
    "amanda": [300, 300, 300, *SETTINGS[3:]],
    "RAS": [ENDLESS, ENDLESS, ENDLESS, *SETTINGS[3:]],
    "pptp": [*SETTINGS[:6], 600, 18000, 30],
    **dict.fromkeys(("ftp", "tftp", "irc", "Q.931", "", "sipx"), SETTINGS),
}


@pytest.mark.parametrize("name", HELPERS)
def test_what_a_helper_of_the_ruleset_sets_counts_for_all_that_it_may_follow(
    any_interpreter: Interpreter, name: str
) -> None:
    """The kernel doesn't tell which connection had one; a SIP contact over UDP may be one over TCP."""
    order = order_of(any_interpreter)
    listed = helper(order, name, TCP if name == "pptp" else UDP) + end(order)
    answers = drive(any_interpreter, ("list", listed), ("refresh", 100), *ASKED, ("list", end(order)), ("refresh", 49))
    assert answers[0][:2] == [True, 0]
    assert answers[1:10] == HELPERS[name]
    gone = drive(any_interpreter, ("list", listed), ("refresh", 40), ("list", end(order)), ("refresh", 60), *ASKED)
    assert gone[2:] == HELPERS[name]  # what began before it went
    gone = drive(any_interpreter, ("list", listed), ("refresh", 40), ("list", end(order)), ("refresh", 49), *ASKED)
    assert gone[2:] == SETTINGS


def test_where_helpers_attach_by_themselves_all_of_them_count(any_interpreter: Interpreter) -> None:
    steps = [("set", "helper", 1), ("refresh", 40), *ASKED, ("set", "helper", 0), ("refresh", 49), *ASKED]
    answers = drive(any_interpreter, *steps)
    assert answers == [ENDLESS, ENDLESS, ENDLESS, 3600, 3600, 432000, 600, 18000, 30, *SETTINGS]


def test_an_object_that_is_gone_counts_for_connections_that_it_may_have_had(any_interpreter: Interpreter) -> None:
    order = order_of(any_interpreter)
    first, second = made(order, UDP, {1: 500}), end(order)
    steps = [("list", first + second), ("refresh", 40), ("list", second), ("refresh", 49), ("end", UDP, 0, 8)]
    assert drive(any_interpreter, *steps)[-1] == 20
    steps[3] = ("refresh", 50)  # the connections of the driver began in this second
    assert drive(any_interpreter, *steps)[-1] == 500


@pytest.mark.parametrize("case", ["changed meanwhile", "changed at the end", "refused", "no end"])
def test_a_list_that_is_not_whole_takes_nothing_away(any_interpreter: Interpreter, case: str) -> None:
    order = order_of(any_interpreter)
    first = made(order, UDP, {1: 500}) + made(order, TCP, {8: 70}) + end(order)
    second = {
        "changed meanwhile": made(order, TCP, {8: 80}, flags=2 | INTERRUPTED) + end(order),
        "changed at the end": made(order, TCP, {8: 80}) + end(order, flags=2 | INTERRUPTED),
        "refused": made(order, TCP, {8: 80}) + end(order, ERROR, -16),
        "no end": made(order, TCP, {8: 80}),
    }[case]
    answers = drive(any_interpreter, ("list", first), ("list", second))
    assert answers[1] == [
        case != "no end",
        0,
        [["tcp_timeout_close", 70 if case == "no end" else 80], ["udp_timeout", 500]],
    ]


def test_a_broken_object_is_counted_and_the_others_stand(any_interpreter: Interpreter) -> None:
    """Values, protocol and type of another width; lengths that lie; a message too short for any attribute."""
    order = order_of(any_interpreter)
    right = made(order, UDP, {1: 500})
    spoilt = []
    for what in (
        struct.pack(order + "HH", 8, 1) + struct.pack(">I", 500),
        struct.pack(order + "HH", 5, 2),
        struct.pack(order + "HH", 8, 3),
    ):
        at = right.rindex(what)
        broken = bytearray(right)
        struct.pack_into(order + "H", broken, at, struct.unpack_from(order + "H", right, at)[0] + 1)
        spoilt.append(bytes(broken))
    spoilt.append(message(order, 0xA12, b""))
    answers = drive(any_interpreter, ("list", b"".join(spoilt) + right + end(order)))
    assert answers == [[True, 4, [["udp_timeout", 500]]]]


# Each line of input: octets that lie in the file, or null, and what is done. Answers what it is asked.
RESTARTS = """
import json, os, sys
from agent.capture import timeouts

class Lines:
    def wall(self):
        return self.now + self.lines[0][2]

class Connection:
    protocol, state, status, remaining, stop = 17, 0, 8, 0, 10**19

lines, connection, path, told, values = Lines(), Connection(), PATH, None, {}
for row in sys.stdin:
    call, *words = json.loads(row)
    if call == "left":
        with open(path, "w") as file:
            file.write(words[0])
    elif call == "start":
        boot, now, offset, values = words
        lines.now, lines.lines = now * 10**9, [[0, 0, offset * 10**9]]
        told = timeouts.Timeouts(lambda name: values.get(name), lambda: values.get("slept", 0) * 10**9)
        told.outlast(path, boot, lines)
    elif call == "refresh":
        now, values = words
        told.refresh(now * 10**9)
    elif call == "slewed":
        lines.lines[0][2] += words[0] * 10**6
    else:
        connection.start = words[0] * 10**9
        print((connection.stop - told.end(connection)) // 10**9)
"""


def restarts(interpreter: Interpreter, path: Path, *steps: tuple) -> list:
    rows = "".join(json.dumps(step) + "\n" for step in steps)
    done = interpreter.run("-c", RESTARTS.replace("PATH", repr(str(path))), input=rows)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_new_process_knows_what_held_before_it_whatever_the_clock_shows_then(
    any_interpreter: Interpreter, tmp_path: Path
) -> None:
    """What began up to two seconds later counts as before: steps of less than half a second aren't noticed."""
    steps = [
        ("start", "b", 100, 0, {"udp_timeout": 500}), ("refresh", 200, {"udp_timeout": 90}),
        ("start", "b", 300, 1000, {"udp_timeout": 90}), ("end", 1199), ("end", 1200), ("end", 1203),
        ("start", "b", 400, 0, {"udp_timeout": 60}), ("end", 200), ("end", 203), ("end", 400), ("end", 401),
        ("start", "c", 50, 0, {"udp_timeout": 60}), ("end", 51),
    ]  # fmt: skip
    assert restarts(any_interpreter, tmp_path / "timeouts", *steps) == [500, 500, 90, 500, 90, 90, 60, 60]


def test_small_steps_of_the_clock_add_up_and_a_new_process_knows_what_held_before_them(
    any_interpreter: Interpreter, tmp_path: Path
) -> None:
    """EXP-1: an hourly `ntpd -q` steps by less than half a second; stamps stay as they were, times since boot don't."""
    hours = [("slewed", -400), ("refresh", 300, {"udp_timeout": 90})] * 20
    steps = [("start", "b", 100, 0, {"udp_timeout": 500}), ("refresh", 200, {"udp_timeout": 90}), *hours]
    steps += [("start", "b", 400, -8, {"udp_timeout": 90}), ("end", 199), ("end", 203)]
    assert restarts(any_interpreter, tmp_path / "timeouts", *steps) == [500, 90]


def test_a_sleep_makes_what_began_before_it_ended_last_longer(any_interpreter: Interpreter) -> None:
    """The kernel's ticks stand still: an entry times out later by the sleep, whether it came before its last packet."""
    asked = [("end", UDP, 0, 8), ("end", TCP, 3, 14)]
    steps: list[tuple] = [("tick", 40), ("set", "slept", 3600 * SECOND), ("tick", 49), *asked]
    steps += [("set", "slept", 3700 * SECOND), ("tick", 50), *asked, ("tick", 90), *asked]
    steps += [("set", "slept", 3705 * SECOND + SECOND // 2), ("tick", 100), *asked]
    steps += [("set", "udp_timeout", 7), ("tick", 200), *asked]
    longer = [20, 432000, 121, 432101, 121, 432101, 127, 432107, 127, 432107]
    assert drive(any_interpreter, *steps) == longer


def test_a_sleep_comes_on_top_of_a_value_that_is_read_after_it(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """EXP-1: it was set just before the gateway slept, or the boot's first recorder starts after that."""
    values = {"udp_timeout": 180}
    steps = [("start", "b", 100, 0, values | {"slept": 3600}), ("end", 99), ("end", 101)]
    assert restarts(any_interpreter, tmp_path / "timeouts", *steps) == [180 + 3601, 180]
    steps = [("tick", 60), ("set", "udp_timeout", 500), ("set", "slept", 3600 * SECOND), ("tick", 63)]
    assert drive(any_interpreter, *steps, ("end", UDP, 0, 8)) == [500 + 3601]


def test_many_sleeps_add_up_however_short(any_interpreter: Interpreter) -> None:
    """No more than is remembered, and never less than what was slept."""
    steps: list[tuple] = []
    for second in range(10):
        steps += [("set", "slept", (second + 1) * 10 * SECOND), ("tick", 45 + second)]
    (seconds,) = drive(any_interpreter, *steps, ("end", UDP, 0, 8))
    assert 20 + 5 * 10 <= seconds <= 20 + 10 * 11  # of ten it began before the last five
    steps = []
    for second in range(100):
        steps += [("set", "slept", (second + 1) * SECOND // 50), ("tick", 60 + second)]
    (seconds,) = drive(any_interpreter, *steps, ("end", UDP, 0, 8))
    assert seconds >= 22


def test_a_new_process_knows_what_was_slept_before_it(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """Whether the former one saw it or none ran; each sleep counts once, and another boot's not at all."""
    values = {"udp_timeout": 20}
    steps = [
        ("start", "b", 100, 0, values), ("refresh", 150, values), ("start", "b", 200, 0, values | {"slept": 60}),
        ("end", 199), ("end", 201), ("start", "b", 300, 0, values | {"slept": 60}), ("end", 199), ("end", 203),
        ("start", "c", 400, 0, values), ("end", 401),
    ]  # fmt: skip
    assert restarts(any_interpreter, tmp_path / "timeouts", *steps) == [81, 20, 81, 20, 20]


LEFT = (
    None, "", "{", "[]", "7", '"boot"', "{}", "[" * 2000, " " * 5000, '{"boot": "another", "udp_timeout": [10]}',
    '{"boot": "b", "udp_timeout": []}', '{"boot": "b", "udp_timeout": [10, 20]}', '{"boot": "b", "udp_timeout": 10}',
    '{"boot": "b", "udp_timeout": ["10"]}', '{"boot": "b", "udp_timeout": {"10": 10}}', '{"boot": "b"}',
)  # fmt: skip


def test_where_nothing_tells_of_before_the_larger_of_default_and_present_counts(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    """A first start on a gateway that runs; a file that is damaged, of another boot or too large."""
    steps: list[tuple] = []
    for left in LEFT:
        for present in (20, 50):  # the default is 30
            steps += [] if left is None else [("left", left)]
            steps += [("start", "b", 100, 0, {"udp_timeout": present}), ("end", 100), ("end", 101)]
    (tmp_path / "a folder").mkdir()
    assert restarts(interpreter, tmp_path / "a folder/timeouts", *steps) == [30, 20, 50, 50] * len(LEFT)


def test_all_that_is_remembered_fits_the_file_which_is_written_upon_a_change_alone(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    path, last = tmp_path / "folder/timeouts", 4_294_967_000
    falling = [("refresh", last + turn, dict.fromkeys(DEFAULTS, last - turn)) for turn in range(9)]
    start, lasting = ("start", "b", last, 0, falling[0][2]), ("end", last + 4)
    assert restarts(interpreter, path, start, *falling, lasting) == [last]  # there is no such folder
    path.parent.mkdir()
    assert restarts(interpreter, path, start, *falling, lasting) == [last]
    assert 3000 < path.stat().st_size < 4096
    again = ("start", "b", last + 20, 0, falling[-1][2])
    unchanged = ("refresh", last + 30, falling[-1][2])
    assert restarts(interpreter, path, again, lasting, ("left", "-"), unchanged) == [last]
    assert path.read_text() == "-"


NAMESPACE = f"""
ip link add lan address {flows.GATEWAY_MAC.hex(":")} type veth peer name terminals
ip address add 192.168.7.1/24 dev lan
ip link add wan type veth peer name isp
ip address add 203.0.113.2/24 dev wan
for link in lan terminals wan isp; do ip link set $link up; done
echo 1 > /proc/sys/net/ipv4/ip_forward
for name in events acct timestamp udp_timeout; do echo $VALUE > /proc/sys/net/netfilter/nf_conntrack_$name; done
nft -f - <<'END'
table inet t {{
  RULES
}}
END
exec "$@"
"""
CHAIN = "chain c {{ type filter hook forward priority 0; udp dport {} {}; }}"
RULES = {
    53: "ct timeout slow { protocol udp; l3proto ip; policy = { unreplied : 4s, replied : 4s }; }\n"
    + CHAIN.format(53, 'ct timeout set "slow"'),
    5060: 'ct helper phones { type "sip" protocol udp; }\n' + CHAIN.format(5060, 'ct helper set "phones"'),
}
SEND = """
import socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("terminals", 0))
for pause in (0, 1):
    time.sleep(pause)
    wire.send(bytes.fromhex(sys.argv[1]))
print(time.time_ns())
time.sleep(4.2)
open("/proc/net/nf_conntrack").read()  # the kernel evicts what has timed out
"""


@LIVE
@pytest.mark.parametrize("port", RULES)
def test_end_is_not_later_than_the_last_packet_under_a_longer_timeout_of_the_ruleset(
    interpreter: Interpreter, port: int
) -> None:
    """The setting says 1 s, the rule's object 4 s: the entry outlives its last packet by 4 s.

    The rule's helper says an hour: the entry is deleted before, and tells what is left of it.
    """
    packet = kernel.Flow(2, UDP, bytes((192, 168, 7, 9)), bytes((203, 0, 113, 9)), 40999, port, b"", b"", 0, 0, 0, 0)
    packet.bytes_up = 20
    with (
        tempfile.TemporaryDirectory(prefix="oubli-") as path,
        device(Path(path), interpreter, namespace=NAMESPACE.replace("RULES", RULES[port])) as gateway,
    ):
        assert gateway.process is not None
        words = [
            "nsenter",
            "-t",
            str(gateway.process.pid),
            "-n",
            sys.executable,
            "-c",
            SEND,
            next(flows.frames(packet)).hex(),
        ]
        last = int(subprocess.run(words, cwd=PROJECT, check=True, capture_output=True, timeout=240).stdout)
        if port == 5060:
            gateway.inside("conntrack", "-D", "-p", "udp")
        limit = time.monotonic() + 90
        while not gateway.status(interpreter)["counters"]["kept"]:
            assert time.monotonic() < limit, "the recorder saw nothing"
            time.sleep(0.1)
        gateway.stop()
        source = DeviceTime()
        (record,) = reading.read(path, "security", source.wall(), source.monotonic())
        assert (record.source_port, record.packets_up) == (40999, 2)
        tenth = SECOND // 10
        # The kernel counts in ticks, and a busy machine's come late. What is left of the helper's hour is in seconds.
        assert last // tenth - (3 if port == 53 else 13) <= record.start + record.duration <= last // tenth + 1
        assert (9 if port == 53 else 0) <= record.duration <= 12
