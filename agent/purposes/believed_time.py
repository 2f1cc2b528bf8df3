# SPDX-License-Identifier: Apache-2.0
"""When the clock is believed, and what the store of `attribution` says of it.

By that a custodian tells when a row was (L34-II-4).

A clock that was stepped isn't believed before the time service confirms it anew. Rows and marks begin again then, and a
time that comes twice is taken back. Where the time service tells another time than the one that it had confirmed, one
of the two was wrong, and nothing here tells which. So the time that the former reading showed is denied: nobody is
named for it. At most eight days of it are, so that one forged time can't withhold every name.
"""

from agent.base.time_lines import AGREE
from agent.purposes.attribution.blocks import RETRY

_SECOND = 1000000000
_DAY = 86400
DENIED = 8 * _DAY  # most that is denied at a time, in s
_DRIFT = 10000  # a quartz strays by less than the part that this says


class TimeService:
    """What the time service has confirmed in this boot, and which time is denied for that.

    `offset`: wall clock minus time since boot, ns, as it was believed last; None: it wasn't.
    """

    def __init__(self, clock: "Clock") -> None:
        self.offset: "int | None" = None
        self._clock = clock
        # It told of a time before the latest that is known; a former one is denied for it
        self._refused = self._late = False
        # What this reading dates is since then, s since the epoch, also what began before it was believed; 0: any boot
        self._line = 0
        self._confirmed = self._said = 0  # what it confirmed last, and when, ns since boot

    def denies(self, wall: int, monotonic: int, reached: int, *, trusted: bool) -> "tuple[int, int] | None":
        """Hold what it tells now (ns) against what it had confirmed before.

        Returns begin and end of the time that it contradicts, s since the epoch, None where it contradicts none.
        `reached`: the newest time that was believed, s since the epoch.
        """
        clock, late, offset = self._clock, self._late, wall - monotonic
        refused, self._refused = clock.refused and not self._refused, clock.refused
        if not trusted and (late or not refused):
            return None
        if self.offset is None:  # it ran ahead before this boot, by up to an hour more than is known
            begin, end, strayed = 0, clock.floor + 3660, refused or late
        else:
            begin, end, far = self._line, reached + 1, abs(offset - self.offset)
            strayed = far > AGREE
            # Nobody was asked for so long: it was right when somebody was
            if far <= AGREE + (monotonic - self._said) // _DRIFT:
                begin = (self.offset + self._said) // _SECOND
        self._late = strayed and not trusted
        if trusted:
            if strayed or late:
                self._line = min(wall // _SECOND, reached or wall // _SECOND)
            self.offset = offset
            if clock.confirmed != self._confirmed:
                self._confirmed, self._said = clock.confirmed, monotonic
        return (begin, end) if strayed else None


class BelievedTime:
    """The clock as one recorder believes it.

    `kept` is its attribution, which vouches for nothing while that is off; `seal()` writes what its store holds.

    wall      s since the epoch; `trusted`: it is believed now; `now`: s since boot
    reached   the newest time that was believed, s since the epoch
    steady    since when it is believed, ns since boot
    unbroken  s since the epoch: what began since then and has no end in the store is held still
    owed      begin and end of a time that is still to be denied, for the store couldn't take it, s since the epoch
    """

    def __init__(self, clock: "Clock", kept: "Attribution", seal: "Callable[[], None]", now: int) -> None:
        self.trusted = False
        self.now = now
        self.wall = self.reached = self.steady = self.unbroken = 0
        self.owed: "tuple[int, ...]" = ()
        self._clock = clock
        self._ahead = clock.floor - now  # s by which the time is ahead of that since boot, at least
        self._service = TimeService(clock)
        self._kept = kept
        self._seal = seal
        self._again = 0  # from when on rows begin anew, s since the epoch; 0: they have

    def tick(self, wall: int, monotonic: int, *, trusted: bool, behind: bool) -> None:
        """Do what is due; times in ns. `behind`: a second NAT lies between, and what a port means can't be told."""
        clock, kept, first = self._clock, self._kept, not self.unbroken
        self.wall, self.now = wall // _SECOND, monotonic // _SECOND
        # A former process of this boot has believed it, or the board's own clock is believed
        if first and clock.once:
            self._service.offset = clock.confirmed
            self.reached = (clock.confirmed + monotonic) // _SECOND
        trusted = trusted and abs(wall - monotonic - clock.confirmed) <= AGREE
        if self.owed:
            self._deny(*self.owed)
        if first:
            if clock.missed < 0:
                self._set_back(self.wall - clock.missed // _SECOND)
            kept.confirmed = trusted
            kept.holdings.resume(self.wall, self.now)
            self._again = self.wall + 1
        denied = self._service.denies(wall, monotonic, self.reached, trusted=trusted)
        if denied is not None:
            self._deny(*denied)
        self._go_on(vouching=trusted and not behind)
        if trusted and not self.trusted:
            self.unbroken, self.steady = self.wall, monotonic
        self.unbroken, self.trusted = self.unbroken or self.wall, trusted
        if trusted:
            self.reached = self.wall
        self.mend()

    def _deny(self, begin: int, end: int) -> None:
        """Deny a time, and what is owed; what the store can't take is tried again at each look."""
        if self.owed:
            begin, end = min(begin, self.owed[0]), max(end, self.owed[1])
        begin = self._kept.deny(max(begin, end - DENIED), end)
        self.owed = (begin, end) if begin < end else ()
        if not self.owed:
            self._seal()

    def _set_back(self, end: int) -> None:
        """Take back what is vouched for from now to `end`, which comes once more; deny it where that can't be kept."""
        if not self._kept.set_back(self.wall, end):
            self._deny(self.wall, end)

    def _go_on(self, *, vouching: bool) -> None:
        """Begin rows and marks again where the clock is believed again."""
        kept = self._kept
        if not vouching:
            kept.vouch(0)
        elif not kept.since:
            self._again = self.wall + 1  # a former process' last mark may be of this second
            kept.vouch(self._again)
        if 0 < self._again <= self.wall:
            # How long a row lasts is told by the marks around its begin
            kept.holdings.restate(self.wall, self.now, every=vouching)
            kept.vouch(self.wall * vouching)  # a look may come late: nothing answers for what was before these rows
            self._again = 0

    def mend(self) -> None:
        """Where a holding's row was lost, say of none that began before that it is held still.

        Those that are begin anew in a minute.
        """
        kept = self._kept
        if kept.torn:
            kept.torn = False
            self.unbroken = self.wall + 1
            self._again = self.wall + RETRY
            if kept.since:
                kept.vouch(self._again)

    def stepped(self, step: int, wall: int) -> None:
        """Take note that the wall clock was stepped by so many s.

        As long as the next look doesn't say so, no row of now is confirmed.
        """
        self.wall, self.trusted = wall, False
        if wall <= self.reached:
            self._set_back(self.reached + 1)
        self._kept.confirmed = False
        self.begin_anew(step)

    def begin_anew(self, step: int = 0) -> None:
        """Begin every row again, of which none is told to have ended.

        The next look vouches again, where the clock is trusted.
        """
        self._kept.holdings.restate(self.wall, self.now, step, ended=False)
        self._kept.vouch(0)
        self.unbroken = self.wall

    def least(self) -> int:
        """Return what the time is at least, in s since the epoch: nobody may ever confirm it again."""
        return self.wall if self.trusted else max(self._clock.floor, self._ahead + self.now, self.reached)

    def mark(self) -> None:
        """Vouch for the time up to now."""
        if 0 < self._kept.since < self.wall and self.trusted:
            self._kept.mark(self.wall)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.base.clock import Clock
    from agent.purposes.attribution.attribution import Attribution
