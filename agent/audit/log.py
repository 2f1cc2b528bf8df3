# SPDX-License-Identifier: Apache-2.0
"""The audit log: every act, on flash, append-only, free of terminal data by construction (L34-VI-3, L34-II-5).

An act is a row of ACTS: its words come from closed lists, its numbers stop at a million, its digests have eight octets.
There is no place for an address or a name. agent.audit.chain says how a line looks and holds to the one before it.

Every powered-on hour a `checkpoint` is appended, whatever happened: its number, 16 random octets, and how many acts
found no room. Its hash covers the log so far and those octets, so it can leave the gateway: health carries it. It tells
nothing of the acts, not even by trying them all. A log that was cut, rewritten or forked no longer holds the hash that
was seen outside.

A line is on flash before `note` returns. What a loss of power tears stays where it is; the next file goes on from the
last line that holds, and says so. A file covers four weeks; files older than twelve months go. An act has room for 200
lines in a file. More of it is only counted: nobody can fill the flash by suspending his consent again and again. Giving
a consent and withdrawing it have room of their own, for as many as a gateway remembers: no other act, and nobody
else's, keeps a withdrawal from being noted.
"""

import os

from agent import law
from agent.audit import chain, counters
from agent.control.calls import REASONS
from agent.runtime import files
from agent.runtime.libc import reason
from agent.vault.stores import parse_name

SPAN = 28 * 86400  # s that a file covers
ROOM = 200  # lines of one act in one file
# Of these alone; a consent is to two purposes, each withdrawn by itself
RESERVED = {"consent granted": 1024, "consent withdrawn": 2048}
LARGEST = 1000000
SALT = 16

NUMBER, DIGEST, SEGMENT = "number", "digest", "segment"
BY = ("root", "operator", "portal", "anyone", "recorder")
PURPOSES = tuple(row.name for row in law.PURPOSES)
CAUSES = tuple(name[6:].replace(" ", "-") for name in counters.NAMES if name.startswith("lost: "))
ACTS: "dict[str, tuple[str | tuple[str, ...], ...]]" = {
    "start": (("boot", "restart"),),
    "stop": (),
    "config": (DIGEST,),
    "clock": (("trusted", "forward", "back", "strayed", "refused"), NUMBER),
    "loss": (CAUSES, NUMBER),
    "ledger": (("new",),),  # root said that this device is new
    # A segment that a process or the power left unfinished: on flash its name, on tmpfs its number
    "torn": (PURPOSES, SEGMENT),
    "erase": (PURPOSES + ("all", "terminal"), BY),
    "access": (BY,),  # an operator looks, with her agreement
    "look": (BY,),  # the person at a terminal looks
    # An operator looks for the security of the network; the number of the report, 0 for none
    "lookup": (REASONS, NUMBER, BY),
    "consent": (("granted", "withdrawn", "suspended", "resumed", "expired"), BY),
    "objection": (("made", "ended"), BY),  # to being counted
    "request": (("enrolled", "run", "refused"), DIGEST),
    "freeze": (("run", "refused"), DIGEST),
    "bundle": (("installed", "over"), NUMBER),  # days that its keys reach
    "emergency": (("opened", "closed", "expired"), NUMBER, BY),  # the incident's number
}


def _word(kind: "str | tuple[str, ...]", value: "object") -> str:
    """Write one word of an act; ValueError for what has no place in the log."""
    if kind in (NUMBER, SEGMENT) and isinstance(value, int) and value >= 0:
        return str(min(value, LARGEST))
    if kind == SEGMENT and isinstance(value, str) and parse_name(value) is not None:
        return value
    if kind == DIGEST and isinstance(value, bytes) and len(value) == 8:
        return "".join(["%02x" % octet for octet in value])
    if isinstance(kind, tuple) and isinstance(value, str) and value in kind:
        return value
    raise ValueError


def kind_of(words: "Sequence[str]") -> str:
    """Return whose lines in a file an act counts to: those of its first two words, or else of its first one."""
    two = " ".join(words[:2])
    return two if two in RESERVED else words[0]


def most(kind: str) -> int:
    """Return how many lines a file has for a kind of acts."""
    return RESERVED.get(kind, ROOM)


