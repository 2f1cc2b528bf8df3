# SPDX-License-Identifier: Apache-2.0
"""The ledger by the book (ANON-5, ANON-6): tokens, powered-on hours, what was spent, and what of it is on flash."""

HOURS_A_TOKEN, TOKENS = 6, 2
EPSILON, CEILING = 1000, 2000  # thousandths


class Ledger:
    """One gateway's ledger. `day` is the newest agent-day that was opened (ns), `floor` before which nothing is drawn.

    `room` says if flash has any for it, `there` if it has one. `stale` says if something has changed since it was
    written, `writes` times so far.
    """

    def __init__(self) -> None:
        self.tokens, self.hours, self._since_token = 1, 0, 0
        self.day = self.spent = self.floor = 0
        self.room, self.there, self.stale, self.writes = True, False, False, 0
        self._on_flash: tuple[int, ...] | None = None  # what a restart finds, where that is another ledger

    def _said(self) -> tuple[int, ...]:
        return self.tokens, self.hours, self._since_token, self.day, self.spent, self.floor

    @property
    def written(self) -> int:
        """The powered-on hours that flash has."""
        return self._on_flash[1] if self._on_flash else self.hours

    def write(self) -> None:
        """It is written with what changes now, where there is room."""
        if self.room:
            self.there, self.stale, self._on_flash = True, False, None
            self.writes += 1
        else:
            self.stale, self._on_flash = True, self._on_flash or self._said()

    def read(self) -> None:
        """Another process knows what is on flash."""
        if self._on_flash:
            self.tokens, self.hours, self._since_token, self.day, self.spent, self.floor = self._on_flash

    def restored(self, hours: int) -> None:
        """It says so many powered-on hours, and of what was spent nothing: as without one."""
        self.tokens, self.hours, self._since_token = 1 - 24 // HOURS_A_TOKEN, hours, 0
        self.day = self.spent = 0
        self.stale, self._on_flash = True, None
        if not self.room:
            self.write()

    def pass_hour(self) -> None:
        """A powered-on hour is full; a token comes after six."""
        self.write()
        self.hours += 1
        self._since_token += 1
        if self._since_token >= HOURS_A_TOKEN:
            self._since_token, self.tokens = 0, min(self.tokens + 1, TOKENS)

    def open(self, today: int) -> bool:
        """Open an agent-day, if what is left allows it; returns whether it did."""
        if not self.room:
            return False
        if today > self.day and self.tokens > 0:
            self.write()
            self.tokens -= 1
            self.day, self.spent = today, EPSILON
            return True
        if today == self.day and self.spent + EPSILON <= CEILING:
            self.write()
            self.spent += EPSILON
            return True
        return False
