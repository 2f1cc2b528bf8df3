# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench instructions`: machine instructions that one ended connection takes, and to update a terminal's row.

decode   a DESTROY message, its layout known       whole    from the kernel's octets to the packed record, summary included
seal     its share of sealing, 200 a segment       expire   its share of forgetting such a segment

Each is also told as a ratio to `walk`, a plain walk of the same message's attributes on the same interpreter. The ratios of `decode`, and
on CPython of `whole`, are kept in kept.json, and a test fails where one grows by more than 5 %. The others differ by more than that where
a module elsewhere changes: on MicroPython by how far it searches its heap for room.
MIPS is estimated from MicroPython's count: one instruction for one of x86-64, CPI cycles each (assumed).

Counted by valgrind, so the figure doesn't depend on what else the machine does: a run of twice as many messages less a run of
once as many, divided by the messages between them. Start-up, imports and reading the recording thus fall out.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from host_sim import kernel
from host_sim.interpreters import environment
from host_sim.lab_network import LabError
from tools.bench import flows, machine
from tools.bench.peers import HEAP
from tools.bench.rounds import Tell, interleaved
from tools.bench.sheets import Sheet
from tools.bench.way_stage import START

NEEDS = ("valgrind", "micropython")
MESSAGES = 200  # of one playing: what fits MicroPython's small heap
_STAGE, _ROW_STAGE, _WAY_STAGE = "tools.bench.decode_stage", "tools.bench.row_stage", "tools.bench.way_stage"
_WAYS = ("whole", "seal", "expire")
KEPT = Path(__file__).parent / "kept.json"
GROWTH = 0.05
# MIPS 24Kc: single issue, so at best one instruction a cycle; an interpreter's loop misses its caches, which 2 allows for (assumed).
CLOCK, CPI, SHARE = 580_000_000, 2.0, 0.2
ROWS = 4096  # of the day's table, as by default
FILLS = (1, 1024, 3400)  # terminals in it; 1,024 is what its size is meant for (ANON-8)
UPDATES = 500
_SECOND = 1_000_000_000
_START = (START - 60) * _SECOND
INTERPRETERS = {"CPython": [sys.executable], "MicroPython": ["micropython", "-X", f"heapsize={HEAP}"]}


def measure(times: int, tell: Tell) -> dict[str, Any]:
    """Count for each interpreter over `times` playings; LabError where a run failed."""
    machine.need(NEEDS, root=False)
    terminals = flows.terminals(50)
    made = flows.make(MESSAGES, terminals)
    for number, flow in enumerate(made):
        flow.start, flow.stop = _START + number, _START + 30 * _SECOND
        flow.packets_up, flow.packets_down = number % 40, number % 90
        flow.bytes_up, flow.bytes_down = flow.packets_up * 60 + number, flow.packets_down * 600
    with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
        recording = Path(folder, "destroy.bin")
        recording.write_bytes(kernel.recording([kernel.conntrack("destroy", flow) for flow in made]))
        rows = []
        Path(folder, "destroy.bin.lan").write_bytes(kernel.recording(_lan(terminals)))
        for _, name in interleaved(1, ("counting",), list(INTERPRETERS), tell):
            words = INTERPRETERS[name]
            taken = {way: _difference(words, recording, times, way) for way in ("walk", "decode", *_WAYS)}
            rows.append({"name": name, "version": version(words), **_row_of(taken)})
        updates = [_row(terminals, Path(folder, "table")) for terminals in FILLS]
        updates.append(_row(60, Path(folder, "table"), "clash"))
    return {"rows": rows, "messages": times * MESSAGES, "updates": updates, "mips_24kc": estimate(rows[-1])}


def _row(terminals: int, table: Path, *clash: str) -> dict[str, Any]:
    """Count MicroPython's instructions and octets of heap for one update of a row in a table with so many terminals."""
    runs = [
        _run(INTERPRETERS["MicroPython"], _ROW_STAGE, str(table), str(ROWS), str(terminals), str(factor * UPDATES), *clash)
        for factor in (1, 2)
    ]
    row = {"terminals": terminals, "clash": bool(clash), "instructions": round((runs[1][0] - runs[0][0]) / UPDATES)}
    return {**row, "heap": json.loads(runs[0][1])["heap"] / UPDATES}


