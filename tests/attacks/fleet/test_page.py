# SPDX-License-Identifier: Apache-2.0
"""Strangers against the page, as `oubli-fleet serve` serves it.

Guesses in parallel, an operator locked out, half-sent requests.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.db import connections

from tests.fleet.test_collector import until
from tests.support.interpreters import PROJECT
from tools.fleet import connection, site, tries

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "correct horse battery"
WAIT = 2  # seconds that the page waits for a request here, instead of `connection.WHOLE`
MOST = 1 << 18  # octets that a request may have here, instead of `connection.LARGEST`
SERVE = f"""
from tools.fleet import connection
connection.WHOLE, connection.LARGEST = {WAIT}, {MOST}
from tools.fleet.__main__ import app
app()
"""
OPERATOR = "127.0.0.2"
_ADDRESSES = itertools.count(1)
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("page under attack")]


class Served:
    """The page in a process of its own."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def ask(self, source: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Ask from an address of this machine; return status, text and cookies."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(source, 0))
        client.request("POST" if body else "GET", path, body, {"Host": "localhost"} | headers)
        answer = client.getresponse()
        text = answer.read().decode()
        cookies = dict(one.split(";")[0].split("=", 1) for one in answer.headers.get_all("Set-Cookie", []))
        client.close()
        return answer.status, text, cookies

    def log_in(
        self, source: str, password: str, form: tuple[str, str] | None = None, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """Send the log-in's form."""
        token, cookie = form or self.form(source)
        body = urlencode({"username": "operator", "password": password, "csrfmiddlewaretoken": token})
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"csrftoken={cookie}",
            "Origin": "http://localhost",
        }
        return self.ask(source, "/login", body, **(sent | headers))

    def form(self, source: str) -> tuple[str, str]:
        """Return a form's token and its cookie."""
        _, text, cookies = self.ask(source, "/login")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
        assert token is not None
        return token[1], cookies["csrftoken"]

    def peak(self) -> int:
        """Return the most memory that the page's process ever held, MiB."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) >> 10


@pytest.fixture
def stranger() -> str:
    """Give an address of this machine that nobody came from yet."""
    return f"127.0.2.{next(_ADDRESSES)}"


@pytest.fixture(scope="module")
def served(empty: Path, memory: Path) -> Iterator[Served]:
    """Give the page with one user, and no consumer."""
    path, log = memory / "store.sqlite", memory / "log"
    shutil.copy(empty, path)
    sqlite = f"sqlite:///{path}"
    site.configure(sqlite)
    get_user_model().objects.create_user("operator", password=PASSWORD)
    connections.close_all()
    words = ["serve", "--broker", "mqtt://127.0.0.1:1", "--consumers", "0", "--listen", "127.0.0.1:0"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *words],
            cwd=PROJECT, env=os.environ | {"OUBLI_FLEET_DB": sqlite}, stdin=subprocess.DEVNULL, stdout=file,
            stderr=file,
        )  # fmt: skip
    try:
        until(lambda: b"page: http" in log.read_bytes() or process.poll() is not None, "the page is served")
        port = re.search(r"page: http://127\.0\.0\.1:(\d+)/", log.read_text())
        assert port is not None, log.read_text()
        yield Served(int(port[1]), process.pid)
    finally:
        process.terminate()
        assert process.wait(240) == 0, log.read_text()


def together(count: int, call: Any) -> list[Any]:
    """Call so many times at once; return what came."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found


def test_guesses_at_once_are_no_more_than_one_after_the_other(served: Served, stranger: str):
    """Gain: thirty tries instead of five, and 3 GiB.

    Two hash at once, the others get 503; five are tried, whoever they claim to be.
    """
    form = served.form(stranger)
    seen: Counter[str] = Counter()
    for number in range(3):
        spoofed = {"X-Forwarded-For": f"192.0.2.{number}"}
        # joined in the same round
        answers = together(30, lambda: served.log_in(stranger, "a wrong password", form, **spoofed))  # noqa: B023
        for status, text, _ in answers:
            seen["busy" if status == 503 else "refused" if "Too many attempts" in text else f"tried {status}"] += 1
    assert set(seen) == {"busy", "refused", "tried 200"}
    assert seen["tried 200"] == tries.TRIES[0]
    assert sum(seen.values()) == 90
    assert served.peak() < 600


