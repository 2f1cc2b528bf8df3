# SPDX-License-Identifier: Apache-2.0
"""Daemons broken on purpose, one fault each: what the lab's checks must catch (negative controls).

A check that has never failed proves nothing. Each variant puts in one thing that the law forbids, or that would make
the numbers wrong, and the lab is expected to notice. A row names the daemon and the function that breaks it, which is
called with the root folder before the daemon runs. A strain is put in the same way, but is no fault. Runs on
MicroPython too.
"""

import socket
import sys
import time

from agent.runtime import files, sockets
from agent.runtime.libc import LIBC, native

HANG = 3  # seconds
_MONOTONIC, _PROCESSOR = 1, 2  # CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID
_NAP = 2000000  # ns: a shorter sleep isn't worth its call
_PACKET = 17  # AF_PACKET
_held: "list[socket.socket]" = []


def _swap(owner: "Any", name: str, make: "Callable[[Any], Any]") -> None:
    """Put `make(former)` in the place of a function of a class or a module."""
    setattr(owner, name, make(getattr(owner, name)))


def _udp_socket(_root: str) -> None:
    """Hold a network socket (L34-VI-2)."""
    _held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


def _brief_packet_socket(_root: str) -> None:
    """Ask for a packet socket and let go of it at once: nothing for /proc to show (L34-I-2)."""
    try:
        sockets.close(LIBC.call("socket", _PACKET, 3, 0))
    except OSError:
        pass


def _forwarder_netlink(_root: str) -> None:
    """Let the process that holds the network socket listen to the kernel (L34-VI-2)."""
    sockets.netlink(sockets.NETLINK_ROUTE, 0, 65536)


def _log_mac(_root: str) -> None:
    """Say on the log whom the recorder learned of (L34-II-5)."""
    from agent.capture.address_table import AddressTable

    def make(learn: "Any") -> "Any":
        def say(self: "Any", address: bytes, mac: bytes, now: int, **known: bool) -> None:
            sys.stderr.write("oubli recorder: learned " + ":".join("%02x" % octet for octet in mac) + "\n")
            learn(self, address, mac, now, **known)

        return say

    _swap(AddressTable, "learn", make)


def _keep_destination(root: str) -> None:
    """Copy every message about a connection that ended, destination included, to a file (L34-VI-1)."""

    def make(more: "Any") -> "Any":
        def keep(self: "Any") -> int:
            size: int = more(self)
            if size > 0:
                with open(root + "/var/run/oubli-live/notes", "ab") as file:
                    file.write(bytes(self.view[:size]))
            return size

        return keep

    for inbox in (sockets.Inbox, sockets.Handed):  # the kernel's, and where a simulator hands them on
        _swap(inbox, "more", make)


def _plainly() -> None:
    """Let each connection go through the modules: the fast path would pass by what is broken there."""
    from agent.recorder.pipeline import Pipeline

    _swap(Pipeline, "plain", lambda _: lambda _self: True)


def _stop_is_end(_root: str) -> None:
    """Take the moment the entry timed out for the end of the connection (EXP-1)."""
    from agent.capture.timeouts import Timeouts

    _swap(Timeouts, "end", lambda _: lambda _self, connection: connection.stop)
    _plainly()


def _on_connection(change: "Callable[[Connection, int], Any]") -> None:
    """Hand on what `change(connection, number)` makes of each connection; None drops it."""
    from agent.recorder.pipeline import Pipeline

    count = [0]

    def make(handle: "Any") -> "Any":
        def take(self: "Any", connection: "Connection") -> None:
            count[0] += 1
            changed = change(connection, count[0])
            if changed is not None:
                handle(self, changed)

        return take

    _swap(Pipeline, "connection", make)
    _plainly()


def _lose_one(_root: str) -> None:
    """Lose the fiftieth connection without counting it."""
    _on_connection(lambda connection, number: connection if number != 50 else None)


def _port_before_translation(_root: str) -> None:
    """Write the terminal's port where the public one belongs."""

    class Untranslated:
        def __init__(self, connection: "Connection") -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> int:
            return getattr(self._connection, "source_port" if name == "translated_port" else name)

    _on_connection(lambda connection, _number: Untranslated(connection))


def _keep_keys(_root: str) -> None:
    """Remove the files at their deadline but leave the keys in the ring (EXP-2)."""
    from agent.vault import keys

    def make(_destroy: "Any") -> "Any":
        def release(_self: "Any", slot: "keys.Slot") -> None:
            slot.state = keys.FREE
            slot.save()

        return release

    _swap(keys.KeyRing, "destroy", make)


