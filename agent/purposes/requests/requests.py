# SPDX-License-Identifier: Apache-2.0
r"""Requests of an authority, the operator's "procédures internes" (L34-II-4).

A request is a document that two qualified agents have signed.

The document is TOML of the strictest kind, so that every reader reads the same: lines `name = "value"`, each ended by a
newline, in the order of the table below, nothing else. Values are printable ASCII without `"` and `\`. In UTF-8 the
letters of western Europe may stand in `authority` and `reference`, too, and all letters in `subject`. A user whom the
portal names with `"` or `\` has a `\` before each of these. What is signed (Ed25519) is "oubli request 1\n" and the
octets of all lines before the first `agent_` line. Two signatures follow, each over the same octets:

    format          "oubli-request-1"
    number          32 hexadecimal digits, drawn at random: a request runs once
    gateway         gateway.id of the one gateway that it is for
    purpose         attribution or billing; access: what `attribution` holds on one person, for that person (GDPR
                    art. 15); freeze, freeze-subject: what `attribution` holds is to be kept; freeze-billing: what
                    `billing` holds; there is no request for any other store
    ground          attribution: the one that the store is kept for; billing: IV-1; access:
                    RGPD; freeze: IIIbis, an order to preserve
    authority_kind  which kind of authority asks, one that may on this ground, and
    basis           the article that entitles it: both of the table in authorities.py
    authority       its name, and on what document it asks: for the register
    reference
    from, until     2026-11-25T10:00:00Z, at most 24 h apart: the window, over when the request
                    is issued, as old as what the store keeps
    issued          the time at which it was written: the gateway runs it from then on,
    expires                      and before this time, at most 31 days later
    public_address  attribution, freeze: exactly this address,
    port                         this public source port (ICMP: identifier),
    protocol                     tcp, udp, icmp, icmpv6, or a number
    subject         billing, access, freeze-subject, freeze-billing: user:ID or mac:aa:bb:cc:dd:ee:ff
    keep_until      freeze: the day on which the order ends, such as 2027-03-01: at most 365 days after `expires`
    agent_1         public key, 64 hexadecimal digits      signature_1   128 of them      agent_2, signature_2 alike

The device checks it here and hands over segments that it can't read; the custodian's
tool checks it again, with this same module.
"""

import binascii

from agent import law
from agent.base import canonical
from agent.base.dates import day_of
from agent.purposes.portal.sessions import acceptable, mac_of
from agent.runtime import sockets

FORMAT = "oubli-request-1"
LIMIT = 3072  # octets of a document
WINDOW = 86400  # seconds
_ESCAPED = '"\\'
_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 written as IPv6: no record has it so
LIFE = 31 * 86400  # seconds from its issue that a request may wait to be run
_SIGNED = "oubli request 1\n"
_COMMON = (
    "format", "number", "gateway", "purpose", "ground", "authority_kind", "basis", "authority", "reference",
    "from", "until", "issued", "expires",
)  # fmt: skip
_PORT = "public_address", "port", "protocol"
_SUBJECT = ("subject",)
_END = ("keep_until",)
# What may be asked for: the store, the grounds, the lines of the scope.
KINDS: "dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]" = {
    "attribution": ("attribution", law.GROUNDS, _PORT),
    "billing": ("billing", ("IV-1",), _SUBJECT),
    "access": ("attribution", ("RGPD",), _SUBJECT),
    "freeze": ("attribution", ("IIIbis",), _PORT + _END),
    "freeze-subject": ("attribution", ("IIIbis",), _SUBJECT + _END),
    "freeze-billing": ("billing", ("IIIbis",), _SUBJECT + _END),
}
_SIGNATURES = "agent_1", "signature_1", "agent_2", "signature_2"
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
_TEXT = 200  # characters of a free text


