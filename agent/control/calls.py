# SPDX-License-Identifier: Apache-2.0
"""What may be asked over the control socket, and by whom: one table of calls, each with its roles, fields and handler.

The socket itself is open to every process on the gateway; this table is what protects (L34-VI-2). A caller's roles
follow from the kernel's word about him (SO_PEERCRED, SO_PEERGROUPS), never from his own:

root       root, and the recorder's own user
operator   members of the group `oubli-op`
portal     the user `oubli-portal`
anyone     every process on this gateway

A request is `{"v":1,"call":NAME,...}` with the fields of the call's row and no other. Each is held against its kind and
bound before a handler sees it. An answer carries `"v":1`, and `"error"` where it is a refusal: what was wrong and what
is accepted, never a value.
"""

import json

from agent.base import canonical
from agent.runtime.files import read_bounded
from agent.runtime.sockets import packed
from agent.vault.stores import BY_CONSENT

VERSION = 1
ROOT, OPERATOR, PORTAL, ANYONE = "root", "operator", "portal", "anyone"
OPERATOR_GROUP, PORTAL_USER = "oubli-op", "oubli-portal"
STAFF = (ROOT, OPERATOR)
REASONS = ("abuse", "attack", "malware", "fault")  # for which an operator may look something up (L34-II-6)
_ACCOUNTS = 16384  # octets of /etc/passwd and /etc/group
_MAC = "0123456789abcdefABCDEF:"
_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 written as IPv6


class Refused(Exception):
    """A request that isn't answered; its text says what was wrong and what is accepted."""


def text(limit: int) -> "Check":
    """Accept 1 to `limit` octets of UTF-8 without a control character."""

    def check(value: "object") -> "object":
        if canonical.showable(value, limit):
            return value
        raise ValueError("a text of 1 to " + str(limit) + " octets, no control character")

    return check


def document(limit: int) -> "Check":
    """Accept lines of text, at most `limit` octets of UTF-8 in all."""

    def check(value: "object") -> "object":
        try:
            if (
                isinstance(value, str)
                and 0 < len(value.encode()) <= limit
                and all(" " <= letter != "\x7f" or letter == "\n" for letter in value)
            ):
                return value
        except ValueError:
            pass  # a half of a character, which UTF-8 can't hold
        raise ValueError("lines of text, at most " + str(limit) + " octets")

    return check


def digest(value: "object") -> "object":
    """Accept a digest of 8 octets as hexadecimal digits; the handler gets the octets."""
    if isinstance(value, str) and len(value) == 16 and all(letter in "0123456789abcdef" for letter in value):
        return bytes([int(value[at : at + 2], 16) for at in range(0, 16, 2)])
    raise ValueError("16 hexadecimal digits")


def number(low: int, high: int) -> "Check":
    """Accept a whole number between two, both included."""

    def check(value: "object") -> "object":
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ValueError("a whole number from " + str(low) + " to " + str(high))

    return check


def one_of(*words: str) -> "Check":
    """Accept one of these words."""

    def check(value: "object") -> "object":
        if isinstance(value, str) and value in words:
            return value
        raise ValueError(", ".join(words))

    return check


def some_of(*words: str) -> "Check":
    """Accept a list of some of these words, none of them twice."""

    def check(value: "object") -> "object":
        if (
            isinstance(value, list)
            and value
            and all(isinstance(word, str) and word in words and value.count(word) == 1 for word in value)
        ):
            return value
        raise ValueError("a list of " + ", ".join(words))

    return check


def terminal(value: "object") -> bytes:
    """Accept a MAC as aa:bb:cc:dd:ee:ff; the handler gets its 6 octets."""
    if (
        isinstance(value, str)
        and [len(part) for part in value.split(":")] == [2] * 6
        and all(letter in _MAC for letter in value)
    ):
        octets = bytes([int(part, 16) for part in value.split(":")])
        if any(octets) and not octets[0] & 1:  # zeros stand for whoever isn't known, a group's address is nobody's
            return octets
    raise ValueError("a terminal's MAC such as 02:00:00:00:00:01")


def address(value: "object") -> "object":
    """Accept an IPv4 or IPv6 address; the handler gets its 4 or 16 octets."""
    octets = packed(value.encode()) if isinstance(value, str) else b""
    if octets:
        return octets[12:] if octets[:12] == _MAPPED else octets
    raise ValueError("an IPv4 or IPv6 address")


def hexadecimal(digits: int) -> "Check":
    """Accept so many lower-case hexadecimal digits."""

    def check(value: "object") -> "object":
        if isinstance(value, str) and len(value) == digits and all(letter in _MAC[:16] for letter in value):
            return value
        raise ValueError(str(digits) + " hexadecimal digits")

    return check


