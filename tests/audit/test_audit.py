# SPDX-License-Identifier: Apache-2.0
"""agent/audit/log, chain, history: the audit log (L34-VI-3), written, cut, rewritten, forked, and lost power under.

What is tampered with here is tampered with by somebody who knows the form and can make every hash anew: then only a
head that was seen outside shows it.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from agent.audit import chain
from agent.audit import log as audit
from agent.audit.history import History
from agent.control import calls
from agent.purposes.consent import consent_rows, kept_consents
from agent.runtime.sodium import Sodium
from agent.vault import stores
from host_sim.checks import log_auditor
from host_sim.faults import audit_cuts
from host_sim.privacy.paired import Device
from host_sim.privacy.terminal_signs import Sign
from tests.support.interpreters import INTERPRETERS, PROJECT
from tools.fleet import heads

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

SODIUM = Sodium()
DAY = 86400
START = 20775 * DAY


class Time:
    """A clock in one state."""

    def __init__(self, second: int = START, state: str = "trusted") -> None:
        self.second, self.state, self.source = second, state, self

    def wall(self) -> int:
        return self.second * 10**9


def log_in(folder: Path, time: Time, said=lambda _text: None) -> audit.Audit:
    folder.mkdir(exist_ok=True)
    return audit.Audit(str(folder), SODIUM, time, said)  # type: ignore[arg-type]  # what it asks of a clock


def verdict(folder: Path, head: str | None = None) -> History:
    """Return what `oubli log --verify` finds."""
    book = History(str(folder), head)
    book.read(lambda _entry: None)
    return book


def lines(folder: Path) -> list[str]:
    """Return the text of every line, without its number, time, clock and hash."""
    found: list[str] = []
    chain.verify(str(folder), SODIUM, lambda entry: found.append(" ".join([entry.act, *entry.words])))
    return found


# What it says


@pytest.mark.parametrize("act", audit.ACTS)
def test_no_act_has_a_place_for_terminal_data(memory, act):
    """L34-II-5: neither as text, octets or number, in any place.

    The largest number is below every address that is read as one.
    """
    folder = memory / f"act-{act}"
    log = log_in(folder, Time())
    fine = {audit.NUMBER: 5, audit.DIGEST: bytes(8), audit.SEGMENT: "2026-11-23-0001"}
    words = [fine[kind] if isinstance(kind, str) else kind[0] for kind in audit.ACTS[act]]
    assert log.note(act, *words)
    terminal = [
        "02:11:22:33:44:55",
        "021122334455",
        "c0a80709",
        "2026-11-23-192.168.7.9",
        b"\x02\x11\x22\x33\x44\x55",
        "192.168.7.9",
        b"\xc0\xa8\x07\x09",
        "2001:db8::9",
        b"\x20\x01" * 8,
        "host",
    ]
    for place in range(len(words)):
        for secret in [*terminal, None, ["x"], -1]:
            with pytest.raises(ValueError):
                log.note(act, *words[:place], secret, *words[place + 1 :])
        if audit.ACTS[act][place] in (audit.NUMBER, audit.SEGMENT):
            for address in (0xC0A80709, 0x021122334455, 0x0A000001):
                log.note(act, *words[:place], address, *words[place + 1 :])
                assert str(audit.LARGEST) in lines(folder)[-1]
    with pytest.raises(ValueError):
        log.note(act, *words, "more")


SAME = """
import sys
from agent.audit import log as audit, chain
from agent.runtime.sodium import Sodium
from agent.vault import stores
class Time:
    state = "floor"
    second = 1795000000
    def wall(self):
        return self.second * 10**9
time = Time()
time.source = time
log = audit.Audit(sys.argv[1], Sodium(), time, print, lambda count: b"\\xa5" * count)
log.note("start", "boot")
log.note("config", b"01234567")
for hour in range(3):
    time.second += 3600
    log.note("loss", "ring-full", 12 + hour)
    log.hour()
