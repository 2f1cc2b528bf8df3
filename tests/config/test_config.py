# SPDX-License-Identifier: Apache-2.0
"""The configuration: what is accepted means the same everywhere.

Anything else is refused in one line, and nothing is written.

L34-II-2: a setting above a ceiling, an unknown purpose, an unknown field: the agent
refuses to start and names the requirement.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import law
from agent.config import config, uci
from agent.config.options import LISTS, OPTIONS
from agent.config.reader import ConfigError
from agent.purposes import words
from host_sim.venue.portal import NOTICE
from tests.support.interpreters import PROJECT

GATEWAY = "config gateway\n option id 'abcdefghijklmnop'\n"
LAST = "config purpose 'security'\n option lifetime '24h'\n"


def load(tmp_path: Path, text: str | bytes) -> config.Config:
    path = tmp_path / "oubli"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return config.load(str(path))


def test_the_readmes_sample_is_accepted(tmp_path):
    """By both daemons; certificates are PEM, which both MQTT clients read."""
    sample, *_ = re.findall(r"^```\n(config .*?)^```", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    read = load(tmp_path, sample)
    read.require_mqtt()
    assert (read.gateway.duty, read.mqtt.host, read.mqtt.insecure) == ("portal", ("broker.example.org",), False)
    assert read.mqtt.ca.endswith(".pem")


def test_defaults_are_those_of_the_law_and_the_design(tmp_path):
    """Security alone, for 24 h (L34-II table); summary on with epsilon 1.0 up to 2.0 (ANON-5); TLS demanded."""
    read = load(tmp_path, GATEWAY)
    assert list(read.purposes) == ["security"]
    assert read.purposes["security"].lifetime == 24 * 3600
    assert (read.summary.enabled, read.summary.epsilon, read.summary.epsilon_ceiling, read.summary.rows) == (
        True,
        1000,
        2000,
        4096,
    )
    assert read.metrics == {
        "arrivals": (4, 1),
        "presence": (5, 1),
        "volume": (5, 1),
        "active": (40, 3),
        "classes": (10, 1),
    }
    assert (read.mqtt.port, read.mqtt.insecure, read.mqtt.spool_days, read.mqtt.spool_bytes) == (
        8883,
        False,
        7,
        1048576,
    )
    assert (read.gateway.duty, read.gateway.lan, read.gateway.wan) == ("undeclared", ("lan",), ("wan",))


def test_every_enabled_purpose_of_the_table_can_be_switched_off(tmp_path):
    """L34-II-1: no purpose on, no record; summaries still flow."""
    off = "".join(
        f"config purpose '{row.name}'\n option enabled '0'\n" for row in law.PURPOSES if row.name in law.CONFIGURABLE
    )
    read = load(tmp_path, GATEWAY + off)
    assert read.purposes == {}
    assert read.metrics


@pytest.mark.parametrize(
    "text",
    [
        "config gateway\n\toption\tid\tabcdefghijklmnop\n",
        "config gateway 'main'\r\n  option id \"abcdefghijklmnop\" # a comment\r\n",
        "# caf\xe9\nconfig 'gateway'\noption 'id' 'abcdefgh'\"ijklmnop\"",
        "config gateway\noption id abcdefgh''ijklmnop\n\n#\n   # option id 'x'",
    ],
)
def test_quotes_tabs_comments_and_line_ends_are_ucis(tmp_path, text):
    """Comments hold any octet; a quoted piece goes on in the same word; the last line needs no end."""
    assert load(tmp_path, text.encode("latin-1")).gateway.id == "abcdefghijklmnop"


def test_quoted_sharp_and_empty_word_are_words(tmp_path):
    read = load(tmp_path, GATEWAY + "config mqtt\n option host 'a # b'\n option username 'a#b'\n")
    assert (read.mqtt.host, read.mqtt.username) == (("a # b",), "a#b")
    with pytest.raises(ConfigError, match="a text that isn't empty"):
        load(tmp_path, GATEWAY + "config mqtt\n option host ''\n")


UCI = PROJECT / "tests/vectors/uci"


@pytest.mark.parametrize(("text", "value"), json.loads((UCI / "words.json").read_text()))
def test_a_word_is_what_uci_makes_of_it(text, value):
    """Recorded from OpenWrt's own tool. Never another value; what it refuses isn't one word here either."""
    try:
        words = uci.split("\toption x " + text)
    except ValueError:
        assert value is None or ";" in text or text.endswith("\\")  # another command, another line: refused here
    else:
        assert (words[2] if len(words) == 3 else None) == value


def test_a_file_says_what_uci_shows_of_it(tmp_path, interpreter, remotes):
    """Order, quotes, an apostrophe as `uci set` writes it, lists, a section without a name and one with another."""
    recorded = json.loads((UCI / "sections.json").read_text())
    read = load(tmp_path, recorded["file"])
    shown = {}
    for line in recorded["show"]:
        place, _, values = line.removeprefix("oubli.").partition("=")
        if "." in place:
            section, option = place.split(".")
            shown[{"@gateway[0]": "gateway", "broker": "mqtt"}.get(section, section), option] = shlex.split(values)
    for name, section in read.sections.items():
        assert list(section.given) == [option for place, option in shown if place == name]
    for (name, option), values in shown.items():
        parsed = [OPTIONS[name][option][0](value) for value in values]
        assert read.sections[name].values[option] == (tuple(parsed) if option in LISTS else parsed[0]), option
    assert "refused" not in remotes(interpreter.name)("settings", str(tmp_path / "oubli"))


@given(
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8), max_size=5),
    st.sampled_from([" ", "\t", "  \t "]),
)
def test_quoted_words_are_read_back(words, space):
    def quoted(word: str) -> str:
        return "".join('"\'"' if letter == "'" else f"'{letter}'" for letter in word) or "''"

    assert uci.split(space.join(map(quoted, words)) + space + "# no word") == words


def test_lists_gather_and_replace_the_default(tmp_path):
    read = load(tmp_path, GATEWAY + " list lan 'guest'\n list lan 'staff'\n option wan 'wan6'\n")
    assert (read.gateway.lan, read.gateway.wan) == (("guest", "staff"), ("wan6",))


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [("600s", 600), ("10m", 600), ("25h", 90000), ("90d", 90 * 86400), ("7776000s", 7776000)]
)
def test_lifetimes_up_to_the_ceiling_are_taken_to_the_second(tmp_path, lifetime, seconds):
    assert (
        load(tmp_path, GATEWAY + f"config purpose 'security'\n option lifetime '{lifetime}'\n")
        .purposes["security"]
        .lifetime
        == seconds
    )


CANONICAL = [
    GATEWAY,
    GATEWAY + "list lan lan\nlist wan wan\n" + LAST,
    GATEWAY + "config mqtt\noption ca 'x\",\"certificate\":\"y'\noption certificate 'z'\n",
    GATEWAY + 'config mqtt\noption ca x\noption certificate \'y","certificate":"z\'\n',
    GATEWAY + 'config mqtt\noption host "it\'s \\\\ 1"\n',
    GATEWAY + 'list lan a\nlist lan b\nlist lan "\'"\n',
    GATEWAY + "list lan b\nlist lan a\n",
    GATEWAY + "config summary\noption enabled off\n",
]


def test_the_digest_is_the_same_everywhere_and_differs_where_a_value_does(tmp_path, any_interpreter, remotes):
    """A default that is written out changes nothing; no value can pass for another option's."""
    digests = []
    for number, text in enumerate(CANONICAL):
        path = tmp_path / str(number)
        path.write_text(text)
        answer = remotes(any_interpreter.name)("settings", str(path))
        assert answer["canonical"] == config.load(str(path)).canonical
        json.loads(answer["canonical"])
        digests.append(answer["digest"])
    assert digests[0] == digests[1]
    assert len(set(digests[1:])) == len(digests) - 1


