# SPDX-License-Identifier: Apache-2.0
"""Consents on flash (L34-V-2, L34-V-4, L34-IV-1) and stores sealed under a consent's own key (L34-V-3), everywhere."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import socketserver
import stat
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from agent import law
from agent.cli import status
from agent.config.reader import Section
from agent.control import calls
from agent.purposes import words
from agent.purposes.consent import consent_ring, kept_consents, refusals, texts
from agent.purposes.consent import consents as consents_module
from agent.purposes.consent.consents import Consents
from agent.purposes.device_key import DeviceKey
from agent.purposes.erasure import rounds
from agent.purposes.location import record as location
from agent.runtime import files
from agent.runtime.sodium import Sodium
from host_sim.faults import consent_cuts as story
from host_sim.faults import cutter, flash
from host_sim.privacy import paired, terminal_signs
from host_sim.trials import consent_histories
from host_sim.trials.held_records import HistoryError
from host_sim.venue.portal import NOTICE
from tests.host_sim.test_flash import Full
from tests.support.interpreters import INTERPRETERS, PROJECT, Remote

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1800000000
DAY = 86400
TEXT = "0x" + "5a" * 32
GUEST, OTHER = "0x021122334455", "0x026677889900"
BOOT = "a1" * 16


@pytest.fixture
def stage(any_interpreter):
    """Give the modules in an interpreter of their own."""
    remote = Remote(any_interpreter, "tests.support.consent_stage")
    yield remote
    assert remote.close() == 0


@pytest.fixture
def both(interpreter):
    """Give the modules on CPython, then on MicroPython, for what is too much of a foreign processor."""
    remote = Remote(interpreter, "tests.support.consent_stage")
    yield remote
    assert remote.close() == 0


@pytest.fixture
def here(cpython):
    """Give the modules on CPython."""
    remote = Remote(cpython, "tests.support.consent_stage")
    yield remote
    remote.close()


def grant(
    stage: Remote,
    mac: str = GUEST,
    *,
    purpose: str = "location",
    days: float = 30,
    now: int | None = NOW,
    by: str = "portal",
    **other: object,
) -> Any:
    given = {
        "categories": {"location": ["access-point"], "services": ["connections"]}[purpose],
        "third": "none",
    } | other
    end = (now or NOW) + int(days * DAY)
    spare = [0] * (by == "operator")
    return stage("consents", "grant", mac, [purpose], given["categories"], given["third"], end, TEXT, now, *spare)


def active(stage: Remote, mac: str = GUEST, purpose: str = "location", now: int | None = NOW) -> bool:
    return stage("consents", "active", mac, purpose, now) >= 0


# What a consent allows


def test_a_consent_allows_its_terminal_its_purpose_until_its_end(stage, tmp_path):
    """L34-V-2: absent, another's, another purpose, over, or by a clock that nobody confirmed, means no."""
    opened = stage("consents_open", str(tmp_path))
    assert (opened["made"], opened["unreadable"]) == (True, 0)
    assert not active(stage)
    assert grant(stage, third="Société Étoile") == 0
    assert active(stage)
    assert active(stage, now=NOW + 30 * DAY - 1)
    assert not active(stage, now=NOW + 30 * DAY)
    assert not active(stage, OTHER)
    assert not active(stage, purpose="services")
    assert not active(stage, now=None)
    shown = stage("consents", "of_terminal", GUEST, NOW)
    assert shown == [
        {
            "number": 0, "state": "active", "given": NOW, "since": NOW, "end": NOW + 30 * DAY, "purposes": ["location"],
            "categories": ["access-point"], "text": TEXT[2:], "third_parties": "Société Étoile", "withdrawn": [],
            "withdrawn_since": 0,
        }
    ]  # fmt: skip
    assert stage("consents", "listed", 0, 100, NOW) == shown
    assert stage("consents", "of_terminal", OTHER, NOW) == []


@pytest.mark.parametrize(
    ("how", "refused"),
    [
        ({"days": 30.001}, "not within 30d of now, the ceiling of location"),
        ({"days": 0}, "not within 30d of now"),
        ({"days": 366, "purpose": "services"}, "not within 365d of now, the ceiling of services"),
        ({"now": None}, "the time isn't confirmed yet"),
        ({"categories": ["connections"]}, "categories: not those that these purposes keep"),
        ({"categories": []}, "categories: none is named"),
        ({"categories": ["signal"]}, "categories: unknown"),
        ({"third": ""}, "third_parties: not understood"),
        ({"third": "x" * 64}, "third_parties: not understood"),
        ({"third": "two\nlines"}, "third_parties: not understood"),
        ({"third": " "}, "third_parties: not understood"),
        ({"third": "none "}, "third_parties: not understood"),
        ({"third": "None"}, "third_parties: not understood"),  # would be shown as a name
        ({"third": "personne"}, "third_parties: not understood"),
        ({"third": "\xa0"}, "third_parties: not understood"),
        ({"third": "Exemple\u3164"}, "third_parties: not understood"),
        ({"third": "Exemple\u202eLRAS"}, "third_parties: not understood"),
        ({"third": "Exemple\x9b"}, "third_parties: not understood"),
        ({"third": "é" * 32}, "third_parties: not understood"),
    ],
)
def test_a_consent_that_does_not_say_what_the_law_asks_is_none(how, refused, here, tmp_path):
    """L34-V-2: categories, purposes, end within the ceiling, third parties named or "none", time."""
    here("consents_open", str(tmp_path))
    said = grant(here, **how)
    assert isinstance(said, str)
    assert refused in said
    assert "L34-" in said or "EXP-5" in said
    assert list((tmp_path / "consents").iterdir()) == []


def test_both_purposes_at_once_end_within_the_stricter_ceiling(here, tmp_path):
    here("consents_open", str(tmp_path))
    words = (["services", "location"], ["connections", "access-point"], "none")
    assert "ceiling of location" in here("consents", "grant", GUEST, *words, NOW + 31 * DAY, TEXT, NOW)
    assert here("consents", "grant", GUEST, *words, NOW + 30 * DAY, TEXT, NOW) == 0
    assert active(here)
    assert active(here, purpose="services")
    assert "unknown (L34-V-2)" in here(
        "consents", "grant", OTHER, ["security"], ["connections"], "none", NOW + DAY, TEXT, NOW
    )


