# SPDX-License-Identifier: Apache-2.0
"""Size is arithmetic: a store on flash that can't hold its declared lifetime doesn't start, and says the sum.

Terminals a day are `summary.rows / 4`, for the table has four rows for each of the busiest day (ANON-8). What one adds
in a day is that of `host_sim/scenarios/cafe-day.toml`, rounded up: 501 connections, 8 rows of addresses and two
sessions. Of the rows 3 are of its IPv4 lease and 5 of its IPv6 addresses. Each is written at its begin, at midnight and
at its end. Octets are those of the largest usual record: a portal user id of 16 letters, and the octet that says how
long it is; of IPv6 where a connection may be either.

A block of ports that was used rests for a day. So in a day there are no more of them than fit the ports that are dealt
out. The terminals beyond them are recorded connection by connection, and are most of the sum where `block_size` is too
large for the venue.
"""

from agent import law
from agent.purposes.custodian import sealed
from agent.purposes.custodian.waiting import DAY
from agent.vault import segment

# purpose or mode -> (records of a terminal a day, octets of one) of each kind
RECORDS = {"blocks": ((3, 44), (5, 52)), "connections": ((501, 50),), "billing": ((2, 33),)}
PORTS = 49152  # that are dealt out in blocks: agent.purposes.attribution.block_map
_CHUNK = sealed.FRAME + 17
_SEGMENT = sealed.HEADER + sealed.TRAILER


class Sum:
    """What a store needs: `daily` and `octets` over its whole lifetime, `text` with every factor. Lifetime in seconds.

    `block`: ports of a block, 0 where there are none. `without`: terminals that get no block.
    """

    def __init__(self, what: str, rows: int, lifetime: int, sync_minutes: int, block: int = 0) -> None:
        terminals, days = rows // 4, lifetime // DAY + 1  # a day goes when the next one has begun
        self.without = max(terminals - PORTS // block, 0) if block else 0
        each, factors = _terminal(what)
        plain = terminals * each
        self.text = "%d terminals (summary.rows / 4) x %s bytes" % (terminals, factors)
        if self.without:
            each, factors = _terminal("connections")
            plain += self.without * each
            text = " + %d of them without one of the %d blocks of %d ports (attribution.block_size) x %s bytes"
            self.text += text % (self.without, PORTS // block, block, factors)
        chunks = 1440 // sync_minutes + plain // (segment.PAGE - 256)
        self.daily = plain + chunks * _CHUNK + _SEGMENT
        self.octets = self.daily * days
        self.text += " + %d chunks x %d + %d = %d bytes a day, x %d days = %d bytes" % (
            chunks,
            _CHUNK,
            _SEGMENT,
            self.daily,
            days,
            self.octets,
        )


def _terminal(what: str) -> "tuple[int, str]":
    """Return what one terminal adds in a day, and the factors of that."""
    kinds = RECORDS[what]
    factors = " + ".join(["%d x %d" % kind for kind in kinds])
    return sum([records * octets for records, octets in kinds]), factors if len(kinds) == 1 else "(" + factors + ")"


def needed(name: str, section: "Section", rows: int, sync_minutes: int) -> Sum:
    """Return what the store of a purpose needs as it is configured."""
    if name != "attribution":
        return Sum(name, rows, section.lifetime, sync_minutes)
    return Sum(
        section.mode, rows, section.lifetime, sync_minutes, section.block_size if section.mode == "blocks" else 0
    )


def refused(section: "Section", duty: str) -> "tuple[str, str, str] | None":
    """Return why `attribution` is refused (ground, nobody answers, no room): option, what is wrong, accepted."""
    if section.ground in law.FORMER_GROUNDS and section.wording is None:
        wrong = "'" + section.ground + "' is of the wording repealed on 31 July 2021"
        return "ground", wrong, law.IN_FORCE + ", or option wording 'repealed' beside it"
    if duty == law.NOBODY:
        wrong = "it is kept for authorities, whom gateway.duty '" + law.NOBODY + "' leaves without an answer"
        return "enabled", wrong, "'0', or the duty of who answers"
    if section.mode == "connections" and section.storage is None:
        return (
            "storage",
            "missing: a record a connection doesn't fit a router's own flash",
            "a path where a larger medium is mounted",
        )
    return None


def remedies(name: str, section: "Section", rows: int, sync_minutes: int, most: int, smallest: int) -> str:
    """Return what is accepted instead, each by itself.

    A larger budget, at most `most` octets; blocks of `smallest` ports or more; less.
    """
    need = needed(name, section, rows, sync_minutes)
    said = ["budget '%d'" % need.octets] if need.octets <= most else []
    if need.without:
        fitting = max(PORTS // (rows // 4), smallest)
        fewer = min(rows, PORTS // fitting * 4)
        enough = Sum("blocks", fewer, section.lifetime, sync_minutes, fitting).octets
        text = "block_size '%d'" % fitting
        text += " with summary.rows '%d'" % fewer if fewer < rows else ""
        said.append(text + (" and budget '%d'" % enough if enough > section.budget else ""))
    said.append("less: rows, lifetime" + ("" if need.without else ", mode 'blocks'"))
    return ", or ".join(said)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.config.reader import Section
