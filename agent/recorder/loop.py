# SPDX-License-Identifier: Apache-2.0
"""The recorder's process: its sockets, its turns and its end, around the `Recorder` of agent.recorder.recorder.

Netlink and unix sockets only (L34-VI-2). A turn reads what is ready, bounded for each stream, and lets the recorder do
what is due. Then it asks the kernel for what the recorder wants listed. A turn that doesn't end is ended by `alarm`.
"""

import errno
import os
import sys
import time

# First, for MicroPython's stack on MIPS holds few imports within imports: these have the longest chains below them.
import agent.capture.connections
import agent.vault.ring

# isort: split
import agent.capture.lan
import agent.recorder.fast_path  # noqa: F401
from agent.base.paths import Paths, make_folders
from agent.capture import neighbours
from agent.capture.netlink import RECEIVE_BUFFER
from agent.control import calls
from agent.control.server import Server
from agent.outbox import jitter
from agent.recorder.recorder import Recorder
from agent.runtime import files, memory, process, sockets
from agent.runtime.clocks import slept
from agent.runtime.libc import LIBC

GATHER = 0.005  # seconds in which ends gather for one turn; even a flush makes fewer in it than RECEIVE_BUFFER holds
BATCH = 128
CHANGES = 64  # of neighbours at a time, or lists of 80 each: a quarter of a second on the slowest processor
CHANGING = 500000000  # ns of a turn in which more of them are read
DUMP_BATCH = 4  # datagrams of a dump in one turn of the loop: events come first
GROUP_DESTROY = 4


def run(config: "Config", root: str, source: "TimeSource") -> int:
    """Run the daemon until SIGTERM; returns the exit code."""
    process.harden()
    paths = Paths(root)
    make_folders(paths)
    if not files.hold_folder(paths.run.folder):
        # It would close the other's open segments and take over its socket.
        sys.stderr.write("oubli recorder: another recorder runs below this root\n")
        return 1
    process.end_at_alarm()
    stop = process.stop_descriptor()
    events, table, ruleset, routes = _sockets()
    poll = sockets.Poll()
    bus, nat = _bus(paths.ubus, poll), _nat(config, paths)
    switch, drops = lambda on: sockets.loss_free(events, on), lambda: sockets.drops(events)
    recorder = Recorder(config, root, source, log=_log, slept=slept, switch=switch, drops=drops, bus=bus, nat=nat)
    for descriptor in (stop, routes, table, ruleset):
        poll.add(descriptor)
    peers = calls.Peers(LIBC.call("geteuid"), paths.root + "/etc")
    server = Server(
        paths.run.socket, poll, peers, lambda line, roles: calls.answer(recorder, line, roles), recorder.orders.children
    )
    heartbeat = process.Heartbeat(paths.run.heartbeat)
    streams = _streams(recorder.streams, recorder.rules, routes, events, table, ruleset)
    neighbours, others = streams[:1], streams[1:]
    datagram = memory.scratch(sockets.ROOM)
    inbox = sockets.Inbox(events, datagram.view)
    late: "list[int]" = []  # neighbours, of whom more waits; a flood of them holds up nothing else
    behind = late
    wait, deaf = 0, True  # deaf: events wait in the kernel until the LAN is known
    while True:
        LIBC.call("alarm", jitter.HANG)
        ready = poll.wait(wait)
        if events in ready and not behind and not late:
            # What ends in the next moment is read in the same turn: turns cost more than events do.
            time.sleep(GATHER)
        polled = source.monotonic()
        ready = poll.wait(0)
        # What is read next was stamped by both clocks, or ended by a timer that stood still.
        if recorder.clock.lines.moved() or recorder.streams.timeouts.woke():
            recorder.tick()
        late = _hear(neighbours, ready, inbox, source, polled)
        recorder.streams.neighbours_read(polled, whole=not late)
        behind = _read(others, ready, inbox)
        if ready:
            datagram.wipe()  # nothing of a message stays once it is handled (EXP-2)
        now = source.monotonic()
        for descriptor in ready:
            if descriptor == stop:
                _end(recorder, server, paths)
                return 0
            if not server.ready(descriptor, now):
                recorder.ready(descriptor)
        server.tick(now)
        if now >= recorder.turn.due:
            recorder.tick()
        wait = 0 if not behind and recorder.work() else max(0, recorder.turn.due - now) // 1000000
        _ask(
            (routes, recorder.streams.neighbour_request()),
            (table, recorder.streams.live_request()),
            (ruleset, recorder.streams.policy_request()),
        )
        if deaf and recorder.streams.introduced:
            if recorder.refused():
                server.close()
                return 1
            recorder.streams.begin_anyway()
            poll.add(events)
            server.open()  # whoever is answered can rely on it: what begins now has its terminal
            deaf = False
        heartbeat.beat(now)


def _log(text: str) -> None:
    process.log("oubli recorder: " + text)


