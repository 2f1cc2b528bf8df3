# SPDX-License-Identifier: Apache-2.0
"""oubli's pages in LuCI's own code and style, in Chromium: each call fails, is empty or hostile; phone, dark, French.

And by the keyboard alone. ubus is played (tests.support.luci); the whole machine is tests/openwrt/test_luci.py's.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.boards.test_luci import WHOLE
from tests.support.browsers import chromium
from tests.support.luci import NEEDS, Luci

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("chromium-headless-shell", *NEEDS)

# LuCI's own on each of its pages: labels that its widgets make; its theme has no landmarks and begins at h2.
LUCIS = {"label", "select-name", "landmark-one-main", "page-has-heading-one", "region"}
BAD = '<img src="x" onerror="window.ours = false"><script>window.ours = false</script>'
REQUESTS: list[dict[str, Any]] = [
    {"number": "00112233445566778899aabbccddeeff", "since": 1795600801, "until": 1795700801, "purpose": "attribution"},
    {"number": "f" * 32, "until": 1795700802, "written": 16384, "octets": 50000, "purpose": "attribution"},
]
FOUND = {"start": 1795600801, "seconds": 3, "terminal": "02:00:00:00:00:01", "service": "web"}
LOOKUP = {"rows": [FOUND], "clock": "trusted", "second_nat": False, "public_address": "", "unknown_before": 0}
FILE = {
    name: {".type": kind, ".name": name, ".anonymous": False, **options}
    for name, kind, options in (
        ("gateway", "gateway", {"id": "abcdefgh23456777", "duty": "portal", "lan": ["guest"]}),
        ("security", "purpose", {}),
        ("summary", "summary", {}),
    )
}
SHOWN = (
    "e => { const s = getComputedStyle(e); return [s.outline, s.boxShadow, s.borderColor, s.backgroundColor].join() }"
)
VISIBLE = "#view :is(button, input, select, summary, .cbi-dropdown):visible"


def refused(given: dict[str, Any]) -> dict[str, str]:
    """Answer as the agent does to a lifetime above its ceiling."""
    text = "asked:9: security.lifetime: '91d' is above the ceiling of 90d; accepted: at most 90d"
    return {"error": text} if "'91d'" in given["text"] else {}


def whole() -> dict[str, Any]:
    """Return answers of a gateway that is well."""
    made: dict[str, Any] = {f"oubli {name}": copy.deepcopy(answer) for name, answer in WHOLE.items()}
    made["oubli status"]["requests"] = copy.deepcopy(REQUESTS)
    made["oubli lookup"], made["oubli check"] = LOOKUP, refused
    made["network.interface dump"] = {"interface": [{"interface": "lan"}, {"interface": "loopback"}]}
    made["uci get"] = {"values": copy.deepcopy(FILE)}
    return made


@pytest.fixture(scope="module")
def luci(tmp_path_factory) -> Iterator[Luci]:
    """Give LuCI."""
    made = Luci(tmp_path_factory.mktemp("luci"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give Chromium."""
    with chromium() as made:
        yield made


@pytest.fixture(params=["desktop"])
def page(request, browser, luci) -> Iterator[Page]:
    """Give a page of a desktop's or a phone's width; what it throws fails the test."""
    phone = request.param == "phone"
    size = {"width": 375, "height": 800} if phone else {"width": 1200, "height": 900}
    context = browser.new_context(viewport=size, screen=size, is_mobile=phone, has_touch=phone, timezone_id="UTC")
    luci.answers, luci.asked = whole(), []
    made, wrong = context.new_page(), []
    made.set_default_timeout(20_000)
    made.add_init_script("window.ours = true")
    made.on("pageerror", lambda failure: wrong.append(str(failure)))
    yield made
    context.close()
    # What LuCI's own code throws, and what it does with a save that is refused
    assert [one for one in wrong if not one.startswith(("RPC call to uci/", "asked:"))] == []


