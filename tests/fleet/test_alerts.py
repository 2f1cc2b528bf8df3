# SPDX-License-Identifier: Apache-2.0
"""Alerts: told once, within the delay, and resolved once.

By a real mail server, a real HTTP receiver, a real Alertmanager.
"""

from __future__ import annotations

import email
import email.policy
import json
import os
import random
import re
import smtplib
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections
from django.test import Client
from django.utils.translation import override

from host_sim.driver.ports import free_port
from tests.fleet import says
from tests.fleet.test_collector import until
from tests.fleet.test_commands import fleet
from tests.support.interpreters import PROJECT
from tools.fleet import alerts, mail, notices, serve
from tools.fleet.intake import Intake
from tools.fleet.judgement import KINDS
from tools.fleet.models import Alert, Channel, Episode, Gateway, Outgoing, Silence
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

ONE, OTHER, NOW = says.name(1), says.name(2), says.NOW
MINUTE, HOUR = 60, 3600


class Said:
    """A receiver in this process: `rows` are what it took; it takes nothing while `down`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.messages: list[str] = []
        self.down = False

    def __call__(self, row: Outgoing, _server: mail.Mail | None) -> None:
        if self.down:
            raise ConnectionRefusedError(111, "refused")
        self.messages.append(row.ident)
        self.rows += row.content

    def turn(self, now: int) -> list[tuple[str, str, str]]:
        """Look and deliver; what was taken: (state, gateway, kind)."""
        before = len(self.rows)
        alerts.look(now)
        notices.deliver(now, None, lambda _: None, self)
        return [(one["state"], one["gateway"], one["kind"]) for one in self.rows[before:]]


def channel(**how: Any) -> Channel:
    """Return a channel of everything, at once, but for what is said otherwise."""
    values: dict[str, Any] = {"name": "all", "form": "json", "target": "http://127.0.0.1:1/", "delay": 10, "repeat": 0}
    return Channel.objects.create(**values | how)


def speak(now: int, *wrong: str, gateway: str = ONE) -> None:
    """Let a gateway say how it is."""
    facts: dict[str, Any] = {"late": "late" in wrong}
    if "stopped" in wrong:
        facts["capture"] = "stopped"
    if "clock" in wrong:
        facts["clock"] = "floor"
    Intake().take([says.health(gateway, now, **facts)], now)


def test_a_breach_is_told_once_after_its_delay_and_resolved_once(store):
    """On both databases; what lasts less than the delay is told to nobody; what comes and goes is one alert.

    It is over after a while.
    """
    channel()
    said = Said()
    speak(NOW, "late")
    assert said.turn(NOW) == []
    assert said.turn(NOW + 9 * MINUTE) == []
    assert said.turn(NOW + 10 * MINUTE) == [("firing", ONE, "late")]
    assert said.turn(NOW + 11 * MINUTE) == said.turn(NOW + 40 * HOUR) == []
    speak(NOW + 41 * HOUR)
    assert said.turn(NOW + 41 * HOUR) == []
    speak(NOW + 41 * HOUR + 200, "late")
    assert said.turn(NOW + 41 * HOUR + 200) == []
    speak(NOW + 42 * HOUR)
    assert said.turn(NOW + 42 * HOUR) == []
    assert said.turn(NOW + 42 * HOUR + 299) == []
    assert said.turn(NOW + 42 * HOUR + 300) == [("resolved", ONE, "late")]
    speak(NOW + 50 * HOUR, "stopped")
    assert said.turn(NOW + 50 * HOUR) == []
    speak(NOW + 50 * HOUR + 300)
    assert said.turn(NOW + 50 * HOUR + 300) == []
    assert said.turn(NOW + 52 * HOUR) == []
    assert not Alert.objects.exists()


def test_nothing_is_lost_while_a_receiver_is_down_nor_told_twice_after_a_restart(store):
    """Two days; each message once and in its order; tried at growing intervals.

    Why it isn't taken stands in the store.
    """
    channel(kinds=["late"], delay=0)
    said = Said()
    said.down = True
    speak(NOW, "late")
    assert said.turn(NOW) == []
    waiting = Outgoing.objects.get()
    assert (waiting.tries, waiting.failure) == (1, "Connection refused")
    for turn in range(1, 200):
        now = NOW + turn * 60
        if turn == 50:
            speak(now)
        assert said.turn(now) == []
    assert Outgoing.objects.count() == 2
    assert Outgoing.objects.order_by("pk")[0].tries < 25
    said.down = False
    again = Said()  # a collector that was started anew: what it knows is in the store
    assert again.turn(NOW + 48 * HOUR) == [("firing", ONE, "late"), ("resolved", ONE, "late")]
    assert again.turn(NOW + 49 * HOUR) == []
    assert not Outgoing.objects.exists()


def test_two_collectors_send_a_message_once(store):
    """What one is sending, the other leaves to it; only after two minutes without an end it is another's."""
    channel(delay=0)
    speak(NOW, "late")
    alerts.look(NOW)
    first, second = Said(), Said()
    inside: list[int] = []

    def slow(row: Outgoing, server: mail.Mail | None) -> None:
        inside.append(notices.deliver(NOW + 1, None, lambda _: None, second))
        first(row, server)

    assert notices.deliver(NOW, None, lambda _: None, slow) == 1
    assert (inside, len(first.messages), second.messages) == ([0], 1, [])
    alerts.test(Channel.objects.get(), NOW)
    Outgoing.objects.update(claimed=NOW)  # by one that was killed then
    assert notices.deliver(NOW + 60, None, lambda _: None, second) == 0
    assert notices.deliver(NOW + 120, None, lambda _: None, second) == 1


