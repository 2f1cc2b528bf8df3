# SPDX-License-Identifier: Apache-2.0
"""The page on which a terminal's person suspends, resumes or withdraws (L34-V-3, L34-V-4), asked as by a browser.

The recorder behind it is a stand-in that says what it was asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import tempfile
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.doctor import service
from agent.purposes import notice, words
from agent.purposes.consent import page_server, page_turns, texts
from agent.runtime import sockets
from tests.support import guests_page
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.interpreters import Interpreter

GUEST = "127.0.7.1"
MORE = (
    "Finalités, bases, destinataires\u202f: voir la notice de ce réseau. Autres droits\u202f: auprès du responsable. "
    "Réclamation\u202f: CNIL (www.cnil.fr)."
)  # GDPR 15.1: what she is shown is a part of what an answer to her must have
TOKEN, UNDOES = "abcdefghijklmnop" * 2, "ponmlkjihgfedcba" * 2
SENT = f"token={TOKEN}&"
SAME = {"origin": "http://{here}"}  # where the page is
CONSENT = {
    "number": 3, "state": "active", "given": 1799913600, "since": 1800000000, "end": 1800086400,
    "purposes": ["services", "location"],
    "categories": ["connections", "access-point"], "text": "00", "third_parties": "none", "withdrawn": [],
    "withdrawn_since": 0,
}  # fmt: skip
KEPT = [["security", 86400, False], ["attribution", 365 * 86400, False]]
VOID = {"meta", "input", "link"}


class Well(HTMLParser):
    """Reads a page; every element is closed in order, and what it holds is noted, blanks as blanks."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\u00a0", " ")

    def values(self, name: str) -> set[str | None]:
        return {values["value"] for tag, values in self.tags if tag == "input" and values["name"] == name}

    def acts(self) -> list[str | None]:
        return [values["value"] for tag, values in self.tags if tag == "button" and "value" in values]


def well_formed(text: str) -> Well:
    page = Well()
    assert text.startswith("<!DOCTYPE html>\n")
    page.feed(text)
    page.close()
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, values in page.tags for name in values)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags  # on a phone
    return page


