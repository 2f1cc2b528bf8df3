# SPDX-License-Identifier: Apache-2.0
"""When a connection really ended: the kernel's time-outs, and what they have been (EXP-1).

TIMESTAMP_STOP is when the entry timed out, that is its last packet plus the timeout T of the state it died in. So
`end = STOP - T`, where T is the largest value that timeout has had since the connection began. An entry deleted early
says how much of T was left. `end` is thus no later than the last packet, but for a tick of the kernel's. It is early by
what the kernel had shortened (its `unacknowledged` and `max_retrans` timeouts). A rule may give a connection a `ct
timeout` object instead of the setting: which connection had one can't be told afterwards, so the largest value of them
all counts for every connection. Nor is told which connection had a helper, and some helpers set timeouts of their own.
Where the ruleset has one of those, or they may attach by themselves, that timeout counts for all that it can follow.

Ticks, a hundredth of a second at most, stand still while the gateway sleeps (system suspend). For what began before it
woke T is longer by as much, wherever in T that sleep was.

A file on tmpfs tells the next process of the boot what the values have been. Where nothing tells it, what began before
it may have lived under the kernel's own defaults.

Source: net/netfilter/nf_conntrack_proto_*.c; values in seconds from /proc/sys/net/netfilter. Objects:
linux/netfilter/nf_tables.h (NFTA_OBJ_TYPE 3, NFTA_OBJ_DATA 4, NFTA_CT_HELPER_NAME 1), nfnetlink_cttimeout.h (a state's
number is its attribute's). Helpers: nf_conntrack_sip.c, _amanda.c, _pptp.c, _h323_main.c (nf_ct_refresh).
"""

import json

from agent.capture.connections import ASSURED, GRE, ICMP, ICMPV6, SCTP, SEEN_REPLY, TCP, UDP, UDPLITE
from agent.capture.netlink import HEADER, Malformed, Reader, attributes, dump_request, exactly, unpack_from
from agent.capture.sleeps import Sleeps
from agent.runtime import files

FOLDER = "/proc/sys/net/netfilter/nf_conntrack_"
_KEPT = 4  # former values remembered for each timeout
_LIMIT = 4096  # octets of the file
_SECOND = 1000000000
_SLEWED = _SECOND // 2
PERIOD = 10 * _SECOND

_TCP_NAMES = "syn_sent syn_recv established fin_wait close_wait last_ack time_wait close syn_sent2"
_TCP_STATES = ("",) + tuple(["tcp_timeout_" + name for name in _TCP_NAMES.split()])
_SCTP_NAMES = (
    "closed cookie_wait cookie_echoed established shutdown_sent shutdown_recd shutdown_ack_sent heartbeat_sent"
)
_SCTP_STATES = ("",) + tuple(["sctp_timeout_" + name for name in _SCTP_NAMES.split()])
_ONE_WAY, _BOTH_WAYS = 1, 2  # states of what has no state machine
_UDP_STATES = ("", "udp_timeout", "udp_timeout_stream")
_OTHER_STATES = ("", "generic_timeout")
_ESTABLISHED = {TCP: 3, SCTP: 4}
# protocol: names of its timeouts by state number
_STATES = {
    TCP: _TCP_STATES,
    SCTP: _SCTP_STATES,
    UDP: _UDP_STATES,
    UDPLITE: _UDP_STATES,
    GRE: ("", "gre_timeout", "gre_timeout_stream"),
    ICMP: ("", "icmp_timeout"),
    ICMPV6: ("", "icmpv6_timeout"),
    33: ("",) + ("dccp_timeout_open",) * 7,  # DCCP has states too: its longest timeout is never too short
}
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
    "sctp_timeout_closed": 10,
    "sctp_timeout_cookie_wait": 3,
    "sctp_timeout_cookie_echoed": 3,
    "sctp_timeout_established": 432000,  # 210 in newer kernels
    "sctp_timeout_shutdown_sent": 3,
    "sctp_timeout_shutdown_recd": 3,
    "sctp_timeout_shutdown_ack_sent": 3,
    "sctp_timeout_heartbeat_sent": 30,
    "dccp_timeout_open": 43200,
    "generic_timeout": 600,
}
# What helpers set themselves, by a helper's name in the kernel; those that aren't here leave timeouts alone.
HELPERS: "dict[bytes, dict[str, int]]" = {
    b"sip": dict.fromkeys(_TCP_STATES[1:] + _UDP_STATES[1:], 3600),
    b"amanda": dict.fromkeys(_UDP_STATES[1:], 300),
    # H.323: what the gatekeeper says. More than 2 ** 31 ticks, of which a second has 100, the kernel can't tell apart.
    b"RAS": dict.fromkeys(_UDP_STATES[1:], 21474836),
    b"pptp": {"gre_timeout": 600, "gre_timeout_stream": 18000},
}

