# SPDX-License-Identifier: Apache-2.0
"""LuCI and rpcd on a real OpenWrt: what root sees in Chromium, and what somebody who may only read may not call."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import urllib.request

import pytest
from playwright.sync_api import TimeoutError, sync_playwright  # noqa: A004 (that of a browser)

from host_sim.openwrt.doorway import Doorway
from host_sim.openwrt.network import GATEWAY
from tests.openwrt.conftest import PASSWORD

pytestmark = pytest.mark.needs("chromium")

NOBODY = "0" * 32  # rpcd's session for whoever isn't logged in
PATIENCE = 180_000  # ms that LuCI may take, on a machine that does much else
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


def test_page_in_luci_shows_how_oubli_is_and_answers_a_question(luci, equipped):
    machine = equipped.machine
    ident = machine.run("uci get oubli.gateway.id").strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.add_init_script(PATIENT)
        page.goto(f"{luci}/cgi-bin/luci/admin/services/oubli", timeout=PATIENCE)
        page.fill("#luci_username", "root", timeout=PATIENCE)
        page.fill("#luci_password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("h2:has-text('oubli')", timeout=PATIENCE)
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
        browser.close()
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.add_init_script(PATIENT)
        page.goto(f"{luci}/cgi-bin/luci/admin/services/oubli/figures", timeout=PATIENCE)
        page.fill("#luci_username", "root", timeout=PATIENCE)
        page.fill("#luci_password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("h2:has-text('Published figures')", timeout=PATIENCE)
        page.fill("label:has-text('Terminals on a mean day') input", "30")
        page.wait_for_selector("td:has-text('tiny *')", timeout=PATIENCE)
        page.select_option("select", "tiny")
        page.click("button:has-text('Save & Apply'), .cbi-button-apply:has-text('Save & Apply')")
        equipped.until(lambda: published() == ["dayparts", "presence"])
        browser.close()


def test_who_may_only_read_reads_and_changes_nothing(luci):
    session = log_in(luci, "reader")
    status, answer = call(luci, session, "oubli", "status", {})
    assert (status, answer["capture"]) == (0, "ok")
    assert call(luci, session, "oubli", "consent", {"verb": "list"})[0] in DENIED
    assert call(luci, session, "oubli", "lookup", {})[0] in DENIED
    assert (
        call(luci, session, "uci", "set", {"config": "oubli", "section": "gateway", "values": {"duty": "none"}})[0]
        in DENIED
    )
    assert call(luci, NOBODY, "oubli", "status", {})[0] in DENIED
