# SPDX-License-Identifier: Apache-2.0
"""How a text becomes HTML on the guests' page: paragraphs, lists, buttons, links; no script, no cookie.

Whatever isn't of this program is only text (`plain`): no tag of it, no attribute.
"""

from agent.purposes import words
from agent.purposes.consent.page_words import CLASSES, PAGE, SEVERAL, WORDS

UNDO = ("resume", "accept")  # what undoes a refusal: its token is another one
_HEADERS = (
    "Cache-Control: no-store",
    (
        "Content-Security-Policy: default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy: same-origin",
    "X-Content-Type-Options: nosniff",
)
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


class Html:
    """A page's parts in the language of a request; `notice` is the configuration's, if any."""

    def __init__(self, request: "Request", notice: "Section | None") -> None:
        self.language = request.language
        self.posted = request.posted
        self._notice = notice.values if notice else {}
        self._name = (self._notice.get("page") or "").rstrip(".")
        self._token = self._undoes = ""  # what the form of a button must bring; that of one that undoes a refusal

    def say(self, word: str, count: int = 1) -> str:
        """Return a text in the language of the page, of so many consents."""
        said = SEVERAL.get(word, WORDS[word]) if count > 1 else WORDS[word]
        return said[words.LANGUAGES.index(self.language)]

    def purpose(self, name: str) -> str:
        """Return what a purpose is called."""
        return words.PURPOSES[name][words.LANGUAGES.index(self.language)]

    def on(self, word: str, when: int) -> str:
        """Return a text and its UTC day; s since the epoch."""
        return f"{self.say(word)} {words.day(when, self.language)} (UTC)"

    def dated(self, text: str) -> str:
        """Return a text with its days as they are written in the page's language: what a time follows."""
        parts = text.split(" ")
        for at in range(len(parts) - 1):
            day = words.written(parts[at], self.language)
            if day != parts[at] and parts[at + 1][2:3] == ":":  # a portal may call somebody by a day
                parts[at] = day + " à"
        return " ".join(parts)

    def counted(self, count: int, word: str) -> str:
        """Return a number and its noun, whose plural ends in "s" among WORDS."""
        return words.counted(count, (self.say(word), self.say(word + "s")), self.language)

    def line(self, name: str, text: str, more: str = "") -> str:
        """Return a line: a purpose, and what is said of it."""
        return self.purpose(name) + more + self.colon() + text

    def service(self, name: str) -> str:
        """Return a service class in words."""
        return CLASSES.get(name, name) if self.language == "fr" else name

    def colon(self) -> str:
        """Return what stands between a name and what it is."""
        return " : " if self.language == "fr" else ": "

    def plain(self, text: str) -> str:
        """Return a text of our own, typeset, that is only text in HTML."""
        return plain_text(words.typeset(text, self.language))

    def items(self, lines: "list[str]") -> str:
        """Return a list."""
        return "<ul>\n" + "".join(["<li>" + self.plain(line) + "</li>\n" for line in lines]) + "</ul>\n"

    def paragraph(self, word: str, role: str = "", count: int = 1) -> str:
        """Return a paragraph of the page, of so many consents."""
        return "<p%s>%s</p>\n" % (' role="%s"' % role if role else "", self.plain(self.say(word, count)))

    def heading(self, word: str, count: int = 1) -> str:
        """Return a heading within the page, of so many consents."""
        return "<h2>" + self.plain(self.say(word, count)) + "</h2>\n"

    def button(self, act: str, purpose: str = "", more: str = "", count: int = 1) -> str:
        """Return a form with one button; `more`: the word of what else it does; `count`: of how many consents."""
        values = [("lang", self.language), ("token", self.token(act))] + ([("purpose", purpose)] if purpose else [])
        field = '<input type="hidden" name="%s" value="%s">'
        hidden = "".join([field % (name, plain_text(value)) for name, value in values])
        said = self.say(act, count) + (self.say(more, count) if more else "")
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
        at, told = (
            words.LANGUAGES.index(self.language),
            [name for name in ("controller", "contact") if self._notice.get(name)],
        )
        lines = "".join(
            ["<p>" + self.plain(words.ANSWERS[one][at]) + plain_text(self._notice[one]) + "</p>\n" for one in told]
        )
        return "\n<footer>\n" + self.paragraph("present") + lines + self.paragraph("more rights") + "</footer>"

    def page(self, status: str, body: str) -> str:
        """Return status, headers and page."""
        other = words.LANGUAGES[1 - words.LANGUAGES.index(self.language)]
        text = PAGE.format(
            lang=self.language, title=self.say("title"), to=other, other=self.say("other"), body=body, foot=self.foot()
        )
        kinds = "Content-Type: text/html; charset=utf-8", f"Content-Length: {len(text.encode())}"
        return head(status, kinds) + text

    def failed(self, error: str) -> str:
        """Return the page that says why nothing was done, by how the recorder's answer begins."""
        for start, word, status in FAILURES:
            if error.startswith(start):
                return self.page(
                    status if self.posted or word == "busy" else "200 OK", self.paragraph(word) + self.back()
                )
        return self.page("503 Service Unavailable", self.paragraph("refused" if error else "closed") + self.back())


def head(status: str, kinds: "tuple[str, ...]") -> str:
    """Return an answer's status and headers."""
    return "\r\n".join(("HTTP/1.1 " + status, "Connection: close") + kinds + _HEADERS) + "\r\n\r\n"


def plain_text(text: str) -> str:
    """Return a text that is only text in HTML."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(letter, entity)
    return text


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.config.reader import Section
    from agent.purposes.consent.page_connection import Request