def test_the_digest_follows_from_every_option(tmp_path):
    """So that `state` tells of each change: another accepted value of any option gives another canonical form."""
    other = {
        "id": "ponmlkjihgfedcba",
        "lifetime": "48h",
        "path": "/mnt/stick",
        "storage": "/mnt/stick",
        "ground": "STAD",
        "wording": "repealed",
        "upstream_nat": "acknowledged",
        "duty": "none",
        "mode": "connections",
        "profile": "small",
    }
    numbers = {"epsilon": "1001", "metric.epsilon": "249", "epsilon_ceiling": "1500", "port": "1883"}
    seen = {load(tmp_path, GATEWAY).canonical}
    count = 1
    for kind, options in OPTIONS.items():
        head = {"gateway": GATEWAY, "metric": "config metric arrivals\n"}.get(
            kind, f"config {'purpose ' if kind in law.CONFIGURABLE else ''}{kind}\n"
        )
        for name, (parse, default) in options.items():
            if (kind, name) == ("gateway", "id"):
                text = f"config gateway\noption id {other['id']}\n"
            else:
                if name == "destination":
                    continue  # this version takes one value only
                value = (
                    other.get(name)
                    or numbers.get(f"{kind}.{name}")
                    or numbers.get(name)
                    or accepted_value(parse, default)
                )
                text = (head if kind == "gateway" else GATEWAY + head) + f"option {name} {value}\n"
                if name == "enabled":
                    text += {
                        "attribution": (
                            "option ground IIbis-3\noption reference x\noption lifetime 7d\noption budget 200000000\n"
                        ),
                        "billing": "option lifetime 30d\n",
                        "services": NOTICE,
                        "location": NOTICE,
                    }.get(kind, "")
            seen.add(load(tmp_path, text).canonical)
            count += 1
    assert count > 30
    assert len(seen) == count