class Refused(Exception):
    """A request that isn't run; its text is the one line to show, `reason` a word for the log."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def second_of(text: str) -> int:
    """Return seconds since the epoch of 2026-11-25T10:00:00Z; ValueError for anything else."""
    parts = text[11:19].split(":")
    if (
        len(text) != 20
        or text[10] != "T"
        or text[19] != "Z"
        or [len(part) for part in parts] != [2, 2, 2]
        or not "".join(parts).isdigit()
    ):
        raise ValueError("a time such as 2026-11-25T10:00:00Z")
    hours, minutes, seconds = [int(part) for part in parts]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("a time such as 2026-11-25T10:00:00Z")
    return day_of(text[:10]) * 86400 + hours * 3600 + minutes * 60 + seconds


def _hex(text: str, octets: int) -> bytes:
    if len(text) != 2 * octets or any(digit not in "0123456789abcdef" for digit in text):
        raise ValueError
    return binascii.unhexlify(text)


def _wrong(name: str, accepted: str) -> Refused:
    return Refused("malformed", "request." + name + ": not understood (L34-II-4); accepted: " + accepted)


class Request:
    """A document that was understood; not yet a word on whether it is to be run.

    `number` has 16 octets; `purpose`, `ground`, `gateway` and `scope` are as written. The window's `start` and `end`,
    `issued` and `expires` are in s since the epoch. `signed` are the octets that were signed, `signatures` pairs of
    (public key, signature). `store` is the purpose whose records are asked for. `keep_until` is a day since the epoch,
    0 for what is no order to preserve.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields = fields = _lines(text)
        purpose = fields["purpose"]
        self.purpose = purpose
        self.store = KINDS[purpose][0]
        self.gateway = fields["gateway"]
        self.ground = fields["ground"]
        if fields["format"] != FORMAT:
            raise _wrong("format", FORMAT)
        self.number = _parsed(fields, "number", lambda value: _hex(value, 16), "32 hexadecimal digits")
        accepted = "a time such as 2026-11-25T10:00:00Z"
        self.start = _parsed(fields, "from", second_of, accepted)
        self.end = _parsed(fields, "until", second_of, accepted)
        self.issued = _parsed(fields, "issued", second_of, accepted)
        self.expires = _parsed(fields, "expires", second_of, accepted)
        if not self.start < self.end <= self.start + WINDOW:
            raise Refused(
                "too wide",
                "request.until: the window is empty or longer than 24 h (L34-II-4); accepted: at most 24 h after from",
            )
        if self.end > self.issued:
            raise Refused(
                "too early",
                "request.until: the window ends after the request was issued (L34-II-4); accepted: at most issued",
            )
        if not self.issued < self.expires <= self.issued + LIFE:
            raise _wrong("expires", "a time after issued, at most 31 days")
        for name in ("authority", "reference"):
            if not fields[name].strip() or len(fields[name]) > _TEXT:
                raise _wrong(name, "a text that isn't blank, of at most " + str(_TEXT) + " characters")
        self.keep_until = self._kept() if "keep_until" in fields else 0
        self.scope = Scope(fields)
        self._entitled()
        # The line, not the word: a value may hold "agent_1 = ", and what follows it would be signed by nobody.
        body = text[: text.find("\nagent_1 = ") + 1] if "agent_1" in fields else text
        self.signed = (_SIGNED + body).encode()
        self.signatures = [
            (
                _parsed(fields, "agent_" + which, lambda value: _hex(value, 32), "64 hexadecimal digits"),
                _parsed(fields, "signature_" + which, lambda value: _hex(value, 64), "128 hexadecimal digits"),
            )
            for which in "12"
            if "agent_" + which in fields
        ]

    def _entitled(self) -> None:
        """Refuse a ground that isn't one for this purpose, and an authority that may not ask on it (L34-III-1)."""
        ground, grounds = self.ground, KINDS[self.purpose][1]
        if ground not in grounds:
            why = law.STRUCK_DOWN_REASON if ground == law.STRUCK_DOWN else "not one for " + self.purpose
            raise Refused("ground", "request.ground: refused (L34-III-1: " + why + "); accepted: " + ", ".join(grounds))
        from agent.purposes.requests.authorities import AUTHORITIES  # a table that most recorders never need

        kinds = AUTHORITIES[ground]
        kind, basis = self.fields["authority_kind"], self.fields["basis"]
        for name, value, accepted in (("authority_kind", kind, sorted(kinds)), ("basis", basis, kinds.get(kind, ()))):
            if value not in accepted:
                accept = ", ".join(accepted)
                text = f"request.{name}: not one that entitles on {ground} (L34-III-1); accepted: {accept}"
                raise Refused("authority", text)

    def _kept(self) -> int:
        accepted = "a day after the window, at most " + law.duration(law.purpose("freeze").ceiling) + " after expires"
        day: int = _parsed(self.fields, "keep_until", day_of, accepted)
        if not self.end < day * 86400 <= self.expires + law.purpose("freeze").ceiling:
            raise _wrong("keep_until", accepted)
        return day


