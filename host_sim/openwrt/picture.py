# SPDX-License-Identifier: Apache-2.0
"""`python -m host_sim.openwrt.picture FILE`: the picture of LuCI that README shows.

It is taken while `oubli-sim gateway` runs on this machine.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from host_sim.openwrt.command import LUCI, PASSWORD

PATIENCE = 120_000  # ms
COLOURS = 64


def take(target: Path, address: str = f"http://127.0.0.1:{LUCI}", password: str = PASSWORD) -> None:
    """Log in, wait until oubli's page tells of records and of what doctor found, and keep it as a small picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 720})
        page.goto(f"{address}/cgi-bin/luci/admin/services/oubli", timeout=PATIENCE)
        page.fill("#luci_username", "root", timeout=PATIENCE)
        page.fill("#luci_password", password)
        page.keyboard.press("Enter")
        page.wait_for_selector("h2:has-text('oubli')", timeout=PATIENCE)
        page.wait_for_selector("td:text-matches('^[1-9][0-9]* records')", timeout=PATIENCE)
        page.wait_for_function("!document.getElementById('view').innerText.includes('Looking')", timeout=PATIENCE)
        page.screenshot(path=target)
        browser.close()
    Image.open(target).convert("RGB").quantize(COLOURS).save(target, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