def test_a_stay_over_a_step_keeps_its_length_and_none_is_kept_by_a_clock_that_is_not_trusted(memory, monkeypatch):
    """EXP-5, L34-V-2, L34-V-4: whatever the wall clock does while somebody who consents is there."""
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    mac = bytes.fromhex(GUEST[2:])
    device.pass_to(4200)
    began = device.time.wall() // 10**9
    consented = device.recorder.groups.by_consent()
    consents = consented._opened.consents
    assert consents is not None
    consents.grant(mac, ["location"], ["access-point"], "none", began + 20 * DAY, bytes(32), began)

    def there(*, arrives: bool) -> None:
        consented.stations._mac[:] = mac
        consented.stations._moved(b"wlan0", arrives, device.time.wall() // 10**9)

    def step(seconds: int) -> None:
        wall = device.time.wall
        monkeypatch.setattr(device.time, "wall", lambda: wall() + seconds * 10**9)
        device.recorder.tick()

    there(arrives=True)
    for seconds in (7200, -600):  # the time that was reached is behind it
        step(seconds)
        device.time.second += 60
    there(arrives=False)
    now = device.time.wall(), device.time.monotonic()
    rows = [location.unpack(row)[1:3] for row in consent_ring.read(str(device.root), "location", *now)]
    assert rows == [(began + 6600, began + 6600 + 120)]
    there(arrives=True)
    step(-3 * DAY)
    assert not device.recorder.clock.trusted
    there(arrives=False)
    assert device.recorder.counters.values["location kept"] == 1
    assert device.recorder.counters.values["lost: clock"] == 1
    device.recorder.close()


def test_services_keeps_nothing_that_began_before_the_consent_or_while_it_was_suspended(memory):
    """L34-V-4, L34-IV-1: no back-fill, whenever it ends; what isn't kept is counted."""
    device = paired.Device(
        memory / "began-before", None, options="config purpose 'services'\n option enabled '1'\n" + NOTICE
    )
    device.pass_to(3600)
    consents = device.recorder.groups.by_consent()._opened.consents
    assert consents is not None
    mac, now = b"\x02\x11" + bytes(3) + b"\x07", device.time.wall() // 10**9

    def ends(at: int, lasts: int) -> int:
        device.pass_to(at)
        device.time.second = at
        neighbour, event, _ = terminal_signs.Sign(at, 7, lasts).messages()
        device.recorder.streams.neighbour(neighbour, len(neighbour))
        device.recorder.streams.datagram(event, len(event))
        return device.recorder.counters.values["services kept"]

    consents.grant(mac, ["services"], ["connections"], "none", now + DAY, bytes(32), now)
    there, _, _ = terminal_signs.Sign(3600, 7).messages()
    device.recorder.streams.neighbour(there, len(there))
    assert [ends(3700, 200), ends(3710, 60)] == [0, 1]
    consents.suspend(mac, now + 200)
    assert ends(3900, 60) == 1
    consents.resume(mac, now + 400)
    assert [ends(4100, 200), ends(4110, 60)] == [1, 2]
    assert device.recorder.counters.values["services without consent"] == 3
    device.recorder.close()


def test_flash_that_refuses_stops_no_start(tmp_path, monkeypatch):
    """EXP-6, L34-V-2: a damaged consent that can't be removed counts as none, and the recorder starts."""
    (tmp_path / "consents").mkdir()
    (tmp_path / "consents/0007").write_bytes(b"x" * 100)

    def refuse(_path: str) -> None:
        raise OSError(30, "")

    key = DeviceKey(str(tmp_path / "key"), Sodium())
    monkeypatch.setattr(files, "remove", refuse)
    made = Consents(str(tmp_path / "consents"), key, Sodium())
    assert (made.unreadable, made.counts(NOW)["active"]) == (1, 0)
    made.close()


def test_a_first_start_on_flash_that_refuses_follows_nobody_and_says_so(memory, monkeypatch):
    """L34-V-2, L34-V-4: no key, no consent; loud, not a crash; once flash takes it, a consent can be given."""
    write = files.write_atomic

    def refuse(path: str, *words: Any, **more: Any) -> None:
        if path.endswith("device.key"):
            raise OSError(30, "")
        write(path, *words, **more)

    monkeypatch.setattr(files, "write_atomic", refuse)
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    device.pass_to(3600)
    shown = device.recorder.status()
    assert shown["consents"] == {"errno": 30}
    assert any(
        line.startswith("!! CONSENTS SUSPENDED: flash refuses them (read-only file system)")
        for line in status.lines(shown)
    )
    purposes = device.recorder.groups.by_consent()
    assert not purposes.wanted()
    for act in (purposes.suspend, purposes.withdraw, purposes.resume):
        with pytest.raises(calls.Refused, match=r"\(read-only file system\): every consent is suspended"):
            act({"terminal": bytes.fromhex(GUEST[2:]), "address": None, "purpose": None}, "root")
    assert sum("all of them are suspended" in line for line in device.seen.log) == 1
    monkeypatch.setattr(files, "write_atomic", write)
    device.pass_to(3700)
    assert device.recorder.status()["consents"] == {"active": 0, "suspended": 0, "withdrawn": 0, "ended": 0}
    device.recorder.close()


def test_suspension_holds_over_a_restart_until_it_is_resumed(stage, tmp_path):
    """L34-V-4: at once, for all of the terminal's consents and nobody else's."""
    stage("consents_open", str(tmp_path))
    grant(stage)
    grant(stage, OTHER)
    assert stage("consents", "suspend", GUEST, NOW + 10) == [0]
    assert not active(stage)
    assert stage("consents", "flush") is True
    again = stage("consents_open", str(tmp_path))
    assert (again["made"], again["counts"]) == (False, {"active": 1, "suspended": 1, "withdrawn": 0, "ended": 0})
    assert not active(stage)
    assert active(stage, OTHER)
    assert stage("consents", "resume", GUEST, NOW + 20) == [0]
    assert active(stage)
    assert stage("consents", "since", 0) == NOW + 20  # no back-fill: what began before doesn't count
    assert stage("consents_open", str(tmp_path))["counts"]["active"] == 2
    assert stage("consents", "suspend", GUEST, None) == [0]
    assert stage("consents", "resume", GUEST, None).startswith("refused: the time isn't confirmed yet")
    assert not active(stage)


def test_withdrawal_is_for_good_and_keeps_prompts_away_for_30_days(stage, tmp_path):
    """L34-V-3: also for another purpose, also over a restart, also where the time was not known when it came."""
    stage("consents_open", str(tmp_path))
    grant(stage)
    assert stage("consents", "withdraw", GUEST, NOW + 5) == [0]
    assert stage("consents", "flush") is True
    assert stage("consents", "resume", GUEST, NOW + 6) == []
    stage("consents_open", str(tmp_path))
    assert not active(stage, now=NOW + 6)
    for late in (6, 30 * DAY + 4):
        for purpose in ("location", "services"):
            assert "not to be asked again" in grant(stage, purpose=purpose, now=NOW + late)
    assert stage("consents", "tick", NOW + 5 + 30 * DAY) is None
    assert grant(stage, now=NOW + 5 + 30 * DAY) == 0
    assert stage("consents", "withdraw", GUEST, None) == [0]
    assert "not to be asked again" in grant(stage, now=NOW + 400 * DAY)  # from when isn't known yet
    assert stage("consents", "tick", NOW + 40 * DAY) is None
    assert "not to be asked again" in grant(stage, now=NOW + 70 * DAY - 1)
    assert stage("consents", "tick", NOW + 70 * DAY) is None
    assert grant(stage, now=NOW + 70 * DAY) == 0


def test_an_end_that_has_come_stays_whatever_the_clock_says(stage, tmp_path):
    """L34-VI-5: set back by an hour, and over a restart; somebody who was suspended doesn't come back either.

    He may be asked again.
    """
    stage("consents_open", str(tmp_path))
    assert grant(stage) == 0
    assert grant(stage, OTHER) == 1
    stage("consents", "suspend", OTHER, NOW + 1)
    end = NOW + 30 * DAY
    stage("consents", "tick", end)
    for _ in range(2):
        assert not active(stage, now=end - 3600)
        assert stage("consents", "resume", OTHER, end - 3600) == []
        assert stage("consents", "counts", end - 3600) == {"active": 0, "suspended": 0, "withdrawn": 0, "ended": 2}
        stage("consents_open", str(tmp_path))
    assert grant(stage, now=end - 3600) == 2
    assert active(stage, now=end - 3600)


def test_a_consent_is_remembered_for_30_days_after_its_end_and_no_longer(here, tmp_path):
    """L34-V: its end + 30 d, 395 d at most; a second consent isn't taken while the first is in force."""
    here("consents_open", str(tmp_path))
    assert grant(here, purpose="services", days=365) == 0
    assert "in force until its end" in grant(here, purpose="services", days=1)
    assert here("consents", "counts", NOW + 365 * DAY)["ended"] == 1
    assert grant(here, purpose="services", days=1, now=NOW + 365 * DAY) == 1
    here("consents", "tick", NOW + law.purpose("consent").ceiling - 1)
    assert sorted(path.name for path in (tmp_path / "consents").iterdir()) == ["0000", "0001"]
    here("consents", "tick", NOW + law.purpose("consent").ceiling)
    assert sorted(path.name for path in (tmp_path / "consents").iterdir()) == ["0001"]


@pytest.mark.long
def test_consents_are_bounded(here, memory):
    """960 terminals by a portal, 64 more by the operator; the next one is refused, and each is found."""
    here("consents_open", str(memory))
    macs = [f"0x02000000{number:04x}" for number in range(1024)]
    assert [grant(here, mac) for mac in macs[:960]] == list(range(960))
    assert grant(here, macs[960]) == "refused: no room: 960 consents are remembered"
    assert here("consents", "object", macs[960], NOW) == "refused: no room: 960 consents are remembered"
    assert [grant(here, mac, by="operator") for mac in macs[960:]] == list(range(960, 1024))
    assert grant(here, "0x0200000fffff", by="operator").startswith("refused: no room: 1024")
    assert here("consents_open", str(memory))["counts"]["active"] == 1024
    assert all(here("consents", "active", mac, "location", NOW) == place for place, mac in enumerate(macs))


# On flash


def test_nothing_on_flash_tells_whose_a_consent_is(here, tmp_path):
    """L34-I-1: no MAC, no third party, no end in clear; modes are for the recorder alone; all files have one length."""
    here("consents_open", str(tmp_path))
    for third in ("none", "Exemple SARL"):
        assert grant(here, GUEST if third == "none" else OTHER, third=third) in {0, 1}
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in found:
        data = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sought = (GUEST, OTHER, b"Exemple".hex(), TEXT, struct.pack(">I", NOW + 30 * DAY).hex())
        assert not any(bytes.fromhex(one.removeprefix("0x")) in data for one in sought)
    assert {path.stat().st_size for path in found if path.parent.name == "consents"} == {172}


def test_any_damage_means_no(here, tmp_path):
    """Each octet changed, cut short, another's file in its place, another device's key.

    Counted, removed, never a yes.
    """
    root = tmp_path / "whole"
    root.mkdir()
    here("consents_open", str(root))
    grant(here)
    grant(here, OTHER, purpose="services")
    whole = (root / "consents/0000").read_bytes()
    other = (root / "consents/0001").read_bytes()
    damaged = [whole[:at] + bytes((whole[at] ^ 1 << at % 8,)) + whole[at + 1 :] for at in range(len(whole))]
    damaged += [whole[:size] for size in (0, 1, 24, 40, len(whole) - 1)] + [whole + b"\0", other]
    for number, data in enumerate(damaged):
        (root / "consents/0000").write_bytes(data)
        opened = here("consents_open", str(root))
        assert (opened["unreadable"], opened["counts"]["active"]) == (1, 1), number
        assert not active(here)
        assert not (root / "consents/0000").exists()
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    here("consents_open", str(stranger))
    shutil.copy(root / "consents/0001", stranger / "consents/0001")
    assert here("consents_open", str(stranger))["unreadable"] == 1


def refuse(monkeypatch, *names: str) -> None:
    """Let the folder's sync fail, after a rename: what was written may be there all the same.

    `names`: other functions that fail, too.
    """

    def fails(*_: object) -> None:
        raise OSError(5, "")

    for name in ("sync_folder", *names):
        monkeypatch.setattr(files, name, fails)


def refuse_once(monkeypatch, number: int) -> None:
    """Let one sync of a folder fail, by its number from now on."""
    whole, calls = files.sync_folder, []

    def sync_folder(path: str) -> None:
        calls.append(path)
        if len(calls) == number:
            raise OSError(5, "")
        whole(path)

    monkeypatch.setattr(files, "sync_folder", sync_folder)


@pytest.fixture
def book(tmp_path):
    """Give what opens the consents of a folder anew, as another process does."""
    sodium = Sodium()
    made: list[Consents] = []

    def opened() -> Consents:
        (tmp_path / "consents").mkdir(exist_ok=True)
        for former in made:
            former.close()
        made[:] = [Consents(str(tmp_path / "consents"), DeviceKey(str(tmp_path / "key"), sodium), sodium)]
        return made[0]

    yield opened
    for former in made:
        former.close()


MAC = bytes.fromhex("021122334455")
GIVEN = (["location"], ["access-point"], "none", NOW + DAY, b"Z" * 32, NOW)


@pytest.mark.parametrize("more", [(), ("remove",)], ids=["", "and it can't be removed"])
def test_a_grant_that_flash_refused_is_none_at_the_next_start_either(book, monkeypatch, more):
    """L34-V-2: refused to who asked, so nobody follows him.

    Not after a restart, nor by what stays on flash for a while.
    """
    consents = book()
    with monkeypatch.context() as patch:
        refuse(patch, *more)
        with pytest.raises(OSError, match="Errno 5"):
            consents.grant(MAC, *GIVEN)
        assert consents.active(MAC, "location", NOW) < 0
        assert consents.grant is not None
    consents.tick(NOW + 1)
    assert book().active(MAC, "location", NOW + 2) < 0
    assert book().grant(MAC, *GIVEN) == 0
    assert book().active(MAC, "location", NOW + 2) == 0


def test_a_resumption_that_flash_refused_leaves_the_consent_suspended_at_the_next_start(book, monkeypatch):
    """L34-V-4: fails to "suspended"."""
    consents = book()
    consents.grant(MAC, *GIVEN)
    assert consents.suspend(MAC, NOW + 1) == [0]
    assert consents.flush()
    with monkeypatch.context() as patch:
        refuse(patch)
        with pytest.raises(OSError, match="Errno 5"):
            consents.resume(MAC, NOW + 2)
        assert consents.active(MAC, "location", NOW + 2) < 0
    consents.tick(NOW + 3)
    assert book().active(MAC, "location", NOW + 4) < 0
    assert book().resume(MAC, NOW + 5) == [0]


@pytest.mark.parametrize("fails", range(1, 5))
@pytest.mark.parametrize("what", ["resume", "accept"])
def test_what_one_failing_sync_refused_stays_so_though_the_process_ends_at_once(book, monkeypatch, what, fails):
    """L34-V-4, L34-VI-5: flash may have taken it all the same: it is written anew before it is refused."""
    consents = book()
    if what == "resume":
        consents.grant(MAC, *GIVEN)
        consents.suspend(MAC, NOW + 1)
    else:
        consents.object(MAC, NOW)
    assert consents.flush()
    with monkeypatch.context() as patch:
        refuse_once(patch, fails)
        try:
            getattr(consents, what)(MAC, NOW + 2)
        except OSError:
            refused = True
        else:
            refused = False
    assert refused == (fails <= {"resume": 2, "accept": 1}[what])
    if refused:
        assert (book().active(MAC, "location", NOW + 3) < 0) if what == "resume" else book().objects(MAC)


@pytest.mark.parametrize("fails", range(1, 6))
def test_a_resumption_of_two_consents_is_of_both_or_none(book, monkeypatch, fails):
    """L34-V-4: it was refused, and one of them was in force from the next tick on."""
    consents = book()
    consents.grant(MAC, *GIVEN)
    consents.grant(MAC, ["services"], ["connections"], *GIVEN[2:])
    assert len(consents.suspend(MAC, NOW + 1)) == 2
    assert consents.flush()
    with monkeypatch.context() as patch:
        refuse_once(patch, fails)
        try:
            resumed = len(consents.resume(MAC, NOW + 2))
        except OSError:
            resumed = 0
    assert resumed == (0 if fails < 5 else 2)
    for _ in range(2):
        consents.tick(NOW + 3)
        assert [consents.active(MAC, name, NOW + 3) >= 0 for name in ("services", "location")] == [resumed == 2] * 2
        consents = book()


def test_a_withdrawal_that_waits_for_flash_is_not_undone_by_a_resumption(book, monkeypatch):
    """L34-V-4: of one purpose, while flash was full; written before the consent is resumed, or that is refused."""
    consents = book()
    consents.grant(MAC, ["services", "location"], ["connections", "access-point"], *GIVEN[2:])
    assert consents.suspend(MAC, NOW + 1) == [0]
    assert consents.flush()
    with monkeypatch.context() as patch:
        patch.setattr(files, "open_file", Mock(side_effect=OSError(28, "")))  # no room for another name
        assert consents.withdraw(MAC, NOW + 2, "location")
        assert not consents.flush()
        with pytest.raises(OSError, match="Errno 5"):
            consents.resume(MAC, NOW + 3)
    assert consents.resume(MAC, NOW + 3) == [0]
    for now in (NOW + 4, NOW + 5):
        assert [consents.active(MAC, purpose, now) for purpose in ("services", "location")] == [0, -1]
        consents = book()


def test_a_folder_where_a_consent_would_be_is_passed_over(book, tmp_path):
    """Every grant failed: the first place looked free."""
    book()
    (tmp_path / "consents/0000").mkdir()
    consents = book()
    assert consents.unreadable == 1
    assert consents.grant(MAC, *GIVEN) == 1
    assert book().active(MAC, "location", NOW + 2) == 1


def test_names_that_are_no_consents_are_removed(here, tmp_path):
    here("consents_open", str(tmp_path))
    grant(here)
    for name in (".0001.new", "1024", "9999", "x", "00000"):
        (tmp_path / "consents" / name).write_bytes(b"left")
    here("consents_open", str(tmp_path))
    assert [path.name for path in (tmp_path / "consents").iterdir()] == ["0000"]


@pytest.mark.needs("micropython", "mips")
@pytest.mark.parametrize(
    ("writer", "reader"), [("cpython", "mips"), ("mips", "micropython"), ("micropython", "cpython")]
)
def test_what_one_interpreter_writes_the_others_read(writer, reader, tmp_path):
    first = Remote(INTERPRETERS[writer], "tests.support.consent_stage")
    first("consents_open", str(tmp_path))
    grant(first)
    first("store_open", str(tmp_path), 5, 262144, BOOT)
    assert first("store_put", 0, "0102030405", NOW + 100, NOW, 10) == "kept"
    first("store_close")
    shown = first("consents", "of_terminal", GUEST, NOW)
    first.close()
    second = Remote(INTERPRETERS[reader], "tests.support.consent_stage")
    assert second("consents_open", str(tmp_path))["made"] is False
    assert second("consents", "of_terminal", GUEST, NOW) == shown
    assert second("store_open", str(tmp_path), 5, 262144, BOOT) == [0]
    assert second("store_read", str(tmp_path), "location", NOW, 10) == ["0102030405"]
    assert second("store_put", 0, "06", NOW + 100, NOW, 10) == "kept"
    assert second("store_read", str(tmp_path), "location", NOW, 10) == ["0102030405", "06"]
    second.close()


def cuts(*words: str, interpreter: str = "cpython") -> dict[str, int]:
    command = INTERPRETERS[interpreter].command("-m", "host_sim.faults.consent_cuts", *words)
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=240)
    return dict(json.loads(done.stdout))


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_no_cut_of_power_lets_anybody_be_followed_who_said_no(seed):
    """L34-V-4, EXP-6: before every operation and inside every sync, twice in a row; in doubt it is suspended."""
    done = cuts(str(seed), "6")
    assert set(done) == {"cuts", "operations", "programmed", "syncs"}, done
    assert done["cuts"] > 6 * 1.5 * done["operations"]