_NEW_OBJECT, _GET_OBJECT = 0xA12, 0xA13  # of nftables
_GENERIC = 4  # octets of nfgenmsg
_OBJECT_TYPE, _OBJECT_DATA = 3, 4
_CT_HELPER, _CT_TIMEOUT = 3, 7
_NAME, _PROTOCOL, _POLICY = 1, 2, 3
REQUEST = dump_request(_GET_OBJECT, bytes(_GENERIC))


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
    names = _STATES.get(protocol, _OTHER_STATES)
    if protocol in _ESTABLISHED:
        return names[connection.state if 0 < connection.state < len(names) else _ESTABLISHED[protocol]]
    if protocol in (UDP, UDPLITE):
        return names[_BOTH_WAYS if connection.status & ASSURED else _ONE_WAY]
    if protocol == GRE:
        return names[_BOTH_WAYS if connection.status & SEEN_REPLY else _ONE_WAY]
    return names[1]


class Policies:
    """Reads the answer to REQUEST; `largest` has the seconds of each timeout that an object or helper there gives."""

    def __init__(self) -> None:
        self.reader = Reader(self._take)
        self.largest: "dict[str, int]" = {}
        self.automatic = 0  # nf_conntrack_helper: before Linux 6.0 helpers may attach by themselves
        self._found: "dict[str, int]" = {}
        self._next = 0

    def request(self, monotonic: int) -> "bytes | None":
        """Return the request where the list is due, None otherwise; ns since boot."""
        if monotonic < self._next:
            return None
        self._next = monotonic + PERIOD
        self.restart()
        return REQUEST

    def overrun(self) -> None:
        """Note that a part of the list was dropped."""
        self.reader.interrupted = True

    def seconds(self, name: str) -> int:
        """Return the largest of what objects and helpers give a timeout, 0 where none does."""
        helped = [timeouts.get(name, 0) for timeouts in HELPERS.values()] if self.automatic else []
        return max(self.largest.get(name, 0), *helped, 0)

    def restart(self) -> None:
        """Begin to read a new list."""
        self._found = {}
        self.reader.refused = 0
        self.reader.done = self.reader.interrupted = False

    def finish(self) -> bool:
        """Take the list where it has ended: True then. What was known stays where the list isn't whole."""
        if not self.reader.done:
            return False
        self.reader.done = False
        whole = not self.reader.interrupted and not self.reader.refused
        for name, seconds in () if whole else self.largest.items():
            self._count(name, seconds)
        self.largest = self._found
        return True

    def _take(self, kind: int, buffer: "bytearray | bytes", at: int, end: int) -> None:
        if kind != _NEW_OBJECT:
            return
        if end - at < HEADER + _GENERIC:
            raise Malformed
        which = 0
        inner = inner_end = end
        for number, value, stop in attributes(buffer, at + HEADER + _GENERIC, end):
            if number == _OBJECT_TYPE:
                (which,) = unpack_from(">I", buffer, exactly(4, value, stop))
            elif number == _OBJECT_DATA:
                inner, inner_end = value, stop
        if which == _CT_TIMEOUT:
            self._object(buffer, inner, inner_end)
        elif which == _CT_HELPER:
            self._helper(buffer, inner, inner_end)

    def _count(self, name: str, seconds: int) -> None:
        self._found[name] = max(seconds, self._found.get(name, 0))

    def _helper(self, buffer: "bytearray | bytes", at: int, end: int) -> None:
        for number, value, stop in attributes(buffer, at, end):
            if number == _NAME:
                # One of another port than the usual is "sip-1".
                helper = bytes(buffer[value:stop]).rstrip(b"\0").split(b"-")[0]
                for name, seconds in HELPERS.get(helper, {}).items():
                    self._count(name, seconds)

    def _object(self, buffer: "bytearray | bytes", at: int, end: int) -> None:
        names: "Sequence[str]" = ()
        policy = policy_end = end
        for number, value, stop in attributes(buffer, at, end):
            if number == _PROTOCOL:
                names = _STATES.get(buffer[exactly(1, value, stop)], _OTHER_STATES)
            elif number == _POLICY:
                policy, policy_end = value, stop
        for state, value, stop in attributes(buffer, policy, policy_end):
            if 0 < state < len(names):
                (seconds,) = unpack_from(">I", buffer, exactly(4, value, stop))
                self._count(names[state], seconds)


