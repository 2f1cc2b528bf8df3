# SPDX-License-Identifier: Apache-2.0
"""The stage: the real recorder, under the interpreter that is tested, with a tape for a kernel and a clock of its own.

Reads a tape (host_sim.venue.tape) from standard input and hands each datagram to `agent.recorder.recorder.Recorder` at
its virtual time. Between two entries the clock stops wherever the recorder asked to be called, as the daemon's poll
would. So its timers run at the very times they would on a device. A REPORT entry prints one line of JSON and waits for
nothing: whoever feeds the tape may hold the next entry back while looking at the files.

    python|micropython -m host_sim.driver.stage --config FILE --root DIR --sysctl FILE
    --seed N --rate EVENTS [--variant NAME] < TAPE

`--sysctl` is a file of JSON: MicroPython ends where an argument is longer than 255 octets. A variant is a recorder
broken on purpose (host_sim.faults.variants), which the auditor must find out.
"""

import json
import struct
import sys
from collections import OrderedDict

from agent.base.paths import Paths, clear_run
from agent.config import config as configuration
from agent.runtime import memory
from agent.runtime.libc import NAME
from agent.vault import expiry
from host_sim.driver.killed import unmap
from host_sim.driver.seeded import SeededRandom
from host_sim.driver.stage_callers import Callers
from host_sim.driver.stage_device import Device
from host_sim.driver.stage_parts import Freed, Held
from host_sim.venue import tape

_LEAST = 1000000  # ns: a recorder that asks to be called at once is called a millisecond later
_BUFFER = 32768  # octets: room for a datagram, as much as the kernel ever fills
_CLOCKS_SIZE = struct.calcsize(tape.CLOCKS)
_FREED = Freed()


def say(text: str) -> None:
    """Take a line of the recorder's log."""
    print(text, file=sys.stderr)


