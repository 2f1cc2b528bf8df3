# SPDX-License-Identifier: Apache-2.0
"""agent/law: the table of purposes held against a second one, written here from the requirements.

Over everything that can be asked.

agent/cli/article and agent/purposes/notice: what of it a person is shown.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest

from agent import law
from agent.__main__ import main
from agent.cli import article, status
from agent.config import config
from agent.config.options import OPTIONS
from agent.config.reader import ConfigError
from agent.purposes import activities, impact, notice, register, words
from agent.purposes.consent.refusals import AFTER
from agent.vault import record
from host_sim.privacy.paired import Device
from host_sim.venue.portal import NOTICE
from tests.support.interpreters import PROJECT, Interpreter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAY = 86400
GATEWAY = "config gateway\n option id 'abcdefghijklmnop'\n"
COMMON = ["start", "duration", "protocol", "mac", "address", "source_port", "translated_port", "service"]
COMMON += ["bytes_up", "bytes_down", "packets_up", "packets_down"]
HELD = ["protocol", "public_address", "translated_port", "address", "mac", "portal_user", "start", "end"]
KEPT = ["mac_hash", "categories", "purposes", "third_parties", "end", "text_hash", "state", "time"]
# REQUIREMENTS.md in other words: fields, custody, default and ceiling in days
# (None: no default), grounds, what it needs.
TABLE = {
    "security": (COMMON, "volatile", 1, 90, (None,), ()),
    "attribution": (HELD, "custodian", 365, 365, ("L336-3", "STAD", "IIbis-3"), ("ground", "reference", "bundle")),
    "billing": (
        ["portal_user", "mac", "start", "end", "bytes_up", "bytes_down"],
        "custodian",
        None,
        365,
        (None,),
        ("lifetime", "bundle"),
    ),
    "services": (COMMON, "volatile", None, 365, (None,), ("consent",)),
    "location": (["access_point", "start", "end", "mac"], "volatile", None, 30, (None,), ("consent",)),
    "consent": (
        KEPT,
        "device",
        None,
        395,
        (None,),
        ("consent",),
    ),
    "freeze": ([*HELD, "bytes_up", "bytes_down"], "custodian", None, 365, (None,), ("order",)),
}
NEVER = [
    "destination",
    "destination_port",
    "host",
    "name",
    "url",
    "sni",
    "dns",
    "payload",
    "user_agent",
    "signal",
    "rssi",
    "label",
]
FIELDS = sorted({field for row in TABLE.values() for field in row[0]} | set(NEVER))
GROUNDS = [None, "", "L336-3", "STAD", "IIbis-3", "penal", "II", "l336-3", "IIbis-1", "L336-3 STAD"]
LIFETIMES = [
    0,
    1,
    599,
    600,
    3600,
    DAY,
    30 * DAY,
    30 * DAY + 1,
    90 * DAY,
    90 * DAY + 1,
    365 * DAY,
    365 * DAY + 1,
    395 * DAY,
    395 * DAY + 1,
]


def long_enough(name: str, lifetime: int) -> bool:
    """Return True if a lifetime is one that its custody can keep: a custodian's key is for a whole day (EXP-3)."""
    return lifetime >= 600 and (TABLE[name][1] != "custodian" or (lifetime > 0 and lifetime % DAY == 0))


def test_the_table_is_the_requirements_row_by_row():
    """L34-II-2: no row more, no field more, no ceiling higher."""
    assert [row.name for row in law.PURPOSES] == list(TABLE)
    for row in law.PURPOSES:
        fields, custody, default, ceiling, grounds, needs = TABLE[row.name]
        assert (list(row.fields), row.custody, row.ceiling) == (fields, custody, ceiling * DAY)
        assert row.lifetime == (default or 0) * DAY
        assert (row.grounds or (None,)) == grounds
        assert row.needs == needs
        assert row.enabled == (row.name == "security")
    assert TABLE["attribution"][4] == law.GROUNDS


