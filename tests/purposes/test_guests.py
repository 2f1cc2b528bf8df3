# SPDX-License-Identifier: Apache-2.0
"""The guests' page in a real Chromium and under attack, before a recorder that runs.

A guest on a phone does by keys alone what the law gives him: he sees, saves, suspends, resumes, withdraws, objects,
erases (L34-V-3, L34-V-4, L34-VI-5). Pages of other sites get nothing, and fifty guests who hammer keep nobody out.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from agent.purposes.consent import page_html
from host_sim.driver.interpreters import environment
from host_sim.venue.portal import NOTICE
from tests.control.test_control import ACCOUNTS, NAMESPACE, Device
from tests.support import guests_page
from tests.support.browsers import chromium
from tests.support.interpreters import INTERPRETERS, PROJECT, Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

PORTAL = 4242
PURPOSES = (
    "".join(
        f"config purpose '{name}'\n\toption enabled '1'\n\toption budget '262144'\n"
        for name in ("services", "location")
    )
    + NOTICE
)
CONFIG = (
    "config gateway\n\toption id 'oublipageontrial'\n\toption duty 'portal'\n\toption hardware_clock '1'\n"
    "\tlist lan 'lan'\n"
)
GUEST, OTHERS = 21, range(100, 150)  # last octets of 192.168.7.0/24; a guest asks from the same of 127.0.7.0/24
SIGNED = ["--purposes", "services,location", "--third-parties", "none", "--days", "30"]
pytestmark = [
    pytest.mark.needs("root", "unshare", "nsenter", "ip", "nft", "conntrack", "micropython"),
    pytest.mark.xdist_group("chromium"),
]


def mac(host: int) -> str:
    return f"02:00:00:00:07:{host:02x}"


class Venue:
    """A recorder in a network namespace, guests in its neighbour table, the page before it."""

    def __init__(self, gateway: Device, server: guests_page.Server, interpreter: Interpreter) -> None:
        self.gateway, self.server, self.interpreter = gateway, server, interpreter
        self.address = f"http://127.0.0.1:{server.port}"

    def oubli(self, *words: str) -> str:
        code, out, err = self.gateway.oubli(self.interpreter, *words)
        assert (code, err) == (0, ""), err
        return out

    def grant(self, host: int) -> None:
        """Let the portal take a guest's consent."""
        shown = json.loads(self.oubli("consent", "text", *SIGNED, "--text", "3.fr", "--json"))["text"]
        words = ["--categories", "connections,access-point", "--document", shown]
        self.oubli("consent", "grant", "--terminal", mac(host), *SIGNED, *words)

    def ask(self, host: int, body: str = "", path: str = "/?lang=en", **headers: str) -> tuple[int, str]:
        """Ask as a guest, without a browser; returns status and page."""
        client = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=60, source_address=(f"127.0.7.{host}", 0)
        )
        client.request(
            "POST" if body else "GET", path, body or None, {"Host": f"127.0.0.1:{self.server.port}"} | headers
        )
        answer = client.getresponse()
        text = answer.read().decode()
        client.close()
        return answer.status, text

    def browse(self, host: int) -> None:
        """Say which guest a browser is."""
        (self.gateway.root / "guest").write_text(f"127.0.7.{host}")

    def act(self, host: int, act: str, page: str = "") -> tuple[int, str]:
        """Press a button of a page that came before; where it isn't on it, open the page."""
        limit = time.monotonic() + 90
        # Six calls a second are a terminal's
        button = act if act in page_html.UNDO else "see"  # all others' token is the same
        form = rf'name="token" value="(\w+)">(?:<input[^>]*>)*<button name="act" value="{button}"'
        while (token := re.search(form, page or self.ask(host)[1])) is None:
            page = ""
            assert time.monotonic() < limit, "the page doesn't come"
            time.sleep(0.2)
        return self.ask(host, f"lang=en&act={act}&token={token[1]}", "/", Origin=self.address)

    def connections(self, host: int, count: int) -> None:
        """Let a guest's connections end, and wait until so many are kept at least."""
        limit = time.monotonic() + 90
        while self.held(host) < count:
            assert time.monotonic() < limit, "nothing is kept"
            for port in range(count):
                flow = ("--sport", str(41000 + port), "--dport", "443", "--timeout", "60", "--src", f"192.168.7.{host}")
                self.gateway.inside("conntrack", "-I", "-p", "udp", *flow, "--dst", "203.0.113.9")
            self.gateway.inside("conntrack", "-D", "-p", "udp")

    def who(self, host: int) -> tuple[Counter[str], dict[str, Any]]:
        """Return what `oubli who` says of a guest: his records, a line of JSON each.

        How many of each purpose, consents, the rest.
        """
        *rows, end = self.oubli("who", "--mac", mac(host), "--agreed", "--json").splitlines()
        return Counter(rows), json.loads(end)

    def held(self, host: int) -> int:
        """Return how many records `security` has of a guest."""
        return int(self.who(host)[1]["records"]["security"])

    def consents(self) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.oubli("consent", "list", "--json"))["counts"]
        return counts

    def objections(self) -> int:
        return int(json.loads(self.oubli("status", "--json"))["objections"])


