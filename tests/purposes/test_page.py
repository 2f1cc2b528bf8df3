# SPDX-License-Identifier: Apache-2.0
"""The page on which the person at a terminal suspends, resumes or withdraws (L34-V-3, L34-V-4), by the CGI contract.

uhttpd hands a request over as environment and standard input (its proc.c) and reads status, headers and page from standard output.
The recorder behind it is a stand-in that says what it was asked.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from agent.runtime import sockets
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

HERE = {"REMOTE_ADDR": "192.168.1.10", "SERVER_ADDR": "192.168.1.1", "HTTP_HOST": "192.168.1.1:8450"}
TOKEN = "abcdefghijklmnop" * 2
SENT = f"token={TOKEN}&"
SAME = {"HTTP_ORIGIN": "http://192.168.1.1:8450"}
CONSENT = {
    "number": 3, "state": "active", "since": 1800000000, "end": 1800086400, "purposes": ["services", "location"],
    "categories": ["connections", "access-point"], "text": "00", "third_parties": "none", "withdrawn": [],
}  # fmt: skip
KEPT = [["security", 86400], ["attribution", 365 * 86400]]
VOID = {"meta", "input", "link"}


class Well(HTMLParser):
    """Reads a page; every element is closed in order, and what it holds is noted."""

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
        self.text += data

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
        self.own([CONSENT])
        self._listener = sockets.unix_server(str(root / "var/run/oubli/control/socket"), 0o666)
        os.set_blocking(self._listener, True)
        threading.Thread(target=self._serve, daemon=True).start()

    def own(self, consents: list[dict], kept: list[list] = KEPT, *, counted: bool = True, objects: bool = False) -> None:
        self.answers["consent own"] = {"consents": consents, "kept": kept, "counted": counted, "objects": objects, "token": TOKEN}

    def _serve(self) -> None:
        listener = socket.socket(fileno=self._listener)
        while True:
            peer, _ = listener.accept()
            with peer, peer.makefile("rwb") as stream:
                request = json.loads(stream.readline())
                self.asked.append(request)
                said = self.answers.get(request["call"], {"error": "no"})
                if self.busy:
                    self.busy, said = self.busy - 1, {"error": "too many at once; accepted: 4 of a user, 8 in all"}
                for line in said if isinstance(said, list) else [said]:
                    stream.write(json.dumps({"v": 1} | line).encode() + b"\n")


@pytest.fixture
def recorder(tmp_path):
    """Give a stand-in for the recorder."""
    return Recorder(tmp_path)


def ask(interpreter, root: Path, body: str = "", **environment: str) -> tuple[str, dict[str, str], Well]:
    """Make one request; returns status, headers and page."""
    variables = {**HERE, "REQUEST_METHOD": "GET", "CONTENT_LENGTH": str(len(body)), **environment}
    done = interpreter.run("-m", "agent", "page", "--root", root, input=body, env=variables)
    head, _, page = done.stdout.decode("ascii").partition("\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.split("\r\n"))
    return lines.pop("Status"), lines, well_formed(page)


def test_the_page_shows_what_its_own_terminal_agreed_to(interpreter, recorder, tmp_path):
    """In the language asked for; the terminal is the web server's word for who asks, and nothing else."""
    status, headers, page = ask(interpreter, tmp_path, HTTP_ACCEPT_LANGUAGE="en-GB,en", QUERY_STRING="address=192.168.1.99")
    assert status == "200 OK"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert recorder.asked == [{"v": 1, "call": "consent own", "address": "192.168.1.10"}]
    assert "services that you consented to, location that you consented to: in force until 2027-01-16, passed on to: nobody" in page.text
    assert "security of the network, at most 24 hours" in page.text
    assert {values.get("value") for tag, values in page.tags if tag == "input" and values["name"] == "token"} == {TOKEN}
    both = ["withdraw", "withdraw", "withdraw"]  # each purpose by itself, and all of it
    assert page.acts() == ["suspend", *both, "object", "see", "export", "erase"]
    assert [values["value"] for tag, values in page.tags if tag == "input" and values["name"] == "purpose"] == CONSENT["purposes"]
    _, _, page = ask(interpreter, tmp_path, HTTP_ACCEPT_LANGUAGE="fr")
    agreed = "les services auxquels vous avez consenti, la localisation à laquelle vous avez consenti"
    assert f"{agreed}\u202f: en vigueur jusqu'au 16 janvier 2027, transmis à\u202f: personne" in page.text
    assert "Retirer votre accord, et effacer ce qui a été conservé avec lui" in page.text
    assert "Retirer seulement\u202f: les services auxquels vous avez consenti" in page.text
    recorder.own([CONSENT | {"state": "suspended"}])
    assert ask(interpreter, tmp_path)[2].acts() == ["resume", *both, "object", "see", "export", "erase"]
    recorder.own([CONSENT | {"state": "suspended", "purposes": ["location"], "withdrawn": ["services"]}], objects=True)
    _, _, page = ask(interpreter, tmp_path)
    assert page.acts() == ["withdraw", "accept", "see", "export", "erase"]  # while it objects it isn't followed by a consent either
    assert "les services auxquels vous avez consenti\u202f: retiré" in page.text
    assert "n'est pas compté" in page.text
    assert "comptage" not in page.text
    recorder.own([CONSENT | {"state": "withdrawn"}])
    _, _, page = ask(interpreter, tmp_path)
    assert page.acts() == ["object", "see", "export", "erase"]
    assert "retiré le 15 janvier 2027" in page.text
    recorder.own([], [], counted=False)
    _, _, page = ask(interpreter, tmp_path)
    assert page.acts() == ["see", "export", "erase"]
    assert "Aucun accord n'est enregistré" in page.text
    assert "Rien n'est conservé" not in page.text
    assert "quelle adresse IP locale a votre appareil\u202f: en mémoire vive, tant qu'il l'utilise" in page.text
    assert re.search(r"(?<!\u202f)[;:!?](?!\d)", page.text.rsplit("}", 1)[1]) is None


