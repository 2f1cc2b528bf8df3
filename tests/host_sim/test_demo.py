# SPDX-License-Identifier: Apache-2.0
"""The demonstration, end to end: real recorder, real forwarder, real broker.

And an auditor that finds each fault put in.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host_sim.driver import interpreters
from host_sim.driver.broker import Broker
from host_sim.driver.outcome import Outcome
from host_sim.driver.simulation import Simulation
from host_sim.venue import scenario as scenarios
from host_sim.venue.world import World
from tests.support.interpreters import INTERPRETERS, PROJECT

pytestmark = pytest.mark.needs("mosquitto")
SEED = 3


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Three hours of the café's day around noon, each record kept for one.

    Every path of the demo in a second or two.
    """
    text = (scenarios.FOLDER / "cafe-day.toml").read_text()
    for old, new in (
        ("T03:00:00Z", "T11:00:00Z"),
        ("days = 1\n", "days = 0.125\n"),
        ('"24h"', '"1h"'),
        ("visitors = 200", "visitors = 50"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "noon.toml"
    path.write_text(text)
    return path


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Return an empty folder; what is run gets it for its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def start(temporary: Path, *words: str | Path) -> subprocess.Popen[str]:
    """Start a command of this repository."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        words, cwd=PROJECT, env=os.environ | {"TMPDIR": str(temporary)}, stdout=pipe, stderr=pipe, text=True
    )


def leftovers(temporary: Path) -> list[str]:
    """Return what is left of a run: files in its temporary folder, and processes that were told of one."""
    left = [str(path) for path in temporary.rglob("*")]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(temporary).encode() in words:
            left.append(words.replace(b"\0", b" ").decode())
    return left


def runs(short: Path, interpreter: str) -> list[str | Path]:
    """Return the words that run the short day."""
    return [
        sys.executable,
        "-m",
        "host_sim",
        "run",
        short,
        "--seed",
        str(SEED),
        "--interpreter",
        interpreter,
        "--json",
        "-",
    ]


@pytest.mark.needs("micropython", "mips")
def test_every_interpreter_publishes_the_same_figures_beside_the_truth(short: Path, temporary: Path) -> None:
    """Exit 0 on each; same seed, same JSON; its truths are the world's, its errors within the noise.

    Nothing is left behind.
    """
    names = ("cpython", "micropython", " ".join(INTERPRETERS["mips"].words))
    started = {name: start(temporary, *runs(short, name)) for name in names}
    said = {name: process.communicate(timeout=560) for name, process in started.items()}
    figures = {}
    for name, process in started.items():
        assert process.returncode == 0, said[name]
        figures[name] = json.loads(said[name][0])
        assert figures[name].pop("interpreter") == name
        assert figures[name].pop("seconds") > 0
        for finding in figures[name]["findings"]:
            assert finding.pop("seen") > 0  # files in the spool and health messages follow from real time
    one = figures["cpython"]
    assert all(other == one for other in figures.values())
    assert leftovers(temporary) == []

    world = World(scenarios.load(str(short)), SEED)
    for _ in world.steps():
        pass
    truth = world.truth
    assert one["fates"]["told"] == one["connections"]
    assert (one["connections"], one["terminals"]) == (truth.connections.total(), len(truth.terminals))
    assert one["connections"] > 1000
    assert sum(slot["real"] for slot in one["slots"]) == one["terminals"] > 10
    for slot in one["slots"]:
        assert (slot["defined"], slot["real"]) == (
            truth.learned[slot["start"] * 10**9],
            truth.arrived[slot["start"] * 10**9],
        )
        assert slot["inside"] is (abs(slot["value"] - slot["defined"]) <= slot["half_width"] == 12)
    assert [slot["start"] for slot in one["slots"]] == [
        world.scenario.start // 10**9 + 3600 * hour for hour in range(6)
    ]
    assert all(len(digest) == 64 for digest in one["digests"].values())
    assert any(slot["value"] != slot["defined"] for slot in one["slots"])
    assert max(look["records"] for look in one["vault"]) > 500
    assert one["vault"][-1]["records"] == one["vault"][-1]["bytes"] == 0
    assert one["passed"] is True
    assert all(finding["holds"] for finding in one["findings"])


def test_the_demo_of_a_whole_day_ends_well_and_prints_what_its_figures_say(tmp_path: Path, temporary: Path) -> None:
    """tools/demo with no argument but where to put its figures.

    Exit 0, under 60 s of one processor, no line over 100 columns.
    """
    before = os.times()
    demo = start(temporary, "tools/demo", "--json", tmp_path / "figures.json")
    output, errors = demo.communicate(timeout=560)
    assert demo.returncode == 0, output + errors
    after = os.times()  # processor time: the tests share the machine
    assert after.children_user + after.children_system - before.children_user - before.children_system < 60
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["connections"] > 70_000
    assert len(figures["slots"]) == 50
    assert [one["metric"] for one in figures["daily"]] == 2 * ["presence", "volume", "active", "classes"]
    assert sum(least for least, _ in figures["daily"][0]["defined"]) == figures["terminals"]
    lines = output.splitlines()
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines if line.startswith((" Wed", " Thu"))]
    expected = [[str(slot["value"]), str(slot["defined"]), str(slot["real"])] for slot in figures["slots"][:24]]
    assert [row[2:5] for row in rows] == expected
    for one in figures["daily"][:4]:
        (first,) = [place for place, line in enumerate(lines) if line.startswith(f"{one['metric']} ")]
        text = " ".join(" ".join(lines[first : first + 3]).replace("\u00a0", " ").split())
        assert all(
            f": {value} ({least}" in text for value, (least, _) in zip(one["values"], one["defined"], strict=True)
        )
    for number in (figures["connections"], max(look["records"] for look in figures["vault"])):
        assert f"{number:,}" in output
    assert leftovers(temporary) == []


def simulate(short: Path, variant: str | None = None, interpreter: str = "cpython") -> Outcome:
    """Run the short day in this process, with a daemon broken as `variant` says."""
    return Simulation(
        scenarios.load(str(short)), SEED, interpreter, None, lambda _wall, _connections: None, variant
    ).run()


@pytest.mark.parametrize(
    ("variant", "found"),
    [
        ("lose-one", "the agent counts"),
        ("stop-is-end", "(unlike in end)"),
        ("forget-nothing", " records open past their deadline"),
        ("keep-keys", "octets of keys are left"),
        ("edit-messages", "never arrived"),
        ("log-mac", "a MAC, as text"),
        ("keep-destination", "an address, raw"),
    ],
)
def test_the_auditor_is_not_content_with_a_broken_agent(variant: str, found: str, short: Path) -> None:
    """Each fault fails the run, and the auditor says which it is."""
    outcome = simulate(short, variant)
    assert not outcome.passed
    assert any(found in wrong for finding in outcome.findings for wrong in finding.wrong)


def test_a_run_with_which_the_auditor_is_not_content_exits_1(short: Path, temporary: Path) -> None:
    """The command says what was wrong and how to see it again: here a lifetime that the recorder isn't told of."""
    broken = (
        "import host_sim.driver.gateway_config as s, host_sim.__main__ as m; s._CONFIG = "
        "s._CONFIG.replace('{lifetime}', '9h'); m.app()"
    )
    words = runs(short, "cpython")[3:]
    process = start(temporary, sys.executable, "-c", broken, *words)
    output, errors = process.communicate(timeout=560)
    assert process.returncode == 1, output + errors
    assert json.loads(output)["passed"] is False
    assert "the auditor isn't content" in errors.splitlines()[-1]
    assert leftovers(temporary) == []


@pytest.mark.parametrize(
    ("number", "interpreter"), [(signal.SIGINT, "cpython"), (signal.SIGTERM, "cpython"), (signal.SIGHUP, "cpython")]
)
def test_a_run_that_is_interrupted_leaves_nothing(
    number: signal.Signals, interpreter: str, short: Path, temporary: Path
) -> None:
    """Recorder, forwarder, broker and their folder are gone when the command ends."""
    process = start(temporary, *runs(short, interpreter), "--days", "30")
    deadline = time.monotonic() + 120
    while not list(temporary.glob("*/device/var/run/oubli-live/forwarder.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(leftovers(temporary)) > 10
    process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "oubli-sim: interrupted; everything it made is removed"
    assert leftovers(temporary) == []


@pytest.mark.parametrize(
    "words",
    [
        ["run", "moon"],
        ["run", "cafe-day", "--days", "0"],
        ["run", "cafe-day", "--seed", "x"],
        ["run", "cafe-day", "--interpreter", "abacus"],
        ["run"],
        ["walk"],
        ["list", "--all"],
        [],
    ],
)
def test_bad_use_is_told_in_one_line(words: list[str]) -> None:
    """Exit 2; the line says what is accepted, or where that is said."""
    done = subprocess.run(
        [sys.executable, "-m", "host_sim", *words], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("oubli-sim: ")
    assert "accepted: " in done.stderr


def test_every_command_has_help_and_list_names_what_run_knows() -> None:
    """--help everywhere."""
    for words in (["--help"], *([command, "--help"] for command in ("list", "replay", "run", "new", "demo", "lab"))):
        done = subprocess.run(
            [sys.executable, "-m", "host_sim", *words], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: " in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "host_sim", "list"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == scenarios.names()


def test_an_interpreter_that_ends_at_once_is_an_error_and_not_a_result(short: Path) -> None:
    """The line says what was asked of it; nobody waits for it."""
    with pytest.raises(
        interpreters.NoInterpreterError,
        match="'false' runs no Python; accepted: cpython, micropython, or a command line",
    ):
        simulate(short, interpreter="false")


def test_the_broker_hands_on_what_is_published_and_ends_when_it_is_closed(tmp_path: Path) -> None:
    """A plain connection to its port is answered while it is open, and refused afterwards."""
    import socket  # noqa: PLC0415 (this test's alone)

    broker = Broker(tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", broker.port), 30) as peer:
            peer.sendall(b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01t")
            assert peer.recv(4) == b"\x20\x02\0\0"
            peer.sendall(b"\x32\x0f\0\x07oubli/x\0\x01last")
            assert peer.recv(4) == b"\x40\x02\0\x01"
        deadline = time.monotonic() + 90
        while not broker.messages and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        broker.close()
    assert broker.messages == [("oubli/x", b"last")]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port), 30)