@contextmanager
def open_venue(folder: Path) -> Iterator[Venue]:
    interpreter = INTERPRETERS["micropython"].larger()
    (folder / "etc/config").mkdir(parents=True)
    (folder / "etc/config/oubli").write_text(CONFIG + PURPOSES)
    for name, text in ACCOUNTS.items():
        (folder / "etc" / name).write_text(text)
    shutil.copytree(PROJECT / "boards/common/usr/share/oubli", folder / "usr/share/oubli")
    shutil.copytree(PROJECT / "agent", folder / "lib/agent", ignore=shutil.ignore_patterns("__pycache__"))
    words = [
        "unshare",
        "-n",
        "sh",
        "-ec",
        NAMESPACE,
        "sh",
        *interpreter.command("-m", "agent", "recorder", "--root", str(folder)),
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(
        words, cwd=interpreter.root, env=environment() | {"VALUE": "1"}, stdout=log, stderr=log
    ) as recorder:  # fmt: skip
        try:
            limit = time.monotonic() + 90
            while not (folder / "var/run/oubli/control/socket").exists():
                assert recorder.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < limit, "the recorder doesn't listen"
                time.sleep(0.05)
            gateway = Device(folder, recorder)
            for host in (GUEST, *OTHERS):
                gateway.inside(
                    "ip", "neigh", "add", f"192.168.7.{host}", "lladdr", mac(host), "dev", "lan", "nud", "permanent"
                )
            with guests_page.serving(interpreter, folder, folder=folder / "lib", user=PORTAL, lan=True) as server:
                yield Venue(gateway, server, interpreter)
        finally:
            recorder.terminate()
            recorder.wait(240)


@pytest.fixture
def venue() -> Iterator[Venue]:
    """Give a venue in a folder with a short name that every user may read."""
    with tempfile.TemporaryDirectory(prefix="oubli-") as path:
        Path(path).chmod(0o755)
        with open_venue(Path(path)) as made:
            yield made


def test_fifty_guests_who_hammer_keep_nobody_out(venue: Venue) -> None:
    """L34-V-4: each asks again as soon as he is answered, and some send a body that never comes.

    Another one suspends meanwhile.

    He is the first of those who wait, both times (test_page.py); so fifty others beside him
    cost him two answers, however slow they are.
    """
    venue.grant(GUEST)
    over = threading.Event()
    answered = dict.fromkeys(OTHERS, 0)

    def hammer(host: int) -> None:
        while not over.is_set():
            with suppress(OSError, http.client.HTTPException):
                if host % 10:
                    venue.ask(host)
                else:
                    with venue.server.knock(
                        f"127.0.7.{host}", b"POST / HTTP/1.1\r\nContent-Length: 200\r\n\r\nact=s", timeout=1
                    ) as peer:
                        peer.recv(1)
                answered[host] += 1

    threads = [threading.Thread(target=hammer, args=(host,)) for host in OTHERS]
    for thread in threads:
        thread.start()
    try:
        limit = time.monotonic() + 240
        while min(count for host, count in answered.items() if host % 10) < 3:
            assert time.monotonic() < limit, "they don't hammer"
            time.sleep(0.1)
        before, began = sum(answered.values()), time.monotonic()
        status, text = venue.act(GUEST, "suspend")
        # -s
        print(
            f"suspended within {time.monotonic() - began:.2f} s, "
            f"while {sum(answered.values()) - before} others were answered"
        )
    finally:
        over.set()
        for thread in threads:
            thread.join(240)
    assert (status, "Your consent is suspended" in text) == (200, True)
    assert venue.consents()["suspended"] == 1


def test_a_guest_who_hammers_is_told_so_and_the_others_are_not(venue: Venue) -> None:
    """L34-V-4: six calls a second are his; another guest's are another's."""
    seen = set()
    limit = time.monotonic() + 90
    while 429 not in seen:
        seen.add(venue.ask(OTHERS[0])[0])
        assert seen <= {200, 429}
        assert time.monotonic() < limit, "nobody is told"
    assert venue.ask(GUEST)[0] == 200


def test_a_guest_wears_out_no_flash_and_fills_no_log(venue: Venue) -> None:
    """L34-V-4, L34-VI-3: two hundred and twenty times suspended and resumed: five a day.

    Another one's withdrawal is noted.
    """
    venue.grant(GUEST)
    venue.grant(OTHERS[0])
    told, page = [], ""
    for act in ("suspend", "resume") * 7:
        status, page = venue.act(GUEST, act, page)  # so his requests stay below a minute's
        assert "too many requests" not in page
        told.append(status)
        time.sleep(0.5)  # as a person does it
    assert told.count(429) == 2
    assert venue.act(OTHERS[0], "withdraw")[0] == 200
    log = venue.oubli("log")
    assert log.count(" consent resumed portal") == 5
    assert log.count(" consent withdrawn portal") == 1


KNOCK = """
import socket
through = 0
for _ in range(20):
    with socket.socket() as one:
        one.settimeout(0.2)
        through += one.connect_ex(("10.9.0.1", 8450)) == 0
print(through)
"""
LISTEN = (
    "import socket; one = socket.create_server(('10.9.0.1', 8450), backlog=99); print('listening', "
    "flush=True); one.accept(); input()"
)


def test_the_kernel_limits_each_terminal_by_its_mac(tmp_path: Path) -> None:
    """L34-V-4: what etc/init.d/oubli loads, twice, in a real kernel.

    One terminal's connections are dropped, another's are its own.
    """
    gateway, one, other = (f"oubli-{os.getpid()}-{name}" for name in "gab")
    steps = [f"netns add {name}" for name in (gateway, one, other)]
    steps += [
        f"-n {gateway} {words}"
        for words in ("link add lan type bridge", "addr add 10.9.0.1/24 dev lan", "link set lan up")
    ]
    for number, name in enumerate((one, other)):
        steps += [f"link add port{number} netns {gateway} type veth peer name wifi netns {name}"]
        steps += [f"-n {gateway} link set port{number} master lan up", f"-n {name} link set wifi up"]
        steps += [f"-n {name} addr add 10.9.0.{number + 2}/24 dev wifi"]
    inside = lambda name, *words: ["ip", "netns", "exec", name, *words]  # noqa: E731 (words of one call)
    try:
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True, capture_output=True)
        for _ in range(2):
            table = str(PROJECT / "boards/common/usr/share/oubli/page.nft")
            subprocess.run(inside(gateway, "nft", "-f", table), check=True, capture_output=True)
        words = inside(gateway, sys.executable, "-c", LISTEN)
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == b"listening\n"
            for name in (one, other):
                done = subprocess.run(inside(name, sys.executable, "-c", KNOCK), check=True, capture_output=True)
                assert 6 <= int(done.stdout) < 20
            listener.kill()
    finally:
        for name in (gateway, one, other):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SAYS: dict[str, dict[str, str]] = {
    "fr": {
        "suspend": "Votre accord est suspendu", "resume": "Votre accord est rétabli",
        "withdraw": "Votre accord est retiré", "object": "n'est plus compté",
        "accept": "Votre opposition au comptage est levée",
        "erase": "Votre demande d'effacement a été prise en compte", "see": "sécurité du réseau",
    },
    "en": {
        "suspend": "Your consent is suspended", "resume": "is no longer suspended",
        "withdraw": "Your consent is withdrawn",
        "object": "is counted no more", "accept": "is taken back",
        "erase": "Your request for erasure has been received",
        "see": "security of the network",
    },
}  # fmt: skip


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Give a headless Chromium."""
    with chromium() as one:
        yield one


def accessible(page: Page) -> None:
    """Check a page by axe-core's rules, and that nothing is wider than the window."""
    found: dict[str, Any] = Axe().run(page, options=RULES).response
    assert [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]] == []
    assert len(found["passes"]) > 10
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]