def opened(page: Page, luci: Luci, view: str, language: str = "en", *, dark: bool = False) -> str:
    """Open a view and return its text once nothing is awaited any more."""
    page.goto(luci.page(view, language, dark=dark))
    page.wait_for_selector("#view h2")
    page.wait_for_function("!/Looking|Loading|Un instant/.test(document.getElementById('view').innerText)")
    return page.inner_text("#view")


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
@pytest.mark.parametrize(("language", "dark"), [("en", False), ("fr", True)])
@pytest.mark.parametrize(
    ("view", "english", "french"),
    [
        ("overview", "Set right what can do no harm", "Corriger ce qui est sans risque"),
        ("settings", "Networks of the guests", "Réseaux des visiteurs"),
        ("figures", "What each profile will tell", "Ce que dira chaque profil"),
    ],
)
def test_pages_fit_in_both_languages_and_have_no_finding(page, luci, view, language, dark, english, french):
    """The words come from the compiled catalogue by LuCI's C code; colours are LuCI's, read by axe."""
    text = opened(page, luci, view, language, dark=dark)
    assert (english in text, french in text) == (language == "en", language == "fr")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = [one for one in Axe().run(page).response["violations"] if one["id"] not in LUCIS]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "gateway.lan (lan, guest) leads to no interface guest"),
        ("fr", "gateway.lan (lan, guest) ne mène à aucune interface guest"),
    ],
)
def test_what_doctor_finds_is_said_in_lucis_language(page, luci, language, said):
    """By LuCI's own loader, catalogue and format."""
    found = {"severity": "error", "what": "gateway.lan (lan, guest) leads to no interface guest", "why": "", "fix": ""}
    luci.answers["oubli doctor"] = {"findings": [found]}
    assert said in opened(page, luci, "overview", language)


def test_open_requests_are_shown_by_number_and_end(page, luci):
    text = opened(page, luci, "overview")
    rows = [line for line in text.splitlines() if REQUESTS[0]["number"] in line or "f" * 32 in line]
    assert [" ".join(row.split()[1:]) for row in rows] == [
        "attribution 2026-11-25T10:00:01Z 2026-11-26T13:46:41Z handed over: for the custodian",
        "attribution - 2026-11-26T13:46:42Z being written, 32 %",
    ]
    luci.answers["oubli status"]["requests"] = []
    page.get_by_text("None is open.").wait_for()  # the page asks again
    luci.answers["oubli status"]["requests"] = None
    page.get_by_text("Flash refuses").wait_for()


# What comes instead of an answer, made of the right one.
WRONG: dict[str, Callable[[Any], Any]] = {
    "refused": lambda _: 6,
    "failed": lambda _: RuntimeError("broken off"),
    "empty": lambda _: {},
    "nothing": lambda _: None,
    "text": lambda _: "x",
    "list": lambda _: [],
    "numbers": lambda answer: dict.fromkeys(answer, 7),
    "nulls": dict.fromkeys,
    "lists": lambda answer: {key: [None, "x", {}] for key in answer},
}
PARTS = {"status": "abcdefgh23456777", "doctor": "offload", "law": "90 days", "summary": "40 ± 10"}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("which", PARTS)
def test_an_answer_that_is_none_costs_its_own_part_alone(page, luci, which, wrong):
    luci.answers[f"oubli {which}"] = WRONG[wrong](luci.answers[f"oubli {which}"])
    text = opened(page, luci, "overview")
    assert {word for name, word in PARTS.items() if name != which} <= {word for word in PARTS.values() if word in text}
    assert not {"undefined", "null", "NaN", "[object Object]", "Invalid Date"}.intersection(text.split())
    assert "rpc.js" not in text  # a reason is one line
    if wrong in ("refused", "failed"):
        assert {"refused": "Permission denied", "failed": "broken off"}[wrong] in text


@pytest.mark.parametrize("wrong", ["refused", "failed", "empty", "nothing", "text"])
@pytest.mark.parametrize("view", ["settings", "figures"])
@pytest.mark.parametrize("which", ["uci get", "network.interface dump"])
def test_a_form_that_can_t_be_filled_says_so(page, luci, which, view, wrong):
    """Without the networks that exist those that are set are offered; without a file the settings have no form."""
    luci.answers[which] = WRONG[wrong](luci.answers[which])
    page.goto(luci.page(view))
    page.wait_for_selector("#view h2, #view h3")
    text = page.inner_text("#view")
    if view == "figures":
        assert "medium: arrivals, presence, volume, active, classes" in text
    elif which == "uci get":
        assert "The configuration can't be read: " in text
    else:
        assert "Networks of the guests" in text
    assert "rpc.js" not in text


