# SPDX-License-Identifier: Apache-2.0
"""A daemon that was taken over asks the kernel for what it never needs.

boards/common/etc/seccomp refuses it, by procd's own loader.

tests/openwrt/test_calls.py does the same in the jails of a gateway that boots.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from host_sim.driver.interpreters import environment
from host_sim.lab.lab import Lab
from tests.support.filters import FILTERS, Loader
from tests.support.interpreters import FOREIGN, INTERPRETERS, PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("root", "openwrt", "micropython-1.28", "unsquashfs")

# A filter that lets one by does no harm here: it is asked of what isn't there.
NOWHERE = b"/oubli/nowhere\0"
# What it asks: a call of the C library, or of the kernel by name where that has none.
CALLS: dict[str, tuple[Any, ...]] = {
    "another program": ("execve", "ppp", b"/bin/true\0", None, None),
    "another process's memory": ("ptrace", "iiii", 0, 0, 0, 0),
    "a namespace": ("unshare", "i", 0x10000000),
    "a mount": ("mount", "pppip", b"none\0", NOWHERE, b"tmpfs\0", 0, None),
    "a root of its own": ("chroot", "p", NOWHERE),
    "another user": ("setuid", "i", 0),
    "a signal to another": ("kill", "ii", 2**22 + 1, 0),
    "a device": ("mknod", "piq", NOWHERE, 0o20600, 0x101),
    "a link": ("symlink", "pp", b"/etc\0", NOWHERE),
    "a second name": ("link", "pp", b"/etc/passwd\0", NOWHERE),
    "an owner": ("chown", "pii", NOWHERE, 0, 0),
    "the time": ("syscall", "iiii", 164, 0, 0, 0),
    "a module of the kernel": ("syscall", "iiii", 175, 0, 0, 0),
    "a program in the kernel": ("syscall", "iiii", 321, 0, 0, 0),
    "a key of the kernel": ("syscall", "iiii", 250, 0, 0, 0),
    "a queue of calls": ("syscall", "iiii", 425, 1, 0, 0),
    "a socket of packets": ("socket", "iii", 17, 3, 0),
    "a socket of Bluetooth": ("socket", "iii", 31, 3, 0),
    "the calls of x32": ("syscall", "iiii", 0x40000000 + 39, 0, 0, 0),
}
ONE: dict[str, dict[str, tuple[Any, ...]]] = {
    "recorder": {
        "a network socket": ("socket", "iii", 2, 1, 0),
        "a network socket of IPv6": ("socket", "iii", 10, 2, 0),
        "the radios": ("socket", "iii", 16, 3, 16),
        "the kernel's tunnels": ("socket", "iii", 16, 3, 6),
        "a child in a namespace of its own": ("syscall", "iiii", 56, 0x10000011, 0, 0),
    },
    "forwarder": {
        "a child process": ("fork", ""),
        "a folder": ("mkdir", "pi", NOWHERE, 0o700),
        "to be connected to": ("listen", "ii", 0, 1),
    },
    "page": {
        "a child in a namespace of its own": ("syscall", "iiii", 56, 0x10000011, 0, 0),
        "a folder": ("mkdir", "pi", NOWHERE, 0o700),
    },
}
CASES = [(daemon, what) for daemon, own in ONE.items() for what in [*CALLS, *own]]
ASKS = """
import ffi
library = ffi.open(None)
name, form, words = {0!r}, {1!r}, {2!r}
print("asks")
print("goes on", library.func("i", name, form)(*words))
"""


# What the agent's own layer asks of the C library, each thing once.
LIFE = """
import os, socket, sys, time
from agent.purposes.consent import page_connection
from agent.runtime import clocks, files, memory, process, sockets
from agent.runtime.libc import LIBC
folder = sys.argv[1]
process.harden()
source = clocks.DeviceTime()
source.wall(), source.monotonic()
files.make_folder(folder + "/x", 0o700)
files.write_atomic(folder + "/x/a", b"abc")
files.hold_folder(folder + "/x")
region = memory.map_file(folder + "/x/m", 8192)
region.lock(), region.wipe(), region.close()
files.read_at(folder + "/x/a", 0, 3), list(files.entries(folder + "/x"))
files.size_of(folder + "/x/a"), files.in_memory(folder)
process.end_at_alarm()
LIBC.call("alarm", 30)
process.stop_descriptor()
listener = sockets.unix_server(folder + "/s")
client = sockets.unix_client(folder + "/s")
other = sockets.accept(listener)
sockets.peer(other), sockets.send_some(client, b"hi"), sockets.read_some(other, 10)
child = process.fork(5)
if not child:
    process.leave()