time.second += 40 * 86400
time.state = "trusted"
log.hour()
print(log.newest)
print(chain.verify(sys.argv[1], Sodium(), lambda entry: print(entry.act, entry.words)).wrong)
"""


def test_the_log_is_the_same_to_the_octet_on_every_interpreter(any_interpreter: Interpreter, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text(SAME)
    told = {}
    for one in (any_interpreter, INTERPRETERS["cpython"]):
        folder = tmp_path / one.name
        folder.mkdir(exist_ok=True)
        out = one.run("-c", SAME.replace("sys.argv[1]", repr(str(folder)))).stdout
        told[one.name] = out, {path.name: path.read_bytes() for path in folder.iterdir()}
        shutil.rmtree(folder)
    assert len({str(one) for one in told.values()}) == 1
    assert b"loss ['ring-full', '14']" in out
    assert out.endswith(b"None\n")


def test_every_consent_that_a_gateway_remembers_can_be_noted(tmp_path):
    """L34-VI-3: each one given, and each of its purposes withdrawn."""
    assert audit.most("consent granted") == kept_consents.LIMIT
    assert audit.most("consent withdrawn") == kept_consents.LIMIT * len(consent_rows.PURPOSES)
    log = log_in(tmp_path / "audit", Time())
    assert all(log.note("consent", "granted", "portal") for _ in range(audit.ROOM + 1))


def test_an_act_fills_its_own_room_and_no_more(tmp_path):
    """L34-VI-3: whoever suspends his consent all day takes no room from the others.

    The next checkpoint says how many acts found none.
    """
    log = log_in(tmp_path / "audit", Time())
    told = [log.note("consent", "suspended", "anyone") for _ in range(1000)]
    assert told == [True] * audit.ROOM + [False] * (1000 - audit.ROOM)
    assert log.note("request", "run", bytes(8))
    log.hour()
    assert lines(tmp_path / "audit")[-1].endswith(f" {1000 - audit.ROOM}")
    log.hour()
    assert lines(tmp_path / "audit")[-1].endswith(" 0")
    log = log_in(tmp_path / "audit", Time())
    assert not log.note("consent", "suspended", "anyone"), "a restart makes no room"
    for act in ("granted", "withdrawn"):  # nobody's suspensions keep another one's withdrawal from being noted
        assert log.note("consent", act, "portal")
    assert sum(path.stat().st_size for path in (tmp_path / "audit").iterdir()) < 40000
    assert verdict(tmp_path / "audit").wrong is None


@pytest.mark.parametrize("state", ["trusted", "floor"])
def test_twelve_months_are_kept_and_the_rest_goes_with_the_chain_unbroken(memory, monkeypatch, state):
    """L34-VI-3: two years of hours.

    By the clock where it is trusted, by powered-on hours where it isn't (days for hours, to be quick).
    """
    monkeypatch.setattr(chain, "KEEP", chain.KEEP // 24)
    monkeypatch.setattr(audit, "SPAN", audit.SPAN // 24)
    time, folder = Time(state=state), memory / state
    log = log_in(folder, time)
    for day in range(2 * 366):
        time.second += 3600 if state == "trusted" else 0
        log.hour()
        if day % 50 == 0:
            log = log_in(folder, time)
    oldest, newest = verdict(folder), sorted(folder.iterdir())
    assert oldest.wrong is None
    assert oldest.data()["checkpoints"] == 2 * 366
    first = chain.first(str(newest[0]))
    assert first is not None
    assert 366 <= 2 * 366 - int(first.words[1]) <= 366 + 2 * 28
    for path in newest[:2]:
        path.unlink()
        assert (verdict(folder).wrong is None) == (path == newest[0])
    assert "removed before their time" in (verdict(folder).wrong or "")


def test_a_checkpoint_tells_nothing_of_the_acts_before_it(memory):
    """L34-VI-3: one an hour, whatever happened; its hash is salted anew, so that trying all acts finds none of them."""
    heads_seen, numbers = set(), set()
    for index, acts in enumerate(([], [("consent", "withdrawn", "portal")], [("consent", "withdrawn", "portal")] * 3)):
        for again in range(2):
            log = log_in(memory / f"salt-{index}-{again}", Time())
            for act in acts:
                log.note(*act)
            log.hour()
            numbers.add(log.newest[0])
            heads_seen.add(log.newest[1])
    assert numbers == {1}
    assert len(heads_seen) == 6


# Whoever changes it


STEPS = 16


def story(folder: Path) -> list[str]:
    """Write a log of three files; return the heads that health told, as NUMBER:HASH."""
    time, told = Time(), []
    log = log_in(folder, time)
    for hour in range(STEPS):
        time.second += 7 * DAY
        log.note("erase", "security", "operator")
        log.note("consent", ("granted", "withdrawn")[hour % 2], "portal")
        log.hour()
        told.append("{}:{}".format(*log.newest))
    return told


def forge(folder: Path, change) -> None:
    """Change the list of all lines, and make every hash anew, as the owner of the device can."""
    entries: list[list[str]] = []
    for path in sorted(folder.iterdir()):
        entries += [line.split(" ")[:-1] for line in path.read_text().splitlines()]
        path.unlink()
    change(entries)
    head = chain.NOTHING
    newest, path = (0, chain.NOTHING), folder / "00000001"
    for number, parts in enumerate(entries, 1):
        parts[0] = str(number)
        if parts[3] == "link":
            path = folder / f"{int(parts[4]):08d}"
            parts[5:8] = [str(newest[0]), newest[1], head]
        if parts[3] == "checkpoint":
            parts[4] = str(newest[0] + 1)
        text = " ".join(parts)
        head = chain.seal(SODIUM, head, text)
        if parts[3] == "checkpoint":
            newest = (newest[0] + 1, head)
        with path.open("a") as file:
            file.write(f"{text} {head}\n")


EDITS = (
    "flip",
    "cut",
    "drop",
    "swap",
    "twice",
    "insert",
    "tail",
    "file",
    "files",
    "forge drop",
    "forge add",
    "forge word",
    "forge one",
    "fork",
)


def tampered(folder: Path, dice: random.Random) -> str:  # noqa: C901, PLR0912 (a list of ways)
    """Change the log somehow; returns what was done."""
    paths = sorted(folder.iterdir())
    path = dice.choice(paths)
    data = bytearray(path.read_bytes())
    rows = bytes(data).splitlines(keepends=True)
    acts = [i for i, row in enumerate(rows) if b" checkpoint " not in row and b" link " not in row]
    at = dice.randrange(len(data))
    match dice.choice(EDITS):
        case "flip":
            data[at] ^= 1 << dice.randrange(8)
        case "cut":
            del data[at:]
        case "drop":
            del rows[dice.randrange(len(rows))]
            data = bytearray(b"".join(rows))
        case "swap":
            one, other = dice.sample(range(len(rows)), 2)
            rows[one], rows[other] = rows[other], rows[one]
            data = bytearray(b"".join(rows))
        case "twice":
            data = bytearray(b"".join([*rows[:-1], dice.choice(rows), *rows[-1:]]))
        case "insert":
            data[at:at] = dice.randbytes(dice.randrange(1, 9))
        case "tail":  # whole lines from the end, over the files
            for later in paths[paths.index(path) + 1 :]:
                later.unlink()
            data = bytearray(b"".join(rows[: dice.randrange(len(rows))]))
        case "file":
            path.unlink()
            return "file"
        case "files":
            beside = dice.choice([one for one in paths if one != path])
            data, former = bytearray(beside.read_bytes()), data
            beside.write_bytes(former)
        case "forge drop":
            forge(folder, lambda entries: entries.pop(1 + dice.choice(acts[:-2]) % 9))
            return "forged"
        case "forge add":
            forge(folder, lambda entries: entries.insert(3, ["0", "1795000000", "trusted", "stop"]))
            return "forged"
        case "forge word":
            forge(folder, lambda entries: entries[2].__setitem__(5, "root"))
            return "forged"
        case "forge one":  # a whole file, and not the next one's link to it
            head, written = rows[0].decode().split(" ")[7], b""
            for row in [rows[0], rows[1].replace(b"operator", b"root"), *rows[2:]]:
                text = row.decode().rpartition(" ")[0]
                head = chain.seal(SODIUM, head, text)
                written += f"{text} {head}\n".encode()
            data = bytearray(written)
        case _:  # two logs that go on from one
            for later in paths[2:]:
                later.unlink()
            log = log_in(folder, Time(START + 2000 * DAY))
            for _ in range(STEPS):
                log.hour()
            return "forked"
    path.write_bytes(data)
    return "changed"


@pytest.mark.parametrize("part", range(4))
@pytest.mark.long
def test_a_thousand_edits_are_found(memory, part):
    """L34-VI-3: cut, rewritten, reordered, forked, also with every hash made anew.

    By itself, or by one head that was seen outside.
    """
    folder = memory / f"log-{part}"
    told = story(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert all(verdict(folder, head).wrong is None for head in told)
    assert len(before) == 4
    dice, by_itself, done = random.Random(part), 0, set()
    for _ in range(250):
        shutil.rmtree(folder)
        folder.mkdir()
        for name, data in before.items():
            (folder / name).write_bytes(data)
        done.add(tampered(folder, dice))
        if {path.name: path.read_bytes() for path in folder.iterdir()} == before:
            continue  # two lines that are alike changed places with themselves
        alone = verdict(folder).wrong
        by_itself += alone is not None
        assert alone or verdict(folder, told[-1]).wrong
    assert done == {"changed", "file", "forged", "forked"}
    assert 100 < by_itself < 250


def test_what_a_fleet_saw_shows_a_fork_and_a_cut():
    """L34-VI-3: a head can't be taken back; a message that comes late is no cut."""
    seen = [heads.Head(100 + hour, hour, f"{hour:064x}") for hour in range(5)]
    assert heads.finding(seen, heads.Head(200, 5, "a" * 64)) is None
    assert heads.finding(seen, heads.Head(200, 4, f"{4:064x}")) is None
    assert heads.finding(seen, heads.Head(102, 2, f"{2:064x}")) is None
    assert heads.finding(seen, heads.Head(200, 4, "a" * 64)) == "forked"
    assert heads.finding(seen, heads.Head(200, 3, f"{3:064x}")) == "cut"
    assert heads.finding(seen[:3], heads.Head(200, 1, f"{1:064x}")) == "cut"
    assert heads.finding([], heads.Head(200, 0, chain.NOTHING)) is None


