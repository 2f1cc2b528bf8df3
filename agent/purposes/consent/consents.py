# SPDX-License-Identifier: Apache-2.0
"""Who has consented to what, until when: the one store on flash that the device can read back (L34-V, L34-IV-1).

Absent, expired, suspended or unreadable means no (L34-V-2); so does a clock that isn't trusted, by which no end can be
told. A consent is a file of its own (agent.purposes.consent.sealed_consents). A change replaces it, synced and renamed,
before it is told. A grant or a resumption counts only after that. A suspension or a withdrawal counts at once, and is
tried again until flash takes it (L34-V-4: fails to suspended). A withdrawal ends the consent then and there; a prompt
is refused for 30 days after it (L34-V-3). An end that has come is written too: a clock that is set back brings nothing
to life again (L34-VI-5). 30 days after its end a consent is removed.

What is withdrawn, suspended or over has a name among the refusals besides, written first
(agent.purposes.consent.refusals): a file that is put back from a backup counts as what these say.

Each purpose of a consent may be withdrawn by itself: its bit moves to the upper half of `purposes`, and nobody is asked
for it again for 30 days. A consent can be resumed a few times a day: each time costs two
writes of flash.

An objection to being counted is a refusal and nothing else (L34-VI-5). It counts at once, whatever flash does, and is
remembered for 13 months, or until its terminal takes it back. Whoever objects is not followed by a consent either.
"""

from agent import law
from agent.base import canonical
from agent.config import kinds
from agent.control.calls import Refused
from agent.purposes.consent.consent_rows import (
    ACTIVE,
    ALL,
    ENDED,
    GONE,
    OBJECTED,
    PURPOSES,
    SUSPENDED,
    UNDATED,
    WITHDRAWN,
    state_of,
    withdraw,
)
from agent.purposes.consent.kept_consents import (
    COUNTED,
    LIMIT,
    OBJECTION,
    OBJECTIONS,
    PAUSED,
    PROMPT,
    RESERVED,
    TIMELESS,
    KeptConsents,
    hexadecimal,
)
from agent.purposes.consent.refusals import AFTER
from agent.purposes.consent.sealed_consents import THIRD_PARTIES, VERSION
from agent.runtime.sodium import SealError

CATEGORIES = ("connections", "access-point")  # what a record of each of these keeps, by the same bits
REFUSALS = 2 * LIMIT  # beyond these no consent is taken: withdrawals have room
_BLANKS = (
    (32, 32), (0xA0, 0xA0), (0xAD, 0xAD), (0x115F, 0x1160), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xFFA0, 0xFFA0),
)  # fmt: skip
_RECENT = "withdrawn less than 30 days ago, or it isn't known when: not to be asked again before (L34-V-3)"
CHANGES = 5  # that one terminal may make a day: resume, take an objection back


