# SPDX-License-Identifier: Apache-2.0
"""`oubli log`: the audit log for a person, held against itself and a checkpoint seen outside (L34-VI-3)."""

from agent.audit import chain
from agent.base.dates import moment
from agent.runtime.sodium import Sodium


def written(entry: "chain.Entry") -> str:
    """Write an entry as a line: when, what, and in which state the clock was that says so."""
    words = entry.words
    if entry.act == "checkpoint":
        words = [words[0], entry.head]
    elif entry.act == "link":
        words = ["file", words[0], words[4]]
    clock = "" if entry.clock == "trusted" else f" (clock {entry.clock})"
    return f"{moment(entry.time)} {' '.join([entry.act] + words)}{clock}"


class History:
    """The log in `folder`; `head` is NUMBER:HASH of a checkpoint that was seen outside, or None."""

    def __init__(self, folder: str, head: "str | None") -> None:
        self._folder = folder
        self._number, self._hash = (int(head.split(":")[0]), head.split(":")[1]) if head else (0, "")
        self._verdict = chain.Verdict()
        self.wrong: "str | None" = None

    def read(self, visit: "Callable[[chain.Entry], None]") -> None:
        """Go through the whole log; `visit` sees each line that holds."""
        same = []

        def look(entry: "chain.Entry") -> None:
            if entry.act == "checkpoint" and int(entry.words[0]) == self._number:
                same.append(entry.head == self._hash)
            visit(entry)

        self._verdict = verdict = chain.verify(self._folder, Sodium(), look)
        self.wrong = verdict.wrong
        if not verdict.lines and not self.wrong:
            self.wrong = "there is no line in it: a log has its recorder's first start at least"
        if self._number and not self.wrong:
            if self._number > verdict.checkpoint[0]:
                self.wrong = "checkpoint " + str(self._number) + " was seen and isn't in the log: its end was cut"
            elif same and not same[0]:
                self.wrong = (
                    f"checkpoint {self._number} has another hash than the one seen: the log was rewritten or forked"
                )

    def data(self) -> "dict[str, Any]":
        """Return the verdict as `oubli log --json` shows it."""
        number, head = self._verdict.checkpoint
        return {
            "lines": self._verdict.lines,
            "checkpoints": number,
            "head": head,
            "cuts": self._verdict.cuts,
            "wrong": self.wrong,
        }

    def lines(self) -> "list[str]":
        """Return the verdict as text."""
        number, head = self._verdict.checkpoint
        out = list(self._verdict.cuts)
        out.append(str(self._verdict.lines) + " lines; newest checkpoint " + str(number) + ":" + head)
        out.append("THE LOG DOESN'T HOLD: " + self.wrong if self.wrong else "the log holds together")
        return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