def press(page: Page, act: str, *, nth: int = 0) -> None:
    """Come to a button by the tabulator key alone, and press it."""
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "(at => [at.value, "
            "[...document.querySelectorAll(`button[value=${at.value}]`)].indexOf(at)])(document.activeElement)"
        )
        if at == [act, nth]:
            break
    else:
        raise AssertionError(act)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def save(page: Page) -> dict[str, Any]:
    """Come to the button of the file by the tabulator key, press it, and return what the file holds."""
    time.sleep(1)  # six calls a second are a terminal's
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "export":
            break
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    saved: dict[str, Any] = json.loads(Path(download.value.path()).read_text())
    return saved


@pytest.mark.needs("chromium-headless-shell")
@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_guest_does_on_his_phone_by_keys_alone_what_the_law_gives_him(
    venue: Venue, browser: Browser, language: str
) -> None:
    """See, save, suspend, resume, object, take that back, withdraw one purpose, erase: told in his language.

    Axe finds nothing.
    """
    says = SAYS[language]
    venue.grant(GUEST)
    time.sleep(2)  # what begins in a consent's first second may have begun before it, and isn't kept by it
    venue.connections(GUEST, 2)
    venue.browse(GUEST)
    page = browser.new_context(
        locale={"fr": "fr-FR", "en": "en-GB"}[language], viewport={"width": 360, "height": 740}, accept_downloads=True
    ).new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.goto(venue.address)
    assert page.locator("html").get_attribute("lang") == language
    accessible(page)

    def did(act: str, nth: int = 0) -> str:
        time.sleep(1)  # six calls a second are a terminal's
        press(page, act, nth=nth)
        accessible(page)
        text = page.locator("main").inner_text()
        assert says[act].replace("'", "\u2019") in text.replace("'", "\u2019"), text
        return text

    # Page, file and `oubli who` say the same of each purpose, of `services` too once the consent is a second old.
    limit = time.monotonic() + 90
    before = None
    while before != (before := venue.who(GUEST)):  # what has ended may still be on its way from the kernel
        assert time.monotonic() < limit, "it doesn't settle"
        told = re.search(says["see"] + r"\W+(\d+)", did("see"))
        assert told is not None
        saved = save(page)
        page.goto(f"{venue.address}/?lang={language}")
    rows, end = before
    assert told is not None
    assert int(told[1]) == end["records"]["security"] >= 2
    kept = Counter(row["purpose"] for row in saved["records"])
    assert {name: kept[name] for name in end["records"]} == end["records"]
    assert Counter(json.dumps(row, separators=(",", ":"), sort_keys=True) for row in saved["records"]) == rows
    assert (saved["complete"], saved["consents"], saved["sealed"]) == (True, end["consents"], end["sealed"])
    assert kept["services"] >= 2
    did("suspend")
    assert venue.consents()["suspended"] == 1
    did("resume")
    assert venue.consents()["active"] == 1
    did("object")
    assert (venue.objections(), venue.consents()["suspended"]) == (1, 1)
    did("accept")
    assert venue.objections() == 0
    did("resume")
    did("withdraw", 1)  # location alone
    assert "services" in venue.oubli("consent", "list")
    assert "location" not in venue.oubli("consent", "list")
    did("erase")
    limit = time.monotonic() + 90
    while venue.held(GUEST):
        assert time.monotonic() < limit, "it isn't erased"
        time.sleep(0.2)
    assert venue.consents()["withdrawn"] == 1
    assert complaints == []


