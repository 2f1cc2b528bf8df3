# SPDX-License-Identifier: Apache-2.0
"""Code size and memory on the processors of boards/.

MicroPython's own size, and what it holds with each daemon's modules loaded.

Under qemu-user the guest's pages lie in a range of their own in the emulator's memory: what is resident there is what a
device would have resident, the libraries' and the interpreter's own pages included.
`python -m tests.support.processors` prints the table.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from host_sim.driver import interpreters as host
from tests.support.interpreters import FOREIGN, INTERPRETERS, PROJECT

BASE, SIZE = 0x200000000, 1 << 32  # of the guest's memory in the emulator's
PARTS = {"nothing": "gc", "forwarder": "agent.forwarder.forwarder", "recorder": "agent.recorder.loop"}


def binary(name: str) -> Path:
    """Return MicroPython's executable for a processor."""
    folder = PROJECT / ".cache" / name
    return next(iter([*folder.glob("micropython.*"), *folder.glob("root/usr/bin/micropython")]))


def resident(name: str, part: str) -> int:
    """Return the KiB that are resident on a processor once a module of the agent is loaded."""
    words = INTERPRETERS[name].command("-c", f"import sys, {part}; print('up'); sys.stdin.read()")
    environment = host.environment() | {"QEMU_GUEST_BASE": hex(BASE)}
    if name == "arm64":  # 64 bits reach beyond any range, unless told
        environment["QEMU_RESERVED_VA"] = hex(SIZE)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, env=environment) as guest:
        assert guest.stdout is not None
        assert guest.stdout.readline() == b"up\n"
        total, inside = 0, False
        for line in Path(f"/proc/{guest.pid}/smaps").read_text().splitlines():
            if found := re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line):
                inside = BASE <= int(found[1], 16) < BASE + SIZE
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1])
        guest.communicate()
    return total


def main() -> None:
    """Print the table."""
    print("processor", "MicroPython bytes", *(f"{part} KiB" for part in PARTS), sep="\t")
    for name in FOREIGN:
        print(name, binary(name).stat().st_size, *(resident(name, part) for part in PARTS.values()), sep="\t")


if __name__ == "__main__":
    main()
