# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench instructions`: machine instructions that decoding one DESTROY message takes, on either interpreter.

Counted by valgrind, so the figure doesn't depend on what else the machine does: a run of twice as many messages less a run of
once as many, divided by the messages between them. Start-up, imports and reading the recording thus fall out.
"""

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
_STAGE = "tools.bench.decode_stage"
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
            once, twice = (_count(words, recording, factor * times) for factor in (1, 2))
            rows.append({"name": name, "instructions": round((twice - once) / (times * MESSAGES))})
    return {"rows": rows, "messages": times * MESSAGES}


def _count(interpreter: list[str], recording: Path, times: int) -> int:
    """Return the instructions of a whole run; LabError where it did not decode every message."""
    words = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", *interpreter, "-m", _STAGE]
    done = subprocess.run(
        [*words, str(recording), str(times)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment(), "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None or done.stdout.strip() != str(times * MESSAGES):
        raise LabError(f"valgrind {' '.join(interpreter)}: {done.stdout.strip()} {done.stderr.strip()[-400:]}")
    return int(found[1].replace(",", ""))


def table(result: dict[str, Any]) -> Table:
    """Return the result for a person."""
    shown = Table(title="To decode one DESTROY", title_justify="left")
    shown.add_column("")
    shown.add_column("instructions", justify="right")
    for row in result["rows"]:
        shown.add_row(row["name"], f"{row['instructions']:,}")
    return shown
