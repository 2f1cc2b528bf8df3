# SPDX-License-Identifier: Apache-2.0
"""`oubli law --duties`: who owes what by L34-1 in force, and who does it with this configuration.

The doctor finds what nobody does.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from agent import law
from agent.base import dates
from agent.base.paths import Paths
from agent.cli import article
from agent.config import config as configuration
from agent.doctor import examination
from agent.purposes import activities, also_held, checks, duties, words
from agent.purposes.custodian import sealed, segment_index
from host_sim.venue.portal import NOTICE
from tests.support.interpreters import PROJECT, Interpreter

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY = "config gateway\n option id 'abcdefghijklmnop'\n option duty '{}'\n"
ATTRIBUTION = (
    "config purpose 'attribution'\n option enabled '1'\n option reference 'x'\n option budget '90000000'\n"
    "{}config summary\n option rows '256'\n"
)
YEAR = ATTRIBUTION.format(" option ground 'IIbis-3'\n")
MONTH = ATTRIBUTION.format(" option ground 'IIbis-3'\n option lifetime '30d'\n")
FORMER = ATTRIBUTION.format(" option ground 'L336-3'\n option wording 'repealed'\n")
BEHIND = ATTRIBUTION.format(" option ground 'IIbis-3'\n option upstream_nat 'acknowledged'\n")
BILLING = "config purpose 'billing'\n option enabled '1'\n option lifetime '90d'\n option budget '90000000'\n"
UNKEPT = "config purpose 'security'\n option enabled '0'\n"
NOTHING = UNKEPT + "config summary\n option enabled '0'\n"


def read(folder: Path, text: str) -> configuration.Config:
    (folder / "oubli").write_text(text)
    return configuration.load(str(folder / "oubli"))


def states(config: configuration.Config) -> dict[str, str]:
    return {one["name"]: one["state"] for one in duties.data(config, "en")}


def test_each_statement_has_its_source_in_both_languages(tmp_path: Path) -> None:
    """L34-II-3: the article's paragraph first; the décrets and laws by number and date.

    What isn't verified is said, not stated.
    """
    config = read(tmp_path, GATEWAY.format("portal"))
    french, english = duties.data(config, "fr"), duties.data(config, "en")
    assert [one["name"] for one in french] == [one["name"] for one in english]
    assert len({one["name"] for one in french}) == len(french) == len(duties.MUST) + len(duties.MAY)
    assert [row[0] for row in duties.MAY] == [
        row.name for row in map(law.purpose, law.CONFIGURABLE) if row.name != "attribution"
    ]
    for one, other in zip(french, english, strict=True):
        assert re.match(r"L34-1 (II|III|IV|V|VI)( bis( \d°)?)?(, |$)", one["source"]), one
        assert one["what"] != other["what"]
        assert one["source"] == other["source"]
    told = " ".join(one["what"] + one["source"] for one in french) + duties.UNSURE[0]
    for text in (
        "décret 2021-1361 du 20 octobre 2021",
        "décret 2021-1362",
        "décret 2025-980 du 15 octobre 2025",
        "loi 2025-532 du 13 juin 2025",
    ):
        assert text in told
    shown = " ".join(duties.lines(config, "en"))
    assert "Engineering, not legal advice" in shown
    assert "Not verified" in shown
    assert "engineering, not legal advice" in (PROJECT / "README.md").read_text()


def test_a_duty_is_the_operator_s_whoever_serves_it(tmp_path: Path) -> None:
    """L34-1 II, II bis: a portal, a log of addresses, a custodian serve it; who must is the operator."""
    for duty in duties.DECLARED:
        french, english = (duties.lines(read(tmp_path, GATEWAY.format(duty)), one) for one in ("fr", "en"))
        for lines, of, whose in (
            (french, 0, "  à la charge de l'exploitant"),
            (english, 1, "  the operator's, elsewhere"),
        ):
            served = [line for line in lines if line.endswith(duties.DECLARED[duty][of])]
            assert served
            assert all(line.startswith(whose) for line in served)


def test_what_oubli_cannot_do_by_design_is_said_whatever_is_configured(tmp_path: Path) -> None:
    """III's injunction has recipients among its categories, II bis 1° and 2° identity and account.

    No configuration meets these.
    """
    for duty, more in product(law.DUTIES, ("", YEAR)):
        if duty == law.NOBODY and more:
            continue  # refused by the configuration
        seen = states(read(tmp_path, GATEWAY.format(duty) + more))
        assert seen["injunction"] == duties.NEVER
        assert {seen["identity"], seen["account"]} == {duties.OTHER if duty in ("portal", "radius") else duties.NOBODY}
        assert seen["content"] == duties.MET
    # A portal's user may well be a name
    assert [one in duties._WHY["allow-list"][at] for at, one in enumerate(("nom de site", "name of a site"))] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("duty", "more", "source", "procedures"),
    [
        ("portal", "", "other", "other"), ("radius", "", "other", "other"), ("nat-log", "", "other", "other"),
        ("oubli", "", "nobody", "nobody"), ("none", "", "nobody", "nobody"), ("undeclared", "", "nobody", "nobody"),
        ("oubli", YEAR, "partly", "with"), ("portal", YEAR, "other", "with"), ("oubli", MONTH, "nobody", "with"),
        ("oubli", FORMER, "nobody", "with"), ("oubli", BEHIND, "partly", "with"),
        ("oubli", BILLING, "nobody", "partly"), ("nat-log", MONTH, "other", "with"),
        ("radius", FORMER, "other", "with"), ("portal", BEHIND, "other", "with"),
    ],
)  # fmt: skip
def test_who_keeps_a_connection_s_source_follows_from_what_runs(
    tmp_path: Path, duty: str, more: str, source: str, procedures: str
) -> None:
    """II bis 3°: for a year, on the ground in force, by attribution or by who is declared; else by nobody."""
    config = read(tmp_path, GATEWAY.format(duty) + more)
    seen = states(config)
    assert (seen["source"], seen["procedures"]) == (source, procedures)
    text = " ".join(duties.lines(config, "en"))
    french = " ".join(duties.lines(config, "fr"))
    for told, whose in ((text, "that provider alone can match"), (french, "ce fournisseur seul relie")):
        assert (whose in told) == (more == BEHIND)  # and no pronoun that could be the custodian's
    assert ("before the year is over: 30\u00a0days" in text) == (more == MONTH and source == "nobody")
    for one, language in enumerate(("fr", "en")):  # everybody who answers
        by = {row["name"]: row["by"] for row in duties.data(config, language)}
        for name in ("procedures", "source"):
            assert (duties.DECLARED.get(duty, ("?", "?"))[one] in by[name]) == (duty in duties.DECLARED)
        assert (duties._WHY["custodian"][one] in by["procedures"]) == (more != "")


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ("", "never"),
        ("config purpose 'services'\n option enabled '1'\n" + NOTICE, "never"),
        (NOTHING, "never"),
        (YEAR, "met"),
        (BEHIND, "met"),
        (BILLING + NOTHING, "met"),
    ],
)
def test_who_preserves_what_is_held_follows_from_what_runs(tmp_path: Path, more: str, state: str) -> None:
    """III bis: the custodian what is sealed for him; what the gateway can read goes on time.

    Something can be read whatever is on: who has which address.
    """
    config = read(tmp_path, GATEWAY.format("oubli") + more)
    assert any(here for name, here, _, _ in article.memory(config) if name == "addresses")
    (freeze,) = [one for one in duties.data(config, "en") if one["name"] == "freeze"]
    assert freeze["state"] == state
    assert "goes when its time is over, injunction or not" in freeze["by"]
    # By a public port nobody's is preserved there: an order about a device, or a user, is run
    assert ("that provider alone can match a public port" in freeze["by"]) == (more == BEHIND)
    assert ("oubli-custodian freeze" in freeze["by"]) == (state == "met")


@pytest.mark.parametrize(
    ("more", "note", "state"),
    [
        ("", "", "met"), (YEAR, "", "met"), (YEAR, "IIbis-3", "met"), (YEAR, "STAD", "partly"), (FORMER, "", "partly"),
        ("", "STAD", "partly"), ("", "IIbis-3", "met"), ("", "?", "partly"),
    ],
)  # fmt: skip
def test_what_is_kept_on_no_ground_in_force_is_a_duty_that_is_not_met(
    tmp_path: Path, more: str, note: str, state: str
) -> None:
    """L34-1 II: what no exception in force covers is to be erased, whatever notice and register say of its ground."""
    config = read(tmp_path, GATEWAY.format("oubli") + more)
    if note:
        store = tmp_path / "srv/oubli/vault/attribution"
        store.mkdir(parents=True)
        (store / "2026-10-01-0001").touch()
        (tmp_path / "srv/oubli-root").mkdir(parents=True)
        (tmp_path / "srv/oubli-root/store-attribution").write_text(f"\n{note}\n" if note != "?" else "")
    held = also_held.told(config, Paths(str(tmp_path)))
    (erase,) = [one for one in duties.data(config, "en", held) if one["name"] == "erase"]
    assert erase["state"] == state
    for language in words.LANGUAGES:
        basis = [one.basis for one in activities.activities(config, language, held) if one.key == "attribution"]
        assert bool(re.search("L34-1 III|____", "".join(basis))) == (state == "partly")
    assert any(one.startswith("erase ") for one in duties.unserved(config, held)) == (state == "partly")


def test_a_year_is_not_said_to_be_kept_whole(tmp_path: Path) -> None:
    """L34-1 II bis 3°, EXP-3: a record of a day's last second opens for nobody once that day's key is destroyed."""
    day, year = dates.day_of("2027-02-28"), law.purpose("attribution").ceiling // law.DAY
    for start in (day, dates.day_of("2028-02-28")):
        kept = (start + year) * law.DAY - (start * law.DAY + law.DAY - 1)
        over = dates.day_of(f"{int(dates.date(start)[:4]) + 1}{dates.date(start)[4:]}") - start
        assert 1 <= over * law.DAY - kept // law.DAY * law.DAY <= 2 * law.DAY
    (source,) = [
        one for one in duties.data(read(tmp_path, GATEWAY.format("oubli") + YEAR), "en") if one["name"] == "source"
    ]
    assert (source["state"], source["by"]) == ("partly", duties._WHY["early"][1])
    assert "up to 1 day (2 in a leap year)" in source["by"]


@pytest.mark.parametrize("boots", [1, 300])
@pytest.mark.parametrize("position", [0, 3601, 86399])
def test_how_much_earlier_each_boot_makes_it_is_in_what_is_said(boots: int, position: int) -> None:
    """EXP-4: what a gateway that is on all year erases by its powered-on hours, and who owes a year is told."""
    words_ = (
        r"(\d) in a leap year\), (\d) hours and one for each",
        r"(\d) en année bissextile\), (\d) heures et une par",
    )
    told = {
        tuple(map(int, re.findall(form, text)[0]))
        for form, text in zip(words_, reversed(duties._WHY["early"]), strict=True)
    }
    ((days, more),) = told
    year, hour = law.purpose("attribution").ceiling // law.DAY, 3600
    index = segment_index.SegmentIndex("", year)
    hours = 1000 - 1 - -(-position // hour)  # as the segment's writer says them
    index.add(sealed.Sealed(2, 2, "a" * 32, 20000, 20000 + year, 0, hours, 0, 1), "b" * 32, 1, 1)
    end = 20000 * law.DAY + position + (year + 1) * law.DAY  # of a leap year
    due = next(
        second
        for second in range(20000 * law.DAY + position, end, hour)
        if index.due(second // law.DAY, 0, 1000 + (second - 20000 * law.DAY - position) // hour + boots) >= 0
    )
    assert (end - due) // hour <= days * 24 + more + boots
    assert boots == 1 or (end - due) // hour > days * 24 + more


def test_what_was_turned_off_and_is_still_sealed_is_preserved(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """III bis: the custodian has its keys, and the gateway hands it over; the command looks at flash."""
    path, store = tmp_path / "oubli", tmp_path / "srv/oubli/vault/billing"
    path.write_text(GATEWAY.format("oubli") + NOTHING)

    def freeze() -> tuple[str, str]:
        words = ("-m", "agent", "law", "--config", path, "--root", tmp_path, "--duties", "fr", "--json")
        rows: list[dict[str, str]] = json.loads(any_interpreter.run(*words).stdout)
        (found,) = [one for one in rows if one["name"] == "freeze"]
        return found["state"], found["by"]

    assert freeze()[0] == "never"
    store.mkdir(parents=True)
    (store / "2026-10-01-0001").touch()
    state, by = freeze()
    assert (state, by.startswith("le tiers de confiance (oubli-custodian freeze)")) == ("met", True)


@pytest.mark.parametrize("held", [[], ["attribution"], ["billing"]])
def test_behind_a_second_nat_what_was_turned_off_is_preserved_by_device_alone(tmp_path: Path, held: list[str]) -> None:
    """III bis: the order by a public port that is refused while `attribution` is on is refused afterwards, too."""
    config = read(tmp_path, GATEWAY.format("portal") + BEHIND.replace("enabled '1'", "enabled '0'"))
    for language, told in zip(words.LANGUAGES, duties._WHY["second-nat"], strict=True):
        (by,) = [one["by"] for one in duties.data(config, language, held) if one["name"] == "freeze"]
        assert (told in by) == ("attribution" in held)


def test_permissions_are_on_or_off_with_their_time(tmp_path: Path) -> None:
    seen = {one["name"]: one for one in duties.data(read(tmp_path, GATEWAY.format("portal") + BILLING), "fr")}
    assert [(name, seen[name]["state"]) for name in ("security", "billing", "services", "location")] == [
        ("security", "on"), ("billing", "on"), ("services", "off"), ("location", "off"),
    ]  # fmt: skip
    assert (seen["security"]["by"], seen["billing"]["by"]) == (
        "au plus 24 heures après la fin",
        "au plus 90 jours après la fin",
    )
    assert seen["services"]["by"] == "rien n'est conservé"
    held = {one["name"]: one for one in duties.data(read(tmp_path, GATEWAY.format("portal")), "fr", ["billing"])}
    assert (held["billing"]["state"], held["billing"]["by"]) == (
        "off",
        "à l'arrêt, plus rien ne s'y ajoute ; au plus 365 jours après la fin",
    )


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_command_says_the_same_on_each_interpreter(
    any_interpreter: Interpreter, tmp_path: Path, language: str
) -> None:
    """Text and JSON, as the module makes them; another language is refused in one line."""
    config = read(tmp_path, GATEWAY.format("oubli") + YEAR)
    words = ("-m", "agent", "law", "--config", str(tmp_path / "oubli"), "--duties")
    assert any_interpreter.run(*words, language).stdout.decode().splitlines() == duties.lines(config, language)
    assert json.loads(any_interpreter.run(*words, language, "--json").stdout) == duties.data(config, language)
    refused = any_interpreter.run(*words, "de", check=False)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)


def test_the_doctor_finds_a_duty_that_nobody_serves(tmp_path: Path) -> None:
    """L34-II-3: a note for each, with its source and why; none where all are somebody's."""

    def found(text: str) -> list[str]:
        gateway = SimpleNamespace(config=read(tmp_path, text), paths=Paths(str(tmp_path)), proc=str(tmp_path))
        duties = [one for one in checks.found(gateway) if one.name == "duty"]  # type: ignore[arg-type]
        return [f"{one.severity} {one.what}" for one in duties]

    assert found(GATEWAY.format("portal")) == []
    texts = found(GATEWAY.format("undeclared"))
    assert len(texts) == 4
    assert all(text.startswith("note ") and "(L34-1 II" in text for text in texts)
    assert sum("gateway.duty names nobody" in text for text in texts) == 2
    assert len(found(GATEWAY.format("nat-log"))) == 2  # identity and account
    (partly,) = [one for one in duties.unserved(read(tmp_path, GATEWAY.format("oubli") + BILLING)) if "sealed" in one]
    assert "nobody who is declared here does all of it" in checks.Finding("duty", partly).why


@pytest.mark.parametrize("duty", law.DUTIES)
def test_without_the_package_the_doctor_still_finds_that_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, duty: str
) -> None:
    monkeypatch.setitem(sys.modules, "agent.purposes.checks", None)
    monkeypatch.delattr("agent.purposes.checks")
    gateway = SimpleNamespace(config=read(tmp_path, GATEWAY.format(duty)))
    found = [one.name for one in examination.deferred(gateway)]  # type: ignore[arg-type]
    assert found == ["duty"] * (duty in ("none", "undeclared"))
