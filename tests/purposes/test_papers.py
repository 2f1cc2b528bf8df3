# SPDX-License-Identifier: Apache-2.0
"""What notice, register, duties and a consent's document say, against what runs and what flash has (L34-VI-4)."""

from __future__ import annotations

import inspect
import itertools
import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from agent import law
from agent.audit import log as audit
from agent.base.paths import Paths
from agent.cli import article, status
from agent.cli.table import VERBS
from agent.config import config
from agent.control.calls import Refused
from agent.purposes import activities, also_held, duties, impact, notice, present, register, words
from agent.purposes.consent import kept_consents, page_words, texts
from agent.purposes.consent.guest_page import Page
from agent.purposes.consent.page_connection import Request
from agent.purposes.erasure.rounds import Erasure
from agent.purposes.requests import requests
from agent.summary.services import CLASSES, service_of
from agent.vault import stores
from host_sim.privacy import paired
from host_sim.privacy.terminal_signs import Sign, mac_of
from tests.cli.test_law import GATEWAY, VENUE, noticed, typeset
from tests.purposes.test_rights import BILL, PARTS, commands
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

SMALL = "config summary\n option rows '256'\n"
DUTY = GATEWAY.rstrip("\n") + "\n option duty '{}'\n"
ATTRIBUTION = (
    "config purpose 'attribution'\n option enabled '1'\n option ground 'IIbis-3'\n option reference 'x'\n"
    " option budget '90000000'\n"
)
CHOSEN = ("counting", "objection")  # the page tells of these as what a terminal's holder chose, or while a day is open
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
    room, mine = device.recorder.groups.by_consent(), {"terminal": mac_of(1), "address": None}
    if objected:
        assert device.recorder.orders.object(mine, "root")["durable"]
    own = room.own(mine)
    device.recorder.close()
    button = bool(own["objects"]) or own["counted"]
    assert button == (counted or objected)
    papers = list(itertools.product(("--notice", "--register"), words.LANGUAGES))
    command = ("law", "--config", device.root / "config", "--root", device.root)
    texts = interpreter.oubli(*((*command, *paper) for paper in papers))
    for (_, language), told in zip(papers, texts, strict=True):
        assert (f"\n- {words.PURPOSES['objection'][language == 'en']}" in told) == button


def test_an_objection_s_end_is_the_one_that_is_promised(memory: Path) -> None:
    """L34-VI-5: 13 months in each text and in the copy; until then nobody is counted, and then the name goes."""
    device = paired.Device(memory / "device", None)
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None}
    device.pass_to(1300)
    device.recorder.orders.object(mine, "root")
    room = device.recorder.groups.by_consent()
    since, end = room.own(mine)["objects"]
    assert end - since == law.purpose("consent").ceiling
    for second, left in ((end - 1, True), (end, False)):
        room._consents_or_refuse().tick(second)
        assert bool(room.own(mine)["objects"]) == room.objects(mac_of(1)) == left
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
    for language, address in zip(words.LANGUAGES, words.FIELDS["public_address"], strict=True):
        (one,) = [one for one in activities.activities(config, language, held) if one.key == "requests"]
        assert (address in one.data) == ("attribution" in names)


def test_the_gateway_s_own_words_on_requests_and_erasure_are_what_is_done(memory: Path) -> None:
    """GDPR 15, 17: a person asks by a request, too; the erasure of one terminal ends its consents."""
    told = {verb.name: verb.text for verb in VERBS}
    device = paired.Device(memory / "device", None)
    lines = status.lines(device.recorder.status() | {"requests": [{}]})
    device.recorder.close()
    assert "open requests: 1" in lines
    assert "authorit" not in told["request enrol"] + told["request run"]
    assert "--mac ends" in told["erase"]
    assert ".forget(" in inspect.getsource(Erasure.begin)


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
    command = ("law", "--config", tmp_path / "oubli", "--root", tmp_path, "--json", "--duties")
    texts = any_interpreter.oubli(*((*command, language) for language in words.LANGUAGES))
    for at, text in enumerate(texts):
        found, by = procedures(json.loads(text))
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
from agent.purposes import also_held
from agent.runtime.libc import LIBC
read, paths = config.load({0!r} + "/oubli"), Paths({0!r})
LIBC.call("setuid", 65534)
print(also_held.told(read, paths))
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