def hostile(value: Any) -> Any:
    """Return an answer with a page's words in each of its texts."""
    if isinstance(value, dict):
        return {key: hostile(one) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return BAD + value if isinstance(value, str) else value


def unharmed(page: Page) -> None:
    """Nothing of a stranger's has become a part of the page, or was run."""
    assert page.locator("img, #view script").count() == 0
    assert page.evaluate("window.ours")


def test_texts_of_strangers_are_shown_as_texts(page, luci):
    """What a portal, a broker or another root has named; the form's own file, and networks of such a name."""
    for name in ("status", "doctor", "law", "summary", "notice", "log", "lookup"):
        luci.answers[f"oubli {name}"] = hostile(luci.answers[f"oubli {name}"])
    luci.answers["oubli status"]["refused"] = BAD
    luci.answers["oubli law"] = {"error": BAD}
    assert opened(page, luci, "overview").count("<img") > 10
    page.keyboard.press("Tab")
    for place in page.locator("summary").all()[-3:]:
        place.click()
    page.locator("button:has-text('Look up')").click()
    page.locator("td:has-text('02:00:00:00:00:01')").wait_for()
    page.locator("pre:has-text('what was done')").wait_for()
    unharmed(page)
    luci.answers["network.interface dump"] = {"interface": [{"interface": BAD}, {"interface": "lan"}]}
    luci.answers["oubli check"] = {"error": f"asked:1: notice.venue: {BAD}"}
    luci.answers["uci get"] = {
        "values": {
            name: {key: value if key.startswith(".") else hostile(value) for key, value in section.items()}
            for name, section in FILE.items()
        }
    }
    luci.answers["uci get"]["values"]["notice"] = {".type": "notice", ".name": "notice", "venue": BAD}
    opened(page, luci, "settings")
    page.locator("#cbi-oubli-gateway-lan .cbi-dropdown").click()
    page.locator(".cbi-button-save").click()
    page.locator("#cbi-oubli-notice-venue [role=alert]").wait_for()
    unharmed(page)
    opened(page, luci, "figures")
    unharmed(page)


@pytest.mark.parametrize("view", ["overview", "settings", "figures"])
def test_whatever_can_be_used_is_reached_by_tab_and_is_seen_to_be(page, luci, view):
    """In the order of the page; an outline, a shadow, another colour."""
    opened(page, luci, view)
    places = page.locator(VISIBLE).all()
    assert len(places) >= 5
    before = [place.evaluate(SHOWN) for place in places]
    for number, place in enumerate(places):
        while not place.evaluate("e => e === document.activeElement"):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement !== document.body"), place.evaluate("e => e.outerHTML")
        page.wait_for_function(f"([e, was]) => ({SHOWN})(e) !== was", arg=[place.element_handle(), before[number]])


def test_overview_is_used_by_the_keyboard(page, luci):
    """Enter in a field asks, Space presses a button, Enter opens a paper."""
    opened(page, luci, "overview")
    page.locator("label:has-text('Terminal') input").focus()
    page.keyboard.type("02:00:00:00:00:01")
    page.keyboard.press("Enter")
    page.locator("td:has-text('02:00:00:00:00:01')").wait_for()
    assert [given["terminal"] for name, given in luci.asked if name == "oubli lookup"] == ["02:00:00:00:00:01"]
    page.locator("button:has-text('Set right')").focus()
    page.keyboard.press("Space")
    page.locator("p:has-text('set that right')").wait_for()
    page.locator("summary:has-text('Audit log')").focus()
    page.keyboard.press("Enter")
    page.locator("pre:has-text('what was done')").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Print"


def test_settings_are_written_and_saved_by_the_keyboard(page, luci):
    """What is refused is where the typing goes on; a network is chosen; Save hands the new values over."""
    opened(page, luci, "settings")
    lifetime = page.locator("#cbi-oubli-security-lifetime input")
    lifetime.focus()
    page.keyboard.type("91d")
    page.locator(".cbi-button-save").focus()
    page.keyboard.press("Enter")
    page.locator("#cbi-oubli-security-lifetime [role=alert]").wait_for()
    assert lifetime.evaluate("e => e === document.activeElement")
    assert not [name for name, _ in luci.asked if name == "uci set"]
    page.keyboard.press("Control+A")
    page.keyboard.type("20h")
    page.locator("#cbi-oubli-gateway-lan .cbi-dropdown").focus()
    for key, name in (("ArrowDown", "guest"), ("ArrowUp", "lan"), ("Space", "lan"), ("Escape", "")):
        page.keyboard.press(key)
        if name:  # LuCI's list is unfolded first
            page.locator(f"#cbi-oubli-gateway-lan ul.dropdown li.focus[data-value={name}]").wait_for()
    page.locator(".cbi-button-save").focus()
    with page.expect_response(lambda answer: '"set"' in (answer.request.post_data or "")):
        page.keyboard.press("Enter")
    told = {given["section"]: given["values"] for name, given in luci.asked if name == "uci set"}
    assert told["security"]["lifetime"] == "20h"
    assert told["gateway"]["lan"] == ["lan", "guest"]
    assert page.locator("[role=alert]").count() == 0