def accepted_value(parse, default) -> str:
    """Return a value that an option accepts and that isn't its default."""
    for value in ("0", "1", "70", "513", "1500", "300000"):
        try:
            if parse(value) != default and (value,) != default:
                return value
        except ValueError:
            continue
    raise AssertionError(parse)


SECURITY = GATEWAY + "config purpose 'security'\n"
ATTRIBUTION = GATEWAY + "config purpose 'attribution'\n option enabled '1'\n"
NOT_ASCII = "line: a character that isn't printable ASCII"
REFUSED: dict[
    str, tuple[str | bytes | None, str, str, str]
] = {  # name: (text, place after the file name, what was wrong, what is accepted)
    "unknown option": (
        SECURITY + " option colour 'red'\n",
        ":4",
        r"security\.colour: unknown option",
        "budget, destination, enabled, lifetime",
    ),
    "unknown section": (
        GATEWAY + "config firewall\n",
        ":3",
        "section 'firewall': unknown",
        "gateway, purpose, summary, metric, mqtt",
    ),
    "unknown purpose": (
        GATEWAY + "config purpose 'marketing'\n",
        ":3",
        "purpose 'marketing': unknown purpose",
        ", ".join(law.CONFIGURABLE),
    ),
    "purpose without a name": (GATEWAY + "config purpose\n", ":3", "unknown purpose", ", ".join(law.CONFIGURABLE)),
    "purpose that is no setting": (
        GATEWAY + "config purpose 'freeze'\n",
        ":3",
        "purpose 'freeze': unknown purpose",
        "security",
    ),
    "unknown metric": (GATEWAY + "config metric 'names'\n", ":3", "metric 'names': unknown metric", "arrivals"),
    "lifetime above the ceiling": (
        SECURITY + " option lifetime '91d'\n",
        ":4",
        r"security\.lifetime: '91d' is above the ceiling of 90d",
        "10m to 90d",
    ),
    "lifetime a second above": (
        SECURITY + " option lifetime '7776001s'\n",
        ":4",
        "above the ceiling of 90d",
        "10m to 90d",
    ),
    "lifetime of a purpose that is off": (
        GATEWAY + "config purpose 'attribution'\n option lifetime '366d'\n",
        ":4",
        r"attribution\.lifetime: '366d' is above the ceiling of 365d",
        "24h to 365d",
    ),
    "lifetime too short to hold": (SECURITY + " option lifetime '599s'\n", ":4", "'599s' is below 10m", "10m to 90d"),
    "lifetime without a unit": (
        SECURITY + " option lifetime '24'\n",
        ":4",
        r"security\.lifetime: '24' isn't accepted",
        "such as 24h",
    ),
    "negative lifetime": (SECURITY + " option lifetime '-1d'\n", ":4", "'-1d' isn't accepted", "such as 24h"),
    "ground 'penal'": (
        GATEWAY + "config purpose 'attribution'\n option ground 'penal'\n",
        ":4",
        r"attribution\.ground: 'penal' isn't accepted",
        "L336-3, STAD, IIbis-3",
    ),
    "billing without a lifetime": (
        GATEWAY + "config purpose 'billing'\n option enabled '1'\n",
        ":3",
        r"billing\.lifetime: missing",
        "at most 365d",
    ),
    "attribution without a ground": (
        ATTRIBUTION + " option reference 'x'\n",
        ":3",
        r"attribution\.ground: missing",
        "L336-3, STAD",
    ),
    "attribution on a ground of the repealed wording": (
        ATTRIBUTION + " option ground 'STAD'\n option reference 'x'\n",
        ":3",
        r"attribution\.ground: 'STAD' is of the wording repealed on 31 July 2021",
        "IIbis-3, or option wording 'repealed' beside it",
    ),
    "attribution for authorities whom nobody answers": (
        GATEWAY
        + "option duty none\n"
        + ATTRIBUTION[len(GATEWAY) :]
        + " option ground 'IIbis-3'\n option reference 'x'\n",
        ":4",
        r"attribution\.enabled: it is kept for authorities, whom gateway\.duty 'none' leaves without an answer",
        "'0', or the duty of who answers",
    ),
    "attribution without a reference": (
        ATTRIBUTION + " option ground 'STAD'\n",
        ":3",
        r"attribution\.reference: missing",
        "a text",
    ),
    "attribution of connections on the router's own flash": (
        ATTRIBUTION + " option ground 'IIbis-3'\n option reference 'x'\n option mode 'connections'\n",
        ":3",
        r"attribution\.storage: missing: a record a connection doesn't fit",
        "a path where a larger medium is mounted",
    ),
    "wrong type": (
        GATEWAY + "config mqtt\n option port 'https'\n",
        ":4",
        r"mqtt\.port: 'https' isn't accepted",
        "a whole number from 1 to 65535",
    ),
    "number out of range": (
        GATEWAY + "config mqtt\n option port '65536'\n",
        ":4",
        r"mqtt\.port: '65536'",
        "from 1 to 65535",
    ),
    "fraction": (
        GATEWAY + "config summary\n option epsilon '0.5'\n",
        ":4",
        r"summary\.epsilon: '0\.5'",
        "a whole number",
    ),
    "destination": (
        SECURITY + " option destination 'prefix'\n",
        ":4",
        r"security\.destination: 'prefix' isn't accepted",
        "none",
    ),
    "flag that is none": (SECURITY + " option enabled 'maybe'\n", ":4", r"security\.enabled: 'maybe'", "0 or 1"),
    "epsilon ceiling above the guarantee": (
        GATEWAY + "config summary\n option epsilon_ceiling '2001'\n",
        ":4",
        r"summary\.epsilon_ceiling: '2001' isn't accepted(?= \(ANON-5\))",
        "1 to 2000",
    ),
    "epsilon above its ceiling": (
        GATEWAY + "config summary\n option epsilon '1500'\n option epsilon_ceiling '1400'\n",
        ":3",
        r"summary\.epsilon: above summary\.epsilon_ceiling",
        "1400",
    ),
    "metrics above epsilon": (
        GATEWAY + "config summary\n option epsilon '399'\nconfig metric 'active'\n option epsilon '200'\n"
        "config metric 'volume'\n option epsilon '200'\n",
        ":3",
        "metrics need 407 thousandths",
        "at most 399",
    ),
    "a metric that takes all": (
        GATEWAY + "config metric 'volume'\n option epsilon '1000'\n",
        "",
        r"summary\.epsilon: metrics need 1007 thousandths(?= \(ANON-2\))",
        "at most 1000",
    ),
    "a metric of another profile": (
        GATEWAY + "config metric 'volume'\n option epsilon '100'\nconfig summary\n option profile 'small'\n",
        ":3",
        r"metric 'volume': not in profile 'small'(?= \(ANON-2\))",
        "arrivals, presence",
    ),
    "profile": (
        GATEWAY + "config summary\n option profile 'huge'\n",
        ":4",
        r"summary\.profile: 'huge' isn't accepted(?= \(ANON-2\))",
        "large, medium, small, tiny",
    ),
    "metric above the guarantee": (
        GATEWAY + "config metric 'volume'\n option epsilon '2001'\n",
        ":4",
        r"metric\.epsilon: '2001' isn't accepted(?= \(ANON-2\))",
        "1 to 2000",
    ),
    "metric without noise": (
        GATEWAY + "config metric 'volume'\n option epsilon '0'\n",
        ":4",
        r"metric\.epsilon: '0'",
        "1 to 2000",
    ),
    "one metric above the sum": (
        GATEWAY + "config metric 'volume'\n option epsilon '1001'\n",
        "",
        r"summary\.epsilon: metrics need 1008 thousandths(?= \(ANON-2\))",
        "at most 1000",
    ),
    "identity": (
        "config gateway\n option id 'ABCDEFGHIJKLMNOP'\n",
        ":2",
        r"gateway\.id: 'ABCDEFGHIJKLMNOP'",
        "16 characters of a-z and 2-7",
    ),
    "page with dots alone": (
        GATEWAY + "config notice\n option page '..'\n",
        ":4",
        r"notice\.page: '\.\.'",
        "a host name",
    ),
    "page with a dot too many": (
        GATEWAY + "config notice\n option page 'x.y..'\n",
        ":4",
        r"notice\.page: 'x\.y\.\.'",
        "a host name",
    ),
    "page that is no name": (GATEWAY + "config notice\n option page '-'\n", ":4", r"notice\.page: '-'", "a host name"),
    "no identity": ("config gateway\n", "", r"gateway\.id: missing", "16 characters"),
    "empty file": ("", "", r"gateway\.id: missing", "16 characters"),
    "another command": (
        GATEWAY + "config mqtt; option host x\n",
        ":3",
        "line: a ; outside quotes",
        "one command a line",
    ),
    "backslash": (
        GATEWAY + "config mqtt\n option host x\\\n",
        ":4",
        "line: a backslash at the end",
        "a line that ends where it is",
    ),
    "quote left open": (
        GATEWAY + "config mqtt\n option host 'broker\n",
        ":4",
        "line: a quote left open",
        "a closing quote",
    ),
    "option before any section": ("option id 'abcdefghijklmnop'\n", ":1", "line: not UCI", "config TYPE 'NAME'"),
    "option without a value": (GATEWAY + "config mqtt\n option host\n", ":4", "line: not UCI", "option NAME 'VALUE'"),
    "word too many": (GATEWAY + "config mqtt\n option host a b\n", ":4", "line: not UCI", "option NAME 'VALUE'"),
    "unknown keyword": (GATEWAY + "package oubli\n", ":3", "line: not UCI", "config TYPE 'NAME'"),
    "JSON": ('{"gateway": {"id": "abcdefghijklmnop"}}\n', ":1", "line: not UCI", "config TYPE 'NAME'"),
    "section twice": (
        SECURITY + "config purpose 'security'\n",
        ":4",
        r"security: a second section of this name \(the first is in line 3\)",
        "one",
    ),
    "option twice": (
        SECURITY + " option lifetime '1h'\n option lifetime '24h'\n",
        ":5",
        r"security\.lifetime: given twice",
        "one",
    ),
    "option beside list": (
        GATEWAY + " list lan 'a'\n option lan 'b'\n",
        ":4",
        r"gateway\.lan: given twice",
        "one, or lines of list lan",
    ),
    "list where one value goes": (
        GATEWAY + " list duty 'none'\n",
        ":3",
        r"gateway\.duty: not a list",
        "option duty 'VALUE'",
    ),
    "binary junk": (bytes(range(256)) * 8, ":1", "byte 0: a control character", "text"),
    "NUL in the third line": (GATEWAY.encode() + b"config\0mqtt\n", ":3", "byte 51: a control character", "text"),
    "not UTF-8": (
        GATEWAY.encode() + b"config mqtt\n option host 'caf\xe9'\n",
        ":4",
        NOT_ASCII,
        "comments and names may hold others",
    ),
    "an accent where nobody is named": (
        GATEWAY + "config purpose 'attribution'\n option storage '/mnt/é'\n",
        ":4",
        NOT_ASCII,
        "comments and names may hold others",
    ),
    "a name that turns its line": (
        GATEWAY + "config notice\n option venue 'Lac\u202eruo'\n",
        ":4",
        r"notice\.venue: this isn't accepted",
        "no control character",
    ),
    "a name with a control character": (
        GATEWAY + "config notice\n option controller 'Lac\x9b31m'\n",
        ":4",
        r"notice\.controller: this isn't accepted",
        "no control character",
    ),
    "a reference with a control character": (
        ATTRIBUTION + " option reference 'd\x85cret'\n",
        ":5",
        r"attribution\.reference: this isn't accepted",
        "at most 120 characters",
    ),
    "a name that is shown as nothing": (
        GATEWAY + "config notice\n option contact '  '\n",
        ":4",
        r"notice\.contact: this isn't accepted",
        "no blank at an end",
    ),
    "a word for nobody as a name": (
        GATEWAY + "config notice\n option contact 'Aucun'\n",
        ":4",
        r"notice\.contact: this isn't accepted",
        "- or none",
    ),
    "a data protection officer who is nobody in another word": (
        GATEWAY + "config notice\n option dpo 'None'\n",
        ":4",
        r"notice\.dpo: this isn't accepted",
        "- or none",
    ),
    "a page that is none": (
        GATEWAY + "config notice\n option page 'none'\n",
        ":4",
        r"notice\.page: 'none' isn't accepted",
        "a host name or address without a port",
    ),
    "a name that isn't UTF-8": (
        GATEWAY.encode() + b"config notice\n option dpo 'Zo\xe9'\n",
        ":4",
        r"notice\.dpo: this isn't accepted",
        "UTF-8, at most 120",
    ),
    "overlong UTF-8": (GATEWAY.encode() + b"config mqtt\n option host '\xc0\xaf'\n", ":4", NOT_ASCII, "comments"),
    "digits of another script": (GATEWAY + "config mqtt\n option port '\u0663'\n", ":4", NOT_ASCII, "comments"),
    "carriage return in a word": (GATEWAY + "config mqtt\n option host 'a\rb'\n", ":4", NOT_ASCII, "comments"),
    "terminal's control sequence": (GATEWAY + "config mqtt\n option '\x7f' 'x'\n", ":4", NOT_ASCII, "comments"),
    "too large": (
        GATEWAY + "#" * 65536,
        "",
        r"file: can't be read \(file too large\)",
        "a UCI file of at most 65536 bytes",
    ),
    "missing": (None, "", r"file: can't be read \(no such file or directory\)", "a UCI file of at most 65536 bytes"),
    "a folder": ("/", "", r"file: can't be read \(is a directory\)", "a UCI file of at most 65536 bytes"),
}


