# SPDX-License-Identifier: Apache-2.0
"""What the recorder hears of the kernel: connections that ended, and the lists of neighbours, of what lasts, of rules.

Each stream has a way in for a datagram, and one for the word that some were dropped. All but the events have a request
that lists them anew where that is due.
"""

from agent.capture import connections, lossfree, timeouts
from agent.capture.live_table import LiveTable
from agent.recorder.fast_path import FastPath
from agent.recorder.pipeline import Pipeline

_EVER = 1 << 62


class Streams:
    """The netlink streams of one recorder.

    `sysctl`, `slept`, `switch` and `drops` are as in agent.recorder.recorder, `values` its counters. `day` and
    `terminals` take what is counted, `ring` is the store of `security`, `kept` whether that is on. `monotonic`: ns
    since boot, now.
    """

    def __init__(
        self,
        lines: "TimeLines",
        values: "dict[str, int]",
        guests: "GuestNetwork",
        day: "AgentDay",
        terminals: "Terminals",
        ring: "Ring",
        kept: bool,
        sysctl: "Callable[[str], int | None]",
        slept: "Callable[[], int]",
        switch: "Callable[[bool], None]",
        drops: "Callable[[], int]",
        monotonic: int,
    ) -> None:
        self._lines, self._values, self._guests = lines, values, guests
        self._monotonic = monotonic  # ns since boot, at the last tick
        self._read = _EVER  # ns since boot: all that the kernel had told of neighbours by then is read
        self._unread = False  # more waits than is read in one turn
        self._dropped = 0  # events that the kernel dropped, counted before
        self._decoder, table = connections.Decoder(), connections.Decoder(connections.NEW)
        self.timeouts = timeouts.Timeouts(sysctl, slept)
        self.loss_free = lossfree.LossFree(sysctl, switch, drops)
        self.pipeline = pipeline = Pipeline(
            lines, values, guests, self.timeouts, (self._decoder, table), day, terminals, ring if kept else None
        )
        self._take = pipeline.connection  # bound once: MicroPython makes an object each time a method is named
        self.live_table = LiveTable(table, pipeline.alive, monotonic)
        through = (guests.holders, guests.lan, self.timeouts, day, terminals, ring)
        self.fast_path = FastPath(self._decoder, through, values, pipeline.plain)

    def datagram(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one ctnetlink event: `length` octets at the start of `buffer`."""
        if self.fast_path.one(buffer, length):
            self.event(buffer, length)

    def event(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle a ctnetlink event that isn't for the fast path: through the modules, one after the other."""
        self._decoder.feed(buffer, length, self._take)

    def overrun(self) -> None:
        """Note ENOBUFS: messages were dropped, for good unless the mode is loss-free; `lost` learns how many."""
        if not self.loss_free.on:
            self._values["overruns"] += 1
            self.live_table.due(self._monotonic)

    def neighbour(self, buffer: "bytearray | bytes", length: int) -> None:
        """Handle one rtnetlink datagram."""
        holders = self._guests.holders
        holders.late = self._late()
        self._guests.neighbours.feed(buffer, length)
        holders.late = 0

    def neighbour_request(self) -> "bytes | None":
        """Return what to ask rtnetlink next, None for nothing."""
        return self._guests.neighbours.request()

    def neighbour_overrun(self) -> None:
        """Note that rtnetlink messages were dropped: everything is listed again."""
        self._values["neighbour overruns"] += 1
        self._guests.lan.missed(self._late())
        self._guests.neighbours.restart()

    def _late(self) -> int:
        """Return by how many ns word of a neighbour that is read now may be late."""
        return self._lines.ago() + max(self._lines.seen - self._read, 0)

    def neighbours_read(self, asked: int, *, whole: bool) -> None:
        """Take note that a turn has read all that the kernel had told of neighbours when it was asked, or not.

        `asked` is ns since boot. What begins until all is read is nobody's who is known. Call it before events are
        read.
        """
        if not whole:
            self._unread = True
            self._guests.lan.missed(self._late())
            return
        self._read = asked
        if self._unread and self._guests.neighbours.complete:
            self._unread = False
            self._guests.lan.heard()

    @property
    def introduced(self) -> bool:
        """Return True if the LAN's terminals have been listed, or are given up on."""
        return self._guests.introduced(self._monotonic)

    def begin_anyway(self) -> None:
        """Take note that events are read: where the first list hasn't ended, nobody is known until it has."""
        if not self._guests.neighbours.complete:
            self._guests.lan.missed(self._monotonic)

    def live_request(self) -> "bytes | None":
        """Return the request that lists the live table where that is due, None otherwise."""
        return self.live_table.request(self._monotonic)

    def policy_request(self) -> "bytes | None":
        """Return the request that lists the ruleset's objects where that is due, None otherwise."""
        return self.timeouts.policies.request(self._monotonic)

    def begin(self, wall: int, monotonic: int) -> None:
        """Take note of the present time, in ns."""
        self._monotonic = monotonic
        self.pipeline.wall = wall
        self.timeouts.tick(wall, monotonic)

    def lost(self) -> bool:
        """Count what the events' stream has lost since it was last asked; True where that is something."""
        values, events = self._values, self._decoder.reader
        self.loss_free.tick(self._monotonic, self._decoder.connections)
        dropped = self.loss_free.lost - self._dropped
        if not dropped and not events.overruns:
            return False
        self._dropped += dropped
        values["lost: overrun"] += dropped
        values["overruns"] += events.overruns
        events.overruns = 0
        self.live_table.due(self._monotonic)
        return True

    def listed(self) -> bool:
        """Count what no stream could read; True where a dump of the live table is over: its associations are swept."""
        guests = self._guests
        for reader in (
            self._decoder.reader,
            self.live_table.decoder.reader,
            guests.neighbours.reader,
            self.timeouts.policies.reader,
        ):
            self._values["malformed"] += reader.malformed
            reader.malformed = 0
        return self.live_table.finish(self._monotonic)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.base.time_lines import TimeLines
    from agent.recorder.guest_network import GuestNetwork
    from agent.summary.day import AgentDay
    from agent.summary.terminals import Terminals
    from agent.vault.ring import Ring