class Recorder:
    """Answers one line each way at the control socket, as the recorder does."""

    def __init__(self, root: Path) -> None:
        (root / "var/run/oubli/control").mkdir(parents=True)
        self.asked: list[dict] = []
        self.answers: dict[str, dict | list[dict]] = {}
        self.busy = 0  # how many are turned away first
        self.rate = 10**6  # calls that are answered; what comes after them is too much for a second
        # Who asks for records waits, as long as the latter isn't set
        self.held, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.own([CONSENT])
        self._listener = sockets.unix_server(str(root / "var/run/oubli/control/socket"), 0o666)
        os.set_blocking(self._listener, True)
        threading.Thread(target=self._serve, daemon=True).start()

    def own(
        self,
        consents: list[dict],
        kept: list[list] = KEPT,
        *,
        counted: bool = True,
        objects: tuple[int, ...] = (),
        day: bool = True,
        timed: bool = True,
        unreadable: bool = False,
        on: tuple[str, ...] = ("location", "services"),
        over: tuple[str, ...] = (),
    ) -> None:
        beside = ["counting"] * (counted and day) + ["addresses", "portal", "ports", "requests", "emergency", "page"]
        self.answers["consent own"] = {
            "consents": [{"timed": one["purposes"] if timed else []} | one for one in consents],
            "kept": kept, "beside": beside, "counted": counted,
            "objects": objects, "token": TOKEN, "undoes": UNDOES, "on": list(on),
            "unreadable": unreadable, "medium": False, "nat": False, "over": list(over),
        }  # fmt: skip

    def _serve(self) -> None:
        listener = socket.socket(fileno=self._listener)
        while True:
            threading.Thread(target=self._answer, args=(listener.accept()[0],), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        # A page that is ended may hang up before it has its answer
        with contextlib.suppress(ConnectionError), peer, peer.makefile("rwb") as stream:
            request = json.loads(stream.readline())
            self.asked.append(request)
            if request["call"] == "access":
                self.held.set()
                self.go_on.wait(240)
            said = self.answers.get(request["call"], {"error": "no"})
            if self.busy:
                self.busy, said = self.busy - 1, {"error": "too many at once; accepted: 4 of a user, 8 in all"}
            if len(self.asked) > self.rate:
                said = {"error": "too many calls; accepted: 6 a second of a terminal"}
            for line in said if isinstance(said, list) else [said]:
                stream.write(json.dumps({"v": 1} | line).encode() + b"\n")


class Guest:
    """Who asks the page."""

    def __init__(self, server: guests_page.Server) -> None:
        self.server = server
        self.here = f"127.0.0.1:{server.port}"

    def request(self, body: str | None = None, *, query: str = "", **headers: str) -> bytes:
        """Return a request, a form's where there is a body; `{here}` in a header is where the page is."""
        found = {"host": "{here}"} | ({} if body is None else {"content-length": str(len(body))}) | headers
        lines = [f"{'GET' if body is None else 'POST'} /{'?' if query else ''}{query} HTTP/1.1"]
        lines += [
            f"{name.replace('_', '-').title()}: {value.replace('{here}', self.here)}" for name, value in found.items()
        ]
        return "\r\n".join([*lines, "", body or ""]).encode()

    def saved(self, body: str | None = None, *, source: str = GUEST, **headers: str) -> tuple[str, dict[str, str], str]:
        """Make a request; returns status, headers and what came with them."""
        head, _, text = self.server.ask(self.request(body, **headers), source).decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        return first.removeprefix("HTTP/1.1 "), dict(line.split(": ", 1) for line in lines), text

    def ask(self, body: str | None = None, *, source: str = GUEST, **headers: str) -> tuple[str, dict[str, str], Well]:
        """Make a request; returns status, headers and page."""
        status, lines, text = self.saved(body, source=source, **headers)
        assert int(lines["Content-Length"]) == len(text.encode())
        return status, lines, well_formed(text)


@pytest.fixture
def root() -> Iterator[Path]:
    """Give a folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="oubli-") as path:
        yield Path(path)


@pytest.fixture
def recorder(root: Path) -> Recorder:
    """Give a stand-in for the recorder."""
    return Recorder(root)


@pytest.fixture
def guest(interpreter: Interpreter, root: Path) -> Iterator[Guest]:
    """Give the page on each interpreter."""
    with guests_page.serving(interpreter, root) as server:
        yield Guest(server)


@pytest.fixture
def one_guest(micropython: Interpreter, root: Path) -> Iterator[Guest]:
    """Give the page on MicroPython."""
    with guests_page.serving(micropython, root) as server:
        yield Guest(server)


def test_the_page_shows_what_its_own_terminal_agreed_to(guest, recorder):
    """In the language asked for; the terminal is the web server's word for who asks, and nothing else."""
    status, headers, page = guest.ask(accept_language="en-GB,en", query="address=127.0.7.99")
    assert (status, headers["Content-Type"]) == ("200 OK", "text/html; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert recorder.asked == [{"v": 1, "call": "consent own", "address": "127.0.7.1"}]
    assert (
        "services by consent, location by consent: in force until 2027-01-16 (UTC), data passed on to: nobody"
        in page.text
    )
    assert "security of the network, at most 24 hours" in page.text
    assert page.values("token") == {TOKEN}
    both = ["withdraw", "withdraw", "withdraw"]  # each purpose by itself, and all of it
    assert page.acts() == ["suspend", *both, "object", "see", "export", "erase"]
    assert page.values("purpose") == {"services", "location"}
    _, _, page = guest.ask(accept_language="fr")
    agreed = "services avec accord, localisation avec accord"
    assert (
        f"{agreed}\u202f: en vigueur jusqu'au 16 janvier 2027 (UTC), données transmises à\u202f: personne" in page.text
    )
    assert "Retirer votre accord, et effacer ce que la borne a conservé avec lui" in page.text
    assert "Retirer votre accord pour\u202f: services avec accord" in page.text
    recorder.own([CONSENT | {"state": "suspended"}])
    assert guest.ask()[2].acts() == ["resume", *both, "object", "see", "export", "erase"]
    one = CONSENT | {"state": "suspended", "purposes": ["location"], "withdrawn": ["services"]}
    recorder.own([one], objects=(1800000000, 1834000000))
    _, _, page = guest.ask()
    # While it objects it isn't followed by a consent either
    assert page.acts() == ["withdraw", "accept", "see", "export", "erase"]
    # Nobody knows when; it was to nobody else that it was passed on
    assert "services avec accord\u202f: retiré, données transmises à\u202f: personne\n" in page.text
    assert "Opposition au comptage reçue le 15 janvier 2027 (UTC).\n" in page.text
    assert "comptage des visiteurs" not in page.text
    recorder.own(
        [CONSENT | {"purposes": ["location"], "withdrawn": ["services"], "withdrawn_since": 1800000000 - 86400}]
    )
    text = guest.ask()[2].text
    assert "services avec accord\u202f: retiré le 14 janvier 2027 (UTC), données transmises à\u202f: personne\n" in text
    assert "localisation avec accord\u202f: en vigueur" in text
    recorder.own([CONSENT | {"state": "withdrawn"}])
    _, _, page = guest.ask()
    assert page.acts() == ["object", "see", "export", "erase"]
    assert "retiré le 15 janvier 2027 (UTC)" in page.text
    recorder.own([CONSENT | {"state": "withdrawn", "since": 0}])  # while the clock wasn't confirmed
    assert "localisation avec accord\u202f: retiré, données transmises" in guest.ask()[2].text
    # Nothing to be withdrawn
    assert "Effacer ce que la borne peut effacer au sujet de votre appareil\n" in guest.ask()[2].text
    recorder.own([CONSENT | {"third_parties": ""}])  # its file can't be read
    text = guest.ask()[2].text
    assert "transmises" not in text
    assert "au sujet de votre appareil, et retirer votre accord\n" in text
    recorder.own([CONSENT], on=("location",))  # the operator has turned the other one off
    text = guest.ask()[2].text
    there = "localisation avec accord\u202f: en vigueur jusqu'au 16 janvier 2027 (UTC), "
    assert f"{there}données transmises à\u202f: personne\n" in text
    stopped = "en vigueur jusqu'au 16 janvier 2027 (UTC)\u202f; l'exploitant a arrêté ce traitement"
    assert f"services avec accord\u202f: {stopped}, données transmises à\u202f: personne\n" in text
    recorder.own([CONSENT | {"state": "withdrawn"}], on=())
    assert "arrêté" not in guest.ask()[2].text
    recorder.own([], [], counted=False)
    _, _, page = guest.ask()
    assert page.acts() == ["see", "export", "erase"]
    # Who never gave one
    assert not any(word in page.text for word in ("Votre accord", "Aucun accord", "Sa preuve", "retirer"))
    assert "Rien n'est conservé" not in page.text
    told = "tant que durent des connexions de l'appareil, et au plus 24 heures après\n"
    assert f"reconnaissance des appareils, {told}" in page.text
    assert re.search(r"(?<!\u202f)[;:!?](?!\d)", page.text.rsplit("}", 1)[1]) is None


def test_what_the_clock_keeps_from_being_applied_is_not_told_as_in_force(guest, recorder):
    """L34-V-2, EXP-5: where nobody confirms it, and where it was set back by less than an hour."""
    recorder.own([CONSENT], timed=False)
    text = guest.ask()[2].text
    assert "en vigueur" not in text
    waits = "donné, mais non appliqué tant que l'horloge de la borne n'est pas confirmée, ou montre de nouveau une "
    waits += "heure passée"
    end = "\u202f; fin le 16 janvier 2027 (UTC)"
    assert f"services avec accord, localisation avec accord\u202f: {waits}{end}, données transmises à" in text
    recorder.own([CONSENT | {"timed": ["location"]}])
    text = guest.ask()[2].text
    assert "localisation avec accord\u202f: en vigueur jusqu'au 16 janvier 2027 (UTC), données transmises à" in text
    assert f"services avec accord\u202f: {waits}{end}, données transmises à" in text
    recorder.own([CONSENT | {"timed": ["location"]}], on=("location",))
    assert f"{waits}{end}\u202f; l'exploitant a arrêté ce traitement, données transmises" in guest.ask()[2].text


@pytest.mark.usefixtures("recorder")
def test_what_the_operator_says_now_is_not_told_as_what_she_agreed_to(interpreter, root):
    """GDPR 7.1: he may have changed it since; her consent is to the document that she was shown."""
    (root / "etc/config").mkdir(parents=True)
    notice_ = "config notice\n option controller 'x'\n option page 'y.z'\n option services 'publicité'\n"
    (root / "etc/config/oubli").write_text("config gateway\n option id 'aaaaaaaaaaaaaaaa'\n" + notice_)
    with guests_page.serving(interpreter, root) as server:
        text = Guest(server).ask()[2].text
        assert "services avec accord (but indiqué aujourd'hui\u202f: publicité)" in text
        assert "Un accord ne vaut que pour le but du document accepté. Sa preuve" in text
        text = Guest(server).ask(accept_language="en")[2].text
        assert "services by consent (purpose as told today: publicité)" in text


def test_of_what_is_over_the_end_that_was_agreed_is_told(guest, recorder):
    """L34-VI-4: a clock that ran ahead has ended it before; the page said that it ended on a day still to come."""
    recorder.own([CONSENT | {"state": "ended", "given": 0}])
    text = guest.ask()[2].text
    assert (
        "localisation avec accord\u202f: terminé\u202f; fin prévue le 16 janvier 2027 (UTC), données transmises" in text
    )
    assert "Accord donné le" not in text
    assert "location by consent: over; agreed end on 2027-01-16 (UTC)" in guest.ask(accept_language="en")[2].text


def test_what_the_operator_has_turned_off_is_not_told_as_in_force(guest, recorder):
    """L34-V-4: nor does a suspension go unseen for it, and a button says no more than is done."""
    recorder.own([CONSENT | {"state": "suspended"}], on=("location",))
    stopped = "suspendu\u202f; fin le 16 janvier 2027 (UTC)\u202f; l'exploitant a arrêté ce traitement"
    assert f"services avec accord\u202f: {stopped}, données transmises" in guest.ask()[2].text
    recorder.answers["consent resume"] = {"resumed": 1}
    recorder.own([CONSENT], on=())
    text = guest.ask(f"token={UNDOES}&act=resume", **SAME)[2].text
    assert "Votre accord est rétabli.\n" in text
    assert (
        "en vigueur jusqu'au 16 janvier 2027 (UTC)\u202f; l'exploitant a arrêté ce traitement, données transmises"
        in text
    )
    recorder.answers["consent suspend"] = {"suspended": 1, "durable": True}
    assert "Ce qui l'était déjà peut le rester" in guest.ask(f"{SENT}act=suspend", **SAME)[2].text


def test_a_person_reads_when_she_agreed_and_by_which_address_she_is_known(guest, recorder):
    """GDPR art. 15: the proof of a consent has its day; a phone that takes another MAC is another one here."""
    for consents in ([CONSENT], [CONSENT | {"state": "withdrawn"}], []):
        recorder.own(consents)
        text = guest.ask()[2].text
        assert ("Accord donné le 14 janvier 2027 (UTC).\n" in text) == bool(consents)
        assert "S'il en a changé, vos choix d'avant ne valent plus pour lui" in text
    assert "Consent given on 2027-01-14 (UTC)." not in text
    recorder.own([CONSENT])
    assert "Consent given on 2027-01-14 (UTC).\n" in guest.ask(accept_language="en")[2].text
    # Of several it is said which
    first = CONSENT | {"purposes": ["services"], "withdrawn": ["location"], "given": 1799913600 - 86400}
    recorder.own([first, CONSENT | {"purposes": ["location"]}])
    text = guest.ask()[2].text
    assert "donné le 13 janvier 2027 (UTC)\u202f: services avec accord, localisation avec accord.\n" in text
    assert "donné le 14 janvier 2027 (UTC)\u202f: localisation avec accord.\n" in text
    assert "given on 2027-01-14 (UTC): location by consent.\n" in guest.ask(accept_language="en")[2].text


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("count", [1, 2])
def test_of_several_consents_all_are_spoken_of(guest, recorder, count, language):
    """L34-V-3, L34-V-4: each button takes all that there are, and says so; one of them isn't "vos accords"."""
    both = [CONSENT | {"purposes": ["services"]}, CONSENT | {"purposes": ["location"]}]
    yours = {"fr": ("votre accord", "vos accords"), "en": ("your consent", "your consents")}[language]
    of = {"suspend": "suspended", "resume": "resumed", "withdraw": "withdrawn"}
    for act, word in of.items():
        recorder.own([one | {"state": "suspended" if act == "resume" else "active"} for one in both[:count]])
        recorder.answers["consent " + act] = {word: count, "durable": True}
        shown = guest.ask(f"token={UNDOES if act == 'resume' else TOKEN}&lang={language}&act={act}", **SAME)[2]
        text = re.sub("(sans|without|for|pour)\\W+(votre accord|your consent)\\b", "", shown.text.lower())
        text = re.sub("(retirer|withdraw) (votre accord|your consent) (pour|for)", "", text)
        named = re.findall("(?:votre|vos|your) (?:accord|consent)s?", text)
        assert (act in shown.acts(), set(named)) == (True, {yours[count - 1]}), (act, named)
        assert len(named) >= 5  # what was done, the heading, buttons
    recorder.answers["erase terminal"] = {"withdrawn": count, "destroyed": 0, "durable": True, "sealed": []}
    gone = {"fr": ("Votre accord est retiré", "Vos accords sont retirés")}
    gone["en"] = ("Your consent is withdrawn", "Your consents are withdrawn")
    assert gone[language][count - 1] in guest.ask(f"{SENT}lang={language}&act=erase", **SAME)[2].text
    # Of two one is in force: only that is suspended, or withdrawn
    recorder.own([both[0], both[1] | {"state": "withdrawn"}])
    text = guest.ask(query=f"lang={language}")[2].text
    assert {"fr": "Suspendre votre accord", "en": "Suspend your consent"}[language] in text
    assert {"fr": "et retirer votre accord", "en": "and withdraw your consent"}[language] in text
    assert {"fr": "Vos accords", "en": "Your consents"}[language] in text


def test_nobody_is_told_of_a_count_that_does_not_go_on(guest, recorder):
    """L34-VI-4: while no day is open no row is kept; an objection to later days is taken all the same."""
    recorder.own([], day=False)
    _, _, page = guest.ask()
    assert "comptage" not in page.text
    assert page.acts() == ["object", "see", "export", "erase"]
    recorder.own([], counted=False, objects=(1800000000, 1834000000))  # nothing is counted any more
    recorder.answers["objection end"] = {"accepted": True}
    _, _, page = guest.ask(f"token={UNDOES}&lang=fr&act=accept", **SAME)
    assert "Votre opposition au comptage est levée." in page.text
    assert "est de nouveau compté" not in page.text


def test_consents_that_can_not_be_read_are_told_of(guest, recorder):
    """L34-V-2: there may be some; all are suspended, and no objection is known or taken."""
    recorder.own([], unreadable=True, counted=False)
    _, _, page = guest.ask(accept_language="en")
    assert "can't read consents and objections at present: every consent is suspended" in page.text
    assert "object" not in page.acts()
    recorder.answers["access"] = [
        {"sealed": []},
        {"records": {}, "consents": None, "on": [], "objects": [], "changes": 0},
    ]
    assert json.loads(guest.saved(SENT + "act=export", **SAME)[2])["consents"] is None
    refused = {"withdrawn": 0, "destroyed": 0, "durable": False, "unreadable": True, "sealed": []}
    recorder.answers["erase terminal"] = refused
    text = guest.ask(SENT + "act=erase&lang=en", **SAME)[2].text
    assert "what is kept by them can't be erased" in text
    assert "No consent is withdrawn: ask for the erasure again once the gateway can read consents." in text
    assert "redemandez l'effacement dès que" in guest.ask(SENT + "act=erase", **SAME)[2].text
    assert "ce qui est conservé avec eux ne peut pas être effacé" in guest.ask()[2].text
    assert "permanent memory" not in text  # nothing of it waits to be written


def test_what_else_a_button_does_stands_on_it(guest, recorder):
    """An objection suspends a consent in force: who presses knows it before."""
    both = "Ne plus compter votre appareil, et suspendre votre accord"
    for state, said in (("active", True), ("suspended", False), ("withdrawn", False)):
        recorder.own([CONSENT | {"state": state}])
        text = guest.ask()[2].text
        assert "Ne plus compter votre appareil" in text
        assert (both in text) == said
    assert MORE in text  # whoever answers for it, and whether or not he is named


def test_who_stops_something_is_told_that_third_parties_keep_what_they_got(guest, recorder):
    """GDPR 19: the gateway reaches its own records alone; the controller tells the others, once he knows."""
    tell = "Dites votre choix au responsable, pour qu'il en avertisse les tiers nommés."
    recorder.answers["erase state"] = {"erasing": False}
    for act, call in (("withdraw", "consent withdraw"), ("erase", "erase terminal")):
        for third, count, told in (("Météo SA", 1, True), ("Météo SA", 0, False), ("none", 1, False), ("", 1, False)):
            recorder.answers[call] = {"withdrawn": count, "durable": True, "sealed": []}
            recorder.own([CONSENT | {"third_parties": third}])
            assert (tell in guest.ask(f"{SENT}act={act}", **SAME)[2].text) == told, (act, third, count)
        # One that ended before tells of others: what is withdrawn now went to nobody
        recorder.own([CONSENT, CONSENT | {"state": "withdrawn", "third_parties": "Météo SA"}])
        recorder.answers[call] = {"withdrawn": 1, "durable": True, "sealed": []}
        assert tell not in guest.ask(f"{SENT}act={act}", **SAME)[2].text
    parted = [CONSENT | {"purposes": ["services"], "third_parties": "Météo SA"}, CONSENT | {"purposes": ["location"]}]
    recorder.own(parted)
    for purpose, told in (("services", True), ("location", False)):
        assert (tell in guest.ask(f"{SENT}act=withdraw&purpose={purpose}", **SAME)[2].text) == told
    recorder.answers["consent suspend"] = {"suspended": 1, "durable": True}
    recorder.own([CONSENT | {"third_parties": "Météo SA"}])
    assert tell in guest.ask(f"{SENT}act=suspend", **SAME)[2].text  # what is suspended here goes on there
    recorder.answers["objection"] = {"objected": 1, "durable": True}
    assert tell in guest.ask(f"{SENT}act=object", **SAME)[2].text


def test_a_button_that_finds_nothing_to_do_says_so(guest, recorder):
    """A page of before, by Back or in another tab: what is in force is shown, and nothing is said to have been done."""
    recorder.own([CONSENT | {"state": "withdrawn"}])
    for act, call, word in (
        ("suspend", "consent suspend", "suspended"),
        ("withdraw", "consent withdraw", "withdrawn"),
        ("object", "objection", "objected"),
    ):
        recorder.answers[call] = {word: 0, "durable": True}
        status, _, page = guest.ask(f"{SENT}act={act}", **SAME)
        assert (status, "Rien n'a changé.\n" in page.text) == ("200 OK", True)
        assert not any(word in page.text for word in ("est suspendu", "est retiré\u202f:", "n'est plus compté"))
        recorder.answers[call] = {word: 1, "durable": True}
        assert "Rien n'a changé" not in guest.ask(f"{SENT}act={act}", **SAME)[2].text
    # What could be erased is being erased, also where flash refuses the end of a consent
    refused = {"withdrawn": 0, "destroyed": 0, "durable": False, "unreadable": False, "sealed": []}
    recorder.answers["erase terminal"] = refused
    text = guest.ask(f"{SENT}act=erase", **SAME)[2].text
    assert "Votre demande d'effacement a été prise en compte." in text
    assert "Ce n'est pas encore écrit en mémoire permanente" in text
    assert "redemandez l'effacement" not in text


def test_head_is_answered_as_get_without_a_body(guest, recorder):
    """RFC 9110, 9.3.2: the same status and headers, the length of what GET would bring; and nothing is done by it."""
    got = guest.server.ask(guest.request())
    only = guest.server.ask(guest.request().replace(b"GET ", b"HEAD "))
    assert only.endswith(b"\r\n\r\n")
    assert only == got.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert only.startswith(b"HTTP/1.1 200 OK\r\n")
    sent = guest.request(SENT + "act=withdraw", **SAME).replace(b"POST ", b"HEAD ")
    assert guest.server.ask(sent) == only
    refused = guest.server.ask(guest.request(host="evil.example").replace(b"GET ", b"HEAD "))
    assert refused.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert refused.endswith(b"\r\n\r\n")
    assert {one["call"] for one in recorder.asked} == {"consent own"}


def test_what_goes_on_after_a_suspension_or_a_withdrawal_is_said(guest, recorder):
    """L34-VI-4: each purpose that needs no consent, with its time, the count, and the proof of the consent."""
    for act, word, said in (
        ("suspend", "suspended", "rien de nouveau n'est conservé avec lui"),
        ("withdraw", "withdrawn", "ce que la borne avait conservé avec lui est illisible"),
    ):
        recorder.answers["consent " + act] = {word: 1, "durable": True}
        _, _, page = guest.ask(f"{SENT}act={act}", **SAME)
        assert said in page.text
        for left in (
            "sécurité du réseau, au plus 24 heures après la fin\n",
            "demandes des autorités, au plus 365 jours après le début, hors copie remise, ou injonction de",
            "comptage des visiteurs, un jour, jusque vers 4 h (5 h en été), heure de Paris",
            (
                "connexion au portail, jusqu'à ce que le portail signale la déconnexion de l'appareil, "
                "au plus 24 heures après son dernier signal\n"
            ),
            "ports attribués, au plus 3 heures",
            (
                "demandes sur des données scellées, sur la borne, jusqu'à une heure de fonctionnement après l'échéance "
                "(31 jours au plus)\u202f; chez le tiers de confiance, jusqu'à sa réponse, 31 jours après l'échéance "
                "au plus tard\u202f; qui demande\u202f: sans terme fixé, au registre de ce tiers, comme preuve\n"
            ),
            "page des visiteurs, au plus un jour",
            "Sa preuve",
        ):
            assert left in page.text
        raw = guest.saved(f"{SENT}act={act}", **SAME)[2]
        assert "au plus 24\u00a0heures après la fin</li>" in raw  # a number and its unit stand in one line
        assert "(un an supplémentaire" in raw


def test_what_is_said_of_one_purposes_withdrawal_is_of_that_alone(guest, recorder):
    """L34-V-4: the rest of the consent is in force; where nothing is left of it, the whole is withdrawn."""
    recorder.answers["consent withdraw"] = {"withdrawn": 1, "durable": True}
    recorder.own([CONSENT | {"purposes": ["services"], "withdrawn": ["location"]}])
    assert "Le reste n'a pas changé" in guest.ask(f"{SENT}act=withdraw&purpose=location", **SAME)[2].text
    recorder.own([CONSENT | {"state": "withdrawn"}])
    text = guest.ask(f"{SENT}act=withdraw&purpose=location", **SAME)[2].text
    assert "Le reste" not in text
    assert "Votre accord est retiré" in text


BELOW = ("plus bas", "Voici", "Conservé sans votre accord", "en vigueur jusqu")
LOOK = "« Retour » montre ce qui est en vigueur."


@pytest.mark.parametrize("state", ["active", "suspended"])
def test_what_is_said_of_an_act_is_true_where_the_recorder_tells_no_more(state, guest, recorder):
    """L34-V-4: a terminal has six calls a second; one purpose isn't the whole, and nothing stands below."""
    acts = {
        "suspend": ("consent suspend", "suspended", "Votre accord est suspendu"),
        "withdraw": ("consent withdraw", "withdrawn", "Votre accord est retiré\u202f:"),
        "withdraw&purpose=location": ("consent withdraw", "withdrawn", "Votre accord est retiré pour une seule"),
        "object": ("objection", "objected", "n'est plus compté"),
        "erase": ("erase terminal", "withdrawn", "demande d'effacement a été prise en compte"),
    }
    recorder.own([CONSENT | {"state": state, "third_parties": "Météo SA"}])
    for act, (call, word, said) in acts.items():
        for count in (1, 0):
            recorder.asked.clear()
            recorder.rate = 2
            recorder.answers[call] = {word: count, "durable": True, "sealed": []}
            status, _, page = guest.ask(f"{SENT}act={act}", **SAME)
            assert (status, recorder.asked[1]["call"]) == ("200 OK", call)
            assert (said if count or act == "erase" else "Rien n'a changé") in page.text, act
            assert ("Dites votre choix au responsable" in page.text) == (count > 0), act
            assert LOOK.replace("« ", "«\u202f").replace(" »", "\u202f»") in page.text
            assert not any(word in page.text for word in BELOW), act
            assert page.acts() == []


@pytest.mark.parametrize(
    ("act", "call", "word", "said"),
    [
        ("suspend", "consent suspend", "suspended", "is suspended"),
        ("resume", "consent resume", "resumed", "is no longer suspended"),
        ("withdraw", "consent withdraw", "withdrawn", "is withdrawn"),
        ("object", "objection", "objected", "is counted no more"),
        ("accept", "objection end", "accepted", "is taken back"),
    ],
)
def test_one_click_does_it(act, call, word, said, guest, recorder):
    """L34-V-3, L34-V-4, L34-VI-5: one call, no account, no script."""
    recorder.answers[call] = {word: 1, "durable": True}
    sent = f"token={UNDOES}&" if act in {"resume", "accept"} else SENT
    status, _, page = guest.ask(f"{sent}lang=en&act={act}&purpose=services", **SAME)
    assert status == "200 OK"
    asked = {"v": 1, "call": call, "address": "127.0.7.1"}
    assert recorder.asked[1] == asked | ({"purpose": "services"} if act == "withdraw" else {})
    assert said in page.text
    recorder.answers[call]["durable"] = False
    assert "isn't in permanent memory yet" in guest.ask(f"{sent}lang=en&act={act}", **SAME)[2].text
    del recorder.answers[call]
    assert guest.ask(f"{sent}act={act}", **SAME)[0] == "503 Service Unavailable"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("too many calls; accepted: 6 a second of a terminal", "429 Too Many Requests", "Too many requests"),
        ("changed 5 times today; accepted: tomorrow", "429 Too Many Requests", "come back tomorrow"),
        (
            "no room: 512 objections are remembered; accepted: the operator's word with you",
            "503 Service Unavailable",
            "turn to the controller",
        ),
        (
            "no room for a change today; accepted: tomorrow; suspending and withdrawing always",
            "503 Service Unavailable",
            "no place left here",
        ),
        ("flash refuses: it stays suspended", "503 Service Unavailable", "could not be done"),
        (
            "the time isn't confirmed yet, so no end can be told (EXP-5); accepted: again in some minutes",
            "503 Service Unavailable",
            "clock isn't confirmed, or shows a past time again: what is suspended stays so",
        ),
    ],
)
def test_why_something_was_not_done_is_said(error, status, said, one_guest, recorder):
    recorder.answers["consent resume"] = {"error": error}
    answered, _, page = one_guest.ask(f"token={UNDOES}&lang=en&act=resume", **SAME)
    assert (answered, said in page.text) == (status, True)