@pytest.mark.needs("micropython")
@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_configuration_is_refused_in_one_line_and_nothing_is_written(name, tmp_path, cpython, micropython):
    """Exit 2, the same octets on both interpreters.

    File, line or byte, option, what was wrong, requirement, what is accepted.
    """
    text, place, wrong, accepted = REFUSED[name]
    path, root = tmp_path / "oubli", tmp_path / "root"
    root.mkdir()
    if text == "/":
        path.mkdir()
    elif text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    lines = []
    for one in (cpython, micropython):
        done = one.run("-m", "agent", "recorder", "--config", path, "--root", root, check=False)
        assert (done.returncode, done.stdout) == (2, b"")
        lines.append(done.stderr)
    assert lines[0] == lines[1]
    line = lines[0].decode("ascii")
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    pattern = (
        rf"oubli: {re.escape(str(path))}{place}: .*{wrong}.* \((L34-|ANON-)[^)]*\); accepted: .*{re.escape(accepted)}"
    )
    assert re.match(pattern, line), line
    assert not list(root.iterdir())


def test_names_and_documents_are_taken_as_french_writes_them(tmp_path, cpython, micropython):
    """L34-VI-4: venue, controller, contact, DPO, custodian, biller, and the reference of a ground.

    To the octet on each interpreter.
    """
    told = "Hôtel « L\u2019Étoile » du Lac, Œuvres & Cie \u2013 n° 7"
    names = "".join(f" option {name} '{told}'\n" for name in ("venue", "controller", "contact", "dpo", "custodian"))
    text = GATEWAY + "config notice\n" + names + f"config purpose 'billing'\n option biller '{told}'\n"
    text += f"config purpose 'attribution'\n option reference '{told}'\n"
    read = load(tmp_path, text)
    assert {*read.notice.values.values()} == {told, None}
    assert read.sections["billing"].biller == read.sections["attribution"].reference == told
    shown = [
        one.run("-m", "agent", "law", "--config", tmp_path / "oubli", "--notice", "fr").stdout
        for one in (cpython, micropython)
    ]
    assert shown[0] == shown[1]
    assert words.typeset(told, "fr") in shown[0].decode()