time.sleep(0.1)
process.ended(child)
poll = sockets.Poll()
poll.add(listener)
poll.wait(5)
web = page_connection.listen(0)
page_connection.end("getsockname", web), sockets.accept(web)
socket.getaddrinfo("localhost", 80, 0, socket.SOCK_STREAM)
tcp = socket.socket()
tcp.settimeout(1)
try:
    tcp.connect(socket.getaddrinfo("127.0.0.1", 9)[0][-1])
except OSError:
    pass
files.remove(folder + "/x/a")
os.remove(folder + "/x/m")
os.rmdir(folder + "/x")
process.Heartbeat(folder + "/hb").beat(10**18)
process.log("lived")
"""


@pytest.fixture(scope="module")
def loader() -> Iterator[Loader]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Loader(Path(folder))


def asked(loader: Loader, daemon: str, call: tuple[Any, ...]) -> subprocess.CompletedProcess[bytes]:
    """Let MicroPython make a call under a daemon's filter."""
    name, form, *words = call
    command = INTERPRETERS["micropython"].command("-c", ASKS.format(name, form, tuple(words)))
    return subprocess.run(
        command,
        cwd=PROJECT,
        env=environment() | loader.variables(daemon),
        capture_output=True,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize(("daemon", "what"), CASES)
def test_a_daemon_that_asks_for_what_it_never_needs_is_ended(loader: Loader, daemon: str, what: str) -> None:
    """Gain: another program, process, user, socket, folder, or more of the kernel's code to find a hole in."""
    done = asked(loader, daemon, (CALLS | ONE[daemon])[what])
    assert (done.stdout, done.returncode) == (b"asks\n", -signal.SIGSYS), done.stderr


def test_the_same_words_go_on_where_nothing_is_forbidden(loader: Loader) -> None:
    """What ends them above is the filter: a call that is allowed returns, and one that is refused says so."""
    assert asked(loader, "recorder", ("getpid", "")).stdout.startswith(b"asks\ngoes on ")
    assert asked(loader, "recorder", ("socket", "iii", 16, 3, 12)).stdout != b"asks\ngoes on -1\n"
    assert asked(loader, "forwarder", ("socket", "iii", 2, 1, 0)).stdout != b"asks\ngoes on -1\n"
    for daemon in ("forwarder", "page"):
        assert asked(loader, daemon, ("socket", "iii", 16, 3, 12)).stdout == b"asks\ngoes on -1\n"


@pytest.mark.parametrize("processor", [pytest.param(name, marks=pytest.mark.needs(name)) for name in FOREIGN])
def test_the_lists_have_what_other_processors_call_it(processor: str, tmp_path: Path) -> None:
    """`mmap2`, `fcntl64`, `_llseek`: what a daemon asks for has other names there, seen by qemu-user's own trace."""
    words = INTERPRETERS[processor].command("-c", LIFE, tmp_path)
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env=environment() | {"QEMU_STRACE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert "lived" in done.stdout
    # Before `main`
    asked = set(re.findall(r"(?m)^\d+ (\w+)\(", done.stderr)) - {"execve", "set_thread_area", "set_tls", "arch_prctl"}
    assert len(asked) > 40
    allowed = {name for file in ("recorder", "forwarder", "page") for rule in filters(file) for name in rule["names"]}
    assert asked <= allowed, asked - allowed


def filters(name: str) -> list[dict[str, Any]]:
    """Return the rules of a list."""
    rules: list[dict[str, Any]] = json.loads((FILTERS / f"oubli-{name}.json").read_text())["syscalls"]
    return rules


@pytest.mark.needs("ip", "nft", "conntrack", "mosquitto")
def test_both_daemons_live_their_whole_life_under_their_filters(loader: Loader) -> None:
    """Connections recorded, summed, delivered over the broker, shown by `oubli who`, forgotten.

    A broker that goes and comes back.
    """
    with Lab(loader.interpreter()) as lab:
        device = lab.device
        lab.start()
        for daemon in ("recorder", "forwarder"):
            status = Path(f"/proc/{device.pid(daemon)}/status").read_text()
            assert "\nSeccomp:\t2\n" in status, daemon
            assert "\nNoNewPrivs:\t1\n" in status, daemon
        lab.confirm_time()
        lab.traffic(200)
        lab.settle()
        found, _ = lab.compare()
        assert (found.missing, found.extra, found.unequal, found.equal) == (0, 0, 0, 200)
        shown = device.command("who", "--mac", lab.network.terminals[0].mac.hex(":"), "--agreed", "--json")
        assert "security" in shown
        lab.broker.stop()
        lab.broker.start()
        lab.wait_for_arrivals()
        forgotten = lab.forget()
        assert (forgotten["segments_left"], forgotten["octets_of_keys_left"]) == (0, 0)
        assert {daemon: device.stop(daemon) for daemon in ("forwarder", "recorder")} == {"forwarder": 0, "recorder": 0}
        assert "killed" not in device.log("recorder").read_text()
