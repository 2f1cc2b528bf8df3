# SPDX-License-Identifier: Apache-2.0
"""The lab: the real recorder and forwarder on the real kernel, beside an independent witness.

Terminals, gateway and internet are network namespaces; traffic, translation, connection tracking, broker and processes
are real. Only the daemons' clocks are moved: by eleven minutes between the two confirmations of the time, over an hour
for the summary, over a lifetime for forgetting. Every record is compared with what `conntrack -E` saw (EXP-1,
L34-VI-1), the published `arrivals` with its slot (ANON-2, ANON-4). After the lifetime nothing may be there (EXP-2,
EXP-4).
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from agent.outbox.spool import due
from agent.vault import reading
from agent.vault.record import Record
from host_sim.driver.interpreters import HEAP
from host_sim.faults import variants
from host_sim.lab import traffic as lab_traffic
from host_sim.lab.broker import Broker, Message
from host_sim.lab.compare import Comparison, beyond_the_truth, compare
from host_sim.lab.device import SECOND, Device
from host_sim.lab.network import INTERNET_4, INTERNET_6, LabError, Network
from host_sim.lab.plan import FIRST_PORT, Canary, plan, ports_used
from host_sim.lab.witness import Witness

LIFETIME = 7200  # seconds
CONFIRMATION = 660  # seconds between two confirmations of the time
SLOT = 3600 + 900  # seconds after which the slot that was open has been published, whatever its moment
CLOSED = 600  # seconds after which every segment that was open is closed
HEALTH = 300  # seconds from one health message to the next
SOON = 30  # seconds in which both daemons have looked at what a jump of the clock made due
KEYS_HEADER = 64  # octets of the key ring file before its first slot
TRAFFIC = str(Path(lab_traffic.__file__).resolve())


class Lab:
    """One lab, from `with` to the removal of all it made.

    `variant` breaks a daemon on purpose; `trace` names the daemons that strace follows. The steps (`start`,
    `confirm_time`, `traffic`, `settle`, `jump`, ...) are the caller's to order. The daemons' clocks begin as much
    behind the kernel's as confirming the time takes. So traffic comes when the two agree, as on a device. Where none
    comes they may be `ahead` by so many seconds, to be of a certain time of day.
    """

    def __init__(
        self,
        interpreter: str = "cpython",
        *,
        terminals: int = 5,
        variant: str | None = None,
        trace: tuple[str, ...] = (),
        ahead: int = 0,
        heap: str = HEAP,
    ) -> None:
        self.network, self.canary, self._ahead, self._heap = Network(terminals), Canary(), ahead, heap
        self.acts: list[dict] = []
        self._interpreter, self._variant, self._trace = interpreter, variant, trace
        self._first_port = FIRST_PORT
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> "Lab":
        memory = Path("/dev/shm")  # noqa: S108 (a device's var/run is a tmpfs; the name below it is random)
        with ExitStack() as stack:  # each thing is removed, whatever happens to the others
            self.folder = Path(
                tempfile.mkdtemp(prefix=f"{self.network.name}-", dir=memory if memory.is_dir() else None)
            )
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.enter_context(self.network)
            stack.callback(self._end_processes)
            self.witness = Witness(self.network, self.folder)
            stack.callback(self.witness.stop)
            self.witness.start()
            self.broker = Broker(self.network, self.folder)
            stack.callback(self.broker.stop)
            self.broker.start()
            self.device = Device(
                self.network, self.folder, self._interpreter, LIFETIME, self._ahead - CONFIRMATION, self._heap
            )
            stack.callback(self.device.close)
            self._serve()
            self._made = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()

    def ends_with(self, step: Callable[[], None]) -> None:
        """Take this step too when the lab is removed."""
        self._made.callback(step)

    def _end_processes(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _play(self, namespace: str, part: str, plan_: dict, name: str) -> subprocess.Popen:
        with (self.folder / f"{name}.json").open("wb") as out, (self.folder / f"{name}.errors").open("wb") as errors:
            process = subprocess.Popen(
                self.network.inside(namespace, sys.executable, TRAFFIC, part),
                stdin=subprocess.PIPE, stdout=out, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        with cast("IO[bytes]", process.stdin) as given:
            given.write(json.dumps(plan_).encode())
        return process

    def _serve(self) -> None:
        addresses = [INTERNET_4, INTERNET_6, *self.network.canary4, *self.network.canary6]
        self._play(self.network.internet, "internet", {"addresses": addresses}, "internet")
        self.wait(lambda: b"ready" in (self.folder / "internet.json").read_bytes(), "the internet does not answer", 120)

    def wait(self, condition: Callable[[], object], wrong: str, seconds: float) -> None:
        """Wait until a condition holds; LabError with what is wrong where it doesn't within so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(wrong)
            time.sleep(0.05)

    def start(self) -> None:
        """Start both daemons and wait until the recorder answers and the forwarder is online."""
        for daemon in ("recorder", "forwarder"):
            variant = self._variant if self._variant and variants.VARIANTS[self._variant][0] == daemon else None
            self.device.start(daemon, variant, trace=daemon in self._trace)
        self.device.wait_for_recorder()
        self.wait(lambda: self.broker.on("/state"), "the forwarder does not come online", 120)

    def confirm_time(self) -> None:
        """Confirm the time twice, eleven minutes apart: the clock is trusted then (EXP-5)."""
        self.device.call({"call": "ntp"})
        self.jump(CONFIRMATION)
        self.device.call({"call": "ntp"})

    def traffic(self, connections: int) -> None:
        """Let the terminals hold so many conversations, and wait until they are through."""
        parts = plan(self.network, connections, self._first_port)
        self._first_port += ports_used(self.network, connections)
        running = []
        for number, terminal in enumerate(self.network.terminals):
            given = {"canary": self.canary.payload(), "acts": parts[terminal.namespace]}
            running.append(
                (terminal, f"terminal{number}", self._play(terminal.namespace, "terminal", given, f"terminal{number}"))
            )
        for terminal, name, process in running:
            if process.wait(600) != 0:
                raise LabError(f"a terminal failed: {(self.folder / f'{name}.errors').read_text()[-500:]}")
            self._processes.remove(process)
            for act in json.loads((self.folder / f"{name}.json").read_text()):
                self.acts.append(act | {"address": terminal.address6 if ":" in act["target"] else terminal.address4})

    def settle(self) -> None:
        """Wait until every conversation has ended in the kernel, the witness has seen it, and the recorder kept it."""
        self.wait(lambda: self.network.tracked() == 0, "connections do not time out", 120)
        self.wait(lambda: self.witness.count() >= len(self.acts), "the witness misses connections", 120)
        deadline = time.monotonic() + 15
        while (
            self.device.call({"call": "status"})["counters"]["connections"] < self.witness.count()
            and time.monotonic() < deadline
        ):
            time.sleep(0.1)

    def records(self, root: Path | None = None, at: tuple[int, int] | None = None) -> list[Record]:
        """Read what the vault of the device, or another root, gives out now, or at another wall and monotonic time."""
        return list(reading.read(str(root or self.device.root), "security", *(at or self.now())))

    def now(self) -> tuple[int, int]:
        """Return the daemons' wall and monotonic time, in ns."""
        return self.device.time.wall(), self.device.time.monotonic()

    def compare(self) -> tuple[Comparison, list[str]]:
        """Compare vault and witness, and vault and terminals' own word."""
        records = self.records()
        return compare(self.witness.seen(), records, self.network.terminals), beyond_the_truth(records, self.acts)

    def jump(self, seconds: int) -> None:
        """Move both daemons' clocks forward."""
        self.device.jump(seconds)

    def arrivals(self) -> list[Message]:
        """Return the published `arrivals` messages."""
        return self.broker.on("/summary/arrivals")

    def due(self) -> dict[str, bytes]:
        """Return the spooled `arrivals` that were due before the forwarder could see them: it sends them at once."""
        late = self.now()[0] - SOON * SECOND
        return {
            name: text
            for name, text in self.device.spool().items()
            if "-arrivals-" in name and due(name) * SECOND <= late
        }

    def wait_for_arrivals(self) -> Message:
        """Jump over the open slot and wait for its message."""
        self.jump(SLOT)
        self.wait(self.arrivals, "no arrivals message is on the broker", 120)
        return self.arrivals()[-1]

    def segments(self) -> list[Path]:
        """Return the vault's segment files."""
        return sorted(
            path for path in (self.device.root / "var/run/oubli/vault/security").iterdir() if path.name != "chunks"
        )

    def forget(self) -> dict[str, int]:
        """Jump past the lifetime and count what is left: files, octets of keys and pages, what old files give out."""
        self.jump(CLOSED)
        self.device.call({"call": "status"})
        vault = self.device.root / "var/run/oubli/vault/security"
        copies = self.folder / "copies"
        shutil.copytree(
            self.device.root / "var/run/oubli", copies / "var/run/oubli", ignore=shutil.ignore_patterns("control")
        )
        before = self.now()
        held = {"segments_before": len(self.segments()), "records_before": len(self.records())}
        self.jump(LIFETIME)
        deadline = time.monotonic() + 20
        while self.segments() and time.monotonic() < deadline:
            time.sleep(0.1)
        keys = (self.device.root / "var/run/oubli/keys").read_bytes()
        # Somebody kept copies of the files, and turns the clock back: without the keys they are noise.
        (copies / "var/run/oubli/keys").write_bytes(keys)
        return held | {
            "segments_left": len(self.segments()),
            "records_readable": len(self.records()),
            "records_readable_from_copies": len(self.records(copies, before)),
            "octets_of_keys_left": sum(octet != 0 for octet in keys[KEYS_HEADER:]),
            "octets_of_pages_left": sum(octet != 0 for octet in (vault / "chunks").read_bytes()),
        }
