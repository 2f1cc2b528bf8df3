# SPDX-License-Identifier: Apache-2.0
"""Who has consented to what, until when: the one store on flash that the device can read back (L34-V, L34-IV-1).

Absent, expired, suspended or unreadable means no (L34-V-2); so does a clock that isn't trusted, by which no end can be told.
A consent is a file of its own, sealed under the device's key and bound to its name, which is a number and says nothing: 24 octets
of nonce, then sealed: version u8, state u8, purposes u8, categories u8 (bits), given u32, since u32 (in this state), end u32,
keyed hash of the MAC 16, hash of the text shown 32, third parties (u8 length, 63 octets UTF-8). A change replaces the file, synced
and renamed, before it is acknowledged. A grant or a resumption counts only after that; a suspension or a withdrawal counts at once,
and is tried again until flash takes it (L34-V-4: fails to suspended). A withdrawal ends the consent then and there; a prompt is
refused for 30 days after it (L34-V-3). An end that has come is written too: a clock that is set back brings nothing to life again
(L34-VI-5). 30 days after its end a consent is removed.

What is withdrawn, suspended or over has a name among the refusals besides, written first (agent.purposes.consent.refusals): a file that is
put back from a backup counts as what these say.

Each purpose of a consent may be withdrawn by itself: its bit moves to the upper half of `purposes`, and nobody is asked for it again as
long as the consent is remembered. A consent can be resumed a few times a day: each time costs two writes of flash.

An objection to being counted is a refusal and nothing else (L34-VI-5). It counts at once, whatever flash does, and is remembered for 13
months, or until its terminal takes it back. Whoever objects is not followed by a consent either.
"""

import os
import struct

from agent import law
from agent.purposes.consent.refusals import AFTER, Refusals
from agent.runtime import files, memory
from agent.runtime.libc import words
from agent.runtime.sodium import NONCE, TAG, SealError
from agent.vault.stores import BY_CONSENT

ACTIVE, SUSPENDED, WITHDRAWN, ENDED, OBJECTED = 1, 2, 3, 4, 5
STATES = ("", "active", "suspended", "withdrawn", "ended", "objected")
PURPOSES = BY_CONSENT  # in the order of their bits
CATEGORIES = ("connections", "access-point")  # what a record of each of these keeps, by the same bits
LIMIT = 1024  # consents remembered, and objections; each for AFTER its end, and a withdrawal keeps prompts away as long
REFUSALS = 2 * LIMIT  # beyond these no consent is taken: withdrawals have room
OBJECTIONS = 512  # of these
OBJECTION = 365 * law.DAY  # seconds until an objection's end: with the 30 days after it, 13 months
CHANGES = 5  # that one terminal may make a day: resume, take an objection back
MAC = 6  # octets
THIRD_PARTIES = 63  # octets
# What is refused: both purposes' bits as a number ("1", "2", "3"), a consent that is suspended or over, being counted.
_PAUSED, _OVER, _COUNTED = "s", "e", "o"

_ALL = (1 << len(PURPOSES)) - 1
_WITHDRAWN = 4  # bits by which a purpose that was withdrawn is moved
_VERSION = 1
_FORMAT = ">BBBBIII16s32sB63s"
_SIZE = 128
_FILE = NONCE + _SIZE + TAG
_ROW = "<BBBBIII16s"  # state, purposes, categories, waiting for flash, since, end, given, hash
_OCTETS = 32
_BUCKETS = 2 * LIMIT
_TOO_LARGE = 27  # EFBIG
_NEVER = 1 << 32  # seconds


class Refused(Exception):
    """A consent that can't be given or changed; its text is the one line to show."""


