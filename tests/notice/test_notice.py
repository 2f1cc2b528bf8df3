# SPDX-License-Identifier: Apache-2.0
"""`oubli-notice`: one sheet of A4 in a real Chromium, whatever is on.

Its QR code is read as the page's address by another library.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from agent import law
from agent.config import config
from agent.purposes import notice
from tests.cli.test_law import EVERYTHING, GATEWAY, VENUE
from tests.support.interpreters import PROJECT
from tools.notice import page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

NAMED = " option page 'wifi.example.org'\n"
ALL = GATEWAY + EVERYTHING[len(GATEWAY) :].format(law.IN_FORCE)
ALL_NAMES = ("venue", "controller", "contact", "dpo", "custodian", "services", "location")
LONG = "".join(f" option {name} '{('Hôtel du Lac et ' * 7).strip()}'\n" for name in ALL_NAMES)
BASIC = GATEWAY + VENUE
SHEETS = {
    "least": GATEWAY,
    "security": BASIC,
    "attribution": BASIC
    + "config purpose 'attribution'\n option enabled '1'\n option ground 'IIbis-3'\n option reference 'x'\n"
    " option budget '90000000'\nconfig summary\n option rows '256'\n",
    "location": BASIC + "config purpose 'location'\n option enabled '1'\n",
    "everything": ALL + VENUE,
    "long": ALL + "config notice\n" + LONG + NAMED,
}


@pytest.fixture(scope="module")
def sheet() -> Iterator[Page]:
    """Give a page of Chromium, as wide as the paper's text."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        made = browser.new_page(viewport={"width": 734, "height": 1062})
        made.emulate_media(media="print")
        yield made
        browser.close()


def read(folder: Path, text: str) -> config.Config:
    (folder / "oubli").write_text(text)
    return config.load(str(folder / "oubli"))


@pytest.mark.needs("chromium")
@pytest.mark.xdist_group("chromium")
@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("which", SHEETS)
def test_notice_is_one_sheet_of_a4_that_says_what_the_gateway_says(
    sheet: Page, tmp_path: Path, which: str, language: str
) -> None:
    """Every line of `oubli law --notice`, in letters of 8 points at least, on one page (L34-VI-4).

    Also where everything is on; only seven names of a hundred letters each need a second one. Nothing comes from
    elsewhere, and axe agrees.
    """
    settings = read(tmp_path, SHEETS[which])
    asked: list[str] = []
    sheet.on("request", lambda request: asked.append(request.url))
    sheet.set_content(page.html(settings, language))
    pdf = sheet.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == (2 if which == "long" else 1)
    assert re.search(rb"/MediaBox \[0 0 59[45]\S* 84[12]\S*\]", pdf)
    # Chromium would make a sheet that is too wide smaller
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 734
    assert sheet.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 8 * 4 / 3
    text = sheet.locator("main").inner_text()
    for line in notice.lines(settings, language):
        assert line.removeprefix("- ") in text
    assert sheet.locator("html").get_attribute("lang") == language
    assert asked == []
    found = Axe().run(sheet, options={"runOnly": ["wcag2a", "wcag2aa", "best-practice"]}).response
    assert [rule["id"] for rule in found["violations"]] == []


@pytest.mark.needs("chromium", "zbarimg")
@pytest.mark.xdist_group("chromium")
def test_a_phone_reads_the_pages_address_off_the_sheet(sheet: Page, tmp_path: Path) -> None:
    """As it is printed, by a reader of its own; without a name for the page there is no code."""
    settings = read(tmp_path, SHEETS["everything"])
    sheet.set_content(page.html(settings, "fr"))
    sheet.locator("svg").screenshot(path=str(tmp_path / "code.png"))
    done = subprocess.run(
        ["zbarimg", "--quiet", "--raw", tmp_path / "code.png"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "http://wifi.example.org:8450/\n"
    assert "<svg" not in page.html(read(tmp_path, GATEWAY), "fr")


def test_what_a_venue_calls_itself_is_only_text(tmp_path: Path) -> None:
    made = page.html(
        read(tmp_path, GATEWAY + "config notice\n option venue '<script>'\n option contact '<b>a: b'\n"), "fr"
    )
    assert "<script>" not in made
    assert "&lt;script&gt;" in made
    assert made.count("<b>") == made.count("</b>")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("none", "out"), "oubli-notice: CONFIG: none: "),
        (("oubli", "out", "--language", "de"), "oubli-notice: --language: 'de' unknown; accepted: fr, en\n"),
        (
            ("oubli", "out", "--held", "security"),
            "oubli-notice: --held: 'security' unknown; accepted: attribution, billing, consent, objection\n",
        ),
        (
            ("on", "out", "--held", "billing"),
            "oubli-notice: --held: 'billing' is on in CONFIG; accepted: what is off there, and still kept\n",
        ),
        (("on", "out", "--held", "consent"), "oubli-notice: --held: 'consent' is on in CONFIG; accepted: "),
        (("oubli", "no/out"), "oubli-notice: PAGE: no/out: can't be written "),
        (("oubli",), "oubli-notice: Missing argument 'page'; accepted: what oubli-notice --help says\n"),
    ],
)
def test_bad_use_is_one_line(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    (tmp_path / "oubli").write_text(GATEWAY)
    (tmp_path / "on").write_text(SHEETS["everything"])
    command = [sys.executable, "-m", "tools.notice", *words]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.startswith(line), done.stderr.count("\n")) == (2, True, 1), done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_off_and_still_kept_is_on_the_sheet(tmp_path: Path) -> None:
    """L34-VI-4: the gateway's flash isn't here, so the one who makes the sheet says what `oubli law` says there."""
    (tmp_path / "oubli").write_text(GATEWAY + "config purpose 'billing'\n option lifetime '90d'\n")
    command = [sys.executable, "-m", "tools.notice", "oubli", "out.html", "--held", "billing", "--held", "consent"]
    subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, check=True)
    made = (tmp_path / "out.html").read_text()
    assert "arrêté, plus rien ne s" in made
    assert "<b>facturation\u202f</b>" in made
    assert "<b>preuve de l&#x27;accord\u202f</b>" in made


def test_page_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "oubli").write_text(SHEETS["everything"])
    command = [sys.executable, "-m", "tools.notice", "oubli", "out.html", "--language", "en"]
    subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, check=True)
    assert (tmp_path / "out.html").read_text() == page.html(config.load(str(tmp_path / "oubli")), "en")
