# SPDX-License-Identifier: Apache-2.0
"""What leaves the gateway, octet by octet: JSON of one shape and one length a kind (ANON-3, ANON-4).

Written out key by key, so that both interpreters make the same octets and no key comes and goes. Numbers only, and words
of closed lists: there is no place for terminal data.
"""

from agent.summary.metrics import half_width

SUMMARY_OCTETS = 320
HEALTH_OCTETS = 512


def _pad(text: str, octets: int) -> bytes:
    if len(text) > octets:
        raise ValueError("message longer than its fixed length")
    return (text + " " * (octets - len(text))).encode()


def date(day: int) -> str:
    """Return days since the epoch as YYYY-MM-DD (proleptic Gregorian, Howard Hinnant's civil_from_days)."""
    z = day + 719468
    era, doe = z // 146097, z % 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return "%04d-%02d-%02d" % (year, month, doy - (153 * mp + 2) // 5 + 1)


def summary(gateway: str, metric: "Metric", day: int, slot: int, start: int, end: int, value: int, b: "tuple[int, int]") -> bytes:
    """Return one summary message; start and end in seconds since the epoch, b as a fraction, 95 % half-width ceil(3b)."""
    text = (
        '{"schema":"oubli/%s/1","gateway":"%s","day":"%s","slot":%d,"start":%d,"end":%d,"unit":"%s","value":%d,"b":[%d,%d],"half_width":%d}'
    ) % (metric.name, gateway, date(day), slot, start, end, metric.unit, value, b[0], b[1], half_width(b))
    return _pad(text, SUMMARY_OCTETS)


def health(gateway: str, time: int, facts: "dict[str, Any]") -> bytes:
    """Return the health message. `facts`: late, capture, clock, day, spent, ceiling, duty, all of the device itself."""
    text = (
        '{"schema":"oubli/health/1","gateway":"%s","time":%d,"purposes":{"security":{"on":%s,"late":%s}},"capture":"%s",'
        '"clock":"%s","ledger":{"day":"%s","spent":%d,"ceiling":%d},"duty":"%s"}'
    ) % (
        gateway,
        time,
        "true" if facts["security"] else "false",
        "true" if facts["late"] else "false",
        facts["capture"],
        facts["clock"],
        date(facts["day"]),
        facts["spent"],
        facts["ceiling"],
        facts["duty"],
    )
    return _pad(text, HEALTH_OCTETS)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.summary.metrics import Metric
