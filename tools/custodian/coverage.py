# SPDX-License-Identifier: Apache-2.0
"""For which times a gateway's marks vouch for every connection, so that `nothing held` is said (L34-II-4).

A mark is a holding of no address and no port. It stands in the store where all that was kept before it stands as well.
It says from when until when one recorder process ran and lost nothing. Its next one begins where it ends. A restart, a
loss of power, records that were lost and a clock that wasn't confirmed leave a gap. A connection is written when it
ends, and up to each midnight (UTC). So what a window may hold is there for certain where marks go on from its begin to
the midnight after its end. A handover that came before is as good as that midnight. And the end of a holding that began
within marks would have been written before the last one that follows without a gap.

A clock that was set back shows a time twice, and what was vouched for under one reading may have happened under the
other. So nobody vouches for a time that two marks tell of, or that an unconfirmed mark takes back: the gateway writes
one when its clock is set back. Where both readings were confirmed, two marks tell of it, and what either has of that
time may have been at another: nobody is named for it. Nor is anybody for a time that an unconfirmed mark with the port
1 denies. The gateway writes it where the time service contradicts what it had confirmed: all that the former reading
dated may have been at another time, whatever else was lost.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from agent.purposes.attribution.record import Record
from agent.purposes.requests.requests import Request
from tools.custodian import times
from tools.custodian.notes import Note

_DAY = 86400
_TAKEN_BACK = 2  # marks that a mark which takes others back counts for
_DENIED = 2  # and one that denies a time
_ANY = 1 << 30


def is_mark(record: Record) -> bool:
    """Return True if a record is a mark, and no terminal's."""
    return record.protocol is None and not any(record.public_address)


def vouched(parts: Iterable[Sequence[Record]]) -> list[tuple[int, int]]:
    """Return the times for which exactly one mark vouches, in order, each up to a gap (s).

    `parts`: the records of each segment.
    """
    return _spans(parts, range(1, 2), _TAKEN_BACK)


def twice(parts: Iterable[Sequence[Record]]) -> list[tuple[int, int]]:
    """Return the times that two marks tell of, for the clock was set back, and confirmed before as after.

    And those that are denied.
    """
    return _spans(parts, range(2, _ANY), 0)


def taken_back(parts: Iterable[Sequence[Record]]) -> list[tuple[int, int]]:
    """Return the times that the clock showed twice, confirmed or not."""
    return _spans(parts, range(2, _ANY), _TAKEN_BACK)


def _spans(parts: Iterable[Sequence[Record]], counts: range, back: int) -> list[tuple[int, int]]:
    """Return the times that marks tell of, in order, each as long as can be.

    One mark takes back counting for `back`.
    """
    marks = {
        (one.start, one.end or 0, 1 if one.confirmed else _DENIED if one.first else back)
        for part in parts
        for one in part
        if is_mark(one)
    }
    edges: Counter[int] = Counter()
    for begin, over, weight in marks:
        edges[begin] += weight
        edges[over] -= weight
    found, count, since = [], 0, 0
    for at in sorted(edges):
        former, count = count, count + edges[at]
        if former in counts and count not in counts:
            found.append((since, at))
        elif former not in counts and count in counts:
            since = at
    return found


def touches(spans: Iterable[tuple[int, int]], start: int, end: int) -> bool:
    """Return True if a time from `start` to `end` (s) lies in one of the spans."""
    return any(begin < max(end, start + 1) and start < over for begin, over in spans)


def reach(spans: Iterable[tuple[int, int]], start: int) -> int:
    """Return until when marks go on from `start` (s): that itself where none is there.

    `spans`: what `vouched` returns.
    """
    return next((over for begin, over in spans if begin <= start <= over), start)


def gaps(spans: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Return the times from `start` to `end` (s) for which nobody vouches."""
    found, reached = [], start
    for begun, over in [*spans, (end, end)]:
        if reached < min(begun, end):
            found.append((reached, min(begun, end)))
        reached = max(reached, over)
    return found


def notes(request: Request, parts: Iterable[Sequence[Record]], made: int) -> list[Note]:
    """Return a note on each time of a request that no mark vouches for; `made`: when it was handed over (s)."""
    end = min(made, request.end - request.end % _DAY + _DAY)
    return [_note(begin, over) for begin, over in gaps(vouched(parts), request.start, end)]


def _note(begin: int, over: int) -> Note:
    return Note(
        f"from {times.utc(begin)} to {times.utc(over)} nothing shows that the gateway heard and kept every connection: "
        "one of the window that went on then may be missing",
        f"Du {times.french(begin)} au {times.french(over)}, rien n'établit que la borne a tout entendu et tout "
        "conservé (finalité arrêtée, terme échu, effacement, coupure, redémarrage, perte, heure non confirmée) : une "
        "connexion de la période demandée, encore en cours alors, peut manquer.",
    )