def former(ground: str) -> str:
    """Return a section of attribution on a ground, with what a repealed one needs."""
    return ATTRIBUTION.replace("IIbis-3", ground) + (" option wording 'repealed'\n" if ground != "IIbis-3" else "")


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("on", "note", "held", "even"),
    [
        (former("IIbis-3"), [], [], False), (BILL, [], [], False), (former("STAD") + BILL, [], [], True),
        (former("IIbis-3"), ["L336-3", "IIbis-3"], [], True), ("", ["STAD", "IIbis-3"], ["attribution"], True),
        ("", ["STAD"], ["billing"], False),
    ],
)  # fmt: skip
def test_nobody_is_offered_the_erasure_of_one_device_where_nothing_serves_it(
    tmp_path: Path, language: str, on: str, note: list[str], held: list[str], *, even: bool
) -> None:
    """GDPR 17: a sealed store opens for a day and for all, or for nobody; the custodian too destroys a day's keys.

    Also what no basis in force covers ends so, and a guest is told of that.
    """
    at, settings = words.LANGUAGES.index(language), read(tmp_path, GATEWAY + SMALL + on)
    settings.notes["attribution"] = noted(note)
    sealed = [one for one in activities.activities(settings, language, held) if one.custody == law.CUSTODIAN]
    assert sealed
    assert not [one.key for one in sealed if "erasure" in one.on_page + one.asked]
    assert not [name for name in commands() if "custodian" in name and re.search("erase|forget", name)]
    (told,) = [one for one in noticed(settings, language, held) if one.startswith(("- scellement", "- sealing"))]
    # A custodian's key has its date since it was made, whatever lifetime is configured later
    end = ("les clés sont détruites à leur échéance", "the keys are destroyed on their own date")[at]
    assert ("nul ne peut effacer", "nobody, not even that party, can erase")[at] in told
    assert end in told
    assert (("même sans base en vigueur", "not even where no basis is in force")[at] in told) == even


def noted(grounds: list[str]) -> tuple[str, list[tuple[int, str]]] | None:
    """Return root's note of what a store was kept for, the newest last, as agent.vault.stores has it."""
    rows = [(20000 + at, word) for at, word in enumerate(grounds)]
    return ("", [*rows[:-1], (stores.LASTS, grounds[-1])]) if rows else None


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("on", "note", "held", "letter", "repealed", "unknown"),
    [
        (former("IIbis-3"), [], [], True, False, False), (BILL, [], [], True, False, False),
        (former("STAD"), [], [], False, True, False), (former("STAD") + BILL, [], [], True, True, False),
        (former("IIbis-3"), ["L336-3", "IIbis-3"], [], True, True, False),
        ("", ["STAD"], ["attribution"], False, True, False), (BILL, ["STAD"], ["attribution"], True, True, False),
        ("", ["STAD"], ["attribution", "billing"], True, True, False), ("", [], ["attribution"], False, False, True),
        (former("STAD"), [], ["billing"], True, True, False),
    ],
)  # fmt: skip
def test_requests_rest_on_the_grounds_of_all_that_they_can_open(
    tmp_path: Path, language: str, on: str, note: list[str], held: list[str], *,
    letter: bool, repealed: bool, unknown: bool,
) -> None:  # fmt: skip
    """GDPR 13.1 c: what an older day was kept on, too; a bill's duty is none for what authorities may ask.

    A person's access and an order to preserve rest on the law, whatever the store was kept on.
    """
    at, settings = words.LANGUAGES.index(language), read(tmp_path, GATEWAY + SMALL + on)
    settings.notes["attribution"] = noted(note)
    rows = {one.key: one for one in activities.activities(settings, language, held)}
    basis = rows["requests"].basis
    assert (activities._REPEALED[at] in basis) == repealed
    basis, also, rest = basis.partition(activities._ALSO[at])
    assert (bool(also), rest) == ((True, ("RGPD 6.1 c", "GDPR 6.1 c")[at]) if repealed or unknown else (False, ""))
    assert (("RGPD 6.1 c", "GDPR 6.1 c")[at] in basis) == letter
    assert (words.BLANK[at] in basis) == unknown
    if "attribution" in rows:  # what no basis covers there has none here
        assert (activities._REPEALED[at] in rows["attribution"].basis) == repealed
    both = {"attribution", "billing"} <= {*rows} and repealed
    names = [f"« {words.PURPOSES[name][0]} »" if at == 0 else f'"{words.PURPOSES[name][1]}"' for name in stores.SEALED]
    assert [name in basis for name in names] == [both, both]


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("on", "held", "answers", "bills"),
    [
        ("", [], False, False), (SERVICES, [], False, False), (ATTRIBUTION, [], True, False), (BILL, [], True, True),
        ("", ["attribution"], True, False), (ATTRIBUTION, ["billing"], True, True),
    ],
)  # fmt: skip
def test_nobody_is_told_of_answers_and_bills_that_nobody_gets(
    tmp_path: Path, language: str, on: str, held: list[str], *, answers: bool, bills: bool
) -> None:
    """GDPR 13.1 e, 30.1 d: a gateway that seals nothing has no custodian who answers, and no biller."""
    settings, at = read(tmp_path, GATEWAY + SMALL + on), words.LANGUAGES.index(language)
    for paper in (notice.lines, register.register, impact.impact):
        told = "\n".join(paper(settings, language, held))
        assert (("Qui reçoit une réponse", "Whoever gets an answer")[at] in told) == answers
        assert ((" ou le relevé des sessions en garde", " or the list of sessions keeps")[at] in told) == bills
    assert (("aucune demande pour le relevé", "no request for the list of sessions")[at] in told) == bills