def test_the_struck_down_ground_is_refused_with_its_reason(tmp_path):
    """L34-III-1: the NOTA's decision is named."""
    with pytest.raises(ConfigError, match=r"2021-976/977 QPC"):
        load(tmp_path, GATEWAY + "config purpose 'attribution'\n option ground 'penal'\n")


@pytest.mark.parametrize("name", ["services", "location"])
@pytest.mark.parametrize("option", ["lifetime '1h'", "lifetime '400d'", "consent '0'", "everybody '1'", "signal '1'"])
def test_what_is_kept_by_consent_has_no_setting_that_widens_it(tmp_path, name, option):
    """L34-IV-1, L34-V-1: how long is the consent's own, for whom is the consent's own.

    The paragraph stands in the line.
    """
    with pytest.raises(
        ConfigError,
        match=re.escape(f"unknown option (L34-II-2, {law.purpose(name).paragraph}); accepted: budget"),
    ):
        load(tmp_path, GATEWAY + f"config purpose '{name}'\n option enabled 1\n option {option}\n")
    assert name in load(tmp_path, GATEWAY + f"config purpose '{name}'\n option enabled 1\n{NOTICE}").purposes


@pytest.mark.parametrize("name", ["services", "location"])
def test_a_purpose_by_consent_needs_who_asks_and_what_for(tmp_path, interpreter, name):
    """L34-V-2, GDPR 4.11: a consent to nothing that is named is none, so none is asked for.

    What was on without goes, the rest stays.
    """
    path, accepted = tmp_path / "oubli", tmp_path / "accepted"
    on, line = GATEWAY + f"config purpose '{name}'\n option enabled '1'\n", GATEWAY.count("\n") + 1
    script = (
        f"from agent.config.config import in_force\nread = in_force({str(path)!r}, {str(accepted)!r})\n"
        "print(sorted(read.purposes), read.refused)"
    )
    for option, more in (
        ("controller", f"config notice\n option contact 'x'\n option page 'x.y'\n option {name} 'x'\n"),
        ("contact", f"config notice\n option controller 'x'\n option page 'x.y'\n option {name} 'x'\n"),
        ("page", f"config notice\n option controller 'x'\n option contact 'x'\n option {name} 'x'\n"),
        (name, "config notice\n option controller 'x'\n option contact 'x'\n option page 'x.y'\n"),
    ):
        refused = (
            rf":{line}: {name}\.enabled: notice\.{option} isn't set \(L34-V-2, L34-1 I?V[^)]*\); "
            r"accepted: '0', or '1' with it set$"
        )
        with pytest.raises(ConfigError, match=refused):
            load(tmp_path, on + more)
        path.write_text(on + more)
        accepted.write_text(on + more)  # by a version that took it
        assert re.search(f"\\['security'\\] .*{refused}", interpreter.run("-c", script).stdout.decode().strip())
    told = f"config notice\n option controller 'x'\n option contact 'x'\n option page 'x.y'\n option {name} 'y'\n"
    assert name in load(tmp_path, on + told).purposes
    assert load(tmp_path, on + told.replace("x.y", "Wifi.example.org.")).notice.page == "wifi.example.org."  # in full
    shipped = (PROJECT / "boards/common/etc/config/oubli").read_text()
    (word,) = [row for row in shipped.splitlines() if "must be set where services or location is on" in row]
    assert "with controller, contact and page, must" in word


