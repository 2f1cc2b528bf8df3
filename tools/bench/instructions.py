# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench instructions`: machine instructions to decode a DESTROY message, beside a plain walk, and to update a terminal's row.

Counted by valgrind, so the figure doesn't depend on what else the machine does: a run of twice as many messages less a run of
once as many, divided by the messages between them. Start-up, imports and reading the recording thus fall out.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from host_sim import kernel
from host_sim.interpreters import environment
from host_sim.lab_network import LabError
from tools.bench import flows
from tools.bench.peers import HEAP

MESSAGES = 200  # of one playing: what fits MicroPython's small heap
_STAGE, _ROW_STAGE = "tools.bench.decode_stage", "tools.bench.row_stage"
ROWS = 4096  # of the day's table, as by default
FILLS = (1, 1024, 3400)  # terminals in it; 1,024 is what its size is meant for (ANON-8)
UPDATES = 500
_SECOND = 1_000_000_000
_START = 1_700_000_000 * _SECOND
INTERPRETERS = {"CPython": [sys.executable], "MicroPython": ["micropython", "-X", f"heapsize={HEAP}"]}


def missing() -> list[str]:
    """Return what is needed and this machine lacks, with the Debian package that brings it."""
    return [f"{name} (Debian package {name})" for name in ("valgrind", "micropython") if shutil.which(name) is None]


def measure(times: int) -> dict[str, Any]:
    """Count for each interpreter over `times` playings; LabError where a run failed."""
    made = flows.make(MESSAGES, flows.terminals(50))
    for number, flow in enumerate(made):
        flow.start, flow.stop = _START + number, _START + 30 * _SECOND
        flow.packets_up, flow.packets_down = number % 40, number % 90
    with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
        recording = Path(folder, "destroy.bin")
        recording.write_bytes(kernel.recording([kernel.conntrack("destroy", flow) for flow in made]))
        rows = []
        for name, words in INTERPRETERS.items():
            row: dict[str, Any] = {"name": name}
            for key, way in (("instructions", "decode"), ("walk", "walk")):
                once, twice = (_count(words, recording, factor * times, way) for factor in (1, 2))
                row[key] = round((twice - once) / (times * MESSAGES))
            rows.append(row)
        updates = [_row(terminals, Path(folder, "table")) for terminals in FILLS]
        updates.append(_row(60, Path(folder, "table"), "clash"))
    return {"rows": rows, "messages": times * MESSAGES, "updates": updates}


def _row(terminals: int, table: Path, *clash: str) -> dict[str, Any]:
    """Count MicroPython's instructions and octets of heap for one update of a row in a table with so many terminals."""
    runs = [
        _run(INTERPRETERS["MicroPython"], _ROW_STAGE, str(table), str(ROWS), str(terminals), str(factor * UPDATES), *clash)
        for factor in (1, 2)
    ]
    row = {"terminals": terminals, "clash": bool(clash), "instructions": round((runs[1][0] - runs[0][0]) / UPDATES)}
    return {**row, "heap": json.loads(runs[0][1])["heap"] / UPDATES}


def _count(interpreter: list[str], recording: Path, times: int, way: str) -> int:
    """Return the instructions of a whole run; LabError where it did not decode every message."""
    count, said = _run(interpreter, _STAGE, str(recording), str(times), way)
    if said != str(times * MESSAGES):
        raise LabError(f"{' '.join(interpreter)}: {said} messages decoded")
    return count


def _run(interpreter: list[str], stage: str, *arguments: str) -> tuple[int, str]:
    """Run a stage under valgrind; return its instructions and what it printed. LabError where it fails."""
    words = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", *interpreter, "-m", stage]
    done = subprocess.run(
        [*words, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment(), "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        raise LabError(f"valgrind {' '.join(interpreter)}: {done.stdout.strip()} {done.stderr.strip()[-400:]}")
    return int(found[1].replace(",", "")), done.stdout.strip()


def table(result: dict[str, Any]) -> Table:
    """Return the result for a person."""
    shown = Table(title="To decode one DESTROY, and to update a row of the day's table", title_justify="left")
    shown.add_column("")
    for name in ("instructions", "plain walk", "walk / decode"):
        shown.add_column(name, justify="right")
    for row in result["rows"]:
        shown.add_row(f"{row['name']}, DESTROY", f"{row['instructions']:,}", f"{row['walk']:,}", f"{row['walk'] / row['instructions']:.1f}")
    for row in result["updates"]:
        fill = f"{row['terminals']:,} terminals" + (", all hashes alike" if row["clash"] else "")
        shown.add_row(f"MicroPython, a row of {fill}: {row['heap']:.0f} octets of heap", f"{row['instructions']:,}")
    return shown
