# SPDX-License-Identifier: Apache-2.0
"""The two daemons as processes: what they have open, what stays in memory, that nothing grows (L34-VI-2, EXP-1)."""

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from host_sim.checks import process_memory
from host_sim.checks.findings import Finding
from host_sim.venue.device_clock import SECOND
from host_sim.venue.truth import Kept
from host_sim.venue.world import World

MOST_FILES = 4000  # below a device's root, messages that wait for the broker included
MOST_OCTETS = 64 << 20  # of them, tmpfs and flash together
GROWTH = 48 << 20  # octets by which the recorder's resident memory may grow after its first hours
_WARM = 4  # full looks until the recorder has its size
_CAME = 4  # terminals that the forwarder's memory is searched for
_RECORDERS = ("vault", "keys", "terminals", "clock", "control")
# Of a record, as it is told to who looks; octets of a match, at most
_ROW, _ROW_OCTETS = re.compile(rb'"source_port": ?[0-9]{1,5}'), 24
# Connections: that are remembered, that memory is searched for, that may be left in it
_TOLD, _CANARIES, _LAST = 2000, 12, 2
_KINDS = ("netlink", "unix", "tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet")


class Processes:
    """Looks at the daemons of the device below `root`; `tmpfs` is the recorder's folder, `spool` the messages'."""

    def __init__(self, root: Path, tmpfs: str, spool: Path, world: World) -> None:
        self.root, self.tmpfs, self.spool, self.world, self.truth = root, tmpfs, spool, world, world.truth
        self.separation = Finding(
            "separation",
            "the forwarder holds nothing of the vault and no netlink socket, the recorder no network socket",
        )
        self.forgotten = Finding(
            "forgotten", "nothing of what was looked at, erased or has expired stays in the recorder's memory"
        )
        self.bounded = Finding("bounded", "files and memory stay within their bounds")
        self.sizes = (0, 0)  # the recorder's resident memory after its first hours, and at most
        self._memory: list[int] = []
        self._looked = 0  # how often somebody had looked, when memory was last searched
        self._told: deque[Kept] = deque(maxlen=_TOLD)  # the recorder was told of these, oldest first
        self._erased = 0  # everything of before was, true ns

    def look(self, now: int, daemons: dict[str, int]) -> None:
        """Look at all of it at a true time; `daemons`: name to process id."""
        self._look_at_processes(daemons)
        self._look_at_bounds(now, daemons["recorder"])

    def _look_at_processes(self, daemons: dict[str, int]) -> None:
        """Who holds what: the forwarder nothing of the recorder's, neither what isn't its own (L34-VI-2)."""
        for name, pid in daemons.items():
            held = _held(pid)
            self.separation.seen += len(held)
            if name == "forwarder" and any(f"{self.tmpfs}/{part}" in one for one in held for part in _RECORDERS):
                self.separation.wrong.append("the forwarder has a file of the recorder open")
            families = _families(held)
            if name == "forwarder" and "netlink" in families:
                self.separation.wrong.append("the forwarder has a netlink socket")
            if name == "recorder" and families - {"netlink", "unix"}:
                self.separation.wrong.append("the recorder has a network socket")

    def look_into_forwarder(self, pid: int) -> None:
        """The forwarder's memory has nothing of a terminal (L34-VI-2): of the last, MAC raw and as text, IPv6 raw."""
        needles = []
        for mac in list(self.truth.terminals)[-_CAME:]:
            # Four octets may be there by chance
            addresses = [address for address in self.truth.terminals[mac] if len(address) == 16]
            needles += [mac, mac.hex(":").encode(), *addresses[:_CAME]]
        self.separation.seen += len(needles)
        if needles and process_memory.holds(pid, needles):
            self.separation.wrong.append("the forwarder's memory has a terminal's address")

    def tell(self, records: list[Kept]) -> None:
        """The recorder was told of these."""
        self._told += records

    def erase(self, now: int) -> None:
        """Everything was erased at a true time."""
        self._erased = now

    def look_into_memory(self, now: int, recorder: int) -> None:
        """After each look and erasure, memory has no row of what was shown and no connection that has expired (EXP-1).

        A row says where a port stood, and the program itself never does. Of a connection or two the decoder and the
        interpreter's stack may still have the last that it was told of (LIMITS.md).
        """
        self.forgotten.seen += 1
        if self.world.events.looks != self._looked:
            self._looked = self.world.events.looks
            rows = process_memory.found(recorder, _ROW, _ROW_OCTETS)
            self.forgotten.wrong += [f"{len(rows)} rows of what was looked at"] if rows else []
            lives = now - self.world.scenario.gateway.lifetime * SECOND
            over = [one for one in self._told if one.ended < lives or one.notice.arrived <= self._erased]
            gone = [one.start for one in over[-_CANARIES:]]
            left = process_memory.numbers(recorder, gone)
            self.forgotten.seen += len(gone)
            self.forgotten.wrong += (
                [f"{len(left)} connections of {len(gone)} that have expired"] if len(left) > _LAST else []
            )

    def _look_at_bounds(self, now: int, recorder: int) -> None:
        files = octets = waiting = 0
        for path in self.root.rglob("*"):
            try:
                size = path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
            files += 1
            octets += size
            waiting += size if path.parent.name == "oubli-spool" else 0
        oldest = min((int(name[:12]) for name in _names(self.spool)), default=now // SECOND)
        if now // SECOND - oldest > self.world.scenario.gateway.spool_days * 86400 + 3700 and self.world.days.trusted:
            self.bounded.wrong.append("a message waits for longer than it may")
        self.bounded.seen += files
        if files > MOST_FILES or octets > MOST_OCTETS:
            self.bounded.wrong.append(f"{files} files of {octets} octets")
        # the recorder trims on the hour: what an agent-day's end adds within one is allowed
        if waiting > self.world.scenario.gateway.spool_bytes + 28 * 320:
            self.bounded.wrong.append(
                f"{waiting} octets wait in the spool, {self.world.scenario.gateway.spool_bytes} are allowed"
            )
        resident = int(Path(f"/proc/{recorder}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if len(self._memory) < _WARM:
            self._memory.append(resident)
        elif resident > max(self._memory) + GROWTH:
            self.bounded.wrong.append(f"the recorder grew by {(resident - max(self._memory)) >> 20} MiB")
        self.sizes = (max(self._memory), max(self.sizes[1], resident))


def _names(spool: Path) -> Iterator[str]:
    """Yield the names of messages that wait."""
    return (path.name for path in spool.glob("[0-9]*-*-*"))


def _held(pid: int) -> list[str]:
    """Return what a process has open."""
    held = []
    for handle in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            held.append(str(handle.readlink()))
    return held


def _families(held: list[str]) -> set[str]:
    """Return the families of a process's open sockets; one that is neither bound nor connected is "other"."""
    inodes = {one[8:-1] for one in held if one.startswith("socket:[")}
    found = set()
    for kind in _KINDS:
        if not inodes:
            break
        with contextlib.suppress(OSError):
            for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
                if known := inodes.intersection(row.split()):
                    found.add(kind)
                    inodes -= known
    return found | {"other" for _ in inodes}
