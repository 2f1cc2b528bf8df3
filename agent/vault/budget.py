# SPDX-License-Identifier: Apache-2.0
"""Size is arithmetic: a store on flash that can't hold its declared lifetime doesn't start, and says the sum.

Terminals a day are `summary.rows / 4`, for the table has four rows for each of the busiest day (ANON-8). What one adds in a day is that
of `host_sim/scenarios/cafe-day.toml`, rounded up: 501 connections; two leases, each written when it begins and when it is over; two
sessions. Octets are those of the largest usual record: IPv4, a portal user id of 16 letters, and the octet that says how long it is.
"""

from agent.vault import sealed, segment
from agent.vault.waiting import DAY

# purpose or mode -> records of a terminal a day, octets of one
RECORDS = {"blocks": (4, 44), "connections": (501, 42), "billing": (2, 33)}
_CHUNK = sealed.FRAME + 17
_SEGMENT = sealed.HEADER + sealed.TRAILER


class Sum:
    """What a store needs: `daily` and `octets` over its whole lifetime, `text` with every factor. Lifetime in seconds."""

    def __init__(self, what: str, rows: int, lifetime: int, sync_minutes: int) -> None:
        records, octets = RECORDS[what]
        terminals, days = rows // 4, lifetime // DAY + 1  # a day goes when the next one has begun
        plain = terminals * records * octets
        chunks = 1440 // sync_minutes + plain // (segment.PAGE - 256)
        self.daily = plain + chunks * _CHUNK + _SEGMENT
        self.octets = self.daily * days
        self.text = (
            "%d terminals (summary.rows / 4) x %d records x %d bytes + %d chunks x %d + %d = %d bytes a day, x %d days = %d bytes"
            % (
                terminals,
                records,
                octets,
                chunks,
                _CHUNK,
                _SEGMENT,
                self.daily,
                days,
                self.octets,
            )
        )


def needed(name: str, section: "Section", rows: int, sync_minutes: int) -> Sum:
    """Return what the store of a purpose needs as it is configured."""
    return Sum(section.mode if name == "attribution" else name, rows, section.lifetime, sync_minutes)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.config import Section
