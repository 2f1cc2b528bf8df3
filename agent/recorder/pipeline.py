# SPDX-License-Identifier: Apache-2.0
"""What happens to a connection, in one order: time, terminal, side, end, then the summary and the purposes.

Afterwards it is forgotten by everything but the vault and the day's table. agent.recorder.fast_path does the same for
ordinary connections, in fewer steps. The steps are short: MicroPython takes the frame of a function with many names
from the heap.
"""

from agent.base.time_lines import AGREE
from agent.capture import connections
from agent.summary.services import service_of
from agent.vault.segment import LATEST


class _Restated:
    """A connection that was stamped before a step of the wall clock, start and stop by the present clock."""

    def __init__(self, connection: "connections.Connection", start: int, stop: int) -> None:
        self._connection = connection
        self.start, self.stop = start, stop

    def __getattr__(self, name: str) -> int:
        """Return what the clock has no part in."""
        return getattr(self._connection, name)


def _named(terminal: "Terminal | None", end: int) -> "Terminal | None":
    """Return who is named of what ended then.

    Nobody where another one may have had the address before that end, for he may have taken the connection over. Who
    isn't named is counted all the same, whatever another one did (ANON-8).
    """
    return terminal if terminal is not None and terminal.sure and end < terminal.until else None


class Pipeline:
    """`values` are the recorder's counters, `decoders` those of events and of the table.

    `ring` is the store of `security` (None: off).

    `purposes` are those beside `security` that are told of each connection,
    `by_consent` whether `services` is one of them.
    """

    def __init__(
        self,
        lines: "TimeLines",
        values: "dict[str, int]",
        guests: "GuestNetwork",
        timeouts: "Timeouts",
        decoders: "tuple[connections.Decoder, connections.Decoder]",
        day: "AgentDay",
        terminals: "Terminals",
        ring: "Ring | None",
    ) -> None:
        self._lines = lines
        self._values = values
        self._holders, self._lan = guests.holders, guests.lan
        self._timeouts = timeouts
        self._decoder, self._table = decoders
        self._day = day
        self._terminals = terminals
        self._ring = ring
        self.purposes: "list[Purposes]" = []
        self.by_consent = False
        self.wall = 0  # ns since the epoch, when last looked at

    def plain(self) -> bool:
        """Return True if every connection must go this way: something is to be done that the fast path doesn't know."""
        return self._lines.stepped or len(self.purposes) > 0 or self._ring is None

    def connection(self, connection: "connections.Connection") -> None:
        """Handle a connection that has ended."""
        self._values["connections"] += 1
        doubt = 0
        if connection.stop and (self._lines.stepped or connection.start > connection.stop + AGREE):
            connection = self._restated(connection, connection.stop)
            doubt = self._lines.doubt_of_end
            terminal = self._surely(connection)
        else:
            terminal = self._holders.find(connection)
        kind = "" if terminal is not None else self._lan.side(connections.source_of(connection))
        kind = kind or self._lan.stays(self._decoder)
        if kind:
            self._values["excluded: " + kind] += 1
        else:
            self._record(connection, terminal, self._timeouts.end(connection) if connection.stop else self.wall, doubt)

    def _restated(self, connection: "connections.Connection", stop: int) -> "connections.Connection":
        made: "Any" = _Restated(connection, *self._lines.restate(connection.start, stop))
        return made

    def _surely(self, connection: "connections.Connection") -> "Terminal | None":
        """Return whose a restated connection is; None where that depends on how its start's stamp is read."""
        holders, doubt = self._holders, self._lines.doubt
        if connection.start < holders.deaf_until and connection.start + doubt >= holders.deaf_from:
            return None  # a reading between the two may be of when word of changes was missed
        younger: "Any" = _Restated(connection, connection.start + doubt, connection.stop)
        terminal = self._holders.find(younger)
        row = terminal.row if terminal is not None else 0
        terminal = self._holders.find(connection)
        if terminal is not None and terminal.row == row:
            return terminal
        self._holders.needed(row)  # they are what shows that it isn't known; row 0 is nobody's
        self._holders.needed(terminal.row if terminal is not None else 0)
        return None

    def _record(self, connection: "connections.Connection", terminal: "Terminal | None", end: int, doubt: int) -> None:
        if terminal is not None and self._terminals.day:
            self._see(connection, terminal, end, connection.bytes_up + connection.bytes_down)
        terminal = _named(terminal, end + doubt)
        if terminal is None:
            self._values["unknown terminal"] += 1
        for purpose in self.purposes:
            if connection.stop:
                purpose.connection(self._decoder, connection, terminal, end)
            else:
                purpose.lost()
        if self._ring is None:
            self._values["no purpose"] += not self.by_consent
        elif not connection.stop or not connection.accounted:
            self._values["lost: born before accounting"] += 1
        else:
            self._keep(self._ring, connection, terminal, end)

    def _keep(self, ring: "Ring", connection: "connections.Connection", terminal: "Terminal | None", end: int) -> None:
        result = ring.append(connection, terminal, end) if 0 <= end < LATEST else "lost: clock"
        if result != "lost":
            self._values[result] += 1

    def _see(self, connection: "connections.Connection", terminal: "Terminal", end: int, volume: int) -> None:
        service = service_of(connection.protocol, connection.destination_port)
        self._day.see(terminal.address, connection.start or end, end, service, volume)

    def alive(self, connection: "connections.Connection") -> None:
        """Count a lasting connection up to its last packet, without its volume, and keep its association (ANON-8)."""
        if self._lines.stepped:
            connection = self._restated(connection, self.wall)
            terminal = self._surely(connection)
        else:
            terminal = self._holders.find(connection)
        if terminal is not None:
            last = self._timeouts.last(connection, self.wall)
            named = _named(terminal, last)
            self._holders.needed(terminal.row, named=named is not None)
            if not self._lan.stays(self._table):
                self._see(connection, terminal, last, 0)
                self._lasts(connection, named, last)
        elif not self._lan.side(connections.source_of(connection)) and not self._lan.stays(self._table):
            self._lasts(connection, None, self._timeouts.last(connection, self.wall))

    def _lasts(self, connection: "connections.Connection", terminal: "Terminal | None", last: int) -> None:
        for purpose in self.purposes:
            purpose.alive(self._table, connection, terminal, last)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.base.time_lines import TimeLines
    from agent.capture.address_rows import Terminal
    from agent.capture.timeouts import Timeouts
    from agent.purposes.purposes import Purposes
    from agent.recorder.guest_network import GuestNetwork
    from agent.summary.day import AgentDay
    from agent.summary.terminals import Terminals
    from agent.vault.ring import Ring