@pytest.mark.long
@pytest.mark.needs("micropython")
def test_micropython_is_cut_alike():
    assert cuts("1", "1", interpreter="micropython") == cuts("1", "1")


@pytest.mark.parametrize(
    ("variant", "found"),
    [
        ("no-folder-sync", "somebody is followed who said no"),
        ("no-file-sync", "a consent is lost"),
        ("in-place", "a consent can't be read"),
        ("acknowledged-early", "somebody is followed who said no"),
    ],
)
@pytest.mark.long
def test_a_careless_writer_is_caught(variant, found):
    assert cuts("1", "1", variant)[found] > 0


@pytest.mark.parametrize("way", ["full", "read_only", "broken"])
def test_flash_that_refuses_stops_nobody_from_suspending(way, monkeypatch):
    """L34-V-4: at once in memory, told as not durable, tried again; a grant or a resumption is refused instead."""
    for name in ("LIBC", "os", "names"):
        monkeypatch.setattr(files, name, getattr(files, name))
    made = cutter.fresh(flash.Dice(3), story.FOLDER)
    flash.mount(made)
    sodium = Sodium()
    consents = Consents(story.FOLDER, DeviceKey(story.KEY, sodium), sodium)
    first, second, third = story.GUESTS[:3]
    for guest in (first, second):
        consents.grant(guest, ["location"], ["access-point"], "none", story.END, bytes(32), NOW)
    consents.suspend(second, NOW)
    assert consents.flush()
    getattr(Full, way)(made)
    with pytest.raises(OSError):
        consents.grant(third, ["location"], ["access-point"], "none", story.END, bytes(32), NOW)
    with pytest.raises(OSError):
        consents.resume(second, NOW)
    assert len(consents.suspend(first, NOW)) == 1
    assert not consents.flush()
    assert [consents.active(guest, "location", NOW) for guest in (first, second, third)] == [-1, -1, -1]
    Full.right(made)
    consents.tick(NOW)
    assert consents.flush()
    again = Consents(story.FOLDER, DeviceKey(story.KEY, sodium), sodium)
    assert again.counts(NOW) == {"active": 0, "suspended": 2, "withdrawn": 0, "ended": 0}


