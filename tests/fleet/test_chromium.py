# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium, served by `oubli-fleet serve` beside a real broker.

What an operator does, with eyes, keyboard and rules.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from base64 import b32decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django_otp.oath import totp

from tests.fleet import says
from tests.fleet.test_collector import publish, until
from tests.support.browsers import chromium
from tests.support.interpreters import PROJECT
from tools.fleet import simulated, staging
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.needs("mosquitto", "chromium-headless-shell"), pytest.mark.xdist_group("chromium")]
SLOW = 120_000  # ms that a page may take on a machine that does much else
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # of what is in order no list of all places
}


@pytest.fixture
def served(sqlite: str, tmp_path: Path) -> Iterator[tuple[str, str, int, list[simulated.Venue]]]:
    """Give the page of a fleet of thirty: its address, the password that it told, the broker's port, the venues."""
    venues = simulated.venues(30)
    staging.fill(venues, 9, int(time.time()))
    log = tmp_path / "log"
    with Mosquitto(tmp_path) as broker, log.open("wb") as file:
        words = ["serve", "--broker", f"mqtt://127.0.0.1:{broker.port}", "--listen", "127.0.0.1:0", "--consumers", "1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.fleet", *words],
            cwd=PROJECT,
            env=os.environ | {"OUBLI_FLEET_DB": sqlite},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        try:
            until(
                lambda: b"page: http" in log.read_bytes() and log.read_bytes().count(b"connected without") >= 2,
                "the page is served",
            )
            address = re.search(r"page: (\S+)/\n", log.read_text())
            password = re.search(r"log in as operator with (\S+)", log.read_text())
            assert address is not None
            assert password is not None
            yield address[1], password[1], broker.port, venues
        finally:
            process.terminate()
            assert process.wait(240) == 0, log.read_text()
        assert "Traceback" not in log.read_text()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Give a headless Chromium."""
    with chromium() as one:
        yield one


def watched(page: Page) -> list[str]:
    """Return a list that grows by everything that the page asks for elsewhere, and whatever it complains of."""
    found: list[str] = []
    page.set_default_timeout(SLOW)
    page.on(
        "request", lambda request: None if request.url.startswith("http://127.0.0.1:") else found.append(request.url)
    )
    page.on("console", lambda message: found.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda failure: found.append(str(failure)))
    return found


def accessible(page: Page) -> None:
    """Check a page by axe-core's rules, and that nothing is wider than the window."""
    found: dict[str, Any] = Axe().run(page, options=RULES).response
    faults = [
        (rule["id"], node["html"][:200], node["failureSummary"][:300])
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    assert faults == [], page.url
    assert len(found["passes"]) > 10
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1], page.url


def follow(page: Page, link: Locator) -> None:
    """Click, and wait for the page that it leads to."""
    with page.expect_navigation():
        link.click()


def points(chart: Locator) -> None:
    """Point at one bar, touch another: their figures are said above the chart."""
    said, bars = chart.locator(".pointed"), chart.locator("svg g")
    bars.nth(3).locator(".hit").hover(force=True)
    assert said.inner_text() == bars.nth(3).get_attribute("data-text")
    bars.nth(4).locator(".hit").dispatch_event("pointerdown")  # as a finger does
    assert said.inner_text() == bars.nth(4).get_attribute("data-text") != bars.nth(3).get_attribute("data-text")


def tags(page: Page, name: str) -> None:
    """Mark a gateway in the inventory, and give it two tags."""
    follow(page, page.get_by_role("link", name="Inventaire"))
    page.get_by_label(name, exact=True).check()
    page.get_by_label("Groupe, étiquettes ou fuseau horaire").fill("à surveiller")
    follow(page, page.get_by_role("button", name="Ajouter les étiquettes"))
    accessible(page)
    assert page.get_by_role("status").inner_text() == "Passerelles modifiées : 1"
    assert page.get_by_role("row").filter(has_text=name).filter(has_text="surveiller à").is_visible()


