# SPDX-License-Identifier: Apache-2.0
"""How many instructions a MIPS takes where x86-64 takes one: MicroPython decodes the same messages on both, and both are counted.

Debian's qemu has no plugins. It can make a block of every instruction and log each block that runs, so the lines of that log are counted.
That takes a minute, so a quick run takes the ratio that kept.json has: it depends on compilers, not on the agent. The interpreter is the
one that tools/test builds into .cache.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from host_sim.interpreters import ROOT, environment
from host_sim.lab_network import LabError

INTERPRETER = ROOT / ".cache/mipsel/micropython"
_STAGE = "tools.bench.decode_stage"
_COUNTING = {"QEMU_ONE_INSN_PER_TB": "1", "QEMU_LOG": "exec,nochain", "QEMU_LOG_FILENAME": "/dev/stderr"}
_MESSAGES = 5
_TIMES = (1, 2)


def ratio(recording: Path, heap: str, count: Callable[[Path, int], int]) -> float | None:
    """Return the ratio, None where there is no MIPS interpreter; `count` counts x86-64's instructions of a recording walked so often."""
    if not INTERPRETER.exists():
        return None
    few = recording.with_name("few.bin")
    few.write_bytes(_first(recording.read_bytes()))
    here, there = ([counter(few, times) for times in _TIMES] for counter in (count, lambda path, times: _count(path, times, heap)))
    return round((there[1] - there[0]) / (here[1] - here[0]), 3)


def _first(recording: bytes) -> bytes:
    at = 0
    for _ in range(_MESSAGES):
        at += 4 + int.from_bytes(recording[at : at + 4], "little")
    return recording[:at]


def _count(recording: Path, times: int, heap: str) -> int:
    words = [str(INTERPRETER), "-X", f"heapsize={heap}", "-m", _STAGE, str(recording), str(times), "decode"]
    lines = 0
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment(), **_COUNTING}
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise LabError("no pipe")
        while block := process.stderr.read(1 << 20):
            lines += block.count(b"\n")
        said = process.stdout.read().strip()
    if process.returncode or int(said or b"0") != times * _MESSAGES:
        raise LabError(f"MicroPython on MIPS read {said.decode()} messages of {times * _MESSAGES}")
    return lines