def test_a_receiver_that_never_comes_back_fills_no_disk(sqlite, monkeypatch):
    monkeypatch.setattr(alerts, "WAITING", 5)
    one = channel()
    for number in range(9):
        alerts.test(Channel.objects.get(), NOW + number)
    assert Outgoing.objects.count() == 5
    assert Channel.objects.get().dropped == 4
    log: list[str] = []
    notices.deliver(NOW + 8 * 86_400, None, log.append, Said())
    assert (Outgoing.objects.count(), len(log)) == (0, 5)
    assert Channel.objects.get(pk=one.pk).dropped >= 5


def test_a_channel_is_for_its_kinds_and_its_group(sqlite):
    channel(name="breaches", delay=0)
    clocks, north = channel(name="clocks", kinds=["clock"], delay=0), channel(name="north", group="north", delay=0)
    speak(NOW, "late", "clock")
    speak(NOW, "late", gateway=OTHER)
    Gateway.objects.filter(ident=OTHER).update(group="north")
    alerts.look(NOW)
    told = {
        row.channel.name: sorted((one["gateway"], one["kind"]) for one in row.content) for row in Outgoing.objects.all()
    }
    assert told == {
        "breaches": [(ONE, "late"), (OTHER, "late")],
        clocks.name: [(ONE, "clock")],
        north.name: [(OTHER, "late")],
    }


def test_quiet_hours_hold_it_back_until_they_are_over(sqlite):
    """In the zone's own time, over midnight and over the hour that summer time takes; NOW is 00:00 UTC."""
    one = channel(delay=0, quiet_from="22:00", quiet_until="07:00", zone="Europe/Paris")
    assert [alerts.quiet(one, NOW + hour * HOUR) for hour in range(24)] == [
        hour < 6 or hour >= 21 for hour in range(24)
    ]
    said = Said()
    speak(NOW, "late")
    speak(NOW, "stopped", gateway=OTHER)
    assert said.turn(NOW) == said.turn(NOW + 5 * HOUR) == []
    speak(NOW + 5 * HOUR, gateway=OTHER)
    assert said.turn(NOW + 5 * HOUR + MINUTE) == []
    assert said.turn(NOW + 6 * HOUR) == [("firing", ONE, "late")]
    one.quiet_from, one.quiet_until = "01:00", "05:00"
    assert [hour for hour in range(24) if alerts.quiet(one, NOW + hour * HOUR)] == [0, 1, 2, 3]


