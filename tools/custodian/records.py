# SPDX-License-Identifier: Apache-2.0
"""Records as rows for people and for JSON, through the packers' own other half; octets where that fails."""

import ipaddress
from datetime import UTC, datetime
from typing import Any

from agent.vault import attribution, billing
from agent.vault.varint import Cut


def _time(second: int | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).isoformat()


def _attribution(data: bytes) -> dict[str, Any]:
    record = attribution.unpack(data)
    return {
        "protocol": record.protocol,
        "public_address": str(ipaddress.ip_address(record.public_address)),
        "first_port": record.first,
        "last_port": record.last,
        "address": str(ipaddress.ip_address(record.address)),
        "mac": record.mac.hex(":"),
        "portal_user": record.portal_user.decode(errors="replace"),
        "start": _time(record.start),
        "end": _time(record.end),
        "confirmed": record.confirmed,
    }


def _billing(data: bytes) -> dict[str, Any]:
    record = billing.unpack(data)
    return {
        "portal_user": record.portal_user.decode(errors="replace"),
        "mac": record.mac.hex(":"),
        "start": _time(record.start),
        "end": _time(record.end),
        "bytes_up": record.bytes_up,
        "bytes_down": record.bytes_down,
        "confirmed": record.confirmed,
    }


_ROWS = {"attribution": _attribution, "billing": _billing}


def plain(purpose: str, data: bytes) -> dict[str, Any]:
    """Return a record's fields, or its octets where they aren't a record of that purpose."""
    try:
        return _ROWS[purpose](data)
    except (KeyError, Cut):
        return {"octets": data.hex()}
