# SPDX-License-Identifier: Apache-2.0
"""`oubli page`: one request of the page on which the person at a terminal suspends, resumes or withdraws (L34-V-3, L34-V-4).

She sees there, too, what the gateway holds on it (law 78-17, to which L34-1 VI refers). A CGI program (RFC 3875): the request is
environment and standard input, the answer standard output. Which terminal asks is REMOTE_ADDR, the web server's own word; nothing of
the request's text is ever shown. What changes anything, or shows records, must be a POST from a page of this same host (Origin, else
Referer), so that another site's page can't do it through a guest's browser. No script, no cookie.
"""

import os
import sys

from agent.runtime.libc import LIBC
from agent.runtime.sockets import packed

LIMIT = 256  # octets of a request's body
SHOWN = 100  # records on a page, the newest; all of them: `oubli who`
ACTS = ("suspend", "resume", "withdraw")
_LANGUAGES = ("fr", "en")
_WORDS = {
    "title": ("Vos données", "Your data"),
    "see": ("Voir ce qui est conservé sur cet appareil", "See what is kept on this device"),
    "records": ("enregistrements", "records"),
    "newest": ("les plus récents d'abord ; tous : demandez à l'exploitant", "the newest first; for all of them ask the operator"),
    "security": ("sécurité du réseau", "security of the network"),
    "attribution": ("attribution des adresses", "attribution of addresses"),
    "billing": ("facturation", "billing"),
    "sealed": (
        "scellé : cet appareil ne peut pas le lire ; un tiers en répond, et chaque donnée disparaît au plus tard après",
        "sealed: this gateway can't read it; a third party answers for it, and each record goes at the latest after",
    ),
    "days": ("jours", "days"),
    "busy": ("Une autre demande est en cours. Essayez encore dans un moment.", "Another request is being answered. Try again in a moment."),
    "none": ("Aucun accord n'est enregistré pour cet appareil.", "No consent is recorded for this device."),
    "services": ("connexions", "connections"),
    "location": ("position (borne Wi-Fi)", "location (Wi-Fi access point)"),
    "active": ("en vigueur", "in force"),
    "suspended": ("suspendu", "suspended"),
    "withdrawn": ("retiré", "withdrawn"),
    "ended": ("terminé", "ended"),
    "until": ("jusqu'au", "until"),
    "third": ("transmis à : ", "passed on to: "),
    "nobody": ("personne", "nobody"),
    "suspend": ("Suspendre", "Suspend"),
    "resume": ("Reprendre", "Resume"),
    "withdraw": ("Retirer, et effacer ce qui a été conservé", "Withdraw, and erase what was kept"),
    "done suspend": ("C'est suspendu : plus rien n'est conservé.", "It is suspended: nothing more is kept."),
    "done resume": ("C'est repris.", "It is resumed."),
    "done withdraw": (
        "C'est retiré : tout ce qui avait été conservé est illisible.",
        "It is withdrawn: all that was kept is unreadable.",
    ),
    "not durable": (
        "Ce n'est pas encore écrit en mémoire durable : si l'appareil redémarre, vérifiez ici.",
        "It isn't on durable memory yet: if the gateway restarts, look here again.",
    ),
    "refused": ("Cela n'a pas pu être fait. Essayez encore.", "That could not be done. Try again."),
    "unknown": (
        "Cet appareil n'est pas reconnu sur ce réseau.",
        "This device isn't known on this network.",
    ),
    "bad": ("Demande incomprise.", "The request isn't understood."),
}
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
    ) -> None:
        self._environment = environment
        self._ask = ask
        self._look = look
        query = environment("QUERY_STRING") or ""
        size = environment("CONTENT_LENGTH") or "0"
        self.fields = _fields(query)
        self.posted = environment("REQUEST_METHOD") == "POST"
        if self.posted and size.isdigit() and len(size) < 4 and int(size) <= LIMIT:
            self.fields = _fields("".join([chr(octet) for octet in body(int(size))]))
        language = self.fields.get("lang") or (environment("HTTP_ACCEPT_LANGUAGE") or "fr")[:2]
        self.language = _LANGUAGES.index(language) if language in _LANGUAGES else 0

    def say(self, word: str) -> str:
        """Return a text in the language of the page."""
        return _WORDS[word][self.language]

    def answer(self) -> str:
        """Return the whole answer."""
        address = self._environment("REMOTE_ADDR") or ""
        act = self.fields.get("act")
        if not packed(address.encode()):
            return self.page("400 Bad Request", self.paragraph("bad"))
        if not self.posted:
            return self.overview(address)
        if act not in ACTS and act != "see":
            return self.page("400 Bad Request", self.paragraph("bad"))
        if not self._from_here():
            return self.page("403 Forbidden", self.paragraph("bad"))
        if act == "see":
            return self.held(address)
        done = self._ask("consent " + act, address=address)
        if "error" in done:
            return self.page("503 Service Unavailable", self.paragraph("refused"))
        said = self.paragraph("done " + act) if done.get("suspended") or done.get("resumed") or done.get("withdrawn") else ""
        return self.overview(address, said + ("" if done.get("durable", True) else self.paragraph("not durable")))

    def _from_here(self) -> bool:
        host = self._environment("HTTP_HOST") or ""
        source = self._environment("HTTP_ORIGIN") or self._environment("HTTP_REFERER") or ""
        return bool(host) and any(source == scheme + host or source.startswith(scheme + host + "/") for scheme in ("http://", "https://"))

    def overview(self, address: str, said: str = "") -> str:
        """Return the page with what this terminal has consented to, and the buttons that make sense."""
        found = self._ask("consent own", address=address)
        if "error" in found:
            return self.page("200 OK", said + self.paragraph("unknown"))
        lines, states = "", []
        for consent in found["consents"]:
            states.append(consent["state"])
            lines += "<li>" + _plain(", ".join([self.say(name) for name in consent["purposes"]])) + ": <b>" + self.say(consent["state"])
            third = consent["third_parties"]
            lines += "</b> " + self.say("until") + " " + _date(consent["end"]) + "; " + self.say("third")
            lines += _plain(self.say("nobody") if third == "none" else third) + "</li>\n"
        shown = "<ul>\n" + lines + "</ul>" if lines else self.paragraph("none")
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
            newest += [_plain(_record(row)) for row in answer.get("rows", ())]
            newest = newest[-SHOWN:]
        if counts is None:  # it ended before its end
            return self.page("503 Service Unavailable", self.paragraph("busy"))
        lines = [self.say(name) + ": " + str(counts[name]) + " " + self.say("records") for name in sorted(counts)]
        for store in sealed:
            end = str(store["lifetime_seconds"] // 86400) + " " + self.say("days")
            lines.append(self.say(store["purpose"]) + ": " + self.say("sealed") + " " + end)
        shown = "<ul>\n" + "".join(["<li>" + _plain(line) + "</li>\n" for line in lines]) + "</ul>\n"
        if sum(counts.values()) > len(newest):
            shown += self.paragraph("newest")
        newest.reverse()
        return self.page("200 OK", shown + "<ul>\n" + "".join(["<li>" + line + "</li>\n" for line in newest]) + "</ul>\n")

    def paragraph(self, word: str) -> str:
        """Return a paragraph of the page."""
        return "<p>" + _plain(self.say(word)) + "</p>\n"

    def button(self, act: str) -> str:
        """Return a form with one button."""
        hidden = '<input type="hidden" name="lang" value="' + _LANGUAGES[self.language] + '">'
        label = '<button name="act" value="' + act + '">' + _plain(self.say(act)) + "</button>"
        return '\n<form action="/cgi-bin/oubli" method="post">' + hidden + label + "</form>"

    def page(self, status: str, body: str) -> str:
        """Return status, headers and page."""
        text = _PAGE.format(lang=_LANGUAGES[self.language], title=self.say("title"), body=body)
        return "Status: " + status + "\r\n" + "\r\n".join(_HEADERS) + "\r\n\r\n" + "".join([_ascii(letter) for letter in text])


def _fields(text: str) -> "dict[str, str]":
    """Return the fields of a form that are understood: letters only, no escapes."""
    found = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name in ("act", "lang") and value.isalpha():
            found[name] = value
    return found


def _plain(text: str) -> str:
    """Return a text that is only text in HTML."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(letter, entity)
    return text


def _record(row: "dict[str, Any]") -> str:
    from agent.access_verbs import written

    return written(row).strip()


def _ascii(letter: str) -> str:
    return letter if ord(letter) < 128 else "&#" + str(ord(letter)) + ";"


def _date(seconds: int) -> str:
    from agent.dates import date

    return date(seconds // 86400)


def _body(size: int) -> bytes:
    data, got = bytearray(size), 0
    while got < size:
        part = bytearray(size - got)
        read = LIBC.call("read", 0, part, len(part))
        if read <= 0:
            break
        data[got : got + read] = part[:read]
        got += read
    return bytes(data[:got])


def run(line: "Line") -> int:
    """Answer the request that this process was started for."""
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

    sys.stdout.write(_Page(os.getenv, _body, ask, look).answer())
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from agent.command import Line