def test_what_goes_on_after_a_suspension_or_a_withdrawal_is_said(interpreter, recorder, tmp_path):
    """L34-VI-4: each purpose that needs no consent, with its time, the count, and the proof of the consent."""
    for act, word, said in (
        ("suspend", "suspended", "rien n'est plus conservé avec lui"),
        ("withdraw", "withdrawn", "ce qui avait été conservé avec lui est illisible"),
    ):
        recorder.answers["consent " + act] = {word: 1, "durable": True}
        _, _, page = ask(interpreter, tmp_path, f"{SENT}act={act}", REQUEST_METHOD="POST", **SAME)
        assert said in page.text
        for left in (
            "la sécurité du réseau, au plus 24 heures",
            "la réponse aux autorités, au plus 365 jours",
            "comptage anonyme",
            "La preuve",
        ):
            assert left in page.text


@pytest.mark.parametrize(
    ("act", "call", "word", "said"),
    [
        ("suspend", "consent suspend", "suspended", "is suspended"),
        ("resume", "consent resume", "resumed", "is in force again"),
        ("withdraw", "consent withdraw", "withdrawn", "is withdrawn"),
        ("object", "objection", "objected", "is counted no more"),
        ("accept", "objection end", "accepted", "is counted again"),
    ],
)
def test_one_click_does_it(act, call, word, said, interpreter, recorder, tmp_path):
    """L34-V-3, L34-V-4, L34-VI-5: one call, no account, no script."""
    recorder.answers[call] = {word: 1, "durable": True}
    status, _, page = ask(interpreter, tmp_path, f"{SENT}lang=en&act={act}&purpose=services", REQUEST_METHOD="POST", **SAME)
    assert status == "200 OK"
    asked = {"v": 1, "call": call, "address": "192.168.1.10"}
    assert recorder.asked[1] == asked | ({"purpose": "services"} if act == "withdraw" else {})
    assert said in page.text
    recorder.answers[call]["durable"] = False
    assert "isn't on durable memory yet" in ask(interpreter, tmp_path, f"{SENT}lang=en&act={act}", REQUEST_METHOD="POST", **SAME)[2].text
    del recorder.answers[call]
    assert ask(interpreter, tmp_path, f"{SENT}act={act}", REQUEST_METHOD="POST", **SAME)[0] == "503 Service Unavailable"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("too many calls; accepted: 6 a second of a terminal", "429 Too Many Requests", "Others are being answered"),
        ("changed 5 times today; accepted: tomorrow", "429 Too Many Requests", "come back tomorrow"),
        ("flash refuses: it stays suspended", "503 Service Unavailable", "could not be done"),
    ],
)
def test_why_something_was_not_done_is_said(error, status, said, cpython, recorder, tmp_path):
    recorder.answers["consent resume"] = {"error": error}
    answered, _, page = ask(cpython, tmp_path, f"{SENT}lang=en&act=resume", REQUEST_METHOD="POST", **SAME)
    assert (answered, said in page.text) == (status, True)


