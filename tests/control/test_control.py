# SPDX-License-Identifier: Apache-2.0
"""agent/control: the socket of the person at the gateway, and `oubli status` asked of a recorder that runs.

The server is driven by each interpreter with its clock five times as fast, which is what its caller hands in. The
recorder is the real one, in a network namespace of its own, so that this machine's connections stay its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import law
from agent.control.calls import ANYONE, CALLS, OPERATOR, PORTAL, ROOT
from host_sim.checks import process_memory
from host_sim.driver import live_files
from host_sim.driver.interpreters import environment
from tests.runtime.test_runtime import CONNECT, line, running
from tests.support.interpreters import HEAP, INTERPRETERS, Interpreter

NO_REQUEST = b'{"error":"not a request; accepted: {\\"v\\":1,\\"call\\":NAME,...}","v":1}\n'
TOO_LONG = b'{"error":"too long; accepted: a line of at most 4096 octets","v":1}\n'
TOO_SLOW = b'{"error":"too slow; accepted: a line within 5 s","v":1}\n'
TOO_MANY = b'{"error":"too many at once; accepted: 2 of a user, 4 of the portal\'s, 8 in all","v":1}\n'


@pytest.fixture
def folder():
    """Give an empty folder with a short name: a unix socket's path has at most 107 octets."""
    with tempfile.TemporaryDirectory(prefix="oubli-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


SERVER = """
import sys
from agent.control import calls
from agent.control.server import Server
from agent.runtime import process, sockets
from agent.runtime.clocks import DeviceTime
from agent.runtime.libc import LIBC

PATH, OWN_USER, SPEED = {path!r}, {user}, {speed}
LIBC.function("umask")(0o077)
stop, poll, clock = process.stop_descriptor(), sockets.Poll(), DeviceTime()
poll.add(stop)
heard = []

def answer(_service, fields, roles):
    heard.append(roles)
    if fields.get("fail"):
        raise OSError(5, "")
    return {{"calls": len(heard), "a": [None, True, 1.5], "big": "x" * (fields.get("size") or 0)}}

def many(_service, fields, roles):
    for number in range(fields["lines"]):
        if number == 7 and fields["fail"] == "now":
            raise calls.Refused("it changed; accepted: once more")
        if number == 7 and fields["fail"] == "ever":
            raise ValueError
        if number == 7 and fields["fail"] == "mem":
            raise MemoryError
        yield {{"number": number, "big": "x" * (fields["size"] or 0)}}

LINES = {{"lines": calls.number(0, 99999), "size?": calls.number(0, 9999), "fail?": calls.one_of("now", "ever", "mem")}}
FIELDS = {{"size?": calls.number(0, 300000), "fail?": calls.one_of("now"), "pad?": calls.text(4096)}}
TABLE = {{
    "status": calls.Call(calls.STAFF, FIELDS, answer),
    "ntp": calls.Call((calls.ROOT,), {{}}, answer),
    "many": calls.Call((calls.ROOT,), LINES, many),
    "mine": calls.Call((calls.ROOT, calls.PORTAL), {{}}, answer),
    "all": calls.Call((calls.ROOT, calls.ANYONE), {{}}, answer),
}}
peers, children = calls.Peers(OWN_USER, PATH.rsplit("/", 1)[0]), []
server = Server(PATH, poll, peers, lambda line, roles: calls.answer(None, line, roles, TABLE), children)
server.open()
print("listening")
while True:
    ready = poll.wait(20)
    now = clock.monotonic() * SPEED
    if stop in ready:
        break
    for descriptor in ready:
        if not server.ready(descriptor, now):
            print("not mine")
    server.tick(now)
server.close()
print(len(heard), poll.wait(0) == [stop])
"""


@pytest.fixture
def served(any_interpreter: Interpreter, folder: Path):
    """Give the path of a served socket on each interpreter."""
    with serving(any_interpreter, folder) as path:
        yield path


@contextlib.contextmanager
def serving(interpreter: Interpreter, folder: Path, speed: int = 1):
    """Run the server by a clock of this speed; give the path of its socket.

    It must end in order, whatever a test did to it.
    """
    path = folder / "socket"
    with running(
        interpreter.command("-c", SERVER.format(path=str(path), user=1, speed=speed)), interpreter.root
    ) as process:
        assert line(process) == "listening"
        yield path
        assert ask(path, b'{"v":1,"call":"status"}\n').startswith(b'{"a":[null,true,1.5],"big":"","calls":')
        process.send_signal(signal.SIGTERM)
        assert line(process).endswith(" True")
        assert process.wait(240) == 0


AT_ONCE = 4  # seconds, of a machine that may be busy; who is waited for, is for 5


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    limit = time.monotonic() + 90
    while True:
        try:
            client.connect(str(path))
        except BlockingIOError:  # others fill the queue
            assert time.monotonic() < limit, "nobody is let in"
            time.sleep(0.01)
        else:
            return client


def rest(client: socket.socket) -> bytes:
    """Return all that the server still says before it closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError), client:
        while part := client.recv(65536):
            data += part
    return data


def refused(client: socket.socket, octets: bytes, pause: float) -> bool:
    """Say the same again and again; True once the server has hung up, False after 20 s."""
    limit = time.monotonic() + 90
    try:
        while time.monotonic() < limit:
            client.sendall(octets)
            time.sleep(pause)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def ask(path: Path, octets: bytes) -> bytes:
    """Say something, then return all that the server answers before it closes."""
    client = connected(path)
    client.sendall(octets)
    return rest(client)


def test_a_request_is_a_line_and_so_is_the_answer_equal_on_every_interpreter(served: Path) -> None:
    """Keys sorted, no spaces; the server closes behind its answer, and hears nothing that comes after the line."""
    assert ask(served, b'{"v":1,"call":"status","size":3}\n') == b'{"a":[null,true,1.5],"big":"xxx","calls":1,"v":1}\n'
    assert (
        ask(served, b' { "call" : "ntp" , "v" : 1 } \n{"v":1,"call":"ntp"}\n')
        == b'{"a":[null,true,1.5],"big":"","calls":2,"v":1}\n'
    )
    client = connected(served)
    for octet in b'{"v":1,"call":"status"}\n':
        client.sendall(bytes((octet,)))
        time.sleep(0.002)
    assert rest(client) == b'{"a":[null,true,1.5],"big":"","calls":3,"v":1}\n'


JUNK = {
    "nothing": b"",
    "nul": b"\0",
    "not JSON": b"status",
    "not UTF-8": b'{"call":"\xff\xfe"}',
    "octets": bytes(range(11, 256)),
    "number": b"1",
    "huge number": b"9" * 4000,
    "list": b'["status"]',
    "no call": b'{"v":1}',
    "no version": b'{"call":"status"}',
    "deep": b"[" * 4090,
    "deep and closed": b"[" * 2000 + b"]" * 2000,
    "deep call": b'{"call":' * 400 + b"1" + b"}" * 400,
}
REFUSED = {
    b'"v":2,"call":"status"': "v: unknown version; accepted: 1",
    b'"v":true,"call":"status"': "v: unknown version; accepted: 1",
    b'"v":1,"call":"forget"': "call: unknown; accepted: all, many, mine, ntp, status",
    b'"v":1,"call":["status"]': "call: unknown; accepted: all, many, mine, ntp, status",
    b'"v":1,"call":null': "call: unknown; accepted: all, many, mine, ntp, status",
    b'"v":1,"call":"ntp","size":1': "ntp: an unknown field; accepted: none",
    b'"v":1,"call":"status","sise":1': "status: an unknown field; accepted: fail?, pad?, size?",
    b'"v":1,"call":"status","size":-1': "status.size: not understood; accepted: a whole number from 0 to 300000",
    b'"v":1,"call":"status","size":true': "status.size: not understood; accepted: a whole number from 0 to 300000",
    b'"v":1,"call":"status","fail":"later"': "status.fail: not understood; accepted: now",
    b'"v":1,"call":"status","pad":"\\u0007"': (
        "status.pad: not understood; accepted: a text of 1 to 4096 octets, no control character"
    ),
    b'"v":1,"call":"status","pad":{}': (
        "status.pad: not understood; accepted: a text of 1 to 4096 octets, no control character"
    ),
}


def test_junk_is_answered_with_what_is_accepted_and_stops_nothing(served: Path) -> None:
    """The same line for all of it, with nothing of the junk in it; a request that isn't allowed is told what is."""
    assert {name: ask(served, octets + b"\n") for name, octets in JUNK.items()} == dict.fromkeys(JUNK, NO_REQUEST)
    told = {octets: json.loads(ask(served, b"{" + octets + b"}\n")) for octets in REFUSED}
    assert told == {octets: {"error": error, "v": 1} for octets, error in REFUSED.items()}


def test_a_line_has_at_most_4096_octets(served: Path) -> None:
    """One octet more, or no end at all, and the server hangs up; how the octets arrive makes no difference."""
    fits = b'{"v":1,"call":"status","pad":"%s"}\n' % (b"x" * (4096 - 33))
    assert len(fits) == 4096
    assert ask(served, fits) == b'{"a":[null,true,1.5],"big":"","calls":1,"v":1}\n'
    assert ask(served, fits.replace(b"xx", b"xxx", 1)) == TOO_LONG
    client = connected(served)
    client.sendall(b"x" * 4000)
    time.sleep(0.1)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(b"y" * 97 + b"\n")
    assert rest(client) == TOO_LONG
    begun = time.monotonic()
    assert ask(served, b"z" * 4096) == TOO_LONG
    assert time.monotonic() - begun < AT_ONCE, "what can't become a line isn't waited for"
    endless = connected(served)
    assert refused(endless, b"x" * 65536, 0)
    assert rest(endless) == TOO_LONG


def test_slow_silent_and_half_open_clients_are_cut_after_five_seconds(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """Of the clock that is handed in. A client that sends an octet now and then gains nothing by it."""
    with serving(any_interpreter, folder, speed=5) as path:
        start = time.monotonic()
        silent, half = connected(path), connected(path)
        half.sendall(b'{"call":')
        slow = connected(path)
        assert refused(slow, b" ", 0.02)
        took = time.monotonic() - start
        assert 0.9 < took < 5, "5 s of a clock that runs five times as fast"
        assert (rest(silent), rest(half), rest(slow)) == (TOO_SLOW, TOO_SLOW, TOO_SLOW)


def test_an_end_of_the_stream_is_not_waited_for(served: Path) -> None:
    gone = connected(served)
    gone.sendall(b'{"call":"stat')
    gone.shutdown(socket.SHUT_WR)
    begun = time.monotonic()
    assert rest(gone) == b""
    assert time.monotonic() - begun < AT_ONCE


def test_a_big_answer_waits_for_its_reader_and_not_for_ever(interpreter: Interpreter, folder: Path) -> None:
    """What a client doesn't read is kept for it until its time is over.

    A client that vanishes takes nothing with it.
    """
    # An answer larger than the kernel's buffer for it, which the agent never gives, needs a larger heap.
    roomy = Interpreter(interpreter.name, tuple(word.replace(HEAP, "4M") for word in interpreter.words))
    big = b'{"v":1,"call":"status","size":300000}\n'
    with serving(roomy, folder, speed=5) as path:
        reader, lazy, gone = connected(path), connected(path), connected(path)
        for client in (reader, lazy, gone):
            client.sendall(big)
        gone.close()
        assert len(rest(reader)) == 300000 + len(b'{"a":[null,true,1.5],"big":"","calls":1,"v":1}\n')
        hung_up = select.poll()
        hung_up.register(lazy, select.POLLRDHUP)
        assert hung_up.poll(20000)
        assert 0 < len(rest(lazy)) < 300000


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that a server has made of itself."""
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def until_no_child(process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 90
    while children_of(process):
        assert time.monotonic() < limit, "a child process goes on"
        time.sleep(0.02)


@pytest.mark.long
def test_an_answer_of_many_lines_is_made_by_a_child_and_others_are_answered_meanwhile(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """EXP-1: what it reads is in no memory but the child's.

    That one ends with its answer, where it can't go on, with its reader, its patience, and the server.
    """
    with running(
        any_interpreter.command("-c", SERVER.format(path=str(folder / "socket"), user=1, speed=1)), any_interpreter.root
    ) as process:
        path = folder / "socket"
        assert line(process) == "listening"
        whole = ask(path, b'{"v":1,"call":"many","lines":50}\n').splitlines()
        assert [json.loads(one)["number"] for one in whole] == list(range(50))
        assert ask(path, b'{"v":1,"call":"many","lines":0}\n') == b""
        failed = ask(path, b'{"v":1,"call":"many","lines":50,"fail":"now"}\n').splitlines()
        assert len(failed) == 8
        assert json.loads(failed[-1]) == {"error": "it changed; accepted: once more", "v": 1}
        full = ask(path, b'{"v":1,"call":"many","lines":50,"fail":"mem"}\n').splitlines()
        assert len(full) == 8
        assert json.loads(full[-1]) == {"error": "no memory for the answer; accepted: once more", "v": 1}
        assert len(ask(path, b'{"v":1,"call":"many","lines":50,"fail":"ever"}\n').splitlines()) == 7
        until_no_child(process)
        slow, lazy = connected(path), connected(path)
        for client in (slow, lazy):
            client.sendall(b'{"v":1,"call":"many","lines":99999,"size":9000}\n')
        assert slow.recv(4096)
        assert lazy.recv(1)
        assert len(children_of(process)) == 2
        assert ask(path, b'{"v":1,"call":"status"}\n').startswith(b'{"a":')
        slow.close()
        # One goes with its reader, the other one whose reader reads nothing is cut after PATIENCE
        until_no_child(process)
        lazy.close()
        left = connected(path)
        left.sendall(b'{"v":1,"call":"many","lines":99999,"size":9000}\n')
        assert left.recv(4096)
        (child,) = children_of(process)
        process.send_signal(signal.SIGTERM)
        assert line(process).endswith(" True")
        assert process.wait(240) == 0
        limit = time.monotonic() + 90
        while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
            assert time.monotonic() < limit, "the child outlived its server"
            time.sleep(0.02)
        left.close()


def test_at_most_eight_clients_are_held_and_their_places_are_given_again(served: Path) -> None:
    """The ninth is turned away at once."""
    held = [connected(served) for _ in range(8)]
    begun = time.monotonic()
    assert rest(connected(served)) == TOO_MANY
    assert time.monotonic() - begun < AT_ONCE
    for client in held[:2]:
        client.close()
    held[2].sendall(b'{"v":1,"call":"ntp"}\n')
    assert rest(held[2]).endswith(b"}\n")
    assert ask(served, b'{"v":1,"call":"ntp"}\n').endswith(b"}\n")
    for client in held[3:]:
        client.close()


def test_an_answer_that_fails_costs_its_client_only(served: Path) -> None:
    assert ask(served, b'{"v":1,"call":"status","fail":"now"}\n') == b""


TALK = [
    *CONNECT[:-1],
    CONNECT[-1].replace("sleep 20", '$SIG{PIPE} = "IGNORE"; syswrite(S, "$ARGV[1]\\n"); print while <S>'),
]


NOT_MINE = "not permitted for this user; accepted: {}"
ACCOUNTS = {"passwd": "root:x:0:0::/:\noubli-portal:x:4242:4242::/:\n", "group": "oubli-op:x:1234:somebody\n"}


PERL = ["perl", "-MSocket", "-e"]
LET_IN = "socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un($ARGV[0])) or die"
# Takes a place again as soon as it is lost; asks again and again, without a pause, and ends
# once it is told that this is too much.
HOLD = f"while (1) {{ eval {{ {LET_IN}; sysread(S, $x, 200); }} }}"
HASTE = (
    f"for (1..9999) {{ {LET_IN}; syswrite(S, $ARGV[1]); sysread(S, $x, 200); $x =~ /too many calls/ and last }} "
    "print $x"
)


def as_user(user: int, groups: str = "") -> list[str]:
    """Return the words that run a command as this user with these groups beside his own."""
    return [
        "setpriv",
        "--reuid",
        str(user),
        "--regid",
        str(user),
        *(("--groups", groups) if groups else ("--clear-groups",)),
    ]


def asked_as(user: int, groups: str, path: Path, request: str) -> dict:
    """Return the answer to a process of this user and these groups."""
    (line,) = lines_as(user, groups, path, request)
    return line


def lines_as(user: int, groups: str, path: Path, request: str) -> list[dict]:
    """Return the lines of an answer to a process of this user and these groups."""
    words = [*as_user(user, groups), *TALK, str(path), request]
    return [
        json.loads(line)
        for line in subprocess.run(words, capture_output=True, check=True, timeout=240).stdout.splitlines()
    ]


@pytest.mark.needs("root", "setpriv", "perl")
def test_roles_are_known_by_the_kernels_word(any_interpreter: Interpreter, folder: Path) -> None:
    """A caller is answered what the table gives to root, operators, portal, anyone, whatever he says (L34-VI-2).

    Without the lists of accounts nobody but root and the recorder's own user has
    a role; a group of number 0 is no group.
    """
    path = folder / "socket"
    mine = {
        (77, ""): "all, many, mine, ntp, status",
        (4242, ""): "all, mine",
        (5, "9,1234"): "all, status",
        (5, "9"): "all",
        (1234, ""): "all, status",
    }
    if any_interpreter.name == "mips":
        del mine[5, "9,1234"]  # the emulator doesn't tell of other groups: none is then believed
    with running(
        any_interpreter.command("-c", SERVER.format(path=str(path), user=77, speed=1)), any_interpreter.root
    ) as process:
        assert line(process) == "listening"
        for name, text in ACCOUNTS.items():
            (folder / name).write_text(text)
        for (user, groups), accepted in mine.items():
            assert (
                asked_as(user, groups, path, '{"v":1,"call":"x","user":0}')["error"]
                == f"call: unknown; accepted: {accepted}"
            )
            for call in ("status", "ntp", "mine", "all"):
                answer = asked_as(user, groups, path, f'{{"v":1,"call":"{call}"}}')
                assert ("calls" in answer) == (call in accepted.split(", "))
                assert answer.get("error", NOT_MINE.format(accepted)) == NOT_MINE.format(accepted)
        for lists in (
            {"passwd": "", "group": ""},
            {"passwd": "oubli-portal:x:0:0", "group": "oubli-op:x:0:"},
            {"passwd": "oubli-portal:x"},
        ):
            for name, text in lists.items():
                (folder / name).write_text(text)
            assert asked_as(4242, "1234,0", path, '{"v":1,"call":"mine"}')["error"] == NOT_MINE.format("all")
        process.send_signal(signal.SIGTERM)
        assert line(process).endswith(" True")


@pytest.mark.needs("root", "setpriv", "perl")
def test_a_user_has_two_places_and_twenty_calls_a_second_and_root_always_finds_one(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """L34-VI-2: whoever holds all the places he can, and asks as fast as he can, keeps nobody else out."""
    with serving(any_interpreter, folder) as path, contextlib.ExitStack() as stack:
        for user in (65534, 65533) * 3:
            stack.enter_context(running([*as_user(user), *PERL, HOLD, str(path)]))
        limit = time.monotonic() + 90
        while asked_as(65534, "", path, '{"v":1,"call":"all"}') != json.loads(TOO_MANY):
            assert time.monotonic() < limit, "the others' half of the places never fills"
        for _ in range(3):
            assert ask(path, b'{"v":1,"call":"status"}\n').startswith(b'{"a":')
    with serving(any_interpreter, folder) as path:
        words = [*as_user(65532), *PERL, HASTE, str(path), '{"v":1,"call":"all"}\n']
        told = subprocess.run(words, capture_output=True, check=True, timeout=240).stdout
        assert json.loads(told) == {"error": "too many calls; accepted: 20 a second", "v": 1}


FORGETS = """
import sys
from agent.control.server import Server
from agent.runtime import sockets
server = Server(sys.argv[-1], sockets.Poll(), None, None, [])
server.open()
server._second, server._calls = 5000000000, {(4242, b"192.168.7.21"): 3}
for now in (5999999999, 6000000000):
    server.tick(now)
    print(len(server._calls))
server.close()
"""


def test_a_server_that_answered_nobody_ends_in_order(any_interpreter: Interpreter, folder: Path) -> None:
    """Of a recorder that is stopped, or refuses, before the LAN is known."""
    text = FORGETS.replace("server.open()\n", "server.close()\nprint(1)\nsys.exit()\n")
    assert any_interpreter.run("-c", text, folder / "socket").stdout == b"1\n"


def test_who_has_asked_is_forgotten_though_nobody_asks_any_more(any_interpreter: Interpreter, folder: Path) -> None:
    """L34-VI-4: the address of the page's last guest stays for a second, and not until there is another one."""
    assert any_interpreter.run("-c", FORGETS, folder / "socket").stdout == b"1\n0\n"


@pytest.mark.needs("root", "setpriv", "perl")
def test_no_guest_uses_up_what_the_portal_may_ask_for_the_others(any_interpreter: Interpreter, folder: Path) -> None:
    """L34-V-4: the portal's user has twice the places; one address has six calls a second, and another one its own."""
    for name, text in ACCOUNTS.items():
        (folder / name).write_text(text)
    with serving(any_interpreter, folder) as path:
        call = '{"address":"192.168.7.%s","call":"mine","v":1}\n'
        told = subprocess.run(
            [*as_user(4242), *PERL, HASTE, str(path), call % "21"], capture_output=True, check=True, timeout=240
        ).stdout  # fmt: skip
        assert json.loads(told) == {"error": "too many calls; accepted: 6 a second of a terminal", "v": 1}
        assert asked_as(4242, "", path, call % "22")["error"] == "mine: an unknown field; accepted: none"
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(running([*as_user(4242), *PERL, HOLD, str(path)]))
            limit = time.monotonic() + 90
            while asked_as(4242, "", path, call % "23") != json.loads(TOO_MANY):
                assert time.monotonic() < limit, "the portal's places never fill"
            assert asked_as(65532, "", path, '{"v":1,"call":"all"}')["calls"]


ASK = """
import json, sys
from agent.control import client
client.PATIENCE = 200
try:
    print(json.dumps(client.ask({path!r}, "status")))
except (OSError, ValueError) as failure:
    print("refused", isinstance(failure, ValueError) or failure.errno)
"""
ETIMEDOUT = {"cpython": 110, "micropython": 110, "mips": 145}


@pytest.mark.parametrize(
    "answer",
    [b"", b"junk\n", b"{", b"[" * 70000 + b"\n", b'{"a":1,"v":1}\n', b'{"a":1,"v":2}\n', b'{"a":', None],
    ids=range(8),
)
def test_a_client_waits_for_a_whole_answer_and_not_for_ever(
    any_interpreter: Interpreter, folder: Path, answer: bytes | None
) -> None:
    """A server that hangs up, talks nonsense, never ends its line, says half of it, or says nothing.

    The stream's end isn't waited for.
    """
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        server.listen()
        with running(
            any_interpreter.command("-c", ASK.format(path=str(folder / "socket"))), any_interpreter.root
        ) as process:
            server.settimeout(20)
            peer, _ = server.accept()
            with peer:
                assert peer.recv(100) == b'{"call":"status","v":1}\n'
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    peer.sendall(answer or b"")
                if answer not in (None, b'{"a":', b'{"a":1,"v":1}\n'):
                    peer.shutdown(socket.SHUT_WR)
                silent = f"refused {ETIMEDOUT[any_interpreter.name]}"
                told = {None: silent, b'{"a":': silent, b'{"a":1,"v":1}\n': '{"a": 1}'}
                assert line(process) == told.get(answer, "refused True")


@pytest.mark.long
def test_an_answer_of_many_lines_holds_no_other_stream_open(served: Path) -> None:
    """The child process that tells them has let go of everybody else's.

    Who asked meanwhile reads his answer to its end, while it goes on.
    """
    count = 1000  # of 1,000 octets, of which a socket holds some two hundred unread
    with connected(served) as other, connected(served) as many:
        ask(served, b'{"v":1,"call":"status"}\n')  # both are known to the server now
        many.sendall(b'{"v":1,"call":"many","lines":%d,"size":1000}\n' % count)
        assert many.recv(1)
        other.sendall(b'{"v":1,"call":"status"}\n')
        assert rest(other).endswith(b"\n")
        assert rest(many).count(b"\n") == count


CONFIG = """
config gateway 'gateway'
	option id 'oublicontroltest'
{duty}
config purpose 'security'
	option lifetime '2h'
"""
DUTY = "\toption duty 'portal'"
# In its own network namespace; a `ct` rule is what makes the kernel track connections there.
NAMESPACE = """
ip link add lan type bridge
ip address add 192.168.7.1/24 dev lan
ip link set lan up
nft add table inet t
nft add chain inet t c '{ type filter hook output priority 0; }'
nft add rule inet t c ct state new accept
for name in events acct timestamp; do echo $VALUE > /proc/sys/net/netfilter/nf_conntrack_$name; done
exec "$@"
"""
LIVE = pytest.mark.needs("root", "unshare", "nsenter", "ip", "nft", "conntrack")


@dataclass
class Device:
    """A root folder with a configuration, and perhaps a recorder that runs on it."""

    root: Path
    process: subprocess.Popen | None = None

    def oubli(
        self, interpreter: Interpreter, *words: str, before: tuple[str, ...] = (), given: str = ""
    ) -> tuple[int, str, str]:
        """Run the command on this root; returns exit status, output, errors.

        Again where two former looks haven't ended yet, as it says: on a busy machine they take a moment.
        """
        command = [*before, *interpreter.command("-m", "agent", *words, "--root", str(self.root))]
        for _ in range(100):
            done = subprocess.run(
                command,
                input=given,
                cwd=interpreter.root,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            if "somebody else is looking" not in done.stderr:
                break
            time.sleep(0.1)
        return done.returncode, done.stdout, done.stderr

    def status(self, interpreter: Interpreter) -> dict:
        code, out, err = self.oubli(interpreter, "status", "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def inside(self, *words: str) -> None:
        """Run a command in the recorder's network namespace."""
        assert self.process is not None
        subprocess.run(
            ["nsenter", "-t", str(self.process.pid), "-n", *words], check=True, capture_output=True, timeout=240
        )

    def stop(self) -> list[str]:
        """Stop the recorder as procd does; returns its log."""
        assert self.process is not None
        self.process.terminate()
        said, errors = self.process.communicate(timeout=240)
        assert (self.process.returncode, errors) == (0, b"")  # what isn't an error isn't logged as one
        return said.decode().splitlines()


@contextlib.contextmanager
def device(folder: Path, interpreter: Interpreter | None, duty: str = "", value: str = "1", namespace: str = NAMESPACE):
    """Give a device; with an interpreter, its recorder listens in a network namespace."""
    (folder / "etc/config").mkdir(parents=True)
    (folder / "etc/config/oubli").write_text(CONFIG.format(duty=duty))
    if interpreter is None:
        yield Device(folder)
        return
    # With the heap that /etc/init.d/oubli gives it where oubli-purposes is installed, as it is here.
    recorder = interpreter.larger().command("-m", "agent", "recorder", "--root", str(folder))
    words = ["unshare", "-n", "sh", "-ec", namespace, "sh", *recorder]
    alive = environment() | {"VALUE": value}
    with subprocess.Popen(
        words, cwd=interpreter.root, env=alive, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            limit = time.monotonic() + 90
            while not (folder / "var/run/oubli/control/socket").exists():
                assert process.poll() is None, process.stderr.read() if process.stderr else ""
                assert time.monotonic() < limit, "the recorder doesn't listen"
                time.sleep(0.01)
            yield Device(folder, process)
        finally:
            process.kill()


@LIVE
def test_status_is_equal_on_both_interpreters_and_names_what_is_kept(interpreter: Interpreter, folder: Path) -> None:
    """A connection of a terminal whose neighbour entry is missing.

    Counted, kept, told with its limit, as JSON and as text.
    """
    with device(folder, interpreter) as gateway:
        gateway.inside("conntrack", "-I", *FLOW, "--timeout", "60", "--src", SOURCE, "--dst", "203.0.113.9")
        gateway.inside("conntrack", "-D", "-p", "udp")
        limit = time.monotonic() + 90
        while not gateway.status(interpreter)["counters"]["connections"]:
            assert time.monotonic() < limit, "the recorder saw nothing"
            time.sleep(0.05)
        status = gateway.status(interpreter)
        counters = {name: count for name, count in status["counters"].items() if count}
        assert counters == {"connections": 1, "kept": 1, "unknown terminal": 1, "starts": 1}
        assert (status["gateway"], status["duty"], status["clock"], status["capture"]) == (
            "oublicontroltest",
            "undeclared",
            "floor",
            "ok",
        )
        assert status["forwarder"] == {"connected": False, "unknown": True}
        assert status["network"] == {"drop": 0, "early_drop": 0, "insert_failed": 0}  # of its own namespace, just made
        purpose = status["purposes"]["security"]
        assert list(status["purposes"]) == ["security"]
        assert (purpose["records"], purpose["lifetime_seconds"]) == (1, 7200)
        assert 0 < purpose["bytes"] < purpose["budget"]
        # A window is known, not when in it the connection ended: nothing seems older than it can be.
        while not (
            ages := re.findall(r"oldest (\d+) to (\d+) s of at most 2h\n", gateway.oubli(interpreter, "status")[1])
        ):
            assert time.monotonic() < limit, "one age is told"
            time.sleep(0.2)
        assert int(ages[0][0]) == max(int(ages[0][1]) - 60, 0)
        told = set()
        for _ in range(10):  # an age in seconds may change between two calls
            told = {gateway.oubli(one, "status", "--json")[1] for one in BOTH}
            if len(told) == 1:
                break
        assert len(told) == 1
        texts = {re.sub(r"oldest (\d+ to )?\d+ s", "oldest AGE s", gateway.oubli(one, "status")[1]) for one in BOTH}
        assert len(texts) == 1
        lines = texts.pop().splitlines()
        assert lines[0] == "gateway oublicontroltest, clock floor, capture ok"
        assert lines[1].startswith("!! DUTY UNDECLARED: ")
        assert "(L34-II-3)" in lines[1]
        assert f"purpose security ({law.purpose('security').paragraph})" in lines
        assert "  oldest AGE s of at most 2h" in lines
        assert [line for line in lines if re.fullmatch(r"  holds 1 record, \d+ of \d+ bytes in 1 segment", line)]
        for name in (SOURCE, "c0a80709", "40999"):
            assert name not in "".join(told) + "".join(lines)
        log = gateway.stop()
        assert log[-1] == "oubli recorder: stopped"
        assert any("gateway.duty is undeclared" in entry for entry in log)
        assert not (folder / "var/run/oubli/control/socket").exists()


BOTH = (INTERPRETERS["cpython"], INTERPRETERS["micropython"])
SOURCE = "192.168.7.9"
FLOW = ("-p", "udp", "--sport", "40999", "--dport", "53")


TROUBLED = """
import json
from agent.config import config
from agent.cli import status
from agent.capture import kernel_stats as trouble
from agent.recorder.recorder import Recorder

class Time:
    boot = "0123456789abcdef" * 2
    seconds = 1000
    def wall(self):
        return (1_800_000_000 + self.seconds) * 10**9
    def monotonic(self):
        return self.seconds * 10**9

root, time, said = {root!r}, Time(), []
print(json.dumps([trouble.read(root + "/" + name) for name in ("trouble", "calm", "broken", "junk", "absent")]))
settings = config.load(root + "/etc/config/oubli")
for pause, name in ((0, "trouble"), (30, "calm"), (0, "absent"), (12, "trouble")):
    time.seconds += pause
    recorder = Recorder(settings, root, time, log=said.append, network=lambda: trouble.read(root + "/" + name))
    print(json.dumps(status.lines(recorder.status())))
    time.seconds += 5
    recorder.tick()
print(json.dumps([line for line in said if "gap" in line]))
"""
# The names and widths are the kernel's (Linux 6.18); another one has the same names in other places.
STAT = (
    "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  "
    "search_restart\n"
    "00000005  00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 0000000a 00000001 000000ff "
    "00000000  00000077\n"
    "00000005  00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 00000001 00000000 ffffffff "
    "00000000  00000077\n"
)
OTHER = "drop insert_failed searched early_drop\n00000000 00000000 0000000c 00000000\n"
NO_LOSS = "network trouble since it came up; none of it is a record lost:"


def test_network_trouble_is_told_as_trouble_and_a_gap_as_what_it_is(any_interpreter: Interpreter, folder: Path) -> None:
    """Hexadecimal figures, summed over processors.

    A restart's gap is told with its seconds, and that nobody knows what ended in it.
    """
    (folder / "etc/config").mkdir(parents=True)
    (folder / "etc/config/oubli").write_text(CONFIG.format(duty=DUTY))
    for name, stat in {
        "trouble": STAT,
        "calm": OTHER,
        "broken": STAT.replace("early", "late"),
        "junk": OTHER + "x\n",
    }.items():
        (folder / name).write_text(stat)
    done = any_interpreter.run("-c", TROUBLED.format(root=str(folder)))
    figures, *texts, log = [json.loads(line) for line in done.stdout.splitlines()]
    summed = {"drop": 1, "early_drop": 2**32 + 254, "insert_failed": 11}
    assert figures == [summed, dict.fromkeys(summed, 0), None, None, None]
    for at in (0, 3):
        start = texts[at].index(NO_LOSS)
        assert texts[at][start + 1 : start + 4] == [
            "  packets dropped because no entry could be made for them: 1",
            "  entries that gave way to new ones in a full table: 4294967550",
            "  packets dropped because their entry was there already: 11",
        ]
    assert [[line for line in text if "trouble" in line] for text in texts[1:3]] == [
        [],
        ["network trouble: this kernel doesn't say"],
    ]
    assert not [line for text in texts for line in text if "lost" in line and line != NO_LOSS]
    known = ": how many connections ended in {} can't be known"
    assert [[line for line in text if "gap" in line] for text in texts] == [
        [],
        ["  gap of 30 s" + known.format("it")],
        ["  gap of 30 s" + known.format("it")],
        ["  2 gaps of 42 s" + known.format("them")],
    ]
    assert log == ["gap of 30 s since the former process", "gap of 12 s since the former process"]


@LIVE
def test_a_connection_that_ends_before_the_lan_is_known_is_a_terminals_all_the_same(
    interpreter: Interpreter, folder: Path
) -> None:
    """Its event waits until the interfaces and their addresses are listed."""
    with device(folder, interpreter) as gateway:
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGSTOP)  # it has just begun
        gateway.inside("conntrack", "-I", *FLOW, "--timeout", "60", "--src", SOURCE, "--dst", "203.0.113.9")
        gateway.inside("conntrack", "-D", "-p", "udp")
        gateway.process.send_signal(signal.SIGCONT)
        limit = time.monotonic() + 90
        while not gateway.status(interpreter)["counters"]["connections"]:
            assert time.monotonic() < limit, "the recorder saw nothing"
        counters = gateway.status(interpreter)["counters"]
        assert (counters["kept"], counters["excluded: outside"]) == (1, 0)
        gateway.stop()


@LIVE
def test_what_is_in_order_is_not_loud_and_what_is_not_is(interpreter: Interpreter, folder: Path) -> None:
    """L34-II-3: a declared duty is named without a cry. A kernel that doesn't tell of connections is cried out."""
    with device(folder, interpreter, DUTY, "0") as gateway:
        lines = gateway.oubli(interpreter, "status")[1].splitlines()
        assert lines[0] == "gateway oublicontroltest, clock floor, capture misconfigured"
        assert [entry.split(":")[0] for entry in lines if entry.startswith("!!")] == ["!! CAPTURE MISCONFIGURED"]
        assert not any("undeclared" in entry for entry in gateway.stop())


@LIVE
@pytest.mark.needs("setpriv")
def test_only_root_gets_anything_of_a_recorder_and_junk_does_not_stop_it(
    interpreter: Interpreter, folder: Path
) -> None:
    """Another user is let in and learns nothing; a trap in the forwarder's place holds nobody up."""
    with device(folder, interpreter) as gateway:
        path = folder / "var/run/oubli/control/socket"
        mine = ", ".join(sorted(name for name, row in CALLS.items() if ANYONE in row.roles)) or "nothing"
        # By two users, each of whom has 20 calls a second
        for number, call in enumerate(CALLS.keys() - set(mine.split(", "))):
            assert asked_as(65533 + number % 2, "", path, f'{{"v":1,"call":"{call}"}}') == {
                "error": NOT_MINE.format(mine),
                "v": 1,
            }
        for octets in JUNK.values():
            assert ask(path, octets + b"\n") == NO_REQUEST
        word = folder / "var/run/oubli-live/forwarder.json"
        said = {"connected": True, "published": 7, "failures": 1, "waiting": 2, "unsendable": 0}
        word.write_text(json.dumps(said))
        assert gateway.status(interpreter)["forwarder"] == said
        for lie in (
            "",
            "[]",
            "[" * 1000,
            json.dumps(said | {"published": "x"}),
            json.dumps(said).ljust(1025),
            '{"connected":true}',
        ):
            word.write_text(lie)
            assert gateway.status(interpreter)["forwarder"] == {"connected": False, "unknown": True}
        word.unlink()
        os.mkfifo(word)
        assert gateway.status(interpreter)["forwarder"] == {"connected": False, "unknown": True}
        assert ask(path, b'{"v":1,"call":"ntp"}\n') == b'{"clock":"floor","v":1}\n'
        assert gateway.stop()[-1] == "oubli recorder: stopped"


HOSTILE = {
    "connections": f"for (1..1000) {{ local *S; {LET_IN}; push @held, *S }}",
    "long line": (
        f"for (1..3) {{ {LET_IN}; for (1..160) {{ syswrite(S, 'x' x 65536) or last }} sysread(S, $x, 200) }} print $x"
    ),
    "half a line": f"{LET_IN}; syswrite(S, '{{\"v\":1,'); print while <S>",
    "garbage": (
        f"for (1..300) {{ {LET_IN}; syswrite(S, pack('C*', map {{ rand 256 }} 1..4000) . \"\\n\"); "
        f"sysread(S, $x, 200) }} print $x"
    ),
    "haste": (
        f'for (1..600) {{ {LET_IN}; syswrite(S, \'{{"v":1,"call":"status"}}\' . "\\n"); sysread(S, $x, 200) }} print $x'
    ),
}
TURNED_AWAY = r'\{"error":"(too|not|call)[^"]*accepted: .*","v":1\}\n'


@LIVE
@pytest.mark.needs("setpriv", "perl")
def test_hostile_clients_stop_nothing_and_capture_loses_nothing_meanwhile(
    interpreter: Interpreter, folder: Path
) -> None:
    """L34-VI-2: a thousand connections, 10 MB lines, half a line for ever, garbage, haste.

    Each is told in a line, memory stays flat.

    All of them at once, as five users; connections that end meanwhile are all kept, and root is answered.
    """
    with device(folder, interpreter) as gateway, contextlib.ExitStack() as stack:
        assert gateway.process is not None
        path = folder / "var/run/oubli/control/socket"
        pid = gateway.process.pid
        gateway.status(interpreter)
        before = resident(pid)
        crowd = {}
        for number, (name, text) in enumerate(HOSTILE.items()):
            words = [*as_user(60000 + number), "perl", "-MSocket", "-e", f"$SIG{{PIPE}} = 'IGNORE'; {text}", str(path)]
            crowd[name] = stack.enter_context(running(words))
        ended = 0
        while any(process.poll() is None for process in crowd.values()) or ended < 50:
            gateway.inside("conntrack", "-I", *FLOW, "--timeout", "60", "--src", SOURCE, "--dst", "203.0.113.9")
            gateway.inside("conntrack", "-D", "-p", "udp")
            ended += 1
            assert ask(path, b'{"v":1,"call":"status"}\n').startswith(b'{"capture":"ok"')
        for name, process in crowd.items():
            assert process.stdout is not None
            told = process.stdout.read().decode()
            assert process.returncode == 0, name
            assert re.fullmatch(TURNED_AWAY, told) or (name == "connections" and not told), (name, told)
        limit = time.monotonic() + 90
        while gateway.status(interpreter)["counters"]["connections"] < ended:
            assert time.monotonic() < limit, "the recorder lost connections"
        counters = gateway.status(interpreter)["counters"]
        assert counters["kept"] == ended
        assert not [name for name in counters if name.startswith("lost") and counters[name]]
        # The latter is MicroPython's heap, whose pages are taken as they are needed
        assert resident(pid) - before < 1024 + 512
        assert gateway.stop()[-1] == "oubli recorder: stopped"


def resident(pid: int) -> int:
    """Return a process's private memory in KiB."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_"))


@LIVE
@pytest.mark.needs("setpriv", "perl")
def test_every_call_is_refused_to_every_role_that_the_table_does_not_name(
    interpreter: Interpreter, folder: Path
) -> None:
    """L34-VI-2: all calls of the table times all roles, on a recorder that runs.

    Nobody else is told more than what he may ask.
    """
    with device(folder, interpreter) as gateway:
        path = folder / "var/run/oubli/control/socket"
        for name, text in ACCOUNTS.items():
            (folder / "etc" / name).write_text(text)
        for role, user, groups in ((ANYONE, 65534, ""), (OPERATOR, 65534, "1234"), (PORTAL, 4242, ""), (ROOT, 0, "")):
            for call, row in CALLS.items():
                answer = asked_as(user, groups, path, f'{{"v":1,"call":"{call}","nonsense":1}}')
                while answer["error"].startswith("too many calls"):
                    time.sleep(0.2)
                    answer = asked_as(user, groups, path, f'{{"v":1,"call":"{call}","nonsense":1}}')
                permitted = role in row.roles or ANYONE in row.roles
                assert answer["error"].startswith("not permitted for this user") != permitted, (role, call, answer)
        gateway.stop()


HERS, HIS = "02:00:00:00:00:21", "02:00:00:00:00:22"


def look_up(gateway: Device, interpreter: Interpreter, rows: list[dict]) -> None:
    """L34-II-6: one port, or one terminal, and a time; `rows` are what `who` shows of hers; not a record more."""

    def time_of(second: int) -> str:
        return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"

    begin = rows[0]["start"] - 60
    day = ("--at", time_of(begin), "--until", time_of(begin + 86400))
    looked = ("--reason", "abuse", "--report", "7", "--json")
    mine = [row | {"terminal": HERS} for row in rows]

    def looks_up(*words: str) -> list[dict]:
        code, out, err = gateway.oubli(interpreter, "lookup", *words, *looked)
        assert (code, err) == (0, ""), err
        said = json.loads(out)
        assert (said["records"], said["second_nat"], said["clock"]) == (len(said["rows"]), False, "floor")
        assert said["public_address"] == ("" if "--terminal" in words or "2001:db8::1" in words else "unknown")
        # From before the LAN's terminals were listed
        return [row for row in said["rows"] if row["terminal"] != "unknown"]

    first = [row for row in mine if row["source_port"] == 41001]
    assert looks_up("--port", "41001", "--protocol", "udp", *day) == first
    at = time_of(first[0]["start"])
    assert first[0] in looks_up("--port", "41001", "--protocol", "udp", "--at", at)
    assert looks_up("--port", "41001", "--protocol", "udp", "--public-address", "203.0.113.1", *day) == first
    for port, protocol in (("41001", "tcp"), ("41004", "udp")):
        assert looks_up("--port", port, "--protocol", protocol, *day) == []
    assert looks_up("--port", "41001", "--protocol", "udp", "--public-address", "2001:db8::1", *day) == []
    assert looks_up("--port", "41001", "--protocol", "udp", "--at", "2026-01-01T00:00:00Z") == []
    assert looks_up("--terminal", HERS, *day) == mine
    assert {row["terminal"] for row in looks_up("--terminal", "192.168.7.22", *day)} == {HIS}
    asked = ("--port", "-", "--protocol", "udp", "--public-address", "-", *day, "--reason", "attack")
    text = gateway.oubli(interpreter, "lookup", *asked, given="41001\n203.0.113.1\n")[1]
    assert "of IPv4 no record has the public address" in text
    assert text.count("!! the gateway's clock is floor: these times may be wrong") == 1  # this device has no NTP
    assert text.count(f"{HERS}  2") == len(first)
    text = gateway.oubli(interpreter, "lookup", "--terminal", "-", *day, "--reason", "attack", given=f"{HERS}\n")[1]
    assert text.count(f"{HERS}  2") == len(rows)
    assert f"records that touch that time: {len(rows)}; what hadn't ended is in none yet\n" in text
    assert text.splitlines()[-1].startswith("nothing is known of before 20")  # the minute before her first record
    refused: dict[tuple[str, ...], str] = {
        (
            "--port",
            "41001",
            "--protocol",
            "udp",
            *day[:3],
            time_of(begin + 86401),
        ): "more than 24 h after it (L34-II-6)",
        ("--port", "41001", *day): "not one question (L34-II-6)",
        ("--terminal", HERS, "--protocol", "udp", *day): "not one question (L34-II-6)",
        ("--terminal", "192.168.7.99", *day): "nobody on the LAN is known to hold it",
    }
    for words, why in refused.items():
        code, out, err = gateway.oubli(interpreter, "lookup", *words, *looked)
        assert (code, out) == (1, "")
        assert why in err
    for given in (
        ["--port", "41001", *day],
        ["--port", "41001", "--at", "today", "--reason", "abuse"],
        [*day, "--reason", "abuse"],
    ):
        assert gateway.oubli(interpreter, "lookup", *given)[0] == 2
    for given in (["--port", "41001", "--reason", "curiosity"], ["--port", "99999", "--reason", "abuse"]):
        assert gateway.oubli(interpreter, "lookup", *given, "--protocol", "udp", *day)[0] == 1


@LIVE
# One device, asked in every way
def test_a_person_sees_what_is_held_on_her_terminal(interpreter: Interpreter, folder: Path) -> None:  # noqa: PLR0915
    """Right of access (law 78-17, L34-1 VI), look-up (L34-II-6): her records.

    That one looked is in the audit log, at whom is nowhere.
    """
    with device(folder, interpreter, DUTY) as gateway:
        for host, mac in ((21, HERS), (22, HIS)):
            gateway.inside("ip", "neigh", "add", f"192.168.7.{host}", "lladdr", mac, "dev", "lan", "nud", "permanent")
        limit = time.monotonic() + 90
        kept = 0
        while kept < 5:  # until the LAN's terminals are listed, whose a connection is can't be known
            for host, port in ((21, "41001"), (22, "41002"), (21, "41003")):
                words = (
                    "-p",
                    "udp",
                    "--sport",
                    port,
                    "--dport",
                    "443",
                    "--timeout",
                    "60",
                    "--src",
                    f"192.168.7.{host}",
                    "--dst",
                    "203.0.113.9",
                )
                gateway.inside("conntrack", "-I", *words)
            gateway.inside("conntrack", "-D", "-p", "udp")
            kept = gateway.status(interpreter)["counters"]["kept"]
            assert time.monotonic() < limit
        code, out, err = gateway.oubli(interpreter, "who", "--mac", HERS, "--agreed", "--json")
        assert (code, err) == (0, "")
        rows = [json.loads(line) for line in out.splitlines()]
        end = rows.pop()
        assert end.pop("held")["addresses"][0].startswith(f"192.168.7.21 ({HERS}, 2")
        told = {"records": {"security": len(rows)}, "consents": [], "objects": False, "changes": 0, "on": []}
        assert end == told | {"sealed": [], "clock": "floor"}  # nobody had confirmed these times
        assert len(rows) >= 2
        assert {row["address"] for row in rows} == {"192.168.7.21"}
        assert {row["source_port"] for row in rows} == {41001, 41003}
        assert {row.pop("purpose") for row in rows} == {"security"}
        assert set(rows[0]) == set(law.SECURITY_FIELDS) - {"mac", "duration"} | {"seconds"}
        text = gateway.oubli(interpreter, "who", "--mac", HERS.upper(), "--agreed")[1]
        assert f"records under this MAC in security ({law.purpose('security').paragraph}): {len(rows)}\n" in text
        assert re.search(r"^security  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, ", text, re.MULTILINE)
        assert "security  20" in text
        assert f'addresses: ["192.168.7.21 ({HERS}, 2' in text
        assert "192.168.7.21 port 41001" in text
        assert " packets up, " in text
        assert "192.168.7.22" not in out + text
        nobody = gateway.oubli(interpreter, "who", "--mac", "02:00:00:00:00:99", "--agreed", "--json")[1]
        assert json.loads(nobody)["records"] == {"security": 0}
        assert json.loads(nobody)["held"] == {}
        assert gateway.oubli(interpreter, "who", "--mac", HERS) == (
            2,
            "",
            (
                "oubli: who: --agreed is missing; accepted: who --mac MAC --agreed, "
                "where the person at the terminal has asked for it\n"
            ),
        )
        accepted = "oubli: --mac: not understood; accepted: a terminal's MAC such as 02:00:00:00:00:01\n"
        for wrong in ("02:00", "0g:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "192.168.7.21"):
            assert gateway.oubli(interpreter, "who", "--mac", wrong, "--agreed") == (2, "", accepted)
        look_up(gateway, interpreter, rows)
        # She herself, on the page: the terminal that holds the address she asks from, whoever that is.
        for name, text in ACCOUNTS.items():
            (folder / "etc" / name).write_text(text)
        path = folder / "var/run/oubli/control/socket"
        look = '{"v":1,"call":"access","address":"192.168.7.21"}'
        lines = lines_as(4242, "", path, look)
        assert [row for line in lines for row in line.get("rows", ())] == rows
        assert lines[-1] == told | {"records": {"security": len(rows)}, "v": 1}
        assert "error" in lines_as(4242, "", path, look.replace(".21", ".99"))[0]
        by_others = {
            look[:-1] + ',"agreed":1}': (4242, "", "access.agreed: not for a portal; accepted: address, of who asks"),
            f'{{"v":1,"call":"access","terminal":"{HERS}"}}': (4242, "", "access: neither own nor agreed"),
            look: (65534, "", "not permitted for this user"),
            '{"v":1,"call":"lookup","port":41001,"protocol":"udp","from":0,"until":0,"reason":"abuse"}': (
                4242, "", "not permitted for this user"
            ),
        }  # fmt: skip
        for asked, (user, groups, why) in by_others.items():
            (line,) = lines_as(user, groups, path, asked)
            assert line["error"].startswith(why)
        assert [
            row for line in lines_as(65534, "1234", path, look[:-1] + ',"agreed":1}') for row in line.get("rows", ())
        ] == rows
        assert gateway.process is not None
        # The child processes have ended
        assert process_memory.found(gateway.process.pid, re.compile(rb'"source_port": ?[0-9]+'), 24) == set()
        # Who isn't root has no way to her records but by this call.
        denied = [*as_user(65534, "1234"), "cat", str(folder / "var/run/oubli/keys")]
        assert subprocess.run(denied, capture_output=True, check=False).returncode != 0
        # L34-VI-5: she has it erased; what is held on his terminal stays, and what hers does from now on is kept again.
        his = held(gateway, interpreter, HIS)
        assert his > 0
        code, out, err = gateway.oubli(interpreter, "erase", "--mac", HERS, "--json")
        assert (code, err) == (0, "")
        done = {"withdrawn": 0, "destroyed": 0, "durable": True, "unreadable": False, "sealed": [], "erased": True}
        assert json.loads(out) == done
        assert (held(gateway, interpreter, HERS), held(gateway, interpreter, HIS)) == (0, his)
        assert gateway.status(interpreter)["counters"]["erased"] == len(rows)
        (told,) = lines_as(4242, "", path, '{"v":1,"call":"erase state","address":"192.168.7.21"}')
        assert told == {"erasing": False, "v": 1}
        log = "\n".join(gateway.stop())
        acts = gateway.oubli(interpreter, "log")[1]
        assert acts.count(" erase terminal root") == 1
        assert acts.count(" access root") == 6
        counted = ("access operator", "look portal", "lookup abuse 7 root", "lookup attack 0 root")
        assert [acts.count(f" {act}") for act in counted] == [1, 1, 9, 2]
        for place in (log, acts, (folder / "srv/oubli/audit/00000001").read_text()):
            assert not any(word in place.lower() for word in (HERS, HERS.replace(":", ""), "192.168.7.21"))


def held(gateway: Device, interpreter: Interpreter, mac: str) -> int:
    """Return how many records `security` has of a terminal."""
    code, out, err = gateway.oubli(interpreter, "who", "--mac", mac, "--agreed", "--json")
    assert (code, err) == (0, "")
    return json.loads(out.splitlines()[-1])["records"]["security"]


@LIVE
def test_a_second_recorder_is_refused_and_touches_nothing(interpreter: Interpreter, folder: Path) -> None:
    """It would close the first one's open segments and take over its socket.

    After a kill the next may start at once.
    """
    with device(folder, interpreter) as gateway:
        before = gateway.status(interpreter)
        for one in BOTH:
            refused = (1, "", "oubli recorder: another recorder runs below this root\n")
            assert gateway.oubli(one, "recorder", before=("timeout", "-s", "KILL", "10")) == refused
        assert gateway.status(interpreter)["counters"] == before["counters"]
        assert gateway.stop()[-1] == "oubli recorder: stopped"
    shutil.rmtree(folder / "etc")
    with device(folder, interpreter) as gateway:
        assert gateway.status(interpreter)["counters"]["starts"] == 2


@LIVE
def test_folders_are_open_to_whom_they_must_be(interpreter: Interpreter, folder: Path) -> None:
    """Who may read what: the recorder (umask 077) lets its group to spool and health, and nobody to the rest."""
    with device(folder, interpreter) as gateway:
        gateway.status(interpreter)
        modes = live_files.modes(folder)
        for name, mode in MODES.items():
            assert modes.pop(name) == mode, name
        marks = [name for name in modes if re.fullmatch(r"srv/oubli/ledger-\d+-\d+-\d+", name)]
        assert {modes.pop(name) for name in marks} == {"0o600"}
        assert set(modes) == {"etc", "etc/config", "etc/config/oubli"}


MODES = {
    "srv": "0o755",
    "srv/oubli": "0o700",
    "srv/oubli/audit": "0o700",
    "srv/oubli/audit/00000001": "0o600",
    "srv/oubli/ledger": "0o600",
    "srv/oubli-spool": "0o2770",
    "var": "0o755",
    "var/run": "0o755",
    "var/run/oubli": "0o711",
    "var/run/oubli/clock": "0o600",
    "var/run/oubli/lines": "0o600",
    "var/run/oubli/timeouts": "0o600",
    "var/run/oubli-live": "0o2770",
    "var/run/oubli-live/health": "0o640",
    "var/run/oubli/control": "0o711",
    "var/run/oubli/control/socket": "0o666",
    "var/run/oubli/vault": "0o700",
    "var/run/oubli/vault/security": "0o700",
    "var/run/oubli/vault/security/chunks": "0o600",
    "var/run/oubli/keys": "0o600",
    "var/run/oubli/terminals": "0o600",
    "var/run/oubli/counters": "0o600",
    "var/run/oubli/heartbeat": "0o600",
}


@LIVE
def test_a_recorder_that_hangs_does_not_hold_its_person_up(interpreter: Interpreter, folder: Path) -> None:
    """With the queue of the socket full the answer is immediate."""
    with device(folder, interpreter) as gateway:
        assert gateway.process is not None
        gateway.status(interpreter)  # its socket has a name before it listens
        gateway.process.send_signal(signal.SIGSTOP)
        waiting = []
        with contextlib.suppress(BlockingIOError):
            while True:
                client = socket.socket(socket.AF_UNIX)
                waiting.append(client)
                client.setblocking(False)
                client.connect(str(folder / "var/run/oubli/control/socket"))
        begun = time.monotonic()
        assert gateway.oubli(interpreter, "status")[0] == 1
        assert time.monotonic() - begun < 10  # who waits for an answer, waits as long
        gateway.process.send_signal(signal.SIGCONT)
        for client in waiting:
            client.close()
        assert gateway.stop()[-1] == "oubli recorder: stopped"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "a verb is missing"),
        (("stat",), "stat: unknown verb"),
        (("status", "--jsn"), "--jsn: not understood"),
        (("status", "status"), "status: not understood"),
        (("status", "--config"), "--config: a value is missing"),
        (("status", "--root", "/no/such/folder"), "--root /no/such/folder: no such folder"),
        (("status", "--root", "/etc/passwd"), "--root /etc/passwd: no such folder"),
    ],
)
def test_bad_use_is_exit_2_and_one_line_that_says_what_is_accepted(
    any_interpreter: Interpreter, words: tuple[str, ...], named: str
) -> None:
    done = any_interpreter.run("-m", "agent", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert done.stderr.decode().startswith(f"oubli: {named}")
    assert b"accepted: " in done.stderr or b"a value is missing" in done.stderr


@pytest.mark.needs("root", "setpriv")
def test_who_may_not_ask_is_told_so(interpreter: Interpreter, folder: Path) -> None:
    """Root without its capabilities stands for another user, who may not reach the interpreter itself."""
    with device(folder, None) as gateway:
        control = folder / "var/run/oubli/control"
        control.mkdir(parents=True, mode=0o700)
        os.chown(control, 65534, 65534)
        powerless = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
        told = (1, "", f"oubli: no answer at {control}/socket: not permitted for this user\n")
        assert gateway.oubli(interpreter, "status", before=powerless) == told


@pytest.mark.needs("root", "setpriv")
def test_a_recorder_without_rights_says_what_was_refused(interpreter: Interpreter, folder: Path) -> None:
    """The function that failed and its number; nothing of what it was asked."""
    with device(folder, None) as gateway:
        powerless = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
        assert gateway.oubli(interpreter, "recorder", before=powerless) == (
            1,
            "",
            "oubli: can't go on: bind (operation not permitted)\n",
        )


def test_no_recorder_is_exit_1_and_one_line(any_interpreter: Interpreter, folder: Path) -> None:
    """Whether nobody ever listened, or a former one left its socket behind."""
    with device(folder, None) as gateway:
        assert gateway.oubli(any_interpreter, "status") == (
            1,
            "",
            f"oubli: no answer at {folder}/var/run/oubli/control/socket: the recorder isn't running\n",
        )
        (folder / "var/run/oubli/control").mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(folder / "var/run/oubli/control/socket"))
        assert gateway.oubli(any_interpreter, "status", "--json")[::2] == (
            1,
            f"oubli: no answer at {folder}/var/run/oubli/control/socket: the recorder isn't running\n",
        )
