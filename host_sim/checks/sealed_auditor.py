# SPDX-License-Identifier: Apache-2.0
"""Holds the custodian's stores against the truth, and that nobody else reads them (EXP-3, L34-III-2).

The simulated custodian makes a key a day and store and signs a bundle of the public halves. With the private ones and
the custodian's own tool the auditor opens what lies on flash. Then it puts the authority's question: who stood behind
this address and port then? Each connection must be answered by its own terminal, and no holding of another's may cover
it.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from agent import law
from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from agent.purposes.custodian.varint import Cut
from agent.vault import keys
from host_sim.checks.bills import STRANGER, Bills
from host_sim.checks.key_holder import Custodian, KeyHolder
from host_sim.venue.device_clock import SECOND
from host_sim.venue.scenario import Purposes
from host_sim.venue.truth import DAY, HOUR, Kept
from tools.custodian import matching, segments

FLASH, TMPFS = "srv/oubli", "var/run/oubli"
SYNC = 16 * 60 * SECOND  # after which whatever was told lies on flash: the recorder's sync interval, and a turn
EARLY = 3 * HOUR  # by which powered-on hours, rounded up, may destroy a segment of a former boot before its day is over
SLACK = 2  # seconds by which the start of a holding may be later than that of the first connection in it
_KEY = slice(32, 64)  # of a slot of the key ring


@dataclass
class Sealed:
    """What was found in one store, by segment: records that could be read, how many there were, octets read."""

    store: str
    records: dict[str, list[bytes]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


class SealedAuditor:
    """The custodian's stores below `root`; each look fills `wrong`: attribution, billing, custody, expired."""

    def __init__(self, root: Path, purposes: Purposes, start: int, end: int, *, visited: bool = False) -> None:
        first = datetime.fromtimestamp(start // SECOND, UTC).date() - timedelta(days=1)
        self._root, self._purposes = root, purposes
        facts = purposes.custodian, first, (end - start) // DAY + 4, purposes.sealed
        holder = KeyHolder(root.parent / "custodian", *facts) if visited else None
        self.custodian = Custodian(*facts, holder)
        self._stores = {store: Sealed(store) for store in purposes.custodian}
        self._waiting: list[Kept] = []  # told of, and not asked for yet
        self._made: Counter[tuple[object, ...]] = Counter()  # what records of single connections may say
        self._bills = Bills()
        self.digest = 0  # of every record that was opened, whatever their order
        self.seen: Counter[str] = Counter()
        self.wrong: list[tuple[str, str]] = []
        # Power was cut, the process killed, or the day or a terminal wasn't known: something may
        # be lost. And somebody stepped the clock.
        self.disturbed = self.stepped = self._inexact = False
        self.waits = False  # for room on flash
        self._erased = 0  # the second in which everything was

    def tell(self, records: list[Kept], *, trusted: bool) -> None:
        """The recorder was told of these; while it has no key for the day, nobody is to be asked for them."""
        for one in records:
            notice, subscriber = one.notice, one.subscriber
            self._inexact = self._inexact or not notice.exact
            self.disturbed = self.disturbed or self._inexact or not trusted or not notice.known
            # It left the venue
            if self._purposes.attribution and (subscriber.public != one.address or len(one.address) == 16):
                self._waiting += [one] if trusted else []
                self._made[_key(one, one.mac, subscriber.user)] += 1
                if not (notice.known and notice.sure):
                    self._made[_key(one, bytes(6), "")] += 1  # nobody may be named for it
                if subscriber.young:
                    self._made[_key(one, one.mac, "")] += 1
            self.disturbed = self.disturbed or not notice.sure
            if self._purposes.billing:
                self._bills.tell(one)

    def forget(self, now: int) -> None:
        """A cut of power: what wasn't on flash yet is gone, and so are the sessions that were open."""
        self._waiting = [one for one in self._waiting if one.notice.arrived < now - SYNC and not self.waits]
        self.disturbed = True

    def hours(self) -> None:
        """Records were due by powered-on hours, as where a ledger was put back: nobody can ask for them."""
        self._waiting.clear()
        self.disturbed = True

    def erase(self, wall: int) -> None:
        """Everything has been erased.

        Who stood behind what began before, by the gateway's clock, needn't be answered any more.
        """
        self._waiting.clear()
        self._erased = wall // SECOND + SLACK
        for sealed in self._stores.values():
            for part in (sealed.records, sealed.counts, sealed.sizes):
                part.clear()
        self.disturbed = True

    def look(self, now: int, wall: int, *, trusted: bool, ended: bool) -> None:
        """Open what is new and compare at a true time; `wall` is the gateway's clock, `ended`: all is written."""
        self.wrong = []
        for sealed in self._stores.values():
            self._read(sealed, wall, trusted=trusted)
        self._custody()
        if self._purposes.attribution and not self.waits:
            self._ask(now, ended=ended)
        if self._purposes.billing and ended:
            # What is kept for a day goes at the end of the one that it began on
            whole = not self.disturbed and self._purposes.sealed > 1
            self.wrong += [("billing", what) for what in self._bills.wrong(whole=whole, disturbed=self.disturbed)]

    # What lies on flash

    def _read(self, sealed: Sealed, wall: int, *, trusted: bool) -> None:
        folder = self._root / FLASH / "vault" / sealed.store
        files = {path.name: path for path in folder.glob("*")}
        for name in sealed.records.keys() - files.keys():
            del sealed.records[name], sealed.sizes[name], sealed.counts[name]
        for name, path in files.items():
            data = path.read_bytes()
            if len(data) == sealed.sizes.get(name):
                continue
            try:
                found, destroy = self._open(sealed.store, data)
            except segments.SegmentError as failure:
                self.wrong.append(("custody", f"a segment of {sealed.store}: {failure}"))
                continue
            new = found[sealed.counts.get(name, 0) :]
            sealed.counts[name], sealed.sizes[name] = len(found), len(data)
            sealed.records.setdefault(name, []).extend(
                octets for octets in new if self._one(sealed.store, octets, wall // DAY)
            )
            if trusted and wall // SECOND >= (destroy - segments.EPOCH).days * 86400 + 60:
                self.wrong.append(("expired", f"a segment of {sealed.store} is there after its day"))

    def _open(self, store: str, data: bytes) -> tuple[list[bytes], date]:
        segment = segments.read(data)
        key = self.custodian.keys.get((store, segment.day))
        if segment.purpose != store or key is None:
            raise segments.SegmentError("of another store, or of a day without a key")
        found = list(segment.records(key))
        self.seen["custody"] += 1
        return found, segment.destroy

    def _custody(self) -> None:
        """The gateway itself holds no key that opens what it wrote."""
        numbers = {law.number(store) for store in self._stores}
        region = keys.open_ring(str(self._root / TMPFS / "keys"))
        try:
            for slot in keys.used(region):
                at = keys.HEADER + slot.index * keys.SLOT
                if slot.purpose in numbers and any(bytes(region.view[at : at + keys.SLOT])[_KEY]):
                    self.wrong.append(("custody", "the device holds a key of a custodian's store"))
        finally:
            region.close()

    # What it says

    def _one(self, store: str, octets: bytes, today: int) -> bool:
        """Hold one record against what happened: exact fields, nothing of another purpose's, nobody who wasn't there.

        False: unreadable. `today` by the gateway's clock, in days since the epoch.
        """
        self.seen[store] += 1
        self.digest = (self.digest + int.from_bytes(hashlib.sha256(store.encode() + octets).digest(), "big")) % (
            1 << 256
        )
        layout = attribution if store == "attribution" else billing
        try:
            record = layout.unpack(octets)
        except Cut:
            self.wrong.append((store, "a record with other fields than its purpose has"))
            return False
        if layout.pack(record) != octets:
            self.wrong.append((store, "a record that isn't written as its fields are"))
        if isinstance(record, billing.Record):
            if not self._bills.read(record):
                self.wrong.append((store, STRANGER))
        else:
            self._look_at(record, today)
        return True

    def _look_at(self, record: attribution.Record, today: int) -> None:
        user = record.portal_user.decode(errors="replace")
        if record.protocol is None or self._inexact:
            # A holding may name a terminal that hasn't ended a connection yet: whether it is right shows when it does
            return
        if record.start % 86400 == 0 or (record.end or 0) % 86400 == 0 or (record.end or 0) // 86400 < today:
            return  # a day's part of a connection that lasts, or lasted idle: an examiner judges whom it names
        key = (record.protocol, record.public_address, record.first, record.address, record.mac, user, record.start)
        if self._made[key] <= 0:
            self.wrong.append(("attribution", "a record of a connection that nobody made"))
        self._made[key] -= 1

    def _ask(self, now: int, *, ended: bool) -> None:
        """Who stood behind it? For each connection that must be on flash by now."""
        lives = now + EARLY - self._purposes.sealed * DAY  # what began on a day before isn't answered any more
        due = [
            one
            for one in self._waiting
            if one.notice.exact and (ended or one.notice.arrived < now - SYNC) and one.start // DAY > lives // DAY
        ]
        self._waiting = [one for one in self._waiting if not ended and one.notice.arrived >= now - SYNC]
        single, holdings = self._index(self._stores["attribution"]) if due else ({}, {})
        for one in due:
            self.seen["attribution"] += 1
            notice, subscriber = one.notice, one.subscriber
            start, answers = one.start // SECOND, set()
            for record in holdings.get(subscriber.public, ()):
                if record.first <= one.translated_port <= record.last and record.start - SLACK <= start <= (
                    record.end or 0
                ):
                    answers.add((record.address, record.mac, record.portal_user.decode()))
            own = (one.address, one.mac, subscriber.user)
            if answers - {own, (*own[:2], ""), (*own[:2], subscriber.once)}:
                self.wrong.append(("attribution", "another terminal is named for a connection"))
            elif (
                not answers
                and start > self._erased
                and notice.known
                and notice.sure
                and not self.stepped
                and not single.get(_key(one, one.mac, subscriber.user))
                and not (subscriber.young and single.get(_key(one, one.mac, "")))
            ):
                self.wrong.append(("attribution", "nobody is named for a connection"))

    def _index(self, sealed: Sealed) -> tuple[Counter[tuple[object, ...]], dict[bytes, list[attribution.Record]]]:
        """Return the single connections by what they say, and the holdings by public address."""
        every = [attribution.unpack(octets) for _, found in sorted(sealed.records.items()) for octets in found]
        single: Counter[tuple[object, ...]] = Counter(
            (one.protocol, one.public_address, one.first, one.address, one.mac, one.portal_user.decode(), one.start)
            for one in every
            if one.protocol is not None
        )
        holdings: dict[bytes, list[attribution.Record]] = {}
        for one in matching.holdings([every]):
            holdings.setdefault(one.record.public_address, []).append(one.record)
        return single, holdings


def _key(one: Kept, mac: bytes, user: str) -> tuple[object, ...]:
    """Return what a record of a single connection says, where it names this terminal and portal user."""
    return one.protocol, one.subscriber.public, one.translated_port, one.address, mac, user, one.start // SECOND
