# SPDX-License-Identifier: Apache-2.0
"""Alerts to their receivers: e-mail by SMTP, JSON to a webhook, ntfy, Alertmanager.

What a receiver hasn't taken waits, and is tried again.

A message is claimed before it is sent and deleted once it is taken, so two collectors send it once. Only where a
collector dies between the receiver's word and that, it is sent again, with the same Message-ID or id. Standard library:
an alert is one request, whose answer decides whether it is deleted. Libraries of a hundred services tell neither that
answer nor how long they wait.
"""

import contextlib
import json
import os
import smtplib
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Self
from urllib.parse import urlsplit

from django.db.models import F
from django.utils.translation import override

from tools.fleet import words
from tools.fleet.judgement import BREACH, KINDS
from tools.fleet.mail import Mail
from tools.fleet.models import Channel, Outgoing

FORMS = {"email": "e-mail", "json": "webhook (JSON)", "ntfy": "ntfy", "alertmanager": "Alertmanager"}
PAUSE = (15, 900)  # seconds between two tries of a message, doubled each time
CLAIM = 120  # seconds after which a message that a collector began to send is another's
KEPT = 7 * 86_400  # seconds that a message waits for its receiver
PATIENCE = 20  # seconds for a connection or a piece of an answer
WHOLE = 60  # seconds for all of a message: who answers an octet at a time holds no other channel up
LISTED = 50  # findings that a text names
_FOREVER = 400 * 86_400  # seconds: Alertmanager forgets what has no end after five minutes
ACCEPTED_URL = "https://HOST/..., or http:// to a receiver of yours"


class NoticeError(Exception):
    """What can't be sent; `args[0]` is the one line to show, without a secret."""


def is_url(text: str) -> bool:
    """Return True if a text is a URL that a message can be sent to."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and text.isascii()
            and text.isprintable()
        )
    except ValueError:
        return False


def deliver(
    now: int,
    server: Mail | None,
    log: Callable[[str], None],
    send: Callable[[Outgoing, Mail | None], None] | None = None,
) -> int:
    """Send what waits and is due at `now`, each channel's in its order; return how many were taken."""
    taken, blocked = 0, set()
    for row in Outgoing.objects.select_related("channel").order_by("pk"):
        if row.channel_id in blocked:
            continue
        if row.created < now - KEPT:
            row.delete()
            Channel.objects.filter(pk=row.channel_id).update(dropped=F("dropped") + 1)
            log(f"alerts: {row.channel.name!r} took nothing for a week: a message is dropped")
            continue
        claimed = row.due <= now and Outgoing.objects.filter(pk=row.pk, claimed__lte=now - CLAIM).update(claimed=now)
        if not claimed:
            blocked.add(row.channel_id)
            continue
        try:
            (send or sent)(row, server)
        except (OSError, HTTPException, smtplib.SMTPException, ValueError, NoticeError) as failure:
            blocked.add(row.channel_id)
            text = reason(failure)
            pause = min(PAUSE[0] << min(row.tries, 10), PAUSE[1])
            Outgoing.objects.filter(pk=row.pk).update(tries=row.tries + 1, due=now + pause, claimed=0, failure=text)
            if text != row.failure:
                log(f"alerts: {row.channel.name!r} takes nothing: {text}; trying again")
        else:
            Outgoing.objects.filter(pk=row.pk).delete()
            taken += 1
    return taken


def reason(failure: BaseException) -> str:
    """Return why something wasn't taken, in few words and without what was sent, or where to."""
    if isinstance(failure, NoticeError):
        return str(failure)
    if isinstance(failure, urllib.error.HTTPError):
        return f"the receiver answers {failure.code}"
    if isinstance(failure, smtplib.SMTPResponseException):
        return f"the mail server answers {failure.smtp_code}"
    if isinstance(failure, smtplib.SMTPRecipientsRefused):
        return "the mail server refuses the address"
    if isinstance(failure, urllib.error.URLError) and isinstance(failure.reason, OSError):
        return reason(failure.reason)
    if isinstance(failure, ssl.SSLCertVerificationError):
        return "nobody known vouches for its certificate"
    if isinstance(failure, TimeoutError):
        return "no answer"
    if isinstance(failure, OSError) and failure.errno and failure.errno > 0:
        return os.strerror(failure.errno)
    return f"can't be reached ({type(failure).__name__})"