AWAY = "/mnt/disk\n{}\n"


@pytest.mark.parametrize(
    ("duty", "here", "away", "answers", "freezes"),
    [
        ("oubli", [], ["attribution", "billing"], "nobody", "nobody"), ("none", [], ["billing"], "nobody", "nobody"),
        ("portal", [], ["attribution"], "partly", "nobody"),
        ("oubli", ["billing"], ["attribution"], "partly", "partly"),
        ("radius", ["attribution"], ["billing"], "partly", "partly"), ("oubli", ["billing"], [], "partly", "met"),
    ],
)  # fmt: skip
def test_nobody_is_said_to_answer_from_a_medium_that_is_away(
    interpreter: Interpreter,
    tmp_path: Path,
    duty: str,
    here: list[str],
    away: list[str],
    answers: str,
    freezes: str,
) -> None:
    """L34-1 II, III bis: until it is back no request reaches what is on it; duties, notice, register, doctor."""
    settings = read(tmp_path, DUTY.format(duty) + SMALL)
    (tmp_path / "srv/oubli-root").mkdir(parents=True)
    kept = {"attribution": "IIbis-3", "billing": "-"}
    for name in here + away:
        text = AWAY if name in away else "\n{}\n"
        (tmp_path / f"srv/oubli-root/store-{name}").write_text(text.format(kept[name]))
    for name in here:
        (store := tmp_path / "srv/oubli/vault" / name).mkdir(parents=True)
        (store / "2026-10-01-0001").touch()
    command = ("law", "--config", tmp_path / "oubli", "--root", tmp_path)
    for at, language in enumerate(words.LANGUAGES):
        listed, *papers = interpreter.oubli(
            (*command, "--duties", language, "--json"),
            *((*command, one, language) for one in ("--register", "--notice")),
        )
        told = {one["name"]: one for one in json.loads(listed)}
        names = ", ".join(words.PURPOSES[name][at] for name in ("attribution", "billing") if name in away)
        said = duties._WHY["away"][at].format(names)
        for name, state in (("procedures", answers), ("freeze", freezes)):
            assert told[name]["state"] == state, told[name]
            assert (said in told[name]["by"]) == bool(away)
            custodian = duties._WHY["custodian" if name == "procedures" else "freeze"][at] in told[name]["by"]
            assert custodian == bool(here)
        for paper in papers:
            assert paper.replace("\u00a0", " ").count(typeset(words.UNSEEN[at], language).strip()) == len(away)
        seal = papers[1].partition(("- scellement", "- sealing")[at])[2]
        left = ", ".join(notice.TEXTS[language][name] for name in ("attribution", "billing") if name in away)
        assert (notice.TEXTS[language]["away"].format(left) in seal) == bool(away)
    held = also_held.told(settings, Paths(str(tmp_path)))
    found = [one for one in duties.unserved(settings, held) if duties._WHY["away"][1].partition("(")[0] in one]
    assert len(found) == 2 * bool(away)


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("name", stores.SEALED)
def test_a_request_on_a_medium_that_is_away_is_promised_no_end(
    interpreter: Interpreter, tmp_path: Path, name: str, *, away: bool
) -> None:
    """L34-VI-4: it names in clear whom it is about, and nobody can remove it there; papers, `oubli law`, the page."""
    (settings := tmp_path / "oubli").write_text(GATEWAY)
    handovers = tmp_path / ("srv/oubli/vault" if not away else "elsewhere") / name / "handovers"
    handovers.mkdir(parents=True)
    (handovers / "0123.tar").touch()
    if away:
        (tmp_path / "srv/oubli-root").mkdir(parents=True)
        kept = {"attribution": "IIbis-3", "billing": "-"}[name]
        (tmp_path / f"srv/oubli-root/store-{name}").write_text(AWAY.format(kept))
    command = ("law", "--config", settings, "--root", tmp_path)
    listed, *texts = interpreter.oubli(
        command, *((*command, *paper) for paper in itertools.product(("--notice", "--register"), words.LANGUAGES))
    )
    for at, language in enumerate(words.LANGUAGES):
        said = words.MEDIUM[at].strip(" ;")
        own = {"kept": [[name, law.DAY, away]], "beside": ["requests", "page"], "objects": [], "counted": False}
        own |= {"medium": away, "nat": False, "over": [name]}
        asked = Request("", b"", False, "lang=" + language, {})
        shown = Page(asked, lambda *_, **__: {}, lambda _: iter(()), None).without(own, 0)
        told = [shown, *texts[at::2], *([listed] if at else [])]  # `oubli law` alone is English
        for text in told:
            plain = unescape(text).replace("\u00a0", " ").replace("\u202f", " ")
            assert plain.count(said) == away, text