def test_others_who_are_being_answered_are_waited_for(interpreter, recorder, root):
    """The recorder's places are few; whoever finds none tries again, as long as a request may take."""
    with guests_page.serving(interpreter, root) as server:
        recorder.busy = 3
        assert "Vos données" in Guest(server).ask()[2].text
        assert [one["call"] for one in recorder.asked] == ["consent own"] * 4
    with guests_page.serving(interpreter, root, patience=500) as server:
        recorder.busy = 10**6
        request, said, limit = Guest(server).request(), b"", time.monotonic() + 240
        # A machine that is busy itself may take all of the half second
        while b"Trop de demandes" not in said:
            assert time.monotonic() < limit, said
            with contextlib.suppress(ConnectionError):
                said = server.ask(request)
        assert said.startswith((b"HTTP/1.1 429 ", b"HTTP/1.1 503 "))


EVIL = {"host": "evil.example:8450", "origin": "http://evil.example:8450"}
REFUSED: list[tuple[dict[str, str], str | None, str]] = [
    ({"origin": "http://evil.example"}, "act=withdraw", "403 Forbidden"),
    ({"origin": "http://evil.example"}, SENT + "act=withdraw", "403 Forbidden"),  # even with a token that it found out
    ({"origin": "null"}, "act=resume", "403 Forbidden"),
    ({"referer": "http://{here}.evil.example/"}, "act=resume", "403 Forbidden"),
    ({}, "act=suspend", "403 Forbidden"),
    ({"origin": "http://", "host": ""}, "act=resume", "403 Forbidden"),
    (SAME, "act=grant", "400 Bad Request"),
    (SAME, "act=suspend%00", "400 Bad Request"),
    (SAME, "act=<script>", "400 Bad Request"),
    (SAME, "", "400 Bad Request"),
    (SAME | {"content-length": "99999999"}, "act=suspend", "400 Bad Request"),
    (SAME | {"content-length": "999"}, "act=suspend", "400 Bad Request"),
    (SAME | {"content-length": "-1"}, "act=suspend", "400 Bad Request"),
    (SAME | {"query": SENT + "act=withdraw"}, None, "200 OK"),
    (SAME | {"query": SENT + "act=withdraw"}, "", "400 Bad Request"),
    (SAME, "act=withdraw&token=" + "a" * 32, "403 Forbidden"),
    (SAME, "act=withdraw&token=", "403 Forbidden"),
    (SAME, "act=see", "403 Forbidden"),
    (SAME, SENT + "act=resume", "403 Forbidden"),  # what undoes a refusal has a token of its own
    (SAME, SENT + "act=accept", "403 Forbidden"),
    # A name of somebody else's that leads here (DNS rebinding): its page is no page of ours.
    (EVIL, SENT + "act=withdraw", "403 Forbidden"),
    ({"host": "evil.example:8450"}, None, "403 Forbidden"),
    ({"host": "127.0.0.2"}, None, "403 Forbidden"),
    ({"host": ""}, None, "403 Forbidden"),
]