@pytest.mark.needs("micropython")
@pytest.mark.parametrize("octet", [b"x", b"-", b" "])
def test_a_damaged_link_of_an_older_file_ends_nobody_and_keeps_no_file_for_good(memory, octet):
    """The recorder ended at its next hour, each hour anew.

    Damage is found by --verify, and what is twelve months old goes.
    """
    time, folder = Time(), memory / f"damaged-{octet.hex()}"
    shutil.rmtree(folder, ignore_errors=True)
    log = log_in(folder, time)
    for _ in range(3):
        log.hour()
        time.second += 30 * DAY
    second = sorted(folder.iterdir())[1]
    at = second.read_bytes().index(b"link ") + 7  # the number of its newest checkpoint
    second.write_bytes(second.read_bytes()[:at] + octet + second.read_bytes()[at + 1 :])
    log = log_in(folder, time)
    for _ in range(14):
        log.hour()
        time.second += 30 * DAY
    assert second not in folder.iterdir()
    assert verdict(folder).wrong is None


@pytest.mark.parametrize(
    ("word", "holds"), [("~", True), ("\x1b[2J", False), ("\x7f", False), ("é", False), ("x" * 300, False)]
)
def test_a_line_that_would_speak_to_a_terminal_or_is_too_long_is_damage_though_its_hash_holds(memory, word, holds):
    """Whoever can make each hash anew writes no escape sequence onto the screen of who reads the log."""
    folder = memory / "escapes"
    shutil.rmtree(folder, ignore_errors=True)
    log_in(folder, Time()).hour()
    file = folder / "00000001"
    last, _ = chain.walk(str(file), SODIUM, lambda _entry: None)
    assert last is not None
    text = f"{last.number + 1} {START} trusted clock {word}"
    with file.open("a") as opened:
        opened.write(f"{text} {chain.seal(SODIUM, last.head, text)}\n")
    assert (verdict(folder).wrong is None) == holds