def test_the_whole_product_of_purposes_fields_lifetimes_and_grounds_is_judged_by_the_table():
    """L34-II-2, L34-III-1, L34-VI-1: generated, each combination once; what the table doesn't name is refused."""
    counted = allowed = 0
    for row, field, lifetime, ground in itertools.product(law.PURPOSES, FIELDS, LIFETIMES, GROUNDS):
        fields, _, _, ceiling, grounds, _ = TABLE[row.name]
        fine = field in fields and long_enough(row.name, lifetime) and lifetime <= ceiling * DAY and ground in grounds
        refused = law.refuse_lifetime(row, lifetime), law.refuse_ground(row, ground)
        assert (field in row.fields and refused == (None, None)) == fine, (row.name, field, lifetime, ground)
        counted, allowed = counted + 1, allowed + fine
    assert counted == len(TABLE) * len(FIELDS) * len(LIFETIMES) * len(GROUNDS)
    assert allowed == sum(
        len(fields)
        * len(grounds)
        * sum(long_enough(name, lifetime) and lifetime <= ceiling * DAY for lifetime in LIFETIMES)
        for name, (fields, _, _, ceiling, grounds, _) in TABLE.items()
    )


def written(name: str, options: dict[str, str]) -> str:
    return (
        GATEWAY + f"config purpose '{name}'\n" + "".join(f" option {key} '{value}'\n" for key, value in options.items())
    )


def lawful(
    name: str, enabled: bool, lifetime: int | None, ground: str | None, reference: str | None, wording: str | None
) -> bool:
    """Say what the requirements say of a configuration."""
    _, _, default, ceiling, grounds, needs = TABLE[name]
    if lifetime is not None and (
        name in ("services", "location") or not long_enough(name, lifetime) or lifetime > ceiling * DAY
    ):
        return False  # the consent's own, or out of bounds
    if ground is not None and (ground not in grounds or "ground" not in needs):
        return False
    if (reference is not None or wording is not None) and "reference" not in needs:
        return False
    if not enabled:
        return True
    if ground in ("L336-3", "STAD") and wording is None:
        return False
    given = {"ground": ground, "reference": reference, "lifetime": lifetime or default}
    return all(given[need] for need in needs if need in given)


def judged(path: Path) -> dict[str, str]:
    """Return the canonical form of a configuration, or the line that refuses it."""
    try:
        return {"canonical": config.load(str(path)).canonical}
    except ConfigError as failure:
        return {"refused": str(failure)}


@pytest.mark.long
@pytest.mark.needs("micropython")
def test_every_configuration_of_the_product_is_taken_or_refused_by_the_table(memory, remotes):
    """L34-II-2: five purposes, on and off, lifetimes, grounds, references; nothing is clamped.

    MicroPython judges alike.
    """
    path, taken, refused = memory / "product", 0, 0
    product = itertools.product(
        law.CONFIGURABLE,
        (False, True),
        [None, *LIFETIMES],
        GROUNDS,
        ((None, None), ("order 12/2026", None), ("order 12/2026", "repealed")),
    )
    for number, (name, enabled, lifetime, ground, (reference, wording)) in enumerate(product):
        options = {"enabled": str(int(enabled)), "budget": "999999999"}  # what room they need is another test's
        options |= {} if lifetime is None else {"lifetime": f"{lifetime}s"}
        options |= {} if ground is None else {"ground": ground}
        options |= {} if reference is None else {"reference": reference}
        options |= {} if wording is None else {"wording": wording}
        path.write_text(written(name, options) + "config summary\n option rows '256'\n" + NOTICE)
        said = judged(path)
        assert ("refused" not in said) == lawful(name, enabled, lifetime, ground, reference, wording), (name, options)
        if "refused" in said:
            assert re.search(r"\(L34-[^)]*L34-1 (II|III|IV|V|VI)", said["refused"]), said
            refused += 1
        else:
            section = json.loads(said["canonical"])[name]
            default = OPTIONS[name].get("lifetime", (0, None))[1]
            assert section["enabled"] == enabled
            assert section.get("lifetime") == (default if lifetime is None else lifetime)
            taken += 1
        if number % 7 == 0:
            other = remotes("micropython")("settings", str(path))
            other.pop("digest", None)
            assert other == said
    assert taken > 60
    assert refused > 2000