def test_another_sites_page_or_a_strange_request_changes_nothing(guest, recorder):
    """Only a POST from this host's page does anything, no other site's form, and nothing of a request is shown."""
    for headers, body, status in REFUSED:
        answered, _, page = guest.ask(body, **headers)
        assert answered == status, (headers, body)
        assert not any(word in page.text for word in ("evil", "grant", "%00"))
    assert {one["call"] for one in recorder.asked} == {"consent own"}


# No request that is understood: closed, or told so; nothing is asked of the recorder.
STRANGE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nact=s\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nact=se",
    b"GET /../../etc/shadow HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\r\n\r\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \u0663\r\n\r\n".encode(),
    b"GET / HTTP/1.1\r\nX: " + b"a" * 5000,
    b"\x16\x03\x01" + bytes(5000),  # TLS
    bytes(range(256)) * 20,
)


def test_octets_that_are_no_request_end_their_connection_alone(guest, recorder):
    """RFC 9112: two of what must be one, chunks, another method, form or coding; more octets than a request has."""
    for octets in STRANGE:
        with contextlib.suppress(ConnectionError):  # what was not read is a reset
            said = guest.server.ask(octets, "127.0.7.2")
            assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n"), (octets[:60], said)
            assert b"evil" not in said
    assert recorder.asked == []
    assert guest.ask()[0] == "200 OK"
    for name in ("OPTIONS", "X" * 40):  # what a line is called makes no difference
        assert guest.ask(**{name.lower(): "\t" + "y" * 3000})[0] == "200 OK"


