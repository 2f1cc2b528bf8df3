# SPDX-License-Identifier: Apache-2.0
"""A simulated gateway: the world's tape through the real recorder, forwarder and broker, beside the auditor.

The recorder runs on the stage (virtual clock, either interpreter). The forwarder is the daemon itself: its clocks are
the machine's plus an offset in a mapped file, moved on after each simulated quarter of an hour. So it holds each
message until its time as it would on a device; its way to the broker is a relay that the world cuts
(`host_sim.driver.link`).
"""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from host_sim.checks.auditor import Auditor
from host_sim.checks.noise_bounds import Figures, Slot
from host_sim.driver import gateway_config
from host_sim.driver.broker import Broker
from host_sim.driver.clock_offset import ClockOffset
from host_sim.driver.interpreters import FLASH, HEAP, MORE, ROOT, WITH_US, byteorder, command, environment
from host_sim.driver.link import Link
from host_sim.driver.outcome import Outcome, Vault, Violation
from host_sim.driver.scratch import scratch
from host_sim.faults import first_boots
from host_sim.faults.variants import VARIANTS
from host_sim.venue import kernel, tape
from host_sim.venue.people import HOUR, MINUTE
from host_sim.venue.scenario import Purposes, Scenario
from host_sim.venue.step import Step
from host_sim.venue.world import World

_LOOK = HOUR  # between two full looks
_SHOWN = 3 * HOUR  # between two looks that the demo shows
_LATEST = 11 * MINUTE  # after its slot a message has been sent (agent.outbox.jitter)
_ARRIVAL = 120  # real seconds that the last messages may take
# Whereupon a recorder may draw what should have been sent long ago, and a forwarder sends such a message at once: until
# the auditor has seen it, the forwarder stands still.
_OF_THE_PACKAGE = "erase terminal"  # what a gateway without oubli-purposes refuses, and one with it has more heap for
_OVERDUE = (tape.BOOT, tape.START, tape.CLOCK, tape.CONFIRM)
_AHEAD = 1 << 20  # octets of tape by which the world may be ahead of the recorder

_TROUBLE = ("unknown terminal", "malformed", "overruns", "gaps", "torn segments", "messages dropped", "messages lost")
_ACCOUNTING = {"events": 1, "acct": 1, "timestamp": 1}  # what a gateway must have set, besides the scenario's time-outs


class SimulationError(Exception):
    """Something that should run ended; the text is one line for the person who asked."""


