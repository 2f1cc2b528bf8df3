# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim replay`: a recording played to the agent's decoder, under the interpreter that was asked for."""

import json
import subprocess
from pathlib import Path

from rich.console import Console
from rich.table import Table

from host_sim.driver.interpreters import ROOT, command, environment


class ReplayError(Exception):
    """The recording can't be played; `args[0]` is the line for the person, which names file and byte."""


def replay(recording: Path, interpreter: str) -> str:
    """Return the line of JSON that the interpreter printed; ReplayError names what was wrong with the file."""
    words = [*command(interpreter), "-m", "host_sim.driver.replay_stage", str(recording.absolute())]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.startswith('{"datagrams":'):
        lines = done.stderr.strip().splitlines() or [f"oubli-sim: {interpreter}: ended with status {done.returncode}"]
        raise ReplayError(lines[-1])
    return done.stdout


def show(line: str, console: Console) -> None:
    """Print a replay's figures for a person."""
    figures = json.loads(line)
    kinds = ", ".join(f"{count:,} {name}" for name, count in figures["by_protocol"].items())
    heard = f"{figures['datagrams']:,} datagrams, {figures['malformed']:,} malformed"
    console.print(f"{figures['connections']:,} connections ended: {kinds}; {heard}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for heading in ("", "up", "down"):
        table.add_column(heading, justify="right" if heading else "left")
    for unit in ("packets", "bytes"):
        table.add_row(unit, f"{figures[unit + '_up']:,}", f"{figures[unit + '_down']:,}")
    console.print(table)