PURPOSE = "config purpose '{}'\n option {} '{}'\n"
UNLAWFUL = {  # what is asked: (the configuration, the paragraph that refuses it)
    "security for a year": (PURPOSE.format("security", "lifetime", "365d"), "IV"),
    "security for a day more than three months": (PURPOSE.format("security", "lifetime", "91d"), "IV"),
    "security for a second more": (PURPOSE.format("security", "lifetime", "7776001s"), "IV"),
    "security for ever": (PURPOSE.format("security", "lifetime", "99999d"), "IV"),
    "security without an end": (PURPOSE.format("security", "lifetime", "0s"), "IV"),
    "security of no unit": (PURPOSE.format("security", "lifetime", "unlimited"), "IV"),
    "attribution for a day more than a year": (PURPOSE.format("attribution", "lifetime", "366d"), "III"),
    "attribution for a second more": (PURPOSE.format("attribution", "lifetime", "31536001s"), "III"),
    "billing for two years": (PURPOSE.format("billing", "lifetime", "730d"), "IV"),
    "billing without an end": (PURPOSE.format("billing", "enabled", "1"), "IV"),
    "services for a time of the operator's": (PURPOSE.format("services", "lifetime", "30d"), "IV"),
    "location for a time of the operator's": (PURPOSE.format("location", "lifetime", "30d"), "V"),
    "location for longer than a consent may last": (PURPOSE.format("location", "lifetime", "31d"), "V"),
    "attribution for criminal investigation": (PURPOSE.format("attribution", "ground", "penal"), "III"),
    "attribution on no ground": (PURPOSE.format("attribution", "enabled", "1"), "III"),
    "attribution on an empty ground": (PURPOSE.format("attribution", "ground", ""), "III"),
    "attribution on another paragraph": (PURPOSE.format("attribution", "ground", "VI"), "III"),
    "attribution for national security by the gateway's own will": (
        PURPOSE.format("attribution", "ground", "IIIbis"), "III",
    ),
    "attribution without a reference": (
        PURPOSE.format("attribution", "ground", "STAD") + " option enabled '1'\n", "III",
    ),
    "attribution on a ground that is repealed": (
        PURPOSE.format("attribution", "ground", "L336-3") + " option enabled '1'\n option reference 'x'\n", "III",
    ),
    "attribution where nobody answers": (
        "config gateway\n option id 'abcdefghijklmnop'\n option duty 'none'\n"
        + PURPOSE.format("attribution", "ground", "IIbis-3") + " option enabled '1'\n option reference 'x'\n", "III",
    ),
    "a ground for security": (PURPOSE.format("security", "ground", "STAD"), "III"),
    "a ground for billing": (PURPOSE.format("billing", "ground", "IIbis-3"), "III"),
    "a ground for location": (PURPOSE.format("location", "ground", "L336-3"), "III"),
    "a ground in the place of a consent": (PURPOSE.format("services", "ground", "IIbis-3"), "III"),
    "marketing": (PURPOSE.format("marketing", "enabled", "1"), "II"),
    "profiling": (PURPOSE.format("profiling", "enabled", "1"), "II"),
    "criminal investigation, everybody, always": (PURPOSE.format("penal", "enabled", "1"), "II"),
    "research": (PURPOSE.format("research", "enabled", "1"), "II"),
    "a freeze by configuration": (PURPOSE.format("freeze", "enabled", "1"), "II"),
    "consents without anything consented to": (PURPOSE.format("consent", "enabled", "1"), "II"),
    "a misspelt purpose": (PURPOSE.format("securty", "enabled", "1"), "II"),
    "a purpose of no name": ("config purpose\n option enabled '1'\n", "II"),
    "destinations": (PURPOSE.format("security", "destination", "full"), "VI"),
    "names of destinations": (PURPOSE.format("security", "destination", "name"), "VI"),
    "destinations in attribution": (PURPOSE.format("attribution", "destination", "prefix"), "VI"),
    "destinations in billing": (PURPOSE.format("billing", "destination", "none"), "VI"),
    "destinations in services": (PURPOSE.format("services", "destination", "prefix"), "VI"),
    "URLs": (PURPOSE.format("security", "url", "1"), "IV"),
    "server names": (PURPOSE.format("security", "sni", "1"), "IV"),
    "DNS": (PURPOSE.format("security", "dns", "log"), "IV"),
    "payload": (PURPOSE.format("security", "payload", "64"), "IV"),
    "fields of one's own": (PURPOSE.format("security", "fields", "mac destination"), "IV"),
    "a service class of one's own": (PURPOSE.format("security", "class", "dating 203.0.113.0/24"), "IV"),
    "signal strength": (PURPOSE.format("location", "signal", "1"), "V"),
    "location without consent": (PURPOSE.format("location", "consent", "implied"), "V"),
    "services by silence": (PURPOSE.format("services", "consent", "opt-out"), "IV"),
    "a history before an emergency": (PURPOSE.format("location", "history", "4h"), "V"),
    "volume in attribution": (PURPOSE.format("attribution", "volume", "1"), "III"),
    "billing readable on the gateway": (PURPOSE.format("billing", "custody", "device"), "IV"),
    "attribution readable on the gateway": (PURPOSE.format("attribution", "custody", "volatile"), "III"),
    "a higher ceiling": (PURPOSE.format("security", "ceiling", "365d"), "IV"),
    "an answer to authorities by nobody known": (
        "config gateway 'gateway'\n option duty 'police'\n option id 'abcdefghijklmnop'\n", "II",
    ),
}  # fmt: skip