MQTT_REFUSED = {
    "no broker": ("", r"mqtt\.host: missing \(L34-II-2\); accepted: a host name or address"),
    "no authority": (
        "config mqtt\noption host broker\n",
        r"mqtt\.ca: missing \(L34-VI-2\); accepted: a CA file, a broker on this machine, or insecure '1' for a lab",
    ),
    "no machine of ours": (
        "config mqtt\noption host 127.0.0.1.example.org\n",
        r"mqtt\.ca: missing \(L34-VI-2\); accepted: a CA file, a broker on this machine, or insecure '1' for a lab",
    ),
}


BROKERS = {  # host, other options: whether messages go in plain text, and whether to another machine
    ("", "option insecure yes"): (True, False),
    ("localhost", ""): (True, False),
    ("127.8.9.1", ""): (True, False),
    ("::1", ""): (True, False),
    ("::1", "option insecure yes"): (True, False),
    ("localhost", "option ca /etc/ca"): (False, False),
    ("::2", ""): (False, False),
    ("128.0.0.1", ""): (False, False),
    ("localhost.example.org", ""): (False, False),
    ("localhost.example.org", "option insecure yes"): (True, True),
    ("0.0.0.0", "option insecure 1\noption ca /etc/ca"): (True, True),
}


def test_plain_text_is_for_this_machine_or_for_who_says_so(tmp_path, interpreter):
    """Without a CA a broker on loopback is spoken to in plain text, another one only with `insecure` (L34-VI-2).

    And that is said.
    """
    for number, (host, options) in enumerate(BROKERS):
        (tmp_path / str(number)).write_text(f"{GATEWAY}config mqtt\n{host and 'option host ' + host}\n{options}\n")
    script = "from agent.config.config import load\nfor number in range(%d):\n"
    script += " read = load(%r + '/' + str(number)); print(read.plain, read.exposed)"
    done = interpreter.run("-c", script % (len(BROKERS), str(tmp_path)))
    assert done.stdout.decode().splitlines() == [f"{plain} {exposed}" for plain, exposed in BROKERS.values()]