@pytest.mark.needs("chromium-headless-shell")
def test_a_page_of_another_site_does_nothing_by_a_guests_browser(venue: Venue, browser: Browser) -> None:
    """By a form of another origin, and by a name of its own that leads here (DNS rebinding).

    403, and nothing is changed.
    """
    venue.grant(GUEST)
    venue.browse(GUEST)
    token = re.search(r'name="token" value="(\w+)"', venue.ask(GUEST)[1])
    assert token is not None
    form = f'<form method="post" action="{venue.address}/"><input name="token" value="{token[1]}">'
    form += '<button name="act" value="withdraw">x'
    page = browser.new_page()
    page.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://evil.example/")
    with page.expect_response(venue.address + "/") as answer:
        page.get_by_role("button").click()
    assert answer.value.status == 403
    rebound = browser.new_page()
    name = f"rebound.example:{venue.server.port}"
    rebound.route(f"http://{name}/**", lambda route: route.fulfill(response=route.fetch(
        url=route.request.url.replace(name, f"127.0.0.1:{venue.server.port}"),
        headers=route.request.headers | {"host": name}
    )))  # fmt: skip
    answered = rebound.goto(f"http://{name}/")
    assert answered is not None
    assert answered.status == 403
    assert venue.consents() == {"active": 1, "suspended": 0, "withdrawn": 0, "ended": 0}
