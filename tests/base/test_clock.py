# SPDX-License-Identifier: Apache-2.0
"""What the device believes about the time (EXP-4, EXP-5).

Each rule alone, then histories of lying clocks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from agent.base import clock, time_lines
from agent.summary.ledger import Ledger
from agent.vault import keys, ring
from host_sim.trials import devices, histories
from host_sim.trials.held_records import HeldRecords, HistoryError
from tests.support.interpreters import INTERPRETERS, PROJECT, Remote

SECOND, HOUR, DAY = 10**9, 3600 * 10**9, 86400 * 10**9
NOW = 1_800_000_000
IN_2040 = 2_208_988_800
BOOT, LATER_BOOT = "a1" * 16, "b2" * 16
HISTORIES, BATCHES = 150, 3
ENOUGH = 250  # histories among which one finds a fault


class Device:
    """A recorder in another interpreter; `wall` and `since` in seconds; `gateway` is a line more of its section."""

    def __init__(
        self, ask: Remote, root: Path, *, wall: float = NOW, since: float = 1000, boot: str = BOOT, gateway: str = ""
    ) -> None:
        self.ask, self.root, self.wall, self.since, self.boot = ask, root, wall, since, boot
        config = root / "etc/config/oubli"
        if not config.exists():
            config.parent.mkdir(parents=True)
            config.write_text(
                f"config gateway\n option id 'aaaaaaaaaaaaaaaa'\n{gateway}\nconfig summary\n option rows '64'\n"
            )
            written(config, NOW - 30 * 86400)
        self.start()

    def start(self) -> None:
        self.ask("recorder_open", str(self.root / "etc/config/oubli"), str(self.root), self.boot, *self.clocks(), "")

    def clocks(self) -> tuple[int, int]:
        return int(self.wall * SECOND), int(self.since * SECOND)

    def steps(self, *steps: list) -> dict:
        return self.ask("recorder", [["time", *self.clocks()], *steps])

    def go(self, seconds: float, *, stepped: float = 0) -> str:
        """Let time pass, and step the wall clock; returns the state of the clock."""
        self.since += seconds
        self.wall += seconds + stepped
        return self.steps()["status"]["clock"]

    def confirm(self) -> str:
        return self.steps(["confirm"])["status"]["clock"]

    def trust(self) -> None:
        self.confirm()
        self.go(600)
        assert self.confirm() == "trusted"

    def restart(self) -> str:
        self.ask("recorder_close")
        self.start()
        return self.steps()["status"]["clock"]

    def ledger(self) -> dict:
        return json.loads((self.root / "srv/oubli/ledger").read_text())


def written(path: Path, second: float) -> None:
    """Let a file and its folder have been written at a time."""
    for one in (path, path.parent):
        os.utime(one, (second, second))


@pytest.fixture
def device(interpreter, remotes, tmp_path):
    """Give a recorder that has just started, long after its configuration was written."""
    made = Device(remotes(interpreter.name), tmp_path)
    yield made
    made.ask("recorder_close")


def test_floor_is_the_latest_of_build_configuration_and_high_water_mark(tmp_path, monkeypatch):
    config = tmp_path / "etc/config/oubli"
    config.parent.mkdir(parents=True)
    config.write_text("config gateway\n option id 'aaaaaaaaaaaaaaaa'\n")
    inner = config.parent / "inner/file"
    inner.parent.mkdir()
    inner.write_text("")
    for one, second in ((inner, NOW - 50), (config, NOW - 100)):
        written(one, second)
    assert clock.newest(str(config.parent)) == NOW - 50
    assert clock.newest(str(tmp_path / "absent")) == 0
    device = devices.Here()
    floors = {}
    for built, mark in ((0, 0), (NOW - 40, 0), (NOW - 40, NOW - 30), (0, NOW - 90)):
        monkeypatch.setattr("agent.recorder.recorder.BUILT", built)
        ledger = tmp_path / "srv/oubli/ledger"
        for file in ledger.parent.glob("ledger*"):
            file.unlink()
        if mark:
            ledger.parent.mkdir(parents=True, exist_ok=True)
            Ledger(str(ledger), print).hour(mark)
        device.open(config, tmp_path, BOOT, NOW * SECOND, HOUR)
        floors[built, mark] = device.recorder.clock.floor
        device.close()
    assert floors == {
        (0, 0): NOW - 50,
        (NOW - 40, 0): NOW - 40,
        (NOW - 40, NOW - 30): NOW - 30,
        (0, NOW - 90): NOW - 50,
    }


def test_clock_is_unknown_where_nothing_is_known_and_at_the_floor_where_something_is(interpreter, remotes, tmp_path):
    device = Device(remotes(interpreter.name), tmp_path)
    assert device.steps()["status"]["clock"] == "floor"
    device.ask("recorder_close")
    config = tmp_path / "config"
    config.write_text((tmp_path / "etc/config/oubli").read_text())
    device.ask("recorder_open", str(config), str(tmp_path / "bare"), BOOT, *device.clocks(), "")
    assert device.steps()["status"]["clock"] == "unknown"
    device.ask("recorder_close")


def test_a_declared_hardware_clock_is_believed_from_the_boot_on_where_it_comes_soon_after_the_floor(
    interpreter, remotes, tmp_path
):
    """EXP-5: a battery that has run out tells 1970, a damaged one 2040, by which all that is sealed would be due.

    A day's step takes its trust away as anybody's.
    """
    states = []
    for number, wall in enumerate((NOW, NOW + 60 * 86400, 0, NOW + 64 * 86400, IN_2040)):
        device = Device(
            remotes(interpreter.name), tmp_path / str(number), wall=wall, gateway=" option hardware_clock '1'"
        )
        states.append(device.steps()["status"]["clock"])
        states.append(device.go(1, stepped=2 * 86400))
        device.ask("recorder_close")
    assert states == ["trusted", "floor"] * 2 + ["floor", "floor"] * 3


def test_two_confirmations_ten_minutes_apart_make_trust(device):
    assert device.confirm() == "floor"
    device.go(599.9)
    assert device.confirm() == "floor"
    device.go(0.1)
    assert device.confirm() == "trusted"


def test_a_time_before_the_floor_is_not_believed(device):
    device.go(1, stepped=-31 * 86400)
    answer = device.steps(["confirm"])
    assert any("not believed (EXP-5)" in line for line in answer["log"])
    device.go(600)
    assert device.confirm() == "floor"


def test_trust_lasts_over_a_restart_of_the_process_and_not_over_a_boot(device):
    device.confirm()
    assert device.restart() == "floor"
    device.go(600)
    assert device.confirm() == "trusted"  # the first confirmation was remembered too
    assert device.restart() == "trusted"
    device.boot, device.since = LATER_BOOT, 20
    assert device.restart() == "floor"


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"boot":"' + BOOT.encode() + b'"}', b"x" * 5000, b"[" * 2000])
def test_a_clock_file_that_cannot_be_read_means_no_trust(device, junk):
    device.trust()
    path = device.root / "var/run/oubli/clock"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(junk)
    assert device.restart() == "floor"


@pytest.mark.parametrize(
    ("step", "state"), [(86399, "trusted"), (-86399, "trusted"), (86401, "floor"), (-86401, "floor")]
)
def test_a_step_of_more_than_a_day_takes_the_trust_away_until_it_is_confirmed_twice(device, step, state):
    device.trust()
    assert device.go(1, stepped=step) == state
    assert device.restart() == state
    if step > 86400:
        device.confirm()
        device.go(600)
        assert device.confirm() == "trusted"


def test_steps_add_up_until_the_time_is_confirmed(device):
    device.trust()
    assert device.go(1, stepped=50000) == "trusted"
    assert device.go(1, stepped=50000) == "floor"


def test_a_step_while_the_process_was_down_is_seen(device):
    device.trust()
    device.wall += 2 * 86400
    assert device.restart() == "floor"


def test_high_water_mark_moves_only_while_trusted(device):
    device.go(7200)
    assert device.ledger()["high_water"] == 0
    device.trust()
    device.go(3600)
    mark = device.ledger()["high_water"]
    assert 0 <= device.wall - mark <= 3600
    device.go(1, stepped=10 * 86400)
    device.go(7200)
    assert device.ledger()["high_water"] == mark


def test_powered_on_hours_are_counted_once_whatever_restarts_and_each_boot_adds_one(device):
    """EXP-4: hours full since boot, not since the process started.

    Expiry reads one more for each boot, tokens don't.
    """
    device.since = 1000
    device.restart()
    for _ in range(9):
        device.go(1000)
        device.restart()
    device.go(900)
    assert (device.ledger()["hours"], device.ledger()["uncounted"], device.since) == (3, 1, 10900)
    assert device.steps()["status"]["summary"]["powered_on_hours"] == 4
    device.boot, device.since = LATER_BOOT, 7300  # two hours before anybody counted
    device.restart()
    assert (device.ledger()["hours"], device.ledger()["uncounted"]) == (3, 1 + 1 + 2)


# The kernel's stamps after a step


class Times:
    """A time source that is told."""

    boot = BOOT

    def __init__(self, wall: float, since: float) -> None:
        self.now, self.since = wall, since

    def wall(self) -> int:
        return int(self.now * SECOND)

    def monotonic(self) -> int:
        return int(self.since * SECOND)

    def go(self, watch: clock.Clock, seconds: float, stepped: float = 0) -> None:
        self.since += seconds
        self.now += seconds + stepped
        watch.tick()


@pytest.fixture
def times(tmp_path):
    """Give a source that shows 1970, and a clock over it."""
    source = Times(100, 100)
    return source, clock.Clock(source, str(tmp_path / "clock"), str(tmp_path / "lines"), 0)


def restated(watch: clock.Clock, start: float, stop: float) -> tuple[float, float]:
    begun, ended = watch.lines.restate(int(start * SECOND), int(stop * SECOND))
    return begun / SECOND, ended / SECOND


def test_stamps_from_before_a_step_are_restated(times):
    """A device that boots in 1970: a connection that began before the time was set lasts as long as it did."""
    source, watch = times
    assert not watch.lines.stepped
    source.go(watch, 50, NOW)
    assert watch.lines.stepped
    source.go(watch, 30)
    assert restated(watch, 120, 140) == (NOW + 120, NOW + 140)  # before and before
    assert restated(watch, 120, NOW + 175) == (NOW + 120, NOW + 175)  # before and after
    assert restated(watch, NOW + 160, NOW + 175) == (NOW + 160, NOW + 175)  # after and after
    source.go(watch, 1, -NOW)
    assert restated(watch, NOW + 160, NOW + 175) == (160, 175)  # before a step back
    source.go(watch, 30)
    assert restated(watch, NOW + 160, 205) == (160, 205)  # a start from before a step back
    assert restated(watch, 3 * NOW, 205) == (0, 205)  # a start that nothing explains


def test_a_time_that_another_reading_showed_is_none_that_records_are_certain_of(times):
    """What was recorded before the clock was set right, or while it was set, is of another time (L34-II-6)."""
    source, watch = times

    def certain(begin: float, end: float) -> bool:
        return watch.certain(int(begin * SECOND), int(end * SECOND))

    source.go(watch, 50, NOW)  # shows NOW + 150
    for _ in range(2):
        watch.confirm()
        assert certain(NOW + 150, NOW + 151) == watch.trusted
        source.go(watch, 600)
    assert [certain(100, 149), certain(90, 100), certain(151, 160), certain(NOW + 150, NOW + 750)] == [
        False,
        False,
        True,
        True,
    ]
    source.go(watch, 10, 3600)  # somebody sets it ahead
    source.go(watch, 100)
    assert watch.trusted
    assert [certain(NOW + 150, NOW + 1350), certain(NOW + 4970, NOW + 4971)] == [True, False]
    source.go(watch, 10, -3600)
    watch.confirm()
    source.go(watch, 3600)
    assert [certain(NOW + 4950, NOW + 4960), certain(NOW + 5200, NOW + 5300)] == [False, True]


def test_an_ambiguous_stamp_is_the_older_one_while_its_message_may_be_on_the_way(times):
    source, watch = times
    source.go(watch, 100)  # shows 200
    source.go(watch, 1, -61)  # shows 140
    source.go(watch, 40)  # shows 180
    assert restated(watch, 150, 170) == (89, 109)  # 170 came twice: 71 s ago and 10 s ago
    source.go(watch, 700)  # shows 880: what was stamped before the step has arrived
    assert restated(watch, 850, 870) == (850, 870)


def test_an_end_is_stamped_by_the_clock_of_when_it_is_told(times):
    """The kernel writes how long ago it was: before the step, by the clock that was set in it."""
    source, watch = times
    source.go(watch, 100)  # shows 200: 40 s after a connection has timed out
    source.go(watch, 1, 20)  # shows 221
    source.go(watch, 10)  # shows 231: it is told of
    assert restated(watch, 150, 231 - 51) == (170, 180)


def test_what_no_line_explains_ended_as_early_as_the_kernel_can_have_told_of_it(times):
    """A stamp of no time line that is remembered, such as one from the future."""
    source, watch = times
    for step in range(2 * time_lines.LINES):
        source.go(watch, 10, 1000 * (-1) ** step)
    start, stop = restated(watch, 5, 10**9)
    assert stop == source.now - time_lines.DELIVERY / SECOND
    assert start == source.now - source.since
    assert watch.lines.doubt == watch.source.monotonic()


def test_a_process_that_had_to_wait_between_two_clocks_sees_no_step(times):
    source, watch = times
    read = source.wall

    def waited() -> int:
        source.wall = read
        wall = read()
        source.since, source.now = source.since + 3, source.now + 3
        return wall

    source.wall = waited
    assert watch.tick() == 0
    assert not watch.lines.stepped


def test_slewing_is_no_step(times):
    source, watch = times
    for _ in range(100):
        source.go(watch, 1, 0.08)
    assert not watch.lines.stepped


def test_few_time_lines_are_remembered(times, tmp_path):
    source, watch = times
    for step in range(100):
        source.go(watch, 10, 1000 * (-1) ** step)
    assert len(json.loads((tmp_path / "lines").read_text())["lines"]) == time_lines.LINES


# The time service's hooks


def hook(path: Path, tmp_path: Path, **variables: str) -> list[str]:
    """Run a script with an `oubli` that writes down how it was called; returns the calls."""
    called = tmp_path / "called"
    called.write_text("")
    for name, text in (
        ("oubli", f'echo "$*" >> {called}'),
        ("sleep", "kill $PPID"),
        ("chronyc", 'test "$*" = "-n waitsync 1" && exit $SYNC'),
    ):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{text}\n")
        command.chmod(0o755)
    words = ["sh", "-c", f". {path}"]
    subprocess.run(words, env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"} | variables, check=False, timeout=240)
    return called.read_text().splitlines()


@pytest.mark.parametrize(
    ("action", "stratum", "calls"),
    [
        ("stratum", "3", 1),
        ("periodic", "3", 1),
        ("step", "3", 0),
        ("unsync", "16", 0),
        ("periodic", "16", 0),
        ("periodic", "", 0),
    ],
)
def test_ntpd_hotplug_confirms_only_what_ntpd_knows(action, stratum, calls, tmp_path):
    (tmp_path / "doctor").touch()
    assert hook(ntp_hook(tmp_path), tmp_path, ACTION=action, stratum=stratum) == ["ntp"] * calls


@pytest.mark.parametrize(("verdict", "calls"), [("none", 1), ("yesterday", 1), ("today", 0)])
def test_ntpd_hotplug_has_the_gateway_examined_once_a_day(verdict, calls, tmp_path):
    """So that health tells what doctor finds in the configuration, whether anybody looks or not."""
    noon = 1_795_780_800
    if verdict != "none":
        (tmp_path / "doctor").touch()
        os.utime(tmp_path / "doctor", (noon - 86400 * (verdict == "yesterday"),) * 2)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/date").write_text(
        f'#!/bin/sh\n[ "$1" = -r ] || set -- -d @{noon} "$@"\nexec {shutil.which("date")} "$@"\n'
    )
    (tmp_path / "bin/date").chmod(0o755)
    assert hook(ntp_hook(tmp_path), tmp_path, ACTION="periodic", stratum="16") == ["doctor"] * calls


def ntp_hook(folder: Path) -> Path:
    """Return the hook with its verdict in a folder of the test's."""
    text = (PROJECT / "boards/common/etc/hotplug.d/ntp/50-oubli").read_text()
    (folder / "hook").write_text(text.replace("/var/run/oubli-root/", f"{folder}/"))
    return folder / "hook"


