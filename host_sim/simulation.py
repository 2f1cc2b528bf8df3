# SPDX-License-Identifier: Apache-2.0
"""A simulated gateway: the world's tape through the real recorder, the real forwarder and a real broker, with the auditor beside.

The recorder runs on the stage (virtual clock, either interpreter). The forwarder is the daemon itself: its clocks are the
machine's plus an offset in a mapped file, moved on after each simulated hour, so that it holds each message until its time
as it would on a device.
"""

import json
import mmap
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from host_sim import tape
from host_sim.auditor import DAILY_B, Auditor, Figures, Finding, Slot
from host_sim.broker import Broker
from host_sim.interpreters import ROOT, byteorder, command, environment
from host_sim.people import HOUR, MINUTE, SECOND
from host_sim.scenario import Scenario
from host_sim.variants import VARIANTS
from host_sim.world import DAY, TRUSTED, World

_LOOK = 3 * HOUR  # between two full comparisons of the vault
_LATEST = 11 * MINUTE  # after its slot a message is due: 60 s and a jitter of up to 600 s
_ARRIVAL = 120  # real seconds that the last messages may take

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_ACCOUNTING = {"events": 1, "acct": 1, "timestamp": 1}  # what a gateway must have set, besides the scenario's time-outs

_CONFIG = """\
config gateway 'gateway'
	option id '{identity}'
	option duty 'portal'

config purpose 'security'
	option lifetime '{lifetime}'

config mqtt 'mqtt'
	option host '127.0.0.1'
	option port '{port}'
	option insecure '1'
"""


class SimulationError(Exception):
    """Something that should run ended; the text is one line for the person who asked."""


@dataclass(frozen=True)
class Vault:
    """What the vault held at one look. `wall` in ns since the epoch."""

    wall: int
    records: int
    octets: int


