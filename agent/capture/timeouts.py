# SPDX-License-Identifier: Apache-2.0
"""When a connection really ended: the kernel's time-outs, and what they have been (EXP-1, DESIGN.md "Capture").

TIMESTAMP_STOP is when the entry timed out, that is its last packet plus the timeout T of the state it died in. So
`end = STOP - T`, where T is the largest value that timeout has had since the connection began; an entry deleted early says
how much of T was left. `end` is thus never later than the last packet, and early by what the kernel had shortened (its
`unacknowledged` and `max_retrans` timeouts).
Source: net/netfilter/nf_conntrack_proto_*.c; values in seconds from /proc/sys/net/netfilter.
"""

from agent.capture.connections import ASSURED, GRE, ICMP, ICMPV6, SEEN_REPLY, TCP, UDP

FOLDER = "/proc/sys/net/netfilter/nf_conntrack_"
_KEPT = 16  # former values remembered for each timeout
_SECOND = 1000000000

_TCP_STATES = (
    "",
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_recv",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_close_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_time_wait",
    "tcp_timeout_close",
    "tcp_timeout_syn_sent2",
)
# SCTP and DCCP have states too; their longest time-out is never too short.
_OTHERS = {ICMP: "icmp_timeout", ICMPV6: "icmpv6_timeout", 33: "dccp_timeout_open", 132: "sctp_timeout_established"}
# The kernel's own defaults, used where a value can't be read.
DEFAULTS = {
    "tcp_timeout_syn_sent": 120,
    "tcp_timeout_syn_recv": 60,
    "tcp_timeout_established": 432000,
    "tcp_timeout_fin_wait": 120,
    "tcp_timeout_close_wait": 60,
    "tcp_timeout_last_ack": 30,
    "tcp_timeout_time_wait": 120,
    "tcp_timeout_close": 10,
    "tcp_timeout_syn_sent2": 120,  # a constant of the kernel's, not a setting: lowering syn_sent leaves it
    "udp_timeout": 30,
    "udp_timeout_stream": 120,
    "icmp_timeout": 30,
    "icmpv6_timeout": 30,
    "gre_timeout": 30,
    "gre_timeout_stream": 180,
    "sctp_timeout_established": 432000,
    "dccp_timeout_open": 43200,
    "generic_timeout": 600,
}


def read_sysctl(name: str) -> "int | None":
    """Return a conntrack setting by its name without prefix; None where this kernel lacks it."""
    try:
        with open(FOLDER + name) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def name_of(connection: "Connection") -> str:
    """Return the timeout that ran when this connection's entry ended."""
    protocol = connection.protocol
    if protocol == TCP and 0 < connection.state < len(_TCP_STATES):
        return _TCP_STATES[connection.state]
    if protocol == TCP:
        return "tcp_timeout_established"
    if protocol == UDP:
        return "udp_timeout_stream" if connection.status & ASSURED else "udp_timeout"
    if protocol == GRE:
        return "gre_timeout_stream" if connection.status & SEEN_REPLY else "gre_timeout"
    return _OTHERS.get(protocol, "generic_timeout")


class Timeouts:
    """The values in force, and the former ones as long as a connection may have lived under them."""

    def __init__(self, read: "Callable[[str], int | None]" = read_sysctl) -> None:
        self._read = read
        self._current = dict(DEFAULTS)
        self._former: "dict[str, list[tuple[int, int]]]" = {}
        for name in DEFAULTS:
            value = read(name)
            if value is not None:
                self._current[name] = value

    def refresh(self, now: int) -> None:
        """Read every value again (every 10 s); `now` is the wall clock in ns."""
        for name in DEFAULTS:
            value = self._read(name)
            if value is None or value == self._current[name]:
                continue
            former = self._former.setdefault(name, [])
            former.append((now, self._current[name]))
            if len(former) > _KEPT:
                # Too many changes to tell apart: keep the larger of the two oldest, for the longer of their times.
                oldest, next_oldest = former[0], former[1]
                former[0:2] = [(next_oldest[0], max(oldest[1], next_oldest[1]))]
            self._current[name] = value

    def shift(self, step: int) -> None:
        """Take note that the wall clock was stepped by so many ns."""
        for name, former in self._former.items():
            self._former[name] = [(until + step, value) for until, value in former]

    def end(self, connection: "Connection") -> int:
        """Return when the connection's last packet passed, in ns of the kernel's wall clock, at the latest."""
        name = name_of(connection)
        seconds = self._current[name]
        former = self._former.get(name)
        if former:
            for until, value in former:
                if until >= connection.start and value > seconds:
                    seconds = value
        ran = seconds - connection.remaining
        end = connection.stop - ran * _SECOND if ran > 0 else connection.stop
        return max(end, connection.start)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.capture.connections import Connection
