# SPDX-License-Identifier: Apache-2.0
"""Consents and objections as they are kept: rows in memory, files and refusals on flash.

They outlive starts, ends and flash that refuses.

What can't be written counts at once all the same, and is tried again. The file of what is suspended or withdrawn goes
meanwhile, which takes no room: a start before then finds no consent. What is withdrawn, suspended or over stands among
the refusals (agent.purposes.consent.refusals) before its file is changed. What may be done to a consent is in
agent.purposes.consent.consents.
"""

import struct
from binascii import hexlify

from agent import law
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
    Rows,
    withdraw,
)
from agent.purposes.consent.refusals import AFTER, Refusals
from agent.purposes.consent.sealed_consents import SealedConsents
from agent.runtime import files
from agent.runtime.sodium import SealError

LIMIT = 1024  # consents remembered, and objections; each for AFTER its end, and a withdrawal keeps prompts away as long
OBJECTIONS = 512  # of these, by guests
RESERVED = 64  # of both, and as many objections more: room of the operator's, which no stranger's many MACs fill
OBJECTION = 365 * law.DAY  # seconds until an objection's end: with the 30 days after it, 13 months
MAC = 6  # octets
# What is refused: both purposes' bits as a number ("1", "2", "3"), a consent that is suspended or over, being counted.
# And a prompt, by the terminal itself and since when: no older folder of consents lets it be asked before its time.
# An objection of which nobody knows since when has a sign of its own.
PAUSED, OVER, COUNTED, PROMPT, TIMELESS = "s", "e", "o", "w", "u"
_TOO_LARGE = 27  # EFBIG
_NEVER = 1 << 32  # seconds