class Consents(KeptConsents):
    """Every consent, with what may be asked and done.

    Times in seconds since the epoch; `now` None while the clock isn't trusted. `spare`: room that a guest leaves to the
    operator, whom no count of changes refuses either; 0: it is he who acts.
    """

    def active(self, mac: "bytes | bytearray", purpose: str, now: "int | None") -> int:
        """Return the place of the consent that allows a purpose for a terminal now, -1 for no."""
        number = PURPOSES.index(purpose)
        if not self._live[number] or now is None:
            return -1
        bit = 1 << number
        for place in self._of(mac):
            state, purposes, _, _, _, end, _, _, _ = self._rows.get(place)
            if state == ACTIVE and purposes & bit and now < end:
                return place
        return -1

    def objects(self, mac: "int | bytes | bytearray") -> bool:
        """Return True if a terminal, 6 octets or where they stand in memory, is not to be counted."""
        return self.objections > 0 and any(self._rows.get(place)[0] == OBJECTED for place in self._of(mac))

    def objection(self, mac: bytes) -> "list[int]":
        """Return since when a terminal objects, and until when that is remembered; nothing where it doesn't.

        0: nobody knows.
        """
        rows = [self._rows.get(place) for place in self._of(mac)]
        return [time for row in rows if row[0] == OBJECTED for time in (_since(row), row[5] + AFTER if row[4] else 0)]

    def any_active(self, purpose: str, now: "int | None") -> bool:
        """Return True if anybody's consent allows a purpose; it may be over for as long as `tick` wasn't called."""
        return now is not None and self._live[PURPOSES.index(purpose)] > 0

    def since(self, place: int) -> int:
        """Return since when a consent has been in its state: there is no back-fill from before (L34-V-4)."""
        return self._rows.get(place)[4]

    def end(self, place: int) -> int:
        """Return when a consent ends."""
        return self._rows.get(place)[5]

    def alive(self, place: int, purpose: str, now: "int | None") -> bool:
        """Return True if what is kept for a purpose under a consent may stay: active or suspended, and not over."""
        state, purposes, _, _, _, end, _, _, _ = self._rows.get(place)
        return (
            state in (ACTIVE, SUSPENDED)
            and bool(purposes >> PURPOSES.index(purpose) & 1)
            and (now is None or now < end)
        )

    def counts(self, now: "int | None") -> "dict[str, int]":
        """Return how many consents are in each state; those that are over are `ended`."""
        found = {"active": 0, "suspended": 0, "withdrawn": 0, "ended": 0}
        for place in self._rows.used():
            row = self._rows.get(place)
            if row[0] != OBJECTED:
                found[state_of(row, now)] += 1
        return found

    def of_terminal(self, mac: bytes, now: "int | None") -> "list[dict[str, Any]]":
        """Return a terminal's own consents, for the person at it."""
        return [self._shown(place, now) for place in self._of(mac) if self._rows.get(place)[0] != OBJECTED]

    def listed(self, first: int, count: int, now: "int | None") -> "list[dict[str, Any]]":
        """Return at most `count` consents from a place on, without whose they are."""
        return [
            self._shown(place, now)
            for place in self._rows.used()
            if place >= first and self._rows.get(place)[0] != OBJECTED
        ][:count]

    def _shown(self, place: int, now: "int | None") -> "dict[str, Any]":
        row = self._rows.get(place)
        shown = {"number": place, "state": state_of(row, now), "given": row[6], "since": _since(row), "end": row[5]}
        if shown["state"] == "ended":
            shown["since"] = row[5]
        shown["purposes"], shown["categories"] = _names(PURPOSES, row[1]), _names(CATEGORIES, row[2])
        shown["withdrawn"], shown["withdrawn_since"] = _names(PURPOSES, row[1] >> GONE), row[8]
        try:
            fields = self._read_own(place)
            shown["text"] = hexadecimal(fields[8])
            shown["third_parties"] = fields[10][: fields[9]].decode()
        except (OSError, SealError, ValueError):
            shown["text"] = shown["third_parties"] = ""
        return shown

    def grant(
        self,
        mac: bytes,
        purposes: "list[str]",
        categories: "list[str]",
        third_parties: str,
        end: int,
        text: bytes,
        now: "int | None",
        spare: int = RESERVED,
    ) -> int:
        """Take a terminal's consent; returns its place once it is on flash. Refused, OSError: there is none."""
        if now is None:
            raise Refused(
                "the time isn't confirmed yet, so no end can be told (EXP-5); accepted: again in some minutes"
            )
        bits = _bits(PURPOSES, purposes, "purposes")
        if _bits(CATEGORIES, categories, "categories") != bits:
            kept = [CATEGORIES[PURPOSES.index(name)] for name in purposes]
            raise Refused(
                "categories: not those that these purposes keep (L34-V-2); accepted: " + ", ".join(sorted(kept))
            )
        lasting_or_refuse(purposes, now, end)
        named = named_or_refuse(third_parties)
        self._hold_against_former(mac, bits, now)
        place = self._free(spare)
        if self._refusals.count >= REFUSALS - spare:
            count = self._refusals.count
            raise Refused(f"no room: {count} refusals are remembered; accepted: once older ones are forgotten")
        owner = self._owner(mac)
        parties = named + bytes(THIRD_PARTIES - len(named))
        try:
            self._files.write(place, [VERSION, ACTIVE, bits, bits, now, now, end, owner, text, len(named), parties, 0])
        except OSError:
            # Flash may have it all the same, and a consent that was refused is none
            self._files.refuse(place)
            raise
        self._rows.set(place, ACTIVE, bits, bits, 0, now, end, now, owner, 0)
        self._rebuild(now)
        return place

    def _hold_against_former(self, mac: bytes, bits: int, now: int) -> None:
        """Hold a consent against what its terminal has said before; Refused where it may not be asked for."""
        for place in self._of(mac):
            state, held, _, _, since, former, _, _, gone = self._rows.get(place)
            if state == OBJECTED:
                raise Refused("this terminal objects to being counted (L34-VI-5); accepted: once that is taken back")
            if state != WITHDRAWN:
                since = gone  # of one of its purposes
            if (state == WITHDRAWN or held >> GONE) and (not since or now < since + AFTER):
                raise Refused(_RECENT)
            if state in (ACTIVE, SUSPENDED) and held & bits and now < former:
                raise Refused(
                    "a consent to this is in force until its end (L34-V-2); accepted: withdraw, or again after its end"
                )
        owner = hexadecimal(self._owner(mac))
        if any(digits == owner and now < since + AFTER for digits, since in self._refusals.of(PROMPT)):
            raise Refused(_RECENT)

    def _change(self, owner: bytes, now: "int | None", spare: int) -> None:
        """Count a change that a terminal may make a few times a day: nobody wears out the flash.

        Refused beyond that.
        """
        self._turn(now)
        count = self._changes.get(owner, 0)
        if spare and (count >= CHANGES or (not count and len(self._changes) >= LIMIT)):
            what = "changed " + str(CHANGES) + " times" if count else "no room for a change"
            raise Refused(what + " today; accepted: tomorrow; suspending and withdrawing always")
        self._changes[owner] = count + 1

    def changes(self, mac: bytes) -> int:
        """Return how often a terminal has asked today to resume, or to take an objection back; refused ones too."""
        return self._changes.get(self._owner(mac), 0)

    def withdraw(self, mac: bytes, now: "int | None", purpose: "str | None" = None) -> "list[int]":
        """End a terminal's consents at once, for good, or what they say of one purpose; returns their places.

        What was kept must go now.
        """
        bits = ALL if purpose is None else 1 << PURPOSES.index(purpose)
        places = []
        for place in self._of(mac):
            state, purposes, categories, _, since, end, given, owner, gone = self._rows.get(place)
            if state not in (ACTIVE, SUSPENDED) or not purposes & bits:
                continue
            # Over by itself, and that is written: a clock that is set back brings nothing back
            if now is not None and now >= end:
                self._rows.set(place, ENDED, purposes, categories, 1, since, end, given, owner, gone)
                self._waiting = True
                continue
            places.append(place)
            row = [state, purposes, categories, 1, since, end, given, owner, gone]
            withdraw(row, bits, now or 0)
            self._rows.set(place, *row)
            self._waiting = True
        self._rebuild(now)
        return places

    def object(self, mac: bytes, now: "int | None", spare: int = RESERVED) -> bool:
        """Take a terminal's objection to being counted, at once; False where there is one.

        Refused: there is no place for it.
        """
        if self.objects(mac):
            return False
        most = OBJECTIONS + RESERVED - spare
        if self.objections >= most:
            raise Refused(
                "no room: " + str(most) + " objections are remembered; accepted: the operator's word with you"
            )
        place = self._free(spare)
        self._rows.set(place, OBJECTED, 0, 0, 1, now or 0, (now or 0) + OBJECTION, now or 0, self._owner(mac), 0)
        self._waiting = True
        self._rebuild(now)
        return True

    def accept(self, mac: bytes, now: "int | None", spare: int = RESERVED) -> bool:
        """Take an objection back; False where there was none. OSError where flash refuses: it goes on."""
        found = [place for place in self._of(mac) if self._rows.get(place)[0] == OBJECTED]
        if found:
            self._change(self._owner(mac), now, spare)
            try:
                for sign in (COUNTED, TIMELESS):
                    self._refusals.take_back(hexadecimal(self._owner(mac)), sign)
            except OSError:
                for place in found:  # flash may have taken it back all the same: it is written anew
                    row = list(self._rows.get(place))
                    row[3] = 1
                    self._rows.set(place, *row)
                self._waiting = True
                self.flush()  # at once: the process may end before the next tick
                raise
        for place in found:
            self._rows.clear(place)
        self._rebuild(now)
        return bool(found)

    def suspend(self, mac: bytes, now: "int | None") -> "list[int]":
        """Suspend a terminal's consents at once, until they are resumed; returns their places."""
        places = [
            place
            for place in self._of(mac)
            if self._rows.get(place)[0] == ACTIVE and (now is None or now < self._rows.get(place)[5])
        ]
        for place in places:
            _, purposes, categories, _, _, end, given, owner, gone = self._rows.get(place)
            self._rows.set(place, SUSPENDED, purposes, categories & ALL, 1, now or 0, end, given, owner, gone)
            self._waiting = True
        self._rebuild(now)
        return places

    def resume(self, mac: bytes, now: "int | None", spare: int = RESERVED) -> "list[int]":
        """Resume what was suspended; returns the places. Refused, OSError: it stays suspended."""
        if now is None:
            raise Refused(
                "the time isn't confirmed yet, so no end can be told (EXP-5); accepted: again in some minutes"
            )
        if self.objects(mac):
            raise Refused("this terminal objects to being counted (L34-VI-5); accepted: once that is taken back")
        places = [
            place for place in self._of(mac) if self._rows.get(place)[0] == SUSPENDED and now < self._rows.get(place)[5]
        ]
        if places:
            self._change(self._owner(mac), now, spare)
            if not self.flush():  # a withdrawal of one purpose may wait for flash
                raise OSError(5, "")
        try:
            for place in places:
                fields = self._read_own(place)
                fields[1], fields[3], fields[5] = ACTIVE, fields[3] & ALL, now
                self._files.write(place, fields)
                self._refusals.take_back(self._digits(self._rows.get(place)), PAUSED)
        except (OSError, SealError, ValueError) as failure:
            # Flash may have some of it all the same: all is written anew as what it is, suspended.
            for place in places:
                row = list(self._rows.get(place))
                row[3] = 1
                self._rows.set(place, *row)
            self._waiting = True
            self.flush()
            raise OSError(failure.errno if isinstance(failure, OSError) else 5, "")
        for place in places:
            _, purposes, categories, _, _, end, given, owner, gone = self._rows.get(place)
            self._rows.set(place, ACTIVE, purposes, categories & ALL, 0, now, end, given, owner, gone)
        self._rebuild(now)
        return places