def test_what_is_acknowledged_isnt_repeated_and_what_is_silenced_isnt_told(sqlite):
    """Each with a reason and an end; an acknowledgement ends with what is wrong.

    A silence's end tells what is still wrong.
    """
    channel(repeat=1, delay=0)
    said = Said()
    speak(NOW, "late")
    speak(NOW, "late", gateway=OTHER)
    assert len(said.turn(NOW)) == 2
    one, other = Gateway.objects.get(ident=ONE), Gateway.objects.get(ident=OTHER)
    Silence.objects.create(
        gateway=one, kind="late", reason="seen", by="claire", began=NOW, until=NOW + 9 * HOUR, known=True
    )
    assert said.turn(NOW + HOUR) == [("firing", OTHER, "late")]
    speak(NOW + 2 * HOUR)
    said.turn(NOW + 2 * HOUR)
    assert not Silence.objects.exists()
    assert ("resolved", ONE, "late") in said.turn(NOW + 3 * HOUR)
    Silence.objects.create(group="", reason="works", by="claire", began=NOW, until=NOW + 6 * HOUR)
    assert said.turn(NOW + 4 * HOUR) == said.turn(NOW + 5 * HOUR) == []
    assert said.turn(NOW + 6 * HOUR) == [("firing", OTHER, "late")]
    other.delete()
    assert said.turn(NOW + 8 * HOUR) == []


@pytest.mark.long
def test_a_day_of_faults_of_two_hundred_gateways_is_told_each_once_within_its_delay_and_resolved_once(sqlite):
    """Turns of ten minutes, a receiver that is down for two hours, a collector that is started anew each hour.

    120 faults.
    """
    channel(delay=10)
    Intake().take([says.health(says.name(number), NOW) for number in range(200)], NOW)
    rows = list(Gateway.objects.order_by("pk"))
    draw = random.Random(5)
    faults = [(draw.randrange(0, 200), draw.randrange(6, 120) * 600, draw.randrange(2, 12) * 600) for _ in range(120)]
    spans: dict[int, list[tuple[int, int]]] = {}
    for number, start, lasts in sorted(faults):
        if not any(start <= end + 1800 and begin <= start + lasts + 1800 for begin, end in spans.get(number, [])):
            spans.setdefault(number, []).append((start, start + lasts))
    wanted = Counter(state for each in spans.values() for _ in each for state in ("firing", "resolved"))
    said, told = Said(), []
    Gateway.objects.update(seen=NOW + 3 * 86_400)  # they speak all the time
    for turn in range(150):
        now = NOW + turn * 600
        for number, each in spans.items():
            for begin, end in each:
                if now == NOW + begin:
                    Episode.objects.create(gateway=rows[number], kind="late", began=now)
                if now == NOW + end:
                    Episode.objects.filter(gateway=rows[number], ended=None).update(ended=now)
                if now in {NOW + begin, NOW + end}:
                    rows[number].save(update_fields=["due"])
        if turn % 6 == 0:
            said = Said()
        said.down = 30 <= turn < 42
        told += [(turn * 600, *one) for one in said.turn(now)]
    assert Counter(state for _, state, _, _ in told) == wanted
    idents = {rows[number].ident: each for number, each in spans.items()}
    for at, state, ident, _ in told:
        if not 30 * 600 <= at <= 42 * 600 + 1200:  # but while the receiver was down
            assert any(at == (begin + 600 if state == "firing" else end + 600) for begin, end in idents[ident]), (
                at,
                state,
                idents[ident],
            )


ROW = {
    "state": "firing", "gateway": ONE, "name": "Café\r\nBcc: x@example.org",
    "group": "Lyon", "kind": "late", "grade": "breach", "since": NOW, "words": {},
}  # fmt: skip


def outgoing(form: str, target: str, rows: list[dict[str, Any]], language: str = "en") -> Outgoing:
    """Return a message of a channel."""
    one = Channel(name="x", form=form, target=target, language=language)
    return Outgoing(channel=one, ident="0f" * 16, created=NOW, content=rows, due=NOW)


@contextmanager
def smtp(folder: Path, port: int = 0) -> Iterator[int]:
    """Run Debian's aiosmtpd, which puts what it takes into a maildir; its port."""
    port = port or free_port()
    (folder / "mails").mkdir(exist_ok=True)
    command = [
        "aiosmtpd",
        "-n",
        "-l",
        f"127.0.0.1:{port}",
        "-c",
        "aiosmtpd.handlers.Mailbox",
        str(folder / "mails" / "box"),
    ]
    with (folder / "smtp").open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        until(lambda: listens(port) or process.poll() is not None, "the mail server listens")
        assert process.poll() is None, (folder / "smtp").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(240)


def listens(port: int) -> bool:
    """Return True if somebody listens on a port of this machine."""
    rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(local.rpartition(":")[2], 16) == port and state == "0A" for local, _, state in rows)


