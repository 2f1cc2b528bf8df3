# SPDX-License-Identifier: Apache-2.0
"""`tools/soak`: fuzzing, histories, attacks in one long command. A trial is one of them, as `--trial` names it.

Figures as JSON, exit 1 with findings; bad use: exit 2, one line.
"""

import json
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from host_sim.driver.interpreters import NAMES, ROOT, NoInterpreterError
from host_sim.lab.network import LabError
from host_sim.privacy import attack, bands, instants, spending
from host_sim.trials import consent_histories, histories, kills, rounds, search
from tests.openwrt import malta, power, stories
from tools.bench import machine
from tools.commands import Program, output
from tools.fuzz import capture

_BATCH = 256  # executions between two looks at the clock


def fuzz_capture(seed: int, seconds: float) -> dict[str, Any]:
    """Fuzz agent/capture and the fast path on CPython, with MicroPython beside it."""
    with ExitStack() as stack:
        ours, theirs = (Path(stack.enter_context(machine.memory_folder())) for _ in NAMES)
        peer = capture.Peer(NAMES[1], theirs)
        stack.callback(peer.close)
        fuzzer = capture.Fuzzer(seed, ours, peer)
        stack.callback(fuzzer.close)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(_BATCH):
                fuzzer.step()
    return fuzzer.report()


def try_summary(seed: int, seconds: float) -> dict[str, Any]:
    """Attack paired days and moments; live histories of power and time; hold 1,000 café days to their bands."""
    parts = {
        "attack": attack.soak(seconds / 4),
        "moments": instants.soak(seconds / 4),
        "spending": spending.soak(seed, seconds / 4),
        "bands": bands.soak(seed, seconds / 4),
    }
    return {**parts, "findings": [finding for part in parts.values() for finding in part.pop("findings")]}


def vault(seed: int, seconds: float) -> dict[str, Any]:
    """Kill processes of both stores and interpreters 500 times each, live 20,000 clock histories, while time lasts."""
    start = time.monotonic()
    killed = kills.soak(seed, min(500, int(seconds / 4))) if seconds >= 4 else {"findings": []}
    figures = histories.soak(seed, seconds - (time.monotonic() - start))
    found = [*killed.pop("findings"), *figures.pop("findings")]
    return {**killed, **figures, "findings": found}


_program = Program("tools/soak")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
TRIALS = {
    "capture": fuzz_capture,
    "vault": vault,
    "summary": try_summary,
    "sim": rounds.soak,
    "search": search.soak,
    "consents": consent_histories.soak,
    "openwrt": power.soak,
    "gateway": stories.soak,
    "firmware": malta.soak,
}
ASKED_FOR = {"openwrt", "gateway", "firmware"}  # these build a system first, and take as long as they take


def _commit() -> str:
    """Return the commit that is checked out, with + where files differ from it; nothing outside a repository."""
    words = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


@app.command(cls=_program.command)
def main(
    trial: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this trial, or several: {', '.join(TRIALS)}; the last three only so."),
    ] = None,
    hours: Annotated[float, typer.Option(min=0, help="How long, for all trials together.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, help="What everything is drawn from; another one each time.")
    ] = None,
    json_file: Annotated[str, output("--json", "FILE", "Where the figures go; - is standard output.")] = "-",
) -> None:
    """Tries what takes hours: fuzzes, lives histories, attacks figures, simulates venues, boots whole machines.

    Exit 1 with findings. Ctrl-C ends it with the figures of what was done.
    """
    for name in trial or ():
        if name not in TRIALS:
            _program.refuse(f"--trial: {name!r} isn't known; accepted: {', '.join(TRIALS)}")
    names = [name for name in TRIALS if name in (trial or TRIALS.keys() - ASKED_FOR)]
    seed = secrets.randbits(32) if seed is None else seed
    result: dict[str, Any] = {"commit": _commit(), "seed": seed, "python": sys.version.split()[0], "trials": {}}
    try:
        for name in names:
            start = time.monotonic()
            figures = TRIALS[name](seed, hours * 3600 / len(names))
            result["trials"][name] = {"seconds": round(time.monotonic() - start, 1), **figures}
            if figures.get("interrupted"):
                result["interrupted"] = True
                break
    except NoInterpreterError as failure:
        _program.refuse(str(failure))
    except LabError as failure:
        _program.refuse(str(failure), 1)
    except KeyboardInterrupt:
        result["interrupted"] = True
    text = json.dumps(result, indent=1) + "\n"
    _program.write(text, json_file)
    if "interrupted" in result:
        _program.refuse("interrupted; everything it made is removed", 130)
    raise typer.Exit(any(figures["findings"] for figures in result["trials"].values()))


if __name__ == "__main__":
    app()
