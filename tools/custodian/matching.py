# SPDX-License-Identifier: Apache-2.0
"""Which records a request's scope covers, and no others: what an answer may hold (L34-II-4, L34-III-2).

A holding is in the store twice, begun and ended. One without an end was cut off by a loss of power, or goes on. It goes
on where the gateway says that it has run since before the holding began. Else it is certain as long as the marks around
its begin go on without a gap: one process wrote them, and would have written the end before
(tools/custodian/coverage.py). From then until its UTC day is over, its block is another's or the handover was made, it
may have gone on: nobody is named. Nor is anybody on a day of which a part can't be read: what ends a holding, or denies
its time, may stand there. What was written under a clock that nobody had confirmed says nothing of when it was: it
names nobody, proves nothing of others, and makes every time of the days that were searched doubtful for its ports.
A person who asks what is held on her gets it all the same, with the times that the clock showed: whose it is isn't in
doubt (GDPR art. 15).
Nobody is named either for a time that came twice, both times confirmed, for the clock was set back between. Nor is
anybody for one that the time service has denied since. Times are cut to the window: what a terminal did before and
after it isn't asked for.
"""

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from agent.purposes.requests.requests import Request
from tools.custodian import coverage, times
from tools.custodian.notes import Note

DAY = 86400
_NEVER = 1 << 40
_AT_NO_TIME = -1


@dataclass
class Holding:
    """A holding.

    Its record's end is the recorded one, or the latest that it can have been; it is certain until `until` (s).
    """

    record: attribution.Record
    until: int
    recorded: bool


def _key(record: attribution.Record) -> tuple[object, ...]:
    return record.public_address, record.first, record.last, record.address, record.mac, record.start


def holdings(
    parts: Iterable[Sequence[attribution.Record]],
    made: int = _NEVER,
    unbroken: int = _NEVER,
) -> list[Holding]:
    """Return the holdings, each once; what its rows say of it is put together.

    `parts` are the records of each segment, with the marks among them. They were handed over at `made` (s), by a
    recorder that has run, and whose clock has stood, since `unbroken`.
    """
    found: dict[tuple[object, ...], attribution.Record] = {}
    parts = [*parts]
    spans, back = coverage.vouched(parts), coverage.taken_back(parts)
    for records in parts:
        for record in records:
            if record.protocol is not None or coverage.is_mark(record):
                continue
            known = found.setdefault(_key(record), record)
            if record is not known and record.end is None:
                # It goes on, or is another user's, who came in its first second
                known.end, known.portal_user = None, record.portal_user
            else:
                known.end = record.end if known.end is None else max(known.end, record.end or 0)
            known.confirmed = known.confirmed and record.confirmed
            known.portal_user = known.portal_user or record.portal_user
    begun = sorted(found.values(), key=lambda one: one.start)
    every = []
    for one in begun:
        if one.end is not None:
            every.append(Holding(one, one.end if one.confirmed else _AT_NO_TIME, recorded=True))
            continue
        later = [
            next_.start for next_ in begun if next_.confirmed and next_.start > one.start and _same_ports(one, next_)
        ]
        one.end = min([*later, one.start - one.start % DAY + DAY, max(made, one.start)])
        until = made if one.start >= unbroken else coverage.reach(spans, one.start)
        if coverage.touches(back, one.start, one.start):
            until = one.start
        every.append(Holding(one, min(until, one.end) if one.confirmed else _AT_NO_TIME, recorded=False))
    return every


def _same_ports(one: attribution.Record, other: attribution.Record) -> bool:
    return one.public_address == other.public_address and other.first <= one.last and one.first <= other.last


def identity(request: Request, octets: bytes) -> object:
    """Return what is the same of two records of one thing: a holding's begun and ended row are one."""
    if request.store != "attribution":
        return octets
    record = attribution.unpack(octets)
    return _key(record) if record.protocol is None else octets


