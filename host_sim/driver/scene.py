# SPDX-License-Identifier: Apache-2.0
"""What of a simulation runs at once: recorder, forwarder, broker, the relay between them, and the auditor beside."""

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from host_sim.checks.auditor import Auditor
from host_sim.driver import gateway_config
from host_sim.driver.broker import Broker
from host_sim.driver.clock_offset import ClockOffset
from host_sim.driver.interpreters import ROOT, WITH_US, environment
from host_sim.driver.link import Link
from host_sim.driver.scratch import scratch
from host_sim.faults import first_boots
from host_sim.faults.variants import VARIANTS
from host_sim.venue.world import World

_AHEAD = 1 << 20  # octets of tape by which the world may be ahead of the recorder
_ACCOUNTING = {"events": 1, "acct": 1, "timestamp": 1}  # what a gateway must have set, besides the scenario's time-outs
_MODULES = {"recorder": "stage", "forwarder": "launch"}  # of host_sim.driver


class SimulationError(Exception):
    """Something that should run ended; the text is one line for the person who asked."""


@dataclass(frozen=True)
class Programs:
    """How the agent's programs are started.

    `words` are the interpreter's. `folder` has another `agent` package (host_sim.trials.mutants), and `variant` names a
    daemon broken on purpose (host_sim.faults.variants): to see that the auditor finds it out.
    """

    words: list[str]
    folder: Path | None = None
    variant: str | None = None

    @contextmanager
    def daemon(self, name: str, words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run a daemon in the project's environment, or with the other `agent`, and kill it.

        What it says goes to its log, but for the recorder's standard output: it answers there.
        """
        pipe, where = subprocess.PIPE, self.folder or ROOT
        broken = VARIANTS[self.variant][0] if self.variant else ""
        words = [*self.words, "-m", f"host_sim.driver.{_MODULES[name]}", *words]
        words += ["--variant", self.variant or ""] if broken == name else []
        with log.open("wb") as said:
            started = subprocess.Popen(
                [*WITH_US, *words],
                cwd=where,
                env=environment(where),
                stdin=pipe,
                stdout=pipe if name == "recorder" else said,
                stderr=said,
                start_new_session=True,
            )
        with suppress(OSError):  # as many as this user may have; with fewer it takes longer
            fcntl.fcntl(cast("IO[bytes]", started.stdin), fcntl.F_SETPIPE_SZ, _AHEAD)
        try:
            yield started
        finally:
            started.kill()  # nothing of it is wanted any more: what it made is removed
            with suppress(BrokenPipeError):
                started.communicate()

    def refusals(self, path: Path) -> dict[str, str]:
        """Ask the agent's configuration for each thing that the law forbids; returns what it said."""
        words, where = [*self.words, "-m", "host_sim.checks.refusals", str(path)], self.folder or ROOT
        done = subprocess.run(words, cwd=where, env=environment(where), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SimulationError(
                f"the configuration can't be asked: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
            )
        return json.loads(done.stdout)

    def first_boot(self, config: Path, draw: bytes) -> str:
        """Let the first boot of a gateway be cut off; returns what is wrong afterwards, or ""."""
        scripts = [folder / first_boots.SCRIPT for folder in (self.folder or ROOT, ROOT)]
        script = next(one for one in scripts if one.exists())
        with scratch("oubli-boots-") as folder:
            return first_boots.boots(script, config, Path(folder), draw)


@dataclass
class Scene:
    """What runs at once; `config` is the gateway's, `logs` are the two daemons', in their order."""

    auditor: Auditor
    broker: Broker
    link: Link
    offset: ClockOffset
    config: Path
    recorder: subprocess.Popen[bytes]
    forwarder: subprocess.Popen[bytes]
    logs: list[Path]

    @property
    def pids(self) -> dict[str, int]:
        """The daemons' process ids."""
        return {"recorder": self.recorder.pid, "forwarder": self.forwarder.pid}

    def runs(self) -> None:
        """SimulationError where forwarder or relay ended before their time."""
        if self.forwarder.poll() is not None:
            raise SimulationError(
                f"the forwarder ended with status {self.forwarder.returncode}: {_last_line(self.logs[1])}"
            )
        if not self.link.alive:
            raise SimulationError("the relay to the broker ended")

    def ended(self) -> None:
        """Wait for the recorder, which has the whole tape; SimulationError where it isn't content."""
        if self.recorder.wait(240) != 0:
            raise SimulationError(
                f"the recorder ended with status {self.recorder.returncode}: {_last_line(self.logs[0])}"
            )


@contextmanager
def stage_set(world: World, seed: int, programs: Programs) -> Iterator[Scene]:
    """Make a device in a folder of its own and start everything; end and remove it all afterwards."""
    one = world.scenario
    with ExitStack() as stack:
        folder = Path(stack.enter_context(scratch("oubli-sim-")))
        root, config, clock, sysctl = (folder / name for name in ("device", "oubli.config", "clock", "sysctl"))
        root.mkdir()
        broker = Broker(folder)
        stack.callback(broker.close)
        link = Link(broker.port, one.network.latency / 1000)
        stack.callback(link.close)
        config.write_text(gateway_config.written(one, seed, link.port))
        auditor = Auditor(root, world)
        auditor.purposes.prepare()
        offset = ClockOffset(clock, one.start)
        stack.callback(offset.close)
        sysctl.write_text(json.dumps({**one.network.timeouts, **_ACCOUNTING}))
        given = {
            "recorder": ["--sysctl", str(sysctl), "--seed", str(seed), "--rate", str(int(one.gateway.rate))],
            "forwarder": ["forwarder", "--clock", str(clock)],
        }
        logs = [folder / f"{daemon}.log" for daemon in given]
        recorder, forwarder = (
            stack.enter_context(programs.daemon(daemon, [*words, "--config", str(config), "--root", str(root)], log))
            for (daemon, words), log in zip(given.items(), logs, strict=True)
        )
        yield Scene(auditor, broker, link, offset, config, recorder, forwarder, logs)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
