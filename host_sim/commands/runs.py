# SPDX-License-Identifier: Apache-2.0
"""The verbs that run one world: `run` and `demo` a scenario, `replay` a recording."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from host_sim.commands import options
from host_sim.commands.options import PROGRAM, Days, Interpreter, Json, Seed
from host_sim.driver.interpreters import NoInterpreterError
from host_sim.driver.replay import ReplayError, replay
from host_sim.driver.replay import show as show_replay
from host_sim.venue import scenario as scenarios

if TYPE_CHECKING:
    from host_sim.driver.outcome import Outcome

# Of the seeds 1 to 9 the one whose hours' errors (root of the mean square) and whose day's error are nearest to what
# the noise says, both in standard deviations: 1.05 and 0.98. So the demo shows an ordinary day, not a lucky one.
_ORDINARY = 4


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    app.command("replay")(replay_recording)
    app.command()(run)
    app.command()(demo)


def replay_recording(recording: Path, json_file: Json = None, interpreter: Interpreter = "cpython") -> None:
    """Play a recording of ctnetlink datagrams to the agent's decoder.

    It is a u32 little-endian length and a datagram, repeated.
    """
    try:
        line = replay(recording, interpreter)
    except (ReplayError, NoInterpreterError) as failure:
        PROGRAM.refuse(str(failure))
    if json_file:
        PROGRAM.write(line, json_file)
    else:
        show_replay(line, Console())


def run(
    name: str,
    seed: Seed = 1,
    days: Days = None,
    interpreter: Interpreter = "cpython",
    report: options.Report = None,
    record: options.Record = None,
    until: Annotated[
        int | None, typer.Option(min=1, metavar="STEP", help="End after so many of the auditor's steps.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Run a scenario (a name of `list`, or a TOML file) through the real recorder, forwarder and broker."""
    from host_sim.driver.broker import BrokerError  # noqa: PLC0415
    from host_sim.driver.scene import SimulationError  # noqa: PLC0415
    from host_sim.report.show import show, violation  # noqa: PLC0415

    console = options.console(json_file)
    try:
        outcome = _simulate(scenarios.load(name), seed, days, interpreter, console, until, record)
    except (scenarios.ScenarioError, NoInterpreterError, BrokerError) as failure:
        PROGRAM.refuse(str(failure))
    except SimulationError as failure:
        PROGRAM.refuse(str(failure), 1)
    except KeyboardInterrupt:
        PROGRAM.refuse("interrupted; everything it made is removed", 130)
    show(outcome, console)
    if json_file:
        PROGRAM.write(json.dumps(outcome.figures(), indent=1) + "\n", json_file)
    if report:
        from host_sim.report.report import page  # noqa: PLC0415 (matplotlib takes a second)

        PROGRAM.write(page(outcome), report, "--report")
    if outcome.violation:
        again = f"oubli-sim run {name} --seed {seed} --interpreter {interpreter}" + (f" --days {days}" if days else "")
        console.print(violation(outcome, again), highlight=False, markup=False)
        PROGRAM.refuse(
            f"the auditor isn't content: {outcome.violation.wrong}; again with: "
            f"{again} --until {outcome.violation.step}",
            1,
        )
    if not outcome.passed and not until:
        PROGRAM.refuse("the auditor isn't content: there was nothing to look at", 1)


@contextmanager
def _recording(path: Path) -> Iterator[IO[bytes]]:
    """Give the file of --record; nothing half-written is left where the run doesn't come to its end."""
    file = path.open("wb")
    try:
        yield file
        file.close()
    except BaseException:
        with suppress(OSError):
            file.close()
        if path.is_file():
            path.unlink()
        raise


def _simulate(
    scenario: scenarios.Scenario,
    seed: int,
    days: int | None,
    interpreter: str,
    console: Console,
    until: int | None,
    record: str | None,
) -> "Outcome":
    from host_sim.driver.simulation import Simulation  # noqa: PLC0415
    from host_sim.report.show import progress_bar  # noqa: PLC0415
    from host_sim.venue.happenings import clock_text  # noqa: PLC0415

    began = time.monotonic()

    def progress(wall: int, connections: int) -> None:
        rate = (wall - world.scenario.start) / 1e9 / max(time.monotonic() - began, 1e-3)
        found = int(simulation.violation is not None)
        bar.update(
            task,
            completed=wall - world.scenario.start,
            clock=clock_text(wall),
            connections=connections,
            rate=rate,
            violations=found,
        )

    with ExitStack() as stack:
        recording = stack.enter_context(_recording(Path(record))) if record else None
        simulation = Simulation(scenario, seed, interpreter, days, progress, until=until, recording=recording)
        world = simulation.world
        bar = stack.enter_context(progress_bar(console))
        task = bar.add_task(
            scenario.name,
            total=world.end - world.scenario.start,
            clock=clock_text(world.scenario.start),
            connections=0,
            rate=0.0,
            violations=0,
        )
        return simulation.run()


def demo(interpreter: Interpreter = "cpython", seed: Seed = _ORDINARY, json_file: Json = None) -> None:
    """A café's day, ended by what was published beside the truth and what was forgotten; what tools/demo shows."""
    run("cafe-day", seed, None, interpreter, json_file=json_file)
