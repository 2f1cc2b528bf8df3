# SPDX-License-Identifier: Apache-2.0
"""The stage: the real recorder, under the interpreter that is tested, with a tape for a kernel and a clock of its own.

Reads a tape (host_sim.venue.tape) from standard input and hands each datagram to `agent.recorder.recorder.Recorder` at
its virtual time. Between two entries the clock stops wherever the recorder asked to be called, as the daemon's poll
would, so that its timers run at the very times they would on a device. A REPORT entry prints one line of JSON and waits
for nothing: whoever feeds the tape may hold the next entry back while looking at the files.

    python|micropython -m host_sim.driver.stage --config FILE --root DIR --sysctl FILE
    --seed N --rate EVENTS [--variant NAME] < TAPE

`--sysctl` is a file of JSON: MicroPython ends where an argument is longer than 255 octets. A variant is a recorder
broken on purpose (host_sim.faults.variants), which the auditor must find out.
"""

import json
import os
import struct
import sys
from collections import OrderedDict

from agent.base.paths import Paths
from agent.config import config as configuration
from agent.control import calls, server
from agent.recorder.recorder import Recorder
from agent.runtime import files, memory, process, sockets
from agent.runtime.libc import LIBC
from agent.summary.noise import Sampler
from agent.vault import expiry
from host_sim.driver import first_boot
from host_sim.driver.killed import unmap
from host_sim.driver.stage_parts import Held, SeededRandom, SeededSodium, Socket, Table, VirtualTime
from host_sim.driver.trees import copy, empty
from host_sim.venue import tape

_LEAST = 1000000  # ns: a recorder that asks to be called at once is called a millisecond later
_LOOKS = 60  # s that a look may take
_BUFFER = 32768  # octets: room for a datagram, as much as the kernel ever fills


_CLOCKS_SIZE = struct.calcsize(tape.CLOCKS)