@pytest.mark.usefixtures("recorder")
def test_the_page_answers_to_its_address_and_to_its_name(interpreter, root):
    """IPv6 in any spelling, IPv4, letters of either size, and the name that the configuration gives it."""
    (root / "etc/config").mkdir(parents=True)
    (root / "etc/config/oubli").write_text(
        "config gateway\n option id 'aaaaaaaaaaaaaaaa'\nconfig notice\n option page 'wifi.example.org'\n"
        " option controller 'Lac & fils'\n option contact 'a@b.example'\n"
    )
    with guests_page.serving(interpreter, root) as server:
        guest = Guest(server)
        status, _, page = guest.ask(host="WiFi.example.org:8450")
        assert status == "200 OK"
        assert page.text.rstrip().endswith("Lac & fils\nContact\u202f: a@b.example\n" + MORE)
        assert guest.ask(host=f"127.0.0.1:{server.port}")[0] == guest.ask(host="127.0.0.1")[0] == "200 OK"
        for host in (
            "wifi.example.org.evil.example", "evil.example", "wifi.example.org@evil.example", "[fd00::1",
            "[::1]", "8450", ":8450", "[127.0.0.1]evil", "[127.0.0.1]evil:8450", "[127.0.0.1]:evil",
            "[127.0.0.1", "127.0.0.1:evil", "127.0.0.1:8450:8450", "wifi.example.org:8450.evil.example",
        ):  # fmt: skip
            assert guest.ask(host=host)[0] == "403 Forbidden", host
        for host in ("[::1]:8450", "[0:0::0:1]", "127.0.0.1"):
            with socket.create_connection(("::1", server.port)) as peer:
                peer.sendall(guest.request(host=host))
                assert guests_page.rest(peer).startswith(b"HTTP/1.1 403" if host == "127.0.0.1" else b"HTTP/1.1 200"), (
                    host
                )


def test_who_asks_is_the_address_that_the_connection_came_from(guest, recorder):
    """IPv4, IPv6: as the recorder takes it."""
    guest.ask(source="127.0.7.99", x_forwarded_for="127.0.7.1")
    with socket.create_connection(("::1", guest.server.port)) as peer:
        peer.sendall(guest.request(host="[::1]"))
        guests_page.rest(peer)
    assert [one["address"] for one in recorder.asked] == ["127.0.7.99", "0000:0000:0000:0000:0000:0000:0000:0001"]


def test_a_request_that_does_not_come_is_given_up(micropython, recorder, root):
    """It would hold one of few places: its time over, it is ended, head or body missing.

    Before that, what comes octet by octet.
    """
    assert page_server.PATIENCE == 3000
    with guests_page.serving(micropython, root, patience=1000) as server:
        request = Guest(server).request("act=suspend", **SAME)
        with contextlib.ExitStack() as peers:
            for peer in [
                peers.enter_context(server.knock("127.0.7.3", octets)) for octets in (b"", request[:20], request[:-4])
            ]:
                assert guests_page.rest(peer) == b""
    with guests_page.serving(micropython, root) as server, server.knock("127.0.7.3") as peer:
        with contextlib.suppress(OSError):
            for octet in request:
                peer.sendall(bytes([octet]))
                time.sleep(0.005)
        with contextlib.suppress(ConnectionError):
            assert guests_page.rest(peer).startswith(b"HTTP/1.1 400")
    assert recorder.asked == []


def test_a_referer_of_this_host_is_enough_and_the_body_is_waited_for(guest, recorder):
    recorder.answers["consent suspend"] = {"suspended": 1}
    assert guest.ask(SENT + "act=suspend", referer="http://{here}/")[0] == "200 OK"
    request = guest.request(SENT + "act=suspend", **SAME)
    with guest.server.knock(GUEST) as peer:
        for part in (request[:40], request[40:-11], b"act=", b"suspend"):
            peer.sendall(part)
            time.sleep(0.05)
        assert guests_page.rest(peer).startswith(b"HTTP/1.1 200 OK\r\n")
    assert [one["call"] for one in recorder.asked].count("consent suspend") == 2


SUSPENDED = ["consent own", "consent suspend", "consent own"]
OTHERS = [f"127.0.7.{number}" for number in range(100, 150)]


@contextlib.contextmanager
def stopped(guest: Guest) -> Iterator[None]:
    """Keep the page from running, as a processor that is busy does; then let it go on."""
    guest.server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        guest.server.process.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_whoever_was_answered_less_often_is_answered_first(guest, recorder):
    """L34-V-4: fifty guests have asked again and again, and ask before him.

    He is the first, whatever the processor does meanwhile.
    """
    recorder.answers["consent suspend"] = {"suspended": 1}
    for _ in range(3):
        for other in OTHERS:
            guest.ask(source=other)
    for request, calls in (
        (guest.request(), ["consent own"]),
        (guest.request(SENT + "act=suspend", **SAME), SUSPENDED),
    ):
        recorder.asked.clear()
        with contextlib.ExitStack() as peers:
            with stopped(guest):
                waiting = [peers.enter_context(guest.server.knock(other, guest.request())) for other in OTHERS]
                mine = peers.enter_context(guest.server.knock(GUEST, request))
            assert guests_page.rest(mine).startswith(b"HTTP/1.1 200 OK\r\n")
            for peer in waiting:
                assert guests_page.rest(peer)
        first = recorder.asked[: len(calls)]
        assert [(one["address"], one["call"]) for one in first] == [(GUEST, call) for call in calls]
        assert len(recorder.asked) == len(calls) + len(OTHERS)