class Timeouts:
    """The values in force, and the former ones as long as a connection may have lived under them."""

    def __init__(
        self, read: "Callable[[str], int | None]" = read_sysctl, slept: "Callable[[], int]" = lambda: 0
    ) -> None:
        self._read = read
        self._sleeps = Sleeps(slept)
        self.policies = Policies()
        self._settings = dict(DEFAULTS)
        self._current: "dict[str, int]" = {}
        self._former: "dict[str, list[tuple[int, int]]]" = {}
        self._next = 0
        self._path = self._boot = ""
        self._lines: "TimeLines | None" = None
        self._unsaved = False
        self._offset = 0  # of the time line that the file was written by
        self.policies.automatic = self._read("helper") or 0
        for name in DEFAULTS:
            self._current[name] = self._value(name)
        # For who reads in place what holds for connections that began after `changed` (ns): seconds of each of TCP's
        # states, and of one way and both ways.
        self.lasting: "dict[int, list[int]]" = {TCP: [0] * len(_TCP_STATES), UDP: [0, 0], ICMP: [0, 0], ICMPV6: [0, 0]}
        self.changed = -1
        self._present()

    def outlast(self, path: str, boot: str, lines: "TimeLines") -> None:
        """Go on from what the former process of this boot left in a file, and leave there what the next one must know.

        Without it the defaults count until now.
        """
        self._path, self._boot, self._lines = path, boot, lines
        self._offset = lines.lines[-1][2]
        told = self._load()
        self._unsaved = not told
        self._sleeps.counted, self._sleeps.rows = self._told(told.get("slept", [0]))
        for name, value in DEFAULTS.items():
            self._current[name], self._former[name] = self._told(told.get(name, [value]))
        self.changed = lines.wall()
        if self.woke():
            self._sleep(self.changed)
        self.refresh(self.changed)

    def _load(self) -> "dict[str, list[int]]":
        try:
            read = json.loads(files.read_bounded(self._path, _LIMIT))
            if read["boot"] != self._boot:
                return {}
            del read["boot"]
            for numbers in read.values():
                if len(numbers) % 2 != 1 or not all(isinstance(n, int) for n in numbers):
                    raise ValueError
        # RuntimeError: nested deeper than the parser goes
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return {}
        told: "dict[str, list[int]]" = read
        return told

    def _told(self, numbers: "list[int]") -> "tuple[int, list[tuple[int, int]]]":
        """Return what `_numbers` was given."""
        pairs = [(numbers[at] * _SECOND + self._offset, numbers[at + 1]) for at in range(1, len(numbers), 2)]
        return numbers[0], pairs

    def _numbers(self, present: int, former: "list[tuple[int, int]]") -> "list[int]":
        numbers = [present]
        for until, value in former:
            # Never before it was: what is taken for slewing moves it, too.
            numbers += [(until - self._offset) // _SECOND + 2, value]
        return numbers

    def _save(self) -> None:
        """Write what is known: of each timeout the present value, and former ones with the second since boot.

        Where tmpfs has no room it is tried again at the next look.
        """
        if self._lines is None:
            return
        self._offset = self._lines.lines[-1][2]
        rows: "dict[str, str | list[int]]" = {
            "boot": self._boot,
            "slept": self._numbers(self._sleeps.counted, self._sleeps.rows),
        }
        for name, value in self._current.items():
            rows[name] = self._numbers(value, self._former.get(name, []))
        self._unsaved = True
        try:
            files.write_over(self._path, (json.dumps(rows) + "\n").encode())
            self._unsaved = False
        except OSError:
            pass

    def _present(self) -> None:
        """Bring `lasting` to the present values."""
        for protocol, seconds in self.lasting.items():
            names = _STATES[protocol]
            for state in range(len(seconds)):
                name = names[state or _ESTABLISHED[TCP]] if protocol == TCP else names[min(state, len(names) - 2) + 1]
                seconds[state] = self._current[name]

    def _value(self, name: str) -> int:
        setting = self._read(name)
        if setting is not None:
            self._settings[name] = setting
        # What is shorter than a second reads as 0 (older kernels' SCTP).
        return max(1, self._settings[name], self.policies.seconds(name))

    def tick(self, wall: int, monotonic: int) -> None:
        """Read every value again where that is due; times in ns."""
        woke = self.woke()
        if woke:
            self._sleep(wall)
        if self.policies.finish() or woke or monotonic >= self._next:
            self.refresh(wall)
            self._next = monotonic + PERIOD

    def refresh(self, now: int) -> None:
        """Read every value again (every 10 s, and with the ruleset's objects); `now` is the wall clock in ns."""
        self.policies.automatic = self._read("helper") or 0
        for name, held in self._current.items():
            value = self._value(name)
            if value == held:
                continue
            self._current[name] = value
            self._remember(name, max(value, held), now)
            self.changed = now
            self._unsaved = True
        self._present()
        moved = self._lines.lines[-1][2] - self._offset if self._lines is not None else 0
        if self._unsaved or not -_SLEWED < moved < _SLEWED:
            self._save()

    def _remember(self, name: str, seconds: int, until: int) -> None:
        """Note that up to a time (ns) a timeout may have been of so many seconds."""
        former = self._former.setdefault(name, [])
        while former and former[-1][1] <= seconds:
            former.pop()  # a later one that is no shorter says it all
        if seconds > self._current[name]:
            former.append((until, seconds))
        if len(former) > _KEPT:
            # Too many changes to tell apart: keep the larger of the two oldest, for the longer of their times.
            former[0:2] = [(former[1][0], former[0][1])]

    def woke(self) -> bool:
        """Return True if the gateway has slept since `tick`: call that before events are read."""
        return self._sleeps.woke()

    def _sleep(self, now: int) -> None:
        """Let all that began before now (ns) have lasted longer by what was slept."""
        self._sleeps.note(now)
        self.changed = now
        self._unsaved = True

    def shift(self, step: int) -> None:
        """Take note that the wall clock was stepped by so many ns."""
        self.changed += step
        self._sleeps.shift(step)
        for name, former in self._former.items():
            self._former[name] = [(until + step, value) for until, value in former]

    def end(self, connection: "Connection") -> int:
        """Return when the connection's last packet passed, in ns of the kernel's wall clock, at the latest."""
        return self.last(connection, connection.stop)

    def last(self, connection: "Connection", now: int) -> int:
        """Return the same of a connection that the kernel tells of at `now`: its end, or its place in the table."""
        seconds = self._largest(name_of(connection), connection.start)
        seconds -= connection.remaining
        if seconds > 0:
            now -= seconds * _SECOND
        return now if now > connection.start else connection.start

    def _largest(self, name: str, start: int) -> int:
        """Return the largest value that a timeout has had since `start`, and what was slept since then."""
        seconds = self._current[name]
        for until, value in self._former.get(name, ()):
            if until >= start and value > seconds:
                seconds = value
        return seconds + self._sleeps.since(start)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.base.time_lines import TimeLines
    from agent.capture.connections import Connection
