# SPDX-License-Identifier: Apache-2.0
"""What each purpose stores, derived from the record formats themselves, against every text that a guest reads; each right has a command.

L34-VI-4: a field that no text names fails, and so does a right that nothing serves.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest

from agent import law
from agent.cli import article
from agent.cli.table import TABLE
from agent.config import config
from agent.purposes import notice, register, words
from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from agent.purposes.consent import guest_page, sealed_consents, texts
from agent.purposes.location import record as location
from agent.purposes.services import record as services
from agent.summary import terminals
from agent.vault import record as security
from agent.vault.stores import BY_CONSENT
from tests.cli.test_law import EVERYTHING, GATEWAY, VENUE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What a format calls differently, or has for itself alone: how a time is told, whether the clock was confirmed, ranges of one port.
SAME = {"first": "translated_port", "last": "translated_port"}
OWN = {"confirmed"}
CONSENT = {  # of the file's fields in their order, by the law's names; its version says nothing of anybody
    "version": None, "state": "state", "purposes": "purposes", "categories": "categories", "given": "time", "since": "time", "end": "end",
    "owner": "mac_hash", "text": "text_hash", "length": "third_parties", "third parties": "third_parties",
}  # fmt: skip


def stored() -> dict[str, set[str]]:
    """Return the fields of each purpose's records, as its format has them."""
    slots = {"security": security.Record.__slots__, "attribution": attribution.Record.__slots__, "billing": billing.Record.__slots__}
    slots["services"] = slots["security"]  # what its own module unpacks to
    assert inspect.signature(services.unpack).return_annotation is security.Record
    found = {name: {SAME.get(field, field) for field in fields} - OWN for name, fields in slots.items()}
    found["location"] = set(inspect.signature(location.pack).parameters) - {"view"}
    assert len(re.findall(r"\d*[BIs]", sealed_consents.FORMAT)) == len(CONSENT)
    found["consent"] = {name for name in CONSENT.values() if name}
    return found


# The day's row, by its module's own words, and what a guest reads of each part: notice in French and English, register, `oubli law`.
ROW: dict[str, tuple[str, str, str | None]] = {
    "hash": ("empreinte de l'adresse MAC", "hash of the MAC address", "mac_hash"),
    "quarter-hours with traffic": ("heures de présence", "times of presence", "presence"),
    "KiB": ("volumes", "volumes", "volume"),
    "service classes": ("types de service", "kinds of service", "service"),
    "sixth of an hour of the day in which it was first heard of": ("heures de présence", "times of presence", "presence"),
    "1 where its terminal objected": ("opposition au comptage", "objection to being counted", None),
    "octets below a KiB": ("volumes", "volumes", "volume"),
}


def check_memory(everything: config.Config, language: str) -> None:
    """Hold the rows of the day's table and of the address table against notice, register and `oubli law`."""
    at = words.LANGUAGES.index(language)
    layout = re.sub(r"\([^)]*\)", "", (terminals.__doc__ or "").partition("    row  ")[2])
    parts = re.findall(r"(?:^|\s{3,})\d+ (.*?)(?=\s{3,}|$)", layout.strip())  # where each begins, what it is, and its size
    assert {re.split(r",? (?:\d+ bits|\d+ *$|as |u\d)", part)[0].strip() for part in parts} == set(ROW)
    shown = {one["what"]: one for one in article.data(everything)["memory"]}
    assert set(shown["counting"]["fields"]) == {row[2] for row in ROW.values() if row[2]}
    assert set(shown["addresses"]["fields"]) == {"mac", "address"}
    for paper in (notice.lines(everything, language), register.register(everything, language)):
        text = "\n".join(paper)
        assert all((row[0], row[1])[at] in text for row in ROW.values())
        assert words.FIELDS["address"][at] in text
    assert any(line.startswith("counting: on; in memory; at most 24h") for line in article.lines(everything))


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_is_in_memory_is_told_as_well(everything: config.Config, language: str) -> None:
    check_memory(everything, language)


@pytest.fixture
def everything(tmp_path: Path) -> config.Config:
    """Give a configuration with every purpose on."""
    (tmp_path / "oubli").write_text(GATEWAY + EVERYTHING[len(GATEWAY) :].format(law.IN_FORCE) + VENUE + " option page 'wifi.example.org'\n")
    return config.load(str(tmp_path / "oubli"))


def check_fields(everything: config.Config, language: str) -> None:
    """Hold law's table, `oubli law`, notice, register and the document before a consent against the fields of the record formats."""
    at = words.LANGUAGES.index(language)
    fields = stored()
    kept = {row.name: row for row in law.PURPOSES if row.name != "freeze"}
    assert fields == {name: set(row.fields) for name, row in kept.items()}
    shown = {one["purpose"]: set(one["fields"]) for one in article.data(everything)["purposes"]}
    document = "\n".join(texts.rendered("", language, list(BY_CONSENT), "none", 1, everything.notice)[0])
    for name, own in fields.items():
        assert shown[name] == own
        told = [words.typeset(words.FIELDS[field][at], language) for field in own]
        for paper in (notice.lines(everything, language), register.register(everything, language)):
            assert any(all(word in line for word in told) for line in paper), (name, language)
        if name in BY_CONSENT:
            assert all(word in document for word in told)


