# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench instructions`: machine instructions that one ended connection takes, and to update a terminal's row.

decode   a DESTROY message, its layout known       whole    from the kernel's
         octets to the packed record, summary included
seal     its share of sealing, 200 a segment       expire   its share of forgetting such a segment

Each is also told as a ratio to `walk`, a plain walk of the same message's attributes on the same interpreter. The
ratios of `decode`, and on CPython of `whole`, are kept in kept.json, and a test fails where one grows by more than 5 %.
The others differ by more than that where a module elsewhere changes: on MicroPython by how far it searches its heap for
room. MIPS is estimated from MicroPython's count for all three ways, on Debian's build for x86-64: by how many
instructions MIPS takes for one of x86-64, and cycles for one of those where all lies in the caches. tools.bench.mips
counts both, the whole way. MISS is added for each line that isn't there: 155 ns as measured on an AR9344 with DDR2
(7-cpu.com). How many of those there are is counted by cachegrind, with the caches of the MT7628's 24KEc: of 64-bit
data, which is twice as large. What the kernel does for a `recv` isn't in it.

Counted by valgrind, so the figure doesn't depend on what else the machine does: a run of twice as many messages less a
run of once as many, divided by the messages between them. Start-up, imports and reading the recording thus fall out.
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

from host_sim.driver.interpreters import environment
from host_sim.lab import flows
from host_sim.lab.network import LabError
from host_sim.venue import kernel
from tools.bench import mips, needs
from tools.bench.peers import HEAP
from tools.bench.rounds import Tell, interleaved
from tools.bench.sheets import Sheet
from tools.bench.way_stage import START

NEEDS = ("valgrind", "micropython")
MESSAGES = 200  # of one playing, unless said otherwise: what fits MicroPython's small heap
_STAGE, _ROW_STAGE, _WAY_STAGE = "tools.bench.decode_stage", "tools.bench.row_stage", "tools.bench.way_stage"
WAY_HEAP = "4M"  # its collector rests
_WAYS = ("whole", "seal", "expire")
KEPT = Path(__file__).parent / "kept.json"
GROWTH = 0.05
CLOCK, SHARE = 580_000_000, 0.2  # Hz, and how much of the processor may go
MISS = 90  # cycles: 155 ns
_NO_CACHES = ("--cache-sim=no",)
# Octets, ways, octets of a line
_CACHES = ("--cache-sim=yes", "--I1=32768,4,32", "--D1=32768,4,32", "--LL=262144,8,32")
ROWS = 4096  # of the day's table, as by default
FILLS = (1, 1024, 3400, 4096)  # terminals in it; 1,024 is what its size is meant for (ANON-8)
UPDATES = 500
_SECOND = 1_000_000_000
_START = (START - 60) * _SECOND
INTERPRETERS = {"CPython": [sys.executable], "MicroPython": ["micropython", "-X", f"heapsize={HEAP}"]}


def times(*, quick: bool) -> int:
    """Return how often the messages are played where nothing else is asked for."""
    return 3 if quick else 20


def measure(times: int, tell: Tell, *, quick: bool = False) -> dict[str, Any]:
    """Count for each interpreter over `times` playings; LabError where a run failed.

    `quick`: MIPS by the kept ratio.
    """
    needs.need(NEEDS, root=False)
    with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
        recording = record(Path(folder), 50)
        rows = []
        for _, name in interleaved(1, ("counting",), list(INTERPRETERS), tell):
            rows.append(row_of(name, recording, times))
        tell("rows of the day's table")
        updates = updated(Path(folder, "table"))
        tell("cache misses")
        misses = _misses(INTERPRETERS["MicroPython"], recording, times)
        tell("MIPS")
        counted = None if quick else mips.figures(recording, WAY_HEAP, _whole)
    mipsel: dict[str, float] = counted or json.loads(KEPT.read_text())["mipsel"]
    row = rows[-1]
    count = (row["whole"] + row["seal"] + row["expire"]) * mipsel["instructions"]
    cycles = count * mipsel["cycles"] + misses * MISS
    return {
        "rows": rows,
        "messages": times * MESSAGES,
        "updates": updates,
        "misses": misses,
        "mips_ratio": mipsel["instructions"],
        "mips_cpi": mipsel["cycles"],
        "mips_counted": counted is not None,
        "cycles": round(cycles),
        "cpi": round(cycles / count, 2),
        "mips_24kc": round(CLOCK * SHARE / cycles),
    }


