# SPDX-License-Identifier: Apache-2.0
"""What each purpose stores, derived from the record formats themselves, against every text that a guest reads.

Each right has a command.

L34-VI-4: a field that no text names fails, and so does a right that nothing serves.
"""

from __future__ import annotations

import inspect
import itertools
import json
import re
import struct
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from agent import law
from agent.base.dates import moment
from agent.base.paths import Paths
from agent.capture import address_rows
from agent.cli import article, status, who_verb
from agent.cli.table import TABLE
from agent.config import config
from agent.control.calls import Refused
from agent.purposes import activities, also_held, notice, present, words
from agent.purposes.attribution import block_map, own_addresses
from agent.purposes.attribution import record as attribution
from agent.purposes.attribution.blocks import Blocks
from agent.purposes.attribution.holdings import Holdings
from agent.purposes.billing import record as billing
from agent.purposes.billing.billing import IDLE, Billing
from agent.purposes.consent import (
    consent_rows,
    guest_page,
    kept_consents,
    page_connection,
    page_words,
    sealed_consents,
    texts,
)
from agent.purposes.consent import verbs as consent_verbs
from agent.purposes.consent.opened import Opened
from agent.purposes.consent.page_turns import Turns
from agent.purposes.deferred_purposes import NoKernel
from agent.purposes.erasure import verbs
from agent.purposes.erasure.rounds import Erasure
from agent.purposes.location import record as location
from agent.purposes.location.emergency import Emergency
from agent.purposes.portal.opennds import OpenNds
from agent.purposes.portal.sessions import Sessions
from agent.purposes.requests import requests
from agent.purposes.requests.authorities import AUTHORITIES
from agent.purposes.services import record as services
from agent.runtime import files
from agent.runtime.sodium import Sodium
from agent.summary import terminals
from agent.vault import reading
from agent.vault import record as security
from agent.vault.stores import BY_CONSENT
from host_sim.privacy import paired
from host_sim.privacy.terminal_signs import DAY, OPENS, TODAY, Address, Sign, mac_of
from tests.cli.test_law import EVERYTHING, GATEWAY, VENUE, assessed, noticed, registered, typeset
from tests.support.interpreters import PROJECT
from tests.support.keyholder import Custodian
from tools.custodian import register as custodian_register
from tools.custodian.__main__ import app as custodian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.interpreters import Interpreter

# What a format calls differently, or has for itself alone: how a time is told, whether the
# clock was confirmed, ranges of one port.
SAME = {"first": "translated_port", "last": "translated_port"}
OWN = {"confirmed"}
BILL = "config purpose 'billing'\n option enabled '1'\n option lifetime '30d'\n option budget '90000000'\n"
CONSENT = {  # of the file's fields in their order, by the law's names; its version says nothing of anybody
    "version": None, "state": "state", "purposes": "purposes", "categories": "categories", "given": "time",
    "since": "time", "end": "end", "owner": "mac_hash", "text": "text_hash", "length": "third_parties",
    "third parties": "third_parties", "withdrawn": "time",
}  # fmt: skip


def stored() -> dict[str, set[str]]:
    """Return the fields of each purpose's records, as its format has them."""
    slots = {
        "security": security.Record.__slots__,
        "attribution": attribution.Record.__slots__,
        "billing": billing.Record.__slots__,
    }
    slots["services"] = slots["security"]  # what its own module unpacks to
    assert inspect.signature(services.unpack).return_annotation is security.Record
    found = {name: {SAME.get(field, field) for field in fields} - OWN for name, fields in slots.items()}
    found["location"] = set(inspect.signature(location.pack).parameters) - {"view"}
    assert len(re.findall(r"\d*[BIs]", sealed_consents.FORMAT)) == len(CONSENT)
    found["consent"] = {name for name in CONSENT.values() if name}
    return found


# The day's row, by its module's own words, and what a guest reads of each part: notice in
# French and English, register, `oubli law`.
ROW: dict[str, tuple[str, str, str | None]] = {
    "hash": ("empreinte à clé de l'adresse MAC", "hash of the MAC address", "mac_hash"),
    "quarter-hours with traffic": ("quarts d'heure de présence", "quarter-hours of presence", "presence"),
    "KiB": ("volume", "volume", "volume"),
    "service classes": ("type de service", "kind of service", "service"),
    "sixth of an hour of the day in which it was first heard of": (
        "premier signe (à 10 minutes près)",
        "first sign (to 10 minutes)",
        "arrival",
    ),
    "1 where its terminal objected": ("opposition", "objection", None),
    "octets below a KiB": ("volume", "volume", "volume"),
}


# The parts of each thing that is held beside the stores, as its module has them, by the
# law's names; None says nothing of anybody.
PARTS: dict[str, dict[str, str | None]] = {
    "addresses": {  # where each part of a row begins, in words
        "address": "address", "MAC_WORD": "mac", "NEXT": None, "SINCE": "start", "NUMBER": None, "SEEN": None,
        "LINK": None, "NEXT_OF_MAC": None, "NAMED": None,
    },
    "portal": {"mac": "mac", "user": "portal_user", "now": "last"},
    "blocks": {"state": None, "address": "address", "mac": "mac", "since": "start", "part": "start", "last": "last"},
    "holdings": {"mac": "mac", "user": "portal_user", "part": "start", "since": "start", "last": "last"},
    "objection": {  # a row of the consents, of which it leaves some empty
        "state": None, "purposes": None, "categories": None, "waits": None, "since": "time", "end": "end",
        "given": "time", "owner": "mac_hash", "withdrawn": None,
    },
    "emergency": {
        "sought": "mac", "_answer": "access_point", "_until": None,
        "_incident": None, "_count": None, "_stations": None,
    },
    "requests": {  # what is signed; how it is signed tells of agents
        "format": None, "number": None, "gateway": None, "purpose": None, "ground": None, "authority_kind": "asker",
        "basis": None, "authority": "asker", "reference": "asker", "from": "start", "until": "end", "issued": None,
        "expires": None, "public_address": "public_address", "port": "translated_port", "protocol": "protocol",
        "subject": "mac", "keep_until": None,
    },
    "page": {"_answered": "address", "_waiting": "mac", "_present": "mac", "_changes": "mac_hash"},
}  # fmt: skip


def named(what: str, parts: Iterable[str]) -> set[str]:
    """Return the law's names of the parts that a module has.

    One that isn't in PARTS, or isn't there any more, fails.
    """
    assert [*parts] == [*PARTS[what]], what
    return {name for name in PARTS[what].values() if name}


def held_beside() -> dict[str, set[str]]:
    """Return what is held beside the stores, from its modules' layouts, parameters and attributes."""
    begins = {name: getattr(address_rows, name) for name in PARTS["addresses"] if name != "address"}
    words_of = [*sorted([0, *begins.values()]), address_rows.ROW]
    # Nothing stands between
    assert [after - at for at, after in itertools.pairwise(words_of)] == [4, 2, 1, 2, 1, 1, 1, 1, 1]
    put = [*inspect.signature(block_map.BlockMap.put).parameters][2:]
    assert struct.calcsize(block_map._FIELDS) == block_map._ROW
    assert len(struct.unpack(block_map._FIELDS, bytes(block_map._ROW))) == len(put)
    assert len(struct.unpack(consent_rows._ROW, bytes(consent_rows._OCTETS))) == len(PARTS["objection"])
    holding = vars(own_addresses._Own(bytes(6), b"", 1))
    open_one = Emergency(SimpleNamespace())  # type: ignore[arg-type]
    page = {
        "_answered": Turns, "_waiting": Erasure,
        "_present": Erasure, "_changes": kept_consents.KeptConsents,
    }  # fmt: skip
    containers = {
        name: re.findall(r'self\.(\w+): "(?:dict\[bytes|set\[bytes)', inspect.getsource(made))
        for name, made in page.items()
    }
    # Whatever is kept by octets of somebody's
    assert {name for found in containers.values() for name in found} == set(page)
    return {
        "addresses": named("addresses", ["address", *sorted(begins, key=lambda name: begins[name])]),
        "portal": named("portal", [*inspect.signature(Sessions.begin).parameters][1:])
        | {"start"},  # the first such word
        "ports": named("blocks", put)
        | named("holdings", holding)
        | {"public_address", "translated_port"},  # the header's; the block's number
        "counting": {row[2] for row in ROW.values() if row[2]},
        "objection": named("objection", PARTS["objection"]),
        "emergency": named("emergency", ["sought", *sorted(vars(open_one), key=[*PARTS["emergency"]].index)]),
        "requests": named(
            "requests", dict.fromkeys(requests._COMMON + requests._PORT + requests._SUBJECT + requests._END)
        )
        | {"portal_user"},  # a subject is either
        "page": named("page", page) | {"requests"},  # how many of each
    }


BESIDE = held_beside()


def check_memory(everything: config.Config, language: str) -> None:
    """Hold what is in memory, the day's rows by their module's words, against notice, register, DPIA and law."""
    at = words.LANGUAGES.index(language)
    layout = re.sub(r"\([^)]*\)", "", (terminals.__doc__ or "").partition("    row  ")[2])
    # Where each begins, what it is, and its size
    parts = re.findall(r"(?:^|\s{3,})\d+ (.*?)(?=\s{3,}|$)", layout.strip())
    assert {re.split(r",? (?:\d+ bits|\d+ *$|as |u\d)", part)[0].strip() for part in parts} == set(ROW)
    shown = {one["what"]: one for one in article.data(everything)["memory"]}
    assert {name: set(one["fields"]) for name, one in shown.items()} == held_beside()
    assert {one["state"] for one in shown.values()} == {"on"}
    for paper in (noticed(everything, language), registered(everything, language)):
        for name, fields in BESIDE.items():
            (line,) = [one for one in paper if one.startswith(f"- {words.PURPOSES[name][at]}")]
            assert all(typeset(words.FIELDS[field][at], language) in line for field in fields), line
        assert all((row[0], row[1])[at] in "\n".join(paper) for row in ROW.values())
    counting = "counting: on; in memory, a day, until about 03:00 UTC"
    assert any(line.startswith(counting) for line in article.lines(everything))
    addresses = "addresses: on; in memory, as long as its connections last, and at most 24h more"
    assert any(line.startswith(addresses) for line in article.lines(everything))  # either keeps it, as the notice says


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_is_in_memory_is_told_as_well(everything: config.Config, language: str) -> None:
    check_memory(everything, language)


@pytest.fixture
def everything(tmp_path: Path) -> config.Config:
    """Give a configuration with every purpose on."""
    (tmp_path / "oubli").write_text(GATEWAY + EVERYTHING[len(GATEWAY) :].format(law.IN_FORCE) + VENUE)
    return config.load(str(tmp_path / "oubli"))


