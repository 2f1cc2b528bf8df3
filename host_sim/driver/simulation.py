# SPDX-License-Identifier: Apache-2.0
"""A simulated gateway: the world's tape through the real recorder, forwarder and broker, beside the auditor.

The recorder runs on the stage (virtual clock, either interpreter). The forwarder is the daemon itself: its clocks are
the machine's plus an offset in a mapped file, moved on after each simulated quarter of an hour. So it holds each
message until its time as it would on a device. Its way to the broker is a relay that the world cuts
(`host_sim.driver.link`).
"""

import hashlib
import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from host_sim.checks.auditor import Auditor
from host_sim.checks.noise_bounds import Figures, Slot
from host_sim.driver.interpreters import HEAP, MORE, byteorder, command
from host_sim.driver.looks import Looks
from host_sim.driver.outcome import Outcome, Published, Run, Traffic, Vault, Violation
from host_sim.driver.scene import Programs, Scene, SimulationError, stage_set
from host_sim.venue import kernel, tape
from host_sim.venue.people import MINUTE
from host_sim.venue.scenario import Purposes, Scenario
from host_sim.venue.step import Step
from host_sim.venue.world import World

_LATEST = 11 * MINUTE  # after its slot a message has been sent (agent.outbox.jitter)
_ARRIVAL = 120  # real seconds that the last messages may take
_OF_THE_PACKAGE = "erase terminal"  # what a gateway without oubli-purposes refuses, and one with it has more heap for
# Whereupon a recorder may draw what should have been sent long ago, and a forwarder sends such a message at once: until
# the auditor has seen it, the forwarder stands still.
_OVERDUE = (tape.BOOT, tape.START, tape.CLOCK, tape.CONFIRM)