@pytest.mark.parametrize("asked", UNLAWFUL)
def test_what_the_law_refuses_is_refused_by_its_paragraph_and_nothing_is_started(asked, tmp_path, capsys, monkeypatch):
    """L34-II-2: exit 2, one line that names the paragraph, nothing written; never a lower value in its place."""
    text, paragraph = UNLAWFUL[asked]
    path, root = tmp_path / "oubli", tmp_path / "root"
    root.mkdir()
    path.write_text(text if text.startswith("config gateway") else GATEWAY + text)
    monkeypatch.setattr("agent.cli.daemons.process.hold_stop", lambda: None)  # pytest's own process goes on
    assert main(["recorder", "--config", str(path), "--root", str(root)]) == 2
    out, line = capsys.readouterr()
    assert (out, line.count("\n")) == ("", 1)
    assert re.search(rf"\(L34-[IV]+-\d, [^)]*L34-1 {paragraph}\b", line), line
    assert "accepted: " in line
    assert not list(root.iterdir())


def test_at_least_forty_configurations_are_refused():
    assert len(UNLAWFUL) >= 40


ON_MICROPYTHON = """
import json, sys
from agent.__main__ import main
from agent.vault import record
for text in json.loads(sys.stdin.readline()):
    with open({path!r}, "w") as file:
        file.write(text)
    print(main(["recorder", "--config", {path!r}, "--root", {root!r}]))
"""


