# SPDX-License-Identifier: Apache-2.0
"""What notice, register, duties and a consent's document say, against what runs and what flash has (L34-VI-4)."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from agent import law
from agent.cli import article
from agent.config import config
from agent.purposes import activities, duties, impact, notice, words
from agent.purposes.consent import texts
from agent.purposes.requests import requests
from host_sim.privacy import paired
from tests.cli.test_law import GATEWAY, VENUE, noticed, typeset
from tests.purposes.test_rights import BILL, PARTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

SMALL = "config summary\n option rows '256'\n"
DUTY = GATEWAY.rstrip("\n") + "\n option duty '{}'\n"
ATTRIBUTION = (
    "config purpose 'attribution'\n option enabled '1'\n option ground 'IIbis-3'\n option reference 'x'\n"
    " option budget '90000000'\n"
)
SERVICES = "config purpose 'services'\n option enabled '1'\n" + VENUE


def read(folder: Path, text: str) -> config.Config:
    (folder / "oubli").write_text(text)
    return config.load(str(folder / "oubli"))


@pytest.mark.parametrize("objected", [False, True])
@pytest.mark.parametrize("more", ["", SERVICES])
@pytest.mark.parametrize("counted", [False, True])
def test_an_objection_is_told_of_just_where_the_page_has_its_button(
    interpreter: Interpreter, memory: Path, *, counted: bool, more: str, objected: bool
) -> None:
    """L34-VI-5: one is made where somebody is counted, and taken back where one is remembered, whatever is on."""
    device = paired.Device(memory / "device", None, options=f" option enabled '{int(counted)}'\n{more}")
    room, mine = device.recorder.groups.by_consent(), {"terminal": paired.mac_of(1), "address": None}
    if objected:
        assert device.recorder.orders.object(mine, "root")["durable"]
    own = room.own(mine)
    device.recorder.close()
    button = bool(own["objects"]) or own["counted"]
    assert button == (counted or objected)
    for paper, language in itertools.product(("--notice", "--register"), words.LANGUAGES):
        words_ = ("law", "--config", device.root / "config", "--root", device.root, paper, language)
        told = interpreter.run("-m", "agent", *words_).stdout.decode()
        assert (f"\n- {words.PURPOSES['objection'][language == 'en']}" in told) == button


def test_an_objection_s_end_is_the_one_that_is_promised(memory: Path) -> None:
    """L34-VI-5: 13 months in each text and in the copy; until then nobody is counted, and then the name goes."""
    device = paired.Device(memory / "device", None)
    mine: dict[str, Any] = {"terminal": paired.mac_of(1), "address": None}
    device.pass_to(1300)
    device.recorder.orders.object(mine, "root")
    room = device.recorder.groups.by_consent()
    since, end = room.own(mine)["objects"]
    assert end - since == law.purpose("consent").ceiling
    for second, left in ((end - 1, True), (end, False)):
        room._consents_or_refuse().tick(second)
        assert bool(room.own(mine)["objects"]) == room.objects(paired.mac_of(1)) == left
    device.recorder.close()


@pytest.mark.parametrize("how", ["on", "held"])
@pytest.mark.parametrize("names", [("attribution",), ("billing",), ("attribution", "billing")])
def test_a_request_is_told_with_what_such_a_one_names_and_nothing_else(
    tmp_path: Path, names: tuple[str, ...], how: str
) -> None:
    """L34-II-4, L34-VI-4: nobody is asked for by a public port where no store has one."""
    on = {"attribution": ATTRIBUTION, "billing": BILL}
    config = read(tmp_path, GATEWAY + SMALL + "".join(on[name] for name in names if how == "on"))
    held = names if how == "held" else ()
    scopes = {line for store, _, lines in requests.KINDS.values() if store in names for line in lines}
    fields = {PARTS["requests"][line] for line in scopes | {*requests._COMMON}} - {None} | {"portal_user"}
    (row,) = [row for row in article.memory(config, held) if row[0] == "requests"]
    assert (row[1], {*row[2]}) == (True, fields)
    for language in words.LANGUAGES:
        (one,) = [one for one in activities.activities(config, language, held) if one.key == "requests"]
        assert ("public" in one.data) == ("attribution" in names)


def procedures(told: list[dict[str, str]]) -> tuple[str, str]:
    (found,) = [one for one in told if one["name"] == "procedures"]
    return found["state"], found["by"]


@pytest.mark.parametrize(
    ("duty", "on", "left", "state"),
    [
        ("oubli", "", "", "nobody"), ("none", "", "", "nobody"), ("portal", "", "", "other"),
        ("oubli", "", "attribution", "partly"), ("none", "", "billing", "partly"), ("oubli", BILL, "", "partly"),
        ("portal", "", "attribution", "other"), ("radius", BILL, "attribution", "other"),
        ("oubli", ATTRIBUTION, "billing", "with"),
    ],
)  # fmt: skip
def test_who_answers_on_what_is_sealed_is_the_custodian_whatever_is_on_now(
    any_interpreter: Interpreter, tmp_path: Path, duty: str, on: str, left: str, state: str
) -> None:
    """L34-II, L34-II-4: what was turned off and is still sealed is handed over; nobody says that nobody answers."""
    read(tmp_path, DUTY.format(duty) + SMALL + on)
    if left:
        store = tmp_path / "srv/oubli/vault" / left
        store.mkdir(parents=True)
        (store / "2026-10-01-0001").touch()
    for at, language in enumerate(words.LANGUAGES):
        paper = ("law", "--config", tmp_path / "oubli", "--root", tmp_path, "--duties", language, "--json")
        found, by = procedures(json.loads(any_interpreter.run("-m", "agent", *paper).stdout))
        assert found == state
        assert (duties._WHY["custodian"][at] in by) == bool(on or left)
        for name, is_there in (("attribution", left == "attribution"), ("billing", bool(left == "billing" or on))):
            assert (words.PURPOSES[name][at] in by) == (is_there and state != "with")
        assert (duties.DECLARED.get(duty, ("?", "?"))[at] in by) == (state == "other")


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_who_is_asked_for_a_consent_reads_of_each_of_her_rights(tmp_path: Path, language: str) -> None:
    """GDPR 13.1 b and c, 13.2 b to d: in every document, also with an operator's own text."""
    config = read(tmp_path, GATEWAY + SERVICES.replace("dpo 'none'", "dpo 'Mme Roy'"))
    document = "\n".join(texts.rendered("", f"9.{language}", ["services"], "none", 30, config.notice)[0])
    at = words.LANGUAGES.index(language)
    rights = {name for key in ("services", "consent") for names in activities.RIGHTS[key] for name in names}
    for name in rights - {"suspension", "withdrawal"} | {"rectification"}:
        assert activities.NAMES[name][at] in document
    for word in (
        ("suspension et retrait de l'accord", "suspension and withdrawal of the consent"), ("mort", "death"),
        ("CNIL (www.cnil.fr)", "CNIL (www.cnil.fr)"), ("RGPD 6.1 a", "GDPR 6.1 a"), ("Mme Roy", "Mme Roy"),
    ):  # fmt: skip
        assert typeset(word[at], language) in document.replace("\u00a0", " ")
    nobody = texts.rendered("", f"9.{language}", ["services"], "none", 30, read(tmp_path, GATEWAY + SERVICES).notice)[0]
    assert not [line for line in nobody if line.startswith(("Délégué", "Data protection"))]
    assert not [line for line in nobody if "none" in line and "none by the gateway" not in line]