def test_a_refusal_that_a_full_flash_has_no_room_for_outlives_the_process(monkeypatch):
    """L34-V-4: a start that comes before there is room finds no consent; once there is, all is as it was said."""
    for name in ("LIBC", "os", "names"):
        monkeypatch.setattr(files, name, getattr(files, name))
    made, sodium = cutter.fresh(flash.Dice(3), story.FOLDER), Sodium()
    flash.mount(made)

    def start() -> Consents:
        return Consents(story.FOLDER, DeviceKey(story.KEY, sodium), sodium)

    consents = start()
    for guest in story.GUESTS[:3]:
        consents.grant(guest, ["location"], ["access-point"], "none", story.END, bytes(32), NOW)
    Full.full(made)
    consents.suspend(story.GUESTS[0], NOW)
    consents.withdraw(story.GUESTS[1], NOW)
    assert not consents.flush()
    assert start().counts(NOW) == {"active": 1, "suspended": 0, "withdrawn": 0, "ended": 0}
    Full.right(made)
    assert consents.flush()
    assert start().counts(NOW) == {"active": 1, "suspended": 1, "withdrawn": 1, "ended": 0}
    assert consents.resume(story.GUESTS[0], NOW + 1) == [0]
    assert start().counts(NOW) == {"active": 2, "suspended": 0, "withdrawn": 1, "ended": 0}


# Stores


def test_a_withdrawal_makes_its_records_unreadable_and_harms_no_others(stage, tmp_path):
    """L34-V-3: the key is overwritten; before it, the same reader reads them."""
    root = str(tmp_path)
    stage("store_open", root, 5, 262144, BOOT)
    for number in range(6):
        assert stage("store_put", number % 2, f"{number:02x}" * 20, NOW + 100, NOW, 10) == "kept"
    keys = Path(root, "var/run/oubli/keys").read_bytes()
    assert stage("store_read", root, "location", NOW, 10) == [f"{number:02x}" * 20 for number in range(6)]
    slots = [keys[at : at + 192] for at in range(64, len(keys), 192) if keys[at]]
    assert len({slot[32:64] for slot in slots}) == 2
    gone = next(slot for slot in slots if struct.unpack_from("<H", slot, 4) == (0,))
    assert stage("store", "destroy", 0) == 3
    assert stage("store_read", root, "location", NOW, 10) == [f"{number:02x}" * 20 for number in (1, 3, 5)]
    assert gone[32:64] not in Path(root, "var/run/oubli/keys").read_bytes()
    assert stage("store", "destroy", 0) == 0
    assert stage("store_put", 0, "ff", NOW + 100, NOW, 10) == "kept"
    assert stage("store", "status", 11 * 10**9)["records"] == 4


def test_keys_go_with_the_consent_by_either_clock(stage, tmp_path):
    """EXP-1, EXP-4: its end by trusted wall clock, or by time since boot; also at a start that is refused.

    Another boot's at once.
    """
    root = str(tmp_path)
    stage("store_open", root, 4, 262144, BOOT)
    stage("store_put", 1, "aa", NOW + 100, NOW, 10)
    stage("store_put", 2, "bb", NOW + 200, NOW, 10)
    assert stage("store", "tick", NOW + 500, 20, False) == 0  # the wall clock isn't trusted
    assert stage("store", "late", None, 20 * 10**9) is False
    assert stage("store", "tick", NOW + 100, 20, True) == 1
    assert stage("store_read", root, "services", NOW, 20) == ["bb"]
    assert stage("store_read", root, "services", NOW + 200, 20) == []
    assert stage("destroy_due", root, BOOT, 209) == 0
    assert stage("destroy_due", root, BOOT, 210) == 1
    assert stage("store_read", root, "services", NOW, 10) == []
    stage("store_close")
    stage("store_open", root, 4, 262144, BOOT)
    stage("store_put", 3, "cc", NOW + 100, NOW, 10)
    stage("store_close")
    assert stage("store_open", root, 4, 262144, "b2" * 16) == []
    assert stage("store_read", root, "services", NOW, 10) == []


@pytest.mark.long
def test_a_full_ring_gives_up_the_oldest_and_counts_it(here, tmp_path):
    """Against a plain list: what is read is the newest records of the consents that live, in order.

    Every other one is told as lost.
    """
    root, dice = str(tmp_path), random.Random(5)
    here("store_open", root, 5, 4096, BOOT)
    model: list[tuple[int, str]] = []
    for step in range(1500):
        place, octets = dice.randrange(5), dice.randbytes(dice.randrange(1, 60)).hex()
        assert here("store_put", place, octets, NOW + 10000, NOW, 10) == "kept"
        model.append((place, octets))
        if step % 97 == 96:
            place = dice.randrange(5)
            read = here("store_read", root, "location", NOW, 10)
            assert here("store", "destroy", place) == sum(one == place for one, _ in model[len(model) - len(read) :])
            model = [row for row in model[len(model) - len(read) :] if row[0] != place]
        if step % 50 == 0:
            read = here("store_read", root, "location", NOW, 10)
            assert read == [octets for _, octets in model[len(model) - len(read) :]]
            assert here("store", "status", 10)["records"] == len(read)
    used = here("store", "status", 10)
    assert 3000 < used["bytes"] <= 4096
    # The former: 0 records, of a new ring
    assert {cause for cause, _ in here("store_losses")} == {"ring resized", "ring full"}
    assert sum(count for _, count in here("store_losses")) > 1000


@pytest.mark.parametrize(
    ("puts", "budget", "kept"), [(1, 8192, True), (1, 2048, True), (100, 2048, False), (150, 8192, False)]
)
def test_a_ring_of_another_size_keeps_what_lies_in_one_piece_and_counts_the_rest(here, tmp_path, puts, budget, kept):
    """A larger or smaller budget; 100 entries don't fit the smaller one, 150 have gone round the end of the former."""
    root = str(tmp_path)
    here("store_open", root, 5, 4096, BOOT)
    for number in range(puts):
        here("store_put", 1, f"{number:04x}", NOW + 100, NOW, 10)
    before = here("store_read", root, "location", NOW, 10)
    here("store_close")
    assert here("store_open", root, 5, budget, BOOT) == ([1] if kept else [])
    assert here("store_losses") == ([] if kept else [["ring resized", len(before)]])
    assert here("store_put", 1, "bb", NOW + 100, NOW, 10) == "kept"
    assert here("store_read", root, "location", NOW, 10) == (before if kept else []) + ["bb"]


def test_damage_in_the_ring_is_never_a_wrong_record(here, tmp_path):
    """Any bit of an entry changed: refused, or nobody's any more."""
    root, ring = str(tmp_path), tmp_path / "var/run/oubli/vault/location/ring"
    here("store_open", root, 5, 4096, BOOT)
    here("store_put", 1, "0123456789", NOW + 100, NOW, 10)
    whole = ring.read_bytes()
    for at in range(18, 16 + 26 + 5):
        ring.write_bytes(whole[:at] + bytes((whole[at] ^ 1 << at % 8,)) + whole[at + 1 :])
        assert here("store_read", root, "location", NOW, 10) in ([], "damaged")
    ring.write_bytes(whole)
    assert here("store_read", root, "location", NOW, 10) == ["0123456789"]


def test_a_record_costs_26_octets_beside_its_own(stage, tmp_path):
    """Issue 4: the bytes that a seal of its own costs: 10 of the entry, 16 of the tag.

    The location row: 14 and the name.
    """
    stage("store_open", str(tmp_path), 5, 262144, BOOT)
    packed = stage("location_row", "021122334455", NOW, NOW + 3600, "wlan0")
    assert packed == [
        "021122334455" + f"{NOW:08x}{3600:08x}" + b"wlan0".hex(),
        "021122334455",
        NOW,
        NOW + 3600,
        "wlan0",
    ]
    stage("store_put", 1, packed[0], NOW + 100, NOW, 10)
    assert stage("store", "status", 10)["bytes"] == 14 + 5 + 26