class Scope:
    """Whom a request asks for: who had `public` (4 or 16 octets), `port` and `protocol` (number), or `user` or `mac`.

    The latter two in octets, b"" for what isn't asked for.
    """

    def __init__(self, fields: "dict[str, str]") -> None:
        self.public = self.user = self.mac = b""
        self.port = self.protocol = 0
        if "subject" not in fields:
            self.public = sockets.packed(fields["public_address"].encode())
            if not self.public or self.public[:12] == _MAPPED:
                raise _wrong("public_address", "an IPv4 or IPv6 address, an IPv4 one not as IPv6")
            if not fields["port"].isdigit() or len(fields["port"]) > 5 or int(fields["port"]) > 65535:
                raise _wrong("port", "0 to 65535")
            self.port = int(fields["port"])
            name = fields["protocol"]
            self.protocol = PROTOCOLS.get(name, -1)
            if self.protocol < 0:
                if not name.isdigit() or len(name) > 3 or int(name) > 255:
                    raise _wrong("protocol", ", ".join(sorted(PROTOCOLS)) + ", or a number")
                self.protocol = int(name)
            return
        kind, _, who = fields["subject"].partition(":")
        self.mac = mac_of(who) if kind == "mac" else b""
        self.user = who.encode() if kind == "user" and acceptable(who) else b""
        if not self.mac and not self.user:
            raise _wrong("subject", "user:ID or mac:aa:bb:cc:dd:ee:ff")


def _parsed(fields: "dict[str, str]", name: str, parse: "Callable[[str], Any]", accepted: str) -> "Any":
    try:
        return parse(fields[name])
    except (ValueError, KeyError):
        raise _wrong(name, accepted)


def _line(line: str) -> "tuple[str, str]":
    name, found, value = line.partition(' = "')
    if not found or not value.endswith('"'):
        raise ValueError
    value = value[:-1]
    if name == "subject":  # as the portal has named somebody
        value = _unescaped(value)
        fine = canonical.showable(value, LIMIT)
    else:
        fine = all(
            (" " <= letter <= "~" and letter not in _ESCAPED)
            or (name in ("authority", "reference") and _western(letter))
            for letter in value
        )
    if not fine:
        raise ValueError
    return name, value


def _unescaped(value: str) -> str:
    """Return a TOML string's text: a quotation mark and a backslash stand behind a backslash, and nothing else does."""
    text, behind = "", False
    for letter in value:
        if behind != (letter in _ESCAPED) and (behind or letter == '"'):
            raise ValueError
        behind = not behind and letter == "\\"
        if not behind:
            text += letter
    if behind:
        raise ValueError
    return text


def _western(letter: str) -> bool:
    """Return True if this is a letter or sign of Latin-1 or Latin Extended-A, or an apostrophe, a dash, or the euro.

    Nobody who signs can be shown a name that looks like another one, for a letter of another script.
    """
    return ("\xa1" <= letter <= "\u017f" and letter != "\xad") or letter in "\u2019\u2013\u2014\u20ac"


