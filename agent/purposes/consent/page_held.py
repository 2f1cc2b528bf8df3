# SPDX-License-Identifier: Apache-2.0
"""What the gateway holds on a terminal: shown to its person (GDPR art. 15), and as a file (art. 20)."""

from agent.base import canonical, dates
from agent.purposes import words
from agent.purposes.consent.page_html import Html, head

SHOWN = 100  # records on a page, the newest; all of them: the file, or `oubli who`
_ATTACHED = 'Content-Disposition: attachment; filename="oubli.json"'
# The fields of a record as they are told, with the word before each.
_TOLD = (
    ("access_point", "point"), ("portal_user", "user"), ("protocol", ""), ("service", ""), ("address", "from"),
    ("source_port", "port"), ("public_address", "public"), ("translated_port", "outside"),
    ("bytes_up", "bytes"), ("bytes_down", ""), ("packets_up", "packets"), ("packets_down", ""),
)  # fmt: skip


class HeldPage(Html):
    """The two answers that read records.

    `look` asks the recorder for many lines; `had` says how many requests the page knows of the address that asks.
    """

    def __init__(
        self, request: "Request", look: "Callable[[str], Iterator[Any]]", notice: "Section | None", had: int
    ) -> None:
        super().__init__(request, notice)
        self._look = look
        self._had = had

    def held(self, address: str) -> "Iterator[str]":
        """Yield the page with what is held on this terminal: how much of each purpose, and the newest records."""
        sealed: "list[dict[str, Any]]" = []
        also_held: "dict[str, Any]" = {}
        counts: "dict[str, int] | None" = None
        newest: "list[tuple[int, int, str]]" = []
        seen = changes = 0
        for answer in self._look(address):
            if "error" in answer:
                yield self.failed(answer["error"])
                return
            sealed, also_held = answer.get("sealed", sealed), answer.get("held", also_held)
            counts, changes = answer.get("records", counts), answer.get("changes", changes)
            for row in answer.get("rows", ()):
                seen += 1
                newest.append((row["start"], seen, self.line(answer["purpose"], self.record(row))))
            newest = sorted(newest)[-SHOWN:]
        if counts is None:  # it ended before its end
            yield self.failed("somebody")
            return
        waits = [store["purpose"] for store in sealed]
        lines = [
            self.line(name, self.counted(counts[name], "record"), self.say("unsealed") if name in waits else "")
            for name in sorted(counts)
        ]
        lines += [self.sealed(store["purpose"], store["lifetime_seconds"], store["unseen"]) for store in sealed]
        more = [f"{self.say('changes')} {changes}"] if changes else []
        shown = self.items(lines + self.also_held(also_held) + more) + self.paragraph("times")
        if sum(counts.values()) > len(newest):
            shown += self.paragraph("newest")
        newest.reverse()
        yield self.page(
            "200 OK", shown + self.items([line for _, _, line in newest]) + self.button("export") + self.back()
        )

    def file(self, address: str) -> "Iterator[str]":
        """Yield what is held on this terminal as a JSON file (GDPR art. 20), with `complete` at its end if it is."""
        begun, comma = False, ""
        for answer in self._look(address):
            if "error" in answer and not begun:
                yield self.failed(answer["error"])
            if "error" in answer:
                return
            if not begun:
                begun = True
                yield head("200 OK", ("Content-Type: application/json", _ATTACHED))
                also_held = canonical.dumps(dict(answer.get("held", {}), page={"requests": self._had}))
                told = [canonical.dumps(answer.get(name)) for name in ("clock", "sealed")] + [also_held]
                yield '{"clock":%s,\n"sealed":%s,\n"held":%s,\n"records":[' % tuple(told)
            for row in answer.get("rows", ()):
                row["purpose"] = answer["purpose"]
                yield comma + "\n" + canonical.dumps(row)
                comma = ","
            if "records" in answer:
                told = [canonical.dumps(answer[name]) for name in ("consents", "on", "objects", "changes")]
                yield '],\n"consents":%s,\n"on":%s,\n"objects":%s,\n"changes":%s,\n"complete":true}\n' % tuple(told)
        if not begun:
            yield self.failed("somebody")

    def also_held(self, held: "dict[str, Any]") -> "list[str]":
        """Return lines on what is held beside the stores (agent.purposes.present)."""
        names = [name for name in ("addresses", "portal", "ports") if name in held]
        lines = [
            self.line(name, self.dated(held[name] if name == "portal" else ", ".join(held[name]))) for name in names
        ]
        if "counting" in held:
            row = held["counting"]
            quarters = self.counted(len(row["quarter_hours"]), "quarter")
            kinds = ", ".join([self.service(name) for name in row["services"]])
            text = f"{self.dated(row['arrival'])}, {quarters}, {row['kib']} {self.say('kib')}"
            lines.append(self.line("counting", f"{text}, {kinds}" if kinds else text))
        return lines + [self.line("page", self.counted(self._had, "request"))]

    def sealed(self, name: str, seconds: int, unseen: bool) -> str:
        """Return what is said of a purpose of which all is sealed: when each record of it goes."""
        sealed = self.say("sealed").format("" if unseen else self.say("answered"))
        text = f"{sealed} {words.within(name, seconds, self.language)}{self.say('preserved')}"
        return self.line(name, self.say("unseen") + text if unseen else text, self.say("once sealed"))

    def record(self, row: "dict[str, Any]") -> str:
        """Return a record, with every field that is kept of it."""
        parts = [words.day(row["start"], self.language), dates.moment(row["start"])[11:] + " UTC"]
        parts += [str(row["seconds"]) + " s"] if "seconds" in row else []
        parts += [self.say("going on")] if "going_on" in row else []
        for name, word in _TOLD:
            if name in row:
                value = self.service(row[name]) if name == "service" else str(row[name])
                parts.append((self.say(word) + " " if word else "") + value)
        return ", ".join(parts)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from agent.config.reader import Section
    from agent.purposes.consent.page_connection import Request
