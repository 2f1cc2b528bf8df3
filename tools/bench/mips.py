# SPDX-License-Identifier: Apache-2.0
"""What a MIPS 24K takes where x86-64 takes an instruction: MicroPython's whole way, counted on both.

Debian's qemu has no plugins. It logs each block that it translates, instruction by instruction, and each block that
runs, so what runs is summed up from its log. Beside the instructions that has the cycles in which the pipeline waits
though all lies in the caches. They follow the rules of GCC's description of the core (gcc/config/mips/24k.md, after
MIPS's manual): it issues one instruction at a time. What was loaded can be used in the second cycle from then, as an
address in the third. What was calculated can be used as an address in the second, a product in the fifth, a quotient in
the 36th. What a jump costs that wasn't foreseen isn't in that description: FLUSH cycles (assumed, of eight stages), for
every jump to a place in a register but returns, and for one conditional branch in MISSED (assumed).

It is the whole way that is counted: times in ns are large integers on 32 bits, which decoding alone has few of. That
takes minutes, so a quick run takes the figures that kept.json has. The interpreter is the one that tools/test builds
into .cache.
"""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from host_sim.driver.interpreters import ROOT, environment
from host_sim.lab.network import LabError
from host_sim.venue import kernel

INTERPRETER = ROOT / ".cache/mipsel/micropython"
FLUSH, MISSED = 4, 10
_STAGE = "tools.bench.way_stage"
_LOGGING = {"QEMU_LOG": "in_asm,exec,nochain", "QEMU_LOG_FILENAME": "/dev/stderr"}
_TIMES = (1, 9)  # far apart: the start, a milliard instructions, differs by some millions from run to run
_LOADS = {"lw", "lb", "lbu", "lh", "lhu", "lwl", "lwr"}
_STORES = {"sw", "sb", "sh", "swl", "swr"}
_PRODUCTS = {"mul", "mflo", "mfhi"}
_QUOTIENTS = {"div": 35, "divu": 35, "mod": 35, "modu": 35}
_NO_RESULT = ("b", "j", "mult", "div", "mt", "t")  # beginnings: these read their first register too


class Cost(NamedTuple):
    """What runs: instructions, and cycles in which the pipeline waits."""

    instructions: float = 0
    stalls: float = 0

    def __sub__(self, other: "Cost") -> "Cost":
        """Return what is in this one and not in the other."""
        return Cost(self.instructions - other.instructions, self.stalls - other.stalls)


def figures(recording: Path, heap: str, count: Callable[[Path, int], int]) -> dict[str, float] | None:
    """Return `instructions` for one of x86-64's and `cycles` for one of those; None where there is no MIPS interpreter.

    `count` counts x86-64's instructions of a recording walked so often.
    """
    if not INTERPRETER.exists():
        return None
    once, more = (_run(recording, times, heap) for times in _TIMES)
    there = more - once
    here = count(recording, _TIMES[1]) - count(recording, _TIMES[0])
    return {
        "instructions": round(there.instructions / here, 3),
        "cycles": round(1 + there.stalls / there.instructions, 3),
    }


def _run(recording: Path, times: int, heap: str) -> Cost:
    folder = recording.with_name(f"mips-{times}")
    words = [str(INTERPRETER), "-X", f"heapsize={heap}", "-m", _STAGE, str(recording), str(times), "whole", str(folder)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment(), **_LOGGING}
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise LabError("no pipe")
        cost = summed(process.stderr)
        said = process.stdout.read().strip()
    messages = sum(1 for _ in kernel.records(recording.read_bytes()))
    if process.returncode or int(said or b"0") != times * messages:
        raise LabError(f"MicroPython on MIPS kept {said.decode()} connections of {times * messages}")
    return cost


def summed(log: Iterable[bytes]) -> Cost:
    """Return what a log's blocks cost that ran: "IN:", its instructions, then "Trace ...[.../PC/..." for each run."""
    blocks: dict[int, Cost] = {}
    runs: dict[bytes, int] = {}
    lines: list[str] = []
    instructions = stalls = 0.0

    def settle() -> None:
        """Add up what ran until now: a block that is translated anew was another one before."""
        nonlocal instructions, stalls
        for place, often in runs.items():
            one = blocks[int(place, 16)]
            instructions, stalls = instructions + often * one.instructions, stalls + often * one.stalls
        runs.clear()

    def translated() -> None:
        if lines:
            place = int(lines[0].partition(":")[0], 16)
            if place in blocks:
                settle()
            blocks[place] = cost_of(lines)
            lines.clear()

    for line in log:
        if line.startswith(b"Trace"):
            translated()
            pc = line.split(b"/", 2)[1]
            runs[pc] = runs.get(pc, 0) + 1
        elif line.startswith(b"IN:"):
            translated()
        elif line.startswith(b"0x"):
            lines.append(line.decode())
    settle()
    return Cost(instructions, stalls)


def cost_of(lines: list[str]) -> Cost:
    """Return what a block costs, of lines such as "0x2b2ca91c:  lw	a0,-32056(gp)"."""
    stalls = 0.0
    results: list[tuple[str, str]] = [("", ""), ("", "")]  # register and kind of what the two former instructions made
    for line in lines:
        name, _, text = line.partition(":")[2].strip().partition("\t")
        memory = name in _LOADS or name in _STORES
        first, _, rest = text.partition(",")
        base = rest.partition("(")[2].rstrip(")") if memory else ""
        reads = text if name in _STORES or name.startswith(_NO_RESULT) else rest
        (former, kind), (older, older_kind) = results[-1], results[-2]
        waits = 0
        if memory and former and base == former:
            waits = {"load": 2, "product": 5}.get(kind, 1)
        elif former and former in reads.replace("(", ",").replace(")", "").split(",") and name not in _STORES:
            waits = {"load": 1, "product": 4}.get(kind, 0)
        if memory and older_kind == "load" and base == older:
            waits = max(waits, 1)
        stalls += waits + _QUOTIENTS.get(name, 0)
        if name == "jalr" or (name == "jr" and text != "ra"):
            stalls += FLUSH
        elif name.startswith("b") and name not in {"b", "bal"}:
            stalls += FLUSH / MISSED
        made = "load" if name in _LOADS else "product" if name in _PRODUCTS else "sum"
        results.append(("", "") if name in _STORES or name == "nop" or name.startswith(_NO_RESULT) else (first, made))
    return Cost(len(lines), stalls)
