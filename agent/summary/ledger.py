# SPDX-License-Identifier: Apache-2.0
"""What privacy has been spent, on flash, synced before anything is counted (ANON-5, ANON-6).

An agent-day opens at most once, later than every day before it, for a token. A token comes with every six powered-on
hours, and at most two are held. A further start on the same day (a boot) spends epsilon again up to the ceiling, then
the day is silent. The file is JSON, replaced atomically: at most one power cut away from the truth. It is then on the
side of silence, because the spending is on flash before the first terminal is counted.

A ledger that isn't there, can't be read, or is an old one that was put back says nothing of what was spent. The device
is then silent for 24 powered-on hours, when that agent-day is over for certain. Root may say of a device without a
ledger that it is new (`begin`): then it has a token at once.

Each writing has a number, and each ledger that begins anew a *life* drawn at random. Both stand in the name of an empty
file beside it, with the time that had been reached: the *mark*. No backup has it (lib/upgrade/keep.d leaves it out). So
a ledger of a lower number than the mark, of another life, or without a mark, was put back. A backup does that, or a
sysupgrade. What the mark says of time still holds: no slot is drawn again. A number is never below the hours that
expiry counts, so of these none is lost (EXP-4).
"""

import json
import os
from binascii import crc32

from agent.runtime import files

HOURS_A_TOKEN = 6
TOKENS = 2
OWED = 1 - 24 // HOURS_A_TOKEN  # tokens of a device that doesn't know what it spent
LIMIT = 1024
_MOST = 1 << 32  # seconds until 2106: more is no figure of a ledger
_FIELDS = ("version", "day", "spent", "starts", "tokens", "hours", "uncounted", "since_token", "high_water")
# By which stores expire (EXP-4, EXP-5): believed of an old ledger, and of another version's
_AGES = ("hours", "uncounted", "high_water")
_MISSING = "no ledger"
_IF_NEW = "; if nobody was ever counted here: oubli new-device"
_SILENT = ": silent for 24 powered-on hours (ANON-5)"


class Ledger:
    """day (last opened), spent on it (epsilon / 1000), tokens, powered-on hours, others, high-water mark (s)."""

    def __init__(self, path: str, log: "Callable[[str], None]", random: "Callable[[int], bytes]" = os.urandom) -> None:
        self._path = path
        self._marks = _marks(path)
        self._number, self._life, reached = (
            self._marks[-1] if self._marks else (0, 1 + int.from_bytes(random(3), "big"), 0)
        )
        values: "dict[str, int]" = dict.fromkeys(_FIELDS, 0)
        values["version"], values["tokens"], values["high_water"] = 1, OWED, reached
        self.values: "dict[str, int]" = values
        why, number, life, read = _read(path)
        if read is not None and why == "":
            if self._marks and number >= self._number and life == self._life:
                self.values, self._number = read, number
                return
            why = "ledger was put back"
        log(why + _SILENT + (_IF_NEW if why == _MISSING else ""))
        # One that was there isn't a new device's.
        values["starts"] = int(why != _MISSING or self._number > 0)
        if read is not None:
            for name in _AGES:
                values[name] = max(values[name], read[name])
        self._number = max(self._number, number)
        values["uncounted"] = max(values["uncounted"], self._number - values["hours"])
        try:
            self._first_mark()
            self.save()
        except OSError:
            log("ledger can't be written")  # the next writing tries again; until then a boot finds what this one found

    def __getitem__(self, name: str) -> int:
        """Return one of the values."""
        return self.values[name]

    def save(self) -> None:
        """Write all, synced; OSError where flash refuses."""
        pairs = ['"' + name + '":' + str(self.values[name]) for name in _FIELDS]
        number = max(self._number + 1, self.age)
        text = "{" + ",".join(pairs) + ',"life":' + str(self._life) + ',"number":' + str(number)
        files.write_atomic(self._path, (text + _check(text) + "\n").encode())
        self._number = number
        self._mark((number, self._life, self.values["high_water"]))

    def _first_mark(self) -> None:
        """Make a mark where there is none, synced before a numbered ledger: a cut leaves none without a mark."""
        if not self._marks:
            self._mark((0, self._life, self.values["high_water"]))
            try:
                files.sync_folder(self._path.rsplit("/", 1)[0])
            except OSError:
                pass  # flash refuses: the next writing says so

    def _mark(self, mark: "Mark") -> None:
        """Make the mark of the ledger on flash, remove those before the former: the folder's next sync has both."""
        try:
            files.close(files.open_file(_name(self._path, mark), ("O_CREAT",)))
            for old in self._marks[:-1] if len(self._marks) > 1 else ():
                files.remove(_name(self._path, old))
            self._marks = self._marks[-1:] + [mark]
        except OSError:
            pass  # flash refuses: the marks that are there hold, and the next writing makes one

    def begin(self) -> bool:
        """Take root's word that this device is new: a token at once.

        False where a ledger was here before, or a day has opened.
        """
        values = self.values
        if values["day"] or values["starts"]:
            return False
        values["tokens"] = max(values["tokens"], 1)
        self.save()
        return True

    def start(self, day: int, epsilon: int, ceiling: int) -> bool:
        """Spend epsilon for a start on an agent-day; True only after that is on flash."""
        values = self.values
        former = dict(values)
        if day > values["day"]:
            if values["tokens"] < 1:
                return False
            values["tokens"] -= 1
            values["day"], values["spent"], values["starts"] = day, epsilon, 1
        elif day == values["day"] and values["spent"] + epsilon <= ceiling:
            values["spent"] += epsilon
            values["starts"] += 1
        else:
            return False
        try:
            self.save()
        except OSError:
            self.values = former
            return False
        return True

    def reach(self, second: int) -> None:
        """Note that trusted time has come to a second, synced: no slot before it is drawn again; OSError as `save`."""
        former = self.values["high_water"]
        if second > former:
            self.values["high_water"] = second
            try:
                self.save()
            except OSError:
                self.values["high_water"] = former
                raise

    def boot(self, hours: int) -> None:
        """Count a boot `hours` full hours after it.

        It is one more, for what the former one ran past its last full hour (EXP-4).
        """
        self.values["uncounted"] += 1 + hours
        self.save()

    @property
    def age(self) -> int:
        """Return the powered-on hours as expiry reads them: never fewer than there were (EXP-4).

        Tokens come with `hours`.
        """
        return self.values["hours"] + self.values["uncounted"]

    @property
    def silent(self) -> int:
        """Return the powered-on hours until there is a token, 0 where there is one."""
        return max((1 - self.values["tokens"]) * HOURS_A_TOKEN - self.values["since_token"], 0)

    def hour(self, high_water: int) -> None:
        """Count one powered-on hour, and a token after six; `high_water` is trusted wall time in s, 0: unknown."""
        values = self.values
        values["hours"] += 1
        values["since_token"] += 1
        if values["since_token"] >= HOURS_A_TOKEN:
            values["since_token"] = 0
            values["tokens"] = min(values["tokens"] + 1, TOKENS)
        values["high_water"] = max(values["high_water"], high_water)
        self.save()