def sent(row: Outgoing, server: Mail | None) -> None:
    """Send one message by its channel's form; it is taken where nothing is raised."""
    with override(row.channel.language):
        if row.channel.form == "email":
            if server is None:
                raise NoticeError("no mail server: serve was started without --smtp")
            _by_mail(email(row, server), server)
        else:
            url, octets = posted(row)
            _by_http(url, octets, row.ident)


def title(rows: list[dict[str, Any]]) -> str:
    """Return the subject of a message, in the active language."""
    if not rows:
        return words.say("A test: alerts reach you")
    firing = [one for one in rows if one["state"] == "firing"]
    if not firing:
        return words.say("{n} resolved", n=len(rows))
    breaches = sum(one["grade"] == BREACH for one in firing)
    if len(firing) == 1:
        return words.say(
            "{name}: {said}", name=printable(firing[0]["name"] or firing[0]["gateway"]), said=_says(firing[0])
        )
    return words.say("{n} findings, {breaches} in breach", n=len(firing), breaches=breaches)


def text(rows: list[dict[str, Any]]) -> str:
    """Return the lines of a message, in the active language: the worst first, so many at most."""
    ordered = sorted(
        rows, key=lambda one: (one["state"] == "resolved", one["grade"] != BREACH, one["name"], one["gateway"])
    )
    lines = [_line(one) for one in ordered[:LISTED]]
    if len(rows) > LISTED:
        lines.append(words.say("and {n} more", n=len(rows) - LISTED))
    return "\n".join(lines or [words.say("Nothing is wrong: somebody pressed the test button.")]) + "\n"