class KeptConsents:
    """Every consent in `folder`. Times in seconds since the epoch; `now` None while the clock isn't trusted.

    `unreadable` counts the files that a start found and could not read: they count as none and are removed.
    """

    def __init__(self, folder: str, key: "DeviceKey", sodium: "Sodium") -> None:
        present = list(files.names(folder))
        self._folder = folder
        self._refusals = Refusals(folder.rsplit("/", 1)[0] + "/vault/consent")
        self._first_end = _NEVER
        self._key = key
        self._sodium = sodium
        self._files = SealedConsents(folder, key, sodium)
        self._rows = Rows(LIMIT)
        self._hash = bytearray(16)
        self._live = [0] * len(PURPOSES)
        self.objections = 0  # of terminals that are not to be counted
        self._changes: "dict[bytes, int]" = {}  # of the present day, by terminal
        self._day = 0
        self.unreadable = 0
        self._waiting = False  # something of it isn't on flash yet
        for name in present:
            self._load(name)
        known: "set[bytes]" = set()  # one that was made while nobody confirmed the time may have its former name, too
        found = [(one, UNDATED) for one in self._refusals.of(TIMELESS)]
        for (digits, end), flag in found + [(one, 0) for one in self._refusals.of(COUNTED)]:
            owner = bytes([int(digits[at : at + 2], 16) for at in range(0, len(digits), 2)])
            since = max(end - OBJECTION, 0)
            if self.objections < OBJECTIONS + RESERVED and len(owner) == len(self._hash) and owner not in known:
                known.add(owner)
                try:
                    place = self._free()
                except Refused:
                    place = LIMIT - 1 - self.objections  # a consent gives way
                self._rows.set(place, OBJECTED, 0, flag, 0, since, end, since, owner, 0)
                self.objections += 1
        self._rebuild(None)
        self._suspend_objecting()

    def _suspend_objecting(self) -> None:
        """Suspend consents of who objects: power was lost between two writes, or an objection was put back."""
        for place in self._rows.used():
            row = list(self._rows.get(place))
            if row[0] == ACTIVE and any(self._rows.get(other)[0] == OBJECTED for other in self._rows.of(row[7])):
                row[0], row[3], row[4] = SUSPENDED, 1, 0
                self._rows.set(place, *row)
                self._waiting = True
        self._rebuild(None)

    def _load(self, name: str) -> None:
        place = int(name) if name.isdigit() and len(name) == 4 else LIMIT
        if place < LIMIT:
            try:
                self._files.read(place)
                self._take(place)
                return
            except (SealError, ValueError):
                self.unreadable += 1
            except OSError as failure:
                self.unreadable += 1
                if failure.errno != _TOO_LARGE:  # it may be readable at another start; until then it is none
                    self._files.blocked.append(place)
                    return
        try:
            files.remove(self._folder + "/" + name)
        except OSError:
            pass  # flash that can't be written stops no recorder; it counts as none all the same

    def _read_own(self, place: int) -> "list[Any]":
        """Return the fields of the file of the consent known at a place; SealError where it is another one's."""
        fields, row = self._files.fields(place), self._rows.get(place)
        if fields[4] != row[6] or fields[7] != row[7]:
            raise SealError
        return fields

    def _take(self, place: int) -> None:
        _, state, purposes, categories, given, since, end, owner, _, _, _, gone = self._files.read(place)
        row = [state, purposes, categories, 0, since, end, given, owner, gone]
        if state in (ACTIVE, SUSPENDED):
            digits = self._digits(row)
            refused = sum([bits for bits in (1, 2) if self._refusals.has(digits, str(bits), end)])
            if self._refusals.has(digits, str(ALL), end):
                refused = ALL
            if self._refusals.has(digits, OVER, end):
                row[0] = ENDED
            elif refused & purposes:
                withdraw(row, refused, 0)
            if row[0] == ACTIVE and self._refusals.has(digits, PAUSED, end):
                row[0], row[4] = SUSPENDED, 0
            row[3] = int(row[:3] != [state, purposes, categories])
            self._waiting = self._waiting or row[3] > 0
        self._rows.set(place, *row)

    def _digits(self, row: "Sequence[Any]") -> str:
        """Return the digits of a consent's refusals.

        They are a keyed hash of whose it is, since when, and to what it was given.
        """
        purposes = row[1] & ALL | row[1] >> GONE
        digest = bytearray(8)
        self._sodium.keyed_digest(digest, 8, row[7] + struct.pack(">IB", row[6], purposes), self._key.hash)
        return hexadecimal(digest)

    def _rebuild(self, now: "int | None") -> None:
        """Work out where each terminal's consents are found, and for how many terminals each purpose is allowed."""
        self._rows.index()
        live = [0] * len(PURPOSES)
        self.objections, self._first_end = 0, _NEVER
        for place in self._rows.used():
            row = self._rows.get(place)
            self.objections += row[0] == OBJECTED
            if row[0] in (ACTIVE, SUSPENDED):
                self._first_end = min(self._first_end, row[5])
            if row[0] == ACTIVE and (now is None or now < row[5]):
                for bit in range(len(PURPOSES)):
                    live[bit] += row[1] >> bit & 1
        self._live = live

    def _of(self, mac: "int | bytes | bytearray") -> "Iterator[int]":
        """Yield the places of a terminal's consents, and of its objection."""
        return self._rows.of(self._owner(mac))

    def due(self, now: "int | None") -> bool:
        """Return True if a consent has come to its end, and `tick` hasn't noted that."""
        return now is not None and now >= self._first_end

    def _free(self, spare: int = 0) -> int:
        """Return a place where nothing stands; Refused where there is none but the last ones, which are to spare."""
        place = 0
        while place < LIMIT - spare and (self._rows.taken(place) or place in self._files.blocked):
            place += 1
        if place >= LIMIT - spare:
            raise Refused("no room: " + str(LIMIT - spare) + " consents are remembered")
        return place

    def _owner(self, mac: "int | bytes | bytearray") -> bytes:
        """Return the keyed hash of a terminal."""
        self._sodium.keyed_digest(self._hash, 16, mac, self._key.hash, MAC)
        return bytes(self._hash)

    def flush(self) -> bool:
        """Write what flash hasn't taken yet; False where some of it still waits.

        Call it after each act, and each tick.
        """
        self._files.take_back()
        if not self._waiting:
            return True
        self._waiting = False
        for place in self._rows.used():
            row = list(self._rows.get(place))
            if row[3] and not self._flush(place, row):
                self._waiting = True
        return not self._waiting

    def _flush(self, place: int, row: "list[Any]") -> bool:
        try:
            self._refuse(row)
            if row[0] != OBJECTED and self._files.kept(place):
                fields = self._read_own(place)
                fields[1:7] = row[:3] + [fields[4], row[4], row[5]]
                fields[11] = row[8]
                self._files.write(place, fields)
        except (SealError, ValueError):
            pass  # unreadable on flash: no from the next start on, as it is now
        except OSError:
            self._unfile(place, row)
            return False
        row[3] = 0
        self._rows.set(place, *row)
        return True

    def _unfile(self, place: int, row: "list[Any]") -> None:
        """Take a file away that allows more than its row, as flash takes no other."""
        try:
            if self._files.there(place) and (row[0] in (SUSPENDED, WITHDRAWN) or row[1] >> GONE):
                self._files.take_away(place, self._read_own(place))
        except (OSError, SealError, ValueError):
            pass  # it is gone, or stays as it was

    def _refuse(self, row: "list[Any]") -> None:
        """Put what a row refuses among the refusals, durably."""
        state, purposes, flag, _, since, end, _, owner, gone = row
        if state == OBJECTED:
            self._refusals.add(hexadecimal(owner), TIMELESS if flag else COUNTED, end)
            return
        digits, withdrawn = self._digits(row), purposes >> GONE
        if state == WITHDRAWN:
            withdrawn |= purposes & ALL
        signs = {SUSPENDED: PAUSED, ENDED: OVER}.get(state, "") + (str(withdrawn) if withdrawn else "")
        for sign in signs:
            self._refusals.add(digits, sign, end)
        since = since if state == WITHDRAWN else gone
        if since:
            self._refusals.add(hexadecimal(owner), PROMPT, since)

    def _turn(self, now: "int | None") -> None:
        """Forget who has changed what, where the day is another one."""
        if now is not None and now // law.DAY != self._day:
            self._day, self._changes = now // law.DAY, {}

    def tick(self, now: "int | None", booted: int = 0) -> None:
        """End what is over, remove it after 30 days; what was stopped while the time wasn't known goes by the present.

        `booted`: s since boot, by which days go on while nobody confirms the time. OSError: not now.
        """
        self._turn(booted if now is None else now)
        if now is None:
            self.flush()
            return
        over = []
        for place in self._rows.used():
            state, purposes, categories, _, since, end, given, owner, gone = self._rows.get(place)
            if not since:
                if state == OBJECTED:
                    end, given = now + OBJECTION, now
                self._rows.set(place, state, purposes, categories | UNDATED, 1, now, end, given, owner, gone)
                self._waiting = True
            elif now >= (since if state == WITHDRAWN else end) + AFTER:
                over.append(place)
            elif state in (ACTIVE, SUSPENDED) and now >= end:
                self._rows.set(place, ENDED, purposes, categories, 1, since, end, given, owner, gone)
                self._waiting = True
        self._rebuild(now)
        kept = self.flush()  # before: nothing that can't be removed holds up what waits for flash
        for place in over:
            self._files.remove(place)
            self._rows.clear(place)
        if over:
            self._files.sync()
            self._rebuild(now)
        if kept:
            self._refusals.sweep(now)

    def close(self) -> None:
        """Overwrite what is in memory."""
        self._rows.close()
        self._files.close()


def hexadecimal(octets: "bytes | bytearray") -> str:
    """Return octets as digits."""
    return hexlify(bytes(octets)).decode()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence

    from agent.purposes.device_key import DeviceKey
    from agent.runtime.sodium import Sodium