def test_others_who_are_being_answered_are_waited_for(interpreter, recorder, tmp_path):
    """The recorder's places are few; whoever finds none tries again, for three seconds in all."""
    recorder.busy = 3
    assert "Vos données" in ask(interpreter, tmp_path)[2].text
    assert [one["call"] for one in recorder.asked] == ["consent own"] * 4
    recorder.busy = 10**6
    status, _, page = ask(interpreter, tmp_path)
    assert (status, "D'autres demandes sont en cours" in page.text) == ("429 Too Many Requests", True)


@pytest.mark.parametrize(
    ("environment", "body", "status"),
    [
        ({"HTTP_ORIGIN": "http://evil.example"}, "act=withdraw", "403 Forbidden"),
        ({"HTTP_ORIGIN": "http://evil.example"}, SENT + "act=withdraw", "403 Forbidden"),  # even with a token that it found out
        ({"HTTP_ORIGIN": "null"}, "act=resume", "403 Forbidden"),
        ({"HTTP_REFERER": "http://192.168.1.1:8450.evil.example/"}, "act=resume", "403 Forbidden"),
        ({}, "act=suspend", "403 Forbidden"),
        ({"HTTP_ORIGIN": "http://", "HTTP_HOST": ""}, "act=resume", "403 Forbidden"),
        (SAME, "act=grant", "400 Bad Request"),
        (SAME, "act=suspend%00", "400 Bad Request"),
        (SAME, "act=<script>", "400 Bad Request"),
        (SAME, "", "400 Bad Request"),
        (SAME | {"CONTENT_LENGTH": "99999999"}, "act=suspend", "400 Bad Request"),
        (SAME | {"CONTENT_LENGTH": "-1"}, "act=suspend", "400 Bad Request"),
        (SAME | {"REMOTE_ADDR": "192.168.1.10; reboot"}, "act=suspend", "400 Bad Request"),
        (SAME | {"REMOTE_ADDR": ""}, "act=suspend", "400 Bad Request"),
        ({"REQUEST_METHOD": "GET", "QUERY_STRING": SENT + "act=withdraw", **SAME}, "", "200 OK"),
        (SAME, "act=withdraw&token=" + "a" * 32, "403 Forbidden"),
        (SAME, "act=withdraw&token=", "403 Forbidden"),
        (SAME, "act=see", "403 Forbidden"),
        # A name of somebody else's that leads here (DNS rebinding): its page is no page of ours.
        ({"HTTP_HOST": "evil.example:8450", "HTTP_ORIGIN": "http://evil.example:8450"}, SENT + "act=withdraw", "403 Forbidden"),
        ({"HTTP_HOST": "evil.example:8450", "REQUEST_METHOD": "GET"}, "", "403 Forbidden"),
        ({"HTTP_HOST": "192.168.1.2", "REQUEST_METHOD": "GET"}, "", "403 Forbidden"),
        ({"HTTP_HOST": "", "REQUEST_METHOD": "GET"}, "", "403 Forbidden"),
    ],
)
def test_another_sites_page_or_a_strange_request_changes_nothing(environment, body, status, cpython, recorder, tmp_path):
    """Only a POST from a page of this host does anything (a form on another site can't), and nothing of a request is shown."""
    answered, _, page = ask(cpython, tmp_path, body, **{"REQUEST_METHOD": "POST", **environment})
    assert answered == status
    assert not any(one["call"] != "consent own" for one in recorder.asked)
    assert not any(word in page.text for word in ("evil", "reboot", "grant", "%00"))