def records(octets: Iterable[Sequence[bytes]]) -> list[list[attribution.Record]]:
    """Return the records of `attribution` of each segment; Cut where one can't be read."""
    return [[attribution.unpack(one) for one in part] for part in octets]


def _is_subject(request: Request, record: attribution.Record | billing.Record) -> bool:
    scope = request.scope
    return record.portal_user == scope.user if scope.user else record.mac == scope.mac


def _in_scope(request: Request, record: attribution.Record) -> bool:
    scope = request.scope
    if not scope.public:
        return _is_subject(request, record)
    same = record.protocol in (None, scope.protocol) and record.public_address == scope.public
    return same and record.first <= scope.port <= record.last


def attributed(
    request: Request,
    parts: Sequence[Sequence[attribution.Record]],
    made: int = _NEVER,
    unbroken: int = _NEVER,
    damaged: Collection[int | None] = (),
) -> list[Holding]:
    """Return what of `attribution` touches the scope, a port's or a terminal's, certain or not.

    `damaged`: days of which not all could be read, since the epoch.
    """
    single = {  # a restart around midnight may write a part of one twice
        attribution.pack(one): Holding(one, (one.end or 0) if one.confirmed else _AT_NO_TIME, recorded=True)
        for part in parts
        for one in part
        if one.protocol is not None and _touches(request, one)
    }
    found = [*single.values(), *(one for one in holdings(parts, made, unbroken) if _touches(request, one.record))]
    denied = coverage.twice(parts) + [(day * DAY, day * DAY + DAY) for day in damaged if day is not None]
    for one in found:
        if coverage.touches(denied, max(one.record.start, request.start), min(one.until, request.end)):
            one.record.confirmed, one.until = False, _AT_NO_TIME
    return found


def unsure(octets: bytes) -> bytes:
    """Return a record as one that says nothing of when it was."""
    record = attribution.unpack(octets)
    record.confirmed = False
    return attribution.pack(record)


def _touches(request: Request, record: attribution.Record) -> bool:
    """Return True if a record lies in the scope, and in the window as far as anybody knows."""
    return _in_scope(request, record) and _may_touch(request, record)


def _may_touch(request: Request, record: attribution.Record) -> bool:
    return not record.confirmed or (record.start <= request.end and (record.end or 0) >= request.start)


