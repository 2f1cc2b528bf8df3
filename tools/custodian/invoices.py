# SPDX-License-Identifier: Apache-2.0
"""A period's sessions for the bookkeeper (L34-IV-3): sessions and users' sums, sealed to the biller, signed.

The segments of `billing` are copied from the gateway as they lie on its flash. A day is a UTC day, as the segments'
days are. They carry no signature of the gateway's. Who disputes a bill is answered by a request of two agents, whose
handover the gateway signs.

The number of an invoice follows from what it is made of. So the same one isn't made twice, and one that was entered
before power was lost gets its name by the same command again. Another one whose days overlap is made, and both its
notes and the register tell of that.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from nacl.public import PublicKey
from nacl.signing import SigningKey

from agent.purposes.billing import record as billing
from agent.purposes.custodian.varint import Cut
from tools import clock
from tools.custodian import answers, matching, segments, signed_folder, times
from tools.custodian.handovers import HandoverError
from tools.custodian.notes import Note

KIND, GROUND, BASIS, ROLE = "invoice", "IV-1", "CPCE L34-1 IV", "biller"
HEADER = segments.HEADER
_SUMS = ("sessions", "seconds", "bytes_up", "bytes_down")


@dataclass
class Period:
    """Days of one gateway, both included, for one biller. `segments`: by name, those of these days."""

    gateway: str
    first: date
    last: date
    biller: str
    key: PublicKey
    segments: dict[str, bytes] = field(repr=False)

    @property
    def fields(self) -> dict[str, str]:
        """Return what the register has of it."""
        return {
            "number": self._number(), "gateway": self.gateway, "purpose": "billing",
            "ground": GROUND, "authority_kind": ROLE, "basis": BASIS,
            "authority": self.biller, "reference": f"{self.first} to {self.last}",
        }  # fmt: skip

    def _number(self) -> str:
        words = [self.gateway, str(self.first), str(self.last), bytes(self.key).hex()]
        words += sorted(hashlib.sha256(data).hexdigest() for data in self.segments.values())
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]

    def days(self) -> list[date]:
        """Return its days."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


def chosen(files: Iterable[tuple[str, bytes]], first: date, last: date) -> dict[str, bytes]:
    """Return these days' segments by name, of copies the longest; HandoverError for one not of `billing`."""
    found: dict[bytes, tuple[str, bytes]] = {}
    for name, data in files:
        try:
            segment = segments.read(data)
        except segments.SegmentError as failure:
            raise HandoverError("malformed", f"{name}: {failure}; accepted: segments of a gateway's billing") from None
        if segment.purpose != "billing":
            raise HandoverError("malformed", f"{name}: a segment of {segment.purpose}; accepted: segments of billing")
        if not first <= segment.day <= last:
            continue
        former = found.get(data[:HEADER])
        if former is None or len(former[1]) < len(data):
            found[data[:HEADER]] = name, data
    made: dict[str, bytes] = {}
    for name, data in found.values():
        if name in made:
            raise HandoverError("malformed", f"{name}: two segments of this name; accepted: those of one gateway")
        made[name] = data
    return made


@dataclass
class Invoice:
    """What came of it.

    `rows`: the sessions, by user and time; `users`: each one's sums; `notes`: what may be missing, and why.
    """

    period: Period
    rows: list[dict[str, Any]] = field(repr=False)
    users: list[dict[str, Any]] = field(repr=False)
    notes: list[Note]
    register: str = ""  # SHA-256 of its entry

    @property
    def result(self) -> str:
        """Return the answers' word for what came of it."""
        return answers.HELD if self.rows else answers.NOT_KNOWN

    @property
    def manifest(self) -> dict[str, Any]:
        """Return who gets what of which days; no user and no terminal is named in it."""
        told = self.period.fields
        return {name: told[name] for name in ("number", "gateway", "purpose", "ground", "basis")} | {
            "from": str(self.period.first),
            "to": str(self.period.last),
            "biller": self.period.biller,
            "biller_key": bytes(self.period.key).hex(),
            "made": times.utc(int(clock.now().timestamp())),
            "result": self.result,
            "users": len(self.users),
            "sessions": len(self.rows),
            "notes": self.notes,
            "notes_fr": [note.french for note in self.notes],
            "register": self.register,
        }

    def files(self, key: SigningKey) -> dict[str, bytes]:
        """Return the files by name, the manifest signed."""
        names = answers.columns("billing")
        content = {
            "sessions.csv": signed_folder.table(names, self.rows),
            "users.csv": signed_folder.table(("portal_user", "terminal_mac", *_SUMS), self.users),
            "invoice.json": (
                json.dumps({**self.manifest, "users": self.users, "rows": self.rows}, indent=1) + "\n"
            ).encode(),
        }
        return signed_folder.sign(content, self.manifest, key)


def make(period: Period, key: answers.Key, earlier: Sequence[dict[str, Any]] = ()) -> Invoice:
    """Open the period's segments; HandoverError where they aren't this custodian's.

    `earlier`: the register's entries.
    """
    parts, notes = answers.opened_segments("billing", period.segments, key)
    sessions = [one for name, part in parts.items() for one in _sessions(name, part)]
    sessions.sort(key=lambda one: (one.portal_user, one.mac, one.start))
    there: dict[date, set[int]] = {day: set() for day in period.days()}
    for data in period.segments.values():
        segment = segments.read(data)
        there[segment.day].add(segment.number)
    for day, numbers in there.items():
        number = (day - segments.EPOCH).days
        notes += answers.lost_segments(number, numbers) if numbers else [answers.absent_day(number)]
    notes += [answers.BILLING] * (not sessions)
    notes += [_again(entry) for entry in earlier if _overlaps(entry, period)]
    users: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for one in sessions:
        row = matching.session_row(one)
        told = {"portal_user": row["portal_user"], "terminal_mac": row["terminal_mac"]}
        sums = users.setdefault((one.portal_user, one.mac), told | dict.fromkeys(_SUMS, 0))
        for name, more in zip(_SUMS, (1, one.end - one.start, one.bytes_up, one.bytes_down), strict=True):
            sums[name] += more
    return Invoice(period, [matching.session_row(one) for one in sessions], list(users.values()), notes)


def _sessions(name: str, part: list[bytes]) -> list[billing.Record]:
    """Return a segment's sessions; a gateway's has none that ends before it began, or beyond what a gateway counts."""
    try:
        sessions = [billing.unpack(one) for one in part]
    except Cut:
        sessions = None
    if sessions is None or not all(0 <= one.start <= one.end < 1 << 32 for one in sessions):
        raise HandoverError("malformed", f"{name}: a session that can't be; accepted: records of this version")
    return sessions


def _overlaps(entry: dict[str, Any], period: Period) -> bool:
    if entry["kind"] != KIND or entry["gateway"] != period.gateway or entry["result"] == "refused":
        return False
    first, _, last = str(entry["reference"]).partition(" to ")
    return first <= str(period.last) and str(period.first) <= last


def _again(entry: dict[str, Any]) -> Note:
    return Note(
        f"some of these days are in invoice {entry['number']} of {entry['day']} too ({entry['reference']})",
        f"Certains de ces jours figurent aussi dans le relevé {entry['number']} du {entry['day']} "
        f"({entry['reference']}).",
    )
