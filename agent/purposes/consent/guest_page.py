# SPDX-License-Identifier: Apache-2.0
"""`oubli page`: one request of the page on which the person at a terminal suspends, resumes or withdraws (L34-V-3, L34-V-4).

She sees there, too, what the gateway holds on it (law 78-17, to which L34-1 VI refers). A CGI program (RFC 3875): the request is
environment and standard input, the answer standard output. Which terminal asks is REMOTE_ADDR, the web server's own word; nothing of
the request's text is ever shown. A request must have been made to the address that it came in by, or to the name `notice.page` (Host):
else a foreign name that leads here would make a foreign page one of ours. What changes anything, or shows records, must be a POST from
a page of this same host (Origin, else Referer) with the token that this page gave this terminal, so that another site's page can't
do it through a guest's browser. No script, no cookie.
"""

import os
import sys

from agent.base import dates
from agent.cli import words
from agent.runtime.clocks import BOOTTIME
from agent.runtime.libc import LIBC, native
from agent.runtime.sockets import Poll, packed

LIMIT = 256  # octets of a request's body
SHOWN = 100  # records on a page, the newest; all of them: `oubli who`
TIME = 3000  # ms in which a request's body must come: one that doesn't would hold one of the server's few places
ACTS = ("suspend", "resume", "withdraw")
_WORDS = {
    "title": ("Vos données", "Your data"),
    "see": ("Voir ce qui est conservé au sujet de votre appareil", "See what is kept about your device"),
    "record": ("enregistrement", "record"),
    "records": ("enregistrements", "records"),
    "newest": ("les plus récents d'abord ; tous : demandez à l'exploitant", "the newest first; for all of them ask the operator"),
    "security": ("sécurité du réseau", "security of the network"),
    "attribution": ("réponse aux autorités", "answers to authorities"),
    "billing": ("facturation", "billing"),
    "sealed": (
        "scellé : la borne ne peut pas le lire ; un tiers en répond, et chaque donnée disparaît au plus tard après",
        "sealed: the gateway can't read it; a third party answers for it, and each record goes at the latest after",
    ),
    "busy": ("Une autre demande est en cours. Essayez encore dans un moment.", "Another request is being answered. Try again in a moment."),
    "none": ("Aucun accord n'est enregistré pour votre appareil.", "No consent is recorded for your device."),
    "without": ("Conservé sans votre accord, et effacé automatiquement :", "Kept without your consent, and erased automatically:"),
    "nothing": ("Rien n'est conservé sans votre accord.", "Nothing is kept without your consent."),
    "counting": (
        "comptage anonyme des visiteurs : une ligne par appareil en mémoire vive, effacée chaque jour à 3 h UTC",
        "anonymous count of visitors: a row a device in memory, erased each day at 03:00 UTC",
    ),
    "most": ("au plus", "at most"),
    "services": ("connexions", "connections"),
    "location": ("position (point d'accès Wi-Fi)", "location (Wi-Fi access point)"),
    "active": ("en vigueur jusqu'au", "in force until"),
    "suspended": ("suspendu ; fin le", "suspended; ends on"),
    "withdrawn": ("retiré le", "withdrawn on"),
    "ended": ("terminé le", "ended on"),
    "proof": (
        "La preuve de votre accord est conservée jusqu'à 30 jours après sa fin.",
        "The proof of your consent is kept until 30 days after its end.",
    ),
    "third": ("transmis à :", "passed on to:"),
    "nobody": ("personne", "nobody"),
    "suspend": ("Suspendre votre accord", "Suspend your consent"),
    "resume": ("Reprendre", "Resume"),
    "withdraw": (
        "Retirer votre accord, et effacer ce qui a été conservé avec lui",
        "Withdraw your consent, and erase what was kept by it",
    ),
    "done suspend": (
        "Votre accord est suspendu : rien n'est plus conservé avec lui. Ce qui est conservé sans lui est indiqué plus bas.",
        "Your consent is suspended: nothing more is kept by it. What is kept without it stands below.",
    ),
    "done resume": ("Votre accord est rétabli.", "Your consent is in force again."),
    "done withdraw": (
        "Votre accord est retiré : ce qui avait été conservé avec lui est illisible. Ce qui est conservé sans lui est indiqué plus bas.",
        "Your consent is withdrawn: what was kept by it is unreadable. What is kept without it stands below.",
    ),
    "not durable": (
        "Ce n'est pas encore écrit en mémoire durable : si la borne redémarre, vérifiez ici.",
        "It isn't on durable memory yet: if the gateway restarts, look here again.",
    ),
    "refused": ("Cela n'a pas pu être fait. Essayez encore.", "That could not be done. Try again."),
    "unknown": (
        "Votre appareil n'est pas reconnu sur ce réseau.",
        "Your device isn't known on this network.",
    ),
    "bad": ("Demande incomprise.", "The request isn't understood."),
    "again": ("Cette page a expiré. Ouvrez-la de nouveau.", "This page has expired. Open it again."),
    "from": ("adresse", "address"),
    "port": ("port", "port"),
    "outside": ("port public", "public port"),
    "bytes": ("octets envoyés et reçus :", "bytes sent and received:"),
    "packets": ("paquets :", "packets:"),
    "point": ("point d'accès", "access point"),
}
# Service classes in French; in English they are their own names.
_CLASSES = {
    "other": "autre", "mail": "courriel", "calls": "appels", "remote": "accès à distance", "files": "fichiers", "time": "heure",
    "push": "notifications",
}  # fmt: skip
_PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.1em/1.5 sans-serif; max-width: 34em; margin: 0 auto; padding: 1em }}
button {{ font: inherit; width: 100%; padding: .8em; margin: .3em 0 }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-store",
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy: same-origin",
    "X-Content-Type-Options: nosniff",
)