def billed(request: Request, octets: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Return the records of `billing` that the scope covers."""
    found = []
    for part in octets:
        for data in part:
            one = billing.unpack(data)
            if _is_subject(request, one) and one.start <= request.end and one.end >= request.start:
                found.append(data)
    return found


def rows(
    request: Request,
    octets: Iterable[Sequence[bytes]],
    made: int = _NEVER,
    unbroken: int = _NEVER,
    damaged: Collection[int | None] = (),
    preserved: Iterable[bytes] = (),
    read: Sequence[Sequence[attribution.Record]] | None = None,
) -> tuple[list[dict[str, Any]], list[Note]]:
    """Return what an answer says of each record in the scope, by time, and a note on each time that isn't known.

    `octets` are the records of each segment, as they were written; `preserved`: those of them that an order's copy
    alone has, which ends a holding at the last moment at which it is certain. `read` is `records(octets)`, where
    somebody has called it; the records in it change.
    """
    if request.store == "attribution":
        copied = {identity(request, one) for one in preserved}
        touched = sorted(
            attributed(request, records(octets) if read is None else read, made, unbroken, damaged),
            key=lambda one: one.record.start,
        )
        for one in touched:
            one.recorded = one.recorded and (one.record.protocol is not None or _key(one.record) not in copied)
        own = request.purpose == "access"  # hers, whenever it was
        shown = [one for one in touched if one.until >= request.start or (own and not one.record.confirmed)]
        return [_port_row(request, one) for one in shown], [
            _unknown(request, one, max(one.until, request.start), min(one.record.end or 0, request.end))
            for one in touched
            if one.record.confirmed and one.until < min(one.record.end or 0, request.end)
        ] + [_UNTIMED if own else _UNCONFIRMED] * any(not one.record.confirmed for one in touched)
    sessions = [billing.unpack(data) for data in billed(request, octets)]
    return [session_row(one) for one in sorted(sessions, key=lambda one: one.start)], []


def _unknown(request: Request, holding: Holding, begin: int, end: int) -> Note:
    since = holding.record.start
    of, french = ("this port", "de ce port") if request.scope.public else ("theirs", "de ports à son sujet")
    return Note(
        f"not known from {times.utc(begin)} to {times.utc(end)}: "
        f"a holding of {of} began at {times.utc(since)}, and its end isn't recorded",
        f"Inconnu du {times.french(begin)} au {times.french(end)} : une attribution {french} a commencé le "
        f"{times.french(since)}, et sa fin n'est pas enregistrée (coupure de courant, "
        "ou attribution encore en cours).",
    )


_UNCONFIRMED = Note(
    "the days that were searched have records of it that were written under a clock that nobody had confirmed, or of "
    "a time that it showed twice, or that the time service has denied since, or may have: of a day of which a part "
    "can't be read, or in an order's copy that was made within nine days, of a day of which nothing opens any more. "
    "When they were isn't known, and nobody is named for them",
    "Les jours examinés comportent des enregistrements écrits alors que personne n'avait confirmé l'heure de la "
    "borne, ou d'un moment qu'elle a indiqué deux fois, ou que le service de temps a démenti depuis, ou a pu "
    "démentir : d'un jour dont une partie est illisible, ou dans une copie préservée faite dans les neuf jours, d'un "
    "jour dont plus rien n'est lisible. Leur moment n'est pas connu, et personne n'est désigné d'après eux.",
)


_UNTIMED = Note(
    "records of it were written under a clock that nobody had confirmed, or are of a time that it showed twice, or "
    "that the time service has denied since, or may have: they stand here with the times that the clock showed, which "
    "may be wrong",
    "Des enregistrements ont été écrits alors que personne n'avait confirmé l'heure de la borne, ou datent d'un moment "
    "qu'elle a indiqué deux fois, ou que le service de temps a démenti depuis, ou a pu démentir : ils figurent ici "
    "avec l'heure que la borne indiquait, qui peut être fausse.",
)


def _port_row(request: Request, holding: Holding) -> dict[str, Any]:
    one = holding.record
    begin, end, held = max(one.start, request.start), min(holding.until, request.end), ""
    if not one.confirmed:  # as its clock showed: that isn't to be compared with the window
        begin, end = one.start, (one.end or one.start) if holding.recorded else one.start
    elif not holding.recorded:
        held = f", held at least until {times.utc(holding.until)}"
    return {
        "from": times.utc(begin),
        "until": times.utc(end),
        "from_paris": times.paris(begin),
        "until_paris": times.paris(end),
        "end": "recorded" if holding.recorded else f"not recorded{held}",
        "protocol": request.scope.protocol if request.scope.public else one.protocol,
        "public_address": str(ipaddress.ip_address(one.public_address)),
        "public_ports": f"{one.first}" if one.first == one.last else f"{one.first}-{one.last}",
        "terminal_address": str(ipaddress.ip_address(one.address)),
        "terminal_mac": one.mac.hex(":") if any(one.mac) else "unknown",
        "portal_user": one.portal_user.decode(errors="replace"),
        "clock_confirmed": one.confirmed,
    }


def session_row(one: billing.Record) -> dict[str, Any]:
    """Return what is said of a session."""
    return {
        "from": times.utc(one.start),
        "until": times.utc(one.end),
        "from_paris": times.paris(one.start),
        "until_paris": times.paris(one.end),
        "portal_user": one.portal_user.decode(errors="replace"),
        "terminal_mac": one.mac.hex(":"),
        "bytes_up": one.bytes_up,
        "bytes_down": one.bytes_down,
        "clock_confirmed": one.confirmed,
    }
