# SPDX-License-Identifier: Apache-2.0
"""A crowd on the lab's gateway: connections put straight into its table, thousands a second.

One terminal beside them really connects.

The entries are those of `host_sim.lab.flows`: the kernel is asked for them over netlink and ends them when it is asked
to. So their rate and the fill of the table are what a test wants. Whether the hotspot still works is what the terminal
finds out: a TCP connection after another through the gateway's translation, each of which must be answered.
"""

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from host_sim.lab import flows
from host_sim.lab.network import INTERNET_4, LabError, Network, run
from host_sim.venue import kernel

CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"
_NETLINK_NETFILTER, _SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 12, 33, 32
_DELETE, _REQUEST = 0x102, 1  # IPCTNL_MSG_CT_DELETE; NLM_F_REQUEST
_CLONE_NEWNET = 0x40000000
_STEP = 100  # connections made and ended at once at a pace
_PORT = 7000
_LIFETIME = 86400  # s
_PATIENCE = 30  # s that a terminal may take to say something: it is the terminal that finds fault
_WAITS = 10  # s that a terminal waits: a busy machine loses two of its SYNs, which come anew after 1, 3 and 7 s
_OWN = 20  # connections of the gateway's own, which may end meanwhile
_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


class Inside:
    """A thread in a network namespace: `inside(function, argument, ...)` runs there."""

    def __init__(self, namespace: str) -> None:
        self._pool = ThreadPoolExecutor(1, initializer=self._enter, initargs=(namespace,))

    def _enter(self, namespace: str) -> None:
        with Path("/run/netns", namespace).open() as file:
            if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def __call__(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Run a function in the namespace and return its result."""
        return self._pool.submit(function, *arguments).result()

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()


class Crowd:
    """Connections in the gateway's table; a context manager that ends what it started.

    The namespaces end the connections.
    """

    def __init__(self, network: Network, made: list[kernel.Flow]) -> None:
        self._network, self._made = network, made
        self._open = contextlib.ExitStack()
        self._at = 0
        self._alive: list[bytes] = []  # requests whose connections haven't been ended
        self.fills: list[int] = []  # entries, each 20th of a second while `watched`
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> "Crowd":
        """Open what it needs in the namespaces."""
        with self._open as stack:
            self._gateway = self._inside(stack, self._network.gateway)
            self._client = self._inside(stack, self._network.terminals[0].namespace)
            internet = self._inside(stack, self._network.internet)
            self._kernel = stack.enter_context(
                self._gateway(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
            )
            for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
                self._kernel.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
            self._server = stack.enter_context(internet(socket.create_server, (INTERNET_4, _PORT)))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self._open.close()

    def _inside(self, stack: contextlib.ExitStack, namespace: str) -> Inside:
        return stack.enter_context(contextlib.closing(Inside(namespace)))

    def setting(self, name: str) -> int:
        """Return one of the gateway's conntrack settings, such as `count` or `max`."""
        return int(self._gateway(Path(CONNTRACK + name).read_text))

    def _next(self, count: int) -> list[bytes]:
        """Return the requests for the next connections of the crowd; the kernel alone wouldn't end them for a day."""
        if self._at + count > len(self._made):
            self._at = 0  # the first ones have ended
        chosen = self._made[self._at : self._at + count]
        self._at += count
        return flows.requests(chosen, _LIFETIME)

    def make(self, count: int) -> None:
        """Put so many more connections into the table; LabError where the kernel doesn't take all."""
        before = self.setting("count")
        for request in self._next(count):
            self._kernel.send(request)
            self._alive.append(request)
        made = self.setting("count") - before
        if made < count - _OWN:
            raise LabError(f"the kernel made {made} of {count} entries")

    def end(self) -> None:
        """End the connections that were made, one by one."""
        for request in self._alive:
            self._kernel.send(_deletion(request))
        self._alive.clear()

    def flush(self) -> None:
        """End every connection of the gateway at once."""
        run(*self._network.inside(self._network.gateway, "conntrack", "-F"))
        self._alive.clear()
        self._at = 0

    def drops(self) -> int:
        """Return how many messages the kernel has dropped at sockets of the gateway that listen to connections."""
        rows = [
            line.split() for line in self._gateway(Path("/proc/thread-self/net/netlink").read_text).splitlines()[1:]
        ]
        return sum(int(row[8]) for row in rows if int(row[1]) == _NETLINK_NETFILTER and int(row[3], 16))

    @contextlib.contextmanager
    def pace(self, rate: int, lifetime: int) -> Iterator[None]:
        """Meanwhile make `rate` connections a second, each ended after `lifetime` s; watch table and terminal."""
        stop = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            tasks = [pool.submit(self._come_and_go, rate, lifetime, stop)]
            tasks += [pool.submit(task, stop) for task in (self._watch, self._answer, self._connect)]
            try:
                yield
            finally:
                stop.set()
            for task in tasks:
                task.result()

    def _come_and_go(self, rate: int, lifetime: int, stop: threading.Event) -> None:
        begun, steps = time.monotonic(), 0
        while not stop.wait(max(0, begun + steps * _STEP / rate - time.monotonic())):
            self._alive += self._next(_STEP)
            self._kernel.send(self._alive[-1])
            if len(self._alive) > rate * lifetime / _STEP:
                self._kernel.send(_deletion(self._alive.pop(0)))
            steps += 1

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.05):
            self.fills.append(self.setting("count"))

    def _answer(self, stop: threading.Event) -> None:
        self._server.settimeout(0.2)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError), self._server.accept()[0] as peer:
                peer.settimeout(_PATIENCE)
                peer.sendall(peer.recv(16))

    def _connect(self, stop: threading.Event) -> None:
        while not stop.wait(0.05):
            try:
                with self._client(socket.create_connection, (INTERNET_4, _PORT), _WAITS) as peer:
                    peer.sendall(b"hello")
                    self.answered += peer.recv(16) == b"hello"
            except OSError as failure:
                self.failures.append(str(failure))