def _lan(terminals: list[flows.Terminal]) -> list[bytes]:
    """Return what rtnetlink says of the terminals' side."""
    told = [kernel.link("lan")]
    told += [kernel.address(ip_address(text).packed, bits) for text, bits in ((flows.GATEWAY_4, 16), (flows.GATEWAY_6, 64))]
    held = [kernel.Neighbour(address, one.mac) for one in terminals for address in (one.address4, one.address6)]
    return told + [kernel.neighbour(one) for one in held]


def _row_of(taken: dict[str, int]) -> dict[str, Any]:
    """Return the figures of one interpreter: instructions a connection, and the ratios to the walk."""
    parts = {
        "walk": taken["walk"],
        "decode": taken["decode"],
        "whole": taken["whole"],
        "seal": taken["seal"] - taken["whole"],
        "expire": taken["expire"] - taken["seal"],
    }
    return {**parts, "ratios": {name: round(parts[name] / parts["walk"], 4) for name in ("decode", "whole", "seal", "expire")}}


def version(interpreter: list[str]) -> str:
    """Return which interpreter this is, as `kept.json` has it: counts of others can't be compared with its own."""
    code = "import sys; print(sys.implementation.name, '.'.join(map(str, sys.implementation.version[:2])))"
    done = subprocess.run([interpreter[0], "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def grown(result: dict[str, Any], kept: dict[str, dict[str, float]]) -> list[str]:
    """Return which ratios are more than 5 % above the kept ones, as lines to show; an interpreter that isn't kept is one."""
    lines = []
    for row in result["rows"]:
        known = kept.get(row["version"])
        if known is None:
            lines.append(f"{row['version']}: no figures are kept of it")
            continue
        for name, ratio in known.items():
            if row["ratios"][name] > ratio * (1 + GROWTH):
                lines.append(f"{row['version']}: {name} takes {row['ratios'][name]} walks, {ratio} are kept")
    return lines


def _difference(interpreter: list[str], recording: Path, times: int, way: str) -> int:
    once, twice = (_count(interpreter, recording, factor * times, way) for factor in (1, 2))
    return round((twice - once) / (times * MESSAGES))


def _count(interpreter: list[str], recording: Path, times: int, way: str) -> int:
    """Return the instructions of a whole run; LabError where it did not read every message."""
    stage, more = _STAGE, []
    if way in _WAYS:
        stage, more = _WAY_STAGE, [str(recording.parent / f"{Path(interpreter[0]).name}-{way}-{times}")]
        interpreter = [word.replace(f"heapsize={HEAP}", "heapsize=4M") for word in interpreter]  # its collector rests
    count, said = _run(interpreter, stage, str(recording), str(times), way, *more)
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


def estimate(row: dict[str, Any]) -> int:
    """Return connections a second on a MIPS 24Kc at 580 MHz, from MicroPython's row."""
    return round(CLOCK * SHARE / CPI / (row["whole"] + row["seal"] + row["expire"]))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    rows = []
    for row in result["rows"]:
        rows.append((f"{row['name']}, a plain walk", f"{row['walk']:,}", "1"))
        rows += [(f"{row['name']}, {name}", f"{row[name]:,}", f"{ratio:.2f}") for name, ratio in row["ratios"].items()]
    for row in result["updates"]:
        fill = f"{row['terminals']:,} terminals" + (", all hashes alike" if row["clash"] else "")
        rows.append((f"MicroPython, a row of {fill}: {row['heap']:.0f} octets of heap", f"{row['instructions']:,}", ""))
    note = f"estimate for a MIPS 24Kc, 580 MHz, CPI {CPI:g}: {result['mips_24kc']:,} connections/s at {SHARE:.0%} of it"
    return [Sheet("Machine instructions for one connection that ended", ("", "instructions", "plain walks"), rows, note=note)]
