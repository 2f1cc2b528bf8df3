# SPDX-License-Identifier: Apache-2.0
"""/etc/config/oubli as sections of parsed values; what isn't understood is one line that says where (L34-II-2).

Words are printable ASCII, so that both interpreters read them alike and an error shown on a terminal is only text.
Comments are free, and names and documents are UTF-8.
"""

from agent import law
from agent.config import kinds, uci
from agent.config.options import LISTS, OPTIONS, required_by
from agent.runtime.files import read_bounded
from agent.runtime.libc import reason
from agent.summary.metrics import METRICS


class ConfigError(Exception):
    """A configuration that can't be used; its text is the one line to show.

    `purpose`: in whose section the mistake is, "" for none.
    """

    purpose = ""


class Section:
    """Validated options of one section as attributes; `line` is where it began, 0 where it isn't in the file."""

    def __init__(self, kind: str) -> None:
        self.line = 0
        self.given: "dict[str, str]" = {}  # option -> "option" or "list", as the file has it
        self.values: "dict[str, Any]" = {}
        for name in OPTIONS[kind]:
            self.values[name] = OPTIONS[kind][name][1]

    def __getattr__(self, name: str) -> "Any":
        values = self.__dict__["values"]
        if name not in values:
            raise AttributeError(name)
        return values[name]


class Reader:
    """Reads one file into sections; every error names file and line."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.line = 0
        self.sections = {}
        for kind in OPTIONS:
            if kind != "metric":
                self.sections[kind] = Section(kind)
        for metric in METRICS:
            self.sections["metric " + metric.name] = Section("metric")

    def fail(self, subject: str, wrong: str, accepted: str, requirement: str = "L34-II-2") -> "NoReturn":
        """Raise the one line."""
        place = self.path + (":" + str(self.line) if self.line else "")
        failure = ConfigError(place + ": " + subject + ": " + wrong + " (" + requirement + "); accepted: " + accepted)
        name = subject.partition(".")[0]
        failure.purpose = name if name in law.CONFIGURABLE else ""
        raise failure

    def text(self) -> str:
        """Return the file's text, each octet as one character."""
        try:
            data = read_bounded(self.path, uci.LIMIT)
        except OSError as failure:
            self.fail(
                "file", "can't be read" + reason(failure.errno), "a UCI file of at most " + str(uci.LIMIT) + " bytes"
            )
        for at, octet in enumerate(data):
            if octet < 32 and octet not in b"\t\r\n":
                self.line = data[:at].count(b"\n") + 1
                self.fail("byte " + str(at), "a control character", "text")
        return "".join(chr(octet) for octet in data)

    def read(self) -> "dict[str, Section]":
        """Parse the whole file."""
        kind, section = "", None
        for line in self.text().split("\n"):
            self.line += 1
            try:
                words = uci.split(line)
            except ValueError as failure:
                self.fail("line", failure.args[0], failure.args[1])
            if not words:
                continue
            known = OPTIONS.get(kind, {}).get(words[1]) if len(words) == 3 else None
            ascii_only = words[:2] if known and known[0] in kinds.PERSONS else words[:3]
            if any(not " " <= letter <= "~" for word in ascii_only for letter in word):
                self.fail(
                    "line",
                    "a character that isn't printable ASCII",
                    "letters, digits and signs; comments and names may hold others",
                )
            if words[0] == "config" and len(words) in (2, 3):
                kind, section = self._section(words[1], words[2] if len(words) == 3 else words[1])
            elif words[0] in ("option", "list") and len(words) == 3 and section is not None:
                self._option(kind, section, words[0], words[1], words[2])
            else:
                self.fail("line", "not UCI", "config TYPE 'NAME', option NAME 'VALUE', list NAME 'VALUE'")
        self.line = 0
        return self.sections

    def _section(self, kind: str, name: str) -> "tuple[str, Section]":
        if kind == "purpose":
            if name not in law.CONFIGURABLE:
                self.fail(
                    "purpose '" + name + "'", "unknown purpose", ", ".join(law.CONFIGURABLE), "L34-II-2, L34-1 II"
                )
            kind = key = name
        elif kind == "metric":
            key = "metric " + name
            if key not in self.sections:
                self.fail("metric '" + name + "'", "unknown metric", ", ".join(metric.name for metric in METRICS))
        elif kind in ("gateway", "summary", "mqtt", "vault", "notice"):
            key = kind
        else:
            self.fail("section '" + kind + "'", "unknown", "gateway, purpose, summary, metric, mqtt, vault, notice")
        section = self.sections[key]
        if section.line:
            self.fail(key, "a second section of this name (the first is in line " + str(section.line) + ")", "one")
        section.line = self.line
        return kind, section

    def _option(self, kind: str, section: Section, form: str, name: str, value: str) -> None:
        table = OPTIONS[kind]
        subject = kind + "." + name
        if name not in table:
            self.fail(subject, "unknown option", ", ".join(sorted(table)), required_by(kind, name))
        try:
            parsed = table[name][0](value)
        except ValueError as failure:
            shown = "this" if table[name][0] in kinds.PERSONS else "'" + value + "'"
            self.fail(subject, shown + " isn't accepted", failure.args[0], required_by(kind, name))
        former = section.given.get(name)
        if form == "list" and name not in LISTS:
            self.fail(subject, "not a list", "option " + name + " 'VALUE'")
        if former is not None and (form, former) != ("list", "list"):
            self.fail(subject, "given twice", "one" + (", or lines of list " + name if name in LISTS else ""))
        section.given[name] = form
        if name in LISTS:
            section.values[name] = (section.values[name] if former else ()) + (parsed,)
        else:
            section.values[name] = parsed
        if name == "lifetime":
            row = law.purpose(kind)
            wrong = law.refuse_lifetime(row, parsed)
            if wrong:
                accepted = law.duration(law.floor(row)) + " to " + law.duration(row.ceiling)
                self.fail(subject, "'" + value + "' is " + wrong, accepted, required_by(kind))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn
