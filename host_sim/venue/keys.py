# SPDX-License-Identifier: Apache-2.0
"""The keys of a scenario: where each stands, its default, what is accepted, what it means (host_sim.venue.scenario)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from host_sim.venue.people import KINDS

# Seconds, as a gateway has them: OpenWrt's three (its 11-nf-conntrack.conf), else the
# kernel's (nf_conntrack-sysctl documentation).
TIMEOUTS = {
    "tcp_timeout_syn_sent": 120,
    "tcp_timeout_established": 7440,
    "tcp_timeout_time_wait": 120,
    "tcp_timeout_close": 10,
    "udp_timeout": 60,
    "udp_timeout_stream": 180,
    "icmp_timeout": 30,
}
# What may happen to the gateway: the keys beside `what`, `at` and `every` that say how long or how much.
EVENTS = {
    "power cut": ("minutes",),
    "firmware update": ("minutes",),
    "crash": ("minutes",),
    "suspend": ("minutes",),
    "uplink lost": ("minutes",),
    "broker down": ("minutes",),
    "clock step": ("seconds",),
    "look": (),
    "port scan": ("amount", "minutes"),
    "mac flood": ("amount", "minutes"),
    "address flood": ("amount", "minutes"),
    "forged neighbour": ("minutes",),
    "connection flood": ("amount", "minutes"),
    "forged lease": ("minutes",),
    "operator look": (),
    "erase": (),
    "erase terminal": (),
    "standstill": ("minutes",),
    "factory reset": ("minutes",),
    "restored ledger": ("minutes",),
    "restored log": ("minutes",),
    "restored consents": ("minutes",),
    "restored backup": ("minutes",),
    "reinstallation": ("minutes",),
    "full ledger": ("minutes",),
    "full log": ("minutes",),
    "full consents": ("minutes",),
    "full spool": ("minutes",),
    "full stores": ("minutes",),
    "full flash": ("minutes",),
    "first boot cut": ("minutes",),
    "custodian clock": ("seconds",),
}
_UNITS = {"m": 60, "h": 3600, "d": 86400}
CAFE = (0, 0, 0, 0, 0, 0, 0, 6, 12, 11, 9, 10, 18, 17, 13, 12, 13, 14, 15, 12, 9, 6, 0, 0)


class WrongError(Exception):
    """A value that isn't accepted; the text says what is."""


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:  # noqa: ANN401 (whatever the file has)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise WrongError(f"a number from {low} to {high}")
        if whole and isinstance(value, float):
            raise WrongError("a whole number")
        return value

    return check


def _weights(count: int) -> Callable[[Any], Any]:
    def check(value: Any) -> tuple[float, ...]:  # noqa: ANN401 (whatever the file has)
        numbers = isinstance(value, list | tuple) and all(
            isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < 1e6 for w in value
        )
        if not numbers or len(value) != count or not sum(value):
            raise WrongError(f"{count} weights, none below 0, not all of them 0")
        return tuple(float(weight) for weight in value)

    return check


def _moment(value: Any) -> datetime:  # noqa: ANN401 (whatever the file has)
    if not isinstance(value, datetime) or value.tzinfo is None or not 1_000_000_000 < value.timestamp() < 4_000_000_000:
        raise WrongError("a date and time with its zone, from 2002 to 2096, such as 2026-11-25T03:00:00Z")
    return value


def _shown(value: Any) -> datetime | str:  # noqa: ANN401 (whatever the file has)
    if value == "right":
        return "right"
    if not isinstance(value, datetime) or value.tzinfo is None or not 0 <= value.timestamp() < 4_200_000_000:
        raise WrongError('"right", or a date and time with its zone, from 1970 to 2103')
    return value


def _span(value: Any) -> int:  # noqa: ANN401 (whatever the file has)
    if isinstance(value, str) and value[:-1].isdigit() and value[-1:] in _UNITS and len(value) < 8:
        return int(value[:-1]) * _UNITS[value[-1:]]
    raise WrongError("a number and m, h or d, such as 24h")


def _flag(value: Any) -> bool:  # noqa: ANN401 (whatever the file has)
    if not isinstance(value, bool):
        raise WrongError("true or false")
    return value


def _days(value: Any) -> int:  # noqa: ANN401 (whatever the file has)
    seconds = _span(value)
    if seconds % 86400 or not 1 <= seconds // 86400 <= 365:
        raise WrongError("whole days, from 1d to 365d")
    return seconds // 86400


def _text(value: Any) -> str:  # noqa: ANN401 (whatever the file has)
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 200:
        raise WrongError("a line of at most 200 characters")
    return value


class Key(NamedTuple):
    """One key: `check` returns the value in use, or raises WrongError; `written` is its default in a file."""

    section: str
    name: str
    default: Any
    check: Callable[[Any], Any]
    means: str
    written: str = ""