def check_fields(everything: config.Config, language: str) -> None:
    """Hold law's table, notice, register and the document before a consent against the record formats' fields."""
    at = words.LANGUAGES.index(language)
    fields = stored()
    kept = {row.name: row for row in law.PURPOSES if row.name != "freeze"}
    assert fields == {name: set(row.fields) for name, row in kept.items()}
    shown = {one["purpose"]: set(one["fields"]) for one in article.data(everything)["purposes"]}
    document = "\n".join(texts.rendered("", f"3.{language}", list(BY_CONSENT), "none", 1, everything.notice)[0])
    for name, own in fields.items():
        assert shown[name] == own
        told = [typeset(words.FIELDS[field][at], language) for field in own]
        for paper in (noticed(everything, language), registered(everything, language)):
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
    "return": ("objection end", "accept"),
}
# GDPR, articles 7.3, 15 to 21
EVERY = {"access", "rectification", "erasure", "restriction", "portability", "objection", "withdrawal"}
# Which of them a name of ours is, beside itself.
MEANS = {
    "suspension": {"restriction"},
    "counting": {"objection", "erasure", "restriction"},
    "return": {"withdrawal", "erasure", "restriction"},
}
LETTER = {  # what each processing rests on, in GDPR 6.1
    "security": "f", "attribution": "c", "billing": "b", "services": "a", "location": "a", "consent": "c",
    "addresses": "f", "portal": "c", "ports": "c", "counting": "f", "objection": "c", "emergency": "d", "page": "f",
    "requests": "c",
}  # fmt: skip
# What ends by leaving the network, or within hours: nothing stays that could be erased or restricted (GDPR 17.1 a).
PASSING = {"addresses", "portal", "ports", "page"}


def owed(name: str) -> set[str]:
    """Return the rights that a processing must offer, by its legal basis and by what is so of it."""
    letter = LETTER[name]
    rights = {"access", "restriction"}
    rights |= {"portability"} if letter in "ab" else set()  # 20.1: consent or contract
    rights |= {"withdrawal"} if letter == "a" else set()  # 7.3
    rights |= {"objection"} if letter in "ef" else set()  # 21.1
    rights |= {"erasure"} if letter in "adf" else set()  # not for a legal duty, a proof or a claim: 17.3 b, e
    # Elsewhere what is wrong is erased, as the notice says
    rights |= {"rectification"} if name in ("attribution", "billing") else set()
    if name in PASSING:
        rights -= {"erasure", "restriction"}
    return rights - ({"restriction"} if name == "emergency" else set())


def commands() -> set[str]:
    """Return every command that may serve a right: verbs of `oubli`, and those of the custodian."""
    own: Any = get_command(custodian)
    return {f"oubli {verb.name}" for verb in TABLE.verbs} | {f"oubli-custodian {name}" for name in own.commands}


def procedures() -> dict[tuple[str, str], set[str]]:
    """Return the commands by which README says that what is asked of the controller is served."""
    table = (PROJECT / "boards/README.md").read_text().partition("## A guest asks")[2].partition("\n## ")[0]
    found: dict[tuple[str, str], set[str]] = {}
    for of, right, how in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", table, re.MULTILINE):
        assert (of, right) not in found
        found[of, right] = {re.sub(r" --.*", "", one) for one in re.findall("`(oubli[^`]*)`", how)}
    return found


def against(everything: config.Config, language: str) -> str:
    """Return the notice's line on objections to what rests on a legitimate interest (GDPR 21.4)."""
    found, text = activities.activities(everything, language), notice.TEXTS[language]
    names = [one.what for one in found if LETTER[one.key] == "f" and one.key != "counting"]
    security = text["against security"].format(text["ends"])
    return typeset(text["objection"].format(", ".join(names), security), language)


def check_rights(everything: config.Config) -> None:
    """Hold each processing's rights against the law, and each of them against what serves it.

    Verb and button, or a procedure.
    """
    known, acts, how = commands(), {*guest_page.ACTS, *guest_page.LOOKS}, procedures()
    for language in words.LANGUAGES:
        at, text, lines = words.LANGUAGES.index(language), notice.TEXTS[language], noticed(everything, language)
        # A word of this language
        said = lambda name, text=text, language=language: typeset(text[name], language)  # noqa: E731
        found = activities.activities(everything, language)
        assert {one.key for one in found} == set(LETTER)
        for one in found:
            offered = {*one.on_page, *one.asked}
            assert set().union(*(MEANS.get(name, set()) | ({name} & EVERY) for name in offered)) >= owed(one.key), (
                one.key
            )
            assert not one.basis.endswith(tuple("abcdef".replace(LETTER[one.key], "")))
            (line,) = [line for line in lines if line.startswith(f"- {one.what}{typeset((' : ', ': ')[at], language)}")]
            page, _, controller = line.partition(said("asked"))
            served = page.partition(said("on page"))[2].removesuffix(said("then"))
            for names, part in ((one.on_page, served), (one.asked, controller)):
                assert part == ", ".join(activities.NAMES[name][at] for name in names)
            for right in one.on_page:
                verb, act = SERVED[right]
                assert f"oubli {verb}" in known
                assert act in acts
        asked = {(one.key, right) for one in found for right in one.asked}
        assert set(how) == asked
        assert all(ways and ways <= known for ways in how.values()), how
        assert lines[lines.index("", 5) + 1 :][:2] == [
            said("counting").format(text["suspends"]), against(everything, language),
        ]  # fmt: skip
        where = f"http://{everything.notice.page}:8450/"
        assert typeset(text["page"].format(where, text["unnamed"]), language) in lines
        for word in ("ask", "restriction", "leave", "consent", "death"):
            assert typeset(text[word], language) in lines
        ends = text["session"].format(("30 minutes", "30 minutes")[at]) + text["idle"].format(
            ("2 heures", "2 hours")[at]
        )
        who = ("autorités et facturation", "authorities and billing")[at]
        of = ("la connexion ou de la session", "the connection or the session")[at]
        sealed = text["duty"].format(who, text["soon"].format("15 minutes", of, ends, text["but ports"]), "", "")
        assert typeset(sealed, language) in lines
        passing = ", ".join(words.PURPOSES[one][at] for one in ("addresses", "portal", "ports", "page"))
        assert typeset(text["rights"].format(passing), language) in lines
        assert "84 et 85" in lines[-1] or "84 and 85" in lines[-1]
        assert "CNIL (www.cnil.fr)" in said("ask")


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_field_that_a_format_stores_is_named_wherever_a_guest_reads(
    everything: config.Config, language: str
) -> None:
    """None has fewer fields than the records, and none more."""
    check_fields(everything, language)


def test_every_right_stands_with_its_processing_and_with_what_serves_it(everything: config.Config) -> None:
    """What a person must ask for is sent to the controller by name.

    All else is done here, by a verb and on the page.
    """
    check_rights(everything)


def test_the_page_serves_its_rights_without_a_name_too(everything: config.Config) -> None:
    """It runs wherever its package is: `oubli who` doesn't have what it knows itself, its requests."""
    with_name = noticed(everything, "en")
    everything.notice.values["page"] = ""
    blank = f"http://{words.BLANK[1].replace(' ', ':8450/ ', 1)}"
    without = noticed(everything, "en")
    assert sum(blank in line for line in without) == 1  # and marked as every other one
    assert [line.replace(blank, "http://wifi.example.org:8450/") for line in without] == with_name


def pack(view: object, mac: object, start: object, end: object, access_point: object, signal: object) -> None:
    """Stand in for a record of location that has a signal's strength."""


