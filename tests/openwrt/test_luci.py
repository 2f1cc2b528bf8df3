# SPDX-License-Identifier: Apache-2.0
"""LuCI and rpcd on a real OpenWrt: what root sees in Chromium, and what somebody who may only read may not call."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError  # noqa: A004 (that of a browser)

from agent.summary.messages import SUMMARY_OCTETS, summary
from agent.summary.metrics import MESSAGES, METRICS, PROFILES, scales
from agent.summary.published import DAYS
from host_sim.openwrt.doorway import Doorway
from host_sim.openwrt.network import GATEWAY
from tests.openwrt.conftest import PASSWORD
from tests.support.browsers import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.openwrt.conftest import World

pytestmark = pytest.mark.needs("chromium-headless-shell")

NOBODY = "0" * 32  # rpcd's session for whoever isn't logged in
PATIENCE = 180_000  # ms that LuCI may take, on a machine that does much else
SAVE = "button:has-text('Save & Apply'), .cbi-button-apply:has-text('Save & Apply')"
LIFETIME = "#cbi-oubli-security-lifetime"
# LuCI's own, on each of its pages: its theme's colours, and labels that its widgets make
LUCIS = {"color-contrast", "label", "select-name", "list", "nested-interactive", "aria-allowed-role"}
DENIED = {6, -32002}  # ubus: permission denied; uhttpd's word for it
# LuCI gives up after 20 seconds, for which an emulated processor on a busy machine may stand still.
PATIENT = (
    "const wait = setInterval(() => { if (window.L && L.env) { L.env.rpctimeout = 600; clearInterval(wait); } }, 1);"
)


@pytest.fixture(scope="module")
def luci(equipped):
    """Give the address of LuCI; `reader` may read oubli's page alone."""
    equipped.machine.restore("complete")
    equipped.until(lambda: not equipped.found())  # the forwarder comes back a moment after the saved state
    door = Doorway(equipped.wires.administrator, GATEWAY, 80)
    yield f"http://127.0.0.1:{door.port}"
    door.close()