def test_a_guest_who_asked_often_waits_for_no_newcomers_longer_than_three_seconds():
    """L34-V-4: fifty who are new ask again as soon as they are answered; he has asked ten times.

    Every other turn goes by waiting.
    """
    poll = SimpleNamespace(add=lambda *_words, **_more: None)
    server: Any = page_server.Server(-1, poll, lambda _until: None, lambda _address: iter(()), None)  # type: ignore[arg-type, return-value]
    look = SimpleNamespace(looks=False)

    def arrive(number: int, address: str, now: int) -> None:
        server._came += 1
        server._clients[number] = SimpleNamespace(
            address=address, number=server._came, came=now, request=look, whole=True, outbox=b"", descriptor=number
        )

    for _ in range(10):
        server._turns.count("guest")
    for number in range(50):
        arrive(number, str(number), 0)
    arrive(50, "guest", 0)
    now, told = 0, []
    for request in range(3):
        began = now
        while (chosen := server._next(now)).address != "guest":
            server._turns.taken()
            server._turns.count(chosen.address)
            now += page_server.SPACING
            arrive(chosen.descriptor, chosen.address, now)
        told.append(now - began)
        server._turns.taken()
        server._turns.count("guest")
        arrive(50, "guest", now + request)
    assert max(told) < page_server.PATIENCE, told


def test_one_terminal_holds_no_more_than_its_places_and_a_newcomer_finds_one(one_guest, recorder):
    """Fifty guests open all the connections that they can, and send nothing whole: others are answered, at once."""
    with contextlib.ExitStack() as peers:
        for other in OTHERS * 4:
            peers.enter_context(one_guest.server.knock(other, b"GET / HT"))
        assert one_guest.ask(source="127.0.7.8")[0] == "200 OK"
        with stopped(one_guest):
            for other in OTHERS:
                peers.enter_context(one_guest.server.knock(other, b"GET / HT"))
            mine = peers.enter_context(one_guest.server.knock(GUEST, one_guest.request()))
        assert guests_page.rest(mine).startswith(b"HTTP/1.1 200 OK\r\n")
    assert [one["address"] for one in recorder.asked] == ["127.0.7.8", GUEST]


HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n"


def waste(peers: contextlib.ExitStack, guest: Guest, source: str, how: str) -> None:
    """Take eight places by half requests, and use none.

    Ended in order (FIN) or not (RST), or displaced by further ones.
    """
    for _ in range(8 + (page_turns.EACH if how == "displaced" else 0)):
        peer = peers.enter_context(guest.server.knock(source, HALF))
        if how == "ended":
            peer.shutdown(socket.SHUT_WR)
            assert guests_page.rest(peer) == b""
        elif how == "reset":
            guest.ask(source="127.0.7.8")  # it is taken by now
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
    guest.ask(source="127.0.7.8")


def test_half_requests_count_whoever_ends_them(guest, recorder):
    """Who takes places and uses none stands behind a newcomer: fifty of them keep him out of none (L34-V-4)."""
    for number, how in enumerate(("ended", "reset", "displaced")):
        slow, newcomer = f"127.0.7.{50 + number}", f"127.0.7.{60 + number}"
        with contextlib.ExitStack() as peers:
            waste(peers, guest, slow, how)
            recorder.asked.clear()
            with stopped(guest):
                both = [peers.enter_context(guest.server.knock(source, guest.request())) for source in (slow, newcomer)]
            assert all(guests_page.rest(peer).startswith(b"HTTP/1.1 200 OK\r\n") for peer in both)
        assert [one["address"] for one in recorder.asked] == [newcomer, slow], how


def test_a_guest_who_hammers_is_refused_before_anything_is_done(one_guest, recorder):
    """Sixty requests, then a word; another guest's are his own. Half is forgotten each minute."""
    codes = [one_guest.saved(source="127.0.7.9")[0] for _ in range(62)]
    assert codes == ["200 OK"] * 60 + ["429 Too Many Requests"] * 2
    assert len(recorder.asked) == 60
    assert one_guest.ask()[0] == "200 OK"


def test_records_that_take_long_hold_nobody_up(one_guest, recorder):
    """One guest's records come slowly.

    Another one's page comes meanwhile, and whoever wants records too waits for his turn.
    """
    recorder.answers["access"] = [{"sealed": []}, {"records": {"security": 0}, "consents": []}]
    recorder.go_on.clear()
    see = one_guest.request(SENT + "act=see", **SAME)
    with one_guest.server.knock("127.0.7.4", see) as slow, one_guest.server.knock("127.0.7.5", see) as other:
        assert recorder.held.wait(240)
        assert one_guest.ask()[0] == "200 OK"
        assert [one["call"] for one in recorder.asked].count("access") == 1
        recorder.go_on.set()
        assert guests_page.rest(slow).startswith(b"HTTP/1.1 200 OK\r\n")
        assert guests_page.rest(other).startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_a_portal_wrote_is_only_text(guest, recorder):
    """Third parties are named by the portal: whatever stands there is no markup."""
    recorder.own([CONSENT | {"third_parties": "<script>alert(1)</script>\"'&amp;"}])
    assert "<script>alert(1)</script>\"'&amp;" in guest.ask()[2].text


def test_without_a_recorder_it_says_so(guest):
    assert guest.ask("act=suspend", **SAME)[0] == "503 Service Unavailable"
    assert "ne répond pas en ce moment" in guest.ask()[2].text


ROW = {
    "start": 1800000000, "seconds": 60, "service": "web", "protocol": "tcp",
    "address": "127.0.7.1", "source_port": 41001, "translated_port": 20012,
    "bytes_up": 1000, "bytes_down": 2000, "packets_up": 3, "packets_down": 4,
}  # fmt: skip
STAY = {"start": 1800000000, "seconds": 600, "access_point": "wlan0<b>"}


BESIDE = {  # what is held beside the stores, as agent.purposes.present tells it
    "addresses": ["127.0.7.1", "fd00:0000:0000:0000:0000:0000:0000:0007"], "portal": "Zoé <b>12",
    "ports": ["16384-16895"],
    "counting": {
        "arrival": "2027-01-15 07:50", "quarter_hours": ["03:45 UTC", "05:15 UTC"], "kib": 12,
        "services": ["web", "mail"],
    },
}  # fmt: skip


