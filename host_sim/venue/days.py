# SPDX-License-Identifier: Apache-2.0
"""The agent-day by the book (ANON-5, ANON-6, not `agent/`): when it opens, what it costs, its cells.

The world tells of boots, confirmations of the time and the passing of hours; what comes out is what the ledger must say
and which messages must exist. Flash may have no room for what is written: what isn't on it a restart doesn't know, and
what needs it first doesn't happen. Trust is EXP-5's: two confirmations of one boot, at least ten minutes apart, that
agree within two seconds; gone where the clock strays by more than a day.
"""

from host_sim.venue.device_clock import SECOND, DeviceClock

HOUR, DAY = 3600 * SECOND, 86400 * SECOND
SHIFT = 3 * HOUR  # an agent-day begins at 03:00 UTC
HOURS_A_TOKEN, TOKENS = 6, 2
EPSILON, CEILING = 1000, 2000  # thousandths
MESSAGES = 4  # of a day, beside those of its slots


class Days:
    """One gateway's agent-days. `day` is the start of the open one (ns, by the wall clock), 0 where none is.

    `counted` is the start of the first hour that counts; `slots` the hours of `arrivals`,
    `closed` the days that must have been published.
    """

    def __init__(self) -> None:
        self.tokens, self.hours, self._since_token = 1, 0, 0
        self.checkpoints = 0  # of the audit log: one each powered-on hour
        self.ledger_day = self.spent = 0
        self.full: set[str] = set()  # what flash has no room for (host_sim.venue.tape.PLACES)
        self.writes = 0  # of the ledger
        self.stale = False  # since the last one something has changed
        self._on_flash: tuple[int, ...] | None = None  # what a restart finds, where that is another ledger
        self.lost = 0  # messages, since the boot, that flash had no room for
        self._gone: set[int] = set()  # slots of these
        self.day = self.counted = 0
        self.slots: set[int] = set()
        self.closed: list[int] = []
        self._clock: DeviceClock | None = None
        self._first: tuple[int, int] | None = None
        self._confirmed: int | None = None  # wall clock minus time since boot, when it was last confirmed and believed
        self._hour = HOUR
        self._floor = 0
        self._ends = 0  # time since boot at which the open day ends

    @property
    def trusted(self) -> bool:
        """Whether the time is believed."""
        return self._confirmed is not None

    def current(self, true: int) -> bool:
        """Return True if what the clock shows is believed: it is trusted, and its time isn't over (EXP-5)."""
        return self.trusted and not self.behind(true)

    def behind(self, true: int) -> int:
        """Return by how much the clock shows a time that is over, in ns."""
        return max(self._floor - self._clock.wall(true), 0) if self._clock is not None else 0

    def reset(self) -> None:
        """There is no ledger any more: what was spent isn't known, so nothing is for 24 powered-on hours (ANON-6)."""
        self._floor = self.checkpoints = 0
        self.restored(0)

    def restored(self, hours: int) -> None:
        """The ledger says so many powered-on hours, and of what was spent nothing: as without one."""
        self.tokens, self.hours, self._since_token = 1 - 24 // HOURS_A_TOKEN, hours, 0
        self.ledger_day = self.spent = 0
        self.stale, self._on_flash = True, None
        if "ledger" in self.full:
            self._write()

    def _ledger(self) -> tuple[int, ...]:
        return self.tokens, self.hours, self._since_token, self.ledger_day, self.spent, self._floor

    def _write(self) -> None:
        """The ledger is written with what changes now, where there is room."""
        if "ledger" in self.full:
            self.stale, self._on_flash = True, self._on_flash or self._ledger()
        else:
            self.stale, self._on_flash = False, None
            self.writes += 1

    def restart(self) -> None:
        """Another process: it knows what is on flash."""
        if self._on_flash:
            self.tokens, self.hours, self._since_token, self.ledger_day, self.spent, self._floor = self._on_flash

    def boot(self, clock: DeviceClock, monotonic: int = 0) -> None:
        """Another boot, or a new installation so long after one: tmpfs is empty, nobody has confirmed the time."""
        self._clock, self._first, self._confirmed, self.day = clock, None, None, 0
        self._hour = (monotonic // HOUR + 1) * HOUR
        self.lost = 0
        self.restart()
        self._write()

    def confirm(self, true: int) -> None:
        """The time service says that the clock is right."""
        assert self._clock is not None  # noqa: S101 (a world boots first)
        wall, monotonic = self._clock.wall(true), self._clock.monotonic(true)
        self._stray(wall - monotonic)
        self._lose(monotonic)
        if wall < self._floor:
            return
        if self.trusted:
            self._confirmed = wall - monotonic
        elif self._first is None:
            self._first = wall, monotonic
        elif monotonic - self._first[1] >= 600 * SECOND:
            agree = abs((wall - self._first[0]) - (monotonic - self._first[1])) <= 2 * SECOND
            self._first = None if agree else (wall, monotonic)
            self._confirmed = wall - monotonic if agree else None

    def stepped(self, true: int) -> None:
        """The wall clock was stepped: by more than a day from what was confirmed, and nobody believes it any more."""
        if self._clock is not None:
            self._stray(self._clock.wall(true) - self._clock.monotonic(true))

    def _stray(self, offset: int) -> None:
        if self._confirmed is not None and abs(offset - self._confirmed) > DAY:
            self._confirmed = None

    def _lose(self, monotonic: int) -> None:
        """A day that ends while nobody believes the time goes unpublished: its key is destroyed then (ANON-7)."""
        if self.day and not self.trusted and monotonic >= self._ends:
            self.day = 0

    def pass_time(self, true: int) -> tuple[int, bool]:
        """Let the recorder's timers run; returns the start of a day that has closed (0: none), and if one opened."""
        assert self._clock is not None  # noqa: S101 (a world boots first)
        wall, monotonic = self._clock.wall(true), self._clock.monotonic(true)
        self._stray(wall - monotonic)
        self._lose(monotonic)
        closed, today = 0, (wall - SHIFT) // DAY * DAY + SHIFT
        if self.trusted:
            # Those that were full before this agent-day began
            self._pass_hours(monotonic - (wall - today) - SECOND, today)
            if self.day:
                drawn = min(wall, self.day + DAY) // HOUR * HOUR
                self._draw(set(range(self.counted, drawn, HOUR)), drawn)
                if today > self.day:
                    closed = self.day
                    if self._drawn(MESSAGES, drawn):
                        self.closed.append(closed)
                    self.day = 0
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
        if "ledger" not in self.full:
            self._write()
            self._floor = max(self._floor, until)  # no slot is drawn twice, whatever a clock says that is set back
        room = not {"ledger", "spool"} & self.full
        self.lost += 0 if room else count
        return room

    def _pass_hours(self, monotonic: int, wall: int) -> None:
        """Count the powered-on hours that are full; a token comes after six."""
        while monotonic >= self._hour:
            self._hour += HOUR
            self._write()
            self.hours += 1
            self.checkpoints += "log" not in self.full
            self._since_token += 1
            if self._since_token >= HOURS_A_TOKEN:
                self._since_token, self.tokens = 0, min(self.tokens + 1, TOKENS)
            if self.trusted:
                self._floor = max(self._floor, wall // SECOND * SECOND)

    def _may_open(self, wall: int, monotonic: int) -> bool:
        if not self.trusted or self.day or wall < self._floor or not self._open((wall - SHIFT) // DAY * DAY + SHIFT):
            return False
        self.day, self.counted = self.ledger_day, wall // HOUR * HOUR
        self._ends = monotonic + self.day + DAY - wall
        return True

    def _open(self, today: int) -> bool:
        if "ledger" in self.full:
            return False
        if today > self.ledger_day and self.tokens > 0:
            self._write()
            self.tokens -= 1
            self.ledger_day, self.spent = today, EPSILON
            return True
        if today == self.ledger_day and self.spent + EPSILON <= CEILING:
            self._write()
            self.spent += EPSILON
            return True
        return False