class Stage:
    """Drives one recorder after the other along one tape, on one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.time = device.time
        self.recorder: "Any" = None  # made when the first BOOT entry sets its clocks
        self._callers = Callers(device.root)
        self.due = 0
        self._asleep = self._listing = False
        self._held: "Held | None" = None  # what the kernel keeps for a recorder that stands still
        self._moves: "list[tuple[bytes, int, int, int]]" = []  # of stations, that wait likewise
        self.ticks = self.datagrams = 0
        self._room = memory.scratch(_BUFFER)  # outside the small heap
        self._payload = self._room.view
        self._view = memoryview(self._payload)
        source = sys.stdin.buffer
        self._source: "Any" = getattr(source, "raw", source)  # what was read isn't to stay in a buffer of CPython's

    def _fill(self, view: memoryview) -> bool:
        """Read until `view` is full; False at the tape's end."""
        at = 0
        while at < len(view):
            count = self._source.readinto(view[at:])
            if not count:
                return False
            at += count
        return True

    def play(self) -> int:
        """Play the tape to its end; returns the exit status: 0, or 1 where the tape ended without STOP."""
        acts = {
            tape.NEIGHBOUR: self._neighbour,
            tape.CLOCK: self._set_clock,
            tape.CONFIRM: self._confirm,
            tape.REPORT: self._report,
            tape.BOOT: self._boot,
            tape.START: self._start,
            tape.KILL: self._kill,
            tape.LISTED: self._listed,
            tape.TABLE: self._table,
            tape.SUSPEND: self._suspend,
            tape.WAKE: self._wake,
            tape.LIVE: self._live,
            tape.CALL: self._call,
            tape.STATION: self._station,
            tape.LOOK: self._look,
            tape.LEASES: self._leases,
            tape.ORDER: self._order,
            tape.STILL: self._still,
            tape.GO_ON: self._go_on,
            tape.RESET: self._reset,
            tape.COPY: self._copy,
            tape.RESTORE: self._restore,
            tape.UNINSTALL: self._uninstall,
            tape.FULL: self._full,
        }
        socket, head = self.device.socket, memoryview(bytearray(tape.HEADER_SIZE))
        while self._fill(head):
            operation, length, true = struct.unpack_from(tape.HEADER, head, 0)
            if length and not self._fill(self._view[:length]):
                return 1
            if self.recorder is not None:
                self._advance(true)
            if self._held is not None and operation in (tape.DATAGRAM, tape.NEIGHBOUR):
                if operation == tape.NEIGHBOUR or socket.wait(self._held.count):
                    self._held.add(operation, self._view[:length])
            elif operation == tape.DATAGRAM:
                if socket.offer(true, self.recorder.streams.overrun):
                    self.recorder.streams.datagram(self._payload, length)
                    self.datagrams += 1
            elif operation == tape.STOP:
                if self.recorder is not None:
                    self.recorder.close()
                self.device.show()
                return 0
            else:
                acts[operation](true, length)
        return 1

    def _neighbour(self, _true: int, length: int) -> None:
        self.recorder.streams.neighbour(self._payload, length)

    def _set_clock(self, true: int, _length: int) -> None:
        self.time.set(true, *struct.unpack_from(tape.CLOCKS, self._payload, 0))
        if self.recorder is not None and self._held is None:
            self._tick()

    def _confirm(self, _true: int, _length: int) -> None:
        self.recorder.confirm_time()
        self._tick()

    def _suspend(self, true: int, _length: int) -> None:
        self._asleep = True
        self.time.reach(true)
        self.time.sleep()

    def _wake(self, true: int, _length: int) -> None:
        self.time.reach(true)
        self.time.wake()

    def _still(self, _true: int, _length: int) -> None:
        if self.recorder is not None:
            self._held = Held()

    def _go_on(self, true: int, _length: int) -> None:
        """Read what has waited with the clocks of the last turn, as the loop does, then let that turn end."""
        held, self._held = self._held, None
        if held is None:
            return
        if self.device.socket.dropped and not self.device.socket.loss_free:
            self.recorder.streams.overrun()
        for operation, length in held.taken(self._view):
            if operation == tape.DATAGRAM:
                self.recorder.streams.datagram(self._payload, length)
                self.datagrams += 1
            else:
                self._neighbour(true, length)
        self._tell_moves()
        self._tick()

    def _live(self, _true: int, length: int) -> None:
        """The kernel lists its table, where the recorder has asked for that."""
        if self._listing or self.recorder.streams.live_request() is not None:
            # NLMSG_DONE, in either byte order
            self._listing = self._payload[length - 16] != 3 and self._payload[length - 15] != 3
            self.recorder.streams.live_table.datagram(self._payload, length)

    def _table(self, _true: int, _length: int) -> None:
        sysctl = self.device.sysctl
        sysctl["count"], sysctl["max"] = struct.unpack_from("<II", self._payload, 0)

    def _said(self, length: int) -> bytes:
        return bytes(self._payload[:length])

    def _call(self, _true: int, length: int) -> None:
        if self.recorder is not None:
            self._callers.portal(self.recorder, self._said(length))

    def _look(self, _true: int, length: int) -> None:
        if self.recorder is not None:
            self._callers.look(self.recorder, self._said(length))

    def _order(self, _true: int, length: int) -> None:
        if self.recorder is not None:
            self._callers.order(self.recorder, self._said(length))
        self._work()

    def _leases(self, _true: int, length: int) -> None:
        self.device.leases(self._said(length))

    def _station(self, _true: int, _length: int) -> None:
        mac, former, access_point = bytes(self._payload[:6]), self._payload[6], self._payload[7]
        self.device.radios.move(mac, access_point)
        self._moves.append((mac, former, access_point, self.time.wall() // 1000000000))
        if self._held is None:
            self._tell_moves()

    def _tell_moves(self) -> None:
        """Let the radios tell what a recorder that stood still hadn't read."""
        for move in self._moves:
            self.device.radios.tell(*move)
        self._moves.clear()

    def _boot(self, true: int, _length: int) -> None:
        boot = bytes(self._payload[_CLOCKS_SIZE : _CLOCKS_SIZE + 32]).decode()
        self.device.boot(boot, true, struct.unpack_from(tape.CLOCKS, self._payload, 0))
        self._start(true, 0)

    def _start(self, true: int, _length: int) -> None:
        self._listing = self._asleep = False
        self.recorder = self.device.start(true)
        self._tick()

    def _kill(self, _true: int, length: int) -> None:
        """End the recorder: in order, or as SIGKILL and a cut of power do.

        Then what it holds is unmapped without a word to the files.
        """
        recorder, self.recorder = self.recorder, None
        how = self._payload[0] if length else 0
        self._held = None
        self._moves.clear()
        if recorder is None:
            return  # it was killed before the power went
        if how == tape.IN_ORDER:
            self._end(recorder)
            return
        if self.device.radios is not None:
            self.device.radios.killed()
        if how == tape.POWER:
            self.device.cut(recorder)
        unmap(recorder)
        if how == tape.STOOD:
            expiry.destroy_due(self.device.root, self.time.boot, self.time.monotonic())

    def _end(self, recorder: "Any") -> None:
        """End the recorder in order; its memory goes as a process's does, the last datagram with it."""
        recorder.close()
        unmap(recorder)

    def _copy(self, _true: int, length: int) -> None:
        self.device.copy(self._number(), bytes(self._payload[2:length]).decode().split())

    def _full(self, _true: int, length: int) -> None:
        self.device.fill(self._said(length).decode().split())

    def _restore(self, _true: int, _length: int) -> None:
        self.device.restore(self._number())

    def _number(self) -> int:
        """Return the backup's number, which the payload begins with."""
        return struct.unpack_from("<H", self._payload, 0)[0]

    def _uninstall(self, true: int, length: int) -> None:
        """The package's removal: the recorder ends, `oubli forget everything` destroys what is kept, its files go."""
        device, paths = self.device, Paths(self.device.root)
        self._end(self.recorder)
        self.recorder = None
        expiry.erase_all(paths, device.root)  # stores lie at their usual places
        if device.radios is not None:
            device.radios.killed()
        if device.nat is not None:
            device.nat.remove()
        clear_run(paths)
        self._reset(true, length)

    def _reset(self, _true: int, _length: int) -> None:
        self.device.reset()

    def _listed(self, _true: int, _length: int) -> None:
        """The kernel ends each of the listings that the recorder has asked for."""
        done = struct.pack("IHHIIi", 20, 3, 2, 1, 0, 0)
        while self.recorder.streams.neighbour_request() is not None:
            self.recorder.streams.neighbour(done, 20)

    def _advance(self, true: int) -> None:
        """Let time pass, with the recorder's timers on the way, unless it stands still or sleeps."""
        while self._held is None and not self._asleep and self.due <= true:
            self.time.reach(self.due)
            self._tick()
        self.time.reach(true)

    def _tick(self) -> None:
        self.due = self.time.after(max(self.recorder.tick(), _LEAST))
        self.ticks += 1
        self._work()

    def _work(self) -> None:
        """Do what may wait, to its end: an erasure."""
        while self.recorder is not None and self.recorder.work():
            pass

    def _report(self, _true: int, _length: int) -> None:
        self._asleep = False
        self._tick()
        self._room.wipe()  # the recorder isn't to blame for what the tape said
        _FREED.overwrite()
        report = (
            ("true", self.time.now),
            ("ticks", self.ticks),
            ("datagrams", self.datagrams),
            ("dropped", self.device.socket.dropped),
            ("status", self.recorder.status()),
            ("refused", self._callers.refused()),
            ("blocks", self.device.nat.moves() if self.device.nat is not None else []),
        )
        self.device.show()  # before a word is out: whoever hears it looks at once
        json.dump(OrderedDict(report), sys.stdout)  # in parts: a small heap has no room for all of it at once
        print()
        sys.stdout.flush()
        self.device.socket.dropped = []


def main(words: "list[str]") -> int:
    """Run with the options of the command line (name, value, in any order); returns the exit status."""
    options = dict(zip(words[0::2], words[1::2]))
    with open(options["--sysctl"]) as file:
        sysctl, seed = json.loads(file.read()), options["--seed"]
    if "--variant" in options:
        from host_sim.faults import variants

        variants.VARIANTS[options["--variant"]][1](options["--root"])
    config, rate = configuration.load(options["--config"]), int(options["--rate"])
    chip = None
    if "attribution" in config.purposes or "billing" in config.purposes:
        from host_sim.driver.chip import Chip

        chip = Chip(options["--root"] + "/srv/oubli/vault", int(seed))
    random, table = SeededRandom(seed), SeededRandom(seed + ":table")
    if NAME == "cpython":
        memory.overwrite_freed = _FREED.ask
    return Stage(Device(config, options["--root"], sysctl, random, table, rate, say, chip)).play()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