def _end(recorder: Recorder, server: Server, paths: Paths) -> None:
    recorder.close()
    server.close()
    files.remove(paths.run.socket)
    files.remove(paths.run.heartbeat)
    _log("stopped")


def _sockets() -> "tuple[int, int, int, int]":
    """Return the netlink sockets: ends of connections, the live table, the ruleset, addresses and neighbours."""
    return (
        sockets.netlink(sockets.NETLINK_NETFILTER, GROUP_DESTROY, RECEIVE_BUFFER),
        sockets.netlink(sockets.NETLINK_NETFILTER, 0, RECEIVE_BUFFER >> 4),
        sockets.netlink(sockets.NETLINK_NETFILTER, 0, RECEIVE_BUFFER >> 4),
        sockets.netlink(sockets.NETLINK_ROUTE, neighbours.GROUPS, RECEIVE_BUFFER >> 2),
    )


def _bus(path: str, poll: "sockets.Poll") -> "Callable[[Stations, Callable[[], bool]], Bus]":
    """Return what makes the connection to ubus, for who follows stations."""

    def bus(stations: "Stations", wanted: "Callable[[], bool]") -> "Bus":
        from agent.purposes.location.bus import Bus

        return Bus(path, poll, stations, wanted)

    return bus


def _nat(config: "Config", paths: Paths) -> "Any":
    """Return the kernel's table of port blocks where `attribution` needs it, else None; one left over goes."""
    section = config.purposes.get("attribution")
    wanted = section is not None and section.mode == "blocks"
    if not wanted and not files.exists(paths.run.blocks):
        return None
    from agent.purposes.attribution.nftables import Refused, Table

    table = Table(sockets.netlink(sockets.NETLINK_NETFILTER, 0, 65536), [])
    if wanted:
        return table
    try:
        table.remove()
        os.remove(paths.run.blocks)
    except Refused:
        pass
    return None


def _ask(*requests: "tuple[int, bytes | None]") -> None:
    """Send what is due on each socket."""
    for descriptor, request in requests:
        if request is not None:
            sockets.request(descriptor, request)


def _streams(
    heard: "Streams", rules: "Callable[[Any, int], None]", routes: int, events: int, table: int, ruleset: int
) -> "Sequence[Stream]":
    """Return what is read, in order: neighbours (known before connections end), events, the two lists.

    Events wait until the LAN is listed, the dump for a turn that has left no event waiting.
    """
    return (
        (routes, None, heard.neighbour, heard.neighbour_overrun, CHANGES, lambda _behind: True),
        (events, heard.fast_path, heard.event, heard.overrun, BATCH, lambda _behind: heard.introduced),
        (table, None, heard.live_table.datagram, heard.live_table.overrun, DUMP_BATCH, lambda behind: not behind),
        (ruleset, None, rules, heard.timeouts.policies.overrun, DUMP_BATCH, lambda behind: not behind),
    )


def _hear(
    neighbours: "Sequence[Stream]", ready: "list[int]", inbox: "Any", source: "TimeSource", polled: int
) -> "list[int]":
    """Read all that waits of neighbours, as long as the turn that began at `polled` has time for it; as `_read`."""
    late = _read(neighbours, ready, inbox)
    while late and source.monotonic() - polled < CHANGING:
        late = _read(neighbours, ready, inbox)
    return late


def _read(streams: "Sequence[Stream]", ready: "list[int]", inbox: "Any") -> "list[int]":
    """Read each stream that is ready, in their order; each says itself if it may be read with a former one behind.

    Returns those in which more may wait.
    """
    behind: "list[int]" = []
    for descriptor, fast_path, take, overrun, batch, may in streams:
        if descriptor in ready and may(len(behind) > 0) and _drain(descriptor, inbox, fast_path, take, overrun, batch):
            behind.append(descriptor)
    return behind


def _drain(
    descriptor: int,
    inbox: "Any",
    fast_path: "FastPath | None",
    take: "Callable[[Any, int], None]",
    overrun: "Callable[[], None]",
    batch: int,
) -> bool:
    """Hand on at most `batch` datagrams, and whether the kernel says that it dropped some; True where more may wait."""
    while batch:
        if fast_path is None:
            batch -= 1
            size = inbox.of(descriptor)
        else:
            # Nearly all are handled there; it comes back with one that isn't, or with nothing.
            size = fast_path.run(inbox, batch)
            batch = fast_path.left
        if size > 0:
            take(inbox.view, size)
        elif size == -errno.EAGAIN:
            return False
        elif size == -errno.ENOBUFS:
            overrun()
        elif size:
            raise OSError(-size, "")
    return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    from agent.base.clock import TimeSource
    from agent.config.config import Config
    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
    from agent.recorder.fast_path import FastPath
    from agent.recorder.streams import Streams

    # Descriptor; the fast path; what takes a datagram, what is told of ENOBUFS; datagrams
    # in one turn; whether it may be read now.
    Stream = tuple[int, "FastPath | None", Callable[[Any, int], None], Callable[[], None], int, Callable[[bool], bool]]