@pytest.mark.needs("micropython")
def test_micropython_refuses_the_same_in_the_same_words(
    micropython: Interpreter, cpython: Interpreter, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    script = ON_MICROPYTHON.format(path=str(tmp_path / "oubli"), root=str(tmp_path / "root"))
    texts = (
        json.dumps([text if text.startswith("config gateway") else GATEWAY + text for text, _ in UNLAWFUL.values()])
        + "\n"
    )
    done = [one.run("-c", script, input=texts) for one in (micropython, cpython)]
    assert done[0].stdout == done[1].stdout == b"2\n" * len(UNLAWFUL)
    assert done[0].stderr == done[1].stderr
    assert not list((tmp_path / "root").iterdir())


def test_no_environment_variable_is_read_but_the_language():
    """L34-II-2: what a ceiling is can't come from there."""
    asked = []
    for path in sorted((PROJECT / "agent").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            asked += (
                [path.name]
                if isinstance(node, ast.Attribute) and node.attr in {"getenv", "environ", "environb", "putenv"}
                else []
            )
    assert asked == ["verbs.py"] * 3
    assert re.findall(r'getenv\("(\w+)"\)', (PROJECT / "agent/cli/verbs.py").read_text()) == [
        "LC_ALL",
        "LC_MESSAGES",
        "LANG",
    ]


def test_the_table_is_only_read():
    """L34-II-2: no room assigns to a row or to its ceiling, and no row is made outside the table."""
    for path in sorted((PROJECT / "agent").rglob("*.py")):
        text = path.read_text()
        assert not re.search(r"\.ceiling\s*[-+*/|]?=(?!=)", text.replace("self.ceiling = ceiling", "")), path
        assert path.name == "law.py" or not re.search(r"\bPurpose\(|PURPOSES\s*\+?=(?!=)\s*law", text), path


# What a person is shown

LAW = re.sub(r"\s+", " ", (PROJECT / "tests/law/L34-1.md").read_text())


def test_the_words_shown_are_the_articles():
    """Every sentence that `oubli law` quotes stands in the article, letter for letter.

    `freeze` is of another wording and has none.
    """
    for text in [article.RULE, article.CONTENT, *article.WORDS.values()]:
        assert text in LAW
    assert {name for name, text in article.WORDS.items() if not text} == {"freeze"}
    assert set(article.WORDS) == set(TABLE)


def shown(interpreter: Interpreter, folder: Path, text: str, *words: str) -> str:
    (folder / "oubli").write_text(text)
    return (
        interpreter.run("-m", "agent", "law", "--config", folder / "oubli", *words)
        .stdout.decode()
        .replace("\u00a0", " ")
    )


def test_oubli_law_shows_the_table_and_what_is_on(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """As text and as JSON, the same octets on each interpreter."""
    on = GATEWAY + PURPOSE.format("security", "lifetime", "2h")
    rows = json.loads(shown(any_interpreter, tmp_path, on, "--json"))["purposes"]
    (tmp_path / "oubli").write_text(on)
    assert rows == json.loads(json.dumps(article.data(config.load(str(tmp_path / "oubli")))["purposes"]))
    assert [(row["purpose"], row["state"]) for row in rows[:2]] == [("security", "on"), ("attribution", "off")]
    assert rows[0]["lifetime_seconds"] == 7200
    assert rows[0]["words"] in LAW
    text = shown(any_interpreter, tmp_path, on)
    assert "security: on; 2h, at most 90d; volatile" in text
    assert "attribution: off" in text
    assert "the wording in force since 31 July 2021 knows IIbis-3 instead of L336-3 and STAD (L34-III-1)" in text
    off = shown(any_interpreter, tmp_path, GATEWAY + PURPOSE.format("security", "enabled", "0"))
    assert "security: off" in off


EVERYTHING = (
    GATEWAY
    + "".join(f"config purpose '{name}'\n option enabled '1'\n" for name in ("services", "location"))
    + "config purpose 'billing'\n option enabled '1'\n option lifetime '90d'\n option budget '90000000'\n"
    + "config purpose 'attribution'\n option enabled '1'\n option ground '{}'\n option reference 'order 12/2026'\n"
    + " option wording 'repealed'\n option budget '90000000'\nconfig summary\n option rows '256'\n"
)
VENUE = (
    "config notice\n option venue 'Hôtel du Lac'\n option controller 'Lac SARL'\n option contact 'a@b.example'\n"
    " option dpo 'none'\n option page 'wifi.example.org'\n"
)
VENUE += (
    " option custodian 'Étude Martin'\n option services 'conseils sur la ligne'\n option location 'plan des salles'\n"
)


def spaced(text: str) -> str:
    """Return a text with a plain blank between a number and its unit."""
    return text.replace("\u00a0", " ")


def typeset(text: str, language: str) -> str:
    """Return a text as papers have it, with such blanks."""
    return spaced(words.typeset(text, language))


def noticed(read: config.Config, language: str, held: Sequence[str] = ()) -> list[str]:
    """Return the notice's lines with such blanks."""
    return [spaced(line) for line in notice.lines(read, language, held)]


def registered(read: config.Config, language: str) -> list[str]:
    """Return the register's lines with such blanks."""
    return [spaced(line) for line in register.register(read, language)]


def assessed(read: config.Config, language: str) -> list[str]:
    """Return the impact analysis with such blanks."""
    return [spaced(line) for line in impact.impact(read, language)]


SEPARATOR = (("\u202f:", ":"), ("\u202f;", ";"))  # behind a processing's name in the notice, and in the register


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_notice_says_what_this_gateway_does_and_nothing_else(
    any_interpreter: Interpreter, tmp_path: Path, language: str
) -> None:
    """L34-VI-4, law 78-17, art. 48: purposes that are on, for how long, on which paragraph; rights.

    Nothing of what is off.
    """
    at = words.LANGUAGES.index(language)
    on = GATEWAY + PURPOSE.format("security", "lifetime", "7d")
    text = shown(any_interpreter, tmp_path, on, "--notice", language)
    entry = shown(any_interpreter, tmp_path, on, "--register", language)
    said = {name: typeset(line, language) for name, line in notice.TEXTS[language].items()}
    assert said["rule"] + "." in text
    assert text.count(words.BLANK[at]) == entry.count(words.BLANK[at]) == 3
    named = {"security", "addresses", "counting", "objection", "emergency", "page"}
    for told in (text, entry):
        assert {"fr": "7 jours", "en": "7 days"}[language] in told
        assert {
            name for name, names in words.PURPOSES.items() if f"- {names[at]}{SEPARATOR[told is entry][at]}" in told
        } == named
    assert said["ask"] in text
    blank = words.BLANK[at].replace(" ", ":8450/ ", 1)
    assert f"http://{blank} " in text  # where the page is that has no name
    assert said["received"].partition("{}")[0] not in text
    assert said["consent"] not in text
    assert said["duty"].partition("{}")[0] not in text
    off = GATEWAY + PURPOSE.format("security", "enabled", "0") + "config summary\n option enabled '0'\n"
    text = shown(any_interpreter, tmp_path, off, "--notice", language)
    assert said["none"] in text
    assert said["objection"].rpartition("{}")[2] in text
    assert said["against security"].partition("{}")[0] not in text
    entry = shown(any_interpreter, tmp_path, off, "--register", language)
    for told in (text, entry):
        found = {
            name for name, names in words.PURPOSES.items() if f"- {names[at]}{SEPARATOR[told is entry][at]}" in told
        }
        assert found == {"addresses", "emergency", "page"}


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_notice_names_who_makes_out_the_bills(any_interpreter: Interpreter, tmp_path: Path, language: str) -> None:
    """L34-IV-3, L34-VI-4: `billing.biller`, written as he is; where it isn't set, the operator."""
    wording, biller = GATEWAY + EVERYTHING[len(GATEWAY) :].format("IIbis-3") + VENUE, "Cabinet Lefèvre {0} & fils"
    told = {
        "fr": "qui détient les clés\u202f; {}, qui établit les factures",
        "en": "who has the keys; {}, who makes out the bills",
    }[language]
    for option, name in (
        ("", {"fr": "l'exploitant", "en": "the operator"}[language]),
        (f" option biller '{biller}'\n", biller),
    ):
        written = wording.replace(" option lifetime '90d'\n", f" option lifetime '90d'\n{option}")
        for paper in ("--notice", "--register"):
            assert told.format(name) in shown(any_interpreter, tmp_path, written, paper, language)


@pytest.mark.parametrize("ground", law.GROUNDS)
def test_every_field_that_is_kept_is_named_with_its_time_basis_and_recipients(tmp_path: Path, ground: str) -> None:
    """With every purpose on, notice and register name each field of each record format, and who gets it (L34-VI-4).

    In both languages.
    """
    wording = GATEWAY + EVERYTHING[len(GATEWAY) :].format(ground) + VENUE
    (tmp_path / "oubli").write_text(wording)
    read = config.load(str(tmp_path / "oubli"))
    kept = [row for row in law.PURPOSES if row.name != "freeze"]
    assert activities.rows(read) == kept
    for at, language in enumerate(words.LANGUAGES):
        assert set(notice.TEXTS[language]) == set(notice.TEXTS["en"])
        assert set(register.TEXTS[language]) == set(register.TEXTS["en"])
        for told in (noticed(read, language), registered(read, language)):
            for row in kept:
                (line,) = [one for one in told if one.startswith("- " + words.PURPOSES[row.name][at])]
                assert all(typeset(words.FIELDS[field][at], language) in line for field in row.fields)
                assert words.span(article.lifetime(row, read) or row.ceiling, language) in line
                former = row.grounds and ground != law.IN_FORCE
                assert (("RGPD 6.1 ", "GDPR 6.1 ")[at] in line) == (not former)
            text = "\n".join(told)
            assert {"L336-3": "Arcom", "STAD": "ANSSI", "IIbis-3": ("habilite", "entitles")[at]}[ground] in text
            # Never the paragraph of the repealed wording with the ground in force,
            # nor that without a word of its repeal.
            assert ("II bis, 3°" in text) == (ground == law.IN_FORCE)
            repealed = (
                "III (rédaction de 2014 à 2021, abrogée\u202f: aucune base en vigueur)",
                "III (wording of 2014 to 2021, repealed: no basis in force)",
            )[at]
            assert (repealed in text) == (ground != law.IN_FORCE)
            assert "Lac SARL" in text
            assert "Étude Martin" in text
            assert {"fr": "données : aucun", "en": "officer: none"}[language] in text.replace("\u202f", " ")
            # Each language's own blanks
            assert re.findall(r"(?<!\u202f)[;:] " if language == "fr" else r"[ \u202f][;:]", text) == []
        text = "\n".join(noticed(read, language))
        assert typeset(notice.TEXTS[language]["consent"], language) in text
        assert "Hôtel du Lac" in text
        assert ground + ", order 12/2026" in "\n".join(registered(read, language))
    after = law.duration(AFTER)  # its proof, and what refuses an older copy
    assert f"consent: on; as long as its consent says and {after} more, at most 395d" in "\n".join(article.lines(read))


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_impact_analysis_has_what_runs_and_the_measures_for_it(
    any_interpreter: Interpreter, tmp_path: Path, language: str
) -> None:
    """GDPR art. 35: the register's rows, each purpose's need, the three feared events.

    And blanks for what a controller alone can say.
    """
    at = words.LANGUAGES.index(language)
    alone = shown(any_interpreter, tmp_path, GATEWAY + PURPOSE.format("security", "lifetime", "7d"), "--dpia", language)
    (tmp_path / "oubli").write_text(GATEWAY + EVERYTHING[len(GATEWAY) :].format(law.IN_FORCE) + VENUE)
    read = config.load(str(tmp_path / "oubli"))
    everything = "\n".join(assessed(read, language))
    for line in registered(read, language)[1:]:
        assert line in everything
    for measure in impact.MEASURES:
        text = typeset(measure[1 + at].format("2"), language)
        assert text in everything
        assert (text in alone) == (measure[0] in {"", law.VOLATILE, impact.COUNTING})
    assert alone.count("____________________") == 4 + 3 + 6  # who answers for it, and each processing's assessment
    assert everything.count("____________________") == 4 + 1 + 14  # and to where others pass on what they get
    for aim in ("conseils sur la ligne", "plan des salles"):
        assert everything.count(("pour ", "for ")[at] + aim) == 2
    assert set(impact.TEXTS["fr"]) == set(impact.TEXTS["en"])


def test_what_a_record_holds_is_what_the_law_table_says(tmp_path: Path) -> None:
    """A field that a record format gets must get a name and a word.

    The table's fields are those of the formats themselves.
    """
    (tmp_path / "oubli").write_text(GATEWAY)
    (tmp_path / "oubli").write_text(GATEWAY)
    memory = article.memory(config.load(str(tmp_path / "oubli")))
    assert {field for row in law.PURPOSES for field in row.fields} | {
        field for row in memory for field in row[2]
    } == set(words.FIELDS)
    assert {row.name for row in law.PURPOSES if row.name != "freeze"} | {row[0] for row in memory} == set(
        words.PURPOSES
    )
    assert set(record.Record.__slots__) == set(law.SECURITY_FIELDS)


def test_french_and_english_count_and_date_as_they_are_written() -> None:
    """0 and 1 are singular in French; the first of a month is 1er."""
    forms = "jour", "jours"
    assert [words.counted(number, forms, "fr") for number in (0, 1, 2)] == ["0 jour", "1 jour", "2 jours"]
    assert [words.counted(number, ("day", "days"), "en") for number in (0, 1, 2)] == ["0 days", "1 day", "2 days"]
    assert [words.day(second, "fr") for second in (1795737600, 1793491200)] == ["27 novembre 2026", "1er novembre 2026"]
    assert words.typeset("« a » : b ; c ! d ?", "fr") == "«\u202fa\u202f»\u202f: b\u202f; c\u202f! d\u202f?"
    assert words.typeset("a : b", "en") == "a : b"
    for text in (
        "jusqu'à 4_h (5_h en été), le 6_janvier ou le 22",
        "L34-1_IV, R10-14_I et II ; RGPD 6.1_f",
        "600_s",
        "1er_mai",
    ):
        for language in words.LANGUAGES:
            plain = text.replace("_", " ")
            assert words.typeset(plain, language).replace("\u202f", " ") == text.replace("_", "\u00a0")
    for text in ("articles 84 et 85", "loi 78-17 du 6", "12 à 22", "IPv6 finit", "1 (2)", ""):
        assert words.typeset(text, "fr") == text
    assert [words.written(text, "fr") for text in ("(2026-12-01", "2026-13-01", "a-b-c", "Zoé", "2026-12-01x")] == [
        "(1er décembre 2026", "2026-13-01", "a-b-c", "Zoé", "2026-12-01x",
    ]  # fmt: skip


def test_what_guests_read_of_the_venue_is_utf_8_and_bounded(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """No control character, no broken sequence, no long text; nothing of it is shown in an error."""
    for value in (b"H\xf4tel", b"\xc2\x9b1m", b"", b"?", b"-", b"a" * 121):
        (tmp_path / "oubli").write_bytes(GATEWAY.encode() + b"config notice\n option venue '" + value + b"'\n")
        done = any_interpreter.run("-m", "agent", "law", "--config", tmp_path / "oubli", "--notice", "fr", check=False)
        assert done.returncode == 2
        assert done.stderr.endswith(
            b": notice.venue: this isn't accepted (L34-VI-4); accepted: "
            b"UTF-8, at most 120 characters, no control character, no blank at an end, no lone ?, - or none\n"
        )
    assert "Hôtel de l'Été" in shown(
        any_interpreter, tmp_path, GATEWAY + 'config notice\n option venue "Hôtel de l\'Été"\n', "--notice", "fr"
    )


def test_status_says_that_a_ground_is_of_the_former_wording(memory):
    """L34-III-1: in the words of the table; for the ground in force nothing is said."""
    device = Device(memory / "device", None, options="config purpose 'billing'\n option enabled '0'\n")
    section = device.config.sections["security"]
    device.config.purposes["security"] = section
    for ground, said in (("L336-3", True), ("STAD", True), ("IIbis-3", False), (None, False)):
        section.values["ground"] = ground
        text = "\n".join(status.lines(device.recorder.status()))
        assert (f"ground {ground} is of the wording of 2014-2021" in text) == said
        assert ("since 31 July 2021 knows IIbis-3 instead (L34-III-1)" in text) == said


def test_bad_words_are_refused(cpython: Interpreter) -> None:
    done = cpython.run("-m", "agent", "law", "--notice", "de", check=False)
    assert (done.returncode, done.stderr) == (2, b"oubli: --notice: not understood; accepted: fr, en\n")