@pytest.mark.parametrize("medium", ["", "attribution", "vault"])
@pytest.mark.parametrize("on", [ATTRIBUTION, BILL, ""])
def test_requests_beside_a_store_on_a_medium_are_said_to_be_readable_and_to_stay_while_it_is_away(
    tmp_path: Path, on: str, medium: str
) -> None:
    """L34-VI-4: whoever takes it reads them, they lie in clear; of what is on, too, on papers and the guests' page."""
    text = SMALL + on + {"": "", "vault": "config vault\n option path '/mnt/disk'\n"}.get(medium, "")
    if medium == "attribution":
        text = text.replace("option reference 'x'\n", "option reference 'x'\n option storage '/mnt/disk'\n")
    told_of = bool(on) and (medium == "vault" or (medium == "attribution" and on == ATTRIBUTION))
    settings = read(tmp_path, GATEWAY + text)
    for at, language in enumerate(words.LANGUAGES):
        for paper in (notice.lines, register.register):
            plain = "\n".join(paper(settings, language)).replace("\u00a0", " ").replace("\u202f", " ")
            assert (words.MEDIUM[at] in plain) == told_of
        rows = {one.key: one for one in activities.activities(settings, language)}
        assert ("requests" in rows) == bool(on)
        assert not on or ("non chiffré", "not encrypted")[at] in rows["requests"].safe
    assert (words.MEDIUM[1] in "\n".join(article.lines(settings))) == told_of
    device = paired.Device(tmp_path / "device", None, options=text.removeprefix(SMALL), rows=256)
    own = device.recorder.groups.by_consent().own({"terminal": mac_of(1), "address": None})
    device.recorder.close()
    assert own["medium"] == told_of
    shown = Page(Request("", b"", False, "", {}), lambda *_, **__: {}, lambda _: iter(()), None).without(own, 0)
    assert (words.MEDIUM[0].strip(" ;") in unescape(shown).replace("\u202f", " ")) == told_of