def test_an_operator_finds_the_gateway_in_breach_reads_its_band_and_exports(served, browser):
    """Log in, find the gateway in breach, read its band, switch the language, export; every page by axe's rules.

    Nothing from elsewhere.
    """
    address, password, port, venues = served
    context = browser.new_context(locale="en-GB", viewport={"width": 1360, "height": 900}, accept_downloads=True)
    page = context.new_page()
    strange = watched(page)
    page.goto(f"{address}/compliance")
    accessible(page)
    page.get_by_label("Name").fill("operator")
    page.get_by_label("Password").fill(password)
    follow(page, page.get_by_role("button", name="Log in"))
    assert page.url == f"{address}/compliance"  # where one wanted to go
    accessible(page)

    follow(page, page.get_by_role("link", name="Gateways").first)
    accessible(page)
    # A small laptop: still a row a gateway, and all of it in view
    page.set_viewport_size({"width": 1025, "height": 800})
    accessible(page)
    assert page.locator("#list tbody tr").first.evaluate("row => getComputedStyle(row).display") == "table-row"
    page.set_viewport_size({"width": 1360, "height": 900})
    follow(page, page.get_by_role("link", name=re.compile("breach")))
    late = venues[3]
    row = page.get_by_role("row").filter(has_text="A record outlived its deadline").filter(has_text=late.name)
    follow(page, row.get_by_role("link"))
    accessible(page)
    assert page.get_by_role("heading", level=1).inner_text() == late.name
    # Not the day's whole section, which has other bands as well
    arrivals = page.locator('section[aria-labelledby="m-arrivals"]')
    arrivals.get_by_text("The figures").click()
    told = arrivals.get_by_role("cell").all_inner_texts()
    assert len(told) > 5
    assert all(re.fullmatch(r"(< 8|\d+ ± 12)( \(too small to say\))?|\u2013", one) for one in told)
    band, value = (arrivals.locator(f"svg .{name}").first.bounding_box() for name in ("band", "value"))
    assert band is not None
    assert value is not None
    assert band["height"] > 5
    assert band["y"] < value["y"] + 1  # it reaches above the bar's end

    points(arrivals)

    follow(page, page.get_by_role("button", name="Français"))
    assert page.locator("html").get_attribute("lang") == "fr"
    assert page.get_by_role("heading", name="Constats").is_visible()
    follow(page, page.get_by_role("link", name="Parc"))
    # A week's mean day, the last day
    assert ["±" in text for text in page.locator(".big").all_inner_texts()] == [True, True]
    accessible(page)
    follow(page, page.get_by_role("link", name="Conformité"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Exporter en CSV").click()
    with Path(download.value.path()).open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[1] for row in rows if "dépassé son terme" in row[4]] == [late.name]
    page.emulate_media(media="print")  # what is printed, or made a PDF, is the list alone
    assert not page.locator(".top, .actions").first.is_visible()
    assert page.get_by_role("cell", name="Un enregistrement a dépassé son terme (expiration tardive)").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF-")
    page.emulate_media(media="screen")

    tags(page, late.name)

    follow(page, page.get_by_role("link", name="Passerelles").first)
    publish(port, says.health(venues[0].ident, int(time.time()), late=True))
    page.get_by_role("link", name=venues[0].name, exact=True).scroll_into_view_if_needed()
    page.locator("tr.breach", has_text=venues[0].name).wait_for()  # by itself: the list is live
    assert strange == []


def test_keyboard_phone_and_dark(served, browser):
    """By keys alone: skip link, log-in, a gateway.

    On a phone and in the dark the rules of axe hold too, contrast among them.
    """
    address, password, _, venues = served
    late = venues[3]
    for look in (
        {"color_scheme": "dark", "viewport": {"width": 1360, "height": 900}},
        {"viewport": {"width": 360, "height": 740}},
    ):
        page = browser.new_context(locale="fr-FR", **look).new_page()
        strange = watched(page)
        page.goto(address)
        page.locator("#id_username:focus").wait_for()  # the page is loaded before Chromium gives it the keys
        page.keyboard.type("operator")
        page.keyboard.press("Tab")
        page.keyboard.type(password)
        page.keyboard.press("Enter")
        page.wait_for_selector("#list")
        accessible(page)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id.startsWith('g-')"):
                break
        page.keyboard.press("Enter")
        page.wait_for_url("**/gateway/*")
        for path in ("", "fleet", "compliance", "alerts", "inventory", "people", "password", "factor", "tokens"):
            if path:
                page.goto(f"{address}/{path}")
            accessible(page)
        assert strange == []
        page.goto(f"{address}/nowhere")
        accessible(page)
        mistakes(page, address, late.ident)
    code = second_factor(page, address, password)
    follow(page, page.get_by_role("button", name="Se déconnecter"))
    page.get_by_label("Nom").fill("operator")
    page.get_by_label("Mot de passe").fill(password)
    page.get_by_label("Code, si vous avez un second facteur").fill(code)
    follow(page, page.get_by_role("button", name="Se connecter"))
    page.wait_for_selector("#list")


def mistakes(page: Page, address: str, ident: str) -> None:
    """Type what isn't taken, read why where it stands, put it right."""
    page.goto(f"{address}/gateway/{ident}")
    page.locator("details.known summary").first.click()
    page.get_by_label("Heures").first.fill("99999")
    page.get_by_label("Motif").first.fill("Un technicien vient")
    follow(page, page.get_by_role("button", name="Prendre en compte").first)
    accessible(page)
    hours = page.get_by_label("Heures", exact=True)
    assert hours.get_attribute("aria-invalid") == "true"
    assert "720" in page.locator(f"#{hours.get_attribute('aria-describedby')}").inner_text()
    hours.fill("8")
    follow(page, page.get_by_role("button", name="Mettre en silence"))
    assert page.url == f"{address}/gateway/{ident}"
    page.locator("#id_tags").fill("t" * 40)
    follow(page, page.get_by_role("button", name="Enregistrer"))
    accessible(page)
    assert "des étiquettes ; accepté" in page.get_by_role("alert").inner_text().replace("\u202f", " ")
    assert page.locator("#id_tags").input_value() == "t" * 40


def second_factor(page: Page, address: str, password: str) -> str:
    """Set the second factor up as a person does who types the key in; return a recovery code."""
    page.goto(f"{address}/factor")
    page.get_by_label("Mot de passe").fill(password)
    follow(page, page.get_by_role("button", name="Le mettre en place"))
    accessible(page)
    picture = page.locator(".qr svg").bounding_box()
    assert picture is not None
    assert picture["width"] > 100
    key = b32decode(page.locator("main p > code").inner_text().replace(" ", ""))
    page.get_by_label("Code", exact=True).fill(f"{totp(key):06}")
    follow(page, page.get_by_role("button", name="Activer"))
    accessible(page)
    return page.locator(".codes code").first.inner_text()
