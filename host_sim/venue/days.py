# SPDX-License-Identifier: Apache-2.0
"""The agent-day by the book (ANON-5, ANON-6, not `agent/`): when it opens, what it costs, its cells.

The world tells of boots, confirmations of the time and the passing of hours. What comes out is what the ledger must say
and which messages must exist. Flash may have no room for what is written: what isn't on it a restart doesn't know, and
what needs it first doesn't happen.
"""

from host_sim.venue.device_clock import SECOND, DeviceClock
from host_sim.venue.ledger import Ledger
from host_sim.venue.trust import Trust

HOUR, DAY = 3600 * SECOND, 86400 * SECOND
SHIFT = 3 * HOUR  # an agent-day begins at 03:00 UTC
MESSAGES = 4  # of a day, beside those of its slots


class Days:
    """One gateway's agent-days. `day` is the start of the open one (ns, by the wall clock), 0 where none is.

    `counted` is the start of the first hour that counts; `slots` the hours of `arrivals`,
    `closed` the days that must have been published.
    """

    def __init__(self) -> None:
        self.ledger, self._trust = Ledger(), Trust()
        self.checkpoints = 0  # of the audit log: one each powered-on hour
        self._full: set[str] = set()  # what flash has no room for (host_sim.venue.tape.PLACES)
        self.lost = 0  # messages, since the boot, that flash had no room for
        self._gone: set[int] = set()  # slots of these, of the open day
        self.day = self.counted = 0
        self.slots: set[int] = set()
        self.closed: list[int] = []
        self._clock: DeviceClock | None = None
        self._hour = HOUR
        self._runs = 0  # since when the recorder does without a standstill, time since boot
        self._ends = 0  # time since boot at which the open day ends

    @property
    def trusted(self) -> bool:
        """Whether the time is believed."""
        return self._trust.given

    def current(self, true: int) -> bool:
        """Return True if what the clock shows is believed: it is trusted, and its time isn't over (EXP-5)."""
        return self.trusted and not self.behind(true)

    def behind(self, true: int) -> int:
        """Return by how much the clock shows a time that is over, in ns."""
        return max(self.ledger.floor - self._clock.wall(true), 0) if self._clock is not None else 0

    @property
    def late(self) -> int:
        """Return when the open day is over whatever a trusted clock says, time since boot in ns (ANON-7)."""
        return self._ends + HOUR

    def fill(self, full: set[str]) -> None:
        """Flash has no room for these now."""
        self._full, self.ledger.room = full, "ledger" not in full

    def reset(self) -> None:
        """There is no ledger any more: what was spent isn't known, so nothing is for 24 powered-on hours (ANON-6)."""
        self.ledger.floor = self.checkpoints = 0
        self.ledger.restored(0)
        self.ledger.there = False

    def boot(self, clock: DeviceClock, monotonic: int = 0) -> None:
        """Another boot, or a new installation so long after one: tmpfs is empty, nobody has confirmed the time."""
        self._clock, self._trust, self.day = clock, Trust(), 0
        self._hour, self._runs = (monotonic // HOUR + 1) * HOUR, monotonic
        self.lost = 0
        self.ledger.read()
        self.ledger.write()

    def resumed(self, true: int) -> None:
        """The recorder goes on after a standstill: hours that were full meanwhile are counted only now."""
        assert self._clock is not None  # noqa: S101 (a world boots first)
        self._runs = self._clock.monotonic(true)

    def confirm(self, true: int) -> None:
        """The time service says that the clock is right."""
        wall, monotonic = self._look(true)
        if wall >= self.ledger.floor:
            self._trust.confirm(wall, monotonic)

    def stepped(self, true: int) -> None:
        """The wall clock was stepped."""
        if self._clock is not None:
            self._trust.look(self._clock.wall(true), self._clock.monotonic(true))

    def _look(self, true: int) -> tuple[int, int]:
        """Return what the clocks show; a day that ends while nobody believes them goes unpublished (ANON-7)."""
        assert self._clock is not None  # noqa: S101 (a world boots first)
        wall, monotonic = self._clock.wall(true), self._clock.monotonic(true)
        self._trust.look(wall, monotonic)
        if self.day and not self.trusted and monotonic >= self._ends:
            self.day = 0  # its key is destroyed then
        return wall, monotonic

    def pass_time(self, true: int) -> tuple[int, bool]:
        """Let the recorder's timers run; returns the start of a day that has closed (0: none), and if one opened."""
        wall, monotonic = self._look(true)
        closed, today = 0, (wall - SHIFT) // DAY * DAY + SHIFT
        if self.trusted:
            # Those that were full before this agent-day began
            begun = monotonic - (wall - today) - SECOND
            self._pass_hours(begun, today - SECOND)
            if self.day:
                drawn = min(wall, self.day + DAY) // HOUR * HOUR
                self._draw(set(range(self.counted, drawn, HOUR)), drawn)
                if today > self.day:
                    closed = self.day
                    if self._drawn(MESSAGES, drawn):
                        self.closed.append(closed)
                    self.day = 0
                elif monotonic >= self.late:
                    self.day = 0  # unpublished
        opened = self._may_open(wall, monotonic)
        self._pass_hours(monotonic, wall)
        return closed, opened or self._may_open(wall, monotonic)

    def _draw(self, slots: set[int], drawn: int) -> None:
        """Draw what has closed of the day, and wasn't drawn yet."""
        new = slots - self.slots - self._gone
        if new and self._drawn(len(new), drawn):
            self.slots |= new
        elif new:
            self._gone |= new

    def _drawn(self, count: int, until: int) -> bool:
        """Draw messages of before a time: what flash has no room for is lost, and is never drawn again."""
        if self.ledger.room:
            self.ledger.write()
            # no slot is drawn twice, whatever a clock says that is set back
            self.ledger.floor = max(self.ledger.floor, until)
        room = not {"ledger", "spool"} & self._full
        self.lost += 0 if room else count
        return room

    def _pass_hours(self, monotonic: int, wall: int) -> None:
        """Count the powered-on hours that are full."""
        while monotonic >= self._hour:
            counted = wall - (monotonic - max(self._hour, self._runs))
            self._hour += HOUR
            self.ledger.pass_hour()
            self.checkpoints += "log" not in self._full
            if self.trusted:
                self.ledger.floor = max(self.ledger.floor, counted // SECOND * SECOND)

    def _may_open(self, wall: int, monotonic: int) -> bool:
        today = (wall - SHIFT) // DAY * DAY + SHIFT
        if not self.trusted or self.day or wall < self.ledger.floor or not self.ledger.open(today):
            return False
        self.day, self.counted = today, wall // HOUR * HOUR
        self._ends = monotonic + self.day + DAY - wall
        self._gone.clear()  # of those that the ledger had no room for none was drawn; others are before the floor
        return True