@pytest.mark.parametrize("acknowledged", [False, True])
def test_attribution_is_said_to_keep_nothing_behind_a_second_nat_that_is_not_acknowledged(
    tmp_path: Path, *, acknowledged: bool
) -> None:
    """L34-II-4, L34-VI-4: whether there is one the recorder sees, not the configuration: the papers say the condition.

    What is acknowledged is kept there too, and a guest isn't told otherwise. His page says what the notice says.
    """
    more = " option upstream_nat 'acknowledged'\n" if acknowledged else ""
    settings = read(tmp_path, GATEWAY + ATTRIBUTION + more + SMALL)
    for at, language in enumerate(words.LANGUAGES):
        said = ("rien derrière un second NAT non déclaré", "nothing behind an unacknowledged second NAT")[at]
        (row,) = [one for one in activities.activities(settings, language) if one.key == "attribution"]
        # Of which data there is no record, not until when: under "duration" it answers nothing
        assert (said in row.data, said in row.kept) == (not acknowledged, False)
        said = said.removeprefix("rien ")
        (source,) = [one["by"] for one in duties.data(settings, language) if one["name"] == "source"]
        assert (said in source) == (not acknowledged)
    device = paired.Device(tmp_path / "device", None, options=ATTRIBUTION + more, rows=256)
    own = device.recorder.groups.by_consent().own({"terminal": mac_of(1), "address": None})
    device.recorder.close()
    for at, language in enumerate(words.LANGUAGES):
        asked = Request("", b"", False, "lang=" + language, {})
        shown = unescape(Page(asked, lambda *_, **__: {}, lambda _: iter(()), None).without(own, 0))
        plain = shown.replace("\u00a0", " ").replace("\u202f", " ")
        assert (words.PURPOSES["attribution"][at] + words.NAT[at] + ", " in plain) == (not acknowledged)
        told = [one.what for one in activities.activities(device.config, language) if one.key not in CHOSEN]
        assert [one for one in told if not re.search(f"<li>{re.escape(one)}(, | \\()", plain)] == []
    off = read(tmp_path, GATEWAY + SMALL)
    (row,) = [one for one in activities.activities(off, "fr", ["attribution"]) if one.key == "attribution"]
    assert "NAT" not in row.data + row.kept


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("on", "held", "letter", "repealed"),
    [
        (former("STAD"), [], False, True), (former("STAD") + BILL, [], True, True),
        (BILL, ["attribution"], True, False),
        (former("IIbis-3") + BILL, [], True, False),
    ],
)  # fmt: skip
def test_the_portal_s_word_rests_on_each_of_the_grounds_that_it_serves(
    tmp_path: Path, language: str, on: str, held: list[str], *, letter: bool, repealed: bool
) -> None:
    """GDPR 13.1 c: of a bill and of a repealed ground it serves both, and says so; of what is off it serves none."""
    at, settings = words.LANGUAGES.index(language), read(tmp_path, GATEWAY + SMALL + on)
    settings.notes["attribution"] = noted(["STAD"]) if held else None
    rows = {one.key: one for one in activities.activities(settings, language, held)}
    basis = rows["portal"].basis
    assert (activities._REPEALED[at] in basis, ("RGPD 6.1 b", "GDPR 6.1 b")[at] in basis) == (repealed, letter)
    for name in stores.SEALED:
        assert (words.PURPOSES[name][at] in basis) == (letter and repealed)


@pytest.mark.parametrize("without", [1, 2])
@pytest.mark.parametrize("free", [96, 0])
def test_smaller_blocks_are_advised_just_where_none_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, without: int
) -> None:
    """L34-II-4, for the operator: with no public address yet, or a kernel that refuses, all of them are free."""
    device = paired.Device(tmp_path / "device", None, options=ATTRIBUTION)
    device.pass_to(1300)
    sign = Sign(1310, 1)
    near, event, _ = sign.messages()
    device.recorder.streams.neighbour(near, len(near))
    device.recorder.streams.datagram(event, len(event))
    deferred = device.recorder.groups.deferred
    assert deferred is not None
    held = {**dict(deferred.attribution.holdings.status()), "free": free, "without": without}
    monkeypatch.setattr(deferred.attribution.holdings, "status", lambda: held)
    notes = device.recorder.status()["purposes"]["attribution"]["notes"]
    many = ("1 terminal has none: its", "2 terminals have none: their")[without - 1]
    (said,) = [one for one in notes if one.startswith(many + " connections are kept one by one")]
    assert ("lower block_size" in said) == (free == 0)
    device.recorder.close()


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_an_injunction_that_is_excepted_is_not_denied_in_the_same_row(tmp_path: Path, language: str) -> None:
    """L34-VI-4: on a medium that is away nothing more is preserved; what an earlier injunction preserved is."""
    settings, at = read(tmp_path, GATEWAY + SMALL), words.LANGUAGES.index(language)
    settings.unseen = ["billing"]
    (row,) = [one for one in register.register(settings, language, ["billing"]) if words.PURPOSES["billing"][at] in one]
    assert register.TEXTS[language]["preserved"].strip(", ").partition(" ")[0] in row
    assert ("elle n'en remet plus", "it hands over nothing more of it")[at] in row