def _whole(recording: Path, times: int) -> int:
    """Count all that MicroPython runs, its start included, to take a recording so often."""
    return _count(INTERPRETERS["MicroPython"], recording, times, "whole")[0]


def _misses(interpreter: list[str], recording: Path, times: int) -> int:
    """Return how many cache lines one connection has to wait for, the whole way."""
    once, twice = (_count(interpreter, recording, factor * times, "whole", _CACHES)[1] for factor in (1, 2))
    return round((twice - once) / (times * MESSAGES))


def record(folder: Path, terminals: int, messages: int = MESSAGES) -> Path:
    """Write a recording of so many connections that ended, and one of who is on the LAN; returns the first."""
    everyone = flows.terminals(terminals)
    made = flows.make(messages, everyone)
    for number, flow in enumerate(made):
        flow.start, flow.stop = _START + number, _START + 30 * _SECOND
        flow.packets_up, flow.packets_down = number % 40, number % 90
        flow.bytes_up, flow.bytes_down = flow.packets_up * 60 + number, flow.packets_down * 600
    recording = folder / "destroy.bin"
    recording.write_bytes(kernel.recording([kernel.conntrack("destroy", flow) for flow in made]))
    recording.with_name("destroy.bin.lan").write_bytes(kernel.recording(_lan(everyone)))
    return recording


def updated(table: Path) -> list[dict[str, Any]]:
    """Return what updates of a row cost, by how many terminals its table has."""
    return [*(_row(terminals, table) for terminals in FILLS), _row(60, table, "clash")]


def _row(terminals: int, table: Path, *clash: str) -> dict[str, Any]:
    """Count MicroPython's instructions and octets of heap for one update of a row in a table with so many terminals.

    Both runs have words of the same length: what they do before the updates is the same then, to the heap's last hole.
    """
    runs = [
        _run(
            _roomy(INTERPRETERS["MicroPython"]),
            _ROW_STAGE,
            str(table),
            str(ROWS),
            str(terminals),
            f"{factor * UPDATES:06}",
            *clash,
        )
        for factor in (1, 2)
    ]
    row = {"terminals": terminals, "clash": bool(clash), "instructions": round((runs[1][0] - runs[0][0]) / UPDATES)}
    return {**row, "heap": json.loads(runs[0][1])["heap"] / UPDATES}


def _roomy(interpreter: list[str]) -> list[str]:
    """Return an interpreter with a heap whose collector rests."""
    return [word.replace(f"heapsize={HEAP}", f"heapsize={WAY_HEAP}") for word in interpreter]


def _lan(terminals: list[flows.Terminal]) -> list[bytes]:
    """Return what rtnetlink says of the terminals' side."""
    told = [kernel.link("lan")]
    told += [
        kernel.address(ip_address(text).packed, bits) for text, bits in ((flows.GATEWAY_4, 16), (flows.GATEWAY_6, 64))
    ]
    held = [kernel.Neighbour(address, one.mac) for one in terminals for address in (one.address4, one.address6)]
    return told + [kernel.neighbour(one) for one in held]


def row_of(name: str, recording: Path, times: int, ways: tuple[str, ...] = ("decode", *_WAYS)) -> dict[str, Any]:
    """Return the figures of one interpreter: instructions a connection, and the ratios to the walk."""
    words = INTERPRETERS[name]
    parts = {way: difference(words, recording, times, way) for way in ("walk", *ways)}
    for way, contained in (("expire", "seal"), ("seal", "whole")):
        if way in parts:
            parts[way] -= parts[contained]
    ratios = {way: round(parts[way] / parts["walk"], 4) for way in ways}
    return {"name": name, "version": version(words), **parts, "ratios": ratios}