def mails(folder: Path) -> list[EmailMessage]:
    """Return what the mail server took, in its order."""
    found = sorted((folder / "mails" / "box" / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
    return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in found]


@pytest.mark.needs("aiosmtpd")
def test_a_real_mail_server_takes_it_with_tls_or_on_this_machine_without(sqlite, tmp_path):
    """Subject, text in the channel's language, no header from a name.

    STARTTLS that isn't offered, a wrong authority: not sent, and why.
    """
    with smtp(tmp_path) as port:
        server = mail.server(f"smtp://127.0.0.1:{port}", "oubli@example.org")
        notices.sent(outgoing("email", "claire@example.org", [ROW], "fr"), server)
        notices.sent(outgoing("email", "claire@example.org", [ROW, ROW | {"state": "resolved", "name": ""}]), server)
        secured = mail.Mail("127.0.0.1", port, mail.server("smtp://x", "a@b").tls, False, "", "", "a@b")
        with pytest.raises(smtplib.SMTPNotSupportedError):
            notices.sent(outgoing("email", "x@example.org", [ROW]), secured)
    first, second = mails(tmp_path)
    assert first["To"] == "claire@example.org"
    assert first["Bcc"] is None
    assert first["Message-ID"] == f"<{'0f' * 16}@example.org>"
    assert "Un enregistrement a dépassé son terme" in first.get_content()
    assert "Café??Bcc" in first["Subject"]
    assert "[resolved] Lyon / " in second.get_content()
    with pytest.raises(notices.NoticeError, match="without --smtp"):
        notices.sent(outgoing("email", "x@example.org", [ROW]), None)


class Receiver(BaseHTTPRequestHandler):
    """Takes what is posted, or answers what the server's `status` says."""

    def do_POST(self) -> None:
        """Take it."""
        server: Any = self.server
        server.got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiver(status: int = 200) -> Iterator[Any]:
    """Run an HTTP server; `got` grows by what it is sent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.got, server.status = [], status  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_webhook_and_ntfy_get_json_and_a_redirect_is_no_answer(sqlite):
    with receiver() as server:
        where = f"http://127.0.0.1:{server.server_port}"
        notices.sent(outgoing("json", f"{where}/hook", [ROW]), None)
        notices.sent(outgoing("ntfy", f"{where}/base/cafes", [ROW], "fr"), None)
        notices.sent(outgoing("ntfy", f"{where}/cafes", []), None)
        (hook, content), (base, first), (_, test) = server.got
        assert (hook, content["alerts"], content["id"]) == ("/hook", [ROW], "0f" * 16)
        assert (base, first["topic"], first["priority"]) == ("/base", "cafes", 4)
        assert "Un enregistrement" in first["message"]
        assert (test["topic"], test["title"]) == ("cafes", "A test: alerts reach you")
        server.status = 302
        one = channel(target=f"{where}/hook?token=secret")
        alerts.test(one, NOW)
        log: list[str] = []
        assert notices.deliver(NOW, None, log.append) == 0
        assert Outgoing.objects.get().failure == "the receiver answers 302"
        assert len(server.got) == 4
    assert notices.deliver(NOW + HOUR, None, log.append) == 0
    assert log == [
        f"alerts: 'all' takes nothing: {text}; trying again"
        for text in ("the receiver answers 302", "Connection refused")
    ]


@pytest.mark.needs("prometheus-alertmanager")
def test_a_real_alertmanager_takes_what_is_wrong_and_what_is_over(sqlite, tmp_path):
    """It shows the alert with its labels; once it is resolved, no more."""
    port = free_port()
    (tmp_path / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    words = [
        f"--config.file={tmp_path}/am.yml",
        f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus-alertmanager", *words, "--cluster.listen-address="],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def shown() -> list[dict[str, Any]]:
        with urlopen(f"http://127.0.0.1:{port}/api/v2/alerts", timeout=60) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    try:
        until(lambda: listens(port) or process.poll() is not None, "Alertmanager listens")
        recent = ROW | {"since": int(time.time()) - 60}
        message = outgoing("alertmanager", f"http://127.0.0.1:{port}", [recent])
        message.created = int(time.time())
        notices.sent(message, None)
        until(shown, "the alert is there")
        (one,) = shown()
        assert one["labels"] == {
            "alertname": "OubliGateway",
            "severity": "critical",
            "gateway": ONE,
            "kind": "late",
            "group": "Lyon",
        }
        assert "A record outlived its deadline" in one["annotations"]["summary"]
        message.content, message.created = [recent | {"state": "resolved"}], int(time.time()) - 1
        notices.sent(message, None)
        until(lambda: not shown(), "it is over")
    finally:
        process.terminate()
        process.wait(240)


def test_every_text_of_an_alert_is_one_in_both_languages(sqlite):
    """Each kind, with and without its numbers; so many findings at most in a text, and all of them counted."""
    for kind in KINDS:
        for language in ("en", "fr"):
            for filled in ({}, {"days": "3", "names": "offload"}):
                _, octets = notices.posted(
                    outgoing("json", "http://x/", [ROW | {"kind": kind, "words": filled}], language)
                )
                assert "{" not in json.loads(octets)["text"]
    with override("en"):
        text = notices.text([ROW] * 120)
    assert text.count("\n") == notices.LISTED + 1
    assert "and 70 more" in text


@pytest.fixture
def inside(sqlite) -> Client:
    """Give a browser that is logged in."""
    client = Client(HTTP_HOST="localhost")
    client.force_login(get_user_model().objects.create_user("claire"))
    return client


FILLED = {
    "act": "save", "name": "Claire", "form": "email", "target": "claire@example.org",
    "group": "", "kinds": ["late", "silent"], "delay": "5", "repeat": "0", "resolved": "on",
    "quiet_from": "22:00", "quiet_until": "07:00", "zone": "Europe/Paris", "language": "fr",
}  # fmt: skip
MISTAKES = {
    "No e-mail address": {"target": "Claire <claire@example.org>"},
    "No URL": {"form": "json", "target": "ftp://x"},
    "The topic is missing": {"form": "ntfy", "target": "https://ntfy.example.org/"},
    "No time of day": {"quiet_from": "25:00"},
    "One without the other": {"quiet_until": ""},
    "No time zone": {"zone": "Mars/Phobos"},
}


def test_a_person_makes_tries_switches_and_deletes_a_channel(inside):
    assert inside.post("/alerts/change", FILLED).status_code == 302
    one = Channel.objects.get()
    assert (one.target, one.kinds, one.delay, one.quiet_from) == ("claire@example.org", ["late", "silent"], 5, "22:00")
    assert "claire@example.org" in inside.get("/alerts").content.decode()
    assert 'value="claire@example.org"' in inside.get(f"/alerts?edit={one.pk}").content.decode()
    inside.post("/alerts/change", FILLED | {"number": str(one.pk), "delay": "7"})
    assert Channel.objects.get().delay == 7
    inside.post("/alerts/change", {"act": "test", "number": str(one.pk)})
    assert Outgoing.objects.get().content == []
    inside.post("/alerts/change", {"act": "switch", "number": str(one.pk)})
    assert not Channel.objects.get().enabled
    inside.post("/alerts/change", {"act": "delete", "number": str(one.pk)})
    assert not Channel.objects.exists()


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_stands_at_its_field_and_nothing_is_saved(inside, what):
    answer = inside.post("/alerts/change", FILLED | MISTAKES[what])
    assert answer.status_code == 422
    page = answer.content.decode()
    assert what in page
    assert 'aria-invalid="true"' in page
    assert not Channel.objects.exists()


def test_a_person_acknowledges_a_finding_and_silences_a_group(inside):
    """With a reason and an end of their own; what isn't understood silences nothing, and says so at its field."""
    now = int(time.time())
    speak(now, "late")
    page = inside.get(f"/gateway/{ONE}").content.decode()
    assert "Acknowledge" in page
    known = {
        "act": "silence",
        "gateway": ONE,
        "kind": "late",
        "known": "1",
        "hours": "24",
        "reason": "A technician comes",
        "next": f"/gateway/{ONE}",
    }
    assert inside.post("/alerts/change", known).headers["Location"] == f"/gateway/{ONE}"
    inside.post(
        "/alerts/change",
        {"act": "silence", "group": "Lyon", "hours": "8", "reason": "works", "next": "https://evil.example/"},
    )
    for wrong in ({"reason": " "}, {"hours": "0"}, {"hours": "9999"}, {"kind": "x"}, {"gateway": "nobody"}):
        answer = inside.post("/alerts/change", known | wrong)
        assert answer.status_code == 422
        page = answer.content.decode()
        assert page.count('<p class="alert"') == 1
        filled = known | wrong  # what was typed stands there still
        assert f'name="gateway" value="{filled["gateway"]}"' in page
        assert f'name="hours" inputmode="numeric" value="{filled["hours"]}"' in page
        assert f'name="next" value="{filled["next"]}"' in page
    french = inside.post("/alerts/change", known | {"hours": "99999"}, headers={"accept-language": "fr"})
    assert "inférieure ou égale à 720" in french.content.decode()
    rows = Silence.objects.order_by("pk").values_list("gateway__ident", "group", "kind", "reason", "by", "known")
    assert list(rows) == [
        (ONE, "", "late", "A technician comes", "claire", True),
        (None, "Lyon", "", "works", "claire", False),
    ]
    assert "A technician comes" in inside.get("/alerts").content.decode()
    inside.post("/alerts/change", {"act": "end", "number": str(Silence.objects.latest("pk").pk)})
    assert Silence.objects.count() == 1


REFUSED = {
    "--smtp: not understood": ("--smtp", "http://x"),
    "its password by --smtp-password-file": ("--smtp", "smtps://u:secret@x"),
    "--mail-from": ("--smtp", "smtps://x", "--mail-from", "nobody"),
    "without a password": ("--smtp", "smtps://u@x"),
    "--smtp-ca: LICENSE: no certificate": ("--smtp", "smtps://x", "--smtp-ca", "LICENSE"),
    "--smtp-password-file: PRIVATE: Is a": ("--smtp", "smtps://u@x", "--smtp-password-file", "PRIVATE"),
    "without a mail server": ("--smtp-ca", "LICENSE"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_mail_server_that_cant_be_is_refused_in_one_line(sqlite, tmp_path, what):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    words = [str(private) if word == "PRIVATE" else word for word in REFUSED[what]]
    done = fleet(sqlite, "serve", "--broker", "mqtt://localhost", *words, status=2)
    assert done.stderr.count("\n") == 1
    assert what.replace("PRIVATE", str(private)) in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.needs("aiosmtpd", "mosquitto")
def test_serve_tells_by_mail_what_is_wrong_and_nothing_twice_over_a_restart(sqlite, tmp_path):
    """The whole of it: a gateway in breach, a mail server that comes later, a killed collector: one message."""
    now = int(time.time())
    speak(now, "late")
    channel(form="email", target="claire@example.org", delay=0)
    port = free_port()
    log = tmp_path / "log"

    def serve(broker: Mosquitto) -> subprocess.Popen[bytes]:
        words = [
            "serve",
            "--broker",
            f"mqtt://127.0.0.1:{broker.port}",
            "--consumers",
            "0",
            "--no-page",
            "--smtp",
            f"smtp://127.0.0.1:{port}",
        ]
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "tools.fleet", *words],
                cwd=PROJECT, env=os.environ | {"OUBLI_FLEET_DB": sqlite}, stdin=subprocess.DEVNULL, stdout=file,
                stderr=file,
            )  # fmt: skip

    with Mosquitto(tmp_path) as broker:
        process = serve(broker)
        try:
            until(lambda: "takes nothing: Connection refused" in log.read_text(), "it was tried")
            process.kill()
            process.wait()
            Outgoing.objects.update(due=0, claimed=0)
            with smtp(tmp_path, port):
                process = serve(broker)
                until(lambda: mails(tmp_path), "a message came")
                until(lambda: not Outgoing.objects.exists(), "it is done")
                alerts.look(int(time.time()))
        finally:
            process.terminate()
            process.wait(240)
    (one,) = mails(tmp_path)
    assert re.search(r"A record outlived its deadline", one.get_content())
    assert not Outgoing.objects.exists()
    connections.close_all()


def test_a_turn_that_fails_is_told_once_and_the_next_one_tries_again(sqlite, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(serve, "log", said.append)
    store, other = OperationalError("locked"), KeyError("x")
    outcomes: list[Exception | None] = [store, store, None, other, other, None]
    ended = threading.Event()

    class Failing(serve.Turns):
        NAME = "this"
        EVERY = 0.01

        def turn(self, now: int) -> None:
            assert abs(now - time.time()) < HOUR
            if not outcomes:
                ended.set()
            elif failure := outcomes.pop(0):
                raise failure

    with Failing():
        assert ended.wait(20), f"it ended before its turns did, and said {said}"
    assert len(said) == 2, said
    assert said[0] == "this: the store can't be used (OperationalError); trying again every 0.01 s"
    assert re.fullmatch(r"this: Traceback .*KeyError: 'x'; trying again every 0\.01 s", said[1], re.DOTALL)