def lasting_or_refuse(purposes: "list[str]", now: int, end: int) -> None:
    """Refuse an end that a purpose's ceiling doesn't allow."""
    for name in PURPOSES:
        ceiling = law.purpose(name).ceiling
        if name in purposes and not now < end <= now + ceiling:
            raise Refused("end: not within " + law.duration(ceiling) + " of now, the ceiling of " + name + " (L34-V-2)")


def named_or_refuse(third_parties: str) -> bytes:
    """Return the names of third parties, or `none`, in UTF-8; who is told of nobody in another way takes it for one."""
    shown = canonical.showable(third_parties, THIRD_PARTIES) and not _blank(third_parties[0] + third_parties[-1])
    if not shown or (third_parties.lower() in kinds.NOBODY and third_parties != law.NOBODY):
        raise Refused("third_parties: not understood (L34-V-2); accepted: none, or names of at most 63 octets")
    return third_parties.encode()


def _blank(text: str) -> bool:
    """Return True if a text has a blank of any script, or a letter that is drawn as nothing."""
    return any(low <= ord(one) <= high for one in text for low, high in _BLANKS)


def _since(row: "tuple[Any, ...]") -> int:
    """Return since when a row is as it is; 0: nobody knows."""
    since: int = 0 if row[2] & UNDATED else row[4]
    return since


def _names(table: "tuple[str, ...]", bits: int) -> "list[str]":
    return [name for index, name in enumerate(table) if bits >> index & 1]


def _bits(table: "tuple[str, ...]", names: "list[str]", what: str) -> int:
    bits = 0
    for name in names:
        if name not in table:
            raise Refused(what + ": unknown (L34-V-2); accepted: " + ", ".join(table))
        bits |= 1 << table.index(name)
    if not bits:
        raise Refused(what + ": none is named (L34-V-2); accepted: " + ", ".join(table))
    return bits


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