def test_a_record_of_services_leans_on_no_other(stage):
    """L34-V-3, L34-VI-1: each is read back by itself, whatever was packed before it.

    The fields of `security`, and no destination.
    """
    tenth = NOW * 10
    rows = [
        [6, "c0a8070a", 40000, 50000, 1, 12, 30, 2000, 40000, "021122334455", tenth, tenth + 123],
        [17, "c0a8070b", 40001, 40001, 2, 1, 1, 70, 200, "026677889900", tenth + 5, tenth + 6],
        [6, "c0a8070a", 40002, 40002, 1, 3, 2, 300, 500, "021122334455", tenth - 900, tenth + 7],
        [
            6,
            "20010db8" + "00" * 11 + "07",
            40003,
            40003,
            1,
            1 << 40,
            1 << 40,
            1 << 63,
            (1 << 64) - 1,
            "021122334455",
            0,
            tenth,
        ],
    ]
    for row, (octets, plain) in zip(rows, stage("services_rows", rows), strict=True):
        source, mac = row[1], row[9]
        assert plain == " ".join(map(str, [row[0], source, row[2], row[3], row[4], *row[5:9], mac, row[10], row[11]]))
        assert source in octets
        assert len(octets) // 2 <= 96
    assert [len(octets) // 2 for octets, _ in stage("services_rows", rows[:3])] == [31, 26, 28]


def test_nonces_are_never_used_twice_under_a_key(here, tmp_path):
    """Over a restart of the process too: the count stands with the key."""
    root, seen = str(tmp_path), set()
    for _ in range(3):
        here("store_open", root, 5, 4096, BOOT)
        for _ in range(5):
            here("store_put", 1, "00", NOW + 100, NOW, 10)
        here("store_close")
    data, at = (tmp_path / "var/run/oubli/vault/location/ring").read_bytes(), 16
    while at < struct.unpack_from("<4I", data)[2]:
        length, number, nonce = struct.unpack_from("<HII", data, at)
        seen.add((number, nonce))
        at += 10 + length
    assert len(seen) == 15


# Texts


SHIPPED_TEXTS = PROJECT / "boards/common/usr/share/oubli"
AGREED = (["location", "services"], "Exemple SARL", 30)
AIMS = {"services": "Bons plans", "location": "Plan des salles"}


def notice(**values: str) -> Section:
    section = Section("notice")
    section.values |= values
    return section


def test_the_texts_that_ship_inform_of_what_the_law_names():
    """V: categories, duration, purposes, third parties, withdrawal and suspension.

    A text is never changed, another one is added.
    """
    folder = SHIPPED_TEXTS
    found = {
        name: hashlib.sha256((folder / f"consent-{name}.txt").read_bytes()).hexdigest()
        for name in texts.names(str(folder))
    }
    assert found == SHIPPED
    for name, told in {
        "3.fr": (
            "services", "localisation", "365 jours", "30 jours", "tiers", "suspendre", "retirer", "refuser",
            "illisible ce que la borne a conservé avec cet accord pour les finalités retirées, et rien d'autre",
            "qu'il en avertisse les tiers nommés",
            "le rétablir, au plus cinq fois par jour", "retiré, suspendu ou terminé",
            "l'instant d'un retrait, pour refuser un nouvel accord, 30 jours",
            "Ce que la borne a conservé avec votre accord est ensuite rendu illisible ; une coupure de courant",
        ),
        "3.en": (
            "services", "location", "365 days", "30 days", "third parties", "suspend", "withdraw", "refuse",
            "makes what the gateway kept by this consent for the purposes withdrawn, and nothing else",
            "he tells the third parties named",
            "resume it, at most five times a day", "withdrawn, suspended or over",
            "the moment of a withdrawal, to refuse a new consent, for 30 days",
            "What the gateway kept by your consent is then made unreadable; a power cut erases it there",
        ),
    }.items():  # fmt: skip
        text = (folder / f"consent-{name}.txt").read_text()
        assert all(word in text for word in told)
        assert not re.search("ci-dessus|above|reprendre", text)  # "reprendre son accord": to withdraw it


SHIPPED = {
    "2.en": "587dafb3579d92600d60ea3f4e5af7733f0a8d62dbef8d44b41e4655ab2afa94",
    "2.fr": "17696057e532dd422cb0cda0fb11b25095668caecbd23b8e87b26d0f38c0a1e0",
    "3.en": "e9ab88cdd1192ec3220f175d0fa33e4f60785ed0f9b198858ae859739bcfd5ea",
    "3.fr": "027a045c60272ea24abab98d25a3088f01e7c6414684c459c88fac8ac76a78d5",
}
FORMER = {  # of text 2's document for the words below: a consent that was given by it can be held against it
    "fr": "88c7d1e5ceb2487d0df1357fe29f592ef8c4d41174f424064accfe3dfa88712c",
    "en": "c19ef2fd163168bd0dd811a036e54a01548326e7a4661f41c694e43656677cb4",
}


@pytest.mark.parametrize("language", FORMER)
def test_the_former_texts_document_is_still_made_and_no_consent_is_taken_by_it(language):
    """L34-V-2: what was shown then is known to the octet.

    The withdrawal of one purpose doesn't make all unreadable, as it says, so nobody agrees to it any more.
    """
    here = notice(venue="Hôtel du Lac", controller="Lac SARL", contact="a@b.example", page="wifi.example.org", **AIMS)
    assert texts.document(str(SHIPPED_TEXTS), f"2.{language}", *AGREED, here)[1] == FORMER[language]
    assert not texts.known(str(SHIPPED_TEXTS), FORMER[language], *AGREED, here)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_document_says_all_that_is_consented_to_and_is_hashed_whole(language):
    """L34-V-2: venue, controller, each field of each purpose, for how long, third parties, the text.

    Any other word, another hash.
    """
    here = notice(
        venue="Café de la Gare", controller="Gare SARL", contact="rgpd@example.org", page="wifi.example.org", **AIMS
    )
    lines, digest = texts.document(str(SHIPPED_TEXTS), f"3.{language}", *AGREED, here)
    text = "".join(line + "\n" for line in lines)
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    told = [
        here.venue,
        here.controller,
        here.contact,
        here.page,
        here.services,
        here.location,
        "Exemple SARL",
        {"fr": "30 jours", "en": "30 days"}[language],
    ]
    for purpose in ("services", "location"):
        told += [words.FIELDS[field][words.LANGUAGES.index(language)] for field in law.purpose(purpose).fields]
    assert [word for word in told if word not in text.replace("\u00a0", " ")] == []
    assert words.typeset((SHIPPED_TEXTS / f"consent-3.{language}.txt").read_text(), language) in text
    assert language == "en" or not re.search(" [;:!?»]|« ", text)
    assert texts.known(str(SHIPPED_TEXTS), digest, *AGREED, here)
    other = [
        (["location"], *AGREED[1:], here),
        (AGREED[0], "none", 30, here),
        (*AGREED[:2], 29, here),
        (*AGREED, notice(**AIMS)),
        (*AGREED, notice(**here.values | {"location": "Ailleurs"})),
        (*AGREED, notice(**here.values | {"venue": "Ailleurs"})),
    ]
    assert not any(texts.known(str(SHIPPED_TEXTS), digest, *one) for one in other)
    nobody = texts.document(str(SHIPPED_TEXTS), f"3.{language}", ["services"], "none", 1, notice(**AIMS))[0]
    assert {"fr": "Transmis à\u202f: personne", "en": "Passed on to: nobody"}[language] in nobody
    assert words.FIELDS["access_point"][words.LANGUAGES.index(language)] not in "".join(nobody[: nobody.index("")])


def test_a_consent_is_taken_with_the_document_for_just_that_consent(memory):
    """L34-V-2: by who was shown another time, other third parties or another text, none is given."""
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    (device.root / "usr/share").mkdir(parents=True)
    shutil.copytree(SHIPPED_TEXTS, device.root / "usr/share/oubli")
    device.pass_to(3600)
    purposes = device.recorder.groups.by_consent()
    agreed = {"purposes": ["location"], "third_parties": "none", "days": 30}
    shown = purposes.document(agreed | {"name": "3.fr"})
    given = agreed | {"terminal": MAC, "address": None, "categories": ["access-point"], "text": shown["text"]}
    assert any("« localisation »" in line.replace("\u202f", " ") for line in shown["document"])
    with pytest.raises(calls.Refused, match="third_parties: not understood"):  # nobody is shown what can't be given
        purposes.document(agreed | {"name": "3.fr", "third_parties": "None"})
    former = purposes.document(agreed | {"name": "2.fr"})["text"]
    for wrong in ({"days": 29}, {"third_parties": "Exemple SARL"}, {"text": SHIPPED["3.fr"]}, {"text": former}):
        with pytest.raises(calls.Refused, match="the document has changed, or is another consent's: read it again"):
            purposes.grant(given | wrong, "portal")
    assert purposes.grant(given, "portal")["number"] == 0
    with pytest.raises(
        calls.Refused, match=r"no text of this device; accepted: consent-3\.en\.txt, consent-3\.fr\.txt"
    ):
        purposes.document(agreed | {"name": "../3.fr"})
    device.recorder.close()


class Asked(socketserver.UnixStreamServer):
    """The control socket of a recorder, for who has every role: the calls are the real ones."""

    recorder: Any


class Answers(socketserver.StreamRequestHandler):
    """One call and its answer."""

    server: Asked

    def handle(self) -> None:
        answer: Any = calls.answer(self.server.recorder, self.rfile.readline(), ("root", "anyone"))
        self.wfile.write((json.dumps(answer | {"v": 1}) + "\n").encode())


@pytest.fixture
def answering(memory):
    """Give a device whose recorder is asked by `oubli`."""
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    shutil.copytree(SHIPPED_TEXTS, device.root / "usr/share/oubli")
    device.pass_to(3600)
    path = Path(device.recorder.paths.run.socket)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with Asked(str(path), Answers) as server:
        server.recorder = device.recorder
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield device
        server.shutdown()
        thread.join()
    device.recorder.close()


@pytest.mark.parametrize("changed", ["text", "purpose", "controller"])
def test_nobody_agrees_to_what_was_changed_after_she_read_it(interpreter, answering, changed):
    """L34-V-2: between the page or paper that she is shown and her word, the text or the configuration changes.

    `consent grant` made the hash anew, of a document that she never saw.
    """
    root, words = str(answering.root), ["--purposes", "location", "--third-parties", "none", "--days", "30"]

    def oubli(*more: str) -> tuple[int, str, str]:
        done = interpreter.run("-m", "agent", "consent", *more, "--root", root, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def shown() -> str:
        code, text, aside = oubli("text", *words, "--text", "3.fr")
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert (code, aside) == (0, f"oubli: once that is read: consent grant ... --document {digest}\n")
        assert json.loads(oubli("text", *words, "--text", "3.fr", "--json")[1])["text"] == digest
        return digest

    def grant(digest: str) -> tuple[int, str, str]:
        terminal = ["--terminal", MAC.hex(":"), "--categories", "access-point"]
        return oubli("grant", *words, *terminal, "--document", digest)

    digest, values = shown(), answering.recorder.config.notice.values
    if changed == "text":
        with (answering.root / "usr/share/oubli/consent-3.fr.txt").open("a") as file:
            file.write("Nous vendons vos déplacements.\n")
    else:
        values |= {"location": "la publicité"} if changed == "purpose" else {"controller": "Autre SARL"}
    code, said, refused = grant(digest)
    assert (code, said) == (1, "")
    assert refused.startswith("oubli: text: the document has changed, or is another consent's: read it again (L34-V")
    counts = answering.recorder.groups.by_consent().counts()
    assert counts == {"active": 0, "suspended": 0, "withdrawn": 0, "ended": 0}
    again = shown()
    assert again != digest
    assert grant(again)[0] == 0
    (one,) = answering.recorder.groups.by_consent().own({"terminal": MAC, "address": None})["consents"]
    assert one["text"] == again


def test_no_page_of_before_undoes_a_refusal(memory):
    """L34-V-4, L34-VI-5: each suspension and each objection has a token of its own by which it is undone."""
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    device.pass_to(3600)
    consents, mine = device.recorder.groups.by_consent(), {"terminal": MAC, "address": None}
    now = device.time.wall() // 10**9
    consents._open(make=True)
    consents._consents_or_refuse().grant(MAC, ["location"], ["access-point"], "none", now + 86400, bytes(32), now)
    tokens, undoing = set(), []
    for turn, act in enumerate(
        (consents.suspend, consents.resume, consents.suspend) + (consents.object, consents.accept) * 2
    ):
        device.pass_to(3600 + 60 * turn)
        act(mine, "portal")
        own = consents.own(mine)
        tokens.add(own["token"])
        undoing.append(own["undoes"])
    assert len(tokens) == 1
    assert len({*undoing}) == len(undoing)
    device.recorder.close()


# One purpose of two


BOTH = (["services", "location"], ["connections", "access-point"], "none")


def test_one_purpose_is_withdrawn_by_itself(stage, tmp_path):
    """L34-V-3: at once and over a restart; the other one goes on, and nobody is asked again for the former."""
    stage("consents_open", str(tmp_path))
    end = NOW + 20 * DAY
    assert stage("consents", "grant", GUEST, *BOTH, end, TEXT, NOW) == 0
    assert stage("consents", "withdraw", GUEST, NOW + 10, "services") == [0]
    for _ in range(2):
        assert [active(stage, purpose=name, now=NOW + 11) for name in ("services", "location")] == [False, True]
        assert [stage("consents", "alive", 0, name, NOW + 11) for name in ("services", "location")] == [False, True]
        assert stage("consents", "since", 0) == NOW  # of the other one nothing changes
        (shown,) = stage("consents", "of_terminal", GUEST, NOW + 11)
        assert (shown["state"], shown["purposes"], shown["categories"]) == ("active", ["location"], ["access-point"])
        assert (shown["withdrawn"], shown["withdrawn_since"]) == (["services"], NOW + 10)
        assert "not to be asked again" in grant(stage, purpose="services", days=1, now=NOW + 11)
        assert stage("consents", "flush") is True
        stage("consents_open", str(tmp_path))
    assert stage("consents", "withdraw", GUEST, NOW + 20, "services") == []
    assert stage("consents", "withdraw", GUEST, NOW + 20, "location") == [0]
    (shown,) = stage("consents", "of_terminal", GUEST, NOW + 21)
    assert (shown["state"], shown["since"]) == ("withdrawn", NOW + 20)
    assert stage("consents", "flush") is True
    stage("consents_open", str(tmp_path))
    (shown,) = stage("consents", "of_terminal", GUEST, NOW + 21)
    assert (shown["purposes"], shown["since"]) == (["location"], NOW + 20)
    assert (shown["withdrawn"], shown["withdrawn_since"]) == (["services"], NOW + 10)


def test_no_new_consent_is_taken_for_30_days_after_one_purpose_was_withdrawn_either(stage, tmp_path):
    """L34-V-3, L34-V-2: as the text says that she was shown, though the rest of her consent ends the next day."""
    stage("consents_open", str(tmp_path))
    assert stage("consents", "grant", GUEST, *BOTH, NOW + 30 * DAY, TEXT, NOW) == 0
    withdrawn = NOW + 29 * DAY
    assert stage("consents", "withdraw", GUEST, withdrawn, "services") == [0]
    stage("consents", "tick", NOW + 30 * DAY)
    for _ in range(2):
        for now in (NOW + 30 * DAY + 1, withdrawn + 30 * DAY - 1):
            assert "withdrawn less than 30 days ago" in grant(stage, now=now)
        assert stage("consents", "flush") is True
        stage("consents_open", str(tmp_path))
    assert grant(stage, now=withdrawn + 30 * DAY) == 1
    assert grant(stage, purpose="services", days=1, now=withdrawn + 30 * DAY) == 2  # though its proof is still kept


def test_a_consent_is_resumed_a_few_times_a_day_and_suspended_always(here, tmp_path):
    """Each costs writes of flash; another terminal, and another day, have their own."""
    here("consents_open", str(tmp_path))
    grant(here)
    grant(here, OTHER)
    for turn in range(5):  # as the texts that ship say
        here("consents", "suspend", GUEST, NOW + turn)
        assert here("consents", "resume", GUEST, NOW + turn) == [0]
    assert here("consents", "suspend", GUEST, NOW + 9) == [0]
    assert here("consents", "resume", GUEST, NOW + 9).startswith("refused: changed 5 times today")
    assert not active(here, now=NOW + 9)
    here("consents", "suspend", OTHER, NOW + 9)
    assert here("consents", "resume", OTHER, NOW + 9) == [1]
    assert here("consents", "resume", GUEST, NOW + DAY) == [0]
    assert here("consents", "withdraw", GUEST, NOW + DAY) == [0]


@pytest.mark.long
def test_who_changed_nothing_is_not_told_that_he_did(both, memory):
    """L34-VI-4: where too many others have, there is no room; whoever is among them has his five."""
    both("consents_open", tempfile.mkdtemp(dir=memory))
    for number in range(1024):
        mac = f"0x02000000{number:04x}"
        both("consents", "object", mac, NOW)
        assert both("consents", "accept", mac, NOW) is True
    both("consents", "object", GUEST, NOW)
    assert both("consents", "accept", GUEST, NOW).startswith("refused: no room")
    assert both("consents", "accept", GUEST, NOW, 0) is True  # by the operator
    for turn in range(5):
        both("consents", "object", mac, NOW)
        said = both("consents", "accept", mac, NOW)
        assert said is True if turn < 4 else said.startswith("refused: changed 5 times today")
    assert both("consents", "accept", mac, NOW, 0) is True


def test_who_has_changed_anything_is_forgotten_within_a_day_though_nobody_confirms_the_time(stage, tmp_path):
    """L34-VI-4: the notice says so of what the page keeps of a terminal."""
    stage("consents_open", str(tmp_path))
    for turn in range(2):
        stage("consents", "object", GUEST, None)
        assert stage("consents", "accept", GUEST, None) is True
        stage("consents", "tick", None, 5 * DAY + turn)
        assert stage("consents", "changes", GUEST) == turn
    stage("consents", "tick", None, 6 * DAY)
    assert stage("consents", "changes", GUEST) == 0
    device = paired.Device(tmp_path / "device", None)
    consents, mac = device.recorder.groups.by_consent(), terminal_signs.mac_of(1)
    wall, booted, left = device.time.wall(), device.time.monotonic(), []
    for seconds in (0, 60, 120, DAY + 180):
        consents.object({"terminal": mac, "address": None}, "root")
        if seconds == 60:
            consents.accept({"terminal": mac, "address": None}, "root")
        consents.tick(wall + seconds * 10**9, booted + seconds * 10**9, trusted=False)
        left.append(consents._consents_or_refuse().changes(mac))
    assert left == [0, 1, 1, 0]
    device.recorder.close()


# Objections


def test_an_objection_holds_for_thirteen_months_over_restarts(stage, tmp_path):
    """L34-VI-5: at once, without a clock too, for its terminal alone.

    Taken back it is gone, and not by an end that a clock tells.
    """
    stage("consents_open", str(tmp_path))
    assert stage("consents", "objects", GUEST) is False
    assert stage("consents", "object", GUEST, None) is True
    assert stage("consents", "object", GUEST, NOW) is False  # it did before
    assert stage("consents", "flush") is True
    stage("consents_open", str(tmp_path))
    stage("consents", "tick", NOW)
    month = 30 * DAY
    for day in (0, 364, 394):
        stage("consents", "tick", NOW + day * DAY)
        stage("consents_open", str(tmp_path))
        assert [stage("consents", "objects", who) for who in (GUEST, OTHER)] == [True, False]
    stage("consents", "tick", NOW - month)
    assert stage("consents", "objects", GUEST) is True
    assert stage("consents", "of_terminal", GUEST, NOW) == stage("consents", "listed", 0, 100, NOW) == []
    assert stage("consents", "counts", NOW) == {"active": 0, "suspended": 0, "withdrawn": 0, "ended": 0}
    stage("consents", "tick", NOW + 395 * DAY)
    assert stage("consents", "objects", GUEST) is False
    assert list((tmp_path / "consents").iterdir()) == []
    assert stage("consents", "object", GUEST, NOW) is True
    assert stage("consents", "flush") is True
    assert stage("consents", "accept", GUEST, NOW) is True
    assert stage("consents", "accept", GUEST, NOW) is False
    stage("consents_open", str(tmp_path))
    assert stage("consents", "objects", GUEST) is False


def test_who_objects_gives_no_consent_and_resumes_none(here, tmp_path):
    """L34-VI-5: it isn't in `services` or `location` either, until that is taken back."""
    here("consents_open", str(tmp_path))
    grant(here, purpose="services", days=9)
    here("consents", "suspend", GUEST, NOW)
    here("consents", "object", GUEST, NOW)
    for said in (grant(here), here("consents", "resume", GUEST, NOW)):
        assert said.startswith("refused: this terminal objects to being counted (L34-VI-5)")
    assert here("consents", "accept", GUEST, NOW) is True
    assert here("consents", "resume", GUEST, NOW) == [0]


@pytest.mark.long
def test_objections_are_bounded_and_leave_room_for_consents(here, memory):
    root = memory / "objections"
    root.mkdir()
    here("consents_open", str(root))
    macs = [f"0x02000000{number:04x}" for number in range(577)]
    told = [here("consents", "object", mac, NOW) for mac in macs[:513]]
    assert told[:512] == [True] * 512
    assert told[512].startswith("refused: no room: 512 objections are remembered")
    told = [here("consents", "object", mac, NOW, 0) for mac in macs[512:]]  # by the operator
    assert told[:64] == [True] * 64
    assert told[64].startswith("refused: no room: 576 objections are remembered")
    assert grant(here, OTHER) == 576
    assert here("consents", "flush") is True
    here("consents_open", str(root))
    assert [here("consents", "objects", mac) for mac in macs] == [True] * 576 + [False]


def test_no_crowd_of_strangers_takes_the_operator_s_room(memory, monkeypatch):
    """L34-VI-5: where guests are refused for want of room, or of changes today, the operator's verbs go on."""
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    (device.root / "usr/share").mkdir(parents=True)
    shutil.copytree(SHIPPED_TEXTS, device.root / "usr/share/oubli")
    device.pass_to(3600)
    groups, mine = device.recorder.groups, {"terminal": MAC, "address": None}
    consents, agreed = groups.by_consent(), {"purposes": ["location"], "third_parties": "none", "days": 30}
    given = (
        mine | agreed | {"categories": ["access-point"], "text": consents.document(agreed | {"name": "3.fr"})["text"]}
    )
    for name, most in (("REFUSALS", kept_consents.RESERVED), ("CHANGES", 0), ("OBJECTIONS", 0)):
        monkeypatch.setattr(consents_module, name, most)
    monkeypatch.setattr(rounds, "WAITING", 0)

    def refused(act: Callable[..., Any], fields: dict[str, Any], why: str) -> None:
        with pytest.raises(calls.Refused, match=why):
            act(fields, calls.PORTAL)
        act(fields, calls.OPERATOR)

    refused(consents.grant, given, "no room: 0 refusals")
    consents.suspend(mine, calls.PORTAL)
    refused(consents.resume, mine, "times today|no room for a change")
    assert consents.counts() == {"active": 1, "suspended": 0, "withdrawn": 0, "ended": 0}
    refused(device.recorder.orders.object, mine, "no room: 0 objections")
    refused(consents.accept, mine, "times today|no room for a change")
    refused(groups.erasure().begin, mine, "too many terminals wait")
    assert (consents.objections(), groups.erasure().state(mine)) == (0, {"erasing": True})
    device.recorder.close()


def test_an_objection_that_flash_refuses_holds_and_is_written_later(book, monkeypatch):
    """L34-VI-5: it counts at once; one that can't be taken back goes on."""
    consents = book()
    with monkeypatch.context() as patch:
        refuse(patch)
        assert consents.object(MAC, NOW)
        assert not consents.flush()
        assert consents.objects(MAC)
    consents.tick(NOW + 1)
    assert book().objects(MAC)
    with monkeypatch.context() as patch:
        refuse(patch, "remove")
        with pytest.raises(OSError, match="Errno 5"):
            book().accept(MAC, NOW)
    assert book().objects(MAC)


class PowerCut(BaseException):
    """Nothing of the process goes on."""


@pytest.mark.parametrize("how", ["cut", "put back"])
def test_who_objects_is_followed_by_no_consent_whatever_lies_on_flash(book, tmp_path, monkeypatch, how):
    """L34-VI-5: power is lost between the two writes, or an older objection is put back beside a consent of after it.

    Her page says that no consent of hers is applied; she resumes it once she takes the objection back.
    """
    consents, place = book(), tmp_path / "vault/consent"
    consents.grant(bytes.fromhex(OTHER[2:]), *GIVEN)
    assert consents.grant(MAC, ["services"], ["connections"], "none", NOW + 99 * DAY, b"Z" * 32, NOW) == 1
    now = NOW + 31 * DAY
    consents.tick(now)  # the first place is free
    consents.object(MAC, now)
    if how == "cut":
        made, add = [0], refusals.Refusals.add

        def cut(self: refusals.Refusals, *words: Any) -> None:
            made[0] += 1
            if made[0] == 2:
                raise PowerCut
            add(self, *words)

        assert consents.suspend(MAC, now) == [1]
        with monkeypatch.context() as patch:
            patch.setattr(refusals.Refusals, "add", cut)
            with pytest.raises(PowerCut):
                consents.flush()
    else:
        assert consents.flush()
        backup = copied(place, tmp_path / "backup")
        assert consents.accept(MAC, now)
        copied(backup, place)
    for _ in range(2):  # it is written as what it is
        consents = book()
        assert consents.objects(MAC)
        assert consents.active(MAC, "services", now) < 0
        assert (consents.counts(now)["suspended"], consents.any_active("services", now)) == (1, False)
        assert consents.flush()
    assert consents.accept(MAC, now)
    assert consents.active(MAC, "services", now) < 0
    assert consents.resume(MAC, now) == [1]
    assert book().active(MAC, "services", now) == 1


def test_a_refusal_that_flash_refuses_is_counted_once(tmp_path, monkeypatch):
    """L34-V-2: it is tried again each half minute; after 17 hours of a full flash nobody could consent any more."""
    names = refusals.Refusals(str(tmp_path / "vault/consent"))

    def full(*_: Any) -> int:
        raise OSError(28, "")

    with monkeypatch.context() as patch:
        patch.setattr(files, "open_file", full)
        for _ in range(3):
            with pytest.raises(OSError, match="28"):
                names.add("00" * 8, "e", NOW)
        assert names.count == 0
    for _ in range(2):
        names.add("00" * 8, "e", NOW)
        assert names.count == 1


def test_an_objection_that_no_clock_dated_is_one_after_a_restart_too(book):
    """L34-VI-5: it has a name of before the time was confirmed, too; status counted two, a copy told both."""
    consents = book()
    consents.tick(NOW)  # the next look at names that are over is an hour away
    assert consents.object(MAC, None)
    assert consents.flush()
    consents.tick(NOW + 10)
    for _ in range(2):
        consents = book()
        consents.tick(NOW + 20)
        assert (consents.objections, consents.objection(MAC)) == (1, [0, NOW + 10 + 395 * DAY])
    assert consents.accept(MAC, NOW + 30)
    assert not book().objects(MAC)


def test_a_name_that_is_no_refusal_stops_no_start_and_goes(book, tmp_path):
    """L34-V-2: flash that lost a letter of a name; the recorder didn't start any more."""
    consents = book()
    assert consents.object(MAC, NOW)
    assert consents.flush()
    (objection,) = folder = [*tmp_path.rglob("vault/consent/*")]
    for wrong in ("zz" + objection.name[2:], objection.name[:3] + "-" + objection.name[4:], objection.name[:-1] + "_"):
        (objection.parent / wrong).touch()
    consents = book()
    assert consents.objects(MAC)
    consents.tick(NOW + 10)
    assert [*objection.parent.iterdir()] == folder


# Put back from a backup


def copied(folder: Path, to: Path) -> Path:
    """Copy what lies on flash, as somebody does who makes a backup of it."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return to


@pytest.mark.parametrize("act", ["withdraw", "suspend", "end"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_consent_that_is_put_back_counts_as_what_was_said_since(stage, tmp_path, act, whole):
    """L34-VI-5: withdrawn, suspended or ended, though its file says active.

    The folder replaced, or everything laid over what is there.
    """
    device = tmp_path / "device"
    device.mkdir()
    stage("consents_open", str(device))
    grant(stage)
    grant(stage, OTHER)
    backup = copied(device, tmp_path / "backup")
    if act == "end":
        stage("consents", "tick", NOW + 30 * DAY)
    else:
        stage("consents", act, GUEST, NOW + 1)
        assert stage("consents", "flush") is True
    if whole:
        shutil.rmtree(device / "consents")
        shutil.copytree(backup / "consents", device / "consents")
    else:
        copied(backup, device)
    state = {"withdraw": "withdrawn", "suspend": "suspended", "end": "ended"}[act]
    for _ in range(2):  # it is written anew as what it is
        counts = stage("consents_open", str(device))["counts"]
        assert not active(stage)
        assert counts[state] == (2 if act == "end" else 1)
        assert active(stage, OTHER) == (act != "end")
        assert stage("consents", "resume", GUEST, NOW + 2) == ([0] if act == "suspend" else [])
        assert stage("consents", "suspend", GUEST, NOW + 3) == ([0] if act == "suspend" else [])
        assert stage("consents", "flush") is True


def test_no_time_is_told_of_a_choice_that_no_clock_dated(stage, tmp_path):
    """GDPR 15: not that at which somebody confirmed the time, days later; nor is an end told as a consent's beginning.

    An older file that is put back says nothing of when it was withdrawn or suspended either.
    """
    stage("consents_open", str(tmp_path))
    third, later = "0x02aabbccddee", NOW + 2 * DAY
    assert [grant(stage), grant(stage, OTHER), grant(stage, third, days=1)] == [0, 1, 2]
    backup = copied(tmp_path / "consents", tmp_path / "backup")
    assert stage("consents", "withdraw", GUEST, None) == [0]
    assert stage("consents", "suspend", OTHER, None) == [1]
    assert stage("consents", "object", OTHER, None) is True
    assert stage("consents", "flush") is True

    def since(who: str, now: int = later) -> int:
        return int(stage("consents", "of_terminal", who, now)[0]["since"])

    for put_back in (False, False, True):
        if put_back:
            copied(backup, tmp_path / "consents")
        stage("consents_open", str(tmp_path))
        stage("consents", "tick", later)
        assert [since(GUEST), since(OTHER), since(third)] == [0, 0, NOW + DAY]
        assert stage("consents", "objection", OTHER) == [0, later + 395 * DAY]
        assert stage("consents", "counts", later) == {"active": 0, "suspended": 1, "withdrawn": 1, "ended": 1}
    assert stage("consents", "accept", OTHER, later) is True
    assert stage("consents", "resume", OTHER, later) == [1]
    assert since(OTHER) == later
    assert stage("consents", "suspend", OTHER, later + 9) == [1]
    assert stage("consents", "object", OTHER, later + 9) is True
    assert stage("consents", "flush") is True
    stage("consents_open", str(tmp_path))
    assert since(OTHER) == later + 9
    assert stage("consents", "objection", OTHER) == [later + 9, later + 9 + 395 * DAY]
    assert stage("consents", "withdraw", OTHER, later + 10) == [1]
    assert since(OTHER) == later + 10
    assert grant(stage, now=later + 30 * DAY - 1).startswith("refused: withdrawn less than 30 days ago")
    stage("consents", "tick", later + 30 * DAY)
    assert stage("consents", "of_terminal", GUEST, later + 30 * DAY) == []


def test_an_objection_and_one_purpose_that_was_withdrawn_outlive_a_restore(here, tmp_path):
    """L34-VI-5: of a consent to two purposes the other one goes on."""
    here("consents_open", str(tmp_path))
    both = ["services", "location"], ["connections", "access-point"]
    assert here("consents", "grant", GUEST, *both, "none", NOW + DAY, TEXT, NOW) == 0
    backup = copied(tmp_path / "consents", tmp_path / "backup")
    here("consents", "withdraw", GUEST, NOW, "services")
    here("consents", "object", OTHER, NOW)
    assert here("consents", "flush") is True
    shutil.rmtree(tmp_path / "consents")
    shutil.copytree(backup, tmp_path / "consents")
    here("consents_open", str(tmp_path))
    assert (active(here, purpose="services"), active(here)) == (False, True)
    assert [here("consents", "objects", who) for who in (GUEST, OTHER)] == [False, True]


def test_a_file_that_is_put_in_the_place_of_another_consents_is_never_written_anew(here, tmp_path):
    """While the recorder runs: what it writes of one terminal goes into no other one's consent."""
    here("consents_open", str(tmp_path))
    grant(here)
    backup = copied(tmp_path / "consents", tmp_path / "backup")
    here("consents", "withdraw", GUEST, NOW)
    here("consents", "flush")
    here("consents", "tick", NOW + 31 * DAY)
    assert grant(here, OTHER, now=NOW + 31 * DAY) == 0
    copied(backup, tmp_path / "consents")
    assert here("consents", "suspend", OTHER, NOW + 31 * DAY) == [0]
    assert here("consents", "flush") is True
    assert here("consents", "resume", OTHER, NOW + 31 * DAY) == "errno 5"
    assert (tmp_path / "consents/0000").read_bytes() == (backup / "0000").read_bytes()
    assert here("consents", "of_terminal", OTHER, NOW + 31 * DAY)[0]["text"] == ""
    here("consents_open", str(tmp_path))
    assert not active(here)
    assert not active(here, OTHER, now=NOW + 31 * DAY)


@pytest.mark.parametrize("purpose", [None, "services"])
def test_no_new_prompt_for_30_days_whatever_folder_of_consents_is_put_back(stage, tmp_path, purpose):
    """L34-V-3: an older folder knows nothing of the consent that was withdrawn; a name in vault/consent does."""
    stage("consents_open", str(tmp_path))
    both = ["services", "location"], ["connections", "access-point"]
    assert stage("consents", "grant", GUEST, *both, "none", NOW + DAY, TEXT, NOW) == 0
    stage("consents", "withdraw", GUEST, NOW, *([purpose] if purpose else []))
    assert stage("consents", "flush") is True
    shutil.rmtree(tmp_path / "consents")  # as it was before the grant
    stage("consents_open", str(tmp_path))
    refused = "refused: withdrawn less than 30 days ago, or it isn't known when: not to be asked again before (L34-V-3)"
    assert grant(stage, now=NOW + 30 * DAY - 1) == refused
    assert grant(stage, OTHER, now=NOW + 1) == 0
    assert grant(stage, now=NOW + 30 * DAY) == 1


def test_what_is_refused_is_forgotten_once_no_older_copy_could_count(here, tmp_path):
    """L34-V: 30 days after the end that the consent had; an objection after 13 months.

    A name says nothing of anybody.
    """
    here("consents_open", str(tmp_path))
    grant(here)
    here("consents", "withdraw", GUEST, NOW)
    here("consents", "object", OTHER, NOW)
    here("consents", "flush")
    place = tmp_path / "vault/consent"
    names = sorted(path.name for path in place.iterdir())
    assert sorted(map(len, names)) == [25, 41, 41]
    assert {path.stat().st_size for path in place.iterdir()} == {0}
    assert not any(who[2:] in name for who in (GUEST, OTHER) for name in names)
    (place / "not one of ours").touch()
    for day, left in ((29, 3), (30, 2), (59, 2), (60, 1), (394, 1), (395, 0)):
        here("consents", "tick", NOW + day * DAY)
        assert len([*place.iterdir()]) == left, day


def test_a_refusal_goes_when_its_time_is_over_and_not_the_day_after(stage, tmp_path):
    """L34-VI-4: the notice says until when, and 395 days at most; the day's first look was before that."""
    stage("consents_open", str(tmp_path))
    grant(stage, purpose="services", days=365)
    grant(stage, OTHER, days=1)
    for who in (GUEST, OTHER):
        stage("consents", "suspend", who, NOW)
    stage("consents", "flush")
    place = tmp_path / "vault/consent"
    for seconds, left in ((31 * DAY - 1, 3), (31 * DAY, 1), (395 * DAY - 1, 2), (395 * DAY, 0)):
        stage("consents", "tick", NOW + seconds)
        assert len([*place.iterdir()]) == left, seconds


def test_refusals_are_bounded_by_consents_that_are_not_taken(here, tmp_path):
    here("consents_open", str(tmp_path))
    (tmp_path / "vault/consent").mkdir(parents=True)
    for number in range(2048):
        (tmp_path / f"vault/consent/{number:016x}1{NOW:08x}").touch()
    here("consents_open", str(tmp_path))
    assert grant(here) == "refused: no room: 2048 refusals are remembered; accepted: once older ones are forgotten"


def test_a_clock_that_is_set_back_makes_no_consent_active_that_had_ended(memory, monkeypatch):
    """L34-VI-5, EXP-5: below the time that was reached a clock that is trusted says nothing: nobody is followed."""
    device = paired.Device(memory / "device", None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    device.pass_to(7200)
    began = device.time.wall() // 10**9
    recorder = device.recorder
    assert recorder.groups.by_consent()._now() == began
    recorder.clock.floor = began
    monkeypatch.setattr(device.time, "wall", lambda: (began - 1800) * 10**9)
    recorder.tick()
    assert recorder.clock.trusted
    assert recorder.groups.by_consent()._now() is None
    recorder.close()


@pytest.mark.long
def test_no_history_brings_back_what_was_withdrawn_or_has_ended():
    """L34-VI-5: restores, steps of the clock, cuts of power.

    Who objects is never without his objection, who consents isn't refused.
    """
    lived = [consent_histories.live(seed) for seed in range(30)]
    assert sum(one.device.cuts for one in lived) > 50
    assert sum(one.restores for one in lived) > 100
    assert sum(one.followed for one in lived) > 500


WRONG = "a consent is active that was withdrawn or has ended"
BROKEN = {  # what is patched, and a history that finds it
    "refusals aren't looked at": (refusals.Refusals, "has", lambda *_: False, 2, WRONG),
    "refusals are kept in memory": (refusals.Refusals, "add", lambda *_: None, 31, WRONG),
    "refusals go at the next tick": (
        refusals.Refusals,
        "sweep",
        lambda self, _: self._remove([*self._names()]),
        31,
        WRONG,
    ),
    "no refusal of a suspension": (kept_consents, "PAUSED", "", 22, "a consent is active that was suspended"),
    "objections aren't read": (refusals.Refusals, "of", lambda *_: iter(()), 0, "somebody is counted who objects"),
    "an end is noted late": (Consents, "due", lambda *_: False, 504103756, WRONG),
    "all is refused": (refusals.Refusals, "has", lambda *_: True, 1, "somebody isn't followed who consents"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_history_finds_what_is_broken(broken, monkeypatch):
    owner, name, instead, seed, found = BROKEN[broken]
    consent_histories.live(seed)
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises(HistoryError, match=found):
        consent_histories.live(seed)