KEYS = (
    Key("", "description", "A venue of one's own", _text, "one line, shown by `oubli-sim list`"),
    Key("time", "start", datetime(2026, 11, 25, 3, tzinfo=UTC), _moment,
        "the gateway boots; an agent-day begins at 03:00 UTC", "2026-11-25T03:00:00Z"),
    Key("time", "utc_offset", 1, _number(-12, 14, whole=True), "hours: the venue's local time"),
    Key("time", "days", 1, _number(0.01, 400), "days with people"),
    Key("people", "visitors", 200, _number(0, 100_000), "devices on a day of average weight"),
    Key("people", "arrivals", CAFE, _weights(24), "weights of arrivals by local hour, 0 to 23", str(list(CAFE))),
    Key("people", "weekdays", (1,) * 7, _weights(7), "weights of the days, Monday first", str([1] * 7)),
    Key("people", "stay", 1.0, _number(0.01, 100), "scales how long each stays (a phone's median is 40 minutes)"),
    Key("people", "closes", 24, _number(0.5, 24), "local hour: whoever is still there leaves; 24: nobody has to"),
    Key("people", "ipv6", 0.8, _number(0, 1), "share of devices that take IPv6 addresses"),
    Key("people", "activity", 0.78, _number(0, 100), "scales what every device does"),
    Key("people", "sleep", 0.0, _number(0, 1), "share of its stay that a device sleeps: no pages, no streams"),
    Key("people", "rotate", 0.0, _number(0, 1000), "hours after which a device takes another random MAC; 0: never"),
    Key("people", "roams", 0.0, _number(0, 60), "times an hour that a device changes its access point"),
    Key("people", "kinds", tuple(kind.share for kind in KINDS), _weights(len(KINDS)),
        "weights of " + ", ".join(kind.name for kind in KINDS), str([kind.share for kind in KINDS])),
    Key("network", "addresses", 1000, _number(2, 60_000, whole=True), "DHCP pool, given out in turn"),
    Key("network", "dual_stack", 0.6, _number(0, 1), "share of connections of an IPv6 device that take IPv6"),
    Key(
        "network", "table", 16384, _number(64, 262_144, whole=True),
        "nf_conntrack_max: a full table makes no connections",
    ),
    Key("network", "latency", 0, _number(0, 5000), "ms to the broker, and as much back; they pass for real"),
    *(
        Key("network.timeouts", name, seconds, _number(1, 500_000, whole=True), "seconds")
        for name, seconds in TIMEOUTS.items()
    ),
    Key("clock", "shows", "right", _shown, "what the clock shows after a boot: right, or a time", '"right"'),
    Key("clock", "drift", 0, _number(-500, 500, whole=True), "parts in a million by which the quartz runs fast"),
    Key("clock", "first", 1, _number(0, 100_000), "minutes after a boot to the first confirmation of the time"),
    Key(
        "clock", "confirms", 60, _number(0, 100_000),
        "minutes between the next ones; the second comes after 11; 0: never",
    ),
    Key("gateway", "lifetime", "24h", _span, "of the purpose `security`", '"24h"'),
    Key(
        "gateway", "rows", 4096, _number(16, 65536, whole=True),
        "terminals of a day that are counted; 4 x the busiest day",
    ),
    Key("gateway", "rate", 5000, _number(10, 1_000_000), "events a second that its processor reads"),
    Key(
        "gateway", "budget", 4_194_304, _number(65536, 1 << 30, whole=True),
        "bytes that `security` may take; more displaces the oldest",
    ),
    Key(
        "gateway", "spool_bytes", 1_048_576, _number(65536, 67_108_864, whole=True),
        "messages that wait for the broker, at most",
    ),
    Key("gateway", "spool_days", 7, _number(1, 365, whole=True), "how long they wait, at most"),
    Key("purposes", "attribution", False, _flag, "port blocks, a row a lease, under a custodian's keys", "false"),
    Key("purposes", "billing", False, _flag, "a record a session, under the custodian's keys", "false"),
    Key(
        "purposes", "sealed", "30d", _days,
        "lifetime of both; the custodian destroys each day's key so long after it", '"30d"',
    ),
    Key("purposes", "portal", 0.0, _number(0, 1), "share of devices whose user logs in at the portal"),
    Key(
        "purposes", "consent", 0.0, _number(0, 1),
        "share of devices that consent to `services` and `location`; 0: both are off",
    ),
    Key("purposes", "suspend", 0.0, _number(0, 1), "share of these that suspend their consent for a while"),
    Key("purposes", "withdraw", 0.0, _number(0, 1), "share of these that withdraw it before they leave"),
    Key("event", "what", None, _text, "one of: " + ", ".join(EVENTS)),
    Key("event", "at", None, _number(0, 9600), "hours after the start"),
    Key("event", "every", 0, _number(0, 9600), "hours after which it comes again; 0: once"),
    Key("event", "minutes", 0, _number(0, 100_000), "how long it lasts"),
    Key("event", "seconds", 0, _number(-1e10, 1e10), "by how much the clock is stepped"),
    Key("event", "amount", 0, _number(0, 1_000_000, whole=True), "of connections, MACs or addresses"),
)  # fmt: skip