class Consents:
    """Every consent in `folder`. Times in seconds since the epoch; `now` None while the clock isn't trusted.

    `unreadable` counts the files that a start found and could not read: they count as none and are removed.
    """

    def __init__(self, folder: str, key: "DeviceKey", sodium: "Sodium") -> None:
        present = list(files.names(folder))
        self._folder = folder
        self._refusals = Refusals(folder.rsplit("/", 1)[0] + "/vault/consent")
        self._swept, self._first_end = 0, _NEVER
        self._key = key
        self._sodium = sodium
        self._rows = memory.scratch(LIMIT * _OCTETS)
        self._text = memory.scratch(_SIZE)
        self._hash = bytearray(16)
        self._buckets = memory.scratch(_BUCKETS * 4)
        self._index = words(self._buckets.view, self._buckets.size)  # place + 1, 0 for none
        self._live = [0] * len(PURPOSES)
        self.objections = 0  # of terminals that are not to be counted
        self._changes: "dict[bytes, int]" = {}  # of the present day, by terminal
        self._day = 0
        self.unreadable = 0
        self._waiting = False  # something of it isn't on flash yet
        self._blocked: "list[int]" = []  # places whose file can't be read now, or is a refused consent's that couldn't be removed
        self._refused: "list[int]" = []  # the latter
        for name in present:
            self._load(name)
        for digits, end in self._refusals.of(_COUNTED):
            owner = bytes([int(digits[at : at + 2], 16) for at in range(0, len(digits), 2)])
            since = max(end - OBJECTION, 0)
            if self.objections < OBJECTIONS and len(owner) == len(self._hash):
                try:
                    place = self._free()
                except Refused:
                    place = LIMIT - 1 - self.objections  # a consent gives way
                self._set(place, OBJECTED, 0, 0, 0, since, end, since, owner)
                self.objections += 1
        self._rebuild(None)

    # Files

    def _load(self, name: str) -> None:
        place = int(name) if name.isdigit() and len(name) == 4 else LIMIT
        if place < LIMIT:
            try:
                self._read(place)
                self._take(place)
                return
            except (SealError, ValueError):
                self.unreadable += 1
            except OSError as failure:
                self.unreadable += 1
                if failure.errno != _TOO_LARGE:  # it may be readable at another start; until then it is none
                    self._blocked.append(place)
                    return
        try:
            files.remove(self._folder + "/" + name)
        except OSError:
            pass  # flash that can't be written stops no recorder; it counts as none all the same

    def _path(self, place: int) -> str:
        return self._folder + "/" + ("%04d" % place)

    def _read(self, place: int) -> "list[Any]":
        """Return a file's fields. SealError, ValueError: damaged, not ours, of another version; OSError: not now."""
        data = files.read_bounded(self._path(place), _FILE)
        size = len(data) - NONCE
        if size != _SIZE + TAG:
            raise SealError
        self._sodium.decrypt(self._text.address, data[NONCE:], size, self._bound(place), data[:NONCE], self._key.seal)
        fields = list(struct.unpack_from(_FORMAT, self._text.view, 0))
        self._text.wipe()
        if fields[0] != _VERSION or not 0 < fields[1] < OBJECTED:
            raise ValueError
        return fields

    def _read_own(self, place: int) -> "list[Any]":
        """Return the fields of the file of the consent that is known at a place; SealError where another one's was put there."""
        fields, row = self._read(place), self._row(place)
        if fields[4] != row[6] or fields[7] != row[7]:
            raise SealError
        return fields

    def _write(self, place: int, fields: "list[Any]") -> None:
        """Put a file in place, durable; OSError where flash refuses."""
        data = bytearray(_FILE)
        data[:NONCE] = nonce = os.urandom(NONCE)
        struct.pack_into(_FORMAT, self._text.view, 0, *fields)
        sealed = memory.scratch(_SIZE + TAG)
        self._sodium.encrypt(sealed.address, self._text.address, _SIZE, self._bound(place), nonce, self._key.seal)
        data[NONCE:] = sealed.view
        sealed.close()
        self._text.wipe()
        files.write_atomic(self._path(place), bytes(data))

    def _bound(self, place: int) -> bytes:
        return b"oubli consent %d" % place

    # Rows

    def _row(self, place: int) -> "tuple[Any, ...]":
        return struct.unpack_from(_ROW, self._rows.view, place * _OCTETS)

    def _set(self, place: int, *row: "Any") -> None:
        struct.pack_into(_ROW, self._rows.view, place * _OCTETS, *row)

    def _take(self, place: int) -> None:
        _, state, purposes, categories, given, since, end, owner, _, _, _ = self._read(place)
        row = [state, purposes, categories, 0, since, end, given, owner]
        if state in (ACTIVE, SUSPENDED):
            digits = self._digits(row)
            refused = sum([bits for bits in (1, 2) if self._refusals.has(digits, str(bits), end)])
            if self._refusals.has(digits, str(_ALL), end):
                refused = _ALL
            if self._refusals.has(digits, _OVER, end):
                row[0] = ENDED
            elif refused & purposes:
                _withdraw(row, refused, 0)
            if row[0] == ACTIVE and self._refusals.has(digits, _PAUSED, end):
                row[0] = SUSPENDED
            row[3] = int(row[:3] != [state, purposes, categories])
            self._waiting = self._waiting or row[3] > 0
        self._set(place, *row)

    def _digits(self, row: "Sequence[Any]") -> str:
        """Return the digits of a consent's refusals: a keyed hash of whose it is, since when, and to what it was given."""
        purposes = row[1] & _ALL | row[1] >> _WITHDRAWN
        digest = bytearray(8)
        self._sodium.keyed_digest(digest, 8, row[7] + struct.pack(">IB", row[6], purposes), self._key.hash)
        return _hex(digest)

    def _used(self) -> "Iterator[int]":
        view = self._rows.view
        return (place for place in range(LIMIT) if view[place * _OCTETS])

    def _rebuild(self, now: "int | None") -> None:
        """Work out where each terminal's consents are found, and for how many terminals each purpose is allowed."""
        index = self._index
        self._buckets.wipe()
        live = [0] * len(PURPOSES)
        self.objections, self._first_end = 0, _NEVER
        for place in self._used():
            row = self._row(place)
            self.objections += row[0] == OBJECTED
            if row[0] in (ACTIVE, SUSPENDED):
                self._first_end = min(self._first_end, row[5])
            if row[0] == ACTIVE and (now is None or now < row[5]):
                for bit in range(len(PURPOSES)):
                    live[bit] += row[1] >> bit & 1
            bucket = (row[7][0] << 8 | row[7][1]) % _BUCKETS
            while index[bucket]:
                bucket = (bucket + 1) % _BUCKETS
            index[bucket] = place + 1
        self._live = live

    def _of(self, mac: "int | bytes | bytearray") -> "Iterator[int]":
        """Yield the places of a terminal's consents, and of its objection."""
        owner = self._owner(mac)
        bucket = (owner[0] << 8 | owner[1]) % _BUCKETS
        while self._index[bucket]:
            place = self._index[bucket] - 1
            if self._row(place)[7] == owner:
                yield place
            bucket = (bucket + 1) % _BUCKETS

    # Questions

    def active(self, mac: "bytes | bytearray", purpose: str, now: "int | None") -> int:
        """Return the place of the consent that allows a purpose for a terminal now, -1 for no."""
        number = PURPOSES.index(purpose)
        if not self._live[number] or now is None:
            return -1
        bit = 1 << number
        for place in self._of(mac):
            state, purposes, _, _, _, end, _, _ = self._row(place)
            if state == ACTIVE and purposes & bit and now < end:
                return place
        return -1

    def objects(self, mac: "int | bytes | bytearray") -> bool:
        """Return True if a terminal, 6 octets or where they stand in memory, is not to be counted."""
        return self.objections > 0 and any(self._row(place)[0] == OBJECTED for place in self._of(mac))

    def any_active(self, purpose: str, now: "int | None") -> bool:
        """Return True if anybody's consent allows a purpose; it may be over for as long as `tick` wasn't called."""
        return now is not None and self._live[PURPOSES.index(purpose)] > 0

    def due(self, now: "int | None") -> bool:
        """Return True if a consent has come to its end, and `tick` hasn't noted that."""
        return now is not None and now >= self._first_end

    def since(self, place: int) -> int:
        """Return since when a consent has been in its state: nothing from before counts, there is no back-fill (L34-V-4)."""
        return self._row(place)[4]

    def end(self, place: int) -> int:
        """Return when a consent ends."""
        return self._row(place)[5]

    def alive(self, place: int, purpose: str, now: "int | None") -> bool:
        """Return True if what is kept for a purpose under the consent at a place may stay: active or suspended, and not over."""
        state, purposes, _, _, _, end, _, _ = self._row(place)
        return state in (ACTIVE, SUSPENDED) and bool(purposes >> PURPOSES.index(purpose) & 1) and (now is None or now < end)

    def counts(self, now: "int | None") -> "dict[str, int]":
        """Return how many consents are in each state; those that are over are `ended`."""
        found = {"active": 0, "suspended": 0, "withdrawn": 0, "ended": 0}
        for place in self._used():
            row = self._row(place)
            if row[0] != OBJECTED:
                found[_state(row, now)] += 1
        return found

    def of_terminal(self, mac: bytes, now: "int | None") -> "list[dict[str, Any]]":
        """Return a terminal's own consents, for the person at it."""
        return [self._shown(place, now) for place in self._of(mac) if self._row(place)[0] != OBJECTED]

    def listed(self, first: int, count: int, now: "int | None") -> "list[dict[str, Any]]":
        """Return at most `count` consents from a place on, without whose they are."""
        return [self._shown(place, now) for place in self._used() if place >= first and self._row(place)[0] != OBJECTED][:count]

    def _shown(self, place: int, now: "int | None") -> "dict[str, Any]":
        row = self._row(place)
        shown = {"number": place, "state": _state(row, now), "since": row[4], "end": row[5]}
        shown["purposes"], shown["categories"] = _names(PURPOSES, row[1]), _names(CATEGORIES, row[2])
        shown["withdrawn"] = _names(PURPOSES, row[1] >> _WITHDRAWN)
        try:
            fields = self._read_own(place)
            shown["text"] = "".join("%02x" % octet for octet in fields[8])
            shown["third_parties"] = fields[10][: fields[9]].decode()
        except (OSError, SealError, ValueError):
            shown["text"] = shown["third_parties"] = ""
        return shown

    # Acts

    def grant(
        self, mac: bytes, purposes: "list[str]", categories: "list[str]", third_parties: str, end: int, text: bytes, now: "int | None"
    ) -> int:
        """Take a terminal's consent; returns its place once it is on flash. Refused, OSError: there is none."""
        if now is None:
            raise Refused("the time isn't confirmed yet, so no end can be told (EXP-5); accepted: again in some minutes")
        bits = _bits(PURPOSES, purposes, "purposes")
        if _bits(CATEGORIES, categories, "categories") != bits:
            kept = [CATEGORIES[PURPOSES.index(name)] for name in purposes]
            raise Refused("categories: not those that these purposes keep (L34-V-2); accepted: " + ", ".join(sorted(kept)))
        for name in PURPOSES:
            ceiling = law.purpose(name).ceiling
            if name in purposes and not now < end <= now + ceiling:
                raise Refused("end: not within " + law.duration(ceiling) + " of now, the ceiling of " + name + " (L34-V-2)")
        named = third_parties.encode()
        blank = third_parties.strip() != third_parties
        if blank or not 0 < len(named) <= THIRD_PARTIES or any(octet < 32 or octet == 127 for octet in named):
            raise Refused("third_parties: not understood (L34-V-2); accepted: none, or names of at most 63 octets")
        for place in self._of(mac):
            state, held, _, _, since, former, _, _ = self._row(place)
            if state == OBJECTED:
                raise Refused("this terminal objects to being counted (L34-VI-5); accepted: once that is taken back")
            if held >> _WITHDRAWN & bits:
                raise Refused("withdrawn before: not to be asked again as long as that is remembered (L34-V-3)")
            if state == WITHDRAWN and (not since or now < since + AFTER):
                raise Refused("withdrawn less than 30 days ago: not to be asked again before (L34-V-3)")
            if state in (ACTIVE, SUSPENDED) and held & bits and now < former:
                raise Refused("a consent to this is in force until its end (L34-V-2); accepted: withdraw, or again after its end")
        place = self._free()
        if self._refusals.count >= REFUSALS:
            raise Refused("no room: " + str(self._refusals.count) + " refusals are remembered; accepted: once older ones are forgotten")
        owner = self._owner(mac)
        parties = named + bytes(THIRD_PARTIES - len(named))
        try:
            self._write(place, [_VERSION, ACTIVE, bits, bits, now, now, end, owner, text, len(named), parties])
        except OSError:
            # Flash may have it all the same, and a consent that was refused is none: it goes, now or once flash lets it.
            self._blocked.append(place)
            self._refused.append(place)
            self._take_back()
            raise
        self._set(place, ACTIVE, bits, bits, 0, now, end, now, owner)
        self._rebuild(now)
        return place

    def _free(self) -> int:
        """Return a place where nothing stands; Refused where there is none."""
        view = self._rows.view
        place = 0
        while place < LIMIT and (view[place * _OCTETS] or place in self._blocked):
            place += 1
        if place == LIMIT:
            raise Refused("no room: " + str(LIMIT) + " consents are remembered")
        return place

    def _owner(self, mac: "int | bytes | bytearray") -> bytes:
        """Return the keyed hash of a terminal."""
        self._sodium.keyed_digest(self._hash, 16, mac, self._key.hash, MAC)
        return bytes(self._hash)

    def _change(self, owner: bytes, now: "int | None") -> None:
        """Count a change that a terminal may make a few times a day: nobody wears out the flash. Refused beyond that."""
        if now is not None and now // law.DAY != self._day:
            self._day, self._changes = now // law.DAY, {}
        count = self._changes.get(owner, 0)
        if count >= CHANGES or len(self._changes) >= LIMIT:
            raise Refused("changed " + str(CHANGES) + " times today; accepted: tomorrow; suspending and withdrawing always")
        self._changes[owner] = count + 1

    def withdraw(self, mac: bytes, now: "int | None", purpose: "str | None" = None) -> "list[int]":
        """End a terminal's consents at once, for good, or what they say of one purpose; returns their places. What was kept must go now."""
        bits = _ALL if purpose is None else 1 << PURPOSES.index(purpose)
        places = []
        for place in self._of(mac):
            state, purposes, categories, _, since, end, given, owner = self._row(place)
            if state not in (ACTIVE, SUSPENDED) or not purposes & bits:
                continue
            if now is not None and now >= end:  # over by itself, and that is written: a clock that is set back brings nothing back
                self._set(place, ENDED, purposes, categories, 1, since, end, given, owner)
                self._waiting = True
                continue
            places.append(place)
            row = [state, purposes, categories, 1, since, end, given, owner]
            _withdraw(row, bits, now or 0)
            self._set(place, *row)
            self._waiting = True
        self._rebuild(now)
        return places

    def object(self, mac: bytes, now: "int | None") -> bool:
        """Take a terminal's objection to being counted, at once; False where there is one. Refused: there is no place for it."""
        if self.objects(mac):
            return False
        if self.objections >= OBJECTIONS:
            raise Refused("no room: " + str(OBJECTIONS) + " objections are remembered; accepted: the operator's word with you")
        place = self._free()
        self._set(place, OBJECTED, 0, 0, 1, now or 0, (now or 0) + OBJECTION, now or 0, self._owner(mac))
        self._waiting = True
        self._rebuild(now)
        return True

    def accept(self, mac: bytes, now: "int | None") -> bool:
        """Take an objection back; False where there was none. OSError where flash refuses: it goes on."""
        found = [place for place in self._of(mac) if self._row(place)[0] == OBJECTED]
        if found:
            self._change(self._owner(mac), now)
            try:
                self._refusals.take_back(_hex(self._owner(mac)), _COUNTED)
            except OSError:
                for place in found:  # flash may have taken it back all the same: it is written anew
                    row = list(self._row(place))
                    row[3] = 1
                    self._set(place, *row)
                self._waiting = True
                raise
        for place in found:
            self._set(place, 0, 0, 0, 0, 0, 0, 0, bytes(16))
        self._rebuild(now)
        return bool(found)

    def suspend(self, mac: bytes, now: "int | None") -> "list[int]":
        """Suspend a terminal's consents at once, until they are resumed; returns their places."""
        places = [place for place in self._of(mac) if self._row(place)[0] == ACTIVE and (now is None or now < self._row(place)[5])]
        for place in places:
            _, purposes, categories, _, _, end, given, owner = self._row(place)
            self._set(place, SUSPENDED, purposes, categories, 1, now or 0, end, given, owner)
            self._waiting = True
        self._rebuild(now)
        return places

    def resume(self, mac: bytes, now: "int | None") -> "list[int]":
        """Resume what was suspended; returns the places. Refused, OSError: it stays suspended."""
        if now is None:
            raise Refused("the time isn't confirmed yet, so no end can be told (EXP-5); accepted: again in some minutes")
        if self.objects(mac):
            raise Refused("this terminal objects to being counted (L34-VI-5); accepted: once that is taken back")
        places = [place for place in self._of(mac) if self._row(place)[0] == SUSPENDED and now < self._row(place)[5]]
        if places:
            self._change(self._owner(mac), now)
        for place in places:
            try:
                fields = self._read_own(place)
            except (SealError, ValueError):
                raise OSError(5, "")
            fields[1], fields[5] = ACTIVE, now
            try:
                self._write(place, fields)
                self._refusals.take_back(self._digits(self._row(place)), _PAUSED)
            except OSError:
                # Flash may have it all the same: it is written anew as what it is, suspended.
                row = list(self._row(place))
                row[3] = 1
                self._set(place, *row)
                self._waiting = True
                raise
            _, purposes, categories, _, _, end, given, owner = self._row(place)
            self._set(place, ACTIVE, purposes, categories, 0, now, end, given, owner)
        self._rebuild(now)
        return places

    def _take_back(self) -> None:
        """Remove the files of refused consents; what flash keeps waits for the next tick."""
        for place in list(self._refused):
            try:
                files.remove(self._path(place))
                files.sync_folder(self._folder)
            except OSError:
                continue
            self._refused.remove(place)
            self._blocked.remove(place)

    def flush(self) -> bool:
        """Write what flash hasn't taken yet; False where some of it still waits. Call it after each act, and each tick."""
        self._take_back()
        if not self._waiting:
            return True
        self._waiting = False
        for place in self._used():
            row = list(self._row(place))
            if row[3] and not self._flush(place, row):
                self._waiting = True
        return not self._waiting

    def _flush(self, place: int, row: "list[Any]") -> bool:
        try:
            self._refuse(row)
            if row[0] != OBJECTED and files.exists(self._path(place)):
                fields = self._read_own(place)
                fields[1:7] = row[:3] + [fields[4], row[4], row[5]]
                self._write(place, fields)
        except (SealError, ValueError):
            pass  # unreadable on flash: no from the next start on, as it is now
        except OSError:
            return False
        row[3] = 0
        self._set(place, *row)
        return True

    def _refuse(self, row: "list[Any]") -> None:
        """Put what a row refuses among the refusals, durably."""
        state, purposes, _, _, _, end, _, owner = row
        if state == OBJECTED:
            self._refusals.add(_hex(owner), _COUNTED, end)
            return
        digits, withdrawn = self._digits(row), purposes >> _WITHDRAWN
        if state == WITHDRAWN:
            withdrawn |= purposes & _ALL
        signs = {SUSPENDED: _PAUSED, ENDED: _OVER}.get(state, "") + (str(withdrawn) if withdrawn else "")
        for sign in signs:
            self._refusals.add(digits, sign, end)

    def tick(self, now: "int | None") -> None:
        """End what is over, remove it after 30 days; fix since when, for what was stopped while the time wasn't known. OSError: not now."""
        if now is None:
            self.flush()
            return
        over = []
        for place in self._used():
            state, purposes, categories, _, since, end, given, owner = self._row(place)
            if not since:
                if state == OBJECTED:
                    end, given = now + OBJECTION, now
                self._set(place, state, purposes, categories, 1, now, end, given, owner)
                self._waiting = True
            elif now >= (since if state == WITHDRAWN else end) + AFTER:
                over.append(place)
            elif state in (ACTIVE, SUSPENDED) and now >= end:
                self._set(place, ENDED, purposes, categories, 1, since, end, given, owner)
                self._waiting = True
        self._rebuild(now)
        kept = self.flush()  # before: nothing that can't be removed holds up what waits for flash
        for place in over:
            files.remove(self._path(place))
            self._set(place, 0, 0, 0, 0, 0, 0, 0, bytes(16))
        if over:
            files.sync_folder(self._folder)
            self._rebuild(now)
        if kept and now // law.DAY != self._swept:
            self._swept = now // law.DAY
            self._refusals.sweep(now)

    def close(self) -> None:
        """Overwrite what is in memory."""
        for region in (self._rows, self._text, self._buckets):
            region.wipe()
            region.close()


def _state(row: "tuple[Any, ...]", now: "int | None") -> str:
    """Return a row's state in a word; what is over by itself is "ended"."""
    over = row[0] in (ACTIVE, SUSPENDED) and now is not None and now >= row[5]
    return "ended" if over else STATES[row[0]]


def _withdraw(row: "list[Any]", bits: int, now: int) -> None:
    """Withdraw purposes in a row, and the consent where none is left; `now` 0: it isn't known when."""
    gone = row[1] & _ALL & bits
    if gone == row[1] & _ALL:
        row[0], row[4] = WITHDRAWN, now
    else:
        row[1] = row[1] & ~gone | gone << _WITHDRAWN
        row[2] &= ~gone


def _hex(octets: "bytes | bytearray") -> str:
    return "".join(["%02x" % octet for octet in octets])


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
    from typing import Any, Iterator, Sequence

    from agent.purposes.device_key import DeviceKey
    from agent.runtime.sodium import Sodium