@pytest.mark.parametrize(("found", "calls"), [("0", 1), ("1", 0)])
def test_chrony_is_asked_whether_it_follows_a_source(found, calls, tmp_path):
    assert hook(PROJECT / "boards/common/usr/sbin/oubli-chrony", tmp_path, SYNC=found) == ["ntp"] * calls


def test_the_verb_of_the_hook_confirms_the_time(interpreter, tmp_path):
    """`oubli ntp` with nobody there says so; the live call is tested with the control socket."""
    done = interpreter.run("-m", "agent", "ntp", "--root", tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().endswith("the recorder isn't running\n")


# Histories


@pytest.fixture
def in_memory(tmp_path):
    """Give a folder that isn't there yet, on tmpfs where there is one: a history syncs its ledger often."""
    memory = Path("/dev/shm")  # noqa: S108 (a folder of its own below)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder) / "device"


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.long
def test_no_history_of_clocks_keeps_a_record_too_long_or_loses_one_in_silence(batch, in_memory):
    """EXP-1, EXP-4, EXP-5: never late against the record's true age; what goes early is counted.

    Trust and hours are right.
    """
    looks = 0
    for number in range(HISTORIES // BATCHES):
        looks += histories.live(batch * HISTORIES + number, devices.Here(), in_memory).looks
    assert looks > HISTORIES // BATCHES * histories.STEPS


def test_a_record_from_before_a_step_does_not_join_a_window_of_after_it(in_memory):
    """The same name, two spans of time: the connection that ended 45 s earlier goes when it must."""
    in_memory.mkdir()
    life = histories.History(0, in_memory, devices.Here())
    life.text, life.records = "20m", HeldRecords(in_memory, "20m", life.clocks)
    life.power_on(first=True)
    life.pass_time(300 * SECOND)
    life.pass_time(-life.clocks.shown % (60 * SECOND) + 36 * SECOND)
    first, second = life.clocks.t - 31 * SECOND, life.clocks.t - 76 * SECOND
    life.end(first, first)
    life.clocks.show(life.clocks.shown + 50 * SECOND)
    life.clocks.t += 2 * SECOND
    life.look()
    life.end(second, second)
    assert life.records.readable() == {1, 2}
    life.wait_for_deadlines()
    life.device.close()


def test_a_stamp_that_two_time_lines_may_have_made_takes_no_more_than_their_difference(in_memory):
    """After a step back of 100 s the kernel's stamps come again.

    The record counts as the older, and a history knows by how much.
    """
    in_memory.mkdir()
    life = histories.History(0, in_memory, devices.Here())
    life.text, life.records = "20m", HeldRecords(in_memory, "20m", life.clocks)
    life.power_on(first=True)
    life.pass_time(300 * SECOND)
    life.move(life.clocks.shown - 100 * SECOND)
    life.pass_time(40 * SECOND)
    end = life.clocks.t - 31 * SECOND
    life.end(end, end)
    assert abs(life.records.doubt[1] - 100 * SECOND) < SECOND
    assert life.records.readable() == {1}
    life.pass_time(life.records.lifetime - 90 * SECOND - 31 * SECOND)
    assert life.records.readable() == set()
    life.records.doubt[1] = 0
    with pytest.raises(HistoryError, match="1 records are gone before their time, 0 are said to be"):
        life.look()
    life.device.close()


def test_an_end_before_a_step_that_is_told_after_it_makes_no_record_late(interpreter, in_memory):
    """By a reading of 20 s later it would be of the next window."""
    in_memory.mkdir()
    life = histories.History(0, in_memory, Remotely(interpreter.name))
    life.text, life.records = "20m", HeldRecords(in_memory, "20m", life.clocks)
    life.power_on(first=True)
    life.pass_time(300 * SECOND)
    life.pass_time(-life.clocks.shown % (60 * SECOND) + 30 * SECOND)
    end = life.clocks.t
    life.pass_time(60 * SECOND)
    life.move(life.clocks.shown + 20 * SECOND)
    life.pass_time(10 * SECOND)
    life.end(end, end, told=life.clocks.t)
    assert life.records.readable() == {1}
    life.wait_for_deadlines()
    life.device.kill()


class Remotely:
    """The recorder of a history in another interpreter, started anew for each process of the device."""

    def __init__(self, interpreter: str) -> None:
        self.name = interpreter
        self.remote: Remote | None = None

    def open(self, config: Path, root: Path, boot: str, wall: int, monotonic: int) -> None:
        self.remote = self.remote or Remote(INTERPRETERS[self.name])
        self.remote("recorder_open", str(config), str(root), boot, wall, monotonic, "")

    def steps(self, *steps: list) -> dict:
        assert self.remote is not None
        return self.remote("recorder", list(steps))["status"]

    def close(self) -> None:
        assert self.remote is not None
        self.remote("recorder_close")

    def kill(self) -> None:
        assert self.remote is not None
        self.remote.process.kill()
        self.remote.close()
        self.remote = None


@pytest.mark.needs("micropython")
def test_a_soak_ends_when_it_has_lived_as_many_as_it_should():
    said = histories.soak(7, 3600, 2)
    assert (said["histories"], said["findings"]) == (2, [])
    assert said["looks"] > 2 * histories.STEPS


@pytest.mark.long
def test_histories_hold_on_micropython_too(in_memory):
    device = Remotely("micropython")
    for seed in range(6):
        histories.live(seed, device, in_memory)
    device.kill()


def no_restating(monkeypatch):
    monkeypatch.setattr(time_lines.TimeLines, "restate", lambda _self, start, stop: (start, stop))


def trust_at_once(monkeypatch):
    monkeypatch.setattr(clock, "APART", 0)


def trust_whatever_is_said(monkeypatch):
    monkeypatch.setattr(clock, "AGREE", 10**20)


def trust_through_steps(monkeypatch):
    monkeypatch.setattr(clock, "DAY", 10**20)


def trust_forgotten(monkeypatch):
    monkeypatch.setattr(clock.Clock, "_load", lambda _self: False)


def wall_clock_alone(monkeypatch):
    deadline = keys.KeyRing.deadline
    monkeypatch.setattr(keys.KeyRing, "deadline", lambda self, index: (deadline(self, index)[0], 1 << 62))


def untrusted_wall_clock_expires(monkeypatch):
    tick = ring.Ring.tick
    monkeypatch.setattr(
        ring.Ring, "tick", lambda self, wall, monotonic, trusted: tick(self, wall, monotonic, trusted=trusted or True)
    )


def early_loss_in_silence(monkeypatch):
    monkeypatch.setattr(ring, "EARLY", 10**20)


def hours_of_the_process(monkeypatch):
    monkeypatch.setattr(Ledger, "boot", lambda self, _hours: self.save())


def mark_moves_always(monkeypatch):
    hour = Ledger.hour
    monkeypatch.setattr(Ledger, "hour", lambda self, mark: hour(self, mark or NOW + self["hours"]))


def a_key_kept_one_step_too_long(monkeypatch):
    tick = ring.Ring.tick

    def late(self, wall, monotonic, trusted):
        return tick(self, wall - HOUR, monotonic - HOUR, trusted=trusted)

    monkeypatch.setattr(ring.Ring, "tick", late)


def ends_of_their_own_lines(monkeypatch):
    readings = time_lines.TimeLines._readings
    monkeypatch.setattr(
        time_lines.TimeLines, "_readings", lambda self, stamp, latest, _lazy=0: readings(self, stamp, latest)
    )


BROKEN = (
    no_restating, trust_at_once, trust_whatever_is_said, trust_through_steps, trust_forgotten, wall_clock_alone,
    untrusted_wall_clock_expires, early_loss_in_silence, hours_of_the_process, mark_moves_always,
    a_key_kept_one_step_too_long, ends_of_their_own_lines,
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_clock_is_found_out_by_a_history(broken, in_memory, monkeypatch):
    """Each fault that a history must find; a check that never failed proves nothing."""
    broken(monkeypatch)
    with pytest.raises(HistoryError):
        lives(ENOUGH, in_memory)


@pytest.mark.parametrize("seed", [55968455542589])
def test_histories_that_once_found_something(seed, in_memory):
    """A stamp that is ahead of a clock which was slewed back meanwhile was read by the time line of a boot in 2099."""
    histories.live(seed, devices.Here(), in_memory)


def lives(count: int, folder: Path) -> None:
    for seed in range(count):
        histories.live(seed, devices.Here(), folder)


def test_a_step_while_no_process_ran_is_known_to_the_next_one(tmp_path):
    """L34-II-4: what was vouched for before has to be taken back where the clock was set back meanwhile."""

    class Source:
        boot, now, ahead = BOOT, NOW * SECOND, 0

        def wall(self) -> int:
            return self.now + self.ahead

        def monotonic(self) -> int:
            return self.now - NOW * SECOND + HOUR

    source = Source()

    def start() -> clock.Clock:
        return clock.Clock(source, str(tmp_path / "clock"), str(tmp_path / "lines"), NOW - 1)

    assert start().missed == 0
    source.now += 60 * SECOND
    assert start().missed == 0
    source.ahead = -2 * HOUR
    assert start().missed == -2 * HOUR
    assert start().missed == 0
    source.boot = LATER_BOOT
    source.ahead = 0
    assert start().missed == 0