class Stage:
    """Drives one recorder after the other along one tape."""

    def __init__(
        self,
        config: "Config",
        root: str,
        sysctl: "dict[str, int]",
        random: "Callable[[int], bytes]",
        table: "Callable[[int], bytes]",
        rate: int,
        chip: "Any" = None,
    ) -> None:
        self.config, self.root, self.sysctl = config, root, sysctl
        self._sampler, self._sodium = Sampler(random), SeededSodium(table)
        self.time = VirtualTime()
        self.socket = Socket(rate)
        self.recorder: "Any" = None  # made when the first BOOT entry sets its clocks
        self.nat: "Any" = None  # the kernel's table of port blocks, where there is one
        self.radios: "Any" = None
        self.chip = chip  # the flash of the custodian's stores, where there are any
        self._refused: "list[list[str]]" = []  # calls, and why
        self.due = 0
        self._asleep = self._listing = self._installed = False
        self._held: "Held | None" = None  # what the kernel keeps for a recorder that stands still
        self.ticks = self.datagrams = 0
        self._head = memoryview(bytearray(tape.HEADER_SIZE))
        self._room = memory.scratch(_BUFFER)  # outside the small heap
        self._payload = self._room.view
        self._view = memoryview(self._payload)
        source = sys.stdin.buffer
        self._source: "Any" = getattr(source, "raw", source)  # what was read isn't to stay in a buffer of CPython's

    def log(self, text: str) -> None:
        """Take a line of the recorder's log."""
        print(text, file=sys.stderr)

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
        }
        socket = self.socket
        while self._fill(self._head):
            operation, length, true = struct.unpack_from(tape.HEADER, self._head, 0)
            if length and not self._fill(self._view[:length]):
                return 1
            if self.recorder is not None:
                self._advance(true)
            if self._held is not None and operation in (tape.DATAGRAM, tape.NEIGHBOUR):
                if operation == tape.NEIGHBOUR or socket.wait(self._held.count):
                    self._held.add(operation, self._view[:length])
            elif operation == tape.DATAGRAM:
                if socket.offer(true, self.recorder.overrun):
                    self.recorder.datagram(self._payload, length)
                    self.datagrams += 1
            elif operation == tape.STOP:
                if self.recorder is not None:
                    self.recorder.close()
                if self.chip is not None:
                    self.chip.show()
                return 0
            else:
                acts[operation](true, length)
        return 1

    def _neighbour(self, _true: int, length: int) -> None:
        self.recorder.neighbour(self._payload, length)

    def _set_clock(self, true: int, _length: int) -> None:
        self.time.set(true, *struct.unpack_from(tape.CLOCKS, self._payload, 0))
        if self.recorder is not None and self._held is None:
            self._tick()

    def _confirm(self, _true: int, _length: int) -> None:
        self.recorder.confirm_time()
        self._tick()

    def _suspend(self, _true: int, _length: int) -> None:
        self._asleep = True

    def _still(self, _true: int, _length: int) -> None:
        if self.recorder is not None:
            self._held = Held()

    def _go_on(self, true: int, _length: int) -> None:
        """Read what has waited with the clocks of the last turn, as the loop does, then let that turn end."""
        held, self._held = self._held, None
        if held is None:
            return
        if self.socket.dropped and not self.socket.loss_free:
            self.recorder.overrun()
        for operation, length in held.taken(self._view):
            if operation == tape.DATAGRAM:
                self.recorder.datagram(self._payload, length)
                self.datagrams += 1
            else:
                self._neighbour(true, length)
        self._tick()

    def _live(self, _true: int, length: int) -> None:
        """The kernel lists its table, where the recorder has asked for that."""
        if self._listing or self.recorder.live_request() is not None:
            # NLMSG_DONE, in either byte order
            self._listing = self._payload[length - 16] != 3 and self._payload[length - 15] != 3
            self.recorder.live(self._payload, length)

    def _table(self, _true: int, _length: int) -> None:
        self.sysctl["count"], self.sysctl["max"] = struct.unpack_from("<II", self._payload, 0)

    def _call(self, _true: int, length: int) -> None:
        """The portal, on the gateway itself, says something on the control socket; what is refused is reported."""
        if self.recorder is None:
            return
        answer = calls.answer(self.recorder, bytes(self._payload[:length]), (calls.PORTAL, calls.ANYONE))
        if isinstance(answer, dict) and "error" in answer:
            self._refused.append([json.loads(bytes(self._payload[:length]))["call"], answer["error"]])

    def _look(self, _true: int, length: int) -> None:
        """A guest looks at what is held on the own terminal."""
        self._ask(length, (calls.PORTAL, calls.ANYONE))

    def _order(self, _true: int, length: int) -> None:
        """Root asks for something; what is refused is reported."""
        answer = self._ask(length, (calls.ROOT,))
        if answer is not None and "error" in answer:
            self._refused.append([json.loads(bytes(self._payload[:length]))["call"], answer["error"]])
        self._work()

    def _ask(self, length: int, roles: "tuple[str, ...]") -> "dict[str, Any] | None":
        """Ask the recorder.

        What it answers by reading is told by a copy of this process, as the daemon's would be, and wiped.
        """
        if self.recorder is None:
            return None
        answer = calls.answer(self.recorder, bytes(self._payload[:length]), roles)
        if isinstance(answer, dict):
            return answer  # of a look: the recorder doesn't know who has the address
        path = self.root + "/var/run/oubli/look"
        listener = sockets.unix_server(path)
        reader = sockets.unix_client(path)
        writer = sockets.accept(listener)
        copy = process.fork(_LOOKS)
        if not copy:
            server.tell(writer, answer, [])
        sockets.close(writer)
        poll, part = sockets.Poll(), memory.scratch(_BUFFER)
        poll.add(reader)
        while poll.wait(_LOOKS * 1000) and LIBC.function("recv")(reader, part.address, part.size, 0) > 0:
            part.wipe()
        part.close()
        while not process.ended(copy):
            poll.wait(1)
        for descriptor in (reader, listener):
            sockets.close(descriptor)
        os.remove(path)
        return None

    def _leases(self, _true: int, length: int) -> None:
        """The DHCP server has written its file."""
        files.make_folder(self.root + "/tmp", 0o755)  # noqa: S108 (below the device's root)
        # As above
        files.write_atomic(self.root + "/tmp/dhcp.leases", bytes(self._payload[:length]), durable=False)  # noqa: S108
        if self.recorder is not None and self._held is None:
            self.recorder.orders.read_leases()

    def _station(self, _true: int, _length: int) -> None:
        self.radios.move(bytes(self._payload[:6]), self._payload[6], self._payload[7], self.time.wall() // 1000000000)

    def _boot(self, true: int, _length: int) -> None:
        """Power: tmpfs is empty, the clocks show what they can."""
        self.time.boot = bytes(self._payload[_CLOCKS_SIZE : _CLOCKS_SIZE + 32]).decode()
        self.time.set(true, *struct.unpack_from(tape.CLOCKS, self._payload, 0))
        for folder in ("/var", "/tmp"):  # noqa: S108 (as above)
            empty(self.root + folder)
        self.nat = self.blocks()
        if "location" in self.config.purposes:
            from host_sim.venue.radios import Radios

            self.radios = Radios()
        self._start(true, 0)

    def blocks(self) -> "Any":
        """Return the kernel's table of port blocks, empty; None where no purpose needs one."""
        attribution = self.config.purposes.get("attribution")
        return Table(lambda: self.time.now) if attribution is not None and attribution.mode == "blocks" else None

    def _start(self, true: int, _length: int) -> None:
        self.time.reach(true)
        self.socket.open()
        self._listing = False
        if not self._installed:
            first_boot.new_device(self.root)
            self._installed = True
        self.recorder = Recorder(
            self.config,
            self.root,
            self.time,
            sampler=self._sampler,
            log=self.log,
            sysctl=self.sysctl.get,
            network=dict,
            switch=self.socket.switch,
            drops=lambda: self.socket.drops & 0xFFFFFFFF,
            nat=self.nat,
            bus=self.radios.bus if self.radios is not None else _no_bus,
            random=bytes,  # zeros: what has closed is drawn at once, and a day's truth is that of its hours
        )
        # A device has no such door: its key is never told
        self.recorder.terminals._sodium = self._sodium  # noqa: SLF001
        self._tick()

    def _kill(self, _true: int, length: int) -> None:
        """End the recorder: in order, or as SIGKILL and a cut of power do.

        Then what it holds is unmapped without a word to the files.
        """
        recorder, self.recorder = self.recorder, None
        how = self._payload[0] if length else 0
        self._held = None
        if recorder is None:
            return  # it was killed before the power went
        if how == tape.IN_ORDER:
            recorder.close()
            return
        if self.radios is not None:
            self.radios.killed()
        if self.chip is not None and how == tape.POWER:
            self.chip.cut(lambda: [store.seal() for store in recorder.stores.values() if hasattr(store, "seal")])
        unmap(recorder)
        if how == tape.STOOD:
            expiry.destroy_due(self.root, self.time.boot, self.time.monotonic())

    def _copy(self, _true: int, length: int) -> None:
        for name in bytes(self._payload[2:length]).decode().split():
            copy(Paths(self.root).flash + "/" + name, self._backup() + "/" + name)

    def _restore(self, _true: int, _length: int) -> None:
        for name in os.listdir(self._backup()):
            copy(self._backup() + "/" + name, Paths(self.root).flash + "/" + name)

    def _backup(self) -> str:
        """Return where the copy that the payload numbers lies: beside the device, with a folder of its own."""
        (number,) = struct.unpack_from("<H", self._payload, 0)
        path = self.root + "." + str(number)
        files.make_folder(path, 0o700)
        return path

    def _uninstall(self, _true: int, _length: int) -> None:
        """The package's removal: the recorder ends, `oubli forget everything` destroys what is kept, its files go."""
        self.recorder.close()
        self.recorder, paths = None, Paths(self.root)
        expiry.erase_all(paths, self.root)  # stores lie at their usual places
        if self.radios is not None:
            self.radios.killed()
        if self.nat is not None:
            self.nat.remove()
        for place in (paths.run, paths.live):
            files.clear(place)
        self._reset(_true, _length)

    def _reset(self, _true: int, _length: int) -> None:
        """Flash is emptied, and nobody says that the device is new; messages that wait go on waiting."""
        if self.chip is not None:
            self.chip.empty()
        empty(self.root + "/srv/oubli", ("bundles", "vault"))

    def _listed(self, _true: int, _length: int) -> None:
        """The kernel ends each of the listings that the recorder has asked for."""
        done = struct.pack("IHHIIi", 20, 3, 2, 1, 0, 0)
        while self.recorder.neighbour_request() is not None:
            self.recorder.neighbour(done, 20)

    def _advance(self, true: int) -> None:
        """Let time pass, with the recorder's timers on the way, unless it stands still."""
        if self._held is not None:
            self.time.reach(true)
            return
        if self._asleep:
            self._asleep = False
            self.time.reach(true)
            self._tick()
        while self.due <= true:
            self.time.reach(self.due)
            self._tick()
        self.time.reach(true)

    def _tick(self) -> None:
        self.due = self.time.now + max(self.recorder.tick(), _LEAST)
        self.ticks += 1
        self._work()

    def _work(self) -> None:
        """Do what may wait, to its end: an erasure."""
        while self.recorder is not None and self.recorder.work():
            pass

    def _report(self, _true: int, _length: int) -> None:
        self._tick()
        self._room.wipe()  # the recorder isn't to blame for what the tape said
        report = (
            ("true", self.time.now),
            ("ticks", self.ticks),
            ("datagrams", self.datagrams),
            ("dropped", self.socket.dropped),
            ("status", self.recorder.status()),
            ("refused", self._refused),
            ("blocks", self.nat.moves() if self.nat is not None else []),
        )
        if self.chip is not None:
            self.chip.show()  # before a word is out: whoever hears it looks at once
        json.dump(OrderedDict(report), sys.stdout)  # in parts: a small heap has no room for all of it at once
        print()
        sys.stdout.flush()
        self.socket.dropped, self._refused = [], []


def _no_bus(_stations: "Any", _wanted: "Any") -> None:
    """Stand in for the radios of a gateway that listens to none."""


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
    return Stage(
        config, options["--root"], sysctl, SeededRandom(seed), SeededRandom(seed + ":table"), rate, chip
    ).play()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.config.config import Config

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
