# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.fleet.screenshots FOLDER`: README's pictures of the page, by Chromium, of a simulated fleet."""

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tools import clock
from tools.fleet import site
from tools.fleet.serve import serve_page

PASSWORD = "only for pictures"  # noqa: S105 (of a page that is gone when the pictures are made)
_WIDE, _PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}


def _serve(store: str) -> None:
    site.configure(store)
    site.open_store()
    listener = socket.create_server(("127.0.0.1", 0))
    serve_page(listener, None, None, lambda: print(listener.getsockname()[1], flush=True))


def _open(browser: Browser, address: str, path: str, scheme: str, size: dict[str, int], locale: str) -> Page:
    # Their typed dictionary
    context = browser.new_context(color_scheme=scheme, viewport=size, locale=locale)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address + path)
    page.get_by_label("Nom" if locale == "fr-FR" else "Name").fill("operator")
    page.locator("#id_password").fill(PASSWORD)
    with page.expect_navigation():
        page.locator("button.main").click()
    return page


def make(folder: Path) -> None:
    """Fill a store, serve it, take the pictures."""
    with tempfile.TemporaryDirectory() as name:
        store = f"sqlite:///{name}/fleet.sqlite"
        site.configure(store)
        site.open_store()
        from django.contrib.auth import get_user_model

        from tools.fleet import simulated, staging

        venues = simulated.venues(40)
        staging.fill(venues, 60, int(clock.seconds()))
        get_user_model().objects.create_user("operator", password=PASSWORD)
        server = subprocess.Popen(
            [sys.executable, "-m", "tools.fleet.screenshots", "--serve", store], stdout=subprocess.PIPE, text=True
        )
        try:
            if server.stdout is None:
                raise RuntimeError
            address = f"http://127.0.0.1:{int(server.stdout.readline())}"
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox"]
                )
                pictures = (
                    ("gateways", "/", "light", _WIDE, "en-GB"),
                    ("gateway", f"/gateway/{venues[3].ident}", "light", _WIDE | {"height": 1100}, "en-GB"),
                    ("fleet", "/fleet", "dark", _WIDE, "fr-FR"),
                    ("phone", "/", "light", _PHONE, "fr-FR"),
                )
                for picture, path, scheme, size, locale in pictures:
                    target = folder / f"{picture}.png"
                    _open(browser, address, path, scheme, size, locale).screenshot(path=target)
                    # A third of the octets, nothing to be seen of it
                    Image.open(target).quantize(128).save(target, optimize=True)
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        _serve(sys.argv[2])
    else:
        make(Path(sys.argv[1]))