def test_an_empty_newest_file_is_gone_on_from(memory):
    """A cut of power made the next month's file and nothing in it.

    What follows goes to another, and the log holds together.
    """
    time, folder = Time(), memory / "empty"
    shutil.rmtree(folder, ignore_errors=True)
    log_in(folder, time).hour()
    (folder / "00000002").touch()
    log = log_in(folder, time)
    log.hour()
    assert verdict(folder).wrong is None
    assert [path.name for path in sorted(folder.iterdir())] == ["00000001", "00000002", "00000003"]
    log_in(folder, time).hour()
    assert verdict(folder).wrong is None
    (folder / "00000003").unlink()
    assert verdict(folder).wrong is None  # of the newest file nobody outside has seen a checkpoint


def test_reading_a_log_leaves_no_file_open(interpreter, memory):
    """On a gateway 64 files may be open at once, and the recorder looks at its log's links for a year."""
    folder = memory / f"open-{interpreter.name}"
    story(folder)
    text = f"""
import os
from agent.audit.history import History
def count():
    return len(os.listdir("/proc/self/fd"))
before = count()
for _ in range(20):
    History({str(folder)!r}, None).read(lambda entry: None)
print(count() - before)
"""
    assert interpreter.run("-c", text).stdout == b"0\n"


# Power and flash