class Audit:
    """The log in `folder`, made where there is none.

    `newest` is number and hash of the newest checkpoint, `head` the newest line's hash.

    `random(count)` gives octets; `log(text)` is told where flash refuses.
    """

    failing = False  # flash refused the last line

    def __init__(
        self,
        folder: str,
        sodium: "Sodium",
        clock: "Clock",
        log: "Callable[[str], None]",
        random: "Callable[[int], bytes]" = os.urandom,
    ) -> None:
        self._folder = folder
        self._sodium = sodium
        self._clock = clock
        self._log = log
        self._random = random
        self._file = self._number = self._beyond = 0
        self.head = chain.NOTHING
        self.newest = (0, chain.NOTHING)
        self._lines: "dict[str, int]" = {}
        self._link: "chain.Entry | None" = None
        self.torn = False  # what follows the last line that holds isn't one: the next line goes to another file
        self._open()

    def begin(self, *, booted: bool, config: bytes) -> None:
        """Note a start of the recorder, the first one of a boot or a later one, and the digest of its configuration."""
        self.note("start", "boot" if booted else "restart")
        self.note("config", config)

    def note(self, act: str, *words: "object") -> bool:
        """Append an act; True once it is on flash. ValueError for what isn't in the table."""
        kinds = ACTS[act]
        if len(words) != len(kinds):
            raise ValueError
        text = " ".join([act] + [_word(kind, word) for kind, word in zip(kinds, words)])
        kind = kind_of(text.split(" "))
        written = self._lines.get(kind, 0) < most(kind) and self._append(text)
        if not written:
            self._beyond += 1
        return written

    def hour(self) -> None:
        """Append the checkpoint of a powered-on hour; begin another file, and let the oldest go, where that is due."""
        link, wall = self._link, self._seconds()
        old = link is not None and link.clock == self._clock.state == "trusted" and wall - link.time >= SPAN
        if link is None or self.torn or old or self.newest[0] - int(link.words[1]) >= SPAN // 3600:
            self._begin()
        salt = "".join(["%02x" % octet for octet in self._random(SALT)])
        number = self.newest[0] + 1
        if self._append("checkpoint " + str(number) + " " + salt + " " + str(min(self._beyond, LARGEST))):
            self.newest = (number, self.head)
            self._beyond = 0

    def _seconds(self) -> int:
        return max(self._clock.source.wall() // 1000000000, 0)

    def _path(self, number: int) -> str:
        return self._folder + "/%08d" % number

    def _seen(self, entry: "chain.Entry") -> None:
        """Take over a line that is in the newest file."""
        self._number, self.head = entry.number, entry.head
        kind = kind_of([entry.act] + entry.words)
        self._lines[kind] = self._lines.get(kind, 0) + 1
        if entry.act == "link":
            self._link, self.newest = entry, (int(entry.words[1]), entry.words[2])
        if entry.act == "checkpoint":
            self.newest = (int(entry.words[0]), entry.head)

    def _open(self) -> None:
        """Find the last line that holds; where anything follows it, the next line goes to another file."""
        present = chain.names(self._folder)
        for name in reversed(present):
            last, left = chain.walk(self._folder + "/" + name, self._sodium, self._seen)
            if last is not None or left:
                self.torn = left > 0 or name != present[-1]
            if last is not None:
                break
        self._file = int(present[-1]) if present else 0

    def _line(self, text: str) -> "tuple[bytes, str]":
        text = str(self._number + 1) + " " + str(self._seconds()) + " " + self._clock.state + " " + text
        head = chain.seal(self._sodium, self.head, text)
        return (text + " " + head + "\n").encode(), head

    def _begin(self) -> bool:
        """Begin a file that goes on from the last line that holds; let go of what is over."""
        words = [
            "link",
            str(self._file + 1),
            str(self.newest[0]),
            self.newest[1],
            self.head,
            "torn" if self.torn else "whole",
        ]
        line, _ = self._line(" ".join(words))
        try:
            files.write_atomic(self._path(self._file + 1), line)
        except OSError as failure:
            self._log("the audit log can't be written" + reason(failure.errno))
            return False
        self._file += 1
        self._lines, self.torn = {}, False
        chain.walk(self._path(self._file), self._sodium, self._seen)
        self._let_go()
        return True

    def _let_go(self) -> None:
        """Remove the files that are over."""
        present = chain.names(self._folder)
        over = 0
        for at in range(1, len(present)):
            # None where it is damaged: the next one tells of what lies before
            link = chain.first(self._folder + "/" + present[at])
            if link is not None and chain.over(link, self._seconds(), self._clock.state, self.newest[0]):
                over = at
        for name in present[:over]:
            try:
                files.remove(self._folder + "/" + name)
            except OSError:
                break  # the next month tries again

    def _append(self, text: str) -> bool:
        self.failing = True
        if (self.torn or self._link is None) and not self._begin():
            return False
        line, head = self._line(text)
        try:
            path = self._path(self._file)
            size = files.size_of(path)
            descriptor = files.open_file(path, ("O_APPEND",))
            try:
                self.torn = True  # until it is there, whole, or nothing of it is
                files.write_all(descriptor, line, len(line))
                files.sync(descriptor)
                self.torn = False
            except OSError:
                files.truncate(descriptor, size)
                self.torn = False
                raise
            finally:
                files.LIBC.call("close", descriptor)
        except OSError as failure:
            self._log("the audit log can't be written" + reason(failure.errno))
            return False
        self._number, self.head = self._number + 1, head
        kind = kind_of(text.split(" "))
        self._lines[kind] = self._lines.get(kind, 0) + 1
        self.failing = False
        return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.base.clock import Clock
    from agent.runtime.sodium import Sodium
