# SPDX-License-Identifier: Apache-2.0
"""agent/runtime: each function gives the same answer, to the byte, on CPython, MicroPython and big-endian MicroPython.

A case is a few lines that any of the interpreters runs, and what they print. Where a case needs a witness (the kernel's
/proc, strace, another process, another implementation), it has a test of its own.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from host_sim.checks import process_memory
from host_sim.driver.interpreters import environment
from tests.support.interpreters import FOREIGN, INTERPRETERS, PROJECT, Interpreter

IMPORTS = """
import errno, os, struct, sys
from binascii import hexlify, unhexlify
from agent.runtime import clocks, files, memory, process, sockets, sodium
from agent.runtime.libc import LIBC, address_of, buffer_at, native

def refused(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except OSError as failure:
        return failure.errno
    return 0

def foreign(name, arguments):
    return native.function(native.library(None), "i", name, arguments)
"""


@pytest.fixture
def folder():
    """Give an empty folder with a short name: a unix socket's path has at most 107 octets."""
    with tempfile.TemporaryDirectory(prefix="oubli-") as path:
        yield Path(path)


def script(text: str, folder: Path) -> str:
    """Return a case as the text of a program; F is its folder."""
    return f"{IMPORTS}\nF = {str(folder)!r}\n{text}"


def printed(interpreter: Interpreter, text: str, folder: Path, given: bytes = b"") -> str:
    """Run a case and return what it printed."""
    return interpreter.run("-c", script(text, folder), input=given).stdout.decode()


@contextlib.contextmanager
def running(words: list[str], place: Path = PROJECT):
    """Start a process in a folder, with unbuffered pipes, and see to it that it has ended afterwards."""
    alive = environment() | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, bufsize=0, cwd=place, env=alive, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process) -> str:
    """Return the next line that a process prints; fails after 20 s."""
    assert select.select([process.stdout], [], [], 20)[0], "nothing was printed"
    return process.stdout.readline().decode().strip()