def cuts(*words: object) -> dict[str, int]:
    """Run the story of cuts in a process of its own, because the model takes the place of the C library."""
    command = [sys.executable, "-m", "host_sim.faults.audit_cuts", *map(str, words)]
    return dict(
        json.loads(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=240).stdout)
    )


def test_a_log_written_across_power_cuts_is_whole_or_says_that_it_was_cut():
    """L34-VI-3, EXP-6: at every operation and inside every sync, twice in a row, with other remains in each round."""
    done = cuts(7, 12)
    assert set(done) == {"cuts", "operations", "programmed", "said", "syncs"}, done
    assert done["cuts"] > 1.5 * 12 * done["operations"]
    assert done["said"] > 0


@pytest.mark.needs("micropython")
def test_micropython_is_cut_alike():
    done = INTERPRETERS["micropython"].run("-m", "host_sim.faults.audit_cuts", "1", "1")
    assert dict(json.loads(done.stdout)) == cuts(1, 1)


@pytest.mark.parametrize("variant", sorted(audit_cuts.VARIANTS))
def test_a_careless_writer_is_caught(variant):
    assert cuts(1, 1, variant)["a line is lost and nothing says so"] > 0


@pytest.mark.needs("root")
def test_flash_that_refuses_is_said_and_what_it_refused_is_counted(tmp_path):
    """The recorder goes on; whoever must not act without the log's word is told."""
    said: list[str] = []
    log = log_in(tmp_path / "audit", Time(), said.append)
    assert log.note("stop")
    path = tmp_path / "audit" / "00000001"
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()  # what can't be opened for writing
    assert not log.note("erase", "security", "root")
    assert len(said) == 1
    assert said[0] == "the audit log can't be written (is a directory)"
    path.rmdir()
    path.write_bytes(whole)
    log.hour()
    assert lines(tmp_path / "audit")[-1].endswith(" 1")
    assert verdict(tmp_path / "audit").wrong is None