class _Page:
    """One request and its answer."""

    def __init__(
        self,
        environment: "Callable[[str], str | None]",
        body: "Callable[[int], bytes]",
        ask: "Callable[..., Any]",
        look: "Callable[[str], Any]",
        name: "Callable[[], str | None]",
    ) -> None:
        self._environment = environment
        self._ask = ask
        self._look = look
        self._name = name
        query = environment("QUERY_STRING") or ""
        size = environment("CONTENT_LENGTH") or "0"
        self.fields = _fields(query)
        self.posted = environment("REQUEST_METHOD") == "POST"
        if self.posted and size.isdigit() and len(size) < 4 and int(size) <= LIMIT:
            self.fields = _fields("".join([chr(octet) for octet in body(int(size))]))
        language = self.fields.get("lang") or (environment("HTTP_ACCEPT_LANGUAGE") or "fr")[:2]
        self.language = language if language in words.LANGUAGES else "fr"
        self._token = ""

    def say(self, word: str) -> str:
        """Return a text in the language of the page."""
        return _WORDS[word][words.LANGUAGES.index(self.language)]

    def answer(self) -> str:
        """Return the whole answer."""
        address = self._environment("REMOTE_ADDR") or ""
        act = self.fields.get("act")
        if not packed(address.encode()):
            return self.page("400 Bad Request", self.paragraph("bad"))
        if not self._here():
            return self.page("403 Forbidden", self.paragraph("bad"))
        if self.posted and act not in ACTS and act != "see":
            return self.page("400 Bad Request", self.paragraph("bad"))
        if self.posted and not self._from_here():
            return self.page("403 Forbidden", self.paragraph("bad"))
        own = self._ask("consent own", address=address)
        if "error" in own:
            return self.page("503 Service Unavailable" if self.posted else "200 OK", self.paragraph("unknown"))
        self._token = own["token"]
        if not self.posted:
            return self.overview(own)
        if self.fields.get("token") != self._token:
            return self.page("403 Forbidden", self.paragraph("again"))
        if act == "see":
            return self.held(address)
        done = self._ask("consent " + str(act), address=address)
        if "error" in done:
            return self.page("503 Service Unavailable", self.paragraph("refused"))
        said = self.paragraph("done " + str(act)) if done.get("suspended") or done.get("resumed") or done.get("withdrawn") else ""
        said += "" if done.get("durable", True) else self.paragraph("not durable")
        own = self._ask("consent own", address=address)
        return self.page("200 OK", said) if "error" in own else self.overview(own, said)

    def _here(self) -> bool:
        """Return True if the request was made to the address that it came in by, or to the page's own name."""
        host = (self._environment("HTTP_HOST") or "").lower()
        asked = host[1:].split("]")[0] if host.startswith("[") else host.split(":")[0]
        octets = packed(asked.encode())
        if octets:
            return octets == packed((self._environment("SERVER_ADDR") or "").split("%")[0].encode())
        return bool(asked) and asked == self._name()

    def _from_here(self) -> bool:
        host = self._environment("HTTP_HOST") or ""
        source = self._environment("HTTP_ORIGIN") or self._environment("HTTP_REFERER") or ""
        return any(source == scheme + host or source.startswith(scheme + host + "/") for scheme in ("http://", "https://"))

    def overview(self, own: "dict[str, Any]", said: str = "") -> str:
        """Return the page with what this terminal has consented to, what is kept without that, and the buttons that make sense."""
        lines, states = "", []
        for consent in own["consents"]:
            states.append(consent["state"])
            lines += "<li>" + self.plain(", ".join([self.say(name) for name in consent["purposes"]]) + self.colon()) + "<b>"
            when = consent["since" if consent["state"] == "withdrawn" else "end"]
            lines += self.plain(self.say(consent["state"]) + " " + words.day(when, self.language)) + "</b>, "
            third = consent["third_parties"]
            lines += self.plain(self.say("third") + " ") + _plain(self.say("nobody") if third == "none" else third) + "</li>\n"
        shown = "<ul>\n" + lines + "</ul>" + self.paragraph("proof") if lines else self.paragraph("none")
        goes_on = [self.say(name) + ", " + self.say("most") + " " + words.span(seconds, self.language) for name, seconds in own["kept"]]
        if own["counted"]:
            goes_on.append(self.say("counting"))
        shown += self.paragraph("without") + self.items(goes_on) if goes_on else self.paragraph("nothing")
        buttons = [act for act, needs in (("suspend", "active"), ("resume", "suspended")) if needs in states]
        if "active" in states or "suspended" in states:
            buttons.append("withdraw")
        return self.page("200 OK", said + shown + "".join([self.button(act) for act in buttons + ["see"]]))

    def held(self, address: str) -> str:
        """Return the page with what is held on this terminal: how much of each purpose, and the newest records."""
        sealed: "list[dict[str, Any]]" = []
        counts: "dict[str, int] | None" = None
        newest: "list[str]" = []
        for answer in self._look(address):
            if "error" in answer:
                return self.page("503 Service Unavailable", self.paragraph("unknown" if answer["error"].startswith("address") else "busy"))
            sealed = answer.get("sealed", sealed)
            counts = answer.get("records", counts)
            newest += [self.record(row) for row in answer.get("rows", ())]
            newest = newest[-SHOWN:]
        if counts is None:  # it ended before its end
            return self.page("503 Service Unavailable", self.paragraph("busy"))
        forms = self.say("record"), self.say("records")
        lines = [self.say(name) + self.colon() + words.counted(counts[name], forms, self.language) for name in sorted(counts)]
        for store in sealed:
            end = words.span(store["lifetime_seconds"], self.language)
            lines.append(self.say(store["purpose"]) + self.colon() + self.say("sealed") + " " + end)
        shown = self.items(lines)
        if sum(counts.values()) > len(newest):
            shown += self.paragraph("newest")
        newest.reverse()
        return self.page("200 OK", shown + self.items(newest))

    def record(self, row: "dict[str, Any]") -> str:
        """Return a record, with every field that is kept of it."""
        when = words.day(row["start"], self.language) + ", " + dates.moment(row["start"])[11:] + " UTC, " + str(row["seconds"]) + " s"
        if "access_point" in row:
            return when + ", " + self.say("point") + " " + row["access_point"]
        service = _CLASSES.get(row["service"], row["service"]) if self.language == "fr" else row["service"]
        parts = [when, row["protocol"], service, self.say("from") + " " + row["address"], self.say("port") + " " + str(row["source_port"])]
        parts.append(self.say("outside") + " " + str(row["translated_port"]))
        parts.append(self.say("bytes") + " " + str(row["bytes_up"]) + ", " + str(row["bytes_down"]))
        parts.append(self.say("packets") + " " + str(row["packets_up"]) + ", " + str(row["packets_down"]))
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

    def paragraph(self, word: str) -> str:
        """Return a paragraph of the page."""
        return "<p>" + self.plain(self.say(word)) + "</p>\n"

    def button(self, act: str) -> str:
        """Return a form with one button."""
        values = ("lang", self.language), ("token", self._token)
        hidden = "".join(['<input type="hidden" name="' + name + '" value="' + _plain(value) + '">' for name, value in values])
        label = '<button name="act" value="' + act + '">' + self.plain(self.say(act)) + "</button>"
        return '\n<form action="/cgi-bin/oubli" method="post">' + hidden + label + "</form>"

    def page(self, status: str, body: str) -> str:
        """Return status, headers and page."""
        text = _PAGE.format(lang=self.language, title=self.say("title"), body=body)
        return "Status: " + status + "\r\n" + "\r\n".join(_HEADERS) + "\r\n\r\n" + "".join([_ascii(letter) for letter in text])


