# SPDX-License-Identifier: Apache-2.0
"""LuCI and rpcd on a real OpenWrt: what root sees in Chromium, and what somebody who may only read may not call."""

from __future__ import annotations

import json
import shutil
import urllib.request

import pytest
from playwright.sync_api import sync_playwright

from host_sim.openwrt.doorway import Doorway
from host_sim.openwrt.network import GATEWAY

pytestmark = pytest.mark.needs("chromium")

PASSWORD = "only in qemu"
NOBODY = "0" * 32  # rpcd's session for whoever isn't logged in
PATIENCE = 180_000  # ms that LuCI may take, on a machine that does much else
DENIED = 6  # ubus: permission denied


@pytest.fixture
def luci(installed):
    """Give the address of LuCI: its package and ours installed, root has a password, `reader` may read oubli's page alone."""
    machine = installed.machine
    installed.add("luci-app-oubli")
    machine.run(
        "uci add rpcd login && uci set rpcd.@login[-1].username=reader && "
        f"uci set rpcd.@login[-1].password=\"$(uhttpd -m '{PASSWORD}')\" && uci add_list rpcd.@login[-1].read=luci-app-oubli && "
        f"uci commit rpcd && printf '{PASSWORD}\\n{PASSWORD}\\n' | passwd root && /etc/init.d/rpcd restart && sleep 3"
    )
    door = Doorway(installed.wires.administrator, GATEWAY, 80)
    yield f"http://127.0.0.1:{door.port}"
    door.close()


def call(address: str, session: str, *words: object) -> list:
    """Call ubus through uhttpd, as LuCI does; returns the status and what was answered."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": [session, *words]}
    request = urllib.request.Request(f"{address}/ubus", json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE / 1000) as answer:  # noqa: S310 (our own door)
        said = json.load(answer)
    return said.get("result") or [said["error"]["code"]]


def log_in(address: str, user: str) -> str:
    status, answer = call(address, NOBODY, "session", "login", {"username": user, "password": PASSWORD})
    assert status == 0
    return str(answer["ubus_rpc_session"])


def test_page_in_luci_shows_status_doctor_and_purposes(luci, installed):
    ident = installed.machine.run("uci get oubli.gateway.id").strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{luci}/cgi-bin/luci/admin/services/oubli", timeout=PATIENCE)
        page.fill("#luci_username", "root", timeout=PATIENCE)
        page.fill("#luci_password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("h2:has-text('oubli')", timeout=PATIENCE)
        wrong: list[str] = []  # from here on: LuCI's own question for a password makes calls that are denied
        page.on("pageerror", lambda failure: wrong.append(str(failure)))
        page.wait_for_timeout(6000)  # one round of what the page asks anew
        shown = page.inner_text("#maincontent")
        browser.close()
    assert ident in shown
    assert "security" in shown
    assert wrong == []


def test_who_may_only_read_reads_and_changes_nothing(luci):
    session = log_in(luci, "reader")
    status, answer = call(luci, session, "oubli", "status", {})
    assert (status, answer["capture"]) == (0, "ok")
    assert call(luci, session, "oubli", "consent", {"verb": "list"})[0] in {DENIED, -32002}
    assert call(luci, session, "uci", "set", {"config": "oubli", "section": "gateway", "values": {"duty": "none"}})[0] in {DENIED, -32002}
    assert call(luci, NOBODY, "oubli", "status", {})[0] in {DENIED, -32002}
