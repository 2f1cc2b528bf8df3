# SPDX-License-Identifier: Apache-2.0
"""Plays a tape to a whole recorder, by the fast path or by the plain one.

Runs on both interpreters (tests/recorder/test_fast_path.py).

`fast_path_stage.py TAPE FOLDER fast|plain`. The tape has frames: octets u16 little-endian, one octet of what it is,
then the octets: `d` a connection that ended, `n` what rtnetlink says, `t` seconds that pass before a tick. `s` are the
seconds of TCP's and UDP's time-outs from now on. Prints one JSON object: digests of everything that is kept, the
counters, and how many connections went the fast path.
"""

import json
import sys

from agent.runtime import memory
from agent.runtime.sodium import Sodium
from tools.bench.way_stage import started

RUN = 64  # datagrams of a run, as the daemon reads them


class Fixed(Sodium):
    """The day's key is always the same, so that two tables can be compared."""

    def random(self, address: int, size: int) -> None:
        """Give zeros to the day's table, which asks for 16 octets; chance to others."""
        if size == 16:
            memory.buffer_at(address, size)[:] = bytes(size)
        else:
            Sodium.random(self, address, size)


def main(path: str, folder: str, fast_path: bool) -> "dict[str, Any]":
    """Play the tape; returns what is to be compared."""
    settings: "dict[str, int]" = {}
    sodium = Fixed()
    recorder, time = started(folder, b"", settings.get, sodium)
    plainly = 0
    waiting: "list[bytes]" = []
    ring = recorder.kept.ring
    seen = []

    class Inbox:
        view = memory.scratch(1024).view

        def more(self) -> int:
            data = waiting.pop(0)
            self.view[: len(data)] = data
            return len(data)

    inbox = Inbox()

    def look() -> None:
        # Pages that wait to be sealed, and the day's table: digests, for a day's
        # worth of both doesn't fit a small heap.
        rows: "Any" = memoryview(recorder.day.terminals._view)[96:]
        pages = [
            (entry.slot.window, entry.used, entry.held, entry.slot.records, bytes(entry.page))
            for entry in ring._open.values()
        ]
        for window, used, held, records, page in sorted(pages):
            seen.append("%d %d %d %d %s" % (window, used, held, records, sodium.digest(page, 8).hex()))
        seen.append(sodium.digest(rows, 8).hex())

    def play() -> int:
        count = 0
        while waiting:
            size = recorder.streams.fast_path.run(inbox, min(len(waiting), RUN)) if fast_path else inbox.more()
            if size:
                count += 1
                recorder.streams.event(inbox.view, size)
        return count

    with open(path, "rb") as tape:
        while head := tape.read(3):
            data = tape.read(head[0] | head[1] << 8)
            if head[2:] == b"d":
                waiting.append(data)
                continue
            plainly += play()
            if head[2:] == b"n":
                recorder.streams.neighbour(data, len(data))
            elif head[2:] == b"s":
                for name in ("tcp_timeout_time_wait", "udp_timeout", "udp_timeout_stream"):
                    settings[name] = data[0]
            else:
                look()
                time.move(data[0] << 8 | data[1])
                recorder.tick()
    plainly += play()
    look()
    counters = dict(recorder.counters.values)
    read, connections = recorder.streams._decoder.reader.datagrams, recorder.streams._decoder.connections
    recorder.close()
    return {"seen": seen, "counters": counters, "read": [read, connections], "fast": connections - plainly}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3] == "fast")))