def test_nobody_locks_the_operator_out(served: Served, stranger: str):
    """Gain: five wrong passwords every five minutes, and nobody logs in any more.

    What is counted is counted with its address.
    """
    _, _, cookies = served.log_in(OPERATOR, PASSWORD)
    inside = {"Cookie": f"sessionid={cookies['sessionid']}"}
    form = served.form(stranger)
    for _ in range(tries.TRIES[0]):
        served.log_in(stranger, "a wrong password", form)
    assert "Too many attempts" in served.log_in(stranger, PASSWORD, form)[1]
    assert served.ask(OPERATOR, "/", **inside)[0] == 200
    assert served.log_in(OPERATOR, PASSWORD)[0] == 302


def test_the_metrics_are_no_other_door(served: Served, stranger: str):
    """Gain: the same guesses by HTTP basic authentication.

    They count with the form's; another address still scrapes.
    """

    def scrape(source: str, password: str) -> int:
        text = base64.b64encode(f"operator:{password}".encode()).decode()
        return served.ask(source, "/metrics", Authorization=f"Basic {text}")[0]

    assert set(together(20, lambda: scrape(stranger, "wrong"))) == {401, 503}
    for _ in range(tries.TRIES[0]):
        assert scrape(stranger, "wrong") == 401
    assert scrape(stranger, PASSWORD) == 401
    assert "Too many attempts" in served.log_in(stranger, PASSWORD)[1]
    assert scrape(OPERATOR, PASSWORD) == 200


def test_names_from_one_address_are_tried_no_more_than_twenty_times(monkeypatch):
    """Gain: many names instead of many passwords.

    An IPv6 network of 64 bits counts as one address; what is remembered is bounded.
    """
    clock, hashed = [0.0], Counter[str]()
    monkeypatch.setattr(tries, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(
        tries,
        "authenticate",
        lambda _request, username, password: hashed.update([username]) or (password == "right" or None),
    )
    tried = tries.Tries()

    def outcome(address: str, name: str, password: str) -> object:
        request = type("Request", (), {"META": {"REMOTE_ADDR": address}})()
        try:
            return tried.user(request, name, password, None)
        except PermissionError:
            return "refused"

    found = [outcome(f"2001:db8::{number:x}", f"name{number}", "wrong") for number in range(100)]
    assert Counter(found) == {None: tries.TRIES[1], "refused": 80}
    assert sum(hashed.values()) == tries.TRIES[1]
    assert outcome("2001:db8:0:1::1", "name1", "right") is True
    clock[0] += tries.PAUSE + 1
    assert outcome("2001:db8::1", "name1", "wrong") is None
    for number in range(2 * tries.REMEMBERED):
        outcome(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "x", "wrong")
    assert len(tried._counts) == tries.REMEMBERED


@contextmanager
def half_sent(served: Served, source: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold so many connections with half a request on each."""
    with ExitStack() as stack:
        held = []
        for number in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30, (source, 0)))
            half = (
                b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nusername="
                if number % 2
                else b"GET / HTTP/1.1\r\nHost:"
            )
            one.sendall(half)
            held.append(one)
        yield held


def test_half_sent_requests_keep_nobody_out_for_long(served: Served):
    """Gain: 205 of them, and everybody gets 503 for as long as they are held.

    A request has ten seconds to be whole, body and all.
    """
    assert connection.WHOLE == 10 != WAIT
    with half_sent(served, "127.0.0.1", 205) as held:
        end = time.monotonic() + 60
        while served.ask(OPERATOR, "/login")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.2)
        for one in held:
            one.settimeout(60)
            with suppress(ConnectionResetError):
                while one.recv(4096):
                    pass


def test_one_address_holds_no_more_than_its_share_of_connections(served: Served, stranger: str):
    """Gain: the same by opening them again and again. Beyond 32 of one address they are closed at once."""
    with half_sent(served, stranger, 250):
        assert served.ask(OPERATOR, "/login")[0] == 200


@pytest.mark.long
def test_a_request_fills_no_disk(served: Served, stranger: str):
    """Gain: as many octets in /tmp as ten seconds bring, without a log-in, again and again.

    A request of more than 5 MiB is cut off.
    """
    assert connection.LARGEST == 5 << 20 != MOST
    with socket.create_connection(("127.0.0.1", served.port), 30, (stranger, 0)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        one.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        sent, piece = 0, bytes(1 << 14)
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 8 * MOST:  # what the sockets hold is part of it
                sent += one.send(piece)
    assert sent < 8 * MOST
    assert served.ask(OPERATOR, "/login")[0] == 200