def _lines(text: str) -> "dict[str, str]":
    """Return the fields of a document whose lines are those of the table, in its order."""
    if len(text) > LIMIT or not text.endswith("\n"):
        raise Refused(
            "malformed", "request: too long or cut off; accepted: at most " + str(LIMIT) + " octets, ended by a newline"
        )
    fields: "dict[str, str]" = {}
    expected: "tuple[str, ...]" = _COMMON
    for number, line in enumerate(text[:-1].split("\n")):
        try:
            name, value = _line(line)
        except ValueError:
            accepted = (
                'printable ASCII, " and \\ in subject behind \\ alone, in authority, reference and subject \u00e9 too'
            )
            raise Refused("malformed", f'request: line {number + 1} isn\'t name = "value"; accepted: {accepted}')
        if name == "purpose":
            if value not in KINDS:
                raise Refused(
                    "not available", "request.purpose: not available (L34-II-4); accepted: " + ", ".join(sorted(KINDS))
                )
            expected = _COMMON + KINDS[value][2] + _SIGNATURES
        if number >= len(expected) or name != expected[number]:
            wanted = expected[number] if number < len(expected) else "nothing more"
            raise Refused("malformed", "request: line " + str(number + 1) + " is another one; accepted: " + wanted)
        fields[name] = value
    if len(fields) not in range(len(expected) - len(_SIGNATURES), len(expected) + 1, 2) or len(fields) < len(_COMMON):
        raise Refused(
            "malformed", "request: a line is missing; accepted: " + expected[min(len(fields), len(expected) - 1)]
        )
    return fields


def names(purpose: str) -> "tuple[str, ...]":
    """Return the names of a document's lines before the signatures, none for a purpose that can't be asked for."""
    return _COMMON + KINDS[purpose][2] if purpose in KINDS else ()


def document(fields: "dict[str, str]") -> str:
    """Return the text of a document that nobody has signed yet."""
    lines = []
    for name in names(fields["purpose"]):
        value = fields[name]
        if name == "subject":
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(name + ' = "' + value + '"\n')
    return "".join(lines)


def verify(
    request: Request, agents: "dict[bytes, str]", signed: "Callable[[bytes, bytes, bytes], bool]"
) -> "list[str]":
    """Return the names of the two qualified agents who signed; Refused where they didn't.

    `signed(signature, data, key) -> bool`.
    """
    names = []
    for key, signature in request.signatures:
        if key not in agents:
            raise Refused(
                "unknown agent",
                "request: a signature is by nobody who is enrolled (L34-II-4); accepted: oubli request enrol KEY",
            )
        if not signed(signature, request.signed, key):
            raise Refused(
                "bad signature",
                "request: a signature doesn't fit the document (L34-II-4); accepted: the document as it was signed",
            )
        names.append(agents[key])
    if len(names) < 2 or names[0] == names[1] or request.signatures[0][0] == request.signatures[1][0]:
        raise Refused(
            "one agent",
            "request: not signed by two agents (L34-II-4); accepted: two signatures, by two different enrolled agents",
        )
    return names


def agents_in(text: str) -> "dict[bytes, str]":
    """Return the agents (public key -> name) of a keys file: lines `KEY NAME`; ValueError for anything else."""
    agents: "dict[bytes, str]" = {}
    for line in text.split("\n"):
        if line:
            key, _, name = line.partition(" ")
            if not agent_name(name):
                raise ValueError
            agents[_hex(key, 32)] = name
    return agents


def agent_name(text: str) -> bool:
    """Return True if this can be an agent's name: 1 to 60 letters and signs of western Europe, no blank at an end."""
    fine = all(" " <= letter <= "~" or _western(letter) for letter in text)
    return 0 < len(text) <= 60 and text == text.strip() and fine and '"' not in text and "\\" not in text


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