CASES = {
    "a file is replaced whole, with the mode asked for": (
        """
files.write_atomic(F + "/a", b"former content")
files.write_atomic(F + "/a", b"new", 0o660)
files.write_atomic(F + "/b", b"", 0o606, durable=False)
for name in ("a", "b"):
    print(files.read_bounded(F + "/" + name, 99), oct(os.stat(F + "/" + name)[0] & 0o777), sorted(os.listdir(F)))
""",
        "b'new' 0o660 ['a', 'b']\nb'' 0o606 ['a', 'b']\n",
    ),
    "a replacement that fails leaves the former file and nothing beside it": (
        """
os.mkdir(F + "/taken")
files.write_atomic(F + "/taken/inside", b"x")
taken, absent = refused(files.write_atomic, F + "/taken", b"new"), refused(files.write_atomic, F + "/absent/a", b"")
print(taken == errno.EISDIR, absent == errno.ENOENT)
print(sorted(os.listdir(F)), os.listdir(F + "/taken"))
""",
        "True True\n['taken'] ['inside']\n",
    ),
    "an atomic write never goes through a name planted beside": (
        """
files.write_atomic(F + "/victim", b"untouched")
symlink, victim = foreign("symlink", "pp"), (F + "/victim").encode() + b"\\0"
print(symlink(victim, (F + "/.a.new").encode() + b"\\0"), symlink(victim, (F + "/link").encode() + b"\\0"))
files.write_atomic(F + "/a", b"mine")
print(files.read_bounded(F + "/victim", 99), files.read_bounded(F + "/a", 99))
opened, mapped = refused(files.open_file, F + "/link", ()), refused(memory.map_file, F + "/link", 9)
print(opened != 0, mapped != 0, sorted(os.listdir(F)))
""",
        "0 0\nb'untouched' b'mine'\nTrue True ['a', 'link', 'victim']\n",
    ),
    "O_EXCL refuses what is there, O_APPEND adds at the end": (
        """
for size in (3, 2):
    d = files.open_file(F + "/a", ("O_CREAT", "O_APPEND"))
    files.write_all(d, b"abc", size)
    sockets.close(d)
print(files.read_bounded(F + "/a", 99), files.size_of(F + "/a"))
taken, absent = refused(files.open_file, F + "/a", ("O_CREAT", "O_EXCL")), refused(files.open_file, F + "/b", ())
print(taken == errno.EEXIST, absent == errno.ENOENT)
""",
        "b'abcab' 5\nTrue True\n",
    ),
    "octets are written from bytes, buffers and addresses": (
        """
region = memory.scratch(16)
region.view[0:4] = b"addr"
d = files.open_file(F + "/a", ("O_CREAT",))
views = (memoryview(bytearray(b"viewed")), region.address, buffer_at(region.address + 1, 3))
for data in (b"bytes", bytearray(b"array")) + views:
    files.write_all(d, data, 3)
files.truncate(d, 13)
print(files.read_bounded(F + "/a", 99))
files.truncate(d, 20)
print(files.read_bounded(F + "/a", 99), refused(files.write_all, -1, b"x", 1) == errno.EBADF)
""",
        "b'bytarrvieaddd'\nb'bytarrvieaddd\\x00\\x00\\x00\\x00\\x00\\x00\\x00' True\n",
    ),
    "a file is read up to a limit": (
        """
files.write_atomic(F + "/a", bytes(range(100)))
print(len(files.read_bounded(F + "/a", 100)), end=" ")
print(refused(files.read_bounded, F + "/a", 99), refused(files.read_bounded, F + "/b", 9))
print(files.read_bounded(F + "/a", 100) == bytes(range(100)), refused(files.read_bounded, F, 9) == errno.EISDIR)
""",
        "100 27 2\nTrue True\n",
    ),
    "a named pipe in a file's place holds nobody up": (
        """
print(foreign("mkfifo", "pI")((F + "/pipe").encode() + b"\\0", 0o600))
print(files.read_bounded(F + "/pipe", 99))
""",
        "0\nb''\n",
    ),
    "a file is removed where it is there, and its absence is no error": (
        """
files.write_atomic(F + "/a", b"")
print(files.exists(F + "/a"), files.remove(F + "/a"), files.exists(F + "/a"), files.remove(F + "/a"))
print(refused(files.remove, F) != 0, refused(files.size_of, F + "/a") == errno.ENOENT)
""",
        "True True False False\nTrue True\n",
    ),
    "folders are made with those above them, whatever the umask is; one that is there gets its mode": (
        """
LIBC.function("umask")(0o077)
files.make_folder(F + "/a/b/c", 0o2770)
files.make_folder(F + "/a/b/c", 0o700)
files.make_folder(F + "/a/d", 0o700)
print([oct(os.stat(F + path)[0] & 0o7777) for path in ("/a/b/c", "/a/b", "/a", "/a/d")], sorted(os.listdir(F + "/a")))
print(files.sync_folder(F), refused(files.sync_folder, F + "/absent") == errno.ENOENT)
files.write_atomic(F + "/file", b"")
print(refused(files.sync_folder, F + "/file") != 0, refused(files.make_folder, F + "/file/x", 0o700) != 0)
""",
        "['0o700', '0o755', '0o755', '0o700'] ['b', 'd']\nNone True\nTrue True\n",
    ),
    "mapped files are shared, sized, private to their owner and start as zeros": (
        """
one = memory.map_file(F + "/map", 8192)
print(one.size, len(one.view), bytes(one.view) == bytes(8192), end=" ")
print(oct(os.stat(F + "/map")[0] & 0o777), files.size_of(F + "/map"))
two = memory.map_file(F + "/map", 8192, create=False)
one.view[8190:8192] = b"ok"
print(bytes(two.view[8190:8192]), files.read_bounded(F + "/map", 8192)[8190:])
one.close(); two.close()
three = memory.map_file(F + "/map", 4096)
print(files.size_of(F + "/map"), bytes(three.view) == bytes(4096), len(one.view))
print(refused(memory.map_file, F + "/absent", 4096, create=False) == errno.ENOENT)
""",
        "8192 8192 True 0o600 8192\nb'ok' b'ok'\n4096 True 0\nTrue\n",
    ),
    "memory that can't be had is an error and no address": (
        """
print(refused(memory.scratch, 0) == errno.EINVAL, refused(memory.map_file, F + "/a", 0) == errno.EINVAL)
""",
        "True True\n",
    ),
    "memory is copied by address and overwritten in place": (
        """
lib = sodium.Sodium()
one, two = memory.scratch(4096), memory.scratch(4096)
print(bytes(one.view) == bytes(4096))
one.view[0:6] = b"secret"
memory.copy(two.address + 10, one.address, 6)
lib.zero(one.address, 4)
print(bytes(one.view[0:8]), bytes(two.view[8:18]))
lib.zero(two.address, 4096)
print(bytes(two.view) == bytes(4096))
array = bytearray(b"0123456789")
memory.copy(address_of(array) + 2, one.address + 4, 2)
print(array)
""",
        "True\nb'\\x00\\x00\\x00\\x00et\\x00\\x00' b'\\x00\\x00secret\\x00\\x00'\nTrue\nbytearray(b'01et456789')\n",
    ),
    "random octets fill exactly the memory asked for, and differ each time": (
        """
lib = sodium.Sodium()
region = memory.scratch(100)
def fill(size):
    if size < 0:
        return os.urandom(-size)
    lib.random(region.address + 1, size)
    return bytes(region.view[1:1 + size])
for size in (64, -64):
    draws = [fill(size) for _ in range(64)]
    print(len(set(draws)), [len(set(draw[at] for draw in draws)) > 20 for at in range(64)].count(True))
print(region.view[0], bytes(region.view[65:]) == bytes(35))
""",
        "64 64\n64 64\n0 True\n",
    ),
    "SipHash-2-4 and BLAKE2b give the published vectors": (
        # SipHash: Aumasson and Bernstein, appendix A, the octets in order. BLAKE2b-512: RFC 7693, appendix A.
        """
lib = sodium.Sodium()
out = bytearray(8)
lib.short_hash(out, bytes(range(15)), 15, bytes(range(16)))
print(hexlify(out).decode())
key = memory.scratch(16)
key.view[0:16] = bytes(range(16))
lib.short_hash(out, bytes(range(15)), 15, key.address)
print(hexlify(out).decode())
print(hexlify(lib.digest(b"abc", 64)[:8]).decode(), hexlify(lib.digest(b"abc", 64)[56:]).decode())
""",
        "e545be4961ca29a1\ne545be4961ca29a1\nba80a53f981c4d0d b92386edd4009923\n",
    ),
    "unix sockets carry octets both ways without waiting": (
        """
server = sockets.unix_server(F + "/socket")
print(sockets.accept(server))
client = sockets.unix_client(F + "/socket")
peer = sockets.accept(server)
print(sockets.read_some(peer, 9), sockets.read_some(client, 9))
print(sockets.send_some(client, b"to the server"), sockets.read_some(peer, 6), sockets.read_some(peer, 99))
print(sockets.send_some(peer, b"back"), sockets.read_some(client, 99), any(sockets._inbox.view))
sent, step = 0, 1
while step:
    step = sockets.send_some(peer, bytes(65536))
    sent += step
got, part = 0, b"x"
while part:
    part = sockets.read_some(client, 65536)
    got += len(part or b"")
print(sent > 65536, sent == got, part)
sockets.close(client)
foreign("signal", "ip")(process.SIGPIPE, None)  # both interpreters ignore it by themselves
print(sockets.read_some(peer, 9), refused(sockets.send_some, peer, b"x"))
""",
        "-1\nNone None\n13 b'to the' b' server'\n4 b'back' False\nTrue True None\nb'' 32\n",  # EPIPE
    ),
    "a unix client is told at once that nobody listens or that the queue is full": (
        """
print(refused(sockets.unix_client, F + "/absent") == errno.ENOENT)
long = F + "/" + "x" * 200
print(refused(sockets.unix_client, long) == errno.EINVAL, refused(sockets.unix_server, long) == errno.EINVAL)
server = sockets.unix_server(F + "/socket")
full = 0
while not full and server < 99:
    full = refused(sockets.unix_client, F + "/socket")
print(full == errno.EAGAIN)
sockets.close(server)
print(refused(sockets.unix_client, F + "/socket") == errno.ECONNREFUSED)
server = sockets.unix_server(F + "/socket")
print(sockets.unix_client(F + "/socket") > 0, sockets.accept(server) > 0)
""",
        "True\nTrue True\nTrue\nTrue\nTrue True\n",
    ),
    "who sees a unix socket's name is let in, from the first moment": (
        """
call, seen = LIBC.call, []
def watching(*words):
    LIBC.call = call
    seen.append(files.exists(F + "/socket") and refused(sockets.unix_client, F + "/socket"))
    LIBC.call = watching
    return call(*words)
LIBC.call = watching
server = sockets.unix_server(F + "/socket", 0o640)
LIBC.call = call
print(len(seen) > 3, any(seen), refused(sockets.unix_client, F + "/socket"))
print(oct(os.stat(F + "/socket")[0] & 0o777), list(files.entries(F)) == [F + "/socket"])
""",
        "True False 0\n0o640 True\n",
    ),
    "the peer of a unix socket is known, and of nothing else": (
        """
server = sockets.unix_server(F + "/socket")
client = sockets.unix_client(F + "/socket")
peer = sockets.accept(server)
user, groups = sockets.peer(peer)
print(user == LIBC.call("geteuid"), groups[0] == foreign("getegid", "")())
pipe = files.open_file(F + "/a", ("O_CREAT",))
print(refused(sockets.peer, pipe) != 0, refused(sockets.peer, -1) == errno.EBADF)
lone = LIBC.call("socket", sockets.AF_UNIX, LIBC["SOCK_STREAM"], 0)
print(refused(sockets.peer, lone) != 0)
LIBC.constants["SO_PEERCRED"] -= 1  # SO_PASSCRED on each: it succeeds and leaves zeros, root's number
print(refused(sockets.peer, peer) == errno.EINVAL)
""",
        "True True\nTrue True\nTrue\nTrue\n",
    ),
    "poll tells who is ready and waits no longer than it is told": (
        """
server = sockets.unix_server(F + "/socket")
client = sockets.unix_client(F + "/socket")
poll = sockets.Poll()
poll.add(server)
print(poll.wait(0) == [server])
peer = sockets.accept(server)
poll.add(peer)
start = clocks.DeviceTime().monotonic()
print(poll.wait(50), 45000000 < clocks.DeviceTime().monotonic() - start < 5000000000)
sockets.send_some(client, b"x")
print(poll.wait(5000) == [peer])
poll.remove(peer)
print(poll.wait(0))
poll.add(peer, writable=True)
print(poll.wait(5000) == [peer], sockets.read_some(peer, 1))
poll.remove(peer)
poll.add(peer)
sockets.close(client)
print(poll.wait(5000) == [peer], sockets.read_some(peer, 1))
""",
        "True\n[] True\nTrue\n[]\nTrue b'x'\nTrue b''\n",
    ),
    "errors carry a number and the function that failed, nothing of what it was asked": (
        """
for path in ("/no/such/AA-BB-CC", "/proc/self/mem/x"):
    try:
        LIBC.call("open", path.encode() + b"\\0", 0, 0)
    except OSError as failure:
        print(failure.args)
""",
        "(2, 'open')\n(20, 'open')\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_interpreter_answers_alike(case: str, any_interpreter: Interpreter, folder: Path) -> None:
    """The table of functions; nothing is written to standard error."""
    text, expected = CASES[case]
    done = any_interpreter.run("-c", script(text, folder))
    assert (done.stdout.decode(), done.stderr) == (expected, b"")


def test_no_error_of_the_agent_is_made_of_a_number_alone() -> None:
    """CPython gives OSError(2) no `errno`, MicroPython does: `OSError(2, "")` has it on both."""
    for path in (PROJECT / "agent").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "OSError":
                assert len(node.args) == 2, f"{path.name}:{node.lineno}"


def test_clocks_are_the_kernels(any_interpreter: Interpreter, folder: Path) -> None:
    """Wall time, time since boot with what was slept through (EXP-4), and the boot's id without dashes."""
    text = "time = clocks.DeviceTime()\nprint(time.wall(), time.monotonic(), time.boot)\n"
    text += "calls = [time.monotonic() for _ in range(2000)]\nprint(calls == sorted(calls), calls[-1] > calls[0])\n"
    text += "print(max(clocks.slept() for _ in range(100)))"
    before = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    first, second, slept = printed(any_interpreter, text, folder).splitlines()
    after = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    wall, monotonic, boot = first.split()
    assert before[0] - 1000 <= int(wall) <= after[0]  # MicroPython's wall clock is in whole microseconds
    assert before[1] <= int(monotonic) <= after[1]
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    assert second == "True True"
    awake = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert abs(int(slept) - awake) < 10**9


def test_a_log_line_goes_to_standard_output_at_once(any_interpreter: Interpreter, folder: Path) -> None:
    """Which procd logs as information; what stands on standard error it logs as an error."""
    done = any_interpreter.run(
        "-c",
        script('process.log("a line")\nLIBC.call("kill", int(process.identity().split(" ")[0]), 9)', folder),
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"a line\n", b"")


@pytest.mark.needs("strace")
@pytest.mark.parametrize("durable", [True, False])
def test_file_is_synced_before_its_name_changes_and_the_folder_after(
    interpreter: Interpreter, folder: Path, durable: bool
) -> None:
    """EXP-6: in this order a cut of power leaves the former content or the new one. On tmpfs nothing needs a sync."""
    trace = folder / "trace"
    text = script(f'files.write_atomic(F + "/a", b"content", durable={durable})', folder)
    words = ["strace", "-f", "-o", str(trace), "-y", "-e", "trace=fsync,fdatasync,write,rename,renameat,renameat2"]
    subprocess.run([*words, *interpreter.command("-c", text)], cwd=PROJECT, env=environment(), check=True, timeout=240)
    calls = [
        match[1]
        for match in re.finditer(r"^\d+ +(\w+\(.*)$", trace.read_text(), re.MULTILINE)
        if str(folder) in match[1]
    ]
    beside, at = f"<{folder}/.a.new>", f"<{folder}>"
    kinds = [(call.split("(")[0].removesuffix("at2").removesuffix("at"), beside in call, at in call) for call in calls]
    synced = [("write", True, False), ("fsync", True, False), ("rename", False, False), ("fsync", False, True)]
    assert kinds == (synced if durable else [synced[0], synced[2]])


def test_a_full_disk_leaves_the_former_file_and_nothing_half_written(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """The system takes 512 octets of a file and no more."""
    text = """
files.write_atomic(F + "/a", b"former")
print(refused(files.write_atomic, F + "/a", bytes(5000)), refused(files.write_atomic, F + "/b", bytes(513)))
files.write_atomic(F + "/c", bytes(512))
print(files.read_bounded(F + "/a", 99), sorted(os.listdir(F)))
"""
    # Python keeps what it could write of a compiled module, even where that is a
    # part: every later import of it would fail.
    shell = 'trap "" XFSZ; ulimit -f 1; export PYTHONDONTWRITEBYTECODE=1; exec "$@"'
    limited = Interpreter(any_interpreter.name, ("sh", "-c", shell, "sh", *any_interpreter.words))
    assert printed(limited, text, folder) == "28 28\nb'former' ['a', 'c']\n"  # ENOSPC


@pytest.mark.needs("root", "unshare")
def test_a_full_tmpfs_refuses_a_mapping_and_ends_nobody(any_interpreter: Interpreter, folder: Path) -> None:
    """A page that is there can be written for ever, one that isn't there is refused at once: never a SIGBUS.

    A beat needs no room.
    """
    text = """
kept = memory.map_file(F + "/kept", 20480)
heart = process.Heartbeat(F + "/heartbeat")
print(refused(memory.map_file, F + "/more", 131072), refused(files.write_atomic, F + "/filler", bytes(24576)))
print(refused(memory.map_file, F + "/kept", 20480), refused(files.write_atomic, F + "/b", bytes(20480)))
kept.view[20479] = 1
for now in (0, 6000000000):
    heart.beat(now)
print(files.read_bounded(F + "/heartbeat", 64).split(b"\\n")[0].split()[2])
"""
    mount = f'mount -t tmpfs -o size=64k none {folder}; exec "$@"'
    small = Interpreter(any_interpreter.name, ("unshare", "-m", "sh", "-ec", mount, "sh", *any_interpreter.words))
    assert printed(small, text, folder) == "28 0\n0 28\nb'0000000002'\n"


def test_a_folder_is_held_by_one_process_until_it_ends(any_interpreter: Interpreter, folder: Path) -> None:
    """What is killed holds nothing any more."""
    text = "print(files.hold_folder(F))\nsys.stdin.readline()\n"
    with running(any_interpreter.command("-c", script(text, folder)), any_interpreter.root) as process:
        assert line(process) == "True"
        assert printed(any_interpreter, text, folder, b"\n") == "False\n"
    assert printed(any_interpreter, text, folder, b"\n") == "True\n"


def test_readers_and_a_kill_see_one_content_or_the_other(any_interpreter: Interpreter, folder: Path) -> None:
    """EXP-6: 2,000 reads while it is replaced, then SIGKILL at any moment.

    A content is never mixed, short or absent.
    """
    text = """
files.write_atomic(F + "/a", b"A" * 50000, durable=False)
print("begun")
while True:
    files.write_atomic(F + "/a", b"B" * 60000, durable=False)
    files.write_atomic(F + "/a", b"A" * 50000, durable=False)
"""
    whole = {b"A" * 50000, b"B" * 60000}
    with running(any_interpreter.command("-c", script(text, folder)), any_interpreter.root) as process:
        process.stdout.readline()
        seen = {(folder / "a").read_bytes() for _ in range(2000)}
        end = time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < end:  # a writer that got no turn meanwhile
            seen.add((folder / "a").read_bytes())
        process.kill()
        process.wait()
    assert seen == whole
    assert (folder / "a").read_bytes() in whole
    assert {path.name for path in folder.iterdir()} <= {"a", ".a.new"}
    printed(any_interpreter, 'files.write_atomic(F + "/a", b"next")', folder)
    assert [path.name for path in folder.iterdir()] == ["a"]  # what the kill left is swept away by the next write


def test_mapped_memory_is_locked_and_given_back(interpreter: Interpreter, folder: Path) -> None:
    """EXP-2: by the kernel's word, /proc/self/status and /proc/self/maps."""
    text = """
def locked():
    with open("/proc/self/status") as file:
        return int(file.read().split("VmLck:")[1].split()[0])

def mapped():
    with open("/proc/self/maps") as file:
        return F + "/map" in file.read()

region = memory.map_file(F + "/map", 16384)
before = locked()
print(region.lock(), locked() - before, mapped())
region.close()
print(locked() - before, mapped())
"""
    assert printed(interpreter, text, folder) == "True 16 True\n0 False\n"


def writable_memory(pid: int) -> bytes:
    """Return all that a process of ours could write to."""
    parts = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for row in maps:
            span, rights, *_ = row.split()
            if rights.startswith("rw"):
                start, end = (int(part, 16) for part in span.split("-"))
                with contextlib.suppress(OSError):  # [vvar] and its like
                    memory.seek(start)
                    parts.append(memory.read(end - start))
    return b"\0".join(parts)


def test_a_secret_in_mapped_memory_is_nowhere_else_and_gone_once_overwritten(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """EXP-2: a key is made in place and used by address: another process looks through all memory, before and after."""
    text = """
lib = sodium.Sodium()
region = memory.map_file(F + "/key", 4096)
lib.random(region.address + 64, 32)
work = memory.scratch(4096)
header = bytearray(24)
lib.stream.open(work.address, header, region.address + 64)
lib.stream.push(work.address, work.address + 100, b"message", 7, b"", sodium.MESSAGE)
out = bytearray(8)
lib.short_hash(out, b"data", 4, region.address + 64)
print("made")
sys.stdin.readline()
lib.zero(region.address, 4096)
print("overwritten")
sys.stdin.readline()
"""
    with running(any_interpreter.command("-c", script(text, folder)), any_interpreter.root) as process:
        assert line(process) == "made"
        key = (folder / "key").read_bytes()[64:96]
        assert writable_memory(process.pid).count(key) == 1
        process.stdin.write(b"\n")
        assert line(process) == "overwritten"
        assert key not in writable_memory(process.pid)
        assert (folder / "key").read_bytes() == bytes(4096)


@pytest.mark.long
def test_what_objects_left_in_the_heap_is_overwritten_and_the_heap_free_again(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """EXP-1: texts and numbers that were dropped, of a number that stands nowhere else in the program."""
    text = """
seed = int(sys.stdin.readline())
kept = [((seed << 30) + number, "%d-%04d" % (seed, number), b"%d-%04d" % (seed, number)) for number in range(1000)]
kept = None
print("dropped")
sys.stdin.readline()
for _ in range(30):
    memory.overwrite_freed()
room = [bytearray(1000) for _ in range(150)]
print("overwritten")
sys.stdin.readline()
"""
    seed = 0x20000000 | int.from_bytes(os.urandom(3), "big")
    numbers = [(seed << 30) + number for number in range(20, 1000, 20)]

    def left(pid: int) -> tuple[int, int]:
        texts = process_memory.found(pid, re.compile(rb"%d-[0-9]{4}" % seed), 20)
        return len(texts), len(process_memory.numbers(pid, numbers))

    with running(any_interpreter.command("-c", script(text, folder)), any_interpreter.root) as process:
        process.stdin.write(b"%d\n" % seed)
        assert line(process) == "dropped"
        texts, numbers_left = left(process.pid)
        assert texts > 500
        assert any_interpreter.name == "mips" or numbers_left > 20
        process.stdin.write(b"\n")
        assert line(process) == "overwritten"
        texts, numbers_left = left(process.pid)
        assert texts <= 2
        assert numbers_left <= 1


SEAL = """
lib = sodium.Sodium()
size = 70000
region = memory.scratch(size)
state, key, out = region.address, region.address + 64, region.address + 128
lib.random(key, 32)
header = bytearray(sodium.HEADER)
lib.stream.open(state, header, key)
print(hexlify(region.view[64:96]).decode(), hexlify(header).decode())
for number, count in enumerate((0, 1, 63, 64, 65, 4096, 65536)):
    message = bytes((number + octet) & 255 for octet in range(count))
    tag = sodium.FINAL if count == 65536 else sodium.MESSAGE
    written = lib.stream.push(state, out, message, count, b"data" * (number % 3), tag)
    print(hexlify(region.view[128:128 + written]).decode())
"""
OPEN = """
lib = sodium.Sodium()
region = memory.scratch(70000)
state, key, out = region.address, region.address + 64, region.address + 128
text, header = sys.stdin.readline().split()
region.view[64:96] = unhexlify(text)
lib.stream.read(state, unhexlify(header), key)
for number in range(7):
    sealed = unhexlify(sys.stdin.readline().strip())
    size, tag = lib.stream.pull(state, out, sealed, b"data" * (number % 3))
    print(size, tag, hexlify(lib.digest(bytes(region.view[128:128 + size]))).decode())
"""


@pytest.mark.needs("micropython", *FOREIGN)
def test_what_one_interpreter_seals_every_other_opens(any_interpreter: Interpreter, folder: Path) -> None:
    """Each pair, both ways; 64-bit lengths on a 32-bit, big-endian build; digests by Python's own BLAKE2b."""
    messages = [
        bytes((number + octet) & 255 for octet in range(size))
        for number, size in enumerate((0, 1, 63, 64, 65, 4096, 65536))
    ]
    expected = [
        f"{len(message)} {3 if len(message) == 65536 else 0} {hashlib.blake2b(message, digest_size=32).hexdigest()}"
        for message in messages
    ]
    sealed = printed(any_interpreter, SEAL, folder)
    assert [len(part) // 2 - 17 for part in sealed.splitlines()[1:]] == [len(message) for message in messages]
    for opener in INTERPRETERS.values():
        assert printed(opener, OPEN, folder, sealed.encode()).splitlines() == expected, opener.name


REFUSE = """
lib = sodium.Sodium()
region = memory.scratch(70000)
state, key, out = region.address, region.address + 64, region.address + 4096
text, header = sys.stdin.readline().split()
chunks = [unhexlify(sys.stdin.readline().strip()) for _ in range(5)]

def opens(header, chunks, data, wrong=0):
    region.view[64:96] = unhexlify(text)
    region.view[64] ^= wrong
    try:
        lib.stream.read(state, header, key)
        for chunk, extra in zip(chunks, data):
            lib.stream.pull(state, out, chunk, extra)
    except sodium.SealError as failure:
        return str(failure)
    return "opened"

def flipped(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1:]

header = unhexlify(header)
data = (b"", b"data", b"datadata", b"", b"data")
print(opens(header, chunks, data))
print([opens(flipped(header, at), chunks, data) for at in (0, 23)])
print([opens(header, [chunks[0], flipped(chunks[1], at)], data) for at in range(len(chunks[1]))])
print([opens(header, [chunks[0], chunks[1][:size]], data) for size in range(len(chunks[1]))])
print([opens(header, [chunks[1], chunks[0]], (data[1], data[0])), opens(header, chunks[1:], data[1:])])
print([opens(header, [chunks[0]] * 2, (b"", b""))])
print([opens(header, chunks, (b"", b"datb", b"datadata", b"", b"data")), opens(header, chunks, data, 1)])
"""


def test_a_chunk_that_was_touched_does_not_open(any_interpreter: Interpreter, folder: Path) -> None:
    """Each bit of place, order, associated data and key counts; the error says nothing."""
    sealed = printed(any_interpreter, SEAL, folder).encode()
    lines = printed(any_interpreter, REFUSE, folder, sealed).splitlines()
    assert lines[0] == "opened"
    assert lines[1:] == [str([""] * count) for count in (2, 18, 18, 2, 1, 2)]


@pytest.mark.needs("root", "setpriv", "perl")
def test_another_users_process_is_known_by_the_kernels_word(any_interpreter: Interpreter, folder: Path) -> None:
    """L34-VI-2: uid 65534 at the other end, and root after it.

    On MIPS the generic option number would say "root" for both.
    """
    text = """
server = sockets.unix_server(F + "/socket", 0o666)
poll = sockets.Poll()
poll.add(server)
print("listening")
for _ in range(2):
    poll.wait(20000)
    user, groups = sockets.peer(sockets.accept(server))
    print(user, groups)
"""
    folder.chmod(0o755)
    with running(any_interpreter.command("-c", script(text, folder)), any_interpreter.root) as process:
        assert line(process) == "listening"
        for user in (65534, 0):
            as_user = ["setpriv", "--reuid", str(user), "--regid", str(user), "--groups", "1234,4321"]
            with running([*as_user, *CONNECT, str(folder / "socket")]):
                # The emulator of MIPS doesn't pass the question for the other groups on.
                groups = (user,) if any_interpreter.name == "mips" else (user, 1234, 4321)
                assert line(process) == f"{user} {groups}"


# Perl of the base system rather than Python: an interpreter in root's home can't be reached by another user.
CONNECT = [
    "perl",
    "-MSocket",
    "-e",
    "socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un($ARGV[0])) or die; sleep 20",
]


def test_descriptors_are_closed_on_exec_and_do_not_block(interpreter: Interpreter, folder: Path) -> None:
    """A program started by the agent would inherit nothing; no call of the loop can hang on a socket."""
    text = """
server = sockets.unix_server(F + "/socket")
client = sockets.unix_client(F + "/socket")
for d in (server, client, sockets.accept(server), process.stop_descriptor(), files.open_file(F + "/a", ("O_CREAT",))):
    with open("/proc/self/fdinfo/" + str(d)) as file:
        print(int(file.read().split("flags:")[1].split()[0], 8))
"""
    flags = [int(number) for number in printed(interpreter, text, folder).split()]
    assert [bool(number & os.O_CLOEXEC) for number in flags] == [True] * 5
    assert [bool(number & os.O_NONBLOCK) for number in flags] == [True] * 4 + [False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_is_read_in_the_loop(
    any_interpreter: Interpreter, folder: Path, number: signal.Signals
) -> None:
    """The process goes on until its loop says so, and then ends in order; SIGPIPE ends nothing."""
    text = """
foreign("signal", "ip")(process.SIGPIPE, None)  # both interpreters ignore it by themselves
stop = process.stop_descriptor()
poll = sockets.Poll()
poll.add(stop)
LIBC.call("kill", foreign("getpid", "")(), process.SIGPIPE)
print("ready", poll.wait(100))
print(poll.wait(20000) == [stop], poll.wait(0) == [stop])
"""
    with running(any_interpreter.command("-c", script(text, folder)), any_interpreter.root) as process:
        assert line(process) == "ready []"
        process.send_signal(number)
        assert line(process) == "True True"
        assert process.wait(240) == 0


def test_a_signal_to_stop_that_comes_while_a_daemon_starts_waits_for_its_loop(
    any_interpreter: Interpreter, folder: Path
) -> None:
    """Ujail makes it the first process of its namespace, where the kernel drops what has no handler yet."""
    text = """
from agent.cli import daemons
def starts(start):
    LIBC.call("kill", foreign("getpid", "")(), process.SIGTERM)
    stop = process.stop_descriptor()
    poll = sockets.Poll()
    poll.add(stop)
    print(poll.wait(20000) == [stop])
    return 7
daemons._DAEMONS["recorder"] = starts
print(daemons.run(["recorder"]))
"""
    assert printed(any_interpreter, text, folder).split() == ["True", "7"]


def test_core_dumps_are_off(any_interpreter: Interpreter, folder: Path) -> None:
    """EXP-2: by the kernel's word, where a core would have been allowed before."""
    text = """
def facts():
    with open("/proc/self/limits") as file:
        row = [line for line in file.read().split("\\n") if line.startswith("Max core file size")][0]
    return row.split()[4:6], LIBC.call("prctl", 3, 0, 0, 0, 0)

print(facts()[1])
process.harden()
print(facts(), oct(LIBC.function("umask")(0)))
"""
    limited = Interpreter(any_interpreter.name, ("sh", "-c", 'ulimit -S -c 1; exec "$@"', "sh", *any_interpreter.words))
    assert printed(limited, text, folder) == "1\n(['0', '0'], 0) 0o77\n"


@pytest.mark.needs("root", "unshare", "nsenter", "ip")
def test_netlink_answers_a_request_tells_of_events_and_of_losses(interpreter: Interpreter, folder: Path) -> None:
    """A namespace of its own: nothing waits, then a listing, an event, an overrun, each a number or octets."""
    text = """
events = sockets.netlink(sockets.NETLINK_ROUTE, 4, 4096)
poll = sockets.Poll()
poll.add(events)
inbox = sockets.Inbox(events, bytearray(sockets.ROOM))
received = inbox.more
print(received() == -errno.EAGAIN, poll.wait(0))

def kinds():
    found, size = [], 1
    while size > 0:
        size = received()
        at = 0
        while at < size:
            step, kind = struct.unpack_from("IH", inbox.view, at)
            found.append((kind, bytes(inbox.view[at:at + step]).count(bytes((10, 9, 8, 7)))))
            at += (step + 3) & ~3
    return found, -size

sockets.request(events, struct.pack("IHHII12x", 28, 30, 0x301, 1, 0))
print(poll.wait(5000) == [events], kinds()[0])
print("add one")
sys.stdin.readline()
print(poll.wait(5000) == [events], kinds() == ([(28, 1)], errno.EAGAIN))
print("add many")
sys.stdin.readline()
print(kinds()[1] == errno.ENOBUFS, kinds()[1] == errno.EAGAIN)
"""
    with running(["unshare", "-n", *interpreter.command("-c", script(text, folder))], interpreter.root) as process:
        inside = ["nsenter", "-t", str(process.pid), "-n", "ip", "-batch", "-"]

        def in_namespace(*commands: str) -> None:
            subprocess.run(inside, input="\n".join(commands), text=True, check=True, timeout=240)

        assert line(process) == "True []"
        assert line(process) == "True [(3, 0)]"  # an empty table: NLMSG_DONE alone
        assert line(process) == "add one"
        in_namespace(
            "link add oubli0 type veth peer name oubli1",
            "link set oubli0 up",
            "link set oubli1 up",
            "neigh add 10.9.8.7 lladdr 02:00:00:00:00:01 dev oubli0",
        )
        process.stdin.write(b"\n")
        assert line(process) == "True True"
        assert line(process) == "add many"
        in_namespace(*(f"neigh add 10.9.9.{number} lladdr 02:00:00:00:00:02 dev oubli0" for number in range(1, 200)))
        process.stdin.write(b"\n")
        assert line(process) == "True True"