def _read(path: str) -> "tuple[str, int, int, dict[str, int] | None]":
    """Return what is wrong with a ledger ("": nothing), its number and life, and the figures that can be believed."""
    if not files.exists(path):
        return _MISSING, 0, 0, None
    damaged = "ledger can't be read"
    try:
        data = files.read_bounded(path, LIMIT)
        text = data.decode()
        said = json.loads(text)
        body = text.partition(',"check":')[0]
        if text != body + _check(body) + "\n":
            return damaged, 0, 0, None
        if said.get("version") != 1:
            # Another version's may say how long the device ran and how late it
            # was: stores expire by that (EXP-4, EXP-5).
            ages = [(name, said.get(name)) for name in _AGES]
            return (
                damaged,
                0,
                0,
                {name: value if isinstance(value, int) and 0 < value < _MOST else 0 for name, value in ages},
            )
        values = {name: said[name] for name in _FIELDS}
        for name in _FIELDS:
            if not isinstance(values[name], int) or not (OWED if name == "tokens" else 0) <= values[name] < _MOST:
                return damaged, 0, 0, None
        return "", said["number"], said["life"], values
    # RuntimeError: nested deeper than the parser goes
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return damaged, 0, 0, None


def _check(text: str) -> str:
    """Return the end of a ledger: its CRC-32, so that a changed digit isn't believed."""
    return ',"check":' + str(crc32(text.encode()) & 0xFFFFFFFF) + "}"


def _name(path: str, mark: "Mark") -> str:
    return path + "-" + "-".join([str(part) for part in mark])


def _marks(path: str) -> "list[Mark]":
    """Return the marks beside a ledger: number of the writing, life, seconds that time had reached; oldest first."""
    folder, name = path.rsplit("/", 1)
    found = []
    for other in files.names(folder):
        parts = other.split("-")
        if len(parts) == 4 and parts[0] == name and all(part.isdigit() for part in parts[1:]) and len(other) < 48:
            found.append((int(parts[1]), int(parts[2]), int(parts[3])))
    return sorted(found)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Mark = tuple[int, int, int]