class Call:
    """One row: who may, which fields, and `run(recorder, fields, roles)`.

    `fields` is name -> check; a name that ends in "?" may be left out.

    The handler gets every field of the row, None for what was left out, and returns the answer or raises Refused. What
    takes long returns a generator of answers instead: each is a line, made in a turn of its own.
    """

    def __init__(
        self,
        roles: "tuple[str, ...]",
        fields: "dict[str, Check]",
        run: "Callable[[Answering, dict[str, Any], Roles], Answer]",
    ) -> None:
        self.roles = roles
        self.fields = fields
        self.run = run


_WHOSE: "dict[str, Check]" = {"terminal?": terminal, "address?": address}  # one of the two
_LOOK: "dict[str, Check]" = {"terminal?": terminal, "address?": address, "agreed?": number(1, 1)}
_GRANT: "dict[str, Check]" = {
    "terminal?": terminal,
    "address?": address,
    "purposes": some_of(*BY_CONSENT),
    "categories": some_of("connections", "access-point"),
    "third_parties": text(63),
    "days": number(1, 365),
    "text": hexadecimal(64),
}
_TEXT: "dict[str, Check]" = {
    "purposes": some_of(*BY_CONSENT),
    "third_parties": text(63),
    "days": number(1, 365),
    "name": text(32),
}
_WITHDRAW: "dict[str, Check]" = {"terminal?": terminal, "address?": address, "purpose?": one_of(*BY_CONSENT)}
_SECOND, _INCIDENT = number(0, 0xFFFFFFFF), number(1, 999999)
_LOOKUP: "dict[str, Check]" = {
    "terminal?": terminal,
    "address?": address,
    "public_address?": address,
    "port?": number(0, 65535),
    "protocol?": one_of("tcp", "udp", "icmp", "icmp6"),
    "from": _SECOND,
    "until": _SECOND,
    "reason": one_of(*REASONS),
    "report?": _INCIDENT,
}
_PORTAL = (ROOT, OPERATOR, PORTAL)


CALLS = {
    "status": Call(STAFF, {}, lambda recorder, _fields, _roles: recorder.status()),
    "ntp": Call((ROOT,), {}, lambda recorder, _fields, _roles: recorder.confirm_time()),
    "new device": Call((ROOT,), {}, lambda recorder, _fields, _roles: recorder.orders.new_device()),
    "access": Call(_PORTAL, _LOOK, lambda recorder, fields, roles: recorder.orders.access(fields, roles[0])),
    "lookup": Call(STAFF, _LOOKUP, lambda recorder, fields, roles: recorder.orders.lookup(fields, roles[0])),
    "consent grant": Call(
        _PORTAL, _GRANT, lambda recorder, fields, roles: recorder.groups.by_consent().grant(fields, roles[0])
    ),
    "consent text": Call(
        _PORTAL, _TEXT, lambda recorder, fields, _roles: recorder.groups.by_consent().document(fields)
    ),
    "consent withdraw": Call(
        _PORTAL, _WITHDRAW, lambda recorder, fields, roles: recorder.groups.by_consent().withdraw(fields, roles[0])
    ),
    "consent suspend": Call(
        _PORTAL + (ANYONE,),
        _WHOSE,
        lambda recorder, fields, roles: recorder.groups.by_consent().suspend(fields, roles[0]),
    ),
    "consent resume": Call(
        _PORTAL, _WHOSE, lambda recorder, fields, roles: recorder.groups.by_consent().resume(fields, roles[0])
    ),
    "consent own": Call(_PORTAL, _WHOSE, lambda recorder, fields, _roles: recorder.groups.by_consent().own(fields)),
    "consent list": Call(
        STAFF,
        {"from?": number(0, 1023)},
        lambda recorder, fields, _roles: recorder.groups.by_consent().listed(fields["from"]),
    ),
    "objection": Call(_PORTAL, _WHOSE, lambda recorder, fields, roles: recorder.orders.object(fields, roles[0])),
    "objection end": Call(
        _PORTAL, _WHOSE, lambda recorder, fields, roles: recorder.groups.by_consent().accept(fields, roles[0])
    ),
    "emergency open": Call(
        STAFF,
        {"terminal?": terminal, "address?": address, "incident": _INCIDENT},
        lambda recorder, fields, roles: recorder.groups.by_consent().open_emergency(fields, roles[0]),
    ),
    "emergency where": Call(
        STAFF,
        {"again?": number(0, 1)},
        lambda recorder, fields, _roles: recorder.groups.by_consent().where(fields["again"]),
    ),
    "emergency close": Call(
        STAFF, {}, lambda recorder, _fields, roles: recorder.groups.by_consent().close_emergency(roles[0])
    ),
    "erase": Call(
        STAFF, {"purpose": text(16)}, lambda recorder, fields, roles: recorder.orders.erase(fields["purpose"], roles[0])
    ),
    "erase terminal": Call(
        _PORTAL, _WHOSE, lambda recorder, fields, roles: recorder.groups.erasure().begin(fields, roles[0])
    ),
    "erase state": Call(_PORTAL, _WHOSE, lambda recorder, fields, _roles: recorder.groups.erasure().state(fields)),
    "session": Call(
        (ROOT, PORTAL),
        {"terminal": terminal, "user?": text(64)},
        lambda recorder, fields, _roles: recorder.groups.require_deferred(on=True).session(
            fields["terminal"], fields["user"]
        ),
    ),
    "request identity": Call(
        STAFF, {}, lambda recorder, _fields, _roles: recorder.groups.require_deferred().requests.identity()
    ),
    "request state": Call(
        STAFF,
        {"number": hexadecimal(32)},
        lambda recorder, fields, _roles: recorder.groups.require_deferred().requests.handover(fields["number"]),
    ),
    "request": Call(
        STAFF,
        {"document": document(3072)},
        lambda recorder, fields, _roles: recorder.groups.require_deferred().request(
            fields["document"], recorder.clock.floor
        ),
    ),
    "enrolled": Call(
        (ROOT,), {"digest": digest}, lambda recorder, fields, _roles: recorder.orders.enrolled(fields["digest"])
    ),
}