def version(interpreter: list[str]) -> str:
    """Return which interpreter this is, as `kept.json` has it: counts of others can't be compared with its own."""
    code = "import sys; print(sys.implementation.name, '.'.join(map(str, sys.implementation.version[:2])))"
    done = subprocess.run([interpreter[0], "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def grown(result: dict[str, Any], kept: dict[str, dict[str, float]]) -> list[str]:
    """Return which ratios are over 5 % above the kept ones, as lines; an interpreter that isn't kept is one."""
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


def difference(interpreter: list[str], recording: Path, times: int, way: str) -> int:
    """Return the instructions of one message, from a run of twice as many less a run of once as many."""
    once, twice = (_count(interpreter, recording, factor * times, way)[0] for factor in (1, 2))
    return round((twice - once) / (times * _messages(recording)))


def _messages(recording: Path) -> int:
    return len(list(kernel.records(recording.read_bytes())))


def _count(
    interpreter: list[str], recording: Path, times: int, way: str, caches: tuple[str, ...] = _NO_CACHES
) -> tuple[int, int]:
    """Return instructions and cache misses of a whole run; LabError where it did not read every message."""
    stage, more = _STAGE, []
    if way in _WAYS:
        stage, more = _WAY_STAGE, [str(recording.parent / f"{Path(interpreter[0]).name}-{way}-{times}{caches[0]}")]
        interpreter = _roomy(interpreter)
    count, said, misses = _run(interpreter, stage, str(recording), str(times), way, *more, caches=caches)
    if said != str(times * _messages(recording)):
        raise LabError(f"{' '.join(interpreter)}: {said} messages decoded")
    return count, misses


def _run(
    interpreter: list[str], stage: str, *arguments: str, caches: tuple[str, ...] = _NO_CACHES
) -> tuple[int, str, int]:
    """Run a stage under valgrind; return its instructions, what it printed, and its cache misses.

    LabError where it fails.
    """
    words = ["valgrind", "--tool=cachegrind", *caches, "--cachegrind-out-file=/dev/null", *interpreter, "-m", stage]
    done = subprocess.run(
        [*words, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment(), "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        raise LabError(f"valgrind {' '.join(interpreter)}: {done.stdout.strip()} {done.stderr.strip()[-400:]}")
    misses = sum(int(count.replace(",", "")) for count in re.findall(r"[ID]1\s+misses:\s+([\d,]+)", done.stderr))
    return int(found[1].replace(",", "")), done.stdout.strip(), misses


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    rows = []
    for row in result["rows"]:
        rows.append((f"{row['name']}, a plain walk", f"{row['walk']:,}", "1"))
        rows += [(f"{row['name']}, {name}", f"{row[name]:,}", f"{ratio:.2f}") for name, ratio in row["ratios"].items()]
    for row in result["updates"]:
        fill = f"{row['terminals']:,} terminals" + (", all hashes alike" if row["clash"] else "")
        rows.append((f"MicroPython, a row of {fill}: {row['heap']:.0f} octets of heap", f"{row['instructions']:,}", ""))
    source = (
        f"{result['mips_ratio']} instructions for one of x86-64 ({'counted' if result['mips_counted'] else 'kept'})"
    )
    note = (
        f"estimate for a MIPS 24Kc, 580 MHz: {result['mips_24kc']:,} connections/s at {SHARE:.0%} of it; "
        f"{result['cycles']:,} cycles "
    )
    note += (
        f"a connection: {source}, {result['mips_cpi']:g} cycles each (by GCC's description of the core), "
        f"and {MISS} for each of "
    )
    note += (
        f"{result['misses']:,} cache misses (counted with its caches), "
        f"{result['cpi']:.2f} an instruction in all; the kernel's part "
    )
    note += "of a recv isn't in it"
    return [
        Sheet(
            "Machine instructions for one connection that ended", ("", "instructions", "plain walks"), rows, note=note
        )
    ]