def call(address: str, session: str, *words: object) -> list:
    """Call ubus through uhttpd, as LuCI does; returns the status and what was answered."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": [session, *words]}
    sent, head = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/ubus", sent, head)  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE / 1000) as answer:  # noqa: S310 (our own door)
        said = json.load(answer)
    return said.get("result") or [said["error"]["code"]]


def log_in(address: str, user: str) -> str:
    status, answer = call(address, NOBODY, "session", "login", {"username": user, "password": PASSWORD})
    assert status == 0
    return str(answer["ubus_rpc_session"])


@contextlib.contextmanager
def opened(luci: str, place: str, heading: str, locale: str = "en") -> Iterator[Page]:
    """Sign root in to LuCI in a Chromium of that language and give one of oubli's pages, once its heading is there."""
    with chromium() as browser:
        page = browser.new_page(locale=locale)
        page.add_init_script(PATIENT)
        page.goto(f"{luci}/cgi-bin/luci/admin/services/oubli{place}", timeout=PATIENCE)
        page.fill("#luci_username", "root", timeout=PATIENCE)
        page.fill("#luci_password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector(f'h2:has-text("{heading}")', timeout=PATIENCE)
        yield page


def test_page_in_luci_shows_how_oubli_is_and_answers_a_question(luci, equipped):
    machine = equipped.machine
    ident = machine.run("uci get oubli.gateway.id").strip()
    with opened(luci, "", "oubli") as page:
        wrong: list[str] = []  # from here on: LuCI's own question for a password makes calls that are denied
        page.on("pageerror", lambda failure: wrong.append(str(failure)))
        page.wait_for_selector("p:has-text('Nothing was found.')", timeout=PATIENCE)
        shown = page.inner_text("#maincontent")
        # What the page asks anew: a configuration is refused, then accepted.
        refused = page.locator("td:has-text(\"'91d' is above the ceiling of 90d\")")
        equipped.change("security.lifetime=91d")
        refused.wait_for(timeout=PATIENCE)
        equipped.change("security.lifetime=24h")
        refused.wait_for(state="detached", timeout=PATIENCE)
        # A question of the network's security, through the form: what the first terminal did.
        (terminal, *_) = equipped.lan.terminals
        row, limit = page.locator(f"td:has-text('{terminal.address4}')").first, time.monotonic() + PATIENCE / 1000
        # A call that an emulated processor is too slow for is given up: whoever asks asks again
        while not row.is_visible():
            assert time.monotonic() < limit, page.inner_text("#maincontent")
            told = machine.run("for ago in 7200 0; do date -u -d @$(($(date +%s) - ago)) +%FT%TZ; done").split()
            for label, value in zip(
                ("terminal", "at", "until", "reason"), (terminal.mac.hex(":"), *told, "malware"), strict=True
            ):
                page.fill(f"label:has-text('{label}') input", value)
            page.click("button:has-text('Look up')")
            with contextlib.suppress(TimeoutError):
                row.wait_for(timeout=PATIENCE / 6)
    assert ident in shown
    assert "security" in shown
    assert wrong == []
    log = machine.run("oubli log --json")
    assert "malware" in log  # who asked, when and why is written down, and nothing of the terminal
    assert terminal.mac.hex(":") not in log


def test_profile_of_figures_is_chosen_in_luci_and_taken_by_the_recorder(luci, equipped):
    def published() -> list[str]:
        return equipped.status().get("summary", {}).get("metrics", [])

    assert len(published()) == 5
    with opened(luci, "/figures", "Published figures") as page:
        page.fill("label:has-text('Terminals on a mean day') input", "30")
        page.wait_for_selector("td:has-text('tiny *')", timeout=PATIENCE)
        page.select_option("select", "tiny")
        page.click(SAVE)
        equipped.until(lambda: published() == ["dayparts", "presence"])


def test_settings_are_read_by_the_agent_before_they_are_saved(luci, equipped):
    """A lifetime above the ceiling, and a venue with quotes; then the view with what came of it."""
    machine = equipped.machine
    machine.restore("complete")  # what another test has LuCI apply, it may roll back
    equipped.until(lambda: not equipped.found())
    with opened(luci, "/settings", "Settings of oubli") as page:
        networks = page.inner_text("#cbi-oubli-gateway-lan")
        assert "lan" in networks
        page.fill(f"{LIFETIME} input", "91d")
        page.click(SAVE)
        page.locator(f"{LIFETIME} [role=alert]").wait_for(timeout=PATIENCE)
        assert "above the ceiling of 90d" in page.inner_text(LIFETIME)
        assert machine.run("uci changes; grep -c 91d /etc/config/oubli || true").strip() == "0"
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.querySelector('#maincontent').scrollWidth") <= 390
        found = Axe().run(page, context="#maincontent").response["violations"]
        assert {one["id"] for one in found} <= LUCIS, found
        page.focus(f"{LIFETIME} input")
        page.keyboard.press("Control+A")
        page.keyboard.type("20h")
        page.fill("#cbi-oubli-notice-venue input", "L'Étoile d'or")
        page.click(SAVE)
        equipped.until(lambda: equipped.status()["purposes"]["security"]["lifetime_seconds"] == 20 * 3600)
        assert page.locator(f"{LIFETIME} [role=alert]").count() == 0
    assert "L'Étoile d'or" in machine.run("uci get oubli.notice.venue; oubli law --notice fr")
    with opened(luci, "", "oubli") as page:
        page.locator("td:has-text('kept at most 20 h; the oldest goes by')").wait_for(timeout=PATIENCE)
        page.locator("summary:has-text('Notice for the guests, French')").click()
        page.locator("pre:has-text('Étoile')").wait_for(timeout=PATIENCE)
        page.click("button:has-text('Set right what can do no harm')")
        page.wait_for_selector("p:has-text('Nothing was found.')", timeout=PATIENCE)


# A café's day as its gateway may have published it: arrivals by hour, with their noise, and the lengths of visits.
ARRIVALS = (1, -3, 0, 2, -1, 4, 0, 17, 36, 41, 58, 73, 91, 88, 64, 40, 37, 55, 66, 79, 48, 20, 9, -2)
VISITS = (112, 361, 240, 75, 38)
BARS = """rows => rows.map(row => [row.cells[1].innerText.trim()].concat([...row.querySelectorAll("[aria-hidden] *")]
    .map(part => [part.offsetLeft, part.offsetWidth].map(one => one / part.parentNode.offsetWidth))))"""


def a_day(ident: str, day: int) -> bytes:
    """Return the file of what was published, with one day in it, as the recorder writes it."""
    texts, widths = bytearray(DAYS * MESSAGES * SUMMARY_OCTETS), scales(PROFILES["small"], 1000, {})
    for metric in (one for one in METRICS if one.name in widths):
        for slot in range(metric.slots):
            values = [ARRIVALS[slot]] if metric.slots > 1 else list(VISITS)
            start, end = (day * 86400 + one * metric.slot_seconds for one in (slot, slot + 1))
            at = (day % DAYS * MESSAGES + metric.place + slot) * SUMMARY_OCTETS
            text = summary(ident, metric, day, slot, start, end, values, widths[metric.name])
            texts[at : at + SUMMARY_OCTETS] = text
    return bytes(texts)


def test_a_published_day_is_shown_in_bars_with_their_doubt(luci, equipped):
    """Each bar is as long as its figure, its end as wide as the ±; what noise alone may give has none (ANON-3)."""
    machine = equipped.machine
    ident = machine.run("uci get oubli.gateway.id").strip()
    # A day to come: what the recorder may publish meanwhile is of no newer one, nor of the day before it
    machine.put("/srv/oubli/published", a_day(ident, int(time.time()) // 86400 + 2))
    *_, hour, visits = json.loads(machine.run("oubli summary --json"))
    half, below = hour["half_width"], hour["below"]
    most = max(ARRIVALS) + half
    with opened(luci, "", "oubli") as page:
        drawn = page.locator("details:has(summary:has-text('Arrivals by hour')) tr:has([aria-hidden])")
        drawn.first.wait_for(timeout=PATIENCE)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.querySelector('#maincontent').scrollWidth") <= width
            for value, (text, *bar) in zip(ARRIVALS, drawn.evaluate_all(BARS), strict=True):
                told, low = value >= below, max(0, value - half)
                assert text == (f"{value} ± {half}" if told else f"< {below} (too small to say)")
                parts = [0, value / most, low / most, (value + half - low) / most] if told else []
                assert [one for part in bar for one in part] == pytest.approx(parts, abs=0.02)
        shown = page.inner_text("#maincontent")
    assert [one for one in VISITS if f"{one} ± {visits['half_width']}" not in shown] == []


def test_a_french_browser_reads_french(luci, equipped):
    """From the catalogue in the package, by LuCI's own choice of a language."""
    equipped.machine.run("uci set luci.languages.fr=Français; uci commit luci")
    with opened(luci, "/settings", "Réglages d'oubli", "fr-FR") as page:
        assert "Réseaux des visiteurs" in page.inner_text("#view")
    with opened(luci, "", "oubli", "fr-FR") as page:
        page.get_by_text("Aucune n'est en cours.").wait_for(timeout=PATIENCE)
        assert "Finalités de l'article L34-1" in page.inner_text("#view")


# What somebody who may only read tries, on oubli's objects and around them; TERMINAL is one that is known.
TRIES: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("oubli", "consent", {"act": "list"}),
    ("oubli", "consent", {"act": "withdraw", "terminal": "TERMINAL"}),
    ("oubli", "fix", {}),
    ("oubli", "log", {}),
    ("oubli", "check", {"text": "config gateway"}),
    ("oubli", "lookup", {"terminal": "TERMINAL", "at": "2026-11-25T10:00:00Z", "reason": "abuse"}),
    ("uci", "set", {"config": "oubli", "section": "gateway", "values": {"duty": "none"}}),
    ("uci", "set", {"config": "oubli", "section": "summary", "values": {"profile": "large"}}),
    ("uci", "add", {"config": "oubli", "type": "purpose", "name": "other", "values": {"enabled": "1"}}),
    ("uci", "delete", {"config": "oubli", "section": "security"}),
    ("uci", "rename", {"config": "oubli", "section": "security", "name": "other"}),
    ("uci", "order", {"config": "oubli", "sections": ["mqtt", "gateway"]}),
    ("uci", "revert", {"config": "oubli"}),
    ("uci", "commit", {"config": "oubli"}),
    ("uci", "apply", {"rollback": False}),
    ("file", "write", {"path": "/etc/config/oubli", "data": "config gateway"}),
    ("file", "read", {"path": "/etc/oubli/gateway.key"}),
    ("file", "read", {"path": "/srv/oubli/device.key"}),
    ("file", "remove", {"path": "/srv/oubli/ledger"}),
    ("file", "exec", {"command": "/usr/bin/oubli", "params": ["erase", "--all"]}),
    ("file", "exec", {"command": "/usr/bin/oubli", "params": ["doctor", "--fix"]}),
    ("file", "exec", {"command": "/usr/bin/oubli", "params": ["join", "/tmp/other.join"]}),
    ("file", "exec", {"command": "/usr/libexec/rpcd/oubli", "params": ["call", "lookup"]}),
    ("rc", "init", {"name": "oubli", "action": "stop"}),
    ("luci", "setInitAction", {"name": "oubli", "action": "stop"}),
    ("service", "delete", {"name": "oubli"}),
    ("service", "signal", {"name": "oubli", "signal": 9}),
    ("service", "event", {"type": "config.change", "data": {"package": "oubli"}}),
    ("session", "grant", {"scope": "ubus", "objects": [["oubli", "*"]]}),
    ("session", "create", {"timeout": 9000}),
)
# What he gives where a day or a language is asked for.
ODD = (
    "--config",
    "-",
    "",
    "$(touch /tmp/odd)",
    "`touch /tmp/odd`",
    "'; touch /tmp/odd; '",
    '"; touch /tmp/odd; "',
    "fr\n--agreed",
)
STATE = """md5sum /etc/config/oubli; uci changes; ls /etc/oubli; ls -l /srv/oubli
ubus call service list '{"name":"oubli"}'"""


def state(world: World) -> str:
    """Return what nobody without the right may change: configuration, stores on flash, processes."""
    said = world.machine.run(STATE)
    return re.sub(r"(?m)^.* (ledger|log.*|published.*|figures.*)$\n", "", said)  # what time changes


@pytest.mark.parametrize("user", ["reader", "watcher"])
def test_who_may_only_read_reads_and_changes_nothing(luci, equipped, user):
    """`reader` has oubli's page alone, `watcher` whatever may be read: each call answers, or isn't his."""
    session, terminal = log_in(luci, user), equipped.lan.terminals[0].mac.hex(":")
    for method in ("status", "doctor", "law"):
        status, answer = call(luci, session, "oubli", method, {"act": "withdraw", "terminal": terminal})
        assert (status, "error" in answer) == (0, False), (method, answer)
    before = state(equipped)
    for odd in ODD:
        for method, what in (("summary", "day"), ("notice", "language")):
            assert call(luci, session, "oubli", method, {what: odd})[0] == 0, (method, odd)
    assert "odd" not in equipped.machine.run("ls /tmp")
    for thing, method, fields in TRIES:
        given = {key: terminal if value == "TERMINAL" else value for key, value in fields.items()}
        assert call(luci, session, thing, method, given)[0] in DENIED, (thing, method, given)
    # Who may read everything may take LuCI's backup, in which nothing of /srv is (test_power)
    for place, form in (
        ("cgi-exec", {"command": "/usr/bin/oubli erase --all"}),
        ("cgi-download", {"path": "/srv/oubli/device.key"}),
        *([("cgi-backup", {})] if user == "reader" else []),
    ):
        sent = urllib.parse.urlencode({"sessionid": session, **form}).encode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{luci}/cgi-bin/{place}", sent, PATIENCE / 1000)  # noqa: S310
        refused.value.close()
        assert refused.value.code == 403, place
    assert state(equipped) == before
    assert call(luci, NOBODY, "oubli", "status", {})[0] in DENIED