def _forget_nothing(_root: str) -> None:
    """Let every deadline pass (EXP-4)."""
    from agent.vault import keys, ring

    _swap(ring, "due", lambda _: lambda _slot, _wall, _monotonic: False)
    _swap(keys.KeyRing, "deadline", lambda _: lambda _self, _index: (1 << 62, 1 << 62))


def _draw_again(_root: str) -> None:
    """Draw a slot's noise anew each second: averages give the truth away (ANON-5)."""
    from agent.summary.day import AgentDay
    from agent.summary.terminals import Terminals

    def make(tick: "Any") -> "Any":
        def anew(self: "Any", wall: int, monotonic: int, *, trusted: bool) -> None:
            self._done = 0  # nothing that has closed is drawn as yet
            tick(self, wall, monotonic, trusted=trusted)

        return anew

    _swap(AgentDay, "tick", make)
    _swap(Terminals, "drawn", lambda _: lambda _self, _place: False)


def _edit_messages(_root: str) -> None:
    """Let the forwarder shorten what it sends (ANON-4)."""
    from agent.forwarder import broker_connection

    def make(publish: "Any") -> "Any":
        def shorten(self: "Any", topic: str, payload: bytes, retain: bool = False) -> None:
            publish(self, topic, payload.rstrip(), retain)

        return shorten

    _swap(broker_connection.Client, "publish", make)  # type: ignore[attr-defined]


def _slow(_root: str) -> None:
    """Take ten times as long for an event as the processor time that handling it takes."""
    debt, begun = [0], [0]

    def make(more: "Any") -> "Any":
        def slowly(self: "Any") -> int:
            # From what was received to the question for more.
            debt[0] += 9 * (native.clock(_PROCESSOR) - begun[0]) if begun[0] else 0
            if debt[0] > _NAP:
                time.sleep(debt[0] / 1000000000)
                debt[0] = 0
            size: int = more(self)
            begun[0] = native.clock(_PROCESSOR) if size > 0 else 0
            return size

        return slowly

    _swap(sockets.Inbox, "more", make)


def _hang(root: str) -> None:
    """Hang once the file `hang` is there, and be found out in seconds, where a device takes half a minute."""
    from agent.outbox import jitter
    from agent.recorder.recorder import Recorder
    from agent.runtime import process

    jitter.HANG = HANG
    process._BEAT = 200000000  # noqa: SLF001 (in ns; oubli-watch looks more often here)
    mark = root + "/var/run/oubli/hang"

    def make(tick: "Any") -> "Any":
        def stuck(self: "Any") -> int:
            if files.exists(mark):
                files.remove(mark)
                while True:
                    pass
            return tick(self)

        return stuck

    _swap(Recorder, "tick", make)


def _turns(root: str) -> None:
    """Note each turn of the loop of a millisecond or more: its begin (CLOCK_MONOTONIC) and processor time, in ns."""
    began = [0, 0]

    def make(wait: "Any") -> "Any":
        def noted(self: "Any", milliseconds: int) -> "list[int]":
            took = native.clock(_PROCESSOR) - began[1]
            if began[0] and took >= 1000000:
                with open(root + "/var/run/oubli/turns", "a") as file:
                    file.write("%d %d\n" % (began[0], took))
            ready: "list[int]" = wait(self, milliseconds)
            began[0], began[1] = native.clock(_MONOTONIC), native.clock(_PROCESSOR)
            return ready

        return noted

    _swap(sockets.Poll, "wait", make)


VARIANTS: "dict[str, tuple[str, Callable[[str], None]]]" = {
    "udp-socket": ("recorder", _udp_socket),
    "brief-packet-socket": ("recorder", _brief_packet_socket),
    "forwarder-netlink": ("forwarder", _forwarder_netlink),
    "log-mac": ("recorder", _log_mac),
    "keep-destination": ("recorder", _keep_destination),
    "stop-is-end": ("recorder", _stop_is_end),
    "lose-one": ("recorder", _lose_one),
    "port-before-translation": ("recorder", _port_before_translation),
    "keep-keys": ("recorder", _keep_keys),
    "forget-nothing": ("recorder", _forget_nothing),
    "draw-again": ("recorder", _draw_again),
    "edit-messages": ("forwarder", _edit_messages),
}
# Not faults that a check must find out, but what a device may come to, and what is measured;
# the lab looks at how the rest bears it.
STRAINS: "dict[str, tuple[str, Callable[[str], None]]]" = {
    "slow": ("recorder", _slow),
    "hang": ("recorder", _hang),
    "turns": ("recorder", _turns),
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.capture.connections import Connection
