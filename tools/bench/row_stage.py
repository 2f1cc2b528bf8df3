# SPDX-License-Identifier: Apache-2.0
"""What the day's table costs on this interpreter: heap of a row's update, its time by how full it is.

`python|micropython -m tools.bench.row_stage PATH ROWS TERMINALS UPDATES [clash]`: prints the heap octets of UPDATES
updates of TERMINALS terminals that are there already. That is null on CPython, which doesn't say. How many rows are
used, and whether the table filled, follow. With `clash` every terminal's hash begins in the same row: each looks
further than the one before.
"""

import gc
import json
import sys

try:
    import micropython
except ImportError:
    micropython = None

from agent.runtime.libc import native
from agent.runtime.sodium import Sodium
from agent.summary.terminals import Terminals


class Same(Sodium):
    """The same key each time: by another one terminals lie elsewhere, and two runs are compared."""

    def random(self, address: int, size: int) -> None:
        """Fill memory with always the same octets."""
        native.buffer_at(address, size)[:] = b"\x5a" * size


class Clash(Same):
    """Hashes whose first word is a multiple of every table's size: all begin in the first row."""

    def short_hash(self, out: "Any", data: "Any", size: int, key: "Any") -> None:
        """Hash, then let the low bits go."""
        Sodium.short_hash(self, out, data, size, key)
        out[0:2] = b"\0\0"


def main(path: str, rows: int, terminals: int, updates: int, clash: bool) -> "dict[str, Any]":
    """Fill a table, then update its rows with the collector off."""
    table = Terminals(path, rows, "a1" * 16, Clash() if clash else Same())
    table.open_day(1, 0, 1, (0,) * 5)
    step = max(1, terminals // 64)
    # Of all, those that came last included
    macs = [number.to_bytes(6, "big") for number in range(0, terminals, step)][:64]
    for number in range(terminals):
        table.see(number.to_bytes(6, "big"), 3, 12, 12, 1, 700)
    for mac in macs:
        table.see(mac, 3, 13, 13, 1, 700)
    gc.collect()
    taken = getattr(gc, "mem_alloc", None)
    gc.disable()
    before = taken() if taken else 0
    # MicroPython takes a function's frame from the heap, where chance says how long it searches, and from the stack
    # where it can't. Hashes that are alike make it take more.
    if micropython and not clash:
        micropython.heap_lock()
    at = 0
    for _ in range(updates):
        table.see(macs[at], 3, 14, 15, 1, 700)
        at += 1
        if at == len(macs):
            at = 0
    if micropython and not clash:
        micropython.heap_unlock()
    heap = taken() - before if taken else None
    gc.enable()
    answer = {"heap": heap, "used": table.used(), "filled": table.filled()}
    table.close()
    return answer


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), len(sys.argv) > 5)))