@dataclass(frozen=True)
class Outcome:
    """What a run showed. `newest` is a summary's topic and text, `seconds` are real ones.

    `looks` into the vault are in order of time, the last one after every deadline.
    """

    scenario: Scenario
    seed: int
    interpreter: str
    days: float
    seconds: float
    connections: int
    by_protocol: dict[str, int]
    terminals: int
    slots: list[Slot]
    daily: list[Figures]
    newest: tuple[str, str]
    looks: list[Vault]
    losses: dict[str, int]
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        """Whether the auditor is content."""
        return all(finding.holds for finding in self.findings)

    @property
    def fullest(self) -> Vault:
        """The look that found most in the vault."""
        return max(self.looks, key=lambda look: (look.records, look.octets))

    def figures(self) -> dict[str, object]:
        """Return the JSON of `--json`."""
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "interpreter": self.interpreter,
            "days": self.days,
            "seconds": round(self.seconds, 1),
            "terminals": self.terminals,
            "connections": self.connections,
            "by_protocol": self.by_protocol,
            "slots": [
                {
                    "start": slot.start // SECOND,
                    "value": slot.value,
                    "half_width": slot.half_width,
                    "defined": slot.defined,
                    "real": slot.real,
                    "inside": slot.inside,
                }
                for slot in self.slots
            ],
            "daily": [
                {
                    "metric": one.metric,
                    "day": one.day // SECOND,
                    "values": one.values,
                    "half_width": one.half_width,
                    "defined": one.truth,
                }
                for one in self.daily
            ],
            "vault": [{"at": look.wall // SECOND, "records": look.records, "bytes": look.octets} for look in self.looks],
            "losses": self.losses,
            "findings": [{"what": f.what, "seen": f.seen, "holds": f.holds, "wrong": f.wrong[:10]} for f in self.findings],
            "passed": self.passed,
        }


class _Offset:
    """The mapped file that shifts the forwarder's clocks: i64 little-endian ns."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def set(self, virtual: int) -> None:
        """Make the shifted wall clock show `virtual`, ns since the epoch, and run on."""
        self._map[:8] = struct.pack("<q", virtual - time.time_ns())

    def close(self) -> None:
        """Unmap."""
        self._map.close()


@contextmanager
def _process(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of ours in the project's environment, and end it."""
    pipe = subprocess.PIPE
    with log.open("wb") as errors:
        started = subprocess.Popen(words, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(5)
        except subprocess.TimeoutExpired:
            started.kill()
        with suppress(BrokenPipeError):
            started.communicate()


@dataclass(frozen=True)
class _Scene:
    """What runs at once; `logs` are the two daemons', in their order."""

    auditor: Auditor
    broker: Broker
    offset: _Offset
    recorder: subprocess.Popen[bytes]
    forwarder: subprocess.Popen[bytes]
    logs: list[Path]


class Simulation:
    """One run. `progress(virtual time, connections so far)` is called on each simulated hour.

    `variant` names a daemon broken on purpose (host_sim.variants), to see that the auditor finds it out.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        interpreter: str,
        days: int | None,
        progress: Callable[[int, int], None],
        variant: str | None = None,
    ) -> None:
        self.world = World(scenario, seed, days, byteorder(interpreter))
        self.scenario, self.seed, self.interpreter = scenario, seed, interpreter
        self._words = command(interpreter)
        self._progress = progress
        self._variant = variant
        self._looks: list[Vault] = []
        self._losses: dict[str, int] = {}

    def run(self) -> Outcome:
        """Run to the end and return what was found; SimulationError when a process ended before its time."""
        began = time.monotonic()
        with self._stage_set() as scene:
            self._feed(scene)
            slots, daily = self._collect(scene)
            scene.auditor.look_for_people(scene.logs, scene.broker.messages)
        truth = self.world.truth
        return Outcome(
            scenario=self.scenario,
            seed=self.seed,
            interpreter=self.interpreter,
            days=self.world.days,
            seconds=time.monotonic() - began,
            connections=truth.connections.total(),
            by_protocol=dict(sorted(truth.connections.items())),
            terminals=len(truth.terminals),
            slots=slots,
            daily=daily,
            newest=next(((topic, text.decode()) for topic, text in reversed(scene.broker.messages) if "/summary/" in topic), ("", "")),
            looks=self._looks,
            losses=self._losses,
            findings=scene.auditor.report(),
        )

    @contextmanager
    def _stage_set(self) -> Iterator[_Scene]:
        """Make a device in a folder of its own and start everything; end and remove it all afterwards."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oubli-sim-")))
            root, config, clock = folder / "device", folder / "oubli.config", folder / "clock"
            root.mkdir()
            broker = Broker(folder)
            stack.callback(broker.close)
            identity = "".join(_BASE32[self.seed >> shift & 31] for shift in range(0, 80, 5))
            config.write_text(_CONFIG.format(identity=identity, lifetime=self.scenario.lifetime_text, port=broker.port))
            offset = _Offset(clock)
            stack.callback(offset.close)
            offset.set(self.world.start)
            given = {
                "stage": ["--sysctl", json.dumps({**self.scenario.timeouts, **_ACCOUNTING}), "--seed", str(self.seed)],
                "launch": ["forwarder", "--clock", str(clock)],
            }
            broken, fault = VARIANTS[self._variant][0] if self._variant else "", ["--variant", self._variant or ""]
            started, logs = [], []
            for daemon, module in (("recorder", "stage"), ("forwarder", "launch")):
                words = [*self._words, "-m", f"host_sim.{module}", *given[module], "--config", str(config), "--root", str(root)]
                logs.append(folder / f"{daemon}.log")
                started.append(stack.enter_context(_process([*words, *(fault if broken == daemon else ())], logs[-1])))
            auditor = Auditor(root, self.world.truth, self.scenario.lifetime)
            yield _Scene(auditor, broker, offset, started[0], started[1], logs)

    def _feed(self, scene: _Scene) -> None:
        """Hand the tape to the recorder; on each REPORT hold it back and look."""
        source, sink = cast("IO[bytes]", scene.recorder.stdout), cast("IO[bytes]", scene.recorder.stdin)
        with suppress(BrokenPipeError):
            for step in self.world.steps():
                sink.write(step.encoded())
                if step.operation == tape.REPORT:
                    sink.flush()
                    line = source.readline()
                    if not line:
                        break
                    self._losses = scene.auditor.look_at_losses(json.loads(line)["status"]["counters"])
                    self._look(step.wall, scene)
                    scene.offset.set(step.wall)
            sink.flush()
        if scene.recorder.wait(20) != 0:
            raise SimulationError(f"the recorder ended with status {scene.recorder.returncode}: {_last_line(scene.logs[0])}")

    def _look(self, wall: int, scene: _Scene) -> None:
        auditor, ended = scene.auditor, wall >= self.world.end
        if ended or (wall - self.world.start) % _LOOK == 0:
            records = auditor.look_into_vault(wall)
            self._looks.append(Vault(wall, records, sum(path.stat().st_size for path in auditor.vault_files())))
            auditor.look_for_people(scene.logs, scene.broker.messages[-1:])
        if ended:
            auditor.look_after_expiry()
        self._progress(wall, self.world.truth.connections.total())

    def _collect(self, scene: _Scene) -> tuple[list[Slot], list[Figures]]:
        """Let the last messages come due, wait for them, and compare them with the truth."""
        scene.offset.set(self.world.end + _LATEST)
        expected = range((self.world.start + TRUSTED) // HOUR * HOUR, self.world.end // HOUR * HOUR, HOUR)
        days = [day for day in self.world.truth.daily if day + DAY > self.world.start + TRUSTED]
        wanted = len(expected) + len(days) * len(DAILY_B)
        deadline = time.monotonic() + _ARRIVAL
        while scene.broker.count("/summary/") < wanted and time.monotonic() < deadline:
            if scene.forwarder.poll() is not None:
                raise SimulationError(f"the forwarder ended with status {scene.forwarder.returncode}: {_last_line(scene.logs[1])}")
            time.sleep(0.05)
        time.sleep(0.3)  # a message too many would come now
        messages = list(scene.broker.messages)
        return scene.auditor.look_at_messages(messages, expected), scene.auditor.look_at_days(messages, days)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
