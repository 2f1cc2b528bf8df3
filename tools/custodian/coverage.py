# SPDX-License-Identifier: Apache-2.0
"""For which times a gateway's marks vouch that every connection was heard and kept: without them `nothing held` isn't said (L34-II-4).

A mark is a holding of no address and no port. It stands in the store where all that was kept before it stands as well, and says from when
until when the recorder ran and lost nothing. Its next one begins where it ends; a restart, a loss of power, records that were lost and a
clock that wasn't confirmed leave a gap. A connection is written when it ends, and up to each midnight (UTC). So what a window may hold
is there for certain where marks go on from its begin to the midnight after its end, or to the handover if that came before.
"""

from collections.abc import Iterable, Sequence

from agent.purposes.attribution.record import Record
from agent.purposes.requests.requests import Request
from tools.custodian import times
from tools.custodian.notes import Note

_DAY = 86400


def is_mark(record: Record) -> bool:
    """Return True if a record is a mark, and no terminal's."""
    return record.protocol is None and not any(record.public_address)


def gaps(marks: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Return the times from `start` to `end` (s) for which no mark vouches."""
    found, reached = [], start
    for begun, over in sorted(marks):
        if begun > reached:
            found.append((reached, min(begun, end)))
        reached = max(reached, over)
        if reached >= end:
            return found
    return [*found, (reached, end)]


def notes(request: Request, parts: Iterable[Sequence[Record]], made: int) -> list[Note]:
    """Return a note on each time that matters for a request and that no mark vouches for; `made`: when it was handed over (s)."""
    marks = [(one.start, one.end or 0) for part in parts for one in part if is_mark(one) and one.confirmed]
    end = min(made, request.end - request.end % _DAY + _DAY)
    return [_note(begin, over) for begin, over in gaps(marks, request.start, end) if begin < over]


def _note(begin: int, over: int) -> Note:
    return Note(
        f"from {times.utc(begin)} to {times.utc(over)} nothing shows that the gateway heard and kept every connection: "
        "one of the window that went on then may be missing",
        f"Du {times.french(begin)} au {times.french(over)}, rien n'établit que la borne a tout entendu et tout conservé (coupure, "
        "redémarrage, perte, heure non confirmée) : une connexion de la période demandée, encore en cours alors, peut manquer.",
    )