@pytest.mark.parametrize("more", ["", SERVICES])
def test_who_objects_to_security_reads_that_an_erasure_ends_her_consents_too(tmp_path: Path, more: str) -> None:
    """L34-VI-4, GDPR 21.1: the operator's `erase --mac` does both, and no new consent is taken for 30 days."""
    device = paired.Device(tmp_path / "device", None, options=more, security="option enabled '1'")
    device.pass_to(1300)
    room, now, mac = device.recorder.groups.by_consent(), device.time.wall() // 10**9, mac_of(1)
    if more:
        register_ = room._consents_or_refuse()
        register_.grant(mac, ["services"], ["connections"], "none", now + law.DAY, bytes(32), now)
    ended = device.recorder.groups.erasure().begin({"terminal": mac, "address": None}, "root")["withdrawn"]
    assert ended == bool(more)
    for language, said in zip(words.LANGUAGES, ("et met fin à vos accords", "and ends your consents"), strict=True):
        (told,) = [one for one in noticed(device.config, language) if "21.1" in one]
        assert (said in told) == bool(ended)
    device.recorder.close()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("more", ["", SERVICES])
def test_who_objected_before_counting_was_turned_off_reads_that_no_consent_of_hers_is_applied(
    tmp_path: Path, more: str, *, counted: bool
) -> None:
    """L34-VI-5: the page says so; it holds for as long as it is remembered, whatever is on."""
    device = paired.Device(tmp_path / "device", None, options=f" option enabled '{int(counted)}'\n{more}")
    device.pass_to(1300)
    room, now, mine = device.recorder.groups.by_consent(), device.time.wall() // 10**9, {"terminal": mac_of(1)}
    device.recorder.orders.object(mine | {"address": None}, "root")
    if more:
        with pytest.raises(Refused, match="this terminal objects"):
            room._consents_or_refuse().grant(
                mac_of(1), ["services"], ["connections"], "none", now + law.DAY, bytes(32), now
            )
    held = also_held.remembered(device.config, Paths(str(device.root)))
    assert "objection" in held
    for at, language in enumerate(words.LANGUAGES):
        against = [one for one in noticed(device.config, language, held) if one.startswith(("Oppos", "Objec"))]
        applied = ("aucun accord de votre part n'est", "no consent of yours is applied")[at]
        assert len([one for one in against if applied in one]) == bool(more), against
        back = ("vous pouvez la lever sur la page", "you can take it back on the page")[at]
        assert len([one for one in against if back in one]) == (bool(more) and not counted)
    device.recorder.close()


@pytest.mark.parametrize(
    ("more", "held"),
    [
        ("config summary\n option enabled '0'\n", []),
        ("", ["choices"]),
        (SERVICES + SMALL, ["choices", "consent"]),
        (ATTRIBUTION + SMALL, ["choices", "requests"]),
    ],
)
def test_notice_tells_of_an_unconfirmed_clock_what_it_changes_here(tmp_path: Path, more: str, held: list[str]) -> None:
    """L34-VI-4, EXP-5: a refusal holds, no consent is applied; and what is forgotten by the confirmed time."""
    text = "\n".join(notice.lines(read(tmp_path, GATEWAY + more), "en"))
    assert ("While the gateway's clock isn't confirmed" in text) == (held != [])
    assert ("a refusal holds, but no consent is applied;" in text) == ("consent" in held)
    assert ("remembered of choices" in text) == ("choices" in held)
    assert ("requests for sealed data may expire later" in text) == ("requests" in held)