# On the recorder


def test_health_carries_the_newest_checkpoint_and_a_stopped_recorder_says_so(memory):
    """L34-VI-3: a checkpoint each powered-on hour whatever happened.

    Health of a recorder that was stopped in order says `stopped`.
    """
    device = Device(memory / "device", None)
    seen = device.play([Sign(5000, 1), Sign(20000, 2)], restarts=[30000], end=40000)
    told = [json.loads(text) for text in seen.health]
    numbers = [health["audit"]["checkpoints"] for health in told]
    assert numbers == sorted(numbers)
    assert set(range(1, 11)) <= set(numbers)
    assert {health["capture"] for health in told} == {"ok"}
    last = json.loads((device.root / "var/run/oubli-live/health").read_bytes())
    assert last["capture"] == "stopped"
    folder = device.root / "srv/oubli/audit"
    for health in [*told[1:], last]:
        if health["audit"]["checkpoints"]:
            assert verdict(folder, "{checkpoints}:{head}".format(**health["audit"])).wrong is None
    acts = [text for text in lines(folder) if not text.startswith(("checkpoint", "link", "config"))]
    assert acts == ["start boot", "clock trusted 0", "stop", "start restart", "stop"]


def test_what_is_lost_or_erased_is_on_the_log_and_whose_it_was_is_not(memory):
    """Losses once an hour, a line a cause; a step of the clock; an order to erase and the role that gave it."""
    device = Device(memory / "device", None)
    recorder = device.recorder
    recorder.counters.add("lost: ring full", 7)
    recorder.counters.add("lost: store", 1)
    device.pass_to(2 * 3600)
    recorder.counters.add("lost: ring full", 2)
    recorder.orders.erase("all", "operator")
    recorder.close()
    acts = [
        text
        for text in lines(device.root / "srv/oubli/audit")
        if not text.startswith(("checkpoint", "link", "config", "start"))
    ]
    assert acts == [
        "clock trusted 0",
        "loss ring-full 7",
        "loss store 1",
        "erase all operator",
        "loss ring-full 2",
        "stop",
    ]


def test_a_store_whose_flash_refuses_keeps_no_other_from_being_erased(memory):
    """EXP-6, L34-VI-3: an order to erase everything reaches every store, is on the log, and says which one is left."""
    device = Device(memory / "device", None)
    recorder = device.recorder

    ring = recorder.kept.by_name.pop("security")
    refuses = {"erase": Mock(side_effect=OSError(30, "")), "status": Mock(side_effect=[{"records": 9}, {"records": 5}])}
    recorder.kept.by_name["attribution"] = Mock(wraps=ring, **refuses)  # some of it went before flash refused
    recorder.kept.by_name["security"] = Mock(wraps=ring, erase=Mock(return_value=3))
    with pytest.raises(calls.Refused, match="attribution: flash refuses"):
        recorder.orders.erase("all", "operator")
    assert recorder.counters.values["erased"] == 3 + 4
    recorder.kept.by_name = {"security": ring}
    recorder.close()
    assert "erase all operator" in lines(device.root / "srv/oubli/audit")


def test_a_bundle_that_came_and_one_that_is_over_are_on_the_log(memory, monkeypatch):
    """EXP-3, L34-VI-3: the custodian's keys reach further than before, or no further; day by day nothing is said."""
    days = iter([9, 9, 8, 30, 29, 1, 0, 0, 35])
    monkeypatch.setattr(stores, "key_days", lambda _opened, _config: next(days, 35))
    device = Device(memory / "device", None)
    device.pass_to(9 * 3600)
    acts = [text for text in lines(device.root / "srv/oubli/audit") if text.startswith("bundle")]
    assert acts == ["bundle installed 30", "bundle over 0", "bundle installed 35"]