class Peers:
    """Whose roles are whose.

    `own` is the recorder's uid, `etc` the folder of passwd and group, read anew for each caller.

    A file that can't be read gives nobody a role.
    """

    def __init__(self, own: int, etc: str) -> None:
        self._own = own
        self._etc = etc

    def roles(self, user: int, groups: "Sequence[int]") -> "Roles":
        """Return the roles of a caller with this uid and these gids, the one that may most first."""
        if user in (0, self._own):
            return (ROOT, ANYONE)
        operator = (OPERATOR,) if self._number("group", OPERATOR_GROUP) in groups else ()
        portal = (PORTAL,) if user == self._number("passwd", PORTAL_USER) else ()
        return operator + portal + (ANYONE,)

    def _number(self, file: str, name: str) -> int:
        """Return the uid or gid of a name, -1 where it has none."""
        try:
            lines = read_bounded(self._etc + "/" + file, _ACCOUNTS).split(b"\n")
        except OSError:
            return -1
        for line in lines:
            parts = line.split(b":")
            if parts[0] == name.encode() and len(parts) > 2 and parts[2].isdigit() and parts[2] != b"0":
                return int(parts[2])
        return -1


def named(fields: "dict[str, Any]", holder: "Callable[[bytes], bytes | None]") -> bytes:
    """Return the MAC that a call names, by itself or by an address; `holder` answers who holds an address now."""
    if (fields["terminal"] is None) == (fields["address"] is None):
        raise Refused("which terminal isn't clear; accepted: either terminal or address")
    mac: "bytes | None" = fields["terminal"] if fields["address"] is None else holder(fields["address"])
    if mac is None:
        raise Refused("address: nobody on the LAN is known to hold it; accepted: a terminal's present address")
    return mac


def answer(recorder: "Answering", line: bytes, roles: "Roles", table: "dict[str, Call]" = CALLS) -> "Answer":
    """Answer one line of a caller with these roles."""
    try:
        return _answer(recorder, line, roles, table)
    except Refused as failure:
        return {"error": failure.args[0]}


def _answer(recorder: "Answering", line: bytes, roles: "Roles", table: "dict[str, Call]") -> "Answer":
    try:
        request = json.loads(line)
        name, version = request.pop("call"), request.pop("v")
    # The last two: nested deeper than the parser goes
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError):
        raise Refused('not a request; accepted: {"v":1,"call":NAME,...}')
    if version != VERSION or isinstance(version, bool):
        raise Refused("v: unknown version; accepted: " + str(VERSION))
    mine = sorted(call for call in table if any(role in table[call].roles for role in roles))
    if not isinstance(name, str) or name not in table:
        raise Refused("call: unknown; accepted: " + (", ".join(mine) or "nothing"))
    if name not in mine:
        raise Refused("not permitted for this user; accepted: " + (", ".join(mine) or "nothing"))
    row = table[name]
    values = {}
    for field in row.fields:
        plain = field.rstrip("?")
        values[plain] = request.pop(plain, None)
        if values[plain] is None and plain != field:
            continue
        try:
            values[plain] = row.fields[field](values[plain])
        except ValueError as failure:
            raise Refused(name + "." + plain + ": not understood; accepted: " + failure.args[0])
    if request:
        raise Refused(name + ": an unknown field; accepted: " + (", ".join(sorted(row.fields)) or "none"))
    return row.run(recorder, values, roles)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Protocol, Sequence

    from agent.base.clock import Clock
    from agent.recorder.orders import Orders
    from agent.recorder.purpose_groups import PurposeGroups

    Roles = tuple[str, ...]
    Answer = dict[str, Any] | Generator[dict[str, Any]]
    Check = Callable[[object], object]

    class Answering(Protocol):
        """What of a recorder the calls need."""

        clock: Clock
        groups: PurposeGroups
        orders: Orders

        def status(self) -> dict[str, Any]:
            """Return what `oubli status` shows."""
            raise NotImplementedError

        def confirm_time(self) -> dict[str, Any]:
            """Take the time service's word that the clock is right."""
            raise NotImplementedError
