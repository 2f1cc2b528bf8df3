# SPDX-License-Identifier: Apache-2.0
"""The page on which a terminal's person suspends, resumes or withdraws (L34-V-3, L34-V-4): a request, its answer.

She sees there, too, what the gateway holds on it, saves that as a file, has it erased (law 78-17, to which L34-1 VI
refers), and objects to being counted (L34-VI-5). Which terminal asks is the address that the connection came from;
nothing of the request's text is ever shown. A request must have been made to the address that it came in by, or to the
name `notice.page` (Host): else a foreign name that leads here would make a foreign page one of ours. What changes
anything, or shows records, must be a POST from a page of this same host (Origin, else Referer) with the token that this
page gave this terminal, so that another site's page can't do it through a guest's browser. No script, no cookie.
`agent.purposes.consent.page_server` reads requests and sends answers.
"""

from agent.base import canonical, dates
from agent.purposes import words
from agent.purposes.consent.page_words import CLASSES, PAGE, WORDS
from agent.runtime.sockets import packed

SHOWN = 100  # records on a page, the newest; all of them: the file, or `oubli who`
# What each button asks the recorder, and the word by which that says that it was done.
ACTS = {
    "suspend": ("consent suspend", "suspended"),
    "resume": ("consent resume", "resumed"),
    "withdraw": ("consent withdraw", "withdrawn"),
    "object": ("objection", "objected"),
    "accept": ("objection end", "accepted"),
    "erase": ("erase terminal", "durable"),
}
UNDO = ("resume", "accept")  # what undoes a refusal
LOOKS = ("see", "export")
_ATTACHED = 'Content-Disposition: attachment; filename="oubli.json"'
# The fields of a record as they are told, with the word before each.
_TOLD = (
    ("access_point", "point"), ("portal_user", "user"), ("protocol", ""), ("service", ""), ("address", "from"),
    ("source_port", "port"), ("public_address", "public"), ("translated_port", "outside"),
    ("bytes_up", "bytes"), ("bytes_down", ""), ("packets_up", "packets"), ("packets_down", ""),
)  # fmt: skip
# How an answer of the recorder begins that is a refusal, what is said then, and the status of what was posted.
FAILURES = (
    ("address", "unknown", "503 Service Unavailable"),
    ("too many", "busy", "429 Too Many Requests"),
    ("somebody", "busy", "503 Service Unavailable"),
    ("changed", "often", "429 Too Many Requests"),
    ("no room", "full", "503 Service Unavailable"),
    ("this terminal objects", "uncounted first", "409 Conflict"),
    ("the time isn't confirmed", "untimed", "503 Service Unavailable"),
)
_HEADERS = (
    "Cache-Control: no-store",
    (
        "Content-Security-Policy: default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy: same-origin",
    "X-Content-Type-Options: nosniff",
)


class Page:
    """The answer to one request.

    `ask` and `look` ask the recorder, for one line and for many; `notice` is the configuration's, if any.

    `had` says how many requests the page knows of the address that asks.
    """

    def __init__(
        self,
        request: "Request",
        ask: "Callable[..., dict[str, Any]]",
        look: "Callable[[str], Iterator[Any]]",
        notice: "Section | None",
        had: int = 0,
    ) -> None:
        self._request = request
        self._had = had
        self._ask = ask
        self._look = look
        self._notice = notice.values if notice else {}
        self._name = (self._notice.get("page") or "").rstrip(".")
        self.posted = request.posted
        self.fields = request.fields
        self.language = request.language
        self._token = self._undoes = ""
        self._counts = False  # whether a row of this terminal may be in the day's table

    def say(self, word: str) -> str:
        """Return a text in the language of the page."""
        return WORDS[word][words.LANGUAGES.index(self.language)]

    def purpose(self, name: str) -> str:
        """Return what a purpose is called."""
        return words.PURPOSES[name][words.LANGUAGES.index(self.language)]

    def answer(self) -> "str | Iterator[str]":
        """Return the answer, or where it shows records what yields it in parts."""
        address = self._request.address
        act = self.fields.get("act")
        if not self._here():
            return self.page("403 Forbidden", self.paragraph("elsewhere" if self._name else "bad") + self.where())
        if self.posted and act not in ACTS and act not in LOOKS:
            return self.page("400 Bad Request", self.paragraph("bad"))
        if self.posted and not self._from_here():
            return self.page("403 Forbidden", self.paragraph("bad"))
        own = self._ask("consent own", address=address)
        if "error" in own:
            return self.failed(own["error"])
        self._token, self._undoes = own["token"], own["undoes"]
        self._counts = "counting" in own["beside"] and not own["objects"]
        if not self.posted:
            return self.overview(own)
        if self.fields.get("token") != self.token(act):
            return self.page("403 Forbidden", self.paragraph("again") + self.back())
        if act in LOOKS:
            return self.file(address) if act == "export" else self.held(address)
        return self.act(str(act), address)

    def act(self, act: str, address: str) -> str:
        """Do what a button says; return the page that says so, with what is in force then."""
        call, word = ACTS[act]
        purpose = self.fields.get("purpose") if act == "withdraw" else None
        more = {"purpose": purpose} if purpose else {}
        done = self._ask(call, address=address, **more)
        if "error" in done:
            return self.failed(done["error"])
        own = self._ask("consent own", address=address)
        left = [one for one in own.get("consents", ()) if one["state"] in ("active", "suspended")]
        how = " only" if purpose and left else ""
        said = self.paragraph("done " + act + how if done.get(word) or act == "erase" else "unchanged", "status")
        if act == "erase":
            said += self.erased(done, address)
        if done.get("withdrawn") and any(one["third_parties"] not in ("", "none") for one in own.get("consents", ())):
            said += self.paragraph("tell")
        said += "" if done.get("durable", True) or own.get("unreadable") else self.paragraph("not durable")
        return self.page("200 OK", said + self.back()) if "error" in own else self.overview(own, said)

    def erased(self, done: "dict[str, Any]", address: str) -> str:
        """Return what is said of an erasure: whether it is over, and what isn't erased, with its end."""
        left = [self.sealed(name, seconds) for name, seconds in done["sealed"]]
        said = self.paragraph("erasing") if self._ask("erase state", address=address).get("erasing", True) else ""
        if left:
            said += self.paragraph("not erased") + self.items(left)
        return said + (self.paragraph("counting stays") if self._counts else "")

    def failed(self, error: str) -> str:
        """Return the page that says why nothing was done, by how the recorder's answer begins."""
        for start, word, status in FAILURES:
            if error.startswith(start):
                return self.page(
                    status if self.posted or word == "busy" else "200 OK", self.paragraph(word) + self.back()
                )
        return self.page("503 Service Unavailable", self.paragraph("refused" if error else "closed") + self.back())

    def _here(self) -> bool:
        """Return True if the request was made to the address that it came in by, or to the page's own name."""
        host = self._request.host.lower()
        name, colon, port = host.rpartition(":")
        asked = name if colon and port.isdigit() else host
        if asked.startswith("[") and asked.endswith("]"):
            asked = asked[1:-1]
        octets = packed(asked.encode())
        return octets == self._request.here if octets else bool(asked) and asked.rstrip(".") == self._name

    def _from_here(self) -> bool:
        host, source = self._request.host, self._request.source
        return any(
            source == scheme + host or source.startswith(scheme + host + "/") for scheme in ("http://", "https://")
        )

    def overview(self, own: "dict[str, Any]", said: str = "") -> str:
        """Return the page: what this terminal consented to, what is kept without that, and buttons that make sense."""
        self._token, self._undoes = own["token"], own["undoes"]  # after an act: as it is now
        said += self.paragraph("unreadable") if own["unreadable"] else ""
        lines, states = "", []
        agreed: "list[str]" = []
        for consent in own["consents"]:
            states.append(consent["state"])
            if consent["state"] in ("active", "suspended"):
                agreed += consent["purposes"]
            state = consent["state"]
            when = consent["since" if state == "withdrawn" else "end"]
            told = self.gone(0)
            if when:
                told = self.on("not applied" if state == "active" and not own["timed"] else state, when)
            on = [name for name in consent["purposes"] if name in own["on"] or state not in ("active", "suspended")]
            off = [name for name in consent["purposes"] if name not in on]
            third = consent["third_parties"]
            third = self.plain(self.say("third") + " ") + _plain(self.say("nobody") if third == "none" else third)
            gone = consent["withdrawn"], self.gone(consent["withdrawn_since"])
            for names, how in ((on, told), (off, self.on("turned off", consent["end"])), gone):
                if names:
                    lines += self.item(names, how) + (", " + third if consent["third_parties"] else "") + "</li>\n"
        shown = self.heading("consents") + "<ul>\n" + lines + "</ul>" + self.paragraph("proof") if lines else ""
        if "active" in states:
            shown += self.button("suspend")
        if "suspended" in states and not own["objects"]:
            shown += self.button("resume")
        for name in agreed if len(agreed) > 1 else ():
            shown += self.button("withdraw", name)
        if agreed:
            shown += self.button("withdraw")
        shown += self.without(own, "and suspend" if "active" in states else "")
        shown += self.button("see") + self.button("export") + self.button("erase", "", "and withdraw" if agreed else "")
        return self.page("200 OK", said + shown)

    def without(self, own: "dict[str, Any]", more: str) -> str:
        """Return what is kept without a consent, and the button about being counted, which does `more`."""
        goes_on = []
        for name, seconds in own["kept"]:
            frozen = self.say("preserved") if name != "security" else ""  # what is sealed may be
            goes_on.append(f"{self.purpose(name)}, {self.say('most')} {words.span(seconds, self.language)}{frozen}")
        at = words.LANGUAGES.index(self.language)
        goes_on += [
            self.purpose(name) + ", " + words.KEPT[name][at]
            for name in own["beside"]
            if name != "counting" or not own["objects"]
        ]
        shown = self.heading("kept") + self.paragraph("without") + self.items(goes_on)
        if own["objects"]:
            shown += self.paragraph("uncounted")
            if own["objects"][0]:
                shown += f"<p>{self.plain(self.on('since', own['objects'][0]))}.</p>\n"
            shown += self.button("accept")
        elif own["counted"]:
            shown += self.button("object", "", more)
        return shown

    def gone(self, when: int) -> str:
        """Return that something was withdrawn, without a day where the clock wasn't confirmed then."""
        return self.on("withdrawn", when) if when else self.say("was withdrawn")

    def on(self, word: str, when: int) -> str:
        """Return a text and its day; s since the epoch."""
        return f"{self.say(word)} {words.day(when, self.language)}"

    def item(self, purposes: "list[str]", told: str) -> str:
        """Return the beginning of a list's item on purposes."""
        names = ", ".join([self.purpose(name) + self.aim(name) for name in purposes])
        return f"<li>{self.plain(names + self.colon())}<b>{self.plain(told)}</b>"

    def aim(self, name: str) -> str:
        """Return what a purpose by consent is for, as the configuration says it."""
        return f" ({self._notice[name]})" if self._notice.get(name) else ""

    def held(self, address: str) -> "Iterator[str]":
        """Yield the page with what is held on this terminal: how much of each purpose, and the newest records."""
        sealed: "list[dict[str, Any]]" = []
        beside: "dict[str, Any]" = {}
        counts: "dict[str, int] | None" = None
        newest: "list[tuple[int, int, str]]" = []
        seen = 0
        for answer in self._look(address):
            if "error" in answer:
                yield self.failed(answer["error"])
                return
            sealed, beside = answer.get("sealed", sealed), answer.get("held", beside)
            counts = answer.get("records", counts)
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
        lines += [self.sealed(store["purpose"], store["lifetime_seconds"]) for store in sealed]
        shown = self.items(lines + self.beside(beside))
        if sum(counts.values()) > len(newest):
            shown += self.paragraph("newest")
        newest.reverse()
        yield self.page(
            "200 OK", shown + self.items([line for _, _, line in newest]) + self.button("export") + self.back()
        )

    def beside(self, held: "dict[str, Any]") -> "list[str]":
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

    def dated(self, text: str) -> str:
        """Return a text with its days as they are written in the page's language."""
        return " ".join([words.written(word, self.language) for word in text.split(" ")])

    def line(self, name: str, text: str, more: str = "") -> str:
        """Return a line: a purpose, and what is said of it."""
        return self.purpose(name) + more + self.colon() + text

    def counted(self, count: int, word: str) -> str:
        """Return a number and its noun, whose plural ends in "s" among WORDS."""
        return words.counted(count, (self.say(word), self.say(word + "s")), self.language)

    def sealed(self, name: str, seconds: int) -> str:
        """Return what is said of a purpose of which all is sealed: when each record of it goes."""
        return self.line(name, f"{self.say('sealed')} {words.span(seconds, self.language)}{self.say('preserved')}")

    def service(self, name: str) -> str:
        """Return a service class in words."""
        return CLASSES.get(name, name) if self.language == "fr" else name

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
                yield _head("200 OK", ("Content-Type: application/json", _ATTACHED))
                beside = canonical.dumps(dict(answer.get("held", {}), page={"requests": self._had}))
                yield '{"sealed":%s,\n"held":%s,\n"records":[' % (canonical.dumps(answer.get("sealed", ())), beside)
            for row in answer.get("rows", ()):
                row["purpose"] = answer["purpose"]
                yield comma + "\n" + canonical.dumps(row)
                comma = ","
            if "records" in answer:
                told = canonical.dumps(answer["consents"]), canonical.dumps(answer["objects"])
                yield '],\n"consents":%s,\n"objects":%s,\n"complete":true}\n' % told
        if not begun:
            yield self.failed("somebody")

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

    def colon(self) -> str:
        """Return what stands between a name and what it is."""
        return " : " if self.language == "fr" else ": "

    def plain(self, text: str) -> str:
        """Return a text of our own, typeset, that is only text in HTML."""
        return _plain(words.typeset(text, self.language))

    def items(self, lines: "list[str]") -> str:
        """Return a list."""
        return "<ul>\n" + "".join(["<li>" + self.plain(line) + "</li>\n" for line in lines]) + "</ul>\n"

    def paragraph(self, word: str, role: str = "") -> str:
        """Return a paragraph of the page."""
        return "<p%s>%s</p>\n" % (' role="%s"' % role if role else "", self.plain(self.say(word)))

    def heading(self, word: str) -> str:
        """Return a heading within the page."""
        return "<h2>" + self.plain(self.say(word)) + "</h2>\n"

    def button(self, act: str, purpose: str = "", more: str = "") -> str:
        """Return a form with one button; `more`: the word of what else it does."""
        values = [("lang", self.language), ("token", self.token(act))] + ([("purpose", purpose)] if purpose else [])
        field = '<input type="hidden" name="%s" value="%s">'
        hidden = "".join([field % (name, _plain(value)) for name, value in values])
        said = self.say(act) + (self.say(more) if more else "")
        if purpose:
            said = f"{self.say('withdraw only')} {self.purpose(purpose)}"
        label = '<button name="act" value="%s">%s</button>' % (act, self.plain(said))
        return '\n<form action="/" method="post">%s%s</form>' % (hidden, label)

    def token(self, act: "str | None") -> str:
        """Return what the form of a button must bring."""
        return self._undoes if act in UNDO else self._token

    def where(self) -> str:
        """Return a link to the page by its own name, where it has one."""
        address = f"http://{self._name}:8450/"
        return '<p><a href="%s">%s</a></p>\n' % (address, address) if self._name else ""

    def back(self) -> str:
        """Return a link to the page's beginning."""
        return '<p><a href="/?lang=%s">%s</a></p>\n' % (self.language, self.say("back"))

    def foot(self) -> str:
        """Return who answers for all this, as far as the configuration says it."""
        told = [(self.say(name), self._notice[name]) for name in ("controller", "contact") if self._notice.get(name)]
        lines = "".join(["<p>" + self.plain(word + " ") + _plain(who) + "</p>\n" for word, who in told])
        return "\n<footer>\n" + lines + self.paragraph("more rights") + "</footer>"

    def page(self, status: str, body: str) -> str:
        """Return status, headers and page."""
        other = words.LANGUAGES[1 - words.LANGUAGES.index(self.language)]
        text = PAGE.format(
            lang=self.language, title=self.say("title"), to=other, other=self.say("other"), body=body, foot=self.foot()
        )
        kinds = "Content-Type: text/html; charset=utf-8", f"Content-Length: {len(text.encode())}"
        return _head(status, kinds) + text


def _head(status: str, kinds: "tuple[str, ...]") -> str:
    """Return an answer's status and headers."""
    return "\r\n".join(("HTTP/1.1 " + status, "Connection: close") + kinds + _HEADERS) + "\r\n\r\n"


def _plain(text: str) -> str:
    """Return a text that is only text in HTML."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(letter, entity)
    return text


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from agent.config.reader import Section
    from agent.purposes.consent.page_connection import Request
