# SPDX-License-Identifier: Apache-2.0
"""The folder between the two processes: finished, noised messages, one file each, made by atomic rename.

A name is `<due>-<metric>-<slot>`: twelve digits of seconds, so that names sort by time. Bounded by age and octets; the oldest is
dropped first and counted. A message stays until the broker has acknowledged it and is sent again octet for octet. However many
there are, a small heap holds a few names at a time.
"""

from agent.runtime import files

LISTED = 64  # names held at a time


class Spool:
    """The folder at `path`, bounded to `octets` and to messages due at most `days` ago."""

    def __init__(self, path: str, octets: int, days: int) -> None:
        self.path = path
        self.dropped: "dict[str, int]" = {}  # metric -> messages
        self.stuck = 0  # entries of the folder that are none and can't be removed
        self._octets = octets
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
        """Return how many messages there are."""
        return sum(1 for name in files.names(self.path) if _is_message(name))

    def trim(self, now: int) -> None:
        """Drop what is too old or too much, oldest first, at most LISTED; `now` in seconds since the epoch, 0 where not trusted.

        All else goes too: what a cut of power left unfinished, and what a forwarder that was taken over may put there. What can't be
        removed, as a full folder of another user's, is counted in `stuck`.
        """
        total = self.stuck = 0
        for path in files.entries(self.path):
            try:
                if isinstance(path, str) and _is_message(path[len(self.path) + 1 :]) and files.is_file(path):
                    total += files.size_of(path)
                    continue
            except OSError:
                pass  # gone meanwhile, or a link that leads nowhere
            try:
                files.remove(path)
            except OSError:
                self._clear(path)
        for name in self.names():
            if total <= self._octets and due(name) + self._seconds >= now:
                break
            try:
                size = files.size_of(self.path + "/" + name)
                files.remove(self.path + "/" + name)
            except OSError:
                continue
            total -= size
            self.dropped[metric(name)] = self.dropped.get(metric(name), 0) + 1

    def _clear(self, path: "str | bytes") -> None:
        """Remove a folder that lies where messages do."""
        try:
            files.clear(path)
        except OSError:
            pass
        self.stuck += files.exists(path)


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