@pytest.mark.needs("micropython")
@pytest.mark.parametrize("name", MQTT_REFUSED)
def test_a_forwarder_without_a_verified_broker_is_refused(name, tmp_path, cpython, micropython):
    """L34-VI-2: TLS is verified unless the lab's word is given."""
    text, wrong = MQTT_REFUSED[name]
    (tmp_path / "oubli").write_text(GATEWAY + text)
    (tmp_path / "root").mkdir()
    words = ("-m", "agent", "forwarder", "--config", tmp_path / "oubli", "--root", tmp_path / "root")
    done = [one.run(*words, check=False) for one in (cpython, micropython)]
    assert done[0].returncode == done[1].returncode == 2
    assert done[0].stderr == done[1].stderr
    assert re.fullmatch(rf"oubli: \S+: {wrong}\n", done[0].stderr.decode())
    assert not list((tmp_path / "root").iterdir())


LETTERS = st.text(st.sampled_from("configuratelsz'\"# \t\n\r\\\x01\x7f\xe9\u0663"), max_size=60)


@given(LETTERS)
@pytest.mark.needs("micropython")
def test_any_text_is_read_alike_or_refused_alike(tmp_path_factory, remotes, text):
    """Never an exception of another kind, never one interpreter that takes what the other refuses."""
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes((GATEWAY + text).encode())
    assert remotes("cpython")("settings", str(path)) == remotes("micropython")("settings", str(path))