class Simulation:
    """One run. `progress(virtual time, connections so far)` is called after each step.

    `variant` and `agent` are those of `host_sim.driver.scene.Programs`. `until` ends it after so many steps,
    `recording` gets the datagrams; without `stop` it goes on after a violation.
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
        words = command(interpreter, MORE if package else HEAP)
        self._programs = Programs(words, agent, variant)
        self._progress = progress
        self._until, self._recording, self._stop = until, recording, stop
        self._looks = Looks()

    def run(self) -> Outcome:
        """Run to the end or to the first violation; SimulationError when a process ended before its time."""
        began, worked = time.monotonic(), time.process_time()
        slots: list[Slot] = []
        daily: list[Figures] = []
        with stage_set(self.world, self.seed, self._programs) as scene:
            scene.auditor.look_at_refusals(self._programs.refusals(scene.config.parent / "forbidden"))
            over = self._feed(scene)
            if over and not (self.violation and self._stop):
                scene.auditor.purposes.look(self.world.end, ended=True)
                slots, daily = self._collect(scene)
                self._judge(scene.auditor, self.world.end)
        truth, looks = self.world.truth, self._looks
        auditor, sealed = scene.auditor, scene.auditor.purposes.sealed
        summaries = auditor.published.messages()
        topic, text = next((one for one in reversed(scene.broker.messages) if "/summary/" in one[0]), ("", b""))
        return Outcome(
            scenario=self.scenario,
            run=Run(
                seed=self.seed,
                interpreter=self.interpreter,
                days=self.world.length,
                seconds=time.monotonic() - began,
                steps=looks.steps,
                sizes=auditor.processes.sizes,
                cpu={"world and auditor": time.process_time() - worked, **looks.cpu},
            ),
            traffic=Traffic(
                terminals=len(truth.terminals),
                connections=truth.connections.total(),
                by_protocol=dict(sorted(truth.connections.items())),
                fates={**truth.fates, "refused": self.world.table.refused, "ended early": self.world.table.early},
                losses=looks.losses,
            ),
            published=Published(slots, daily, (topic, text.decode())),
            looks=looks.shown,
            series=looks.series,
            findings=auditor.report()
            if over
            else [finding for finding in auditor.report() if finding.seen or finding.wrong],
            digests={
                "messages": hashlib.sha256(
                    b"\n".join(topic.encode() + b" " + text for topic, text in summaries)
                ).hexdigest(),
                "records": auditor.vault.digest,
                "events": looks.digest,
                **({"sealed": f"{sealed.digest:064x}"} if sealed else {}),
            },
            events=list(self.world.told),
            answers=dict(sorted(auditor.purposes.answers.items())),
            violation=self.violation,
        )

    def _feed(self, scene: Scene) -> bool:
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
                    if (self.violation and self._stop) or self._looks.steps == self._until:
                        return False
                elif step.operation == tape.DATAGRAM:
                    self._record(step)
                else:
                    self._happened(step, scene)
            sink.flush()
        scene.ended()
        return True

    def _record(self, step: Step) -> None:
        if self._recording:
            try:
                self._recording.write(kernel.recording([step.payload]))
            except OSError as failure:
                raise SimulationError(
                    f"--record: can't be written ({failure.strerror}); accepted: where there is room"
                ) from None

    def _happened(self, step: Step, scene: Scene) -> None:
        """With the power tmpfs goes too; a recorder that is only killed finds its files again."""
        if step.operation == tape.UNINSTALL or (step.operation == tape.KILL and not self.world.gateway.on):
            scene.auditor.forget(step.wall)
            scene.auditor.published.dropped += self._looks.losses.get("messages dropped", 0)
            self._looks.losses = {}
        if step.operation == tape.FIRST_BOOT:
            scene.auditor.installed(self._programs.first_boot(scene.config, step.payload))
        else:
            scene.auditor.happened(step)

    def _step(self, now: int, report: dict, scene: Scene) -> None:
        """One step of the world is over: settle the truth, look at everything."""
        world, auditor, status = self.world, scene.auditor, report["status"]
        scene.runs()
        world.gateway.settle(report["dropped"])
        for at, address, first, last in report["blocks"]:
            world.table.give(int(at), bytes.fromhex(address), first, last)
        ended = now >= world.end
        full, shown = self._looks.begin(now, status, scene.pids, ended=ended)
        auditor.step(now, status, scene.pids, scene.logs, full=full, search=shown)
        if ended:
            auditor.look_after_expiry()
        self._looks.end(now, status, self._vault(now, status, auditor) if full else None, shown=shown)
        self._judge(auditor, now)
        scene.link.set(up=not any(begins <= now < ends for begins, ends in world.events.outages))
        # A gateway whose clock is behind sends nothing sooner than that says:
        # nothing goes before the auditor has seen it.
        scene.offset.set(now, min(now, world.gateway.clock.wall(now)))
        scene.forwarder.send_signal(signal.SIGCONT)
        self._progress(now, world.truth.connections.total())

    def _vault(self, now: int, status: dict, auditor: Auditor) -> Vault:
        known, held = auditor.vault, status["purposes"]["security"]
        present, count = len(self.world.visits.present), self.world.truth.connections.total()
        return Vault(now, known.records, known.octets, status["table"]["fill"], present, count, held["oldest_seconds"])

    def _judge(self, auditor: Auditor, now: int) -> None:
        """Keep the first violation, with its history."""
        for finding in auditor.report():
            if finding.wrong and not self.violation:
                story = auditor.history(now) or self.world.story
                self.violation = Violation(self._looks.steps, now, finding.what, finding.wrong[0], story[-10:])

    def _collect(self, scene: Scene) -> tuple[list[Slot], list[Figures]]:
        """Let the last messages come due, wait for them, and compare them with the truth."""
        scene.link.set(up=True)
        end = self.world.end  # a gateway whose clock is ahead has named its last messages by that
        scene.offset.set(end + _LATEST, max(end, self.world.gateway.clock.wall(end)) + _LATEST)
        published = scene.auditor.published
        published.dropped += self._looks.losses.get("messages dropped", 0)
        wanted = len(published.spooled) - published.dropped
        deadline = time.monotonic() + _ARRIVAL
        while scene.broker.count("/summary/") < wanted and time.monotonic() < deadline:
            scene.runs()
            if not any(published.spool.glob("[0-9]*")):  # nothing waits any more: what hasn't come soon never comes
                deadline = min(deadline, time.monotonic() + 3)
            time.sleep(0.05)
        time.sleep(0.3 + 2 * self.scenario.network.latency / 1000)  # a message too many would come now
        messages = list(scene.broker.messages)
        published.look_at_delivery(messages)
        published.look_at_lengths(messages)
        published.look_at_schemas(messages)
        scene.auditor.people.look_for_people([topic.encode() + b" " + payload for topic, payload in messages])
        days = self.world.days
        return published.look_at_messages(published.messages(), days.slots), published.look_at_days(
            published.messages(), days.closed
        )
