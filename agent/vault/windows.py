# SPDX-License-Identifier: Apache-2.0
"""The window that a segment covers: its width, how long its segments stay open, when they are due (EXP-1, EXP-4)."""

SECOND = 1000000000
GRACE = 240  # seconds a segment stays open after its window
# Seconds after its window at which the second segment closes: a phone that walked away is told of 7,490 s late
LATE = 10800
_SHORT = 89 * 86400  # seconds
SEGMENT_LIMIT = 65536  # octets of a file at which a segment closes


def window_of(lifetime: int) -> int:
    """Return the width of a window in seconds for a lifetime in seconds."""
    return 60 if lifetime < 86400 else 3600


def lasting(window: int, lifetime: int) -> int:
    """Return for how long a segment of a window is kept, in seconds: three months at most (R10-14 IV).

    89 days from 31 January to the end of February, where that has 28; a day more before, as days begin in Paris.
    """
    if lifetime <= _SHORT:
        return lifetime
    from agent.base.dates import date  # for few, and one import deeper than MIPS has stack for at the start

    day = date(window // 86400)
    return _SHORT if int(day[:4]) % 4 and "-01-30" <= day[4:] < "-03" else lifetime


def slots_for(lifetime: int, budget: int) -> int:
    """Return how many segments may exist at once: two a window, those that filled up, and some for the very late."""
    return 2 * (lifetime // window_of(lifetime) + 2) + budget // SEGMENT_LIMIT + 16


def due(slot: "keys.Slot", wall: "int | None", monotonic: int) -> bool:
    """Return True if a segment's deadline has come; `wall` in ns, None while the clock isn't trusted."""
    until, over = slot.deadline()
    return monotonic >= over or (wall is not None and wall >= until * SECOND)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.vault import keys