def test_each_name_that_a_choice_leaves_on_flash_is_told_of_with_its_end(tmp_path: Path) -> None:
    """L34-V-3, L34-VI-4: of what is suspended, over, withdrawn; and since when, for 30 days against a new consent."""
    device = paired.Device(tmp_path / "device", None, options=SERVICES)
    device.pass_to(1300)
    room, now, day = device.recorder.groups.by_consent(), device.time.wall() // 10**9, law.DAY
    register = room._consents_or_refuse()
    for number, days in ((1, 1), (2, 9), (3, 9)):
        register.grant(mac_of(number), ["services"], ["connections"], "none", now + days * day, bytes(32), now)
    register.suspend(mac_of(2), now)
    register.withdraw(mac_of(3), now)
    register.tick(now + day)
    folder = device.root / "srv/oubli/vault/consent"

    def signs() -> set[tuple[str, int, bool]]:
        whose = register._owner(mac_of(3)).hex()
        return {(one.name[-9], int(one.name[-8:], 16), one.name.startswith(whose)) for one in folder.iterdir()}

    moment = (kept_consents.PROMPT, now, True)
    rest = {
        (kept_consents.PAUSED, now + 9 * day, False),
        (kept_consents.OVER, now + day, False),
        ("1", now + 9 * day, False),
    }
    assert signs() == {moment} | rest
    assert {one["state"] for number in (1, 2, 3) for one in register.of_terminal(mac_of(number), now + day)} == {
        "ended", "suspended", "withdrawn",
    }  # fmt: skip
    register._refusals._due = 0
    register.tick(now + 30 * day - 1)
    assert moment in signs()
    register._refusals._due = 0
    register.tick(now + 30 * day)
    assert rest <= signs()
    assert moment not in signs()
    assert not register.of_terminal(mac_of(3), now + 30 * day)  # so the page can't show what is left of it
    register._refusals._due = 0
    register.tick(now + 39 * day)
    assert (kept_consents.PAUSED, now + 9 * day, False) not in signs()
    device.recorder.close()
    for at, language in enumerate(words.LANGUAGES):
        states = ("retiré, suspendu ou terminé", "withdrawn, suspended or over")[at]
        when = ("l'instant d", "moment of ")[at]
        notices = [one for one in noticed(device.config, language) if "30 " in one]
        assert ("la borne ne sait plus de qui", "no longer knows whose")[at] in "\n".join(notices)
        file = PROJECT / f"boards/common/usr/share/oubli/consent-3.{language}.txt"
        for text in ("\n".join(notices), page_words.WORDS["proof"][at], file.read_text()):
            assert (states in text, when in text) == (True, True), text
        assert ("terminé", "ended")[at] in words.FIELDS["state"][at]
        safe = {one.key: one.safe for one in activities.activities(device.config, language)}["consent"]
        assert ("un retrait pendant 30 jours", "a withdrawal for 30 days")[at] in safe
        assert ("à la seconde", "to the second")[at] in safe


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_papers_promise_no_answer_later_than_the_law_does_and_no_page_that_is_not_there(
    tmp_path: Path, language: str
) -> None:
    """GDPR 12.3: within a month; two more with word of it in the first. A page that has no name has a blank."""
    config = read(tmp_path, GATEWAY)
    told = "\n".join(notice.lines(config, language)).replace("\u00a0", " ")
    within = "dans le mois, ou dans les trois mois si l'on vous en avise dans le premier (12.3)"
    assert (within if language == "fr" else "within a month, or three if you are told so by then (12.3)") in told
    assert ("http://____________________:8450/ (à compléter)", ":8450/ (to be filled in)")[language == "en"] in told
    text = "\n".join(impact.impact(config, language)).replace("\u202f", " ").replace("\u00a0", " ")
    assert ("s'il y a lieu, page des visiteurs" if language == "fr" else "where it applies, the guests' page") in text


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("on", "held", "read_"),
    [
        ("config summary\n option enabled '0'\n", [], set()),
        ("", [], {"objection"}),
        (SMALL + BILL, [], {"objection", "requests"}),
        (SERVICES, [], {"objection", "consent"}),
        ("config summary\n option enabled '0'\n", ["billing", "consent"], {"requests", "consent"}),
    ],
)
def test_a_risk_is_told_of_just_where_root_has_something_to_read(
    tmp_path: Path, language: str, on: str, held: list[str], read_: set[str]
) -> None:
    """GDPR 35.7 c: requests in clear, the key of consents and of objections; nothing of what isn't there."""
    settings, text = read(tmp_path, GATEWAY + on), impact.TEXTS[language]
    risk = "\n".join(impact.impact(settings, language, held)).replace("\u202f", " ").replace("\u00a0", " ")
    assert (text["root"].strip(" ;") in risk) == bool(read_)
    assert {name for name in impact.FLASH if text[name] in risk} == read_


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_inspector_reads_how_many_acts_the_log_has_room_for(tmp_path: Path, language: str) -> None:
    """L34-VI-3: the DPIA promised a line of every act; of a kind whose room is used up the number alone is kept."""
    text = "\n".join(impact.impact(read(tmp_path, GATEWAY), language)).replace("\u00a0", " ")
    (told,) = [line for line in text.splitlines() if "L34-VI-3" in line]
    weeks = {"fr": "quatre semaines", "en": "four weeks"}[language]
    assert (f"{audit.ROOM} " in told, weeks in told, audit.SPAN) == (True, True, 4 * 7 * law.DAY)
    assert {"fr": "hors accords donnés et retirés", "en": "but for consents given and withdrawn"}[language] in told
    assert sorted(audit.RESERVED) == ["consent granted", "consent withdrawn"]


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_the_inspector_reads_that_an_aim_holds_for_its_own_document_alone(tmp_path: Path, language: str) -> None:
    """GDPR 5.1 b: `notice.services` may change; what an older consent keeps was agreed to for something else."""
    settings = read(tmp_path, GATEWAY + SERVICES)
    own = ("ne vaut que pour celui de son document", "is for what its own document says alone")[language == "en"]
    aim = ("pour conseils sur la ligne", "for conseils sur la ligne")[language == "en"]
    for paper, times in ((register.register, 1), (impact.impact, 2)):
        found = [one for one in paper(settings, language) if aim in one]
        assert [own in one for one in found] == [True] * times
    assert not [one for one in register.register(read(tmp_path, GATEWAY), language) if own in one]


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_who_may_consent_is_told_that_a_withdrawal_undoes_nothing_of_before(tmp_path: Path, language: str) -> None:
    """GDPR 7.3, 13.2 c: at any time, and what was done before stays lawful; told before the consent is given."""
    settings = read(tmp_path, GATEWAY + SERVICES)
    lawful = ("reste licite", "stays lawful")[language == "en"]
    any_time = ("à tout moment", "at any time")[language == "en"]
    shown = texts.rendered("", "2." + language, ["services"], "none", 30, settings.notice)[0]
    for paper in (shown, noticed(settings, language)):
        (said,) = [one for one in paper if lawful in one]
        assert any_time in said
    assert not [one for one in noticed(read(tmp_path, GATEWAY), language) if lawful in one]