# Each right that is used on the page: the command that serves it, and the page's button.
SERVED = {
    "access": ("who", "see"),
    "portability": ("who", "export"),
    "erasure": ("erase", "erase"),
    "suspension": ("consent suspend", "suspend"),
    "withdrawal": ("consent withdraw", "withdraw"),
    "counting": ("objection", "object"),
}
# GDPR in other words: what each purpose rests on, and which rights that gives (art. 7.3, 15, 17, 18, 20, 21). To what is kept for a legal
# duty there is neither erasure (17.3 b) nor objection; portability is for consent and contract alone.
CONSENTED = {"access", "portability", "erasure", "suspension", "withdrawal", "restriction"}
APPLIES = {
    "security": {"access", "erasure", "objection", "restriction"},
    "attribution": {"access", "restriction"},
    "billing": {"access", "portability", "rectification", "restriction"},
    "services": CONSENTED,
    "location": CONSENTED,
    "consent": {"access", "restriction"},
}


def check_rights(everything: config.Config) -> None:
    """Hold each purpose's rights against the law, and what the page is said to serve against commands and buttons."""
    verbs, acts = {verb.name for verb in TABLE.verbs}, {*guest_page.ACTS, *guest_page.LOOKS}
    for language in words.LANGUAGES:
        at, text, lines = words.LANGUAGES.index(language), notice.TEXTS[language], notice.lines(everything, language)
        said = lambda name, text=text, language=language: words.typeset(text[name], language)  # noqa: E731 (a word of this language)
        told = [line for line in lines if said("asked") in line or said("asked").capitalize() in line]
        assert len(told) == len(APPLIES) + 1  # and the count of visitors
        for row in notice.rows(everything):
            on_page, asked = notice.rights(row)
            assert {*on_page, *asked} == APPLIES[row.name]
            name = words.PURPOSES[row.name][at]
            (line,) = [line for line in told if line.startswith(tuple(f"- {word}{name}" for word in ("", "for ", "pour ")))]
            page, _, controller = line.partition(said("asked"))
            served = page.partition(said("on page"))[2].removesuffix(said("then"))
            for names, part in ((on_page, served), (asked, controller)):
                assert part == ", ".join(notice.NAMES[name][at] for name in names)
            for right in on_page:
                verb, act = SERVED[right]
                assert verb in verbs
                assert act in acts
        (counting,) = [line for line in told if notice.NAMES["counting"][at] in line]
        assert SERVED["counting"][0] in verbs
        assert SERVED["counting"][1] in acts
        assert counting.rpartition(said("then"))[2].startswith(said("asked"))
        for word in ("page", "ask", "consent", "duty", "complaint"):
            assert words.typeset(text[word].format(everything.notice.page), language) in lines
        assert {"article 85", "CNIL"} <= {one for one in ("article 85", "CNIL") if one in lines[-1]}


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_field_that_a_format_stores_is_named_wherever_a_guest_reads(everything: config.Config, language: str) -> None:
    """None has fewer fields than the records, and none more."""
    check_fields(everything, language)


def test_every_right_stands_with_its_processing_and_with_what_serves_it(everything: config.Config) -> None:
    """What a person must ask for is sent to the controller by name; all else is done here, by a verb and on the page."""
    check_rights(everything)


def test_without_a_page_every_right_is_asked_of_the_controller(everything: config.Config) -> None:
    """A page whose address nobody told offers nothing."""
    everything.notice.values["page"] = ""
    text = "\n".join(notice.lines(everything, "en"))
    assert notice.TEXTS["en"]["on page"] not in text
    assert ":8450" not in text
    assert text.count(notice.TEXTS["en"]["asked"]) + text.count("Rights, from the controller: ") == len(APPLIES) + 1


def pack(view: object, mac: object, start: object, end: object, access_point: object, signal: object) -> None:
    """Stand in for a record of location that has a signal's strength."""


NO_VERB = type("Table", (), {"verbs": [verb for verb in TABLE.verbs if verb.name != "objection"]})
FIELDS = words.fields
# What is broken, what stands there instead, and which of the two checks finds it.
BROKEN: dict[str, tuple[Any, str, Any, Callable[..., None]]] = {
    "a record of security has one field more": (security.Record, "__slots__", (*security.Record.__slots__, "destination"), check_fields),
    "a record of location has one field more": (location, "pack", pack, check_fields),
    "the file of a consent has one field more": (sealed_consents, "FORMAT", sealed_consents.FORMAT + "B", check_fields),
    "a text leaves the last field out": (words, "fields", lambda row, at: FIELDS(row, at).rpartition(", ")[0], check_fields),
    "a field has no word": (words, "FIELDS", {name: word for name, word in words.FIELDS.items() if name != "mac"}, check_fields),
    "the day's row has one part more": (
        terminals,
        "__doc__",
        str(terminals.__doc__).replace("   20 KiB u32", "   20 RSSI u8   21 KiB u24"),
        check_memory,
    ),
    "`oubli law` leaves the day's table out": (article, "MEMORY", article.MEMORY[:1], check_memory),
    "no verb takes an objection": (__import__(__name__, fromlist=["TABLE"]), "TABLE", NO_VERB, check_rights),
    "no button erases": (guest_page, "ACTS", {name: act for name, act in guest_page.ACTS.items() if name != "erase"}, check_rights),
    "the file can't be saved": (guest_page, "LOOKS", ("see",), check_rights),
    "erasure isn't offered": (notice, "RIGHTS", notice.RIGHTS | {"f": ("access", "objection", "restriction")}, check_rights),
    "erasure is offered of sealed stores": (notice, "RIGHTS", notice.RIGHTS | {"c": ("access", "erasure", "restriction")}, check_rights),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_text_that_is_not_true_any_more_is_found(everything: config.Config, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Each check, seen failing: a field that no text names, a right that nothing serves."""
    owner, name, instead, check = BROKEN[broken]
    words_of = () if check is check_rights else ("en",)
    check(everything, *words_of)
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises((AssertionError, KeyError)):
        check(everything, *words_of)
