# SPDX-License-Identifier: Apache-2.0
"""The stage: the real recorder, under the interpreter that is tested, with a tape for a kernel and a clock of its own.

Reads a tape (host_sim.tape) from standard input and hands each datagram to `agent.recorder.Recorder` at its virtual time.
Between two entries the clock stops wherever the recorder asked to be called, as the daemon's poll would, so that its timers
run at the very times they would on a device. A REPORT entry prints one line of JSON and waits for nothing: whoever feeds the
tape may hold the next entry back while looking at the files.

    python|micropython -m host_sim.stage --config FILE --root DIR --sysctl JSON --seed N [--variant NAME] < TAPE

A variant is a recorder broken on purpose (host_sim.variants), which the auditor must find out.
"""

import hashlib
import json
import struct
import sys
from collections import OrderedDict

from agent import config as configuration
from agent.recorder import Recorder
from host_sim import tape

_LEAST = 1000000  # ns: a recorder that asks to be called at once is called a millisecond later
_BUFFER = 32768  # octets: the agent's own buffer for a datagram


class VirtualTime:
    """The time source of a simulated device: set by the tape, read by the recorder. Times in ns."""

    def __init__(self) -> None:
        self.boot = "5eed" * 8
        self.now = self.ahead = 0

    def wall(self) -> int:
        """Return ns since the epoch."""
        return self.now

    def monotonic(self) -> int:
        """Return ns since boot."""
        return self.now - self.ahead


class SeededRandom:
    """Octets that follow from a seed, so that a run's noise can be had again: SHA-256 over the seed and a counter.

    For simulations only: a device takes `os.urandom`. Keys of the vault come from libsodium and are never seeded.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0
        self._left = b""

    def __call__(self, count: int) -> bytes:
        """Return the next `count` octets."""
        while len(self._left) < count:
            self._left += hashlib.sha256((self._seed + ":" + str(self._count)).encode()).digest()
            self._count += 1
        octets = self._left[:count]
        self._left = self._left[count:]
        return octets


class Stage:
    """Drives one recorder along one tape."""

    def __init__(self, config: "Config", root: str, sysctl: "dict[str, int]", random: "Callable[[int], bytes]") -> None:
        self.config, self.root, self.sysctl, self.random = config, root, sysctl, random
        self.time = VirtualTime()
        self.recorder: "Any" = None  # made when the first CLOCK entry sets its clocks
        self.due = 0
        self.ticks = self.datagrams = 0
        self._head = memoryview(bytearray(tape.HEADER_SIZE))
        self._payload = bytearray(_BUFFER)
        self._view = memoryview(self._payload)

    def _fill(self, view: memoryview) -> bool:
        """Read until `view` is full; False at the tape's end."""
        at = 0
        while at < len(view):
            count = sys.stdin.buffer.readinto(view[at:])  # type: ignore[union-attr]  # BinaryIO's type lacks it
            if not count:
                return False
            at += count
        return True

    def play(self) -> int:
        """Play the tape to its end; returns the exit status: 0, or 1 where the tape ended without STOP."""
        while self._fill(self._head):
            operation, length, wall = struct.unpack_from(tape.HEADER, self._head, 0)
            if length and not self._fill(self._view[:length]):
                return 1
            if operation == tape.CLOCK:
                self._set_clock(wall)
                continue
            self._advance(wall)
            recorder = self.recorder
            if operation == tape.DATAGRAM:
                recorder.datagram(self._payload, length)
                self.datagrams += 1
            elif operation == tape.NEIGHBOUR:
                recorder.neighbour(self._payload, length)
            elif operation == tape.CONFIRM:
                recorder.confirm_time()
                self._tick()
            elif operation == tape.REPORT:
                self._tick()
                self._report()
            elif operation == tape.STOP:
                recorder.close()
                return 0
        return 1

    def _set_clock(self, wall: int) -> None:
        (monotonic,) = struct.unpack_from("<Q", self._payload, 0)
        self.time.now, self.time.ahead = wall, wall - monotonic
        if self.recorder is None:
            self.recorder = Recorder(self.config, self.root, self.time, random=self.random, log=_log, sysctl=self.sysctl.get, network=dict)
        self._tick()

    def _advance(self, wall: int) -> None:
        """Let time pass, with the recorder's timers on the way."""
        while self.due <= wall:
            self.time.now = self.due
            self._tick()
        self.time.now = wall

    def _tick(self) -> None:
        self.due = self.time.now + max(self.recorder.tick(), _LEAST)
        self.ticks += 1

    def _report(self) -> None:
        report = (("wall", self.time.now), ("ticks", self.ticks), ("datagrams", self.datagrams), ("status", self.recorder.status()))
        print(json.dumps(OrderedDict(report)))
        sys.stdout.flush()


def _log(text: str) -> None:
    print(text, file=sys.stderr)


def main(words: "list[str]") -> int:
    """Run with the options of the command line (name, value, in any order); returns the exit status."""
    options = dict(zip(words[0::2], words[1::2]))
    sysctl, random = json.loads(options["--sysctl"]), SeededRandom(options["--seed"])
    if "--variant" in options:
        from host_sim import variants

        variants.VARIANTS[options["--variant"]][1](options["--root"])
    return Stage(configuration.load(options["--config"]), options["--root"], sysctl, random).play()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.config import Config

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