@pytest.mark.usefixtures("recorder")
def test_the_page_answers_to_its_address_and_to_its_name(interpreter, tmp_path):
    """IPv6 with and without a zone, letters of either size, and the name that the configuration gives it."""
    for host, server in (("[FE80::1]:8450", "fe80::1%br-lan"), ("[fd00::1]", "fd00:0:0::1"), ("192.168.1.1", "192.168.1.1")):
        assert ask(interpreter, tmp_path, HTTP_HOST=host, SERVER_ADDR=server)[0] == "200 OK"
    (tmp_path / "etc/config").mkdir(parents=True)
    (tmp_path / "etc/config/oubli").write_text(
        "config gateway\n option id 'aaaaaaaaaaaaaaaa'\nconfig notice\n option page 'wifi.example.org'\n"
    )
    assert ask(interpreter, tmp_path, HTTP_HOST="WiFi.example.org:8450")[0] == "200 OK"
    for host in ("wifi.example.org.evil.example", "evil.example", "wifi.example.org@evil.example", "[fd00::1"):
        assert ask(interpreter, tmp_path, HTTP_HOST=host)[0] == "403 Forbidden"


@pytest.mark.usefixtures("recorder")
def test_a_body_that_does_not_come_is_given_up(micropython, tmp_path):
    """It would hold one of the web server's few places: after 3 s the request is answered as it stands."""
    variables = {**os.environ, **HERE, **SAME, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "11"}
    command = micropython.command("-m", "agent", "page", "--root", tmp_path)
    with subprocess.Popen(command, cwd=PROJECT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"act=s")
        process.stdin.flush()
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"Status: 400 Bad Request\r\n")