AS_ANOTHER = """
from agent.base.paths import Paths
from agent.config import config
from agent.purposes import beside
from agent.runtime.libc import LIBC
read, paths = config.load({0!r} + "/oubli"), Paths({0!r})
LIBC.call("setuid", 65534)
print(beside.told(read, paths))
"""


@pytest.mark.needs("root")
def test_who_may_not_look_at_flash_is_told_so(any_interpreter: Interpreter, memory: Path) -> None:
    """L34-VI-4: the folder is the recorder's alone, and to another user nothing below it seems to be there."""
    folder = memory / any_interpreter.name
    folder.mkdir()
    read(folder, GATEWAY + SMALL)
    memory.chmod(0o755)

    def told() -> tuple[bytes, bool]:
        done = any_interpreter.run("-c", AS_ANOTHER.format(str(folder)))
        return done.stdout, b"accepted: run as root" in done.stderr

    assert told() == (b"[]\n", False)  # another machine, or nothing was ever kept
    store = folder / "srv/oubli/vault/attribution"
    store.mkdir(parents=True)
    (store / "2026-10-01-0001").touch()
    assert told() == (b"['attribution']\n", False)
    (folder / "srv/oubli").chmod(0o700)
    assert told() == (b"[]\n", True)


@pytest.mark.parametrize(
    ("on", "held"),
    [
        (ATTRIBUTION, ["billing"]), (BILL, ["attribution"]), ("", ["attribution"]), ("", ["billing", "attribution"]),
        (ATTRIBUTION + BILL, []),
    ],
)  # fmt: skip
def test_when_something_is_sealed_is_told_of_what_is_on_alone(tmp_path: Path, on: str, held: list[str]) -> None:
    """L34-VI-4: of what is off nothing comes that would wait to be sealed; that nobody here can read it holds."""
    for at, language in enumerate(words.LANGUAGES):
        text = notice.TEXTS[language]
        told = "\n".join(noticed(read(tmp_path, GATEWAY + SMALL + on), language, held))
        for name, key in (("attribution", "a connection"), ("billing", "a session")):
            assert (re.search(rf"(de|of|ou|or) (de )?{text[key]}\b", told) is not None) == (f"'{name}'" in on)
        assert ("15 minutes" in told) == bool(on)
        assert ("30 minutes" in told) == (BILL in on)
        assert ("2 heures sans", "2 hours without")[at] in told or ATTRIBUTION not in on
        assert ("ni la borne ni l'exploitant", "neither the gateway nor the operator")[at] in told