def test_a_person_sees_what_is_held_on_her_device(guest, recorder):
    """Right of access (law 78-17, L34-1 VI): how much of each purpose, the newest records.

    And what can't be read here, with its end.
    """
    recorder.answers["access"] = [
        {"sealed": [{"purpose": "attribution", "lifetime_seconds": 365 * 86400, "unseen": False}], "held": BESIDE},
        {"purpose": "location", "rows": [STAY]},
        *(
            {"purpose": "security", "rows": [ROW | {"source_port": 30000 + 20 * turn + port} for port in range(20)]}
            for turn in range(6)
        ),
        {"records": {"security": 120, "location": 1}, "consents": [], "changes": 2},
    ]
    status, _, page = guest.ask(SENT + "act=see", accept_language="en", **SAME)
    assert (status, recorder.asked[1:]) == ("200 OK", [{"v": 1, "call": "access", "address": "127.0.7.1"}])
    assert "security of the network: 120 records" in page.text
    assert "location by consent: 1 record\n" in page.text
    assert "telling devices apart: 127.0.7.1, fd00:0000:0000:0000:0000:0000:0000:0007\n" in page.text
    assert "log-in at the portal: Zoé <b>12\n" in page.text
    assert "ports given: 16384-16895\n" in page.text
    assert "guests' page: 1 recent request\n" in page.text
    asked = "asked today (to resume a consent, to take an objection back): 2\n"
    assert asked in page.text  # held under a hash of her MAC
    assert "count of visitors: 2027-01-15 07:50, 2 quarter-hours of presence, 12 KiB, web, mail\n" in page.text
    assert "requests of authorities, once sealed: the gateway can't read it; a third party alone can" in page.text
    assert page.text.count("address 127.0.7.1, local port ") == 100
    assert page.text.index("port 30119,") < page.text.index("port 30020,")
    assert "port 30019," not in page.text
    assert "all of them are in the file" in page.text
    later = [STAY | {"start": 1800009000}, {"start": 1800010000, "access_point": "wlan1", "going_on": True}]
    session = {
        "start": 1800008000,
        "seconds": 7,
        "portal_user": "Zoé <b>",
        "bytes_up": 1,
        "bytes_down": 2,
        "going_on": True,
    }
    holding = {"start": 1800007000, "address": "fd00::7", "public_address": "fd00::7", "translated_port": "0-65535"}
    recorder.answers["access"] = [
        {
            "sealed": [
                {"purpose": "billing", "lifetime_seconds": 86400, "unseen": False},
                {"purpose": "attribution", "lifetime_seconds": 86400, "unseen": False},
            ],
            "held": {},
        },
        {"purpose": "location", "rows": later},
        *({"purpose": "security", "rows": [ROW] * 20} for _ in range(6)),
        {"purpose": "billing", "rows": [session]},
        {"purpose": "attribution", "rows": [holding]},
        {"records": {"security": 120, "location": 2, "billing": 1, "attribution": 1}, "consents": []},
    ]
    text = guest.ask(SENT + "act=see", accept_language="fr", **SAME)[2].text
    told = [
        "localisation avec accord\u202f: 15 janvier 2027, 10:46:40 UTC, toujours en cours, point d'accès wlan1\n",
        "localisation avec accord\u202f: 15 janvier 2027, 10:30:00 UTC, 600 s, point d'accès wlan0<b>\n",
        (
            "facturation\u202f: 15 janvier 2027, 10:13:20 UTC, 7 s, toujours en cours, identifiant au portail Zoé <b>, "
            "octets envoyés et reçus\u202f: 1, 2\n"
        ),
        (
            "demandes des autorités\u202f: 15 janvier 2027, 09:56:40 UTC, adresse fd00::7, "
            "adresse côté internet fd00::7, port côté internet 0-65535\n"
        ),
        (
            "sécurité du réseau\u202f: 15 janvier 2027, 08:00:00 UTC, 60 s, tcp, web, adresse 127.0.7.1, "
            "port local 41001, port côté internet 20012, octets envoyés et reçus\u202f: 1000, 2000, "
            "paquets\u202f: 3, 4\n"
        ),
    ]  # the newest first, of whatever purpose
    assert "demandes du jour" not in text
    assert [*map(text.index, told)] == sorted(map(text.index, told))
    assert "facturation, avant scellement\u202f: 1 enregistrement\n" in text
    assert "facturation, après scellement\u202f: la borne ne peut pas lire ces données" in text
    assert "facturation\u202f: la" not in text
    one = {
        "counting": {"arrival": "2027-01-15 07:50 UTC", "quarter_hours": ["03:45 UTC"], "kib": 0, "services": []},
        "addresses": ["127.0.7.1 (02:00:00:00:00:01, 2027-01-01 07:50:00 UTC)", "127.0.7.2"],
        "portal": "Zoé 12-13-01 2027-01-16 (2027-01-15 09:00:01 - 2027-01-16 09:00:02 UTC)",
    }
    recorder.answers["access"] = [
        {"sealed": [], "held": one},
        {"purpose": "location", "rows": [STAY]},
        {"records": {"location": 1}},
    ]
    _, _, page = guest.ask(SENT + "act=see&lang=fr", **SAME)
    assert "15 janvier 2027, 08:00:00 UTC, 600 s, point d'accès wlan0<b>" in page.text
    assert "localisation avec accord\u202f: 1 enregistrement\n" in page.text
    assert (
        "comptage des visiteurs\u202f: 15 janvier 2027 à 07:50 UTC, 1 quart d'heure de présence, 0 Kio\n" in page.text
    )
    since = "(02:00:00:00:00:01, 1er janvier 2027 à 07:50:00 UTC)"
    assert f"reconnaissance des appareils\u202f: 127.0.7.1 {since}, 127.0.7.2\n" in page.text
    assert (
        "connexion au portail\u202f: Zoé 12-13-01 2027-01-16 (15 janvier 2027 à 09:00:01 - 16 janvier 2027 à 09:00:02 "
        "UTC)\n" in page.text
    )
    assert "b" not in {tag for tag, _ in page.tags}
    for said, shown in (
        ([{"error": "somebody else is looking; accepted: again in a moment"}], "Trop de demandes"),
        (
            [{"sealed": []}, {"error": "security changed while it was read; accepted: once more"}],
            "n'a pas pu être fait",
        ),
        ([{"sealed": []}], "Trop de demandes"),  # it ended before its end
        (
            [{"error": "address: nobody on the LAN is known to hold it; accepted: a terminal's present address"}],
            "n'est pas reconnu",
        ),
    ):
        recorder.answers["access"] = said
        status, _, page = guest.ask(SENT + "act=see", **SAME)
        assert status == "503 Service Unavailable"
        assert shown in page.text
    # Another site can't have it shown, or asked for.
    recorder.asked.clear()
    for source in ({}, {"origin": "http://evil.example"}):
        assert guest.ask(SENT + "act=see", **source)[0] == "403 Forbidden"
    guest.ask(query="act=see")
    assert "access" not in [one["call"] for one in recorder.asked]


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_store_that_nobody_can_see_is_told_of_as_the_notice_does(guest, recorder, language):
    """L34-VI-4: its medium is away, or root's note of it is damaged; on the page, in the look, after an erasure."""
    at, store = words.LANGUAGES.index(language), ["billing", 30 * 86400]
    told = words.typeset(words.UNSEEN[at], language)
    for unseen in (True, False):
        recorder.own([], [[*store, unseen]])
        recorder.answers["access"] = [
            {"sealed": [{"purpose": store[0], "lifetime_seconds": store[1], "unseen": unseen}], "held": {}},
            {"records": {}, "consents": []},
        ]
        erased = {"withdrawn": 0, "destroyed": 0, "durable": True, "sealed": [[*store, unseen]]}
        recorder.answers["erase terminal"] = erased
        recorder.answers["erase state"] = {"erasing": False}
        begun = words.PURPOSES["billing"][at] + (", après scellement\u202f: ", ", once sealed: ")[at] + told
        for act, row in (("", words.PURPOSES["billing"][at] + ", " + told), ("see", begun), ("erase", begun)):
            asked = (f"{SENT}act={act}&lang={language}",) if act else ()
            text = guest.ask(*asked, accept_language=language, **SAME)[2].text
            assert (row in text) == unseen, act
            assert ("30 jours", "30 days")[at] in text, act
            answered = ("seul un tiers peut les ouvrir", "a third party alone can open it")[at] in text
            assert answered == (not unseen and act != ""), act  # nothing can be handed over meanwhile


def test_a_person_saves_what_is_held_on_her_device_as_a_file(guest, recorder):
    """Portability (GDPR art. 20): every record, sealed stores with their end, consents.

    JSON, and its end says whether it is all of it.
    """
    recorder.answers["access"] = [
        {
            "sealed": [{"purpose": "attribution", "lifetime_seconds": 365 * 86400, "unseen": False}],
            "held": BESIDE,
            "clock": "floor",
        },
        {"purpose": "location", "rows": [STAY]},
        {"purpose": "security", "rows": [ROW, ROW | {"source_port": 1}]},
        {"records": {"security": 2, "location": 1}, "consents": [CONSENT], "objects": True, "changes": 2, "on": []},
    ]
    save = SENT + "act=export"
    status, head, text = guest.saved(save, **SAME)
    assert status == "200 OK"
    assert head["Content-Type"] == "application/json"
    assert head["Content-Disposition"] == 'attachment; filename="oubli.json"'
    assert head["Cache-Control"] == "no-store"
    assert json.loads(text) == {
        "clock": "floor",  # nobody had confirmed these times
        "sealed": [{"purpose": "attribution", "lifetime_seconds": 365 * 86400, "unseen": False}],
        "held": BESIDE | {"page": {"requests": 1}},
        "records": [
            row | {"purpose": name}
            for row, name in ((STAY, "location"), (ROW, "security"), (ROW | {"source_port": 1}, "security"))
        ],
        "consents": [CONSENT],
        "on": [],
        "objects": True,
        "changes": 2,
        "complete": True,
    }
    recorder.answers["access"] = [{"sealed": []}, {"error": "security changed while it was read; accepted: once more"}]
    assert "complete" not in guest.saved(save, **SAME)[2]
    for said, status in (
        ([{"error": "somebody else is looking"}], "503 Service Unavailable"),
        ([{"error": "too many calls"}], "429 Too Many Requests"),
    ):
        recorder.answers["access"] = said
        told, head, text = guest.saved(save, **SAME)
        assert (told, head["Content-Type"]) == (status, "text/html; charset=utf-8")
        well_formed(text)


