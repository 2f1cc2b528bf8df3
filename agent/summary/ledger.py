# SPDX-License-Identifier: Apache-2.0
"""What privacy has been spent, on flash, synced before anything is counted (ANON-5, ANON-6).

An agent-day opens at most once, later than every day before it, for a token; a token comes with every six powered-on hours, at
most two are held, a new device has one. A further start on the same day (a boot) spends epsilon again up to the ceiling, then
the day is silent. The file is JSON, replaced atomically: at most one power cut away from the truth, and then on the side of
silence, because the spending is on flash before the first terminal is counted.
"""

import json

from agent.runtime import files

HOURS_A_TOKEN = 6
TOKENS = 2
OWED = 1 - 24 // HOURS_A_TOKEN  # tokens of a device that doesn't know what it spent
LIMIT = 1024
_MOST = 1 << 32  # seconds until 2106: more is no figure of a ledger
_FIELDS = ("version", "day", "spent", "starts", "tokens", "hours", "uncounted", "since_token", "high_water")


class Ledger:
    """day (agent-day last opened), spent (thousandths of epsilon on it), tokens, powered-on hours, others, high-water mark (s)."""

    def __init__(self, path: str, log: "Callable[[str], None]") -> None:
        self._path = path
        values = {"version": 1, "day": 0, "spent": 0, "starts": 0, "tokens": 1, "hours": 0, "uncounted": 0}
        values["since_token"] = values["high_water"] = 0
        self.values: "dict[str, int]" = values
        if not files.exists(path):
            return
        read: "Any" = None
        try:
            read = json.loads(files.read_bounded(path, LIMIT))
            for name in _FIELDS:
                if not isinstance(read[name], int) or read[name] < (OWED if name == "tokens" else 0):
                    raise ValueError
            if read["version"] != 1:
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # RuntimeError: nested deeper than the parser goes
            # What was spent can't be known: the first start is 24 powered-on hours away, when this agent-day is over for certain.
            log("ledger can't be read: silent for 24 powered-on hours (ANON-5)")
            values["tokens"] = OWED
            # Another version's may say how long the device ran and how late it was: stores expire by that (EXP-4, EXP-5).
            for name in ("hours", "uncounted", "high_water") if isinstance(read, dict) else ():
                said = read.get(name)
                if isinstance(said, int) and 0 < said < _MOST:
                    values[name] = said
            self.save()
        else:
            self.values = read

    def __getitem__(self, name: str) -> int:
        """Return one of the values."""
        return self.values[name]

    def save(self) -> None:
        """Write all, synced; OSError where flash refuses."""
        pairs = ['"' + name + '":' + str(self.values[name]) for name in _FIELDS]
        files.write_atomic(self._path, ("{" + ",".join(pairs) + "}\n").encode())

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
        """Note that trusted time has come to a second, synced: a slot that ended by then is never drawn again; OSError as `save`."""
        former = self.values["high_water"]
        if second > former:
            self.values["high_water"] = second
            try:
                self.save()
            except OSError:
                self.values["high_water"] = former
                raise

    def boot(self, hours: int) -> None:
        """Count a boot `hours` full hours after it: one more, for what the former one ran past its last full hour (EXP-4)."""
        self.values["uncounted"] += 1 + hours
        self.save()

    @property
    def age(self) -> int:
        """Return the powered-on hours as expiry reads them: never fewer than there were (EXP-4). Tokens come with `hours`."""
        return self.values["hours"] + self.values["uncounted"]

    def hour(self, high_water: int) -> None:
        """Count one powered-on hour, and a token after six; `high_water` is trusted wall time in seconds, 0 if unknown."""
        values = self.values
        values["hours"] += 1
        values["since_token"] += 1
        if values["since_token"] >= HOURS_A_TOKEN:
            values["since_token"] = 0
            values["tokens"] = min(values["tokens"] + 1, TOKENS)
        values["high_water"] = max(values["high_water"], high_water)
        self.save()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