def _fields(text: str) -> "dict[str, str]":
    """Return the fields of a form that are understood: letters only, no escapes."""
    found = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name in ("act", "lang", "token") and value.isalpha():
            found[name] = value
    return found


def _plain(text: str) -> str:
    """Return a text that is only text in HTML."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(letter, entity)
    return text


def _ascii(letter: str) -> str:
    return letter if ord(letter) < 128 else "&#" + str(ord(letter)) + ";"


def _now() -> int:
    return native.clock(BOOTTIME) // 1000000


def _body(size: int) -> bytes:
    data, got = bytearray(size), 0
    ready, until = Poll(), _now() + TIME
    ready.add(0)
    while got < size and ready.wait(max(0, until - _now())):
        part = bytearray(size - got)
        read = LIBC.call("read", 0, part, len(part))
        if read <= 0:
            break
        data[got : got + read] = part[:read]
        got += read
    return bytes(data[:got])


def run(line: "Line") -> int:
    """Answer the request that this process was started for."""
    from agent.config.config import ConfigError, load
    from agent.control import client

    def ask(call: str, **fields: "object") -> "dict[str, Any]":
        try:
            return client.ask(line.paths.socket, call, **fields)
        except (OSError, ValueError):
            return {"error": ""}

    def look(address: str) -> "Iterator[dict[str, Any]]":
        try:
            for answer in client.ask_for(line.paths.socket, "access", address=address):
                yield answer
        except (OSError, ValueError):
            yield {"error": ""}

    def name() -> "str | None":
        try:
            return load(line.config).notice.page
        except ConfigError:
            return None

    sys.stdout.write(_Page(os.getenv, _body, ask, look, name).answer())
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from agent.cli.command import Line