# The command


def test_oubli_log_shows_and_judges(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """Acts as text and as JSON, the verdict, a head that was seen.

    Exit 1 where the log doesn't hold, 2 for a head that is none.
    """
    folder = tmp_path / "srv/oubli/audit"
    folder.mkdir(parents=True)
    told = story(folder)

    def oubli(*words: str) -> tuple[int, list[str]]:
        done = any_interpreter.run("-m", "agent", "log", "--root", tmp_path, *words, check=False)
        return done.returncode, (done.stdout + done.stderr).decode().splitlines()

    code, out = oubli()
    assert code == 0
    assert out[:2] == ["2026-11-25 00:00:00 link file 1 whole", "2026-11-25 00:00:00 erase security operator"]
    assert out[-2:] == [f"{4 + 3 * STEPS} lines; newest checkpoint {told[-1]}", "the log holds together"]
    code, out = oubli("--json")
    assert (code, len(out)) == (0, 5 + 3 * STEPS)
    assert json.loads(out[1])["act"] == "erase"
    assert json.loads(out[-1]) == {
        "lines": 4 + 3 * STEPS,
        "checkpoints": STEPS,
        "head": told[-1].split(":")[1],
        "cuts": [],
        "wrong": None,
    }
    assert oubli("--verify", "--head", told[7])[0] == 0
    code, out = oubli("--verify", "--head", told[7][:-1] + ("0" if told[7][-1] != "0" else "1"))
    assert (code, out[-1]) == (
        1,
        "THE LOG DOESN'T HOLD: checkpoint 8 has another hash than the one seen: the log was rewritten or forked",
    )
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes().splitlines(keepends=True)[0])
    code, out = oubli("--verify", "--head", told[-1], "--json")
    assert (code, json.loads(out[0])["wrong"]) == (1, "checkpoint 16 was seen and isn't in the log: its end was cut")
    assert oubli("--verify")[0] == 0
    last.write_bytes(last.read_bytes()[:-1])
    assert oubli("--verify")[0] == 1
    for head in ("12", "0:" + "0" * 64):
        assert oubli("--head", head)[0] == 2
    for path in folder.iterdir():
        path.write_bytes(b"")
    for word in ("emptied", "none"):
        code, out = oubli("--verify")
        assert (code, out[-1]) == (
            1,
            "THE LOG DOESN'T HOLD: there is no line in it: a log has its recorder's first start at least",
        ), word
        for path in folder.iterdir():
            path.unlink()
    shutil.rmtree(folder)
    assert oubli("--verify") == (1, [f"oubli: no audit log at {folder} (no such file or directory)"])


@pytest.mark.parametrize(
    ("act", "noted", "done", "wrong"),
    [
        ("grant", 150, 150, 0),
        ("grant", 150, 151, 1),
        ("grant", 151, 150, 1),
        ("grant", audit.ROOM + 1, audit.ROOM + 3, 1),
        ("suspend", audit.ROOM, audit.ROOM + 3, 0),
        ("suspend", 150, 151, 1),
    ],
)
def test_the_simulators_auditor_knows_how_many_consents_a_file_has_room_for(
    tmp_path: Path, act: str, noted: int, done: int, wrong: int
) -> None:
    """Below that each one must be there; above it none may be that wasn't given."""
    log = log_in(tmp_path, Time())
    log.hour()
    for _ in range(noted):
        assert log.note("consent", log_auditor.ACTS[act], "portal")
    gateway = SimpleNamespace(starts=0, flash=SimpleNamespace(was_full=set()))
    world: Any = SimpleNamespace(gateway=gateway, portal=SimpleNamespace(acts=Counter({act: done})))
    assert len(log_auditor.look(tmp_path, world, 1)) == wrong