@pytest.mark.parametrize("how", ["on", "held"])
def test_third_parties_of_a_consent_are_asked_about_transfers_as_long_as_it_is_remembered(
    tmp_path: Path, how: str
) -> None:
    """GDPR 13.1 f, 30.1 e: what they got before `services` was turned off is theirs all the same."""
    config = read(tmp_path, GATEWAY + (SERVICES if how == "on" else VENUE))
    for language in words.LANGUAGES:
        found = activities.activities(config, language, ["consent"] if how == "held" else [])
        assert activities._OTHERS["services"][language == "en"] in activities.transfers(found, int(language == "en"))


@pytest.mark.parametrize("third", ["none", "Exemple SARL, Autre SA"])
def test_who_is_asked_for_a_consent_reads_of_transfers_what_the_notice_says(tmp_path: Path, third: str) -> None:
    """GDPR 13.1 f: none by the gateway; of third parties the configuration doesn't know.

    In the notice a blank says so, to be filled in by hand; in a document that is hashed nobody can.
    """
    config = read(tmp_path, GATEWAY + SERVICES)
    for at, language in enumerate(words.LANGUAGES):
        shown = texts.rendered("", f"9.{language}", ["services"], third, 30, config.notice)[0]
        (said,) = [one for one in shown if one.startswith(("Transferts hors", "Transfers out"))]
        told = activities.transfers(activities.activities(config, language), at)
        by, ask = (" ; par ", "; by ")[at], ("demandez-le au responsable", "ask the controller")[at]
        head, others, end = told.partition(by + activities._OTHERS["services"][at])
        end = end.replace(words.BLANK[at], texts._ASK[at])
        named = by + third + end if third != "none" else "."
        assert others
        assert ((ask in said), "____" in said) == (third != "none", False)
        assert said.replace("\u00a0", " ").replace("\u202f", " ") == typeset(head + named, "en")


def test_what_an_order_may_preserve_is_told_whole() -> None:
    """L34-1 III bis: of each store that an order reaches, every field, as the custodian seals them again."""
    stores = {store for kind, (store, *_) in requests.KINDS.items() if kind.startswith("freeze")}
    assert {*law.purpose("freeze").fields} == {field for name in stores for field in law.purpose(name).fields}


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_rests_on_no_basis_in_force_may_be_erased_on_demand_and_so_may_its_requests(
    tmp_path: Path, language: str
) -> None:
    """GDPR 17.1 d: no duty stands against it. What is asked of it has no better basis, unless bills are asked for."""
    former = ATTRIBUTION.replace("IIbis-3", "STAD") + " option wording 'repealed'\n"
    for on, more, repealed in ((former, "", True), (former, BILL, False), (ATTRIBUTION, "", False)):
        found = activities.activities(read(tmp_path, GATEWAY + SMALL + on + more), language)
        rows = {one.key: one for one in found}
        assert ("erasure" in rows["attribution"].asked) == (on == former)
        assert ("L34-1 III" in rows["requests"].basis) == repealed
        assert all("erasure" not in one.asked for one in found if one.key == "billing")
    held = read(tmp_path, GATEWAY + SMALL + former)
    (requests_,) = [one for one in activities.activities(held, language, ["billing"]) if one.key == "requests"]
    assert "L34-1 III" not in requests_.basis


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_papers_promise_no_answer_sooner_than_the_law_does_and_no_page_that_is_not_there(
    tmp_path: Path, language: str
) -> None:
    """GDPR 12.3: two months more, with word of it in the first. GDPR 35.7 d: what root reads on flash is a risk."""
    config = read(tmp_path, GATEWAY)
    told = "\n".join(notice.lines(config, language)).replace("\u00a0", " ")
    assert ("réponse en 1 à 3 mois" if language == "fr" else "up to three (12.3)") in told
    text = "\n".join(impact.impact(config, language)).replace("\u202f", " ").replace("\u00a0", " ")
    assert ("s'il y a lieu, page des visiteurs" if language == "fr" else "where it applies, the guests' page") in text
    assert ("root lit les demandes en clair" if language == "fr" else "root reads requests in clear") in text