@contextmanager
def _process(words: list[str], log: Path, agent: Path | None, *, asked: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of ours in the project's environment, or with the `agent` of another folder, and kill it.

    What it says goes to its log; on standard output only where it isn't `asked` anything there.
    """
    pipe, where = subprocess.PIPE, agent or ROOT
    with log.open("wb") as said:
        out = pipe if asked else said
        started = subprocess.Popen(
            [*WITH_US, *words],
            cwd=where,
            env=environment(where),
            stdin=pipe,
            stdout=out,
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


@dataclass
class _Scene:
    """What runs at once; `logs` are the two daemons', in their order."""

    auditor: Auditor
    broker: Broker
    link: Link
    offset: ClockOffset
    recorder: subprocess.Popen[bytes]
    forwarder: subprocess.Popen[bytes]
    logs: list[Path]


class Simulation:
    """One run. `progress(virtual time, connections so far)` is called after each step.

    `variant` names a daemon broken on purpose (host_sim.faults.variants), `agent` a folder with another `agent` package
    (host_sim.trials.mutants): to see that the auditor finds it out. `until` ends it after so many steps, `recording`
    gets the datagrams; without `stop` it goes on after a violation.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        interpreter: str,
        days: int | None,
        progress: Callable[[int, int], None] = lambda _wall, _connections: None,
        variant: str | None = None,
        *,
        agent: Path | None = None,
        until: int | None = None,
        recording: IO[bytes] | None = None,
        stop: bool = True,
    ) -> None:
        self.world = World(scenario, seed, days, byteorder(interpreter))
        self.scenario, self.seed, self.interpreter = scenario, seed, interpreter
        self.violation: Violation | None = None
        purposes = scenario.purposes
        package = purposes != Purposes() or any(event.what == _OF_THE_PACKAGE for event in scenario.events)
        self._words = command(interpreter, FLASH if purposes.custodian else MORE if package else HEAP)
        self._progress = progress
        self._variant, self._agent, self._until, self._recording, self._stop = variant, agent, until, recording, stop
        self._looks: list[Vault] = []
        self._series: list[Vault] = []
        self._losses: dict[str, int] = {}
        self._cpu: dict[str, float] = {}
        self._full = self._shown = self._steps = 0
        self._opened, self._told = hashlib.sha256(), hashlib.sha256()

    def run(self) -> Outcome:
        """Run to the end or to the first violation; SimulationError when a process ended before its time."""
        began, worked = time.monotonic(), time.process_time()
        slots: list[Slot] = []
        daily: list[Figures] = []
        with self._stage_set() as scene:
            scene.auditor.look_at_refusals(self._refusals(scene.auditor.root.parent / "forbidden"))
            over = self._feed(scene)
            if over and not (self.violation and self._stop):
                scene.auditor.look_at_purposes(self.world.end, ended=True)
                slots, daily = self._collect(scene)
                self._judge(scene.auditor, self.world.end)
        truth, auditor = self.world.truth, scene.auditor
        summaries = auditor.published.messages()
        return Outcome(
            scenario=self.scenario,
            seed=self.seed,
            interpreter=self.interpreter,
            days=self.world.length,
            seconds=time.monotonic() - began,
            connections=truth.connections.total(),
            by_protocol=dict(sorted(truth.connections.items())),
            terminals=len(truth.terminals),
            slots=slots,
            daily=daily,
            newest=next(
                ((topic, text.decode()) for topic, text in reversed(scene.broker.messages) if "/summary/" in topic),
                ("", ""),
            ),
            looks=self._looks,
            losses=self._losses,
            findings=auditor.report()
            if over
            else [finding for finding in auditor.report() if finding.seen or finding.wrong],
            fates={**truth.fates, "refused": self.world.table.refused, "ended early": self.world.table.early},
            digests={
                "messages": hashlib.sha256(
                    b"\n".join(topic.encode() + b" " + text for topic, text in summaries)
                ).hexdigest(),
                "records": auditor.vault.digest,
                "events": self._told.hexdigest(),
                **({"sealed": f"{auditor.sealed.digest:064x}"} if auditor.sealed else {}),
            },
            events=list(self.world.busy),
            series=self._series,
            steps=self._steps,
            sizes=auditor.processes.sizes,
            cpu={"world and auditor": time.process_time() - worked, **self._cpu},
            violation=self.violation,
            answers=dict(sorted(auditor.answers.items())),
        )

    @contextmanager
    def _stage_set(self) -> Iterator[_Scene]:
        """Make a device in a folder of its own and start everything; end and remove it all afterwards."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(scratch("oubli-sim-")))
            root, config, clock = folder / "device", folder / "oubli.config", folder / "clock"
            root.mkdir()
            broker = Broker(folder)
            stack.callback(broker.close)
            link = Link(broker.port, self.scenario.latency / 1000)
            stack.callback(link.close)
            config.write_text(gateway_config.written(self.scenario, self.seed, link.port))
            one = self.scenario
            auditor = Auditor(root, self.world)
            auditor.prepare()
            offset = ClockOffset(clock, self.world.start)
            stack.callback(offset.close)
            sysctl = folder / "sysctl"
            sysctl.write_text(json.dumps({**one.timeouts, **_ACCOUNTING}))
            given = {
                "stage": ["--sysctl", str(sysctl), "--seed", str(self.seed), "--rate", str(int(one.rate))],
                "launch": ["forwarder", "--clock", str(clock)],
            }
            broken, fault = VARIANTS[self._variant][0] if self._variant else "", ["--variant", self._variant or ""]
            started, logs = [], []
            for daemon, module in (("recorder", "stage"), ("forwarder", "launch")):
                words = [
                    *self._words,
                    "-m",
                    f"host_sim.driver.{module}",
                    *given[module],
                    "--config",
                    str(config),
                    "--root",
                    str(root),
                ]
                logs.append(folder / f"{daemon}.log")
                words += fault if broken == daemon else ()
                started.append(stack.enter_context(_process(words, logs[-1], self._agent, asked=daemon == "recorder")))
            yield _Scene(auditor, broker, link, offset, started[0], started[1], logs)

    def _feed(self, scene: _Scene) -> bool:
        """Hand the tape to the recorder; on each REPORT hold it back and look.

        False where it ended before its time, as asked.
        """
        source, sink = cast("IO[bytes]", scene.recorder.stdout), cast("IO[bytes]", scene.recorder.stdin)
        with suppress(BrokenPipeError):
            for step in self.world.steps():
                if step.operation in _OVERDUE:
                    scene.forwarder.send_signal(signal.SIGSTOP)
                if step.operation < tape.FIRST_BOOT:
                    sink.write(step.encoded())
                if step.operation == tape.REPORT:
                    sink.flush()
                    line = source.readline()
                    if not line:
                        break
                    self._step(step.wall, json.loads(line), scene)
                    if (self.violation and self._stop) or self._steps == self._until:
                        return False
                elif step.operation == tape.DATAGRAM:
                    self._record(step)
                else:
                    self._happened(step, scene)
            sink.flush()
        if scene.recorder.wait(240) != 0:
            raise SimulationError(
                f"the recorder ended with status {scene.recorder.returncode}: {_last_line(scene.logs[0])}"
            )
        return True

    def _record(self, step: Step) -> None:
        if self._recording:
            try:
                self._recording.write(kernel.recording([step.payload]))
            except OSError as failure:
                raise SimulationError(
                    f"--record: can't be written ({failure.strerror}); accepted: where there is room"
                ) from None

    def _refusals(self, path: Path) -> dict[str, str]:
        """Ask the agent's configuration for each thing that the law forbids; returns what it said."""
        words = [*self._words, "-m", "host_sim.checks.refusals", str(path)]
        where = self._agent or ROOT
        done = subprocess.run(words, cwd=where, env=environment(where), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SimulationError(
                f"the configuration can't be asked: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
            )
        return json.loads(done.stdout)

    def _happened(self, step: Step, scene: _Scene) -> None:
        """With the power tmpfs goes too; a recorder that is only killed finds its files again."""
        if step.operation == tape.UNINSTALL or (step.operation == tape.KILL and not self.world.gateway.on):
            scene.auditor.forget(step.wall)
            scene.auditor.published.dropped += self._losses.get("messages dropped", 0)
            self._losses = {}
        if step.operation == tape.FIRST_BOOT:
            scripts = [folder / first_boots.SCRIPT for folder in (self._agent or ROOT, ROOT)]
            script = next(one for one in scripts if one.exists())
            config = scene.auditor.root.parent / "oubli.config"
            with scratch("oubli-boots-") as folder:
                scene.auditor.installed(first_boots.boots(script, config, Path(folder), step.payload))
        else:
            scene.auditor.happened(step)

    def _step(self, now: int, report: dict, scene: _Scene) -> None:
        """One step of the world is over: settle the truth, look at everything."""
        world, auditor = self.world, scene.auditor
        self._steps += 1
        if scene.forwarder.poll() is not None:
            raise SimulationError(
                f"the forwarder ended with status {scene.forwarder.returncode}: {_last_line(scene.logs[1])}"
            )
        if not scene.link.alive:
            raise SimulationError("the relay to the broker ended")
        world.gateway.settle(report["dropped"])
        for at, address, first, last in report["blocks"]:
            world.table.give(at, bytes.fromhex(address), first, last)
        status = report["status"]
        ended = now >= world.end
        full = ended or now // _LOOK != self._full // _LOOK
        self._full = now if full else self._full
        self._losses = {
            name: count for name, count in status["counters"].items() if name.startswith("lost: ") or name in _TROUBLE
        }
        pids = {"recorder": scene.recorder.pid, "forwarder": scene.forwarder.pid}
        if full:
            self._cpu = {name: _processor_time(pid) for name, pid in pids.items()}
        shown = full and (ended or now // _SHOWN != self._shown // _SHOWN)
        auditor.step(now, status, pids, scene.logs, full=full, search=shown)
        if ended:
            auditor.look_after_expiry()
        if full:
            known, held = auditor.vault, status["purposes"]["security"]
            present, count = len(world.visits.present), world.truth.connections.total()
            look = Vault(
                now, known.records, known.octets, status["table"]["fill"], present, count, held["oldest_seconds"]
            )
            self._series.append(look)
            if shown:
                self._shown = now
                self._looks.append(look)
        said = (self._steps, now, sorted(status["counters"].items()), status["clock"], status["summary"]["spent"])
        self._told.update(f"{said}\n".encode())
        self._judge(auditor, now)
        scene.link.set(up=not any(begins <= now < ends for begins, ends in world.events.outages))
        # A gateway whose clock is behind sends nothing sooner than that says:
        # nothing goes before the auditor has seen it.
        scene.offset.set(now, min(now, world.gateway.clock.wall(now)))
        scene.forwarder.send_signal(signal.SIGCONT)
        self._progress(now, world.truth.connections.total())

    def _judge(self, auditor: Auditor, now: int) -> None:
        """Keep the first violation, with its history."""
        for finding in auditor.report():
            if finding.wrong and not self.violation:
                story = auditor.history(now) or list(self.world.story)
                self.violation = Violation(self._steps, now, finding.what, finding.wrong[0], story[-10:])

    def _collect(self, scene: _Scene) -> tuple[list[Slot], list[Figures]]:
        """Let the last messages come due, wait for them, and compare them with the truth."""
        scene.link.set(up=True)
        end = self.world.end  # a gateway whose clock is ahead has named its last messages by that
        scene.offset.set(end + _LATEST, max(end, self.world.gateway.clock.wall(end)) + _LATEST)
        auditor, published = scene.auditor, scene.auditor.published
        published.dropped += self._losses.get("messages dropped", 0)
        wanted = len(published.spooled) - published.dropped
        deadline = time.monotonic() + _ARRIVAL
        while scene.broker.count("/summary/") < wanted and time.monotonic() < deadline:
            if scene.forwarder.poll() is not None:
                raise SimulationError(
                    f"the forwarder ended with status {scene.forwarder.returncode}: {_last_line(scene.logs[1])}"
                )
            if not any(auditor.spool.glob("[0-9]*")):  # nothing waits any more: what hasn't come soon never comes
                deadline = min(deadline, time.monotonic() + 3)
            time.sleep(0.05)
        time.sleep(0.3 + 2 * self.scenario.latency / 1000)  # a message too many would come now
        messages = list(scene.broker.messages)
        published.look_at_delivery(messages)
        published.look_at_lengths(messages)
        published.look_at_schemas(messages)
        auditor.people.look_for_people([topic.encode() + b" " + payload for topic, payload in messages])
        days = self.world.days
        return published.look_at_messages(published.messages(), days.slots), published.look_at_days(
            published.messages(), days.closed
        )


def _processor_time(pid: int) -> float:
    """Return the seconds of the processor that a process has had (proc_pid_stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