def test_what_the_page_alone_knows_is_promised_of_no_command() -> None:
    """GDPR 15: `oubli who` asks the recorder, and how often a device asked is the page's own count."""
    asked = inspect.getsource(present)
    assert '"page"' not in asked
    guide = " ".join((PROJECT / "boards/README.md").read_text().partition("## A guest asks")[2].split())
    assert "by `oubli who` (but for how often the page was asked, which that page alone shows)" in guide


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_an_impact_analysis_leaves_its_assessment_to_the_controller(tmp_path: Path, language: str) -> None:
    """GDPR 35.7 a and b: of each processing whether it is needed and proportionate; which interest is legitimate."""
    at, config = words.LANGUAGES.index(language), read(tmp_path, GATEWAY + SERVICES + BILL + SMALL)
    text = "\n".join(impact.impact(config, language)).replace("\u202f", " ").replace("\u00a0", " ")
    need = text.partition("\n2. ")[2].partition("\n3. ")[0].split("\n")
    asked = ("évaluation du responsable (35.7 b) : ", "the controller's assessment (35.7 b): ")[at] + words.BLANK[at]
    found = activities.activities(config, language)
    assert [one.startswith("- ") for one in need].count(True) == len(found) > 5
    assert [one for one in need if one.startswith("- ") and not one.endswith(asked)] == []
    told = "\n".join(noticed(config, language))
    interest = ("l'intérêt légitime est la finalité indiquée.", "the legitimate interest is the purpose named.")[at]
    assert [interest in paper.replace("\u00a0", " ") for paper in (told, "\n".join(need))] == [True, True]


def test_a_kind_of_service_is_said_to_come_from_all_that_it_comes_from() -> None:
    """L34-VI-4: of GRE, ESP and ICMP, which have no port, it is the protocol."""
    kinds = {number: CLASSES[service_of(number, 0)] for number in (1, 6, 17, 47, 50, 58, 132)}
    assert kinds == {1: "icmp", 6: "other", 17: "other", 47: "vpn", 50: "vpn", 58: "icmp", 132: "other"}
    assert words.FIELDS["service"] == (
        "type de service (d'après le port ou le protocole)",
        "kind of service (by its port or protocol)",
    )


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_network_that_may_be_wired_is_not_called_wi_fi(tmp_path: Path, language: str) -> None:
    """L34-VI-4: `gateway.lan` is a bridge or a port of any kind; only an access point is Wi-Fi."""
    at, settings = words.LANGUAGES.index(language), read(tmp_path, GATEWAY + SERVICES + BILL + SMALL)
    for paper in (notice.lines, register.register):
        text = "\n".join(paper(settings, language)).replace("\u00a0", " ")
        assert "Wi-Fi" not in text.replace(words.FIELDS["access_point"][at], "")
    text = "\n".join(impact.impact(settings, language)).replace("\u00a0", " ")
    assert ("par câble ou Wi-Fi chiffré", "by cable or encrypted Wi-Fi")[at] in text
