# SPDX-License-Identifier: Apache-2.0
"""The form of the audit log, and what holds it together: each line's hash covers the line before it (L34-VI-3).

A line is `NUMBER SECONDS CLOCK ACT WORD... HASH`:

    NUMBER         counted from 1 over the log's life
    SECONDS CLOCK  since the epoch, by a clock of that state
    ACT WORD...    of agent.audit.log's table
    HASH           BLAKE2b-256 of the former line's hash and this line's text (RFC 7693, by libsodium)

Files are named by their number and cover four weeks each. The first line of each is a `link`, whose words are:

    its file's number
    number and hash of the newest checkpoint
    the hash it goes on from
    whether the file before was left `whole`, or `torn` by a loss of power

So the oldest files can go and the rest still holds.
"""

from agent.runtime import files

LINE = 320  # octets of a line at most
FILE = 4194304  # octets of a file at most
TORN = 1024  # octets that a loss of power may have torn: the page it was in, and the line that was being written
NOTHING = "0" * 64
KEEP = 366 * 86400  # s: twelve months
_CLOCKS = ("unknown", "floor", "trusted")


class Entry:
    """One line: number, time (s), clock, act, words, and its hash in hexadecimal."""

    def __init__(self, parts: "list[str]", head: str) -> None:
        self.number = int(parts[0])
        self.time = int(parts[1])
        self.clock = parts[2]
        self.act = parts[3]
        self.words = parts[4:]
        self.head = head

    def data(self) -> "dict[str, Any]":
        """Return what `oubli log --json` shows."""
        return {
            "number": self.number,
            "time": self.time,
            "clock": self.clock,
            "act": self.act,
            "words": self.words,
            "hash": self.head,
        }


def seal(sodium: "Sodium", head: str, text: str) -> str:
    """Return the hash of a line that follows the one with the hash `head`."""
    return "".join(["%02x" % octet for octet in sodium.digest((head + text).encode())])


def names(folder: str) -> "list[str]":
    """Return the names of the log's files, the oldest first; none where there is no such folder."""
    try:
        return sorted([name for name in files.names(folder) if len(name) == 8 and name.isdigit()])
    except OSError:
        return []


def _split(line: bytes) -> "tuple[str, list[str], str] | None":
    """Return a line's text, its parts and the hash it claims; None where it has another form."""
    if not 0 < len(line) <= LINE or min(line) < 32 or max(line) > 126:
        return None
    text, _, head = line.decode().rpartition(" ")
    parts = text.split(" ")
    if len(parts) < 4 or len(head) != 64 or parts[2] not in _CLOCKS:
        return None
    for number in parts[:2]:
        if not number.isdigit() or str(int(number)) != number:
            return None
    return text, parts, head


def first(path: str) -> "Entry | None":
    """Return a file's link, unproven; None where it has none, or one that is damaged."""
    found = _split(b"".join(files.read_chunks(path, LINE + 1)).split(b"\n")[0])
    if (
        found is None
        or found[1][3] != "link"
        or len(found[1]) != 9
        or not all(word.isdigit() for word in found[1][4:6])
    ):
        return None
    return Entry(found[1], found[2])


def over(link: Entry, time: int, clock: str, checkpoints: int) -> bool:
    """Return True if what lies before a link is twelve months old, by trusted clocks or by powered-on hours."""
    trusted = link.clock == clock == "trusted"
    return (trusted and time - link.time > KEEP) or checkpoints - int(link.words[1]) > KEEP // 3600


def walk(path: str, sodium: "Sodium", visit: "Callable[[Entry], None]") -> "tuple[Entry | None, int]":
    """Show each line of a file as long as the chain holds; returns the last one, and how many octets follow it."""
    last: "Entry | None" = None
    rest, good, size = b"", True, 0
    for part in files.read_chunks(path, FILE):
        size += len(part)
        if not good:
            continue
        lines = (rest + part).split(b"\n")
        rest = lines.pop()
        good = len(rest) <= LINE
        for line in lines:
            entry = _follow(last, line, sodium)
            if entry is None:
                good = False
                break
            last = entry
            size -= len(line) + 1
            visit(entry)
    return last, size


def _follow(last: "Entry | None", line: bytes, sodium: "Sodium") -> "Entry | None":
    """Return the entry that a line is, if it is one and follows from the last."""
    found = _split(line)
    if found is None:
        return None
    text, parts, head = found
    if last is None:
        if parts[3] != "link" or len(parts) != 9:
            return None
        former = parts[7]
    else:
        if int(parts[0]) != last.number + 1 or parts[3] == "link":
            return None
        former = last.head
    return Entry(parts, head) if seal(sodium, former, text) == head else None


class Verdict:
    """What a whole log is found to be: where it is `wrong` (or None), its begin and end, its checkpoints."""

    def __init__(self) -> None:
        self.wrong: "str | None" = None
        self.first: "Entry | None" = None
        self.last: "Entry | None" = None
        self.lines = 0
        self.checkpoint: "tuple[int, str]" = (0, NOTHING)  # number and hash of the newest
        self.cuts: "list[str]" = []  # where a loss of power took something, as the log itself says


def _misfit(link: Entry, file: int, last: "Entry | None", left: int, *, empty: bool) -> "str | None":
    """Return why a link doesn't go on from the last line and the octets after it that don't hold; None where it does.

    `empty`: a loss of power left a file without a line between them.
    """
    after = "after line " + str(last.number if last else 0) + ": "
    if last and (link.words[3] != last.head or link.number != last.number + 1):
        return after + "the next file doesn't go on from it"
    if int(link.words[0]) != file:
        return after + "the next file was another one"
    if (link.words[4] == "torn") != (left > 0 or empty) or left > TORN:
        return after + str(left) + " octets that don't hold"
    return None


def verify(folder: str, sodium: "Sodium", visit: "Callable[[Entry], None]") -> Verdict:
    """Hold a whole log against itself; `visit` sees each line that holds.

    Lines may be missing before it only once they are old enough.
    """
    verdict = Verdict()
    left, former, empty = 0, "", False

    def look(entry: Entry) -> None:
        verdict.lines += 1
        if entry.act == "checkpoint":
            verdict.checkpoint = (int(entry.words[0]), entry.head)
        visit(entry)

    for name in names(folder):
        link, last = first(folder + "/" + name), verdict.last
        if former and int(name) != int(former) + 1:
            verdict.wrong = "file " + name + " doesn't follow file " + former
        elif link is None:
            left += files.size_of(folder + "/" + name)  # torn in its first page; the next file's link tells
            empty = True
        else:
            verdict.wrong, empty = _misfit(link, int(name), last, left, empty=empty), False
        if verdict.wrong:
            return verdict
        former = name
        if link is not None:
            if left:
                verdict.cuts.append(
                    "after line " + str(last.number if last else 0) + ": a loss of power tore " + str(left) + " octets"
                )
            verdict.first = verdict.first or link
            found, left = walk(folder + "/" + name, sodium, look)
            verdict.last = found or last
    start, end = verdict.first, verdict.last
    if left:
        verdict.wrong = "after line " + str(end.number if end else 0) + ": " + str(left) + " octets that don't hold"
    elif start and end and start.number > 1 and not over(start, end.time, end.clock, verdict.checkpoint[0]):
        verdict.wrong = "lines before " + str(start.number) + " were removed before their time"
    return verdict


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.runtime.sodium import Sodium
