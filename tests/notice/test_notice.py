# SPDX-License-Identifier: Apache-2.0
"""`oubli-notice`: one sheet of A4 in a real Chromium, whatever is on.

Its QR code is read as the page's address by another library.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from agent import law
from agent.config import config
from agent.purposes import notice, words
from tests.cli.test_law import EVERYTHING, GATEWAY, VENUE
from tests.support.browsers import chromium
from tests.support.interpreters import PROJECT
from tools.notice import page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.interpreters import Interpreter

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
    with chromium() as browser:
        made = browser.new_page(viewport={"width": 741, "height": 1069})
        made.emulate_media(media="print")
        yield made


def told(folder: Path, text: str, language: str = "fr") -> list[str]:
    """Return the notice's lines of a configuration."""
    (folder / "oubli").write_text(text)
    return notice.lines(config.load(str(folder / "oubli")), language)


@pytest.mark.needs("chromium-headless-shell")
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
    lines = told(tmp_path, SHEETS[which], language)
    asked: list[str] = []
    sheet.on("request", lambda request: asked.append(request.url))
    sheet.set_content(page.html(lines, language))
    pdf = sheet.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == (2 if which == "long" else 1)
    assert re.search(rb"/MediaBox \[0 0 59[45]\S* 84[12]\S*\]", pdf)
    # Chromium would make a sheet that is too wide smaller
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 741
    assert sheet.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 8 * 4 / 3
    text = sheet.locator("main").inner_text()
    for line in lines:
        assert line.removeprefix("- ") in text
    assert sheet.locator("html").get_attribute("lang") == language
    assert asked == []
    found = Axe().run(sheet, options={"runOnly": ["wcag2a", "wcag2aa", "best-practice"]}).response
    assert [rule["id"] for rule in found["violations"]] == []


@pytest.mark.needs("chromium-headless-shell", "zbarimg")
@pytest.mark.xdist_group("chromium")
def test_a_phone_reads_the_pages_address_off_the_sheet(sheet: Page, tmp_path: Path) -> None:
    """As it is printed, by a reader of its own; without a name for the page there is no code."""
    sheet.set_content(page.html(told(tmp_path, SHEETS["everything"]), "fr"))
    sheet.locator("svg").screenshot(path=str(tmp_path / "code.png"))
    done = subprocess.run(
        ["zbarimg", "--quiet", "--raw", tmp_path / "code.png"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "http://wifi.example.org:8450/\n"
    assert "<svg" not in page.html(told(tmp_path, GATEWAY), "fr")


def test_what_a_venue_calls_itself_is_only_text(tmp_path: Path) -> None:
    evil = " option venue '<script>'\n option contact '<b>a: b'\n option controller 'http://elsewhere:8450/'\n"
    made = page.html(told(tmp_path, f"{GATEWAY}config notice\n{evil}"), "fr")
    assert "<script>" not in made
    assert "&lt;script&gt;" in made
    assert made.count("<b>") == made.count("</b>")
    assert "<svg" not in made  # the page's address is in the page's own line alone


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("none", "out"), "oubli-notice: NOTICE: none: "),
        (("oubli", "out"), "oubli-notice: NOTICE: oubli: no notice, or not whole; accepted: what `oubli law --notice "),
        (("cut", "out"), "oubli-notice: NOTICE: cut: no notice, or not whole; "),
        (("short", "out"), "oubli-notice: NOTICE: short: no notice, or not whole; "),
        (("empty", "out"), "oubli-notice: NOTICE: empty: no notice, or not whole; "),
        (("octets", "out"), "oubli-notice: NOTICE: octets: "),
        (("long", "out"), "oubli-notice: NOTICE: long: [Errno 27] File too large: 'long'\n"),
        (("whole", "no/out"), "oubli-notice: PAGE: no/out: can't be written "),
        (("whole",), "oubli-notice: Missing argument 'page'; accepted: what oubli-notice --help says\n"),
    ],
)
def test_bad_use_is_one_line(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    lines = told(tmp_path, GATEWAY)
    whole = "\n".join(lines)
    for name, text in (("whole", whole), ("cut", "\n".join(lines[:-1])), ("short", whole[:-2]), ("empty", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "octets").write_bytes(b"\xff")
    (tmp_path / "long").write_text(whole.replace("\n", "\n" * 262144, 1))
    command = [sys.executable, "-m", "tools.notice", *words]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.startswith(line), done.stderr.count("\n")) == (2, True, 1), done.stderr
    assert not (tmp_path / "out").exists()


def test_the_sheet_is_utf_8_whatever_the_host_speaks(tmp_path: Path) -> None:
    (tmp_path / "notice").write_text("\n".join(told(tmp_path, BASIC)), encoding="utf-8")
    plain = {"PYTHONPATH": str(PROJECT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-m", "tools.notice", "notice", "out"], cwd=tmp_path, env=plain, check=True)
    assert "Hôtel du Lac" in (tmp_path / "out").read_text(encoding="utf-8")


KEPT_BEFORE = "config purpose 'billing'\n option lifetime '90d'\n"
CHANGED = SHEETS["attribution"]


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("which", ["everything", "off", "changed", "unseen"])
def test_the_sheet_says_what_the_gateway_says_of_what_was_kept_before_too(
    cpython: Interpreter, tmp_path: Path, which: str, language: str
) -> None:
    """L34-VI-4: by whom and on what ground, and what nobody can see: root's notes are on the gateway alone."""
    path, notes = tmp_path / "oubli", tmp_path / "srv/oubli-root"
    path.write_text({"everything": SHEETS["everything"], "changed": CHANGED}.get(which, BASIC + KEPT_BEFORE))
    notes.mkdir(parents=True)
    if which == "changed":
        (notes / "store-attribution").write_text("\n2026-09-01 L336-3\nIIbis-3\n")
    elif which != "everything":
        (notes / "store-billing").write_text(("/mnt/disk" if which == "unseen" else "") + "\nVieille Compta\n")
    if which == "off":
        (store := tmp_path / "srv/oubli/vault/billing").mkdir(parents=True)
        (store / "2026-10-01-0001").touch()
    said = ("law", "--config", path, "--root", tmp_path, "--notice", language)
    (tmp_path / "notice.txt").write_bytes(cpython.run("-m", "agent", *said).stdout)
    command = [sys.executable, "-m", "tools.notice", "notice.txt", "out.html"]
    subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, check=True)
    made = (tmp_path / "out.html").read_text()
    lines = (tmp_path / "notice.txt").read_text().splitlines()
    assert made == page.html(lines, language)
    text = unescape(re.sub("<[^>]*>", "", made.partition("<main>")[2]))
    assert all(line.removeprefix("- ") in text for line in lines)
    known = {"off": "Vieille Compta", "unseen": words.UNSEEN[language == "en"], "changed": "Arcom"}
    assert words.typeset(known.get(which, "Lac SARL"), language) in text
    assert f'<html lang="{language}">' in made
