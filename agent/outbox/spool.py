# SPDX-License-Identifier: Apache-2.0
"""The folder between the two processes: finished, noised messages, one file each, made by atomic rename.

A name is `<due>-<metric>-<slot>`: twelve digits of seconds, so that names sort by time. Bounded by age and octets; the
oldest is dropped first and counted. A message stays until the broker has acknowledged it and is sent again octet for
octet. However many there are, a small heap holds a few names at a time. What a forwarder that was taken over puts there
is looked at for seconds at most: the recorder hears no connection meanwhile.
"""

from agent.runtime import files

LISTED = 64  # names held at a time
MOST = 12000  # entries removed in one turn, and messages that may lie there beyond those that the octets allow
LEAST = 320  # octets that a message counts at least


class Spool:
    """The folder at `path`, bounded to `octets` and to messages due at most `days` ago."""

    def __init__(self, path: str, octets: int, days: int) -> None:
        self.path = path
        self.dropped: "dict[str, int]" = {}  # metric -> messages
        self.stuck = 0  # entries of the folder that are none and can't be removed
        self._octets = octets
        self._most = MOST + octets // LEAST
        self._seconds = days * 86400

    def put(self, due: int, metric: str, slot: int, text: bytes) -> None:
        """Add a message that is to be sent at `due` (seconds since the epoch); OSError where the folder refuses."""
        files.write_atomic(self.path + "/" + ("%012d-%s-%02d" % (due, metric, slot)), text, 0o640)

    def names(self) -> "list[str]":
        """Return the oldest messages, oldest first, at most LISTED."""
        oldest: "list[str]" = []
        for name in files.names(self.path):
            full = len(oldest) == LISTED
            if not (full and name > oldest[-1]) and _is_message(name):
                if full:
                    oldest.pop()
                oldest.append(name)
                oldest.sort()
        return oldest

    def waiting(self) -> int:
        """Return how many messages there are among the first entries; no recorder leaves more than are looked at."""
        count, left = 0, self._most
        for name in files.names(self.path):
            if not left:
                break
            left -= 1
            count += _is_message(name)
        return count

    def trim(self, now: int) -> None:
        """Drop what is too old or too much, oldest first, at most LISTED; `now` in s since the epoch, 0: not trusted.

        All else goes too, MOST entries at a time: what a cut of power left unfinished, and what a forwarder that was
        taken over may put there, messages without number among it. What can't be removed, as a full folder of another
        user's, is counted in `stuck`.
        """
        total = count = self.stuck = 0
        budget = [MOST]
        for path in files.entries(self.path):
            name, message = path[len(self.path) + 1 :] if isinstance(path, str) else "", False
            try:
                message = _is_message(name) and files.is_file(path)
                if message and count < self._most:
                    count += 1
                    total += max(LEAST, files.size_of(path))
                    continue
            except OSError:
                pass  # gone meanwhile, or a link that leads nowhere
            if budget[0] <= 0:
                return  # there is more than any recorder leaves: the rest at the next turn
            budget[0] -= 1
            try:
                if files.remove(path) and message:  # else the forwarder has sent it just now
                    self._drop(name)
            except OSError:
                self._clear(path, budget)
        for name in self.names():
            if total <= self._octets and due(name) + self._seconds >= now:
                break
            try:
                size = max(LEAST, files.size_of(self.path + "/" + name))
                dropped = files.remove(self.path + "/" + name)
            except OSError:
                continue
            total -= size
            if dropped:
                self._drop(name)

    def _drop(self, name: str) -> None:
        """Count a message that was dropped; of kinds that a forwarder makes up only so many."""
        kind = metric(name)
        if kind in self.dropped or len(self.dropped) < LISTED:
            self.dropped[kind] = self.dropped.get(kind, 0) + 1

    def _clear(self, path: "str | bytes", budget: "list[int]") -> None:
        """Remove a folder that lies where messages do, as far as the budget goes."""
        try:
            files.clear(path, budget=budget)
        except OSError:
            pass
        self.stuck += budget[0] > 0 and files.exists(path)


def _is_message(name: str) -> bool:
    """Return True if a name is `<due>-<metric>-<slot>`."""
    parts = name.split("-")
    if len(parts) != 3 or (len(parts[0]), len(parts[2])) != (12, 2) or not parts[1]:
        return False
    digits, letters = parts[0] + parts[2], parts[1]
    return all("0" <= digit <= "9" for digit in digits) and all("a" <= letter <= "z" for letter in letters)


def due(name: str) -> int:
    """Return when a message is to be sent, seconds since the epoch."""
    return int(name[:12])


def metric(name: str) -> str:
    """Return the metric of a message by its file name."""
    return name[13:-3]
