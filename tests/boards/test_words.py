# SPDX-License-Identifier: Apache-2.0
"""The words of LuCI's pages: every one is in the catalogue, as French is set, and LuCI's own code reads it."""

from __future__ import annotations

import json
import re

import pytest

from agent.audit.counters import NAMES
from agent.doctor.catalogue import CATALOGUE
from agent.law import PURPOSES
from agent.purposes.checks import ROWS
from agent.purposes.words import typeset
from tests.support import said as agents
from tests.support.interpreters import PROJECT
from tests.support.luci import NEEDS, Luci
from tools.package import lmo

COMMON = PROJECT / "boards/common"
RESOURCES = COMMON / "www/luci-static/resources"
TEXT = r"""(?:'((?:[^'\\]|\\.)*)'|"([^"\\]*)")"""
CALL = re.compile(rf"\b(?:_\(|N_\([^'\"]+, ){TEXT}(?:, {TEXT})?")
FRENCH = lmo.messages((lmo.PO / "fr/oubli.po").read_text())
TEMPLATE = lmo.messages((lmo.PO / "templates/oubli.pot").read_text())
SPACED = re.compile("(?<![\u202f])[:;?!»]|«(?!\u202f)")  # French signs without their narrow space
# What is no sentence: a time or an address, an option, a file's line
TECHNICAL = re.compile(r"%[sd]|\d\d(?::\d\d)+|\S+\.\S+=\d|\S+;(?= chmod| uci| /etc)")


def asked() -> dict[str, str]:
    """Return what the pages ask for: text -> its plural, or nothing.

    The views' own, the menu's, and what the agent says: doctor's why and fix, its losses, paragraphs of the law, and
    texts with places.
    """
    found: dict[str, str] = {}
    for path in sorted(RESOURCES.rglob("*.js")):
        for match in CALL.finditer(path.read_text()):
            one, *more = [re.sub(r"\\(.)", r"\1", text) for text in match.groups() if text]
            found[one] = "".join(more)
    menu = json.loads((COMMON / "usr/share/luci/menu.d/luci-app-oubli.json").read_text())
    found |= {entry["title"]: "" for entry in menu.values()}
    found |= {text: "" for row in (CATALOGUE | ROWS).values() for text in row[1:]}
    found |= dict.fromkeys(listed(), "")
    found |= {row.paragraph: "" for row in PURPOSES if " " in row.paragraph.removeprefix("L34-1 ")}
    return found | {name: "" for name in NAMES if name.startswith("lost")}


def listed() -> list[str]:
    """Return the texts of the agent's own that the pages know."""
    rows = re.findall(r"^\t'(.*)',?$", (RESOURCES / "oubli/agent.js").read_text(), re.MULTILINE)
    return [re.sub(r"\\(.)", r"\1", row) for row in rows]


@pytest.mark.parametrize("messages", [FRENCH, TEMPLATE], ids=["French", "template"])
def test_catalogue_has_every_text_of_the_pages_and_no_other(messages):
    held = {one["msgid"]: one.get("msgid_plural", "") for one in messages if one["msgid"]}
    assert held == asked()
    assert len(held) == len(messages) - 1 > 250


def test_every_text_of_a_view_goes_through_the_catalogue():
    """No view asks for its language; no call has a text that isn't written there."""
    for path in RESOURCES.rglob("*.js"):
        calls = re.findall(r"\bN?_\(.*", path.read_text())
        free = [one for one in calls if not CALL.match(one) and not re.match(r"_\((\w+(?:\.\w+)?|form\[0\])\)", one)]
        assert free == []
        assert "=== 'fr'" not in path.read_text()


def test_pages_know_what_the_agent_says_itself():
    """Each finding and each refusal, in order, read off the agent's source; a duty's French is the agent's own."""
    assert listed() == sorted(agents.texts())
    assert len(listed()) > 150
    french = {one["msgid"]: one["msgstr"] for one in FRENCH if "msgstr" in one}
    for english, own in agents.duties().items():
        assert french[english] == typeset(own, "fr")


@pytest.mark.parametrize("message", FRENCH[1:], ids=lambda one: one["msgid"][:30])
def test_french_is_set_as_french_is(message):
    """Narrow no-break spaces, the same places to fill in, nothing left out."""
    said = [text for name, text in message.items() if name.startswith("msgstr")]
    assert len(said) == (2 if "msgid_plural" in message else 1)
    for text in said:
        assert text.strip()
        assert "\\n" not in text
        assert re.findall("%[sd]", text) == re.findall("%[sd]", message["msgid"])
        assert SPACED.findall(TECHNICAL.sub("", text)) == []
        assert not re.search("[\u2018\u2019]|\\d \\d{3}", text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('msgid "a"\nmsgstr "b\n', 2),
        ('msgid "a"\nmsgstr b\n', 2),
        ('"a"\n', 1),
        ('msgid "a\\tb"\n', 1),
        ('msgctxt "a"\nmsgid "b"\n', 1),
    ],
)
def test_a_line_that_is_not_understood_is_named(text, line):
    with pytest.raises(lmo.CatalogueError, match=rf"^{line}: not understood; accepted: msgid"):
        lmo.messages(text)


@pytest.fixture(scope="module")
def luci(tmp_path_factory):
    """Give LuCI with the compiled words."""
    made = Luci(tmp_path_factory.mktemp("luci"))
    yield made
    made.close()


READ = """let core = require('luci.core');
core.load_catalog('fr', ARGV[0]);
let asked = json(ARGV[1]), counts = [ 0, 1, 2, 21 ];
print(map(asked, (one) => one[1] ? map(counts, (n) => core.ntranslate(n, one[0], one[1])) : core.translate(one[0])));
"""


@pytest.mark.needs(*NEEDS)
def test_lucis_own_code_finds_each_word_and_plural(luci):
    """By the C code of the LuCI that is built; what is said alike in both languages has no row of its own."""
    texts = [[one["msgid"], one.get("msgid_plural", "")] for one in FRENCH[1:]]
    told = json.loads(luci.ucode(READ, luci.catalogues, json.dumps(texts)))
    for one, said in zip(FRENCH[1:], told, strict=True):
        if "msgid_plural" in one:  # in French none is singular
            assert said == [one["msgstr0"], one["msgstr0"], one["msgstr1"], one["msgstr1"]]
        else:
            assert said == (None if one["msgid"] == one["msgstr"] else one["msgstr"])
    assert len(luci.spoken("fr")) == sum(said is not None for said in told) + sum(map(bool, dict(texts).values())) + 1


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("", "00000000"),
        ('msgid "yes"\nmsgstr "oui"\n', "6f756900 -------- 00000001 00000000 00000003 00000004"),
        ('msgid "yes"\nmsgstr "yes"\n', "00000000"),
        ('msgid "yes"\nmsgstr ""\n', "00000000"),
    ],
)
def test_a_catalogue_is_words_then_rows_then_their_place(text, octets):
    """Its hash is compared with LuCI's own above."""
    assert re.fullmatch(octets.replace(" ", "").replace("-", "."), lmo.compiled(text).hex())
