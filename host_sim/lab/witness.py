# SPDX-License-Identifier: Apache-2.0
"""The independent witness: `conntrack -E` beside the recorder, on the same kernel, through somebody else's parser.

Its XML output carries everything with nanoseconds: both tuples, both counters, start, stop, the last state, and what
was left of the timeout when an entry ended early. From these the lab works out by itself what the vault must hold;
nothing of `agent/` is used here. (XML leaves ICMP's identifiers out: a second, plain, output gives them.) `end` is stop
less the timeout of the last state, less only what had run of it. It is never below the start (the design's "Capture"
says why).
"""

import contextlib
import ipaddress
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from host_sim.lab.network import TIMEOUTS, LabError, Network
from host_sim.lab.sockets import borrow

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
SECOND = 1_000_000_000
SO_RCVBUFFORCE, NETLINK_NETFILTER = 33, 12  # asm-generic/socket.h, linux/netlink.h

_META = re.compile(r'<meta direction="(\w+)">(.*?)</meta>')
_ECHO = re.compile(r" id=(\d+) .* id=(\d+) .* id=(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """One DESTROY as the witness saw it.

    Ports are ICMP's identifier where there are no ports; times in ns, wall clock.
    """

    protocol: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    translated_port: int
    packets_up: int
    bytes_up: int
    packets_down: int
    bytes_down: int
    start: int
    stop: int
    state: str
    assured: bool
    left: int | None

    @property
    def timeout(self) -> str:
        """The name of the timeout in which this connection's last state waits for another packet."""
        if self.protocol == TCP:
            return f"tcp_timeout_{self.state.lower()}"
        if self.protocol == UDP:
            return "udp_timeout_stream" if self.assured else "udp_timeout"
        return {ICMP: "icmp_timeout", ICMPV6: "icmpv6_timeout"}.get(self.protocol, "generic_timeout")

    @property
    def end(self) -> int:
        """When the last packet passed, ns since the epoch, by the timeouts that the lab begins with."""
        return self.end_after(TIMEOUTS[self.timeout])

    def end_after(self, timeout: int) -> int:
        """When the last packet passed, if its state's timeout was so many seconds."""
        ran = timeout if self.left is None else max(0, timeout - self.left)
        return max(self.start, self.stop - ran * SECOND)


def _number(text: str, tag: str, otherwise: int = 0) -> int:
    found = re.search(rf"<{tag}>(\d+)</{tag}>", text)
    return int(found.group(1)) if found else otherwise


def _address(text: str, tag: str) -> bytes:
    found = re.search(rf"<{tag}>([0-9a-f.:]+)</{tag}>", text)
    if not found:
        raise LabError(f"the witness saw a connection without {tag}")
    return ipaddress.ip_address(found.group(1)).packed


def parse(line: str, echoes: dict[int, tuple[int, int]]) -> Seen:
    """Read one `<flow type="destroy">` of conntrack's XML; `echoes` has ICMP's two identifiers by the entry's id."""
    parts = dict(_META.findall(line))
    up, down, rest = parts["original"], parts["reply"], parts["independent"]
    protocol = int(re.search(r'<layer4 protonum="(\d+)"', up).group(1))  # type: ignore[union-attr]
    state = re.search(r"<state>(\w+)</state>", rest)
    ports = (_number(up, "sport"), _number(down, "dport"))
    if protocol in (ICMP, ICMPV6):
        ports = echoes[_number(rest, "id")]
    return Seen(
        protocol=protocol,
        source=_address(up, "src"),
        source_port=ports[0],
        destination=_address(up, "dst"),
        destination_port=_number(up, "dport"),
        translated_port=ports[1],
        packets_up=_number(up, "packets"),
        bytes_up=_number(up, "bytes"),
        packets_down=_number(down, "packets"),
        bytes_down=_number(down, "bytes"),
        start=_number(rest, "start"),
        stop=_number(rest, "stop"),
        state=state.group(1) if state else "",
        assured="<assured/>" in rest,
        left=_number(rest, "timeout") if "<timeout>" in rest else None,
    )


def _listening(process: Path) -> int | None:
    """Return the descriptor of the netlink socket on which this process has joined a conntrack group."""
    own = {}
    for handle in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile: it is still starting
            own[str(handle.readlink())] = int(handle.name)
    for row in (process / "net/netlink").read_text().splitlines()[1:]:
        _, family, _, groups, *_, inode = row.split()
        if int(family) == NETLINK_NETFILTER and int(groups, 16) and f"socket:[{inode}]" in own:
            return own[f"socket:[{inode}]"]
    return None


def widen(pid: int) -> bool:
    """Give a listening process a buffer for every event of the lab; False where it doesn't listen yet.

    conntrack 1.4.8 has `--buffer-size`, but sets it on its other socket (seen with strace); so it is done from outside.
    Beside a second listener a loss-free one needs it too: what the kernel sends to one of them again, it sends again to
    all.
    """
    descriptor = _listening(Path(f"/proc/{pid}"))
    if descriptor is None:
        return False
    with borrow(pid, descriptor) as shared:
        shared.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    return True


class Witness:
    """`conntrack -E` in the gateway, from `start` to `stop`, writing to files; lossless, or the lab says so."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._xml, self._errors = folder / "witness.xml", folder / "witness.errors"
        self._plain = folder / "witness.plain"
        self._network = network
        self._processes: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._listen(self._xml, "-o", "xml,ktimestamp,id")
        self._listen(self._plain, "-o", "id")

    def _listen(self, file: Path, *options: str) -> None:
        command = self._network.inside(self._network.gateway, "conntrack", "-E", "-e", "DESTROY", *options)
        with file.open("wb") as out, self._errors.open("ab") as errors:
            process = subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True)
        self._processes.append(process)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            if widen(process.pid):
                return
            time.sleep(0.01)
        raise LabError(f"the witness does not listen: {self._errors.read_text().strip()}")

    def count(self) -> int:
        """Return how many connections both its outputs have seen end, the gateway's own included."""
        return min(self._xml.read_bytes().count(b"</flow>\n"), self._plain.read_bytes().count(b"\n"))

    def seen(self) -> list[Seen]:
        """Return every connection that ended so far; raises LabError if the witness itself lost events."""
        if b"ENOBUFS" in self._errors.read_bytes():
            raise LabError("the witness lost events: its word is worth nothing")
        echoes = {
            int(entry): (int(before), int(after))
            for line in self._plain.read_text().splitlines()
            if " icmp" in line
            for before, after, entry in _ECHO.findall(line)
        }
        return [parse(line, echoes) for line in self._xml.read_text().splitlines() if line.startswith("<flow ")]

    def stop(self) -> None:
        """End it."""
        for process in self._processes:
            process.terminate()
            process.wait(240)
