# SPDX-License-Identifier: Apache-2.0
"""What each purpose stores, derived from the record formats themselves, against every text that a guest reads; each right has a command.

L34-VI-4: a field that no text names fails, and so does a right that nothing serves.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import pytest

from agent import law
from agent.cli import article, notice, words
from agent.cli.table import TABLE
from agent.config import config
from agent.purposes import register
from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from agent.purposes.consent import consents, guest_page, texts
from agent.purposes.location import record as location
from agent.purposes.services import record as services
from agent.vault import record as security
from agent.vault.stores import BY_CONSENT
from tests.cli.test_law import EVERYTHING, GATEWAY, VENUE

if TYPE_CHECKING:
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
    assert len(re.findall(r"\d*[BIs]", consents._FORMAT)) == len(CONSENT)
    found["consent"] = {name for name in CONSENT.values() if name}
    return found


@pytest.fixture
def everything(tmp_path: Path) -> config.Config:
    """Give a configuration with every purpose on."""
    (tmp_path / "oubli").write_text(GATEWAY + EVERYTHING[len(GATEWAY) :].format(law.IN_FORCE) + VENUE + " option page 'wifi.example.org'\n")
    return config.load(str(tmp_path / "oubli"))


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_field_that_a_format_stores_is_named_wherever_a_guest_reads(everything: config.Config, language: str) -> None:
    """Law's table, `oubli law`, notice, register, the document before a consent: none has fewer fields than the records, and none more."""
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


# Each right as the notice calls it, the command that serves it, and the page's button.
RIGHTS = {
    "access": ("who", "see"),
    "portability": ("who", "export"),
    "erasure": ("erase", "erase"),
    "objection to being counted": ("objection", "object"),
    "consent": ("consent withdraw", "withdraw"),
}
BY_THE_CONTROLLER = {"any other objection", "restriction", "what is kept for authorities or billing is sealed", "complaint to the CNIL"}


def test_every_right_that_the_notice_offers_has_a_command_and_a_button(everything: config.Config) -> None:
    """What a person must ask for is sent to the controller by name; all else is done here, by a verb and on the page."""
    lines = notice.lines(everything, "en")
    offered = []
    for line in lines[lines.index(notice.TEXTS["en"]["rights"]) + 1 :]:
        named = line[2:].partition(" (" if "(www" in line else ":")[0]
        offered += re.split(r", (?!remembered)", named.partition(", remembered")[0])
    assert set(offered) == set(RIGHTS) | BY_THE_CONTROLLER
    verbs = {verb.name for verb in TABLE.verbs}
    for verb, act in RIGHTS.values():
        assert verb in verbs
        assert act in {*guest_page.ACTS, *guest_page.LOOKS}
    assert len(notice.lines(everything, "fr")) == len(lines)