def _deletion(request: bytes) -> bytes:
    """Return the messages that end the connections which these make: of each the first attribute, its tuple."""
    messages, at = b"", 0
    while at < len(request):
        (size,) = struct.unpack_from("I", request, at)
        (tuple_,) = struct.unpack_from("H", request, at + 20)
        messages += struct.pack("IHHII", 20 + tuple_, _DELETE, _REQUEST, 0, 0) + request[at + 16 : at + 20 + tuple_]
        at += size
    return messages


class Supervisor:
    """Stands for procd: starts what ended anew after a pause, as `respawn` tells it to, and keeps how each ended."""

    def __init__(self, start: Callable[[], subprocess.Popen], pause: float) -> None:
        self._start, self._pause = start, pause
        self.ends: list[int] = []
        self.process = start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            status = self.process.poll()
            if status is not None:
                self.ends.append(status)
                if self._stop.wait(self._pause):
                    return
                self.process = self._start()

    def close(self) -> None:
        """Look no longer; what runs goes on."""
        self._stop.set()
        self._thread.join()


def watch(network: Network, heartbeat: Path, user: int, span: float, log: Path) -> subprocess.Popen:
    """Start the device's `oubli-watch` as a user, with its looks `span` s apart."""
    script = Path(__file__).parent.parent.parent / "boards/common/usr/sbin/oubli-watch"
    rights = ["setpriv", f"--reuid={user}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    with log.open("ab") as out:
        return subprocess.Popen(
            network.inside(
                network.gateway, *rights, "sh", "-c", script.read_text(),
                "oubli-watch", str(heartbeat), str(span), "true",
            ),
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env={"PATH": os.environ["PATH"]},
            start_new_session=True,
        )  # fmt: skip
