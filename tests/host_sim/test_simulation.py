# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim run` and `new` as a person uses them.

A venue of one's own, its report, a violation and the command that shows it again.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from agent.forwarder import mqtt_paho, mqtt_small
from host_sim.checks.auditor import Auditor
from host_sim.checks.vault_auditor import Segment
from host_sim.driver.broker import Broker
from host_sim.driver.clock_offset import ClockOffset
from host_sim.driver.interpreters import NAMES
from host_sim.driver.launch import ShiftedTime
from host_sim.driver.link import Link
from host_sim.driver.outcome import Outcome
from host_sim.driver.simulation import Simulation
from host_sim.report.report import HOLDS
from host_sim.report.show import violation
from host_sim.trials.mutants import small_scenario
from host_sim.venue import keys
from host_sim.venue import scenario as scenarios
from host_sim.venue.days import DAY, HOUR, SHIFT, Days
from host_sim.venue.device_clock import SECOND, DeviceClock
from host_sim.venue.happenings import SENTENCES
from host_sim.venue.truth import Kept, Notice
from host_sim.venue.world import World
from tests.support.browsers import chromium
from tests.support.interpreters import PROJECT, Interpreter

SEED = 3
BEGINS = 20782 * DAY + SHIFT  # an agent-day's start


def oubli_sim(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it with a folder as the working directory and for temporary files."""
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "host_sim", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


VENUE = """
description = "A bar <b>with</b> a name"
[time]
start = 2026-11-25T18:00:00Z
days = 0.1
[people]
visitors = 90
[gateway]
lifetime = "1h"
[[event]]
what = "uplink lost"
at = 1
minutes = 9
"""


@pytest.mark.needs("mosquitto", "chromium-headless-shell")
def test_a_venue_of_ones_own_runs_and_its_report_shows_it_without_a_network(tmp_path: Path) -> None:
    """Twenty lines, one page: plots with text alternatives, both languages, not one request.

    The recording plays again.
    """
    (tmp_path / "bar.toml").write_text(VENUE)
    wanted = ("--report", "bar.html", "--record", "bar.bin", "--json", "bar.json")
    done = oubli_sim(tmp_path, "run", "bar.toml", *wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the uplink is lost for 9 minutes" in done.stdout
    figures = json.loads((tmp_path / "bar.json").read_text())
    replayed = json.loads(oubli_sim(tmp_path, "replay", "bar.bin", "--json", "-").stdout)
    assert replayed["connections"] == figures["connections"] > 100
    page = (tmp_path / "bar.html").read_text()
    assert page.count("<svg") == page.count("<svg xmlns") == page.count("<title>") - 1 >= 6
    assert "A bar &lt;b&gt;with" in page
    assert "<script" not in page
    assert set(re.findall(r'(?:https?:)?//[^"\s)<]+', page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    _look_at_page(tmp_path / "bar.html", figures)
    assert {path.name for path in tmp_path.iterdir()} == {"bar.toml", "bar.html", "bar.bin", "bar.json"}


def _look_at_page(path: Path, figures: dict) -> None:
    asked: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto(path.as_uri())
        assert page.get_by_text("The auditor is content").is_visible()
        assert not page.get_by_text("L'auditeur est satisfait").is_visible()
        page.get_by_label("Français").check()
        assert page.get_by_text("L'auditeur est satisfait").is_visible()
        assert page.get_by_text(f"{figures['terminals']} terminaux").is_visible()
        assert page.get_by_text("la liaison montante est perdue pendant 9 minutes").is_visible()
        assert not page.get_by_text("the uplink is lost").is_visible()
        assert page.get_by_role("img").count() >= 6
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_every_check_and_whatever_happens_is_told_in_both_languages(tmp_path: Path) -> None:
    """With the same figures; what may happen to a gateway has a sentence."""
    checks = Auditor(tmp_path, World(scenarios.load("hotel-week"), SEED)).report()
    assert set(HOLDS) == {finding.name for finding in checks}
    assert set(keys.EVENTS) - {"clock step"} <= set(SENTENCES)
    for english, french in SENTENCES.values():
        assert english != french
        assert re.findall(r"\{.*?\}", english) == re.findall(r"\{.*?\}", french)


@pytest.mark.long
def test_new_writes_a_scenario_once_and_run_knows_what_can_not_be_written_before_it_runs(tmp_path: Path) -> None:
    """Exit 2, one line each; nothing half-written."""
    assert oubli_sim(tmp_path, "new", "my-bar").returncode == 0
    assert scenarios.load(str(tmp_path / "my-bar.toml")).description == "my-bar"
    before = (tmp_path / "my-bar.toml").read_bytes()
    for words in (
        ["new", "my-bar"],
        ["new", "../bar"],
        ["run", "night", "--json", "nowhere/figures.json"],
        ["run", "night", "--report", "nowhere/report.html"],
        ["run", "night", "--record", "nowhere/record.bin"],
        ["run", "night", "--interpreter", "cat"],
        ["mutants", "--only", "nobody"],
        ["fleet", "--ca", "my-bar.toml"],
        ["fleet", "--broker", "mqtts://127.0.0.1:1", "--ca", "my-bar.toml"],
        ["fleet", "--broker", "mqtt://127.0.0.1:1", "--broker", "mqtt://127.0.0.1:2"],
        ["fleet", "--light", "5", "--broker", "mqtts://127.0.0.1:1", "--ca", "my-bar.toml"],
        ["fleet", "--light", "5", "--outage", "3"],
        ["fleet", "--light", "0"],
        ["fleet", "--light", "5", "--speed", "86400", "--seconds", "86400"],
        ["fleet", "--cut", "0.3"],
        ["lab", "--terminals", "5"],
        ["lab", "--port-blocks", "--record", "record.bin"],
        ["lab", "--port-blocks", "--json", "nowhere/figures.json"],
    ):
        done = oubli_sim(tmp_path, *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), words
        assert "accepted: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["my-bar.toml"]
    assert (tmp_path / "my-bar.toml").read_bytes() == before


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["people", "--report", "x"], r"--report: x: can't be written \(File too large\); accepted: a file"),
        (
            ["run", "cafe-day", "--until", "40", "--record", "x"],
            r"--record: can't be written \(File too large\); accepted: where there is room",
        ),
    ],
)
def test_what_finds_no_room_is_told_in_one_line_and_not_left_half_written(
    words: list[str], line: str, tmp_path: Path
) -> None:
    """No file may grow beyond 1,000 octets, as on a full disk.

    The simulated device's own files are made under the same bound.
    """
    limit = 1000 if words[0] == "people" else 1 << 20
    command = ["prlimit", f"--fsize={limit}", sys.executable, "-m", "host_sim", *words]
    # Python keeps what it could write of a compiled module, even where that is a
    # part: every later import of it would fail.
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {1, 2}
    assert re.fullmatch(f"oubli-sim: {line}", done.stderr.splitlines()[-1]), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("words", [["list"], ["--help"]])
def test_standard_output_that_is_full_is_told_in_one_line(words: list[str], buffered: bool) -> None:
    """Exit 2, whenever Python writes what it holds."""
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "host_sim", *words]
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("oubli-sim: standard output")


def simulate(tmp_path: Path, **options: object) -> Outcome:
    return Simulation(small_scenario("noon", tmp_path), SEED, "cpython", None, **options).run()  # type: ignore[arg-type]


@pytest.mark.needs("mosquitto")
def test_the_first_violation_stops_the_run_and_shows_again_where_the_command_says(tmp_path: Path) -> None:
    """Seed, step, the connection's history in at most ten lines; a run up to that step finds the very same."""
    first = simulate(tmp_path, variant="stop-is-end")
    assert first.violation is not None
    assert 0 < len(first.violation.story) <= 10
    assert any("its last packet" in line for line in first.violation.story)
    told = violation(first, "oubli-sim run noon --seed 3")
    assert f"at step {first.violation.step} " in told
    assert told.endswith(f"oubli-sim run noon --seed 3 --until {first.violation.step}")
    again = simulate(tmp_path, variant="stop-is-end", until=first.violation.step)
    assert again.violation == first.violation
    assert again.run.steps == first.violation.step < simulate(tmp_path).run.steps


@pytest.mark.needs("mosquitto")
def test_another_seed_another_world_and_the_same_one_the_same_outputs(tmp_path: Path) -> None:
    """Messages, opened records, events and figures."""
    figures = [
        Simulation(small_scenario("reboots", tmp_path), seed, "cpython", None).run().figures() for seed in (5, 5, 6)
    ]
    for one in figures:
        assert one.pop("seconds")
        for finding in one["findings"]:  # type: ignore[attr-defined]
            finding.pop("seen")  # files that are there for a moment
    assert figures[0] == figures[1]
    kinds = ("messages", "records", "events")
    assert all(figures[0]["digests"][name] != figures[2]["digests"][name] for name in kinds)  # type: ignore[index]


@pytest.mark.needs("mosquitto", "micropython")
def test_purposes_that_are_off_by_default_live_alike_on_both_interpreters(tmp_path: Path) -> None:
    """Port blocks and bills under a custodian's keys, consents that come and go.

    The same messages, records and events.
    """
    lived = [Simulation(small_scenario("guests", tmp_path), SEED, interpreter, None).run() for interpreter in NAMES]
    assert all(one.passed for one in lived), [one.violation for one in lived]
    assert lived[0].digests == lived[1].digests
    assert len(lived[0].digests["sealed"]) == 64


def test_a_link_that_is_cut_ends_what_it_carries_and_carries_again_when_it_is_back() -> None:
    """As an uplink does, with the broker still there."""
    with socket.create_server(("127.0.0.1", 0)) as peer:
        link = Link(peer.getsockname()[1])
        try:
            with socket.create_connection(("127.0.0.1", link.port), 30) as one:
                other, _ = peer.accept()
                one.sendall(b"there")
                assert other.recv(10) == b"there"
                other.sendall(b"back")
                assert one.recv(10) == b"back"
                link.set(up=False)
                assert one.recv(10) == b""
                other.close()
            with socket.create_connection(("127.0.0.1", link.port), 30) as refused:
                assert _ended(refused)
            link.set(up=True)
            with socket.create_connection(("127.0.0.1", link.port), 30) as again:
                other, _ = peer.accept()
                again.sendall(b"again")
                assert other.recv(10) == b"again"
                other.close()
        finally:
            link.close()
    assert not any(thread.name == "link" for thread in threading.enumerate())


def test_a_link_with_latency_delivers_late_in_order_and_keeps_on_taking() -> None:
    """Each way by itself; twenty that are sent one after the other arrive after one latency, not after twenty.

    So does the end.
    """
    latency, parts = 0.4, [bytes([65 + place]) for place in range(20)]
    with socket.create_server(("127.0.0.1", 0)) as peer:
        link = Link(peer.getsockname()[1], latency)
        try:
            with socket.create_connection(("127.0.0.1", link.port), 60) as one:
                other, _ = peer.accept()
                other.settimeout(60)
                began = time.monotonic()
                for part in parts:
                    one.sendall(part)
                other.sendall(b"meanwhile")
                one.shutdown(socket.SHUT_WR)
                came = other.recv(1)
                first = time.monotonic() - began
                while more := other.recv(100):
                    came += more
                last = time.monotonic() - began
                assert came == b"".join(parts)
                assert latency <= first <= last < latency * len(parts)
                other.close()
        finally:
            link.close()


@pytest.mark.needs("mosquitto")
def test_the_forwarder_waits_for_the_acknowledgement_that_is_under_way(tmp_path: Path) -> None:
    """Both clients: the way there and back, for CONNACK and for PUBACK; nothing is sent again meanwhile."""
    broker, latency = Broker(tmp_path), 0.3
    link = Link(broker.port, latency)
    try:
        kinds: tuple[type[mqtt_paho.Client | mqtt_small.Client], ...] = (mqtt_paho.Client, mqtt_small.Client)
        for place, kind in enumerate(kinds):
            client = kind("127.0.0.1", link.port, f"client-{place}", "oubli/will", b"gone")
            for act in (client.connect, lambda client=client, place=place: client.publish(f"oubli/{place}", b"here")):
                began = time.monotonic()
                act()
                assert time.monotonic() - began >= 2 * latency
            client.close()
        deadline = time.monotonic() + 90
        while broker.count("oubli/1") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert broker.messages == [("oubli/0", b"here"), ("oubli/1", b"here")]
        broker.messages.append(broker.messages[-1])  # as after a cut in the middle of an exchange
        assert (broker.count("oubli/1"), broker.count("oubli/")) == (1, 2)
    finally:
        link.close()
        broker.close()


@pytest.mark.needs("mosquitto")
def test_latency_changes_no_output(tmp_path: Path) -> None:
    """A bar far from its broker: the auditor is content; messages, records and events are a near bar's."""
    far = small_scenario("far", tmp_path)
    lived = [
        Simulation(one, SEED, "cpython", None).run()
        for one in (far, replace(far, network=far.network._replace(latency=0)))
    ]
    assert all(one.passed for one in lived), [one.violation for one in lived]
    assert lived[0].digests == lived[1].digests


STRAYED = """
[time]
start = 2026-11-25T11:00:00Z
days = 0.1
[people]
visitors = 5
[gateway]
lifetime = "1h"
[[event]]
what = "clock step"
at = 0.5
seconds = -400000
"""


@pytest.mark.needs("mosquitto")
def test_the_auditor_sees_what_is_overdue_before_the_forwarder_has_sent_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When trust in the time is back, hours are drawn that should be long gone.

    A slow auditor finds them in the spool all the same.
    """
    (tmp_path / "strayed.toml").write_text(STRAYED)
    step, trusted = Auditor.step, []

    def slow(self: Auditor, *arguments: object, **options: object) -> bool:
        trusted.append(self.world.days.trusted)
        if trusted[-2:] == [False, True]:
            time.sleep(1.6)  # a forwarder looks into its spool each second
        return step(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Auditor, "step", slow)
    outcome = Simulation(scenarios.load(str(tmp_path / "strayed.toml")), SEED, "cpython", None).run()
    assert outcome.passed, outcome.violation
    # At the start, and after the step
    assert [before for before, after in pairwise(trusted) if after and not before] == [False, False]


def _ended(one: socket.socket) -> bool:
    try:
        return one.recv(10) == b""
    except ConnectionResetError:
        return True


def test_a_clock_that_drifts_and_is_set_shows_what_it_showed() -> None:
    """The same integers on both sides: wall clock at a past moment is as it was set then."""
    clock = DeviceClock(1000 * SECOND, 5 * SECOND, 100, 0)
    assert clock.monotonic(1000 * SECOND) == 5 * SECOND
    assert clock.monotonic(1_001_000 * SECOND) == (5 + 1_000_000 + 100) * SECOND
    assert clock.set(2000 * SECOND, 2000 * SECOND) == 1000 * SECOND - SECOND // 10
    assert clock.stepped
    assert clock.wall(1500 * SECOND) == 500 * SECOND + 50_000_000
    assert clock.wall(3000 * SECOND) == 3000 * SECOND + 100_000_000


def test_forwarder_s_wall_clock_is_behind_where_the_gateway_s_is_and_its_time_since_boot_is_not(tmp_path: Path) -> None:
    """What the recorder draws late by its clock isn't overdue for the forwarder, which shares it."""
    offset, clock = ClockOffset(tmp_path / "clock", BEGINS), ShiftedTime(str(tmp_path / "clock"))
    offset.set(BEGINS + HOUR)
    right = clock.wall(), clock.monotonic()
    offset.set(BEGINS + HOUR, BEGINS)
    behind = clock.wall(), clock.monotonic()
    offset.close()
    assert abs(right[0] - (BEGINS + HOUR)) < 60 * SECOND
    assert abs(behind[0] - BEGINS) < 60 * SECOND
    assert abs(behind[1] - right[1]) < 60 * SECOND


def days(*moments: int, boots: tuple[int, ...] = ()) -> Days:
    """Return what the book says after confirmed hours; `jitter` are hours after the agent-day's start, `boots` too."""
    book, clock = Days(), DeviceClock(BEGINS, 41 * SECOND, 0, BEGINS)
    book.boot(clock)
    for moment in sorted({*moments, *boots}):
        now = BEGINS + moment * HOUR
        if moment in boots:
            clock = DeviceClock(now, 41 * SECOND, 0, now)
            book.boot(clock)
        for minutes in (1, 12):
            book.confirm(now + minutes * 60 * SECOND)
        book.pass_time(now + 12 * 60 * SECOND)
    return book


def test_the_book_opens_a_day_for_a_token_and_spends_again_for_a_boot_up_to_the_ceiling() -> None:
    """ANON-5, ANON-6, read independently of the agent: a new device has one token, a further one each six hours."""
    assert (days(0).ledger.tokens, days(0).ledger.spent, days(0).day) == (0, 1000, BEGINS)
    assert days(0, 7).ledger.tokens == 1
    assert days(0, 23).ledger.tokens == 2
    assert days(0, 24).ledger.tokens == 1
    assert days(0, 24).closed == [BEGINS]
    twice, thrice = days(0, boots=(2,)), days(0, boots=(2, 4))
    assert (twice.ledger.spent, twice.day, twice.counted) == (2000, BEGINS, BEGINS + 2 * HOUR)
    assert (thrice.ledger.spent, thrice.day) == (2000, 0)
    assert days(0, 3).slots == {BEGINS + hour * HOUR for hour in range(3)}


def test_a_step_of_more_than_a_day_takes_the_trust_away() -> None:
    """EXP-5."""
    book, clock = Days(), DeviceClock(BEGINS, 41 * SECOND, 0, BEGINS)
    book.boot(clock)
    for minutes in (1, 12):
        book.confirm(BEGINS + minutes * 60 * SECOND)
    assert book.trusted
    clock.set(BEGINS + HOUR, BEGINS + 3 * DAY)
    book.pass_time(BEGINS + HOUR)
    assert not book.trusted


def test_a_segment_is_remembered_by_its_first_and_last_end() -> None:
    """And by no record of it once it is closed: memory stays flat."""
    ends = [Kept(b"", b"", 6, 1, 1, 0, 0, 0, 0, 0, 0, Notice(0), ended=ended) for ended in (5, 3, 9)]
    closed, opened = Segment(ends, 100, final=True), Segment(ends, 100, final=False)
    assert (closed.first, closed.last, closed.count, closed.claims) == (3, 9, 3, [])
    assert opened.claims == ends


@pytest.mark.needs("mosquitto")
def test_a_fleet_of_real_forwarders_delivers_everything_over_an_outage_and_leaves_nothing(tmp_path: Path) -> None:
    """Forty gateways, an agent-day's messages each, three seconds without the broker in the middle."""
    words = ("fleet", "--gateways", "40", "--seconds", "6", "--ramp", "2", "--outage", "3", "--json", "-")
    done = oubli_sim(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["gateways"], figures["messages"], figures["arrived"], figures["whole"]) == (40, 1120, 1120, True)
    assert figures["latency_s"]["p50"] >= 0
    assert figures["failed_connections"] > 0  # the outage was one
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://broker", "mqtt://", "mqtts://broker", "mqtt://broker:x", "mqtt://127.0.0.1:1"])
@pytest.mark.long
def test_a_broker_that_is_none_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    """What is accepted is said; the last one isn't there."""
    for count in ("--gateways", "--light"):
        done = oubli_sim(tmp_path, "fleet", count, "1", "--broker", url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "accepted: " in done.stderr


INTERRUPTED = (
    ("oubli-sim", signal.SIGINT, ["-m", "host_sim", "mutants", "--only", "spool-without-bound"]),
    ("oubli-sim", signal.SIGINT, ["-m", "host_sim", "fleet", "--gateways", "20", "--seconds", "60"]),
    ("oubli-sim", signal.SIGINT, ["-m", "host_sim", "fleet", "--light", "20", "--seconds", "60"]),
    ("oubli-sim", signal.SIGTERM, ["-m", "host_sim", "run", "hotel-week"]),
    ("oubli-sim", signal.SIGINT, ["-m", "host_sim", "search", "--seed", "9", "--json", "-"]),
    ("tools/soak", signal.SIGTERM, ["-m", "tools.soak", "--trial", "sim"]),
)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(("who", "number", "words"), INTERRUPTED)
def test_what_is_interrupted_leaves_no_files_and_no_processes(
    who: str, number: signal.Signals, words: list[str], tmp_path: Path
) -> None:
    """SIGINT or SIGTERM in the middle: exit 130, an empty temporary folder, nobody of its processes left.

    What goes on for hours gives the figures of what it has done.
    """
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until_it_runs(process, tmp_path)
    process.send_signal(number)
    figures, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert not {"search", "tools.soak"}.intersection(words) or json.loads(figures)["interrupted"]
    assert errors.splitlines()[-1] == f"{who}: interrupted; everything it made is removed"
    assert list(tmp_path.iterdir()) == []
    assert _who_knows(tmp_path) == []


def _lie(folder: Path, name: str) -> list[Path]:
    """Return the files of a name, of folders that come and go."""
    return [Path(place) / name for place, _, names in os.walk(folder) if name in names]


def _until_it_runs(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 90
    while not _lie(folder, "forwarder.json") and not any(
        "New client" in log.read_text() for log in _lie(folder, "mosquitto.log") if log.parent.name == "broker-0"
    ):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _who_knows(folder: Path) -> list[str]:
    """Return the command lines in which a folder is named."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_text().replace("\0", " "))
    return [line for line in lines if str(folder) in line]


@pytest.mark.needs("mosquitto", "setpriv")
def test_what_is_killed_leaves_no_processes(tmp_path: Path, interpreter: Interpreter) -> None:
    """SIGKILL in the middle: recorder, forwarder and broker end with it."""
    words = [sys.executable, "-m", "host_sim", "run", "hotel-week", "--interpreter", interpreter.name]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        words, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    _until_it_runs(process, tmp_path)
    assert len(_who_knows(tmp_path)) == 3
    process.kill()
    process.wait()
    deadline = time.monotonic() + 90
    while left := _who_knows(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.long
def test_what_is_drawn_lies_near_what_the_sources_measured(tmp_path: Path) -> None:
    """Each row of `oubli-sim people` names its source, or says that it is ours."""
    done = oubli_sim(tmp_path, "people", "--report", "people.html", "--json", "people.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "people.json").read_text())
    assert all(row["near"] for row in rows)
    assert sum(row["source"] == "ours" for row in rows) == 1
    assert len(rows) == 9
    assert "<svg" in (tmp_path / "people.html").read_text()


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("year", [2019, 2044])
def test_a_scenario_may_be_of_any_year(year: int, tmp_path: Path) -> None:
    """The forwarder's clocks are the machine's, shifted.

    Its time since boot must not lie before a boot, or in a far future.
    """
    (tmp_path / "then.toml").write_text(VENUE.replace("2026", str(year)))
    assert Simulation(scenarios.load(str(tmp_path / "then.toml")), SEED, "cpython", None).run().passed
