# SPDX-License-Identifier: Apache-2.0
"""Plays a tape to a whole recorder, by the straight way or by the plain one; runs on both interpreters (tests/test_straight.py).

`straight_stage.py TAPE FOLDER straight|plain`. The tape has frames: octets u16 little-endian, one octet of what it is, then the octets: `d`
a connection that ended, `n` what rtnetlink says, `t` seconds that pass before a tick, `s` seconds of TCP's and UDP's time-outs from now on.
Prints one JSON object: digests of everything that is kept, the counters, and how many connections went the straight way.
"""

import json
import sys

from agent import config
from agent.recorder import Recorder
from agent.runtime import files, memory
from agent.runtime.sodium import Sodium

_SECOND = 1000000000
START = 1800001800  # s since the epoch: a Friday morning, within an hour
RUN = 64  # datagrams of a run, as the daemon reads them
_TEXT = b"""config gateway 'gateway'
	option id 'oublimeasurement'
	option duty 'none'
	list lan 'lan'
"""


class Time:
    """A clock that stands still until it is moved."""

    boot = "a1" * 16

    def __init__(self) -> None:
        self.now, self.since = (START - 700) * _SECOND, 1000 * _SECOND

    def wall(self) -> int:
        """Return ns since the epoch."""
        return self.now

    def monotonic(self) -> int:
        """Return ns since boot."""
        return self.since

    def move(self, seconds: int) -> None:
        """Let so many seconds pass."""
        self.now += seconds * _SECOND
        self.since += seconds * _SECOND


class Fixed(Sodium):
    """The day's key is always the same, so that two tables can be compared."""

    def random(self, address: int, size: int) -> None:
        """Give zeros to the day's table, which asks for 16 octets; chance to others."""
        if size == 16:
            memory.buffer_at(address, size)[:] = bytes(size)
        else:
            Sodium.random(self, address, size)


def _quiet(_text: str) -> None:
    """Say nothing."""


def main(path: str, folder: str, straight: bool) -> "dict[str, Any]":
    """Play the tape; returns what is to be compared."""
    files.make_folder(folder, 0o700)
    with open(folder + "/oubli", "wb") as file:
        file.write(_TEXT)
    time = Time()
    settings: "dict[str, int]" = {}
    recorder = Recorder(config.load(folder + "/oubli"), folder, time, log=_quiet, sysctl=settings.get, network=dict)
    sodium = recorder.terminals._sodium = Fixed()
    recorder.tick()
    recorder.confirm_time()
    time.move(700)
    recorder.tick()
    recorder.confirm_time()
    recorder.tick()
    inbox = memory.scratch(4096)
    plainly = 0
    waiting: "list[bytes]" = []
    ring = recorder._ring
    seen = []

    def receive(_descriptor: int, view: "bytearray") -> int:
        data = waiting.pop(0)
        view[: len(data)] = data
        return len(data)

    def look() -> None:
        # Pages that wait to be sealed, and the day's table: digests, for a day's worth of both doesn't fit a small heap.
        rows: "Any" = memoryview(recorder.terminals._view)[96:]
        pages = [(entry.slot.window, entry.used, entry.slot.records, bytes(entry.page)) for entry in ring._open.values()]
        for window, used, records, page in sorted(pages):
            seen.append("%d %d %d %s" % (window, used, records, sodium.digest(page, 8).hex()))
        seen.append(sodium.digest(rows, 8).hex())

    def play() -> int:
        count = 0
        while waiting:
            size = recorder.straight.run(receive, 0, inbox.view, min(len(waiting), RUN)) if straight else receive(0, inbox.view)
            if size:
                count += 1
                recorder.event(inbox.view, size)
        return count

    with open(path, "rb") as tape:
        while head := tape.read(3):
            data = tape.read(head[0] | head[1] << 8)
            if head[2:] == b"d":
                waiting.append(data)
                continue
            plainly += play()
            if head[2:] == b"n":
                recorder.neighbour(data, len(data))
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
    read, connections = recorder._decoder.reader.datagrams, recorder._decoder.connections
    recorder.close()
    return {"seen": seen, "counters": counters, "read": [read, connections], "straight": connections - plainly}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3] == "straight")))
