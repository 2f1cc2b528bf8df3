# SPDX-License-Identifier: Apache-2.0
"""Plays a recording to a whole recorder again and again: a connection's cost from kernel to packed record.

`way_stage.py RECORDING TIMES whole|seal|expire|heap FOLDER`; prints how many connections were kept, sealed or
forgotten. The clock stands still, trusted, within an agent-day, so that the day's table is written too. `seal` seals
what is waiting and closes the segment after each playing, `expire` forgets it too; each contains the one before. `heap`
prints the octets of heap that all of them took, which CPython doesn't say. Runs on MicroPython too.
"""

import gc
import sys

from agent.config import config
from agent.recorder.loop import BATCH
from agent.recorder.recorder import Recorder
from agent.runtime import files, memory
from host_sim.driver import first_boot

_SECOND = 1000000000
# S since the epoch: a Friday morning, well within an hour: what ended in it counts in the day's table
START = 1800001800
LATER = 2 * 86400 * _SECOND  # past every lifetime
# Digits of pi
FACTORS = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89)
ROWS = 4096  # of the day's table, at least
# Objects in the holes that reading modules left in the heap: how far MicroPython searches for room is chance else
PLUGS = 6000
_TEXT = b"""config gateway 'gateway'
	option id 'oublimeasurement'
	option duty 'none'
	list lan 'lan'
"""
_THERE = 100  # seconds for which they have been on the LAN when their connections end
_MORE = b"config summary 'summary'\n\toption rows '%d'\n"


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


def _quiet(_text: str) -> None:
    """Say nothing."""


def _absent(_name: str) -> None:
    """Stand in for the settings of conntrack: the kernel's defaults."""


def frames(path: str) -> "list[bytes]":
    """Return the messages of a recording."""
    datagrams = []
    with open(path, "rb") as file:
        while head := file.read(4):
            datagrams.append(file.read(int.from_bytes(head, "little")))
    return datagrams


def started(
    folder: str, more: bytes, sysctl: "Callable[[str], int | None]", sodium: "Sodium | None" = None
) -> "tuple[Recorder, Time]":
    """Return a recorder within an agent-day, its time trusted, and its clock.

    `more` stands in the configuration beside what is needed; `sysctl` answers for the settings of
    conntrack; `sodium` is the day's table's.
    """
    files.make_folder(folder, 0o700)
    with open(folder + "/oubli", "wb") as file:
        file.write(_TEXT + more)
    time = Time()
    first_boot.new_device(folder)
    recorder = Recorder(config.load(folder + "/oubli"), folder, time, log=_quiet, sysctl=sysctl, network=dict)
    terminals = recorder.day.terminals
    terminals._sodium = sodium or terminals._sodium  # noqa: SLF001 (the bench's looks inside)
    recorder.tick()
    recorder.confirm_time()
    time.move(700)
    recorder.tick()
    recorder.confirm_time()
    recorder.tick()
    return recorder, time


def prepared(path: str, folder: str, more: bytes = b"") -> "tuple[Recorder, Time, memory.Region, list[bytes]]":
    """Return a recorder that knows who is on the LAN, its clock, a buffer to be played from, and the messages to play.

    `more` stands in the configuration beside what is needed. The day's table has four rows a terminal, as boards have
    it. What is chance in the table of addresses is the same each time: learning thousands of them costs millions of
    instructions more or less else.
    """
    told = frames(path + ".lan")
    recorder, time = started(folder, _MORE % max(ROWS, 2 * len(told)) + more, _absent)
    recorder.guests.holders._factors = FACTORS  # noqa: SLF001 (the same)
    inbox = memory.scratch(4096)
    time.move(-_THERE)
    for data in told:
        inbox.view[: len(data)] = data
        recorder.streams.neighbour(inbox.view, len(data))
    time.move(_THERE)
    return recorder, time, inbox, frames(path)


def player(recorder: Recorder, inbox: memory.Region, ended: "list[Any]") -> "Callable[[], None]":
    """Return what plays the messages once, a run at a time, as the daemon reads them."""
    at = [0]

    class Tape:
        view = inbox.view

        def more(self) -> int:
            data = ended[at[0]]
            at[0] += 1
            self.view[: len(data)] = data
            return len(data)

    tape = Tape()

    def play() -> None:
        at[0] = 0
        while at[0] < len(ended):
            size = recorder.streams.fast_path.run(tape, min(len(ended) - at[0], BATCH))
            if size:
                recorder.streams.event(inbox.view, size)

    return play


def main(path: str, times: int, way: str, folder: str) -> int:
    """Play it `times` times; returns how many connections went that way."""
    recorder, time, inbox, ended = prepared(path, folder)
    play = player(recorder, inbox, ended)
    ring = recorder.kept.by_name["security"]
    plugs = [bytearray(16) for _ in range(PLUGS)]
    # Whether a collection falls into a run is chance; a connection leaves a collector next to nothing to do
    gc.disable()
    allocated = getattr(gc, "mem_alloc", int)
    taken = allocated()
    for _ in range(times):
        play()
        if way == "seal":
            ring.stepped()
        elif way == "expire":
            ring.tick(time.now + LATER, time.since + LATER, trusted=True)
    if way == "heap":
        return allocated() - taken
    return recorder.counters.values["kept"] if plugs else 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.runtime.sodium import Sodium

if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