def test_a_referer_of_this_host_is_enough_and_the_length_is_waited_for(micropython, recorder, tmp_path):
    recorder.answers["consent suspend"] = {"suspended": 1}
    assert ask(micropython, tmp_path, SENT + "act=suspend", REQUEST_METHOD="POST", HTTP_REFERER="http://192.168.1.1:8450/")[0] == "200 OK"
    variables = {**os.environ, **HERE, **SAME, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(SENT) + 11)}
    command = micropython.command("-m", "agent", "page", "--root", tmp_path)
    with subprocess.Popen(command, cwd=PROJECT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        for part in (SENT.encode(), b"act=", b"sus", b"pend"):
            process.stdin.write(part)
            process.stdin.flush()
        out, _ = process.communicate(timeout=240)
    assert out.startswith(b"Status: 200 OK\r\n")


def test_what_a_portal_wrote_is_only_text(interpreter, recorder, tmp_path):
    """Third parties are named by the portal: whatever stands there is no markup."""
    recorder.own([CONSENT | {"third_parties": "<script>alert(1)</script>\"'&amp;"}])
    assert "<script>alert(1)</script>\"'&amp;" in ask(interpreter, tmp_path)[2].text


def test_without_a_recorder_it_says_so(interpreter, tmp_path):
    assert ask(interpreter, tmp_path, "act=suspend", REQUEST_METHOD="POST", **SAME)[0] == "503 Service Unavailable"
    assert "ne répond pas en ce moment" in ask(interpreter, tmp_path)[2].text


ROW = {
    "start": 1800000000, "seconds": 60, "service": "web", "protocol": "tcp", "address": "192.168.1.10", "source_port": 41001,
    "translated_port": 20012, "bytes_up": 1000, "bytes_down": 2000, "packets_up": 3, "packets_down": 4,
}  # fmt: skip
STAY = {"start": 1800000000, "seconds": 600, "access_point": "wlan0<b>"}


def test_a_person_sees_what_is_held_on_her_device(interpreter, recorder, tmp_path):
    """Right of access (law 78-17, L34-1 VI): how much of each purpose, the newest records, what can't be read here and its end."""
    recorder.answers["access"] = [
        {"sealed": [{"purpose": "attribution", "lifetime_seconds": 365 * 86400}]},
        {"purpose": "location", "rows": [STAY]},
        *({"purpose": "security", "rows": [ROW | {"source_port": 30000 + 20 * turn + port} for port in range(20)]} for turn in range(6)),
        {"records": {"security": 120, "location": 1}, "consents": []},
    ]
    status, _, page = ask(interpreter, tmp_path, SENT + "act=see", REQUEST_METHOD="POST", HTTP_ACCEPT_LANGUAGE="en", **SAME)
    assert (status, recorder.asked[1:]) == ("200 OK", [{"v": 1, "call": "access", "address": "192.168.1.10"}])
    assert "security of the network: 120 records" in page.text
    assert "location that you consented to: 1 record\n" in page.text
    assert "answers to authorities: sealed: the gateway can't read it; a third party answers for it" in page.text
    assert page.text.count("address 192.168.1.10, port ") == 100
    assert page.text.index("port 30119,") < page.text.index("port 30020,")
    assert "port 30019," not in page.text
    assert "all of them are in the file" in page.text
    recorder.answers["access"] = [{"sealed": []}, {"purpose": "location", "rows": [STAY]}, {"records": {"location": 1}, "consents": []}]
    _, _, page = ask(interpreter, tmp_path, SENT + "act=see&lang=fr", REQUEST_METHOD="POST", **SAME)
    assert "15 janvier 2027, 08:00:00 UTC, 600 s, point d'accès wlan0<b>" in page.text
    assert "la localisation à laquelle vous avez consenti\u202f: 1 enregistrement\n" in page.text
    assert "b" not in {tag for tag, _ in page.tags}
    for said, shown in (
        ([{"error": "somebody else is looking; accepted: again in a moment"}], "D'autres demandes"),
        ([{"sealed": []}, {"error": "security changed while it was read; accepted: once more"}], "n'a pas pu être fait"),
        ([{"sealed": []}], "D'autres demandes"),  # it ended before its end
        ([{"error": "address: nobody on the LAN is known to hold it; accepted: a terminal's present address"}], "n'est pas reconnu"),
    ):
        recorder.answers["access"] = said
        status, _, page = ask(interpreter, tmp_path, SENT + "act=see", REQUEST_METHOD="POST", **SAME)
        assert status == "503 Service Unavailable"
        assert shown in page.text
    # Another site can't have it shown, or asked for.
    recorder.asked.clear()
    for source in ({}, {"HTTP_ORIGIN": "http://evil.example"}):
        assert ask(interpreter, tmp_path, SENT + "act=see", REQUEST_METHOD="POST", **source)[0] == "403 Forbidden"
    ask(interpreter, tmp_path, QUERY_STRING="act=see")
    assert "access" not in [one["call"] for one in recorder.asked]


def test_a_person_saves_what_is_held_on_her_device_as_a_file(interpreter, recorder, tmp_path):
    """Portability (GDPR art. 20): every record, sealed stores with their end, consents; JSON, and its end says whether it is all of it."""
    recorder.answers["access"] = [
        {"sealed": [{"purpose": "attribution", "lifetime_seconds": 365 * 86400}]},
        {"purpose": "location", "rows": [STAY]},
        {"purpose": "security", "rows": [ROW, ROW | {"source_port": 1}]},
        {"records": {"security": 2, "location": 1}, "consents": [CONSENT]},
    ]
    head, text = saved(interpreter, tmp_path)
    assert head["Status"] == "200 OK"
    assert head["Content-Type"] == "application/json"
    assert head["Content-Disposition"] == 'attachment; filename="oubli.json"'
    assert head["Cache-Control"] == "no-store"
    assert json.loads(text) == {
        "sealed": [{"purpose": "attribution", "lifetime_seconds": 365 * 86400}],
        "records": [
            row | {"purpose": name} for row, name in ((STAY, "location"), (ROW, "security"), (ROW | {"source_port": 1}, "security"))
        ],
        "consents": [CONSENT],
        "complete": True,
    }
    recorder.answers["access"] = [{"sealed": []}, {"error": "security changed while it was read; accepted: once more"}]
    assert "complete" not in saved(interpreter, tmp_path)[1]
    for said, status in (
        ([{"error": "somebody else is looking"}], "503 Service Unavailable"),
        ([{"error": "too many calls"}], "429 Too Many Requests"),
    ):
        recorder.answers["access"] = said
        head, text = saved(interpreter, tmp_path)
        assert (head["Status"], head["Content-Type"]) == (status, "text/html; charset=utf-8")
        well_formed(text)


def saved(interpreter, root: Path) -> tuple[dict[str, str], str]:
    """Return the headers and the text of the file."""
    body = SENT + "act=export"
    variables = {**HERE, **SAME, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}
    done = interpreter.run("-m", "agent", "page", "--root", root, input=body, env=variables)
    head, _, text = done.stdout.decode("ascii").partition("\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.split("\r\n")), text


def test_a_person_has_what_is_kept_on_her_device_erased(interpreter, recorder, tmp_path):
    """L34-VI-5: whether it goes on is said, and what is sealed until its end."""
    erased = {"withdrawn": 1, "destroyed": 2, "durable": True, "sealed": [["billing", 30 * 86400]]}
    for state, on in (({"erasing": True}, True), ({"erasing": False}, False), ({"error": "no"}, True)):
        recorder.answers["erase terminal"], recorder.answers["erase state"] = erased, state
        status, _, page = ask(interpreter, tmp_path, SENT + "act=erase&lang=en", REQUEST_METHOD="POST", **SAME)
        assert status == "200 OK"
        assert "billing: sealed: the gateway can't read it" in page.text
        assert "at the latest after 30 days" in page.text
        assert ("The erasure goes on" in page.text) == on
    assert {"v": 1, "call": "erase terminal", "address": "192.168.1.10"} in recorder.asked
    recorder.answers["erase terminal"] = erased | {"sealed": []}
    assert "The law has this kept" not in ask(interpreter, tmp_path, SENT + "act=erase&lang=en", REQUEST_METHOD="POST", **SAME)[2].text


def test_every_field_of_a_record_is_shown_in_both_languages(interpreter, recorder, tmp_path):
    """L34-VI-4: what `security` keeps stands on the page, in the words of its language."""
    recorder.answers["access"] = [{"sealed": []}, {"purpose": "security", "rows": [ROW]}, {"records": {"security": 1}, "consents": []}]
    for language, line in (
        ("fr", ("15 janvier 2027, 08:00:00 UTC, 60 s, tcp, web, adresse 192.168.1.10, port 41001, port public 20012, "
         "octets envoyés et reçus\u202f: 1000, 2000, paquets\u202f: 3, 4")),
        ("en", ("2027-01-15, 08:00:00 UTC, 60 s, tcp, web, address 192.168.1.10, port 41001, public port 20012, "
         "bytes sent and received: 1000, 2000, packets: 3, 4")),
    ):  # fmt: skip
        _, _, page = ask(interpreter, tmp_path, SENT + "act=see&lang=" + language, REQUEST_METHOD="POST", **SAME)
        assert line in page.text


def test_the_static_page_leads_to_the_handler():
    """It is what a portal links to; the handler ships executable beside it."""
    page = well_formed((PROJECT / "boards/common/www/oubli/index.html").read_text())
    links = [values["href"] for tag, values in page.tags if tag == "a"]
    assert links == ["/cgi-bin/oubli?lang=fr", "/cgi-bin/oubli?lang=en"]
    assert ("meta", {"http-equiv": "refresh", "content": "0; url=/cgi-bin/oubli"}) in page.tags
    handler = PROJECT / "boards/common/www/oubli/cgi-bin/oubli"
    assert os.access(handler, os.X_OK)
    assert handler.read_text().splitlines()[-1] == "exec /usr/bin/oubli page"
