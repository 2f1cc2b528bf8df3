# SPDX-License-Identifier: Apache-2.0
"""What is held on one terminal beside the stores (GDPR art. 15).

Addresses, the portal's word, public ports, its row of the day's table.

And what is on its way into a store: the stay and the session that go on, and what waits to be sealed.

Asked in the child process of the recorder's that answers a look
(agent.recorder.right_of_access), whose changes are nobody else's.
"""

from agent import law
from agent.base import dates
from agent.purposes.also_held import sealed as stores
from agent.summary.metrics import QUARTERS, SHIFT
from agent.summary.services import CLASSES, PROTOCOLS
from agent.summary.terminals import QUARTERS_AT, Row

_SECOND = 1000000000


def also_held(recorder: "Recorder", mac: bytes, written: "Callable[[bytes], str]") -> "dict[str, Any]":
    """Return the first line of a look: the sealed stores with their ends, what else is held, whose time it is.

    `written` writes an address.
    """
    sealed = [
        {"purpose": name, "lifetime_seconds": seconds, "unseen": unseen}
        for name, seconds, unseen in stores(recorder.config, recorder.paths)
    ]
    return {"sealed": sealed, "held": of(recorder, mac, written), "clock": recorder.clock.state}


def of(recorder: "Recorder", mac: bytes, written: "Callable[[bytes], str]") -> "dict[str, Any]":
    """Return what is held beside the stores, by the names of agent.cli.article; what isn't there isn't named."""
    source = recorder.clock.source
    booted = (source.wall() - source.monotonic()) // _SECOND  # s since the epoch

    def at_boot(seconds: int) -> str:
        return dates.moment(booted + seconds)

    def one(user: bytes) -> str:
        return user.decode() + ", " if user else ""

    name = ":".join(["%02x" % octet for octet in mac])  # whose all of it is: of no use to her without (GDPR 15)
    found: "dict[str, Any]" = {
        "addresses": [
            f"{written(address)} ({name}, {dates.moment(since // _SECOND)} UTC)"
            for address, since in recorder.guests.holders.of(mac)
        ]
    }
    deferred = recorder.groups.deferred
    if deferred is not None:
        user = deferred.sessions.user(mac).decode()
        if user:
            since, last = deferred.sessions.times(mac)
            found["portal"] = f"{user} ({at_boot(since)} - {at_boot(last)} UTC)"
        found["ports"] = [
            f"{ports} ({written(address)} > {written(public)}, {one(whose)}{dates.moment(since)} - {at_boot(last)} UTC)"
            for ports, address, public, whose, since, last in deferred.attribution.holdings.ports_of(mac)
        ]
    terminals = recorder.day.terminals
    terminals.objects = lambda _mac: True  # a look makes no row
    at = terminals.row_of(mac, 0)
    if at:
        view, table = terminals.in_place()
        row = Row(view, table, terminals.rank)
        row.at = at
        quarters = [
            dates.moment(SHIFT + 900 * number)[11:16] + " UTC"  # its beginning: who saves this has no table of ours
            for number in range(QUARTERS)
            if view[at + QUARTERS_AT + (number >> 3)] >> (number & 7) & 1
        ]
        names = [CLASSES[number] for number in range(len(CLASSES)) if row.uses(number)]
        arrival = dates.moment(terminals.day * law.DAY + SHIFT + 600 * row.sixth())[:16] + " UTC"
        found["counting"] = {"arrival": arrival, "quarter_hours": quarters, "kib": row.kib(), "services": names}
    return {name: found[name] for name in found if found[name]}


def unsealed(
    recorder: "Recorder", mac: bytes, written: "Callable[[bytes], str]"
) -> "Generator[tuple[str, dict[str, Any]]]":
    """Yield what no store has yet: a purpose, and the row; with `going_on` what lasts, up to its newest sign."""
    consented = recorder.groups.consented
    stay = consented.stations.stays.of(mac) if consented is not None else None
    if stay is not None:
        yield "location", {"start": stay[0], "access_point": stay[1].decode(), "going_on": True}
    deferred = recorder.groups.deferred
    if deferred is None:
        return
    session = deferred.billing.session(mac) if deferred.billing is not None else None
    if session is not None:
        yield "billing", _row("billing", session, written, {"going_on": True})
    for holding in deferred.attribution.holdings.rows_of(mac):
        yield "attribution", _row("attribution", holding, written, {"going_on": True})
    user = deferred.sessions.user(mac)
    kept: "dict[str, Any]" = recorder.kept.by_name
    for name in sorted(kept):
        if law.purpose(name).custody == law.CUSTODIAN:
            unpack = __import__("agent.purposes." + name + ".record", None, None, ("unpack",)).unpack
            for record in [unpack(octets) for page in kept[name].pages() for octets in page.waiting()]:
                if record.mac == mac or (user and not record.mac and record.portal_user == user):
                    yield name, _row(name, record, written, {})


def _row(name: str, record: "Any", written: "Callable[[bytes], str]", row: "dict[str, Any]") -> "dict[str, Any]":
    """Return what is told of a record, with the fields that the law names."""
    row["start"] = record.start
    if record.end is not None:
        row["seconds"] = record.end - record.start
    if record.portal_user:
        row["portal_user"] = record.portal_user.decode()
    if name == "billing":
        row["bytes_up"], row["bytes_down"] = record.bytes_up, record.bytes_down
        return row
    row["address"], row["public_address"] = written(record.address), written(record.public_address)
    if record.protocol is not None:
        row["protocol"] = PROTOCOLS.get(record.protocol, str(record.protocol))
    row["translated_port"] = str(record.first) + ("" if record.first == record.last else "-" + str(record.last))
    return row


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator

    from agent.recorder.recorder import Recorder