def printable(text: str) -> str:
    """Return a name with nothing in it that ends a line or steers a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _line(one: dict[str, Any]) -> str:
    mark = words.say("resolved") if one["state"] == "resolved" else words.say(one["grade"])
    since = datetime.fromtimestamp(one["since"], UTC).strftime("%Y-%m-%d %H:%M")
    where = " / ".join(printable(part) for part in (one["name"], one["group"], one["gateway"]) if part)
    return f"[{mark}] {where}: {_says(one)} ({words.say('since')} {since} UTC)"


def _says(one: dict[str, Any]) -> str:
    said = KINDS[one["kind"]][1]
    return words.say(said, **one["words"]) if one["words"] else words.general(said)


def email(row: Outgoing, server: Mail) -> EmailMessage:
    """Return a message for a mail server; its Message-ID is the same at each try."""
    message = EmailMessage()
    message["From"], message["To"] = server.sender, row.channel.target
    message["Subject"] = "oubli: " + title(row.content)
    message["Date"] = format_datetime(datetime.fromtimestamp(row.created, UTC))
    message["Message-ID"] = f"<{row.ident}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(row.content))
    return message


class _Deadline:
    """Cuts the connections that it made once WHOLE is over; how long each piece of an answer may take is theirs."""

    def __init__(self) -> None:
        self._timer = threading.Timer(WHOLE, self._cut)
        self._made: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for one in self._made:
            one.close()

    def connect(self, *arguments: Any) -> socket.socket:  # noqa: ANN401 (those of socket.create_connection)
        """Connect; a second descriptor of the connection is kept, since TLS takes the first one over."""
        made = socket.create_connection(*arguments)
        self._made.append(made.dup())
        return made

    def _cut(self) -> None:
        for one in self._made:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Plain(smtplib.SMTP):
    """A mail server, reached within a deadline."""

    def __init__(self, server: Mail, deadline: _Deadline) -> None:
        self._deadline = deadline
        super().__init__(server.host, server.port, timeout=PATIENCE)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._deadline.connect((host, port), timeout)


class _Secured(_Plain):
    """The same with TLS from the first octet."""

    def __init__(self, server: Mail, deadline: _Deadline) -> None:
        self._context = server.tls
        super().__init__(server, deadline)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = super()._get_socket(host, port, timeout)
        return self._context.wrap_socket(made, server_hostname=host) if self._context else made


def _by_mail(message: EmailMessage, server: Mail) -> None:
    with _Deadline() as deadline, (_Secured if server.whole else _Plain)(server, deadline) as session:
        if server.tls is not None and not server.whole:
            session.starttls(context=server.tls)
        if server.user:
            session.login(server.user, server.password)
        session.send_message(message)


def posted(row: Outgoing) -> tuple[str, bytes]:
    """Return where a message is posted to, and what."""
    channel, rows = row.channel, row.content
    url, content = channel.target, {"id": row.ident, "title": title(rows), "text": text(rows), "alerts": rows}
    body: Any = content
    if channel.form == "ntfy":
        url, _, topic = channel.target.rpartition("/")
        grave = any(one["state"] == "firing" and one["grade"] == BREACH for one in rows)
        body = {"topic": topic, "title": content["title"], "message": content["text"], "priority": 4 if grave else 3}
    elif channel.form == "alertmanager":
        url = channel.target.rstrip("/") + "/api/v2/alerts"
        body = [_labelled(one, row) for one in rows] or [_labelled({}, row)]
    return url, json.dumps(body).encode()


def _labelled(one: dict[str, Any], row: Outgoing) -> dict[str, Any]:
    """Return an alert as Alertmanager takes it: one that is over has an end in the past, another one far ahead."""
    labels = {"alertname": "OubliGateway", "severity": "critical" if one.get("grade") == BREACH else "warning"}
    labels |= {name: one[name] for name in ("gateway", "kind", "group") if one.get(name)}
    if not one:
        labels = {"alertname": "OubliTest", "severity": "none"}
    over = not one or one["state"] == "resolved"
    begins = min(one.get("since", row.created), row.created)
    ends = max(row.created, begins + 1) if over and one else row.created + (60 if not one else _FOREVER)
    stamps = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (begins, ends)]
    summary = text([one]).strip() if one else title([])
    return {"labels": labels, "annotations": {"summary": summary}, "startsAt": stamps[0], "endsAt": stamps[1]}


class _Http(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Connections within a deadline."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def _made(self, kind: type[HTTPConnection]) -> Callable[..., HTTPConnection]:
        def make(*arguments: Any, **options: Any) -> HTTPConnection:  # noqa: ANN401 (those of `kind`)
            made = kind(*arguments, **options)
            # it has no other way to be given one
            made._create_connection = self._deadline.connect  # type: ignore[attr-defined]  # noqa: SLF001
            return made

        return make

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        """Open what has no TLS."""
        return self.do_open(self._made(HTTPConnection), request)

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        """Open what has."""
        return self.do_open(self._made(HTTPSConnection), request)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow nothing: what is sent goes where it was meant to, or nowhere."""

    def redirect_request(self, *_: object) -> None:
        """Refuse."""


def _by_http(url: str, octets: bytes, ident: str) -> None:
    if not is_url(url):
        raise NoticeError(f"no URL; accepted: {ACCEPTED_URL}")
    headers = {"Content-Type": "application/json", "User-Agent": "oubli-fleet", "Idempotency-Key": ident}
    request = urllib.request.Request(url, octets, headers, method="POST")  # noqa: S310 (its scheme was checked)
    with (
        _Deadline() as deadline,
        urllib.request.build_opener(_NoRedirect, _Http(deadline)).open(request, timeout=PATIENCE) as answer,
    ):
        answer.read(1024)