COMMANDS = commands()
NO_VERB = type("Table", (), {"verbs": [verb for verb in TABLE.verbs if verb.name != "objection"]})
FIELDS, MEMORY = words.fields, article.memory
# What is broken, what stands there instead, and which of the two checks finds it.
BROKEN: dict[str, tuple[Any, str, Any, Callable[..., None]]] = {
    "a record of security has one field more": (
        security.Record,
        "__slots__",
        (*security.Record.__slots__, "destination"),
        check_fields,
    ),
    "a record of location has one field more": (location, "pack", pack, check_fields),
    "the file of a consent has one field more": (sealed_consents, "FORMAT", sealed_consents.FORMAT + "B", check_fields),
    "a text leaves the last field out": (
        words,
        "fields",
        lambda row, at: FIELDS(row, at).rpartition(", ")[0],
        check_fields,
    ),
    "a field has no word": (
        words,
        "FIELDS",
        {name: word for name, word in words.FIELDS.items() if name != "mac"},
        check_fields,
    ),
    "the day's row has one part more": (
        terminals,
        "__doc__",
        str(terminals.__doc__).replace("   20 KiB u32", "   20 RSSI u8   21 KiB u24"),
        check_memory,
    ),
    "`oubli law` leaves the day's table out": (
        article,
        "memory",
        lambda *of: [row for row in MEMORY(*of) if row[0] != "counting"],
        check_memory,
    ),
    "no verb takes an objection": (__import__(__name__, fromlist=["TABLE"]), "TABLE", NO_VERB, check_rights),
    "no button erases": (
        guest_page,
        "ACTS",
        {name: act for name, act in guest_page.ACTS.items() if name != "erase"},
        check_rights,
    ),
    "the file can't be saved": (guest_page, "LOOKS", ("see",), check_rights),
    "erasure isn't offered": (
        activities,
        "RIGHTS",
        activities.RIGHTS | {"security": (("access",), ("objection", "restriction"))},
        check_rights,
    ),
    "objection isn't offered": (
        activities,
        "RIGHTS",
        activities.RIGHTS | {"security": (("access", "erasure"), ("restriction",))},
        check_rights,
    ),
    "a right that nothing serves": (
        activities,
        "RIGHTS",
        activities.RIGHTS | {"consent": (("access",), ("restriction", "erasure"))},
        check_rights,
    ),
    "a right on the page that it hasn't": (
        activities,
        "RIGHTS",
        activities.RIGHTS | {"page": (("access", "objection"), ())},
        check_rights,
    ),
    "no request for access": (
        __import__(__name__, fromlist=["commands"]),
        "commands",
        lambda: COMMANDS - {"oubli-custodian request"},
        check_rights,
    ),
    "an emergency can't be closed": (
        __import__(__name__, fromlist=["commands"]),
        "commands",
        lambda: COMMANDS - {"oubli emergency close"},
        check_rights,
    ),
    "a row of addresses has one word more": (address_rows, "ROW", address_rows.ROW + 1, check_memory),
    "a block's row has one part more": (block_map, "_FIELDS", "<Bxxx4s6sxxIIIHxx", check_memory),
    "an address that somebody leaves by has one part more": (
        own_addresses,
        "_Own",
        lambda *_words: SimpleNamespace(mac=0, user=0, part=0, since=0, last=0, place=0),
        check_memory,
    ),
    "an objection's row has one part more": (consent_rows, "_ROW", "<BBBBIII16sHH", check_memory),
    "the emergency is in no paper": (
        also_held,
        "MEMORY",
        tuple(one for one in also_held.MEMORY if one[0] != "emergency"),
        check_memory,
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_text_that_is_not_true_any_more_is_found(
    everything: config.Config, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Each check, seen failing: a field that no text names, a right that nothing serves."""
    owner, name, instead, check = BROKEN[broken]
    words_of = () if check is check_rights else ("en",)
    check(everything, *words_of)
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises((AssertionError, KeyError)):
        check(everything, *words_of)


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_is_said_of_sealed_data_follows_from_what_is_sealed(tmp_path: Path, language: str) -> None:
    """L34-VI-4: a bill that is corrected, a statement beside what is sealed, when a session ends.

    Only where there is one.
    """
    at = words.LANGUAGES.index(language)
    bill, statement = (
        ("une facture corrigée", "a bill corrected")[at],
        ("à ce qui est scellé", "beside what is sealed")[at],
    )
    session = (
        "une session finit au plus tard après 30 minutes sans paquet",
        "a session ends at the latest after 30 minutes without a packet",
    )[at]
    billing = "config purpose 'billing'\n option enabled '1'\n option lifetime '90d'\n option budget '90000000'\n"
    duty = (
        "config purpose 'attribution'\n option enabled '1'\n option ground 'IIbis-3'\n option reference 'x'\n"
        " option budget '90000000'\n"
    )
    late = {
        60: ("au plus tard 1 heure après", "at the latest 1 hour after")[at],
        1: ("tard 1 minute après", "latest 1 minute after")[at],
    }
    for wanted, more in (({"leave"}, ""), ({"bill", "statement", "session"}, billing), ({"statement"}, duty)):
        for minutes, said in late.items():
            (tmp_path / "oubli").write_text(
                f"{GATEWAY}{more}config vault\n option sync_minutes '{minutes}'\nconfig summary\n option rows '256'\n"
            )
            text = "\n".join(noticed(config.load(str(tmp_path / "oubli")), language))
            found = {"bill": bill, "statement": statement, "session": session}
            assert {name for name, word in found.items() if word in text} == wanted - {"leave"}
            assert (said in text) == ("statement" in wanted)


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_guest_is_told_of_what_only_the_controller_knows(tmp_path: Path, language: str) -> None:
    """What consented data are for, who else may get them, whether they must be given (GDPR 13.1 c, f, 13.2 e)."""
    at = words.LANGUAGES.index(language)
    free = ("Rien n'oblige à utiliser ce réseau", "free to use this network or not")[at]
    beyond = (
        " ; par le tiers de confiance, celui qui établit les factures : ",
        "; by the trusted third party, whoever makes out the bills: ",
    )[at]
    named = (" ; par les tiers nommés dans l'accord : ", "; by the third parties named in the consent: ")[at]
    billing = "config purpose 'billing'\n option enabled '1'\n option lifetime '90d'\n option budget '90000000'\n"
    services = (
        "config purpose 'services'\n option enabled '1'\nconfig notice\n option controller 'Lac SARL'\n"
        " option contact 'a@b.example'\n"
        " option page 'wifi.example.org'\n"
        " option services 'plans'\n"
    )
    for more, who, aim in (
        ("", "", ""),
        (billing, beyond, ""),
        (services, named, ("pour plans", "for plans")[at]),
    ):
        (tmp_path / "oubli").write_text(f"{GATEWAY}{more}config summary\n option rows '256'\n")
        read = config.load(str(tmp_path / "oubli"))
        papers = noticed(read, language), registered(read, language), assessed(read, language)
        for paper in papers:
            (line,) = [one for one in paper if one.startswith(("Transferts", "Transfers"))]
            assert line.endswith(typeset(who, language) + words.BLANK[at] + "." if who else "internet.")
            assert any(typeset(aim, language).strip() in one for one in paper)
        assert free in "\n".join(papers[0])


def test_a_handover_of_a_purpose_that_is_off_is_told_of_and_goes_with_its_request(tmp_path: Path) -> None:
    """L34-VI-4: what it was asked with is in it, in clear."""

    def install(root: Path) -> None:
        (handovers := root / "srv/oubli/vault/attribution/handovers").mkdir(parents=True)
        (handovers / "0123.tar").write_bytes(b"mac:02:00:00:00:00:01")

    device = paired.Device(tmp_path / "device", None, install=install)
    (tmp_path / "oubli").write_text(GATEWAY)
    read, paths = config.load(str(tmp_path / "oubli")), Paths(str(tmp_path / "device"))
    assert also_held.remembered(read, paths) == ["attribution"]
    assert "- requests for sealed data:" in "\n".join(noticed(read, "en", ["attribution"]))
    device.pass_to(3600)
    assert also_held.remembered(read, paths) == []
    device.recorder.close()


def test_a_handover_goes_in_31_days_though_nobody_confirms_the_time(tmp_path: Path) -> None:
    """L34-VI-4: it tells in clear whom it is about; the time is at least what was known at the start, and went by."""
    device = paired.Device(tmp_path / "device", None, options=BILL)
    deferred = device.recorder.groups.deferred
    assert deferred is not None
    (handovers := tmp_path / "device/srv/oubli/vault/billing/handovers").mkdir(parents=True)
    one, runner = handovers / ("00" * 16 + ".tar"), deferred.requests.executor
    one.write_bytes(b"mac:02:00:00:00:00:01")
    second = 10**9
    wall, began = device.time.wall(), device.time.monotonic()
    floor = device.recorder.clock.floor
    runner._remember([(bytes(16), floor + 31 * law.DAY)])
    for seconds, there in ((31 * law.DAY - 1, True), (31 * law.DAY, False)):
        deferred.tick(wall - 900 * law.DAY * second, began + seconds * second, trusted=False)
        deferred.hour()
        assert one.exists() == there
    device.recorder.close()


@pytest.mark.parametrize("late", [-60, 60])
def test_a_handover_that_expired_while_the_gateway_was_off_goes_soon_after_it_knows_the_time(
    tmp_path: Path, late: int
) -> None:
    """L34-VI-4: it may never run for an hour."""
    device = paired.Device(tmp_path / "device", None, options=BILL)
    deferred = device.recorder.groups.deferred
    assert deferred is not None
    (handovers := tmp_path / "device/srv/oubli/vault/billing/handovers").mkdir(parents=True)
    one = handovers / ("00" * 16 + ".tar")
    one.write_bytes(b"mac:02:00:00:00:00:01")
    wall, began = device.time.wall() + law.DAY * 10**9, device.time.monotonic()
    deferred.requests.executor._remember([(bytes(16), wall // 10**9 + 120 - late)])
    device.recorder.clock.confirmed = wall - began
    for seconds in (0, 60, 120):
        now = seconds * 10**9
        deferred.tick(wall + now, began + now, trusted=seconds == 120)
        assert one.exists() == (seconds < 120 or late < 0)
    device.recorder.close()


def test_an_erasure_that_a_restart_cuts_off_is_to_be_asked_for_again(tmp_path: Path) -> None:
    """GDPR art. 17: whose it is lies in no file, so another recorder knows nothing of it; the page says so."""
    device = paired.Device(tmp_path / "device", None)
    whose = {"terminal": mac_of(1), "address": None}
    device.recorder.groups.erasure().begin(whose, "root")
    assert device.recorder.groups.erasure().state(whose) == {"erasing": True}
    device.recorder.close()
    device.restart(1)
    assert device.recorder.groups.erasure().state(whose) == {"erasing": False}
    device.recorder.close()
    french, english = page_words.WORDS["erasing"]
    assert "Si la borne ou son logiciel redémarre avant" in french
    assert "If the gateway or its software restarts" in english


def test_what_ends_after_an_erasure_is_kept_and_that_is_said(tmp_path: Path) -> None:
    """L34-VI-4: of a connection that began before, too."""
    device = paired.Device(tmp_path / "device", None, security="option enabled '1'")
    near, _, _ = Sign(1100, 1, lives=True).messages()
    device.recorder.streams.neighbour(near, len(near))
    whose = {"terminal": mac_of(1), "address": None}
    device.pass_to(1200)
    erasure = device.recorder.groups.erasure()
    erasure.begin(whose, "root")
    while erasure.state(whose)["erasing"]:
        device.recorder.work()
    device.pass_to(1300)
    _, event, _ = Sign(1300, 1, lasts=600).messages()
    device.recorder.streams.datagram(event, len(event))
    lines = [*device.recorder.orders.access(whose | {"agreed": 1}, "root")]
    (row,) = [row for line in lines for row in line.get("rows", ())]
    assert row["start"] < OPENS + 1200
    device.recorder.close()
    for text, said in (
        (page_words.WORDS["left"], ("dont la borne apprend la fin ensuite", "whose end the gateway learns of later")),
        ([notice.TEXTS[language]["against security"] for language in words.LANGUAGES], (
            "dont la borne apprend la fin ensuite", "whose end the gateway learns of later",
        )),
    ):  # fmt: skip
        assert [one in told for one, told in zip(said, text, strict=True)] == [True, True]


def test_a_connection_of_nobody_who_is_known_stays_under_its_address_and_that_is_said(tmp_path: Path) -> None:
    """L34-VI-4, GDPR 11.2, 15, 17: it began before the recorder knew whose the address was: not shown, nor erased."""
    device = paired.Device(tmp_path / "device", None, security="option enabled '1'")
    whose = {"terminal": mac_of(1), "address": None}
    device.pass_to(1300)
    near, event, _ = Sign(1500, 1, lasts=300).messages()
    device.recorder.streams.neighbour(near, len(near))
    device.pass_to(1500)
    device.recorder.streams.datagram(event, len(event))
    erasure = device.recorder.groups.erasure()
    erasure.begin(whose, "root")
    while erasure.state(whose)["erasing"]:
        device.recorder.work()
    lines = [*device.recorder.orders.access(whose | {"agreed": 1}, "root")]
    device.pass_to(2000)
    device.recorder.close()
    (kept,) = reading.read(str(device.root), "security", None, 0)
    assert (kept.mac, kept.address[:2]) == (bytes(6), b"\x0a\x14")
    assert [row for line in lines for row in line.get("rows", ())] == []
    said = ("sous la seule adresse IP", "under the IP address alone")
    for at, language in enumerate(words.LANGUAGES):
        assert said[at] in notice.TEXTS[language]["against security"]
        asked = page_connection.Request("", b"", False, "lang=" + language, {})
        for name in ("security", "attribution", "billing"):
            own = {"kept": [[name, law.DAY, False]], "beside": [], "objects": [], "counted": False}
            page = guest_page.Page(asked, lambda *_, **__: {}, lambda _: iter(()), None)
            shown = page.without(own | {"medium": False, "nat": False, "over": []}, 0)
            assert [one in shown for one in (said[at], ("par exemple", "for instance")[at])] == [name != "billing"] * 2
        unnamed = notice.TEXTS[language]["unnamed"]
        off = "config purpose 'security'\n option enabled '0'\n"
        for text, held, said_so in (("", [], True), (off, [], False), (off, ["attribution"], True)):
            (tmp_path / "settings").write_text(GATEWAY + text)
            told = "\n".join(notice.lines(config.load(str(tmp_path / "settings")), language, held))
            assert (unnamed in told) == said_so


def test_the_end_of_what_goes_by_itself_is_the_one_that_stands_with_it(everything: config.Config) -> None:
    """L34-VI-4: the portal may confirm a user for days after his device's last sign, and the kernel a connection."""
    known = Sessions()
    for hour in range(72):
        known.begin(bytes(6), "Zoé", 1000 + 3600 * hour)
        known.tick(1000 + 3600 * hour)
    assert known.user(bytes(6)) == "Zoé".encode()
    for language in words.LANGUAGES:
        for name in ("rights", "leave"):
            assert re.findall(r"\d+ (?:heures?|hours?|jours?|days?)", notice.TEXTS[language][name]) == []
        text = "\n".join(noticed(everything, language))
        assert all(typeset(words.KEPT[name][words.LANGUAGES.index(language)], language) in text for name in PASSING)
        # What the portal tells is as its user has declared it
        assert not re.search("mesuré|measured", notice.TEXTS[language]["rectification"])


def test_a_day_s_count_lasts_until_the_draw_and_nothing_says_that_it_is_shorter(tmp_path: Path) -> None:
    """ANON-4: the last figures are drawn at a random moment within two minutes of the day's end."""
    device = paired.Device(tmp_path / "device", None)
    device.recorder.day._random = lambda count: b"\xff" * count
    device.pass_to(DAY + 60)
    today = device.recorder.day.terminals.day
    device.pass_to(DAY + 121)
    assert today == TODAY < device.recorder.day.terminals.day
    device.recorder.close()
    text = words.KEPT["counting"]
    assert ["jusque vers 4 h" in text[0], "until about 04:00" in text[1]] == [True, True]


def test_the_page_tells_no_more_than_it_shows(everything: config.Config) -> None:
    """L34-VI-4: whom a request, or a rescue, is about isn't shown there: whoever asks may be the one who is sought."""
    for language in words.LANGUAGES:
        text = notice.TEXTS[language]
        assert ("« page »", '"page"')[language == "en"] in text["page"]
        assert not re.search("peut lire|can read", text["page"])
    for one in activities.activities(everything, "fr"):
        shown = one.key in ("security", *BY_CONSENT, "consent", "objection") or one.key in {*PASSING, "counting"}
        assert ("access" in one.on_page) == shown


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_cnil_reads_whose_names_stay_and_what_waits_in_clear(everything: config.Config, language: str) -> None:
    """GDPR art. 30: agents are enrolled without an end; a record and an open session lie in memory before a seal."""
    at = words.LANGUAGES.index(language)
    told = {
        one[2:].split(";")[0].strip("\u202f "): one for one in registered(everything, language) if one.startswith("- ")
    }
    requested = told[words.PURPOSES["requests"][at]]
    for word in ("nom et clé des agents", "name and key of qualified")[at], ("tant qu'ils sont", "as long as they")[at]:
        assert word in requested
    for name in ("attribution", "billing"):
        assert ("en clair en mémoire vive, puis scellé", "in memory in clear, then sealed")[at] in typeset(
            told[words.PURPOSES[name][at]], language
        )


def test_cnil_reads_that_what_is_encrypted_in_memory_lies_there_in_clear_before(tmp_path: Path) -> None:
    """GDPR art. 30.1 g: a record until its page is sealed, a stay until it ends."""
    options = "config purpose 'location'\n option enabled '1'\n" + VENUE
    device = paired.Device(tmp_path / "device", None, security="option enabled '1'", options=options)
    recorder, mac, chunks = (
        device.recorder,
        mac_of(1),
        Path(Paths(str(tmp_path / "device")).run.vault, "security/chunks"),
    )
    for sign in (Sign(1100, 1, lives=True), Sign(1190, 1)):
        device.pass_to(sign.at + 1)
        near, event, _ = sign.messages()
        recorder.streams.neighbour(near, len(near))
        recorder.streams.datagram(event, len(event))
    by_consent, now = recorder.groups.by_consent(), device.time.wall() // 10**9
    by_consent._consents_or_refuse().grant(mac, ["location"], ["access-point"], "none", now + law.DAY, bytes(32), now)
    by_consent.stations._mac[:] = mac
    by_consent.stations._moved(b"wlan0", True, now)
    clear = []
    for at in (1200, 3000, 4300):
        device.pass_to(at)
        clear.append((mac in chunks.read_bytes(), mac in bytes(by_consent.stations.stays._rows.view)))
    assert clear == [(True, True), (True, True), (False, True)]
    for language, said in zip(
        words.LANGUAGES, ("en clair en mémoire vive, puis", "in memory in clear, then"), strict=True
    ):
        told = {one.key: one.safe for one in activities.activities(recorder.config, language)}
        assert [said in told[name] for name in ("security", "location")] == [True, True]
    recorder.close()


def test_a_guest_reads_that_her_identifier_may_be_her_name_or_her_address(everything: config.Config) -> None:
    """GDPR 13, 30.1 c: openNDS's own pages hand over what she fills in there, and that is kept as it is."""
    known, told = OpenNds(Sessions(), ""), "username=anna emailaddress=anna@example.org"
    fields = {"mac": "02:00:00:00:00:01", "state": "Authenticated", "custom": b64encode(told.encode()).decode()}
    rows = [f'"{name}":"{value}",' for name, value in fields.items()]
    known.begin(applying=True)
    lines = ['"client_list_length":"1",', '"clients":{', '"02:00:00:00:00:01":{', *rows, "}", "}"]
    known.text.take("\n".join([*lines, ""]).encode())
    assert known.text.whole()
    assert known._who.user(bytes.fromhex("020000000001")).decode() == told
    for language, said in zip(words.LANGUAGES, ("(nom, courriel)", "(name, e-mail)"), strict=True):
        with_user = [one.key for one in activities.activities(everything, language) if said in one.data]
        assert with_user == ["attribution", "billing", "portal", "ports", "requests"]


def test_the_portal_s_word_rests_on_what_it_is_needed_for(tmp_path: Path) -> None:
    """GDPR 13.1 c: on a bill's contract, on a duty; where that one's ground is repealed, each by its purpose."""
    duty = "config purpose 'attribution'\n option enabled '1'\n option reference 'x'\n option budget '90000000'\n"
    former = duty + " option ground 'L336-3'\n option wording 'repealed'\n"
    duty += " option ground 'IIbis-3'\n"
    both = (
        'GDPR 6.1 b for "billing", L34-1 III (wording of 2014 to 2021, repealed: no basis in force) '
        'for "requests of authorities"'
    )
    for more, basis in (
        (BILL, "GDPR 6.1 b"), (duty, "GDPR 6.1 c"), (BILL + duty, "GDPR 6.1 b, c"), (BILL + former, both),
    ):  # fmt: skip
        (tmp_path / "oubli").write_text(f"{GATEWAY}{more}config summary\n option rows '256'\n")
        read = config.load(str(tmp_path / "oubli"))
        assert {one.basis for one in activities.activities(read, "en") if one.key == "portal"} == {basis}


def test_who_has_all_of_a_person_s_choices_read_out_and_no_end_that_is_too_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GDPR art. 15, by `oubli who`: her objection, what she withdrew; a session's time runs from its end (EXP-1)."""
    options = "".join(f"config purpose '{name}'\n option enabled '1'\n" for name in BY_CONSENT) + VENUE + BILL
    device = paired.Device(tmp_path / "device", None, options=options)
    device.pass_to(1300)
    by_consent, mac, now = device.recorder.groups.by_consent(), mac_of(1), device.time.wall() // 10**9
    register = by_consent._consents_or_refuse()
    register.grant(mac, [*BY_CONSENT], ["connections", "access-point"], "none", now + law.DAY, bytes(32), now)
    register.withdraw(mac, now, "services")
    register.object(mac, now)
    assert register.accept(mac, now)
    register.object(mac, now)
    asked = {"terminal": mac, "address": None, "agreed": 1}
    line: Any = {"--mac": "", "--agreed": ""}
    line = type("Line", (dict,), {})(line)
    line.ask_for = lambda *_, **__: device.recorder.orders.access(asked, "root")
    line.show = lambda _, told: print("\n".join(told)) or 0
    assert who_verb.show(line) == 0
    said = capsys.readouterr().out
    assert f"objects to being counted since {moment(now)} UTC\n" in said
    assert f"consent to location: given {moment(now)} UTC, active (applied while the time" in said
    assert f"; withdrawn: services since {moment(now)} UTC;" in said
    assert "\nasked today (to resume, to take an objection back): 1\n" in said
    assert "goes 30d after it ended at the latest" in said
    untimed: dict[str, Any] = {"state": "withdrawn", "given": 0, "since": 0, "end": now, "purposes": []}
    untimed |= {"withdrawn": ["location"], "withdrawn_since": 0, "third_parties": "", "text": ""}
    assert "".join(who_verb._agreed([untimed], [0], [])).count("a time that isn't known") == 4
    kept: list[tuple[int, int]] = []  # from when its deadline runs, and when it began

    def keep(begins: int, octets: bytes) -> str:
        kept.append((begins, billing.unpack(octets).start))
        return "kept"

    bill = Billing(str(tmp_path / "sessions"), keep, lambda *_: b"")
    noon = TODAY * law.DAY + law.DAY // 2
    bill.connection(mac, noon, noon + law.DAY, 1, 1)
    bill.finish()
    assert kept[0] == (noon + law.DAY // 2, noon)
    device.recorder.close()


def test_a_consent_to_what_is_turned_off_is_not_called_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """L34-V-2: `oubli who` and the file say which purposes are on, as the page does; `oubli status` how it is."""
    both, told, told_in_file = [*BY_CONSENT], [], []
    sections = {name: f"config purpose '{name}'\n option enabled '1'\n" for name in both}
    device = paired.Device(tmp_path / "device", None, options="".join(sections.values()) + VENUE)
    device.pass_to(1300)
    now = device.time.wall() // 10**9
    register = device.recorder.groups.by_consent()._consents_or_refuse()
    register.grant(mac_of(1), both, ["connections", "access-point"], "none", now + law.DAY, bytes(32), now)
    line: Any = type("Line", (dict,), {})({"--mac": "", "--agreed": ""})
    asked = {"terminal": mac_of(1), "address": None, "agreed": 1}
    line.ask_for = lambda *_, **__: device.recorder.orders.access(asked, "root")
    line.show = lambda _, lines: print("\n".join(lines)) or 0
    for at, on in enumerate((both, ["location"], [])):
        if at:
            device.recorder.close()
            device.configure("".join(sections[name] for name in on) + VENUE)
            device.restart(1300 + 3600 * at)
            device.pass_to(2500 + 3600 * at)
        assert who_verb.show(line) == 0
        told += re.findall(r"active \((.*?)\) since", capsys.readouterr().out)
        request = page_connection.Request("", b"", True, "", {})
        page = guest_page.Page(request, lambda *_, **__: {}, lambda _: line.ask_for(), None)
        told_in_file.append(json.loads("".join(page.file("")).partition("\r\n\r\n")[2])["on"])
        counted = [one for one in status.lines(device.recorder.status()) if "1 active" in one]
        assert counted[0].startswith("consents, applied where their purpose is on and")
    device.recorder.close()
    assert told_in_file == [sorted(both), ["location"], []]
    assert told == [
        "applied while the time is confirmed and new",
        "services: turned off, not applied; else applied while the time is confirmed and new",
        "services, location: turned off, not applied",
    ]


def test_a_refusal_that_is_all_that_is_left_is_told_of(tmp_path: Path) -> None:
    """L34-VI-4: a name on flash for 13 months, after all that it is about was turned off."""
    (tmp_path / "oubli").write_text(GATEWAY + "config summary\n option enabled '0'\n")
    read, paths = config.load(str(tmp_path / "oubli")), Paths(str(tmp_path))
    assert also_held.remembered(read, paths) == []
    Path(paths.flash.sealed, "consent").mkdir(parents=True)
    assert also_held.remembered(read, paths) == []
    Path(paths.flash.sealed, "consent", "00" * 16 + "o6d2b05e4").touch()
    assert also_held.remembered(read, paths) == ["objection"]
    text = "\n".join(noticed(read, "en", ["objection"]))
    assert "- objection to being counted:" in text
    assert "consent" not in text.replace("without consent or contract", "")  # there never was one
    Path(paths.flash.sealed, "consent", "00" * 8 + "s6d2b05e4").touch()
    assert also_held.remembered(read, paths) == ["consent", "objection"]
    text = "\n".join(noticed(read, "en", ["consent", "objection"]))
    assert "- proof of the consent:" in text
    assert "- objection to being counted:" in text


def test_an_objection_makes_no_paper_tell_of_consents(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-4: where nobody was ever asked for one; a guest who objects changes nothing of what the others read."""
    device = paired.Device(tmp_path / "device", None)
    path = tmp_path / "oubli"
    path.write_text(GATEWAY)

    def shown() -> list[str]:
        words = [("--notice", "fr"), ("--register", "en"), ("--dpia", "fr"), ("--duties", "en"), ()]
        command = ("law", "--config", path, "--root", device.root)
        return any_interpreter.oubli(*((*command, *one) for one in words))

    before = shown()
    device.recorder.orders.object({"terminal": mac_of(1), "address": None}, "root")
    assert shown() == before
    assert any((device.root / "srv/oubli/vault/consent").iterdir())
    device.recorder.close()


def test_an_objection_holds_over_a_sysupgrade_that_keeps_files_alone(tmp_path: Path) -> None:
    """L34-VI-5: another firmware has no folder that was empty, such as that of consents where nobody gave one."""
    device, mine = paired.Device(tmp_path / "device", None), {"terminal": mac_of(1), "address": None}
    device.pass_to(3600)
    device.recorder.orders.object(mine, "root")
    device.recorder.close()
    (device.root / "srv/oubli/consents").rmdir()
    device.boot(7200)
    assert device.recorder.day.terminals.objects is not None
    assert device.recorder.day.terminals.objects(mac_of(1))
    assert device.recorder.groups.by_consent().own(mine)["objects"]
    device.recorder.close()


# What nobody but the reader of a notice is told, and what is off


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_register_and_impact_analysis_speak_to_nobody(everything: config.Config, language: str) -> None:
    """GDPR art. 30: they are the controller's and CNIL's to read."""
    for paper in (registered(everything, language), assessed(everything, language)):
        assert re.findall(r"\b(vous|votre|vos|you|your|yours)\b", "\n".join(paper), re.IGNORECASE) == []


def test_every_paper_tells_of_an_emergency_whatever_is_on(tmp_path: Path) -> None:
    """L34-V-5: who may be looked for, on what ground, for how long, and who is told."""
    (tmp_path / "oubli").write_text(
        GATEWAY + "config purpose 'security'\n option enabled '0'\nconfig summary\n option enabled '0'\n"
    )
    least = config.load(str(tmp_path / "oubli"))
    for paper in (noticed(least, "fr"), registered(least, "fr")):
        (line,) = [one for one in paper if one.startswith("- secours à une personne en danger")]
        for word in ("adresse MAC", "point d'accès", "L34-1 V, RGPD 6.1 d", "services de secours"):
            assert word in line
        # Nobody reads that he is looked for where nobody is
        assert "au plus 4 heures, et seulement pendant un secours" in line.replace("\u00a0", " ")
    told = "emergency: on; in memory, at most 4 hours, and during a rescue alone; mac, access point"
    assert told in article.lines(least)


def test_what_was_turned_off_is_told_until_it_is_gone(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-4: a sealed store, and consents, whose purposes are off.

    In notice, register, DPIA and `oubli law`, with their ends.
    """
    path, flash = tmp_path / "oubli", tmp_path / "srv/oubli"
    path.write_text(GATEWAY + "config purpose 'billing'\n option lifetime '90d'\n option biller 'Durand & fils'\n")

    def shown(*papers: tuple[str, ...]) -> list[str]:
        command = ("law", "--config", path, "--root", tmp_path)
        return [one.replace("\u00a0", " ") for one in any_interpreter.oubli(*((*command, *paper) for paper in papers))]

    papers = (("--notice", "fr"), ("--register", "fr"), ("--dpia", "fr"))
    for text in shown(*papers):
        assert "- facturation" not in text
        assert "preuve de l'accord" not in text
    (flash / "vault/billing").mkdir(parents=True)  # empty: nothing is kept any more
    assert "- facturation" not in shown(papers[0])[0]
    (flash / "vault/billing/2026-10-01-0001").touch()
    note = Path(Paths(str(tmp_path)).note + "billing")
    note.parent.mkdir()
    note.write_text("\nDurand & fils\n")
    (flash / "consents").mkdir()
    (flash / "consents/0001").touch()
    *texts, listed = shown(*papers, ())
    for paper, text in zip(papers, texts, strict=True):
        (line,) = [
            one
            for one in text.splitlines()
            if one.startswith("- facturation") and (paper[0] != "--dpia" or "données" in one)
        ]
        assert "à l'arrêt, plus rien ne s'y ajoute\u202f; au plus 90 jours" in line
        if paper[0] != "--notice":  # an order keeps it for longer, and adds nothing to it
            assert "au plus 90 jours après la fin, sauf injonction" in line
        assert "Durand & fils" in line or paper[0] == "--dpia"
        assert "- preuve de l'accord" in text
        assert "- opposition au comptage" in text
    assert "billing: off, still kept; 90d" in listed
    (flash / "vault/billing/2026-10-01-0001").unlink()
    assert "- facturation" not in shown(papers[0])[0]


# What the gateway holds beside the stores is shown to who asks


def test_a_person_sees_her_row_of_the_day_and_a_look_makes_none(tmp_path: Path) -> None:
    """GDPR art. 15: addresses, of the MAC too, quarter-hours, volume, kinds of service; of nobody else.

    Of who objects there is none.
    """
    device = paired.Device(tmp_path / "device", None)
    signs = [
        Sign(5 * 900, 1, octets=5000),
        Sign(9 * 900 + 120, 1, port=123),
        Sign(9 * 900 + 121, 2),
    ]
    for sign in signs:
        device.pass_to(sign.at)
        near, event, _ = sign.messages()
        device.recorder.streams.neighbour(near, len(near))
        device.recorder.streams.datagram(event, len(event))
    recorder, written = device.recorder, bytes.hex
    used = recorder.day.terminals.used()
    shown = present.of(recorder, mac_of(1), written)
    assert shown == {
        "addresses": [f"0a140003 (02:11:00:00:00:01, {moment(OPENS + 4500)} UTC)"],
        "counting": {
            "arrival": moment(OPENS + 4200)[:16] + " UTC",
            "quarter_hours": ["04:00 UTC", "05:15 UTC"],  # when each begins: a file has no legend
            "kib": 5,
            "services": ["web", "time"],
        },
    }
    assert present.of(recorder, mac_of(3), written) == {}
    assert recorder.day.terminals.used() == used == 2
    recorder.day.terminals.forget(mac_of(1))
    assert set(present.of(recorder, mac_of(1), written)) == {"addresses"}
    device.recorder.close()


def test_a_person_sees_the_session_and_the_stay_that_go_on_and_what_waits(tmp_path: Path) -> None:
    """GDPR art. 15: all that the gateway can read, of her alone, before a store has it.

    An erasure ends the stay, not the bill.
    """
    duty = " option ground 'IIbis-3'\n option reference 'x'\n option budget '90000000'\n"
    bill = " option lifetime '30d'\n option budget '90000000'\n"
    sections = {"location": "", "billing": bill, "attribution": duty}
    on = "".join(f"config purpose '{name}'\n option enabled '1'\n{more}" for name, more in sections.items()) + VENUE
    device = paired.Device(tmp_path / "device", None, options=on)
    paths, custodian, today = Paths(str(device.root)), Custodian(), device.time.wall() // 10**9 // law.DAY
    keys = custodian.rows(today, 2, 365) + custodian.rows(today, 2, 30, "billing")
    for place, data in (
        (paths.etc.anchor, custodian.anchor.encode()),
        (f"{paths.flash.bundles}/1", custodian.sign(today, keys)),
    ):
        (path := Path(place)).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    device.boot(0)
    device.pass_to(4000)
    recorder, mac, other = device.recorder, mac_of(1), mac_of(2)
    by_consent, deferred = recorder.groups.by_consent(), recorder.groups.deferred
    assert deferred is not None
    deferred.session(mac, "Zoé")
    began = device.time.wall() // 10**9
    by_consent._consents_or_refuse().grant(
        mac, ["location"], ["access-point"], "none", began + 9 * law.DAY, bytes(32), began
    )
    by_consent.stations._mac[:] = mac
    by_consent.stations._moved(b"wlan0", True, began + 5)
    signs = [
        Sign(4100, 1, octets=5000),
        Sign(4110, 2),
        Address(4115, 1, octets=7),
        Sign(4120, 1, octets=70),
    ]
    for sign in signs:
        near, _, _ = sign.messages()
        recorder.streams.neighbour(near, len(near))
    for sign in signs:
        device.pass_to(sign.at)
        _, event, _ = sign.messages()
        recorder.streams.datagram(event, len(event))

    def seen(whose: bytes) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, int]]:
        lines = [*recorder.orders.access({"terminal": whose, "address": None, "agreed": 1}, "root")]
        rows = [(line["purpose"], row) for line in lines for row in line.get("rows", ())]
        return rows, {name: count for name, count in lines[-1]["records"].items() if count}

    rows, counts = seen(mac)
    assert ("location", {"start": began + 5, "access_point": "wlan0", "going_on": True}) in rows
    (session,) = [row for name, row in rows if name == "billing"]
    assert (session["portal_user"], session["bytes_up"], session["going_on"]) == ("Zoé", 5070 + 100, True)
    assert OPENS + 4000 < session["start"] < session["start"] + session["seconds"] <= OPENS + 4120
    duties = [row for name, row in rows if name == "attribution"]
    assert duties
    assert all({"start", "address", "public_address", "translated_port"} <= set(row) for row in duties)
    (own,) = [row for row in duties if "going_on" in row]  # of her own address: with its last sign
    assert OPENS + 4080 < own["start"] < own["start"] + own["seconds"] <= OPENS + 4115
    assert counts == {"location": 1, "billing": 1, "attribution": len(duties)}
    theirs = seen(other)[0]
    assert [row["bytes_up"] for name, row in theirs if name == "billing"] == [signs[1].octets]
    assert "location" not in seen(other)[1]
    assert {str(row) for _, row in rows}.isdisjoint(str(row) for _, row in theirs)
    assert deferred.billing is not None
    deferred.billing.finish()  # what is over waits to be sealed, and the next session has begun
    follows, waits = [row for name, row in seen(mac)[0] if name == "billing"]
    assert waits == {name: value for name, value in session.items() if name != "going_on"}
    over = session["start"] + session["seconds"]
    assert follows == {"start": over, "seconds": 0, "bytes_up": 0, "bytes_down": 0, "going_on": True}
    recorder.groups.erasure().begin({"terminal": mac, "address": None}, "root")
    assert [name for name, _ in seen(mac)[0] if name != "attribution"] == ["billing", "billing"]
    kept: dict[str, Any] = recorder.kept.by_name
    assert kept["billing"].seal()
    assert [row for name, row in seen(mac)[0] if name == "billing"] == [follows]
    deferred.billing.tick(over + IDLE)
    assert "billing" not in seen(mac)[1]
    recorder.close()


@pytest.mark.parametrize("unseen", [True, False])
def test_who_and_erase_tell_the_operator_of_a_store_that_nobody_can_see(*, unseen: bool) -> None:
    """L34-VI-4, L34-VI-5: his commands say what the page says, in their words."""
    store = {"purpose": "billing", "lifetime_seconds": 86400, "unseen": unseen}
    _, first, second = who_verb._summary({}, [store], {})
    assert ("perhaps still kept" in first) == unseen
    assert ("the custodian answers" in second) == (not unseen)
    said: list[str] = []
    answer: dict[str, Any] = {"withdrawn": 0, "destroyed": 0, "durable": True, "unreadable": False}
    answer |= {"sealed": [[*store.values()]], "erasing": False}
    line: Any = {"--mac": b"\2"}
    line = type("Line", (dict,), {"ask": lambda *_, **__: answer, "show": lambda _, __, lines: said.extend(lines)})(
        line
    )
    assert verbs.run(line) == 0
    (told,) = [one for one in said if one.startswith("billing: ")]
    assert (words.UNSEEN[1] in told) == unseen


def test_the_page_is_told_of_a_store_that_is_off_until_it_is_gone(tmp_path: Path) -> None:
    """L34-VI-4: the page, the look and an erasure name it, with its end.

    And all that is held beside the stores, as the notice has it.
    """
    segment, mac = (
        tmp_path / "device/srv/oubli/vault/billing/2026-11-01-0001",
        {"terminal": mac_of(1), "address": None},
    )
    device = paired.Device(tmp_path / "device", None, options="config purpose 'billing'\n option lifetime '90d'\n")
    recorder = device.recorder

    def told() -> list[list[list[Any]]]:
        look = recorder.orders.access(mac | {"agreed": 1}, "root")
        seen = [
            [list(one) for one in recorder.groups.by_consent().own(mac)["kept"]],
            [list(one.values()) for one in next(look)["sealed"]],
        ]
        look.close()
        return [*seen, recorder.groups.erasure().begin(mac, "root")["sealed"]]

    assert told() == [[], [], []]
    segment.parent.mkdir(parents=True)
    segment.touch()
    assert told() == [[["billing", 90 * law.DAY, False]]] * 3
    note = Path(device.recorder.paths.note + "billing")
    note.parent.mkdir(parents=True, exist_ok=True)
    # With a segment on this flash, and without: whether nobody can see if anything is left
    for text, full, empty in (("\n-\n", False, None), ("/mnt/card\n-\n", True, True), ("damaged", False, True)):
        note.write_text(text)
        segment.touch()
        assert told() == [[["billing", 90 * law.DAY, full]]] * 3, text
        segment.unlink()
        assert told() == [[] if empty is None else [["billing", 90 * law.DAY, empty]]] * 3, text
    note.unlink()
    assert told() == [[], [], []]
    device.pass_to(1000)  # the clock is trusted, and the day is open
    held = {row[0] for row in article.memory(device.config) if row[1]}
    # Where she objects the page says so apart
    assert {*recorder.groups.by_consent().own(mac)["beside"]} == held - {"objection"}
    recorder.close()


def test_a_count_is_told_of_only_while_a_day_is_open(tmp_path: Path) -> None:
    """L34-VI-4: before the time is trusted nobody is counted, and nothing says so; she may object all the same."""
    device = paired.Device(tmp_path / "device", None)
    own, mine = device.recorder.groups.by_consent().own, {"terminal": mac_of(1), "address": None}
    told = [(own(mine)["counted"], "counting" in own(mine)["beside"])]
    device.pass_to(1000)
    assert device.recorder.day.terminals.day
    told.append((own(mine)["counted"], "counting" in own(mine)["beside"]))
    device.recorder.day.terminals.erase()
    told.append((own(mine)["counted"], "counting" in own(mine)["beside"]))
    assert told == [(True, False), (True, True), (True, False)]
    device.recorder.close()


def test_an_objection_that_flash_refused_can_be_made_once_it_does_not(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDPR 21: at any time. The first objection of a gateway made the page's button go for everybody, for good."""
    make, full = files.make_folder, [True]

    def refuse(path: str, mode: int) -> None:
        if full and path.endswith("consents"):
            raise OSError(28, "")
        make(path, mode)

    monkeypatch.setattr(files, "make_folder", refuse)
    device = paired.Device(memory / "device", None)
    device.pass_to(3600)
    consents, mine = device.recorder.groups.by_consent(), {"terminal": mac_of(1), "address": None}
    told = [consents.own(mine)["counted"]]
    with pytest.raises(Refused):
        consents.object(mine, "portal")
    told.append(consents.own(mine)["counted"])
    full.clear()
    device.pass_to(3700)
    told.append(consents.own(mine)["counted"])
    assert (told, consents.objects(mac_of(2))) == ([True, False, True], False)
    device.recorder.close()


def test_consents_that_flash_refuses_are_no_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """L34-V-2: page and copy say that they can't be read now; who has withdrawn isn't told that there was nothing."""

    def broken(root: Path) -> None:
        (root / "srv/oubli").mkdir(parents=True)
        (root / "srv/oubli/consents").write_text("no folder")

    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None}
    found = []
    for install in (broken, lambda _root: None):
        device = paired.Device(tmp_path / "device", None, install=install)
        own = device.recorder.groups.by_consent().own(mine)
        end = [*device.recorder.orders.access(mine | {"agreed": 1}, "root")][-1]
        erased = device.recorder.groups.erasure().begin(mine, "root")["durable"]
        assert device.recorder.groups.erasure().state(mine) == {"erasing": True}
        line: Any = type("Line", (dict,), {})({"--mac": ""})
        answers = iter([device.recorder.groups.erasure().begin(mine, "root"), {"erasing": False}])
        line.ask = lambda *_, _answers=answers, **__: next(_answers)
        line.show = lambda _, told: print("\n".join(told))
        assert verbs.run(line) == (not erased)
        said = capsys.readouterr()
        assert ("none has ended" in said.err, "0 consents ended" in said.out) == (not erased, erased)
        assert "restarts" not in said.err  # nothing was ended that a restart would bring back
        assert " erase terminal root" in (tmp_path / "device/srv/oubli/audit/00000001").read_text()
        found.append((own["unreadable"], own["counted"], end["consents"], erased))
        device.recorder.close()
    assert found == [(True, False, None, False), (False, True, [], True)]


def test_a_person_sees_her_name_at_the_portal_and_her_ports(tmp_path: Path) -> None:
    """GDPR art. 15: what serves the sealed stores and is in memory in clear.

    A block that is taken back, and of which no row goes on, is nobody's.
    """
    device = paired.Device(tmp_path / "device", None)
    recorder, mine, other = device.recorder, mac_of(1), mac_of(2)
    known, record = Sessions(), lambda _: True
    source = recorder.clock.source
    booted = lambda seconds: moment((source.wall() - source.monotonic()) // 10**9 + seconds)  # noqa: E731 (a word)
    blocks = Blocks(str(tmp_path / "map"), str(tmp_path / "marks"), 512, NoKernel(), record, known.user, 100000)
    blocks.rows.restate_public(bytes([203, 0, 113, 2]), 1800000000, 100000, lambda _: b"")
    leased = SimpleNamespace(holdings=Holdings(blocks, record, known.user, lambda: 0))
    recorder.groups.deferred = SimpleNamespace(sessions=known, attribution=leased)  # type: ignore[assignment]
    assert present.of(recorder, mine, bytes.hex) == {}
    assert known.begin(mine, "Zoé Lefèvre", 200000)
    holders = {bytes([10, 20, 0, 3]): mine, bytes([10, 20, 0, 4]): other, bytes([10, 20, 0, 5]): mine}
    for address, mac in holders.items():
        blocks.hold(address, mac, 1800000000, 200000)
    blocks.deal(1800000000, 200000, lambda address: holders[address])
    held = [*blocks.map.of(mine)]
    assert len(held) == len({*held, *blocks.map.of(other)}) - 1 == 2
    assert present.of(recorder, mine, bytes.hex) == {
        "portal": f"Zoé Lefèvre ({booted(200000)} - {booted(200000)} UTC)",
        "ports": [
            f"{ports} ({address.hex()} > cb007102, Zoé Lefèvre, 2027-01-15 08:00:00 - {booted(200000)} UTC)"
            for ports, address, *_ in held
        ],
    }
    blocks.hold(bytes([10, 20, 0, 3]), other, 1800000100, 200100)
    assert [*blocks.map.of(mine)] == held[1:]
    assert set(present.of(recorder, other, bytes.hex)) == {"ports"}
    recorder.groups.deferred = None
    recorder.close()


_REGISTER = (
    "sans terme fixé, au registre de ce tiers, comme preuve",
    "without a fixed end, in that party's register, as a proof",
)


def test_who_has_asked_stays_in_the_custodian_s_register_and_that_is_said(everything: config.Config) -> None:
    """GDPR 13.2 a, 30.1 f: an entry names who asked, of `access` the person herself, and no entry ever goes."""
    assert {"authority", "reference"} <= {*custodian_register.COLUMNS}
    assert "RGPD" in AUTHORITIES
    for language, said in zip(words.LANGUAGES, _REGISTER, strict=True):
        for paper in (noticed(everything, language), registered(everything, language), assessed(everything, language)):
            told = [one for one in paper if one.startswith("- " + words.PURPOSES["requests"][language == "en"])]
            assert told
            assert all(said in one for one in told)
        headings = notice.TEXTS[language]["kept"] + page_words.WORDS["without"][language == "en"]
        assert "automati" not in headings  # what has no fixed end stands below
    assert any("in that party's register" in line for line in article.lines(everything))


def test_no_time_is_told_that_an_injunction_or_a_recipient_outlasts(everything: config.Config) -> None:
    """GDPR 30.1 f: CNIL reads of an order's year, and guests and CNIL that sessions aren't here alone.

    Who makes out the bills gets a period's sessions (tools/custodian/invoices.py), and nobody a bill.
    """
    for language, said, kept in zip(
        words.LANGUAGES, ("sauf injonction (L34-1 III bis", "but for an injunction (L34-1 III bis"),
        ("réponse ou le relevé des sessions en garde les données", "answer or the list of sessions keeps its data"),
        strict=True,
    ):  # fmt: skip
        rows = [one.replace("\u00a0", " ") for one in registered(everything, language) if one.startswith("- ")]
        sealed = [words.PURPOSES[name][language == "en"] for name in ("attribution", "billing")]
        assert [said in row for row in rows] == [row.startswith(tuple(f"- {name}" for name in sealed)) for row in rows]
        for paper in (noticed(everything, language), registered(everything, language), assessed(everything, language)):
            assert kept in "\n".join(paper)
        assert not re.search("au-delà|beyond", notice.TEXTS[language]["restriction"])


def test_an_operator_who_makes_out_the_bills_is_not_said_to_read_nothing(tmp_path: Path) -> None:
    """L34-IV-3: where nobody else is named, a period's sessions go to him, by the custodian."""
    (tmp_path / "oubli").write_text(f"{GATEWAY}{BILL}config summary\n option rows '256'\n")
    read = config.load(str(tmp_path / "oubli"))
    for language, biller, alone in zip(
        words.LANGUAGES, ("l'exploitant, qui établit les factures", "the operator, who makes out the bills"),
        ("ne lisent ce qui est scellé sans le tiers", "can read what is sealed without the trusted third party"),
        strict=True,
    ):  # fmt: skip
        text = "\n".join(noticed(read, language))
        assert (biller in text, alone in text) == (True, True)
    assert [re.search("exploitant|operator", one) for one in page_words.WORDS["not erased"]] == [None, None]


def consented(folder: Path, purposes: tuple[str, ...] = ("location",)) -> paired.Device:
    """Return a device whose first terminal has consented to `location`, or these, for a day."""
    options = "".join(f"config purpose '{name}'\n option enabled '1'\n" for name in purposes) + VENUE
    kinds = {"services": "connections", "location": "access-point"}
    device = paired.Device(folder / "device", None, options=options)
    device.pass_to(1300)
    by_consent, now = device.recorder.groups.by_consent(), device.time.wall() // 10**9
    by_consent._consents_or_refuse().grant(
        mac_of(1), [*purposes], [kinds[name] for name in purposes], "none", now + law.DAY, bytes(32), now
    )
    return device


def test_no_time_still_to_come_is_told_of_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXP-5, GDPR 15: a clock that was confirmed while it ran ahead has told of tomorrow; it was set back since."""
    device = consented(tmp_path)
    by_consent, wall = device.recorder.groups.by_consent(), device.time.wall
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None, "purpose": None}
    device.recorder.orders.object(mine, "root")
    by_consent.withdraw(mine, "root")
    asked = page_connection.Request("", b"", False, "", {})
    page = guest_page.Page(asked, lambda *_, **__: {}, lambda _: iter(()), None)
    for ahead in (0, 20 * 3600):
        monkeypatch.setattr(device.time, "wall", lambda back=ahead: wall() - back * 10**9)
        own = by_consent.own(mine)
        (one,) = own["consents"]
        told = one["given"], one["since"], own["objects"][0]
        assert [time > 0 for time in told] == [ahead == 0] * 3
        shown = page.overview(own)
        for said in ("Accord donné le", "retiré le", "Opposition au comptage reçue le"):
            assert (said in shown) == (ahead == 0), said
        assert "<b>retiré" in shown
    device.recorder.close()


def test_what_a_clock_set_back_keeps_from_being_applied_is_not_told_as_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L34-VI-4: by less than an hour it stays trusted, and of `services` nothing is kept until that second is back."""
    device = consented(tmp_path, ("services", "location"))
    by_consent, time = device.recorder.groups.by_consent(), device.time.wall
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None}
    by_consent.suspend(mine, "root")
    device.pass_to(2500)
    by_consent.resume(mine, "root")
    register, terminal = by_consent._consents_or_refuse(), SimpleNamespace(mac=lambda: mac_of(1))
    asked = page_connection.Request("", b"", False, "", {})
    page, counted = guest_page.Page(asked, lambda *_, **__: {}, lambda _: iter(()), None), by_consent._counters
    for back, timed in ((0, ["location"]), (-60, ["services", "location"]), (600, ["location"]), (7200, [])):
        monkeypatch.setattr(device.time, "wall", lambda back=back: time() - back * 10**9)
        now, end = by_consent._now(), device.time.wall()
        refused = counted["services without consent"]
        connection: Any = SimpleNamespace(accounted=True, start=end - 1)
        by_consent._services = SimpleNamespace(pack=lambda *_: 0)  # type: ignore[assignment]
        monkeypatch.setattr(by_consent.stores["services"], "append", lambda *_: "")
        by_consent.connection(None, connection, terminal, end)  # type: ignore[arg-type]
        kept = ["services"] * (counted["services without consent"] == refused)
        assert kept + ["location"] * (register.active(mac_of(1), "location", now) >= 0) == timed, back
        own = by_consent.own(mine)
        if back:  # in the very second of a consent what begins isn't after it yet
            assert own["consents"][0]["timed"] == timed
        shown = page.overview(own)
        assert ("services avec accord" in shown, "non appliqué" in shown) == (True, back > 0)
        assert ("en vigueur" in shown) == bool(timed)
    device.recorder.close()


def test_a_clock_that_was_confirmed_is_not_said_to_wait_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXP-5: while it shows a time again no consent is resumed, for up to a day, and the page said 'pas encore'."""
    device = consented(tmp_path)
    by_consent, time = device.recorder.groups.by_consent(), device.time.wall
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None}
    by_consent.suspend(mine, "root")
    monkeypatch.setattr(device.time, "wall", lambda: time() - 7200 * 10**9)
    assert device.recorder.clock.trusted
    with pytest.raises(Refused) as refused:
        by_consent.resume(mine, "root")
    asked = page_connection.Request("", b"", True, "", {})
    page = guest_page.Page(asked, lambda *_, **__: {}, lambda _: iter(()), None)
    assert "n'est pas confirmée, ou montre de nouveau une heure passée\u202f: ce qui est suspendu le reste" in (
        page.failed(refused.value.args[0]).replace("&#39;", "'")
    )
    device.recorder.close()


def test_a_change_that_flash_refused_is_told_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """GDPR 15: each counts, or flash that refuses would be worn out; the page said 'accord rétabli' of one."""
    device = consented(tmp_path)
    by_consent = device.recorder.groups.by_consent()
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None}
    by_consent.suspend(mine, "root")

    def refuse(*_: object) -> None:
        raise OSError(28, "")

    with monkeypatch.context() as full:
        full.setattr(files, "write_atomic", refuse)
        with pytest.raises(Refused):
            by_consent.resume(mine, "root")
    assert by_consent.own(mine)["consents"][0]["state"] == "suspended"
    look = device.recorder.orders.access
    asked = page_connection.Request("", b"", True, "", {})
    page = guest_page.Page(asked, lambda *_, **__: {}, lambda _: iter(look(mine | {"agreed": 1}, "root")), None)
    (shown,) = page.held("")
    assert "demandes du jour (rétablir un accord, lever une opposition)\u202f: 1<" in shown
    line: Any = type("Line", (dict,), {})({"--mac": "", "--agreed": ""})
    line.ask_for = lambda *_, **__: look(mine | {"agreed": 1}, "root")
    line.show = lambda _, told: print("\n".join(told)) or 0
    assert who_verb.show(line) == 0
    assert "\nasked today (to resume, to take an objection back): 1\n" in capsys.readouterr().out
    device.recorder.close()


def test_a_list_of_consents_tells_no_time_still_to_come_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXP-5: `consent list --json` had what the page doesn't tell, for no clock that is right showed it."""
    device = consented(tmp_path)
    by_consent, wall = device.recorder.groups.by_consent(), device.time.wall
    assert by_consent.listed(None)["consents"][0]["given"] == wall() // 10**9
    monkeypatch.setattr(device.time, "wall", lambda: wall() - 20 * 3600 * 10**9)
    (one,) = by_consent.listed(None)["consents"]
    assert [one["given"], one["since"]] == [0, 0]
    device.recorder.close()


def test_what_is_held_is_shown_with_times_that_may_have_been_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """EXP-5, GDPR 15: since a boot nobody may have confirmed the clock, and what it stamped then stays as it was."""
    device = paired.Device(tmp_path / "device", None, options="", security="option enabled '1'")
    device.pass_to(300)
    near, event, _ = Sign(310, 1, 1, 4000, 443).messages()
    device.recorder.streams.neighbour(near, len(near))
    device.recorder.streams.datagram(event, len(event))
    asked: dict[str, Any] = {"terminal": mac_of(1), "address": None, "agreed": 1}
    assert device.recorder.clock.state == "unknown"
    for language, said in (
        ("fr", "horloge de la borne, qui a pu être fausse"),
        ("en", "clock, which may have been wrong"),
    ):
        request = page_connection.Request("", b"", True, "lang=" + language, {})
        page = guest_page.Page(
            request, lambda *_, **__: {}, lambda _: device.recorder.orders.access(asked, "root"), None
        )
        shown = "".join(page.held(""))
        assert "UTC)" in shown
        assert said in shown
    line: Any = type("Line", (dict,), {})({"--mac": "", "--agreed": ""})
    line.ask_for = lambda *_, **__: device.recorder.orders.access(asked, "root")
    line.show = lambda _, told: print("\n".join(told)) or 0
    assert who_verb.show(line) == 0
    told = capsys.readouterr().out
    assert "\ntimes are those of this gateway's clock, which may have been wrong\n" in "\n" + told
    assert "records under this MAC in security (" in told
    device.recorder.close()


def test_a_form_undoes_that_refusal_alone_which_it_was_shown_for(tmp_path: Path) -> None:
    """L34-V-4: of two suspensions that no clock dated, either; a browser may send yesterday's form once more."""
    device = consented(tmp_path)
    by_consent, now = device.recorder.groups.by_consent(), device.time.wall() // 10**9
    register, tokens = by_consent._consents_or_refuse(), []
    for second in (now + 60, now + 21 * 3600):  # the latter: another day, with all its changes
        assert register.suspend(mac_of(1), None) == [0]
        register.tick(second)
        tokens.append(by_consent.own({"terminal": mac_of(1), "address": None})["undoes"])
        assert register.resume(mac_of(1), second) == [0]
    assert tokens[0] != tokens[1]
    device.recorder.close()


@pytest.mark.parametrize(("number", "days"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_one_is_told_in_the_singular(number: int, days: str) -> None:
    """It said 'holds 1 records', 'keys of the custodian for 1 days'."""
    row = {"syncs_a_day": number, "key_days": number, "trouble": ""}
    told = f"  {number} {'sync' if number == 1 else 'syncs'} a day; keys of the custodian for {days}"
    assert status._sealed(row)[0] == told


@pytest.mark.parametrize("purpose", [None, "location"])
def test_the_operator_reads_of_which_purpose_alone_a_consent_was_withdrawn(purpose: str | None) -> None:
    """L34-V-4: 'withdrawn 1 consent' was said of one whose other purpose goes on."""
    said: list[str] = []
    answer = {"withdrawn": 1, "destroyed": 1, "durable": True}
    line: Any = {"--terminal": "192.168.1.10"} | ({"--purpose": purpose} if purpose else {})
    line = type("Line", (dict,), {"ask": lambda *_, **__: answer, "show": lambda _, __, lines: said.extend(lines)})(
        line
    )
    line.verb = SimpleNamespace(name="consent withdraw")
    consent_verbs.change(line)
    alone = " (location alone)" if purpose else ""
    assert said == ["withdrawn 1 consent" + alone, "records made unreadable: 1"]


def test_who_stays_overnight_is_not_said_to_arrive_at_three(tmp_path: Path) -> None:
    """ANON-1, GDPR 15: a day's row has when its terminal was first heard of that day; she came the day before."""
    device = paired.Device(tmp_path / "device", None)
    noon, streams = 9 * 3600, device.recorder.streams
    for sign in (Sign(noon, 1), Sign(DAY + 30, 1, DAY - noon, lives=True), Sign(DAY + 700, 1, DAY - noon, lives=True)):
        device.pass_to(sign.at)
        device.recorder.confirm_time()
        near, event, lives = sign.messages()
        streams.neighbour(near, len(near))
        (streams.live_table if lives else streams).datagram(event, len(event))
    held = present.of(device.recorder, mac_of(1), lambda _: "")
    assert held["counting"]["arrival"].endswith(" 03:00 UTC")
    assert [re.search("arriv", word) for word in words.FIELDS["arrival"]] == [None, None]
    device.recorder.close()


def test_what_is_chosen_at_one_gateway_is_said_to_hold_there_alone(tmp_path: Path) -> None:
    """L34-VI-5: of two gateways each has its own key and memory; who objects at one is counted at the other."""
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None}
    here, there = (paired.Device(tmp_path / name, None) for name in ("here", "there"))
    for device in (here, there):
        device.pass_to(1300)
    here.recorder.orders.object(mine, "root")
    objects = [device.recorder.groups.by_consent().own(mine)["objects"] for device in (here, there)]
    assert [bool(one) for one in objects] == [True, False]
    for language, foot, object_, page in (
        ("fr", "ne connaît que cette borne", "exclut ici votre appareil", "pour cette borne, elle montre"),
        ("en", "This page knows this gateway", "is counted here no more", "of this gateway alone, it shows"),
    ):
        request = page_connection.Request("", b"", False, "lang=" + language, {})
        assert foot in guest_page.Page(request, lambda *_, **__: {}, lambda _: iter(()), None).foot()
        told = "\n".join(noticed(here.config, language))
        assert object_ in told
        assert page in told
    for device in (here, there):
        device.recorder.close()


def test_a_document_that_no_consent_can_be_taken_to_is_not_made(tmp_path: Path) -> None:
    """L34-V-2: it said 300 days to whoever was asked for `location`, and the grant then refused them."""
    device = consented(tmp_path)
    texts_ = Path(Paths(str(device.root)).texts)
    texts_.mkdir(parents=True)
    (texts_ / "consent-3.fr.txt").write_text("x")
    asked: dict[str, Any] = {"purposes": ["location"], "third_parties": "none", "name": "3.fr", "days": 30}
    by_consent = device.recorder.groups.by_consent()
    assert "Durée\u202f: 30\u00a0jours à partir de votre accord" in by_consent.document(asked)["document"]
    with pytest.raises(Refused, match="not within 30d of now, the ceiling of location"):
        by_consent.document(asked | {"days": 31})
    device.recorder.close()


def test_an_order_to_erase_all_leaves_consents_and_says_so(interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-V-3: records go; what was agreed, withdrawn or objected to is remembered, and kept by what was agreed."""
    device = consented(tmp_path)
    device.recorder.orders.erase("all", "root")
    assert device.recorder.groups.by_consent()._consents_or_refuse().counts(None)["active"] == 1
    device.recorder.close()
    told = " ".join(interpreter.run("-m", "agent", "--help").stdout.decode().split())
    assert "destroy records, now; consents and refusals stay" in told
    assert "all (consents and refusals stay)" in (PROJECT / "boards/README.md").read_text()


def test_a_key_that_is_made_anew_says_what_is_not_known_any_more(tmp_path: Path) -> None:
    """L34-VI-5: objections and refusals are names under the former one; without any there is nothing to say."""
    for objects in (False, True):
        device = consented(tmp_path / str(objects))
        if objects:
            device.recorder.orders.object({"terminal": mac_of(1), "address": None}, "root")
        device.recorder.close()
        Path(Paths(str(device.root)).flash.device_key).unlink()
        log: list[str] = []
        opened = Opened(Paths(str(device.root)), Sodium(), log.append)
        assert opened.read(make=True)
        opened.close()
        lost = ": no objection or refusal of before is known any more"
        assert "made the device's key" + (lost if objects else "") in log


def test_a_device_that_changes_its_mac_is_another_one_and_that_is_said(tmp_path: Path) -> None:
    """L34-VI-4: neither an objection nor a consent follows a phone that takes another address."""
    device = consented(tmp_path)
    by_consent = device.recorder.groups.by_consent()
    device.recorder.orders.object({"terminal": mac_of(1), "address": None}, "root")
    found = [by_consent.own({"terminal": mac_of(number), "address": None}) for number in (1, 2)]
    assert [(bool(own["objects"]), len(own["consents"])) for own in found] == [(True, 1), (False, 0)]
    device.recorder.close()
    texts = PROJECT / "boards/common/usr/share/oubli"
    for at, language in enumerate(words.LANGUAGES):
        said = ("adresse MAC change", "MAC address changes")[at]
        assert said in "\n".join(noticed(device.config, language))
        assert ("S'il en a changé", "If it had another one")[at] in page_words.WORDS["present"][at]
        assert ("a changé d'adresse MAC", "has changed its MAC")[at] in (
            texts / f"consent-3.{language}.txt"
        ).read_text()


def test_a_consent_that_nobody_is_asked_for_any_more_may_still_be_withdrawn(tmp_path: Path) -> None:
    """L34-VI-4: with its purposes off a withdrawal adds a refusal; nobody reads that nothing is added."""
    device = consented(tmp_path)
    device.recorder.close()
    device.configure(VENUE)
    device.restart(1400)
    device.pass_to(2100)
    names = Path(Paths(str(device.root)).flash.sealed, "consent")
    assert not names.exists()
    mine: dict[str, Any] = {"terminal": mac_of(1), "address": None, "purpose": None}
    assert device.recorder.groups.by_consent().withdraw(mine, "root")["withdrawn"] == 1
    assert len([*names.iterdir()]) == 2  # of the consent, and of prompts
    device.recorder.close()
    held = also_held.remembered(device.config, Paths(str(device.root)))
    assert held == ["consent"]
    for language, said in zip(
        words.LANGUAGES, ("plus aucun accord n'est", "no consent is taken any more"), strict=True
    ):
        told = {one.key: one.kept for one in activities.activities(device.config, language, [*held, "billing"])}
        assert said in told["consent"]
        assert [bool(re.search("s'y ajoute|is added", told[name])) for name in ("consent", "billing")] == [False, True]


def test_an_objection_that_no_clock_dated_has_no_end_in_1971(tmp_path: Path) -> None:
    """GDPR art. 20: a copy says nothing of when it was made, or ends; the end is told once the time is known."""
    device = paired.Device(tmp_path / "device", None)
    mine, told = {"terminal": mac_of(1), "address": None}, []
    device.recorder.orders.object(mine, "root")
    for second in (10, 1300):
        device.pass_to(second)
        told.append(device.recorder.groups.by_consent().own(mine)["objects"])
    assert told[0] == [0, 0]
    assert told[1] == [0, OPENS + 602 + 395 * law.DAY]
    device.recorder.close()


def test_a_notice_is_of_the_configuration_that_runs(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-4: where the present one is refused the last accepted one runs, and that one is told of."""
    paths = Paths(str(tmp_path))
    for path, text in ((paths.etc.accepted, GATEWAY + VENUE), (paths.etc.config, GATEWAY + "config oops\n")):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    for paper in ("--notice", "--register", "--dpia", "--duties"):
        done = any_interpreter.run("-m", "agent", "law", "--root", tmp_path, paper, "fr")
        assert "réseau" in done.stdout.decode()
        assert b"the last accepted configuration goes on, for this one is refused: " in done.stderr


@pytest.mark.long
def test_a_notice_of_what_may_not_run_yet_says_so(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-4: written after an edit and before the restart it told of what nobody had started, without a word."""
    paths = Paths(str(tmp_path))
    waits = b"oubli: the configuration has changed: as long as oubli isn't restarted the former may run\n"
    later = GATEWAY + VENUE + "config purpose 'security'\n option lifetime '48h'\n"
    for former, said in ((None, b""), (later, b""), (later.replace("option", "\toption"), b""), (GATEWAY, waits)):
        for path, text in ((paths.etc.accepted, former), (paths.etc.config, later)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                Path(path).write_text(text)
        for paper in ("--notice", "--register", "--dpia", "--duties"):
            done = any_interpreter.run("-m", "agent", "law", "--root", tmp_path, paper, "fr")
            assert "2 jours" in done.stdout.decode().replace("\u00a0", " ")
            assert done.stderr == said
