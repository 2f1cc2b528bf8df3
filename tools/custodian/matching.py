# SPDX-License-Identifier: Apache-2.0
"""Which records a request's scope covers, and no others: what an answer may hold (L34-II-4, L34-III-2).

A holding is in the store twice, begun and ended; one that has no end counts until its own UTC day is over, or until its block is
another's. Times are cut to the window: what a terminal did before and after it isn't asked for.
"""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agent.control.requests import Request
from agent.vault import attribution, billing

DAY = 86400


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def holdings(records: Iterable[attribution.Record]) -> list[attribution.Record]:
    """Return the holdings, each once, each with an end; what its rows say of it is put together."""
    found: dict[tuple[object, ...], attribution.Record] = {}
    for record in records:
        if record.protocol is not None:
            continue
        key = (record.public_address, record.first, record.last, record.address, record.mac, record.start)
        known = found.setdefault(key, record)
        known.end = record.end if known.end is None else max(known.end, record.end or 0)
        known.portal_user = known.portal_user or record.portal_user
    begun = sorted(found.values(), key=lambda one: one.start)
    for one in begun:
        if one.end is None:
            # Power was lost: until its day is over, or the block is another's.
            later = [next_.start for next_ in begun if next_.start > one.start and _same_ports(one, next_)]
            one.end = min([*later, one.start - one.start % DAY + DAY])
    return begun


def _same_ports(one: attribution.Record, other: attribution.Record) -> bool:
    return one.public_address == other.public_address and other.first <= one.last and one.first <= other.last


def of_port(request: Request, octets: Iterable[bytes]) -> list[attribution.Record]:
    """Return the records of `attribution` that the scope covers."""
    every = [attribution.unpack(one) for one in octets]
    rows = [one for one in every if one.protocol == request.protocol] + holdings(every)
    return [
        one
        for one in rows
        if one.public_address == request.public
        and one.first <= request.port <= one.last
        and one.start <= request.end
        and (one.end or 0) >= request.start
    ]


def rows(request: Request, octets: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what an answer says of each record that the scope covers, in order of time."""
    if request.store == "attribution":
        return [_port_row(request, one) for one in sorted(of_port(request, octets), key=lambda one: one.start)]
    sessions = [billing.unpack(one) for one in octets]
    mine = [one for one in sessions if (one.portal_user == request.user if request.user else one.mac == request.mac)]
    mine = [one for one in mine if one.start <= request.end and one.end >= request.start]
    return [_session_row(one) for one in sorted(mine, key=lambda one: one.start)]


def _port_row(request: Request, one: attribution.Record) -> dict[str, Any]:
    return {
        "from": _time(max(one.start, request.start)),
        "until": _time(min(one.end or 0, request.end)),
        "protocol": request.protocol,
        "public_address": str(ipaddress.ip_address(one.public_address)),
        "public_ports": f"{one.first}" if one.first == one.last else f"{one.first}-{one.last}",
        "terminal_address": str(ipaddress.ip_address(one.address)),
        "terminal_mac": one.mac.hex(":") if any(one.mac) else "unknown",
        "portal_user": one.portal_user.decode("ascii", "replace"),
        "clock_confirmed": one.confirmed,
    }


def _session_row(one: billing.Record) -> dict[str, Any]:
    return {
        "from": _time(one.start),
        "until": _time(one.end),
        "portal_user": one.portal_user.decode("ascii", "replace"),
        "terminal_mac": one.mac.hex(":"),
        "bytes_up": one.bytes_up,
        "bytes_down": one.bytes_down,
        "clock_confirmed": one.confirmed,
    }