@pytest.mark.parametrize(
    ("line", "purposes"),
    [
        ("option nonsense '1'", ["billing", "security"]),
        ("config purpose 'security'\n option lifetime '91d'", ["billing", "security"]),
        ("config purpose 'billing'\n option enabled '1'\n option lifetime '366d'", ["security"]),
    ],
)
def test_a_mistake_stops_nothing_that_was_lawful_but_what_it_is_about(line, purposes, tmp_path, interpreter):
    """L34-II-2: the last accepted one goes on and says why.

    A purpose other than `security` whose own section is wrong doesn't.
    """
    path, accepted = tmp_path / "oubli", tmp_path / "accepted"
    path.write_text(GATEWAY + line + "\n")
    script = "from agent.config.config import ConfigError, in_force\n"
    script += "try:\n    read = in_force(%r, %r)\n    print(sorted(read.purposes), read.refused)\n"
    script = script % (str(path), str(accepted)) + "except ConfigError as failure:\n    print(failure)"
    said = interpreter.run("-c", script).stdout.decode()
    assert said.startswith(f"{path}:")  # nothing was accepted before: it is refused
    accepted.write_text(
        GATEWAY + "config purpose 'billing'\n option enabled '1'\n option lifetime '30d'\n option budget '4194304'\n"
    )
    assert interpreter.run("-c", script).stdout.decode() == f"{purposes} {said}"
    path.write_text(GATEWAY)
    assert interpreter.run("-c", script).stdout.decode() == "['security'] \n"
    path.write_text(GATEWAY + line + "\n")
    accepted.write_text(GATEWAY + "option nonsense '1'\n")  # and one that this program doesn't accept any more is none
    assert interpreter.run("-c", script).stdout.decode() == said


def test_a_purpose_whose_package_is_gone_stops_nothing_else(tmp_path, interpreter):
    """The configuration that was accepted with it is refused now: `security` goes on, and says why."""
    path = tmp_path / "oubli"
    path.write_text(GATEWAY + "config purpose 'services'\n option enabled '1'\n")
    script = (
        "from agent.config import config\nfrom agent.config.config import in_force\n"
        "config.installed = lambda name: False\n"
        f"file = {str(path)!r}\n"
    )
    said = interpreter.run(
        "-c", script + "read = in_force(file, file)\nprint(sorted(read.purposes), read.refused)"
    ).stdout.decode()
    line = path.read_text().splitlines().index("config purpose 'services'") + 1
    assert said.startswith(
        f"['security'] {path}:{line}: services.enabled: the package oubli-purposes isn't installed "
    ), said