def test_a_person_has_what_is_kept_on_her_device_erased(guest, recorder):
    """L34-VI-5: whether it goes on is said, and what is sealed until its end."""
    erased = {"withdrawn": 1, "destroyed": 2, "durable": True, "sealed": [["billing", 30 * 86400, False]]}
    for state, on in (({"erasing": True}, True), ({"erasing": False}, False), ({"error": "no"}, True)):
        recorder.answers["erase terminal"], recorder.answers["erase state"] = erased, state
        status, _, page = guest.ask(SENT + "act=erase&lang=en", **SAME)
        assert status == "200 OK"
        assert (
            "This isn't erased before its end, sealed or not:\n\nbilling, once sealed: the gateway can't read it"
            in page.text
        )
        assert "kept of connections whose end the gateway learns of later, stands below.\n" in page.text
        assert "at the latest 30 days after the end" in page.text
        assert ("The erasure takes some minutes" in page.text) == on
        assert ("If the gateway or its software restarts before, ask again." in page.text) == on
    assert {"v": 1, "call": "erase terminal", "address": "127.0.7.1"} in recorder.asked
    recorder.answers["erase terminal"] = erased | {"sealed": []}
    for day, objects in ((True, ()), (True, (1800000000, 1834000000)), (False, ())):
        recorder.own([CONSENT], day=day, objects=objects)
        text = guest.ask(SENT + "act=erase&lang=en", **SAME)[2].text
        assert "This isn't erased" not in text
        stays = (
            'Your device\'s row in the count of visitors, if it has one, stays; "Stop counting your device" erases it.'
        )
        assert (stays in text) == (day and not objects)
    recorder.own([CONSENT])
    recorder.answers["consent own"] |= {"counted": False, "unreadable": True}  # flash refuses an objection: no button
    assert stays not in guest.ask(SENT + "act=erase&lang=en", **SAME)[2].text


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_who_objects_reads_of_consents_only_where_there_are_some(guest, recorder, language):
    """L34-VI-4, L34-VI-5: what the page says of consents, of a suspended one, and of an unconfirmed clock."""
    at = words.LANGUAGES.index(language)
    applied = ("Aucun accord de votre part n'est appliqué.", "No consent of yours is applied.")[at]
    stays = ("Un accord suspendu le reste", "A consent that was suspended stays so")[at]
    holds = ("un refus vaut, mais aucun accord n'est appliqué", "a refusal holds, but no consent is applied")[at]
    asked = ("des demandes sur des données scellées", "requests for sealed data")[at]
    recorder.answers |= {
        "objection": {"objected": 1, "durable": True},
        "objection end": {"accepted": 1, "durable": True},
    }
    for consents, on in (([], ()), ([], ("services",)), ([CONSENT | {"state": "suspended"}], ("services",))):
        recorder.own(consents, objects=(1800000000, 1834000000), on=on)
        for beside in (["addresses", "page"], ["addresses", "requests", "page"]):
            recorder.answers["consent own"]["beside"] = beside
            text = guest.ask(f"{SENT}act=object&lang={language}", **SAME)[2].text
            assert (applied in text, holds in text) == (bool(consents or on), bool(consents))
            assert (words._UNCONFIRMED[at] in text, asked in text) == (True, "requests" in beside)
        text = guest.ask(f"token={UNDOES}&act=accept&lang={language}", **SAME)[2].text
        assert (stays in text) == bool(consents)
    recorder.own([], on=())
    recorder.answers["consent own"]["beside"] = ["addresses", "page"]
    assert words._UNCONFIRMED[at] not in guest.ask(f"{SENT}act=object&lang={language}", **SAME)[2].text


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_is_off_and_still_kept_is_said_to_grow_no_more(guest, recorder, language):
    """L34-VI-4: on the page, which after an erasure then tells of nothing that may be kept of what ends later."""
    at = words.LANGUAGES.index(language)
    recorder.answers["erase terminal"] = {"withdrawn": 0, "destroyed": 0, "durable": True, "sealed": []}
    recorder.answers["erase state"] = {"erasing": False}
    for over in ((), ("attribution",), tuple(str(one[0]) for one in KEPT)):
        recorder.own([], over=over)
        text = guest.ask(f"{SENT}act=erase&lang={language}", **SAME)[2].text
        lines = [line for line in text.split("\n") if words.OVER[at].strip(" ;") in line.replace("\u202f", " ")]
        assert [words.PURPOSES[name][at] for name in over] == [line.split(",")[0] for line in lines]
        later = ("dont la borne apprend la fin ensuite.", "whose end the gateway learns of later, stands below")[at]
        assert (later in text) == (len(over) < len(KEPT))


@pytest.mark.parametrize("kept", [KEPT, KEPT[1:], []])
@pytest.mark.parametrize("withdrawn", [0, 1])
def test_an_erasure_says_just_what_it_does(guest, recorder, withdrawn, kept):
    """L34-V-3, GDPR 17: that the consent went with it; that it lasts only where there is something that lasts."""
    recorder.own([CONSENT] * withdrawn, kept=kept)
    recorder.answers["erase terminal"] = {"withdrawn": withdrawn, "destroyed": 0, "durable": True, "sealed": []}
    recorder.answers["erase state"] = {"erasing": True}
    text = guest.ask(f"{SENT}act=erase", **SAME)[2].text
    assert "Votre demande d'effacement a été prise en compte." in text
    gone = "Votre accord est retiré\u202f: ce que la borne avait conservé avec lui est illisible."
    assert (gone in text) == (withdrawn > 0)
    assert ("L'effacement prend quelques minutes" in text) == (kept is KEPT)
    assert "Voyez plus bas ce qui reste conservé" in text
    assert ("ce qui peut l'être des connexions dont la borne apprend la fin ensuite." in text) == (kept != [])


def test_every_field_of_a_record_is_shown_in_both_languages(guest, recorder):
    """L34-VI-4: what `security` keeps stands on the page, in the words of its language."""
    recorder.answers["access"] = [
        {"sealed": []},
        {"purpose": "security", "rows": [ROW]},
        {"records": {"security": 1}, "consents": []},
    ]
    for language, line in (
        ("fr", ("15 janvier 2027, 08:00:00 UTC, 60 s, tcp, web, adresse 127.0.7.1, port local 41001, "
         "port côté internet 20012, octets envoyés et reçus\u202f: 1000, 2000, paquets\u202f: 3, 4")),
        ("en", ("2027-01-15, 08:00:00 UTC, 60 s, tcp, web, address 127.0.7.1, local port 41001, "
         "internet-side port 20012, bytes sent and received: 1000, 2000, packets: 3, 4")),
    ):  # fmt: skip
        _, _, page = guest.ask(SENT + "act=see&lang=" + language, **SAME)
        assert line in page.text


def test_the_page_is_where_everybody_says_that_it_is():
    """One port: the page's own, doctor's, the kernel's limit, notice and document of a consent."""
    assert page_server.PORT == service.PAGE
    common = PROJECT / "boards/common"
    assert f"tcp dport {page_server.PORT} " in (common / "usr/share/oubli/page.nft").read_text()
    named: Any = SimpleNamespace(notice=SimpleNamespace(page="{}"))
    for text in (notice.address(named, 0), *(one["page"] for one in texts._HEAD.values())):
        assert f"http://{{}}:{page_server.PORT}/" in text
